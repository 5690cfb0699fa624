/*
 * Every code of the protocol with its text, once.  Errors are replies,
 * disconnects close the connection, unsubscribes end a subscription.
 */
#ifndef WH_PROTOCOL_CODES_H
#define WH_PROTOCOL_CODES_H

#include <stdbool.h>
#include <stdint.h>

/*      name                     code  text                          temporary */
#define WH_REPLY_ERROR_LIST(X)                                                                     \
    X(WH_ERROR_INTERNAL, 100, "internal server error", true)                                       \
    X(WH_ERROR_UNAUTHORIZED, 101, "unauthorized", false)                                           \
    X(WH_ERROR_UNKNOWN_CHANNEL, 102, "unknown channel", false)                                     \
    X(WH_ERROR_PERMISSION_DENIED, 103, "permission denied", false)                                 \
    X(WH_ERROR_METHOD_NOT_FOUND, 104, "method not found", false)                                   \
    X(WH_ERROR_ALREADY_SUBSCRIBED, 105, "already subscribed", false)                               \
    X(WH_ERROR_LIMIT_EXCEEDED, 106, "limit exceeded", false)                                       \
    X(WH_ERROR_BAD_REQUEST, 107, "bad request", false)                                             \
    X(WH_ERROR_NOT_AVAILABLE, 108, "not available", false)                                         \
    X(WH_ERROR_TOKEN_EXPIRED, 109, "token expired", false)                                         \
    X(WH_ERROR_EXPIRED, 110, "expired", false)                                                     \
    X(WH_ERROR_TOO_MANY_REQUESTS, 111, "too many requests", true)                                  \
    X(WH_ERROR_UNRECOVERABLE_POSITION, 112, "unrecoverable position", false)                       \
    X(WH_ERROR_CONCURRENT_PAGINATION, 113, "concurrent pagination", true)                          \
    X(WH_ERROR_SERVICE_UNAVAILABLE, 1503, "service unavailable", true)                             \
    X(WH_ERROR_DEADLINE_EXCEEDED, 1504, "deadline exceeded", true)

/* 3000–3499 and 4000–4499: the client reconnects; 3500–3999 and 4500–4999: it does not. */
#define WH_DISCONNECT_LIST(X)                                                                      \
    X(WH_DISCONNECT_CONNECTION_CLOSED, 3000, "connection closed")                                  \
    X(WH_DISCONNECT_SHUTDOWN, 3001, "shutdown")                                                    \
    X(WH_DISCONNECT_SERVER_ERROR, 3004, "internal server error")                                   \
    X(WH_DISCONNECT_EXPIRED, 3005, "connection expired")                                           \
    X(WH_DISCONNECT_SUB_EXPIRED, 3006, "subscription expired")                                     \
    X(WH_DISCONNECT_SLOW, 3008, "slow")                                                            \
    X(WH_DISCONNECT_WRITE_ERROR, 3009, "write error")                                              \
    X(WH_DISCONNECT_INSUFFICIENT_STATE, 3010, "insufficient state")                                \
    X(WH_DISCONNECT_FORCE_RECONNECT, 3011, "force reconnect")                                      \
    X(WH_DISCONNECT_NO_PONG, 3012, "no pong")                                                      \
    X(WH_DISCONNECT_TOO_MANY_REQUESTS, 3013, "too many requests")                                  \
    X(WH_DISCONNECT_STATE_INVALIDATED, 3014, "state invalidated")                                  \
    X(WH_DISCONNECT_INVALID_TOKEN, 3500, "invalid token")                                          \
    X(WH_DISCONNECT_BAD_REQUEST, 3501, "bad request")                                              \
    X(WH_DISCONNECT_STALE, 3502, "stale")                                                          \
    X(WH_DISCONNECT_FORCE, 3503, "force disconnect")                                               \
    X(WH_DISCONNECT_CONNECTION_LIMIT, 3504, "connection limit")                                    \
    X(WH_DISCONNECT_CHANNEL_LIMIT, 3505, "channel limit")                                          \
    X(WH_DISCONNECT_INAPPROPRIATE_PROTOCOL, 3506, "inappropriate protocol")                        \
    X(WH_DISCONNECT_PERMISSION_DENIED, 3507, "permission denied")                                  \
    X(WH_DISCONNECT_NOT_AVAILABLE, 3508, "not available")                                          \
    X(WH_DISCONNECT_TOO_MANY_ERRORS, 3509, "too many errors")                                      \
    X(WH_DISCONNECT_MESSAGE_TOO_BIG, 1009, "message size limit")

/* From 2500 on the client subscribes again. */
#define WH_UNSUBSCRIBE_LIST(X)                                                                     \
    X(WH_UNSUBSCRIBE_SERVER, 2000, "server unsubscribe")                                           \
    X(WH_UNSUBSCRIBE_INSUFFICIENT_STATE, 2500, "insufficient state")                               \
    X(WH_UNSUBSCRIBE_EXPIRED, 2501, "subscription expired")                                        \
    X(WH_UNSUBSCRIBE_STATE_INVALIDATED, 2502, "state invalidated")

enum wh_code {
    WH_NO_ERROR = 0,
#define X(name, code, text, temporary) name = code,
    WH_REPLY_ERROR_LIST(X)
#undef X
#define X(name, code, text) name = code,
        WH_DISCONNECT_LIST(X) WH_UNSUBSCRIBE_LIST(X)
#undef X
};

/* The text of any code above; "unknown" for others.  Static storage, never empty. */
const char *wh_code_text(uint32_t code);

/* Whether an error reply of this code carries "temporary":true. */
bool wh_code_is_temporary(uint32_t code);

/* Whether `code` closes a connection (1009 and 3000 up) rather than answering a command. */
bool wh_code_is_disconnect(uint32_t code);

#endif
