/*
 * The worker threads: each takes calls out of the queues of the service with a
 * blocking pop on a connection of its own, runs their handlers, and publishes
 * the answers together with the next pop.
 *
 * At most once: what was popped is never put back.  A call whose deadline has
 * passed, or whose caller is gone, is dropped before its handler begins.
 *
 * Main thread, unless said otherwise.
 */
#ifndef SERVICES_CORE_RPC_SERVER_H
#define SERVICES_CORE_RPC_SERVER_H

#include "services/core/core.h"

struct svc_rpc_server;

enum { SVC_SEGMENTS_MAX = 16 }; /* queues that one process serves */

/* First segments of the definition's methods, each once. */
struct svc_segments {
    struct wh_slice names[SVC_SEGMENTS_MAX];
    size_t count;
};

/*
 * Whether a definition makes sense: names, no duplicates, roles where roles are asked for, a
 * database where one is needed.  WH_EINVAL with why in `problem`.
 */
WH_MUST_CHECK enum wh_err svc_def_check(const struct svc_def *def,
                                        struct svc_segments *out_segments,
                                        struct wh_buf *problem);

/* Start the threads; `svc` outlives them.  WH_ENOMEM; WH_EIO: no thread could be had. */
WH_MUST_CHECK enum wh_err svc_rpc_server_start(struct svc *svc,
                                               const struct svc_segments *segments,
                                               struct svc_rpc_server **out_server);

/* After svc->is_stopping was set: wake who waits for calls.  Again and again until it is done: a
 * worker may be about to wait. */
void svc_rpc_server_wake(struct svc_rpc_server *server);

/* Every worker has published its last answer. */
bool svc_rpc_server_is_done(const struct svc_rpc_server *server);

/* Joins the threads: only when they are done. */
void svc_rpc_server_free(struct svc_rpc_server *server);

/* Any thread; NULL gives zeros. */
struct svc_rpc_state {
    unsigned workers;
    unsigned connected;
    unsigned busy;     /* inside a handler */
    unsigned hung;     /* inside one handler for longer than rpc.hung_after */
    unsigned inflight; /* calls popped and not yet answered */
    unsigned done;
};
struct svc_rpc_state svc_rpc_server_state(const struct svc_rpc_server *server);

#endif
