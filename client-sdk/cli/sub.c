#include "client-sdk/cli/channels.h"
#include "client-sdk/cli/format.h"
#include "common/base/clock.h"

#include <stdio.h>

struct sub_run {
    struct connection connection;
    struct channels channels;
    struct loop_timer wait;
    uint64_t count;
};

/* Payload and format are bytes for programs: they are not made safe for terminals. */
static void write_formatted(struct app *app, const struct wh_publication *publication, bool is_live)
{
    struct wh_buf data = {0}, line = {0};
    output_raw(&data, &publication->data);
    struct format_fields fields = {
        .time_ms = publication->time_ms || !is_live ? publication->time_ms : wh_clock_wall_ms(),
        .channel = publication->channel,
        .offset = publication->offset,
        .data = wh_buf_slice(&data),
        .user = publication->info ? publication->info->user : NULL,
        .client = publication->info ? publication->info->client : NULL,
    };
    format_write(app->settings.raw ? "%d" : app->settings.format, &fields, &line);
    wh_buf_append_char(&line, '\n');
    if (wh_buf_error(&line) == WH_OK && wh_buf_error(&data) == WH_OK && !app->out.muted)
        fwrite(line.ptr, 1, line.len, stdout);
    wh_buf_deinit(&data);
    wh_buf_deinit(&line);
}

void publication_write(struct app *app,
                       const struct wh_publication *publication,
                       const char *epoch,
                       bool is_live)
{
    if (!app->out.json && (app->settings.raw || app->settings.format))
        write_formatted(app, publication, is_live);
    else
        output_publication(&app->out, publication, epoch, is_live);
}

static void on_publication(struct channels *channels,
                           struct channel *channel,
                           const struct wh_publication *publication)
{
    struct sub_run *run = channels->user;
    struct app *app = run->connection.app;
    publication_write(app, publication, channel->epoch, true);
    if (++run->count == app->settings.count)
        loop_stop(&app->loop, CLI_OK);
}

static void on_wait_over(void *user)
{
    struct sub_run *run = user;
    struct app *app = run->connection.app;
    if (!app->out.quiet)
        output_note(&app->out, OUTPUT_NOTE, '.', "%llu publications in the time of --wait",
                    (unsigned long long)run->count);
    loop_stop(&app->loop, CLI_TIMEOUT);
}

/* Where a later --since goes on. */
static void tell_positions(struct sub_run *run)
{
    for (size_t i = 0; i < run->channels.count; i++) {
        const struct channel *channel = &run->channels.items[i];
        struct output *out = &run->connection.app->out;
        if (channel->epoch[0] == '\0')
            continue;
        if (out->json) {
            struct wh_buf *line = output_object(out, "position");
            output_text(line, "channel", channel->name);
            output_number(line, "offset", channel->offset);
            output_text(line, "epoch", channel->epoch);
            output_object_end(out, OUTPUT_NOTE);
        } else {
            output_note(out, OUTPUT_NOTE, '.', "go on with --since %llu:%s %s",
                        (unsigned long long)channel->offset, channel->epoch, channel->name);
        }
    }
}

static int check(struct app *app, int argc, struct wh_position *since)
{
    const struct settings *settings = &app->settings;
    struct wh_buf problem = {0};
    int status = CLI_OK;
    if (settings->format && format_check(settings->format, &problem))
        status = app_usage(app, "%s", wh_buf_cstr(&problem));
    else if (settings->since && position_parse(settings->since, since))
        status = app_usage(app, "--since takes OFFSET:EPOCH, not \"%s\"", settings->since);
    else if ((settings->since || settings->channel_token) && argc > 1)
        status = app_usage(app, "--since and --channel-token are for one channel");
    wh_buf_deinit(&problem);
    return status;
}

int run_sub(struct app *app, int argc, char **argv)
{
    static const struct connection_hooks hooks = {0};
    static struct sub_run run; /* large */
    struct wh_position since;
    const struct settings *settings = &app->settings;
    struct wh_sub_options options = WH_SUB_OPTIONS_INIT;
    int status = check(app, argc, &since);
    if (status == CLI_OK)
        status = cli_connection_open(&run.connection, app, &hooks, &run);
    if (status != CLI_OK)
        return status;
    options.recoverable = settings->recover || settings->since;
    options.since = settings->since ? &since : NULL;
    options.join_leave = settings->join_leave;
    options.token = settings->channel_token;
    run.channels.publication = on_publication;
    run.channels.must_recover = settings->recover;
    run.channels.with_presence = settings->presence;
    run.channels.user = &run;
    status = channels_open(&run.channels, &run.connection, options, argc, argv);
    if (status != CLI_OK) {
        cli_connection_close(&run.connection);
        return status;
    }
    run.wait = (struct loop_timer){.fire = on_wait_over, .user = &run};
    loop_add_timer(&app->loop, &run.wait);
    if (settings->wait_ms > 0)
        loop_timer_set(&run.wait, settings->wait_ms * 1000);
    status = cli_connection_run(&run.connection);
    if (settings->recover && status != CLI_LOST)
        tell_positions(&run);
    return status;
}
