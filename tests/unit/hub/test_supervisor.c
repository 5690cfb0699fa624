/*
 * Each test runs supervisor_run in a child process with a small worker and
 * follows both by what they log into a pipe.  Every wait is for a line (or the
 * end of the pipe, when all processes are gone) and gives up after WAIT_MS.
 */
#include "hub/supervisor.h"

#include "common/base/log.h"
#include "hub/listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { WAIT_MS = 20000, LINE_SIZE = 1024 };

struct hub {
    pid_t pid;
    int log_fd;
    char config_path[64]; /* what a reload reads */
    int gate[2];          /* workers of gated_worker wait for a byte from here */
    char line[LINE_SIZE];
};

static struct hub hub;
static int log_write_fd;

/* --- workers --- */

static sigset_t worker_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    return set;
}

/* Logs every signal; ends with `status` at the SIGTERM number `terms` (never when 0). */
static int obey(const struct worker_context *context, int terms, int status)
{
    const sigset_t set = worker_signals();
    alarm(2 * WAIT_MS / 1000); /* a failed test must leave no process behind */
    worker_ready(context);
    for (int seen = 0;;) {
        int number = 0;
        sigwait(&set, &number);
        wh_log(WH_LOG_INFO, "test", "got", "signal=%d reloads=%lld failed=%lld spread=%llu", number,
               (long long)metrics_total(context->metrics_shared, METRIC_CONFIG_RELOADS_OK),
               (long long)metrics_total(context->metrics_shared, METRIC_CONFIG_RELOADS_FAILED),
               (unsigned long long)context->config->drain.spread_ms);
        if (number == SIGTERM && ++seen == terms)
            return status;
    }
}

static int good_worker(const struct worker_context *context)
{
    return obey(context, 1, 0);
}

static int slow_worker(const struct worker_context *context)
{
    return obey(context, 2, 0);
}

static int deaf_worker(const struct worker_context *context)
{
    return obey(context, 0, 0);
}

static int crashing_worker(const struct worker_context *context)
{
    worker_ready(context);
    return 1;
}

static int hopeless_worker(const struct worker_context *context)
{
    return context->index == 0 ? WORKER_CANNOT_START : good_worker(context);
}

/* Takes no connection, but its replacement does. */
static int accepting_worker(const struct worker_context *context)
{
    if (metrics_total(context->metrics_shared, METRIC_WORKER_RESTARTS) > 0) {
        struct pollfd waiting = {.fd = context->listen_fds[0], .events = POLLIN};
        (void)poll(&waiting, 1, WAIT_MS);
        int fd = accept4(context->listen_fds[0], NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 || write(fd, "!", 1) != 1)
            return 1;
        close(fd);
    }
    return good_worker(context);
}

static int gated_worker(const struct worker_context *context)
{
    char byte;
    wh_log(WH_LOG_INFO, "test", "at_gate", "index=%u", context->index);
    if (read(hub.gate[0], &byte, 1) != 1)
        return 1;
    return good_worker(context);
}

/* --- running and following a hub --- */

static void on_log_line(void *user, const char *line, size_t len)
{
    (void)user;
    if (write(log_write_fd, line, len) < 0)
        _exit(99);
}

static struct config *config_with(uint64_t workers)
{
    static char address[] = "127.0.0.1";
    static struct config config;
    memset(&config, 0, sizeof config);
    config.http_server.address = address;
    config.workers = workers;
    config.drain.spread_ms = 10000;
    config.shutdown.timeout_ms = 30000;
    config.log.level = WH_LOG_INFO;
    return &config;
}

static void write_config(const char *text)
{
    FILE *file = fopen(hub.config_path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void start(const struct config *config, worker_main_fn *worker_main)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(pipe(hub.gate), 0);
    hub.log_fd = fds[0];
    fflush(NULL);
    hub.pid = fork();
    assert_true(hub.pid >= 0);
    if (hub.pid == 0) {
        const struct wh_config_source source = {.path = hub.config_path};
        const sigset_t set = worker_signals(); /* so that workers can sigwait for them */
        sigprocmask(SIG_BLOCK, &set, NULL);
        close(fds[0]);
        log_write_fd = fds[1];
        wh_log_setup("test", WH_LOG_LOGFMT);
        wh_log_set_level(WH_LOG_INFO);
        wh_log_set_sink(on_log_line, NULL);
        _exit(supervisor_run(&source, config, worker_main));
    }
    close(fds[1]);
    close(hub.gate[0]);
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* The next line of the log in hub.line; false at its end, when all processes are gone. */
static bool next_line(void)
{
    uint64_t give_up_ms = now_ms() + WAIT_MS;
    for (size_t len = 0; len + 1 < sizeof hub.line; len++) {
        struct pollfd waiting = {.fd = hub.log_fd, .events = POLLIN};
        uint64_t left = give_up_ms > now_ms() ? give_up_ms - now_ms() : 0;
        if (poll(&waiting, 1, (int)left) != 1)
            fail_msg("nothing more in the log");
        ssize_t got = read(hub.log_fd, hub.line + len, 1);
        if (got <= 0)
            return false;
        if (hub.line[len] == '\n') {
            hub.line[len] = '\0';
            return true;
        }
    }
    fail_msg("a line without end");
    return false;
}

/* Skip to the first line that has both texts. */
static const char *expect(const char *text, const char *also)
{
    while (next_line())
        if (strstr(hub.line, text) && strstr(hub.line, also))
            return hub.line;
    fail_msg("the log ended before: %s %s", text, also);
    return NULL;
}

/* The number after " name=" in the current line. */
static long field(const char *name)
{
    char key[64];
    snprintf(key, sizeof key, " %s=", name);
    const char *at = strstr(hub.line, key);
    assert_non_null(at);
    return strtol(at + strlen(key), NULL, 10);
}

static void tell(int number)
{
    assert_int_equal(kill(hub.pid, number), 0);
}

/* The hub's exit status, once its log has ended: no process is left then. */
static int finish(void)
{
    while (next_line())
        continue;
    int status = -1;
    assert_int_equal(waitpid(hub.pid, &status, 0), hub.pid);
    close(hub.log_fd);
    close(hub.gate[1]);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int connect_to(long port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* --- tests --- */

static void sigterm_and_sigint_end_all_workers_and_exit_0(void **state)
{
    (void)state;
    static const int signals[] = {SIGTERM, SIGINT};
    for (size_t i = 0; i < 2; i++) {
        start(config_with(3), good_worker);
        expect("event=ready", "workers=3");
        tell(signals[i]);
        for (int worker = 0; worker < 3; worker++)
            expect("event=worker_ended", "exit_code=0");
        assert_int_equal(finish(), 0);
    }
}

static void a_killed_worker_is_replaced_at_once(void **state)
{
    (void)state;
    start(config_with(2), good_worker);
    expect("event=worker_started", "index=0");
    long first = field("pid");
    expect("event=ready", "");
    assert_int_equal(kill((pid_t)first, SIGKILL), 0);
    expect("event=worker_died", "signal=9");
    assert_int_equal(field("pid"), first);
    assert_int_equal(field("restart_in_ms"), 0);
    expect("event=worker_started", "index=0");
    assert_int_not_equal(field("pid"), first);
    tell(SIGTERM);
    assert_int_equal(finish(), 0);
}

static void a_connection_that_waits_for_a_crashed_worker_is_met_by_its_replacement(void **state)
{
    (void)state;
    start(config_with(1), accepting_worker);
    expect("event=listening", "");
    long port = field("port");
    expect("event=worker_started", "");
    long worker = field("pid");
    expect("event=ready", "");
    int client = connect_to(port);
    assert_int_equal(kill((pid_t)worker, SIGKILL), 0);
    expect("event=worker_started", "");
    struct pollfd waiting = {.fd = client, .events = POLLIN};
    assert_int_equal(poll(&waiting, 1, WAIT_MS), 1);
    char byte = 0;
    assert_int_equal(read(client, &byte, 1), 1);
    assert_int_equal(byte, '!');
    close(client);
    tell(SIGTERM);
    assert_int_equal(finish(), 0);
}

static void the_second_sigterm_is_passed_on_and_ends_slow_workers(void **state)
{
    (void)state;
    start(config_with(2), slow_worker);
    expect("event=ready", "");
    tell(SIGTERM);
    expect("event=got", "signal=15");
    expect("event=got", "signal=15");
    tell(SIGTERM);
    expect("event=worker_ended", "exit_code=0");
    expect("event=worker_ended", "exit_code=0");
    assert_int_equal(finish(), 0);
}

static void workers_that_do_not_end_are_killed_and_the_exit_status_is_1(void **state)
{
    (void)state;
    for (int second_stop = 0; second_stop <= 1; second_stop++) {
        struct config *config = config_with(2);
        if (!second_stop)
            config->shutdown.timeout_ms = 100;
        start(config, deaf_worker);
        expect("event=ready", "");
        tell(SIGTERM);
        expect("event=got", "signal=15");
        expect("event=got", "signal=15");
        if (second_stop)
            tell(SIGTERM);
        expect("event=workers_killed", "count=2");
        expect("event=worker_ended", "signal=9");
        assert_int_equal(finish(), 1);
    }
}

static void the_drain_is_bounded_by_delay_spread_and_timeout(void **state)
{
    (void)state;
    static const struct {
        uint64_t delay_ms, spread_ms, timeout_ms;
        long kill_in_ms;
    } cases[] = {{0, 10000, 30000, 13500}, {5000, 1000, 30000, 9500}, {5000, 30000, 30000, 30000}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct config *config = config_with(1);
        config->drain.delay_ms = cases[i].delay_ms;
        config->drain.spread_ms = cases[i].spread_ms;
        config->shutdown.timeout_ms = cases[i].timeout_ms;
        start(config, good_worker);
        expect("event=ready", "");
        tell(SIGTERM);
        expect("event=stopping", "");
        assert_int_equal(field("kill_in_ms"), cases[i].kill_in_ms);
        assert_int_equal(finish(), 0);
    }
}

static void a_busy_port_is_told_and_ends_the_program(void **state)
{
    (void)state;
    struct listener other;
    struct wh_buf problem = {0};
    char address[LISTENER_ADDRESS_SIZE];
    uint16_t port = 0;
    assert_int_equal(listener_open("127.0.0.1", 0, &other, 1, &problem), WH_OK);
    listener_name(other.fds[0], address, &port);
    struct config *config = config_with(2);
    config->http_server.port = port;
    start(config, good_worker);
    expect("event=listen_failed", "another program listens there");
    char where[64];
    snprintf(where, sizeof where, "127.0.0.1:%u", port);
    assert_non_null(strstr(hub.line, where));
    assert_int_equal(finish(), 1);
    listener_close(&other);
}

static void a_crash_loop_backs_off(void **state)
{
    (void)state;
    start(config_with(1), crashing_worker);
    expect("event=worker_died", "exit_code=1");
    assert_int_equal(field("restart_in_ms"), 0);
    for (long bound = 50; bound <= 200; bound *= 2) {
        expect("event=worker_died", "exit_code=1");
        assert_in_range(field("restart_in_ms"), 50, 50 + bound);
    }
    tell(SIGTERM);
    assert_int_equal(finish(), 0);
}

static void a_worker_that_cannot_start_ends_the_program_with_its_status(void **state)
{
    (void)state;
    start(config_with(2), hopeless_worker);
    expect("event=stopping", "cannot start");
    assert_int_equal(finish(), WORKER_CANNOT_START);
}

static void workers_die_with_a_killed_supervisor(void **state)
{
    (void)state;
    start(config_with(3), deaf_worker);
    expect("event=ready", "");
    tell(SIGKILL);
    while (next_line()) /* the pipe ends when the last worker that could write to it is gone */
        continue;
    int status = 0;
    assert_int_equal(waitpid(hub.pid, &status, 0), hub.pid);
    assert_true(WIFSIGNALED(status));
    close(hub.log_fd);
    close(hub.gate[1]);
}

static void a_bad_reload_changes_nothing_and_a_good_one_reaches_the_workers(void **state)
{
    (void)state;
    start(config_with(1), good_worker);
    expect("event=worker_started", "");
    long worker = field("pid");
    expect("event=ready", "");
    write_config("drain: { spread: soon }\nworkerz: 2\n");
    tell(SIGHUP);
    expect("event=config_error", "soon");
    expect("event=config_error", "workerz");
    expect("event=config_kept", "");
    tell(SIGUSR1);
    expect("event=got", "signal="); /* the SIGHUP was not passed on: the next signal is another */
    assert_int_equal(field("signal"), SIGUSR1);
    assert_int_equal(field("failed"), 1);
    assert_int_equal(field("reloads"), 0);

    write_config("drain: { spread: 1s }\n");
    tell(SIGHUP);
    expect("event=got", "signal=1 ");
    tell(SIGUSR1);
    expect("event=got", "reloads=1");
    assert_int_equal(kill((pid_t)worker, SIGKILL), 0);
    expect("event=worker_started", "");
    tell(SIGUSR1);
    expect("event=got", "signal=10");
    assert_int_equal(field("spread"), 1000); /* the replacement has the new configuration */
    tell(SIGTERM);
    assert_int_equal(finish(), 0);
}

static void signals_to_a_worker_that_still_starts_are_not_lost(void **state)
{
    (void)state;
    start(config_with(1), gated_worker);
    expect("event=at_gate", "");
    tell(SIGUSR1);
    expect("event=debug_log", "enabled=1");
    assert_int_equal(write(hub.gate[1], "x", 1), 1);
    expect("event=got", "signal=10");
    tell(SIGTERM);
    assert_int_equal(finish(), 0);
}

static void expect_datagram(int fd, const char *start_of_text)
{
    char text[128] = "";
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&waiting, 1, WAIT_MS), 1);
    assert_true(recv(fd, text, sizeof text - 1, 0) > 0);
    assert_memory_equal(text, start_of_text, strlen(start_of_text));
}

static void systemd_is_told_of_readiness_reload_and_stop(void **state)
{
    (void)state;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t len = sizeof address;
    /* Binding no name at all makes the kernel choose an abstract one. */
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address.sun_family), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    char name[sizeof address.sun_path + 2];
    snprintf(name, sizeof name, "@%.*s", (int)(len - offsetof(struct sockaddr_un, sun_path) - 1),
             address.sun_path + 1);
    setenv("NOTIFY_SOCKET", name, 1);
    start(config_with(2), good_worker);
    unsetenv("NOTIFY_SOCKET");
    expect_datagram(fd, "READY=1");
    write_config("drain: { spread: 1s }\n");
    tell(SIGHUP);
    expect_datagram(fd, "RELOADING=1\nMONOTONIC_USEC=");
    expect_datagram(fd, "READY=1");
    tell(SIGTERM);
    expect_datagram(fd, "STOPPING=1");
    assert_int_equal(finish(), 0);
    close(fd);
}

static int make_config_file(void **state)
{
    (void)state;
    snprintf(hub.config_path, sizeof hub.config_path, "/tmp/wirehub-supervisor-XXXXXX");
    int fd = mkstemp(hub.config_path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_config_file(void **state)
{
    (void)state;
    return unlink(hub.config_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sigterm_and_sigint_end_all_workers_and_exit_0),
        cmocka_unit_test(a_killed_worker_is_replaced_at_once),
        cmocka_unit_test(a_connection_that_waits_for_a_crashed_worker_is_met_by_its_replacement),
        cmocka_unit_test(the_second_sigterm_is_passed_on_and_ends_slow_workers),
        cmocka_unit_test(workers_that_do_not_end_are_killed_and_the_exit_status_is_1),
        cmocka_unit_test(the_drain_is_bounded_by_delay_spread_and_timeout),
        cmocka_unit_test(a_busy_port_is_told_and_ends_the_program),
        cmocka_unit_test(a_crash_loop_backs_off),
        cmocka_unit_test(a_worker_that_cannot_start_ends_the_program_with_its_status),
        cmocka_unit_test(workers_die_with_a_killed_supervisor),
        cmocka_unit_test(a_bad_reload_changes_nothing_and_a_good_one_reaches_the_workers),
        cmocka_unit_test(signals_to_a_worker_that_still_starts_are_not_lost),
        cmocka_unit_test(systemd_is_told_of_readiness_reload_and_stop),
    };
    return cmocka_run_group_tests(tests, make_config_file, remove_config_file);
}
