/*
 * Hostile tokens.  The first byte picks the layer: the text as it comes from a client; a header
 * and a payload (separated by a line feed) with a right signature, so that what lies behind the
 * signature is reached; or the claims alone, as either kind of token.
 */
#include "hub/token_claims.h"
#include "tests/support/forge.h"

#include <stdint.h>

enum { ARENA_LIMIT = 4 << 20, NOW_S = 1700000000 };

static char secret[] = "a secret of more than thirty-two bytes";
static char audience_pattern[] = "^[a-z]+$";

static const struct token_config config = {
    .hmac_secret_key = secret,
    .hmac_previous_secret_key = secret,
    .audience_regex = audience_pattern,
};

static struct token_verifier *verifier;
static struct token_rules rules;

static void prepare(void)
{
    struct wh_buf problem = {0};
    if (verifier)
        return;
    WH_ASSERT(token_verifier_new(&config, &verifier, &problem) == WH_OK);
    WH_ASSERT(token_rules_init(&rules, &config, &problem) == WH_OK);
    wh_buf_deinit(&problem);
}

/* What every caller relies on: bounded times, and subscriptions that name a channel once. */
static void check_claims(const struct token_claims *claims)
{
    WH_ASSERT(claims->user.ptr);
    WH_ASSERT(claims->exp == 0 || claims->exp > NOW_S);
    WH_ASSERT(claims->expire_at >= 0 && claims->expire_at <= TOKEN_TIME_MAX_S);
    for (size_t i = 0; i < claims->subs.count; i++) {
        WH_ASSERT(claims->subs.items[i].channel.len > 0);
        for (size_t k = 0; k < i && i < 64; k++)
            WH_ASSERT(
                !wh_slice_equal(claims->subs.items[i].channel, claims->subs.items[k].channel));
    }
}

static void verify(struct wh_slice text, bool is_forged, struct wh_arena *arena)
{
    struct token_claims claims;
    const char *reason = NULL;
    enum wh_err err =
        token_verify(verifier, TOKEN_CONNECTION, text, NOW_S, arena, &claims, &reason);
    WH_ASSERT(err == WH_OK || reason);
    WH_ASSERT(err == WH_OK || err == WH_EDENIED || err == WH_EEXPIRED);
    WH_ASSERT(!is_forged || err == WH_EDENIED);
    if (!err)
        check_claims(&claims);
}

/* Sign the input with the secret and see what comes out; NULs cannot get into forge_hmac. */
static void verify_signed(struct wh_slice input, struct wh_arena *arena)
{
    struct wh_slice copy = wh_arena_copy(arena, input);
    char *header = (char *)(uintptr_t)copy.ptr;
    char *feed = header ? memchr(header, '\n', copy.len) : NULL;
    if (!feed)
        return;
    *feed = '\0';
    struct wh_buf token = {0};
    forge_hmac(&token, "HS256", secret, header, feed + 1);
    verify(wh_buf_slice(&token), false, arena);
    wh_buf_deinit(&token);
}

static void decode_claims(enum token_kind kind, struct wh_slice input, struct wh_arena *arena)
{
    struct token_claims claims;
    const char *reason = NULL;
    enum wh_err err = token_claims_decode(&rules, kind, input, NOW_S, arena, &claims, &reason);
    WH_ASSERT(err == WH_OK || reason);
    if (!err)
        check_claims(&claims);
    WH_ASSERT(err || (claims.channel.len > 0) == (kind == TOKEN_SUBSCRIPTION));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wh_arena arena;
    if (size < 1)
        return 0;
    prepare();
    wh_arena_init(&arena, ARENA_LIMIT);
    struct wh_slice input = wh_slice(data + 1, size - 1);
    switch (data[0] & 3) {
    case 0:
        verify(input, true, &arena);
        break;
    case 1:
        verify_signed(input, &arena);
        break;
    case 2:
        decode_claims(TOKEN_CONNECTION, input, &arena);
        break;
    default:
        decode_claims(TOKEN_SUBSCRIPTION, input, &arena);
        break;
    }
    wh_arena_deinit(&arena);
    return 0;
}
