/*
 * The life of a call, and of the whole.
 *
 *     start ─ method known? ── no ──> WAITS_DIRECTORY ─┐ read again
 *               │ yes <──────────────────────────────┘
 *             may this caller? limits?
 *             service known to live? ── no ──> WAITS_LIVENESS ─┐ asked
 *               │ yes <────────────────────────────────────────┘
 *             breaker ── SENT ── answer, deadline, cancel
 *
 * A call that need not wait goes from start to SENT without a copy of what it carries; the first
 * wait makes one.  Whatever ends a call without an answer puts it on rpc->ended, from where `done`
 * is called later in the turn; so nobody's callback runs inside another's call.  An answer borrows
 * its bytes from Redis' reply and is handed on at once.
 *
 * The two connections to Redis are of their own: a flood of publications, a large history or an
 * output buffer that Redis cuts do not delay or lose answers, nor the other way round.
 */
#include "hub/rpc_internal.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/protocol/codes.h"

#include <stdio.h>

void *rpc_alloc(size_t size)
{
    void *memory = wh_calloc(1, size);
    WH_ASSERT(memory != NULL);
    return memory;
}

/* ---- ends ---- */

static struct breaker_options breaker_options(const struct rpc *rpc)
{
    const struct config *config = rpc->config;
    return (struct breaker_options){
        .window_ms = config->rpc.breaker.window_ms,
        .calls_min = config->rpc.breaker.calls_min,
        .failure_percent = config->rpc.breaker.failure_percent,
        .consecutive_timeouts = config->rpc.breaker.consecutive_timeouts,
        .open_ms = config->rpc.breaker.open_ms,
    };
}

/* Take the call out of everything that may find it; its memory stays. */
static void detach(struct rpc_call *call,
                   enum breaker_verdict verdict,
                   enum metrics_rpc_outcome outcome)
{
    struct rpc *rpc = call->rpc;
    struct rpc_service *service = call->service;
    uint64_t now_us = wh_clock_monotonic_us();
    wh_list_remove(&call->link);
    wh_loop_timer_stop(rpc->loop, &call->deadline);
    if (call->id)
        rpc_ids_release(&rpc->ids, call->id);
    call->id = 0;
    if (call->is_admitted) {
        struct breaker_options options = breaker_options(rpc);
        breaker_record(&service->breaker, &options, wh_loop_now_ms(rpc->loop), verdict,
                       call->is_probe, now_us); /* chance enough to part workers */
    }
    call->is_admitted = false;
    if (service) {
        service->inflight--;
        metrics_rpc_ended(rpc->metrics, service->metrics_slot, outcome, now_us - call->started_us);
    }
    call->service = NULL;
}

static void call_free(struct rpc_call *call)
{
    call->rpc->call_count--;
    wh_span_end(call->span);
    if (call->kept) {
        wh_arena_deinit(&call->kept->arena);
        wh_free(call->kept);
    }
    wh_free(call);
}

static void end_with(struct rpc_call *call, uint32_t code, enum breaker_verdict verdict)
{
    struct rpc *rpc = call->rpc;
    detach(call, verdict, metrics_rpc_outcome_of(code));
    call->state = CALL_ENDED;
    call->code = code;
    wh_list_push_back(&rpc->ended, &call->link);
    wh_loop_defer(rpc->loop, &rpc->finish);
}

void rpc_call_end(struct rpc_call *call, uint32_t code)
{
    end_with(call, code, BREAKER_NO_VERDICT);
}

void rpc_call_finish(struct rpc_call *call,
                     const struct rpc_outcome *outcome,
                     enum breaker_verdict verdict)
{
    struct rpc_waiter *waiter = call->waiter;
    detach(call, verdict, metrics_rpc_outcome_of(outcome->code));
    if (outcome->code) {
        wh_span_number(call->span, "wirehub.error.code", outcome->code);
        wh_span_fail(call->span, outcome->message);
    }
    call_free(call);
    waiter->call = NULL;
    waiter->done(waiter, outcome);
}

static void on_finish(struct wh_task *task)
{
    struct rpc *rpc = WH_CONTAINER_OF(task, struct rpc, finish);
    struct wh_list *link;
    while ((link = wh_list_pop_front(&rpc->ended)) != NULL) {
        struct rpc_call *call = WH_CONTAINER_OF(link, struct rpc_call, link);
        struct rpc_outcome outcome = {
            .code = call->code,
            .message = wh_slice_from_str(wh_code_text(call->code)),
            .temporary = wh_code_is_temporary(call->code),
        };
        rpc_call_finish(call, &outcome, BREAKER_NO_VERDICT);
    }
}

/* A caller that wanted to wait less than the method may take says nothing about the service. */
static void on_deadline(struct wh_timer *timer)
{
    struct rpc_call *call = WH_CONTAINER_OF(timer, struct rpc_call, deadline);
    if (call->state == CALL_SENT)
        end_with(call, WH_ERROR_DEADLINE_EXCEEDED,
                 call->is_shortened ? BREAKER_NO_VERDICT : BREAKER_TIMEOUT);
    else
        rpc_call_end(call, WH_ERROR_SERVICE_UNAVAILABLE); /* it was never sent */
}

void rpc_cancel(struct rpc_waiter *waiter)
{
    struct rpc_call *call = waiter->call;
    if (call == NULL)
        return;
    waiter->call = NULL;
    if (call->state == CALL_SENT)
        rpc_send_cancel(call);
    detach(call, BREAKER_NO_VERDICT, METRICS_RPC_CANCELLED);
    wh_span_fail(call->span, WH_SLICE_LITERAL("cancelled"));
    call_free(call);
}

/* ---- the way to the service ---- */

/*
 * The wheel fires up to a tick late, so the deadline is half a tick early and no call is off by
 * more than that.  The service is told the same moment: what it begins, somebody still waits for.
 */
static void set_deadline(struct rpc_call *call, uint64_t timeout_ms, uint32_t wanted_ms)
{
    struct rpc *rpc = call->rpc;
    uint64_t now = wh_loop_now_ms(rpc->loop);
    if (timeout_ms > RPC_TIMEOUT_MAX_MS)
        timeout_ms = RPC_TIMEOUT_MAX_MS;
    call->is_shortened = wanted_ms > 0 && wanted_ms < timeout_ms;
    if (call->is_shortened)
        timeout_ms = wanted_ms;
    if (timeout_ms > WH_WHEEL_TICK_MS)
        timeout_ms -= WH_WHEEL_TICK_MS / 2;
    call->deadline_ms = call->started_ms + timeout_ms;
    wh_loop_timer_start(rpc->loop, &call->deadline,
                        call->deadline_ms > now ? call->deadline_ms - now : 0);
}

static struct wh_slice keep_slice(struct wh_arena *arena, struct wh_slice slice)
{
    if (slice.ptr == NULL)
        return slice;
    struct wh_slice copy = wh_arena_copy(arena, slice);
    WH_ASSERT(copy.ptr != NULL);
    return copy;
}

/* The call must wait: what it carries is borrowed until rpc_start returns. */
static void keep_request(struct rpc_call *call, const struct rpc_request *request)
{
    if (call->kept)
        return;
    call->kept = rpc_alloc(sizeof(*call->kept));
    struct wh_arena *arena = &call->kept->arena;
    struct rpc_request *kept = &call->kept->request;
    *kept = *request;
    struct wh_slice *const slices[] = {&kept->method,      &kept->params.bytes, &kept->user,
                                       &kept->client,      &kept->peer,         &kept->key,
                                       &kept->traceparent, &kept->tracestate,   &kept->meta.bytes};
    for (size_t i = 0; i < sizeof(slices) / sizeof(slices[0]); i++)
        *slices[i] = keep_slice(arena, *slices[i]);
    if (kept->roles.count == 0)
        return;
    kept->roles.items = wh_arena_alloc_array(arena, kept->roles.count, sizeof(*kept->roles.items));
    WH_ASSERT(kept->roles.items != NULL);
    for (size_t i = 0; i < kept->roles.count; i++)
        kept->roles.items[i] = keep_slice(arena, request->roles.items[i]);
}

/* Somebody was heard to live, or nobody. */
static void pass_on(struct rpc_call *call, const struct rpc_request *request)
{
    struct rpc_service *service = call->service;
    if (service->instances <= 0 ||
        !breaker_admit(&service->breaker, wh_loop_now_ms(call->rpc->loop), &call->is_probe)) {
        rpc_call_end(call, WH_ERROR_SERVICE_UNAVAILABLE);
        return;
    }
    call->is_admitted = true;
    rpc_send_call(call, request);
}

uint32_t rpc_method_check(const struct rpc_method *method,
                          struct wh_slice user,
                          const struct wh_strings *roles)
{
    if (method->access == RPC_ACCESS_ANONYMOUS)
        return WH_NO_ERROR;
    if (user.len == 0)
        return WH_ERROR_UNAUTHORIZED;
    if (method->access == RPC_ACCESS_USER)
        return WH_NO_ERROR;
    for (size_t i = 0; i < method->roles.count; i++)
        for (size_t j = 0; j < roles->count; j++)
            if (wh_slice_equal(method->roles.items[i], roles->items[j]))
                return WH_NO_ERROR;
    return WH_ERROR_PERMISSION_DENIED;
}

static uint32_t admit(const struct rpc_call *call,
                      const struct rpc_method *method,
                      const struct rpc_request *request)
{
    const struct rpc_service *service = call->service;
    uint32_t code = request->is_trusted ? (uint32_t)WH_NO_ERROR
                                        : rpc_method_check(method, request->user, &request->roles);
    if (code == WH_NO_ERROR && call->waiter->admit)
        code = call->waiter->admit(call->waiter, method);
    if (code == WH_NO_ERROR &&
        (service->is_full || service->inflight > call->rpc->config->rpc.service_inflight_limit))
        code = WH_ERROR_TOO_MANY_REQUESTS;
    return code;
}

static void call_method(struct rpc_call *call,
                        struct rpc_service *service,
                        const struct rpc_method *method,
                        const struct rpc_request *request)
{
    struct rpc *rpc = call->rpc;
    call->service = service;
    service->inflight++;
    uint32_t code = admit(call, method, request);
    if (code) {
        rpc_call_end(call, code);
        return;
    }
    set_deadline(call, method->timeout_ms ? method->timeout_ms : rpc->config->rpc.timeout_ms,
                 request->timeout_ms);
    rpc_service_called(service);
    if (rpc_service_is_fresh(service)) {
        pass_on(call, request);
        return;
    }
    keep_request(call, request);
    call->state = CALL_WAITS_LIVENESS;
    wh_list_push_back(&service->waiting, &call->link);
    rpc_service_ask(service);
}

static void route(struct rpc_call *call, const struct rpc_request *request)
{
    struct rpc *rpc = call->rpc;
    struct wh_slice name;
    if (wh_rpc_method_service(request->method, &name)) {
        rpc_call_end(call, WH_ERROR_METHOD_NOT_FOUND);
        return;
    }
    if (!rpc->is_up) {
        rpc_call_end(call, WH_ERROR_SERVICE_UNAVAILABLE);
        return;
    }
    struct rpc_service *service = rpc_service_find(rpc, name);
    const struct rpc_method *method =
        service ? rpc_methods_find(service->methods, request->method) : NULL;
    if (method) {
        call_method(call, service, method, request);
    } else if (call->has_looked || !rpc_directory_look(rpc)) {
        rpc_call_end(call, WH_ERROR_METHOD_NOT_FOUND);
    } else {
        keep_request(call, request);
        call->state = CALL_WAITS_DIRECTORY;
        set_deadline(call, rpc->config->rpc.timeout_ms, request->timeout_ms);
        wh_list_push_back(&rpc->unknown, &call->link);
    }
}

void rpc_call_resume(struct rpc_call *call)
{
    wh_list_remove(&call->link);
    if (call->state == CALL_WAITS_LIVENESS) {
        pass_on(call, &call->kept->request);
        return;
    }
    call->has_looked = true;
    route(call, &call->kept->request);
}

/* The service is asked in the name of the call's own span, or of its caller's when there is none.
 */
static struct rpc_request begin_trace(struct rpc_call *call,
                                      const struct rpc_request *request,
                                      char *traceparent)
{
    struct rpc_request traced = *request;
    struct wh_trace parent, trace;
    struct wh_buf name = {0};
    bool has_parent = wh_trace_parse(request->traceparent, &parent) == WH_OK;
    if (call->rpc->tracer)
        wh_buf_printf(&name, "rpc %.*s", WH_SLICE_ARGS(request->method));
    call->span = wh_span_start(call->rpc->tracer, has_parent ? &parent : NULL, WH_SPAN_CLIENT,
                               wh_buf_slice(&name), &trace);
    wh_buf_deinit(&name);
    wh_span_text(call->span, "rpc.system", WH_SLICE_LITERAL("wirehub"));
    wh_span_text(call->span, "rpc.method", request->method);
    traced.traceparent = traced.tracestate = WH_SLICE_ABSENT;
    if (wh_trace_is_valid(&trace)) {
        wh_trace_format(&trace, traceparent);
        traced.traceparent = wh_slice(traceparent, WH_TRACEPARENT_LEN);
    }
    if (has_parent)
        traced.tracestate = wh_trace_state(request->tracestate);
    return traced;
}

void rpc_start(struct rpc *rpc, const struct rpc_request *request, struct rpc_waiter *waiter)
{
    struct rpc_call *call = rpc_alloc(sizeof(*call));
    call->rpc = rpc;
    call->waiter = waiter;
    call->started_ms = wh_loop_now_ms(rpc->loop);
    call->started_us = wh_clock_monotonic_us();
    wh_list_init(&call->link);
    wh_timer_init(&call->deadline, on_deadline);
    waiter->call = call;
    rpc->call_count++;
    char traceparent[WH_TRACEPARENT_LEN + 1];
    struct rpc_request traced;
    if (rpc->tracer || request->traceparent.len > 0) {
        traced = begin_trace(call, request, traceparent);
        request = &traced;
    }
    if (rpc->commands == NULL)
        rpc_call_end(call, WH_ERROR_NOT_AVAILABLE);
    else if (rpc->call_count > RPC_CALLS_MAX)
        rpc_call_end(call, WH_ERROR_TOO_MANY_REQUESTS);
    else
        route(call, request);
}

const struct rpc_method *rpc_method_find(const struct rpc *rpc, struct wh_slice method)
{
    struct wh_slice name;
    if (wh_rpc_method_service(method, &name))
        return NULL;
    const struct rpc_service *service = rpc_service_find(rpc, name);
    return service ? rpc_methods_find(service->methods, method) : NULL;
}

/* ---- links ---- */

static void on_message(void *user, struct wh_slice channel, struct wh_slice payload)
{
    struct rpc *rpc = user;
    if (wh_slice_equal(channel, rpc->reply_channel.name))
        rpc_receive(rpc, payload);
    else
        rpc_directory_changed(rpc);
}

static void on_confirmed(void *user, struct wh_redis_channel *channel)
{
    (void)user; /* on_state says when all are */
    (void)channel;
}

static void on_released(void *user, struct wh_redis_channel *channel)
{
    (void)user; /* both are part of struct rpc */
    (void)channel;
}

static void on_state(void *user, bool is_up, const char *reason)
{
    struct rpc *rpc = user;
    if (rpc->is_up != is_up)
        wh_log(is_up ? WH_LOG_INFO : WH_LOG_WARN, "rpc", is_up ? "link_up" : "link_down",
               "reason=%s", reason);
    rpc->is_up = is_up;
    rpc_services_link(rpc, is_up);
}

const char *rpc_link_problem(const struct rpc *rpc)
{
    return rpc->pubsub && !rpc->is_up ? wh_redis_pubsub_reason(rpc->pubsub) : "";
}

static void on_turn_end(struct wh_task *task)
{
    rpc_send_all(WH_CONTAINER_OF(task, struct rpc, at_turn_end));
}

static enum wh_err open_links(struct rpc *rpc)
{
    const struct config *config = rpc->config;
    struct wh_redis_options options = {
        .address = config->engine.redis.address,
        .user = config->engine.redis.user,
        .password = config->engine.redis.password,
        .db = config->engine.redis.db,
    };
    struct wh_redis_pubsub_options pubsub_options = {
        .redis = options,
        .on_message = on_message,
        .on_confirmed = on_confirmed,
        .on_released = on_released,
        .on_state = on_state,
        .user = rpc,
    };
    enum wh_err err = wh_redis_new(rpc->loop, &options, &rpc->commands);
    if (err)
        return err;
    err = wh_redis_pubsub_new(rpc->loop, rpc->commands, &pubsub_options, &rpc->pubsub);
    if (err) {
        wh_redis_close(rpc->commands, NULL, NULL);
        return err;
    }
    err = wh_redis_pubsub_want(rpc->pubsub, &rpc->reply_channel);
    if (!err)
        err = wh_redis_pubsub_want(rpc->pubsub, &rpc->directory_channel);
    WH_ASSERT(err == WH_OK); /* only memory can be short */
    return WH_OK;
}

enum wh_err rpc_new(struct wh_loop *loop,
                    const struct config *config,
                    const char *node_id,
                    struct metrics *metrics,
                    struct rpc **out_rpc)
{
    struct rpc *rpc = wh_calloc(1, sizeof(*rpc));
    if (rpc == NULL)
        return WH_ENOMEM;
    rpc->loop = loop;
    rpc->config = config;
    rpc->metrics = metrics;
    rpc->ids.max = RPC_CALLS_MAX;
    snprintf(rpc->reply_name, sizeof(rpc->reply_name), "%s%s", WH_RPC_REPLY_PREFIX, node_id);
    rpc->reply_channel.name = wh_slice_from_str(rpc->reply_name);
    rpc->directory_channel.name = WH_SLICE_LITERAL(WH_RPC_SERVICES_KEY);
    wh_list_init(&rpc->ended);
    wh_list_init(&rpc->unsent);
    wh_task_init(&rpc->finish, on_finish);
    wh_task_init(&rpc->at_turn_end, on_turn_end);
    wh_arena_init(&rpc->arena, RPC_ANSWER_BYTES_MAX);
    rpc_services_init(rpc);
    if (config->engine.type == ENGINE_REDIS) {
        wh_loop_at_turn_end(loop, &rpc->at_turn_end); /* before the links' own: they write last */
        enum wh_err err = open_links(rpc);
        if (err) {
            wh_task_cancel(&rpc->at_turn_end);
            wh_free(rpc);
            return err;
        }
    }
    *out_rpc = rpc;
    return WH_OK;
}

void rpc_use_tracer(struct rpc *rpc, struct wh_tracer *tracer)
{
    rpc->tracer = tracer;
}

void rpc_use_config(struct rpc *rpc, const struct config *config)
{
    rpc->config = config;
}

static void free_all(struct rpc *rpc)
{
    void (*closed)(void *user) = rpc->closed;
    void *closed_user = rpc->closed_user;
    on_finish(&rpc->finish);
    wh_task_cancel(&rpc->finish);
    WH_ASSERT(rpc->call_count == 0);
    rpc_services_deinit(rpc);
    rpc_ids_deinit(&rpc->ids);
    wh_arena_deinit(&rpc->arena);
    wh_free(rpc);
    closed(closed_user);
}

static void on_link_closed(void *user)
{
    struct rpc *rpc = user;
    if (--rpc->links_open == 0)
        free_all(rpc);
}

void rpc_close(struct rpc *rpc, void (*closed)(void *user), void *user)
{
    rpc->closed = closed;
    rpc->closed_user = user;
    rpc->is_up = false;
    rpc_services_stop(rpc);
    on_finish(&rpc->finish);
    rpc_send_all(rpc); /* cancels of those who left just now */
    wh_task_cancel(&rpc->at_turn_end);
    if (rpc->commands == NULL) {
        free_all(rpc);
        return;
    }
    rpc->links_open = 2;
    wh_redis_pubsub_close(rpc->pubsub, on_link_closed, rpc);
    wh_redis_close(rpc->commands, on_link_closed, rpc);
}
