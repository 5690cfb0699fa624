/*
 * The blocking connection against a real Redis: commands, batches, time-outs,
 * refusals, and a server that goes away.
 */
#include "common/io/redis_blocking.h"
#include "tests/support/redis_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { PATIENCE_MS = 10000 };

static struct redis_server server;

static struct wh_redis_blocking *open_to(const char *address)
{
    char reason[WH_REDIS_BLOCKING_REASON_MAX];
    struct wh_redis_blocking *redis = NULL;
    const struct wh_redis_blocking_options options = {.address = address};
    assert_int_equal(wh_redis_blocking_open(&options, reason, &redis), WH_OK);
    assert_string_equal(reason, "");
    return redis;
}

static void append(struct wh_redis_blocking *redis, const char *word, const char *argument)
{
    const struct wh_slice argv[] = {wh_slice_from_str(word), wh_slice_from_str(argument)};
    wh_redis_blocking_append(redis, argv, 2);
}

static const struct wh_redis_reply *next(struct wh_redis_blocking *redis)
{
    const struct wh_redis_reply *reply = NULL;
    assert_int_equal(wh_redis_blocking_reply(redis, PATIENCE_MS, &reply), WH_OK);
    return reply;
}

static void replies_come_in_the_order_of_the_commands(void **state)
{
    (void)state;
    const char *const addresses[] = {server.socket, server.tcp_address};
    for (size_t i = 0; i < 2; i++) {
        struct wh_redis_blocking *redis = open_to(addresses[i]);
        assert_true(wh_redis_blocking_client_id(redis) > 0);
        append(redis, "ECHO", "one");
        append(redis, "NOSUCH", "command");
        append(redis, "ECHO", "two\r\n$3");
        assert_true(wh_slice_equal_str(next(redis)->text, "one"));
        assert_int_equal(next(redis)->type, WH_REDIS_ERROR);
        assert_true(wh_slice_equal_str(next(redis)->text, "two\r\n$3"));
        wh_redis_blocking_close(redis);
    }
}

static void a_large_command_and_its_reply_pass(void **state)
{
    (void)state;
    struct wh_redis_blocking *redis = open_to(server.socket);
    size_t size = (size_t)20 * 1024 * 1024;
    char *text = malloc(size);
    assert_non_null(text);
    memset(text, 'x', size);
    const struct wh_slice argv[] = {WH_SLICE_LITERAL("ECHO"), wh_slice(text, size)};
    wh_redis_blocking_append(redis, argv, 2);
    assert_int_equal(next(redis)->text.len, size);
    append(redis, "ECHO", "after");
    assert_true(wh_slice_equal_str(next(redis)->text, "after"));
    free(text);
    wh_redis_blocking_close(redis);
}

static void silence_ends_with_a_time_out(void **state)
{
    (void)state;
    struct wh_redis_blocking *redis = open_to(server.socket);
    const struct wh_slice argv[] = {WH_SLICE_LITERAL("BLPOP"), WH_SLICE_LITERAL("nothing"),
                                    WH_SLICE_LITERAL("0")};
    const struct wh_redis_reply *reply = NULL;
    wh_redis_blocking_append(redis, argv, 3);
    assert_int_equal(wh_redis_blocking_reply(redis, 20, &reply), WH_ETIMEOUT);
    assert_null(reply);
    wh_redis_blocking_close(redis);
}

static void a_server_that_goes_away_is_an_error(void **state)
{
    (void)state;
    char reason[WH_REDIS_BLOCKING_REASON_MAX];
    struct wh_redis_blocking *redis = open_to(server.tcp_address);
    const struct wh_redis_reply *reply = NULL;
    redis_server_kill(&server);
    append(redis, "ECHO", "x");
    assert_int_equal(wh_redis_blocking_reply(redis, PATIENCE_MS, &reply), WH_EIO);
    wh_redis_blocking_close(redis);
    const char *const addresses[] = {server.socket, server.tcp_address};
    for (size_t i = 0; i < 2; i++) {
        const struct wh_redis_blocking_options options = {.address = addresses[i]};
        assert_int_equal(wh_redis_blocking_open(&options, reason, &redis), WH_EIO);
        assert_memory_equal(reason, "connect: ", 9);
    }
    redis_server_start(&server, NULL);
}

static void a_server_that_hangs_does_not_hang_us(void **state)
{
    (void)state;
    char reason[WH_REDIS_BLOCKING_REASON_MAX];
    struct wh_redis_blocking *redis = NULL;
    const struct wh_redis_blocking_options options = {.address = server.socket, .timeout_ms = 50};
    redis_server_pause(&server);
    assert_int_equal(wh_redis_blocking_open(&options, reason, &redis), WH_ETIMEOUT);
    redis_server_resume(&server);
    assert_null(redis);
}

static void refusals_say_why(void **state)
{
    (void)state;
    char reason[WH_REDIS_BLOCKING_REASON_MAX];
    struct wh_redis_blocking *redis = NULL;
    redis_server_command(&server, "ACL SETUSER u on >right ~* &* +@all");
    struct wh_redis_blocking_options options = {
        .address = server.socket, .user = "u", .password = "wrong"};
    assert_int_equal(wh_redis_blocking_open(&options, reason, &redis), WH_EDENIED);
    assert_memory_equal(reason, "redis: WRONGPASS", 16);
    options.password = "right";
    options.db = 99999;
    assert_int_equal(wh_redis_blocking_open(&options, reason, &redis), WH_EDENIED);
    options.db = 3;
    assert_int_equal(wh_redis_blocking_open(&options, reason, &redis), WH_OK);
    wh_redis_blocking_close(redis);
    options.address = "http://x";
    assert_int_equal(wh_redis_blocking_open(&options, reason, &redis), WH_EINVAL);
    assert_string_equal(reason, "not an address");
}

static int start(void **state)
{
    (void)state;
    redis_server_init(&server);
    redis_server_start(&server, NULL);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    redis_server_deinit(&server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_come_in_the_order_of_the_commands),
        cmocka_unit_test(a_large_command_and_its_reply_pass),
        cmocka_unit_test(silence_ends_with_a_time_out),
        cmocka_unit_test(a_server_that_goes_away_is_an_error),
        cmocka_unit_test(a_server_that_hangs_does_not_hang_us),
        cmocka_unit_test(refusals_say_why),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
