/*
 * A line is built in memory and written at once, so that a line of text never
 * tears and a reader of --json never sees half an object.
 */
#include "client-sdk/cli/output.h"

#include "common/base/base64.h"
#include "common/base/clock.h"
#include "common/base/utf8.h"
#include "common/protocol/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static const char dim[] = "\033[2m", cyan[] = "\033[36m", green[] = "\033[32m", red[] = "\033[31m",
                  yellow[] = "\033[33m", reset[] = "\033[0m";

void output_init(struct output *out, bool json, bool pretty, bool quiet)
{
    const char *no_colour = getenv("NO_COLOR");
    bool may = !json && !(no_colour && *no_colour);
    *out = (struct output){.json = json, .pretty = pretty && !json, .quiet = quiet};
    out->has_colour[OUTPUT_DATA] = may && isatty(STDOUT_FILENO);
    out->has_colour[OUTPUT_NOTE] = may && isatty(STDERR_FILENO);
}

void output_deinit(struct output *out)
{
    wh_buf_deinit(&out->line);
}

bool output_flush(void)
{
    return fflush(stdout) == 0 && !ferror(stdout);
}

static void write_line(struct output *out, enum output_stream stream)
{
    FILE *file = stream == OUTPUT_DATA ? stdout : stderr;
    bool is_wanted = !out->muted && (stream == OUTPUT_DATA || !out->quiet);
    if (is_wanted && wh_buf_error(&out->line) == WH_OK)
        fwrite(out->line.ptr, 1, out->line.len, file);
}

/* ---- pieces ---- */

static bool is_control(struct wh_slice c)
{
    unsigned char first = (unsigned char)c.ptr[0];
    return first < 0x20 || first == 0x7F ||
           (c.len == 2 && first == 0xC2 && (unsigned char)c.ptr[1] < 0xA0);
}

void output_safe(struct wh_buf *line, struct wh_slice text)
{
    while (text.len > 0) {
        size_t len = wh_utf8_next(text);
        struct wh_slice c = wh_slice(text.ptr, len > 0 ? len : 1);
        if (len == 0 || is_control(c))
            for (size_t i = 0; i < c.len; i++)
                wh_buf_printf(line, "\\x%02x", (unsigned char)c.ptr[i]);
        else
            wh_buf_append_slice(line, c);
        text = wh_slice_from(text, c.len);
    }
}

static void safe_text(struct wh_buf *line, const char *text)
{
    output_safe(line, wh_slice_from_str(text ? text : ""));
}

void output_utc(struct wh_buf *line, int64_t time_ms)
{
    time_t seconds = (time_t)(time_ms / 1000);
    struct tm parts;
    char text[40];
    if (time_ms >= 0 && gmtime_r(&seconds, &parts) && strftime(text, sizeof(text), "%FT%T", &parts))
        wh_buf_printf(line, "%s.%03dZ", text, (int)(time_ms % 1000));
}

void output_clock(struct wh_buf *line, int64_t time_ms)
{
    time_t seconds = (time_t)(time_ms / 1000);
    struct tm parts;
    char text[16];
    if (time_ms >= 0 && localtime_r(&seconds, &parts) && strftime(text, sizeof(text), "%T", &parts))
        wh_buf_printf(line, "%s.%03d", text, (int)(time_ms % 1000));
}

static void newline(struct wh_buf *line, size_t depth)
{
    wh_buf_append_char(line, '\n');
    for (size_t i = 0; i < depth; i++)
        wh_buf_append_str(line, "  ");
}

/* The text of a string that starts at `from`, quotes included. */
static size_t string_len(struct wh_slice json, size_t from)
{
    size_t at = from + 1;
    while (at < json.len && json.ptr[at] != '"')
        at += json.ptr[at] == '\\' ? 2 : 1;
    return at < json.len ? at + 1 - from : json.len - from;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The next character that is no blank; 0 at the end. */
static char next_char(struct wh_slice json, size_t at)
{
    while (at < json.len && is_blank(json.ptr[at]))
        at++;
    return at < json.len ? json.ptr[at] : 0;
}

void output_pretty(struct wh_buf *line, struct wh_slice json)
{
    size_t depth = 0;
    for (size_t at = 0; at < json.len;) {
        char c = json.ptr[at];
        size_t len = c == '"' ? string_len(json, at) : 1;
        if (c == '}' || c == ']')
            newline(line, depth > 0 ? --depth : 0);
        if (c == '"')
            output_safe(line, wh_slice(json.ptr + at, len));
        else if (!is_blank(c))
            wh_buf_append_char(line, c);
        at += len;
        char next = next_char(json, at);
        if ((c == '{' || c == '[') && next != '}' && next != ']')
            newline(line, ++depth);
        else if (c == '{' || c == '[') {
            wh_buf_append_char(line, next); /* nothing in it */
            while (at < json.len && json.ptr[at] != next)
                at++;
            at++;
        } else if (c == ',') {
            newline(line, depth);
        } else if (c == ':') {
            wh_buf_append_char(line, ' ');
        }
    }
}

/* The payload as JSON in `*out_json`, true; false when it is none.  wh_data_free what came out. */
static bool to_json(const struct wh_data *data, struct wh_data *out_json)
{
    struct wh_data as_text = *data;
    if (as_text.format == WH_DATA_BYTES && !wh_json_is_valid(wh_slice(data->ptr, data->len)))
        return false;
    if (as_text.format == WH_DATA_BYTES)
        as_text.format = WH_DATA_JSON;
    return wh_data_to_json(&as_text, out_json) == WH_OK;
}

static bool is_text(struct wh_slice bytes)
{
    if (!wh_utf8_is_valid(bytes))
        return false;
    for (size_t i = 0; i < bytes.len; i++)
        if ((unsigned char)bytes.ptr[i] < 0x20 && !is_blank(bytes.ptr[i]))
            return false;
    return true;
}

void output_payload(struct output *out, struct wh_buf *line, const struct wh_data *data)
{
    struct wh_slice bytes = wh_slice(data->ptr, data->len);
    struct wh_data json;
    if (!data->ptr)
        return;
    if (to_json(data, &json)) {
        if (out->pretty)
            output_pretty(line, wh_slice(json.ptr, json.len));
        else
            output_safe(line, wh_slice(json.ptr, json.len));
        wh_data_free(&json);
    } else if (data->format == WH_DATA_BYTES && is_text(bytes)) {
        output_safe(line, bytes);
    } else {
        wh_buf_append_str(line, "base64:");
        wh_base64_encode(WH_BASE64_STANDARD, bytes, line);
    }
}

void output_raw(struct wh_buf *line, const struct wh_data *data)
{
    struct wh_data json;
    if (data->format == WH_DATA_MSGPACK && to_json(data, &json)) {
        wh_buf_append(line, json.ptr, json.len);
        wh_data_free(&json);
    } else {
        wh_buf_append(line, data->ptr, data->len);
    }
}

/* ---- objects ---- */

static void write_key(struct wh_buf *line, const char *key)
{
    wh_buf_append_char(line, ',');
    wh_json_write_string(line, wh_slice_from_str(key));
    wh_buf_append_char(line, ':');
}

struct wh_buf *output_object(struct output *out, const char *type)
{
    wh_buf_reset(&out->line);
    wh_buf_append_str(&out->line, "{\"type\":");
    wh_json_write_string(&out->line, wh_slice_from_str(type));
    return &out->line;
}

void output_text(struct wh_buf *line, const char *key, const char *value)
{
    if (!value)
        return;
    write_key(line, key);
    wh_json_write_string(line, wh_slice_from_str(value));
}

void output_number(struct wh_buf *line, const char *key, uint64_t value)
{
    write_key(line, key);
    wh_buf_append_u64(line, value);
}

void output_fraction(struct wh_buf *line, const char *key, double value)
{
    write_key(line, key);
    wh_json_write_double(line, value);
}

void output_bool(struct wh_buf *line, const char *key, bool value)
{
    write_key(line, key);
    wh_buf_append_str(line, value ? "true" : "false");
}

void output_data(struct wh_buf *line, const char *key, const struct wh_data *data)
{
    struct wh_data json;
    if (!data->ptr)
        return;
    if (to_json(data, &json)) {
        write_key(line, key);
        wh_json_write_raw(line, wh_slice(json.ptr, json.len));
        wh_data_free(&json);
        return;
    }
    wh_buf_printf(line, ",\"%s_b64\":\"", key);
    wh_base64_encode(WH_BASE64_STANDARD, wh_slice(data->ptr, data->len), line);
    wh_buf_append_char(line, '"');
}

void output_object_end(struct output *out, enum output_stream stream)
{
    wh_buf_append_str(&out->line, "}\n");
    write_line(out, stream);
}

static void write_time(struct wh_buf *line, const char *key, int64_t time_ms)
{
    write_key(line, key);
    wh_buf_append_char(line, '"');
    output_utc(line, time_ms);
    wh_buf_append_char(line, '"');
}

/* ---- lines ---- */

static void paint(struct output *out, enum output_stream stream, const char *colour)
{
    if (out->has_colour[stream])
        wh_buf_append_str(&out->line, colour);
}

struct wh_buf *output_line(struct output *out, enum output_stream stream, int64_t time_ms)
{
    wh_buf_reset(&out->line);
    if (time_ms == 0)
        return &out->line;
    paint(out, stream, dim);
    output_clock(&out->line, time_ms < 0 ? wh_clock_wall_ms() : time_ms);
    paint(out, stream, reset);
    wh_buf_append_char(&out->line, ' ');
    return &out->line;
}

void output_line_end(struct output *out, enum output_stream stream)
{
    wh_buf_append_char(&out->line, '\n');
    write_line(out, stream);
}

void output_note(struct output *out, enum output_stream stream, char mark, const char *format, ...)
{
    const char *colour = mark == '+' ? green : mark == '!' ? red : mark == '~' ? yellow : dim;
    struct wh_buf text = {0};
    va_list args;
    va_start(args, format);
    wh_buf_vprintf(&text, format, args);
    va_end(args);
    struct wh_buf *line = output_line(out, stream, -1);
    paint(out, stream, colour);
    wh_buf_append_char(line, mark);
    paint(out, stream, reset);
    wh_buf_append_char(line, ' ');
    output_safe(line, wh_buf_slice(&text));
    output_line_end(out, stream);
    wh_buf_deinit(&text);
}

/* ---- events ---- */

static void info_members(struct wh_buf *line, const struct wh_client_info *info)
{
    output_text(line, "user", info->user);
    output_text(line, "client", info->client);
    output_data(line, "conn_info", &info->conn_info);
    output_data(line, "chan_info", &info->chan_info);
}

static void tags_member(struct wh_buf *line, const struct wh_publication *publication)
{
    write_key(line, "tags");
    for (size_t i = 0; i < publication->tag_count; i++) {
        wh_buf_append_char(line, i > 0 ? ',' : '{');
        wh_json_write_string(line, wh_slice_from_str(publication->tags[i].key));
        wh_buf_append_char(line, ':');
        wh_json_write_string(line, wh_slice_from_str(publication->tags[i].value));
    }
    wh_buf_append_char(line, '}');
}

static void publication_object(struct output *out,
                               const struct wh_publication *publication,
                               const char *epoch,
                               int64_t time_ms)
{
    struct wh_buf *line = output_object(out, "publication");
    output_text(line, "channel", publication->channel);
    if (publication->offset > 0)
        output_number(line, "offset", publication->offset);
    if (publication->offset > 0 && epoch && *epoch)
        output_text(line, "epoch", epoch);
    if (time_ms > 0)
        write_time(line, "time", time_ms);
    if (publication->tag_count > 0)
        tags_member(line, publication);
    if (publication->info) {
        output_text(line, "user", publication->info->user);
        output_text(line, "client", publication->info->client);
    }
    output_data(line, "data", &publication->data);
    output_object_end(out, OUTPUT_DATA);
}

void output_publication(struct output *out,
                        const struct wh_publication *publication,
                        const char *epoch,
                        bool is_live)
{
    int64_t time_ms = publication->time_ms;
    if (time_ms == 0 && is_live)
        time_ms = wh_clock_wall_ms();
    if (out->json) {
        publication_object(out, publication, epoch, time_ms);
        return;
    }
    struct wh_buf *line = output_line(out, OUTPUT_DATA, time_ms);
    paint(out, OUTPUT_DATA, cyan);
    safe_text(line, publication->channel);
    paint(out, OUTPUT_DATA, reset);
    if (publication->offset > 0)
        wh_buf_printf(line, " #%llu", (unsigned long long)publication->offset);
    wh_buf_append_char(line, ' ');
    output_payload(out, line, &publication->data);
    output_line_end(out, OUTPUT_DATA);
}

void output_client(struct output *out,
                   const char *type,
                   const char *channel,
                   const struct wh_client_info *info)
{
    if (out->json) {
        struct wh_buf *line = output_object(out, type);
        output_text(line, "channel", channel);
        info_members(line, info);
        output_object_end(out, OUTPUT_DATA);
        return;
    }
    struct wh_buf *line = output_line(out, OUTPUT_DATA, -1);
    paint(out, OUTPUT_DATA, cyan);
    safe_text(line, channel);
    paint(out, OUTPUT_DATA, reset);
    wh_buf_printf(line, " %s ", type);
    safe_text(line, info->user && *info->user ? info->user : "(anonymous)");
    wh_buf_append_char(line, ' ');
    safe_text(line, info->client);
    for (int i = 0; i < 2; i++) {
        const struct wh_data *data = i == 0 ? &info->conn_info : &info->chan_info;
        if (data->ptr)
            wh_buf_append_char(line, ' ');
        output_payload(out, line, data);
    }
    output_line_end(out, OUTPUT_DATA);
}
