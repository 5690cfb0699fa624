/*
 * The broker of a hub that is alone: no other process, always up.
 *
 * Every call becomes a job at the end of one queue that a task works off in
 * the same loop turn.  One queue for all of them keeps the order that a caller
 * sees here the same as with Redis: a publish after a confirmed subscribe is
 * delivered, one before is not, and nothing happens before a call returned.
 * History is kept in this process (stream.h) and ends with it.
 */
#include "hub/broker.h"

#include "common/base/alloc.h"
#include "common/base/arena.h"
#include "common/base/map.h"
#include "hub/stream.h"

#include <stdio.h>

enum { NODE_ID_MAX = 36 };

struct memory_broker {
    struct broker base;
    struct wh_loop *loop;
    struct broker_events events;
    char node_id[NODE_ID_MAX + 1];
    struct wh_map channels; /* name -> struct memory_channel */
    struct stream_store streams;
    struct wh_list jobs;
    struct wh_task work;
    bool was_told_up;
    bool is_closing;
    void (*closed)(void *user);
    void *closed_user;
};

struct memory_channel {
    struct wh_slice name; /* points behind this struct */
};

enum job_kind {
    JOB_SUBSCRIBE,
    JOB_UNSUBSCRIBE,
    JOB_PUBLISH,
    JOB_JOIN,
    JOB_HISTORY,
    JOB_HISTORY_REMOVE,
    JOB_CONTROL
};

/* Of the callbacks the one that the kind has is set; all that is pointed to lives in `arena`. */
struct job {
    struct wh_list link;
    enum job_kind kind;
    struct wh_arena arena;
    struct wh_slice channel; /* JOB_CONTROL: the node's id */
    struct wh_pub *pub;
    struct broker_publish_options *options; /* NULL = live only */
    struct wh_info *info;
    bool is_leave;
    struct broker_history_query query;
    struct wh_slice message;
    broker_done *done; /* NULL for JOB_UNSUBSCRIBE */
    broker_published *published;
    broker_history_done *read;
    void *user;
};

static struct memory_broker *memory_broker(struct broker *broker)
{
    return WH_CONTAINER_OF(broker, struct memory_broker, base);
}

/* ---- deep copy of a publication ---- */

static struct wh_slice copy_slice(struct wh_arena *arena, struct wh_slice slice)
{
    return slice.ptr ? wh_arena_copy(arena, slice) : slice;
}

static struct wh_payload copy_payload(struct wh_arena *arena, struct wh_payload payload)
{
    payload.bytes = copy_slice(arena, payload.bytes);
    return payload;
}

static void *must(void *memory)
{
    WH_ASSERT(memory != NULL); /* a program stops when out of memory */
    return memory;
}

static struct wh_info *copy_info(struct wh_arena *arena, const struct wh_info *info)
{
    if (!info)
        return NULL;
    struct wh_info *copy = must(wh_arena_alloc(arena, sizeof *copy));
    copy->user = copy_slice(arena, info->user);
    copy->client = copy_slice(arena, info->client);
    copy->conn_info = copy_payload(arena, info->conn_info);
    copy->chan_info = copy_payload(arena, info->chan_info);
    return copy;
}

static struct wh_string_map copy_tags(struct wh_arena *arena, struct wh_string_map tags)
{
    struct wh_string_map copy = {.count = tags.count};
    if (tags.count == 0)
        return copy;
    copy.items = must(wh_arena_alloc_array(arena, tags.count, sizeof *copy.items));
    for (size_t i = 0; i < tags.count; i++) {
        copy.items[i].key = copy_slice(arena, tags.items[i].key);
        copy.items[i].value = copy_slice(arena, tags.items[i].value);
    }
    return copy;
}

static struct wh_pub *copy_publication(struct wh_arena *arena, const struct wh_pub *pub)
{
    struct wh_pub *copy = must(wh_arena_alloc(arena, sizeof *copy));
    *copy = *pub;
    copy->data = copy_payload(arena, pub->data);
    copy->info = copy_info(arena, pub->info);
    copy->tags = copy_tags(arena, pub->tags);
    copy->channel = copy_slice(arena, pub->channel);
    copy->key = copy_slice(arena, pub->key);
    copy->epoch = copy_slice(arena, pub->epoch);
    copy->prev_data = copy_payload(arena, pub->prev_data);
    return copy;
}

static struct broker_publish_options *copy_options(struct wh_arena *arena,
                                                   const struct broker_publish_options *options)
{
    if (!options)
        return NULL;
    struct broker_publish_options *copy = must(wh_arena_alloc(arena, sizeof *copy));
    *copy = *options;
    copy->idempotency_key = copy_slice(arena, options->idempotency_key);
    copy->version_epoch = copy_slice(arena, options->version_epoch);
    return copy;
}

/* ---- jobs ---- */

static struct job *add_job(struct memory_broker *memory,
                           enum job_kind kind,
                           struct wh_slice channel)
{
    struct job *job = must(wh_calloc(1, sizeof *job));
    job->kind = kind;
    wh_arena_init(&job->arena, 0);
    job->channel = wh_arena_copy(&job->arena, channel.ptr ? channel : WH_SLICE_LITERAL(""));
    WH_ASSERT(job->channel.ptr != NULL);
    wh_list_push_back(&memory->jobs, &job->link);
    wh_loop_defer(memory->loop, &memory->work);
    return job;
}

static void free_job(struct job *job)
{
    wh_arena_deinit(&job->arena);
    wh_free(job);
}

static void add_channel(struct memory_broker *memory, struct wh_slice name)
{
    if (wh_map_get(&memory->channels, name))
        return;
    struct memory_channel *channel = must(wh_malloc(sizeof *channel + name.len));
    memcpy(channel + 1, name.ptr, name.len);
    channel->name = wh_slice(channel + 1, name.len);
    enum wh_err err = wh_map_add(&memory->channels, channel->name, channel);
    WH_ASSERT(err == WH_OK);
}

static bool is_subscribed(const struct memory_broker *memory, struct wh_slice channel)
{
    return wh_map_get(&memory->channels, channel) != NULL;
}

static void run_publish(struct memory_broker *memory, struct job *job)
{
    struct broker_position position;
    if (stream_publish(&memory->streams, job->channel, job->pub, job->options, &position) &&
        is_subscribed(memory, job->channel)) {
        job->pub->offset = position.offset;
        job->pub->epoch = position.epoch;
        memory->events.on_publication(memory->events.user, job->channel, job->pub, false);
    }
    job->published(job->user, WH_OK, &position);
}

static void run_history(struct memory_broker *memory, struct job *job)
{
    struct broker_history history;
    stream_read(&memory->streams, job->channel, &job->query, &job->arena, &history);
    job->read(job->user, WH_OK, &history);
}

/* A message for another node is a message for nobody: this one is alone. */
static void run_control(struct memory_broker *memory, struct job *job)
{
    bool is_for_us = job->channel.len == 0 || wh_slice_equal_str(job->channel, memory->node_id);
    if (is_for_us && memory->events.on_control)
        memory->events.on_control(memory->events.user, job->message);
}

static void run_job(struct memory_broker *memory, struct job *job)
{
    switch (job->kind) {
    case JOB_SUBSCRIBE:
        add_channel(memory, job->channel);
        break;
    case JOB_UNSUBSCRIBE:
        wh_free(wh_map_remove(&memory->channels, job->channel));
        break;
    case JOB_PUBLISH:
        run_publish(memory, job);
        break;
    case JOB_JOIN:
        if (memory->events.on_join && is_subscribed(memory, job->channel))
            memory->events.on_join(memory->events.user, job->channel, job->info, job->is_leave);
        break;
    case JOB_HISTORY:
        run_history(memory, job);
        break;
    case JOB_HISTORY_REMOVE:
        stream_clear(&memory->streams, job->channel);
        break;
    case JOB_CONTROL:
        run_control(memory, job);
        break;
    }
    if (job->done)
        job->done(job->user, WH_OK);
}

static void refuse_job(struct job *job)
{
    if (job->done)
        job->done(job->user, WH_ECLOSED);
    if (job->published)
        job->published(job->user, WH_ECLOSED, NULL);
    if (job->read)
        job->read(job->user, WH_ECLOSED, NULL);
}

static void finish(struct memory_broker *memory)
{
    void (*closed)(void *user) = memory->closed;
    void *user = memory->closed_user;
    size_t cursor = 0;
    void *channel;
    while ((channel = wh_map_next(&memory->channels, &cursor)))
        wh_free(channel);
    wh_map_deinit(&memory->channels);
    stream_store_deinit(&memory->streams);
    wh_free(memory);
    if (closed)
        closed(user);
}

static void on_work(struct wh_task *task)
{
    struct memory_broker *memory = WH_CONTAINER_OF(task, struct memory_broker, work);
    if (!memory->was_told_up && !memory->is_closing) {
        memory->was_told_up = true;
        memory->events.on_state(memory->events.user, true, "");
    }
    struct wh_list *node;
    while ((node = wh_list_pop_front(&memory->jobs))) {
        struct job *job = WH_CONTAINER_OF(node, struct job, link);
        if (memory->is_closing)
            refuse_job(job);
        else
            run_job(memory, job);
        free_job(job);
    }
    if (memory->is_closing)
        finish(memory);
}

/* ---- the interface ---- */

static void memory_subscribe(struct broker *broker,
                             struct wh_slice channel,
                             broker_done *done,
                             void *user)
{
    struct job *job = add_job(memory_broker(broker), JOB_SUBSCRIBE, channel);
    job->done = done;
    job->user = user;
}

static void memory_unsubscribe(struct broker *broker, struct wh_slice channel)
{
    (void)add_job(memory_broker(broker), JOB_UNSUBSCRIBE, channel);
}

static void memory_publish(struct broker *broker,
                           struct wh_slice channel,
                           const struct wh_pub *pub,
                           const struct broker_publish_options *options,
                           broker_published *done,
                           void *user)
{
    struct job *job = add_job(memory_broker(broker), JOB_PUBLISH, channel);
    job->pub = copy_publication(&job->arena, pub);
    job->options = copy_options(&job->arena, options);
    job->published = done;
    job->user = user;
}

static void memory_publish_join(struct broker *broker,
                                struct wh_slice channel,
                                const struct wh_info *info,
                                bool is_leave,
                                broker_done *done,
                                void *user)
{
    struct job *job = add_job(memory_broker(broker), JOB_JOIN, channel);
    job->info = copy_info(&job->arena, info);
    job->is_leave = is_leave;
    job->done = done;
    job->user = user;
}

static void memory_history(struct broker *broker,
                           struct wh_slice channel,
                           const struct broker_history_query *query,
                           broker_history_done *done,
                           void *user)
{
    struct job *job = add_job(memory_broker(broker), JOB_HISTORY, channel);
    job->query = *query;
    job->read = done;
    job->user = user;
}

static void memory_history_remove(struct broker *broker,
                                  struct wh_slice channel,
                                  broker_done *done,
                                  void *user)
{
    struct job *job = add_job(memory_broker(broker), JOB_HISTORY_REMOVE, channel);
    job->done = done;
    job->user = user;
}

static void memory_control(struct broker *broker,
                           struct wh_slice node_id,
                           struct wh_slice message,
                           broker_done *done,
                           void *user)
{
    struct job *job = add_job(memory_broker(broker), JOB_CONTROL, node_id);
    job->message = copy_slice(&job->arena, message);
    job->done = done;
    job->user = user;
}

static void memory_close(struct broker *broker, void (*closed)(void *user), void *user)
{
    struct memory_broker *memory = memory_broker(broker);
    memory->is_closing = true;
    memory->closed = closed;
    memory->closed_user = user;
    wh_loop_defer(memory->loop, &memory->work);
}

static const struct broker_ops memory_ops = {
    .name = "memory",
    .subscribe = memory_subscribe,
    .unsubscribe = memory_unsubscribe,
    .publish = memory_publish,
    .publish_join = memory_publish_join,
    .history = memory_history,
    .history_remove = memory_history_remove,
    .control = memory_control,
    .close = memory_close,
};

enum wh_err broker_memory_new(struct wh_loop *loop,
                              const char *node_id,
                              const struct broker_events *events,
                              struct broker **out_broker)
{
    struct memory_broker *memory = wh_calloc(1, sizeof *memory);
    if (!memory)
        return WH_ENOMEM;
    memory->base.ops = &memory_ops;
    memory->loop = loop;
    memory->events = *events;
    snprintf(memory->node_id, sizeof memory->node_id, "%s", node_id);
    stream_store_init(&memory->streams, loop);
    wh_list_init(&memory->jobs);
    wh_task_init(&memory->work, on_work);
    wh_loop_defer(loop, &memory->work);
    *out_broker = &memory->base;
    return WH_OK;
}
