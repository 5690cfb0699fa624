/*
 * Each round is one transaction: take the lock, see what was done, do the next
 * step and note it.  Two programs may so take turns; neither holds anything
 * over the end of a transaction, so a pooler in transaction mode will do.
 */
#include "services/core/migrate.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "services/core/db_conn.h"

#include <openssl/evp.h>
#include <stdio.h>

enum { HASH_TEXT = 65 };

#define LOCK_NAME "wirehub:migrate"

static void hash_text(struct wh_slice text, char out[HASH_TEXT])
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    int is_good = EVP_Digest(text.ptr, text.len, hash, &len, EVP_sha256(), NULL);
    WH_ASSERT(is_good && len * 2 + 1 == HASH_TEXT);
    for (unsigned i = 0; i < len; i++)
        snprintf(out + 2 * (size_t)i, 3, "%02x", hash[i]);
}

static bool is_known(const struct svc_migration *steps, struct wh_slice name)
{
    for (; steps && steps->name; steps++) {
        if (wh_slice_equal_str(name, steps->name))
            return true;
    }
    return false;
}

/* The row of a step in what was done; -1 = not done. */
static int64_t find(const struct svc_rows *done, const char *name)
{
    for (size_t i = 0; i < done->count; i++) {
        if (wh_slice_equal_str(svc_row_text(done, i, 0), name))
            return (int64_t)i;
    }
    return -1;
}

/* The first step of the list that was not done; false: one was changed since. */
static bool choose(const struct svc_rows *done,
                   const struct svc_migration *steps,
                   const struct svc_migration **out_next)
{
    for (; !*out_next && steps && steps->name; steps++) {
        char hash[HASH_TEXT];
        int64_t row = find(done, steps->name);
        hash_text(steps->sql, hash);
        if (row < 0) {
            *out_next = steps;
        } else if (!wh_slice_equal_str(svc_row_text(done, (size_t)row, 1), hash)) {
            wh_log(WH_LOG_ERROR, "migrate", "changed", "migration=%s problem=%s", steps->name,
                   "its text is not the one that ran here: add a new migration instead");
            return false;
        }
    }
    return true;
}

static void tell_newer(const struct svc_rows *done, const struct svc_migration *own)
{
    for (size_t i = 0; i < done->count; i++) {
        struct wh_slice name = svc_row_text(done, i, 0);
        if (!is_known(svc_core_migrations, name) && !is_known(own, name))
            wh_log(WH_LOG_WARN, "migrate", "newer_schema", "migration=%.*s", WH_SLICE_ARGS(name));
    }
}

static enum svc_db_err query(struct svc_db *db, const char *sql, const struct svc_rows **out_rows)
{
    return svc_db_query(db, sql, NULL, 0, out_rows);
}

/* Under the lock: what was done.  The lock itself is waited for as long as a step may take. */
static enum svc_db_err read_done(struct svc_db *db, const struct svc_rows **out_done)
{
    char limit[64];
    const struct svc_param name = SVC_STR(LOCK_NAME);
    enum svc_db_err err =
        svc_db_query(db, "select pg_advisory_xact_lock(hashtextextended($1, 0))", &name, 1, NULL);
    snprintf(limit, sizeof limit, "set local lock_timeout = %d", SVC_MIGRATE_LOCK_MS);
    if (!err)
        err = query(db, limit, NULL);
    if (!err)
        err = query(db,
                    "create table if not exists schema_migration (name text primary key, "
                    "checksum text not null, applied_at timestamptz not null default now())",
                    NULL);
    if (!err)
        err = query(db, "select name, checksum from schema_migration order by name", out_done);
    return err;
}

static enum svc_db_err run_step(struct svc_db *db, const struct svc_migration *step)
{
    char hash[HASH_TEXT];
    /* Embedded as bytes: a NUL goes behind it here. */
    char *sql = wh_malloc(step->sql.len + 1);
    WH_ASSERT(sql != NULL);
    memcpy(sql, step->sql.ptr, step->sql.len);
    sql[step->sql.len] = '\0';
    enum svc_db_err err = db->ops->script(db, sql);
    wh_free(sql);
    if (err) {
        db->err = err;
        return err;
    }
    /* A COMMIT in the file would have ended our transaction, and the lock with it. */
    const struct svc_rows *locks = NULL;
    err = query(db, "select 1 from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()",
                &locks);
    if (!err && locks->count == 0) {
        snprintf(db->reason, sizeof db->reason, "it ends its transaction");
        err = SVC_DB_FAILED;
    }
    if (err)
        return err;
    hash_text(step->sql, hash);
    const struct svc_param params[] = {SVC_STR(step->name), SVC_STR(hash)};
    return svc_db_query(db, "insert into schema_migration (name, checksum) values ($1, $2)", params,
                        2, NULL);
}

/* One transaction.  `*out_is_done`: there was nothing left to do. */
static enum svc_migrate_result round_of(struct svc_db *db,
                                        const struct svc_migration *own,
                                        bool *out_is_done)
{
    const struct svc_rows *done = NULL;
    const struct svc_migration *next = NULL;
    svc_db_release(db);
    enum svc_db_err err = svc_db_begin(db, false, SVC_MIGRATE_STEP_MS);
    if (err)
        return SVC_MIGRATE_LATER;
    err = read_done(db, &done);
    if (!err && (!choose(done, svc_core_migrations, &next) || !choose(done, own, &next))) {
        svc_db_rollback(db);
        return SVC_MIGRATE_WRONG;
    }
    if (!err && next) {
        wh_log(WH_LOG_INFO, "migrate", "run", "migration=%s", next->name);
        err = run_step(db, next);
    } else if (!err) {
        tell_newer(done, own);
    }
    *out_is_done = !next;
    if (err)
        svc_db_rollback(db);
    else
        err = svc_db_commit(db, NULL);
    if (!err)
        return SVC_MIGRATE_DONE;
    bool is_passing = err == SVC_DB_RETRY || err == SVC_DB_UNAVAILABLE || err == SVC_DB_LOST_COMMIT;
    wh_log(is_passing ? WH_LOG_WARN : WH_LOG_ERROR, "migrate", "failed", "migration=%s reason=%s",
           next ? next->name : "", db->reason);
    return is_passing ? SVC_MIGRATE_LATER : SVC_MIGRATE_WRONG;
}

enum svc_migrate_result svc_migrate(struct svc_db *db, const struct svc_migration *migrations)
{
    bool is_done = false;
    enum svc_migrate_result result = SVC_MIGRATE_DONE;
    while (result == SVC_MIGRATE_DONE && !is_done)
        result = round_of(db, migrations, &is_done);
    svc_db_release(db);
    return result;
}
