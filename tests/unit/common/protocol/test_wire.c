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

static struct wh_buf envelope_of(const struct wh_publication *pub)
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
        struct wh_publication *pub = random_struct(&random, &wh_publication_schema);
        struct wh_publication back;
        struct wh_buf bytes = envelope_of(pub);
        assert_true(wh_wire_is_envelope(wh_buf_slice(&bytes)));
        assert_int_equal(wh_wire_decode_publication(wh_buf_slice(&bytes), &arena, &back), WH_OK);
        if (!model_equal(&wh_publication_schema, pub, &back))
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
    struct wh_client_info info = {
        .user = T("u"), .client = T("c"), .conn_info = {WH_PAYLOAD_MSGPACK, T("\x01")}};
    struct wh_publication pub = {
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
        {T("\xC1\x02\x80"), WH_EFORMAT}, /* a version of the future */
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
        struct wh_publication pub;
        enum wh_err err = wh_wire_decode_publication(cases[i].bytes, &arena, &pub);
        if (err != cases[i].err)
            fail_msg("case %zu: %s", i, wh_err_name(err));
    }
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
    };
    return cmocka_run_group_tests(tests, open_arena, close_arena);
}
