/*
 * What the files of subscriptions share.  Under the engine's lock, all of it.
 *
 *     sub.c          life: new, forget, close; the tables
 *     sub_options.c  options checked and copied, tags filters
 *     sub_state.c    the state machine: subscribe, unsubscribe, lost connections
 *     sub_ask.c      tokens, refreshing them, the state of a channel
 *     sub_reply.c    the reply to a subscribe: position, recovered publications
 *     sub_push.c     what the server sends by itself
 *     sub_delta.c    publications that come as patches
 *     server_sub.c   subscriptions without a handle
 */
#ifndef WH_SDK_SUB_INTERNAL_H
#define WH_SDK_SUB_INTERNAL_H

#include "client-sdk/src/sub.h"

/* Codes of subscriptions, as the official SDKs number them. */
enum {
    SUBSCRIBING_CALLED = 0,
    SUBSCRIBING_TRANSPORT_CLOSED = 1,
    SUBSCRIBING_INSUFFICIENT_STATE = 2500,
    SUBSCRIBING_INVALIDATED = 2502,
    UNSUBSCRIBED_CALLED = 0,
    UNSUBSCRIBED_UNAUTHORIZED = 1,
    UNSUBSCRIBED_CLIENT_CLOSED = 2,
    UNSUBSCRIBE_RESUBSCRIBE_MIN = 2500, /* pushes with such a code and above: subscribe again */
    RECONNECT_SUBSCRIBE_TIMEOUT = 3,
    RECONNECT_UNSUBSCRIBE_ERROR = 4,
    ERROR_TOKEN_EXPIRED = 109,
    ERROR_UNRECOVERABLE_POSITION = 112
};

/* ---- positions (sub_position.c) ------------------------------------------------------------- */

/* `epoch` absent = keep the present one.  One that is too long makes the position a lost one. */
void sub_position_set(struct sub_position *position, struct wh_slice epoch, uint64_t offset);
/* A position that no server has: recovery from it reports the loss. */
void sub_position_set_lost(struct sub_position *position);

/* ---- options ----------------------------------------------------------------------------------
 */

WH_MUST_CHECK enum wh_err sub_take_options(struct wh_sub *sub,
                                           const struct wh_sub_options *options,
                                           struct wh_error *detail);

/* ---- states ------------------------------------------------------------------------------------
 */

/* Whether commands can go out: CONNECTED, or behind the connect command. */
bool sub_can_send(const struct engine *engine);

/* SUBSCRIBING: do what comes next, or wait for what has been asked. */
void sub_proceed(struct wh_sub *sub);

/* SUBSCRIBING: proceed after the back-off. */
void sub_retry_later(struct wh_sub *sub);

/* The end of a subscription, whoever wished it; events before it are still delivered. */
void sub_end(struct wh_sub *sub, uint32_t code, struct wh_slice reason);

/* SUBSCRIBED → SUBSCRIBING by the server's or our own judgement; `message` (may be NULL) holds
 * `reason`.  WH_ENOMEM: the connection was given up. */
void sub_begin_anew(struct wh_sub *sub,
                    struct message *message,
                    uint32_t code,
                    struct wh_slice reason);

/* The subscription on this connection is over for us while the server thinks it is not. */
void sub_send_unsubscribe(struct wh_sub *sub);

/* Timers, asks, number and delta base of an attempt or a subscription are dropped. */
void sub_drop_attempt(struct wh_sub *sub);

void sub_invalidate(struct wh_sub *sub);

/* A patch that does not fit: the state is not what the server thinks.  Subscribes anew, without
 * patches from then on. */
void sub_distrust(struct wh_sub *sub);

/* ---- questions to the program -----------------------------------------------------------------
 */

void sub_ask_token(struct wh_sub *sub);
void sub_ask_state(struct wh_sub *sub);
void sub_schedule_refresh(struct wh_sub *sub, uint32_t ttl_s);
void sub_on_refresh_timer(struct wh_timer *timer);
void sub_on_refresh_reply(struct wh_sub *sub, const struct wh_reply *reply);
/* Error 109: the token is no good any more.  false = nobody can give another, and it is over. */
bool sub_drop_token(struct wh_sub *sub);

/* ---- replies -----------------------------------------------------------------------------------
 */

void sub_on_subscribed(struct wh_sub *sub,
                       struct message *message,
                       const struct wh_subscribe_result *result);

/* What a reply's error says, in a struct of ours. */
struct wh_error sub_error_of(const struct wh_error_reply *error);

/* ---- publications -------------------------------------------------------------------------------
 */

/*
 * An event of `pub`, whole; not queued yet.  `channel` has a NUL and lies in `message`.
 * WH_EFORMAT: a patch that does not fit; WH_ENOMEM.
 */
WH_MUST_CHECK enum wh_err sub_make_publication(struct wh_sub *sub,
                                               struct message *message,
                                               const struct wh_pub *pub,
                                               const char *channel,
                                               struct event **out_event);

/* An event of `sub` in `message`, with its references.  NULL = no memory. */
struct event *sub_event_new(struct wh_sub *sub, enum event_kind kind, struct message *message);

/* A copy with a NUL in the arena of `message`; NULL = no memory. */
const char *message_copy_str(struct message *message, struct wh_slice text);

void sub_drop_delta(struct wh_sub *sub);
/* `out_pub` is `pub` with its data whole, lying in `*out_message` (one reference for the caller),
 * which may be another than `message`.  WH_EFORMAT, WH_ENOMEM. */
WH_MUST_CHECK enum wh_err sub_undo_delta(struct wh_sub *sub,
                                         struct message *message,
                                         const struct wh_pub *pub,
                                         struct message **out_message,
                                         struct wh_pub *out_pub);

/* ---- server-side (server_sub.c) -----------------------------------------------------------------
 */

void server_subs_on_push(struct engine *engine,
                         struct message *message,
                         const struct wh_push *push);
void server_subs_on_disconnected(struct engine *engine);
void server_subs_invalidate(struct engine *engine);
void server_subs_deinit(struct engine *engine);

#endif
