/*
 * What a handler asks of its context: memory, parameters, the answer.  Pure
 * but for the log: the threads that run handlers set a context up and take the
 * answer out, a test does the same without them (test.c).
 */
#include "services/core/core.h"

#include "common/base/clock.h"
#include "common/protocol/codec.h"
#include "common/protocol/json.h"
#include "services/core/db_conn.h"

#include <stdarg.h>
#include <stdio.h>

/* More than any answer once needed is given back. */
#define REPLY_KEEP_BYTES ((size_t)64 * 1024)

void svc_ctx_init(struct svc_ctx *ctx, struct svc *svc, unsigned thread)
{
    *ctx = (struct svc_ctx){.svc = svc, .thread = thread};
    if (svc) {
        ctx->settings = svc->own_settings;
        ctx->state = svc->state;
    }
    wh_arena_init(&ctx->arena, SVC_CALL_BYTES_MAX);
    wh_buf_init(&ctx->reply, SVC_ANSWER_BYTES_MAX);
}

void svc_ctx_deinit(struct svc_ctx *ctx)
{
    wh_arena_deinit(&ctx->arena);
    wh_buf_deinit(&ctx->reply);
}

static void reset_reply(struct svc_ctx *ctx)
{
    if (ctx->reply.cap > REPLY_KEEP_BYTES)
        wh_buf_deinit(&ctx->reply);
    wh_buf_reset(&ctx->reply);
    ctx->reply.limit = SVC_ANSWER_BYTES_MAX;
    ctx->has_reply = false;
}

void svc_ctx_reset(struct svc_ctx *ctx)
{
    wh_arena_reset(&ctx->arena);
    if (ctx->db)
        svc_db_release(ctx->db);
    reset_reply(ctx);
    ctx->method = NULL;
    ctx->call = NULL;
    ctx->deadline_ms = 0;
    ctx->traceparent = WH_SLICE_ABSENT;
    ctx->code = SVC_OK;
    ctx->error_text[0] = '\0';
}

void svc_ctx_set_reply(struct svc_ctx *ctx, struct wh_payload payload)
{
    reset_reply(ctx);
    wh_buf_append_slice(&ctx->reply, payload.bytes);
    ctx->reply_kind = payload.kind;
    ctx->has_reply = true;
}

const void *svc_settings(const struct svc_ctx *ctx)
{
    return ctx->settings;
}

void *svc_state(const struct svc_ctx *ctx)
{
    return ctx->state;
}

struct wh_arena *svc_arena(struct svc_ctx *ctx)
{
    return &ctx->arena;
}

struct wh_slice svc_text(struct svc_ctx *ctx, const char *format, ...)
{
    struct wh_buf text;
    struct wh_slice copy = WH_SLICE_ABSENT;
    va_list args;

    wh_buf_init(&text, SVC_CALL_BYTES_MAX);
    va_start(args, format);
    wh_buf_vprintf(&text, format, args);
    va_end(args);
    if (wh_buf_error(&text) == WH_OK)
        copy = wh_arena_copy(&ctx->arena, wh_buf_slice(&text));
    wh_buf_deinit(&text);
    return copy;
}

/* Bytes of unknown kind are tried as JSON, in which they would be sent by hand. */
static enum wh_encoding encoding_of(const struct wh_payload *params)
{
    return params->kind == WH_PAYLOAD_MSGPACK ? WH_ENCODING_MSGPACK : WH_ENCODING_JSON;
}

enum wh_err svc_params(struct svc_ctx *ctx, const struct wh_schema *schema, void *out)
{
    if (!ctx->call || !wh_payload_is_present(ctx->call->params))
        return WH_OK;
    return wh_decode_whole(encoding_of(&ctx->call->params), schema, ctx->call->params.bytes,
                           &ctx->arena, out);
}

bool svc_is_stopping(const struct svc_ctx *ctx)
{
    return ctx->svc && atomic_load(&ctx->svc->is_stopping);
}

uint64_t svc_remaining_ms(const struct svc_ctx *ctx)
{
    uint64_t now_ms = wh_clock_monotonic_ms();

    if (ctx->deadline_ms == 0)
        return UINT64_MAX;
    return ctx->deadline_ms > now_ms ? ctx->deadline_ms - now_ms : 0;
}

/* The notation of the answer: that of the parameters. */
static enum wh_encoding answer_encoding(const struct svc_ctx *ctx)
{
    return ctx->call ? encoding_of(&ctx->call->params) : WH_ENCODING_JSON;
}

static uint32_t finish_reply(struct svc_ctx *ctx, enum wh_err err)
{
    bool is_msgpack = answer_encoding(ctx) == WH_ENCODING_MSGPACK;
    ctx->reply_kind = is_msgpack ? WH_PAYLOAD_MSGPACK : WH_PAYLOAD_JSON;
    ctx->has_reply = err == WH_OK;
    if (err == WH_OK)
        return SVC_OK;
    reset_reply(ctx);
    return svc_fail(ctx, SVC_INTERNAL, "the answer cannot be encoded: %s", wh_err_text(err));
}

uint32_t svc_reply(struct svc_ctx *ctx, const struct wh_schema *schema, const void *message)
{
    reset_reply(ctx);
    return finish_reply(ctx, wh_encode(answer_encoding(ctx), schema, message, 0, &ctx->reply));
}

uint32_t svc_reply_json(struct svc_ctx *ctx, struct wh_slice text)
{
    struct wh_payload payload = {WH_PAYLOAD_JSON, text};
    enum wh_err err = text.ptr ? wh_payload_check(payload) : WH_ENOMEM;

    reset_reply(ctx);
    if (!err)
        err = wh_payload_encode(payload, answer_encoding(ctx), &ctx->reply);
    if (!err)
        err = wh_buf_error(&ctx->reply);
    return finish_reply(ctx, err);
}

uint32_t svc_fail(struct svc_ctx *ctx, uint32_t code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(ctx->error_text, sizeof ctx->error_text, format, args);
    va_end(args);
    ctx->code = code;
    return code;
}

bool svc_has_role(const struct wh_rpc_call *call, const char *role)
{
    for (size_t i = 0; i < call->roles.count; i++) {
        if (wh_slice_equal_str(call->roles.items[i], role))
            return true;
    }
    return false;
}
