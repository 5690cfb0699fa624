#include "common/io/redis.h"
#include "common/io/redis_pubsub.h"
#include "tests/support/redis_server.h"
#include "tests/support/run_loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WAIT_MS = 15000, TEXT_MAX = 256 };

struct fixture {
    struct wh_loop loop;
    struct redis_server server;
    struct wh_redis *redis;
    struct wh_redis_watch watch;
    bool is_up;
    char reasons[4096];
    bool is_closed;
};

struct call {
    struct wh_redis_request request;
    bool is_done;
    unsigned calls;
    enum wh_err err;
    enum wh_redis_type type;
    char text[TEXT_MAX];
    size_t len;
    int64_t integer;
};

static void on_state(struct wh_redis_watch *watch, bool is_up, const char *reason)
{
    struct fixture *f = WH_CONTAINER_OF(watch, struct fixture, watch);
    f->is_up = is_up;
    size_t used = strlen(f->reasons);
    if (!is_up)
        snprintf(f->reasons + used, sizeof f->reasons - used, "%s\n", reason);
}

static void on_done(struct wh_redis_request *request,
                    enum wh_err err,
                    const struct wh_redis_reply *reply)
{
    struct call *call = WH_CONTAINER_OF(request, struct call, request);
    call->is_done = true;
    call->calls++;
    call->err = err;
    assert_true((err == WH_OK) == (reply != NULL));
    if (!reply)
        return;
    call->type = reply->type;
    call->integer = reply->integer;
    call->len = reply->text.len;
    if (reply->text.ptr && reply->text.len < TEXT_MAX)
        memcpy(call->text, reply->text.ptr, reply->text.len);
}

static void on_closed(void *user)
{
    ((struct fixture *)user)->is_closed = true;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    f->watch.on_state = on_state;
    redis_server_init(&f->server);
    return wh_loop_init(&f->loop) == WH_OK ? 0 : -1;
}

static void close_redis(struct fixture *f)
{
    wh_redis_unwatch(&f->watch);
    f->is_closed = f->is_up = false;
    wh_redis_close(f->redis, on_closed, f);
    assert_false(f->is_closed);
    assert_true(run_until_true(&f->loop, &f->is_closed, WAIT_MS));
    f->redis = NULL;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->redis)
        close_redis(f);
    wh_loop_deinit(&f->loop);
    redis_server_deinit(&f->server);
    free(f);
    return 0;
}

static void open_redis(struct fixture *f, const struct wh_redis_options *options)
{
    f->reasons[0] = '\0';
    assert_int_equal(wh_redis_new(&f->loop, options, &f->redis), WH_OK);
    wh_redis_watch(f->redis, &f->watch);
}

static void open_up(struct fixture *f, const char *address)
{
    struct wh_redis_options options = {.address = address};
    open_redis(f, &options);
    assert_true(run_until_true(&f->loop, &f->is_up, WAIT_MS));
}

static bool has_reason(void *user)
{
    return strstr(((struct fixture *)((void **)user)[0])->reasons, ((void **)user)[1]) != NULL;
}

static void expect_reason(struct fixture *f, const char *part)
{
    void *both[] = {f, (void *)part};
    if (!run_until(&f->loop, has_reason, both, WAIT_MS))
        fail_msg("no reason with \"%s\" in:\n%s", part, f->reasons);
}

static void start_call(struct fixture *f, struct call *call, const struct wh_slice *argv, size_t n)
{
    *call = (struct call){.request.done = on_done};
    wh_redis_send(f->redis, &call->request, argv, n);
    assert_false(call->is_done);
}

static void finish_call(struct fixture *f, struct call *call)
{
    assert_true(run_until_true(&f->loop, &call->is_done, WAIT_MS));
    assert_int_equal(call->calls, 1);
}

static void run_call(struct fixture *f, struct call *call, const struct wh_slice *argv, size_t n)
{
    start_call(f, call, argv, n);
    finish_call(f, call);
}

static const struct wh_slice ping[] = {{"PING", 4}};

static void connects_by_unix_path_address_and_name(void **state)
{
    struct fixture *f = *state;
    char by_name[64];
    char by_scheme[160];
    struct call call;
    redis_server_start(&f->server, NULL);
    snprintf(by_name, sizeof by_name, "localhost:%s", strchr(f->server.tcp_address, ':') + 1);
    snprintf(by_scheme, sizeof by_scheme, "unix://%s", f->server.socket);
    const char *addresses[] = {f->server.socket, by_scheme, f->server.tcp_address, by_name};
    for (size_t i = 0; i < 4; i++) {
        open_up(f, addresses[i]);
        run_call(f, &call, ping, 1);
        assert_int_equal(call.err, WH_OK);
        assert_int_equal(call.type, WH_REDIS_STATUS);
        assert_string_equal(call.text, "PONG");
        close_redis(f);
    }
}

static void bad_addresses_are_refused_at_once(void **state)
{
    static const char *const bad[] = {
        NULL,           "",     ":6379",  "host:",  "host:0", "host:65536", "host:1x",
        "redis://host", "[::1", "[::1]x", "unix://"};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct wh_redis_options options = {.address = bad[i]};
        assert_int_equal(wh_redis_new(&f->loop, &options, &f->redis), WH_EINVAL);
    }
    char too_long[200];
    memset(too_long, '/', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = '\0';
    struct wh_redis_options options = {.address = too_long};
    assert_int_equal(wh_redis_new(&f->loop, &options, &f->redis), WH_EINVAL);
}

static void name_that_does_not_resolve_is_said_and_close_does_not_hang(void **state)
{
    struct fixture *f = *state;
    struct wh_redis_options options = {.address = "nosuch.invalid:6379"};
    open_redis(f, &options);
    expect_reason(f, "resolve");
}

static void replies_match_their_commands_in_order_and_keep_every_byte(void **state)
{
    enum { COUNT = 500 };
    struct fixture *f = *state;
    static struct call sets[COUNT];
    static struct call gets[COUNT];
    char value[32];
    redis_server_start(&f->server, NULL);
    open_up(f, f->server.socket);
    for (int i = 0; i < COUNT; i++) {
        int len = snprintf(value, sizeof value, "%d\r\n$3\r\n", i) + 1; /* the NUL as well */
        struct wh_slice key = {value, (size_t)len};
        struct wh_slice set[] = {{"SET", 3}, key, key};
        struct wh_slice get[] = {{"GET", 3}, key};
        start_call(f, &sets[i], set, 3);
        start_call(f, &gets[i], get, 2);
    }
    for (int i = 0; i < COUNT; i++) {
        finish_call(f, &gets[i]);
        int len = snprintf(value, sizeof value, "%d\r\n$3\r\n", i) + 1;
        assert_int_equal(sets[i].calls, 1);
        assert_int_equal(gets[i].len, len);
        assert_memory_equal(gets[i].text, value, (size_t)len);
    }
    assert_int_equal(wh_redis_stats(f->redis)->commands, 2 * COUNT);
    assert_int_equal(wh_redis_stats(f->redis)->errors, 0);
}

static void large_values_travel_whole(void **state)
{
    enum { SIZE = 8 * 1024 * 1024 };
    struct fixture *f = *state;
    struct call call;
    char *big = malloc(SIZE);
    memset(big, 'x', SIZE);
    redis_server_start(&f->server, NULL);
    open_up(f, f->server.socket);
    struct wh_slice set[] = {{"SET", 3}, {"big", 3}, {big, SIZE}};
    struct wh_slice get[] = {{"GET", 3}, {"big", 3}};
    run_call(f, &call, set, 3);
    assert_int_equal(call.err, WH_OK);
    run_call(f, &call, get, 2);
    assert_int_equal(call.len, SIZE);
    free(big);
}

static void refused_command_is_an_answer_and_counts_as_error(void **state)
{
    static const struct wh_slice nonsense[] = {{"NONSENSE", 8}};
    struct fixture *f = *state;
    struct call call;
    redis_server_start(&f->server, NULL);
    open_up(f, f->server.socket);
    run_call(f, &call, nonsense, 1);
    assert_int_equal(call.err, WH_OK);
    assert_int_equal(call.type, WH_REDIS_ERROR);
    assert_int_equal(wh_redis_stats(f->redis)->errors, 1);
    run_call(f, &call, ping, 1);
    assert_string_equal(call.text, "PONG");
}

static void database_is_selected_before_the_first_command(void **state)
{
    static const struct wh_slice set[] = {{"SET", 3}, {"k", 1}, {"v", 1}};
    struct fixture *f = *state;
    struct call call;
    redis_server_start(&f->server, NULL);
    struct wh_redis_options options = {.address = f->server.socket, .db = 3};
    open_redis(f, &options);
    assert_true(run_until_true(&f->loop, &f->is_up, WAIT_MS));
    run_call(f, &call, set, 3);
    assert_int_equal(redis_server_command(&f->server, "DBSIZE"), 0);
    close_redis(f);
    options.db = 9999;
    open_redis(f, &options);
    expect_reason(f, "redis: ERR DB index is out of range");
}

static void commands_end_with_the_code_that_tells_whether_they_were_sent(void **state)
{
    static char big[5000];
    struct fixture *f = *state;
    struct call calls[3];
    struct wh_redis_options options = {
        .address = f->server.socket, .command_timeout_ms = 200, .queue_bytes_max = 4096};
    open_redis(f, &options);
    run_call(f, &calls[0], ping, 1);
    assert_int_equal(calls[0].err, WH_EUNAVAILABLE);

    redis_server_start(&f->server, NULL);
    assert_true(run_until_true(&f->loop, &f->is_up, WAIT_MS));
    struct wh_slice echo[] = {{"ECHO", 4}, {big, sizeof big}};
    run_call(f, &calls[0], echo, 2);
    assert_int_equal(calls[0].err, WH_ELIMIT);

    redis_server_pause(&f->server);
    run_call(f, &calls[0], ping, 1);
    assert_int_equal(calls[0].err, WH_ETIMEOUT);
    expect_reason(f, "no reply for 0.2 s");
    redis_server_resume(&f->server);
    assert_true(run_until_true(&f->loop, &f->is_up, WAIT_MS));

    redis_server_pause(&f->server);
    start_call(f, &calls[1], ping, 1);
    uv_run(&f->loop.uv, UV_RUN_NOWAIT);
    redis_server_kill(&f->server);
    finish_call(f, &calls[1]);
    assert_int_equal(calls[1].err, WH_EIO);

    redis_server_start(&f->server, NULL);
    assert_true(run_until_true(&f->loop, &f->is_up, WAIT_MS));
    assert_int_equal(wh_redis_stats(f->redis)->reconnects, 2);
    start_call(f, &calls[2], ping, 1);
    close_redis(f);
    assert_int_equal(calls[2].calls, 1);
    assert_int_equal(calls[2].err, WH_ECLOSED);
}

static void replica_is_not_taken_for_a_primary(void **state)
{
    static const char *const as_replica[] = {"--replicaof", "127.0.0.1", "1", NULL};
    struct fixture *f = *state;
    redis_server_start(&f->server, as_replica);
    struct wh_redis_options options = {.address = f->server.socket};
    open_redis(f, &options);
    expect_reason(f, "redis: READONLY");
    redis_server_command(&f->server, "REPLICAOF NO ONE");
    assert_true(run_until_true(&f->loop, &f->is_up, WAIT_MS));
}

/* A peer that is no (ready) Redis: answers the first bytes with a fixed text. */
struct impostor {
    uv_pipe_t listener;
    uv_pipe_t peer;
    const char *answer; /* NULL = silence */
    bool has_peer;
    uv_write_t write;
    char input[1024];
};

static void on_impostor_alloc(uv_handle_t *handle, size_t size, uv_buf_t *out)
{
    struct impostor *impostor = handle->data;
    (void)size;
    *out = uv_buf_init(impostor->input, sizeof impostor->input);
}

static void on_impostor_closed(uv_handle_t *handle)
{
    ((struct impostor *)handle->data)->has_peer = false;
}

static void on_impostor_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    struct impostor *impostor = stream->data;
    (void)buf;
    if (count < 0 && !uv_is_closing((uv_handle_t *)stream))
        uv_close((uv_handle_t *)stream, on_impostor_closed);
    if (count <= 0 || !impostor->answer)
        return;
    uv_buf_t answer = uv_buf_init((char *)impostor->answer, (unsigned)strlen(impostor->answer));
    uv_write(&impostor->write, stream, &answer, 1, NULL);
}

static void on_impostor_peer(uv_stream_t *listener, int status)
{
    struct impostor *impostor = listener->data;
    if (status < 0 || impostor->has_peer)
        return;
    impostor->has_peer = true;
    uv_pipe_init(listener->loop, &impostor->peer, 0);
    impostor->peer.data = impostor;
    uv_accept(listener, (uv_stream_t *)&impostor->peer);
    uv_read_start((uv_stream_t *)&impostor->peer, on_impostor_alloc, on_impostor_read);
}

static void servers_that_are_unfit_are_named_and_tried_again(void **state)
{
    static const struct {
        const char *answer;
        const char *reason;
    } cases[] = {
        {"-LOADING Redis is loading the dataset in memory\r\n", "redis: LOADING Redis is loading"},
        {"-MASTERDOWN Link with MASTER is down\r\n", "redis: MASTERDOWN"},
        {"-NOAUTH Authentication required.\r\n", "redis: NOAUTH"},
        {"-ERR max number of clients reached\r\n", "redis: ERR max number of clients reached"},
        {"HTTP/1.1 400 Bad Request\r\n\r\n", "not the Redis protocol"},
        {"*2147483647\r\n", "reply too large"},
        {"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", "not the Redis"},
        {"+PONG\r\n*1\r\n$6\r\nmaster\r\n:1\r\n", "redis: unexpected reply"},
        {NULL, "handshake: no answer for 0.3 s"},
    };
    struct fixture *f = *state;
    struct impostor impostor = {0};
    uv_pipe_init(&f->loop.uv, &impostor.listener, 0);
    impostor.listener.data = &impostor;
    assert_int_equal(uv_pipe_bind(&impostor.listener, f->server.socket), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&impostor.listener, 8, on_impostor_peer), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        impostor.answer = cases[i].answer;
        struct wh_redis_options options = {.address = f->server.socket, .connect_timeout_ms = 300};
        open_redis(f, &options);
        expect_reason(f, cases[i].reason);
        close_redis(f);
    }
    run_for(&f->loop, 50);
    uv_close((uv_handle_t *)&impostor.listener, NULL);
    if (impostor.has_peer && !uv_is_closing((uv_handle_t *)&impostor.peer))
        uv_close((uv_handle_t *)&impostor.peer, NULL);
    uv_run(&f->loop.uv, UV_RUN_NOWAIT);
}

/* ---- pub/sub ---- */

struct pubsub_fixture {
    struct wh_redis_pubsub *pubsub;
    bool is_up;
    unsigned downs;
    char reason[WH_REDIS_REASON_MAX];
    bool is_closed;
    bool is_released;
    bool is_confirmed;
};

static void on_pubsub_message(void *user, struct wh_slice channel, struct wh_slice payload)
{
    (void)user, (void)channel, (void)payload;
}

static void on_pubsub_confirmed(void *user, struct wh_redis_channel *channel)
{
    (void)channel;
    ((struct pubsub_fixture *)user)->is_confirmed = true;
}

static void on_pubsub_released(void *user, struct wh_redis_channel *channel)
{
    (void)channel;
    ((struct pubsub_fixture *)user)->is_released = true;
}

static void on_pubsub_state(void *user, bool is_up, const char *reason)
{
    struct pubsub_fixture *p = user;
    p->is_up = is_up;
    p->downs += !is_up;
    snprintf(p->reason, sizeof p->reason, "%s", reason);
}

static void on_pubsub_closed(void *user)
{
    ((struct pubsub_fixture *)user)->is_closed = true;
}

static void open_pubsub(struct fixture *f, struct pubsub_fixture *p, const char *address)
{
    struct wh_redis_pubsub_options options = {
        .redis = {.address = address},
        .heartbeat_ms = 100,
        .on_message = on_pubsub_message,
        .on_confirmed = on_pubsub_confirmed,
        .on_released = on_pubsub_released,
        .on_state = on_pubsub_state,
        .user = p,
    };
    assert_int_equal(wh_redis_pubsub_new(&f->loop, f->redis, &options, &p->pubsub), WH_OK);
}

static void close_pubsub(struct fixture *f, struct pubsub_fixture *p)
{
    wh_redis_pubsub_close(p->pubsub, on_pubsub_closed, p);
    assert_true(run_until_true(&f->loop, &p->is_closed, WAIT_MS));
}

static bool has_gone_down(void *user)
{
    return ((struct pubsub_fixture *)user)->downs > 0;
}

/* Commands reach one server and subscriptions another: both links are fine and yet nothing comes,
 * as on a path that died half. */
static void link_without_heartbeats_is_never_up_and_given_up(void **state)
{
    struct fixture *f = *state;
    struct pubsub_fixture p = {0};
    struct redis_server other;
    redis_server_init(&other);
    redis_server_start(&other, NULL);
    redis_server_start(&f->server, NULL);
    open_up(f, f->server.socket);
    open_pubsub(f, &p, other.socket);
    assert_true(run_until(&f->loop, has_gone_down, &p, WAIT_MS));
    assert_false(p.is_up);
    assert_string_equal(p.reason, "no heartbeat for 0.2 s");
    close_pubsub(f, &p);
    redis_server_deinit(&other);
}

struct change_of_mind {
    struct wh_task task;
    struct wh_redis_pubsub *pubsub;
    struct wh_redis_channel *channel;
};

/* Runs right after the flush that sent the UNSUBSCRIBE. */
static void on_change_of_mind(struct wh_task *task)
{
    struct change_of_mind *change = WH_CONTAINER_OF(task, struct change_of_mind, task);
    wh_task_cancel(task);
    assert_int_equal(change->channel->state, WH_REDIS_CHANNEL_UNSUBSCRIBING);
    assert_int_equal(wh_redis_pubsub_want(change->pubsub, change->channel), WH_OK);
}

static void channel_wanted_again_before_its_release_is_kept(void **state)
{
    struct fixture *f = *state;
    struct pubsub_fixture p = {0};
    struct wh_redis_channel channel = {.name = WH_SLICE_LITERAL("x")};
    redis_server_start(&f->server, NULL);
    open_up(f, f->server.socket);
    open_pubsub(f, &p, f->server.socket);
    assert_int_equal(wh_redis_pubsub_want(p.pubsub, &channel), WH_OK);
    assert_true(run_until_true(&f->loop, &p.is_up, WAIT_MS));
    assert_true(p.is_confirmed);

    struct change_of_mind change = {.pubsub = p.pubsub, .channel = &channel};
    wh_task_init(&change.task, on_change_of_mind);
    p.is_confirmed = false;
    wh_redis_pubsub_unwant(p.pubsub, &channel);
    wh_loop_at_turn_end(&f->loop, &change.task);
    assert_true(run_until_true(&f->loop, &p.is_confirmed, WAIT_MS));
    assert_false(p.is_released);
    assert_int_equal(redis_server_command(&f->server, "PUBLISH x 1"), 1);

    wh_redis_pubsub_unwant(p.pubsub, &channel);
    assert_true(run_until_true(&f->loop, &p.is_released, WAIT_MS));
    assert_int_equal(redis_server_command(&f->server, "PUBLISH x 1"), 0);
    close_pubsub(f, &p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(connects_by_unix_path_address_and_name),
        TEST(bad_addresses_are_refused_at_once),
        TEST(name_that_does_not_resolve_is_said_and_close_does_not_hang),
        TEST(replies_match_their_commands_in_order_and_keep_every_byte),
        TEST(large_values_travel_whole),
        TEST(refused_command_is_an_answer_and_counts_as_error),
        TEST(database_is_selected_before_the_first_command),
        TEST(commands_end_with_the_code_that_tells_whether_they_were_sent),
        TEST(replica_is_not_taken_for_a_primary),
        TEST(servers_that_are_unfit_are_named_and_tried_again),
        TEST(link_without_heartbeats_is_never_up_and_given_up),
        TEST(channel_wanted_again_before_its_release_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
