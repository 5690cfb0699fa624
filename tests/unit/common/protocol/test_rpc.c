#include "common/protocol/codec.h"
#include "common/protocol/rpc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/random_model.h"

#define T(text) WH_SLICE_LITERAL(text)

static struct wh_arena arena;

static const struct wh_schema *const schemas[] = {&wh_rpc_call_schema, &wh_rpc_answer_schema,
                                                  &wh_rpc_cancel_schema};

static void several_messages_come_back_one_after_the_other(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed < 300; seed++) {
        const struct wh_schema *schema = schemas[seed % 3];
        struct random_model random = {.state = seed * 0x9E3779B97F4A7C15u,
                                      .arena = &arena,
                                      .payload_kinds = RANDOM_BYTES | RANDOM_JSON | RANDOM_MSGPACK};
        void *first = random_struct(&random, schema);
        void *second = random_struct(&random, schema);
        struct wh_buf bytes = {0};
        wh_rpc_encode(schema, first, &bytes);
        wh_rpc_encode(schema, second, &bytes);
        assert_int_equal(wh_buf_error(&bytes), WH_OK);

        struct wh_slice rest = wh_buf_slice(&bytes);
        void *back = wh_arena_alloc(&arena, schema->size);
        memset(back, 0, schema->size);
        assert_int_equal(wh_rpc_decode(schema, &rest, &arena, back), WH_OK);
        assert_true(model_equal(schema, first, back));
        memset(back, 0, schema->size);
        assert_int_equal(wh_rpc_decode(schema, &rest, &arena, back), WH_OK);
        assert_true(model_equal(schema, second, back));
        assert_int_equal(wh_rpc_decode(schema, &rest, &arena, back), WH_EEND);
        wh_buf_deinit(&bytes);
        wh_arena_reset(&arena);
    }
}

static void a_cut_message_is_refused_at_every_byte(void **state)
{
    (void)state;
    struct wh_error_reply error = {.code = 409, .message = T("used"), .temporary = true};
    struct wh_rpc_answer answer = {
        .id = 70000, .data = {WH_PAYLOAD_JSON, T("{}")}, .error = &error};
    struct wh_buf bytes = {0};
    wh_rpc_encode(&wh_rpc_answer_schema, &answer, &bytes);
    for (size_t len = 1; len < bytes.len; len++) {
        struct wh_slice rest = wh_slice(bytes.ptr, len);
        struct wh_rpc_answer back = {.id = 0};
        assert_int_equal(wh_rpc_decode(&wh_rpc_answer_schema, &rest, &arena, &back), WH_EFORMAT);
    }
    wh_buf_deinit(&bytes);
    wh_arena_reset(&arena);
}

/* docs/REDIS.md promises these bytes to programs that are not ours. */
static void an_answer_is_this_byte_for_byte(void **state)
{
    (void)state;
    struct wh_rpc_answer answer = {.id = 7, .data = {WH_PAYLOAD_JSON, T("[1]")}};
    struct wh_buf bytes = {0};
    wh_rpc_encode(&wh_rpc_answer_schema, &answer, &bytes);
    assert_true(wh_slice_equal(wh_buf_slice(&bytes), T("\x82\xA2id\x07\xA4"
                                                       "data\x92\x01\xC4\x03[1]")));
    wh_buf_deinit(&bytes);
}

static void an_announcement_is_json(void **state)
{
    (void)state;
    struct wh_rpc_service service = {.version = {0}};
    assert_int_equal(
        wh_decode_whole(WH_ENCODING_JSON, &wh_rpc_service_schema,
                        T("{\"version\":\"1.0\",\"methods\":[{\"name\":\"a.v1.b\",\"access\":"
                          "\"role\",\"roles\":[\"admin\"],\"timeout_ms\":200,\"new\":1}]}"),
                        &arena, &service),
        WH_OK);
    assert_int_equal(service.methods.count, 1);
    assert_true(wh_slice_equal(service.methods.items[0].name, T("a.v1.b")));
    assert_int_equal(service.methods.items[0].roles.count, 1);
    assert_int_equal(service.methods.items[0].timeout_ms, 200);
    wh_arena_reset(&arena);
}

static void the_first_segment_of_a_method_is_its_service(void **state)
{
    (void)state;
    static const struct {
        const char *method;
        const char *service; /* NULL = refused */
    } cases[] = {
        {"orders.v1.create", "orders"},
        {"a.b", "a"},
        {"orders.$svc.ping", "orders"},
        {"my-shop_2.getAll", "my-shop_2"},
        {"", NULL},
        {"orders", NULL},
        {"orders.", NULL},
        {".create", NULL},
        {"orders..create", NULL},
        {"Orders.create", NULL},
        {"alive:orders.create", NULL},
        {"orders.cre ate", NULL},
        {"orders.cr\xC3\xA9"
         "er",
         NULL},
        {"*.create", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wh_slice service = {0};
        enum wh_err err = wh_rpc_method_service(wh_slice_from_str(cases[i].method), &service);
        if (!cases[i].service)
            assert_int_equal(err, WH_EFORMAT);
        else if (err || !wh_slice_equal(service, wh_slice_from_str(cases[i].service)))
            fail_msg("%s", cases[i].method);
    }
}

static void names_have_a_length(void **state)
{
    (void)state;
    char name[200];
    struct wh_slice service;
    memset(name, 'a', sizeof(name));
    name[WH_RPC_SERVICE_NAME_MAX] = '.';
    assert_int_equal(wh_rpc_method_service(wh_slice(name, WH_RPC_METHOD_NAME_MAX), &service),
                     WH_OK);
    assert_int_equal(service.len, WH_RPC_SERVICE_NAME_MAX);
    assert_int_equal(wh_rpc_method_service(wh_slice(name, WH_RPC_METHOD_NAME_MAX + 1), &service),
                     WH_EFORMAT);
    name[WH_RPC_SERVICE_NAME_MAX] = 'a';
    name[WH_RPC_SERVICE_NAME_MAX + 1] = '.';
    assert_int_equal(wh_rpc_method_service(wh_slice(name, WH_RPC_METHOD_NAME_MAX), &service),
                     WH_EFORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(several_messages_come_back_one_after_the_other),
        cmocka_unit_test(a_cut_message_is_refused_at_every_byte),
        cmocka_unit_test(an_answer_is_this_byte_for_byte),
        cmocka_unit_test(an_announcement_is_json),
        cmocka_unit_test(the_first_segment_of_a_method_is_its_service),
        cmocka_unit_test(names_have_a_length),
    };
    wh_arena_init(&arena, 1 << 22);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    wh_arena_deinit(&arena);
    return failed;
}
