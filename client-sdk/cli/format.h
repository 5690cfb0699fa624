/*
 * The two small languages of the command line: `-f '%t %c %o %d'` for what is
 * printed, `--template '{{i}}'` for what is published.  Pure.
 */
#ifndef WH_CLI_FORMAT_H
#define WH_CLI_FORMAT_H

#include "common/base/buf.h"

/* What % stands for; strings may be NULL. */
struct format_fields {
    int64_t time_ms;
    const char *channel;
    uint64_t offset;
    struct wh_slice data;
    const char *user, *client;
};

/* WH_EFORMAT with a sentence: an unknown letter, a lone % or \ at the end. */
WH_MUST_CHECK enum wh_err format_check(const char *format, struct wh_buf *problem);

/* Of a format that was checked.  No line feed is added. */
void format_write(const char *format, const struct format_fields *fields, struct wh_buf *out);

/* WH_EFORMAT with a sentence: a name that is none, a {{ that is not closed. */
WH_MUST_CHECK enum wh_err template_check(const char *text, struct wh_buf *problem);

/* Of a template that was checked: {{i}} is `number`, {{ts}} and {{time}} are `time_ms`. */
void template_write(const char *text, uint64_t number, int64_t time_ms, struct wh_buf *out);

#endif
