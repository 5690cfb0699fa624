#include "common/protocol/payload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/protocol/json.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/json_cases.h"

#define J       WH_PAYLOAD_JSON
#define M       WH_PAYLOAD_MSGPACK
#define B       WH_PAYLOAD_BYTES
#define T(text) WH_SLICE_LITERAL(text)

static void what_parses_is_json_and_the_rest_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < JSON_CASE_COUNT; i++) {
        struct wh_payload payload = wh_payload_classify(json_cases[i].text);
        assert_int_equal(payload.kind, json_cases[i].is_valid ? J : B);
        assert_ptr_equal(payload.bytes.ptr, json_cases[i].text.ptr);
    }
}

/* The table of docs/PROTOCOL.md, one row a conversion. */
static const struct conversion {
    enum wh_payload_kind kind;
    enum wh_encoding encoding;
    struct wh_slice from;
    struct wh_slice to; /* absent: cannot be shown */
} conversions[] = {
    /* as they are */
    {J, WH_ENCODING_JSON, T("{ \"a\" : 1.50 }"), T("{ \"a\" : 1.50 }")},
    {J, WH_ENCODING_JSON, T("[1,\n\n 2]\n"), T("[1, 2]")},
    {J, WH_ENCODING_PROTOBUF, T("[1,\n2]"), T("[1,\n2]")},
    {M, WH_ENCODING_MSGPACK, T("\xDA\x00\x01x"), T("\xDA\x00\x01x")},
    {B, WH_ENCODING_PROTOBUF, T("\xFF\x00"), T("\xFF\x00")},
    /* bytes */
    {B, WH_ENCODING_JSON, T("[1,\n2]"), T("[1,2]")},
    {B, WH_ENCODING_JSON, T("\xFF"), {NULL, 0}},
    {B, WH_ENCODING_JSON, T("[1"), {NULL, 0}},
    {B, WH_ENCODING_JSON, T(""), {NULL, 0}},
    {B, WH_ENCODING_MSGPACK, T("[1]"), T("\xC4\x03[1]")},
    {B, WH_ENCODING_MSGPACK, T(""), T("\xC4\x00")},
    /* JSON to MessagePack: numbers */
    {J, WH_ENCODING_MSGPACK, T("0"), T("\x00")},
    {J, WH_ENCODING_MSGPACK, T("-0"), T("\x00")},
    {J, WH_ENCODING_MSGPACK, T("127"), T("\x7F")},
    {J, WH_ENCODING_MSGPACK, T("128"), T("\xCC\x80")},
    {J, WH_ENCODING_MSGPACK, T("65536"), T("\xCE\x00\x01\x00\x00")},
    {J, WH_ENCODING_MSGPACK, T("-32"), T("\xE0")},
    {J, WH_ENCODING_MSGPACK, T("-33"), T("\xD0\xDF")},
    {J, WH_ENCODING_MSGPACK, T("-9223372036854775808"), T("\xD3\x80\x00\x00\x00\x00\x00\x00\x00")},
    {J, WH_ENCODING_MSGPACK, T("18446744073709551615"), T("\xCF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF")},
    {J, WH_ENCODING_MSGPACK, T("18446744073709551616"), T("\xCB\x43\xF0\x00\x00\x00\x00\x00\x00")},
    {J, WH_ENCODING_MSGPACK, T("-9223372036854775809"), T("\xCB\xC3\xE0\x00\x00\x00\x00\x00\x00")},
    {J, WH_ENCODING_MSGPACK, T("1.0"), T("\xCB\x3F\xF0\x00\x00\x00\x00\x00\x00")},
    {J, WH_ENCODING_MSGPACK, T("-0.0"), T("\xCB\x80\x00\x00\x00\x00\x00\x00\x00")},
    {J, WH_ENCODING_MSGPACK, T("1e0"), T("\xCB\x3F\xF0\x00\x00\x00\x00\x00\x00")},
    {J, WH_ENCODING_MSGPACK, T("1e999"), T("\xCB\x7F\xF0\x00\x00\x00\x00\x00\x00")},
    /* JSON to MessagePack: the rest */
    {J, WH_ENCODING_MSGPACK, T(" null "), T("\xC0")},
    {J, WH_ENCODING_MSGPACK, T("[true,false]"), T("\x92\xC3\xC2")},
    {J, WH_ENCODING_MSGPACK, T("\"\\u00e9\\n\""), T("\xA3\xC3\xA9\n")},
    {J, WH_ENCODING_MSGPACK, T("\"\\ud800\""), T("\xA3\xEF\xBF\xBD")},
    {J, WH_ENCODING_MSGPACK, T("{}"), T("\x80")},
    {J, WH_ENCODING_MSGPACK, T("{\"a\":[{\"b\":null}],\"c\":\"\"}"),
     T("\x82\xA1"
       "a\x91\x81\xA1"
       "b\xC0\xA1"
       "c\xA0")},
    {J, WH_ENCODING_MSGPACK, T("{\"a\":1,\"b\":2,\"a\":3}"),
     T("\x82\xA1"
       "b\x02\xA1"
       "a\x03")},
    {J, WH_ENCODING_MSGPACK, T("{\"a\":{\"x\":1,\"x\":2},\"\\u0061\":[],\"a\":{\"y\":1,\"y\":2}}"),
     T("\x81\xA1"
       "a\x81\xA1y\x02")},
    {J, WH_ENCODING_MSGPACK, T("[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]"),
     T("\xDC\x00\x10\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0A\x0B\x0C\x0D\x0E\x0F\x10")},
    /* MessagePack to JSON */
    {M, WH_ENCODING_JSON, T("\xC0"), T("null")},
    {M, WH_ENCODING_JSON, T("\x93\x01\xFF\xC3"), T("[1,-1,true]")},
    {M, WH_ENCODING_JSON, T("\xCA\x3D\xCC\xCC\xCD"), T("0.10000000149011612")},
    {M, WH_ENCODING_JSON, T("\xCB\x3F\xB9\x99\x99\x99\x99\x99\x9A"), T("0.1")},
    {M, WH_ENCODING_JSON, T("\xCB\x80\x00\x00\x00\x00\x00\x00\x00"), T("-0.0")},
    {M, WH_ENCODING_JSON, T("\xCB\x7F\xF8\x00\x00\x00\x00\x00\x00"), T("null")},
    {M, WH_ENCODING_JSON, T("\xCA\xFF\x80\x00\x00"), T("null")},
    {M, WH_ENCODING_JSON, T("\x83\x01\x02\xFF\x80\xA1x\x90"), T("{\"1\":2,\"-1\":{},\"x\":[]}")},
    {M, WH_ENCODING_JSON, T("\x94\xC4\x00\xC4\x01\xFF\xC4\x02\xFF\xFE\xC4\x03\x00\x10\x83"),
     T("[\"\",\"/w==\",\"//4=\",\"ABCD\"]")},
    {M, WH_ENCODING_JSON, T("\x81\xC4\x01\xFF\x01"), T("{\"/w==\":1}")},
    {M, WH_ENCODING_JSON, T("\xA2\"\n"), T("\"\\\"\\n\"")},
    {M, WH_ENCODING_PROTOBUF, T("\x81\xA1x\x01"), T("{\"x\":1}")},
    {M, WH_ENCODING_JSON, T("\xD4\x01\x02"), {NULL, 0}},
    {M, WH_ENCODING_JSON, T("\x01\x02"), {NULL, 0}},
    /* A kind that lies is not put into a frame either where it would have to be understood. */
    {J, WH_ENCODING_MSGPACK, T("[1,"), {NULL, 0}},
    {J, WH_ENCODING_MSGPACK, T("[1]]"), {NULL, 0}},
    {J, WH_ENCODING_MSGPACK, T(""), {NULL, 0}},
    {M, WH_ENCODING_PROTOBUF, T(""), {NULL, 0}},
};

static void payloads_are_shown_as_the_table_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(conversions) / sizeof(conversions[0]); i++) {
        const struct conversion *c = &conversions[i];
        struct wh_buf out = {0};
        wh_buf_append_str(&out, "before");
        enum wh_err err =
            wh_payload_encode((struct wh_payload){c->kind, c->from}, c->encoding, &out);
        assert_int_equal(wh_buf_error(&out), WH_OK);
        struct wh_slice written = wh_slice_from(wh_buf_slice(&out), 6);
        if (err != (c->to.ptr ? WH_OK : WH_EENCODING) || !wh_slice_equal(written, c->to))
            fail_msg("row %zu: %s, %.*s", i, wh_err_name(err), WH_SLICE_ARGS(written));
        wh_buf_deinit(&out);
    }
}

static void what_cannot_be_shown_everywhere_is_refused_at_the_door(void **state)
{
    (void)state;
    static const struct {
        enum wh_payload_kind kind;
        struct wh_slice bytes;
        bool is_fine;
    } cases[] = {
        {B, T("\xFF\x00"), true},
        {B, T(""), true},
        {J, T(" {} "), true},
        {J, T("{"), false},
        {J, T(""), false},
        {M, T("\x93\x01\xA1x\xC4\x01\xFF"), true},
        {M, T("\x81\x01\x02"), true},
        {M, T(""), false},
        {M, T("\xC4\x01x"), false},        /* a top-level bin is kind B */
        {M, T("\x01\x01"), false},         /* two values */
        {M, T("\x92\x01"), false},         /* truncated */
        {M, T("\xD4\x01\x02"), false},     /* ext */
        {M, T("\x91\xD6\xFFxxxx"), false}, /* ext (a timestamp), nested */
        {M, T("\x81\xD4\x01\x02\x01"), false},
        {M, T("\x81\xC0\x01"), false}, /* keys that JSON cannot spell */
        {M, T("\x81\xC3\x01"), false},
        {M, T("\x81\x90\x01"), false},
        {M, T("\x81\xCA\x3F\x80\x00\x00\x01"), false},
        {M, T("\xA1\xFF"), false}, /* a str that is no UTF-8 */
        {M, T("\x81\xA1\xFF\x01"), false},
        {M, T("\xC1"), false},
        {M, T("\xDD\x0F\xFF\xFF\xFF"), false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum wh_err err = wh_payload_check((struct wh_payload){cases[i].kind, cases[i].bytes});
        if (err != (cases[i].is_fine ? WH_OK : WH_EFORMAT))
            fail_msg("case %zu: %s", i, wh_err_name(err));
    }
    assert_int_equal(wh_payload_check((struct wh_payload){M, WH_SLICE_ABSENT}), WH_OK);
}

static void nesting_past_64_is_refused_and_64_converts(void **state)
{
    (void)state;
    char arrays[65], text[131];
    memset(arrays, 0x91, 64);
    arrays[63] = (char)0x90;
    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    struct wh_payload msgpack = {M, wh_slice(arrays, 64)};
    struct wh_payload json = {J, wh_slice(text, 128)};
    struct wh_buf out = {0};
    assert_int_equal(wh_payload_check(msgpack), WH_OK);
    assert_int_equal(wh_payload_check(json), WH_OK);
    assert_int_equal(wh_payload_encode(msgpack, WH_ENCODING_JSON, &out), WH_OK);
    assert_true(wh_slice_equal(wh_buf_slice(&out), json.bytes));
    wh_buf_reset(&out);
    assert_int_equal(wh_payload_encode(json, WH_ENCODING_MSGPACK, &out), WH_OK);
    assert_true(wh_slice_equal(wh_buf_slice(&out), msgpack.bytes));
    memset(arrays, 0x91, 64);
    arrays[64] = (char)0x90;
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    assert_int_equal(wh_payload_check((struct wh_payload){M, wh_slice(arrays, 65)}), WH_EFORMAT);
    assert_int_equal(wh_payload_check((struct wh_payload){J, wh_slice(text, 130)}), WH_EFORMAT);
    wh_buf_deinit(&out);
}

/* Many members take the sorting path; the outcome must be that of the pairwise one. */
static void last_of_many_duplicates_wins(void **state)
{
    (void)state;
    for (unsigned keys = 1; keys < 60; keys += 7) {
        struct wh_buf text = {0}, msgpack = {0}, back = {0};
        for (unsigned i = 0; i < 100; i++)
            wh_buf_printf(&text, "%s\"k%u\":[%u]", i ? "," : "{", i * 31 % keys, i);
        wh_buf_append_char(&text, '}');
        struct wh_payload json = {J, wh_buf_slice(&text)};
        assert_int_equal(wh_payload_encode(json, WH_ENCODING_MSGPACK, &msgpack), WH_OK);
        struct wh_payload value = {M, wh_buf_slice(&msgpack)};
        assert_int_equal(wh_payload_check(value), WH_OK);
        assert_int_equal(wh_payload_encode(value, WH_ENCODING_JSON, &back), WH_OK);
        unsigned commas = 0;
        for (size_t i = 0; i < back.len; i++)
            commas += back.ptr[i] == ',';
        assert_int_equal(commas, keys - 1);
        for (unsigned i = 100 - keys; i < 100; i++) {
            char member[40];
            snprintf(member, sizeof(member), "\"k%u\":[%u]", i * 31 % keys, i);
            assert_non_null(strstr(wh_buf_cstr(&back), member));
        }
        wh_buf_deinit(&text);
        wh_buf_deinit(&msgpack);
        wh_buf_deinit(&back);
    }
}

static void every_case_that_is_json_survives_messagepack(void **state)
{
    (void)state;
    for (size_t i = 0; i < JSON_CASE_COUNT; i++) {
        struct wh_buf msgpack = {0}, back = {0};
        struct wh_payload json = {J, json_cases[i].text};
        enum wh_err err = wh_payload_encode(json, WH_ENCODING_MSGPACK, &msgpack);
        assert_int_equal(err, json_cases[i].is_valid ? WH_OK : WH_EENCODING);
        if (!err) {
            struct wh_payload value = {M, wh_buf_slice(&msgpack)};
            assert_int_equal(wh_payload_check(value), WH_OK);
            assert_int_equal(wh_payload_encode(value, WH_ENCODING_JSON, &back), WH_OK);
            assert_true(wh_json_is_valid(wh_buf_slice(&back)));
        }
        wh_buf_deinit(&msgpack);
        wh_buf_deinit(&back);
    }
}

static enum wh_err convert_both_ways(void)
{
    static const struct wh_payload json = {
        J, T("{\"a\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17],\"\\u0062\":\"\\n\",\"a\":{}}")};
    struct wh_buf msgpack = {0}, back = {0};
    enum wh_err err = wh_payload_encode(json, WH_ENCODING_MSGPACK, &msgpack);
    if (!err)
        err = wh_buf_error(&msgpack);
    if (!err)
        err = wh_payload_encode((struct wh_payload){M, wh_buf_slice(&msgpack)}, WH_ENCODING_JSON,
                                &back);
    if (!err)
        err = wh_buf_error(&back);
    wh_buf_deinit(&msgpack);
    wh_buf_deinit(&back);
    return err;
}

static void failed_allocations_are_reported_and_leak_nothing(void **state)
{
    (void)state;
    size_t nth = 1;
    for (;; nth++) {
        failing_alloc_start(nth);
        enum wh_err err = convert_both_ways();
        if (!failing_alloc_stop())
            break;
        assert_int_equal(err, WH_ENOMEM);
    }
    assert_true(nth > 3);
}

static void a_full_buffer_is_reported_as_such(void **state)
{
    (void)state;
    for (size_t limit = 1; limit < 22; limit++) {
        struct wh_buf out;
        wh_buf_init(&out, limit);
        struct wh_payload json = {J, T("[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19]")};
        assert_int_equal(wh_payload_encode(json, WH_ENCODING_MSGPACK, &out), WH_OK);
        assert_int_equal(wh_buf_error(&out), WH_ELIMIT);
        wh_buf_deinit(&out);
    }
}

static void encodings_have_names(void **state)
{
    (void)state;
    assert_string_equal(wh_encoding_name(WH_ENCODING_JSON), "json");
    assert_string_equal(wh_encoding_name(WH_ENCODING_MSGPACK), "msgpack");
    assert_string_equal(wh_encoding_name(WH_ENCODING_PROTOBUF), "protobuf");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_parses_is_json_and_the_rest_bytes),
        cmocka_unit_test(payloads_are_shown_as_the_table_says),
        cmocka_unit_test(what_cannot_be_shown_everywhere_is_refused_at_the_door),
        cmocka_unit_test(nesting_past_64_is_refused_and_64_converts),
        cmocka_unit_test(last_of_many_duplicates_wins),
        cmocka_unit_test(every_case_that_is_json_survives_messagepack),
        cmocka_unit_test(failed_allocations_are_reported_and_leak_nothing),
        cmocka_unit_test(a_full_buffer_is_reported_as_such),
        cmocka_unit_test(encodings_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
