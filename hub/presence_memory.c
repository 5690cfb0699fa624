/*
 * Presence of a hub that is alone: a room for each channel that has somebody
 * in it, two maps in each room, a timer for each member.
 *
 * Changes take effect at once; answers come from a task in the same loop turn,
 * in the order of the questions.
 */
#include "common/base/alloc.h"
#include "common/base/arena.h"
#include "common/base/map.h"
#include "hub/presence.h"

struct memory_presence {
    struct presence base;
    struct wh_loop *loop;
    struct wh_map rooms;
    struct wh_list questions;
    struct wh_task answer;
    bool is_closing;
};

struct room {
    struct memory_presence *presence;
    struct wh_map members; /* by client id */
    struct wh_map users;   /* by user id: one of her members, which lead to the others */
    struct wh_slice name;  /* behind this struct */
};

/* The members of one user form a ring, so that she is in `users` as long as one is there. */
struct member {
    struct wh_info info; /* its bytes are behind this struct */
    struct room *room;
    struct wh_list same_user;
    struct wh_timer timer;
};

/* One of the callbacks is set. */
struct question {
    struct wh_list link;
    broker_done *done;
    presence_members_done *members;
    presence_stats_done *stats;
    void *user;
    struct wh_slice channel; /* behind this struct */
};

static struct memory_presence *memory_presence(struct presence *presence)
{
    return WH_CONTAINER_OF(presence, struct memory_presence, base);
}

/* A program stops when out of memory. */
static void *must_alloc(size_t size)
{
    void *memory = wh_calloc(1, size);
    WH_ASSERT(memory != NULL);
    return memory;
}

/* ---- members ---- */

static size_t info_bytes(const struct wh_info *info)
{
    return info->user.len + info->client.len + info->conn_info.bytes.len +
           info->chan_info.bytes.len;
}

static struct wh_slice place(char **at, struct wh_slice slice)
{
    if (slice.len > 0)
        memcpy(*at, slice.ptr, slice.len);
    struct wh_slice copy = slice.ptr ? wh_slice(*at, slice.len) : slice;
    *at += slice.len;
    return copy;
}

/* The room may be left empty. */
static void remove_member(struct member *member)
{
    struct room *room = member->room;
    wh_loop_timer_stop(room->presence->loop, &member->timer);
    (void)wh_map_remove(&room->members, member->info.client);
    struct member *entered = wh_map_get(&room->users, member->info.user);
    struct wh_list *next = member->same_user.next;
    wh_list_remove(&member->same_user);
    if (entered == member) {
        (void)wh_map_remove(&room->users, member->info.user);
        if (next != &member->same_user) {
            struct member *heir = WH_CONTAINER_OF(next, struct member, same_user);
            enum wh_err err = wh_map_add(&room->users, heir->info.user, heir);
            WH_ASSERT(err == WH_OK);
        }
    }
    wh_free(member);
}

static void leave(struct member *member)
{
    struct room *room = member->room;
    remove_member(member);
    if (room->members.count > 0)
        return;
    (void)wh_map_remove(&room->presence->rooms, room->name);
    wh_map_deinit(&room->members);
    wh_map_deinit(&room->users);
    wh_free(room);
}

static void on_member_expired(struct wh_timer *timer)
{
    leave(WH_CONTAINER_OF(timer, struct member, timer));
}

static struct member *enter(struct room *room, const struct wh_info *info)
{
    struct member *member = must_alloc(sizeof *member + info_bytes(info));
    char *at = (char *)(member + 1);
    member->info.user = place(&at, info->user);
    member->info.client = place(&at, info->client);
    member->info.conn_info = info->conn_info;
    member->info.conn_info.bytes = place(&at, info->conn_info.bytes);
    member->info.chan_info = info->chan_info;
    member->info.chan_info.bytes = place(&at, info->chan_info.bytes);
    member->room = room;
    wh_list_init(&member->same_user);
    wh_timer_init(&member->timer, on_member_expired);
    enum wh_err err = wh_map_add(&room->members, member->info.client, member);
    WH_ASSERT(err == WH_OK);
    struct member *first = wh_map_get(&room->users, info->user);
    if (first) {
        wh_list_push_back(&first->same_user, &member->same_user);
    } else {
        err = wh_map_add(&room->users, member->info.user, member);
        WH_ASSERT(err == WH_OK);
    }
    return member;
}

static struct room *room_of(struct memory_presence *presence, struct wh_slice name)
{
    struct room *room = wh_map_get(&presence->rooms, name);
    if (room)
        return room;
    room = must_alloc(sizeof *room + name.len);
    memcpy(room + 1, name.ptr, name.len);
    room->name = wh_slice(room + 1, name.len);
    room->presence = presence;
    enum wh_err err = wh_map_add(&presence->rooms, room->name, room);
    WH_ASSERT(err == WH_OK);
    return room;
}

static bool payload_equal(struct wh_payload a, struct wh_payload b)
{
    return a.kind == b.kind && wh_slice_equal(a.bytes, b.bytes) &&
           wh_payload_is_present(a) == wh_payload_is_present(b);
}

static bool info_equal(const struct wh_info *a, const struct wh_info *b)
{
    return wh_slice_equal(a->user, b->user) && payload_equal(a->conn_info, b->conn_info) &&
           payload_equal(a->chan_info, b->chan_info);
}

/* ---- questions ---- */

static struct question *ask(struct memory_presence *presence, struct wh_slice channel, void *user)
{
    struct question *question = must_alloc(sizeof *question + channel.len);
    if (channel.len > 0)
        memcpy(question + 1, channel.ptr, channel.len);
    question->channel = wh_slice(question + 1, channel.len);
    question->user = user;
    wh_list_push_back(&presence->questions, &question->link);
    wh_loop_defer(presence->loop, &presence->answer);
    return question;
}

static void answer_members(struct question *question, struct room *room)
{
    struct presence_members members = {0};
    struct wh_info *items = NULL;
    if (room) {
        size_t cursor = 0;
        struct member *member;
        items = must_alloc(room->members.count * sizeof *items);
        while ((member = wh_map_next(&room->members, &cursor)))
            items[members.count++] = member->info;
    }
    members.items = items;
    question->members(question->user, WH_OK, &members);
    wh_free(items);
}

static void answer_question(struct memory_presence *presence, struct question *question)
{
    struct room *room = wh_map_get(&presence->rooms, question->channel);
    struct presence_stats stats = {0};
    if (room) {
        stats.clients = (uint32_t)room->members.count;
        stats.users = (uint32_t)room->users.count;
    }
    if (question->done)
        question->done(question->user, WH_OK);
    if (question->members)
        answer_members(question, room);
    if (question->stats)
        question->stats(question->user, WH_OK, &stats);
}

static void refuse_question(struct question *question)
{
    if (question->done)
        question->done(question->user, WH_ECLOSED);
    if (question->members)
        question->members(question->user, WH_ECLOSED, NULL);
    if (question->stats)
        question->stats(question->user, WH_ECLOSED, NULL);
}

static void on_answer(struct wh_task *task)
{
    struct memory_presence *presence = WH_CONTAINER_OF(task, struct memory_presence, answer);
    struct wh_list *node;
    while ((node = wh_list_pop_front(&presence->questions))) {
        struct question *question = WH_CONTAINER_OF(node, struct question, link);
        if (presence->is_closing)
            refuse_question(question);
        else
            answer_question(presence, question);
        wh_free(question);
    }
    if (!presence->is_closing)
        return;
    wh_free(presence);
}

/* ---- the interface ---- */

static void memory_add(struct presence *base,
                       struct wh_slice channel,
                       const struct wh_info *info,
                       uint64_t ttl_ms,
                       broker_done *done,
                       void *user)
{
    struct memory_presence *presence = memory_presence(base);
    struct room *room = room_of(presence, channel);
    struct member *member = wh_map_get(&room->members, info->client);
    if (member && !info_equal(&member->info, info)) {
        remove_member(member);
        member = NULL;
    }
    if (!member)
        member = enter(room, info);
    wh_loop_timer_start(presence->loop, &member->timer, ttl_ms);
    if (done)
        ask(presence, channel, user)->done = done;
}

static void memory_remove(struct presence *base,
                          struct wh_slice channel,
                          struct wh_slice client,
                          struct wh_slice user_id,
                          broker_done *done,
                          void *user)
{
    struct memory_presence *presence = memory_presence(base);
    struct room *room = wh_map_get(&presence->rooms, channel);
    struct member *member = room ? wh_map_get(&room->members, client) : NULL;
    (void)user_id; /* the member knows */
    if (member)
        leave(member);
    if (done)
        ask(presence, channel, user)->done = done;
}

static void memory_members(struct presence *base,
                           struct wh_slice channel,
                           presence_members_done *done,
                           void *user)
{
    ask(memory_presence(base), channel, user)->members = done;
}

static void memory_stats(struct presence *base,
                         struct wh_slice channel,
                         presence_stats_done *done,
                         void *user)
{
    ask(memory_presence(base), channel, user)->stats = done;
}

static void free_all_rooms(struct memory_presence *presence)
{
    struct room *room;
    size_t cursor = 0;
    while ((room = wh_map_next(&presence->rooms, &cursor))) {
        size_t member_cursor = 0;
        struct member *member;
        while ((member = wh_map_next(&room->members, &member_cursor))) {
            wh_loop_timer_stop(presence->loop, &member->timer);
            wh_free(member);
        }
        wh_map_deinit(&room->members);
        wh_map_deinit(&room->users);
        wh_free(room);
    }
    wh_map_deinit(&presence->rooms);
}

static void memory_close(struct presence *base)
{
    struct memory_presence *presence = memory_presence(base);
    presence->is_closing = true;
    free_all_rooms(presence);
    wh_loop_defer(presence->loop, &presence->answer);
}

static const struct presence_ops memory_ops = {
    .add = memory_add,
    .remove = memory_remove,
    .members = memory_members,
    .stats = memory_stats,
    .close = memory_close,
};

enum wh_err presence_memory_new(struct wh_loop *loop, struct presence **out_presence)
{
    struct memory_presence *presence = wh_calloc(1, sizeof *presence);
    if (!presence)
        return WH_ENOMEM;
    presence->base.ops = &memory_ops;
    presence->loop = loop;
    wh_list_init(&presence->questions);
    wh_task_init(&presence->answer, on_answer);
    *out_presence = &presence->base;
    return WH_OK;
}
