/* The functions of wirehub/client.h: what they take, what they say in which state. */
#include "fake_service.h"
#include "loop_client.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

static int unstall(void **state)
{
    (void)state;
    fake_service_stall(false);
    return 0;
}

/* ---- arguments ------------------------------------------------------------------------------- */

static void no_function_minds_a_null(void **state)
{
    (void)state;
    struct wh_client_stats stats = {.size = sizeof stats, .connects = 7};
    struct wh_error error = {.text = ""};
    struct wh_client *client = NULL;
    struct wh_client_options options = loop_options();
    assert_int_equal(wh_client_new(NULL, &client, &error), WH_EINVAL);
    assert_string_not_equal(error.text, "");
    assert_int_equal(wh_client_new(&options, NULL, NULL), WH_EINVAL);
    assert_null(client);
    assert_int_equal(wh_client_connect(NULL), WH_EINVAL);
    assert_int_equal(wh_client_connect_wait(NULL, 1, &error), WH_EINVAL);
    assert_int_equal(error.err, WH_EINVAL);
    assert_int_equal(wh_client_disconnect(NULL), WH_EINVAL);
    assert_int_equal(wh_client_reconnect_now(NULL), WH_EINVAL);
    assert_int_equal(wh_client_set_token(NULL, "t"), WH_EINVAL);
    wh_client_free(NULL);
    wh_client_close(NULL, NULL, NULL);
    assert_int_equal(wh_client_state(NULL), WH_CLIENT_CLOSED);
    assert_null(wh_client_user(NULL));
    assert_int_equal(wh_client_fd(NULL), -1);
    assert_int_equal(wh_client_dispatch(NULL, 0), 0);
    wh_client_batch_begin(NULL);
    wh_client_batch_end(NULL);
    wh_client_stats(NULL, &stats);
    assert_int_equal(stats.connects, 0);
    wh_client_stats(NULL, NULL);
    assert_null(wh_client_open(NULL, NULL));
    assert_null(wh_client_sub(NULL, "news"));
    wh_token_ok(NULL, "t");
    wh_token_unauthorized(NULL);
    wh_token_error(NULL, NULL);
    assert_int_equal(wh_client_options_set(NULL, "url", "x", &error), WH_EINVAL);
    assert_int_equal(wh_client_options_set(&options, NULL, "x", NULL), WH_EINVAL);
    assert_int_equal(wh_client_options_set(&options, "url", NULL, NULL), WH_EINVAL);
    assert_int_equal(fake_service_alive(), 0);
}

static void states_have_names(void **state)
{
    (void)state;
    static const char *const names[] = {"disconnected", "connecting", "connected", "closed"};
    for (unsigned i = 0; i < 4; i++)
        assert_string_equal(wh_client_state_name((enum wh_client_state)i), names[i]);
    assert_string_equal(wh_client_state_name((enum wh_client_state)4), "unknown");
}

/* A program of an older library has shorter options, one of a newer has longer ones. */
static void options_of_other_versions_are_understood_or_refused(void **state)
{
    (void)state;
    struct {
        struct wh_client_options options;
        uint64_t newer; /* no padding behind it */
    } longer = {.options = loop_options(), .newer = 0};
    struct wh_error error = {.text = ""};
    struct wh_client *client = NULL;
    longer.options.size = sizeof longer;
    assert_int_equal(wh_client_new(&longer.options, &client, &error), WH_OK);
    wh_client_free(client);
    longer.newer = 1;
    client = NULL;
    assert_int_equal(wh_client_new(&longer.options, &client, &error), WH_EABI);
    assert_non_null(strstr(error.text, "options"));
    assert_null(wh_client_open("ws://h", &longer.options));
    longer.options.size = 1;
    assert_int_equal(wh_client_new(&longer.options, &client, &error), WH_EINVAL);
    assert_null(client);
    /* Without the last field: what stands there is not the program's. */
    longer.options.size = offsetof(struct wh_client_options, runtime);
    longer.options.runtime = (struct wh_runtime *)(void *)&longer;
    assert_int_equal(wh_client_new(&longer.options, &client, &error), WH_OK);
    wh_client_free(client);
}

static void a_refused_client_leaves_nothing(void **state)
{
    (void)state;
    struct loop_client loop = {.user_frees = 0};
    struct wh_client_options options = loop_options();
    struct wh_client *client = NULL;
    options.url = "http://h";
    options.user = &loop;
    options.user_free = loop_on_user_free;
    assert_int_equal(wh_client_new(&options, &client, NULL), WH_EINVAL);
    assert_null(client);
    assert_null(wh_client_open(NULL, &options));
    assert_int_equal(loop.user_frees, 0);
    assert_int_equal(fake_service_alive(), 0);
}

/* ---- states ---------------------------------------------------------------------------------- */

static void a_new_client_is_disconnected(void **state)
{
    (void)state;
    struct loop_client loop;
    struct wh_client_options options = loop_options();
    loop_init(&loop, &options);
    assert_int_equal(wh_client_state(loop.client), WH_CLIENT_DISCONNECTED);
    assert_ptr_equal(wh_client_user(loop.client), &loop);
    assert_int_equal(wh_client_fd(loop.client), -1);
    assert_int_equal(wh_client_dispatch(loop.client, 0), 0);
    loop_settle(&loop);
    assert_int_equal(wh_client_disconnect(loop.client), WH_OK);
    assert_int_equal(wh_client_reconnect_now(loop.client), WH_OK);
    loop_settle(&loop);
    assert_int_equal(wh_client_state(loop.client), WH_CLIENT_DISCONNECTED);
    assert_said(&loop, "");
    loop_deinit(&loop);
    assert_string_equal(loop.said, "user_free; ");
}

static void connecting_twice_is_connecting_once(void **state)
{
    (void)state;
    struct loop_client loop;
    struct wh_client_options options = loop_options();
    loop_init(&loop, &options);
    assert_int_equal(wh_client_connect(loop.client), WH_OK);
    assert_int_equal(wh_client_state(loop.client), WH_CLIENT_CONNECTING);
    assert_int_equal(wh_client_connect(loop.client), WH_OK);
    assert_said(&loop, ""); /* no callback before the loop turns */
    loop_until(&loop, WH_CLIENT_CONNECTED);
    assert_int_equal(wh_client_connect(loop.client), WH_OK);
    assert_int_equal(wh_client_connect_wait(loop.client, 0, NULL), WH_OK);
    loop_settle(&loop);
    assert_said(&loop, "connecting 0; connected; ");
    loop_deinit(&loop);
    assert_string_equal(loop.said, "disconnected 0; user_free; ");
}

static void disconnect_ends_every_state_and_connect_comes_back(void **state)
{
    (void)state;
    struct loop_client loop;
    struct wh_client_options options = loop_options();
    loop_init(&loop, &options);
    struct wh_sub *sub = wh_client_subscribe(loop.client, "news", NULL, NULL);
    assert_int_equal(wh_client_connect(loop.client), WH_OK);
    assert_int_equal(wh_client_disconnect(loop.client), WH_OK);
    assert_int_equal(wh_client_state(loop.client), WH_CLIENT_DISCONNECTED);
    loop_settle(&loop);
    assert_said(&loop, "connecting 0; disconnected 0; ");
    loop_connect(&loop);
    assert_int_equal(wh_sub_state(sub), WH_SUB_SUBSCRIBED);
    assert_int_equal(wh_client_disconnect(loop.client), WH_OK);
    assert_int_equal(wh_client_disconnect(loop.client), WH_OK);
    assert_int_equal(wh_sub_state(sub), WH_SUB_SUBSCRIBING);
    loop_settle(&loop);
    assert_said(&loop, "connecting 0; connected; disconnected 0; ");
    loop_connect(&loop);
    assert_int_equal(wh_sub_state(sub), WH_SUB_SUBSCRIBED);
    loop_deinit(&loop);
}

/* The back-off is so long that only reconnect_now can be it. */
static void reconnect_now_does_not_wait(void **state)
{
    (void)state;
    struct loop_client loop;
    struct wh_client_options options = loop_options();
    options.min_reconnect_ms = options.max_reconnect_ms = UINT32_C(1) << 31;
    loop_init(&loop, &options);
    loop_connect(&loop);
    assert_int_equal(wh_client_reconnect_now(loop.client), WH_OK);
    loop_settle(&loop);
    assert_said(&loop, "connecting 0; connected; ");
    assert_int_equal(wh_client_rpc(loop.client, "drop", wh_json("1"), NULL, NULL, NULL), WH_OK);
    loop_until(&loop, WH_CLIENT_CONNECTING);
    assert_said(&loop, "connecting 1; ");
    assert_int_equal(wh_client_reconnect_now(loop.client), WH_OK);
    loop_until(&loop, WH_CLIENT_CONNECTED);
    assert_said(&loop, "connected; ");
    loop_deinit(&loop);
}

static void note_done(void *user)
{
    loop_say(user, "done; ");
}

static void note_call(struct wh_client *client, const struct wh_error *error, void *user)
{
    (void)client;
    loop_say(user, "call %s; ", error ? wh_err_name(error->err) : "WH_OK");
}

static void note_unsubscribed(struct wh_sub *sub, const struct wh_transition *why, void *user)
{
    (void)sub;
    loop_say(user, "unsubscribed %u; ", why->code);
}

static void a_closing_client_says_its_end_in_order(void **state)
{
    (void)state;
    static const struct wh_sub_events sub_events = {WH_SUB_EVENTS_INIT,
                                                    .unsubscribed = note_unsubscribed};
    struct loop_client loop;
    struct wh_client_options options = loop_options();
    struct wh_sub_options sub_options = WH_SUB_OPTIONS_INIT;
    struct wh_sub *sub = NULL;
    loop_init(&loop, &options);
    loop_connect(&loop);
    sub_options.events = &sub_events;
    sub_options.user = &loop;
    assert_int_equal(wh_sub_new(loop.client, "news", &sub_options, &sub, NULL), WH_OK);
    assert_int_equal(wh_sub_subscribe_wait(sub, LOOP_LIMIT_S * 1000, NULL), WH_OK);
    assert_int_equal(wh_client_publish(loop.client, "news", wh_json("1"), NULL, note_call, &loop),
                     WH_OK);
    loop_settle(&loop);
    assert_said(&loop, "connecting 0; connected; call WH_OK; ");
    fake_service_stall(true);
    assert_int_equal(wh_client_publish(loop.client, "news", wh_json("1"), NULL, note_call, &loop),
                     WH_OK);
    wh_client_close(loop.client, note_done, &loop);
    assert_int_equal(wh_client_state(loop.client), WH_CLIENT_CLOSED);
    assert_said(&loop, "");
    /* Still there until `done`, but for nothing more. */
    struct wh_client *client = loop.client;
    struct wh_error error = {.text = ""};
    assert_int_equal(wh_client_connect(client), WH_ECLOSED);
    assert_int_equal(wh_client_connect_wait(client, 1, &error), WH_ECLOSED);
    assert_string_not_equal(error.text, "");
    assert_int_equal(wh_client_disconnect(client), WH_ECLOSED);
    assert_int_equal(wh_client_reconnect_now(client), WH_ECLOSED);
    assert_int_equal(wh_client_set_token(client, "t"), WH_ECLOSED);
    assert_int_equal(wh_client_send(client, wh_json("1")), WH_ECLOSED);
    assert_int_equal(wh_client_ping(client, NULL, NULL, NULL), WH_ECLOSED);
    assert_int_equal(wh_client_rpc_sync(client, "a", wh_json("1"), 0, NULL, NULL), WH_ECLOSED);
    assert_int_equal(wh_sub_new(client, "new", NULL, &sub, &error), WH_ECLOSED);
    assert_int_equal(wh_sub_subscribe(sub), WH_ECLOSED);
    assert_int_equal(wh_sub_subscribe_wait(sub, 1, NULL), WH_ECLOSED);
    assert_int_equal(wh_sub_unsubscribe(sub), WH_ECLOSED);
    wh_client_close(client, note_done, &loop); /* again: nothing */
    for (unsigned i = 0; !strstr(loop.said, "done"); i++)
        loop_turn(&loop);
    loop_settle(&loop);
    fake_service_stall(false);
    assert_string_equal(loop.said,
                        "call WH_ECLOSED; unsubscribed 2; disconnected 0; user_free; done; ");
    wh_runtime_free(loop.runtime);
    assert_int_equal(fake_service_alive(), 0);
}

/* ---- waiting for a connection ---------------------------------------------------------------- */

static void connect_wait_ends_and_the_client_goes_on(void **state)
{
    (void)state;
    struct loop_client loop;
    struct wh_client_options options = loop_options();
    struct wh_error error = {.text = ""};
    loop_init(&loop, &options);
    fake_service_stall(true);
    assert_int_equal(wh_client_connect_wait(loop.client, 1, &error), WH_ETIMEOUT);
    assert_int_equal(error.err, WH_ETIMEOUT);
    assert_true(error.temporary);
    assert_string_not_equal(error.text, "");
    assert_int_equal(wh_client_connect_wait(loop.client, 0, NULL), WH_ETIMEOUT);
    assert_int_equal(wh_client_state(loop.client), WH_CLIENT_CONNECTING);
    fake_service_stall(false);
    assert_int_equal(wh_client_connect_wait(loop.client, LOOP_LIMIT_S * 1000, &error), WH_OK);
    assert_int_equal(wh_client_state(loop.client), WH_CLIENT_CONNECTED);
    loop_deinit(&loop);
}

static void connect_wait_says_who_refused(void **state)
{
    (void)state;
    struct loop_client loop;
    struct wh_client_options options = loop_options();
    struct wh_error error = {.text = ""};
    options.token = "denied";
    loop_init(&loop, &options);
    assert_int_equal(wh_client_connect_wait(loop.client, LOOP_LIMIT_S * 1000, &error),
                     WH_EUNAUTHORIZED);
    assert_int_equal(error.err, WH_EUNAUTHORIZED);
    assert_int_equal(error.code, 101);
    assert_string_equal(error.text, "unauthorized");
    loop_settle(&loop);
    assert_said(&loop, "connecting 0; disconnected 101; ");
    assert_int_equal(wh_client_set_token(loop.client, NULL), WH_OK);
    assert_int_equal(wh_client_connect_wait(loop.client, LOOP_LIMIT_S * 1000, &error), WH_OK);
    loop_deinit(&loop);
}

static void an_expired_token_that_nobody_renews_is_final(void **state)
{
    (void)state;
    struct loop_client loop;
    struct wh_client_options options = loop_options();
    struct wh_error error = {.text = ""};
    options.token = "expired";
    loop_init(&loop, &options);
    assert_int_equal(wh_client_connect_wait(loop.client, LOOP_LIMIT_S * 1000, &error),
                     WH_EUNAUTHORIZED);
    loop_settle(&loop);
    assert_said(&loop, "connecting 0; disconnected 1; ");
    assert_int_equal(loop.error.code, WH_CODE_BAD_CONFIGURATION);
    loop_deinit(&loop);
}

/* disconnected 1 "transport closed" is not disconnected 1 "unauthorized". */
static void without_reconnecting_the_first_failure_is_final_and_no_refusal(void **state)
{
    (void)state;
    struct loop_client loop;
    struct wh_client_options options = loop_options();
    struct wh_error error = {.text = ""};
    options.no_reconnect = true;
    options.timeout_ms = 1;
    fake_service_stall(true); /* no reply to the connect command */
    loop_init(&loop, &options);
    assert_int_equal(wh_client_connect_wait(loop.client, LOOP_LIMIT_S * 1000, &error), WH_ECONNECT);
    assert_int_equal(error.err, WH_ECONNECT);
    loop_settle(&loop);
    assert_said(&loop, "connecting 0; disconnected 1; ");
    fake_service_stall(false);
    loop_deinit(&loop);
}

static void act_and_wait(struct wh_client *client, const struct wh_connected *connected, void *user)
{
    struct loop_client *loop = user;
    struct wh_error error = {.text = ""};
    (void)connected;
    assert_int_equal(wh_client_connect_wait(client, 1, &error), WH_EWOULDDEADLOCK);
    assert_string_not_equal(error.text, "");
    assert_int_equal(wh_client_rpc_sync(client, "a", wh_json("1"), 0, NULL, &error),
                     WH_EWOULDDEADLOCK);
    assert_int_equal(wh_runtime_run_once(loop->runtime, 0), WH_EWOULDDEADLOCK);
    loop_say(loop, "inside; ");
}

static void waiting_inside_a_callback_of_a_pumped_loop_would_be_for_ever(void **state)
{
    (void)state;
    static const struct wh_client_events events = {WH_CLIENT_EVENTS_INIT,
                                                   .connected = act_and_wait};
    struct loop_client loop;
    struct wh_client_options options = loop_options();
    options.events = &events;
    loop_init(&loop, &options);
    loop_connect(&loop);
    assert_said(&loop, "inside; ");
    loop_deinit(&loop);
}

/* ---- tokens ---------------------------------------------------------------------------------- */

static void a_token_may_be_answered_later(void **state)
{
    (void)state;
    struct loop_client loop;
    struct wh_client_options options = loop_options();
    options.events = &loop_token_events;
    loop_init(&loop, &options);
    assert_int_equal(wh_client_connect(loop.client), WH_OK);
    loop_pump(&loop, &loop.token_asks, 1);
    loop_settle(&loop);
    assert_int_equal(wh_client_state(loop.client), WH_CLIENT_CONNECTING);
    wh_token_error(loop.request, "not now");
    loop_pump(&loop, &loop.token_asks, 2); /* asked again */
    assert_non_null(strstr(loop.error.text, "not now"));
    assert_int_equal(loop.error.code, WH_CODE_CONNECT_TOKEN);
    wh_token_ok(loop.request, "t");
    loop_until(&loop, WH_CLIENT_CONNECTED);
    assert_int_equal(loop.token_asks, 2);
    assert_said(&loop, "connecting 0; connected; ");
    loop_deinit(&loop);
}

static void unauthorized_is_final(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct loop_client loop;
        struct wh_client_options options = loop_options();
        options.events = &loop_token_events;
        loop_init(&loop, &options);
        assert_int_equal(wh_client_connect(loop.client), WH_OK);
        loop_pump(&loop, &loop.token_asks, 1);
        if (i == 0)
            wh_token_unauthorized(loop.request);
        else
            wh_token_ok(loop.request, "");
        loop_settle(&loop);
        assert_said(&loop, "connecting 0; disconnected 1; ");
        loop_deinit(&loop);
    }
}

static void a_lost_answer_is_a_time_out_and_a_late_one_nothing(void **state)
{
    (void)state;
    struct loop_client loop;
    struct wh_client_options options = loop_options();
    options.events = &loop_token_events;
    options.token_timeout_ms = 1;
    loop_init(&loop, &options);
    assert_int_equal(wh_client_connect(loop.client), WH_OK);
    loop_pump(&loop, &loop.token_asks, 1);
    struct wh_token_request *late = loop.request;
    loop_pump(&loop, &loop.errors, 1);
    assert_int_equal(loop.error.err, WH_ETIMEOUT);
    loop_pump(&loop, &loop.token_asks, 2);
    wh_token_unauthorized(late);
    loop_settle(&loop);
    assert_int_equal(wh_client_state(loop.client), WH_CLIENT_CONNECTING);
    late = loop.request;
    loop_deinit(&loop);
    wh_token_ok(late, "t"); /* its client is gone */
}

static void a_token_that_is_set_needs_no_answer(void **state)
{
    (void)state;
    struct loop_client loop;
    struct wh_client_options options = loop_options();
    options.events = &loop_token_events;
    loop_init(&loop, &options);
    assert_int_equal(wh_client_connect(loop.client), WH_OK);
    loop_pump(&loop, &loop.token_asks, 1);
    assert_int_equal(wh_client_set_token(loop.client, "t"), WH_OK);
    loop_until(&loop, WH_CLIENT_CONNECTED);
    wh_token_unauthorized(loop.request);
    loop_settle(&loop);
    assert_said(&loop, "connecting 0; connected; ");
    loop_deinit(&loop);
}

/* ---- batches, counters ----------------------------------------------------------------------- */

static struct wh_client_stats stats_of(const struct loop_client *loop)
{
    struct wh_client_stats stats = {.size = sizeof stats};
    wh_client_stats(loop->client, &stats);
    assert_int_equal(stats.size, sizeof stats);
    return stats;
}

static void publish(struct loop_client *loop, const char *json)
{
    assert_int_equal(wh_client_publish(loop->client, "news", wh_json(json), NULL, NULL, NULL),
                     WH_OK);
}

static void a_batch_leaves_in_one_frame(void **state)
{
    (void)state;
    struct loop_client loop;
    struct wh_client_options options = loop_options();
    loop_init(&loop, &options);
    loop_connect(&loop);
    uint64_t before = stats_of(&loop).frames_out;
    publish(&loop, "1");
    loop_settle(&loop);
    publish(&loop, "2");
    loop_settle(&loop);
    assert_int_equal(stats_of(&loop).frames_out, before + 2);
    wh_client_batch_begin(loop.client);
    publish(&loop, "3");
    loop_settle(&loop);
    wh_client_batch_begin(loop.client);
    publish(&loop, "4");
    wh_client_batch_end(loop.client);
    loop_settle(&loop);
    assert_int_equal(stats_of(&loop).frames_out, before + 2);
    assert_int_equal(stats_of(&loop).calls_in_flight, 2);
    assert_true(stats_of(&loop).send_queue_bytes > 0);
    wh_client_batch_end(loop.client);
    loop_settle(&loop);
    assert_int_equal(stats_of(&loop).frames_out, before + 3);
    assert_int_equal(stats_of(&loop).calls_in_flight, 0);
    wh_client_batch_end(loop.client); /* one too many: nothing */
    publish(&loop, "5");
    loop_settle(&loop);
    assert_int_equal(stats_of(&loop).frames_out, before + 4);
    loop_deinit(&loop);
}

static void a_large_batch_leaves_in_a_few_frames(void **state)
{
    (void)state;
    static char json[20000];
    struct loop_client loop;
    struct wh_client_options options = loop_options();
    memset(json, '1', sizeof json - 1);
    loop_init(&loop, &options);
    loop_connect(&loop);
    uint64_t before = stats_of(&loop).frames_out;
    wh_client_batch_begin(loop.client);
    for (unsigned i = 0; i < 4; i++)
        publish(&loop, json);
    wh_client_batch_end(loop.client);
    loop_settle(&loop);
    assert_int_equal(stats_of(&loop).frames_out, before + 4); /* two are past 32 KiB */
    assert_int_equal(stats_of(&loop).calls_in_flight, 0);
    loop_deinit(&loop);
}

static void note_publication(struct wh_sub *sub, const struct wh_publication *p, void *user)
{
    (void)sub, (void)user;
    assert_string_equal(p->channel, "news");
}

static void counters_count(void **state)
{
    (void)state;
    struct loop_client loop;
    struct wh_client_options options = loop_options();
    loop_init(&loop, &options);
    struct wh_client_stats stats = stats_of(&loop);
    assert_int_equal(stats.connects + stats.frames_in + stats.frames_out + stats.bytes_out, 0);
    assert_non_null(wh_client_subscribe(loop.client, "news", note_publication, NULL));
    loop_connect(&loop);
    stats = stats_of(&loop);
    assert_int_equal(stats.connects, 1);
    assert_int_equal(stats.reconnects, 0);
    assert_int_equal(stats.frames_in, 3); /* connect, subscribe, a publication */
    assert_int_equal(stats.publications, 1);
    assert_true(stats.bytes_in > 0 && stats.bytes_out > 0);
    assert_true(stats.event_queue_bytes_high > 0);
    assert_int_equal(stats.events_waiting, 0);
    assert_int_equal(wh_client_disconnect(loop.client), WH_OK);
    assert_int_equal(stats_of(&loop).events_waiting, 2); /* subscribing, disconnected */
    assert_true(stats_of(&loop).event_queue_bytes > 0);
    loop_connect(&loop);
    assert_int_equal(stats_of(&loop).connects, 2);
    assert_int_equal(stats_of(&loop).reconnects, 1);
    loop_deinit(&loop);
}

/* `size` is how much of it the program knows. */
static void counters_fill_what_the_program_knows(void **state)
{
    (void)state;
    struct loop_client loop;
    struct wh_client_options options = loop_options();
    struct {
        struct wh_client_stats stats;
        uint64_t newer;
    } longer = {.stats.size = sizeof longer, .newer = 9};
    struct wh_client_stats shorter;
    loop_init(&loop, &options);
    loop_connect(&loop);
    memset(&shorter, 0xee, sizeof shorter);
    shorter.size = offsetof(struct wh_client_stats, reconnects);
    wh_client_stats(loop.client, &shorter);
    assert_int_equal(shorter.connects, 1);
    assert_int_equal(shorter.reconnects, UINT64_C(0xeeeeeeeeeeeeeeee));
    assert_int_equal(shorter.size, offsetof(struct wh_client_stats, reconnects));
    wh_client_stats(loop.client, &longer.stats);
    assert_int_equal(longer.stats.connects, 1);
    assert_int_equal(longer.newer, 0);
    assert_int_equal(longer.stats.size, sizeof longer);
    loop_deinit(&loop);
}

/* ---- threads and runtimes -------------------------------------------------------------------- */

struct elsewhere {
    struct loop_client loop;
    const char *problem;
};

static void *use_elsewhere(void *user)
{
    struct elsewhere *elsewhere = user;
    struct loop_client *loop = &elsewhere->loop;
    struct wh_client *client = loop->client;
    struct wh_sub *sub = NULL;
    struct wh_client_stats stats = {.size = sizeof stats};
    const enum wh_err got[] = {
        wh_client_connect(client),
        wh_client_connect_wait(client, 1, NULL),
        wh_client_disconnect(client),
        wh_client_reconnect_now(client),
        wh_client_set_token(client, "t"),
        wh_client_send(client, wh_json("1")),
        wh_client_rpc(client, "a", wh_json("1"), NULL, NULL, NULL),
        wh_client_rpc_sync(client, "a", wh_json("1"), 0, NULL, NULL),
        wh_sub_new(client, "news", NULL, &sub, NULL),
        wh_runtime_run_once(loop->runtime, 0),
    };
    for (size_t i = 0; i < sizeof got / sizeof *got; i++)
        if (got[i] != WH_EWRONGTHREAD)
            elsewhere->problem = "a function did not say so";
    wh_client_stats(client, &stats);
    if (stats.connects != 0 || wh_client_sub(client, "news") || sub)
        elsewhere->problem = "a question was answered";
    wh_runtime_wake(loop->runtime);
    if (wh_client_state(client) != WH_CLIENT_CONNECTED)
        elsewhere->problem = "the state is for everybody";
    return NULL;
}

static void a_pumped_client_belongs_to_its_thread(void **state)
{
    (void)state;
    struct elsewhere elsewhere = {.problem = NULL};
    struct wh_client_options options = loop_options();
    pthread_t thread;
    loop_init(&elsewhere.loop, &options);
    loop_connect(&elsewhere.loop);
    assert_int_equal(pthread_create(&thread, NULL, use_elsewhere, &elsewhere), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    if (elsewhere.problem)
        fail_msg("%s", elsewhere.problem);
    loop_settle(&elsewhere.loop);
    assert_said(&elsewhere.loop, "connecting 0; connected; ");
    loop_deinit(&elsewhere.loop);
}

static void a_runtime_checks_its_options(void **state)
{
    (void)state;
    int foreign;
    struct {
        struct wh_runtime_options options;
        int newer;
    } longer = {.options = WH_RUNTIME_OPTIONS_INIT, .newer = 1};
    struct {
        struct wh_runtime_options options;
        enum wh_err err;
    } cases[] = {
        {{.size = sizeof(struct wh_runtime_options), .mode = (enum wh_mode)3}, WH_EINVAL},
        {{.size = sizeof(struct wh_runtime_options), .mode = WH_MODE_LOOP, .loop = (enum wh_loop)4},
         WH_EINVAL},
        {{.size = sizeof(struct wh_runtime_options), .loop = WH_LOOP_UV}, WH_EINVAL},
        {{.size = sizeof(struct wh_runtime_options), .foreign = &foreign}, WH_EINVAL},
        {{.size = sizeof(struct wh_runtime_options), .mode = WH_MODE_LOOP, .foreign = &foreign},
         WH_EINVAL},
        {{.size = sizeof(struct wh_runtime_options), .mode = WH_MODE_LOOP, .loop = WH_LOOP_UV},
         WH_EINVAL},
        {{.size = sizeof(struct wh_runtime_options), .flags = 2}, WH_EABI},
        {{.size = 0}, WH_EINVAL},
    };
    struct wh_runtime *runtime = NULL;
    struct wh_error error;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        error.text[0] = '\0';
        assert_int_equal(wh_runtime_new(&cases[i].options, &runtime, &error), cases[i].err);
        assert_int_equal(error.err, cases[i].err);
        assert_string_not_equal(error.text, "");
        assert_null(runtime);
    }
    longer.options.size = sizeof longer;
    assert_int_equal(wh_runtime_new(&longer.options, &runtime, NULL), WH_EABI);
    assert_int_equal(wh_runtime_new(NULL, NULL, &error), WH_EINVAL);
    assert_int_equal(wh_runtime_new(NULL, &runtime, NULL), WH_OK);
    assert_int_equal(wh_runtime_run_once(runtime, 0), WH_EINVAL);
    assert_int_equal(wh_runtime_run_once(NULL, 0), WH_EINVAL);
    wh_runtime_wake(runtime);
    wh_runtime_wake(NULL);
    wh_runtime_free(runtime);
    wh_runtime_free(NULL);
    wh_runtime_close(NULL, NULL, NULL);
    assert_int_equal(fake_service_alive(), 0);
}

/* One descriptor for the whole life, readable as long as something waits. */
static void a_dispatched_client_has_one_descriptor(void **state)
{
    (void)state;
    struct loop_client loop = {.user_frees = 0};
    struct wh_runtime_options runtime_options = WH_RUNTIME_OPTIONS_INIT;
    struct wh_client_options options = loop_options();
    struct wh_client *client = NULL;
    runtime_options.mode = WH_MODE_DISPATCH;
    assert_int_equal(wh_runtime_new(&runtime_options, &loop.runtime, NULL), WH_OK);
    options.runtime = loop.runtime;
    options.user = &loop;
    assert_int_equal(wh_client_new(&options, &client, NULL), WH_OK);
    struct pollfd fd = {.fd = wh_client_fd(client), .events = POLLIN};
    assert_true(fd.fd >= 0);
    assert_int_equal(poll(&fd, 1, 0), 0);
    assert_int_equal(wh_client_dispatch(client, 0), 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(wh_client_connect_wait(client, LOOP_LIMIT_S * 1000, NULL), WH_OK);
        assert_int_equal(wh_client_fd(client), fd.fd);
        assert_int_equal(poll(&fd, 1, LOOP_LIMIT_S * 1000), 1);
        assert_said(&loop, "");
        assert_int_equal(wh_client_dispatch(client, 1), 1);
        assert_said(&loop, "connecting 0; ");
        assert_int_equal(poll(&fd, 1, 0), 1);
        assert_int_equal(wh_client_dispatch(client, 0), 1);
        assert_said(&loop, "connected; ");
        assert_int_equal(poll(&fd, 1, 0), 0);
        assert_int_equal(wh_client_disconnect(client), WH_OK);
        assert_int_equal(wh_client_dispatch(client, 0), 1);
        assert_said(&loop, "disconnected 0; ");
    }
    wh_client_free(client);
    wh_runtime_free(loop.runtime);
}

static void the_short_form_connects_on_the_shared_runtime(void **state)
{
    (void)state;
    struct wh_client *client = wh_client_open("ws://localhost/", NULL);
    assert_non_null(client);
    assert_int_equal(wh_client_connect_wait(client, LOOP_LIMIT_S * 1000, NULL), WH_OK);
    struct wh_client *second = wh_client_open("ws://localhost/", NULL);
    assert_int_equal(wh_client_connect_wait(second, LOOP_LIMIT_S * 1000, NULL), WH_OK);
    assert_int_equal(fake_service_alive(), 3); /* one service, two transports */
    wh_client_free(client);
    wh_client_free(second);
    assert_int_equal(fake_service_alive(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_function_minds_a_null),
        cmocka_unit_test(states_have_names),
        cmocka_unit_test(options_of_other_versions_are_understood_or_refused),
        cmocka_unit_test(a_refused_client_leaves_nothing),
        cmocka_unit_test(a_new_client_is_disconnected),
        cmocka_unit_test(connecting_twice_is_connecting_once),
        cmocka_unit_test(disconnect_ends_every_state_and_connect_comes_back),
        cmocka_unit_test(reconnect_now_does_not_wait),
        cmocka_unit_test_teardown(a_closing_client_says_its_end_in_order, unstall),
        cmocka_unit_test_teardown(connect_wait_ends_and_the_client_goes_on, unstall),
        cmocka_unit_test(connect_wait_says_who_refused),
        cmocka_unit_test(an_expired_token_that_nobody_renews_is_final),
        cmocka_unit_test_teardown(without_reconnecting_the_first_failure_is_final_and_no_refusal,
                                  unstall),
        cmocka_unit_test(waiting_inside_a_callback_of_a_pumped_loop_would_be_for_ever),
        cmocka_unit_test(a_token_may_be_answered_later),
        cmocka_unit_test(unauthorized_is_final),
        cmocka_unit_test(a_lost_answer_is_a_time_out_and_a_late_one_nothing),
        cmocka_unit_test(a_token_that_is_set_needs_no_answer),
        cmocka_unit_test(a_batch_leaves_in_one_frame),
        cmocka_unit_test(a_large_batch_leaves_in_a_few_frames),
        cmocka_unit_test(counters_count),
        cmocka_unit_test(counters_fill_what_the_program_knows),
        cmocka_unit_test(a_pumped_client_belongs_to_its_thread),
        cmocka_unit_test(a_runtime_checks_its_options),
        cmocka_unit_test(a_dispatched_client_has_one_descriptor),
        cmocka_unit_test(the_short_form_connects_on_the_shared_runtime),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
