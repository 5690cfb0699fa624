/* Access tokens: what they say, and that the published key verifies each of them. */
#include "services/user/token.h"

#include "services/user/keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <jwt.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <stdlib.h>
#include <string.h>

static struct signing_key key;
static char *public_pem;

static struct wh_slice role_items[] = {{"admin", 5}, {"clerk", 5}};
static const struct access_claims claims = {
    .user = {"0190-u", 6},
    .name = {"Ann \"O'\" \xc3\x84", 11},
    .roles = {role_items, 2},
    .session = {"0190-s", 6},
    .issuer = {"wirehub-user", 12},
    .audience = {"shop", 4},
    .id = {"0190-j", 6},
    .issued_at_s = 1700000000,
    .expires_at_s = 1700000600,
};

static int setup(void **state)
{
    (void)state;
    if (signing_key_new(&key))
        return 1;
    BIO *in = BIO_new_mem_buf(key.private_pem.ptr, (int)key.private_pem.len);
    EVP_PKEY *pkey = PEM_read_bio_PrivateKey(in, NULL, NULL, NULL);
    BIO *out = BIO_new(BIO_s_mem());
    PEM_write_bio_PUBKEY(out, pkey);
    char *text = NULL;
    long len = BIO_get_mem_data(out, &text);
    public_pem = strndup(text, (size_t)len);
    BIO_free(in);
    BIO_free(out);
    EVP_PKEY_free(pkey);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    signing_key_deinit(&key);
    free(public_pem);
    return 0;
}

static void sign(struct wh_buf *out)
{
    assert_int_equal(access_token_sign(&claims, key.kid, wh_buf_cstr(&key.private_pem), out),
                     WH_OK);
}

static void claims_say_who_until_when_and_what_for(void **state)
{
    (void)state;
    struct wh_buf text = {0};
    access_claims_write(&claims, &text);
    assert_string_equal(
        wh_buf_cstr(&text),
        "{\"sub\":\"0190-u\",\"iat\":1700000000,\"exp\":1700000600,\"jti\":\"0190-j\","
        "\"iss\":\"wirehub-user\",\"aud\":\"shop\",\"roles\":[\"admin\",\"clerk\"],"
        "\"info\":{\"name\":\"Ann \\\"O'\\\" \xc3\x84\"},\"meta\":{\"session\":\"0190-s\"},"
        "\"channels\":[\"orders:live#0190-u\",\"payments:live#0190-u\",\"users:live#0190-u\"]}");
    wh_buf_deinit(&text);
}

static void audience_is_left_out_when_there_is_none(void **state)
{
    (void)state;
    struct wh_buf text = {0};
    struct access_claims without = claims;
    without.audience = WH_SLICE_ABSENT;
    access_claims_write(&without, &text);
    assert_null(strstr(wh_buf_cstr(&text), "aud"));
    wh_buf_deinit(&text);
}

static void published_key_verifies_the_token(void **state)
{
    (void)state;
    struct wh_buf token = {0};
    sign(&token);
    jwt_t *jwt = NULL;
    assert_int_equal(
        jwt_decode(&jwt, wh_buf_cstr(&token), (unsigned char *)public_pem, (int)strlen(public_pem)),
        0);
    assert_int_equal(jwt_get_alg(jwt), JWT_ALG_ES256);
    assert_string_equal(jwt_get_header(jwt, "kid"), key.kid);
    assert_string_equal(jwt_get_grant(jwt, "sub"), "0190-u");
    jwt_free(jwt);
    wh_buf_deinit(&token);
}

/* r and s are numbers: one in 256 begins with a zero byte, which must not be lost. */
static void every_signature_has_64_bytes_and_verifies(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        struct wh_buf token = {0};
        jwt_t *jwt = NULL;
        sign(&token);
        const char *signature = strrchr(wh_buf_cstr(&token), '.') + 1;
        assert_int_equal(strlen(signature), 86);
        assert_int_equal(jwt_decode(&jwt, wh_buf_cstr(&token), (unsigned char *)public_pem,
                                    (int)strlen(public_pem)),
                         0);
        jwt_free(jwt);
        wh_buf_deinit(&token);
    }
}

static void what_is_no_key_signs_nothing(void **state)
{
    (void)state;
    struct wh_buf token = {0};
    assert_int_equal(access_token_sign(&claims, "kid", "no pem", &token), WH_EINVAL);
    assert_int_equal(access_token_sign(&claims, "kid", public_pem, &token), WH_EINVAL);
    assert_int_equal(token.len, 0);
    wh_buf_deinit(&token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(claims_say_who_until_when_and_what_for),
        cmocka_unit_test(audience_is_left_out_when_there_is_none),
        cmocka_unit_test(published_key_verifies_the_token),
        cmocka_unit_test(every_signature_has_64_bytes_and_verifies),
        cmocka_unit_test(what_is_no_key_signs_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
