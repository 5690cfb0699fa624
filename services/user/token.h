/*
 * Access tokens: JWTs (RFC 7519) signed with ES256, which a hub verifies with
 * the published keys.
 *
 * The hub has a token_sign of its own for its developers' verbs.  It is not
 * shared: it writes no `kid`, and what both have in common are four calls of
 * libjwt, for which a room below both would have to know that library.
 *
 * Pure; any thread.
 */
#ifndef SERVICES_USER_TOKEN_H
#define SERVICES_USER_TOKEN_H

#include "common/protocol/model.h"

struct access_claims {
    struct wh_slice user;
    struct wh_slice name;
    struct wh_strings roles;
    struct wh_slice session; /* the family of its refresh token; services see it as meta.session */
    struct wh_slice issuer;
    struct wh_slice audience; /* absent = the claim is left out */
    struct wh_slice id;       /* jti */
    int64_t issued_at_s;      /* unix */
    int64_t expires_at_s;
};

/* The claims as a JSON object: what access_token_sign signs.  Failures are in the buffer. */
void access_claims_write(const struct access_claims *claims, struct wh_buf *out);

/*
 * Append the token.  `private_pem` is NUL-terminated.  WH_EINVAL: the key cannot sign ES256;
 * WH_ENOMEM.
 */
WH_MUST_CHECK enum wh_err access_token_sign(const struct access_claims *claims,
                                            const char *kid,
                                            const char *private_pem,
                                            struct wh_buf *out);

#endif
