/*
 * Subscriptions that the server made: a table of channels with their
 * positions, and events of the client.  The server says what there is, in each
 * connect reply and by pushes; we only remember in order to recover.
 */
#include "client-sdk/src/sub_internal.h"
#include "common/base/alloc.h"

/* ---- the table
 * ----------------------------------------------------------------------------------------- */

static struct server_sub *find(struct engine *engine, struct wh_slice channel)
{
    return wh_map_get(&engine->server_subs, channel);
}

static struct wh_slice key_of(const struct server_sub *sub)
{
    return wh_slice_from_str(sub->channel);
}

/* A known one, or a new one.  WH_ELIMIT, WH_ENOMEM; WH_EFORMAT: no name for a channel. */
static enum wh_err obtain(struct engine *engine, struct wh_slice channel, struct server_sub **out)
{
    *out = find(engine, channel);
    if (*out)
        return WH_OK;
    if (channel.len == 0 || channel.len > ENGINE_CHANNEL_BYTES_MAX ||
        memchr(channel.ptr, '\0', channel.len))
        return WH_EFORMAT;
    if (engine->subs.count + engine->server_subs.count >= ENGINE_SUBS_MAX)
        return WH_ELIMIT;
    struct server_sub *sub = wh_calloc(1, sizeof(*sub) + channel.len + 1);
    if (!sub)
        return WH_ENOMEM;
    sub->channel = (char *)(sub + 1);
    memcpy(sub->channel, channel.ptr, channel.len);
    if (wh_map_add(&engine->server_subs, key_of(sub), sub)) {
        wh_free(sub);
        return WH_ENOMEM;
    }
    *out = sub;
    return WH_OK;
}

static void discard(struct engine *engine, struct server_sub *sub)
{
    wh_map_remove(&engine->server_subs, key_of(sub));
    wh_free(sub);
}

void server_subs_deinit(struct engine *engine)
{
    size_t cursor = 0;
    struct server_sub *sub;
    while ((sub = wh_map_next(&engine->server_subs, &cursor)) != NULL)
        wh_free(sub);
    wh_map_deinit(&engine->server_subs);
}

/* ---- events
 * -------------------------------------------------------------------------------------------- */

/* Name and reason are the event's own: subscription and message may be gone before it is read. */
static struct event *transition_new(enum event_kind kind,
                                    const char *channel,
                                    uint32_t code,
                                    struct wh_slice reason)
{
    size_t size = strlen(channel) + 1;
    if (reason.len > SUB_REASON_BYTES_MAX)
        reason.len = SUB_REASON_BYTES_MAX;
    struct event *event = event_new(kind, NULL, size + reason.len + 1);
    if (!event)
        return NULL;
    char *text = event_extra(event); /* of zeros */
    event->channel = memcpy(text, channel, size);
    if (reason.len > 0)
        memcpy(text + size, reason.ptr, reason.len);
    event->u.transition.code = code;
    event->u.transition.reason = text + size;
    return event;
}

/* Names and limits that no server of ours breaks: told, and passed over. */
static void report(struct engine *engine, enum wh_err err, struct wh_slice channel)
{
    int shown = channel.len < 64 ? (int)channel.len : 64;
    struct wh_error error =
        engine_error_make(err, 0, false, 0, "server-side subscription \"%.*s\": %s", shown,
                          channel.ptr ? channel.ptr : "", wh_err_text(err));
    engine_error(engine, NULL, &error);
}

struct subscribed {
    const char *channel, *epoch; /* in the message */
    bool recoverable, positioned, was_recovering, recovered;
    uint64_t offset;
    struct wh_payload data;
};

static bool push_subscribed(struct engine *engine,
                            struct message *message,
                            const struct subscribed *from)
{
    struct event *event = event_new(EVENT_SUBSCRIBED, message, 0);
    if (!event)
        return false;
    event->channel = from->channel;
    event->u.subscribed = (struct wh_subscribed){
        .channel = from->channel,
        .recoverable = from->recoverable,
        .positioned = from->positioned,
        .position = {from->offset, from->epoch},
        .was_recovering = from->was_recovering,
        .recovered = from->recovered,
        .data = data_of_payload(from->data),
    };
    engine_push(engine, event);
    return true;
}

static bool push_publication(struct engine *engine,
                             struct message *message,
                             const struct wh_pub *pub,
                             const char *channel)
{
    struct event *event = event_new(EVENT_PUBLICATION, message, 0);
    if (!event)
        return false;
    event->channel = channel;
    if (!publication_init(&event->u.publication, message, pub, channel)) {
        event_free(event);
        return false;
    }
    event->bytes += pub->data.bytes.len;
    engine_push(engine, event);
    return true;
}

/* ---- positions
 * ----------------------------------------------------------------------------------------- */

/* Whether `pub` is news; moves the position to it. */
static bool advance(struct server_sub *sub, const struct wh_pub *pub)
{
    struct sub_position *at = &sub->position;
    if (!sub->is_positioned || !at->is_known || pub->offset == 0)
        return true;
    bool is_adopting = at->epoch[0] == '\0' && pub->epoch.len > 0;
    if (pub->epoch.len > 0 && !is_adopting && !wh_slice_equal_str(pub->epoch, at->epoch))
        return true;
    if (pub->offset <= at->offset)
        return false;
    sub_position_set(at, is_adopting ? pub->epoch : WH_SLICE_ABSENT, pub->offset);
    return true;
}

/* `base`: the position before the publications that follow. */
static void begin(struct server_sub *sub, const struct subscribed *from, uint64_t base)
{
    sub->is_subscribed = true;
    sub->is_recoverable = from->recoverable;
    sub->is_positioned = from->positioned || from->recoverable;
    sub->position.is_known = false;
    if (sub->is_positioned)
        sub_position_set(&sub->position, wh_slice_from_str(from->epoch), base);
}

enum wh_err subs_fill_connect(struct engine *engine,
                              struct wh_arena *arena,
                              struct wh_connect_request *request)
{
    size_t count = engine->server_subs.count;
    if (count == 0)
        return WH_OK;
    request->subs.keys = wh_arena_alloc_array(arena, count, sizeof(*request->subs.keys));
    request->subs.values = wh_arena_alloc_array(arena, count, sizeof(*request->subs.values));
    if (!request->subs.keys || !request->subs.values)
        return WH_ENOMEM;
    size_t cursor = 0;
    const struct server_sub *sub;
    while ((sub = wh_map_next(&engine->server_subs, &cursor)) != NULL) {
        if (!sub->is_recoverable || !sub->position.is_known)
            continue;
        size_t i = request->subs.count++;
        request->subs.keys[i] = key_of(sub);
        request->subs.values[i] = (struct wh_subscribe_request){
            .recover = true,
            .offset = sub->position.offset,
            .epoch = wh_slice_from_str(sub->position.epoch),
        };
    }
    return WH_OK;
}

void server_subs_invalidate(struct engine *engine)
{
    size_t cursor = 0;
    struct server_sub *sub;
    while ((sub = wh_map_next(&engine->server_subs, &cursor)) != NULL) {
        if (sub->is_recoverable)
            sub_position_set_lost(&sub->position);
    }
}

/* ---- the connect reply
 * --------------------------------------------------------------------------------- */

static bool take_publications(struct engine *engine,
                              struct message *message,
                              struct server_sub *sub,
                              const struct wh_subscribe_result *result,
                              const char *channel)
{
    for (size_t i = 0; i < result->publications.count; i++) {
        const struct wh_pub *pub = &result->publications.items[i];
        uint64_t before = sub->position.offset;
        if (!advance(sub, pub))
            continue;
        if (!push_publication(engine, message, pub, channel)) {
            sub->position.offset = before; /* recovered again on the next connection */
            return false;
        }
    }
    return true;
}

static enum wh_err take_listed(struct engine *engine,
                               struct message *message,
                               struct wh_slice name,
                               const struct wh_subscribe_result *result)
{
    struct server_sub *sub;
    enum wh_err err = obtain(engine, name, &sub);
    if (err)
        return err;
    sub->is_listed = true;
    struct subscribed from = {
        .channel = message_cstr(message, name),
        .epoch = message_cstr(message, result->epoch),
        .recoverable = result->recoverable,
        .positioned = result->positioned || result->recoverable,
        .was_recovering = result->was_recovering,
        .recovered = result->recovered,
        .offset = result->offset,
        .data = result->data,
    };
    if (!from.channel || !from.epoch || !push_subscribed(engine, message, &from))
        return WH_ENOMEM;
    uint64_t base = result->offset;
    if (result->recovered && sub->position.is_known)
        base = sub->position.offset; /* some servers tell the one after the last publication */
    else if (result->publications.count > 0 && result->publications.items[0].offset > 0)
        base = result->publications.items[0].offset - 1;
    begin(sub, &from, base);
    if (!take_publications(engine, message, sub, result, from.channel))
        return WH_ENOMEM;
    if (sub->position.is_known && result->offset > sub->position.offset &&
        result->epoch.len <= SUB_EPOCH_BYTES_MAX)
        sub->position.offset = result->offset;
    return WH_OK;
}

static void end(struct engine *engine,
                struct server_sub *sub,
                uint32_t code,
                struct wh_slice reason)
{
    struct event *event = transition_new(EVENT_UNSUBSCRIBED, sub->channel, code, reason);
    if (!event) {
        /* Kept, so that the next connect reply misses it again. */
        engine_reconnect_no_memory(engine);
        return;
    }
    discard(engine, sub);
    engine_push(engine, event);
}

static void drop_unlisted(struct engine *engine)
{
    struct wh_list gone;
    wh_list_init(&gone);
    size_t cursor = 0;
    struct server_sub *sub;
    while ((sub = wh_map_next(&engine->server_subs, &cursor)) != NULL) {
        if (!sub->is_listed)
            wh_list_push_back(&gone, &sub->link);
        sub->is_listed = false;
    }
    struct wh_list *link;
    while ((link = wh_list_pop_front(&gone)) != NULL)
        end(engine, WH_CONTAINER_OF(link, struct server_sub, link), 0,
            WH_SLICE_LITERAL("not among the subscriptions of this connection"));
}

void subs_on_connected(struct engine *engine,
                       struct message *message,
                       const struct wh_connect_result *result)
{
    for (size_t i = 0; i < result->subs.count; i++) {
        enum wh_err err =
            take_listed(engine, message, result->subs.keys[i], &result->subs.values[i]);
        if (err == WH_ENOMEM) {
            engine_reconnect_no_memory(engine);
            return;
        }
        if (err)
            report(engine, err, result->subs.keys[i]);
    }
    drop_unlisted(engine);
}

void server_subs_on_disconnected(struct engine *engine)
{
    size_t cursor = 0;
    struct server_sub *sub;
    while ((sub = wh_map_next(&engine->server_subs, &cursor)) != NULL) {
        if (!sub->is_subscribed)
            continue;
        sub->is_subscribed = false;
        sub->is_listed = false;
        struct event *event =
            transition_new(EVENT_SUBSCRIBING, sub->channel, SUBSCRIBING_TRANSPORT_CLOSED,
                           WH_SLICE_LITERAL("transport closed"));
        if (event) /* without memory the program hears of it by the next subscribed */
            engine_push(engine, event);
    }
}

/* ---- pushes
 * -------------------------------------------------------------------------------------------- */

static enum wh_err on_subscribe(struct engine *engine,
                                struct message *message,
                                const struct wh_push *push)
{
    struct server_sub *sub;
    enum wh_err err = obtain(engine, push->channel, &sub);
    if (err)
        return err;
    struct subscribed from = {
        .channel = message_cstr(message, push->channel),
        .epoch = message_cstr(message, push->subscribe->epoch),
        .recoverable = push->subscribe->recoverable,
        .positioned = push->subscribe->positioned || push->subscribe->recoverable,
        .offset = push->subscribe->offset,
        .data = push->subscribe->data,
    };
    if (!from.channel || !from.epoch || !push_subscribed(engine, message, &from))
        return WH_ENOMEM;
    begin(sub, &from, from.offset);
    return WH_OK;
}

static enum wh_err on_presence(struct engine *engine,
                               struct message *message,
                               const struct wh_push *push)
{
    const struct wh_join *from = push->join ? push->join : push->leave;
    if (!from->info)
        return WH_OK;
    struct event *event = event_new(push->join ? EVENT_JOIN : EVENT_LEAVE, message, 0);
    if (!event)
        return WH_ENOMEM;
    event->channel = message_cstr(message, push->channel);
    if (!event->channel || !client_info_init(&event->u.info, message, from->info)) {
        event_free(event);
        return WH_ENOMEM;
    }
    engine_push(engine, event);
    return WH_OK;
}

static enum wh_err on_publication(struct engine *engine,
                                  struct message *message,
                                  struct server_sub *sub,
                                  const struct wh_push *push)
{
    struct sub_position before = sub->position;
    if (!advance(sub, push->pub))
        return WH_OK;
    const char *channel = message_cstr(message, push->channel);
    if (channel && push_publication(engine, message, push->pub, channel))
        return WH_OK;
    sub->position = before;
    return WH_ENOMEM;
}

void server_subs_on_push(struct engine *engine, struct message *message, const struct wh_push *push)
{
    struct server_sub *sub = find(engine, push->channel);
    enum wh_err err = WH_OK;
    if (push->subscribe)
        err = on_subscribe(engine, message, push);
    else if (!sub || !sub->is_subscribed)
        return;
    else if (push->pub)
        err = on_publication(engine, message, sub, push);
    else if (push->join || push->leave)
        err = on_presence(engine, message, push);
    else if (push->unsubscribe)
        end(engine, sub, push->unsubscribe->code, push->unsubscribe->reason);
    if (err == WH_ENOMEM)
        engine_reconnect_no_memory(engine);
    else if (err)
        report(engine, err, push->channel);
}
