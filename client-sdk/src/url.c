/*
 * URLs are written by the program's author or its users, so a refusal must say what is wrong.
 * Nothing is repaired: what is not ASCII or not allowed raw has to come %-encoded, so that the
 * request line is exactly what was asked for and nothing can be smuggled into it.
 */
#include "client-sdk/src/url.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <strings.h>

enum { SHOWN_BYTES_MAX = 128 };

enum wh_err url_refuse(struct wh_error *detail,
                       enum wh_err err,
                       const char *option,
                       struct wh_slice value,
                       const char *why)
{
    if (!detail)
        return err;
    *detail = (struct wh_error){.err = err};
    const char *query = value.len > 0 ? memchr(value.ptr, '?', value.len) : NULL;
    bool has_user = value.len > 0 && memchr(value.ptr, '@', value.len);
    if (query)
        value.len = (size_t)(query - value.ptr);
    bool is_cut = value.len > SHOWN_BYTES_MAX;
    if (is_cut)
        value.len = SHOWN_BYTES_MAX;
    bool is_shown = value.len > 0 && !has_user;
    for (size_t i = 0; is_shown && i < value.len; i++)
        is_shown = value.ptr[i] >= ' ' && value.ptr[i] <= '~';
    if (is_shown)
        (void)snprintf(detail->text, sizeof detail->text, "%s: \"%.*s%s\": %s", option,
                       WH_SLICE_ARGS(value), is_cut ? "..." : "", why);
    else
        (void)snprintf(detail->text, sizeof detail->text, "%s: %s", option, why);
    return err;
}

static enum wh_err refuse(struct wh_error *detail, struct wh_slice url, const char *why)
{
    return url_refuse(detail, WH_EINVAL, "url", url, why);
}

static enum wh_err no_memory(struct wh_error *detail)
{
    if (detail) {
        *detail = (struct wh_error){.err = WH_ENOMEM};
        (void)snprintf(detail->text, sizeof detail->text, "%s", wh_err_text(WH_ENOMEM));
    }
    return WH_ENOMEM;
}

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Names and IPv4 addresses.  `_` is no letter of host names, yet people have them (containers). */
static const char *check_name(struct wh_slice host)
{
    if (host.len > URL_HOST_BYTES_MAX)
        return "the host is longer than 253 bytes";
    size_t label = 0; /* bytes since the last dot */
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        if ((c == '.' || c == '-') && label == 0)
            return "a part of the host name is empty or begins with -";
        if (c != '.' && !is_alnum(c) && c != '-' && c != '_')
            return "no host name (letters, digits, - . _)";
        label = c == '.' ? 0 : label + 1;
        if (label > URL_LABEL_BYTES_MAX)
            return "a part of the host name is longer than 63 bytes";
    }
    return NULL;
}

static bool is_ipv6(struct wh_slice host)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    if (host.len >= sizeof text || host.len == 0 || memchr(host.ptr, 0, host.len))
        return false;
    memcpy(text, host.ptr, host.len);
    text[host.len] = 0;
    return inet_pton(AF_INET6, text, &address) == 1;
}

static bool parse_port(struct wh_slice digits, uint16_t *out_port)
{
    unsigned number = 0;
    if (digits.len == 0 || digits.len > 5)
        return false;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.ptr[i] < '0' || digits.ptr[i] > '9')
            return false;
        number = number * 10 + (unsigned)(digits.ptr[i] - '0');
    }
    if (number == 0 || number > UINT16_MAX)
        return false;
    *out_port = (uint16_t)number;
    return true;
}

/* Take the host off the front of `*rest`; what stays is "" or ":port". */
static const char *take_host(struct wh_slice *rest, struct wh_slice *out_host)
{
    if (rest->len > 0 && rest->ptr[0] == '[') {
        const char *end = memchr(rest->ptr, ']', rest->len);
        if (!end)
            return "no ] behind the IPv6 address";
        struct wh_slice host = {rest->ptr + 1, (size_t)(end - rest->ptr) - 1};
        if (host.len > 0 && memchr(host.ptr, '%', host.len))
            return "IPv6 zones are not supported";
        if (!is_ipv6(host))
            return "no IPv6 address between [ and ]";
        *out_host = host;
        *rest = wh_slice_from(*rest, host.len + 2);
        return NULL;
    }
    if (is_ipv6(*rest))
        return "an IPv6 address needs brackets: [::1]";
    const char *colon = rest->len > 0 ? memchr(rest->ptr, ':', rest->len) : NULL;
    struct wh_slice host = {rest->ptr, colon ? (size_t)(colon - rest->ptr) : rest->len};
    if (host.len == 0)
        return "no host";
    *out_host = host;
    *rest = wh_slice_from(*rest, host.len);
    return check_name(host);
}

bool url_parse_authority(struct wh_slice authority,
                         struct wh_slice *out_host,
                         uint16_t *port,
                         const char **out_why)
{
    struct wh_slice host;
    *out_why = take_host(&authority, &host);
    if (*out_why)
        return false;
    if (authority.len > 0 &&
        (authority.ptr[0] != ':' || !parse_port(wh_slice_from(authority, 1), port))) {
        *out_why = "the port is no number from 1 to 65535";
        return false;
    }
    *out_host = host;
    return true;
}

/* What may stand raw in a path or query (RFC 3986 §3.3, §3.4), and what browsers leave as it is. */
static const char *check_path(struct wh_slice path)
{
    if (path.len > URL_PATH_BYTES_MAX)
        return "the path is longer than 8192 bytes";
    for (size_t i = 0; i < path.len; i++) {
        char c = path.ptr[i];
        if (c == '#')
            return "a WebSocket URL has no #fragment";
        if (c <= ' ' || c > '~' || memchr("\"<>\\`", c, 5))
            return "a byte in the path has to be %-encoded";
    }
    return NULL;
}

static bool take_scheme(struct wh_slice *rest, bool *out_is_tls)
{
    if (rest->len >= 5 && strncasecmp(rest->ptr, "ws://", 5) == 0) {
        *out_is_tls = false;
        *rest = wh_slice_from(*rest, 5);
        return true;
    }
    if (rest->len >= 6 && strncasecmp(rest->ptr, "wss://", 6) == 0) {
        *out_is_tls = true;
        *rest = wh_slice_from(*rest, 6);
        return true;
    }
    return false;
}

static enum wh_err copy(struct wh_slice url,
                        struct wh_slice host,
                        struct wh_slice path,
                        struct wh_arena *arena,
                        struct settings_url *out)
{
    struct wh_slice text = wh_arena_copy(arena, url);
    struct wh_slice name = wh_arena_copy(arena, host);
    bool has_slash = path.len > 0 && path.ptr[0] == '/';
    char *target = wh_arena_alloc(arena, path.len + 2);
    if (!text.ptr || !name.ptr || !target)
        return WH_ENOMEM;
    target[0] = '/';
    if (path.len > 0)
        memcpy(target + (has_slash ? 0 : 1), path.ptr, path.len);
    out->text = text.ptr;
    out->host = name.ptr;
    out->path = target;
    return WH_OK;
}

enum wh_err url_parse(struct wh_slice url,
                      struct wh_arena *arena,
                      struct settings_url *out,
                      struct wh_error *detail)
{
    struct settings_url parsed = {0};
    struct wh_slice rest = url;
    if (wh_slice_is_empty(url))
        return refuse(detail, url, "empty");
    if (!take_scheme(&rest, &parsed.is_tls))
        return refuse(detail, url, "must begin with ws:// or wss://");
    size_t end = 0;
    while (end < rest.len && !memchr("/?#", rest.ptr[end], 3))
        end++;
    struct wh_slice authority = {rest.ptr, end};
    struct wh_slice path = wh_slice_from(rest, end);
    if (end > 0 && memchr(authority.ptr, '@', end))
        return refuse(detail, url, "user:password@ is not supported; set a header or a token");
    parsed.port = parsed.is_tls ? 443 : 80;
    const char *why;
    struct wh_slice host;
    if (!url_parse_authority(authority, &host, &parsed.port, &why) || (why = check_path(path)))
        return refuse(detail, url, why);
    if (copy(url, host, path, arena, &parsed) != WH_OK)
        return no_memory(detail);
    *out = parsed;
    return WH_OK;
}
