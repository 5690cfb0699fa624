/* Subscriptions that the server made: events of the client, positions for the next connect. */
#include "sub_fixture.h"

#include "common/base/random.h"

static struct fx the_fx;

static int setup(void **state)
{
    wh_random_seed(1);
    fx_init(&the_fx, WH_ENCODING_JSON);
    *state = &the_fx;
    return 0;
}

static int teardown(void **state)
{
    fx_deinit(*state);
    return 0;
}

static void connect_with(struct fx *fx, const char *subs)
{
    fx_say(fx, "{\"id\":%u,\"connect\":{\"client\":\"x\",\"subs\":{%s}}}", fx_open(fx)->id, subs);
}

static void those_of_the_connect_reply_are_subscribed_after_connected(void **state)
{
    struct fx *fx = *state;
    connect_with(fx, "\"#42\":{" RECOVERABLE "3,\"data\":{\"a\":1}},\"b\":{}");
    fx_expect(fx, "connecting 0 connect called\nconnected\n"
                  "server subscribed #42 3:e recoverable {\"a\":1}\nserver subscribed b\n");
}

static void a_lost_connection_recovers_them_by_the_next_connect(void **state)
{
    struct fx *fx = *state;
    connect_with(fx, "\"a\":{" RECOVERABLE "3},\"b\":{}");
    fx_say(fx, "{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":4,\"offset\":4}}}\n"
               "{\"push\":{\"channel\":\"b\",\"pub\":{\"data\":1}}}");
    fx_forget(fx);
    fx_lose(fx);
    fx_run(fx);
    /* In no particular order. */
    assert_non_null(strstr(fx->log, "server subscribing a 1 transport closed\n"));
    assert_non_null(strstr(fx->log, "server subscribing b 1 transport closed\n"));
    fx_forget(fx);
    const struct wh_command *command = fx_open(fx);
    assert_int_equal(command->connect->subs.count, 1);
    assert_true(wh_slice_equal_str(command->connect->subs.keys[0], "a"));
    assert_true(command->connect->subs.values[0].recover);
    assert_int_equal(command->connect->subs.values[0].offset, 4);
    assert_true(wh_slice_equal_str(command->connect->subs.values[0].epoch, "e"));
    fx_say(fx,
           "{\"id\":%u,\"connect\":{\"client\":\"x\",\"subs\":{\"a\":{" RECOVERABLE
           "6,\"was_recovering\":true,\"recovered\":true,\"publications\":["
           "{\"data\":4,\"offset\":4},{\"data\":5,\"offset\":5},{\"data\":6,\"offset\":6}]}}}}",
           command->id);
    fx_expect(fx, "connected\nserver subscribed a 6:e recoverable recovered\n"
                  "server pub a 5 #5\nserver pub a 6 #6\n"
                  "server unsubscribed b 0 not among the subscriptions of this connection\n");
    fx_say(fx, "{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":6,\"offset\":6}}}\n"
               "{\"push\":{\"channel\":\"b\",\"pub\":{\"data\":1}}}");
    fx_expect(fx, "");
}

static void what_was_lost_is_said(void **state)
{
    struct fx *fx = *state;
    connect_with(fx, "\"a\":{" RECOVERABLE "3}");
    fx_lose(fx);
    fx_forget(fx);
    connect_with(fx, "\"a\":{\"recoverable\":true,\"epoch\":\"f\",\"offset\":1,"
                     "\"was_recovering\":true}");
    fx_expect(fx, "connected\nserver subscribed a 1:f recoverable lost\n");
}

static void pushes_add_and_remove_them(void **state)
{
    struct fx *fx = *state;
    connect_with(fx, "");
    fx_forget(fx);
    fx_say(fx, "{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":0}}}\n"
               "{\"push\":{\"channel\":\"a\",\"subscribe\":{" RECOVERABLE "3}}}\n"
               "{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":4,\"offset\":4}}}\n"
               "{\"push\":{\"channel\":\"a\",\"join\":{\"info\":{\"user\":\"u\","
               "\"client\":\"y\"}}}}\n"
               "{\"push\":{\"channel\":\"a\",\"leave\":{\"info\":{\"user\":\"u\","
               "\"client\":\"y\"}}}}\n"
               "{\"push\":{\"channel\":\"a\",\"unsubscribe\":{\"code\":2000,\"reason\":\"r\"}}}\n"
               "{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":5,\"offset\":5}}}");
    fx_expect(fx, "server subscribed a 3:e recoverable\nserver pub a 4 #4\nserver join a u/y\n"
                  "server leave a u/y\nserver unsubscribed a 2000 unsubscribed by the server\n");
    fx_lose(fx);
    assert_int_equal(fx_open(fx)->connect->subs.count, 0);
}

static void pushes_go_to_a_subscription_of_the_program_where_there_is_one(void **state)
{
    struct fx *fx = *state;
    connect_with(fx, "\"a\":{}");
    struct wh_sub *sub = fx_sub(fx, "a", NULL);
    fx_subscribe(fx, sub, "");
    fx_say(fx, "{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":1}}}");
    struct event *event = engine_take_event(&fx->engine);
    assert_ptr_equal(event->sub, sub);
    event_free(event);
    sub_unsubscribe(sub, 0, "u");
    fx_forget(fx);
    fx_say(fx, "{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":2}}}");
    fx_expect(fx, "server pub a 2\n");
}

static void closing_with_3014_invalidates_their_positions(void **state)
{
    struct fx *fx = *state;
    connect_with(fx, "\"a\":{" RECOVERABLE "3}");
    engine_closed(&fx->engine, fx->connection, 3014, WH_SLICE_LITERAL("s"), NULL);
    const struct wh_connect_request *request = fx_open(fx)->connect;
    assert_int_equal(request->subs.count, 1);
    assert_int_equal(request->subs.values[0].offset, 0);
    assert_true(wh_slice_equal_str(request->subs.values[0].epoch, "_"));
}

static void absurd_names_are_told_and_passed_over(void **state)
{
    struct fx *fx = *state;
    char name[300];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    connect_with(fx, "");
    fx_forget(fx);
    fx_say(fx, "{\"push\":{\"channel\":\"%s\",\"subscribe\":{}}}", name);
    fx_say(fx, "{\"push\":{\"channel\":\"a\\u0000b\",\"subscribe\":{}}}");
    fx_say(fx, "{\"push\":{\"subscribe\":{}}}");
    fx_expect(fx, "error WH_EFORMAT 0\nerror WH_EFORMAT 0\nerror WH_EFORMAT 0\n");
    assert_int_equal(fx->engine.server_subs.count, 0);
}

static void their_number_is_bounded(void **state)
{
    struct fx *fx = *state;
    connect_with(fx, "");
    fx->is_quiet = true;
    for (unsigned i = 0; i <= ENGINE_SUBS_MAX; i++) {
        fx_say(fx, "{\"push\":{\"channel\":\"c%u\",\"subscribe\":{}}}", i);
        if (i % 1000 == 0)
            fx_run(fx);
    }
    assert_int_equal(fx->engine.server_subs.count, ENGINE_SUBS_MAX);
    struct wh_sub *sub;
    assert_int_equal(sub_new(&fx->engine, "x", NULL, &sub, NULL), WH_ELIMIT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(those_of_the_connect_reply_are_subscribed_after_connected),
        TEST(a_lost_connection_recovers_them_by_the_next_connect),
        TEST(what_was_lost_is_said),
        TEST(pushes_add_and_remove_them),
        TEST(pushes_go_to_a_subscription_of_the_program_where_there_is_one),
        TEST(closing_with_3014_invalidates_their_positions),
        TEST(absurd_names_are_told_and_passed_over),
        TEST(their_number_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
