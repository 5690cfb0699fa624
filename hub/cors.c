/*
 * An answer depends on who asked even when nobody did, so caches are always
 * told (Vary).  An origin is echoed into a header: it must be the plain text
 * that browsers send (RFC 6454 §6.2), or it is nobody's.
 */
#include "hub/cors.h"

#include "hub/handshake.h"

#include <stdio.h>

enum { TEXT_MAX = 300, PREFLIGHT_AGE_S = 600 };

static bool is_plain(struct wh_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] <= ' ' || text.ptr[i] > '~')
            return false;
    return text.len < TEXT_MAX;
}

enum cors_verdict cors_check(struct wh_slice origin,
                             struct wh_slice host,
                             const struct config *config)
{
    char origin_text[TEXT_MAX], host_text[TEXT_MAX];
    if (origin.len == 0)
        return CORS_NO_ORIGIN;
    if (!is_plain(origin) || !is_plain(host))
        return CORS_REFUSED;
    snprintf(origin_text, sizeof(origin_text), "%.*s", WH_SLICE_ARGS(origin));
    snprintf(host_text, sizeof(host_text), "%.*s", WH_SLICE_ARGS(host));
    return handshake_origin_is_allowed(origin_text, host_text, config) ? CORS_ALLOWED
                                                                       : CORS_REFUSED;
}

void cors_write(enum cors_verdict verdict, struct wh_slice origin, struct wh_buf *out)
{
    wh_buf_append_str(out, "Vary: Origin\r\n");
    if (verdict == CORS_ALLOWED)
        wh_buf_printf(out,
                      "Access-Control-Allow-Origin: %.*s\r\n"
                      "Access-Control-Expose-Headers: Retry-After, WWW-Authenticate, "
                      "traceresponse\r\n",
                      WH_SLICE_ARGS(origin));
}

void cors_write_preflight(enum cors_verdict verdict, struct wh_buf *out)
{
    if (verdict == CORS_ALLOWED)
        wh_buf_printf(out,
                      "Access-Control-Allow-Methods: POST\r\n"
                      "Access-Control-Allow-Headers: Authorization, Content-Type, "
                      "Idempotency-Key, traceparent, tracestate\r\n"
                      "Access-Control-Max-Age: %d\r\n",
                      PREFLIGHT_AGE_S);
}
