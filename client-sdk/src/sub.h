/*
 * Subscriptions inside the engine: with a handle (struct sub, which is the
 * public struct wh_sub) and the server's (struct server_sub).  All calls under the
 * engine's lock.
 */
#ifndef WH_SDK_SUB_H
#define WH_SDK_SUB_H

#include "client-sdk/src/engine.h"

#include <wirehub/subscription.h>

/* Where to go on from.  The epoch is copied: it outlives the message that told it. */
struct sub_position {
    bool is_known;
    uint64_t offset;
    struct wh_buf epoch;
};

struct wh_sub {
    _Atomic uint32_t refs; /* engine (while in engine.subs), events, the program's calls */
    struct engine *engine;
    struct wh_client *client;
    char *channel;
    enum wh_sub_state state;
    uint32_t generation; /* counts unsubscribes: events of older ones are stale */
    bool is_freed;       /* wh_sub_free was called: nothing of it is delivered any more */
    int64_t number;      /* of the channel on this connection; 0 = none */

    struct sub_position received;  /* after the last publication that became an event */
    struct sub_position delivered; /* after the last one whose callback returned */
    bool is_recoverable;           /* the server said so: send `received` with the next subscribe */
    struct wh_buf delta_base;      /* data of the last publication */
    bool has_delta;

    struct wh_backoff backoff;
    struct wh_timer retry_timer;
    struct wh_timer refresh_timer;
    struct wh_buf token;
    struct token_ask *token_ask;
    bool is_in_flight; /* a subscribe command of this connection has no reply yet */

    /* options, copied */
    struct wh_arena arena;
    struct wh_payload data;
    bool wants_positioned, wants_recoverable, wants_join_leave, wants_delta;
    struct wh_filter_node *filter;
    struct wh_sub_events events;
    void *user;
    void (*user_free)(void *user);
};

struct server_sub {
    struct wh_list link;
    char *channel;
    struct sub_position position;
    bool is_recoverable;
    bool is_subscribed;
};

/* ---- what the program wants ------------------------------------------------------------------ */

WH_MUST_CHECK enum wh_err sub_new(struct engine *engine,
                                  const char *channel,
                                  const struct wh_sub_options *options,
                                  struct wh_sub **out_sub,
                                  struct wh_error *detail);
WH_MUST_CHECK enum wh_err sub_subscribe(struct wh_sub *sub);
void sub_unsubscribe(struct wh_sub *sub, uint32_t code, const char *reason);
void sub_forget(struct wh_sub *sub); /* wh_sub_free */
struct wh_sub *sub_find(struct engine *engine, struct wh_slice channel);
void sub_unref(struct wh_sub *sub);

/* After the callback of a publication returned (its event is still alive). */
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
