/*
 * What callbacks will hear, in order.  An event keeps a reference to the
 * message that its contents lie in, so that nothing is copied between the
 * socket and the program.
 */
#ifndef WH_SDK_EVENT_H
#define WH_SDK_EVENT_H

#include "client-sdk/src/message.h"
#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/protocol/model.h"

#include <wirehub/call.h>

/* The protocol's structs as the program sees them, lying in `message`.  false = no memory. */
bool publication_init(struct wh_publication *publication,
                      struct message *message,
                      const struct wh_pub *pub,
                      const char *channel);
bool client_info_init(struct wh_client_info *out_info,
                      struct message *message,
                      const struct wh_info *info);
struct wh_data data_of_payload(struct wh_payload payload);

/* The same bytes the other way round.  `format` unknown gives WH_EINVAL. */
WH_MUST_CHECK enum wh_err payload_of_data(struct wh_data data, struct wh_payload *out_payload);

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
    EVENT_CALL,      /* a call has ended: cb unless is_canceled, then user_free */
    EVENT_FREE_USER, /* nothing needs this `user` any more */
    EVENT_KIND_COUNT
};

struct wh_sub;
struct call;

struct event {
    struct wh_list link;
    enum event_kind kind;
    bool is_in_message;      /* allocated in message->arena, and only as large as its kind needs */
    size_t bytes;            /* what it counts against event_queue_bytes_max */
    struct wh_sub *sub;      /* one reference; NULL = the client's */
    uint32_t sub_generation; /* of `sub` when it was made: unsubscribe makes it stale, and it is
                                dropped unseen (publications, join, leave) */
    struct message *message; /* one reference; NULL = contents are the event's own */
    const char *channel;     /* server-side subscriptions: subscribing, unsubscribed, join, leave */
    /* Where `sub` stands once the callback has returned; for sub_delivered. */
    struct event_position {
        bool is_set;
        bool is_start;   /* a SUBSCRIBED that does not go on from what was before */
        uint32_t serial; /* of the start that it goes on from */
        uint64_t offset;
        const char *epoch; /* in the message; NULL = that of before */
    } position;
    union {
        struct wh_transition transition;
        struct wh_connected connected;
        struct wh_subscribed subscribed;
        struct wh_publication publication;
        struct wh_client_info info;
        struct wh_error error;
        struct wh_data data;
        struct wh_token_request *token_request; /* until token_request_take */
        struct wh_state_request *state_request; /* until state_request_take */
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

/*
 * A zeroed event.  With a message it takes a reference to it and lies in its arena: only while the
 * engine looks at that message.  Without, `extra` bytes stand behind the struct (event_extra).
 * NULL = no memory.
 */
struct event *event_new(enum event_kind kind, struct message *message, size_t extra);
char *event_extra(struct event *event);

/* With every reference that it holds (sub, message, call, request).  NULL is fine.  Takes no lock.
 */
void event_free(struct event *event);

void event_queue_init(struct event_queue *queue);
void event_queue_push(struct event_queue *queue, struct event *event);
struct event *event_queue_pop(struct event_queue *queue); /* NULL = empty */

#endif
