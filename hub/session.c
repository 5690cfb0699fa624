/*
 * A session is in exactly one state, and each state has its place: NEW, READY
 * and REFUSED sessions are on node->sessions, CLOSING ones are on no list and
 * wait for their transport to end.
 *
 * Output: replies are collected in node->replies, so that all replies to one
 * incoming message share one outgoing message; any other output ends the
 * collection first.  Finished frames go to the session's queue and leave at
 * the end of the turn in as few writes as possible.  A frame that finds the
 * queue empty and the socket willing is written without ever being queued.
 */
#include "hub/session.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/protocol/codec.h"
#include "hub/command.h"
#include "hub/identity.h"
#include "hub/subscribe.h"
#include "hub/tracing.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    WRITE_BYTES_MAX = 64 * 1024, /* how much one write packs */
    CLOSE_TIMEOUT_MS = 5000,
    REFUSED_TIMEOUT_MS = 5000,
    SUBS_CHECK_MS = 1000 /* how late an expired subscription may be found */
};

static void on_timer(struct wh_timer *timer);
static void on_keys(struct jwks_waiter *waiter);

/* Queue */

static bool queue_grow(struct session_queue *queue)
{
    uint32_t capacity = queue->capacity ? queue->capacity * 2 : 4;
    struct wh_frame **frames = wh_malloc(capacity * sizeof(struct wh_frame *));
    if (frames == NULL)
        return false;
    for (uint32_t i = 0; i < queue->count; i++)
        frames[i] = queue->frames[(queue->head + i) & (queue->capacity - 1)];
    wh_free(queue->frames);
    queue->frames = frames;
    queue->capacity = capacity;
    queue->head = 0;
    return true;
}

static struct wh_frame *queue_first(const struct session_queue *queue)
{
    return queue->count ? queue->frames[queue->head] : NULL;
}

static void queue_drop_first(struct session *session)
{
    struct session_queue *queue = &session->queue;
    struct wh_frame *frame = queue->frames[queue->head];
    queue->head = (queue->head + 1) & (queue->capacity - 1);
    queue->count--;
    queue->bytes -= frame->len;
    metrics_add(session->node->metrics, METRIC_QUEUE_BYTES, -(int64_t)frame->len);
    wh_frame_unref(frame);
    if (queue->count == 0) {
        wh_free(queue->frames); /* an idle session keeps no ring */
        *queue = (struct session_queue){0};
    }
}

static void queue_clear(struct session *session)
{
    while (session->queue.count)
        queue_drop_first(session);
}

/* Life */

enum wh_err session_open(struct node *node,
                         struct transport *transport,
                         enum wh_encoding encoding,
                         const char *peer,
                         struct session **out_session)
{
    struct session *session = wh_calloc(1, sizeof(*session));
    if (session == NULL)
        return WH_ENOMEM;
    session->node = node;
    session->transport = transport;
    session->encoding = encoding;
    session->opened_ms = wh_loop_now_ms(node->loop);
    snprintf(session->peer, sizeof(session->peer), "%s", peer);
    wh_random_uuid_v4(session->id);
    wh_list_init(&session->link);
    wh_list_init(&session->dirty_link);
    wh_list_init(&session->doomed_link);
    wh_list_init(&session->user_link);
    wh_list_init(&session->subscriptions);
    wh_list_init(&session->pending);
    wh_list_init(&session->calls);
    wh_timer_init(&session->timer, on_timer);
    jwks_waiter_init(&session->key_waiter, on_keys);
    wh_list_push_back(&node->sessions, &session->link);
    node->session_count++;
    wh_loop_timer_start(node->loop, &session->timer, node->config->client.stale_close_delay_ms);
    *out_session = session;
    return WH_OK;
}

/* Leave every list that makes others find this session. */
static void detach(struct session *session)
{
    struct node *node = session->node;
    if (session->state == SESSION_READY)
        metrics_add(node->metrics,
                    (enum metric)((int)METRIC_CONNECTIONS_JSON + (int)session->encoding), -1);
    if (node->replies_to == session) /* while it may still queue: they leave before the close */
        session_end_replies(node);
    session->state = SESSION_CLOSING;
    command_abandon(session);
    WH_LIST_EACH(link, &session->subscriptions)
    subscription_end(WH_CONTAINER_OF(link, struct subscription, session_link), 0);
    registry_detach_user(&node->registry, session);
    wh_list_remove(&session->link);
    wh_list_remove(&session->doomed_link);
    wh_loop_timer_stop(node->loop, &session->timer);
    node->session_count--;
}

static void close_transport(struct session *session, uint64_t timeout_ms)
{
    struct transport *transport = session->transport;
    wh_loop_timer_stop(session->node->loop, &session->timer);
    wh_list_remove(&session->dirty_link);
    queue_clear(session);
    transport->ops->close(transport, session->doom_code,
                          session->close_reason ? session->close_reason
                                                : wh_code_text(session->doom_code),
                          timeout_ms);
}

void session_close(struct session *session, uint32_t code)
{
    struct node *node = session->node;
    if (session->state == SESSION_CLOSING)
        return;
    size_t queued = session->queue.bytes;
    detach(session);
    session->doom_code = code;
    metrics_count_code(node->metrics, METRIC_DISCONNECTS, code);
    static struct wh_log_limit limit;
    wh_log_limited(&limit, WH_LOG_INFO, "session", "close",
                   "session=%s peer=%s code=%" PRIu32 " reason=%s queued_bytes=%zu age_ms=%" PRIu64,
                   session->id, session->peer, code, wh_code_text(code), queued,
                   wh_loop_now_ms(node->loop) - session->opened_ms);
    if (code == WH_DISCONNECT_SLOW || code == WH_DISCONNECT_CONNECTION_CLOSED) {
        if (code == WH_DISCONNECT_SLOW)
            metrics_add(node->metrics, METRIC_SLOW_DISCONNECTS, 1);
        close_transport(session, node->config->websocket.write_timeout_ms);
        return;
    }
    /* What was queued before the close still goes out, within CLOSE_TIMEOUT_MS. */
    wh_loop_timer_start(node->loop, &session->timer, CLOSE_TIMEOUT_MS);
    session_flush(session);
}

void session_close_with(struct session *session, uint32_t code, struct wh_slice reason)
{
    if (session->state == SESSION_CLOSING)
        return;
    if (reason.len > 0 && (session->close_reason = wh_malloc(reason.len + 1)) != NULL) {
        memcpy(session->close_reason, reason.ptr, reason.len);
        session->close_reason[reason.len] = '\0';
    }
    session_close(session, code);
}

void session_doom(struct session *session, uint32_t code)
{
    if (session->state == SESSION_CLOSING || !wh_list_is_empty(&session->doomed_link))
        return;
    session->doom_code = code;
    wh_list_push_back(&session->node->doomed, &session->doomed_link);
}

void session_transport_closed(struct session *session)
{
    struct node *node = session->node;
    if (session->state != SESSION_CLOSING) {
        metrics_count_code(node->metrics, METRIC_DISCONNECTS, WH_DISCONNECT_CONNECTION_CLOSED);
        detach(session);
    }
    wh_loop_timer_stop(node->loop, &session->timer);
    wh_list_remove(&session->dirty_link);
    queue_clear(session);
    wh_buf_deinit(&session->held);
    wh_free((void *)session->conn_info.bytes.ptr);
    identity_free(session->identity);
    wh_free(session->rates);
    wh_free(session->close_reason);
    wh_free(session->trace);
    wh_free(session);
}

/* Output */

static void mark_dirty(struct session *session)
{
    if (wh_list_is_empty(&session->dirty_link))
        wh_list_push_back(&session->node->dirty, &session->dirty_link);
}

static bool is_over_limit(const struct session *session, size_t more)
{
    size_t held =
        session->transport->is_busy ? session->transport->ops->held_bytes(session->transport) : 0;
    return session->queue.bytes + held + more > session->node->config->client.queue_max_size;
}

static void enqueue(struct session *session, struct wh_frame *frame)
{
    struct session_queue *queue = &session->queue;
    if (session->state == SESSION_CLOSING || !wh_list_is_empty(&session->doomed_link))
        return;
    if (is_over_limit(session, frame->len)) {
        session_doom(session, WH_DISCONNECT_SLOW);
        return;
    }
    if (queue->count == queue->capacity && !queue_grow(queue)) {
        session_doom(session, WH_DISCONNECT_SERVER_ERROR);
        return;
    }
    queue->frames[(queue->head + queue->count) & (queue->capacity - 1)] = wh_frame_ref(frame);
    queue->count++;
    queue->bytes += frame->len;
    metrics_add(session->node->metrics, METRIC_QUEUE_BYTES, frame->len);
    mark_dirty(session);
}

void session_send(struct session *session, struct wh_frame *frame)
{
    if (session->node->replies_to == session)
        session_end_replies(session->node);
    enqueue(session, frame);
}

static void write_now(struct session *session, struct wh_slice wire)
{
    struct transport *transport = session->transport;
    metrics_add(session->node->metrics, METRIC_WIRE_BYTES_SENT, (int64_t)wire.len);
    if (!transport->ops->write(transport, wire))
        session_doom(session, WH_DISCONNECT_WRITE_ERROR);
    else if (transport->is_busy && is_over_limit(session, 0))
        session_doom(session, WH_DISCONNECT_SLOW);
}

void session_deliver(struct session *session, struct wh_frame *frame)
{
    if (!wh_list_is_empty(&session->doomed_link)) /* it may have missed something: no gaps */
        return;
    if (session->node->replies_to == session)
        session_end_replies(session->node);
    if (session->queue.count > 0 || session->transport->is_busy)
        enqueue(session, frame);
    else if (session->state != SESSION_CLOSING)
        write_now(session, wh_slice(frame->bytes, frame->len));
}

/* Put as many queued frames as one write takes into node->scratch and drop them. */
static struct wh_slice pack_queue(struct session *session)
{
    struct wh_buf *scratch = &session->node->scratch;
    wh_buf_reset(scratch);
    struct wh_frame *frame;
    while ((frame = queue_first(&session->queue)) != NULL) {
        if (scratch->len > 0 && scratch->len + frame->len > WRITE_BYTES_MAX)
            break;
        wh_buf_append(scratch, frame->bytes, frame->len);
        if (wh_buf_error(scratch))
            break;
        queue_drop_first(session);
    }
    return wh_buf_slice(scratch);
}

void session_flush(struct session *session)
{
    struct transport *transport = session->transport;
    while (session->queue.count > 0 && !transport->is_busy &&
           wh_list_is_empty(&session->doomed_link)) {
        struct wh_frame *first = queue_first(&session->queue);
        if (session->queue.count == 1) {
            wh_frame_ref(first);
            queue_drop_first(session);
            write_now(session, wh_slice(first->bytes, first->len));
            wh_frame_unref(first);
        } else {
            struct wh_slice wire = pack_queue(session);
            if (wh_buf_error(&session->node->scratch))
                session_doom(session, WH_DISCONNECT_SERVER_ERROR);
            else
                write_now(session, wire);
        }
    }
    if (session->queue.count > 0)
        transport->ops->want_write(transport);
    else if (session->state == SESSION_CLOSING)
        close_transport(session, CLOSE_TIMEOUT_MS);
    else
        session_resume(session);
}

void session_writable(struct session *session)
{
    session_flush(session);
}

void session_end_replies(struct node *node)
{
    struct session *session = node->replies_to;
    if (session == NULL)
        return;
    node->replies_to = NULL;
    struct wh_frame *frame;
    enum wh_err err = wh_buf_error(&node->replies);
    if (err == WH_OK)
        err = wh_frame_new(wh_encoding_opcode(session->encoding), wh_buf_slice(&node->replies),
                           &frame);
    wh_buf_reset(&node->replies);
    if (err) {
        session_doom(session, WH_DISCONNECT_SERVER_ERROR);
        return;
    }
    enqueue(session, frame);
    wh_frame_unref(frame);
}

/* WH_EENCODING: nothing was collected.  Other failures end the session. */
static enum wh_err try_collect(struct session *session, const struct wh_reply *reply)
{
    struct node *node = session->node;
    if (session->state == SESSION_CLOSING)
        return WH_OK;
    if (node->replies_to != session || node->replies.len > WRITE_BYTES_MAX)
        session_end_replies(node);
    node->replies_to = session;
    enum wh_err err = wh_encode(session->encoding, &wh_reply_schema, reply, 0, &node->replies);
    if (err == WH_EENCODING) {
        if (node->replies.len == 0)
            node->replies_to = NULL;
        return err;
    }
    if (err)
        session_doom(session, WH_DISCONNECT_SERVER_ERROR);
    return WH_OK;
}

static void collect(struct session *session, const struct wh_reply *reply)
{
    if (try_collect(session, reply))
        session_doom(session, WH_DISCONNECT_INAPPROPRIATE_PROTOCOL);
}

void session_reply(struct session *session, const struct wh_reply *reply)
{
    metrics_add(session->node->metrics, METRIC_REPLIES_SENT, 1);
    collect(session, reply);
}

enum wh_err session_try_reply(struct session *session, const struct wh_reply *reply)
{
    enum wh_err err = try_collect(session, reply);
    if (err == WH_OK)
        metrics_add(session->node->metrics, METRIC_REPLIES_SENT, 1);
    return err;
}

void session_push(struct session *session, const struct wh_push *push)
{
    struct wh_push copy = *push;
    metrics_add(session->node->metrics, METRIC_PUSHES_SENT, 1);
    collect(session, &(struct wh_reply){.push = &copy});
}

void session_reply_error(struct session *session, uint32_t id, enum wh_code code)
{
    metrics_count_code(session->node->metrics, METRIC_REPLY_ERRORS, code);
    tracing_failed(session->node, code, WH_SLICE_ABSENT);
    struct wh_error_reply error = {
        .code = code,
        .message = wh_slice_from_str(wh_code_text(code)),
        .temporary = wh_code_is_temporary(code),
    };
    session_reply(session, &(struct wh_reply){.id = id, .error = &error});
}

/* Input */

/* Reading stops while too much waits to be written or for the broker, or a token for its key. */
static bool is_congested(const struct session *session)
{
    const struct node *node = session->node;
    size_t waiting = session->queue.bytes;
    if (node->replies_to == session) /* they queue at the end of the turn at the latest */
        waiting += node->replies.len;
    return waiting > node->config->client.queue_max_size / 2 ||
           session->pending_count >= PENDING_MAX || jwks_waiter_is_waiting(&session->key_waiter);
}

static void hold(struct session *session, struct wh_slice rest)
{
    uint32_t len = (uint32_t)rest.len;
    wh_buf_append(&session->held, &len, sizeof(len));
    wh_buf_append_slice(&session->held, rest);
    if (wh_buf_error(&session->held)) {
        session_close(session, WH_DISCONNECT_SERVER_ERROR);
        return;
    }
    if (!session->input_held) {
        session->input_held = true;
        session->transport->ops->want_read(session->transport, false);
    }
}

static bool is_reading(const struct session *session)
{
    return session->state <= SESSION_READY && wh_list_is_empty(&session->doomed_link);
}

/* Execute the messages of one frame in order; what must wait is held. */
static void run(struct session *session, struct wh_slice frame)
{
    struct node *node = session->node;
    struct wh_slice rest = frame;
    while (is_reading(session)) {
        struct wh_slice before = rest;
        struct wh_command command;
        memset(&command, 0, sizeof(command));
        wh_arena_reset(&node->arena);
        enum wh_err err =
            wh_decode(session->encoding, &wh_command_schema, &rest, &node->arena, &command);
        if (err == WH_EEND && before.ptr != frame.ptr)
            return;
        if (err) {
            session_close(session, err == WH_ENOMEM ? WH_DISCONNECT_SERVER_ERROR
                                                    : WH_DISCONNECT_BAD_REQUEST);
            return;
        }
        if (is_congested(session) || command_must_wait(session, &command)) {
            hold(session, before);
            return;
        }
        metrics_add(node->metrics, METRIC_MESSAGES_RECEIVED, 1);
        command_execute(session, &command);
    }
}

void session_receive(struct session *session, struct wh_slice message)
{
    if (session->state == SESSION_REFUSED) /* it was told; what stood in that frame is ignored */
        session_close(session, WH_DISCONNECT_BAD_REQUEST);
    if (!is_reading(session))
        return;
    metrics_add(session->node->metrics, METRIC_BYTES_RECEIVED, (int64_t)message.len);
    if (session->held.len > 0) {
        hold(session, message);
        return;
    }
    session->is_running = true;
    run(session, message);
    session->is_running = false;
}

/* Take the first held message out, so that running it may hold its rest again. */
static bool take_held(struct session *session, struct wh_buf *message)
{
    uint32_t len;
    if (session->held.len == 0)
        return false;
    memcpy(&len, session->held.ptr, sizeof(len));
    wh_buf_append(message, session->held.ptr + sizeof(len), len);
    wh_buf_consume(&session->held, sizeof(len) + len);
    return true;
}

void session_resume(struct session *session)
{
    if (!session->input_held || session->is_running || !is_reading(session) ||
        is_congested(session))
        return;
    session->is_running = true;
    struct wh_buf message = {0}, later = {0};
    bool stuck = false;
    while (!stuck && is_reading(session) && take_held(session, &message)) {
        enum wh_err err = wh_buf_error(&message);
        later = session->held;
        session->held = (struct wh_buf){0};
        if (err == WH_OK)
            run(session, wh_buf_slice(&message));
        stuck = session->held.len > 0;
        wh_buf_append_slice(&session->held, wh_buf_slice(&later)); /* behind what came before */
        wh_buf_deinit(&later);
        wh_buf_reset(&message);
        if (err || wh_buf_error(&session->held)) /* never go on behind a message that was lost */
            session_close(session, WH_DISCONNECT_SERVER_ERROR);
    }
    wh_buf_deinit(&message);
    session->is_running = false;
    if (is_reading(session) && session->held.len == 0) {
        wh_buf_deinit(&session->held);
        session->held = (struct wh_buf){0};
        session->input_held = false;
        session->transport->ops->want_read(session->transport, true);
    }
}

/* What held the input up is executed now, inside this call: so its answer is final. */
static void on_keys(struct jwks_waiter *waiter)
{
    session_resume(WH_CONTAINER_OF(waiter, struct session, key_waiter));
}

/* Time */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    if (a == 0)
        return b;
    return b == 0 || a < b ? a : b;
}

/* The monotonic moment at which the wall clock will show `wall_s` plus `grace_ms`. */
static uint64_t wall_to_monotonic(const struct session *session, int64_t wall_s, uint64_t grace_ms)
{
    int64_t left_ms = wall_s * 1000 - wh_clock_wall_ms() + (int64_t)grace_ms;
    return wh_loop_now_ms(session->node->loop) + (left_ms > 0 ? (uint64_t)left_ms : 1);
}

static void schedule(struct session *session)
{
    struct node *node = session->node;
    uint64_t due = session->ping_at_ms;
    if (session->pong_due)
        due = earlier(due, session->pong_by_ms);
    if (session->expire_at)
        due = earlier(due, wall_to_monotonic(session, session->expire_at,
                                             node->config->client.expired_close_delay_ms));
    due = earlier(due, session->subs_check_at_ms);
    due = earlier(due, session->presence_at_ms);
    if (due == 0) {
        wh_loop_timer_stop(node->loop, &session->timer);
        return;
    }
    uint64_t now = wh_loop_now_ms(node->loop);
    wh_loop_timer_start(node->loop, &session->timer, due > now ? due - now : 0);
}

static void ping(struct session *session, uint64_t now)
{
    const struct config *config = session->node->config;
    if (session->pong_due) /* pong_timeout < ping_interval: cannot happen but after a reload */
        return;
    session_send(session, session->node->ping_frames[session->encoding]);
    metrics_add(session->node->metrics, METRIC_PINGS_SENT, 1);
    session->pong_due = config->client.pong_timeout_ms > 0;
    session->pong_by_ms = now + config->client.pong_timeout_ms;
}

/* Unsubscribe what expired; says when to look again. */
static void check_subscriptions(struct session *session, uint64_t now)
{
    struct node *node = session->node;
    int64_t grace_s = (int64_t)(node->config->client.expired_sub_close_delay_ms / 1000);
    int64_t wall = wh_clock_wall_s();
    bool any = false;
    registry_flush(&node->registry); /* what arrived before the pushes leaves before them */
    WH_LIST_EACH(link, &session->subscriptions)
    {
        struct subscription *subscription =
            WH_CONTAINER_OF(link, struct subscription, session_link);
        if (subscription->expire_at == 0 || subscription->state != SUBSCRIPTION_ACTIVE)
            continue;
        if (wall < subscription->expire_at + grace_s) {
            any = true;
            continue;
        }
        if (subscription->is_server_side) {
            session_close(session, WH_DISCONNECT_SUB_EXPIRED);
            return;
        }
        subscription_end(subscription, WH_UNSUBSCRIBE_EXPIRED);
    }
    session->subs_check_at_ms = any ? now + SUBS_CHECK_MS : 0;
}

static void on_timer(struct wh_timer *timer)
{
    struct session *session = WH_CONTAINER_OF(timer, struct session, timer);
    struct node *node = session->node;
    uint64_t now = wh_loop_now_ms(node->loop);
    switch (session->state) {
    case SESSION_NEW:
        session_close(session, WH_DISCONNECT_STALE);
        return;
    case SESSION_REFUSED:
        session_close(session, WH_DISCONNECT_CONNECTION_CLOSED);
        return;
    case SESSION_CLOSING:
        close_transport(session, node->config->websocket.write_timeout_ms);
        return;
    case SESSION_READY:
        break;
    }
    if (session->pong_due && now >= session->pong_by_ms) {
        session_close(session, WH_DISCONNECT_NO_PONG);
        return;
    }
    if (session->expire_at &&
        wh_clock_wall_ms() >=
            session->expire_at * 1000 + (int64_t)node->config->client.expired_close_delay_ms) {
        session_close(session, WH_DISCONNECT_EXPIRED);
        return;
    }
    if (session->ping_at_ms && now >= session->ping_at_ms) {
        ping(session, now);
        session->ping_at_ms = now + node->config->client.ping_interval_ms;
    }
    if (session->subs_check_at_ms && now >= session->subs_check_at_ms)
        check_subscriptions(session, now);
    if (session->state != SESSION_READY)
        return;
    if (session->presence_at_ms && now >= session->presence_at_ms) {
        subscription_renew_presence(session);
        session->presence_at_ms = now + node->config->client.presence_update_interval_ms;
    }
    schedule(session);
}

void session_ready(struct session *session)
{
    struct node *node = session->node;
    uint64_t interval = node->config->client.ping_interval_ms;
    session->state = SESSION_READY;
    metrics_add(node->metrics, (enum metric)((int)METRIC_CONNECTIONS_JSON + (int)session->encoding),
                1);
    if (interval) /* the first ping anywhere in the second half, so that pings spread */
        session->ping_at_ms =
            wh_loop_now_ms(node->loop) + interval / 2 + wh_random_below(interval / 2);
    schedule(session);
}

void session_refuse(struct session *session)
{
    session->state = SESSION_REFUSED;
    wh_loop_timer_start(session->node->loop, &session->timer, REFUSED_TIMEOUT_MS);
}

void session_reschedule(struct session *session)
{
    uint64_t now = wh_loop_now_ms(session->node->loop);
    uint64_t renewal_ms = session->node->config->client.presence_update_interval_ms;
    uint64_t check_at_ms = 0;
    bool is_present = false;
    WH_LIST_EACH(link, &session->subscriptions)
    {
        struct subscription *subscription =
            WH_CONTAINER_OF(link, struct subscription, session_link);
        if (subscription->expire_at)
            check_at_ms = now + SUBS_CHECK_MS;
        is_present |= subscription->has_presence;
    }
    /* A look already planned stays: a client that keeps coming here must not put it off. */
    session->subs_check_at_ms = check_at_ms ? earlier(session->subs_check_at_ms, check_at_ms) : 0;
    if (!is_present)
        session->presence_at_ms = 0;
    else if (session->presence_at_ms == 0) /* anywhere in an interval, so that they spread */
        session->presence_at_ms = now + renewal_ms / 2 + wh_random_below(renewal_ms / 2);
    if (session->state == SESSION_READY)
        schedule(session);
}

struct wh_info session_info(const struct session *session, const struct subscription *subscription)
{
    struct wh_info info = {
        .user = session->user ? session->user->id : WH_SLICE_LITERAL(""),
        .client = wh_slice_from_str(session->id),
        .conn_info = session->conn_info,
    };
    if (subscription && subscription->chan_info)
        info.chan_info = (struct wh_payload){
            .kind = subscription->chan_info_kind,
            .bytes = wh_slice(subscription->chan_info, subscription->chan_info_len),
        };
    return info;
}
