/*
 * The broker that joins hubs through one Redis: publications travel by
 * PUBLISH on `wh:ch:<channel>`.
 *
 * Two connections: `commands` asks and publishes, `pubsub` listens
 * (common/io/redis_pubsub.h, which also keeps subscriptions alive).  What is
 * left for this file is who wants a channel and for how long:
 *
 *   waiters   subscribe calls not answered yet, each with its own 2 s
 *   is_held   a subscribe was answered with WH_OK and not taken back
 *   linger    nobody wants it, but somebody did less than LINGER_MS ago
 *
 * A channel with none of these is unwanted and freed when released.  The two
 * channels for control messages are wanted always and by nobody.
 */
#include "hub/broker_redis.h"

#include "common/base/alloc.h"
#include "common/protocol/wire.h"

#include <stdio.h>

enum {
    SUBSCRIBE_TIMEOUT_MS = 2000,
    LINGER_MS = 1000,
    METRICS_MS = 1000,
    DECODE_ARENA_MAX = 64 * 1024 * 1024,
};

struct channel {
    struct wh_redis_channel redis; /* its name points behind this struct */
    struct wh_list link;
    struct redis_broker *broker;
    struct wh_list waiters;
    bool is_held;
    struct wh_timer linger;
};

struct waiter {
    struct wh_list link;
    struct channel *channel; /* NULL once answered */
    struct redis_broker *broker;
    bool will_hold; /* cleared by an unsubscribe that came before the answer */
    struct wh_timer timeout;
    enum wh_err err;
    broker_done *done;
    void *user;
};

/* A program stops when out of memory. */
static void *must_alloc(size_t size)
{
    void *memory = wh_calloc(1, size);
    WH_ASSERT(memory != NULL);
    return memory;
}

struct wh_slice redis_name(struct redis_broker *redis,
                           struct wh_slice prefix,
                           struct wh_slice channel)
{
    wh_buf_reset(&redis->name);
    wh_buf_append_slice(&redis->name, prefix);
    wh_buf_append_slice(&redis->name, channel);
    enum wh_err err = wh_buf_error(&redis->name);
    WH_ASSERT(err == WH_OK);
    return wh_buf_slice(&redis->name);
}

/* ---- metrics ---- */

static void add_stats(struct wh_redis_stats *sum, const struct wh_redis_stats *part)
{
    sum->commands += part->commands;
    sum->errors += part->errors;
    sum->reconnects += part->reconnects;
}

static void count(struct redis_broker *redis, enum metric metric, uint64_t now, uint64_t before)
{
    if (now > before)
        metrics_add(redis->metrics, metric, (int64_t)(now - before));
}

static void update_metrics(struct redis_broker *redis)
{
    struct wh_redis_stats now = {0};
    add_stats(&now, wh_redis_stats(redis->commands));
    add_stats(&now, wh_redis_pubsub_stats(redis->pubsub));
    count(redis, METRIC_REDIS_COMMANDS, now.commands, redis->counted.commands);
    count(redis, METRIC_REDIS_ERRORS, now.errors, redis->counted.errors);
    count(redis, METRIC_REDIS_RECONNECTS, now.reconnects, redis->counted.reconnects);
    redis->counted = now;
}

static void on_metrics_timer(struct wh_timer *timer)
{
    struct redis_broker *redis = WH_CONTAINER_OF(timer, struct redis_broker, metrics_timer);
    update_metrics(redis);
    wh_loop_timer_start(redis->loop, timer, METRICS_MS);
}

/* ---- channels ---- */

/* Whoever let the last reason go calls this; the channel may be released at the turn's end. */
static void let_go_if_unused(struct channel *channel)
{
    if (!channel->is_held && wh_list_is_empty(&channel->waiters) &&
        !wh_timer_is_running(&channel->linger))
        wh_redis_pubsub_unwant(channel->broker->pubsub, &channel->redis);
}

static void on_linger_over(struct wh_timer *timer)
{
    let_go_if_unused(WH_CONTAINER_OF(timer, struct channel, linger));
}

static struct channel *find_channel(struct redis_broker *redis, struct wh_slice name)
{
    struct wh_redis_channel *found =
        wh_redis_pubsub_find(redis->pubsub, redis_name(redis, REDIS_CHANNEL_PREFIX, name));
    return found ? WH_CONTAINER_OF(found, struct channel, redis) : NULL;
}

static struct channel *new_channel(struct redis_broker *redis, struct wh_slice name)
{
    struct wh_slice full = redis_name(redis, REDIS_CHANNEL_PREFIX, name);
    struct channel *channel = must_alloc(sizeof *channel + full.len);
    memcpy(channel + 1, full.ptr, full.len);
    channel->redis.name = wh_slice(channel + 1, full.len);
    channel->broker = redis;
    wh_list_init(&channel->waiters);
    wh_timer_init(&channel->linger, on_linger_over);
    wh_list_push_back(&redis->channels, &channel->link);
    return channel;
}

static bool is_control(const struct redis_broker *redis, const struct wh_redis_channel *channel)
{
    return channel == &redis->control_all || channel == &redis->control_own;
}

static void on_released(void *user, struct wh_redis_channel *released)
{
    if (is_control(user, released))
        return;
    struct channel *channel = WH_CONTAINER_OF(released, struct channel, redis);
    wh_list_remove(&channel->link);
    wh_free(channel);
}

/* ---- subscribe ---- */

static void answer(struct waiter *waiter, enum wh_err err)
{
    struct redis_broker *redis = waiter->broker;
    wh_list_remove(&waiter->link);
    wh_loop_timer_stop(redis->loop, &waiter->timeout);
    if (err == WH_OK && waiter->will_hold)
        waiter->channel->is_held = true;
    waiter->channel = NULL;
    waiter->err = err;
    wh_list_push_back(&redis->answered, &waiter->link);
    wh_loop_defer(redis->loop, &redis->answer);
}

static void on_answer(struct wh_task *task)
{
    struct redis_broker *redis = WH_CONTAINER_OF(task, struct redis_broker, answer);
    struct wh_list *node;
    while ((node = wh_list_pop_front(&redis->answered))) {
        struct waiter *waiter = WH_CONTAINER_OF(node, struct waiter, link);
        waiter->done(waiter->user, waiter->err);
        wh_free(waiter);
    }
}

static void on_waiter_timeout(struct wh_timer *timer)
{
    struct waiter *waiter = WH_CONTAINER_OF(timer, struct waiter, timeout);
    struct channel *channel = waiter->channel;
    answer(waiter, WH_EUNAVAILABLE);
    let_go_if_unused(channel);
}

static void answer_all(struct channel *channel, enum wh_err err)
{
    while (!wh_list_is_empty(&channel->waiters))
        answer(WH_CONTAINER_OF(channel->waiters.next, struct waiter, link), err);
}

static void on_confirmed(void *user, struct wh_redis_channel *confirmed)
{
    if (is_control(user, confirmed))
        return;
    struct channel *channel = WH_CONTAINER_OF(confirmed, struct channel, redis);
    answer_all(channel, WH_OK);
    let_go_if_unused(channel);
}

static void redis_subscribe(struct broker *broker,
                            struct wh_slice name,
                            broker_done *done,
                            void *user)
{
    struct redis_broker *redis = redis_broker(broker);
    struct waiter *waiter = must_alloc(sizeof *waiter);
    waiter->broker = redis;
    waiter->done = done;
    waiter->user = user;
    waiter->will_hold = true;
    wh_list_init(&waiter->link);
    wh_timer_init(&waiter->timeout, on_waiter_timeout);
    if (redis->is_closing) {
        answer(waiter, WH_ECLOSED);
        return;
    }
    struct channel *channel = find_channel(redis, name);
    if (!channel)
        channel = new_channel(redis, name);
    waiter->channel = channel;
    wh_list_push_back(&channel->waiters, &waiter->link);
    wh_loop_timer_stop(redis->loop, &channel->linger);
    enum wh_err err = wh_redis_pubsub_want(redis->pubsub, &channel->redis);
    WH_ASSERT(err == WH_OK); /* only memory can be short */
    if (channel->redis.state == WH_REDIS_CHANNEL_CONFIRMED)
        answer(waiter, WH_OK);
    else
        wh_loop_timer_start(redis->loop, &waiter->timeout, SUBSCRIBE_TIMEOUT_MS);
}

static void redis_unsubscribe(struct broker *broker, struct wh_slice name)
{
    struct redis_broker *redis = redis_broker(broker);
    struct channel *channel = redis->is_closing ? NULL : find_channel(redis, name);
    if (!channel)
        return;
    channel->is_held = false;
    WH_LIST_EACH(node, &channel->waiters)
    WH_CONTAINER_OF(node, struct waiter, link)->will_hold = false;
    wh_loop_timer_start(redis->loop, &channel->linger, LINGER_MS);
}

/* ---- what arrives ---- */

void redis_count_invalid(struct redis_broker *redis,
                         struct wh_slice channel,
                         struct wh_slice bytes,
                         enum wh_err err)
{
    metrics_add(redis->metrics, METRIC_PUBLICATIONS_INVALID, 1);
    wh_log_limited(&redis->invalid_limit, WH_LOG_WARN, "broker", "envelope_dropped",
                   "channel=%.*s bytes=%zu reason=%s", WH_SLICE_ARGS(channel), bytes.len,
                   wh_err_text(err));
}

static void deliver(struct redis_broker *redis,
                    struct wh_slice channel,
                    struct wh_wire_message *message)
{
    bool is_plain = message->kind == WH_WIRE_PLAIN;
    if (message->kind == WH_WIRE_PUBLICATION) {
        /* Only the script gives positions; what a stranger writes here is not one. */
        message->pub.offset = 0;
        message->pub.epoch = WH_SLICE_ABSENT;
    }
    redis->events.on_publication(redis->events.user, channel, &message->pub, is_plain);
}

static void on_channel_message(struct redis_broker *redis,
                               struct wh_slice channel,
                               struct wh_slice payload)
{
    struct wh_wire_message message;
    wh_arena_reset(&redis->arena);
    enum wh_err err = wh_wire_decode(payload, &redis->arena, &message);
    if (!err && message.kind == WH_WIRE_CONTROL)
        err = WH_EFORMAT;
    if (err) {
        redis_count_invalid(redis, channel, payload, err);
        return;
    }
    if (message.kind != WH_WIRE_JOIN && message.kind != WH_WIRE_LEAVE)
        deliver(redis, channel, &message);
    else if (redis->events.on_join)
        redis->events.on_join(redis->events.user, channel, &message.info,
                              message.kind == WH_WIRE_LEAVE);
}

static void on_control_message(struct redis_broker *redis,
                               struct wh_slice name,
                               struct wh_slice payload)
{
    struct wh_wire_message message;
    wh_arena_reset(&redis->arena);
    enum wh_err err = wh_wire_decode(payload, &redis->arena, &message);
    if (err || message.kind != WH_WIRE_CONTROL)
        redis_count_invalid(redis, name, payload, err ? err : WH_EFORMAT);
    else if (redis->events.on_control)
        redis->events.on_control(redis->events.user, message.control);
}

static void on_message(void *user, struct wh_slice name, struct wh_slice payload)
{
    struct redis_broker *redis = user;
    if (wh_slice_starts_with(name, REDIS_CHANNEL_PREFIX))
        on_channel_message(redis, wh_slice_from(name, REDIS_CHANNEL_PREFIX.len), payload);
    else
        on_control_message(redis, name, payload);
}

static void on_state(void *user, bool is_up, const char *reason)
{
    struct redis_broker *redis = user;
    metrics_set(redis->metrics, METRIC_REDIS_UP, is_up);
    update_metrics(redis);
    redis->events.on_state(redis->events.user, is_up, reason);
}

/* ---- close ---- */

static void on_part_closed(void *user)
{
    struct redis_broker *redis = user;
    if (--redis->links_open > 0)
        return;
    void (*closed)(void *user) = redis->closed;
    void *closed_user = redis->closed_user;
    on_answer(&redis->answer);
    wh_task_cancel(&redis->answer);
    wh_redis_scripts_free(redis->scripts);
    wh_arena_deinit(&redis->arena);
    wh_buf_deinit(&redis->name);
    wh_buf_deinit(&redis->envelope);
    wh_free(redis);
    if (closed)
        closed(closed_user);
}

static void redis_close(struct broker *broker, void (*closed)(void *user), void *user)
{
    struct redis_broker *redis = redis_broker(broker);
    redis->is_closing = true;
    redis->closed = closed;
    redis->closed_user = user;
    WH_LIST_EACH(node, &redis->channels)
    {
        struct channel *channel = WH_CONTAINER_OF(node, struct channel, link);
        wh_loop_timer_stop(redis->loop, &channel->linger);
        answer_all(channel, WH_ECLOSED);
    }
    update_metrics(redis);
    metrics_set(redis->metrics, METRIC_REDIS_UP, 0);
    wh_loop_timer_stop(redis->loop, &redis->metrics_timer);
    redis->links_open = 2;
    wh_redis_scripts_stop(redis->scripts);
    wh_redis_pubsub_close(redis->pubsub, on_part_closed, redis);
    wh_redis_close(redis->commands, on_part_closed, redis);
}

static const struct broker_ops redis_ops = {
    .name = "redis",
    .subscribe = redis_subscribe,
    .unsubscribe = redis_unsubscribe,
    .publish = redis_publish,
    .publish_join = redis_publish_join,
    .history = redis_history,
    .history_remove = redis_history_remove,
    .control = redis_control,
    .close = redis_close,
};

/* ---- new ---- */

static enum wh_err open_links(struct redis_broker *redis, const struct config *config)
{
    struct wh_redis_options options = {
        .address = config->engine.redis.address,
        .user = config->engine.redis.user,
        .password = config->engine.redis.password,
        .db = config->engine.redis.db,
    };
    struct wh_redis_pubsub_options pubsub_options = {
        .redis = options,
        .on_message = on_message,
        .on_confirmed = on_confirmed,
        .on_released = on_released,
        .on_state = on_state,
        .user = redis,
    };
    enum wh_err err = wh_redis_new(redis->loop, &options, &redis->commands);
    if (err)
        return err;
    err = wh_redis_scripts_new(redis->loop, redis->commands, &redis->scripts);
    if (!err)
        err = wh_redis_pubsub_new(redis->loop, redis->commands, &pubsub_options, &redis->pubsub);
    if (err) {
        wh_redis_scripts_stop(redis->scripts);
        wh_redis_scripts_free(redis->scripts);
        wh_redis_close(redis->commands, NULL, NULL);
    }
    return err;
}

static void want_control(struct redis_broker *redis, const char *node_id)
{
    snprintf(redis->control_own_name, sizeof redis->control_own_name, "%s%s", REDIS_NODE_PREFIX.ptr,
             node_id);
    redis->control_all.name = REDIS_CONTROL_NAME;
    redis->control_own.name = wh_slice_from_str(redis->control_own_name);
    enum wh_err err = wh_redis_pubsub_want(redis->pubsub, &redis->control_all);
    if (!err)
        err = wh_redis_pubsub_want(redis->pubsub, &redis->control_own);
    WH_ASSERT(err == WH_OK); /* only memory can be short */
}

enum wh_err broker_redis_new(struct wh_loop *loop,
                             const struct config *config,
                             const char *node_id,
                             struct metrics *metrics,
                             const struct broker_events *events,
                             struct broker **out_broker)
{
    struct redis_broker *redis = wh_calloc(1, sizeof *redis);
    if (!redis)
        return WH_ENOMEM;
    redis->base.ops = &redis_ops;
    redis->loop = loop;
    redis->metrics = metrics;
    redis->events = *events;
    wh_list_init(&redis->channels);
    wh_list_init(&redis->answered);
    wh_task_init(&redis->answer, on_answer);
    wh_timer_init(&redis->metrics_timer, on_metrics_timer);
    wh_arena_init(&redis->arena, DECODE_ARENA_MAX);
    enum wh_err err = open_links(redis, config);
    if (err) {
        wh_free(redis);
        return err;
    }
    want_control(redis, node_id);
    metrics_set(metrics, METRIC_REDIS_UP, 0);
    wh_loop_timer_start(loop, &redis->metrics_timer, METRICS_MS);
    *out_broker = &redis->base;
    return WH_OK;
}
