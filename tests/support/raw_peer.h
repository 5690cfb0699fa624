/*
 * A WebSocket server that does exactly what a test says, byte by byte: one thread, one connection
 * at a time, blocking, on a port that the kernel chose.  Scripts run on that thread.
 */
#ifndef WH_TEST_RAW_PEER_H
#define WH_TEST_RAW_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct raw_peer;

/* A connection as the script sees it. */
struct raw_stream {
    struct raw_peer *peer;
    int fd;
    void *tls;          /* SSL *; NULL = plain */
    char request[8192]; /* the last one read, NUL-terminated */
    size_t request_len;
};

typedef void raw_script(struct raw_stream *stream, void *user);

/* `tls_context`: SSL_CTX *, NULL = plain.  `script` NULL: nobody accepts. */
struct raw_peer *raw_peer_start(raw_script *script, void *user, void *tls_context);
uint16_t raw_peer_port(const struct raw_peer *peer);
void raw_peer_stop(struct raw_peer *peer);

/* All return false when the connection is over. */
bool raw_read(struct raw_stream *stream, void *bytes, size_t len);
bool raw_write(struct raw_stream *stream, const void *bytes, size_t len);
bool raw_write_text(struct raw_stream *stream, const char *text);
bool raw_read_request(struct raw_stream *stream);
/* 101 for the request that was read; `subprotocol` NULL = none. */
bool raw_upgrade(struct raw_stream *stream, const char *subprotocol);
/* A frame without mask: `first` = FIN and opcode. */
bool raw_frame(struct raw_stream *stream, uint8_t first, const void *payload, size_t len);
/* A masked frame of at most `room` bytes. */
bool raw_read_frame(struct raw_stream *stream,
                    uint8_t *out_first,
                    void *payload,
                    size_t room,
                    size_t *out_len);
/* Answer frames with themselves, pings with pongs, a close with a close. */
void raw_echo(struct raw_stream *stream);
/* Until the client hangs up; nothing is sent. */
void raw_wait_end(struct raw_stream *stream);

#endif
