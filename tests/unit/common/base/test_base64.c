/* Strict base64: each run of bytes has exactly one text, and only that one decodes. */
#include "common/base/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static const struct {
    struct wh_slice bytes;
    const char *standard, *url;
} vectors[] = {
    /* RFC 4648 §10 */
    {WH_SLICE_LITERAL(""), "", ""},
    {WH_SLICE_LITERAL("f"), "Zg==", "Zg"},
    {WH_SLICE_LITERAL("fo"), "Zm8=", "Zm8"},
    {WH_SLICE_LITERAL("foo"), "Zm9v", "Zm9v"},
    {WH_SLICE_LITERAL("foob"), "Zm9vYg==", "Zm9vYg"},
    {WH_SLICE_LITERAL("fooba"), "Zm9vYmE=", "Zm9vYmE"},
    {WH_SLICE_LITERAL("foobar"), "Zm9vYmFy", "Zm9vYmFy"},
    {WH_SLICE_LITERAL("\xfb\xff\xbf"), "+/+/", "-_-_"},
    {WH_SLICE_LITERAL("\0\0"), "AAA=", "AAA"},
};

static struct wh_arena arena;

static int setup(void **state)
{
    (void)state;
    wh_arena_init(&arena, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    wh_arena_deinit(&arena);
    return 0;
}

static enum wh_err decode(enum wh_base64 variant, const char *text, struct wh_slice *out)
{
    return wh_base64_decode(variant, wh_slice_from_str(text), &arena, out);
}

static void known_texts_encode_and_decode(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        struct wh_buf buf = {0};
        struct wh_slice bytes;
        wh_base64_encode(WH_BASE64_STANDARD, vectors[i].bytes, &buf);
        assert_string_equal(wh_buf_cstr(&buf), vectors[i].standard);
        wh_buf_reset(&buf);
        wh_base64_encode(WH_BASE64_URL, vectors[i].bytes, &buf);
        assert_string_equal(wh_buf_cstr(&buf), vectors[i].url);
        assert_int_equal(decode(WH_BASE64_STANDARD, vectors[i].standard, &bytes), WH_OK);
        assert_true(bytes.ptr && wh_slice_equal(bytes, vectors[i].bytes));
        assert_int_equal(decode(WH_BASE64_URL, vectors[i].url, &bytes), WH_OK);
        assert_true(bytes.ptr && wh_slice_equal(bytes, vectors[i].bytes));
        wh_buf_deinit(&buf);
    }
}

static void second_spellings_are_refused(void **state)
{
    (void)state;
    static const struct {
        enum wh_base64 variant;
        const char *text;
    } cases[] = {
        {WH_BASE64_URL, "Zg=="}, /* padding */
        {WH_BASE64_URL, "Zh"},   /* unused bits set */
        {WH_BASE64_URL, "Zm9"},  /* "Zm8" with unused bits set */
        {WH_BASE64_URL, "Z"},    /* six bits carry no byte */
        {WH_BASE64_URL, "Zm9vY"},
        {WH_BASE64_URL, "Zm9v\n"},
        {WH_BASE64_URL, " Zm9v"},
        {WH_BASE64_URL, "+/+/"}, /* the other alphabet */
        {WH_BASE64_URL, "Zm.v"},
        {WH_BASE64_URL, "Zm9\xc3"},
        {WH_BASE64_STANDARD, "Zg"}, /* no padding */
        {WH_BASE64_STANDARD, "Zg="},
        {WH_BASE64_STANDARD, "Z==="},
        {WH_BASE64_STANDARD, "===="},
        {WH_BASE64_STANDARD, "Zh=="},
        {WH_BASE64_STANDARD, "Zg==Zg=="},
        {WH_BASE64_STANDARD, "-_-_"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wh_slice bytes = WH_SLICE_ABSENT;
        if (decode(cases[i].variant, cases[i].text, &bytes) != WH_EFORMAT)
            fail_msg("accepted: %s", cases[i].text);
        assert_null(bytes.ptr);
    }
}

static void an_exhausted_arena_is_told(void **state)
{
    (void)state;
    struct wh_arena small;
    struct wh_slice bytes;
    char text[4096];
    memset(text, 'A', sizeof(text));
    wh_arena_init(&small, 64);
    assert_int_equal(wh_base64_decode(WH_BASE64_URL, wh_slice(text, sizeof(text)), &small, &bytes),
                     WH_ENOMEM);
    wh_arena_deinit(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_texts_encode_and_decode),
        cmocka_unit_test(second_spellings_are_refused),
        cmocka_unit_test(an_exhausted_arena_is_told),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
