/* Signing keys: the pair, its published form, sealing, and the calendar of rotation. */
#include "services/user/keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>

#include <string.h>

static unsigned char sealing[KEYS_SEAL_BYTES];

static int setup(void **state)
{
    (void)state;
    return (int)keys_derive(WH_SLICE_LITERAL("a secret of at least 32 bytes, really"),
                            KEYS_PURPOSE_SEAL, sealing);
}

static void base64url(const unsigned char *bytes, size_t len, char *out)
{
    EVP_EncodeBlock((unsigned char *)out, bytes, (int)len);
    for (char *c = out; *c; c++)
        *c = *c == '+' ? '-' : *c == '/' ? '_' : *c == '=' ? '\0' : *c;
}

static void jwk_is_the_public_half_of_the_pair(void **state)
{
    (void)state;
    struct signing_key key = {0};
    assert_int_equal(signing_key_new(&key), WH_OK);
    json_t *jwk = json_loadb(key.public_jwk.ptr, key.public_jwk.len, 0, NULL);
    assert_non_null(jwk);
    assert_string_equal(json_string_value(json_object_get(jwk, "kty")), "EC");
    assert_string_equal(json_string_value(json_object_get(jwk, "crv")), "P-256");
    assert_string_equal(json_string_value(json_object_get(jwk, "alg")), "ES256");
    assert_string_equal(json_string_value(json_object_get(jwk, "use")), "sig");
    assert_string_equal(json_string_value(json_object_get(jwk, "kid")), key.kid);
    assert_null(json_object_get(jwk, "d"));

    BIO *bio = BIO_new_mem_buf(key.private_pem.ptr, (int)key.private_pem.len);
    EVP_PKEY *pkey = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    assert_non_null(pkey);
    unsigned char point[65];
    size_t len = 0;
    assert_int_equal(EVP_PKEY_get_octet_string_param(pkey, "pub", point, sizeof(point), &len), 1);
    char x[64], y[64];
    base64url(point + 1, 32, x);
    base64url(point + 33, 32, y);
    assert_string_equal(json_string_value(json_object_get(jwk, "x")), x);
    assert_string_equal(json_string_value(json_object_get(jwk, "y")), y);
    EVP_PKEY_free(pkey);
    BIO_free(bio);
    json_decref(jwk);
    signing_key_deinit(&key);
}

static void kid_is_the_thumbprint_and_differs_between_keys(void **state)
{
    (void)state;
    struct signing_key a = {0}, b = {0};
    assert_int_equal(signing_key_new(&a), WH_OK);
    assert_int_equal(signing_key_new(&b), WH_OK);
    assert_int_equal(strlen(a.kid), KEYS_KID_LEN);
    assert_string_not_equal(a.kid, b.kid);
    json_t *jwk = json_loadb(a.public_jwk.ptr, a.public_jwk.len, 0, NULL);
    char text[256], expected[64];
    unsigned char digest[SHA256_DIGEST_LENGTH];
    int len = snprintf(
        text, sizeof(text), "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}",
        json_string_value(json_object_get(jwk, "x")), json_string_value(json_object_get(jwk, "y")));
    SHA256((const unsigned char *)text, (size_t)len, digest);
    base64url(digest, sizeof(digest), expected);
    assert_string_equal(a.kid, expected);
    json_decref(jwk);
    signing_key_deinit(&a);
    signing_key_deinit(&b);
}

static struct wh_slice seal(const char *context, const char *plain, struct wh_buf *out)
{
    assert_int_equal(keys_seal(sealing, wh_slice_from_str(context), wh_slice_from_str(plain), out),
                     WH_OK);
    return wh_buf_slice(out);
}

static void sealed_text_opens_with_key_and_context(void **state)
{
    (void)state;
    struct wh_buf sealed = {0}, again = {0}, plain = {0};
    struct wh_slice bytes = seal("kid-1", "the private key", &sealed);
    assert_null(memmem(bytes.ptr, bytes.len, "private", 7));
    assert_int_equal(keys_open(sealing, WH_SLICE_LITERAL("kid-1"), bytes, &plain), WH_OK);
    assert_string_equal(wh_buf_cstr(&plain), "the private key");
    seal("kid-1", "the private key", &again);
    assert_memory_not_equal(bytes.ptr, again.ptr, bytes.len);
    wh_buf_deinit(&sealed);
    wh_buf_deinit(&again);
    wh_buf_deinit(&plain);
}

static void sealed_text_that_was_touched_does_not_open(void **state)
{
    (void)state;
    unsigned char other[KEYS_SEAL_BYTES];
    struct wh_buf sealed = {0}, plain = {0};
    struct wh_slice kid = WH_SLICE_LITERAL("kid-1"), bytes = seal("kid-1", "the key", &sealed);
    assert_int_equal(
        keys_derive(WH_SLICE_LITERAL("another secret, also of 32 bytes"), KEYS_PURPOSE_SEAL, other),
        WH_OK);
    assert_int_equal(keys_open(other, kid, bytes, &plain), WH_EDENIED);
    assert_int_equal(keys_open(sealing, WH_SLICE_LITERAL("kid-2"), bytes, &plain), WH_EDENIED);
    for (size_t i = 0; i < bytes.len; i++) {
        sealed.ptr[i] ^= 1;
        assert_int_equal(keys_open(sealing, kid, bytes, &plain), WH_EDENIED);
        sealed.ptr[i] ^= 1;
        assert_int_equal(keys_open(sealing, kid, wh_slice(bytes.ptr, i), &plain), WH_EDENIED);
    }
    assert_int_equal(keys_open(sealing, kid, WH_SLICE_ABSENT, &plain), WH_EDENIED);
    assert_int_equal(plain.len, 0);
    assert_int_equal(keys_open(sealing, kid, bytes, &plain), WH_OK);
    wh_buf_deinit(&sealed);
    wh_buf_deinit(&plain);
}

static void each_purpose_has_a_key_of_its_own(void **state)
{
    (void)state;
    unsigned char a[KEYS_SEAL_BYTES], b[KEYS_SEAL_BYTES];
    struct wh_slice secret = WH_SLICE_LITERAL("a secret of at least 32 bytes, really");
    assert_int_equal(keys_derive(secret, KEYS_PURPOSE_SEAL, a), WH_OK);
    assert_memory_equal(a, sealing, sizeof(a));
    assert_int_equal(keys_derive(secret, KEYS_PURPOSE_REFRESH, b), WH_OK);
    assert_memory_not_equal(a, b, sizeof(a));
}

static void set_lists_every_key(void **state)
{
    (void)state;
    static const struct key_row jwks[] = {{.jwk = {"{\"kid\":\"a\"}", 11}},
                                          {.jwk = {"{\"kid\":\"b\"}", 11}}};
    struct wh_buf out = {0};
    keys_write_set(jwks, 0, &out);
    assert_string_equal(wh_buf_cstr(&out), "{\"keys\":[]}");
    wh_buf_reset(&out);
    keys_write_set(jwks, 2, &out);
    assert_string_equal(wh_buf_cstr(&out), "{\"keys\":[{\"kid\":\"a\"},{\"kid\":\"b\"}]}");
    wh_buf_deinit(&out);
}

enum { NOW = 1000000 };

static const struct key_rule rule = {.lifetime_ms = 10000, .lead_ms = 1000, .token_ms = 600};

static void first_key_signs_at_once_and_others_are_published_before(void **state)
{
    (void)state;
    int64_t from = 0;
    assert_true(keys_is_due(&rule, 0, NOW, &from));
    assert_int_equal(from, NOW);
    assert_false(keys_is_due(&rule, NOW, NOW + 8999, &from));
    assert_true(keys_is_due(&rule, NOW, NOW + 9000, &from));
    assert_int_equal(from, NOW + 10000);
    /* The service was down when it was due: still published before it is used. */
    assert_true(keys_is_due(&rule, NOW, NOW + 50000, &from));
    assert_int_equal(from, NOW + 51000);
    /* One that waits already is enough. */
    assert_false(keys_is_due(&rule, NOW + 10000, NOW + 9001, &from));
}

static void retired_key_is_published_until_its_tokens_are_dead(void **state)
{
    (void)state;
    assert_int_equal(keys_published_until(&rule, NOW), NOW + 600 + KEYS_SLACK_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jwk_is_the_public_half_of_the_pair),
        cmocka_unit_test(kid_is_the_thumbprint_and_differs_between_keys),
        cmocka_unit_test(sealed_text_opens_with_key_and_context),
        cmocka_unit_test(sealed_text_that_was_touched_does_not_open),
        cmocka_unit_test(each_purpose_has_a_key_of_its_own),
        cmocka_unit_test(set_lists_every_key),
        cmocka_unit_test(first_key_signs_at_once_and_others_are_published_before),
        cmocka_unit_test(retired_key_is_published_until_its_tokens_are_dead),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
