/*
 * Tokens: a JWT (RFC 7519) in, verified claims out.  The hub's only file that
 * sees libjwt.  The algorithm is pinned to the family of the configured key;
 * what the token says about its own key is never believed, but that `kid`
 * picks one of the keys of a configured JWKS endpoint.
 *
 * Configured keys answer at once.  Keys of an endpoint may have to be fetched
 * first: token_verifier_wait says so and calls back.
 */
#ifndef HUB_AUTH_H
#define HUB_AUTH_H

#include "common/base/arena.h"
#include "common/protocol/model.h"
#include "hub/config.h"
#include "hub/jwks.h"

/* The keys of one token_config, parsed once. */
struct token_verifier;

enum {
    TOKEN_BYTES_MAX = 16 * 1024, /* a longer token is refused unread */
    TOKEN_ROLES_MAX = 64,        /* a token with more is refused */
    TOKEN_ROLE_BYTES_MAX = 128   /* and so is one with a longer or an empty role */
};

/* Who calls through the server API; no token can say it of itself (it is left out). */
#define TOKEN_ROLE_INTERNAL "internal"

/*
 * WH_EINVAL with a text in `out_problem` (what is wrong with which key, a line each) when a key
 * cannot be used; WH_ENOMEM.  With WH_OK the text may hold lines that start with "warning: ".
 * Names in it are the last part of the option, "hmac_secret_key".  Nothing of `config` is kept.
 * A config without any key gives a verifier that refuses every token.  With jwks_public_endpoint
 * the other keys are not used at all.
 */
WH_MUST_CHECK enum wh_err token_verifier_new(const struct token_config *config,
                                             struct token_verifier **out_verifier,
                                             struct wh_buf *out_problem);
/* Waiters for an endpoint that no other verifier has open are called. */
void token_verifier_free(struct token_verifier *verifier);

/*
 * Open the endpoint of the config, which starts to fetch; without one nothing happens.  Until this
 * is called every token of an endpoint is WH_EUNAVAILABLE.  Borrows `pool` until
 * token_verifier_free. WH_ENOMEM.  Once for each verifier.
 */
WH_MUST_CHECK enum wh_err token_verifier_use_jwks(struct token_verifier *verifier,
                                                  struct jwks_pool *pool);

/*
 * Before token_verify: whether the key that `token` names may come with a fetch that is under way
 * or was begun by this call.  If so `waiter->fn` is called when it has ended, well or not: never
 * before this returned, exactly once unless jwks_waiter_cancel comes first.  Ask and verify again
 * inside `fn`: there the answer is false, and what token_verify says is final.
 *
 * False at once for configured keys, for a token that names no key, while a failed fetch is backed
 * off, and when JWKS_WAITERS_MAX wait already.  The verifier may be freed while `waiter` waits
 * (`fn` is called then): go on with the one that took its place.
 */
bool token_verifier_wait(const struct token_verifier *verifier,
                         struct wh_slice token,
                         struct wh_arena *arena,
                         struct jwks_waiter *waiter);

/* Why the endpoint's keys are not there; "" otherwise.  For people; without the URL. */
const char *token_verifier_problem(const struct token_verifier *verifier);

struct token_override {
    bool is_set;
    bool value;
};

struct token_overrides {
    struct token_override presence, join_leave, force_push_join_leave, force_positioning,
        force_recovery;
};

struct token_subscription {
    struct wh_slice channel;
    struct wh_payload info;
    struct wh_payload data;
    struct token_overrides override;
};

/* All slices live in the arena given to token_verify; a token needs up to some 50 times its own
 * length there (`channels` of many one-letter names), mostly less than twice. */
struct token_claims {
    struct wh_slice user; /* "" = anonymous */
    int64_t exp;          /* unix seconds; 0 = none */
    int64_t expire_at;    /* when the connection or subscription expires; 0 = never.  Already
                             resolved: the claim expire_at if present, else exp. */
    int64_t iat;          /* 0 = none */
    struct wh_slice jti;
    struct wh_payload info;
    struct wh_payload meta;
    struct wh_strings roles; /* connection tokens: what services and rpc.methods ask for */
    struct wh_payload data;  /* subscription tokens */
    struct wh_slice channel; /* subscription tokens */
    struct wh_slice client;  /* subscription tokens, deprecated */
    struct token_overrides override;
    struct {
        struct token_subscription *items;
        size_t count;
    } subs; /* `subs`, or `channels` with defaults */
};

/*
 * Verify signature first, then iss and aud, then exp and nbf (at `now_s`, leeway none).
 *
 * WH_OK
 * WH_EEXPIRED  good but expired or not yet valid (109); the claims are there all the same, for
 *              insecure mode overlooks the time
 * WH_EUNAVAILABLE  the key it names may be at the JWKS endpoint but is not here: wait for it
 *                  (token_verifier_wait) or let the client come again (100, which is temporary)
 * WH_EDENIED   anything else (3500), an exhausted arena included
 *
 * `out_reason` (may be NULL) gets a fixed word for metrics and log, never for the client:
 * "signature", "algorithm", "format", "claims", "audience", "issuer", "expired", "no_key",
 * "unavailable".
 */
enum token_kind { TOKEN_CONNECTION, TOKEN_SUBSCRIPTION };

WH_MUST_CHECK enum wh_err token_verify(const struct token_verifier *verifier,
                                       enum token_kind kind,
                                       struct wh_slice token,
                                       int64_t now_s,
                                       struct wh_arena *arena,
                                       struct token_claims *out_claims,
                                       const char **out_reason);

/*
 * The signature alone: what check-token shows of a token whose claims do not please.  Results and
 * reasons as above, WH_EEXPIRED apart.  The payload is the decoded text, in the arena.
 */
struct token_signature {
    struct wh_slice payload;
    const char *key_name;  /* the option of the key that verified it; static storage */
    const char *algorithm; /* "HS256"; static storage */
};

WH_MUST_CHECK enum wh_err token_verify_signature(const struct token_verifier *verifier,
                                                 struct wh_slice token,
                                                 int64_t now_s,
                                                 struct wh_arena *arena,
                                                 struct token_signature *out_signature,
                                                 const char **out_reason);

/*
 * Append a token that says `claims` (NUL-terminated JSON object), signed with `algorithm`.  `key`
 * is the secret or the private PEM.  WH_EUNSUPPORTED: the algorithm is none of ours; WH_EINVAL:
 * the claims are no object or the key cannot sign; WH_ENOMEM.
 */
WH_MUST_CHECK enum wh_err token_sign(const char *algorithm,
                                     struct wh_slice key,
                                     const char *claims,
                                     struct wh_buf *out);

/*
 * The verbs gen-token, gen-sub-token and check-token, in token_cli.c.  argv[0] is the verb.
 */
int token_generate_main(int argc, char **argv);
int token_generate_subscription_main(int argc, char **argv);
int token_check_main(int argc, char **argv);

#endif
