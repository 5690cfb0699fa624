/*
 * A finished, immutable, refcounted WebSocket frame (RFC 6455 §5.2, unmasked,
 * FIN set): bytes that go to any number of sockets as they are.  One
 * allocation holds header and payload.
 *
 * Reference counts are plain integers: a frame belongs to one thread.
 */
#ifndef WH_BASE_FRAME_H
#define WH_BASE_FRAME_H

#include "common/base/buf.h"

enum wh_opcode { WH_OPCODE_TEXT = 0x1, WH_OPCODE_BINARY = 0x2 };

enum { WH_FRAME_HEADER_MAX = 10 };

struct wh_frame {
    uint32_t refs;
    uint32_t len;          /* wire bytes, headers included; < 4 GiB */
    unsigned char bytes[]; /* the wire bytes */
};

/* One WebSocket message around a copy of `payload`; the caller owns one reference.
 * WH_ENOMEM; WH_ELIMIT past 1 GiB. */
WH_MUST_CHECK enum wh_err wh_frame_new(enum wh_opcode opcode,
                                       struct wh_slice payload,
                                       struct wh_frame **out_frame);

struct wh_frame *wh_frame_ref(struct wh_frame *frame);
void wh_frame_unref(struct wh_frame *frame); /* NULL is fine */

/* Append the header of a message of `payload_len` bytes to `buf` (2, 4 or 10 bytes). */
void wh_frame_write_header(struct wh_buf *buf, enum wh_opcode opcode, size_t payload_len);

#endif
