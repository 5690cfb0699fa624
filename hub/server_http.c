/*
 * One request with a body is a struct exchange, which the connection points
 * to until it is answered:
 *
 *     READING    the body comes in
 *     COMPLETE   it is there; the handler starts later in this turn
 *     HANDLING   the handler has it; nothing more is read from the connection
 *     ANSWERED   the response waits for WRITEABLE
 *
 * A connection that ends while READING or ANSWERED frees it; one that ends
 * while HANDLING leaves it to the handler, whose http_respond frees it.
 *
 * lws reads Content-Length with atoll and takes a POST without one for a body
 * of 100 MB, so both are checked here before it may go on.  A request that is
 * refused has its body read and dropped first: closing on unread bytes would
 * make TCP throw the answer away.
 *
 * Pipelining is not offered.  lws 4.1 parses a request that came together with
 * the one before from its own buffer, then takes the body from the start of
 * that buffer, which are the headers, and when more follows asks for ever to
 * have its end processed.  So handlers start after lws has returned: what lws
 * asks about twice is not executed and ends its connection; and a body that
 * starts like headers is no JSON object, which ends it as well.
 */
#include "hub/server_http.h"

#include "common/base/alloc.h"

#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>

enum {
    BODY_TIMEOUT_MS = 8000,    /* from headers to the end of the body; before lws' own 10 s */
    DROP_BYTES_MAX = 16 << 20, /* of a refused body; past that the connection is cut */
    HEADER_VALUE_MAX = 1024,   /* of one that a handler wants */
    LENGTH_DIGITS_MAX = 18     /* more is no length */
};

enum exchange_state { EXCHANGE_READING, EXCHANGE_COMPLETE, EXCHANGE_HANDLING, EXCHANGE_ANSWERED };

struct exchange {
    struct http_exchange base;
    struct server_http *http;
    struct lws *wsi; /* NULL: the connection is gone */
    enum exchange_state state;
    bool is_refused; /* the response is there; the body is dropped */
    bool keep_alive;
    struct wh_arena arena; /* of what the request points to */
    char peer[48];
    struct wh_buf body;
    struct wh_timer timeout;
    struct wh_task start;
};

/* Headers */

bool server_http_header(struct lws *wsi, enum lws_token_indexes token, char *out, size_t size)
{
    out[0] = '\0';
    if (lws_hdr_total_length(wsi, token) == 0)
        return true;
    int len = lws_hdr_copy(wsi, out, (int)size, token);
    if (len < 0)
        return false;
    while (len > 0 && (out[len - 1] == ' ' || out[len - 1] == '\t'))
        out[--len] = '\0';
    size_t blanks = strspn(out, " \t");
    memmove(out, out + blanks, (size_t)len - blanks + 1);
    return true;
}

static struct wh_slice keep_text(struct wh_arena *arena, const char *text)
{
    struct wh_slice slice = wh_slice_from_str(text);
    while (slice.len > 0 && (slice.ptr[0] == ' ' || slice.ptr[0] == '\t'))
        slice = wh_slice_from(slice, 1);
    while (slice.len > 0 && (slice.ptr[slice.len - 1] == ' ' || slice.ptr[slice.len - 1] == '\t'))
        slice.len--;
    return wh_arena_copy(arena, slice);
}

/* Of a header that lws has no token for; `name` in lower case and with its colon. */
static struct wh_slice custom_header(struct exchange *exchange, const char *name)
{
    int name_len = (int)strlen(name);
    int len = lws_hdr_custom_length(exchange->wsi, name, name_len);
    char *value = len >= 0 ? wh_arena_alloc(&exchange->arena, (size_t)len + 1) : NULL;
    if (value == NULL || lws_hdr_custom_copy(exchange->wsi, value, len + 1, name, name_len) < 0)
        return WH_SLICE_ABSENT;
    return keep_text(&exchange->arena, value);
}

/* Whatever its length, which lws bounds with all headers together; absent when it was not sent. */
static struct wh_slice long_header(struct lws *wsi,
                                   enum lws_token_indexes token,
                                   struct wh_arena *arena)
{
    int len = lws_hdr_total_length(wsi, token);
    char *text = len > 0 ? wh_arena_alloc(arena, (size_t)len + 1) : NULL;
    if (text == NULL || !server_http_header(wsi, token, text, (size_t)len + 1) || !text[0])
        return WH_SLICE_ABSENT;
    return wh_slice_from_str(text);
}

static void read_origin(struct lws *wsi, struct wh_arena *arena, struct http_request *request)
{
    request->origin = long_header(wsi, WSI_TOKEN_ORIGIN, arena);
    request->host = long_header(wsi, WSI_TOKEN_HOST, arena);
    request->content_type = long_header(wsi, WSI_TOKEN_HTTP_CONTENT_TYPE, arena);
}

static struct wh_slice method_of(struct lws *wsi)
{
    char *uri;
    int len;
    switch (lws_http_get_uri_and_method(wsi, &uri, &len)) {
    case LWSHUMETH_GET:
        return WH_SLICE_LITERAL("GET");
    case LWSHUMETH_HEAD:
        return WH_SLICE_LITERAL("HEAD");
    case LWSHUMETH_POST:
        return WH_SLICE_LITERAL("POST");
    case LWSHUMETH_OPTIONS:
        return WH_SLICE_LITERAL("OPTIONS");
    default:
        return WH_SLICE_LITERAL("other");
    }
}

static void read_request(struct exchange *exchange, const struct http_request *line)
{
    struct http_request *request = &exchange->base.request;
    char value[HEADER_VALUE_MAX];
    *request = *line;
    request->path = wh_arena_copy(&exchange->arena, line->path);
    request->authorization =
        long_header(exchange->wsi, WSI_TOKEN_HTTP_AUTHORIZATION, &exchange->arena);
    lws_get_peer_simple(exchange->wsi, exchange->peer, sizeof(exchange->peer));
    request->peer = exchange->peer;
    const char *argument = lws_get_urlarg_by_name(exchange->wsi, "api_key=", value, sizeof(value));
    if (argument)
        request->query_key = keep_text(&exchange->arena, argument);
    request->api_key = custom_header(exchange, "x-api-key:");
    request->error_mode = custom_header(exchange, "x-centrifugo-error-mode:");
    request->idempotency_key = custom_header(exchange, "idempotency-key:");
    request->traceparent = custom_header(exchange, "traceparent:");
    request->tracestate = custom_header(exchange, "tracestate:");
    read_origin(exchange->wsi, &exchange->arena, request);
}

/* How the body is delimited (RFC 9112 §6.3), stricter than it must be: a single Content-Length of
 * digits.  0, or the status to refuse with. */
static unsigned check_framing(struct lws *wsi, uint64_t limit, uint64_t *out_length)
{
    char text[LENGTH_DIGITS_MAX + 2];
    bool has_length = lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) > 0;
    if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0)
        return has_length ? 400 : 411; /* both is how requests are smuggled */
    if (!has_length)
        return 411;
    if (!server_http_header(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, text, sizeof(text)) ||
        strlen(text) > LENGTH_DIGITS_MAX || text[0] == '\0' ||
        text[strspn(text, "0123456789")] != '\0')
        return 400;
    *out_length = strtoull(text, NULL, 10);
    return *out_length > limit ? 413 : 0;
}

/* Answers */

int server_http_send(struct lws *wsi,
                     const struct http_response *response,
                     bool has_body,
                     bool keep_alive)
{
    struct wh_buf head = {0};
    struct wh_slice body = response->body.ptr ? response->body : wh_buf_slice(&response->owned);
    wh_buf_append(&head, "0123456789abcdef", LWS_PRE); /* room that lws wants before the bytes */
    wh_buf_printf(&head, "HTTP/1.1 %u %s\r\n", response->status,
                  http_reason_phrase(response->status));
    if (response->content_type)
        wh_buf_printf(&head, "Content-Type: %s\r\nContent-Length: %zu\r\n", response->content_type,
                      body.len);
    wh_buf_append_str(&head, response->headers ? response->headers : "");
    wh_buf_append_slice(&head, wh_buf_slice(&response->header_lines));
    wh_buf_append_str(&head, keep_alive ? "\r\n" : "Connection: close\r\n\r\n");
    if (has_body)
        wh_buf_append_slice(&head, body);
    int result = -1;
    if (wh_buf_error(&head) == WH_OK && wh_buf_error(&response->owned) == WH_OK &&
        wh_buf_error(&response->header_lines) == WH_OK)
        result = lws_write(wsi, (unsigned char *)head.ptr + LWS_PRE, head.len - LWS_PRE,
                           LWS_WRITE_HTTP_FINAL);
    wh_buf_deinit(&head);
    if (result < 0 || !keep_alive)
        return -1;
    return lws_http_transaction_completed(wsi) ? -1 : 0;
}

static void exchange_free(struct exchange *exchange)
{
    wh_loop_timer_stop(exchange->http->node->loop, &exchange->timeout);
    wh_task_cancel(&exchange->start);
    http_response_deinit(&exchange->base.response);
    wh_buf_deinit(&exchange->body);
    wh_arena_deinit(&exchange->arena);
    wh_free(exchange);
}

static void on_respond(struct http_exchange *base)
{
    struct exchange *exchange = WH_CONTAINER_OF(base, struct exchange, base);
    if (exchange->wsi == NULL) {
        exchange_free(exchange);
        return;
    }
    exchange->state = EXCHANGE_ANSWERED;
    lws_rx_flow_control(exchange->wsi, 1); /* while it is off lws does not say WRITEABLE either */
    lws_callback_on_writable(exchange->wsi);
}

int server_http_writeable(struct lws *wsi)
{
    struct exchange *exchange = lws_get_opaque_user_data(wsi);
    if (exchange == NULL || exchange->state != EXCHANGE_ANSWERED)
        return 0;
    bool keep_alive =
        exchange->keep_alive && exchange->http->is_accepting && !exchange->base.response.is_last;
    lws_set_opaque_user_data(wsi, NULL);
    int result = server_http_send(wsi, &exchange->base.response, true, keep_alive);
    exchange_free(exchange);
    return result;
}

/* Bodies */

static void on_body_timeout(struct wh_timer *timer)
{
    struct exchange *exchange = WH_CONTAINER_OF(timer, struct exchange, timeout);
    struct http_response response = {0};
    http_refuse(exchange->http->node, &exchange->base.request, 408, &response);
    (void)server_http_send(exchange->wsi, &response, true, false);
    http_response_deinit(&response);
    shutdown(lws_get_socket_fd(exchange->wsi), SHUT_RDWR); /* CLOSED_HTTP frees the exchange */
    lws_callback_on_writable(exchange->wsi);
}

/* Some clients hold a large body back until they hear this (RFC 9110 §10.1.1). */
static bool send_continue(struct lws *wsi)
{
    static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
    char expectation[16];
    if (!server_http_header(wsi, WSI_TOKEN_HTTP_EXPECT, expectation, sizeof(expectation)) ||
        strcasecmp(expectation, "100-continue") != 0)
        return true;
    return lws_write(wsi, (unsigned char *)(uintptr_t)line, sizeof(line) - 1, LWS_WRITE_RAW) >= 0;
}

static void on_start(struct wh_task *task)
{
    struct exchange *exchange = WH_CONTAINER_OF(task, struct exchange, start);
    exchange->state = EXCHANGE_HANDLING;
    exchange->base.request.body = wh_buf_slice(&exchange->body);
    if (exchange->is_refused)
        on_respond(&exchange->base);
    else
        http_start(exchange->http->node, &exchange->base);
}

static struct exchange *exchange_new(struct server_http *http, struct lws *wsi, uint64_t body_max)
{
    struct exchange *exchange = wh_calloc(1, sizeof(*exchange));
    if (exchange == NULL)
        return NULL;
    exchange->base.respond = on_respond;
    exchange->http = http;
    exchange->wsi = wsi;
    exchange->keep_alive = true;
    wh_arena_init(&exchange->arena, 0);
    wh_buf_init(&exchange->body, body_max);
    wh_timer_init(&exchange->timeout, on_body_timeout);
    wh_task_init(&exchange->start, on_start);
    return exchange;
}

static int refuse_at_once(struct server_http *http,
                          struct lws *wsi,
                          const struct http_request *line,
                          unsigned status)
{
    struct http_request request = *line;
    struct http_response response = {0};
    struct wh_arena arena = {0};
    read_origin(wsi, &arena, &request);
    http_refuse(http->node, &request, status, &response);
    int result = server_http_send(wsi, &response, true, false);
    http_response_deinit(&response);
    wh_arena_deinit(&arena);
    return result;
}

static int start_reading(struct server_http *http, struct lws *wsi, const struct http_request *line)
{
    uint64_t length = 0, limit = http_body_limit(http->node, line);
    unsigned status = check_framing(wsi, limit, &length);
    if (status != 0 && (status != 413 || length > DROP_BYTES_MAX))
        return refuse_at_once(http, wsi, line, status);
    struct exchange *exchange = exchange_new(http, wsi, limit);
    if (exchange == NULL)
        return -1;
    read_request(exchange, line);
    if (status != 0) {
        http_refuse(http->node, &exchange->base.request, status, &exchange->base.response);
        exchange->keep_alive = false;
        exchange->is_refused = true;
    } else {
        exchange->is_refused =
            !http_admit(http->node, &exchange->base.request, &exchange->base.response);
    }
    if (!send_continue(wsi)) {
        exchange_free(exchange);
        return -1;
    }
    lws_set_opaque_user_data(wsi, exchange);
    wh_loop_timer_start(http->node->loop, &exchange->timeout, BODY_TIMEOUT_MS);
    return 0;
}

int server_http_body(struct lws *wsi, const void *bytes, size_t len)
{
    struct exchange *exchange = lws_get_opaque_user_data(wsi);
    if (exchange == NULL)
        return -1;
    if (!exchange->is_refused && len > 0)
        wh_buf_append(&exchange->body, bytes, len);
    return wh_buf_error(&exchange->body) ? -1 : 0;
}

/* Said again while bytes of a next request wait: harmless once the answer is on its way. */
int server_http_body_end(struct lws *wsi)
{
    struct exchange *exchange = lws_get_opaque_user_data(wsi);
    if (exchange == NULL || exchange->state == EXCHANGE_ANSWERED)
        return 0;
    if (exchange->state != EXCHANGE_READING)
        return -1;
    wh_loop_timer_stop(exchange->http->node->loop, &exchange->timeout);
    lws_set_timeout(wsi, NO_PENDING_TIMEOUT, 0);
    lws_rx_flow_control(wsi, 0); /* until the answer is on its way */
    exchange->state = EXCHANGE_COMPLETE;
    wh_loop_defer(exchange->http->node->loop, &exchange->start);
    return 0;
}

void server_http_closed(struct lws *wsi)
{
    struct exchange *exchange = lws_get_opaque_user_data(wsi);
    if (exchange == NULL)
        return;
    lws_set_opaque_user_data(wsi, NULL);
    exchange->wsi = NULL;
    if (exchange->state != EXCHANGE_HANDLING)
        exchange_free(exchange);
}

/* Requests */

int server_http_request(struct server_http *http, struct lws *wsi, const char *path)
{
    struct http_request request = {
        .method = method_of(wsi), .path = wh_slice_from_str(path), .peer = ""};
    if (http_takes_body(&request))
        return start_reading(http, wsi, &request);
    /* No other route takes a body, and lws reads Content-Length without checking it, or expects one
     * by the method: go no further with a connection on which one may follow. */
    bool keep_alive = !wh_slice_equal_str(request.method, "POST") &&
                      !wh_slice_equal_str(request.method, "OPTIONS") &&
                      !wh_slice_equal_str(request.method, "other") &&
                      lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) == 0 &&
                      lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) == 0 &&
                      http->is_accepting;
    struct http_response response = {0};
    struct wh_arena arena = {0};
    read_origin(wsi, &arena, &request);
    request.accept_encoding = long_header(wsi, WSI_TOKEN_HTTP_ACCEPT_ENCODING, &arena);
    request.if_none_match = long_header(wsi, WSI_TOKEN_HTTP_IF_NONE_MATCH, &arena);
    http_handle(http->node, http->files, &request, &response);
    bool has_body = !wh_slice_equal_str(request.method, "HEAD");
    int result = server_http_send(wsi, &response, has_body, keep_alive);
    http_response_deinit(&response);
    wh_arena_deinit(&arena);
    return result;
}
