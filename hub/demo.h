/*
 * hub.v1.info and hub.v1.kill: what the demo page asks the very worker that
 * holds its connection (docs/DEMO.md).  They are here only with demo.enabled:
 * whoever is logged in may kill a worker.
 *
 * Loop thread only, but for struct demo_shared, which the processes of a hub
 * share.
 */
#ifndef HUB_DEMO_H
#define HUB_DEMO_H

#include "common/protocol/codes.h"
#include "hub/rpc.h"

#include <sys/types.h>

struct node;
struct demo;
struct demo_call;
struct demo_shared;

enum {
    DEMO_KILL_INTERVAL_MS = 5000, /* between two of all workers of a hub; sooner is 111 */
    DEMO_KILL_DELAY_MS = 50,      /* for the answer to leave */
};

/* Mapped by the supervisor before it forks.  WH_ENOMEM.  NULL is fine to free. */
WH_MUST_CHECK enum wh_err demo_shared_new(struct demo_shared **out_shared);
void demo_shared_free(struct demo_shared *shared);

/* Whether process `pid` died because somebody asked for it: no crash, says so once. */
bool demo_take_order(struct demo_shared *shared, pid_t pid);

struct demo_options {
    struct demo_shared *shared; /* borrowed */
    unsigned worker;            /* its number */
    unsigned workers;           /* of the hub */
    int (*raise)(int signal);   /* NULL = raise(3) */
};

/* Borrows `node`, whose loop it uses.  WH_ENOMEM. */
WH_MUST_CHECK enum wh_err demo_new(struct node *node,
                                   const struct demo_options *options,
                                   struct demo **out_demo);
void demo_free(struct demo *demo); /* NULL is fine; no call is under way */

/* Whether a call of `method` is for demo_start; `demo` may be NULL: no. */
bool demo_has_method(const struct demo *demo, struct wh_slice method);

/*
 * WH_NO_ERROR: `done` comes once, later, unless the call is cancelled.  Otherwise the error of the
 * call, and `done` never comes:
 *
 *     WH_ERROR_UNAUTHORIZED        kill wants a user
 *     WH_ERROR_BAD_REQUEST         the signal is neither "kill" nor "term"
 *     WH_ERROR_TOO_MANY_REQUESTS   the last kill is not long ago; `*out_wait_ms` to wait
 *     WH_ERROR_INTERNAL            no memory
 */
typedef void demo_done_fn(void *user, const struct rpc_outcome *outcome);
WH_MUST_CHECK enum wh_code demo_start(struct demo *demo,
                                      const struct rpc_request *request,
                                      demo_done_fn *done,
                                      void *user,
                                      struct demo_call **out_call,
                                      uint64_t *out_wait_ms);

/* No `done` any more; a worker that was told to die does so all the same. */
void demo_cancel(struct demo_call *call);

#endif
