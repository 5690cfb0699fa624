/*
 * Each key: (1) its members are read into a struct, all as they stand; (2) pure rules say whether
 * it is one for verifying; (3) its numbers become an EVP_PKEY, which OpenSSL checks (a point must
 * be on its curve); (4) token_key checks it as it checks a configured PEM and makes what libjwt
 * takes.  A key that fails is skipped alone, so that one new kind of key in a set does not
 * disable the others.
 */
#include "hub/jwk.h"

#include "common/base/base64.h"
#include "common/protocol/json.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include <stdlib.h>

enum {
    ARENA_BYTES_MAX = 4 * JWK_SET_BYTES_MAX,
    PROBLEM_LINES_MAX = 16,
    COORDINATE_BYTES_MAX = 66, /* P-521 */
    RSA_EXPONENT_BYTES_MAX = 8,
    ED25519_BYTES = 32
};

/* The members that count; absent slices for those that are not there. */
struct members {
    struct wh_slice kty, kid, use, alg, crv, n, e, x, y;
    bool has_key_ops;
    bool may_verify;  /* key_ops has "verify" */
    bool has_private; /* it is a private or a symmetric key */
};

static const struct curve {
    const char *crv;
    const char *group; /* OpenSSL's name */
    size_t bytes;      /* of a coordinate: RFC 7518 §6.2.1.2 wants exactly so many */
} curves[] = {
    {"P-256", "prime256v1", 32},
    {"P-384", "secp384r1", 48},
    {"P-521", "secp521r1", 66},
};

/* ---- reading ---- */

static enum wh_err read_key_ops(struct wh_json_reader *reader,
                                struct wh_arena *arena,
                                struct members *members)
{
    enum wh_err err = wh_json_enter(reader, WH_JSON_ARRAY);
    members->has_key_ops = true;
    members->may_verify = false;
    while (!err) {
        struct wh_slice operation;
        err = wh_json_next_item(reader);
        if (!err)
            err = wh_json_read_string(reader, arena, &operation);
        if (!err && wh_slice_equal_str(operation, "verify"))
            members->may_verify = true;
    }
    return err == WH_EEND ? WH_OK : err;
}

static struct wh_slice *find_member(struct members *members, struct wh_slice name)
{
    const struct {
        const char *name;
        struct wh_slice *place;
    } rows[] = {
        {"kty", &members->kty}, {"kid", &members->kid}, {"use", &members->use},
        {"alg", &members->alg}, {"crv", &members->crv}, {"n", &members->n},
        {"e", &members->e},     {"x", &members->x},     {"y", &members->y},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (wh_slice_equal_str(name, rows[i].name))
            return rows[i].place;
    return NULL;
}

static enum wh_err read_member(struct wh_json_reader *reader,
                               struct wh_slice name,
                               struct wh_arena *arena,
                               struct members *members)
{
    struct wh_slice *place = find_member(members, name);
    if (place)
        return wh_json_read_string(reader, arena, place);
    if (wh_slice_equal_str(name, "key_ops"))
        return read_key_ops(reader, arena, members);
    if (wh_slice_equal_str(name, "d") || wh_slice_equal_str(name, "k"))
        members->has_private = true;
    return wh_json_skip(reader, NULL);
}

/* One key out of its raw text, of which is known that it is valid JSON.  WH_EFORMAT: a member that
 * counts has a wrong type. */
static enum wh_err read_key(struct wh_slice raw, struct wh_arena *arena, struct members *members)
{
    struct wh_json_reader reader;
    wh_json_reader_init(&reader, raw);
    enum wh_err err = wh_json_enter(&reader, WH_JSON_OBJECT);
    while (!err) {
        struct wh_slice name;
        err = wh_json_next_member(&reader, arena, &name);
        if (!err)
            err = read_member(&reader, name, arena, members);
    }
    return err == WH_EEND ? WH_OK : err;
}

/* ---- rules ---- */

/* Why the key is not for us, before its numbers are looked at; NULL when it is. */
static const char *find_objection(const struct members *members)
{
    if (members->kid.len == 0)
        return "has no kid";
    if (members->kid.len > JWK_KID_BYTES_MAX)
        return "has a kid that is too long";
    if (members->has_private)
        return "is a secret, which must not be published";
    if (members->use.ptr && !wh_slice_equal_str(members->use, "sig"))
        return "is not for signatures (use)";
    if (members->has_key_ops && !members->may_verify)
        return "is not for verifying (key_ops)";
    return NULL;
}

/* ---- OpenSSL ---- */

static EVP_PKEY *from_params(const char *type, OSSL_PARAM *params)
{
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
        pkey = NULL;
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

/* The exponent has few bytes and is odd and above 1: with 1 anybody could sign. */
static bool is_exponent(struct wh_slice e)
{
    if (e.len == 0 || e.len > RSA_EXPONENT_BYTES_MAX)
        return false;
    uint64_t number = 0;
    for (size_t i = 0; i < e.len; i++)
        number = number << 8 | (unsigned char)e.ptr[i];
    return number > 1 && number % 2 == 1;
}

static EVP_PKEY *make_rsa(struct wh_slice n, struct wh_slice e)
{
    if (n.len == 0 || n.len > JWK_RSA_BITS_MAX / 8 || !is_exponent(e))
        return NULL;
    EVP_PKEY *pkey = NULL;
    OSSL_PARAM *params = NULL;
    BIGNUM *modulus = BN_bin2bn((const unsigned char *)n.ptr, (int)n.len, NULL);
    BIGNUM *exponent = BN_bin2bn((const unsigned char *)e.ptr, (int)e.len, NULL);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    if (modulus && BN_is_odd(modulus) && exponent && builder &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent) == 1)
        params = OSSL_PARAM_BLD_to_param(builder);
    if (params)
        pkey = from_params("RSA", params);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    BN_free(modulus);
    BN_free(exponent);
    return pkey;
}

static const struct curve *find_curve(struct wh_slice crv)
{
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++)
        if (wh_slice_equal_str(crv, curves[i].crv))
            return &curves[i];
    return NULL;
}

static EVP_PKEY *make_ec(struct wh_slice crv, struct wh_slice x, struct wh_slice y)
{
    const struct curve *curve = find_curve(crv);
    if (!curve || x.len != curve->bytes || y.len != curve->bytes)
        return NULL;
    unsigned char point[1 + 2 * COORDINATE_BYTES_MAX] = {POINT_CONVERSION_UNCOMPRESSED};
    memcpy(point + 1, x.ptr, x.len);
    memcpy(point + 1 + x.len, y.ptr, y.len);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME,
                                         (char *)(uintptr_t)curve->group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * curve->bytes),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY *pkey = from_params("EC", params);
    EVP_PKEY_CTX *ctx = pkey ? EVP_PKEY_CTX_new(pkey, NULL) : NULL;
    /* Quick: of a curve with cofactor 1 every point has the right order. */
    if (!ctx || EVP_PKEY_public_check_quick(ctx) != 1) {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

static EVP_PKEY *make_okp(struct wh_slice crv, struct wh_slice x)
{
    if (!wh_slice_equal_str(crv, "Ed25519") || x.len != ED25519_BYTES)
        return NULL;
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, (const unsigned char *)x.ptr, x.len);
}

/* base64url in place; an absent member stays absent and so has no bytes. */
static bool decode(struct wh_slice *member, struct wh_arena *arena)
{
    return !member->ptr || wh_base64_decode(WH_BASE64_URL, *member, arena, member) == WH_OK;
}

/* NULL when the numbers make no key, or the type is none of ours (`oct` above all). */
static EVP_PKEY *make_pkey(struct members *members, struct wh_arena *arena)
{
    if (!decode(&members->n, arena) || !decode(&members->e, arena) || !decode(&members->x, arena) ||
        !decode(&members->y, arena))
        return NULL;
    if (wh_slice_equal_str(members->kty, "RSA"))
        return make_rsa(members->n, members->e);
    if (wh_slice_equal_str(members->kty, "EC"))
        return make_ec(members->crv, members->x, members->y);
    if (wh_slice_equal_str(members->kty, "OKP"))
        return make_okp(members->crv, members->x);
    return NULL;
}

/* `alg` narrows the key to one algorithm of its own family. */
static bool pin(struct token_key *key, struct wh_slice alg)
{
    if (!alg.ptr)
        return true;
    const struct token_algorithm *algorithm = token_algorithm_find(alg);
    if (!algorithm || !token_key_suits(key, algorithm))
        return false;
    key->only = algorithm;
    return true;
}

/* ---- the set ---- */

static void skip(struct jwk_set *set,
                 struct wh_slice kid,
                 const char *objection,
                 struct wh_buf *problem)
{
    if (set->skipped++ >= PROBLEM_LINES_MAX)
        return;
    if (kid.len > JWK_KID_BYTES_MAX)
        kid.len = 32;
    wh_buf_printf(problem, "key '%.*s' %s\n", WH_SLICE_ARGS(kid), objection);
}

/* Add the key to the set, or say why not: `out_objection` with WH_OK. */
static enum wh_err add_key(struct jwk_set *set,
                           struct members *members,
                           const char *name,
                           struct wh_arena *arena,
                           const char **out_objection)
{
    if (set->count == JWK_KEYS_MAX || set->skipped >= JWK_SKIPPED_MAX) {
        *out_objection = "is one too many";
        return WH_OK;
    }
    EVP_PKEY *pkey = make_pkey(members, arena);
    if (!pkey) {
        *out_objection = "is of a kind that is not supported, or damaged";
        return WH_OK;
    }
    struct jwk *item = &set->items[set->count];
    struct wh_buf problem = {0};
    enum wh_err err = token_key_init_pkey(&item->key, name, pkey, &problem);
    EVP_PKEY_free(pkey);
    wh_buf_deinit(&problem);
    if (err == WH_EINVAL) {
        *out_objection = "is too weak";
        return WH_OK;
    }
    if (err)
        return err;
    bool is_known;
    if (!pin(&item->key, members->alg))
        *out_objection = "has an alg that does not fit its type";
    else if (item->key.only && jwk_set_find(set, members->kid, item->key.only, &is_known))
        *out_objection = "has the kid and alg of one before it";
    else if (!(item->kid = malloc(members->kid.len + 1)))
        err = WH_ENOMEM;
    if (*out_objection || err) {
        token_key_deinit(&item->key);
        return err;
    }
    memcpy(item->kid, members->kid.ptr, members->kid.len);
    item->kid[members->kid.len] = '\0';
    item->kid_len = members->kid.len;
    set->count++;
    return WH_OK;
}

/* One item of the array `keys`. */
static enum wh_err take_key(struct jwk_set *set,
                            struct wh_slice raw,
                            const char *name,
                            struct wh_arena *arena,
                            struct wh_buf *problem)
{
    struct members members = {0};
    const char *objection = NULL;
    enum wh_err err = read_key(raw, arena, &members);
    if (err == WH_EFORMAT) {
        skip(set, members.kid, "has a member of a wrong type", problem);
        return WH_OK;
    }
    if (err)
        return err;
    objection = find_objection(&members);
    if (!objection)
        err = add_key(set, &members, name, arena, &objection);
    if (objection)
        skip(set, members.kid, objection, problem);
    return err;
}

static enum wh_err read_keys(struct wh_json_reader *reader,
                             const char *name,
                             struct wh_arena *arena,
                             struct jwk_set *set,
                             struct wh_buf *problem)
{
    enum wh_err err = wh_json_enter(reader, WH_JSON_ARRAY);
    while (!err) {
        struct wh_slice raw;
        enum wh_json_type type = WH_JSON_NULL;
        err = wh_json_next_item(reader);
        if (!err)
            err = wh_json_peek(reader, &type);
        if (!err && type != WH_JSON_OBJECT)
            err = WH_EFORMAT;
        if (!err)
            err = wh_json_skip(reader, &raw);
        if (!err)
            err = take_key(set, raw, name, arena, problem);
    }
    return err == WH_EEND ? WH_OK : err;
}

/* A second `keys` is refused: which of them counts is a matter of the reader. */
static enum wh_err read_set(struct wh_json_reader *reader,
                            const char *name,
                            struct wh_arena *arena,
                            struct jwk_set *set,
                            struct wh_buf *problem)
{
    bool has_keys = false;
    enum wh_err err = wh_json_enter(reader, WH_JSON_OBJECT);
    while (!err) {
        struct wh_slice member;
        err = wh_json_next_member(reader, arena, &member);
        if (err)
            break;
        if (!wh_slice_equal_str(member, "keys")) {
            err = wh_json_skip(reader, NULL);
            continue;
        }
        err = has_keys ? WH_EFORMAT : read_keys(reader, name, arena, set, problem);
        has_keys = true;
    }
    if (err != WH_EEND)
        return err;
    err = wh_json_finish(reader);
    return !err && !has_keys ? WH_EFORMAT : err;
}

enum wh_err jwk_set_parse(struct wh_slice text,
                          const char *name,
                          struct jwk_set *out_set,
                          struct wh_buf *problem)
{
    if (!text.ptr || text.len > JWK_SET_BYTES_MAX)
        return WH_EFORMAT;
    struct jwk_set set = {.items = calloc(JWK_KEYS_MAX, sizeof(*set.items))};
    if (!set.items)
        return WH_ENOMEM;
    struct wh_json_reader reader;
    struct wh_arena arena;
    wh_json_reader_init(&reader, text);
    wh_arena_init(&arena, ARENA_BYTES_MAX);
    enum wh_err err = read_set(&reader, name, &arena, &set, problem);
    wh_arena_deinit(&arena);
    ERR_clear_error();
    if (err) {
        jwk_set_deinit(&set);
        return err;
    }
    *out_set = set;
    return WH_OK;
}

void jwk_set_deinit(struct jwk_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        free(set->items[i].kid);
        token_key_deinit(&set->items[i].key);
    }
    free(set->items);
    *set = (struct jwk_set){0};
}

const struct token_key *jwk_set_find(const struct jwk_set *set,
                                     struct wh_slice kid,
                                     const struct token_algorithm *algorithm,
                                     bool *out_known)
{
    *out_known = false;
    for (size_t i = 0; i < set->count; i++) {
        const struct jwk *item = &set->items[i];
        if (!wh_slice_equal(kid, wh_slice(item->kid, item->kid_len)))
            continue;
        *out_known = true;
        if (token_key_suits(&item->key, algorithm))
            return &item->key;
    }
    return NULL;
}
