/*
 * A connection to PostgreSQL by libpq, used like a blocking one.  Underneath it
 * is non-blocking, with a poll that ends at the deadline: a server that hangs
 * (stopped, lost in the network) must not hold a worker for longer than the
 * call that it works for.  Whoever gives up drops the connection; the statement
 * itself ends by the statement_timeout that the server was told.
 */
#include "common/base/alloc.h"
#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "services/core/db_conn.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include <libpq-fe.h>

enum {
    CONNECT_MS = 2000,
    ANSWER_GRACE_MS = 250, /* for the server to say itself that the time is over */
    BACKOFF_MIN_MS = 50,
    BACKOFF_MAX_MS = 2000,
};

enum { OID_BOOL = 16, OID_BYTEA = 17, OID_INT8 = 20, OID_JSON = 114, OID_UUID = 2950 };

struct svc_pg {
    struct svc_db db;
    char *url; /* a secret */
    PGconn *conn;
    struct wh_backoff backoff;
    uint64_t next_try_ms;  /* monotonic; none before */
    struct wh_buf scratch; /* texts of parameters and of the statement */
    bool was_up;
};

static struct svc_pg *pg_of(struct svc_db *db)
{
    return WH_CONTAINER_OF(db, struct svc_pg, db);
}

/* ---- what went wrong ---- */

/* The first line: the rest is detail and hint, which may quote data. */
static void note(struct svc_pg *pg, const char *text)
{
    size_t len = strcspn(text, "\n");
    snprintf(pg->db.reason, sizeof pg->db.reason, "%.*s", (int)(len < 200 ? len : 200), text);
}

static void drop(struct svc_db *db)
{
    struct svc_pg *pg = pg_of(db);
    PQfinish(pg->conn);
    pg->conn = NULL;
}

static enum svc_db_err lost(struct svc_pg *pg)
{
    note(pg, PQerrorMessage(pg->conn));
    pg->db.is_unanswered = true;
    drop(&pg->db);
    return SVC_DB_UNAVAILABLE;
}

static enum svc_db_err overdue(struct svc_pg *pg)
{
    note(pg, "no answer in time");
    pg->db.is_unanswered = true;
    drop(&pg->db);
    return SVC_DB_TIMEOUT;
}

static enum svc_db_err refused(struct svc_pg *pg, const PGresult *result)
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *constraint = PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME);
    note(pg, text ? text : PQresultErrorMessage(result));
    snprintf(pg->db.constraint, sizeof pg->db.constraint, "%s", constraint ? constraint : "");
    return sqlstate ? svc_db_classify(sqlstate) : SVC_DB_UNAVAILABLE;
}

static void on_notice(void *user, const PGresult *result)
{
    (void)user;
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    bool is_warning = severity && strcmp(severity, "WARNING") == 0;
    wh_log(is_warning ? WH_LOG_WARN : WH_LOG_DEBUG, "db", "notice", "severity=%s text=%.300s",
           severity ? severity : "", text ? text : "");
}

/* ---- waiting ---- */

/* Whether the socket became ready before `deadline_ms`. */
static bool wait_for(PGconn *conn, short events, uint64_t deadline_ms)
{
    struct pollfd fd = {.fd = PQsocket(conn), .events = events};
    for (;;) {
        uint64_t now_ms = wh_clock_monotonic_ms();
        if (now_ms >= deadline_ms)
            return false;
        uint64_t left_ms = deadline_ms - now_ms;
        int rc = poll(&fd, 1, left_ms < 60000 ? (int)left_ms : 60000);
        if (rc > 0 || (rc < 0 && errno != EINTR))
            return true; /* libpq finds out what it is */
    }
}

/* ---- connecting ---- */

/* What the connection string says comes later and wins. */
static PGconn *start_connect(const char *url)
{
    static const char *const names[] = {
        "client_encoding",     "fallback_application_name", "tcp_user_timeout", "keepalives_idle",
        "keepalives_interval", "keepalives_count",          "dbname",           NULL};
    const char *const values[] = {"UTF8", "wirehub", "5000", "10", "5", "3", url, NULL};
    return PQconnectStartParams(names, values, 1);
}

static enum svc_db_err finish_connect(struct svc_pg *pg, uint64_t deadline_ms)
{
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;
    if (!pg->conn || PQstatus(pg->conn) == CONNECTION_BAD)
        state = PGRES_POLLING_FAILED;
    while (state != PGRES_POLLING_OK) {
        if (state == PGRES_POLLING_FAILED) {
            note(pg, pg->conn ? PQerrorMessage(pg->conn) : "out of memory");
            return SVC_DB_UNAVAILABLE;
        }
        if (!wait_for(pg->conn, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline_ms)) {
            note(pg, "connect: no answer in time");
            return SVC_DB_UNAVAILABLE;
        }
        state = PQconnectPoll(pg->conn);
    }
    PQsetNoticeReceiver(pg->conn, on_notice, NULL);
    return PQsetnonblocking(pg->conn, 1) == 0 ? SVC_DB_OK : lost(pg);
}

static enum svc_db_err connect_now(struct svc_db *db, uint64_t timeout_ms)
{
    struct svc_pg *pg = pg_of(db);
    uint64_t now_ms = wh_clock_monotonic_ms();
    if (pg->conn)
        return SVC_DB_OK;
    if (now_ms < pg->next_try_ms)
        return SVC_DB_UNAVAILABLE; /* the reason is still there */
    pg->conn = start_connect(pg->url);
    enum svc_db_err err =
        finish_connect(pg, now_ms + (timeout_ms < CONNECT_MS ? timeout_ms : CONNECT_MS));
    if (err) {
        wh_log(WH_LOG_WARN, "db", "connect_failed", "reason=%s", db->reason);
        drop(db);
        pg->next_try_ms = wh_clock_monotonic_ms() + wh_backoff_next_ms(&pg->backoff);
        return err;
    }
    wh_backoff_reset(&pg->backoff);
    db->reason[0] = '\0';
    wh_log(pg->was_up ? WH_LOG_INFO : WH_LOG_DEBUG, "db", "connected", "server_version=%d",
           PQserverVersion(pg->conn));
    pg->was_up = true;
    return SVC_DB_OK;
}

/* ---- one round trip ---- */

static enum svc_db_err send_all(struct svc_pg *pg, uint64_t deadline_ms)
{
    int rc;
    while ((rc = PQflush(pg->conn)) == 1) {
        if (!wait_for(pg->conn, POLLIN | POLLOUT, deadline_ms))
            return overdue(pg);
        if (!PQconsumeInput(pg->conn))
            return lost(pg);
    }
    return rc == 0 ? SVC_DB_OK : lost(pg);
}

/* The next result, NULL after the last. */
static enum svc_db_err next_result(struct svc_pg *pg, uint64_t deadline_ms, PGresult **out_result)
{
    while (PQisBusy(pg->conn)) {
        if (!wait_for(pg->conn, POLLIN, deadline_ms))
            return overdue(pg);
        if (!PQconsumeInput(pg->conn))
            return lost(pg);
    }
    *out_result = PQgetResult(pg->conn);
    return SVC_DB_OK;
}

static bool is_fine(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY;
}

/* All results of what was sent; the last fine one goes out, the first failure counts. */
static enum svc_db_err collect(struct svc_pg *pg, PGresult **out_last)
{
    uint64_t deadline_ms = pg->db.deadline_ms + ANSWER_GRACE_MS;
    PGresult *last = NULL;
    PGresult *result = NULL;
    enum svc_db_err first = SVC_DB_OK;
    enum svc_db_err err = send_all(pg, deadline_ms);
    while (!err && !(err = next_result(pg, deadline_ms, &result)) && result) {
        if (!is_fine(result) && !first)
            first = refused(pg, result);
        PQclear(last);
        last = result;
    }
    if (!err && PQstatus(pg->conn) == CONNECTION_BAD) {
        if (!first)
            err = lost(pg);
        else
            drop(&pg->db);
    }
    if (err || first) {
        PQclear(last);
        return err ? err : first;
    }
    *out_last = last;
    return SVC_DB_OK;
}

/* `sql` with the trace behind it, at the end of the scratch.  Statements are never prepared under a
 * name, so a text that differs each time costs no plan. */
static const char *with_trace(struct svc_pg *pg, const char *sql)
{
    if (pg->db.comment[0] == '\0')
        return sql;
    size_t start = pg->scratch.len;
    wh_buf_printf(&pg->scratch, "%s /*traceparent='%s'*/", sql, pg->db.comment);
    const char *whole = wh_buf_cstr(&pg->scratch);
    return wh_buf_error(&pg->scratch) ? sql : whole + start;
}

static enum svc_db_err script(struct svc_db *db, const char *sql)
{
    struct svc_pg *pg = pg_of(db);
    PGresult *last = NULL;
    db->is_unanswered = false;
    if (!pg->conn)
        return SVC_DB_UNAVAILABLE;
    wh_buf_reset(&pg->scratch);
    if (!PQsendQuery(pg->conn, with_trace(pg, sql)))
        return lost(pg);
    enum svc_db_err err = collect(pg, &last);
    if (err)
        return err;
    /* COMMIT of a transaction that had failed says ROLLBACK, and no error. */
    bool is_rolled_back =
        strcmp(PQcmdStatus(last), "ROLLBACK") == 0 && strcmp(sql, "rollback") != 0;
    PQclear(last);
    if (is_rolled_back) {
        note(pg, "the transaction was rolled back");
        return SVC_DB_FAILED;
    }
    return SVC_DB_OK;
}

/* ---- parameters and rows ---- */

struct bound {
    Oid types[SVC_PARAMS_MAX];
    size_t starts[SVC_PARAMS_MAX]; /* in the scratch; SIZE_MAX = NULL */
    const char *values[SVC_PARAMS_MAX];
    int lengths[SVC_PARAMS_MAX];
    int formats[SVC_PARAMS_MAX];
};

static Oid type_of(enum svc_param_type type)
{
    switch (type) {
    case SVC_PARAM_INT:
        return OID_INT8;
    case SVC_PARAM_BOOL:
        return OID_BOOL;
    case SVC_PARAM_UUID:
        return OID_UUID;
    case SVC_PARAM_JSON:
        return OID_JSON;
    case SVC_PARAM_BYTES:
        return OID_BYTEA;
    case SVC_PARAM_NULL:
    case SVC_PARAM_TEXT:
        break;
    }
    return 0;
}

/* Write the value; false when a text has a NUL, which PostgreSQL cannot keep. */
static bool write_value(struct wh_buf *out, const struct svc_param *param)
{
    if (param->type == SVC_PARAM_INT) {
        wh_buf_append_i64(out, param->integer);
    } else if (param->type == SVC_PARAM_BOOL) {
        wh_buf_append_char(out, param->integer ? 't' : 'f');
    } else {
        if (param->type != SVC_PARAM_BYTES && memchr(param->text.ptr, '\0', param->text.len))
            return false;
        wh_buf_append_slice(out, param->text);
    }
    wh_buf_append_char(out, '\0');
    return true;
}

static bool is_null(const struct svc_param *param)
{
    bool has_text = param->type != SVC_PARAM_INT && param->type != SVC_PARAM_BOOL;
    return param->type == SVC_PARAM_NULL || (has_text && !param->text.ptr);
}

static enum svc_db_err bind(struct svc_pg *pg,
                            const struct svc_param *params,
                            size_t count,
                            struct bound *bound)
{
    for (size_t i = 0; i < count; i++) {
        bound->types[i] = type_of(params[i].type);
        bound->formats[i] = params[i].type == SVC_PARAM_BYTES;
        bound->starts[i] = is_null(&params[i]) ? SIZE_MAX : pg->scratch.len;
        bound->lengths[i] = (int)params[i].text.len;
        if (bound->starts[i] != SIZE_MAX && !write_value(&pg->scratch, &params[i])) {
            note(pg, "a text has a NUL byte");
            return SVC_DB_INVALID;
        }
    }
    return SVC_DB_OK;
}

/* Results come as text, in which bytes are "\\x" and hexadecimal digits; half of it remains. */
static size_t read_bytes(char *out, const char *text, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    WH_ASSERT(len >= 2 && text[0] == '\\' && text[1] == 'x');
    for (size_t i = 2; i + 1 < len; i += 2) {
        const char *high = strchr(digits, text[i]);
        const char *low = strchr(digits, text[i + 1]);
        WH_ASSERT(high && low);
        *out++ = (char)((high - digits) << 4 | (low - digits));
    }
    return len / 2 - 1;
}

static struct svc_rows *fill(struct svc_rows *rows, const PGresult *result, char *bytes)
{
    struct wh_slice *cells = (struct wh_slice *)rows->cells;
    for (size_t i = 0; i < rows->count * rows->columns; i++) {
        int row = (int)(i / rows->columns);
        int column = (int)(i % rows->columns);
        if (PQgetisnull(result, row, column))
            continue;
        size_t len = (size_t)PQgetlength(result, row, column);
        const char *value = PQgetvalue(result, row, column);
        if (PQftype(result, column) == OID_BYTEA)
            len = read_bytes(bytes, value, len);
        else
            memcpy(bytes, value, len);
        bytes[len] = '\0';
        cells[i] = wh_slice(bytes, len);
        bytes += len + 1;
    }
    return rows;
}

static struct svc_rows *take_rows(struct svc_pg *pg, const PGresult *result)
{
    size_t count = (size_t)PQntuples(result);
    size_t columns = (size_t)PQnfields(result);
    size_t bytes = 0;
    char *room = NULL;
    for (size_t i = 0; i < count * columns; i++)
        bytes += (size_t)PQgetlength(result, (int)(i / columns), (int)(i % columns));
    struct svc_rows *rows = svc_db_hold(&pg->db, count, columns, bytes, &room);
    if (!rows)
        return NULL;
    rows->affected = strtoll(PQcmdTuples((PGresult *)(uintptr_t)result), NULL, 10);
    return fill(rows, result, room);
}

static enum svc_db_err query(struct svc_db *db,
                             const char *sql,
                             const struct svc_param *params,
                             size_t count,
                             struct svc_rows **out_rows)
{
    struct svc_pg *pg = pg_of(db);
    struct bound bound;
    PGresult *result = NULL;
    db->is_unanswered = false;
    if (!pg->conn)
        return SVC_DB_UNAVAILABLE;
    wh_buf_reset(&pg->scratch);
    enum svc_db_err err = bind(pg, params, count, &bound);
    if (err)
        return err;
    const char *text = with_trace(pg, sql);
    if (wh_buf_error(&pg->scratch)) {
        note(pg, "the parameters are too large");
        return SVC_DB_INVALID;
    }
    for (size_t i = 0; i < count; i++)
        bound.values[i] = bound.starts[i] == SIZE_MAX ? NULL : pg->scratch.ptr + bound.starts[i];
    if (!PQsendQueryParams(pg->conn, text, (int)count, bound.types, bound.values, bound.lengths,
                           bound.formats, 0))
        return lost(pg);
    err = collect(pg, &result);
    if (err)
        return err;
    *out_rows = take_rows(pg, result);
    PQclear(result);
    if (!*out_rows) {
        note(pg, "the result is too large");
        return SVC_DB_FAILED;
    }
    return SVC_DB_OK;
}

/* ---- life ---- */

static void close_pg(struct svc_db *db)
{
    struct svc_pg *pg = pg_of(db);
    drop(db);
    wh_buf_deinit(&pg->scratch);
    wh_free(pg->url);
    wh_free(pg);
}

static const struct svc_db_ops ops = {.connect = connect_now,
                                      .query = query,
                                      .script = script,
                                      .drop = drop,
                                      .close = close_pg};

enum wh_err svc_db_check_url(const char *url)
{
    char *problem = NULL; /* quotes the string */
    PQconninfoOption *parts = PQconninfoParse(url, &problem);
    bool is_good = parts != NULL;
    PQconninfoFree(parts);
    PQfreemem(problem);
    return is_good ? WH_OK : WH_EFORMAT;
}

enum wh_err svc_db_open(const char *url, struct svc_db **out_db)
{
    size_t len = strlen(url) + 1;
    struct svc_pg *pg = wh_calloc(1, sizeof *pg);
    if (!pg)
        return WH_ENOMEM;
    pg->db.ops = &ops;
    pg->backoff = (struct wh_backoff){.min_ms = BACKOFF_MIN_MS, .max_ms = BACKOFF_MAX_MS};
    wh_buf_init(&pg->scratch, SVC_ROWS_BYTES_MAX);
    pg->url = wh_malloc(len);
    if (!pg->url) {
        close_pg(&pg->db);
        return WH_ENOMEM;
    }
    memcpy(pg->url, url, len);
    *out_db = &pg->db;
    return WH_OK;
}
