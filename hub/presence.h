/*
 * Presence: who is subscribed to a channel, over all nodes.  Each entry lives
 * for the time given and is renewed by its node while the subscription lasts,
 * so the entries of a node that died vanish by themselves.
 *
 * Rules of threads, callbacks and time-outs as in broker.h.
 */
#ifndef HUB_PRESENCE_H
#define HUB_PRESENCE_H

#include "hub/broker.h"

struct presence;

/* Borrowed until the callback returns; NULL when `err` is not WH_OK, as are the stats. */
struct presence_members {
    const struct wh_info *items; /* keyed by their `client` */
    size_t count;
};
typedef void presence_members_done(void *user,
                                   enum wh_err err,
                                   const struct presence_members *members);

struct presence_stats {
    uint32_t clients;
    uint32_t users; /* distinct */
};
typedef void presence_stats_done(void *user, enum wh_err err, const struct presence_stats *stats);

struct presence_ops {
    /* Add or renew.  `done` may be NULL: nobody waits for a renewal. */
    void (*add)(struct presence *presence,
                struct wh_slice channel,
                const struct wh_info *info,
                uint64_t ttl_ms,
                broker_done *done,
                void *user);
    void (*remove)(struct presence *presence,
                   struct wh_slice channel,
                   struct wh_slice client,
                   struct wh_slice user_id,
                   broker_done *done, /* may be NULL */
                   void *user);
    void (*members)(struct presence *presence,
                    struct wh_slice channel,
                    presence_members_done *done,
                    void *user);
    /* Cheaper than members: its cost does not grow with the infos. */
    void (*stats)(struct presence *presence,
                  struct wh_slice channel,
                  presence_stats_done *done,
                  void *user);
    /* Outstanding `done`s are called with WH_ECLOSED later in this loop turn; then it is gone. */
    void (*close)(struct presence *presence);
};

struct presence {
    const struct presence_ops *ops;
};

WH_MUST_CHECK enum wh_err presence_memory_new(struct wh_loop *loop, struct presence **out_presence);

/* Uses the command connection of a redis broker, which must outlive it. */
WH_MUST_CHECK enum wh_err presence_redis_new(struct wh_loop *loop,
                                             struct broker *broker,
                                             struct presence **out_presence);

#endif
