#include "client-sdk/cli/url.h"

#include "common/base/buf.h"

#include <strings.h>

#define DEFAULT_PATH "/connection/websocket"

static const struct {
    const char *given, *meant;
} schemes[] = {{"ws://", "ws://"},
               {"wss://", "wss://"},
               {"http://", "ws://"},
               {"https://", "wss://"}};

static void complete_one(struct wh_slice url, struct wh_buf *out)
{
    const char *scheme = "ws://";
    struct wh_slice rest = url;
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        struct wh_slice given = wh_slice_from_str(schemes[i].given);
        if (url.len >= given.len && strncasecmp(url.ptr, given.ptr, given.len) == 0) {
            scheme = schemes[i].meant;
            rest = wh_slice_from(url, given.len);
        }
    }
    const char *slash = rest.len > 0 ? memchr(rest.ptr, '/', rest.len) : NULL;
    bool has_path = slash && (size_t)(slash - rest.ptr) + 1 < rest.len;
    wh_buf_append_str(out, scheme);
    wh_buf_append_slice(out, slash && !has_path ? wh_slice(rest.ptr, rest.len - 1) : rest);
    if (!has_path && !(rest.len > 0 && memchr(rest.ptr, '?', rest.len)))
        wh_buf_append_str(out, DEFAULT_PATH);
}

enum wh_err url_complete(const char *urls, struct wh_arena *arena, const char **out_urls)
{
    struct wh_buf text = {0};
    for (;;) {
        size_t len = strcspn(urls, ",");
        complete_one(wh_slice_trim(wh_slice(urls, len)), &text);
        urls += len;
        if (*urls++ == '\0')
            break;
        wh_buf_append_char(&text, ',');
    }
    struct wh_slice kept = wh_arena_copy(arena, wh_buf_slice(&text));
    enum wh_err err = wh_buf_error(&text);
    wh_buf_deinit(&text);
    if (!err && !kept.ptr)
        err = WH_ENOMEM;
    if (!err)
        *out_urls = kept.ptr;
    return err;
}
