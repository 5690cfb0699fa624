/* Passwords: what is accepted, what a hash says, and that nothing but the password opens it. */
#include "services/user/password.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

enum { CHEAP = PASSWORD_COST_MIN };

#define SECRET WH_SLICE_LITERAL("correct horse")

static void hash_opens_for_its_password_alone(void **state)
{
    (void)state;
    char hash[PASSWORD_HASH_MAX];
    assert_int_equal(password_hash(SECRET, CHEAP, hash), WH_OK);
    assert_int_equal(password_verify(SECRET, hash), WH_OK);
    assert_int_equal(password_verify(WH_SLICE_LITERAL("correct horsf"), hash), WH_EDENIED);
    assert_int_equal(password_verify(WH_SLICE_LITERAL("correct hors"), hash), WH_EDENIED);
    assert_int_equal(password_verify(WH_SLICE_LITERAL("correct horse "), hash), WH_EDENIED);
    assert_int_equal(password_verify(WH_SLICE_LITERAL(""), hash), WH_EDENIED);
    assert_int_equal(password_verify(WH_SLICE_ABSENT, hash), WH_EDENIED);
}

static void hash_is_yescrypt_and_salted(void **state)
{
    (void)state;
    char a[PASSWORD_HASH_MAX], b[PASSWORD_HASH_MAX];
    assert_int_equal(password_hash(SECRET, CHEAP, a), WH_OK);
    assert_int_equal(password_hash(SECRET, CHEAP, b), WH_OK);
    assert_int_equal(strncmp(a, "$y$", 3), 0);
    assert_string_not_equal(a, b);
    assert_null(strstr(a, "horse"));
}

static void password_has_8_to_256_bytes_of_text(void **state)
{
    (void)state;
    char longest[PASSWORD_BYTES_MAX + 1];
    memset(longest, 'x', sizeof(longest));
    assert_false(password_is_acceptable(WH_SLICE_ABSENT));
    assert_false(password_is_acceptable(WH_SLICE_LITERAL("1234567")));
    assert_true(password_is_acceptable(WH_SLICE_LITERAL("12345678")));
    assert_true(password_is_acceptable(WH_SLICE_LITERAL("pässwört")));
    assert_true(password_is_acceptable(wh_slice(longest, PASSWORD_BYTES_MAX)));
    assert_false(password_is_acceptable(wh_slice(longest, PASSWORD_BYTES_MAX + 1)));
    assert_false(password_is_acceptable(WH_SLICE_LITERAL("12345678\0tail")));
    assert_false(password_is_acceptable(WH_SLICE_LITERAL("1234567\xff")));
}

/* crypt ends at a NUL and we cut at the maximum: neither may make two passwords one. */
static void what_follows_a_nul_or_the_maximum_is_not_ignored(void **state)
{
    (void)state;
    char hash[PASSWORD_HASH_MAX], longest[PASSWORD_BYTES_MAX + 1];
    memset(longest, 'x', sizeof(longest));
    assert_int_equal(password_hash(wh_slice(longest, PASSWORD_BYTES_MAX), CHEAP, hash), WH_OK);
    assert_int_equal(password_verify(wh_slice(longest, PASSWORD_BYTES_MAX), hash), WH_OK);
    assert_int_equal(password_verify(wh_slice(longest, sizeof(longest)), hash), WH_EDENIED);
    assert_int_equal(password_hash(SECRET, CHEAP, hash), WH_OK);
    assert_int_equal(password_verify(WH_SLICE_LITERAL("correct horse\0x"), hash), WH_EDENIED);
}

static void unacceptable_password_or_cost_makes_no_hash(void **state)
{
    (void)state;
    char hash[PASSWORD_HASH_MAX] = "untouched";
    assert_int_equal(password_hash(WH_SLICE_LITERAL("short"), CHEAP, hash), WH_EINVAL);
    assert_int_equal(password_hash(SECRET, 0, hash), WH_EINVAL);
    assert_int_equal(password_hash(SECRET, PASSWORD_COST_MAX + 1, hash), WH_EINVAL);
    assert_string_equal(hash, "untouched");
}

static void damaged_hashes_open_for_nobody(void **state)
{
    (void)state;
    static const char *const hashes[] = {
        "", "*0", "$y$", "$y$j9T", "$1$salt$hash", "plain", "$y$j9T$", "$y$!!!$salt$x"};
    for (size_t i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++)
        assert_int_not_equal(password_verify(SECRET, hashes[i]), WH_OK);
    char *huge = calloc(1, 4096);
    memset(huge, 'a', 4000);
    memcpy(huge, "$y$j9T$", 7);
    assert_int_equal(password_verify(SECRET, huge), WH_EFORMAT);
    free(huge);
}

static void hash_of_another_cost_is_outdated(void **state)
{
    (void)state;
    char hash[PASSWORD_HASH_MAX];
    assert_int_equal(password_hash(SECRET, CHEAP, hash), WH_OK);
    assert_false(password_is_outdated(hash, CHEAP));
    assert_true(password_is_outdated(hash, CHEAP + 1));
    assert_true(password_is_outdated("$6$salt$hash", CHEAP));
}

static void dummy_costs_the_same_and_opens_for_nobody(void **state)
{
    (void)state;
    char dummy[PASSWORD_HASH_MAX];
    assert_int_equal(password_dummy(CHEAP, dummy), WH_OK);
    assert_false(password_is_outdated(dummy, CHEAP));
    assert_int_equal(password_verify(SECRET, dummy), WH_EDENIED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash_opens_for_its_password_alone),
        cmocka_unit_test(hash_is_yescrypt_and_salted),
        cmocka_unit_test(password_has_8_to_256_bytes_of_text),
        cmocka_unit_test(what_follows_a_nul_or_the_maximum_is_not_ignored),
        cmocka_unit_test(unacceptable_password_or_cost_makes_no_hash),
        cmocka_unit_test(damaged_hashes_open_for_nobody),
        cmocka_unit_test(hash_of_another_cost_is_outdated),
        cmocka_unit_test(dummy_costs_the_same_and_opens_for_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
