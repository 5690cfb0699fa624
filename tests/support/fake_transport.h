/*
 * A connection whose other end is the test: it says how many bytes the socket takes, when it
 * breaks and when it is gone, and reads what a client would have received.
 *
 * It is as strict as the contract of hub/transport.h: a write while busy or after the close fails
 * the test.
 */
#ifndef TESTS_SUPPORT_FAKE_TRANSPORT_H
#define TESTS_SUPPORT_FAKE_TRANSPORT_H

#include "common/base/buf.h"
#include "common/base/list.h"
#include "hub/session.h"

#define ROOM_UNLIMITED SIZE_MAX

struct fake_transport {
    struct transport base;
    struct wh_list link;     /* on the list of its owner */
    struct session *session; /* NULL once gone */
    enum wh_encoding encoding;
    struct wh_buf received; /* all that the socket took, in order */
    size_t read;            /* how far the test has read it */
    size_t message_at;      /* rest of the WebSocket message being read, within `received` */
    size_t message_len;
    enum wh_opcode message_opcode;
    struct wh_buf held; /* written, not yet taken by the socket */
    size_t room;        /* bytes that the socket takes before it is full */
    size_t writes;
    bool is_broken; /* writes fail */
    bool wants_write;
    bool is_reading;
    bool is_closing;
    uint32_t close_code;
    const char *close_reason;
    uint64_t close_timeout_ms;
};

/* Opens a session on it.  WH_ENOMEM. */
WH_MUST_CHECK enum wh_err fake_transport_open(struct node *node,
                                              enum wh_encoding encoding,
                                              struct fake_transport **out_transport);

/* The connection is gone: the session ends.  What was received can still be read. */
void fake_transport_gone(struct fake_transport *fake);
void fake_transport_free(struct fake_transport *fake);

/* A message of the client, in memory that ends with it and dies after the call. */
void fake_transport_receive(struct fake_transport *fake, struct wh_slice message);

/* From now on the socket has room for `bytes` more; tells the session when nothing is held. */
void fake_transport_set_room(struct fake_transport *fake, size_t bytes);

/* The next whole WebSocket message that the client has not read; false: there is none. */
bool fake_transport_next(struct fake_transport *fake,
                         enum wh_opcode *out_opcode,
                         struct wh_slice *out_payload);

/* The next protocol message: a WebSocket message may hold several. */
bool fake_transport_next_reply(struct fake_transport *fake,
                               enum wh_opcode *out_opcode,
                               struct wh_slice *out_message);

#endif
