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

#include "client-sdk/src/shell.h"
#include "client-sdk/src/url.h"
#include "common/base/alloc.h"
#include "common/base/log.h"

#include <errno.h>
#include <stdio.h>

enum {
    KILL_REPEAT_MS = 20,
    PING_BYTES = 8,
    FRAMES_PER_TURN = 16,
    CLOSE_REASON_MAX = 123,
    URL_HOST_BUFFER = URL_HOST_BYTES_MAX + 16,
    PROXY_BUFFER = 256,
    CONNECT_HOST_MAX = 90 /* libwebsockets has 256 bytes for the request that names it twice */
};

enum connection_state {
    CONNECTION_STARTING,   /* nothing done yet */
    CONNECTION_RESOLVING,  /* waits for addresses */
    CONNECTION_CONNECTING, /* libwebsockets works: TCP, proxy, TLS, upgrade */
    CONNECTION_NEXT,       /* an address failed; the next when its wsi is gone */
    CONNECTION_OPEN,
    CONNECTION_CLOSING, /* a close frame, ours or the answer to the peer's, is to be sent */
    CONNECTION_KILLED   /* to go as soon as libwebsockets lets it */
};

struct transport {
    struct service *service;
    struct wh_client *client;
    struct connection *current; /* NULL = none that the engine knows of */
    bool is_paused;             /* the engine does not want to read */
    uint32_t failed_number;     /* of a connection for which there was no memory */
    lws_sorted_usec_list_t failed;
};

struct connection {
    struct wh_list link; /* service.connections */
    struct service *service;
    struct transport *transport; /* NULL = let go */
    uint32_t number;
    enum connection_state state;
    struct lws *wsi;     /* NULL = none (yet, any more) */
    struct vhost *vhost; /* one reference */
    const struct settings *settings;
    const struct settings_url *url; /* both the client's: not after it was let go */
    lws_sorted_usec_list_t turn;
    lws_sorted_usec_list_t timer;         /* connect time-out, close time-out, repeated kill */
    lws_sorted_usec_list_t address_timer; /* one address has had its share */
    bool is_calling;                      /* inside lws_client_connect_via_info */
    bool has_tcp;
    bool has_sent_request; /* so TLS and proxy are done */
    bool is_too_big;       /* the rest is not read */
    bool wants_ping;
    enum wh_encoding encoding;
    uint16_t close_code;
    uint8_t close_len;
    uint64_t deadline_us;
    uint64_t ping_us; /* when the last one left; 0 = none waits */
    struct wh_error failure;
    char close_reason[CLOSE_REASON_MAX];

    /* Until it is open. */
    struct wh_arena arena;
    struct proxy proxy; /* host NULL = none */
    struct resolve_request request;
    struct resolve_result *found;
    size_t next_address;

    /* The message that comes in: one frame, or fragments. */
    struct message *incoming;
    size_t incoming_len;
    struct wh_buf fragments;
    bool has_fragments;
    bool is_fragment_text;
};

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

static void on_turn(lws_sorted_usec_list_t *timer);

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
static void kill_connection(struct connection *connection)
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
static void report_closed(struct connection *connection,
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

static void set_failure(struct connection *connection,
                        enum wh_err err,
                        uint32_t code,
                        const char *format,
                        ...) WH_PRINTF(4, 5);
static void set_failure(struct connection *connection,
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

static void fail(struct connection *connection)
{
    report_closed(connection, 0, WH_SLICE_ABSENT, &connection->failure);
    kill_connection(connection);
}

static void fail_memory(struct connection *connection)
{
    set_failure(connection, WH_ENOMEM, 0, "%s", wh_err_text(WH_ENOMEM));
    fail(connection);
}

/* ---- connecting ---------------------------------------------------------------------------- */

static void connect_next(struct connection *connection);

static const char *stage(const struct connection *connection)
{
    if (connection->state == CONNECTION_RESOLVING)
        return "the name look-up did not end";
    if (!connection->has_tcp)
        return "no answer to TCP";
    if (connection->has_sent_request)
        return "no answer to the WebSocket upgrade";
    if (connection->proxy.host)
        return connection->url->is_tls ? "no end of proxy or TLS handshake"
                                       : "no answer from the proxy";
    return "no end of the TLS handshake";
}

static void on_connect_timeout(lws_sorted_usec_list_t *timer)
{
    struct connection *connection = WH_CONTAINER_OF(timer, struct connection, timer);
    set_failure(connection, WH_ETIMEOUT, WH_CODE_TIMEOUT, "%s:%u: not connected within %u ms: %s",
                connection->url->host, connection->url->port,
                connection->settings->connect_timeout_ms, stage(connection));
    fail(connection);
}

/* The wsi of this address is to go; the next is tried when it has. */
static void on_address_timeout(lws_sorted_usec_list_t *timer)
{
    struct connection *connection = WH_CONTAINER_OF(timer, struct connection, address_timer);
    if (connection->state != CONNECTION_CONNECTING || connection->has_tcp || !connection->wsi)
        return;
    connection->state = CONNECTION_NEXT;
    lws_set_timeout(connection->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
    service_schedule(connection->service, timer, on_address_timeout, 0);
}

static const char *peer_host(const struct connection *connection)
{
    return connection->proxy.host ? connection->proxy.host : connection->url->host;
}

static uint16_t peer_port(const struct connection *connection)
{
    return connection->proxy.host ? connection->proxy.port : connection->url->port;
}

static void tcp_failed(struct connection *connection, const char *address, int error)
{
    char why[96];
    if (error == 0 || error == EINPROGRESS || error == EAGAIN ||
        strerror_r(error, why, sizeof why) != 0)
        (void)snprintf(why, sizeof why, "refused or not reachable");
    set_failure(connection, WH_ECONNECT, WH_CODE_TRANSPORT_CLOSED,
                "cannot connect to %s%s (%s) port %u: %s", connection->proxy.host ? "proxy " : "",
                peer_host(connection), address, peer_port(connection), why);
}

/* "[v6]" or the name as it is. */
static void write_host(char *out, size_t size, const char *host)
{
    bool is_v6 = strchr(host, ':') != NULL;
    (void)snprintf(out, size, is_v6 ? "[%s]" : "%s", host);
}

static bool make_request(const struct connection *connection,
                         char host[URL_HOST_BUFFER],
                         char proxy[PROXY_BUFFER],
                         const char *address)
{
    const struct settings_url *url = connection->url;
    size_t len;
    write_host(host, URL_HOST_BUFFER, url->host);
    if (url->port != (url->is_tls ? 443 : 80)) {
        len = strlen(host);
        (void)snprintf(host + len, URL_HOST_BUFFER - len, ":%u", url->port);
    }
    proxy[0] = 0;
    if (!connection->proxy.host)
        return true;
    const char *auth = connection->proxy.auth;
    len = (size_t)snprintf(proxy, PROXY_BUFFER, "%s%s", auth ? auth : "", auth ? "@" : "");
    write_host(proxy + len, PROXY_BUFFER - len, address);
    len = strlen(proxy);
    (void)snprintf(proxy + len, PROXY_BUFFER - len, ":%u", connection->proxy.port);
    return strlen(url->host) <= CONNECT_HOST_MAX;
}

static void warn_insecure(const struct connection *connection)
{
    const struct settings *settings = connection->settings;
    if (!settings->has_tls || !connection->url->is_tls)
        return;
    if (settings->tls.insecure_skip_verify)
        wh_log(WH_LOG_WARN, "tls", "insecure", "host=%s option=insecure_skip_verify",
               connection->url->host);
    else if (settings->tls.insecure_skip_verify_host)
        wh_log(WH_LOG_WARN, "tls", "insecure", "host=%s option=insecure_skip_verify_host",
               connection->url->host);
}

/* JSON is spoken when nothing is asked for, by every server. */
static const char *subprotocol(const struct settings *settings)
{
    return settings->encoding == WH_ENCODING_JSON ? NULL
                                                  : wh_encoding_subprotocol(settings->encoding);
}

static bool acquire_vhost(struct connection *connection, const char *proxy)
{
    const struct settings *settings = connection->settings;
    vhost_release(connection->vhost);
    connection->vhost = NULL;
    return vhost_acquire(connection->service, connection->url->is_tls,
                         settings->has_tls ? &settings->tls : NULL, connection->url->host, proxy,
                         &connection->vhost, &connection->failure) == WH_OK;
}

/* False when this address failed at once. */
static bool try_address(struct connection *connection, const char *address)
{
    static const lws_retry_bo_t no_keepalive = {.secs_since_valid_ping = 0};
    const struct settings_url *url = connection->url;
    char host[URL_HOST_BUFFER], proxy[PROXY_BUFFER], target[URL_HOST_BUFFER];
    if (!make_request(connection, host, proxy, address)) {
        set_failure(connection, WH_EUNSUPPORTED, 0,
                    "%s: longer than libwebsockets can send to a proxy (90 bytes)", url->host);
        return false;
    }
    if (!acquire_vhost(connection, proxy))
        return false;
    write_host(target, sizeof target, url->host);
    struct lws_client_connect_info info = {
        .context = connection->service->context,
        .vhost = connection->vhost->lws,
        .address = connection->proxy.host ? target : address,
        .port = url->port,
        .path = url->path,
        .host = host,
        .protocol = subprotocol(connection->settings),
        .local_protocol_name = "wirehub",
        .ssl_connection = LCCSCF_HTTP_NO_FOLLOW_REDIRECT,
        .opaque_user_data = connection,
        .retry_and_idle_policy = &no_keepalive,
        .ietf_version_or_minus_one = -1,
        .pwsi = &connection->wsi,
    };
    if (url->is_tls) /* tls.c checks the name */
        info.ssl_connection |= LCCSCF_USE_SSL | LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK;
    connection->has_tcp = connection->has_sent_request = false;
    connection->state = CONNECTION_CONNECTING;
    connection->is_calling = true;
    errno = 0;
    connection->wsi = lws_client_connect_via_info(&info);
    int error = errno;
    connection->is_calling = false;
    if (!connection->wsi && connection->state != CONNECTION_KILLED)
        tcp_failed(connection, address, error);
    return connection->wsi != NULL;
}

/* Those that come after it get as much of what is left. */
static void start_share(struct connection *connection)
{
    size_t left = connection->found->count - connection->next_address + 1;
    uint64_t now = (uint64_t)lws_now_usecs();
    lws_sul_cancel(&connection->address_timer);
    if (left < 2 || connection->deadline_us <= now || connection->has_tcp)
        return;
    service_schedule(connection->service, &connection->address_timer, on_address_timeout,
                     (connection->deadline_us - now) / left);
}

static void connect_next(struct connection *connection)
{
    while (connection->next_address < connection->found->count) {
        const char *address = connection->found->addresses[connection->next_address++];
        bool is_started = try_address(connection, address);
        if (connection->state == CONNECTION_KILLED) {
            kill_connection(connection);
            return;
        }
        if (is_started) {
            start_share(connection);
            return;
        }
    }
    fail(connection);
}

static void on_resolved(struct resolve_request *request, const struct resolve_result *result)
{
    struct connection *connection = WH_CONTAINER_OF(request, struct connection, request);
    if (result->count == 0) {
        set_failure(connection, WH_ECONNECT, WH_CODE_TRANSPORT_CLOSED, "%s%s: %s",
                    connection->proxy.host ? "proxy " : "", peer_host(connection), result->error);
        fail(connection);
        return;
    }
    *connection->found = *result;
    connect_next(connection);
}

static void find_addresses(struct connection *connection)
{
    const char *host = peer_host(connection);
    connection->found = wh_calloc(1, sizeof *connection->found);
    if (!connection->found) {
        fail_memory(connection);
        return;
    }
    if (resolve_is_numeric(host)) {
        connection->found->count = 1;
        (void)snprintf(connection->found->addresses[0], RESOLVE_ADDRESS_BYTES, "%s", host);
        connect_next(connection);
        return;
    }
    connection->state = CONNECTION_RESOLVING;
    connection->request.done = on_resolved;
    enum wh_err err = resolve_start(connection->service->resolver, host, &connection->request);
    if (err != WH_OK) {
        set_failure(connection, err, 0, "%s: the name look-up could not start: %s", host,
                    wh_err_text(err));
        fail(connection);
    }
}

static void start(struct connection *connection)
{
    const struct settings *settings = connection->settings;
    uint64_t timeout_us = (uint64_t)settings->connect_timeout_ms * 1000;
    struct proxy_environment environment = proxy_environment();
    const char *proxy = proxy_choose(settings->proxy, &environment, connection->url);
    if (proxy && proxy_parse(wh_slice_from_str(proxy), &connection->arena, &connection->proxy,
                             &connection->failure) != WH_OK) {
        fail(connection);
        return;
    }
    connection->deadline_us = (uint64_t)lws_now_usecs() + timeout_us;
    service_schedule(connection->service, &connection->timer, on_connect_timeout, timeout_us);
    warn_insecure(connection);
    find_addresses(connection);
}

static void on_turn(lws_sorted_usec_list_t *timer)
{
    struct connection *connection = WH_CONTAINER_OF(timer, struct connection, turn);
    if (connection->state == CONNECTION_STARTING)
        start(connection);
    else if (connection->state == CONNECTION_NEXT)
        connect_next(connection);
    else if (connection->state == CONNECTION_KILLED && !connection->wsi)
        connection_free(connection);
}

/* ---- the upgrade --------------------------------------------------------------------------- */

static bool has_line_break(const char *text)
{
    return strpbrk(text, "\r\n") != NULL;
}

static int add_headers(const struct connection *connection, char **at, size_t room)
{
    const struct settings *settings = connection->settings;
    for (size_t i = 0; i < settings->header_count; i++) {
        const struct wh_header *header = &settings->headers[i];
        size_t size = strlen(header->name) + strlen(header->value) + 4;
        if (size >= room || has_line_break(header->name) || has_line_break(header->value))
            return -1;
        *at += snprintf(*at, room, "%s: %s\r\n", header->name, header->value);
        room -= size;
    }
    return 0;
}

static int on_append_header(struct connection *connection, char **at, size_t room)
{
    connection->has_sent_request = true;
    if (!connection->transport)
        return -1;
    if (add_headers(connection, at, room) == 0)
        return 0;
    set_failure(connection, WH_EINVAL, 0,
                "the headers do not fit into a request, or have a line "
                "break");
    return -1;
}

/* What was spoken for, or JSON where the server is silent and the program can live with it. */
static int on_filter(struct connection *connection, struct lws *wsi)
{
    char name[64];
    if (!connection->transport)
        return -1;
    const struct settings *settings = connection->settings;
    int len = lws_hdr_copy(wsi, name, sizeof name, WSI_TOKEN_PROTOCOL);
    connection->encoding = settings->encoding;
    if (settings->encoding == WH_ENCODING_JSON || len > 0) /* libwebsockets compared it */
        return 0;
    if (settings->encoding_required) {
        set_failure(connection, WH_EUNSUPPORTED, 0, "%s: the server does not speak %s",
                    connection->url->host, wh_encoding_subprotocol(settings->encoding));
        return -1;
    }
    wh_log(WH_LOG_INFO, "client", "encoding_fallback", "host=%s wanted=%s using=centrifuge-json",
           connection->url->host, wh_encoding_subprotocol(settings->encoding));
    connection->encoding = WH_ENCODING_JSON;
    return 0;
}

static void tls_failed(struct connection *connection, const char *text)
{
    char reason[160];
    tls_take_reason(connection->vhost->tls, reason, sizeof reason);
    if (!reason[0])
        (void)snprintf(reason, sizeof reason, "%s",
                       strstr(text, "SYSCALL") ? "the server closed the connection" : text);
    set_failure(connection, WH_ECONNECT, WH_CODE_TRANSPORT_CLOSED, "%s:%u: TLS: %s",
                connection->url->host, connection->url->port, reason);
}

static void upgrade_failed(struct connection *connection, struct lws *wsi, const char *text)
{
    const struct settings_url *url = connection->url;
    unsigned status = lws_http_client_http_response(wsi);
    char line[64];
    if (status == 0 || status == 101) {
        set_failure(connection, WH_ECONNECT, WH_CODE_TRANSPORT_CLOSED,
                    "%s:%u: the WebSocket upgrade failed: %s", url->host, url->port, text);
        return;
    }
    int len = lws_hdr_copy(wsi, line, sizeof line, WSI_TOKEN_HTTP);
    if (len <= 0 && lws_hdr_copy(wsi, line, sizeof line, WSI_TOKEN_HTTP1_0) <= 0)
        (void)snprintf(line, sizeof line, "%u", status);
    for (char *c = line; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    set_failure(connection, WH_ECONNECT, WH_CODE_TRANSPORT_CLOSED,
                "%s:%u refused the WebSocket upgrade: HTTP %s", url->host, url->port, line);
    connection->failure.http_status = status;
    connection->failure.temporary = status >= 500 || status == 408 || status == 429;
}

static void on_connection_error(struct connection *connection,
                                struct lws *wsi,
                                const char *text,
                                size_t len)
{
    char copy[128] = "";
    if (connection->vhost && connection->vhost->tls && !connection->transport)
        tls_take_reason(connection->vhost->tls, copy, sizeof copy);
    if (!connection->transport || connection->state == CONNECTION_NEXT)
        return;
    if (text)
        (void)snprintf(copy, sizeof copy, "%.*s", (int)len, text);
    lws_sul_cancel(&connection->address_timer);
    if (!connection->has_tcp) {
        tcp_failed(connection, connection->found->addresses[connection->next_address - 1], 0);
        if (connection->next_address < connection->found->count)
            connection->state = CONNECTION_NEXT;
        return; /* WSI_DESTROY follows and goes on, or tells */
    }
    if (connection->failure.err != WH_OK && connection->has_sent_request &&
        connection->failure.err != WH_ECONNECT)
        return; /* a callback of ours refused, and said why */
    if (!connection->has_sent_request && connection->proxy.host && strncmp(copy, "proxy", 5) == 0)
        set_failure(connection, WH_ECONNECT, WH_CODE_TRANSPORT_CLOSED,
                    "proxy %s:%u does not connect to %s:%u%s", connection->proxy.host,
                    connection->proxy.port, connection->url->host, connection->url->port,
                    connection->proxy.auth ? " (or does not know user and password)" : "");
    else if (!connection->has_sent_request && connection->vhost->tls)
        tls_failed(connection, copy);
    else
        upgrade_failed(connection, wsi, copy);
}

static int on_established(struct connection *connection)
{
    struct transport *transport = connection->transport;
    if (!transport || connection->state != CONNECTION_CONNECTING)
        return -1;
    struct wh_client *client = transport->client;
    lws_sul_cancel(&connection->timer);
    lws_sul_cancel(&connection->address_timer);
    wh_free(connection->found);
    connection->found = NULL;
    connection->state = CONNECTION_OPEN;
    if (transport->is_paused)
        (void)lws_rx_flow_control(connection->wsi, 0);
    struct engine *engine = client_lock(client);
    engine_opened(engine, connection->number, connection->encoding);
    client_unlock(client);
    return 0;
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
    report_closed(connection, code, reason, NULL);
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
    report_closed(connection, 0, WH_SLICE_ABSENT, is_failure ? &connection->failure : NULL);
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
        connection->has_tcp = true;
        lws_sul_cancel(&connection->address_timer);
    } else if (reason == LWS_CALLBACK_WSI_DESTROY) {
        on_destroy(connection);
    } else if (reason == LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER) {
        return on_append_header(connection, in, len);
    } else if (reason == LWS_CALLBACK_CLIENT_FILTER_PRE_ESTABLISH) {
        return on_filter(connection, wsi);
    } else if (reason == LWS_CALLBACK_CLIENT_CONNECTION_ERROR) {
        on_connection_error(connection, wsi, in, len);
    } else if (reason == LWS_CALLBACK_CLIENT_ESTABLISHED) {
        return on_established(connection);
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
            kill_connection(connection);
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
        kill_connection(old);
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
        kill_connection(connection);
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
        kill_connection(connection);
    }
    lws_sul_cancel(&transport->failed);
    wh_free(transport);
}
