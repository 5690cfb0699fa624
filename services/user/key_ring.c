#include "services/user/key_ring.h"

#include "common/base/base64.h"
#include "services/user/user_store.h"

#include <openssl/crypto.h>

enum wh_err key_ring_init(struct key_ring *ring, const char *secret, const char *previous_secret)
{
    enum wh_err err = keys_derive(wh_slice_from_str(secret), KEYS_PURPOSE_SEAL, ring->seal);
    ring->has_previous = previous_secret && *previous_secret;
    if (!err && ring->has_previous)
        err =
            keys_derive(wh_slice_from_str(previous_secret), KEYS_PURPOSE_SEAL, ring->previous_seal);
    if (!err && pthread_mutex_init(&ring->lock, NULL) != 0)
        err = WH_ENOMEM;
    return err;
}

void key_ring_deinit(struct key_ring *ring)
{
    wh_buf_deinit(&ring->set);
    OPENSSL_cleanse(ring->seal, sizeof(ring->seal));
    OPENSSL_cleanse(ring->previous_seal, sizeof(ring->previous_seal));
    pthread_mutex_destroy(&ring->lock);
}

void key_ring_publish(struct key_ring *ring, const struct key_rows *keys)
{
    if (keys->count == 0)
        return; /* nobody may take an empty set for the truth */
    pthread_mutex_lock(&ring->lock);
    wh_buf_reset(&ring->set);
    keys_write_set(keys->items, keys->count, &ring->set);
    pthread_mutex_unlock(&ring->lock);
}

bool key_ring_write(struct key_ring *ring, struct wh_buf *out)
{
    pthread_mutex_lock(&ring->lock);
    bool is_there = ring->set.len > 0 && wh_buf_error(&ring->set) == WH_OK;
    if (is_there)
        wh_buf_append_slice(out, wh_buf_slice(&ring->set));
    pthread_mutex_unlock(&ring->lock);
    return is_there;
}

static enum wh_err open_row(const struct key_ring *ring,
                            const struct key_row *row,
                            struct wh_arena *arena,
                            struct wh_buf *out_pem)
{
    struct wh_slice sealed;
    enum wh_err err = wh_base64_decode(WH_BASE64_URL, row->sealed, arena, &sealed);
    if (err)
        return err == WH_EFORMAT ? WH_EDENIED : err;
    err = keys_open(ring->seal, row->kid, sealed, out_pem);
    if (err == WH_EDENIED && ring->has_previous)
        err = keys_open(ring->previous_seal, row->kid, sealed, out_pem);
    return err;
}

enum wh_err key_ring_open(const struct key_ring *ring,
                          const struct key_rows *keys,
                          struct wh_arena *arena,
                          struct wh_buf *out_pem,
                          struct wh_slice *out_kid)
{
    for (size_t i = 0; i < keys->count; i++) {
        if (!keys->items[i].signs)
            continue;
        *out_kid = keys->items[i].kid;
        return open_row(ring, &keys->items[i], arena, out_pem);
    }
    return WH_ENOTFOUND;
}
