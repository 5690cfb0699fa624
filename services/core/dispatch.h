/*
 * One element of a queue to at most one answer: decoded, checked, dropped or
 * handled.  Knows no Redis; worker threads and the test seam use it.
 */
#ifndef SERVICES_CORE_DISPATCH_H
#define SERVICES_CORE_DISPATCH_H

#include "common/base/map.h"
#include "services/core/core.h"

/* A method at work. */
struct svc_slot {
    const struct svc_method *method;
    size_t index;
    struct wh_slice name;
    atomic_uint inflight;
};

/* Methods by name, and counters shared by all workers. */
struct svc_dispatch {
    struct svc_slot *slots;
    size_t count;
    struct wh_map by_name;
};

/* WH_ENOMEM. */
WH_MUST_CHECK enum wh_err svc_dispatch_init(struct svc_dispatch *dispatch,
                                            const struct svc_def *def);
void svc_dispatch_deinit(struct svc_dispatch *dispatch);

/*
 * Run one call.  True with an answer, which borrows `bytes` and the context until its next reset;
 * false: dropped, and counted.  `*out_handler_us` is the time in the handler, 0 without one.
 */
bool svc_dispatch(struct svc_dispatch *dispatch,
                  struct svc_ctx *ctx,
                  struct wh_slice bytes,
                  struct wh_rpc_answer *out_answer,
                  struct wh_slice *out_reply_channel,
                  uint64_t *out_handler_us);

/* Run the handler of `method` for the call and context given, by way of the parts. */
uint32_t svc_run(struct svc_ctx *ctx,
                 const struct svc_method *method,
                 const struct wh_rpc_call *call);

/* What the answer to a call says after its handler returned `code`.  Logs what the caller does not
 * get to see. */
void svc_finish_answer(struct svc_ctx *ctx, uint32_t code, struct wh_rpc_answer *answer);

#endif
