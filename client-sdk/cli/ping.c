#include "client-sdk/cli/commands.h"
#include "client-sdk/cli/connection.h"
#include "common/base/histogram.h"

struct ping_run {
    struct connection connection;
    struct loop_timer next;
    uint64_t sent, sum_us, min_us;
    bool is_waiting;
    struct wh_histogram times; /* µs */
};

static void write_pong(struct ping_run *run, uint32_t rtt_us)
{
    struct output *out = &run->connection.app->out;
    if (out->json) {
        struct wh_buf *line = output_object(out, "pong");
        output_number(line, "seq", run->sent);
        output_number(line, "rtt_us", rtt_us);
        output_object_end(out, OUTPUT_DATA);
    } else {
        struct wh_buf *line = output_line(out, OUTPUT_DATA, -1);
        wh_buf_printf(line, "pong %llu %.3f ms", (unsigned long long)run->sent,
                      (double)rtt_us / 1000);
        output_line_end(out, OUTPUT_DATA);
    }
}

static void on_pong(struct wh_client *client, const struct wh_error *error, void *user)
{
    struct ping_run *run = user;
    const struct settings *settings = &run->connection.app->settings;
    struct wh_client_stats stats = {.size = sizeof(stats)};
    run->is_waiting = false;
    if (error && error->err == WH_ECONNLOST && !settings->no_reconnect) {
        loop_timer_set(&run->next, settings->interval_ms * 1000);
        return; /* that it was lost has been told; when it is back we go on */
    }
    if (error) {
        cli_connection_fail(&run->connection, "ping", error);
        return;
    }
    wh_client_stats(client, &stats);
    write_pong(run, stats.rtt_us);
    wh_histogram_record(&run->times, stats.rtt_us);
    run->sum_us += stats.rtt_us;
    if (run->times.count == 1 || stats.rtt_us < run->min_us)
        run->min_us = stats.rtt_us;
    if (run->times.count == settings->count)
        loop_stop(&run->connection.app->loop, CLI_OK);
    else
        loop_timer_set(&run->next, settings->interval_ms * 1000);
}

static void on_next(void *user)
{
    struct ping_run *run = user;
    if (run->is_waiting || wh_client_state(run->connection.client) != WH_CLIENT_CONNECTED)
        return; /* on_connected goes on */
    run->sent++;
    run->is_waiting = true;
    enum wh_err err = wh_client_ping(run->connection.client, NULL, on_pong, run);
    struct wh_error error = cli_connection_error(err);
    if (err)
        cli_connection_fail(&run->connection, "ping", &error);
}

static void on_connected(struct connection *connection, bool is_first)
{
    (void)is_first;
    on_next(connection->user);
}

static void tell(struct ping_run *run)
{
    struct output *out = &run->connection.app->out;
    uint64_t count = run->times.count;
    double mean_us = count > 0 ? (double)run->sum_us / (double)count : 0;
    uint64_t p99_us = wh_histogram_percentile(&run->times, 99);
    if (count == 0)
        return;
    if (out->json) {
        struct wh_buf *line = output_object(out, "summary");
        output_number(line, "count", count);
        output_number(line, "min_us", run->min_us);
        output_fraction(line, "mean_us", mean_us);
        output_number(line, "p99_us", p99_us);
        output_number(line, "max_us", run->times.max);
        output_object_end(out, OUTPUT_DATA);
    } else {
        output_note(out, OUTPUT_NOTE, '.', "%llu: min %.3f, mean %.3f, p99 %.3f, max %.3f ms",
                    (unsigned long long)count, (double)run->min_us / 1000, mean_us / 1000,
                    (double)p99_us / 1000, (double)run->times.max / 1000);
    }
}

int run_ping(struct app *app, int argc, char **argv)
{
    static const struct connection_hooks hooks = {.connected = on_connected};
    static struct ping_run run;
    (void)argc;
    (void)argv;
    int status = cli_connection_open(&run.connection, app, &hooks, &run);
    if (status != CLI_OK)
        return status;
    run.next = (struct loop_timer){.fire = on_next, .user = &run};
    loop_add_timer(&app->loop, &run.next);
    status = cli_connection_run(&run.connection);
    tell(&run);
    return status;
}
