/*
 * Errors of libwirehub.  Numbers are stable: they are part of the ABI and are
 * never reused.  Functions that can fail return enum wh_err and, where more is
 * to be said, fill a struct wh_error.  There is no errno and no "last error".
 *
 * Any thread.
 */
#ifndef WIREHUB_ERROR_H
#define WIREHUB_ERROR_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define WH_API __attribute__((visibility("default")))
#else
#define WH_API
#endif

/*      name               number  text */
#define WH_ERR_LIST(X)                                                                             \
    X(WH_OK, 0, "success")                                                                         \
    X(WH_ENOMEM, 1, "out of memory")                                                               \
    X(WH_EINVAL, 2, "invalid argument")                                                            \
    X(WH_EFORMAT, 3, "malformed input")                                                            \
    X(WH_ELIMIT, 4, "limit exceeded")                                                              \
    X(WH_ECLOSED, 5, "closed")                                                                     \
    X(WH_ENOTFOUND, 6, "not found")                                                                \
    X(WH_EEXIST, 7, "already exists")                                                              \
    X(WH_ETIMEOUT, 8, "timed out")                                                                 \
    X(WH_EIO, 9, "input/output error")                                                             \
    X(WH_EDENIED, 10, "permission denied")                                                         \
    X(WH_EEXPIRED, 11, "expired")                                                                  \
    X(WH_EUNAVAILABLE, 12, "temporarily unavailable")                                              \
    X(WH_EUNSUPPORTED, 13, "not supported")                                                        \
    X(WH_EENCODING, 14, "not representable in this encoding")                                      \
    X(WH_EEND, 15, "end of input")                                                                 \
    X(WH_ESERVER, 16, "the server answered with an error")                                         \
    X(WH_EDISCONNECTED, 17, "not connected")                                                       \
    X(WH_ECONNLOST, 18, "connection lost before the answer came")                                  \
    X(WH_ECONNECT, 19, "cannot connect")                                                           \
    X(WH_EUNAUTHORIZED, 20, "unauthorized")                                                        \
    X(WH_EUNSUBSCRIBED, 21, "not subscribed")                                                      \
    X(WH_EFULL, 22, "queue full")                                                                  \
    X(WH_EDUPLICATE, 23, "this client has a subscription to this channel")                         \
    X(WH_ECANCELED, 24, "canceled")                                                                \
    X(WH_EWOULDDEADLOCK, 25, "would wait for its own thread")                                      \
    X(WH_EWRONGTHREAD, 26, "called from another thread than the loop's")                           \
    X(WH_EFORKED, 27, "the process was forked since")                                              \
    X(WH_EABI, 28, "the program was built for a newer library")                                    \
    X(WH_ELOOP, 29, "event loop not available")

enum wh_err {
#define X(name, number, text) name = number,
    WH_ERR_LIST(X)
#undef X
};

/* The symbol, "WH_ENOMEM"; "WH_E?" for a number that is none.  Static storage. */
WH_API const char *wh_err_name(enum wh_err err);

/* The text, "out of memory"; "unknown error" for a number that is none.  Static storage. */
WH_API const char *wh_err_text(enum wh_err err);

/*
 * Codes below 100, given by the client itself, as the official SDKs number
 * them; from 100 to 1999 they are the server's (from 400 the application's).
 */
enum wh_client_code {
    WH_CODE_TIMEOUT = 1,
    WH_CODE_TRANSPORT_CLOSED = 2,
    WH_CODE_CLIENT_DISCONNECTED = 3,
    WH_CODE_CLIENT_CLOSED = 4,
    WH_CODE_CONNECT_TOKEN = 5,
    WH_CODE_REFRESH_TOKEN = 6,
    WH_CODE_UNSUBSCRIBED = 7,
    WH_CODE_SUBSCRIBE_TOKEN = 8,
    WH_CODE_SUBSCRIBE_REFRESH_TOKEN = 9,
    WH_CODE_WRITE_ERROR = 10,
    WH_CODE_CONNECTION_CLOSED = 11,
    WH_CODE_BAD_CONFIGURATION = 12,
    WH_CODE_GET_STATE = 13
};

/* What went wrong.  Fixed layout for ever; lives where the caller put it, owns nothing. */
struct wh_error {
    enum wh_err err;
    uint32_t code;        /* the server's or the client's code (above); 0 = none */
    bool temporary;       /* the same may succeed later */
    uint32_t http_status; /* an upgrade that was refused; 0 = none */
    uint64_t reserved[4];
    char text[256]; /* which option, host, TLS reason, …; never empty after a failure */
};

#ifdef __cplusplus
}
#endif
#endif
