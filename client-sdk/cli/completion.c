/*
 * Completion scripts, made of the tables.  Both complete commands, options of
 * the command at hand, and arguments with a known set of words or a file name.
 */
#include "client-sdk/cli/app.h"
#include "client-sdk/cli/commands.h"

#include <stdio.h>

static void write_words(struct wh_buf *out, const char *const *words)
{
    for (size_t i = 0; words[i]; i++)
        wh_buf_printf(out, "%s%s", i > 0 ? " " : "", words[i]);
}

static void write_names(struct wh_buf *out, const struct cli_options *options)
{
    for (size_t i = 0; i < options->count; i++) {
        if (options->rows[i].letter)
            wh_buf_printf(out, " -%c", options->rows[i].letter);
        wh_buf_printf(out, " --%s", options->rows[i].name);
    }
}

/* ---- bash ---- */

static bool takes(const struct cli_option *option)
{
    return option->argument != NULL;
}

/* One arm of the case over the word before the cursor. */
static void write_bash_values(struct wh_buf *out, const struct cli_options *options)
{
    for (size_t i = 0; i < options->count; i++) {
        const struct cli_option *option = &options->rows[i];
        if (!takes(option))
            continue;
        wh_buf_append_str(out, "        ");
        if (option->letter)
            wh_buf_printf(out, "-%c|", option->letter);
        wh_buf_printf(out, "--%s) ", option->name);
        if (option->choices) {
            wh_buf_append_str(out, "COMPREPLY=($(compgen -W '");
            write_words(out, option->choices);
            wh_buf_append_str(out, "' -- \"$word\")); return ;;\n");
        } else if (option->traits & CLI_FILE) {
            wh_buf_append_str(out, "COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n");
        } else {
            wh_buf_append_str(out, "return ;;\n");
        }
    }
}

/* Letters and names of options that take a value, as a pattern of case. */
static void write_bash_takers(struct wh_buf *out, const struct cli_options *options)
{
    for (size_t i = 0; i < options->count; i++) {
        const struct cli_option *option = &options->rows[i];
        if (takes(option) && option->letter)
            wh_buf_printf(out, "-%c|", option->letter);
        if (takes(option))
            wh_buf_printf(out, "--%s|", option->name);
    }
}

static void write_bash_command(struct wh_buf *out, const struct cli_command *command)
{
    wh_buf_printf(out, "    %s)\n        case $previous in\n", command->name);
    write_bash_values(out, &command->options);
    if (command->connects)
        write_bash_values(out, &cli_connection_options);
    wh_buf_append_str(out, "        esac\n        options='");
    write_names(out, &command->options);
    write_names(out, &cli_output_options);
    if (command->connects)
        write_names(out, &cli_connection_options);
    wh_buf_append_str(out, "'\n        words='");
    if (command->words)
        write_words(out, command->words);
    wh_buf_append_str(out, "' ;;\n");
}

static void write_command_names(struct wh_buf *out)
{
    for (size_t i = 0; i < cli_command_count; i++)
        wh_buf_printf(out, "%s%s", i > 0 ? " " : "", cli_commands[i].name);
}

void cli_completion_bash(struct wh_buf *out)
{
    wh_buf_append_str(out, "# bash completion for wh; made by: wh completion bash\n"
                           "_wh() {\n"
                           "    local word=${COMP_WORDS[COMP_CWORD]} previous=\n"
                           "    local command= options= words= i\n"
                           "    [ \"$COMP_CWORD\" -gt 0 ] && "
                           "previous=${COMP_WORDS[COMP_CWORD-1]}\n"
                           "    COMPREPLY=()\n"
                           "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
                           "        case ${COMP_WORDS[i]} in\n"
                           "        ");
    write_bash_takers(out, &cli_connection_options);
    wh_buf_append_str(out, "--) i=$((i + 1)) ;;\n"
                           "        -*) ;;\n"
                           "        *) command=${COMP_WORDS[i]}; break ;;\n"
                           "        esac\n"
                           "    done\n"
                           "    case $command in\n"
                           "    '')\n"
                           "        case $previous in\n");
    write_bash_values(out, &cli_connection_options);
    wh_buf_append_str(out, "        esac\n        options='");
    write_names(out, &cli_output_options);
    write_names(out, &cli_connection_options);
    wh_buf_append_str(out, "'\n        words='");
    write_command_names(out);
    wh_buf_append_str(out, "' ;;\n");
    for (size_t i = 0; i < cli_command_count; i++)
        write_bash_command(out, &cli_commands[i]);
    wh_buf_append_str(out, "    esac\n"
                           "    [ \"$command\" = help ] && words='");
    write_command_names(out);
    wh_buf_append_str(out, "'\n"
                           "    case $word in\n"
                           "    -*) COMPREPLY=($(compgen -W \"$options\" -- \"$word\")) ;;\n"
                           "    *) COMPREPLY=($(compgen -W \"$words\" -- \"$word\")) ;;\n"
                           "    esac\n"
                           "}\n"
                           "complete -F _wh wh\n");
}

/* ---- zsh ---- */

/* Inside single quotes, and inside [] of a specification of _arguments. */
static void write_zsh_text(struct wh_buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\'')
            wh_buf_append_str(out, "'\\''");
        else if (strchr("[]:\\", *text))
            wh_buf_printf(out, "\\%c", *text);
        else
            wh_buf_append_char(out, *text);
    }
}

static void write_zsh_option(struct wh_buf *out, const struct cli_option *option, bool is_letter)
{
    bool repeats = option->type == CLI_LIST || option->type == CLI_COUNT;
    wh_buf_append_str(out, repeats ? "        '*" : "        '");
    if (is_letter)
        wh_buf_printf(out, "-%c", option->letter);
    else
        wh_buf_printf(out, "--%s", option->name);
    wh_buf_append_char(out, '[');
    write_zsh_text(out, option->help);
    wh_buf_append_char(out, ']');
    if (takes(option)) {
        wh_buf_append_char(out, ':');
        write_zsh_text(out, option->argument);
        wh_buf_append_char(out, ':');
        if (option->choices) {
            wh_buf_append_char(out, '(');
            write_words(out, option->choices);
            wh_buf_append_char(out, ')');
        } else if (option->traits & CLI_FILE) {
            wh_buf_append_str(out, "_files");
        }
    }
    wh_buf_append_str(out, "'\n");
}

static void write_zsh_options(struct wh_buf *out, const char *name, const struct cli_options *rows)
{
    wh_buf_printf(out, "    local -a %s=(\n", name);
    for (size_t i = 0; i < rows->count; i++) {
        if (rows->rows[i].letter)
            write_zsh_option(out, &rows->rows[i], true);
        write_zsh_option(out, &rows->rows[i], false);
    }
    wh_buf_append_str(out, "    )\n");
}

static void write_zsh_command(struct wh_buf *out, const struct cli_command *command)
{
    wh_buf_printf(out, "    %s)\n    ", command->name);
    write_zsh_options(out, "own", &command->options);
    wh_buf_printf(out, "        _arguments -s $own $output%s",
                  command->connects ? " $connection" : "");
    if (command->words || strcmp(command->name, "help") == 0) {
        wh_buf_append_str(out, " '1:word:(");
        if (command->words)
            write_words(out, command->words);
        else
            write_command_names(out);
        wh_buf_append_str(out, ")'");
    }
    wh_buf_append_str(out, " '*:argument:' ;;\n");
}

void cli_completion_zsh(struct wh_buf *out)
{
    wh_buf_append_str(out, "#compdef wh\n# zsh completion for wh; made by: wh completion zsh\n"
                           "_wh() {\n"
                           "    local curcontext=$curcontext state line\n");
    write_zsh_options(out, "output", &cli_output_options);
    write_zsh_options(out, "connection", &cli_connection_options);
    wh_buf_append_str(out, "    local -a commands=(\n");
    for (size_t i = 0; i < cli_command_count; i++) {
        wh_buf_printf(out, "        '%s:", cli_commands[i].name);
        write_zsh_text(out, cli_commands[i].summary);
        wh_buf_append_str(out, "'\n");
    }
    wh_buf_append_str(out, "    )\n"
                           "    _arguments -C -s $output $connection '1:command:->command' "
                           "'*::argument:->rest' && return\n"
                           "    case $state in\n"
                           "    command) _describe command commands; return ;;\n"
                           "    esac\n"
                           "    case $line[1] in\n");
    for (size_t i = 0; i < cli_command_count; i++)
        write_zsh_command(out, &cli_commands[i]);
    wh_buf_append_str(out, "    esac\n}\n"
                           "if [ \"$funcstack[1]\" = _wh ]; then _wh \"$@\"; else compdef _wh wh; "
                           "fi\n");
}

/* ---- the command ---- */

int run_completion(struct app *app, int argc, char **argv)
{
    struct wh_buf script = {0};
    (void)argc;
    if (strcmp(argv[1], "bash") == 0)
        cli_completion_bash(&script);
    else if (strcmp(argv[1], "zsh") == 0)
        cli_completion_zsh(&script);
    else
        return app_usage(app, "completion is for bash or zsh, not \"%s\"", argv[1]);
    fputs(wh_buf_cstr(&script), stdout);
    wh_buf_deinit(&script);
    return CLI_OK;
}
