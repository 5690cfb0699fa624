/*
 * The text of one log line, pure: fields in, bytes out.  Only for log.c.
 *
 * Values come from strangers: whatever they hold, the line stays one line and
 * one well-formed logfmt or JSON record.
 */
#ifndef WH_BASE_LOG_LINE_H
#define WH_BASE_LOG_LINE_H

#include "common/base/slice.h"

#include <stdarg.h>

enum { WH_LOG_LINE_MAX = 4096 };

struct wh_log_line {
    size_t len;
    bool is_json;
    bool is_cut; /* something did not fit; nothing more is added */
    char text[WH_LOG_LINE_MAX];
};

void wh_log_line_begin(struct wh_log_line *line, bool is_json);

/* `name` is ours and goes out as it is.  `is_number`: the text is a number of JSON. */
void wh_log_line_field(struct wh_log_line *line,
                       struct wh_slice name,
                       struct wh_slice value,
                       bool is_number);

/* The fields of a printf format as log.h describes it. */
void wh_log_line_format(struct wh_log_line *line, const char *format, va_list args);

/* Close the record and add the newline; the line, valid as long as `line`. */
struct wh_slice wh_log_line_end(struct wh_log_line *line);

#endif
