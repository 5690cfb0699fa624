#include "common/base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/base/slice.h"
#include "common/base/trace.h"
#include "common/base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4096 };

static char last[LINE_MAX_BYTES + 1];
static size_t last_len;
static int lines;

static void on_line(void *user, const char *line, size_t len)
{
    assert_ptr_equal(user, &lines);
    assert_in_range(len, 1, LINE_MAX_BYTES);
    assert_int_equal(line[len - 1], '\n');
    assert_ptr_equal(memchr(line, '\n', len), line + len - 1);
    assert_true(wh_utf8_is_valid(wh_slice(line, len)));
    memcpy(last, line, len);
    last[len - 1] = '\0';
    last_len = len;
    lines++;
}

static void setup(enum wh_log_format format)
{
    /* 2026-03-01T12:34:56.007Z */
    wh_clock_set_fake(5000, INT64_C(1772368496007));
    wh_log_setup("wirehub", format);
    wh_log_set_level(WH_LOG_INFO);
    wh_log_set_instance(NULL, 0);
    wh_log_set_sink(on_line, &lines);
    lines = 0;
}

static json_t *parse_last(void)
{
    json_error_t error;
    json_t *object = json_loads(last, JSON_REJECT_DUPLICATES, &error);
    if (!object)
        fail_msg("%s in %s", error.text, last);
    return object;
}

static void assert_member(const char *name, const char *text)
{
    json_t *object = parse_last();
    json_t *member = json_object_get(object, name);
    char *dump = json_dumps(member, JSON_ENCODE_ANY | JSON_REAL_PRECISION(3));
    assert_non_null(dump);
    assert_string_equal(dump, text);
    free(dump);
    json_decref(object);
}

static void a_logfmt_line_has_the_fixed_fields_first(void **state)
{
    (void)state;
    setup(WH_LOG_LOGFMT);
    wh_log(WH_LOG_INFO, "session", "close", "code=%u reason=%s", 3008U, "slow");
    assert_string_equal(last,
                        "time=2026-03-01T12:34:56.007Z level=info program=wirehub module=session "
                        "event=close code=3008 reason=slow");
    wh_log_set_instance("worker", 1);
    wh_log(WH_LOG_ERROR, "main", "exit", "%s", "");
    assert_non_null(strstr(last, " level=error program=wirehub module=main event=exit worker=1"));
}

static void a_json_line_is_one_object(void **state)
{
    (void)state;
    setup(WH_LOG_JSON);
    wh_log_set_instance("worker", 3);
    wh_log(WH_LOG_WARN, "redis", "down", "after_ms=%d reason=%s", 12, "refused");
    assert_string_equal(last,
                        "{\"time\":\"2026-03-01T12:34:56.007Z\",\"level\":\"warn\",\"program\":"
                        "\"wirehub\",\"module\":\"redis\",\"event\":\"down\",\"worker\":3,"
                        "\"after_ms\":12,\"reason\":\"refused\"}");
}

#define LOG(...) wh_log(WH_LOG_INFO, "m", "e", __VA_ARGS__)

/* The value of x, the last field of the line. */
static void assert_logfmt_x(const char *expected)
{
    const char *x = strstr(last, " x=");
    assert_non_null(x);
    assert_string_equal(x + 3, expected);
}

static void every_promised_conversion_is_rendered(void **state)
{
    (void)state;
    setup(WH_LOG_LOGFMT);
    signed char small = -128;
    short middling = -32768;
    LOG("x=%hhd/%hd/%d/%ld/%lld/%i", small, middling, -1, -2L, INT64_C(-3) + 0LL, 4);
    assert_logfmt_x("-128/-32768/-1/-2/-3/4");
    LOG("x=%hhu/%hu/%u/%lu/%llu/%zu/%zd", (unsigned char)255, (unsigned short)65535, UINT32_MAX,
        7UL, UINT64_MAX + 0ULL, SIZE_MAX, (ssize_t)-5);
    assert_logfmt_x("255/65535/4294967295/7/18446744073709551615/18446744073709551615/-5");
    LOG("x=%x/%08x/%016llx/%3d/%03d", 255U, 0xBEEFU, 0xABCULL, 7, 7);
    assert_logfmt_x("\"ff/0000beef/0000000000000abc/  7/007\"");
    LOG("x=%f/%.2f/%.*f", 1.5, 2.345678, 1, 9.99);
    assert_logfmt_x("1.500000/2.35/10.0");
    LOG("x=%s/%.3s/%.*s/%c/100%%", "text", "abcdef", 2, "xyz", 'q');
    assert_logfmt_x("text/abc/xy/q/100%");
    const char *volatile absent = NULL;
    LOG("x=%s", absent);
    assert_logfmt_x("(null)");
}

static void a_precision_bounds_what_is_read(void **state)
{
    (void)state;
    setup(WH_LOG_LOGFMT);
    char *bytes = malloc(3);
    memcpy(bytes, "abc", 3);
    LOG("x=%.*s", WH_SLICE_ARGS(wh_slice(bytes, 3)));
    assert_logfmt_x("abc");
    LOG("x=%.*s", WH_SLICE_ARGS(WH_SLICE_ABSENT));
    assert_logfmt_x("\"\"");
    free(bytes);
}

static void values_cannot_break_out_of_their_field(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        const char *logfmt;
        const char *json;
    } cases[] = {
        {"plain", "plain", "\"plain\""},
        {"", "\"\"", "\"\""},
        {"two words", "\"two words\"", "\"two words\""},
        {"a=b", "\"a=b\"", "\"a=b\""},
        {"\"q\" \\", "\"\\\"q\\\" \\\\\"", "\"\\\"q\\\" \\\\\""},
        {"1\nlevel=error", "\"1\\nlevel=error\"", "\"1\\nlevel=error\""},
        {"\r\t\x01\x1b[31m", "\"\\r\\t\\u0001\\u001b[31m\"", "\"\\r\\t\\u0001\\u001b[31m\""},
        {"\x7f", "\"\\u007f\"", "\"\\u007f\""},
        {"\xC2\x9B", "\"\\u009b\"", "\"\\u009b\""},
        {"gr\xC3\xBC\xC3\x9F", "\"gr\xC3\xBC\xC3\x9F\"", "\"gr\xC3\xBC\xC3\x9F\""},
        {"\xFF!\xC3", "\"\\ufffd!\\ufffd\"", "\"\\ufffd!\\ufffd\""},
        {"\xED\xA0\x80", "\"\\ufffd\\ufffd\\ufffd\"", "\"\\ufffd\\ufffd\\ufffd\""},
        {"%s %n", "\"%s %n\"", "\"%s %n\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setup(WH_LOG_LOGFMT);
        LOG("x=%s", cases[i].value);
        assert_logfmt_x(cases[i].logfmt);
        setup(WH_LOG_JSON);
        LOG("x=%s y=%d", cases[i].value, 1);
        const char *x = strstr(last, ",\"x\":");
        assert_non_null(x);
        assert_memory_equal(x + 5, cases[i].json, strlen(cases[i].json));
        json_decref(parse_last());
    }
}

static void only_a_lone_number_is_a_number(void **state)
{
    (void)state;
    setup(WH_LOG_JSON);
    LOG("x=%d", -7);
    assert_member("x", "-7");
    LOG("x=%llu", UINT64_C(9007199254740993) + 0ULL);
    assert_member("x", "9007199254740993");
    LOG("x=%.1f", 2.5);
    assert_member("x", "2.5");
    LOG("x=%f", (double)NAN);
    assert_member("x", "\"nan\"");
    LOG("x=%f", -(double)INFINITY);
    assert_member("x", "\"-inf\"");
    LOG("x=%x", 16U);
    assert_member("x", "\"10\"");
    LOG("x=%03d", 5);
    assert_member("x", "\"005\"");
    LOG("x=%dms", 5);
    assert_member("x", "\"5ms\"");
    LOG("x=%d/%d", 1, 2);
    assert_member("x", "\"1/2\"");
    LOG("x=%s", "5");
    assert_member("x", "\"5\"");
}

static void odd_formats_stay_well_formed(void **state)
{
    (void)state;
    setup(WH_LOG_JSON);
    LOG("  a=%d   b=%d  ", 1, 2);
    assert_member("a", "1");
    assert_member("b", "2");
    LOG("bare x=%d", 3);
    assert_member("bare", "\"\"");
    assert_member("x", "3");
    LOG("x=%p y=%d", (void *)last, 3);
    assert_member("x", "\"(unsupported conversion)\"");
    json_t *object = parse_last();
    assert_null(json_object_get(object, "y"));
    json_decref(object);
}

/* Values of every length around the limit, of characters of each width and of escapes. */
static void long_lines_are_cut_at_4_kib_and_stay_valid(void **state)
{
    (void)state;
    static const char *const units[] = {
        "a", " ", "\xC3\xBC", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\"", "\x01", "\xFF"};
    static char value[3 * LINE_MAX_BYTES];
    for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
        size_t unit_len = strlen(units[u]);
        size_t cost = unit_len == 1 && units[u][0] != 'a' && units[u][0] != ' ' ? 2 : unit_len;
        if (units[u][0] == '\x01' || units[u][0] == '\xFF')
            cost = 6;
        size_t around = LINE_MAX_BYTES / cost;
        for (size_t n = around - 200 / cost; n < around + 10; n++) {
            for (size_t i = 0; i < n; i++)
                memcpy(value + i * unit_len, units[u], unit_len);
            value[n * unit_len] = '\0';
            setup(WH_LOG_JSON);
            LOG("x=%s y=%d z=%s", value, 123456, "tail");
            json_t *object = parse_last();
            bool is_cut = json_is_true(json_object_get(object, "truncated"));
            const char *z = json_string_value(json_object_get(object, "z"));
            assert_int_equal(!z || strcmp(z, "tail") != 0, is_cut);
            if (is_cut)
                assert_in_range(last_len, LINE_MAX_BYTES - 40, LINE_MAX_BYTES);
            json_decref(object);
            setup(WH_LOG_LOGFMT);
            LOG("x=%s y=%d z=%s", value, 123456, "tail");
            assert_int_equal(!strstr(last, " z=tail"), !!strstr(last, " truncated=true"));
        }
    }
}

static void a_number_is_whole_or_absent(void **state)
{
    (void)state;
    static char value[LINE_MAX_BYTES];
    for (size_t n = 3900; n < 4000; n++) {
        memset(value, 'v', n);
        value[n] = '\0';
        setup(WH_LOG_JSON);
        LOG("x=%s y=%llu", value, 1234567890123456789ULL);
        json_t *object = parse_last();
        json_t *y = json_object_get(object, "y");
        assert_true(!y || json_integer_value(y) == 1234567890123456789LL);
        assert_int_equal(!y, json_is_true(json_object_get(object, "truncated")));
        json_decref(object);
    }
}

static void random_bytes_never_break_a_line(void **state)
{
    (void)state;
    wh_random_seed(11);
    for (int i = 0; i < 3000; i++) {
        char value[300], other[2500];
        size_t len = wh_random_below(sizeof value), other_len = wh_random_below(sizeof other);
        wh_random_bytes(value, len);
        wh_random_bytes(other, other_len);
        setup(WH_LOG_JSON);
        LOG("x=%.*s y=%.*s z=%d", (int)len, value, (int)other_len, other, i);
        assert_int_equal(lines, 1);
        json_decref(parse_last());
        setup(WH_LOG_LOGFMT);
        LOG("x=%.*s y=%.*s z=%d", (int)len, value, (int)other_len, other, i);
        assert_int_equal(lines, 1);
    }
}

static void lines_below_the_level_are_not_made(void **state)
{
    (void)state;
    setup(WH_LOG_LOGFMT);
    wh_log(WH_LOG_DEBUG, "m", "e", "x=%d", 1);
    assert_int_equal(lines, 0);
    wh_log_set_level(WH_LOG_TRACE);
    wh_log(WH_LOG_TRACE, "m", "e", "x=%d", 1);
    assert_int_equal(lines, 1);
    wh_log_set_level(WH_LOG_NONE);
    wh_log(WH_LOG_ERROR, "m", "e", "x=%d", 1);
    wh_log(WH_LOG_NONE, "m", "e", "x=%d", 1);
    assert_int_equal(lines, 1);
    assert_false(wh_log_enabled(WH_LOG_ERROR));
}

static void level_names_parse_and_others_do_not(void **state)
{
    (void)state;
    static const char *const names[] = {"trace", "debug", "info", "warn", "error", "none"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        enum wh_log_level level = WH_LOG_NONE;
        assert_true(wh_log_level_parse(names[i], &level));
        assert_int_equal(level, i);
    }
    enum wh_log_level level = WH_LOG_WARN;
    assert_false(wh_log_level_parse("INFO", &level));
    assert_false(wh_log_level_parse("", &level));
    assert_int_equal(level, WH_LOG_WARN);
}

static void limited_lines_come_once_a_second_and_count_the_rest(void **state)
{
    (void)state;
    static const uint64_t starts[] = {0, 1, 999, 5000, UINT64_C(1) << 40};
    for (size_t s = 0; s < sizeof starts / sizeof *starts; s++) {
        struct wh_log_limit limit = {0};
        setup(WH_LOG_JSON);
        wh_clock_set_fake(starts[s], 0);
        for (int i = 0; i < 100; i++)
            wh_log_limited(&limit, WH_LOG_WARN, "m", "storm", "i=%d", i);
        assert_int_equal(lines, 1);
        assert_member("i", "0");
        wh_clock_set_fake(starts[s] + 999, 0);
        wh_log_limited(&limit, WH_LOG_WARN, "m", "storm", "i=%d", 100);
        assert_int_equal(lines, 1);
        wh_clock_set_fake(starts[s] + 1001, 0);
        wh_log_limited(&limit, WH_LOG_WARN, "m", "storm", "i=%d", 101);
        assert_int_equal(lines, 2);
        assert_member("suppressed", "100");
        assert_member("i", "101");
        wh_clock_set_fake(starts[s] + 2002, 0);
        wh_log_limited(&limit, WH_LOG_WARN, "m", "storm", "i=%d", 102);
        assert_int_equal(lines, 3);
        assert_null(strstr(last, "suppressed"));
    }
}

static void lines_that_the_level_hides_are_not_counted(void **state)
{
    (void)state;
    struct wh_log_limit limit = {0};
    setup(WH_LOG_JSON);
    wh_log_limited(&limit, WH_LOG_DEBUG, "m", "e", "i=%d", 1);
    assert_int_equal(limit.suppressed, 0);
    assert_int_equal(limit.window_start_ms, 0);
}

static void without_a_sink_each_line_is_one_write_to_stdout(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_DIRECT), 0);
    int saved = dup(STDOUT_FILENO);
    setup(WH_LOG_AUTO);
    wh_log_set_sink(NULL, NULL);
    fflush(stdout);
    dup2(ends[1], STDOUT_FILENO);
    errno = EBADF;
    LOG("x=%d", 1);
    int errno_after = errno;
    LOG("x=%d", 2);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    close(ends[1]);
    assert_int_equal(errno_after, EBADF);
    /* A packet pipe hands out one write at a time.  A pipe is no terminal, so it is JSON. */
    for (int i = 1; i <= 2; i++) {
        char packet[LINE_MAX_BYTES + 1];
        ssize_t len = read(ends[0], packet, sizeof packet - 1);
        assert_true(len > 0);
        packet[len] = '\0';
        assert_int_equal(packet[0], '{');
        assert_ptr_equal(strchr(packet, '\n'), packet + len - 1);
        assert_non_null(strstr(packet, i == 1 ? "\"x\":1}" : "\"x\":2}"));
    }
    close(ends[0]);
}

static void lines_of_a_traced_thread_name_its_trace(void **state)
{
    (void)state;
    struct wh_trace trace = {.trace_id = {0xab, [15] = 1}, .span_id = {1}};
    struct wh_trace broken = {.trace_id = {1}};
    setup(WH_LOG_JSON);
    wh_log_set_trace(&trace);
    wh_log(WH_LOG_INFO, "m", "e", "a=%d", 1);
    json_t *object = parse_last();
    assert_string_equal(json_string_value(json_object_get(object, "trace_id")),
                        "ab000000000000000000000000000001");
    json_decref(object);
    const struct wh_trace *const none[] = {NULL, &broken};
    for (int i = 0; i < 2; i++) {
        wh_log_set_trace(&trace);
        wh_log_set_trace(none[i]);
        wh_log(WH_LOG_INFO, "m", "e", "a=%d", 1);
        assert_null(strstr(last, "trace_id"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_a_traced_thread_name_its_trace),
        cmocka_unit_test(a_logfmt_line_has_the_fixed_fields_first),
        cmocka_unit_test(a_json_line_is_one_object),
        cmocka_unit_test(every_promised_conversion_is_rendered),
        cmocka_unit_test(a_precision_bounds_what_is_read),
        cmocka_unit_test(values_cannot_break_out_of_their_field),
        cmocka_unit_test(only_a_lone_number_is_a_number),
        cmocka_unit_test(odd_formats_stay_well_formed),
        cmocka_unit_test(long_lines_are_cut_at_4_kib_and_stay_valid),
        cmocka_unit_test(a_number_is_whole_or_absent),
        cmocka_unit_test(random_bytes_never_break_a_line),
        cmocka_unit_test(lines_below_the_level_are_not_made),
        cmocka_unit_test(level_names_parse_and_others_do_not),
        cmocka_unit_test(limited_lines_come_once_a_second_and_count_the_rest),
        cmocka_unit_test(lines_that_the_level_hides_are_not_counted),
        cmocka_unit_test(without_a_sink_each_line_is_one_write_to_stdout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
