/*
 * An engine of the SDK without client, runtime or transport: a clock that
 * stands still, a server that says what the test says, callbacks that "run" when the
 * test takes their event.
 *
 * Two ways to use it:
 *   JSON     everything in and out is JSON, so that one test runs in all encodings:
 *            transcripts (sdk_transcript.h) are made of this
 *   structs  commands as structs, replies as printf-formatted JSON text (the connection must
 *            be one of JSON), events seen by `on_event`: for servers and programs written in C
 *
 *     assert_true(fake_sdk_init(&fake, NULL));
 *     fake_sdk_connect(&fake);                          // up to the connect reply
 *     sub = fake_sdk_sub(&fake, "news", &options);
 *     fake_sdk_subscribe(&fake, sub, RECOVERABLE "5");  // subscribed, no event waits
 *     fake_sdk_say(&fake, "{\"push\":{…}}");
 *     fake_sdk_run(&fake);                              // all callbacks
 *     command = fake_sdk_take_command(&fake);           // what was sent, oldest first
 *
 * Threads: one.
 */
#ifndef WH_TEST_FAKE_SDK_H
#define WH_TEST_FAKE_SDK_H

#include "client-sdk/src/sub.h"
#include "client-sdk/src/tokens.h"

#include <jansson.h>

enum { FAKE_SDK_CALLS_MAX = 64, FAKE_SDK_REQUESTS_MAX = 16 };

struct fake_sdk;

/* What the opaque client is here. */
struct wh_client {
    struct fake_sdk *fake;
    size_t refs;
};

struct fake_call {
    struct fake_sdk *fake;
    char name[32];
    struct call *call;
};

struct fake_sdk {
    struct settings settings;
    struct engine engine;
    struct wh_client client;
    uint64_t now_ms;
    void (*on_harness)(bool is_inside); /* the fake itself works now: its memory does not fail */
    /* In the place of a callback: behind sub_wants, before sub_delivered. */
    void (*on_event)(struct fake_sdk *fake, struct event *event);
    struct event *event; /* whose callback runs; NULL = none */
    struct wh_token_request *token_requests[FAKE_SDK_REQUESTS_MAX]; /* not answered; oldest first */
    size_t token_request_count;
    struct wh_state_request *state_requests[FAKE_SDK_REQUESTS_MAX];
    size_t state_request_count;
    struct fake_call calls[FAKE_SDK_CALLS_MAX];
    size_t call_count;
    json_t *completions; /* array: ends of synchronous calls */
    size_t users_freed;
    size_t message_arena_limit; /* of messages that come; 0 = their own */
    bool has_bare_texts;        /* replies: `data` that is a string travels as its text, where the
                                   encoding has bytes: what delta does outside JSON */
    struct wh_arena arena;      /* of commands that were taken */
    struct wh_slice commands;   /* of the frame that was begun */
};

/* `options` is borrowed; NULL: ws://hub with the defaults.  false = no memory. */
bool fake_sdk_init(struct fake_sdk *fake, const struct wh_client_options *options);
void fake_sdk_deinit(struct fake_sdk *fake);

/* What an option must be where the program shall be asked (any non-NULL will do). */
void fake_sdk_get_token(struct wh_client *client, struct wh_token_request *request, void *user);
void fake_sdk_sub_get_token(struct wh_sub *sub, struct wh_token_request *request, void *user);
void fake_sdk_sub_get_state(struct wh_sub *sub, struct wh_state_request *request, void *user);

/* The oldest request, off its list; NULL = none. */
struct wh_token_request *fake_sdk_take_token_request(struct fake_sdk *fake);
struct wh_state_request *fake_sdk_take_state_request(struct fake_sdk *fake);

/* The log of late. */
const char *fake_sdk_log(void);

void fake_sdk_advance(struct fake_sdk *fake, uint64_t ms);

/* ---- the transport and the server ------------------------------------------------------------ */

/* The transport has a connection, in the encoding that was asked for. */
void fake_sdk_open(struct fake_sdk *fake);
/* The connection breaks. */
void fake_sdk_lose(struct fake_sdk *fake);
/* All that the engine asks of the transport; true = a connection was opened. */
bool fake_sdk_act(struct fake_sdk *fake);
/* From whatever state to the connect command, which is returned; it must come within a minute. */
struct wh_command *fake_sdk_handshake(struct fake_sdk *fake);
/* Likewise, and its reply. */
void fake_sdk_connect(struct fake_sdk *fake);

/* The bytes as they are, on the newest connection or on another one. */
void fake_sdk_receive_bytes(struct fake_sdk *fake, const void *bytes, size_t len);
void fake_sdk_receive_on(struct fake_sdk *fake, uint32_t connection, const void *bytes, size_t len);
WH_PRINTF(2, 3) void fake_sdk_say(struct fake_sdk *fake, const char *format, ...);

/* The next command, until deinit; NULL = none. */
struct wh_command *fake_sdk_take_command(struct fake_sdk *fake);

/* ---- the program ----------------------------------------------------------------------------- */

/* The next event that somebody still wants, "in its callback" until end_event; NULL = none. */
struct event *fake_sdk_begin_event(struct fake_sdk *fake);
void fake_sdk_end_event(struct fake_sdk *fake); /* none in its callback is fine */
bool fake_sdk_run_one(struct fake_sdk *fake);   /* both; false = none waited */
void fake_sdk_run(struct fake_sdk *fake);       /* all that wait, and those they cause */

struct wh_sub *fake_sdk_sub(struct fake_sdk *fake,
                            const char *channel,
                            const struct wh_sub_options *options);
/* Subscribed with `result` (members of a subscribe result, may be ""), its events run. */
void fake_sdk_subscribe(struct fake_sdk *fake, struct wh_sub *sub, const char *result);
#define RECOVERABLE "\"recoverable\":true,\"positioned\":true,\"epoch\":\"e\",\"offset\":"

/* ---- the same in JSON (fake_sdk_json.c) ------------------------------------------------------ */

/* One frame with one reply, or with each of an array, in the connection's encoding; `connection`
 * as for receive_on. */
void fake_sdk_receive(struct fake_sdk *fake, uint32_t connection, const json_t *reply);

/* The next frame as an array of commands; NULL = none.  The caller's. */
json_t *fake_sdk_take_frame(struct fake_sdk *fake);

/* fake_sdk_begin_event as an object, or the end of a synchronous call; NULL = none.  The caller's.
 */
json_t *fake_sdk_begin_json(struct fake_sdk *fake);
/* Likewise, and its callback has run. */
json_t *fake_sdk_take_event(struct fake_sdk *fake);

/* Start a call as {"call":"rpc","name":…,"method":…,"data":…} says. */
enum wh_err fake_sdk_call(struct fake_sdk *fake, const json_t *step);
struct fake_call *fake_sdk_find_call(struct fake_sdk *fake, const char *name);

#endif
