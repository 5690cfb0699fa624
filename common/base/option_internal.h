/*
 * Shared by the option_*.c files only.
 *
 * Members of the filled struct are read and written by memcpy: the engine sees
 * them as offsets, and their declared types (an enum, a pointer to some
 * struct) are not its own.
 */
#ifndef WH_BASE_OPTION_INTERNAL_H
#define WH_BASE_OPTION_INTERNAL_H

#include "common/base/option.h"

/* The shape that STRINGS and OBJECTS members have. */
struct wh_option_list {
    void *items;
    size_t count;
};

static inline void wh_option_load(const struct wh_option *option,
                                  const void *target,
                                  void *out,
                                  size_t size)
{
    memcpy(out, (const char *)target + option->offset, size);
}

static inline void wh_option_store(const struct wh_option *option,
                                   void *target,
                                   const void *value,
                                   size_t size)
{
    memcpy((char *)target + option->offset, value, size);
}

/* JSON's quoting, which YAML and people can read as well; `max` bytes, 0 = all. */
void wh_option_write_quoted(struct wh_slice text, size_t max, struct wh_buf *out);

/* In the unit of the option's type. */
void wh_option_write_number(const struct wh_option *option, uint64_t number, struct wh_buf *out);

WH_MUST_CHECK enum wh_err wh_option_parse_number(const struct wh_option *option,
                                                 struct wh_slice text,
                                                 uint64_t *out_number,
                                                 struct wh_buf *problem);
WH_MUST_CHECK enum wh_err wh_option_parse_bool(struct wh_slice text,
                                               bool *out,
                                               struct wh_buf *problem);
WH_MUST_CHECK enum wh_err wh_option_parse_choice(const struct wh_option *option,
                                                 struct wh_slice text,
                                                 unsigned *out,
                                                 struct wh_buf *problem);

#endif
