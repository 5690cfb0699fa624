#include "common/base/backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/random.h"

static void each_attempt_doubles_the_window_up_to_the_maximum(void **state)
{
    (void)state;
    wh_random_seed(3);
    uint64_t longest[12] = {0};
    int at_maximum = 0;
    for (int round = 0; round < 3000; round++) {
        struct wh_backoff backoff = {.min_ms = 100, .max_ms = 20000};
        for (size_t step = 0; step < 12; step++) {
            uint64_t window = UINT64_C(100) << step;
            uint64_t top = 100 + (window < 20000 ? window : 20000);
            uint64_t delay = wh_backoff_next_ms(&backoff);
            assert_in_range(delay, 100, top < 20000 ? top : 20000);
            if (delay > longest[step])
                longest[step] = delay;
            at_maximum += step == 11 && delay == 20000;
        }
    }
    /* The upper end of each window is really used. */
    for (size_t step = 0; step < 7; step++)
        assert_true(longest[step] > 100 + (UINT64_C(95) << step));
    /* Late attempts are spread as well: one in two hundred is cut to the maximum. */
    assert_in_range(at_maximum, 1, 60);
}

static void resetting_starts_over(void **state)
{
    (void)state;
    struct wh_backoff backoff = {.min_ms = 10, .max_ms = 100000};
    for (int i = 0; i < 10; i++)
        (void)wh_backoff_next_ms(&backoff);
    assert_int_equal(backoff.step, 10);
    wh_backoff_reset(&backoff);
    assert_in_range(wh_backoff_next_ms(&backoff), 10, 20);
}

static void extremes_neither_overflow_nor_leave_the_range(void **state)
{
    (void)state;
    static const struct {
        uint32_t min_ms, max_ms, lowest, highest;
    } cases[] = {
        {0, 0, 0, 0},
        {0, 1000, 0, 0},
        {1000, 10, 10, 10},
        {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX},
        {1, UINT32_MAX, 1, UINT32_MAX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wh_backoff backoff = {cases[i].min_ms, cases[i].max_ms, 0};
        for (int attempt = 0; attempt < 100; attempt++)
            assert_in_range(wh_backoff_next_ms(&backoff), cases[i].lowest, cases[i].highest);
        assert_int_equal(backoff.step, 31);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_attempt_doubles_the_window_up_to_the_maximum),
        cmocka_unit_test(resetting_starts_over),
        cmocka_unit_test(extremes_neither_overflow_nor_leave_the_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
