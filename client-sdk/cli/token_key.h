/*
 * Keys that sign and verify tokens, from files only.  OpenSSL says what a key
 * is before libjwt sees it: the family decides which algorithms a token may
 * name, so that a public key is never taken for a shared secret.
 */
#ifndef WH_CLI_TOKEN_KEY_H
#define WH_CLI_TOKEN_KEY_H

#include "client-sdk/cli/app.h"

enum token_family { TOKEN_SECRET, TOKEN_RSA, TOKEN_EC };

struct token_key {
    enum token_family family;
    const char *curve_algorithm; /* EC: "ES256", …; else NULL */
    struct wh_slice text;        /* secret or PEM, NUL behind; in the app's arena */
};

/*
 * From --secret-file or --key.  For verifying, a private key is reduced to its public half.
 * WH_EINVAL with the reason told.
 */
WH_MUST_CHECK enum wh_err token_key_load(struct app *app,
                                         bool for_signing,
                                         struct token_key *out_key);

/* Whether tokens of this algorithm ("RS256") may be signed or verified with the key. */
bool token_key_suits(const struct token_key *key, const char *algorithm);

#endif
