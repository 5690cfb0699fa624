/*
 * A whole program with other allocations failing in each of its lives, on runtimes without sockets:
 * client.c, call.c, subscription.c, run.c, deliver.c, wait.c, options.c, settings.c, log.c.
 */
#include "sdk_torture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void run(enum wh_mode mode, bool goes_on, bool ends_in_need)
{
    const struct torture wanted = {.mode = mode,
                                   .url = "ws://localhost/x,ws://localhost:81/y?z",
                                   .goes_on = goes_on,
                                   .ends_in_need = ends_in_need};
    size_t failed = torture(&wanted);
    print_message("%zu allocations failed\n", failed);
    assert_true(failed > 100);
}

static void one_allocation_may_fail_pumped(void **state)
{
    (void)state;
    run(WH_MODE_LOOP, false, false);
}

static void one_allocation_may_fail_until_the_end_pumped(void **state)
{
    (void)state;
    run(WH_MODE_LOOP, false, true);
}

static void memory_may_end_and_come_back_pumped(void **state)
{
    (void)state;
    run(WH_MODE_LOOP, true, false);
}

static void memory_may_end_for_good_pumped(void **state)
{
    (void)state;
    run(WH_MODE_LOOP, true, true);
}

static void one_allocation_may_fail_dispatched(void **state)
{
    (void)state;
    run(WH_MODE_DISPATCH, false, false);
}

static void memory_may_end_for_good_dispatched(void **state)
{
    (void)state;
    run(WH_MODE_DISPATCH, true, true);
}

static void one_allocation_may_fail_threaded(void **state)
{
    (void)state;
    run(WH_MODE_THREADED, false, false);
}

static void memory_may_end_for_good_threaded(void **state)
{
    (void)state;
    run(WH_MODE_THREADED, true, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_allocation_may_fail_pumped),
        cmocka_unit_test(one_allocation_may_fail_until_the_end_pumped),
        cmocka_unit_test(memory_may_end_and_come_back_pumped),
        cmocka_unit_test(memory_may_end_for_good_pumped),
        cmocka_unit_test(one_allocation_may_fail_dispatched),
        cmocka_unit_test(memory_may_end_for_good_dispatched),
        cmocka_unit_test(one_allocation_may_fail_threaded),
        cmocka_unit_test(memory_may_end_for_good_threaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
