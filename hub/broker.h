/*
 * A broker carries publications between nodes (workers, machines) and, with
 * history, keeps them.  Two implementations from day one: memory (this
 * process alone) and redis.
 *
 * Loop thread only.  Every `done` is called exactly once, never before the
 * call that took it returned.  Slices passed in are copied if needed later;
 * slices passed out are borrowed until the callback returns.
 */
#ifndef HUB_BROKER_H
#define HUB_BROKER_H

#include "common/base/err.h"
#include "common/base/slice.h"
#include "common/io/loop.h"
#include "common/protocol/model.h"
#include "hub/config.h"
#include "hub/metrics.h"

struct broker;

typedef void broker_done(void *user, enum wh_err err);

/* Where a stream stands, or the top of what was just read.  Offset 0 and no epoch: no stream. */
struct broker_position {
    uint64_t offset;
    struct wh_slice epoch;
};

/* How to publish; all zero = live only, nothing is kept. */
struct broker_publish_options {
    uint64_t history_size;           /* 0 = not kept: no offset */
    uint64_t history_ttl_ms;         /* of the publications, counted from the last one */
    uint64_t meta_ttl_ms;            /* of epoch and top, counted from the last use */
    struct wh_slice idempotency_key; /* "" = none; known for 5 minutes per channel */
    uint64_t version;                /* 0 = none; not above the stored one: not published */
    struct wh_slice version_epoch;   /* versions of another epoch do not compare */
};

/*
 * WH_OK with the position that the publication has, or that of the earlier one which the
 * idempotency key names, or the present top when the version was old.  `position` is NULL with any
 * other `err`.
 */
typedef void broker_published(void *user, enum wh_err err, const struct broker_position *position);

struct broker_history_query {
    uint64_t since;       /* forward: offsets above it; reverse: below it */
    bool has_since;       /* false: from the oldest kept, or from the newest in reverse */
    bool reverse;         /* newest first */
    uint64_t limit;       /* publications; 0 = only the position */
    uint64_t meta_ttl_ms; /* epoch and top are renewed by reading, and made if missing */
};

/*
 * Position and publications are one atomic answer; borrowed until the callback returns.  Each
 * publication has its offset; the epoch of all is that of `top`.  What cannot be decoded (a service
 * wrote it) is left out, so a hole is possible.
 */
struct broker_history {
    struct broker_position top;
    const struct wh_pub *publications;
    size_t count;
};
/* `history` is NULL when `err` is not WH_OK. */
typedef void broker_history_done(void *user, enum wh_err err, const struct broker_history *history);

struct broker_events {
    /*
     * A publication arrived for a channel this node subscribes to.  `is_plain`: it came as a bare
     * Redis PUBLISH without envelope: at most once, no offset, skipped for clients whose
     * encoding cannot carry it.  With history its offset and epoch are set, both.
     */
    void (*on_publication)(void *user,
                           struct wh_slice channel,
                           const struct wh_pub *pub,
                           bool is_plain);
    /* Somebody joined or left a channel this node subscribes to; may be NULL. */
    void (*on_join)(void *user, struct wh_slice channel, const struct wh_info *info, bool is_leave);
    /* A message from another node, or from this one to all: opaque here, see control.h; may
     * be NULL. */
    void (*on_control)(void *user, struct wh_slice message);
    /* The link came up (`reason` "") or went down (`reason` for log and /readyz).  When it comes
     * up publications may have been missed: compare positions. */
    void (*on_state)(void *user, bool is_up, const char *reason);
    void *user;
};

struct broker_ops {
    const char *name;

    /*
     * The first local subscriber came: receive `channel`.  Done with WH_OK once the broker has
     * confirmed; WH_EUNAVAILABLE when it did not within 2 s.  After WH_OK the subscription is
     * held through any loss of the link until unsubscribe.
     */
    void (*subscribe)(struct broker *broker,
                      struct wh_slice channel,
                      broker_done *done,
                      void *user);

    /* The last local subscriber left.  The broker may keep the channel a while (about 1 s) to
     * absorb churn; publications that arrive meanwhile are still reported. */
    void (*unsubscribe)(struct broker *broker, struct wh_slice channel);

    /*
     * Done with WH_OK once the broker has taken it (and, with history, stored it: both are one
     * step); WH_EUNAVAILABLE when it did not within 2 s: it may have happened.  `options` NULL =
     * live only.
     */
    void (*publish)(struct broker *broker,
                    struct wh_slice channel,
                    const struct wh_pub *pub,
                    const struct broker_publish_options *options,
                    broker_published *done,
                    void *user);

    /* Live only, like a publication without history.  `done` may be NULL. */
    void (*publish_join)(struct broker *broker,
                         struct wh_slice channel,
                         const struct wh_info *info,
                         bool is_leave,
                         broker_done *done,
                         void *user);

    /* WH_EUNAVAILABLE when the broker did not answer within 2 s. */
    void (*history)(struct broker *broker,
                    struct wh_slice channel,
                    const struct broker_history_query *query,
                    broker_history_done *done,
                    void *user);

    /* Drop the publications; epoch and offset go on. */
    void (*history_remove)(struct broker *broker,
                           struct wh_slice channel,
                           broker_done *done,
                           void *user);

    /* Send to the node of that id, or to every node, this one included ("").  `done` may be NULL.
     */
    void (*control)(struct broker *broker,
                    struct wh_slice node_id,
                    struct wh_slice message,
                    broker_done *done,
                    void *user);

    /* Stop: outstanding `done`s are called with WH_ECLOSED, then `closed` once, then it is gone. */
    void (*close)(struct broker *broker, void (*closed)(void *user), void *user);
};

struct broker {
    const struct broker_ops *ops;
};

/* Nothing is connected yet when these return; on_state tells.  `node_id` (36 characters) is this
 * node's address for control messages; copied. */
WH_MUST_CHECK enum wh_err broker_memory_new(struct wh_loop *loop,
                                            const char *node_id,
                                            const struct broker_events *events,
                                            struct broker **out_broker);
WH_MUST_CHECK enum wh_err broker_redis_new(struct wh_loop *loop,
                                           const struct config *config,
                                           const char *node_id,
                                           struct metrics *metrics,
                                           const struct broker_events *events,
                                           struct broker **out_broker);

#endif
