/*
 * MessagePack: a bounded reader over the bytes, and the glue that lets
 * msgpack-c's packer append to a buffer.  Internal to common/protocol.
 *
 * We do not unpack with msgpack-c: it allocates what a length claims (five
 * bytes can ask for gigabytes).  Here no length is believed before it was
 * compared with the bytes that are left, and nothing is allocated at all.
 */
#ifndef WH_PROTOCOL_MSGPACK_H
#define WH_PROTOCOL_MSGPACK_H

#include "common/base/buf.h"

#include <msgpack/pack.h>
#include <stdint.h>

enum { WH_MSGPACK_DEPTH_MAX = 64 };

enum wh_msgpack_type {
    WH_MSGPACK_NIL,
    WH_MSGPACK_BOOL,
    WH_MSGPACK_UINT,  /* u64 */
    WH_MSGPACK_INT,   /* i64, always negative */
    WH_MSGPACK_FLOAT, /* number; a float32 is widened */
    WH_MSGPACK_STR,   /* bytes; UTF-8 is not checked here */
    WH_MSGPACK_BIN,   /* bytes */
    WH_MSGPACK_EXT,   /* bytes, without the type */
    WH_MSGPACK_ARRAY, /* count items follow */
    WH_MSGPACK_MAP    /* count pairs follow */
};

struct wh_msgpack_token {
    enum wh_msgpack_type type;
    union {
        bool boolean;
        uint64_t u64;
        int64_t i64;
        double number;
        struct wh_slice bytes;
        uint32_t count;
    };
};

struct wh_msgpack_reader {
    const unsigned char *at;
    const unsigned char *end;
};

void wh_msgpack_reader_init(struct wh_msgpack_reader *reader, struct wh_slice bytes);

/*
 * The next scalar, or the head of an array or map whose elements follow.
 * WH_EEND: nothing left; WH_EFORMAT: truncated, or a count that cannot fit in what is left.
 */
WH_MUST_CHECK enum wh_err wh_msgpack_next(struct wh_msgpack_reader *reader,
                                          struct wh_msgpack_token *out);

/* What the token after this one is, without moving: false at the end. */
static inline bool wh_msgpack_is_nil(const struct wh_msgpack_reader *reader)
{
    return reader->at < reader->end && *reader->at == 0xC0;
}

/* Step over one whole value nested at most `depth_max` deep; `out_raw` (may be NULL) gets its
 * bytes.  WH_EFORMAT also when there is none. */
WH_MUST_CHECK enum wh_err wh_msgpack_skip(struct wh_msgpack_reader *reader,
                                          unsigned depth_max,
                                          struct wh_slice *out_raw);

/* A packer that appends to `buf`; failures stay in the buffer. */
void wh_msgpack_packer_init(msgpack_packer *packer, struct wh_buf *buf);

static inline void wh_msgpack_pack_str(msgpack_packer *packer, struct wh_slice text)
{
    msgpack_pack_str(packer, text.len);
    if (text.len > 0)
        msgpack_pack_str_body(packer, text.ptr, text.len);
}

static inline void wh_msgpack_pack_bin(msgpack_packer *packer, struct wh_slice bytes)
{
    msgpack_pack_bin(packer, bytes.len);
    if (bytes.len > 0)
        msgpack_pack_bin_body(packer, bytes.ptr, bytes.len);
}

#endif
