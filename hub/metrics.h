/*
 * Counters and gauges of one worker, in memory shared with the other workers
 * of this machine, so that /metrics on any of them speaks for all.  One table
 * (metrics.c) names, types and describes them; a worker adds to its own
 * column with plain stores, readers sum the columns.
 */
#ifndef HUB_METRICS_H
#define HUB_METRICS_H

#include "common/base/buf.h"
#include "common/protocol/payload.h"

#include <stdatomic.h>

/*
 * X(id, prometheus name, type, label text or "", help)
 * Rows of one family stand together and differ in labels.
 */
#define METRIC_LIST(X)                                                                             \
    X(METRIC_CONNECTIONS_JSON, "connections", GAUGE, "transport=\"websocket\",encoding=\"json\"", "Connections that completed connect.") \
    X(METRIC_CONNECTIONS_MSGPACK, "connections", GAUGE, "transport=\"websocket\",encoding=\"msgpack\"", "") \
    X(METRIC_CONNECTIONS_PROTOBUF, "connections", GAUGE, "transport=\"websocket\",encoding=\"protobuf\"", "") \
    X(METRIC_CONNECTIONS_TOTAL_JSON, "connections_total", COUNTER, "transport=\"websocket\",encoding=\"json\"", "Connections accepted by the WebSocket upgrade.") \
    X(METRIC_CONNECTIONS_TOTAL_MSGPACK, "connections_total", COUNTER, "transport=\"websocket\",encoding=\"msgpack\"", "") \
    X(METRIC_CONNECTIONS_TOTAL_PROTOBUF, "connections_total", COUNTER, "transport=\"websocket\",encoding=\"protobuf\"", "") \
    X(METRIC_USERS, "users", GAUGE, "", "Distinct users connected, per worker and summed.")        \
    X(METRIC_CHANNELS, "channels", GAUGE, "", "Channels with a subscriber, per worker and summed.") \
    X(METRIC_SUBSCRIPTIONS, "subscriptions", GAUGE, "", "Subscriptions of all connections.")       \
    X(METRIC_MESSAGES_RECEIVED, "messages_received_total", COUNTER, "", "Commands received from clients.") \
    X(METRIC_BYTES_RECEIVED, "bytes_received_total", COUNTER, "", "Bytes of WebSocket messages received from clients.") \
    X(METRIC_PUBLICATIONS_SENT, "messages_sent_total", COUNTER, "kind=\"publication\"", "Messages sent to clients.") \
    X(METRIC_REPLIES_SENT, "messages_sent_total", COUNTER, "kind=\"reply\"", "")                   \
    X(METRIC_PUSHES_SENT, "messages_sent_total", COUNTER, "kind=\"push\"", "")                     \
    X(METRIC_PINGS_SENT, "messages_sent_total", COUNTER, "kind=\"ping\"", "")                      \
    X(METRIC_WIRE_BYTES_SENT, "wire_bytes_total", COUNTER, "", "Bytes sent to clients, WebSocket headers included.") \
    X(METRIC_PUBLICATIONS_BROKER, "publications_received_total", COUNTER, "source=\"hub\"", "Publications that came from the broker.") \
    X(METRIC_PUBLICATIONS_PLAIN, "publications_received_total", COUNTER, "source=\"plain\"", "")   \
    X(METRIC_PUBLICATIONS_UNREPRESENTABLE, "publications_skipped_total", COUNTER, "reason=\"encoding\"", "Deliveries skipped because the client's encoding cannot carry the payload.") \
    X(METRIC_PUBLICATIONS_INVALID, "publications_skipped_total", COUNTER, "reason=\"invalid\"", "") \
    X(METRIC_SLOW_DISCONNECTS, "slow_disconnects_total", COUNTER, "", "Clients cut because their queue was over its limit.") \
    X(METRIC_QUEUE_BYTES, "queue_bytes", GAUGE, "", "Bytes waiting for slow clients.")             \
    X(METRIC_CONNECTIONS_REFUSED_LIMIT, "connections_refused_total", COUNTER, "reason=\"limit\"", "Upgrades refused.") \
    X(METRIC_CONNECTIONS_REFUSED_RATE, "connections_refused_total", COUNTER, "reason=\"rate\"", "") \
    X(METRIC_CONNECTIONS_REFUSED_ORIGIN, "connections_refused_total", COUNTER, "reason=\"origin\"", "") \
    X(METRIC_CONNECTIONS_REFUSED_HANDSHAKE, "connections_refused_total", COUNTER, "reason=\"handshake\"", "") \
    X(METRIC_CONNECTIONS_REFUSED_FILES, "connections_refused_total", COUNTER, "reason=\"descriptors\"", "") \
    X(METRIC_HTTP_REQUESTS, "http_requests_total", COUNTER, "", "HTTP requests answered.")         \
    X(METRIC_REDIS_UP, "redis_up", GAUGE, "", "Workers whose Redis link is up.")                   \
    X(METRIC_REDIS_RECONNECTS, "redis_reconnects_total", COUNTER, "", "Reconnections to Redis.")   \
    X(METRIC_REDIS_COMMANDS, "redis_commands_total", COUNTER, "", "Commands sent to Redis.")       \
    X(METRIC_REDIS_ERRORS, "redis_errors_total", COUNTER, "", "Commands that Redis refused or that got no answer.") \
    X(METRIC_CONFIG_RELOADS_OK, "config_reload_total", COUNTER, "outcome=\"ok\"", "Configuration reloads.") \
    X(METRIC_CONFIG_RELOADS_FAILED, "config_reload_total", COUNTER, "outcome=\"failed\"", "")      \
    X(METRIC_LOOP_TURNS, "loop_turns_total", COUNTER, "", "Turns of the event loops.")             \
    X(METRIC_LOOP_BUSY_US, "loop_busy_microseconds_total", COUNTER, "", "Time the event loops spent working.") \
    X(METRIC_WORKER_RESTARTS, "worker_restarts_total", COUNTER, "", "Workers that ended and were replaced.")

enum metric {
#define X(id, name, type, labels, help) id,
    METRIC_LIST(X)
#undef X
    METRIC_COUNT
};

/* Families with a code label keep small open tables of their own. */
enum metric_code_family {
    METRIC_REPLY_ERRORS,  /* reply_errors_total{code} */
    METRIC_DISCONNECTS,   /* disconnects_total{code} */
    METRIC_UNSUBSCRIBES,  /* unsubscribes_total{code} */
    METRIC_CODE_FAMILIES
};

/* auth_failures_total{reason}, by the words of auth.h. */

struct metrics; /* one worker's column */
struct metrics_shared; /* all columns, mmap'd by the supervisor before it forks */

WH_MUST_CHECK enum wh_err metrics_shared_new(unsigned workers, struct metrics_shared **out_shared);
void metrics_shared_free(struct metrics_shared *shared);

/* The column of worker `index`.  A restarted worker keeps its counters and starts its gauges at 0. */
struct metrics *metrics_open(struct metrics_shared *shared, unsigned index);

void metrics_add(struct metrics *metrics, enum metric metric, int64_t delta);
void metrics_set(struct metrics *metrics, enum metric metric, int64_t value);
void metrics_count_code(struct metrics *metrics, enum metric_code_family family, uint32_t code);
void metrics_count_auth_failure(struct metrics *metrics, const char *reason);

/* The sum over workers. */
int64_t metrics_total(const struct metrics_shared *shared, enum metric metric);

/* Prometheus text exposition format 0.0.4 of all workers together. */
void metrics_write(const struct metrics_shared *shared, struct wh_buf *out);

#endif
