/*
 * What is behind db.h: one connection of one thread, or a fake one (test_db.h).
 * For the files of services/core and tests only.
 */
#ifndef SERVICES_CORE_DB_CONN_H
#define SERVICES_CORE_DB_CONN_H

#include "common/base/span.h"
#include "services/core/db.h"

struct svc_db;

struct svc_db_ops {
    /* Connected, or made so: at most `timeout_ms`, at once SVC_DB_UNAVAILABLE within the back-off
     * after a failure. */
    enum svc_db_err (*connect)(struct svc_db *db, uint64_t timeout_ms);
    /* One statement with parameters.  The rows are the db's, until svc_db_release. */
    enum svc_db_err (*query)(struct svc_db *db,
                             const char *sql,
                             const struct svc_param *params,
                             size_t count,
                             struct svc_rows **out_rows);
    /* Several statements in one round trip, without parameters; stops at the first failure. */
    enum svc_db_err (*script)(struct svc_db *db, const char *sql);
    void (*drop)(struct svc_db *db); /* the connection: nobody knows its state */
    void (*close)(struct svc_db *db);
};

enum { SVC_DB_REASON_MAX = 256, SVC_DB_CONSTRAINT_MAX = 64 };

struct svc_db {
    const struct svc_db_ops *ops;
    struct svc_db_held *held; /* results, newest first */
    bool is_in_tx;
    bool was_connected; /* the last `begin` had a connection, perhaps a dead one */
    bool is_read_only;
    bool is_unanswered;             /* the last statement: whether it was done is not known */
    bool has_emitted;               /* in this transaction: wake the relay after COMMIT */
    enum svc_db_err err;            /* the first failure since `begin` */
    uint64_t deadline_ms;           /* monotonic: give up waiting for an answer */
    char reason[SVC_DB_REASON_MAX]; /* of the last failure; never a secret */
    char constraint[SVC_DB_CONSTRAINT_MAX]; /* likewise; "" = none */
    struct wh_tracer *tracer; /* of the work in hand: each statement is a span; NULL = none is */
    struct wh_trace trace;    /* where that work stands; not valid: in no trace */
    char comment[WH_TRACEPARENT_LEN + 1]; /* goes with the statement in hand; "" = none */
};

/* A real one; not connected yet.  `url` is copied.  WH_ENOMEM. */
WH_MUST_CHECK enum wh_err svc_db_open(const char *url, struct svc_db **out_db);
void svc_db_close(struct svc_db *db); /* NULL is fine */

/* WH_EFORMAT: no connection string.  Says no more than that: it may hold a password. */
WH_MUST_CHECK enum wh_err svc_db_check_url(const char *url);

/* Rows in memory of the db, `cells` to be filled; NULL: too large or out of memory. */
struct svc_rows *svc_db_hold(struct svc_db *db,
                             size_t count,
                             size_t columns,
                             size_t bytes,
                             char **out_bytes);
/* Free what results hold. */
void svc_db_release(struct svc_db *db);

/* The class of an SQLSTATE. */
enum svc_db_err svc_db_classify(const char *sqlstate);

/* Bookkeeping around ops->query: the deadline, the first failure, the log. */
enum svc_db_err svc_db_query(struct svc_db *db,
                             const char *sql,
                             const struct svc_param *params,
                             size_t count,
                             const struct svc_rows **out_rows);

/* BEGIN with the statement time-out in one round trip, COMMIT (`before` is run with it), ROLLBACK.
 * A commit that fails is a rollback, but for SVC_DB_LOST_COMMIT. */
enum svc_db_err svc_db_begin(struct svc_db *db, bool is_read_only, uint64_t timeout_ms);
enum svc_db_err svc_db_commit(struct svc_db *db, const char *before);
void svc_db_rollback(struct svc_db *db);

/* The work that statements are for from now on; NULL: none that is in a trace.  Those of a sampled
 * trace carry their traceparent to the server. */
void svc_db_set_trace(struct svc_db *db, struct wh_tracer *tracer, const struct wh_trace *trace);

#endif
