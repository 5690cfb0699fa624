#include "client-sdk/src/stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static bool is_patience(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

/* getaddrinfo also for what is numeric: an IPv6 address may name its interface. */
static int make_address(const char *address, uint16_t port, struct addrinfo **out_info)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    char service[8];
    (void)snprintf(service, sizeof service, "%u", port);
    return getaddrinfo(address, service, &hints, out_info);
}

int stream_connect(struct stream *stream, const char *address, uint16_t port)
{
    struct addrinfo *info = NULL;
    int one = 1, error = 0;
    *stream = (struct stream){.fd = -1};
    if (make_address(address, port, &info) != 0)
        return EADDRNOTAVAIL;
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        error = errno;
    else if (connect(fd, info->ai_addr, info->ai_addrlen) != 0 && errno != EINPROGRESS)
        error = errno;
    freeaddrinfo(info);
    if (error == 0) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        stream->fd = fd;
    } else if (fd >= 0) {
        (void)close(fd);
    }
    return error;
}

enum stream_result stream_connected(const struct stream *stream, int *out_error)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof *out_error;
    *out_error = 0;
    if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, out_error, &len) != 0)
        *out_error = errno;
    if (*out_error != 0)
        return STREAM_FAILED;
    len = sizeof peer;
    return getpeername(stream->fd, (struct sockaddr *)&peer, &len) == 0 ? STREAM_DONE : STREAM_WAIT;
}

enum wh_err stream_start_tls(struct stream *stream, struct tls *tls)
{
    return tls_session_new(tls, stream->fd, &stream->tls);
}

enum stream_result stream_handshake(struct stream *stream)
{
    stream->wants_write = false;
    int result = tls_handshake(stream->tls, &stream->wants_write);
    return result > 0 ? STREAM_DONE : result == 0 ? STREAM_WAIT : STREAM_FAILED;
}

ssize_t stream_read(struct stream *stream, void *bytes, size_t size)
{
    if (stream->tls)
        return tls_read(stream->tls, bytes, size, &stream->wants_write);
    ssize_t count = recv(stream->fd, bytes, size, 0);
    if (count > 0)
        return count;
    return count < 0 && is_patience(errno) ? 0 : -1;
}

ssize_t stream_write(struct stream *stream, const void *bytes, size_t len)
{
    if (stream->tls)
        return tls_write(stream->tls, bytes, len, &stream->wants_write);
    ssize_t count = send(stream->fd, bytes, len, MSG_NOSIGNAL);
    if (count >= 0)
        return count;
    return is_patience(errno) ? 0 : -1;
}

bool stream_has_pending(const struct stream *stream)
{
    return stream->tls && tls_has_pending(stream->tls);
}

const char *stream_tls_reason(const struct stream *stream)
{
    return stream->tls ? tls_reason(stream->tls) : "";
}

void stream_end(struct stream *stream)
{
    tls_session_free(stream->tls);
    stream->tls = NULL;
}
