/*
 * Everything that a subscription can do, again and again with another
 * allocation failing: nothing crashes, nothing leaks, every call says WH_ENOMEM or works, and with
 * memory again the client comes back to where it should be.
 */
#include "sub_fixture.h"

#include "common/base/random.h"

static struct fx the_fx;
static int users_freed;

static void note_free(void *user)
{
    ++*(int *)user;
}

static const struct wh_sub_events events = {.size = sizeof(events),
                                            .get_token = fx_get_token,
                                            .get_state = fx_get_state};

static struct wh_sub *new_sub(struct fx *fx, const char *channel, bool is_delta)
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
    enum wh_err err = sub_new(&fx->engine, channel, &options, &sub, NULL);
    assert_true(err == WH_OK || err == WH_ENOMEM);
    return sub;
}

/* The server: answers all that was asked, with all that an answer can have. */
static void answer(struct fx *fx)
{
    const struct wh_command *command;
    while ((command = fx_take_any(fx))) {
        if (command->connect)
            fx_say(fx,
                   "{\"id\":%u,\"connect\":{\"client\":\"x\",\"subs\":{\"s\":{" RECOVERABLE
                   "1,\"publications\":[{\"data\":1,\"offset\":1,\"tags\":{\"k\":\"v\"}}]}}}}",
                   command->id);
        else if (command->subscribe && command->subscribe->delta.len > 0)
            fx_say(fx,
                   "{\"id\":%u,\"subscribe\":{" RECOVERABLE "1,\"delta\":true,\"id\":7,"
                   "\"expires\":true,\"ttl\":5,\"publications\":[{\"data\":\"{\\\"a\\\":1}\","
                   "\"offset\":2},{\"data\":\"7\\n7:{\\\"a\\\":2}2qLDtY;\",\"offset\":3,\"delta\":"
                   "true}]}}",
                   command->id);
        else if (command->subscribe)
            fx_say(fx, "{\"id\":%u,\"subscribe\":{" RECOVERABLE "1,\"id\":8}}", command->id);
        else if (command->unsubscribe)
            fx_say(fx, "{\"id\":%u,\"unsubscribe\":{}}", command->id);
        else if (command->sub_refresh)
            fx_say(fx, "{\"id\":%u,\"sub_refresh\":{\"expires\":true,\"ttl\":5}}", command->id);
    }
}

/* The program: answers all that it is asked. */
static void answer_requests(struct fx *fx)
{
    if (fx->token_request)
        fx_answer_token(fx, "token");
    if (fx->state_request)
        fx_answer_state(fx, 1, "e");
}

static void turn(struct fx *fx, unsigned turns)
{
    for (unsigned i = 0; i < turns; i++) {
        fx_act(fx);
        answer(fx);
        fx_run(fx);
        answer_requests(fx);
        fx_advance(fx, 700);
    }
}

static void push(struct fx *fx, const char *push_json)
{
    if (fx->engine.state == ENGINE_CONNECTED)
        fx_say(fx, "{\"push\":{%s}}", push_json);
}

static void subscribe(struct wh_sub *sub)
{
    if (sub) {
        enum wh_err err = sub_subscribe(sub);
        assert_true(err == WH_OK || err == WH_ENOMEM);
    }
}

static void live(struct fx *fx, struct wh_sub *plain, struct wh_sub *delta)
{
    enum wh_err err = engine_connect(&fx->engine);
    assert_true(err == WH_OK || err == WH_ENOMEM);
    subscribe(plain);
    subscribe(delta);
    turn(fx, 4);
    push(fx, "\"id\":8,\"pub\":{\"data\":1,\"offset\":2,\"tags\":{\"k\":\"v\"},"
             "\"info\":{\"user\":\"\\u00fc\",\"client\":\"y\"}}");
    push(fx, "\"channel\":\"plain\",\"join\":{\"info\":{\"user\":\"\\u00fc\",\"client\":\"y\"}}");
    push(fx, "\"channel\":\"s\",\"leave\":{\"info\":{\"user\":\"\\u00fc\",\"client\":\"y\"}}");
    push(fx, "\"channel\":\"s\",\"pub\":{\"data\":1,\"offset\":2}");
    push(fx, "\"channel\":\"new\",\"subscribe\":{" RECOVERABLE "3}");
    push(fx, "\"channel\":\"new\",\"unsubscribe\":{\"code\":2000,\"reason\":\"r\"}");
    push(fx, "\"channel\":\"plain\",\"unsubscribe\":{\"code\":2502,\"reason\":\"r\"}");
    push(fx, "\"channel\":\"delta\",\"pub\":{\"data\":\"nonsense\",\"delta\":true}");
    turn(fx, 10);
    push(fx, "\"channel\":\"delta\",\"unsubscribe\":{\"code\":2000,\"reason\":\"r\"}");
    if (plain)
        sub_unsubscribe(plain, 0, "u");
    turn(fx, 2);
    subscribe(plain);
    fx_lose(fx);
    turn(fx, 2);
}

/* One life; `nth` allocation fails, or messages may take no more than `arena_limit`.  true = it was
 * asked for that much. */
static bool one_life(size_t nth, size_t arena_limit)
{
    struct fx *fx = &the_fx;
    wh_random_seed(7);
    users_freed = 0;
    fx_init(fx, WH_ENCODING_JSON);
    fx->is_quiet = true;
    fx->message_arena_limit = arena_limit;
    failing_alloc_start(nth);
    struct wh_sub *plain = new_sub(fx, "plain", false), *delta = new_sub(fx, "delta", true);
    live(fx, plain, delta);
    bool has_failed = failing_alloc_stop();
    fx->message_arena_limit = 0;
    int made = (plain != NULL) + (delta != NULL);
    assert_int_equal(engine_connect(&fx->engine), WH_OK);
    subscribe(plain);
    turn(fx, 40);
    if (plain)
        assert_int_equal(plain->state, WH_SUB_SUBSCRIBED);
    assert_int_equal(fx->engine.state, ENGINE_CONNECTED);
    if (plain)
        sub_forget(plain);
    engine_close(&fx->engine);
    fx_run(fx);
    assert_int_equal(users_freed, made);
    fx_deinit(fx);
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
