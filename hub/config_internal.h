/*
 * Shared by the config_*.c files only: the loader that all sources fill, and
 * the problems found on the way.
 */
#ifndef HUB_CONFIG_INTERNAL_H
#define HUB_CONFIG_INTERNAL_H

#include "common/base/option.h"
#include "hub/config.h"

#define CONFIG_ENV_PREFIX "WIREHUB_"

/* A file or variable larger than this is no configuration. */
#define CONFIG_TEXT_MAX ((size_t)1024 * 1024)

/* More problems than this help nobody; the rest is counted. */
#define CONFIG_PROBLEMS_MAX 200

extern const struct wh_option_table config_table;

/* Whether Centrifugo v6 knows the option (list items as "channel.namespaces.map"). */
bool config_name_is_foreign(struct wh_slice name);
bool config_variable_is_foreign(struct wh_slice variable);

struct config_problem {
    struct wh_option_place place;
    bool is_warning;
    const char *text; /* the whole line without its "warning: " */
};

struct config_loader {
    struct config *config;
    struct wh_arena *arena;
    struct wh_option_set set;
    const char *file_name; /* NULL when there is no file */
    const char *own_name;  /* the variable or flag being read */
    bool strict;
    bool is_out_of_memory;
    bool is_unread; /* a source could not be read at all: rules would speak of what was not seen */
    struct config_problem problems[CONFIG_PROBLEMS_MAX];
    size_t problem_count;
    size_t problems_dropped;
    size_t error_count;
};

enum config_severity { CONFIG_WARNING, CONFIG_ERROR };

/*
 * Note a problem at `place`.  `name` is the option as the user sees it
 * ("channel.namespaces[2].history_ttl"), NULL when there is none.
 */
void config_problem(struct config_loader *loader,
                    enum config_severity severity,
                    struct wh_option_place place,
                    const char *name,
                    const char *format,
                    ...) WH_PRINTF(5, 6);

/* Write all problems in the order of the sources, then of lines. */
void config_problems_write(struct config_loader *loader, struct wh_buf *out);

/* A printed text in the loader's arena; "" without memory (noted). */
const char *config_text(struct config_loader *loader, const char *format, ...) WH_PRINTF(2, 3);

/*
 * Set one option of the loader or of a namespace from text, noting what is wrong and what has no
 * effect.  With `is_file` the text is the path of a secret's file.
 */
struct config_value {
    struct wh_option_set *set;
    const struct wh_option *option;
    const char *shown_name;
    struct wh_slice text;
    struct wh_option_place place;
    bool is_file;
};
void config_set(struct config_loader *loader, const struct config_value *value);

/* A warning when the option just set differs from its default and nothing acts on it yet. */
void config_warn_no_effect(struct config_loader *loader,
                           const struct wh_option_set *set,
                           const struct wh_option *option,
                           const char *shown_name);

/* Walk a whole document (config_yaml.c). */
void config_read_document(struct config_loader *loader,
                          struct wh_slice text,
                          enum wh_option_origin origin);

/* Set one option from a YAML list in a variable or flag. */
void config_read_list(struct config_loader *loader,
                      const struct wh_option *option,
                      struct wh_slice text,
                      enum wh_option_origin origin);

/* What the environment and the flags say (config_source.c). */
void config_read_environ(struct config_loader *loader, char **environ);
void config_read_flags(struct config_loader *loader, const struct config_source *source);

/* The file that argv or the environment name; NULL when they name none. */
const char *config_find_path(const struct config_source *source);
bool config_has_flag(const struct config_source *source, const char *flag);

/* What no single option can know: rules between options (config_rules.c). */
void config_check_rules(struct config_loader *loader);

/* Load, but also give the set, with the origin of each value.  On success the caller frees
 * set->target by config_free. */
WH_MUST_CHECK enum wh_err config_load_set(const struct config_source *source,
                                          struct wh_option_set *out_set,
                                          size_t *out_warnings,
                                          struct wh_buf *out_problems);

#endif
