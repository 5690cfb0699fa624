/* Names are compared without case and without a dot at their end; ranges bit by bit. */
#include "client-sdk/src/proxy.h"

#include "client-sdk/src/url.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static const char *variable(const char *lower, const char *upper)
{
    const char *value = getenv(lower);
    if (!value && upper)
        value = getenv(upper);
    return value;
}

struct proxy_environment proxy_environment(void)
{
    return (struct proxy_environment){
        .http_proxy = variable("http_proxy", NULL),
        .https_proxy = variable("https_proxy", "HTTPS_PROXY"),
        .all_proxy = variable("all_proxy", "ALL_PROXY"),
        .no_proxy = variable("no_proxy", "NO_PROXY"),
    };
}

static bool is_set(const char *value)
{
    return value && *value;
}

const char *proxy_choose(const char *option,
                         const struct proxy_environment *environment,
                         const struct settings_url *url)
{
    if (option)
        return *option ? option : NULL;
    const char *value = url->is_tls ? environment->https_proxy : environment->http_proxy;
    if (!is_set(value))
        value = environment->all_proxy;
    if (!is_set(value) || proxy_is_bypassed(environment->no_proxy, url->host, url->port))
        return NULL;
    return value;
}

/* ---- no_proxy ------------------------------------------------------------------------------ */

static bool parse_address(struct wh_slice text, unsigned char out[16], unsigned *out_bits)
{
    char copy[INET6_ADDRSTRLEN];
    if (!text.ptr || text.len >= sizeof copy)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = 0;
    *out_bits = 32;
    if (inet_pton(AF_INET, copy, out) == 1)
        return true;
    *out_bits = 128;
    return inet_pton(AF_INET6, copy, out) == 1;
}

static bool parse_number(struct wh_slice digits, unsigned max, unsigned *out)
{
    unsigned number = 0;
    if (digits.len == 0 || digits.len > 5)
        return false;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.ptr[i] < '0' || digits.ptr[i] > '9')
            return false;
        number = number * 10 + (unsigned)(digits.ptr[i] - '0');
    }
    *out = number;
    return number <= max;
}

static bool has_prefix(const unsigned char *a, const unsigned char *b, unsigned bits)
{
    unsigned bytes = bits / 8;
    unsigned rest = bits % 8;
    if (memcmp(a, b, bytes) != 0)
        return false;
    return rest == 0 || (a[bytes] ^ b[bytes]) >> (8 - rest) == 0;
}

/* An address, or a range with /bits. */
static bool address_matches(struct wh_slice item, const char *host)
{
    unsigned char range[16], address[16];
    unsigned range_bits, address_bits;
    struct wh_slice base = item;
    const char *slash = memchr(item.ptr, '/', item.len);
    if (slash)
        base.len = (size_t)(slash - item.ptr);
    if (!parse_address(base, range, &range_bits) ||
        !parse_address(wh_slice_from_str(host), address, &address_bits) ||
        range_bits != address_bits)
        return false;
    unsigned bits = range_bits;
    if (slash && !parse_number(wh_slice_from(item, base.len + 1), range_bits, &bits))
        return false;
    return has_prefix(range, address, bits);
}

static struct wh_slice without_end_dot(struct wh_slice name)
{
    if (name.len > 0 && name.ptr[name.len - 1] == '.')
        name.len--;
    return name;
}

static bool name_matches(struct wh_slice item, struct wh_slice host)
{
    if (item.len > 0 && item.ptr[0] == '.')
        item = wh_slice_from(item, 1);
    item = without_end_dot(item);
    host = without_end_dot(host);
    if (item.len == 0 || item.len > host.len)
        return false;
    size_t before = host.len - item.len;
    return strncasecmp(host.ptr + before, item.ptr, item.len) == 0 &&
           (before == 0 || host.ptr[before - 1] == '.');
}

static bool item_matches(struct wh_slice item, const char *host, uint16_t port)
{
    if (address_matches(item, host))
        return true;
    struct wh_slice name = item;
    if (item.ptr[0] == '[') {
        const char *end = memchr(item.ptr, ']', item.len);
        if (!end)
            return false;
        name = wh_slice(item.ptr + 1, (size_t)(end - item.ptr) - 1);
        item = wh_slice_from(item, name.len + 2);
    } else {
        const char *colon = memchr(item.ptr, ':', item.len);
        name.len = colon ? (size_t)(colon - item.ptr) : item.len;
        item = wh_slice_from(item, name.len);
    }
    unsigned wanted = port;
    if (item.len > 0 &&
        (item.ptr[0] != ':' || !parse_number(wh_slice_from(item, 1), UINT16_MAX, &wanted)))
        return false;
    if (wanted != port || name.len == 0)
        return false;
    return address_matches(name, host) || name_matches(name, wh_slice_from_str(host));
}

bool proxy_is_bypassed(const char *no_proxy, const char *host, uint16_t port)
{
    if (!is_set(no_proxy))
        return false;
    for (const char *at = no_proxy; *at;) {
        size_t len = strcspn(at, ", \t");
        if (len == 1 && *at == '*')
            return true;
        if (len > 0 && item_matches(wh_slice(at, len), host, port))
            return true;
        at += len;
        at += strspn(at, ", \t");
    }
    return false;
}

/* ---- the proxy itself ---------------------------------------------------------------------- */

static enum wh_err refuse(enum wh_err err,
                          struct wh_error *detail,
                          struct wh_slice text,
                          const char *why)
{
    return url_refuse(detail, err, "proxy", text, why);
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* %XX undone; NULL for a broken one or a NUL byte. */
static char *decode(struct wh_slice text, struct wh_arena *arena)
{
    char *out = wh_arena_alloc(arena, text.len + 2);
    size_t len = 0;
    for (size_t i = 0; out && i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '%') {
            if (text.len - i < 3 || hex(text.ptr[i + 1]) < 0 || hex(text.ptr[i + 2]) < 0)
                return NULL;
            c = (char)(hex(text.ptr[i + 1]) * 16 + hex(text.ptr[i + 2]));
            i += 2;
        }
        if (!c)
            return NULL;
        out[len++] = c;
    }
    return out;
}

static enum wh_err take_auth(struct wh_slice text,
                             struct wh_arena *arena,
                             const char **out_auth,
                             struct wh_error *detail)
{
    char *auth = decode(text, arena);
    if (!auth)
        return refuse(WH_EINVAL, detail, WH_SLICE_ABSENT,
                      "user:password is not %-encoded correctly");
    if (!strchr(auth, ':'))
        auth[strlen(auth)] = ':'; /* there was room for it */
    *out_auth = auth;
    return WH_OK;
}

static enum wh_err take_scheme(struct wh_slice *text, struct wh_error *detail)
{
    for (size_t i = 0; i + 3 <= text->len; i++) {
        if (memcmp(text->ptr + i, "://", 3) != 0)
            continue;
        if (i != 4 || strncasecmp(text->ptr, "http", 4) != 0)
            return refuse(WH_EUNSUPPORTED, detail, *text, "only http:// proxies are supported");
        *text = wh_slice_from(*text, 7);
        return WH_OK;
    }
    return WH_OK;
}

enum wh_err proxy_parse(struct wh_slice text,
                        struct wh_arena *arena,
                        struct proxy *out,
                        struct wh_error *detail)
{
    const struct wh_slice whole = text;
    struct proxy proxy = {.port = 1080};
    enum wh_err err = take_scheme(&text, detail);
    if (err != WH_OK)
        return err;
    const char *slash = text.len > 0 ? memchr(text.ptr, '/', text.len) : NULL;
    if (slash)
        text.len = (size_t)(slash - text.ptr);
    for (size_t i = text.len; i > 0; i--) {
        if (text.ptr[i - 1] != '@')
            continue;
        err = take_auth(wh_slice(text.ptr, i - 1), arena, &proxy.auth, detail);
        if (err != WH_OK)
            return err;
        text = wh_slice_from(text, i);
        break;
    }
    struct wh_slice host;
    const char *why;
    if (!url_parse_authority(text, &host, &proxy.port, &why))
        return refuse(WH_EINVAL, detail, whole, why);
    proxy.host = wh_arena_copy(arena, host).ptr;
    if (!proxy.host)
        return refuse(WH_ENOMEM, detail, WH_SLICE_ABSENT, wh_err_text(WH_ENOMEM));
    *out = proxy;
    return WH_OK;
}
