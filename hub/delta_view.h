/*
 * How subscribers who negotiated deltas read the data of a publication: whole,
 * or as a patch of the one that they got before.
 *
 * A patch is made from the text that the payload has in their encoding.  In
 * JSON that text, and a patch likewise, comes as a string; in Protobuf as
 * bytes.  MessagePack has no deltas.  Pure: any thread.
 */
#ifndef HUB_DELTA_VIEW_H
#define HUB_DELTA_VIEW_H

#include "common/protocol/model.h"

bool delta_view_is_offered(enum wh_encoding encoding);

/* Append the text of `data`; failures are those of wh_payload_encode and of the buffer. */
WH_MUST_CHECK enum wh_err delta_view_text(enum wh_encoding encoding,
                                          struct wh_payload data,
                                          struct wh_buf *out);

/*
 * Make `pub` show `text`: as a patch of `previous` when that is shorter, whole otherwise or when
 * `previous` is absent.  Its data points into `out`, which is overwritten.  WH_ENOMEM, WH_ELIMIT.
 */
WH_MUST_CHECK enum wh_err delta_view_show(enum wh_encoding encoding,
                                          struct wh_slice previous,
                                          struct wh_slice text,
                                          struct wh_buf *out,
                                          struct wh_pub *pub);

#endif
