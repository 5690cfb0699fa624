/*
 * Who somebody is: what a connection token proves, decided in one way for the
 * socket and for REST, and the part of it that outlives the token's bytes.
 * Loop thread only.
 */
#ifndef HUB_IDENTITY_H
#define HUB_IDENTITY_H

#include "common/protocol/codes.h"
#include "hub/auth.h"

struct node;

/*
 * What calls are stamped with besides the user.  One allocation, owned by whoever made it; its size
 * is bounded by the token's (TOKEN_BYTES_MAX, TOKEN_ROLES_MAX).
 */
struct identity {
    struct wh_strings roles;
    struct wh_payload meta;
};

/* A copy; `*out_identity` is NULL when the claims have neither roles nor meta.  WH_ENOMEM. */
WH_MUST_CHECK enum wh_err identity_new(const struct token_claims *claims,
                                       struct identity **out_identity);
void identity_free(struct identity *identity); /* NULL is fine */

/* Who asks, for the log: the command or "rest", the session's id or "", the address. */
struct identity_asker {
    const char *what;
    const char *session;
    const char *peer;
};

/*
 * Verify a connection token, which is present; keys of an endpoint were waited for before.  What
 * the claims point to lives in `arena`.  `*out_is_unchecked` becomes true when nobody knows yet
 * which tokens are revoked.
 *
 * WH_NO_ERROR
 * WH_ERROR_TOKEN_EXPIRED, WH_ERROR_EXPIRED
 * WH_ERROR_INTERNAL               the key is out of reach at present: temporary
 * WH_DISCONNECT_INVALID_TOKEN     forged, malformed, revoked
 * WH_DISCONNECT_PERMISSION_DENIED a token without a user, where that is not allowed
 */
enum wh_code identity_verify(struct node *node,
                             struct wh_slice token,
                             struct wh_arena *arena,
                             const struct identity_asker *asker,
                             struct token_claims *out_claims,
                             bool *out_is_unchecked);

/* WH_NO_ERROR; WH_ERROR_PERMISSION_DENIED of a revoked token. */
enum wh_code identity_check_revocation(struct node *node,
                                       const struct identity_asker *asker,
                                       const struct token_claims *claims,
                                       bool *out_is_unchecked);

/* Count and log a failure; `reason` is one of the words of auth.h, or of the caller's own. */
void identity_log_failure(struct node *node,
                          const struct identity_asker *asker,
                          const char *reason);

#endif
