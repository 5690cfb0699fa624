/*
 * Replies to the commands of subscriptions.  A subscribe that worked becomes
 * one batch of events: subscribed, then what was recovered.  The batch is made as a
 * whole before anything changes, so that memory which runs out leaves a
 * subscription that is tried again.
 */
#include "client-sdk/src/sub_internal.h"

struct wh_error sub_error_of(const struct wh_error_reply *error)
{
    return engine_error_make(WH_ESERVER, error->code, error->temporary, 0, "%.*s",
                             WH_SLICE_ARGS(error->message));
}

/* ---- a subscribe that worked
 * ------------------------------------------------------------------------ */

struct batch {
    struct wh_sub *sub;
    struct message *message;
    const struct wh_subscribe_result *result;
    const char *channel, *epoch; /* in the message */
    bool is_positioned;
    bool is_start;            /* does not go on from what was before */
    struct sub_position next; /* after what has been put together */
    struct wh_list events;
    struct event *last;
};

static void drop_batch(struct batch *batch)
{
    struct wh_list *link;
    while ((link = wh_list_pop_front(&batch->events)) != NULL)
        event_free(WH_CONTAINER_OF(link, struct event, link));
}

static void append(struct batch *batch, struct event *event)
{
    if (batch->is_positioned)
        event->position = (struct event_position){
            .is_set = true,
            .serial = batch->sub->start_serial + (batch->is_start ? 1 : 0),
            .offset = batch->next.offset,
        };
    wh_list_push_back(&batch->events, &event->link);
    batch->last = event;
}

/* The position before the first publication of the reply. */
static uint64_t base_offset(const struct batch *batch)
{
    const struct wh_subscribe_result *result = batch->result;
    if (!batch->is_start)
        return batch->sub->received.offset; /* some servers tell the one after the last */
    if (result->publications.count > 0 && result->publications.items[0].offset > 0)
        return result->publications.items[0].offset - 1;
    return result->offset;
}

static enum wh_err append_subscribed(struct batch *batch)
{
    const struct wh_subscribe_result *result = batch->result;
    struct event *event = sub_event_new(batch->sub, EVENT_SUBSCRIBED, batch->message);
    if (!event)
        return WH_ENOMEM;
    event->u.subscribed = (struct wh_subscribed){
        .channel = batch->channel,
        .recoverable = result->recoverable,
        .positioned = batch->is_positioned,
        .position = {result->offset, batch->epoch},
        .was_recovering = result->was_recovering,
        .recovered = result->recovered,
        .data = data_of_payload(result->data),
    };
    append(batch, event);
    event->position.is_start = batch->is_start;
    event->position.epoch = result->epoch.len > SUB_EPOCH_BYTES_MAX ? "_" : batch->epoch;
    return WH_OK;
}

static enum wh_err append_publications(struct batch *batch)
{
    for (size_t i = 0; i < batch->result->publications.count; i++) {
        const struct wh_pub *pub = &batch->result->publications.items[i];
        struct event *event;
        enum wh_err err =
            sub_make_publication(batch->sub, batch->message, pub, batch->channel, &event);
        if (err)
            return err;
        if (batch->is_positioned && pub->offset > 0 && pub->offset <= batch->next.offset) {
            event_free(event); /* seen before; made all the same: it may carry a patch's base */
            continue;
        }
        if (pub->offset > 0)
            batch->next.offset = pub->offset;
        append(batch, event);
    }
    return WH_OK;
}

static enum wh_err make_batch(struct batch *batch)
{
    struct wh_sub *sub = batch->sub;
    const struct wh_subscribe_result *result = batch->result;
    batch->channel = message_copy_str(batch->message, wh_slice_from_str(sub->channel));
    batch->epoch = message_cstr(batch->message, result->epoch);
    if (!batch->channel || !batch->epoch)
        return WH_ENOMEM;
    batch->is_positioned = result->positioned || result->recoverable;
    batch->is_start = !(result->recovered && sub->has_sent_recover && sub->received.is_known);
    sub_position_set(&batch->next, wh_slice_from_str(batch->epoch), base_offset(batch));
    enum wh_err err = append_subscribed(batch);
    if (!err)
        err = append_publications(batch);
    if (err || !batch->is_positioned)
        return err;
    if (result->offset > batch->next.offset && result->epoch.len <= SUB_EPOCH_BYTES_MAX)
        batch->next.offset = result->offset;
    batch->last->position.offset = batch->next.offset;
    return WH_OK;
}

static void take_position(struct batch *batch)
{
    struct wh_sub *sub = batch->sub;
    sub->is_positioned = batch->is_positioned;
    sub->is_recoverable = batch->result->recoverable;
    sub->is_rewound = false;
    if (!batch->is_positioned) {
        sub->received.is_known = false;
        sub->delivered.is_known = false;
        sub->is_start_pending = false;
        return;
    }
    if (batch->is_start) {
        sub->start_serial++;
        const struct event *first = WH_CONTAINER_OF(batch->events.next, struct event, link);
        sub_position_set(&sub->start, wh_slice_from_str(first->position.epoch),
                         first->position.offset);
        sub->is_start_pending = true;
    }
    sub->received = batch->next;
}

static void take_number(struct wh_sub *sub, int64_t number)
{
    if (number == 0)
        return;
    sub->number = number;
    /* Without the entry, pushes with the number are dropped: such a connection is of no use. */
    enum wh_err err =
        wh_map_add(&sub->engine->sub_by_number, wh_slice(&sub->number, sizeof(sub->number)), sub);
    if (err)
        sub->number = 0;
    if (err == WH_ENOMEM)
        engine_reconnect_no_memory(sub->engine);
}

static void push_batch(struct batch *batch)
{
    struct wh_sub *sub = batch->sub;
    struct engine *engine = sub->engine;
    take_position(batch);
    sub->state = WH_SUB_SUBSCRIBED;
    sub->subscribed_at_ms = engine->now_ms;
    struct wh_list *link;
    while ((link = wh_list_pop_front(&batch->events)) != NULL)
        engine_push(engine, WH_CONTAINER_OF(link, struct event, link));
    if (batch->result->expires)
        sub_schedule_refresh(sub, batch->result->ttl);
    calls_on_sub(engine, sub);
    take_number(sub, batch->result->id);
}

void sub_on_subscribed(struct wh_sub *sub,
                       struct message *message,
                       const struct wh_subscribe_result *result)
{
    struct batch batch = {.sub = sub, .message = message, .result = result};
    wh_list_init(&batch.events);
    sub_drop_delta(sub);
    sub->is_delta = result->delta;
    enum wh_err err = make_batch(&batch);
    if (!err) {
        push_batch(&batch);
        return;
    }
    drop_batch(&batch);
    if (err == WH_ENOMEM)
        engine_reconnect_no_memory(sub->engine);
    else
        sub_distrust(sub);
}

/* ---- the reply, whatever it says
 * --------------------------------------------------------------------- */

static void on_error(struct wh_sub *sub, const struct wh_error_reply *reply_error)
{
    struct wh_error error = sub_error_of(reply_error);
    if (error.code == ERROR_UNRECOVERABLE_POSITION && sub->events.get_state) {
        /* The first time at once: what was loaded long ago is simply too old. */
        sub->must_get_state = true;
        if (sub->backoff.step > 0) {
            sub_retry_later(sub);
        } else {
            sub->backoff.step = 1;
            sub_proceed(sub);
        }
    } else if (error.code == ERROR_TOKEN_EXPIRED) {
        if (!sub_drop_token(sub))
            return;
        engine_error(sub->engine, sub, &error);
        sub_retry_later(sub);
    } else if (error.temporary || error.code < 100) {
        engine_error(sub->engine, sub, &error);
        sub_retry_later(sub);
    } else {
        sub_end(sub, error.code, reply_error->message);
    }
}

static void on_subscribe_reply(struct wh_sub *sub,
                               const struct pending *pending,
                               struct message *message,
                               const struct wh_reply *reply)
{
    static const struct wh_subscribe_result nothing;
    if (!reply) {
        /* Whether the server subscribed us is unknown; a new connection knows. */
        engine_reconnect(sub->engine, RECONNECT_SUBSCRIBE_TIMEOUT, "subscribe timeout");
        return;
    }
    if (sub->state != WH_SUB_SUBSCRIBING || sub->subscribe_id != pending->id)
        return; /* given up since */
    sub->subscribe_id = 0;
    if (reply->error)
        on_error(sub, reply->error);
    else
        sub_on_subscribed(sub, message, reply->subscribe ? reply->subscribe : &nothing);
}

void subs_on_reply(struct engine *engine,
                   struct pending *pending,
                   struct message *message,
                   const struct wh_reply *reply)
{
    if (pending->connection != engine->connection)
        return;
    if (pending->kind == PENDING_SUBSCRIBE)
        on_subscribe_reply(pending->sub, pending, message, reply);
    else if (pending->kind == PENDING_SUB_REFRESH)
        sub_on_refresh_reply(pending->sub, reply);
    else if (!reply || reply->error)
        engine_reconnect(engine, RECONNECT_UNSUBSCRIBE_ERROR, "unsubscribe error");
}
