/*
 * The server API: `POST /api/<method>`, how backends publish, look and manage
 * connections.  It works from any node for clients on every other.
 *
 * Requests and results are described in api_model.h, the methods in one table
 * from which the reference in docs/API.md is written too.
 */
#ifndef HUB_API_H
#define HUB_API_H

#include "hub/http.h"

#define API_PREFIX "/api/"

enum {
    API_COMMANDS_MAX = 10000, /* of one batch, or channels of one broadcast */
    API_IN_FLIGHT_MAX = 64    /* of them at once, when they run in parallel */
};

/* 0, or the status to refuse with before the body is read: 401 without the key, 404 for an unknown
 * method. */
unsigned api_admit(struct node *node, const struct http_request *request);

/* Execute an admitted request and respond, now or later. */
void api_handle(struct node *node, struct http_exchange *exchange);

/* Whether the request brings the key of http_api.key; never when none is configured. */
bool api_has_key(const struct config *config, const struct http_request *request);

/* The HTTP status of an error in transport mode. */
unsigned api_status(enum wh_code code);

/* The methods as a table in Markdown. */
void api_write_reference(struct wh_buf *out);

#endif
