/*
 * What carries the bytes of one client.  Two exist: WebSocket
 * (transport_ws.c) and the fake of the unit tests.  Under the client's lock; what it
 * sees goes into the engine_… functions of that client, never from inside these calls.
 */
#ifndef WH_SDK_TRANSPORT_H
#define WH_SDK_TRANSPORT_H

#include "client-sdk/src/engine.h"

struct transport; /* one per client, for its life */

struct transport_ops {
    /* Begin to connect to settings.urls[action->url_index], within connect_timeout_ms;
     * engine_opened or engine_closed follow. */
    void (*open)(struct transport *transport, const struct engine_action *action);
    /* Close frame and away; engine_closed may follow (it will be ignored). */
    void (*close)(struct transport *transport, const struct engine_action *action);
    /* engine_has_frame became true: take them when the socket can. */
    void (*want_write)(struct transport *transport);
    /* engine_wants_to_read changed. */
    void (*set_reading)(struct transport *transport, bool is_reading);
    /* Send a WebSocket ping. */
    void (*ping)(struct transport *transport);
};

#endif
