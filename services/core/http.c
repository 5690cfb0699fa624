/*
 * libmicrohttpd without a thread of its own: it gives one epoll descriptor,
 * which the loop watches, and a time-out.
 */
#include "services/core/http.h"

#include "common/base/alloc.h"
#include "common/io/loop.h"
#include "services/core/health.h"
#include "services/core/metrics.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = 64,
    IDLE_TIMEOUT_S = 10,
    BACKLOG = 64,
    PAGE_BYTES_MAX = 16 * 1024 * 1024,
};

/* Prometheus asks for the version; for the others it is just text. */
#define PLAIN_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct svc_http {
    struct svc *svc;
    struct MHD_Daemon *daemon;
    uv_poll_t poll;
    struct wh_timer timer;
    unsigned port;
    bool is_closing;
    void (*closed)(void *user);
    void *closed_user;
};

static void write_health(const struct svc *svc,
                         void (*write)(const struct svc *, struct wh_buf *),
                         struct wh_buf *body,
                         unsigned *status)
{
    write(svc, body);
    *status = body->len > 0 ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK;
    if (body->len == 0)
        wh_buf_append_str(body, "ok\n");
}

/* What the service itself serves there; NULL = nothing. */
static const struct svc_route *find_route(const struct svc *svc, const char *path)
{
    for (const struct svc_route *route = svc->def->routes; route && route->path; route++) {
        if (strcmp(route->path, path) == 0)
            return route;
    }
    return NULL;
}

static unsigned write_page(const struct svc *svc,
                           const struct svc_route *route,
                           const char *path,
                           struct wh_buf *body)
{
    unsigned status = MHD_HTTP_OK;

    if (route)
        return route->write(svc->state, body);
    if (strcmp(path, "/livez") == 0) {
        write_health(svc, svc_write_dead, body, &status);
    } else if (strcmp(path, "/readyz") == 0) {
        write_health(svc, svc_write_unready, body, &status);
    } else if (strcmp(path, "/metrics") == 0) {
        svc_metrics_write(svc, body);
    } else {
        wh_buf_append_str(body, "not found\n");
        status = MHD_HTTP_NOT_FOUND;
    }
    return status;
}

static enum MHD_Result respond(struct MHD_Connection *connection,
                               unsigned status,
                               const struct svc_route *route,
                               struct wh_slice body)
{
    bool may_cache = route && route->cache_control && status == MHD_HTTP_OK;
    struct MHD_Response *response = MHD_create_response_from_buffer(
        body.len, (void *)(uintptr_t)body.ptr, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                                  route && route->type ? route->type : PLAIN_TYPE);
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL,
                                  may_cache ? route->cache_control : "no-store");
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result on_request(void *user,
                                  struct MHD_Connection *connection,
                                  const char *path,
                                  const char *method,
                                  const char *version,
                                  const char *upload,
                                  size_t *upload_size,
                                  void **state)
{
    static char seen; /* its address marks a request whose header was taken */
    struct svc_http *http = user;
    struct wh_buf body;
    (void)version, (void)upload;

    if (!*state) { /* the header has come; the answer waits for the rest */
        *state = &seen;
        return MHD_YES;
    }
    if (*upload_size > 0) { /* a body that nobody wants */
        *upload_size = 0;
        return MHD_YES;
    }
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return respond(connection, MHD_HTTP_METHOD_NOT_ALLOWED, NULL,
                       WH_SLICE_LITERAL("GET only\n"));
    wh_buf_init(&body, PAGE_BYTES_MAX);
    const struct svc_route *route = find_route(http->svc, path);
    unsigned status = write_page(http->svc, route, path, &body);
    enum MHD_Result result = MHD_NO;
    if (wh_buf_error(&body) == WH_OK)
        result = respond(connection, status, route, wh_buf_slice(&body));
    wh_buf_deinit(&body);
    return result;
}

static void run(struct svc_http *http)
{
    MHD_UNSIGNED_LONG_LONG timeout_ms = 0;

    if (http->is_closing)
        return;
    (void)MHD_run(http->daemon);
    if (MHD_get_timeout(http->daemon, &timeout_ms) == MHD_YES)
        wh_loop_timer_start(http->svc->loop, &http->timer, timeout_ms);
    else
        wh_loop_timer_stop(http->svc->loop, &http->timer);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    run(poll->data);
}

static void on_timer(struct wh_timer *timer)
{
    run(WH_CONTAINER_OF(timer, struct svc_http, timer));
}

/* A listening socket, or -1 with `reason`. */
static int listen_on(const char *address, uint64_t port, char reason[128])
{
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                                   .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char service[8];
    int one = 1;
    snprintf(service, sizeof service, "%u", (unsigned)port);
    int status = getaddrinfo(address, service, &hints, &found);
    if (status != 0) {
        snprintf(reason, 128, "%s", gai_strerror(status));
        return -1;
    }
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fd >= 0 && (bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0)) {
        int saved_errno = errno;
        close(fd);
        errno = saved_errno;
        fd = -1;
    }
    if (fd < 0)
        snprintf(reason, 128, "%s", strerror(errno));
    freeaddrinfo(found);
    return fd;
}

static unsigned port_of(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address = {.v6 = {0}};
    socklen_t len = sizeof address;

    if (getsockname(fd, &address.any, &len) != 0)
        return 0;
    return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

static enum wh_err watch_daemon(struct svc_http *http)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    http->poll.data = http;
    wh_timer_init(&http->timer, on_timer);
    if (!info || uv_poll_init(&http->svc->loop->uv, &http->poll, info->listen_fd) != 0)
        return WH_EIO;
    return uv_poll_start(&http->poll, UV_READABLE, on_readable) == 0 ? WH_OK : WH_EIO;
}

enum wh_err svc_http_start(struct svc *svc, struct svc_http **out_http)
{
    const struct svc_settings *settings = svc->settings;
    char reason[128];
    struct svc_http *http = wh_calloc(1, sizeof *http);
    if (!http)
        return WH_ENOMEM;
    http->svc = svc;
    int fd = listen_on(settings->http.address, settings->http.port, reason);
    if (fd >= 0) {
        http->port = port_of(fd);
        http->daemon = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, http,
                                        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
                                        (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
                                        (unsigned)IDLE_TIMEOUT_S, MHD_OPTION_END);
        if (!http->daemon) {
            close(fd);
            snprintf(reason, sizeof reason, "the HTTP server does not start");
        }
    }
    if (!http->daemon || watch_daemon(http) != WH_OK) {
        wh_log(WH_LOG_ERROR, "http", "failed", "address=%s port=%u reason=%s",
               settings->http.address, (unsigned)settings->http.port, reason);
        if (http->daemon)
            MHD_stop_daemon(http->daemon);
        wh_free(http);
        return WH_EIO;
    }
    *out_http = http;
    return WH_OK;
}

unsigned svc_http_port(const struct svc_http *http)
{
    return http->port;
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct svc_http *http = handle->data;
    void (*closed)(void *) = http->closed;
    void *user = http->closed_user;
    wh_free(http);
    closed(user);
}

void svc_http_close(struct svc_http *http, void (*closed)(void *user), void *user)
{
    http->is_closing = true;
    http->closed = closed;
    http->closed_user = user;
    wh_loop_timer_stop(http->svc->loop, &http->timer);
    uv_poll_stop(&http->poll);
    MHD_stop_daemon(http->daemon);
    uv_close((uv_handle_t *)&http->poll, on_poll_closed);
}
