/*
 * One client's connections over libwebsockets.
 *
 * A transport has at most one connection that it listens to.  A connection that was closed, or
 * whose client is gone, is let go (`transport` NULL): nothing that happens to it is told any more,
 * and it lives on by itself, bounded by its timer, until libwebsockets has destroyed its wsi.
 *
 *     STARTING → RESOLVING → CONNECTING → OPEN → CLOSING → (wsi destroyed, freed)
 *                              ↑    ↓
 *                            NEXT (an address failed)      KILLED: from any state
 *
 * What the engine wants (transport_ops) may come inside a callback of libwebsockets, so those
 * functions only note it and ask to be called: `turn` for what must not be done there,
 * CLIENT_WRITEABLE for what needs the socket.
 *
 * Facts about libwebsockets 4.1.6 that shape this file:
 *  - A client's frame is masked where it lies: each is copied behind LWS_PRE and used once.
 *  - lws_client_connect_via_info may fail before it returns, then without
 *    CLIENT_CONNECTION_ERROR; later failures have that callback, or only WSI_DESTROY.
 *  - Its own time-outs are in seconds and differ by state: they are set out of reach, and `timer`
 *    bounds connecting and closing.  A kill (LWS_TO_KILL_ASYNC) is forgotten when its own code sets
 *    another time-out before, so it is repeated.
 *  - Response headers are gone in CLIENT_ESTABLISHED; the subprotocol is read before.
 */
#include "client-sdk/src/service_lws.h"

#include "common/base/alloc.h"

#include <stdio.h>

enum { KILL_REPEAT_MS = 20, PING_BYTES = 8, FRAMES_PER_TURN = 16 };

/* ---- its end ------------------------------------------------------------------------------- */

static void connection_free(struct connection *connection)
{
    struct service *service = connection->service;
    wh_list_remove(&connection->link);
    resolve_cancel(&connection->request);
    lws_sul_cancel(&connection->turn);
    lws_sul_cancel(&connection->timer);
    lws_sul_cancel(&connection->address_timer);
    message_unref(connection->incoming);
    wh_buf_deinit(&connection->fragments);
    wh_arena_deinit(&connection->arena);
    wh_free(connection->found);
    vhost_release(connection->vhost);
    wh_free(connection);
    service_connection_gone(service);
}

static void on_turn(lws_sorted_usec_list_t *timer)
{
    struct connection *connection = WH_CONTAINER_OF(timer, struct connection, turn);
    if (connection->state == CONNECTION_STARTING)
        connection_start(connection);
    else if (connection->state == CONNECTION_NEXT)
        connection_connect_next(connection);
    else if (connection->state == CONNECTION_KILLED && !connection->wsi)
        connection_free(connection);
}

static void on_kill(lws_sorted_usec_list_t *timer)
{
    struct connection *connection = WH_CONTAINER_OF(timer, struct connection, timer);
    if (!connection->wsi)
        return;
    lws_set_timeout(connection->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
    service_schedule(connection->service, &connection->timer, on_kill,
                     (uint64_t)KILL_REPEAT_MS * 1000);
}

/* Let go before.  Frees now nothing: the caller may be a callback of this very connection. */
void connection_kill(struct connection *connection)
{
    connection->state = CONNECTION_KILLED;
    resolve_cancel(&connection->request);
    lws_sul_cancel(&connection->address_timer);
    if (connection->is_calling)
        return; /* whoever calls looks at the state */
    if (connection->wsi)
        on_kill(&connection->timer);
    else
        service_schedule(connection->service, &connection->turn, on_turn, 0);
}

static void let_go(struct connection *connection)
{
    if (connection->transport)
        connection->transport->current = NULL;
    connection->transport = NULL;
    connection->settings = NULL;
    connection->url = NULL;
}

/* Once; later ends of the same connection are not news. */
void connection_closed(struct connection *connection,
                       uint32_t code,
                       struct wh_slice reason,
                       const struct wh_error *error)
{
    struct transport *transport = connection->transport;
    if (!transport)
        return;
    struct wh_client *client = transport->client;
    let_go(connection);
    struct engine *engine = client_lock(client);
    engine_closed(engine, connection->number, code, reason, error);
    client_unlock(client);
}

void connection_set_failure(struct connection *connection,
                            enum wh_err err,
                            uint32_t code,
                            const char *format,
                            ...)
{
    struct wh_error *failure = &connection->failure;
    va_list args;
    *failure = (struct wh_error){.err = err, .code = code, .temporary = err != WH_EINVAL};
    va_start(args, format);
    (void)vsnprintf(failure->text, sizeof failure->text, format, args);
    va_end(args);
}

void connection_fail(struct connection *connection)
{
    connection_closed(connection, 0, WH_SLICE_ABSENT, &connection->failure);
    connection_kill(connection);
}

static void fail_memory(struct connection *connection)
{
    connection_set_failure(connection, WH_ENOMEM, 0, "%s", wh_err_text(WH_ENOMEM));
    connection_fail(connection);
}

/* ---- reading ------------------------------------------------------------------------------- */

/* Room for the rest of the frame, of which `len` bytes are here. */
static bool begin_frame(struct connection *connection, size_t len, size_t remaining, bool is_text)
{
    connection->incoming = message_new(len + remaining, is_text);
    connection->incoming_len = 0;
    return connection->incoming != NULL;
}

static void deliver(struct connection *connection, struct message *message)
{
    struct wh_client *client = connection->transport->client;
    struct engine *engine = client_lock(client);
    engine_received(engine, connection->number, message);
    client_unlock(client);
}

/* A whole frame is in `incoming`. */
static bool end_frame(struct connection *connection, bool is_final)
{
    struct message *message = connection->incoming;
    connection->incoming = NULL;
    if (is_final && !connection->has_fragments) {
        deliver(connection, message);
        return true;
    }
    wh_buf_append(&connection->fragments, message->bytes, message->len);
    bool is_text = connection->has_fragments ? connection->is_fragment_text : message->is_text;
    message_unref(message);
    connection->has_fragments = !is_final;
    connection->is_fragment_text = is_text;
    if (wh_buf_error(&connection->fragments) != WH_OK)
        return false;
    if (!is_final)
        return true;
    struct wh_slice whole = wh_buf_slice(&connection->fragments);
    message = message_new(whole.len, is_text);
    if (!message)
        return false;
    if (whole.len > 0)
        memcpy(message->bytes, whole.ptr, whole.len);
    wh_buf_deinit(&connection->fragments);
    connection->fragments = (struct wh_buf){0};
    deliver(connection, message);
    return true;
}

static void too_big(struct connection *connection)
{
    struct wh_client *client = connection->transport->client;
    connection->is_too_big = true;
    struct engine *engine = client_lock(client);
    engine_too_big(engine, connection->number);
    client_unlock(client);
}

static int on_receive(struct connection *connection, struct lws *wsi, const char *bytes, size_t len)
{
    if (connection->state == CONNECTION_KILLED)
        return -1;
    if (!connection->transport || connection->is_too_big)
        return 0;
    size_t remaining = lws_remaining_packet_payload(wsi);
    size_t limit = connection->settings->message_bytes_max;
    if (!connection->incoming) {
        size_t before = connection->fragments.len;
        if (before > limit || len > limit - before || remaining > limit - before - len) {
            too_big(connection);
            return 0;
        }
        if (!begin_frame(connection, len, remaining, !lws_frame_is_binary(wsi))) {
            fail_memory(connection);
            return -1;
        }
    }
    struct message *message = connection->incoming;
    WH_ASSERT(len <= message->len - connection->incoming_len);
    if (len > 0)
        memcpy(message->bytes + connection->incoming_len, bytes, len);
    connection->incoming_len += len;
    if (remaining > 0)
        return 0;
    if (end_frame(connection, lws_is_final_fragment(wsi)))
        return connection->state == CONNECTION_KILLED ? -1 : 0;
    fail_memory(connection);
    return -1;
}

static void on_pong(struct connection *connection, const void *bytes, size_t len)
{
    uint64_t sent;
    if (!connection->transport || connection->ping_us == 0 || len != PING_BYTES)
        return;
    memcpy(&sent, bytes, PING_BYTES);
    if (sent != connection->ping_us)
        return;
    uint64_t rtt = (uint64_t)lws_now_usecs() - sent;
    struct wh_client *client = connection->transport->client;
    connection->ping_us = 0;
    struct engine *engine = client_lock(client);
    engine_pong(engine, connection->number, rtt < UINT32_MAX ? (uint32_t)rtt : UINT32_MAX);
    client_unlock(client);
}

static int on_peer_close(struct connection *connection, const unsigned char *bytes, size_t len)
{
    if (connection->state != CONNECTION_OPEN || !connection->transport)
        return 0; /* libwebsockets answers, and the timer runs already */
    uint32_t code = len >= 2 ? (uint32_t)bytes[0] << 8 | bytes[1] : 1005;
    struct wh_slice reason = len > 2 ? wh_slice(bytes + 2, len - 2) : WH_SLICE_ABSENT;
    uint64_t timeout_us = (uint64_t)connection->settings->close_timeout_ms * 1000;
    connection->state = CONNECTION_CLOSING;
    service_schedule(connection->service, &connection->timer, on_kill, timeout_us);
    connection_closed(connection, code, reason, NULL);
    return 0;
}

/* ---- writing ------------------------------------------------------------------------------- */

static int write_bytes(struct connection *connection,
                       struct lws *wsi,
                       const void *bytes,
                       size_t len,
                       enum lws_write_protocol kind)
{
    struct wh_buf *outgoing = &connection->service->outgoing;
    wh_buf_reset(outgoing);
    char *room = wh_buf_reserve(outgoing, LWS_PRE + len);
    if (!room)
        return -1;
    if (len > 0)
        memcpy(room + LWS_PRE, bytes, len);
    int written = lws_write(wsi, (unsigned char *)room + LWS_PRE, len, kind);
    return written < 0 ? -1 : 0;
}

/* 1 = written, 0 = there is none, −1 = the connection cannot go on. */
static int write_frame(struct connection *connection, struct lws *wsi)
{
    struct transport *transport = connection->transport;
    struct wh_buf *frame = &connection->service->frame;
    struct wh_client *client = transport->client;
    wh_buf_reset(frame);
    struct engine *engine = client_lock(client);
    bool has_frame = engine_take_frame(engine, frame);
    client_unlock(client);
    if (!has_frame)
        return 0;
    if (wh_buf_error(frame) != WH_OK)
        return -1;
    bool is_text = wh_encoding_opcode(connection->encoding) == WH_OPCODE_TEXT;
    if (write_bytes(connection, wsi, frame->ptr, frame->len,
                    is_text ? LWS_WRITE_TEXT : LWS_WRITE_BINARY) < 0)
        return -1;
    return 1;
}

static int write_ping(struct connection *connection, struct lws *wsi)
{
    connection->wants_ping = false;
    connection->ping_us = (uint64_t)lws_now_usecs();
    return write_bytes(connection, wsi, &connection->ping_us, PING_BYTES, LWS_WRITE_PING);
}

static int on_writeable(struct connection *connection, struct lws *wsi)
{
    if (connection->state == CONNECTION_KILLED)
        return -1;
    if (connection->state == CONNECTION_CLOSING) {
        lws_close_reason(wsi, connection->close_code, (unsigned char *)connection->close_reason,
                         connection->close_len);
        return -1;
    }
    if (connection->wants_ping && write_ping(connection, wsi) < 0)
        return -1;
    for (int i = 0; i < FRAMES_PER_TURN && connection->state == CONNECTION_OPEN; i++) {
        if (lws_partial_buffered(wsi))
            break;
        int written = write_frame(connection, wsi);
        if (written < 0)
            return -1;
        if (written == 0)
            return 0;
    }
    (void)lws_callback_on_writable(wsi);
    return 0;
}

/* ---- what libwebsockets says --------------------------------------------------------------- */

static void on_destroy(struct connection *connection)
{
    connection->wsi = NULL;
    if (connection->is_calling)
        return;
    if (connection->state == CONNECTION_NEXT) {
        service_schedule(connection->service, &connection->turn, on_turn, 0);
        return;
    }
    bool is_failure = connection->failure.err != WH_OK;
    connection_closed(connection, 0, WH_SLICE_ABSENT, is_failure ? &connection->failure : NULL);
    connection_free(connection);
}

int connection_callback(struct lws *wsi,
                        enum lws_callback_reasons reason,
                        void *user,
                        void *in,
                        size_t len)
{
    (void)user;
    switch (reason) {
    case LWS_CALLBACK_WSI_CREATE:
    case LWS_CALLBACK_WSI_DESTROY:
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
    case LWS_CALLBACK_CLIENT_FILTER_PRE_ESTABLISH:
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
    case LWS_CALLBACK_CLIENT_RECEIVE:
    case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
    case LWS_CALLBACK_CLIENT_WRITEABLE:
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        break;
    default:
        return 0; /* others have no connection, or nothing to tell */
    }
    struct connection *connection = lws_get_opaque_user_data(wsi);
    if (!connection)
        return 0;
    if (reason == LWS_CALLBACK_WSI_CREATE) {
        connection_on_tcp(connection);
    } else if (reason == LWS_CALLBACK_WSI_DESTROY) {
        on_destroy(connection);
    } else if (reason == LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER) {
        return connection_on_append_header(connection, in, len);
    } else if (reason == LWS_CALLBACK_CLIENT_FILTER_PRE_ESTABLISH) {
        return connection_on_filter(connection, wsi);
    } else if (reason == LWS_CALLBACK_CLIENT_CONNECTION_ERROR) {
        connection_on_error(connection, wsi, in, len);
    } else if (reason == LWS_CALLBACK_CLIENT_ESTABLISHED) {
        return connection_on_established(connection);
    } else if (reason == LWS_CALLBACK_CLIENT_RECEIVE) {
        return on_receive(connection, wsi, in, len);
    } else if (reason == LWS_CALLBACK_CLIENT_RECEIVE_PONG) {
        on_pong(connection, in, len);
    } else if (reason == LWS_CALLBACK_CLIENT_WRITEABLE) {
        return on_writeable(connection, wsi);
    } else {
        return on_peer_close(connection, in, len);
    }
    return 0;
}

void connections_close(struct service *service)
{
    WH_LIST_EACH(node, &service->connections)
    {
        struct connection *connection = WH_CONTAINER_OF(node, struct connection, link);
        WH_ASSERT(!connection->transport);
        if (!connection->wsi)
            connection_free(connection);
        else if (connection->state != CONNECTION_CLOSING)
            connection_kill(connection);
    }
}

/* ---- what the engine wants ----------------------------------------------------------------- */

static void on_failed(lws_sorted_usec_list_t *timer)
{
    struct transport *transport = WH_CONTAINER_OF(timer, struct transport, failed);
    struct wh_client *client = transport->client;
    struct wh_error error = {.err = WH_ENOMEM, .temporary = true, .text = "out of memory"};
    uint32_t number = transport->failed_number;
    struct engine *engine = client_lock(client);
    engine_closed(engine, number, 0, WH_SLICE_ABSENT, &error);
    client_unlock(client);
}

static void open_connection(struct transport *transport, const struct engine_action *action)
{
    struct service *service = transport->service;
    struct connection *connection = wh_calloc(1, sizeof *connection);
    if (transport->current) {
        struct connection *old = transport->current;
        let_go(old);
        connection_kill(old);
    }
    if (!connection) {
        transport->failed_number = action->connection;
        service_schedule(service, &transport->failed, on_failed, 0);
        return;
    }
    connection->service = service;
    connection->transport = transport;
    connection->settings = client_settings(transport->client);
    connection->url = &connection->settings->urls[action->url_index];
    connection->number = action->connection;
    wh_list_push_back(&service->connections, &connection->link);
    transport->current = connection;
    service_schedule(service, &connection->turn, on_turn, 0);
}

static void close_connection(struct transport *transport, const struct engine_action *action)
{
    struct connection *connection = transport->current;
    if (!connection || connection->number != action->connection)
        return;
    uint64_t timeout_us = (uint64_t)connection->settings->close_timeout_ms * 1000;
    let_go(connection);
    if (connection->state != CONNECTION_OPEN) {
        connection_kill(connection);
        return;
    }
    size_t len = action->reason ? strlen(action->reason) : 0;
    if (len > CLOSE_REASON_MAX)
        len = CLOSE_REASON_MAX;
    connection->state = CONNECTION_CLOSING;
    connection->close_code = action->code;
    connection->close_len = (uint8_t)len;
    if (len > 0)
        memcpy(connection->close_reason, action->reason, len);
    (void)lws_rx_flow_control(connection->wsi, 1); /* or the peer's answer is never read */
    (void)lws_callback_on_writable(connection->wsi);
    service_schedule(connection->service, &connection->timer, on_kill, timeout_us);
}

static struct connection *open_one(struct transport *transport)
{
    struct connection *connection = transport->current;
    return connection && connection->state == CONNECTION_OPEN ? connection : NULL;
}

static void want_write(struct transport *transport)
{
    struct connection *connection = open_one(transport);
    if (connection)
        (void)lws_callback_on_writable(connection->wsi);
}

static void set_reading(struct transport *transport, bool is_reading)
{
    struct connection *connection = open_one(transport);
    transport->is_paused = !is_reading;
    if (!connection)
        return;
    (void)lws_rx_flow_control(connection->wsi, is_reading);
    /* On foreign loops only an event makes it look at what it has kept meanwhile. */
    if (is_reading)
        (void)lws_callback_on_writable(connection->wsi);
}

static void send_ping(struct transport *transport)
{
    struct connection *connection = open_one(transport);
    if (!connection)
        return;
    connection->wants_ping = true;
    (void)lws_callback_on_writable(connection->wsi);
}

const struct transport_ops transport_lws_ops = {
    .open = open_connection,
    .close = close_connection,
    .want_write = want_write,
    .set_reading = set_reading,
    .ping = send_ping,
};

enum wh_err transport_lws_new(struct service *service,
                              struct wh_client *client,
                              struct transport **out_transport)
{
    struct transport *transport = wh_calloc(1, sizeof *transport);
    if (!transport)
        return WH_ENOMEM;
    transport->service = service;
    transport->client = client;
    *out_transport = transport;
    return WH_OK;
}

void transport_lws_free(struct transport *transport)
{
    if (!transport)
        return;
    if (transport->current) {
        struct connection *connection = transport->current;
        let_go(connection);
        connection_kill(connection);
    }
    lws_sul_cancel(&transport->failed);
    wh_free(transport);
}
