/*
 * What hubs and services read from each other: calls, answers, cancels, several
 * of a kind in one message; announcements; names of methods.  What is accepted
 * survives being written again.
 */
#include "common/protocol/codec.h"
#include "common/protocol/rpc.h"
#include "tests/support/random_model.h"

enum { ARENA_LIMIT = 4 << 20, SCHEMAS = 3 };

static const struct wh_schema *const schemas[SCHEMAS] = {&wh_rpc_call_schema, &wh_rpc_answer_schema,
                                                         &wh_rpc_cancel_schema};

union message {
    struct wh_rpc_call call;
    struct wh_rpc_answer answer;
    struct wh_rpc_cancel cancel;
};

static void check_written_again(const struct wh_schema *schema,
                                const union message *message,
                                struct wh_arena *arena)
{
    union message back;
    struct wh_buf out = {0};
    memset(&back, 0, sizeof(back));
    wh_rpc_encode(schema, message, &out);
    struct wh_slice rest = wh_buf_slice(&out);
    arena->limit = 0;
    WH_ASSERT(wh_rpc_decode(schema, &rest, arena, &back) == WH_OK);
    WH_ASSERT(rest.len == 0);
    WH_ASSERT(model_equal(schema, message, &back));
    arena->limit = ARENA_LIMIT;
    wh_buf_deinit(&out);
}

static void read_all(const struct wh_schema *schema, struct wh_slice bytes, struct wh_arena *arena)
{
    for (;;) {
        union message message;
        size_t before = bytes.len;
        memset(&message, 0, sizeof(message));
        if (wh_rpc_decode(schema, &bytes, arena, &message))
            return;
        WH_ASSERT(bytes.len < before);
        check_written_again(schema, &message, arena);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wh_slice bytes = wh_slice(data, size);
    struct wh_rpc_service service = {.version = {0}};
    struct wh_slice name;
    struct wh_arena arena;
    wh_arena_init(&arena, ARENA_LIMIT);
    for (size_t i = 0; i < SCHEMAS; i++) {
        read_all(schemas[i], bytes, &arena);
        wh_arena_reset(&arena);
    }
    (void)wh_decode_whole(WH_ENCODING_JSON, &wh_rpc_service_schema, bytes, &arena, &service);
    if (wh_rpc_method_service(bytes, &name) == WH_OK)
        WH_ASSERT(name.len > 0 && name.len < bytes.len && bytes.ptr[name.len] == '.');
    wh_arena_deinit(&arena);
    return 0;
}
