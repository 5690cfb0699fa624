#include "services/core/database.h"

#include "common/base/alloc.h"
#include "services/core/db_conn.h"
#include "services/core/idempotency.h"
#include "services/core/lease.h"
#include "services/core/migrate.h"
#include "services/core/outbox.h"
#include "services/core/thread.h"
#include "services/core/tx.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

enum { SWEEPS_MAX = 20, SWEEP_MS = 5000, RETRY_MS = 500, VERB_TRIES = 10, PING_MS = 1000 };

/* The thread that migrates, looks after the server, and sweeps. */
struct keeper {
    struct svc_thread thread;
    atomic_bool is_migrated;
    atomic_bool is_wrong; /* a migration cannot be done */
    atomic_bool is_up;
    pthread_mutex_t lock;
    char reason[SVC_DB_REASON_MAX]; /* why not up; under lock */
};

static struct keeper *keeper_of(const struct svc *svc)
{
    return *svc_part_data((struct svc *)(uintptr_t)svc, &svc_part_database);
}

bool svc_database_is_ready(const struct svc *svc)
{
    struct keeper *keeper = keeper_of(svc);
    return keeper && atomic_load(&keeper->is_migrated);
}

/* ---- the keeper ---- */

static void note_state(struct keeper *keeper, bool is_up)
{
    pthread_mutex_lock(&keeper->lock);
    memcpy(keeper->reason, keeper->thread.ctx.db->reason, sizeof keeper->reason);
    pthread_mutex_unlock(&keeper->lock);
    atomic_store(&keeper->is_up, is_up);
}

/* Small bites, so that nothing waits for long; rows that somebody works on are left alone. */
static void sweep(struct svc_db *db, const char *sql)
{
    for (unsigned i = 0; i < SWEEPS_MAX; i++) {
        const struct svc_param limit = SVC_INT(SVC_SWEEP_ROWS);
        const struct svc_rows *rows = NULL;
        svc_db_release(db);
        if (svc_db_begin(db, false, SWEEP_MS))
            return;
        if (svc_db_query(db, sql, &limit, 1, &rows)) {
            svc_db_rollback(db);
            return;
        }
        int64_t affected = rows->affected;
        if (svc_db_commit(db, NULL) || affected < SVC_SWEEP_ROWS)
            return;
    }
}

static void sweep_all(struct svc_db *db)
{
    char sql[320];
    const struct {
        const char *table;
        const char *column;
        int hours;
    } table[] = {
        {"outbox", "sent_at", SVC_OUTBOX_SENT_HOURS},
        {"inbox", "consumed_at", SVC_INBOX_DAYS * 24},
        {"idempotency", "created_at", SVC_IDEMPOTENCY_HOURS},
        {"commit_note", "created_at", SVC_IDEMPOTENCY_HOURS},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        snprintf(sql, sizeof sql,
                 "delete from %s where ctid = any (array (select ctid from %s where %s < now() - "
                 "interval '%d hours' limit $1 for update skip locked))",
                 table[i].table, table[i].table, table[i].column, table[i].hours);
        sweep(db, sql);
    }
}

static void migrate_once(struct keeper *keeper)
{
    struct svc_ctx *ctx = &keeper->thread.ctx;
    switch (svc_migrate(ctx->db, ctx->svc->def->migrations)) {
    case SVC_MIGRATE_DONE:
        atomic_store(&keeper->is_migrated, true);
        break;
    case SVC_MIGRATE_WRONG:
        atomic_store(&keeper->is_wrong, true);
        break;
    case SVC_MIGRATE_LATER:
        break;
    }
    note_state(keeper, atomic_load(&keeper->is_migrated));
}

static void look_after(struct keeper *keeper, unsigned *ticks)
{
    struct svc_db *db = keeper->thread.ctx.db;
    bool is_up = svc_db_begin(db, true, PING_MS) == SVC_DB_OK;
    if (is_up)
        svc_db_rollback(db);
    note_state(keeper, is_up);
    if (is_up && (*ticks)++ % (SVC_SWEEP_MS / PING_MS) == 0)
        sweep_all(db);
}

static void run(struct svc_thread *thread)
{
    struct keeper *keeper = WH_CONTAINER_OF(thread, struct keeper, thread);
    unsigned ticks = 0;
    while (!svc_thread_is_stopping(thread)) {
        if (atomic_load(&keeper->is_migrated)) {
            look_after(keeper, &ticks);
            svc_thread_sleep(thread, PING_MS);
        } else {
            migrate_once(keeper);
            if (!atomic_load(&keeper->is_migrated))
                svc_thread_sleep(thread, atomic_load(&keeper->is_wrong) ? 10 * RETRY_MS : RETRY_MS);
        }
    }
}

/* ---- the part ---- */

static bool is_wanted(const struct svc_def *def)
{
    return def->migrations != NULL;
}

static bool has_url(const struct svc_settings *settings)
{
    const char *url = settings->database.url;
    if (url && url[0] != '\0' && !svc_db_check_url(url))
        return true;
    wh_log(WH_LOG_ERROR, "db", "no_url", "problem=%s",
           url && url[0] ? "database.url is no connection string" : "database.url is needed");
    return false;
}

static enum wh_err start(struct svc *svc)
{
    if (!has_url(svc->settings))
        return WH_EINVAL;
    struct keeper *keeper = wh_calloc(1, sizeof *keeper);
    if (!keeper)
        return WH_ENOMEM;
    pthread_mutex_init(&keeper->lock, NULL);
    snprintf(keeper->reason, sizeof keeper->reason, "not connected yet");
    *svc_part_data(svc, &svc_part_database) = keeper;
    return svc_thread_start(&keeper->thread, svc, run);
}

static void stop(struct svc *svc)
{
    struct keeper *keeper = keeper_of(svc);
    if (!keeper)
        return;
    svc_thread_stop(&keeper->thread);
    pthread_mutex_destroy(&keeper->lock);
    wh_free(keeper);
    *svc_part_data(svc, &svc_part_database) = NULL;
}

static enum wh_err open_thread(struct svc_ctx *ctx)
{
    return svc_db_open(ctx->svc->settings->database.url, &ctx->db);
}

static void close_thread(struct svc_ctx *ctx)
{
    svc_db_close(ctx->db);
    ctx->db = NULL;
}

static uint32_t run_wrapped(struct svc_ctx *ctx,
                            const struct svc_method *method,
                            const struct wh_rpc_call *call)
{
    if (method->tx != SVC_TX_NONE && !svc_database_is_ready(ctx->svc))
        return svc_fail(ctx, SVC_UNAVAILABLE, "the database is away");
    uint32_t code = svc_run_method(ctx, method, call);
    svc_db_release(ctx->db);
    return code;
}

/* A job that takes longer than its lease may run twice at once: it is told so in service.h. */
static bool may_lead(struct svc_ctx *ctx, const char *job)
{
    char name[128];
    snprintf(name, sizeof name, "job:%.100s", job);
    return svc_lease_take(ctx, name, SVC_JOB_LEASE_MS);
}

static void write_unready(const struct svc *svc, struct wh_buf *out)
{
    struct keeper *keeper = keeper_of(svc);
    if (!keeper)
        return;
    if (atomic_load(&keeper->is_wrong) && !atomic_load(&keeper->is_migrated)) {
        wh_buf_append_str(out, "postgresql: a migration cannot be done, see the log");
    } else if (!atomic_load(&keeper->is_up) || !atomic_load(&keeper->is_migrated)) {
        pthread_mutex_lock(&keeper->lock);
        wh_buf_printf(out, "postgresql: %s", keeper->reason);
        pthread_mutex_unlock(&keeper->lock);
    }
}

static void write_metrics(const struct svc *svc, struct wh_buf *out)
{
    struct keeper *keeper = keeper_of(svc);
    struct svc_tx_counts counts = svc_tx_counts();
    if (!keeper)
        return;
    wh_buf_printf(out,
                  "# HELP wirehub_service_postgres_up PostgreSQL answered at the last look.\n"
                  "# TYPE wirehub_service_postgres_up gauge\n"
                  "wirehub_service_postgres_up %d\n"
                  "# HELP wirehub_service_tx_retries_total Transactions that ran again.\n"
                  "# TYPE wirehub_service_tx_retries_total counter\n"
                  "wirehub_service_tx_retries_total %" PRIu64 "\n"
                  "# HELP wirehub_service_lost_commits_total COMMITs whose answer was lost.\n"
                  "# TYPE wirehub_service_lost_commits_total counter\n"
                  "wirehub_service_lost_commits_total %" PRIu64 "\n",
                  atomic_load(&keeper->is_up) ? 1 : 0, counts.retries, counts.lost_commits);
}

/* `migrate`: like the start of the service, but with an end. */
static int migrate_main(const struct svc_def *def, const struct svc_settings *settings)
{
    struct svc_db *db = NULL;
    enum svc_migrate_result result = SVC_MIGRATE_LATER;
    if (!has_url(settings) || svc_db_open(settings->database.url, &db))
        return 1;
    for (unsigned i = 0; i < VERB_TRIES && result == SVC_MIGRATE_LATER; i++) {
        struct timespec pause = {.tv_nsec = i > 0 ? RETRY_MS * 1000000L : 0};
        (void)nanosleep(&pause, NULL);
        result = svc_migrate(db, def->migrations);
    }
    if (result == SVC_MIGRATE_DONE)
        wh_log(WH_LOG_INFO, "migrate", "done", "service=%s", def->name);
    else
        wh_log(WH_LOG_ERROR, "migrate", "not_done", "reason=%s", db->reason);
    svc_db_close(db);
    return result == SVC_MIGRATE_DONE ? 0 : 1;
}

const struct svc_part svc_part_database = {
    .name = "database",
    .is_wanted = is_wanted,
    .start = start,
    .stop = stop,
    .open_thread = open_thread,
    .close_thread = close_thread,
    .run = run_wrapped,
    .may_work = svc_database_is_ready,
    .may_lead = may_lead,
    .write_unready = write_unready,
    .write_metrics = write_metrics,
    .verb = "migrate",
    .verb_help = "bring the database's schema up to date",
    .verb_main = migrate_main,
};
