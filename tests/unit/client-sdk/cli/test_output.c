/* Text that strangers wrote, on its way to a terminal. */
#include "client-sdk/cli/output.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void control_characters_never_reach_a_terminal(void **state)
{
    static const struct {
        const char *text, *wanted;
    } rows[] = {
        {"plain €", "plain €"},     {"\033[2Jx", "\\x1b[2Jx"},  {"a\nb\r\t", "a\\x0ab\\x0d\\x09"},
        {"\x7f", "\\x7f"},          {"\xc2\x9b", "\\xc2\\x9b"}, /* CSI in one character */
        {"\xff\xfe", "\\xff\\xfe"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wh_buf text = {0};
        output_safe(&text, wh_slice_from_str(rows[i].text));
        assert_string_equal(wh_buf_cstr(&text), rows[i].wanted);
        wh_buf_deinit(&text);
    }
}

static void json_is_spread(void **state)
{
    static const struct {
        const char *json, *wanted;
    } rows[] = {
        {"1", "1"},
        {"{}", "{}"},
        {"[ ]", "[]"},
        {"{\"a\":[1,{\"b\":\"x,:{\\\"\"}],\"c\":{ }}",
         "{\n  \"a\": [\n    1,\n    {\n      \"b\": \"x,:{\\\"\"\n    }\n  ],\n  \"c\": {}\n}"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wh_buf text = {0};
        output_pretty(&text, wh_slice_from_str(rows[i].json));
        assert_string_equal(wh_buf_cstr(&text), rows[i].wanted);
        wh_buf_deinit(&text);
    }
}

static void payloads_are_json_or_base64(void **state)
{
    const struct {
        struct wh_data data;
        const char *object, *line;
    } rows[] = {
        {wh_json("{\"a\": 1}"), ",\"data\":{\"a\": 1}", "{\"a\": 1}"},
        {wh_bytes("17", 2), ",\"data\":17", "17"},
        {wh_bytes("hi", 2), ",\"data_b64\":\"aGk=\"", "hi"},
        {wh_bytes("\0\1", 2), ",\"data_b64\":\"AAE=\"", "base64:AAE="},
        {{"\x81\xa1\x61\x01", 4, WH_DATA_MSGPACK, 0}, ",\"data\":{\"a\":1}", "{\"a\":1}"},
        {wh_json(NULL), "", ""},
    };
    struct output out;
    (void)state;
    output_init(&out, true, false, false);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wh_buf text = {0};
        output_data(&text, "data", &rows[i].data);
        assert_string_equal(wh_buf_cstr(&text), rows[i].object);
        wh_buf_reset(&text);
        output_payload(&out, &text, &rows[i].data);
        assert_string_equal(wh_buf_cstr(&text), rows[i].line);
        wh_buf_deinit(&text);
    }
    output_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(control_characters_never_reach_a_terminal),
        cmocka_unit_test(json_is_spread),
        cmocka_unit_test(payloads_are_json_or_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
