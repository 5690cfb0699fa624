/* Key sets: what is taken, what is skipped and why, what is refused as a whole. */
#include "hub/jwk.h"

#include "tests/support/forge_jwk.h"

#include <openssl/err.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct wh_buf text, problem;
static struct jwk_set set;
static EVP_PKEY *rsa, *p256, *p384, *p521, *ed25519, *ed448, *weak, *koblitz;

static int setup(void **state)
{
    (void)state;
    rsa = EVP_RSA_gen(2048);
    weak = EVP_RSA_gen(1024);
    p256 = EVP_EC_gen("P-256");
    p384 = EVP_EC_gen("P-384");
    p521 = EVP_EC_gen("P-521");
    koblitz = EVP_EC_gen("secp256k1");
    ed25519 = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    ed448 = EVP_PKEY_Q_keygen(NULL, NULL, "ED448");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    EVP_PKEY *const keys[] = {rsa, weak, p256, p384, p521, koblitz, ed25519, ed448};
    for (size_t i = 0; i < COUNT(keys); i++)
        EVP_PKEY_free(keys[i]);
    wh_buf_deinit(&text);
    wh_buf_deinit(&problem);
    return 0;
}

static enum wh_err parse(void)
{
    wh_buf_reset(&problem);
    enum wh_err err = jwk_set_parse(wh_buf_slice(&text), "test", &set, &problem);
    assert_int_equal(ERR_peek_error(), 0);
    return err;
}

/* A set of one key with `more` members. */
static void write_one(EVP_PKEY *key, const char *more)
{
    wh_buf_reset(&text);
    wh_buf_append_str(&text, "{\"keys\":[");
    forge_jwk(&text, key, more);
    wh_buf_append_str(&text, "]}");
}

/* The algorithms that the set's key `kid` verifies, a space behind each. */
static const char *algorithms_of(const char *kid)
{
    static const char *const names[] = {"HS256", "HS384", "HS512", "RS256", "RS384",
                                        "RS512", "ES256", "ES384", "ES512", "EdDSA"};
    static struct wh_buf list;
    wh_buf_reset(&list);
    for (size_t i = 0; i < COUNT(names); i++) {
        bool is_known;
        if (jwk_set_find(&set, wh_slice_from_str(kid),
                         token_algorithm_find(wh_slice_from_str(names[i])), &is_known))
            wh_buf_printf(&list, "%s ", names[i]);
    }
    static char out[128];
    snprintf(out, sizeof(out), "%s", wh_buf_cstr(&list));
    wh_buf_deinit(&list);
    return out;
}

static void each_key_verifies_the_algorithms_of_its_family_or_the_one_it_names(void **state)
{
    (void)state;
    const struct {
        EVP_PKEY *key;
        const char *more, *algorithms;
    } cases[] = {
        {rsa, "", "RS256 RS384 RS512 "},
        {rsa, ",\"alg\":\"RS384\"", "RS384 "},
        {rsa, ",\"use\":\"sig\",\"key_ops\":[\"sign\",\"verify\"],\"x5c\":[1]",
         "RS256 RS384 RS512 "},
        {p256, "", "ES256 "},
        {p256, ",\"alg\":\"ES256\"", "ES256 "},
        {p384, "", "ES384 "},
        {p521, ",\"ext\":true", "ES512 "},
        {ed25519, "", "EdDSA "},
        {ed25519, ",\"alg\":\"EdDSA\"", "EdDSA "},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char more[256];
        snprintf(more, sizeof(more), "%s,\"kid\":\"k\"", cases[i].more);
        write_one(cases[i].key, more);
        assert_int_equal(parse(), WH_OK);
        assert_string_equal(algorithms_of("k"), cases[i].algorithms);
        assert_string_equal(algorithms_of("K"), "");
        assert_string_equal(wh_buf_cstr(&problem), "");
        jwk_set_deinit(&set);
    }
}

static void a_key_that_is_not_for_us_is_skipped_with_a_reason(void **state)
{
    (void)state;
    const struct {
        EVP_PKEY *key;
        const char *more, *reason;
    } cases[] = {
        {rsa, "", "has no kid"},
        {rsa, ",\"kid\":\"\"", "has no kid"},
        {rsa, ",\"kid\":7", "wrong type"},
        {rsa, ",\"kid\":null", "wrong type"},
        {rsa, ",\"kid\":\"k\",\"use\":\"enc\"", "(use)"},
        {rsa, ",\"kid\":\"k\",\"key_ops\":[\"encrypt\"]", "(key_ops)"},
        {rsa, ",\"kid\":\"k\",\"key_ops\":[]", "(key_ops)"},
        {rsa, ",\"kid\":\"k\",\"key_ops\":\"verify\"", "wrong type"},
        {rsa, ",\"kid\":\"k\",\"d\":\"AQAB\"", "must not be published"},
        {rsa, ",\"kid\":\"k\",\"alg\":\"HS256\"", "does not fit"},
        {rsa, ",\"kid\":\"k\",\"alg\":\"PS256\"", "does not fit"},
        {rsa, ",\"kid\":\"k\",\"alg\":\"none\"", "does not fit"},
        {rsa, ",\"kid\":\"k\",\"alg\":\"ES256\"", "does not fit"},
        {p256, ",\"kid\":\"k\",\"alg\":\"ES384\"", "does not fit"},
        {ed25519, ",\"kid\":\"k\",\"alg\":\"Ed25519\"", "does not fit"},
        {rsa, ",\"kid\":\"k\",\"e\":\"AQ\"", "damaged"},   /* 1: everybody could sign */
        {rsa, ",\"kid\":\"k\",\"e\":\"AQAA\"", "damaged"}, /* even */
        {rsa, ",\"kid\":\"k\",\"e\":\"\"", "damaged"},
        {rsa, ",\"kid\":\"k\",\"e\":\"AQABAQABAQAB\"", "damaged"}, /* 9 bytes */
        {rsa, ",\"kid\":\"k\",\"e\":\"AQ==\"", "damaged"},
        {rsa, ",\"kid\":\"k\",\"n\":\"\"", "damaged"},
        {rsa, ",\"kid\":\"k\",\"kty\":\"oct\"", "damaged"},
        {rsa, ",\"kid\":\"k\",\"kty\":\"rsa\"", "damaged"},
        {rsa, ",\"kid\":\"k\",\"kty\":\"EC\"", "damaged"},
        {weak, ",\"kid\":\"k\"", "too weak"},
        {p256, ",\"kid\":\"k\",\"crv\":\"P-384\"", "damaged"},
        {p256, ",\"kid\":\"k\",\"crv\":\"secp256k1\"", "damaged"},
        {p256, ",\"kid\":\"k\",\"x\":\"AQAB\"", "damaged"},
        {p256, ",\"kid\":\"k\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"", "damaged"},
        {koblitz, ",\"kid\":\"k\"", "damaged"}, /* says P-256: not on that curve */
        {ed25519, ",\"kid\":\"k\",\"x\":\"AQAB\"", "damaged"},
        {ed448, ",\"kid\":\"k\"", "damaged"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        write_one(cases[i].key, cases[i].more);
        if (parse() != WH_OK || set.count != 0 || set.skipped != 1 ||
            !strstr(wh_buf_cstr(&problem), cases[i].reason))
            fail_msg("%zu %s: %zu keys, %s", i, cases[i].more, set.count, wh_buf_cstr(&problem));
        jwk_set_deinit(&set);
    }
    wh_buf_reset(&text);
    wh_buf_append_str(&text, "{\"keys\":[{\"kid\":\"k\",\"kty\":\"oct\",\"k\":\"c2VjcmV0\"}]}");
    assert_int_equal(parse(), WH_OK);
    assert_int_equal(set.count, 0);
    assert_null(strstr(wh_buf_cstr(&problem), "c2VjcmV0"));
    jwk_set_deinit(&set);
}

static void a_bad_key_leaves_the_good_ones_alone(void **state)
{
    (void)state;
    wh_buf_reset(&text);
    wh_buf_append_str(&text, "{\"extra\":{\"keys\":[]},\"keys\":[{\"kty\":7},{},");
    forge_jwk(&text, rsa, ",\"kid\":\"a\"");
    wh_buf_append_char(&text, ',');
    forge_jwk(&text, weak, ",\"kid\":\"b\"");
    wh_buf_append_char(&text, ',');
    forge_jwk(&text, ed25519, ",\"kid\":\"\\u0063\"");
    wh_buf_append_str(&text, "],\"more\":1}\n");
    assert_int_equal(parse(), WH_OK);
    assert_int_equal(set.count, 2);
    assert_int_equal(set.skipped, 3);
    assert_string_equal(algorithms_of("a"), "RS256 RS384 RS512 ");
    assert_string_equal(algorithms_of("c"), "EdDSA ");
    jwk_set_deinit(&set);
}

static void keys_of_one_name_differ_in_what_they_verify(void **state)
{
    (void)state;
    bool is_known;
    wh_buf_reset(&text);
    wh_buf_append_str(&text, "{\"keys\":[");
    forge_jwk(&text, rsa, ",\"kid\":\"k\"");
    wh_buf_append_char(&text, ',');
    forge_jwk(&text, p256, ",\"kid\":\"k\"");
    wh_buf_append_str(&text, "]}");
    assert_int_equal(parse(), WH_OK);
    assert_string_equal(algorithms_of("k"), "RS256 RS384 RS512 ES256 ");
    assert_null(jwk_set_find(&set, WH_SLICE_LITERAL("k"),
                             token_algorithm_find(WH_SLICE_LITERAL("EdDSA")), &is_known));
    assert_true(is_known);
    assert_null(jwk_set_find(&set, WH_SLICE_LITERAL("k\0"),
                             token_algorithm_find(WH_SLICE_LITERAL("RS256")), &is_known));
    assert_false(is_known);
    jwk_set_deinit(&set);
}

static void what_is_no_key_set_is_refused_as_a_whole(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        " ",
        "null",
        "[]",
        "\"keys\"",
        "{}",
        "{\"keys\":null}",
        "{\"keys\":{}}",
        "{\"keys\":[1]}",
        "{\"keys\":[null]}",
        "{\"keys\":[[]]}",
        "{\"keys\":[{}]",
        "{\"keys\":[{}]}x",
        "{\"keys\":[],\"keys\":[]}",
        "{\"Keys\":[]}",
        "{\"keys\":[{},]}",
        "{\"keys\":[{\"kty\":NaN}]}",
        "{\"keys\":[{\"kid\":\"\xff\"}]}",
        "<html></html>",
        "{\"keys\":[{\"kid\":\"\\ud8\"}]}",
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        wh_buf_reset(&text);
        wh_buf_append_str(&text, cases[i]);
        if (parse() != WH_EFORMAT)
            fail_msg("%s", cases[i]);
    }
    struct jwk_set out;
    assert_int_equal(jwk_set_parse(WH_SLICE_ABSENT, "test", &out, &problem), WH_EFORMAT);
    wh_buf_reset(&text);
    wh_buf_append_str(&text, "{\"keys\":[]}");
    assert_int_equal(parse(), WH_OK); /* all keys revoked */
    assert_int_equal(set.count, 0);
    jwk_set_deinit(&set);
}

static void depth_and_length_are_bounded(void **state)
{
    (void)state;
    wh_buf_reset(&text);
    wh_buf_append_str(&text, "{\"keys\":[{\"x\":");
    for (int i = 0; i < 10000; i++)
        wh_buf_append_char(&text, '[');
    assert_int_equal(parse(), WH_EFORMAT);
    wh_buf_reset(&text);
    wh_buf_append_str(&text, "{\"keys\":[]");
    while (text.len < JWK_SET_BYTES_MAX)
        wh_buf_append_char(&text, ' ');
    wh_buf_append_char(&text, '}');
    assert_int_equal(parse(), WH_EFORMAT);
    text.ptr[text.len - 2] = '}';
    wh_buf_truncate(&text, text.len - 1);
    assert_int_equal(parse(), WH_OK);
    jwk_set_deinit(&set);
}

static void of_a_huge_set_the_first_keys_count(void **state)
{
    (void)state;
    wh_buf_reset(&text);
    wh_buf_append_str(&text, "{\"keys\":[");
    for (int i = 0; i < 3000; i++) {
        char more[64];
        snprintf(more, sizeof(more), ",\"kid\":\"%d\"", i);
        forge_jwk(&text, p256, more);
        wh_buf_append_char(&text, i == 2999 ? ']' : ',');
    }
    wh_buf_append_char(&text, '}');
    assert_int_equal(parse(), WH_OK);
    assert_int_equal(set.count, JWK_KEYS_MAX);
    assert_int_equal(set.skipped, 3000 - JWK_KEYS_MAX);
    assert_true(problem.len < 4096);
    assert_string_equal(algorithms_of("63"), "ES256 ");
    assert_string_equal(algorithms_of("64"), "");
    jwk_set_deinit(&set);
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    wh_buf_reset(&text);
    wh_buf_append_str(&text, "{\"keys\":[");
    forge_jwk(&text, ed25519, ",\"kid\":\"k\\u0041\",\"key_ops\":[\"verify\"]");
    wh_buf_append_str(&text, "]}");
    for (size_t len = 0; len < text.len; len++) {
        struct wh_slice part = wh_slice(text.ptr, len);
        assert_int_equal(jwk_set_parse(part, "test", &set, &problem), WH_EFORMAT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_key_verifies_the_algorithms_of_its_family_or_the_one_it_names),
        cmocka_unit_test(a_key_that_is_not_for_us_is_skipped_with_a_reason),
        cmocka_unit_test(a_bad_key_leaves_the_good_ones_alone),
        cmocka_unit_test(keys_of_one_name_differ_in_what_they_verify),
        cmocka_unit_test(what_is_no_key_set_is_refused_as_a_whole),
        cmocka_unit_test(depth_and_length_are_bounded),
        cmocka_unit_test(of_a_huge_set_the_first_keys_count),
        cmocka_unit_test(every_truncation_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
