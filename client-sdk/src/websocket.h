/*
 * The client's side of the WebSocket framing (RFC 6455 §5), without I/O: bytes of
 * the server become messages and control frames, what we say becomes masked frames.
 *
 * Why not libwebsockets': its client takes a frame apart byte by byte, which was most of what a
 * message cost (docs/decisions/sdk-own-frames.md).  No extensions are offered, so none is taken.
 * One reader per connection, on the serving thread.
 */
#ifndef WH_SDK_WEBSOCKET_H
#define WH_SDK_WEBSOCKET_H

#include "client-sdk/src/message.h"
#include "common/base/buf.h"

enum {
    WS_CONTINUATION = 0x0,
    WS_TEXT = 0x1,
    WS_BINARY = 0x2,
    WS_CLOSE = 0x8,
    WS_PING = 0x9,
    WS_PONG = 0xa
};

enum {
    WS_HEADER_BYTES_MAX = 10,  /* of a frame without a mask */
    WS_CONTROL_BYTES_MAX = 125 /* payload of close, ping, pong */
};

/* Codes of RFC 6455 §7.4.1 that we send. */
enum {
    WS_STATUS_NORMAL = 1000,
    WS_STATUS_PROTOCOL_ERROR = 1002,
    WS_STATUS_NONE = 1005, /* never on the wire: a close frame without a code */
    WS_STATUS_BAD_TEXT = 1007,
    WS_STATUS_TOO_BIG = 1009
};

struct ws_reader {
    struct message_pool *pool;
    size_t limit; /* bytes of a message */
    uint8_t header[WS_HEADER_BYTES_MAX];
    uint8_t header_len;
    bool is_in_frame; /* the header is complete */
    bool is_final;
    uint8_t opcode;
    size_t left; /* of the frame's payload */
    uint8_t control_len;
    char control[WS_CONTROL_BYTES_MAX];
    struct message *message; /* of the frame under way */
    size_t filled;
    bool has_ended;     /* by one of the last three kinds of event */
    bool has_fragments; /* a message has begun and not ended */
    bool is_text;       /* that message */
    struct wh_buf fragments;
};

enum ws_kind {
    WS_EVENT_NONE,    /* all bytes are used up */
    WS_EVENT_MESSAGE, /* the reference to `message` is the caller's */
    WS_EVENT_PING,    /* `payload` is to come back in a pong */
    WS_EVENT_PONG,
    WS_EVENT_CLOSE,    /* `code` (WS_STATUS_NONE without one) and reason in `payload` */
    WS_EVENT_TOO_BIG,  /* a message is, or says that it will be, longer than the limit */
    WS_EVENT_BROKEN,   /* no WebSocket: `why`, and the `code` to close with */
    WS_EVENT_NO_MEMORY /* like the last two the end: whatever comes is passed over */
};

struct ws_event {
    enum ws_kind kind;
    struct message *message;
    struct wh_slice payload; /* borrowed until the next call */
    uint16_t code;
    const char *why;
};

/* `pool`: for the messages, there as long as the reader; NULL = none. */
void ws_reader_init(struct ws_reader *reader, struct message_pool *pool, size_t message_bytes_max);
void ws_reader_deinit(struct ws_reader *reader);

/* Takes from the front of `bytes` until something is complete; WS_EVENT_NONE leaves it empty. */
void ws_read(struct ws_reader *reader, struct wh_slice *bytes, struct ws_event *out_event);

/* A whole frame with FIN, masked with a key of its own (§5.3). */
void ws_write(struct wh_buf *out, uint8_t opcode, struct wh_slice payload);

/* A close frame; `reason` is cut to what one holds.  WS_STATUS_NONE gives one without a code, as an
 * echo of such a one must be: 1005 itself is never sent (§7.4.1). */
void ws_write_close(struct wh_buf *out, uint16_t code, struct wh_slice reason);

#endif
