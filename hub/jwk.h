/*
 * A JSON Web Key Set (RFC 7517) as keys that verify tokens.  Pure: text in, keys out.
 *
 * Only public keys that are meant to verify signatures are taken: RSA, EC on P-256, P-384 and
 * P-521, and Ed25519, with a `kid`.  Others are skipped, as the RFC asks; each says why.
 */
#ifndef HUB_JWK_H
#define HUB_JWK_H

#include "hub/token_key.h"

enum {
    JWK_SET_BYTES_MAX = 1024 * 1024,
    JWK_KEYS_MAX = 64,       /* those beyond it are skipped */
    JWK_SKIPPED_MAX = 256,   /* past so many bad ones none is even tried: trying costs time */
    JWK_KID_BYTES_MAX = 512, /* a key with a longer one is skipped */
    JWK_RSA_BITS_MAX = 8192  /* a larger one costs whoever verifies more than it protects */
};

struct jwk {
    char *kid; /* NUL behind; owned */
    size_t kid_len;
    struct token_key key;
};

struct jwk_set {
    struct jwk *items;
    size_t count;
    size_t skipped; /* keys in the text that are none of ours */
};

/*
 * WH_EFORMAT when `text` is no JSON object with an array `keys` of objects, or longer than
 * JWK_SET_BYTES_MAX; WH_ENOMEM.  `name` is borrowed by each key.  `problem` gets a line for each
 * key skipped, never with key material.
 */
WH_MUST_CHECK enum wh_err jwk_set_parse(struct wh_slice text,
                                        const char *name,
                                        struct jwk_set *out_set,
                                        struct wh_buf *problem);
void jwk_set_deinit(struct jwk_set *set);

/*
 * The key named `kid` that may verify `algorithm`; NULL when there is none, and then `out_known`
 * says whether a key of that name is there for other algorithms.
 */
const struct token_key *jwk_set_find(const struct jwk_set *set,
                                     struct wh_slice kid,
                                     const struct token_algorithm *algorithm,
                                     bool *out_known);

#endif
