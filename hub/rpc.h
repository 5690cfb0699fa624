/*
 * Calls from clients to services: finds the service of a method, hands the
 * call to one of its instances through Redis, and brings the answer back, or
 * an error by the deadline at the latest.  At most once: nothing is ever sent
 * twice.  The contract with services is common/protocol/rpc.h.
 *
 * How a call can end, beside the answer of its service:
 *
 *     100    the service failed, or answered what no answer may be
 *     101    the method wants a user, 103 a role of the token
 *     104    no such method: malformed, unknown service, not announced
 *     108    there is no Redis (engine memory)
 *     111    too many calls under way or queued
 *     1503   it was not sent: Redis is away or refused it, nobody serves it, or the breaker is open
 *     1504   it may have happened: no answer by the deadline, or the link to Redis broke while the
 *            call was on it (then at once: the answer, should there be one, has no way back)
 *
 * Loop thread only.
 */
#ifndef HUB_RPC_H
#define HUB_RPC_H

#include "common/protocol/rpc.h"
#include "hub/config.h"
#include "hub/metrics.h"

struct rpc;
struct rpc_call;
struct wh_loop;
struct wh_tracer;

enum {
    RPC_CALLS_MAX = 65536,      /* under way in one worker; past it 111 */
    RPC_SERVICES_MAX = 256,     /* announced ones that are known; more are ignored */
    RPC_METHODS_MAX = 1024,     /* of one service */
    RPC_TIMEOUT_MAX_MS = 60000, /* whatever a method or a caller asks for */
};

enum rpc_access {
    RPC_ACCESS_ANONYMOUS, /* anybody */
    RPC_ACCESS_USER,      /* a user, else 101 */
    RPC_ACCESS_ROLE       /* a user whose token has one of the roles, else 103 */
};

/* As announced by its service.  Borrowed until control returns to the loop. */
struct rpc_method {
    struct wh_slice name;
    enum rpc_access access;
    struct wh_strings roles;
    uint32_t timeout_ms; /* 0 = the hub's default */
    bool idempotent;
};

/* Borrowed during rpc_start only; absent slices count as empty. */
struct rpc_request {
    struct wh_slice method;
    struct wh_payload params; /* any kind, checked by the caller where it came in */
    struct wh_slice user;     /* "" = anonymous */
    struct wh_slice client;   /* id of the connection; "" for REST */
    struct wh_slice peer;
    struct wh_slice key;         /* idempotency key; "" = none */
    struct wh_slice traceparent; /* as it came: what is malformed counts as absent */
    struct wh_slice tracestate;  /* likewise */
    struct wh_strings roles;
    struct wh_payload meta;
    bool is_trusted; /* what the service announced about access does not apply: the server API */
    uint32_t
        timeout_ms; /* may only shorten that of the method (or the hub's default); 0 = does not */
};

/* Everything is borrowed until the callback returns. */
struct rpc_outcome {
    uint32_t code;           /* 0 = ok */
    struct wh_slice message; /* of an error; never empty then */
    bool temporary;
    struct wh_payload data; /* may be absent; is what its kind says */
};

/* One call, embedded by its owner, who leaves it alone until `done` or rpc_cancel. */
struct rpc_waiter {
    /* Set by the owner.  Called once, never before rpc_start returned; the memory is the owner's
     * again, and anything here may be called from inside. */
    void (*done)(struct rpc_waiter *waiter, const struct rpc_outcome *outcome);
    /*
     * Set by the owner; NULL = nothing beyond what the service announced, which is always checked
     * against the request's user and roles.  Asked when the method is known and before anything is
     * sent, maybe inside rpc_start: 0, or the code of the error that ends the call.
     */
    uint32_t (*admit)(struct rpc_waiter *waiter, const struct rpc_method *method);
    struct rpc_call *call; /* ours; NULL = none under way */
};

/*
 * `config` is borrowed until rpc_use_config names another.  With the memory engine there are no
 * links and every call ends with 108.  Errors as wh_redis_new.
 */
WH_MUST_CHECK enum wh_err rpc_new(struct wh_loop *loop,
                                  const struct config *config,
                                  const char *node_id,
                                  struct metrics *metrics,
                                  struct rpc **out_rpc);
void rpc_use_config(struct rpc *rpc, const struct config *config);

/* Calls are recorded as spans from now on: borrowed until rpc_close is through; NULL = off. */
void rpc_use_tracer(struct rpc *rpc, struct wh_tracer *tracer);

/* Calls under way end with 1503 before `closed` is called (maybe inside this); then all is gone. */
void rpc_close(struct rpc *rpc, void (*closed)(void *user), void *user);

/* Why calls cannot be sent at present; "" = they can, or there is no Redis to send them through. */
const char *rpc_link_problem(const struct rpc *rpc);

void rpc_start(struct rpc *rpc, const struct rpc_request *request, struct rpc_waiter *waiter);

/* No callback any more; a service that has not begun the call yet is told not to.  Harmless when
 * none is under way (`call` NULL: the owner zeroes a new waiter). */
void rpc_cancel(struct rpc_waiter *waiter);

/* What is announced under this name; NULL when nothing is known, which need not be the last word:
 * rpc_start looks again. */
const struct rpc_method *rpc_method_find(const struct rpc *rpc, struct wh_slice method);

/*
 * The services that are announced, by name: {"services":[{"name":…,"version":…,"methods":N},…]}.
 * Whether they live is not known here: ask them.  false, and nothing written, without Redis.
 */
bool rpc_write_services(const struct rpc *rpc, struct wh_buf *out);

/* What the announced rule says to such a caller: 0, 101 or 103. */
uint32_t rpc_method_check(const struct rpc_method *method,
                          struct wh_slice user,
                          const struct wh_strings *roles);

#endif
