/*
 * A table in each worker's column, and their sum by name.  As in metrics.c an
 * entry is written first and then published by a release store of `used`.
 */
#include "hub/metrics_internal.h"

#include "common/protocol/codes.h"

#include <stdio.h>
#include <string.h>

#define OTHER "other"

enum { OTHER_SLOT = METRICS_RPC_SERVICES };

static const struct {
    uint64_t us;
    const char *le;
} bounds[METRICS_RPC_BUCKETS] = {
    {500, "0.0005"},  {1000, "0.001"},  {2500, "0.0025"}, {5000, "0.005"},  {10000, "0.01"},
    {25000, "0.025"}, {50000, "0.05"},  {100000, "0.1"},  {250000, "0.25"}, {500000, "0.5"},
    {1000000, "1"},   {2500000, "2.5"}, {5000000, "5"},   {10000000, "10"}, {UINT64_MAX, "+Inf"},
};

static const char *const outcome_names[METRICS_RPC_OUTCOMES] = {
    "ok", "refused", "failed", "limited", "unavailable", "deadline", "cancelled"};

static const struct {
    const char *name;
    const char *help;
    bool is_highest; /* of all workers; else their sum */
} gauges[METRICS_RPC_GAUGES] = {
    [METRICS_RPC_INFLIGHT] = {"wirehub_rpc_inflight", "Calls under way.", false},
    [METRICS_RPC_QUEUE_LENGTH] = {"wirehub_rpc_queue_length",
                                  "Calls waiting in Redis, as a worker saw them last.", true},
    [METRICS_RPC_BREAKER] = {"wirehub_rpc_breaker_state",
                             "Circuit breaker: 0 closed, 1 half-open, 2 open; the worst worker's.",
                             true},
};

enum metrics_rpc_outcome metrics_rpc_outcome_of(uint32_t code)
{
    switch (code) {
    case WH_NO_ERROR:
        return METRICS_RPC_OK;
    case WH_ERROR_INTERNAL:
        return METRICS_RPC_FAILED;
    case WH_ERROR_TOO_MANY_REQUESTS:
        return METRICS_RPC_LIMITED;
    case WH_ERROR_SERVICE_UNAVAILABLE:
        return METRICS_RPC_UNAVAILABLE;
    case WH_ERROR_DEADLINE_EXCEEDED:
        return METRICS_RPC_DEADLINE;
    default:
        return METRICS_RPC_REFUSED;
    }
}

static unsigned table_used(const struct rpc_table *table)
{
    return atomic_load_explicit(&table->used, memory_order_acquire);
}

unsigned metrics_rpc_slot(struct metrics *metrics, struct wh_slice service)
{
    struct rpc_table *table = &metrics->rpc;
    unsigned used = table_used(table);
    for (unsigned i = 0; i < used; i++)
        if (wh_slice_equal_str(service, table->services[i].name))
            return i;
    if (used == METRICS_RPC_SERVICES || service.len >= METRICS_RPC_NAME_SIZE ||
        wh_slice_equal_str(service, OTHER))
        return OTHER_SLOT;
    snprintf(table->services[used].name, METRICS_RPC_NAME_SIZE, "%.*s", WH_SLICE_ARGS(service));
    atomic_store_explicit(&table->used, used + 1, memory_order_release);
    return used;
}

void metrics_rpc_ended(struct metrics *metrics,
                       unsigned slot,
                       enum metrics_rpc_outcome outcome,
                       uint64_t duration_us)
{
    struct rpc_histogram *histogram = &metrics->rpc.services[slot].outcomes[outcome];
    unsigned bucket = 0;
    while (duration_us > bounds[bucket].us)
        bucket++;
    metric_bump(&histogram->buckets[bucket], 1);
    metric_bump(&histogram->sum_us, (int64_t)duration_us);
}

void metrics_rpc_set(struct metrics *metrics,
                     unsigned slot,
                     enum metrics_rpc_gauge gauge,
                     int64_t value)
{
    if (slot != OTHER_SLOT) /* several services: no number would be true */
        metric_put(&metrics->rpc.services[slot].gauges[gauge], value);
}

void metrics_rpc_claim(struct metrics *metrics)
{
    for (unsigned slot = 0; slot < METRICS_RPC_SERVICES; slot++)
        for (unsigned gauge = 0; gauge < METRICS_RPC_GAUGES; gauge++)
            metric_put(&metrics->rpc.services[slot].gauges[gauge], 0);
}

/* --- exposition --- */

/* What a column has about a service; NULL when nothing. */
static const struct rpc_service_values *values_in(const struct metrics *metrics, const char *name)
{
    const struct rpc_table *table = &metrics->rpc;
    unsigned used = table_used(table);
    if (strcmp(name, OTHER) == 0)
        return &table->services[OTHER_SLOT];
    for (unsigned i = 0; i < used; i++)
        if (strcmp(table->services[i].name, name) == 0)
            return &table->services[i];
    return NULL;
}

/* The smallest name after `last` (NULL: the first) in any column, "other" behind all; NULL at the
 * end. */
static const char *next_name(const struct metrics_shared *shared, const char *last)
{
    const char *next = NULL;
    if (last && strcmp(last, OTHER) == 0)
        return NULL;
    for (unsigned i = 0; i < shared->columns; i++) {
        const struct rpc_table *table = &shared->column[i].rpc;
        unsigned used = table_used(table);
        for (unsigned j = 0; j < used; j++) {
            const char *name = table->services[j].name;
            if ((last == NULL || strcmp(name, last) > 0) &&
                (next == NULL || strcmp(name, next) < 0))
                next = name;
        }
    }
    return next ? next : OTHER;
}

struct totals {
    int64_t buckets[METRICS_RPC_BUCKETS];
    int64_t count;
    int64_t sum_us;
};

static struct totals sum_up(const struct metrics_shared *shared, const char *name, unsigned outcome)
{
    struct totals totals = {0};
    for (unsigned i = 0; i < shared->columns; i++) {
        const struct rpc_service_values *values = values_in(&shared->column[i], name);
        if (values == NULL)
            continue;
        const struct rpc_histogram *histogram = &values->outcomes[outcome];
        totals.sum_us += metric_get(&histogram->sum_us);
        for (unsigned bucket = 0; bucket < METRICS_RPC_BUCKETS; bucket++) {
            int64_t count = metric_get(&histogram->buckets[bucket]);
            totals.buckets[bucket] += count;
            totals.count += count;
        }
    }
    return totals;
}

/* Names of services hold nothing that a label would have to escape. */
static void write_histogram(const struct metrics_shared *shared,
                            const char *service,
                            unsigned outcome,
                            struct wh_buf *out)
{
    struct totals totals = sum_up(shared, service, outcome);
    const char *name = outcome_names[outcome];
    int64_t below = 0;
    if (totals.count == 0)
        return;
    for (unsigned bucket = 0; bucket < METRICS_RPC_BUCKETS; bucket++) {
        below += totals.buckets[bucket];
        wh_buf_printf(out,
                      "wirehub_rpc_seconds_bucket{service=\"%s\",outcome=\"%s\",le=\"%s\"} %lld\n",
                      service, name, bounds[bucket].le, (long long)below);
    }
    wh_buf_printf(out, "wirehub_rpc_seconds_sum{service=\"%s\",outcome=\"%s\"} %lld.%06lld\n",
                  service, name, (long long)(totals.sum_us / 1000000),
                  (long long)(totals.sum_us % 1000000));
    wh_buf_printf(out, "wirehub_rpc_seconds_count{service=\"%s\",outcome=\"%s\"} %lld\n", service,
                  name, (long long)totals.count);
}

static int64_t gauge_of(const struct metrics_shared *shared, const char *name, unsigned gauge)
{
    int64_t total = 0;
    for (unsigned i = 0; i < shared->columns; i++) {
        const struct rpc_service_values *values = values_in(&shared->column[i], name);
        if (values == NULL || column_pid(&shared->column[i]) == 0)
            continue;
        int64_t value = metric_get(&values->gauges[gauge]);
        if (!gauges[gauge].is_highest)
            total += value;
        else if (value > total)
            total = value;
    }
    return total;
}

void metrics_rpc_write(const struct metrics_shared *shared, struct wh_buf *out)
{
    metrics_write_head(out, "wirehub_rpc_seconds", "histogram",
                       "How long calls took from command to answer, by how they ended.");
    for (const char *name = NULL; (name = next_name(shared, name)) != NULL;)
        for (unsigned outcome = 0; outcome < METRICS_RPC_OUTCOMES; outcome++)
            write_histogram(shared, name, outcome, out);
    for (unsigned gauge = 0; gauge < METRICS_RPC_GAUGES; gauge++) {
        metrics_write_head(out, gauges[gauge].name, "gauge", gauges[gauge].help);
        for (const char *name = NULL;
             (name = next_name(shared, name)) != NULL && strcmp(name, OTHER) != 0;)
            wh_buf_printf(out, "%s{service=\"%s\"} %lld\n", gauges[gauge].name, name,
                          (long long)gauge_of(shared, name, gauge));
    }
}
