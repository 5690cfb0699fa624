/*
 * argv against the tables.  An option is looked for among those of the command
 * first, then among the output options, then among those of the connection (if
 * the command connects): gen-token's --key is not the --key of a TLS client.
 *
 * The command is found first, by a pass that only has to know which options
 * take an argument, so that options may stand before and behind it alike.
 */
#include "client-sdk/cli/options.h"

#include "common/base/option.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

enum { WORDS_MAX = 128, DAY_MS = 86400000 };

const struct cli_command *cli_find_command(const char *name)
{
    for (size_t i = 0; i < cli_command_count; i++)
        if (strcmp(cli_commands[i].name, name) == 0)
            return &cli_commands[i];
    return NULL;
}

const char *cli_nearest_command(const char *word)
{
    const char *names[WORDS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < cli_command_count && count < WORDS_MAX; i++)
        names[count++] = cli_commands[i].name;
    return wh_nearest_word(wh_slice_from_str(word), names, count);
}

/* ---- values ---- */

enum wh_err cli_duration_parse(const char *text, uint64_t *out_ms)
{
    size_t len = strlen(text);
    char *end;
    if (len > 1 && text[len - 1] == 'd' && text[0] >= '0' && text[0] <= '9') {
        unsigned long days = strtoul(text, &end, 10);
        if (end != text + len - 1 || days > 36500)
            return WH_EFORMAT;
        *out_ms = days * (uint64_t)DAY_MS;
        return WH_OK;
    }
    return wh_duration_parse(wh_slice_from_str(text), out_ms);
}

static enum wh_err parse_unsigned(const struct cli_option *option, const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || number < option->min ||
        (option->max > 0 && number > option->max))
        return WH_EFORMAT;
    *out = number;
    return WH_OK;
}

static enum wh_err parse_signed(const char *text, int64_t *out)
{
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (*text == '\0' || *end != '\0' || errno != 0 || number < -1 || number > INT32_MAX)
        return WH_EFORMAT;
    *out = number;
    return WH_OK;
}

static enum wh_err parse_rate(const char *text, double *out)
{
    char *end;
    double number = strtod(text, &end);
    if (end == text || (*end != '\0' && strcmp(end, "/s") != 0) || !isfinite(number) ||
        number <= 0 || number > 1e9)
        return WH_EFORMAT;
    *out = number;
    return WH_OK;
}

static enum wh_err parse_choice(const struct cli_option *option, const char *text, unsigned *out)
{
    for (unsigned i = 0; option->choices[i]; i++) {
        if (strcmp(option->choices[i], text) == 0) {
            *out = i;
            return WH_OK;
        }
    }
    return WH_EFORMAT;
}

static enum wh_err append(struct cli_list *list, const char *text)
{
    if (list->count == CLI_LIST_MAX)
        return WH_EFORMAT;
    list->items[list->count++] = text;
    return WH_OK;
}

static enum wh_err set_value(const struct cli_option *option, const char *text, void *at)
{
    switch (option->type) {
    case CLI_FLAG:
        *(bool *)at = true;
        return WH_OK;
    case CLI_COUNT:
        (*(unsigned *)at)++;
        return WH_OK;
    case CLI_TEXT:
        *(const char **)at = text;
        return WH_OK;
    case CLI_LIST:
        return append(at, text);
    case CLI_DURATION:
        return cli_duration_parse(text, at);
    case CLI_SIZE:
        return wh_size_parse(wh_slice_from_str(text), at);
    case CLI_UNSIGNED:
        return parse_unsigned(option, text, at);
    case CLI_SIGNED:
        return parse_signed(text, at);
    case CLI_RATE:
        return parse_rate(text, at);
    case CLI_CHOICE:
        return parse_choice(option, text, at);
    }
    return WH_EINVAL;
}

static void explain(const struct cli_option *option, const char *text, struct wh_buf *problem)
{
    static const char *const wanted[] = {
        [CLI_LIST] = "fewer repetitions",
        [CLI_DURATION] = "a time like 500ms, 5s, 1h30m or 7d",
        [CLI_SIZE] = "a size like 64 or 4KiB",
        [CLI_UNSIGNED] = "a number",
        [CLI_SIGNED] = "a number, or -1",
        [CLI_RATE] = "a number above 0, each second",
        [CLI_CHOICE] = "one of",
    };
    wh_buf_printf(problem, "--%s takes %s", option->name, wanted[option->type]);
    for (size_t i = 0; option->type == CLI_CHOICE && option->choices[i]; i++)
        wh_buf_printf(problem, "%s%s", i > 0 ? ", " : " ", option->choices[i]);
    if (option->type == CLI_UNSIGNED && option->max > 0)
        wh_buf_printf(problem, " from %llu to %llu", (unsigned long long)option->min,
                      (unsigned long long)option->max);
    else if (option->type == CLI_UNSIGNED && option->min > 0)
        wh_buf_printf(problem, " from %llu on", (unsigned long long)option->min);
    wh_buf_printf(problem, ", not \"%s\"", text);
}

enum wh_err cli_option_set(const struct cli_option *option,
                           const char *text,
                           struct settings *settings,
                           struct wh_buf *problem)
{
    const struct cli_options *connection = &cli_connection_options;
    if (set_value(option, text, (char *)settings + option->offset)) {
        explain(option, text ? text : "", problem);
        return WH_EFORMAT;
    }
    if (option >= connection->rows && option < connection->rows + connection->count)
        settings->connection_given |= UINT32_C(1) << (option - connection->rows);
    return WH_OK;
}

void cli_options_default(const struct cli_options *options, struct settings *settings)
{
    for (size_t i = 0; i < options->count; i++) {
        const struct cli_option *option = &options->rows[i];
        if (option->default_text) {
            enum wh_err err =
                set_value(option, option->default_text, (char *)settings + option->offset);
            WH_ASSERT(err == WH_OK);
        }
    }
}

/* ---- argv ---- */

struct parser {
    struct settings *settings;
    const struct cli_command *command; /* NULL in the pass that looks for it */
    struct wh_buf *problem;
    bool is_dry; /* that pass: nothing is set, nothing unknown is told */
};

typedef bool matches(const struct cli_option *option, const void *what, size_t len);

static bool has_name(const struct cli_option *option, const void *what, size_t len)
{
    return strlen(option->name) == len && memcmp(option->name, what, len) == 0;
}

static bool has_letter(const struct cli_option *option, const void *what, size_t len)
{
    (void)len;
    return option->letter != 0 && option->letter == *(const char *)what;
}

static const struct cli_option *find_in(const struct cli_options *options,
                                        matches *is_it,
                                        const void *what,
                                        size_t len)
{
    for (size_t i = 0; i < options->count; i++)
        if (is_it(&options->rows[i], what, len))
            return &options->rows[i];
    return NULL;
}

static const struct cli_option *find(const struct parser *parser,
                                     matches *is_it,
                                     const void *what,
                                     size_t len)
{
    const struct cli_option *option = NULL;
    if (parser->command)
        option = find_in(&parser->command->options, is_it, what, len);
    if (!option)
        option = find_in(&cli_output_options, is_it, what, len);
    if (!option && (!parser->command || parser->command->connects))
        option = find_in(&cli_connection_options, is_it, what, len);
    return option;
}

static void suggest(const struct parser *parser, struct wh_slice name)
{
    const struct cli_options *const tables[] = {
        parser->command ? &parser->command->options : NULL,
        &cli_output_options,
        parser->command && !parser->command->connects ? NULL : &cli_connection_options,
    };
    const char *names[WORDS_MAX];
    size_t count = 0;
    for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
        for (size_t i = 0; tables[t] && i < tables[t]->count && count < WORDS_MAX; i++)
            names[count++] = tables[t]->rows[i].name;
    const char *near = wh_nearest_word(name, names, count);
    if (near)
        wh_buf_printf(parser->problem, "; did you mean --%s?", near);
}

static enum wh_err unknown(const struct parser *parser, struct wh_slice name, bool is_letter)
{
    if (parser->is_dry)
        return WH_OK;
    wh_buf_printf(parser->problem, "%s%s%s has no option %s%.*s", "wh", parser->command ? " " : "",
                  parser->command ? parser->command->name : "", is_letter ? "-" : "--",
                  WH_SLICE_ARGS(name));
    if (!is_letter)
        suggest(parser, name);
    return WH_EFORMAT;
}

static enum wh_err set(const struct parser *parser,
                       const struct cli_option *option,
                       const char *value)
{
    if (parser->is_dry)
        return WH_OK;
    return cli_option_set(option, value, parser->settings, parser->problem);
}

static enum wh_err lacks_value(const struct parser *parser, const struct cli_option *option)
{
    if (parser->is_dry)
        return WH_OK;
    wh_buf_printf(parser->problem, "--%s needs its %s", option->name, option->argument);
    return WH_EFORMAT;
}

/* "--name", "--name=value", "--name value"; `*at` is moved over a value. */
static enum wh_err take_long(const struct parser *parser, int argc, char **argv, int *at)
{
    const char *text = argv[*at] + 2;
    const char *equals = strchr(text, '=');
    size_t len = equals ? (size_t)(equals - text) : strlen(text);
    const struct cli_option *option = find(parser, has_name, text, len);
    if (!option)
        return unknown(parser, wh_slice(text, len), false);
    if (!option->argument) {
        if (!equals)
            return set(parser, option, NULL);
        if (!parser->is_dry)
            wh_buf_printf(parser->problem, "--%s takes no value", option->name);
        return parser->is_dry ? WH_OK : WH_EFORMAT;
    }
    if (equals)
        return set(parser, option, equals + 1);
    if (*at + 1 >= argc)
        return lacks_value(parser, option);
    return set(parser, option, argv[++*at]);
}

/* "-q", "-qv", "-n5", "-n 5". */
static enum wh_err take_letters(const struct parser *parser, int argc, char **argv, int *at)
{
    for (const char *letter = argv[*at] + 1; *letter; letter++) {
        const struct cli_option *option = find(parser, has_letter, letter, 1);
        enum wh_err err;
        if (!option)
            return unknown(parser, wh_slice(letter, 1), true);
        if (!option->argument) {
            if ((err = set(parser, option, NULL)) != WH_OK)
                return err;
            continue;
        }
        if (letter[1])
            return set(parser, option, letter + 1);
        if (*at + 1 >= argc)
            return lacks_value(parser, option);
        return set(parser, option, argv[++*at]);
    }
    return WH_OK;
}

static bool is_option(const char *word)
{
    return word[0] == '-' && word[1] != '\0'; /* "-" is standard input */
}

static enum wh_err take_option(const struct parser *parser, int argc, char **argv, int *at)
{
    return argv[*at][1] == '-' ? take_long(parser, argc, argv, at)
                               : take_letters(parser, argc, argv, at);
}

/* Where the command stands; argc when there is none. */
static int find_word(const struct parser *parser, int argc, char **argv)
{
    int at = 1;
    for (; at < argc; at++) {
        if (strcmp(argv[at], "--") == 0)
            return at + 1;
        if (!is_option(argv[at]))
            return at;
        enum wh_err err = take_option(parser, argc, argv, &at);
        WH_ASSERT(err == WH_OK); /* this pass refuses nothing */
    }
    return argc;
}

static enum wh_err no_command(const char *word, struct wh_buf *problem)
{
    const char *near = cli_nearest_command(word);
    wh_buf_printf(problem, "there is no command \"%s\"", word);
    if (near)
        wh_buf_printf(problem, "; did you mean %s?", near);
    return WH_EFORMAT;
}

static enum wh_err check_count(const struct cli_command *command, size_t count, struct wh_buf *out)
{
    if (count >= command->arguments_min && count <= command->arguments_max)
        return WH_OK;
    wh_buf_printf(out, "%s arguments: wh %s %s",
                  count < command->arguments_min ? "too few" : "too many", command->name,
                  command->arguments);
    return WH_EFORMAT;
}

/* Options into the settings, everything else but the command to the front of argv. */
static enum wh_err read_all(const struct parser *parser,
                            int argc,
                            char **argv,
                            int command_at,
                            int *out_count)
{
    int kept = 1;
    bool is_plain = false; /* behind "--" */
    for (int at = 1; at < argc; at++) {
        if (at == command_at)
            continue;
        if (!is_plain && strcmp(argv[at], "--") == 0) {
            is_plain = true;
        } else if (!is_plain && is_option(argv[at])) {
            struct parser early = *parser; /* before the command: what all of them know */
            if (at < command_at)
                early.command = NULL;
            enum wh_err err = take_option(&early, argc, argv, &at);
            if (err)
                return err;
        } else {
            argv[kept++] = argv[at];
        }
    }
    *out_count = kept - 1;
    return WH_OK;
}

enum wh_err cli_parse(int argc,
                      char **argv,
                      struct settings *settings,
                      const struct cli_command **out_command,
                      int *out_count,
                      struct wh_buf *problem)
{
    struct parser parser = {.settings = settings, .problem = problem, .is_dry = true};
    int at = find_word(&parser, argc, argv);
    cli_options_default(&cli_connection_options, settings);
    cli_options_default(&cli_output_options, settings);
    if (at < argc && !(parser.command = cli_find_command(argv[at])))
        return no_command(argv[at], problem);
    if (parser.command)
        cli_options_default(&parser.command->options, settings);
    parser.is_dry = false;
    enum wh_err err = read_all(&parser, argc, argv, at, out_count);
    if (!err && parser.command && !settings->help)
        err = check_count(parser.command, (size_t)*out_count, problem);
    if (!err)
        *out_command = parser.command;
    return err;
}
