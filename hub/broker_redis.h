/* What the files of the Redis broker share.  Internal to them and to presence_redis.c. */
#ifndef HUB_BROKER_REDIS_H
#define HUB_BROKER_REDIS_H

#include "common/base/log.h"
#include "common/io/redis_pubsub.h"
#include "common/io/redis_script.h"
#include "hub/broker.h"

enum { REDIS_CONTROL_NAME_MAX = 64 };

struct redis_broker {
    struct broker base;
    struct wh_loop *loop;
    struct metrics *metrics;
    struct broker_events events;
    struct wh_redis *commands;
    struct wh_redis_scripts *scripts; /* over `commands` */
    struct wh_redis_pubsub *pubsub;
    struct wh_arena arena; /* of what is being delivered or answered */
    struct wh_buf name;    /* scratch: a name in Redis, or several keys */
    struct wh_buf envelope;

    struct wh_list channels; /* all, so that close finds their waiters */
    struct wh_list answered; /* waiters whose `done` is due */
    struct wh_task answer;
    struct wh_redis_channel control_all; /* always wanted */
    struct wh_redis_channel control_own;
    char control_own_name[REDIS_CONTROL_NAME_MAX];

    struct wh_timer metrics_timer;
    struct wh_redis_stats counted; /* what the metrics have been told so far */
    struct wh_log_limit invalid_limit;
    struct wh_log_limit refused_limit;

    bool is_closing;
    unsigned links_open;
    void (*closed)(void *user);
    void *closed_user;
};

static inline struct redis_broker *redis_broker(struct broker *broker)
{
    return WH_CONTAINER_OF(broker, struct redis_broker, base);
}

/* To callers Redis is there or it is not; why is in the log. */
static inline enum wh_err redis_call_err(enum wh_err err)
{
    return err == WH_OK || err == WH_ECLOSED ? err : WH_EUNAVAILABLE;
}

/* "<prefix><channel>"; valid until the next call. */
struct wh_slice redis_name(struct redis_broker *redis,
                           struct wh_slice prefix,
                           struct wh_slice channel);

/* Count and log something that came from Redis and cannot be understood. */
void redis_count_invalid(struct redis_broker *redis,
                         struct wh_slice channel,
                         struct wh_slice bytes,
                         enum wh_err err);

#define REDIS_CHANNEL_PREFIX WH_SLICE_LITERAL("wh:ch:")
#define REDIS_CONTROL_NAME   WH_SLICE_LITERAL("wh:control")
#define REDIS_NODE_PREFIX    WH_SLICE_LITERAL("wh:node:")

/* broker_redis_calls.c: the operations that ask Redis something; see broker.h. */
void redis_publish(struct broker *broker,
                   struct wh_slice channel,
                   const struct wh_pub *pub,
                   const struct broker_publish_options *options,
                   broker_published *done,
                   void *user);
void redis_publish_join(struct broker *broker,
                        struct wh_slice channel,
                        const struct wh_info *info,
                        bool is_leave,
                        broker_done *done,
                        void *user);
void redis_history(struct broker *broker,
                   struct wh_slice channel,
                   const struct broker_history_query *query,
                   broker_history_done *done,
                   void *user);
void redis_history_remove(struct broker *broker,
                          struct wh_slice channel,
                          broker_done *done,
                          void *user);
void redis_control(struct broker *broker,
                   struct wh_slice node_id,
                   struct wh_slice message,
                   broker_done *done,
                   void *user);

#endif
