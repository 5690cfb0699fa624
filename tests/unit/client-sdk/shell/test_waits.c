/* Waiting for a state, inside callbacks and beside them, against a server without sockets. */
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

#include <cmocka.h>

enum { WAIT_MS = 5000 };

/* One run: a client, a subscription, and what came of them. */
struct run {
    struct wh_client *client;
    struct wh_sub *sub;
    struct wh_sub *other;   /* subscribed inside the first publication, by waiting */
    enum wh_err waited;     /* what that gave */
    bool counts;            /* publications are numbered from 1 */
    uint64_t bytes_waiting; /* when the first publication came */
    size_t event_queue_bytes_max;
    bool asks_token;
    struct wh_token_request *token_request; /* not answered by the client */
    _Atomic int user_frees, publications, subscribings;
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

static void on_subscribing(struct wh_sub *s, const struct wh_transition *w, void *user)
{
    (void)s, (void)w;
    atomic_fetch_add(&((struct run *)user)->subscribings, 1);
}

static void on_publication(struct wh_sub *s, const struct wh_publication *p, void *user)
{
    (void)s;
    struct run *run = user;
    char expected[32];
    int n = atomic_load(&run->publications) + 1;
    int len = snprintf(expected, sizeof expected, "{\"n\":%d}", n);
    if (run->counts)
        CLAIM(p->data.len == (size_t)len && memcmp(p->data.ptr, expected, p->data.len) == 0);
    if (n == 1) {
        struct wh_client_stats stats = {.size = sizeof stats};
        wh_client_stats(run->client, &stats);
        run->bytes_waiting = stats.event_queue_bytes;
    }
    if (n == 1 && run->other)
        run->waited = wh_sub_subscribe_wait(run->other, WAIT_MS, NULL);
    atomic_fetch_add(&run->publications, 1);
}

static void on_get_token(struct wh_client *c, struct wh_token_request *request, void *user)
{
    (void)c;
    ((struct run *)user)->token_request = request;
}

static void on_user_free(void *user)
{
    atomic_fetch_add(&((struct run *)user)->user_frees, 1);
}

static void make(struct run *run, struct wh_runtime *runtime)
{
    static const struct wh_sub_events sub_events = {
        WH_SUB_EVENTS_INIT, .subscribing = on_subscribing, .publication = on_publication};
    static const struct wh_client_events asks_token = {WH_CLIENT_EVENTS_INIT,
                                                       .get_token = on_get_token};
    struct wh_client_options options = WH_CLIENT_OPTIONS_INIT;
    options.url = "ws://localhost/connection/websocket";
    options.events = run->asks_token ? &asks_token : NULL;
    options.user = run;
    options.user_free = on_user_free;
    options.runtime = runtime;
    options.event_queue_bytes_max = run->event_queue_bytes_max;
    struct wh_error error;
    assert_int_equal(wh_client_new(&options, &run->client, &error), WH_OK);
    struct wh_sub_options sub_options = WH_SUB_OPTIONS_INIT;
    sub_options.events = &sub_events;
    sub_options.user = run;
    assert_int_equal(wh_sub_new(run->client, "news", &sub_options, &run->sub, &error), WH_OK);
}

static struct wh_runtime *new_runtime(enum wh_mode mode)
{
    struct wh_runtime_options options = WH_RUNTIME_OPTIONS_INIT;
    struct wh_runtime *runtime = NULL;
    options.mode = mode;
    assert_int_equal(wh_runtime_new(&options, &runtime, NULL), WH_OK);
    return runtime;
}

/* So many events that what a first batch leaves is past the limit; then, inside a callback, a wait
 * for something that has to be read. */
static void wait_past_the_limit(struct run *run)
{
    enum { PUSHES = 1200 }; /* several batches of deliver.c */
    struct wh_runtime *runtime = new_runtime(WH_MODE_DISPATCH);
    struct wh_client_stats stats = {.size = sizeof stats};
    fake_service_pushes(PUSHES);
    make(run, runtime);
    if (run->event_queue_bytes_max > 0)
        assert_int_equal(wh_sub_new(run->client, "other", NULL, &run->other, NULL), WH_OK);
    assert_int_equal(wh_client_connect_wait(run->client, WAIT_MS, NULL), WH_OK);
    assert_int_equal(wh_sub_subscribe(run->sub), WH_OK);
    while (stats.events_waiting < PUSHES) {
        (void)poll(NULL, 0, 1);
        wh_client_stats(run->client, &stats);
    }
    fake_service_pushes(0);
    while (atomic_load(&run->publications) < PUSHES)
        (void)wh_client_dispatch(run->client, 0);
    wh_client_free(run->client);
    wh_runtime_free(runtime);
    fake_service_pushes(1);
}

static void who_waits_inside_a_callback_is_read_for_past_the_limit_of_events(void **state)
{
    (void)state;
    struct run measured = {.counts = true}, run = {.counts = true, .waited = WH_EINVAL};
    wait_past_the_limit(&measured);
    assert_true(measured.bytes_waiting > 0);
    run.event_queue_bytes_max = (size_t)measured.bytes_waiting * 3 / 4;
    wait_past_the_limit(&run);
    assert_true(run.bytes_waiting > run.event_queue_bytes_max);
    assert_int_equal(run.waited, WH_OK);
}

static void *wait_for_sub(void *user)
{
    struct run *run = user;
    run->waited = wh_sub_subscribe_wait(run->sub, WAIT_MS, NULL);
    return NULL;
}

static void who_waits_for_a_subscription_that_is_freed_is_told(void **state)
{
    (void)state;
    struct wh_runtime *runtime = new_runtime(WH_MODE_DISPATCH);
    struct run run = {.waited = WH_OK, .asks_token = true};
    pthread_t waiter;
    make(&run, runtime);
    assert_int_equal(wh_client_connect(run.client), WH_OK);
    assert_int_equal(pthread_create(&waiter, NULL, wait_for_sub, &run), 0);
    while (atomic_load(&run.subscribings) == 0 || !run.token_request)
        (void)wh_client_dispatch(run.client, 0);
    /* No event and no command needs it any more: the waiter alone does. */
    wh_sub_free(run.sub);
    assert_int_equal(pthread_join(waiter, NULL), 0);
    assert_int_equal(run.waited, WH_EUNSUBSCRIBED);
    wh_token_error(run.token_request, "never");
    wh_client_free(run.client);
    wh_runtime_free(runtime);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_waits_inside_a_callback_is_read_for_past_the_limit_of_events),
        cmocka_unit_test(who_waits_for_a_subscription_that_is_freed_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
