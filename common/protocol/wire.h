/*
 * The envelope of what our own processes send each other through Redis
 * (pub/sub and streams).  It starts with WH_WIRE_MAGIC, which can begin
 * neither JSON text nor a MessagePack value, so anything else on the same
 * Redis channel is a plain payload.  The byte after the magic is the kind:
 *
 *     publication   one MessagePack map: its fields, payloads with their kinds
 *     positioned    <offset> ':' <epoch> ':' <body>, numbers in decimal; the body is an envelope
 *                   of a publication or a plain payload: a script can put this together without
 *                   knowing MessagePack, and a service can hand in bare JSON
 *     join, leave   one MessagePack map: the client's info
 *     control       opaque bytes
 *
 * docs/REDIS.md has the tables.  Pure.
 */
#ifndef WH_PROTOCOL_WIRE_H
#define WH_PROTOCOL_WIRE_H

#include "common/base/arena.h"
#include "common/protocol/schema.h"

enum { WH_WIRE_MAGIC = 0xC1, WH_WIRE_EPOCH_MAX = 64 };

enum wh_wire_kind {
    WH_WIRE_PLAIN, /* no envelope */
    WH_WIRE_PUBLICATION,
    WH_WIRE_POSITIONED,
    WH_WIRE_JOIN,
    WH_WIRE_LEAVE,
    WH_WIRE_CONTROL
};

/* Everything borrows the bytes decoded, or the arena. */
struct wh_wire_message {
    enum wh_wire_kind kind;
    struct wh_pub pub;       /* PLAIN, PUBLICATION, POSITIONED: then with offset and epoch */
    struct wh_info info;     /* JOIN, LEAVE */
    struct wh_slice control; /* CONTROL */
};

bool wh_wire_is_envelope(struct wh_slice bytes);

/* Append an envelope (failures are in the buffer). */
void wh_wire_encode_publication(const struct wh_pub *pub, struct wh_buf *out);
void wh_wire_encode_join(const struct wh_info *info, bool is_leave, struct wh_buf *out);
void wh_wire_encode_control(struct wh_slice message, struct wh_buf *out);

/*
 * Whatever came on a channel.  Bytes without the magic are a plain payload, classified.
 * WH_EFORMAT: a damaged envelope, or a kind that this build does not know.
 */
WH_MUST_CHECK enum wh_err wh_wire_decode(struct wh_slice bytes,
                                         struct wh_arena *arena,
                                         struct wh_wire_message *out);

/* The body of a positioned publication, which is also what a stream stores: an envelope of a
 * publication or a plain payload.  WH_EFORMAT. */
WH_MUST_CHECK enum wh_err wh_wire_decode_body(struct wh_slice bytes,
                                              struct wh_arena *arena,
                                              struct wh_pub *out);

/* The envelope of a publication and nothing else.  WH_EFORMAT. */
WH_MUST_CHECK enum wh_err wh_wire_decode_publication(struct wh_slice bytes,
                                                     struct wh_arena *arena,
                                                     struct wh_pub *out);

/*
 * Any message of ours by its field table, as the body of a control message: like the envelopes
 * above, payloads keep their kinds.  WH_EFORMAT; WH_ENOMEM.
 */
void wh_wire_encode_message(const struct wh_schema *schema,
                            const void *message,
                            struct wh_buf *out);
WH_MUST_CHECK enum wh_err wh_wire_decode_message(const struct wh_schema *schema,
                                                 struct wh_slice bytes,
                                                 struct wh_arena *arena,
                                                 void *out);

/* A decimal number without sign, blanks or leading zeros, as Redis and our scripts write them.
 * WH_EFORMAT: anything else, or past 64 bits. */
WH_MUST_CHECK enum wh_err wh_wire_decode_number(struct wh_slice text, uint64_t *out_number);

#endif
