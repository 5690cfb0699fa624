/*
 * A token is checked from the outside in, and libjwt is asked one question only: is this the
 * signature of this key?  Everything else it leaves open or answers loosely, so we answer it
 * before or after:
 *
 *   - it takes the algorithm from the token, so that an HS256 token "signed" with a public PEM
 *     would pass: the header is read here, the algorithm picks keys of its own family, and each
 *     key is tried in a call of its own;
 *   - it accepts "hs256", ignores `crit`, and decodes base64 leniently: all refused here;
 *   - without a key it accepts everything: a verifier holds no empty key, which is asserted;
 *   - it checks neither exp, nbf, aud nor iss: token_claims.c does, from the signed bytes.
 *
 * `jku`, `x5u`, `x5c` and `jwk` are what a token says about its own key: never looked at.  `kid`
 * only ever picks one of the keys of the configured JWKS endpoint.
 */
#include "hub/auth.h"

#include "common/base/base64.h"
#include "common/io/http_client.h"
#include "common/protocol/json.h"
#include "hub/token_claims.h"
#include "hub/token_key.h"

#include <jwt.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include <stdlib.h>

enum { KEYS_MAX = 4 }; /* secret, previous secret, RSA, EC */

static const char reason_algorithm[] = "algorithm";
static const char reason_format[] = "format";
static const char reason_no_key[] = "no_key";
static const char reason_signature[] = "signature";
static const char reason_unavailable[] = "unavailable";

struct token_verifier {
    struct token_key keys[KEYS_MAX]; /* in the order in which they are tried */
    size_t key_count;
    char *endpoint;    /* owned; NULL unless the keys are at a JWKS endpoint, and only there */
    struct jwks *jwks; /* a reference; NULL until token_verifier_use_jwks */
    struct token_rules rules;
};

/* ---- keys ---- */

static bool is_set(const char *option)
{
    return option && *option;
}

static enum wh_err add_secret(struct token_verifier *verifier,
                              const char *name,
                              const char *secret,
                              int64_t valid_until_s,
                              struct wh_buf *problem)
{
    if (!is_set(secret))
        return WH_OK;
    struct token_key *key = &verifier->keys[verifier->key_count];
    enum wh_err err = token_key_init_secret(key, name, wh_slice_from_str(secret), problem);
    if (err)
        return err;
    key->valid_until_s = valid_until_s;
    verifier->key_count++;
    return WH_OK;
}

static enum wh_err add_public(struct token_verifier *verifier,
                              const char *name,
                              enum token_family family,
                              const char *pem,
                              struct wh_buf *problem)
{
    if (!is_set(pem))
        return WH_OK;
    struct token_key *key = &verifier->keys[verifier->key_count];
    enum wh_err err = token_key_init_public(key, name, family, pem, problem);
    if (!err)
        verifier->key_count++;
    return err;
}

/* Run every step, so that all problems are told at once; the first error counts. */
static void keep_first(enum wh_err *err, enum wh_err next)
{
    if (*err == WH_OK)
        *err = next;
}

static enum wh_err check_options(const struct token_config *config, struct wh_buf *problem)
{
    if (is_set(config->hmac_previous_secret_key) && !is_set(config->hmac_secret_key)) {
        wh_buf_append_str(problem,
                          "hmac_previous_secret_key: is set without hmac_secret_key; a previous "
                          "secret only bridges a change of secrets\n");
        return WH_EINVAL;
    }
    return WH_OK;
}

static enum wh_err set_endpoint(struct token_verifier *verifier,
                                const char *url,
                                struct wh_buf *problem)
{
    if (!wh_http_url_is_valid(url)) {
        wh_buf_append_str(problem, "jwks_public_endpoint: is no http:// or https:// URL\n");
        return WH_EINVAL;
    }
    verifier->endpoint = strdup(url);
    return verifier->endpoint ? WH_OK : WH_ENOMEM;
}

static enum wh_err add_keys(struct token_verifier *verifier,
                            const struct token_config *config,
                            struct wh_buf *problem)
{
    enum wh_err err = check_options(config, problem);
    keep_first(&err, add_secret(verifier, "hmac_secret_key", config->hmac_secret_key, 0, problem));
    keep_first(&err,
               add_secret(verifier, "hmac_previous_secret_key", config->hmac_previous_secret_key,
                          config->hmac_previous_secret_key_valid_until, problem));
    keep_first(&err, add_public(verifier, "rsa_public_key", TOKEN_FAMILY_RSA,
                                config->rsa_public_key, problem));
    keep_first(&err, add_public(verifier, "ecdsa_public_key", TOKEN_FAMILY_EC,
                                config->ecdsa_public_key, problem));
    return err;
}

static enum wh_err verifier_init(struct token_verifier *verifier,
                                 const struct token_config *config,
                                 struct wh_buf *problem)
{
    enum wh_err err = is_set(config->jwks_public_endpoint)
                          ? set_endpoint(verifier, config->jwks_public_endpoint, problem)
                          : add_keys(verifier, config, problem);
    keep_first(&err, token_rules_init(&verifier->rules, config, problem));
    return err;
}

enum wh_err token_verifier_new(const struct token_config *config,
                               struct token_verifier **out_verifier,
                               struct wh_buf *out_problem)
{
    struct token_verifier *verifier = calloc(1, sizeof(*verifier));
    if (!verifier)
        return WH_ENOMEM;
    enum wh_err err = verifier_init(verifier, config, out_problem);
    if (err) {
        token_verifier_free(verifier);
        return err;
    }
    *out_verifier = verifier;
    return WH_OK;
}

void token_verifier_free(struct token_verifier *verifier)
{
    if (!verifier)
        return;
    for (size_t i = 0; i < verifier->key_count; i++)
        token_key_deinit(&verifier->keys[i]);
    jwks_release(verifier->jwks);
    free(verifier->endpoint);
    token_rules_deinit(&verifier->rules);
    free(verifier);
}

enum wh_err token_verifier_use_jwks(struct token_verifier *verifier, struct jwks_pool *pool)
{
    WH_ASSERT(!verifier->jwks);
    return verifier->endpoint ? jwks_open(pool, verifier->endpoint, &verifier->jwks) : WH_OK;
}

const char *token_verifier_problem(const struct token_verifier *verifier)
{
    return verifier->jwks ? jwks_problem(verifier->jwks) : "";
}

/* ---- the three segments ---- */

struct segments {
    struct wh_slice header, payload, signature; /* decoded, in the arena */
    const char *text;                           /* the whole token, NUL-terminated, in the arena */
};

/* Cut the segment before the next dot off `*rest`; false when there is no dot. */
static bool cut(struct wh_slice *rest, struct wh_slice *out_segment)
{
    const char *dot = memchr(rest->ptr, '.', rest->len);
    if (!dot)
        return false;
    *out_segment = wh_slice(rest->ptr, (size_t)(dot - rest->ptr));
    *rest = wh_slice_from(*rest, out_segment->len + 1);
    return true;
}

/* Exactly three segments, none empty, each strict base64url; a third dot is no base64url. */
static enum wh_err split(struct wh_slice token, struct wh_arena *arena, struct segments *out)
{
    if (!token.ptr || token.len > TOKEN_BYTES_MAX)
        return WH_EFORMAT;
    struct wh_slice copy = wh_arena_copy(arena, token);
    if (!copy.ptr)
        return WH_ENOMEM;
    struct wh_slice header, payload, signature = copy;
    if (!cut(&signature, &header) || !cut(&signature, &payload))
        return WH_EFORMAT;
    if (header.len == 0 || payload.len == 0 || signature.len == 0)
        return WH_EFORMAT;
    out->text = copy.ptr;
    enum wh_err err = wh_base64_decode(WH_BASE64_URL, header, arena, &out->header);
    if (!err)
        err = wh_base64_decode(WH_BASE64_URL, payload, arena, &out->payload);
    if (!err)
        err = wh_base64_decode(WH_BASE64_URL, signature, arena, &out->signature);
    return err;
}

/* ---- the header ---- */

/* Of duplicates the last counts, as libjwt reads `alg`. */
struct header {
    struct wh_slice alg;
    struct wh_slice kid; /* absent unless it is a string */
};

static enum wh_err read_kid(struct wh_json_reader *reader,
                            struct wh_arena *arena,
                            struct wh_slice *out_kid)
{
    enum wh_json_type type;
    enum wh_err err = wh_json_peek(reader, &type);
    if (err)
        return err;
    *out_kid = WH_SLICE_ABSENT;
    return type == WH_JSON_STRING ? wh_json_read_string(reader, arena, out_kid)
                                  : wh_json_skip(reader, NULL);
}

/*
 * One member of the header.  `crit` lists extensions that must be understood (RFC 7515 §4.1.11);
 * we understand none, so its presence is enough to refuse.
 */
static enum wh_err read_header_member(struct wh_json_reader *reader,
                                      struct wh_slice key,
                                      struct wh_arena *arena,
                                      struct header *header)
{
    if (wh_slice_equal_str(key, "crit"))
        return WH_EUNSUPPORTED;
    if (wh_slice_equal_str(key, "kid"))
        return read_kid(reader, arena, &header->kid);
    if (!wh_slice_equal_str(key, "alg"))
        return wh_json_skip(reader, NULL);
    return wh_json_read_string(reader, arena, &header->alg);
}

static enum wh_err read_header(struct wh_slice text, struct wh_arena *arena, struct header *header)
{
    struct wh_json_reader reader;
    wh_json_reader_init(&reader, text);
    enum wh_err err = wh_json_enter(&reader, WH_JSON_OBJECT);
    while (!err) {
        struct wh_slice key;
        err = wh_json_next_member(&reader, arena, &key);
        if (!err)
            err = read_header_member(&reader, key, arena, header);
    }
    return err == WH_EEND ? wh_json_finish(&reader) : err;
}

static enum wh_err decode_header(struct wh_slice text,
                                 struct wh_arena *arena,
                                 struct header *header,
                                 const struct token_algorithm **out_algorithm,
                                 const char **out_reason)
{
    *out_reason = reason_format;
    if (read_header(text, arena, header))
        return WH_EDENIED;
    *out_reason = reason_algorithm;
    *out_algorithm = token_algorithm_find(header->alg);
    return *out_algorithm ? WH_OK : WH_EDENIED;
}

/* ---- the signature ---- */

/* HS*, RS* and ES*: libjwt. */
static bool is_signed_classic(const struct token_key *key,
                              const struct token_algorithm *algorithm,
                              const char *token)
{
    jwt_t *jwt = NULL;
    bool is_signed =
        jwt_decode(&jwt, token, (const unsigned char *)key->text, (int)key->len) == 0 && jwt &&
        strcmp(jwt_alg_str(jwt_get_alg(jwt)), algorithm->name) == 0;
    jwt_free(jwt);
    return is_signed;
}

/* Ed25519 (RFC 8037 §3.1), which libjwt 1.10 does not know: over the text before the last dot. */
static bool is_signed_eddsa(const struct token_key *key, const struct segments *segments)
{
    const char *dot = strrchr(segments->text, '.');
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool is_signed =
        ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key->pkey) == 1 &&
        EVP_DigestVerify(ctx, (const unsigned char *)segments->signature.ptr,
                         segments->signature.len, (const unsigned char *)segments->text,
                         (size_t)(dot - segments->text)) == 1;
    EVP_MD_CTX_free(ctx);
    return is_signed;
}

/*
 * One key, one question.  OpenSSL's error queue is emptied behind it: an entry left there would
 * make the next TLS read or write of this thread look broken.
 */
static bool is_signed_by(const struct token_key *key,
                         const struct token_algorithm *algorithm,
                         const struct segments *segments)
{
    WH_ASSERT(key->text && key->len > 0 && token_key_suits(key, algorithm));
    bool is_signed = algorithm->family == TOKEN_FAMILY_EDDSA
                         ? is_signed_eddsa(key, segments)
                         : is_signed_classic(key, algorithm, segments->text);
    ERR_clear_error();
    return is_signed;
}

static bool is_in_use(const struct token_key *key, int64_t now_s)
{
    return key->valid_until_s == 0 || now_s < key->valid_until_s;
}

/* The endpoint's key that the token names, if it made the signature. */
static enum wh_err find_jwks_signer(const struct token_verifier *verifier,
                                    const struct token_algorithm *algorithm,
                                    struct wh_slice kid,
                                    const struct segments *segments,
                                    const struct token_key **out_key,
                                    const char **out_reason)
{
    *out_reason = reason_no_key;
    if (kid.len == 0)
        return WH_EDENIED;
    const struct token_key *key = NULL;
    enum wh_err err =
        verifier->jwks ? jwks_find(verifier->jwks, kid, algorithm, &key) : WH_EUNAVAILABLE;
    if (err == WH_EUNAVAILABLE) {
        *out_reason = reason_unavailable;
        return err;
    }
    if (err) {
        *out_reason = err == WH_EUNSUPPORTED ? reason_algorithm : reason_no_key;
        return WH_EDENIED;
    }
    *out_reason = reason_signature;
    if (!is_signed_by(key, algorithm, segments))
        return WH_EDENIED;
    *out_key = key;
    return WH_OK;
}

/* The first configured key that may verify `algorithm` and does; else WH_EDENIED. */
static enum wh_err find_signer(const struct token_verifier *verifier,
                               const struct token_algorithm *algorithm,
                               const struct segments *segments,
                               int64_t now_s,
                               const struct token_key **out_key,
                               const char **out_reason)
{
    *out_reason = reason_no_key;
    for (size_t i = 0; i < verifier->key_count; i++) {
        const struct token_key *key = &verifier->keys[i];
        if (key->family != algorithm->family || !is_in_use(key, now_s))
            continue;
        if (!token_key_suits(key, algorithm)) {
            *out_reason = reason_algorithm;
            continue;
        }
        if (is_signed_by(key, algorithm, segments)) {
            *out_key = key;
            return WH_OK;
        }
        *out_reason = reason_signature;
    }
    return WH_EDENIED;
}

bool token_verifier_wait(const struct token_verifier *verifier,
                         struct wh_slice token,
                         struct wh_arena *arena,
                         struct jwks_waiter *waiter)
{
    const struct token_algorithm *algorithm = NULL;
    const struct token_key *key = NULL;
    const char *reason = NULL;
    struct segments segments;
    struct header header = {0};
    return verifier->jwks && split(token, arena, &segments) == WH_OK &&
           decode_header(segments.header, arena, &header, &algorithm, &reason) == WH_OK &&
           header.kid.len > 0 &&
           jwks_find(verifier->jwks, header.kid, algorithm, &key) == WH_EUNAVAILABLE &&
           jwks_wait(verifier->jwks, waiter) == WH_OK;
}

enum wh_err token_verify_signature(const struct token_verifier *verifier,
                                   struct wh_slice token,
                                   int64_t now_s,
                                   struct wh_arena *arena,
                                   struct token_signature *out_signature,
                                   const char **out_reason)
{
    const char *reason = reason_format;
    const struct token_algorithm *algorithm = NULL;
    const struct token_key *key = NULL;
    struct segments segments;
    struct header header = {0};
    enum wh_err err = split(token, arena, &segments);
    if (!err)
        err = decode_header(segments.header, arena, &header, &algorithm, &reason);
    if (!err && verifier->endpoint)
        err = find_jwks_signer(verifier, algorithm, header.kid, &segments, &key, &reason);
    else if (!err)
        err = find_signer(verifier, algorithm, &segments, now_s, &key, &reason);
    if (err) {
        if (out_reason)
            *out_reason = reason;
        return err == WH_EUNAVAILABLE ? err : WH_EDENIED;
    }
    out_signature->payload = segments.payload;
    out_signature->key_name = key->name;
    out_signature->algorithm = algorithm->name;
    return WH_OK;
}

enum wh_err token_verify(const struct token_verifier *verifier,
                         enum token_kind kind,
                         struct wh_slice token,
                         int64_t now_s,
                         struct wh_arena *arena,
                         struct token_claims *out_claims,
                         const char **out_reason)
{
    struct token_signature signature;
    const char *reason = NULL;
    enum wh_err err = token_verify_signature(verifier, token, now_s, arena, &signature, &reason);
    if (!err)
        err = token_claims_decode(&verifier->rules, kind, signature.payload, now_s, arena,
                                  out_claims, &reason);
    if (err && out_reason)
        *out_reason = reason;
    return err;
}

/* ---- signing ---- */

static enum wh_err sign(jwt_t *jwt, jwt_alg_t alg, struct wh_slice key, struct wh_buf *out)
{
    if (jwt_set_alg(jwt, alg, (const unsigned char *)key.ptr, (int)key.len) != 0)
        return WH_EINVAL;
    char *token = jwt_encode_str(jwt);
    if (!token)
        return WH_EINVAL;
    wh_buf_append_str(out, token);
    free(token);
    return wh_buf_error(out);
}

enum wh_err token_sign(const char *algorithm,
                       struct wh_slice key,
                       const char *claims,
                       struct wh_buf *out)
{
    const struct token_algorithm *known = token_algorithm_find(wh_slice_from_str(algorithm));
    if (!known || known->family == TOKEN_FAMILY_EDDSA)
        return WH_EUNSUPPORTED;
    if (key.len == 0)
        return WH_EINVAL;
    jwt_t *jwt = NULL;
    if (jwt_new(&jwt) != 0)
        return WH_ENOMEM;
    enum wh_err err = WH_EINVAL;
    if (jwt_add_grants_json(jwt, claims) == 0)
        err = sign(jwt, jwt_str_alg(algorithm), key, out);
    jwt_free(jwt);
    ERR_clear_error();
    return err;
}
