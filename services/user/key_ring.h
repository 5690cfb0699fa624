/*
 * The signing keys of the database as this instance sees them: the published
 * set, which is served from memory so that it is there when PostgreSQL is not,
 * and the key that signs now.
 *
 * A key is read again for each token, so that all instances follow a rotation
 * at once; what it costs is small beside a password's hash.
 *
 * Any thread; the set has a lock.
 */
#ifndef SERVICES_USER_KEY_RING_H
#define SERVICES_USER_KEY_RING_H

#include "services/core/service.h"
#include "services/user/keys.h"

#include <pthread.h>

struct key_rows;

struct key_ring {
    pthread_mutex_t lock;
    struct wh_buf set; /* under the lock: the JWK Set; empty = not read yet */
    unsigned char seal[KEYS_SEAL_BYTES];
    unsigned char previous_seal[KEYS_SEAL_BYTES];
    bool has_previous;
};

/* `previous_secret` may be NULL.  WH_ENOMEM. */
WH_MUST_CHECK enum wh_err key_ring_init(struct key_ring *ring,
                                        const char *secret,
                                        const char *previous_secret);
void key_ring_deinit(struct key_ring *ring);

/* Publish exactly these. */
void key_ring_publish(struct key_ring *ring, const struct key_rows *keys);

/* Append the set; false when there is none yet. */
bool key_ring_write(struct key_ring *ring, struct wh_buf *out);

/*
 * The private key of the one that signs, appended to `out_pem` (NUL-terminated by wh_buf_cstr; the
 * caller wipes it), and its name, borrowed from `keys`.
 * WH_ENOTFOUND: none signs yet; WH_EDENIED: sealed with another secret; WH_ENOMEM.
 */
WH_MUST_CHECK enum wh_err key_ring_open(const struct key_ring *ring,
                                        const struct key_rows *keys,
                                        struct wh_arena *arena,
                                        struct wh_buf *out_pem,
                                        struct wh_slice *out_kid);

#endif
