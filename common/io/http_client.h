/*
 * Small HTTP requests that never stall the loop: libcurl's multi interface on our loop, each a GET
 * or a POST with one bounded body as its answer.  Name look-ups run in libcurl's own thread, and
 * one that hangs is left behind when its time is up.  Certificates are always verified; the
 * variables http_proxy, https_proxy and no_proxy count as everywhere.
 *
 * Connections are not kept: what uses this asks seldom.  Loop thread only.
 */
#ifndef WH_IO_HTTP_CLIENT_H
#define WH_IO_HTTP_CLIENT_H

#include "common/base/buf.h"
#include "common/io/loop.h"

struct wh_http_client;
struct wh_http_request;

struct wh_http_response {
    /* WH_OK        a whole response came, of whatever status
     * WH_ETIMEOUT  not within timeout_ms
     * WH_ELIMIT    the body is longer than body_bytes_max
     * WH_EIO       anything else: name, connection, certificate, redirect */
    enum wh_err err;
    long status;            /* of the last response; 0 = none */
    uint32_t retry_after_s; /* what a header Retry-After asks for; 0 = none */
    struct wh_slice body;   /* with WH_OK; borrowed until the callback returns */
    const char *problem; /* a text for people unless WH_OK; never the URL, which may hold secrets */
};

/* Called exactly once for each request that is not cancelled, never before wh_http_get or
 * wh_http_post returned.
 * May start and cancel requests, but not free the client. */
typedef void wh_http_done_fn(void *user, const struct wh_http_response *response);

struct wh_http_options {
    uint32_t timeout_ms; /* for all of it: look-up, connection, redirects, body */
    size_t body_bytes_max;
    unsigned redirects_max; /* followed within the URL's own scheme only */
};

/* Borrows `loop`.  WH_ENOMEM. */
WH_MUST_CHECK enum wh_err wh_http_client_new(struct wh_loop *loop,
                                             struct wh_http_client **out_client);

/* Cancels what is under way.  The loop has to turn (or be deinitialised) afterwards.  NULL is
 * fine. */
void wh_http_client_free(struct wh_http_client *client);

/* Whether `url` is one that wh_http_get takes: absolute, http or https, with a host. */
bool wh_http_url_is_valid(const char *url);

/* Start a GET; `url` is copied.  WH_EINVAL for an URL that is not valid; WH_ENOMEM. */
WH_MUST_CHECK enum wh_err wh_http_get(struct wh_http_client *client,
                                      const char *url,
                                      const struct wh_http_options *options,
                                      wh_http_done_fn *done,
                                      void *user,
                                      struct wh_http_request **out_request);

/* What a POST sends. */
struct wh_http_content {
    struct wh_slice body;
    const char *type;           /* header Content-Type */
    const char *const *headers; /* further ones, each "Name: value" */
    size_t header_count;
};

/*
 * Start a POST; everything is copied.  Redirects are not followed, whatever the options say: what
 * was meant for one address is not for another.  WH_EINVAL for an URL that is not valid, or a
 * header that is none (no colon, or a line end in it); WH_ENOMEM.
 */
WH_MUST_CHECK enum wh_err wh_http_post(struct wh_http_client *client,
                                       const char *url,
                                       const struct wh_http_content *content,
                                       const struct wh_http_options *options,
                                       wh_http_done_fn *done,
                                       void *user,
                                       struct wh_http_request **out_request);

/* Whether `header` is one that wh_http_post takes. */
bool wh_http_header_is_valid(const char *header);

/* No callback any more.  Only while the request is under way, i.e. before `done` was called. */
void wh_http_cancel(struct wh_http_request *request);

#endif
