#include "client-sdk/cli/token_key.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pem.h>

enum { KEY_BYTES_MAX = 64 * 1024, RSA_BITS_MIN = 2048 /* RFC 7518 §3.3 */ };

static const struct {
    int nid;
    const char *algorithm;
} curves[] = {
    {NID_X9_62_prime256v1, "ES256"},
    {NID_secp384r1, "ES384"},
    {NID_secp521r1, "ES512"},
};

static enum wh_err refuse(struct app *app, const char *path, const char *why)
{
    app_complain(app, CLI_USAGE, "%s: %s", path, why);
    return WH_EINVAL;
}

static enum wh_err load_secret(struct app *app, const char *path, struct token_key *key)
{
    struct wh_slice text = {0};
    if (app_read_file(app, path, KEY_BYTES_MAX, &text))
        return WH_EINVAL;
    while (text.len > 0 && (text.ptr[text.len - 1] == '\n' || text.ptr[text.len - 1] == '\r'))
        text.len--;
    if (text.len == 0)
        return refuse(app, path, "is empty: anyone could sign tokens");
    if (wh_slice_starts_with(text, WH_SLICE_LITERAL("-----BEGIN")))
        return refuse(app, path, "is a PEM key, not a shared secret: --key takes those");
    *key = (struct token_key){.family = TOKEN_SECRET, .text = text};
    return WH_OK;
}

static EVP_PKEY *parse(struct wh_slice pem, bool *out_is_private)
{
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    EVP_PKEY *pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    *out_is_private = pkey != NULL;
    BIO_free(bio);
    if (!pkey && (bio = BIO_new_mem_buf(pem.ptr, (int)pem.len)) != NULL) {
        pkey = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
        BIO_free(bio);
    }
    ERR_clear_error();
    return pkey;
}

/* What kind of key it is; NULL when it will do, else why not. */
static const char *judge(EVP_PKEY *pkey, struct token_key *key)
{
    char group[64] = "";
    size_t len = 0;
    if (EVP_PKEY_get_base_id(pkey) == EVP_PKEY_RSA) {
        key->family = TOKEN_RSA;
        return EVP_PKEY_get_bits(pkey) >= RSA_BITS_MIN ? NULL : "RSA keys need 2048 bits at least";
    }
    if (EVP_PKEY_get_base_id(pkey) != EVP_PKEY_EC)
        return "is neither an RSA nor an EC key";
    key->family = TOKEN_EC;
    EVP_PKEY_get_group_name(pkey, group, sizeof(group), &len);
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++)
        if (curves[i].nid == OBJ_txt2nid(group))
            key->curve_algorithm = curves[i].algorithm;
    return key->curve_algorithm ? NULL : "only P-256, P-384 and P-521 have a JWT algorithm";
}

static enum wh_err write_public(struct app *app, EVP_PKEY *pkey, struct wh_slice *out_pem)
{
    BIO *bio = BIO_new(BIO_s_mem());
    enum wh_err err = WH_ENOMEM;
    if (bio && PEM_write_bio_PUBKEY(bio, pkey) == 1) {
        char *text = NULL;
        long len = BIO_get_mem_data(bio, &text);
        *out_pem = wh_arena_copy(&app->arena, wh_slice(text, (size_t)len));
        err = out_pem->ptr ? WH_OK : WH_ENOMEM;
    }
    BIO_free(bio);
    return err;
}

static enum wh_err load_pem(struct app *app,
                            const char *path,
                            bool for_signing,
                            struct token_key *key)
{
    bool is_private = false;
    if (app_read_file(app, path, KEY_BYTES_MAX, &key->text))
        return WH_EINVAL;
    EVP_PKEY *pkey = parse(key->text, &is_private);
    const char *why = pkey ? judge(pkey, key) : "holds no key in PEM that can be read";
    if (!why && for_signing && !is_private)
        why = "is a public key; signing needs the private one";
    enum wh_err err = WH_OK;
    if (why)
        err = refuse(app, path, why);
    else if (!for_signing)
        err = write_public(app, pkey, &key->text);
    EVP_PKEY_free(pkey);
    ERR_clear_error();
    return err;
}

enum wh_err token_key_load(struct app *app, bool for_signing, struct token_key *out_key)
{
    const struct settings *settings = &app->settings;
    struct token_key key = {0};
    enum wh_err err;
    if (settings->secret_file && settings->key_file)
        return refuse(app, "--secret-file and --key", "only one of them");
    err = settings->secret_file ? load_secret(app, settings->secret_file, &key)
                                : load_pem(app, settings->key_file, for_signing, &key);
    if (!err)
        *out_key = key;
    return err;
}

bool token_key_suits(const struct token_key *key, const char *algorithm)
{
    static const char *const prefixes[] = {
        [TOKEN_SECRET] = "HS", [TOKEN_RSA] = "RS", [TOKEN_EC] = "ES"};
    static const char *const sizes[] = {"256", "384", "512"};
    if (key->family == TOKEN_EC)
        return strcmp(algorithm, key->curve_algorithm) == 0;
    if (strncmp(algorithm, prefixes[key->family], 2) != 0)
        return false;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        if (strcmp(algorithm + 2, sizes[i]) == 0)
            return true;
    return false;
}
