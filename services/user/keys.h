/*
 * Keys that sign access tokens: P-256 pairs for ES256 (RFC 7518 §3.4), made
 * here, kept in the database, published as a JWK Set (RFC 7517).
 *
 * The private half is sealed: AES-256-GCM under a key derived from the option
 * token.sealing_secret, bound to its kid, so that a copy of the database signs
 * nothing and rows cannot be exchanged for each other.
 *
 * Rotation: a new key is published for a while before it signs (keys_plan), so
 * that whoever caches the set has it in time; the old one stays published until
 * the last token that it signed has expired.
 *
 * Pure but for randomness; any thread.
 */
#ifndef SERVICES_USER_KEYS_H
#define SERVICES_USER_KEYS_H

#include "common/base/buf.h"

#include <stdbool.h>

enum {
    KEYS_SEAL_BYTES = 32,  /* AES-256 */
    KEYS_KID_LEN = 43,     /* the thumbprint of the public key (RFC 7638) in base64url */
    KEYS_SECRET_MIN = 32,  /* bytes of token.sealing_secret */
    KEYS_SLACK_MS = 60000, /* clocks differ: a dead key is published this much longer */
};

struct signing_key {
    char kid[KEYS_KID_LEN + 1];
    struct wh_buf private_pem; /* PKCS #8; wiped by signing_key_deinit */
    struct wh_buf public_jwk;  /* one JSON object */
};

/* A new pair into the zeroed `out_key`.  WH_ENOMEM, also for whatever else OpenSSL lacks. */
WH_MUST_CHECK enum wh_err signing_key_new(struct signing_key *out_key);
void signing_key_deinit(struct signing_key *key);

/*
 * A key for one purpose out of the operator's secret (HKDF-SHA256, RFC 5869; the secret is as good
 * as random, its length is checked by the options).  One secret thus serves sealing and more.
 */
#define KEYS_PURPOSE_SEAL    "wirehub-user signing-key seal v1"
#define KEYS_PURPOSE_REFRESH "wirehub-user refresh successor v1"
WH_MUST_CHECK enum wh_err keys_derive(struct wh_slice secret,
                                      const char *purpose,
                                      unsigned char out[KEYS_SEAL_BYTES]);

/*
 * Append the sealed form of `plain`: version (1 byte), nonce (12), ciphertext, tag (16).  `context`
 * (the kid) must be the same to open it.  WH_ENOMEM.
 */
WH_MUST_CHECK enum wh_err keys_seal(const unsigned char key[KEYS_SEAL_BYTES],
                                    struct wh_slice context,
                                    struct wh_slice plain,
                                    struct wh_buf *out);

/*
 * Append what was sealed.  WH_EDENIED: another key, another context, or changed; then nothing of
 * it is in `out`.  WH_ENOMEM.  The caller wipes `out`.
 */
WH_MUST_CHECK enum wh_err keys_open(const unsigned char key[KEYS_SEAL_BYTES],
                                    struct wh_slice context,
                                    struct wh_slice sealed,
                                    struct wh_buf *out);

/* A key as the database has it. */
struct key_row {
    struct wh_slice kid;
    struct wh_slice jwk;
    struct wh_slice sealed; /* base64url */
    int64_t use_from_ms;
    bool signs; /* the one that signs now */
};

/* {"keys":[…]} of the public halves. */
void keys_write_set(const struct key_row *keys, size_t count, struct wh_buf *out);

/* Times in ms since 1970. */
struct key_rule {
    uint64_t lifetime_ms; /* how long a key signs; at least twice lead_ms */
    uint64_t lead_ms;     /* how long it is published before that */
    uint64_t token_ms;    /* how long what it signed is good */
};

/*
 * Whether a new key is due, and from when on it signs, when the newest one signs from
 * `newest_use_from_ms` on (0 = there is none yet: the first key signs at once).
 */
bool keys_is_due(const struct key_rule *rule,
                 int64_t newest_use_from_ms,
                 int64_t now_ms,
                 int64_t *out_use_from_ms);

/* Until when a key is published whose successor signs from `retired_at_ms` on. */
int64_t keys_published_until(const struct key_rule *rule, int64_t retired_at_ms);

#endif
