/*
 * A table of attacks.  Every token here is well made except for the one thing that its row is
 * about, so that a row can only pass for its own reason, which is compared too.
 */
#include "tests/unit/hub/auth_fixture.h"

static struct token_claims claims_of(enum token_kind kind, const char *payload)
{
    struct token_claims claims;
    struct token_config none = {0};
    expect(payload, verify_payload(none, kind, payload, &claims), WH_OK, "");
    return claims;
}

/* ---- the header ---- */

static void headers_that_choose_their_own_rules_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header, *reason;
    } cases[] = {
        {"{\"alg\":\"none\",\"typ\":\"JWT\"}", "algorithm"},
        {"{\"alg\":\"None\"}", "algorithm"},
        {"{\"alg\":\"NONE\"}", "algorithm"},
        {"{\"alg\":\"nOnE\"}", "algorithm"},
        {"{\"alg\":\"\"}", "algorithm"},
        {"{\"alg\":\"hs256\"}", "algorithm"},
        {"{\"alg\":\"Hs256\"}", "algorithm"},
        {"{\"alg\":\"HS256 \"}", "algorithm"},
        {"{\"alg\":\"HS2567\"}", "algorithm"},
        {"{\"alg\":\"HS256\\u0000\"}", "algorithm"},
        {"{\"alg\":\"PS256\"}", "algorithm"},
        {"{\"alg\":\"EdDSA\"}", "no_key"},
        {"{\"typ\":\"JWT\"}", "algorithm"},
        {"{}", "algorithm"},
        {"{\"ALG\":\"HS256\"}", "algorithm"},
        {"{\"alg\":\"HS256\",\"alg\":\"none\"}", "algorithm"},
        {"{\"alg\":\"RS256\"}", "no_key"},
        {"{\"alg\":\"ES256\"}", "no_key"},
        {"{\"alg\":\"HS384\"}", "signature"}, /* made with SHA-256 */
        {"{\"alg\":\"HS512\"}", "signature"},
        {"{\"alg\":null}", "format"},
        {"{\"alg\":256}", "format"},
        {"{\"alg\":[\"HS256\"]}", "format"},
        {"{\"alg\":\"HS256\",\"crit\":[\"exp\"],\"exp\":1}", "format"},
        {"{\"alg\":\"HS256\",\"crit\":[]}", "format"},
        {"{\"alg\":\"HS256\",\"crit\":null}", "format"},
        {"{\"alg\":\"HS256\",\"b64\":false,\"crit\":[\"b64\"]}", "format"},
        {"[\"alg\",\"HS256\"]", "format"},
        {"\"HS256\"", "format"},
        {"null", "format"},
        {"{\"alg\":\"HS256\"} ,", "format"},
        {"{\"alg\":\"HS256\"}{}", "format"},
        {"{\"alg\":\"HS256\"", "format"},
        {"{\"alg\":\"HS256\",}", "format"},
        {"{'alg':'HS256'}", "format"},
        {"{\"alg\":\"HS256\",\"x\":\"\xff\"}", "format"},
        {" ", "format"},
    };
    struct token_config config = {.hmac_secret_key = secret};
    struct token_verifier *verifier = make_verifier(&config);
    for (size_t i = 0; i < COUNT(cases); i++) {
        forge_hmac(&token, "HS256", secret, cases[i].header, "{\"sub\":\"42\"}");
        expect(cases[i].header, verify(verifier), WH_EDENIED, cases[i].reason);
    }
    token_verifier_free(verifier);
}

static void what_a_header_says_about_keys_changes_nothing(void **state)
{
    (void)state;
    static const char *const headers[] = {
        HS256,
        "{\"alg\":\"HS256\"}",
        "{\"typ\":\"JWT\",\"alg\":\"HS256\"}",
        " { \"alg\" : \"HS256\" ,\n \"typ\" : \"JWT\" } ",
        "{\"alg\":\"HS256\",\"kid\":\"../../../../dev/null\"}",
        "{\"alg\":\"HS256\",\"kid\":\"x' UNION SELECT 'key\"}",
        "{\"alg\":\"HS256\",\"kid\":{\"a\":[1]}}",
        "{\"alg\":\"HS256\",\"jku\":\"http://127.0.0.1:1/keys\"}",
        "{\"alg\":\"HS256\",\"x5u\":\"file:///etc/passwd\"}",
        "{\"alg\":\"HS256\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AAAA\"}}",
    };
    struct token_config config = {.hmac_secret_key = secret};
    struct token_verifier *verifier = make_verifier(&config);
    for (size_t i = 0; i < COUNT(headers); i++) {
        forge_hmac(&token, "HS256", secret, headers[i], "{\"sub\":\"42\"}");
        expect(headers[i], verify(verifier), WH_OK, "");
        forge_hmac(&token, "HS256", "AAAA", headers[i], "{\"sub\":\"42\"}");
        expect(headers[i], verify(verifier), WH_EDENIED, "signature");
        forge_hmac(&token, "HS256", "", headers[i], "{\"sub\":\"42\"}");
        expect(headers[i], verify(verifier), WH_EDENIED, "signature");
    }
    token_verifier_free(verifier);
}

/* ---- the text ---- */

static void texts_that_are_no_compact_token_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *format, *reason; /* %s: header.payload, then the signature */
    } cases[] = {
        {"%s.%s.", "format"},    {"%s.%s.AAAA", "format"},   {"%s.%s ", "format"},
        {" %s.%s", "format"},    {"%s.%s\n", "format"},      {"%s.%s=", "format"},
        {"%s.%sA", "signature"}, {"%s.%sAAAA", "signature"}, {"%s. %s", "format"},
        {"%s..%s", "format"},    {".%s.%s", "format"},       {"Bearer %s.%s", "format"},
        {"\"%s.%s\"", "format"},
    };
    struct token_config config = {.hmac_secret_key = secret};
    struct token_verifier *verifier = make_verifier(&config);
    struct wh_buf text = {0};
    forge_hmac(&token, "HS256", secret, HS256, "{\"sub\":\"42\"}");
    char *dot = strrchr((char *)(uintptr_t)wh_buf_cstr(&token), '.');
    *dot = '\0';
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct token_claims claims;
        wh_buf_reset(&text);
        const char *rest = strstr(cases[i].format, "%s") + 2;
        wh_buf_append(&text, cases[i].format, (size_t)(rest - 2 - cases[i].format));
        wh_buf_append_str(&text, token.ptr);
        const char *second = strstr(rest, "%s");
        wh_buf_append(&text, rest, (size_t)(second - rest));
        wh_buf_append_str(&text, dot + 1);
        wh_buf_append_str(&text, second + 2);
        enum wh_err err = verify_slice(verifier, TOKEN_CONNECTION, wh_buf_slice(&text), &claims);
        expect(cases[i].format, err, WH_EDENIED, cases[i].reason);
    }
    wh_buf_deinit(&text);
    token_verifier_free(verifier);
}

static void missing_segments_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        ".",
                                        "..",
                                        "...",
                                        "a",
                                        "a.b",
                                        "a.b.",
                                        ".b.c",
                                        "a..c",
                                        "eyJhbGciOiJIUzI1NiJ9..",
                                        "eyJhbGciOiJIUzI1NiJ9.e30.",
                                        "eyJhbGciOiJIUzI1NiJ9.e30",
                                        "eyJhbGciOiJub25lIn0.e30."};
    struct token_config config = {.hmac_secret_key = secret};
    struct token_verifier *verifier = make_verifier(&config);
    struct token_claims claims;
    for (size_t i = 0; i < COUNT(texts); i++) {
        enum wh_err err =
            verify_slice(verifier, TOKEN_CONNECTION, wh_slice_from_str(texts[i]), &claims);
        expect(texts[i], err, WH_EDENIED, "format");
    }
    enum wh_err err = verify_slice(verifier, TOKEN_CONNECTION, WH_SLICE_ABSENT, &claims);
    expect("absent", err, WH_EDENIED, "format");
    /* A NUL must not end the token for one reader and not for the other. */
    forge_hmac(&token, "HS256", secret, HS256, "{\"sub\":\"42\"}");
    wh_buf_append(&token, "\0x", 2);
    expect("NUL", verify(verifier), WH_EDENIED, "format");
    token_verifier_free(verifier);
}

static void each_changed_character_breaks_the_token(void **state)
{
    (void)state;
    struct token_config config = {.hmac_secret_key = secret};
    struct token_verifier *verifier = make_verifier(&config);
    forge_hmac(&token, "HS256", secret, HS256, "{\"sub\":\"42\",\"exp\":1800000000}");
    expect("untouched", verify(verifier), WH_OK, "");
    for (size_t i = 0; i < token.len; i++) {
        char kept = token.ptr[i];
        token.ptr[i] = kept == 'A' ? 'B' : 'A';
        if (verify(verifier) != WH_EDENIED)
            fail_msg("changed at %zu", i);
        token.ptr[i] = kept;
    }
    for (size_t len = 0; len < token.len; len++) {
        struct token_claims claims;
        struct wh_slice cut = wh_slice(token.ptr, len);
        assert_int_equal(verify_slice(verifier, TOKEN_CONNECTION, cut, &claims), WH_EDENIED);
    }
    token_verifier_free(verifier);
}

static void a_token_over_the_limit_is_refused_unread(void **state)
{
    (void)state;
    struct token_config config = {.hmac_secret_key = secret};
    struct token_verifier *verifier = make_verifier(&config);
    struct wh_buf payload = {0};
    const size_t fitting = 11000;
    for (size_t spaces = fitting; spaces < 100000; spaces *= 2) {
        wh_buf_reset(&payload);
        wh_buf_append_str(&payload, "{\"sub\":\"42\"}");
        for (size_t i = 0; i < spaces; i++)
            wh_buf_append_char(&payload, ' ');
        forge_hmac(&token, "HS256", secret, HS256, wh_buf_cstr(&payload));
        bool fits = token.len <= TOKEN_BYTES_MAX;
        assert_int_equal(fits, spaces == fitting);
        expect("long", verify(verifier), fits ? WH_OK : WH_EDENIED, fits ? "" : "format");
    }
    wh_buf_deinit(&payload);
    token_verifier_free(verifier);
}

/* ---- the claims ---- */

static void claims_of_the_wrong_kind_are_refused(void **state)
{
    (void)state;
    static const char *const payloads[] = {
        "[]",
        "[{\"sub\":\"42\"}]",
        "{\"sub\":42}",
        "{\"sub\":null}",
        "{\"sub\":true}",
        "{\"sub\":[\"42\"]}",
        "{\"sub\":{\"id\":\"42\"}}",
        "{\"sub\":\"42\",\"sub\":43}",
        "{\"exp\":\"1800000000\"}",
        "{\"exp\":1800000000.5}",
        "{\"exp\":-1}",
        "{\"exp\":1800000000000}", /* milliseconds */
        "{\"exp\":253402300800}",
        "{\"exp\":9223372036854775807}",
        "{\"exp\":1e300}",
        "{\"exp\":null}",
        "{\"exp\":true}",
        "{\"exp\":{}}",
        "{\"exp\":[1800000000]}",
        "{\"exp\":1800000000,\"exp\":\"never\"}",
        "{\"nbf\":\"0\"}",
        "{\"nbf\":-1}",
        "{\"nbf\":null}",
        "{\"nbf\":1e18}",
        "{\"iat\":\"x\"}",
        "{\"iat\":-5}",
        "{\"expire_at\":\"0\"}",
        "{\"expire_at\":-1}",
        "{\"expire_at\":null}",
        "{\"aud\":42}",
        "{\"aud\":{}}",
        "{\"aud\":null}",
        "{\"aud\":[42]}",
        "{\"aud\":[\"a\",null]}",
        "{\"iss\":42}",
        "{\"iss\":[\"a\"]}",
        "{\"iss\":null}",
        "{\"jti\":42}",
        "{\"channel\":\"news\"}", /* a subscription token */
        "{\"channel\":\"\"}",
        "{\"channel\":null}",
        "{\"channel\":42}",
        "{\"channels\":\"news\"}",
        "{\"channels\":[42]}",
        "{\"channels\":[\"\"]}",
        "{\"channels\":{\"news\":{}}}",
        "{\"subs\":[\"news\"]}",
        "{\"subs\":{\"\":{}}}",
        "{\"subs\":{\"news\":42}}",
        "{\"subs\":{\"news\":{\"b64data\":\"*\"}}}",
        "{\"subs\":{\"news\":{\"override\":{\"presence\":true}}}}",
        "{\"subs\":{\"news\":{\"override\":{\"presence\":{\"value\":\"yes\"}}}}}",
        "{\"b64info\":42}",
        "{\"b64info\":\"Zg\"}",
        "{\"b64info\":\"-_-_\"}",
    };
    struct token_config none = {0};
    for (size_t i = 0; i < COUNT(payloads); i++) {
        struct token_claims claims;
        enum wh_err err = verify_payload(none, TOKEN_CONNECTION, payloads[i], &claims);
        expect(payloads[i], err, WH_EDENIED, "claims");
    }
}

/* Here libjwt's reader may refuse before ours does; that it is refused is what counts. */
static void payloads_that_are_no_json_are_refused(void **state)
{
    (void)state;
    static const char *const payloads[] = {
        "",
        " ",
        "\"sub\"",
        "null",
        "42",
        "{",
        "{\"sub\":\"42\"}}",
        "{\"sub\":\"42\"} {}",
        "{\"sub\":\"42\"}\n{\"sub\":\"43\"}",
        "{\"sub\":\"42\"}x",
        "{\"sub\":\"4\n2\"}",
        "{\"sub\":\"\\u0000\"}",
        "{\"sub\":\"42\\u0000\"}",
        "{\"sub\":\"\xff\"}",
        "{\"sub\":\"\\ud800\"}",
        "{\"exp\":NaN}",
        "{\"exp\":01800000000}",
        "{\"exp\":0x6b49d200}",
        "{\"exp\":1e309}",
        "{\"exp\":18446744073709551615}",
        "{sub:\"42\"}",
        "{\"sub\":\"42\",}",
        "\xef\xbb\xbf{\"sub\":\"42\"}",
    };
    struct token_config none = {0};
    for (size_t i = 0; i < COUNT(payloads); i++) {
        struct token_claims claims;
        if (verify_payload(none, TOKEN_CONNECTION, payloads[i], &claims) != WH_EDENIED)
            fail_msg("accepted: %s", payloads[i]);
    }
}

static void deep_nesting_is_refused(void **state)
{
    (void)state;
    struct wh_buf payload = {0};
    struct token_config none = {0};
    static const struct {
        size_t depth;
        enum wh_err err;
    } cases[] = {{10, WH_OK}, {60, WH_OK}, {70, WH_EDENIED}, {5000, WH_EDENIED}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct token_claims claims;
        wh_buf_reset(&payload);
        wh_buf_append_str(&payload, "{\"info\":");
        for (size_t depth = 0; depth < cases[i].depth; depth++)
            wh_buf_append_char(&payload, '[');
        for (size_t depth = 0; depth < cases[i].depth; depth++)
            wh_buf_append_char(&payload, ']');
        wh_buf_append_char(&payload, '}');
        enum wh_err err = verify_payload(none, TOKEN_CONNECTION, wh_buf_cstr(&payload), &claims);
        assert_int_equal(err, cases[i].err);
    }
    wh_buf_deinit(&payload);
}

static void time_decides_last_and_only_for_good_tokens(void **state)
{
    (void)state;
    static const struct {
        const char *payload;
        enum wh_err err;
        const char *reason;
    } cases[] = {
        {"{\"exp\":1700000001}", WH_OK, ""},
        {"{\"exp\":1700000000}", WH_EEXPIRED, "expired"},
        {"{\"exp\":1699999999}", WH_EEXPIRED, "expired"},
        {"{\"exp\":0}", WH_EEXPIRED, "expired"},
        {"{\"exp\":1.8e9}", WH_OK, ""},
        {"{\"exp\":1800000000.0}", WH_OK, ""},
        {"{\"exp\":253402300799}", WH_OK, ""},
        {"{\"nbf\":1700000000}", WH_OK, ""},
        {"{\"nbf\":1700000001}", WH_EEXPIRED, "expired"},
        {"{\"nbf\":0}", WH_OK, ""},
        {"{\"exp\":1,\"exp\":1800000000}", WH_OK, ""},
        {"{\"exp\":1800000000,\"exp\":1}", WH_EEXPIRED, "expired"},
        {"{\"exp\":\"x\",\"exp\":1800000000}", WH_OK, ""},
        {"{\"expire_at\":1}", WH_OK, ""}, /* error 110 is the connection's business */
        {"{\"exp\":1,\"expire_at\":1800000000}", WH_EEXPIRED, "expired"},
        /* a token that is wrong in itself never gets as far as being expired */
        {"{\"exp\":1,\"sub\":42}", WH_EDENIED, "claims"},
        {"{\"exp\":1,\"channel\":\"news\"}", WH_EDENIED, "claims"},
    };
    struct token_config none = {0};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct token_claims claims;
        enum wh_err err = verify_payload(none, TOKEN_CONNECTION, cases[i].payload, &claims);
        if (err != WH_OK || cases[i].err != WH_OK)
            expect(cases[i].payload, err, cases[i].err, cases[i].reason);
    }
    struct token_claims claims;
    const char *expired = "{\"sub\":\"42\",\"exp\":1}";
    assert_int_equal(verify_payload(none, TOKEN_CONNECTION, expired, &claims), WH_EEXPIRED);
    assert_slice(claims.user, "42"); /* insecure mode overlooks the time, not the identity */
    struct token_config config = {.hmac_secret_key = old_secret};
    struct token_verifier *verifier = make_verifier(&config);
    forge_hmac(&token, "HS256", secret, HS256, expired);
    expect("expired and forged", verify(verifier), WH_EDENIED, "signature");
    token_verifier_free(verifier);
}

static void audience_and_issuer_must_be_ours(void **state)
{
    (void)state;
    static char shop[] = "shop", pattern[] = "^shop-[0-9]+$", anywhere[] = "shop";
    static const struct {
        struct token_config config;
        const char *payload;
        const char *reason; /* "" = fine */
    } cases[] = {
        {{.audience = shop}, "{\"aud\":\"shop\"}", ""},
        {{.audience = shop}, "{\"aud\":[\"x\",\"shop\"]}", ""},
        {{.audience = shop}, "{}", "audience"},
        {{.audience = shop}, "{\"aud\":\"\"}", "audience"},
        {{.audience = shop}, "{\"aud\":[]}", "audience"},
        {{.audience = shop}, "{\"aud\":\"Shop\"}", "audience"},
        {{.audience = shop}, "{\"aud\":\"shop2\"}", "audience"},
        {{.audience = shop}, "{\"aud\":\"shop\",\"aud\":\"x\"}", "audience"},
        {{.audience = shop}, "{\"aud\":\"x\",\"exp\":1}", "audience"},
        {{.audience = shop}, "{\"aud\":\"x\",\"aud\":\"shop\"}", ""},
        {{.audience = shop}, "{\"aud\":[\"shop\",42]}", "claims"},
        {{.audience_regex = pattern}, "{\"aud\":\"shop-12\"}", ""},
        {{.audience_regex = pattern}, "{\"aud\":[\"x\",\"shop-12\"]}", ""},
        {{.audience_regex = pattern}, "{\"aud\":\"shop-\"}", "audience"},
        {{.audience_regex = pattern}, "{\"aud\":\"xshop-12\"}", "audience"},
        {{.audience_regex = pattern}, "{\"aud\":\"shop-12\\n\"}", "audience"},
        {{.audience_regex = pattern}, "{}", "audience"},
        {{.audience_regex = anywhere}, "{\"aud\":\"my shop too\"}", ""},
        {{.issuer = shop}, "{\"iss\":\"shop\"}", ""},
        {{.issuer = shop}, "{\"iss\":\"sho\"}", "issuer"},
        {{.issuer = shop}, "{\"iss\":\"\"}", "issuer"},
        {{.issuer = shop}, "{}", "issuer"},
        {{.issuer_regex = pattern}, "{\"iss\":\"shop-1\"}", ""},
        {{.issuer_regex = pattern}, "{\"iss\":\"shop-1x\"}", "issuer"},
        {{.issuer_regex = pattern}, "{}", "issuer"},
        {{.issuer = shop, .audience = shop}, "{\"iss\":\"shop\"}", "audience"},
        {{.issuer = shop, .audience = shop}, "{\"aud\":\"shop\",\"iss\":\"shop\"}", ""},
        {{0}, "{\"aud\":\"x\",\"iss\":\"y\"}", ""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct token_claims claims;
        enum wh_err err =
            verify_payload(cases[i].config, TOKEN_CONNECTION, cases[i].payload, &claims);
        expect(cases[i].payload, err, *cases[i].reason ? WH_EDENIED : WH_OK, cases[i].reason);
    }
}

static void the_user_comes_from_the_claim_that_is_configured(void **state)
{
    (void)state;
    static char user_id[] = "user_id";
    struct token_config config = {.user_id_claim = user_id};
    struct token_claims claims;
    assert_slice(claims_of(TOKEN_CONNECTION, "{\"sub\":\"42\"}").user, "42");
    assert_slice(claims_of(TOKEN_CONNECTION, "{\"sub\":\"4\\u0032\"}").user, "42");
    assert_slice(claims_of(TOKEN_CONNECTION, "{\"sub\":\"\"}").user, "");
    assert_slice(claims_of(TOKEN_CONNECTION, "{\"iat\":1}").user, "");
    assert_slice(claims_of(TOKEN_CONNECTION, "{\"sub\":\"1\",\"sub\":\"2\"}").user, "2");
    assert_slice(claims_of(TOKEN_CONNECTION, "{\"a\":{\"sub\":\"1\"},\"Sub\":\"2\"}").user, "");
    assert_slice(claims_of(TOKEN_CONNECTION, "{\"sub\":\"\\\\u\\\"\\u00e9\"}").user,
                 "\\u\"\xc3\xa9");
    const char *payload = "{\"sub\":\"1\",\"user_id\":\"2\"}";
    assert_int_equal(verify_payload(config, TOKEN_CONNECTION, payload, &claims), WH_OK);
    assert_slice(claims.user, "2");
    assert_int_equal(verify_payload(config, TOKEN_CONNECTION, "{\"sub\":\"1\"}", &claims), WH_OK);
    assert_slice(claims.user, "");
    payload = "{\"sub\":\"1\",\"user_id\":2}";
    assert_int_equal(verify_payload(config, TOKEN_CONNECTION, payload, &claims), WH_EDENIED);
}

static void expiry_of_the_connection_may_differ_from_the_token_s(void **state)
{
    (void)state;
    static const struct {
        const char *payload;
        int64_t exp, expire_at, iat;
    } cases[] = {
        {"{}", 0, 0, 0},
        {"{\"exp\":1800000000}", 1800000000, 1800000000, 0},
        {"{\"exp\":1800000000,\"expire_at\":0}", 1800000000, 0, 0},
        {"{\"exp\":1800000000,\"expire_at\":1900000000}", 1800000000, 1900000000, 0},
        {"{\"expire_at\":1900000000,\"iat\":1600000000}", 0, 1900000000, 1600000000},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct token_claims claims = claims_of(TOKEN_CONNECTION, cases[i].payload);
        assert_int_equal(claims.exp, cases[i].exp);
        assert_int_equal(claims.expire_at, cases[i].expire_at);
        assert_int_equal(claims.iat, cases[i].iat);
    }
}

static void assert_payload(struct wh_payload payload, enum wh_payload_kind kind, const char *bytes)
{
    assert_slice(payload.bytes, bytes);
    if (bytes)
        assert_int_equal(payload.kind, kind);
}

static void a_connection_token_carries_info_meta_and_channels(void **state)
{
    (void)state;
    struct token_claims claims =
        claims_of(TOKEN_CONNECTION, "{\n  \"sub\": \"42\",\n  \"jti\": \"x-1\",\n"
                                    "  \"info\": {\"name\":\"Ann\"},\n"
                                    "  \"meta\": [1,2],\n"
                                    "  \"channels\": [\"a\",\"b\",\"a\"]\n}\n");
    assert_slice(claims.jti, "x-1");
    assert_payload(claims.info, WH_PAYLOAD_JSON, "{\"name\":\"Ann\"}");
    assert_payload(claims.meta, WH_PAYLOAD_JSON, "[1,2]");
    assert_int_equal(claims.subs.count, 2);
    assert_slice(claims.subs.items[0].channel, "a");
    assert_slice(claims.subs.items[1].channel, "b");
    assert_false(wh_payload_is_present(claims.subs.items[0].info));
    assert_false(claims.subs.items[0].override.presence.is_set);

    claims = claims_of(TOKEN_CONNECTION, "{\"info\":{\"a\":1},\"b64info\":\"AP8=\"}");
    assert_int_equal(claims.info.kind, WH_PAYLOAD_BYTES);
    assert_true(wh_slice_equal(claims.info.bytes, WH_SLICE_LITERAL("\x00\xff")));
    claims = claims_of(TOKEN_CONNECTION, "{\"info\":1,\"b64info\":\"\",\"meta\":null}");
    assert_payload(claims.info, WH_PAYLOAD_JSON, "1");
    assert_false(wh_payload_is_present(claims.meta));
    assert_slice(claims.channel, NULL);
}

static const struct token_subscription *find_subscription(const struct token_claims *claims,
                                                          const char *channel)
{
    for (size_t i = 0; i < claims->subs.count; i++)
        if (wh_slice_equal_str(claims->subs.items[i].channel, channel))
            return &claims->subs.items[i];
    fail_msg("no subscription to %s", channel);
    return NULL;
}

static void roles_come_in_order_and_without_the_one_that_only_the_hub_gives(void **state)
{
    (void)state;
    struct token_claims claims =
        claims_of(TOKEN_CONNECTION, "{\"roles\":[\"admin\",\"internal\",\"a\\u0062c\"]}");
    assert_int_equal(claims.roles.count, 2);
    assert_slice(claims.roles.items[0], "admin");
    assert_slice(claims.roles.items[1], "abc");
    static const char *const without[] = {"{}", "{\"roles\":null}", "{\"roles\":[]}",
                                          "{\"roles\":[\"internal\"]}",
                                          "{\"realm_access\":{\"roles\":[\"admin\"]}}"};
    for (size_t i = 0; i < COUNT(without); i++)
        assert_int_equal(claims_of(TOKEN_CONNECTION, without[i]).roles.count, 0);
}

static void roles_of_another_shape_spoil_the_token(void **state)
{
    (void)state;
    char many[1024] = "{\"roles\":[\"r\"", text[1100], name[TOKEN_ROLE_BYTES_MAX + 2];
    size_t len = strlen(many);
    for (int i = 1; i < TOKEN_ROLES_MAX; i++)
        len += (size_t)snprintf(many + len, sizeof(many) - len, ",\"r\"");
    snprintf(text, sizeof(text), "%s]}", many);
    assert_int_equal(claims_of(TOKEN_CONNECTION, text).roles.count, TOKEN_ROLES_MAX);
    snprintf(many + len, sizeof(many) - len, ",\"r\"]}");
    memset(name, 'n', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    snprintf(text, sizeof(text), "{\"roles\":[\"%s\"]}", name);
    const char *const bad[] = {many,
                               text,
                               "{\"roles\":\"admin\"}",
                               "{\"roles\":[1]}",
                               "{\"roles\":[\"\"]}",
                               "{\"roles\":{\"admin\":true}}"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct token_claims claims;
        expect(bad[i], verify_payload((struct token_config){0}, TOKEN_CONNECTION, bad[i], &claims),
               WH_EDENIED, "claims");
    }
}

static void subs_win_over_channels_and_the_last_of_duplicates_wins(void **state)
{
    (void)state;
    struct token_claims claims = claims_of(
        TOKEN_CONNECTION,
        "{\"channels\":[\"x\"],\"subs\":{"
        "\"a\":{\"info\":{\"n\":1},\"data\":\"first\"},"
        "\"b\":{\"b64info\":\"Zm9v\",\"b64data\":\"YmFy\",\"override\":{"
        "\"presence\":{\"value\":true},\"join_leave\":{\"value\":false},"
        "\"force_push_join_leave\":{\"value\":true},\"force_positioning\":{\"value\":true},"
        "\"force_recovery\":{}}},"
        "\"a\":{\"data\":\"second\"}}}");
    assert_int_equal(claims.subs.count, 2);
    const struct token_subscription *a = find_subscription(&claims, "a");
    const struct token_subscription *b = find_subscription(&claims, "b");
    assert_false(wh_payload_is_present(a->info));
    assert_payload(a->data, WH_PAYLOAD_JSON, "\"second\"");
    assert_payload(b->info, WH_PAYLOAD_BYTES, "foo");
    assert_payload(b->data, WH_PAYLOAD_BYTES, "bar");
    assert_true(b->override.presence.is_set && b->override.presence.value);
    assert_true(b->override.join_leave.is_set && !b->override.join_leave.value);
    assert_true(b->override.force_push_join_leave.is_set &&
                b->override.force_push_join_leave.value);
    assert_true(b->override.force_positioning.is_set && b->override.force_positioning.value);
    assert_true(b->override.force_recovery.is_set && !b->override.force_recovery.value);
    assert_false(a->override.presence.is_set);
}

static void a_subscription_token_names_its_channel(void **state)
{
    (void)state;
    struct token_claims claims = claims_of(
        TOKEN_SUBSCRIPTION,
        "{\"sub\":\"42\",\"channel\":\"news\",\"client\":\"c-1\",\"data\":{\"a\":1},"
        "\"info\":\"i\",\"override\":{\"presence\":{\"value\":true}},\"subs\":{\"x\":{}}}");
    assert_slice(claims.user, "42");
    assert_slice(claims.channel, "news");
    assert_slice(claims.client, "c-1");
    assert_payload(claims.data, WH_PAYLOAD_JSON, "{\"a\":1}");
    assert_payload(claims.info, WH_PAYLOAD_JSON, "\"i\"");
    assert_true(claims.override.presence.is_set && claims.override.presence.value);
    assert_int_equal(claims.subs.count, 0);
    assert_slice(claims_of(TOKEN_SUBSCRIPTION, "{\"channel\":\"test1\"}").user, "");

    static const char *const refused[] = {"{\"sub\":\"42\"}",
                                          "{\"channel\":\"\"}",
                                          "{\"channel\":null}",
                                          "{\"channel\":[\"news\"]}",
                                          "{\"channel\":\"news\",\"channel\":\"\"}",
                                          "{\"channel\":\"news\",\"client\":1}",
                                          "{\"channel\":\"news\",\"b64data\":\"!\"}"};
    struct token_config none = {0};
    for (size_t i = 0; i < COUNT(refused); i++) {
        enum wh_err err = verify_payload(none, TOKEN_SUBSCRIPTION, refused[i], &claims);
        expect(refused[i], err, WH_EDENIED, "claims");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_that_choose_their_own_rules_are_refused),
        cmocka_unit_test(what_a_header_says_about_keys_changes_nothing),
        cmocka_unit_test(texts_that_are_no_compact_token_are_refused),
        cmocka_unit_test(missing_segments_are_refused),
        cmocka_unit_test(each_changed_character_breaks_the_token),
        cmocka_unit_test(a_token_over_the_limit_is_refused_unread),
        cmocka_unit_test(claims_of_the_wrong_kind_are_refused),
        cmocka_unit_test(payloads_that_are_no_json_are_refused),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(time_decides_last_and_only_for_good_tokens),
        cmocka_unit_test(audience_and_issuer_must_be_ours),
        cmocka_unit_test(the_user_comes_from_the_claim_that_is_configured),
        cmocka_unit_test(expiry_of_the_connection_may_differ_from_the_token_s),
        cmocka_unit_test(a_connection_token_carries_info_meta_and_channels),
        cmocka_unit_test(roles_come_in_order_and_without_the_one_that_only_the_hub_gives),
        cmocka_unit_test(roles_of_another_shape_spoil_the_token),
        cmocka_unit_test(subs_win_over_channels_and_the_last_of_duplicates_wins),
        cmocka_unit_test(a_subscription_token_names_its_channel),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
