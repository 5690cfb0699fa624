#include "common/io/redis_address.h"

#include "common/base/slice.h"

#include <stdio.h>

static enum wh_err copy(struct wh_slice from, char *to, size_t size)
{
    if (from.len == 0 || from.len >= size)
        return WH_EINVAL;
    memcpy(to, from.ptr, from.len);
    to[from.len] = '\0';
    return WH_OK;
}

static enum wh_err parse_port(struct wh_slice text, char port[6])
{
    unsigned number = 0;
    if (text.len == 0 || text.len > 5)
        return WH_EINVAL;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return WH_EINVAL;
        number = number * 10 + (unsigned)(text.ptr[i] - '0');
    }
    if (number == 0 || number > 65535)
        return WH_EINVAL;
    snprintf(port, 6, "%u", number);
    return WH_OK;
}

/* Cut at the colon before the port.  A bare IPv6 address has several colons and no port. */
static enum wh_err split_host(const char *text, struct wh_slice *host, struct wh_slice *port)
{
    const char *end = text + strlen(text);
    const char *colon;
    if (text[0] == '[') {
        const char *bracket = strchr(text, ']');
        if (!bracket || (bracket[1] != ':' && bracket[1] != '\0'))
            return WH_EINVAL;
        *host = wh_slice(text + 1, (size_t)(bracket - text - 1));
        colon = bracket + 1;
    } else {
        colon = strchr(text, ':');
        if (!colon || strchr(colon + 1, ':'))
            colon = end;
        *host = wh_slice(text, (size_t)(colon - text));
    }
    *port =
        colon == end ? WH_SLICE_LITERAL("6379") : wh_slice(colon + 1, (size_t)(end - colon - 1));
    return WH_OK;
}

enum wh_err wh_redis_address_parse(const char *text, struct wh_redis_address *out_address)
{
    struct wh_redis_address address = {0};
    enum wh_err err;
    if (!text)
        return WH_EINVAL;
    if (strncmp(text, "unix://", 7) == 0)
        text += 7;
    if (text[0] == '/') {
        err = copy(wh_slice_from_str(text), address.path, sizeof address.path);
        if (!err)
            *out_address = address;
        return err;
    }
    if (strchr(text, '/'))
        return WH_EINVAL;

    struct wh_slice host;
    struct wh_slice port;
    err = split_host(text, &host, &port);
    if (!err)
        err = copy(host, address.host, sizeof address.host);
    if (!err)
        err = parse_port(port, address.port);
    if (!err)
        *out_address = address;
    return err;
}
