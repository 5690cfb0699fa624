/*
 * Every option of a client is looked at here, once, before anything else of
 * the client exists: what passes cannot fail later.
 */
#include "client-sdk/src/settings.h"

#include "client-sdk/src/abi.h"
#include "client-sdk/src/event.h"
#include "client-sdk/src/option_row.h"
#include "client-sdk/src/proxy.h"
#include "client-sdk/src/upgrade.h"
#include "client-sdk/src/url.h"
#include "common/base/utf8.h"
#include "common/protocol/copy.h"

#include <stdio.h>
#include <strings.h>

struct check {
    struct settings *settings;
    const struct wh_client_options *options;
    struct wh_error *detail;
};

static enum wh_err no_memory(const struct check *check)
{
    (void)option_problem(check->detail, WH_ENOMEM, "out of memory");
    return WH_ENOMEM;
}

/* NULL stays NULL. */
static enum wh_err copy_text(const struct check *check,
                             const char *name,
                             const char *text,
                             const char **out_text)
{
    *out_text = NULL;
    if (!text)
        return WH_OK;
    struct wh_slice slice = wh_slice_from_str(text);
    if (!wh_utf8_is_valid(slice))
        return option_problem(check->detail, WH_EINVAL, "%s: not UTF-8", name);
    *out_text = wh_arena_copy(&check->settings->arena, slice).ptr;
    return *out_text ? WH_OK : no_memory(check);
}

/* ---- numbers --------------------------------------------------------------------------------- */

static enum wh_err check_number(const struct check *check,
                                const struct option_row *row,
                                uint64_t *number)
{
    if (*number == 0)
        *number = row->default_value;
    if (row->may_be_never && *number == WH_NEVER)
        return WH_OK;
    if (*number < row->min || *number > row->max)
        return option_problem(check->detail, WH_EINVAL, "%s: %llu is not between %llu and %llu",
                              row->name, (unsigned long long)*number, (unsigned long long)row->min,
                              (unsigned long long)row->max);
    return WH_OK;
}

/* The defaults go into the copy of the options that `options` is. */
static enum wh_err check_numbers(const struct check *check, struct wh_client_options *options)
{
    for (size_t i = 0; i < option_row_count; i++) {
        const struct option_row *row = &option_rows[i];
        char *field = (char *)options + row->offset;
        uint32_t ms;
        size_t bytes;
        uint64_t number = 0;
        if (row->type == OPTION_MS) {
            memcpy(&ms, field, sizeof(ms));
            number = ms;
        } else if (row->type == OPTION_BYTES) {
            memcpy(&bytes, field, sizeof(bytes));
            number = bytes;
        } else {
            continue;
        }
        enum wh_err err = check_number(check, row, &number);
        if (err)
            return err;
        ms = (uint32_t)number;
        bytes = (size_t)number;
        memcpy(field, row->type == OPTION_MS ? (void *)&ms : (void *)&bytes,
               row->type == OPTION_MS ? sizeof(ms) : sizeof(bytes));
    }
    if (options->min_reconnect_ms > options->max_reconnect_ms)
        return option_problem(check->detail, WH_EINVAL,
                              "min_reconnect_ms: %u is more than max_reconnect_ms, %u",
                              options->min_reconnect_ms, options->max_reconnect_ms);
    return WH_OK;
}

static void take_numbers(struct settings *settings, const struct wh_client_options *options)
{
    settings->timeout_ms = options->timeout_ms;
    settings->connect_timeout_ms = options->connect_timeout_ms;
    settings->token_timeout_ms = options->token_timeout_ms;
    settings->min_reconnect_ms = options->min_reconnect_ms;
    settings->max_reconnect_ms = options->max_reconnect_ms;
    settings->max_server_ping_delay_ms = options->max_server_ping_delay_ms;
    settings->close_timeout_ms = options->close_timeout_ms;
    settings->message_bytes_max = options->message_bytes_max;
    settings->send_queue_bytes_max = options->send_queue_bytes_max;
    settings->event_queue_bytes_max = options->event_queue_bytes_max;
    settings->no_reconnect = options->no_reconnect;
    settings->encoding_required = options->encoding_required;
    settings->encoding = options->encoding;
}

/* ---- URLs ------------------------------------------------------------------------------------ */

static enum wh_err add_url(const struct check *check, struct wh_slice text)
{
    struct settings *settings = check->settings;
    if (settings->url_count == SETTINGS_URLS_MAX)
        return option_problem(check->detail, WH_EINVAL, "url: more than %d of them",
                              (int)SETTINGS_URLS_MAX);
    enum wh_err err =
        url_parse(text, &settings->arena, &settings->urls[settings->url_count], check->detail);
    if (err == WH_OK)
        settings->url_count++;
    return err;
}

static enum wh_err take_urls(const struct check *check)
{
    const char *rest = check->options->url;
    if (!rest || !*rest)
        return option_problem(check->detail, WH_EINVAL, "url: missing (ws://host/path)");
    for (;;) {
        size_t len = strcspn(rest, ",");
        enum wh_err err = add_url(check, wh_slice_trim(wh_slice(rest, len)));
        if (err != WH_OK || !rest[len])
            return err;
        rest += len + 1;
    }
}

/* ---- headers --------------------------------------------------------------------------------- */

static enum wh_err check_header(const struct check *check,
                                const char *option,
                                const struct wh_header *header,
                                bool is_real)
{
    const char *fault = upgrade_header_fault(header, is_real);
    if (!fault)
        return WH_OK;
    /* Behind a colon there may be a value: "Authorization: …". */
    size_t len = header->name ? strcspn(header->name, ":\r\n") : 0;
    (void)option_problem(check->detail, WH_EINVAL, "%s: \"%.*s\" %s", option,
                         len < 80 ? (int)len : 80, header->name ? header->name : "", fault);
    return WH_EINVAL;
}

static enum wh_err copy_headers(const struct check *check,
                                const char *option,
                                const struct wh_header *headers,
                                size_t count,
                                struct wh_header **out_headers)
{
    bool is_real = strcmp(option, "headers") == 0;
    if (count > SETTINGS_HEADERS_MAX || (count > 0 && !headers)) {
        (void)option_problem(check->detail, WH_EINVAL, "%s: %zu of them, at most %d", option, count,
                             (int)SETTINGS_HEADERS_MAX);
        return WH_EINVAL;
    }
    struct wh_header *copy = wh_arena_alloc_array(&check->settings->arena, count, sizeof(*copy));
    if (!copy)
        return no_memory(check);
    for (size_t i = 0; i < count; i++) {
        enum wh_err err = check_header(check, option, &headers[i], is_real);
        if (!err)
            err = copy_text(check, option, headers[i].name, &copy[i].name);
        if (!err)
            err = copy_text(check, option, headers[i].value, &copy[i].value);
        if (err)
            return err;
    }
    *out_headers = copy;
    return WH_OK;
}

static enum wh_err take_headers(const struct check *check)
{
    const struct wh_client_options *options = check->options;
    struct settings *settings = check->settings;
    struct wh_header *headers = NULL, *emulated = NULL;
    enum wh_err err =
        copy_headers(check, "headers", options->headers, options->header_count, &headers);
    if (!err)
        err = copy_headers(check, "emulated_headers", options->emulated_headers,
                           options->emulated_header_count, &emulated);
    if (err)
        return err;
    settings->headers = headers;
    settings->header_count = options->header_count;
    size_t count = options->emulated_header_count;
    struct wh_string_map *map = &settings->emulated_headers;
    map->items = wh_arena_alloc_array(&settings->arena, count, sizeof(*map->items));
    if (!map->items)
        return no_memory(check);
    map->count = count;
    for (size_t i = 0; i < count; i++) {
        map->items[i].key = wh_slice_from_str(emulated[i].name);
        map->items[i].value = wh_slice_from_str(emulated[i].value);
    }
    return WH_OK;
}

/* ---- TLS, proxy, the rest ---------------------------------------------------------------------
 */

static enum wh_err copy_tls_texts(const struct check *check, struct wh_tls_options *tls)
{
    const struct {
        const char *name;
        const char **field;
    } texts[] = {
        {"tls.ca_file", &tls->ca_file},         {"tls.ca_dir", &tls->ca_dir},
        {"tls.cert_file", &tls->cert_file},     {"tls.key_file", &tls->key_file},
        {"tls.server_name", &tls->server_name}, {"tls.key_password", &tls->key_password},
        {"tls.ciphers", &tls->ciphers},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        enum wh_err err = copy_text(check, texts[i].name, *texts[i].field, texts[i].field);
        if (err)
            return err;
    }
    return WH_OK;
}

static enum wh_err take_tls(const struct check *check)
{
    struct settings *settings = check->settings;
    struct wh_tls_options *tls = &settings->tls;
    *tls = (struct wh_tls_options)WH_TLS_OPTIONS_INIT;
    if (!check->options->tls)
        return WH_OK;
    enum wh_err err = abi_copy(tls, sizeof(*tls), check->options->tls);
    if (err)
        return option_problem(check->detail, err, "tls: size: %s", wh_err_text(err));
    settings->has_tls = true;
    if (!tls->cert_file != !tls->key_file)
        return option_problem(check->detail, WH_EINVAL,
                              "tls.cert_file and tls.key_file come together");
    err = copy_tls_texts(check, tls);
    if (err || !tls->ca.ptr)
        return err;
    tls->ca.ptr = wh_arena_copy(&settings->arena, wh_slice(tls->ca.ptr, tls->ca.len)).ptr;
    return tls->ca.ptr ? WH_OK : no_memory(check);
}

/* Kept as text, since the environment's proxies are texts too; taken apart here so that it cannot
 * fail later. */
static enum wh_err take_proxy(const struct check *check)
{
    const char *text = check->options->proxy;
    if (text && *text) {
        struct proxy proxy;
        enum wh_err err =
            proxy_parse(wh_slice_from_str(text), &check->settings->arena, &proxy, check->detail);
        if (err != WH_OK)
            return err;
    }
    return copy_text(check, "proxy", text, &check->settings->proxy);
}

static enum wh_err take_connect_data(const struct check *check)
{
    const struct wh_data *data = &check->options->connect_data;
    struct wh_payload payload = {0};
    enum wh_err err = payload_of_data(*data, &payload);
    if (!err && !(data->flags & WH_DATA_TRUSTED))
        err = wh_payload_check(payload);
    if (!err && payload.kind == WH_PAYLOAD_BYTES && wh_payload_is_present(payload) &&
        check->options->encoding == WH_ENCODING_JSON &&
        wh_payload_classify(payload.bytes).kind != WH_PAYLOAD_JSON)
        err = WH_EENCODING;
    if (err)
        return option_problem(check->detail, WH_EINVAL,
                              "connect_data: it is not what its format says, or does not fit the "
                              "encoding");
    if (wh_payload_is_present(payload)) {
        payload.bytes = wh_arena_copy(&check->settings->arena, payload.bytes);
        if (!payload.bytes.ptr)
            return no_memory(check);
    }
    check->settings->connect_data = payload;
    return WH_OK;
}

static enum wh_err take_events(const struct check *check)
{
    const size_t first_size = offsetof(struct wh_client_events, server_unsubscribed_why);
    const struct wh_client_events *events = check->options->events;
    struct wh_client_events *known = &check->settings->events;
    known->size = sizeof(*known);
    if (!events)
        return WH_OK;
    enum wh_err err = abi_copy_events(known, sizeof(*known), first_size, events);
    return err ? option_problem(check->detail, err, "events: size: %s", wh_err_text(err)) : WH_OK;
}

static enum wh_err take_texts(const struct check *check)
{
    const struct wh_client_options *options = check->options;
    struct settings *settings = check->settings;
    if ((unsigned)options->encoding >= WH_ENCODING_COUNT)
        return option_problem(check->detail, WH_EINVAL, "encoding: %u is none",
                              (unsigned)options->encoding);
    const char *token = options->token && *options->token ? options->token : NULL;
    enum wh_err err = copy_text(check, "token", token, &settings->token);
    if (!err)
        err = copy_text(check, "name", options->name ? options->name : "c", &settings->name);
    if (!err)
        err = copy_text(check, "version", options->version ? options->version : "",
                        &settings->version);
    return err;
}

enum wh_err settings_init(struct settings *settings,
                          const struct wh_client_options *options,
                          struct wh_error *detail)
{
    struct wh_client_options known = WH_CLIENT_OPTIONS_INIT;
    if (!options)
        return option_problem(detail, WH_EINVAL, "options are missing");
    enum wh_err err = abi_copy(&known, sizeof(known), options);
    if (err)
        return option_problem(detail, err, "options: size: %s", wh_err_text(err));
    *settings = (struct settings){.user = known.user, .user_free = known.user_free};
    const struct check check = {settings, &known, detail};
    static enum wh_err (*const steps[])(const struct check *check) = {
        take_urls, take_texts, take_headers, take_tls, take_proxy, take_connect_data, take_events};
    err = check_numbers(&check, &known);
    for (size_t i = 0; !err && i < sizeof(steps) / sizeof(steps[0]); i++)
        err = steps[i](&check);
    if (err) {
        settings_deinit(settings);
        return err;
    }
    take_numbers(settings, &known);
    return WH_OK;
}

void settings_deinit(struct settings *settings)
{
    wh_arena_deinit(&settings->arena);
    *settings = (struct settings){0};
}
