#include "rpc_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { READ_AT_LEAST = 65536 };

static void *grow(char *bytes, size_t *capacity, size_t needed)
{
    size_t bigger = *capacity > 0 ? *capacity : READ_AT_LEAST;
    while (bigger < needed) {
        bigger *= 2;
    }
    if (bigger == *capacity) {
        return bytes;
    }
    bytes = realloc(bytes, bigger);
    if (bytes == NULL) {
        fprintf(stderr, "out of memory\n");
        abort();
    }
    *capacity = bigger;
    return bytes;
}

static void fail(struct stream *stream, const char *what)
{
    if (!stream->is_broken) {
        fprintf(stderr, "%s: %s\n", what,
                errno != 0 ? strerror(errno) : "closed by the other side");
    }
    stream->is_broken = true;
}

void stream_adopt(struct stream *stream, int fd)
{
    int yes = 1;
    *stream = (struct stream){.fd = fd};
    fcntl(fd, F_SETFL, O_NONBLOCK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)); /* a Unix socket refuses: fine */
}

bool stream_connect(struct stream *stream, const char *address)
{
    bool is_path = strchr(address, '/') != NULL;
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    struct sockaddr_in port = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)strtoul(address, NULL, 10)),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    snprintf(path.sun_path, sizeof(path.sun_path), "%s", address);
    int fd = socket(is_path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int status = is_path ? connect(fd, (struct sockaddr *)&path, sizeof(path))
                         : connect(fd, (struct sockaddr *)&port, sizeof(port));
    if (status != 0) {
        perror(address);
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    stream_adopt(stream, fd);
    return true;
}

void stream_close(struct stream *stream)
{
    close(stream->fd);
    free(stream->in);
    free(stream->out);
    *stream = (struct stream){.fd = -1, .is_broken = true};
}

void stream_put(struct stream *stream, const void *bytes, size_t length)
{
    stream->out = grow(stream->out, &stream->out_capacity, stream->out_length + length);
    memcpy(stream->out + stream->out_length, bytes, length);
    stream->out_length += length;
}

void stream_print(struct stream *stream, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    stream_put(stream, text, (size_t)length < sizeof(text) ? (size_t)length : sizeof(text) - 1);
}

void stream_flush(struct stream *stream)
{
    while (stream->out_sent < stream->out_length && !stream->is_broken) {
        ssize_t sent = send(stream->fd, stream->out + stream->out_sent,
                            stream->out_length - stream->out_sent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            return;
        }
        if (sent < 0) {
            fail(stream, "send");
            return;
        }
        stream->out_sent += (size_t)sent;
    }
    stream->out_sent = stream->out_length = 0;
}

void stream_fill(struct stream *stream)
{
    while (!stream->is_broken) {
        stream->in = grow(stream->in, &stream->in_capacity, stream->in_length + READ_AT_LEAST);
        size_t room = stream->in_capacity - stream->in_length;
        errno = 0;
        ssize_t got = recv(stream->fd, stream->in + stream->in_length, room, 0);
        if (got > 0) {
            stream->in_length += (size_t)got;
        }
        if (got == 0 || (got < 0 && errno != EAGAIN)) {
            fail(stream, "recv");
        }
        if (got < (ssize_t)room) { /* a short read: edges tell of what comes later */
            return;
        }
    }
}

void stream_wait(struct stream *stream)
{
    struct pollfd events = {.fd = stream->fd, .events = POLLIN};
    stream_flush(stream);
    if (poll(&events, 1, 5000) != 1) {
        fail(stream, "no answer");
        return;
    }
    stream_fill(stream);
}

void stream_drop(struct stream *stream, size_t length)
{
    stream->in_length -= length;
    if (length > 0 && stream->in_length > 0) {
        memmove(stream->in, stream->in + length, stream->in_length);
    }
}

bool resp_take(const char **at, const char *end, struct resp_token *out_token)
{
    const char *line = *at;
    const char *stop = line < end ? memchr(line, '\n', (size_t)(end - line)) : NULL;
    if (stop == NULL) {
        return false;
    }
    struct resp_token token = {.type = *line, .bytes = line + 1, .length = (size_t)(stop - line)};
    const char *next = stop + 1;
    if (token.type == '$' || token.type == '*' || token.type == ':') {
        token.number = strtoll(line + 1, NULL, 10);
    }
    if (token.type == '$' && token.number >= 0) {
        if (end - next < token.number + 2) {
            return false;
        }
        token.bytes = next;
        token.length = (size_t)token.number;
        next += token.number + 2;
    }
    *at = next;
    *out_token = token;
    return true;
}

void resp_put(struct stream *stream, const void *bytes, size_t length)
{
    char head[32];
    int head_length = snprintf(head, sizeof(head), "$%zu\r\n", length);
    stream_put(stream, head, (size_t)head_length);
    stream_put(stream, bytes, length);
    stream_put(stream, "\r\n", 2);
}

void resp_put_text(struct stream *stream, const char *text)
{
    resp_put(stream, text, strlen(text));
}
