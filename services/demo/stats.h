/*
 * What demo:stats says, from pages of the hub's /metrics.  Pure.
 */
#ifndef SERVICES_DEMO_STATS_H
#define SERVICES_DEMO_STATS_H

#include "common/base/buf.h"
#include "services/demo/exposition.h"

enum {
    STATS_WINDOW_MS = 10000, /* of the quantiles */
    STATS_LOOKS_MAX = 32,    /* kept: more than come in that time */
};

struct stats_totals {
    double messages_sent;
    double publications;
    double rpc;
};

/* One page, taken apart. */
struct stats_look {
    uint64_t at_ms; /* monotonic */
    double connections, users, channels, subscriptions, worker_restarts;
    struct stats_totals totals;
    struct exposition_histogram rpc_seconds;
};

/* The looks of the last STATS_WINDOW_MS and the one before them, oldest first. */
struct stats_history {
    size_t count;
    struct stats_look looks[STATS_LOOKS_MAX];
};

/* False: this is no page of a hub. */
bool stats_read(struct wh_slice page, uint64_t at_ms, struct stats_look *out);

/* Append the object for `look`, compared with those before, then keep it.  A hub that was started
 * anew begins a new history. */
void stats_write(struct stats_history *history, const struct stats_look *look, struct wh_buf *out);

#endif
