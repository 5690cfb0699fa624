#include "common/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>

static void the_fake_stands_still_until_set_again(void **state)
{
    (void)state;
    wh_clock_set_fake(1234, -1);
    assert_int_equal(wh_clock_monotonic_ms(), 1234);
    assert_int_equal(wh_clock_monotonic_us(), 1234000);
    assert_int_equal(wh_clock_wall_ms(), -1);
    assert_int_equal(wh_clock_wall_s(), -1);
    assert_int_equal(wh_clock_wall_ns(), -1000000);
    wh_clock_set_fake(0, 1999);
    assert_int_equal(wh_clock_monotonic_ms(), 0);
    assert_int_equal(wh_clock_wall_s(), 1);
    wh_clock_set_real();
}

static void the_real_clocks_are_those_of_the_system(void **state)
{
    (void)state;
    wh_clock_set_real();
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    uint64_t ms = wh_clock_monotonic_ms();
    uint64_t us = wh_clock_monotonic_us();
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_in_range(ms, (uint64_t)before.tv_sec * 1000 + (uint64_t)before.tv_nsec / 1000000,
                    us / 1000);
    assert_in_range(us, ms * 1000,
                    (uint64_t)after.tv_sec * 1000000 + (uint64_t)after.tv_nsec / 1000);
    time_t wall_before = time(NULL);
    int64_t wall = wh_clock_wall_s();
    int64_t wall_ms = wh_clock_wall_ms();
    /* time() may read a coarse clock that is a tick behind. */
    assert_true(wall >= wall_before && wall <= wall_ms / 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fake_stands_still_until_set_again),
        cmocka_unit_test(the_real_clocks_are_those_of_the_system),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
