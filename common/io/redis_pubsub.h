/*
 * A set of Redis channels held through any outage, on a connection of its
 * own.  Whoever wants a channel says so once; this module subscribes, tells
 * when Redis has confirmed, and subscribes again after every reconnect.
 *
 * "Up" is a strong word here: the connection and the one for commands are up,
 * every wanted channel is confirmed, and a message published through the
 * command connection came back on this one.  Such a heartbeat goes out every
 * second on a channel of our own; when two in a row do not come back the
 * connection is given up, which is how a hung Redis and a dead path are found
 * (a subscribed connection has no other sign of life).
 *
 * Loop thread only.  Callbacks never come before the call that caused them
 * returned, and any of them may call anything here but close.
 */
#ifndef WH_IO_REDIS_PUBSUB_H
#define WH_IO_REDIS_PUBSUB_H

#include "common/io/redis.h"

struct wh_redis_pubsub;

/*
 * One channel, embedded by its owner.  `name` is the owner's memory and stays put from the first
 * want until on_released.  The rest is ours.
 */
struct wh_redis_channel {
    struct wh_slice name; /* the full name in Redis, any bytes, not empty */
    struct wh_list link;
    enum {
        WH_REDIS_CHANNEL_UNKNOWN, /* not ours: the owner's memory */
        WH_REDIS_CHANNEL_IDLE,
        WH_REDIS_CHANNEL_SUBSCRIBING,
        WH_REDIS_CHANNEL_CONFIRMED,
        WH_REDIS_CHANNEL_UNSUBSCRIBING
    } state;
    bool is_wanted;
    bool is_restoring; /* counted among those that delay "up" */
};

struct wh_redis_pubsub_options {
    struct wh_redis_options redis; /* on_push and push_user are ignored */
    uint32_t heartbeat_ms;         /* 0 = 1000 */

    /* A message; slices are borrowed until return.  It may be of a channel no longer wanted. */
    void (*on_message)(void *user, struct wh_slice channel, struct wh_slice payload);
    /* Redis confirmed a wanted channel: from now on its messages come.  Again after a reconnect. */
    void (*on_confirmed)(void *user, struct wh_redis_channel *channel);
    /* An unwanted channel is out of use: its memory is the owner's again. */
    void (*on_released)(void *user, struct wh_redis_channel *channel);
    /* As wh_redis_watch, with the meaning of "up" above. */
    void (*on_state)(void *user, bool is_up, const char *reason);
    void *user;
};

/* `commands` carries the heartbeats and must outlive this.  Errors as wh_redis_new. */
WH_MUST_CHECK enum wh_err wh_redis_pubsub_new(struct wh_loop *loop,
                                              struct wh_redis *commands,
                                              const struct wh_redis_pubsub_options *options,
                                              struct wh_redis_pubsub **out_pubsub);

/* Every channel is released (on_released), then `closed` is called and all is gone. */
void wh_redis_pubsub_close(struct wh_redis_pubsub *pubsub, void (*closed)(void *user), void *user);

/* The channel known under this name, wanted or not yet released; NULL if there is none. */
struct wh_redis_channel *wh_redis_pubsub_find(const struct wh_redis_pubsub *pubsub,
                                              struct wh_slice name);

/*
 * Subscribe `channel` and hold it.  Wanted already: no change.  A name may be known only once: find
 * before.  Many calls of one loop turn become one command.
 * WH_ENOMEM: nothing changed.
 */
WH_MUST_CHECK enum wh_err wh_redis_pubsub_want(struct wh_redis_pubsub *pubsub,
                                               struct wh_redis_channel *channel);

/* Let go; on_released follows once Redis has confirmed, unless it is wanted again before. */
void wh_redis_pubsub_unwant(struct wh_redis_pubsub *pubsub, struct wh_redis_channel *channel);

bool wh_redis_pubsub_is_up(const struct wh_redis_pubsub *pubsub);
const char *wh_redis_pubsub_reason(const struct wh_redis_pubsub *pubsub); /* "" when up */
const struct wh_redis_stats *wh_redis_pubsub_stats(const struct wh_redis_pubsub *pubsub);

#endif
