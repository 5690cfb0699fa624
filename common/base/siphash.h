/*
 * SipHash-1-3 (Aumasson and Bernstein), the keyed hash behind wh_hash.  Use
 * wh_hash (map.h): this one is apart so that tests can choose the key.
 */
#ifndef WH_BASE_SIPHASH_H
#define WH_BASE_SIPHASH_H

#include "common/base/slice.h"

#include <stdint.h>

uint64_t wh_siphash13(const unsigned char key[16], struct wh_slice input);

#endif
