/* What may be in an account. */
#include "services/user/user.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static void addresses_are_trimmed_and_lowered(void **state)
{
    (void)state;
    char out[USER_EMAIL_BYTES_MAX + 1];
    assert_int_equal(user_email_normalize(WH_SLICE_LITERAL(" Ann.B+x@Example.ORG\n"), out), WH_OK);
    assert_string_equal(out, "ann.b+x@example.org");
    assert_int_equal(user_email_normalize(WH_SLICE_LITERAL("a@b.c"), out), WH_OK);
    assert_int_equal(user_email_normalize(WH_SLICE_LITERAL("o'neil@xn--mnchen-3ya.de"), out),
                     WH_OK);
}

static void what_is_no_address_is_refused(void **state)
{
    (void)state;
    static const struct wh_slice bad[] = {
        WH_SLICE_LITERAL(""),
        WH_SLICE_LITERAL("   "),
        WH_SLICE_LITERAL("@"),
        WH_SLICE_LITERAL("ann"),
        WH_SLICE_LITERAL("ann@"),
        WH_SLICE_LITERAL("@example.org"),
        WH_SLICE_LITERAL("ann@host"),
        WH_SLICE_LITERAL("ann@.org"),
        WH_SLICE_LITERAL("ann@x..org"),
        WH_SLICE_LITERAL("ann@x.org."),
        WH_SLICE_LITERAL("a@b@c.org"),
        WH_SLICE_LITERAL(".ann@x.org"),
        WH_SLICE_LITERAL("ann.@x.org"),
        WH_SLICE_LITERAL("a..n@x.org"),
        WH_SLICE_LITERAL("a n@x.org"),
        WH_SLICE_LITERAL("ann@-x.org"),
        WH_SLICE_LITERAL("ann@x-.org"),
        WH_SLICE_LITERAL("ann@x_y.org"),
        WH_SLICE_LITERAL("a\0b@x.org"),
        WH_SLICE_LITERAL("\xc3\xa4@x.org"),
        WH_SLICE_LITERAL("a<b>@x.org"),
        WH_SLICE_LITERAL("a,b@x.org"),
        WH_SLICE_LITERAL("a\r\nBcc: b@x.org"),
        {NULL, 0},
    };
    char out[USER_EMAIL_BYTES_MAX + 1] = "untouched";
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (user_email_normalize(bad[i], out) != WH_EFORMAT)
            fail_msg("accepted: %.*s", WH_SLICE_ARGS(bad[i]));
    assert_string_equal(out, "untouched");
}

static void address_has_a_longest_form(void **state)
{
    (void)state;
    char text[400], out[USER_EMAIL_BYTES_MAX + 1];
    memset(text, 'a', sizeof(text));
    memcpy(text + 64, "@", 1);
    for (int i = 65 + 60; i < 250; i += 61)
        text[i] = '.';
    assert_int_equal(user_email_normalize(wh_slice(text, 254), out), WH_OK);
    assert_int_equal(user_email_normalize(wh_slice(text, 255), out), WH_EFORMAT);
    text[64] = 'a';
    text[65] = '@';
    assert_int_equal(user_email_normalize(wh_slice(text, 200), out), WH_EFORMAT);
}

static void names_are_visible_text(void **state)
{
    (void)state;
    static const char *const good[] = {"A", "Ann Berg", "\xe6\x9d\x8e", "O'Neil, J.",
                                       "\xf0\x9f\x90\x99"};
    static const char *const bad[] = {
        "",
        "  ",
        "a\nb",
        "a\x7f",
        "a\xc2\x85",
        "\xff",
        "a\xe2\x80\xae|" /* NOLINT(misc-misleading-bidirectional): to be refused */,
        "a\xe2\x81\xa6|" /* NOLINT(misc-misleading-bidirectional): to be refused */,
        "a\xe2\x80\xa8"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(user_name_is_acceptable(wh_slice_from_str(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(user_name_is_acceptable(wh_slice_from_str(bad[i])));
    assert_false(user_name_is_acceptable(WH_SLICE_LITERAL("a\0b")));
    char text[300];
    memset(text, 'n', sizeof(text));
    assert_true(user_name_is_acceptable(wh_slice(text, USER_NAME_CHARS_MAX)));
    assert_false(user_name_is_acceptable(wh_slice(text, USER_NAME_CHARS_MAX + 1)));
}

static bool accepts(struct wh_slice *items, size_t count)
{
    return user_roles_are_acceptable(&(struct wh_strings){items, count});
}

static void roles_are_few_short_and_different(void **state)
{
    (void)state;
    struct wh_slice roles[] = {WH_SLICE_LITERAL("admin"), WH_SLICE_LITERAL("shop-clerk_2"),
                               WH_SLICE_LITERAL("admin")};
    assert_true(accepts(NULL, 0));
    assert_true(accepts(roles, 2));
    assert_false(accepts(roles, 3));
    static const char *const bad[] = {
        "", "Admin", "a b", "a\"b", "{admin}", "a,b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        roles[0] = wh_slice_from_str(bad[i]);
        assert_false(accepts(roles, 1));
    }
    struct wh_slice many[USER_ROLES_MAX + 1];
    char names[USER_ROLES_MAX + 1][4];
    for (int i = 0; i <= USER_ROLES_MAX; i++) {
        snprintf(names[i], sizeof(names[i]), "r%d", i);
        many[i] = wh_slice_from_str(names[i]);
    }
    assert_true(accepts(many, USER_ROLES_MAX));
    assert_false(accepts(many, USER_ROLES_MAX + 1));
}

static void ids_are_uuids(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "42",
                                      "0190c5a8-6f3e-7cc1-9d53-0123456789a",
                                      "0190c5a8-6f3e-7cc1-9d53-0123456789abc",
                                      "0190c5a8x6f3e-7cc1-9d53-0123456789ab",
                                      "0190c5a8-6f3e-7cc1-9d53-0123456789ag"};
    assert_true(user_id_is_wellformed(WH_SLICE_LITERAL("0190c5a8-6f3e-7cc1-9d53-0123456789ab")));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(user_id_is_wellformed(wh_slice_from_str(bad[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_trimmed_and_lowered),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(address_has_a_longest_form),
        cmocka_unit_test(names_are_visible_text),
        cmocka_unit_test(roles_are_few_short_and_different),
        cmocka_unit_test(ids_are_uuids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
