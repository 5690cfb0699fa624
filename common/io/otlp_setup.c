/* Headers come as OpenTelemetry writes them in variables (W3C Baggage: "a=b,c=d%20e") and leave as
 * HTTP has them ("a: b", "c: d e"). */
#include "common/io/otlp_setup.h"

#include "common/base/alloc.h"
#include "common/io/http_client.h"

#include <stdlib.h>

enum { HEADERS_MAX = 32 };

static const char not_a_ratio[] = "is not a number from 0 to 1";
static const char not_a_url[] = "is no http:// or https:// URL";
static const char not_headers[] = "is not name=value,name=value";

/* Headers */

struct header_list {
    char *items[HEADERS_MAX + 1]; /* NULL-terminated */
    size_t count;
};

static void headers_free(struct header_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        wh_free(list->items[i]);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static struct wh_slice trim(struct wh_slice text)
{
    while (text.len > 0 && text.ptr[0] == ' ')
        text = wh_slice_from(text, 1);
    while (text.len > 0 && text.ptr[text.len - 1] == ' ')
        text.len--;
    return text;
}

/* False: a "%" that is not followed by two digits. */
static bool append_decoded(struct wh_buf *out, struct wh_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != '%') {
            wh_buf_append_char(out, text.ptr[i]);
            continue;
        }
        int high = i + 2 < text.len ? hex_digit(text.ptr[i + 1]) : -1;
        int low = i + 2 < text.len ? hex_digit(text.ptr[i + 2]) : -1;
        if (high < 0 || low < 0)
            return false;
        wh_buf_append_char(out, (char)(high << 4 | low));
        i += 2;
    }
    return true;
}

static enum wh_err add_header(struct header_list *list, struct wh_slice pair)
{
    const char *equals = memchr(pair.ptr, '=', pair.len);
    if (!equals || list->count == HEADERS_MAX)
        return WH_EFORMAT;
    size_t name_len = (size_t)(equals - pair.ptr);
    struct wh_buf text = {0};
    wh_buf_append_slice(&text, trim(wh_slice(pair.ptr, name_len)));
    wh_buf_append_str(&text, ": ");
    bool is_ok = append_decoded(&text, trim(wh_slice_from(pair, name_len + 1)));
    const char *line = wh_buf_cstr(&text);
    enum wh_err err = wh_buf_error(&text);
    /* One that a decoded NUL has cut is none. */
    if (err == WH_OK && (!is_ok || strlen(line) != text.len || !wh_http_header_is_valid(line)))
        err = WH_EFORMAT;
    char *copy = err == WH_OK ? wh_malloc(text.len + 1) : NULL;
    if (copy) {
        memcpy(copy, line, text.len + 1);
        list->items[list->count++] = copy;
    } else if (err == WH_OK) {
        err = WH_ENOMEM;
    }
    wh_buf_deinit(&text);
    return err;
}

static enum wh_err read_headers(const char *text, struct header_list *list)
{
    struct wh_slice rest = wh_slice_from_str(text);
    enum wh_err err = WH_OK;
    while (err == WH_OK && rest.len > 0) {
        const char *comma = memchr(rest.ptr, ',', rest.len);
        size_t len = comma ? (size_t)(comma - rest.ptr) : rest.len;
        struct wh_slice pair = trim(wh_slice(rest.ptr, len));
        if (pair.len > 0)
            err = add_header(list, pair);
        rest = wh_slice_from(rest, len + 1);
    }
    return err;
}

/* Options */

static bool is_set(const char *text)
{
    return text && *text;
}

const char *wh_otlp_config_check(const struct wh_otlp_config *config, const char **out_name)
{
    double ratio;
    *out_name = "opentelemetry.endpoint";
    if (is_set(config->endpoint) && !wh_http_url_is_valid(config->endpoint))
        return not_a_url;
    *out_name = "opentelemetry.sample_ratio";
    if (is_set(config->sample_ratio) &&
        wh_trace_ratio_parse(wh_slice_from_str(config->sample_ratio), &ratio))
        return not_a_ratio;
    *out_name = "opentelemetry.headers";
    struct header_list list = {.count = 0};
    enum wh_err err = is_set(config->headers) ? read_headers(config->headers, &list) : WH_OK;
    headers_free(&list);
    return err == WH_EFORMAT ? not_headers : NULL;
}

/* The option, else the variable, else `otherwise`. */
static const char *choose(const char *option, const char *variable, const char *otherwise)
{
    if (is_set(option))
        return option;
    const char *text = getenv(variable);
    return is_set(text) ? text : otherwise;
}

/* What the variables say is judged by the rules of the options that they stand for. */
static enum wh_err check_variables(const struct wh_otlp_config *resolved,
                                   struct wh_buf *out_problem)
{
    const char *name;
    const char *problem = wh_otlp_config_check(resolved, &name);
    if (!problem)
        return WH_OK;
    wh_buf_printf(out_problem, "%s (or its OTEL_ variable) %s", name, problem);
    return WH_EINVAL;
}

enum wh_err wh_telemetry_start(struct wh_loop *loop,
                               const struct wh_otlp_config *config,
                               const struct wh_otlp_resource *resource,
                               void (*counted)(void *user, uint64_t exported, uint64_t dropped),
                               void *user,
                               struct wh_telemetry *out_telemetry,
                               struct wh_buf *out_problem)
{
    struct wh_telemetry telemetry = {NULL, NULL};
    struct wh_tracer_options tracer = {.capacity = WH_TRACER_CAPACITY};
    struct header_list headers = {.count = 0};
    if (!config->enabled) {
        *out_telemetry = telemetry;
        return WH_OK;
    }
    const struct wh_otlp_config resolved = {
        .endpoint = (char *)(uintptr_t)choose(config->endpoint, "OTEL_EXPORTER_OTLP_ENDPOINT",
                                              WH_OTLP_ENDPOINT),
        .sample_ratio =
            (char *)(uintptr_t)choose(config->sample_ratio, "OTEL_TRACES_SAMPLER_ARG", "1"),
        .headers = (char *)(uintptr_t)choose(config->headers, "OTEL_EXPORTER_OTLP_HEADERS", ""),
    };
    enum wh_err err = check_variables(&resolved, out_problem);
    if (err)
        return err;
    err = wh_trace_ratio_parse(wh_slice_from_str(resolved.sample_ratio), &tracer.ratio);
    if (err == WH_OK)
        err = read_headers(resolved.headers, &headers);
    if (err == WH_OK)
        err = wh_tracer_new(&tracer, &telemetry.tracer);
    const struct wh_otlp_options options = {
        .endpoint = resolved.endpoint,
        .headers = (const char *const *)headers.items,
        .resource = *resource,
        .counted = counted,
        .user = user,
    };
    if (err == WH_OK)
        err = wh_otlp_new(loop, telemetry.tracer, &options, &telemetry.otlp);
    headers_free(&headers);
    if (err) {
        wh_buf_printf(out_problem, "opentelemetry: %s", wh_err_text(err));
        wh_telemetry_free(&telemetry);
        return err;
    }
    *out_telemetry = telemetry;
    return WH_OK;
}

void wh_telemetry_free(struct wh_telemetry *telemetry)
{
    wh_otlp_free(telemetry->otlp);
    wh_tracer_free(telemetry->tracer);
    *telemetry = (struct wh_telemetry){NULL, NULL};
}
