#include "client-sdk/cli/channels.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { UNAUTHORIZED = 1 };

enum wh_err position_parse(const char *text, struct wh_position *out_position)
{
    char *end;
    errno = 0;
    unsigned long long offset = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || errno != 0 || (*end != '\0' && *end != ':'))
        return WH_EFORMAT;
    out_position->offset = offset;
    out_position->epoch = *end == ':' ? end + 1 : "";
    return WH_OK;
}

/* ---- telling ---- */

static void subscribed_object(struct connection *connection, const struct wh_subscribed *subscribed)
{
    struct output *out = &connection->app->out;
    struct wh_buf *line = output_object(out, "subscribed");
    output_text(line, "channel", subscribed->channel);
    output_bool(line, "recoverable", subscribed->recoverable);
    if (subscribed->positioned || subscribed->recoverable) {
        output_number(line, "offset", subscribed->position.offset);
        output_text(line, "epoch", subscribed->position.epoch);
    }
    output_bool(line, "was_recovering", subscribed->was_recovering);
    output_bool(line, "recovered", subscribed->recovered);
    output_data(line, "data", &subscribed->data);
    output_object_end(out, connection->stream);
}

void channels_write_subscribed(struct connection *connection,
                               const struct wh_subscribed *subscribed,
                               bool was_subscribed)
{
    struct output *out = &connection->app->out;
    bool is_quiet = connection->stream == OUTPUT_NOTE && connection->app->settings.verbose == 0;
    if (out->json) {
        subscribed_object(connection, subscribed);
    } else if (wh_subscribed_lost(subscribed)) {
        output_note(out, connection->stream, '!', "publications in %s were missed for good",
                    subscribed->channel);
    } else if (!subscribed->recovered && (was_subscribed || !is_quiet)) {
        output_note(out, connection->stream, '+', "subscribed to %s", subscribed->channel);
    }
}

void channels_write_state(struct connection *connection,
                          const char *type,
                          const char *channel,
                          const struct wh_transition *why)
{
    struct output *out = &connection->app->out;
    char mark = strcmp(type, "unsubscribed") == 0 ? '!' : '~';
    if (out->json) {
        struct wh_buf *line = output_object(out, type);
        output_text(line, "channel", channel);
        if (why) {
            output_number(line, "code", why->code);
            output_text(line, "reason", why->reason);
        }
        output_object_end(out, connection->stream);
    } else if (why) {
        output_note(out, connection->stream, mark, "%s %s (%u %s)", type, channel, why->code,
                    why->reason);
    } else {
        output_note(out, connection->stream, mark, "%s %s", type, channel);
    }
}

/* ---- events ---- */

static void on_presence(struct wh_client *client,
                        const struct wh_error *error,
                        const struct wh_presence *presence,
                        void *user)
{
    struct channel *channel = user;
    struct connection *connection = channel->all->connection;
    (void)client;
    if (error) {
        cli_connection_fail(connection, "presence", error);
        return;
    }
    for (size_t i = 0; i < presence->count; i++)
        output_client(&connection->app->out, "presence", channel->name, &presence->clients[i]);
}

static void ask_presence(struct channel *channel)
{
    enum wh_err err = wh_sub_presence(channel->sub, NULL, on_presence, channel);
    struct wh_error error = cli_connection_error(err);
    if (err)
        cli_connection_fail(channel->all->connection, "presence", &error);
}

static void on_subscribing(struct wh_sub *sub, const struct wh_transition *why, void *user)
{
    struct channel *channel = user;
    struct connection *connection = channel->all->connection;
    (void)sub;
    /* Lost connections are told once, not once a channel. */
    if (connection->stream == OUTPUT_DATA || connection->app->settings.verbose > 0)
        channels_write_state(connection, "subscribing", channel->name, why);
}

static void on_subscribed(struct wh_sub *sub, const struct wh_subscribed *subscribed, void *user)
{
    struct channel *channel = user;
    struct connection *connection = channel->all->connection;
    (void)sub;
    channels_write_subscribed(connection, subscribed, channel->was_subscribed);
    channel->is_catching_up = subscribed->recovered;
    channel->recovered_count = 0;
    if (subscribed->positioned || subscribed->recoverable) {
        snprintf(channel->epoch, sizeof(channel->epoch), "%s", subscribed->position.epoch);
        if (!subscribed->recovered)
            channel->offset = subscribed->position.offset;
    }
    if (wh_subscribed_lost(subscribed) && channel->all->must_recover &&
        !connection->app->loop.is_over) {
        app_complain(connection->app, CLI_LOST, "publications in %s were lost", channel->name);
        loop_stop(&connection->app->loop, CLI_LOST);
    }
    if (!channel->was_subscribed && channel->all->with_presence)
        ask_presence(channel);
    channel->was_subscribed = true;
}

static void on_unsubscribed(struct wh_sub *sub, const struct wh_transition *why, void *user)
{
    struct channel *channel = user;
    struct connection *connection = channel->all->connection;
    struct wh_error error = cli_connection_error(WH_ESERVER);
    struct wh_buf what = {0};
    (void)sub;
    if (connection->stream == OUTPUT_DATA)
        channels_write_state(connection, "unsubscribed", channel->name, why);
    if (connection->is_patient)
        return; /* watch: the connection is still worth looking at */
    error.code = why->code;
    if (why->code == UNAUTHORIZED)
        error.err = WH_EUNAUTHORIZED;
    snprintf(error.text, sizeof(error.text), "%s", why->reason);
    wh_buf_printf(&what, "unsubscribed from %s", channel->name);
    cli_connection_fail(connection, wh_buf_cstr(&what), &error);
    wh_buf_deinit(&what);
}

static void on_publication(struct wh_sub *sub, const struct wh_publication *publication, void *user)
{
    struct channel *channel = user;
    (void)sub;
    if (channel->all->connection->app->loop.is_over)
        return; /* -n: no more than asked for */
    if (publication->offset > 0)
        channel->offset = publication->offset;
    channel->recovered_count++;
    if (channel->all->publication)
        channel->all->publication(channel->all, channel, publication);
    else
        output_publication(&channel->all->connection->app->out, publication, channel->epoch, true);
}

static void on_join(struct wh_sub *sub, const struct wh_client_info *info, void *user)
{
    struct channel *channel = user;
    (void)sub;
    output_client(&channel->all->connection->app->out, "join", channel->name, info);
}

static void on_leave(struct wh_sub *sub, const struct wh_client_info *info, void *user)
{
    struct channel *channel = user;
    (void)sub;
    output_client(&channel->all->connection->app->out, "leave", channel->name, info);
}

static void on_error(struct wh_sub *sub, const struct wh_error *error, void *user)
{
    struct channel *channel = user;
    struct output *out = &channel->all->connection->app->out;
    enum output_stream stream = channel->all->connection->stream;
    (void)sub;
    if (out->json) {
        struct wh_buf *line = output_object(out, "error");
        output_text(line, "channel", channel->name);
        output_number(line, "code", error->code);
        output_text(line, "message", error->text);
        output_bool(line, "temporary", error->temporary);
        output_object_end(out, stream);
    } else {
        output_note(out, stream, '!', "%s: %u %s", channel->name, error->code, error->text);
    }
}

/* Recovered publications wait in the same turn as the news of the recovery. */
static void on_dispatched(void *user)
{
    struct channels *channels = user;
    struct output *out = &channels->connection->app->out;
    for (size_t i = 0; i < channels->count; i++) {
        struct channel *channel = &channels->items[i];
        if (channel->is_catching_up && !out->json)
            output_note(out, channels->connection->stream, '+',
                        "recovered %llu publication%s in %s",
                        (unsigned long long)channel->recovered_count,
                        channel->recovered_count == 1 ? "" : "s", channel->name);
        channel->is_catching_up = false;
    }
}

static const struct wh_sub_events events = {
    WH_SUB_EVENTS_INIT,
    .subscribing = on_subscribing,
    .subscribed = on_subscribed,
    .unsubscribed = on_unsubscribed,
    .publication = on_publication,
    .join = on_join,
    .leave = on_leave,
    .error = on_error,
};

int channels_open(struct channels *channels,
                  struct connection *connection,
                  struct wh_sub_options options,
                  int argc,
                  char **argv)
{
    channels->connection = connection;
    connection->dispatched = on_dispatched;
    connection->dispatched_user = channels;
    options.events = &events;
    for (int i = 1; i <= argc; i++) {
        struct channel *channel = &channels->items[channels->count++];
        struct wh_error detail = {.err = WH_OK};
        *channel = (struct channel){.all = channels, .name = argv[i]};
        if (options.since)
            channel->offset = options.since->offset;
        options.user = channel;
        enum wh_err err = wh_sub_new(connection->client, argv[i], &options, &channel->sub, &detail);
        if (!err && (err = wh_sub_subscribe(channel->sub)) != WH_OK)
            detail = cli_connection_error(err);
        if (err)
            return app_complain_error(connection->app, argv[i], &detail);
    }
    return CLI_OK;
}
