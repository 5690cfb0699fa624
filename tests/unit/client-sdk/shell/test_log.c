/* What the log shows, and to whom. */
#include "client-sdk/src/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct {
    unsigned lines;
    enum wh_severity severity;
    char area[32], event[32], fields[8192];
} heard;

static void on_line(enum wh_severity severity,
                    const char *area,
                    const char *event,
                    const char *fields,
                    void *user)
{
    assert_ptr_equal(user, &heard);
    heard.lines++;
    heard.severity = severity;
    (void)snprintf(heard.area, sizeof heard.area, "%s", area);
    (void)snprintf(heard.event, sizeof heard.event, "%s", event);
    (void)snprintf(heard.fields, sizeof heard.fields, "%s", fields);
}

static int listen_to(enum wh_severity severity, const char *areas)
{
    memset(&heard, 0, sizeof heard);
    wh_log_sink(on_line, &heard, severity, areas);
    return 0;
}

static int silence(void **state)
{
    (void)state;
    wh_log_sink(NULL, NULL, WH_SEVERITY_NONE, NULL);
    return 0;
}

static void secrets_of_frames_are_hidden_whatever_they_look_like(void **state)
{
    (void)state;
    static const struct {
        const char *text, *shown;
    } cases[] = {
        {"{\"token\":\"abc\"}", "{\"token\":\"***\"}"},
        {"{\"token\" : \"abc\" ,\"x\":\"y\"}", "{\"token\":\"***\",\"x\":\"y\"}"},
        {"{\"access_token\":1234,\"b\":2}", "{\"access_token\":\"***\",\"b\":2}"},
        {"{\"userPassword\":{\"a\":[\"x\",\"}\"]},\"b\":1}", "{\"userPassword\":\"***\",\"b\":1}"},
        {"{\"tokens\":[\"a\",\"b\"],\"c\":1}", "{\"tokens\":\"***\",\"c\":1}"},
        {"{\"headers\":{\"X\":\"z\"},\"c\":1}", "{\"headers\":\"***\",\"c\":1}"},
        {"{\"authorization\":\"z\"}", "{\"authorization\":\"***\"}"},
        {"{\"Set-Cookie\":\"z\"}", "{\"Set-Cookie\":\"***\"}"},
        {"{\"X-API-Key\":\"z\"}", "{\"X-API-Key\":\"***\"}"},
        {"{\"pass\\u0077ord\":\"z\"}", "{\"pass\\u0077ord\":\"***\"}"},
        {"{\"data\":\"bearer z\"}", "{\"data\":\"***\"}"},
        {"{\"data\":\"Basic dTpw\"}", "{\"data\":\"***\"}"},
        {"{\"data\":\"eyJhbGciOiJIUzI1NiJ9.e30.x\"}", "{\"data\":\"***\"}"},
        {"[\"a\",\"eyJhbGciOiJIUzI1NiJ9.e30.x\"]", "[\"a\",\"***\"]"},
        {"{\"data\":\"{\\\"password\\\":\\\"z\\\"}\"}", "{\"data\":\"***\"}"},
        {"{\"secret\":\"not finished", "{\"secret\":\"***\""},
        {"{\"secret\":{\"not\":\"finished\"", "{\"secret\":\"***\""},
        {"{\"secret\":", "{\"secret\":\"***\""},
        {"{\"secret\":null}\n{\"a\":1}", "{\"secret\":\"***\"}\\x0a{\"a\":1}"},
        {"{\"data\":{\"a\":\"b\",\"n\":[1,true]}}", "{\"data\":{\"a\":\"b\",\"n\":[1,true]}}"},
        {"not JSON", "not JSON"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wh_buf out = {0}, plain = {0};
        trace_redact(&out, wh_slice_from_str(cases[i].text));
        /* The escaping of quotation marks and backslashes, undone. */
        for (const char *at = wh_buf_cstr(&out); *at; at++) {
            at += at[0] == '\\' && (at[1] == '"' || at[1] == '\\');
            wh_buf_append_char(&plain, *at);
        }
        assert_string_equal(wh_buf_cstr(&plain), cases[i].shown);
        wh_buf_deinit(&out);
        wh_buf_deinit(&plain);
    }
}

static void what_a_server_says_is_neither_a_token_nor_a_line(void **state)
{
    (void)state;
    listen_to(WH_SEVERITY_TRACE, NULL);
    trace_line(WH_SEVERITY_INFO, "client", "closed", "reason=\"%s\" x=1",
               "bad eyJhbGciOiJIUzI1NiJ9.e30.SECRET\nlevel=error");
    assert_string_equal(heard.fields, "reason=\"bad *** level=error\" x=1");
    trace_line(WH_SEVERITY_INFO, "client", "closed", "reason=\"%s\"", "monkeyJob eyJ");
    assert_string_equal(heard.fields, "reason=\"monkeyJob eyJ\"");
}

static void a_binary_frame_is_its_length(void **state)
{
    (void)state;
    listen_to(WH_SEVERITY_TRACE, NULL);
    trace_frame("out", WH_SLICE_LITERAL("\x0a\x06SECRET"), false);
    assert_string_equal(heard.fields, "bytes=8");
    assert_string_equal(heard.area, "wire");
    trace_frame("in", WH_SLICE_LITERAL("{\"token\":\"SECRET\"}"), true);
    assert_string_equal(heard.fields, "bytes=18 text=\"{\\\"token\\\":\\\"***\\\"}\"");
    assert_string_equal(heard.event, "in");
}

static void severity_and_areas_choose(void **state)
{
    (void)state;
    listen_to(WH_SEVERITY_INFO, "client,wire");
    assert_true(trace_enabled(WH_SEVERITY_INFO, "client"));
    assert_true(trace_enabled(WH_SEVERITY_ERROR, "wire"));
    assert_false(trace_enabled(WH_SEVERITY_DEBUG, "client"));
    assert_false(trace_enabled(WH_SEVERITY_ERROR, "sub"));
    assert_false(trace_enabled(WH_SEVERITY_ERROR, "clien"));
    trace_line(WH_SEVERITY_ERROR, "sub", "error", "%s", "");
    assert_int_equal(heard.lines, 0);
    trace_line(WH_SEVERITY_WARN, "client", "error", "%s", "a=1");
    assert_int_equal(heard.lines, 1);
    assert_int_equal(heard.severity, WH_SEVERITY_WARN);
    assert_string_equal(heard.event, "error");
    assert_string_equal(heard.fields, "a=1");
    listen_to(WH_SEVERITY_INFO, "");
    assert_true(trace_enabled(WH_SEVERITY_INFO, "sub"));
    wh_log_sink(NULL, NULL, WH_SEVERITY_TRACE, NULL);
    assert_false(trace_enabled(WH_SEVERITY_ERROR, "client"));
}

static void a_line_that_is_too_long_is_cut(void **state)
{
    (void)state;
    static char text[6000];
    memset(text, 'a', sizeof text - 1);
    listen_to(WH_SEVERITY_INFO, NULL);
    trace_line(WH_SEVERITY_INFO, "client", "long", "text=\"%s\"", text);
    assert_int_equal(strlen(heard.fields), 4095);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secrets_of_frames_are_hidden_whatever_they_look_like),
        cmocka_unit_test_teardown(what_a_server_says_is_neither_a_token_nor_a_line, silence),
        cmocka_unit_test_teardown(a_binary_frame_is_its_length, silence),
        cmocka_unit_test_teardown(severity_and_areas_choose, silence),
        cmocka_unit_test_teardown(a_line_that_is_too_long_is_cut, silence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
