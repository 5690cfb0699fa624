/* Runtimes and lives against a server without sockets (fake_service.h); callbacks:
 * test_callbacks.c. */
#include "fake_service.h"

#include <wirehub/wirehub.h>

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* One run: a client, a subscription, and what its callbacks do. */
struct run {
    enum wh_mode mode;
    struct wh_client *client;
    struct wh_sub *sub;
    const char *in;            /* the callback in which … */
    void (*act)(struct run *); /* … this is called, once */
    _Atomic bool is_acting;    /* or has acted */
    _Atomic bool is_freed;     /* wh_client_free has returned, wherever it was called */
    bool counts;               /* publications are numbered from 1 */
    _Atomic int inside, user_frees, sub_user_frees, publications;
};

/* For callbacks: cmocka knows its running test by thread, so a failing assertion on a thread of the
 * library ends the process from there, without a word or not at all. */
#define CLAIM(claim)                                                                               \
    do {                                                                                           \
        if (!(claim)) {                                                                            \
            fprintf(stderr, "%s:%d: false: %s\n", __FILE__, __LINE__, #claim);                     \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void enter(struct run *run, const char *name)
{
    CLAIM(atomic_fetch_add(&run->inside, 1) == 0); /* serial */
    CLAIM(!atomic_load(&run->is_freed));
    if (run->in && strcmp(run->in, name) == 0 && !atomic_exchange(&run->is_acting, true)) {
        run->act(run);
    }
    atomic_fetch_sub(&run->inside, 1);
}

static void on_connecting(struct wh_client *c, const struct wh_transition *w, void *user)
{
    (void)c, (void)w;
    enter(user, "connecting");
}
static void on_connected(struct wh_client *c, const struct wh_connected *w, void *user)
{
    (void)c, (void)w;
    enter(user, "connected");
}
static void on_disconnected(struct wh_client *c, const struct wh_transition *w, void *user)
{
    (void)c, (void)w;
    enter(user, "disconnected");
}
static void on_subscribing(struct wh_sub *s, const struct wh_transition *w, void *user)
{
    (void)s, (void)w;
    enter(user, "subscribing");
}
static void on_subscribed(struct wh_sub *s, const struct wh_subscribed *w, void *user)
{
    (void)s, (void)w;
    enter(user, "subscribed");
}
static void on_unsubscribed(struct wh_sub *s, const struct wh_transition *w, void *user)
{
    (void)s, (void)w;
    enter(user, "unsubscribed");
}
static void on_publication(struct wh_sub *s, const struct wh_publication *p, void *user)
{
    (void)s;
    struct run *run = user;
    const struct wh_publication *kept = wh_publication_ref(p);
    CLAIM(strcmp(kept->channel, p->channel) == 0);
    char expected[32];
    int len =
        snprintf(expected, sizeof expected, "{\"n\":%d}", atomic_load(&run->publications) + 1);
    if (run->counts)
        CLAIM(kept->data.len == (size_t)len &&
              memcmp(kept->data.ptr, expected, kept->data.len) == 0);
    wh_publication_unref(kept);
    atomic_fetch_add(&run->publications, 1);
    enter(user, "publication");
}
static void on_user_free(void *user)
{
    atomic_fetch_add(&((struct run *)user)->user_frees, 1);
}
static void on_sub_user_free(void *user)
{
    atomic_fetch_add(&((struct run *)user)->sub_user_frees, 1);
}
/* ---- what is done inside a callback ---- */

static void do_rpc_sync(struct run *run)
{
    struct wh_result *result = NULL;
    if (wh_client_rpc_sync(run->client, "echo", wh_json("1"), 0, &result, NULL) == WH_OK)
        CLAIM(result->data.ptr);
    wh_result_free(result);
}
/* ---- the run ---- */

static void make(struct run *run, struct wh_runtime *runtime)
{
    static const struct wh_client_events events = {
        WH_CLIENT_EVENTS_INIT, .connecting = on_connecting, .connected = on_connected,
        .disconnected = on_disconnected};
    static const struct wh_sub_events sub_events = {
        WH_SUB_EVENTS_INIT, .subscribing = on_subscribing, .subscribed = on_subscribed,
        .unsubscribed = on_unsubscribed, .publication = on_publication};
    struct wh_client_options options = WH_CLIENT_OPTIONS_INIT;
    options.url = "ws://localhost/connection/websocket";
    options.events = &events;
    options.user = run;
    options.user_free = on_user_free;
    options.runtime = runtime;
    struct wh_error error;
    assert_int_equal(wh_client_new(&options, &run->client, &error), WH_OK);
    struct wh_sub_options sub_options = WH_SUB_OPTIONS_INIT;
    sub_options.events = &sub_events;
    sub_options.user = run;
    sub_options.user_free = on_sub_user_free;
    assert_int_equal(wh_sub_new(run->client, "news", &sub_options, &run->sub, &error), WH_OK);
}

static void a_stalled_peer_does_not_hold_up_free(void **state)
{
    (void)state;
    fake_service_stall(true);
    struct run run = {.mode = WH_MODE_THREADED};
    make(&run, NULL);
    assert_int_equal(wh_client_connect(run.client), WH_OK);
    struct wh_error error;
    assert_int_equal(wh_client_connect_wait(run.client, 20, &error), WH_ETIMEOUT);
    wh_client_free(run.client);
    fake_service_stall(false);
    assert_int_equal(atomic_load(&run.user_frees), 1);
    assert_int_equal(fake_service_alive(), 0); /* the shared runtime went with its last client */
}

static void events_come_in_order_and_all_of_them(void **state)
{
    (void)state;
    fake_service_pushes(5000);
    struct run run = {.mode = WH_MODE_THREADED, .counts = true};
    make(&run, NULL);
    assert_int_equal(wh_sub_subscribe(run.sub), WH_OK);
    assert_int_equal(wh_client_connect_wait(run.client, 5000, NULL), WH_OK);
    while (atomic_load(&run.publications) < 5000)
        (void)poll(NULL, 0, 1);
    wh_client_free(run.client);
    fake_service_pushes(1);
    assert_int_equal(atomic_load(&run.publications), 5000);
}

static void do_leave_and_come_back(struct run *run)
{
    CLAIM(wh_sub_unsubscribe(run->sub) == WH_OK && wh_sub_subscribe(run->sub) == WH_OK);
}

static void on_runtime_closed(void *user)
{
    *(bool *)user = true;
}

/* What their callbacks cause comes back behind those who are still waiting for their turn. */
static void clients_of_a_foreign_loop_that_come_back_in_callbacks_are_not_forgotten(void **state)
{
    (void)state;
    enum { CLIENTS = 3 };
    struct run runs[CLIENTS];
    struct wh_runtime_options options = WH_RUNTIME_OPTIONS_INIT;
    int loop = 0; /* only its address is wanted */
    options.mode = WH_MODE_LOOP;
    options.loop = WH_LOOP_UV;
    options.foreign = &loop;
    struct wh_runtime *runtime = NULL;
    assert_int_equal(wh_runtime_new(&options, &runtime, NULL), WH_OK);
    for (size_t i = 0; i < CLIENTS; i++) {
        runs[i] =
            (struct run){.mode = WH_MODE_LOOP, .in = "publication", .act = do_leave_and_come_back};
        make(&runs[i], runtime);
        assert_int_equal(wh_sub_subscribe(runs[i].sub), WH_OK);
        assert_int_equal(wh_client_connect(runs[i].client), WH_OK);
    }
    while (fake_service_turn())
        continue;
    for (size_t i = 0; i < CLIENTS; i++) { /* one for each time that it subscribed */
        assert_int_equal(atomic_load(&runs[i].publications), 2);
        wh_client_free(runs[i].client);
    }
    bool is_closed = false;
    wh_runtime_close(runtime, on_runtime_closed, &is_closed);
    while (!is_closed)
        assert_true(fake_service_turn());
    assert_int_equal(fake_service_alive(), 0);
}

static void a_forked_child_is_told_so(void **state)
{
    (void)state;
    struct run run = {.mode = WH_MODE_THREADED};
    make(&run, NULL);
    assert_int_equal(wh_client_connect_wait(run.client, 5000, NULL), WH_OK);
    pid_t pid = fork();
    if (pid == 0) {
        bool is_told =
            wh_client_connect(run.client) == WH_EFORKED &&
            wh_sub_subscribe(run.sub) == WH_EFORKED &&
            wh_client_rpc_sync(run.client, "a", wh_json("1"), 0, NULL, NULL) == WH_EFORKED;
        wh_client_free(run.client);
        _exit(is_told ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    wh_client_free(run.client);
}

static void a_pumped_loop_has_no_threads(void **state)
{
    (void)state;
    struct wh_runtime_options options = WH_RUNTIME_OPTIONS_INIT;
    options.mode = WH_MODE_LOOP;
    struct wh_runtime *runtime = NULL;
    assert_int_equal(wh_runtime_new(&options, &runtime, NULL), WH_OK);
    struct run run = {.mode = WH_MODE_LOOP};
    make(&run, runtime);
    assert_int_equal(wh_sub_subscribe(run.sub), WH_OK);
    assert_int_equal(wh_client_connect_wait(run.client, 5000, NULL), WH_OK);
    while (atomic_load(&run.publications) == 0)
        assert_int_equal(wh_runtime_run_once(runtime, 10), WH_OK);
    do_rpc_sync(&run);
    wh_client_free(run.client);
    assert_int_equal(atomic_load(&run.user_frees), 1);
    wh_runtime_free(runtime);
    assert_int_equal(fake_service_alive(), 0);
}

/* ---- calls: each function asks for what it is named after ---- */

static void make_pumped(struct run *run, struct wh_runtime **out_runtime)
{
    struct wh_runtime_options options = WH_RUNTIME_OPTIONS_INIT;
    options.mode = WH_MODE_LOOP;
    assert_int_equal(wh_runtime_new(&options, out_runtime, NULL), WH_OK);
    *run = (struct run){.mode = WH_MODE_LOOP};
    make(run, *out_runtime);
}

static void is_done(struct wh_client *c, const struct wh_error *e, void *user)
{
    (void)c;
    assert_null(e);
    ++*(unsigned *)user;
}
static void has_data(struct wh_client *c,
                     const struct wh_error *e,
                     const struct wh_data *data,
                     void *user)
{
    is_done(c, e, user);
    assert_int_equal(data->len, strlen("{\"ok\":true}"));
}
static void has_history(struct wh_client *c,
                        const struct wh_error *e,
                        const struct wh_history *history,
                        void *user)
{
    is_done(c, e, user);
    assert_int_equal(history->count, 1);
}
static void has_presence(struct wh_client *c,
                         const struct wh_error *e,
                         const struct wh_presence *presence,
                         void *user)
{
    is_done(c, e, user);
    assert_int_equal(presence->count, 1);
}
static void has_stats(struct wh_client *c,
                      const struct wh_error *e,
                      const struct wh_presence_stats *stats,
                      void *user)
{
    is_done(c, e, user);
    assert_int_equal(stats->clients, 2);
}

static void every_call_brings_its_own_answer(void **state)
{
    (void)state;
    struct run run;
    struct wh_runtime *runtime;
    make_pumped(&run, &runtime);
    struct wh_client *client = run.client;
    assert_int_equal(wh_client_connect(client), WH_OK);
    assert_int_equal(wh_sub_subscribe_wait(run.sub, 5000, NULL), WH_OK);
    unsigned done = 0;
    /* Of a program that knows `limit` only: what stands behind is not its. */
    const struct wh_position not_there = {.offset = 1, .epoch = (const char *)1};
    const struct wh_history_options older = {
        .size = offsetof(struct wh_history_options, reverse), .limit = 1, .since = &not_there};
    const enum wh_err errs[] = {
        wh_client_rpc(client, "m", wh_json("1"), NULL, has_data, &done),
        wh_client_publish(client, "c", wh_json("1"), NULL, is_done, &done),
        wh_client_history(client, "c", &older, NULL, has_history, &done),
        wh_client_presence(client, "c", NULL, has_presence, &done),
        wh_client_presence_stats(client, "c", NULL, has_stats, &done),
        wh_client_ping(client, NULL, is_done, &done),
        wh_sub_publish(run.sub, wh_json("1"), NULL, is_done, &done),
        wh_sub_history(run.sub, NULL, NULL, has_history, &done),
        wh_sub_presence(run.sub, NULL, has_presence, &done),
        wh_sub_presence_stats(run.sub, NULL, has_stats, &done),
    };
    const size_t count = sizeof errs / sizeof *errs;
    for (size_t i = 0; i < count; i++)
        assert_int_equal(errs[i], WH_OK);
    while (done < count)
        assert_int_equal(wh_runtime_run_once(runtime, 10), WH_OK);
    struct wh_result *result = NULL;
    assert_int_equal(wh_client_rpc_sync(client, "m", wh_json("1"), 0, &result, NULL), WH_OK);
    assert_int_equal(result->data.len, strlen("{\"ok\":true}"));
    wh_result_free(result);
    assert_int_equal(wh_client_publish_sync(client, "c", wh_json("1"), 0, NULL), WH_OK);
    assert_int_equal(wh_client_history_sync(client, "c", NULL, 0, &result, NULL), WH_OK);
    assert_int_equal(result->history.position.offset, 1);
    wh_result_free(result);
    assert_int_equal(wh_client_presence_sync(client, "c", 0, &result, NULL), WH_OK);
    assert_int_equal(result->presence.count, 1);
    wh_result_free(result);
    assert_int_equal(wh_client_presence_stats_sync(client, "c", 0, &result, NULL), WH_OK);
    assert_int_equal(result->stats.users, 1);
    wh_result_free(result);
    wh_client_free(client);
    wh_runtime_free(runtime);
}

static void a_call_without_its_arguments_is_refused(void **state)
{
    (void)state;
    struct run run;
    struct wh_runtime *runtime;
    make_pumped(&run, &runtime);
    struct wh_client *client = run.client;
    struct wh_data data = wh_json("1");
    struct {
        struct wh_history_options known;
        uint64_t newer;
    } newer = {.known = {.size = sizeof newer}, .newer = 1};
    struct wh_error detail;
    const enum wh_err errs[] = {
        wh_client_rpc(client, NULL, data, NULL, NULL, NULL),
        wh_client_publish(client, NULL, data, NULL, NULL, NULL),
        wh_client_history(client, NULL, NULL, NULL, NULL, NULL),
        wh_client_presence(client, NULL, NULL, NULL, NULL),
        wh_client_presence_stats(client, NULL, NULL, NULL, NULL),
        wh_client_rpc(NULL, "m", data, NULL, NULL, NULL),
        wh_client_ping(NULL, NULL, NULL, NULL),
        wh_client_send(NULL, data),
        wh_sub_publish(NULL, data, NULL, NULL, NULL),
        wh_sub_history(NULL, NULL, NULL, NULL, NULL),
        wh_sub_presence(NULL, NULL, NULL, NULL),
        wh_sub_presence_stats(NULL, NULL, NULL, NULL),
    };
    for (size_t i = 0; i < sizeof errs / sizeof *errs; i++)
        assert_int_equal(errs[i], WH_EINVAL);
    assert_int_equal(wh_client_history(client, "c", &newer.known, NULL, NULL, NULL), WH_EABI);
    assert_int_equal(wh_sub_history(run.sub, &newer.known, NULL, NULL, NULL), WH_EABI);
    assert_int_equal(wh_client_rpc_sync(client, NULL, data, 0, NULL, &detail), WH_EINVAL);
    assert_string_equal(detail.text, "method: is NULL");
    assert_int_equal(wh_client_publish_sync(client, NULL, data, 0, &detail), WH_EINVAL);
    assert_string_equal(detail.text, "channel: is NULL");
    assert_int_equal(wh_client_history_sync(client, "c", &newer.known, 0, NULL, &detail), WH_EABI);
    assert_int_equal(strncmp(detail.text, "history options: ", 17), 0);
    assert_int_equal(wh_client_presence_sync(client, NULL, 0, NULL, NULL), WH_EINVAL);
    assert_int_equal(wh_client_presence_stats_sync(client, "c", 0, NULL, &detail),
                     WH_EDISCONNECTED);
    assert_string_equal(detail.text, wh_err_text(WH_EDISCONNECTED));
    wh_client_free(client);
    wh_runtime_free(runtime);
}

static void on_server_unsubscribed(struct wh_client *c, const char *channel, void *user)
{
    (void)c;
    char *heard = user;
    (void)snprintf(heard, 64, "%s", channel);
}
static void on_server_unsubscribed_why(struct wh_client *c,
                                       const char *channel,
                                       const struct wh_transition *why,
                                       void *user)
{
    (void)c;
    char *heard = user;
    (void)snprintf(heard, 64, "%s %u %s", channel, why->code, why->reason);
}

static void the_end_of_a_server_side_subscription_may_be_heard_with_its_reason(void **state)
{
    (void)state;
    static const struct {
        struct wh_client_events events;
        const char *heard;
    } cases[] = {
        {{WH_CLIENT_EVENTS_INIT, .server_unsubscribed = on_server_unsubscribed}, "own"},
        {{.server_unsubscribed = on_server_unsubscribed,
          .server_unsubscribed_why = on_server_unsubscribed_why},
         "own"}, /* without a size: version 1 */
        {{WH_CLIENT_EVENTS_INIT, .server_unsubscribed = on_server_unsubscribed,
          .server_unsubscribed_why = on_server_unsubscribed_why},
         "own 2000 kicked"},
        {{WH_CLIENT_EVENTS_INIT, .server_unsubscribed_why = on_server_unsubscribed_why},
         "own 2000 kicked"},
        {{WH_CLIENT_EVENTS_INIT}, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char heard[64] = "";
        struct wh_runtime_options runtime_options = WH_RUNTIME_OPTIONS_INIT;
        runtime_options.mode = WH_MODE_LOOP;
        struct wh_client_options options = WH_CLIENT_OPTIONS_INIT;
        options.url = "ws://localhost";
        options.events = &cases[i].events;
        options.user = heard;
        struct wh_client *client = NULL;
        assert_int_equal(wh_runtime_new(&runtime_options, &options.runtime, NULL), WH_OK);
        assert_int_equal(wh_client_new(&options, &client, NULL), WH_OK);
        assert_int_equal(wh_client_connect(client), WH_OK);
        assert_int_equal(wh_client_rpc_sync(client, "kick", wh_json("1"), 0, NULL, NULL), WH_OK);
        wh_client_free(client);
        wh_runtime_free(options.runtime);
        assert_string_equal(heard, cases[i].heard);
    }
}

/* ---- close, and a free behind it ---- */

struct closing {
    struct run run;
    _Atomic int dones;
};

static void on_closed(void *user)
{
    struct closing *closing = user;
    CLAIM(atomic_load(&closing->run.user_frees) == 1);
    atomic_fetch_add(&closing->dones, 1);
}

static void expect_closed(struct closing *closing)
{
    assert_int_equal(atomic_load(&closing->dones), 1);
    assert_int_equal(atomic_load(&closing->run.user_frees), 1);
    assert_int_equal(atomic_load(&closing->run.sub_user_frees), 1);
}

static void free_behind_a_close_returns_when_all_is_over(void **state)
{
    (void)state;
    static const enum wh_mode modes[] = {WH_MODE_LOOP, WH_MODE_DISPATCH};
    for (size_t i = 0; i < 2; i++) {
        struct closing closing = {.run.mode = modes[i]};
        struct wh_runtime_options options = WH_RUNTIME_OPTIONS_INIT;
        options.mode = modes[i];
        struct wh_runtime *runtime = NULL;
        assert_int_equal(wh_runtime_new(&options, &runtime, NULL), WH_OK);
        make(&closing.run, runtime);
        assert_int_equal(wh_client_connect_wait(closing.run.client, 5000, NULL), WH_OK);
        wh_client_close(closing.run.client, on_closed, &closing);
        wh_client_close(closing.run.client, on_closed, &closing); /* once is enough */
        assert_int_equal(atomic_load(&closing.dones), 0);         /* nobody ran callbacks */
        wh_client_free(closing.run.client);
        expect_closed(&closing);
        wh_runtime_free(runtime);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stalled_peer_does_not_hold_up_free),
        cmocka_unit_test(free_behind_a_close_returns_when_all_is_over),
        cmocka_unit_test(events_come_in_order_and_all_of_them),
        cmocka_unit_test(a_pumped_loop_has_no_threads),
        cmocka_unit_test(clients_of_a_foreign_loop_that_come_back_in_callbacks_are_not_forgotten),
        cmocka_unit_test(every_call_brings_its_own_answer),
        cmocka_unit_test(a_call_without_its_arguments_is_refused),
        cmocka_unit_test(the_end_of_a_server_side_subscription_may_be_heard_with_its_reason),
        cmocka_unit_test(a_forked_child_is_told_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
