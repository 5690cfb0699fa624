/*
 * Calls: questions with one answer.  Asynchronous ones end in their callback exactly once (unless
 * the function itself returned an error, or the client is freed inside a callback, which is then
 * the last); synchronous ones wait.
 *
 * While the client is CONNECTING a call waits for the connection, up to its timeout; while it is
 * DISCONNECTED it fails at once with WH_EDISCONNECTED.  A lost connection ends what is in flight
 * with WH_ECONNLOST.  Nothing is ever sent twice by itself: after WH_ETIMEOUT or WH_ECONNLOST a
 * publish or rpc MAY HAVE HAPPENED.  Send an idempotency key where that matters.
 *
 * Errors of starting a call, all of them: WH_EDISCONNECTED, WH_ECLOSED, WH_EFULL (send queue),
 * WH_EFORMAT (data is not the JSON it claims to be), WH_EENCODING, WH_EINVAL, WH_EABI, WH_EFORKED,
 * WH_EWRONGTHREAD, WH_ENOMEM.  Errors of its end: WH_ESERVER with code, text and temporary;
 * WH_ETIMEOUT, WH_ECONNLOST, WH_EDISCONNECTED, WH_ECLOSED, WH_ENOMEM.
 *
 * Threads and callbacks: as for the client.
 */
#ifndef WIREHUB_CALL_H
#define WIREHUB_CALL_H

#include <wirehub/subscription.h>

#ifdef __cplusplus
extern "C" {
#endif

struct wh_call;

struct wh_call_options {
    size_t size;
    uint32_t timeout_ms;           /* 0 = that of the client */
    void (*user_free)(void *user); /* once, after the callback or the cancel */
    struct wh_call **out_call;     /* for wh_call_cancel: the program's reference, wh_call_free.
                                      Set only when the call was started */
};
#define WH_CALL_OPTIONS_INIT                                                                       \
    {                                                                                              \
        .size = sizeof(struct wh_call_options)                                                     \
    }

/* `error` NULL: success. */
typedef void wh_done_cb(struct wh_client *client, const struct wh_error *error, void *user);
typedef void wh_rpc_cb(struct wh_client *client,
                       const struct wh_error *error,
                       const struct wh_data *data, /* may be absent */
                       void *user);

struct wh_history {
    const struct wh_publication *publications;
    size_t count;
    struct wh_position position; /* of the stream's end */
};
typedef void wh_history_cb(struct wh_client *client,
                           const struct wh_error *error,
                           const struct wh_history *history,
                           void *user);

struct wh_presence {
    const struct wh_client_info *clients;
    size_t count;
};
typedef void wh_presence_cb(struct wh_client *client,
                            const struct wh_error *error,
                            const struct wh_presence *presence,
                            void *user);

struct wh_presence_stats {
    uint32_t clients;
    uint32_t users;
};
typedef void wh_presence_stats_cb(struct wh_client *client,
                                  const struct wh_error *error,
                                  const struct wh_presence_stats *stats,
                                  void *user);

struct wh_history_options {
    size_t size;
    int32_t
        limit; /* publications at most; 0 = the position only; −1 = as many as the server gives */
    bool reverse;                    /* newest first */
    const struct wh_position *since; /* NULL = from the end that `reverse` says */
};
#define WH_HISTORY_OPTIONS_INIT                                                                    \
    {                                                                                              \
        .size = sizeof(struct wh_history_options)                                                  \
    }

/* `options` may be NULL everywhere; so may callbacks, where only the sending matters. */
WH_API enum wh_err wh_client_rpc(struct wh_client *client,
                                 const char *method,
                                 struct wh_data data,
                                 const struct wh_call_options *options,
                                 wh_rpc_cb *cb,
                                 void *user);
WH_API enum wh_err wh_client_publish(struct wh_client *client,
                                     const char *channel,
                                     struct wh_data data,
                                     const struct wh_call_options *options,
                                     wh_done_cb *cb,
                                     void *user);
WH_API enum wh_err wh_client_history(struct wh_client *client,
                                     const char *channel,
                                     const struct wh_history_options *history,
                                     const struct wh_call_options *options,
                                     wh_history_cb *cb,
                                     void *user);
WH_API enum wh_err wh_client_presence(struct wh_client *client,
                                      const char *channel,
                                      const struct wh_call_options *options,
                                      wh_presence_cb *cb,
                                      void *user);
WH_API enum wh_err wh_client_presence_stats(struct wh_client *client,
                                            const char *channel,
                                            const struct wh_call_options *options,
                                            wh_presence_stats_cb *cb,
                                            void *user);

/* A message without answer.  It does not wait: WH_EDISCONNECTED unless CONNECTED. */
WH_API enum wh_err wh_client_send(struct wh_client *client, struct wh_data data);

/* A WebSocket ping (RFC 6455 §5.5.2): the time until its pong is in wh_client_stats, and `cb`. */
WH_API enum wh_err wh_client_ping(struct wh_client *client,
                                  const struct wh_call_options *options,
                                  wh_done_cb *cb,
                                  void *user);

/* Through a subscription: the same for its channel; waits while it is SUBSCRIBING, and
 * WH_EUNSUBSCRIBED while it is UNSUBSCRIBED. */
WH_API enum wh_err wh_sub_publish(struct wh_sub *sub,
                                  struct wh_data data,
                                  const struct wh_call_options *options,
                                  wh_done_cb *cb,
                                  void *user);
WH_API enum wh_err wh_sub_history(struct wh_sub *sub,
                                  const struct wh_history_options *history,
                                  const struct wh_call_options *options,
                                  wh_history_cb *cb,
                                  void *user);
WH_API enum wh_err wh_sub_presence(struct wh_sub *sub,
                                   const struct wh_call_options *options,
                                   wh_presence_cb *cb,
                                   void *user);
WH_API enum wh_err wh_sub_presence_stats(struct wh_sub *sub,
                                         const struct wh_call_options *options,
                                         wh_presence_stats_cb *cb,
                                         void *user);

/*
 * Do not call back: after this returned the callback does not run (unless it is running now).  A
 * reply that comes later is dropped; whether the server did what was asked is unknown.  Nothing
 * happens when the call has ended.
 */
WH_API void wh_call_cancel(struct wh_call *call);
WH_API void wh_call_free(
    struct wh_call *call); /* the reference only, the call goes on; NULL is fine */

/* Owned by the program; wh_result_free. */
struct wh_result {
    struct wh_data data;            /* rpc; may be absent */
    struct wh_history history;      /* history */
    struct wh_presence presence;    /* presence */
    struct wh_presence_stats stats; /* presence_stats */
};
WH_API void wh_result_free(struct wh_result *result); /* NULL is fine */

/*
 * Synchronous forms, for THREADED (inside callbacks too) and DISPATCH; `timeout_ms` 0 = that of the
 * client; `detail` may be NULL; `out_result` may be NULL where only success matters.
 * WH_EWOULDDEADLOCK on a LOOP runtime with a foreign loop; LOOP_NONE is pumped while waiting, but
 * not from inside a callback.
 */
WH_API enum wh_err wh_client_rpc_sync(struct wh_client *client,
                                      const char *method,
                                      struct wh_data data,
                                      uint32_t timeout_ms,
                                      struct wh_result **out_result,
                                      struct wh_error *detail);
WH_API enum wh_err wh_client_publish_sync(struct wh_client *client,
                                          const char *channel,
                                          struct wh_data data,
                                          uint32_t timeout_ms,
                                          struct wh_error *detail);
WH_API enum wh_err wh_client_history_sync(struct wh_client *client,
                                          const char *channel,
                                          const struct wh_history_options *history,
                                          uint32_t timeout_ms,
                                          struct wh_result **out_result,
                                          struct wh_error *detail);
WH_API enum wh_err wh_client_presence_sync(struct wh_client *client,
                                           const char *channel,
                                           uint32_t timeout_ms,
                                           struct wh_result **out_result,
                                           struct wh_error *detail);
WH_API enum wh_err wh_client_presence_stats_sync(struct wh_client *client,
                                                 const char *channel,
                                                 uint32_t timeout_ms,
                                                 struct wh_result **out_result,
                                                 struct wh_error *detail);

#ifdef __cplusplus
}
#endif
#endif
