/*
 * Sharing a port is for our own workers only: with SO_REUSEPORT on every
 * socket a second hub, or anybody of the same user, could join unnoticed and
 * take a share of the connections.  So the first socket of each address binds
 * without it, which fails when anybody listens there, and gets the option
 * afterwards, which lets our other sockets in.  This leaves no moment at which
 * the port is free again, as a probe that is closed would.
 */
#include "hub/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 4096 }; /* the kernel cuts it to net.core.somaxconn */

struct endpoint {
    struct sockaddr_storage address;
    socklen_t len;
    bool is_dual_stack; /* IPv6 socket that takes IPv4 as well */
};

static void endpoint_set_port(struct endpoint *endpoint, uint16_t port)
{
    /* The port is at the same place in both families. */
    ((struct sockaddr_in *)(void *)&endpoint->address)->sin_port = htons(port);
}

static void address_text(const struct sockaddr_storage *address, char out[LISTENER_ADDRESS_SIZE])
{
    const struct sockaddr_in *v4 = (const void *)address;
    const struct sockaddr_in6 *v6 = (const void *)address;
    out[0] = '\0';
    if (address->ss_family == AF_INET)
        inet_ntop(AF_INET, &v4->sin_addr, out, LISTENER_ADDRESS_SIZE);
    else if (address->ss_family == AF_INET6)
        inet_ntop(AF_INET6, &v6->sin6_addr, out, LISTENER_ADDRESS_SIZE);
}

static bool has_ipv6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    bool works = bind(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return works;
}

static void endpoint_from_text(struct endpoint *out, const char *text)
{
    struct sockaddr_in *v4 = (void *)&out->address;
    struct sockaddr_in6 *v6 = (void *)&out->address;
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        out->len = sizeof *v4;
    } else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        out->len = sizeof *v6;
    }
}

/* The first address of each family that `name` has. */
static unsigned resolve_name(const char *name, struct endpoint *out, struct wh_buf *out_problem)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *found = NULL;
    int failure = getaddrinfo(name, NULL, &hints, &found);
    if (failure != 0) {
        wh_buf_printf(out_problem, "cannot resolve http_server.address \"%s\": %s", name,
                      gai_strerror(failure));
        return 0;
    }
    unsigned count = 0;
    for (const struct addrinfo *info = found; info && count < LISTENER_FDS_MAX;
         info = info->ai_next) {
        if (count == 1 && info->ai_family == (int)out[0].address.ss_family)
            continue;
        memcpy(&out[count].address, info->ai_addr, info->ai_addrlen);
        out[count].len = info->ai_addrlen;
        count++;
    }
    freeaddrinfo(found);
    return count;
}

/* How many endpoints `address` stands for; 0 after a failure, which is told. */
static unsigned resolve(const char *address,
                        struct endpoint out[LISTENER_FDS_MAX],
                        struct wh_buf *out_problem)
{
    memset(out, 0, LISTENER_FDS_MAX * sizeof *out);
    if (!address || address[0] == '\0' || strcmp(address, "::") == 0) {
        out[0].is_dual_stack = has_ipv6();
        endpoint_from_text(&out[0], out[0].is_dual_stack ? "::" : "0.0.0.0");
        return 1;
    }
    if (strcmp(address, "localhost") == 0) {
        endpoint_from_text(&out[0], "127.0.0.1");
        endpoint_from_text(&out[1], "::1");
        return has_ipv6() ? 2 : 1;
    }
    endpoint_from_text(&out[0], address);
    return out[0].len > 0 ? 1 : resolve_name(address, out, out_problem);
}

/* A bound socket that does not listen yet; -1 and errno.  `is_first` keeps others out. */
static int bind_socket(const struct endpoint *endpoint, bool is_first)
{
    int family = endpoint->address.ss_family;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    const int on = 1;
    const int v6_only = !endpoint->is_dual_stack;
    /* SO_REUSEADDR lets a restart pass the TIME_WAITs of the last run, never another listener. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        (family != AF_INET6 ||
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only) == 0) &&
        (is_first || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0) &&
        bind(fd, (const struct sockaddr *)&endpoint->address, endpoint->len) == 0 &&
        (!is_first || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0))
        return fd;
    int failure = errno;
    close(fd);
    errno = failure;
    return -1;
}

/* One socket for each worker on `endpoint`; `port` is in and, if it was 0, out.  0 or errno. */
static int open_endpoint(struct endpoint *endpoint,
                         uint16_t *port,
                         struct listener *listeners,
                         unsigned workers)
{
    for (unsigned i = 0; i < workers; i++) {
        endpoint_set_port(endpoint, *port);
        int fd = bind_socket(endpoint, i == 0);
        if (fd < 0)
            return errno;
        listeners[i].fds[listeners[i].count++] = fd;
        char ignored[LISTENER_ADDRESS_SIZE];
        listener_name(fd, ignored, port);
    }
    for (unsigned i = 0; i < workers; i++)
        if (listen(listeners[i].fds[listeners[i].count - 1], BACKLOG) != 0)
            return errno;
    return 0;
}

/* Why binding `endpoint` failed, as one line and as an error. */
static enum wh_err explain(int failure,
                           const struct endpoint *endpoint,
                           uint16_t port,
                           struct wh_buf *out)
{
    char name[LISTENER_ADDRESS_SIZE];
    address_text(&endpoint->address, name);
    bool is_v6 = strchr(name, ':') != NULL;
    wh_buf_printf(out, "cannot listen on %s%s%s:%u: ", is_v6 ? "[" : "", name, is_v6 ? "]" : "",
                  port);
    switch (failure) {
    case EADDRINUSE:
        wh_buf_printf(out,
                      "another program listens there (ss -ltnp 'sport = :%u' shows which); stop it "
                      "or choose another http_server.port",
                      port);
        return WH_EEXIST;
    case EACCES:
        wh_buf_append_str(out, "this user may not use that port (below 1024 it takes "
                               "CAP_NET_BIND_SERVICE)");
        return WH_EDENIED;
    case EADDRNOTAVAIL:
        wh_buf_append_str(out, "no interface of this machine has that address");
        return WH_EINVAL;
    default:
        wh_buf_append_str(out, strerror(failure));
        return WH_EIO;
    }
}

enum wh_err listener_open(const char *address,
                          uint64_t port,
                          struct listener *listeners,
                          unsigned workers,
                          struct wh_buf *out_problem)
{
    memset(listeners, 0, workers * sizeof *listeners);
    if (port > UINT16_MAX) {
        wh_buf_printf(out_problem, "http_server.port %llu is above 65535",
                      (unsigned long long)port);
        return WH_EINVAL;
    }
    struct endpoint endpoints[LISTENER_FDS_MAX];
    unsigned count = resolve(address, endpoints, out_problem);
    if (count == 0)
        return WH_EINVAL;
    uint16_t number = (uint16_t)port;
    for (unsigned i = 0; i < count; i++) {
        int failure = open_endpoint(&endpoints[i], &number, listeners, workers);
        if (failure == 0)
            continue;
        for (unsigned worker = 0; worker < workers; worker++)
            listener_close(&listeners[worker]);
        return explain(failure, &endpoints[i], number, out_problem);
    }
    return WH_OK;
}

void listener_close(struct listener *listener)
{
    for (unsigned i = 0; i < listener->count; i++)
        close(listener->fds[i]);
    listener->count = 0;
}

void listener_name(int fd, char out_address[LISTENER_ADDRESS_SIZE], uint16_t *out_port)
{
    union {
        struct sockaddr_storage any;
        struct sockaddr base;
        struct sockaddr_in v4; /* its port stands where the port of an IPv6 address stands */
    } name = {0};
    socklen_t len = sizeof name;
    if (getsockname(fd, &name.base, &len) != 0)
        name.any.ss_family = AF_UNSPEC;
    address_text(&name.any, out_address);
    *out_port = ntohs(name.v4.sin_port);
}
