/*
 * The state machine of a subscription.  SUBSCRIBING is one state with a
 * cascade behind it: sub_proceed looks at what is still missing (a connection, the
 * back-off, the state of the channel, a token), asks for the first such thing and is
 * called again when it is there; when nothing is missing the command goes out.
 *
 * A reply counts when it answers the newest subscribe command of this connection
 * (subscribe_id); all that unsubscribing or a lost connection has to do is to forget that
 * number.
 */
#include "client-sdk/src/sub_internal.h"
#include "client-sdk/src/tokens.h"

enum {
    FLAG_NUMBERS = 1,           /* pushes may carry a number instead of the channel's name */
    FLAG_REJECT_UNRECOVERED = 2 /* error 112 instead of a subscription with a gap */
};

bool sub_can_send(const struct engine *engine)
{
    return engine->state == ENGINE_HANDSHAKING || engine->state == ENGINE_CONNECTED;
}

/* ---- events of transitions ----------------------------------------------------------------------
 */

struct event *sub_event_new(struct wh_sub *sub, enum event_kind kind, struct message *message)
{
    struct event *event = event_new(kind, message, 0);
    if (!event)
        return NULL;
    sub_ref(sub);
    event->sub = sub;
    event->sub_generation = sub->generation;
    return event;
}

/* `message` NULL: `reason` is static. */
static struct event *subscribing_new(struct wh_sub *sub,
                                     struct message *message,
                                     uint32_t code,
                                     struct wh_slice reason)
{
    struct event *event = sub_event_new(sub, EVENT_SUBSCRIBING, message);
    if (!event)
        return NULL;
    event->u.transition.code = code;
    event->u.transition.reason = message ? message_cstr(message, reason) : reason.ptr;
    if (!event->u.transition.reason) {
        event_free(event);
        return NULL;
    }
    return event;
}

/* The unsubscribed event of a later day; it must not take a reference before it is used, or the
 * subscription would hold itself. */
static enum wh_err make_farewell(struct wh_sub *sub)
{
    if (!sub->farewell)
        sub->farewell = event_new(EVENT_UNSUBSCRIBED, NULL, SUB_REASON_BYTES_MAX + 1);
    return sub->farewell ? WH_OK : WH_ENOMEM;
}

static void push_farewell(struct wh_sub *sub, uint32_t code, struct wh_slice reason)
{
    struct event *event = sub->farewell;
    sub->farewell = NULL;
    char *text = event_extra(event);
    size_t len = reason.len < SUB_REASON_BYTES_MAX ? reason.len : SUB_REASON_BYTES_MAX;
    if (len > 0)
        memcpy(text, reason.ptr, len);
    text[len] = '\0';
    sub_ref(sub);
    event->sub = sub;
    event->sub_generation = sub->generation;
    event->u.transition.code = code;
    event->u.transition.reason = text;
    engine_push(sub->engine, event);
}

/* ---- what the program wants ---------------------------------------------------------------------
 */

enum wh_err sub_subscribe(struct wh_sub *sub)
{
    if (sub->engine->state == ENGINE_CLOSED || sub->is_freed)
        return WH_ECLOSED;
    if (sub->state != WH_SUB_UNSUBSCRIBED)
        return WH_OK;
    if (make_farewell(sub))
        return WH_ENOMEM;
    struct event *event =
        subscribing_new(sub, NULL, SUBSCRIBING_CALLED, WH_SLICE_LITERAL("subscribe called"));
    if (!event)
        return WH_ENOMEM;
    engine_push(sub->engine, event);
    sub->state = WH_SUB_SUBSCRIBING;
    wh_backoff_reset(&sub->backoff);
    sub_proceed(sub);
    return WH_OK;
}

void sub_drop_attempt(struct wh_sub *sub)
{
    struct engine *engine = sub->engine;
    wh_timer_stop(&engine->wheel, &sub->retry_timer);
    wh_timer_stop(&engine->wheel, &sub->refresh_timer);
    token_ask_drop(sub->token_ask);
    token_ask_drop(sub->state_ask);
    sub->token_ask = NULL;
    sub->state_ask = NULL;
    sub->subscribe_id = 0;
    if (sub->number != 0)
        wh_map_remove(&engine->sub_by_number, wh_slice(&sub->number, sizeof(sub->number)));
    sub->number = 0;
    sub_drop_delta(sub);
}

void sub_end(struct wh_sub *sub, uint32_t code, struct wh_slice reason)
{
    sub_drop_attempt(sub);
    sub->state = WH_SUB_UNSUBSCRIBED;
    push_farewell(sub, code, reason);
    calls_on_sub(sub->engine, sub);
}

void sub_send_unsubscribe(struct wh_sub *sub)
{
    struct engine *engine = sub->engine;
    if (!sub_can_send(engine))
        return;
    struct wh_unsubscribe_request request = {.channel = wh_slice_from_str(sub->channel)};
    struct wh_command command = {.unsubscribe = &request};
    enum wh_err err = engine_command(engine, PENDING_UNSUBSCRIBE, sub, &command);
    if (err == WH_ENOMEM)
        engine_reconnect_no_memory(engine);
    else if (err)
        engine_reconnect(engine, RECONNECT_UNSUBSCRIBE_ERROR, "unsubscribe error");
}

/* What no callback has seen is dropped, so the next subscribe must begin before it. */
static void rewind_position(struct wh_sub *sub)
{
    sub->received = sub->is_start_pending ? sub->start : sub->delivered;
    sub->is_rewound = true;
    sub->generation++;
}

void sub_unsubscribe(struct wh_sub *sub, uint32_t code, const char *reason)
{
    if (sub->state == WH_SUB_UNSUBSCRIBED)
        return;
    bool is_known = sub->state == WH_SUB_SUBSCRIBED || sub->subscribe_id != 0;
    rewind_position(sub);
    sub_end(sub, code, wh_slice_from_str(reason));
    if (is_known)
        sub_send_unsubscribe(sub);
}

/* ---- SUBSCRIBING --------------------------------------------------------------------------------
 */

static void fill_request(struct wh_sub *sub, struct wh_subscribe_request *request)
{
    *request = (struct wh_subscribe_request){
        .channel = wh_slice_from_str(sub->channel),
        .token = sub->token.len ? wh_buf_slice(&sub->token) : WH_SLICE_ABSENT,
        .data = sub->data,
        .positioned = sub->wants_positioned,
        .recoverable = sub->wants_recoverable,
        .join_leave = sub->wants_join_leave,
        .tf = sub->filter,
        .flag = FLAG_NUMBERS | (sub->events.get_state ? FLAG_REJECT_UNRECOVERED : 0),
    };
    if (sub->wants_delta)
        request->delta = WH_SLICE_LITERAL("fossil");
    if (sub->is_recoverable && sub->received.is_known) {
        request->recover = true;
        request->offset = sub->received.offset;
        request->epoch = wh_slice_from_str(sub->received.epoch);
    }
}

static void send_subscribe(struct wh_sub *sub)
{
    struct engine *engine = sub->engine;
    struct wh_subscribe_request request;
    fill_request(sub, &request);
    struct wh_command command = {.subscribe = &request};
    enum wh_err err = engine_command(engine, PENDING_SUBSCRIBE, sub, &command);
    if (!err) {
        sub->subscribe_id = command.id;
        sub->has_sent_recover = request.recover;
    } else if (err == WH_ENOMEM) {
        engine_reconnect_no_memory(engine);
    } else if (err == WH_EENCODING) {
        /* `data` cannot be said in the encoding of this connection, and never will. */
        sub_end(sub, WH_CODE_BAD_CONFIGURATION, wh_slice_from_str(wh_err_text(err)));
    }
}

void sub_proceed(struct wh_sub *sub)
{
    if (sub->state != WH_SUB_SUBSCRIBING || sub->subscribe_id != 0 || !sub_can_send(sub->engine) ||
        wh_timer_is_running(&sub->retry_timer))
        return;
    if (sub->must_get_state)
        sub_ask_state(sub);
    else if (sub->token.len == 0 && sub->events.get_token)
        sub_ask_token(sub);
    else
        send_subscribe(sub);
}

void sub_retry_later(struct wh_sub *sub)
{
    struct engine *engine = sub->engine;
    wh_timer_start(&engine->wheel, &sub->retry_timer, engine->now_ms,
                   wh_backoff_next_ms(&sub->backoff));
}

/* ---- leaving SUBSCRIBED
 * -------------------------------------------------------------------------- */

/* The delay before subscribing anew: none after a subscription that lasted, so that a gap is short;
 * the back-off goes on where the last one ended quickly, so that no server is asked in a circle. */
static uint32_t resubscribe_delay_ms(struct wh_sub *sub)
{
    if (sub->engine->now_ms - sub->subscribed_at_ms < sub->backoff.max_ms)
        return wh_backoff_next_ms(&sub->backoff);
    wh_backoff_reset(&sub->backoff);
    return 0;
}

void sub_begin_anew(struct wh_sub *sub,
                    struct message *message,
                    uint32_t code,
                    struct wh_slice reason)
{
    struct engine *engine = sub->engine;
    struct event *event = subscribing_new(sub, message, code, reason);
    if (!event) {
        engine_reconnect_no_memory(engine);
        return;
    }
    uint32_t delay_ms = resubscribe_delay_ms(sub);
    event->u.transition.retry_ms = delay_ms;
    sub_drop_attempt(sub);
    sub->state = WH_SUB_SUBSCRIBING;
    engine_push(engine, event);
    if (delay_ms > 0)
        wh_timer_start(&engine->wheel, &sub->retry_timer, engine->now_ms, delay_ms);
    else
        sub_proceed(sub);
}

void sub_distrust(struct wh_sub *sub)
{
    struct wh_error error = engine_error_make(
        WH_EFORMAT, 0, true, 0, "a patch does not fit: subscribing anew, without patches");
    engine_error(sub->engine, sub, &error);
    sub->wants_delta = false;
    /* The server thinks that we are subscribed, and the next subscribe must come behind this; it
     * can also end the connection, and then nothing is left to do. */
    sub->subscribe_id = 0;
    sub_send_unsubscribe(sub);
    if (!sub_can_send(sub->engine))
        return;
    if (sub->state == WH_SUB_SUBSCRIBED) {
        sub_begin_anew(sub, NULL, SUBSCRIBING_INSUFFICIENT_STATE,
                       WH_SLICE_LITERAL("insufficient state"));
    } else {
        sub_drop_attempt(sub);
        sub_retry_later(sub);
    }
}

static void disconnect_one(struct wh_sub *sub)
{
    bool was_subscribed = sub->state == WH_SUB_SUBSCRIBED;
    if (sub->state == WH_SUB_UNSUBSCRIBED)
        return;
    struct token_ask *token_ask = sub->token_ask, *state_ask = sub->state_ask;
    if (!was_subscribed) {
        /* Answers that are on their way serve the next connection as well. */
        sub->token_ask = NULL;
        sub->state_ask = NULL;
    }
    sub_drop_attempt(sub);
    if (!was_subscribed) {
        sub->token_ask = token_ask;
        sub->state_ask = state_ask;
        return;
    }
    sub->state = WH_SUB_SUBSCRIBING;
    wh_backoff_reset(&sub->backoff);
    struct event *event = subscribing_new(sub, NULL, SUBSCRIBING_TRANSPORT_CLOSED,
                                          WH_SLICE_LITERAL("transport closed"));
    if (event) /* without memory the program hears of it by the next subscribed */
        engine_push(sub->engine, event);
}

void subs_on_disconnected(struct engine *engine)
{
    WH_LIST_EACH(node, &engine->subs_in_order)
    disconnect_one(WH_CONTAINER_OF(node, struct wh_sub, link));
    server_subs_on_disconnected(engine);
}

void subs_send_waiting(struct engine *engine)
{
    WH_LIST_EACH(node, &engine->subs_in_order)
    sub_proceed(WH_CONTAINER_OF(node, struct wh_sub, link));
}

/* ---- invalidation
 * --------------------------------------------------------------------------------- */

void sub_invalidate(struct wh_sub *sub)
{
    if (sub->events.get_token)
        wh_buf_reset(&sub->token);
    sub_drop_delta(sub);
    if (!sub->is_recoverable)
        return;
    sub_position_set_lost(&sub->received);
    /* Unsubscribing must not go back behind this, whatever is delivered until the next start. */
    sub->start = sub->received;
    sub->start_serial++;
    sub->is_start_pending = true;
}

void subs_invalidate(struct engine *engine)
{
    size_t cursor = 0;
    struct wh_sub *sub;
    while ((sub = wh_map_next(&engine->subs, &cursor)) != NULL)
        sub_invalidate(sub);
    server_subs_invalidate(engine);
}
