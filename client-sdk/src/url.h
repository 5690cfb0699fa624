/*
 * ws:// and wss:// URLs, taken apart: the one place that knows what is allowed in them.  Pure; any
 * thread.
 *
 * Source: RFC 6455 §3, RFC 3986; sizes of names RFC 1035 §2.3.4.
 */
#ifndef WH_SDK_URL_H
#define WH_SDK_URL_H

#include "client-sdk/src/settings.h"
#include "common/base/slice.h"

enum {
    URL_HOST_BYTES_MAX = 253, /* a name's 255 octets on the wire, as text */
    URL_LABEL_BYTES_MAX = 63, /* between its dots */
    URL_PATH_BYTES_MAX = 8192 /* with query; RFC 9110 §4.1 expects servers to take 8,000 */
};

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

/* `<option>: "<value>": <why>` into `detail` (may be NULL); gives `err` back.  Left out of the
 * value is what may be secret (a query; all of one with an @) or cannot be printed. */
enum wh_err url_refuse(struct wh_error *detail,
                       enum wh_err err,
                       const char *option,
                       struct wh_slice value,
                       const char *why);

#endif
