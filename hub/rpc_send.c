/*
 * Between hub and service: envelopes out, answers in.
 *
 * The calls of one loop turn to one service are one RPUSH, whose answer is the
 * length of the list; what is to be cancelled is one PUBLISH behind it.  The
 * request to Redis carries the ids, not the calls: when Redis answers, some of
 * them may have ended.
 */
#include "hub/rpc_internal.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/protocol/codes.h"

/* ---- out ---- */

struct push {
    struct wh_redis_request request;
    struct rpc_service *service;
    size_t count;
    uint64_t ids[];
};

/* Whether the calls may have reached the service decides between 1503 and 1504; see rpc.h. */
static void fail_push(struct push *push, enum wh_err err, const struct wh_redis_reply *reply)
{
    struct rpc *rpc = push->service->rpc;
    bool may_have_happened = err == WH_ETIMEOUT || err == WH_EIO;
    wh_log_limited(&rpc->push_limit, WH_LOG_WARN, "rpc", "not_sent",
                   "service=%.*s calls=%zu reason=%s redis=%.*s",
                   WH_SLICE_ARGS(push->service->name), push->count, wh_err_text(err),
                   WH_SLICE_ARGS(reply ? reply->text : WH_SLICE_ABSENT));
    for (size_t i = 0; i < push->count; i++) {
        struct rpc_call *call = rpc_ids_find(&rpc->ids, push->ids[i]);
        if (call)
            rpc_call_end(call, may_have_happened ? WH_ERROR_DEADLINE_EXCEEDED
                                                 : WH_ERROR_SERVICE_UNAVAILABLE);
    }
}

static void on_pushed(struct wh_redis_request *request,
                      enum wh_err err,
                      const struct wh_redis_reply *reply)
{
    struct push *push = WH_CONTAINER_OF(request, struct push, request);
    push->service->requests--;
    if (err == WH_OK && reply->type == WH_REDIS_INTEGER)
        rpc_service_length(push->service, reply->integer);
    else if (err != WH_ECLOSED)
        fail_push(push, err, reply);
    wh_free(push);
}

static void push_batch(struct rpc_service *service)
{
    struct wh_slice argv[2 + RPC_BATCH_CALLS] = {WH_SLICE_LITERAL("RPUSH"), service->queue_key};
    uint32_t count = service->batch_count;
    if (count == 0)
        return;
    enum wh_err err = wh_buf_error(&service->batch);
    WH_ASSERT(err == WH_OK); /* only memory can be short */
    struct push *push = rpc_alloc(sizeof(*push) + count * sizeof(push->ids[0]));
    push->request.done = on_pushed;
    push->service = service;
    push->count = count;
    memcpy(push->ids, service->batch_ids, count * sizeof(push->ids[0]));
    size_t begin = 0;
    for (uint32_t i = 0; i < count; i++) {
        size_t end = service->batch_ends[i];
        argv[2 + i] = wh_slice(service->batch.ptr + begin, end - begin);
        begin = end;
    }
    service->requests++;
    service->is_renewal_due = true;
    wh_redis_send(service->rpc->commands, &push->request, argv, 2 + count);
    service->batch_count = 0;
    wh_buf_reset(&service->batch);
}

static void on_published(struct wh_redis_request *request,
                         enum wh_err err,
                         const struct wh_redis_reply *reply)
{
    (void)err; /* a courtesy: the service looks at the deadline as well */
    (void)reply;
    wh_free(request);
}

static void publish_cancels(struct rpc_service *service)
{
    if (service->cancels.len == 0)
        return;
    enum wh_err err = wh_buf_error(&service->cancels);
    WH_ASSERT(err == WH_OK); /* only memory can be short */
    struct wh_slice argv[] = {WH_SLICE_LITERAL("PUBLISH"), service->alive_key,
                              wh_buf_slice(&service->cancels)};
    struct wh_redis_request *request = rpc_alloc(sizeof(*request));
    request->done = on_published;
    wh_redis_send(service->rpc->commands, request, argv, sizeof(argv) / sizeof(argv[0]));
    wh_buf_reset(&service->cancels);
}

static void flush(struct rpc_service *service)
{
    push_batch(service);
    publish_cancels(service);
}

static void flush_later(struct rpc_service *service)
{
    if (wh_list_is_empty(&service->unsent_link))
        wh_list_push_back(&service->rpc->unsent, &service->unsent_link);
}

void rpc_send_all(struct rpc *rpc)
{
    struct wh_list *link;
    while ((link = wh_list_pop_front(&rpc->unsent)) != NULL)
        flush(WH_CONTAINER_OF(link, struct rpc_service, unsent_link));
}

static void encode(const struct rpc_call *call, const struct rpc_request *request)
{
    const struct rpc *rpc = call->rpc;
    uint64_t now = wh_clock_monotonic_ms(); /* the loop's own is as old as this turn */
    uint64_t wall = (uint64_t)wh_clock_wall_ms();
    struct wh_rpc_call envelope = {
        .v = WH_RPC_VERSION,
        .id = call->id,
        .method = request->method,
        .params = request->params,
        .user = request->user,
        .client = request->client,
        .roles = request->roles,
        .meta = request->meta,
        .peer = request->peer,
        .key = request->key,
        .sent_ms = wall,
        .deadline_ms = wall + (call->deadline_ms > now ? call->deadline_ms - now : 0),
        .reply = rpc->reply_channel.name,
        .traceparent = request->traceparent,
        .tracestate = request->tracestate,
    };
    wh_rpc_encode(&wh_rpc_call_schema, &envelope, &call->service->batch);
}

void rpc_send_call(struct rpc_call *call, const struct rpc_request *request)
{
    struct rpc_service *service = call->service;
    enum wh_err err = rpc_ids_take(&call->rpc->ids, call, &call->id);
    WH_ASSERT(err != WH_ENOMEM);
    if (err) {
        rpc_call_end(call, WH_ERROR_TOO_MANY_REQUESTS);
        return;
    }
    call->state = CALL_SENT;
    wh_list_push_back(&service->sent, &call->link);
    encode(call, request);
    service->batch_ids[service->batch_count] = call->id;
    service->batch_ends[service->batch_count++] = service->batch.len;
    if (service->batch_count == RPC_BATCH_CALLS || service->batch.len >= RPC_BATCH_BYTES)
        push_batch(service);
    else
        flush_later(service);
}

void rpc_send_cancel(struct rpc_call *call)
{
    struct rpc_service *service = call->service;
    struct wh_rpc_cancel cancel = {.id = call->id, .reply = call->rpc->reply_channel.name};
    if (!call->rpc->is_up)
        return;
    wh_rpc_encode(&wh_rpc_cancel_schema, &cancel, &service->cancels);
    if (service->cancels.len >= RPC_CANCEL_BYTES)
        flush(service); /* never a cancel before its call */
    else
        flush_later(service);
}

/* ---- in ---- */

/* What a service may say: its own 400–499, and what DESIGN calls the errors of a call. */
static bool is_service_code(uint32_t code)
{
    switch (code) {
    case WH_ERROR_INTERNAL:
    case WH_ERROR_PERMISSION_DENIED:
    case WH_ERROR_METHOD_NOT_FOUND:
    case WH_ERROR_BAD_REQUEST:
    case WH_ERROR_TOO_MANY_REQUESTS:
    case WH_ERROR_SERVICE_UNAVAILABLE:
    case WH_ERROR_DEADLINE_EXCEEDED:
        return true;
    default:
        return code >= 400 && code <= 499;
    }
}

static struct rpc_outcome failure(uint32_t code)
{
    return (struct rpc_outcome){
        .code = code,
        .message = wh_slice_from_str(wh_code_text(code)),
        .temporary = wh_code_is_temporary(code),
    };
}

/* The data was checked when it was decoded. */
static struct rpc_outcome judge(const struct wh_rpc_answer *answer)
{
    const struct wh_error_reply *error = answer->error;
    if (error == NULL)
        return (struct rpc_outcome){.data = answer->data};
    if (!is_service_code(error->code))
        return failure(WH_ERROR_INTERNAL);
    struct rpc_outcome outcome = failure(error->code);
    if (error->message.len > 0 && error->message.len <= RPC_MESSAGE_BYTES_MAX)
        outcome.message = error->message;
    outcome.temporary = error->temporary;
    return outcome;
}

static enum breaker_verdict verdict_of(uint32_t code)
{
    if (code == WH_ERROR_DEADLINE_EXCEEDED)
        return BREAKER_TIMEOUT;
    return code == WH_ERROR_INTERNAL ? BREAKER_FAILURE : BREAKER_SUCCESS;
}

static void take_answer(struct rpc *rpc, const struct wh_rpc_answer *answer)
{
    struct rpc_call *call = rpc_ids_find(&rpc->ids, answer->id);
    if (call == NULL) {
        metrics_add(rpc->metrics, METRIC_RPC_LATE_REPLIES, 1);
        return;
    }
    struct rpc_outcome outcome = judge(answer);
    rpc_call_finish(call, &outcome, verdict_of(outcome.code));
}

/* Who answered so is known if the id came first, as it does from encoders that keep an order. */
static void take_damaged(struct rpc *rpc, uint64_t id)
{
    struct rpc_call *call = rpc_ids_find(&rpc->ids, id);
    struct rpc_outcome outcome = failure(WH_ERROR_INTERNAL);
    metrics_add(rpc->metrics, METRIC_RPC_INVALID_REPLIES, 1);
    if (call)
        rpc_call_finish(call, &outcome, BREAKER_FAILURE);
}

/* Behind something that cannot be read nothing can be found: the rest of the message is lost. */
void rpc_receive(struct rpc *rpc, struct wh_slice payload)
{
    struct wh_slice rest = payload;
    do {
        struct wh_rpc_answer answer = {0};
        wh_arena_reset(&rpc->arena);
        enum wh_err err = wh_rpc_decode(&wh_rpc_answer_schema, &rest, &rpc->arena, &answer);
        if (err) {
            wh_log_limited(&rpc->reply_limit, WH_LOG_WARN, "rpc", "reply_invalid",
                           "bytes=%zu reason=%s", payload.len, wh_err_text(err));
            take_damaged(rpc, answer.id);
            return;
        }
        take_answer(rpc, &answer);
    } while (rest.len > 0);
}
