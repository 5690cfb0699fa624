/*
 * Subscriptions inside the engine: with a handle (struct sub, which is the
 * public struct wh_sub) and the server's (struct server_sub).  All calls under the
 * engine's lock.
 */
#ifndef WH_SDK_SUB_H
#define WH_SDK_SUB_H

#include "client-sdk/src/engine.h"

#include <wirehub/subscription.h>

enum {
    SUB_EPOCH_BYTES_MAX =
        127, /* a position with a longer epoch cannot be kept: it counts as lost */
    SUB_REASON_BYTES_MAX = 255,  /* of an unsubscribed event; the rest is cut off */
    SUB_FILTER_NODES_MAX = 1000, /* of one tags filter; servers allow less */
    SUB_FILTER_DEPTH_MAX = 32,
    SUB_FILTER_BYTES_MAX = 65536 /* of all its texts */
};

/* Where to go on from. */
struct sub_position {
    bool is_known;
    uint64_t offset;
    char epoch[SUB_EPOCH_BYTES_MAX + 1];
};

/*
 * Three positions, because events wait between the socket and the program:
 *
 *     received   after the last publication that became an event.  Recovery goes on from it when
 *                the connection was lost: what waits will still be delivered.
 *     delivered  after the last one whose callback returned.
 *     start      of the newest SUBSCRIBED that did not continue what was before, while its callback
 *                has not returned (is_start_pending): the program reloads there.
 *
 * Unsubscribing drops what waits; the next subscribe goes on from `start` if that is pending, else
 * from `delivered`.
 */
struct wh_sub {
    _Atomic uint32_t
        refs;            /* engine (while in engine.subs), events, pendings, the program's calls */
    struct wh_list link; /* engine.subs_in_order */
    struct wh_list unsent; /* pendings, by sub_link: calls through it that wait */
    struct engine *engine;
    struct wh_client *client;
    char *channel; /* with a NUL; of its own */
    enum wh_sub_state state;
    /* Written under the lock, read without it by whoever runs callbacks. */
    _Atomic uint32_t generation; /* counts unsubscribes: events of older ones are stale */
    _Atomic bool is_freed;       /* sub_forget was called: nothing of it is delivered any more */
    int64_t number;              /* of the channel on this connection; 0 = none */

    struct sub_position received, delivered, start;
    bool is_start_pending;
    uint32_t start_serial;     /* counts starts (and invalidations) … */
    uint32_t delivered_serial; /* … and which of them `delivered` goes on from */
    bool is_rewound;     /* `received` was set back by an unsubscribe, and no reply came since */
    bool is_positioned;  /* the server counts offsets: publications move the position */
    bool is_recoverable; /* send `received` with the next subscribe */
    bool is_delta;       /* negotiated for this subscription */
    bool has_delta_base;
    struct wh_buf delta_base; /* data of the last publication */

    struct wh_backoff backoff;
    struct wh_timer retry_timer;
    struct wh_timer refresh_timer;
    struct wh_buf token;
    struct token_ask *token_ask;
    struct token_ask *state_ask;
    bool must_get_state;       /* before the next subscribe */
    uint32_t subscribe_id;     /* of the command whose reply counts; 0 = none is in flight */
    bool has_sent_recover;     /* … and whether it asked for what was missed */
    uint64_t subscribed_at_ms; /* engine.now_ms of the last SUBSCRIBED */

    /* Made ahead, so that the end cannot fail. */
    struct event *farewell;   /* the unsubscribed event, while not UNSUBSCRIBED */
    struct event *user_event; /* FREE_USER */

    /* options, copied */
    struct wh_arena arena;
    struct wh_payload data;
    bool wants_positioned, wants_recoverable, wants_join_leave, wants_delta;
    struct wh_arena filter_arena;
    struct wh_filter_node *filter;
    struct wh_sub_events events;
    void *user;
};

struct server_sub {
    struct wh_list link; /* scratch, for removing while walking */
    char *channel;       /* with a NUL; behind the struct */
    struct sub_position position;
    bool is_recoverable;
    bool is_positioned;
    bool is_subscribed;
    bool is_listed; /* in the connect reply that is being looked at */
};

/* ---- what the program wants ------------------------------------------------------------------ */

WH_MUST_CHECK enum wh_err sub_new(struct engine *engine,
                                  const char *channel,
                                  const struct wh_sub_options *options,
                                  struct wh_sub **out_sub,
                                  struct wh_error *detail);
WH_MUST_CHECK enum wh_err sub_subscribe(struct wh_sub *sub);
void sub_unsubscribe(struct wh_sub *sub, uint32_t code, const char *reason);
void sub_forget(struct wh_sub *sub); /* wh_sub_free; takes the program's right to use it */
struct wh_sub *sub_find(struct engine *engine, struct wh_slice channel); /* NULL = none */
void sub_ref(struct wh_sub *sub);
void sub_unref(struct wh_sub *sub); /* any thread, with or without the lock */

/* wh_sub_set_filter, wh_sub_set_token: from the next subscribe on.  WH_EINVAL, WH_ENOMEM. */
WH_MUST_CHECK enum wh_err sub_set_filter(struct wh_sub *sub, const struct wh_filter *filter);
WH_MUST_CHECK enum wh_err sub_set_token(struct wh_sub *sub, const char *token);

/* wh_sub_position: what to store in order to go on after a restart; NULL = none. */
const struct sub_position *sub_stored_position(const struct wh_sub *sub);

/* Whoever runs callbacks asks this when it takes an event with `sub`, under the lock, after all
 * earlier ones were reported by sub_delivered.  false = it is stale (unsubscribed since, freed, or
 * seen before) and goes unseen.  (Until the callback, `generation` and `is_freed` may change.) */
bool sub_wants(const struct wh_sub *sub, const struct event *event);

/* Under the lock, for every event with `sub` whose callback has returned, in order: publications
 * and SUBSCRIBED move the position, others do nothing. */
void sub_delivered(struct wh_sub *sub, const struct event *event);

/* ---- what the engine tells (engine.c, receive.c) -----------------------------------------------
 */

/* The connect command is being made: positions of server-side subscriptions into `request->subs`
 * (memory of `arena`). */
WH_MUST_CHECK enum wh_err subs_fill_connect(struct engine *engine,
                                            struct wh_arena *arena,
                                            struct wh_connect_request *request);
/* Send what waits to be subscribed: right behind the connect command, and after its reply. */
void subs_send_waiting(struct engine *engine);
/* The connect reply came: server-side subscriptions in its `subs`. */
void subs_on_connected(struct engine *engine,
                       struct message *message,
                       const struct wh_connect_result *result);
/* The connection is gone: all subscribed → subscribing 1; numbers are forgotten. */
void subs_on_disconnected(struct engine *engine);
/* 3014 and 2502: tokens, delta bases, numbers dropped; positions become offset 0, epoch "_". */
void subs_invalidate(struct engine *engine);
/* engine_close. */
void subs_close(struct engine *engine);
void subs_deinit(struct engine *engine);

/* A reply to a subscribe, unsubscribe or sub_refresh of this connection (`reply` NULL: time-out).
 */
void subs_on_reply(struct engine *engine,
                   struct pending *pending,
                   struct message *message,
                   const struct wh_reply *reply);
/* A push that belongs to a channel: pub, join, leave, unsubscribe, subscribe. */
void subs_on_push(struct engine *engine, struct message *message, const struct wh_push *push);

#endif
