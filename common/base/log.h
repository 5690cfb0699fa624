/*
 * Structured log: events with fields, not prose.
 *
 *     wh_log(WH_LOG_INFO, "session", "close", "code=%u reason=%s", code, reason);
 *
 * `fields` is a printf format of space-separated name=value items; it is cut into fields at the
 * *format's* spaces, so a value with spaces or quotes stays one value and is escaped for the
 * format in use.  Conversions: d i u x with h hh l ll z, s, .*s, f, c, %, each with a width, a
 * leading 0 or a precision.  A value that is one d, i, u or f is a number in JSON, everything else
 * a string.  Never a token, key or password in a field.
 *
 * logfmt on a terminal, one JSON object a line otherwise, one write to stdout for each.  A line
 * is at most 4 KiB: what does not fit is cut between characters, and truncated=true says so.
 *
 * The sink is the one global of the project: one process, one log; any thread.
 */
#ifndef WH_BASE_LOG_H
#define WH_BASE_LOG_H

#include "common/base/err.h"
#include "common/base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum wh_log_level {
    WH_LOG_TRACE,
    WH_LOG_DEBUG,
    WH_LOG_INFO,
    WH_LOG_WARN,
    WH_LOG_ERROR,
    WH_LOG_NONE
};

enum wh_log_format { WH_LOG_AUTO, WH_LOG_LOGFMT, WH_LOG_JSON };

/* `program_name` is borrowed for the process's life and stamped into each line. */
void wh_log_setup(const char *program_name, enum wh_log_format wanted);
void wh_log_set_level(enum wh_log_level level);
bool wh_log_enabled(enum wh_log_level level);

/* An extra field for every line ("worker", 1); name borrowed. */
void wh_log_set_instance(const char *name, int64_t value);

/*
 * The trace that this thread works for, from now on: each of its lines has the field trace_id.
 * Copied; NULL, or one that is not valid: none.
 */
struct wh_trace;
void wh_log_set_trace(const struct wh_trace *trace);

void wh_log(enum wh_log_level level, const char *module, const char *event, const char *fields, ...)
    WH_PRINTF(4, 5);

/*
 * The same for events that strangers can cause at will: at most one line a second and call site;
 * the next line that passes carries suppressed=N.
 */
struct wh_log_limit {
    uint64_t window_start_ms;
    uint64_t suppressed;
};
void wh_log_limited(struct wh_log_limit *limit,
                    enum wh_log_level level,
                    const char *module,
                    const char *event,
                    const char *fields,
                    ...) WH_PRINTF(5, 6);

/* "info" → WH_LOG_INFO; false for an unknown name. */
bool wh_log_level_parse(const char *name, enum wh_log_level *out_level);

/* Tests take the lines (newline included) instead of stdout; NULL restores stdout. */
typedef void wh_log_sink_fn(void *user, const char *line, size_t len);
void wh_log_set_sink(wh_log_sink_fn *fn, void *user);

#endif
