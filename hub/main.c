/*
 * wirehub: argv to a verb.  `serve` is the hub; the others help to run one.
 */
#include "common/base/log.h"
#include "hub/auth.h"
#include "hub/config.h"
#include "hub/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wh_version.h>

extern char **environ;

#ifdef __SANITIZE_ADDRESS__
/*
 * For sanitized builds: a context of this libwebsockets that is destroyed on a foreign loop while
 * one of its sockets is still closing now and then leaves its tables behind.  The process ends
 * right then; our own leaks are still found.
 */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libwebsockets.so\n";
}
#endif

static void print_serve_help(void)
{
    struct wh_buf flags = {0};
    config_write_flags_help(&flags);
    printf("Usage: wirehub serve [-c FILE] [--strict] [--OPTION=VALUE …]\n"
           "\n"
           "Run the hub: defaults, then FILE, then WIREHUB_… variables, then flags.\n"
           "Without a broker configured it needs nothing else: one worker, in memory.\n"
           "\n"
           "  -c, --config FILE   configuration (YAML or JSON); see also gen-config\n"
           "      --strict        options that this version does not know are errors\n"
           "  -h, --help          this text\n"
           "\n"
           "Signals: TERM drains and exits (again: at once), HUP reloads, USR1 switches the\n"
           "debug log.\n"
           "\n%s",
           wh_buf_cstr(&flags));
    wh_buf_deinit(&flags);
}

/* Warnings and errors of the configuration, one a line, as they are. */
static void print_problems(struct wh_buf *problems)
{
    fputs(wh_buf_cstr(problems), stderr);
}

static int serve_main(int argc, char **argv)
{
    struct wh_config_source source = {.environ = environ, .argc = argc - 1, .argv = argv + 1};
    struct config *config = NULL;
    struct wh_buf problems = {0};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_serve_help();
            return 0;
        }
    }
    enum wh_err err = config_load(&source, &config, &problems);
    print_problems(&problems);
    wh_buf_deinit(&problems);
    if (err) {
        fprintf(stderr, "wirehub: the configuration has errors; nothing was started\n");
        return 1;
    }
    wh_log_setup("wirehub", config->log.format);
    wh_log_set_level(config->log.level);
    int status = supervisor_run(&source, config, worker_main);
    config_free(config);
    return status;
}

static int version_main(int argc, char **argv)
{
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        printf("Usage: wirehub version\n\nPrint the version and the commit it was built from.\n");
        return 0;
    }
    if (argc > 1) {
        fprintf(stderr, "wirehub: version takes no \"%s\"\n", argv[1]);
        return 2;
    }
    printf("wirehub %s (%s)\n", WH_VERSION, WH_COMMIT);
    return 0;
}

struct verb {
    const char *name;
    int (*run)(int argc, char **argv); /* argv[0] is the verb */
    const char *help;
};

static const struct verb verbs[] = {
    {"serve", serve_main, "run the hub"},
    {"check-config", config_check_main, "say what is wrong with a configuration"},
    {"print-config", config_print_main, "show the values in force and where they come from"},
    {"gen-config", config_generate_main, "write a configuration that is ready to run"},
    {"gen-token", token_generate_main, "make a connection token"},
    {"gen-sub-token", token_generate_subscription_main, "make a subscription token"},
    {"check-token", token_check_main, "verify a token and show what it says"},
    {"version", version_main, "print version and commit"},
};

static void print_help(FILE *out)
{
    fprintf(out, "wirehub: real-time hub; WebSocket clients on one side, Redis on the other\n"
                 "\n"
                 "Usage: wirehub VERB [options]     wirehub VERB --help\n\n");
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        fprintf(out, "  %-14s %s\n", verbs[i].name, verbs[i].help);
    fprintf(out,
            "\n"
            "To try it:  wirehub gen-config -o wirehub.yaml && wirehub serve -c wirehub.yaml\n");
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "--help";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_help(argc > 1 ? stdout : stderr);
        return argc > 1 ? 0 : 2;
    }
    if (strcmp(name, "--version") == 0)
        name = "version";
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (strcmp(name, verbs[i].name) == 0)
            return verbs[i].run(argc - 1, argv + 1);
    fprintf(stderr, "wirehub: no verb \"%s\"; wirehub --help lists them\n", name);
    return 2;
}
