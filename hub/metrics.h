/*
 * Counters and gauges of one worker, in memory shared with the other workers
 * of this machine, so that /metrics on any of them speaks for all.  One table
 * (metrics.c) names, types and describes them; a worker adds to its own
 * column with plain stores, readers sum the columns.  Nothing here locks or
 * waits; sums are exact once the writers pause and never torn before.
 */
#ifndef HUB_METRICS_H
#define HUB_METRICS_H

#include "common/base/buf.h"

#include <stdint.h>

/* The labels of a family that is told apart by the encoding of the connection. */
#define METRIC_WEBSOCKET(encoding) "transport=\"websocket\",encoding=\"" encoding "\""

/*
 * X(id, family, label text or "").  Names, types and help texts belong to the families, which
 * metrics.c lists; rows of one family differ in labels.
 */
#define METRIC_LIST(X)                                                                             \
    X(METRIC_CONNECTIONS_JSON, CONNECTIONS, METRIC_WEBSOCKET("json"))                              \
    X(METRIC_CONNECTIONS_MSGPACK, CONNECTIONS, METRIC_WEBSOCKET("msgpack"))                        \
    X(METRIC_CONNECTIONS_PROTOBUF, CONNECTIONS, METRIC_WEBSOCKET("protobuf"))                      \
    X(METRIC_CONNECTIONS_TOTAL_JSON, CONNECTIONS_TOTAL, METRIC_WEBSOCKET("json"))                  \
    X(METRIC_CONNECTIONS_TOTAL_MSGPACK, CONNECTIONS_TOTAL, METRIC_WEBSOCKET("msgpack"))            \
    X(METRIC_CONNECTIONS_TOTAL_PROTOBUF, CONNECTIONS_TOTAL, METRIC_WEBSOCKET("protobuf"))          \
    X(METRIC_USERS, USERS, "")                                                                     \
    X(METRIC_CHANNELS, CHANNELS, "")                                                               \
    X(METRIC_SUBSCRIPTIONS, SUBSCRIPTIONS, "")                                                     \
    X(METRIC_MESSAGES_RECEIVED, MESSAGES_RECEIVED, "")                                             \
    X(METRIC_BYTES_RECEIVED, BYTES_RECEIVED, "")                                                   \
    X(METRIC_PUBLICATIONS_SENT, MESSAGES_SENT, "kind=\"publication\"")                             \
    X(METRIC_REPLIES_SENT, MESSAGES_SENT, "kind=\"reply\"")                                        \
    X(METRIC_PUSHES_SENT, MESSAGES_SENT, "kind=\"push\"")                                          \
    X(METRIC_PINGS_SENT, MESSAGES_SENT, "kind=\"ping\"")                                           \
    X(METRIC_WIRE_BYTES_SENT, WIRE_BYTES, "")                                                      \
    X(METRIC_PUBLICATIONS_BROKER, PUBLICATIONS_RECEIVED, "source=\"hub\"")                         \
    X(METRIC_PUBLICATIONS_PLAIN, PUBLICATIONS_RECEIVED, "source=\"plain\"")                        \
    X(METRIC_PUBLICATIONS_UNREPRESENTABLE, PUBLICATIONS_SKIPPED, "reason=\"encoding\"")            \
    X(METRIC_PUBLICATIONS_INVALID, PUBLICATIONS_SKIPPED, "reason=\"invalid\"")                     \
    X(METRIC_SLOW_DISCONNECTS, SLOW_DISCONNECTS, "")                                               \
    X(METRIC_QUEUE_BYTES, QUEUE_BYTES, "")                                                         \
    X(METRIC_CONNECTIONS_REFUSED_LIMIT, CONNECTIONS_REFUSED, "reason=\"limit\"")                   \
    X(METRIC_CONNECTIONS_REFUSED_RATE, CONNECTIONS_REFUSED, "reason=\"rate\"")                     \
    X(METRIC_CONNECTIONS_REFUSED_ORIGIN, CONNECTIONS_REFUSED, "reason=\"origin\"")                 \
    X(METRIC_CONNECTIONS_REFUSED_HANDSHAKE, CONNECTIONS_REFUSED, "reason=\"handshake\"")           \
    X(METRIC_CONNECTIONS_REFUSED_FILES, CONNECTIONS_REFUSED, "reason=\"descriptors\"")             \
    X(METRIC_RATE_LIMITED_CONNECTION, RATE_LIMITED, "scope=\"connection\"")                        \
    X(METRIC_RATE_LIMITED_USER, RATE_LIMITED, "scope=\"user\"")                                    \
    X(METRIC_RATE_LIMITED_ADDRESS, RATE_LIMITED, "scope=\"address\"")                              \
    X(METRIC_HTTP_REQUESTS, HTTP_REQUESTS, "")                                                     \
    X(METRIC_REDIS_UP, REDIS_UP, "")                                                               \
    X(METRIC_REDIS_RECONNECTS, REDIS_RECONNECTS, "")                                               \
    X(METRIC_REDIS_COMMANDS, REDIS_COMMANDS, "")                                                   \
    X(METRIC_REDIS_ERRORS, REDIS_ERRORS, "")                                                       \
    X(METRIC_RPC_LATE_REPLIES, RPC_LATE_REPLIES, "")                                               \
    X(METRIC_RPC_INVALID_REPLIES, RPC_INVALID_REPLIES, "")                                         \
    X(METRIC_CONFIG_RELOADS_OK, CONFIG_RELOAD, "outcome=\"ok\"")                                   \
    X(METRIC_CONFIG_RELOADS_FAILED, CONFIG_RELOAD, "outcome=\"failed\"")                           \
    X(METRIC_TRACE_SPANS_EXPORTED, TRACE_SPANS_EXPORTED, "")                                       \
    X(METRIC_TRACE_SPANS_DROPPED, TRACE_SPANS_DROPPED, "")                                         \
    X(METRIC_LOOP_TURNS, LOOP_TURNS, "")                                                           \
    X(METRIC_LOOP_BUSY_US, LOOP_BUSY, "") /* counted in microseconds, shown in seconds */          \
    X(METRIC_WORKER_RESTARTS, WORKER_RESTARTS, "")

enum metric {
#define X(id, family, labels) id,
    METRIC_LIST(X)
#undef X
        METRIC_COUNT
};

/* Families with a code label keep small open tables of their own. */
enum metric_code_family {
    METRIC_REPLY_ERRORS, /* reply_errors_total{code} */
    METRIC_DISCONNECTS,  /* disconnects_total{code} */
    METRIC_UNSUBSCRIBES, /* unsubscribes_total{code} */
    METRIC_CODE_FAMILIES
};

/* auth_failures_total{reason}, by the words of auth.h, is such a table too. */

/* Past this many different codes or reasons in one worker, all new ones count as "other". */
enum { METRIC_LABELS_MAX = 64 };

struct metrics;        /* one process's column; only that process writes to it */
struct metrics_shared; /* all columns, mmap'd by the supervisor before it forks */

/*
 * Columns for `workers` workers and for the supervisor.  WH_EINVAL when workers is 0 or beyond
 * reason (4096), WH_ENOMEM.  Freeing unmaps in this process only; NULL is fine.
 */
WH_MUST_CHECK enum wh_err metrics_shared_new(unsigned workers, struct metrics_shared **out_shared);
void metrics_shared_free(struct metrics_shared *shared);

/*
 * The column of worker `index`, claimed by the calling process: its pid goes into the column.
 * A restarted worker keeps its counters and starts its gauges at 0.  Borrowed from `shared`.
 */
struct metrics *metrics_open(struct metrics_shared *shared, unsigned index);

/* The supervisor's own column: worker restarts and configuration reloads are counted here. */
struct metrics *metrics_open_supervisor(struct metrics_shared *shared);

/* Worker `index` is gone (any process may say so): its gauges count as 0 from now on. */
void metrics_close(struct metrics_shared *shared, unsigned index);

void metrics_add(struct metrics *metrics, enum metric metric, int64_t delta);
void metrics_set(struct metrics *metrics, enum metric metric, int64_t value);
void metrics_count_code(struct metrics *metrics, enum metric_code_family family, uint32_t code);
/* `reason` is copied, at most 31 bytes of it. */
void metrics_count_auth_failure(struct metrics *metrics, const char *reason);

/*
 * Count this process's open descriptors into its column, for the other workers' /metrics: the
 * kernel may hide /proc/<pid>/fd of a process that may not be dumped from its siblings.  Reads a
 * directory as long as the number of descriptors: once in 15 s is often enough.
 */
void metrics_sample_descriptors(struct metrics *metrics);

/* The sum over workers; of a gauge, over those that are alive. */
int64_t metrics_total(const struct metrics_shared *shared, enum metric metric);

/*
 * Prometheus text exposition format 0.0.4 of all workers together; failures are in the buffer.
 * Content-Type: METRICS_CONTENT_TYPE.
 */
#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"
void metrics_write(const struct metrics_shared *shared, struct wh_buf *out);

#endif
