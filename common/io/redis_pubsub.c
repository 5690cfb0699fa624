/*
 * Each channel is a small state machine with one rule: one question to Redis
 * at a time.
 *
 *            want                    confirmed
 *     IDLE -------> SUBSCRIBING ---------------> CONFIRMED
 *      ^                                             |
 *      |     acknowledged                   unwant   v
 *      +------------------- UNSUBSCRIBING <----------+
 *
 * Wanting and not wanting only set a flag and put the channel on the dirty
 * list; the flush at the turn's end turns the difference between flag and
 * state into SUBSCRIBE and UNSUBSCRIBE commands of many names each.  A channel
 * whose answer is outstanding is left alone and looked at again when it comes.
 * When the link is lost every state is IDLE again.
 *
 * The heartbeat's channel is the first of them and always wanted, so that the
 * connection stays in pub/sub mode.
 */
#include "common/io/redis_pubsub.h"

#include "common/base/alloc.h"
#include "common/base/map.h"
#include "common/base/random.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    HEARTBEAT_MS = 1000,
    HEARTBEATS_MISSED_MAX = 2,
    BATCH_NAMES = 255,        /* names in one command */
    IN_FLIGHT_MAX = 4 * 1024, /* names awaiting an answer: bounds what a resubscription queues */
};

struct wh_redis_pubsub {
    struct wh_loop *loop;
    struct wh_redis *commands;
    struct wh_redis *link;
    struct wh_redis_pubsub_options options;
    struct wh_redis_watch commands_watch;
    struct wh_redis_watch link_watch;

    struct wh_map channels;
    struct wh_list dirty;
    struct wh_task flush;
    size_t in_flight;
    size_t restoring; /* channels to be confirmed before this is up again */

    struct wh_redis_channel heartbeat;
    char heartbeat_name[64];
    struct wh_timer heartbeat_timer;
    struct wh_redis_request beat;
    bool is_beat_pending;
    uint64_t beat_sent;
    uint64_t beat_seen;
    uint64_t beat_needed; /* the first whose return proves the present pair of links */
    uint32_t beats_missed;

    bool is_up;
    bool is_closing;
    bool is_link_closed;
    char reason[WH_REDIS_REASON_MAX];
    void (*closed)(void *user);
    void *closed_user;
};

/* ---- state ---- */

static void set_state(struct wh_redis_pubsub *pubsub, bool is_up, const char *reason)
{
    if (pubsub->is_closing || (pubsub->is_up == is_up && strcmp(pubsub->reason, reason) == 0))
        return;
    pubsub->is_up = is_up;
    snprintf(pubsub->reason, sizeof pubsub->reason, "%s", reason);
    pubsub->options.on_state(pubsub->options.user, is_up, reason);
}

static bool are_links_up(const struct wh_redis_pubsub *pubsub)
{
    return wh_redis_is_up(pubsub->link) && wh_redis_is_up(pubsub->commands);
}

static void check_up(struct wh_redis_pubsub *pubsub)
{
    if (!pubsub->is_up && are_links_up(pubsub) && pubsub->restoring == 0 &&
        pubsub->beat_seen >= pubsub->beat_needed)
        set_state(pubsub, true, "");
}

bool wh_redis_pubsub_is_up(const struct wh_redis_pubsub *pubsub)
{
    return pubsub->is_up;
}

const char *wh_redis_pubsub_reason(const struct wh_redis_pubsub *pubsub)
{
    return pubsub->reason;
}

const struct wh_redis_stats *wh_redis_pubsub_stats(const struct wh_redis_pubsub *pubsub)
{
    return wh_redis_stats(pubsub->link);
}

/* ---- heartbeat ---- */

static void finish_if_gone(struct wh_redis_pubsub *pubsub);

static void on_beat_done(struct wh_redis_request *request,
                         enum wh_err err,
                         const struct wh_redis_reply *reply)
{
    struct wh_redis_pubsub *pubsub = WH_CONTAINER_OF(request, struct wh_redis_pubsub, beat);
    pubsub->is_beat_pending = false;
    if (!err && reply->type == WH_REDIS_ERROR && !pubsub->is_closing) {
        char reason[WH_REDIS_REASON_MAX];
        snprintf(reason, sizeof reason, "heartbeat: %.*s", WH_SLICE_ARGS(reply->text));
        set_state(pubsub, false, reason);
    }
    finish_if_gone(pubsub);
}

static void send_beat(struct wh_redis_pubsub *pubsub)
{
    char number[24];
    if (pubsub->is_beat_pending || !are_links_up(pubsub) ||
        pubsub->heartbeat.state != WH_REDIS_CHANNEL_CONFIRMED)
        return;
    pubsub->beat_sent++;
    snprintf(number, sizeof number, "%llu", (unsigned long long)pubsub->beat_sent);
    struct wh_slice argv[] = {WH_SLICE_LITERAL("PUBLISH"), pubsub->heartbeat.name,
                              wh_slice_from_str(number)};
    pubsub->is_beat_pending = true;
    wh_redis_send(pubsub->commands, &pubsub->beat, argv, 3);
}

static void on_heartbeat_timer(struct wh_timer *timer)
{
    struct wh_redis_pubsub *pubsub =
        WH_CONTAINER_OF(timer, struct wh_redis_pubsub, heartbeat_timer);
    uint32_t period_ms = pubsub->options.heartbeat_ms;
    wh_loop_timer_start(pubsub->loop, timer, period_ms);
    /* Without the command connection nothing can be proven either way. */
    bool is_missed = are_links_up(pubsub) && pubsub->beat_seen < pubsub->beat_sent;
    pubsub->beats_missed = is_missed ? pubsub->beats_missed + 1 : 0;
    if (pubsub->beats_missed < HEARTBEATS_MISSED_MAX) {
        send_beat(pubsub);
        return;
    }
    char reason[WH_REDIS_REASON_MAX];
    snprintf(reason, sizeof reason, "no heartbeat for %.1f s",
             HEARTBEATS_MISSED_MAX * period_ms / 1000.0);
    wh_redis_reconnect(pubsub->link, reason);
}

static void on_beat(struct wh_redis_pubsub *pubsub, struct wh_slice payload)
{
    char number[24];
    if (payload.len >= sizeof number)
        return;
    memcpy(number, payload.ptr, payload.len);
    number[payload.len] = '\0';
    uint64_t beat = strtoull(number, NULL, 10);
    if (beat <= pubsub->beat_seen || beat > pubsub->beat_sent)
        return; /* not from us */
    pubsub->beat_seen = beat;
    pubsub->beats_missed = 0;
    check_up(pubsub);
}

/* From here on only a new heartbeat proves that both links work together. */
static void distrust(struct wh_redis_pubsub *pubsub)
{
    pubsub->beat_needed = pubsub->beat_sent + 1;
    pubsub->beats_missed = 0;
}

/* ---- channels ---- */

static void mark_dirty(struct wh_redis_pubsub *pubsub, struct wh_redis_channel *channel)
{
    if (wh_list_is_empty(&channel->link))
        wh_list_push_back(&pubsub->dirty, &channel->link);
    if (!pubsub->is_closing)
        wh_loop_at_turn_end(pubsub->loop, &pubsub->flush);
}

static void release(struct wh_redis_pubsub *pubsub, struct wh_redis_channel *channel)
{
    wh_list_remove(&channel->link);
    wh_map_remove(&pubsub->channels, channel->name);
    channel->state = WH_REDIS_CHANNEL_UNKNOWN;
    if (channel != &pubsub->heartbeat)
        pubsub->options.on_released(pubsub->options.user, channel);
}

static void stop_restoring(struct wh_redis_pubsub *pubsub, struct wh_redis_channel *channel)
{
    if (channel->is_restoring)
        pubsub->restoring--;
    channel->is_restoring = false;
}

struct wh_redis_channel *wh_redis_pubsub_find(const struct wh_redis_pubsub *pubsub,
                                              struct wh_slice name)
{
    return wh_map_get(&pubsub->channels, name);
}

enum wh_err wh_redis_pubsub_want(struct wh_redis_pubsub *pubsub, struct wh_redis_channel *channel)
{
    if (channel->state == WH_REDIS_CHANNEL_UNKNOWN) {
        enum wh_err err = wh_map_add(&pubsub->channels, channel->name, channel);
        if (err)
            return err;
        wh_list_init(&channel->link);
        channel->state = WH_REDIS_CHANNEL_IDLE;
        channel->is_restoring = false;
    }
    channel->is_wanted = true;
    mark_dirty(pubsub, channel);
    return WH_OK;
}

void wh_redis_pubsub_unwant(struct wh_redis_pubsub *pubsub, struct wh_redis_channel *channel)
{
    channel->is_wanted = false;
    stop_restoring(pubsub, channel);
    mark_dirty(pubsub, channel);
}

/* What the flush has to ask Redis about a channel; NULL for nothing (now). */
static const char *needed_command(const struct wh_redis_channel *channel)
{
    if (channel->is_wanted && channel->state == WH_REDIS_CHANNEL_IDLE)
        return "SUBSCRIBE";
    if (!channel->is_wanted && channel->state == WH_REDIS_CHANNEL_CONFIRMED)
        return "UNSUBSCRIBE";
    return NULL;
}

/* One command for the dirty channels at the front that need the same; false when nothing is left
 * that can be done now. */
static bool flush_batch(struct wh_redis_pubsub *pubsub)
{
    struct wh_slice argv[1 + BATCH_NAMES];
    size_t argc = 1;
    const char *command = NULL;
    while (argc <= BATCH_NAMES && !wh_list_is_empty(&pubsub->dirty)) {
        struct wh_redis_channel *channel =
            WH_CONTAINER_OF(pubsub->dirty.next, struct wh_redis_channel, link);
        const char *needed = needed_command(channel);
        if (needed) {
            if (pubsub->in_flight >= IN_FLIGHT_MAX || (command && needed != command))
                break;
            command = needed;
            argv[argc++] = channel->name;
            pubsub->in_flight++;
            channel->state =
                channel->is_wanted ? WH_REDIS_CHANNEL_SUBSCRIBING : WH_REDIS_CHANNEL_UNSUBSCRIBING;
        }
        wh_list_remove(&channel->link);
        if (!channel->is_wanted && channel->state == WH_REDIS_CHANNEL_IDLE)
            release(pubsub, channel);
    }
    if (!command)
        return false;
    argv[0] = wh_slice_from_str(command);
    if (wh_redis_write(pubsub->link, argv, argc) == WH_OK)
        return true;
    wh_redis_reconnect(pubsub->link, "subscribe: cannot be queued");
    return false;
}

/* With the link down wanted channels need nothing: they are all marked when it is up. */
static void flush_down(struct wh_redis_pubsub *pubsub)
{
    struct wh_list *node;
    while ((node = wh_list_pop_front(&pubsub->dirty))) {
        struct wh_redis_channel *channel = WH_CONTAINER_OF(node, struct wh_redis_channel, link);
        if (!channel->is_wanted)
            release(pubsub, channel);
    }
}

static void on_flush(struct wh_task *task)
{
    struct wh_redis_pubsub *pubsub = WH_CONTAINER_OF(task, struct wh_redis_pubsub, flush);
    wh_task_cancel(task);
    if (!wh_redis_is_up(pubsub->link)) {
        flush_down(pubsub);
        return;
    }
    while (flush_batch(pubsub))
        ;
    check_up(pubsub);
}

/* ---- what Redis says ---- */

static void on_subscribed(struct wh_redis_pubsub *pubsub, struct wh_slice name)
{
    struct wh_redis_channel *channel = wh_redis_pubsub_find(pubsub, name);
    if (!channel || channel->state != WH_REDIS_CHANNEL_SUBSCRIBING)
        return;
    pubsub->in_flight--;
    channel->state = WH_REDIS_CHANNEL_CONFIRMED;
    stop_restoring(pubsub, channel);
    mark_dirty(pubsub, channel);
    if (channel == &pubsub->heartbeat)
        send_beat(pubsub);
    else if (channel->is_wanted)
        pubsub->options.on_confirmed(pubsub->options.user, channel);
}

static void on_unsubscribed(struct wh_redis_pubsub *pubsub, struct wh_slice name)
{
    struct wh_redis_channel *channel = wh_redis_pubsub_find(pubsub, name);
    if (!channel || channel->state != WH_REDIS_CHANNEL_UNSUBSCRIBING)
        return;
    pubsub->in_flight--;
    channel->state = WH_REDIS_CHANNEL_IDLE;
    mark_dirty(pubsub, channel);
}

static void on_push(void *user, const struct wh_redis_reply *reply)
{
    struct wh_redis_pubsub *pubsub = user;
    if (reply->type == WH_REDIS_ERROR) {
        char reason[WH_REDIS_REASON_MAX];
        snprintf(reason, sizeof reason, "redis: %.*s", WH_SLICE_ARGS(reply->text));
        wh_redis_reconnect(pubsub->link, reason);
        return;
    }
    if (reply->type != WH_REDIS_ARRAY || reply->count != 3 || !reply->items[1].text.ptr)
        return;
    struct wh_slice kind = reply->items[0].text;
    struct wh_slice name = reply->items[1].text;
    struct wh_slice payload = reply->items[2].text;
    if (wh_slice_equal_str(kind, "message") && payload.ptr) {
        if (wh_slice_equal(name, pubsub->heartbeat.name))
            on_beat(pubsub, payload);
        else
            pubsub->options.on_message(pubsub->options.user, name, payload);
    } else if (wh_slice_equal_str(kind, "subscribe")) {
        on_subscribed(pubsub, name);
    } else if (wh_slice_equal_str(kind, "unsubscribe")) {
        on_unsubscribed(pubsub, name);
    }
}

/* ---- the links ---- */

/* Nothing is subscribed on a lost link. */
static void forget_answers(struct wh_redis_pubsub *pubsub)
{
    struct wh_redis_channel *channel;
    size_t cursor = 0;
    pubsub->in_flight = 0;
    pubsub->restoring = 0;
    while ((channel = wh_map_next(&pubsub->channels, &cursor))) {
        channel->state = WH_REDIS_CHANNEL_IDLE;
        channel->is_restoring = false;
        if (!channel->is_wanted)
            mark_dirty(pubsub, channel);
    }
}

static void subscribe_all(struct wh_redis_pubsub *pubsub)
{
    struct wh_redis_channel *channel;
    size_t cursor = 0;
    mark_dirty(pubsub, &pubsub->heartbeat); /* first: the proof of life should not wait */
    while ((channel = wh_map_next(&pubsub->channels, &cursor))) {
        channel->is_restoring = channel->is_wanted;
        pubsub->restoring += channel->is_wanted;
        mark_dirty(pubsub, channel);
    }
}

static void on_link_state(struct wh_redis_watch *watch, bool is_up, const char *reason)
{
    struct wh_redis_pubsub *pubsub = WH_CONTAINER_OF(watch, struct wh_redis_pubsub, link_watch);
    distrust(pubsub);
    if (is_up) {
        subscribe_all(pubsub);
        return;
    }
    forget_answers(pubsub);
    set_state(pubsub, false, reason);
}

static void on_commands_state(struct wh_redis_watch *watch, bool is_up, const char *reason)
{
    struct wh_redis_pubsub *pubsub = WH_CONTAINER_OF(watch, struct wh_redis_pubsub, commands_watch);
    distrust(pubsub);
    if (is_up)
        send_beat(pubsub);
    else
        set_state(pubsub, false, reason);
}

/* ---- new and close ---- */

static void init(struct wh_redis_pubsub *pubsub,
                 struct wh_loop *loop,
                 struct wh_redis *commands,
                 const struct wh_redis_pubsub_options *options)
{
    char id[37];
    pubsub->loop = loop;
    pubsub->commands = commands;
    pubsub->options = *options;
    if (pubsub->options.heartbeat_ms == 0)
        pubsub->options.heartbeat_ms = HEARTBEAT_MS;
    pubsub->commands_watch.on_state = on_commands_state;
    pubsub->link_watch.on_state = on_link_state;
    wh_list_init(&pubsub->commands_watch.link);
    wh_list_init(&pubsub->link_watch.link);
    wh_list_init(&pubsub->dirty);
    wh_task_init(&pubsub->flush, on_flush);
    wh_timer_init(&pubsub->heartbeat_timer, on_heartbeat_timer);
    pubsub->beat.done = on_beat_done;
    wh_random_uuid_v4(id);
    snprintf(pubsub->heartbeat_name, sizeof pubsub->heartbeat_name, "wh:alive:%s", id);
    pubsub->heartbeat.name = wh_slice_from_str(pubsub->heartbeat_name);
    snprintf(pubsub->reason, sizeof pubsub->reason, "connecting");
    distrust(pubsub);
}

enum wh_err wh_redis_pubsub_new(struct wh_loop *loop,
                                struct wh_redis *commands,
                                const struct wh_redis_pubsub_options *options,
                                struct wh_redis_pubsub **out_pubsub)
{
    struct wh_redis_pubsub *pubsub = wh_calloc(1, sizeof *pubsub);
    if (!pubsub)
        return WH_ENOMEM;
    init(pubsub, loop, commands, options);
    enum wh_err err = wh_redis_pubsub_want(pubsub, &pubsub->heartbeat);
    wh_task_cancel(&pubsub->flush); /* there is no link to look at yet */
    if (err)
        goto fail;
    struct wh_redis_options redis_options = options->redis;
    redis_options.on_push = on_push;
    redis_options.push_user = pubsub;
    err = wh_redis_new(loop, &redis_options, &pubsub->link);
    if (err)
        goto fail;
    wh_redis_watch(pubsub->link, &pubsub->link_watch);
    wh_redis_watch(commands, &pubsub->commands_watch);
    wh_loop_timer_start(loop, &pubsub->heartbeat_timer, pubsub->options.heartbeat_ms);
    *out_pubsub = pubsub;
    return WH_OK;
fail:
    wh_map_deinit(&pubsub->channels);
    wh_free(pubsub);
    return err;
}

static void release_all(struct wh_redis_pubsub *pubsub)
{
    struct wh_redis_channel *channel;
    size_t cursor = 0;
    while ((channel = wh_map_next(&pubsub->channels, &cursor)))
        if (wh_list_is_empty(&channel->link))
            wh_list_push_back(&pubsub->dirty, &channel->link);
    struct wh_list *node;
    while ((node = wh_list_pop_front(&pubsub->dirty)))
        release(pubsub, WH_CONTAINER_OF(node, struct wh_redis_channel, link));
}

static void finish_if_gone(struct wh_redis_pubsub *pubsub)
{
    if (!pubsub->is_link_closed || pubsub->is_beat_pending)
        return;
    void (*closed)(void *user) = pubsub->closed;
    void *user = pubsub->closed_user;
    release_all(pubsub);
    wh_map_deinit(&pubsub->channels);
    wh_free(pubsub);
    if (closed)
        closed(user);
}

static void on_link_closed(void *user)
{
    struct wh_redis_pubsub *pubsub = user;
    pubsub->is_link_closed = true;
    finish_if_gone(pubsub);
}

void wh_redis_pubsub_close(struct wh_redis_pubsub *pubsub, void (*closed)(void *user), void *user)
{
    pubsub->is_closing = true;
    pubsub->closed = closed;
    pubsub->closed_user = user;
    wh_task_cancel(&pubsub->flush);
    wh_loop_timer_stop(pubsub->loop, &pubsub->heartbeat_timer);
    wh_redis_unwatch(&pubsub->commands_watch);
    wh_redis_unwatch(&pubsub->link_watch);
    wh_redis_close(pubsub->link, on_link_closed, pubsub);
}
