/* Streams on a Redis that restarts, forgets, hangs and is shared. */
#include "tests/unit/hub/broker_fixture.h"

#include "common/io/redis_script.h"

static const char *const always[] = {"--appendonly", "yes", "--appendfsync", "always", NULL};
static const char *const everysec[] = {"--appendonly", "yes", "--appendfsync", "everysec", NULL};

static const struct broker_publish_options kept = {.history_size = 10000,
                                                   .history_ttl_ms = 60000,
                                                   .meta_ttl_ms = 600000};

static struct fixture *start(const char *const *args)
{
    struct fixture *f = fixture_new();
    redis_server_start(&f->server, args);
    open_broker(f, ENGINE_REDIS);
    assert_true(wait_up(f));
    return f;
}

static int setup(void **state)
{
    *state = start(NULL);
    return 0;
}

static int setup_always(void **state)
{
    *state = start(always);
    return 0;
}

static int setup_everysec(void **state)
{
    *state = start(everysec);
    return 0;
}

static int teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

static struct answer read_all(struct fixture *f)
{
    return history(f, WH_SLICE_LITERAL("a"),
                   (struct broker_history_query){.limit = HISTORY_MAX, .meta_ttl_ms = 600000});
}

static void fill(struct fixture *f, unsigned first, unsigned last)
{
    for (unsigned i = first; i <= last; i++) {
        char json[16];
        snprintf(json, sizeof json, "%u", i);
        struct result result = publish_with(f, "a", json, &kept);
        assert_int_equal(result.err, WH_OK);
        assert_int_equal(result.offset, i);
    }
}

static void restart(struct fixture *f, const char *const *args)
{
    redis_server_kill(&f->server);
    assert_true(wait_down(f));
    redis_server_start(&f->server, args);
    assert_true(wait_up(f));
}

/* The stream begins anew under another epoch. */
static void expect_new(struct fixture *f, const char *old_epoch)
{
    struct answer answer = read_all(f);
    assert_int_equal(answer.err, WH_OK);
    assert_string_not_equal(answer.epoch, old_epoch);
    assert_int_equal(answer.top, 0);
    assert_int_equal(answer.count, 0);
    struct result result = publish_with(f, "a", "1", &kept);
    assert_int_equal(result.offset, 1);
    assert_string_equal(result.epoch, answer.epoch);
}

static void expect_same(struct fixture *f, const char *epoch, unsigned top)
{
    struct answer answer = read_all(f);
    assert_int_equal(answer.err, WH_OK);
    assert_string_equal(answer.epoch, epoch);
    assert_int_equal(answer.top, top);
    assert_int_equal(answer.count, top);
    fill(f, top + 1, top + 1);
}

static void redis_restarted_empty_has_another_epoch(void **state)
{
    struct fixture *f = *state;
    fill(f, 1, 3);
    struct answer before = read_all(f);
    restart(f, NULL);
    expect_new(f, before.epoch);
}

static void redis_restarted_from_an_old_snapshot_has_another_epoch(void **state)
{
    struct fixture *f = *state;
    fill(f, 1, 3);
    redis_server_command(&f->server, "SAVE");
    fill(f, 4, 6);
    struct answer before = read_all(f);
    restart(f, NULL);
    /* The snapshot was loaded: without the rule, 4 would be given out again under this epoch. */
    assert_int_equal(redis_server_command(&f->server, "XLEN wh:stream:a"), 3);
    expect_new(f, before.epoch);
}

static void first_call_after_the_restart_may_be_a_publish(void **state)
{
    struct fixture *f = *state;
    fill(f, 1, 3);
    redis_server_command(&f->server, "SAVE");
    struct answer before = read_all(f);
    restart(f, NULL);
    struct result result = publish_with(f, "a", "1", &kept);
    assert_int_equal(result.offset, 1);
    assert_string_not_equal(result.epoch, before.epoch);
    struct answer answer = read_all(f);
    assert_int_equal(answer.count, 1);
    assert_string_equal(answer.data[0], "1");
}

static void append_only_once_a_second_may_lose_and_has_another_epoch(void **state)
{
    struct fixture *f = *state;
    fill(f, 1, 3);
    struct answer before = read_all(f);
    restart(f, everysec);
    expect_new(f, before.epoch);
}

static void append_only_always_loses_nothing_and_keeps_the_epoch(void **state)
{
    struct fixture *f = *state;
    fill(f, 1, 3);
    struct answer before = read_all(f);
    restart(f, always);
    expect_same(f, before.epoch, 3);
    restart(f, always);
    expect_same(f, before.epoch, 4);
}

/* What was written before "always" may not all be there. */
static void append_only_always_holds_from_the_next_restart_on(void **state)
{
    struct fixture *f = *state;
    fill(f, 1, 3);
    struct answer before = read_all(f);
    restart(f, always);
    expect_new(f, before.epoch);
    before = read_all(f);
    restart(f, always);
    expect_same(f, before.epoch, 1);
    restart(f, everysec);
    expect_new(f, before.epoch);
}

static void flushed_scripts_are_loaded_again_and_nothing_is_lost(void **state)
{
    enum { COUNT = 300 };
    struct fixture *f = *state;
    struct result results[COUNT] = {0};
    bool seen[COUNT + 1] = {false};
    assert_int_equal(subscribe(f, "a"), WH_OK);
    for (int i = 0; i < COUNT; i++) {
        if (i % 50 == 25)
            redis_server_command(&f->server, "SCRIPT FLUSH");
        start_publish_with(f, WH_SLICE_LITERAL("a"), "1", &kept, &results[i]);
        uv_run(&f->loop.uv, UV_RUN_NOWAIT);
    }
    for (int i = 0; i < COUNT; i++) {
        assert_true(run_until_true(&f->loop, &results[i].is_done, WAIT_MS));
        assert_int_equal(results[i].err, WH_OK);
        assert_string_equal(results[i].epoch, results[0].epoch);
        assert_in_range(results[i].offset, 1, COUNT);
        assert_false(seen[results[i].offset]);
        seen[results[i].offset] = true;
    }
    assert_true(wait_for_pubs(f, COUNT));
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(f->pubs[i].offset, i + 1);
}

static void lost_run_key_is_written_again_and_the_epoch_stays(void **state)
{
    struct fixture *f = *state;
    fill(f, 1, 2);
    struct answer before = read_all(f);
    assert_int_equal(redis_server_command(&f->server, "DEL wh:run"), 1);
    fill(f, 3, 3);
    assert_int_equal(redis_server_command(&f->server, "EXISTS wh:run"), 1);
    expect_same(f, before.epoch, 3);
}

/* As after a primary that became a replica and a primary again: its scripts are still loaded. */
static void run_of_another_server_is_noticed_at_the_next_connect(void **state)
{
    struct fixture *f = *state;
    fill(f, 1, 2);
    redis_server_command(&f->server, "SET wh:run another");
    expect_new(f, "");
    struct answer before = read_all(f);
    assert_string_not_equal(before.epoch, "");
    redis_server_command(&f->server, "CLIENT KILL TYPE normal");
    assert_true(wait_down(f));
    assert_true(wait_up(f));
    expect_new(f, before.epoch);
}

static void lost_meta_is_another_epoch_without_old_publications(void **state)
{
    struct fixture *f = *state;
    fill(f, 1, 5);
    struct answer before = read_all(f);
    assert_int_equal(redis_server_command(&f->server, "DEL wh:meta:a"), 1);
    expect_new(f, before.epoch);
}

static void offsets_end_at_two_to_the_53_with_another_epoch(void **state)
{
    struct fixture *f = *state;
    fill(f, 1, 1);
    struct answer before = read_all(f);
    redis_server_command(&f->server, "HSET wh:meta:a s 9007199254740989");
    assert_true(publish_with(f, "a", "1", &kept).offset == 9007199254740990u);
    struct result result = publish_with(f, "a", "1", &kept);
    assert_true(result.offset == 9007199254740991u);
    assert_string_equal(result.epoch, before.epoch);
    expect_new(f, before.epoch);
}

static void account_that_may_not_ask_for_the_run_cannot_use_streams(void **state)
{
    struct fixture *f = *state;
    fill(f, 1, 1);
    redis_server_command(&f->server, "ACL SETUSER default -info");
    redis_server_command(&f->server, "SCRIPT FLUSH");
    assert_int_equal(publish_with(f, "a", "1", &kept).err, WH_EUNAVAILABLE);
    assert_int_equal(read_all(f).err, WH_EUNAVAILABLE);
    redis_server_command(&f->server, "ACL SETUSER default +info -config");
    fill(f, 2, 2);
}

static void settings_that_may_not_be_read_count_as_unsafe(void **state)
{
    static const char *const always_unseen[] = {
        "--appendonly", "yes", "--appendfsync", "always", "--user",  "default", "on",
        "~*",           "&*",  "nopass",        "+@all",  "-config", NULL};
    struct fixture *f = *state;
    fill(f, 1, 2);
    struct answer before = read_all(f);
    restart(f, always_unseen);
    expect_new(f, before.epoch);
}

static void key_of_another_type_fails_that_channel_alone(void **state)
{
    struct fixture *f = *state;
    redis_server_command(&f->server, "SET wh:meta:bad x");
    assert_int_equal(publish_with(f, "bad", "1", &kept).err, WH_EUNAVAILABLE);
    struct answer answer =
        history(f, WH_SLICE_LITERAL("bad"), (struct broker_history_query){.limit = 1});
    assert_int_equal(answer.err, WH_EUNAVAILABLE);
    fill(f, 1, 2);
    assert_true(f->is_up);
}

static void undecodable_entries_are_left_out_and_counted(void **state)
{
    struct fixture *f = *state;
    fill(f, 1, 1);
    redis_server_command(&f->server, "XADD wh:stream:a 2-0 d %b", "\xC1\x01\xC1", (size_t)3);
    redis_server_command(&f->server, "HSET wh:meta:a s 2");
    fill(f, 3, 3);
    struct answer answer = read_all(f);
    assert_int_equal(answer.count, 2);
    assert_int_equal(answer.offsets[0], 1);
    assert_int_equal(answer.offsets[1], 3);
    assert_int_equal(metrics_total(f->shared, METRIC_PUBLICATIONS_INVALID), 1);
}

static void services_publish_json_without_an_envelope(void **state)
{
    struct fixture *f = *state;
    const char *sha1 = wh_redis_script_source(WH_REDIS_SCRIPT_PUBLISH)->sha1;
    assert_int_equal(subscribe(f, "a"), WH_OK);
    fill(f, 1, 1); /* loads the scripts */
    const char *bodies[] = {"{\"n\":2}", "no json"};
    for (size_t i = 0; i < 2; i++)
        redis_server_command(&f->server,
                             "EVALSHA %s 3 wh:stream:a wh:meta:a wh:run wh:ch:a %s 10 60000 0",
                             sha1, bodies[i]);
    assert_true(wait_for_pubs(f, 3));
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(f->pubs[i + 1].data, bodies[i]);
        assert_int_equal(f->pubs[i + 1].offset, i + 2);
        assert_string_equal(f->pubs[i + 1].epoch, f->pubs[0].epoch);
        assert_false(f->pubs[i + 1].is_plain);
    }
    assert_int_equal(f->pubs[1].kind, WH_PAYLOAD_JSON);
    assert_int_equal(f->pubs[2].kind, WH_PAYLOAD_BYTES);
    struct answer answer = read_all(f);
    assert_int_equal(answer.count, 3);
    assert_string_equal(answer.data[1], bodies[0]);
}

static void idempotency_key_is_known_for_five_minutes(void **state)
{
    struct fixture *f = *state;
    struct broker_publish_options options = kept;
    options.idempotency_key = WH_SLICE_LITERAL("k");
    assert_int_equal(publish_with(f, "a", "1", &options).offset, 1);
    assert_in_range(redis_server_command(&f->server, "PTTL wh:idem:1:a:k"), 290000, 300000);
}

static void script_errors_change_nothing(void **state)
{
    static const char *const cases[] = {
        "3 wh:stream:a wh:meta:a wh:run wh:ch:a 1 ten 60000 0",
        "3 wh:stream:a wh:meta:a wh:run wh:ch:a 1 10 1.5 0",
        "3 wh:stream:a wh:meta:a wh:run wh:ch:a 1 10 60000 -1",
        "3 wh:stream:a wh:meta:a wh:run wh:ch:a 1 10 60000 1e400",
        "3 wh:stream:a wh:meta:a wh:run wh:ch:a 1 10 60000 0 x",
        "3 wh:stream:a wh:meta:a wh:run wh:ch:a",
        "2 wh:stream:a wh:meta:a wh:ch:a 1 10",
    };
    struct fixture *f = *state;
    const char *sha1 = wh_redis_script_source(WH_REDIS_SCRIPT_PUBLISH)->sha1;
    fill(f, 1, 1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char command[256];
        snprintf(command, sizeof command, "EVALSHA %s %s", sha1, cases[i]);
        if (!redis_server_refuses(&f->server, command))
            fail_msg("case %zu", i);
    }
    assert_int_equal(read_all(f).top, 1);
}

/* What was reported as published is there afterwards, whenever the server died. */
static void publish_in_a_dying_redis_never_claims_success_falsely(void **state)
{
    enum { COUNT = 200, ROUNDS = 3 };
    struct fixture *f = *state;
    for (int round = 0; round < ROUNDS; round++) {
        struct result results[COUNT] = {0};
        char json[COUNT][16];
        for (int i = 0; i < COUNT; i++) {
            snprintf(json[i], sizeof json[i], "%d%03d", round + 1, i);
            start_publish_with(f, WH_SLICE_LITERAL("a"), json[i], &kept, &results[i]);
            if (i % 20 == 0)
                uv_run(&f->loop.uv, UV_RUN_NOWAIT);
        }
        redis_server_kill(&f->server);
        for (int i = 0; i < COUNT; i++) {
            assert_true(run_until_true(&f->loop, &results[i].is_done, WAIT_MS));
            assert_int_equal(results[i].calls, 1);
            assert_true(results[i].err == WH_OK || results[i].err == WH_EUNAVAILABLE);
        }
        assert_true(wait_down(f));
        redis_server_start(&f->server, always);
        assert_true(wait_up(f));
        struct answer answer = history(
            f, WH_SLICE_LITERAL("a"),
            (struct broker_history_query){.reverse = true, .limit = COUNT, .meta_ttl_ms = 600000});
        assert_int_equal(answer.err, WH_OK);
        for (int i = 0; i < COUNT; i++) {
            if (results[i].err)
                continue;
            assert_string_equal(results[i].epoch, answer.epoch);
            assert_true(results[i].offset <= answer.top);
            size_t at = (size_t)(answer.top - results[i].offset);
            assert_true(at < answer.count);
            assert_string_equal(answer.data[at], json[i]);
        }
    }
}

static void hung_redis_is_an_error_within_two_seconds(void **state)
{
    struct fixture *f = *state;
    struct answer answer = {0};
    struct result result = {0};
    struct broker_history_query query = {.limit = 1};
    fill(f, 1, 1);
    redis_server_pause(&f->server);
    uint64_t before_ms = uv_hrtime() / 1000000;
    f->broker->ops->history(f->broker, WH_SLICE_LITERAL("a"), &query, on_answer, &answer);
    start_publish_with(f, WH_SLICE_LITERAL("a"), "2", &kept, &result);
    assert_true(run_until_true(&f->loop, &answer.is_done, WAIT_MS));
    assert_true(run_until_true(&f->loop, &result.is_done, WAIT_MS));
    uint64_t waited_ms = uv_hrtime() / 1000000 - before_ms;
    redis_server_resume(&f->server);
    assert_int_equal(answer.err, WH_EUNAVAILABLE);
    assert_int_equal(result.err, WH_EUNAVAILABLE);
    assert_true(waited_ms < 3500);
    assert_true(wait_up(f));
}

/* Another hub on the same Redis, with a loop of its own. */
static struct fixture *open_second(struct fixture *f)
{
    struct fixture *second = fixture_new();
    second->node_id = "22222222-2222-4222-8222-222222222222";
    second->config.engine.redis.address = f->server.socket;
    open_broker(second, ENGINE_REDIS);
    assert_true(wait_up(second));
    return second;
}

static void turn_both(struct fixture *f, struct fixture *second)
{
    uv_run(&f->loop.uv, UV_RUN_NOWAIT);
    uv_run(&second->loop.uv, UV_RUN_NOWAIT);
}

static void two_hubs_see_one_order_without_gaps(void **state)
{
    enum { EACH = 500 };
    struct fixture *f = *state;
    struct fixture *second = open_second(f);
    struct fixture *hubs[] = {f, second};
    struct result *results = calloc(2 * EACH, sizeof *results);
    assert_int_equal(subscribe(f, "a"), WH_OK);
    assert_int_equal(subscribe(second, "a"), WH_OK);
    for (int i = 0; i < EACH; i++) {
        for (int h = 0; h < 2; h++) {
            char json[16];
            snprintf(json, sizeof json, "%d%04d", h + 1, i);
            start_publish_with(hubs[h], WH_SLICE_LITERAL("a"), json, &kept, &results[h * EACH + i]);
        }
        if (i % 7 == 0)
            turn_both(f, second);
    }
    uint64_t end_ms = uv_hrtime() / 1000000 + WAIT_MS;
    while (f->pub_count < 2 * EACH || second->pub_count < 2 * EACH) {
        assert_true(uv_hrtime() / 1000000 < end_ms);
        turn_both(f, second);
    }
    int last_of[2] = {-1, -1};
    for (size_t i = 0; i < 2 * EACH; i++) {
        assert_int_equal(f->pubs[i].offset, i + 1);
        assert_int_equal(second->pubs[i].offset, i + 1);
        assert_string_equal(f->pubs[i].epoch, second->pubs[i].epoch);
        assert_string_equal(f->pubs[i].data, second->pubs[i].data);
        int number = (int)strtol(f->pubs[i].data, NULL, 10);
        assert_true(number % 10000 == last_of[number / 10000 - 1] + 1); /* each in its own order */
        last_of[number / 10000 - 1] = number % 10000;
    }
    for (size_t i = 0; i < 2 * EACH; i++) {
        struct fixture *hub = hubs[i / EACH];
        assert_true(run_until_true(&hub->loop, &results[i].is_done, WAIT_MS));
        assert_int_equal(results[i].err, WH_OK);
    }
    free(results);
    fixture_free(second);
}

static bool has_control(void *user)
{
    return ((struct fixture *)user)->control_count > 0;
}

static void control_messages_cross_from_hub_to_hub(void **state)
{
    struct fixture *f = *state;
    struct fixture *second = open_second(f);
    struct result results[2] = {0};
    f->broker->ops->control(f->broker, wh_slice_from_str(second->node_id),
                            WH_SLICE_LITERAL("to you"), on_result, &results[0]);
    assert_true(run_until_true(&f->loop, &results[0].is_done, WAIT_MS));
    assert_true(run_until(&second->loop, has_control, second, WAIT_MS));
    assert_string_equal(second->controls[0], "to you");
    second->broker->ops->control(second->broker, WH_SLICE_LITERAL(""), WH_SLICE_LITERAL("to all"),
                                 on_result, &results[1]);
    assert_true(run_until_true(&second->loop, &results[1].is_done, WAIT_MS));
    assert_true(run_until(&f->loop, has_control, f, WAIT_MS));
    assert_int_equal(f->control_count, 1);
    assert_string_equal(f->controls[0], "to all");
    /* What is no envelope is nobody's message. */
    redis_server_command(&f->server, "PUBLISH wh:control hello");
    run_for(&f->loop, 50);
    assert_int_equal(f->control_count, 1);
    fixture_free(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define PLAIN(name)    cmocka_unit_test_setup_teardown(name, setup, teardown)
#define ALWAYS(name)   cmocka_unit_test_setup_teardown(name, setup_always, teardown)
#define EVERYSEC(name) cmocka_unit_test_setup_teardown(name, setup_everysec, teardown)
        PLAIN(redis_restarted_empty_has_another_epoch),
        PLAIN(redis_restarted_from_an_old_snapshot_has_another_epoch),
        PLAIN(first_call_after_the_restart_may_be_a_publish),
        EVERYSEC(append_only_once_a_second_may_lose_and_has_another_epoch),
        ALWAYS(append_only_always_loses_nothing_and_keeps_the_epoch),
        EVERYSEC(append_only_always_holds_from_the_next_restart_on),
        PLAIN(flushed_scripts_are_loaded_again_and_nothing_is_lost),
        PLAIN(lost_run_key_is_written_again_and_the_epoch_stays),
        PLAIN(run_of_another_server_is_noticed_at_the_next_connect),
        PLAIN(lost_meta_is_another_epoch_without_old_publications),
        PLAIN(offsets_end_at_two_to_the_53_with_another_epoch),
        PLAIN(account_that_may_not_ask_for_the_run_cannot_use_streams),
        ALWAYS(settings_that_may_not_be_read_count_as_unsafe),
        PLAIN(key_of_another_type_fails_that_channel_alone),
        PLAIN(undecodable_entries_are_left_out_and_counted),
        PLAIN(services_publish_json_without_an_envelope),
        PLAIN(idempotency_key_is_known_for_five_minutes),
        PLAIN(script_errors_change_nothing),
        ALWAYS(publish_in_a_dying_redis_never_claims_success_falsely),
        PLAIN(hung_redis_is_an_error_within_two_seconds),
        PLAIN(two_hubs_see_one_order_without_gaps),
        PLAIN(control_messages_cross_from_hub_to_hub),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
