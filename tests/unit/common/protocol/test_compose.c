#include "common/protocol/compose.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define BYTES(text)                                                                                \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }
#define JSON(text) ((struct wh_payload){WH_PAYLOAD_JSON, WH_SLICE_LITERAL(text)})

static void a_member_is_found_in_each_notation(void **state)
{
    (void)state;
    static const struct {
        enum wh_payload_kind kind;
        struct wh_slice bytes;
        enum wh_err err;
        enum wh_payload_kind member_kind;
        struct wh_slice member;
    } cases[] = {
        {WH_PAYLOAD_JSON, BYTES("{\"a\":[1, 2],\"b\":2}"), WH_OK, WH_PAYLOAD_JSON, BYTES("[1, 2]")},
        {WH_PAYLOAD_JSON, BYTES("{\"a\":1,\"\\u0061\":\"x\"}"), WH_OK, WH_PAYLOAD_JSON,
         BYTES("\"x\"")},
        {WH_PAYLOAD_JSON, BYTES("{\"A\":1,\"aa\":2}"), WH_OK, WH_PAYLOAD_JSON, {0}},
        {WH_PAYLOAD_JSON, BYTES("[]"), WH_EFORMAT, 0, {0}},
        {WH_PAYLOAD_JSON, BYTES("null"), WH_EFORMAT, 0, {0}},
        {WH_PAYLOAD_BYTES, BYTES(" {\"a\":true} "), WH_OK, WH_PAYLOAD_JSON, BYTES("true")},
        {WH_PAYLOAD_BYTES, BYTES("{\"a\":true"), WH_EFORMAT, 0, {0}},
        {WH_PAYLOAD_BYTES, BYTES("\xff"), WH_EFORMAT, 0, {0}},
        {WH_PAYLOAD_BYTES, BYTES(""), WH_EFORMAT, 0, {0}},
        {WH_PAYLOAD_MSGPACK,
         BYTES("\x82\xa1"
               "b\x01\xa1"
               "a\x92\x01\x02"),
         WH_OK, WH_PAYLOAD_MSGPACK, BYTES("\x92\x01\x02")},
        {WH_PAYLOAD_MSGPACK,
         BYTES("\x81\xa1"
               "a\xc4\x02xy"),
         WH_OK, WH_PAYLOAD_BYTES, BYTES("xy")},
        {WH_PAYLOAD_MSGPACK,
         BYTES("\x81\xa1"
               "a\xc0"),
         WH_OK,
         WH_PAYLOAD_BYTES,
         {0}},
        {WH_PAYLOAD_MSGPACK, BYTES("\x81\x07\x01"), WH_OK, WH_PAYLOAD_BYTES, {0}},
        {WH_PAYLOAD_MSGPACK, BYTES("\x90"), WH_EFORMAT, 0, {0}},
        {WH_PAYLOAD_MSGPACK,
         BYTES("\x81\xa1"
               "a"),
         WH_EFORMAT,
         0,
         {0}},
        {WH_PAYLOAD_MSGPACK, BYTES("\x80\x01"), WH_EFORMAT, 0, {0}},
        {WH_PAYLOAD_MSGPACK, BYTES("\xdf\xff\xff\xff\xff"), WH_EFORMAT, 0, {0}},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wh_arena arena = {0};
        struct wh_payload member = {0}, whole = {cases[i].kind, cases[i].bytes};
        enum wh_err err = wh_payload_member(whole, WH_SLICE_LITERAL("a"), &arena, &member);
        if (err != cases[i].err)
            fail_msg("case %zu: %s", i, wh_err_name(err));
        assert_int_equal(wh_payload_is_present(member), cases[i].member.ptr != NULL);
        if (wh_payload_is_present(member)) {
            assert_int_equal(member.kind, cases[i].member_kind);
            assert_true(wh_slice_equal(member.bytes, cases[i].member));
        }
        wh_arena_deinit(&arena);
    }
}

static void nothing_has_no_members(void **state)
{
    (void)state;
    struct wh_arena arena = {0};
    struct wh_payload member = JSON("1");
    assert_int_equal(
        wh_payload_member((struct wh_payload){0}, WH_SLICE_LITERAL("a"), &arena, &member), WH_OK);
    assert_false(wh_payload_is_present(member));
}

static void expect(const struct wh_composed *members,
                   size_t count,
                   enum wh_payload_kind kind,
                   struct wh_slice text)
{
    struct wh_buf out = {0};
    enum wh_payload_kind got = WH_PAYLOAD_BYTES;
    assert_int_equal(wh_compose(members, count, &out, &got), WH_OK);
    assert_int_equal(wh_buf_error(&out), WH_OK);
    assert_int_equal(got, kind);
    if (!wh_slice_equal(wh_buf_slice(&out), text))
        fail_msg("%.*s", WH_SLICE_ARGS(wh_buf_slice(&out)));
    struct wh_payload whole = {got, wh_buf_slice(&out)};
    assert_int_equal(wh_payload_check(whole), WH_OK);
    wh_buf_deinit(&out);
}

static void results_and_errors_stand_side_by_side(void **state)
{
    (void)state;
    const struct wh_composed members[] = {
        {.name = WH_SLICE_LITERAL("a"), .data = JSON("{\"n\":\n1}")},
        {.name = WH_SLICE_LITERAL("b\""),
         .code = 1504,
         .message = WH_SLICE_LITERAL("deadline \"exceeded\""),
         .temporary = true},
        {.name = WH_SLICE_LITERAL("c"), .code = 404, .message = WH_SLICE_LITERAL("gone")},
        {.name = WH_SLICE_LITERAL("d")},
    };
    expect(members, COUNT(members), WH_PAYLOAD_JSON,
           WH_SLICE_LITERAL("{\"a\":{\"result\":{\"n\":1}},"
                            "\"b\\\"\":{\"error\":{\"code\":1504,\"message\":\"deadline "
                            "\\\"exceeded\\\"\",\"temporary\":true}},"
                            "\"c\":{\"error\":{\"code\":404,\"message\":\"gone\"}},"
                            "\"d\":{\"result\":null}}"));
    expect(members, 0, WH_PAYLOAD_JSON, WH_SLICE_LITERAL("{}"));
}

static void one_result_that_is_not_json_makes_all_of_it_messagepack(void **state)
{
    (void)state;
    const struct wh_composed members[] = {
        {.name = WH_SLICE_LITERAL("a"), .data = JSON("[1]")},
        {.name = WH_SLICE_LITERAL("b"), .data = {WH_PAYLOAD_BYTES, WH_SLICE_LITERAL("\xff")}},
        {.name = WH_SLICE_LITERAL("c"),
         .code = 104,
         .message = WH_SLICE_LITERAL("x"),
         .temporary = true},
    };
    expect(members, COUNT(members), WH_PAYLOAD_MSGPACK,
           WH_SLICE_LITERAL("\x83\xa1"
                            "a\x81\xa6result\x91\x01\xa1"
                            "b\x81\xa6result\xc4\x01\xff\xa1"
                            "c\x81\xa5"
                            "error\x83\xa4"
                            "code\x68\xa7message\xa1x\xa9temporary\xc3"));
}

static void a_result_that_is_not_what_it_claims_is_refused(void **state)
{
    (void)state;
    const struct wh_composed members[] = {
        {.name = WH_SLICE_LITERAL("a"), .data = JSON("[1]")},
        {.name = WH_SLICE_LITERAL("b"), .data = {WH_PAYLOAD_BYTES, WH_SLICE_LITERAL("x")}},
        {.name = WH_SLICE_LITERAL("c"), .data = JSON("[1")},
    };
    struct wh_buf out = {0};
    enum wh_payload_kind kind;
    assert_int_equal(wh_compose(members, COUNT(members), &out, &kind), WH_EFORMAT);
    wh_buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_member_is_found_in_each_notation),
        cmocka_unit_test(nothing_has_no_members),
        cmocka_unit_test(results_and_errors_stand_side_by_side),
        cmocka_unit_test(one_result_that_is_not_json_makes_all_of_it_messagepack),
        cmocka_unit_test(a_result_that_is_not_what_it_claims_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
