/*
 * What a session needs from the connection under it.  Two implementations:
 * server.c over libwebsockets, and the fake one of the unit tests.
 *
 * Loop thread only.  The transport outlives no session and no session its
 * transport: the transport calls session_transport_closed exactly once, last.
 */
#ifndef HUB_TRANSPORT_H
#define HUB_TRANSPORT_H

#include "common/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct transport;

struct transport_ops {
    /*
     * Send ready WebSocket frames.  Takes all of `wire`: what the socket does not accept now the
     * transport keeps and sends first.  Only allowed while not busy.  False: the connection is
     * broken; session_transport_closed follows, later.
     */
    bool (*write)(struct transport *transport, struct wh_slice wire);

    /* Bytes of an earlier write that the socket has not taken yet. */
    size_t (*held_bytes)(struct transport *transport);

    /* Call session_writable once the socket takes more.  Never from inside this call. */
    void (*want_write)(struct transport *transport);

    /* Stop (false) or go on (true) delivering messages; what was already read may still come. */
    void (*want_read)(struct transport *transport, bool on);

    /*
     * Send what is held, then a close frame, then close; at the latest `timeout_ms` from now just
     * close.  `reason` is static text of at most 123 bytes.
     */
    void (*close)(struct transport *transport,
                  uint32_t code,
                  const char *reason,
                  uint64_t timeout_ms);
};

struct transport {
    const struct transport_ops *ops;
    bool is_busy;    /* bytes are held: write nothing.  Kept by the transport. */
    const void *hot; /* memory that write touches first, for prefetching */
};

#endif
