/*
 * The client as a state machine without sockets, threads or a clock of its
 * own.  In come what the transport saw, the time, and the program's wishes; out
 * come frames to send, what the transport shall do, events for callbacks, and
 * the next moment at which it wants to be asked again.
 *
 * Whoever owns an engine (client.c with its runtime; a unit test) serialises
 * all calls by one lock, and after each of them looks at what came out:
 *
 *     engine_take_action     open a connection, close it            → transport
 *     engine_take_frame      one WebSocket message                  → transport
 *     engine_next_ms         call engine_advance then               → timer
 *     events                 in order                               → the thread of callbacks
 *
 * No function here calls back into the program: all that it shall hear is an
 * event.  Only `completion`s of synchronous calls run inside (under the lock, on the
 * thread that brought the answer), so that a slow callback cannot keep them.
 *
 * Source: Centrifuge client protocol v2; docs/SDK.md says what users are
 * promised.
 */
#ifndef WH_SDK_ENGINE_H
#define WH_SDK_ENGINE_H

#include "client-sdk/src/event.h"
#include "client-sdk/src/settings.h"
#include "common/base/backoff.h"
#include "common/base/map.h"
#include "common/base/wheel.h"
#include "common/protocol/codec.h"

#include <wirehub/call.h>

/* Bounds of what one client can hold. */
enum {
    ENGINE_CHANNEL_BYTES_MAX = 255,
    ENGINE_CALLS_MAX = 65536,    /* in flight; WH_EFULL past it */
    ENGINE_SUBS_MAX = 65536,     /* subscriptions, with and without handle; WH_ELIMIT */
    ENGINE_ARENA_MAX_FACTOR = 16 /* decoding a frame may take so many times its size, and 64 KiB */
};

enum engine_action_kind { ENGINE_NO_ACTION, ENGINE_OPEN, ENGINE_CLOSE };

struct engine_action {
    enum engine_action_kind kind;
    size_t url_index;    /* OPEN: which of settings.urls */
    uint32_t connection; /* OPEN, CLOSE: number of the connection, counted from 1 */
    uint16_t code;       /* CLOSE: for the close frame, 1000 or 3000–4999 */
    const char *reason;  /* CLOSE: ≤ 123 bytes; static or the engine's until the next call */
};

/* A command that waits for its reply: a call of the program, or the engine's own. */
struct pending {
    struct wh_list link; /* engine.unsent or engine.sent */
    struct wh_timer timer;
    struct engine *engine;
    uint32_t id;         /* of the command; 0 = not sent */
    uint32_t connection; /* on which it was sent: a reply of another one is not for it */
    enum pending_kind {
        PENDING_CONNECT,
        PENDING_SUBSCRIBE,
        PENDING_UNSUBSCRIBE,
        PENDING_REFRESH,
        PENDING_SUB_REFRESH,
        PENDING_PUBLISH,
        PENDING_RPC,
        PENDING_HISTORY,
        PENDING_PRESENCE,
        PENDING_PRESENCE_STATS,
        PENDING_PING /* a WebSocket ping: no command */
    } kind;
    struct wh_sub *sub;  /* SUBSCRIBE, UNSUBSCRIBE, SUB_REFRESH; calls through a subscription */
    struct call *call;   /* calls: whom to tell; one reference */
    struct wh_buf frame; /* calls: the command, encoded without its id (calls.c) */
};

/*
 * A call as the program sees it.  Reference counted (atomically): pending, event and program each
 * hold one.  `is_over` is set under the lock by whatever ends it first: reply, time-out, lost
 * connection, cancel.
 */
struct call {
    _Atomic uint32_t refs;
    _Atomic bool is_canceled; /* read by the thread of callbacks */
    bool is_over;
    struct wh_client *client;
    union {
        wh_done_cb *done;
        wh_rpc_cb *rpc;
        wh_history_cb *history;
        wh_presence_cb *presence;
        wh_presence_stats_cb *presence_stats;
    } cb; /* NULL: nobody wants to know */
    /* Synchronous calls: instead of an event, under the lock.  The message (may be NULL) is what
     * the reply's data lies in; ref it to keep it. */
    void (*completion)(void *waiter, const struct call_outcome *outcome);
    void *user;
    void (*user_free)(void *user);
};

enum engine_state { /* public states, CONNECTING in its parts */
                    ENGINE_DISCONNECTED,
                    ENGINE_WAITING_TOKEN, /* for connect */
                    ENGINE_BACKING_OFF,
                    ENGINE_OPENING,     /* the transport works */
                    ENGINE_HANDSHAKING, /* connect command sent */
                    ENGINE_CONNECTED,
                    ENGINE_CLOSED
};

struct token_ask; /* tokens.c: an unanswered get_token */

struct engine {
    const struct settings *settings; /* borrowed for life */
    struct wh_client *client;        /* for events; opaque here */
    enum engine_state state;
    uint64_t now_ms;             /* of the latest call; monotonic, sleep included */
    uint32_t connection;         /* number of the newest connection; 0 = none yet */
    struct engine_action action; /* what the transport shall do next */
    size_t url_index;
    bool is_open; /* the transport has a connection, `encoding` holds */
    enum wh_encoding encoding;
    struct wh_backoff backoff;
    struct wh_wheel wheel;
    struct wh_timer connect_timer; /* back-off, or the time-out of connecting */
    struct wh_timer ping_timer;
    struct wh_timer refresh_timer;
    uint32_t ping_interval_ms; /* 0 = the server does not ping */
    bool must_pong;
    uint64_t last_ping_ms;

    struct wh_buf token; /* ≠ empty: have one */
    bool must_refresh_token;
    struct token_ask *token_ask;

    uint32_t next_command_id;
    struct wh_buf out; /* the frame that is being put together */
    size_t out_messages;
    unsigned batch_depth;
    struct wh_list unsent; /* pendings that wait for a connection */
    struct wh_list sent;
    struct wh_map pending_by_id;
    size_t pending_count;
    size_t unsent_bytes; /* with out.len: what send_queue_bytes_max bounds */

    struct wh_map subs;          /* by channel: struct sub, those with a handle */
    struct wh_map sub_by_number; /* channel numbers of this connection; subs only */
    struct wh_map server_subs;   /* by channel: struct server_sub */

    struct event_queue events;
    struct wh_client_stats stats; /* `size` unused */
};

/* ---- life ---------------------------------------------------------------------------------- */

/* `settings` and `client` are borrowed until deinit.  WH_ENOMEM. */
WH_MUST_CHECK enum wh_err engine_init(struct engine *engine,
                                      const struct settings *settings,
                                      struct wh_client *client,
                                      uint64_t now_ms);

/* Frees everything, events that wait included (their users were freed by taking them; see
 * engine_close). */
void engine_deinit(struct engine *engine);

/* ---- what the program wants (engine.c) ------------------------------------------------------ */

WH_MUST_CHECK enum wh_err engine_connect(struct engine *engine);
void engine_disconnect(struct engine *engine);
void engine_reconnect_now(struct engine *engine);
WH_MUST_CHECK enum wh_err engine_set_token(struct engine *engine, const char *token);

/* The end: state CLOSED, subscriptions unsubscribed 2, calls WH_ECLOSED, an ENGINE_CLOSE if there
 * is a connection.  Events of all that; nothing comes after them but what frees `user`s. */
void engine_close(struct engine *engine);

/* ---- what the transport saw ----------------------------------------------------------------- */

/* `connection` is the number of the ENGINE_OPEN that it answers; others are ignored. */
void engine_opened(struct engine *engine, uint32_t connection, enum wh_encoding encoding);

/*
 * One WebSocket message.  Takes over the reference to `message`.  `is_text`: its opcode.
 */
void engine_received(struct engine *engine, uint32_t connection, struct message *message);

/*
 * The connection is gone, or could not be made.  `code`, `reason`: of the peer's close frame, 0 =
 * no close frame (or never open).  `error` (may be NULL): why it could not be made; its
 * http_status.
 */
void engine_closed(struct engine *engine,
                   uint32_t connection,
                   uint32_t code,
                   struct wh_slice reason,
                   const struct wh_error *error);

/* A frame came that is longer than message_bytes_max; the transport reads on nothing. */
void engine_too_big(struct engine *engine, uint32_t connection);

/* The pong of a WebSocket ping. */
void engine_pong(struct engine *engine, uint32_t connection, uint32_t rtt_us);

/* ---- time ------------------------------------------------------------------------------------ */

/* First thing in every turn: the time, in ms of CLOCK_BOOTTIME.  Runs what is due. */
void engine_advance(struct engine *engine, uint64_t now_ms);

/* Milliseconds from engine.now_ms to the next engine_advance; UINT64_MAX = none needed. */
uint64_t engine_next_ms(const struct engine *engine);

/* ---- what comes out ---------------------------------------------------------------------------
 */

/* One thing that the transport shall do; ENGINE_NO_ACTION when there is nothing. */
struct engine_action engine_take_action(struct engine *engine);

/* Whether engine_take_frame has something. */
bool engine_has_frame(const struct engine *engine);

/* Append the next WebSocket message to `frame` (empty; the opcode follows from engine.encoding);
 * false when there is none. */
bool engine_take_frame(struct engine *engine, struct wh_buf *frame);

/* Whether to read from the socket: false while the event queue is over its limit. */
bool engine_wants_to_read(const struct engine *engine);

/* ---- calls (calls.c) ---------------------------------------------------------------------------
 */

/* What is asked, borrowed. */
struct call_request {
    enum pending_kind kind;
    struct wh_sub *sub;  /* NULL = by channel */
    const char *channel; /* or method */
    struct wh_data data;
    const struct wh_history_options *history;
    uint32_t timeout_ms; /* 0 = the client's */
};

/* The engine takes a reference of its own to `call`.  Errors: wirehub/call.h. */
WH_MUST_CHECK enum wh_err engine_call(struct engine *engine,
                                      const struct call_request *request,
                                      struct call *call);
void engine_cancel(struct engine *engine, struct call *call);
WH_MUST_CHECK enum wh_err engine_send(struct engine *engine, struct wh_data data);
void engine_batch(struct engine *engine, int change); /* +1, −1 */

#endif
