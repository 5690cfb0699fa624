/*
 * What the Redis broker asks Redis: publish, history, joins, control.  What
 * keeps or reads a stream is one Lua script and so one atomic step
 * (common/redis/); the rest is a PUBLISH.
 *
 * Each question is a `struct call` until its answer.
 */
#include "common/base/alloc.h"
#include "common/protocol/wire.h"
#include "hub/broker_redis.h"

#include <inttypes.h>
#include <stdio.h>

enum { NUMBER_MAX = 24 };

/* Exactly one of the callbacks is set. */
struct call {
    struct wh_redis_request request; /* of a plain command */
    struct redis_broker *redis;
    broker_done *done;
    broker_published *published;
    broker_history_done *read;
    void *user;
    struct wh_slice channel; /* behind this struct; for a history's log */
};

static struct call *new_call(struct redis_broker *redis, struct wh_slice channel, void *user)
{
    struct call *call = wh_calloc(1, sizeof *call + channel.len);
    WH_ASSERT(call != NULL); /* a program stops when out of memory */
    call->redis = redis;
    call->user = user;
    if (channel.len > 0)
        memcpy(call + 1, channel.ptr, channel.len);
    call->channel = wh_slice(call + 1, channel.len);
    return call;
}

/* ---- plain commands ---- */

static void on_command_done(struct wh_redis_request *request,
                            enum wh_err err,
                            const struct wh_redis_reply *reply)
{
    struct call *call = WH_CONTAINER_OF(request, struct call, request);
    if (!err && reply->type == WH_REDIS_ERROR) {
        wh_log_limited(&call->redis->refused_limit, WH_LOG_WARN, "broker", "refused", "reason=%.*s",
                       WH_SLICE_ARGS(reply->text));
        err = WH_EIO;
    }
    err = redis_call_err(err);
    if (call->published)
        call->published(call->user, err, err ? NULL : &(struct broker_position){0});
    else if (call->done)
        call->done(call->user, err);
    wh_free(call);
}

static void send_publish(struct call *call, struct wh_slice name)
{
    struct redis_broker *redis = call->redis;
    enum wh_err err = wh_buf_error(&redis->envelope);
    WH_ASSERT(err == WH_OK);
    struct wh_slice argv[] = {WH_SLICE_LITERAL("PUBLISH"), name, wh_buf_slice(&redis->envelope)};
    call->request.done = on_command_done;
    wh_redis_send(redis->commands, &call->request, argv, 3);
}

void redis_publish_join(struct broker *broker,
                        struct wh_slice channel,
                        const struct wh_info *info,
                        bool is_leave,
                        broker_done *done,
                        void *user)
{
    struct redis_broker *redis = redis_broker(broker);
    struct call *call = new_call(redis, channel, user);
    call->done = done;
    wh_buf_reset(&redis->envelope);
    wh_wire_encode_join(info, is_leave, &redis->envelope);
    send_publish(call, redis_name(redis, REDIS_CHANNEL_PREFIX, channel));
}

void redis_control(struct broker *broker,
                   struct wh_slice node_id,
                   struct wh_slice message,
                   broker_done *done,
                   void *user)
{
    struct redis_broker *redis = redis_broker(broker);
    struct call *call = new_call(redis, node_id, user);
    call->done = done;
    wh_buf_reset(&redis->envelope);
    wh_wire_encode_control(message, &redis->envelope);
    send_publish(call, node_id.len == 0 ? REDIS_CONTROL_NAME
                                        : redis_name(redis, REDIS_NODE_PREFIX, node_id));
}

void redis_history_remove(struct broker *broker,
                          struct wh_slice channel,
                          broker_done *done,
                          void *user)
{
    struct redis_broker *redis = redis_broker(broker);
    struct call *call = new_call(redis, channel, user);
    struct wh_slice argv[] = {WH_SLICE_LITERAL("DEL"),
                              redis_name(redis, WH_SLICE_LITERAL("wh:stream:"), channel)};
    call->done = done;
    call->request.done = on_command_done;
    wh_redis_send(redis->commands, &call->request, argv, 2);
}

/* ---- scripts ---- */

enum { KEY_STREAM, KEY_META, KEY_RUN, KEY_RESULT, KEY_CHANNEL, KEY_COUNT };

/* All names of a channel, in redis->name: valid until it is used again. */
struct names {
    struct wh_slice key[KEY_COUNT];
};

static void begin_name(struct redis_broker *redis, size_t starts[], size_t key, const char *prefix)
{
    starts[key] = redis->name.len;
    wh_buf_append_str(&redis->name, prefix);
}

static struct names write_names(struct redis_broker *redis,
                                struct wh_slice channel,
                                struct wh_slice idempotency_key)
{
    size_t starts[KEY_COUNT + 1];
    struct names names;
    wh_buf_reset(&redis->name);
    begin_name(redis, starts, KEY_STREAM, "wh:stream:");
    wh_buf_append_slice(&redis->name, channel);
    begin_name(redis, starts, KEY_META, "wh:meta:");
    wh_buf_append_slice(&redis->name, channel);
    begin_name(redis, starts, KEY_RUN, "wh:run");
    begin_name(redis, starts, KEY_RESULT, "wh:idem:");
    wh_buf_append_u64(&redis->name, channel.len); /* or a:b + c would be a + b:c */
    wh_buf_append_char(&redis->name, ':');
    wh_buf_append_slice(&redis->name, channel);
    wh_buf_append_char(&redis->name, ':');
    wh_buf_append_slice(&redis->name, idempotency_key);
    begin_name(redis, starts, KEY_CHANNEL, "wh:ch:");
    wh_buf_append_slice(&redis->name, channel);
    starts[KEY_COUNT] = redis->name.len;
    enum wh_err err = wh_buf_error(&redis->name);
    WH_ASSERT(err == WH_OK);
    for (size_t i = 0; i < KEY_COUNT; i++)
        names.key[i] = wh_slice(redis->name.ptr + starts[i], starts[i + 1] - starts[i]);
    return names;
}

static struct wh_slice write_number(char text[NUMBER_MAX], uint64_t number)
{
    int len = snprintf(text, NUMBER_MAX, "%" PRIu64, number);
    return wh_slice(text, (size_t)len);
}

/* "{offset, epoch, …}", as both scripts begin.  False when Redis answered something else. */
static bool read_position(const struct wh_redis_reply *reply, struct broker_position *out_position)
{
    if (reply->type != WH_REDIS_ARRAY || reply->count < 3 ||
        reply->items[0].type != WH_REDIS_INTEGER || reply->items[0].integer < 0 ||
        reply->items[1].type != WH_REDIS_STRING)
        return false;
    *out_position =
        (struct broker_position){(uint64_t)reply->items[0].integer, reply->items[1].text};
    return true;
}

/* ---- publish ---- */

static void on_script_published(void *user, enum wh_err err, const struct wh_redis_reply *reply)
{
    struct call *call = user;
    struct broker_position position = {0};
    if (!err && !read_position(reply, &position))
        err = WH_EFORMAT;
    err = redis_call_err(err);
    call->published(call->user, err, err ? NULL : &position);
    wh_free(call);
}

static void run_publish(struct call *call, const struct broker_publish_options *options)
{
    struct redis_broker *redis = call->redis;
    char numbers[4][NUMBER_MAX];
    struct names names = write_names(redis, call->channel, options->idempotency_key);
    struct wh_slice args[] = {
        names.key[KEY_CHANNEL],
        wh_buf_slice(&redis->envelope),
        write_number(numbers[0], options->history_size),
        write_number(numbers[1], options->history_ttl_ms),
        write_number(numbers[2], options->meta_ttl_ms),
        write_number(numbers[3], options->version),
        options->version_epoch,
    };
    struct wh_redis_script_args all = {
        .keys = names.key,
        .key_count = options->idempotency_key.len > 0 ? KEY_RESULT + 1 : KEY_RUN + 1,
        .args = args,
        .arg_count = sizeof args / sizeof args[0],
    };
    wh_redis_scripts_run(redis->scripts, WH_REDIS_SCRIPT_PUBLISH, &all, on_script_published, call);
}

void redis_publish(struct broker *broker,
                   struct wh_slice channel,
                   const struct wh_pub *pub,
                   const struct broker_publish_options *options,
                   broker_published *done,
                   void *user)
{
    struct redis_broker *redis = redis_broker(broker);
    struct call *call = new_call(redis, channel, user);
    struct wh_pub body = *pub;
    call->published = done;
    body.offset = 0; /* the script tells position and body apart */
    body.epoch = WH_SLICE_ABSENT;
    wh_buf_reset(&redis->envelope);
    wh_wire_encode_publication(&body, &redis->envelope);
    enum wh_err err = wh_buf_error(&redis->envelope);
    WH_ASSERT(err == WH_OK);
    if (options &&
        (options->history_size > 0 || options->version > 0 || options->idempotency_key.len > 0))
        run_publish(call, options);
    else
        send_publish(call, redis_name(redis, REDIS_CHANNEL_PREFIX, channel));
}

/* ---- history ---- */

/* An entry is ["<offset>-0", ["d", body]]. */
static enum wh_err read_entry(struct redis_broker *redis,
                              const struct wh_redis_reply *entry,
                              struct wh_pub *out)
{
    struct wh_pub pub;
    uint64_t offset = 0;
    if (entry->type != WH_REDIS_ARRAY || entry->count != 2 ||
        entry->items[0].type != WH_REDIS_STRING || entry->items[1].type != WH_REDIS_ARRAY ||
        entry->items[1].count != 2 || entry->items[1].items[1].type != WH_REDIS_STRING)
        return WH_EFORMAT;
    struct wh_slice id = entry->items[0].text;
    const char *dash = memchr(id.ptr, '-', id.len);
    size_t digits = dash ? (size_t)(dash - id.ptr) : id.len;
    enum wh_err err = wh_wire_decode_number(wh_slice(id.ptr, digits), &offset);
    if (!err)
        err = wh_wire_decode_body(entry->items[1].items[1].text, &redis->arena, &pub);
    if (err)
        return err;
    pub.offset = offset;
    pub.epoch = WH_SLICE_ABSENT;
    *out = pub;
    return WH_OK;
}

static enum wh_err read_history(struct call *call,
                                const struct wh_redis_reply *reply,
                                struct broker_history *out_history)
{
    struct redis_broker *redis = call->redis;
    struct broker_history history = {0};
    if (!read_position(reply, &history.top) || reply->items[2].type != WH_REDIS_ARRAY)
        return WH_EFORMAT;
    const struct wh_redis_reply *entries = &reply->items[2];
    wh_arena_reset(&redis->arena);
    struct wh_pub *pubs = wh_arena_alloc_array(&redis->arena, entries->count, sizeof *pubs);
    if (!pubs)
        return WH_ENOMEM;
    for (size_t i = 0; i < entries->count; i++) {
        enum wh_err err = read_entry(redis, &entries->items[i], &pubs[history.count]);
        if (err)
            redis_count_invalid(redis, call->channel, WH_SLICE_ABSENT, err);
        else
            history.count++;
    }
    history.publications = pubs;
    *out_history = history;
    return WH_OK;
}

static void on_script_read(void *user, enum wh_err err, const struct wh_redis_reply *reply)
{
    struct call *call = user;
    struct broker_history history;
    if (!err)
        err = read_history(call, reply, &history);
    err = redis_call_err(err);
    call->read(call->user, err, err ? NULL : &history);
    wh_free(call);
}

void redis_history(struct broker *broker,
                   struct wh_slice channel,
                   const struct broker_history_query *query,
                   broker_history_done *done,
                   void *user)
{
    struct redis_broker *redis = redis_broker(broker);
    struct call *call = new_call(redis, channel, user);
    char numbers[3][NUMBER_MAX];
    struct names names = write_names(redis, channel, WH_SLICE_LITERAL(""));
    struct wh_slice args[] = {
        write_number(numbers[0], query->limit),
        query->has_since ? write_number(numbers[1], query->since) : WH_SLICE_LITERAL(""),
        query->reverse ? WH_SLICE_LITERAL("1") : WH_SLICE_LITERAL("0"),
        write_number(numbers[2], query->meta_ttl_ms),
    };
    struct wh_redis_script_args all = {names.key, KEY_RUN + 1, args, sizeof args / sizeof args[0]};
    call->read = done;
    wh_redis_scripts_run(redis->scripts, WH_REDIS_SCRIPT_HISTORY, &all, on_script_read, call);
}
