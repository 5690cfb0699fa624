/*
 * Statements stand in one table, so that a test can ask PostgreSQL for the plan
 * of each.  Times cross the border as milliseconds since 1970, roles as one text
 * with commas (no role has one), sealed keys as base64url.
 */
#include "services/user/user_store.h"

#include <string.h>

#define MS(column)    "(extract(epoch from " column ") * 1000)::bigint"
#define AT(parameter) "to_timestamp(" parameter "::bigint / 1000.0)"
#define RFC3339(column)                                                                            \
    "to_char(" column " at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
#define SPAN(parameter) "(" parameter "::bigint * interval '1 millisecond')"
#define ACCOUNT_COLUMNS                                                                            \
    "id, email, name, array_to_string(roles, ','), " RFC3339("created_at") ", password_hash"

enum statement {
    INSERT_ACCOUNT,
    FIND_EMAIL,
    FIND_ID,
    CHANGE_ACCOUNT,
    SET_ROLES,
    INSERT_REFRESH,
    LOCK_REFRESH,
    IS_UNUSED,
    MARK_USED,
    REVOKE_FAMILY,
    REVOKE_ACCOUNT,
    THROTTLE_TAKE,
    THROTTLE_READ,
    THROTTLE_RESET,
    LIST_KEYS,
    INSERT_KEY,
    RETIRE_KEYS,
    DROP_OTHER_KEYS,
    DROP_DEAD_KEYS,
    PURGE_REFRESH,
    PURGE_THROTTLE,
};

const struct user_statement user_statements[] = {
    [INSERT_ACCOUNT] = {"insert_account",
                        "insert into account (id, email, name, password_hash, register_key)"
                        " values ($1, $2, $3, $4, $5) on conflict (email) do nothing"},
    [FIND_EMAIL] =
        {"find_email",
         "select " ACCOUNT_COLUMNS ", coalesce(register_key = $2"
         " and created_at > now() - interval '24 hours', false) from account where email = $1"},
    [FIND_ID] = {"find_id", "select " ACCOUNT_COLUMNS ", false from account where id = $1"},
    [CHANGE_ACCOUNT] =
        {"change_account",
         "update account set name = coalesce($2, name),"
         " password_hash = coalesce($3, password_hash), version = version + 1,"
         " updated_at = now() where id = $1 and password_hash = coalesce($4, password_hash)"},
    [SET_ROLES] = {"set_roles",
                   "update account set roles = string_to_array($2, ','), version = version + 1,"
                   " updated_at = now() where id = $1"},
    [INSERT_REFRESH] =
        {"insert_refresh",
         "insert into refresh_token (hash, family, account, expires_at, session_ends_at)"
         " values ($1, $2, $3, " AT("$4") ", " AT("$5") ")"},
    [LOCK_REFRESH] =
        {"lock_refresh",
         "select family, account, " MS("expires_at") ", " MS("used_at") ", " MS(
             "revoked_at") ", " MS("session_ends_at") ", " MS("clock_timestamp()") " from "
                                                                                   "refresh_token "
                                                                                   "where hash = "
                                                                                   "$1 for update"},
    [IS_UNUSED] = {"is_unused", "select 1 from refresh_token where hash = $1 and used_at is null"},
    [MARK_USED] = {"mark_used",
                   "update refresh_token set used_at = clock_timestamp() where hash = $1"},
    [REVOKE_FAMILY] =
        {"revoke_family",
         "update refresh_token set revoked_at = now() where family = $1 and revoked_at is null"},
    [REVOKE_ACCOUNT] =
        {"revoke_account",
         "update refresh_token set revoked_at = now() where account = $1 and revoked_at is null"
         " and family is distinct from $2"},
    [THROTTLE_TAKE] = {"throttle_take",
                       "insert into throttle as t (key, full_at) values ($1, now() + " SPAN(
                           "$2") ")"
                                 " on conflict (key) do update set full_at = greatest(t.full_at, "
                                 "now()) + " SPAN("$2") " where greatest(t.full_at, now()) + " SPAN(
                                     "$2") " <= now() + " SPAN("$2") " * $3::bigint"},
    [THROTTLE_READ] = {"throttle_read",
                       "select " MS("full_at") ", " MS("now()") " from throttle where key = $1"},
    [THROTTLE_RESET] = {"throttle_reset", "delete from throttle where key = $1"},
    [LIST_KEYS] = {"list_keys",
                   "select kid, jwk, sealed, " MS(
                       "use_from") ", kid is not distinct from ("
                                   "select kid from signing_key where use_from <= now() order by "
                                   "use_from desc limit 1), " MS(
                                       "now()") " from signing_key order by use_from desc"},
    [INSERT_KEY] =
        {"insert_key",
         "insert into signing_key (kid, sealed, jwk, use_from) values ($1, $2, $3, coalesce(" AT(
             "$4") ", now()))"
                   " returning " RFC3339("use_from")},
    [RETIRE_KEYS] = {"retire_keys", "update signing_key set retired_at = coalesce(" AT(
                                        "$2") ", now()) where kid <> $1 and retired_at is null"},
    [DROP_OTHER_KEYS] = {"drop_other_keys", "delete from signing_key where kid <> $1"},
    [DROP_DEAD_KEYS] = {"drop_dead_keys",
                        "delete from signing_key where retired_at < now() - " SPAN("$1")},
    [PURGE_REFRESH] =
        {"purge_refresh",
         "delete from refresh_token where ctid = any (array(select ctid from refresh_token"
         " where expires_at < now() order by expires_at limit 1000 for update skip locked))"},
    [PURGE_THROTTLE] =
        {"purge_throttle",
         "delete from throttle where ctid = any (array(select ctid from throttle"
         " where full_at < now() order by full_at limit 1000 for update skip locked))"},
    {0},
};

#define RUN(ctx, statement, out_rows, ...)                                                         \
    SVC_SQL((ctx), (out_rows), user_statements[statement].sql, __VA_ARGS__)

#define HASH(bytes) SVC_BYTES(wh_slice((bytes), REFRESH_HASH_BYTES))

/* ---- accounts ---- */

enum svc_db_err store_insert_account(struct svc_ctx *ctx,
                                     const struct new_account *account,
                                     bool *out_inserted)
{
    const struct svc_rows *rows = NULL;
    enum svc_db_err err = RUN(ctx, INSERT_ACCOUNT, &rows, SVC_UUID(account->id),
                              SVC_TEXT(account->email), SVC_TEXT(account->name),
                              SVC_TEXT(account->password_hash), SVC_BYTES(account->register_key));
    if (!err)
        *out_inserted = rows->affected == 1;
    return err;
}

/* "a,b" in the arena's slices; false when memory ran out. */
static bool split_roles(struct svc_ctx *ctx, struct wh_slice text, struct wh_strings *out)
{
    size_t count = text.len > 0;
    for (size_t i = 0; i < text.len; i++)
        count += text.ptr[i] == ',';
    struct wh_slice *items = wh_arena_alloc_array(svc_arena(ctx), count, sizeof(*items));
    if (!items)
        return false;
    for (size_t i = 0; i < count; i++) {
        const char *comma = memchr(text.ptr, ',', text.len);
        size_t len = comma ? (size_t)(comma - text.ptr) : text.len;
        items[i] = wh_slice(text.ptr, len);
        text = wh_slice_from(text, comma ? len + 1 : len);
    }
    *out = (struct wh_strings){items, count};
    return true;
}

/* Rows last until the next transaction only, and an account is read in one to be used in another:
 * all of it is copied.  False when memory ran out. */
static bool copy_account(struct svc_ctx *ctx, const struct svc_rows *rows, struct account *out)
{
    struct wh_slice cells[6];
    for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++) {
        cells[i] = wh_arena_copy(svc_arena(ctx), svc_row_text(rows, 0, i));
        if (!cells[i].ptr)
            return false;
    }
    *out = (struct account){
        .view = {.id = cells[0], .email = cells[1], .name = cells[2], .created_at = cells[4]},
        .password_hash = cells[5].ptr,
        .is_same_key = svc_row_bool(rows, 0, 6),
    };
    return split_roles(ctx, cells[3], &out->view.roles);
}

static enum svc_db_err read_account(struct svc_ctx *ctx,
                                    const struct svc_rows *rows,
                                    struct account *out_account,
                                    bool *out_found)
{
    struct account account;
    *out_found = rows->count == 1;
    if (!*out_found)
        return SVC_DB_OK;
    if (!copy_account(ctx, rows, &account))
        return SVC_DB_FAILED;
    *out_account = account;
    return SVC_DB_OK;
}

enum svc_db_err store_find_email(struct svc_ctx *ctx,
                                 struct wh_slice email,
                                 struct wh_slice register_key,
                                 struct account *out_account,
                                 bool *out_found)
{
    const struct svc_rows *rows = NULL;
    enum svc_db_err err = RUN(ctx, FIND_EMAIL, &rows, SVC_TEXT(email), SVC_BYTES(register_key));
    return err ? err : read_account(ctx, rows, out_account, out_found);
}

enum svc_db_err store_find_id(struct svc_ctx *ctx,
                              struct wh_slice id,
                              struct account *out_account,
                              bool *out_found)
{
    const struct svc_rows *rows = NULL;
    enum svc_db_err err = RUN(ctx, FIND_ID, &rows, SVC_UUID(id));
    return err ? err : read_account(ctx, rows, out_account, out_found);
}

enum svc_db_err store_change_account(struct svc_ctx *ctx,
                                     const struct account_change *change,
                                     bool *out_found)
{
    const struct svc_rows *rows = NULL;
    enum svc_db_err err =
        RUN(ctx, CHANGE_ACCOUNT, &rows, SVC_UUID(change->id), SVC_TEXT(change->name),
            SVC_TEXT(change->password_hash), SVC_TEXT(change->seen_hash));
    if (!err)
        *out_found = rows->affected == 1;
    return err;
}

enum svc_db_err store_set_roles(struct svc_ctx *ctx,
                                struct wh_slice id,
                                const struct wh_strings *roles,
                                bool *out_found)
{
    const struct svc_rows *rows = NULL;
    struct wh_buf joined = {0};
    for (size_t i = 0; i < roles->count; i++) {
        wh_buf_append_str(&joined, i > 0 ? "," : "");
        wh_buf_append_slice(&joined, roles->items[i]);
    }
    enum svc_db_err err = SVC_DB_FAILED;
    if (wh_buf_error(&joined) == WH_OK)
        err = RUN(ctx, SET_ROLES, &rows, SVC_UUID(id), SVC_TEXT(wh_buf_slice(&joined)));
    wh_buf_deinit(&joined);
    if (!err)
        *out_found = rows->affected == 1;
    return err;
}

/* ---- refresh tokens ---- */

enum svc_db_err store_insert_refresh(struct svc_ctx *ctx, const struct new_refresh *refresh)
{
    return RUN(ctx, INSERT_REFRESH, NULL, HASH(refresh->hash), SVC_UUID(refresh->family),
               SVC_UUID(refresh->account), SVC_INT(refresh->expires_at_ms),
               SVC_INT(refresh->session_ends_at_ms));
}

static int64_t ms_or_0(const struct svc_rows *rows, size_t column)
{
    return svc_row_is_null(rows, 0, column) ? 0 : svc_row_int(rows, 0, column);
}

enum svc_db_err store_lock_refresh(struct svc_ctx *ctx,
                                   const unsigned char *hash,
                                   struct refresh_row *out_row,
                                   bool *out_found)
{
    const struct svc_rows *rows = NULL;
    enum svc_db_err err = RUN(ctx, LOCK_REFRESH, &rows, HASH(hash));
    if (err)
        return err;
    *out_found = rows->count == 1;
    if (*out_found)
        *out_row = (struct refresh_row){
            .family = svc_row_text(rows, 0, 0),
            .account = svc_row_text(rows, 0, 1),
            .state = {.expires_at_ms = svc_row_int(rows, 0, 2),
                      .used_at_ms = ms_or_0(rows, 3),
                      .revoked_at_ms = ms_or_0(rows, 4)},
            .session_ends_at_ms = svc_row_int(rows, 0, 5),
            .now_ms = svc_row_int(rows, 0, 6),
        };
    return SVC_DB_OK;
}

enum svc_db_err store_is_unused(struct svc_ctx *ctx, const unsigned char *hash, bool *out_unused)
{
    const struct svc_rows *rows = NULL;
    enum svc_db_err err = RUN(ctx, IS_UNUSED, &rows, HASH(hash));
    if (!err)
        *out_unused = rows->count == 1;
    return err;
}

enum svc_db_err store_mark_used(struct svc_ctx *ctx, const unsigned char *hash)
{
    return RUN(ctx, MARK_USED, NULL, HASH(hash));
}

enum svc_db_err store_revoke_family(struct svc_ctx *ctx, struct wh_slice family)
{
    return RUN(ctx, REVOKE_FAMILY, NULL, SVC_UUID(family));
}

enum svc_db_err store_revoke_account(struct svc_ctx *ctx,
                                     struct wh_slice account,
                                     struct wh_slice except)
{
    return RUN(ctx, REVOKE_ACCOUNT, NULL, SVC_UUID(account), SVC_UUID(except));
}

/* ---- throttle ---- */

enum svc_db_err store_throttle(struct svc_ctx *ctx,
                               const unsigned char key[THROTTLE_KEY_BYTES],
                               const struct throttle_rule *rule,
                               uint64_t *out_wait_s)
{
    const struct svc_rows *rows = NULL;
    enum svc_db_err err =
        RUN(ctx, THROTTLE_TAKE, &rows, SVC_BYTES(wh_slice(key, THROTTLE_KEY_BYTES)),
            SVC_INT((int64_t)rule->interval_ms), SVC_INT((int64_t)rule->burst));
    if (err)
        return err;
    *out_wait_s = 0;
    if (rows->affected == 1)
        return SVC_DB_OK;
    err = RUN(ctx, THROTTLE_READ, &rows, SVC_BYTES(wh_slice(key, THROTTLE_KEY_BYTES)));
    if (err)
        return err;
    *out_wait_s = 1; /* somebody reset it in between */
    if (rows->count == 1)
        *out_wait_s =
            throttle_retry_after_s(rule, svc_row_int(rows, 0, 1), svc_row_int(rows, 0, 0));
    return SVC_DB_OK;
}

enum svc_db_err store_throttle_reset(struct svc_ctx *ctx,
                                     const unsigned char key[THROTTLE_KEY_BYTES])
{
    return RUN(ctx, THROTTLE_RESET, NULL, SVC_BYTES(wh_slice(key, THROTTLE_KEY_BYTES)));
}

/* ---- signing keys ---- */

enum svc_db_err store_keys(struct svc_ctx *ctx, struct key_rows *out_keys)
{
    const struct svc_rows *rows = NULL;
    enum svc_db_err err = RUN(ctx, LIST_KEYS, &rows, );
    if (err)
        return err;
    struct key_row *items = wh_arena_alloc_array(svc_arena(ctx), rows->count, sizeof(*items));
    if (!items)
        return SVC_DB_FAILED;
    for (size_t i = 0; i < rows->count; i++)
        items[i] = (struct key_row){
            .kid = svc_row_text(rows, i, 0),
            .jwk = svc_row_text(rows, i, 1),
            .sealed = svc_row_text(rows, i, 2),
            .use_from_ms = svc_row_int(rows, i, 3),
            .signs = svc_row_bool(rows, i, 4),
        };
    *out_keys =
        (struct key_rows){items, rows->count, rows->count > 0 ? svc_row_int(rows, 0, 5) : 0};
    return SVC_DB_OK;
}

enum svc_db_err store_add_key(struct svc_ctx *ctx,
                              const struct new_key *key,
                              struct wh_slice *out_use_from)
{
    const struct svc_rows *rows = NULL;
    struct svc_param use_from = key->use_from_ms ? SVC_INT(key->use_from_ms) : SVC_NULL;
    enum svc_db_err err = RUN(ctx, INSERT_KEY, &rows, SVC_TEXT(key->kid), SVC_TEXT(key->sealed),
                              SVC_TEXT(key->jwk), use_from);
    if (err)
        return err;
    *out_use_from = svc_row_text(rows, 0, 0);
    return RUN(ctx, RETIRE_KEYS, NULL, SVC_TEXT(key->kid), use_from);
}

enum svc_db_err store_drop_other_keys(struct svc_ctx *ctx, struct wh_slice kid)
{
    return RUN(ctx, DROP_OTHER_KEYS, NULL, SVC_TEXT(kid));
}

enum svc_db_err store_drop_dead_keys(struct svc_ctx *ctx, uint64_t after_ms)
{
    return RUN(ctx, DROP_DEAD_KEYS, NULL, SVC_INT((int64_t)after_ms));
}

/* ---- purging ---- */

static enum svc_db_err purge(struct svc_ctx *ctx, enum statement statement, int64_t *out_count)
{
    const struct svc_rows *rows = NULL;
    enum svc_db_err err = RUN(ctx, statement, &rows, );
    if (!err)
        *out_count = rows->affected;
    return err;
}

enum svc_db_err store_purge_refresh(struct svc_ctx *ctx, int64_t *out_count)
{
    return purge(ctx, PURGE_REFRESH, out_count);
}

enum svc_db_err store_purge_throttle(struct svc_ctx *ctx, int64_t *out_count)
{
    return purge(ctx, PURGE_THROTTLE, out_count);
}
