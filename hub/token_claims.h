/*
 * The claims of a token whose signature is already proven: JSON in, token_claims out.  Knows no
 * cryptography.  The payload is read once, by our own strict reader, so what is checked is what is
 * used: of duplicate members the last one counts for both.
 */
#ifndef HUB_TOKEN_CLAIMS_H
#define HUB_TOKEN_CLAIMS_H

#include "hub/auth.h"

#include <regex.h>
#include <stdint.h>

/* The end of the year 9999 in unix seconds.  A later time is a mistake, mostly milliseconds. */
#define TOKEN_TIME_MAX_S INT64_C(253402300799)

/* What a verifier demands of claims; filled from one token_config by token_rules_init. */
struct token_rules {
    char *user_claim; /* owned, "sub" by default */
    char *audience;   /* owned; NULL = not checked */
    char *issuer;
    regex_t audience_regex, issuer_regex; /* POSIX extended, unanchored */
    bool has_audience_regex, has_issuer_regex;
};

/* Into the zeroed `rules`.  WH_EINVAL with a sentence in `problem`; WH_ENOMEM.  Deinit either way.
 */
WH_MUST_CHECK enum wh_err token_rules_init(struct token_rules *rules,
                                           const struct token_config *config,
                                           struct wh_buf *problem);
void token_rules_deinit(struct token_rules *rules);

/* Results and reasons as of token_verify, WH_EEXPIRED with claims included. */
WH_MUST_CHECK enum wh_err token_claims_decode(const struct token_rules *rules,
                                              enum token_kind kind,
                                              struct wh_slice payload,
                                              int64_t now_s,
                                              struct wh_arena *arena,
                                              struct token_claims *out_claims,
                                              const char **out_reason);

#endif
