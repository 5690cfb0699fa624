/*
 * The library's log.  One sink for the process; what is asked for is packed
 * into one atomic word, so that a line nobody wants costs a load.  The
 * environment is read when the first line is asked for, unless a sink was set before.
 */
#include "client-sdk/src/trace.h"

#include "common/base/buf.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum {
    AREAS_MAX = 256,
    LINE_MAX_BYTES = 4096,
    JWT_BYTES_MIN = 16, /* its header alone is longer */
    SEVERITY_UNKNOWN = WH_SEVERITY_NONE + 1
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int least = SEVERITY_UNKNOWN; /* the severity from which on lines are wanted */
/* Under the lock. */
static wh_log_cb *sink;
static void *sink_user;
static char areas[AREAS_MAX]; /* ",client,wire,"; "" = all */

static const char *const severity_names[] = {"trace", "debug", "info", "warn", "error", "none"};

/* The child of a fork has none of the threads that could give it back. */
static void renew_lock(void)
{
    (void)pthread_mutex_init(&lock, NULL);
}

static void register_fork_handler(void)
{
    (void)pthread_atfork(NULL, NULL, renew_lock);
}

/* Before the first line is possible. */
static void survive_forks(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, register_fork_handler);
}

static void to_stderr(enum wh_severity severity,
                      const char *area,
                      const char *event,
                      const char *fields,
                      void *user)
{
    (void)user;
    const char *gap = fields[0] ? " " : "";
    fprintf(stderr, "wirehub level=%s area=%s event=%s%s%s\n", severity_names[severity], area,
            event, gap, fields);
}

static void set_areas(const char *wanted)
{
    areas[0] = '\0';
    if (wanted && wanted[0])
        snprintf(areas, sizeof areas, ",%s,", wanted);
}

/* "level[:area,…]".  An unknown level is silence. */
static void read_environment(void)
{
    const char *text = getenv("WIREHUB_LOG");
    enum wh_severity severity = WH_SEVERITY_NONE;
    size_t len = text ? strcspn(text, ":") : 0;
    for (size_t i = 0; text && i < WH_SEVERITY_NONE; i++) {
        if (strlen(severity_names[i]) == len && strncasecmp(text, severity_names[i], len) == 0)
            severity = (enum wh_severity)i;
    }
    if (severity != WH_SEVERITY_NONE) {
        sink = to_stderr;
        set_areas(text[len] == ':' ? text + len + 1 : NULL);
    }
    atomic_store_explicit(&least, (int)severity, memory_order_release);
}

void wh_log_sink(wh_log_cb *new_sink, void *user, enum wh_severity severity, const char *wanted)
{
    survive_forks();
    pthread_mutex_lock(&lock);
    sink = new_sink;
    sink_user = user;
    set_areas(wanted);
    int level = new_sink ? (int)severity : (int)WH_SEVERITY_NONE;
    atomic_store_explicit(&least, level, memory_order_release);
    pthread_mutex_unlock(&lock);
}

/* Under the lock. */
static bool is_area_wanted(const char *area)
{
    size_t len = strlen(area);
    if (!areas[0])
        return true;
    for (const char *at = areas; (at = strstr(at, area)) != NULL; at++) {
        if (at[-1] == ',' && at[len] == ',')
            return true;
    }
    return false;
}

static int wanted_level(void)
{
    int level = atomic_load_explicit(&least, memory_order_acquire);
    if (level != SEVERITY_UNKNOWN)
        return level;
    survive_forks();
    pthread_mutex_lock(&lock);
    if (atomic_load_explicit(&least, memory_order_relaxed) == SEVERITY_UNKNOWN)
        read_environment();
    level = atomic_load_explicit(&least, memory_order_relaxed);
    pthread_mutex_unlock(&lock);
    return level;
}

bool trace_enabled(enum wh_severity severity, const char *area)
{
    if ((int)severity < wanted_level())
        return false;
    pthread_mutex_lock(&lock);
    bool is_wanted = sink && is_area_wanted(area);
    pthread_mutex_unlock(&lock);
    return is_wanted;
}

static bool is_of_jwt(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
}

/* What servers say is in lines as well: no token that they repeat, and no line of their own. */
static void scrub(char *fields)
{
    char *to = fields;
    for (const char *at = fields; *at;) {
        size_t len = 0;
        if (strncmp(at, "eyJ", 3) == 0 && (at == fields || !is_of_jwt(at[-1])))
            while (is_of_jwt(at[len]))
                len++;
        if (len >= JWT_BYTES_MIN) {
            memcpy(to, "***", 3);
            to += 3;
            at += len;
            continue;
        }
        unsigned char c = (unsigned char)*at++;
        *to++ = c < 0x20 || c == 0x7f ? ' ' : (char)c;
    }
    *to = '\0';
}

void trace_line(enum wh_severity severity,
                const char *area,
                const char *event,
                const char *fields_format,
                ...)
{
    if (!trace_enabled(severity, area))
        return;
    char fields[LINE_MAX_BYTES];
    va_list args;
    va_start(args, fields_format);
    vsnprintf(fields, sizeof fields, fields_format, args);
    va_end(args);
    scrub(fields);
    pthread_mutex_lock(&lock);
    if (sink)
        sink(severity, area, event, fields, sink_user);
    pthread_mutex_unlock(&lock);
}

/* ---- frames ---------------------------------------------------------------------------------- */

/* The end of the string literal that begins at `at` (its quotation mark): behind the closing one.
 */
static size_t string_end(struct wh_slice text, size_t at)
{
    for (size_t i = at + 1; i < text.len; i++) {
        if (text.ptr[i] == '\\')
            i++;
        else if (text.ptr[i] == '"')
            return i + 1;
    }
    return text.len;
}

static bool contains_word(struct wh_slice text, const char *word)
{
    size_t len = strlen(word);
    for (size_t i = 0; i + len <= text.len; i++) {
        if (strncasecmp(text.ptr + i, word, len) == 0)
            return true;
    }
    return false;
}

/* An escape could spell any of them. */
static bool is_secret_name(struct wh_slice name)
{
    static const char *const words[] = {"token",         "password", "passwd",     "secret",
                                        "authorization", "cookie",   "credential", "apikey",
                                        "api_key",       "api-key"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (contains_word(name, words[i]))
            return true;
    }
    /* Those of the connect command: what a proxy behind the server is to believe. */
    return wh_slice_equal_str(name, "\"headers\"") || contains_word(name, "\\");
}

/* Wherever it stands: a JWT begins with {" in base64, "eyJ"; what a header of HTTP says; and JSON
 * inside a string (as patches of deltas are) that speaks of a secret. */
static bool is_secret_value(struct wh_slice value)
{
    bool has_json = contains_word(value, "\\\"") && is_secret_name(value);
    return has_json || contains_word(value, "eyJ") || contains_word(value, "bearer ") ||
           contains_word(value, "basic ");
}

static size_t skip_blanks(struct wh_slice text, size_t at)
{
    while (at < text.len && strchr(" \t\r\n", text.ptr[at]))
        at++;
    return at;
}

static void append_escaped(struct wh_buf *out, struct wh_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c == '"' || c == '\\')
            wh_buf_printf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            wh_buf_printf(out, "\\x%02x", c);
        else
            wh_buf_append_char(out, (char)c);
    }
}

/* Behind the value that begins at `at`, whatever it is; unfinished ones end with the text. */
static size_t value_end(struct wh_slice text, size_t at)
{
    size_t depth = 0;
    while (at < text.len) {
        char c = text.ptr[at];
        if (depth == 0 && strchr(",}]\n", c))
            return at;
        if (c == '"')
            at = string_end(text, at);
        else
            at++;
        if (c == '{' || c == '[')
            depth++;
        else if (depth > 0 && (c == '}' || c == ']'))
            depth--;
    }
    return at;
}

void trace_redact(struct wh_buf *out, struct wh_slice text)
{
    for (size_t i = 0; i < text.len;) {
        if (text.ptr[i] != '"') {
            append_escaped(out, wh_slice(text.ptr + i++, 1));
            continue;
        }
        size_t end = string_end(text, i);
        struct wh_slice literal = wh_slice(text.ptr + i, end - i);
        size_t next = skip_blanks(text, end);
        bool is_name = next < text.len && text.ptr[next] == ':';
        bool hides = !is_name && is_secret_value(literal);
        append_escaped(out, hides ? WH_SLICE_LITERAL("\"***\"") : literal);
        i = end;
        if (!is_name || !is_secret_name(literal))
            continue;
        append_escaped(out, WH_SLICE_LITERAL(":\"***\""));
        i = value_end(text, skip_blanks(text, next + 1));
    }
}

void trace_frame(const char *event, struct wh_slice frame, bool is_text)
{
    if (!trace_enabled(WH_SEVERITY_TRACE, "wire"))
        return;
    if (!is_text) {
        trace_line(WH_SEVERITY_TRACE, "wire", event, "bytes=%zu", frame.len);
        return;
    }
    struct wh_buf text = {0};
    trace_redact(&text, frame);
    trace_line(WH_SEVERITY_TRACE, "wire", event, "bytes=%zu text=\"%s\"", frame.len,
               wh_buf_cstr(&text));
    wh_buf_deinit(&text);
}
