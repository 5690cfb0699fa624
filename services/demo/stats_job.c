/*
 * Once a second: ask the hub's /metrics and Redis who is alive, and publish
 * what they say.  The job's thread has a loop of its own, which turns only
 * while a request is under way.
 */
#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/io/http_client.h"
#include "services/demo/demo.h"
#include "services/demo/stats.h"

#include <inttypes.h>

enum {
    METRICS_TIMEOUT_MS = 800,
    METRICS_BYTES_MAX = 1024 * 1024,
    BODY_BYTES_MAX = 16 * 1024,
};

#define ALIVE "wh:rpc:alive:"

/* First segments of methods: what hubs look for when they ask who is alive. */
static const char *const services[] = {"users", "products", "orders", "payments", "demo"};
enum { SERVICES = sizeof(services) / sizeof(services[0]) };

struct demo_stats {
    struct wh_loop loop;
    struct wh_http_client *http;
    struct svc_redis redis;
    struct stats_history history;
    struct stats_look look;
    bool has_look;
};

static struct demo_stats *stats_new(struct svc_ctx *ctx)
{
    struct demo_stats *stats = wh_calloc(1, sizeof(*stats));
    if (!stats)
        return NULL;
    if (wh_loop_init(&stats->loop)) {
        wh_free(stats);
        return NULL;
    }
    if (wh_http_client_new(&stats->loop, &stats->http)) {
        wh_loop_deinit(&stats->loop);
        wh_free(stats);
        return NULL;
    }
    svc_redis_init_job(&stats->redis, "stats", ctx, false);
    return stats;
}

void demo_stats_free(struct demo_stats *stats)
{
    if (!stats)
        return;
    wh_http_client_free(stats->http);
    wh_loop_deinit(&stats->loop);
    svc_redis_deinit(&stats->redis);
    wh_free(stats);
}

/* ---- the hub ---- */

static void on_page(void *user, const struct wh_http_response *response)
{
    struct demo_stats *stats = user;
    stats->has_look = response->err == WH_OK && response->status == 200 &&
                      stats_read(response->body, wh_clock_monotonic_ms(), &stats->look);
    if (!stats->has_look)
        wh_log(WH_LOG_WARN, "stats", "no_metrics", "status=%ld reason=%s", response->status,
               response->problem ? response->problem : "this is no page of a hub");
    wh_loop_stop(&stats->loop);
}

static void ask_hub(struct demo_stats *stats, const char *url)
{
    const struct wh_http_options options = {.timeout_ms = METRICS_TIMEOUT_MS,
                                            .body_bytes_max = METRICS_BYTES_MAX};
    struct wh_http_request *request;
    stats->has_look = false;
    if (wh_http_get(stats->http, url, &options, on_page, stats, &request) == WH_OK)
        wh_loop_run(&stats->loop);
}

static void write_hub(struct demo_stats *stats, struct wh_buf *out)
{
    wh_buf_append_str(out, ",\"hub\":");
    if (stats->has_look)
        stats_write(&stats->history, &stats->look, out);
    else
        wh_buf_append_str(out, "null");
}

/* ---- the services ---- */

/* False: Redis is away. */
static bool write_services(struct svc_ctx *ctx, struct demo_stats *stats, struct wh_buf *out)
{
    struct wh_slice words[2 + SERVICES] = {WH_SLICE_LITERAL("PUBSUB"), WH_SLICE_LITERAL("NUMSUB")};
    for (size_t i = 0; i < SERVICES; i++)
        words[2 + i] = svc_text(ctx, ALIVE "%s", services[i]);
    const struct wh_redis_reply *reply = svc_redis_call(&stats->redis, words, 2 + SERVICES);
    if (!reply)
        return false;
    if (reply->type != WH_REDIS_ARRAY || reply->count != 2 * SERVICES) {
        svc_redis_drop(&stats->redis, "PUBSUB NUMSUB: not what was asked for");
        return false;
    }
    wh_buf_append_str(out, ",\"services\":{");
    for (size_t i = 0; i < SERVICES; i++)
        wh_buf_printf(out, "%s\"%s\":%" PRId64, i > 0 ? "," : "", services[i],
                      reply->items[2 * i + 1].integer);
    wh_buf_append_char(out, '}');
    return true;
}

/* ---- all of it ---- */

static void write_feeds(struct demo_state *state, struct wh_buf *out)
{
    wh_buf_printf(out,
                  ",\"ledger\":{\"rate\":%" PRIu64 ",\"published\":%" PRIu64
                  "},\"load\":{\"rate\":%u,\"published\":%" PRIu64 "}}",
                  state->settings->ledger.rate, atomic_load(&state->ledger_feed.published),
                  load_rate(&state->load, wh_clock_monotonic_ms(), NULL),
                  atomic_load(&state->load_feed.published));
}

uint32_t demo_run_stats(struct svc_ctx *ctx)
{
    struct demo_state *state = svc_state(ctx);
    if (!state->stats && !(state->stats = stats_new(ctx)))
        return svc_fail(ctx, SVC_INTERNAL, "out of memory");
    struct demo_stats *stats = state->stats;
    if (!svc_redis_is_up(&stats->redis))
        return SVC_OK; /* nobody could be told */
    struct wh_buf body;
    wh_buf_init(&body, BODY_BYTES_MAX);
    ask_hub(stats, state->settings->hub.metrics_url);
    wh_buf_printf(&body, "{\"at\":%" PRId64, wh_clock_wall_ms());
    write_hub(stats, &body);
    bool is_up = write_services(ctx, stats, &body);
    write_feeds(state, &body);
    if (is_up && wh_buf_error(&body) == WH_OK) {
        const struct wh_slice words[] = {WH_SLICE_LITERAL("PUBLISH"),
                                         WH_SLICE_LITERAL("wh:ch:" DEMO_STATS_CHANNEL),
                                         wh_buf_slice(&body)};
        (void)svc_redis_call(&stats->redis, words, 3); /* a lost one is followed by the next */
    }
    wh_buf_deinit(&body);
    return SVC_OK;
}
