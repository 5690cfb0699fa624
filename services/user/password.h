/*
 * Passwords: yescrypt by libcrypt, whose texts ("$y$…") carry algorithm, cost
 * and salt.  Hashing is meant to be slow and to need memory (16 MiB at the
 * default cost), so callers hold no lock and no database connection meanwhile.
 *
 * A password is 8 to 256 bytes of UTF-8 without NUL (NIST SP 800-63B §5.1.1.2
 * asks for a minimum of 8 and for long ones to be allowed; crypt(3) ends at
 * 511 bytes and at a NUL).  There are no rules about its letters.
 *
 * Any thread.  Copies of a password are wiped before a function returns.
 */
#ifndef SERVICES_USER_PASSWORD_H
#define SERVICES_USER_PASSWORD_H

#include "common/base/err.h"
#include "common/base/slice.h"

#include <stdbool.h>

enum {
    PASSWORD_BYTES_MIN = 8,
    PASSWORD_BYTES_MAX = 256,
    PASSWORD_COST_MIN = 1, /* yescrypt's scale, crypt(5): each step doubles the work */
    PASSWORD_COST_MAX = 11,
    PASSWORD_HASH_MAX = 192, /* bytes of a hash with its NUL; CRYPT_OUTPUT_SIZE is for any method */
};

/* Whether `password` can be one at all: length and bytes, nothing about its strength. */
bool password_is_acceptable(struct wh_slice password);

/*
 * Hash with a salt of its own at `cost` (PASSWORD_COST_MIN to _MAX).
 * WH_EINVAL: not acceptable, or libcrypt has no yescrypt; WH_ENOMEM.
 */
WH_MUST_CHECK enum wh_err password_hash(struct wh_slice password,
                                        unsigned cost,
                                        char out_hash[PASSWORD_HASH_MAX]);

/*
 * Whether `password` is the one of `hash`.  Takes as long for a wrong one as for the right one;
 * one that is not acceptable is hashed like any other before the answer is no, so that asking for
 * an account costs the same whatever is asked (password_dummy serves accounts that are not there).
 * WH_EDENIED: it is another; WH_EFORMAT: `hash` is none of yescrypt; WH_ENOMEM.
 */
WH_MUST_CHECK enum wh_err password_verify(struct wh_slice password, const char *hash);

/* Whether `hash` was made at another cost than `cost`: make it anew while the password is known. */
bool password_is_outdated(const char *hash, unsigned cost);

/* The hash of a password that nobody knows.  Errors as password_hash. */
WH_MUST_CHECK enum wh_err password_dummy(unsigned cost, char out_hash[PASSWORD_HASH_MAX]);

#endif
