/* Patterns of channel names.  Pure. */
#ifndef HUB_GLOB_H
#define HUB_GLOB_H

#include "common/base/slice.h"

/*
 * Whether all of `text` matches: `*` is any run of bytes, `?` any one byte, `[a-z]` and `[!a-z]` a
 * set, `\x` the byte x.  A set that is not closed is a literal `[`.  Takes at most the product of
 * both lengths.
 */
bool glob_matches(struct wh_slice pattern, struct wh_slice text);

#endif
