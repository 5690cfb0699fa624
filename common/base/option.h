/*
 * The option table: one row per option gives the file, the environment, the
 * flags, --help, the printed configuration and its reference, so that none of
 * them can disagree.  This module knows values and names; reading YAML, the
 * environment or argv is the program's part.
 *
 *     static const struct wh_option rows[] = {
 *         {.name = "http.port", .type = WH_OPTION_INTEGER, .max = 65535,
 *          .offset = offsetof(struct settings, http.port), .default_text = "8000",
 *          .help = "TCP port to listen on."},
 *     };
 *     static const struct wh_option_table table = {rows, 1, sizeof(struct settings)};
 *
 * Rows of one group ("http.…") stand together.  A set binds a table to the
 * struct that it fills and remembers where each value came from; memory comes
 * from the arena given to it.  Not thread-safe; no globals.
 */
#ifndef WH_BASE_OPTION_H
#define WH_BASE_OPTION_H

#include "common/base/arena.h"
#include "common/base/buf.h"

#include <stdint.h>

/* What stands at `offset` in the filled struct. */
enum wh_option_type {
    WH_OPTION_BOOL,     /* bool */
    WH_OPTION_INTEGER,  /* uint64_t; or int64_t when max is at most INT64_MAX */
    WH_OPTION_DURATION, /* uint64_t, milliseconds: "25s", "5m", "1h30m", "300ms", "0" */
    WH_OPTION_SIZE,     /* uint64_t, bytes: "65536", "64KiB", "1MiB", "2GiB" */
    WH_OPTION_STRING,   /* char *, NULL unless it has a default */
    WH_OPTION_STRINGS,  /* struct { char **items; size_t count; } */
    WH_OPTION_ENUM,     /* an enum: the index into `choices` */
    WH_OPTION_OBJECTS   /* struct { struct x *items; size_t count; }, x filled by `objects` */
};

enum wh_option_flag {
    WH_OPTION_SECRET = 1,       /* a string that is never printed nor taken from argv; NAME_file */
    WH_OPTION_RELOADABLE = 2,   /* a running program takes a new value over */
    WH_OPTION_NO_EFFECT_YET = 4 /* read and checked, but nothing acts on it */
};

struct wh_option_table;

struct wh_option {
    const char *name; /* "client.ping_interval" */
    enum wh_option_type type;
    unsigned flags;
    size_t offset;
    const char *default_text;   /* as a user would write it; NULL = zero, NULL or empty */
    uint64_t min;               /* number, milliseconds or bytes; strings: length in bytes */
    uint64_t max;               /* 0 = no bound of its own */
    const char *const *choices; /* ENUM: names in the enum's order, then NULL */
    const struct wh_option_table *objects;
    const char *help; /* a full sentence */
};

struct wh_option_table {
    const struct wh_option *options;
    size_t count;
    size_t size; /* of the struct that is filled */
};

/* In order of strength. */
enum wh_option_origin {
    WH_OPTION_FROM_DEFAULT,
    WH_OPTION_FROM_FILE,
    WH_OPTION_FROM_ENV,
    WH_OPTION_FROM_FLAG
};

struct wh_option_place {
    enum wh_option_origin origin;
    unsigned line; /* from 1; 0 = the source has no lines */
    unsigned column;
};

struct wh_option_set;

struct wh_option_state {
    struct wh_option_place place;
    bool is_broken;                /* the strongest source gave something unusable */
    struct wh_option_set *objects; /* OBJECTS: one set per item */
};

struct wh_option_set {
    const struct wh_option_table *table;
    void *target;
    struct wh_arena *arena;
    struct wh_option_state *states; /* one per row */
};

/*
 * Fill `target` (zeroed before, table->size bytes) with the defaults.  Everything is borrowed.
 * A default that its own row refuses is a bug and asserts.  WH_ENOMEM.
 */
WH_MUST_CHECK enum wh_err wh_option_set_init(struct wh_option_set *set,
                                             const struct wh_option_table *table,
                                             void *target,
                                             struct wh_arena *arena);

struct wh_option_state *wh_option_state(const struct wh_option_set *set,
                                        const struct wh_option *option);

/*
 * Set one value from text.  STRINGS are split at commas and blanks; OBJECTS cannot be set so.
 * WH_EFORMAT with what is wrong in `problem` ("\"5 mins\" is not a duration (try 5m)"), the row
 * marked broken and the old value kept; WH_ENOMEM.
 */
WH_MUST_CHECK enum wh_err wh_option_set_text(struct wh_option_set *set,
                                             const struct wh_option *option,
                                             struct wh_slice text,
                                             struct wh_option_place place,
                                             struct wh_buf *problem);

/* The same for STRINGS whose items are known apart. */
WH_MUST_CHECK enum wh_err wh_option_set_strings(struct wh_option_set *set,
                                                const struct wh_option *option,
                                                const struct wh_slice *items,
                                                size_t count,
                                                struct wh_option_place place,
                                                struct wh_buf *problem);

/* Replace a list of objects by `count` ones with defaults, to be filled through
 * wh_option_state(…)->objects.  WH_ENOMEM. */
WH_MUST_CHECK enum wh_err wh_option_set_objects(struct wh_option_set *set,
                                                const struct wh_option *option,
                                                size_t count,
                                                struct wh_option_place place);

/*
 * The content of a secret's file without its trailing line end, copied into the arena.  Only
 * regular files of at most 64 KiB: reading must neither block nor end never.
 * WH_EIO with the reason in `problem`; WH_ENOMEM.
 */
WH_MUST_CHECK enum wh_err wh_option_read_secret(const char *path,
                                                struct wh_arena *arena,
                                                struct wh_slice *out_secret,
                                                struct wh_buf *problem);

/* NULL when no row has that name. */
const struct wh_option *wh_option_find(const struct wh_option_table *table, struct wh_slice name);

/* "x.key_file" gives the SECRET row "x.key"; NULL for everything else. */
const struct wh_option *wh_option_find_secret_file(const struct wh_option_table *table,
                                                   struct wh_slice name);

/* Whether options "name.…" exist. */
bool wh_option_is_group(const struct wh_option_table *table, struct wh_slice name);

/* Write the known name that `name` was probably meant to be (an option, or a group); false and
 * nothing written when none is near. */
bool wh_option_nearest(const struct wh_option_table *table,
                       struct wh_slice name,
                       struct wh_buf *out);

/* The same over `count` plain names; NULL when none is near. */
const char *wh_nearest_word(struct wh_slice word, const char *const *words, size_t count);

/* PREFIX_HTTP_PORT for "http.port"; `prefix` with its underscore. */
void wh_option_write_env_name(const char *prefix, const char *name, struct wh_buf *out);

/* The row that an environment variable names; *out_is_file for the NAME_FILE of a secret. */
const struct wh_option *wh_option_find_env(const struct wh_option_table *table,
                                           const char *prefix,
                                           struct wh_slice variable,
                                           bool *out_is_file);

/* "1h30m", "0": WH_EFORMAT for anything else, a sign, a fraction or more than 100 years. */
WH_MUST_CHECK enum wh_err wh_duration_parse(struct wh_slice text, uint64_t *out_ms);
void wh_duration_write(uint64_t ms, struct wh_buf *out);

/* "65536", "64KiB" (also MiB, GiB): WH_EFORMAT for anything else or past 2^63. */
WH_MUST_CHECK enum wh_err wh_size_parse(struct wh_slice text, uint64_t *out_bytes);
void wh_size_write(uint64_t bytes, struct wh_buf *out);

/* The present value as one line of YAML (strings and lists as JSON); a secret as "********". */
void wh_option_write_value(const struct wh_option *option, const void *target, struct wh_buf *out);

/* What stands for a secret wherever it would be printed. */
#define WH_OPTION_MASK "********"

bool wh_option_equal(const struct wh_option *option, const void *target_a, const void *target_b);

/* How wh_option_write_yaml and _write_env print a set. */
struct wh_option_print {
    bool with_origins;      /* a comment behind each value says where it came from */
    const char *file_name;  /* for those comments */
    const char *env_prefix; /* "WIREHUB_" */
};

/* The whole set as a YAML document; of objects only what differs from their defaults. */
void wh_option_write_yaml(const struct wh_option_set *set,
                          const struct wh_option_print *print,
                          struct wh_buf *out);

/* The whole set as NAME=value lines that a shell can read. */
void wh_option_write_env(const struct wh_option_set *set,
                         const struct wh_option_print *print,
                         struct wh_buf *out);

/* A Markdown table of the rows whose group is exactly `group` ("" = rows without one). */
void wh_option_write_markdown(const struct wh_option_table *table,
                              const char *group,
                              struct wh_buf *out);

/* The rows as lines of --help; secrets as their --NAME_file. */
void wh_option_write_help(const struct wh_option_table *table, struct wh_buf *out);

#endif
