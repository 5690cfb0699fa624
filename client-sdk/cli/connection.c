#include "client-sdk/cli/connection.h"

#include "client-sdk/cli/context.h"
#include "client-sdk/cli/url.h"

#include <wh_version.h>

#include <stdio.h>

enum { UNAUTHORIZED = 1, INVALID_TOKEN = 3500, PERMISSION_DENIED = 3507 };

struct wh_error cli_connection_error(enum wh_err err)
{
    struct wh_error error = {.err = err};
    snprintf(error.text, sizeof(error.text), "%s", wh_err_text(err));
    return error;
}

void cli_connection_fail(struct connection *connection,
                         const char *what,
                         const struct wh_error *error)
{
    struct app *app = connection->app;
    if (!app->loop.is_over)
        loop_stop(&app->loop, app_complain_error(app, what, error));
}

/* ---- what happens ---- */

static void write_error(struct output *out, enum output_stream stream, const struct wh_error *error)
{
    if (out->json) {
        struct wh_buf *line = output_object(out, "error");
        output_number(line, "code", error->code);
        output_text(line, "message", error->text);
        output_bool(line, "temporary", error->temporary);
        output_object_end(out, stream);
    } else if (error->code > 0) {
        output_note(out, stream, '!', "%u %s", error->code, error->text);
    } else {
        output_note(out, stream, '!', "%s", error->text);
    }
}

static void write_transition(struct connection *connection,
                             const char *type,
                             const struct wh_transition *why)
{
    struct output *out = &connection->app->out;
    bool is_connecting = strcmp(type, "connecting") == 0;
    if (out->json) {
        struct wh_buf *line = output_object(out, type);
        output_number(line, "code", why->code);
        output_text(line, "reason", why->reason);
        if (is_connecting)
            output_number(line, "retry_ms", why->retry_ms);
        output_object_end(out, connection->stream);
    } else if (!is_connecting) {
        output_note(out, connection->stream, '!', "disconnected (%u %s)", why->code, why->reason);
    } else if (why->retry_ms > 0) {
        output_note(out, connection->stream, '~', "reconnecting in %u ms (%u %s)", why->retry_ms,
                    why->code, why->reason);
    } else {
        output_note(out, connection->stream, '~', "%s (%u %s)",
                    connection->was_connected ? "reconnecting" : "connecting", why->code,
                    why->reason);
    }
}

/* The first connect goes without saying unless it is what is looked at. */
static bool is_shown(const struct connection *connection)
{
    return connection->was_connected || connection->stream == OUTPUT_DATA ||
           connection->app->settings.verbose > 0;
}

static void on_connecting(struct wh_client *client, const struct wh_transition *why, void *user)
{
    struct connection *connection = user;
    (void)client;
    if (is_shown(connection))
        write_transition(connection, "connecting", why);
}

static void write_connected(struct connection *connection, const struct wh_connected *connected)
{
    static const char *const encodings[] = {"json", "msgpack", "protobuf"};
    struct output *out = &connection->app->out;
    if (out->json) {
        struct wh_buf *line = output_object(out, "connected");
        output_text(line, "client", connected->client);
        output_text(line, "version", connected->version);
        output_text(line, "encoding", encodings[connected->encoding]);
        output_data(line, "data", &connected->data);
        output_object_end(out, connection->stream);
    } else {
        output_note(out, connection->stream, '+', "connected (%s, %s, server %s)",
                    connected->client, encodings[connected->encoding], connected->version);
    }
}

static void on_connected(struct wh_client *client, const struct wh_connected *connected, void *user)
{
    struct connection *connection = user;
    bool is_first = !connection->was_connected;
    (void)client;
    loop_timer_stop(&connection->deadline);
    if (is_shown(connection))
        write_connected(connection, connected);
    connection->was_connected = true;
    if (connection->hooks->connected)
        connection->hooks->connected(connection, is_first);
}

static void on_disconnected(struct wh_client *client, const struct wh_transition *why, void *user)
{
    struct connection *connection = user;
    struct wh_error error = cli_connection_error(WH_ECONNECT);
    (void)client;
    if (connection->stream == OUTPUT_DATA)
        write_transition(connection, "disconnected", why);
    if ((why->code == UNAUTHORIZED && strcmp(why->reason, "unauthorized") == 0) ||
        why->code == INVALID_TOKEN || why->code == PERMISSION_DENIED || why->code == 101 ||
        why->code == 109)
        error.err = WH_EUNAUTHORIZED;
    error.code = why->code;
    snprintf(error.text, sizeof(error.text), "%u %s", why->code, why->reason);
    cli_connection_fail(connection, "disconnected", &error);
}

static void on_error(struct wh_client *client, const struct wh_error *error, void *user)
{
    struct connection *connection = user;
    (void)client;
    if (!connection->was_connected && !connection->is_patient &&
        ++connection->failures >= connection->url_count) {
        struct wh_error shown = *error;
        /* Whatever it was: nobody got as far as a timed-out command. */
        if (shown.err == WH_ETIMEOUT || shown.err == WH_EIO)
            shown.err = WH_ECONNECT;
        cli_connection_fail(connection, "cannot connect", &shown);
    } else if (is_shown(connection)) {
        write_error(&connection->app->out, connection->stream, error);
    }
}

static void on_message(struct wh_client *client, const struct wh_data *data, void *user)
{
    struct connection *connection = user;
    struct output *out = &connection->app->out;
    struct wh_buf *line;
    (void)client;
    if (out->json) {
        line = output_object(out, "message");
        output_data(line, "data", data);
        output_object_end(out, connection->stream);
        return;
    }
    line = output_line(out, connection->stream, -1);
    wh_buf_append_str(line, "message ");
    output_payload(out, line, data);
    output_line_end(out, connection->stream);
}

static void on_get_token(struct wh_client *client, struct wh_token_request *request, void *user)
{
    struct connection *connection = user;
    (void)client;
    credentials_ask(&connection->credentials, request);
}

static void on_deadline(void *user)
{
    struct connection *connection = user;
    struct wh_error error = cli_connection_error(WH_ECONNECT);
    snprintf(error.text, sizeof(error.text), "no answer within the time of --timeout");
    cli_connection_fail(connection, "cannot connect", &error);
}

static void on_ready(void *user)
{
    struct connection *connection = user;
    wh_client_dispatch(connection->client, 0);
    if (connection->dispatched)
        connection->dispatched(connection->dispatched_user);
    if (!output_flush())
        loop_stop(&connection->app->loop, CLI_OK);
}

/* ---- options ---- */

static void on_log(enum wh_severity severity,
                   const char *area,
                   const char *event,
                   const char *fields,
                   void *user)
{
    static const char *const names[] = {"trace", "debug", "info", "warn", "error"};
    (void)user;
    if (severity < WH_SEVERITY_NONE)
        fprintf(stderr, "%s %s.%s %s\n", names[severity], area, event, fields);
}

void cli_connection_log(const struct app *app)
{
    if (app->settings.verbose > 0)
        wh_log_sink(on_log, NULL, app->settings.verbose > 1 ? WH_SEVERITY_TRACE : WH_SEVERITY_INFO,
                    NULL);
}

static enum wh_err fill_headers(struct app *app, struct connection_options *options)
{
    const struct cli_list *list = &app->settings.headers;
    for (size_t i = 0; i < list->count; i++) {
        const char *colon = strchr(list->items[i], ':');
        if (!colon || colon == list->items[i]) {
            app_usage(app, "--header takes NAME:VALUE, not \"%s\"", list->items[i]);
            return WH_EINVAL;
        }
        struct wh_slice name = wh_slice(list->items[i], (size_t)(colon - list->items[i]));
        struct wh_slice value = wh_slice_trim(wh_slice_from_str(colon + 1));
        options->headers[i].name = wh_arena_copy(&app->arena, name).ptr;
        options->headers[i].value = wh_arena_copy(&app->arena, value).ptr;
        if (!options->headers[i].name || !options->headers[i].value)
            return WH_ENOMEM;
    }
    options->client.headers = options->headers;
    options->client.header_count = list->count;
    return WH_OK;
}

static enum wh_err check_tokens(struct app *app)
{
    const struct settings *settings = &app->settings;
    int sources =
        (settings->token != NULL) + (settings->token_file != NULL) + (settings->token_cmd != NULL);
    if (sources <= 1)
        return WH_OK;
    app_usage(app, "only one of --token, --token-file and --token-cmd");
    return WH_EINVAL;
}

enum wh_err cli_connection_options_fill(struct app *app, struct connection_options *options)
{
    struct settings *settings = &app->settings;
    enum wh_err err = context_apply(app);
    if (!err)
        err = check_tokens(app);
    if (!err)
        err = url_complete(settings->url ? settings->url : "localhost:8000", &app->arena,
                           &settings->url);
    if (err)
        return WH_EINVAL;
    *options =
        (struct connection_options){.client = WH_CLIENT_OPTIONS_INIT, .tls = WH_TLS_OPTIONS_INIT};
    uint32_t timeout_ms =
        settings->timeout_ms > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uint32_t)settings->timeout_ms;
    options->tls.ca_file = settings->ca;
    options->tls.cert_file = settings->cert;
    options->tls.key_file = settings->tls_key;
    options->tls.insecure_skip_verify = settings->insecure;
    options->tls.insecure_skip_verify_host = settings->insecure;
    options->client.url = settings->url;
    options->client.encoding = (enum wh_encoding)settings->encoding;
    options->client.token = settings->token;
    options->client.name = "wh";
    options->client.version = WH_VERSION;
    options->client.tls = &options->tls;
    options->client.proxy = settings->proxy;
    options->client.timeout_ms = timeout_ms;
    options->client.connect_timeout_ms = timeout_ms;
    options->client.no_reconnect = settings->no_reconnect;
    return fill_headers(app, options);
}

static size_t count_urls(const char *text)
{
    size_t count = 1;
    for (; *text; text++)
        count += *text == ',';
    return count;
}

/* ---- life ---- */

/* Hooks for what the server does of its own accord, ours for everything else. */
static struct wh_client_events make_events(const struct connection *connection)
{
    struct wh_client_events events = {WH_CLIENT_EVENTS_INIT};
    if (connection->hooks->events)
        events = *connection->hooks->events;
    events.connecting = on_connecting;
    events.connected = on_connected;
    events.disconnected = on_disconnected;
    events.error = on_error;
    events.message = on_message;
    events.get_token = credentials_are_asked(connection->app) ? on_get_token : NULL;
    return events;
}

static enum wh_err make_client(struct connection *connection,
                               struct connection_options *options,
                               struct wh_error *detail)
{
    struct wh_runtime_options runtime = WH_RUNTIME_OPTIONS_INIT;
    runtime.mode = WH_MODE_DISPATCH;
    enum wh_err err = wh_runtime_new(&runtime, &connection->runtime, detail);
    if (err)
        return err;
    struct wh_client_events events = make_events(connection);
    options->client.events = &events;
    options->client.user = connection;
    options->client.runtime = connection->runtime;
    return wh_client_new(&options->client, &connection->client, detail);
}

int cli_connection_open(struct connection *connection,
                        struct app *app,
                        const struct connection_hooks *hooks,
                        void *user)
{
    struct connection_options options;
    struct wh_error detail = {.err = WH_EINVAL};
    *connection =
        (struct connection){.app = app, .hooks = hooks, .user = user, .stream = OUTPUT_NOTE};
    if (cli_connection_options_fill(app, &options))
        return CLI_USAGE;
    if (loop_init(&app->loop))
        return app_complain(app, CLI_ERROR, "signals cannot be watched");
    cli_connection_log(app);
    connection->url_count = count_urls(app->settings.url);
    credentials_init(&connection->credentials, app);
    if (make_client(connection, &options, &detail)) {
        int status = app_complain_error(app, "the connection", &detail);
        cli_connection_close(connection);
        return status;
    }
    connection->fd = (struct loop_fd){
        .fd = wh_client_fd(connection->client), .ready = on_ready, .user = connection};
    loop_add_fd(&app->loop, &connection->fd);
    connection->deadline = (struct loop_timer){.fire = on_deadline, .user = connection};
    loop_add_timer(&app->loop, &connection->deadline);
    return CLI_OK;
}

void cli_connection_close(struct connection *connection)
{
    struct app *app = connection->app;
    app->out.muted = true;
    app->loop.is_over = true; /* callbacks that come now end nothing any more */
    credentials_deinit(&connection->credentials);
    wh_client_free(connection->client);
    wh_runtime_free(connection->runtime);
    connection->client = NULL;
    connection->runtime = NULL;
    app->out.muted = false;
    loop_deinit(&app->loop);
}

int cli_connection_run(struct connection *connection)
{
    struct app *app = connection->app;
    enum wh_err err = wh_client_connect(connection->client);
    if (!connection->is_patient)
        loop_timer_set(&connection->deadline,
                       app->settings.timeout_ms * 1000 * connection->url_count);
    if (err) {
        struct wh_error error = cli_connection_error(err);
        cli_connection_fail(connection, "connect", &error);
    }
    int status = loop_run(&app->loop);
    cli_connection_close(connection);
    return status;
}
