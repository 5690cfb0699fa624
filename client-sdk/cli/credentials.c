/*
 * The command runs beside the loop, so that a slow one holds nothing up.  It
 * gets /dev/null as standard input: ours may be what is published.
 */
#include "client-sdk/cli/credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TOKEN_BYTES_MAX = 64 * 1024, COMMAND_TIMEOUT_US = 10 * 1000 * 1000, READ_BYTES = 4096 };

extern char **environ;

bool credentials_are_asked(const struct app *app)
{
    return app->settings.token_file || app->settings.token_cmd;
}

/* The first line of `text`, without blanks around it; "" when there is none. */
static const char *first_line(char *text)
{
    text += strspn(text, " \t\r\n");
    text[strcspn(text, "\r\n")] = '\0';
    size_t len = strlen(text);
    while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
        text[--len] = '\0';
    return text;
}

static void answer(struct wh_token_request *request, char *text)
{
    const char *token = first_line(text);
    if (*token)
        wh_token_ok(request, token);
    else
        wh_token_error(request, "there is no token in what the command or the file gave");
}

static void answer_from_file(struct app *app, struct wh_token_request *request)
{
    struct wh_slice text;
    if (app_read_file(app, app->settings.token_file, TOKEN_BYTES_MAX, &text))
        wh_token_error(request, "the file of the token cannot be read");
    else
        answer(request, (char *)text.ptr);
}

/* ---- commands ---- */

static enum wh_err spawn(const char *command, int out, pid_t *out_pid)
{
    char *argv[] = {(char *)"sh", (char *)"-c", (char *)command, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    /* The loop blocks signals that must be able to end the command. */
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int failed = posix_spawn(out_pid, "/bin/sh", &actions, &attributes, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return failed ? WH_EIO : WH_OK;
}

/* Take the command's end and forget it; its status, or −1. */
static int reap(struct credentials *credentials)
{
    int status = 0;
    if (credentials->pid > 0)
        while (waitpid(credentials->pid, &status, 0) < 0 && errno == EINTR)
            continue;
    if (credentials->pipe.fd >= 0) {
        loop_remove_fd(&credentials->app->loop, &credentials->pipe);
        close(credentials->pipe.fd);
    }
    credentials->pipe.fd = -1;
    credentials->pid = 0;
    loop_timer_stop(&credentials->timeout);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void finish(struct credentials *credentials)
{
    struct wh_token_request *request = credentials->request;
    int status = reap(credentials);
    credentials->request = NULL;
    if (status != 0) {
        char text[64];
        snprintf(text, sizeof(text), "the command for the token ended with status %d", status);
        wh_token_error(request, text);
    } else {
        wh_buf_append_char(&credentials->output, '\0');
        if (wh_buf_error(&credentials->output))
            wh_token_error(request, "the command for the token printed too much");
        else
            answer(request, credentials->output.ptr);
    }
    wh_buf_deinit(&credentials->output);
}

static void on_output(void *user)
{
    struct credentials *credentials = user;
    char bytes[READ_BYTES];
    ssize_t len = read(credentials->pipe.fd, bytes, sizeof(bytes));
    if (len < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (len > 0)
        wh_buf_append(&credentials->output, bytes, (size_t)len);
    else
        finish(credentials);
}

static void on_timeout(void *user)
{
    struct credentials *credentials = user;
    struct wh_token_request *request = credentials->request;
    kill(credentials->pid, SIGKILL);
    reap(credentials);
    credentials->request = NULL;
    wh_buf_deinit(&credentials->output);
    wh_token_error(request, "the command for the token took too long");
}

static void start(struct credentials *credentials, struct wh_token_request *request)
{
    int ends[2];
    if (credentials->request) { /* the library gave up on the last one */
        kill(credentials->pid, SIGKILL);
        reap(credentials);
        wh_token_error(credentials->request, "asked again meanwhile");
        credentials->request = NULL;
    }
    if (pipe2(ends, O_CLOEXEC) != 0) {
        wh_token_error(request, "the command for the token cannot be started");
        return;
    }
    enum wh_err err = spawn(credentials->app->settings.token_cmd, ends[1], &credentials->pid);
    close(ends[1]);
    if (err) {
        close(ends[0]);
        wh_token_error(request, "the command for the token cannot be started");
        return;
    }
    wh_buf_init(&credentials->output, TOKEN_BYTES_MAX);
    credentials->request = request;
    credentials->pipe.fd = ends[0];
    loop_add_fd(&credentials->app->loop, &credentials->pipe);
    loop_timer_set(&credentials->timeout, COMMAND_TIMEOUT_US);
}

/* ---- at once ---- */

static enum wh_err read_command(struct app *app, struct wh_slice *out_text)
{
    struct credentials now;
    int ends[2];
    char bytes[READ_BYTES];
    ssize_t len;
    now = (struct credentials){.app = app, .pipe = {.fd = -1}};
    if (pipe2(ends, O_CLOEXEC) != 0)
        return WH_EIO;
    enum wh_err err = spawn(app->settings.token_cmd, ends[1], &now.pid);
    close(ends[1]);
    wh_buf_init(&now.output, TOKEN_BYTES_MAX);
    while (!err && ((len = read(ends[0], bytes, sizeof(bytes))) > 0 || (len < 0 && errno == EINTR)))
        if (len > 0)
            wh_buf_append(&now.output, bytes, (size_t)len);
    close(ends[0]);
    if (!err && (reap(&now) != 0 || wh_buf_error(&now.output)))
        err = WH_EIO;
    if (!err) {
        *out_text = wh_arena_copy(&app->arena, wh_buf_slice(&now.output));
        err = out_text->ptr ? WH_OK : WH_ENOMEM;
    }
    wh_buf_deinit(&now.output);
    return err;
}

enum wh_err credentials_read(struct app *app, const char **out_token)
{
    struct wh_slice text = WH_SLICE_ABSENT;
    enum wh_err err = app->settings.token_file
                          ? app_read_file(app, app->settings.token_file, TOKEN_BYTES_MAX, &text)
                          : read_command(app, &text);
    const char *token = err ? "" : first_line((char *)text.ptr);
    if (*token == '\0') {
        app_complain(app, CLI_UNAUTHORIZED,
                     "there is no token in what the command or the file gave");
        return WH_EIO;
    }
    *out_token = token;
    return WH_OK;
}

/* ---- beside the loop ---- */

void credentials_init(struct credentials *credentials, struct app *app)
{
    *credentials = (struct credentials){
        .app = app,
        .pipe = {.fd = -1, .ready = on_output, .user = credentials},
        .timeout = {.fire = on_timeout, .user = credentials},
    };
    loop_add_timer(&app->loop, &credentials->timeout);
}

void credentials_deinit(struct credentials *credentials)
{
    if (credentials->request) {
        kill(credentials->pid, SIGKILL);
        reap(credentials);
        wh_token_error(credentials->request, "ending");
    }
    credentials->request = NULL;
    wh_buf_deinit(&credentials->output);
}

void credentials_ask(struct credentials *credentials, struct wh_token_request *request)
{
    if (credentials->app->settings.token_file)
        answer_from_file(credentials->app, request);
    else
        start(credentials, request);
}
