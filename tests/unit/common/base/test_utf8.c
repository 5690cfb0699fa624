#include "common/base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *text;
    bool valid;
} cases[] = {
    {"", true},
    {"plain", true},
    {"exactly8", true},
    {"longer than eight bytes of ASCII", true},
    {"\x7F", true},
    {"\xC2\x80", true},
    {"\xDF\xBF", true},
    {"\xE0\xA0\x80", true},
    {"\xED\x9F\xBF", true},
    {"\xEE\x80\x80", true},
    {"\xEF\xBF\xBF", true},
    {"\xF0\x90\x80\x80", true},
    {"\xF4\x8F\xBF\xBF", true},
    {"seven..\xE2\x82\xAC and more", true},
    {"\x80", false},             /* continuation alone */
    {"\xBF", false},             /* continuation alone */
    {"\xC0\x80", false},         /* overlong NUL */
    {"\xC1\xBF", false},         /* overlong */
    {"\xE0\x9F\xBF", false},     /* overlong */
    {"\xF0\x8F\xBF\xBF", false}, /* overlong */
    {"\xED\xA0\x80", false},     /* surrogate D800 */
    {"\xED\xBF\xBF", false},     /* surrogate DFFF */
    {"\xF4\x90\x80\x80", false}, /* past U+10FFFF */
    {"\xF5\x80\x80\x80", false}, /* past U+10FFFF */
    {"\xFE", false},             /* never a byte of UTF-8 */
    {"\xFF", false},             /* never a byte of UTF-8 */
    {"\xC2", false},             /* cut */
    {"\xE2\x82", false},         /* cut */
    {"\xF0\x9F\x98", false},     /* cut */
    {"\xE2\x28\xA1", false},     /* second byte no continuation */
    {"\xE2\x82\x28", false},     /* third byte no continuation */
    {"\xF0\x9F\x98\x28", false}, /* fourth byte no continuation */
};

/* Each case at nine offsets in ASCII and from a block of its exact size, so that ASan sees a read
 * past the end. */
static void sequences_are_judged_as_rfc_3629_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t before = 0; before < 9; before++) {
            size_t len = before + strlen(cases[i].text);
            char *exact = malloc(len + 1);
            memset(exact, 'a', before);
            memcpy(exact + before, cases[i].text, len - before);
            char *text = realloc(exact, len ? len : 1);
            bool valid = wh_utf8_is_valid(wh_slice(text, len));
            if (valid != cases[i].valid)
                printf("case %zu at offset %zu\n", i, before);
            assert_int_equal(valid, cases[i].valid);
            free(text);
        }
    }
    assert_true(wh_utf8_is_valid(WH_SLICE_ABSENT));
}

static void every_scalar_value_encodes_to_valid_text_and_nothing_else_does(void **state)
{
    (void)state;
    for (uint32_t code_point = 0; code_point <= 0x110010; code_point++) {
        char out[4];
        size_t len = wh_utf8_encode(code_point, out);
        bool scalar = code_point <= 0x10FFFF && (code_point < 0xD800 || code_point > 0xDFFF);
        if (scalar != (len != 0) || !wh_utf8_is_valid(wh_slice(out, len)) ||
            wh_utf8_next(wh_slice(out, len)) != len)
            fail_msg("U+%04X gives %zu bytes", (unsigned)code_point, len);
    }
    assert_int_equal(wh_utf8_encode(UINT32_MAX, (char[4]){0}), 0);
}

static void encoding_gives_the_known_bytes(void **state)
{
    (void)state;
    static const struct {
        uint32_t code_point;
        const char *bytes;
    } known[] = {
        {0x24, "$"}, {0xA3, "\xC2\xA3"}, {0x20AC, "\xE2\x82\xAC"}, {0x1F600, "\xF0\x9F\x98\x80"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        char out[4];
        size_t len = wh_utf8_encode(known[i].code_point, out);
        assert_int_equal(len, strlen(known[i].bytes));
        assert_memory_equal(out, known[i].bytes, len);
    }
}

static void next_steps_over_one_character_or_says_none(void **state)
{
    (void)state;
    assert_int_equal(wh_utf8_next(WH_SLICE_LITERAL("")), 0);
    assert_int_equal(wh_utf8_next(WH_SLICE_LITERAL("ab")), 1);
    assert_int_equal(wh_utf8_next(WH_SLICE_LITERAL("\xE2\x82\xACx")), 3);
    assert_int_equal(wh_utf8_next(WH_SLICE_LITERAL("\xE2\x82")), 0);
    assert_int_equal(wh_utf8_next(WH_SLICE_LITERAL("\x80")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequences_are_judged_as_rfc_3629_does),
        cmocka_unit_test(every_scalar_value_encodes_to_valid_text_and_nothing_else_does),
        cmocka_unit_test(encoding_gives_the_known_bytes),
        cmocka_unit_test(next_steps_over_one_character_or_says_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
