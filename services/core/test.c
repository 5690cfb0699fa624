#include "services/core/test.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/list.h"
#include "services/core/db_conn.h"
#include "services/core/dispatch.h"

#define TIMEOUT_MS 4800

struct test {
    struct svc_ctx ctx; /* first: callers hold a pointer to it */
    struct wh_rpc_call call;
    struct wh_rpc_answer answer;
    struct wh_buf text;
};

static struct test *test_of(struct svc_ctx *ctx)
{
    return WH_CONTAINER_OF(ctx, struct test, ctx);
}

struct svc_ctx *svc_test_open(const void *settings, void *state)
{
    struct test *test = wh_calloc(1, sizeof *test);
    WH_ASSERT(test);
    svc_ctx_init(&test->ctx, NULL, 0);
    test->ctx.settings = settings;
    test->ctx.state = state;
    return &test->ctx;
}

void svc_test_close(struct svc_ctx *ctx)
{
    struct test *test = test_of(ctx);
    svc_db_close(ctx->db);
    svc_ctx_deinit(ctx);
    wh_buf_deinit(&test->text);
    wh_free(test);
}

static struct wh_strings roles_of(struct svc_ctx *ctx, const char *const *roles)
{
    size_t count = 0;
    while (roles && roles[count])
        count++;
    struct wh_slice *items = wh_arena_alloc_array(&ctx->arena, count, sizeof *items);
    WH_ASSERT(items);
    for (size_t i = 0; i < count; i++)
        items[i] = wh_slice_from_str(roles[i]);
    return (struct wh_strings){items, count};
}

static const struct svc_method *find(const struct svc_method *methods, const char *name)
{
    for (; methods->name; methods++) {
        if (strcmp(methods->name, name) == 0)
            return methods;
    }
    return NULL;
}

uint32_t svc_test_call(struct svc_ctx *ctx,
                       const struct svc_method *methods,
                       const char *method,
                       const struct svc_test_call *call)
{
    struct test *test = test_of(ctx);
    uint64_t timeout_ms = call->timeout_ms ? call->timeout_ms : TIMEOUT_MS;
    uint64_t now_ms = (uint64_t)wh_clock_wall_ms();

    svc_ctx_reset(ctx);
    test->call = (struct wh_rpc_call){
        .v = WH_RPC_VERSION,
        .method = wh_slice_from_str(method),
        .params = call->raw,
        .user = wh_slice_from_str(call->user ? call->user : ""),
        .roles = roles_of(ctx, call->roles),
        .key = wh_slice_from_str(call->key ? call->key : ""),
        .sent_ms = now_ms,
        .deadline_ms = now_ms + timeout_ms,
    };
    if (!wh_payload_is_present(call->raw) && call->params)
        test->call.params = (struct wh_payload){WH_PAYLOAD_JSON, wh_slice_from_str(call->params)};
    ctx->call = &test->call;
    ctx->deadline_ms = wh_clock_monotonic_ms() + timeout_ms;
    ctx->method = find(methods, method);
    uint32_t code = ctx->method ? svc_run(ctx, ctx->method, &test->call) : SVC_METHOD_NOT_FOUND;
    test->answer = (struct wh_rpc_answer){0};
    svc_finish_answer(ctx, code, &test->answer);
    return ctx->code;
}

const char *svc_test_answer(struct svc_ctx *ctx)
{
    struct test *test = test_of(ctx);
    wh_buf_reset(&test->text);
    if (test->answer.error)
        return "";
    WH_ASSERT(wh_payload_encode(test->answer.data, WH_ENCODING_JSON, &test->text) == WH_OK);
    return wh_buf_cstr(&test->text);
}

const char *svc_test_error(struct svc_ctx *ctx)
{
    struct test *test = test_of(ctx);
    wh_buf_reset(&test->text);
    if (test->answer.error)
        wh_buf_append_slice(&test->text, test->answer.error->message);
    return wh_buf_cstr(&test->text);
}

struct wh_payload svc_test_payload(struct svc_ctx *ctx)
{
    return test_of(ctx)->answer.data;
}
