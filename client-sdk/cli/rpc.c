#include "client-sdk/cli/commands.h"
#include "client-sdk/cli/connection.h"
#include "client-sdk/cli/payload_text.h"
#include "common/base/clock.h"
#include "common/base/histogram.h"

#include <stdio.h>

struct rpc_run {
    struct connection connection;
    const char *method;
    struct wh_data data;
    uint64_t left, started_us;
    struct wh_histogram times; /* µs */
};

static void call(struct rpc_run *run);

static void write_result(struct app *app, const struct wh_data *data, uint64_t took_us)
{
    struct wh_buf *line;
    if (app->out.json) {
        line = output_object(&app->out, "result");
        output_data(line, "data", data);
        if (app->settings.timing)
            output_number(line, "us", took_us);
        output_object_end(&app->out, OUTPUT_DATA);
        return;
    }
    if (app->settings.timing)
        output_note(&app->out, OUTPUT_NOTE, '.', "%.3f ms", (double)took_us / 1000);
    line = output_line(&app->out, OUTPUT_DATA, 0);
    output_payload(&app->out, line, data);
    output_line_end(&app->out, OUTPUT_DATA);
}

static void on_result(struct wh_client *client,
                      const struct wh_error *error,
                      const struct wh_data *data,
                      void *user)
{
    struct rpc_run *run = user;
    struct app *app = run->connection.app;
    uint64_t took_us = wh_clock_monotonic_us() - run->started_us;
    (void)client;
    if (error) {
        cli_connection_fail(&run->connection, run->method, error);
        return;
    }
    wh_histogram_record(&run->times, took_us);
    write_result(app, data, took_us);
    if (--run->left == 0)
        loop_stop(&app->loop, CLI_OK);
    else if (!app->loop.is_over)
        call(run);
}

static void call(struct rpc_run *run)
{
    run->started_us = wh_clock_monotonic_us();
    enum wh_err err =
        wh_client_rpc(run->connection.client, run->method, run->data, NULL, on_result, run);
    struct wh_error error = cli_connection_error(err);
    if (err)
        cli_connection_fail(&run->connection, run->method, &error);
}

static void on_connected(struct connection *connection, bool is_first)
{
    if (is_first)
        call(connection->user);
}

static int read_parameter(struct rpc_run *run, struct app *app, const char *text, struct wh_buf *at)
{
    struct wh_slice bytes = wh_slice_from_str(text);
    if (!text)
        return CLI_OK; /* none */
    if (strcmp(text, "-") == 0) {
        if (app_read_file(app, "-", PAYLOAD_BYTES_MAX, &bytes))
            return CLI_ERROR;
        if (!app->settings.as_bytes && bytes.len > 0 && bytes.ptr[bytes.len - 1] == '\n')
            bytes.len--;
    }
    return payload_make(app, bytes, at, &run->data) ? CLI_USAGE : CLI_OK;
}

static void tell_times(struct rpc_run *run)
{
    static const double percents[] = {50, 90, 99};
    struct wh_buf text = {0};
    if (!run->connection.app->settings.timing || run->times.count < 2 ||
        run->connection.app->out.json)
        return;
    wh_buf_printf(&text, "%llu calls:", (unsigned long long)run->times.count);
    for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++)
        wh_buf_printf(&text, " p%.0f %.3f", percents[i],
                      (double)wh_histogram_percentile(&run->times, percents[i]) / 1000);
    wh_buf_printf(&text, " max %.3f ms", (double)run->times.max / 1000);
    output_note(&run->connection.app->out, OUTPUT_NOTE, '.', "%s", wh_buf_cstr(&text));
    wh_buf_deinit(&text);
}

int run_rpc(struct app *app, int argc, char **argv)
{
    static const struct connection_hooks hooks = {.connected = on_connected};
    static struct rpc_run run;
    struct wh_buf parameter = {0};
    if (app->settings.as_string && app->settings.as_bytes)
        return app_usage(app, "--string and --bytes exclude each other");
    int status = read_parameter(&run, app, argc > 1 ? argv[2] : NULL, &parameter);
    if (status == CLI_OK)
        status = cli_connection_open(&run.connection, app, &hooks, &run);
    if (status == CLI_OK) {
        run.method = argv[1];
        run.left = app->settings.repeat;
        status = cli_connection_run(&run.connection);
        tell_times(&run);
        if (status == CLI_OK && run.left > 0 && app->loop.is_interrupted)
            status = CLI_INTERRUPTED;
    }
    wh_buf_deinit(&parameter);
    return status;
}
