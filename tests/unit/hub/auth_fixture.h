/*
 * What the tests of tokens share: a verifier, a forged token, and the reason for what became of it.
 */
#ifndef TESTS_HUB_AUTH_FIXTURE_H
#define TESTS_HUB_AUTH_FIXTURE_H

#include "hub/auth.h"

#include "tests/support/forge.h"

#include <openssl/err.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HS256        "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"

enum { NOW_S = 1700000000 };

static char secret[] = "a secret of more than thirty-two bytes";
static char old_secret[] = "another secret that was good once upon a time";

static struct wh_arena arena;
static struct wh_buf token;
static struct wh_buf problem;
static const char *reason;

static inline int setup(void **state)
{
    (void)state;
    wh_arena_init(&arena, 0);
    wh_buf_init(&token, 0);
    wh_buf_init(&problem, 0);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    wh_arena_deinit(&arena);
    wh_buf_deinit(&token);
    wh_buf_deinit(&problem);
    return 0;
}

static inline struct token_verifier *make_verifier(const struct token_config *config)
{
    struct token_verifier *verifier = NULL;
    wh_buf_reset(&problem);
    if (token_verifier_new(config, &verifier, &problem) != WH_OK)
        fail_msg("%s", wh_buf_cstr(&problem));
    return verifier;
}

static inline enum wh_err verify_slice(const struct token_verifier *verifier,
                                       enum token_kind kind,
                                       struct wh_slice text,
                                       struct token_claims *claims)
{
    reason = "";
    wh_arena_reset(&arena);
    enum wh_err err = token_verify(verifier, kind, text, NOW_S, &arena, claims, &reason);
    /* What libjwt leaves in the queue would break the next TLS connection of the thread. */
    assert_int_equal(ERR_peek_error(), 0);
    return err;
}

/* Verify what was last forged. */
static inline enum wh_err verify(const struct token_verifier *verifier)
{
    struct token_claims claims;
    return verify_slice(verifier, TOKEN_CONNECTION, wh_buf_slice(&token), &claims);
}

static inline void expect(const char *what,
                          enum wh_err err,
                          enum wh_err expected,
                          const char *expected_reason)
{
    if (err != expected || strcmp(reason, expected_reason) != 0)
        fail_msg("%s: %s, %s", what, wh_err_name(err), reason);
}

/* Verify `payload`, rightly signed, as a token of `kind` under `config` plus the secret. */
static inline enum wh_err verify_payload(struct token_config config,
                                         enum token_kind kind,
                                         const char *payload,
                                         struct token_claims *claims)
{
    config.hmac_secret_key = secret;
    struct token_verifier *verifier = make_verifier(&config);
    forge_hmac(&token, "HS256", secret, HS256, payload);
    enum wh_err err = verify_slice(verifier, kind, wh_buf_slice(&token), claims);
    token_verifier_free(verifier);
    return err;
}

static inline void assert_slice(struct wh_slice slice, const char *expected)
{
    if (!wh_slice_equal_str(slice, expected) || (expected && !slice.ptr))
        fail_msg("'%.*s' is not '%s'", WH_SLICE_ARGS(slice), expected ? expected : "absent");
}

#endif
