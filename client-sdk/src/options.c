/*
 * Options by name and text, for command lines, bindings and files.  What a text cannot say in
 * struct wh_client_options itself, TLS and headers, lies in one allocation behind `owned`.
 */
#include "client-sdk/src/abi.h"
#include "client-sdk/src/option_row.h"
#include "client-sdk/src/settings.h"
#include "common/base/alloc.h"
#include "common/base/option.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <strings.h>

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
    ROW(DATA, connect_data),
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
    ROW(POINTER, owned),
};
const size_t option_row_count = sizeof(option_rows) / sizeof(option_rows[0]);

#define TLS_ROW(type_, field)                                                                      \
    {                                                                                              \
        .name = "tls." #field, .type = OPTION_##type_,                                             \
        .offset = offsetof(struct wh_tls_options, field)                                           \
    }

static const struct option_row tls_rows[] = {
    TLS_ROW(TEXT, ca_file),
    TLS_ROW(TEXT, ca_dir),
    TLS_ROW(DATA, ca),
    TLS_ROW(TEXT, cert_file),
    TLS_ROW(TEXT, key_file),
    TLS_ROW(TEXT, key_password),
    TLS_ROW(TEXT, server_name),
    TLS_ROW(TEXT, ciphers),
    TLS_ROW(BOOL, insecure_skip_verify),
    TLS_ROW(BOOL, insecure_skip_verify_host),
};
enum { TLS_ROW_COUNT = sizeof(tls_rows) / sizeof(tls_rows[0]) };

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

static enum wh_err set_row(void *options, const struct option_row *row, const char *value)
{
    void *field = (char *)options + row->offset;
    switch (row->type) {
    case OPTION_TEXT:
        *(const char **)field = value;
        return WH_OK;
    case OPTION_DATA:
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
        return "something that text can say (tls.ca_file, header.NAME are)";
    }
}

static enum wh_err unknown_name(const char *name, struct wh_error *detail)
{
    const char *names[sizeof(option_rows) / sizeof(option_rows[0]) + TLS_ROW_COUNT];
    size_t count = 0;
    for (size_t i = 0; i < option_row_count; i++)
        names[count++] = option_rows[i].name;
    for (size_t i = 0; i < TLS_ROW_COUNT; i++)
        names[count++] = tls_rows[i].name;
    const char *nearest = wh_nearest_word(wh_slice_from_str(name), names, count);
    if (nearest)
        return option_problem(detail, WH_ENOTFOUND, "no option \"%.100s\"; is %s meant?", name,
                              nearest);
    return option_problem(detail, WH_ENOTFOUND, "no option \"%.100s\"", name);
}

static const struct option_row *find(const struct option_row *rows, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(name, rows[i].name) == 0)
            return &rows[i];
    }
    return NULL;
}

static enum wh_err bad_value(const struct option_row *row,
                             const char *value,
                             struct wh_error *detail)
{
    return option_problem(detail, WH_EFORMAT, "%s: \"%.100s\" is not %s", row->name, value,
                          expected(row));
}

/* ---- what `owned` points to --------------------------------------------------------------------
 */

struct owned {
    struct wh_arena arena; /* names of headers */
    struct wh_tls_options tls;
    struct wh_header headers[SETTINGS_HEADERS_MAX];
    struct wh_header emulated_headers[SETTINGS_HEADERS_MAX];
};

static bool has_owned(const struct wh_client_options *options)
{
    return options->size >= offsetof(struct wh_client_options, owned) + sizeof(options->owned);
}

static enum wh_err obtain_owned(struct wh_client_options *options,
                                const char *name,
                                struct owned **out_owned,
                                struct wh_error *detail)
{
    if (!has_owned(options)) {
        (void)option_problem(detail, WH_EABI, "%.100s is newer than the options' size", name);
        return WH_EABI;
    }
    if (!options->owned)
        options->owned = wh_calloc(1, sizeof(struct owned));
    if (!options->owned) {
        (void)option_problem(detail, WH_ENOMEM, "out of memory");
        return WH_ENOMEM;
    }
    *out_owned = options->owned;
    return WH_OK;
}

void wh_client_options_deinit(struct wh_client_options *options)
{
    if (!options || !has_owned(options) || !options->owned)
        return;
    struct owned *owned = options->owned;
    if (options->tls == &owned->tls)
        options->tls = NULL;
    if (options->headers == owned->headers) {
        options->headers = NULL;
        options->header_count = 0;
    }
    if (options->emulated_headers == owned->emulated_headers) {
        options->emulated_headers = NULL;
        options->emulated_header_count = 0;
    }
    options->owned = NULL;
    wh_arena_deinit(&owned->arena);
    wh_free(owned);
}

static enum wh_err set_tls(struct wh_client_options *options,
                           const char *name,
                           const char *value,
                           struct wh_error *detail)
{
    const struct option_row *row = find(tls_rows, TLS_ROW_COUNT, name);
    if (!row)
        return unknown_name(name, detail);
    struct owned *owned;
    struct wh_tls_options tls = WH_TLS_OPTIONS_INIT;
    enum wh_err err = obtain_owned(options, name, &owned, detail);
    if (err)
        return err;
    if (options->tls && (err = abi_copy(&tls, sizeof(tls), options->tls)) != WH_OK)
        return option_problem(detail, err, "tls: size: %s", wh_err_text(err));
    if (set_row(&tls, row, value) != WH_OK)
        return bad_value(row, value, detail);
    owned->tls = tls;
    options->tls = &owned->tls;
    return WH_OK;
}

/* Whether the program's header can have a name at all is asked by settings_init. */
static bool is_named(const struct wh_header *header, const char *name)
{
    return header->name && strcasecmp(header->name, name) == 0;
}

/* `name` is the whole one, `prefix_len` bytes of it say which list. */
static enum wh_err set_header(struct wh_client_options *options,
                              const char *name,
                              size_t prefix_len,
                              const char *value,
                              struct wh_error *detail)
{
    struct owned *owned;
    enum wh_err err = obtain_owned(options, name, &owned, detail);
    if (err)
        return err;
    bool is_emulated = *name == 'e';
    struct wh_header *ours = is_emulated ? owned->emulated_headers : owned->headers;
    const struct wh_header **headers = is_emulated ? &options->emulated_headers : &options->headers;
    size_t *count = is_emulated ? &options->emulated_header_count : &options->header_count;
    if (*count > 0 && !*headers)
        return option_problem(detail, WH_EINVAL, "%zu headers at NULL", *count);
    size_t at = 0;
    while (at < *count && !is_named(&(*headers)[at], name + prefix_len))
        at++;
    if (*count > SETTINGS_HEADERS_MAX || at == SETTINGS_HEADERS_MAX)
        return option_problem(detail, WH_ELIMIT, "%.100s: more than %d headers", name,
                              (int)SETTINGS_HEADERS_MAX);
    struct wh_slice copy = {0};
    if (at == *count) {
        copy = wh_arena_copy(&owned->arena, wh_slice_from_str(name + prefix_len));
        if (!copy.ptr)
            return option_problem(detail, WH_ENOMEM, "out of memory");
    }
    if (*headers != ours && *count > 0)
        memcpy(ours, *headers, *count * sizeof(*ours));
    if (at == *count) {
        ours[at].name = copy.ptr;
        ++*count;
    }
    ours[at].value = value;
    *headers = ours;
    return WH_OK;
}

enum wh_err wh_client_options_set(struct wh_client_options *options,
                                  const char *name,
                                  const char *value,
                                  struct wh_error *detail)
{
    static const char *const lists[] = {"header.", "emulated_header."};
    if (!options || !name || !value)
        return option_problem(detail, WH_EINVAL, "options, name or value is NULL");
    const struct option_row *row = find(option_rows, option_row_count, name);
    if (row && row->offset >= options->size)
        return option_problem(detail, WH_EABI, "%s is newer than the options' size", name);
    if (row)
        return set_row(options, row, value) == WH_OK ? WH_OK : bad_value(row, value, detail);
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        size_t len = strlen(lists[i]);
        if (strncmp(name, lists[i], len) == 0 && name[len])
            return set_header(options, name, len, value, detail);
    }
    return strncmp(name, "tls.", 4) == 0 ? set_tls(options, name, value, detail)
                                         : unknown_name(name, detail);
}
