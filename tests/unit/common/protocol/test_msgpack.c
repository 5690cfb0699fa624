#include "common/protocol/msgpack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define BYTES(text) WH_SLICE_LITERAL(text)

static void every_first_byte_means_what_the_format_says(void **state)
{
    (void)state;
    static const struct {
        struct wh_slice bytes;
        struct wh_msgpack_token token;
    } cases[] = {
        {BYTES("\x00"), {.type = WH_MSGPACK_UINT, .u64 = 0}},
        {BYTES("\x7F"), {.type = WH_MSGPACK_UINT, .u64 = 127}},
        {BYTES("\xE0"), {.type = WH_MSGPACK_INT, .i64 = -32}},
        {BYTES("\xFF"), {.type = WH_MSGPACK_INT, .i64 = -1}},
        {BYTES("\xC0"), {.type = WH_MSGPACK_NIL}},
        {BYTES("\xC2"), {.type = WH_MSGPACK_BOOL, .boolean = false}},
        {BYTES("\xC3"), {.type = WH_MSGPACK_BOOL, .boolean = true}},
        {BYTES("\xCC\xFF"), {.type = WH_MSGPACK_UINT, .u64 = 255}},
        {BYTES("\xCD\x01\x02"), {.type = WH_MSGPACK_UINT, .u64 = 258}},
        {BYTES("\xCE\xFF\xFF\xFF\xFF"), {.type = WH_MSGPACK_UINT, .u64 = UINT32_MAX}},
        {BYTES("\xCF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"),
         {.type = WH_MSGPACK_UINT, .u64 = UINT64_MAX}},
        {BYTES("\xD0\x80"), {.type = WH_MSGPACK_INT, .i64 = -128}},
        {BYTES("\xD0\x7F"), {.type = WH_MSGPACK_UINT, .u64 = 127}},
        {BYTES("\xD1\x80\x00"), {.type = WH_MSGPACK_INT, .i64 = -32768}},
        {BYTES("\xD2\x80\x00\x00\x00"), {.type = WH_MSGPACK_INT, .i64 = INT32_MIN}},
        {BYTES("\xD3\x80\x00\x00\x00\x00\x00\x00\x00"), {.type = WH_MSGPACK_INT, .i64 = INT64_MIN}},
        {BYTES("\xCA\x3F\x80\x00\x00"), {.type = WH_MSGPACK_FLOAT, .number = 1.0}},
        {BYTES("\xCB\x3F\xE0\x00\x00\x00\x00\x00\x00"), {.type = WH_MSGPACK_FLOAT, .number = 0.5}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wh_msgpack_reader reader;
        struct wh_msgpack_token token;
        wh_msgpack_reader_init(&reader, cases[i].bytes);
        assert_int_equal(wh_msgpack_next(&reader, &token), WH_OK);
        assert_int_equal(token.type, cases[i].token.type);
        if (token.type == WH_MSGPACK_FLOAT)
            assert_true(token.number == cases[i].token.number);
        else if (token.type == WH_MSGPACK_BOOL)
            assert_int_equal(token.boolean, cases[i].token.boolean);
        else if (token.type != WH_MSGPACK_NIL)
            assert_true(token.u64 == cases[i].token.u64);
        assert_int_equal(wh_msgpack_next(&reader, &token), WH_EEND);
    }
}

static void byte_strings_are_slices_of_the_input(void **state)
{
    (void)state;
    static const struct {
        struct wh_slice bytes;
        enum wh_msgpack_type type;
        size_t at, len;
    } cases[] = {
        {BYTES("\xA0"), WH_MSGPACK_STR, 1, 0},
        {BYTES("\xA3xyz"), WH_MSGPACK_STR, 1, 3},
        {BYTES("\xD9\x01x"), WH_MSGPACK_STR, 2, 1},
        {BYTES("\xDA\x00\x02xy"), WH_MSGPACK_STR, 3, 2},
        {BYTES("\xDB\x00\x00\x00\x02xy"), WH_MSGPACK_STR, 5, 2},
        {BYTES("\xC4\x02xy"), WH_MSGPACK_BIN, 2, 2},
        {BYTES("\xC5\x00\x02xy"), WH_MSGPACK_BIN, 3, 2},
        {BYTES("\xC6\x00\x00\x00\x02xy"), WH_MSGPACK_BIN, 5, 2},
        {BYTES("\xC7\x02txy"), WH_MSGPACK_EXT, 3, 2},
        {BYTES("\xC8\x00\x02txy"), WH_MSGPACK_EXT, 4, 2},
        {BYTES("\xC9\x00\x00\x00\x02txy"), WH_MSGPACK_EXT, 6, 2},
        {BYTES("\xD4tx"), WH_MSGPACK_EXT, 2, 1},
        {BYTES("\xD6txxxx"), WH_MSGPACK_EXT, 2, 4},
        {BYTES("\xD8txxxxxxxxxxxxxxxx"), WH_MSGPACK_EXT, 2, 16},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wh_msgpack_reader reader;
        struct wh_msgpack_token token;
        wh_msgpack_reader_init(&reader, cases[i].bytes);
        assert_int_equal(wh_msgpack_next(&reader, &token), WH_OK);
        assert_int_equal(token.type, cases[i].type);
        assert_ptr_equal(token.bytes.ptr, cases[i].bytes.ptr + cases[i].at);
        assert_int_equal(token.bytes.len, cases[i].len);
        for (size_t len = 0; len < cases[i].bytes.len; len++) {
            wh_msgpack_reader_init(&reader, wh_slice(cases[i].bytes.ptr, len));
            assert_int_not_equal(wh_msgpack_next(&reader, &token), WH_OK);
        }
    }
}

static void claims_beyond_the_bytes_left_are_refused(void **state)
{
    (void)state;
    static const struct wh_slice cases[] = {
        BYTES("\xDD\x0F\xFF\xFF\xFF"),
        BYTES("\xDF\x0F\xFF\xFF\xFF"),
        BYTES("\xDD\xFF\xFF\xFF\xFF\x01"),
        BYTES("\xDC\x00\x02\x01"),
        BYTES("\xDE\x00\x01\x01"),
        BYTES("\x92\x01"),
        BYTES("\x81\x01"),
        BYTES("\x8F"),
        BYTES("\xDB\xFF\xFF\xFF\xFF"),
        BYTES("\xC6\xFF\xFF\xFF\xFFxx"),
        BYTES("\xC9\xFF\xFF\xFF\xFFt"),
        BYTES("\xD9\x02x"),
        BYTES("\xC1"),
        BYTES("\xD8t"),
        BYTES("\xCF\x01\x02"),
        BYTES("\xCA\x01"),
        BYTES("\xDD\x00\x3D\x09\x00\xDD\x00\x3D\x09\x00\xDD\x00\x3D\x09\x00"),
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wh_msgpack_reader reader;
        wh_msgpack_reader_init(&reader, cases[i]);
        assert_int_equal(wh_msgpack_skip(&reader, WH_MSGPACK_DEPTH_MAX, NULL), WH_EFORMAT);
    }
}

/* At the head already, so that nobody can allocate for a count that is a lie. */
static void counts_are_bounded_by_the_bytes_left_at_the_head(void **state)
{
    (void)state;
    static const struct {
        struct wh_slice bytes;
        enum wh_err err;
    } cases[] = {
        {BYTES("\x92\x01\x02"), WH_OK},
        {BYTES("\x93\x01\x02"), WH_EFORMAT},
        {BYTES("\x81\x01\x02"), WH_OK},
        {BYTES("\x82\x01\x02\x03"), WH_EFORMAT},
        {BYTES("\xDC\x00\x03\x01\x02"), WH_EFORMAT},
        {BYTES("\xDD\x00\x00\x00\x02\x01\x02"), WH_OK},
        {BYTES("\xDF\x00\x00\x00\x02\x01\x02\x03"), WH_EFORMAT},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wh_msgpack_reader reader;
        struct wh_msgpack_token token;
        wh_msgpack_reader_init(&reader, cases[i].bytes);
        assert_int_equal(wh_msgpack_next(&reader, &token), cases[i].err);
    }
}

static void skipping_goes_down_to_the_depth_given_and_no_further(void **state)
{
    (void)state;
    for (size_t depth = 1; depth < 200; depth++) {
        char *bytes = malloc(depth + 1);
        memset(bytes, 0x91, depth);
        bytes[depth] = 0x01;
        for (unsigned max = 0; max <= WH_MSGPACK_DEPTH_MAX; max += 16) {
            struct wh_msgpack_reader reader;
            wh_msgpack_reader_init(&reader, wh_slice(bytes, depth + 1));
            enum wh_err err = wh_msgpack_skip(&reader, max, NULL);
            assert_int_equal(err, depth <= max ? WH_OK : WH_EFORMAT);
        }
        free(bytes);
    }
}

static void skipping_takes_one_value_exactly(void **state)
{
    (void)state;
    struct wh_slice frame = BYTES("\x82\xA1x\x93\x01\xC0\x80\xA1y\xC4\x01z\x7F");
    struct wh_slice raw;
    struct wh_msgpack_reader reader;
    wh_msgpack_reader_init(&reader, frame);
    assert_int_equal(wh_msgpack_skip(&reader, WH_MSGPACK_DEPTH_MAX, &raw), WH_OK);
    assert_ptr_equal(raw.ptr, frame.ptr);
    assert_int_equal(raw.len, frame.len - 1);
    assert_int_equal(wh_msgpack_skip(&reader, WH_MSGPACK_DEPTH_MAX, &raw), WH_OK);
    assert_int_equal(raw.len, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_first_byte_means_what_the_format_says),
        cmocka_unit_test(byte_strings_are_slices_of_the_input),
        cmocka_unit_test(claims_beyond_the_bytes_left_are_refused),
        cmocka_unit_test(counts_are_bounded_by_the_bytes_left_at_the_head),
        cmocka_unit_test(skipping_goes_down_to_the_depth_given_and_no_further),
        cmocka_unit_test(skipping_takes_one_value_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
