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

struct broker_events {
    /*
     * A publication arrived for a channel this node subscribes to.  `is_plain`: it came as a bare
     * Redis PUBLISH without envelope: at most once, no offset, skipped for clients whose
     * encoding cannot carry it.
     */
    void (*on_publication)(void *user,
                           struct wh_slice channel,
                           const struct wh_publication *pub,
                           bool is_plain);
    /* The link came up (`reason` "") or went down (`reason` for log and /readyz). */
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

    /* Done with WH_OK once the broker has taken it; WH_EUNAVAILABLE when it did not within 2 s. */
    void (*publish)(struct broker *broker,
                    struct wh_slice channel,
                    const struct wh_publication *pub,
                    broker_done *done,
                    void *user);

    /* Stop: outstanding `done`s are called with WH_ECLOSED, then `closed` once, then it is gone. */
    void (*close)(struct broker *broker, void (*closed)(void *user), void *user);
};

struct broker {
    const struct broker_ops *ops;
};

/* Nothing is connected yet when these return; on_state tells. */
WH_MUST_CHECK enum wh_err broker_memory_new(struct wh_loop *loop,
                                            const struct broker_events *events,
                                            struct broker **out_broker);
WH_MUST_CHECK enum wh_err broker_redis_new(struct wh_loop *loop,
                                           const struct config *config,
                                           struct metrics *metrics,
                                           const struct broker_events *events,
                                           struct broker **out_broker);

#endif
