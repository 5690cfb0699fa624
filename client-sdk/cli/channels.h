/*
 * The channels of sub and watch: subscriptions, what happens to them told, and
 * what they bring handed to the command.
 */
#ifndef WH_CLI_CHANNELS_H
#define WH_CLI_CHANNELS_H

#include "client-sdk/cli/commands.h"
#include "client-sdk/cli/connection.h"

enum { CHANNEL_EPOCH_BYTES = 128 };

struct channels;

struct channel {
    struct channels *all;
    const char *name;
    struct wh_sub *sub;
    bool was_subscribed;
    uint64_t offset;          /* of the last publication */
    bool is_catching_up;      /* recovered publications come in this turn */
    uint64_t recovered_count; /* … so many */
    char epoch[CHANNEL_EPOCH_BYTES];
};

struct channels {
    struct connection *connection;
    /* The command's; NULL = shown as output_publication does. */
    void (*publication)(struct channels *channels,
                        struct channel *channel,
                        const struct wh_publication *publication);
    bool must_recover; /* --recover: what is lost ends the program */
    bool with_presence;
    void *user;
    struct channel items[CLI_CHANNELS_MAX];
    size_t count;
};

/* Subscriptions for argv[1…argc] with `options`, whose events and user are filled in here, and
 * subscribed.  A status other than CLI_OK was told. */
int channels_open(struct channels *channels,
                  struct connection *connection,
                  struct wh_sub_options options,
                  int argc,
                  char **argv);

/* A subscription without handle: one that the server made. */
void channels_write_subscribed(struct connection *connection,
                               const struct wh_subscribed *subscribed,
                               bool was_subscribed);
void channels_write_state(struct connection *connection,
                          const char *type,
                          const char *channel,
                          const struct wh_transition *why); /* NULL = not told */

/* "17:xKdQ" or "17".  WH_EFORMAT. */
WH_MUST_CHECK enum wh_err position_parse(const char *text, struct wh_position *out_position);

/* sub.c: a publication as --raw, --format or --json ask for it. */
void publication_write(struct app *app,
                       const struct wh_publication *publication,
                       const char *epoch,
                       bool is_live);

#endif
