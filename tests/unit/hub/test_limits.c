#include "hub/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* How many of `tries` pass at `now_ms`. */
static unsigned passed(struct token_bucket *bucket, unsigned tries, uint64_t now_ms)
{
    unsigned count = 0;
    while (tries-- > 0)
        count += token_bucket_take(bucket, now_ms);
    return count;
}

static void a_burst_passes_and_then_the_rate(void **state)
{
    (void)state;
    static const struct {
        uint64_t at_ms;
        unsigned passes; /* of 100 tries */
    } steps[] = {
        {1000, 20}, {1000, 0}, {1099, 0},  {1100, 1},     {1500, 4},
        {1950, 4},  {2000, 1}, {3000, 10}, {1000000, 20}, {1000099, 0},
    };
    struct token_bucket bucket;
    token_bucket_init(&bucket, 10, 20, 1000);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
        assert_int_equal(passed(&bucket, 100, steps[i].at_ms), steps[i].passes);
}

static void no_fraction_of_a_token_is_lost(void **state)
{
    (void)state;
    struct token_bucket bucket;
    token_bucket_init(&bucket, 7, 2, 0);
    unsigned count = 0;
    for (uint64_t now_ms = 0; now_ms <= 10000; now_ms++)
        count += passed(&bucket, 1, now_ms);
    assert_int_equal(count, 2 + 7 * 10);
}

static void rate_0_is_no_limit_and_burst_0_is_1(void **state)
{
    (void)state;
    struct token_bucket bucket;
    token_bucket_init(&bucket, 0, 1, 0);
    assert_int_equal(passed(&bucket, 1000, 0), 1000);
    token_bucket_init(&bucket, 1, 0, 0);
    assert_int_equal(passed(&bucket, 1000, 0), 1);
}

static void time_that_jumps_neither_fills_twice_nor_overflows(void **state)
{
    (void)state;
    struct token_bucket bucket;
    token_bucket_init(&bucket, UINT32_MAX, UINT32_MAX, 5000);
    assert_int_equal(passed(&bucket, 10, 1000), 10); /* backwards */
    token_bucket_init(&bucket, 10, 5, 5000);
    assert_int_equal(passed(&bucket, 100, 5000), 5);
    assert_int_equal(passed(&bucket, 100, 1000), 0);
    assert_int_equal(passed(&bucket, 100, 5100), 1);
    assert_int_equal(passed(&bucket, 100, UINT64_MAX), 5);
}

static void changed_limits_keep_what_still_fits(void **state)
{
    (void)state;
    struct token_bucket bucket;
    token_bucket_init(&bucket, 10, 20, 0);
    token_bucket_change(&bucket, 10, 5, 0);
    assert_int_equal(passed(&bucket, 100, 0), 5);
    token_bucket_change(&bucket, 1000, 50, 100); /* the old rate until now: one token */
    assert_int_equal(passed(&bucket, 100, 100), 1);
    assert_int_equal(passed(&bucket, 100, 110), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_passes_and_then_the_rate),
        cmocka_unit_test(no_fraction_of_a_token_is_lost),
        cmocka_unit_test(rate_0_is_no_limit_and_burst_0_is_1),
        cmocka_unit_test(time_that_jumps_neither_fills_twice_nor_overflows),
        cmocka_unit_test(changed_limits_keep_what_still_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
