/*
 * Shared by consumer.c (what to do with an event, and the life of the thread)
 * and consumer_redis.c (the commands).
 */
#ifndef SERVICES_CORE_CONSUMER_INTERNAL_H
#define SERVICES_CORE_CONSUMER_INTERNAL_H

#include "services/core/consumer.h"
#include "services/core/redis_thread.h"
#include "services/core/thread.h"

struct consumer_stream {
    struct wh_slice name; /* "wh:events:order" */
    bool is_full;         /* SVC_CONSUMER_PENDING_MAX is reached */
    atomic_uint_least64_t done;
    atomic_uint_least64_t duplicates;
    atomic_uint_least64_t ignored;
    atomic_uint_least64_t failed;
    atomic_uint_least64_t dead;
    atomic_int_least64_t lag;     /* -1 = not known */
    atomic_int_least64_t pending; /* likewise */
};

struct consumer {
    struct svc_thread thread;
    struct svc_redis redis;
    struct consumer_stream streams[SVC_CONSUMER_STREAMS_MAX];
    size_t stream_count;
    struct wh_arena names; /* of the streams */
    struct wh_arena pass;  /* one round: entries, blocked subjects */
    struct blocked *blocked;
    bool has_groups;
    bool has_lease;
    uint64_t renew_ms; /* monotonic: the lease is renewed from then on */
    uint64_t lag_ms;   /* monotonic: the lag is read from then on */
};

/* One entry of a stream, in the arena of the round. */
struct consumer_entry {
    struct consumer_stream *stream;
    struct wh_slice id;
    struct wh_slice text; /* field `event`; absent: there is no such field */
    uint64_t deliveries;  /* this one included */
    uint64_t idle_ms;
    bool is_other; /* was delivered to another instance */
    bool is_gone;  /* trimmed away */
};

struct consumer_entries {
    struct consumer_entry *items;
    size_t count;
};

/* Each false: Redis is gone, or the groups are; the round is over. */
bool consumer_make_groups(struct consumer *consumer);
bool consumer_read_pending(struct consumer *consumer,
                           struct consumer_stream *stream,
                           struct consumer_entries *out_entries);
bool consumer_read_entry(struct consumer *consumer, struct consumer_entry *entry);
/* New entries of all streams that are not full; waits up to `block_ms`. */
bool consumer_read_new(struct consumer *consumer,
                       uint32_t block_ms,
                       struct consumer_entries *out_entries);
/* Take a pending entry over, and say how often it was delivered. */
bool consumer_claim(struct consumer *consumer,
                    const struct consumer_entry *entry,
                    uint64_t deliveries);
bool consumer_ack(struct consumer *consumer, const struct consumer_entry *entry);
bool consumer_bury(struct consumer *consumer,
                   const struct consumer_entry *entry,
                   const char *reason);
bool consumer_read_lag(struct consumer *consumer);
/* This instance leaves the groups; what is pending stays. */
void consumer_leave(struct consumer *consumer);

#endif
