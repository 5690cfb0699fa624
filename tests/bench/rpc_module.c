/*
 * Calls through the hub's own rpc module, without sessions around it: what the way from hub to
 * service costs.  Transport "module"; the address is that of Redis, a path or a port.  Exit status
 * as bench_rpc_caller.
 */
#include "common/base/log.h"
#include "common/io/loop.h"
#include "hub/config.h"
#include "hub/metrics.h"
#include "hub/rpc.h"
#include "rpc_envelope.h"
#include "rpc_pace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { CHECK_MS = 10, START_CHECKS = 500, PAYLOAD_SIZE_MAX = 4096 };

struct call {
    struct rpc_waiter waiter;
    uint64_t id;
};

/* One run a process: static. */
static struct module {
    struct pace_options options;
    struct pace pace;
    struct wh_loop loop;
    struct rpc *rpc;
    struct wh_task begin;
    uv_timer_t check;
    uv_poll_t tick;
    int timer_fd;
    bool has_started;
    uint32_t checks;
    struct call calls[PACE_RING];
    char payload[PAYLOAD_SIZE_MAX];
} module;

static void on_closed(void *user)
{
    (void)user;
}

static void finish(void)
{
    uv_close((uv_handle_t *)&module.check, NULL);
    if (module.timer_fd >= 0) {
        uv_close((uv_handle_t *)&module.tick, NULL);
    }
    rpc_close(module.rpc, on_closed, NULL);
}

static void on_done(struct rpc_waiter *waiter, const struct rpc_outcome *outcome)
{
    struct call *call = WH_CONTAINER_OF(waiter, struct call, waiter);
    if (outcome->code != 0 && module.pace.failed == 0) {
        fprintf(stderr, "first failure: %u %.*s\n", outcome->code, WH_SLICE_ARGS(outcome->message));
    }
    pace_end(&module.pace, call->id,
             outcome->code == 0 && outcome->data.bytes.len == module.options.size, pace_now_ns());
    wh_loop_defer(&module.loop, &module.begin); /* once, for all that ended in this turn */
}

static void begin_calls(struct wh_task *task)
{
    (void)task;
    uint64_t now_ns = pace_now_ns();
    struct rpc_request request = {
        .method = wh_slice_from_str(module.options.method),
        .params = {WH_PAYLOAD_JSON, wh_slice(module.payload, module.options.size)},
    };
    for (uint32_t due = pace_due(&module.pace, now_ns); due > 0; due--) {
        uint64_t id = pace_begin(&module.pace, now_ns);
        struct call *call = &module.calls[id % PACE_RING];
        *call = (struct call){.waiter.done = on_done, .id = id};
        rpc_start(module.rpc, &request, &call->waiter);
    }
}

static void on_tick(uv_poll_t *poll, int status, int events)
{
    uint64_t ticks;
    (void)poll;
    (void)status;
    (void)events;
    while (read(module.timer_fd, &ticks, sizeof(ticks)) > 0) {
    }
    if (module.has_started) {
        wh_loop_defer(&module.loop, &module.begin);
    }
}

static void on_check(uv_timer_t *timer)
{
    (void)timer;
    if (!module.has_started && rpc_link_problem(module.rpc)[0] == '\0') {
        module.has_started = true;
        pace_start(&module.pace, &module.options);
    }
    if (module.has_started) {
        wh_loop_defer(&module.loop, &module.begin);
    }
    if (module.pace.phase == PACE_OVER) {
        finish();
    } else if (!module.has_started && ++module.checks == START_CHECKS) {
        fprintf(stderr, "redis: %s\n", rpc_link_problem(module.rpc));
        exit(1);
    }
}

static struct config *load_config(void)
{
    char text[512];
    bool is_path = strchr(module.options.address, '/') != NULL;
    struct config *config = NULL;
    struct wh_buf problems = {0};
    int length = snprintf(text, sizeof(text),
                          "engine: {type: redis, redis: {address: \"%s%s\"}}\n"
                          "rpc: {service_inflight_limit: 65536, queue_limit: 1000000}\n"
                          "client: {allow_anonymous_connect_without_token: true}\n"
                          "log: {level: warn}\n",
                          is_path ? "unix://" : "127.0.0.1:", module.options.address);
    struct wh_config_source source = {.path = "bench", .text = wh_slice(text, (size_t)length)};
    if (config_load(&source, &config, &problems)) {
        fprintf(stderr, "%s\n", wh_buf_cstr(&problems));
        exit(1);
    }
    wh_buf_deinit(&problems);
    return config;
}

static void start_timers(void)
{
    struct itimerspec period = {.it_interval.tv_nsec = PACE_TICK_NS,
                                .it_value.tv_nsec = PACE_TICK_NS};
    uv_timer_init(&module.loop.uv, &module.check);
    uv_timer_start(&module.check, on_check, 0, CHECK_MS);
    module.timer_fd = -1;
    if (module.options.rate > 0) {
        module.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
        timerfd_settime(module.timer_fd, 0, &period, NULL);
        uv_poll_init(&module.loop.uv, &module.tick, module.timer_fd);
        uv_poll_start(&module.tick, UV_READABLE, on_tick);
    }
}

int main(int argc, char **argv)
{
    struct metrics_shared *shared = NULL;
    wh_log_set_level(WH_LOG_ERROR);
    pace_parse(argc, argv, &module.options);
    payload_fill(module.payload, module.options.size);
    struct config *config = load_config();
    if (wh_loop_init(&module.loop) || metrics_shared_new(1, &shared) ||
        rpc_new(&module.loop, config, "bench", metrics_open(shared, 0), &module.rpc)) {
        fprintf(stderr, "the rpc module did not start\n");
        return 1;
    }
    wh_task_init(&module.begin, begin_calls);
    start_timers();
    wh_loop_run(&module.loop);
    wh_loop_deinit(&module.loop);
    metrics_shared_free(shared);
    config_free(config);
    return pace_report(&module.pace);
}
