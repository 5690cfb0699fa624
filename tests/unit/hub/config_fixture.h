/*
 * What the tests of the configuration share: load a document and keep what was said about it.
 */
#ifndef TESTS_HUB_CONFIG_FIXTURE_H
#define TESTS_HUB_CONFIG_FIXTURE_H

#include "hub/config.h"
#include "hub/config_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define SECRET          "0123456789abcdef0123456789abcdef"
#define ANYONE          "client: { allow_anonymous_connect_without_token: true }\n"

struct loaded {
    struct config *config; /* NULL after an error */
    enum wh_err err;
    struct wh_buf problems;
};

static inline struct loaded load(const struct wh_config_source *source)
{
    struct loaded loaded = {0};
    loaded.err = config_load(source, &loaded.config, &loaded.problems);
    assert_int_equal(loaded.config != NULL, loaded.err == WH_OK);
    return loaded;
}

static inline struct loaded load_text(const char *text)
{
    return load(&(struct wh_config_source){.path = "w.yaml", .text = wh_slice_from_str(text)});
}

static inline void unload(struct loaded *loaded)
{
    config_free(loaded->config);
    wh_buf_deinit(&loaded->problems);
}

/* What main gives: environ and argv are not const, though nobody writes to them. */
static inline char *word(const char *text)
{
    return (char *)(uintptr_t)text;
}

#endif
