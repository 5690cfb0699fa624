/*
 * libwebsockets, driven for fan-out.
 *
 * A connection is a struct connection for each WebSocket, made when lws says
 * ESTABLISHED and freed when it says CLOSED; plain HTTP is in server_http.c.
 *
 * Writing: lws' documented way (ask for a callback, write one message in it)
 * costs several epoll_ctl calls a message.  A session's bytes are ready
 * frames, so they are sent on the socket right away; lws is given only what
 * the kernel did not take, as LWS_WRITE_RAW, which it keeps and sends before
 * anything else.  While lws holds bytes (lws_partial_buffered) nothing may be
 * written past it: the transport is busy, the session queues, and the
 * WRITEABLE callback goes on.
 *
 * Reading: lws hands over pieces of at most RX_BUFFER bytes; a message that
 * came in one piece is used in place, others are collected, never past
 * websocket.message_size_limit, which is checked before anything is kept.
 *
 * What lws 4.1 does not check of a handshake is checked in
 * handshake.c; what it cannot be made to do stands in docs/RFC6455.md.
 */
#include "hub/server.h"

#include "common/base/alloc.h"
#include "common/base/utf8.h"
#include "common/protocol/codec.h"
#include "hub/handshake.h"
#include "hub/http.h"
#include "hub/limits.h"
#include "hub/pem_file.h"
#include "hub/server_http.h"
#include "hub/session.h"
#include "hub/tracing.h"

#include <errno.h>
#include <fcntl.h>
#include <libwebsockets.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    RX_BUFFER = 1024,         /* memory per connection */
    TX_PACKET = 4 << 20,      /* lws cuts writes at this; ours are bounded elsewhere */
    ACCEPTS_PER_TURN = 64,    /* then others get their turn */
    HANDSHAKE_TIMEOUT_S = 10, /* request line to upgrade */
    KEEPALIVE_TIMEOUT_S = 30, /* idle plain HTTP */
    HEADER_BYTES_MAX = 8192,  /* of a request */
    HEADER_POOL = 8192,       /* requests being parsed at once */
    ACCEPT_PAUSE_MS = 100,    /* out of descriptors: wait for some to come back */
    CLOSE_REASON_MAX = 123,   /* of a control frame of 125 bytes */
    HEADER_TRACE_MAX = 256,   /* bytes of a traceparent; today's have 55 */
    CLOSE_ANSWER_MS = 1000,   /* for the peer's close frame after ours */
};

struct connection {
    struct transport base;
    struct server *server;
    struct lws *wsi;
    int fd;
    bool is_tls;
    struct session *session;
    struct wh_buf message; /* the pieces so far */
    size_t held;           /* what lws keeps of our last write */
    struct wh_timer kill_timer;
    bool is_closing; /* nothing but a close frame is sent any more */
    bool is_close_sent;
    uint32_t close_code;
    const char *close_reason;
};

struct acceptor {
    struct server *server;
    uv_poll_t poll;
    int fd;
    bool is_open;
};

struct server {
    struct node *node;
    struct lws_context *context;
    struct lws_vhost *vhost;
    struct server_http http;
    struct acceptor acceptors[4];
    size_t acceptor_count;
    int reserve_fd; /* given up to turn away newcomers politely when descriptors run out */
    size_t connection_count;
    struct wh_timer accept_pause;
    struct token_bucket rate; /* client.connection_rate_limit */
    bool is_closed;
};

/* Transport */

static struct connection *connection_of(struct transport *transport)
{
    return WH_CONTAINER_OF(transport, struct connection, base);
}

/* As much as the kernel takes; lws keeps the rest and sends it before anything else. */
static bool write_bytes(struct connection *connection, struct wh_slice wire)
{
    ssize_t sent = 0;
    if (!connection->is_tls && !lws_partial_buffered(connection->wsi)) {
        sent = send(connection->fd, wire.ptr, wire.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent == (ssize_t)wire.len)
            return true;
        if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
            return false;
        if (sent < 0)
            sent = 0;
    }
    size_t left = wire.len - (size_t)sent;
    if (lws_write(connection->wsi,
                  (unsigned char *)(uintptr_t)(wire.ptr + sent), /* RAW only reads it */
                  left, LWS_WRITE_RAW) < 0)
        return false;
    connection->base.is_busy = lws_partial_buffered(connection->wsi) != 0;
    connection->held = connection->base.is_busy ? left : 0;
    return true;
}

static bool connection_write(struct transport *transport, struct wh_slice wire)
{
    struct connection *connection = connection_of(transport);
    if (connection->is_closing)
        return true; /* the session ends with the CLOSED callback; nothing reads this any more */
    return write_bytes(connection, wire);
}

static size_t connection_held_bytes(struct transport *transport)
{
    return connection_of(transport)->held;
}

static void connection_want_write(struct transport *transport)
{
    struct connection *connection = connection_of(transport);
    lws_callback_on_writable(connection->wsi);
}

static void connection_want_read(struct transport *transport, bool on)
{
    struct connection *connection = connection_of(transport);
    lws_rx_flow_control(connection->wsi, on);
}

/*
 * lws' own way, LWS_TO_KILL_ASYNC, waits for a timer that its libuv plugin arms only after some
 * socket had an event, and a dead peer has none.  A socket shut down has one, at once.
 */
static void kill_connection(struct connection *connection)
{
    shutdown(connection->fd, SHUT_RDWR);
    lws_callback_on_writable(connection->wsi);
}

static void on_kill_timer(struct wh_timer *timer)
{
    kill_connection(WH_CONTAINER_OF(timer, struct connection, kill_timer));
}

/*
 * The close frame is ours too: with the libuv plugin this lws closes the socket before it has sent
 * the reason of lws_close_reason.  The peer's answer comes as WS_PEER_INITIATED_CLOSE.
 * Code 0: a frame without one.
 */
static void send_close_frame(struct connection *connection, uint32_t code, struct wh_slice reason)
{
    char frame[4 + CLOSE_REASON_MAX] = {(char)0x88}; /* FIN, opcode close (RFC 6455 §5.5.1) */
    size_t len = 0;
    if (code != 0) {
        len = 2 + (reason.len < CLOSE_REASON_MAX ? reason.len : CLOSE_REASON_MAX);
        frame[2] = (char)(code >> 8);
        frame[3] = (char)(code & 0xff);
        if (len > 2)
            memcpy(frame + 4, reason.ptr, len - 2);
    }
    frame[1] = (char)len;
    connection->is_close_sent = true;
    wh_loop_timer_start(connection->server->node->loop, &connection->kill_timer, CLOSE_ANSWER_MS);
    if (!write_bytes(connection, wh_slice(frame, 2 + len)))
        kill_connection(connection);
}

/* Ours, once lws holds nothing that has to go before it. */
static void send_own_close_frame(struct connection *connection)
{
    if (!connection->is_close_sent && !connection->base.is_busy)
        send_close_frame(connection, connection->close_code,
                         wh_slice_from_str(connection->close_reason));
}

static void connection_close(struct transport *transport,
                             uint32_t code,
                             const char *reason,
                             uint64_t timeout_ms)
{
    struct connection *connection = connection_of(transport);
    if (connection->is_closing)
        return;
    connection->is_closing = true;
    connection->close_code = code;
    connection->close_reason = reason;
    lws_rx_flow_control(connection->wsi, 1); /* or the peer's close frame is never seen */
    wh_loop_timer_start(connection->server->node->loop, &connection->kill_timer, timeout_ms);
    send_own_close_frame(connection);
}

static const struct transport_ops connection_ops = {
    .write = connection_write,
    .held_bytes = connection_held_bytes,
    .want_write = connection_want_write,
    .want_read = connection_want_read,
    .close = connection_close,
};

/* Handshake */

static void read_handshake(struct lws *wsi, struct handshake *out)
{
    const struct {
        enum lws_token_indexes token;
        char *value;
        size_t size;
    } rows[] = {
        {WSI_TOKEN_GET_URI, out->path, sizeof(out->path)},
        {WSI_TOKEN_HTTP, out->http_version, sizeof(out->http_version)},
        {WSI_TOKEN_HOST, out->host, sizeof(out->host)},
        {WSI_TOKEN_UPGRADE, out->upgrade, sizeof(out->upgrade)},
        {WSI_TOKEN_CONNECTION, out->connection, sizeof(out->connection)},
        {WSI_TOKEN_VERSION, out->version, sizeof(out->version)},
        {WSI_TOKEN_KEY, out->key, sizeof(out->key)},
        {WSI_TOKEN_PROTOCOL, out->protocols, sizeof(out->protocols)},
        {WSI_TOKEN_ORIGIN, out->origin, sizeof(out->origin)},
    };
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (!server_http_header(wsi, rows[i].token, rows[i].value, rows[i].size))
            out->is_cut = true;
    snprintf(out->method, sizeof(out->method), "%s", out->path[0] ? "GET" : "other");
}

/* A burst of one second's worth is let through at once. */
static bool is_over_rate(struct server *server)
{
    uint64_t limit = server->node->config->client.connection_rate_limit;
    uint32_t rate = limit > UINT32_MAX ? UINT32_MAX : (uint32_t)limit;
    uint64_t now = wh_loop_now_ms(server->node->loop);
    if (rate != server->rate.rate) /* first use, or a reload */
        token_bucket_init(&server->rate, rate, rate, now);
    return rate > 0 && !token_bucket_take(&server->rate, now);
}

/* The rules of RFC 6455 first, then whether there is room. */
static struct refusal admit(struct server *server, struct lws *wsi)
{
    const struct config *config = server->node->config;
    struct handshake handshake;
    read_handshake(wsi, &handshake);
    struct refusal refusal = handshake_check(&handshake, config);
    if (refusal.status != 0)
        return refusal;
    uint64_t limit = config->client.connection_limit;
    if (!server->http.is_accepting)
        return (struct refusal){503, "shutting down\n", METRIC_CONNECTIONS_REFUSED_LIMIT};
    if (limit && server->connection_count >= limit)
        return (struct refusal){503, "connection limit\n", METRIC_CONNECTIONS_REFUSED_LIMIT};
    if (is_over_rate(server))
        return (struct refusal){503, "connection rate limit\n", METRIC_CONNECTIONS_REFUSED_RATE};
    return refusal;
}

/* The subprotocol, else the query, else JSON. */
static enum wh_encoding choose_encoding(struct lws *wsi)
{
    enum wh_encoding encoding = WH_ENCODING_JSON;
    char value[32];
    if (lws_hdr_total_length(wsi, WSI_TOKEN_PROTOCOL) > 0) {
        (void)wh_encoding_from_subprotocol(wh_slice_from_str(lws_get_protocol(wsi)->name),
                                           &encoding);
        return encoding;
    }
    const char *format = lws_get_urlarg_by_name(wsi, "format=", value, sizeof(value));
    if (format == NULL)
        format = lws_get_urlarg_by_name(wsi, "cf_protocol=", value, sizeof(value));
    for (int i = 0; format && i < WH_ENCODING_COUNT; i++)
        if (strcmp(format, wh_encoding_name((enum wh_encoding)i)) == 0)
            encoding = (enum wh_encoding)i;
    return encoding;
}

/* The context of the page, or of the proxy, that opens the connection. */
static void read_trace(const struct connection *connection)
{
    static const char name[] = "traceparent:";
    char value[HEADER_TRACE_MAX];
    if (!tracing_tracer(connection->server->node))
        return;
    int len = lws_hdr_custom_copy(connection->wsi, value, sizeof(value), name, sizeof(name) - 1);
    if (len > 0)
        tracing_keep_origin(connection->session, wh_slice(value, (size_t)len));
}

static int on_established(struct server *server, struct lws *wsi)
{
    char peer[48] = "";
    struct connection *connection = wh_calloc(1, sizeof(*connection));
    if (connection == NULL)
        return -1;
    enum wh_encoding encoding = choose_encoding(wsi);
    lws_get_peer_simple(wsi, peer, sizeof(peer));
    connection->base.ops = &connection_ops;
    connection->base.hot = wsi;
    connection->server = server;
    connection->wsi = wsi;
    connection->fd = lws_get_socket_fd(wsi);
    connection->is_tls = lws_is_ssl(wsi);
    wh_timer_init(&connection->kill_timer, on_kill_timer);
    if (session_open(server->node, &connection->base, encoding, peer, &connection->session)) {
        wh_free(connection);
        return -1;
    }
    read_trace(connection);
    lws_set_opaque_user_data(wsi, connection);
    server->connection_count++;
    metrics_add(server->node->metrics,
                (enum metric)((int)METRIC_CONNECTIONS_TOTAL_JSON + (int)encoding), 1);
    return 0;
}

/* WebSocket events */

static int on_receive(struct connection *connection, struct lws *wsi, const void *in, size_t len)
{
    size_t limit = connection->server->node->config->websocket.message_size_limit;
    struct wh_buf *message = &connection->message;
    if (connection->is_closing)
        return 0;
    size_t announced = message->len + len + lws_remaining_packet_payload(wsi);
    if (announced > limit) {
        session_close(connection->session, WH_DISCONNECT_MESSAGE_TOO_BIG);
        return 0;
    }
    bool is_final = lws_is_final_fragment(wsi);
    if (is_final && message->len == 0) {
        session_receive(connection->session, wh_slice(in ? in : "", len));
        return 0;
    }
    wh_buf_append(message, in, len);
    if (wh_buf_error(message)) {
        session_close(connection->session, WH_DISCONNECT_SERVER_ERROR);
        return 0;
    }
    if (is_final) {
        session_receive(connection->session, wh_buf_slice(message));
        wh_buf_deinit(message); /* idle connections hold no buffer */
        *message = (struct wh_buf){0};
    }
    return 0;
}

static int on_writeable(struct connection *connection)
{
    connection->base.is_busy = false;
    connection->held = 0;
    if (connection->is_closing)
        send_own_close_frame(connection);
    else
        session_writable(connection->session);
    return 0;
}

static void on_closed(struct connection *connection, struct lws *wsi)
{
    struct server *server = connection->server;
    lws_set_opaque_user_data(wsi, NULL);
    wh_loop_timer_stop(server->node->loop, &connection->kill_timer);
    session_transport_closed(connection->session);
    server->connection_count--;
    wh_buf_deinit(&connection->message);
    wh_free(connection);
}

/*
 * The peer closes, or answers our close.  Its code is echoed unless it may not be sent (RFC 6455
 * §7.4; lws has put 1002 in place of those below 3000 already), is half a code, or comes with a
 * reason that is no UTF-8.  Answered here, lest bytes that follow the close make lws cut TCP first.
 */
static int on_peer_close(struct connection *connection, const unsigned char *in, size_t len)
{
    uint32_t code = len >= 2 ? (uint32_t)(in[0] << 8 | in[1]) : 0;
    struct wh_slice reason = len > 2 ? wh_slice(in + 2, len - 2) : (struct wh_slice){0};
    connection->is_closing = true;
    if (len == 1 || code >= 5000) {
        code = LWS_CLOSE_STATUS_PROTOCOL_ERR;
        reason.len = 0;
    } else if (!wh_utf8_is_valid(reason)) {
        code = LWS_CLOSE_STATUS_INVALID_PAYLOAD;
        reason.len = 0;
    }
    if (!connection->is_close_sent)
        send_close_frame(connection, code, reason);
    return -1; /* both have said it: TCP ends as soon as what lws holds has gone */
}

/* Events */

static int on_upgrade(struct server *server, struct lws *wsi)
{
    struct refusal refusal = admit(server, wsi);
    if (refusal.status == 0)
        return 0;
    metrics_add(server->node->metrics, refusal.metric, 1);
    static struct wh_log_limit limit;
    wh_log_limited(&limit, WH_LOG_INFO, "server", "upgrade_refused", "status=%u reason=%.*s",
                   refusal.status, (int)strcspn(refusal.text, "\n"), refusal.text);
    struct http_response response = {
        .status = refusal.status,
        .content_type = "text/plain; charset=utf-8",
        .headers = refusal.status == 426 ? "Sec-WebSocket-Version: 13\r\n" : NULL,
        .body = wh_slice_from_str(refusal.text),
    };
    (void)server_http_send(wsi, &response, true, false);
    return -1;
}

/* Of a connection's event.  Only events of the context itself can come before it has a server. */
static struct server *server_of(struct lws *wsi)
{
    struct lws_context *context = lws_get_context(wsi);
    struct server *server = context ? lws_context_user(context) : NULL;
    WH_ASSERT(server != NULL);
    return server;
}

static int on_lws_event(struct lws *wsi,
                        enum lws_callback_reasons reason,
                        void *user,
                        void *in,
                        size_t len)
{
    struct connection *connection = NULL;
    (void)user;
    switch (reason) {
    case LWS_CALLBACK_HTTP:
        return server_http_request(&server_of(wsi)->http, wsi, in);
    case LWS_CALLBACK_HTTP_BODY:
        return server_http_body(wsi, in, len);
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return server_http_body_end(wsi);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return server_http_writeable(wsi);
    case LWS_CALLBACK_CLOSED_HTTP:
        server_http_closed(wsi);
        return 0;
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE: /* `in` may dangle in this version: not looked at */
        return on_upgrade(server_of(wsi), wsi);
    case LWS_CALLBACK_ESTABLISHED:
        return on_established(server_of(wsi), wsi);
    case LWS_CALLBACK_RECEIVE:
    case LWS_CALLBACK_SERVER_WRITEABLE:
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
    case LWS_CALLBACK_CLOSED:
        connection = lws_get_opaque_user_data(wsi);
        break;
    default:
        return 0; /* lws' own handler would serve files and the like: never wanted */
    }
    if (connection == NULL)
        return 0;
    switch (reason) {
    case LWS_CALLBACK_RECEIVE:
        return on_receive(connection, wsi, in, len);
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return on_writeable(connection);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        return on_peer_close(connection, in, len);
    default:
        on_closed(connection, wsi);
        return 0;
    }
}

/* Accepting */

static void acceptor_watch(struct acceptor *acceptor);

static void pause_accepting(struct server *server)
{
    for (size_t i = 0; i < server->acceptor_count; i++)
        uv_poll_stop(&server->acceptors[i].poll);
    wh_loop_timer_start(server->node->loop, &server->accept_pause, ACCEPT_PAUSE_MS);
}

static void on_accept_pause(struct wh_timer *timer)
{
    struct server *server = WH_CONTAINER_OF(timer, struct server, accept_pause);
    for (size_t i = 0; i < server->acceptor_count; i++)
        if (server->acceptors[i].is_open)
            acceptor_watch(&server->acceptors[i]);
}

/* Out of descriptors: with the one kept in reserve tell one newcomer so, then wait a little. */
static void turn_away(struct server *server, int listen_fd)
{
    static const char sorry[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n"
                                "Connection: close\r\nRetry-After: 1\r\n\r\n";
    static struct wh_log_limit limit;
    wh_log_limited(&limit, WH_LOG_ERROR, "server", "out_of_descriptors", "fd=%d", listen_fd);
    metrics_add(server->node->metrics, METRIC_CONNECTIONS_REFUSED_FILES, 1);
    if (server->reserve_fd >= 0)
        close(server->reserve_fd);
    int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        ssize_t ignored = send(fd, sorry, sizeof(sorry) - 1, MSG_NOSIGNAL);
        (void)ignored;
        close(fd);
    }
    server->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    pause_accepting(server);
}

static void on_acceptable(uv_poll_t *poll, int status, int events)
{
    struct acceptor *acceptor = poll->data;
    struct server *server = acceptor->server;
    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(acceptor->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                turn_away(server, acceptor->fd);
            else if (errno == ECONNABORTED || errno == EINTR)
                continue;
            return;
        }
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (lws_adopt_socket_vhost(server->vhost, fd) == NULL) {
            static struct wh_log_limit limit; /* lws has closed the socket */
            wh_log_limited(&limit, WH_LOG_WARN, "server", "adopt_failed", "fd=%d", fd);
        }
    }
}

static void acceptor_watch(struct acceptor *acceptor)
{
    uv_poll_start(&acceptor->poll, UV_READABLE, on_acceptable);
}

static enum wh_err acceptor_open(struct server *server, int fd)
{
    struct acceptor *acceptor = &server->acceptors[server->acceptor_count];
    acceptor->server = server;
    acceptor->fd = fd;
    if (uv_poll_init(&server->node->loop->uv, &acceptor->poll, fd) != 0)
        return WH_EIO;
    acceptor->poll.data = acceptor;
    acceptor->is_open = true;
    server->acceptor_count++;
    acceptor_watch(acceptor);
    return WH_OK;
}

void server_stop_accepting(struct server *server)
{
    wh_loop_timer_stop(server->node->loop, &server->accept_pause);
    server->http.is_accepting = false;
    for (size_t i = 0; i < server->acceptor_count; i++) {
        struct acceptor *acceptor = &server->acceptors[i];
        if (!acceptor->is_open)
            continue;
        acceptor->is_open = false;
        uv_close((uv_handle_t *)&acceptor->poll, NULL);
        close(acceptor->fd);
    }
}

/* Life */

/* The first is also what a client gets that offers none; its name is echoed only if offered. */
static const struct lws_protocols protocols[] = {
    {.name = "centrifuge-json",
     .callback = on_lws_event,
     .rx_buffer_size = RX_BUFFER,
     .tx_packet_size = TX_PACKET},
    {.name = "centrifuge-msgpack",
     .callback = on_lws_event,
     .rx_buffer_size = RX_BUFFER,
     .tx_packet_size = TX_PACKET},
    {.name = "centrifuge-protobuf",
     .callback = on_lws_event,
     .rx_buffer_size = RX_BUFFER,
     .tx_packet_size = TX_PACKET},
    {0},
};

/* Its own validity pings keep a sorted list of all connections: ours are in the timing wheel. */
static const lws_retry_bo_t no_validity_checks = {0};

static void on_lws_log(int level, const char *line)
{
    static struct wh_log_limit limit; /* strangers cause most of these */
    wh_log_limited(&limit, level & LLL_ERR ? WH_LOG_WARN : WH_LOG_DEBUG, "server", "libwebsockets",
                   "text=%.*s", (int)strcspn(line, "\n"), line);
}

enum { TLS_CERTIFICATE, TLS_KEY, TLS_CLIENT_CA, TLS_FILES };

/* The files must stay open until the virtual host has read them. */
static bool set_tls(struct lws_context_creation_info *info,
                    const struct config *config,
                    struct pem_file files[TLS_FILES])
{
    bool is_done = pem_file_open(&files[TLS_CERTIFICATE], config->http_server.tls.cert_pem,
                                 &info->ssl_cert_filepath);
    is_done &= pem_file_open(&files[TLS_KEY], config->http_server.tls.key_pem,
                             &info->ssl_private_key_filepath);
    is_done &= pem_file_open(&files[TLS_CLIENT_CA], config->http_server.tls.client_ca_pem,
                             &info->ssl_ca_filepath);
    info->options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    info->ssl_options_set = SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1;
    info->alpn = "http/1.1"; /* no h2: this version has known faults there */
    if (info->ssl_ca_filepath && info->ssl_ca_filepath[0])
        info->options |= LWS_SERVER_OPTION_REQUIRE_VALID_OPENSSL_CLIENT_CERT;
    return is_done;
}

static bool make_vhost(struct server *server, struct wh_buf *out_problem)
{
    const struct config *config = server->node->config;
    struct lws_context_creation_info info = {0};
    struct pem_file files[TLS_FILES] = {{-1, ""}, {-1, ""}, {-1, ""}};
    info.port = CONTEXT_PORT_NO_LISTEN_SERVER;
    info.vhost_name = "wirehub";
    info.protocols = protocols;
    info.keepalive_timeout = KEEPALIVE_TIMEOUT_S;
    info.retry_and_idle_policy = &no_validity_checks;
    if (!config->http_server.tls.enabled || set_tls(&info, config, files))
        server->vhost = lws_create_vhost(server->context, &info);
    for (int i = 0; i < TLS_FILES; i++)
        pem_file_close(&files[i]);
    if (server->vhost == NULL)
        wh_buf_append_str(out_problem,
                          config->http_server.tls.enabled
                              ? "http_server.tls: the certificate or key cannot be used"
                              : "libwebsockets refused its virtual host");
    return server->vhost != NULL;
}

static bool make_context(struct server *server, struct wh_buf *out_problem)
{
    void *loops[] = {&server->node->loop->uv};
    struct lws_context_creation_info info = {0};
    lws_set_log_level(LLL_ERR | LLL_WARN, on_lws_log);
    info.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
                   LWS_SERVER_OPTION_VALIDATE_UTF8 | LWS_SERVER_OPTION_UV_NO_SIGSEGV_SIGFPE_SPIN;
    if (server->node->config->http_server.tls.enabled)
        info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    info.foreign_loops = loops;
    info.user = server;
    info.gid = -1; /* keep who we are */
    info.uid = -1;
    info.timeout_secs = HANDSHAKE_TIMEOUT_S;
    info.max_http_header_data2 = HEADER_BYTES_MAX;
    info.max_http_header_pool2 = HEADER_POOL;
    info.retry_and_idle_policy = &no_validity_checks;
    server->context = lws_create_context(&info);
    if (server->context == NULL)
        wh_buf_append_str(out_problem, "libwebsockets cannot start on libuv; is the package "
                                       "libwebsockets-evlib-uv installed?");
    return server->context != NULL && make_vhost(server, out_problem);
}

static enum wh_err load_demo(struct server *server, struct wh_buf *out_problem)
{
    const struct config *config = server->node->config;
    if (!config->demo.enabled)
        return WH_OK;
    bool is_named = config->demo.dir && config->demo.dir[0] != '\0';
    struct wh_buf dir;
    wh_buf_init(&dir, PATH_MAX + PATH_MAX);
    enum wh_err err = WH_OK;
    if (is_named)
        wh_buf_append_str(&dir, config->demo.dir);
    else
        err = http_files_installed_dir(&dir);
    if (err == WH_OK)
        err = wh_buf_error(&dir);
    if (err == WH_OK)
        err = http_files_load(wh_buf_cstr(&dir), &server->http.files);
    if (err)
        wh_buf_printf(out_problem, "demo.dir: %s: %s%s", wh_buf_cstr(&dir), wh_err_text(err),
                      is_named ? "" : "; no page is installed there: name its folder");
    wh_buf_deinit(&dir);
    return err ? WH_EINVAL : WH_OK;
}

enum wh_err server_new(struct node *node,
                       const int *listen_fds,
                       size_t listen_count,
                       struct server **out_server,
                       struct wh_buf *out_problem)
{
    struct server *server = wh_calloc(1, sizeof(*server));
    if (server == NULL)
        return WH_ENOMEM;
    server->node = node;
    server->http = (struct server_http){.node = node, .is_accepting = true};
    server->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    wh_timer_init(&server->accept_pause, on_accept_pause);
    enum wh_err err = load_demo(server, out_problem);
    if (err == WH_OK && !make_context(server, out_problem))
        err = WH_EINVAL;
    WH_ASSERT(listen_count <= sizeof(server->acceptors) / sizeof(server->acceptors[0]));
    for (size_t i = 0; err == WH_OK && i < listen_count; i++)
        err = acceptor_open(server, listen_fds[i]);
    if (err) {
        server_close(server);
        server_free(server);
        return err;
    }
    *out_server = server;
    return WH_OK;
}

void server_close(struct server *server)
{
    if (server->is_closed)
        return;
    server->is_closed = true;
    server_stop_accepting(server);
    if (server->context)
        lws_context_destroy(server->context);
}

void server_free(struct server *server)
{
    http_files_free(server->http.files);
    if (server->reserve_fd >= 0)
        close(server->reserve_fd);
    wh_free(server);
}
