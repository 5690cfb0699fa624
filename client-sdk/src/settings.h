/*
 * The options of a client, checked and copied: what wh_client_options said
 * with every default filled in.  Immutable after settings_init.
 */
#ifndef WH_SDK_SETTINGS_H
#define WH_SDK_SETTINGS_H

#include "common/base/arena.h"
#include "common/protocol/model.h"

#include <wirehub/client.h>

enum { SETTINGS_URLS_MAX = 16, SETTINGS_HEADERS_MAX = 64 };

/* ws://host:port/path?query taken apart; strings NUL-terminated in the arena. */
struct settings_url {
    const char *text;
    const char *host; /* without the brackets of an IPv6 literal */
    uint16_t port;
    const char *path; /* with query; "/" at least */
    bool is_tls;
};

struct settings {
    struct wh_arena arena;
    struct settings_url urls[SETTINGS_URLS_MAX];
    size_t url_count;
    enum wh_encoding encoding;
    bool encoding_required;
    const char *token; /* NULL = none */
    const char *name;
    const char *version;
    struct wh_payload connect_data;
    const struct wh_header *headers;
    size_t header_count;
    struct wh_string_map emulated_headers;
    bool has_tls; /* options were given */
    struct wh_tls_options tls;
    const char *proxy; /* NULL = ask the environment */
    uint32_t timeout_ms, connect_timeout_ms, token_timeout_ms;
    uint32_t min_reconnect_ms, max_reconnect_ms;
    uint32_t max_server_ping_delay_ms; /* or WH_NEVER */
    uint32_t close_timeout_ms;
    bool no_reconnect;
    size_t message_bytes_max, send_queue_bytes_max, event_queue_bytes_max;
    struct wh_client_events events;
    void *user;
    void (*user_free)(void *user);
};

/*
 * WH_EINVAL with option, value and allowed range in `detail`; WH_EABI; WH_EUNSUPPORTED; WH_ENOMEM.
 * After a failure there is nothing to deinit.
 */
WH_MUST_CHECK enum wh_err settings_init(struct settings *settings,
                                        const struct wh_client_options *options,
                                        struct wh_error *detail);
void settings_deinit(struct settings *settings);

#endif
