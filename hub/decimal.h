/*
 * Decimal numbers as tags carry them, compared exactly: never through a
 * double, so that 0.1 is 0.1 and a 40-digit id differs from its neighbour.
 *
 * The grammar is what upstream's filters have taken for a decimal:
 *
 *     [+-] digits [. digits] [(e|E) [+-] digits]
 *
 * with at least one digit before the exponent, on either side of the point
 * (".5" and "5." are numbers, "." is none), an exponent that fits an int32,
 * and nothing else: no white space, separators, hexadecimal, NaN or infinity.
 * The locale plays no part.
 */
#ifndef HUB_DECIMAL_H
#define HUB_DECIMAL_H

#include "common/base/slice.h"

#include <stdint.h>

/* sign × 0.DIGITS × 10^magnitude.  Borrows the text that it was parsed from. */
struct decimal {
    int sign;               /* -1, 0, 1 */
    int64_t magnitude;      /* 0 for zero */
    struct wh_slice digits; /* first to last digit that is not 0; the point may stand between */
};

/* False when `text` is no decimal.  Allocates nothing; O(length). */
bool decimal_parse(struct wh_slice text, struct decimal *out);

/* Below, at or above zero as `a` is less than, equal to or greater than `b`. */
int decimal_compare(const struct decimal *a, const struct decimal *b);

#endif
