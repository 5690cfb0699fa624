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
    ENGINE_CALLS_MAX = 65536,   /* in flight; WH_EFULL past it */
    ENGINE_SUBS_MAX = 65536,    /* subscriptions, with and without handle; WH_ELIMIT */
    ENGINE_FRAME_BYTES = 32768, /* commands are put together to frames of that size at most (servers
                                   refuse large ones); a larger command is a frame of its own */
    ENGINE_ARENA_MAX_FACTOR = 128 /* decoding a frame, with its events, may take so many times its
                                     size, and 64 KiB: in Protobuf 12 bytes can be a publication,
                                     which in structs is some 700 */
};

enum engine_action_kind { ENGINE_NO_ACTION, ENGINE_OPEN, ENGINE_CLOSE };

struct engine_action {
    enum engine_action_kind kind;
    size_t url_index;    /* OPEN: which of settings.urls */
    uint32_t connection; /* OPEN, CLOSE: number of the connection, counted from 1 */
    uint16_t code;       /* CLOSE: for the close frame, 1000 or 3000–4999 */
    const char *reason;  /* CLOSE: ≤ 123 bytes; static or the engine's until the next call */
};

enum pending_kind {
    PENDING_CONNECT,
    PENDING_SUBSCRIBE,
    PENDING_UNSUBSCRIBE,
    PENDING_REFRESH,
    PENDING_SUB_REFRESH,
    PENDING_PUBLISH, /* from here on: calls */
    PENDING_RPC,
    PENDING_HISTORY,
    PENDING_PRESENCE,
    PENDING_PRESENCE_STATS,
    PENDING_PING /* a WebSocket ping: no command */
};

/* A command that waits for its reply: a call of the program, or the engine's own. */
struct pending {
    struct wh_list link;     /* engine.unsent or engine.sent */
    struct wh_list sub_link; /* sub->unsent: those of engine.unsent that wait for `sub` */
    struct wh_timer timer;
    struct engine *engine;
    uint32_t id;         /* of the command; 0 = not sent */
    uint32_t connection; /* on which it was sent: a reply of another one is not for it */
    enum pending_kind kind;
    struct wh_sub *sub;    /* SUBSCRIBE, UNSUBSCRIBE, SUB_REFRESH; calls through a subscription; one
                              reference */
    struct call *call;     /* calls: whom to tell; one reference */
    struct wh_arena arena; /* unsent calls: the command, not encoded before there is a */
    struct wh_command *command; /* connection, because only that has an encoding */
    const char *channel;        /* HISTORY: in the arena */
};

union call_callback {
    wh_done_cb *done; /* PUBLISH, PING */
    wh_rpc_cb *rpc;
    wh_history_cb *history;
    wh_presence_cb *presence;
    wh_presence_stats_cb *presence_stats;
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
    struct pending *pending; /* until it is over */
    struct event *event;     /* made when the call starts, so that its end cannot fail */
    enum pending_kind kind;  /* which member of `cb` */
    union call_callback cb;  /* NULL: nobody wants to know */
    /* Synchronous calls: instead of an event, under the lock.  The message (may be NULL) is what
     * the reply's data lies in; ref it to keep it. */
    void (*completion)(void *waiter, const struct call_outcome *outcome);
    void *user;
    void (*user_free)(void *user); /* after the callback, or instead of it when canceled; never for
                                      calls with a completion */
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
    uint64_t now_ms;            /* of the latest call; monotonic, sleep included */
    uint32_t connection;        /* number of the newest connection; 0 = none yet */
    struct engine_action close; /* what the transport shall do next: this, … */
    struct engine_action open;  /* … then this */
    char close_reason[124];
    size_t url_index;
    bool has_attempted; /* a later attempt takes the next URL */
    bool has_transport; /* asked the transport to open, and neither closed it nor was told */
    bool is_open;       /* the transport has a connection, `encoding` holds */
    enum wh_encoding encoding;
    struct wh_backoff backoff;
    struct wh_wheel wheel;
    struct wh_timer connect_timer; /* back-off, or the time-out of connecting */
    struct wh_timer ping_timer;
    struct wh_timer refresh_timer;
    uint32_t ping_interval_ms; /* 0 = the server does not ping */
    bool must_pong;
    uint64_t last_ping_ms;
    uint64_t
        last_frame_ms; /* the ping timer looks at it when it fires: frames do not touch timers */
    bool wants_ping;   /* a WebSocket ping shall be sent */

    struct wh_buf token; /* ≠ empty: have one */
    bool must_refresh_token;
    bool is_token_new;   /* set by the program since the last one was sent */
    bool is_refresh_due; /* ttl has passed and there was no token to refresh with */
    struct token_ask *token_ask;

    uint32_t next_command_id;
    struct wh_buf out;      /* frames, one behind the other; the last is being put together */
    struct wh_buf out_ends; /* size_t: ends in `out` of the frames before the last */
    size_t out_ends_taken;
    size_t out_taken; /* bytes of `out` that the transport has */
    size_t out_start; /* of the last frame */
    unsigned batch_depth;
    struct wh_list unsent; /* pendings that wait for a connection */
    struct wh_list sent;
    struct wh_map pending_by_id;
    size_t pending_count;
    size_t unsent_bytes; /* with what waits in `out`: what send_queue_bytes_max bounds */

    struct wh_map subs;           /* by channel: struct sub, those with a handle */
    struct wh_map sub_by_number;  /* channel numbers of this connection; subs only */
    struct wh_list subs_in_order; /* the same, as they were made: what happens to all of them at
                                     once happens in this order, as in the other SDKs */
    struct wh_map server_subs;    /* by channel: struct server_sub */

    struct event_queue events;
    struct event *spare_events[2]; /* a change of state is told even when memory is out */
    bool is_reading_paused;
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

/* A WebSocket ping shall be sent; true once for any number of questions. */
bool engine_take_ping(struct engine *engine);

/* Whether to read from the socket: false from when the event queue is over its limit until half of
 * that was taken. */
bool engine_wants_to_read(struct engine *engine);

/* The oldest event, taken off; NULL when there is none.  To be given back with event_free, without
 * the lock or with it. */
struct event *engine_take_event(struct engine *engine);

/* The public state. */
enum wh_client_state engine_public_state(const struct engine *engine);

/* The counters, with what is counted at this moment. */
void engine_stats(const struct engine *engine, struct wh_client_stats *out_stats);

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

/* A call for `client` with one reference; the caller fills in cb, completion, user, user_free
 * before engine_call.  NULL = no memory. */
struct call *call_new(struct wh_client *client);
void call_ref(struct call *call);
void call_unref(struct call *call); /* NULL is fine */

/* The engine takes a reference of its own to `call`.  Errors: wirehub/call.h. */
WH_MUST_CHECK enum wh_err engine_call(struct engine *engine,
                                      const struct call_request *request,
                                      struct call *call);
/* An asynchronous call still gives its EVENT_CALL: whoever runs callbacks skips cb (is_canceled)
 * and runs user_free.  A synchronous one ends without completion. */
void engine_cancel(struct engine *engine, struct call *call);
WH_MUST_CHECK enum wh_err engine_send(struct engine *engine, struct wh_data data);
void engine_batch(struct engine *engine, int change); /* +1, −1 */

/* ---- for the rest of the engine: sub*.c, receive.c, calls.c -----------------------------------
 */

/*
 * Send a command of the engine's own on this connection (HANDSHAKING or CONNECTED): command->id is
 * set, the rest is borrowed.  Its reply, or its time-out, goes to subs_on_reply or to receive.c.
 * A lost connection drops it without a word.
 * WH_ENOMEM, WH_EENCODING, WH_EDISCONNECTED.  Own commands are not bounded by
 * send_queue_bytes_max.
 */
WH_MUST_CHECK enum wh_err engine_command(struct engine *engine,
                                         enum pending_kind kind,
                                         struct wh_sub *sub,
                                         struct wh_command *command);

/* Append a command to the frame; `command->id` is the caller's.  WH_ENOMEM, WH_EENCODING. */
WH_MUST_CHECK enum wh_err engine_put(struct engine *engine, const struct wh_command *command);
size_t engine_out_bytes(const struct engine *engine);

/* The connection is given up by us and made anew: connecting `code` (2 no ping, 3 subscribe
 * time-out, 4 unsubscribe error).  Nothing when there is none. */
void engine_reconnect(struct engine *engine, uint32_t code, const char *reason);

/* The same because there is no memory to go on with: the state of the connection is unknown. */
void engine_reconnect_no_memory(struct engine *engine);

/* A final code: DISCONNECTED.  `reason` is copied. */
void engine_fail(struct engine *engine, uint32_t code, struct wh_slice reason);

/* What a close frame or a disconnect push means (§ closing codes of docs/SDK.md). */
void engine_obey_close(struct engine *engine, uint32_t code, struct wh_slice reason);

/* An EVENT_ERROR, or an EVENT_SUB_ERROR when `sub` is given; lost when there is no memory. */
void engine_error(struct engine *engine, struct wh_sub *sub, const struct wh_error *error);
WH_PRINTF(5, 6)
struct wh_error engine_error_make(enum wh_err err,
                                  uint32_t code,
                                  bool temporary,
                                  uint32_t http_status,
                                  const char *format,
                                  ...);

/* Queue: the engine owns `event` from here on. */
void engine_push(struct engine *engine, struct event *event);

/* `reply` NULL: time-out. */
void engine_on_connect_reply(struct engine *engine,
                             struct message *message,
                             const struct wh_reply *reply);

/* receive.c: the reply to a command of this connection, or its time-out. */
void engine_on_reply(struct engine *engine,
                     struct pending *pending,
                     struct message *message,
                     const struct wh_reply *reply);

/* refresh.c: the token of the connection.  `ttl_s`: it expires in so many seconds. */
void refresh_init(struct engine *engine);
void refresh_schedule(struct engine *engine, uint32_t ttl_s);
void refresh_on_reply(struct engine *engine, const struct wh_reply *reply);
/* The program gave a token: send it now if it is overdue. */
void refresh_on_token(struct engine *engine);
WH_MUST_CHECK enum wh_err engine_store_token(struct engine *engine, struct wh_slice token);

/* calls.c */
void pending_detach(struct engine *engine, struct pending *pending); /* out of all tables */
void pending_free(struct engine *engine, struct pending *pending);   /* and that */
/* The connection is open for calls: what waits is sent. */
void calls_send_waiting(struct engine *engine);
/* `sub` became SUBSCRIBED: calls through it go out; or UNSUBSCRIBED: they fail. */
void calls_on_sub(struct engine *engine, struct wh_sub *sub);
/* Ends what was sent on this connection (`sent_only`), or everything. */
void calls_fail(struct engine *engine, bool sent_only, enum wh_err err, uint32_t code);
void calls_on_reply(struct engine *engine,
                    struct pending *pending,
                    struct message *message,
                    const struct wh_reply *reply);
void calls_on_pong(struct engine *engine);

#endif
