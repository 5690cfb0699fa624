/* The shared memory of the metrics: for metrics.c and metrics_rpc.c alone. */
#ifndef HUB_METRICS_INTERNAL_H
#define HUB_METRICS_INTERNAL_H

#include "hub/metrics.h"
#include "hub/metrics_rpc.h"

#include <stdatomic.h>
#include <sys/types.h>

enum { METRICS_CACHE_LINE = 64, METRICS_WORD_SIZE = 32 };

typedef _Atomic int64_t metric_value;

/* The label values of one family that a worker has met, in order of appearance. */
struct label_table {
    _Atomic unsigned used;
    char words[METRIC_LABELS_MAX][METRICS_WORD_SIZE];
    metric_value counts[METRIC_LABELS_MAX];
    metric_value other;
};

/* The families whose label values are met at run time; the code families first. */
enum { TABLE_AUTH_FAILURES = METRIC_CODE_FAMILIES, TABLE_COUNT };

struct rpc_histogram {
    metric_value buckets[METRICS_RPC_BUCKETS]; /* not cumulative */
    metric_value sum_us;
};

struct rpc_service_values {
    char name[METRICS_RPC_NAME_SIZE];
    struct rpc_histogram outcomes[METRICS_RPC_OUTCOMES];
    metric_value gauges[METRICS_RPC_GAUGES];
};

struct rpc_table {
    _Atomic unsigned used;                                        /* those before it have a name */
    struct rpc_service_values services[METRICS_RPC_SERVICES + 1]; /* the last: all others */
};

struct metrics {
    _Alignas(METRICS_CACHE_LINE) metric_value values[METRIC_COUNT];
    _Atomic pid_t pid;        /* 0: nobody writes here, gauges count as 0 */
    metric_value descriptors; /* the last sample; 0 = none yet */
    struct label_table tables[TABLE_COUNT];
    struct rpc_table rpc;
};

struct metrics_shared {
    size_t size; /* of the mapping, bytes */
    unsigned columns;
    struct metrics column[]; /* the last one is the supervisor's */
};

static inline int64_t metric_get(const metric_value *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static inline void metric_put(metric_value *value, int64_t number)
{
    atomic_store_explicit(value, number, memory_order_relaxed);
}

/* Not an atomic addition: each column has one writer. */
static inline void metric_bump(metric_value *value, int64_t delta)
{
    metric_put(value, metric_get(value) + delta);
}

static inline pid_t column_pid(const struct metrics *metrics)
{
    return atomic_load_explicit(&metrics->pid, memory_order_acquire);
}

/* A worker takes its column over: its gauges start at 0. */
void metrics_rpc_claim(struct metrics *metrics);

/* Families of calls, head and samples. */
void metrics_rpc_write(const struct metrics_shared *shared, struct wh_buf *out);
void metrics_write_head(struct wh_buf *out, const char *name, const char *type, const char *help);

#endif
