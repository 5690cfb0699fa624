/*
 * Plain HTTP on the hub's port: health, metrics, the demo page, the server
 * API.  Decides what the answer is; server_http.c moves the bytes.
 */
#ifndef HUB_HTTP_H
#define HUB_HTTP_H

#include "common/base/buf.h"
#include "hub/node.h"

enum { HTTP_BODY_BYTES_MAX = 1024 * 1024 }; /* of a request; a longer one is refused (413) */

/* Headers and parameters that are not there are absent. */
struct http_request {
    struct wh_slice method;        /* "GET", "HEAD", "POST", or "other" */
    struct wh_slice path;          /* without the query */
    struct wh_slice authorization; /* header Authorization */
    struct wh_slice api_key;       /* header X-API-Key */
    struct wh_slice query_key;     /* ?api_key= */
    struct wh_slice error_mode;    /* header X-Centrifugo-Error-Mode */
    struct wh_slice body;
};

struct http_response {
    unsigned status;
    const char *content_type; /* static */
    const char *headers;      /* further header lines, each "Name: value\r\n"; static or NULL */
    bool is_last;             /* the connection ends with it */
    struct wh_buf owned;      /* the body, unless `body` is set */
    struct wh_slice body;     /* borrowed for the life of the process */
};

/* Files of the demo page, read once at start; nothing is looked up on disk later. */
struct http_files;

/* Reads the regular files of `dir` (no sub-folders).  WH_ENOTFOUND, WH_EIO, WH_ENOMEM. */
WH_MUST_CHECK enum wh_err http_files_load(const char *dir, struct http_files **out_files);
void http_files_free(struct http_files *files);

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
