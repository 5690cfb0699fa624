/*
 * A client on a pumped runtime, its state events as one line of text, for tests of what programs
 * may do when.  Nothing moves but inside loop_pump and its like.  With fake_service.h.
 */
#ifndef WH_TEST_LOOP_CLIENT_H
#define WH_TEST_LOOP_CLIENT_H

#include "common/base/err.h"

#include <wirehub/wirehub.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { LOOP_LIMIT_S = 30 /* nothing that works takes so long */, LOOP_TURNS = 8 };

struct loop_client {
    struct wh_runtime *runtime;
    struct wh_client *client;
    char said[1024];       /* "connecting 0; connected; …" */
    struct wh_error error; /* the latest of an error event */
    unsigned errors, user_frees, messages;
    unsigned token_asks;
    struct wh_token_request *request; /* of the latest, unanswered */
};

WH_PRINTF(2, 3)
static inline void loop_say(struct loop_client *loop, const char *format, ...)
{
    size_t len = strlen(loop->said);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(loop->said + len, sizeof loop->said - len, format, args);
    va_end(args);
}

static void loop_on_connecting(struct wh_client *c, const struct wh_transition *why, void *user)
{
    (void)c;
    loop_say(user, "connecting %u; ", why->code);
}

static void loop_on_connected(struct wh_client *c, const struct wh_connected *connected, void *user)
{
    (void)c, (void)connected;
    loop_say(user, "connected; ");
}

static void loop_on_disconnected(struct wh_client *c, const struct wh_transition *why, void *user)
{
    (void)c;
    loop_say(user, "disconnected %u; ", why->code);
}

static void loop_on_error(struct wh_client *c, const struct wh_error *error, void *user)
{
    struct loop_client *loop = user;
    (void)c;
    loop->error = *error;
    loop->errors++;
}

static void loop_on_message(struct wh_client *c, const struct wh_data *data, void *user)
{
    (void)c, (void)data;
    ((struct loop_client *)user)->messages++;
}

static void loop_on_get_token(struct wh_client *c, struct wh_token_request *request, void *user)
{
    struct loop_client *loop = user;
    (void)c;
    loop->token_asks++;
    loop->request = request;
}

static void loop_on_user_free(void *user)
{
    struct loop_client *loop = user;
    loop->user_frees++;
    loop_say(loop, "user_free; ");
}

static const struct wh_client_events loop_events = {
    WH_CLIENT_EVENTS_INIT,          .connecting = loop_on_connecting,
    .connected = loop_on_connected, .disconnected = loop_on_disconnected,
    .error = loop_on_error,         .message = loop_on_message};
static const struct wh_client_events loop_token_events = {
    WH_CLIENT_EVENTS_INIT,          .connecting = loop_on_connecting,
    .connected = loop_on_connected, .disconnected = loop_on_disconnected,
    .error = loop_on_error,         .message = loop_on_message,
    .get_token = loop_on_get_token};

static inline struct wh_client_options loop_options(void)
{
    struct wh_client_options options = WH_CLIENT_OPTIONS_INIT;
    options.url = "ws://localhost/connection/websocket";
    options.min_reconnect_ms = options.max_reconnect_ms = 1;
    options.events = &loop_events;
    return options;
}

/* `given` with this runtime and user. */
static inline void loop_init(struct loop_client *loop, const struct wh_client_options *given)
{
    struct wh_runtime_options runtime = WH_RUNTIME_OPTIONS_INIT;
    struct wh_client_options options = *given;
    struct wh_error error = {.text = ""};
    memset(loop, 0, sizeof *loop);
    runtime.mode = WH_MODE_LOOP;
    assert_int_equal(wh_runtime_new(&runtime, &loop->runtime, NULL), WH_OK);
    options.user = loop;
    options.user_free = loop_on_user_free;
    options.runtime = loop->runtime;
    if (wh_client_new(&options, &loop->client, &error) != WH_OK)
        fail_msg("%s", error.text);
}

static inline void loop_deinit(struct loop_client *loop)
{
    wh_client_free(loop->client);
    wh_runtime_free(loop->runtime);
    assert_int_equal(loop->user_frees, 1);
}

static inline void loop_turn(struct loop_client *loop)
{
    assert_int_equal(wh_runtime_run_once(loop->runtime, 5), WH_OK);
}

/* All that can happen without time passing. */
static inline void loop_settle(struct loop_client *loop)
{
    for (unsigned i = 0; i < LOOP_TURNS; i++)
        assert_int_equal(wh_runtime_run_once(loop->runtime, 0), WH_OK);
}

/* Until `*counter` has reached `wanted`. */
static inline void loop_pump(struct loop_client *loop, const unsigned *counter, unsigned wanted)
{
    time_t end = time(NULL) + LOOP_LIMIT_S;
    while (*counter < wanted) {
        loop_turn(loop);
        if (time(NULL) > end)
            fail_msg("waited too long");
    }
}

static inline void loop_until(struct loop_client *loop, enum wh_client_state state)
{
    time_t end = time(NULL) + LOOP_LIMIT_S;
    while (wh_client_state(loop->client) != state) {
        loop_turn(loop);
        if (time(NULL) > end)
            fail_msg("waited too long for %s", wh_client_state_name(state));
    }
    loop_settle(loop);
}

static inline void loop_connect(struct loop_client *loop)
{
    assert_int_equal(wh_client_connect(loop->client), WH_OK);
    loop_until(loop, WH_CLIENT_CONNECTED);
}

/* Since the last time. */
static inline void assert_said(struct loop_client *loop, const char *text)
{
    assert_string_equal(loop->said, text);
    loop->said[0] = '\0';
}

#endif
