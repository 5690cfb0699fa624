#include "services/user/refresh.h"

#include "common/base/base64.h"
#include "common/base/random.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <string.h>

#define TOKEN_PREFIX "whr_"

static void write_token(const unsigned char bytes[REFRESH_TOKEN_BYTES],
                        char out[REFRESH_TOKEN_TEXT + 1])
{
    struct wh_buf text = {0};
    wh_buf_append_str(&text, TOKEN_PREFIX);
    wh_base64_encode(WH_BASE64_URL, wh_slice(bytes, REFRESH_TOKEN_BYTES), &text);
    WH_ASSERT(wh_buf_error(&text) == WH_OK && text.len == REFRESH_TOKEN_TEXT);
    memcpy(out, text.ptr, text.len);
    out[text.len] = '\0';
    OPENSSL_cleanse(text.ptr, text.len);
    wh_buf_deinit(&text);
}

void refresh_token_new(char out[REFRESH_TOKEN_TEXT + 1])
{
    unsigned char bytes[REFRESH_TOKEN_BYTES];
    wh_random_kernel(bytes, sizeof(bytes));
    write_token(bytes, out);
    OPENSSL_cleanse(bytes, sizeof(bytes));
}

void refresh_token_successor(const unsigned char key[REFRESH_KEY_BYTES],
                             const char *token,
                             char out[REFRESH_TOKEN_TEXT + 1])
{
    unsigned char bytes[REFRESH_TOKEN_BYTES];
    unsigned len = sizeof(bytes);
    const unsigned char *mac = HMAC(EVP_sha256(), key, REFRESH_KEY_BYTES,
                                    (const unsigned char *)token, REFRESH_TOKEN_TEXT, bytes, &len);
    WH_ASSERT(mac && len == sizeof(bytes));
    write_token(bytes, out);
    OPENSSL_cleanse(bytes, sizeof(bytes));
}

bool refresh_token_hash(struct wh_slice token, unsigned char out[REFRESH_HASH_BYTES])
{
    if (token.len != REFRESH_TOKEN_TEXT ||
        !wh_slice_starts_with(token, WH_SLICE_LITERAL(TOKEN_PREFIX)))
        return false;
    SHA256((const unsigned char *)token.ptr, token.len, out);
    return true;
}

enum refresh_verdict refresh_judge(const struct refresh_state *state, int64_t now_ms)
{
    if (state->revoked_at_ms || state->expires_at_ms <= now_ms)
        return REFRESH_DEAD;
    if (!state->used_at_ms)
        return REFRESH_ROTATE;
    if (!state->is_successor_used && now_ms - state->used_at_ms < REFRESH_GRACE_MS)
        return REFRESH_REPEAT;
    return REFRESH_REUSE;
}

int64_t refresh_expiry(int64_t now_ms, uint64_t ttl_ms, int64_t session_ends_at_ms)
{
    int64_t expiry = now_ms + (int64_t)ttl_ms;
    return expiry < session_ends_at_ms ? expiry : session_ends_at_ms;
}
