/*
 * Help texts and the generated part of the man page, out of the tables.
 * Paragraphs are wrapped here, so that the tables can hold plain sentences.
 */
#include "client-sdk/cli/app.h"
#include "client-sdk/cli/commands.h"

#include <wh_version.h>
#include <wirehub/version.h>

#include <ctype.h>
#include <stdio.h>

enum { WIDTH = 80, MDOC_WIDTH = 78, OPTION_COLUMN = 28, COMMAND_COLUMN = 14 };

static const struct {
    enum cli_status status;
    const char *text;
} statuses[] = {
    {CLI_OK, "done; also after ^C where that is the way to end"},
    {CLI_ERROR, "the server answered with an error, or something else failed"},
    {CLI_USAGE, "wrong usage"},
    {CLI_TIMEOUT, "timed out"},
    {CLI_CONNECT, "cannot connect, or the connection was lost for good"},
    {CLI_UNAUTHORIZED, "unauthorized: the token is missing, wrong or expired"},
    {CLI_LOST, "publications were lost (sub --recover, bench)"},
};
enum { STATUS_COUNT = sizeof(statuses) / sizeof(statuses[0]) };

static const struct {
    const char *name, *text;
} variables[] = {
    {"WIREHUB_URL", "--url, when that is not given"},
    {"WIREHUB_TOKEN", "--token, when no option says where a token comes from"},
    {"XDG_CONFIG_HOME", "where contexts are kept, in wh; default ~/.config"},
    {"NO_COLOR", "when set and not empty: no colour on terminals either"},
};
enum { VARIABLE_COUNT = sizeof(variables) / sizeof(variables[0]) };

/* Characters, not bytes: texts have some that are longer. */
static size_t width_of(struct wh_slice text)
{
    size_t width = 0;
    for (size_t i = 0; i < text.len; i++)
        width += ((unsigned char)text.ptr[i] & 0xC0) != 0x80;
    return width;
}

/* `text`, wrapped; the line stands at `column` already, the next ones are indented by `indent`. */
static void write_wrapped(struct wh_buf *out, const char *text, size_t column, size_t indent)
{
    while (*text) {
        size_t len = strcspn(text, " \n");
        struct wh_slice word = wh_slice(text, len);
        if (column > indent && column + 1 + width_of(word) > WIDTH) {
            wh_buf_printf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent && len > 0) {
            wh_buf_append_char(out, ' ');
            column++;
        }
        wh_buf_append_slice(out, word);
        column += width_of(word);
        text += len;
        if (text[0] == '\n' && text[1] == '\n') {
            wh_buf_printf(out, "\n\n%*s", (int)indent, "");
            column = indent;
        }
        text += strspn(text, " \n");
    }
    wh_buf_append_char(out, '\n');
}

static void write_row(struct wh_buf *out, const char *head, size_t at, const char *text)
{
    size_t width = width_of(wh_slice_from_str(head));
    wh_buf_append_str(out, head);
    if (width + 2 > at)
        wh_buf_printf(out, "\n%*s", (int)at, "");
    else
        wh_buf_printf(out, "%*s", (int)(at - width), "");
    write_wrapped(out, text, at, at);
}

/* The help of a row with its default behind it. */
static void write_sentence(const struct cli_option *option, struct wh_buf *out)
{
    wh_buf_append_str(out, option->help);
    if (option->default_text)
        wh_buf_printf(out, " Default: %s.", option->default_text);
}

static void write_options(struct wh_buf *out, const struct cli_options *options)
{
    for (size_t i = 0; i < options->count; i++) {
        const struct cli_option *option = &options->rows[i];
        struct wh_buf head = {0}, text = {0};
        if (option->letter)
            wh_buf_printf(&head, "  -%c, --%s", option->letter, option->name);
        else
            wh_buf_printf(&head, "      --%s", option->name);
        if (option->argument)
            wh_buf_printf(&head, " %s", option->argument);
        write_sentence(option, &text);
        write_row(out, wh_buf_cstr(&head), OPTION_COLUMN, wh_buf_cstr(&text));
        wh_buf_deinit(&head);
        wh_buf_deinit(&text);
    }
}

static void write_examples(struct wh_buf *out, const struct cli_command *command)
{
    if (!command->examples[0].line)
        return;
    wh_buf_append_str(out, "\nExamples:\n");
    for (size_t i = 0; i < CLI_EXAMPLES_MAX && command->examples[i].line; i++)
        wh_buf_printf(out, "  # %s\n  wh %s\n", command->examples[i].what,
                      command->examples[i].line);
}

void cli_help_write(struct wh_buf *out)
{
    wh_buf_append_str(out, "Usage: wh [OPTION...] COMMAND [ARGUMENT...]\n\n");
    write_wrapped(out,
                  "Speaks with a Wirehub hub or a Centrifugo server from a shell. What was asked "
                  "for is on standard output, everything else on standard error.",
                  0, 0);
    wh_buf_append_str(out, "\nCommands:\n");
    for (size_t i = 0; i < cli_command_count; i++) {
        struct wh_buf head = {0};
        wh_buf_printf(&head, "  %s", cli_commands[i].name);
        write_row(out, wh_buf_cstr(&head), COMMAND_COLUMN, cli_commands[i].summary);
        wh_buf_deinit(&head);
    }
    wh_buf_append_str(out, "\nOptions, anywhere before \"--\":\n");
    write_options(out, &cli_output_options);
    wh_buf_append_str(out, "\nOptions of the connection:\n");
    write_options(out, &cli_connection_options);
    wh_buf_append_str(out, "\nExit status:\n");
    for (size_t i = 0; i < STATUS_COUNT; i++)
        wh_buf_printf(out, "  %d  %s\n", statuses[i].status, statuses[i].text);
    wh_buf_append_str(out, "\nEnvironment:\n");
    for (size_t i = 0; i < VARIABLE_COUNT; i++)
        wh_buf_printf(out, "  %-16s %s\n", variables[i].name, variables[i].text);
    wh_buf_append_str(out, "\nFirst steps, with a hub on this machine:\n"
                           "  wh sub news                            # in one window\n"
                           "  wh pub news '{\"title\":\"hello\"}'        # in another\n"
                           "  wh help sub                            # and so for each command\n");
}

void cli_help_write_command(const struct cli_command *command, struct wh_buf *out)
{
    wh_buf_printf(out, "Usage: wh %s%s%s%s\n\n", command->name,
                  command->options.count > 0 ? " [OPTION...]" : "",
                  command->arguments[0] ? " " : "", command->arguments);
    struct wh_buf text = {0};
    wh_buf_printf(&text, "%s.", command->summary);
    if (text.len > 0)
        text.ptr[0] = (char)toupper((unsigned char)text.ptr[0]);
    if (command->details)
        wh_buf_printf(&text, " %s", command->details);
    write_wrapped(out, wh_buf_cstr(&text), 0, 0);
    wh_buf_deinit(&text);
    write_examples(out, command);
    if (command->options.count > 0) {
        wh_buf_append_str(out, "\nOptions:\n");
        write_options(out, &command->options);
    }
    wh_buf_append_str(out, "\nOptions of all commands:\n");
    write_options(out, &cli_output_options);
    if (command->connects)
        wh_buf_append_str(out, "\nOptions of the connection (-u, -t, ...): wh --help\n");
}

/* ---- mdoc(7) ---- */

/* One word; what could be a macro or an escape is made plain. */
static void write_mdoc_word(struct wh_buf *out, struct wh_slice word, bool is_start)
{
    if (is_start && word.len > 0 && (word.ptr[0] == '.' || word.ptr[0] == '\''))
        wh_buf_append_str(out, "\\&");
    for (size_t i = 0; i < word.len; i++) {
        if (word.ptr[i] == '\\')
            wh_buf_append_str(out, "\\e");
        else
            wh_buf_append_char(out, word.ptr[i]);
    }
}

static bool ends_sentence(struct wh_slice word)
{
    return word.len > 1 && strchr(".?!", word.ptr[word.len - 1]) && word.ptr[word.len - 2] != '.';
}

/* A sentence begins on a line of its own, and lines are short, as mdoc wants it. */
static void write_mdoc_text(struct wh_buf *out, const char *text)
{
    size_t column = 0;
    while (*text) {
        struct wh_slice word = wh_slice(text, strcspn(text, " \n"));
        if (column > 0 && column + 1 + word.len > MDOC_WIDTH) {
            wh_buf_append_char(out, '\n');
            column = 0;
        } else if (column > 0) {
            wh_buf_append_char(out, ' ');
            column++;
        }
        write_mdoc_word(out, word, column == 0);
        column += word.len;
        text += word.len;
        if (text[0] == '\n' && text[1] == '\n') {
            wh_buf_append_str(out, "\n.Pp\n");
            column = 0;
        } else if (text[0] == ' ' && ends_sentence(word)) {
            wh_buf_append_char(out, '\n');
            column = 0;
        }
        text += strspn(text, " \n");
    }
    wh_buf_append_char(out, '\n');
}

static void write_mdoc_line(struct wh_buf *out, const char *text)
{
    write_mdoc_word(out, wh_slice_from_str(text), true);
    wh_buf_append_char(out, '\n');
}

static void write_mdoc_options(struct wh_buf *out, const struct cli_options *options)
{
    wh_buf_append_str(out, ".Bl -tag -width Ds\n");
    for (size_t i = 0; i < options->count; i++) {
        const struct cli_option *option = &options->rows[i];
        struct wh_buf text = {0};
        wh_buf_append_str(out, ".It");
        if (option->letter)
            wh_buf_printf(out, " Fl %c ,", option->letter);
        wh_buf_printf(out, " Fl Fl %s", option->name);
        if (option->argument)
            wh_buf_printf(out, " Ar %s", option->argument);
        wh_buf_append_char(out, '\n');
        write_sentence(option, &text);
        write_mdoc_text(out, wh_buf_cstr(&text));
        wh_buf_deinit(&text);
    }
    wh_buf_append_str(out, ".El\n");
}

static void write_mdoc_command(struct wh_buf *out, const struct cli_command *command)
{
    struct wh_buf text = {0};
    wh_buf_printf(out, ".Ss %s", command->name);
    if (command->arguments[0])
        wh_buf_printf(out, " %s\\&", command->arguments);
    wh_buf_append_char(out, '\n');
    wh_buf_printf(&text, "%s.", command->summary);
    if (text.len > 0)
        text.ptr[0] = (char)toupper((unsigned char)text.ptr[0]);
    if (command->details)
        wh_buf_printf(&text, " %s", command->details);
    write_mdoc_text(out, wh_buf_cstr(&text));
    wh_buf_deinit(&text);
    if (command->options.count > 0)
        write_mdoc_options(out, &command->options);
    if (!command->examples[0].line)
        return;
    wh_buf_append_str(out, ".Bd -literal -offset indent\n");
    for (size_t i = 0; i < CLI_EXAMPLES_MAX && command->examples[i].line; i++) {
        struct wh_buf line = {0};
        wh_buf_printf(&line, "wh %s", command->examples[i].line);
        write_mdoc_line(out, wh_buf_cstr(&line));
        wh_buf_deinit(&line);
    }
    wh_buf_append_str(out, ".Ed\n");
}

void cli_mdoc_write(struct wh_buf *out)
{
    wh_buf_append_str(out, ".Sh OPTIONS\nOf all commands:\n");
    write_mdoc_options(out, &cli_output_options);
    wh_buf_append_str(out, ".Pp\nOf commands that connect:\n");
    write_mdoc_options(out, &cli_connection_options);
    wh_buf_append_str(out, ".Sh COMMANDS\n");
    for (size_t i = 0; i < cli_command_count; i++)
        write_mdoc_command(out, &cli_commands[i]);
    wh_buf_append_str(out, ".Sh ENVIRONMENT\n.Bl -tag -width XDG_CONFIG_HOME\n");
    for (size_t i = 0; i < VARIABLE_COUNT; i++)
        wh_buf_printf(out, ".It Ev %s\n%s\n", variables[i].name, variables[i].text);
    wh_buf_append_str(out, ".El\n.Sh FILES\n.Bl -tag -width Ds\n"
                           ".It Pa $XDG_CONFIG_HOME/wh/contexts/NAME\n"
                           "The options of a context, a JSON object, mode 0600.\n"
                           ".It Pa $XDG_CONFIG_HOME/wh/current\n"
                           "The name of the context in use.\n"
                           ".El\n.Sh EXIT STATUS\n.Bl -tag -width Ds\n");
    for (size_t i = 0; i < STATUS_COUNT; i++)
        wh_buf_printf(out, ".It %d\n%s\n", statuses[i].status, statuses[i].text);
    wh_buf_append_str(out, ".El\n");
}

/* ---- the commands ---- */

int run_version(struct app *app, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    if (app->out.json) {
        struct wh_buf *line = output_object(&app->out, "version");
        output_text(line, "version", WH_VERSION);
        output_text(line, "commit", WH_COMMIT);
        output_text(line, "library", wh_version());
        output_object_end(&app->out, OUTPUT_DATA);
    } else {
        printf("wh %s (%s), libwirehub %s\n", WH_VERSION, WH_COMMIT, wh_version());
    }
    return CLI_OK;
}

int run_help(struct app *app, int argc, char **argv)
{
    struct wh_buf text = {0};
    const struct cli_command *command = argc > 0 ? cli_find_command(argv[1]) : NULL;
    int status = CLI_OK;
    if (command)
        cli_help_write_command(command, &text);
    else if (argc == 0)
        cli_help_write(&text);
    else if (strcmp(argv[1], "mdoc") == 0) /* for the man page's generated part */
        cli_mdoc_write(&text);
    else
        status = app_usage(app, "there is no command \"%s\"", argv[1]);
    fputs(wh_buf_cstr(&text), stdout);
    wh_buf_deinit(&text);
    return status;
}
