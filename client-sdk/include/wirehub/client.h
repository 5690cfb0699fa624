/*
 * The client: one connection to a server of the Centrifuge protocol, kept alive.
 *
 *     DISCONNECTED --connect--> CONNECTING --reply--> CONNECTED
 *          ^                        |  ^-- lost, back-off --'
 *          '--- disconnect, or a final code of the server --'         CLOSED after free
 *
 * Callbacks come one after another, in order, never while the library holds a lock, never before
 * the call that caused them returned, never after wh_client_free returned (called inside a callback
 * it returns at once, and that callback is the last).  Any function may be called inside any
 * callback.  What a callback is given is borrowed until it returns.
 *
 * Everything passed in is copied before the call returns, unless said otherwise.
 *
 * Every struct with `size` grows at its end only: zero means "the default" in every field.  A
 * program built for a newer library that sets what this one does not know gets WH_EABI.  Structs
 * handed to callbacks are made by the library and may get more fields.
 *
 * Threads: see runtime.h.
 */
#ifndef WIREHUB_CLIENT_H
#define WIREHUB_CLIENT_H

#include <wirehub/data.h>
#include <wirehub/runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

struct wh_client;
struct wh_token_request;

enum wh_client_state {
    WH_CLIENT_DISCONNECTED,
    WH_CLIENT_CONNECTING,
    WH_CLIENT_CONNECTED,
    WH_CLIENT_CLOSED
};

/* A place in the history of a channel. */
struct wh_position {
    uint64_t offset;
    const char *epoch; /* "" = none */
};

struct wh_tag {
    const char *key;
    const char *value;
};

/* Who did something: a connection. */
struct wh_client_info {
    const char *user;
    const char *client;
    struct wh_data conn_info; /* absent unless the server has some */
    struct wh_data chan_info;
};

/* Why a state was left or entered: codes in docs/SDK.md. */
struct wh_transition {
    uint32_t code;
    const char *reason;
    uint32_t retry_ms; /* connecting, subscribing: until the next attempt; 0 = now */
};

struct wh_connected {
    const char *client;    /* the id of this connection */
    const char *version;   /* of the server */
    struct wh_data data;   /* of the connect reply; may be absent */
    const char *transport; /* "websocket" */
    enum wh_encoding encoding;
};

struct wh_subscribed {
    const char *channel;
    bool recoverable;
    bool positioned;
    struct wh_position position; /* when positioned or recoverable */
    bool was_recovering;         /* the client asked for what it missed … */
    bool recovered;              /* … and gets all of it next, as publications */
    struct wh_data data;         /* of the subscribe reply; may be absent */
};

/*
 * Publications were missed for good: load the state anew, from the database.
 * (After a recovery that worked, some publications may come that were seen before a crash: use
 * their offsets where twice would hurt.)
 */
static inline bool wh_subscribed_lost(const struct wh_subscribed *subscribed)
{
    return subscribed->was_recovering && !subscribed->recovered;
}

struct wh_publication {
    const char *channel;
    struct wh_data data;
    uint64_t offset; /* 0 = the channel keeps no history */
    const struct wh_tag *tags;
    size_t tag_count;
    const struct wh_client_info *info; /* of the publisher; NULL when a server published */
    int64_t time_ms;                   /* since 1970-01-01 UTC; 0 = not told */
    void *owner;                       /* the library's: what wh_publication_ref keeps */
};

/*
 * Keep a publication, or anything else that a callback was given the pieces of, beyond the
 * callback: the frame it came in stays in memory until the last reference is given back.
 * Any thread.  Takes what was given to the callback (one of a history, too), not a copy of the
 * struct.
 */
WH_API const struct wh_publication *wh_publication_ref(const struct wh_publication *publication);
WH_API void wh_publication_unref(const struct wh_publication *publication); /* NULL is fine */

/* All may be NULL.  `user` is that of the options. */
struct wh_client_events {
    size_t size; /* WH_CLIENT_EVENTS_INIT; 0 = those of version 1, up to server_leave */
    void (*connecting)(struct wh_client *client, const struct wh_transition *why, void *user);
    void (*connected)(struct wh_client *client, const struct wh_connected *connected, void *user);
    void (*disconnected)(struct wh_client *client, const struct wh_transition *why, void *user);
    /* What no state shows: an attempt that failed, a refresh that will be tried again, … */
    void (*error)(struct wh_client *client, const struct wh_error *error, void *user);
    /* Sent by the server to this connection, outside of channels. */
    void (*message)(struct wh_client *client, const struct wh_data *data, void *user);

    /*
     * A connection token is needed: for the first connect without one, for a refresh, or because
     * the old one expired.  Answer now or later, from any thread, exactly once, with wh_token_ok,
     * wh_token_unauthorized or wh_token_error.
     */
    void (*get_token)(struct wh_client *client, struct wh_token_request *request, void *user);

    /* Subscriptions that the server made for this client. */
    void (*server_subscribed)(struct wh_client *, const struct wh_subscribed *, void *user);
    void (*server_subscribing)(struct wh_client *, const char *channel, void *user);
    void (*server_unsubscribed)(struct wh_client *, const char *channel, void *user);
    void (*server_publication)(struct wh_client *, const struct wh_publication *, void *user);
    void (*server_join)(struct wh_client *,
                        const char *channel,
                        const struct wh_client_info *,
                        void *user);
    void (*server_leave)(struct wh_client *,
                         const char *channel,
                         const struct wh_client_info *,
                         void *user);

    /* Behind those of version 1: need `size`. */

    /* In place of server_unsubscribed, with the server's code and reason; 0: a new connection came
     * without that subscription. */
    void (*server_unsubscribed_why)(struct wh_client *,
                                    const char *channel,
                                    const struct wh_transition *why,
                                    void *user);
};
#define WH_CLIENT_EVENTS_INIT .size = sizeof(struct wh_client_events)

/* Answers; each uses `request` up.  `token` is copied; "" is as good as unauthorized. */
WH_API void wh_token_ok(struct wh_token_request *request, const char *token);
/* The client may not connect (disconnected 1), or not subscribe (unsubscribed 1). */
WH_API void wh_token_unauthorized(struct wh_token_request *request);
/* No token now: tried again after a while.  `text` goes into an error event. */
WH_API void wh_token_error(struct wh_token_request *request, const char *text);

struct wh_header {
    const char *name;
    const char *value;
};

struct wh_tls_options {
    size_t size;
    const char *ca_file; /* PEM; NULL = the system's */
    /* PEM files under their hashes, as openssl-rehash(1) makes them; read when a handshake needs
     * one.  Beside ca_file and ca, in place of the system's. */
    const char *ca_dir;
    struct wh_data ca;                /* PEM in memory */
    const char *cert_file, *key_file; /* of the client, PEM */
    const char *key_password;
    const char *server_name;   /* for SNI and the check of the certificate; NULL = the URL's host */
    const char *ciphers;       /* TLS 1.2, OpenSSL's syntax */
    bool insecure_skip_verify; /* any certificate will do: warns at each connect */
    bool insecure_skip_verify_host; /* any name on it will do: likewise */
};
#define WH_TLS_OPTIONS_INIT                                                                        \
    {                                                                                              \
        .size = sizeof(struct wh_tls_options)                                                      \
    }

/* A duration that does not end: what 0 would be if it were not the default. */
#define WH_NEVER UINT32_MAX

struct wh_client_options {
    size_t size;     /* set by the initialiser: the version of this struct */
    const char *url; /* ws:// or wss://; several, comma separated, are tried one after another.
                        Host: 253 bytes at most; path and query: 8,192; what RFC 3986 does not allow
                        there has to come %-encoded */
    enum wh_encoding encoding;
    bool encoding_required; /* a server without MessagePack is an error; else JSON is spoken then */
    const char *token;      /* connection JWT; or get_token */
    const char *name;       /* of this program, for the server's metrics; NULL = "c" */
    const char *version;    /* of this program */
    struct wh_data connect_data;     /* handed to the server's connect handler */
    const struct wh_header *headers; /* of the upgrade request */
    size_t header_count;
    const struct wh_header
        *emulated_headers; /* inside the connect command, for proxies behind it */
    size_t emulated_header_count;
    const struct wh_tls_options *tls; /* NULL = the system's authorities, everything verified */
    const char *proxy; /* "http://user:password@host:port", all but the host optional (port 1080);
                          NULL = http(s)_proxy of the environment, honouring no_proxy; "" = none */

    /* Milliseconds; 0 = the default.  At most 2^31, or WH_NEVER where that is said. */
    uint32_t timeout_ms;               /* of a command: 5,000 */
    uint32_t connect_timeout_ms;       /* look-up, TCP, TLS and upgrade together: 10,000 */
    uint32_t token_timeout_ms;         /* for an answer to get_token: 10,000 */
    uint32_t min_reconnect_ms;         /* back-off, full jitter: 500 … */
    uint32_t max_reconnect_ms;         /* … 20,000 */
    uint32_t max_server_ping_delay_ms; /* a server ping may be late by: 10,000; WH_NEVER: a server
                                          that is silent is never given up */
    uint32_t close_timeout_ms;         /* wh_client_free waits for the peer at most: 250 */
    bool no_reconnect; /* the first loss of the connection is final: disconnected 1 … */

    /* Bytes; 0 = the default. */
    size_t message_bytes_max;     /* of one frame received: 1 MiB … disconnected 3 past it */
    size_t send_queue_bytes_max;  /* 1 MiB; WH_EFULL past it */
    size_t event_queue_bytes_max; /* 16 MiB; past it the socket is not read until callbacks caught
                                     up */

    const struct wh_client_events *events;
    void *user;
    void (*user_free)(void *user); /* once, after the last callback that could use `user` */
    struct wh_runtime *runtime;    /* NULL: the shared THREADED one */
    void *owned; /* the library's: what wh_client_options_set had to allocate; begins as NULL */
};
#define WH_CLIENT_OPTIONS_INIT                                                                     \
    {                                                                                              \
        .size = sizeof(struct wh_client_options)                                                   \
    }

/*
 * Set one option by its name from text: "true", "5s", "never", "64KiB", "msgpack".  For command
 * lines, bindings, configuration files.  Names are those of the fields ("url", "timeout_ms", …) and
 *
 *     tls.FIELD               of struct wh_tls_options: "tls.ca_file"; "tls.ca" is PEM
 *     header.NAME             of the upgrade request; a name that is set again (in any case) gets
 *     emulated_header.NAME    the new value
 *
 * Values are borrowed by `options`, as everything that its pointers name; so they must stay until
 * wh_client_new.  What `tls`, `headers` and `emulated_headers` point to afterwards, NAME included,
 * is memory of `options`, given back by wh_client_options_deinit; what they pointed to before was
 * copied and is not changed.
 * WH_ENOTFOUND with the nearest name, WH_EFORMAT, WH_ELIMIT (64 headers), WH_EINVAL, WH_EABI,
 * WH_ENOMEM; nothing was changed then.  `detail` may be NULL.
 */
WH_API enum wh_err wh_client_options_set(struct wh_client_options *options,
                                         const char *name,
                                         const char *value,
                                         struct wh_error *detail);

/* Give back what wh_client_options_set allocated, and forget what pointed there; the rest stays.
 * Once, and not for copies of the struct.  Before or after wh_client_new, which copies.  NULL, and
 * options that need it not, are fine. */
WH_API void wh_client_options_deinit(struct wh_client_options *options);

/*
 * A client, DISCONNECTED.  All options are checked here: the text of `detail` (may be NULL) names
 * option, value and range.  The caller owns the client; wh_client_free.  After an error user_free
 * was not called.
 * WH_EINVAL, WH_EABI, WH_EUNSUPPORTED, WH_ELOOP, WH_EIO (the shared runtime), WH_ENOMEM.
 */
WH_API enum wh_err wh_client_new(const struct wh_client_options *options,
                                 struct wh_client **out_client,
                                 struct wh_error *detail);

/*
 * The short form: new with the defaults for what `options` (may be NULL) leaves out, and connect.
 * NULL on an error, which goes to the log.
 */
WH_API struct wh_client *wh_client_open(const char *url, const struct wh_client_options *options);

/* Keep connected from now on; returns at once.  Nothing happens when it is on the way or there.
 * WH_ECLOSED, WH_EFORKED, WH_EWRONGTHREAD, WH_ENOMEM. */
WH_API enum wh_err wh_client_connect(struct wh_client *client);

/*
 * The same, and wait until CONNECTED.  WH_ETIMEOUT (the client goes on trying); WH_ECONNECT or
 * WH_EUNAUTHORIZED when it became DISCONNECTED, `detail` (may be NULL) says why;
 * WH_EWOULDDEADLOCK on the thread that has to run the loop.
 */
WH_API enum wh_err wh_client_connect_wait(struct wh_client *client,
                                          uint32_t timeout_ms,
                                          struct wh_error *detail);

/* Go offline, disconnected 0; connect() comes back and resubscribes. */
WH_API enum wh_err wh_client_disconnect(struct wh_client *client);

/* While CONNECTING: forget the back-off and try now (the network is back).  Else nothing. */
WH_API enum wh_err wh_client_reconnect_now(struct wh_client *client);

/* Use this token from the next connect or refresh on.  NULL forgets it. */
WH_API enum wh_err wh_client_set_token(struct wh_client *client, const char *token);

/*
 * The end: calls in flight WH_ECLOSED, subscriptions unsubscribed 2, disconnected 0, a close frame
 * (at most close_timeout_ms for the peer), callbacks drained, user_free called; then it returns and
 * the client and its subscriptions are gone.  Inside a callback it returns at once and the rest
 * happens after that callback.  DISPATCH: callbacks that were waiting run here.  LOOP on a foreign
 * loop: like wh_client_close without `done`.  NULL is fine.  The one function that must be the
 * last.
 */
WH_API void wh_client_free(struct wh_client *client);

/*
 * The same without waiting: `done` (may be NULL) runs as the last callback, after user_free, and
 * when it has returned the client is gone.  So this is the last function to be called for it, but
 * for those inside callbacks that still come.  Who is certain that `done` has not run, because
 * callbacks run in his own thread (DISPATCH, LOOP), may call wh_client_free after all, and it waits
 * for that end.  A second wh_client_close does nothing, nor does its `done` run.  Any mode.
 */
WH_API void wh_client_close(struct wh_client *client, void (*done)(void *user), void *user);

WH_API enum wh_client_state wh_client_state(const struct wh_client *client);
WH_API const char *wh_client_state_name(enum wh_client_state state); /* "connected" */
WH_API void *wh_client_user(const struct wh_client *client);

/*
 * DISPATCH: readable while callbacks wait; constant from new to free.  −1 in other modes.
 * Watch it with poll, epoll or any loop (uv.h, glib.h, libevent.h do); do not read it.
 */
WH_API int wh_client_fd(const struct wh_client *client);

/* DISPATCH: run at most `events_max` callbacks (0 = all that wait now) in this thread.  Returns how
 * many ran.  One thread at a time; a call inside a callback returns 0. */
WH_API size_t wh_client_dispatch(struct wh_client *client, size_t events_max);

/* Commands between begin and end leave in one frame, or a few past
 * 32 KiB (servers bound what they read).  Nests.  (What is asked for in one turn goes
 * out together anyway where it can.) */
WH_API void wh_client_batch_begin(struct wh_client *client);
WH_API void wh_client_batch_end(struct wh_client *client);

struct wh_client_stats {
    size_t size;                  /* set by the caller */
    uint64_t connects;            /* reached CONNECTED */
    uint64_t reconnects;          /* … not for the first time */
    uint64_t bytes_in, bytes_out; /* payloads of frames */
    uint64_t frames_in, frames_out;
    uint64_t publications; /* handed to callbacks */
    uint64_t events_waiting, event_queue_bytes, event_queue_bytes_high;
    uint64_t send_queue_bytes, send_queue_bytes_high;
    uint64_t calls_in_flight;
    uint32_t ping_gap_ms; /* between the last two pings of the server */
    uint32_t rtt_us;      /* of the last wh_client_ping; 0 = none yet */
};
WH_API void wh_client_stats(struct wh_client *client, struct wh_client_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
