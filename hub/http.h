/*
 * Plain HTTP on the hub's port: health, metrics, the demo page.  Decides what
 * the answer is; server.c moves the bytes.
 */
#ifndef HUB_HTTP_H
#define HUB_HTTP_H

#include "common/base/buf.h"
#include "hub/node.h"

struct http_request {
    struct wh_slice method; /* "GET" … */
    struct wh_slice path;   /* without the query */
};

struct http_response {
    unsigned status;
    const char *content_type; /* static */
    const char *headers;      /* further header lines, each "Name: value\r\n"; static or NULL */
    struct wh_buf owned;      /* the body, unless `body` is set */
    struct wh_slice body;     /* borrowed for the life of the process */
};

/* Files of the demo page, read once at start; nothing is looked up on disk later. */
struct http_files;

/* Reads the regular files of `dir` (no sub-folders).  WH_ENOTFOUND, WH_EIO, WH_ENOMEM. */
WH_MUST_CHECK enum wh_err http_files_load(const char *dir, struct http_files **out_files);
void http_files_free(struct http_files *files);

/* Answer.  `files` may be NULL: no demo.  The caller frees response->owned. */
void http_handle(struct node *node,
                 const struct http_files *files,
                 const struct http_request *request,
                 struct http_response *response);

#endif
