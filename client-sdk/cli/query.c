/* presence, stats, history: one question, one answer. */
#include "client-sdk/cli/channels.h"
#include "client-sdk/cli/commands.h"
#include "client-sdk/cli/connection.h"
#include "client-sdk/cli/format.h"

struct query {
    struct connection connection;
    const char *channel;
    enum wh_err (*ask)(struct query *query);
    struct wh_position since;
    bool is_answered;
};

static void finish(struct query *query, const struct wh_error *error)
{
    query->is_answered = true;
    if (error)
        cli_connection_fail(&query->connection, query->channel, error);
    else
        loop_stop(&query->connection.app->loop, CLI_OK);
}

static void on_connected(struct connection *connection, bool is_first)
{
    struct query *query = connection->user;
    if (!is_first)
        return;
    enum wh_err err = query->ask(query);
    struct wh_error error = cli_connection_error(err);
    if (err)
        finish(query, &error);
}

static int run_query(struct query *query, struct app *app)
{
    static const struct connection_hooks hooks = {.connected = on_connected};
    int status = cli_connection_open(&query->connection, app, &hooks, query);
    if (status != CLI_OK)
        return status;
    status = cli_connection_run(&query->connection);
    return status == CLI_OK && app->loop.is_interrupted && !query->is_answered ? CLI_INTERRUPTED
                                                                               : status;
}

/* ---- presence ---- */

static void on_presence(struct wh_client *client,
                        const struct wh_error *error,
                        const struct wh_presence *presence,
                        void *user)
{
    struct query *query = user;
    (void)client;
    for (size_t i = 0; !error && i < presence->count; i++)
        output_client(&query->connection.app->out, "presence", query->channel,
                      &presence->clients[i]);
    finish(query, error);
}

static enum wh_err ask_presence(struct query *query)
{
    return wh_client_presence(query->connection.client, query->channel, NULL, on_presence, query);
}

int run_presence(struct app *app, int argc, char **argv)
{
    struct query query = {.channel = argv[1], .ask = ask_presence};
    (void)argc;
    return run_query(&query, app);
}

/* ---- stats ---- */

static void on_stats(struct wh_client *client,
                     const struct wh_error *error,
                     const struct wh_presence_stats *stats,
                     void *user)
{
    struct query *query = user;
    struct output *out = &query->connection.app->out;
    (void)client;
    if (!error && out->json) {
        struct wh_buf *line = output_object(out, "stats");
        output_text(line, "channel", query->channel);
        output_number(line, "clients", stats->clients);
        output_number(line, "users", stats->users);
        output_object_end(out, OUTPUT_DATA);
    } else if (!error) {
        struct wh_buf *line = output_line(out, OUTPUT_DATA, 0);
        wh_buf_printf(line, "%u client%s, %u user%s", stats->clients,
                      stats->clients == 1 ? "" : "s", stats->users, stats->users == 1 ? "" : "s");
        output_line_end(out, OUTPUT_DATA);
    }
    finish(query, error);
}

static enum wh_err ask_stats(struct query *query)
{
    return wh_client_presence_stats(query->connection.client, query->channel, NULL, on_stats,
                                    query);
}

int run_stats(struct app *app, int argc, char **argv)
{
    struct query query = {.channel = argv[1], .ask = ask_stats};
    (void)argc;
    return run_query(&query, app);
}

/* ---- history ---- */

static void write_position(struct query *query, const struct wh_position *position)
{
    struct output *out = &query->connection.app->out;
    if (out->json) {
        struct wh_buf *line = output_object(out, "position");
        output_text(line, "channel", query->channel);
        output_number(line, "offset", position->offset);
        output_text(line, "epoch", position->epoch);
        output_object_end(out, OUTPUT_DATA);
    } else {
        output_note(out, OUTPUT_NOTE, '.', "%s ends at %llu:%s", query->channel,
                    (unsigned long long)position->offset, position->epoch);
    }
}

static void on_history(struct wh_client *client,
                       const struct wh_error *error,
                       const struct wh_history *history,
                       void *user)
{
    struct query *query = user;
    (void)client;
    for (size_t i = 0; !error && i < history->count; i++) {
        struct wh_publication publication = history->publications[i];
        if (!publication.channel || !*publication.channel)
            publication.channel = query->channel;
        publication_write(query->connection.app, &publication, history->position.epoch, false);
    }
    if (!error)
        write_position(query, &history->position);
    finish(query, error);
}

static enum wh_err ask_history(struct query *query)
{
    const struct settings *settings = &query->connection.app->settings;
    struct wh_history_options options = WH_HISTORY_OPTIONS_INIT;
    options.limit = (int32_t)settings->limit;
    options.reverse = settings->reverse;
    options.since = settings->since ? &query->since : NULL;
    return wh_client_history(query->connection.client, query->channel, &options, NULL, on_history,
                             query);
}

int run_history(struct app *app, int argc, char **argv)
{
    struct query query = {.channel = argv[1], .ask = ask_history};
    struct wh_buf problem = {0};
    int status = CLI_OK;
    (void)argc;
    if (app->settings.format && format_check(app->settings.format, &problem))
        status = app_usage(app, "%s", wh_buf_cstr(&problem));
    else if (app->settings.since && position_parse(app->settings.since, &query.since))
        status = app_usage(app, "--since takes OFFSET:EPOCH, not \"%s\"", app->settings.since);
    wh_buf_deinit(&problem);
    return status == CLI_OK ? run_query(&query, app) : status;
}
