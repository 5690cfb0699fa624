#include "hub/rates.h"

#include "common/base/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

struct fixture {
    struct rates *rates;
    struct metrics_shared *shared;
    struct rate_config config;
    uint64_t now_ms;
    uint64_t wait_ms;
};

static struct fixture fix;

static int setup(void **state)
{
    (void)state;
    fix = (struct fixture){.now_ms = 1000};
    assert_int_equal(metrics_shared_new(1, &fix.shared), WH_OK);
    assert_int_equal(rates_new(metrics_open(fix.shared, 0), &fix.rates), WH_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rates_free(fix.rates);
    metrics_shared_free(fix.shared);
    return 0;
}

static void limit(enum rate_scope scope, enum rate_class class, uint64_t rate, uint64_t burst)
{
    fix.config.scopes[scope][class] = (struct rate_limit){rate, burst};
}

static bool take(const struct rate_caller *caller, enum rate_class class)
{
    return rates_take(fix.rates, &fix.config, caller, class, fix.now_ms, &fix.wait_ms);
}

static unsigned passed(const struct rate_caller *caller, enum rate_class class, unsigned tries)
{
    unsigned count = 0;
    while (tries-- > 0)
        count += take(caller, class);
    return count;
}

static struct rate_caller user(const char *name)
{
    return (struct rate_caller){.user = wh_slice_from_str(name)};
}

static struct rate_caller address(const char *peer)
{
    return (struct rate_caller){.peer = peer};
}

static void without_limits_everything_passes_and_nothing_is_remembered(void **state)
{
    (void)state;
    struct rate_buckets *connection = NULL;
    struct rate_caller caller = {&connection, WH_SLICE_LITERAL("ann"), "192.0.2.1"};
    assert_int_equal(passed(&caller, RATE_RPC, 1000), 1000);
    assert_null(connection);
    assert_int_equal(rates_count(fix.rates, RATE_PER_USER), 0);
    assert_int_equal(rates_count(fix.rates, RATE_PER_ADDRESS), 0);
}

static void each_scope_and_class_has_a_bucket_of_its_own(void **state)
{
    (void)state;
    struct rate_buckets *one = NULL, *two = NULL;
    struct rate_caller first = {.connection = &one}, second = {.connection = &two};
    limit(RATE_PER_CONNECTION, RATE_RPC, 10, 3);
    limit(RATE_PER_CONNECTION, RATE_PUBLISH, 10, 2);
    limit(RATE_PER_USER, RATE_RPC, 10, 4);
    assert_int_equal(passed(&first, RATE_RPC, 9), 3);
    assert_int_equal(passed(&first, RATE_PUBLISH, 9), 2);
    assert_int_equal(passed(&first, RATE_SUBSCRIBE, 9), 9);
    assert_int_equal(passed(&second, RATE_RPC, 9), 3);
    struct rate_caller ann = user("ann"), bob = user("bob");
    assert_int_equal(passed(&ann, RATE_RPC, 9), 4);
    assert_int_equal(passed(&bob, RATE_RPC, 9), 4);
    fix.now_ms += 100;
    assert_int_equal(passed(&ann, RATE_RPC, 9), 1);
    wh_free(one);
    wh_free(two);
}

static void the_total_counts_every_class(void **state)
{
    (void)state;
    struct rate_caller ann = user("ann");
    limit(RATE_PER_USER, RATE_TOTAL, 1, 5);
    assert_int_equal(passed(&ann, RATE_RPC, 2), 2);
    assert_int_equal(passed(&ann, RATE_SUBSCRIBE, 2), 2);
    assert_int_equal(passed(&ann, RATE_OTHER, 2), 1);
}

/* Or a caller who is over one limit would also use up what the others have of another. */
static void who_is_refused_by_one_bucket_takes_from_none(void **state)
{
    (void)state;
    struct rate_caller ann = {.user = WH_SLICE_LITERAL("ann"), .peer = "192.0.2.1"};
    struct rate_caller bob = {.user = WH_SLICE_LITERAL("bob"), .peer = "192.0.2.1"};
    limit(RATE_PER_USER, RATE_RPC, 1, 1);
    limit(RATE_PER_ADDRESS, RATE_RPC, 1, 2);
    assert_int_equal(passed(&ann, RATE_RPC, 50), 1);
    assert_int_equal(passed(&bob, RATE_RPC, 50), 1);
    assert_int_equal(metrics_total(fix.shared, METRIC_RATE_LIMITED_USER), 98);
    assert_int_equal(metrics_total(fix.shared, METRIC_RATE_LIMITED_ADDRESS), 0);
}

static void the_wait_is_that_of_the_slowest_bucket_and_enough(void **state)
{
    (void)state;
    struct rate_caller ann = {.user = WH_SLICE_LITERAL("ann"), .peer = "192.0.2.1"};
    limit(RATE_PER_USER, RATE_RPC, 3, 1);
    limit(RATE_PER_ADDRESS, RATE_TOTAL, 2, 1);
    assert_true(take(&ann, RATE_RPC));
    assert_false(take(&ann, RATE_RPC));
    assert_int_equal(fix.wait_ms, 500);
    fix.now_ms += fix.wait_ms - 1;
    assert_false(take(&ann, RATE_RPC));
    assert_int_equal(fix.wait_ms, 1);
    fix.now_ms += 1;
    assert_true(take(&ann, RATE_RPC));
}

static void nobody_in_particular_has_no_limit_of_a_user(void **state)
{
    (void)state;
    struct rate_caller nobody = user("");
    limit(RATE_PER_USER, RATE_TOTAL, 1, 1);
    assert_int_equal(passed(&nobody, RATE_RPC, 10), 10);
}

static void addresses_of_one_customer_count_as_one(void **state)
{
    (void)state;
    static const struct {
        const char *first, *second;
        bool is_same;
    } pairs[] = {
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.2", false},
        {"192.0.2.9", "::ffff:192.0.2.9", true},
        {"2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true},
        {"2001:db8:1:4::1", "2001:db8:1:3::1", false},
        {"no address", "no address", true},
        {"no address at all", "another", false},
    };
    limit(RATE_PER_ADDRESS, RATE_RPC, 1, 1);
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct rate_caller first = address(pairs[i].first), second = address(pairs[i].second);
        fix.now_ms += 10000;
        assert_true(take(&first, RATE_RPC));
        assert_int_equal(take(&second, RATE_RPC), !pairs[i].is_same);
    }
}

static void a_changed_limit_is_in_force_at_once(void **state)
{
    (void)state;
    struct rate_caller ann = user("ann");
    limit(RATE_PER_USER, RATE_RPC, 1, 2);
    assert_int_equal(passed(&ann, RATE_RPC, 9), 2);
    limit(RATE_PER_USER, RATE_RPC, 1000, 0);
    assert_false(take(&ann, RATE_RPC)); /* what was used up stays used up */
    fix.now_ms += 5;
    assert_int_equal(passed(&ann, RATE_RPC, 9), 5);
    limit(RATE_PER_USER, RATE_RPC, 0, 0);
    assert_int_equal(passed(&ann, RATE_RPC, 9), 9);
}

static void who_was_quiet_until_full_again_is_forgotten(void **state)
{
    (void)state;
    char name[32];
    limit(RATE_PER_USER, RATE_RPC, 1, 3);
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "user-%d", i);
        struct rate_caller caller = user(name);
        assert_true(take(&caller, RATE_RPC));
    }
    assert_int_equal(rates_count(fix.rates, RATE_PER_USER), 100);
    fix.now_ms += 1000;
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof(name), "later-%d", i);
        struct rate_caller caller = user(name);
        assert_true(take(&caller, RATE_RPC));
    }
    assert_int_equal(rates_count(fix.rates, RATE_PER_USER), 60);
}

static void a_flood_of_addresses_is_bounded_and_keeps_the_newest(void **state)
{
    (void)state;
    char peer[32];
    limit(RATE_PER_ADDRESS, RATE_RPC, 1, 1);
    for (unsigned i = 0; i < RATES_ENTRIES_MAX + 1000; i++) {
        snprintf(peer, sizeof(peer), "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
        struct rate_caller caller = address(peer);
        assert_true(take(&caller, RATE_RPC));
    }
    assert_int_equal(rates_count(fix.rates, RATE_PER_ADDRESS), RATES_ENTRIES_MAX);
    struct rate_caller newest = address(peer);
    assert_false(take(&newest, RATE_RPC));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(without_limits_everything_passes_and_nothing_is_remembered),
        TEST(each_scope_and_class_has_a_bucket_of_its_own),
        TEST(the_total_counts_every_class),
        TEST(who_is_refused_by_one_bucket_takes_from_none),
        TEST(the_wait_is_that_of_the_slowest_bucket_and_enough),
        TEST(nobody_in_particular_has_no_limit_of_a_user),
        TEST(addresses_of_one_customer_count_as_one),
        TEST(a_changed_limit_is_in_force_at_once),
        TEST(who_was_quiet_until_full_again_is_forgotten),
        TEST(a_flood_of_addresses_is_bounded_and_keeps_the_newest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
