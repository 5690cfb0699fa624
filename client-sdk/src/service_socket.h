/*
 * What connections need of the service that they live in: their sockets on its
 * loop, its end put off until they have said goodbye, and what they share.
 * Everything on the serving thread.
 */
#ifndef WH_SDK_SERVICE_SOCKET_H
#define WH_SDK_SERVICE_SOCKET_H

#include "client-sdk/src/message.h"
#include "client-sdk/src/resolve.h"
#include "client-sdk/src/service.h"
#include "common/base/buf.h"

/* ---- sockets ------------------------------------------------------------------------------- */

struct service_socket;

enum {
    SOCKET_READABLE = 1,
    SOCKET_WRITABLE = 2, /* once per service_socket_want_write */
    SOCKET_GONE = 4      /* broken: read what is left, no event follows */
};

typedef void service_socket_fn(void *user, unsigned events);

/*
 * Watches a socket that does not block; reads are wanted from the start.  The descriptor belongs to
 * it from here on, failures included.  WH_ENOMEM; WH_ELIMIT: a descriptor beyond what the loop was
 * made for.
 */
WH_MUST_CHECK enum wh_err service_socket_new(struct service *service,
                                             int fd,
                                             service_socket_fn *fn,
                                             void *user,
                                             struct service_socket **out_socket);
void service_socket_want_write(struct service_socket *socket);
void service_socket_set_reading(struct service_socket *socket, bool is_reading);

/* No event any more; the descriptor is closed in the next turn of the loop.  NULL is fine, inside
 * the socket's own event as well. */
void service_socket_free(struct service_socket *socket);

/* ---- holding the end off ------------------------------------------------------------------- */

/* As long as there is one, the service does not end. */
struct service_holder {
    struct wh_list link;
    void (*hurry)(struct service_holder *holder); /* the service wants to end */
};

void service_hold(struct service *service, struct service_holder *holder);
void service_release(struct service *service, struct service_holder *holder);

/* ---- what is shared ------------------------------------------------------------------------ */

enum { SERVICE_INPUT_BYTES = 65536 /* one read */ };

struct service_shared {
    struct wh_list tls; /* of tls_acquire */
    struct resolver *resolver;
    struct message_pool *pool;
    struct wh_buf frame; /* what an engine gives, for a moment */
    char input[SERVICE_INPUT_BYTES];
};

struct service_shared *service_shared(struct service *service);

#endif
