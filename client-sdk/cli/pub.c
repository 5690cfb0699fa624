/*
 * Payloads come from one source: the argument, all of standard input, its
 * lines, or a template.  pump() sends while the window, the rate and the source
 * allow; whatever changes one of them calls it again.
 */
#include "client-sdk/cli/commands.h"
#include "client-sdk/cli/connection.h"
#include "client-sdk/cli/format.h"
#include "client-sdk/cli/payload_text.h"
#include "common/base/clock.h"

#include <errno.h>
#include <unistd.h>

enum { WINDOW = 256 /* publications under way */, READ_BYTES = 64 * 1024 };

struct pub_run {
    struct connection connection;
    const char *channel;
    struct wh_slice whole; /* when it is neither lines nor a template */
    struct wh_buf input;   /* lines that are not sent yet */
    size_t input_at;
    bool is_at_end;                 /* of standard input */
    bool is_ready;                  /* connected */
    uint64_t sent, confirmed, left; /* left: publications to send; lines: all that come */
    uint64_t started_us;
    struct loop_fd stdin_fd;
    struct loop_timer pace;
    struct wh_buf scratch, text;
};

static void pump(struct pub_run *run);

/* ---- sources ---- */

/* The next line that is not empty; false when there is none yet. */
static bool next_line(struct pub_run *run, struct wh_slice *out_line)
{
    for (;;) {
        struct wh_slice rest = wh_slice_from(wh_buf_slice(&run->input), run->input_at);
        const char *feed = rest.ptr ? memchr(rest.ptr, '\n', rest.len) : NULL;
        if (!rest.ptr || (!feed && !(run->is_at_end && rest.len > 0))) {
            wh_buf_consume(&run->input, run->input_at);
            run->input_at = 0;
            return false;
        }
        size_t len = feed ? (size_t)(feed - rest.ptr) : rest.len;
        run->input_at += feed ? len + 1 : len;
        if (len > 0 && rest.ptr[len - 1] == '\r')
            len--;
        if (len > 0) {
            *out_line = wh_slice(rest.ptr, len);
            return true;
        }
    }
}

static bool next_text(struct pub_run *run, struct wh_slice *out_text)
{
    const struct settings *settings = &run->connection.app->settings;
    if (settings->lines)
        return next_line(run, out_text);
    if (run->left == 0)
        return false;
    if (settings->template_text) {
        wh_buf_reset(&run->text);
        template_write(settings->template_text, run->sent + 1, wh_clock_wall_ms(), &run->text);
        *out_text = wh_buf_slice(&run->text);
    } else {
        *out_text = run->whole;
    }
    return true;
}

static bool is_finished(const struct pub_run *run)
{
    if (run->confirmed < run->sent)
        return false;
    if (run->connection.app->settings.lines)
        return run->is_at_end && run->input_at >= run->input.len;
    return run->left == 0;
}

/* ---- sending ---- */

static void on_published(struct wh_client *client, const struct wh_error *error, void *user)
{
    struct pub_run *run = user;
    (void)client;
    if (error) {
        cli_connection_fail(&run->connection, run->channel, error);
        return;
    }
    run->confirmed++;
    pump(run);
}

static bool is_due(struct pub_run *run)
{
    double rate = run->connection.app->settings.rate;
    if (!(rate > 0))
        return true;
    uint64_t due_us = run->started_us + (uint64_t)((double)run->sent * 1e6 / rate);
    uint64_t now_us = wh_clock_monotonic_us();
    if (due_us <= now_us)
        return true;
    loop_timer_set(&run->pace, due_us - now_us);
    return false;
}

/* false: not now, or not at all. */
static bool send_text(struct pub_run *run, struct wh_slice text)
{
    struct app *app = run->connection.app;
    struct wh_data data;
    if (payload_make(app, text, &run->scratch, &data)) {
        loop_stop(&app->loop, CLI_USAGE);
        return false;
    }
    enum wh_err err =
        wh_client_publish(run->connection.client, run->channel, data, NULL, on_published, run);
    if (err) {
        struct wh_error error = cli_connection_error(err);
        cli_connection_fail(&run->connection, run->channel, &error);
        return false;
    }
    run->sent++;
    if (run->left > 0)
        run->left--;
    return true;
}

static void pump(struct pub_run *run)
{
    struct loop *loop = &run->connection.app->loop;
    struct wh_slice text;
    wh_client_batch_begin(run->connection.client);
    while (run->is_ready && !loop->is_over && run->sent - run->confirmed < WINDOW && is_due(run) &&
           next_text(run, &text) && send_text(run, text))
        continue;
    wh_client_batch_end(run->connection.client);
    run->stdin_fd.is_idle = run->is_at_end || run->input.len > run->input_at + READ_BYTES;
    if (run->is_ready && is_finished(run))
        loop_stop(loop, CLI_OK);
}

static void on_pace(void *user)
{
    pump(user);
}

static void on_stdin(void *user)
{
    struct pub_run *run = user;
    char *room = wh_buf_reserve(&run->input, READ_BYTES);
    ssize_t len = room ? read(STDIN_FILENO, room, READ_BYTES) : -1;
    if (len < 0 && room && (errno == EINTR || errno == EAGAIN))
        return;
    if (len < 0) {
        loop_stop(&run->connection.app->loop,
                  app_complain(run->connection.app, CLI_ERROR, "standard input: %s",
                               room ? strerror(errno) : "a line is too long"));
        return;
    }
    wh_buf_commit(&run->input, (size_t)len);
    run->is_at_end = len == 0;
    pump(run);
}

static void on_connected(struct connection *connection, bool is_first)
{
    struct pub_run *run = connection->user;
    if (!is_first)
        return;
    run->is_ready = true;
    run->started_us = wh_clock_monotonic_us();
    pump(run);
}

/* ---- the command ---- */

static int check(struct app *app, int argc)
{
    const struct settings *settings = &app->settings;
    struct wh_buf problem = {0};
    int status = CLI_OK;
    if (settings->lines + (settings->template_text != NULL) + (argc > 1) > 1)
        status = app_usage(app, "DATA, --lines and --template exclude each other");
    else if (settings->as_string && settings->as_bytes)
        status = app_usage(app, "--string and --bytes exclude each other");
    else if (settings->lines && settings->count > 1)
        status = app_usage(app, "--lines takes no --count");
    else if (settings->template_text && template_check(settings->template_text, &problem))
        status = app_usage(app, "%s", wh_buf_cstr(&problem));
    wh_buf_deinit(&problem);
    return status;
}

/* The argument, or standard input without the line feed at its end; and a first look at it, before
 * anything is connected. */
static int prepare(struct pub_run *run, struct app *app, int argc, char **argv)
{
    const struct settings *settings = &app->settings;
    struct wh_data data;
    if (settings->lines || settings->template_text)
        return CLI_OK;
    run->whole = wh_slice_from_str(argc > 1 ? argv[2] : NULL);
    if (argc < 2 || strcmp(argv[2], "-") == 0) {
        if (app_read_file(app, "-", PAYLOAD_BYTES_MAX, &run->whole))
            return CLI_ERROR;
        if (!settings->as_bytes && run->whole.len > 0 && run->whole.ptr[run->whole.len - 1] == '\n')
            run->whole.len--;
    }
    return payload_make(app, run->whole, &run->scratch, &data) ? CLI_USAGE : CLI_OK;
}

static void tell(struct pub_run *run)
{
    struct app *app = run->connection.app;
    double seconds = (double)(wh_clock_monotonic_us() - run->started_us) / 1e6;
    if (app->out.json) {
        struct wh_buf *line = output_object(&app->out, "published");
        output_text(line, "channel", run->channel);
        output_number(line, "count", run->confirmed);
        output_fraction(line, "seconds", run->is_ready ? seconds : 0);
        output_object_end(&app->out, OUTPUT_DATA);
    } else if (run->sent > 1 || app->settings.verbose > 0) {
        output_note(&app->out, OUTPUT_NOTE, '+', "published %llu to %s in %.3f s",
                    (unsigned long long)run->confirmed, run->channel, seconds);
    }
}

int run_pub(struct app *app, int argc, char **argv)
{
    static const struct connection_hooks hooks = {.connected = on_connected};
    static struct pub_run run;
    int status = check(app, argc);
    if (status == CLI_OK)
        status = prepare(&run, app, argc, argv);
    if (status == CLI_OK)
        status = cli_connection_open(&run.connection, app, &hooks, &run);
    if (status != CLI_OK) {
        wh_buf_deinit(&run.scratch);
        return status;
    }
    run.channel = argv[1];
    run.left = app->settings.lines ? 0 : app->settings.count;
    run.is_at_end = !app->settings.lines;
    wh_buf_init(&run.input, PAYLOAD_BYTES_MAX);
    run.stdin_fd = (struct loop_fd){.fd = STDIN_FILENO, .ready = on_stdin, .user = &run};
    if (app->settings.lines)
        loop_add_fd(&app->loop, &run.stdin_fd);
    run.pace = (struct loop_timer){.fire = on_pace, .user = &run};
    loop_add_timer(&app->loop, &run.pace);
    status = cli_connection_run(&run.connection);
    tell(&run);
    if (status == CLI_OK && app->loop.is_interrupted && !is_finished(&run) &&
        !app->settings.lines && app->settings.count == 1)
        status = CLI_INTERRUPTED;
    wh_buf_deinit(&run.input);
    wh_buf_deinit(&run.scratch);
    wh_buf_deinit(&run.text);
    return status;
}
