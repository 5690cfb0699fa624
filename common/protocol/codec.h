/*
 * Bytes <-> structs.  Pure: no sockets, no loop, no clock.
 *
 * A WebSocket message ("frame" here) holds one or more protocol messages:
 * JSON separated by one LF, MessagePack maps concatenated, Protobuf each
 * behind its varint length.
 */
#ifndef WH_PROTOCOL_CODEC_H
#define WH_PROTOCOL_CODEC_H

#include "common/base/arena.h"
#include "common/base/frame.h"
#include "common/protocol/schema.h"

/* Nesting of anything that is decoded.  A payload counts from its own root: what one client could
 * send, another can receive inside the deeper structure of a push. */
enum { WH_DEPTH_MAX = 64 };

/* The subprotocol, "centrifuge-json" …, and back: false when none of ours is named exactly so. */
const char *wh_encoding_subprotocol(enum wh_encoding encoding);
bool wh_encoding_from_subprotocol(struct wh_slice name, enum wh_encoding *out_encoding);

/* Text for JSON, binary for the others. */
enum wh_opcode wh_encoding_opcode(enum wh_encoding encoding);

/*
 * Take the next message off `*rest` (initially the whole frame) into the zeroed struct of
 * `schema` at `out`.  What it points to lives in the frame and in `arena`.
 *
 * WH_OK       one message; *rest is what follows it
 * WH_EEND     *rest was empty: no more messages
 * WH_EFORMAT  malformed, wrong type, out of range, blank line, nested past WH_DEPTH_MAX (3501)
 * WH_ENOMEM   arena exhausted
 *
 * An empty frame is WH_EEND at the first call; the caller that must refuse it checks for that.
 * Unknown members are skipped; null (nil) is absent; of duplicate members the last wins.
 * After a failure neither `*rest` nor what is in `out` means anything.
 */
WH_MUST_CHECK enum wh_err wh_decode(enum wh_encoding encoding,
                                    const struct wh_schema *schema,
                                    struct wh_slice *rest,
                                    struct wh_arena *arena,
                                    void *out);

/*
 * The same for bytes that are one message without framing: JSON may then have white space and line
 * feeds anywhere, and nothing may follow.  For documents that are no frames (token claims).
 */
WH_MUST_CHECK enum wh_err wh_decode_whole(enum wh_encoding encoding,
                                          const struct wh_schema *schema,
                                          struct wh_slice bytes,
                                          struct wh_arena *arena,
                                          void *out);

/*
 * Append one message.  When `out` already holds messages of this frame (out->len > frame_start)
 * the separator is written first, so calling it again packs.
 *
 * WH_EENCODING            a payload cannot be shown in this encoding; `out` is as it was before
 * WH_EUNSUPPORTED         a WH_FIELD_RAW_JSON in another encoding than JSON; likewise
 * WH_ENOMEM, WH_ELIMIT    the buffer's error
 */
WH_MUST_CHECK enum wh_err wh_encode(enum wh_encoding encoding,
                                    const struct wh_schema *schema,
                                    const void *message,
                                    size_t frame_start,
                                    struct wh_buf *out);

#endif
