/*
 * The child of a fork: every function says WH_EFORKED or does nothing, everything that it inherited
 * can be given back in any order, nothing waits for a thread that is not there, and the parent's
 * connection does not notice.  A child ends with _exit and says on stderr what was wrong.
 */
#include "json_peer.h"

#include <wirehub/wirehub.h>

#include <poll.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { LIMIT_S = 30, CHILD_LIMIT_S = 10 };

/* What a program has in its hands when it forks. */
struct program {
    enum wh_mode mode;
    struct wh_runtime *runtime;
    struct wh_client *client;
    struct wh_sub *sub;
    struct wh_call *call;
    struct wh_result *result;
    const struct wh_publication *publication;
    struct wh_token_request *_Atomic request; /* of the subscription "mine", unanswered */
    struct wh_state_request *_Atomic state_request;
    _Atomic bool has_all;
    _Atomic unsigned frees, dones, ends;
};

static void on_publication(struct wh_sub *sub, const struct wh_publication *publication, void *user)
{
    struct program *program = user;
    (void)sub;
    if (!program->publication)
        program->publication = wh_publication_ref(publication);
    atomic_store(&program->has_all, program->request && program->state_request);
}

static void on_sub_token(struct wh_sub *sub, struct wh_token_request *request, void *user)
{
    (void)sub;
    ((struct program *)user)->request = request;
}

static void on_sub_state(struct wh_sub *sub, struct wh_state_request *request, void *user)
{
    (void)sub;
    ((struct program *)user)->state_request = request;
}

static void on_free(void *user)
{
    atomic_fetch_add(&((struct program *)user)->frees, 1);
}

static void on_done(void *user)
{
    atomic_fetch_add(&((struct program *)user)->dones, 1);
}

static void on_end(struct wh_client *c,
                   const struct wh_error *error,
                   const struct wh_data *data,
                   void *user)
{
    (void)c, (void)error, (void)data;
    atomic_fetch_add(&((struct program *)user)->ends, 1);
}

static struct wh_sub *make_sub(struct program *program,
                               const char *channel,
                               const struct wh_sub_events *events)
{
    struct wh_sub_options options = WH_SUB_OPTIONS_INIT;
    struct wh_sub *sub = NULL;
    options.events = events;
    options.recoverable = true;
    options.user = program;
    assert_int_equal(wh_sub_new(program->client, channel, &options, &sub, NULL), WH_OK);
    assert_int_equal(wh_sub_subscribe(sub), WH_OK);
    return sub;
}

static void turn(struct program *program)
{
    if (program->mode == WH_MODE_LOOP)
        (void)wh_runtime_run_once(program->runtime, 10);
    else if (program->mode == WH_MODE_DISPATCH)
        (void)wh_client_dispatch(program->client, 0);
    if (program->mode != WH_MODE_LOOP)
        (void)poll(NULL, 0, 1);
}

static void begin(struct program *program, enum wh_mode mode, const struct raw_peer *peer)
{
    static const struct wh_sub_events events = {WH_SUB_EVENTS_INIT, .publication = on_publication};
    static const struct wh_sub_events asks = {WH_SUB_EVENTS_INIT, .get_token = on_sub_token};
    static const struct wh_sub_events asks_state = {WH_SUB_EVENTS_INIT, .get_state = on_sub_state};
    struct wh_runtime_options runtime_options = WH_RUNTIME_OPTIONS_INIT;
    struct wh_client_options options = WH_CLIENT_OPTIONS_INIT;
    struct wh_call_options call_options = WH_CALL_OPTIONS_INIT;
    char url[64];
    memset(program, 0, sizeof *program);
    program->mode = runtime_options.mode = mode;
    assert_int_equal(wh_runtime_new(&runtime_options, &program->runtime, NULL), WH_OK);
    (void)snprintf(url, sizeof url, "ws://127.0.0.1:%u/", raw_peer_port(peer));
    options.url = url;
    options.user = program;
    options.user_free = on_free;
    options.runtime = program->runtime;
    assert_int_equal(wh_client_new(&options, &program->client, NULL), WH_OK);
    assert_int_equal(wh_client_connect_wait(program->client, LIMIT_S * 1000, NULL), WH_OK);
    (void)make_sub(program, "mine", &asks);
    (void)make_sub(program, "state", &asks_state);
    while (!program->request || !program->state_request)
        turn(program);
    program->sub = make_sub(program, "news", &events);
    while (!atomic_load(&program->has_all))
        turn(program);
    call_options.out_call = &program->call;
    assert_int_equal(
        wh_client_rpc(program->client, "silent", wh_json("1"), &call_options, on_end, program),
        WH_OK);
    assert_int_equal(
        wh_client_history_sync(program->client, "news", NULL, 0, &program->result, NULL), WH_OK);
}

/* The parent has noticed nothing: the same connection answers, and everything ends as ever. */
static void end(struct program *program)
{
    struct wh_client_stats stats = {.size = sizeof stats};
    assert_int_equal(wh_client_rpc_sync(program->client, "echo", wh_json("1"), 0, NULL, NULL),
                     WH_OK);
    wh_client_stats(program->client, &stats);
    assert_int_equal(stats.connects, 1);
    assert_int_equal(atomic_load(&program->ends), 0);
    wh_client_free(program->client);
    assert_int_equal(atomic_load(&program->frees), 1);
    assert_int_equal(atomic_load(&program->ends), 1);
    wh_token_ok(program->request, "t");
    wh_state_ok(program->state_request, NULL);
    wh_call_free(program->call);
    wh_result_free(program->result);
    wh_publication_unref(program->publication);
    wh_runtime_free(program->runtime);
}

/* ---- the child ------------------------------------------------------------------------------- */

#define CHECK(claim)                                                                               \
    do {                                                                                           \
        if (!(claim)) {                                                                            \
            fprintf(stderr, "in the child: %s:%d: false: %s\n", __FILE__, __LINE__, #claim);       \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static void check_client_functions(const struct program *program)
{
    struct wh_client *client = program->client;
    struct wh_client_stats stats = {.size = sizeof stats, .connects = 7};
    struct wh_error error = {.text = ""};
    struct wh_sub *sub = NULL;
    CHECK(wh_client_connect(client) == WH_EFORKED);
    CHECK(wh_client_connect_wait(client, 1, &error) == WH_EFORKED && error.text[0]);
    CHECK(wh_client_disconnect(client) == WH_EFORKED);
    CHECK(wh_client_reconnect_now(client) == WH_EFORKED);
    CHECK(wh_client_set_token(client, "t") == WH_EFORKED);
    CHECK(wh_client_send(client, wh_json("1")) == WH_EFORKED);
    CHECK(wh_sub_new(client, "new", NULL, &sub, &error) == WH_EFORKED && !sub);
    CHECK(!wh_client_subscribe(client, "new", NULL, NULL));
    CHECK(!wh_client_sub(client, "news"));
    CHECK(wh_client_dispatch(client, 0) == 0);
    CHECK(wh_client_user(client) == program);
    (void)wh_client_state(client);
    (void)wh_client_fd(client);
    wh_client_batch_begin(client);
    wh_client_batch_end(client);
    wh_client_stats(client, &stats);
    CHECK(stats.connects == 0);
}

static void check_calls(const struct program *program)
{
    struct wh_client *client = program->client;
    struct wh_sub *sub = program->sub;
    struct wh_call *call = NULL;
    struct wh_call_options options = WH_CALL_OPTIONS_INIT;
    struct wh_data data = wh_json("1");
    options.out_call = &call;
    CHECK(wh_client_rpc(client, "a", data, &options, on_end, NULL) == WH_EFORKED && !call);
    CHECK(wh_client_publish(client, "a", data, NULL, NULL, NULL) == WH_EFORKED);
    CHECK(wh_client_history(client, "a", NULL, NULL, NULL, NULL) == WH_EFORKED);
    CHECK(wh_client_presence(client, "a", NULL, NULL, NULL) == WH_EFORKED);
    CHECK(wh_client_presence_stats(client, "a", NULL, NULL, NULL) == WH_EFORKED);
    CHECK(wh_client_ping(client, NULL, NULL, NULL) == WH_EFORKED);
    CHECK(wh_client_rpc_sync(client, "a", data, 0, NULL, NULL) == WH_EFORKED);
    CHECK(wh_client_publish_sync(client, "a", data, 0, NULL) == WH_EFORKED);
    CHECK(wh_client_history_sync(client, "a", NULL, 0, NULL, NULL) == WH_EFORKED);
    CHECK(wh_client_presence_sync(client, "a", 0, NULL, NULL) == WH_EFORKED);
    CHECK(wh_client_presence_stats_sync(client, "a", 0, NULL, NULL) == WH_EFORKED);
    CHECK(wh_sub_publish(sub, data, NULL, NULL, NULL) == WH_EFORKED);
    CHECK(wh_sub_history(sub, NULL, NULL, NULL, NULL) == WH_EFORKED);
    CHECK(wh_sub_presence(sub, NULL, NULL, NULL) == WH_EFORKED);
    CHECK(wh_sub_presence_stats(sub, NULL, NULL, NULL) == WH_EFORKED);
    wh_call_cancel(program->call);
}

static void check_sub_functions(const struct program *program)
{
    struct wh_sub *sub = program->sub;
    uint64_t offset = 7;
    CHECK(wh_sub_subscribe(sub) == WH_EFORKED);
    CHECK(wh_sub_subscribe_wait(sub, 1, NULL) == WH_EFORKED);
    CHECK(wh_sub_unsubscribe(sub) == WH_EFORKED);
    CHECK(wh_sub_position(sub, &offset, NULL, 0) == WH_EFORKED && offset == 7);
    CHECK(wh_sub_set_filter(sub, NULL) == WH_EFORKED);
    CHECK(wh_sub_set_token(sub, "t") == WH_EFORKED);
    CHECK(wh_sub_state(sub) == WH_SUB_UNSUBSCRIBED);
    CHECK(strcmp(wh_sub_channel(sub), "news") == 0);
    CHECK(wh_sub_client(sub) == program->client);
    CHECK(wh_sub_user(sub) == program);
    wh_sub_free(sub);
}

static void check_runtime_functions(const struct program *program)
{
    struct wh_client_options options = WH_CLIENT_OPTIONS_INIT;
    struct wh_client *client = NULL;
    struct wh_error error = {.text = ""};
    options.url = "ws://127.0.0.1:1/";
    options.runtime = program->runtime;
    CHECK(wh_client_new(&options, &client, &error) == WH_EFORKED && !client && error.text[0]);
    CHECK(!wh_client_open("ws://127.0.0.1:1/", &options));
    if (program->mode == WH_MODE_LOOP)
        CHECK(wh_runtime_run_once(program->runtime, 0) == WH_EFORKED);
    wh_runtime_wake(program->runtime);
}

/* `order`: the client before what came from it, or after. */
static void give_back(const struct program *program, unsigned order)
{
    if (order == 0)
        wh_client_free(program->client);
    wh_call_cancel(program->call);
    wh_call_free(program->call);
    wh_token_ok(program->request, "t");
    wh_state_error(program->state_request, "none");
    wh_result_free(program->result);
    wh_publication_unref(program->publication);
    if (order == 1)
        wh_client_free(program->client);
    wh_runtime_free(program->runtime);
}

/* A runtime and a client of its own is what a child may have. */
static void live(const struct raw_peer *peer)
{
    struct wh_client_options options = WH_CLIENT_OPTIONS_INIT;
    struct wh_runtime_options runtime_options = WH_RUNTIME_OPTIONS_INIT;
    struct wh_client *client = NULL;
    char url[64];
    (void)snprintf(url, sizeof url, "ws://127.0.0.1:%u/", raw_peer_port(peer));
    options.url = url;
    runtime_options.mode = WH_MODE_LOOP;
    CHECK(wh_runtime_new(&runtime_options, &options.runtime, NULL) == WH_OK);
    CHECK(wh_client_new(&options, &client, NULL) == WH_OK);
    CHECK(wh_client_rpc_sync(client, "a", wh_json("1"), 0, NULL, NULL) == WH_EDISCONNECTED);
    wh_client_free(client);
    wh_runtime_free(options.runtime);
}

static void await_child(pid_t pid)
{
    int status = -1;
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status))
        fail_msg("the child ended by signal %d (%s)", WTERMSIG(status),
                 WTERMSIG(status) == SIGALRM ? "it hung" : "see above");
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void run(enum wh_mode mode)
{
    struct raw_peer *peer = raw_peer_start(json_peer_script, NULL, NULL);
    for (unsigned order = 0; order < 2; order++) {
        struct program program;
        begin(&program, mode, peer);
        pid_t pid = fork();
        if (pid == 0) {
            (void)alarm(CHILD_LIMIT_S);
            check_client_functions(&program);
            check_calls(&program);
            check_sub_functions(&program);
            check_runtime_functions(&program);
            live(peer);
            give_back(&program, order);
            CHECK(atomic_load(&program.frees) == 0 && atomic_load(&program.ends) == 0);
            _exit(0);
        }
        await_child(pid);
        end(&program);
    }
    raw_peer_stop(peer);
}

static void a_child_of_a_threaded_program_is_told(void **state)
{
    (void)state;
    run(WH_MODE_THREADED);
}

static void a_child_of_a_dispatching_program_is_told(void **state)
{
    (void)state;
    run(WH_MODE_DISPATCH);
}

static void a_child_of_a_pumped_program_is_told(void **state)
{
    (void)state;
    run(WH_MODE_LOOP);
}

static void closing_in_the_child_calls_nobody(void **state)
{
    (void)state;
    struct program program;
    struct raw_peer *peer = raw_peer_start(json_peer_script, NULL, NULL);
    begin(&program, WH_MODE_THREADED, peer);
    pid_t pid = fork();
    if (pid == 0) {
        (void)alarm(CHILD_LIMIT_S);
        wh_client_close(program.client, on_done, &program);
        wh_runtime_close(program.runtime, on_done, &program);
        CHECK(atomic_load(&program.dones) == 0 && atomic_load(&program.frees) == 0);
        wh_client_free(program.client);
        _exit(0);
    }
    await_child(pid);
    end(&program);
    raw_peer_stop(peer);
}

/* ---- a thread in the middle of something ------------------------------------------------------
 */

static sem_t is_inside, may_leave;
static _Atomic bool must_stop;

/* The first line on a thread of the library stays until it is let go. */
static void on_line(enum wh_severity severity,
                    const char *area,
                    const char *event,
                    const char *fields,
                    void *user)
{
    (void)severity, (void)area, (void)event, (void)fields, (void)user;
    if (!atomic_exchange(&must_stop, false))
        return;
    (void)sem_post(&is_inside);
    (void)sem_wait(&may_leave);
}

/* The I/O thread writes a line, with the log's lock and its client's, when the program forks. */
static void a_child_does_not_wait_for_a_thread_that_was_logging(void **state)
{
    (void)state;
    struct program program, other;
    struct raw_peer *peer = raw_peer_start(json_peer_script, NULL, NULL);
    struct raw_peer *other_peer = raw_peer_start(json_peer_script, NULL, NULL);
    assert_int_equal(sem_init(&is_inside, 0, 0), 0);
    assert_int_equal(sem_init(&may_leave, 0, 0), 0);
    begin(&program, WH_MODE_THREADED, peer);
    begin(&other, WH_MODE_THREADED, other_peer);
    wh_log_sink(on_line, NULL, WH_SEVERITY_TRACE, NULL);
    atomic_store(&must_stop, true);
    assert_int_equal(wh_client_rpc(program.client, "echo", wh_json("1"), NULL, NULL, NULL), WH_OK);
    (void)sem_wait(&is_inside);
    pid_t pid = fork();
    if (pid == 0) {
        (void)alarm(CHILD_LIMIT_S);
        CHECK(!wh_client_open("nowhere", NULL)); /* a line */
        CHECK(!wh_client_subscribe(other.client, "new", NULL, NULL));
        wh_client_free(program.client); /* its lock is held for ever */
        wh_client_free(other.client);
        wh_log_sink(NULL, NULL, WH_SEVERITY_NONE, NULL);
        _exit(0);
    }
    (void)sem_post(&may_leave);
    await_child(pid);
    wh_log_sink(NULL, NULL, WH_SEVERITY_NONE, NULL);
    end(&program);
    end(&other);
    raw_peer_stop(other_peer);
    raw_peer_stop(peer);
    (void)sem_destroy(&is_inside);
    (void)sem_destroy(&may_leave);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_of_a_threaded_program_is_told),
        cmocka_unit_test(a_child_of_a_dispatching_program_is_told),
        cmocka_unit_test(a_child_of_a_pumped_program_is_told),
        cmocka_unit_test(closing_in_the_child_calls_nobody),
        cmocka_unit_test(a_child_does_not_wait_for_a_thread_that_was_logging),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
