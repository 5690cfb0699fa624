/*
 * The envelope of a publication between our own processes (Redis pub/sub and
 * streams).  It starts with WH_WIRE_MAGIC, which can begin neither JSON text
 * nor a MessagePack value, so anything else on the same Redis channel is a
 * plain payload.  After the magic and a version byte: one MessagePack map of
 * the publication's fields with the payload kinds.  docs/REDIS.md has the table.
 */
#ifndef WH_PROTOCOL_WIRE_H
#define WH_PROTOCOL_WIRE_H

#include "common/base/arena.h"
#include "common/protocol/model.h"

enum { WH_WIRE_MAGIC = 0xC1, WH_WIRE_VERSION = 1 };

bool wh_wire_is_envelope(struct wh_slice bytes);

/* Append the envelope of `pub` (failures are in the buffer). */
void wh_wire_encode_publication(const struct wh_publication *pub, struct wh_buf *out);

/* WH_EFORMAT: damaged, or a version that this build does not know. */
WH_MUST_CHECK enum wh_err wh_wire_decode_publication(struct wh_slice bytes,
                                                     struct wh_arena *arena,
                                                     struct wh_publication *out);

#endif
