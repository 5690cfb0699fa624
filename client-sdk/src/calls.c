/*
 * What waits for a reply: calls of the program, and the engine's own commands.
 *
 * A call is on `unsent` with a copy of its command until there is a
 * connection (and, through a subscription, until that is SUBSCRIBED), then on `sent` and in
 * pending_by_id.  What waits for a subscription is on a list of that as well, so that a
 * subscription's change costs nothing to the calls of others.  Whatever comes first ends a call, by
 * end_call: reply, time-out, loss, cancel.  Nothing is ever sent twice.  Ids go on counting over
 * connections, and what was sent ends with its connection: so a reply always belongs to what it
 * names.
 */
#include "client-sdk/src/engine.h"
#include "client-sdk/src/sub.h"
#include "common/base/alloc.h"
#include "common/protocol/copy.h"

/* ---- calls as objects ------------------------------------------------------------------------ */

struct call *call_new(struct wh_client *client)
{
    struct call *call = wh_calloc(1, sizeof(*call));
    if (!call)
        return NULL;
    atomic_init(&call->refs, 1);
    atomic_init(&call->is_canceled, false);
    call->client = client;
    return call;
}

void call_ref(struct call *call)
{
    atomic_fetch_add_explicit(&call->refs, 1, memory_order_relaxed);
}

void call_unref(struct call *call)
{
    if (call && atomic_fetch_sub_explicit(&call->refs, 1, memory_order_acq_rel) == 1)
        wh_free(call);
}

/* ---- the table of what is pending ---------------------------------------------------------------
 */

static struct wh_slice id_key(const struct pending *pending)
{
    return wh_slice(&pending->id, sizeof(pending->id));
}

static void on_timeout(struct wh_timer *timer);

static struct pending *pending_new(struct engine *engine,
                                   enum pending_kind kind,
                                   struct wh_sub *sub,
                                   uint32_t timeout_ms)
{
    struct pending *pending = wh_calloc(1, sizeof(*pending));
    if (!pending)
        return NULL;
    wh_list_init(&pending->link);
    wh_list_init(&pending->sub_link);
    wh_timer_init(&pending->timer, on_timeout);
    wh_timer_start(&engine->wheel, &pending->timer, engine->now_ms,
                   timeout_ms ? timeout_ms : engine->settings->timeout_ms);
    pending->engine = engine;
    pending->kind = kind;
    pending->sub = sub;
    if (sub)
        atomic_fetch_add(&sub->refs, 1);
    engine->pending_count++;
    return pending;
}

/* Out of all tables, so that nothing finds it while it is dealt with. */
void pending_detach(struct engine *engine, struct pending *pending)
{
    wh_list_remove(&pending->link);
    wh_list_remove(&pending->sub_link);
    wh_timer_stop(&engine->wheel, &pending->timer);
    if (pending->id != 0 && wh_map_get(&engine->pending_by_id, id_key(pending)) == pending)
        wh_map_remove(&engine->pending_by_id, id_key(pending));
    if (pending->command) {
        engine->unsent_bytes -= pending->arena.used;
        pending->command = NULL;
    }
}

void pending_free(struct engine *engine, struct pending *pending)
{
    pending_detach(engine, pending);
    engine->pending_count--;
    wh_arena_deinit(&pending->arena);
    if (pending->call) {
        pending->call->pending = NULL;
        call_unref(pending->call);
    }
    if (pending->sub)
        sub_unref(pending->sub);
    wh_free(pending);
}

/* Encode with a fresh id and file it under that. */
static enum wh_err send_pending(struct engine *engine,
                                struct pending *pending,
                                struct wh_command *command)
{
    if (++engine->next_command_id == 0)
        engine->next_command_id = 1;
    pending->id = command->id = engine->next_command_id;
    pending->connection = engine->connection;
    enum wh_err err = wh_map_add(&engine->pending_by_id, id_key(pending), pending);
    if (err) {
        pending->id = 0;
        return err == WH_EEXIST ? WH_EFULL : err; /* 2^32 commands later, still no reply */
    }
    err = engine_put(engine, command);
    if (err) {
        wh_map_remove(&engine->pending_by_id, id_key(pending));
        pending->id = 0;
        return err;
    }
    wh_list_remove(&pending->link);
    wh_list_push_back(&engine->sent, &pending->link);
    return WH_OK;
}

static bool is_call(const struct pending *pending)
{
    return pending->kind >= PENDING_PUBLISH;
}

enum wh_err engine_command(struct engine *engine,
                           enum pending_kind kind,
                           struct wh_sub *sub,
                           struct wh_command *command)
{
    if (!engine->is_open)
        return WH_EDISCONNECTED;
    struct pending *pending = pending_new(engine, kind, sub, 0);
    if (!pending)
        return WH_ENOMEM;
    enum wh_err err = send_pending(engine, pending, command);
    if (err)
        pending_free(engine, pending);
    return err;
}

/* ---- the end of a call ----------------------------------------------------------------------- */

static void tell_by_event(struct engine *engine,
                          struct call *call,
                          const struct call_outcome *outcome)
{
    struct event *event = call->event;
    call->event = NULL;
    if (!event)
        return;
    event->u.call.outcome = *outcome;
    event->u.call.call = call;
    call_ref(call);
    if (outcome->error) {
        event->u.call.error = *outcome->error;
        event->u.call.outcome.error = &event->u.call.error;
    }
    if (outcome->message) {
        event->message = message_ref(outcome->message);
        event->bytes += outcome->message->len;
    }
    engine_push(engine, event);
}

static void end_call(struct engine *engine,
                     struct pending *pending,
                     const struct call_outcome *outcome)
{
    struct call *call = pending->call;
    pending_detach(engine, pending);
    call->is_over = true;
    if (call->completion)
        call->completion(call->user, outcome);
    else
        tell_by_event(engine, call, outcome);
    pending_free(engine, pending);
}

static void end_with_error(struct engine *engine,
                           struct pending *pending,
                           enum wh_err err,
                           uint32_t code)
{
    struct wh_error error = engine_error_make(err, code, err == WH_ETIMEOUT || err == WH_ECONNLOST,
                                              0, "%s", wh_err_text(err));
    end_call(engine, pending, &(struct call_outcome){.error = &error});
}

static void on_timeout(struct wh_timer *timer)
{
    struct pending *pending = WH_CONTAINER_OF(timer, struct pending, timer);
    struct engine *engine = pending->engine;
    if (is_call(pending)) {
        end_with_error(engine, pending, WH_ETIMEOUT, WH_CODE_TIMEOUT);
        return;
    }
    pending_detach(engine, pending);
    engine_on_reply(engine, pending, NULL, NULL);
    pending_free(engine, pending);
}

void engine_cancel(struct engine *engine, struct call *call)
{
    atomic_store(&call->is_canceled, true);
    if (call->is_over || !call->pending)
        return;
    if (call->completion) {
        call->is_over = true;
        pending_free(engine, call->pending);
    } else {
        end_with_error(engine, call->pending, WH_ECANCELED, 0);
    }
}

static void fail_list(struct engine *engine, struct wh_list *list, enum wh_err err, uint32_t code)
{
    while (!wh_list_is_empty(list)) {
        struct pending *pending = WH_CONTAINER_OF(list->next, struct pending, link);
        if (is_call(pending))
            end_with_error(engine, pending, err, code);
        else
            pending_free(engine, pending);
    }
}

void calls_fail(struct engine *engine, bool sent_only, enum wh_err err, uint32_t code)
{
    fail_list(engine, &engine->sent, err, code);
    if (!sent_only)
        fail_list(engine, &engine->unsent, err, code);
}

/* ---- replies --------------------------------------------------------------------------------- */

static bool history_init(struct wh_history *history,
                         struct message *message,
                         const struct pending *pending,
                         const struct wh_history_result *result)
{
    const char *channel = wh_arena_copy(&message->arena, wh_slice_from_str(pending->channel)).ptr;
    struct wh_publication *publications =
        wh_arena_alloc_array(&message->arena, result->publications.count, sizeof(*publications));
    if (!channel || !publications)
        return false;
    for (size_t i = 0; i < result->publications.count; i++) {
        if (!publication_init(&publications[i], message, &result->publications.items[i], channel))
            return false;
    }
    history->publications = publications;
    history->count = result->publications.count;
    history->position.offset = result->offset;
    history->position.epoch = message_cstr(message, result->epoch);
    return history->position.epoch != NULL;
}

static bool presence_init(struct wh_presence *presence,
                          struct message *message,
                          const struct wh_presence_result *result)
{
    struct wh_client_info *clients =
        wh_arena_alloc_array(&message->arena, result->presence.count, sizeof(*clients));
    if (!clients)
        return false;
    for (size_t i = 0; i < result->presence.count; i++) {
        if (!client_info_init(&clients[i], message, &result->presence.values[i]))
            return false;
    }
    presence->clients = clients;
    presence->count = result->presence.count;
    return true;
}

static bool outcome_init(struct call_outcome *outcome,
                         const struct pending *pending,
                         const struct wh_reply *reply)
{
    struct message *message = outcome->message;
    if (pending->kind == PENDING_RPC && reply->rpc)
        outcome->data = data_of_payload(reply->rpc->data);
    if (pending->kind == PENDING_PRESENCE_STATS && reply->presence_stats) {
        outcome->stats.clients = reply->presence_stats->num_clients;
        outcome->stats.users = reply->presence_stats->num_users;
    }
    if (pending->kind == PENDING_HISTORY && reply->history)
        return history_init(&outcome->history, message, pending, reply->history);
    if (pending->kind == PENDING_PRESENCE && reply->presence)
        return presence_init(&outcome->presence, message, reply->presence);
    return true;
}

void calls_on_reply(struct engine *engine,
                    struct pending *pending,
                    struct message *message,
                    const struct wh_reply *reply)
{
    struct call_outcome outcome = {.message = message, .history.position.epoch = ""};
    struct wh_error error;
    if (reply->error) {
        error = engine_error_make(WH_ESERVER, reply->error->code, reply->error->temporary, 0,
                                  "%.*s", WH_SLICE_ARGS(reply->error->message));
        outcome.error = &error;
    } else if (!outcome_init(&outcome, pending, reply)) {
        error = engine_error_make(WH_ENOMEM, 0, true, 0, "%s", wh_err_text(WH_ENOMEM));
        outcome = (struct call_outcome){.error = &error};
    }
    end_call(engine, pending, &outcome);
}

void calls_on_pong(struct engine *engine)
{
    WH_LIST_EACH(link, &engine->sent)
    {
        struct pending *pending = WH_CONTAINER_OF(link, struct pending, link);
        if (pending->kind == PENDING_PING)
            end_call(engine, pending, &(struct call_outcome){.history.position.epoch = ""});
    }
}

/* ---- new calls --------------------------------------------------------------------------------
 */

/* A command with what it points to. */
struct call_command {
    struct wh_command command;
    struct wh_stream_position since;
    union {
        struct wh_publish_request publish;
        struct wh_rpc_request rpc;
        struct wh_history_request history;
        struct wh_presence_request presence;
        struct wh_presence_stats_request presence_stats;
    } u;
};

/* Once, here: an invalid payload would spoil the frame for everything else in it. */
static enum wh_err check_data(const struct engine *engine,
                              struct wh_data data,
                              struct wh_payload *out_payload)
{
    enum wh_err err = payload_of_data(data, out_payload);
    if (err || ((data.flags & WH_DATA_TRUSTED) && data.format == WH_DATA_JSON))
        return err;
    enum wh_encoding encoding = engine->is_open ? engine->encoding : engine->settings->encoding;
    if (data.format == WH_DATA_BYTES && encoding == WH_ENCODING_JSON && data.ptr)
        return wh_payload_classify(out_payload->bytes).kind == WH_PAYLOAD_JSON ? WH_OK
                                                                               : WH_EENCODING;
    return wh_payload_check(*out_payload);
}

static enum wh_err check_channel(const char *channel, struct wh_slice *out_channel)
{
    size_t len = channel ? strnlen(channel, ENGINE_CHANNEL_BYTES_MAX + 1) : 0;
    if (len == 0 || len > ENGINE_CHANNEL_BYTES_MAX)
        return WH_EINVAL;
    *out_channel = wh_slice(channel, len);
    return WH_OK;
}

static void history_command(struct call_command *out,
                            const struct wh_history_options *history,
                            struct wh_slice channel)
{
    out->u.history = (struct wh_history_request){.channel = channel};
    if (history) {
        out->u.history.limit = history->limit;
        out->u.history.reverse = history->reverse;
    }
    if (history && history->since) {
        out->since.offset = history->since->offset;
        out->since.epoch = wh_slice_from_str(history->since->epoch ? history->since->epoch : "");
        out->u.history.since = &out->since;
    }
    out->command.history = &out->u.history;
}

static enum wh_err command_init(const struct engine *engine,
                                const struct call_request *request,
                                struct call_command *out)
{
    struct wh_slice channel = WH_SLICE_ABSENT;
    struct wh_payload data = {0};
    *out = (struct call_command){0};
    if (request->kind == PENDING_PING)
        return WH_OK;
    enum wh_err err = WH_OK;
    if (request->kind == PENDING_RPC)
        channel = wh_slice_from_str(request->channel ? request->channel : "");
    else
        err = check_channel(request->sub ? request->sub->channel : request->channel, &channel);
    if (!err && (request->kind == PENDING_RPC || request->kind == PENDING_PUBLISH))
        err = check_data(engine, request->data, &data);
    if (err)
        return err;
    switch (request->kind) {
    case PENDING_PUBLISH:
        out->u.publish = (struct wh_publish_request){.channel = channel, .data = data};
        out->command.publish = &out->u.publish;
        break;
    case PENDING_RPC:
        out->u.rpc = (struct wh_rpc_request){.method = channel, .data = data};
        out->command.rpc = &out->u.rpc;
        break;
    case PENDING_HISTORY:
        history_command(out, request->history, channel);
        break;
    case PENDING_PRESENCE:
        out->u.presence.channel = channel;
        out->command.presence = &out->u.presence;
        break;
    case PENDING_PRESENCE_STATS:
        out->u.presence_stats.channel = channel;
        out->command.presence_stats = &out->u.presence_stats;
        break;
    default:
        return WH_EINVAL;
    }
    return WH_OK;
}

static bool can_send(const struct engine *engine, const struct wh_sub *sub)
{
    return engine->state == ENGINE_CONNECTED && (!sub || sub->state == WH_SUB_SUBSCRIBED);
}

static enum wh_err check_state(const struct engine *engine, const struct wh_sub *sub)
{
    if (engine->state == ENGINE_CLOSED)
        return WH_ECLOSED;
    if (engine->state == ENGINE_DISCONNECTED)
        return WH_EDISCONNECTED;
    if (sub && sub->state == WH_SUB_UNSUBSCRIBED)
        return WH_EUNSUBSCRIBED;
    return engine->pending_count < ENGINE_CALLS_MAX ? WH_OK : WH_EFULL;
}

static bool is_over_limit(struct engine *engine)
{
    size_t bytes = engine_out_bytes(engine) + engine->unsent_bytes;
    if (bytes > engine->settings->send_queue_bytes_max)
        return true;
    if (bytes > engine->stats.send_queue_bytes_high)
        engine->stats.send_queue_bytes_high = bytes;
    return false;
}

static enum wh_err send_call(struct engine *engine,
                             struct pending *pending,
                             struct wh_command *command)
{
    if (pending->kind == PENDING_PING) {
        wh_list_remove(&pending->link);
        wh_list_push_back(&engine->sent, &pending->link);
        engine->wants_ping = true;
        return WH_OK;
    }
    return send_pending(engine, pending, command);
}

/* It waits: with a copy of its command. */
static enum wh_err keep_call(struct engine *engine,
                             struct pending *pending,
                             const struct wh_command *command)
{
    struct wh_command *copy = wh_arena_alloc(&pending->arena, sizeof(*copy));
    if (!copy || wh_copy(&wh_command_schema, command, &pending->arena, copy) != WH_OK)
        return WH_ENOMEM;
    pending->command = copy;
    engine->unsent_bytes += pending->arena.used;
    wh_list_push_back(&engine->unsent, &pending->link);
    if (pending->sub)
        wh_list_push_back(&pending->sub->unsent, &pending->sub_link);
    return WH_OK;
}

static enum wh_err start_call(struct engine *engine,
                              struct pending *pending,
                              struct wh_command *command)
{
    if (command->history) {
        pending->channel = wh_arena_copy(&pending->arena, command->history->channel).ptr;
        if (!pending->channel)
            return WH_ENOMEM;
    }
    size_t before = engine->out.len;
    bool is_sent = can_send(engine, pending->sub);
    enum wh_err err =
        is_sent ? send_call(engine, pending, command) : keep_call(engine, pending, command);
    if (!err && is_over_limit(engine)) {
        if (is_sent)
            wh_buf_truncate(&engine->out, before);
        err = WH_EFULL;
    }
    return err;
}

enum wh_err engine_call(struct engine *engine,
                        const struct call_request *request,
                        struct call *call)
{
    struct call_command command;
    enum wh_err err = check_state(engine, request->sub);
    if (!err)
        err = command_init(engine, request, &command);
    if (err)
        return err;
    bool needs_event = !call->completion && (call->cb.done || call->user_free);
    struct event *event = needs_event ? event_new(EVENT_CALL, NULL, 0) : NULL;
    struct pending *pending = pending_new(engine, request->kind, request->sub, request->timeout_ms);
    err = pending && (event || !needs_event) ? start_call(engine, pending, &command.command)
                                             : WH_ENOMEM;
    if (err) {
        event_free(event);
        if (pending)
            pending_free(engine, pending);
        return err;
    }
    call_ref(call);
    call->kind = request->kind;
    call->event = event;
    call->pending = pending;
    pending->call = call;
    return WH_OK;
}

static void send_kept(struct engine *engine, struct pending *pending)
{
    if (!can_send(engine, pending->sub))
        return;
    enum wh_err err = send_call(engine, pending, pending->command);
    if (err) {
        end_with_error(engine, pending, err, WH_CODE_WRITE_ERROR);
        return;
    }
    wh_list_remove(&pending->sub_link);
    engine->unsent_bytes -= pending->arena.used;
    pending->command = NULL;
}

void calls_send_waiting(struct engine *engine)
{
    WH_LIST_EACH(link, &engine->unsent)
    {
        send_kept(engine, WH_CONTAINER_OF(link, struct pending, link));
    }
}

void calls_on_sub(struct engine *engine, struct wh_sub *sub)
{
    if (sub->state == WH_SUB_SUBSCRIBING)
        return;
    WH_LIST_EACH(link, &sub->unsent)
    {
        struct pending *pending = WH_CONTAINER_OF(link, struct pending, sub_link);
        if (sub->state == WH_SUB_SUBSCRIBED)
            send_kept(engine, pending);
        else
            end_with_error(engine, pending, WH_EUNSUBSCRIBED, WH_CODE_UNSUBSCRIBED);
    }
}

enum wh_err engine_send(struct engine *engine, struct wh_data data)
{
    struct wh_send_request request = {{0}};
    struct wh_command command = {.send = &request};
    enum wh_err err = check_state(engine, NULL);
    if (!err && engine->state != ENGINE_CONNECTED)
        err = WH_EDISCONNECTED;
    if (!err)
        err = check_data(engine, data, &request.data);
    if (err)
        return err;
    size_t before = engine->out.len;
    err = engine_put(engine, &command);
    if (!err && is_over_limit(engine)) {
        wh_buf_truncate(&engine->out, before);
        err = WH_EFULL;
    }
    return err;
}
