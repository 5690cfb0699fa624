/*
 * One worker's turn: PUBLISH what was answered and BLMPOP in one write, read
 * the replies, copy the calls out of the connection's memory, run them.
 *
 * What goes wrong with the connection ends the connection, never the worker:
 * answers not confirmed are kept and published on the next one, for a while.
 */
#include "services/core/rpc_server.h"

#include "common/base/alloc.h"
#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/io/redis.h"
#include "common/io/redis_blocking.h"
#include "services/core/answers.h"
#include "services/core/dispatch.h"
#include "services/core/metrics.h"
#include "services/core/pace.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    POP_TIMEOUT_S = 1,       /* bounds how long a lost connection or a missed wake-up goes unseen */
    REPLY_TIMEOUT_MS = 3000, /* for a reply, beyond the time that the pop may wait */
    ANSWERS_KEEP_MS = 5000,  /* no hub waits longer for a call than this, by default */
    HOLD_US = 1000,          /* answers do not wait longer than this for the rest of their batch */
};

struct worker {
    struct svc_rpc_server *server;
    struct svc_ctx ctx;
    pthread_t thread;
    bool has_thread;
    struct wh_redis_blocking *redis; /* NULL: not connected */
    struct wh_backoff backoff;
    struct svc_answers answers;
    struct svc_pace pace;
    struct wh_buf batch;          /* the calls in hand, one after the other */
    size_t lengths[SVC_PACE_MAX]; /* of each */
    size_t batch_count;
    unsigned turn; /* which queue is asked first */

    /* Read by other threads. */
    _Atomic uint64_t client_id;     /* of the connection while it may wait in a pop; 0 = not */
    _Atomic uint64_t busy_since_ms; /* monotonic; 0 = not in a handler */
    atomic_uint inflight;
    atomic_bool is_connected;
    atomic_bool is_done;
};

struct unblock {
    struct wh_redis_request request;
    bool is_under_way;
};

struct svc_rpc_server {
    struct svc *svc;
    struct svc_dispatch dispatch;
    size_t queue_count;
    struct wh_slice queues[SVC_SEGMENTS_MAX];
    char queue_names[SVC_SEGMENTS_MAX][sizeof(WH_RPC_QUEUE_PREFIX) + WH_RPC_SERVICE_NAME_MAX];
    int stop_fd; /* readable once it is time to stop */
    size_t worker_count;
    struct worker *workers;
    struct unblock *unblocks; /* one a worker */
};

static bool is_stopping(const struct worker *worker)
{
    return atomic_load(&worker->server->svc->is_stopping);
}

static void disconnect(struct worker *worker, const char *what, enum wh_err err)
{
    static struct wh_log_limit limit;
    wh_log_limited(&limit, WH_LOG_WARN, "rpc", "disconnected", "worker=%u reason=%s error=%s",
                   worker->ctx.thread, what, wh_err_text(err));
    atomic_store(&worker->client_id, 0);
    atomic_store(&worker->is_connected, false);
    wh_redis_blocking_close(worker->redis);
    worker->redis = NULL;
}

/* Ends at once when it is time to stop. */
static void pause_ms(struct worker *worker, uint32_t delay_ms)
{
    struct pollfd stop = {.fd = worker->server->stop_fd, .events = POLLIN};
    if (is_stopping(worker)) /* then it is readable for good: still no busy loop */
        poll(NULL, 0, delay_ms < 50 ? (int)delay_ms : 50);
    else
        poll(&stop, 1, (int)delay_ms);
}

static void connect_once(struct worker *worker)
{
    static struct wh_log_limit limit;
    const struct svc_settings *settings = worker->server->svc->settings;
    const struct wh_redis_blocking_options options = {.address = settings->redis.address,
                                                      .user = settings->redis.user,
                                                      .password = settings->redis.password,
                                                      .db = settings->redis.db};
    char reason[WH_REDIS_BLOCKING_REASON_MAX];
    if (wh_redis_blocking_open(&options, reason, &worker->redis) != WH_OK) {
        wh_log_limited(&limit, WH_LOG_WARN, "rpc", "connect_failed", "worker=%u reason=%s",
                       worker->ctx.thread, reason);
        pause_ms(worker, wh_backoff_next_ms(&worker->backoff));
        return;
    }
    svc_metrics_count(worker->server->svc->metrics, worker->ctx.thread, SVC_COUNT_CONNECTIONS);
    atomic_store(&worker->client_id, wh_redis_blocking_client_id(worker->redis));
    atomic_store(&worker->is_connected, true);
}

static void append_publishes(struct worker *worker)
{
    for (size_t i = 0; i < worker->answers.count; i++) {
        const struct svc_answer_message *message = &worker->answers.messages[i];
        const struct wh_slice argv[] = {WH_SLICE_LITERAL("PUBLISH"),
                                        wh_slice(message->channel, message->channel_len),
                                        wh_buf_slice(&message->bytes)};
        wh_redis_blocking_append(worker->redis, argv, 3);
    }
}

static void append_pop(struct worker *worker)
{
    const struct svc_rpc_server *server = worker->server;
    struct wh_slice argv[SVC_SEGMENTS_MAX + 6];
    char count[12], keys[12], timeout[12];
    size_t argc = 0;
    unsigned pop = svc_pace_count(&worker->pace);

    argv[argc++] = WH_SLICE_LITERAL("BLMPOP");
    argv[argc++] =
        wh_slice(timeout, (size_t)snprintf(timeout, sizeof timeout, "%d", POP_TIMEOUT_S));
    argv[argc++] = wh_slice(keys, (size_t)snprintf(keys, sizeof keys, "%zu", server->queue_count));
    /* Redis takes the first queue that has something: each is the first one in its turn. */
    WH_ASSERT(server->queue_count > 0);
    for (size_t i = 0; i < server->queue_count; i++)
        argv[argc++] = server->queues[(worker->turn + i) % server->queue_count];
    worker->turn = (worker->turn + 1) % (unsigned)server->queue_count;
    argv[argc++] = WH_SLICE_LITERAL("LEFT");
    argv[argc++] = WH_SLICE_LITERAL("COUNT");
    argv[argc++] = wh_slice(count, (size_t)snprintf(count, sizeof count, "%u", pop));
    wh_redis_blocking_append(worker->redis, argv, argc);
}

static void log_refusal(const char *command, const struct wh_redis_reply *reply)
{
    static struct wh_log_limit limit;
    wh_log_limited(&limit, WH_LOG_ERROR, "rpc", "redis_refused", "command=%s reason=%.*s", command,
                   WH_SLICE_ARGS(reply->text));
}

static enum wh_err read_publishes(struct worker *worker)
{
    struct svc_metrics *metrics = worker->server->svc->metrics;
    unsigned confirmed = 0;
    for (size_t i = 0; i < worker->answers.count; i++) {
        const struct wh_redis_reply *reply;
        enum wh_err err = wh_redis_blocking_reply(worker->redis, REPLY_TIMEOUT_MS, &reply);
        if (err)
            return err;
        confirmed += (unsigned)worker->answers.messages[i].count;
        if (reply->type == WH_REDIS_ERROR)
            log_refusal("PUBLISH", reply);
        else if (reply->type == WH_REDIS_INTEGER && reply->integer == 0)
            svc_metrics_count(metrics, worker->ctx.thread, SVC_COUNT_UNHEARD);
    }
    atomic_fetch_sub(&worker->inflight, confirmed);
    svc_answers_clear(&worker->answers);
    return WH_OK;
}

/* The calls leave the connection's memory, which the next reply overwrites. */
static enum wh_err take_batch(struct worker *worker, const struct wh_redis_reply *reply)
{
    worker->batch_count = 0;
    wh_buf_reset(&worker->batch);
    if (reply->type == WH_REDIS_NIL)
        return WH_OK;
    if (reply->type == WH_REDIS_ERROR) {
        log_refusal("BLMPOP", reply);
        return WH_EDENIED;
    }
    if (reply->type != WH_REDIS_ARRAY || reply->count != 2 ||
        reply->items[1].type != WH_REDIS_ARRAY || reply->items[1].count > SVC_PACE_MAX)
        return WH_EFORMAT;
    const struct wh_redis_reply *calls = &reply->items[1];
    for (size_t i = 0; i < calls->count; i++) {
        wh_buf_append_slice(&worker->batch, calls->items[i].text);
        worker->lengths[i] = calls->items[i].text.len;
    }
    if (wh_buf_error(&worker->batch))
        return wh_buf_error(&worker->batch);
    worker->batch_count = calls->count;
    atomic_fetch_add(&worker->inflight, (unsigned)calls->count);
    svc_metrics_count(worker->server->svc->metrics, worker->ctx.thread, SVC_COUNT_POPS);
    return WH_OK;
}

/* Publish what waits, and pop unless it is time to stop. */
static enum wh_err exchange(struct worker *worker, bool wants_calls)
{
    const struct wh_redis_reply *reply;
    append_publishes(worker);
    if (wants_calls)
        append_pop(worker);
    enum wh_err err = read_publishes(worker);
    if (err || !wants_calls)
        return err;
    err = wh_redis_blocking_reply(worker->redis, POP_TIMEOUT_S * 1000 + REPLY_TIMEOUT_MS, &reply);
    return err ? err : take_batch(worker, reply);
}

static void give_up_old_answers(struct worker *worker)
{
    struct svc_answers *answers = &worker->answers;
    if (answers->count == 0 || wh_clock_monotonic_ms() - answers->oldest_ms < ANSWERS_KEEP_MS)
        return;
    for (size_t i = 0; i < answers->count; i++) {
        for (size_t j = 0; j < answers->messages[i].count; j++)
            svc_metrics_count(worker->server->svc->metrics, worker->ctx.thread,
                              SVC_COUNT_ANSWERS_LOST);
        atomic_fetch_sub(&worker->inflight, (unsigned)answers->messages[i].count);
    }
    svc_answers_clear(answers);
}

/* Connected and everything published, or too late for it. */
static void publish_now(struct worker *worker)
{
    while (worker->answers.count > 0) {
        if (!worker->redis)
            connect_once(worker);
        enum wh_err err = worker->redis ? exchange(worker, false) : WH_OK;
        if (err)
            disconnect(worker, "publish", err);
        give_up_old_answers(worker);
    }
}

static void run_call(struct worker *worker, struct wh_slice bytes)
{
    struct wh_rpc_answer answer;
    struct wh_slice channel;
    uint64_t handler_us;

    atomic_store(&worker->busy_since_ms, wh_clock_monotonic_ms());
    bool has_answer = svc_dispatch(&worker->server->dispatch, &worker->ctx, bytes, &answer,
                                   &channel, &handler_us);
    atomic_store(&worker->busy_since_ms, 0);
    svc_pace_add(&worker->pace, handler_us);
    enum wh_err err = has_answer ? svc_answers_add(&worker->answers, channel, &answer) : WH_OK;
    if (err == WH_ELIMIT) {
        publish_now(worker);
        err = svc_answers_add(&worker->answers, channel, &answer);
    }
    if (!has_answer || err) {
        atomic_fetch_sub(&worker->inflight, 1);
        if (err)
            svc_metrics_count(worker->server->svc->metrics, worker->ctx.thread,
                              SVC_COUNT_ANSWERS_LOST);
    }
}

static void run_batch(struct worker *worker)
{
    size_t at = 0;
    uint64_t begun_us = wh_clock_monotonic_us();

    for (size_t i = 0; i < worker->batch_count; i++) {
        run_call(worker, wh_slice(worker->batch.ptr + at, worker->lengths[i]));
        at += worker->lengths[i];
        bool is_last = i + 1 == worker->batch_count;
        bool is_late = wh_clock_monotonic_us() - begun_us > HOLD_US;
        if (worker->answers.count > 0 && !is_last &&
            (is_late || svc_answers_is_full(&worker->answers))) {
            publish_now(worker);
            begun_us = wh_clock_monotonic_us();
        }
    }
    worker->batch_count = 0;
}

static void work(struct worker *worker)
{
    while (!is_stopping(worker)) {
        if (!worker->redis)
            connect_once(worker);
        if (!worker->redis) {
            give_up_old_answers(worker);
            continue;
        }
        enum wh_err err = exchange(worker, true);
        if (err) {
            disconnect(worker, "pop", err);
            pause_ms(worker, wh_backoff_next_ms(&worker->backoff));
            continue;
        }
        wh_backoff_reset(&worker->backoff);
        run_batch(worker);
    }
    publish_now(worker);
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    enum wh_err err = svc_parts_open_thread(&worker->ctx);

    if (err)
        wh_log(WH_LOG_ERROR, "rpc", "worker_failed", "worker=%u error=%s", worker->ctx.thread,
               wh_err_text(err));
    else
        work(worker);
    svc_parts_close_thread(&worker->ctx);
    wh_redis_blocking_close(worker->redis);
    worker->redis = NULL;
    atomic_store(&worker->client_id, 0);
    atomic_store(&worker->is_connected, false);
    atomic_store(&worker->is_done, true);
    return NULL;
}

static enum wh_err start_thread(struct worker *worker)
{
    sigset_t all, before;
    sigfillset(&all);
    /* Signals are the loop's. */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    worker->has_thread = pthread_create(&worker->thread, NULL, worker_main, worker) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!worker->has_thread)
        atomic_store(&worker->is_done, true);
    return worker->has_thread ? WH_OK : WH_EIO;
}

static void name_queues(struct svc_rpc_server *server, const struct svc_segments *segments)
{
    WH_ASSERT(segments->count > 0); /* svc_def_check */
    server->queue_count = segments->count;
    for (size_t i = 0; i < segments->count; i++) {
        int len = snprintf(server->queue_names[i], sizeof server->queue_names[i], "%s%.*s",
                           WH_RPC_QUEUE_PREFIX, WH_SLICE_ARGS(segments->names[i]));
        server->queues[i] = wh_slice(server->queue_names[i], (size_t)len);
    }
}

enum wh_err svc_rpc_server_start(struct svc *svc,
                                 const struct svc_segments *segments,
                                 struct svc_rpc_server **out_server)
{
    enum wh_err err = WH_ENOMEM;
    struct svc_rpc_server *server = wh_calloc(1, sizeof *server);
    if (!server)
        return WH_ENOMEM;
    server->svc = svc;
    server->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    name_queues(server, segments);
    server->workers = wh_calloc(svc->settings->workers, sizeof *server->workers);
    server->unblocks = wh_calloc(svc->settings->workers, sizeof *server->unblocks);
    if (server->workers && server->unblocks && server->stop_fd >= 0)
        err = svc_dispatch_init(&server->dispatch, svc->def);
    for (size_t i = 0; i < svc->settings->workers && !err; i++) {
        struct worker *worker = &server->workers[i];
        worker->server = server;
        worker->backoff = (struct wh_backoff){.min_ms = 50, .max_ms = 2000};
        worker->turn = (unsigned)i % (unsigned)segments->count;
        svc_ctx_init(&worker->ctx, svc, (unsigned)i);
        server->worker_count++;
        err = start_thread(worker);
    }
    *out_server = server; /* also a half-built one: who sees the error stops and frees it */
    return err;
}

static void on_unblocked(struct wh_redis_request *request,
                         enum wh_err err,
                         const struct wh_redis_reply *reply)
{
    (void)err, (void)reply; /* it is asked again until the worker is done */
    struct unblock *unblock = WH_CONTAINER_OF(request, struct unblock, request);
    unblock->is_under_way = false;
}

void svc_rpc_server_wake(struct svc_rpc_server *server)
{
    uint64_t one = 1;
    ssize_t written = write(server->stop_fd, &one, sizeof one);
    (void)written; /* full means readable, which is all that is wanted */
    for (size_t i = 0; i < server->worker_count; i++) {
        struct unblock *unblock = &server->unblocks[i];
        uint64_t id = atomic_load(&server->workers[i].client_id);
        char number[24];
        if (id == 0 || unblock->is_under_way || !wh_redis_is_up(server->svc->redis))
            continue;
        int len = snprintf(number, sizeof number, "%llu", (unsigned long long)id);
        const struct wh_slice argv[] = {WH_SLICE_LITERAL("CLIENT"), WH_SLICE_LITERAL("UNBLOCK"),
                                        wh_slice(number, (size_t)len)};
        unblock->is_under_way = true;
        unblock->request.done = on_unblocked;
        wh_redis_send(server->svc->redis, &unblock->request, argv, 3);
    }
}

bool svc_rpc_server_is_done(const struct svc_rpc_server *server)
{
    for (size_t i = 0; i < server->worker_count; i++) {
        if (!atomic_load(&server->workers[i].is_done) || server->unblocks[i].is_under_way)
            return false;
    }
    return true;
}

void svc_rpc_server_free(struct svc_rpc_server *server)
{
    if (!server)
        return;
    for (size_t i = 0; i < server->worker_count; i++) {
        struct worker *worker = &server->workers[i];
        if (worker->has_thread)
            pthread_join(worker->thread, NULL);
        svc_answers_deinit(&worker->answers);
        wh_buf_deinit(&worker->batch);
        svc_ctx_deinit(&worker->ctx);
    }
    if (server->stop_fd >= 0)
        close(server->stop_fd);
    svc_dispatch_deinit(&server->dispatch);
    wh_free(server->workers);
    wh_free(server->unblocks);
    wh_free(server);
}

struct svc_rpc_state svc_rpc_server_state(const struct svc_rpc_server *server)
{
    struct svc_rpc_state state = {0};
    uint64_t now_ms = wh_clock_monotonic_ms();

    for (size_t i = 0; server && i < server->worker_count; i++) {
        const struct worker *worker = &server->workers[i];
        uint64_t since_ms = atomic_load(&worker->busy_since_ms);
        state.workers++;
        state.connected += atomic_load(&worker->is_connected);
        state.busy += since_ms != 0;
        state.hung += since_ms != 0 && now_ms > since_ms &&
                      now_ms - since_ms > server->svc->settings->rpc.hung_after_ms;
        state.inflight += atomic_load(&worker->inflight);
        state.done += atomic_load(&worker->is_done);
    }
    return state;
}
