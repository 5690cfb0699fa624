/*
 * From HTTP to a method and back.  What is the same for all methods is here:
 * the key, reading the request by its table, wrapping the result, errors in
 * both modes.
 */
#include "hub/api_internal.h"

#include "common/base/alloc.h"
#include "common/base/base64.h"
#include "common/base/log.h"
#include "common/protocol/codec.h"
#include "common/protocol/json.h"
#include "hub/tracing.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <strings.h>

enum { HASH_SIZE = 32, NUMBER_MAX = 16, ARENA_BYTES_MAX = 64 * 1024 * 1024 };

/* clang-format off */
static const struct api_method methods[] = {
    {"publish", &api_publish_request_schema, &api_position_schema, api_publish,
     "Publish into a channel."},
    {"broadcast", &api_broadcast_request_schema, &api_broadcast_result_schema, api_broadcast,
     "Publish the same into many channels."},
    {"subscribe", &api_subscribe_request_schema, &api_empty_schema, api_subscribe,
     "Subscribe a user's connections to a channel."},
    {"unsubscribe", &api_unsubscribe_request_schema, &api_empty_schema, api_unsubscribe,
     "End a user's subscriptions to a channel."},
    {"disconnect", &api_disconnect_request_schema, &api_empty_schema, api_disconnect,
     "Close a user's connections."},
    {"refresh", &api_refresh_request_schema, &api_empty_schema, api_refresh,
     "Change when a user's connections expire."},
    {"presence", &api_channel_request_schema, &api_presence_result_schema, api_presence,
     "Who is subscribed to a channel."},
    {"presence_stats", &api_channel_request_schema, &api_presence_stats_result_schema,
     api_presence_stats, "How many are subscribed to a channel."},
    {"history", &api_history_request_schema, &api_history_result_schema, api_history,
     "Read a channel's history; `limit` 0 is the position alone, -1 everything."},
    {"history_remove", &api_channel_request_schema, &api_empty_schema, api_history_remove,
     "Drop a channel's history; its position goes on."},
    {"channels", &api_channels_request_schema, &api_channels_result_schema, api_channels,
     "Channels with subscribers, over all nodes."},
    {"info", &api_empty_schema, &api_info_result_schema, api_info, "The nodes that are there."},
    {"rpc", &api_rpc_request_schema, &api_rpc_result_schema, api_rpc,
     "Call a method of a service with the server's authority: no user, the role `internal`."},
    {"revoke_token", &api_revoke_token_request_schema, &api_empty_schema, api_revoke_token,
     "Refuse the token with this `jti` from now on."},
    {"invalidate_user_tokens", &api_invalidate_user_tokens_request_schema, &api_empty_schema,
     api_invalidate_user_tokens, "Refuse a user's tokens issued before a time, now by default."},
    {"batch", &api_batch_request_schema, NULL, api_batch,
     "Several of the above, in order or in parallel."},
};
/* clang-format on */

enum { METHOD_COUNT = sizeof(methods) / sizeof(methods[0]) };

const struct api_method *api_find_method(struct wh_slice name)
{
    for (size_t i = 0; i < METHOD_COUNT; i++)
        if (wh_slice_equal_str(name, methods[i].name))
            return &methods[i];
    return NULL;
}

/* Key */

static void hash(struct wh_slice text, unsigned char out[HASH_SIZE])
{
    int is_done = EVP_Digest(text.ptr ? text.ptr : "", text.len, out, NULL, EVP_sha256(), NULL);
    WH_ASSERT(is_done == 1);
}

/* The first that was sent; "" when none was. */
static struct wh_slice sent_key(const struct http_request *request)
{
    const struct wh_slice scheme = WH_SLICE_LITERAL("apikey ");
    if (request->api_key.ptr)
        return request->api_key;
    if (request->authorization.len > scheme.len &&
        strncasecmp(request->authorization.ptr, scheme.ptr, scheme.len) == 0)
        return wh_slice_from(request->authorization, scheme.len);
    return request->query_key.ptr ? request->query_key : WH_SLICE_LITERAL("");
}

/* Of equally long hashes, in a time that depends on neither key. */
bool api_has_key(const struct config *config, const struct http_request *request)
{
    struct wh_slice key = wh_slice_from_str(config->http_api.key);
    unsigned char ours[HASH_SIZE], theirs[HASH_SIZE];
    hash(key, ours);
    hash(sent_key(request), theirs);
    return (CRYPTO_memcmp(ours, theirs, HASH_SIZE) == 0) & (key.len > 0);
}

static struct wh_slice method_name(const struct http_request *request)
{
    return wh_slice_from(request->path, strlen(API_PREFIX));
}

unsigned api_admit(struct node *node, const struct http_request *request)
{
    if (!api_has_key(node->config, request)) {
        static struct wh_log_limit limit;
        metrics_count_auth_failure(node->metrics, "api_key");
        wh_log_limited(&limit, WH_LOG_INFO, "api", "unauthorized", "key_configured=%d",
                       node->config->http_api.key != NULL && node->config->http_api.key[0] != '\0');
        return 401;
    }
    return api_find_method(method_name(request)) ? 0 : 404;
}

/* Calls */

/* What a table marks as required is there and not empty. */
static bool is_complete(const struct wh_schema *schema, const void *request)
{
    for (size_t i = 0; i < schema->field_count; i++) {
        const struct wh_field *field = &schema->fields[i];
        const char *slot = (const char *)request + field->offset;
        struct wh_slice text;
        struct wh_strings list;
        if (field->presence != WH_ALWAYS)
            continue;
        memcpy(&text, slot, sizeof(text));
        memcpy(&list, slot, sizeof(list));
        if (field->type == WH_FIELD_STRING ? text.len == 0 : list.count == 0)
            return false;
    }
    return true;
}

void api_call_start(struct api_call *call, const struct api_method *method, struct wh_slice body)
{
    call->method = method;
    wh_arena_init(&call->arena, ARENA_BYTES_MAX);
    call->request = wh_arena_alloc(&call->arena, method->request->size);
    enum wh_err err = WH_ENOMEM;
    if (call->request)
        err = wh_decode_whole(WH_ENCODING_JSON, method->request, body, &call->arena, call->request);
    call->is_unreadable = err && err != WH_ENOMEM;
    if (err)
        api_finish(call, err == WH_ENOMEM ? WH_ERROR_INTERNAL : WH_ERROR_BAD_REQUEST);
    else if (!is_complete(method->request, call->request))
        api_finish(call, WH_ERROR_BAD_REQUEST);
    else
        method->run(call);
}

void api_call_deinit(struct api_call *call)
{
    wh_buf_deinit(&call->result);
    wh_arena_deinit(&call->arena);
}

void api_succeed(struct api_call *call, const void *result)
{
    enum wh_err err =
        wh_encode(WH_ENCODING_JSON, call->method->result, result, call->result.len, &call->result);
    call->code = err ? WH_ERROR_INTERNAL : WH_NO_ERROR;
    call->finished(call);
}

void api_succeed_with_text(struct api_call *call)
{
    call->code = wh_buf_error(&call->result) ? WH_ERROR_INTERNAL : WH_NO_ERROR;
    call->finished(call);
}

void api_finish(struct api_call *call, enum wh_code code)
{
    call->code = code;
    if (code == WH_NO_ERROR)
        wh_buf_append_str(&call->result, "{}");
    call->finished(call);
}

void api_write_error(struct wh_buf *out, const struct api_call *call)
{
    wh_buf_printf(out, "{\"code\":%d,\"message\":", (int)call->code);
    wh_json_write_string(out, call->message.ptr ? call->message
                                                : wh_slice_from_str(wh_code_text(call->code)));
    wh_buf_append_char(out, '}');
}

enum wh_code api_choose_payload(struct wh_arena *arena,
                                struct wh_slice b64,
                                struct wh_payload *data)
{
    if (b64.len == 0)
        return WH_NO_ERROR;
    data->kind = WH_PAYLOAD_BYTES;
    enum wh_err err = wh_base64_decode(WH_BASE64_STANDARD, b64, arena, &data->bytes);
    if (err)
        return err == WH_ENOMEM ? WH_ERROR_INTERNAL : WH_ERROR_BAD_REQUEST;
    return WH_NO_ERROR;
}

/* Many at once */

/* What is done before `start` returns is met here, not by recursion. */
void api_pump_run(struct api_pump *pump)
{
    if (pump->is_pumping)
        return;
    pump->is_pumping = true;
    while (pump->running < pump->window && pump->next < pump->count) {
        pump->running++;
        pump->start(pump, pump->next++);
    }
    pump->is_pumping = false;
    if (pump->running == 0 && pump->next == pump->count)
        pump->end(pump);
}

void api_pump_one_done(struct api_pump *pump)
{
    pump->running--;
    api_pump_run(pump);
}

/* HTTP */

struct http_call {
    struct api_call call;
    struct http_exchange *exchange;
    struct tracing_scope scope;
};

unsigned api_status(enum wh_code code)
{
    static const struct {
        enum wh_code code;
        unsigned status;
    } rows[] = {
        {WH_ERROR_INTERNAL, 500},
        {WH_ERROR_UNKNOWN_CHANNEL, 404},
        {WH_ERROR_METHOD_NOT_FOUND, 404},
        {WH_ERROR_UNRECOVERABLE_POSITION, 416},
        {WH_ERROR_CONCURRENT_PAGINATION, 409},
        {WH_ERROR_TOO_MANY_REQUESTS, 429},
        {WH_ERROR_SERVICE_UNAVAILABLE, 503},
        {WH_ERROR_DEADLINE_EXCEEDED, 504},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].code == code)
            return rows[i].status;
    if ((unsigned)code >= 400 && (unsigned)code <= 499) /* of a service, with HTTP's meaning */
        return code;
    return 400;
}

static void write_response(struct api_call *call,
                           bool is_transport_mode,
                           struct http_response *response)
{
    struct wh_buf *body = &response->owned;
    response->status = 200;
    response->content_type = "application/json";
    if (call->code != WH_NO_ERROR && is_transport_mode) {
        response->status = api_status(call->code);
        api_write_error(body, call);
    } else if (call->code != WH_NO_ERROR) {
        wh_buf_append_str(body, "{\"error\":");
        api_write_error(body, call);
        wh_buf_append_char(body, '}');
    } else if (call->method->result == NULL) {
        wh_buf_append_slice(body, wh_buf_slice(&call->result));
    } else {
        wh_buf_append_str(body, "{\"result\":");
        wh_buf_append_slice(body, wh_buf_slice(&call->result));
        wh_buf_append_char(body, '}');
    }
    if (wh_buf_error(body)) {
        wh_buf_reset(body);
        http_respond_status(response, 500);
    }
}

static void on_finished(struct api_call *call)
{
    struct http_call *http = WH_CONTAINER_OF(call, struct http_call, call);
    struct http_exchange *exchange = http->exchange;
    if (call->code != WH_NO_ERROR)
        tracing_fail_scope(&http->scope, call->code, WH_SLICE_ABSENT);
    tracing_end(call->node, &http->scope);
    if (call->is_unreadable) {
        http_respond_status(&exchange->response, 400);
        exchange->response.is_last = true; /* who knows where the next request begins */
    } else {
        write_response(call, wh_slice_equal_str(exchange->request.error_mode, "transport"),
                       &exchange->response);
    }
    api_call_deinit(call);
    wh_free(http);
    http_respond(exchange);
}

/* The server API is traced on request: backends that publish a lot have spans of their own. */
static void begin_trace(struct http_call *http, const char *method)
{
    const struct node *node = http->call.node;
    char name[64];
    if (!node->tracing || !node->config->opentelemetry.api)
        return;
    snprintf(name, sizeof(name), "api %s", method);
    tracing_begin_http(node, &http->exchange->request, wh_slice_from_str(name), &http->scope);
}

void api_handle(struct node *node, struct http_exchange *exchange)
{
    const struct api_method *method = api_find_method(method_name(&exchange->request));
    struct http_call *http = method ? wh_calloc(1, sizeof(*http)) : NULL;
    if (http == NULL) {
        http_respond_status(&exchange->response, method ? 500 : 404);
        http_respond(exchange);
        return;
    }
    http->exchange = exchange;
    http->call.node = node;
    begin_trace(http, method->name);
    http->call.finished = on_finished;
    api_call_start(&http->call, method, exchange->request.body);
}

/* Reference */

static const char *type_name(enum wh_field_type type)
{
    switch (type) {
    case WH_FIELD_BOOL:
        return "bool";
    case WH_FIELD_U32:
    case WH_FIELD_U64:
    case WH_FIELD_I32:
    case WH_FIELD_I64:
    case WH_FIELD_SINT64:
        return "integer";
    case WH_FIELD_STRING:
        return "string";
    case WH_FIELD_STRINGS:
        return "array of strings";
    case WH_FIELD_STRING_MAP:
        return "object of strings";
    case WH_FIELD_PAYLOAD:
    case WH_FIELD_RAW_JSON:
        return "any JSON";
    case WH_FIELD_MESSAGE:
        return "object";
    case WH_FIELD_MESSAGES:
        return "array of objects";
    case WH_FIELD_MESSAGE_MAP:
        return "object of objects";
    }
    return "";
}

static void write_fields(const struct wh_schema *schema, bool is_request, struct wh_buf *out)
{
    for (size_t i = 0; schema && i < schema->field_count; i++) {
        const struct wh_field *field = &schema->fields[i];
        bool is_required = is_request && field->presence == WH_ALWAYS;
        const char *mark = is_required ? "**" : "";
        wh_buf_printf(out, "%s%s`%s`%s %s", i ? ", " : "", mark, field->name, mark,
                      type_name(field->type));
    }
    if (schema == NULL)
        wh_buf_append_str(out, "`replies` array of objects, not wrapped in `result`");
    else if (schema->field_count == 0)
        wh_buf_append_str(out, "`{}`");
}

void api_write_reference(struct wh_buf *out)
{
    wh_buf_append_str(out, "| method | does | request | result |\n|---|---|---|---|\n");
    for (size_t i = 0; i < METHOD_COUNT; i++) {
        wh_buf_printf(out, "| `%s` | %s | ", methods[i].name, methods[i].help);
        write_fields(methods[i].request, true, out);
        wh_buf_append_str(out, " | ");
        write_fields(methods[i].result, false, out);
        wh_buf_append_str(out, " |\n");
    }
}
