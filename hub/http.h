/*
 * Plain HTTP on the hub's port: health, metrics, the demo page, the server
 * API.  Decides what the answer is; server_http.c moves the bytes.
 */
#ifndef HUB_HTTP_H
#define HUB_HTTP_H

#include "common/base/buf.h"
#include "hub/http_files.h"
#include "hub/node.h"

enum { HTTP_BODY_BYTES_MAX = 1024 * 1024 }; /* of a request to the server API */

/* Headers and parameters that are not there are absent. */
struct http_request {
    struct wh_slice method;        /* "GET", "HEAD", "POST", "OPTIONS", or "other" */
    struct wh_slice path;          /* without the query */
    struct wh_slice authorization; /* header Authorization */
    struct wh_slice api_key;       /* header X-API-Key */
    struct wh_slice query_key;     /* ?api_key= */
    struct wh_slice error_mode;    /* header X-Centrifugo-Error-Mode */
    struct wh_slice origin;        /* of /rpc and /auth, from here on */
    struct wh_slice host;
    struct wh_slice content_type;
    struct wh_slice idempotency_key;
    struct wh_slice traceparent;     /* headers of W3C Trace Context, as they came */
    struct wh_slice tracestate;      /* wh_trace_state says whether it may go on */
    struct wh_slice accept_encoding; /* of requests without a body */
    struct wh_slice if_none_match;   /* likewise */
    const char *peer;                /* address of the client; "" when not known, never NULL */
    struct wh_slice body;
};

struct http_response {
    unsigned status;
    const char *content_type;   /* static; NULL = no body, and no length of one (204) */
    const char *headers;        /* further header lines, each "Name: value\r\n"; static or NULL */
    struct wh_buf header_lines; /* and more of them */
    bool is_last;               /* the connection ends with it */
    struct wh_buf owned;        /* the body, unless `body` is set */
    struct wh_slice body;       /* borrowed for the life of the process */
};

/* Frees what it owns. */
void http_response_deinit(struct http_response *response);

/*
 * A request whose answer may come later.  Its handler has it from http_start until it calls
 * http_respond; all slices of the request live so long, whatever becomes of the connection.
 */
struct http_exchange {
    struct http_request request;
    struct http_response response;
    void (*respond)(struct http_exchange *exchange); /* of the transport */
};

/* Once, with the response filled in; the exchange is not the handler's any more. */
void http_respond(struct http_exchange *exchange);

/* Whether this request has a body that somebody wants: then it is started when that is complete. */
bool http_takes_body(const struct http_request *request);

/* How long that body may be, in bytes: more is refused with 413. */
uint64_t http_body_limit(const struct node *node, const struct http_request *request);

/* Refuse a request that takes a body with a status of HTTP's own. */
void http_refuse(struct node *node,
                 const struct http_request *request,
                 unsigned status,
                 struct http_response *response);

/* Of a request that takes a body, before that is read: true, or false with the refusal. */
bool http_admit(struct node *node,
                const struct http_request *request,
                struct http_response *response);

/* Handle a request with its body: calls http_respond, now or later. */
void http_start(struct node *node, struct http_exchange *exchange);

/* The plain text answer of a status, its reason phrase being the text. */
const char *http_reason_phrase(unsigned status);
void http_respond_status(struct http_response *response, unsigned status);

/* Answer a request without a body.  `files` may be NULL: no demo.  The caller frees
 * response->owned. */
void http_handle(struct node *node,
                 const struct http_files *files,
                 const struct http_request *request,
                 struct http_response *response);

#endif
