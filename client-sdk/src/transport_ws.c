/*
 * One client's connections: WebSocket over the service's sockets.
 *
 * What the engine wants (transport_ws_ops) comes under the client's lock and perhaps inside an
 * event of this very connection, so those functions only note it and ask to be called: `turn`, or
 * the socket's next moment for writing.
 *
 * Reading takes what the socket has in one piece and gives its messages to the engine under one
 * lock, as long as the client wants to read; the rest waits in `in`.
 */
#include "client-sdk/src/connection.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"

#include <stdio.h>

enum {
    PING_BYTES = 8,
    OUT_BYTES_MAX = 65536,       /* frames are taken from the engine while less than this waits */
    PONG_BACKLOG_MAX = 4096,     /* pings that come while more than this waits get no answer */
    READ_BYTES_PER_TURN = 262144 /* then others have their turn */
};

/* ---- its end ------------------------------------------------------------------------------- */

static void connection_free(struct connection *connection)
{
    struct service *service = connection->service;
    service_timer_stop(service, &connection->turn);
    connect_free(connection->connecting);
    tls_release(connection->tls);
    ws_reader_deinit(&connection->reader);
    wh_buf_deinit(&connection->in);
    wh_buf_deinit(&connection->out);
    service_release(service, &connection->holder);
    wh_free(connection);
}

void connection_kill(struct connection *connection)
{
    if (connection->state == CONNECTION_DEAD)
        return;
    connection->state = CONNECTION_DEAD;
    service_timer_stop(connection->service, &connection->timer);
    if (connection->connecting)
        connect_stop(connection->connecting);
    stream_end(&connection->stream);
    service_socket_free(connection->socket);
    connection->socket = NULL;
    service_timer_start(connection->service, &connection->turn, 0);
}

static void on_timeout(struct service_timer *timer)
{
    connection_kill(WH_CONTAINER_OF(timer, struct connection, timer));
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

static void lost(struct connection *connection)
{
    connection_kill(connection);
    connection_closed(connection, 0, WH_SLICE_ABSENT, NULL);
}

static void fail(struct connection *connection, enum wh_err err, const char *text)
{
    struct wh_error error = {.err = err, .temporary = true};
    (void)snprintf(error.text, sizeof error.text, "%s", text);
    connection_kill(connection);
    connection_closed(connection, 0, WH_SLICE_ABSENT, &error);
}

/* ---- writing ------------------------------------------------------------------------------- */

bool connection_flush(struct connection *connection)
{
    struct wh_buf *out = &connection->out;
    size_t sent = 0;
    ssize_t count = 1;
    connection->stream.wants_write = false;
    while (count > 0 && sent < out->len) {
        count = stream_write(&connection->stream, out->ptr + sent, out->len - sent);
        if (count > 0)
            sent += (size_t)count;
    }
    wh_buf_consume(out, sent);
    if (count < 0)
        return false;
    if (out->len > 0 || connection->stream.wants_write)
        service_socket_want_write(connection->socket);
    return true;
}

/* What the engine has, as far as there is room. */
static void take_frames(struct connection *connection)
{
    struct wh_buf *frame = &service_shared(connection->service)->frame;
    struct wh_buf *out = &connection->out;
    struct wh_client *client = connection->transport->client;
    uint8_t opcode =
        wh_encoding_opcode(connection->encoding) == WH_OPCODE_TEXT ? WS_TEXT : WS_BINARY;
    connection->wants_frames = false;
    struct engine *engine = client_lock(client);
    for (;;) {
        wh_buf_reset(frame);
        if (out->len >= OUT_BYTES_MAX) {
            connection->wants_frames = true; /* asked again when this has left */
            break;
        }
        if (!engine_take_frame(engine, frame))
            break;
        if (wh_buf_error(frame) != WH_OK)
            out->err = wh_buf_error(frame);
        ws_write(out, opcode, wh_buf_slice(frame));
    }
    client_unlock(client);
}

static void write_ping(struct connection *connection)
{
    connection->wants_ping = false;
    connection->ping_us = wh_clock_monotonic_us();
    ws_write(&connection->out, WS_PING, wh_slice(&connection->ping_us, PING_BYTES));
}

static bool is_talking(const struct connection *connection)
{
    return connection->state == CONNECTION_OPEN && connection->transport;
}

static void write_out(struct connection *connection)
{
    if (is_talking(connection) && connection->wants_ping)
        write_ping(connection);
    if (is_talking(connection) && connection->wants_frames)
        take_frames(connection);
    if (connection->state == CONNECTION_DEAD)
        return;
    if (wh_buf_error(&connection->out) != WH_OK) {
        fail(connection, WH_ENOMEM, wh_err_text(WH_ENOMEM));
        return;
    }
    if (!connection_flush(connection)) {
        /* Reading tells how it ended: a close frame may be there. */
        wh_buf_reset(&connection->out);
        connection->wants_frames = false;
        return;
    }
    if (connection->wants_frames || connection->wants_ping)
        service_socket_want_write(connection->socket);
}

/* The close frame, and a while for the peer to do its part. */
static void begin_closing(struct connection *connection, uint16_t code, struct wh_slice reason)
{
    connection->state = CONNECTION_CLOSING;
    connection->timer.fn = on_timeout;
    service_timer_start(connection->service, &connection->timer,
                        connection->settings->close_timeout_ms);
    ws_write_close(&connection->out, code, reason);
    service_socket_set_reading(connection->socket, true); /* or the peer's part is never read */
    service_socket_want_write(connection->socket);
}

/* ---- reading ------------------------------------------------------------------------------- */

static void answer_ping(struct connection *connection, struct wh_slice payload)
{
    if (connection->out.len > PONG_BACKLOG_MAX)
        return;
    ws_write(&connection->out, WS_PONG, payload);
    service_socket_want_write(connection->socket);
}

static void take_pong(struct connection *connection, struct engine *engine, struct wh_slice payload)
{
    uint64_t sent;
    if (connection->ping_us == 0 || payload.len != PING_BYTES)
        return;
    memcpy(&sent, payload.ptr, PING_BYTES);
    if (sent != connection->ping_us)
        return;
    uint64_t rtt = wh_clock_monotonic_us() - sent;
    connection->ping_us = 0;
    engine_pong(engine, connection->number, rtt < UINT32_MAX ? (uint32_t)rtt : UINT32_MAX);
}

/* Under the lock.  false = `event` is for end_reading. */
static bool take_event(struct connection *connection,
                       struct engine *engine,
                       const struct ws_event *event)
{
    switch (event->kind) {
    case WS_EVENT_MESSAGE:
        engine_received(engine, connection->number, event->message);
        return true;
    case WS_EVENT_PING:
        answer_ping(connection, event->payload);
        return true;
    case WS_EVENT_PONG:
        take_pong(connection, engine, event->payload);
        return true;
    case WS_EVENT_TOO_BIG:
        engine_too_big(engine, connection->number);
        return false;
    default:
        return false;
    }
}

/* What ends a connection, outside of the lock. */
static void end_reading(struct connection *connection, const struct ws_event *event)
{
    if (!is_talking(connection))
        return; /* the engine closed it meanwhile */
    if (event->kind == WS_EVENT_CLOSE) {
        begin_closing(connection, event->code, WH_SLICE_ABSENT);
        connection_closed(connection, event->code, event->payload, NULL);
    } else if (event->kind == WS_EVENT_BROKEN) {
        struct wh_error error = {.err = WH_EFORMAT, .temporary = true};
        (void)snprintf(error.text, sizeof error.text, "no WebSocket: %s", event->why);
        begin_closing(connection, event->code, wh_slice_from_str(event->why));
        connection_closed(connection, 0, WH_SLICE_ABSENT, &error);
    } else if (event->kind == WS_EVENT_NO_MEMORY) {
        fail(connection, WH_ENOMEM, wh_err_text(WH_ENOMEM));
    }
}

static void keep(struct connection *connection, struct wh_slice rest)
{
    wh_buf_append_slice(&connection->in, rest);
    if (wh_buf_error(&connection->in) != WH_OK)
        fail(connection, WH_ENOMEM, wh_err_text(WH_ENOMEM));
}

/* The bytes' messages to the engine; what it does not want yet is kept. */
static void feed(struct connection *connection, struct wh_slice bytes)
{
    struct transport *transport = connection->transport;
    struct wh_client *client = transport->client;
    struct ws_event event = {.kind = WS_EVENT_NONE};
    bool goes_on = true;
    struct engine *engine = client_lock(client);
    while (goes_on && bytes.len > 0 && client_wants_to_read(client)) {
        ws_read(&connection->reader, &bytes, &event);
        if (event.kind == WS_EVENT_NONE)
            break;
        goes_on = take_event(connection, engine, &event);
    }
    client_unlock(client);
    if (!goes_on)
        end_reading(connection, &event);
    if (goes_on && is_talking(connection) && bytes.len > 0) {
        keep(connection, bytes);
        if (is_talking(connection) && !connection->transport->is_paused)
            service_timer_start(connection->service, &connection->turn, 0);
    }
}

static void feed_kept(struct connection *connection)
{
    struct wh_buf in = connection->in;
    connection->in = (struct wh_buf){0};
    feed(connection, wh_buf_slice(&in));
    wh_buf_deinit(&in);
}

/* Only the peer's close frame is of interest. */
static void watch_for_close(struct connection *connection, struct wh_slice bytes)
{
    struct ws_event event = {.kind = WS_EVENT_NONE};
    while (connection->state == CONNECTION_CLOSING && bytes.len > 0) {
        ws_read(&connection->reader, &bytes, &event);
        if (event.kind == WS_EVENT_NONE)
            return;
        if (event.kind == WS_EVENT_MESSAGE)
            message_unref(event.message);
        else if (event.kind == WS_EVENT_CLOSE && connection->out.len == 0)
            connection_kill(connection);
    }
}

static bool is_readable(const struct connection *connection)
{
    if (connection->state == CONNECTION_CLOSING)
        return true;
    return is_talking(connection) && connection->in.len == 0 && !connection->transport->is_paused;
}

static void read_in(struct connection *connection)
{
    char *input = service_shared(connection->service)->input;
    size_t total = 0;
    bool is_dry = false;
    while (!is_dry && is_readable(connection) && total < READ_BYTES_PER_TURN) {
        ssize_t count = stream_read(&connection->stream, input, SERVICE_INPUT_BYTES);
        if (count < 0)
            lost(connection);
        if (count <= 0)
            return; /* the socket tells of more */
        total += (size_t)count;
        is_dry = count < SERVICE_INPUT_BYTES && !connection->stream.tls;
        struct wh_slice bytes = wh_slice(input, (size_t)count);
        if (connection->state == CONNECTION_CLOSING)
            watch_for_close(connection, bytes);
        else
            feed(connection, bytes);
    }
    if (is_readable(connection) && stream_has_pending(&connection->stream))
        service_timer_start(connection->service, &connection->turn, 0);
}

void connection_on_event(void *user, unsigned events)
{
    struct connection *connection = user;
    bool is_gone = (events & SOCKET_GONE) != 0;
    if (connection->state < CONNECTION_OPEN && (events & SOCKET_WRITABLE) &&
        connection->state != CONNECTION_TCP && connection->out.len > 0)
        (void)connection_flush(connection);
    if (connection->state < CONNECTION_OPEN) {
        connect_go_on(connection, is_gone);
    } else if (connection->state != CONNECTION_DEAD) {
        if (events & SOCKET_WRITABLE)
            write_out(connection);
        if (connection->state != CONNECTION_DEAD)
            read_in(connection);
        if (is_gone && connection->state != CONNECTION_DEAD)
            lost(connection);
    }
}

static void on_turn(struct service_timer *timer)
{
    struct connection *connection = WH_CONTAINER_OF(timer, struct connection, turn);
    if (connection->state == CONNECTION_STARTING) {
        connect_start(connection);
    } else if (connection->state == CONNECTION_DEAD) {
        connection_free(connection);
    } else if (connection->state >= CONNECTION_OPEN) {
        if (is_talking(connection) && connection->in.len > 0 && !connection->transport->is_paused)
            feed_kept(connection);
        if (connection->state != CONNECTION_DEAD)
            read_in(connection);
    }
}

void connection_opened(struct connection *connection, struct wh_slice rest)
{
    struct transport *transport = connection->transport;
    struct wh_client *client = transport->client;
    service_timer_stop(connection->service, &connection->timer);
    connect_free(connection->connecting);
    connection->connecting = NULL;
    connection->state = CONNECTION_OPEN;
    ws_reader_init(&connection->reader, service_shared(connection->service)->pool,
                   connection->settings->message_bytes_max);
    service_socket_set_reading(connection->socket, !transport->is_paused);
    struct engine *engine = client_lock(client);
    engine_opened(engine, connection->number, connection->encoding);
    client_unlock(client);
    if (is_talking(connection) && rest.len > 0)
        feed(connection, rest);
    if (is_talking(connection) && connection->stream.tls) /* which may hold what came behind */
        service_timer_start(connection->service, &connection->turn, 0);
}

/* The service ends: nobody waits for what is not open. */
static void on_hurry(struct service_holder *holder)
{
    struct connection *connection = WH_CONTAINER_OF(holder, struct connection, holder);
    WH_ASSERT(!connection->transport);
    if (connection->state != CONNECTION_CLOSING)
        connection_kill(connection);
}

/* ---- what the engine wants ----------------------------------------------------------------- */

static void on_failed(struct service_timer *timer)
{
    struct transport *transport = WH_CONTAINER_OF(timer, struct transport, failed);
    struct wh_client *client = transport->client;
    struct wh_error error = {.err = WH_ENOMEM, .temporary = true, .text = "out of memory"};
    uint32_t number = transport->failed_number;
    struct engine *engine = client_lock(client);
    engine_closed(engine, number, 0, WH_SLICE_ABSENT, &error);
    client_unlock(client);
}

static struct connection *connection_new(struct transport *transport,
                                         const struct engine_action *action)
{
    struct connection *connection = wh_calloc(1, sizeof *connection);
    struct connecting *connecting = wh_calloc(1, sizeof *connecting);
    if (!connection || !connecting) {
        wh_free(connection);
        wh_free(connecting);
        return NULL;
    }
    connection->service = transport->service;
    connection->transport = transport;
    connection->connecting = connecting;
    connecting->connection = connection;
    connection->settings = client_settings(transport->client);
    connection->url = &connection->settings->urls[action->url_index];
    connection->number = action->connection;
    connection->stream.fd = -1;
    connection->holder.hurry = on_hurry;
    connection->turn.fn = on_turn;
    service_hold(transport->service, &connection->holder);
    return connection;
}

static void open_connection(struct transport *transport, const struct engine_action *action)
{
    struct connection *old = transport->current;
    if (old) {
        let_go(old);
        connection_kill(old);
    }
    struct connection *connection = connection_new(transport, action);
    transport->current = connection;
    if (connection) {
        service_timer_start(transport->service, &connection->turn, 0);
        return;
    }
    transport->failed_number = action->connection;
    transport->failed.fn = on_failed;
    service_timer_start(transport->service, &transport->failed, 0);
}

static void close_connection(struct transport *transport, const struct engine_action *action)
{
    struct connection *connection = transport->current;
    if (!connection || connection->number != action->connection)
        return;
    if (connection->state == CONNECTION_OPEN) {
        begin_closing(connection, action->code, wh_slice_from_str(action->reason));
        let_go(connection);
        return;
    }
    let_go(connection);
    connection_kill(connection);
}

static struct connection *open_one(struct transport *transport)
{
    struct connection *connection = transport->current;
    return connection && connection->state == CONNECTION_OPEN ? connection : NULL;
}

static void want_write(struct transport *transport)
{
    struct connection *connection = open_one(transport);
    if (!connection)
        return;
    connection->wants_frames = true;
    service_socket_want_write(connection->socket);
}

static void set_reading(struct transport *transport, bool is_reading)
{
    struct connection *connection = open_one(transport);
    transport->is_paused = !is_reading;
    if (!connection)
        return;
    service_socket_set_reading(connection->socket, is_reading);
    if (is_reading)
        service_timer_start(connection->service, &connection->turn, 0);
}

static void send_ping(struct transport *transport)
{
    struct connection *connection = open_one(transport);
    if (!connection)
        return;
    connection->wants_ping = true;
    service_socket_want_write(connection->socket);
}

const struct transport_ops transport_ws_ops = {
    .open = open_connection,
    .close = close_connection,
    .want_write = want_write,
    .set_reading = set_reading,
    .ping = send_ping,
};

enum wh_err transport_ws_new(struct service *service,
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

void transport_ws_free(struct transport *transport)
{
    if (!transport)
        return;
    if (transport->current) {
        struct connection *connection = transport->current;
        let_go(connection);
        connection_kill(connection);
    }
    service_timer_stop(transport->service, &transport->failed);
    wh_free(transport);
}
