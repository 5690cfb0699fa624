/* UTF-8 validation (RFC 3629: no surrogates, no overlong forms, ≤ U+10FFFF). */
#ifndef WH_BASE_UTF8_H
#define WH_BASE_UTF8_H

#include "common/base/slice.h"

#include <stdint.h>

bool wh_utf8_is_valid(struct wh_slice text);

/* Bytes (1 to 4) of the well-formed character that `text` begins with; 0 when it is empty or
 * begins with anything else.  For code that must go on after bad bytes or cut between characters.
 */
size_t wh_utf8_next(struct wh_slice text);

/* Encode one code point into `out` (room for 4); bytes written, 0 if it is no scalar value. */
size_t wh_utf8_encode(uint32_t code_point, char out[4]);

#endif
