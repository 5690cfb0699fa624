/*
 * The process's one log.  A line is built on the caller's stack and leaves in
 * one write(2), so that lines of threads and of forked workers that share a
 * pipe do not mix, and nothing is held back when a process dies.
 *
 * Settings are atomics: read by every thread, set by one.
 */
#include "common/base/log.h"

#include "common/base/clock.h"
#include "common/base/log_line.h"
#include "common/base/trace.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[] = {"trace", "debug", "info", "warn", "error", "none"};
enum { LEVELS = sizeof level_names / sizeof *level_names };

static _Atomic(const char *) program;
static atomic_int format; /* WH_LOG_AUTO until it has been decided */
static atomic_int level_min = WH_LOG_INFO;
static _Atomic(const char *) instance_name;
static _Atomic int64_t instance_value;
static _Atomic(wh_log_sink_fn *) sink;
static _Atomic(void *) sink_user;
static _Thread_local struct wh_trace thread_trace;

void wh_log_setup(const char *program_name, enum wh_log_format wanted)
{
    program = program_name;
    format = wanted;
}

void wh_log_set_level(enum wh_log_level level)
{
    level_min = level;
}

bool wh_log_enabled(enum wh_log_level level)
{
    return level < WH_LOG_NONE && (int)level >= level_min;
}

void wh_log_set_instance(const char *name, int64_t value)
{
    instance_value = value;
    instance_name = name;
}

void wh_log_set_trace(const struct wh_trace *trace)
{
    thread_trace = trace ? *trace : (struct wh_trace){0};
}

bool wh_log_level_parse(const char *name, enum wh_log_level *out_level)
{
    for (size_t i = 0; i < LEVELS; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *out_level = (enum wh_log_level)i;
            return true;
        }
    }
    return false;
}

void wh_log_set_sink(wh_log_sink_fn *fn, void *user)
{
    sink_user = user;
    sink = fn;
}

static bool wants_json(void)
{
    if (format == WH_LOG_AUTO)
        format = isatty(STDOUT_FILENO) ? WH_LOG_LOGFMT : WH_LOG_JSON;
    return format == WH_LOG_JSON;
}

/* A log that cannot be written has nowhere to complain; the service goes on. */
static void write_stdout(struct wh_slice line)
{
    while (line.len > 0) {
        ssize_t written = write(STDOUT_FILENO, line.ptr, line.len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return;
        line = wh_slice_from(line, (size_t)written);
    }
}

static void add_text(struct wh_log_line *line, const char *name, const char *value)
{
    wh_log_line_field(line, wh_slice_from_str(name), wh_slice_from_str(value), false);
}

static void add_integer(struct wh_log_line *line, const char *name, long long value)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%lld", value);
    wh_log_line_field(line, wh_slice_from_str(name), wh_slice(digits, (size_t)len), true);
}

/* RFC 3339 in UTC with milliseconds. */
static void add_time(struct wh_log_line *line)
{
    int64_t now_ms = wh_clock_wall_ms();
    time_t seconds = wh_clock_wall_s();
    struct tm utc;
    char date[40];
    char text[48];
    if (!gmtime_r(&seconds, &utc) || strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc) == 0)
        return;
    snprintf(text, sizeof text, "%s.%03dZ", date, (int)((now_ms % 1000 + 1000) % 1000));
    add_text(line, "time", text);
}

static void add_head(struct wh_log_line *line,
                     enum wh_log_level level,
                     const char *module,
                     const char *event)
{
    add_time(line);
    add_text(line, "level", level_names[level]);
    const char *name = program;
    if (name)
        add_text(line, "program", name);
    add_text(line, "module", module);
    add_text(line, "event", event);
    name = instance_name;
    if (name)
        add_integer(line, name, instance_value);
    if (wh_trace_is_valid(&thread_trace)) {
        char id[WH_TRACE_ID_HEX + 1];
        wh_trace_id_format(&thread_trace, id);
        add_text(line, "trace_id", id);
    }
}

static void emit(enum wh_log_level level,
                 const char *module,
                 const char *event,
                 uint64_t suppressed,
                 const char *fields,
                 va_list args)
{
    /* Logging an error must not replace the errno that is still to be looked at. */
    int saved_errno = errno;
    struct wh_log_line line;
    wh_log_line_begin(&line, wants_json());
    add_head(&line, level, module, event);
    /* Before the caller's fields, which may fill the line. */
    if (suppressed > 0)
        add_integer(&line, "suppressed", (long long)suppressed);
    wh_log_line_format(&line, fields, args);
    struct wh_slice text = wh_log_line_end(&line);
    wh_log_sink_fn *fn = sink;
    if (fn)
        fn(sink_user, text.ptr, text.len);
    else
        write_stdout(text);
    errno = saved_errno;
}

void wh_log(enum wh_log_level level, const char *module, const char *event, const char *fields, ...)
{
    if (!wh_log_enabled(level))
        return;
    va_list args;
    va_start(args, fields);
    emit(level, module, event, 0, fields, args);
    va_end(args);
}

/* True for the one caller that opens a new window; the others are counted.  The builtins let the
 * header keep plain integers while threads share a call site. */
static bool may_pass(struct wh_log_limit *limit, uint64_t *out_suppressed)
{
    /* 0 means never: a clock that starts there is off by a millisecond. */
    uint64_t now_ms = wh_clock_monotonic_ms();
    now_ms = now_ms != 0 ? now_ms : 1;
    uint64_t start_ms = __atomic_load_n(&limit->window_start_ms, __ATOMIC_RELAXED);
    bool is_open = start_ms != 0 && now_ms - start_ms < 1000;
    if (is_open || !__atomic_compare_exchange_n(&limit->window_start_ms, &start_ms, now_ms, false,
                                                __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        __atomic_fetch_add(&limit->suppressed, 1, __ATOMIC_RELAXED);
        return false;
    }
    *out_suppressed = __atomic_exchange_n(&limit->suppressed, 0, __ATOMIC_RELAXED);
    return true;
}

void wh_log_limited(struct wh_log_limit *limit,
                    enum wh_log_level level,
                    const char *module,
                    const char *event,
                    const char *fields,
                    ...)
{
    uint64_t suppressed = 0;
    if (!wh_log_enabled(level) || !may_pass(limit, &suppressed))
        return;
    va_list args;
    va_start(args, fields);
    emit(level, module, event, suppressed, fields, args);
    va_end(args);
}
