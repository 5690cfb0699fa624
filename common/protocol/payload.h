/*
 * Payloads: the opaque values that clients and services exchange.  Each is
 * tagged once, where it enters, and transcoded at most once per encoding.
 */
#ifndef WH_PROTOCOL_PAYLOAD_H
#define WH_PROTOCOL_PAYLOAD_H

#include "common/base/buf.h"

#include <wirehub/data.h>

enum { WH_ENCODING_COUNT = 3 };

/* "json", "msgpack", "protobuf". */
const char *wh_encoding_name(enum wh_encoding encoding);

enum wh_payload_kind {
    WH_PAYLOAD_BYTES,  /* B: opaque; may or may not happen to be JSON */
    WH_PAYLOAD_JSON,   /* J: text that is one valid JSON value */
    WH_PAYLOAD_MSGPACK /* M: one MessagePack value that is not a top-level bin */
};

/* `bytes.ptr == NULL`: absent.  Borrows its bytes. */
struct wh_payload {
    enum wh_payload_kind kind;
    struct wh_slice bytes;
};

static inline bool wh_payload_is_present(struct wh_payload payload)
{
    return payload.bytes.ptr != NULL;
}

/* A plain payload from a stranger: JSON if it parses as one JSON value, else bytes. */
struct wh_payload wh_payload_classify(struct wh_slice bytes);

/*
 * Whether a payload that a client sent can be published at all.
 * WH_OK; WH_EFORMAT when it is not what its kind says, is nested past 64, or holds a MessagePack
 * ext (reply 107).
 */
WH_MUST_CHECK enum wh_err wh_payload_check(struct wh_payload payload);

/*
 * Write `payload` as a value of the target encoding: JSON text without raw line feeds, a
 * MessagePack value (a bin for kind B), or the bare bytes that a Protobuf client gets.
 * WH_EENCODING: bytes that are no JSON cannot go into JSON (nothing was written); other failures
 * are in the buffer.
 */
WH_MUST_CHECK enum wh_err wh_payload_encode(struct wh_payload payload,
                                            enum wh_encoding encoding,
                                            struct wh_buf *out);

#endif
