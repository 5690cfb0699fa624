/*
 * Which HTTP proxy a connection goes through: the option of the client, or what
 * the environment says.  Pure; any thread.
 *
 * Source: curl's reading of http_proxy, https_proxy, all_proxy and no_proxy, which is the one that
 * people expect.  https_proxy is for wss, http_proxy for ws (only in lower case, because CGI hands
 * request headers to programs as HTTP_…), all_proxy for both.
 */
#ifndef WH_SDK_PROXY_H
#define WH_SDK_PROXY_H

#include "client-sdk/src/settings.h"

/* Strings lie in the arena. */
struct proxy {
    const char *host; /* without brackets */
    uint16_t port;
    const char *auth; /* "user:password", decoded; NULL = none */
};

/* Values of the variables; NULL or "" = not set. */
struct proxy_environment {
    const char *http_proxy;
    const char *https_proxy;
    const char *all_proxy;
    const char *no_proxy;
};

/* Of this process, borrowed until somebody changes it. */
struct proxy_environment proxy_environment(void);

/* The text of the proxy for `url`; NULL = connect directly.  `option`: settings.proxy. */
const char *proxy_choose(const char *option,
                         const struct proxy_environment *environment,
                         const struct settings_url *url);

/* no_proxy: "*", or names, addresses and CIDR ranges by comma or blank.  A name is for itself and
 * what is below it, with or without a dot before it; ":port" narrows it down. */
bool proxy_is_bypassed(const char *no_proxy, const char *host, uint16_t port);

/*
 * "http://user:password@host:port/", all but the host optional; port 1080 as curl has it.
 * WH_EUNSUPPORTED: https, socks.  WH_EINVAL: no proxy at all.  WH_ENOMEM.  `detail` may be NULL; it
 * shows no password.
 */
WH_MUST_CHECK enum wh_err proxy_parse(struct wh_slice text,
                                      struct wh_arena *arena,
                                      struct proxy *out,
                                      struct wh_error *detail);

#endif
