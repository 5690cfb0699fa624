/*
 * One request is a struct rest_call from http_rpc_start to http_respond:
 *
 *     token? ── its key may come ──> waits for it ─┐
 *       │ no <──────────────────────────────────────┘ verified, or refused
 *     gateway ── error at once, or `done` ──> respond
 *
 * Who is cut off while it runs is not noticed (nothing is read meanwhile); the
 * deadline ends it.
 *
 * Its scope (tracing.h) begins before the token is looked at and ends with the
 * answer, whose header traceresponse says where the call stood.
 */
#include "hub/http_rpc.h"

#include "common/base/alloc.h"
#include "common/base/log.h"
#include "common/protocol/codec.h"
#include "hub/cors.h"
#include "hub/gateway.h"
#include "hub/tracing.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#define RPC_PREFIX  "/rpc/"
#define AUTH_PREFIX "/auth/"
#define USERS       "users.v1."

enum { ARENA_BYTES_MAX = 1024 * 1024, RETRY_MS = 1000, IDEMPOTENCY_KEY_BYTES_MAX = 255 };

struct rest_call {
    struct gateway_call base;
    struct node *node;
    struct http_exchange *exchange;
    struct jwks_waiter key_waiter;
    struct tracing_scope scope;
    struct wh_arena arena; /* of method and claims */
    struct wh_slice method;
    struct wh_slice token; /* "" = anonymous */
    enum wh_encoding encoding;
};

/* Routes */

static bool is_auth(const struct http_request *request)
{
    return wh_slice_starts_with(request->path, WH_SLICE_LITERAL(AUTH_PREFIX));
}

bool http_rpc_is_ours(const struct http_request *request)
{
    return is_auth(request) || wh_slice_starts_with(request->path, WH_SLICE_LITERAL(RPC_PREFIX));
}

/* Borrowed or static; absent: there is no such path. */
static struct wh_slice method_of(const struct http_request *request)
{
    static const char *const verbs[] = {"register", "login", "refresh", "logout"};
    static const char *const methods[] = {USERS "register", USERS "login", USERS "refresh",
                                          USERS "logout"};
    if (!is_auth(request)) {
        struct wh_slice method = wh_slice_from(request->path, strlen(RPC_PREFIX));
        return method.len > 0 ? method : WH_SLICE_ABSENT;
    }
    struct wh_slice verb = wh_slice_from(request->path, strlen(AUTH_PREFIX));
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (wh_slice_equal_str(verb, verbs[i]))
            return wh_slice_from_str(methods[i]);
    return WH_SLICE_ABSENT;
}

/* A type without its parameters; none at all is taken for JSON. */
static bool read_content_type(struct wh_slice header, enum wh_encoding *out_encoding)
{
    static const struct {
        const char *type;
        enum wh_encoding encoding;
    } types[] = {
        {"application/json", WH_ENCODING_JSON},
        {"application/msgpack", WH_ENCODING_MSGPACK},
        {"application/x-msgpack", WH_ENCODING_MSGPACK},
        {"application/vnd.msgpack", WH_ENCODING_MSGPACK},
    };
    size_t len = 0;
    *out_encoding = WH_ENCODING_JSON;
    if (header.len == 0)
        return true;
    while (len < header.len && header.ptr[len] != ';' && header.ptr[len] != ' ')
        len++;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (strlen(types[i].type) == len && strncasecmp(header.ptr, types[i].type, len) == 0) {
            *out_encoding = types[i].encoding;
            return true;
        }
    }
    return false;
}

/* Answers */

static const char *content_type_of(enum wh_encoding encoding)
{
    return encoding == WH_ENCODING_JSON ? "application/json" : "application/msgpack";
}

static void write_cors(struct node *node,
                       const struct http_request *request,
                       struct http_response *response)
{
    cors_write(cors_check(request->origin, request->host, node->config), request->origin,
               &response->header_lines);
}

static void respond_error(enum wh_encoding encoding,
                          unsigned status,
                          const struct rpc_outcome *outcome,
                          struct http_response *response)
{
    struct wh_error_reply error = {
        .code = outcome->code,
        .message = outcome->message,
        .temporary = outcome->temporary,
    };
    response->status = status;
    response->content_type = content_type_of(encoding);
    if (wh_encode(encoding, &wh_error_schema, &error, 0, &response->owned)) {
        wh_buf_reset(&response->owned);
        http_respond_status(response, 500);
    }
}

/* How a call failed; `wait_ms` is when to come again, if that is worth it. */
static void respond_outcome(enum wh_encoding encoding,
                            const struct rpc_outcome *outcome,
                            uint64_t wait_ms,
                            struct http_response *response)
{
    unsigned status = gateway_status(outcome->code);
    respond_error(encoding, status, outcome, response);
    if (status == 429 || status == 503)
        wh_buf_printf(&response->header_lines, "Retry-After: %" PRIu64 "\r\n",
                      (wait_ms + 999) / 1000);
    if (status == 401)
        wh_buf_append_str(&response->header_lines, "WWW-Authenticate: Bearer\r\n");
}

static void respond_code(enum wh_encoding encoding,
                         enum wh_code code,
                         uint64_t wait_ms,
                         struct http_response *response)
{
    struct rpc_outcome outcome = {
        .code = code,
        .message = wh_slice_from_str(wh_code_text(code)),
        .temporary = wh_code_is_temporary(code),
    };
    respond_outcome(encoding, &outcome, wait_ms, response);
}

static void refuse(const struct http_request *request,
                   unsigned status,
                   struct http_response *response)
{
    enum wh_encoding encoding;
    (void)read_content_type(request->content_type, &encoding);
    struct rpc_outcome outcome = {
        .code = status == 404   ? WH_ERROR_METHOD_NOT_FOUND
                : status == 403 ? WH_ERROR_PERMISSION_DENIED
                                : WH_ERROR_BAD_REQUEST,
        .message = wh_slice_from_str(http_reason_phrase(status)),
    };
    respond_error(encoding, status, &outcome, response);
    if (status == 405)
        wh_buf_append_str(&response->header_lines, "Allow: OPTIONS, POST\r\n");
}

void http_rpc_refuse(struct node *node,
                     const struct http_request *request,
                     unsigned status,
                     struct http_response *response)
{
    write_cors(node, request, response);
    refuse(request, status, response);
}

/* Before the body */

bool http_rpc_admit(struct node *node,
                    const struct http_request *request,
                    struct http_response *response)
{
    enum wh_encoding encoding;
    unsigned status = 0;
    if (cors_check(request->origin, request->host, node->config) == CORS_REFUSED)
        status = 403;
    else if (method_of(request).ptr == NULL)
        status = 404;
    else if (!read_content_type(request->content_type, &encoding))
        status = 415;
    if (status != 0)
        http_rpc_refuse(node, request, status, response);
    return status == 0;
}

void http_rpc_handle(struct node *node,
                     const struct http_request *request,
                     struct http_response *response)
{
    enum cors_verdict verdict = cors_check(request->origin, request->host, node->config);
    if (!wh_slice_equal_str(request->method, "OPTIONS")) {
        http_rpc_refuse(node, request, method_of(request).ptr ? 405 : 404, response);
        return;
    }
    if (verdict == CORS_REFUSED) {
        http_rpc_refuse(node, request, 403, response);
        return;
    }
    write_cors(node, request, response);
    cors_write_preflight(verdict, &response->header_lines);
    wh_buf_append_str(&response->header_lines, "Allow: OPTIONS, POST\r\n");
    response->status = 204;
    response->content_type = NULL;
}

/* Traces */

/* For spans and logs: a path may be any bytes. */
static struct wh_slice method_label(const struct rest_call *call)
{
    struct wh_slice service;
    bool is_name = wh_rpc_method_service(call->method, &service) == WH_OK;
    return is_name ? call->method : WH_SLICE_LITERAL("?");
}

static void begin_trace(struct rest_call *call)
{
    char name[WH_SPAN_NAME_MAX + 1];
    snprintf(name, sizeof(name), "rest %.*s", WH_SLICE_ARGS(method_label(call)));
    tracing_begin_http(call->node, &call->exchange->request, wh_slice_from_str(name), &call->scope);
}

/* W3C Trace Context §3.5: a tracestate means nothing without its traceparent. */
static struct wh_slice tracestate_of(const struct http_request *request)
{
    struct wh_trace parent;
    bool has_parent = wh_trace_parse(request->traceparent, &parent) == WH_OK;
    return has_parent ? request->tracestate : WH_SLICE_ABSENT;
}

static void end_trace(struct rest_call *call)
{
    struct http_response *response = &call->exchange->response;
    char buffer[WH_TRACEPARENT_LEN + 1];
    struct wh_slice place = tracing_traceparent(&call->scope, buffer);
    if (place.ptr)
        wh_buf_printf(&response->header_lines, "traceresponse: %.*s\r\n", WH_SLICE_ARGS(place));
    wh_span_number(call->scope.span, "http.response.status_code", response->status);
    wh_log(WH_LOG_DEBUG, "rest", "answered", "method=%.*s status=%u",
           WH_SLICE_ARGS(method_label(call)), response->status);
    tracing_end(call->node, &call->scope);
}

/* Calls */

static void end(struct rest_call *call)
{
    struct http_exchange *exchange = call->exchange;
    end_trace(call);
    call->node->rest_calls--;
    wh_arena_deinit(&call->arena);
    wh_free(call);
    http_respond(exchange);
}

static void fail(struct rest_call *call, enum wh_code code, uint64_t wait_ms)
{
    metrics_count_code(call->node->metrics, METRIC_REPLY_ERRORS, code);
    tracing_fail_scope(&call->scope, code, WH_SLICE_ABSENT);
    respond_code(call->encoding, code, wait_ms, &call->exchange->response);
    end(call);
}

static void answer(struct rest_call *call, const struct rpc_outcome *outcome)
{
    struct http_response *response = &call->exchange->response;
    if (outcome->code != 0) { /* of a service in its own words */
        metrics_count_code(call->node->metrics, METRIC_REPLY_ERRORS, outcome->code);
        tracing_fail_scope(&call->scope, outcome->code, outcome->message);
        respond_outcome(call->encoding, outcome, RETRY_MS, response);
        end(call);
        return;
    }
    if (wh_payload_encode(outcome->data, call->encoding, &response->owned)) {
        fail(call, WH_ERROR_INTERNAL, RETRY_MS); /* bytes, to somebody who asked for JSON */
        return;
    }
    response->status = 200;
    response->content_type = content_type_of(call->encoding);
    end(call);
}

static void on_done(struct gateway_call *base, const struct rpc_outcome *outcome)
{
    struct rest_call *call = WH_CONTAINER_OF(base, struct rest_call, base);
    struct node *node = call->node;
    struct tracing_scope outer;
    tracing_enter(node, &call->scope, &outer);
    answer(call, outcome);
    tracing_leave(node, &outer);
}

static void start(struct rest_call *call, const struct token_claims *claims)
{
    const struct http_request *request = &call->exchange->request;
    struct identity identity = {claims->roles, claims->meta};
    uint64_t wait_ms = RETRY_MS;
    char traceparent[WH_TRACEPARENT_LEN + 1];
    struct gateway_caller caller = {
        .user = claims->user,
        .client = WH_SLICE_LITERAL(""),
        .peer = request->peer,
        .identity = &identity,
    };
    struct gateway_request asked = {
        .method = call->method,
        .params = {call->encoding == WH_ENCODING_JSON ? WH_PAYLOAD_JSON : WH_PAYLOAD_MSGPACK,
                   request->body.len > 0 ? request->body : WH_SLICE_ABSENT},
        .key = request->idempotency_key,
        .traceparent = tracing_traceparent(&call->scope, traceparent),
        .tracestate = tracestate_of(request),
    };
    enum wh_code code = gateway_start(call->node, &caller, &asked, &call->base, &wait_ms);
    if (code != WH_NO_ERROR)
        fail(call, code, wait_ms);
}

/* What closes a connection has to become the answer to a request. */
static enum wh_code answer_code(enum wh_code code)
{
    switch ((int)code) {
    case WH_DISCONNECT_INVALID_TOKEN:
        return WH_ERROR_UNAUTHORIZED;
    case WH_DISCONNECT_PERMISSION_DENIED:
        return WH_ERROR_PERMISSION_DENIED;
    case WH_ERROR_INTERNAL: /* no key to judge by */
        return WH_ERROR_SERVICE_UNAVAILABLE;
    default:
        return code;
    }
}

static void verify_and_start(struct rest_call *call)
{
    struct token_claims claims = {.user = WH_SLICE_LITERAL("")};
    struct identity_asker asker = {"rest", "", call->exchange->request.peer};
    bool is_unchecked = false; /* a call is over before anybody could look again */
    enum wh_code code = WH_NO_ERROR;
    if (call->token.len > 0)
        code =
            identity_verify(call->node, call->token, &call->arena, &asker, &claims, &is_unchecked);
    if (code != WH_NO_ERROR)
        fail(call, answer_code(code), RETRY_MS);
    else
        start(call, &claims);
}

static void identify(struct rest_call *call)
{
    if (call->token.len == 0 || !token_verifier_wait(call->node->connection_tokens, call->token,
                                                     &call->arena, &call->key_waiter))
        verify_and_start(call);
}

/* After a reload there may be another endpoint to wait for. */
static void on_key(struct jwks_waiter *waiter)
{
    struct rest_call *call = WH_CONTAINER_OF(waiter, struct rest_call, key_waiter);
    struct node *node = call->node;
    struct tracing_scope outer;
    tracing_enter(node, &call->scope, &outer);
    identify(call);
    tracing_leave(node, &outer);
}

/* RFC 6750 §2.1.  False: a header that is no bearer token. */
static bool read_token(const struct http_request *request, struct wh_slice *out_token)
{
    static const char scheme[] = "Bearer ";
    struct wh_slice header = request->authorization;
    *out_token = WH_SLICE_LITERAL("");
    if (header.ptr == NULL || is_auth(request))
        return true;
    if (header.len < sizeof(scheme) || strncasecmp(header.ptr, scheme, sizeof(scheme) - 1) != 0)
        return false;
    *out_token = wh_slice_from(header, sizeof(scheme) - 1);
    while (out_token->len > 0 && out_token->ptr[0] == ' ')
        *out_token = wh_slice_from(*out_token, 1);
    return out_token->len > 0;
}

static void check_and_identify(struct rest_call *call)
{
    const struct http_request *request = &call->exchange->request;
    if (request->idempotency_key.len > IDEMPOTENCY_KEY_BYTES_MAX)
        fail(call, WH_ERROR_BAD_REQUEST, RETRY_MS); /* without it the call might happen twice */
    else if (!read_token(request, &call->token))
        fail(call, WH_ERROR_UNAUTHORIZED, RETRY_MS);
    else
        identify(call);
}

void http_rpc_start(struct node *node, struct http_exchange *exchange)
{
    struct tracing_scope outer;
    const struct http_request *request = &exchange->request;
    struct rest_call *call = wh_calloc(1, sizeof(*call));
    write_cors(node, request, &exchange->response);
    if (call == NULL) {
        respond_code(WH_ENCODING_JSON, WH_ERROR_INTERNAL, RETRY_MS, &exchange->response);
        http_respond(exchange);
        return;
    }
    node->rest_calls++;
    call->base.done = on_done;
    call->node = node;
    call->exchange = exchange;
    call->method = method_of(request);
    (void)read_content_type(request->content_type, &call->encoding);
    wh_arena_init(&call->arena, ARENA_BYTES_MAX);
    jwks_waiter_init(&call->key_waiter, on_key);
    begin_trace(call);
    tracing_enter(node, &call->scope, &outer);
    check_and_identify(call);
    tracing_leave(node, &outer);
}
