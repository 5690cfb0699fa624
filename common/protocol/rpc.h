/*
 * What hubs and services send each other for a call.  Requests wait in the
 * list wh:rpc:<service>, replies are published on the channel that the request
 * names; both are MessagePack maps with the member names below as keys, in
 * which a payload is the pair [kind, bytes] (enum wh_payload_kind).  A message
 * on a reply channel holds one or more replies, one after the other; so does a
 * message of cancels.  Services announce themselves in JSON.
 *
 * docs/REDIS.md has it all for authors of services in other languages.  Pure.
 */
#ifndef WH_PROTOCOL_RPC_H
#define WH_PROTOCOL_RPC_H

#include "common/base/arena.h"
#include "common/protocol/schema.h"

enum {
    WH_RPC_VERSION = 1,
    WH_RPC_SERVICE_NAME_MAX = 64, /* bytes: a-z, 0-9, '-', '_'; the first segment of a method */
    WH_RPC_METHOD_NAME_MAX = 128, /* bytes: segments of letters, digits, '-', '_', '$' and dots */
};

#define WH_RPC_QUEUE_PREFIX "wh:rpc:"       /* + service: the list of its waiting calls */
#define WH_RPC_ALIVE_PREFIX "wh:rpc:alive:" /* + service: its instances subscribe; cancels come */
#define WH_RPC_REPLY_PREFIX "wh:rpc:reply:" /* + node id: the channel of a hub worker */
#define WH_RPC_SERVICES_KEY                                                                        \
    "wh:rpc:services" /* the hash of announcements; a channel of the same                          \
                         name tells that it changed */

/* Everything but method and params is stamped by the hub: no client can forge it. */
struct wh_rpc_call {
    uint32_t v; /* WH_RPC_VERSION; a service refuses what it does not know */
    uint64_t id;
    struct wh_slice method;
    struct wh_payload params; /* absent: the client sent none */
    struct wh_slice user;     /* "" = anonymous */
    struct wh_slice client;   /* id of the connection; "" for REST */
    struct wh_strings roles;  /* of the token */
    struct wh_payload meta;   /* the token's claim of that name, JSON */
    struct wh_slice peer;     /* address of the client */
    struct wh_slice key;      /* idempotency key; "" = none */
    uint64_t sent_ms;         /* unix time of the hub when it sent this */
    uint64_t deadline_ms;     /* unix time from which on the caller is not interested */
    struct wh_slice reply;    /* channel for the answer */
    struct wh_slice traceparent;
    struct wh_slice tracestate;
};

struct wh_rpc_answer {
    uint64_t id;
    struct wh_payload data;
    struct wh_error_reply *error; /* NULL = success */
};

/* Its caller is gone: need not be begun any more. */
struct wh_rpc_cancel {
    uint64_t id;
    struct wh_slice reply; /* ids are unique within a reply channel */
};

struct wh_rpc_method {
    struct wh_slice name;
    struct wh_slice access;  /* "anonymous", "user" (also when absent) or "role" */
    struct wh_strings roles; /* with "role": one of these is needed */
    uint32_t timeout_ms;     /* 0 = the hub's default */
    bool idempotent;         /* calling it twice does what calling it once does */
};

struct wh_rpc_service {
    struct wh_slice version; /* of the program, "1.4.0" */
    WH_MESSAGES(struct wh_rpc_method) methods;
};

extern const struct wh_schema wh_rpc_call_schema;
extern const struct wh_schema wh_rpc_answer_schema;
extern const struct wh_schema wh_rpc_cancel_schema;
extern const struct wh_schema wh_rpc_service_schema; /* JSON: wh_encode, wh_decode_whole */

/* Append one message (failures are in the buffer). */
void wh_rpc_encode(const struct wh_schema *schema, const void *message, struct wh_buf *out);

/*
 * Take the next message off `*rest` into the zeroed struct at `out`; it borrows the bytes and the
 * arena.  Unknown members are skipped.
 * WH_EEND: `*rest` was empty; WH_EFORMAT; WH_ENOMEM.
 */
WH_MUST_CHECK enum wh_err wh_rpc_decode(const struct wh_schema *schema,
                                        struct wh_slice *rest,
                                        struct wh_arena *arena,
                                        void *out);

/*
 * The service that serves `method`: what stands before its first dot.
 * WH_EFORMAT: no dot, an empty segment, too long, or a byte that no name may have.
 */
WH_MUST_CHECK enum wh_err wh_rpc_method_service(struct wh_slice method,
                                                struct wh_slice *out_service);

#endif
