/*
 * Everything that a subscription can do, again and again with another
 * allocation failing: nothing crashes, nothing leaks, every call says WH_ENOMEM or works, and with
 * memory again the client comes back to where it should be.
 */
#include "common/base/random.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/fake_sdk.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct fake_sdk the_fake;
static int users_freed;

static void note_free(void *user)
{
    ++*(int *)user;
}

static const struct wh_sub_events events = {.size = sizeof(events),
                                            .get_token = fake_sdk_sub_get_token,
                                            .get_state = fake_sdk_sub_get_state};

static struct wh_sub *new_sub(struct fake_sdk *fake, const char *channel, bool is_delta)
{
    static const struct wh_filter leaves[] = {{.key = "k", .cmp = "eq", .val = "v"},
                                              {.key = "l", .cmp = "ex"}};
    static const struct wh_filter root = {.op = "or", .nodes = leaves, .node_count = 2};
    const struct wh_sub_options options = {.size = sizeof(options),
                                           .token = "t",
                                           .data = wh_json("{\"d\":1}"),
                                           .recoverable = true,
                                           .delta = is_delta,
                                           .filter = is_delta ? NULL : &root,
                                           .events = &events,
                                           .user = &users_freed,
                                           .user_free = note_free};
    struct wh_sub *sub = NULL;
    enum wh_err err = sub_new(&fake->engine, channel, &options, &sub, NULL);
    assert_true(err == WH_OK || err == WH_ENOMEM);
    return sub;
}

/* The server: answers all that was asked, with all that an answer can have. */
static void answer(struct fake_sdk *fake)
{
    const struct wh_command *command;
    while ((command = fake_sdk_take_command(fake))) {
        if (command->connect)
            fake_sdk_say(
                fake,
                "{\"id\":%u,\"connect\":{\"client\":\"x\",\"subs\":{\"s\":{" RECOVERABLE
                "1,\"publications\":[{\"data\":1,\"offset\":1,\"tags\":{\"k\":\"v\"}}]}}}}",
                command->id);
        else if (command->subscribe && command->subscribe->delta.len > 0)
            fake_sdk_say(
                fake,
                "{\"id\":%u,\"subscribe\":{" RECOVERABLE "1,\"delta\":true,\"id\":7,"
                "\"expires\":true,\"ttl\":5,\"publications\":[{\"data\":\"{\\\"a\\\":1}\","
                "\"offset\":2},{\"data\":\"7\\n7:{\\\"a\\\":2}2qLDtY;\",\"offset\":3,\"delta\":"
                "true}]}}",
                command->id);
        else if (command->subscribe)
            fake_sdk_say(fake, "{\"id\":%u,\"subscribe\":{" RECOVERABLE "1,\"id\":8}}",
                         command->id);
        else if (command->unsubscribe)
            fake_sdk_say(fake, "{\"id\":%u,\"unsubscribe\":{}}", command->id);
        else if (command->sub_refresh)
            fake_sdk_say(fake, "{\"id\":%u,\"sub_refresh\":{\"expires\":true,\"ttl\":5}}",
                         command->id);
    }
}

/* The program: answers all that it is asked. */
static void answer_requests(struct fake_sdk *fake)
{
    static const struct wh_position position = {1, "e"};
    while (fake->token_request_count > 0)
        wh_token_ok(fake_sdk_take_token_request(fake), "token");
    while (fake->state_request_count > 0)
        wh_state_ok(fake_sdk_take_state_request(fake), &position);
}

static void turn(struct fake_sdk *fake, unsigned turns)
{
    for (unsigned i = 0; i < turns; i++) {
        fake_sdk_act(fake);
        answer(fake);
        fake_sdk_run(fake);
        answer_requests(fake);
        fake_sdk_advance(fake, 700);
    }
}

static void push(struct fake_sdk *fake, const char *push_json)
{
    if (fake->engine.state == ENGINE_CONNECTED)
        fake_sdk_say(fake, "{\"push\":{%s}}", push_json);
}

static void subscribe(struct wh_sub *sub)
{
    if (sub) {
        enum wh_err err = sub_subscribe(sub);
        assert_true(err == WH_OK || err == WH_ENOMEM);
    }
}

static void live(struct fake_sdk *fake, struct wh_sub *plain, struct wh_sub *delta)
{
    enum wh_err err = engine_connect(&fake->engine);
    assert_true(err == WH_OK || err == WH_ENOMEM);
    subscribe(plain);
    subscribe(delta);
    turn(fake, 4);
    push(fake, "\"id\":8,\"pub\":{\"data\":1,\"offset\":2,\"tags\":{\"k\":\"v\"},"
               "\"info\":{\"user\":\"\\u00fc\",\"client\":\"y\"}}");
    push(fake, "\"channel\":\"plain\",\"join\":{\"info\":{\"user\":\"\\u00fc\",\"client\":\"y\"}}");
    push(fake, "\"channel\":\"s\",\"leave\":{\"info\":{\"user\":\"\\u00fc\",\"client\":\"y\"}}");
    push(fake, "\"channel\":\"s\",\"pub\":{\"data\":1,\"offset\":2}");
    push(fake, "\"channel\":\"new\",\"subscribe\":{" RECOVERABLE "3}");
    push(fake, "\"channel\":\"new\",\"unsubscribe\":{\"code\":2000,\"reason\":\"r\"}");
    push(fake, "\"channel\":\"plain\",\"unsubscribe\":{\"code\":2502,\"reason\":\"r\"}");
    push(fake, "\"channel\":\"delta\",\"pub\":{\"data\":\"nonsense\",\"delta\":true}");
    turn(fake, 10);
    push(fake, "\"channel\":\"delta\",\"unsubscribe\":{\"code\":2000,\"reason\":\"r\"}");
    if (plain)
        sub_unsubscribe(plain, 0, "u");
    turn(fake, 2);
    subscribe(plain);
    fake_sdk_lose(fake);
    turn(fake, 2);
}

/* One life; `nth` allocation fails, or messages may take no more than `arena_limit`.  true = it was
 * asked for that much. */
static bool one_life(size_t nth, size_t arena_limit)
{
    struct fake_sdk *fake = &the_fake;
    wh_random_seed(7);
    users_freed = 0;
    assert_true(fake_sdk_init(fake, NULL));
    fake->message_arena_limit = arena_limit;
    fake->on_harness = failing_alloc_pause;
    failing_alloc_start(nth);
    struct wh_sub *plain = new_sub(fake, "plain", false), *delta = new_sub(fake, "delta", true);
    live(fake, plain, delta);
    bool has_failed = failing_alloc_stop();
    fake->on_harness = NULL;
    fake->message_arena_limit = 0;
    int made = (plain != NULL) + (delta != NULL);
    assert_int_equal(engine_connect(&fake->engine), WH_OK);
    subscribe(plain);
    turn(fake, 40);
    if (plain)
        assert_int_equal(plain->state, WH_SUB_SUBSCRIBED);
    assert_int_equal(fake->engine.state, ENGINE_CONNECTED);
    if (plain)
        sub_forget(plain);
    engine_close(&fake->engine);
    fake_sdk_run(fake);
    assert_int_equal(users_freed, made);
    fake_sdk_deinit(fake);
    return has_failed;
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    size_t nth = 1;
    while (one_life(nth, 0))
        nth++;
    print_message("%zu allocations failed\n", nth - 1);
    assert_true(nth > 50);
}

static void any_message_may_be_too_much_for_its_arena(void **state)
{
    (void)state;
    for (size_t limit = 16; limit < 8000; limit += 16)
        one_life(SIZE_MAX, limit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_allocation_may_fail),
        cmocka_unit_test(any_message_may_be_too_much_for_its_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
