/*
 * What an engine wants, brought to those who do it.  On the serving thread
 * the transport is told at once; elsewhere the client goes on the runtime's list,
 * and the serving thread is woken once for any number of clients.
 *
 * The transport is told of frames, and of reading, when that changes, not at
 * every unlock.  The client's timer in the runtime's wheel is only ever moved
 * forward: when it fires too early, the engine is asked again.
 */
#include "client-sdk/src/run.h"

static bool has_action(const struct engine *engine)
{
    return engine->close.kind != ENGINE_NO_ACTION || engine->open.kind != ENGINE_NO_ACTION;
}

static uint64_t due_ms(const struct engine *engine)
{
    uint64_t next = engine_next_ms(engine);
    return next > UINT64_MAX - engine->now_ms ? UINT64_MAX : engine->now_ms + next;
}

/* A thread that waits may be the one that runs callbacks: what it waits for is read
 * although its events are not taken. */
bool client_wants_to_read(struct wh_client *client)
{
    struct engine *engine = &client->engine;
    if (engine_wants_to_read(engine))
        return true;
    return client->waiting_threads > 0 &&
           engine->events.bytes / 2 < client->settings.event_queue_bytes_max;
}

static bool needs_io(struct wh_client *client)
{
    struct engine *engine = &client->engine;
    return has_action(engine) || engine->wants_ping ||
           (!client->is_write_wanted && engine_has_frame(engine)) ||
           (engine->is_open && client->is_reading != client_wants_to_read(client)) ||
           due_ms(engine) < client->timer_due_ms;
}

static void open_connection(struct wh_client *client, const struct engine_action *action)
{
    client->is_write_wanted = false;
    client->is_reading = true;
    if (client->is_closing)
        return;
    if (!client->transport) {
        struct service *service = runtime_service(client->runtime);
        enum wh_err err = transport_ws_new(service, client, &client->transport);
        if (err != WH_OK) {
            struct wh_error error;
            (void)shell_fail(&error, err, "%s", wh_err_text(err));
            engine_closed(&client->engine, action->connection, 0, WH_SLICE_ABSENT, &error);
            return;
        }
    }
    transport_ws_ops.open(client->transport, action);
}

static void drive(struct wh_client *client)
{
    struct engine *engine = &client->engine;
    for (;;) {
        struct engine_action action = engine_take_action(engine);
        if (action.kind == ENGINE_NO_ACTION)
            break;
        if (action.kind == ENGINE_OPEN)
            open_connection(client, &action);
        else if (client->transport)
            transport_ws_ops.close(client->transport, &action);
    }
    if (!client->transport)
        return;
    bool has_frame = engine_has_frame(engine);
    if (has_frame && !client->is_write_wanted)
        transport_ws_ops.want_write(client->transport);
    client->is_write_wanted = has_frame;
    if (engine_take_ping(engine))
        transport_ws_ops.ping(client->transport);
    bool wants_reading = client_wants_to_read(client);
    if (engine->is_open && client->is_reading != wants_reading) {
        client->is_reading = wants_reading;
        transport_ws_ops.set_reading(client->transport, wants_reading);
    }
}

static void schedule(struct wh_client *client)
{
    uint64_t due = due_ms(&client->engine);
    if (due >= client->timer_due_ms || client->is_detached)
        return;
    client->timer_due_ms = due;
    uint64_t now = client->engine.now_ms;
    runtime_schedule(client->runtime, client, due > now ? due - now : 0);
}

bool client_has_delivery(const struct wh_client *client)
{
    return client->engine.events.count > 0 ||
           (client->is_closing && client->is_detached && !client->is_finishing);
}

void client_look(struct wh_client *client)
{
    if (client->is_finished)
        return;
    if (runtime_is_serving(client->runtime)) {
        drive(client);
        schedule(client);
    } else if (!client->is_detached && needs_io(client)) {
        runtime_want_io(client->runtime, client);
    }
    if (client->is_closing && !client->is_detached)
        runtime_want_io(client->runtime, client);
    atomic_store_explicit(&client->state, (int)engine_public_state(&client->engine),
                          memory_order_release);
    if (!wh_list_is_empty(&client->waiters))
        waiters_look(client);
    if (!client->batch && client_has_delivery(client))
        runtime_want_delivery(client->runtime, client);
}

void client_on_timer(struct wh_timer *timer)
{
    struct wh_client *client = WH_CONTAINER_OF(timer, struct wh_client, timer);
    (void)client_lock(client);
    client->timer_due_ms = UINT64_MAX;
    client_unlock(client);
}

/* The close frame is on its way, or there is no connection: the transport is not needed. */
static void detach(struct wh_client *client)
{
    (void)client_lock(client);
    drive(client);
    struct transport *transport = client->transport;
    client->transport = NULL;
    runtime_unschedule(client->runtime, client);
    pthread_mutex_unlock(&client->lock);
    if (transport)
        transport_ws_free(transport);
    (void)client_lock(client);
    client->is_detached = true;
    pthread_cond_broadcast(&client->changed);
    client_unlock(client);
}

void client_turn(struct wh_client *client)
{
    (void)client_lock(client);
    bool must_detach = client->is_closing && !client->is_detached;
    if (must_detach) {
        pthread_mutex_unlock(&client->lock);
        detach(client);
        return;
    }
    client_unlock(client);
}
