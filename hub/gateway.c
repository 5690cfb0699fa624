/*
 * A plain call is one rpc.  A composition is several at once under one struct
 * composed_call, which keeps a copy of each answer and ends with the last: all
 * of them have a deadline, so it has one.  What cannot be called counts as
 * answered with its error; if that is all of them the end comes by a task,
 * because `done` may not come before gateway_start has returned.
 */
#include "hub/gateway.h"

#include "common/base/alloc.h"
#include "common/protocol/compose.h"
#include "common/protocol/copy.h"
#include "hub/demo.h"
#include "hub/node.h"

struct member {
    struct composed_call *owner;
    struct rpc_waiter waiter;
    struct wh_composed outcome; /* in the arena */
};

struct composed_call {
    struct gateway_call *call;
    struct wh_arena arena;
    struct wh_task finish;
    const struct rpc *rpc; /* of a listing */
    size_t left;           /* not answered yet */
    size_t count;
    struct member members[];
};

static const struct wh_strings no_roles;

/* Stamps */

static const struct identity *server_identity(void)
{
    static struct wh_slice role = {TOKEN_ROLE_INTERNAL, sizeof(TOKEN_ROLE_INTERNAL) - 1};
    static const struct identity identity = {.roles = {&role, 1}};
    return &identity;
}

static struct rpc_request stamp(const struct node *node,
                                const struct gateway_caller *caller,
                                const struct gateway_request *request)
{
    const struct identity *identity = caller->is_server ? server_identity() : caller->identity;
    return (struct rpc_request){
        .method = request->method,
        .params = request->params,
        .user = caller->user,
        .client = caller->client,
        .peer = wh_slice_from_str(caller->peer),
        .key = request->key,
        .traceparent = request->traceparent,
        .tracestate = request->tracestate,
        .roles = identity ? identity->roles : no_roles,
        .meta = identity ? identity->meta : (struct wh_payload){0},
        .is_trusted = caller->is_server || node->config->client.insecure,
    };
}

static enum wh_code check_rules(const struct node *node, const struct rpc_request *request)
{
    if (request->is_trusted)
        return WH_NO_ERROR;
    return gateway_rules_check(node->gateway_rules, request->method, request->user,
                               &request->roles);
}

/* Compositions */

static void composed_free(struct composed_call *composed)
{
    composed->call->composed = NULL;
    wh_task_cancel(&composed->finish);
    wh_arena_deinit(&composed->arena);
    wh_free(composed);
}

static void finish(struct composed_call *composed)
{
    struct gateway_call *call = composed->call;
    struct wh_composed *outcomes =
        wh_arena_alloc_array(&composed->arena, composed->count, sizeof(*outcomes));
    struct wh_buf text = {0};
    enum wh_payload_kind kind = WH_PAYLOAD_JSON;
    enum wh_err err = outcomes ? WH_OK : WH_ENOMEM;
    for (size_t i = 0; err == WH_OK && i < composed->count; i++)
        outcomes[i] = composed->members[i].outcome;
    if (err == WH_OK)
        err = wh_compose(outcomes, composed->count, &text, &kind);
    if (err == WH_OK)
        err = wh_buf_error(&text);
    composed_free(composed);
    struct rpc_outcome outcome = {.data = {kind, wh_buf_slice(&text)}};
    if (err)
        outcome = (struct rpc_outcome){
            .code = WH_ERROR_INTERNAL,
            .message = wh_slice_from_str(wh_code_text(WH_ERROR_INTERNAL)),
            .temporary = true,
        };
    call->done(call, &outcome);
    wh_buf_deinit(&text);
}

static void on_finish(struct wh_task *task)
{
    finish(WH_CONTAINER_OF(task, struct composed_call, finish));
}

static void fail_member(struct member *member, enum wh_code code)
{
    member->outcome.code = code;
    member->outcome.message = wh_slice_from_str(wh_code_text(code));
    member->outcome.temporary = wh_code_is_temporary(code);
}

static void on_member_done(struct rpc_waiter *waiter, const struct rpc_outcome *outcome)
{
    struct member *member = WH_CONTAINER_OF(waiter, struct member, waiter);
    struct composed_call *composed = member->owner;
    struct wh_slice bytes = outcome->code ? outcome->message : outcome->data.bytes;
    struct wh_slice copy = bytes.ptr ? wh_arena_copy(&composed->arena, bytes) : bytes;
    if (bytes.ptr && copy.ptr == NULL) { /* all answers together are too much */
        fail_member(member, WH_ERROR_INTERNAL);
    } else if (outcome->code) {
        member->outcome.code = outcome->code;
        member->outcome.message = copy;
        member->outcome.temporary = outcome->temporary;
    } else {
        member->outcome.data = (struct wh_payload){outcome->data.kind, copy};
    }
    if (--composed->left == 0)
        finish(composed);
}

/* Each method by its own rules: who may have the page need not have every part of it. */
static void start_member(struct node *node,
                         struct member *member,
                         struct wh_slice method,
                         const struct rpc_request *whole,
                         struct wh_payload params,
                         uint32_t timeout_ms)
{
    struct rpc_request request = *whole;
    uint32_t own_ms = gateway_rules_timeout_ms(node->gateway_rules, method);
    request.method = method;
    request.params = params;
    request.timeout_ms =
        own_ms > 0 && (timeout_ms == 0 || own_ms < timeout_ms) ? own_ms : timeout_ms;
    enum wh_code code = check_rules(node, &request);
    if (code != WH_NO_ERROR) {
        fail_member(member, code);
        member->owner->left--;
        return;
    }
    member->waiter.done = on_member_done;
    rpc_start(node->rpc, &request, &member->waiter);
}

static uint32_t shorter(uint32_t a, uint32_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

static enum wh_code start_composition(struct node *node,
                                      const struct composition *composition,
                                      const struct rpc_request *request,
                                      struct gateway_call *call)
{
    size_t count = composition->call_count;
    struct wh_payload params[GATEWAY_CALLS_MAX];
    struct composed_call *composed =
        wh_calloc(1, sizeof(*composed) + count * sizeof(composed->members[0]));
    if (composed == NULL)
        return WH_ERROR_INTERNAL;
    WH_ASSERT(count <= GATEWAY_CALLS_MAX);
    call->composed = composed;
    composed->call = call;
    composed->count = count;
    wh_arena_init(&composed->arena, GATEWAY_COMPOSED_BYTES_MAX);
    wh_task_init(&composed->finish, on_finish);
    for (size_t i = 0; i < count; i++) {
        composed->members[i].owner = composed;
        enum wh_err err = wh_copy_slice(composition->calls[i].as, &composed->arena,
                                        &composed->members[i].outcome.name);
        if (err == WH_OK)
            err = wh_payload_member(request->params, composition->calls[i].as, &composed->arena,
                                    &params[i]);
        if (err) {
            composed_free(composed);
            return err == WH_ENOMEM ? WH_ERROR_INTERNAL : WH_ERROR_BAD_REQUEST;
        }
    }
    composed->left = count;
    for (size_t i = 0; i < count; i++)
        start_member(node, &composed->members[i], composition->calls[i].method, request, params[i],
                     shorter(composition->timeout_ms, request->timeout_ms));
    if (composed->left == 0)
        wh_loop_defer(node->loop, &composed->finish);
    return WH_NO_ERROR;
}

/* What the hub answers itself: one call that ends by a task, like a composition of nothing. */

static void end_listing(struct composed_call *listing)
{
    struct gateway_call *call = listing->call;
    struct rpc_outcome outcome = {.code = WH_ERROR_NOT_AVAILABLE};
    struct wh_buf text = {0};
    if (rpc_write_services(listing->rpc, &text))
        outcome.code = wh_buf_error(&text) ? WH_ERROR_INTERNAL : WH_NO_ERROR;
    if (outcome.code) {
        outcome.message = wh_slice_from_str(wh_code_text(outcome.code));
        outcome.temporary = wh_code_is_temporary(outcome.code);
    } else {
        outcome.data = (struct wh_payload){WH_PAYLOAD_JSON, wh_buf_slice(&text)};
    }
    composed_free(listing);
    call->done(call, &outcome);
    wh_buf_deinit(&text);
}

static void on_listing(struct wh_task *task)
{
    end_listing(WH_CONTAINER_OF(task, struct composed_call, finish));
}

static enum wh_code start_listing(struct node *node,
                                  const struct rpc_request *request,
                                  struct gateway_call *call)
{
    static struct wh_slice admin = {"admin", 5};
    static const struct rpc_method method = {.access = RPC_ACCESS_ROLE, .roles = {&admin, 1}};
    enum wh_code code = request->is_trusted ? WH_NO_ERROR
                                            : (enum wh_code)rpc_method_check(&method, request->user,
                                                                             &request->roles);
    if (code != WH_NO_ERROR)
        return code;
    struct composed_call *listing = wh_calloc(1, sizeof(*listing));
    if (listing == NULL)
        return WH_ERROR_INTERNAL;
    call->composed = listing;
    listing->call = call;
    listing->rpc = node->rpc;
    wh_task_init(&listing->finish, on_listing);
    wh_loop_defer(node->loop, &listing->finish);
    return WH_NO_ERROR;
}

/* Calls */

static void on_done(struct rpc_waiter *waiter, const struct rpc_outcome *outcome)
{
    struct gateway_call *call = WH_CONTAINER_OF(waiter, struct gateway_call, waiter);
    call->done(call, outcome);
}

static void on_demo_done(void *user, const struct rpc_outcome *outcome)
{
    struct gateway_call *call = user;
    call->demo = NULL;
    call->done(call, outcome);
}

static bool is_within_rates(struct node *node,
                            const struct gateway_caller *caller,
                            uint64_t *out_wait_ms)
{
    struct rate_caller counted = {caller->rates, caller->user, caller->peer};
    return caller->is_server || rates_take(node->rates, &node->config->client.rate_limit, &counted,
                                           RATE_RPC, wh_loop_now_ms(node->loop), out_wait_ms);
}

enum wh_code gateway_start(struct node *node,
                           const struct gateway_caller *caller,
                           const struct gateway_request *request,
                           struct gateway_call *call,
                           uint64_t *out_wait_ms)
{
    struct wh_slice service;
    if (!is_within_rates(node, caller, out_wait_ms))
        return WH_ERROR_TOO_MANY_REQUESTS;
    if (wh_rpc_method_service(request->method, &service))
        return WH_ERROR_METHOD_NOT_FOUND;
    if (wh_payload_check(request->params))
        return WH_ERROR_BAD_REQUEST;
    struct rpc_request stamped = stamp(node, caller, request);
    enum wh_code code = check_rules(node, &stamped);
    if (code != WH_NO_ERROR)
        return code;
    if (wh_slice_equal_str(request->method, GATEWAY_LIST_METHOD))
        return start_listing(node, &stamped, call);
    const struct composition *composition =
        gateway_rules_find(node->gateway_rules, request->method);
    stamped.timeout_ms = gateway_rules_timeout_ms(node->gateway_rules, request->method);
    if (composition)
        return start_composition(node, composition, &stamped, call);
    if (demo_has_method(node->demo, request->method))
        return demo_start(node->demo, &stamped, on_demo_done, call, &call->demo, out_wait_ms);
    call->waiter.done = on_done;
    rpc_start(node->rpc, &stamped, &call->waiter);
    return WH_NO_ERROR;
}

void gateway_cancel(struct gateway_call *call)
{
    struct composed_call *composed = call->composed;
    rpc_cancel(&call->waiter);
    if (call->demo)
        demo_cancel(call->demo);
    call->demo = NULL;
    if (composed == NULL)
        return;
    for (size_t i = 0; i < composed->count; i++)
        rpc_cancel(&composed->members[i].waiter);
    composed_free(composed);
}

unsigned gateway_status(uint32_t code)
{
    static const struct {
        uint32_t code;
        unsigned status;
    } rows[] = {
        {WH_ERROR_INTERNAL, 500},          {WH_ERROR_UNAUTHORIZED, 401},
        {WH_ERROR_PERMISSION_DENIED, 403}, {WH_ERROR_METHOD_NOT_FOUND, 404},
        {WH_ERROR_BAD_REQUEST, 400},       {WH_ERROR_NOT_AVAILABLE, 501},
        {WH_ERROR_TOKEN_EXPIRED, 401},     {WH_ERROR_EXPIRED, 401},
        {WH_ERROR_TOO_MANY_REQUESTS, 429}, {WH_ERROR_SERVICE_UNAVAILABLE, 503},
        {WH_ERROR_DEADLINE_EXCEEDED, 504},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].code == code)
            return rows[i].status;
    return code >= 400 && code <= 499 ? code : 500;
}
