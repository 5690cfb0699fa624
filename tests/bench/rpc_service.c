/*
 * The answering side of `./dev bench rpc`: gives back what it got.
 *
 *     rpc_service raw PATH      listens on a Unix socket
 *     rpc_service list PATH     serves bench.v1.echo by the contract of docs/REDIS.md, lean: one
 *                               thread, the answers of a pop and the next pop in one write
 *     rpc_service nats PORT     a member of the queue group of "bench"
 *
 * Prints "ready" when calls may come; ends with SIGTERM.
 */

#include "rpc_envelope.h"
#include "rpc_stream.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { POP_MAX = 64 };

static void say_ready(void)
{
    puts("ready");
    fflush(stdout);
}

static void wait_ready(struct stream *stream)
{
    struct pollfd events = {.fd = stream->fd, .events = POLLIN};
    if (stream->out_length > stream->out_sent) {
        events.events |= POLLOUT;
    }
    poll(&events, 1, -1);
    stream_flush(stream);
    stream_fill(stream);
}

/* raw */

static void raw_answer(struct stream *stream)
{
    size_t at = 0;
    uint32_t length = 0;
    while (stream->in_length - at >= sizeof(length)) {
        memcpy(&length, stream->in + at, sizeof(length));
        size_t whole = sizeof(length) + sizeof(uint64_t) + length;
        if (stream->in_length - at < whole) {
            break;
        }
        stream_put(stream, stream->in + at, whole);
        at += whole;
    }
    stream_drop(stream, at);
    stream_flush(stream);
}

static int serve_raw(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(listener, 1) != 0) {
        perror(path);
        return 1;
    }
    say_ready();
    for (;;) { /* one caller after the other */
        struct stream stream;
        int fd = accept(listener, NULL, NULL);
        if (fd < 0) {
            return 1;
        }
        stream_adopt(&stream, fd);
        while (!stream.is_broken) {
            wait_ready(&stream);
            raw_answer(&stream);
        }
        stream_close(&stream);
    }
}

/* list */

static const char ANNOUNCEMENT[] =
    "{\"version\":\"1.0.0\",\"methods\":[{\"name\":\"bench.v1.echo\",\"access\":\"anonymous\","
    "\"timeout_ms\":5000,\"idempotent\":true}]}";

static void put_pop(struct stream *stream)
{
    stream_print(stream, "BLMPOP 0 1 wh:rpc:bench LEFT COUNT %d\r\n", POP_MAX);
}

/* The answers of one pop, for one hub after the other as they come. */
struct answers {
    struct bytes reply;
    char *bytes;
    size_t length;
};

static void publish(struct stream *stream, struct answers *answers)
{
    if (answers->length > 0) {
        stream_print(stream, "*3\r\n");
        resp_put_text(stream, "PUBLISH");
        resp_put(stream, answers->reply.at, answers->reply.length);
        resp_put(stream, answers->bytes, answers->length);
    }
    answers->length = 0;
}

static void answer_call(struct stream *stream,
                        struct answers *answers,
                        const struct resp_token *call,
                        uint64_t now_ms)
{
    const char *at = call->bytes;
    struct envelope envelope;
    if (!envelope_take(&at, at + call->length, &envelope) || envelope.deadline_ms <= now_ms) {
        return;
    }
    if (answers->reply.length != envelope.reply.length ||
        memcmp(answers->reply.at, envelope.reply.at, envelope.reply.length) != 0) {
        publish(stream, answers);
        answers->reply = envelope.reply;
    }
    answers->length += envelope_answer(answers->bytes + answers->length, envelope.id, envelope.kind,
                                       envelope.payload);
}

/* One reply of Redis: a pop, or how many heard a PUBLISH.  False when it is not all there. */
static bool take_pop(struct stream *stream, const char **at, struct answers *answers)
{
    const char *end = stream->in + stream->in_length;
    const char *next = *at;
    struct resp_token token, key, count, calls[POP_MAX];
    struct timespec now;
    if (!resp_take(&next, end, &token)) {
        return false;
    }
    if (token.type != '*') {
        *at = next;
        return true;
    }
    if (!resp_take(&next, end, &key) || !resp_take(&next, end, &count) || count.number > POP_MAX) {
        return false;
    }
    for (int64_t i = 0; i < count.number; i++) {
        if (!resp_take(&next, end, &calls[i])) {
            return false;
        }
    }
    clock_gettime(CLOCK_REALTIME, &now);
    for (int64_t i = 0; i < count.number; i++) {
        answer_call(stream, answers, &calls[i],
                    (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000);
    }
    publish(stream, answers);
    answers->reply = (struct bytes){NULL, 0};
    put_pop(stream);
    *at = next;
    return true;
}

static int serve_list(const char *address)
{
    struct stream alive, stream;
    struct answers answers = {.bytes = malloc((size_t)POP_MAX * ENVELOPE_MAX)};
    if (answers.bytes == NULL || !stream_connect(&alive, address) ||
        !stream_connect(&stream, address)) {
        return 1;
    }
    stream_print(&stream, "*4\r\n");
    resp_put_text(&stream, "HSET");
    resp_put_text(&stream, "wh:rpc:services");
    resp_put_text(&stream, "bench");
    resp_put_text(&stream, ANNOUNCEMENT);
    stream_print(&stream, "PUBLISH wh:rpc:services bench\r\n");
    stream_wait(&stream);
    stream_print(&alive, "SUBSCRIBE wh:rpc:alive:bench\r\n");
    stream_wait(&alive);
    put_pop(&stream);
    stream_flush(&stream);
    say_ready();
    while (!stream.is_broken) {
        const char *at;
        wait_ready(&stream);
        for (at = stream.in; take_pop(&stream, &at, &answers);) {
        }
        stream_drop(&stream, (size_t)(at - stream.in));
        stream_flush(&stream);
    }
    return 1;
}

/* nats */

/* One line, with its message.  False when it is not all there. */
static bool take_line(struct stream *stream, const char **at)
{
    const char *end = stream->in + stream->in_length;
    const char *stop = *at < end ? memchr(*at, '\n', (size_t)(end - *at)) : NULL;
    char reply[64];
    uint32_t length = 0;
    if (stop == NULL) {
        return false;
    }
    if (**at == 'M') {
        if (sscanf(*at, "MSG bench 1 %63s %" SCNu32, reply, &length) != 2) {
            return false;
        }
        if (end - stop - 1 < (ptrdiff_t)length + 2) {
            return false;
        }
        stream_print(stream, "PUB %s %" PRIu32 "\r\n", reply, length);
        stream_put(stream, stop + 1, length + 2);
        stop += length + 2;
    } else if (**at == 'P' && (*at)[1] == 'I') {
        stream_print(stream, "PONG\r\n");
    } else if (**at == 'P') {
        say_ready(); /* the answer to our PING: the subscription is there */
    }
    *at = stop + 1;
    return true;
}

static int serve_nats(const char *port)
{
    struct stream stream;
    if (!stream_connect(&stream, port)) {
        return 1;
    }
    stream_print(&stream, "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n"
                          "SUB bench group 1\r\nPING\r\n");
    stream_flush(&stream);
    while (!stream.is_broken) {
        const char *at;
        wait_ready(&stream);
        for (at = stream.in; take_line(&stream, &at);) {
        }
        stream_drop(&stream, (size_t)(at - stream.in));
        stream_flush(&stream);
    }
    return 1;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "raw") == 0) {
        return serve_raw(argv[2]);
    }
    if (argc == 3 && strcmp(argv[1], "list") == 0) {
        return serve_list(argv[2]);
    }
    if (argc == 3 && strcmp(argv[1], "nats") == 0) {
        return serve_nats(argv[2]);
    }
    fprintf(stderr, "usage: %s raw PATH | list PATH | nats PORT\n", argv[0]);
    return 2;
}
