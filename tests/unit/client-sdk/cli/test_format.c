/* Formats, templates, URLs, payloads of bench: what wh reads and writes without a connection. */
#include "client-sdk/cli/bench.h"
#include "client-sdk/cli/channels.h"
#include "client-sdk/cli/format.h"
#include "client-sdk/cli/url.h"
#include "common/protocol/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void fields_stand_where_the_format_says(void **state)
{
    static const struct {
        const char *format, *wanted;
    } rows[] = {
        {"", ""},
        {"%c", "news"},
        {"%o:%d", "17:{\"a\":1}"},
        {"%l bytes\\n", "7 bytes\n"},
        {"%u\\t%i", "ann\tc1"},
        {"100%% \\\\", "100% \\"},
    };
    (void)state;
    struct format_fields fields = {.channel = "news",
                                   .offset = 17,
                                   .data = WH_SLICE_LITERAL("{\"a\":1}"),
                                   .user = "ann",
                                   .client = "c1"};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wh_buf text = {0}, problem = {0};
        assert_int_equal(format_check(rows[i].format, &problem), WH_OK);
        format_write(rows[i].format, &fields, &text);
        assert_string_equal(wh_buf_cstr(&text), rows[i].wanted);
        wh_buf_deinit(&text);
        wh_buf_deinit(&problem);
    }
}

static void absent_fields_are_nothing(void **state)
{
    (void)state;
    struct wh_buf text = {0};
    format_write("%t|%c|%u|%i|%d", &(struct format_fields){0}, &text);
    assert_string_equal(wh_buf_cstr(&text), "-||||");
    wh_buf_deinit(&text);
}

static void what_is_no_format_is_refused(void **state)
{
    static const char *const rows[] = {"%", "%x", "a\\", "\\q", "%d%"};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wh_buf problem = {0};
        assert_int_equal(format_check(rows[i], &problem), WH_EFORMAT);
        assert_true(problem.len > 0);
        wh_buf_deinit(&problem);
    }
}

static void templates_count_and_tell_the_time(void **state)
{
    (void)state;
    struct wh_buf text = {0};
    template_write("{\"i\":{{i}},\"t\":{{ts}},\"at\":\"{{ time }}\"}", 3, 1700000000123, &text);
    assert_string_equal(wh_buf_cstr(&text),
                        "{\"i\":3,\"t\":1700000000123,\"at\":\"2023-11-14T22:13:20.123Z\"}");
    wh_buf_reset(&text);
    template_write("{{uuid}}", 1, 0, &text);
    assert_int_equal(text.len, 36);
    wh_buf_deinit(&text);
}

static void what_is_no_template_is_refused(void **state)
{
    static const char *const bad[] = {"{{", "{{x}}", "{{i} }", "{{}}", "{{i}}{{j}}"};
    static const char *const good[] = {"", "{}", "{{i}}", "}}", "{\"a\":{\"b\":{{i}}}}"};
    (void)state;
    struct wh_buf problem = {0};
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(template_check(bad[i], &problem), WH_EFORMAT);
    for (size_t i = 0; i < COUNT(good); i++)
        assert_int_equal(template_check(good[i], &problem), WH_OK);
    wh_buf_deinit(&problem);
}

static void urls_are_completed(void **state)
{
    static const struct {
        const char *given, *wanted;
    } rows[] = {
        {"localhost:8000", "ws://localhost:8000/connection/websocket"},
        {"https://h", "wss://h/connection/websocket"},
        {"http://h/", "ws://h/connection/websocket"},
        {"wss://h/ws", "wss://h/ws"},
        {"HTTPS://h", "wss://h/connection/websocket"},
        {"WS://h/x", "ws://h/x"},
        {"h/x?y=/", "ws://h/x?y=/"},
        {"a:1, wss://b/c", "ws://a:1/connection/websocket,wss://b/c"},
        {"", "ws:///connection/websocket"},
    };
    struct wh_arena arena = {0};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *url;
        assert_int_equal(url_complete(rows[i].given, &arena, &url), WH_OK);
        assert_string_equal(url, rows[i].wanted);
    }
    wh_arena_deinit(&arena);
}

static void positions_are_offset_and_epoch(void **state)
{
    static const char *const bad[] = {"", ":x", "-1", "x", "1x", "99999999999999999999:e"};
    struct wh_position position;
    (void)state;
    assert_int_equal(position_parse("17:a:b", &position), WH_OK);
    assert_int_equal(position.offset, 17);
    assert_string_equal(position.epoch, "a:b");
    assert_int_equal(position_parse("18446744073709551615", &position), WH_OK);
    assert_true(position.offset == UINT64_MAX);
    assert_string_equal(position.epoch, "");
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(position_parse(bad[i], &position), WH_EFORMAT);
}

static void payloads_of_bench_come_back_and_have_their_size(void **state)
{
    static const size_t sizes[] = {0, 1, 40, 64, 4096};
    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct wh_buf text = {0};
        uint64_t number, time_us;
        bench_payload_write(12, 345678, sizes[i], &text);
        assert_true(wh_json_is_valid(wh_buf_slice(&text)));
        assert_true(text.len == sizes[i] || (sizes[i] < 40 && text.len < 40));
        assert_true(bench_payload_read(wh_buf_slice(&text), &number, &time_us));
        assert_int_equal(number, 12);
        assert_int_equal(time_us, 345678);
        wh_buf_deinit(&text);
    }
    uint64_t number, time_us;
    assert_false(bench_payload_read(WH_SLICE_LITERAL("{\"n\":,\"t\":1"), &number, &time_us));
    assert_false(bench_payload_read(WH_SLICE_LITERAL("{\"n\":99999999999999999999999,\"t\":1"),
                                    &number, &time_us));
    assert_false(bench_payload_read(WH_SLICE_ABSENT, &number, &time_us));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_stand_where_the_format_says),
        cmocka_unit_test(absent_fields_are_nothing),
        cmocka_unit_test(what_is_no_format_is_refused),
        cmocka_unit_test(templates_count_and_tell_the_time),
        cmocka_unit_test(what_is_no_template_is_refused),
        cmocka_unit_test(urls_are_completed),
        cmocka_unit_test(positions_are_offset_and_epoch),
        cmocka_unit_test(payloads_of_bench_come_back_and_have_their_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
