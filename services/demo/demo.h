/*
 * What the files of the demo service share: options, state, methods, jobs.
 * docs/DEMO.md says what all of it is for.
 */
#ifndef SERVICES_DEMO_DEMO_H
#define SERVICES_DEMO_DEMO_H

#include "services/core/redis_thread.h"
#include "services/core/service.h"
#include "services/demo/load.h"
#include "services/demo/pulse.h"

#include <stdatomic.h>

#define DEMO_LEDGER_CHANNEL "demo:ledger"
#define DEMO_LOAD_CHANNEL   "demo:load"
#define DEMO_STATS_CHANNEL  "demo:stats"

struct demo_settings {
    struct {
        uint64_t rate;
        uint64_t history_size;
        uint64_t history_ttl_ms;
    } ledger;
    struct {
        uint64_t max_rate;
        uint64_t lifetime_ms;
    } load;
    struct {
        char *metrics_url;
    } hub;
};

/* One channel that is published to at a pace.  Of its job's thread, but for the counter. */
struct demo_feed {
    struct svc_redis redis;
    bool is_open; /* redis is initialised */
    struct pulse pulse;
    uint64_t next;                   /* number of the next message */
    atomic_uint_least64_t published; /* any thread reads */
};

struct demo_stats; /* stats.c */

struct demo_state {
    const struct demo_settings *settings;
    char run[37]; /* of this process, in idempotency keys */
    struct load load;
    struct demo_feed ledger_feed;
    struct demo_feed load_feed;
    struct demo_stats *stats; /* of its job's thread; NULL = not yet */
};

/* Jobs: feeds.c and stats.c. */
uint32_t demo_run_ledger(struct svc_ctx *ctx);
uint32_t demo_run_load(struct svc_ctx *ctx);
uint32_t demo_run_stats(struct svc_ctx *ctx);
void demo_feed_close(struct demo_feed *feed);
void demo_stats_free(struct demo_stats *stats); /* NULL is fine */

/* Methods: methods.c. */
svc_handler demo_status;
svc_handler demo_load;

#endif
