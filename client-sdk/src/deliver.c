/*
 * Batches live on the stack of the thread that delivers them.  That thread
 * advances `done` when a callback has returned; whoever takes the client's lock
 * tells the engine up to there (deliver_report).  So an event costs no lock of its
 * own, and still nobody who holds the lock sees a position that is behind.
 *
 * Stale events are dropped right before their callback: those of a subscription
 * that was unsubscribed (its generation has changed) or freed, of a call that was
 * canceled, of a client that was freed inside a callback.  What frees a `user` is
 * never dropped.
 */
#include "client-sdk/src/deliver.h"

#include "client-sdk/src/run.h"
#include "client-sdk/src/sub.h"
#include "client-sdk/src/tokens.h"

enum { BATCH_EVENTS = 512, BATCH_BYTES = 256 * 1024 };

struct batch {
    size_t count;
    size_t reported;         /* under the client's lock */
    _Atomic size_t done;     /* callbacks that returned */
    bool seen[BATCH_EVENTS]; /* … and were not skipped as stale; written before `done` */
    uint32_t generations[BATCH_EVENTS]; /* of their subscriptions when they were taken and wanted */
    struct event *events[BATCH_EVENTS];
};

/* What this thread is doing. */
static _Thread_local unsigned depth; /* of callbacks */
static _Thread_local struct wh_list deferred;

bool deliver_is_inside(void)
{
    return depth > 0;
}

void deliver_defer_free(struct wh_client *client)
{
    if (!deferred.next)
        wh_list_init(&deferred);
    wh_list_push_back(&deferred, &client->deferred_link);
}

static void run_deferred(void)
{
    if (depth > 0 || !deferred.next)
        return;
    struct wh_list *node;
    while ((node = wh_list_pop_front(&deferred)) != NULL)
        client_free_deferred(WH_CONTAINER_OF(node, struct wh_client, deferred_link));
}

void deliver_plain(void (*fn)(void *user), void *user)
{
    depth++;
    fn(user);
    depth--;
    run_deferred();
}

/* ---- one event ------------------------------------------------------------------------------- */

/* Each calls what the program gave for its kind; false = there is nothing to call. */
typedef void deliver_fn(struct wh_client *client, struct event *event);

#define CLIENT_EVENT(kind, callback, argument)                                                     \
    static void on_##kind(struct wh_client *client, struct event *event)                           \
    {                                                                                              \
        const struct settings *settings = &client->settings;                                       \
        if (settings->events.callback)                                                             \
            settings->events.callback(client, argument, settings->user);                           \
    }
CLIENT_EVENT(connecting, connecting, &event->u.transition)
CLIENT_EVENT(connected, connected, &event->u.connected)
CLIENT_EVENT(disconnected, disconnected, &event->u.transition)
CLIENT_EVENT(error, error, &event->u.error)
CLIENT_EVENT(message, message, &event->u.data)
CLIENT_EVENT(server_subscribing, server_subscribing, event->channel)
CLIENT_EVENT(server_subscribed, server_subscribed, &event->u.subscribed)
CLIENT_EVENT(server_publication, server_publication, &event->u.publication)

static void on_server_unsubscribed(struct wh_client *client, struct event *event)
{
    const struct wh_client_events *events = &client->settings.events;
    void *user = client->settings.user;
    if (events->server_unsubscribed_why)
        events->server_unsubscribed_why(client, event->channel, &event->u.transition, user);
    else if (events->server_unsubscribed)
        events->server_unsubscribed(client, event->channel, user);
}

static void on_server_join(struct wh_client *client, struct event *event)
{
    const struct settings *settings = &client->settings;
    if (settings->events.server_join)
        settings->events.server_join(client, event->channel, &event->u.info, settings->user);
}

static void on_server_leave(struct wh_client *client, struct event *event)
{
    const struct settings *settings = &client->settings;
    if (settings->events.server_leave)
        settings->events.server_leave(client, event->channel, &event->u.info, settings->user);
}

static void on_get_token(struct wh_client *client, struct event *event)
{
    const struct settings *settings = &client->settings;
    if (settings->events.get_token)
        settings->events.get_token(client, token_request_take(event), settings->user);
}

#define SUB_EVENT(kind, server_kind, callback, argument)                                           \
    static void on_##kind(struct wh_client *client, struct event *event)                           \
    {                                                                                              \
        struct wh_sub *sub = event->sub;                                                           \
        if (!sub)                                                                                  \
            server_kind(client, event);                                                            \
        else if (sub->events.callback)                                                             \
            sub->events.callback(sub, argument, sub->user);                                        \
    }
SUB_EVENT(subscribing, on_server_subscribing, subscribing, &event->u.transition)
SUB_EVENT(subscribed, on_server_subscribed, subscribed, &event->u.subscribed)
SUB_EVENT(unsubscribed, on_server_unsubscribed, unsubscribed, &event->u.transition)
SUB_EVENT(publication, on_server_publication, publication, &event->u.publication)
SUB_EVENT(join, on_server_join, join, &event->u.info)
SUB_EVENT(leave, on_server_leave, leave, &event->u.info)
SUB_EVENT(sub_error, on_error, error, &event->u.error)

static void on_sub_get_token(struct wh_client *client, struct event *event)
{
    (void)client;
    struct wh_sub *sub = event->sub;
    if (sub->events.get_token)
        sub->events.get_token(sub, token_request_take(event), sub->user);
}

static void on_sub_get_state(struct wh_client *client, struct event *event)
{
    (void)client;
    struct wh_sub *sub = event->sub;
    if (sub->events.get_state)
        sub->events.get_state(sub, state_request_take(event), sub->user);
}

static void call_callback(struct wh_client *client, struct event *event)
{
    struct call *call = event->u.call.call;
    const struct call_outcome *outcome = &event->u.call.outcome;
    const struct wh_error *error = outcome->error;
    switch (call->kind) {
    case PENDING_RPC:
        if (call->cb.rpc)
            call->cb.rpc(client, error, error ? NULL : &outcome->data, call->user);
        break;
    case PENDING_HISTORY:
        if (call->cb.history)
            call->cb.history(client, error, error ? NULL : &outcome->history, call->user);
        break;
    case PENDING_PRESENCE:
        if (call->cb.presence)
            call->cb.presence(client, error, error ? NULL : &outcome->presence, call->user);
        break;
    case PENDING_PRESENCE_STATS:
        if (call->cb.presence_stats)
            call->cb.presence_stats(client, error, error ? NULL : &outcome->stats, call->user);
        break;
    default:
        if (call->cb.done)
            call->cb.done(client, error, call->user);
        break;
    }
}

static deliver_fn *const deliver_table[EVENT_KIND_COUNT] = {
    [EVENT_CONNECTING] = on_connecting,
    [EVENT_CONNECTED] = on_connected,
    [EVENT_DISCONNECTED] = on_disconnected,
    [EVENT_ERROR] = on_error,
    [EVENT_MESSAGE] = on_message,
    [EVENT_GET_TOKEN] = on_get_token,
    [EVENT_SUBSCRIBING] = on_subscribing,
    [EVENT_SUBSCRIBED] = on_subscribed,
    [EVENT_UNSUBSCRIBED] = on_unsubscribed,
    [EVENT_PUBLICATION] = on_publication,
    [EVENT_JOIN] = on_join,
    [EVENT_LEAVE] = on_leave,
    [EVENT_SUB_ERROR] = on_sub_error,
    [EVENT_SUB_GET_TOKEN] = on_sub_get_token,
    [EVENT_SUB_GET_STATE] = on_sub_get_state,
    [EVENT_CALL] = call_callback,
};

/* A subscription's event was wanted when it was taken; that can have changed only with the
 * generation. */
static bool is_wanted_still(struct wh_client *client,
                            const struct event *event,
                            uint32_t generation)
{
    struct wh_sub *sub = event->sub;
    if (atomic_load_explicit(&sub->generation, memory_order_acquire) == generation)
        return true;
    (void)client_lock(client);
    bool is_wanted = sub_wants(sub, event);
    client_unlock(client);
    return is_wanted;
}

static bool is_stale(struct wh_client *client, const struct event *event, uint32_t generation)
{
    if (atomic_load_explicit(&client->is_muted, memory_order_acquire))
        return true;
    if (event->kind == EVENT_CALL)
        return atomic_load_explicit(&event->u.call.call->is_canceled, memory_order_acquire);
    return event->sub && !is_wanted_still(client, event, generation);
}

/* What was given as `user` goes when its callback has run, or will not. */
static void free_users(struct event *event)
{
    if (event->kind == EVENT_FREE_USER) {
        event->u.free_user.fn(event->u.free_user.user);
    } else if (event->kind == EVENT_CALL && event->u.call.call->user_free) {
        struct call *call = event->u.call.call;
        call->user_free(call->user);
        call->user_free = NULL;
    }
}

/* ---- batches --------------------------------------------------------------------------------- */

static void run_batch(struct wh_client *client, struct batch *batch)
{
    depth++;
    for (size_t i = 0; i < batch->count; i++) {
        struct event *event = batch->events[i];
        deliver_fn *fn = deliver_table[event->kind];
        bool is_wanted = batch->seen[i]; /* when it was taken */
        batch->seen[i] = fn && is_wanted && !is_stale(client, event, batch->generations[i]);
        if (batch->seen[i])
            fn(client, event);
        free_users(event);
        atomic_store_explicit(&batch->done, i + 1, memory_order_release);
    }
    depth--;
}

void deliver_report(struct wh_client *client)
{
    struct batch *batch = client->batch;
    size_t done = atomic_load_explicit(&batch->done, memory_order_acquire);
    for (; batch->reported < done; batch->reported++) {
        const struct event *event = batch->events[batch->reported];
        if (!batch->seen[batch->reported])
            continue;
        if (event->sub)
            sub_delivered(event->sub, event);
        if (event->kind == EVENT_PUBLICATION)
            client->engine.stats.publications++;
    }
}

/* Under the lock.  false = nothing waits. */
static bool take_batch(struct wh_client *client, struct batch *batch, size_t events_max)
{
    batch->count = 0;
    batch->reported = 0;
    atomic_init(&batch->done, 0);
    size_t bytes = 0;
    while (batch->count < BATCH_EVENTS && batch->count < events_max && bytes < BATCH_BYTES) {
        struct event *event = engine_take_event(&client->engine);
        if (!event)
            break;
        bytes += event->bytes;
        size_t i = batch->count++;
        batch->events[i] = event;
        batch->seen[i] = !event->sub || sub_wants(event->sub, event);
        batch->generations[i] =
            event->sub ? atomic_load_explicit(&event->sub->generation, memory_order_relaxed) : 0;
    }
    return batch->count > 0;
}

static void free_batch(const struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        event_free(batch->events[i]);
}

/*
 * Under the lock; it is held on return.  The lock that reports a batch also takes the next one: each
 * time that it is asked for may have to wait for the thread that reads.  So the last batch is freed
 * while the next one is on its way, or with the lock held.
 */
static size_t deliver_batches(struct wh_client *client, struct batch batches[2], size_t events_max)
{
    struct batch *next = &batches[0], *last = NULL;
    size_t total = 0;
    while (total < events_max && take_batch(client, next, events_max - total)) {
        client->batch = next;
        client_unlock(client);
        if (last)
            free_batch(last);
        run_batch(client, next);
        total += next->count;
        (void)client_lock(client); /* reports all of it */
        last = next;
        next = &batches[last == &batches[0]];
    }
    client->batch = NULL;
    if (last)
        free_batch(last);
    return total;
}

size_t deliver(struct wh_client *client, size_t events_max)
{
    if (depth > 0)
        return 0;
    struct batch batches[2];
    (void)client_lock(client);
    if (client->batch || client->is_finished) {
        client_unlock(client);
        return 0;
    }
    size_t waiting = client->engine.events.count;
    size_t total = deliver_batches(client, batches, events_max ? events_max : waiting);
    if (!client_has_delivery(client))
        runtime_drain(client);
    pthread_cond_broadcast(&client->changed);
    client_unlock(client);
    client_finish_if_due(client);
    run_deferred();
    return total;
}
