/*
 * A program's configuration: file (YAML, JSON is a subset), environment and
 * flags read into the set of one option table (common/base/option.h), every
 * problem noted with its place; and the verbs around it, check-config,
 * print-config and gen-config.
 *
 * The hub and each service have a table, a prefix and rules of their own; the
 * reading is the same.  One thread.
 */
#ifndef WH_CONFIG_LOAD_H
#define WH_CONFIG_LOAD_H

#include "common/base/option.h"

struct wh_config_loader;

/* A flag with a name of its own, for what is typed most: {"port", "http_server.port"}. */
struct wh_config_flag {
    const char *flag;
    const char *option;
};

/* What is a program's own; everything but table, name and env_prefix may be NULL. */
struct wh_config_program {
    const struct wh_option_table *table;
    const char *name;                         /* "wirehub" */
    const char *env_prefix;                   /* "WIREHUB_" */
    const struct wh_config_flag *short_flags; /* ends with {NULL, NULL} */

    /* Names of options and variables that a similar program knows and this one does not: warnings,
     * under --strict errors, that say `foreign_text`. */
    bool (*is_foreign_name)(struct wh_slice name);
    bool (*is_foreign_variable)(struct wh_slice variable);
    const char *foreign_text; /* "known to Centrifugo, not supported here" */
    const char *strict_help;  /* of --strict; NULL = there is no such flag to speak of */

    /* What no single option can know: rules between options, by wh_config_problem. */
    void (*check_rules)(struct wh_config_loader *loader);

    /* What `print-config --markdown` and `gen-config` write. */
    void (*write_reference)(const struct wh_config_program *program, struct wh_buf *out);
    void (*write_example)(const struct wh_config_program *program, struct wh_buf *out);
};

/*
 * Where values come from: defaults, then the file, then variables with the program's prefix, then
 * the flags in argv (`--name=value` or `--name value`; a boolean's value may be left out).
 *
 * Of argv, `--config FILE`, `-c FILE`, `--strict`, `--help` and `-h` are known here: the first two
 * name the file when `path` is NULL, and PREFIX_CONFIG does when they are absent too; the third is
 * `strict`.  Any other flag or argument that is neither an option nor named in `own_flags` is an
 * error.
 */
struct wh_config_source {
    const char *path; /* NULL = as said above; and if that says nothing, no file */
    char **environ;   /* NULL = none */
    int argc;
    char **argv; /* the flags after the verb */
    bool strict; /* foreign options are errors, not warnings */

    /* Flags of the caller's own, NULL-terminated; "--user=" takes a value.  NULL = none. */
    const char *const *own_flags;

    /* When `text.ptr` is set it is read in place of the file, and `path` is only its name. */
    struct wh_slice text;
};

/*
 * Fill a new block of memory of the table's size, which belongs to the set with everything it
 * points to; released by wh_config_unload.  Every problem goes to `out_problems`, one per line, as
 * "file:line:column: option: what is wrong (hint)"; what came from a variable or a flag has its
 * name in place of the file's; warnings start with "warning: ".
 *
 * WH_OK, possibly with warnings; WH_EFORMAT when there was any error; WH_ENOMEM.
 */
WH_MUST_CHECK enum wh_err wh_config_load(const struct wh_config_program *program,
                                         const struct wh_config_source *source,
                                         struct wh_option_set *out_set,
                                         size_t *out_warnings,
                                         struct wh_buf *out_problems);
void wh_config_unload(struct wh_option_set *set);

/* The file that argv or the environment name; NULL when they name none. */
const char *wh_config_find_path(const struct wh_config_program *program,
                                const struct wh_config_source *source);
bool wh_config_has_flag(const struct wh_config_source *source, const char *flag);

/* The verbs; argv[0] is the verb.  They return the exit status. */
int wh_config_check_main(const struct wh_config_program *program, int argc, char **argv);
int wh_config_print_main(const struct wh_config_program *program, int argc, char **argv);
int wh_config_generate_main(const struct wh_config_program *program, int argc, char **argv);

/* The options as lines of --help, behind a heading. */
void wh_config_write_flags_help(const struct wh_config_program *program, struct wh_buf *out);

#endif
