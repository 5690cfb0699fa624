/*
 * argv to a verb: serve runs the service, the others help to run one.
 */
#include "services/core/service.h"

#include "services/core/process.h"
#include "services/core/settings.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <wh_version.h>

struct program {
    const struct svc_def *def;
    struct svc_config config;
    struct svc_segments segments;
    int argc; /* argv[0] is the verb */
    char **argv;
};

static bool wants_help(const struct program *program)
{
    for (int i = 1; i < program->argc; i++) {
        if (strcmp(program->argv[i], "--help") == 0 || strcmp(program->argv[i], "-h") == 0)
            return true;
    }
    return false;
}

static void print_options(const struct program *program)
{
    struct wh_buf text = {0};
    wh_config_write_flags_help(&program->config.program, &text);
    printf("\n%s", wh_buf_cstr(&text));
    wh_buf_deinit(&text);
}

static int print_verb_help(const struct program *program, const char *verb, const char *text)
{
    const char *name = program->config.program.name;
    printf("Usage: %s %s [-c FILE] [--OPTION=VALUE ...]\n"
           "\n"
           "%s  Options come from their defaults, then FILE, then %s... variables,\n"
           "then flags.  Secrets are never taken from flags: --NAME_file=PATH is.\n"
           "\n"
           "  -c, --config FILE   configuration (YAML or JSON); see also gen-config\n"
           "  -h, --help          this text\n",
           name, verb, text, program->config.program.env_prefix);
    print_options(program);
    return 0;
}

/* The loaded options, or NULL after saying what is wrong. */
static bool load(const struct program *program, struct wh_option_set *out_set)
{
    const struct wh_config_source source = {
        .environ = environ, .argc = program->argc - 1, .argv = program->argv + 1};
    struct wh_buf problems = {0};
    size_t warnings;
    enum wh_err err =
        wh_config_load(&program->config.program, &source, out_set, &warnings, &problems);
    fputs(wh_buf_cstr(&problems), stderr);
    wh_buf_deinit(&problems);
    if (err)
        fprintf(stderr, "%s: the configuration has errors; nothing was started\n",
                program->config.program.name);
    return err == WH_OK;
}

static void set_up_log(const struct program *program, const struct svc_settings *settings)
{
    wh_log_setup(program->config.program.name, settings->log.format);
    wh_log_set_level(settings->log.level);
}

static int serve_main(struct program *program)
{
    struct wh_option_set set;
    if (wants_help(program))
        return print_verb_help(program, "serve", "Run the service.");
    if (!load(program, &set))
        return 1;
    const struct svc_settings *settings = svc_config_settings(&set);
    set_up_log(program, settings);
    int status =
        svc_process_run(program->def, settings, svc_config_own_settings(&set), &program->segments);
    wh_config_unload(&set);
    return status;
}

static int check_main(struct program *program)
{
    return wh_config_check_main(&program->config.program, program->argc, program->argv);
}

static int print_main(struct program *program)
{
    return wh_config_print_main(&program->config.program, program->argc, program->argv);
}

static int generate_main(struct program *program)
{
    return wh_config_generate_main(&program->config.program, program->argc, program->argv);
}

static int version_main(struct program *program)
{
    printf("%s %s (wirehub %s, %s)\n", program->config.program.name, program->def->version,
           WH_VERSION, WH_COMMIT);
    return 0;
}

static const struct verb {
    const char *name;
    int (*run)(struct program *program);
    const char *help;
} verbs[] = {
    {"serve", serve_main, "run the service (also without a verb)"},
    {"check-config", check_main, "say what is wrong with a configuration"},
    {"print-config", print_main, "show the values in force and where they come from"},
    {"gen-config", generate_main, "write a configuration to begin with"},
    {"version", version_main, "print version and commit"},
};

static bool is_part_wanted(const struct svc_part *part, const struct svc_def *def)
{
    return !part->is_wanted || part->is_wanted(def);
}

static const struct svc_part *find_part(const struct program *program, const char *verb)
{
    for (size_t i = 0; svc_parts[i]; i++) {
        const struct svc_part *part = svc_parts[i];
        if (part->verb && strcmp(part->verb, verb) == 0 && is_part_wanted(part, program->def))
            return part;
    }
    return NULL;
}

static int run_part(struct program *program, const struct svc_part *part)
{
    struct wh_option_set set;
    if (wants_help(program))
        return print_verb_help(program, part->verb, part->verb_help);
    if (!load(program, &set))
        return 1;
    set_up_log(program, svc_config_settings(&set));
    int status = part->verb_main(program->def, svc_config_settings(&set));
    wh_config_unload(&set);
    return status;
}

static int print_help(const struct program *program)
{
    const char *name = program->config.program.name;
    const char *description = program->def->description;
    printf("%s: %s\n\nUsage: %s [VERB] [options]     %s VERB --help\n\n", name,
           description ? description : "a service of Wirehub", name, name);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        printf("  %-14s %s\n", verbs[i].name, verbs[i].help);
    for (size_t i = 0; svc_parts[i]; i++) {
        if (svc_parts[i]->verb && is_part_wanted(svc_parts[i], program->def))
            printf("  %-14s %s\n", svc_parts[i]->verb, svc_parts[i]->verb_help);
    }
    printf("\nSignals: TERM and INT drain and exit (again: at once).\n");
    print_options(program);
    return 0;
}

static int run_verb(struct program *program, const char *name)
{
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0)
        return print_help(program);
    if (strcmp(name, "--version") == 0)
        name = "version";
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(name, verbs[i].name) == 0)
            return verbs[i].run(program);
    }
    const struct svc_part *part = find_part(program, name);
    if (part)
        return run_part(program, part);
    fprintf(stderr, "%s: no verb \"%s\"; %s --help lists them\n", program->config.program.name,
            name, program->config.program.name);
    return 2;
}

/* Flags without a verb are those of serve. */
static bool begins_with_flag(int argc, char **argv)
{
    static const char *const own[] = {"--help", "-h", "--version", NULL};
    for (size_t i = 0; argc > 1 && own[i]; i++) {
        if (strcmp(argv[1], own[i]) == 0)
            return false;
    }
    return argc <= 1 || argv[1][0] == '-';
}

int svc_main(int argc, char **argv, const struct svc_def *def)
{
    struct program program = {.def = def};
    struct wh_buf problem = {0};

    if (svc_def_check(def, &program.segments, &problem) != WH_OK) {
        fprintf(stderr, "wirehub-%s: this service is not well defined:\n%s",
                def->name ? def->name : "?", wh_buf_cstr(&problem));
        wh_buf_deinit(&problem);
        return 1;
    }
    if (svc_config_init(&program.config, def) != WH_OK) {
        fprintf(stderr, "wirehub-%s: out of memory\n", def->name);
        return 1;
    }
    bool is_bare = begins_with_flag(argc, argv);
    program.argc = is_bare ? argc : argc - 1;
    program.argv = is_bare ? argv : argv + 1;
    int status = is_bare ? serve_main(&program) : run_verb(&program, argv[1]);
    svc_config_deinit(&program.config);
    return status;
}
