#include "services/user/keys.h"

#include "common/base/base64.h"
#include "common/base/random.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/sha.h>

#include <limits.h>
#include <string.h>

enum {
    COORDINATE_BYTES = 32,
    POINT_BYTES = 1 + 2 * COORDINATE_BYTES, /* uncompressed: 04, x, y */
    SEAL_VERSION = 1,
    NONCE_BYTES = 12,
    TAG_BYTES = 16,
    SEAL_OVERHEAD = 1 + NONCE_BYTES + TAG_BYTES,
};

/* ---- pairs ---- */

static enum wh_err write_pem(EVP_PKEY *pkey, struct wh_buf *out)
{
    char *text = NULL;
    BIO *bio = BIO_new(BIO_s_secmem());
    if (bio && PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL) == 1) {
        long len = BIO_get_mem_data(bio, &text);
        if (len > 0)
            wh_buf_append(out, text, (size_t)len);
    }
    BIO_free(bio);
    return out->len > 0 ? wh_buf_error(out) : WH_ENOMEM;
}

/* The members of RFC 7638 §3.2 in their order are what the thumbprint is made of. */
static enum wh_err write_jwk(EVP_PKEY *pkey, struct signing_key *key)
{
    unsigned char point[POINT_BYTES], digest[SHA256_DIGEST_LENGTH];
    size_t len = 0;
    if (EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point),
                                        &len) != 1 ||
        len != sizeof(point))
        return WH_ENOMEM;
    struct wh_buf members = {0}, kid = {0};
    wh_buf_append_str(&members, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"");
    wh_base64_encode(WH_BASE64_URL, wh_slice(point + 1, COORDINATE_BYTES), &members);
    wh_buf_append_str(&members, "\",\"y\":\"");
    wh_base64_encode(WH_BASE64_URL, wh_slice(point + 1 + COORDINATE_BYTES, COORDINATE_BYTES),
                     &members);
    wh_buf_append_str(&members, "\"}");
    SHA256((const unsigned char *)members.ptr, members.len, digest);
    wh_base64_encode(WH_BASE64_URL, wh_slice(digest, sizeof(digest)), &kid);
    enum wh_err err = wh_buf_error(&members) ? WH_ENOMEM : wh_buf_error(&kid);
    if (!err) {
        WH_ASSERT(kid.len == KEYS_KID_LEN);
        memcpy(key->kid, kid.ptr, kid.len);
        wh_buf_append(&key->public_jwk, members.ptr, members.len - 1);
        wh_buf_printf(&key->public_jwk, ",\"kid\":\"%s\",\"alg\":\"ES256\",\"use\":\"sig\"}",
                      key->kid);
        err = wh_buf_error(&key->public_jwk);
    }
    wh_buf_deinit(&members);
    wh_buf_deinit(&kid);
    return err;
}

enum wh_err signing_key_new(struct signing_key *out_key)
{
    EVP_PKEY *pkey = EVP_EC_gen("P-256");
    enum wh_err err = pkey ? write_jwk(pkey, out_key) : WH_ENOMEM;
    if (!err)
        err = write_pem(pkey, &out_key->private_pem);
    EVP_PKEY_free(pkey);
    ERR_clear_error();
    if (err)
        signing_key_deinit(out_key);
    return err;
}

void signing_key_deinit(struct signing_key *key)
{
    if (key->private_pem.ptr)
        OPENSSL_cleanse(key->private_pem.ptr, key->private_pem.cap);
    wh_buf_deinit(&key->private_pem);
    wh_buf_deinit(&key->public_jwk);
    *key = (struct signing_key){0};
}

/* ---- sealing ---- */

enum wh_err keys_derive(struct wh_slice secret,
                        const char *purpose,
                        unsigned char out[KEYS_SEAL_BYTES])
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret.ptr, secret.len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)purpose, strlen(purpose)),
        OSSL_PARAM_construct_end(),
    };
    bool is_derived = ctx && EVP_KDF_derive(ctx, out, KEYS_SEAL_BYTES, params) == 1;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    ERR_clear_error();
    return is_derived ? WH_OK : WH_ENOMEM;
}

enum wh_err keys_seal(const unsigned char key[KEYS_SEAL_BYTES],
                      struct wh_slice context,
                      struct wh_slice plain,
                      struct wh_buf *out)
{
    if (plain.len > INT_MAX || context.len > INT_MAX)
        return WH_ENOMEM;
    unsigned char *at = (unsigned char *)wh_buf_reserve(out, plain.len + SEAL_OVERHEAD);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int count = 0;
    bool is_sealed = false;
    if (at && ctx) {
        unsigned char *nonce = at + 1, *text = nonce + NONCE_BYTES;
        at[0] = SEAL_VERSION;
        wh_random_kernel(nonce, NONCE_BYTES);
        is_sealed =
            EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
            EVP_EncryptUpdate(ctx, NULL, &count, (const unsigned char *)context.ptr,
                              (int)context.len) == 1 &&
            EVP_EncryptUpdate(ctx, text, &count, (const unsigned char *)plain.ptr,
                              (int)plain.len) == 1 &&
            EVP_EncryptFinal_ex(ctx, text + count, &count) == 1 &&
            EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, text + plain.len) == 1;
    }
    if (is_sealed)
        wh_buf_commit(out, plain.len + SEAL_OVERHEAD);
    EVP_CIPHER_CTX_free(ctx);
    ERR_clear_error();
    return is_sealed ? WH_OK : WH_ENOMEM;
}

enum wh_err keys_open(const unsigned char key[KEYS_SEAL_BYTES],
                      struct wh_slice context,
                      struct wh_slice sealed,
                      struct wh_buf *out)
{
    if (sealed.len < SEAL_OVERHEAD || sealed.len > INT_MAX || context.len > INT_MAX ||
        sealed.ptr[0] != SEAL_VERSION)
        return WH_EDENIED;
    const unsigned char *nonce = (const unsigned char *)sealed.ptr + 1;
    size_t len = sealed.len - SEAL_OVERHEAD;
    unsigned char tag[TAG_BYTES];
    memcpy(tag, nonce + NONCE_BYTES + len, TAG_BYTES);
    unsigned char *plain = (unsigned char *)wh_buf_reserve(out, len + 1);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (!plain || !ctx) {
        EVP_CIPHER_CTX_free(ctx);
        return WH_ENOMEM;
    }
    int count = 0;
    bool is_open = EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
                   EVP_DecryptUpdate(ctx, NULL, &count, (const unsigned char *)context.ptr,
                                     (int)context.len) == 1 &&
                   EVP_DecryptUpdate(ctx, plain, &count, nonce + NONCE_BYTES, (int)len) == 1 &&
                   EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, tag) == 1 &&
                   EVP_DecryptFinal_ex(ctx, plain + count, &count) == 1;
    if (is_open)
        wh_buf_commit(out, len);
    else
        OPENSSL_cleanse(plain, len);
    EVP_CIPHER_CTX_free(ctx);
    ERR_clear_error();
    return is_open ? WH_OK : WH_EDENIED;
}

/* ---- the set, and when it changes ---- */

void keys_write_set(const struct key_row *keys, size_t count, struct wh_buf *out)
{
    wh_buf_append_str(out, "{\"keys\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            wh_buf_append_char(out, ',');
        wh_buf_append_slice(out, keys[i].jwk);
    }
    wh_buf_append_str(out, "]}");
}

bool keys_is_due(const struct key_rule *rule,
                 int64_t newest_use_from_ms,
                 int64_t now_ms,
                 int64_t *out_use_from_ms)
{
    if (newest_use_from_ms == 0) {
        *out_use_from_ms = now_ms;
        return true;
    }
    int64_t ends_ms = newest_use_from_ms + (int64_t)rule->lifetime_ms;
    int64_t earliest_ms = now_ms + (int64_t)rule->lead_ms;
    if (ends_ms > earliest_ms)
        return false;
    *out_use_from_ms = earliest_ms;
    return true;
}

int64_t keys_published_until(const struct key_rule *rule, int64_t retired_at_ms)
{
    return retired_at_ms + (int64_t)rule->token_ms + KEYS_SLACK_MS;
}
