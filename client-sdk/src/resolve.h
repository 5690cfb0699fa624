/*
 * Names to addresses without standing still: getaddrinfo in a short-lived thread,
 * its result handed over on the serving thread.
 *
 * One resolver per service.  Everything on the serving thread; only `wake` is called on others.
 * Clients that ask for the same name at the same time share one look-up, so a thousand clients
 * that reconnect cost one thread.
 */
#ifndef WH_SDK_RESOLVE_H
#define WH_SDK_RESOLVE_H

#include "common/base/err.h"
#include "common/base/list.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    RESOLVE_ADDRESSES_MAX = 16, /* those past it are dropped */
    RESOLVE_THREADS_MAX = 8,    /* more names wait for their turn */
    RESOLVE_ADDRESS_BYTES = 64
};

struct resolve_result {
    size_t count;                                                 /* 0 = failed */
    char addresses[RESOLVE_ADDRESSES_MAX][RESOLVE_ADDRESS_BYTES]; /* numeric, in the order to try */
    char error[128];                                              /* why there are none */
};

/* One question; the owner embeds it, zeroed. */
struct resolve_request {
    struct wh_list link;
    bool is_waiting;
    /* Once, from resolver_run; `result` is borrowed until it returns. */
    void (*done)(struct resolve_request *request, const struct resolve_result *result);
};

struct resolver;

/* `wake` is called on any thread when resolver_run has something to do; never after resolver_free
 * returned.  WH_ENOMEM. */
WH_MUST_CHECK enum wh_err resolver_new(void (*wake)(void *user),
                                       void *user,
                                       struct resolver **out_resolver);

/* Requests that wait are forgotten.  A look-up that hangs ends on its own later.  NULL is fine. */
void resolver_free(struct resolver *resolver);

/* Hand out what has arrived. */
void resolver_run(struct resolver *resolver);

/* An address needs no look-up: IPv4 or IPv6 without brackets. */
bool resolve_is_numeric(const char *host);

/* `host` is copied.  WH_EIO: no thread could be had.  WH_ENOMEM. */
WH_MUST_CHECK enum wh_err resolve_start(struct resolver *resolver,
                                        const char *host,
                                        struct resolve_request *request);

/* `done` is not called any more.  Fine when nothing was started. */
void resolve_cancel(struct resolve_request *request);

#endif
