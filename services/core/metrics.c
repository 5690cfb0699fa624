/*
 * Cells are written by one thread each, so an addition is a plain load and
 * store of an atomic; padding keeps threads off each other's cache lines.
 */
#include "services/core/metrics.h"

#include "common/base/alloc.h"
#include "common/io/redis.h"
#include "services/core/announce.h"
#include "services/core/cancels.h"
#include "services/core/core.h"
#include "services/core/rpc_server.h"

#include <wh_version.h>

#define BUCKETS 12

/* Upper bounds in microseconds, and as text in seconds. */
static const struct {
    uint64_t us;
    const char *text;
} bounds[BUCKETS] = {
    {100, "0.0001"},  {250, "0.00025"}, {1000, "0.001"},  {2500, "0.0025"},
    {10000, "0.01"},  {25000, "0.025"}, {50000, "0.05"},  {100000, "0.1"},
    {250000, "0.25"}, {1000000, "1"},   {2500000, "2.5"}, {10000000, "10"},
};

static const char *const outcome_names[SVC_OUTCOME_COUNT] = {"ok",   "refused",     "internal",
                                                             "busy", "unavailable", "timeout"};

struct method_cells {
    _Atomic uint64_t calls[SVC_OUTCOME_COUNT];
    _Atomic uint64_t buckets[BUCKETS + 1]; /* not cumulative; the last is what exceeds all */
    _Atomic uint64_t total_us;
};

struct counter_cells {
    _Atomic uint64_t counters[SVC_COUNTER_COUNT];
    char padding[128];
};

struct svc_metrics {
    size_t threads;
    size_t methods;
    struct counter_cells *counters; /* one a thread */
    struct method_cells *calls;     /* methods of thread 0, one to spare, methods of thread 1 … */
};

static void add(_Atomic uint64_t *cell, uint64_t amount)
{
    uint64_t before = atomic_load_explicit(cell, memory_order_relaxed);
    atomic_store_explicit(cell, before + amount, memory_order_relaxed);
}

static uint64_t get(const _Atomic uint64_t *cell)
{
    return atomic_load_explicit(cell, memory_order_relaxed);
}

static struct method_cells *cells_of(const struct svc_metrics *metrics,
                                     size_t thread,
                                     size_t method)
{
    return &metrics->calls[thread * (metrics->methods + 1) + method];
}

enum svc_outcome svc_outcome_of(uint32_t code)
{
    switch (code) {
    case SVC_OK:
        return SVC_OUTCOME_OK;
    case SVC_INTERNAL:
        return SVC_OUTCOME_INTERNAL;
    case SVC_BUSY:
        return SVC_OUTCOME_BUSY;
    case SVC_UNAVAILABLE:
        return SVC_OUTCOME_UNAVAILABLE;
    case SVC_TIMEOUT:
        return SVC_OUTCOME_TIMEOUT;
    default:
        return SVC_OUTCOME_REFUSED;
    }
}

struct svc_metrics *svc_metrics_new(size_t threads, size_t methods)
{
    struct svc_metrics *metrics = wh_calloc(1, sizeof *metrics);
    if (!metrics)
        return NULL;
    *metrics = (struct svc_metrics){.threads = threads, .methods = methods};
    metrics->counters = wh_calloc(threads, sizeof *metrics->counters);
    metrics->calls = wh_calloc(threads * (methods + 1), sizeof *metrics->calls);
    if (metrics->counters && metrics->calls)
        return metrics;
    svc_metrics_free(metrics);
    return NULL;
}

void svc_metrics_free(struct svc_metrics *metrics)
{
    if (!metrics)
        return;
    wh_free(metrics->counters);
    wh_free(metrics->calls);
    wh_free(metrics);
}

void svc_metrics_count(struct svc_metrics *metrics, unsigned thread, enum svc_event_counter what)
{
    add(&metrics->counters[thread].counters[what], 1);
}

void svc_metrics_call(struct svc_metrics *metrics,
                      unsigned thread,
                      size_t method,
                      enum svc_outcome outcome,
                      uint64_t duration_us)
{
    struct method_cells *cells = cells_of(metrics, thread, method);
    size_t bucket = 0;

    while (bucket < BUCKETS && duration_us > bounds[bucket].us)
        bucket++;
    add(&cells->calls[outcome], 1);
    add(&cells->buckets[bucket], 1);
    add(&cells->total_us, duration_us);
}

uint64_t svc_metrics_counter(const struct svc_metrics *metrics, enum svc_event_counter what)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < metrics->threads; i++)
        sum += get(&metrics->counters[i].counters[what]);
    return sum;
}

struct svc_method_totals svc_metrics_method(const struct svc_metrics *metrics, size_t method)
{
    struct svc_method_totals totals = {0};

    for (size_t i = 0; i < metrics->threads; i++) {
        const struct method_cells *cells = cells_of(metrics, i, method);
        totals.total_us += get(&cells->total_us);
        for (size_t j = 0; j < SVC_OUTCOME_COUNT; j++)
            totals.calls[j] += get(&cells->calls[j]);
    }
    return totals;
}

static void write_calls(const struct svc *svc, struct wh_buf *out)
{
    wh_buf_append_str(out, "# HELP wirehub_service_calls_total Calls that were answered.\n"
                           "# TYPE wirehub_service_calls_total counter\n");
    for (size_t i = 0; i < svc->metrics->methods; i++) {
        struct svc_method_totals totals = svc_metrics_method(svc->metrics, i);
        for (size_t j = 0; j < SVC_OUTCOME_COUNT; j++)
            wh_buf_printf(out, "wirehub_service_calls_total{method=\"%s\",outcome=\"%s\"} %llu\n",
                          svc->def->methods[i].name, outcome_names[j],
                          (unsigned long long)totals.calls[j]);
    }
}

static void write_histogram(const struct svc *svc, size_t method, struct wh_buf *out)
{
    const char *name = svc->def->methods[method].name;
    uint64_t sum = 0;

    for (size_t bucket = 0; bucket <= BUCKETS; bucket++) {
        for (size_t i = 0; i < svc->metrics->threads; i++)
            sum += get(&cells_of(svc->metrics, i, method)->buckets[bucket]);
        wh_buf_printf(out, "wirehub_service_call_seconds_bucket{method=\"%s\",le=\"%s\"} %llu\n",
                      name, bucket < BUCKETS ? bounds[bucket].text : "+Inf",
                      (unsigned long long)sum);
    }
    wh_buf_printf(out,
                  "wirehub_service_call_seconds_sum{method=\"%s\"} %.6f\n"
                  "wirehub_service_call_seconds_count{method=\"%s\"} %llu\n",
                  name, (double)svc_metrics_method(svc->metrics, method).total_us / 1e6, name,
                  (unsigned long long)sum);
}

static void write_histograms(const struct svc *svc, struct wh_buf *out)
{
    wh_buf_append_str(out, "# HELP wirehub_service_call_seconds Time that handlers took.\n"
                           "# TYPE wirehub_service_call_seconds histogram\n");
    for (size_t i = 0; i < svc->metrics->methods; i++)
        write_histogram(svc, i, out);
}

static const struct {
    const char *name;
    const char *help;
    enum svc_event_counter counter;
} counter_rows[] = {
    {"expired_total", "Calls dropped because their deadline had passed.", SVC_COUNT_EXPIRED},
    {"cancelled_total", "Calls dropped because their caller had gone.", SVC_COUNT_CANCELLED},
    {"malformed_total", "Elements of a queue that were no call.", SVC_COUNT_MALFORMED},
    {"unknown_calls_total", "Calls of an unknown method or version.", SVC_COUNT_UNKNOWN},
    {"free_calls_total", "Calls of the $svc methods.", SVC_COUNT_FREE},
    {"unheard_answers_total", "Messages of answers that no hub listened for.", SVC_COUNT_UNHEARD},
    {"lost_answers_total", "Answers given up because Redis stayed away.", SVC_COUNT_ANSWERS_LOST},
    {"pops_total", "Batches of calls taken from the queues.", SVC_COUNT_POPS},
    {"worker_connections_total", "Connections that workers made to Redis.", SVC_COUNT_CONNECTIONS},
};

static void write_one(struct wh_buf *out,
                      const char *name,
                      const char *type,
                      const char *help,
                      uint64_t value)
{
    wh_buf_printf(out,
                  "# HELP wirehub_service_%s %s\n# TYPE wirehub_service_%s %s\n"
                  "wirehub_service_%s %llu\n",
                  name, help, name, type, name, (unsigned long long)value);
}

static void write_gauges(const struct svc *svc, struct wh_buf *out)
{
    struct svc_rpc_state state = svc_rpc_server_state(svc->rpc);

    write_one(out, "workers", "gauge", "Worker threads.", state.workers);
    write_one(out, "workers_busy", "gauge", "Workers inside a handler.", state.busy);
    write_one(out, "workers_connected", "gauge", "Workers connected to Redis.", state.connected);
    write_one(out, "workers_hung", "gauge", "Workers busy for longer than rpc.hung_after.",
              state.hung);
    write_one(out, "inflight", "gauge", "Calls taken and not yet answered.", state.inflight);
    write_one(out, "redis_up", "gauge", "Whether the loop's connection to Redis is up.",
              svc->redis && wh_redis_is_up(svc->redis));
    write_one(out, "alive", "gauge", "Whether hubs see this instance.",
              svc->announce && svc_announce_is_alive(svc->announce));
    write_one(out, "draining", "gauge", "Whether the process is about to end.",
              atomic_load(&svc->is_draining));
}

void svc_metrics_write(const struct svc *svc, struct wh_buf *out)
{
    wh_buf_printf(out,
                  "# HELP wirehub_service_build_info What runs here.\n"
                  "# TYPE wirehub_service_build_info gauge\n"
                  "wirehub_service_build_info{service=\"%s\",version=\"%s\",core=\"%s\","
                  "commit=\"%s\",instance=\"%s\"} 1\n",
                  svc->def->name, svc->def->version, WH_VERSION, WH_COMMIT, svc->instance);
    write_calls(svc, out);
    write_histograms(svc, out);
    for (size_t i = 0; i < sizeof counter_rows / sizeof *counter_rows; i++)
        write_one(out, counter_rows[i].name, "counter", counter_rows[i].help,
                  svc_metrics_counter(svc->metrics, counter_rows[i].counter));
    write_one(out, "cancels_total", "counter", "Cancels that hubs sent.",
              atomic_load(&svc->cancels->received));
    write_gauges(svc, out);
    for (size_t i = 0; svc_parts[i]; i++) {
        bool is_wanted = !svc_parts[i]->is_wanted || svc_parts[i]->is_wanted(svc->def);
        if (is_wanted && svc_parts[i]->write_metrics)
            svc_parts[i]->write_metrics(svc, out);
    }
}
