/*
 * Base64 (RFC 4648), strict: one text for one run of bytes.  No white space, padding exactly where
 * the variant has it, unused bits zero; so nobody can write the same token or payload in two ways.
 */
#ifndef WH_BASE_BASE64_H
#define WH_BASE_BASE64_H

#include "common/base/arena.h"
#include "common/base/buf.h"

enum wh_base64 {
    WH_BASE64_STANDARD, /* §4: "+/", padded with "=" */
    WH_BASE64_URL       /* §5: "-_", never padded, as JWTs are (RFC 7515 §2) */
};

/*
 * The bytes of `text`, in the arena with a NUL behind them; an empty text gives an empty slice
 * that is present.  WH_EFORMAT when it is no strict base64; WH_ENOMEM.
 */
WH_MUST_CHECK enum wh_err wh_base64_decode(enum wh_base64 variant,
                                           struct wh_slice text,
                                           struct wh_arena *arena,
                                           struct wh_slice *out_bytes);

/* Append the text of `bytes`; failures are in the buffer. */
void wh_base64_encode(enum wh_base64 variant, struct wh_slice bytes, struct wh_buf *out);

#endif
