#include "script_loop.h"

#include <ev.h>
#include <glib.h>
#include <uv.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES_MAX = 1 << 20, PUMP_MS = 1000 };

enum { THREADED, DISPATCH, PUMPED, UV, EV, GLIB };

struct script_loop {
    size_t kind; /* THREADED … */
    struct wh_runtime *runtime;
    struct wh_client *watched[SCRIPT_CLIENTS_MAX];
    size_t watched_count;
    bool (*on_line)(char *line);
    bool is_over;
    char input[LINE_BYTES_MAX];
    size_t input_len;

    /* PUMPED: a thread that waits for standard input, because wh_runtime_run_once waits for
     * sockets. */
    pthread_t reader;
    _Atomic bool has_input;
    int go_on[2];

    uv_loop_t uv;
    uv_poll_t uv_input;
    struct ev_loop *ev;
    struct ev_io ev_input;
    GMainLoop *glib;
    unsigned closing;
};

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "event_script: %s\n", what);
    exit(3);
}

/* What is there on standard input, line by line; false at its end or when a line said so. */
static bool take_input(struct script_loop *loop)
{
    ssize_t got =
        read(STDIN_FILENO, loop->input + loop->input_len, sizeof loop->input - 1 - loop->input_len);
    if (got <= 0)
        return got < 0 && errno == EINTR;
    loop->input_len += (size_t)got;
    char *end;
    while ((end = memchr(loop->input, '\n', loop->input_len))) {
        *end = '\0';
        if (!loop->on_line(loop->input))
            return false;
        loop->input_len -= (size_t)(end + 1 - loop->input);
        memmove(loop->input, end + 1, loop->input_len);
    }
    return true;
}

struct script_loop *script_loop_new(const char *mode)
{
    static const char *const names[] = {"threaded", "dispatch", "loop", "uv", "ev", "glib"};
    size_t kind = 0;
    while (kind < sizeof names / sizeof names[0] && strcmp(names[kind], mode) != 0)
        kind++;
    if (kind == sizeof names / sizeof names[0])
        return NULL;
    struct script_loop *loop = calloc(1, sizeof *loop);
    if (!loop)
        die("out of memory");
    loop->kind = kind;
    struct wh_runtime_options options = WH_RUNTIME_OPTIONS_INIT;
    options.mode = kind == THREADED   ? WH_MODE_THREADED
                   : kind == DISPATCH ? WH_MODE_DISPATCH
                                      : WH_MODE_LOOP;
    if (kind == UV) {
        uv_loop_init(&loop->uv);
        options.loop = WH_LOOP_UV;
        options.foreign = &loop->uv;
    } else if (kind == EV) {
        loop->ev = ev_loop_new(0);
        options.loop = WH_LOOP_EV;
        options.foreign = loop->ev;
    } else if (kind == GLIB) {
        /* Not the default context: that one GLib keeps for ever. */
        GMainContext *context = g_main_context_new();
        loop->glib = g_main_loop_new(context, FALSE);
        g_main_context_unref(context);
        options.loop = WH_LOOP_GLIB;
        options.foreign = loop->glib;
    }
    struct wh_error detail;
    if (wh_runtime_new(&options, &loop->runtime, &detail))
        die(detail.text);
    return loop;
}

struct wh_runtime *script_loop_runtime(struct script_loop *loop)
{
    return loop->runtime;
}

void script_loop_watch(struct script_loop *loop, struct wh_client *client)
{
    if (loop->kind == DISPATCH)
        loop->watched[loop->watched_count++] = client;
}

static void run_dispatch(struct script_loop *loop)
{
    for (;;) {
        struct pollfd fds[SCRIPT_CLIENTS_MAX + 1] = {{.fd = STDIN_FILENO, .events = POLLIN}};
        size_t count = loop->watched_count;
        for (size_t i = 0; i < count; i++)
            fds[i + 1] = (struct pollfd){.fd = wh_client_fd(loop->watched[i]), .events = POLLIN};
        if (poll(fds, count + 1, -1) < 0)
            continue;
        for (size_t i = 0; i < count; i++) {
            if (fds[i + 1].revents)
                wh_client_dispatch(loop->watched[i], 3); /* in small bites: nothing may be lost */
        }
        if (fds[0].revents && !take_input(loop))
            return;
    }
}

static void *wait_for_input(void *user)
{
    struct script_loop *loop = user;
    struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN}};
    char c = 'x';
    do {
        while (poll(fds, 1, -1) < 0)
            continue;
        loop->has_input = true;
        wh_runtime_wake(loop->runtime);
    } while (read(loop->go_on[0], &c, 1) == 1);
    return NULL;
}

static void run_pumped(struct script_loop *loop)
{
    if (pipe(loop->go_on) || pthread_create(&loop->reader, NULL, wait_for_input, loop))
        die("no thread");
    for (bool is_running = true; is_running;) {
        if (wh_runtime_run_once(loop->runtime, PUMP_MS))
            die("wh_runtime_run_once failed");
        if (!loop->has_input)
            continue;
        loop->has_input = false;
        is_running = take_input(loop);
        if (is_running && write(loop->go_on[1], "x", 1) != 1)
            die("pipe");
    }
    close(loop->go_on[1]);
    pthread_join(loop->reader, NULL);
    close(loop->go_on[0]);
}

static void on_uv_input(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    struct script_loop *loop = poll->data;
    if (!take_input(loop)) {
        uv_poll_stop(poll);
        uv_stop(&loop->uv);
    }
}

static void on_ev_input(struct ev_loop *ev, struct ev_io *input, int events)
{
    (void)events;
    if (!take_input(input->data)) {
        ev_io_stop(ev, input);
        ev_break(ev, EVBREAK_ALL);
    }
}

static gboolean on_glib_input(GIOChannel *channel, GIOCondition condition, gpointer user)
{
    (void)channel, (void)condition;
    struct script_loop *loop = user;
    if (take_input(loop))
        return TRUE;
    g_main_loop_quit(loop->glib);
    return FALSE;
}

void script_loop_run(struct script_loop *loop, bool (*on_line)(char *line))
{
    loop->on_line = on_line;
    switch (loop->kind) {
    case THREADED:
        while (take_input(loop))
            continue;
        break;
    case DISPATCH:
        run_dispatch(loop);
        break;
    case PUMPED:
        run_pumped(loop);
        break;
    case UV:
        uv_poll_init(&loop->uv, &loop->uv_input, STDIN_FILENO);
        loop->uv_input.data = loop;
        uv_poll_start(&loop->uv_input, UV_READABLE, on_uv_input);
        uv_run(&loop->uv, UV_RUN_DEFAULT);
        uv_close((uv_handle_t *)&loop->uv_input, NULL);
        break;
    case EV:
        ev_io_init(&loop->ev_input, on_ev_input, STDIN_FILENO, EV_READ);
        loop->ev_input.data = loop;
        ev_io_start(loop->ev, &loop->ev_input);
        ev_run(loop->ev, 0);
        break;
    case GLIB: {
        GIOChannel *input = g_io_channel_unix_new(STDIN_FILENO);
        GSource *watch = g_io_create_watch(input, G_IO_IN | G_IO_HUP);
        g_source_set_callback(watch, G_SOURCE_FUNC(on_glib_input), loop, NULL);
        g_source_attach(watch, g_main_loop_get_context(loop->glib));
        g_source_unref(watch);
        g_main_loop_run(loop->glib);
        g_io_channel_unref(input);
        break;
    }
    }
}

static void on_runtime_closed(void *user)
{
    struct script_loop *loop = user;
    loop->is_over = true;
    if (loop->kind == EV)
        ev_break(loop->ev, EVBREAK_ALL);
    if (loop->kind == GLIB)
        g_main_loop_quit(loop->glib);
}

static void on_client_closed(void *user)
{
    struct script_loop *loop = user;
    if (--loop->closing == 0)
        wh_runtime_close(loop->runtime, on_runtime_closed, loop);
}

static void end_foreign(struct script_loop *loop, struct wh_client **clients, size_t count)
{
    loop->closing = (unsigned)count + 1;
    for (size_t i = 0; i < count; i++)
        wh_client_close(clients[i], on_client_closed, loop);
    on_client_closed(loop); /* for programs without clients */
    if (loop->kind == UV) {
        uv_run(&loop->uv, UV_RUN_DEFAULT);
        if (uv_loop_close(&loop->uv))
            die("something was left on the libuv loop");
    } else if (loop->kind == EV) {
        if (!loop->is_over)
            ev_run(loop->ev, 0);
        ev_loop_destroy(loop->ev);
    } else {
        if (!loop->is_over)
            g_main_loop_run(loop->glib);
        g_main_loop_unref(loop->glib);
    }
    if (!loop->is_over)
        die("the runtime did not close");
}

void script_loop_end(struct script_loop *loop, struct wh_client **clients, size_t count)
{
    if (loop->kind >= UV) {
        end_foreign(loop, clients, count);
    } else {
        for (size_t i = 0; i < count; i++)
            wh_client_free(clients[i]);
        wh_runtime_free(loop->runtime);
    }
    free(loop);
}
