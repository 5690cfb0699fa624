/*
 * Frames in: each message of a frame is a reply to a pending command, a push,
 * or a ping.  Everything that is decoded lies in the frame's own memory.
 *
 * Handling one message can end the connection; what is left of the frame is
 * then not for anybody.
 */
#include "client-sdk/src/engine.h"
#include "client-sdk/src/sub.h"
#include "client-sdk/src/trace.h"

void engine_on_reply(struct engine *engine,
                     struct pending *pending,
                     struct message *message,
                     const struct wh_reply *reply)
{
    switch (pending->kind) {
    case PENDING_CONNECT:
        engine_on_connect_reply(engine, message, reply);
        break;
    case PENDING_REFRESH:
        refresh_on_reply(engine, reply);
        break;
    case PENDING_SUBSCRIBE:
    case PENDING_UNSUBSCRIBE:
    case PENDING_SUB_REFRESH:
        subs_on_reply(engine, pending, message, reply);
        break;
    default:
        calls_on_reply(engine, pending, message, reply);
        break;
    }
}

static void receive_reply(struct engine *engine,
                          struct message *message,
                          const struct wh_reply *reply)
{
    struct pending *pending =
        wh_map_get(&engine->pending_by_id, wh_slice(&reply->id, sizeof(reply->id)));
    /* An unknown id: a call that was canceled or has timed out. */
    if (!pending || pending->connection != engine->connection)
        return;
    /* Before its connect reply a server has nothing to say about what follows it. */
    if (engine->state == ENGINE_HANDSHAKING && pending->kind != PENDING_CONNECT)
        return;
    if (pending->kind >= PENDING_PUBLISH) {
        calls_on_reply(engine, pending, message, reply);
        return;
    }
    pending_detach(engine, pending);
    engine_on_reply(engine, pending, message, reply);
    pending_free(engine, pending);
}

static void receive_message(struct engine *engine,
                            struct message *message,
                            const struct wh_message_push *push)
{
    struct event *event = event_new(EVENT_MESSAGE, message, 0);
    if (!event) {
        engine_reconnect_no_memory(engine);
        return;
    }
    event->u.data = data_of_payload(push->data);
    event->bytes += push->data.bytes.len;
    engine_push(engine, event);
}

static void receive_push(struct engine *engine, struct message *message, const struct wh_push *push)
{
    if (push->disconnect) {
        engine_obey_close(engine, push->disconnect->code, push->disconnect->reason);
        return;
    }
    if (engine->state != ENGINE_CONNECTED)
        return;
    if (push->pub || push->join || push->leave || push->unsubscribe || push->subscribe)
        subs_on_push(engine, message, push);
    else if (push->message)
        receive_message(engine, message, push->message);
    else if (push->refresh && push->refresh->expires)
        refresh_schedule(engine, push->refresh->ttl);
}

/* Answered only where the server said so: another pong would cost the connection. */
static void receive_ping(struct engine *engine)
{
    static const struct wh_command pong = {0};
    if (engine->last_ping_ms != 0) {
        uint64_t gap_ms = engine->now_ms - engine->last_ping_ms;
        engine->stats.ping_gap_ms = gap_ms < UINT32_MAX ? (uint32_t)gap_ms : UINT32_MAX;
    }
    engine->last_ping_ms = engine->now_ms;
    if (engine->state == ENGINE_CONNECTED && engine->must_pong &&
        engine_put(engine, &pong) != WH_OK)
        engine_reconnect_no_memory(engine);
}

static void receive_one(struct engine *engine,
                        struct message *message,
                        const struct wh_reply *reply)
{
    if (reply->id != 0)
        receive_reply(engine, message, reply);
    else if (reply->push)
        receive_push(engine, message, reply->push);
    else
        receive_ping(engine);
}

static void receive_frame(struct engine *engine, struct message *message)
{
    uint32_t connection = engine->connection;
    struct wh_slice rest = wh_slice(message->bytes, message->len);
    message->is_json = engine->encoding == WH_ENCODING_JSON;
    if (trace_enabled(WH_SEVERITY_TRACE, "wire"))
        trace_frame("in", rest, message->is_json);
    while (engine->is_open && engine->connection == connection) {
        struct wh_reply *reply = wh_arena_alloc(&message->arena, sizeof(*reply));
        enum wh_err err = WH_ENOMEM;
        if (reply)
            err = wh_decode(engine->encoding, &wh_reply_schema, &rest, &message->arena, reply);
        if (err == WH_EEND)
            return;
        if (err == WH_ENOMEM)
            engine_reconnect_no_memory(engine);
        else if (err)
            engine_fail(engine, 2, WH_SLICE_LITERAL("bad protocol"));
        else
            receive_one(engine, message, reply);
    }
}

void engine_received(struct engine *engine, uint32_t connection, struct message *message)
{
    if (connection == engine->connection && engine->is_open) {
        engine->last_frame_ms = engine->now_ms;
        engine->stats.frames_in++;
        engine->stats.bytes_in += message->len;
        receive_frame(engine, message);
    }
    message_unref(message);
}
