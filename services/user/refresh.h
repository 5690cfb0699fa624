/*
 * Refresh tokens: 32 random bytes as text, of which the database has the
 * SHA-256 alone.  Each can be used once and is then replaced by its successor;
 * all that follow from one log-in are a family (RFC 9700 §4.14.2).
 *
 * When a used token comes again, somebody else has it: the family is revoked,
 * and thief and owner both have to log in.  One case is innocent: the answer
 * was lost, or two tabs asked at once.  So for REFRESH_GRACE_MS after its first
 * use a token gives its successor once more, *the same* one, as long as that
 * was not used itself.  A family has thus at no time more than one live token,
 * and the grace hands nobody a branch of his own.  The successor is not stored
 * for this: it is an HMAC of its predecessor under a key of the service.
 *
 * Pure.
 */
#ifndef SERVICES_USER_REFRESH_H
#define SERVICES_USER_REFRESH_H

#include "common/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    REFRESH_TOKEN_BYTES = 32,
    REFRESH_TOKEN_TEXT = 4 + 43, /* "whr_" and base64url: easy to find where it should not be */
    REFRESH_HASH_BYTES = 32,
    REFRESH_KEY_BYTES = 32,
    REFRESH_GRACE_MS = 10000,
};

/* A new token that starts a family; `out` gets a NUL. */
void refresh_token_new(char out[REFRESH_TOKEN_TEXT + 1]);

/* The one that follows `token` (of REFRESH_TOKEN_TEXT bytes) under `key`. */
void refresh_token_successor(const unsigned char key[REFRESH_KEY_BYTES],
                             const char *token,
                             char out[REFRESH_TOKEN_TEXT + 1]);

/* What the database keeps.  False: `token` has not the shape of one; nothing is written. */
bool refresh_token_hash(struct wh_slice token, unsigned char out[REFRESH_HASH_BYTES]);

/* A row of refresh_token; times in ms since 1970, 0 = not. */
struct refresh_state {
    int64_t expires_at_ms;
    int64_t used_at_ms;
    int64_t revoked_at_ms;
    bool is_successor_used; /* of a used token: whether the next one was used as well, or is gone */
};

enum refresh_verdict {
    REFRESH_ROTATE, /* first use: mark it used and store its successor */
    REFRESH_REPEAT, /* within the grace: answer the successor again, store nothing */
    REFRESH_REUSE,  /* stolen: revoke the family */
    REFRESH_DEAD    /* expired or revoked: nothing but a refusal */
};

enum refresh_verdict refresh_judge(const struct refresh_state *state, int64_t now_ms);

/* When a token made now expires: after `ttl_ms`, but never after the session it belongs to. */
int64_t refresh_expiry(int64_t now_ms, uint64_t ttl_ms, int64_t session_ends_at_ms);

#endif
