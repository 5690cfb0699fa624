/*
 * Presence of all hubs on one Redis: three keys per channel, changed and read
 * by scripts only (common/redis/presence_*.lua), on Redis' clock.
 *
 * The calls under way are on a list, so that close can answer them; Redis'
 * own answer then finds a call without an owner and only frees it.
 */
#include "common/base/alloc.h"
#include "common/protocol/wire.h"
#include "hub/broker_redis.h"
#include "hub/presence.h"

#include <inttypes.h>
#include <stdio.h>

enum { ARENA_MAX = 64 * 1024 * 1024, KEY_COUNT = 3, NUMBER_MAX = 24 };

struct redis_presence {
    struct presence base;
    struct wh_loop *loop;
    struct redis_broker *broker;
    struct wh_list calls;
    struct wh_task finish;
    struct wh_arena arena; /* of the members being reported */
    struct wh_buf names;
    struct wh_buf info;
};

/* At most one of the callbacks is set. */
struct call {
    struct wh_list link;
    struct redis_presence *presence; /* NULL once it is closed */
    broker_done *done;
    presence_members_done *members;
    presence_stats_done *stats;
    void *user;
};

static struct redis_presence *redis_presence(struct presence *presence)
{
    return WH_CONTAINER_OF(presence, struct redis_presence, base);
}

static struct call *new_call(struct redis_presence *presence, void *user)
{
    struct call *call = wh_calloc(1, sizeof *call);
    WH_ASSERT(call != NULL); /* a program stops when out of memory */
    call->presence = presence;
    call->user = user;
    wh_list_push_back(&presence->calls, &call->link);
    return call;
}

/* ---- answers ---- */

/* Entries that cannot be understood are left out. */
static enum wh_err read_members(struct redis_presence *presence,
                                const struct wh_redis_reply *infos,
                                struct presence_members *out_members)
{
    struct wh_info *items;
    size_t count = 0;
    wh_arena_reset(&presence->arena);
    items = wh_arena_alloc_array(&presence->arena, infos->count, sizeof *items);
    if (!items)
        return WH_ENOMEM;
    for (size_t i = 0; i < infos->count; i++) {
        struct wh_wire_message message = {0};
        enum wh_err err = WH_EFORMAT;
        if (infos->items[i].type == WH_REDIS_STRING)
            err = wh_wire_decode(infos->items[i].text, &presence->arena, &message);
        if (!err && message.kind == WH_WIRE_JOIN)
            items[count++] = message.info;
    }
    *out_members = (struct presence_members){items, count};
    return WH_OK;
}

static bool is_reading(const struct wh_redis_reply *reply)
{
    return reply->type == WH_REDIS_ARRAY && reply->count == 3 &&
           reply->items[0].type == WH_REDIS_INTEGER && reply->items[1].type == WH_REDIS_INTEGER &&
           reply->items[2].type == WH_REDIS_ARRAY;
}

static void answer(struct call *call, enum wh_err err, const struct wh_redis_reply *reply)
{
    struct presence_members members = {0};
    struct presence_stats stats = {0};
    if (!err && !call->done && !is_reading(reply))
        err = WH_EFORMAT;
    if (!err && call->members)
        err = read_members(call->presence, &reply->items[2], &members);
    if (!err && call->stats) {
        stats.clients = (uint32_t)reply->items[0].integer;
        stats.users = (uint32_t)reply->items[1].integer;
    }
    err = redis_call_err(err);
    if (call->done)
        call->done(call->user, err);
    if (call->members)
        call->members(call->user, err, err ? NULL : &members);
    if (call->stats)
        call->stats(call->user, err, err ? NULL : &stats);
}

static void on_done(void *user, enum wh_err err, const struct wh_redis_reply *reply)
{
    struct call *call = user;
    wh_list_remove(&call->link);
    bool is_awaited = call->done || call->members || call->stats;
    if (call->presence && is_awaited)
        answer(call, err, reply);
    wh_free(call);
}

/* ---- the interface ---- */

static void run(struct redis_presence *presence,
                enum wh_redis_script script,
                struct wh_slice channel,
                const struct wh_slice *args,
                size_t arg_count,
                struct call *call)
{
    static const char *const prefixes[KEY_COUNT] = {
        "wh:presence.info:", "wh:presence.expire:", "wh:presence.users:"};
    struct wh_slice keys[KEY_COUNT];
    size_t ends[KEY_COUNT];
    wh_buf_reset(&presence->names);
    for (size_t i = 0; i < KEY_COUNT; i++) {
        wh_buf_append_str(&presence->names, prefixes[i]);
        wh_buf_append_slice(&presence->names, channel);
        ends[i] = presence->names.len;
    }
    enum wh_err err = wh_buf_error(&presence->names);
    WH_ASSERT(err == WH_OK);
    for (size_t i = 0, start = 0; i < KEY_COUNT; start = ends[i++])
        keys[i] = wh_slice(presence->names.ptr + start, ends[i] - start);
    struct wh_redis_script_args all = {keys, KEY_COUNT, args, arg_count};
    wh_redis_scripts_run(presence->broker->scripts, script, &all, on_done, call);
}

static void redis_add(struct presence *base,
                      struct wh_slice channel,
                      const struct wh_info *info,
                      uint64_t ttl_ms,
                      broker_done *done,
                      void *user)
{
    struct redis_presence *presence = redis_presence(base);
    struct call *call = new_call(presence, user);
    char number[NUMBER_MAX];
    call->done = done;
    snprintf(number, sizeof number, "%" PRIu64, ttl_ms);
    wh_buf_reset(&presence->info);
    wh_wire_encode_join(info, false, &presence->info);
    enum wh_err err = wh_buf_error(&presence->info);
    WH_ASSERT(err == WH_OK);
    struct wh_slice args[] = {info->client, info->user, wh_buf_slice(&presence->info),
                              wh_slice_from_str(number)};
    run(presence, WH_REDIS_SCRIPT_PRESENCE_ADD, channel, args, 4, call);
}

static void redis_remove(struct presence *base,
                         struct wh_slice channel,
                         struct wh_slice client,
                         struct wh_slice user_id,
                         broker_done *done,
                         void *user)
{
    struct redis_presence *presence = redis_presence(base);
    struct call *call = new_call(presence, user);
    (void)user_id; /* the entry says it */
    call->done = done;
    run(presence, WH_REDIS_SCRIPT_PRESENCE_REMOVE, channel, &client, 1, call);
}

static void redis_members(struct presence *base,
                          struct wh_slice channel,
                          presence_members_done *done,
                          void *user)
{
    struct redis_presence *presence = redis_presence(base);
    struct call *call = new_call(presence, user);
    call->members = done;
    run(presence, WH_REDIS_SCRIPT_PRESENCE_READ, channel, &WH_SLICE_LITERAL("members"), 1, call);
}

static void redis_stats(struct presence *base,
                        struct wh_slice channel,
                        presence_stats_done *done,
                        void *user)
{
    struct redis_presence *presence = redis_presence(base);
    struct call *call = new_call(presence, user);
    call->stats = done;
    run(presence, WH_REDIS_SCRIPT_PRESENCE_READ, channel, &WH_SLICE_LITERAL("stats"), 1, call);
}

static void on_finish(struct wh_task *task)
{
    struct redis_presence *presence = WH_CONTAINER_OF(task, struct redis_presence, finish);
    struct wh_list *node;
    while ((node = wh_list_pop_front(&presence->calls))) {
        struct call *call = WH_CONTAINER_OF(node, struct call, link);
        answer(call, WH_ECLOSED, NULL);
        call->presence = NULL;
    }
    wh_arena_deinit(&presence->arena);
    wh_buf_deinit(&presence->names);
    wh_buf_deinit(&presence->info);
    wh_free(presence);
}

static void redis_close(struct presence *base)
{
    struct redis_presence *presence = redis_presence(base);
    wh_loop_defer(presence->loop, &presence->finish);
}

static const struct presence_ops redis_ops = {
    .add = redis_add,
    .remove = redis_remove,
    .members = redis_members,
    .stats = redis_stats,
    .close = redis_close,
};

enum wh_err presence_redis_new(struct wh_loop *loop,
                               struct broker *broker,
                               struct presence **out_presence)
{
    struct redis_presence *presence = wh_calloc(1, sizeof *presence);
    if (!presence)
        return WH_ENOMEM;
    presence->base.ops = &redis_ops;
    presence->loop = loop;
    presence->broker = redis_broker(broker);
    wh_list_init(&presence->calls);
    wh_task_init(&presence->finish, on_finish);
    wh_arena_init(&presence->arena, ARENA_MAX);
    *out_presence = &presence->base;
    return WH_OK;
}
