#include "common/protocol/codes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const uint32_t codes[] = {
#define X(name, code, text, temporary) code,
    WH_REPLY_ERROR_LIST(X)
#undef X
#define X(name, code, text) code,
        WH_DISCONNECT_LIST(X) WH_UNSUBSCRIBE_LIST(X)
#undef X
};

/* A client that indexes the text must find one; a close reason has room for 123 bytes. */
static void every_code_has_a_text_that_fits_a_close_frame(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        const char *text = wh_code_text(codes[i]);
        assert_string_not_equal(text, "unknown");
        assert_in_range(strlen(text), 1, 123);
        assert_int_not_equal(text[0], '{'); /* old SDKs parse such reasons as JSON */
    }
    assert_string_equal(wh_code_text(4242), "unknown");
    assert_string_equal(wh_code_text(0), "unknown");
}

static void texts_are_those_of_the_protocol(void **state)
{
    (void)state;
    assert_string_equal(wh_code_text(WH_ERROR_TOKEN_EXPIRED), "token expired");
    assert_string_equal(wh_code_text(3501), "bad request");
    assert_string_equal(wh_code_text(1009), "message size limit");
    assert_string_equal(wh_code_text(2500), "insufficient state");
}

static void only_some_errors_are_temporary(void **state)
{
    (void)state;
    static const uint32_t temporary[] = {100, 111, 113, 1503, 1504};
    for (uint32_t code = 0; code < 5000; code++) {
        bool expected = false;
        for (size_t i = 0; i < sizeof(temporary) / sizeof(temporary[0]); i++)
            expected = expected || temporary[i] == code;
        assert_int_equal(wh_code_is_temporary(code), expected);
    }
}

static void closes_are_1009_and_everything_from_3000(void **state)
{
    (void)state;
    assert_true(wh_code_is_disconnect(1009));
    assert_true(wh_code_is_disconnect(3000));
    assert_true(wh_code_is_disconnect(4999));
    assert_false(wh_code_is_disconnect(2999));
    assert_false(wh_code_is_disconnect(1504));
    assert_false(wh_code_is_disconnect(107));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_a_text_that_fits_a_close_frame),
        cmocka_unit_test(texts_are_those_of_the_protocol),
        cmocka_unit_test(only_some_errors_are_temporary),
        cmocka_unit_test(closes_are_1009_and_everything_from_3000),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
