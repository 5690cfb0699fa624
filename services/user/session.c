#include "services/user/session.h"

#include "common/base/clock.h"
#include "common/base/random.h"
#include "services/user/token.h"
#include "services/user/user_service.h"

#include <openssl/crypto.h>

void session_prepare(struct session *session)
{
    *session = (struct session){0};
    wh_random_uuid_v7(session->family);
    refresh_token_new(session->token);
}

uint32_t session_read_keys(struct svc_ctx *ctx, struct session *session)
{
    struct user_state *state = svc_state(ctx);
    if (store_keys(ctx, &session->keys))
        return svc_db_code(ctx);
    if (session->keys.count == 0)
        return svc_fail(ctx, SVC_UNAVAILABLE, "no signing key yet");
    /* Whoever gets the token may ask this very instance for its key. */
    key_ring_publish(&state->ring, &session->keys);
    return SVC_OK;
}

uint32_t session_open(struct svc_ctx *ctx, struct session *session, struct wh_slice account)
{
    const struct user_settings *settings = svc_settings(ctx);
    unsigned char hash[REFRESH_HASH_BYTES];
    uint32_t code = session_read_keys(ctx, session);
    if (code)
        return code;
    WH_ASSERT(refresh_token_hash(wh_slice_from_str(session->token), hash));
    int64_t ends_ms = session->keys.now_ms + (int64_t)settings->token.session_ms;
    struct new_refresh refresh = {
        .hash = hash,
        .family = wh_slice_from_str(session->family),
        .account = account,
        .expires_at_ms = refresh_expiry(session->keys.now_ms, settings->token.refresh_ms, ends_ms),
        .session_ends_at_ms = ends_ms,
    };
    return store_insert_refresh(ctx, &refresh) ? svc_db_code(ctx) : SVC_OK;
}

static uint32_t sign(struct svc_ctx *ctx,
                     const struct session *session,
                     const struct user_view *user,
                     struct wh_buf *out)
{
    const struct user_settings *settings = svc_settings(ctx);
    struct user_state *state = svc_state(ctx);
    struct wh_buf pem = {0};
    struct wh_slice kid = WH_SLICE_ABSENT;
    char id[37];
    wh_random_uuid_v7(id);
    int64_t now_s = wh_clock_wall_s();
    const struct access_claims claims = {
        .user = user->id,
        .name = user->name,
        .roles = user->roles,
        .session = wh_slice_from_str(session->family),
        .issuer = wh_slice_from_str(settings->token.issuer),
        .audience = settings->token.audience && *settings->token.audience
                        ? wh_slice_from_str(settings->token.audience)
                        : WH_SLICE_ABSENT,
        .id = wh_slice_from_str(id),
        .issued_at_s = now_s,
        .expires_at_s = now_s + (int64_t)(settings->token.keys.token_ms / 1000),
    };
    enum wh_err err = key_ring_open(&state->ring, &session->keys, svc_arena(ctx), &pem, &kid);
    if (!err)
        err = access_token_sign(&claims, kid.ptr, wh_buf_cstr(&pem), out);
    if (pem.ptr)
        OPENSSL_cleanse(pem.ptr, pem.cap);
    wh_buf_deinit(&pem);
    if (err == WH_EDENIED)
        return svc_fail(ctx, SVC_INTERNAL, "the signing key does not open: token.sealing_secret");
    if (err == WH_ENOTFOUND)
        return svc_fail(ctx, SVC_UNAVAILABLE, "no signing key yet");
    return err ? svc_fail(ctx, SVC_INTERNAL, "signing: %s", wh_err_text(err)) : SVC_OK;
}

uint32_t session_reply(struct svc_ctx *ctx,
                       const struct session *session,
                       const struct user_view *user)
{
    const struct user_settings *settings = svc_settings(ctx);
    struct wh_buf token = {0};
    struct user_view copy = *user;
    uint32_t code = sign(ctx, session, user, &token);
    if (!code) {
        struct session_result result = {
            .user = &copy,
            .access_token = wh_buf_slice(&token),
            .refresh_token = wh_slice_from_str(session->token),
            .expires_in = (uint32_t)(settings->token.keys.token_ms / 1000),
        };
        code = svc_reply(ctx, &session_result_schema, &result);
    }
    wh_buf_deinit(&token);
    return code;
}
