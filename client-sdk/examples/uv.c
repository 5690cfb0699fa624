/*
 * uv URL CHANNEL: the library on your libuv loop, without a thread of its own, next to a timer and
 * stdin.  A line on stdin is published; the end of stdin ends the program.
 *
 * Needs Debian's libwebsockets-evlib-uv.  All on one thread: no locks, no surprises; and the loop
 * must go on turning until the last of the library has left it.
 */
#include <wirehub/wirehub.h>

#include <uv.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_BYTES = 4096, REPORT_MS = 1000 };

struct program {
    uv_loop_t loop;
    uv_timer_t report;
    uv_pipe_t input; /* stdin: a pipe, or a terminal in disguise */
    struct wh_runtime *runtime;
    struct wh_client *client;
    struct wh_sub *sub;
    char line[LINE_MAX_BYTES];
    size_t line_len;
};

static void on_publication(struct wh_sub *sub, const struct wh_publication *pub, void *user)
{
    (void)sub;
    (void)user;
    printf("%.*s\n", (int)pub->data.len, (const char *)pub->data.ptr);
    fflush(stdout);
}

static void on_report(uv_timer_t *timer)
{
    struct program *program = timer->data;
    struct wh_client_stats stats = {.size = sizeof stats};
    wh_client_stats(program->client, &stats);
    fprintf(stderr, "%s, %llu publications\n",
            wh_client_state_name(wh_client_state(program->client)),
            (unsigned long long)stats.publications);
}

static void on_client_closed(void *user)
{
    struct program *program = user;
    wh_runtime_close(program->runtime, NULL, NULL);
}

static void stop(struct program *program)
{
    uv_close((uv_handle_t *)&program->report, NULL);
    uv_close((uv_handle_t *)&program->input, NULL);
    wh_client_close(program->client, on_client_closed, program);
}

static void on_line(struct program *program)
{
    enum wh_err err = wh_sub_publish(program->sub, wh_json(program->line), NULL, NULL, NULL);
    if (err)
        fprintf(stderr, "not published: %s\n", wh_err_text(err));
}

static void give_room(uv_handle_t *input, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct program *program = input->data;
    *buf = uv_buf_init(program->line + program->line_len,
                       (unsigned)(sizeof program->line - 1 - program->line_len));
}

static void on_input(uv_stream_t *input, ssize_t count, const uv_buf_t *buf)
{
    (void)buf;
    struct program *program = input->data;
    if (count < 0) { /* the end, or a line that is too long */
        stop(program);
        return;
    }
    program->line_len += (size_t)count;
    char *end;
    while ((end = memchr(program->line, '\n', program->line_len))) {
        *end = '\0';
        on_line(program);
        program->line_len -= (size_t)(end + 1 - program->line);
        memmove(program->line, end + 1, program->line_len);
    }
}

static bool start(struct program *program, const char *url, const char *channel)
{
    struct wh_runtime_options runtime_options = WH_RUNTIME_OPTIONS_INIT;
    runtime_options.mode = WH_MODE_LOOP;
    runtime_options.loop = WH_LOOP_UV;
    runtime_options.foreign = &program->loop;
    struct wh_error detail;
    if (wh_runtime_new(&runtime_options, &program->runtime, &detail)) {
        fprintf(stderr, "%s\n", detail.text);
        return false;
    }
    struct wh_client_options options = WH_CLIENT_OPTIONS_INIT;
    options.runtime = program->runtime;
    program->client = wh_client_open(url, &options);
    if (program->client)
        program->sub = wh_client_subscribe(program->client, channel, on_publication, program);
    return program->sub != NULL;
}

int main(int argc, char **argv)
{
    static struct program program;
    if (argc != 3) {
        fprintf(stderr, "usage: uv URL CHANNEL\n");
        return 2;
    }
    uv_loop_init(&program.loop);
    if (!start(&program, argv[1], argv[2]))
        return 1;
    uv_timer_init(&program.loop, &program.report);
    program.report.data = &program;
    uv_timer_start(&program.report, on_report, REPORT_MS, REPORT_MS);
    uv_pipe_init(&program.loop, &program.input, 0);
    program.input.data = &program;
    uv_pipe_open(&program.input, 0);
    uv_read_start((uv_stream_t *)&program.input, give_room, on_input);
    uv_run(&program.loop,
           UV_RUN_DEFAULT); /* until nothing is left on it, of ours or the library's */
    return uv_loop_close(&program.loop) == 0 ? 0 : 1;
}
