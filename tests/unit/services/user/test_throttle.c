/* The bucket: how many at once, when the next, and what counts as one peer. */
#include "services/user/throttle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static const struct throttle_rule rule = {.burst = 3, .interval_ms = 10000};

enum { START = 1000000 };

static void burst_is_allowed_and_not_one_more(void **state)
{
    (void)state;
    int64_t full_at = 0;
    for (int i = 0; i < 3; i++)
        assert_true(throttle_take(&rule, START, &full_at));
    int64_t before = full_at;
    assert_false(throttle_take(&rule, START, &full_at));
    assert_int_equal(full_at, before);
}

static void one_more_is_allowed_after_each_interval(void **state)
{
    (void)state;
    int64_t full_at = 0;
    for (int i = 0; i < 3; i++)
        assert_true(throttle_take(&rule, START, &full_at));
    assert_int_equal(throttle_retry_after_s(&rule, START, full_at), 10);
    assert_false(throttle_take(&rule, START + 9999, &full_at));
    assert_int_equal(throttle_retry_after_s(&rule, START + 9999, full_at), 1);
    assert_true(throttle_take(&rule, START + 10000, &full_at));
    assert_false(throttle_take(&rule, START + 10000, &full_at));
}

static void idle_bucket_holds_no_more_than_the_burst(void **state)
{
    (void)state;
    int64_t full_at = START;
    int taken = 0;
    while (throttle_take(&rule, START + 3600000, &full_at))
        taken++;
    assert_int_equal(taken, 3);
}

static void keys_differ_by_kind_and_subject(void **state)
{
    (void)state;
    unsigned char a[THROTTLE_KEY_BYTES], b[THROTTLE_KEY_BYTES];
    throttle_key("email", WH_SLICE_LITERAL("ann@example.org"), a);
    throttle_key("email", WH_SLICE_LITERAL("ann@example.org"), b);
    assert_memory_equal(a, b, sizeof(a));
    throttle_key("peer", WH_SLICE_LITERAL("ann@example.org"), b);
    assert_memory_not_equal(a, b, sizeof(a));
    throttle_key("emaila", WH_SLICE_LITERAL("nn@example.org"), b);
    assert_memory_not_equal(a, b, sizeof(a));
}

static void peers_are_addresses_and_networks_of_64_bits(void **state)
{
    (void)state;
    static const struct {
        const char *address, *peer;
    } cases[] = {
        {"192.0.2.7", "192.0.2.7"},
        {"::ffff:192.0.2.7", "192.0.2.7"},
        {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"},
        {"2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::"},
        {"fe80::1%eth0", "fe80::"},
        {"::1", "::"},
        {"", ""},
        {"somewhere", "somewhere"},
    };
    char out[THROTTLE_PEER_MAX];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        throttle_peer(wh_slice_from_str(cases[i].address), out);
        assert_string_equal(out, cases[i].peer);
    }
    char huge[200];
    memset(huge, 'h', sizeof(huge));
    throttle_peer(wh_slice(huge, sizeof(huge)), out);
    assert_int_equal(strlen(out), THROTTLE_PEER_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(burst_is_allowed_and_not_one_more),
        cmocka_unit_test(one_more_is_allowed_after_each_interval),
        cmocka_unit_test(idle_bucket_holds_no_more_than_the_burst),
        cmocka_unit_test(keys_differ_by_kind_and_subject),
        cmocka_unit_test(peers_are_addresses_and_networks_of_64_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
