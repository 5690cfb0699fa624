/* Public keys as JWKs, written without the code under test. */
#ifndef TESTS_SUPPORT_FORGE_JWK_H
#define TESTS_SUPPORT_FORGE_JWK_H

#include "tests/support/forge.h"

#include <openssl/core_names.h>

/* ,"NAME":"base64url" */
static inline void forge_jwk_bytes(struct wh_buf *out,
                                   const char *name,
                                   const unsigned char *bytes,
                                   size_t len)
{
    wh_buf_printf(out, ",\"%s\":\"", name);
    wh_base64_encode(WH_BASE64_URL, wh_slice(bytes, len), out);
    wh_buf_append_char(out, '"');
}

static inline void forge_jwk_number(struct wh_buf *out,
                                    const char *name,
                                    EVP_PKEY *key,
                                    const char *param,
                                    int width)
{
    unsigned char bytes[1024];
    BIGNUM *number = NULL;
    if (EVP_PKEY_get_bn_param(key, param, &number) != 1)
        abort();
    int len = width > 0 ? width : BN_num_bytes(number);
    BN_bn2binpad(number, bytes, len);
    BN_free(number);
    forge_jwk_bytes(out, name, bytes, (size_t)len);
}

static inline void forge_jwk_okp(struct wh_buf *out, EVP_PKEY *key, const char *crv)
{
    unsigned char bytes[64];
    size_t len = sizeof(bytes);
    if (EVP_PKEY_get_raw_public_key(key, bytes, &len) != 1)
        abort();
    wh_buf_printf(out, "\"kty\":\"OKP\",\"crv\":\"%s\"", crv);
    forge_jwk_bytes(out, "x", bytes, len);
}

/* {"kty":…,…`more`}: `more` starts with a comma, or is empty. */
static inline void forge_jwk(struct wh_buf *out, EVP_PKEY *key, const char *more)
{
    int bits = EVP_PKEY_get_bits(key), width = (bits + 7) / 8;
    wh_buf_append_char(out, '{');
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
        wh_buf_append_str(out, "\"kty\":\"RSA\"");
        forge_jwk_number(out, "n", key, OSSL_PKEY_PARAM_RSA_N, 0);
        forge_jwk_number(out, "e", key, OSSL_PKEY_PARAM_RSA_E, 0);
        break;
    case EVP_PKEY_EC:
        wh_buf_printf(out, "\"kty\":\"EC\",\"crv\":\"P-%d\"", bits);
        forge_jwk_number(out, "x", key, OSSL_PKEY_PARAM_EC_PUB_X, width);
        forge_jwk_number(out, "y", key, OSSL_PKEY_PARAM_EC_PUB_Y, width);
        break;
    case EVP_PKEY_ED25519:
        forge_jwk_okp(out, key, "Ed25519");
        break;
    default:
        forge_jwk_okp(out, key, "Ed448");
    }
    wh_buf_append_str(out, more);
    wh_buf_append_char(out, '}');
}

#endif
