/*
 * What service_lws.c and transport_lws.c share; nobody else includes it.
 */
#ifndef WH_SDK_SERVICE_LWS_H
#define WH_SDK_SERVICE_LWS_H

#include "client-sdk/src/proxy.h"
#include "client-sdk/src/resolve.h"
#include "client-sdk/src/service.h"
#include "client-sdk/src/tls.h"

#include <libwebsockets.h>
#include <stdatomic.h>

enum {
    SERVICE_BUFFER_BYTES = 65536,    /* one read, one write */
    SERVICE_PIECE_BYTES = 16384,     /* libwebsockets keeps so much per connection */
    SERVICE_HEADER_BYTES = 16384,    /* of one handshake, both ways */
    SERVICE_CONNECTIONS_MAX = 65536, /* or the process's limit of descriptors if that is less */
    SERVICE_TIMER_MS_MAX = 864000000 /* ten days: a timer may run early, not never */
};

/* One lws_vhost: connections with the same TLS configuration through the same proxy. */
struct vhost {
    struct wh_list link; /* service.vhosts */
    struct service *service;
    unsigned refs;
    struct lws_vhost *lws;
    struct tls *tls;   /* NULL = plain */
    struct wh_buf key; /* what makes it different */
};

struct service {
    struct lws_context *context;
    enum wh_loop loop;
    void *foreign; /* the loop */
    void (*on_wake)(void *user);
    void *user;
    atomic_bool is_woken;          /* since the last on_wake */
    struct wh_list vhosts;         /* struct vhost */
    struct wh_list connections;    /* struct connection, those let go included */
    size_t lws_vhost_count;        /* not finalized yet */
    struct resolver *resolver;     /* of names */
    lws_sorted_usec_list_t reaper; /* frees vhosts that nobody uses */
    lws_sorted_usec_list_t waiter; /* ends the wait of service_run */
    struct wh_buf frame;           /* what the engine gives */
    struct wh_buf outgoing;        /* the same behind LWS_PRE */
    bool is_closing;
    void (*done)(void *user);
    void *done_user;
    bool *is_gone; /* set when the context goes inside service_free's own call */
    struct uv_drain *drain;
};

/* A vhost for connections to `host` by `options` (NULL unless TLS) through `proxy` (as
 * "user:password@address:port"; "" = none).  WH_ENOMEM, WH_EINVAL. */
WH_MUST_CHECK enum wh_err vhost_acquire(struct service *service,
                                        bool is_tls,
                                        const struct wh_tls_options *options,
                                        const char *host,
                                        const char *proxy,
                                        struct vhost **out_vhost,
                                        struct wh_error *detail);
void vhost_release(struct vhost *vhost); /* NULL is fine */

/* `fn` in `delay_us`, from the loop, also when called outside of it. */
void service_schedule(struct service *service,
                      lws_sorted_usec_list_t *timer,
                      void (*fn)(lws_sorted_usec_list_t *timer),
                      uint64_t delay_us);

/* The last connection of a closing service is gone. */
void service_connection_gone(struct service *service);

/* transport_lws.c: everything that libwebsockets tells a connection. */
int connection_callback(struct lws *wsi,
                        enum lws_callback_reasons reason,
                        void *user,
                        void *in,
                        size_t len);

/* transport_lws.c: free what has no wsi, hurry the rest. */
void connections_close(struct service *service);

#endif
