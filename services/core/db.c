/*
 * The half of db.h that knows no libpq: bookkeeping of statements, and reading
 * of rows.  db_pg.c speaks to a server, test_db.c to a script.
 *
 * Rows live in blocks of their own, one a result: the struct, its cells, the
 * bytes of the cells with a NUL behind each.  They are freed when the handler
 * is through.
 */
#include "services/core/db.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "services/core/core.h"
#include "services/core/db_conn.h"
#include "services/core/tracing.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct svc_db_held {
    struct svc_db_held *next;
    struct svc_rows rows;
    struct wh_slice cells[];
};

const char *svc_db_err_name(enum svc_db_err err)
{
    static const char *const names[] = {
        [SVC_DB_OK] = "ok",
        [SVC_DB_NOT_UNIQUE] = "not_unique",
        [SVC_DB_CHECK] = "check",
        [SVC_DB_INVALID] = "invalid",
        [SVC_DB_RETRY] = "retry",
        [SVC_DB_TIMEOUT] = "timeout",
        [SVC_DB_UNAVAILABLE] = "unavailable",
        [SVC_DB_LOST_COMMIT] = "lost_commit",
        [SVC_DB_FAILED] = "failed",
    };
    return names[err];
}

static bool is_class(const char *sqlstate, const char *begin)
{
    return strncmp(sqlstate, begin, strlen(begin)) == 0;
}

enum svc_db_err svc_db_classify(const char *sqlstate)
{
    static const struct {
        const char *begin;
        enum svc_db_err err;
    } table[] = {
        {"23505", SVC_DB_NOT_UNIQUE}, {"23", SVC_DB_CHECK},          {"22", SVC_DB_INVALID},
        {"40001", SVC_DB_RETRY},      {"40P01", SVC_DB_RETRY},       {"55P03", SVC_DB_RETRY},
        {"57014", SVC_DB_TIMEOUT},    {"57P0", SVC_DB_UNAVAILABLE},  {"08", SVC_DB_UNAVAILABLE},
        {"53", SVC_DB_UNAVAILABLE},   {"25P03", SVC_DB_UNAVAILABLE},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (is_class(sqlstate, table[i].begin))
            return table[i].err;
    }
    return SVC_DB_FAILED;
}

/* ---- rows ---- */

struct svc_rows *svc_db_hold(struct svc_db *db,
                             size_t count,
                             size_t columns,
                             size_t bytes,
                             char **out_bytes)
{
    if (columns > 0 && count > SVC_ROWS_BYTES_MAX / columns / sizeof(struct wh_slice))
        return NULL;
    size_t cells = count * columns;
    if (bytes > SVC_ROWS_BYTES_MAX)
        return NULL;
    struct svc_db_held *held =
        wh_calloc(1, sizeof *held + cells * sizeof(struct wh_slice) + bytes + cells + 1);
    if (!held)
        return NULL;
    held->next = db->held;
    db->held = held;
    held->rows = (struct svc_rows){.count = count, .columns = columns, .cells = held->cells};
    *out_bytes = (char *)&held->cells[cells];
    return &held->rows;
}

void svc_db_release(struct svc_db *db)
{
    while (db->held) {
        struct svc_db_held *next = db->held->next;
        wh_free(db->held);
        db->held = next;
    }
}

static struct wh_slice cell(const struct svc_rows *rows, size_t row, size_t column)
{
    WH_ASSERT(row < rows->count && column < rows->columns);
    return rows->cells[row * rows->columns + column];
}

bool svc_row_is_null(const struct svc_rows *rows, size_t row, size_t column)
{
    return cell(rows, row, column).ptr == NULL;
}

struct wh_slice svc_row_text(const struct svc_rows *rows, size_t row, size_t column)
{
    return cell(rows, row, column);
}

int64_t svc_row_int(const struct svc_rows *rows, size_t row, size_t column)
{
    struct wh_slice text = cell(rows, row, column);
    char *end = NULL;
    WH_ASSERT(text.len > 0);
    errno = 0;
    long long number = strtoll(text.ptr, &end, 10);
    WH_ASSERT(errno == 0 && end == text.ptr + text.len);
    return number;
}

bool svc_row_bool(const struct svc_rows *rows, size_t row, size_t column)
{
    struct wh_slice text = cell(rows, row, column);
    WH_ASSERT(text.len == 1 && (text.ptr[0] == 't' || text.ptr[0] == 'f'));
    return text.ptr[0] == 't';
}

/* ---- traces ---- */

void svc_db_set_trace(struct svc_db *db, struct wh_tracer *tracer, const struct wh_trace *trace)
{
    db->tracer = trace ? tracer : NULL;
    db->trace = trace ? *trace : (struct wh_trace){.flags = 0};
}

/* A statement begins: its span, and what the server is told of it. */
static struct wh_span *begin_span(struct svc_db *db, const char *sql)
{
    struct wh_trace trace;
    db->comment[0] = '\0';
    if (!wh_trace_is_sampled(&db->trace))
        return NULL;
    struct wh_span *span =
        wh_span_start(db->tracer, &db->trace, WH_SPAN_CLIENT, WH_SLICE_LITERAL("sql"), &trace);
    wh_trace_format(&trace, db->comment);
    wh_span_text(span, "db.system", WH_SLICE_LITERAL("postgresql"));
    wh_span_text(span, "db.statement", wh_slice_from_str(sql));
    return span;
}

/* The class alone: a server's text may quote what a caller sent. */
static void end_span(struct svc_db *db, struct wh_span *span, enum svc_db_err err)
{
    db->comment[0] = '\0';
    if (err)
        wh_span_fail(span, wh_slice_from_str(svc_db_err_name(err)));
    wh_span_end(span);
}

/* COMMIT or ROLLBACK; `name` is the one of them that it is. */
static enum svc_db_err end_work(struct svc_db *db, const char *sql, const char *name)
{
    struct wh_span *span = begin_span(db, name);
    enum svc_db_err err = db->ops->script(db, sql);
    end_span(db, span, err);
    return err;
}

/* ---- statements ---- */

static struct wh_log_limit error_limit;

static void fail(struct svc_db *db, enum svc_db_err err, const char *sql)
{
    if (db->err == SVC_DB_OK)
        db->err = err;
    /* What the core repeats or a handler expects is no news. */
    enum wh_log_level level =
        err == SVC_DB_FAILED || err == SVC_DB_UNAVAILABLE ? WH_LOG_WARN : WH_LOG_DEBUG;
    wh_log_limited(&error_limit, level, "db", "statement_failed", "class=%s reason=%s sql=%.200s",
                   svc_db_err_name(err), db->reason, sql);
}

enum svc_db_err svc_db_query(struct svc_db *db,
                             const char *sql,
                             const struct svc_param *params,
                             size_t count,
                             const struct svc_rows **out_rows)
{
    struct svc_rows *rows = NULL;
    enum svc_db_err err = SVC_DB_OK;
    WH_ASSERT(count <= SVC_PARAMS_MAX);
    db->constraint[0] = '\0';
    if (db->is_in_tx && db->err != SVC_DB_OK)
        return db->err; /* PostgreSQL would refuse it too */
    if (wh_clock_monotonic_ms() >= db->deadline_ms) {
        snprintf(db->reason, sizeof db->reason, "deadline passed before the statement");
        err = SVC_DB_TIMEOUT;
    } else {
        struct wh_span *span = begin_span(db, sql);
        err = db->ops->query(db, sql, params, count, &rows);
        end_span(db, span, err);
    }
    if (err) {
        fail(db, err, sql);
        return err;
    }
    if (out_rows)
        *out_rows = rows;
    return SVC_DB_OK;
}

static uint64_t budget_ms(struct svc_ctx *ctx)
{
    uint64_t left_ms = svc_remaining_ms(ctx);
    return left_ms < SVC_STATEMENT_MS_MAX ? left_ms : SVC_STATEMENT_MS_MAX;
}

enum svc_db_err svc_sql(struct svc_ctx *ctx,
                        const char *sql,
                        const struct svc_param *params,
                        size_t count,
                        const struct svc_rows **out_rows)
{
    struct svc_db *db = ctx->db;
    WH_ASSERT(db != NULL); /* the service has no migrations: it has no database */
    if (db->is_in_tx)
        return svc_db_query(db, sql, params, count, out_rows);
    enum svc_db_err err = svc_db_begin(db, false, budget_ms(ctx));
    if (err)
        return err;
    err = svc_db_query(db, sql, params, count, out_rows);
    if (err)
        svc_db_rollback(db);
    else
        err = svc_db_commit(db, NULL);
    db->err = err;
    return err;
}

uint32_t svc_db_code(struct svc_ctx *ctx)
{
    switch (ctx->db->err) {
    case SVC_DB_NOT_UNIQUE:
        return svc_fail(ctx, SVC_CONFLICT, "exists already");
    case SVC_DB_CHECK:
        return svc_fail(ctx, SVC_UNPROCESSABLE, "not possible");
    case SVC_DB_INVALID:
        return svc_fail(ctx, SVC_INVALID, "a value is not valid");
    case SVC_DB_TIMEOUT:
        return svc_fail(ctx, SVC_TIMEOUT, "deadline exceeded");
    case SVC_DB_LOST_COMMIT:
        return svc_fail(ctx, SVC_TIMEOUT, "it may have happened");
    case SVC_DB_UNAVAILABLE:
        return svc_fail(ctx, SVC_UNAVAILABLE, "the database is away");
    case SVC_DB_OK:
    case SVC_DB_RETRY:
    case SVC_DB_FAILED:
        break;
    }
    return svc_fail(ctx, SVC_INTERNAL, "database: %s", ctx->db->reason);
}

const char *svc_db_constraint(const struct svc_ctx *ctx)
{
    return ctx->db->constraint;
}

/* ---- transactions ---- */

enum svc_db_err svc_db_begin(struct svc_db *db, bool is_read_only, uint64_t timeout_ms)
{
    char sql[192];
    WH_ASSERT(!db->is_in_tx);
    db->err = SVC_DB_OK;
    db->has_emitted = false;
    db->deadline_ms = wh_clock_monotonic_ms() + timeout_ms;
    if (timeout_ms == 0) {
        snprintf(db->reason, sizeof db->reason, "no time left");
        return db->err = SVC_DB_TIMEOUT;
    }
    struct wh_span *span = begin_span(db, "begin"); /* and the connection, if there is none */
    enum svc_db_err err = db->ops->connect(db, timeout_ms);
    db->was_connected = err == SVC_DB_OK;
    if (!err) {
        /* The second: a process that was stopped must not hold its locks for ever. */
        snprintf(sql, sizeof sql,
                 "begin%s; set local statement_timeout = %llu; "
                 "set local idle_in_transaction_session_timeout = %llu",
                 is_read_only ? " read only" : "", (unsigned long long)timeout_ms,
                 (unsigned long long)timeout_ms);
        err = db->ops->script(db, sql);
        if (err) {
            fail(db, err, sql);
            db->ops->drop(db);
        }
    }
    end_span(db, span, err);
    db->err = err;
    db->is_in_tx = err == SVC_DB_OK;
    db->is_read_only = is_read_only;
    return err;
}

enum svc_db_err svc_db_commit(struct svc_db *db, const char *before)
{
    char sql[256];
    WH_ASSERT(db->is_in_tx && !db->err);
    int len = snprintf(sql, sizeof sql, "%s%scommit", before ? before : "", before ? "; " : "");
    WH_ASSERT(len > 0 && (size_t)len < sizeof sql);
    enum svc_db_err err = end_work(db, sql, "commit");
    if (!err) {
        db->is_in_tx = false;
        return SVC_DB_OK;
    }
    /* Also when the server says that it ends the connection: it may say so after it committed. */
    if ((err == SVC_DB_UNAVAILABLE || db->is_unanswered) && !db->is_read_only)
        err = SVC_DB_LOST_COMMIT;
    fail(db, err, sql);
    svc_db_rollback(db);
    return err;
}

void svc_db_rollback(struct svc_db *db)
{
    WH_ASSERT(db->is_in_tx);
    db->is_in_tx = false;
    /* It gets some time of its own: the deadline is often why we are here. */
    db->deadline_ms = wh_clock_monotonic_ms() + 1000;
    if (end_work(db, "rollback", "rollback"))
        db->ops->drop(db);
}

void svc_db_close(struct svc_db *db)
{
    if (!db)
        return;
    svc_db_release(db);
    db->ops->close(db);
}
