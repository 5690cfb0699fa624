/*
 * From an address in the settings to an open WebSocket: proxy, names, TCP, TLS, upgrade; and what
 * to say when one of them fails.
 *
 * Addresses are tried one after another until TCP connects; each but the last gets its share of the
 * time that is left.  What fails after TCP (certificate, upgrade) would fail at the next address
 * too, and is told.
 */
#include "client-sdk/src/connection.h"

#include "client-sdk/src/trace.h"
#include "common/base/alloc.h"
#include "common/base/clock.h"

#include <errno.h>
#include <stdio.h>

enum { HOST_BUFFER = 320 /* of a name or literal with brackets and port */ };

/* ---- failing ------------------------------------------------------------------------------- */

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
    struct wh_error *failure = &connection->connecting->failure;
    va_list args;
    *failure = (struct wh_error){.err = err, .code = code, .temporary = err != WH_EINVAL};
    va_start(args, format);
    (void)vsnprintf(failure->text, sizeof failure->text, format, args);
    va_end(args);
}

/* What set_failure said. */
static void fail(struct connection *connection)
{
    connection_closed(connection, 0, WH_SLICE_ABSENT, &connection->connecting->failure);
    connection_kill(connection);
}

static void fail_memory(struct connection *connection)
{
    set_failure(connection, WH_ENOMEM, 0, "%s", wh_err_text(WH_ENOMEM));
    fail(connection);
}

static const char *stage(const struct connection *connection)
{
    switch (connection->state) {
    case CONNECTION_RESOLVING:
        return "the name look-up did not end";
    case CONNECTION_TCP:
        return "no answer to TCP";
    case CONNECTION_PROXY:
        return "no answer from the proxy";
    case CONNECTION_TLS:
        return "no end of the TLS handshake";
    default:
        return "no answer to the WebSocket upgrade";
    }
}

static void on_connect_timeout(struct service_timer *timer)
{
    struct connection *connection = WH_CONTAINER_OF(timer, struct connection, timer);
    set_failure(connection, WH_ETIMEOUT, WH_CODE_TIMEOUT, "%s:%u: not connected within %u ms: %s",
                connection->url->host, connection->url->port,
                connection->settings->connect_timeout_ms, stage(connection));
    fail(connection);
}

/* ---- the upgrade --------------------------------------------------------------------------- */

/* "[v6]" or the name as it is; the port unless it is the scheme's own. */
static void write_host(char out[HOST_BUFFER], const struct settings_url *url, bool is_port_forced)
{
    bool is_v6 = strchr(url->host, ':') != NULL;
    int len = snprintf(out, HOST_BUFFER, is_v6 ? "[%s]" : "%s", url->host);
    if ((is_port_forced || url->port != (url->is_tls ? 443 : 80)) && len > 0 && len < HOST_BUFFER)
        (void)snprintf(out + len, HOST_BUFFER - (size_t)len, ":%u", url->port);
}

/* JSON is spoken when nothing is asked for, by every server. */
static const char *subprotocol(const struct settings *settings)
{
    return settings->encoding == WH_ENCODING_JSON ? NULL
                                                  : wh_encoding_subprotocol(settings->encoding);
}

static void make_request(const struct connection *connection,
                         char host[HOST_BUFFER],
                         struct upgrade_request *out_request)
{
    const struct settings *settings = connection->settings;
    write_host(host, connection->url, false);
    *out_request = (struct upgrade_request){.host = host,
                                            .path = connection->url->path,
                                            .subprotocol = subprotocol(settings),
                                            .headers = settings->headers,
                                            .header_count = settings->header_count};
    memcpy(out_request->key, connection->connecting->key, sizeof out_request->key);
}

static bool flush_or_fail(struct connection *connection)
{
    if (wh_buf_error(&connection->out) != WH_OK) {
        fail_memory(connection);
        return false;
    }
    /* A peer that is gone is told by reading: it may have said why. */
    (void)connection_flush(connection);
    return true;
}

static void begin_upgrade(struct connection *connection)
{
    struct upgrade_request request;
    char host[HOST_BUFFER];
    connection->state = CONNECTION_UPGRADE;
    upgrade_make_key(connection->connecting->key);
    make_request(connection, host, &request);
    upgrade_write(&request, &connection->out);
    (void)flush_or_fail(connection);
}

static void upgrade_failed(struct connection *connection, const char *why)
{
    const struct settings_url *url = connection->url;
    const char *reason = stream_tls_reason(&connection->stream);
    /* A TLS 1.3 server that does not like our certificate says so after the handshake. */
    set_failure(connection, WH_ECONNECT, WH_CODE_TRANSPORT_CLOSED, "%s:%u: %s: %s", url->host,
                url->port, *reason ? "TLS" : "the WebSocket upgrade failed",
                *reason ? reason : why);
    fail(connection);
}

static void upgrade_refused(struct connection *connection, const struct upgrade_answer *answer)
{
    const struct settings_url *url = connection->url;
    unsigned status = answer->status;
    set_failure(connection, WH_ECONNECT, WH_CODE_TRANSPORT_CLOSED,
                "%s:%u refused the WebSocket upgrade: HTTP %s", url->host, url->port, answer->text);
    connection->connecting->failure.http_status = status;
    connection->connecting->failure.temporary = status >= 500 || status == 408 || status == 429;
    fail(connection);
}

/* What was spoken for, or JSON where the server is silent and the program can live with it. */
static bool agree_on_encoding(struct connection *connection, bool has_subprotocol)
{
    const struct settings *settings = connection->settings;
    connection->encoding = settings->encoding;
    if (settings->encoding == WH_ENCODING_JSON || has_subprotocol)
        return true;
    const char *wanted = wh_encoding_subprotocol(settings->encoding);
    if (settings->encoding_required) {
        set_failure(connection, WH_EUNSUPPORTED, 0, "%s: the server does not speak %s",
                    connection->url->host, wanted);
        return false;
    }
    trace_line(WH_SEVERITY_INFO, "client", "encoding_fallback",
               "host=%s wanted=%s using=centrifuge-json", connection->url->host, wanted);
    connection->encoding = WH_ENCODING_JSON;
    return true;
}

static void end_upgrade(struct connection *connection,
                        const struct upgrade_answer *answer,
                        size_t head_size)
{
    if (answer->status != 101) {
        upgrade_refused(connection, answer);
    } else if (answer->fault) {
        upgrade_failed(connection, answer->fault);
    } else if (!agree_on_encoding(connection, answer->has_subprotocol)) {
        fail(connection);
    } else {
        struct wh_buf in = connection->in;
        connection->in = (struct wh_buf){0};
        connection_opened(connection, wh_slice(in.ptr + head_size, in.len - head_size));
        wh_buf_deinit(&in);
    }
}

/* ---- TLS ----------------------------------------------------------------------------------- */

static void tls_failed(struct connection *connection)
{
    const char *reason = stream_tls_reason(&connection->stream);
    set_failure(connection, WH_ECONNECT, WH_CODE_TRANSPORT_CLOSED, "%s:%u: TLS: %s",
                connection->url->host, connection->url->port,
                *reason ? reason : "the server closed the connection");
    fail(connection);
}

static void shake_hands(struct connection *connection)
{
    enum stream_result result = stream_handshake(&connection->stream);
    if (result == STREAM_DONE)
        begin_upgrade(connection);
    else if (result == STREAM_FAILED)
        tls_failed(connection);
    else if (connection->stream.wants_write)
        service_socket_want_write(connection->socket);
}

static void warn_insecure(const struct connection *connection)
{
    const struct wh_tls_options *tls = &connection->settings->tls;
    if (!connection->settings->has_tls)
        return;
    if (tls->insecure_skip_verify)
        trace_line(WH_SEVERITY_WARN, "tls", "insecure", "host=%s option=insecure_skip_verify",
                   connection->url->host);
    else if (tls->insecure_skip_verify_host)
        trace_line(WH_SEVERITY_WARN, "tls", "insecure", "host=%s option=insecure_skip_verify_host",
                   connection->url->host);
}

/* Before anything is sent: its files may not be there. */
static bool prepare_tls(struct connection *connection)
{
    const struct settings *settings = connection->settings;
    if (!connection->url->is_tls)
        return true;
    warn_insecure(connection);
    return tls_acquire(&service_shared(connection->service)->tls,
                       settings->has_tls ? &settings->tls : NULL, connection->url->host,
                       &connection->tls, &connection->connecting->failure) == WH_OK;
}

/* Behind TCP, or the proxy's answer. */
static void begin_tls(struct connection *connection)
{
    if (!connection->url->is_tls) {
        begin_upgrade(connection);
        return;
    }
    connection->state = CONNECTION_TLS;
    if (stream_start_tls(&connection->stream, connection->tls) != WH_OK)
        fail_memory(connection);
    else
        shake_hands(connection);
}

/* ---- the proxy ----------------------------------------------------------------------------- */

static void proxy_refused(struct connection *connection, const char *why)
{
    const struct proxy *proxy = &connection->connecting->proxy;
    set_failure(connection, WH_ECONNECT, WH_CODE_TRANSPORT_CLOSED,
                "proxy %s:%u does not connect to %s:%u: %s", proxy->host, proxy->port,
                connection->url->host, connection->url->port, why);
    fail(connection);
}

static void begin_proxy(struct connection *connection)
{
    char authority[HOST_BUFFER];
    connection->state = CONNECTION_PROXY;
    write_host(authority, connection->url, true);
    upgrade_write_connect(authority, connection->connecting->proxy.auth, &connection->out);
    (void)flush_or_fail(connection);
}

static void end_proxy(struct connection *connection,
                      const struct upgrade_answer *answer,
                      size_t head_size)
{
    if (answer->status < 200 || answer->status > 299) {
        char why[UPGRADE_STATUS_BYTES + 8];
        (void)snprintf(why, sizeof why, "HTTP %s", answer->text);
        proxy_refused(connection, why);
    } else if (connection->in.len > head_size) {
        proxy_refused(connection, "it sent more than its answer");
    } else {
        wh_buf_reset(&connection->in);
        begin_tls(connection);
    }
}

/* ---- heads --------------------------------------------------------------------------------- */

static void head_failed(struct connection *connection, const char *why)
{
    if (connection->state == CONNECTION_PROXY)
        proxy_refused(connection, why);
    else
        upgrade_failed(connection, why);
}

static void read_answer(const struct connection *connection,
                        size_t head_size,
                        struct upgrade_answer *out_answer)
{
    struct wh_slice head = wh_slice(connection->in.ptr, head_size);
    struct upgrade_request request;
    char host[HOST_BUFFER];
    make_request(connection, host, &request);
    upgrade_read(head, connection->state == CONNECTION_UPGRADE ? &request : NULL, out_answer);
}

/* What is in `in`; true = it goes on. */
static bool take_heads(struct connection *connection)
{
    struct upgrade_answer answer;
    size_t size;
    while ((size = upgrade_head_size(wh_buf_slice(&connection->in))) > 0) {
        read_answer(connection, size, &answer);
        if (answer.status >= 100 && answer.status < 200 && answer.status != 101) {
            wh_buf_consume(&connection->in, size); /* an interim answer: RFC 9110 §15.2 */
            continue;
        }
        if (answer.status == 0)
            head_failed(connection, answer.fault);
        else if (connection->state == CONNECTION_PROXY)
            end_proxy(connection, &answer, size);
        else
            end_upgrade(connection, &answer, size);
        return false;
    }
    if (connection->in.len < UPGRADE_HEAD_BYTES_MAX)
        return true;
    head_failed(connection, "the answer's headers do not end");
    return false;
}

static void read_head(struct connection *connection)
{
    char *input = service_shared(connection->service)->input;
    do {
        ssize_t count =
            stream_read(&connection->stream, input, UPGRADE_HEAD_BYTES_MAX - connection->in.len);
        if (count < 0)
            head_failed(connection, "the connection was closed without an answer");
        if (count <= 0)
            return;
        wh_buf_append(&connection->in, input, (size_t)count);
        if (wh_buf_error(&connection->in) != WH_OK) {
            fail_memory(connection);
            return;
        }
    } while (take_heads(connection));
}

/* ---- TCP ----------------------------------------------------------------------------------- */

static const char *peer_host(const struct connection *connection)
{
    const struct proxy *proxy = &connection->connecting->proxy;
    return proxy->host ? proxy->host : connection->url->host;
}

static uint16_t peer_port(const struct connection *connection)
{
    const struct proxy *proxy = &connection->connecting->proxy;
    return proxy->host ? proxy->port : connection->url->port;
}

static void tcp_failed(struct connection *connection, int error)
{
    const struct connecting *connecting = connection->connecting;
    set_failure(connection, WH_ECONNECT, WH_CODE_TRANSPORT_CLOSED,
                "cannot connect to %s%s (%s) port %u: %s", connecting->proxy.host ? "proxy " : "",
                peer_host(connection), connecting->found.addresses[connecting->next_address - 1],
                peer_port(connection), strerror(error));
}

static void drop_socket(struct connection *connection)
{
    service_socket_free(connection->socket);
    connection->socket = NULL;
    connection->stream.fd = -1;
}

/* False when this address failed at once. */
static bool try_address(struct connection *connection)
{
    struct connecting *connecting = connection->connecting;
    const char *address = connecting->found.addresses[connecting->next_address++];
    int error = stream_connect(&connection->stream, address, peer_port(connection));
    if (error != 0) {
        tcp_failed(connection, error);
        return false;
    }
    connection->state = CONNECTION_TCP;
    enum wh_err err = service_socket_new(connection->service, connection->stream.fd,
                                         connection_on_event, connection, &connection->socket);
    if (err == WH_OK) {
        service_socket_want_write(connection->socket);
        return true;
    }
    connection->stream.fd = -1;
    set_failure(connection, err, 0, "%s",
                err == WH_ELIMIT ? "more descriptors are open than the loop can watch"
                                 : wh_err_text(err));
    return false;
}

static void connect_next(struct connection *connection);

static void on_address_timeout(struct service_timer *timer)
{
    struct connection *connection =
        WH_CONTAINER_OF(timer, struct connecting, address_timer)->connection;
    tcp_failed(connection, ETIMEDOUT);
    drop_socket(connection);
    connect_next(connection);
}

/* Those that come after it get as much of what is left. */
static void start_share(struct connection *connection)
{
    struct connecting *connecting = connection->connecting;
    size_t left = connecting->found.count - connecting->next_address + 1;
    uint64_t now = wh_clock_monotonic_us();
    if (left < 2 || connecting->deadline_us <= now)
        return;
    connecting->address_timer.fn = on_address_timeout;
    service_timer_start(connection->service, &connecting->address_timer,
                        (connecting->deadline_us - now) / left / 1000);
}

static void connect_next(struct connection *connection)
{
    struct connecting *connecting = connection->connecting;
    while (connecting->next_address < connecting->found.count) {
        if (try_address(connection)) {
            start_share(connection);
            return;
        }
    }
    fail(connection);
}

static void end_tcp(struct connection *connection, bool is_gone)
{
    int error;
    enum stream_result result = stream_connected(&connection->stream, &error);
    if (result == STREAM_WAIT && !is_gone)
        return;
    service_timer_stop(connection->service, &connection->connecting->address_timer);
    if (result == STREAM_DONE) {
        if (connection->connecting->proxy.host)
            begin_proxy(connection);
        else
            begin_tls(connection);
        return;
    }
    tcp_failed(connection, error != 0 ? error : ECONNRESET);
    drop_socket(connection);
    connect_next(connection);
}

void connect_go_on(struct connection *connection, bool is_gone)
{
    enum connection_state before = connection->state;
    if (before == CONNECTION_TCP)
        end_tcp(connection, is_gone);
    else if (before == CONNECTION_TLS)
        shake_hands(connection);
    else if (before == CONNECTION_PROXY || before == CONNECTION_UPGRADE)
        read_head(connection);
    if (is_gone && connection->state == before && connection->socket) /* nothing of it is left */
        head_failed(connection, "the connection was lost");
}

/* ---- names --------------------------------------------------------------------------------- */

static void on_resolved(struct resolve_request *request, const struct resolve_result *result)
{
    struct connection *connection =
        WH_CONTAINER_OF(request, struct connecting, request)->connection;
    if (result->count == 0) {
        set_failure(connection, WH_ECONNECT, WH_CODE_TRANSPORT_CLOSED, "%s%s: %s",
                    connection->connecting->proxy.host ? "proxy " : "", peer_host(connection),
                    result->error);
        fail(connection);
        return;
    }
    connection->connecting->found = *result;
    connect_next(connection);
}

static void find_addresses(struct connection *connection)
{
    struct connecting *connecting = connection->connecting;
    const char *host = peer_host(connection);
    if (resolve_is_numeric(host)) {
        connecting->found.count = 1;
        (void)snprintf(connecting->found.addresses[0], RESOLVE_ADDRESS_BYTES, "%s", host);
        connect_next(connection);
        return;
    }
    connection->state = CONNECTION_RESOLVING;
    connecting->request.done = on_resolved;
    enum wh_err err =
        resolve_start(service_shared(connection->service)->resolver, host, &connecting->request);
    if (err != WH_OK) {
        set_failure(connection, err, 0, "%s: the name look-up could not start: %s", host,
                    wh_err_text(err));
        fail(connection);
    }
}

void connect_start(struct connection *connection)
{
    const struct settings *settings = connection->settings;
    struct connecting *connecting = connection->connecting;
    struct proxy_environment environment = proxy_environment();
    const char *proxy = proxy_choose(settings->proxy, &environment, connection->url);
    if (proxy && proxy_parse(wh_slice_from_str(proxy), &connecting->arena, &connecting->proxy,
                             &connecting->failure) != WH_OK) {
        fail(connection);
        return;
    }
    if (!prepare_tls(connection)) {
        fail(connection);
        return;
    }
    connecting->deadline_us =
        wh_clock_monotonic_us() + (uint64_t)settings->connect_timeout_ms * 1000;
    connection->timer.fn = on_connect_timeout;
    service_timer_start(connection->service, &connection->timer, settings->connect_timeout_ms);
    find_addresses(connection);
}

void connect_stop(struct connecting *connecting)
{
    resolve_cancel(&connecting->request);
    service_timer_stop(connecting->connection->service, &connecting->address_timer);
}

void connect_free(struct connecting *connecting)
{
    if (!connecting)
        return;
    connect_stop(connecting);
    wh_arena_deinit(&connecting->arena);
    wh_free(connecting);
}
