#include "sdk_torture_life.h"

#include "torture_alloc.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SETTLE_MS = 1, SYNC_MS = 300 };

/* How far it is, for whoever reads why it failed: lives are one after another. */
static struct {
    struct torture torture;
    size_t nth;
} now;

void torture_claim_failed(const char *file, int line, const char *claim)
{
    fprintf(stderr, "%s:%d: false: %s (mode %d, %s %zu%s)\n", file, line, claim,
            (int)now.torture.mode, now.torture.goes_on ? "all allocations from" : "allocation",
            now.nth, now.torture.ends_in_need ? ", freed meanwhile" : "");
    abort();
}

static void on_alarm(int number)
{
    (void)number;
    static const char text[] = "torture: something waits for ever\n";
    ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
    (void)written;
    abort();
}

static bool has_failed(void)
{
    return torture_alloc_has_failed();
}

bool torture_is_made(enum wh_err err)
{
    CLAIM(err == WH_OK || (err == WH_ENOMEM && has_failed()));
    return err == WH_OK;
}

bool torture_is_done(enum wh_err err)
{
    bool is_consequence = err == WH_ENOMEM || err == WH_EDISCONNECTED || err == WH_ECONNLOST ||
                          err == WH_ETIMEOUT || err == WH_EUNSUBSCRIBED || err == WH_ECONNECT;
    if (err != WH_OK && (!has_failed() || !is_consequence))
        fprintf(stderr, "%s\n", wh_err_name(err));
    CLAIM(err == WH_OK || (has_failed() && is_consequence));
    return err == WH_OK;
}

/* ---- turning --------------------------------------------------------------------------------- */

static uint64_t clock_ms(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

static void turn(struct life *life)
{
    if (life->torture.mode == WH_MODE_LOOP) {
        CLAIM(wh_runtime_run_once(life->runtime, 1) == WH_OK);
    } else if (life->torture.mode == WH_MODE_DISPATCH && life->client) {
        struct pollfd fd = {.fd = wh_client_fd(life->client), .events = POLLIN};
        if (poll(&fd, 1, 1) > 0)
            (void)wh_client_dispatch(life->client, 0);
    } else {
        (void)poll(NULL, 0, 1);
    }
}

typedef bool condition(const struct life *life);

/* Until it is so: it has to come. */
static void demand(struct life *life, condition *is_so)
{
    uint64_t end = clock_ms() + (uint64_t)TORTURE_LIMIT_S * 1000;
    while (!is_so(life)) {
        CLAIM(clock_ms() < end);
        turn(life);
    }
}

/* One failure is got over by what tries again by itself; where all allocations fail nothing gets
 * any better, and the program goes on after a moment. */
static void settle(struct life *life, condition *is_so)
{
    uint64_t failed_at = 0;
    if (!life->torture.goes_on) {
        demand(life, is_so);
        return;
    }
    uint64_t end = clock_ms() + (uint64_t)TORTURE_LIMIT_S * 1000;
    while (!is_so(life)) {
        uint64_t at = clock_ms();
        CLAIM(at < end);
        if (has_failed() && failed_at == 0)
            failed_at = at;
        if (failed_at != 0 && at - failed_at >= SETTLE_MS)
            return;
        turn(life);
    }
}

static bool is_connected(const struct life *life)
{
    return wh_client_state(life->client) == WH_CLIENT_CONNECTED;
}

static bool is_live(const struct life *life)
{
    for (size_t i = 0; i < sizeof life->subs / sizeof *life->subs; i++)
        if (life->subs[i].sub && wh_sub_state(life->subs[i].sub) != WH_SUB_SUBSCRIBED)
            return false;
    return is_connected(life);
}

/* Whatever could be begun has come to its end. */
static bool is_settled(const struct life *life)
{
    enum wh_client_state state = wh_client_state(life->client);
    if (state == WH_CLIENT_DISCONNECTED)
        return true;
    for (size_t i = 0; i < sizeof life->subs / sizeof *life->subs; i++)
        if (life->subs[i].sub && wh_sub_state(life->subs[i].sub) == WH_SUB_SUBSCRIBING)
            return false;
    return state == WH_CLIENT_CONNECTED;
}

static bool have_calls_ended(const struct life *life)
{
    for (size_t i = 0; i < life->call_count; i++) {
        const struct call_note *note = &life->calls[i];
        if (note->is_started && !atomic_load(&note->is_canceled) && atomic_load(&note->ends) == 0)
            return false;
    }
    return true;
}

static bool is_offline(const struct life *life)
{
    return atomic_load(&life->last_event) == WH_CLIENT_DISCONNECTED;
}

/* ---- making ---------------------------------------------------------------------------------- */

static void make_runtime(struct life *life)
{
    struct wh_runtime_options options = WH_RUNTIME_OPTIONS_INIT;
    struct wh_error error = {.err = WH_OK};
    if (life->runtime)
        return;
    options.mode = life->torture.mode;
    enum wh_err err = wh_runtime_new(&options, &life->runtime, &error);
    CLAIM(torture_is_made(err) == (life->runtime != NULL));
    CLAIM(err == WH_OK || (error.err == err && error.text[0]));
}

/* Every option that is memory of the client's. */
static void fill_options(struct life *life, struct wh_client_options *options)
{
    static const struct wh_header headers[] = {{"Authorization", "Bearer SECRET"}, {"X-Two", ""}};
    static const struct wh_header emulated[] = {{"Authorization", "Bearer SECRET"}, {"X", "y"}};
    static const struct wh_tls_options tls = {
        .size = sizeof tls, .ciphers = "HIGH", .server_name = "example", .ca = {"x", 1, 0, 0}};
    options->url = life->torture.url;
    options->name = "torture";
    options->version = "1";
    options->connect_data = wh_json("{\"a\":1}");
    options->headers = headers;
    options->header_count = 2;
    options->emulated_headers = emulated;
    options->emulated_header_count = 2;
    options->tls = &tls;
    options->proxy = "";
    options->events = &torture_events;
    options->user = life;
    options->user_free = torture_on_user_free;
    options->runtime = life->runtime;
    static const char *const texts[][2] = {{"min_reconnect_ms", "1"},
                                           {"max_reconnect_ms", "5ms"},
                                           {"close_timeout_ms", "100"},
                                           {"encoding", "json"}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        CLAIM(wh_client_options_set(options, texts[i][0], texts[i][1], NULL) == WH_OK);
    struct wh_error error;
    enum wh_err err = wh_client_options_set(options, "uri", "x", &error);
    CLAIM(err == WH_ENOTFOUND || (err == WH_ENOMEM && has_failed()));
}

static void make_client(struct life *life)
{
    struct wh_client_options options = WH_CLIENT_OPTIONS_INIT;
    struct wh_error error = {.err = WH_OK};
    if (life->client)
        return;
    fill_options(life, &options);
    enum wh_err err = wh_client_new(&options, &life->client, &error);
    CLAIM(torture_is_made(err) == (life->client != NULL));
    CLAIM(err == WH_OK || (error.err == err && error.text[0]));
    life->clients_made += life->client != NULL;
}

static void make_sub(struct life *life, size_t index)
{
    static const struct wh_filter leaves[] = {{.key = "k", .cmp = "eq", .val = "v"},
                                              {.key = "l", .cmp = "ex"}};
    static const struct wh_filter root = {.op = "or", .nodes = leaves, .node_count = 2};
    static const struct wh_position since = {1, "e"};
    static const char *const channels[] = {"plain", "state", "short"};
    struct sub_note *note = &life->subs[index];
    struct wh_sub_options options = WH_SUB_OPTIONS_INIT;
    if (note->sub)
        return;
    note->life = life;
    note->channel = channels[index];
    note->is_told = false;
    options.token = index == 0 ? NULL : "first-token-SECRET";
    options.data = wh_json("{\"d\":1}");
    options.recoverable = options.positioned = options.join_leave = true;
    options.since = index == 0 ? &since : NULL;
    options.filter = index == 0 ? &root : NULL;
    options.min_resubscribe_ms = 1;
    options.max_resubscribe_ms = 5;
    options.events = index == 1 ? &torture_state_events : &torture_sub_events;
    options.user = note;
    options.user_free = torture_on_sub_user_free;
    struct wh_error error = {.err = WH_OK};
    enum wh_err err = wh_sub_new(life->client, note->channel, &options, &note->sub, &error);
    CLAIM(torture_is_made(err) == (note->sub != NULL));
    CLAIM(err == WH_OK || (error.err == err && error.text[0]));
    CLAIM(wh_client_sub(life->client, note->channel) == note->sub);
    note->made += note->sub != NULL;
}

static void make_subs(struct life *life)
{
    make_sub(life, 0);
    make_sub(life, 1);
    make_sub(life, 2);
    for (size_t i = 0; i < 3; i++) {
        struct wh_sub *sub = life->subs[i].sub;
        if (sub && !torture_is_made(wh_sub_subscribe(sub)))
            CLAIM(wh_sub_state(sub) == WH_SUB_UNSUBSCRIBED);
    }
}

static void connect_client(struct life *life)
{
    enum wh_client_state before = wh_client_state(life->client);
    if (!torture_is_made(wh_client_connect(life->client)))
        CLAIM(wh_client_state(life->client) == before);
}

/* ---- what a program does --------------------------------------------------------------------- */

/* The next call's note; the call is started by the caller, who tells how that went. */
static struct call_note *next_call(struct life *life, struct wh_call_options *options)
{
    CLAIM(life->call_count < CALLS_MAX);
    struct call_note *note = &life->calls[life->call_count++];
    note->life = life;
    *options = (struct wh_call_options)WH_CALL_OPTIONS_INIT;
    options->user_free = torture_on_call_user_free;
    options->timeout_ms = 2000;
    if (life->call_count % 2 == 0)
        options->out_call = &note->handle;
    return note;
}

#define CALL(life, call_, ...)                                                                     \
    do {                                                                                           \
        struct wh_call_options options;                                                            \
        struct call_note *note = next_call(life, &options);                                        \
        note->is_started = torture_is_done(call_(__VA_ARGS__, note));                              \
        CLAIM(note->is_started || !note->handle);                                                  \
    } while (0)

static void call_everything(struct life *life)
{
    static const struct wh_position since = {1, "e"};
    const struct wh_history_options history = {sizeof history, 10, true, &since};
    struct wh_client *client = life->client;
    struct wh_sub *sub = life->subs[0].sub;
    wh_client_batch_begin(client);
    CALL(life, wh_client_rpc, client, "echo", wh_json("{\"password\":\"SECRET\"}"), &options,
         torture_on_rpc);
    CALL(life, wh_client_publish, client, "news", wh_json("1"), &options, torture_on_done);
    wh_client_batch_end(client);
    CALL(life, wh_client_history, client, "news", &history, &options, torture_on_history);
    CALL(life, wh_client_presence, client, "news", &options, torture_on_presence);
    CALL(life, wh_client_presence_stats, client, "news", &options, torture_on_stats);
    CALL(life, wh_client_ping, client, &options, torture_on_done);
    CALL(life, wh_client_rpc, client, "error", wh_json("1"), &options, torture_on_rpc);
    CALL(life, wh_client_rpc, client, "pushes", wh_bytes("2", 1), &options, torture_on_rpc);
    (void)torture_is_done(wh_client_send(client, wh_json("1")));
    if (!sub)
        return;
    CALL(life, wh_sub_publish, sub, wh_json("1"), &options, torture_on_done);
    CALL(life, wh_sub_history, sub, &history, &options, torture_on_history);
    CALL(life, wh_sub_presence, sub, &options, torture_on_presence);
    CALL(life, wh_sub_presence_stats, sub, &options, torture_on_stats);
}

static void cancel_one(struct life *life)
{
    struct wh_call_options options;
    struct call_note *note = next_call(life, &options);
    options.out_call = &note->handle;
    enum wh_err err =
        wh_client_rpc(life->client, "silent", wh_json("1"), &options, torture_on_rpc, note);
    note->is_started = torture_is_done(err);
    wh_call_cancel(note->handle);
    atomic_store(&note->is_canceled, true);
}

static void call_waiting(struct life *life)
{
    struct wh_client *client = life->client;
    struct wh_result *result = NULL;
    struct wh_error error = {.err = WH_OK};
    if (!is_connected(life))
        return;
    enum wh_err err = wh_client_rpc_sync(client, "echo", wh_json("1"), SYNC_MS, &result, &error);
    CLAIM(torture_is_done(err) == (result != NULL));
    CLAIM(err == WH_OK || (error.err == err && error.text[0]));
    wh_result_free(result);
    result = NULL;
    if (!is_connected(life))
        return;
    err = wh_client_history_sync(client, "news", NULL, SYNC_MS, &result, &error);
    CLAIM(torture_is_done(err) == (result != NULL));
    wh_result_free(result);
    if (is_connected(life))
        (void)torture_is_done(wh_client_presence_sync(client, "news", SYNC_MS, NULL, &error));
    if (is_connected(life))
        (void)torture_is_done(wh_client_presence_stats_sync(client, "news", SYNC_MS, NULL, NULL));
    if (is_connected(life))
        (void)torture_is_done(
            wh_client_publish_sync(client, "news", wh_json("1"), SYNC_MS, &error));
    if (is_connected(life) && life->torture.mode != WH_MODE_DISPATCH)
        (void)torture_is_done(wh_client_connect_wait(client, SYNC_MS, &error));
    if (is_connected(life) && life->torture.mode != WH_MODE_DISPATCH && life->subs[0].sub)
        (void)torture_is_done(wh_sub_subscribe_wait(life->subs[0].sub, SYNC_MS, &error));
}

static void keep_data(void)
{
    static const char packed[] = "\x81\xa1"
                                 "a\x01";
    const struct wh_data data = {packed, sizeof packed - 1, WH_DATA_MSGPACK, 0};
    struct wh_data copy = {0}, json = {0};
    if (torture_is_made(wh_data_copy(&data, &copy)))
        CLAIM(copy.len == data.len && memcmp(copy.ptr, packed, copy.len) == 0);
    wh_data_free(&copy);
    if (torture_is_made(wh_data_to_json(&data, &json)))
        CLAIM(strcmp(json.ptr, "{\"a\":1}") == 0);
    wh_data_free(&json);
}

static void change_sub(struct life *life)
{
    static const struct wh_filter filter = {.key = "k", .cmp = "ex"};
    struct wh_sub *sub = life->subs[0].sub;
    uint64_t offset;
    char epoch[64];
    if (!sub)
        return;
    enum wh_err err = wh_sub_position(sub, &offset, epoch, sizeof epoch);
    CLAIM(err == WH_OK || err == WH_ENOTFOUND);
    (void)torture_is_made(wh_sub_set_filter(sub, &filter));
    (void)torture_is_made(wh_sub_set_token(sub, "second-token-SECRET"));
    CLAIM(wh_sub_unsubscribe(sub) == WH_OK);
    (void)torture_is_made(wh_sub_subscribe(sub));
    wh_sub_free(life->subs[2].sub);
    life->subs[2].sub = NULL;
}

/* The server hangs up; what was asked for ends with that, and the client comes back. */
static void lose_connection(struct life *life)
{
    CALL(life, wh_client_rpc, life->client, "drop", wh_json("1"), &options, torture_on_rpc);
    settle(life, have_calls_ended);
    CLAIM(wh_client_reconnect_now(life->client) == WH_OK);
}

/* The short forms; their errors go to the log. */
static void open_briefly(struct life *life)
{
    struct wh_client_options options = WH_CLIENT_OPTIONS_INIT;
    struct wh_sub *sub;
    fill_options(life, &options);
    CLAIM(!wh_client_open("http://SECRET:SECRET@nowhere/?token=SECRET", &options));
    CLAIM(atomic_load(&life->client_frees) == 0);
    struct wh_client *client = wh_client_open(life->torture.url, &options);
    CLAIM(client || has_failed());
    CLAIM(atomic_load(&life->client_frees) == 0);
    if (!client)
        return;
    life->clients_made++;
    sub = wh_client_subscribe(client, "news", NULL, NULL);
    CLAIM(sub || has_failed());
    CLAIM(!wh_client_subscribe(client, "", NULL, NULL));
    wh_client_free(client);
    CLAIM(atomic_load(&life->client_frees) == 1);
    atomic_store(&life->last_event, -1);
}

static void work(struct life *life)
{
    make_runtime(life);
    if (!life->runtime)
        return;
    open_briefly(life);
    make_client(life);
    if (!life->client)
        return;
    make_subs(life);
    connect_client(life);
    settle(life, is_settled);
    call_everything(life);
    cancel_one(life);
    settle(life, have_calls_ended);
    keep_data();
    call_waiting(life);
    lose_connection(life);
    settle(life, is_settled);
    /* Not in every life: it would get a client going again that has forgotten to ask. */
    if (life->torture.goes_on || life->torture.ends_in_need)
        (void)torture_is_made(wh_client_set_token(life->client, "third-token-SECRET"));
    change_sub(life);
    settle(life, is_settled);
    CLAIM(wh_client_disconnect(life->client) == WH_OK);
    CLAIM(wh_client_send(life->client, wh_json("1")) == WH_EDISCONNECTED);
    connect_client(life);
    CLAIM(wh_client_disconnect(life->client) == WH_OK);
}

/* ---- afterwards ------------------------------------------------------------------------------ */

/* It is as if nothing had been: what could not be made is made, and everything works. */
static void work_again(struct life *life)
{
    make_runtime(life);
    make_client(life);
    CLAIM(wh_client_state(life->client) != WH_CLIENT_CLOSED);
    if (atomic_load(&life->last_event) != -1 &&
        wh_client_state(life->client) == WH_CLIENT_DISCONNECTED)
        demand(life, is_offline);
    make_subs(life);
    connect_client(life);
    demand(life, is_live);
    size_t first = life->call_count;
    call_everything(life);
    demand(life, have_calls_ended);
    CLAIM(life->call_count > first);
    if (life->torture.mode != WH_MODE_DISPATCH)
        CLAIM(wh_client_rpc_sync(life->client, "echo", wh_json("1"), 20000, NULL, NULL) == WH_OK);
}

static void end_client(struct life *life, bool closes)
{
    if (!life->client)
        return;
    unsigned closes_before = atomic_load(&life->closes);
    if (!closes) {
        wh_client_free(life->client);
        life->client = NULL;
        return;
    }
    /* DISPATCH needs the client for its descriptor until `done`, which is its last word. */
    uint64_t end = clock_ms() + (uint64_t)TORTURE_LIMIT_S * 1000;
    wh_client_close(life->client, torture_on_closed, life);
    while (atomic_load(&life->closes) == closes_before) {
        CLAIM(clock_ms() < end);
        turn(life);
    }
    life->client = NULL;
}

static void check_end(struct life *life)
{
    int last = atomic_load(&life->last_event);
    CLAIM(atomic_load(&life->inside) == 0);
    CLAIM(last == -1 || last == WH_CLIENT_DISCONNECTED);
    CLAIM(atomic_load(&life->client_frees) == life->clients_made);
    for (size_t i = 0; i < sizeof life->subs / sizeof *life->subs; i++) {
        const struct sub_note *note = &life->subs[i];
        CLAIM(atomic_load(&note->frees) == note->made);
        CLAIM(!note->sub || !note->is_told || note->is_unsubscribed);
    }
    for (size_t i = 0; i < life->call_count; i++) {
        struct call_note *note = &life->calls[i];
        unsigned ends = atomic_load(&note->ends);
        CLAIM(atomic_load(&note->is_canceled) ? ends <= 1 : ends == note->is_started);
        CLAIM(atomic_load(&note->frees) == note->is_started);
        wh_call_free(note->handle);
    }
}

static void wait_until_all_is_given_back(void)
{
    /* Threads that look up names end after their runtime. */
    uint64_t end = clock_ms() + (uint64_t)TORTURE_LIMIT_S * 1000;
    while (torture_alloc_alive() > 0) {
        CLAIM(clock_ms() < end);
        (void)poll(NULL, 0, 1);
    }
    CLAIM(torture_alloc_alive() == 0);
}

/* true: an allocation has failed. */
static bool one_life(const struct torture *wanted, size_t nth)
{
    struct life *life = calloc(1, sizeof *life);
    life->torture = *wanted;
    atomic_store(&life->last_event, -1);
    now.torture = *wanted;
    now.nth = nth;
    (void)alarm(2 * TORTURE_LIMIT_S);
    torture_alloc_arm(nth, wanted->goes_on);
    work(life);
    if (!wanted->ends_in_need) {
        torture_alloc_disarm();
        work_again(life);
    }
    end_client(life, nth % 2 == 0);
    wh_runtime_free(life->runtime);
    torture_alloc_disarm();
    check_end(life);
    wh_publication_unref(life->kept);
    wait_until_all_is_given_back();
    (void)alarm(0);
    free(life);
    return has_failed();
}

/* Tokens and passwords are in no line, whatever could not be allocated. */
static void on_log(enum wh_severity severity,
                   const char *area,
                   const char *event,
                   const char *fields,
                   void *user)
{
    (void)severity, (void)area, (void)event, (void)user;
    CLAIM(!strstr(fields, "SECRET"));
}

size_t torture(const struct torture *torture)
{
    size_t nth = 1, step = torture->step ? torture->step : 1;
    (void)signal(SIGALRM, on_alarm);
    torture_alloc_install();
    wh_log_sink(on_log, NULL, WH_SEVERITY_TRACE, NULL);
    while (one_life(torture, nth))
        nth += step;
    wh_log_sink(NULL, NULL, WH_SEVERITY_NONE, NULL);
    return (nth - 1) / step;
}
