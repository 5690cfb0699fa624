/*
 * One run of wh: settings, output, loop.  Everything happens in the main
 * thread; the library's own thread does I/O only (WH_MODE_DISPATCH).
 */
#ifndef WH_CLI_APP_H
#define WH_CLI_APP_H

#include "client-sdk/cli/loop.h"
#include "client-sdk/cli/output.h"
#include "client-sdk/cli/settings.h"
#include "common/base/arena.h"

#include <wirehub/error.h>

/* What the shell sees.  Documented in help.c. */
enum cli_status {
    CLI_OK = 0,
    CLI_ERROR = 1,
    CLI_USAGE = 2,
    CLI_TIMEOUT = 3,
    CLI_CONNECT = 4,
    CLI_UNAUTHORIZED = 5,
    CLI_LOST = 6,
    CLI_INTERRUPTED = 130 /* ^C before the one answer came: 128 + SIGINT, as shells say it */
};

struct app {
    struct settings settings;
    const char *command; /* its name; "" before it is known */
    struct output out;
    struct loop loop;
    struct wh_arena arena; /* what lives as long as the program */
};

/* "wh COMMAND: text" and where to find help, on standard error.  Returns CLI_USAGE. */
int app_usage(struct app *app, const char *format, ...) WH_PRINTF(2, 3);

/* "wh: text" on standard error, as an object with --json.  Returns `status`. */
int app_complain(struct app *app, int status, const char *format, ...) WH_PRINTF(3, 4);

/* The same for what the library or the server said, after "what: ".  Returns its status. */
int app_complain_error(struct app *app, const char *what, const struct wh_error *error);

/* Which status an error ends the program with. */
int app_status(const struct wh_error *error);

/* All of a file, NUL-terminated, in the app's arena; "-" is standard input.  At most `max` bytes.
 * WH_EIO, WH_ELIMIT, WH_ENOMEM with a sentence told. */
WH_MUST_CHECK enum wh_err app_read_file(struct app *app,
                                        const char *path,
                                        size_t max,
                                        struct wh_slice *out_text);

#endif
