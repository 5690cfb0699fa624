#include "services/core/tx.h"

#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "services/core/core.h"
#include "services/core/db_conn.h"
#include "services/core/fault.h"
#include "services/core/outbox.h"

#include <stdio.h>
#include <time.h>

enum { PAUSE_MIN_MS = 2, PAUSE_MAX_MS = 100, NOTE_SQL_MAX = 128 };

static atomic_uint_least64_t retries;
static atomic_uint_least64_t lost_commits;

/* One svc_tx_run, over its attempts. */
struct attempts {
    const struct svc_tx_work *work;
    char note[37];    /* "" = none made yet */
    bool is_in_doubt; /* an earlier COMMIT lost its answer */
};

struct svc_tx_counts svc_tx_counts(void)
{
    return (struct svc_tx_counts){atomic_load(&retries), atomic_load(&lost_commits)};
}

static uint64_t budget_ms(struct svc_ctx *ctx)
{
    uint64_t left_ms = svc_remaining_ms(ctx);
    return left_ms < SVC_STATEMENT_MS_MAX ? left_ms : SVC_STATEMENT_MS_MAX;
}

/* After a lost COMMIT without a claim of its own: `*out_is_done` when it had happened. */
static void look_up_note(struct svc_ctx *ctx, struct attempts *attempts, bool *out_is_done)
{
    const struct svc_rows *rows = NULL;
    enum svc_db_err err = SVC_SQL(ctx, &rows,
                                  "insert into commit_note (id) values ($1) on conflict do nothing "
                                  "returning id",
                                  SVC_UUID(wh_slice_from_str(attempts->note)));
    *out_is_done = !err && rows->count == 0;
}

static bool wants_note(const struct attempts *attempts)
{
    return attempts->work->mode == SVC_TX_WRITE && !attempts->work->claim;
}

static enum svc_db_err commit(struct svc_ctx *ctx, struct attempts *attempts)
{
    char sql[NOTE_SQL_MAX];
    const char *before = NULL;
    if (wants_note(attempts) && !attempts->is_in_doubt) {
        wh_random_uuid_v7(attempts->note);
        snprintf(sql, sizeof sql, "insert into commit_note (id) values ('%s')", attempts->note);
        before = sql;
    }
    svc_fault("before_commit");
    enum svc_db_err err = svc_db_commit(ctx->db, before);
    if (!err)
        svc_fault("after_commit");
    if (!err && ctx->db->has_emitted)
        svc_outbox_wake(ctx->svc);
    return err;
}

/* The statements, in an open transaction.  `*out_is_done`: nothing to commit. */
static uint32_t run_statements(struct svc_ctx *ctx, struct attempts *attempts, bool *out_is_done)
{
    const struct svc_tx_work *work = attempts->work;
    uint32_t code = SVC_OK;
    if (work->claim)
        code = work->claim(ctx, work->user, out_is_done);
    else if (attempts->is_in_doubt)
        look_up_note(ctx, attempts, out_is_done);
    if (code || *out_is_done || ctx->db->err)
        return code;
    ctx->has_reply = false; /* of an attempt before */
    wh_buf_reset(&ctx->reply);
    ctx->code = SVC_OK;
    code = work->body(ctx, work->user);
    if (!code && !ctx->db->err && work->seal)
        code = work->seal(ctx, work->user);
    return code;
}

/* One attempt; `*out_err` is why it should be made again or cannot be answered by the handler. */
static uint32_t attempt(struct svc_ctx *ctx, struct attempts *attempts, enum svc_db_err *out_err)
{
    struct svc_db *db = ctx->db;
    bool is_done = false;
    svc_db_release(db);
    *out_err = svc_db_begin(db, attempts->work->mode == SVC_TX_READ, budget_ms(ctx));
    if (*out_err)
        return SVC_OK;
    uint32_t code = run_statements(ctx, attempts, &is_done);
    *out_err = db->err;
    if (code || is_done || db->err) {
        svc_db_rollback(db);
        db->err = *out_err;
        return code;
    }
    *out_err = commit(ctx, attempts);
    return SVC_OK;
}

static bool sleep_within(struct svc_ctx *ctx, uint32_t delay_ms)
{
    struct timespec delay = {.tv_sec = delay_ms / 1000,
                             .tv_nsec = (long)(delay_ms % 1000) * 1000000};
    if (svc_remaining_ms(ctx) <= delay_ms)
        return false;
    (void)nanosleep(&delay, NULL);
    return true;
}

static bool is_worth_another(struct svc_ctx *ctx,
                             const struct attempts *attempts,
                             enum svc_db_err err,
                             unsigned number)
{
    if (attempts->is_in_doubt)
        return err == SVC_DB_UNAVAILABLE || err == SVC_DB_LOST_COMMIT ||
               (err == SVC_DB_RETRY && number < SVC_TX_ATTEMPTS_MAX);
    if (number >= SVC_TX_ATTEMPTS_MAX)
        return false;
    /* A connection that was there may have been dead since PostgreSQL restarted: a new one is
     * tried.  Without that, it is away: say so at once. */
    return err == SVC_DB_RETRY || (err == SVC_DB_UNAVAILABLE && ctx->db->was_connected);
}

/* What the caller hears in the end. */
static uint32_t verdict(struct svc_ctx *ctx,
                        const struct attempts *attempts,
                        enum svc_db_err err,
                        uint32_t code)
{
    if (!err)
        return code;
    ctx->db->err = err;
    ctx->has_reply = false;
    if (attempts->is_in_doubt)
        return svc_fail(ctx, SVC_TIMEOUT, "it may have happened");
    bool is_ours = err == SVC_DB_RETRY || err == SVC_DB_UNAVAILABLE || err == SVC_DB_TIMEOUT;
    return code && !is_ours ? code : svc_db_code(ctx);
}

uint32_t svc_tx_run(struct svc_ctx *ctx, const struct svc_tx_work *work)
{
    struct attempts attempts = {.work = work};
    if (!ctx->svc)
        return work->body(ctx, work->user); /* a fake */
    struct wh_backoff pause = {.min_ms = PAUSE_MIN_MS, .max_ms = PAUSE_MAX_MS};
    WH_ASSERT(ctx->db != NULL && !ctx->db->is_in_tx && work->mode != SVC_TX_NONE);
    for (unsigned number = 1;; number++) {
        enum svc_db_err err = SVC_DB_OK;
        uint32_t code = attempt(ctx, &attempts, &err);
        if (err == SVC_DB_LOST_COMMIT) {
            attempts.is_in_doubt = true;
            atomic_fetch_add(&lost_commits, 1);
        }
        if (!err || !is_worth_another(ctx, &attempts, err, number) ||
            !sleep_within(ctx, wh_backoff_next_ms(&pause)))
            return verdict(ctx, &attempts, err, code);
        atomic_fetch_add(&retries, 1);
    }
}

uint32_t svc_tx(struct svc_ctx *ctx, enum svc_tx mode, svc_tx_body *body, void *user)
{
    return svc_tx_run(ctx, &(struct svc_tx_work){.mode = mode, .body = body, .user = user});
}

bool svc_tx_try_lock(struct svc_ctx *ctx, const char *name)
{
    const struct svc_rows *rows = NULL;
    WH_ASSERT(ctx->db->is_in_tx);
    if (SVC_SQL(ctx, &rows, "select pg_try_advisory_xact_lock(hashtextextended($1, 0))",
                SVC_STR(name)))
        return false;
    return svc_row_bool(rows, 0, 0);
}
