/* Options by name and text, for command lines, bindings and files. */
#include "client-sdk/src/option_row.h"
#include "common/base/option.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#define ROW(type_, field, ...)                                                                     \
    {                                                                                              \
        .name = #field, .type = OPTION_##type_,                                                    \
        .offset = offsetof(struct wh_client_options, field), __VA_ARGS__                           \
    }
#define MS(field, ms) ROW(MS, field, .default_value = (ms), .min = 1, .max = MS_MAX)
#define BYTES(field, bytes_)                                                                       \
    ROW(BYTES, field, .default_value = (bytes_), .min = 1024, .max = BYTES_MAX)

#define MS_MAX    (UINT64_C(1) << 31)
#define BYTES_MAX (UINT64_C(1) << 32)

const struct option_row option_rows[] = {
    ROW(TEXT, url),
    ROW(ENCODING, encoding),
    ROW(BOOL, encoding_required),
    ROW(TEXT, token),
    ROW(TEXT, name),
    ROW(TEXT, version),
    ROW(JSON, connect_data),
    ROW(POINTER, headers),
    ROW(POINTER, emulated_headers),
    ROW(POINTER, tls),
    ROW(TEXT, proxy),
    MS(timeout_ms, 5000),
    MS(connect_timeout_ms, 10000),
    MS(token_timeout_ms, 10000),
    MS(min_reconnect_ms, 500),
    MS(max_reconnect_ms, 20000),
    ROW(MS,
        max_server_ping_delay_ms,
        .default_value = 10000,
        .min = 1,
        .max = MS_MAX,
        .may_be_never = true),
    MS(close_timeout_ms, 250),
    ROW(BOOL, no_reconnect),
    BYTES(message_bytes_max, 1 << 20),
    BYTES(send_queue_bytes_max, 1 << 20),
    BYTES(event_queue_bytes_max, 16 << 20),
    ROW(POINTER, events),
    ROW(POINTER, user),
    ROW(POINTER, runtime),
};
const size_t option_row_count = sizeof(option_rows) / sizeof(option_rows[0]);

enum wh_err option_problem(struct wh_error *detail, enum wh_err err, const char *format, ...)
{
    if (!detail)
        return err;
    va_list args;
    *detail = (struct wh_error){.err = err};
    va_start(args, format);
    vsnprintf(detail->text, sizeof(detail->text), format, args);
    va_end(args);
    return err;
}

static enum wh_err set_bool(bool *field, const char *value)
{
    bool is_true = strcmp(value, "true") == 0;
    if (!is_true && strcmp(value, "false") != 0)
        return WH_EFORMAT;
    *field = is_true;
    return WH_OK;
}

static enum wh_err parse_decimal(const char *value, uint64_t *out_number)
{
    uint64_t number = 0;
    for (const char *at = value; *at; at++) {
        if (*at < '0' || *at > '9' || number > UINT64_MAX / 10 - 9)
            return WH_EFORMAT;
        number = number * 10 + (uint64_t)(*at - '0');
    }
    *out_number = number;
    return *value ? WH_OK : WH_EFORMAT;
}

/* "5s"; and "5000", because the name says milliseconds. */
static enum wh_err set_ms(uint32_t *field, const struct option_row *row, const char *value)
{
    uint64_t ms;
    if (row->may_be_never && strcmp(value, "never") == 0) {
        *field = WH_NEVER;
        return WH_OK;
    }
    enum wh_err err = parse_decimal(value, &ms);
    if (err)
        err = wh_duration_parse(wh_slice_from_str(value), &ms);
    if (err || ms > row->max)
        return WH_EFORMAT;
    *field = (uint32_t)ms;
    return WH_OK;
}

static enum wh_err set_bytes(size_t *field, const struct option_row *row, const char *value)
{
    uint64_t bytes;
    if (wh_size_parse(wh_slice_from_str(value), &bytes) || bytes > row->max)
        return WH_EFORMAT;
    *field = (size_t)bytes;
    return WH_OK;
}

static enum wh_err set_encoding(enum wh_encoding *field, const char *value)
{
    static const char *const names[] = {
        [WH_ENCODING_JSON] = "json",
        [WH_ENCODING_MSGPACK] = "msgpack",
        [WH_ENCODING_PROTOBUF] = "protobuf",
    };
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(value, names[i]) == 0) {
            *field = (enum wh_encoding)i;
            return WH_OK;
        }
    }
    return WH_EFORMAT;
}

static enum wh_err set_row(struct wh_client_options *options,
                           const struct option_row *row,
                           const char *value)
{
    void *field = (char *)options + row->offset;
    switch (row->type) {
    case OPTION_TEXT:
        *(const char **)field = value;
        return WH_OK;
    case OPTION_JSON:
        *(struct wh_data *)field = wh_json(value);
        return WH_OK;
    case OPTION_BOOL:
        return set_bool(field, value);
    case OPTION_MS:
        return set_ms(field, row, value);
    case OPTION_BYTES:
        return set_bytes(field, row, value);
    case OPTION_ENCODING:
        return set_encoding(field, value);
    case OPTION_POINTER:
        break;
    }
    return WH_EFORMAT;
}

static const char *expected(const struct option_row *row)
{
    switch (row->type) {
    case OPTION_BOOL:
        return "true or false";
    case OPTION_MS:
        return row->may_be_never ? "a duration up to 2^31 ms, like 5s or 300ms, or never"
                                 : "a duration up to 2^31 ms, like 5s or 300ms";
    case OPTION_BYTES:
        return "a size up to 4GiB, like 65536 or 64KiB";
    case OPTION_ENCODING:
        return "json, msgpack or protobuf";
    default:
        return "something that text can say";
    }
}

static enum wh_err unknown_name(const char *name, struct wh_error *detail)
{
    const char *names[sizeof(option_rows) / sizeof(option_rows[0])];
    for (size_t i = 0; i < option_row_count; i++)
        names[i] = option_rows[i].name;
    const char *nearest = wh_nearest_word(wh_slice_from_str(name), names, option_row_count);
    if (nearest)
        return option_problem(detail, WH_ENOTFOUND, "no option \"%.100s\"; is %s meant?", name,
                              nearest);
    return option_problem(detail, WH_ENOTFOUND, "no option \"%.100s\"", name);
}

enum wh_err wh_client_options_set(struct wh_client_options *options,
                                  const char *name,
                                  const char *value,
                                  struct wh_error *detail)
{
    if (!options || !name || !value)
        return option_problem(detail, WH_EINVAL, "options, name or value is NULL");
    for (size_t i = 0; i < option_row_count; i++) {
        const struct option_row *row = &option_rows[i];
        if (strcmp(name, row->name) != 0)
            continue;
        if (row->offset >= options->size)
            return option_problem(detail, WH_EABI, "%s is newer than the options' size", name);
        if (set_row(options, row, value) == WH_OK)
            return WH_OK;
        return option_problem(detail, WH_EFORMAT, "%s: \"%.100s\" is not %s", name, value,
                              expected(row));
    }
    return unknown_name(name, detail);
}
