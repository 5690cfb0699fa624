/* One client in time and under pressure: pings, expiry, slow readers, closing. */
#include "hub/session.h"

#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/protocol/codec.h"
#include "failing_alloc.h"
#include "hub_fixture.h"

#include <stdio.h>

#define OK_REPLY(id, verb) "{\"id\":" #id ",\"" verb "\":{}}"
#define PUB(channel, data) "{\"push\":{\"channel\":\"" channel "\",\"pub\":{\"data\":" data "}}}"
#define EXPIRED_PUSH(channel)                                                                      \
    "{\"push\":{\"channel\":\"" channel "\",\"unsubscribe\":{\"code\":2501,\"reason\":"            \
    "\"subscription expired\"}}}"

static long long later(int seconds)
{
    return (long long)HUB_WALL_START_S + seconds;
}

/* States */

static void session_goes_from_new_to_ready_to_closing(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    struct fake_transport *client = hub_open(&hub, WH_ENCODING_JSON);
    assert_int_equal(client->session->state, SESSION_NEW);
    assert_int_equal(hub_metric(&hub, METRIC_CONNECTIONS_JSON), 0);
    client_send(client, "{\"id\":1,\"connect\":{}}");
    assert_int_equal(client->session->state, SESSION_READY);
    assert_int_equal(hub_metric(&hub, METRIC_CONNECTIONS_JSON), 1);
    assert_int_equal(hub.node.session_count, 1);
    session_close(client->session, WH_DISCONNECT_FORCE);
    assert_int_equal(client->session->state, SESSION_CLOSING);
    assert_int_equal(hub_metric(&hub, METRIC_CONNECTIONS_JSON), 0);
    assert_int_equal(hub.node.session_count, 0);
    session_close(client->session, WH_DISCONNECT_STALE); /* the first code counts */
    client_expect_closed(client, WH_DISCONNECT_FORCE);
    hub_stop(&hub);
}

static void silent_connection_is_closed_with_3502(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, "--client.stale_close_delay=10s", NULL);
    struct fake_transport *silent = hub_open(&hub, WH_ENCODING_JSON);
    struct fake_transport *talking = hub_connect(&hub, WH_ENCODING_JSON);
    hub_advance(&hub, 9900);
    client_expect_open(silent);
    hub_advance(&hub, 200);
    client_expect_closed(silent, WH_DISCONNECT_STALE);
    client_expect_open(talking);
    hub_stop(&hub);
}

static void closing_session_hears_and_says_nothing(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    struct fake_transport *client = hub_connect(&hub, WH_ENCODING_JSON);
    client_subscribe(client, "news");
    session_close(client->session, WH_DISCONNECT_FORCE);
    size_t writes = client->writes;
    client_send(client, "{\"id\":2,\"publish\":{\"channel\":\"news\",\"data\":1}}");
    client_send(client, "nonsense");
    fake_broker_publish(hub.broker, "news", "1");
    hub_advance(&hub, 60000);
    assert_int_equal(client->writes, writes);
    assert_int_equal(hub.broker->publishes, 0);
    hub_stop(&hub);
}

static void replies_leave_before_the_close(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    struct fake_transport *client = hub_connect(&hub, WH_ENCODING_JSON);
    client_send(client, "{\"id\":2,\"ping\":{}}\n{\"id\":3,\"subscribe\":{\"channel\":\"\"}}\n"
                        "{\"id\":4,\"ping\":{}}");
    client_expect(client, OK_REPLY(2, "ping"));
    client_expect(client, NULL);
    client_expect_closed(client, WH_DISCONNECT_BAD_REQUEST);
    hub_stop(&hub);
}

/* Pings */

/* Time passes until a ping is out. */
static void wait_for_ping(struct hub *hub, struct fake_transport *client)
{
    for (int waited = 0; !client->session->pong_due; waited += 50) {
        assert_true(waited <= 25100);
        hub_advance(hub, 50);
    }
}

static void pings_come_by_the_clock_and_want_a_pong(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, "--client.ping_interval=10s", "--client.pong_timeout=3s", NULL);
    struct fake_transport *good = hub_connect(&hub, WH_ENCODING_JSON);
    struct fake_transport *mute = hub_connect(&hub, WH_ENCODING_JSON);
    hub_advance(&hub, 4900);
    client_expect(good, NULL); /* the first one comes in the second half of the interval */
    for (int i = 0; i < 5; i++) {
        uint64_t before = wh_loop_now_ms(&hub.loop);
        wait_for_ping(&hub, good);
        assert_true(wh_loop_now_ms(&hub.loop) - before <= 10100);
        client_expect(good, "{}");
        client_send(good, "{}");
    }
    client_expect_open(good);
    client_expect(mute, "{}");
    client_expect(mute, NULL); /* no second ping without the first pong */
    client_expect_closed(mute, WH_DISCONNECT_NO_PONG);
    hub_stop(&hub);
}

static void other_commands_are_no_pong(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, "--client.ping_interval=10s", "--client.pong_timeout=3s", NULL);
    struct fake_transport *client = hub_connect(&hub, WH_ENCODING_JSON);
    for (int i = 0; i < 140; i++) {
        hub_advance(&hub, 100);
        if (!client->is_closing)
            client_send(client, "{\"id\":2,\"ping\":{}}");
    }
    client_expect_closed(client, WH_DISCONNECT_NO_PONG);
    hub_stop(&hub);
}

static void pong_that_nobody_asked_for_closes_with_3501(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    struct fake_transport *client = hub_connect(&hub, WH_ENCODING_JSON);
    client_send(client, "{}");
    client_expect_closed(client, WH_DISCONNECT_BAD_REQUEST);
    struct fake_transport *twice = hub_connect(&hub, WH_ENCODING_JSON);
    wait_for_ping(&hub, twice);
    client_expect(twice, "{}");
    client_send(twice, "{}\n{}");
    client_expect_closed(twice, WH_DISCONNECT_BAD_REQUEST);
    hub_stop(&hub);
}

static void pings_have_the_shape_of_each_encoding(void **state)
{
    static const char *const pings[] = {"{}", "\x80", "\0"};
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    for (int i = 0; i < WH_ENCODING_COUNT; i++) {
        struct fake_transport *client = hub_connect(&hub, (enum wh_encoding)i);
        wait_for_ping(&hub, client);
        enum wh_opcode opcode;
        struct wh_slice payload;
        assert_true(fake_transport_next(client, &opcode, &payload));
        assert_int_equal(opcode, wh_encoding_opcode((enum wh_encoding)i));
        assert_int_equal(payload.len, i == WH_ENCODING_JSON ? 2 : 1);
        assert_memory_equal(payload.ptr, pings[i], payload.len);
        fake_transport_receive(client, wh_slice(pings[i], payload.len)); /* so is a pong */
        hub_advance(&hub, 10000);
        client_expect_open(client);
        hub_cut(client);
    }
    hub_stop(&hub);
}

/* Expiry */

static struct fake_transport *connect_until(struct hub *hub, int seconds)
{
    struct fake_transport *client = hub_open(hub, WH_ENCODING_JSON);
    struct wh_arena arena = {0};
    client_send(client, "{\"id\":1,\"connect\":{\"token\":\"%s\"}}",
                hub_token("{\"sub\":\"42\",\"exp\":%lld}", later(seconds)));
    hub_turn(hub);
    assert_int_equal(client_next(client, &arena).connect->ttl, seconds);
    wh_arena_deinit(&arena);
    return client;
}

static void refresh(struct fake_transport *client, const char *claims)
{
    client_send(client, "{\"id\":2,\"refresh\":{\"token\":\"%s\"}}", hub_token("%s", claims));
    client_expect_open(client);
}

static void connection_is_closed_with_3005_when_expiry_and_grace_are_over(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, "--client.ping_interval=1h", "--client.expired_close_delay=25s", NULL);
    struct fake_transport *late = connect_until(&hub, 60);
    struct fake_transport *renewed = connect_until(&hub, 60);
    struct fake_transport *freed = connect_until(&hub, 60);
    hub_advance(&hub, 70000);
    wh_loop_timer_start(&hub.loop, &late->session->timer, 0); /* as it fires for other reasons */
    hub_advance(&hub, 14000);
    client_expect_open(late);
    refresh(renewed, "{\"sub\":\"42\",\"exp\":1700000120}");
    refresh(freed, "{\"sub\":\"42\"}");
    hub_advance(&hub, 1100);
    client_expect_closed(late, WH_DISCONNECT_EXPIRED);
    client_expect_open(renewed);
    hub_advance(&hub, 59000); /* 144 s */
    client_expect_open(renewed);
    hub_advance(&hub, 1100);
    client_expect_closed(renewed, WH_DISCONNECT_EXPIRED);
    hub_advance(&hub, 600000);
    client_expect_open(freed);
    hub_stop(&hub);
}

static void wall_clock_that_jumps_back_gives_the_time_back(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, "--client.ping_interval=1h", "--client.expired_close_delay=1s", NULL);
    struct fake_transport *client = connect_until(&hub, 60);
    hub_advance(&hub, 50000);
    hub_set_wall(&hub, HUB_WALL_START_S); /* 50 s back: the token is good for 60 s more */
    hub_advance(&hub, 60000);
    client_expect_open(client);
    hub_advance(&hub, 1100);
    client_expect_closed(client, WH_DISCONNECT_EXPIRED);
    hub_stop(&hub);
}

static void subscribe_until(struct fake_transport *client, const char *channel, int seconds)
{
    client_send(
        client, "{\"id\":5,\"subscribe\":{\"channel\":\"%s\",\"token\":\"%s\"}}", channel,
        hub_token("{\"sub\":\"42\",\"channel\":\"%s\",\"exp\":%lld}", channel, later(seconds)));
    char reply[64];
    snprintf(reply, sizeof(reply), "{\"id\":5,\"subscribe\":{\"expires\":true,\"ttl\":%d}}",
             (int)(seconds - (wh_clock_wall_s() - HUB_WALL_START_S)));
    client_expect(client, reply);
}

static void expired_subscription_ends_with_2501_and_others_stay(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, "--client.ping_interval=1h", "--client.expired_sub_close_delay=5s", NULL);
    struct fake_transport *client = hub_connect_as(&hub, "42");
    subscribe_until(client, "short", 10);
    subscribe_until(client, "long", 100);
    client_subscribe(client, "forever");
    hub_advance(&hub, 14900);
    client_expect(client, NULL);
    hub_advance(&hub, 1300);
    client_expect(client, EXPIRED_PUSH("short"));
    client_expect(client, NULL);
    assert_int_equal(client->session->subscription_count, 2);
    assert_int_equal(hub.broker->unsubscribes, 1);
    fake_broker_publish(hub.broker, "short", "1");
    fake_broker_publish(hub.broker, "forever", "2");
    client_expect(client, PUB("forever", "2"));
    hub_advance(&hub, 90000);
    client_expect(client, EXPIRED_PUSH("long"));
    client_expect_open(client);
    subscribe_until(client, "short", 200);
    hub_stop(&hub);
}

static void sub_refresh_keeps_a_subscription(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, "--client.ping_interval=1h", "--client.expired_sub_close_delay=5s", NULL);
    struct fake_transport *client = hub_connect_as(&hub, "42");
    subscribe_until(client, "a", 10);
    client_send(client, "{\"id\":6,\"sub_refresh\":{\"channel\":\"a\",\"token\":\"%s\"}}",
                hub_token("{\"sub\":\"42\",\"channel\":\"a\"}"));
    client_expect(client, OK_REPLY(6, "sub_refresh"));
    hub_advance(&hub, 100000);
    client_expect(client, NULL);
    hub_stop(&hub);
}

static void busy_client_cannot_put_off_the_expiry_of_a_subscription(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, "--client.ping_interval=1h", "--client.expired_sub_close_delay=5s", NULL);
    struct fake_transport *client = hub_connect_as(&hub, "42");
    subscribe_until(client, "short", 10);
    client_subscribe(client, "other");
    for (int i = 0; i < 40; i++) { /* 20 s */
        hub_advance(&hub, 500);
        refresh(client, "{\"sub\":\"42\"}");
    }
    assert_null(registry_find(&hub.node.registry, client->session, WH_SLICE_LITERAL("short")));
    hub_stop(&hub);
}

/* libuv runs timers between the arrival of a publication and the end of the turn. */
static void no_publication_follows_the_push_that_ends_a_subscription(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, "--client.ping_interval=1h", "--client.expired_sub_close_delay=0s", NULL);
    struct fake_transport *client = hub_connect_as(&hub, "42");
    subscribe_until(client, "a", 10);
    hub_advance(&hub, 9900);
    fake_broker_publish(hub.broker, "a", "1");
    uint64_t now = wh_loop_now_ms(&hub.loop) + 2000;
    hub.loop.uv.time = now;
    wh_clock_set_fake(now, (HUB_WALL_START_S + 12) * 1000);
    wh_wheel_advance(&hub.loop.wheel, now);
    assert_int_equal(client->session->subscription_count, 0);
    client_expect(client, PUB("a", "1"));
    client_expect(client, EXPIRED_PUSH("a"));
    client_expect(client, NULL);
    hub_stop(&hub);
}

/* Slow readers */

/* A publication whose JSON text is `len` bytes long. */
static void publish_bytes(struct hub *hub, const char *channel, size_t len)
{
    char text[4096];
    assert_true(len + 1 < sizeof(text) && len > 2);
    memset(text, 'x', len);
    text[0] = text[len - 1] = '"';
    text[len] = '\0';
    fake_broker_publish(hub->broker, channel, text);
}

static size_t count_messages(struct fake_transport *client)
{
    enum wh_opcode opcode;
    struct wh_slice payload;
    size_t count = 0;
    while (fake_transport_next_reply(client, &opcode, &payload))
        count++;
    return count;
}

static void slow_session_is_closed_with_3008_and_others_still_receive(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, "--client.queue_max_size=10000", NULL);
    struct fake_transport *before = hub_connect(&hub, WH_ENCODING_JSON);
    struct fake_transport *slow = hub_connect(&hub, WH_ENCODING_JSON);
    struct fake_transport *after = hub_connect(&hub, WH_ENCODING_JSON);
    client_subscribe(before, "news");
    client_subscribe(slow, "news");
    client_subscribe(after, "news");
    fake_transport_set_room(slow, 300);
    for (int i = 0; i < 20; i++) {
        publish_bytes(&hub, "news", 1000);
        hub_turn(&hub);
        struct session *session = slow->session;
        assert_true(session->queue.bytes + slow->held.len <= 10000);
        assert_int_equal(hub_metric(&hub, METRIC_QUEUE_BYTES), session->queue.bytes);
        assert_int_equal(slow->is_closing, i >= 9);
    }
    client_expect_closed(slow, WH_DISCONNECT_SLOW);
    assert_int_equal(hub_metric(&hub, METRIC_SLOW_DISCONNECTS), 1);
    assert_int_equal(slow->close_timeout_ms, hub.config->websocket.write_timeout_ms);
    assert_int_equal(slow->session->queue.count, 0);
    assert_int_equal(count_messages(before), 20);
    assert_int_equal(count_messages(after), 20);
    hub_stop(&hub);
}

static void one_batch_past_the_limit_makes_a_stuck_socket_slow_at_once(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, "--client.queue_max_size=10000", NULL);
    struct fake_transport *stuck = hub_connect(&hub, WH_ENCODING_JSON);
    struct fake_transport *fast = hub_connect(&hub, WH_ENCODING_JSON);
    client_subscribe(stuck, "news");
    client_subscribe(fast, "news");
    fake_transport_set_room(stuck, 0);
    for (int i = 0; i < 20; i++)
        publish_bytes(&hub, "news", 1000);
    client_expect_closed(stuck, WH_DISCONNECT_SLOW);
    client_expect_open(fast); /* its socket took it all: nothing was ever queued */
    assert_int_equal(count_messages(fast), 20);
    hub_stop(&hub);
}

static void slow_session_catches_up_in_order(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    struct fake_transport *client = hub_connect(&hub, WH_ENCODING_JSON);
    client_subscribe(client, "a");
    client_subscribe(client, "b");
    fake_transport_set_room(client, 7); /* inside a frame */
    for (int i = 0; i < 300; i++) {
        char data[16];
        snprintf(data, sizeof(data), "%d", i);
        fake_broker_publish(hub.broker, i % 3 ? "a" : "b", data);
        if (i % 10 == 5)
            client_send(client, "{\"id\":%d,\"ping\":{}}", i + 1);
        hub_turn(&hub);
        if (i % 7 == 0)
            fake_transport_set_room(client, wh_random_below(100));
    }
    while (client->session->queue.count > 0 || client->base.is_busy)
        fake_transport_set_room(client, 1 + wh_random_below(100));
    fake_transport_set_room(client, ROOM_UNLIMITED);
    for (int i = 0; i < 300; i++) {
        char text[128];
        if (i % 10 == 5) { /* replies of a turn leave before its publications */
            snprintf(text, sizeof(text), "{\"id\":%d,\"ping\":{}}", i + 1);
            client_expect(client, text);
        }
        snprintf(text, sizeof(text), PUB("%s", "%d"), i % 3 ? "a" : "b", i);
        client_expect(client, text);
    }
    client_expect(client, NULL);
    assert_int_equal(client->session->queue.capacity, 0);
    hub_stop(&hub);
}

static void publications_of_a_turn_leave_in_one_write(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    struct fake_transport *client = hub_connect(&hub, WH_ENCODING_JSON);
    client_subscribe(client, "news");
    size_t writes = client->writes;
    for (int i = 0; i < 3; i++)
        fake_broker_publish(hub.broker, "news", "1");
    hub_turn(&hub);
    assert_int_equal(client->writes, writes + 1);
    assert_int_equal(count_messages(client), 3);
    hub_stop(&hub);
}

static void reading_stops_past_half_of_the_queue_until_it_is_empty(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, "--client.queue_max_size=10000", NULL);
    struct fake_transport *client = hub_connect(&hub, WH_ENCODING_JSON);
    client_subscribe(client, "news");
    fake_transport_set_room(client, 0);
    for (int i = 0; i < 6; i++) { /* the first is held, five are queued */
        publish_bytes(&hub, "news", 1000);
        hub_turn(&hub);
    }
    assert_true(client->session->queue.bytes > 5000);
    assert_true(client->is_reading); /* it stops with the next message */
    client_send(client, "{\"id\":2,\"publish\":{\"channel\":\"b\",\"data\":1}}");
    assert_false(client->is_reading);
    assert_int_equal(hub.broker->publishes, 0);
    fake_transport_set_room(client, 500);
    assert_int_equal(hub.broker->publishes, 0);
    fake_transport_set_room(client, ROOM_UNLIMITED);
    assert_int_equal(hub.broker->publishes, 1);
    assert_true(client->is_reading);
    assert_int_equal(count_messages(client), 6);
    client_expect(client, OK_REPLY(2, "publish"));
    hub_stop(&hub);
}

static void broken_socket_closes_with_3009(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    struct fake_transport *broken = hub_connect(&hub, WH_ENCODING_JSON);
    struct fake_transport *good = hub_connect(&hub, WH_ENCODING_JSON);
    client_subscribe(broken, "news");
    client_subscribe(good, "news");
    broken->is_broken = true;
    fake_broker_publish(hub.broker, "news", "1");
    client_expect(good, PUB("news", "1"));
    client_expect_closed(broken, WH_DISCONNECT_WRITE_ERROR);
    hub_stop(&hub);
}

static void what_was_queued_goes_out_before_a_close_within_five_seconds(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    struct fake_transport *reading = hub_connect(&hub, WH_ENCODING_JSON);
    struct fake_transport *stuck = hub_connect(&hub, WH_ENCODING_JSON);
    struct fake_transport *both[] = {reading, stuck};
    for (size_t i = 0; i < COUNT(both); i++) {
        client_subscribe(both[i], "news");
        fake_transport_set_room(both[i], 0);
    }
    for (int i = 0; i < 3; i++) {
        publish_bytes(&hub, "news", 100);
        hub_turn(&hub);
    }
    session_close(reading->session, WH_DISCONNECT_FORCE);
    session_close(stuck->session, WH_DISCONNECT_FORCE);
    assert_false(reading->is_closing);
    fake_transport_set_room(reading, ROOM_UNLIMITED);
    client_expect_closed(reading, WH_DISCONNECT_FORCE);
    assert_int_equal(count_messages(reading), 3);
    hub_advance(&hub, 4900);
    assert_false(stuck->is_closing);
    hub_advance(&hub, 200);
    client_expect_closed(stuck, WH_DISCONNECT_FORCE);
    hub_stop(&hub);
}

/* Answers to a client that reads nothing are bounded as well. */
static void commands_of_a_client_that_never_reads_stop_being_answered(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, "--client.queue_max_size=1024", NULL);
    struct fake_transport *client = hub_connect(&hub, WH_ENCODING_JSON);
    fake_transport_set_room(client, 0);
    for (int i = 0; i < 500; i++) {
        if (client->is_reading) /* as the library obeys */
            client_send(client, "{\"id\":2,\"ping\":{}}");
        hub_turn(&hub);
    }
    assert_false(client->is_reading);
    client_expect_open(client);
    assert_true(client->session->queue.bytes <= 1024);
    hub_stop(&hub);
}

/* One frame full of commands is read at once, and its answers are not held against the client. */
static void many_replies_to_one_frame_do_not_make_a_reading_client_slow(void **state)
{
    (void)state;
    struct hub hub;
    struct wh_buf frame = {0};
    hub_start(&hub, "--client.queue_max_size=16384", NULL);
    struct fake_transport *client = hub_connect(&hub, WH_ENCODING_JSON);
    for (int i = 0; i < 2500; i++)
        wh_buf_printf(&frame, "%s{\"id\":%d,\"ping\":{}}", i ? "\n" : "", i + 2);
    fake_transport_receive(client, wh_buf_slice(&frame));
    client_expect_open(client);
    hub_turn(&hub);
    enum wh_opcode opcode;
    struct wh_slice payload;
    size_t replies = 0;
    while (fake_transport_next(client, &opcode, &payload)) {
        replies++;
        for (size_t i = 0; i < payload.len; i++)
            replies += payload.ptr[i] == '\n';
    }
    assert_int_equal(replies, 2500);
    wh_buf_deinit(&frame);
    hub_stop(&hub);
}

/* Allocation failure */

/* Each allocation of a whole life fails in turn: nothing crashes, nothing is left behind. */
static void no_failed_allocation_leaks_or_crashes(void **state)
{
    (void)state;
    size_t nth = 1;
    for (bool failed = true; failed; nth++) {
        struct hub hub;
        hub_start(&hub, NULL);
        struct fake_transport *witness = hub_connect(&hub, WH_ENCODING_MSGPACK);
        client_subscribe(witness, "a");
        char hello[1024];
        snprintf(hello, sizeof(hello),
                 "{\"id\":1,\"connect\":{\"token\":\"%s\"}}\n"
                 "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n"
                 "{\"id\":3,\"subscribe\":{\"channel\":\"b\"}}\n"
                 "{\"id\":4,\"publish\":{\"channel\":\"a\",\"data\":{\"x\":[1,2,3]}}}",
                 hub_token("{\"sub\":\"42\",\"info\":{\"a\":1},\"exp\":1700001000}"));
        struct fake_transport *client = NULL;
        failing_alloc_start(nth);
        if (fake_transport_open(&hub.node, WH_ENCODING_JSON, &client) == WH_OK) {
            wh_list_push_back(&hub.clients, &client->link);
            fake_transport_receive(client, wh_slice_from_str(hello));
            fake_transport_receive(
                client, WH_SLICE_LITERAL("{\"id\":5,\"unsubscribe\":{\"channel\":\"a\"}}"));
            hub_turn(&hub);
            fake_transport_set_room(client, 0);
            fake_broker_publish(hub.broker, "b", "1");
            hub_turn(&hub);
            fake_broker_publish(hub.broker, "b", "2");
            hub_turn(&hub);
            fake_transport_set_room(client, ROOM_UNLIMITED);
            hub_turn(&hub);
        }
        failed = failing_alloc_stop();
        if (client && client->is_closing && client->close_code != WH_DISCONNECT_INVALID_TOKEN)
            assert_true(client->close_code < 3500); /* it is not the client's fault */
        hub_stop(&hub);
    }
    assert_true(nth > 20);
}

/* The same for commands that wait, are held and taken up again. */
static void no_failed_allocation_loses_a_held_command_in_silence(void **state)
{
    (void)state;
    size_t nth = 1;
    for (bool failed = true; failed; nth++) {
        struct hub hub;
        char refresh_command[512], subscribe_command[512];
        hub_start(&hub, NULL);
        hub.broker->is_manual = true;
        struct fake_transport *client = hub_connect_as(&hub, "42");
        snprintf(refresh_command, sizeof(refresh_command),
                 "{\"id\":3,\"refresh\":{\"token\":\"%s\"}}",
                 hub_token("{\"sub\":\"42\",\"info\":7}"));
        snprintf(subscribe_command, sizeof(subscribe_command),
                 "{\"id\":2,\"subscribe\":{\"channel\":\"$a\",\"token\":\"%s\"}}",
                 hub_token("{\"sub\":\"42\",\"channel\":\"$a\",\"info\":1,\"data\":2}"));
        failing_alloc_start(nth);
        fake_transport_receive(client, wh_slice_from_str(subscribe_command));
        fake_transport_receive(client, wh_slice_from_str(refresh_command));
        fake_transport_receive(client, WH_SLICE_LITERAL("{\"id\":4,\"ping\":{}}"));
        if (fake_broker_waiting(hub.broker) > 0)
            fake_broker_answer(hub.broker, CALL_SUBSCRIBE, "$a", WH_OK);
        hub_turn(&hub);
        failed = failing_alloc_stop();
        if (!client->is_closing) { /* then each command has its answer, whichever */
            enum wh_opcode opcode;
            struct wh_slice payload, last = {"", 0};
            while (fake_transport_next(client, &opcode, &payload))
                last = payload;
            char text[512];
            snprintf(text, sizeof(text), "%.*s", WH_SLICE_ARGS(last));
            assert_non_null(strstr(text, OK_REPLY(4, "ping")));
        }
        hub_stop(&hub);
    }
    assert_true(nth > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(session_goes_from_new_to_ready_to_closing),
        cmocka_unit_test(silent_connection_is_closed_with_3502),
        cmocka_unit_test(closing_session_hears_and_says_nothing),
        cmocka_unit_test(replies_leave_before_the_close),
        cmocka_unit_test(pings_come_by_the_clock_and_want_a_pong),
        cmocka_unit_test(other_commands_are_no_pong),
        cmocka_unit_test(pong_that_nobody_asked_for_closes_with_3501),
        cmocka_unit_test(pings_have_the_shape_of_each_encoding),
        cmocka_unit_test(connection_is_closed_with_3005_when_expiry_and_grace_are_over),
        cmocka_unit_test(wall_clock_that_jumps_back_gives_the_time_back),
        cmocka_unit_test(expired_subscription_ends_with_2501_and_others_stay),
        cmocka_unit_test(sub_refresh_keeps_a_subscription),
        cmocka_unit_test(busy_client_cannot_put_off_the_expiry_of_a_subscription),
        cmocka_unit_test(no_publication_follows_the_push_that_ends_a_subscription),
        cmocka_unit_test(slow_session_is_closed_with_3008_and_others_still_receive),
        cmocka_unit_test(one_batch_past_the_limit_makes_a_stuck_socket_slow_at_once),
        cmocka_unit_test(slow_session_catches_up_in_order),
        cmocka_unit_test(publications_of_a_turn_leave_in_one_write),
        cmocka_unit_test(reading_stops_past_half_of_the_queue_until_it_is_empty),
        cmocka_unit_test(broken_socket_closes_with_3009),
        cmocka_unit_test(what_was_queued_goes_out_before_a_close_within_five_seconds),
        cmocka_unit_test(commands_of_a_client_that_never_reads_stop_being_answered),
        cmocka_unit_test(many_replies_to_one_frame_do_not_make_a_reading_client_slow),
        cmocka_unit_test(no_failed_allocation_leaks_or_crashes),
        cmocka_unit_test(no_failed_allocation_loses_a_held_command_in_silence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
