/*
 * Spans of the hub, and the context that what it does at the moment stands in.
 *
 * A scope is one piece of work: where it stands in which trace, and its span while it is recorded.
 * Entering a scope makes it the node's present one: pending commands, calls and log lines begun in
 * it belong to it.  With tracing off (node->tracing NULL) a command costs one branch, and what
 * backends send as traceparent goes through unchanged.
 *
 * What client-side contexts mean is in docs/OPERATIONS.md, "Tracing".  Loop thread only.
 */
#ifndef HUB_TRACING_H
#define HUB_TRACING_H

#include "common/base/buf.h"
#include "common/base/span.h"

struct node;
struct session;
struct tracing;
struct http_request;
struct wh_connect_request;

enum { TRACING_FLUSH_MS = 2000 }; /* how long a stopping worker waits for its collector */

struct tracing_scope {
    struct wh_trace trace;       /* not valid: in no trace */
    struct wh_span *span;        /* NULL = not recorded */
    bool is_taken;               /* a pending command has the span */
    struct tracing_scope *outer; /* while it is the present one: what it interrupts */
};

/* By the node's config: node->tracing, or NULL when it is off.  WH_EINVAL with a text; WH_ENOMEM.
 */
WH_MUST_CHECK enum wh_err tracing_start(struct node *node, struct wh_buf *out_problem);

/* Send what is left, for TRACING_FLUSH_MS at most; keeps the loop running so long. */
void tracing_close(struct node *node);
void tracing_free(struct node *node); /* when no scope is left */

/* NULL when tracing is off: what wh_span_start wants. */
struct wh_tracer *tracing_tracer(const struct node *node);

/* The context that a client brought, from its upgrade or in its connect; what is malformed counts
 * as none.  The last one stays for the session's life. */
void tracing_keep_origin(struct session *session, struct wh_slice traceparent);

/* A command of a client begins: `name` is "connect" and so on, or NULL for one that is not traced.
 * Returns whether the caller has to call tracing_end_command with `outer`. */
bool tracing_begin_command(struct session *session,
                           const char *name,
                           const struct wh_connect_request *connect,
                           struct tracing_scope *outer);

/* Its handler returned: ends the span unless a pending command has taken it. */
void tracing_end_command(struct node *node, const struct tracing_scope *outer);

/* The present scope, span included, is the caller's from now on: a command that waits. */
struct tracing_scope tracing_take(struct node *node);

/* Go on with a scope that was taken, for as long as a function runs; then back to the outer one. */
void tracing_enter(struct node *node,
                   const struct tracing_scope *scope,
                   struct tracing_scope *outer);
void tracing_leave(struct node *node, const struct tracing_scope *outer);

/* It is done. */
void tracing_end(struct node *node, struct tracing_scope *scope);

/* A part of the present work begins; NULL unless that is recorded. */
struct wh_span *tracing_part(struct node *node, enum wh_span_kind kind, struct wh_slice name);

/* The present work failed with this code; `message` is for people, absent: the code's text. */
void tracing_failed(const struct node *node, uint32_t code, struct wh_slice message);

/*
 * A request over HTTP begins ("api publish"): continues the traceparent that it brought.  With
 * tracing off, `out_scope` holds that and no span.  End it with tracing_end; tracing_fail_scope
 * before, if it failed.
 */
void tracing_begin_http(const struct node *node,
                        const struct http_request *request,
                        struct wh_slice name,
                        struct tracing_scope *out_scope);
void tracing_fail_scope(const struct tracing_scope *scope, uint32_t code, struct wh_slice message);

/* The header traceparent for what is asked of others on behalf of `scope`; absent in no trace. */
struct wh_slice tracing_traceparent(const struct tracing_scope *scope,
                                    char buffer[WH_TRACEPARENT_LEN + 1]);

/* The present scope; not valid when there is none. */
struct tracing_scope tracing_now(const struct node *node);

#endif
