/*
 * The same program as in shell/test_torture.c, but with sockets: what the transport allocates with
 * the library's allocator fails as well, and the connection is a real one.
 */
#include "json_peer.h"
#include "sdk_torture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void run(enum wh_mode mode, const char *host, bool goes_on, bool ends_in_need)
{
    char url[64];
    struct raw_peer *peer = raw_peer_start(json_peer_script, NULL, NULL);
    (void)snprintf(url, sizeof url, "ws://%s:%u/x?y", host, raw_peer_port(peer));
    const struct torture wanted = {
        .mode = mode, .url = url, .goes_on = goes_on, .ends_in_need = ends_in_need};
    size_t failed = torture(&wanted);
    print_message("%zu allocations failed\n", failed);
    assert_true(failed > 100);
    raw_peer_stop(peer);
}

static void one_allocation_may_fail_pumped(void **state)
{
    (void)state;
    run(WH_MODE_LOOP, "127.0.0.1", false, false);
}

static void one_allocation_may_fail_while_names_are_looked_up(void **state)
{
    (void)state;
    run(WH_MODE_LOOP, "localhost", false, true);
}

static void memory_may_end_and_come_back_pumped(void **state)
{
    (void)state;
    run(WH_MODE_LOOP, "127.0.0.1", true, false);
}

static void memory_may_end_for_good_pumped(void **state)
{
    (void)state;
    run(WH_MODE_LOOP, "localhost", true, true);
}

static void one_allocation_may_fail_dispatched(void **state)
{
    (void)state;
    run(WH_MODE_DISPATCH, "127.0.0.1", false, false);
}

static void memory_may_end_for_good_threaded(void **state)
{
    (void)state;
    run(WH_MODE_THREADED, "127.0.0.1", true, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_allocation_may_fail_pumped),
        cmocka_unit_test(one_allocation_may_fail_while_names_are_looked_up),
        cmocka_unit_test(memory_may_end_and_come_back_pumped),
        cmocka_unit_test(memory_may_end_for_good_pumped),
        cmocka_unit_test(one_allocation_may_fail_dispatched),
        cmocka_unit_test(memory_may_end_for_good_threaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
