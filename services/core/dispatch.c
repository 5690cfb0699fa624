/*
 * The order of checks matters: an expired or cancelled call costs no look-up
 * and gets no answer; whatever else is wrong is answered, for somebody waits.
 */
#include "services/core/dispatch.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/utf8.h"
#include "common/protocol/codes.h"
#include "services/core/answers.h"
#include "services/core/cancels.h"
#include "services/core/fault.h"
#include "services/core/free_methods.h"
#include "services/core/metrics.h"
#include "services/core/tracing.h"

#include <inttypes.h>

enum wh_err svc_dispatch_init(struct svc_dispatch *dispatch, const struct svc_def *def)
{
    enum wh_err err = WH_OK;
    size_t count = 0;

    while (def->methods[count].name)
        count++;
    *dispatch = (struct svc_dispatch){.count = count};
    dispatch->slots = wh_calloc(count, sizeof *dispatch->slots);
    if (!dispatch->slots)
        return WH_ENOMEM;
    for (size_t i = 0; i < count && !err; i++) {
        struct svc_slot *slot = &dispatch->slots[i];
        slot->method = &def->methods[i];
        slot->index = i;
        slot->name = wh_slice_from_str(def->methods[i].name);
        err = wh_map_add(&dispatch->by_name, slot->name, slot);
    }
    if (err)
        svc_dispatch_deinit(dispatch);
    return err;
}

void svc_dispatch_deinit(struct svc_dispatch *dispatch)
{
    wh_map_deinit(&dispatch->by_name);
    wh_free(dispatch->slots);
    *dispatch = (struct svc_dispatch){0};
}

uint32_t svc_run(struct svc_ctx *ctx,
                 const struct svc_method *method,
                 const struct wh_rpc_call *call)
{
    for (size_t i = 0; ctx->svc && svc_parts[i]; i++) {
        const struct svc_part *part = svc_parts[i];
        if (part->run && (!part->is_wanted || part->is_wanted(ctx->svc->def)))
            return part->run(ctx, method, call);
    }
    return method->handler(ctx, call);
}

static bool is_own_code(uint32_t code)
{
    return (code >= 400 && code <= 499) || code == SVC_INTERNAL || code == SVC_DENIED ||
           code == SVC_METHOD_NOT_FOUND || code == SVC_INVALID || code == SVC_BUSY ||
           code == SVC_UNAVAILABLE || code == SVC_TIMEOUT || code == WH_ERROR_UNAUTHORIZED;
}

static const char *default_text(uint32_t code)
{
    return code >= 400 && code <= 499 ? "refused" : wh_code_text(code);
}

static struct wh_error_reply *make_error(struct svc_ctx *ctx, uint32_t code)
{
    struct wh_error_reply *error = wh_arena_alloc(&ctx->arena, sizeof *error);
    struct wh_slice text = wh_slice_from_str(ctx->error_text);

    /* No memory in the arena of the call: one of the thread, good until its next call. */
    static _Thread_local struct wh_error_reply spare;
    if (!error)
        error = &spare;
    /* A text that was cut within a character would spoil the whole message for the hub. */
    while (text.len > 0 && !wh_utf8_is_valid(text))
        text.len--;
    if (code == SVC_INTERNAL || text.len == 0)
        text = wh_slice_from_str(default_text(code));
    *error = (struct wh_error_reply){code, text, wh_code_is_temporary(code)};
    return error;
}

static void log_failure(struct svc_ctx *ctx, uint32_t code)
{
    static struct wh_log_limit limit;
    const char *name = ctx->method ? ctx->method->name : "?";

    wh_log_limited(&limit, WH_LOG_ERROR, "rpc", "failed", "method=%s code=%u reason=%s", name,
                   (unsigned)code, ctx->error_text[0] ? ctx->error_text : "none given");
}

void svc_finish_answer(struct svc_ctx *ctx, uint32_t code, struct wh_rpc_answer *answer)
{
    if (code != SVC_OK && !is_own_code(code)) {
        log_failure(ctx, code);
        code = SVC_INTERNAL;
    } else if (code == SVC_INTERNAL) {
        log_failure(ctx, code);
    }
    /* A text belongs to the code it was given with. */
    if (ctx->code != code)
        ctx->error_text[0] = '\0';
    ctx->code = code;
    if (code != SVC_OK) {
        answer->error = make_error(ctx, code);
        return;
    }
    bool is_msgpack = ctx->call && ctx->call->params.kind == WH_PAYLOAD_MSGPACK &&
                      wh_payload_is_present(ctx->call->params);
    if (ctx->has_reply)
        answer->data = (struct wh_payload){ctx->reply_kind, wh_buf_slice(&ctx->reply)};
    else if (is_msgpack)
        answer->data = (struct wh_payload){WH_PAYLOAD_MSGPACK, WH_SLICE_LITERAL("\x80")};
    else
        answer->data = (struct wh_payload){WH_PAYLOAD_JSON, WH_SLICE_LITERAL("{}")};
}

static uint32_t run_method(struct svc_ctx *ctx, struct svc_slot *slot, uint64_t *out_handler_us)
{
    const struct svc_method *method = slot->method;
    unsigned running = atomic_fetch_add(&slot->inflight, 1) + 1;
    uint32_t code;
    uint64_t begun_us = wh_clock_monotonic_us();

    ctx->method = method;
    svc_fault_about(wh_slice_from_str(method->name));
    if (method->max_inflight != 0 && running > method->max_inflight)
        code = svc_fail(ctx, SVC_BUSY, "too many calls of %s at once", method->name);
    else
        code = svc_run(ctx, method, ctx->call);
    atomic_fetch_sub(&slot->inflight, 1);
    *out_handler_us = wh_clock_monotonic_us() - begun_us;
    return code;
}

static bool is_due(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    uint64_t now_ms = (uint64_t)wh_clock_wall_ms();

    if (call->deadline_ms <= now_ms) {
        svc_metrics_count(ctx->svc->metrics, ctx->thread, SVC_COUNT_EXPIRED);
        return false;
    }
    if (svc_cancels_take(ctx->svc->cancels, call->reply, call->id)) {
        svc_metrics_count(ctx->svc->metrics, ctx->thread, SVC_COUNT_CANCELLED);
        return false;
    }
    /* A deadline of a mad clock must not overflow. */
    uint64_t left_ms = call->deadline_ms - now_ms;
    ctx->deadline_ms = wh_clock_monotonic_ms() + (left_ms < INT32_MAX ? left_ms : INT32_MAX);
    return true;
}

static void answer_call(struct svc_dispatch *dispatch,
                        struct svc_ctx *ctx,
                        struct wh_rpc_answer *answer,
                        uint64_t *out_handler_us)
{
    struct svc_metrics *metrics = ctx->svc->metrics;
    const struct wh_rpc_call *call = ctx->call;
    struct svc_slot *slot = NULL;
    uint32_t code = SVC_OK;

    if (call->v != WH_RPC_VERSION)
        code = svc_fail(ctx, SVC_INVALID, "version %u of the call is not known here", call->v);
    else if (!(slot = wh_map_get(&dispatch->by_name, call->method)) &&
             !svc_free_run(ctx, call->method, &code))
        code = svc_fail(ctx, SVC_METHOD_NOT_FOUND, "method not found");
    if (slot)
        code = run_method(ctx, slot, out_handler_us);
    else
        svc_metrics_count(metrics, ctx->thread, code ? SVC_COUNT_UNKNOWN : SVC_COUNT_FREE);
    svc_finish_answer(ctx, code, answer);
    wh_log(WH_LOG_DEBUG, "rpc", "answered", "method=%.*s code=%u handler_us=%" PRIu64,
           WH_SLICE_ARGS(call->method), (unsigned)ctx->code, *out_handler_us);
    if (slot)
        svc_metrics_call(metrics, ctx->thread, slot->index, svc_outcome_of(ctx->code),
                         *out_handler_us);
}

bool svc_dispatch(struct svc_dispatch *dispatch,
                  struct svc_ctx *ctx,
                  struct wh_slice bytes,
                  struct wh_rpc_answer *out_answer,
                  struct wh_slice *out_reply_channel,
                  uint64_t *out_handler_us)
{
    static struct wh_log_limit limit;
    svc_ctx_reset(ctx);
    struct wh_rpc_call *call = wh_arena_alloc(&ctx->arena, sizeof *call);
    *out_handler_us = 0;
    if (!call || wh_rpc_decode(&wh_rpc_call_schema, &bytes, &ctx->arena, call) != WH_OK ||
        bytes.len != 0 || !svc_answers_is_channel(call->reply)) {
        svc_metrics_count(ctx->svc->metrics, ctx->thread, SVC_COUNT_MALFORMED);
        wh_log_limited(&limit, WH_LOG_WARN, "rpc", "malformed", "reason=%s bytes=%zu",
                       "an element of the queue is no call", bytes.len);
        return false;
    }
    if (!is_due(ctx, call))
        return false;
    ctx->call = call;
    svc_trace_begin(ctx, WH_SPAN_SERVER, call->method, call->traceparent);
    *out_answer = (struct wh_rpc_answer){.id = call->id};
    *out_reply_channel = call->reply;
    answer_call(dispatch, ctx, out_answer, out_handler_us);
    svc_trace_end(ctx, ctx->code);
    return true;
}
