/*
 * An engine of the SDK without client, runtime or transport: a clock that
 * stands still, a server that says what the test says, in any encoding.
 * Everything in and out is JSON, so that one test runs in all encodings.
 *
 * Threads: one.
 */
#ifndef WH_TEST_FAKE_SDK_H
#define WH_TEST_FAKE_SDK_H

#include "client-sdk/src/sub.h"
#include "client-sdk/src/tokens.h"

#include <jansson.h>

enum { FAKE_SDK_CALLS_MAX = 64 };

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
    struct wh_token_request *token_requests[16]; /* asked, not answered; oldest first */
    size_t token_request_count;
    struct wh_state_request *state_requests[16];
    size_t state_request_count;
    struct fake_call calls[FAKE_SDK_CALLS_MAX];
    size_t call_count;
    json_t *completions; /* array: ends of synchronous calls */
    size_t users_freed;
};

/* `options` is borrowed; NULL: ws://hub with the defaults.  false = no memory. */
bool fake_sdk_init(struct fake_sdk *fake, const struct wh_client_options *options);
void fake_sdk_deinit(struct fake_sdk *fake);

/* The options' events must be these where get_token shall be asked (any non-NULL will do). */
void fake_sdk_get_token(struct wh_client *client, struct wh_token_request *request, void *user);

/* The log of late. */
const char *fake_sdk_log(void);

void fake_sdk_advance(struct fake_sdk *fake, uint64_t ms);

/* The transport has a connection, in the encoding that was asked for. */
void fake_sdk_open(struct fake_sdk *fake);

/* One frame with one reply, or with each of an array, in the connection's encoding. */
void fake_sdk_receive(struct fake_sdk *fake, const json_t *reply);
/* The bytes as they are. */
void fake_sdk_receive_bytes(struct fake_sdk *fake, const void *bytes, size_t len);

/* The next frame as an array of commands; NULL = none.  The caller's. */
json_t *fake_sdk_take_frame(struct fake_sdk *fake);

/* The next event (or end of a synchronous call) as an object; NULL = none.  The caller's.  Its
 * references are given back; requests are put on the lists above. */
json_t *fake_sdk_take_event(struct fake_sdk *fake);

/* Start a call as {"call":"rpc","name":…,"method":…,"data":…} says. */
enum wh_err fake_sdk_call(struct fake_sdk *fake, const json_t *step);
struct fake_call *fake_sdk_find_call(struct fake_sdk *fake, const char *name);

#endif
