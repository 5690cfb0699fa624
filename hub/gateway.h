/*
 * The one way in for calls, whoever brings them: a command on a socket, REST,
 * the server API.  Counts the call against the rates of its caller, asks the
 * rules of the configuration (services' own are asked by rpc.c), stamps it
 * with who calls, and runs methods that are composed of others.
 *
 * Nothing that a client can send gets into the stamp: user, roles and meta are
 * those of its verified token.  Loop thread only.
 */
#ifndef HUB_GATEWAY_H
#define HUB_GATEWAY_H

#include "hub/gateway_rules.h"
#include "hub/identity.h"
#include "hub/rates.h"
#include "hub/rpc.h"

enum {
    GATEWAY_RULES_MAX = 256,                     /* rows of rpc.methods */
    GATEWAY_COMPOSITIONS_MAX = 256,              /* rows of rpc.compositions */
    GATEWAY_CALLS_MAX = 16,                      /* of one composition */
    GATEWAY_COMPOSED_BYTES_MAX = 4 * 1024 * 1024 /* what a composition keeps of its answers */
};

/* Answered by the hub itself: which services are announced (rpc_write_services), for the role
 * admin. A service that announces this name is not asked. */
#define GATEWAY_LIST_METHOD "wirehub.$svc.ls"

struct node;
struct composed_call;
struct demo_call;

/* Who calls.  Borrowed during gateway_start. */
struct gateway_caller {
    struct wh_slice user;   /* "" = anonymous */
    struct wh_slice client; /* id of the connection; "" = none */
    const char *peer;
    const struct identity *identity; /* NULL = neither roles nor meta */
    struct rate_buckets **rates;     /* of the connection; NULL = none */
    bool is_server; /* came with the server's own key: no rates, no rules, role "internal" */
};

/* What is called; absent slices count as empty.  Borrowed during gateway_start. */
struct gateway_request {
    struct wh_slice method;
    struct wh_payload params; /* checked here */
    struct wh_slice key;      /* idempotency key */
    struct wh_slice traceparent;
    struct wh_slice tracestate;
};

/* One call, embedded by its owner, who leaves it alone until `done` or gateway_cancel. */
struct gateway_call {
    /* Set by the owner; once, never before gateway_start returned.  As of rpc_waiter. */
    void (*done)(struct gateway_call *call, const struct rpc_outcome *outcome);
    struct rpc_waiter waiter;       /* ours */
    struct composed_call *composed; /* ours; NULL unless it runs several */
    struct demo_call *demo;         /* ours; NULL unless this worker answers it */
};

/*
 * WH_NO_ERROR: `done` comes.  Otherwise the error of the call, at once, and `done` never comes:
 *
 *     WH_ERROR_TOO_MANY_REQUESTS   over a rate; `*out_wait_ms` until it is worth trying again
 *     WH_ERROR_METHOD_NOT_FOUND    no name of a method
 *     WH_ERROR_UNAUTHORIZED, WH_ERROR_PERMISSION_DENIED   by the rules of the configuration
 *     WH_ERROR_BAD_REQUEST         the params are not what their kind says, or, of a composition,
 *                                  no object
 *     WH_ERROR_INTERNAL            no memory
 *
 * and those of demo_start.
 */
WH_MUST_CHECK enum wh_code gateway_start(struct node *node,
                                         const struct gateway_caller *caller,
                                         const struct gateway_request *request,
                                         struct gateway_call *call,
                                         uint64_t *out_wait_ms);

/* The caller is gone: no `done` any more.  Harmless when nothing is under way and the call was
 * zeroed. */
void gateway_cancel(struct gateway_call *call);

/* The HTTP status of a call's error.  400 to 499 are the services' own and mean themselves. */
unsigned gateway_status(uint32_t code);

#endif
