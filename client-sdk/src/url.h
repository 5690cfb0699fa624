/*
 * ws:// and wss:// URLs, taken apart (RFC 6455 §3, RFC 3986).  Pure; any thread.
 */
#ifndef WH_SDK_URL_H
#define WH_SDK_URL_H

#include "client-sdk/src/settings.h"
#include "common/base/slice.h"

/* The latter two are what libwebsockets 4.1 can put into a request. */
enum { URL_BYTES_MAX = 2048, URL_PATH_BYTES_MAX = 2000, URL_HOST_BYTES_MAX = 112 };

/*
 * Strings of `out` lie in the arena.  Defaults: port 80 or 443, path "/".
 * WH_EINVAL: no such URL, user:password in it, a fragment, a port outside 1–65535, an IPv6 zone, a
 * byte that has to be %-encoded; `detail` (may be NULL) says which, and shows neither query nor
 * password.  WH_ENOMEM.
 */
WH_MUST_CHECK enum wh_err url_parse(struct wh_slice url,
                                    struct wh_arena *arena,
                                    struct settings_url *out,
                                    struct wh_error *detail);

/* "host" or "host:port" or "[v6]:port" of an authority without scheme, user and path.  `port` is
 * left alone when there is none.  False, and why, when it is none. */
bool url_parse_authority(struct wh_slice authority,
                         struct wh_slice *out_host,
                         uint16_t *port,
                         const char **out_why);

#endif
