/*
 * One loop: start the workers that are due, sleep in poll until a signal (by
 * signalfd), a worker's readiness (by pipe) or the next deadline, act.  Every
 * time and every decision is in struct supervisor, so no signal handler runs
 * anywhere in this process.
 *
 * Invariants: worker->pid is 0 exactly when there is no such process; a worker
 * without process has a restart time unless the hub is stopping; the listening
 * sockets live as long as the hub takes connections, whoever crashes.
 */
#include "hub/supervisor.h"

#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/io/notify.h"
#include "hub/listener.h"
#include "hub/node.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define MODULE "supervisor"
#define NEVER  UINT64_MAX

enum {
    QUICK_DEATH_MS = 10000, /* a worker that lived shorter is crash-looping, perhaps */
    RESTART_DELAY_MIN_MS = 50,
    RESTART_DELAY_MAX_MS = 5000,
    /* After the last client was told to go, until the worker is killed: what the worker itself
     * grants to commands in flight, and a second for the closing. */
    FLUSH_MS = DRAIN_GRACE_MS + 1000,
    SECOND_STOP_MS = 1000, /* after the second SIGTERM */
    DESCRIPTORS_MAX = 1 << 20
};

struct worker {
    pid_t pid; /* 0 = not running */
    bool is_ready;
    bool died_quickly; /* the last time */
    uint64_t started_ms;
    uint64_t restart_at_ms;
    struct wh_backoff backoff;
    struct listener listener;
};

struct supervisor {
    const struct wh_config_source *source;
    const struct config *config; /* what new workers get */
    struct config *reloaded;     /* owned; the same one, or NULL before the first reload */
    worker_main_fn *worker_main;
    struct worker *workers;
    unsigned count;
    struct metrics_shared *metrics_shared;
    struct metrics *metrics;  /* the supervisor's own column */
    struct demo_shared *demo; /* NULL = off */
    pid_t pid;
    sigset_t original_mask;
    int signal_fd;
    int ready_pipe[2]; /* workers write their index */
    bool was_ready;    /* all workers at once, some time */
    bool is_debugging;
    unsigned stops; /* how often it was told to */
    uint64_t kill_at_ms;
    uint64_t watchdog_ms; /* 0 = off */
    uint64_t watchdog_at_ms;
    int exit_status;
};

/* --- preparation --- */

/* Cores that this process may use: containers and taskset count. */
static unsigned core_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return (unsigned)CPU_COUNT(&set);
    return 1;
}

static unsigned worker_count(const struct config *config)
{
    if (config->workers > 0)
        return config->workers > UINT32_MAX ? UINT32_MAX : (unsigned)config->workers;
    return config->engine.type == ENGINE_REDIS ? core_count() : 1;
}

/*
 * As many descriptors as the hard limit allows, but no more than anybody needs: some container
 * runtimes set it to 2^30, and libwebsockets allocates a table by it.
 */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    rlim_t before = limit.rlim_cur;
    rlim_t wanted = limit.rlim_max < DESCRIPTORS_MAX ? limit.rlim_max : DESCRIPTORS_MAX;
    if (before < wanted) {
        limit.rlim_cur = wanted;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
            limit.rlim_cur = before;
    }
    wh_log(WH_LOG_INFO, MODULE, "descriptor_limit", "soft=%llu was=%llu",
           (unsigned long long)limit.rlim_cur, (unsigned long long)before);
}

static bool open_listeners(struct supervisor *s)
{
    struct listener *listeners = calloc(s->count, sizeof *listeners);
    if (!listeners)
        return false;
    struct wh_buf problem = {0};
    enum wh_err err = listener_open(s->config->http_server.address, s->config->http_server.port,
                                    listeners, s->count, &problem);
    if (err != WH_OK)
        wh_log(WH_LOG_ERROR, MODULE, "listen_failed", "problem=%s", wh_buf_cstr(&problem));
    wh_buf_deinit(&problem);
    for (unsigned i = 0; err == WH_OK && i < s->count; i++)
        s->workers[i].listener = listeners[i];
    free(listeners);
    for (unsigned i = 0; i < s->workers[0].listener.count; i++) {
        char address[LISTENER_ADDRESS_SIZE];
        uint16_t port;
        listener_name(s->workers[0].listener.fds[i], address, &port);
        wh_log(WH_LOG_INFO, MODULE, "listening", "address=%s port=%u workers=%u", address, port,
               s->count);
    }
    return err == WH_OK;
}

static void close_listeners(struct supervisor *s)
{
    for (unsigned i = 0; s->workers && i < s->count; i++)
        listener_close(&s->workers[i].listener);
}

/* From here on signals arrive by s->signal_fd only. */
static bool open_signals(struct supervisor *s)
{
    sigset_t watched;
    sigemptyset(&watched);
    static const int signals[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGUSR1};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        sigaddset(&watched, signals[i]);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL); /* ignored by whoever started us, children would leave no status */
    if (sigprocmask(SIG_BLOCK, &watched, &s->original_mask) != 0)
        return false;
    s->signal_fd = signalfd(-1, &watched, SFD_NONBLOCK | SFD_CLOEXEC);
    return s->signal_fd >= 0;
}

static bool prepare(struct supervisor *s)
{
    s->pid = getpid();
    s->count = worker_count(s->config);
    if (!open_signals(s) || pipe2(s->ready_pipe, O_CLOEXEC | O_NONBLOCK) != 0) {
        wh_log(WH_LOG_ERROR, MODULE, "start_failed", "problem=%s", strerror(errno));
        return false;
    }
    enum wh_err err = metrics_shared_new(s->count, &s->metrics_shared);
    if (err == WH_OK && s->config->demo.enabled)
        err = demo_shared_new(&s->demo);
    if (err == WH_OK && !(s->workers = calloc(s->count, sizeof *s->workers)))
        err = WH_ENOMEM;
    if (err != WH_OK) {
        wh_log(WH_LOG_ERROR, MODULE, "start_failed", "workers=%u problem=%s", s->count,
               wh_err_text(err));
        return false;
    }
    s->metrics = metrics_open_supervisor(s->metrics_shared);
    for (unsigned i = 0; i < s->count; i++)
        s->workers[i].backoff =
            (struct wh_backoff){.min_ms = RESTART_DELAY_MIN_MS, .max_ms = RESTART_DELAY_MAX_MS};
    s->watchdog_ms = wh_notify_watchdog_ms();
    s->watchdog_at_ms = s->watchdog_ms > 0 ? wh_clock_monotonic_ms() : NEVER;
    return open_listeners(s);
}

static void teardown(struct supervisor *s)
{
    close_listeners(s);
    free(s->workers);
    config_free(s->reloaded);
    metrics_shared_free(s->metrics_shared);
    demo_shared_free(s->demo);
    const int fds[] = {s->signal_fd, s->ready_pipe[0], s->ready_pipe[1]};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

/* --- in the worker --- */

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define UNDER_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNDER_SANITIZER 1
#endif

/* Die with the supervisor, keep secrets out of core dumps, have a name of its own in ps and top. */
static void set_process_attributes(const struct supervisor *s, unsigned index)
{
    /* SIGKILL, as nobody would bound a drain: orphans that linger would block the next start. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != s->pid)
        _exit(1);  /* it died before the line above */
    char name[32]; /* the kernel keeps 15 bytes */
    snprintf(name, sizeof name, "wirehub: %u", index);
    prctl(PR_SET_NAME, name);
#ifndef UNDER_SANITIZER
    prctl(PR_SET_DUMPABLE, 0); /* LeakSanitizer must be able to trace its process */
#endif
}

/* Never returns.  The supervisor's memory stays: the config and the column are used from there. */
_Noreturn static void become_worker(struct supervisor *s, unsigned index)
{
    set_process_attributes(s, index);
    signal(SIGINT, SIG_IGN);
    close(s->signal_fd);
    close(s->ready_pipe[0]);
    for (unsigned i = 0; i < s->count; i++)
        if (i != index)
            listener_close(&s->workers[i].listener);
    wh_log_set_instance("worker", index);
    struct worker_context context = {
        .index = index,
        .count = s->count,
        .listen_fds = s->workers[index].listener.fds,
        .listen_fd_count = s->workers[index].listener.count,
        .metrics = metrics_open(s->metrics_shared, index),
        .metrics_shared = s->metrics_shared,
        .demo = s->demo,
        .config = s->config,
        .source = s->source,
        .ready_fd = s->ready_pipe[1],
        .signal_mask = s->original_mask,
    };
    exit(s->worker_main(&context));
}

void worker_ready(const struct worker_context *context)
{
    ssize_t written = write(context->ready_fd, &context->index, sizeof context->index);
    (void)written; /* the supervisor is gone, and so are we in a moment */
    sigprocmask(SIG_SETMASK, &context->signal_mask, NULL);
}

/* --- starting and watching --- */

static void start_worker(struct supervisor *s, unsigned index, uint64_t now_ms)
{
    struct worker *worker = &s->workers[index];
    fflush(NULL); /* or both processes would write what is buffered */
    pid_t pid = fork();
    if (pid == 0)
        become_worker(s, index);
    if (pid < 0) {
        worker->restart_at_ms = now_ms + wh_backoff_next_ms(&worker->backoff);
        wh_log(WH_LOG_ERROR, MODULE, "fork_failed", "index=%u problem=%s", index, strerror(errno));
        return;
    }
    worker->pid = pid;
    worker->is_ready = false;
    worker->started_ms = now_ms;
    worker->restart_at_ms = NEVER;
    wh_log(WH_LOG_INFO, MODULE, "worker_started", "index=%u pid=%d", index, (int)pid);
}

static void start_due_workers(struct supervisor *s)
{
    uint64_t now_ms = wh_clock_monotonic_ms();
    for (unsigned i = 0; i < s->count && s->stops == 0; i++)
        if (s->workers[i].pid == 0 && s->workers[i].restart_at_ms <= now_ms)
            start_worker(s, i, now_ms);
}

static unsigned alive_count(const struct supervisor *s)
{
    unsigned alive = 0;
    for (unsigned i = 0; i < s->count; i++)
        alive += s->workers[i].pid != 0;
    return alive;
}

static void signal_workers(const struct supervisor *s, int number)
{
    for (unsigned i = 0; i < s->count; i++)
        if (s->workers[i].pid != 0)
            kill(s->workers[i].pid, number);
}

static void read_ready(struct supervisor *s)
{
    unsigned index;
    while (read(s->ready_pipe[0], &index, sizeof index) == (ssize_t)sizeof index)
        if (index < s->count)
            s->workers[index].is_ready = true;
    unsigned ready = 0;
    for (unsigned i = 0; i < s->count; i++)
        ready += s->workers[i].pid != 0 && s->workers[i].is_ready;
    if (s->was_ready || ready < s->count || s->stops > 0)
        return;
    s->was_ready = true;
    wh_log(WH_LOG_INFO, MODULE, "ready", "workers=%u", s->count);
    wh_notify_send("READY=1");
}

/* Stop as after one more SIGTERM.  The first one lets the workers drain, the second does not. */
static void stop(struct supervisor *s, const char *why)
{
    uint64_t now_ms = wh_clock_monotonic_ms();
    const struct config *config = s->config;
    uint64_t bound_ms = SECOND_STOP_MS;
    if (++s->stops == 1) {
        bound_ms = config->drain.delay_ms + config->drain.spread_ms + FLUSH_MS;
        if (bound_ms > config->shutdown.timeout_ms)
            bound_ms = config->shutdown.timeout_ms;
        wh_notify_send("STOPPING=1");
        close_listeners(s);
    }
    if (s->kill_at_ms > now_ms + bound_ms)
        s->kill_at_ms = now_ms + bound_ms;
    wh_log(WH_LOG_INFO, MODULE, "stopping", "reason=%s workers=%u kill_in_ms=%llu", why,
           alive_count(s), (unsigned long long)(s->kill_at_ms - now_ms));
    signal_workers(s, SIGTERM);
}

/* How long to wait before a worker is replaced that lived `lived_ms`: not at all, unless it
 * keeps dying young. */
static uint64_t restart_delay(struct worker *worker, uint64_t lived_ms)
{
    bool was_quick = worker->died_quickly;
    worker->died_quickly = lived_ms < QUICK_DEATH_MS;
    if (!worker->died_quickly || !was_quick) {
        wh_backoff_reset(&worker->backoff);
        return 0;
    }
    return wh_backoff_next_ms(&worker->backoff);
}

static void on_unexpected_end(struct supervisor *s, unsigned index, pid_t pid, int status)
{
    struct worker *worker = &s->workers[index];
    uint64_t now_ms = wh_clock_monotonic_ms();
    uint64_t lived_ms = now_ms - worker->started_ms;
    int exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (exit_code == WORKER_CANNOT_START && !s->was_ready) {
        s->exit_status = WORKER_CANNOT_START;
        stop(s, "worker cannot start");
        return;
    }
    bool is_crash = !demo_take_order(s->demo, pid);
    uint64_t delay_ms = is_crash ? restart_delay(worker, lived_ms) : 0;
    worker->restart_at_ms = now_ms + delay_ms;
    metrics_add(s->metrics, METRIC_WORKER_RESTARTS, 1);
    wh_log(is_crash ? WH_LOG_ERROR : WH_LOG_INFO, MODULE,
           is_crash ? "worker_died" : "worker_killed",
           "index=%u pid=%d signal=%d exit_code=%d lived_ms=%llu restart_in_ms=%llu", index,
           (int)pid, number, exit_code, (unsigned long long)lived_ms, (unsigned long long)delay_ms);
}

/* A drained worker exits 0; one that SIGTERM met before it had a handler had nothing to drain. */
static void on_expected_end(struct supervisor *s, unsigned index, pid_t pid, int status)
{
    bool is_clean = (WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
                    (WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    if (!is_clean && s->exit_status == 0)
        s->exit_status = 1;
    wh_log(is_clean ? WH_LOG_INFO : WH_LOG_ERROR, MODULE, "worker_ended",
           "index=%u pid=%d signal=%d exit_code=%d", index, (int)pid,
           WIFSIGNALED(status) ? WTERMSIG(status) : 0,
           WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

static void reap_workers(struct supervisor *s)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        for (unsigned i = 0; i < s->count; i++) {
            if (s->workers[i].pid != pid)
                continue;
            s->workers[i].pid = 0;
            metrics_close(s->metrics_shared, i);
            if (s->stops > 0)
                on_expected_end(s, i, pid, status);
            else
                on_unexpected_end(s, i, pid, status);
        }
    }
}

/* --- signals --- */

/* One log line for each line of `problems`. */
static void log_problems(struct wh_buf *problems)
{
    char *rest = NULL;
    wh_buf_cstr(problems);
    if (problems->len == 0)
        return;
    for (char *line = strtok_r(problems->ptr, "\n", &rest); line;
         line = strtok_r(NULL, "\n", &rest)) {
        bool is_warning = strncmp(line, "warning: ", 9) == 0;
        wh_log(is_warning ? WH_LOG_WARN : WH_LOG_ERROR, MODULE,
               is_warning ? "config_warning" : "config_error", "problem=%s",
               is_warning ? line + 9 : line);
    }
}

/* A bad file changes nothing anywhere; a good one is for the workers to load, and for new ones. */
static void reload(struct supervisor *s)
{
    wh_notify_reloading();
    struct config *config = NULL;
    struct wh_buf problems = {0};
    enum wh_err err = config_load(s->source, &config, &problems);
    log_problems(&problems);
    wh_buf_deinit(&problems);
    if (err == WH_OK) {
        config_free(s->reloaded);
        s->reloaded = config;
        s->config = config;
        if (!s->is_debugging)
            wh_log_set_level(config->log.level);
        signal_workers(s, SIGHUP);
        wh_log(WH_LOG_INFO, MODULE, "config_reloaded", "workers=%u", alive_count(s));
    } else {
        wh_log(WH_LOG_ERROR, MODULE, "config_kept", "problem=%s", wh_err_text(err));
    }
    metrics_add(s->metrics, err == WH_OK ? METRIC_CONFIG_RELOADS_OK : METRIC_CONFIG_RELOADS_FAILED,
                1);
    wh_notify_send("READY=1");
}

static void toggle_debug(struct supervisor *s)
{
    s->is_debugging = !s->is_debugging;
    wh_log_set_level(s->is_debugging ? WH_LOG_DEBUG : s->config->log.level);
    wh_log(WH_LOG_INFO, MODULE, "debug_log", "enabled=%d", s->is_debugging);
    signal_workers(s, SIGUSR1);
}

static void read_signals(struct supervisor *s)
{
    struct signalfd_siginfo info;
    while (read(s->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        switch (info.ssi_signo) {
        case SIGCHLD:
            reap_workers(s);
            break;
        case SIGHUP:
            if (s->stops == 0)
                reload(s);
            break;
        case SIGUSR1:
            toggle_debug(s);
            break;
        default:
            stop(s, info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM");
        }
    }
}

/* --- the loop --- */

static void act_on_deadlines(struct supervisor *s)
{
    uint64_t now_ms = wh_clock_monotonic_ms();
    if (s->kill_at_ms <= now_ms) {
        s->kill_at_ms = NEVER;
        wh_log(WH_LOG_ERROR, MODULE, "workers_killed", "count=%u", alive_count(s));
        signal_workers(s, SIGKILL);
    }
    if (s->watchdog_at_ms <= now_ms) {
        s->watchdog_at_ms = now_ms + s->watchdog_ms;
        wh_notify_send("WATCHDOG=1");
    }
}

/* Milliseconds until something is due, for poll. */
static int sleep_ms(const struct supervisor *s)
{
    uint64_t next_ms = s->kill_at_ms < s->watchdog_at_ms ? s->kill_at_ms : s->watchdog_at_ms;
    for (unsigned i = 0; i < s->count && s->stops == 0; i++)
        if (s->workers[i].pid == 0 && s->workers[i].restart_at_ms < next_ms)
            next_ms = s->workers[i].restart_at_ms;
    uint64_t now_ms = wh_clock_monotonic_ms();
    if (next_ms == NEVER)
        return -1;
    return next_ms <= now_ms ? 0 : next_ms - now_ms > 60000 ? 60000 : (int)(next_ms - now_ms);
}

static void watch(struct supervisor *s)
{
    while (s->stops == 0 || alive_count(s) > 0) {
        start_due_workers(s);
        struct pollfd fds[] = {{.fd = s->ready_pipe[0], .events = POLLIN},
                               {.fd = s->signal_fd, .events = POLLIN}};
        (void)poll(fds, 2, sleep_ms(s));
        /* Readiness first: who said it and died since must not count as ready when replaced. */
        read_ready(s);
        read_signals(s);
        act_on_deadlines(s);
    }
}

int supervisor_run(const struct wh_config_source *source,
                   const struct config *config,
                   worker_main_fn *worker_main)
{
    struct supervisor s = {.source = source,
                           .config = config,
                           .worker_main = worker_main,
                           .signal_fd = -1,
                           .ready_pipe = {-1, -1},
                           .kill_at_ms = NEVER};
    sigprocmask(SIG_SETMASK, NULL, &s.original_mask);
    raise_descriptor_limit();
    if (prepare(&s))
        watch(&s);
    else
        s.exit_status = 1;
    wh_log(WH_LOG_INFO, MODULE, "stopped", "exit_status=%d", s.exit_status);
    teardown(&s);
    return s.exit_status;
}
