/*
 * register, me, update, set_roles.  Only set_roles leaves keys and answers to
 * the core: a stored answer of register would be a stored token, and what is
 * stored of the parameters would be a fast hash over a password.  register
 * keeps the key's hash with the account instead; update can be repeated by
 * nature.
 */
#include "common/base/random.h"
#include "common/protocol/codec.h"
#include "common/protocol/schema_rows.h"
#include "services/core/idempotency.h"
#include "services/core/outbox.h"
#include "services/user/session.h"
#include "services/user/user.h"
#include "services/user/user_service.h"

#include <openssl/sha.h>

/* ---- events ---- */

/* To the services, and to the user's own live channel. */
static uint32_t emit(struct svc_ctx *ctx, const char *type, const struct user_view *user)
{
    const struct user_settings *settings = svc_settings(ctx);
    const struct user_event data = {.user = user->id, .name = user->name, .roles = user->roles};
    const struct svc_event_channel channel = {
        .name = svc_text(ctx, "users:live#%.*s", WH_SLICE_ARGS(user->id)),
        .history_size = settings->live.history_size,
        .history_ttl_ms = settings->live.history_ttl_ms,
    };
    const struct svc_emission emission = {
        .type = type,
        .subject = user->id,
        .data = svc_encode(ctx, &user_event_schema, &data),
        .channels = &channel,
        .channel_count = 1,
    };
    if (!channel.name.ptr || !emission.data.ptr)
        return svc_fail(ctx, SVC_INTERNAL, "out of memory");
    return svc_emit(ctx, &emission);
}

/* ---- register ---- */

struct registration {
    struct register_params in;
    struct new_account fresh;
    struct account account; /* as it is stored, this one's or another's */
    struct session session;
    bool is_inserted;
};

static uint32_t insert(struct svc_ctx *ctx, void *user)
{
    struct registration *registration = user;
    bool is_found = false;
    if (store_insert_account(ctx, &registration->fresh, &registration->is_inserted) ||
        store_find_email(ctx, registration->fresh.email, registration->fresh.register_key,
                         &registration->account, &is_found))
        return svc_db_code(ctx);
    if (!is_found)
        return svc_fail(ctx, SVC_INTERNAL, "an account vanished");
    if (!registration->is_inserted)
        return SVC_OK;
    uint32_t code = emit(ctx, "user.registered.v1", &registration->account.view);
    return code ? code : session_open(ctx, &registration->session, registration->account.view.id);
}

static uint32_t open_again(struct svc_ctx *ctx, void *user)
{
    struct registration *registration = user;
    return session_open(ctx, &registration->session, registration->account.view.id);
}

/* The address is taken: by the same call, when it comes again with its key, or by somebody. */
static uint32_t repeat(struct svc_ctx *ctx, struct registration *registration)
{
    const struct account *account = &registration->account;
    if (!account->is_same_key)
        return svc_fail(ctx, SVC_CONFLICT, "email is taken");
    enum wh_err err = password_verify(registration->in.password, account->password_hash);
    if (err && err != WH_EDENIED)
        return svc_fail(ctx, SVC_INTERNAL, "password hash: %s", wh_err_text(err));
    if (err || !wh_slice_equal(account->view.name, registration->in.name))
        return svc_fail(ctx, SVC_CONFLICT, "idempotency key was used with other parameters");
    return svc_tx(ctx, SVC_TX_WRITE, open_again, registration);
}

static uint32_t read_registration(struct svc_ctx *ctx,
                                  struct register_params *in,
                                  char email[USER_EMAIL_BYTES_MAX + 1])
{
    if (svc_params(ctx, &register_params_schema, in))
        return svc_fail(ctx, SVC_INVALID, "email, password and name are needed");
    if (user_email_normalize(in->email, email))
        return svc_fail(ctx, SVC_INVALID, "email: not an address");
    if (!password_is_acceptable(in->password))
        return svc_fail(ctx, SVC_INVALID, "password: %d to %d bytes of text", PASSWORD_BYTES_MIN,
                        PASSWORD_BYTES_MAX);
    if (!user_name_is_acceptable(in->name))
        return svc_fail(ctx, SVC_INVALID, "name: 1 to %d visible characters", USER_NAME_CHARS_MAX);
    return SVC_OK;
}

uint32_t users_register(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    const struct user_settings *settings = svc_settings(ctx);
    struct registration registration = {0};
    struct wh_slice key = WH_SLICE_ABSENT;
    char email[USER_EMAIL_BYTES_MAX + 1], id[37], hash[PASSWORD_HASH_MAX];
    unsigned char key_hash[SHA256_DIGEST_LENGTH];
    uint32_t code = read_registration(ctx, &registration.in, email);
    if (!code && svc_idempotency_key(ctx, call, &key))
        code = svc_fail(ctx, SVC_INVALID, "idempotency key: at most %d bytes",
                        SVC_IDEMPOTENCY_KEY_MAX);
    if (!code)
        code = users_throttle(ctx, call, WH_SLICE_ABSENT);
    if (code)
        return code;
    if (password_hash(registration.in.password, (unsigned)settings->password.cost, hash))
        return svc_fail(ctx, SVC_INTERNAL, "hashing failed");
    wh_random_uuid_v7(id);
    SHA256((const unsigned char *)(key.ptr ? key.ptr : ""), key.len, key_hash);
    registration.fresh = (struct new_account){
        .id = wh_slice_from_str(id),
        .email = wh_slice_from_str(email),
        .name = registration.in.name,
        .password_hash = wh_slice_from_str(hash),
        .register_key = key.len > 0 ? wh_slice(key_hash, sizeof(key_hash)) : WH_SLICE_ABSENT,
    };
    session_prepare(&registration.session);
    code = svc_tx(ctx, SVC_TX_WRITE, insert, &registration);
    if (!code && !registration.is_inserted)
        code = repeat(ctx, &registration);
    return code ? code : session_reply(ctx, &registration.session, &registration.account.view);
}

/* ---- me ---- */

struct wh_slice users_caller(const struct wh_rpc_call *call)
{
    return user_id_is_wellformed(call->user) ? call->user : WH_SLICE_ABSENT;
}

static uint32_t reply_user(struct svc_ctx *ctx, struct account *account)
{
    return svc_reply(ctx, &user_result_schema, &(struct user_result){.user = &account->view});
}

/* The account of the caller's token, which may outlive it. */
static uint32_t find_caller(struct svc_ctx *ctx,
                            const struct wh_rpc_call *call,
                            struct account *out_account)
{
    struct wh_slice id = users_caller(call);
    bool is_found = false;
    if (id.ptr && store_find_id(ctx, id, out_account, &is_found))
        return svc_db_code(ctx);
    return is_found ? SVC_OK : svc_fail(ctx, SVC_UNAUTHORIZED, "no such account");
}

uint32_t users_me(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    struct account account = {0};
    uint32_t code = find_caller(ctx, call, &account);
    return code ? code : reply_user(ctx, &account);
}

/* ---- update ---- */

struct token_meta {
    struct wh_slice session;
};

/* clang-format off */
#define T token_meta
static const struct wh_field token_meta_fields[] = {
    FIELD(1, session, STRING),
};
#undef T
SCHEMA(static const, token_meta, "TokenMeta", token_meta);
/* clang-format on */

/* The session that the caller's token belongs to; absent when it says none. */
static struct wh_slice session_of(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    struct token_meta meta = {0};
    if (call->meta.kind != WH_PAYLOAD_JSON || !call->meta.bytes.ptr ||
        wh_decode_whole(WH_ENCODING_JSON, &token_meta_schema, call->meta.bytes, svc_arena(ctx),
                        &meta))
        return WH_SLICE_ABSENT;
    return user_id_is_wellformed(meta.session) ? meta.session : WH_SLICE_ABSENT;
}

struct update {
    struct account account;
    struct account_change change;
    struct wh_slice session; /* lives on when the password changes */
};

static uint32_t apply(struct svc_ctx *ctx, void *user)
{
    struct update *update = user;
    const struct account_change *change = &update->change;
    struct wh_slice old_name = update->account.view.name;
    bool is_changed = false, is_found = false;
    if (store_change_account(ctx, change, &is_changed))
        return svc_db_code(ctx);
    if (!is_changed)
        return svc_fail(ctx, SVC_CONFLICT, "changed in between, try again");
    if (change->password_hash.ptr && store_revoke_account(ctx, change->id, update->session))
        return svc_db_code(ctx);
    if (!change->name.ptr || wh_slice_equal(change->name, old_name))
        return SVC_OK;
    struct account after = {0};
    if (store_find_id(ctx, change->id, &after, &is_found))
        return svc_db_code(ctx);
    return emit(ctx, "user.updated.v1", &after.view);
}

/* Checks the present password and hashes the new one, before any transaction.  A new one that is
 * already in force needs nothing: this call came twice. */
static uint32_t prepare_password(struct svc_ctx *ctx,
                                 const struct wh_rpc_call *call,
                                 const struct update_params *in,
                                 struct update *update,
                                 char hash[PASSWORD_HASH_MAX])
{
    const struct user_settings *settings = svc_settings(ctx);
    const char *stored = update->account.password_hash;
    if (!password_is_acceptable(in->password))
        return svc_fail(ctx, SVC_INVALID, "password: %d to %d bytes of text", PASSWORD_BYTES_MIN,
                        PASSWORD_BYTES_MAX);
    if (!in->current_password.ptr)
        return svc_fail(ctx, SVC_INVALID, "current_password is needed with a new one");
    /* The bucket of the account: who found an open session must not guess on. */
    uint32_t code = users_throttle(ctx, call, update->account.view.id);
    if (code)
        return code;
    enum wh_err err = password_verify(in->current_password, stored);
    if (err == WH_EDENIED && password_verify(in->password, stored) == WH_OK)
        return SVC_OK;
    if (err == WH_EDENIED)
        return svc_fail(ctx, SVC_FORBIDDEN, "current_password is wrong");
    if (err || password_hash(in->password, (unsigned)settings->password.cost, hash))
        return svc_fail(ctx, SVC_INTERNAL, "hashing failed");
    update->change.password_hash = wh_slice_from_str(hash);
    update->change.seen_hash = wh_slice_from_str(stored);
    return SVC_OK;
}

uint32_t users_update(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    struct update_params in = {0};
    struct update update = {0};
    char hash[PASSWORD_HASH_MAX];
    if (svc_params(ctx, &update_params_schema, &in) || (!in.name.ptr && !in.password.ptr))
        return svc_fail(ctx, SVC_INVALID, "name, or password with current_password");
    if (in.name.ptr && !user_name_is_acceptable(in.name))
        return svc_fail(ctx, SVC_INVALID, "name: 1 to %d visible characters", USER_NAME_CHARS_MAX);
    uint32_t code = find_caller(ctx, call, &update.account);
    if (code)
        return code;
    update.session = session_of(ctx, call);
    update.change = (struct account_change){.id = update.account.view.id, .name = in.name};
    if (in.password.ptr)
        code = prepare_password(ctx, call, &in, &update, hash);
    if (!code)
        code = svc_tx(ctx, SVC_TX_WRITE, apply, &update);
    if (!code)
        code = find_caller(ctx, call, &update.account);
    return code ? code : reply_user(ctx, &update.account);
}

/* ---- set_roles ---- */

static bool has_same_roles(const struct wh_strings *a, const struct wh_strings *b)
{
    for (size_t i = 0; a->count == b->count && i < a->count; i++)
        if (!wh_slice_equal(a->items[i], b->items[i]))
            return false;
    return a->count == b->count;
}

uint32_t users_set_roles(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    struct set_roles_params in = {0};
    struct account account = {0};
    bool is_found = false;
    (void)call;
    if (svc_params(ctx, &set_roles_params_schema, &in) || !user_roles_are_acceptable(&in.roles))
        return svc_fail(ctx, SVC_INVALID, "roles: at most %d different names of a-z, 0-9, - and _",
                        USER_ROLES_MAX);
    if (!user_id_is_wellformed(in.user))
        return svc_fail(ctx, SVC_NOT_FOUND, "no such user");
    if (store_find_id(ctx, in.user, &account, &is_found))
        return svc_db_code(ctx);
    if (!is_found)
        return svc_fail(ctx, SVC_NOT_FOUND, "no such user");
    if (!has_same_roles(&account.view.roles, &in.roles)) {
        if (store_set_roles(ctx, in.user, &in.roles, &is_found))
            return svc_db_code(ctx);
        account.view.roles = in.roles;
        uint32_t code = emit(ctx, "user.updated.v1", &account.view);
        if (code)
            return code;
    }
    return reply_user(ctx, &account);
}
