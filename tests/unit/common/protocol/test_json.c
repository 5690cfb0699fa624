#include "common/base/utf8.h"
#include "common/protocol/json.h"

#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/jansson_judge.h"
#include "tests/support/json_cases.h"

static struct wh_arena arena;

static struct wh_json_reader reader_of(const char *text)
{
    struct wh_json_reader reader;
    wh_json_reader_init(&reader, wh_slice_from_str(text));
    return reader;
}

/* Both judge the same, or jansson has no say. */
static bool jansson_agrees(struct wh_slice text)
{
    enum jansson_verdict verdict = jansson_judge(text, NULL);
    return verdict == JANSSON_ABSTAINS || wh_json_is_valid(text) == (verdict == JANSSON_ACCEPTS);
}

static void case_lists_are_judged_as_the_rfc_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < JSON_CASE_COUNT; i++) {
        struct wh_slice text = json_cases[i].text;
        if (wh_json_is_valid(text) != json_cases[i].is_valid)
            fail_msg("case %zu: %.*s", i, WH_SLICE_ARGS(text));
    }
}

static void jansson_agrees_on_every_case(void **state)
{
    (void)state;
    for (size_t i = 0; i < JSON_CASE_COUNT; i++) {
        if (!jansson_agrees(json_cases[i].text))
            fail_msg("case %zu: %.*s", i, WH_SLICE_ARGS(json_cases[i].text));
    }
}

/* Each byte of each case replaced by each of a few that matter. */
static void jansson_agrees_on_mutations(void **state)
{
    (void)state;
    static const char bytes[] = "\"\\{}[],:0-.eE tfn\x01\x7F\x80\xC3\xED\xF4\xFF";
    for (size_t i = 0; i < JSON_CASE_COUNT; i++) {
        struct wh_slice text = json_cases[i].text;
        char copy[64];
        if (text.len > sizeof(copy))
            continue;
        for (size_t at = 0; at < text.len; at++) {
            for (size_t b = 0; b < sizeof(bytes); b++) {
                memcpy(copy, text.ptr, text.len);
                copy[at] = bytes[b];
                if (!jansson_agrees(wh_slice(copy, text.len)))
                    fail_msg("case %zu at %zu: %.*s", i, at, (int)text.len, copy);
            }
        }
    }
}

/* Pulling through every value must judge like skipping. */
static enum wh_err pull(struct wh_json_reader *reader)
{
    enum wh_json_type type, stack[WH_JSON_DEPTH_MAX + 1];
    unsigned depth = 0;
    struct wh_slice text;
    double number;
    bool boolean;
    do {
        enum wh_err err = wh_json_peek(reader, &type);
        if (err)
            return err;
        if (type == WH_JSON_ARRAY || type == WH_JSON_OBJECT) {
            err = wh_json_enter(reader, type);
            stack[depth++] = type;
        } else if (type == WH_JSON_STRING) {
            err = wh_json_read_string(reader, &arena, &text);
        } else if (type == WH_JSON_NUMBER) {
            err = wh_json_read_double(reader, &number);
        } else if (type == WH_JSON_BOOL) {
            err = wh_json_read_bool(reader, &boolean);
        } else {
            err = wh_json_read_null(reader);
        }
        while (!err && depth > 0) {
            err = stack[depth - 1] == WH_JSON_OBJECT ? wh_json_next_member(reader, &arena, &text)
                                                     : wh_json_next_item(reader);
            if (err != WH_EEND)
                break;
            depth--;
            err = WH_OK;
        }
        if (err)
            return err;
    } while (depth > 0);
    return wh_json_finish(reader);
}

/* Returns the end of what was written. */
static char *put(char *out, const char *text)
{
    size_t len = strlen(text);
    memcpy(out, text, len);
    return out + len;
}

static char *nested(const char *open, const char *close, size_t depth, const char *core)
{
    char *all = calloc(1, depth * (strlen(open) + strlen(close)) + strlen(core) + 1);
    char *end = all;
    for (size_t i = 0; i < depth; i++)
        end = put(end, open);
    end = put(end, core);
    for (size_t i = 0; i < depth; i++)
        end = put(end, close);
    return all;
}

static void nesting_ends_at_64_whatever_the_container(void **state)
{
    (void)state;
    static const struct {
        const char *open, *close, *core;
        size_t depth;
        bool is_valid;
    } cases[] = {
        {"[", "]", "", 64, true},
        {"[", "]", "", 65, false},
        {"{\"a\":", "}", "1", 64, true},
        {"{\"a\":", "}", "1", 65, false},
        {"[{\"a\":", "}]", "null", 32, true},
        {"[{\"a\":", "}]", "[]", 32, false},
        {"[", "]", "", 10000, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *text = nested(cases[i].open, cases[i].close, cases[i].depth, cases[i].core);
        struct wh_json_reader reader = reader_of(text);
        assert_int_equal(wh_json_is_valid(wh_slice_from_str(text)), cases[i].is_valid);
        assert_int_equal(pull(&reader), cases[i].is_valid ? WH_OK : WH_EFORMAT);
        free(text);
    }
}

static void unsigned_integers_are_exact_or_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_valid;
        uint64_t value;
    } cases[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"-0.0e5", true, 0},
        {"18446744073709551615", true, UINT64_MAX},
        {"18446744073709551616", false, 0},
        {"9007199254740993", true, 9007199254740993},
        {"1.0", true, 1},
        {"1e3", true, 1000},
        {"10.50e1", true, 105},
        {"1000e-3", true, 1},
        {"0e999999999999", true, 0},
        {"0.00100e3", true, 1},
        {"1844674407370955161.5e1", true, UINT64_MAX},
        {"1.5", false, 0},
        {"1e-1", false, 0},
        {"1e20", false, 0},
        {"1e999999999999", false, 0},
        {"-1", false, 0},
        {"\"1\"", false, 0},
        {"true", false, 0},
        {"", false, 0},
        {"-", false, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t value = 77;
        struct wh_json_reader reader = reader_of(cases[i].text);
        enum wh_err err = wh_json_read_u64(&reader, &value);
        if ((err == WH_OK) != cases[i].is_valid || value != (err ? 77 : cases[i].value))
            fail_msg("%s: %s %llu", cases[i].text, wh_err_name(err), (unsigned long long)value);
    }
}

static void signed_integers_are_exact_or_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_valid;
        int64_t value;
    } cases[] = {
        {"-9223372036854775808", true, INT64_MIN},
        {"-9223372036854775809", false, 0},
        {"9223372036854775807", true, INT64_MAX},
        {"9223372036854775808", false, 0},
        {"-1.0e0", true, -1},
        {"-0", true, 0},
        {"-12e-1", false, 0},
        {"-922337203685477580.8e1", true, INT64_MIN},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t value = 77;
        struct wh_json_reader reader = reader_of(cases[i].text);
        enum wh_err err = wh_json_read_i64(&reader, &value);
        if ((err == WH_OK) != cases[i].is_valid || value != (err ? 77 : cases[i].value))
            fail_msg("%s: %s %lld", cases[i].text, wh_err_name(err), (long long)value);
    }
}

/* Tells -0 from 0, as == does not. */
static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static void check_double(const char *text)
{
    double value = -77;
    struct wh_json_reader reader = reader_of(text);
    assert_int_equal(wh_json_read_double(&reader, &value), WH_OK);
    double expected = strtod(text, NULL);
    if (bits_of(value) != bits_of(expected))
        fail_msg("%s: %a, not %a", text, value, expected);
}

static void doubles_round_as_strtod_does(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "0",
        "-0",
        "0.1",
        "1.7976931348623157e308",
        "1e309",
        "-1e309",
        "4.9406564584124654e-324",
        "1e-400",
        "2.2250738585072011e-308",
        "9007199254740993",
        "123456789012345678901234567890.5e-10",
        "0.000000000000000000000000000000000000000000001e44",
        "1e23",
        "8.5e-1",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        check_double(texts[i]);
    /* 1 + 2^-53 is half way between two doubles: a digit far behind decides. */
    char text[2100] = "1.00000000000000011102230246251565404236316680908203125";
    size_t len = strlen(text);
    memset(text + len, '0', 1900);
    text[len + 1900] = '\0';
    check_double(text);
    text[len + 1899] = '1';
    check_double(text);
}

static void written_doubles_read_back_the_same(void **state)
{
    (void)state;
    static const struct {
        double number;
        const char *text;
    } cases[] = {
        {0.1, "0.1"},
        {1.0, "1"},
        {-0.0, "-0.0"}, /* an integer has no -0 */
        {-0.5, "-0.5"},
        {(double)0.1f, "0.10000000149011612"},
        {1e300, "1e+300"},
        {123456789.125, "123456789.125"},
        {NAN, "null"},
        {INFINITY, "null"},
        {-INFINITY, "null"},
        {5e-324, "4.94065645841247e-324"},
        {1.0 / 3, "0.3333333333333333"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wh_buf buf = {0};
        wh_json_write_double(&buf, cases[i].number);
        assert_string_equal(wh_buf_cstr(&buf), cases[i].text);
        assert_true(wh_json_is_valid(wh_buf_slice(&buf)));
        if (isfinite(cases[i].number))
            assert_true(strtod(cases[i].text, NULL) == cases[i].number);
        wh_buf_deinit(&buf);
    }
}

static void strings_are_unescaped(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *value;
        size_t len;
    } cases[] = {
        {"\"\"", "", 0},
        {"\"plain\"", "plain", 5},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8},
        {"\"\\u0041\\u00e9\\u20AC\"", "A\xC3\xA9\xE2\x82\xAC", 6},
        {"\"\\ud83d\\ude00!\"", "\xF0\x9F\x98\x80!", 5},
        {"\"a\\u0000b\"", "a\0b", 3},
        /* Lone surrogates, in each position a pair could have been. */
        {"\"\\ud800\"", "\xEF\xBF\xBD", 3},
        {"\"\\udc00x\"", "\xEF\xBF\xBDx", 4},
        {"\"\\ud800\\ud800\"", "\xEF\xBF\xBD\xEF\xBF\xBD", 6},
        {"\"\\ud800\\u0041\"",
         "\xEF\xBF\xBD"
         "A",
         4},
        {"\"\\ud83d\\ud83d\\ude00\"", "\xEF\xBF\xBD\xF0\x9F\x98\x80", 7},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wh_slice value;
        struct wh_json_reader reader = reader_of(cases[i].text);
        assert_int_equal(wh_json_read_string(&reader, &arena, &value), WH_OK);
        assert_int_equal(value.len, cases[i].len);
        assert_non_null(value.ptr);
        assert_memory_equal(value.ptr, cases[i].value, value.len);
        assert_true(wh_utf8_is_valid(value));
        assert_int_equal(wh_json_finish(&reader), WH_OK);
    }
}

/* The scan goes eight bytes at a time: what stops it must be seen at every place in a word. */
static void special_bytes_are_seen_at_every_offset(void **state)
{
    (void)state;
    static const struct {
        const char *piece;
        bool is_valid;
    } cases[] = {
        {"\x1F", false},
        {"\x01", false},
        {"\\n", true},
        {"\\x", false},
        {"\xC3\xA9", true},
        {"\xC3", false},
        {"\x80", false},
        {"\xED\xA0\x80", false},
        {"\x7F", true},
        {"\xC0\x80", false},
        {"\xE0\x9F\xBF", false},
        {"\xF4\x90\x80\x80", false},
        {"\"", false},
        {"\xF0\x9F\x98\x80", true},
        {"\xF0\x8F\xBF\xBF", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (int before = 0; before < 20; before++) {
            for (int after = 0; after < 20; after++) {
                char text[80];
                snprintf(text, sizeof(text), "\"%.*s%s%.*s\"", before, "aaaaaaaaaaaaaaaaaaaaaaaa",
                         cases[i].piece, after, "bbbbbbbbbbbbbbbbbbbbbbbb");
                if (wh_json_is_valid(wh_slice_from_str(text)) != cases[i].is_valid)
                    fail_msg("%s", text);
            }
        }
    }
}

static void plain_strings_and_raw_values_are_slices_of_the_text(void **state)
{
    (void)state;
    const char *text = " {\"k\" : \"v\", \"raw\" : [1, {\"a\":\"\\u0041\"} ] } ";
    struct wh_json_reader reader = reader_of(text);
    struct wh_slice key, value;
    assert_int_equal(wh_json_enter(&reader, WH_JSON_OBJECT), WH_OK);
    assert_int_equal(wh_json_next_member(&reader, &arena, &key), WH_OK);
    assert_int_equal(wh_json_read_string(&reader, &arena, &value), WH_OK);
    assert_ptr_equal(value.ptr, strstr(text, "v\""));
    assert_int_equal(wh_json_next_member(&reader, &arena, &key), WH_OK);
    assert_true(wh_slice_equal_str(key, "raw"));
    assert_int_equal(wh_json_skip(&reader, &value), WH_OK);
    assert_true(wh_slice_equal_str(value, "[1, {\"a\":\"\\u0041\"} ]"));
    assert_int_equal(wh_json_next_member(&reader, &arena, &key), WH_EEND);
    assert_int_equal(wh_json_finish(&reader), WH_OK);
}

static void pulling_and_skipping_agree(void **state)
{
    (void)state;
    for (size_t i = 0; i < JSON_CASE_COUNT; i++) {
        struct wh_json_reader reader;
        wh_json_reader_init(&reader, json_cases[i].text);
        if ((pull(&reader) == WH_OK) != json_cases[i].is_valid)
            fail_msg("case %zu: %.*s", i, WH_SLICE_ARGS(json_cases[i].text));
        wh_arena_reset(&arena);
    }
}

static void written_strings_are_valid_and_read_back(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        char text[5] = {'a', (char)c, 'b', (char)c, '\0'};
        struct wh_buf buf = {0};
        struct wh_slice back;
        wh_json_write_string(&buf, wh_slice(text, 4));
        assert_true(wh_json_is_valid(wh_buf_slice(&buf)));
        struct wh_json_reader reader;
        wh_json_reader_init(&reader, wh_buf_slice(&buf));
        assert_int_equal(wh_json_read_string(&reader, &arena, &back), WH_OK);
        if (c < 0x80)
            assert_true(wh_slice_equal(back, wh_slice(text, 4)));
        else
            assert_true(wh_slice_equal_str(back, "a\xEF\xBF\xBD"
                                                 "b\xEF\xBF\xBD"));
        wh_buf_deinit(&buf);
    }
}

static void written_strings_use_the_short_escapes(void **state)
{
    (void)state;
    struct wh_buf buf = {0};
    wh_json_write_string(&buf, wh_slice_from_str("\"\\\b\t\n\v\f\r\x1F/\x7F\xE2\x82\xAC"));
    assert_string_equal(wh_buf_cstr(&buf),
                        "\"\\\"\\\\\\b\\t\\n\\u000b\\f\\r\\u001f/\x7F\xE2\x82\xAC\"");
    wh_buf_reset(&buf);
    wh_json_write_string(&buf, WH_SLICE_ABSENT);
    assert_string_equal(wh_buf_cstr(&buf), "\"\"");
    wh_buf_deinit(&buf);
}

static void raw_text_loses_its_line_feeds_only(void **state)
{
    (void)state;
    struct wh_buf buf = {0};
    wh_json_write_raw(&buf, wh_slice_from_str("\n{\n\t\"a\": \"\\n\",\r\n\n \"b\":1}\n"));
    assert_string_equal(wh_buf_cstr(&buf), "{\t\"a\": \"\\n\",\r \"b\":1}");
    wh_buf_deinit(&buf);
}

static void arena_exhaustion_is_no_memory(void **state)
{
    (void)state;
    struct wh_arena small;
    struct wh_slice value = WH_SLICE_ABSENT;
    struct wh_json_reader reader = reader_of("\"\\u0041 longer than the limit\"");
    wh_arena_init(&small, 8);
    assert_int_equal(wh_json_read_string(&reader, &small, &value), WH_ENOMEM);
    assert_null(value.ptr);
    wh_arena_deinit(&small);
}

static int open_arena(void **state)
{
    (void)state;
    wh_arena_init(&arena, 0);
    return 0;
}

static int close_arena(void **state)
{
    (void)state;
    wh_arena_deinit(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_lists_are_judged_as_the_rfc_says),
        cmocka_unit_test(jansson_agrees_on_every_case),
        cmocka_unit_test(jansson_agrees_on_mutations),
        cmocka_unit_test(nesting_ends_at_64_whatever_the_container),
        cmocka_unit_test(unsigned_integers_are_exact_or_refused),
        cmocka_unit_test(signed_integers_are_exact_or_refused),
        cmocka_unit_test(doubles_round_as_strtod_does),
        cmocka_unit_test(written_doubles_read_back_the_same),
        cmocka_unit_test(strings_are_unescaped),
        cmocka_unit_test(special_bytes_are_seen_at_every_offset),
        cmocka_unit_test(plain_strings_and_raw_values_are_slices_of_the_text),
        cmocka_unit_test(pulling_and_skipping_agree),
        cmocka_unit_test(written_strings_are_valid_and_read_back),
        cmocka_unit_test(written_strings_use_the_short_escapes),
        cmocka_unit_test(raw_text_loses_its_line_feeds_only),
        cmocka_unit_test(arena_exhaustion_is_no_memory),
    };
    return cmocka_run_group_tests(tests, open_arena, close_arena);
}
