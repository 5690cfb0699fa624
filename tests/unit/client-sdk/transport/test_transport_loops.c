/* The service on loops that belong to the program: libuv, libev, GLib. */
#include "tests/support/fake_client.h"
#include "tests/support/raw_peer.h"

#include <ev.h>
#include <glib.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

enum { LIMIT_S = 30 };

/* One turn waits for an event, but not for ever: each has a timer of its own. */
struct program_loop {
    enum wh_loop kind;
    void *foreign;
    void (*turn)(struct program_loop *loop);
    bool (*close)(struct program_loop *loop); /* true: nothing was left on it */
    uv_loop_t uv;
    uv_timer_t uv_tick;
    struct ev_loop *ev;
    ev_timer ev_tick;
    GMainLoop *glib;
    guint glib_tick;
};

enum { TICK_MS = 20 };

/* ---- libuv --------------------------------------------------------------------------------- */

static void on_uv_tick(uv_timer_t *timer)
{
    (void)timer;
}

static void turn_uv(struct program_loop *loop)
{
    (void)uv_run(&loop->uv, UV_RUN_ONCE);
}

static bool close_uv(struct program_loop *loop)
{
    uv_close((uv_handle_t *)&loop->uv_tick, NULL);
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
    return uv_loop_close(&loop->uv) == 0;
}

static void open_uv(struct program_loop *loop)
{
    loop->kind = WH_LOOP_UV;
    loop->foreign = &loop->uv;
    loop->turn = turn_uv;
    loop->close = close_uv;
    assert_int_equal(uv_loop_init(&loop->uv), 0);
    assert_int_equal(uv_timer_init(&loop->uv, &loop->uv_tick), 0);
    assert_int_equal(uv_timer_start(&loop->uv_tick, on_uv_tick, TICK_MS, TICK_MS), 0);
}

/* ---- libev --------------------------------------------------------------------------------- */

static void on_ev_tick(struct ev_loop *ev, ev_timer *timer, int events)
{
    (void)ev;
    (void)timer;
    (void)events;
}

static void turn_ev(struct program_loop *loop)
{
    (void)ev_run(loop->ev, EVRUN_ONCE);
}

static bool close_ev(struct program_loop *loop)
{
    ev_timer_stop(loop->ev, &loop->ev_tick);
    bool is_empty = !ev_run(loop->ev, EVRUN_NOWAIT); /* false: no watcher is active */
    ev_loop_destroy(loop->ev);
    return is_empty;
}

static void open_ev(struct program_loop *loop)
{
    loop->kind = WH_LOOP_EV;
    loop->foreign = loop->ev = ev_loop_new(EVFLAG_AUTO);
    loop->turn = turn_ev;
    loop->close = close_ev;
    ev_timer_init(&loop->ev_tick, on_ev_tick, TICK_MS / 1000.0, TICK_MS / 1000.0);
    ev_timer_start(loop->ev, &loop->ev_tick);
}

/* ---- GLib ---------------------------------------------------------------------------------- */

static gboolean on_glib_tick(gpointer user)
{
    (void)user;
    return G_SOURCE_CONTINUE;
}

static void turn_glib(struct program_loop *loop)
{
    (void)g_main_context_iteration(g_main_loop_get_context(loop->glib), TRUE);
}

static bool close_glib(struct program_loop *loop)
{
    GMainContext *context = g_main_loop_get_context(loop->glib);
    g_source_destroy(g_main_context_find_source_by_id(context, loop->glib_tick));
    bool is_empty = !g_main_context_pending(context);
    g_main_loop_unref(loop->glib);
    return is_empty;
}

static void open_glib(struct program_loop *loop)
{
    GMainContext *context = g_main_context_new();
    GSource *tick = g_timeout_source_new(TICK_MS);
    loop->kind = WH_LOOP_GLIB;
    loop->foreign = loop->glib = g_main_loop_new(context, FALSE);
    loop->turn = turn_glib;
    loop->close = close_glib;
    g_source_set_callback(tick, on_glib_tick, NULL, NULL);
    loop->glib_tick = g_source_attach(tick, context);
    g_source_unref(tick);
    g_main_context_unref(context);
}

static void (*const openers[])(struct program_loop *loop) = {open_uv, open_ev, open_glib};
enum { KINDS = sizeof openers / sizeof *openers };

/* ---- driving ------------------------------------------------------------------------------- */

static unsigned wakes, dones, fired;

static void on_wake(void *user)
{
    (void)user;
    wakes++;
}

static void on_done(void *user)
{
    (void)user;
    dones++;
}

static void on_timer(struct service_timer *timer)
{
    (void)timer;
    fired++;
}

static struct service *open_service(struct program_loop *loop, unsigned kind)
{
    struct service *service;
    struct wh_error detail;
    memset(loop, 0, sizeof *loop);
    openers[kind](loop);
    const struct service_options options = {
        .loop = loop->kind, .foreign = loop->foreign, .on_wake = on_wake};
    if (service_new(&options, &service, &detail) != WH_OK)
        fail_msg("%s", detail.text);
    wakes = dones = fired = 0;
    return service;
}

static void pump(struct program_loop *loop, const unsigned *counter, unsigned wanted)
{
    time_t end = time(NULL) + LIMIT_S;
    while (*counter < wanted) {
        loop->turn(loop);
        if (time(NULL) > end)
            fail_msg("waited too long on loop %d", (int)loop->kind);
    }
}

static void close_service(struct program_loop *loop, struct service *service)
{
    service_free(service, on_done, NULL);
    pump(loop, &dones, 1);
    assert_true(loop->close(loop));
    assert_int_equal(dones, 1);
}

static void echo_script(struct raw_stream *stream, void *user)
{
    (void)user;
    if (raw_read_request(stream) && raw_upgrade(stream, NULL))
        raw_echo(stream);
}

static void wait_script(struct raw_stream *stream, void *user)
{
    (void)user;
    raw_wait_end(stream);
}

static void init_client(struct wh_client *client,
                        struct service *service,
                        const struct raw_peer *peer,
                        const char *host)
{
    char url[64];
    (void)snprintf(url, sizeof url, "ws://%s:%u/", host, raw_peer_port(peer));
    fake_client_init(client, service, url);
}

/* ---- tests --------------------------------------------------------------------------------- */

static void a_service_without_clients_leaves_the_loop_empty(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < KINDS; kind++) {
        struct program_loop loop;
        struct service *service = open_service(&loop, kind);
        loop.turn(&loop);
        close_service(&loop, service);
    }
}

static void a_client_talks_and_leaves_the_loop_empty(void **state)
{
    (void)state;
    static char payload[300000];
    memset(payload, 'x', sizeof payload);
    for (unsigned kind = 0; kind < KINDS; kind++) {
        struct program_loop loop;
        struct wh_client client;
        struct service *service = open_service(&loop, kind);
        struct raw_peer *peer = raw_peer_start(echo_script, NULL, NULL);
        init_client(&client, service, peer, "localhost");
        fake_open(&client);
        pump(&loop, &client.opened, 1);
        fake_send(&client, "hello", 5);
        fake_send(&client, payload, sizeof payload);
        time_t end = time(NULL) + LIMIT_S;
        while (client.message_count < 2 && time(NULL) < end)
            loop.turn(&loop);
        assert_int_equal(client.message_count, 2);
        assert_string_equal(client.messages[0]->bytes, "hello");
        assert_int_equal(client.messages[1]->len, sizeof payload);
        fake_close(&client, 1000, "bye");
        fake_client_deinit(&client);
        close_service(&loop, service);
        raw_peer_stop(peer);
    }
}

static void what_was_not_read_comes_when_it_is_wanted(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < KINDS; kind++) {
        struct program_loop loop;
        struct wh_client client;
        struct service *service = open_service(&loop, kind);
        struct raw_peer *peer = raw_peer_start(echo_script, NULL, NULL);
        init_client(&client, service, peer, "127.0.0.1");
        fake_open(&client);
        pump(&loop, &client.opened, 1);
        fake_set_reading(&client, false);
        for (int i = 0; i < 20; i++)
            fake_send(&client, "hello", 5);
        for (int i = 0; i < 10; i++)
            loop.turn(&loop);
        assert_int_equal(client.message_count, 0);
        fake_set_reading(&client, true);
        time_t end = time(NULL) + LIMIT_S;
        while (client.message_count < 20 && time(NULL) < end)
            loop.turn(&loop);
        assert_int_equal(client.message_count, 20);
        fake_client_deinit(&client);
        close_service(&loop, service);
        raw_peer_stop(peer);
    }
}

static void a_failed_connection_and_a_second_one_work(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < KINDS; kind++) {
        struct program_loop loop;
        struct wh_client client, refused;
        struct service *service = open_service(&loop, kind);
        struct raw_peer *nobody = raw_peer_start(NULL, NULL, NULL);
        struct raw_peer *peer = raw_peer_start(echo_script, NULL, NULL);
        init_client(&refused, service, nobody, "localhost");
        raw_peer_stop(nobody);
        init_client(&client, service, peer, "localhost");
        fake_open(&refused);
        pump(&loop, &refused.closed, 1);
        fake_open(&refused);
        fake_open(&client);
        pump(&loop, &refused.closed, 2);
        pump(&loop, &client.opened, 1);
        fake_client_deinit(&refused);
        fake_client_deinit(&client);
        close_service(&loop, service);
        raw_peer_stop(peer);
    }
}

static void *wake_from_thread(void *service)
{
    service_wake(service);
    return NULL;
}

static void timers_and_wakes_reach_the_loop(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < KINDS; kind++) {
        struct program_loop loop;
        pthread_t thread;
        struct service_timer timer = {.fn = on_timer};
        struct service *service = open_service(&loop, kind);
        for (int i = 0; i < 5; i++)
            loop.turn(&loop);
        service_timer_start(service, &timer, 1);
        pump(&loop, &fired, 1);
        assert_int_equal(pthread_create(&thread, NULL, wake_from_thread, service), 0);
        pump(&loop, &wakes, 1);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(fired, 1);
        close_service(&loop, service);
    }
}

static void everything_can_be_freed_in_every_state(void **state)
{
    (void)state;
    static raw_script *const scripts[] = {echo_script, wait_script};
    for (unsigned kind = 0; kind < KINDS; kind++)
        for (unsigned i = 0; i < 60; i++) {
            struct program_loop loop;
            struct wh_client client;
            struct service *service = open_service(&loop, kind);
            struct raw_peer *peer = raw_peer_start(i % 3 ? scripts[i % 2] : NULL, NULL, NULL);
            init_client(&client, service, peer, i % 4 ? "127.0.0.1" : "localhost");
            client.settings.close_timeout_ms = 1 + i % 7;
            fake_open(&client);
            for (unsigned turn = 0; turn < i / 6; turn++)
                loop.turn(&loop);
            if (i % 5 == 0)
                fake_close(&client, 1000, "over");
            fake_client_deinit(&client);
            close_service(&loop, service);
            raw_peer_stop(peer);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_service_without_clients_leaves_the_loop_empty),
        cmocka_unit_test(a_client_talks_and_leaves_the_loop_empty),
        cmocka_unit_test(what_was_not_read_comes_when_it_is_wanted),
        cmocka_unit_test(a_failed_connection_and_a_second_one_work),
        cmocka_unit_test(timers_and_wakes_reach_the_loop),
        cmocka_unit_test(everything_can_be_freed_in_every_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
