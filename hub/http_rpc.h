/*
 * REST: `POST /rpc/<method>` is a call as over a socket, by the same rules;
 * `POST /auth/register`, `login`, `refresh` and `logout` are calls of
 * users.v1.<verb> for which no access token is needed nor read.
 *
 * The body is the params and the answer's is the result, JSON or MessagePack
 * by Content-Type; an error is {"code", "message", "temporary"} with the
 * status of gateway_status.  docs/API.md says all of it for users.
 */
#ifndef HUB_HTTP_RPC_H
#define HUB_HTTP_RPC_H

#include "hub/http.h"

/* Whether the path is one of ours. */
bool http_rpc_is_ours(const struct http_request *request);

/* Of a POST, before its body is read: true, or false with the refusal. */
bool http_rpc_admit(struct node *node,
                    const struct http_request *request,
                    struct http_response *response);

/* Refuse a request of ours with a status of HTTP's own (405, 413, 415, …). */
void http_rpc_refuse(struct node *node,
                     const struct http_request *request,
                     unsigned status,
                     struct http_response *response);

/* Any method but POST: preflight requests, and 405. */
void http_rpc_handle(struct node *node,
                     const struct http_request *request,
                     struct http_response *response);

/* Execute an admitted request and respond, now or later. */
void http_rpc_start(struct node *node, struct http_exchange *exchange);

#endif
