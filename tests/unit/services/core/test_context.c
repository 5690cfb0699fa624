/*
 * What a handler sees: parameters in every notation, answers in the caller's,
 * errors; through the seam that services use for their own unit tests.
 */
#include "common/base/clock.h"
#include "common/protocol/schema_rows.h"
#include "services/core/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct item {
    struct wh_slice name;
    uint32_t count;
};

/* clang-format off */
#define T item
static const struct wh_field item_fields[] = {
    FIELD(1, name, STRING),
    FIELD_ALWAYS(2, count, U32),
};
#undef T
SCHEMA(static const, item, "Item", item);
/* clang-format on */

static uint32_t double_it(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    struct item in = {0};
    (void)call;
    if (svc_params(ctx, &item_schema, &in))
        return svc_fail(ctx, SVC_INVALID, "no item");
    if (in.count > 1000)
        return svc_fail(ctx, SVC_CONFLICT, "%u is too many", in.count);
    in.count *= 2;
    return svc_reply(ctx, &item_schema, &in);
}

static uint32_t say(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    return svc_reply_json(ctx, svc_text(ctx, "{\"user\":\"%.*s\",\"admin\":%s,\"is\":%d}",
                                        WH_SLICE_ARGS(call->user),
                                        svc_has_role(call, "admin") ? "true" : "false",
                                        *(const int *)svc_settings(ctx)));
}

static uint32_t spoil(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    (void)call;
    return svc_reply_json(ctx, WH_SLICE_LITERAL("{\"a\":"));
}

static uint32_t overflow(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    size_t size = SVC_ANSWER_BYTES_MAX;
    char *text = wh_arena_alloc(svc_arena(ctx), size);
    (void)call;
    memset(text, 'x', size);
    return svc_reply(ctx, &item_schema, &(struct item){.name = wh_slice(text, size)});
}

static uint32_t hold_forth(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    struct item in = {0};
    if (call->params.bytes.ptr && svc_params(ctx, &item_schema, &in))
        return SVC_INVALID;
    return in.count ? svc_fail(ctx, in.count, "detail") : SVC_OK;
}

static const struct svc_method methods[] = {
    {.name = "test.v1.double", .handler = double_it}, {.name = "test.v1.say", .handler = say},
    {.name = "test.v1.spoil", .handler = spoil},      {.name = "test.v1.big", .handler = overflow},
    {.name = "test.v1.fail", .handler = hold_forth},  {0},
};

static const int settings = 7;

static int open_ctx(void **state)
{
    *state = svc_test_open(&settings, NULL);
    return 0;
}

static int close_ctx(void **state)
{
    svc_test_close(*state);
    return 0;
}

static void quiet(void *user, const char *line, size_t len)
{
    wh_buf_append(user, line, len);
}

static void params_are_read_and_answers_written_as_json(void **state)
{
    const struct svc_test_call call = {.params = " {\"count\": 4, \"name\":\"nut\", \"x\":[1]} "};
    assert_int_equal(svc_test_call(*state, methods, "test.v1.double", &call), SVC_OK);
    assert_string_equal(svc_test_answer(*state), "{\"name\":\"nut\",\"count\":8}");
    assert_int_equal(svc_test_payload(*state).kind, WH_PAYLOAD_JSON);
    assert_string_equal(svc_test_error(*state), "");
}

static void messagepack_is_answered_in_messagepack(void **state)
{
    const struct svc_test_call call = {.raw = {WH_PAYLOAD_MSGPACK, WH_SLICE_LITERAL("\x81\xA5"
                                                                                    "count\x05")}};
    assert_int_equal(svc_test_call(*state, methods, "test.v1.double", &call), SVC_OK);
    struct wh_payload answer = svc_test_payload(*state);
    assert_int_equal(answer.kind, WH_PAYLOAD_MSGPACK);
    assert_true(wh_slice_equal(answer.bytes, WH_SLICE_LITERAL("\x81\xA5"
                                                              "count\x0A")));
    /* JSON text of a handler as well, and the answer of one that gave none. */
    const struct svc_test_call empty = {.raw = {WH_PAYLOAD_MSGPACK, WH_SLICE_LITERAL("\x80")}};
    assert_int_equal(svc_test_call(*state, methods, "test.v1.say", &empty), SVC_OK);
    assert_int_equal(svc_test_payload(*state).kind, WH_PAYLOAD_MSGPACK);
    assert_string_equal(svc_test_answer(*state), "{\"user\":\"\",\"admin\":false,\"is\":7}");
    assert_int_equal(svc_test_call(*state, methods, "test.v1.fail", &empty), SVC_OK);
    assert_true(wh_slice_equal(svc_test_payload(*state).bytes, WH_SLICE_LITERAL("\x80")));
}

static void bytes_are_tried_as_json_and_nothing_is_an_empty_object(void **state)
{
    const struct svc_test_call call = {
        .raw = {WH_PAYLOAD_BYTES, WH_SLICE_LITERAL("{\"count\":1}")}};
    assert_int_equal(svc_test_call(*state, methods, "test.v1.double", &call), SVC_OK);
    assert_string_equal(svc_test_answer(*state), "{\"count\":2}");
    assert_int_equal(svc_test_call(*state, methods, "test.v1.double", &(struct svc_test_call){0}),
                     SVC_OK);
    assert_string_equal(svc_test_answer(*state), "{\"count\":0}");
}

static void what_cannot_be_read_is_an_error(void **state)
{
    static const struct wh_payload bad[] = {
        {WH_PAYLOAD_JSON, {"", 0}},
        {WH_PAYLOAD_JSON, {"[]", 2}},
        {WH_PAYLOAD_JSON, {"{\"count\":-1}", 12}},
        {WH_PAYLOAD_JSON, {"{\"count\":\"1\"}", 13}},
        {WH_PAYLOAD_JSON, {"{}{}", 4}},
        {WH_PAYLOAD_BYTES, {"\x00\x01", 2}},
        {WH_PAYLOAD_MSGPACK, {"\x90", 1}},
        {WH_PAYLOAD_MSGPACK, {"\x80\x80", 2}},
        {WH_PAYLOAD_MSGPACK, {"\xDF\xFF\xFF\xFF\xFF", 5}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const struct svc_test_call call = {.raw = bad[i]};
        assert_int_equal(svc_test_call(*state, methods, "test.v1.double", &call), SVC_INVALID);
        assert_string_equal(svc_test_error(*state), "no item");
        assert_string_equal(svc_test_answer(*state), "");
    }
}

static void errors_carry_their_text_and_faults_of_ours_do_not(void **state)
{
    struct wh_buf log = {0};
    static const struct {
        const char *params;
        uint32_t code;
        const char *text;
    } cases[] = {
        {"{\"count\":404}", 404, "detail"},
        {"{\"count\":499}", 499, "detail"},
        {"{\"count\":1503}", 1503, "detail"},
        {"{\"count\":100}", 100, "internal server error"},
        {"{\"count\":399}", 100, "internal server error"},
        {"{\"count\":500}", 100, "internal server error"},
        {"{\"count\":3000}", 100, "internal server error"},
    };
    wh_log_set_sink(quiet, &log);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct svc_test_call call = {.params = cases[i].params};
        assert_int_equal(svc_test_call(*state, methods, "test.v1.fail", &call), cases[i].code);
        assert_string_equal(svc_test_error(*state), cases[i].text);
    }
    wh_log_set_sink(NULL, NULL);
    assert_non_null(strstr(wh_buf_cstr(&log), "detail"));
    wh_buf_deinit(&log);
    assert_int_equal(svc_test_call(*state, methods, "test.v1.no", &(struct svc_test_call){0}), 104);
}

static void answers_that_cannot_be_encoded_are_faults_of_ours(void **state)
{
    struct wh_buf log = {0};
    wh_log_set_sink(quiet, &log);
    assert_int_equal(svc_test_call(*state, methods, "test.v1.spoil", &(struct svc_test_call){0}),
                     SVC_INTERNAL);
    assert_int_equal(svc_test_call(*state, methods, "test.v1.big", &(struct svc_test_call){0}),
                     SVC_INTERNAL);
    wh_log_set_sink(NULL, NULL);
    wh_buf_deinit(&log);
    /* And the next call has nothing of it. */
    const struct svc_test_call call = {.params = "{\"count\":1}"};
    assert_int_equal(svc_test_call(*state, methods, "test.v1.double", &call), SVC_OK);
    assert_string_equal(svc_test_answer(*state), "{\"count\":2}");
}

static void a_handler_knows_its_caller(void **state)
{
    static const char *const roles[] = {"x", "admin", NULL};
    const struct svc_test_call call = {.user = "42", .roles = roles};
    assert_int_equal(svc_test_call(*state, methods, "test.v1.say", &call), SVC_OK);
    assert_string_equal(svc_test_answer(*state), "{\"user\":\"42\",\"admin\":true,\"is\":7}");
}

static void the_time_left_shrinks_to_nothing(void **state)
{
    wh_clock_set_fake(1000, 5000);
    const struct svc_test_call call = {.timeout_ms = 300};
    assert_int_equal(svc_test_call(*state, methods, "test.v1.fail", &call), SVC_OK);
    assert_int_equal(svc_remaining_ms(*state), 300);
    wh_clock_set_fake(1299, 5000);
    assert_int_equal(svc_remaining_ms(*state), 1);
    wh_clock_set_fake(1400, 5000);
    assert_int_equal(svc_remaining_ms(*state), 0);
    wh_clock_set_real();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(params_are_read_and_answers_written_as_json),
        cmocka_unit_test(messagepack_is_answered_in_messagepack),
        cmocka_unit_test(bytes_are_tried_as_json_and_nothing_is_an_empty_object),
        cmocka_unit_test(what_cannot_be_read_is_an_error),
        cmocka_unit_test(errors_carry_their_text_and_faults_of_ours_do_not),
        cmocka_unit_test(answers_that_cannot_be_encoded_are_faults_of_ours),
        cmocka_unit_test(a_handler_knows_its_caller),
        cmocka_unit_test(the_time_left_shrinks_to_nothing),
    };
    return cmocka_run_group_tests(tests, open_ctx, close_ctx);
}
