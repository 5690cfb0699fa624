/*
 * wh_client_free and wh_client_close wherever a client can be, on real sockets, in each mode: they
 * come to an end although the peer does nothing, and everything is told its end, once.
 *
 * The limits of the client are minutes, but for close_timeout_ms; so an end that waits for anything
 * else is noticed by the alarm, and no time is measured.
 */
#include "common/base/clock.h"
#include "tests/support/ended_client.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

enum { END_LIMIT_S = 20, CLOSE_TIMEOUT_MS = 50 };

/* Where the client is when it is ended. */
struct place {
    const char *name;
    void (*go)(struct cell *cell);
    enum stall_point peer;
    const char *scheme, *host; /* NULL = ws, 127.0.0.1 */
    bool is_proxied;           /* the peer is a proxy, before a host that is nowhere */
    bool is_full, is_refused;  /* instead of the peer: SYNs are not answered, or refused */
    bool says_goodbye;         /* the peer gets a close frame */
    bool asks_token;
    bool holds_events; /* callbacks do not run, or block, from the first publication until the end
                          has begun: not on a pumped loop, which runs them as it reads */
};

static void on_alarm(int signal_number)
{
    (void)signal_number;
    static const char text[] = "does not end: ";
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    (void)!write(STDERR_FILENO, cell_name, strlen(cell_name));
    (void)!write(STDERR_FILENO, "\n", 1);
    abort();
}

/* ---- a name whose look-up hangs -------------------------------------------------------------- */

static _Atomic bool is_lookup_stuck;
static _Atomic int lookups;

/* Instead of libc's, whose parameters have names with underscores.
 * NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
__attribute__((visibility("default"))) int getaddrinfo(const char *restrict name,
                                                       const char *restrict port,
                                                       const struct addrinfo *restrict hints,
                                                       struct addrinfo **restrict out_list)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    if (name && strcmp(name, "stuck.test") == 0) {
        atomic_fetch_add(&lookups, 1);
        while (atomic_load(&is_lookup_stuck))
            (void)poll(NULL, 0, 1);
        atomic_fetch_sub(&lookups, 1);
        return EAI_FAIL;
    }
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    return real(name, port, hints, out_list);
}

/* ---- a loop of the program ------------------------------------------------------------------- */

static struct {
    uv_loop_t loop;
    uv_timer_t tick; /* a turn waits for an event, but not for ever */
    bool is_used;    /* by the runtime of the cell */
} uv;

static void on_tick(uv_timer_t *tick)
{
    (void)tick;
}

static void uv_begin(void)
{
    CLAIM(uv_loop_init(&uv.loop) == 0 && uv_timer_init(&uv.loop, &uv.tick) == 0);
    CLAIM(uv_timer_start(&uv.tick, on_tick, 1, 1) == 0);
}

/* Nothing of the library may be left on it. */
static void uv_end(void)
{
    uv_close((uv_handle_t *)&uv.tick, NULL);
    CLAIM(uv_run(&uv.loop, UV_RUN_DEFAULT) == 0 && uv_loop_close(&uv.loop) == 0);
}

/* ---- going there ----------------------------------------------------------------------------- */

static void turn_loop(struct cell *cell)
{
    if (cell->mode != WH_MODE_LOOP)
        (void)poll(NULL, 0, 1);
    else if (uv.is_used)
        (void)uv_run(&uv.loop, UV_RUN_ONCE);
    else
        CLAIM(wh_runtime_run_once(cell->runtime, 1) == WH_OK);
}

static void turn(struct cell *cell)
{
    turn_loop(cell);
    if (cell->mode == WH_MODE_DISPATCH && cell->client && !cell->place->holds_events)
        (void)wh_client_dispatch(cell->client, 0);
}

static void await(struct cell *cell, const _Atomic bool *is_true)
{
    while (!atomic_load(is_true))
        turn(cell);
}

static void start(struct cell *cell)
{
    CLAIM(wh_client_connect(cell->client) == WH_OK);
}

static void go_nowhere(struct cell *cell)
{
    cell_subscribe(cell, 0, "up");
}
static void go_resolving(struct cell *cell)
{
    int before = atomic_load(&lookups);
    cell_subscribe(cell, 0, "up");
    start(cell);
    while (atomic_load(&lookups) == before)
        turn(cell);
    cell_call_all(cell);
}
static void go_tcp(struct cell *cell)
{
    cell_subscribe(cell, 0, "up");
    start(cell);
    while (full_listener_waiting(&cell->full) == cell->full.waiting)
        turn(cell);
    cell_call_all(cell);
}
static void go_stalled(struct cell *cell)
{
    cell_subscribe(cell, 0, "up");
    start(cell);
    await(cell, &cell->peer.has_stalled);
    cell_call_all(cell);
}
static void go_connected(struct cell *cell)
{
    start(cell);
    await(cell, &cell->is_connected);
}
static void go_subscribed(struct cell *cell)
{
    cell_subscribe(cell, 0, "up");
    cell_subscribe(cell, 1, "stalled");
    cell_subscribe(cell, 2, "idle");
    cell_subscribe(cell, 3, "busy");
    cell_subscribe(cell, 4, "token");
    cell_subscribe(cell, 5, "state");
    start(cell);
    await(cell, &cell->is_up);
    await(cell, &cell->has_sub_failed);
    await(cell, &cell->has_sub_request);
    await(cell, &cell->has_state_request);
}
static void go_calling(struct cell *cell)
{
    go_connected(cell);
    cell_subscribe(cell, 0, "up");
    cell_subscribe(cell, 1, "stalled");
    await(cell, &cell->is_up);
    unsigned before = atomic_load(&cell->peer.commands);
    cell_call_all(cell);
    cell_sub_call_all(cell, cell->subs[0].sub); /* these go out … */
    cell_sub_call_all(cell, cell->subs[1].sub); /* … and these wait */
    while (atomic_load(&cell->peer.commands) < before + 10)
        turn(cell);
}
static void go_batching(struct cell *cell)
{
    go_connected(cell);
    wh_client_batch_begin(cell->client);
    cell_call_all(cell);
}
static void go_asking(struct cell *cell)
{
    cell_subscribe(cell, 0, "up");
    start(cell);
    await(cell, &cell->has_request);
    cell_call_all(cell);
}
static void go_backing_off(struct cell *cell)
{
    cell_subscribe(cell, 0, "up");
    start(cell);
    await(cell, &cell->has_failed);
    cell_call_all(cell);
}
static void go_closing(struct cell *cell)
{
    go_connected(cell);
    CLAIM(wh_client_disconnect(cell->client) == WH_OK);
    CLAIM(wh_client_state(cell->client) == WH_CLIENT_DISCONNECTED);
}
static void go_reconnecting(struct cell *cell)
{
    go_closing(cell);
    while (cell->told != 0 && cell->mode != WH_MODE_THREADED)
        turn(cell);
    start(cell); /* the peer takes one connection after another */
    cell_call_all(cell);
}
static void go_full(struct cell *cell)
{
    static char much[64 * 1024];
    struct wh_data data = {much, sizeof much, WH_DATA_JSON, 0};
    enum wh_err err = WH_OK;
    memset(much, '1', sizeof much);
    much[0] = much[sizeof much - 1] = '"';
    cell_subscribe(cell, 0, "up");
    start(cell);
    await(cell, &cell->is_up);
    await(cell, &cell->peer.has_stalled);
    struct wh_client_stats stats = {.size = sizeof stats};
    /* Until the kernel takes no more: what is queued stays queued over several turns. */
    for (unsigned turns = 0; turns < 20; turns++) {
        while (err == WH_OK)
            err = wh_client_send(cell->client, data);
        CLAIM(err == WH_EFULL);
        turn(cell);
        wh_client_stats(cell->client, &stats);
        if (stats.send_queue_bytes < sizeof much * 2)
            turns = 0;
        err = WH_OK;
    }
}
/* The queue of events is past its limit, and no callback returns. */
static void go_flooded(struct cell *cell)
{
    struct wh_client_stats stats = {.size = sizeof stats};
    cell_subscribe(cell, 0, "up");
    start(cell);
    while (stats.event_queue_bytes <= 4096) {
        turn(cell);
        wh_client_stats(cell->client, &stats);
    }
    if (cell->mode == WH_MODE_THREADED)
        await(cell, &cell->is_blocked);
}
/* Publications come all the time and callbacks take them. */
static void go_busy(struct cell *cell)
{
    cell_subscribe(cell, 0, "up");
    start(cell);
    await(cell, &cell->is_blocked); /* it came that far; the gate is open */
}

static const struct place places[] = {
    {.name = "disconnected", .go = go_nowhere, .peer = STALL_NOWHERE},
    {.name = "resolving", .go = go_resolving, .peer = STALL_NOWHERE, .host = "stuck.test"},
    {.name = "TCP stalled", .go = go_tcp, .peer = STALL_NOWHERE, .is_full = true},
    {.name = "TLS stalled", .go = go_stalled, .peer = STALL_AT_ACCEPT, .scheme = "wss"},
    {.name = "upgrade unread", .go = go_stalled, .peer = STALL_AT_ACCEPT},
    {.name = "upgrade stalled", .go = go_stalled, .peer = STALL_AT_REQUEST},
    {.name = "proxy stalled", .go = go_stalled, .peer = STALL_AT_REQUEST, .is_proxied = true},
    {.name = "connect reply stalled", .go = go_stalled, .peer = STALL_AT_CONNECT},
    {.name = "connected", .go = go_connected, .peer = STALL_NOWHERE, .says_goodbye = true},
    {.name = "connected, close stalled",
     .go = go_connected,
     .peer = STALL_AT_CLOSE,
     .says_goodbye = true},
    {.name = "subscriptions in every state",
     .go = go_subscribed,
     .peer = STALL_NOWHERE,
     .says_goodbye = true},
    {.name = "subscriptions, close stalled",
     .go = go_subscribed,
     .peer = STALL_AT_CLOSE,
     .says_goodbye = true},
    {.name = "calls in flight", .go = go_calling, .peer = STALL_NOWHERE, .says_goodbye = true},
    {.name = "calls in flight, close stalled",
     .go = go_calling,
     .peer = STALL_AT_CLOSE,
     .says_goodbye = true},
    {.name = "a batch begun", .go = go_batching, .peer = STALL_AT_CLOSE, .says_goodbye = true},
    {.name = "waiting for a token", .go = go_asking, .peer = STALL_NOWHERE, .asks_token = true},
    {.name = "backing off", .go = go_backing_off, .peer = STALL_NOWHERE, .is_refused = true},
    {.name = "closing, close stalled",
     .go = go_closing,
     .peer = STALL_AT_CLOSE,
     .says_goodbye = true},
    {.name = "closing and reconnecting",
     .go = go_reconnecting,
     .peer = STALL_AT_CLOSE,
     .says_goodbye = true},
    {.name = "send queue full", .go = go_full, .peer = STALL_AFTER_SUBS},
    {.name = "flooded", .go = go_busy, .peer = STALL_FLOOD},
    {.name = "event queue full", .go = go_flooded, .peer = STALL_FLOOD, .holds_events = true},
};

/* ---- the ends -------------------------------------------------------------------------------- */

static unsigned bound_port(int fd)
{
    struct sockaddr_in address = {0};
    socklen_t len = sizeof address;
    CLAIM(getsockname(fd, (struct sockaddr *)&address, &len) == 0);
    return ntohs(address.sin_port);
}

static int bind_only(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CLAIM(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    return fd;
}

static void make(struct cell *cell)
{
    struct wh_client_events events = cell_events;
    const struct place *place = cell->place;
    struct wh_runtime_options mode = WH_RUNTIME_OPTIONS_INIT;
    struct wh_client_options options = WH_CLIENT_OPTIONS_INIT;
    char url[64], proxy[64];
    unsigned port = place->is_full ? cell->full.port : cell->peer.port;
    if (place->is_refused)
        port = bound_port(cell->refusing);
    mode.mode = cell->mode;
    if (uv.is_used) {
        uv_begin();
        mode.loop = WH_LOOP_UV;
        mode.foreign = &uv.loop;
    }
    CLAIM(wh_runtime_new(&mode, &cell->runtime, NULL) == WH_OK);
    (void)snprintf(url, sizeof url, "%s://%s:%u/", place->scheme ? place->scheme : "ws",
                   place->host ? place->host : "127.0.0.1", place->is_proxied ? 1 : port);
    (void)snprintf(proxy, sizeof proxy, "http://127.0.0.1:%u", port);
    events.get_token = place->asks_token ? cell_get_token : NULL;
    options.url = url;
    options.proxy = place->is_proxied ? proxy : "";
    options.events = &events;
    options.user = cell;
    options.user_free = cell_user_free;
    options.runtime = cell->runtime;
    options.timeout_ms = options.connect_timeout_ms = options.token_timeout_ms = PATIENCE_MS;
    options.min_reconnect_ms = options.max_reconnect_ms = PATIENCE_MS;
    options.close_timeout_ms = CLOSE_TIMEOUT_MS;
    options.event_queue_bytes_max = 4096;
    CLAIM(wh_client_new(&options, &cell->client, NULL) == WH_OK);
}

/* What blocks in a callback goes on when the end has begun. */
static void *open_gate(void *user)
{
    struct cell *cell = user;
    while (wh_client_state(cell->client) != WH_CLIENT_CLOSED)
        (void)poll(NULL, 0, 1);
    atomic_store(&cell->is_gate_shut, false);
    return NULL;
}

static void on_runtime_done(void *user)
{
    *(bool *)user = true;
}

static void end_runtime(struct cell *cell)
{
    bool is_done = false;
    cell->client = NULL;
    if (!uv.is_used) {
        wh_runtime_free(cell->runtime);
        return;
    }
    wh_runtime_close(cell->runtime, on_runtime_done, &is_done);
    while (!is_done)
        turn(cell);
    uv_end();
}

static void end_by_free(struct cell *cell)
{
    wh_client_free(cell->client);
    while (uv.is_used && !atomic_load(&cell->is_over))
        turn(cell);
    CLAIM(atomic_load(&cell->is_over));
    end_runtime(cell);
}

static void end_by_close(struct cell *cell)
{
    wh_client_close(cell->client, cell_done, cell);
    CLAIM(cell->mode == WH_MODE_THREADED || !atomic_load(&cell->is_over));
    while (!atomic_load(&cell->is_done)) {
        turn(cell);
        if (cell->mode == WH_MODE_DISPATCH && !atomic_load(&cell->is_done))
            (void)wh_client_dispatch(cell->client, 0);
        if (atomic_load(&cell->is_done))
            cell->client = NULL;
    }
    end_runtime(cell);
}

static void free_inside(void *user)
{
    struct cell *cell = user;
    wh_client_free(cell->client);
    atomic_store(&cell->is_muted, true);
    atomic_store(&cell->is_done, true);
}

/* Inside a callback: of another client, whose own end calls it. */
static void end_inside(struct cell *cell)
{
    struct wh_client_options options = WH_CLIENT_OPTIONS_INIT;
    struct wh_client *other = NULL;
    options.url = "ws://127.0.0.1/";
    options.runtime = cell->runtime;
    cell->was_freed_inside = true;
    CLAIM(wh_client_new(&options, &other, NULL) == WH_OK);
    wh_client_close(other, free_inside, cell);
    while (!atomic_load(&cell->is_done) || !atomic_load(&cell->is_over)) {
        turn_loop(cell);
        if (cell->mode == WH_MODE_DISPATCH && !atomic_load(&cell->is_done))
            (void)wh_client_dispatch(other, 0);
    }
    end_runtime(cell);
}

/* There, the end, and what must be true then. */
static void go_and_end(struct cell *cell, void (*end)(struct cell *cell))
{
    bool blocks = cell->place->holds_events && cell->mode == WH_MODE_THREADED;
    pthread_t opener;
    atomic_store(&is_lookup_stuck, true);
    atomic_store(&cell->is_gate_shut, blocks);
    alarm(3 * END_LIMIT_S);
    cell->place->go(cell);
    atomic_store(&cell->is_ending, true);
    if (blocks)
        CLAIM(pthread_create(&opener, NULL, open_gate, cell) == 0);
    alarm(END_LIMIT_S);
    end(cell);
    alarm(0);
    if (blocks)
        CLAIM(pthread_join(opener, NULL) == 0);
    cell_claim_ends(cell);
    cell_answer_late(cell);
    alarm(END_LIMIT_S);
    while (cell->place->says_goodbye && !atomic_load(&cell->peer.was_closed))
        (void)poll(NULL, 0, 1);
    alarm(0);
    atomic_store(&is_lookup_stuck, false);
    while (atomic_load(&lookups) > 0)
        (void)poll(NULL, 0, 1);
}

static void one_cell(const struct place *place,
                     enum wh_mode mode,
                     const char *way,
                     void (*end)(struct cell *cell))
{
    struct cell *cell = calloc(1, sizeof *cell);
    cell->place = place;
    cell->mode = mode;
    (void)snprintf(cell_name, sizeof cell_name, "%s, %s, mode %d", way, place->name, (int)mode);
    if (getenv("WH_TEST_VERBOSE"))
        print_message("%s\n", cell_name);
    for (size_t i = 0; i < SUBS; i++)
        cell->subs[i].cell = cell;
    for (size_t i = 0; i < CALLS; i++)
        cell->calls[i].cell = cell;
    if (place->is_full)
        full_listener_start(&cell->full);
    cell->refusing = bind_only();
    stalling_peer_start(&cell->peer, place->peer);
    make(cell);
    go_and_end(cell, end);
    stalling_peer_stop(&cell->peer);
    (void)close(cell->refusing);
    if (place->is_full)
        full_listener_stop(&cell->full);
    free(cell);
}

static void in_every_place(enum wh_mode mode, const char *way, void (*end)(struct cell *cell))
{
    (void)signal(SIGALRM, on_alarm);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        /* On a pumped loop nothing holds events; a callback that blocks lets no other begin. */
        bool is_possible =
            mode == WH_MODE_DISPATCH || (mode == WH_MODE_THREADED && end != end_inside);
        if (is_possible || !places[i].holds_events)
            one_cell(&places[i], mode, way, end);
    }
}

static void free_comes_to_an_end_everywhere_threaded(void **state)
{
    (void)state;
    in_every_place(WH_MODE_THREADED, "free", end_by_free);
}

static void free_comes_to_an_end_everywhere_dispatch(void **state)
{
    (void)state;
    in_every_place(WH_MODE_DISPATCH, "free", end_by_free);
}

static void free_comes_to_an_end_everywhere_pumped(void **state)
{
    (void)state;
    in_every_place(WH_MODE_LOOP, "free", end_by_free);
}

static void close_comes_to_an_end_everywhere_threaded(void **state)
{
    (void)state;
    in_every_place(WH_MODE_THREADED, "close", end_by_close);
}

static void close_comes_to_an_end_everywhere_dispatch(void **state)
{
    (void)state;
    in_every_place(WH_MODE_DISPATCH, "close", end_by_close);
}

static void close_comes_to_an_end_everywhere_pumped(void **state)
{
    (void)state;
    in_every_place(WH_MODE_LOOP, "close", end_by_close);
}

static void free_inside_a_callback_comes_to_an_end_everywhere_threaded(void **state)
{
    (void)state;
    in_every_place(WH_MODE_THREADED, "free inside", end_inside);
}

static void free_inside_a_callback_comes_to_an_end_everywhere_dispatch(void **state)
{
    (void)state;
    in_every_place(WH_MODE_DISPATCH, "free inside", end_inside);
}

static void free_inside_a_callback_comes_to_an_end_everywhere_pumped(void **state)
{
    (void)state;
    in_every_place(WH_MODE_LOOP, "free inside", end_inside);
}

static void ends_come_everywhere_on_a_loop_of_the_program(void **state)
{
    (void)state;
    uv.is_used = true;
    in_every_place(WH_MODE_LOOP, "free on libuv", end_by_free);
    in_every_place(WH_MODE_LOOP, "close on libuv", end_by_close);
    in_every_place(WH_MODE_LOOP, "free inside on libuv", end_inside);
    uv.is_used = false;
}

/* Not a measurement: the quickest of several, with room for a busy machine. */
static void an_end_waits_for_a_stalled_peer_as_long_as_it_is_given(void **state)
{
    enum { TRIES = 5, SLACK_MS = 800 };
    static const struct place stalled = {
        .name = "close stalled", .go = go_connected, .peer = STALL_AT_CLOSE, .says_goodbye = true};
    uint64_t quickest_ms = UINT64_MAX;
    (void)state;
    for (int i = 0; i < TRIES; i++) {
        uint64_t begin = wh_clock_monotonic_ms();
        one_cell(&stalled, WH_MODE_THREADED, "free, in time", end_by_free);
        uint64_t took = wh_clock_monotonic_ms() - begin;
        quickest_ms = took < quickest_ms ? took : quickest_ms;
    }
    assert_in_range(quickest_ms, 0, CLOSE_TIMEOUT_MS + SLACK_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(free_comes_to_an_end_everywhere_threaded),
        cmocka_unit_test(free_comes_to_an_end_everywhere_dispatch),
        cmocka_unit_test(free_comes_to_an_end_everywhere_pumped),
        cmocka_unit_test(close_comes_to_an_end_everywhere_threaded),
        cmocka_unit_test(close_comes_to_an_end_everywhere_dispatch),
        cmocka_unit_test(close_comes_to_an_end_everywhere_pumped),
        cmocka_unit_test(free_inside_a_callback_comes_to_an_end_everywhere_threaded),
        cmocka_unit_test(free_inside_a_callback_comes_to_an_end_everywhere_dispatch),
        cmocka_unit_test(free_inside_a_callback_comes_to_an_end_everywhere_pumped),
        cmocka_unit_test(ends_come_everywhere_on_a_loop_of_the_program),
        cmocka_unit_test(an_end_waits_for_a_stalled_peer_as_long_as_it_is_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
