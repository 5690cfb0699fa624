/* Everything that happens is what was asked for here, so all of it is on standard output. */
#include "client-sdk/cli/channels.h"

struct watch_run {
    struct connection connection;
    struct channels channels;
};

/* ---- what the server subscribes this client to ---- */

static void on_subscribed(struct wh_client *client,
                          const struct wh_subscribed *subscribed,
                          void *user)
{
    struct connection *connection = user;
    struct output *out = &connection->app->out;
    (void)client;
    channels_write_subscribed(connection, subscribed, false);
    if (subscribed->recovered && !out->json)
        output_note(out, connection->stream, '+', "recovering %s", subscribed->channel);
}

static void on_subscribing(struct wh_client *client, const char *channel, void *user)
{
    (void)client;
    channels_write_state(user, "subscribing", channel, NULL);
}

static void on_unsubscribed(struct wh_client *client, const char *channel, void *user)
{
    (void)client;
    channels_write_state(user, "unsubscribed", channel, NULL);
}

static void on_publication(struct wh_client *client,
                           const struct wh_publication *publication,
                           void *user)
{
    struct connection *connection = user;
    (void)client;
    output_publication(&connection->app->out, publication, NULL, true);
}

static void on_join(struct wh_client *client,
                    const char *channel,
                    const struct wh_client_info *info,
                    void *user)
{
    struct connection *connection = user;
    (void)client;
    output_client(&connection->app->out, "join", channel, info);
}

static void on_leave(struct wh_client *client,
                     const char *channel,
                     const struct wh_client_info *info,
                     void *user)
{
    struct connection *connection = user;
    (void)client;
    output_client(&connection->app->out, "leave", channel, info);
}

/* ---- the command ---- */

int run_watch(struct app *app, int argc, char **argv)
{
    static const struct wh_client_events events = {
        WH_CLIENT_EVENTS_INIT,
        .server_subscribed = on_subscribed,
        .server_subscribing = on_subscribing,
        .server_unsubscribed = on_unsubscribed,
        .server_publication = on_publication,
        .server_join = on_join,
        .server_leave = on_leave,
    };
    static const struct connection_hooks hooks = {.events = &events};
    static struct watch_run run; /* large */
    struct wh_sub_options options = WH_SUB_OPTIONS_INIT;
    int status = cli_connection_open(&run.connection, app, &hooks, &run);
    if (status != CLI_OK)
        return status;
    run.connection.stream = OUTPUT_DATA;
    run.connection.is_patient = true;
    options.recoverable = true;
    options.join_leave = true;
    status = channels_open(&run.channels, &run.connection, options, argc, argv);
    if (status == CLI_OK)
        return cli_connection_run(&run.connection);
    cli_connection_close(&run.connection);
    return status;
}
