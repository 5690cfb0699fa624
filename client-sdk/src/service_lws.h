/*
 * What service_lws.c and transport_lws.c share; nobody else includes it.
 */
#ifndef WH_SDK_SERVICE_LWS_H
#define WH_SDK_SERVICE_LWS_H

#include "client-sdk/src/proxy.h"
#include "client-sdk/src/resolve.h"
#include "client-sdk/src/service.h"
#include "client-sdk/src/shell.h"
#include "client-sdk/src/tls.h"

#include <libwebsockets.h>
#include <stdatomic.h>

enum {
    SERVICE_BUFFER_BYTES = 65536,     /* one read, one write */
    SERVICE_PIECE_BYTES = 16384,      /* libwebsockets keeps so much per connection */
    SERVICE_HEADER_BYTES = 16384,     /* of one handshake, both ways */
    SERVICE_CONNECTIONS_MAX = 65536,  /* or the process's limit of descriptors if that is less */
    SERVICE_TIMER_MS_MAX = 864000000, /* ten days: a timer may run early, not never */
    CLOSE_REASON_MAX = 123
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
    lws_sorted_usec_list_t tick;   /* libev only */
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

/* ---- connections --------------------------------------------------------------------------- */

enum connection_state {
    CONNECTION_STARTING,   /* nothing done yet */
    CONNECTION_RESOLVING,  /* waits for addresses */
    CONNECTION_CONNECTING, /* libwebsockets works: TCP, proxy, TLS, upgrade */
    CONNECTION_NEXT,       /* an address failed; the next when its wsi is gone */
    CONNECTION_OPEN,
    CONNECTION_CLOSING, /* a close frame, ours or the answer to the peer's, is to be sent */
    CONNECTION_KILLED   /* to go as soon as libwebsockets lets it */
};

struct transport {
    struct service *service;
    struct wh_client *client;
    struct connection *current; /* NULL = none that the engine knows of */
    bool is_paused;             /* the engine does not want to read */
    uint32_t failed_number;     /* of a connection for which there was no memory */
    lws_sorted_usec_list_t failed;
};

struct connection {
    struct wh_list link; /* service.connections */
    struct service *service;
    struct transport *transport; /* NULL = let go */
    uint32_t number;
    enum connection_state state;
    struct lws *wsi;     /* NULL = none (yet, any more) */
    struct vhost *vhost; /* one reference */
    const struct settings *settings;
    const struct settings_url *url; /* both the client's: not after it was let go */
    lws_sorted_usec_list_t turn;
    lws_sorted_usec_list_t timer;         /* connect time-out, close time-out, repeated kill */
    lws_sorted_usec_list_t address_timer; /* one address has had its share */
    bool is_calling;                      /* inside lws_client_connect_via_info */
    bool has_tcp;
    bool has_sent_request; /* so TLS and proxy are done */
    bool is_too_big;       /* the rest is not read */
    bool wants_ping;
    enum wh_encoding encoding;
    uint16_t close_code;
    uint8_t close_len;
    uint64_t deadline_us;
    uint64_t ping_us; /* when the last one left; 0 = none waits */
    struct wh_error failure;
    char close_reason[CLOSE_REASON_MAX];

    /* Until it is open. */
    struct wh_arena arena;
    struct proxy proxy; /* host NULL = none */
    struct resolve_request request;
    struct resolve_result *found;
    size_t next_address;

    /* The message that comes in: one frame, or fragments. */
    struct message *incoming;
    size_t incoming_len;
    struct wh_buf fragments;
    bool has_fragments;
    bool is_fragment_text;
};

/* The wsi and the connection go as soon as they can; nothing is freed before this returned, since
 * the caller may be a callback of this very connection. */
void connection_kill(struct connection *connection);

/* Tell the engine, once, and let go.  The client and its transport may be gone after it. */
void connection_closed(struct connection *connection,
                       uint32_t code,
                       struct wh_slice reason,
                       const struct wh_error *error);

/* What connection.failure says, then kill. */
void connection_fail(struct connection *connection);
void connection_set_failure(struct connection *connection,
                            enum wh_err err,
                            uint32_t code,
                            const char *format,
                            ...) WH_PRINTF(4, 5);

/* connect_lws.c: begin, or go on with the next address; from the loop. */
void connection_start(struct connection *connection);
void connection_connect_next(struct connection *connection);

/* connect_lws.c: the callbacks of libwebsockets until it is open. */
void connection_on_tcp(struct connection *connection);
int connection_on_append_header(struct connection *connection, char **at, size_t room);
int connection_on_filter(struct connection *connection, struct lws *wsi);
void connection_on_error(struct connection *connection,
                         struct lws *wsi,
                         const char *text,
                         size_t len);
int connection_on_established(struct connection *connection);

/* transport_lws.c: everything that libwebsockets tells a connection. */
int connection_callback(struct lws *wsi,
                        enum lws_callback_reasons reason,
                        void *user,
                        void *in,
                        size_t len);

/* transport_lws.c: free what has no wsi, hurry the rest. */
void connections_close(struct service *service);

#endif
