#include "services/core/event.h"

#include "common/protocol/json.h"

#include <stdio.h>
#include <time.h>

#define STREAM_PREFIX "wh:events:"

/* ---- names and times ---- */

bool svc_event_type_is_valid(struct wh_slice type)
{
    unsigned dots = 0;
    char before = '.';
    if (type.len == 0 || type.len > SVC_EVENT_TYPE_MAX)
        return false;
    for (size_t i = 0; i < type.len; i++) {
        char c = type.ptr[i];
        bool is_word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_';
        if (!is_word && (c != '.' || before == '.'))
            return false;
        dots += c == '.';
        before = c;
    }
    return dots > 0 && before != '.';
}

void svc_event_stream(struct wh_slice type, struct wh_buf *out)
{
    const char *dot = memchr(type.ptr, '.', type.len);
    wh_buf_append_str(out, STREAM_PREFIX);
    wh_buf_append(out, type.ptr, dot ? (size_t)(dot - type.ptr) : type.len);
}

void svc_time_write(int64_t unix_ms, struct wh_buf *out)
{
    struct tm tm;
    int64_t ms = ((unix_ms % 1000) + 1000) % 1000;
    time_t seconds = (time_t)((unix_ms - ms) / 1000);
    WH_ASSERT(gmtime_r(&seconds, &tm) != NULL);
    wh_buf_printf(out, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
                  tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)ms);
}

/* `count` digits at `*at`, which moves on; -1 = there are none. */
static int digits(struct wh_slice text, size_t *at, size_t count)
{
    int number = 0;
    for (size_t i = 0; i < count; i++, (*at)++) {
        if (*at >= text.len || text.ptr[*at] < '0' || text.ptr[*at] > '9')
            return -1;
        number = number * 10 + (text.ptr[*at] - '0');
    }
    return number;
}

static bool is_char(struct wh_slice text, size_t *at, const char *any)
{
    if (*at >= text.len || text.ptr[*at] == '\0' || !strchr(any, text.ptr[*at]))
        return false;
    (*at)++;
    return true;
}

/* "Z" or "+hh:mm" as minutes. */
static bool read_offset(struct wh_slice text, size_t *at, int *out_minutes)
{
    *out_minutes = 0;
    if (is_char(text, at, "Zz"))
        return true;
    int sign = *at < text.len && text.ptr[*at] == '-' ? -1 : 1;
    if (!is_char(text, at, "+-"))
        return false;
    int hours = digits(text, at, 2);
    bool has_colon = is_char(text, at, ":");
    int minutes = digits(text, at, 2);
    *out_minutes = sign * (hours * 60 + minutes);
    return has_colon && hours >= 0 && hours <= 23 && minutes >= 0 && minutes <= 59;
}

/* ".123456" as milliseconds; none is 0. */
static bool read_fraction(struct wh_slice text, size_t *at, int *out_ms)
{
    int scale = 100;
    size_t start = *at + 1;
    *out_ms = 0;
    if (!is_char(text, at, "."))
        return true;
    for (int digit; (digit = digits(text, at, 1)) >= 0; scale /= 10)
        *out_ms += digit * scale;
    return *at > start;
}

enum wh_err svc_time_read(struct wh_slice text, int64_t *out_unix_ms)
{
    size_t at = 0;
    int ms = 0;
    int offset = 0;
    struct tm tm = {0};
    bool is_good =
        (tm.tm_year = digits(text, &at, 4)) >= 0 && is_char(text, &at, "-") &&
        (tm.tm_mon = digits(text, &at, 2)) > 0 && tm.tm_mon <= 12 && is_char(text, &at, "-") &&
        (tm.tm_mday = digits(text, &at, 2)) > 0 && tm.tm_mday <= 31 && is_char(text, &at, "Tt ") &&
        (tm.tm_hour = digits(text, &at, 2)) >= 0 && tm.tm_hour <= 23 && is_char(text, &at, ":") &&
        (tm.tm_min = digits(text, &at, 2)) >= 0 && tm.tm_min <= 59 && is_char(text, &at, ":") &&
        (tm.tm_sec = digits(text, &at, 2)) >= 0 && tm.tm_sec <= 60 &&
        read_fraction(text, &at, &ms) && read_offset(text, &at, &offset);
    if (!is_good || at != text.len)
        return WH_EFORMAT;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *out_unix_ms = ((int64_t)timegm(&tm) - offset * 60) * 1000 + ms;
    return WH_OK;
}

/* ---- writing ---- */

static void write_member(struct wh_buf *out, const char *name, struct wh_slice text)
{
    wh_buf_printf(out, ",\"%s\":", name);
    wh_json_write_string(out, text);
}

void svc_event_write(const struct svc_event *event, struct wh_buf *out)
{
    wh_buf_append_str(out, "{\"specversion\":\"1.0\",\"id\":");
    wh_json_write_string(out, event->id);
    write_member(out, "source", event->source);
    write_member(out, "type", event->type);
    if (event->subject.len > 0)
        write_member(out, "subject", event->subject);
    if (event->time_ms > 0) {
        wh_buf_append_str(out, ",\"time\":\"");
        svc_time_write((int64_t)event->time_ms, out);
        wh_buf_append_char(out, '"');
    }
    wh_buf_append_str(out, ",\"datacontenttype\":\"application/json\"");
    if (event->traceparent.len > 0)
        write_member(out, "traceparent", event->traceparent);
    if (wh_payload_is_present(event->data)) {
        wh_buf_append_str(out, ",\"data\":");
        wh_json_write_raw(out, event->data.bytes);
    }
    wh_buf_append_char(out, '}');
}

/* ---- reading ---- */

struct reading {
    struct wh_json_reader reader;
    struct wh_arena *arena;
    struct svc_event *event;
    struct wh_slice version;
    struct wh_slice time;
};

static struct wh_slice *string_member(struct reading *reading, struct wh_slice key)
{
    const struct {
        const char *name;
        struct wh_slice *place;
    } table[] = {
        {"specversion", &reading->version},
        {"id", &reading->event->id},
        {"source", &reading->event->source},
        {"type", &reading->event->type},
        {"subject", &reading->event->subject},
        {"time", &reading->time},
        {"traceparent", &reading->event->traceparent},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (wh_slice_equal_str(key, table[i].name))
            return table[i].place;
    }
    return NULL;
}

static enum wh_err read_members(struct reading *reading)
{
    struct wh_json_reader *reader = &reading->reader;
    struct wh_slice key;
    enum wh_err err = wh_json_enter(reader, WH_JSON_OBJECT);
    while (!err && !(err = wh_json_next_member(reader, reading->arena, &key))) {
        struct wh_slice *place = string_member(reading, key);
        if (place) {
            err = wh_json_read_string(reader, reading->arena, place);
        } else if (wh_slice_equal_str(key, "data")) {
            reading->event->data.kind = WH_PAYLOAD_JSON;
            err = wh_json_skip(reader, &reading->event->data.bytes);
        } else {
            err = wh_json_skip(reader, NULL);
        }
    }
    if (err == WH_EEND)
        err = wh_json_finish(reader);
    return err;
}

static const char *find_problem(struct reading *reading)
{
    const struct svc_event *event = reading->event;
    int64_t time_ms = 0;
    if (!wh_slice_equal_str(reading->version, "1.0"))
        return "specversion is not 1.0";
    if (event->id.len == 0 || event->id.len > SVC_EVENT_ID_MAX ||
        memchr(event->id.ptr, '\0', event->id.len))
        return "id: 1 to 128 bytes";
    if (event->source.len == 0)
        return "source is missing";
    if (!svc_event_type_is_valid(event->type))
        return "type is missing or no name";
    if (reading->time.ptr && (svc_time_read(reading->time, &time_ms) || time_ms < 0))
        return "time is not RFC 3339";
    reading->event->time_ms = (uint64_t)time_ms;
    return NULL;
}

enum wh_err svc_event_read(struct wh_slice text,
                           struct wh_arena *arena,
                           struct svc_event *out_event,
                           const char **out_problem)
{
    struct svc_event event = {.time_ms = 0};
    struct reading reading = {.arena = arena, .event = &event};
    wh_json_reader_init(&reading.reader, text);
    enum wh_err err = read_members(&reading);
    if (err) {
        *out_problem = err == WH_ENOMEM ? "out of memory" : "no JSON object of a CloudEvent";
        return err == WH_ENOMEM ? err : WH_EFORMAT;
    }
    const char *problem = find_problem(&reading);
    if (problem) {
        *out_problem = problem;
        return WH_EFORMAT;
    }
    *out_event = event;
    return WH_OK;
}
