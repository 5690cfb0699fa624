/*
 * Hostile key sets: whatever an endpoint answers.  What is taken must be usable as it stands: found
 * by its kid, for algorithms of one family only, never for a shared secret.
 */
#include "hub/jwk.h"

#include <openssl/err.h>

#include <stdint.h>

static const char *const algorithms[] = {"HS256", "RS256", "ES256", "ES384", "ES512", "EdDSA"};

static void check_key(const struct jwk_set *set, const struct jwk *item)
{
    unsigned families = 0;
    WH_ASSERT(item->kid_len > 0 && item->kid_len <= JWK_KID_BYTES_MAX);
    WH_ASSERT(item->kid[item->kid_len] == '\0');
    WH_ASSERT(item->key.text && item->key.len > 0);
    WH_ASSERT((item->key.pkey != NULL) == (item->key.family == TOKEN_FAMILY_EDDSA));
    for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++) {
        const struct token_algorithm *algorithm =
            token_algorithm_find(wh_slice_from_str(algorithms[i]));
        bool is_known;
        if (token_key_suits(&item->key, algorithm)) {
            families++;
            WH_ASSERT(i > 0);
            WH_ASSERT(jwk_set_find(set, wh_slice(item->kid, item->kid_len), algorithm, &is_known));
        }
    }
    WH_ASSERT(families <= 1); /* none: an alg such as RS512, which is not in the list */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jwk_set set;
    struct wh_buf problem = {0};
    enum wh_err err = jwk_set_parse(wh_slice(data, size), "fuzz", &set, &problem);
    WH_ASSERT(err == WH_OK || err == WH_EFORMAT);
    WH_ASSERT(ERR_peek_error() == 0);
    if (!err) {
        WH_ASSERT(set.count <= JWK_KEYS_MAX);
        for (size_t i = 0; i < set.count; i++)
            check_key(&set, &set.items[i]);
        jwk_set_deinit(&set);
    }
    wh_buf_deinit(&problem);
    return 0;
}
