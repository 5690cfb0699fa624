/*
 * A public key goes PEM -> EVP_PKEY -> checks -> PEM again: what the verifier gets is the
 * canonical text that OpenSSL wrote, never the operator's file with whatever else it holds.
 * Private keys are refused where a public one belongs, because a hub that holds one leaks more
 * than it must; each refusal says which command makes the right file.
 */
#include "hub/token_key.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <limits.h>
#include <stdlib.h>

static const struct token_algorithm algorithms[] = {
    {"HS256", TOKEN_FAMILY_HMAC},  {"HS384", TOKEN_FAMILY_HMAC}, {"HS512", TOKEN_FAMILY_HMAC},
    {"RS256", TOKEN_FAMILY_RSA},   {"RS384", TOKEN_FAMILY_RSA},  {"RS512", TOKEN_FAMILY_RSA},
    {"ES256", TOKEN_FAMILY_EC},    {"ES384", TOKEN_FAMILY_EC},   {"ES512", TOKEN_FAMILY_EC},
    {"EdDSA", TOKEN_FAMILY_EDDSA},
};

/* ES256 is P-256 with SHA-256 and nothing else (RFC 7518 §3.4); so for the other two. */
static const struct {
    int nid;
    const char *algorithm;
} curves[] = {
    {NID_X9_62_prime256v1, "ES256"},
    {NID_secp384r1, "ES384"},
    {NID_secp521r1, "ES512"},
};

const struct token_algorithm *token_algorithm_find(struct wh_slice name)
{
    for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++)
        if (wh_slice_equal_str(name, algorithms[i].name))
            return &algorithms[i];
    return NULL;
}

bool token_key_suits(const struct token_key *key, const struct token_algorithm *algorithm)
{
    return key->only ? key->only == algorithm : key->family == algorithm->family;
}

void token_key_deinit(struct token_key *key)
{
    if (key->text)
        OPENSSL_cleanse(key->text, key->len);
    free(key->text);
    EVP_PKEY_free(key->pkey);
    *key = (struct token_key){0};
}

static enum wh_err set_text(struct token_key *key, const void *text, size_t len)
{
    key->text = malloc(len + 1);
    if (!key->text)
        return WH_ENOMEM;
    memcpy(key->text, text, len);
    key->text[len] = '\0';
    key->len = len;
    return WH_OK;
}

enum wh_err token_key_init_secret(struct token_key *key,
                                  const char *name,
                                  struct wh_slice secret,
                                  struct wh_buf *problem)
{
    if (secret.len == 0) {
        wh_buf_printf(problem, "%s: is empty: anyone could sign tokens\n", name);
        return WH_EINVAL;
    }
    /* A public PEM as HMAC secret is the oldest JWT hole: the "secret" is known to everyone. */
    if (wh_slice_starts_with(secret, WH_SLICE_LITERAL("-----BEGIN"))) {
        wh_buf_printf(problem,
                      "%s: is a PEM key, not a shared secret: put public keys into "
                      "rsa_public_key or ecdsa_public_key\n",
                      name);
        return WH_EINVAL;
    }
    if (secret.len > INT_MAX) {
        wh_buf_printf(problem, "%s: is too long\n", name);
        return WH_EINVAL;
    }
    if (secret.len < TOKEN_SECRET_ADVISED_MIN)
        wh_buf_printf(problem,
                      "warning: %s: has %zu bytes; fewer than %d can be guessed offline from one "
                      "token (make one: openssl rand -hex 32)\n",
                      name, secret.len, TOKEN_SECRET_ADVISED_MIN);
    key->name = name;
    key->family = TOKEN_FAMILY_HMAC;
    return set_text(key, secret.ptr, secret.len);
}

/* What to say about a PEM block that is not "PUBLIC KEY". */
static void explain_block(const char *name, const char *type, struct wh_buf *problem)
{
    const char *hint = "expected a block that starts with BEGIN PUBLIC KEY";
    if (strstr(type, "PRIVATE KEY"))
        hint = "the hub must only have the public half: openssl pkey -in FILE -pubout";
    else if (strstr(type, "CERTIFICATE"))
        hint = "take the key out of it: openssl x509 -in FILE -noout -pubkey";
    else if (strcmp(type, "RSA PUBLIC KEY") == 0)
        hint = "convert it: openssl rsa -RSAPublicKey_in -in FILE -pubout";
    wh_buf_printf(problem, "%s: holds a %s; %s\n", name, type, hint);
}

/* The key in the DER of a "PUBLIC KEY" block; NULL when it is none or something follows it. */
static EVP_PKEY *decode_public(const unsigned char *der, long len)
{
    const unsigned char *at = der;
    EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, len);
    if (pkey && at == der + len)
        return pkey;
    EVP_PKEY_free(pkey);
    return NULL;
}

/* The key of the first PEM block, which must be "PUBLIC KEY"; NULL with the problem told. */
static EVP_PKEY *read_public(const char *name, BIO *bio, struct wh_buf *problem)
{
    char *type = NULL, *header = NULL;
    unsigned char *der = NULL;
    long len = 0;
    EVP_PKEY *pkey = NULL;
    if (PEM_read_bio(bio, &type, &header, &der, &len) != 1) {
        wh_buf_printf(problem, "%s: is no PEM text (-----BEGIN PUBLIC KEY-----)\n", name);
        return NULL;
    }
    if (strcmp(type, "PUBLIC KEY") != 0)
        explain_block(name, type, problem);
    else if (!(pkey = decode_public(der, len)))
        wh_buf_printf(problem, "%s: the PEM block holds no readable public key\n", name);
    OPENSSL_free(type);
    OPENSSL_free(header);
    OPENSSL_clear_free(der, (size_t)len);
    return pkey;
}

static enum wh_err check_rsa(struct token_key *key, EVP_PKEY *pkey, struct wh_buf *problem)
{
    int bits = EVP_PKEY_get_bits(pkey);
    if (bits >= TOKEN_RSA_BITS_MIN)
        return WH_OK;
    wh_buf_printf(problem, "%s: RSA key of %d bits; at least %d are needed\n", key->name, bits,
                  TOKEN_RSA_BITS_MIN);
    return WH_EINVAL;
}

static enum wh_err check_ec(struct token_key *key, EVP_PKEY *pkey, struct wh_buf *problem)
{
    char group[64] = "of an unnamed curve";
    size_t len = 0;
    EVP_PKEY_get_group_name(pkey, group, sizeof(group), &len);
    int nid = OBJ_txt2nid(group);
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++)
        if (curves[i].nid == nid)
            key->only = token_algorithm_find(wh_slice_from_str(curves[i].algorithm));
    if (key->only)
        return WH_OK;
    wh_buf_printf(problem, "%s: EC key %s; only P-256, P-384 and P-521 have a JWT algorithm\n",
                  key->name, group);
    return WH_EINVAL;
}

/* Learn family and curve of `pkey`; `key->name` is set. */
static enum wh_err check_key(struct token_key *key, EVP_PKEY *pkey, struct wh_buf *problem)
{
    switch (EVP_PKEY_get_base_id(pkey)) {
    case EVP_PKEY_RSA:
        key->family = TOKEN_FAMILY_RSA;
        return check_rsa(key, pkey, problem);
    case EVP_PKEY_EC:
        key->family = TOKEN_FAMILY_EC;
        return check_ec(key, pkey, problem);
    default:
        wh_buf_printf(problem, "%s: is neither an RSA nor an EC key\n", key->name);
        return WH_EINVAL;
    }
}

static enum wh_err set_public_text(struct token_key *key, EVP_PKEY *pkey)
{
    BIO *bio = BIO_new(BIO_s_mem());
    enum wh_err err = WH_ENOMEM;
    if (bio && PEM_write_bio_PUBKEY(bio, pkey) == 1) {
        char *text = NULL;
        long len = BIO_get_mem_data(bio, &text);
        err = set_text(key, text, (size_t)len);
    }
    BIO_free(bio);
    return err;
}

/* Whether there is another PEM block behind the first: then nobody knows which one was meant. */
static bool has_second_block(BIO *bio)
{
    char *type = NULL, *header = NULL;
    unsigned char *data = NULL;
    long len = 0;
    if (PEM_read_bio(bio, &type, &header, &data, &len) != 1)
        return false;
    OPENSSL_free(type);
    OPENSSL_free(header);
    OPENSSL_clear_free(data, (size_t)len);
    return true;
}

static enum wh_err init_public(struct token_key *key,
                               enum token_family family,
                               BIO *bio,
                               struct wh_buf *problem)
{
    EVP_PKEY *pkey = read_public(key->name, bio, problem);
    if (!pkey)
        return WH_EINVAL;
    enum wh_err err = check_key(key, pkey, problem);
    if (!err && key->family != family) {
        wh_buf_printf(problem, "%s: is an %s key; the other option is meant for it\n", key->name,
                      key->family == TOKEN_FAMILY_RSA ? "RSA" : "EC");
        err = WH_EINVAL;
    }
    if (!err && has_second_block(bio)) {
        wh_buf_printf(problem, "%s: holds more than one PEM block; leave only one\n", key->name);
        err = WH_EINVAL;
    }
    if (!err)
        err = set_public_text(key, pkey);
    EVP_PKEY_free(pkey);
    return err;
}

enum wh_err token_key_init_public(struct token_key *key,
                                  const char *name,
                                  enum token_family family,
                                  const char *pem,
                                  struct wh_buf *problem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    if (!bio)
        return WH_ENOMEM;
    key->name = name;
    enum wh_err err = init_public(key, family, bio, problem);
    BIO_free(bio);
    ERR_clear_error();
    if (err)
        token_key_deinit(key);
    return err;
}

enum wh_err token_key_init_pkey(struct token_key *key,
                                const char *name,
                                EVP_PKEY *pkey,
                                struct wh_buf *problem)
{
    enum wh_err err = WH_OK;
    key->name = name;
    if (EVP_PKEY_get_base_id(pkey) == EVP_PKEY_ED25519) {
        key->family = TOKEN_FAMILY_EDDSA;
        EVP_PKEY_up_ref(pkey);
        key->pkey = pkey;
    } else {
        err = check_key(key, pkey, problem);
    }
    if (!err)
        err = set_public_text(key, pkey);
    ERR_clear_error();
    if (err)
        token_key_deinit(key);
    return err;
}

bool token_key_is_ec(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *pkey = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
    bool is_ec = pkey && EVP_PKEY_get_base_id(pkey) == EVP_PKEY_EC;
    EVP_PKEY_free(pkey);
    BIO_free(bio);
    ERR_clear_error();
    return is_ec;
}

enum wh_err token_key_init_private(struct token_key *key,
                                   const char *name,
                                   const char *pem,
                                   struct wh_buf *problem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    if (!bio)
        return WH_ENOMEM;
    key->name = name;
    EVP_PKEY *pkey = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    enum wh_err err = WH_EINVAL;
    if (!pkey)
        wh_buf_printf(problem, "%s: holds no readable PEM private key\n", name);
    else
        err = check_key(key, pkey, problem);
    if (!err)
        err = set_text(key, pem, strlen(pem));
    EVP_PKEY_free(pkey);
    BIO_free(bio);
    ERR_clear_error();
    if (err)
        token_key_deinit(key);
    return err;
}
