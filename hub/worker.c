/*
 * Signals of the supervisor become node verbs here:
 *     SIGTERM   not ready; after drain.delay stop accepting, drain, close, return 0;
 *               a second one ends at once
 *     SIGHUP    load the configuration again and take it over
 *     SIGUSR1   switch the debug log on or off
 *
 * The end: drained -> server and node are closed -> the loop turns until
 * their handles are gone -> everything is freed.
 */
#include "hub/worker.h"

#include "common/base/alloc.h"
#include "common/base/log.h"
#include "hub/demo.h"
#include "hub/node.h"
#include "hub/server.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

enum {
    SIGNALS = 3,
    ECHO_MS = 500, /* systemd signals every process and the supervisor passes it on: one request */
    SAMPLE_MS = 15000
};

struct worker {
    const struct worker_context *context;
    struct wh_loop loop;
    struct node node;
    struct server *server;
    struct config *reloaded; /* owned; NULL while the supervisor's config is in use */
    uv_signal_t signals[SIGNALS];
    uint64_t terminated_ms; /* when the first SIGTERM came; 0 = not yet */
    struct wh_timer drain_delay;
    struct wh_timer sample;
    bool is_debugging;
};

/* End */

static void on_node_closed(void *user)
{
    (void)user; /* the loop ends by itself when its last handle is gone */
}

static void shut_down(struct worker *worker)
{
    for (int i = 0; i < SIGNALS; i++)
        uv_close((uv_handle_t *)&worker->signals[i], NULL);
    wh_loop_timer_stop(&worker->loop, &worker->sample);
    node_close(&worker->node, on_node_closed, worker);
    server_close(worker->server);
    demo_free(worker->node.demo);
    worker->node.demo = NULL;
}

static void on_drained(void *user)
{
    shut_down(user);
}

/* Signals */

static void on_drain_delay(struct wh_timer *timer)
{
    struct worker *worker = WH_CONTAINER_OF(timer, struct worker, drain_delay);
    server_stop_accepting(worker->server);
    node_drain(&worker->node, on_drained, worker);
}

static void on_terminate(uv_signal_t *handle, int number)
{
    struct worker *worker = handle->data;
    uint64_t now = wh_loop_now_ms(&worker->loop);
    (void)number;
    if (worker->terminated_ms == 0) {
        worker->terminated_ms = now;
        worker->node.phase = NODE_DRAINING; /* not ready: load balancers look elsewhere */
        wh_loop_timer_start(&worker->loop, &worker->drain_delay,
                            worker->node.config->drain.delay_ms);
        return;
    }
    if (now - worker->terminated_ms < ECHO_MS)
        return;
    wh_log(WH_LOG_WARN, "worker", "terminated", "sessions=%zu", worker->node.session_count);
    _exit(1);
}

static void on_sample(struct wh_timer *timer)
{
    struct worker *worker = WH_CONTAINER_OF(timer, struct worker, sample);
    metrics_sample_descriptors(worker->context->metrics);
    wh_loop_timer_start(&worker->loop, timer, SAMPLE_MS);
}

static void log_problems(const char *event, enum wh_log_level level, struct wh_buf *problems)
{
    const char *rest = wh_buf_cstr(problems);
    while (*rest) {
        size_t len = strcspn(rest, "\n");
        wh_log(level, "worker", event, "problem=%.*s", (int)len, rest);
        rest += len + (rest[len] == '\n');
    }
}

static void on_reload(uv_signal_t *handle, int number)
{
    struct worker *worker = handle->data;
    struct config *config = NULL;
    struct wh_buf problems = {0}, reloaded = {0}, restart = {0};
    (void)number;
    enum wh_err err = config_load(worker->context->source, &config, &problems);
    if (err == WH_OK) {
        config_diff(worker->node.config, config, &reloaded, &restart);
        err = node_reload(&worker->node, config, &problems);
    }
    if (err) {
        log_problems("reload_failed", WH_LOG_ERROR, &problems);
        config_free(config);
    } else {
        config_free(worker->reloaded);
        worker->reloaded = config;
        if (!worker->is_debugging)
            wh_log_set_level(config->log.level);
        wh_log(WH_LOG_INFO, "worker", "reloaded", "changed=%s restart_needed=%s",
               wh_buf_cstr(&reloaded), wh_buf_cstr(&restart));
    }
    wh_buf_deinit(&problems);
    wh_buf_deinit(&reloaded);
    wh_buf_deinit(&restart);
}

static void on_toggle_debug(uv_signal_t *handle, int number)
{
    struct worker *worker = handle->data;
    (void)number;
    worker->is_debugging = !worker->is_debugging;
    wh_log_set_level(worker->is_debugging ? WH_LOG_DEBUG : worker->node.config->log.level);
    wh_log(WH_LOG_INFO, "worker", "debug_log", "on=%d", worker->is_debugging);
}

static void watch_signals(struct worker *worker)
{
    static const struct {
        int number;
        uv_signal_cb fn;
    } rows[SIGNALS] = {
        {SIGTERM, on_terminate},
        {SIGHUP, on_reload},
        {SIGUSR1, on_toggle_debug},
    };
    signal(SIGINT, SIG_IGN); /* Ctrl-C reaches the whole group; the supervisor speaks for it */
    for (int i = 0; i < SIGNALS; i++) {
        uv_signal_init(&worker->loop.uv, &worker->signals[i]);
        worker->signals[i].data = worker;
        uv_signal_start(&worker->signals[i], rows[i].fn, rows[i].number);
    }
}

/* Start */

static enum wh_err start(struct worker *worker, struct wh_buf *problem)
{
    const struct worker_context *context = worker->context;
    enum wh_err err = wh_loop_init(&worker->loop);
    if (err) {
        wh_buf_printf(problem, "event loop: %s", wh_err_text(err));
        return err;
    }
    err = node_init(&worker->node, &worker->loop, context->config, context->metrics,
                    context->metrics_shared, problem);
    if (err)
        return err;
    if (context->demo)
        err = demo_new(&worker->node,
                       &(struct demo_options){.shared = context->demo,
                                              .worker = context->index,
                                              .workers = context->count},
                       &worker->node.demo);
    if (err) {
        wh_buf_printf(problem, "demo: %s", wh_err_text(err));
        return err;
    }
    return server_new(&worker->node, context->listen_fds, context->listen_fd_count, &worker->server,
                      problem);
}

int worker_main(const struct worker_context *context)
{
    static struct worker worker; /* large, and one a process */
    struct wh_buf problem = {0};
    worker.context = context;
    wh_log_set_instance("worker", context->index);
    if (start(&worker, &problem)) {
        log_problems("cannot_start", WH_LOG_ERROR, &problem);
        wh_buf_deinit(&problem);
        return WORKER_CANNOT_START;
    }
    wh_buf_deinit(&problem);
    worker.is_debugging = wh_log_enabled(WH_LOG_DEBUG) && context->config->log.level > WH_LOG_DEBUG;
    wh_timer_init(&worker.drain_delay, on_drain_delay);
    wh_timer_init(&worker.sample, on_sample);
    on_sample(&worker.sample);
    watch_signals(&worker);
    worker_ready(context);
    wh_loop_run(&worker.loop);
    server_free(worker.server);
    node_deinit(&worker.node);
    config_free(worker.reloaded);
    wh_loop_deinit(&worker.loop);
    wh_log(WH_LOG_INFO, "worker", "stopped", "pid=%d", (int)getpid());
    return 0;
}
