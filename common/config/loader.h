/*
 * The loader that all sources fill, and the problems found on the way: for the
 * files of common/config and for a program's rules between options.
 */
#ifndef WH_CONFIG_LOADER_H
#define WH_CONFIG_LOADER_H

#include "common/config/load.h"

/* A file or variable larger than this is no configuration. */
#define WH_CONFIG_TEXT_MAX ((size_t)1024 * 1024)

/* More problems than this help nobody; the rest is counted. */
#define WH_CONFIG_PROBLEMS_MAX 200

struct wh_config_problem {
    struct wh_option_place place;
    bool is_warning;
    const char *text; /* the whole line without its "warning: " */
};

struct wh_config_loader {
    const struct wh_config_program *program;
    struct wh_arena *arena;
    struct wh_option_set set;
    const char *file_name; /* NULL when there is no file */
    const char *own_name;  /* the variable or flag being read */
    bool strict;
    bool is_out_of_memory;
    bool is_unread; /* a source could not be read at all: rules would speak of what was not seen */
    struct wh_config_problem problems[WH_CONFIG_PROBLEMS_MAX];
    size_t problem_count;
    size_t problems_dropped;
    size_t error_count;
};

enum wh_config_severity { WH_CONFIG_WARNING, WH_CONFIG_ERROR };

/*
 * Note a problem at `place`.  `name` is the option as the user sees it
 * ("channel.namespaces[2].history_ttl"), NULL when there is none.
 */
void wh_config_problem(struct wh_config_loader *loader,
                       enum wh_config_severity severity,
                       struct wh_option_place place,
                       const char *name,
                       const char *format,
                       ...) WH_PRINTF(5, 6);

/* A name that a similar program knows: an error under --strict, else a warning. */
void wh_config_problem_foreign(struct wh_config_loader *loader,
                               struct wh_option_place place,
                               const char *name);

/* Write all problems in the order of the sources, then of lines. */
void wh_config_problems_write(struct wh_config_loader *loader, struct wh_buf *out);

/* A printed text in the loader's arena; "" without memory (noted). */
const char *wh_config_text(struct wh_config_loader *loader, const char *format, ...)
    WH_PRINTF(2, 3);

/*
 * Set one option of the loader or of an object in a list from text, noting what is wrong and what
 * has no effect.  With `is_file` the text is the path of a secret's file.
 */
struct wh_config_value {
    struct wh_option_set *set;
    const struct wh_option *option;
    const char *shown_name;
    struct wh_slice text;
    struct wh_option_place place;
    bool is_file;
};
void wh_config_set(struct wh_config_loader *loader, const struct wh_config_value *value);

/* A warning when the option just set differs from its default and nothing acts on it yet. */
void wh_config_warn_no_effect(struct wh_config_loader *loader,
                              const struct wh_option_set *set,
                              const struct wh_option *option,
                              const char *shown_name);

/* Walk a whole document (yaml.c). */
void wh_config_read_document(struct wh_config_loader *loader,
                             struct wh_slice text,
                             enum wh_option_origin origin);

/* Set one option from a YAML list in a variable or flag. */
void wh_config_read_list(struct wh_config_loader *loader,
                         const struct wh_option *option,
                         struct wh_slice text,
                         enum wh_option_origin origin);

/* What the environment and the flags say (source.c). */
void wh_config_read_environ(struct wh_config_loader *loader, char **environ);
void wh_config_read_flags(struct wh_config_loader *loader, const struct wh_config_source *source);

#endif
