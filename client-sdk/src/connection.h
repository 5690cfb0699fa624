/*
 * One attempt to reach a server, and the WebSocket that it becomes.  Shared by
 * connect.c (until it is open) and transport_ws.c (from then on).
 *
 * A transport has at most one connection that it listens to.  A connection that was closed, or
 * whose client is gone, is let go (`transport` NULL): nothing that happens to it is told any more,
 * and it lives on by itself, bounded by its timer, until its goodbye is said.
 *
 *     STARTING → RESOLVING → TCP → PROXY → TLS → UPGRADE → OPEN → CLOSING → DEAD → freed
 *                             ↑↓ the next address           from any state ↗
 */
#ifndef WH_SDK_CONNECTION_H
#define WH_SDK_CONNECTION_H

#include "client-sdk/src/proxy.h"
#include "client-sdk/src/service_socket.h"
#include "client-sdk/src/shell.h"
#include "client-sdk/src/stream.h"
#include "client-sdk/src/upgrade.h"
#include "client-sdk/src/websocket.h"

enum connection_state {
    CONNECTION_STARTING,  /* nothing done yet */
    CONNECTION_RESOLVING, /* waits for addresses */
    CONNECTION_TCP,
    CONNECTION_PROXY, /* CONNECT is on its way */
    CONNECTION_TLS,
    CONNECTION_UPGRADE,
    CONNECTION_OPEN,
    CONNECTION_CLOSING, /* close frames are on their way, ours or the answer to the peer's */
    CONNECTION_DEAD     /* freed in the next turn of the loop */
};

struct transport {
    struct service *service;
    struct wh_client *client;
    struct connection *current; /* NULL = none that the engine knows of */
    bool is_paused;             /* the engine does not want to read */
    uint32_t failed_number;     /* of a connection for which there was no memory */
    struct service_timer failed;
};

struct connection {
    struct service_holder holder;
    struct service *service;
    struct transport *transport; /* NULL = let go */
    uint32_t number;
    enum connection_state state;
    struct stream stream;
    struct service_socket *socket;
    struct tls *tls; /* one reference */
    const struct settings *settings;
    const struct settings_url *url; /* both the client's: not after it was let go */
    struct service_timer turn;      /* what must not be done inside somebody's call */
    struct service_timer timer;     /* connect time-out, close time-out */
    bool wants_frames;              /* the engine has some */
    bool wants_ping;
    enum wh_encoding encoding;
    uint64_t ping_us; /* when the last one left; 0 = none waits */
    struct wh_buf in; /* a head that is not complete; what was read and is not wanted yet */
    struct wh_buf out;
    struct ws_reader reader;
    struct connecting *connecting; /* NULL = it is open */
};

/* What is needed until it is open; connect.c. */
struct connecting {
    struct wh_arena arena;
    struct proxy proxy; /* host NULL = none */
    struct resolve_request request;
    struct resolve_result found;
    size_t next_address;
    uint64_t deadline_us;
    struct service_timer address_timer; /* one address has had its share */
    struct connection *connection;
    char key[UPGRADE_KEY_BYTES + 1];
    struct wh_error failure;
};

/* Its socket goes, and itself in the next turn: the caller may be a callback of this connection. */
void connection_kill(struct connection *connection);

/* Tell the engine, once, and let go.  The client and its transport may be gone after it. */
void connection_closed(struct connection *connection,
                       uint32_t code,
                       struct wh_slice reason,
                       const struct wh_error *error);

/* Send what is in `out`, as far as the socket takes it.  false = it is broken. */
bool connection_flush(struct connection *connection);

/* transport_ws.c: everything that its socket tells. */
void connection_on_event(void *user, unsigned events);

/* transport_ws.c: the upgrade is done; `rest`: what came behind it. */
void connection_opened(struct connection *connection, struct wh_slice rest);

/* connect.c: begin; from the loop. */
void connect_start(struct connection *connection);

/* connect.c: go on, as its socket can be read or written. */
void connect_go_on(struct connection *connection, bool is_gone);

/* connect.c: nothing comes of it any more; and its memory (NULL is fine). */
void connect_stop(struct connecting *connecting);
void connect_free(struct connecting *connecting);

#endif
