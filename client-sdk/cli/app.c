#include "client-sdk/cli/app.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { READ_BYTES = 64 * 1024 };

WH_PRINTF(3, 0)
static int vcomplain(struct app *app, int status, const char *format, va_list args)
{
    struct wh_buf text = {0};
    wh_buf_vprintf(&text, format, args);
    if (app->out.json) {
        struct wh_buf *line = output_object(&app->out, "failure");
        output_text(line, "message", wh_buf_cstr(&text));
        output_number(line, "status", (uint64_t)status);
        wh_buf_append_str(line, "}\n");
        fwrite(line->ptr, 1, line->len, stderr);
    } else {
        struct wh_buf safe = {0};
        output_safe(&safe, wh_buf_slice(&text));
        fprintf(stderr, "wh%s%s: %s\n", app->command[0] ? " " : "", app->command,
                wh_buf_cstr(&safe));
        wh_buf_deinit(&safe);
    }
    wh_buf_deinit(&text);
    return status;
}

int app_complain(struct app *app, int status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vcomplain(app, status, format, args);
    va_end(args);
    return status;
}

int app_usage(struct app *app, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vcomplain(app, CLI_USAGE, format, args);
    va_end(args);
    if (!app->out.json)
        fprintf(stderr, "Try: wh help%s%s\n", app->command[0] ? " " : "", app->command);
    return CLI_USAGE;
}

int app_status(const struct wh_error *error)
{
    switch (error->err) {
    case WH_OK:
        return CLI_OK;
    case WH_ESERVER: /* 101 unauthorized, 109 token expired */
        return error->code == 101 || error->code == 109 ? CLI_UNAUTHORIZED : CLI_ERROR;
    case WH_ETIMEOUT:
        return CLI_TIMEOUT;
    case WH_ECONNECT:
    case WH_ECONNLOST:
    case WH_EDISCONNECTED:
        return error->http_status == 401 || error->http_status == 403 ? CLI_UNAUTHORIZED
                                                                      : CLI_CONNECT;
    case WH_EUNAUTHORIZED:
        return CLI_UNAUTHORIZED;
    case WH_EINVAL:
    case WH_EFORMAT:
    case WH_EENCODING:
    case WH_EUNSUPPORTED:
        return CLI_USAGE;
    default:
        return CLI_ERROR;
    }
}

int app_complain_error(struct app *app, const char *what, const struct wh_error *error)
{
    int status = app_status(error);
    const char *text = error->text[0] ? error->text : wh_err_text(error->err);
    if (app->out.json) {
        struct wh_buf *line = output_object(&app->out, "error");
        output_text(line, "what", what);
        output_number(line, "code", error->code);
        output_text(line, "message", text);
        output_bool(line, "temporary", error->temporary);
        output_number(line, "status", (uint64_t)status);
        wh_buf_append_str(line, "}\n");
        fwrite(line->ptr, 1, line->len, stderr);
        return status;
    }
    if (error->err == WH_ESERVER)
        app_complain(app, status, "%s: %u %s%s", what, error->code, text,
                     error->temporary ? " (temporary)" : "");
    else
        app_complain(app, status, "%s: %s", what, text);
    return status;
}

static enum wh_err read_all(int fd, size_t max, struct wh_buf *out)
{
    wh_buf_init(out, max + READ_BYTES);
    for (;;) {
        char *room = wh_buf_reserve(out, READ_BYTES);
        ssize_t len = room ? read(fd, room, READ_BYTES) : -1;
        if (!room)
            return wh_buf_error(out);
        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0)
            return WH_EIO;
        if (len == 0)
            return WH_OK;
        wh_buf_commit(out, (size_t)len);
        if (out->len > max)
            return WH_ELIMIT;
    }
}

enum wh_err app_read_file(struct app *app, const char *path, size_t max, struct wh_slice *out_text)
{
    bool is_stdin = strcmp(path, "-") == 0;
    struct wh_buf text = {0};
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    enum wh_err err = fd < 0 ? WH_EIO : read_all(fd, max, &text);
    if (err == WH_EIO)
        app_complain(app, CLI_ERROR, "%s: %s", is_stdin ? "standard input" : path, strerror(errno));
    else if (err == WH_ELIMIT)
        app_complain(app, CLI_ERROR, "%s: more than %zu bytes", is_stdin ? "standard input" : path,
                     max);
    if (fd >= 0 && !is_stdin)
        close(fd);
    if (!err) {
        *out_text = wh_arena_copy(&app->arena, wh_buf_slice(&text));
        err = out_text->ptr ? WH_OK : WH_ENOMEM;
    }
    wh_buf_deinit(&text);
    return err;
}
