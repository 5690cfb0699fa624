/* Refresh tokens: their shape, their successors, and the verdict over each state of a row. */
#include "services/user/refresh.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static const unsigned char key[REFRESH_KEY_BYTES] = {1, 2, 3};

enum { NOW = 1000000, LATER = 2000000 };

static void each_state_has_its_verdict(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct refresh_state state;
        enum refresh_verdict verdict;
    } cases[] = {
        {"fresh", {LATER, 0, 0, false}, REFRESH_ROTATE},
        {"expired", {NOW, 0, 0, false}, REFRESH_DEAD},
        {"revoked", {LATER, 0, NOW - 1, false}, REFRESH_DEAD},
        {"revoked and used", {LATER, NOW - 1, NOW - 1, false}, REFRESH_DEAD},
        {"just used", {LATER, NOW - 1, 0, false}, REFRESH_REPEAT},
        {"used, end of grace", {LATER, NOW - REFRESH_GRACE_MS + 1, 0, false}, REFRESH_REPEAT},
        {"used, grace over", {LATER, NOW - REFRESH_GRACE_MS, 0, false}, REFRESH_REUSE},
        {"just used, successor too", {LATER, NOW - 1, 0, true}, REFRESH_REUSE},
        {"used and expired", {NOW, NOW - 1, 0, false}, REFRESH_DEAD},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (refresh_judge(&cases[i].state, NOW) != cases[i].verdict)
            fail_msg("%s: %d", cases[i].name, (int)refresh_judge(&cases[i].state, NOW));
}

static void new_tokens_are_well_formed_and_differ(void **state)
{
    (void)state;
    char a[REFRESH_TOKEN_TEXT + 1], b[REFRESH_TOKEN_TEXT + 1];
    refresh_token_new(a);
    refresh_token_new(b);
    assert_int_equal(strlen(a), REFRESH_TOKEN_TEXT);
    assert_int_equal(strncmp(a, "whr_", 4), 0);
    assert_string_not_equal(a, b);
}

static void successor_is_the_same_each_time_and_needs_the_key(void **state)
{
    (void)state;
    static const unsigned char other[REFRESH_KEY_BYTES] = {1, 2, 4};
    char first[REFRESH_TOKEN_TEXT + 1], a[REFRESH_TOKEN_TEXT + 1], b[REFRESH_TOKEN_TEXT + 1];
    refresh_token_new(first);
    refresh_token_successor(key, first, a);
    refresh_token_successor(key, first, b);
    assert_string_equal(a, b);
    assert_string_not_equal(a, first);
    refresh_token_successor(other, first, b);
    assert_string_not_equal(a, b);
    refresh_token_successor(key, a, b);
    assert_string_not_equal(a, b);
}

static void only_what_has_the_shape_of_a_token_has_a_hash(void **state)
{
    (void)state;
    char token[REFRESH_TOKEN_TEXT + 2] = {0};
    unsigned char a[REFRESH_HASH_BYTES], b[REFRESH_HASH_BYTES];
    refresh_token_new(token);
    assert_true(refresh_token_hash(wh_slice_from_str(token), a));
    assert_false(refresh_token_hash(WH_SLICE_ABSENT, b));
    assert_false(refresh_token_hash(wh_slice(token, REFRESH_TOKEN_TEXT - 1), b));
    assert_false(refresh_token_hash(wh_slice(token, REFRESH_TOKEN_TEXT + 1), b));
    token[REFRESH_TOKEN_TEXT - 1] ^= 1;
    assert_true(refresh_token_hash(wh_slice_from_str(token), b));
    assert_memory_not_equal(a, b, sizeof(a));
    token[0] = 'x';
    assert_false(refresh_token_hash(wh_slice_from_str(token), b));
}

static void token_ends_with_its_session(void **state)
{
    (void)state;
    assert_int_equal(refresh_expiry(NOW, 500, LATER), NOW + 500);
    assert_int_equal(refresh_expiry(NOW, LATER, LATER), LATER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_state_has_its_verdict),
        cmocka_unit_test(new_tokens_are_well_formed_and_differ),
        cmocka_unit_test(successor_is_the_same_each_time_and_needs_the_key),
        cmocka_unit_test(only_what_has_the_shape_of_a_token_has_a_hash),
        cmocka_unit_test(token_ends_with_its_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
