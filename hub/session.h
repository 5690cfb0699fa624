/*
 * One client: its state, its outbound queue and limits, its timers.
 *
 * Bytes come in through session_receive, one WebSocket message each.  What a
 * command does stands in command.c; who may do it in channel.c and auth.c.
 * A session is freed when its transport is gone.  Loop thread only.
 */
#ifndef HUB_SESSION_H
#define HUB_SESSION_H

#include "common/base/frame.h"
#include "common/base/trace.h"
#include "common/base/wheel.h"
#include "common/protocol/codes.h"
#include "hub/node.h"
#include "hub/transport.h"

enum session_state {
    SESSION_NEW,     /* before connect: anything else closes it */
    SESSION_READY,   /* connected */
    SESSION_REFUSED, /* connect was answered with an error: reads nothing more, closes soon */
    SESSION_CLOSING  /* close was asked for; out of every list */
};

/* Frames waiting for a slow socket or for the end of the turn; memory only while there are any. */
struct session_queue {
    struct wh_frame **frames; /* ring */
    uint32_t capacity;
    uint32_t head;
    uint32_t count;
    size_t bytes;
};

struct session {
    struct node *node;
    struct transport *transport;
    enum wh_encoding encoding;
    enum session_state state;
    bool pong_due;                /* a ping is unanswered */
    bool is_unchecked;            /* came in before the list of revoked tokens was known */
    bool input_held;              /* the transport was told to stop reading */
    bool is_running;              /* inside session_receive: input is not resumed recursively */
    struct wh_list doomed_link;   /* node->doomed; near the top, for each delivery asks for it */
    struct wh_list link;          /* node->sessions */
    struct wh_list dirty_link;    /* node->dirty */
    struct wh_list user_link;     /* user->sessions */
    struct wh_list subscriptions; /* struct subscription.session_link */
    uint32_t subscription_count;
    struct wh_list pending; /* struct pending: commands not answered yet, in order */
    uint32_t pending_count;
    struct wh_list calls; /* struct session_call: rpc not answered yet, in no order */
    uint32_t call_count;
    struct jwks_waiter key_waiter; /* the first held message waits for the key of its token */
    struct session_queue queue;
    struct wh_buf held; /* messages that wait, each behind its length */
    struct wh_timer timer;
    uint64_t ping_at_ms; /* monotonic; 0 = no pings */
    uint64_t pong_by_ms;
    uint64_t subs_check_at_ms; /* next look at expiring subscriptions; 0 = none expire */
    uint64_t presence_at_ms;   /* next renewal of presence entries; 0 = none */
    int64_t expire_at;         /* unix seconds; 0 = never */
    struct user *user;         /* NULL before connect */
    uint64_t opened_ms;
    uint32_t doom_code; /* why it is on node->doomed */
    char *close_reason; /* owned; NULL = the text of doom_code */
    char id[37];
    struct wh_payload conn_info; /* bytes owned */
    struct identity *identity;   /* owned; NULL: the token has neither roles nor meta */
    struct rate_buckets *rates;  /* owned; NULL until a limit per connection is set */
    struct wh_trace *trace;      /* owned; the context that the client brought, NULL = none */
    char peer[48];               /* remote address, for the log */
};

/* A new session in state NEW on `transport`.  WH_ENOMEM. */
WH_MUST_CHECK enum wh_err session_open(struct node *node,
                                       struct transport *transport,
                                       enum wh_encoding encoding,
                                       const char *peer,
                                       struct session **out_session);

/* One complete WebSocket message; borrowed until it returns. */
void session_receive(struct session *session, struct wh_slice message);

/* The socket takes bytes again. */
void session_writable(struct session *session);

/* The connection is gone: undo everything and free. */
void session_transport_closed(struct session *session);

/* Close with a protocol code; its text is the reason.  Unless it is already closing.  The session
 * leaves all lists now and is freed when the transport has closed. */
void session_close(struct session *session, uint32_t code);

/* The same with a text of the caller's own, at most 123 bytes of which are sent; "" = the code's.
 */
void session_close_with(struct session *session, uint32_t code, struct wh_slice reason);

/* The same from inside a walk over sessions or subscribers: at the end of the turn. */
void session_doom(struct session *session, uint32_t code);

/*
 * Queue `frame` in order after everything queued before; takes its own reference.  Written at the
 * end of the turn.  Past client.queue_max_size the session is doomed with 3008.
 */
void session_send(struct session *session, struct wh_frame *frame);

/* Write `frame` now if nothing is queued before it, else queue it with a reference of its own. */
void session_deliver(struct session *session, struct wh_frame *frame);

/* Encode and queue a reply or push; consecutive ones share one WebSocket message.  A payload that
 * this encoding cannot show closes the session with 3506. */
void session_reply(struct session *session, const struct wh_reply *reply);
void session_push(struct session *session, const struct wh_push *push);

/* The same for a payload of a service: when this encoding cannot show it nothing is sent and the
 * session goes on.  WH_EENCODING. */
WH_MUST_CHECK enum wh_err session_try_reply(struct session *session, const struct wh_reply *reply);
void session_reply_error(struct session *session, uint32_t id, enum wh_code code);

/* Make the frame of replies collected so far; before anything else is queued. */
void session_end_replies(struct node *node);

/* Write what is queued, as far as the socket takes it. */
void session_flush(struct session *session);

/* connect succeeded: start pings and expiry. */
void session_ready(struct session *session);

/* connect was refused with an error reply: close with it unless the client does so first. */
void session_refuse(struct session *session);

/* expire_at, a subscription's expiry or its presence changed. */
void session_reschedule(struct session *session);

/* A command finished that others waited for: go on with the held input. */
void session_resume(struct session *session);

/* The author of a publication, or a member in presence: borrowed from the session. */
struct wh_info session_info(const struct session *session, const struct subscription *subscription);

#endif
