/*
 * Signing keys over time: the job that every instance runs, and the method for
 * who cannot wait.  New keys are made under a lock of the database, so that
 * instances that start together make one.
 */
#include "common/base/base64.h"
#include "services/user/user_service.h"
#include "services/user/user_store.h"

struct new_pair {
    struct signing_key key;
    struct wh_buf sealed; /* base64url */
    int64_t use_from_ms;  /* 0 = now */
    bool drops_others;
    struct wh_slice use_from; /* RFC 3339, out */
};

static enum wh_err make_pair(const struct key_ring *ring, struct new_pair *out_pair)
{
    struct wh_buf sealed = {0};
    enum wh_err err = signing_key_new(&out_pair->key);
    if (!err)
        err = keys_seal(ring->seal, wh_slice_from_str(out_pair->key.kid),
                        wh_buf_slice(&out_pair->key.private_pem), &sealed);
    if (!err) {
        wh_base64_encode(WH_BASE64_URL, wh_buf_slice(&sealed), &out_pair->sealed);
        err = wh_buf_error(&out_pair->sealed);
    }
    wh_buf_deinit(&sealed);
    return err;
}

static void free_pair(struct new_pair *pair)
{
    signing_key_deinit(&pair->key);
    wh_buf_deinit(&pair->sealed);
}

/* In a writing transaction. */
static uint32_t add_pair(struct svc_ctx *ctx, struct new_pair *pair)
{
    const struct new_key row = {
        .kid = wh_slice_from_str(pair->key.kid),
        .sealed = wh_buf_slice(&pair->sealed),
        .jwk = wh_buf_slice(&pair->key.public_jwk),
        .use_from_ms = pair->use_from_ms,
    };
    if (store_add_key(ctx, &row, &pair->use_from) ||
        (pair->drops_others && store_drop_other_keys(ctx, row.kid)))
        return svc_db_code(ctx);
    return SVC_OK;
}

static void log_new_key(const struct new_pair *pair)
{
    wh_log(WH_LOG_INFO, "users", "signing_key_added", "kid=%s use_from=%.*s", pair->key.kid,
           WH_SLICE_ARGS(pair->use_from));
}

/* ---- the job ---- */

static bool is_due(struct svc_ctx *ctx, const struct key_rows *keys, int64_t *out_use_from_ms)
{
    const struct user_settings *settings = svc_settings(ctx);
    return keys_is_due(&settings->token.keys, keys->count > 0 ? keys->items[0].use_from_ms : 0,
                       keys->now_ms, out_use_from_ms);
}

static uint32_t add_if_due(struct svc_ctx *ctx, void *user)
{
    const struct user_settings *settings = svc_settings(ctx);
    struct new_pair *pair = user;
    struct key_rows keys = {0};
    uint64_t dead_after_ms = settings->token.keys.token_ms + KEYS_SLACK_MS;
    if (!svc_tx_try_lock(ctx, "signing-keys"))
        return SVC_OK; /* another instance is at it */
    if (store_keys(ctx, &keys))
        return svc_db_code(ctx);
    if (is_due(ctx, &keys, &pair->use_from_ms))
        return add_pair(ctx, pair);
    return store_drop_dead_keys(ctx, dead_after_ms) ? svc_db_code(ctx) : SVC_OK;
}

uint32_t users_keep_keys(struct svc_ctx *ctx)
{
    struct user_state *state = svc_state(ctx);
    struct new_pair pair = {0};
    struct key_rows keys = {0};
    uint32_t code = SVC_OK;
    if (store_keys(ctx, &keys))
        return svc_db_code(ctx);
    if (is_due(ctx, &keys, &pair.use_from_ms) && make_pair(&state->ring, &pair))
        code = svc_fail(ctx, SVC_INTERNAL, "making a signing key failed");
    if (!code)
        code = svc_tx(ctx, SVC_TX_WRITE, add_if_due, &pair);
    if (!code && pair.use_from.ptr)
        log_new_key(&pair);
    free_pair(&pair);
    if (!code && store_keys(ctx, &keys))
        code = svc_db_code(ctx);
    if (!code)
        key_ring_publish(&state->ring, &keys);
    return code;
}

/* ---- the method ---- */

static uint32_t add_now(struct svc_ctx *ctx, void *user)
{
    const struct user_settings *settings = svc_settings(ctx);
    struct new_pair *pair = user;
    struct key_rows keys = {0};
    if (!svc_tx_try_lock(ctx, "signing-keys"))
        return svc_fail(ctx, SVC_CONFLICT, "keys are being changed, try again");
    if (store_keys(ctx, &keys))
        return svc_db_code(ctx);
    if (!pair->drops_others && keys.count > 0 && keys.items[0].use_from_ms > keys.now_ms)
        return svc_fail(ctx, SVC_CONFLICT, "the next key is published already");
    pair->use_from_ms = pair->drops_others || keys.count == 0
                            ? 0
                            : keys.now_ms + (int64_t)settings->token.keys.lead_ms;
    return add_pair(ctx, pair);
}

uint32_t users_rotate_key(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    struct user_state *state = svc_state(ctx);
    struct rotate_key_params in = {0};
    struct new_pair pair = {0};
    (void)call;
    if (svc_params(ctx, &rotate_key_params_schema, &in))
        return svc_fail(ctx, SVC_INVALID, "compromised: true or false");
    pair.drops_others = in.compromised;
    uint32_t code = SVC_OK;
    if (make_pair(&state->ring, &pair))
        code = svc_fail(ctx, SVC_INTERNAL, "making a signing key failed");
    if (!code)
        code = svc_tx(ctx, SVC_TX_WRITE, add_now, &pair);
    if (!code) {
        log_new_key(&pair);
        code =
            svc_reply(ctx, &rotate_key_result_schema,
                      &(struct rotate_key_result){wh_slice_from_str(pair.key.kid), pair.use_from});
    }
    free_pair(&pair);
    return code;
}

/* ---- what nobody needs any more ---- */

uint32_t users_purge(struct svc_ctx *ctx)
{
    int64_t count = STORE_PURGE_MAX;
    while (count == STORE_PURGE_MAX)
        if (store_purge_refresh(ctx, &count))
            return svc_db_code(ctx);
    for (count = STORE_PURGE_MAX; count == STORE_PURGE_MAX;)
        if (store_purge_throttle(ctx, &count))
            return svc_db_code(ctx);
    return SVC_OK;
}
