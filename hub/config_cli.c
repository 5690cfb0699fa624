/*
 * The verbs around a configuration: check it, print it, make one.
 *
 * Results go to standard output, problems to standard error; the exit status
 * is 0 or 1.
 */
#include "hub/config_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int write_out(FILE *file, struct wh_buf *text)
{
    int status = 0;

    if (wh_buf_error(text) != WH_OK ||
        (text->len > 0 && fwrite(text->ptr, 1, text->len, file) != text->len) ||
        fflush(file) != 0) {
        fprintf(stderr, "wirehub: output failed\n");
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

static int print_text(const char *text)
{
    fputs(text, stdout);
    return fflush(stdout) == 0 ? 0 : 1;
}

static const char check_help[] =
    "Usage: wirehub check-config [-c FILE] [--strict] [--OPTION=VALUE ...]\n"
    "\n"
    "Read the configuration as `wirehub serve` would (file, then WIREHUB_... variables, then\n"
    "flags) and report every problem in it.  Exit status 0 when it can be used, 1 when not.\n"
    "\n"
    "  -c, --config FILE  the file; WIREHUB_CONFIG names it as well\n"
    "  --strict           options that Centrifugo knows and this hub does not are errors\n"
    "  -h, --help         this text\n";

/* What a summary calls the configuration. */
static const char *source_name(const struct config_source *source)
{
    const char *path = config_find_path(source);

    return path ? path : "configuration";
}

int config_check_main(int argc, char **argv)
{
    struct config_source source = {.environ = environ, .argc = argc - 1, .argv = argv + 1};
    struct wh_option_set set;
    struct wh_buf problems = {0};
    size_t warnings = 0;

    if (wants_help(argc, argv))
        return print_text(check_help);
    enum wh_err err = config_load_set(&source, &set, &warnings, &problems);
    if (write_out(stderr, &problems) != 0)
        return 1;
    if (err != WH_OK) {
        fprintf(stderr, "%s: %s\n", source_name(&source),
                err == WH_EFORMAT ? "cannot be used" : wh_err_text(err));
        return 1;
    }
    printf("%s: ok, %zu warning%s\n", source_name(&source), warnings, warnings == 1 ? "" : "s");
    config_free(set.target);
    return fflush(stdout) == 0 ? 0 : 1;
}

static const char print_help[] =
    "Usage: wirehub print-config [-c FILE] [--defaults] [--env] [--origin] [--OPTION=VALUE ...]\n"
    "\n"
    "Print the configuration in effect, with every default, as YAML.  Secrets are shown as\n"
    "********.\n"
    "\n"
    "  -c, --config FILE  the file; WIREHUB_CONFIG names it as well\n"
    "  --defaults         the defaults alone: no file, no variables, no flags\n"
    "  --env              as WIREHUB_... variables\n"
    "  --origin           a comment behind each value says where it came from\n"
    "  -h, --help         this text\n";

/* `--markdown` writes docs/CONFIGURATION.md; it is for those who build the hub. */
static const char *const print_flags[] = {"--defaults", "--env", "--origin", "--markdown", NULL};

static int print_reference(void)
{
    struct wh_buf text = {0};

    config_write_reference(&text);
    return write_out(stdout, &text);
}

int config_print_main(int argc, char **argv)
{
    struct config_source source = {
        .environ = environ, .argc = argc - 1, .argv = argv + 1, .own_flags = print_flags};
    struct wh_option_set set;
    struct wh_buf text = {0};
    size_t warnings;

    if (wants_help(argc, argv))
        return print_text(print_help);
    if (config_has_flag(&source, "--markdown"))
        return print_reference();
    struct wh_option_print print = {.with_origins = config_has_flag(&source, "--origin"),
                                    .file_name = config_find_path(&source),
                                    .env_prefix = CONFIG_ENV_PREFIX};
    bool as_variables = config_has_flag(&source, "--env");
    if (config_has_flag(&source, "--defaults"))
        source = (struct config_source){.path = NULL};
    enum wh_err err = config_load_set(&source, &set, &warnings, &text);
    if (err != WH_OK) {
        (void)write_out(stderr, &text);
        fprintf(stderr, "wirehub: print-config: %s\n", wh_err_text(err));
        return 1;
    }
    wh_buf_reset(&text);
    if (as_variables)
        wh_option_write_env(&set, &print, &text);
    else
        wh_option_write_yaml(&set, &print, &text);
    config_free(set.target);
    return write_out(stdout, &text);
}

static const char generate_help[] =
    "Usage: wirehub gen-config [-o FILE]\n"
    "\n"
    "Write a commented configuration with fresh random secrets, ready to run.\n"
    "\n"
    "  -o, --output FILE  create this file, readable by you alone; it must not exist yet\n"
    "  -h, --help         this text\n";

/* O_EXCL: never over a file that is there, and never through a link. */
static int create_file(const char *path, struct wh_buf *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    int status = 1;

    if (!file) {
        fprintf(stderr, "wirehub: %s: %s\n", path,
                errno == EEXIST ? "exists already and is not overwritten" : strerror(errno));
        if (fd >= 0)
            close(fd);
        wh_buf_deinit(text);
        return 1;
    }
    status = write_out(file, text);
    if (fclose(file) != 0)
        status = 1;
    if (status != 0)
        fprintf(stderr, "wirehub: %s: %s\n", path, strerror(errno));
    else
        fprintf(stderr, "%s: written; try `wirehub check-config -c %s`\n", path, path);
    return status;
}

int config_generate_main(int argc, char **argv)
{
    const char *path = NULL;
    struct wh_buf text = {0};

    if (wants_help(argc, argv))
        return print_text(generate_help);
    for (int i = 1; i < argc; i++) {
        bool is_output = strcmp(argv[i], "-o") == 0 || strcmp(argv[i], "--output") == 0;
        if (is_output && i + 1 < argc) {
            path = argv[++i];
        } else if (strncmp(argv[i], "--output=", 9) == 0) {
            path = argv[i] + 9;
        } else {
            fprintf(stderr, "wirehub: gen-config: %s: %s\n", argv[i],
                    is_output ? "needs the name of a file" : "unexpected argument (try --help)");
            return 1;
        }
    }
    config_write_example(&text);
    if (path && strcmp(path, "-") != 0)
        return create_file(path, &text);
    return write_out(stdout, &text);
}
