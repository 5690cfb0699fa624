#include "services/demo/pulse.h"

#include "services/demo/load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define START_US UINT64_C(5000000000)

/* Looks every `step_us` for `total_us`; how many were due in all. */
static uint64_t count(uint32_t rate, uint64_t step_us, uint64_t total_us)
{
    struct pulse pulse = {0};
    uint64_t sum = pulse_due(&pulse, rate, START_US, UINT32_MAX);
    assert_int_equal(sum, 0);
    for (uint64_t at_us = step_us; at_us <= total_us; at_us += step_us)
        sum += pulse_due(&pulse, rate, START_US + at_us, UINT32_MAX);
    return sum;
}

static void as_many_are_due_as_the_rate_says(void **state)
{
    static const uint32_t rates[] = {1, 7, 50, 333, 5000, 50000};
    static const uint64_t steps[] = {1, 999, 10000, 20000, 500000, 1000000, 2500000};
    (void)state;
    for (size_t r = 0; r < sizeof(rates) / sizeof(rates[0]); r++) {
        assert_int_equal(count(rates[r], 1000, 10000000), rates[r] * UINT64_C(10));
        for (size_t s = 1; s < sizeof(steps) / sizeof(steps[0]); s++) {
            uint64_t total_us = 10000000 / steps[s] * steps[s];
            assert_int_equal(count(rates[r], steps[s], total_us),
                             rates[r] * (total_us / 1000000) +
                                 rates[r] * (total_us % 1000000) / 1000000);
        }
    }
}

static void a_rate_of_nothing_is_still(void **state)
{
    (void)state;
    assert_int_equal(count(0, 10000, 5000000), 0);
}

static void what_comes_late_is_not_caught_up_with_beyond_the_burst(void **state)
{
    struct pulse pulse = {0};
    (void)state;
    assert_int_equal(pulse_due(&pulse, 5000, START_US, 1000), 0);
    assert_int_equal(pulse_due(&pulse, 5000, START_US + 60000000, 1000), 1000);
    assert_int_equal(pulse_due(&pulse, 5000, START_US + 60000000, 1000), 0);
    assert_int_equal(pulse_due(&pulse, 5000, START_US + 60010000, 1000), 50);
    assert_int_equal(pulse_due(&pulse, 5000, UINT64_MAX, 1000), 1000);
}

static void another_rate_begins_anew(void **state)
{
    struct pulse pulse = {0};
    (void)state;
    (void)pulse_due(&pulse, 10, START_US, 1000);
    assert_int_equal(pulse_due(&pulse, 5000, START_US + 900000, 1000), 0);
    assert_int_equal(pulse_due(&pulse, 5000, START_US + 910000, 1000), 50);
    assert_int_equal(pulse_due(&pulse, 0, START_US + 920000, 1000), 0);
    assert_int_equal(pulse_due(&pulse, 10, START_US + 9000000, 1000), 0);
    assert_int_equal(pulse_due(&pulse, 10, START_US + 9100000, 1000), 1);
}

static void a_load_goes_off_by_itself_unless_it_is_renewed(void **state)
{
    struct load load;
    uint64_t off_in_ms = 7;
    (void)state;
    load_init(&load);
    assert_int_equal(load_rate(&load, 1000, &off_in_ms), 0);
    assert_int_equal(off_in_ms, 0);
    load_set(&load, 100, 1000, 30000);
    assert_int_equal(load_rate(&load, 30999, &off_in_ms), 100);
    assert_int_equal(off_in_ms, 1);
    load_set(&load, 200, 30999, 30000);
    assert_int_equal(load_rate(&load, 31000, NULL), 200);
    assert_int_equal(load_rate(&load, 60998, NULL), 200);
    assert_int_equal(load_rate(&load, 60999, &off_in_ms), 0);
    assert_int_equal(off_in_ms, 0);
    load_deinit(&load);
}

static void a_load_of_nothing_is_off_at_once(void **state)
{
    struct load load;
    uint64_t off_in_ms = 7;
    (void)state;
    load_init(&load);
    load_set(&load, 100, 1000, 30000);
    load_set(&load, 0, 1001, 30000);
    assert_int_equal(load_rate(&load, 1001, &off_in_ms), 0);
    assert_int_equal(off_in_ms, 0);
    load_deinit(&load);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_many_are_due_as_the_rate_says),
        cmocka_unit_test(a_rate_of_nothing_is_still),
        cmocka_unit_test(what_comes_late_is_not_caught_up_with_beyond_the_burst),
        cmocka_unit_test(another_rate_begins_anew),
        cmocka_unit_test(a_load_goes_off_by_itself_unless_it_is_renewed),
        cmocka_unit_test(a_load_of_nothing_is_off_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
