/*
 * Calls whose callers are gone.  A cancel comes on the loop thread; a worker
 * asks before it begins a call.  Bounded and forgetful: of two cancels that
 * fall into one place the later one stays, and the earlier call runs, as it
 * would without cancels.  A place holds a 64-bit fingerprint.
 *
 * Any thread.
 */
#ifndef SERVICES_CORE_CANCELS_H
#define SERVICES_CORE_CANCELS_H

#include "common/base/slice.h"

#include <stdatomic.h>
#include <stdint.h>

enum { SVC_CANCELS = 4096 };

struct svc_cancels {
    _Atomic uint64_t places[SVC_CANCELS]; /* 0 = empty */
    _Atomic uint64_t received;            /* for metrics */
};

void svc_cancels_add(struct svc_cancels *cancels, struct wh_slice reply, uint64_t id);

/* Whether this call was cancelled; forgets the cancel. */
bool svc_cancels_take(struct svc_cancels *cancels, struct wh_slice reply, uint64_t id);

#endif
