/* wh decode: bytes as people write them down, frames of all encodings, and what is neither. */
#include "client-sdk/cli/frame_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct wh_slice bytes_of(const char *text, struct wh_arena *arena)
{
    struct wh_slice bytes;
    assert_int_equal(frame_bytes(FRAME_INPUT_AUTO, wh_slice_from_str(text), arena, &bytes), WH_OK);
    return bytes;
}

static void hex_base64_and_json_are_told_apart(void **state)
{
    struct wh_arena arena = {0};
    (void)state;
    assert_true(wh_slice_equal_str(bytes_of("68 65:6c6C\n6f", &arena), "hello"));
    assert_true(wh_slice_equal_str(bytes_of("aGVsbG8=", &arena), "hello"));
    assert_true(wh_slice_equal_str(bytes_of("aGVsbG8h\n", &arena), "hello!"));
    assert_true(wh_slice_equal_str(bytes_of("{\"id\":1}\n", &arena), "{\"id\":1}"));
    assert_true(wh_slice_equal_str(bytes_of("\x80", &arena), "\x80"));
    wh_arena_deinit(&arena);
}

static void what_was_asked_for_is_demanded(void **state)
{
    static const struct {
        enum frame_input input;
        const char *text;
    } rows[] = {
        {FRAME_INPUT_HEX, "abc"},  {FRAME_INPUT_HEX, "a b"},  {FRAME_INPUT_HEX, ""},
        {FRAME_INPUT_HEX, "xy"},   {FRAME_INPUT_BASE64, "a"}, {FRAME_INPUT_BASE64, "####"},
        {FRAME_INPUT_BASE64, "="}, {FRAME_INPUT_AUTO, "\n"},
    };
    struct wh_arena arena = {0};
    struct wh_slice bytes;
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(
            frame_bytes(rows[i].input, wh_slice_from_str(rows[i].text), &arena, &bytes),
            WH_EFORMAT);
    wh_arena_deinit(&arena);
}

static void every_encoding_is_guessed_and_every_side(void **state)
{
    static const struct {
        const char *text;
        enum wh_encoding encoding;
        enum frame_side side;
        const char *json;
    } rows[] = {
        {"{\"id\":1,\"connect\":{\"token\":\"t\"}}", WH_ENCODING_JSON, FRAME_SIDE_COMMAND,
         "{\"id\":1,\"connect\":{\"token\":\"t\"}}"},
        {"{\"push\":{\"channel\":\"x\",\"pub\":{\"data\":1}}}", WH_ENCODING_JSON, FRAME_SIDE_REPLY,
         "{\"push\":{\"channel\":\"x\",\"pub\":{\"data\":1}}}"},
        /* {"id":1,"rpc":{"method":"m"}} */
        {"82 a2 6964 01 a3 727063 81 a6 6d6574686f64 a1 6d", WH_ENCODING_MSGPACK,
         FRAME_SIDE_COMMAND, "{\"id\":1,\"rpc\":{\"method\":\"m\"}}"},
        /* id 1, connect with token "x" */
        {"07 0801 2203 0a0178", WH_ENCODING_PROTOBUF, FRAME_SIDE_COMMAND,
         "{\"id\":1,\"connect\":{\"token\":\"x\"}}"},
        {"{}", WH_ENCODING_JSON, FRAME_SIDE_REPLY, "{}"},
        {"00", WH_ENCODING_PROTOBUF, FRAME_SIDE_REPLY, "{}"},
        {"80", WH_ENCODING_MSGPACK, FRAME_SIDE_REPLY, "{}"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wh_arena arena = {0};
        struct frame_message message;
        enum wh_encoding encoding;
        struct wh_slice rest = bytes_of(rows[i].text, &arena);
        assert_int_equal(frame_guess(rest, FRAME_SIDE_AUTO, &arena, &encoding), WH_OK);
        assert_int_equal(encoding, rows[i].encoding);
        assert_int_equal(frame_next(encoding, FRAME_SIDE_AUTO, &rest, &arena, &message), WH_OK);
        assert_int_equal(message.side, rows[i].side);
        assert_true(wh_slice_equal_str(message.json, rows[i].json));
        assert_int_equal(frame_next(encoding, FRAME_SIDE_AUTO, &rest, &arena, &message), WH_EEND);
        wh_arena_deinit(&arena);
    }
}

static void bytes_that_are_no_json_are_shown_in_base64(void **state)
{
    /* push to "x" with publication data ff fe, in Protobuf */
    static const char frame[] = "\x0b\x22\x09\x12\x01x\x22\x04\x22\x02\xff\xfe";
    struct wh_arena arena = {0};
    struct frame_message message;
    struct wh_slice rest = wh_slice(frame, sizeof(frame) - 1);
    (void)state;
    assert_int_equal(frame_next(WH_ENCODING_PROTOBUF, FRAME_SIDE_REPLY, &rest, &arena, &message),
                     WH_OK);
    assert_non_null(strstr(message.json.ptr, "{\"data_b64\":\"//4=\"}"));
    wh_arena_deinit(&arena);
}

static void a_frame_cut_anywhere_is_an_error_and_nothing_worse(void **state)
{
    static const char frame[] = "\x07\x08\x01\x22\x03\x0a\x01x";
    (void)state;
    for (size_t len = 1; len < sizeof(frame) - 1; len++) {
        struct wh_arena arena = {0};
        struct frame_message message;
        struct wh_slice rest = wh_slice(frame, len);
        assert_int_equal(frame_next(WH_ENCODING_PROTOBUF, FRAME_SIDE_AUTO, &rest, &arena, &message),
                         WH_EFORMAT);
        wh_arena_deinit(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hex_base64_and_json_are_told_apart),
        cmocka_unit_test(what_was_asked_for_is_demanded),
        cmocka_unit_test(every_encoding_is_guessed_and_every_side),
        cmocka_unit_test(bytes_that_are_no_json_are_shown_in_base64),
        cmocka_unit_test(a_frame_cut_anywhere_is_an_error_and_nothing_worse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
