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

enum { WH_DEPTH_MAX = 64 }; /* nesting of anything that is decoded */

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
 */
WH_MUST_CHECK enum wh_err wh_decode(enum wh_encoding encoding,
                                    const struct wh_schema *schema,
                                    struct wh_slice *rest,
                                    struct wh_arena *arena,
                                    void *out);

/*
 * Append one message.  When `out` already holds messages of this frame (out->len > frame_start)
 * the separator is written first, so calling it again packs.
 * WH_EENCODING: a payload cannot be shown in this encoding; `out` is as it was before.
 */
WH_MUST_CHECK enum wh_err wh_encode(enum wh_encoding encoding,
                                    const struct wh_schema *schema,
                                    const void *message,
                                    size_t frame_start,
                                    struct wh_buf *out);

#endif
