/* What holds for both brokers: every test runs on each. */
#include "tests/unit/hub/broker_fixture.h"

static int setup(void **state, enum engine_type type)
{
    struct fixture *f = fixture_new();
    if (type == ENGINE_REDIS)
        redis_server_start(&f->server, NULL);
    open_broker(f, type);
    *state = f;
    return wait_up(f) ? 0 : -1;
}

static int setup_memory(void **state)
{
    return setup(state, ENGINE_MEMORY);
}

static int setup_redis(void **state)
{
    return setup(state, ENGINE_REDIS);
}

static int teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

static void publication_reaches_a_subscribed_channel_once_and_complete(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(subscribe(f, "news"), WH_OK);
    assert_int_equal(publish(f, "news", "{\"a\":1}"), WH_OK);
    assert_int_equal(publish(f, "other", "{\"a\":2}"), WH_OK);
    assert_int_equal(publish(f, "news", "\"end\""), WH_OK);
    assert_true(wait_for_pubs(f, 2));
    assert_int_equal(f->pub_count, 2);
    assert_string_equal(f->pubs[0].channel, "news");
    assert_string_equal(f->pubs[0].data, "{\"a\":1}");
    assert_int_equal(f->pubs[0].kind, WH_PAYLOAD_JSON);
    assert_false(f->pubs[0].is_plain);
    assert_string_equal(f->pubs[1].data, "\"end\"");
}

static void publications_arrive_in_the_order_published(void **state)
{
    enum { COUNT = 1000 };
    struct fixture *f = *state;
    struct result results[COUNT] = {0};
    char json[16];
    assert_int_equal(subscribe(f, "seq"), WH_OK);
    for (int i = 0; i < COUNT; i++) {
        snprintf(json, sizeof json, "%d", i);
        start_publish(f, WH_SLICE_LITERAL("seq"), json, &results[i]);
    }
    assert_true(wait_for_pubs(f, COUNT));
    for (int i = 0; i < COUNT; i++) {
        snprintf(json, sizeof json, "%d", i);
        assert_string_equal(f->pubs[i].data, json);
        assert_true(run_until_true(&f->loop, &results[i].is_done, WAIT_MS));
        assert_int_equal(results[i].calls, 1);
        assert_int_equal(results[i].err, WH_OK);
    }
    assert_int_equal(f->pub_count, COUNT);
}

/* Publishes to the channel, then to a fence: is the fence all that arrives? */
static bool is_silent(struct fixture *f)
{
    size_t before = f->pub_count;
    assert_int_equal(publish(f, "gone", "1"), WH_OK);
    assert_int_equal(publish(f, "fence", "1"), WH_OK);
    assert_true(wait_for_pubs(f, before + 1));
    run_for(&f->loop, 20);
    return f->pub_count == before + 1;
}

static void unsubscribed_channel_falls_silent_and_can_come_back(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(subscribe(f, "gone"), WH_OK);
    assert_int_equal(subscribe(f, "fence"), WH_OK);
    unsubscribe(f, "gone");
    int tries = 0;
    while (!is_silent(f))
        assert_true(++tries < WAIT_MS / 20);
    f->pub_count = 0;
    assert_int_equal(subscribe(f, "gone"), WH_OK);
    f->pub_count = 0;
    assert_int_equal(publish(f, "gone", "2"), WH_OK);
    assert_true(wait_for_pubs(f, 1));
    assert_string_equal(f->pubs[0].data, "2");
}

static void unsubscribe_of_an_unknown_channel_is_harmless(void **state)
{
    struct fixture *f = *state;
    unsubscribe(f, "never");
    assert_int_equal(subscribe(f, "x"), WH_OK);
    unsubscribe(f, "x");
    unsubscribe(f, "x");
    assert_int_equal(subscribe(f, "x"), WH_OK);
}

static void subscribe_taken_back_before_its_answer_still_gets_one(void **state)
{
    struct fixture *f = *state;
    struct result first = {0};
    struct result second = {0};
    struct wh_slice name = WH_SLICE_LITERAL("flap");
    f->broker->ops->subscribe(f->broker, name, on_result, &first);
    f->broker->ops->unsubscribe(f->broker, name);
    f->broker->ops->subscribe(f->broker, name, on_result, &second);
    assert_true(run_until_true(&f->loop, &second.is_done, WAIT_MS));
    assert_int_equal(first.calls, 1);
    assert_int_equal(second.err, WH_OK);
    assert_int_equal(publish(f, "flap", "1"), WH_OK);
    assert_true(wait_for_pubs(f, 1));
}

static void names_of_any_bytes_are_names_and_nothing_else(void **state)
{
    static const struct wh_slice names[] = {
        {"a b", 3},      {"*", 1},        {"[a-z]?", 6},      {"a\r\nb", 4},   {"x\r\nPING\r\n", 9},
        {"nul\0nul", 7}, {"\xff\xfe", 2}, {"$5\r\nhello", 9}, {"\xC3\xA4", 2},
    };
    enum { COUNT = sizeof names / sizeof names[0] };
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(subscribe_slice(f, names[i]), WH_OK);
    for (size_t i = 0; i < COUNT; i++) {
        struct result result = {0};
        start_publish(f, names[i], "7", &result);
        assert_true(run_until_true(&f->loop, &result.is_done, WAIT_MS));
        assert_true(wait_for_pubs(f, i + 1));
        assert_int_equal(f->pubs[i].channel_len, names[i].len);
        assert_memory_equal(f->pubs[i].channel, names[i].ptr, names[i].len);
    }
    assert_int_equal(f->pub_count, COUNT);
}

static void close_answers_everything_outstanding_once(void **state)
{
    struct fixture *f = *state;
    struct result subscribed = {0};
    struct result published = {0};
    f->broker->ops->subscribe(f->broker, WH_SLICE_LITERAL("late"), on_result, &subscribed);
    start_publish(f, WH_SLICE_LITERAL("late"), "1", &published);
    close_broker(f);
    assert_int_equal(subscribed.calls, 1);
    assert_int_equal(subscribed.err, WH_ECLOSED);
    assert_int_equal(published.calls, 1);
    assert_int_equal(published.err, WH_ECLOSED);
    assert_int_equal(f->pub_count, 0);
}

int main(void)
{
#define ON_BOTH(test)                                                                              \
    {"memory: " #test, test, setup_memory, teardown, NULL},                                        \
    {                                                                                              \
        "redis: " #test, test, setup_redis, teardown, NULL                                         \
    }
    const struct CMUnitTest tests[] = {
        ON_BOTH(publication_reaches_a_subscribed_channel_once_and_complete),
        ON_BOTH(publications_arrive_in_the_order_published),
        ON_BOTH(unsubscribed_channel_falls_silent_and_can_come_back),
        ON_BOTH(unsubscribe_of_an_unknown_channel_is_harmless),
        ON_BOTH(subscribe_taken_back_before_its_answer_still_gets_one),
        ON_BOTH(names_of_any_bytes_are_names_and_nothing_else),
        ON_BOTH(close_answers_everything_outstanding_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
