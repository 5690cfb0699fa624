/*
 * Where a Redis listens: text into parts.  Pure; no look-up is made.
 *
 *     host:port   host   1.2.3.4:6379   [::1]:6379   unix:///path   /path
 */
#ifndef WH_IO_REDIS_ADDRESS_H
#define WH_IO_REDIS_ADDRESS_H

#include "common/base/err.h"

enum {
    WH_REDIS_HOST_MAX = 253, /* RFC 1035 §2.3.4, as text */
    WH_REDIS_PATH_MAX = 107, /* sun_path less its NUL; libuv would cut a longer one silently */
};

struct wh_redis_address {
    char host[WH_REDIS_HOST_MAX + 1]; /* "" for a unix socket */
    char port[6];                     /* decimal; 6379 when the text has none */
    char path[WH_REDIS_PATH_MAX + 1]; /* "" for TCP */
};

/* WH_EINVAL: empty, a bad port (0 is one), a scheme other than unix://, or too long. */
WH_MUST_CHECK enum wh_err wh_redis_address_parse(const char *text,
                                                 struct wh_redis_address *out_address);

#endif
