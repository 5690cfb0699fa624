/*
 * Counters of one service process.  Each thread that runs calls adds to cells
 * of its own; whoever reads adds them up.  Any thread may read at any time and
 * sees each number as it was a moment ago.
 */
#ifndef SERVICES_CORE_METRICS_H
#define SERVICES_CORE_METRICS_H

#include "common/base/buf.h"

#include <stdatomic.h>
#include <stdint.h>

struct svc;
struct svc_metrics;

/* How a call ended, as the label `outcome`. */
enum svc_outcome {
    SVC_OUTCOME_OK,
    SVC_OUTCOME_REFUSED,     /* the caller's fault: 103, 107, 400-499 */
    SVC_OUTCOME_INTERNAL,    /* 100 */
    SVC_OUTCOME_BUSY,        /* 111 */
    SVC_OUTCOME_UNAVAILABLE, /* 1503 */
    SVC_OUTCOME_TIMEOUT,     /* 1504 */
    SVC_OUTCOME_COUNT
};

enum svc_outcome svc_outcome_of(uint32_t code);

/* What can happen to a call that reaches no handler, and other events without a method. */
enum svc_event_counter {
    SVC_COUNT_EXPIRED,      /* popped after its deadline: dropped */
    SVC_COUNT_CANCELLED,    /* popped after its caller had gone: dropped */
    SVC_COUNT_MALFORMED,    /* no call at all: dropped */
    SVC_COUNT_UNKNOWN,      /* no such method or version: answered */
    SVC_COUNT_FREE,         /* $svc methods */
    SVC_COUNT_UNHEARD,      /* answers that nobody listened for any more */
    SVC_COUNT_ANSWERS_LOST, /* given up: Redis stayed away */
    SVC_COUNT_POPS,         /* BLMPOP that brought calls */
    SVC_COUNT_CONNECTIONS,  /* made to Redis by workers */
    SVC_COUNTER_COUNT
};

/* `threads` that add, each under its number.  NULL without memory. */
struct svc_metrics *svc_metrics_new(size_t threads, size_t methods);
void svc_metrics_free(struct svc_metrics *metrics);

void svc_metrics_count(struct svc_metrics *metrics, unsigned thread, enum svc_event_counter what);
void svc_metrics_call(struct svc_metrics *metrics,
                      unsigned thread,
                      size_t method,
                      enum svc_outcome outcome,
                      uint64_t duration_us);

uint64_t svc_metrics_counter(const struct svc_metrics *metrics, enum svc_event_counter what);

/* Sums over all threads. */
struct svc_method_totals {
    uint64_t calls[SVC_OUTCOME_COUNT];
    uint64_t total_us;
};
struct svc_method_totals svc_metrics_method(const struct svc_metrics *metrics, size_t method);

/* The text format of Prometheus, with everything else that `svc` knows. */
void svc_metrics_write(const struct svc *svc, struct wh_buf *out);

#endif
