/*
 * From an address in the settings to an open WebSocket: proxy, names, TCP, TLS, upgrade; and what
 * to say when one of them fails.
 *
 * Addresses are tried one after another until TCP connects; each but the last gets its share of the
 * time that is left.  What fails after TCP (certificate, upgrade) would fail at the next address
 * too, and is told.
 */
#include "client-sdk/src/service_lws.h"

#include "client-sdk/src/trace.h"
#include "client-sdk/src/url.h"
#include "common/base/alloc.h"

#include <errno.h>
#include <stdio.h>

enum {
    URL_HOST_BUFFER = URL_HOST_BYTES_MAX + 16,
    PROXY_BUFFER = 256,
    CONNECT_HOST_MAX = 90 /* libwebsockets has 256 bytes for the request that names it twice */
};

/* ---- connecting ---------------------------------------------------------------------------- */

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
    connection_set_failure(connection, WH_ETIMEOUT, WH_CODE_TIMEOUT,
                           "%s:%u: not connected within %u ms: %s", connection->url->host,
                           connection->url->port, connection->settings->connect_timeout_ms,
                           stage(connection));
    connection_fail(connection);
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
    bool is_known = error != 0 && error != EINPROGRESS && error != EAGAIN;
    const char *why = is_known ? strerror(error) : "refused or not reachable";
    connection_set_failure(connection, WH_ECONNECT, WH_CODE_TRANSPORT_CLOSED,
                           "cannot connect to %s%s (%s) port %u: %s",
                           connection->proxy.host ? "proxy " : "", peer_host(connection), address,
                           peer_port(connection), why);
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
        trace_line(WH_SEVERITY_WARN, "tls", "insecure", "host=%s option=insecure_skip_verify",
                   connection->url->host);
    else if (settings->tls.insecure_skip_verify_host)
        trace_line(WH_SEVERITY_WARN, "tls", "insecure", "host=%s option=insecure_skip_verify_host",
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
        connection_set_failure(connection, WH_EUNSUPPORTED, 0,
                               "%s: longer than libwebsockets can send to a proxy (90 bytes)",
                               url->host);
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

void connection_connect_next(struct connection *connection)
{
    while (connection->next_address < connection->found->count) {
        const char *address = connection->found->addresses[connection->next_address++];
        bool is_started = try_address(connection, address);
        if (connection->state == CONNECTION_KILLED) {
            connection_kill(connection);
            return;
        }
        if (is_started) {
            start_share(connection);
            return;
        }
    }
    connection_fail(connection);
}

static void on_resolved(struct resolve_request *request, const struct resolve_result *result)
{
    struct connection *connection = WH_CONTAINER_OF(request, struct connection, request);
    if (result->count == 0) {
        connection_set_failure(connection, WH_ECONNECT, WH_CODE_TRANSPORT_CLOSED, "%s%s: %s",
                               connection->proxy.host ? "proxy " : "", peer_host(connection),
                               result->error);
        connection_fail(connection);
        return;
    }
    *connection->found = *result;
    connection_connect_next(connection);
}

static void find_addresses(struct connection *connection)
{
    const char *host = peer_host(connection);
    connection->found = wh_calloc(1, sizeof *connection->found);
    if (!connection->found) {
        connection_set_failure(connection, WH_ENOMEM, 0, "%s", wh_err_text(WH_ENOMEM));
        connection_fail(connection);
        return;
    }
    if (resolve_is_numeric(host)) {
        connection->found->count = 1;
        (void)snprintf(connection->found->addresses[0], RESOLVE_ADDRESS_BYTES, "%s", host);
        connection_connect_next(connection);
        return;
    }
    connection->state = CONNECTION_RESOLVING;
    connection->request.done = on_resolved;
    enum wh_err err = resolve_start(connection->service->resolver, host, &connection->request);
    if (err != WH_OK) {
        connection_set_failure(connection, err, 0, "%s: the name look-up could not start: %s", host,
                               wh_err_text(err));
        connection_fail(connection);
    }
}

void connection_start(struct connection *connection)
{
    const struct settings *settings = connection->settings;
    uint64_t timeout_us = (uint64_t)settings->connect_timeout_ms * 1000;
    struct proxy_environment environment = proxy_environment();
    const char *proxy = proxy_choose(settings->proxy, &environment, connection->url);
    if (proxy && proxy_parse(wh_slice_from_str(proxy), &connection->arena, &connection->proxy,
                             &connection->failure) != WH_OK) {
        connection_fail(connection);
        return;
    }
    connection->deadline_us = (uint64_t)lws_now_usecs() + timeout_us;
    service_schedule(connection->service, &connection->timer, on_connect_timeout, timeout_us);
    warn_insecure(connection);
    find_addresses(connection);
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

void connection_on_tcp(struct connection *connection)
{
    connection->has_tcp = true;
    lws_sul_cancel(&connection->address_timer);
}

int connection_on_append_header(struct connection *connection, char **at, size_t room)
{
    connection->has_sent_request = true;
    if (!connection->transport)
        return -1;
    if (add_headers(connection, at, room) == 0)
        return 0;
    connection_set_failure(connection, WH_EINVAL, 0,
                           "the headers do not fit into a request, or have a line "
                           "break");
    return -1;
}

/* What was spoken for, or JSON where the server is silent and the program can live with it. */
int connection_on_filter(struct connection *connection, struct lws *wsi)
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
        connection_set_failure(connection, WH_EUNSUPPORTED, 0, "%s: the server does not speak %s",
                               connection->url->host, wh_encoding_subprotocol(settings->encoding));
        return -1;
    }
    trace_line(WH_SEVERITY_INFO, "client", "encoding_fallback",
               "host=%s wanted=%s using=centrifuge-json", connection->url->host,
               wh_encoding_subprotocol(settings->encoding));
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
    connection_set_failure(connection, WH_ECONNECT, WH_CODE_TRANSPORT_CLOSED, "%s:%u: TLS: %s",
                           connection->url->host, connection->url->port, reason);
}

static void upgrade_failed(struct connection *connection, struct lws *wsi, const char *text)
{
    const struct settings_url *url = connection->url;
    unsigned status = lws_http_client_http_response(wsi);
    char line[160];
    if (status == 0 || status == 101) {
        /* A TLS 1.3 server that does not like our certificate says so after the handshake. */
        if (connection->vhost->tls)
            tls_take_reason(connection->vhost->tls, line, sizeof line);
        bool is_tls = connection->vhost->tls && line[0];
        connection_set_failure(
            connection, WH_ECONNECT, WH_CODE_TRANSPORT_CLOSED, "%s:%u: %s: %s", url->host,
            url->port, is_tls ? "TLS" : "the WebSocket upgrade failed", is_tls ? line : text);
        return;
    }
    int len = lws_hdr_copy(wsi, line, sizeof line, WSI_TOKEN_HTTP);
    if (len <= 0 && lws_hdr_copy(wsi, line, sizeof line, WSI_TOKEN_HTTP1_0) <= 0)
        (void)snprintf(line, sizeof line, "%u", status);
    for (char *c = line; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    connection_set_failure(connection, WH_ECONNECT, WH_CODE_TRANSPORT_CLOSED,
                           "%s:%u refused the WebSocket upgrade: HTTP %s", url->host, url->port,
                           line);
    connection->failure.http_status = status;
    connection->failure.temporary = status >= 500 || status == 408 || status == 429;
}

void connection_on_error(struct connection *connection,
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
        connection_set_failure(connection, WH_ECONNECT, WH_CODE_TRANSPORT_CLOSED,
                               "proxy %s:%u does not connect to %s:%u%s", connection->proxy.host,
                               connection->proxy.port, connection->url->host, connection->url->port,
                               connection->proxy.auth ? " (or does not know user and password)"
                                                      : "");
    else if (!connection->has_sent_request && connection->vhost->tls)
        tls_failed(connection, copy);
    else
        upgrade_failed(connection, wsi, copy);
}

int connection_on_established(struct connection *connection)
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
