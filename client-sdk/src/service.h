/*
 * libwebsockets' loop behind one small door (service_lws.c): one context that
 * serves the connections of any number of clients, on our own thread, on a foreign
 * loop, or pumped.  Everything on the thread that serves, but service_wake.
 */
#ifndef WH_SDK_SERVICE_H
#define WH_SDK_SERVICE_H

#include "client-sdk/src/transport.h"

#include <wirehub/runtime.h>

struct service;

struct service_options {
    enum wh_loop loop;
    void *foreign;
    bool keep_lws_log;
    void (*on_wake)(void *user); /* after service_wake, on the serving thread; several may be one */
    void *user;
};

/* WH_ELOOP (plug-in missing: detail names the Debian package), WH_EIO, WH_ENOMEM.
 * The process's SIGPIPE disposition is as before. */
WH_MUST_CHECK enum wh_err service_new(const struct service_options *options,
                                      struct service **out_service,
                                      struct wh_error *detail);

/* `done` (may be NULL) runs when nothing is left on the loop; without a foreign loop before this
 * returns.  All transports were freed before. */
void service_free(struct service *service, void (*done)(void *user), void *user);

/* LOOP_NONE: one pass, waiting at most `max_wait_ms`. */
void service_run(struct service *service, uint32_t max_wait_ms);

/* Any thread. */
void service_wake(struct service *service);

/* A timer on the service's loop; the owner embeds it, zeroed. */
struct service_timer {
    void *impl[8];
    void (*fn)(struct service_timer *timer);
};
void service_timer_start(struct service *service, struct service_timer *timer, uint64_t delay_ms);
void service_timer_stop(struct service *service, struct service_timer *timer);

/* The transport of one client; see transport.h.  What it sees goes into the engine between
 * client_lock and client_unlock.  WH_ENOMEM. */
WH_MUST_CHECK enum wh_err transport_ws_new(struct service *service,
                                           struct wh_client *client,
                                           struct transport **out_transport);
extern const struct transport_ops transport_ws_ops;

/* No call into the client any more after this returned; a close frame on its way is given until
 * close_timeout_ms. */
void transport_ws_free(struct transport *transport);

#endif
