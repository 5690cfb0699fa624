/*
 * Plain HTTP over libwebsockets: requests, bodies and answers that come
 * later.  Part of the server: only server.c includes it.  What the answers
 * are is decided in http.c.
 */
#ifndef HUB_SERVER_HTTP_H
#define HUB_SERVER_HTTP_H

#include "hub/http.h"

#include <libwebsockets.h>

struct server_http {
    struct node *node;
    struct http_files *files; /* owned by the server; NULL = no demo */
    bool is_accepting;        /* false: connections end with their next answer */
};

/* The events of one connection, as lws names them; -1 ends the connection. */
int server_http_request(struct server_http *http, struct lws *wsi, const char *path);
int server_http_body(struct lws *wsi, const void *bytes, size_t len);
int server_http_body_end(struct lws *wsi);
int server_http_writeable(struct lws *wsi);
void server_http_closed(struct lws *wsi);

/* Send a complete answer: what the callback has to return. */
int server_http_send(struct lws *wsi,
                     const struct http_response *response,
                     bool has_body,
                     bool keep_alive);

/* A header's value without white space around it, "" when absent; false when it does not fit. */
bool server_http_header(struct lws *wsi, enum lws_token_indexes token, char *out, size_t size);

#endif
