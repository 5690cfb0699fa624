/*
 * Which pages may call over HTTP, and how browsers are told (Fetch standard,
 * "CORS protocol").  The rule is that of the WebSocket handshake.  Pure.
 */
#ifndef HUB_CORS_H
#define HUB_CORS_H

#include "common/base/buf.h"
#include "hub/config.h"

enum cors_verdict {
    CORS_NO_ORIGIN, /* no browser, or a page that need not ask */
    CORS_ALLOWED,
    CORS_REFUSED
};

/* Header values, "" or absent when not sent. */
enum cors_verdict cors_check(struct wh_slice origin,
                             struct wh_slice host,
                             const struct config *config);

/*
 * Append the header lines of an answer.  The origin is named, never `*`, and credentials are never
 * allowed: tokens travel in a header that only the page itself can set.
 */
void cors_write(enum cors_verdict verdict, struct wh_slice origin, struct wh_buf *out);

/* The lines that a preflight request asks for besides. */
void cors_write_preflight(enum cors_verdict verdict, struct wh_buf *out);

#endif
