/*
 * What callbacks will hear, in order.  An event keeps a reference to the
 * message that its contents lie in, so that nothing is copied between the
 * socket and the program.
 */
#ifndef WH_SDK_EVENT_H
#define WH_SDK_EVENT_H

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/list.h"

#include <wirehub/call.h>

#include <stdatomic.h>

/*
 * A WebSocket message that came, with what was decoded from it.  Reference counted (atomically):
 * the engine while it looks at it, every event of it, every publication that the program keeps.
 */
struct message {
    _Atomic uint32_t refs;
    bool is_text;
    struct wh_arena arena;
    size_t len;
    char bytes[]; /* `len`, and a NUL behind them that decoders may overwrite nothing with */
};

/* `len` bytes to be filled by the caller, who owns the reference; NULL = no memory. */
struct message *message_new(size_t len, bool is_text);
struct message *message_ref(struct message *message);
void message_unref(struct message *message); /* NULL is fine */

/* How a call ended.  All borrowed, lying in `message`. */
struct call_outcome {
    const struct wh_error *error; /* NULL = success */
    struct message *message;      /* NULL = none came */
    struct wh_data data;
    struct wh_history history;
    struct wh_presence presence;
    struct wh_presence_stats stats;
};

enum event_kind {
    EVENT_CONNECTING,
    EVENT_CONNECTED,
    EVENT_DISCONNECTED,
    EVENT_ERROR,
    EVENT_MESSAGE,
    EVENT_GET_TOKEN,
    EVENT_SUBSCRIBING, /* `sub` NULL: of a server-side subscription, likewise below */
    EVENT_SUBSCRIBED,
    EVENT_UNSUBSCRIBED,
    EVENT_PUBLICATION,
    EVENT_JOIN,
    EVENT_LEAVE,
    EVENT_SUB_ERROR,
    EVENT_SUB_GET_TOKEN,
    EVENT_SUB_GET_STATE,
    EVENT_CALL,     /* a call has ended */
    EVENT_FREE_USER /* nothing needs this `user` any more */
};

struct wh_sub;
struct call;

struct event {
    struct wh_list link;
    enum event_kind kind;
    size_t bytes;            /* what it counts against event_queue_bytes_max */
    struct wh_sub *sub;      /* one reference; NULL = the client's */
    uint32_t sub_generation; /* of `sub` when it was made: unsubscribe makes it stale, and it is
                                dropped unseen (publications, join, leave) */
    struct message *message; /* one reference; NULL = contents are the event's own */
    const char *channel;     /* server-side subscriptions: subscribing, unsubscribed, join, leave */
    union {
        struct wh_transition transition;
        struct wh_connected connected;
        struct wh_subscribed subscribed;
        struct wh_publication publication;
        struct wh_client_info info;
        struct wh_error error;
        struct wh_data data;
        struct wh_token_request *token_request; /* one reference */
        struct wh_state_request *state_request; /* one reference */
        struct {
            struct call *call; /* one reference */
            struct call_outcome outcome;
            struct wh_error error;
        } call;
        struct {
            void (*fn)(void *user);
            void *user;
        } free_user;
    } u;
    /* Strings that lie in no message (reasons of ours, copies) stand behind the struct. */
};

struct event_queue {
    struct wh_list events;
    size_t count;
    size_t bytes;
};

#endif
