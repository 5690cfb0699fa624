/*
 * The two feeds.  The ledger is what clients count, so each of its messages
 * gets to Redis exactly once: it is sent again, under the same idempotency
 * key, until Redis says that it is there.  The load is plain PUBLISH, a batch
 * in one write.
 */
#include "common/base/clock.h"
#include "common/io/redis_script_blocking.h"
#include "services/demo/demo.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    LEDGER_BURST_MAX = 100,
    LOAD_BURST_MAX = 1000,
    LEDGER_TRIES = 2, /* the second one after loading the scripts */
    BODY_SIZE = 96,
    NUMBER_SIZE = 24,
};

#define META_TTL_MS UINT64_C(2592000000) /* epoch and offset of the channel: 30 days */
#define KNOWN_MS    UINT64_C(60000)      /* an idempotency key: longer than it is tried */

static bool is_up(struct svc_ctx *ctx, struct demo_feed *feed, const char *name, bool with_scripts)
{
    if (!feed->is_open)
        svc_redis_init_job(&feed->redis, name, ctx, with_scripts);
    feed->is_open = true;
    if (svc_redis_is_up(&feed->redis))
        return true;
    feed->pulse = (struct pulse){0}; /* what could not be sent is not caught up with */
    return false;
}

void demo_feed_close(struct demo_feed *feed)
{
    if (feed->is_open)
        svc_redis_deinit(&feed->redis);
}

/* The wall clock to the microsecond: the page subtracts it from its own. */
static struct wh_slice write_body(char out[BODY_SIZE], uint64_t n)
{
    int64_t us = wh_clock_wall_ns() / 1000;
    int len = snprintf(out, BODY_SIZE, "{\"n\":%" PRIu64 ",\"sent_at\":%" PRId64 ".%03d}", n,
                       us / 1000, (int)(us % 1000));
    return wh_slice(out, (size_t)len);
}

static struct wh_slice number(char out[NUMBER_SIZE], uint64_t value)
{
    return wh_slice(out, (size_t)snprintf(out, NUMBER_SIZE, "%" PRIu64, value));
}

/* ---- the ledger ---- */

static void queue_entry(struct svc_ctx *ctx, struct demo_feed *feed)
{
    const struct demo_state *state = svc_state(ctx);
    const struct demo_settings *settings = state->settings;
    char body[BODY_SIZE], size[NUMBER_SIZE], ttl[NUMBER_SIZE], meta[NUMBER_SIZE],
        known[NUMBER_SIZE];
    const struct wh_slice none = WH_SLICE_LITERAL("");
    const struct wh_slice keys[] = {
        WH_SLICE_LITERAL("wh:stream:" DEMO_LEDGER_CHANNEL),
        WH_SLICE_LITERAL("wh:meta:" DEMO_LEDGER_CHANNEL), WH_SLICE_LITERAL("wh:run"),
        svc_text(ctx, "wh:idem:%zu:" DEMO_LEDGER_CHANNEL ":%s-%" PRIu64,
                 sizeof(DEMO_LEDGER_CHANNEL) - 1, state->run, feed->next)};
    const struct wh_slice args[] = {WH_SLICE_LITERAL("wh:ch:" DEMO_LEDGER_CHANNEL),
                                    write_body(body, feed->next),
                                    number(size, settings->ledger.history_size),
                                    number(ttl, settings->ledger.history_ttl_ms),
                                    number(meta, META_TTL_MS),
                                    none,
                                    none,
                                    number(known, KNOWN_MS)};
    wh_redis_blocking_script(feed->redis.link, WH_REDIS_SCRIPT_PUBLISH,
                             &(struct wh_redis_script_args){keys, 4, args, 8});
}

/* False: not this time; the connection is gone. */
static bool publish_entry(struct svc_ctx *ctx, struct demo_feed *feed)
{
    for (int tries = 0; tries < LEDGER_TRIES; tries++) {
        queue_entry(ctx, feed);
        const struct wh_redis_reply *reply = svc_redis_reply(&feed->redis, SVC_REDIS_TIMEOUT_MS);
        if (!reply)
            return false;
        if (reply->type == WH_REDIS_ARRAY) {
            feed->next++;
            atomic_fetch_add(&feed->published, 1);
            return true;
        }
        if (!wh_redis_reply_is_error(reply, "NOSCRIPT") && !wh_redis_reply_is_error(reply, "NORUN"))
            break;
        if (!svc_redis_load(&feed->redis))
            return false;
    }
    svc_redis_drop(&feed->redis, "the publish script does not answer as it should");
    return false;
}

uint32_t demo_run_ledger(struct svc_ctx *ctx)
{
    struct demo_state *state = svc_state(ctx);
    struct demo_feed *feed = &state->ledger_feed;
    if (!is_up(ctx, feed, "ledger", true))
        return SVC_OK; /* said by svc_redis, with a back-off */
    uint32_t due = pulse_due(&feed->pulse, (uint32_t)state->settings->ledger.rate,
                             wh_clock_monotonic_us(), LEDGER_BURST_MAX);
    while (due > 0 && !svc_is_stopping(ctx) && publish_entry(ctx, feed))
        due--;
    return SVC_OK;
}

/* ---- the load ---- */

static void queue_messages(struct demo_feed *feed, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char body[BODY_SIZE];
        const struct wh_slice words[] = {WH_SLICE_LITERAL("PUBLISH"),
                                         WH_SLICE_LITERAL("wh:ch:" DEMO_LOAD_CHANNEL),
                                         write_body(body, feed->next++)};
        wh_redis_blocking_append(feed->redis.link, words, 3);
    }
}

/* What was queued when a connection breaks may or may not have come through: the numbers go on, so
 * that whoever counts sees it. */
uint32_t demo_run_load(struct svc_ctx *ctx)
{
    struct demo_state *state = svc_state(ctx);
    struct demo_feed *feed = &state->load_feed;
    uint32_t rate = load_rate(&state->load, wh_clock_monotonic_ms(), NULL);
    if (rate == 0) {
        feed->pulse = (struct pulse){0};
        return SVC_OK;
    }
    if (!is_up(ctx, feed, "load", false))
        return SVC_OK;
    uint32_t due = pulse_due(&feed->pulse, rate, wh_clock_monotonic_us(), LOAD_BURST_MAX);
    queue_messages(feed, due);
    for (uint32_t i = 0; i < due; i++) {
        const struct wh_redis_reply *reply = svc_redis_reply(&feed->redis, SVC_REDIS_TIMEOUT_MS);
        if (!reply)
            break;
        if (reply->type != WH_REDIS_INTEGER) {
            svc_redis_drop(&feed->redis, "PUBLISH: no number");
            break;
        }
        atomic_fetch_add(&feed->published, 1);
    }
    return SVC_OK;
}
