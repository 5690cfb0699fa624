/*
 * login, refresh, logout.  None of them is a SVC_TX_WRITE: a refused attempt
 * has effects that must last (the throttle, a revoked family), hashing must not
 * hold a transaction, and a stored answer would be a stored token.
 */
#include "services/user/session.h"
#include "services/user/user.h"
#include "services/user/user_service.h"

#include <stdio.h>

/* ---- throttle ---- */

struct attempt {
    unsigned char peer[THROTTLE_KEY_BYTES];
    unsigned char email[THROTTLE_KEY_BYTES];
    bool has_peer, has_email;
    uint64_t wait_s;
};

static uint32_t take(struct svc_ctx *ctx, void *user)
{
    const struct user_settings *settings = svc_settings(ctx);
    struct attempt *attempt = user;
    attempt->wait_s = 0;
    /* The peer first: one that is stopped takes nothing from the owner of an account. */
    if (attempt->has_peer &&
        store_throttle(ctx, attempt->peer, &settings->throttle.peer, &attempt->wait_s))
        return svc_db_code(ctx);
    if (attempt->has_email && attempt->wait_s == 0 &&
        store_throttle(ctx, attempt->email, &settings->throttle.email, &attempt->wait_s))
        return svc_db_code(ctx);
    return SVC_OK;
}

uint32_t users_throttle(struct svc_ctx *ctx, const struct wh_rpc_call *call, struct wh_slice email)
{
    struct attempt attempt = {.has_peer = call->peer.len > 0, .has_email = email.ptr != NULL};
    char peer[THROTTLE_PEER_MAX];
    throttle_peer(call->peer, peer);
    throttle_key("peer", wh_slice_from_str(peer), attempt.peer);
    throttle_key("email", email, attempt.email);
    uint32_t code = svc_tx(ctx, SVC_TX_WRITE, take, &attempt);
    if (!code && attempt.wait_s > 0)
        code = svc_fail(ctx, SVC_TOO_MANY, "too many attempts, try again in %llu s",
                        (unsigned long long)attempt.wait_s);
    return code;
}

/* ---- login ---- */

struct login {
    struct session session;
    struct account account;
    char rehashed[PASSWORD_HASH_MAX]; /* "" = the hash is as it should be */
    unsigned char throttle[THROTTLE_KEY_BYTES];
};

static uint32_t open_login(struct svc_ctx *ctx, void *user)
{
    struct login *login = user;
    bool is_changed = false;
    if (login->rehashed[0]) {
        const struct account_change change = {
            .id = login->account.view.id,
            .password_hash = wh_slice_from_str(login->rehashed),
            .seen_hash = wh_slice_from_str(login->account.password_hash),
        };
        if (store_change_account(ctx, &change, &is_changed))
            return svc_db_code(ctx);
    }
    if (store_throttle_reset(ctx, login->throttle))
        return svc_db_code(ctx);
    return session_open(ctx, &login->session, login->account.view.id);
}

/* One hash for whoever asks, account or none. */
static uint32_t verify(struct svc_ctx *ctx,
                       struct wh_slice email,
                       struct wh_slice password,
                       struct account *out_account)
{
    struct user_state *state = svc_state(ctx);
    bool is_found = false;
    if (store_find_email(ctx, email, WH_SLICE_ABSENT, out_account, &is_found))
        return svc_db_code(ctx);
    enum wh_err err =
        password_verify(password, is_found ? out_account->password_hash : state->dummy_hash);
    if (err && err != WH_EDENIED)
        return svc_fail(ctx, SVC_INTERNAL, "password hash: %s", wh_err_text(err));
    if (err || !is_found)
        return svc_fail(ctx, SVC_UNAUTHORIZED, "email or password is wrong");
    return SVC_OK;
}

uint32_t users_login(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    const struct user_settings *settings = svc_settings(ctx);
    struct login_params in = {0};
    struct login login = {0};
    char email[USER_EMAIL_BYTES_MAX + 1];
    if (svc_params(ctx, &login_params_schema, &in) || !in.password.ptr)
        return svc_fail(ctx, SVC_INVALID, "email and password are needed");
    if (user_email_normalize(in.email, email))
        return svc_fail(ctx, SVC_INVALID, "email: not an address");
    uint32_t code = users_throttle(ctx, call, wh_slice_from_str(email));
    if (!code)
        code = verify(ctx, wh_slice_from_str(email), in.password, &login.account);
    if (code)
        return code;
    if (password_is_outdated(login.account.password_hash, (unsigned)settings->password.cost) &&
        password_hash(in.password, (unsigned)settings->password.cost, login.rehashed))
        login.rehashed[0] = '\0'; /* the old one is good enough for today */
    throttle_key("email", wh_slice_from_str(email), login.throttle);
    session_prepare(&login.session);
    code = svc_tx(ctx, SVC_TX_WRITE, open_login, &login);
    return code ? code : session_reply(ctx, &login.session, &login.account.view);
}

/* ---- refresh ---- */

struct rotation {
    unsigned char hash[REFRESH_HASH_BYTES];
    unsigned char next_hash[REFRESH_HASH_BYTES];
    struct session session; /* its token is the successor */
    struct account account;
    enum refresh_verdict verdict;
    bool is_refused;
};

static uint32_t carry_on(struct svc_ctx *ctx,
                         struct rotation *rotation,
                         const struct refresh_row *row)
{
    const struct user_settings *settings = svc_settings(ctx);
    bool is_found = false;
    snprintf(rotation->session.family, sizeof(rotation->session.family), "%.*s",
             WH_SLICE_ARGS(row->family));
    uint32_t code = session_read_keys(ctx, &rotation->session);
    if (code)
        return code;
    if (store_find_id(ctx, row->account, &rotation->account, &is_found))
        return svc_db_code(ctx);
    rotation->is_refused = !is_found;
    if (!is_found || rotation->verdict == REFRESH_REPEAT)
        return SVC_OK;
    const struct new_refresh next = {
        .hash = rotation->next_hash,
        .family = row->family,
        .account = row->account,
        .expires_at_ms =
            refresh_expiry(row->now_ms, settings->token.refresh_ms, row->session_ends_at_ms),
        .session_ends_at_ms = row->session_ends_at_ms,
    };
    if (store_mark_used(ctx, rotation->hash) || store_insert_refresh(ctx, &next))
        return svc_db_code(ctx);
    return SVC_OK;
}

static uint32_t rotate(struct svc_ctx *ctx, void *user)
{
    struct rotation *rotation = user;
    struct refresh_row row = {0};
    bool is_found = false, is_unused = false;
    rotation->verdict = REFRESH_DEAD;
    rotation->is_refused = true;
    if (store_lock_refresh(ctx, rotation->hash, &row, &is_found))
        return svc_db_code(ctx);
    if (!is_found)
        return SVC_OK;
    /* A statement of its own, after the lock: it sees what was committed while this one waited. */
    if (row.state.used_at_ms && store_is_unused(ctx, rotation->next_hash, &is_unused))
        return svc_db_code(ctx);
    row.state.is_successor_used = row.state.used_at_ms && !is_unused;
    rotation->verdict = refresh_judge(&row.state, row.now_ms);
    if (rotation->verdict == REFRESH_REUSE) {
        wh_log(WH_LOG_WARN, "users", "refresh_reused", "user=%.*s session=%.*s",
               WH_SLICE_ARGS(row.account), WH_SLICE_ARGS(row.family));
        return store_revoke_family(ctx, row.family) ? svc_db_code(ctx) : SVC_OK;
    }
    rotation->is_refused = rotation->verdict == REFRESH_DEAD;
    return rotation->is_refused ? SVC_OK : carry_on(ctx, rotation, &row);
}

uint32_t users_refresh(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    struct user_state *state = svc_state(ctx);
    struct refresh_params in = {0};
    struct rotation rotation = {0};
    (void)call;
    if (svc_params(ctx, &refresh_params_schema, &in) || !in.refresh_token.ptr)
        return svc_fail(ctx, SVC_INVALID, "refresh_token is needed");
    if (!refresh_token_hash(in.refresh_token, rotation.hash))
        return svc_fail(ctx, SVC_UNAUTHORIZED, "refresh token is not valid");
    refresh_token_successor(state->refresh_key, in.refresh_token.ptr, rotation.session.token);
    WH_ASSERT(refresh_token_hash(wh_slice_from_str(rotation.session.token), rotation.next_hash));
    uint32_t code = svc_tx(ctx, SVC_TX_WRITE, rotate, &rotation);
    if (code)
        return code;
    /* Used, expired, revoked, never heard of: one answer. */
    if (rotation.is_refused)
        return svc_fail(ctx, SVC_UNAUTHORIZED, "refresh token is not valid");
    return session_reply(ctx, &rotation.session, &rotation.account.view);
}

/* ---- logout ---- */

static uint32_t end_session(struct svc_ctx *ctx, void *user)
{
    struct refresh_row row = {0};
    bool is_found = false;
    if (store_lock_refresh(ctx, user, &row, &is_found) ||
        (is_found && store_revoke_family(ctx, row.family)))
        return svc_db_code(ctx);
    return SVC_OK;
}

uint32_t users_logout(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    struct refresh_params in = {0};
    unsigned char hash[REFRESH_HASH_BYTES];
    (void)call;
    if (svc_params(ctx, &refresh_params_schema, &in) || !in.refresh_token.ptr)
        return svc_fail(ctx, SVC_INVALID, "refresh_token is needed");
    /* What is no session is over: the caller has what he wanted. */
    if (!refresh_token_hash(in.refresh_token, hash))
        return SVC_OK;
    return svc_tx(ctx, SVC_TX_WRITE, end_session, hash);
}
