#include "client-sdk/cli/token_claims.h"

#include "common/base/base64.h"
#include "common/protocol/json.h"

/* ---- writing ---- */

static void write_name(struct wh_buf *json, struct wh_slice name)
{
    if (json->len > 1)
        wh_buf_append_char(json, ',');
    wh_json_write_string(json, name);
    wh_buf_append_char(json, ':');
}

/* Whether --claim says `name` itself, which is stronger than an option or a default. */
static bool is_claimed(const struct settings *settings, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < settings->claims.count; i++)
        if (strncmp(settings->claims.items[i], name, len) == 0 &&
            settings->claims.items[i][len] == '=')
            return true;
    return false;
}

static void write_text(struct wh_buf *json,
                       const struct settings *settings,
                       const char *name,
                       const char *value)
{
    if (!value || is_claimed(settings, name))
        return;
    write_name(json, wh_slice_from_str(name));
    wh_json_write_string(json, wh_slice_from_str(value));
}

static void write_time(struct wh_buf *json,
                       const struct settings *settings,
                       const char *name,
                       int64_t seconds)
{
    if (is_claimed(settings, name))
        return;
    write_name(json, wh_slice_from_str(name));
    wh_buf_append_i64(json, seconds);
}

static void write_claim(struct wh_buf *json, const char *claim)
{
    const char *equals = strchr(claim, '=');
    struct wh_slice value = wh_slice_from_str(equals + 1);
    write_name(json, wh_slice(claim, (size_t)(equals - claim)));
    if (wh_json_is_valid(value))
        wh_json_write_raw(json, value);
    else
        wh_json_write_string(json, value);
}

void token_claims_write(const struct settings *settings, int64_t now_s, struct wh_buf *out)
{
    wh_buf_append_char(out, '{');
    write_text(out, settings, "sub", settings->user);
    write_text(out, settings, "channel", settings->channel);
    write_time(out, settings, "iat", now_s);
    if (settings->ttl_ms > 0)
        write_time(out, settings, "exp", now_s + (int64_t)((settings->ttl_ms + 999) / 1000));
    if (settings->info && !is_claimed(settings, "info")) {
        write_name(out, WH_SLICE_LITERAL("info"));
        wh_json_write_raw(out, wh_slice_from_str(settings->info));
    }
    for (size_t i = 0; i < settings->claims.count; i++)
        write_claim(out, settings->claims.items[i]);
    wh_buf_append_char(out, '}');
}

/* ---- reading ---- */

static enum wh_err decode_part(struct wh_slice *rest,
                               struct wh_arena *arena,
                               struct wh_slice *out_json)
{
    const char *dot = memchr(rest->ptr, '.', rest->len);
    struct wh_json_reader reader;
    enum wh_json_type type;
    if (!dot)
        return WH_EFORMAT;
    struct wh_slice part = wh_slice(rest->ptr, (size_t)(dot - rest->ptr));
    *rest = wh_slice_from(*rest, part.len + 1);
    enum wh_err err = wh_base64_decode(WH_BASE64_URL, part, arena, out_json);
    if (err)
        return err;
    wh_json_reader_init(&reader, *out_json);
    err = wh_json_peek(&reader, &type);
    if (!err && (type != WH_JSON_OBJECT || !wh_json_is_valid(*out_json)))
        err = WH_EFORMAT;
    return err;
}

/* Walks the members of a JSON object that is known to be valid. */
static enum wh_err next_member(struct wh_json_reader *reader,
                               struct wh_arena *arena,
                               struct wh_slice *out_key,
                               struct wh_slice *out_value)
{
    enum wh_err err = wh_json_next_member(reader, arena, out_key);
    return err ? err : wh_json_skip(reader, out_value);
}

static enum wh_err read_text(struct wh_slice value, struct wh_arena *arena, struct wh_slice *out)
{
    struct wh_json_reader reader;
    wh_json_reader_init(&reader, value);
    return wh_json_read_string(&reader, arena, out);
}

static enum wh_err read_time(struct wh_slice value, int64_t *out)
{
    struct wh_json_reader reader;
    double number;
    wh_json_reader_init(&reader, value);
    if (wh_json_read_double(&reader, &number) || !(number > -1e15 && number < 1e15))
        return WH_EFORMAT;
    *out = (int64_t)number;
    return WH_OK;
}

enum wh_err token_split(struct wh_slice token,
                        struct wh_arena *arena,
                        struct token_parts *out_parts)
{
    struct token_parts parts = {.algorithm = WH_SLICE_LITERAL("")};
    struct wh_json_reader reader;
    struct wh_slice key, value, rest = token;
    enum wh_err err = token.ptr ? decode_part(&rest, arena, &parts.header) : WH_EFORMAT;
    if (!err)
        err = decode_part(&rest, arena, &parts.payload);
    if (!err)
        err = wh_base64_decode(WH_BASE64_URL, rest, arena, &value);
    if (err)
        return err;
    wh_json_reader_init(&reader, parts.header);
    err = wh_json_enter(&reader, WH_JSON_OBJECT);
    while (!err && (err = next_member(&reader, arena, &key, &value)) == WH_OK)
        if (wh_slice_equal_str(key, "alg"))
            err = read_text(value, arena, &parts.algorithm);
    if (err != WH_EEND)
        return err;
    *out_parts = parts;
    return WH_OK;
}

enum wh_err token_times_read(struct wh_slice payload,
                             struct wh_arena *arena,
                             struct token_times *out_times)
{
    struct token_times times = {0};
    struct wh_json_reader reader;
    struct wh_slice key, value;
    wh_json_reader_init(&reader, payload);
    enum wh_err err = wh_json_enter(&reader, WH_JSON_OBJECT);
    while (!err && (err = next_member(&reader, arena, &key, &value)) == WH_OK) {
        if (wh_slice_equal_str(key, "exp"))
            err = read_time(value, &times.expires_s);
        else if (wh_slice_equal_str(key, "nbf"))
            err = read_time(value, &times.not_before_s);
        else if (wh_slice_equal_str(key, "iat"))
            err = read_time(value, &times.issued_s);
        else if (wh_slice_equal_str(key, "channel"))
            times.is_subscription = true;
    }
    if (err != WH_EEND)
        return err;
    *out_times = times;
    return WH_OK;
}
