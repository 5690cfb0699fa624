/*
 * The SQL of the user service: one function a statement, and the list of all
 * statements for who wants to see their plans.
 *
 * An account lives until the handler returns, other outputs until its next
 * transaction.  What can go wrong is svc_sql's; a row that is not there is no
 * error: `out_found`.
 * Thread of the context only.
 */
#ifndef SERVICES_USER_USER_STORE_H
#define SERVICES_USER_USER_STORE_H

#include "services/core/db.h"
#include "services/user/keys.h"
#include "services/user/model.h"
#include "services/user/refresh.h"
#include "services/user/throttle.h"

/* Every statement; ends with {0}. */
struct user_statement {
    const char *name;
    const char *sql;
};
extern const struct user_statement user_statements[];

struct account {
    struct user_view view;
    const char *password_hash; /* NUL-terminated */
    bool is_same_key;          /* registered under the key asked for, within the last 24 hours */
};

struct new_account {
    struct wh_slice id;
    struct wh_slice email; /* normalized */
    struct wh_slice name;
    struct wh_slice password_hash;
    struct wh_slice register_key; /* its SHA-256; absent = none was given */
};

/* `out_inserted` is false when the address is taken. */
WH_MUST_CHECK enum svc_db_err store_insert_account(struct svc_ctx *ctx,
                                                   const struct new_account *account,
                                                   bool *out_inserted);

WH_MUST_CHECK enum svc_db_err store_find_email(struct svc_ctx *ctx,
                                               struct wh_slice email,
                                               struct wh_slice register_key,
                                               struct account *out_account,
                                               bool *out_found);

/* `id` is well-formed (user_id_is_wellformed). */
WH_MUST_CHECK enum svc_db_err store_find_id(struct svc_ctx *ctx,
                                            struct wh_slice id,
                                            struct account *out_account,
                                            bool *out_found);

/* What is absent stays.  Not found as well when the hash is no more `seen_hash` (absent = any). */
struct account_change {
    struct wh_slice id;
    struct wh_slice name;
    struct wh_slice password_hash;
    struct wh_slice seen_hash;
};
WH_MUST_CHECK enum svc_db_err store_change_account(struct svc_ctx *ctx,
                                                   const struct account_change *change,
                                                   bool *out_found);
WH_MUST_CHECK enum svc_db_err store_set_roles(struct svc_ctx *ctx,
                                              struct wh_slice id,
                                              const struct wh_strings *roles,
                                              bool *out_found);

/* Refresh tokens. */
struct new_refresh {
    const unsigned char *hash; /* REFRESH_HASH_BYTES */
    struct wh_slice family;
    struct wh_slice account;
    int64_t expires_at_ms;
    int64_t session_ends_at_ms;
};
WH_MUST_CHECK enum svc_db_err store_insert_refresh(struct svc_ctx *ctx,
                                                   const struct new_refresh *refresh);

struct refresh_row {
    struct refresh_state state;
    struct wh_slice family;
    struct wh_slice account;
    int64_t session_ends_at_ms;
    int64_t now_ms; /* of the database */
};
/* Locks the row, so that one at a time judges it. */
WH_MUST_CHECK enum svc_db_err store_lock_refresh(struct svc_ctx *ctx,
                                                 const unsigned char *hash,
                                                 struct refresh_row *out_row,
                                                 bool *out_found);
/* Whether the token with this hash is there and was not used. */
WH_MUST_CHECK enum svc_db_err store_is_unused(struct svc_ctx *ctx,
                                              const unsigned char *hash,
                                              bool *out_unused);
WH_MUST_CHECK enum svc_db_err store_mark_used(struct svc_ctx *ctx, const unsigned char *hash);
WH_MUST_CHECK enum svc_db_err store_revoke_family(struct svc_ctx *ctx, struct wh_slice family);
/* `except`: a family that lives on; absent = none does. */
WH_MUST_CHECK enum svc_db_err store_revoke_account(struct svc_ctx *ctx,
                                                   struct wh_slice account,
                                                   struct wh_slice except);

/* Throttle: 0 in `out_wait_s` = taken. */
WH_MUST_CHECK enum svc_db_err store_throttle(struct svc_ctx *ctx,
                                             const unsigned char key[THROTTLE_KEY_BYTES],
                                             const struct throttle_rule *rule,
                                             uint64_t *out_wait_s);
WH_MUST_CHECK enum svc_db_err store_throttle_reset(struct svc_ctx *ctx,
                                                   const unsigned char key[THROTTLE_KEY_BYTES]);

/* Signing keys. */
struct key_rows {
    const struct key_row *items; /* newest first */
    size_t count;
    int64_t now_ms; /* of the database */
};
WH_MUST_CHECK enum svc_db_err store_keys(struct svc_ctx *ctx, struct key_rows *out_keys);

struct new_key {
    struct wh_slice kid;
    struct wh_slice sealed;
    struct wh_slice jwk;
    int64_t use_from_ms;
};
/* Retires those before it at the time from which it signs; `use_from_ms` 0 is now.
 * `out_use_from`: RFC 3339. */
WH_MUST_CHECK enum svc_db_err store_add_key(struct svc_ctx *ctx,
                                            const struct new_key *key,
                                            struct wh_slice *out_use_from);
/* Forget all other keys at once. */
WH_MUST_CHECK enum svc_db_err store_drop_other_keys(struct svc_ctx *ctx, struct wh_slice kid);
/* Forget keys retired more than `after_ms` ago. */
WH_MUST_CHECK enum svc_db_err store_drop_dead_keys(struct svc_ctx *ctx, uint64_t after_ms);

/* Delete some of what nobody needs any more; call again while `out_count` is STORE_PURGE_MAX. */
enum { STORE_PURGE_MAX = 1000 };
WH_MUST_CHECK enum svc_db_err store_purge_refresh(struct svc_ctx *ctx, int64_t *out_count);
WH_MUST_CHECK enum svc_db_err store_purge_throttle(struct svc_ctx *ctx, int64_t *out_count);

#endif
