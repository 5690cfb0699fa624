#include "services/demo/stats.h"

#include "common/protocol/json.h"

#include <inttypes.h>
#include <math.h>

bool stats_read(struct wh_slice page, uint64_t at_ms, struct stats_look *out)
{
    bool is_hub = false;
    *out = (struct stats_look){
        .at_ms = at_ms,
        .connections = exposition_sum(page, "wirehub_connections", &is_hub),
        .users = exposition_sum(page, "wirehub_users", NULL),
        .channels = exposition_sum(page, "wirehub_channels", NULL),
        .subscriptions = exposition_sum(page, "wirehub_subscriptions", NULL),
        .worker_restarts = exposition_sum(page, "wirehub_worker_restarts_total", NULL),
        .totals = {.messages_sent = exposition_sum(page, "wirehub_messages_sent_total", NULL),
                   .publications =
                       exposition_sum(page, "wirehub_publications_received_total", NULL),
                   .rpc = exposition_sum(page, "wirehub_rpc_seconds_count", NULL)},
    };
    exposition_histogram(page, "wirehub_rpc_seconds", &out->rpc_seconds);
    return is_hub;
}

/* ---- history ---- */

static bool is_same_run(const struct stats_look *before, const struct stats_look *now)
{
    struct exposition_histogram unused;
    return before->totals.messages_sent <= now->totals.messages_sent &&
           before->totals.publications <= now->totals.publications &&
           before->totals.rpc <= now->totals.rpc && before->at_ms < now->at_ms &&
           exposition_since(&now->rpc_seconds, &before->rpc_seconds, &unused);
}

/* One that is as old as the window or older stays, to count from. */
static void forget_old(struct stats_history *history, uint64_t now_ms)
{
    size_t drop = 0;
    while (drop + 1 < history->count &&
           (history->looks[drop + 1].at_ms + STATS_WINDOW_MS <= now_ms ||
            history->count - drop == STATS_LOOKS_MAX))
        drop++;
    history->count -= drop;
    memmove(history->looks, history->looks + drop, history->count * sizeof(history->looks[0]));
}

/* ---- writing ---- */

static void write_rounded(struct wh_buf *out, const char *key, double value, double steps)
{
    wh_buf_printf(out, "\"%s\":", key);
    wh_json_write_double(out, round(value * steps) / steps);
}

static void write_totals(struct wh_buf *out,
                         const char *key,
                         const struct stats_totals *totals,
                         double steps)
{
    wh_buf_printf(out, ",\"%s\":{", key);
    write_rounded(out, "messages_sent", totals->messages_sent, steps);
    wh_buf_append_char(out, ',');
    write_rounded(out, "publications", totals->publications, steps);
    wh_buf_append_char(out, ',');
    write_rounded(out, "rpc", totals->rpc, steps);
    wh_buf_append_char(out, '}');
}

static void write_rates(struct wh_buf *out,
                        const struct stats_look *before,
                        const struct stats_look *now)
{
    double seconds = (double)(now->at_ms - before->at_ms) / 1000;
    const struct stats_totals rates = {
        .messages_sent = (now->totals.messages_sent - before->totals.messages_sent) / seconds,
        .publications = (now->totals.publications - before->totals.publications) / seconds,
        .rpc = (now->totals.rpc - before->totals.rpc) / seconds,
    };
    write_totals(out, "rates", &rates, 10);
}

static void write_quantiles(struct wh_buf *out,
                            const struct stats_look *oldest,
                            const struct stats_look *now)
{
    struct exposition_histogram recent;
    bool has_calls = exposition_since(&now->rpc_seconds, &oldest->rpc_seconds, &recent) &&
                     exposition_total(&recent) > 0;
    if (!has_calls) {
        wh_buf_append_str(out, ",\"rpc_ms\":null");
        return;
    }
    wh_buf_append_str(out, ",\"rpc_ms\":{");
    write_rounded(out, "p50", exposition_quantile(&recent, 0.5) * 1000, 1000);
    wh_buf_append_char(out, ',');
    write_rounded(out, "p99", exposition_quantile(&recent, 0.99) * 1000, 1000);
    wh_buf_printf(out, ",\"calls\":%.0f,\"window_ms\":%" PRIu64 "}", exposition_total(&recent),
                  now->at_ms - oldest->at_ms);
}

void stats_write(struct stats_history *history, const struct stats_look *look, struct wh_buf *out)
{
    if (history->count > 0 && !is_same_run(&history->looks[history->count - 1], look))
        history->count = 0;
    forget_old(history, look->at_ms);
    wh_buf_printf(out,
                  "{\"connections\":%.0f,\"users\":%.0f,\"channels\":%.0f,\"subscriptions\":%.0f,"
                  "\"worker_restarts\":%.0f",
                  look->connections, look->users, look->channels, look->subscriptions,
                  look->worker_restarts);
    if (history->count > 0)
        write_rates(out, &history->looks[history->count - 1], look);
    else
        wh_buf_append_str(out, ",\"rates\":null");
    write_totals(out, "totals", &look->totals, 1);
    if (history->count > 0)
        write_quantiles(out, &history->looks[0], look);
    else
        wh_buf_append_str(out, ",\"rpc_ms\":null");
    wh_buf_append_char(out, '}');
    history->looks[history->count++] = *look;
}
