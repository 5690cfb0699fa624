/* Streams, joins and control messages: what holds for both brokers.  Every test runs on each. */
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

static const struct broker_publish_options kept = {.history_size = 10,
                                                   .history_ttl_ms = 60000,
                                                   .meta_ttl_ms = 600000};

/* Publish 1, 2, … count with a history of `kept`; the epoch goes to `out_epoch`. */
static void fill(struct fixture *f, const char *channel, unsigned count, char out_epoch[16])
{
    for (unsigned i = 1; i <= count; i++) {
        char json[16];
        snprintf(json, sizeof json, "%u", i);
        struct result result = publish_with(f, channel, json, &kept);
        assert_int_equal(result.err, WH_OK);
        assert_int_equal(result.offset, i);
        snprintf(out_epoch, 16, "%s", result.epoch);
    }
}

static struct answer read_all(struct fixture *f, const char *channel)
{
    return history(f, wh_slice_from_str(channel),
                   (struct broker_history_query){.limit = 1000, .meta_ttl_ms = 600000});
}

static void expect_offsets(const struct answer *answer, const char *expected)
{
    char found[256] = "";
    for (size_t i = 0; i < answer->count; i++) {
        size_t used = strlen(found);
        snprintf(found + used, sizeof found - used, "%s%llu", i ? " " : "",
                 (unsigned long long)answer->offsets[i]);
        char json[24];
        snprintf(json, sizeof json, "%llu", (unsigned long long)answer->offsets[i]);
        assert_string_equal(answer->data[i], json);
    }
    assert_int_equal(answer->err, WH_OK);
    assert_string_equal(found, expected);
}

static void offsets_count_from_one_and_the_epoch_stays(void **state)
{
    struct fixture *f = *state;
    char epoch[16];
    assert_int_equal(subscribe(f, "a"), WH_OK);
    fill(f, "a", 3, epoch);
    assert_int_equal(strlen(epoch), 8);
    assert_true(wait_for_pubs(f, 3));
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(f->pubs[i].offset, i + 1);
        assert_string_equal(f->pubs[i].epoch, epoch);
        assert_false(f->pubs[i].is_plain);
        assert_int_equal(f->pubs[i].kind, WH_PAYLOAD_JSON);
    }
    struct answer answer = read_all(f, "a");
    expect_offsets(&answer, "1 2 3");
    assert_int_equal(answer.top, 3);
    assert_string_equal(answer.epoch, epoch);
    answer = read_all(f, "b");
    assert_int_equal(answer.top, 0);
    assert_int_equal(strlen(answer.epoch), 8);
    assert_string_not_equal(answer.epoch, epoch);
}

static void publication_without_history_has_no_position_and_leaves_the_stream_alone(void **state)
{
    struct fixture *f = *state;
    char epoch[16];
    assert_int_equal(subscribe(f, "a"), WH_OK);
    fill(f, "a", 1, epoch);
    struct result result = publish_with(f, "a", "\"live\"", NULL);
    assert_int_equal(result.err, WH_OK);
    assert_int_equal(result.offset, 0);
    assert_string_equal(result.epoch, "");
    assert_true(wait_for_pubs(f, 2));
    assert_int_equal(f->pubs[1].offset, 0);
    struct answer answer = read_all(f, "a");
    expect_offsets(&answer, "1");
}

static void reading_makes_the_epoch_that_the_first_publication_has(void **state)
{
    struct fixture *f = *state;
    char epoch[16];
    struct answer before =
        history(f, WH_SLICE_LITERAL("a"), (struct broker_history_query){.meta_ttl_ms = 600000});
    assert_int_equal(before.top, 0);
    assert_int_equal(before.count, 0);
    fill(f, "a", 1, epoch);
    assert_string_equal(before.epoch, epoch);
}

static void queries_at_every_boundary(void **state)
{
    /* 15 were published and 10 are kept: 6 to 15. */
    static const struct {
        struct broker_history_query query;
        const char *offsets;
    } cases[] = {
        {{.limit = 0}, ""},
        {{.limit = 1}, "6"},
        {{.limit = 3}, "6 7 8"},
        {{.limit = 10}, "6 7 8 9 10 11 12 13 14 15"},
        {{.limit = UINT64_MAX}, "6 7 8 9 10 11 12 13 14 15"},
        {{.has_since = true, .since = 0, .limit = 2}, "6 7"},
        {{.has_since = true, .since = 4, .limit = 2}, "6 7"},
        {{.has_since = true, .since = 5, .limit = 2}, "6 7"},
        {{.has_since = true, .since = 6, .limit = 2}, "7 8"},
        {{.has_since = true, .since = 13, .limit = 9}, "14 15"},
        {{.has_since = true, .since = 14, .limit = 9}, "15"},
        {{.has_since = true, .since = 15, .limit = 9}, ""},
        {{.has_since = true, .since = 16, .limit = 9}, ""},
        {{.has_since = true, .since = UINT64_MAX, .limit = 9}, ""},
        {{.has_since = true, .since = 6, .limit = 0}, ""},
        {{.reverse = true, .limit = 0}, ""},
        {{.reverse = true, .limit = 1}, "15"},
        {{.reverse = true, .limit = 3}, "15 14 13"},
        {{.reverse = true, .limit = 99}, "15 14 13 12 11 10 9 8 7 6"},
        {{.reverse = true, .has_since = true, .since = 0, .limit = 9}, ""},
        {{.reverse = true, .has_since = true, .since = 1, .limit = 9}, ""},
        {{.reverse = true, .has_since = true, .since = 6, .limit = 9}, ""},
        {{.reverse = true, .has_since = true, .since = 7, .limit = 9}, "6"},
        {{.reverse = true, .has_since = true, .since = 9, .limit = 2}, "8 7"},
        {{.reverse = true, .has_since = true, .since = 15, .limit = 1}, "14"},
        {{.reverse = true, .has_since = true, .since = 16, .limit = 1}, "15"},
        {{.reverse = true, .has_since = true, .since = 17, .limit = 1}, "15"},
        {{.reverse = true, .has_since = true, .since = UINT64_MAX, .limit = 1}, "15"},
    };
    struct fixture *f = *state;
    char epoch[16];
    fill(f, "a", 15, epoch);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct broker_history_query query = cases[i].query;
        query.meta_ttl_ms = 600000;
        struct answer answer = history(f, WH_SLICE_LITERAL("a"), query);
        expect_offsets(&answer, cases[i].offsets);
        assert_int_equal(answer.top, 15);
        assert_string_equal(answer.epoch, epoch);
    }
}

static void size_may_grow_and_shrink(void **state)
{
    struct fixture *f = *state;
    struct broker_publish_options options = kept;
    char epoch[16];
    fill(f, "a", 15, epoch);
    options.history_size = 12;
    assert_int_equal(publish_with(f, "a", "16", &options).offset, 16);
    struct answer answer = read_all(f, "a");
    expect_offsets(&answer, "6 7 8 9 10 11 12 13 14 15 16");
    options.history_size = 2;
    assert_int_equal(publish_with(f, "a", "17", &options).offset, 17);
    answer = read_all(f, "a");
    expect_offsets(&answer, "16 17");
}

static void large_history_is_read_whole_and_in_order(void **state)
{
    enum { COUNT = 500 };
    struct fixture *f = *state;
    struct broker_publish_options options = kept;
    struct result results[COUNT] = {0};
    options.history_size = COUNT;
    for (int i = 0; i < COUNT; i++) {
        char json[16];
        snprintf(json, sizeof json, "%d", i + 1);
        start_publish_with(f, WH_SLICE_LITERAL("a"), json, &options, &results[i]);
    }
    assert_true(run_until_true(&f->loop, &results[COUNT - 1].is_done, WAIT_MS));
    struct answer answer = read_all(f, "a");
    assert_int_equal(answer.count, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(answer.offsets[i], i + 1);
        assert_int_equal(strtol(answer.data[i], NULL, 10), i + 1);
    }
}

static void removed_history_keeps_epoch_and_offset(void **state)
{
    struct fixture *f = *state;
    char epoch[16];
    fill(f, "a", 3, epoch);
    assert_int_equal(history_remove(f, "a"), WH_OK);
    assert_int_equal(history_remove(f, "never"), WH_OK);
    struct answer answer = read_all(f, "a");
    expect_offsets(&answer, "");
    assert_int_equal(answer.top, 3);
    assert_string_equal(answer.epoch, epoch);
    struct result result = publish_with(f, "a", "4", &kept);
    assert_int_equal(result.offset, 4);
    assert_string_equal(result.epoch, epoch);
    answer = read_all(f, "a");
    expect_offsets(&answer, "4");
}

/* Read with a query that renews nothing for long until `count` are left. */
static struct answer wait_for_count(struct fixture *f, size_t count)
{
    struct answer answer = read_all(f, "a");
    for (int tries = 0; answer.count != count; tries++) {
        assert_true(tries < WAIT_MS / 20);
        run_for(&f->loop, 20);
        answer = read_all(f, "a");
    }
    return answer;
}

static void publications_expire_together_and_the_position_outlives_them(void **state)
{
    struct fixture *f = *state;
    struct broker_publish_options options = kept;
    char epoch[16];
    fill(f, "a", 2, epoch);
    options.history_ttl_ms = 300;
    assert_int_equal(publish_with(f, "a", "3", &options).offset, 3);
    struct answer answer = read_all(f, "a");
    expect_offsets(&answer, "1 2 3");
    answer = wait_for_count(f, 0);
    assert_int_equal(answer.top, 3);
    assert_string_equal(answer.epoch, epoch);
    assert_int_equal(publish_with(f, "a", "4", &options).offset, 4);
}

static void publishing_renews_the_life_of_the_publications(void **state)
{
    struct fixture *f = *state;
    struct broker_publish_options options = kept;
    options.history_ttl_ms = 100;
    assert_int_equal(publish_with(f, "a", "1", &options).offset, 1);
    assert_int_equal(publish_with(f, "a", "2", &kept).offset, 2);
    run_for(&f->loop, 200);
    struct answer answer = read_all(f, "a");
    expect_offsets(&answer, "1 2");
}

static void unused_position_expires_and_the_next_has_another_epoch(void **state)
{
    struct fixture *f = *state;
    struct broker_publish_options options = kept;
    char epoch[16];
    fill(f, "a", 3, epoch);
    options.meta_ttl_ms = 100;
    assert_int_equal(publish_with(f, "a", "4", &options).offset, 4);
    /* The publications would live on: those of another epoch must not be seen. */
    run_for(&f->loop, 250);
    struct answer answer = read_all(f, "a");
    expect_offsets(&answer, "");
    assert_int_equal(answer.top, 0);
    assert_string_not_equal(answer.epoch, epoch);
    assert_int_equal(publish_with(f, "a", "1", &kept).offset, 1);
}

static void reading_renews_the_position(void **state)
{
    struct fixture *f = *state;
    struct broker_publish_options options = kept;
    options.meta_ttl_ms = 150;
    struct result result = publish_with(f, "a", "1", &options);
    read_all(f, "a");
    run_for(&f->loop, 300);
    struct answer answer = read_all(f, "a");
    assert_int_equal(answer.top, 1);
    assert_string_equal(answer.epoch, result.epoch);
}

static void same_idempotency_key_is_one_publication(void **state)
{
    struct fixture *f = *state;
    struct broker_publish_options options = kept;
    options.idempotency_key = WH_SLICE_LITERAL("order-17");
    assert_int_equal(subscribe(f, "a"), WH_OK);
    assert_int_equal(subscribe(f, "a2"), WH_OK);
    struct result first = publish_with(f, "a", "1", &options);
    assert_int_equal(publish_with(f, "a", "2", &kept).offset, 2);
    struct result again = publish_with(f, "a", "\"again\"", &options);
    assert_int_equal(again.err, WH_OK);
    assert_int_equal(again.offset, 1);
    assert_string_equal(again.epoch, first.epoch);
    /* The same bytes split differently between channel and key are another pair. */
    options.idempotency_key = WH_SLICE_LITERAL("2order-17");
    assert_int_equal(publish_with(f, "a", "3", &options).offset, 3);
    options.idempotency_key = WH_SLICE_LITERAL("order-17");
    assert_int_equal(publish_with(f, "a2", "1", &options).offset, 1);
    assert_true(wait_for_pubs(f, 4));
    run_for(&f->loop, 20);
    assert_int_equal(f->pub_count, 4);
    struct answer answer = read_all(f, "a");
    expect_offsets(&answer, "1 2 3");
}

static void idempotency_key_works_without_history(void **state)
{
    struct fixture *f = *state;
    struct broker_publish_options options = {.idempotency_key = WH_SLICE_LITERAL("k")};
    assert_int_equal(subscribe(f, "a"), WH_OK);
    for (int i = 0; i < 3; i++) {
        struct result result = publish_with(f, "a", "1", &options);
        assert_int_equal(result.err, WH_OK);
        assert_int_equal(result.offset, 0);
        assert_string_equal(result.epoch, "");
    }
    assert_true(wait_for_pubs(f, 1));
    run_for(&f->loop, 20);
    assert_int_equal(f->pub_count, 1);
}

static void old_versions_are_not_published(void **state)
{
    static const struct {
        uint64_t version;
        const char *version_epoch;
        uint64_t offset; /* the answer */
    } cases[] = {
        {5, "", 1},
        {5, "", 1},
        {4, "", 1},
        {6, "", 2},
        {0, "", 3}, /* none: no question */
        {6, "", 3},
        {1, "e", 4}, /* versions of another epoch do not compare */
        {1, "e", 4},
        {9, "e", 5},
        {10, "e", 6},
        {9007199254740992, "e", 7},
        {9007199254740993, "e", 8},
        {9007199254740993, "e", 8},
        {UINT64_MAX, "e", 9},
        {9007199254740993, "e", 9},
        {7, "", 10},
    };
    struct fixture *f = *state;
    struct broker_publish_options options = kept;
    assert_int_equal(subscribe(f, "a"), WH_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        options.version = cases[i].version;
        options.version_epoch = wh_slice_from_str(cases[i].version_epoch);
        struct result result = publish_with(f, "a", "1", &options);
        assert_int_equal(result.err, WH_OK);
        if (result.offset != cases[i].offset)
            fail_msg("case %zu: offset %llu", i, (unsigned long long)result.offset);
        assert_int_equal(strlen(result.epoch), 8);
    }
    assert_true(wait_for_pubs(f, 10));
    run_for(&f->loop, 20);
    assert_int_equal(f->pub_count, 10);
}

static void versions_work_without_history(void **state)
{
    static const uint64_t versions[] = {3, 3, 2, 4};
    struct fixture *f = *state;
    assert_int_equal(subscribe(f, "a"), WH_OK);
    for (size_t i = 0; i < 4; i++) {
        struct broker_publish_options options = {.version = versions[i], .meta_ttl_ms = 60000};
        struct result result = publish_with(f, "a", "1", &options);
        assert_int_equal(result.err, WH_OK);
        assert_int_equal(result.offset, 0);
    }
    assert_true(wait_for_pubs(f, 2));
    run_for(&f->loop, 20);
    assert_int_equal(f->pub_count, 2);
}

static void hostile_names_have_streams_of_their_own(void **state)
{
    static const struct wh_slice names[] = {
        {"a b", 3},      {"*", 1},        {"[a-z]?", 6},   {"a\r\nb", 4}, {"{tag}x", 6},
        {"nul\0nul", 7}, {"\xff\xfe", 2}, {"a:b", 3},      {"a", 1},      {"%s%n", 4},
        {"nul\0", 4},    {"'\"\\", 3},    {"stream:a", 8}, {"meta:a", 6},
    };
    enum { COUNT = sizeof names / sizeof names[0] };
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT; i++) {
        struct result result = {0};
        assert_int_equal(subscribe_slice(f, names[i]), WH_OK);
        start_publish_with(f, names[i], "1", &kept, &result);
        assert_true(run_until_true(&f->loop, &result.is_done, WAIT_MS));
        assert_int_equal(result.offset, 1);
        assert_true(wait_for_pubs(f, i + 1));
        assert_int_equal(f->pubs[i].channel_len, names[i].len);
        assert_memory_equal(f->pubs[i].channel, names[i].ptr, names[i].len);
        struct answer answer =
            history(f, names[i], (struct broker_history_query){.limit = 9, .meta_ttl_ms = 1000});
        expect_offsets(&answer, "1");
    }
}

static void every_payload_comes_back_as_it_was(void **state)
{
    static const struct {
        struct wh_payload payload;
    } cases[] = {
        {{WH_PAYLOAD_JSON, {"{\"a\":[1,\"\\u0000\"]}", 18}}},
        {{WH_PAYLOAD_BYTES, {"", 0}}},
        {{WH_PAYLOAD_BYTES,
          {"\xC1\x02"
           "1:e:x",
           7}}},
        {{WH_PAYLOAD_BYTES, {"\0\r\n\xff", 4}}},
        {{WH_PAYLOAD_BYTES, {"{\"a\":1}", 7}}},
        {{WH_PAYLOAD_MSGPACK, {"\x81\xa1\x61\x01", 4}}},
    };
    struct fixture *f = *state;
    assert_int_equal(subscribe(f, "a"), WH_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct result result = {0};
        struct wh_pub pub = {.data = cases[i].payload};
        f->broker->ops->publish(f->broker, WH_SLICE_LITERAL("a"), &pub, &kept, on_publish_result,
                                &result);
        assert_true(run_until_true(&f->loop, &result.is_done, WAIT_MS));
        assert_true(wait_for_pubs(f, i + 1));
        assert_int_equal(f->pubs[i].offset, i + 1);
        assert_int_equal(f->pubs[i].kind, cases[i].payload.kind);
        assert_int_equal(f->pubs[i].data_len, cases[i].payload.bytes.len);
        assert_memory_equal(f->pubs[i].data, cases[i].payload.bytes.ptr,
                            cases[i].payload.bytes.len);
    }
    assert_int_equal(read_all(f, "a").count, sizeof cases / sizeof cases[0]);
}

static bool has_joins(void *user)
{
    return ((struct fixture *)user)->join_count >= 2;
}

static void joins_and_leaves_reach_a_subscribed_channel(void **state)
{
    struct fixture *f = *state;
    struct wh_info info = {.user = WH_SLICE_LITERAL("u"), .client = WH_SLICE_LITERAL("c")};
    struct result results[3] = {0};
    assert_int_equal(subscribe(f, "a"), WH_OK);
    struct wh_slice names[] = {WH_SLICE_LITERAL("a"), WH_SLICE_LITERAL("b"), WH_SLICE_LITERAL("a")};
    for (size_t i = 0; i < 3; i++)
        f->broker->ops->publish_join(f->broker, names[i], &info, i == 2, on_result, &results[i]);
    for (size_t i = 0; i < 3; i++) {
        assert_true(run_until_true(&f->loop, &results[i].is_done, WAIT_MS));
        assert_int_equal(results[i].err, WH_OK);
    }
    assert_true(run_until(&f->loop, has_joins, f, WAIT_MS));
    run_for(&f->loop, 20);
    assert_int_equal(f->join_count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(f->joins[i].channel, "a");
        assert_string_equal(f->joins[i].user, "u");
        assert_string_equal(f->joins[i].client, "c");
        assert_int_equal(f->joins[i].is_leave, i == 1);
    }
    assert_int_equal(f->pub_count, 0);
}

static bool has_controls(void *user)
{
    return ((struct fixture *)user)->control_count >= 2;
}

static void control_messages_come_to_their_node_and_to_all(void **state)
{
    static const char *const nodes[] = {"", "22222222-2222-4222-8222-222222222222", NODE_ID};
    static const char *const messages[] = {"to all", "to another", "\xC1\x01to us"};
    struct fixture *f = *state;
    for (size_t i = 0; i < 3; i++) {
        struct result result = {0};
        f->broker->ops->control(f->broker, wh_slice_from_str(nodes[i]),
                                wh_slice_from_str(messages[i]), on_result, &result);
        assert_false(result.is_done);
        assert_true(run_until_true(&f->loop, &result.is_done, WAIT_MS));
        assert_int_equal(result.err, WH_OK);
    }
    assert_true(run_until(&f->loop, has_controls, f, WAIT_MS));
    run_for(&f->loop, 20);
    assert_int_equal(f->control_count, 2);
    assert_string_equal(f->controls[0], messages[0]);
    assert_string_equal(f->controls[1], messages[2]);
}

static void close_answers_every_kind_of_question_once(void **state)
{
    struct fixture *f = *state;
    struct wh_slice a = WH_SLICE_LITERAL("a");
    struct wh_info info = {.user = a, .client = a};
    struct result results[4] = {0};
    struct answer answer = {0};
    struct broker_history_query query = {.limit = 1};
    start_publish_with(f, a, "1", &kept, &results[0]);
    f->broker->ops->history(f->broker, a, &query, on_answer, &answer);
    f->broker->ops->history_remove(f->broker, a, on_result, &results[1]);
    f->broker->ops->publish_join(f->broker, a, &info, false, on_result, &results[2]);
    f->broker->ops->control(f->broker, a, a, on_result, &results[3]);
    close_broker(f);
    assert_int_equal(answer.calls, 1);
    assert_int_equal(answer.err, WH_ECLOSED);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(results[i].calls, 1);
        assert_int_equal(results[i].err, WH_ECLOSED);
    }
}

int main(void)
{
#define ON_BOTH(test)                                                                              \
    {"memory: " #test, test, setup_memory, teardown, NULL},                                        \
    {                                                                                              \
        "redis: " #test, test, setup_redis, teardown, NULL                                         \
    }
    const struct CMUnitTest tests[] = {
        ON_BOTH(offsets_count_from_one_and_the_epoch_stays),
        ON_BOTH(publication_without_history_has_no_position_and_leaves_the_stream_alone),
        ON_BOTH(reading_makes_the_epoch_that_the_first_publication_has),
        ON_BOTH(queries_at_every_boundary),
        ON_BOTH(size_may_grow_and_shrink),
        ON_BOTH(large_history_is_read_whole_and_in_order),
        ON_BOTH(removed_history_keeps_epoch_and_offset),
        ON_BOTH(publications_expire_together_and_the_position_outlives_them),
        ON_BOTH(publishing_renews_the_life_of_the_publications),
        ON_BOTH(unused_position_expires_and_the_next_has_another_epoch),
        ON_BOTH(reading_renews_the_position),
        ON_BOTH(same_idempotency_key_is_one_publication),
        ON_BOTH(idempotency_key_works_without_history),
        ON_BOTH(old_versions_are_not_published),
        ON_BOTH(versions_work_without_history),
        ON_BOTH(hostile_names_have_streams_of_their_own),
        ON_BOTH(every_payload_comes_back_as_it_was),
        ON_BOTH(joins_and_leaves_reach_a_subscribed_channel),
        ON_BOTH(control_messages_come_to_their_node_and_to_all),
        ON_BOTH(close_answers_every_kind_of_question_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
