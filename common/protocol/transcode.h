/*
 * One payload value from one notation into the other (docs/PROTOCOL.md, "Payloads").  Internal
 * to common/protocol; callers use payload.h.
 */
#ifndef WH_PROTOCOL_TRANSCODE_H
#define WH_PROTOCOL_TRANSCODE_H

#include "common/base/buf.h"

/*
 * Append the JSON text of the one MessagePack value in `value`; with `out` NULL only check it.
 * WH_EFORMAT: malformed, trailing bytes, nested past 64, an ext, a str that is no UTF-8, or a map
 * key that JSON has no spelling for (only str, bin and integers do).  Failures to grow stay in
 * the buffer; what was written before WH_EFORMAT stays as well.
 */
WH_MUST_CHECK enum wh_err wh_msgpack_to_json(struct wh_slice value, struct wh_buf *out);

/* Append the MessagePack value of one JSON text.  WH_EFORMAT when it is none; else as above. */
WH_MUST_CHECK enum wh_err wh_json_to_msgpack(struct wh_slice text, struct wh_buf *out);

#endif
