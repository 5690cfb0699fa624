/*
 * The tables of commands and options, and everything that is made of them:
 * parsing, help, completion, the man page's lists, the files of contexts.  A
 * fact about an option stands in its row and nowhere else.
 */
#ifndef WH_CLI_OPTIONS_H
#define WH_CLI_OPTIONS_H

#include "client-sdk/cli/settings.h"
#include "common/base/buf.h"

struct app;

/* What stands at `offset` in struct settings. */
enum cli_type {
    CLI_FLAG,     /* bool; takes no argument */
    CLI_COUNT,    /* unsigned: how often it was given; takes no argument */
    CLI_TEXT,     /* const char * */
    CLI_LIST,     /* struct cli_list; may be repeated */
    CLI_DURATION, /* uint64_t, milliseconds: "5s", "1h30m", also "7d" */
    CLI_SIZE,     /* uint64_t, bytes: "64", "4KiB" */
    CLI_UNSIGNED, /* uint64_t, min … max */
    CLI_SIGNED,   /* int64_t, from −1 */
    CLI_RATE,     /* double, more than 0 */
    CLI_CHOICE    /* unsigned: index into `choices` */
};

enum cli_trait {
    CLI_SECRET = 1, /* masked where it is shown */
    CLI_FILE = 2    /* completed as the name of a file */
};

struct cli_option {
    const char *name;
    char letter; /* 0 = none */
    enum cli_type type;
    unsigned traits;
    const char *argument; /* as help calls it; NULL for FLAG and COUNT */
    size_t offset;
    const char *default_text;
    uint64_t min, max; /* UNSIGNED; max 0 = none */
    const char *const *choices;
    const char *help; /* a sentence */
};

struct cli_options {
    const struct cli_option *rows;
    size_t count;
};

struct cli_example {
    const char *line; /* without "wh " */
    const char *what;
};

enum { CLI_EXAMPLES_MAX = 5 };

struct cli_command {
    const char *name;
    const char *arguments; /* "CHANNEL [DATA]" */
    const char *summary;   /* one line */
    const char *details;   /* paragraphs, parted by an empty line; may be NULL */
    struct cli_options options;
    struct cli_example examples[CLI_EXAMPLES_MAX];
    size_t arguments_min, arguments_max;
    bool connects;            /* the connection options apply */
    const char *const *words; /* what the first argument can be; NULL = anything */
    int (*run)(struct app *app, int argc, char **argv);
};

extern const struct cli_options cli_connection_options;
extern const struct cli_options cli_output_options;
extern const struct cli_command cli_commands[];
extern const size_t cli_command_count;

/* NULL when there is none. */
const struct cli_command *cli_find_command(const char *name);

/* The nearest command to a word that is none; NULL when none is near. */
const char *cli_nearest_command(const char *word);

/*
 * Set one option from text (NULL for FLAG and COUNT).  WH_EFORMAT with a sentence in `problem`
 * that begins with the option's name.
 */
WH_MUST_CHECK enum wh_err cli_option_set(const struct cli_option *option,
                                         const char *text,
                                         struct settings *settings,
                                         struct wh_buf *problem);

/* The defaults of every row of `options`. */
void cli_options_default(const struct cli_options *options, struct settings *settings);

/*
 * Read argv[1…].  Options may stand anywhere before "--"; the first other word is the command.
 * What is neither is left in argv[1…*out_count], the command excluded.
 * `*out_command` is NULL when no word was given.  WH_EFORMAT with a sentence in `problem`.
 */
WH_MUST_CHECK enum wh_err cli_parse(int argc,
                                    char **argv,
                                    struct settings *settings,
                                    const struct cli_command **out_command,
                                    int *out_count,
                                    struct wh_buf *problem);

/* "5s", "1h30m", "7d".  WH_EFORMAT. */
WH_MUST_CHECK enum wh_err cli_duration_parse(const char *text, uint64_t *out_ms);

/* help.c: the texts. */
void cli_help_write(struct wh_buf *out);
void cli_help_write_command(const struct cli_command *command, struct wh_buf *out);
void cli_mdoc_write(struct wh_buf *out);

/* completion.c */
void cli_completion_bash(struct wh_buf *out);
void cli_completion_zsh(struct wh_buf *out);

#endif
