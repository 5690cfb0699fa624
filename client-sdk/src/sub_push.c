/*
 * What the server sends by itself to a channel.  A push costs one lookup, by
 * the number that the server gave the channel or by its name, and one event in the
 * memory of the message; payloads stay where they are.
 */
#include "client-sdk/src/sub_internal.h"

const char *message_copy_str(struct message *message, struct wh_slice text)
{
    return wh_arena_copy(&message->arena, text).ptr;
}

/* ---- publications
 * ------------------------------------------------------------------------------------ */

enum wh_err sub_make_publication(struct wh_sub *sub,
                                 struct message *message,
                                 const struct wh_pub *pub,
                                 const char *channel,
                                 struct event **out_event)
{
    struct wh_pub whole = *pub;
    struct message *holder = NULL;
    if (pub->delta && !sub->is_delta)
        return WH_EFORMAT;
    if (sub->is_delta) {
        enum wh_err err = sub_undo_delta(sub, message, pub, &holder, &whole);
        if (err)
            return err;
        if (holder != message)
            channel = message_copy_str(holder, wh_slice_from_str(channel));
    } else {
        holder = message_ref(message);
    }
    struct event *event = channel ? sub_event_new(sub, EVENT_PUBLICATION, holder) : NULL;
    bool is_made = event && publication_init(&event->u.publication, holder, &whole, channel);
    if (!is_made)
        event_free(event);
    message_unref(holder); /* the event has one of its own */
    if (!is_made)
        return WH_ENOMEM;
    event->bytes += whole.data.bytes.len;
    *out_event = event;
    return WH_OK;
}

/* Whether `pub` moves the position; false for what was skipped from history. */
static bool is_counted(const struct wh_sub *sub, const struct wh_pub *pub)
{
    if (!sub->is_positioned || !sub->received.is_known || pub->offset == 0)
        return false;
    return pub->epoch.len == 0 || sub->received.epoch[0] == '\0' ||
           wh_slice_equal_str(pub->epoch, sub->received.epoch);
}

static void on_publication(struct wh_sub *sub,
                           struct message *message,
                           const struct wh_pub *pub,
                           const char *channel)
{
    struct event *event;
    enum wh_err err = sub_make_publication(sub, message, pub, channel, &event);
    if (err == WH_ENOMEM) {
        engine_reconnect_no_memory(sub->engine);
        return;
    }
    if (err) {
        sub_distrust(sub);
        return;
    }
    if (is_counted(sub, pub)) {
        if (pub->offset <= sub->received.offset) {
            event_free(event); /* has been an event already, of a recovery */
            return;
        }
        event->position = (struct event_position){
            .is_set = true, .serial = sub->start_serial, .offset = pub->offset};
        if (sub->received.epoch[0] == '\0' && pub->epoch.len > 0)
            event->position.epoch = message_copy_str(event->message, pub->epoch);
        sub_position_set(&sub->received, wh_slice_from_str(event->position.epoch), pub->offset);
    }
    engine_push(sub->engine, event);
}

/* ---- the rest
 * ------------------------------------------------------------------------------------------ */

static void on_presence(struct wh_sub *sub,
                        struct message *message,
                        enum event_kind kind,
                        const struct wh_info *info)
{
    if (!info)
        return;
    struct event *event = sub_event_new(sub, kind, message);
    if (!event || !client_info_init(&event->u.info, message, info)) {
        event_free(event);
        engine_reconnect_no_memory(sub->engine);
        return;
    }
    engine_push(sub->engine, event);
}

static void on_unsubscribe(struct wh_sub *sub,
                           struct message *message,
                           const struct wh_unsubscribe_push *push)
{
    if (push->code < UNSUBSCRIBE_RESUBSCRIBE_MIN) {
        sub_end(sub, push->code, push->reason);
        return;
    }
    if (push->code == SUBSCRIBING_INVALIDATED)
        sub_invalidate(sub);
    sub_begin_anew(sub, message, push->code, push->reason);
}

static const char *push_channel(const struct wh_sub *sub,
                                struct message *message,
                                const struct wh_push *push)
{
    return push->channel.len > 0 ? message_cstr(message, push->channel)
                                 : message_copy_str(message, wh_slice_from_str(sub->channel));
}

static void sub_on_push(struct wh_sub *sub, struct message *message, const struct wh_push *push)
{
    if (push->pub) {
        const char *channel = push_channel(sub, message, push);
        if (channel)
            on_publication(sub, message, push->pub, channel);
        else
            engine_reconnect_no_memory(sub->engine);
    } else if (push->join) {
        on_presence(sub, message, EVENT_JOIN, push->join->info);
    } else if (push->leave) {
        on_presence(sub, message, EVENT_LEAVE, push->leave->info);
    } else if (push->unsubscribe) {
        on_unsubscribe(sub, message, push->unsubscribe);
    }
}

static struct wh_sub *find_target(struct engine *engine, const struct wh_push *push)
{
    if (push->id != 0)
        return wh_map_get(&engine->sub_by_number, wh_slice(&push->id, sizeof(push->id)));
    return sub_find(engine, push->channel);
}

void subs_on_push(struct engine *engine, struct message *message, const struct wh_push *push)
{
    struct wh_sub *sub = find_target(engine, push);
    /* What comes for one that is not SUBSCRIBED is of a subscription that was given up: the reply
     * to a new one comes before anything of it. */
    if (sub && sub->state == WH_SUB_SUBSCRIBED && !push->subscribe)
        sub_on_push(sub, message, push);
    else if (push->id == 0)
        server_subs_on_push(engine, message, push);
}
