#include "services/core/consumer_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { NUMBER_MAX = 24, WORDS_MAX = 10 + 2 * SVC_CONSUMER_STREAMS_MAX };

#define W(text) WH_SLICE_LITERAL(text)

static struct wh_slice group_of(const struct consumer *consumer)
{
    return wh_slice_from_str(consumer->thread.ctx.svc->def->name);
}

static struct wh_slice self_of(const struct consumer *consumer)
{
    return wh_slice_from_str(consumer->thread.ctx.svc->instance);
}

static struct wh_slice number(char out[NUMBER_MAX], uint64_t value)
{
    return wh_slice(out, (size_t)snprintf(out, NUMBER_MAX, "%" PRIu64, value));
}

static struct wh_slice keep(struct consumer *consumer, struct wh_slice text)
{
    struct wh_slice copy = text.ptr ? wh_arena_copy(&consumer->pass, text) : text;
    WH_ASSERT(!text.ptr || copy.ptr); /* a program stops when out of memory */
    return copy;
}

static struct consumer_entry *entry_array(struct consumer *consumer, size_t count)
{
    struct consumer_entry *entries =
        wh_arena_alloc_array(&consumer->pass, count, sizeof(struct consumer_entry));
    WH_ASSERT(entries != NULL);
    return entries;
}

/* A reply that is no error; NULL otherwise, with the connection or the groups given up. */
static const struct wh_redis_reply *judge(struct consumer *consumer,
                                          const struct wh_redis_reply *reply)
{
    if (!reply)
        return NULL;
    if (wh_redis_reply_is_error(reply, "NOGROUP")) {
        consumer->has_groups = false;
        wh_log(WH_LOG_WARN, "consumer", "groups_lost", "reason=%s", reply->text.ptr);
        return NULL;
    }
    if (reply->type == WH_REDIS_ERROR) {
        svc_redis_drop(&consumer->redis, reply->text.ptr);
        return NULL;
    }
    return reply;
}

static const struct wh_redis_reply *call(struct consumer *consumer,
                                         const struct wh_slice *words,
                                         size_t count)
{
    return judge(consumer, svc_redis_call(&consumer->redis, words, count));
}

bool consumer_make_groups(struct consumer *consumer)
{
    for (size_t i = 0; i < consumer->stream_count; i++) {
        const struct wh_slice words[] = {W("XGROUP"),        W("CREATE"), consumer->streams[i].name,
                                         group_of(consumer), W("0"),      W("MKSTREAM")};
        const struct wh_redis_reply *reply = svc_redis_call(&consumer->redis, words, 6);
        if (!reply)
            return false;
        if (!wh_redis_reply_is_error(reply, "BUSYGROUP") && !judge(consumer, reply))
            return false;
    }
    consumer->has_groups = true;
    return true;
}

/* [id, [name, value, …]] */
static bool read_fields(struct consumer *consumer,
                        const struct wh_redis_reply *reply,
                        struct consumer_entry *entry)
{
    if (reply->type != WH_REDIS_ARRAY || reply->count != 2 || !reply->items[0].text.ptr)
        return false;
    const struct wh_redis_reply *fields = &reply->items[1];
    entry->id = keep(consumer, reply->items[0].text);
    for (size_t i = 0; fields->type == WH_REDIS_ARRAY && i + 1 < fields->count; i += 2) {
        if (wh_slice_equal_str(fields->items[i].text, "event"))
            entry->text = keep(consumer, fields->items[i + 1].text);
    }
    return true;
}

bool consumer_read_pending(struct consumer *consumer,
                           struct consumer_stream *stream,
                           struct consumer_entries *out_entries)
{
    char limit[NUMBER_MAX];
    const struct wh_slice words[] = {
        W("XPENDING"), stream->name, group_of(consumer),
        W("-"),        W("+"),       number(limit, SVC_CONSUMER_PENDING_MAX)};
    const struct wh_redis_reply *reply = call(consumer, words, 6);
    if (!reply)
        return false;
    struct consumer_entry *entries = entry_array(consumer, reply->count);
    size_t count = 0;
    for (size_t i = 0; i < reply->count; i++) {
        const struct wh_redis_reply *item = &reply->items[i];
        if (item->type != WH_REDIS_ARRAY || item->count < 4)
            continue;
        entries[count++] = (struct consumer_entry){
            .stream = stream,
            .id = keep(consumer, item->items[0].text),
            .is_other = !wh_slice_equal(item->items[1].text, self_of(consumer)),
            .idle_ms = (uint64_t)item->items[2].integer,
            .deliveries = (uint64_t)item->items[3].integer,
        };
    }
    stream->is_full = count >= SVC_CONSUMER_PENDING_MAX;
    *out_entries = (struct consumer_entries){entries, count};
    return true;
}

bool consumer_read_entry(struct consumer *consumer, struct consumer_entry *entry)
{
    const struct wh_slice words[] = {W("XRANGE"), entry->stream->name, entry->id, entry->id};
    const struct wh_redis_reply *reply = call(consumer, words, 4);
    if (!reply)
        return false;
    entry->is_gone = reply->count == 0 || !read_fields(consumer, &reply->items[0], entry);
    return true;
}

static struct consumer_stream *find_stream(struct consumer *consumer, struct wh_slice name)
{
    for (size_t i = 0; i < consumer->stream_count; i++) {
        if (wh_slice_equal(consumer->streams[i].name, name))
            return &consumer->streams[i];
    }
    return NULL;
}

/* [[stream, [entry, …]], …], or nil when there was nothing. */
static void read_streams(struct consumer *consumer,
                         const struct wh_redis_reply *reply,
                         struct consumer_entries *out)
{
    struct consumer_entry *entries =
        entry_array(consumer, SVC_CONSUMER_BATCH * consumer->stream_count);
    *out = (struct consumer_entries){entries, 0};
    for (size_t i = 0; i < reply->count; i++) {
        const struct wh_redis_reply *one = &reply->items[i];
        if (one->type != WH_REDIS_ARRAY || one->count != 2)
            continue;
        struct consumer_stream *stream = find_stream(consumer, one->items[0].text);
        for (size_t k = 0; stream && k < one->items[1].count && k < SVC_CONSUMER_BATCH; k++) {
            entries[out->count] = (struct consumer_entry){.stream = stream, .deliveries = 1};
            out->count += read_fields(consumer, &one->items[1].items[k], &entries[out->count]);
        }
    }
}

bool consumer_read_new(struct consumer *consumer,
                       uint32_t block_ms,
                       struct consumer_entries *out_entries)
{
    char batch[NUMBER_MAX];
    char block[NUMBER_MAX];
    struct wh_slice words[WORDS_MAX] = {W("XREADGROUP"),    W("GROUP"),
                                        group_of(consumer), self_of(consumer),
                                        W("COUNT"),         number(batch, SVC_CONSUMER_BATCH),
                                        W("BLOCK"),         number(block, block_ms),
                                        W("STREAMS")};
    size_t count = 9;
    size_t open = 0;
    for (size_t i = 0; i < consumer->stream_count; i++) {
        if (!consumer->streams[i].is_full) {
            words[count++] = consumer->streams[i].name;
            open++;
        }
    }
    for (size_t i = 0; i < open; i++)
        words[count++] = W(">");
    *out_entries = (struct consumer_entries){NULL, 0};
    if (open == 0) {
        svc_thread_sleep(&consumer->thread, block_ms);
        return true;
    }
    wh_redis_blocking_append(consumer->redis.link, words, count);
    const struct wh_redis_reply *reply =
        judge(consumer, svc_redis_reply(&consumer->redis, block_ms + SVC_REDIS_TIMEOUT_MS));
    if (!reply)
        return false;
    if (reply->type == WH_REDIS_ARRAY)
        read_streams(consumer, reply, out_entries);
    return true;
}

bool consumer_claim(struct consumer *consumer,
                    const struct consumer_entry *entry,
                    uint64_t deliveries)
{
    char count[NUMBER_MAX];
    const struct wh_slice words[] = {
        W("XCLAIM"), entry->stream->name, group_of(consumer),        self_of(consumer), W("0"),
        entry->id,   W("RETRYCOUNT"),     number(count, deliveries), W("JUSTID")};
    return call(consumer, words, 9) != NULL;
}

bool consumer_ack(struct consumer *consumer, const struct consumer_entry *entry)
{
    const struct wh_slice words[] = {W("XACK"), entry->stream->name, group_of(consumer), entry->id};
    return call(consumer, words, 4) != NULL;
}

bool consumer_bury(struct consumer *consumer,
                   const struct consumer_entry *entry,
                   const char *reason)
{
    struct wh_redis_blocking *link = consumer->redis.link;
    const struct wh_redis_reply *reply = NULL;
    char limit[NUMBER_MAX];
    char deliveries[NUMBER_MAX];
    char dead[128];
    struct wh_slice multi = W("MULTI");
    struct wh_slice exec = W("EXEC");
    snprintf(dead, sizeof dead, "wh:events:dead:%s", consumer->thread.ctx.svc->def->name);
    const struct wh_slice add[] = {W("XADD"),
                                   wh_slice_from_str(dead),
                                   W("MAXLEN"),
                                   W("~"),
                                   number(limit, SVC_CONSUMER_DEAD_MAX),
                                   W("*"),
                                   W("event"),
                                   entry->text.ptr ? entry->text : W(""),
                                   W("reason"),
                                   wh_slice_from_str(reason),
                                   W("deliveries"),
                                   number(deliveries, entry->deliveries),
                                   W("stream"),
                                   entry->stream->name,
                                   W("id"),
                                   entry->id};
    const struct wh_slice ack[] = {W("XACK"), entry->stream->name, group_of(consumer), entry->id};
    wh_redis_blocking_append(link, &multi, 1);
    wh_redis_blocking_append(link, add, sizeof add / sizeof add[0]);
    wh_redis_blocking_append(link, ack, 4);
    wh_redis_blocking_append(link, &exec, 1);
    for (unsigned i = 0; i < 4; i++) {
        if (!(reply = judge(consumer, svc_redis_reply(&consumer->redis, SVC_REDIS_TIMEOUT_MS))))
            return false;
    }
    for (size_t i = 0; i < reply->count; i++) {
        if (!judge(consumer, &reply->items[i]))
            return false;
    }
    atomic_fetch_add(&entry->stream->dead, 1);
    wh_log(WH_LOG_ERROR, "consumer", "dead_letter", "stream=%.*s id=%.*s reason=%s",
           WH_SLICE_ARGS(entry->stream->name), WH_SLICE_ARGS(entry->id), reason);
    return true;
}

/* The integer behind `name` in a row of names and values; -1 = none, or not known. */
static int64_t value_of(const struct wh_redis_reply *row, const char *name)
{
    for (size_t i = 0; i + 1 < row->count; i += 2) {
        if (wh_slice_equal_str(row->items[i].text, name))
            return row->items[i + 1].type == WH_REDIS_INTEGER ? row->items[i + 1].integer : -1;
    }
    return -1;
}

static bool is_own_group(const struct consumer *consumer, const struct wh_redis_reply *row)
{
    return row->type == WH_REDIS_ARRAY && row->count > 1 &&
           wh_slice_equal(row->items[1].text, group_of(consumer));
}

bool consumer_read_lag(struct consumer *consumer)
{
    for (size_t i = 0; i < consumer->stream_count; i++) {
        struct consumer_stream *stream = &consumer->streams[i];
        const struct wh_slice words[] = {W("XINFO"), W("GROUPS"), stream->name};
        const struct wh_redis_reply *reply = svc_redis_call(&consumer->redis, words, 3);
        if (!reply)
            return false;
        for (size_t k = 0; reply->type == WH_REDIS_ARRAY && k < reply->count; k++) {
            if (!is_own_group(consumer, &reply->items[k]))
                continue;
            atomic_store(&stream->lag, value_of(&reply->items[k], "lag"));
            atomic_store(&stream->pending, value_of(&reply->items[k], "pending"));
        }
    }
    return true;
}

/* Leaving a group takes what is pending along: only who has nothing may go. */
void consumer_leave(struct consumer *consumer)
{
    for (size_t i = 0; consumer->redis.link && i < consumer->stream_count; i++) {
        struct consumer_stream *stream = &consumer->streams[i];
        const struct wh_slice ask[] = {W("XPENDING"), stream->name, group_of(consumer), W("-"),
                                       W("+"),        W("1"),       self_of(consumer)};
        const struct wh_slice leave[] = {W("XGROUP"), W("DELCONSUMER"), stream->name,
                                         group_of(consumer), self_of(consumer)};
        const struct wh_redis_reply *reply = call(consumer, ask, 7);
        if (reply && reply->count == 0)
            (void)call(consumer, leave, 5);
    }
}
