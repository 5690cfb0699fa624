#include "fake_service.h"

#include "fake_server.h"

#include "client-sdk/src/service.h"
#include "client-sdk/src/shell.h"
#include "common/base/clock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct transport {
    struct wh_list link;
    struct service *service;
    struct wh_client *client;
    uint32_t connection;
    bool is_opening, wants_write, is_open, wants_pong, is_reading;
    struct fake_server server;
};

struct service {
    struct service_options options;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool is_woken;
    struct wh_list transports;
    struct service_timer *timer;
    uint64_t due_ms; /* UINT64_MAX = none */
};

static _Atomic bool is_stalled;
static _Atomic uint32_t push_count = 1;
static _Atomic int alive;
static struct service *last; /* for fake_service_turn */

void fake_service_stall(bool stalled)
{
    atomic_store(&is_stalled, stalled);
}

void fake_service_pushes(uint32_t count)
{
    atomic_store(&push_count, count);
}

int fake_service_alive(void)
{
    return atomic_load(&alive);
}

enum wh_err service_new(const struct service_options *options,
                        struct service **out_service,
                        struct wh_error *detail)
{
    (void)detail;
    struct service *service = calloc(1, sizeof *service);
    service->options = *options;
    service->due_ms = UINT64_MAX;
    pthread_mutex_init(&service->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&service->cond, &attributes);
    pthread_condattr_destroy(&attributes);
    wh_list_init(&service->transports);
    atomic_fetch_add(&alive, 1);
    *out_service = last = service;
    return WH_OK;
}

void service_free(struct service *service, void (*done)(void *user), void *user)
{
    pthread_cond_destroy(&service->cond);
    pthread_mutex_destroy(&service->lock);
    free(service);
    atomic_fetch_sub(&alive, 1);
    if (done)
        done(user);
}

void service_wake(struct service *service)
{
    pthread_mutex_lock(&service->lock);
    service->is_woken = true;
    pthread_cond_signal(&service->cond);
    pthread_mutex_unlock(&service->lock);
}

void service_timer_start(struct service *service, struct service_timer *timer, uint64_t delay_ms)
{
    service->timer = timer;
    service->due_ms = wh_clock_monotonic_ms() + delay_ms;
}

void service_timer_stop(struct service *service, struct service_timer *timer)
{
    (void)timer;
    service->due_ms = UINT64_MAX;
}

/* ---- the server ------------------------------------------------------------------------------ */

/* As a socket that broke would be told. */
static void lose(struct transport *transport, const struct wh_error *error)
{
    transport->is_open = transport->wants_write = false;
    struct engine *engine = client_lock(transport->client);
    engine_closed(engine, transport->connection, 0, WH_SLICE_ABSENT, error);
    client_unlock(transport->client);
}

static void receive(void *user, const char *text)
{
    struct transport *transport = user;
    struct message *message = transport->is_open ? message_new(NULL, strlen(text), true) : NULL;
    if (!message) {
        static const struct wh_error no_memory = {.err = WH_ENOMEM, .text = "out of memory"};
        if (transport->is_open)
            lose(transport, &no_memory);
        return;
    }
    memcpy(message->bytes, text, strlen(text));
    struct engine *engine = client_lock(transport->client);
    engine_received(engine, transport->connection, message);
    client_unlock(transport->client);
}

static bool take_frame(struct transport *transport, struct wh_buf *frame)
{
    wh_buf_reset(frame);
    struct engine *engine = client_lock(transport->client);
    bool has_one = engine_take_frame(engine, frame);
    client_unlock(transport->client);
    return has_one;
}

/* Who does not read gets no answer. */
static bool may_answer(const struct transport *transport)
{
    return transport->is_open && transport->is_reading && !atomic_load(&is_stalled);
}

static void answer_frame(struct transport *transport, struct wh_slice frame)
{
    char *text = strndup(frame.ptr, frame.len);
    char *rest = NULL;
    transport->server.pushes = atomic_load(&push_count);
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        if (!fake_server_answer(&transport->server, line, receive, transport))
            lose(transport, NULL);
    free(text);
}

static void serve(struct transport *transport)
{
    if (transport->is_opening) {
        transport->is_opening = false;
        transport->is_open = true;
        transport->server = (struct fake_server){.pushes = 0};
        struct engine *engine = client_lock(transport->client);
        engine_opened(engine, transport->connection, WH_ENCODING_JSON);
        client_unlock(transport->client);
    }
    if (transport->wants_pong) {
        transport->wants_pong = false;
        struct engine *engine = client_lock(transport->client);
        engine_pong(engine, transport->connection, 100);
        client_unlock(transport->client);
    }
    if (!transport->wants_write || !may_answer(transport))
        return;
    transport->wants_write = false;
    struct wh_buf frame = {0};
    while (transport->is_open && take_frame(transport, &frame))
        answer_frame(transport, wh_buf_slice(&frame));
    wh_buf_deinit(&frame);
}

static bool has_work(const struct service *service)
{
    for (struct wh_list *node = service->transports.next; node != &service->transports;
         node = node->next) {
        struct transport *transport = WH_CONTAINER_OF(node, struct transport, link);
        if (transport->is_opening || transport->wants_pong ||
            (transport->wants_write && may_answer(transport)))
            return true;
    }
    return false;
}

static void wait_for_work(struct service *service, uint32_t max_wait_ms)
{
    uint64_t now = wh_clock_monotonic_ms();
    uint64_t until = now + max_wait_ms;
    if (service->due_ms < until)
        until = service->due_ms;
    if (has_work(service))
        until = now;
    struct timespec deadline = {.tv_sec = (time_t)(until / 1000),
                                .tv_nsec = (long)(until % 1000) * 1000000};
    pthread_mutex_lock(&service->lock);
    while (!service->is_woken) {
        if (pthread_cond_timedwait(&service->cond, &service->lock, &deadline) != 0)
            break;
    }
    service->is_woken = false;
    pthread_mutex_unlock(&service->lock);
}

void service_run(struct service *service, uint32_t max_wait_ms)
{
    wait_for_work(service, max_wait_ms);
    if (service->due_ms <= wh_clock_monotonic_ms()) {
        service->due_ms = UINT64_MAX;
        service->timer->fn(service->timer);
    }
    WH_LIST_EACH(node, &service->transports)
    serve(WH_CONTAINER_OF(node, struct transport, link));
    service->options.on_wake(service->options.user);
}

bool fake_service_turn(void)
{
    bool has_done = has_work(last);
    WH_LIST_EACH(node, &last->transports)
    serve(WH_CONTAINER_OF(node, struct transport, link));
    pthread_mutex_lock(&last->lock);
    bool is_woken = last->is_woken;
    last->is_woken = false;
    pthread_mutex_unlock(&last->lock);
    if (is_woken)
        last->options.on_wake(last->options.user);
    return has_done || is_woken;
}

/* ---- transport ------------------------------------------------------------------------------- */

enum wh_err transport_ws_new(struct service *service,
                             struct wh_client *client,
                             struct transport **out_transport)
{
    struct transport *transport = calloc(1, sizeof *transport);
    transport->service = service;
    transport->client = client;
    wh_list_push_back(&service->transports, &transport->link);
    atomic_fetch_add(&alive, 1);
    *out_transport = transport;
    return WH_OK;
}

void transport_ws_free(struct transport *transport)
{
    wh_list_remove(&transport->link);
    free(transport);
    atomic_fetch_sub(&alive, 1);
}

static void open_connection(struct transport *transport, const struct engine_action *action)
{
    transport->connection = action->connection;
    transport->is_opening = true;
    transport->is_open = transport->wants_write = transport->wants_pong = false;
    transport->is_reading = true;
}

static void close_connection(struct transport *transport, const struct engine_action *action)
{
    (void)action;
    transport->is_open = transport->is_opening = transport->wants_write = false;
}

static void want_write(struct transport *transport)
{
    transport->wants_write = true;
}

static void set_reading(struct transport *transport, bool is_reading)
{
    transport->is_reading = is_reading;
}

static void send_ping(struct transport *transport)
{
    transport->wants_pong = true;
}

const struct transport_ops transport_ws_ops = {open_connection, close_connection, want_write,
                                               set_reading, send_ping};
