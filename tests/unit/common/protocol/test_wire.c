#include "common/protocol/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/json_cases.h"
#include "tests/support/random_model.h"

#define T(text) WH_SLICE_LITERAL(text)

static struct wh_arena arena;

static struct wh_buf envelope_of(const struct wh_pub *pub)
{
    struct wh_buf out = {0};
    wh_wire_encode_publication(pub, &out);
    assert_int_equal(wh_buf_error(&out), WH_OK);
    return out;
}

static void publications_keep_everything_and_their_payload_kinds(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed < 500; seed++) {
        struct random_model random = {.state = seed * 0x9E3779B97F4A7C15u,
                                      .arena = &arena,
                                      .payload_kinds = RANDOM_BYTES | RANDOM_JSON | RANDOM_MSGPACK};
        struct wh_pub *pub = random_struct(&random, &wh_pub_schema);
        struct wh_pub back;
        struct wh_buf bytes = envelope_of(pub);
        assert_true(wh_wire_is_envelope(wh_buf_slice(&bytes)));
        assert_int_equal(wh_wire_decode_publication(wh_buf_slice(&bytes), &arena, &back), WH_OK);
        if (!model_equal(&wh_pub_schema, pub, &back))
            fail_msg("seed %u", seed);
        for (size_t len = 0; len < bytes.len; len++)
            assert_int_equal(wh_wire_decode_publication(wh_slice(bytes.ptr, len), &arena, &back),
                             WH_EFORMAT);
        wh_buf_deinit(&bytes);
        wh_arena_reset(&arena);
    }
}

/* docs/REDIS.md promises these bytes to programs that are not ours. */
static void the_envelope_is_this_byte_for_byte(void **state)
{
    (void)state;
    struct wh_info info = {
        .user = T("u"), .client = T("c"), .conn_info = {WH_PAYLOAD_MSGPACK, T("\x01")}};
    struct wh_pub pub = {
        .data = {WH_PAYLOAD_JSON, T("{}")}, .info = &info, .offset = 300, .epoch = T("e")};
    struct wh_buf bytes = envelope_of(&pub);
    assert_true(wh_slice_equal(wh_buf_slice(&bytes), T("\xC1\x01\x84"
                                                       "\xA4"
                                                       "data\x92\x01\xC4\x02{}"
                                                       "\xA4info\x83\xA4user\xA1u\xA6"
                                                       "client\xA1"
                                                       "c\xA9"
                                                       "conn_info\x92\x02\xC4\x01\x01"
                                                       "\xA6offset\xCD\x01\x2C"
                                                       "\xA5"
                                                       "epoch\xA1"
                                                       "e")));
    wh_buf_deinit(&bytes);
}

static void no_plain_payload_looks_like_an_envelope(void **state)
{
    (void)state;
    for (size_t i = 0; i < JSON_CASE_COUNT; i++)
        assert_false(json_cases[i].is_valid && wh_wire_is_envelope(json_cases[i].text));
    assert_false(wh_wire_is_envelope(T("")));
    assert_false(wh_wire_is_envelope(WH_SLICE_ABSENT));
    assert_false(wh_wire_is_envelope(T("\x80")));
    assert_true(wh_wire_is_envelope(T("\xC1")));
}

static void envelopes_are_judged_strictly_but_for_what_is_new(void **state)
{
    (void)state;
    static const struct {
        struct wh_slice bytes;
        enum wh_err err;
    } cases[] = {
        {T("\xC1\x01\x80"), WH_OK},
        {T("\xC1\x01\x81\xA6offset\x05"), WH_OK},
        {T("\xC1\x01\x81\xA6newone\x93\x01\x02\x03"), WH_OK}, /* a field of a later build */
        {T("\xC1\x01\x81\xA4"
           "data\x92\x01\xA2{}"),
         WH_OK}, /* str instead of bin */
        {T("\xC1\x01\x81\xA4"
           "data\x92\x00\xA1\xFF"),
         WH_OK}, /* of any bytes */
        {T("\xC1\x01\x81\xA4"
           "data\xC0"),
         WH_OK},
        {T(""), WH_EFORMAT},
        {T("\xC1"), WH_EFORMAT},
        {T("\xC1\x01"), WH_EFORMAT},
        {T("\xC1\x02\x80"), WH_EFORMAT}, /* another kind */
        {T("\xC1\x00\x80"), WH_EFORMAT},
        {T("\x80"), WH_EFORMAT},
        {T("\xC1\x01\x80\x80"), WH_EFORMAT},
        {T("\xC1\x01\x90"), WH_EFORMAT},
        {T("\xC1\x01\x81\xA4"
           "data\xC4\x02{}"),
         WH_EFORMAT}, /* no kind */
        {T("\xC1\x01\x81\xA4"
           "data\x92\x03\xC4\x00"),
         WH_EFORMAT},
        {T("\xC1\x01\x81\xA4"
           "data\x93\x01\xC4\x02{}\x01"),
         WH_EFORMAT},
        {T("\xC1\x01\x81\xA4"
           "data\x92\x01\xC4\x01{"),
         WH_EFORMAT}, /* a kind that lies */
        {T("\xC1\x01\x81\xA4"
           "data\x92\x02\xC4\x02\x01\x01"),
         WH_EFORMAT},
        {T("\xC1\x01\x81\xA6offset\xFF"), WH_EFORMAT},
        {T("\xC1\x01\xDF\x0F\xFF\xFF\xFF"), WH_EFORMAT},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wh_pub pub;
        enum wh_err err = wh_wire_decode_publication(cases[i].bytes, &arena, &pub);
        if (err != cases[i].err)
            fail_msg("case %zu: %s", i, wh_err_name(err));
    }
}

static void positioned_publications_are_text_around_a_body(void **state)
{
    (void)state;
    static const struct {
        struct wh_slice bytes;
        uint64_t offset;
        const char *epoch;
        struct wh_payload data;
    } cases[] = {
        {T("\xC1\x02"
           "7:abcXYZ09:{\"a\":1}"),
         7,
         "abcXYZ09",
         {WH_PAYLOAD_JSON, T("{\"a\":1}")}},
        {T("\xC1\x02"
           "1:e:a:b:c"),
         1,
         "e",
         {WH_PAYLOAD_BYTES, T("a:b:c")}},
        {T("\xC1\x02"
           "1:e:"),
         1,
         "e",
         {WH_PAYLOAD_BYTES, T("")}},
        {T("\xC1\x02"
           "18446744073709551615:e:1"),
         UINT64_MAX,
         "e",
         {WH_PAYLOAD_JSON, T("1")}},
        /* The position around the body counts, not one inside. */
        {T("\xC1\x02"
           "9:e:\xC1\x01\x82\xA4"
           "data\x92\x00\xC4\x02{}\xA6offset\x05"),
         9,
         "e",
         {WH_PAYLOAD_BYTES, T("{}")}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wh_wire_message message;
        assert_int_equal(wh_wire_decode(cases[i].bytes, &arena, &message), WH_OK);
        assert_int_equal(message.kind, WH_WIRE_POSITIONED);
        assert_true(message.pub.offset == cases[i].offset);
        assert_true(wh_slice_equal_str(message.pub.epoch, cases[i].epoch));
        assert_int_equal(message.pub.data.kind, cases[i].data.kind);
        assert_true(wh_slice_equal(message.pub.data.bytes, cases[i].data.bytes));
    }
}

static void damaged_envelopes_of_every_kind_are_refused(void **state)
{
    (void)state;
    static const struct wh_slice cases[] = {
        T("\xC1"),
        T("\xC1\x02"),
        T("\xC1\x02"
          "1"),
        T("\xC1\x02"
          "1:"),
        T("\xC1\x02"
          "1:e"),
        T("\xC1\x02:e:1"),
        T("\xC1\x02"
          "0:e:1"),
        T("\xC1\x02"
          "01:e:1"),
        T("\xC1\x02"
          "+1:e:1"),
        T("\xC1\x02"
          "-1:e:1"),
        T("\xC1\x02"
          " 1:e:1"),
        T("\xC1\x02"
          "1e3:e:1"),
        T("\xC1\x02"
          "18446744073709551616:e:1"),
        T("\xC1\x02"
          "1::1"),
        T("\xC1\x02"
          "1:\xFF\xFE:1"),
        T("\xC1\x02"
          "1:a b:1"),
        T("\xC1\x02"
          "1:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:1"),
        T("\xC1\x02"
          "1:e:\xC1"),
        T("\xC1\x02"
          "1:e:\xC1\x01\x90"),
        T("\xC1\x02"
          "1:e:\xC1\x02"
          "1:e:1"), /* one inside the other */
        T("\xC1\x02"
          "1:e:\xC1\x03\x80"),
        T("\xC1\x03"),
        T("\xC1\x03\x90"),
        T("\xC1\x03\x80\x80"),
        T("\xC1\x04\x81\xA4user\x01"),
        T("\xC1\x06"),
        T("\xC1\xFF\x80"),
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wh_wire_message message;
        if (wh_wire_decode(cases[i], &arena, &message) != WH_EFORMAT)
            fail_msg("case %zu", i);
    }
}

static void joins_and_leaves_keep_the_info(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed < 200; seed++) {
        struct random_model random = {.state = seed * 0x9E3779B97F4A7C15u,
                                      .arena = &arena,
                                      .payload_kinds = RANDOM_BYTES | RANDOM_JSON | RANDOM_MSGPACK};
        struct wh_info *info = random_struct(&random, &wh_info_schema);
        struct wh_wire_message message;
        struct wh_buf bytes = {0};
        bool is_leave = seed % 2 == 0;
        wh_wire_encode_join(info, is_leave, &bytes);
        assert_int_equal(wh_wire_decode(wh_buf_slice(&bytes), &arena, &message), WH_OK);
        assert_int_equal(message.kind, is_leave ? WH_WIRE_LEAVE : WH_WIRE_JOIN);
        assert_true(model_equal(&wh_info_schema, info, &message.info));
        for (size_t len = 1; len < bytes.len; len++)
            assert_int_equal(wh_wire_decode(wh_slice(bytes.ptr, len), &arena, &message),
                             WH_EFORMAT);
        wh_buf_deinit(&bytes);
        wh_arena_reset(&arena);
    }
}

static void control_messages_and_plain_payloads_are_any_bytes(void **state)
{
    (void)state;
    static const struct wh_slice cases[] = {T(""), T("x"), T("\xC1\x01"), T("\0\xFF")};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wh_wire_message message;
        struct wh_buf bytes = {0};
        wh_wire_encode_control(cases[i], &bytes);
        assert_int_equal(wh_wire_decode(wh_buf_slice(&bytes), &arena, &message), WH_OK);
        assert_int_equal(message.kind, WH_WIRE_CONTROL);
        assert_true(wh_slice_equal(message.control, cases[i]));
        wh_buf_deinit(&bytes);
    }
    struct wh_wire_message message;
    assert_int_equal(wh_wire_decode(T("[1]"), &arena, &message), WH_OK);
    assert_int_equal(message.kind, WH_WIRE_PLAIN);
    assert_int_equal(message.pub.data.kind, WH_PAYLOAD_JSON);
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
        cmocka_unit_test(publications_keep_everything_and_their_payload_kinds),
        cmocka_unit_test(the_envelope_is_this_byte_for_byte),
        cmocka_unit_test(no_plain_payload_looks_like_an_envelope),
        cmocka_unit_test(envelopes_are_judged_strictly_but_for_what_is_new),
        cmocka_unit_test(positioned_publications_are_text_around_a_body),
        cmocka_unit_test(damaged_envelopes_of_every_kind_are_refused),
        cmocka_unit_test(joins_and_leaves_keep_the_info),
        cmocka_unit_test(control_messages_and_plain_payloads_are_any_bytes),
    };
    return cmocka_run_group_tests(tests, open_arena, close_arena);
}
