/*
 * How often something may be tried: a token bucket of `burst` tries that fills
 * up again by one every `interval_ms`.  What is stored of it is one time, that
 * at which the bucket is full again (the form known as GCRA, ITU-T I.371): a row
 * whose time has passed says the same as no row and can be deleted.
 *
 * The statement that takes from a bucket (user_store.c) does in SQL what
 * throttle_take does here; a test holds the two against each other.  Pure.
 */
#ifndef SERVICES_USER_THROTTLE_H
#define SERVICES_USER_THROTTLE_H

#include "common/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct throttle_rule {
    uint64_t burst;       /* tries at once, at least 1 */
    uint64_t interval_ms; /* until one more is allowed, at least 1 */
};

/*
 * Take one try at `now_ms` (since 1970) from the bucket that is full at `*full_at_ms` (0 = never
 * used).  False: none is left, and nothing was taken.
 */
bool throttle_take(const struct throttle_rule *rule, int64_t now_ms, int64_t *full_at_ms);

/* Seconds, rounded up and at least 1, until a try can be had from a bucket that had none. */
uint64_t throttle_retry_after_s(const struct throttle_rule *rule,
                                int64_t now_ms,
                                int64_t full_at_ms);

enum { THROTTLE_KEY_BYTES = 32 };

/*
 * The key of a bucket: SHA-256 over `kind` and what is counted, so that the table holds neither
 * addresses of people nor what they mistyped.
 */
void throttle_key(const char *kind, struct wh_slice what, unsigned char out[THROTTLE_KEY_BYTES]);

/*
 * What of a peer's address is counted: an IPv4 address itself, of IPv6 the first 64 bits, because
 * whoever has one such address has 2^64.  IPv4 inside IPv6 is IPv4.  Anything else as it is, cut
 * to the buffer.  `out` gets a NUL.
 */
enum { THROTTLE_PEER_MAX = 64 };
void throttle_peer(struct wh_slice address, char out[THROTTLE_PEER_MAX]);

#endif
