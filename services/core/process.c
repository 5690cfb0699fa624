/*
 * The life of a service process.
 *
 *     start    parts, workers, HTTP, the loop's connections: nothing waits for the outside world
 *     serve    every TICK_MS: should calls come here?
 *     drain    SIGTERM: the subscriptions go first, so that hubs send no more; calls that were sent
 *              before they noticed are still served (LINGER_MS); then the workers finish what they
 *              have and end, the parts flush, everything closes
 *
 * A drain that takes longer than shutdown.timeout, or a second signal, ends
 * the process where it stands.
 */
#include "services/core/process.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/io/loop.h"
#include "common/io/notify.h"
#include "common/io/redis.h"
#include "services/core/announce.h"
#include "services/core/cancels.h"
#include "services/core/health.h"
#include "services/core/http.h"
#include "services/core/jobs.h"
#include "services/core/metrics.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    TICK_MS = 20,    /* while draining */
    CHECK_MS = 100,  /* while serving */
    LINGER_MS = 150, /* hubs look who is subscribed every 50 ms */
};

enum stage {
    STAGE_SERVING,
    STAGE_LEAVING,   /* until nobody sees us */
    STAGE_LINGERING, /* until nothing comes any more */
    STAGE_FINISHING, /* until the workers have ended */
    STAGE_CLOSING
};

struct process {
    struct svc svc;
    struct wh_loop loop;
    struct svc_http *http;
    struct svc_jobs *jobs;
    uv_signal_t term;
    uv_signal_t interrupt;
    struct wh_timer tick;
    enum stage stage;
    uint64_t drain_began_ms;
    uint64_t lingering_since_ms;
    size_t parts_started;
    bool is_failed;
};

static bool is_wanted(const struct svc_part *part, const struct svc_def *def)
{
    return !part->is_wanted || part->is_wanted(def);
}

static enum wh_err start_parts(struct process *process)
{
    enum wh_err err = WH_OK;

    for (; svc_parts[process->parts_started] && !err; process->parts_started++) {
        const struct svc_part *part = svc_parts[process->parts_started];
        if (is_wanted(part, process->svc.def) && part->start)
            err = part->start(&process->svc);
        if (err)
            break; /* this one did not start */
    }
    return err;
}

static void stop_parts(struct process *process)
{
    while (process->parts_started > 0) {
        const struct svc_part *part = svc_parts[--process->parts_started];
        if (is_wanted(part, process->svc.def) && part->stop)
            part->stop(&process->svc);
    }
}

static void ignore_closed(void *user)
{
    (void)user;
}

static void close_signal(uv_signal_t *signal)
{
    if (signal->loop && !uv_is_closing((uv_handle_t *)signal))
        uv_close((uv_handle_t *)signal, NULL);
}

static void on_announce_closed(void *user)
{
    struct process *process = user;
    wh_redis_close(process->svc.redis, ignore_closed, NULL);
}

/* After the workers have ended: nothing runs but the loop. */
static void close_all(struct process *process)
{
    process->stage = STAGE_CLOSING;
    svc_jobs_stop(process->jobs);
    process->jobs = NULL;
    stop_parts(process);
    wh_loop_timer_stop(&process->loop, &process->tick);
    close_signal(&process->term);
    close_signal(&process->interrupt);
    if (process->http)
        svc_http_close(process->http, ignore_closed, NULL);
    process->http = NULL;
    if (process->svc.announce)
        svc_announce_close(process->svc.announce, on_announce_closed, process);
    else if (process->svc.redis)
        wh_redis_close(process->svc.redis, ignore_closed, NULL);
}

static void give_up(struct process *process)
{
    struct svc_rpc_state state = svc_rpc_server_state(process->svc.rpc);
    wh_log(WH_LOG_ERROR, "service", "drain_failed", "workers_left=%u calls_left=%u",
           state.workers - state.done, state.inflight);
    _exit(1); /* a thread that does not come back cannot be joined */
}

static void drain_step(struct process *process)
{
    struct svc *svc = &process->svc;
    uint64_t now_ms = wh_clock_monotonic_ms();

    if (now_ms - process->drain_began_ms > svc->settings->shutdown.timeout_ms)
        give_up(process);
    if (process->stage == STAGE_LEAVING && svc_announce_is_gone(svc->announce)) {
        process->stage = STAGE_LINGERING;
        process->lingering_since_ms = now_ms;
    }
    if (process->stage == STAGE_LINGERING && now_ms - process->lingering_since_ms >= LINGER_MS) {
        process->stage = STAGE_FINISHING;
        atomic_store(&svc->is_stopping, true);
        wh_log(WH_LOG_INFO, "service", "finishing", "calls=%u",
               svc_rpc_server_state(svc->rpc).inflight);
    }
    if (process->stage == STAGE_FINISHING) {
        svc_rpc_server_wake(svc->rpc);
        if (svc_rpc_server_is_done(svc->rpc) && svc_jobs_is_done(process->jobs))
            close_all(process);
    }
}

static void check_serving(struct process *process)
{
    struct wh_buf reasons = {0};

    svc_write_unserving(&process->svc, &reasons);
    svc_announce_set_alive(process->svc.announce, reasons.len == 0 && !reasons.err);
    wh_buf_deinit(&reasons);
}

static void on_tick(struct wh_timer *timer)
{
    struct process *process = WH_CONTAINER_OF(timer, struct process, tick);

    if (process->stage == STAGE_SERVING)
        check_serving(process);
    else
        drain_step(process);
    if (process->stage != STAGE_CLOSING)
        wh_loop_timer_start(&process->loop, timer,
                            process->stage == STAGE_SERVING ? CHECK_MS : TICK_MS);
}

static void on_signal(uv_signal_t *signal, int number)
{
    struct process *process = signal->data;

    if (process->stage != STAGE_SERVING) {
        wh_log(WH_LOG_WARN, "service", "killed", "reason=%s signal=%d",
               "second signal while draining", number);
        _exit(1);
    }
    wh_log(WH_LOG_INFO, "service", "drain", "signal=%d", number);
    wh_notify_send("STOPPING=1");
    process->stage = STAGE_LEAVING;
    process->drain_began_ms = wh_clock_monotonic_ms();
    atomic_store(&process->svc.is_draining, true);
    svc_announce_set_alive(process->svc.announce, false);
    wh_loop_timer_start(&process->loop, &process->tick, 1);
}

static enum wh_err start_signals(struct process *process)
{
    uv_signal_t *signals[] = {&process->term, &process->interrupt};
    const int numbers[] = {SIGTERM, SIGINT};

    for (size_t i = 0; i < 2; i++) {
        if (uv_signal_init(&process->loop.uv, signals[i]) != 0)
            return WH_EIO;
        signals[i]->data = process;
        if (uv_signal_start(signals[i], on_signal, numbers[i]) != 0)
            return WH_EIO;
    }
    return WH_OK;
}

static enum wh_err start_redis(struct process *process)
{
    const struct svc_settings *settings = process->svc.settings;
    const struct wh_redis_options options = {.address = settings->redis.address,
                                             .user = settings->redis.user,
                                             .password = settings->redis.password,
                                             .db = settings->redis.db};
    return wh_redis_new(&process->loop, &options, &process->svc.redis);
}

static size_t count_methods(const struct svc_def *def)
{
    size_t count = 0;
    while (def->methods[count].name)
        count++;
    return count;
}

/* Everything in the order in which it leans on each other; workers last. */
static enum wh_err start_all(struct process *process, const struct svc_segments *segments)
{
    struct svc *svc = &process->svc;
    enum wh_err err = WH_OK;

    svc->metrics = svc_metrics_new(svc->settings->workers, count_methods(svc->def));
    svc->cancels = wh_calloc(1, sizeof *svc->cancels);
    if (!svc->metrics || !svc->cancels)
        return WH_ENOMEM;
    if (svc->def->start && !svc->def->start(svc->own_settings, &svc->state))
        return WH_EINVAL;
    err = start_signals(process);
    if (!err)
        err = start_redis(process);
    if (!err)
        err = start_parts(process);
    if (!err)
        err = svc_announce_new(svc, segments, &svc->announce);
    if (!err)
        err = svc_http_start(svc, &process->http);
    if (!err)
        err = svc_rpc_server_start(svc, segments, &svc->rpc);
    if (!err)
        err = svc_jobs_start(svc, &process->jobs);
    return err;
}

static void log_started(struct process *process)
{
    const struct svc *svc = &process->svc;
    wh_log(WH_LOG_INFO, "service", "started",
           "service=%s version=%s instance=%s pid=%d workers=%u http=%s:%u", svc->def->name,
           svc->def->version, svc->instance, (int)getpid(), (unsigned)svc->settings->workers,
           svc->settings->http.address, svc_http_port(process->http));
}

/* What start_all got to, when it failed half-way. */
static void abort_start(struct process *process, enum wh_err err)
{
    wh_log(WH_LOG_ERROR, "service", "start_failed", "error=%s", wh_err_text(err));
    process->is_failed = true;
    atomic_store(&process->svc.is_stopping, true);
    while (process->svc.rpc && !svc_rpc_server_is_done(process->svc.rpc)) {
        svc_rpc_server_wake(process->svc.rpc);
        usleep(1000);
    }
    close_all(process);
}

static void free_all(struct process *process)
{
    struct svc *svc = &process->svc;
    svc_rpc_server_free(svc->rpc);
    svc_announce_free(svc->announce);
    if (svc->def->stop && svc->state)
        svc->def->stop(svc->state);
    svc_metrics_free(svc->metrics);
    wh_free(svc->cancels);
    wh_loop_deinit(&process->loop);
}

int svc_process_run(const struct svc_def *def,
                    const struct svc_settings *settings,
                    const void *own_settings,
                    const struct svc_segments *segments)
{
    struct process *process = wh_calloc(1, sizeof *process);
    if (!process || wh_loop_init(&process->loop) != WH_OK) {
        wh_free(process);
        fprintf(stderr, "wirehub-%s: out of memory\n", def->name);
        return 1;
    }
    process->svc.def = def;
    process->svc.settings = settings;
    process->svc.own_settings = own_settings;
    process->svc.loop = &process->loop;
    process->svc.started_ms = (uint64_t)wh_clock_wall_ms();
    wh_random_uuid_v7(process->svc.instance);
    wh_timer_init(&process->tick, on_tick);
    enum wh_err err = start_all(process, segments);
    if (err) {
        abort_start(process, err);
    } else {
        log_started(process);
        wh_loop_timer_start(&process->loop, &process->tick, 1);
        wh_notify_send("READY=1");
    }
    wh_loop_run(&process->loop);
    if (!process->is_failed)
        wh_log(WH_LOG_INFO, "service", "stopped", "drain_ms=%llu",
               (unsigned long long)(wh_clock_monotonic_ms() - process->drain_began_ms));
    int status = process->is_failed ? 1 : 0;
    free_all(process);
    wh_free(process);
    return status;
}
