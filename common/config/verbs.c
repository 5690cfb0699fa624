/*
 * The verbs around a configuration: check it, print it, make one.
 *
 * Results go to standard output, problems to standard error; the exit status
 * is 0 or 1.
 */
#include "common/config/loader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int write_out(const struct wh_config_program *program, FILE *file, struct wh_buf *text)
{
    int status = 0;

    if (wh_buf_error(text) != WH_OK ||
        (text->len > 0 && fwrite(text->ptr, 1, text->len, file) != text->len) ||
        fflush(file) != 0) {
        fprintf(stderr, "%s: output failed\n", program->name);
        status = 1;
    }
    wh_buf_deinit(text);
    return status;
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    }
    return false;
}

static void write_source_help(const struct wh_config_program *program, struct wh_buf *out)
{
    wh_buf_printf(out, "  -c, --config FILE  the file; %sCONFIG names it as well\n",
                  program->env_prefix);
}

static int print_help(const struct wh_config_program *program, struct wh_buf *text)
{
    wh_buf_append_str(text, "  -h, --help         this text\n");
    return write_out(program, stdout, text);
}

static int print_check_help(const struct wh_config_program *program)
{
    struct wh_buf text = {0};

    wh_buf_printf(&text,
                  "Usage: %s check-config [-c FILE]%s [--OPTION=VALUE ...]\n"
                  "\n"
                  "Read the configuration as `%s serve` would (file, then %s... variables, then\n"
                  "flags) and report every problem in it.  Exit status 0 when it can be used, 1 "
                  "when not.\n"
                  "\n",
                  program->name, program->strict_help ? " [--strict]" : "", program->name,
                  program->env_prefix);
    write_source_help(program, &text);
    if (program->strict_help)
        wh_buf_printf(&text, "  --strict           %s\n", program->strict_help);
    return print_help(program, &text);
}

/* What a summary calls the configuration. */
static const char *source_name(const struct wh_config_program *program,
                               const struct wh_config_source *source)
{
    const char *path = wh_config_find_path(program, source);

    return path ? path : "configuration";
}

int wh_config_check_main(const struct wh_config_program *program, int argc, char **argv)
{
    struct wh_config_source source = {.environ = environ, .argc = argc - 1, .argv = argv + 1};
    struct wh_option_set set;
    struct wh_buf problems = {0};
    size_t warnings = 0;

    if (wants_help(argc, argv))
        return print_check_help(program);
    enum wh_err err = wh_config_load(program, &source, &set, &warnings, &problems);
    if (write_out(program, stderr, &problems) != 0)
        return 1;
    if (err != WH_OK) {
        fprintf(stderr, "%s: %s\n", source_name(program, &source),
                err == WH_EFORMAT ? "cannot be used" : wh_err_text(err));
        return 1;
    }
    printf("%s: ok, %zu warning%s\n", source_name(program, &source), warnings,
           warnings == 1 ? "" : "s");
    wh_config_unload(&set);
    return fflush(stdout) == 0 ? 0 : 1;
}

static int print_print_help(const struct wh_config_program *program)
{
    struct wh_buf text = {0};

    wh_buf_printf(&text,
                  "Usage: %s print-config [-c FILE] [--defaults] [--env] [--origin] "
                  "[--OPTION=VALUE ...]\n"
                  "\n"
                  "Print the configuration in effect, with every default, as YAML.  Secrets are "
                  "shown as\n"
                  "********.\n"
                  "\n",
                  program->name);
    write_source_help(program, &text);
    wh_buf_printf(&text,
                  "  --defaults         the defaults alone: no file, no variables, no flags\n"
                  "  --env              as %s... variables\n"
                  "  --origin           a comment behind each value says where it came from\n",
                  program->env_prefix);
    return print_help(program, &text);
}

/* `--markdown` writes docs/CONFIGURATION.md; it is for those who build the program. */
static const char *const print_flags[] = {"--defaults", "--env", "--origin", "--markdown", NULL};

static int print_reference(const struct wh_config_program *program)
{
    struct wh_buf text = {0};

    program->write_reference(program, &text);
    return write_out(program, stdout, &text);
}

int wh_config_print_main(const struct wh_config_program *program, int argc, char **argv)
{
    struct wh_config_source source = {
        .environ = environ, .argc = argc - 1, .argv = argv + 1, .own_flags = print_flags};
    struct wh_option_set set;
    struct wh_buf text = {0};
    size_t warnings;

    if (wants_help(argc, argv))
        return print_print_help(program);
    if (wh_config_has_flag(&source, "--markdown"))
        return print_reference(program);
    struct wh_option_print print = {.with_origins = wh_config_has_flag(&source, "--origin"),
                                    .file_name = wh_config_find_path(program, &source),
                                    .env_prefix = program->env_prefix};
    bool as_variables = wh_config_has_flag(&source, "--env");
    if (wh_config_has_flag(&source, "--defaults"))
        source = (struct wh_config_source){.path = NULL};
    enum wh_err err = wh_config_load(program, &source, &set, &warnings, &text);
    if (err != WH_OK) {
        (void)write_out(program, stderr, &text);
        fprintf(stderr, "%s: print-config: %s\n", program->name, wh_err_text(err));
        return 1;
    }
    wh_buf_reset(&text);
    if (as_variables)
        wh_option_write_env(&set, &print, &text);
    else
        wh_option_write_yaml(&set, &print, &text);
    wh_config_unload(&set);
    return write_out(program, stdout, &text);
}

static int print_generate_help(const struct wh_config_program *program)
{
    struct wh_buf text = {0};

    wh_buf_printf(&text,
                  "Usage: %s gen-config [-o FILE]\n"
                  "\n"
                  "Write a commented configuration with fresh random secrets, ready to run.\n"
                  "\n"
                  "  -o, --output FILE  create this file, readable by you alone; it must not exist "
                  "yet\n",
                  program->name);
    return print_help(program, &text);
}

/* O_EXCL: never over a file that is there, and never through a link. */
static int create_file(const struct wh_config_program *program,
                       const char *path,
                       struct wh_buf *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    int status = 1;

    if (!file) {
        fprintf(stderr, "%s: %s: %s\n", program->name, path,
                errno == EEXIST ? "exists already and is not overwritten" : strerror(errno));
        if (fd >= 0)
            close(fd);
        wh_buf_deinit(text);
        return 1;
    }
    status = write_out(program, file, text);
    if (fclose(file) != 0)
        status = 1;
    if (status != 0)
        fprintf(stderr, "%s: %s: %s\n", program->name, path, strerror(errno));
    else
        fprintf(stderr, "%s: written; try `%s check-config -c %s`\n", path, program->name, path);
    return status;
}

int wh_config_generate_main(const struct wh_config_program *program, int argc, char **argv)
{
    const char *path = NULL;
    struct wh_buf text = {0};

    if (wants_help(argc, argv))
        return print_generate_help(program);
    for (int i = 1; i < argc; i++) {
        bool is_output = strcmp(argv[i], "-o") == 0 || strcmp(argv[i], "--output") == 0;
        if (is_output && i + 1 < argc) {
            path = argv[++i];
        } else if (strncmp(argv[i], "--output=", 9) == 0) {
            path = argv[i] + 9;
        } else {
            fprintf(stderr, "%s: gen-config: %s: %s\n", program->name, argv[i],
                    is_output ? "needs the name of a file" : "unexpected argument (try --help)");
            return 1;
        }
    }
    program->write_example(program, &text);
    if (path && strcmp(path, "-") != 0)
        return create_file(program, path, &text);
    return write_out(program, stdout, &text);
}

void wh_config_write_flags_help(const struct wh_config_program *program, struct wh_buf *out)
{
    wh_option_write_help(program->table, out);
}
