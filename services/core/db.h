/*
 * PostgreSQL for handlers: statements with parameters, rows, transactions.
 *
 *     const struct svc_rows *rows = NULL;
 *     if (SVC_SQL(ctx, &rows, "select name, stock from product where id = $1", SVC_TEXT(id)))
 *         return svc_db_code(ctx);
 *     if (rows->count == 0)
 *         return svc_fail(ctx, SVC_NOT_FOUND, "no such product");
 *     int64_t stock = svc_row_int(rows, 0, 1);
 *
 * A method with SVC_TX_READ or SVC_TX_WRITE finds a transaction open.  Everything else (a method
 * with SVC_TX_NONE, a job) makes its own by svc_tx.  After a statement that failed the transaction
 * is lost: the handler returns, and the core decides whether to run it again.
 *
 * Values never become part of the text of a statement: they are its parameters $1, $2, …
 *
 * The thread of the context only.
 */
#ifndef SERVICES_CORE_DB_H
#define SERVICES_CORE_DB_H

#include "services/core/service.h"

enum {
    SVC_PARAMS_MAX = 64,                   /* of one statement */
    SVC_TX_ATTEMPTS_MAX = 30,              /* runs of one transaction */
    SVC_STATEMENT_MS_MAX = 30000,          /* of a transaction without a deadline */
    SVC_ROWS_BYTES_MAX = 64 * 1024 * 1024, /* of one result; more is SVC_DB_FAILED */
};

/* How a statement or a transaction ended. */
enum svc_db_err {
    SVC_DB_OK,
    SVC_DB_NOT_UNIQUE,  /* 23505 */
    SVC_DB_CHECK,       /* another constraint: 23514, 23503, 23502, 23P01 */
    SVC_DB_INVALID,     /* a value that its type cannot hold: class 22 */
    SVC_DB_RETRY,       /* 40001, 40P01, 55P03: run it again */
    SVC_DB_TIMEOUT,     /* the deadline, 57014 */
    SVC_DB_UNAVAILABLE, /* no connection, or it was lost; 08*, 53*, 57P0* */
    SVC_DB_LOST_COMMIT, /* lost between COMMIT and its answer: it may have happened */
    SVC_DB_FAILED       /* everything else: a statement that is wrong */
};

/* "retry"; static storage. */
const char *svc_db_err_name(enum svc_db_err err);

enum svc_param_type {
    SVC_PARAM_NULL,
    SVC_PARAM_TEXT, /* of the type that the statement wants there */
    SVC_PARAM_INT,  /* bigint */
    SVC_PARAM_BOOL,
    SVC_PARAM_UUID,
    SVC_PARAM_JSON, /* json */
    SVC_PARAM_BYTES /* bytea */
};

struct svc_param {
    enum svc_param_type type;
    struct wh_slice text; /* TEXT, UUID, JSON, BYTES; absent = NULL */
    int64_t integer;      /* INT, BOOL */
};

#define SVC_TEXT(slice) ((struct svc_param){.type = SVC_PARAM_TEXT, .text = (slice)})
#define SVC_STR(string)                                                                            \
    ((struct svc_param){.type = SVC_PARAM_TEXT, .text = wh_slice_from_str(string)})
#define SVC_INT(number)  ((struct svc_param){.type = SVC_PARAM_INT, .integer = (number)})
#define SVC_BOOL(claim)  ((struct svc_param){.type = SVC_PARAM_BOOL, .integer = (claim) ? 1 : 0})
#define SVC_UUID(slice)  ((struct svc_param){.type = SVC_PARAM_UUID, .text = (slice)})
#define SVC_JSON(slice)  ((struct svc_param){.type = SVC_PARAM_JSON, .text = (slice)})
#define SVC_BYTES(slice) ((struct svc_param){.type = SVC_PARAM_BYTES, .text = (slice)})
#define SVC_NULL         ((struct svc_param){.type = SVC_PARAM_NULL})

/* A result: borrowed from the context until the handler returns or makes its next svc_tx. */
struct svc_rows {
    size_t count;
    size_t columns;
    int64_t affected;             /* rows that INSERT, UPDATE or DELETE touched */
    const struct wh_slice *cells; /* count × columns, NUL behind each; absent = NULL */
};

/*
 * Run one statement.  `out_rows` may be NULL.  Outside of a transaction it is one of its own.  What
 * is wrong is logged, with the statement's text and never with its parameters.
 */
#define SVC_SQL(ctx, out_rows, sql, ...)                                                           \
    svc_sql((ctx), (sql), (const struct svc_param[]){SVC_NULL, __VA_ARGS__} + 1,                   \
            sizeof((const struct svc_param[]){SVC_NULL, __VA_ARGS__}) / sizeof(struct svc_param) - \
                1,                                                                                 \
            (out_rows))
WH_MUST_CHECK enum svc_db_err svc_sql(struct svc_ctx *ctx,
                                      const char *sql,
                                      const struct svc_param *params,
                                      size_t count,
                                      const struct svc_rows **out_rows);

/*
 * What to return after a statement failed.  The first failure of the transaction decides: 409 for
 * NOT_UNIQUE, 422 for CHECK, 107 for INVALID, 1504 for TIMEOUT, 1503 for UNAVAILABLE, else 100.  A
 * handler that knows better answers better, but for what the core repeats (RETRY, UNAVAILABLE).
 */
uint32_t svc_db_code(struct svc_ctx *ctx);

/* The name of the constraint that the last failure named; "" = none.  Until the next statement. */
const char *svc_db_constraint(const struct svc_ctx *ctx);

/* A cell; `row` and `column` must exist, and of _int, _bool and _bytes the cell must be one and
 * not NULL: the statement said so, hence assertions. */
bool svc_row_is_null(const struct svc_rows *rows, size_t row, size_t column);
struct wh_slice svc_row_text(const struct svc_rows *rows, size_t row, size_t column);
int64_t svc_row_int(const struct svc_rows *rows, size_t row, size_t column);
bool svc_row_bool(const struct svc_rows *rows, size_t row, size_t column);

/*
 * Run `body` in a transaction.  Non-zero from `body` rolls back and is returned.  Serialization
 * failures, deadlocks and a connection lost before COMMIT run it again while the deadline of the
 * context allows; a COMMIT whose answer was lost is looked up before anything is said.
 *
 * Else 1503: no PostgreSQL, nothing happened; 1504: the deadline, or a COMMIT in doubt that could
 * not be looked up: it may have happened; 100.  Not within another transaction.
 */
typedef uint32_t svc_tx_body(struct svc_ctx *ctx, void *user);
uint32_t svc_tx(struct svc_ctx *ctx, enum svc_tx mode, svc_tx_body *body, void *user);

/* Within a transaction: take the lock called `name` until its end, over all instances of this
 * service.  False: somebody has it (or the statement failed: see svc_db_code). */
bool svc_tx_try_lock(struct svc_ctx *ctx, const char *name);

#endif
