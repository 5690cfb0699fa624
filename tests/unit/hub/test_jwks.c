/* Tokens whose keys are at an endpoint: a server on the same loop, asked as seldom as promised. */
#include "common/base/log.h"
#include "hub/auth.h"

#include "tests/support/forge_jwk.h"
#include "tests/support/http_stub.h"

#include <openssl/err.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { NOW_S = 1700000000, WAITERS = 1000, GIVE_UP_TICKS = 600 };

static const struct jwks_times quiet = {.fetch_timeout = 5000,
                                        .refresh = 3600 * 1000,
                                        .unknown_kid = 3600 * 1000,
                                        .retry_min = 3600 * 1000,
                                        .retry_max = 3600 * 1000};

static struct wh_loop loop;
static struct http_stub stub;
static struct jwks_pool *pool;
static struct token_verifier *verifier;
static char url[64];
static char secret[] = "a secret of more than thirty-two bytes";

static struct wh_arena arena;
static struct wh_buf set, token;
static const char *status; /* of the next responses; NULL = silence */
static const char *reason;
static EVP_PKEY *rsa, *other_rsa, *p256, *p384, *p521, *ed25519;

static void answer(struct http_stub *server, const char *path, struct wh_buf *out)
{
    (void)server;
    (void)path;
    if (status)
        http_stub_respond(out, status, wh_buf_slice(&set));
}

static void begin_set(void)
{
    wh_buf_reset(&set);
    wh_buf_append_str(&set, "{\"keys\":[");
}

static void add_key(EVP_PKEY *key, const char *kid)
{
    char more[64];
    snprintf(more, sizeof(more), ",\"kid\":\"%s\"", kid);
    if (set.ptr[set.len - 1] != '[')
        wh_buf_append_char(&set, ',');
    forge_jwk(&set, key, more);
}

static void end_set(void)
{
    wh_buf_append_str(&set, "]}");
}

static struct token_verifier *make_verifier(void)
{
    struct token_verifier *made = NULL;
    struct wh_buf problem = {0};
    /* With an endpoint the secret must not count. */
    const struct token_config config = {.jwks_public_endpoint = url, .hmac_secret_key = secret};
    assert_int_equal(token_verifier_new(&config, &made, &problem), WH_OK);
    assert_int_equal(token_verifier_use_jwks(made, pool), WH_OK);
    wh_buf_deinit(&problem);
    return made;
}

static void start(const struct jwks_times *times)
{
    assert_int_equal(jwks_pool_new(&loop, times, &pool), WH_OK);
    verifier = make_verifier();
}

static int create_keys(void **state)
{
    (void)state;
    setenv("no_proxy", "*", 1);
    wh_log_set_level(WH_LOG_NONE);
    rsa = EVP_RSA_gen(2048);
    other_rsa = EVP_RSA_gen(2048);
    p256 = EVP_EC_gen("P-256");
    p384 = EVP_EC_gen("P-384");
    p521 = EVP_EC_gen("P-521");
    ed25519 = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    return 0;
}

static int free_keys(void **state)
{
    (void)state;
    EVP_PKEY *const keys[] = {rsa, other_rsa, p256, p384, p521, ed25519};
    for (size_t i = 0; i < COUNT(keys); i++)
        EVP_PKEY_free(keys[i]);
    wh_buf_deinit(&set);
    wh_buf_deinit(&token);
    return 0;
}

/* The endpoint has `rsa` as "a". */
static int setup(void **state)
{
    (void)state;
    assert_int_equal(wh_loop_init(&loop), WH_OK);
    wh_arena_init(&arena, 0);
    http_stub_open(&stub, &loop, answer);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/keys", stub.port);
    status = "200 OK";
    begin_set();
    add_key(rsa, "a");
    end_set();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    token_verifier_free(verifier);
    verifier = NULL;
    jwks_pool_free(pool);
    pool = NULL;
    http_stub_close(&stub);
    wh_arena_deinit(&arena);
    wh_loop_deinit(&loop);
    return 0;
}

/* ---- the loop until something holds ---- */

static bool (*condition)(void);
static unsigned ticks;

static void on_tick(struct wh_timer *timer)
{
    if (condition())
        wh_loop_stop(&loop);
    else if (++ticks > GIVE_UP_TICKS)
        fail_msg("it never came true");
    else
        wh_loop_timer_start(&loop, timer, WH_WHEEL_TICK_MS);
}

static void run_until(bool (*is_true)(void))
{
    struct wh_timer timer;
    condition = is_true;
    ticks = 0;
    wh_timer_init(&timer, on_tick);
    wh_loop_timer_start(&loop, &timer, 0);
    wh_loop_run(&loop);
}

static unsigned wanted_requests;

static bool has_enough_requests(void)
{
    return stub.requests >= wanted_requests;
}

/* ---- verifying ---- */

static enum wh_err verify_now(void)
{
    struct token_claims claims;
    reason = "";
    wh_arena_reset(&arena);
    enum wh_err err = token_verify(verifier, TOKEN_CONNECTION, wh_buf_slice(&token), NOW_S, &arena,
                                   &claims, &reason);
    assert_int_equal(ERR_peek_error(), 0);
    return err;
}

static enum wh_err final;

static void on_keys(struct jwks_waiter *waiter)
{
    assert_false(token_verifier_wait(verifier, wh_buf_slice(&token), &arena, waiter));
    final = verify_now();
    wh_loop_stop(&loop);
}

/* As a session does: wait if need be, then verify. */
static enum wh_err verify(void)
{
    struct jwks_waiter waiter;
    jwks_waiter_init(&waiter, on_keys);
    if (!token_verifier_wait(verifier, wh_buf_slice(&token), &arena, &waiter))
        return verify_now();
    assert_int_equal(verify_now(), WH_EUNAVAILABLE);
    assert_string_equal(reason, "unavailable");
    wh_loop_run(&loop);
    assert_false(jwks_waiter_is_waiting(&waiter));
    return final;
}

/* A token of `key` whose header says `alg` and, unless NULL, `kid`. */
static void forge(EVP_PKEY *key, const char *alg, const char *kid)
{
    char header[256];
    if (kid)
        snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"%s\"}", alg, kid);
    else
        snprintf(header, sizeof(header), "{\"alg\":\"%s\"}", alg);
    forge_pkey(&token, alg, key, header, "{\"sub\":\"42\"}");
}

static void expect(const char *what, enum wh_err expected, const char *expected_reason)
{
    enum wh_err err = verify();
    if (err != expected || strcmp(reason, expected_reason) != 0)
        fail_msg("%s: %s, %s", what, wh_err_name(err), reason);
}

/* ---- tests ---- */

static void every_kind_of_key_verifies_its_tokens(void **state)
{
    (void)state;
    const struct {
        EVP_PKEY *key;
        const char *alg, *kid;
    } cases[] = {{rsa, "RS256", "a"},    {rsa, "RS384", "a"},  {rsa, "RS512", "a"},
                 {p256, "ES256", "b"},   {p384, "ES384", "c"}, {p521, "ES512", "d"},
                 {ed25519, "EdDSA", "e"}};
    begin_set();
    add_key(rsa, "a");
    add_key(p256, "b");
    add_key(p384, "c");
    add_key(p521, "d");
    add_key(ed25519, "e");
    end_set();
    start(&quiet);
    for (size_t i = 0; i < COUNT(cases); i++) {
        forge(cases[i].key, cases[i].alg, cases[i].kid);
        expect(cases[i].alg, WH_OK, "");
        token.ptr[token.len - 8] = token.ptr[token.len - 8] == 'A' ? 'B' : 'A';
        expect(cases[i].alg, WH_EDENIED, "signature");
    }
    assert_int_equal(stub.requests, 1);
}

static void a_token_cannot_choose_what_its_key_is_for(void **state)
{
    (void)state;
    char *pem = forge_pem(rsa, false);
    begin_set();
    add_key(rsa, "a");
    add_key(ed25519, "e");
    end_set();
    start(&quiet);
    forge(rsa, "RS256", "a");
    expect("good", WH_OK, "");
    forge(rsa, "RS256", NULL);
    expect("no kid", WH_EDENIED, "no_key");
    forge(rsa, "RS256", "");
    expect("empty kid", WH_EDENIED, "no_key");
    forge_pkey(&token, "RS256", rsa, "{\"alg\":\"RS256\",\"kid\":1}", "{}");
    expect("kid of another type", WH_EDENIED, "no_key");
    forge(p256, "ES256", "a");
    expect("another family", WH_EDENIED, "algorithm");
    forge(ed25519, "EdDSA", "a");
    expect("another family", WH_EDENIED, "algorithm");
    forge(rsa, "RS256", "e");
    expect("another family", WH_EDENIED, "algorithm");
    forge(other_rsa, "RS256", "a");
    expect("another key", WH_EDENIED, "signature");
    forge_hmac(&token, "HS256", pem, "{\"alg\":\"HS256\",\"kid\":\"a\"}", "{}");
    expect("the public key as secret", WH_EDENIED, "algorithm");
    forge_hmac(&token, "HS256", secret, "{\"alg\":\"HS256\"}", "{}");
    expect("the configured secret", WH_EDENIED, "no_key");
    forge_pkey(&token, "RS256", rsa, "{\"alg\":\"none\",\"kid\":\"a\"}", "{}");
    expect("none", WH_EDENIED, "algorithm");
    forge_pkey(&token, "RS256", other_rsa,
               "{\"alg\":\"RS256\",\"kid\":\"a\",\"jku\":\"http://127.0.0.1:1/\"}", "{}");
    expect("jku", WH_EDENIED, "signature");
    assert_int_equal(stub.requests, 1);
    free(pem);
}

static unsigned called;

static void on_counted(struct jwks_waiter *waiter)
{
    assert_false(jwks_waiter_is_waiting(waiter));
    assert_int_equal(verify_now(), WH_EDENIED);
    assert_string_equal(reason, "no_key");
    if (++called == WAITERS)
        wh_loop_stop(&loop);
}

static void a_storm_of_unknown_kids_causes_one_fetch(void **state)
{
    (void)state;
    static struct jwks_waiter waiters[WAITERS];
    called = 0;
    start(&quiet);
    forge(rsa, "RS256", "a");
    expect("known", WH_OK, "");
    for (size_t i = 0; i < WAITERS; i++) {
        char kid[32];
        snprintf(kid, sizeof(kid), "unknown-%zu", i);
        forge(ed25519, "EdDSA", kid); /* EdDSA, for it is made fast */
        jwks_waiter_init(&waiters[i], on_counted);
        assert_true(token_verifier_wait(verifier, wh_buf_slice(&token), &arena, &waiters[i]));
    }
    wh_loop_run(&loop);
    assert_int_equal(called, WAITERS);
    assert_int_equal(stub.requests, 2);
    forge(rsa, "RS256", "yet another");
    expect("within the interval", WH_EDENIED, "no_key");
    forge(rsa, "RS256", "a");
    expect("known", WH_OK, "");
    assert_int_equal(stub.requests, 2);
}

static void a_new_key_is_fetched_when_its_first_token_comes_and_the_old_one_stays(void **state)
{
    (void)state;
    start(&quiet);
    forge(rsa, "RS256", "a");
    expect("before", WH_OK, "");
    begin_set();
    add_key(p256, "b");
    add_key(rsa, "a");
    end_set();
    forge(p256, "ES256", "b");
    expect("new", WH_OK, "");
    forge(rsa, "RS256", "a");
    expect("old", WH_OK, "");
    assert_int_equal(stub.requests, 2);
}

static bool is_old_key_refused(void)
{
    return verify_now() == WH_EDENIED;
}

static void a_key_that_left_the_set_is_refused_after_the_refresh(void **state)
{
    (void)state;
    struct jwks_times times = quiet;
    times.refresh = 50;
    start(&times);
    forge(rsa, "RS256", "a");
    expect("before", WH_OK, "");
    begin_set();
    add_key(p256, "b");
    end_set();
    run_until(is_old_key_refused);
    assert_string_equal(reason, "no_key");
    forge(p256, "ES256", "b");
    expect("new", WH_OK, "");
}

static void bad_answers_leave_the_keys_as_they_are(void **state)
{
    (void)state;
    static const struct {
        const char *status, *body;
    } cases[] = {{"500 Internal Server Error", ""},
                 {"404 Not Found", "{\"keys\":[]}"},
                 {"200 OK", "<html>"},
                 {"200 OK", "{}"},
                 {"302 Found\r\nLocation: https://127.0.0.1:1/", "{\"keys\":[]}"}};
    struct jwks_times times = quiet;
    times.refresh = times.retry_min = times.retry_max = 20;
    start(&times);
    forge(rsa, "RS256", "a");
    expect("before", WH_OK, "");
    for (size_t i = 0; i < COUNT(cases); i++) {
        status = cases[i].status;
        wh_buf_reset(&set);
        wh_buf_append_str(&set, cases[i].body);
        wanted_requests = stub.requests + 2; /* the first of them has then been taken */
        run_until(has_enough_requests);
        assert_int_equal(verify_now(), WH_OK);
        assert_true(token_verifier_problem(verifier)[0] != '\0');
        assert_null(strstr(token_verifier_problem(verifier), "/keys"));
    }
}

static void a_dead_endpoint_is_asked_seldom_and_new_kids_are_unavailable(void **state)
{
    (void)state;
    struct jwks_times times = quiet;
    times.refresh = 20;
    times.unknown_kid = 0;
    start(&times);
    forge(rsa, "RS256", "a");
    expect("before", WH_OK, "");
    status = "503 Service Unavailable";
    wanted_requests = 2;
    run_until(has_enough_requests);
    forge(rsa, "RS256", "unknown");
    for (int i = 0; i < 100; i++)
        assert_int_equal(verify(), WH_EUNAVAILABLE);
    forge(rsa, "RS256", "a");
    expect("old keys stay", WH_OK, "");
    assert_true(stub.requests <= 3);
}

static bool is_ok(void)
{
    return verify_now() == WH_OK;
}

static void an_endpoint_that_comes_late_is_found(void **state)
{
    (void)state;
    struct jwks_times times = quiet;
    times.fetch_timeout = 100;
    times.retry_min = 10;
    times.retry_max = 20;
    status = NULL;
    start(&times);
    forge(rsa, "RS256", "a");
    expect("silent", WH_EUNAVAILABLE, "unavailable");
    assert_non_null(strstr(token_verifier_problem(verifier), "timed out"));
    status = "200 OK";
    run_until(is_ok);
    assert_string_equal(token_verifier_problem(verifier), "");
}

static void verifiers_share_an_endpoint_and_a_reload_keeps_its_keys(void **state)
{
    (void)state;
    start(&quiet);
    struct token_verifier *second = make_verifier();
    forge(rsa, "RS256", "a");
    expect("first", WH_OK, "");
    token_verifier_free(verifier);
    verifier = second;
    assert_int_equal(verify_now(), WH_OK);
    assert_int_equal(stub.requests, 1);
}

static void on_abandoned(struct jwks_waiter *waiter)
{
    (void)waiter;
    called++;
}

static void waiters_are_called_when_their_endpoint_goes_and_not_once_cancelled(void **state)
{
    (void)state;
    struct jwks_waiter waiting, cancelled;
    called = 0;
    status = NULL;
    start(&quiet);
    jwks_waiter_init(&waiting, on_abandoned);
    jwks_waiter_init(&cancelled, on_abandoned);
    forge(rsa, "RS256", "a");
    assert_true(token_verifier_wait(verifier, wh_buf_slice(&token), &arena, &waiting));
    assert_true(token_verifier_wait(verifier, wh_buf_slice(&token), &arena, &cancelled));
    wanted_requests = 1;
    run_until(has_enough_requests);
    assert_int_equal(called, 0);
    jwks_waiter_cancel(&cancelled);
    jwks_waiter_cancel(&cancelled);
    token_verifier_free(verifier);
    verifier = NULL;
    assert_int_equal(called, 1);
}

static void a_closed_pool_keeps_its_keys_and_lets_the_loop_end(void **state)
{
    (void)state;
    struct jwks_waiter waiter;
    called = 0;
    start(&quiet);
    forge(rsa, "RS256", "a");
    expect("before", WH_OK, "");
    jwks_waiter_init(&waiter, on_abandoned);
    forge(rsa, "RS256", "unknown");
    assert_true(token_verifier_wait(verifier, wh_buf_slice(&token), &arena, &waiter));
    jwks_pool_close(pool);
    assert_int_equal(called, 1);
    forge(rsa, "RS256", "a");
    expect("after", WH_OK, "");
    forge(rsa, "RS256", "another");
    assert_int_not_equal(verify(), WH_OK);
    wh_loop_run(&loop);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_kind_of_key_verifies_its_tokens),
        TEST(a_token_cannot_choose_what_its_key_is_for),
        TEST(a_storm_of_unknown_kids_causes_one_fetch),
        TEST(a_new_key_is_fetched_when_its_first_token_comes_and_the_old_one_stays),
        TEST(a_key_that_left_the_set_is_refused_after_the_refresh),
        TEST(bad_answers_leave_the_keys_as_they_are),
        TEST(a_dead_endpoint_is_asked_seldom_and_new_kids_are_unavailable),
        TEST(an_endpoint_that_comes_late_is_found),
        TEST(verifiers_share_an_endpoint_and_a_reload_keeps_its_keys),
        TEST(waiters_are_called_when_their_endpoint_goes_and_not_once_cancelled),
        TEST(a_closed_pool_keeps_its_keys_and_lets_the_loop_end),
    };
    return cmocka_run_group_tests(tests, create_keys, free_keys);
}
