/*
 * Every callback of the public headers: what it is told is checked for order, and each has a row
 * that says how it is made to come.
 */
#include "tests/support/callback_run.h"

#include <stdio.h>
#include <string.h>

/* ---- callbacks of the client ----------------------------------------------------------------- */

static void on_connecting(struct wh_client *c, const struct wh_transition *why, void *user)
{
    struct run *run = user;
    (void)c, (void)why;
    CLAIM(run->told == 0 || run->told == 2);
    run->told = 1;
    run_enter_own(run, "client.connecting");
}
static void on_connected(struct wh_client *c, const struct wh_connected *connected, void *user)
{
    struct run *run = user;
    (void)c;
    CLAIM(run->told == 1);
    CLAIM(strcmp(connected->client, "c1") == 0);
    run->told = 2;
    run_enter_own(run, "client.connected");
    atomic_store(&run->is_connected, true);
}
static void on_disconnected(struct wh_client *c, const struct wh_transition *why, void *user)
{
    struct run *run = user;
    (void)c;
    CLAIM(run->told != 0 && why->code == 0);
    run->told = 0;
    run_enter_own(run, "client.disconnected");
}
static void on_error(struct wh_client *c, const struct wh_error *error, void *user)
{
    (void)c;
    CLAIM(error->code == WH_CODE_CONNECT_TOKEN);
    run_enter_own(user, "client.error");
}
static void on_message(struct wh_client *c, const struct wh_data *data, void *user)
{
    (void)c;
    CLAIM(data->len == 1 && memcmp(data->ptr, "7", 1) == 0);
    run_enter_own(user, "client.message");
}
static void on_server_subscribed(struct wh_client *c, const struct wh_subscribed *s, void *user)
{
    (void)c;
    CLAIM(strcmp(s->channel, "srv") == 0);
    run_enter_own(user, "client.server_subscribed");
}
static void on_server_subscribing(struct wh_client *c, const char *channel, void *user)
{
    (void)c;
    CLAIM(strcmp(channel, "srv") == 0);
    run_enter_own(user, "client.server_subscribing");
}
static void on_server_unsubscribed(struct wh_client *c, const char *channel, void *user)
{
    (void)c;
    CLAIM(strcmp(channel, "srv") == 0);
    run_enter_own(user, "client.server_unsubscribed");
}
static void on_server_unsubscribed_why(struct wh_client *c,
                                       const char *channel,
                                       const struct wh_transition *why,
                                       void *user)
{
    struct run *run = user;
    (void)c;
    CLAIM(strcmp(channel, "srv") == 0 && why->code == (atomic_load(&run->is_acting) ? 0 : 2000));
    run_enter_own(run, "client.server_unsubscribed_why");
}
static void on_server_publication(struct wh_client *c, const struct wh_publication *p, void *user)
{
    (void)c;
    CLAIM(strcmp(p->channel, "srv") == 0);
    run_enter_own(user, "client.server_publication");
}
static void on_server_join(struct wh_client *c,
                           const char *channel,
                           const struct wh_client_info *i,
                           void *user)
{
    (void)c, (void)channel;
    CLAIM(strcmp(i->user, "u") == 0);
    run_enter_own(user, "client.server_join");
}
static void on_server_leave(struct wh_client *c,
                            const char *channel,
                            const struct wh_client_info *i,
                            void *user)
{
    (void)c, (void)channel;
    CLAIM(strcmp(i->user, "u") == 0);
    run_enter_own(user, "client.server_leave");
}

/* ---- callbacks of the subscription ----------------------------------------------------------- */

static void on_subscribing(struct wh_sub *s, const struct wh_transition *why, void *user)
{
    struct run *run = user;
    (void)s, (void)why;
    CLAIM(run->sub_told == 0 || run->sub_told == 2);
    run->sub_told = 1;
    run_enter_own(run, "sub.subscribing");
}
static void on_subscribed(struct wh_sub *s, const struct wh_subscribed *subscribed, void *user)
{
    struct run *run = user;
    (void)s;
    CLAIM(run->sub_told == 1 && strcmp(subscribed->channel, "news") == 0);
    run->sub_told = 2;
    run->last_publication = 0;
    run_enter_own(run, "sub.subscribed");
}
static void on_unsubscribed(struct wh_sub *s, const struct wh_transition *why, void *user)
{
    struct run *run = user;
    (void)s, (void)why;
    CLAIM(run->sub_told != 0);
    run->sub_told = 0;
    run_enter_own(run, "sub.unsubscribed");
}
static void on_publication(struct wh_sub *s, const struct wh_publication *p, void *user)
{
    struct run *run = user;
    char expected[32];
    (void)s;
    CLAIM(run->sub_told == 2);
    int len = snprintf(expected, sizeof expected, "{\"n\":%d}", ++run->last_publication);
    CLAIM(p->data.len == (size_t)len && memcmp(p->data.ptr, expected, p->data.len) == 0);
    run_enter_own(run, "sub.publication");
    atomic_store(&run->is_up, true);
}
static void on_join(struct wh_sub *s, const struct wh_client_info *i, void *user)
{
    (void)s;
    CLAIM(strcmp(i->user, "u") == 0);
    run_enter_own(user, "sub.join");
}
static void on_leave(struct wh_sub *s, const struct wh_client_info *i, void *user)
{
    (void)s;
    CLAIM(strcmp(i->user, "u") == 0);
    run_enter_own(user, "sub.leave");
}
static void on_sub_error(struct wh_sub *s, const struct wh_error *error, void *user)
{
    (void)s;
    CLAIM(error->code == WH_CODE_SUBSCRIBE_TOKEN);
    run_enter_own(user, "sub.error");
}

/* ---- questions ------------------------------------------------------------------------------- */

static void *answer_token(void *request)
{
    wh_token_ok(request, "t");
    return NULL;
}

static void *answer_state(void *request)
{
    static const struct wh_position start = {3, "e"};
    wh_state_ok(request, &start);
    return NULL;
}

/* The answer comes while the act is under way, or after it: the client may be gone by then. */
static void ask(struct run *run, const char *callback, void *(*answer)(void *), void *request)
{
    bool is_elsewhere =
        run->scene->is_answer_elsewhere && strcmp(run->scene->callback, callback) == 0;
    if (!is_elsewhere || atomic_load(&run->is_acting)) {
        run_enter_own(run, callback);
        (void)answer(request);
        return;
    }
    run->has_answerer = true;
    CLAIM(pthread_create(&run->answerer, NULL, answer, request) == 0);
    run_enter_own(run, callback);
}

static void on_get_token(struct wh_client *c, struct wh_token_request *request, void *user)
{
    struct run *run = user;
    (void)c;
    if (strcmp(run->scene->callback, "client.error") == 0 && !run->is_answered_once) {
        run->is_answered_once = true;
        wh_token_error(request, "not yet");
        return;
    }
    ask(run, "client.get_token", answer_token, request);
}
static void on_sub_get_token(struct wh_sub *s, struct wh_token_request *request, void *user)
{
    struct run *run = user;
    (void)s;
    if (strcmp(run->scene->callback, "sub.error") == 0 && !run->is_answered_once) {
        run->is_answered_once = true;
        wh_token_error(request, "not yet");
        return;
    }
    ask(run, "sub.get_token", answer_token, request);
}
static void on_get_state(struct wh_sub *s, struct wh_state_request *request, void *user)
{
    (void)s;
    ask(user, "sub.get_state", answer_state, request);
}

/* ---- results --------------------------------------------------------------------------------- */

static void end_call(struct run *run, const char *callback)
{
    atomic_fetch_add(&run->calls.ended, 1);
    run_enter_own(run, callback);
}

#define RESULT(name, type, callback)                                                               \
    static void name(struct wh_client *c, const struct wh_error *error, const type *result,        \
                     void *user)                                                                   \
    {                                                                                              \
        (void)c;                                                                                   \
        CLAIM(!error && result);                                                                   \
        end_call(user, callback);                                                                  \
    }
RESULT(on_rpc, struct wh_data, "client.rpc")
RESULT(on_history, struct wh_history, "client.history")
RESULT(on_presence, struct wh_presence, "client.presence")
RESULT(on_presence_stats, struct wh_presence_stats, "client.presence_stats")
RESULT(on_sub_history, struct wh_history, "sub.history")
RESULT(on_sub_presence, struct wh_presence, "sub.presence")
RESULT(on_sub_presence_stats, struct wh_presence_stats, "sub.presence_stats")

#define DONE(name, callback)                                                                       \
    static void name(struct wh_client *c, const struct wh_error *error, void *user)                \
    {                                                                                              \
        (void)c;                                                                                   \
        CLAIM(!error);                                                                             \
        end_call(user, callback);                                                                  \
    }
DONE(on_publish, "client.publish")
DONE(on_ping, "client.ping")
DONE(on_sub_publish, "sub.publish")

static void on_call_user_free(void *user)
{
    struct run *run = user;
    tally_free(&run->calls);
    if (strcmp(run->scene->callback, "call.user_free") == 0)
        run_enter_own(run, "call.user_free");
}

/* ---- user_free, done ------------------------------------------------------------------------- */

static void on_user_free(void *user)
{
    struct run *run = user;
    CLAIM(atomic_fetch_add(&run->inside, 1) == 0);
    CLAIM(atomic_fetch_sub(&run->inside, 1) == 1);
    atomic_fetch_add(&run->user_frees, 1); /* the last: `run` may go now */
}
static void on_sub_user_free(void *user)
{
    atomic_fetch_add(&((struct run *)user)->sub_user_frees, 1);
}
static void on_other_sub_user_free(void *user)
{
    run_enter_own(user, "sub.user_free");
}
static void on_ending_user_free(void *user)
{
    run_enter(user, "client.user_free");
}
static void on_ending_done(void *user)
{
    struct run *run = user;
    run_enter(run, "close.done");
    run->ending = NULL;
    atomic_store(&run->is_ending_gone, true);
}
static void on_runtime_done(void *user)
{
    struct run *run = user;
    run_enter(run, "runtime.done");
    atomic_fetch_add(&run->runtimes_done, 1);
}

/* ---- how they come --------------------------------------------------------------------------- */

void scene_make_client(struct run *run)
{
    const struct scene *scene = run->scene;
    struct wh_client_events events = {WH_CLIENT_EVENTS_INIT,
                                      .connecting = on_connecting,
                                      .connected = on_connected,
                                      .disconnected = on_disconnected,
                                      .error = on_error,
                                      .message = on_message,
                                      .server_subscribed = on_server_subscribed,
                                      .server_subscribing = on_server_subscribing,
                                      .server_unsubscribed = on_server_unsubscribed,
                                      .server_publication = on_server_publication,
                                      .server_join = on_server_join,
                                      .server_leave = on_server_leave};
    struct wh_sub_events sub_events = {WH_SUB_EVENTS_INIT,
                                       .subscribing = on_subscribing,
                                       .subscribed = on_subscribed,
                                       .join = on_join,
                                       .unsubscribed = on_unsubscribed,
                                       .publication = on_publication,
                                       .leave = on_leave,
                                       .error = on_sub_error};
    if (strcmp(scene->callback, "client.server_unsubscribed_why") == 0)
        events.server_unsubscribed_why = on_server_unsubscribed_why;
    events.get_token = scene->asks_token ? on_get_token : NULL;
    sub_events.get_token = scene->sub_asks_token ? on_sub_get_token : NULL;
    sub_events.get_state = scene->asks_state ? on_get_state : NULL;
    struct wh_client_options options = WH_CLIENT_OPTIONS_INIT;
    options.url = "ws://localhost/connection/websocket";
    options.events = &events;
    options.user = run;
    options.user_free = on_user_free;
    options.runtime = run->runtime;
    options.min_reconnect_ms = 1;
    options.max_reconnect_ms = 2;
    CLAIM(wh_client_new(&options, &run->client, NULL) == WH_OK);
    struct wh_sub_options wanted = WH_SUB_OPTIONS_INIT;
    wanted.events = &sub_events;
    wanted.user = run;
    wanted.user_free = on_sub_user_free;
    wanted.min_resubscribe_ms = 1;
    wanted.max_resubscribe_ms = 2;
    CLAIM(wh_sub_new(run->client, "news", &wanted, &run->sub, NULL) == WH_OK);
}

static void by_connecting(struct run *run)
{
    CLAIM(wh_sub_subscribe(run->sub) == WH_OK);
    (void)wh_client_connect(run->client);
}

static void by_subscribing(struct run *run)
{
    CLAIM(wh_client_connect(run->client) == WH_OK);
    run_until(run, &run->is_connected);
    (void)wh_sub_subscribe(run->sub);
}

/* Connected and subscribed, and nothing is on its way. */
static void settle(struct run *run)
{
    by_connecting(run);
    run_until(run, &run->is_up);
}

static void by_disconnecting(struct run *run)
{
    settle(run);
    (void)wh_client_disconnect(run->client);
}

static void by_unsubscribing(struct run *run)
{
    settle(run);
    (void)wh_sub_unsubscribe(run->sub);
}

static void say(struct run *run, const char *push)
{
    (void)wh_client_rpc(run->client, "say", wh_json(push), NULL, NULL, NULL);
}

static void by_message(struct run *run)
{
    settle(run);
    say(run, "{\"push\":{\"message\":{\"data\":7}}}");
}

static void by_join(struct run *run)
{
    settle(run);
    say(run, "{\"push\":{\"channel\":\"news\",\"join\":{\"info\":{\"user\":\"u\"}}}}");
}

static void by_leave(struct run *run)
{
    settle(run);
    say(run, "{\"push\":{\"channel\":\"news\",\"leave\":{\"info\":{\"user\":\"u\"}}}}");
}

static void server_subscribe(struct run *run)
{
    say(run, "{\"push\":{\"channel\":\"srv\",\"subscribe\":{}}}");
}

static void by_server_subscribe(struct run *run)
{
    settle(run);
    server_subscribe(run);
}

static void by_server_publication(struct run *run)
{
    settle(run);
    server_subscribe(run);
    say(run, "{\"push\":{\"channel\":\"srv\",\"pub\":{\"data\":1}}}");
}

static void by_server_join(struct run *run)
{
    settle(run);
    server_subscribe(run);
    say(run, "{\"push\":{\"channel\":\"srv\",\"join\":{\"info\":{\"user\":\"u\"}}}}");
}

static void by_server_leave(struct run *run)
{
    settle(run);
    server_subscribe(run);
    say(run, "{\"push\":{\"channel\":\"srv\",\"leave\":{\"info\":{\"user\":\"u\"}}}}");
}

static void by_server_unsubscribe(struct run *run)
{
    settle(run);
    server_subscribe(run);
    say(run, "{\"push\":{\"channel\":\"srv\",\"unsubscribe\":{\"code\":2000}}}");
}

static void by_drop(struct run *run)
{
    settle(run);
    server_subscribe(run);
    (void)wh_client_rpc(run->client, "drop", wh_json("1"), NULL, NULL, NULL);
}

/* The options of a call that brings the callback; its handle outlives the client. */
static struct wh_call_options call_options(struct run *run)
{
    struct wh_call_options options = WH_CALL_OPTIONS_INIT;
    settle(run);
    options.user_free = on_call_user_free;
    options.out_call = &run->call;
    atomic_fetch_add(&run->calls.begun, 1);
    return options;
}

#define BY_CALL(name, call)                                                                        \
    static void name(struct run *run)                                                              \
    {                                                                                              \
        struct wh_call_options options = call_options(run);                                        \
        CLAIM(call == WH_OK);                                                                      \
    }
BY_CALL(by_rpc, wh_client_rpc(run->client, "echo", wh_json("1"), &options, on_rpc, run))
BY_CALL(by_publish, wh_client_publish(run->client, "a", wh_json("1"), &options, on_publish, run))
BY_CALL(by_history, wh_client_history(run->client, "a", NULL, &options, on_history, run))
BY_CALL(by_presence, wh_client_presence(run->client, "a", &options, on_presence, run))
BY_CALL(by_stats, wh_client_presence_stats(run->client, "a", &options, on_presence_stats, run))
BY_CALL(by_ping, wh_client_ping(run->client, &options, on_ping, run))
BY_CALL(by_sub_publish, wh_sub_publish(run->sub, wh_json("1"), &options, on_sub_publish, run))
BY_CALL(by_sub_history, wh_sub_history(run->sub, NULL, &options, on_sub_history, run))
BY_CALL(by_sub_presence, wh_sub_presence(run->sub, &options, on_sub_presence, run))
BY_CALL(by_sub_stats, wh_sub_presence_stats(run->sub, &options, on_sub_presence_stats, run))

static void by_sub_free(struct run *run)
{
    struct wh_sub *other = NULL;
    struct wh_sub_options options = WH_SUB_OPTIONS_INIT;
    settle(run);
    options.user = run;
    options.user_free = on_other_sub_user_free;
    CLAIM(wh_sub_new(run->client, "short", &options, &other, NULL) == WH_OK);
    wh_sub_free(other);
}

static void by_closing(struct run *run)
{
    struct wh_client_options options = WH_CLIENT_OPTIONS_INIT;
    options.url = "ws://localhost/ending";
    options.user = run;
    options.user_free = on_ending_user_free;
    options.runtime = run->runtime;
    settle(run);
    CLAIM(wh_client_new(&options, &run->ending, NULL) == WH_OK);
    run->has_ending = true;
    wh_client_close(run->ending, on_ending_done, run);
}

static void by_runtime_closing(struct run *run)
{
    struct wh_runtime *other = NULL;
    settle(run);
    CLAIM(wh_runtime_new(NULL, &other, NULL) == WH_OK);
    atomic_fetch_add(&run->runtimes_begun, 1);
    wh_runtime_close(other, on_runtime_done, run);
}

const struct scene scenes[] = {
    {"client.connecting", by_connecting, .client = CLIENT_COMING, .sub = SUB_COMING},
    {"client.connected", by_connecting, .client = CLIENT_UP, .sub = SUB_COMING},
    {"client.disconnected", by_disconnecting, .client = CLIENT_DOWN, .sub = SUB_WAITS},
    {"client.error", by_connecting, .client = CLIENT_WAITS, .sub = SUB_WAITS, .asks_token = true},
    {"client.message", by_message, .client = CLIENT_UP, .sub = SUB_UP},
    {"client.get_token", by_connecting, .client = CLIENT_WAITS, .sub = SUB_WAITS,
     .asks_token = true},
    {"client.get_token", by_connecting, .client = CLIENT_COMING, .sub = SUB_COMING,
     .asks_token = true, .is_answer_elsewhere = true},
    {"client.server_subscribed", by_server_subscribe, .client = CLIENT_UP, .sub = SUB_UP},
    {"client.server_subscribing", by_drop, .client = CLIENT_COMING, .sub = SUB_COMING},
    {"client.server_unsubscribed", by_server_unsubscribe, .client = CLIENT_UP, .sub = SUB_UP},
    {"client.server_unsubscribed_why", by_server_unsubscribe, .client = CLIENT_UP, .sub = SUB_UP},
    {"client.server_publication", by_server_publication, .client = CLIENT_UP, .sub = SUB_UP},
    {"client.server_join", by_server_join, .client = CLIENT_UP, .sub = SUB_UP},
    {"client.server_leave", by_server_leave, .client = CLIENT_UP, .sub = SUB_UP},
    {"sub.subscribing", by_subscribing, .client = CLIENT_UP, .sub = SUB_COMING},
    {"sub.subscribed", by_connecting, .client = CLIENT_UP, .sub = SUB_UP},
    {"sub.unsubscribed", by_unsubscribing, .client = CLIENT_UP, .sub = SUB_DOWN},
    {"sub.publication", by_connecting, .client = CLIENT_UP, .sub = SUB_UP},
    {"sub.join", by_join, .client = CLIENT_UP, .sub = SUB_UP},
    {"sub.leave", by_leave, .client = CLIENT_UP, .sub = SUB_UP},
    {"sub.error", by_subscribing, .client = CLIENT_UP, .sub = SUB_WAITS, .sub_asks_token = true},
    {"sub.get_token", by_subscribing, .client = CLIENT_UP, .sub = SUB_WAITS,
     .sub_asks_token = true},
    {"sub.get_token", by_subscribing, .client = CLIENT_UP, .sub = SUB_COMING,
     .sub_asks_token = true, .is_answer_elsewhere = true},
    {"sub.get_state", by_subscribing, .client = CLIENT_UP, .sub = SUB_WAITS, .asks_state = true},
    {"sub.get_state", by_subscribing, .client = CLIENT_UP, .sub = SUB_COMING, .asks_state = true,
     .is_answer_elsewhere = true},
    {"client.rpc", by_rpc, .client = CLIENT_UP, .sub = SUB_UP},
    {"client.publish", by_publish, .client = CLIENT_UP, .sub = SUB_UP},
    {"client.history", by_history, .client = CLIENT_UP, .sub = SUB_UP},
    {"client.presence", by_presence, .client = CLIENT_UP, .sub = SUB_UP},
    {"client.presence_stats", by_stats, .client = CLIENT_UP, .sub = SUB_UP},
    {"client.ping", by_ping, .client = CLIENT_UP, .sub = SUB_UP},
    {"sub.publish", by_sub_publish, .client = CLIENT_UP, .sub = SUB_UP},
    {"sub.history", by_sub_history, .client = CLIENT_UP, .sub = SUB_UP},
    {"sub.presence", by_sub_presence, .client = CLIENT_UP, .sub = SUB_UP},
    {"sub.presence_stats", by_sub_stats, .client = CLIENT_UP, .sub = SUB_UP},
    {"call.user_free", by_rpc, .client = CLIENT_UP, .sub = SUB_UP},
    {"sub.user_free", by_sub_free, .client = CLIENT_UP, .sub = SUB_UP},
    {"client.user_free", by_closing, .client = CLIENT_UP, .sub = SUB_UP},
    {"close.done", by_closing, .client = CLIENT_UP, .sub = SUB_UP},
    {"runtime.done", by_runtime_closing, .client = CLIENT_UP, .sub = SUB_UP},
};
const size_t scene_count = sizeof scenes / sizeof *scenes;
