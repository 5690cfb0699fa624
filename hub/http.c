/*
 * A table of routes.  What has no body is answered before http_handle
 * returns; what has one is the server API's, which answers when it can.
 */
#include "hub/http.h"

#include "hub/api.h"
#include "hub/http_rpc.h"
#include "hub/session.h"

static const char no_store[] = "Cache-Control: no-store\r\n";

/* Statuses */

const char *http_reason_phrase(unsigned status)
{
    static const struct {
        unsigned status;
        const char *phrase;
    } phrases[] = {
        {200, "OK"},
        {204, "No Content"},
        {302, "Found"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {402, "Payment Required"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {422, "Unprocessable Content"},
        {423, "Locked"},
        {426, "Upgrade Required"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
    };
    for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return "Error";
}

/* Routes */

static void respond_text(struct http_response *response, unsigned status, const char *text)
{
    response->status = status;
    response->content_type = "text/plain; charset=utf-8";
    wh_buf_append_str(&response->owned, text);
}

void http_respond_status(struct http_response *response, unsigned status)
{
    respond_text(response, status, http_reason_phrase(status));
    wh_buf_append_char(&response->owned, '\n');
    response->headers = no_store;
}

static void handle_livez(struct node *node, struct http_response *response)
{
    (void)node; /* that this runs is the proof */
    respond_text(response, 200, "{\"live\":true}\n");
    response->content_type = "application/json";
}

static void handle_readyz(struct node *node, struct http_response *response)
{
    response->status = node_is_ready(node, &response->owned) ? 200 : 503;
    response->content_type = "application/json";
}

static void handle_metrics(struct node *node, struct http_response *response)
{
    node_update_metrics(node);
    metrics_write(node->metrics_shared, &response->owned);
    response->status = 200;
    response->content_type = "text/plain; version=0.0.4; charset=utf-8";
}

struct route {
    const char *path;
    void (*handle)(struct node *node, struct http_response *response);
};

static const struct route routes[] = {
    {"/livez", handle_livez},
    {"/readyz", handle_readyz},
    {"/metrics", handle_metrics},
};

bool http_takes_body(const struct http_request *request)
{
    return wh_slice_equal_str(request->method, "POST") &&
           (wh_slice_starts_with(request->path, WH_SLICE_LITERAL(API_PREFIX)) ||
            http_rpc_is_ours(request));
}

uint64_t http_body_limit(const struct node *node, const struct http_request *request)
{
    return http_rpc_is_ours(request) ? node->config->websocket.message_size_limit
                                     : HTTP_BODY_BYTES_MAX;
}

void http_refuse(struct node *node,
                 const struct http_request *request,
                 unsigned status,
                 struct http_response *response)
{
    if (http_rpc_is_ours(request))
        http_rpc_refuse(node, request, status, response);
    else
        http_respond_status(response, status);
}

void http_response_deinit(struct http_response *response)
{
    wh_buf_deinit(&response->owned);
    wh_buf_deinit(&response->header_lines);
}

bool http_admit(struct node *node,
                const struct http_request *request,
                struct http_response *response)
{
    metrics_add(node->metrics, METRIC_HTTP_REQUESTS, 1);
    if (http_rpc_is_ours(request))
        return http_rpc_admit(node, request, response);
    unsigned status = api_admit(node, request);
    if (status != 0)
        http_respond_status(response, status);
    return status == 0;
}

void http_start(struct node *node, struct http_exchange *exchange)
{
    exchange->response.headers = no_store;
    if (http_rpc_is_ours(&exchange->request))
        http_rpc_start(node, exchange);
    else
        api_handle(node, exchange);
}

void http_respond(struct http_exchange *exchange)
{
    exchange->respond(exchange);
}

void http_handle(struct node *node,
                 const struct http_files *files,
                 const struct http_request *request,
                 struct http_response *response)
{
    metrics_add(node->metrics, METRIC_HTTP_REQUESTS, 1);
    response->headers = no_store;
    if (http_rpc_is_ours(request)) {
        http_rpc_handle(node, request, response);
        return;
    }
    if (wh_slice_starts_with(request->path, WH_SLICE_LITERAL(API_PREFIX))) {
        http_respond_status(response, 405);
        response->headers = "Allow: POST\r\n";
        return;
    }
    if (!wh_slice_equal_str(request->method, "GET") &&
        !wh_slice_equal_str(request->method, "HEAD")) {
        respond_text(response, 405, "method not allowed\n");
        response->headers = "Allow: GET, HEAD\r\n";
        return;
    }
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        if (wh_slice_equal_str(request->path, routes[i].path)) {
            routes[i].handle(node, response);
            return;
        }
    }
    if (wh_slice_equal_str(request->path, node->config->websocket.handler_prefix)) {
        respond_text(response, 426, "this is a WebSocket endpoint (RFC 6455)\n");
        response->headers = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
        return;
    }
    if (files && http_files_answer(files, request, response))
        return;
    respond_text(response, 404, "not found\n");
}
