#include "services/core/cancels.h"

#include "common/base/map.h"

/* Never 0.  The multiplier spreads ids that follow each other. */
static uint64_t fingerprint(struct wh_slice reply, uint64_t id)
{
    uint64_t hash = (wh_hash(reply) ^ id) * UINT64_C(0x9E3779B97F4A7C15);
    hash ^= hash >> 32;
    return hash != 0 ? hash : 1;
}

void svc_cancels_add(struct svc_cancels *cancels, struct wh_slice reply, uint64_t id)
{
    uint64_t mark = fingerprint(reply, id);
    atomic_store_explicit(&cancels->places[mark % SVC_CANCELS], mark, memory_order_relaxed);
    atomic_fetch_add_explicit(&cancels->received, 1, memory_order_relaxed);
}

bool svc_cancels_take(struct svc_cancels *cancels, struct wh_slice reply, uint64_t id)
{
    uint64_t mark = fingerprint(reply, id);
    uint64_t expected = mark;
    return atomic_compare_exchange_strong_explicit(&cancels->places[mark % SVC_CANCELS], &expected,
                                                   0, memory_order_relaxed, memory_order_relaxed);
}
