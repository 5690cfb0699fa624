/*
 * Reading is one recv() per readiness into a buffer shared by all subscribers; only a tail that
 * ends inside a frame is kept with its subscriber.  A message is scanned, not parsed: the generator
 * shares its core with Redis and must stay cheaper than the server.
 */
#include "subscriber.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <netinet/tcp.h>

enum { READ_MAX = 256 * 1024, REST_MAX = 17 * 1024 * 1024 };

/* A server's frames are not masked, so the header is 2, 4 or 10 bytes. */
struct ws_frame {
    unsigned opcode;
    bool final;
    const char *payload;
    size_t length;
    size_t whole; /* header and payload */
};

__attribute__((format(printf, 2, 3))) static void fail(struct subscriber *subscriber,
                                                       const char *format,
                                                       ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(subscriber->failure, sizeof(subscriber->failure), format, arguments);
    va_end(arguments);
    subscriber_close(subscriber);
    subscriber->state = SUBSCRIBER_FAILED;
}

static bool contains(const char *text, size_t length, const char *word)
{
    return memmem(text, length, word, strlen(word)) != NULL;
}

/* The unsigned number after `key`; false when the key is not there. */
static bool number_after(const char *text, size_t length, const char *key, uint64_t *out_number)
{
    const char *at = memmem(text, length, key, strlen(key));
    if (at == NULL) {
        return false;
    }
    uint64_t number = 0;
    const char *end = text + length;
    for (at += strlen(key); at < end && *at >= '0' && *at <= '9'; at++) {
        number = number * 10 + (uint64_t)(*at - '0');
    }
    *out_number = number;
    return true;
}

/* The few bytes we ever send fit into the socket; if not, the server has stopped reading. */
static void send_whole(struct subscriber *subscriber, const void *bytes, size_t length)
{
    if (send(subscriber->fd, bytes, length, MSG_NOSIGNAL) != (ssize_t)length) {
        fail(subscriber, "send: %s", strerror(errno));
    }
}

/* Masked, as RFC 6455 section 5.3 demands of a client; a key of zeros saves the work. */
static void send_frame(struct subscriber *subscriber,
                       unsigned opcode,
                       const char *payload,
                       size_t length)
{
    unsigned char frame[8 + 4096];
    size_t header = 2;
    frame[0] = (unsigned char)(0x80U | opcode);
    if (length < 126) {
        frame[1] = (unsigned char)(0x80U | length);
    } else {
        frame[1] = 0x80 | 126;
        frame[2] = (unsigned char)(length >> 8);
        frame[3] = (unsigned char)length;
        header = 4;
    }
    memset(frame + header, 0, 4);
    header += 4;
    if (header + length > sizeof(frame)) {
        fail(subscriber, "a command of %zu bytes is too long", length);
        return;
    }
    memcpy(frame + header, payload, length);
    send_whole(subscriber, frame, header + length);
}

/* The key is the example of RFC 6455; who checks only a benchmark's server needs no other. */
static void send_upgrade(struct subscriber *subscriber, const struct target *target)
{
    char request[512];
    int length = snprintf(request, sizeof(request),
                          "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUpgrade: websocket\r\n"
                          "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                          "Sec-WebSocket-Version: 13\r\n\r\n",
                          target->path, (unsigned)ntohs(target->address.sin_port));
    subscriber->state = SUBSCRIBER_UPGRADING;
    send_whole(subscriber, request, (size_t)length);
}

static void send_greeting(struct subscriber *subscriber, const struct target *target)
{
    char commands[4096];
    int length = snprintf(commands, sizeof(commands),
                          "{\"id\":1,\"connect\":{%s%s%s}}\n"
                          "{\"id\":2,\"subscribe\":{\"channel\":\"%s\"}}",
                          target->token != NULL ? "\"token\":\"" : "",
                          target->token != NULL ? target->token : "",
                          target->token != NULL ? "\"" : "", target->channel);
    subscriber->state = SUBSCRIBER_GREETING;
    send_frame(subscriber, 1, commands, (size_t)length);
}

/* One JSON message: a publication of ours, a ping, or a reply. */
static void on_message(struct subscriber *subscriber,
                       const struct target *target,
                       const char *text,
                       size_t length,
                       uint64_t now)
{
    uint64_t number = 0;
    uint64_t sent = 0;
    if (number_after(text, length, "{\"seq\":", &number) &&
        number_after(text, length, ",\"t\":", &sent)) {
        meter_record(target->meter, subscriber->index, number, sent, now);
    } else if (length == 2 && memcmp(text, "{}", 2) == 0) {
        send_frame(subscriber, 1, "{}", 2);
    } else if (contains(text, length, "\"error\"")) {
        fail(subscriber, "refused: %.*s", (int)(length < 80 ? length : 80), text);
    } else if (subscriber->state == SUBSCRIBER_GREETING && contains(text, length, "\"id\":2") &&
               contains(text, length, "\"subscribe\"")) {
        subscriber->state = SUBSCRIBER_READY;
    } else if (contains(text, length, "\"push\"")) {
        target->meter->foreign++;
    }
}

static void on_text(struct subscriber *subscriber,
                    const struct target *target,
                    const char *text,
                    size_t length,
                    uint64_t now)
{
    const char *end = text + length;
    while (text < end && subscriber->state != SUBSCRIBER_FAILED) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *stop = newline != NULL ? newline : end;
        on_message(subscriber, target, text, (size_t)(stop - text), now);
        text = stop + 1;
    }
}

static void on_frame(struct subscriber *subscriber,
                     const struct target *target,
                     const struct ws_frame *frame,
                     uint64_t now)
{
    if (frame->opcode == 1 && frame->final) {
        target->meter->frames++;
        on_text(subscriber, target, frame->payload, frame->length, now);
    } else if (frame->opcode == 8) {
        const unsigned char *bytes = (const unsigned char *)frame->payload;
        int code = frame->length >= 2 ? bytes[0] << 8 | bytes[1] : 1005;
        int reason = frame->length > 2 ? (int)frame->length - 2 : 0;
        fail(subscriber, "closed by the server: %d %.*s", code, reason, frame->payload + 2);
    } else if (frame->opcode == 9) {
        send_frame(subscriber, 10, frame->payload, frame->length);
    } else if (frame->opcode != 10) {
        fail(subscriber, "unexpected frame: opcode %u, final %d", frame->opcode, frame->final);
    }
}

/* False when the frame is not complete yet. */
static bool take_frame(const char *at, size_t available, struct ws_frame *out_frame)
{
    const unsigned char *bytes = (const unsigned char *)at;
    if (available < 2) {
        return false;
    }
    uint64_t length = bytes[1] & 0x7fU;
    size_t extension = length == 126 ? 2 : length == 127 ? 8 : 0;
    if (available < 2 + extension) {
        return false;
    }
    if (extension > 0) {
        length = 0;
        for (size_t i = 0; i < extension; i++) {
            length = length << 8 | bytes[2 + i];
        }
    }
    if (length > available - 2 - extension) {
        return false;
    }
    *out_frame = (struct ws_frame){
        .opcode = bytes[0] & 0x0fU,
        .final = (bytes[0] & 0x80U) != 0,
        .payload = at + 2 + extension,
        .length = (size_t)length,
        .whole = 2 + extension + (size_t)length,
    };
    return true;
}

/* Returns how much of the input is done with. */
static size_t on_input(struct subscriber *subscriber,
                       const struct target *target,
                       const char *input,
                       size_t length)
{
    size_t done = 0;
    uint64_t now = meter_now_ns();
    if (subscriber->state == SUBSCRIBER_UPGRADING) {
        const char *end = memmem(input, length, "\r\n\r\n", 4);
        if (end == NULL) {
            return 0;
        }
        if (length < 12 || memcmp(input, "HTTP/1.1 101", 12) != 0) {
            fail(subscriber, "upgrade refused: %.*s", (int)strcspn(input, "\r"), input);
            return length;
        }
        done = (size_t)(end + 4 - input);
        send_greeting(subscriber, target);
    }
    struct ws_frame frame;
    while (subscriber->state != SUBSCRIBER_FAILED &&
           take_frame(input + done, length - done, &frame)) {
        on_frame(subscriber, target, &frame, now);
        done += frame.whole;
    }
    return done;
}

static void keep_rest(struct subscriber *subscriber, const char *rest, size_t rest_length)
{
    char *kept = NULL;
    if (rest_length > REST_MAX) {
        fail(subscriber, "a frame of more than %d bytes", (int)REST_MAX);
        return;
    }
    if (rest_length > 0) {
        kept = malloc(rest_length + READ_MAX);
        if (kept == NULL) {
            fail(subscriber, "out of memory");
            return;
        }
        memcpy(kept, rest, rest_length);
    }
    free(subscriber->rest);
    subscriber->rest = kept;
    subscriber->rest_length = rest_length;
}

static void on_readable(struct subscriber *subscriber, const struct target *target)
{
    static char shared[READ_MAX];
    char *input = subscriber->rest != NULL ? subscriber->rest : shared;
    size_t before = subscriber->rest_length;
    ssize_t got = recv(subscriber->fd, input + before, READ_MAX, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0) {
        fail(subscriber, "connection lost: %s", got < 0 ? strerror(errno) : "end of file");
        return;
    }
    target->meter->reads++;
    size_t length = before + (size_t)got;
    size_t done = on_input(subscriber, target, input, length);
    if (subscriber->state == SUBSCRIBER_FAILED || (done == length && before == 0)) {
        return;
    }
    keep_rest(subscriber, input + done, length - done);
}

void subscriber_open(struct subscriber *subscriber, const struct target *target)
{
    int on = 1;
    subscriber->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (subscriber->fd < 0) {
        snprintf(subscriber->failure, sizeof(subscriber->failure), "socket: %s", strerror(errno));
        subscriber->state = SUBSCRIBER_FAILED;
        return;
    }
    subscriber->state = SUBSCRIBER_CONNECTING;
    setsockopt(subscriber->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = subscriber};
    if ((connect(subscriber->fd, (const struct sockaddr *)&target->address,
                 sizeof(target->address)) != 0 &&
         errno != EINPROGRESS) ||
        epoll_ctl(target->epoll_fd, EPOLL_CTL_ADD, subscriber->fd, &event) != 0) {
        fail(subscriber, "connect: %s", strerror(errno));
    }
}

void subscriber_on_ready(struct subscriber *subscriber, const struct target *target)
{
    if (subscriber->state == SUBSCRIBER_CONNECTING) {
        int error = 0;
        socklen_t size = sizeof(error);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = subscriber};
        getsockopt(subscriber->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error != 0) {
            fail(subscriber, "connect: %s", strerror(error));
            return;
        }
        epoll_ctl(target->epoll_fd, EPOLL_CTL_MOD, subscriber->fd, &event);
        send_upgrade(subscriber, target);
    } else if (subscriber->state != SUBSCRIBER_IDLE && subscriber->state != SUBSCRIBER_FAILED) {
        on_readable(subscriber, target);
    }
}

void subscriber_close(struct subscriber *subscriber)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    if (subscriber->state != SUBSCRIBER_IDLE && subscriber->state != SUBSCRIBER_FAILED) {
        setsockopt(subscriber->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        close(subscriber->fd);
    }
    free(subscriber->rest);
    subscriber->rest = NULL;
    subscriber->rest_length = 0;
    subscriber->state = SUBSCRIBER_IDLE;
}
