/*
 * A non-blocking socket with what was read and not consumed, and what is to be written; and as much
 * of the Redis protocol as the benchmark speaks.  It is meant for edge-triggered epoll: read until
 * there is no more, write when told that there is room.
 */
#ifndef BENCH_RPC_STREAM_H
#define BENCH_RPC_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stream {
    int fd;
    bool is_broken; /* closed or failed; said why on stderr */
    char *in;
    size_t in_length, in_capacity;
    char *out;
    size_t out_length, out_capacity;
    size_t out_sent;
    void *user;
};

/* Blocking until connected.  False after saying why. */
bool stream_connect(struct stream *stream, const char *address); /* path of a socket, or port */
void stream_adopt(struct stream *stream, int fd);
void stream_close(struct stream *stream);

/* Appends; nothing leaves before stream_flush. */
void stream_put(struct stream *stream, const void *bytes, size_t length);
void stream_print(struct stream *stream, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void stream_flush(struct stream *stream);

/* Reads all there is. */
void stream_fill(struct stream *stream);
/* Waits until something is there; for greetings only. */
void stream_wait(struct stream *stream);
/* The first `length` bytes of `in` are done with. */
void stream_drop(struct stream *stream, size_t length);

/* Redis: one element of a reply.  `type` is its first byte; arrays have their count in `number`,
 * bulk strings their bytes, absent ones -1 in `number`. */
struct resp_token {
    char type;
    int64_t number;
    const char *bytes;
    size_t length;
};

/* Takes one from *at; false when it is not all there. */
bool resp_take(const char **at, const char *end, struct resp_token *out_token);

/* Appends the bulk string. */
void resp_put(struct stream *stream, const void *bytes, size_t length);
void resp_put_text(struct stream *stream, const char *text);

#endif
