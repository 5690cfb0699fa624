/*
 * What the metrics say of calls, by service: a histogram of how long they took
 * for each way in which they ended, and how things stand.
 *
 * A label costs memory in every worker's column, and names of methods come
 * from clients: so the label is the service, for announced ones only, and
 * whatever comes past METRICS_RPC_SERVICES is counted together as "other".
 */
#ifndef HUB_METRICS_RPC_H
#define HUB_METRICS_RPC_H

#include "common/base/slice.h"

#include <stdint.h>

struct metrics;

enum {
    METRICS_RPC_SERVICES = 32, /* with samples of their own */
    METRICS_RPC_NAME_SIZE = 65,
    METRICS_RPC_BUCKETS = 15, /* the last without a bound */
};

enum metrics_rpc_outcome {
    METRICS_RPC_OK,
    METRICS_RPC_REFUSED,     /* 101, 103, 104, 107 and 400–499: the caller's affair */
    METRICS_RPC_FAILED,      /* 100 */
    METRICS_RPC_LIMITED,     /* 111 */
    METRICS_RPC_UNAVAILABLE, /* 1503 */
    METRICS_RPC_DEADLINE,    /* 1504 */
    METRICS_RPC_CANCELLED,   /* the caller went away */
    METRICS_RPC_OUTCOMES
};

enum metrics_rpc_gauge {
    METRICS_RPC_INFLIGHT,     /* summed over workers */
    METRICS_RPC_QUEUE_LENGTH, /* of these two the highest of all workers */
    METRICS_RPC_BREAKER,      /* enum breaker_state */
    METRICS_RPC_GAUGES
};

/* The outcome that a code of rpc.h stands for. */
enum metrics_rpc_outcome metrics_rpc_outcome_of(uint32_t code);

/* The slot of a service, found by its name or taken; it is never given back, for a counter must not
 * vanish. */
unsigned metrics_rpc_slot(struct metrics *metrics, struct wh_slice service);
void metrics_rpc_ended(struct metrics *metrics,
                       unsigned slot,
                       enum metrics_rpc_outcome outcome,
                       uint64_t duration_us);
void metrics_rpc_set(struct metrics *metrics,
                     unsigned slot,
                     enum metrics_rpc_gauge gauge,
                     int64_t value);

#endif
