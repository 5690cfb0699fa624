/*
 * rpc: a call to a service.
 *
 * Calls stand beside the other commands of a session: they run at once, wait
 * for nothing that is pending, hold nothing up, and each is answered when its
 * answer comes.  What bounds them is how many may be under way.
 */
#include "hub/command_internal.h"

#include "common/base/alloc.h"
#include "hub/gateway.h"

struct session_call {
    struct gateway_call base;
    struct wh_list link; /* session->calls */
    struct session *session;
    uint32_t id; /* of the command */
    struct tracing_scope scope;
};

static void call_free(struct session_call *call)
{
    tracing_end(call->session->node, &call->scope);
    wh_list_remove(&call->link);
    call->session->call_count--;
    wh_free(call);
}

static void reply_error(struct session *session, uint32_t id, const struct rpc_outcome *outcome)
{
    struct wh_error_reply error = {
        .code = outcome->code,
        .message = outcome->message,
        .temporary = outcome->temporary,
    };
    metrics_count_code(session->node->metrics, METRIC_REPLY_ERRORS, outcome->code);
    tracing_failed(session->node, outcome->code, outcome->message);
    session_reply(session, &(struct wh_reply){.id = id, .error = &error});
}

static void on_done(struct gateway_call *base, const struct rpc_outcome *outcome)
{
    struct session_call *call = WH_CONTAINER_OF(base, struct session_call, base);
    struct session *session = call->session;
    struct wh_rpc_result result = {.data = outcome->data};
    struct tracing_scope scope = call->scope, outer;
    uint32_t id = call->id;
    call->scope.span = NULL; /* it ends behind the reply */
    call_free(call);
    tracing_enter(session->node, &scope, &outer);
    if (outcome->code)
        reply_error(session, id, outcome);
    else if (outcome->data.bytes.len >= session->node->config->client.queue_max_size)
        session_reply_error(session, id, WH_ERROR_INTERNAL); /* it would close the connection */
    else if (session_try_reply(session, &(struct wh_reply){.id = id, .rpc = &result}))
        session_reply_error(session, id, WH_ERROR_INTERNAL); /* bytes to a JSON client */
    tracing_leave(session->node, &outer);
    tracing_end(session->node, &scope);
}

void command_abandon_calls(struct session *session)
{
    WH_LIST_EACH(link, &session->calls)
    {
        struct session_call *call = WH_CONTAINER_OF(link, struct session_call, link);
        gateway_cancel(&call->base);
        call_free(call);
    }
}

/* Protobuf has no kinds: to services its bytes are JSON when they read as JSON. */
static struct wh_payload params_of(const struct session *session, struct wh_payload data)
{
    if (session->encoding == WH_ENCODING_PROTOBUF && wh_payload_is_present(data))
        return wh_payload_classify(data.bytes);
    return data;
}

static enum wh_code start(struct session *session,
                          const struct wh_rpc_request *asked,
                          struct session_call *call)
{
    char traceparent[WH_TRACEPARENT_LEN + 1];
    uint64_t wait_ms; /* the SDKs have a backoff of their own */
    struct gateway_caller caller = {
        .user = session->user->id,
        .client = wh_slice_from_str(session->id),
        .peer = session->peer,
        .identity = session->identity,
        .rates = &session->rates,
    };
    struct gateway_request request = {.method = asked->method,
                                      .params = params_of(session, asked->data),
                                      .traceparent =
                                          tracing_traceparent(&call->scope, traceparent)};
    return gateway_start(session->node, &caller, &request, &call->base, &wait_ms);
}

void command_rpc(struct session *session, const struct wh_command *command)
{
    struct node *node = session->node;
    if (session->call_count >= node->config->rpc.connection_inflight_limit) {
        session_reply_error(session, command->id, WH_ERROR_TOO_MANY_REQUESTS);
        return;
    }
    struct session_call *call = wh_calloc(1, sizeof(*call));
    if (call == NULL) {
        session_reply_error(session, command->id, WH_ERROR_INTERNAL);
        return;
    }
    call->base.done = on_done;
    call->session = session;
    call->id = command->id;
    call->scope = tracing_take(node);
    wh_list_push_back(&session->calls, &call->link);
    session->call_count++;
    enum wh_code code = start(session, command->rpc, call);
    if (code != WH_NO_ERROR) {
        tracing_fail_scope(&call->scope, code, WH_SLICE_ABSENT);
        call_free(call);
        session_reply_error(session, command->id, code);
    }
}
