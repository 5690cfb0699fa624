/*
 * Methods in transactions, and the keys that make a mutation happen once.
 *
 * A key belongs to its user (anonymous callers share one space) and to one
 * method with one set of parameters, byte for byte.  It is claimed in the
 * transaction of the effect and kept with the answer for
 * SVC_IDEMPOTENCY_HOURS; whoever comes with it again
 *
 *     while the first is at work   waits for it, up to the deadline
 *     with the same parameters     gets the answer of the first, nothing runs
 *     with other ones              409
 *
 * A call that was refused leaves nothing behind, its claim neither: the same
 * key may be tried again and may then succeed.
 */
#ifndef SERVICES_CORE_IDEMPOTENCY_H
#define SERVICES_CORE_IDEMPOTENCY_H

#include "services/core/service.h"

enum { SVC_IDEMPOTENCY_HOURS = 24, SVC_IDEMPOTENCY_KEY_MAX = 128 /* bytes */ };

/* The key of the call: its own, or the member idempotency_key of its parameters.  Empty = none.
 * WH_ELIMIT: longer than SVC_IDEMPOTENCY_KEY_MAX, or with a NUL. */
WH_MUST_CHECK enum wh_err svc_idempotency_key(struct svc_ctx *ctx,
                                              const struct wh_rpc_call *call,
                                              struct wh_slice *out_key);

/* Run the handler as its row in the table says. */
uint32_t svc_run_method(struct svc_ctx *ctx,
                        const struct svc_method *method,
                        const struct wh_rpc_call *call);

#endif
