/*
 * Keys of tokens: which algorithms there are, and what is wrong with a key before it is used.
 * Every key is parsed here once with OpenSSL, so that verifying never meets a key of an unknown
 * kind: the family (and for EC the curve) decides which algorithms a token may name.
 */
#ifndef HUB_TOKEN_KEY_H
#define HUB_TOKEN_KEY_H

#include "common/base/buf.h"

#include <openssl/types.h>

#include <stdint.h>

enum token_family { TOKEN_FAMILY_HMAC, TOKEN_FAMILY_RSA, TOKEN_FAMILY_EC, TOKEN_FAMILY_EDDSA };

enum {
    TOKEN_RSA_BITS_MIN = 2048,    /* RFC 7518 §3.3 */
    TOKEN_SECRET_ADVISED_MIN = 32 /* bytes; RFC 7518 §3.2: as long as the hash output */
};

struct token_algorithm {
    const char *name; /* RFC 7518 §3.1, RFC 8037 §3.1; case-sensitive */
    enum token_family family;
};

/* NULL for anything that is not exactly one of the ten names: "none" and "hs256" are not. */
const struct token_algorithm *token_algorithm_find(struct wh_slice name);

struct token_key {
    const char *name; /* the option or file it came from, for people; borrowed */
    enum token_family family;
    const struct token_algorithm *only; /* the one of the curve, or that its issuer pins; NULL =
                                           all of the family */
    char *text;                         /* secret bytes or canonical PEM, NUL behind; owned */
    EVP_PKEY *pkey;                     /* EdDSA, which libjwt does not know; else NULL; owned */
    size_t len;
    int64_t valid_until_s; /* unix seconds; 0 = for ever */
};

/*
 * Fill the zeroed `key` (token_key_deinit frees it).  WH_EINVAL with a sentence in `problem` when
 * it cannot be used; WH_ENOMEM.  A short secret is only warned of: a line that starts with
 * "warning: ".
 */
WH_MUST_CHECK enum wh_err token_key_init_secret(struct token_key *key,
                                                const char *name,
                                                struct wh_slice secret,
                                                struct wh_buf *problem);

/* `pem`: one SubjectPublicKeyInfo ("BEGIN PUBLIC KEY") of exactly `family`. */
WH_MUST_CHECK enum wh_err token_key_init_public(struct token_key *key,
                                                const char *name,
                                                enum token_family family,
                                                const char *pem,
                                                struct wh_buf *problem);

/* `pem`: one private RSA or EC key, to sign with; the family is learned from it. */
WH_MUST_CHECK enum wh_err token_key_init_private(struct token_key *key,
                                                 const char *name,
                                                 const char *pem,
                                                 struct wh_buf *problem);

/* A public RSA, EC or Ed25519 key that is already OpenSSL's, which is only borrowed. */
WH_MUST_CHECK enum wh_err token_key_init_pkey(struct token_key *key,
                                              const char *name,
                                              EVP_PKEY *pkey,
                                              struct wh_buf *problem);

/* Whether `pem` starts with a public EC key: which of the two options it belongs to. */
bool token_key_is_ec(const char *pem);

/* Wipes the key material. */
void token_key_deinit(struct token_key *key);

/* Whether a token of `algorithm` may be verified by, or signed with, this key. */
bool token_key_suits(const struct token_key *key, const struct token_algorithm *algorithm);

#endif
