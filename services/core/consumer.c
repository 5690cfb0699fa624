#include "services/core/consumer.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "services/core/consumer_internal.h"
#include "services/core/database.h"
#include "services/core/db_conn.h"
#include "services/core/event.h"
#include "services/core/fault.h"
#include "services/core/lease.h"
#include "services/core/tracing.h"
#include "services/core/tx.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    BLOCK_MS = 500,         /* waiting for new events; also how long stopping may take */
    BLOCK_PENDING_MS = 100, /* likewise while something is to be tried again */
    STAND_BY_MS = 500,
    LAG_EVERY_MS = 5000,
    STREAM_BYTES_MAX = 160,
    REASON_MAX = 256,
};

#define LEASE_NAME "consumer"

/* A subject that waits for one of its events, in one round. */
struct blocked {
    struct blocked *next;
    const struct consumer_stream *stream;
    struct wh_slice subject;
};

/* What became of an entry. */
enum fate {
    FATE_DONE, /* acknowledged, or a dead letter */
    FATE_WAITS,
    FATE_ROUND_OVER /* Redis, PostgreSQL or the lease is gone */
};

struct event_work {
    struct consumer *consumer;
    const struct svc_event *event;
    svc_event_handler *handler;
    bool is_duplicate;
    bool is_lease_lost;
};

/* ---- the lease ---- */

static bool take_lease(struct consumer *consumer)
{
    struct svc_ctx *ctx = &consumer->thread.ctx;
    uint64_t now_ms = wh_clock_monotonic_ms();
    if (consumer->has_lease && now_ms < consumer->renew_ms)
        return true;
    svc_ctx_reset(ctx);
    ctx->deadline_ms = now_ms + SVC_CONSUMER_EVENT_MS;
    bool has_lease = svc_lease_take(ctx, LEASE_NAME, SVC_CONSUMER_LEASE_MS);
    if (has_lease != consumer->has_lease)
        wh_log(WH_LOG_INFO, "consumer", has_lease ? "lease_taken" : "lease_lost", "service=%s",
               ctx->svc->def->name);
    consumer->has_lease = has_lease;
    consumer->renew_ms = now_ms + SVC_CONSUMER_LEASE_MS / 3;
    return has_lease;
}

static void give_lease_back(struct consumer *consumer)
{
    struct svc_ctx *ctx = &consumer->thread.ctx;
    if (!consumer->has_lease)
        return;
    svc_ctx_reset(ctx);
    ctx->deadline_ms = wh_clock_monotonic_ms() + 1000;
    svc_lease_give(ctx, LEASE_NAME);
    consumer->has_lease = false;
}

/* ---- one event ---- */

/* Inbox and lease in one statement: whoever takes the lease over waits for this transaction. */
static uint32_t claim(struct svc_ctx *ctx, void *user, bool *out_is_done)
{
    struct event_work *work = user;
    const struct svc_rows *rows = NULL;
    if (SVC_SQL(ctx, &rows,
                "with mine as (select 1 from lease where name = $1 and holder = $2 for share), "
                "mark as (insert into inbox (consumer, event_id) select $4, $3 from mine "
                "  on conflict do nothing returning 1) "
                "select (select count(*) from mine), (select count(*) from mark)",
                SVC_STR(LEASE_NAME), SVC_UUID(wh_slice_from_str(ctx->svc->instance)),
                SVC_TEXT(work->event->id), SVC_STR(ctx->svc->def->name)))
        return svc_db_code(ctx);
    work->is_lease_lost = svc_row_int(rows, 0, 0) == 0;
    work->is_duplicate = !work->is_lease_lost && svc_row_int(rows, 0, 1) == 0;
    *out_is_done = work->is_lease_lost || work->is_duplicate;
    return SVC_OK;
}

static uint32_t call_handler(struct svc_ctx *ctx, void *user)
{
    struct event_work *work = user;
    return work->handler(ctx, work->event);
}

static svc_event_handler *find_handler(const struct svc_def *def, struct wh_slice type)
{
    for (const struct svc_consumer *row = def->consumers; row->type; row++) {
        if (wh_slice_equal_str(type, row->type))
            return row->handler;
    }
    return NULL;
}

static void block(struct consumer *consumer,
                  const struct consumer_entry *entry,
                  struct wh_slice subject)
{
    if (subject.len == 0)
        return;
    struct blocked *blocked = wh_arena_alloc(&consumer->pass, sizeof *blocked);
    struct wh_slice copy = wh_arena_copy(&consumer->pass, subject);
    WH_ASSERT(blocked != NULL && copy.ptr != NULL);
    *blocked = (struct blocked){consumer->blocked, entry->stream, copy};
    consumer->blocked = blocked;
}

static bool is_blocked(const struct consumer *consumer,
                       const struct consumer_entry *entry,
                       struct wh_slice subject)
{
    for (const struct blocked *one = consumer->blocked; one; one = one->next) {
        if (one->stream == entry->stream && wh_slice_equal(one->subject, subject))
            return true;
    }
    return false;
}

static enum fate acknowledge(struct consumer *consumer, const struct consumer_entry *entry)
{
    return consumer_ack(consumer, entry) ? FATE_DONE : FATE_ROUND_OVER;
}

static enum fate bury(struct consumer *consumer,
                      const struct consumer_entry *entry,
                      const char *reason)
{
    return consumer_bury(consumer, entry, reason) ? FATE_DONE : FATE_ROUND_OVER;
}

static enum fate on_failure(struct consumer *consumer,
                            const struct consumer_entry *entry,
                            const struct svc_event *event,
                            uint32_t code)
{
    const struct svc_ctx *ctx = &consumer->thread.ctx;
    char reason[REASON_MAX];
    atomic_fetch_add(&entry->stream->failed, 1);
    snprintf(reason, sizeof reason, "code %u: %.200s", (unsigned)code, ctx->error_text);
    wh_log(WH_LOG_WARN, "consumer", "event_failed", "type=%.*s id=%.*s deliveries=%u reason=%s",
           WH_SLICE_ARGS(event->type), WH_SLICE_ARGS(event->id), (unsigned)entry->deliveries,
           reason);
    if (entry->deliveries >= SVC_CONSUMER_DELIVERIES)
        return bury(consumer, entry, reason);
    block(consumer, entry, event->subject);
    return FATE_WAITS;
}

static void log_handled(const struct event_work *work)
{
    wh_log(WH_LOG_DEBUG, "consumer", "event_handled", "type=%.*s id=%.*s duplicate=%s",
           WH_SLICE_ARGS(work->event->type), WH_SLICE_ARGS(work->event->id),
           work->is_duplicate ? "true" : "false");
}

/* Within the trace of the event; `*out_code` is how its handler ended. */
static enum fate run_handler(struct consumer *consumer,
                             const struct consumer_entry *entry,
                             const struct svc_event *event,
                             svc_event_handler *handler,
                             uint32_t *out_code)
{
    struct svc_ctx *ctx = &consumer->thread.ctx;
    struct event_work work = {.consumer = consumer, .event = event, .handler = handler};
    struct svc_tx_work tx = {
        .mode = SVC_TX_WRITE, .claim = claim, .body = call_handler, .user = &work};
    uint32_t code = *out_code = svc_tx_run(ctx, &tx);
    enum svc_db_err err = ctx->db->err;
    if (work.is_lease_lost) {
        consumer->has_lease = false;
        return FATE_ROUND_OVER;
    }
    if (code && (err == SVC_DB_UNAVAILABLE || err == SVC_DB_LOST_COMMIT)) {
        /* No fault of the event's: this delivery does not count. */
        (void)consumer_claim(consumer, entry, entry->deliveries - 1);
        return FATE_ROUND_OVER;
    }
    if (code)
        return on_failure(consumer, entry, event, code);
    svc_fault("after_event");
    log_handled(&work);
    atomic_fetch_add(work.is_duplicate ? &entry->stream->duplicates : &entry->stream->done, 1);
    return acknowledge(consumer, entry);
}

/* Run the handler on an event that is due. */
static enum fate consume(struct consumer *consumer,
                         const struct consumer_entry *entry,
                         const struct svc_event *event)
{
    struct svc_ctx *ctx = &consumer->thread.ctx;
    svc_event_handler *handler = find_handler(ctx->svc->def, event->type);
    uint32_t code = SVC_OK;
    if (!handler) {
        atomic_fetch_add(&entry->stream->ignored, 1);
        return acknowledge(consumer, entry);
    }
    svc_fault_about(event->type);
    ctx->deadline_ms = wh_clock_monotonic_ms() + SVC_CONSUMER_EVENT_MS;
    svc_trace_begin(ctx, WH_SPAN_CONSUMER, svc_text(ctx, "event %.*s", WH_SLICE_ARGS(event->type)),
                    event->traceparent);
    wh_span_text(ctx->span, "messaging.message.id", event->id);
    enum fate fate = run_handler(consumer, entry, event, handler, &code);
    svc_trace_end(ctx, code);
    return fate;
}

static uint64_t retry_ms(uint64_t deliveries)
{
    return (uint64_t)SVC_CONSUMER_RETRY_MS << (deliveries < 8 ? deliveries - (deliveries > 0) : 7);
}

/* An entry with its text.  `is_new`: this is its first delivery. */
static enum fate handle(struct consumer *consumer, struct consumer_entry *entry, bool is_new)
{
    struct svc_ctx *ctx = &consumer->thread.ctx;
    struct svc_event event;
    const char *problem = "there is no field \"event\"";
    svc_ctx_reset(ctx);
    if (!entry->text.ptr || svc_event_read(entry->text, &ctx->arena, &event, &problem))
        return bury(consumer, entry, problem);
    if (is_blocked(consumer, entry, event.subject))
        return FATE_WAITS;
    if (!is_new) {
        if (!entry->is_other && entry->idle_ms < retry_ms(entry->deliveries)) {
            block(consumer, entry, event.subject);
            return FATE_WAITS;
        }
        if (entry->deliveries >= SVC_CONSUMER_DELIVERIES)
            return bury(consumer, entry, "delivered too often without an answer");
        entry->deliveries++;
        if (!consumer_claim(consumer, entry, entry->deliveries))
            return FATE_ROUND_OVER;
    }
    return consume(consumer, entry, &event);
}

/* ---- one round ---- */

static bool handle_pending(struct consumer *consumer, size_t *out_waiting)
{
    for (size_t i = 0; i < consumer->stream_count; i++) {
        struct consumer_entries entries;
        if (!consumer_read_pending(consumer, &consumer->streams[i], &entries))
            return false;
        for (size_t k = 0; k < entries.count; k++) {
            struct consumer_entry *entry = &entries.items[k];
            if (!take_lease(consumer) || !consumer_read_entry(consumer, entry))
                return false;
            enum fate fate =
                entry->is_gone ? acknowledge(consumer, entry) : handle(consumer, entry, false);
            if (fate == FATE_ROUND_OVER)
                return false;
            *out_waiting += fate == FATE_WAITS;
        }
    }
    return true;
}

static bool run_round(struct consumer *consumer)
{
    size_t waiting = 0;
    struct consumer_entries entries;
    wh_arena_reset(&consumer->pass);
    consumer->blocked = NULL;
    if (!take_lease(consumer))
        return false;
    if (!consumer->has_groups && !consumer_make_groups(consumer))
        return false;
    if (!handle_pending(consumer, &waiting))
        return false;
    if (!consumer_read_new(consumer, waiting > 0 ? BLOCK_PENDING_MS : BLOCK_MS, &entries))
        return false;
    for (size_t i = 0; i < entries.count; i++) {
        if (!take_lease(consumer) || handle(consumer, &entries.items[i], true) == FATE_ROUND_OVER)
            return false;
    }
    return true;
}

static void look_at_lag(struct consumer *consumer)
{
    uint64_t now_ms = wh_clock_monotonic_ms();
    if (!consumer->redis.link || now_ms < consumer->lag_ms)
        return;
    consumer->lag_ms = now_ms + LAG_EVERY_MS;
    (void)consumer_read_lag(consumer);
}

static void run(struct svc_thread *thread)
{
    struct consumer *consumer = WH_CONTAINER_OF(thread, struct consumer, thread);
    struct wh_backoff pause = {.min_ms = 50, .max_ms = STAND_BY_MS};
    while (!svc_thread_is_stopping(thread)) {
        bool is_able = svc_database_is_ready(thread->ctx.svc) && svc_redis_is_up(&consumer->redis);
        if (is_able && run_round(consumer))
            wh_backoff_reset(&pause);
        else
            svc_thread_sleep(thread, wh_backoff_next_ms(&pause));
        look_at_lag(consumer);
    }
    if (consumer->has_lease)
        consumer_leave(consumer);
    give_lease_back(consumer);
}

/* ---- the part ---- */

static bool is_wanted(const struct svc_def *def)
{
    return def->consumers != NULL && def->consumers[0].type != NULL;
}

static struct consumer *consumer_of(const struct svc *svc)
{
    return *svc_part_data((struct svc *)(uintptr_t)svc, &svc_part_consumer);
}

/* The streams of the types, each once.  WH_ELIMIT: too many. */
static enum wh_err find_streams(struct consumer *consumer, const struct svc_def *def)
{
    for (const struct svc_consumer *row = def->consumers; row->type; row++) {
        struct wh_buf name;
        size_t i = 0;
        wh_buf_init(&name, STREAM_BYTES_MAX);
        svc_event_stream(wh_slice_from_str(row->type), &name);
        while (i < consumer->stream_count &&
               !wh_slice_equal(consumer->streams[i].name, wh_buf_slice(&name)))
            i++;
        enum wh_err err = wh_buf_error(&name);
        if (!err && !svc_event_type_is_valid(wh_slice_from_str(row->type)))
            err = WH_EINVAL;
        if (!err && i == SVC_CONSUMER_STREAMS_MAX)
            err = WH_ELIMIT;
        if (!err && i == consumer->stream_count) {
            struct consumer_stream *stream = &consumer->streams[consumer->stream_count++];
            stream->name = wh_arena_copy(&consumer->names, wh_buf_slice(&name));
            atomic_store(&stream->lag, -1);
            atomic_store(&stream->pending, -1);
        }
        wh_buf_deinit(&name);
        if (err) {
            wh_log(WH_LOG_ERROR, "consumer", "bad_type", "type=%s reason=%s", row->type,
                   wh_err_text(err));
            return WH_EINVAL;
        }
    }
    return WH_OK;
}

static enum wh_err start(struct svc *svc)
{
    struct consumer *consumer = wh_calloc(1, sizeof *consumer);
    if (!consumer)
        return WH_ENOMEM;
    *svc_part_data(svc, &svc_part_consumer) = consumer;
    svc_redis_init(&consumer->redis, "consumer", svc->settings, false);
    enum wh_err err = find_streams(consumer, svc->def);
    return err ? err : svc_thread_start(&consumer->thread, svc, run);
}

static void stop(struct svc *svc)
{
    struct consumer *consumer = consumer_of(svc);
    if (!consumer)
        return;
    svc_thread_stop(&consumer->thread);
    svc_redis_deinit(&consumer->redis);
    wh_arena_deinit(&consumer->names);
    wh_arena_deinit(&consumer->pass);
    wh_free(consumer);
    *svc_part_data(svc, &svc_part_consumer) = NULL;
}

static void write_stream(const struct consumer_stream *stream, struct wh_buf *out)
{
    const struct {
        const char *outcome;
        uint64_t count;
    } rows[] = {{"done", atomic_load(&stream->done)},
                {"duplicate", atomic_load(&stream->duplicates)},
                {"ignored", atomic_load(&stream->ignored)},
                {"failed", atomic_load(&stream->failed)},
                {"dead", atomic_load(&stream->dead)}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        wh_buf_printf(out,
                      "wirehub_service_events_consumed_total{stream=\"%.*s\",outcome=\"%s\"} "
                      "%" PRIu64 "\n",
                      WH_SLICE_ARGS(stream->name), rows[i].outcome, rows[i].count);
}

static void write_gauge(const struct consumer *consumer,
                        const char *name,
                        const char *help,
                        bool is_lag,
                        struct wh_buf *out)
{
    wh_buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name);
    for (size_t i = 0; i < consumer->stream_count; i++) {
        const struct consumer_stream *stream = &consumer->streams[i];
        wh_buf_printf(out, "%s{stream=\"%.*s\"} %" PRId64 "\n", name, WH_SLICE_ARGS(stream->name),
                      (int64_t)atomic_load(is_lag ? &stream->lag : &stream->pending));
    }
}

static void write_metrics(const struct svc *svc, struct wh_buf *out)
{
    const struct consumer *consumer = consumer_of(svc);
    if (!consumer)
        return;
    wh_buf_append_str(out, "# HELP wirehub_service_events_consumed_total Deliveries of events.\n"
                           "# TYPE wirehub_service_events_consumed_total counter\n");
    for (size_t i = 0; i < consumer->stream_count; i++)
        write_stream(&consumer->streams[i], out);
    write_gauge(consumer, "wirehub_service_events_lag",
                "Entries not yet delivered to this service's group; -1 = not known.", true, out);
    write_gauge(consumer, "wirehub_service_events_pending",
                "Entries delivered and not acknowledged; -1 = not known.", false, out);
}

const struct svc_part svc_part_consumer = {
    .name = "consumer",
    .is_wanted = is_wanted,
    .start = start,
    .stop = stop,
    .write_metrics = write_metrics,
};
