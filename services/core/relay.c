/*
 * The relay: rows of outbox that are not sent, to Redis, marked.
 *
 *     BEGIN, lock ── rows ── MULTI … EXEC ── UPDATE sent_at ── COMMIT
 *
 * The lock (of the transaction, so that it ends with the connection, whatever
 * happens) keeps other instances' relays away.  Rows are found by not being
 * sent, never by an id above a last one: ids are given out before COMMIT and
 * become visible in another order.
 *
 * A batch is one MULTI … EXEC.  Redis may lose its scripts at any moment
 * (SCRIPT FLUSH) and get them back from somebody else; in a plain pipeline the
 * first events could then fail and later ones pass.  Within EXEC all commands
 * of a script fail or none does, so what is sent again keeps its order.
 */
#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/io/redis_script_blocking.h"
#include "common/protocol/json.h"
#include "services/core/database.h"
#include "services/core/db_conn.h"
#include "services/core/event.h"
#include "services/core/fault.h"
#include "services/core/outbox.h"
#include "services/core/redis_thread.h"
#include "services/core/thread.h"
#include "services/core/tracing.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    BATCH_BYTES_MAX = 4 * 1024 * 1024, /* no row is added past it */
    BATCH_MS = 10000,                  /* of one transaction */
    NUMBER_MAX = 24,
    LOAD_TRIES = 2,
};

#define HISTORY_META_MS UINT64_C(2592000000) /* epoch and offset of a channel: 30 days */
#define KNOWN_MS        ((uint64_t)SVC_EVENT_KNOWN_HOURS * 3600 * 1000)

struct relay {
    struct svc_thread thread;
    struct svc_redis redis;
    atomic_uint_least64_t sent;
    atomic_uint_least64_t failures;
    atomic_int_least64_t unsent; /* at the last look, at most a batch; -1 = not known */
};

enum outcome { IDLE, MORE, FAILED };

/* The rows of a batch, each in the trace of the call or event that left it. */
struct departures {
    size_t count; /* 0 unless somebody wants to know */
    struct wh_span *spans[SVC_OUTBOX_BATCH];
    struct wh_trace traces[SVC_OUTBOX_BATCH];
};

enum { COLUMN_ID, COLUMN_EVENT, COLUMN_TYPE, COLUMN_PAYLOAD, COLUMN_CHANNELS, COLUMN_TRACE };

/* ---- commands ---- */

static struct wh_slice number(char out[NUMBER_MAX], uint64_t value)
{
    return wh_slice(out, (size_t)snprintf(out, NUMBER_MAX, "%" PRIu64, value));
}

/* A name in the arena; absent without memory. */
static struct wh_slice name_of(struct svc_ctx *ctx, const char *prefix, struct wh_slice rest)
{
    return svc_text(ctx, "%s%.*s", prefix, WH_SLICE_ARGS(rest));
}

static void queue_emit(struct relay *relay, const struct svc_rows *rows, size_t row)
{
    struct svc_ctx *ctx = &relay->thread.ctx;
    char size[NUMBER_MAX];
    char known_ms[NUMBER_MAX];
    struct wh_buf stream = {0};
    svc_event_stream(svc_row_text(rows, row, COLUMN_TYPE), &stream);
    const struct wh_slice keys[] = {
        wh_buf_slice(&stream), name_of(ctx, "wh:event:", svc_row_text(rows, row, COLUMN_EVENT))};
    const struct wh_slice args[] = {svc_row_text(rows, row, COLUMN_PAYLOAD),
                                    number(size, SVC_EVENT_STREAM_MAX), number(known_ms, KNOWN_MS)};
    wh_redis_blocking_script(relay->redis.link, WH_REDIS_SCRIPT_EMIT,
                             &(struct wh_redis_script_args){keys, 2, args, 3});
    wh_buf_deinit(&stream);
}

static void queue_publish(struct relay *relay,
                          const struct svc_event_channel *channel,
                          struct wh_slice event_id)
{
    struct svc_ctx *ctx = &relay->thread.ctx;
    char numbers[4][NUMBER_MAX];
    struct wh_slice none = WH_SLICE_LITERAL("");
    const struct wh_slice keys[] = {
        name_of(ctx, "wh:stream:", channel->name), name_of(ctx, "wh:meta:", channel->name),
        WH_SLICE_LITERAL("wh:run"),
        svc_text(ctx, "wh:idem:%zu:%.*s:%.*s", channel->name.len, WH_SLICE_ARGS(channel->name),
                 WH_SLICE_ARGS(event_id))};
    const struct wh_slice args[] = {name_of(ctx, "wh:ch:", channel->name),
                                    channel->payload,
                                    number(numbers[0], channel->history_size),
                                    number(numbers[1], channel->history_ttl_ms),
                                    number(numbers[2], HISTORY_META_MS),
                                    none,
                                    none,
                                    number(numbers[3], KNOWN_MS)};
    wh_redis_blocking_script(relay->redis.link, WH_REDIS_SCRIPT_PUBLISH,
                             &(struct wh_redis_script_args){keys, 4, args, 8});
}

static enum wh_err read_channel(struct wh_json_reader *reader,
                                struct wh_arena *arena,
                                struct svc_event_channel *channel)
{
    struct wh_slice key;
    enum wh_err err = wh_json_enter(reader, WH_JSON_OBJECT);
    while (!err && !(err = wh_json_next_member(reader, arena, &key))) {
        if (wh_slice_equal_str(key, "name"))
            err = wh_json_read_string(reader, arena, &channel->name);
        else if (wh_slice_equal_str(key, "history_size"))
            err = wh_json_read_u64(reader, &channel->history_size);
        else if (wh_slice_equal_str(key, "history_ttl_ms"))
            err = wh_json_read_u64(reader, &channel->history_ttl_ms);
        else if (wh_slice_equal_str(key, "payload"))
            err = wh_json_skip(reader, &channel->payload);
        else
            err = wh_json_skip(reader, NULL);
    }
    return err == WH_EEND ? WH_OK : err;
}

/* The commands of one row; their number is added to `count`.  WH_EFORMAT: no row of svc_emit. */
static enum wh_err queue_row(struct relay *relay,
                             const struct svc_rows *rows,
                             size_t row,
                             size_t *count)
{
    struct wh_json_reader reader;
    wh_json_reader_init(&reader, svc_row_text(rows, row, COLUMN_CHANNELS));
    queue_emit(relay, rows, row);
    ++*count;
    enum wh_err err = wh_json_enter(&reader, WH_JSON_ARRAY);
    while (!err && !(err = wh_json_next_item(&reader))) {
        struct svc_event_channel channel = {.payload = svc_row_text(rows, row, COLUMN_PAYLOAD)};
        err = read_channel(&reader, &relay->thread.ctx.arena, &channel);
        if (!err) {
            queue_publish(relay, &channel, svc_row_text(rows, row, COLUMN_EVENT));
            ++*count;
        }
    }
    return err == WH_EEND ? WH_OK : err;
}

/* ---- one batch ---- */

static size_t row_bytes(const struct svc_rows *rows, size_t row)
{
    return svc_row_text(rows, row, COLUMN_PAYLOAD).len * (1 + SVC_EVENT_CHANNELS_MAX) +
           svc_row_text(rows, row, COLUMN_CHANNELS).len;
}

static void queue_word(struct relay *relay, const char *word)
{
    struct wh_slice slice = wh_slice_from_str(word);
    wh_redis_blocking_append(relay->redis.link, &slice, 1);
}

/* As many rows as fit into a batch, from the first one on; 0 = the connection was dropped. */
static size_t queue_rows(struct relay *relay, const struct svc_rows *rows, size_t *out_commands)
{
    size_t bytes = 0;
    size_t commands = 0;
    size_t row = 0;
    queue_word(relay, "MULTI");
    for (; row < rows->count && (row == 0 || bytes + row_bytes(rows, row) < BATCH_BYTES_MAX);
         row++) {
        bytes += row_bytes(rows, row);
        if (queue_row(relay, rows, row, &commands)) {
            wh_log(WH_LOG_ERROR, "outbox", "bad_row", "id=%.*s problem=channels",
                   WH_SLICE_ARGS(svc_row_text(rows, row, COLUMN_ID)));
            svc_redis_drop(&relay->redis, "a row of outbox is not ours");
            return 0;
        }
    }
    queue_word(relay, "EXEC");
    *out_commands = commands;
    return row;
}

static bool is_missing_script(const struct wh_redis_reply *reply)
{
    return wh_redis_reply_is_error(reply, "NOSCRIPT") || wh_redis_reply_is_error(reply, "NORUN");
}

/* EXEC's answer: all done, scripts to be loaded, or (false and dropped) something else. */
static bool judge(struct relay *relay, const struct wh_redis_reply *reply, bool *out_must_load)
{
    WH_ASSERT(reply != NULL);
    if (reply->type != WH_REDIS_ARRAY) {
        svc_redis_drop(&relay->redis, reply->text.ptr ? reply->text.ptr : "EXEC: no array");
        return false;
    }
    for (size_t i = 0; i < reply->count; i++) {
        const struct wh_redis_reply *item = &reply->items[i];
        if (is_missing_script(item)) {
            *out_must_load = true;
        } else if (item->type == WH_REDIS_ERROR) {
            svc_redis_drop(&relay->redis, item->text.ptr);
            return false;
        }
    }
    return true;
}

/* Publish rows from the first on; how many, 0 = failed. */
static size_t publish(struct relay *relay, const struct svc_rows *rows)
{
    for (unsigned tries = 0; tries < LOAD_TRIES; tries++) {
        size_t commands = 0;
        bool must_load = false;
        const struct wh_redis_reply *reply = NULL;
        size_t count = queue_rows(relay, rows, &commands);
        if (count == 0)
            return 0;
        /* OK, QUEUED for each, and the answer of EXEC. */
        for (size_t i = 0; i < commands + 2; i++) {
            if (!(reply = svc_redis_reply(&relay->redis, SVC_REDIS_TIMEOUT_MS)))
                return 0;
        }
        if (!judge(relay, reply, &must_load))
            return 0;
        if (!must_load)
            return count;
        if (!svc_redis_load(&relay->redis))
            return 0;
    }
    svc_redis_drop(&relay->redis, "scripts do not stay loaded");
    return 0;
}

static bool mark(struct relay *relay, const struct svc_rows *rows, size_t count)
{
    struct wh_buf ids = {0};
    wh_buf_append_char(&ids, '{');
    for (size_t i = 0; i < count; i++) {
        wh_buf_append_str(&ids, i > 0 ? "," : "");
        wh_buf_append_slice(&ids, svc_row_text(rows, i, COLUMN_ID));
    }
    wh_buf_append_char(&ids, '}');
    const struct svc_param param = SVC_TEXT(wh_buf_slice(&ids));
    enum svc_db_err err =
        svc_db_query(relay->thread.ctx.db,
                     "update outbox set sent_at = clock_timestamp() where id = any ($1::bigint[])",
                     &param, 1, NULL);
    wh_buf_deinit(&ids);
    return err == SVC_DB_OK;
}

/* ---- traces ---- */

static void begin_departures(struct relay *relay,
                             const struct svc_rows *rows,
                             struct departures *departures)
{
    struct svc_ctx *ctx = &relay->thread.ctx;
    if (!svc_tracer(ctx->svc) && !wh_log_enabled(WH_LOG_DEBUG))
        return;
    for (size_t i = 0; i < rows->count && i < SVC_OUTBOX_BATCH; i++) {
        struct wh_slice traceparent = svc_row_text(rows, i, COLUMN_TRACE);
        if (wh_trace_parse(traceparent, &departures->traces[i]))
            departures->traces[i] = (struct wh_trace){.flags = 0};
        struct wh_span *span =
            svc_trace_stored(ctx->svc, WH_SPAN_PRODUCER, "outbox.relay", traceparent);
        wh_span_text(span, "messaging.message.id", svc_row_text(rows, i, COLUMN_EVENT));
        wh_span_text(span, "wirehub.event.type", svc_row_text(rows, i, COLUMN_TYPE));
        departures->spans[i] = span;
        departures->count = i + 1;
    }
}

/* The first `sent` are out; the others are tried again and leave no span. */
static void end_departures(struct departures *departures, const struct svc_rows *rows, size_t sent)
{
    for (size_t i = 0; i < departures->count; i++) {
        if (i >= sent) {
            wh_span_free(departures->spans[i]);
            continue;
        }
        wh_span_end(departures->spans[i]);
        wh_log_set_trace(&departures->traces[i]);
        wh_log(WH_LOG_DEBUG, "outbox", "sent", "type=%.*s id=%.*s",
               WH_SLICE_ARGS(svc_row_text(rows, i, COLUMN_TYPE)),
               WH_SLICE_ARGS(svc_row_text(rows, i, COLUMN_EVENT)));
    }
    wh_log_set_trace(NULL);
}

/* ---- */

/* In the transaction: `*out_count` rows published and marked.  False: roll back. */
static bool relay_rows(struct relay *relay,
                       struct departures *departures,
                       const struct svc_rows **out_rows,
                       size_t *out_count)
{
    struct svc_ctx *ctx = &relay->thread.ctx;
    const struct svc_rows *rows = NULL;
    *out_count = 0;
    if (!svc_tx_try_lock(ctx, "wirehub:relay"))
        return ctx->db->err == SVC_DB_OK;
    const struct svc_param limit = SVC_INT(SVC_OUTBOX_BATCH);
    if (svc_db_query(ctx->db,
                     "select id, event_id, type, payload, channels, traceparent from outbox "
                     "where sent_at is null order by id limit $1",
                     &limit, 1, &rows))
        return false;
    atomic_store(&relay->unsent, (int64_t)rows->count);
    *out_rows = rows;
    if (rows->count == 0)
        return true;
    if (!svc_redis_is_up(&relay->redis))
        return false;
    begin_departures(relay, rows, departures);
    svc_fault("before_publish");
    size_t count = publish(relay, rows);
    if (count == 0)
        return false;
    svc_fault("after_publish");
    if (!mark(relay, rows, count))
        return false;
    svc_fault("before_mark");
    *out_count = count;
    return true;
}

static enum outcome run_batch(struct relay *relay)
{
    struct svc_ctx *ctx = &relay->thread.ctx;
    size_t count = 0;
    const struct svc_rows *rows = NULL;
    struct departures departures;
    departures.count = 0;
    svc_ctx_reset(ctx);
    svc_db_release(ctx->db);
    if (svc_db_begin(ctx->db, false, BATCH_MS))
        return FAILED;
    bool is_fine = relay_rows(relay, &departures, &rows, &count);
    if (!is_fine)
        svc_db_rollback(ctx->db);
    else
        is_fine = svc_db_commit(ctx->db, NULL) == SVC_DB_OK;
    end_departures(&departures, rows, is_fine ? count : 0);
    if (!is_fine)
        return FAILED;
    if (count == 0)
        return IDLE;
    svc_fault("after_mark");
    atomic_fetch_add(&relay->sent, count);
    return MORE;
}

static void run(struct svc_thread *thread)
{
    struct relay *relay = WH_CONTAINER_OF(thread, struct relay, thread);
    struct svc *svc = thread->ctx.svc;
    struct wh_backoff pause = {.min_ms = 50, .max_ms = 2000};
    for (;;) {
        bool is_last = svc_thread_is_stopping(thread);
        enum outcome outcome = svc_database_is_ready(svc) ? run_batch(relay) : IDLE;
        if (outcome == MORE) {
            wh_backoff_reset(&pause);
            continue; /* also when stopping: what is committed goes out */
        }
        if (is_last)
            return;
        if (outcome == FAILED) {
            atomic_fetch_add(&relay->failures, 1);
            svc_thread_sleep(thread, wh_backoff_next_ms(&pause));
        } else {
            svc_thread_sleep(thread, svc_database_is_ready(svc) ? SVC_OUTBOX_POLL_MS : 50);
        }
    }
}

/* ---- the part ---- */

static bool is_wanted(const struct svc_def *def)
{
    return def->migrations != NULL;
}

static struct relay *relay_of(const struct svc *svc)
{
    return *svc_part_data((struct svc *)(uintptr_t)svc, &svc_part_outbox);
}

static enum wh_err start(struct svc *svc)
{
    struct relay *relay = wh_calloc(1, sizeof *relay);
    if (!relay)
        return WH_ENOMEM;
    atomic_store(&relay->unsent, -1);
    svc_redis_init(&relay->redis, "outbox", svc->settings, true);
    *svc_part_data(svc, &svc_part_outbox) = relay;
    return svc_thread_start(&relay->thread, svc, run);
}

static void stop(struct svc *svc)
{
    struct relay *relay = relay_of(svc);
    if (!relay)
        return;
    svc_thread_stop(&relay->thread);
    svc_redis_deinit(&relay->redis);
    wh_free(relay);
    *svc_part_data(svc, &svc_part_outbox) = NULL;
}

void svc_outbox_wake(struct svc *svc)
{
    struct relay *relay = svc ? relay_of(svc) : NULL;
    if (relay)
        svc_thread_ring(&relay->thread);
}

static void write_metrics(const struct svc *svc, struct wh_buf *out)
{
    struct relay *relay = relay_of(svc);
    if (!relay)
        return;
    wh_buf_printf(out,
                  "# HELP wirehub_service_outbox_sent_total Events that the relay brought out.\n"
                  "# TYPE wirehub_service_outbox_sent_total counter\n"
                  "wirehub_service_outbox_sent_total %" PRIu64 "\n"
                  "# HELP wirehub_service_outbox_failures_total Batches that failed.\n"
                  "# TYPE wirehub_service_outbox_failures_total counter\n"
                  "wirehub_service_outbox_failures_total %" PRIu64 "\n",
                  (uint64_t)atomic_load(&relay->sent), (uint64_t)atomic_load(&relay->failures));
    wh_buf_printf(out,
                  "# HELP wirehub_service_outbox_unsent Events not sent at the last look, at most "
                  "one batch; -1 before the first.\n"
                  "# TYPE wirehub_service_outbox_unsent gauge\n"
                  "wirehub_service_outbox_unsent %" PRId64 "\n",
                  (int64_t)atomic_load(&relay->unsent));
}

const struct svc_part svc_part_outbox = {
    .name = "outbox",
    .is_wanted = is_wanted,
    .start = start,
    .stop = stop,
    .write_metrics = write_metrics,
};
