/* Keys: which of them may verify what, which are refused, and what is signed with them. */
#include "tests/unit/hub/auth_fixture.h"

static void header_for(const char *alg, char out[64])
{
    snprintf(out, 64, "{\"alg\":\"%s\",\"typ\":\"JWT\"}", alg);
}

static void hmac_tokens_of_all_lengths_are_verified(void **state)
{
    (void)state;
    static const char *const algs[] = {"HS256", "HS384", "HS512"};
    struct token_config config = {.hmac_secret_key = secret};
    struct token_verifier *verifier = make_verifier(&config);
    for (size_t i = 0; i < COUNT(algs); i++) {
        char header[64];
        header_for(algs[i], header);
        forge_hmac(&token, algs[i], secret, header, "{\"sub\":\"42\"}");
        expect(algs[i], verify(verifier), WH_OK, "");
        forge_hmac(&token, algs[i], old_secret, header, "{\"sub\":\"42\"}");
        expect(algs[i], verify(verifier), WH_EDENIED, "signature");
        forge_hmac(&token, algs[(i + 1) % 3], secret, header, "{\"sub\":\"42\"}");
        expect(algs[i], verify(verifier), WH_EDENIED, "signature");
    }
    token_verifier_free(verifier);
}

static void tokens_of_the_foreign_test_suites_are_verified(void **state)
{
    (void)state;
    static char short_secret[] = "secret";
    struct token_config config = {.hmac_secret_key = short_secret};
    struct token_verifier *verifier = make_verifier(&config);
    assert_non_null(strstr(wh_buf_cstr(&problem), "warning: hmac_secret_key: has 6 bytes"));
    assert_null(strstr(wh_buf_cstr(&problem), "\"secret\""));
    forge_hmac(&token, "HS256", short_secret, HS256, "{\"iat\":1699999999}");
    expect("anonymous", verify(verifier), WH_OK, "");
    token_verifier_free(verifier);
}

static void a_previous_secret_is_good_until_its_time(void **state)
{
    (void)state;
    static const struct {
        int64_t valid_until;
        enum wh_err err;
        const char *reason;
    } cases[] = {
        {0, WH_OK, ""},
        {NOW_S + 1, WH_OK, ""},
        {NOW_S, WH_EDENIED, "signature"},
        {NOW_S - 1, WH_EDENIED, "signature"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct token_config config = {.hmac_secret_key = secret,
                                      .hmac_previous_secret_key = old_secret,
                                      .hmac_previous_secret_key_valid_until = cases[i].valid_until};
        struct token_verifier *verifier = make_verifier(&config);
        forge_hmac(&token, "HS256", old_secret, HS256, "{\"sub\":\"42\"}");
        expect("previous", verify(verifier), cases[i].err, cases[i].reason);
        forge_hmac(&token, "HS256", secret, HS256, "{\"sub\":\"42\"}");
        expect("current", verify(verifier), WH_OK, "");
        token_verifier_free(verifier);
    }
}

static void a_verifier_without_keys_refuses_everything(void **state)
{
    (void)state;
    struct token_config config = {.hmac_secret_key = (char[]){""}};
    struct token_verifier *verifier = make_verifier(&config);
    forge_hmac(&token, "HS256", "", HS256, "{\"sub\":\"42\"}");
    expect("empty secret", verify(verifier), WH_EDENIED, "no_key");
    forge_signing_input(&token, "{\"alg\":\"none\"}", "{\"sub\":\"42\"}");
    wh_buf_append_str(&token, ".AAAA");
    expect("none", verify(verifier), WH_EDENIED, "algorithm");
    token_verifier_free(verifier);
    token_verifier_free(NULL);
}

struct pair {
    EVP_PKEY *key;
    char *public_pem, *private_pem;
};

static struct pair make_pair(EVP_PKEY *key)
{
    assert_non_null(key);
    return (struct pair){key, forge_pem(key, false), forge_pem(key, true)};
}

static void free_pair(struct pair *pair)
{
    EVP_PKEY_free(pair->key);
    free(pair->public_pem);
    free(pair->private_pem);
}

static void rsa_tokens_of_all_sizes_are_verified_and_pinned(void **state)
{
    (void)state;
    static const char *const algs[] = {"RS256", "RS384", "RS512"};
    static const unsigned sizes[] = {2048, 3072, 4096};
    struct pair stranger = make_pair(EVP_RSA_gen(2048));
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct pair pair = make_pair(EVP_RSA_gen(sizes[i]));
        struct token_config config = {.rsa_public_key = pair.public_pem};
        struct token_verifier *verifier = make_verifier(&config);
        for (size_t a = 0; a < COUNT(algs); a++) {
            char header[64];
            header_for(algs[a], header);
            forge_pkey(&token, algs[a], pair.key, header, "{\"sub\":\"42\"}");
            expect(algs[a], verify(verifier), WH_OK, "");
            forge_pkey(&token, algs[(a + 1) % 3], pair.key, header, "{\"sub\":\"42\"}");
            expect(algs[a], verify(verifier), WH_EDENIED, "signature");
            forge_pkey(&token, algs[a], stranger.key, header, "{\"sub\":\"42\"}");
            expect(algs[a], verify(verifier), WH_EDENIED, "signature");
        }
        /* The classic: the public key, which everybody has, taken for an HMAC secret. */
        forge_hmac(&token, "HS256", pair.public_pem, HS256, "{\"sub\":\"42\"}");
        expect("HS256 with the RSA PEM", verify(verifier), WH_EDENIED, "no_key");
        token_verifier_free(verifier);
        config.hmac_secret_key = secret;
        verifier = make_verifier(&config);
        expect("... beside a secret", verify(verifier), WH_EDENIED, "signature");
        token_verifier_free(verifier);
        free_pair(&pair);
    }
    free_pair(&stranger);
}

static void ec_tokens_are_verified_and_pinned_to_the_curve(void **state)
{
    (void)state;
    static const struct {
        const char *alg, *curve;
    } cases[] = {{"ES256", "P-256"}, {"ES384", "P-384"}, {"ES512", "P-521"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct pair pair = make_pair(EVP_EC_gen(cases[i].curve));
        struct token_config config = {.ecdsa_public_key = pair.public_pem};
        struct token_verifier *verifier = make_verifier(&config);
        for (size_t a = 0; a < COUNT(cases); a++) {
            char header[64];
            header_for(cases[a].alg, header);
            /* A few times, because r or s is sometimes shorter than its field. */
            for (int round = 0; round < 20; round++) {
                forge_pkey(&token, cases[a].alg, pair.key, header, "{\"sub\":\"42\"}");
                bool fits = a == i;
                expect(cases[a].alg, verify(verifier), fits ? WH_OK : WH_EDENIED,
                       fits ? "" : "algorithm");
            }
        }
        struct pair stranger = make_pair(EVP_EC_gen(cases[i].curve));
        char header[64];
        header_for(cases[i].alg, header);
        forge_pkey(&token, cases[i].alg, stranger.key, header, "{\"sub\":\"42\"}");
        expect("stranger", verify(verifier), WH_EDENIED, "signature");
        forge_signing_input(&token, header, "{\"sub\":\"42\"}");
        static const unsigned char zeros[132];
        forge_append_signature(&token, zeros, ((size_t)EVP_PKEY_get_bits(pair.key) + 7) / 8 * 2);
        expect("r = s = 0", verify(verifier), WH_EDENIED, "signature");
        forge_hmac(&token, "HS256", pair.public_pem, HS256, "{\"sub\":\"42\"}");
        expect("HS256 with the EC PEM", verify(verifier), WH_EDENIED, "no_key");
        token_verifier_free(verifier);
        free_pair(&stranger);
        free_pair(&pair);
    }
}

static void each_family_has_its_own_key(void **state)
{
    (void)state;
    struct pair rsa = make_pair(EVP_RSA_gen(2048)), ec = make_pair(EVP_EC_gen("P-256"));
    struct token_config config = {.hmac_secret_key = secret,
                                  .rsa_public_key = rsa.public_pem,
                                  .ecdsa_public_key = ec.public_pem};
    struct token_verifier *verifier = make_verifier(&config);
    struct token_signature signature;
    static const char *const expected[][2] = {
        {"hmac_secret_key", "HS256"}, {"rsa_public_key", "RS256"}, {"ecdsa_public_key", "ES256"}};
    for (size_t i = 0; i < COUNT(expected); i++) {
        char header[64];
        header_for(expected[i][1], header);
        if (i == 0)
            forge_hmac(&token, "HS256", secret, header, "{ \"a\":1}");
        else
            forge_pkey(&token, expected[i][1], i == 1 ? rsa.key : ec.key, header, "{ \"a\":1}");
        assert_int_equal(
            token_verify_signature(verifier, wh_buf_slice(&token), NOW_S, &arena, &signature, NULL),
            WH_OK);
        assert_string_equal(signature.key_name, expected[i][0]);
        assert_string_equal(signature.algorithm, expected[i][1]);
        assert_slice(signature.payload, "{ \"a\":1}");
    }
    token_verifier_free(verifier);
    free_pair(&rsa);
    free_pair(&ec);
}

static void expect_problem(const struct token_config *config, const char *text)
{
    struct token_verifier *verifier = NULL;
    wh_buf_reset(&problem);
    assert_int_equal(token_verifier_new(config, &verifier, &problem), WH_EINVAL);
    assert_null(verifier);
    if (!strstr(wh_buf_cstr(&problem), text))
        fail_msg("'%s' does not say '%s'", wh_buf_cstr(&problem), text);
    assert_null(strstr(wh_buf_cstr(&problem), secret));
    assert_int_equal(ERR_peek_error(), 0);
}

static char *join(const char *a, const char *b)
{
    struct wh_buf buf = {0};
    wh_buf_append_str(&buf, a);
    wh_buf_append_str(&buf, b);
    char *text = strdup(wh_buf_cstr(&buf));
    wh_buf_deinit(&buf);
    return text;
}

static void keys_that_cannot_be_used_are_refused_with_a_hint(void **state)
{
    (void)state;
    static char garbage[] = "garbage", empty_pem[] = "-----BEGIN PUBLIC KEY-----\nAAAA\n"
                                                     "-----END PUBLIC KEY-----\n";
    struct pair rsa = make_pair(EVP_RSA_gen(2048)), weak = make_pair(EVP_RSA_gen(1024));
    struct pair ec = make_pair(EVP_EC_gen("P-256")), koblitz = make_pair(EVP_EC_gen("secp256k1"));
    struct pair ed = make_pair(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
    char *two = join(rsa.public_pem, ec.public_pem);
    const struct {
        struct token_config config;
        const char *text;
    } cases[] = {
        {{.rsa_public_key = garbage}, "rsa_public_key: is no PEM text"},
        {{.rsa_public_key = empty_pem}, "no readable public key"},
        {{.rsa_public_key = rsa.private_pem}, "the public half: openssl pkey"},
        {{.rsa_public_key = weak.public_pem}, "1024 bits; at least 2048"},
        {{.rsa_public_key = ec.public_pem}, "is an EC key"},
        {{.rsa_public_key = two}, "more than one PEM block"},
        {{.ecdsa_public_key = rsa.public_pem}, "is an RSA key"},
        {{.ecdsa_public_key = ec.private_pem}, "the public half"},
        {{.ecdsa_public_key = koblitz.public_pem}, "only P-256, P-384 and P-521"},
        {{.ecdsa_public_key = ed.public_pem}, "neither an RSA nor an EC key"},
        {{.hmac_secret_key = rsa.public_pem}, "is a PEM key, not a shared secret"},
        {{.hmac_previous_secret_key = secret}, "without hmac_secret_key"},
        {{.jwks_public_endpoint = garbage}, "no http:// or https:// URL"},
        {{.audience = garbage, .audience_regex = garbage}, "audience and audience_regex"},
        {{.issuer = garbage, .issuer_regex = garbage}, "issuer and issuer_regex"},
        {{.audience_regex = (char[]){"("}}, "audience_regex: "},
        {{.issuer_regex = (char[]){"[z-a]"}}, "issuer_regex: "},
        {{.hmac_secret_key = secret, .rsa_public_key = garbage, .ecdsa_public_key = garbage},
         "ecdsa_public_key: is no PEM text"}, /* all problems in one run */
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        expect_problem(&cases[i].config, cases[i].text);
    free(two);
    free_pair(&rsa);
    free_pair(&weak);
    free_pair(&ec);
    free_pair(&koblitz);
    free_pair(&ed);
}

/* ---- signing ---- */

static void what_we_sign_we_verify(void **state)
{
    (void)state;
    struct pair rsa = make_pair(EVP_RSA_gen(2048)), p256 = make_pair(EVP_EC_gen("P-256"));
    struct token_config config = {.hmac_secret_key = secret,
                                  .rsa_public_key = rsa.public_pem,
                                  .ecdsa_public_key = p256.public_pem};
    struct token_verifier *verifier = make_verifier(&config);
    const struct {
        const char *alg, *key;
    } cases[] = {{"HS256", secret},          {"HS384", secret},          {"HS512", secret},
                 {"RS256", rsa.private_pem}, {"RS384", rsa.private_pem}, {"RS512", rsa.private_pem},
                 {"ES256", p256.private_pem}};
    const char *claims = "{\"sub\":\"42\",\"exp\":1800000000}";
    for (size_t i = 0; i < COUNT(cases); i++) {
        wh_buf_reset(&token);
        struct wh_slice key = wh_slice_from_str(cases[i].key);
        assert_int_equal(token_sign(cases[i].alg, key, claims, &token), WH_OK);
        expect(cases[i].alg, verify(verifier), WH_OK, "");
    }
    wh_buf_reset(&token);
    struct wh_slice key = wh_slice_from_str(secret);
    assert_int_equal(token_sign("none", key, claims, &token), WH_EUNSUPPORTED);
    assert_int_equal(token_sign("hs256", key, claims, &token), WH_EUNSUPPORTED);
    assert_int_equal(token_sign("HS256", WH_SLICE_LITERAL(""), claims, &token), WH_EINVAL);
    assert_int_equal(token_sign("HS256", key, "[", &token), WH_EINVAL);
    assert_int_equal(token_sign("RS256", key, claims, &token), WH_EINVAL);
    assert_int_equal(token.len, 0);
    token_verifier_free(verifier);
    free_pair(&rsa);
    free_pair(&p256);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hmac_tokens_of_all_lengths_are_verified),
        cmocka_unit_test(tokens_of_the_foreign_test_suites_are_verified),
        cmocka_unit_test(a_previous_secret_is_good_until_its_time),
        cmocka_unit_test(a_verifier_without_keys_refuses_everything),
        cmocka_unit_test(rsa_tokens_of_all_sizes_are_verified_and_pinned),
        cmocka_unit_test(ec_tokens_are_verified_and_pinned_to_the_curve),
        cmocka_unit_test(each_family_has_its_own_key),
        cmocka_unit_test(keys_that_cannot_be_used_are_refused_with_a_hint),
        cmocka_unit_test(what_we_sign_we_verify),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
