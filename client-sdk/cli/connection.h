/*
 * The one connection of a command: made of the settings, run by the loop, and
 * what happens to it told.  The first attempt must succeed (one for each URL)
 * unless the command is patient; after that the library reconnects.
 */
#ifndef WH_CLI_CONNECTION_H
#define WH_CLI_CONNECTION_H

#include "client-sdk/cli/credentials.h"

#include <wirehub/wirehub.h>

struct connection;

/* All may be NULL. */
struct connection_hooks {
    /* Each time; `is_first` the first time. */
    void (*connected)(struct connection *connection, bool is_first);
    /* Of the server's own accord; for commands that show it. */
    const struct wh_client_events *events;
};

struct connection {
    struct app *app;
    struct wh_runtime *runtime;
    struct wh_client *client;
    const struct connection_hooks *hooks;
    void *user;                     /* the command's */
    void (*dispatched)(void *user); /* what waited was handed out; may be NULL */
    void *dispatched_user;
    enum output_stream stream; /* of what happens to the connection */
    bool is_patient;           /* the first attempt may fail */
    bool was_connected;
    size_t url_count, failures;
    struct credentials credentials;
    struct loop_fd fd;
    struct loop_timer deadline; /* of the first attempt */
};

/* What a client is made of, for those who make more than one. */
struct connection_options {
    struct wh_client_options client;
    struct wh_tls_options tls;
    struct wh_header headers[CLI_LIST_MAX];
};

/* Contexts and environment applied; WH_EINVAL with the reason told. */
WH_MUST_CHECK enum wh_err cli_connection_options_fill(struct app *app,
                                                      struct connection_options *options);

/*
 * A client that is not connected yet, so that subscriptions can be made first.  `user`, `stream`
 * and `is_patient` may be set after it.  A status other than CLI_OK was told and needs no end.
 */
int cli_connection_open(struct connection *connection,
                        struct app *app,
                        const struct connection_hooks *hooks,
                        void *user);

/* Connect, and run until the command or something else ends it; then everything is freed.  The
 * status; CLI_OK after a signal. */
int cli_connection_run(struct connection *connection);

/* Without having run. */
void cli_connection_close(struct connection *connection);

/* Tell `error` after "what: " and end with its status. */
void cli_connection_fail(struct connection *connection,
                         const char *what,
                         const struct wh_error *error);

/* The error of a function that has no detail. */
struct wh_error cli_connection_error(enum wh_err err);

/* The library's log to standard error, as -v and -vv ask for. */
void cli_connection_log(const struct app *app);

#endif
