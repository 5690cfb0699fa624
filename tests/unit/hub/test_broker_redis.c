/* What only the Redis broker has: a server that goes away, and strangers who publish. */
#include "tests/unit/hub/broker_fixture.h"

#include "common/protocol/wire.h"

static int setup(void **state)
{
    *state = fixture_new();
    return 0;
}

static int setup_up(void **state)
{
    struct fixture *f = fixture_new();
    redis_server_start(&f->server, NULL);
    open_broker(f, ENGINE_REDIS);
    *state = f;
    return wait_up(f) ? 0 : -1;
}

static int teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

static bool has_reason(void *user)
{
    struct fixture *f = ((void **)user)[0];
    return strstr(f->reasons, ((void **)user)[1]) != NULL;
}

static void expect_reason(struct fixture *f, const char *part)
{
    void *both[] = {f, (void *)part};
    if (!run_until(&f->loop, has_reason, both, WAIT_MS))
        fail_msg("no reason with \"%s\" in:\n%s", part, f->reasons);
}

/* Every held channel still hears a service, and each publication comes once. */
static void expect_delivery(struct fixture *f, const char *channel)
{
    static unsigned number;
    char json[16];
    size_t before = f->pub_count;
    snprintf(json, sizeof json, "%u", ++number);
    assert_int_equal(redis_server_command(&f->server, "PUBLISH wh:ch:%s %s", channel, json), 1);
    assert_true(wait_for_pubs(f, before + 1));
    assert_string_equal(f->pubs[before].data, json);
    assert_int_equal(publish(f, channel, "\"mine\""), WH_OK);
    assert_true(wait_for_pubs(f, before + 2));
    assert_int_equal(f->pub_count, before + 2);
}

static void redis_absent_at_start_is_waited_for(void **state)
{
    struct fixture *f = *state;
    open_broker(f, ENGINE_REDIS);
    expect_reason(f, "connect: No such file or directory");
    redis_server_start(&f->server, NULL);
    assert_true(wait_up(f));
    assert_int_equal(subscribe(f, "a"), WH_OK);
    expect_delivery(f, "a");
}

static void redis_refusing_tcp_connections_is_named_and_waited_for(void **state)
{
    struct fixture *f = *state;
    f->config.engine.redis.address = f->server.tcp_address;
    open_broker(f, ENGINE_REDIS);
    expect_reason(f, "connect: Connection refused");
    redis_server_start(&f->server, NULL);
    assert_true(wait_up(f));
    assert_int_equal(subscribe(f, "a"), WH_OK);
    expect_delivery(f, "a");
}

static void calls_while_redis_is_away_fail_within_two_seconds(void **state)
{
    struct fixture *f = *state;
    open_broker(f, ENGINE_REDIS);
    uint64_t before_ms = uv_hrtime() / 1000000;
    assert_int_equal(publish(f, "a", "1"), WH_EUNAVAILABLE);
    assert_int_equal(subscribe(f, "a"), WH_EUNAVAILABLE);
    assert_true(uv_hrtime() / 1000000 - before_ms < 4000);
    redis_server_start(&f->server, NULL);
    assert_true(wait_up(f));
    assert_int_equal(redis_server_command(&f->server, "PUBLISH wh:ch:a 1"), 0);
}

static void subscribe_waits_for_a_redis_that_comes_back_in_time(void **state)
{
    struct fixture *f = *state;
    open_broker(f, ENGINE_REDIS);
    expect_reason(f, "connect: No such file or directory");
    redis_server_start(&f->server, NULL);
    assert_false(f->is_up);
    assert_int_equal(subscribe(f, "b"), WH_OK);
    assert_true(wait_up(f));
    expect_delivery(f, "b");
}

static void killed_and_restarted_redis_is_resubscribed_by_itself(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(subscribe(f, "a"), WH_OK);
    assert_int_equal(subscribe(f, "b"), WH_OK);
    for (int round = 0; round < 2; round++) {
        redis_server_kill(&f->server);
        assert_true(wait_down(f));
        redis_server_start(&f->server, NULL);
        assert_true(wait_up(f));
        expect_delivery(f, "a");
        expect_delivery(f, "b");
    }
    assert_int_equal(metrics_total(f->shared, METRIC_REDIS_RECONNECTS), 4);
    assert_int_equal(metrics_total(f->shared, METRIC_REDIS_UP), 1);
    expect_reason(f, "closed by Redis");
}

static void publication_in_flight_when_redis_dies_gets_one_error(void **state)
{
    struct fixture *f = *state;
    struct result results[100] = {0};
    redis_server_pause(&f->server);
    for (size_t i = 0; i < 100; i++)
        start_publish(f, WH_SLICE_LITERAL("a"), "1", &results[i]);
    uv_run(&f->loop.uv, UV_RUN_NOWAIT);
    redis_server_kill(&f->server);
    for (size_t i = 0; i < 100; i++) {
        assert_true(run_until_true(&f->loop, &results[i].is_done, WAIT_MS));
        assert_int_equal(results[i].err, WH_EUNAVAILABLE);
    }
    assert_true(wait_down(f));
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(results[i].calls, 1);
}

static void hung_redis_is_found_and_taken_back_when_it_wakes(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(subscribe(f, "a"), WH_OK);
    redis_server_pause(&f->server);
    uint64_t before_ms = uv_hrtime() / 1000000;
    assert_int_equal(publish(f, "a", "1"), WH_EUNAVAILABLE);
    assert_true(wait_down(f));
    assert_true(uv_hrtime() / 1000000 - before_ms < 5000);
    expect_reason(f, "for 2.0 s");
    expect_reason(f, "handshake: no answer for 2.0 s");
    redis_server_resume(&f->server);
    assert_true(wait_up(f));
    f->pub_count = 0;
    expect_delivery(f, "a");
}

static void killed_pubsub_connection_is_replaced_and_resubscribed(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(subscribe(f, "a"), WH_OK);
    assert_int_equal(redis_server_command(&f->server, "CLIENT KILL TYPE pubsub"), 1);
    assert_true(wait_down(f));
    assert_string_equal(f->reason, "closed by Redis");
    assert_true(wait_up(f));
    expect_delivery(f, "a");
    assert_int_equal(metrics_total(f->shared, METRIC_REDIS_RECONNECTS), 1);
}

static void account_without_the_channels_is_named_and_taken_back_when_mended(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(subscribe(f, "a"), WH_OK);
    redis_server_command(&f->server, "ACL SETUSER default resetchannels");
    expect_reason(f, "redis: NOPERM");
    assert_false(f->is_up);
    redis_server_command(&f->server, "ACL SETUSER default allchannels");
    assert_true(wait_up(f));
    expect_delivery(f, "a");
}

static void passwords_wrong_missing_and_right(void **state)
{
    static const char *const with_password[] = {"--requirepass", "s3cret", NULL};
    static const struct {
        const char *user;
        const char *password;
        const char *reason; /* NULL = comes up */
    } cases[] = {
        {NULL, NULL, "redis: NOAUTH"},
        {NULL, "wrong", "redis: WRONGPASS"},
        {"nobody", "s3cret", "redis: WRONGPASS"},
        {NULL, "s3cret", NULL},
        {"default", "s3cret", NULL},
    };
    struct fixture *f = *state;
    f->server.password = "s3cret";
    redis_server_start(&f->server, with_password);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        f->config.engine.redis.user = (char *)cases[i].user;
        f->config.engine.redis.password = (char *)cases[i].password;
        f->was_told = f->is_up = f->is_closed = false;
        f->reasons[0] = '\0';
        open_broker(f, ENGINE_REDIS);
        if (cases[i].reason) {
            expect_reason(f, cases[i].reason);
            assert_false(f->is_up);
        } else {
            assert_true(wait_up(f));
        }
        assert_null(strstr(f->reasons, "s3cret"));
        close_broker(f);
    }
}

static void plain_publications_are_classified(void **state)
{
    static const struct {
        struct wh_slice payload;
        enum wh_payload_kind kind;
    } cases[] = {
        {{"{\"price\": 1.5}", 14}, WH_PAYLOAD_JSON},
        {{"42", 2}, WH_PAYLOAD_JSON},
        {{"hello", 5}, WH_PAYLOAD_BYTES},
        {{"{\"a\":", 5}, WH_PAYLOAD_BYTES},
        {{"\x81\xa1\x61\x01", 4}, WH_PAYLOAD_BYTES},
        {{"\xff\x00\x01", 3}, WH_PAYLOAD_BYTES},
        {{"", 0}, WH_PAYLOAD_BYTES},
    };
    struct fixture *f = *state;
    assert_int_equal(subscribe(f, "a"), WH_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        redis_server_command(&f->server, "PUBLISH wh:ch:a %b", cases[i].payload.ptr,
                             cases[i].payload.len);
        assert_true(wait_for_pubs(f, i + 1));
        assert_true(f->pubs[i].is_plain);
        assert_int_equal(f->pubs[i].kind, cases[i].kind);
        assert_int_equal(f->pubs[i].data_len, cases[i].payload.len);
        assert_memory_equal(f->pubs[i].data, cases[i].payload.ptr, cases[i].payload.len);
    }
}

static void ignore_line(void *user, const char *line, size_t len)
{
    (void)line, (void)len;
    ++*(unsigned *)user;
}

static void damaged_envelopes_are_dropped_counted_and_logged(void **state)
{
    struct fixture *f = *state;
    struct wh_buf envelope = {0};
    unsigned lines = 0;
    struct wh_pub pub = {.data = {.kind = WH_PAYLOAD_JSON, .bytes = WH_SLICE_LITERAL("{\"a\":1}")},
                         .offset = 7};
    wh_wire_encode_publication(&pub, &envelope);
    assert_int_equal(subscribe(f, "a"), WH_OK);
    wh_log_set_sink(ignore_line, &lines);
    for (size_t len = 1; len < envelope.len; len++)
        redis_server_command(&f->server, "PUBLISH wh:ch:a %b", envelope.ptr, len);
    redis_server_command(&f->server, "PUBLISH wh:ch:a %b", "\xC1\x02\x80", (size_t)3);
    redis_server_command(&f->server, "PUBLISH wh:ch:a %b", envelope.ptr, envelope.len);
    assert_true(wait_for_pubs(f, 1));
    wh_log_set_sink(NULL, NULL);
    assert_int_equal(f->pub_count, 1);
    assert_int_equal(f->pubs[0].offset, 0); /* a position is not a stranger's to give */
    assert_false(f->pubs[0].is_plain);
    assert_int_equal(metrics_total(f->shared, METRIC_PUBLICATIONS_INVALID), envelope.len);
    assert_in_range(lines, 1, 3);
    wh_buf_deinit(&envelope);
}

static void churn_of_one_channel_does_not_reach_redis(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(subscribe(f, "churn"), WH_OK);
    long long subscribes = redis_server_calls(&f->server, "subscribe");
    for (int i = 0; i < 10000; i++) {
        struct result result = {0};
        unsubscribe(f, "churn");
        uv_run(&f->loop.uv, UV_RUN_NOWAIT); /* a turn passes: only the lingering helps */
        f->broker->ops->subscribe(f->broker, WH_SLICE_LITERAL("churn"), on_result, &result);
        assert_true(run_until_true(&f->loop, &result.is_done, WAIT_MS));
        assert_int_equal(result.err, WH_OK);
    }
    assert_int_equal(redis_server_calls(&f->server, "subscribe"), subscribes);
    assert_int_equal(redis_server_calls(&f->server, "unsubscribe"), 0);
    expect_delivery(f, "churn");
}

static void channel_nobody_wants_any_more_is_given_back_to_redis(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(subscribe(f, "brief"), WH_OK);
    unsubscribe(f, "brief");
    int tries = 0;
    while (redis_server_calls(&f->server, "unsubscribe") == 0) {
        assert_true(++tries < WAIT_MS / 50);
        run_for(&f->loop, 50);
    }
    assert_int_equal(redis_server_command(&f->server, "PUBLISH wh:ch:brief 1"), 0);
    assert_int_equal(subscribe(f, "brief"), WH_OK);
    expect_delivery(f, "brief");
}

static void many_channels_are_subscribed_in_few_commands_and_all_come_back(void **state)
{
    enum { COUNT = 10000 };
    struct fixture *f = *state;
    struct result *results = calloc(COUNT, sizeof *results);
    char name[32];
    long long before = redis_server_calls(&f->server, "subscribe");
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "many:%d", i);
        f->broker->ops->subscribe(f->broker, wh_slice_from_str(name), on_result, &results[i]);
    }
    for (int i = 0; i < COUNT; i++) {
        assert_true(run_until_true(&f->loop, &results[i].is_done, WAIT_MS));
        assert_int_equal(results[i].err, WH_OK);
    }
    assert_true(redis_server_calls(&f->server, "subscribe") - before <= COUNT / 200);
    assert_int_equal(redis_server_command(&f->server, "CLIENT KILL TYPE pubsub"), 1);
    assert_true(wait_down(f));
    assert_true(wait_up(f));
    /* Up means all: nothing published now may be missed. */
    expect_delivery(f, "many:0");
    expect_delivery(f, "many:9999");
    free(results);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define FROM_DOWN(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define FROM_UP(name)   cmocka_unit_test_setup_teardown(name, setup_up, teardown)
        FROM_DOWN(redis_absent_at_start_is_waited_for),
        FROM_DOWN(redis_refusing_tcp_connections_is_named_and_waited_for),
        FROM_DOWN(calls_while_redis_is_away_fail_within_two_seconds),
        FROM_DOWN(subscribe_waits_for_a_redis_that_comes_back_in_time),
        FROM_UP(killed_and_restarted_redis_is_resubscribed_by_itself),
        FROM_UP(publication_in_flight_when_redis_dies_gets_one_error),
        FROM_UP(hung_redis_is_found_and_taken_back_when_it_wakes),
        FROM_UP(killed_pubsub_connection_is_replaced_and_resubscribed),
        FROM_UP(account_without_the_channels_is_named_and_taken_back_when_mended),
        FROM_DOWN(passwords_wrong_missing_and_right),
        FROM_UP(plain_publications_are_classified),
        FROM_UP(damaged_envelopes_are_dropped_counted_and_logged),
        FROM_UP(churn_of_one_channel_does_not_reach_redis),
        FROM_UP(channel_nobody_wants_any_more_is_given_back_to_redis),
        FROM_UP(many_channels_are_subscribed_in_few_commands_and_all_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
