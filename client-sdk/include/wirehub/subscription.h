/*
 * Subscriptions: what a client hears of one channel.
 *
 *     UNSUBSCRIBED --subscribe--> SUBSCRIBING --reply--> SUBSCRIBED
 *
 * Subscribing before the client is connected is normal: it waits.  A lost connection makes it
 * SUBSCRIBING again, and what was missed meanwhile is recovered where the channel keeps history.
 *
 * A subscription belongs to its client and is gone with it; a client has at most one to a channel.
 * Threads and callbacks: as for the client.
 */
#ifndef WIREHUB_SUBSCRIPTION_H
#define WIREHUB_SUBSCRIPTION_H

#include <wirehub/client.h>

#ifdef __cplusplus
extern "C" {
#endif

struct wh_sub;
struct wh_state_request;

enum wh_sub_state { WH_SUB_UNSUBSCRIBED, WH_SUB_SUBSCRIBING, WH_SUB_SUBSCRIBED };

/* All may be NULL.  `user` is that of the options. */
struct wh_sub_events {
    size_t size; /* WH_SUB_EVENTS_INIT; 0 = those of version 1 */
    void (*subscribing)(struct wh_sub *sub, const struct wh_transition *why, void *user);
    /* First this, then what was recovered, then what is live.  wh_subscribed_lost() tells whether
     * something is missing. */
    void (*subscribed)(struct wh_sub *sub, const struct wh_subscribed *subscribed, void *user);
    void (*unsubscribed)(struct wh_sub *sub, const struct wh_transition *why, void *user);
    void (*publication)(struct wh_sub *sub, const struct wh_publication *publication, void *user);
    void (*join)(struct wh_sub *sub, const struct wh_client_info *info, void *user);
    void (*leave)(struct wh_sub *sub, const struct wh_client_info *info, void *user);
    void (*error)(struct wh_sub *sub, const struct wh_error *error, void *user);
    /* A subscription token is needed; answered like the client's. */
    void (*get_token)(struct wh_sub *sub, struct wh_token_request *request, void *user);
    /*
     * Load the state of the channel (from a database, say) and answer with the position that it
     * stands for: wh_state_ok or wh_state_error, now or later, from any thread, exactly once. Asked
     * before the first subscribe and whenever recovery is not possible any more.
     */
    void (*get_state)(struct wh_sub *sub, struct wh_state_request *request, void *user);
};
#define WH_SUB_EVENTS_INIT .size = sizeof(struct wh_sub_events)

WH_API void wh_state_ok(struct wh_state_request *request, const struct wh_position *position);
WH_API void wh_state_error(struct wh_state_request *request, const char *text);

/*
 * Which publications are wanted, by their tags.  A leaf has `cmp` ("eq", "neq", "in", "nin", "ex",
 * "nex", "sw", "ew", "ct", "gt", "gte", "lt", "lte"), `key` and `val` or `vals`; an inner node has
 * `op` ("and", "or", "not") and `nodes`.
 */
struct wh_filter {
    const char *op;
    const char *key;
    const char *cmp;
    const char *val;
    const char *const *vals;
    size_t val_count;
    const struct wh_filter *nodes;
    size_t node_count;
};

struct wh_sub_options {
    size_t size;
    const char *token;   /* subscription JWT; or get_token */
    struct wh_data data; /* handed to the server's subscribe handler */
    bool positioned;
    bool recoverable;
    bool join_leave;
    bool delta;                      /* let the server send patches; publications come whole */
    const struct wh_position *since; /* recover from here at the first subscribe; NULL = from now */
    const struct wh_filter *filter;  /* NULL = all */
    uint32_t min_resubscribe_ms;     /* back-off, full jitter: 500 … */
    uint32_t max_resubscribe_ms;     /* … 20,000 */
    const struct wh_sub_events *events;
    void *user;
    void (*user_free)(void *user); /* once, after the last callback that could use `user` */
};
#define WH_SUB_OPTIONS_INIT                                                                        \
    {                                                                                              \
        .size = sizeof(struct wh_sub_options)                                                      \
    }

/*
 * UNSUBSCRIBED; the client owns it.  `options` may be NULL.
 * WH_EDUPLICATE; WH_EINVAL (channel empty or past 255 bytes, an option), WH_EABI, WH_ECLOSED,
 * WH_EFORKED, WH_EWRONGTHREAD, WH_ENOMEM.  `detail` may be NULL.
 */
WH_API enum wh_err wh_sub_new(struct wh_client *client,
                              const char *channel,
                              const struct wh_sub_options *options,
                              struct wh_sub **out_sub,
                              struct wh_error *detail);

typedef void wh_publication_cb(struct wh_sub *sub,
                               const struct wh_publication *publication,
                               void *user);

/* The short form: new with one callback, and subscribe.  NULL on an error, which goes to the log.
 */
WH_API struct wh_sub *wh_client_subscribe(struct wh_client *client,
                                          const char *channel,
                                          wh_publication_cb *on_publication,
                                          void *user);

/* Returns at once.  Nothing happens when it is on the way or there.  WH_ECLOSED, … */
WH_API enum wh_err wh_sub_subscribe(struct wh_sub *sub);

/* The same, and wait until SUBSCRIBED; errors as in wh_client_connect_wait, WH_EUNSUBSCRIBED when
 * the server refused. */
WH_API enum wh_err wh_sub_subscribe_wait(struct wh_sub *sub,
                                         uint32_t timeout_ms,
                                         struct wh_error *detail);

/* Unsubscribed 0.  The position is kept: publications that no callback has seen are not lost, the
 * next subscribe recovers them. */
WH_API enum wh_err wh_sub_unsubscribe(struct wh_sub *sub);

/* Unsubscribe and forget.  No callback of it runs after the one that may be running now; `sub` must
 * not be used any more; a thread that waits for it gets WH_EUNSUBSCRIBED.  NULL is fine. */
WH_API void wh_sub_free(struct wh_sub *sub);

WH_API enum wh_sub_state wh_sub_state(const struct wh_sub *sub);
WH_API const char *wh_sub_state_name(enum wh_sub_state state);
WH_API const char *wh_sub_channel(const struct wh_sub *sub);
WH_API struct wh_client *wh_sub_client(const struct wh_sub *sub);
WH_API void *wh_sub_user(const struct wh_sub *sub);

/* The subscription of `client` to `channel`; NULL when there is none. */
WH_API struct wh_sub *wh_client_sub(struct wh_client *client, const char *channel);

/*
 * The position after the last publication whose callback returned: what to store in order to go on
 * after a restart.  The epoch is copied to `epoch` (at most `epoch_size` bytes with its NUL).
 * WH_ENOTFOUND when there is none; WH_ELIMIT when `epoch` is too small.
 */
WH_API enum wh_err wh_sub_position(struct wh_sub *sub,
                                   uint64_t *out_offset,
                                   char *epoch,
                                   size_t epoch_size);

/* Takes effect at the next subscribe. */
WH_API enum wh_err wh_sub_set_filter(struct wh_sub *sub, const struct wh_filter *filter);
WH_API enum wh_err wh_sub_set_token(struct wh_sub *sub, const char *token);

#ifdef __cplusplus
}
#endif
#endif
