/*
 * Where the connection token comes from, when it is not a plain option: a file
 * or the output of a command, again each time the library asks.
 */
#ifndef WH_CLI_CREDENTIALS_H
#define WH_CLI_CREDENTIALS_H

#include "client-sdk/cli/app.h"

#include <wirehub/client.h>

#include <sys/types.h>

struct credentials {
    struct app *app;
    struct wh_token_request *request; /* waits for the command; NULL = none does */
    pid_t pid;
    struct loop_fd pipe;
    struct loop_timer timeout;
    struct wh_buf output;
};

/* Whether the settings name a file or a command. */
bool credentials_are_asked(const struct app *app);

void credentials_init(struct credentials *credentials, struct app *app);
void credentials_deinit(struct credentials *credentials); /* ends a command that still runs */

/* Answer the library, now or later. */
void credentials_ask(struct credentials *credentials, struct wh_token_request *request);

/* The token at once, waiting for the command; in the app's arena.  WH_EIO with the reason told. */
WH_MUST_CHECK enum wh_err credentials_read(struct app *app, const char **out_token);

#endif
