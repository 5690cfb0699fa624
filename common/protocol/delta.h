/*
 * Patches between two byte strings in the delta format of the Fossil version
 * control system, which Centrifuge clients ask for by `delta: "fossil"`:
 *
 *     SIZE \n  { COUNT@OFFSET,  |  COUNT:BYTES }…  CHECKSUM ;
 *
 * SIZE is the target's; a copy takes COUNT bytes at OFFSET of the source, an
 * insert brings its own.  Numbers are in base 64, most significant digit
 * first, of the digits 0-9 A-Z _ a-z ~.  CHECKSUM is the sum modulo 2^32 of the
 * target as big-endian words, padded with zeros.
 *
 * Pure.  Any thread.
 */
#ifndef WH_PROTOCOL_DELTA_H
#define WH_PROTOCOL_DELTA_H

#include "common/base/buf.h"

enum wh_delta_mode {
    WH_DELTA_BYTES, /* as short as it gets */
    WH_DELTA_UTF8   /* no insert splits a character: the patch is valid UTF-8, as JSON needs it */
};

enum {
    WH_DELTA_SIZE_MAX = 64 << 20, /* bytes of a source or target that is compared */
    WH_DELTA_RUN_MAX = 32768      /* bytes of one command; some readers copy through their stack */
};

/*
 * Append to `out` the patch that makes `target` of `source`; neither may lie in `out`.  Either may
 * be empty.  A patch can be longer than its target: give `out` a limit to stop before that.
 * O(source + target) in time whatever they are, and below one byte of memory for each of `source`.
 *
 * WH_EENCODING          WH_DELTA_UTF8 and `target` is not valid UTF-8 (`source` need not be)
 * WH_ELIMIT             longer than WH_DELTA_SIZE_MAX, or the buffer's limit
 * WH_ENOMEM
 * After a failure `out` has the length that it had.
 */
WH_MUST_CHECK enum wh_err wh_delta_create(enum wh_delta_mode mode,
                                          struct wh_slice source,
                                          struct wh_slice target,
                                          struct wh_buf *out);

/*
 * Append to `out` what `patch`, which may come from a stranger, makes of `source`; neither may lie
 * in `out`.  O(patch + result) in time.
 *
 * WH_EFORMAT            malformed, not for this source, or not what it says of itself
 * WH_ELIMIT             the result is longer than `size_max` bytes, or the buffer's limit
 * WH_ENOMEM
 * After a failure `out` has the length that it had.
 */
WH_MUST_CHECK enum wh_err wh_delta_apply(struct wh_slice source,
                                         struct wh_slice patch,
                                         size_t size_max,
                                         struct wh_buf *out);

#endif
