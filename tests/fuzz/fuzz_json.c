/*
 * Any bytes as JSON: jansson judges the same (where it has a say), skipping and
 * pulling judge the same, and numbers and strings read as the same values.
 */
#include "common/base/utf8.h"
#include "common/protocol/json.h"
#include "tests/support/jansson_judge.h"

#include <math.h>
#include <stdint.h>

enum { ARENA_LIMIT = 8 << 20 };

static void check_number(struct wh_json_reader *reader, const json_t *expected)
{
    struct wh_json_reader copy = *reader;
    double number;
    int64_t integer;
    WH_ASSERT(wh_json_read_double(reader, &number) == WH_OK);
    if (expected)
        WH_ASSERT(number == json_number_value(expected));
    if (wh_json_read_i64(&copy, &integer) == WH_OK) {
        WH_ASSERT((double)integer == number && copy.at == reader->at);
        WH_ASSERT(!json_is_integer(expected) || json_integer_value(expected) == integer);
    }
}

/* Read the value; `expected` is what jansson made of it, NULL where that is not known. */
static enum wh_err check_scalar(struct wh_json_reader *reader,
                                struct wh_arena *arena,
                                enum wh_json_type type,
                                const json_t *expected)
{
    struct wh_slice text;
    bool boolean;
    enum wh_err err;
    switch (type) {
    case WH_JSON_STRING:
        err = wh_json_read_string(reader, arena, &text);
        if (err)
            return err;
        WH_ASSERT(wh_utf8_is_valid(text));
        if (expected)
            WH_ASSERT(wh_slice_equal(
                text, wh_slice(json_string_value(expected), json_string_length(expected))));
        return WH_OK;
    case WH_JSON_BOOL:
        return wh_json_read_bool(reader, &boolean);
    case WH_JSON_NULL:
        return wh_json_read_null(reader);
    default:
        if (wh_json_skip(&(struct wh_json_reader){reader->at, reader->end, 0, false}, NULL))
            return WH_EFORMAT;
        check_number(reader, expected);
        return WH_OK;
    }
}

/* Pull through the text without a tree; scalars at the root are compared with jansson's. */
static enum wh_err pull(struct wh_slice bytes, struct wh_arena *arena, const json_t *root)
{
    enum wh_json_type stack[WH_JSON_DEPTH_MAX], type;
    unsigned depth = 0;
    struct wh_json_reader reader;
    wh_json_reader_init(&reader, bytes);
    do {
        struct wh_slice key;
        enum wh_err err = wh_json_peek(&reader, &type);
        if (!err && (type == WH_JSON_ARRAY || type == WH_JSON_OBJECT)) {
            err = wh_json_enter(&reader, type);
            if (!err)
                stack[depth++] = type;
        } else if (!err) {
            err = check_scalar(&reader, arena, type, depth == 0 ? root : NULL);
        }
        while (!err && depth > 0) {
            err = stack[depth - 1] == WH_JSON_OBJECT ? wh_json_next_member(&reader, arena, &key)
                                                     : wh_json_next_item(&reader);
            if (err != WH_EEND)
                break;
            depth--;
            err = WH_OK;
        }
        if (err)
            return err;
    } while (depth > 0);
    return wh_json_finish(&reader);
}

static void check_writing(struct wh_slice bytes, struct wh_arena *arena)
{
    struct wh_buf buf = {0};
    struct wh_slice back;
    struct wh_json_reader reader;
    wh_json_write_string(&buf, bytes);
    WH_ASSERT(wh_json_is_valid(wh_buf_slice(&buf)));
    wh_json_reader_init(&reader, wh_buf_slice(&buf));
    WH_ASSERT(wh_json_read_string(&reader, arena, &back) == WH_OK);
    if (wh_utf8_is_valid(bytes))
        WH_ASSERT(wh_slice_equal(back, bytes));
    if (wh_json_is_valid(bytes)) {
        wh_buf_reset(&buf);
        wh_json_write_raw(&buf, bytes);
        WH_ASSERT(wh_json_is_valid(wh_buf_slice(&buf)));
        WH_ASSERT(buf.len == 0 || !memchr(buf.ptr, '\n', buf.len));
    }
    wh_buf_deinit(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wh_slice bytes = wh_slice(data, size);
    struct wh_arena arena;
    json_t *expected = NULL;
    wh_arena_init(&arena, ARENA_LIMIT);
    bool is_valid = wh_json_is_valid(bytes);
    enum jansson_verdict verdict = jansson_judge(bytes, &expected);
    if (verdict != JANSSON_ABSTAINS)
        WH_ASSERT(is_valid == (verdict == JANSSON_ACCEPTS));
    enum wh_err err = pull(bytes, &arena, expected);
    if (err != WH_ENOMEM)
        WH_ASSERT(is_valid == (err == WH_OK));
    wh_arena_reset(&arena);
    check_writing(bytes, &arena);
    json_decref(expected);
    wh_arena_deinit(&arena);
    return 0;
}
