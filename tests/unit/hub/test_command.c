/* Commands in, replies out: order, waiting, refusals.  Tokens: test_command_tokens.c. */
#include "hub/command.h"
#include "hub_fixture.h"

#include <stdio.h>

#define OK_REPLY(id, verb) "{\"id\":" #id ",\"" verb "\":{}}"
#define ERROR(id, code, message)                                                                   \
    "{\"id\":" #id ",\"error\":{\"code\":" #code ",\"message\":\"" message "\"}}"
#define INTERNAL(id)                                                                               \
    "{\"id\":" #id ",\"error\":{\"code\":100,\"message\":\"internal server error\","               \
    "\"temporary\":true}}"
#define PUB(channel, data) "{\"push\":{\"channel\":\"" channel "\",\"pub\":{\"data\":" data "}}}"

/* The first command */

static void first_command_other_than_connect_closes_with_3501(void **state)
{
    static const char *const commands[] = {
        "{}",
        "{\"id\":1}",
        "{\"id\":1,\"subscribe\":{\"channel\":\"news\"}}",
        "{\"id\":1,\"publish\":{\"channel\":\"news\",\"data\":1}}",
        "{\"id\":1,\"ping\":{}}",
        "{\"send\":{\"data\":1}}",
        "{\"connect\":{}}", /* without id it is a pong */
        "{\"id\":1,\"refresh\":{\"token\":\"x\"}}",
        "{\"id\":1,\"nonsense\":{}}",
    };
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    for (size_t i = 0; i < COUNT(commands); i++) {
        struct fake_transport *client = hub_open(&hub, WH_ENCODING_JSON);
        client_send(client, "%s", commands[i]);
        client_expect(client, NULL);
        client_expect_closed(client, WH_DISCONNECT_BAD_REQUEST);
    }
    hub_stop(&hub);
}

static void malformed_frames_close_with_3501(void **state)
{
    static const char *const frames[] = {"", "\n", "nonsense", "{\"id\":-1}", "{}\n\n{}", "[]"};
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    for (size_t i = 0; i < COUNT(frames); i++) {
        struct fake_transport *fresh = hub_open(&hub, WH_ENCODING_JSON);
        struct fake_transport *connected = hub_connect(&hub, WH_ENCODING_JSON);
        connected->session->pong_due = true; /* so that "{}" is not what closes it */
        client_send(fresh, "%s", frames[i]);
        client_send(connected, "%s", frames[i]);
        client_expect_closed(fresh, WH_DISCONNECT_BAD_REQUEST);
        client_expect_closed(connected, WH_DISCONNECT_BAD_REQUEST);
    }
    hub_stop(&hub);
}

static void second_connect_closes_with_3501(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    struct fake_transport *client = hub_connect(&hub, WH_ENCODING_JSON);
    client_send(client, "{\"id\":2,\"connect\":{}}");
    client_expect(client, NULL);
    client_expect_closed(client, WH_DISCONNECT_BAD_REQUEST);
    hub_stop(&hub);
}

static void command_without_any_request_closes_with_3501(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    struct fake_transport *client = hub_connect(&hub, WH_ENCODING_JSON);
    client_send(client, "{\"id\":2,\"nonsense\":{}}");
    client_expect_closed(client, WH_DISCONNECT_BAD_REQUEST);
    client = hub_connect(&hub, WH_ENCODING_JSON);
    client_send(client, "{\"send\":{\"data\":1}}");
    client_expect_closed(client, WH_DISCONNECT_NOT_AVAILABLE);
    hub_stop(&hub);
}

static void connect_and_subscribes_in_one_frame_get_one_frame_of_replies(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    struct fake_transport *client = hub_open(&hub, WH_ENCODING_JSON);
    client_send(client, "{\"connect\":{\"name\":\"js\"},\"id\":1}\n"
                        "{\"subscribe\":{\"channel\":\"a\",\"flag\":1},\"id\":2}\n"
                        "{\"subscribe\":{\"channel\":\"b\",\"flag\":1},\"id\":3}\n");
    hub_turn(&hub);
    enum wh_opcode opcode;
    struct wh_slice payload;
    assert_true(fake_transport_next(client, &opcode, &payload));
    char text[512];
    snprintf(text, sizeof(text), "%.*s", WH_SLICE_ARGS(payload));
    assert_non_null(strstr(text, "{\"id\":1,\"connect\":{\"client\":\""));
    assert_non_null(strstr(text, "\n{\"id\":2,\"subscribe\":{\"id\":1}}"
                                 "\n{\"id\":3,\"subscribe\":{\"id\":2}}"));
    client_expect(client, NULL);
    assert_int_equal(client->writes, 1);
    hub_stop(&hub);
}

static void connect_reply_tells_ping_and_expiry(void **state)
{
    (void)state;
    struct hub hub;
    struct wh_arena arena = {0};
    hub_start(&hub, "--client.connect_include_server_time", NULL);
    struct fake_transport *client = hub_open(&hub, WH_ENCODING_JSON);
    client_send(client, "{\"id\":7,\"connect\":{\"token\":\"%s\"}}",
                hub_token("{\"sub\":\"42\",\"exp\":%lld}", (long long)HUB_WALL_START_S + 600));
    hub_turn(&hub);
    struct wh_reply reply = client_next(client, &arena);
    assert_int_equal(reply.id, 7);
    assert_non_null(reply.connect);
    assert_int_equal(reply.connect->client.len, 36);
    assert_true(reply.connect->version.len > 0);
    assert_int_equal(reply.connect->ping, 25);
    assert_true(reply.connect->pong);
    assert_true(reply.connect->expires);
    assert_int_equal(reply.connect->ttl, 600);
    assert_int_equal(reply.connect->time, HUB_WALL_START_S * 1000);
    assert_true(wh_slice_equal_str(client->session->user->id, "42"));
    wh_arena_deinit(&arena);
    hub_stop(&hub);
}

/* Refused connects */

static void refused_connect_gets_its_error_and_nothing_after_it_is_read(void **state)
{
    static const struct {
        const char *claims;
        const char *reply;
    } cases[] = {
        {"{\"sub\":\"42\",\"exp\":1600000000}", ERROR(1, 109, "token expired")},
        {"{\"sub\":\"42\",\"nbf\":1800000000}", ERROR(1, 109, "token expired")},
        {"{\"sub\":\"42\",\"expire_at\":1600000000}", ERROR(1, 110, "expired")},
    };
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct fake_transport *client = hub_open(&hub, WH_ENCODING_JSON);
        client_send(client,
                    "{\"id\":1,\"connect\":{\"token\":\"%s\"}}\n"
                    "{\"id\":2,\"subscribe\":{\"channel\":\"news\"}}",
                    hub_token("%s", cases[i].claims));
        client_expect(client, cases[i].reply);
        client_expect(client, NULL);
        client_expect_open(client); /* the client closes, as a rule */
        assert_int_equal(client->session->subscription_count, 0);
        hub_advance(&hub, 4900);
        client_expect_open(client);
        hub_advance(&hub, 200);
        client_expect(client, NULL);
        client_expect_closed(client, WH_DISCONNECT_CONNECTION_CLOSED);
    }
    assert_int_equal(hub.broker->subscribes, 0);
    hub_stop(&hub);
}

static void command_in_a_later_frame_than_a_refused_connect_closes_with_3501(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    struct fake_transport *client = hub_open(&hub, WH_ENCODING_JSON);
    client_send(client, "{\"id\":1,\"connect\":{\"token\":\"%s\"}}",
                hub_token("{\"sub\":\"42\",\"exp\":1600000000}"));
    client_send(client, "{\"id\":2,\"connect\":{}}");
    client_expect(client, ERROR(1, 109, "token expired"));
    client_expect(client, NULL);
    client_expect_closed(client, WH_DISCONNECT_BAD_REQUEST);
    hub_stop(&hub);
}

static void hopeless_connects_are_closed(void **state)
{
    static const struct {
        const char *flag;
        const char *claims; /* NULL = no token */
        uint32_t code;
    } cases[] = {
        {"--client.allow_anonymous_connect_without_token=false", NULL, WH_DISCONNECT_BAD_REQUEST},
        {"--client.token.audience=us", "{\"sub\":\"42\",\"aud\":\"them\"}",
         WH_DISCONNECT_INVALID_TOKEN},
        {"--client.disallow_anonymous_connection_tokens", "{\"sub\":\"\"}",
         WH_DISCONNECT_PERMISSION_DENIED},
        {"--client.token.audience=us", "{\"sub\":\"42\",\"aud\":\"them\",\"exp\":1}",
         WH_DISCONNECT_INVALID_TOKEN},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct hub hub;
        hub_start(&hub, cases[i].flag, NULL);
        struct fake_transport *client = hub_open(&hub, WH_ENCODING_JSON);
        if (cases[i].claims)
            client_send(client, "{\"id\":1,\"connect\":{\"token\":\"%s\"}}",
                        hub_token("%s", cases[i].claims));
        else
            client_send(client, "{\"id\":1,\"connect\":{}}");
        client_expect(client, NULL);
        client_expect_closed(client, cases[i].code);
        hub_stop(&hub);
    }
}

static void insecure_mode_makes_everybody_anonymous_and_immortal(void **state)
{
    (void)state;
    struct hub hub;
    struct wh_arena arena = {0};
    hub_start(&hub, "--client.insecure", NULL);
    struct fake_transport *client = hub_open(&hub, WH_ENCODING_JSON);
    client_send(client, "{\"id\":1,\"connect\":{\"token\":\"%s\"}}",
                hub_token("{\"sub\":\"42\",\"exp\":1600000000}"));
    hub_turn(&hub);
    struct wh_reply reply = client_next(client, &arena);
    assert_non_null(reply.connect);
    assert_false(reply.connect->expires);
    assert_int_equal(client->session->user->id.len, 0);
    client_send(client, "{\"id\":2,\"subscribe\":{\"channel\":\"closed:x\"}}");
    client_expect(client, OK_REPLY(2, "subscribe"));
    wh_arena_deinit(&arena);
    hub_stop(&hub);
}

static void user_past_the_connection_limit_is_closed_with_3504(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, "--client.user_connection_limit=2", NULL);
    struct fake_transport *first = hub_connect_as(&hub, "42");
    hub_connect_as(&hub, "42");
    hub_connect_as(&hub, "43"); /* others are not concerned */
    for (int i = 0; i < 3; i++)
        hub_connect(&hub, WH_ENCODING_JSON); /* nor are anonymous ones */
    struct fake_transport *third = hub_open(&hub, WH_ENCODING_JSON);
    client_send(third, "{\"id\":1,\"connect\":{\"token\":\"%s\"}}", hub_token("{\"sub\":\"42\"}"));
    client_expect_closed(third, WH_DISCONNECT_CONNECTION_LIMIT);
    hub_cut(first);
    hub_connect_as(&hub, "42");
    hub_stop(&hub);
}

/* Order and waiting */

static void replies_keep_the_order_of_commands_however_the_broker_answers(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    hub.broker->is_manual = true;
    struct fake_transport *client = hub_connect(&hub, WH_ENCODING_JSON);
    client_send(client, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n"
                        "{\"id\":3,\"subscribe\":{\"channel\":\"nope:x\"}}\n"
                        "{\"id\":4,\"subscribe\":{\"channel\":\"b\"}}\n"
                        "{\"id\":5,\"subscribe\":{\"channel\":\"a\"}}\n"
                        "{\"id\":6,\"ping\":{}}");
    client_expect(client, NULL);
    fake_broker_answer(hub.broker, CALL_SUBSCRIBE, "b", WH_OK);
    client_expect(client, NULL);
    fake_broker_answer(hub.broker, CALL_SUBSCRIBE, "a", WH_OK);
    client_expect(
        client,
        OK_REPLY(2, "subscribe") "\n" ERROR(3, 102, "unknown channel") "\n" OK_REPLY(
            4, "subscribe") "\n" ERROR(5, 105, "already subscribed") "\n" OK_REPLY(6, "ping"));
    hub_stop(&hub);
}

static void publishes_overlap_and_are_answered_in_order(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    hub.broker->is_manual = true;
    struct fake_transport *client = hub_connect(&hub, WH_ENCODING_JSON);
    client_send(client, "{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":1}}\n"
                        "{\"id\":3,\"publish\":{\"channel\":\"closed:b\",\"data\":2}}\n"
                        "{\"id\":4,\"publish\":{\"channel\":\"c\",\"data\":3}}\n"
                        "{\"id\":5,\"subscribe\":{\"channel\":\"a\"}}");
    hub_turn(&hub);
    assert_int_equal(hub.broker->publishes, 2);
    assert_int_equal(hub.broker->subscribes, 0); /* it waits */
    fake_broker_answer(hub.broker, CALL_PUBLISH, "c", WH_EUNAVAILABLE);
    client_expect(client, NULL);
    fake_broker_answer(hub.broker, CALL_PUBLISH, "a", WH_OK);
    client_expect(client,
                  OK_REPLY(2, "publish") "\n" ERROR(3, 103, "permission denied") "\n" INTERNAL(4));
    assert_int_equal(hub.broker->subscribes, 1);
    fake_broker_answer(hub.broker, CALL_SUBSCRIBE, "a", WH_OK);
    client_expect(client, OK_REPLY(5, "subscribe"));
    hub_stop(&hub);
}

static void command_with_two_requests_waits_for_the_one_that_counts(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    hub.broker->is_manual = true;
    struct fake_transport *client = hub_connect(&hub, WH_ENCODING_JSON);
    client_send(client, "{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":1}}\n"
                        "{\"id\":3,\"unsubscribe\":{\"channel\":\"a\"},"
                        "\"publish\":{\"channel\":\"a\",\"data\":2}}");
    client_expect(client, NULL);
    fake_broker_answer(hub.broker, CALL_PUBLISH, "a", WH_OK);
    client_expect(client, OK_REPLY(2, "publish") "\n" OK_REPLY(3, "unsubscribe"));
    hub_stop(&hub);
}

static void publication_never_precedes_its_subscribe_reply(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    struct fake_transport *other = hub_connect(&hub, WH_ENCODING_JSON);
    client_subscribe(other, "news");
    hub.broker->is_manual = true;
    struct fake_transport *client = hub_connect(&hub, WH_ENCODING_JSON);
    /* "slow" holds back the reply for "news", which the hub carries already. */
    client_send(client, "{\"id\":2,\"subscribe\":{\"channel\":\"slow\"}}\n"
                        "{\"id\":3,\"subscribe\":{\"channel\":\"news\"}}");
    fake_broker_publish(hub.broker, "news", "1");
    fake_broker_publish(hub.broker, "slow", "2");
    client_expect(client, NULL);
    client_expect(other, PUB("news", "1"));
    fake_broker_publish(hub.broker, "news", "3"); /* in the same turn as the reply, before it */
    fake_broker_answer(hub.broker, CALL_SUBSCRIBE, "slow", WH_OK);
    fake_broker_publish(hub.broker, "news", "4"); /* and after it */
    client_expect(client, OK_REPLY(2, "subscribe") "\n" OK_REPLY(3, "subscribe"));
    client_expect(client, PUB("news", "4"));
    client_expect(client, NULL);
    client_expect(other, PUB("news", "3"));
    client_expect(other, PUB("news", "4"));
    hub_stop(&hub);
}

static void no_publication_follows_the_unsubscribe_reply(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    struct fake_transport *client = hub_connect(&hub, WH_ENCODING_JSON);
    client_subscribe(client, "news");
    fake_broker_publish(hub.broker, "news", "1");
    client_send(client, "{\"id\":2,\"unsubscribe\":{\"channel\":\"news\"}}");
    fake_broker_publish(hub.broker, "news", "2");
    client_expect(client, PUB("news", "1"));
    client_expect(client, OK_REPLY(2, "unsubscribe"));
    fake_broker_publish(hub.broker, "news", "3");
    client_expect(client, NULL);
    assert_int_equal(hub.broker->unsubscribes, 1);
    client_send(client, "{\"id\":3,\"unsubscribe\":{\"channel\":\"news\"}}"); /* harmless */
    client_expect(client, OK_REPLY(3, "unsubscribe"));
    hub_stop(&hub);
}

static void what_must_wait_is_held_and_goes_on_in_order(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    hub.broker->is_manual = true;
    struct fake_transport *client = hub_connect(&hub, WH_ENCODING_JSON);
    client_send(client, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n"
                        "{\"id\":3,\"unsubscribe\":{\"channel\":\"a\"}}\n"
                        "{\"id\":4,\"subscribe\":{\"channel\":\"b\"}}");
    assert_false(client->is_reading);
    /* What the library had read already still comes. */
    client_send(client, "{\"id\":5,\"publish\":{\"channel\":\"b\",\"data\":1}}");
    client_send(client, "{\"id\":6,\"ping\":{}}\n{\"id\":7,\"ping\":{}}");
    client_expect(client, NULL);
    fake_broker_answer(hub.broker, CALL_SUBSCRIBE, "a", WH_OK);
    client_expect(client, OK_REPLY(2, "subscribe") "\n" OK_REPLY(3, "unsubscribe"));
    assert_false(client->is_reading);
    fake_broker_answer(hub.broker, CALL_SUBSCRIBE, "b", WH_OK);
    client_expect(client, OK_REPLY(4, "subscribe"));
    assert_false(client->is_reading);
    fake_broker_answer(hub.broker, CALL_PUBLISH, "b", WH_OK);
    client_expect(client, OK_REPLY(5, "publish") "\n" OK_REPLY(6, "ping") "\n" OK_REPLY(7, "ping"));
    assert_true(client->is_reading);
    assert_int_equal(client->session->held.cap, 0);
    hub_stop(&hub);
}

static void held_garbage_closes_when_its_turn_comes(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    hub.broker->is_manual = true;
    struct fake_transport *client = hub_connect(&hub, WH_ENCODING_JSON);
    client_send(client, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n"
                        "{\"id\":3,\"ping\":{}}\nnonsense");
    client_send(client, "{\"id\":4,\"ping\":{}}");
    client_expect_open(client);
    fake_broker_answer(hub.broker, CALL_SUBSCRIBE, "a", WH_OK);
    client_expect(client, OK_REPLY(2, "subscribe") "\n" OK_REPLY(3, "ping"));
    client_expect(client, NULL);
    client_expect_closed(client, WH_DISCONNECT_BAD_REQUEST);
    hub_stop(&hub);
}

static void client_may_leave_while_the_broker_owes_answers(void **state)
{
    (void)state;
    for (int answer_late = 0; answer_late < 2; answer_late++) {
        struct hub hub;
        hub_start(&hub, NULL);
        hub.broker->is_manual = true;
        struct fake_transport *gone = hub_connect(&hub, WH_ENCODING_JSON);
        struct fake_transport *publisher = hub_connect(&hub, WH_ENCODING_JSON);
        client_send(gone, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n"
                          "{\"id\":3,\"subscribe\":{\"channel\":\"b\"}}\n"
                          "{\"id\":4,\"ping\":{}}");
        client_send(publisher, "{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":1}}");
        client_send(publisher, "{\"id\":3,\"ping\":{}}");
        hub_turn(&hub);
        hub_cut(gone);
        session_close(publisher->session, WH_DISCONNECT_FORCE);
        hub_cut(publisher);
        assert_int_equal(hub.broker->unsubscribes, 2);
        if (answer_late) {
            fake_broker_answer(hub.broker, CALL_SUBSCRIBE, "b", WH_OK);
            fake_broker_answer(hub.broker, CALL_SUBSCRIBE, "a", WH_EUNAVAILABLE);
            fake_broker_answer(hub.broker, CALL_PUBLISH, "a", WH_OK);
        } /* else the broker answers them while it closes */
        hub_stop(&hub);
    }
}

static void late_answer_for_a_channel_that_went_does_not_serve_its_successor(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    hub.broker->is_manual = true;
    struct fake_transport *first = hub_connect(&hub, WH_ENCODING_JSON);
    struct fake_transport *second = hub_connect(&hub, WH_ENCODING_JSON);
    client_send(first, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}");
    hub_cut(first);
    client_send(second, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}");
    fake_broker_answer(hub.broker, CALL_SUBSCRIBE, "a", WH_EUNAVAILABLE);
    client_expect(second, NULL);
    fake_broker_answer(hub.broker, CALL_SUBSCRIBE, "a", WH_OK);
    client_expect(second, OK_REPLY(2, "subscribe"));
    hub_stop(&hub);
}

static void broker_failure_is_a_temporary_error_and_leaves_nothing(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    hub.broker->is_manual = true;
    struct fake_transport *ann = hub_connect(&hub, WH_ENCODING_JSON);
    struct fake_transport *bob = hub_connect(&hub, WH_ENCODING_JSON);
    client_send(ann, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}");
    client_send(bob, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}");
    client_send(bob, "{\"id\":3,\"unsubscribe\":{\"channel\":\"a\"}}");
    assert_int_equal(hub.broker->subscribes, 1); /* both wait for one answer */
    fake_broker_answer(hub.broker, CALL_SUBSCRIBE, "a", WH_EUNAVAILABLE);
    client_expect(ann, INTERNAL(2));
    client_expect(bob, INTERNAL(2) "\n" OK_REPLY(3, "unsubscribe"));
    assert_int_equal(hub_metric(&hub, METRIC_CHANNELS), 0);
    assert_int_equal(hub_metric(&hub, METRIC_SUBSCRIPTIONS), 0);
    client_send(ann, "{\"id\":4,\"subscribe\":{\"channel\":\"a\"}}");
    fake_broker_answer(hub.broker, CALL_SUBSCRIBE, "a", WH_OK);
    client_expect(ann, OK_REPLY(4, "subscribe"));
    hub_stop(&hub);
}

/* A held command of one waiter subscribes again while the other still waits for the bad news. */
static void retry_within_the_failure_of_another_asks_the_broker_anew(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    hub.broker->is_manual = true;
    struct fake_transport *ann = hub_connect(&hub, WH_ENCODING_JSON);
    struct fake_transport *bob = hub_connect(&hub, WH_ENCODING_JSON);
    client_send(ann, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n"
                     "{\"id\":3,\"unsubscribe\":{\"channel\":\"a\"}}\n"
                     "{\"id\":4,\"subscribe\":{\"channel\":\"a\"}}");
    client_send(bob, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}");
    fake_broker_answer(hub.broker, CALL_SUBSCRIBE, "a", WH_EUNAVAILABLE);
    client_expect(ann, INTERNAL(2) "\n" OK_REPLY(3, "unsubscribe"));
    client_expect(bob, INTERNAL(2));
    assert_int_equal(hub.broker->subscribes, 2);
    fake_broker_answer(hub.broker, CALL_SUBSCRIBE, "a", WH_OK);
    client_expect(ann, OK_REPLY(4, "subscribe"));
    fake_broker_publish(hub.broker, "a", "1");
    client_expect(ann, PUB("a", "1"));
    client_expect(bob, NULL);
    hub_stop(&hub);
}

static void reading_stops_at_256_commands_that_wait_for_the_broker(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    hub.broker->is_manual = true;
    struct fake_transport *client = hub_connect(&hub, WH_ENCODING_JSON);
    for (int i = 0; i < 300; i++)
        client_send(client, "{\"id\":%d,\"publish\":{\"channel\":\"a\",\"data\":%d}}", i + 2, i);
    assert_int_equal(hub.broker->publishes, PENDING_MAX);
    assert_int_equal(client->session->pending_count, PENDING_MAX);
    assert_false(client->is_reading);
    for (int i = 0; i < 44; i++)
        fake_broker_answer(hub.broker, CALL_PUBLISH, "a", WH_OK);
    assert_int_equal(hub.broker->publishes, 300);
    assert_true(client->is_reading);
    for (int i = 44; i < 300; i++)
        fake_broker_answer(hub.broker, CALL_PUBLISH, "a", WH_OK);
    assert_int_equal(client->session->pending_count, 0);
    hub_stop(&hub);
}

/* Refusals */

static void subscribe_is_refused_with_the_code_of_the_first_rule_broken(void **state)
{
    static const char too_long[] =
        "{\"id\":2,\"subscribe\":{\"channel\":\"0123456789012345678901234567890123456789\"}}";
    static const struct {
        const char *command;
        const char *reply;
    } cases[] = {
        {"{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"type\":1}}", ERROR(2, 108, "not available")},
        {too_long, ERROR(2, 107, "bad request")},
        {"{\"id\":2,\"subscribe\":{\"channel\":\"mine\"}}", ERROR(2, 105, "already subscribed")},
        {"{\"id\":2,\"subscribe\":{\"channel\":\"nope:a\"}}", ERROR(2, 102, "unknown channel")},
        {"{\"id\":2,\"subscribe\":{\"channel\":\"a\\u0000b\"}}", ERROR(2, 107, "bad request")},
        {"{\"id\":2,\"subscribe\":{\"channel\":\"h\xc3\xa9\"}}", ERROR(2, 107, "bad request")},
        {"{\"id\":2,\"subscribe\":{\"channel\":\"closed:a\"}}", ERROR(2, 103, "permission denied")},
        {"{\"id\":2,\"subscribe\":{\"channel\":\"$a\"}}", ERROR(2, 103, "permission denied")},
        {"{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"token\":\"x.y.z\"}}",
         ERROR(2, 103, "permission denied")},
        {"{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"tf\":{\"key\":\"k\"}}}",
         ERROR(2, 107, "bad request")},
    };
    (void)state;
    struct hub hub;
    hub_start(&hub, "--channel.max_length=39", NULL);
    struct fake_transport *client = hub_connect(&hub, WH_ENCODING_JSON);
    client_subscribe(client, "mine");
    for (size_t i = 0; i < COUNT(cases); i++) {
        client_send(client, "%s", cases[i].command);
        client_expect(client, cases[i].reply);
        assert_int_equal(client->session->subscription_count, 1);
    }
    client_expect_open(client);
    hub_stop(&hub);
}

static void subscribe_past_the_channel_limit_is_106(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, "--client.channel_limit=2", NULL);
    struct fake_transport *client = hub_connect(&hub, WH_ENCODING_JSON);
    client_subscribe(client, "a");
    client_subscribe(client, "b");
    client_send(client, "{\"id\":2,\"subscribe\":{\"channel\":\"c\"}}");
    client_expect(client, ERROR(2, 106, "limit exceeded"));
    client_send(client, "{\"id\":3,\"unsubscribe\":{\"channel\":\"a\"}}");
    client_expect(client, OK_REPLY(3, "unsubscribe"));
    client_subscribe(client, "c");
    hub_stop(&hub);
}

static void requests_without_what_they_need_close_with_3501(void **state)
{
    static const char *const commands[] = {
        "{\"id\":2,\"subscribe\":{}}",
        "{\"id\":2,\"subscribe\":{\"channel\":\"\"}}",
        "{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"delta\":\"xdelta\"}}",
        "{\"id\":2,\"unsubscribe\":{}}",
        "{\"id\":2,\"publish\":{\"data\":1}}",
        "{\"id\":2,\"sub_refresh\":{\"token\":\"x\"}}",
        "{\"id\":2,\"refresh\":{}}",
    };
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    for (size_t i = 0; i < COUNT(commands); i++) {
        struct fake_transport *client = hub_connect(&hub, WH_ENCODING_JSON);
        client_send(client, "%s", commands[i]);
        client_expect(client, NULL);
        client_expect_closed(client, WH_DISCONNECT_BAD_REQUEST);
    }
    hub_stop(&hub);
}

static void features_of_later_are_not_available(void **state)
{
    static const char *const requests[] = {
        "presence\":{\"channel\":\"a\"}", "presence_stats\":{\"channel\":\"a\"}",
        "history\":{\"channel\":\"a\"}", "rpc\":{\"method\":\"a.b\"}"};
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    struct fake_transport *client = hub_connect(&hub, WH_ENCODING_JSON);
    for (size_t i = 0; i < COUNT(requests); i++) {
        client_send(client, "{\"id\":2,\"%s}", requests[i]);
        client_expect(client, ERROR(2, 108, "not available"));
    }
    hub_stop(&hub);
}

static void publish_is_checked_before_the_broker_sees_it(void **state)
{
    static const struct {
        const char *request;
        const char *reply;
    } cases[] = {
        {"\"channel\":\"a\",\"data\":{\"x\":1}", OK_REPLY(2, "publish")},
        {"\"channel\":\"json:a\",\"data\":[1]", OK_REPLY(2, "publish")},
        {"\"channel\":\"a\"", ERROR(2, 107, "bad request")},
        {"\"channel\":\"a\",\"data\":null", ERROR(2, 107, "bad request")},
        {"\"channel\":\"a\",\"data\":1,\"type\":1", ERROR(2, 108, "not available")},
        {"\"channel\":\"nope:a\",\"data\":1", ERROR(2, 102, "unknown channel")},
        {"\"channel\":\"closed:a\",\"data\":1", ERROR(2, 103, "permission denied")},
        {"\"channel\":\"talk:other\",\"data\":1", ERROR(2, 103, "permission denied")},
        {"\"channel\":\"talk:mine\",\"data\":1", OK_REPLY(2, "publish")},
    };
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    struct fake_transport *client = hub_connect(&hub, WH_ENCODING_JSON);
    client_subscribe(client, "talk:mine");
    for (size_t i = 0; i < COUNT(cases); i++) {
        client_send(client, "{\"id\":2,\"publish\":{%s}}", cases[i].request);
        client_expect(client, cases[i].reply);
        if (strstr(cases[i].request, "talk:mine"))
            client_expect(client, PUB("talk:mine", "1"));
    }
    assert_int_equal(hub.broker->publishes, 3);
    hub_stop(&hub);
}

static void bytes_are_refused_where_a_channel_wants_json(void **state)
{
    (void)state;
    struct hub hub;
    struct wh_arena arena = {0};
    hub_start(&hub, NULL);
    struct fake_transport *client = hub_connect(&hub, WH_ENCODING_PROTOBUF);
    struct wh_publish_request request = {
        .channel = WH_SLICE_LITERAL("json:a"),
        .data = {WH_PAYLOAD_BYTES, WH_SLICE_LITERAL("\xff\xfe")},
    };
    client_command(client, &(struct wh_command){.id = 2, .publish = &request});
    hub_turn(&hub);
    struct wh_reply reply = client_next(client, &arena);
    assert_non_null(reply.error);
    assert_int_equal(reply.error->code, WH_ERROR_BAD_REQUEST);
    request.data.bytes = WH_SLICE_LITERAL("{}"); /* what Protobuf SDKs send as JSON */
    client_command(client, &(struct wh_command){.id = 3, .publish = &request});
    hub_turn(&hub);
    reply = client_next(client, &arena);
    assert_int_equal(reply.id, 3);
    assert_non_null(reply.publish);
    wh_arena_deinit(&arena);
    hub_stop(&hub);
}

static void publication_carries_its_author(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    struct fake_transport *client = hub_connect_as(&hub, "42");
    client_send(client, "{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":1}}");
    client_expect(client, OK_REPLY(2, "publish"));
    assert_string_equal(hub.broker->last_publisher, "42");
    hub_stop(&hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_command_other_than_connect_closes_with_3501),
        cmocka_unit_test(malformed_frames_close_with_3501),
        cmocka_unit_test(second_connect_closes_with_3501),
        cmocka_unit_test(command_without_any_request_closes_with_3501),
        cmocka_unit_test(connect_and_subscribes_in_one_frame_get_one_frame_of_replies),
        cmocka_unit_test(connect_reply_tells_ping_and_expiry),
        cmocka_unit_test(refused_connect_gets_its_error_and_nothing_after_it_is_read),
        cmocka_unit_test(command_in_a_later_frame_than_a_refused_connect_closes_with_3501),
        cmocka_unit_test(hopeless_connects_are_closed),
        cmocka_unit_test(insecure_mode_makes_everybody_anonymous_and_immortal),
        cmocka_unit_test(user_past_the_connection_limit_is_closed_with_3504),
        cmocka_unit_test(replies_keep_the_order_of_commands_however_the_broker_answers),
        cmocka_unit_test(publishes_overlap_and_are_answered_in_order),
        cmocka_unit_test(command_with_two_requests_waits_for_the_one_that_counts),
        cmocka_unit_test(publication_never_precedes_its_subscribe_reply),
        cmocka_unit_test(no_publication_follows_the_unsubscribe_reply),
        cmocka_unit_test(what_must_wait_is_held_and_goes_on_in_order),
        cmocka_unit_test(held_garbage_closes_when_its_turn_comes),
        cmocka_unit_test(client_may_leave_while_the_broker_owes_answers),
        cmocka_unit_test(late_answer_for_a_channel_that_went_does_not_serve_its_successor),
        cmocka_unit_test(broker_failure_is_a_temporary_error_and_leaves_nothing),
        cmocka_unit_test(retry_within_the_failure_of_another_asks_the_broker_anew),
        cmocka_unit_test(reading_stops_at_256_commands_that_wait_for_the_broker),
        cmocka_unit_test(subscribe_is_refused_with_the_code_of_the_first_rule_broken),
        cmocka_unit_test(subscribe_past_the_channel_limit_is_106),
        cmocka_unit_test(requests_without_what_they_need_close_with_3501),
        cmocka_unit_test(features_of_later_are_not_available),
        cmocka_unit_test(publish_is_checked_before_the_broker_sees_it),
        cmocka_unit_test(bytes_are_refused_where_a_channel_wants_json),
        cmocka_unit_test(publication_carries_its_author),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
