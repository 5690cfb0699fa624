/*
 * One TCP connection, with TLS on it or without, that never blocks and raises no
 * SIGPIPE.  Who owns it waits for the descriptor on the service's loop; it knows no loop.
 * On the serving thread.
 */
#ifndef WH_SDK_STREAM_H
#define WH_SDK_STREAM_H

#include "client-sdk/src/tls.h"

#include <sys/types.h>

struct stream {
    int fd; /* the owner closes it; −1 = none */
    struct tls_session *tls;
    bool wants_write; /* what was asked last goes on when the descriptor can be written */
};

enum stream_result { STREAM_DONE, STREAM_WAIT, STREAM_FAILED };

/* Begin to connect to a numeric address.  errno on failure, 0 otherwise. */
int stream_connect(struct stream *stream, const char *address, uint16_t port);

/* Has it connected?  STREAM_FAILED with errno in `*out_error`. */
enum stream_result stream_connected(const struct stream *stream, int *out_error);

/* TLS on top of what is connected.  WH_ENOMEM. */
WH_MUST_CHECK enum wh_err stream_start_tls(struct stream *stream, struct tls *tls);
enum stream_result stream_handshake(struct stream *stream);

/* Bytes; 0 = none now; −1 = the end, or broken. */
ssize_t stream_read(struct stream *stream, void *bytes, size_t size);
ssize_t stream_write(struct stream *stream, const void *bytes, size_t len);

/* TLS holds bytes that no event of the descriptor will tell of. */
bool stream_has_pending(const struct stream *stream);

/* Why TLS failed, "" = it says nothing, or there is none. */
const char *stream_tls_reason(const struct stream *stream);

/* Frees what TLS needs; sends close_notify if the socket takes it.  The descriptor stays. */
void stream_end(struct stream *stream);

#endif
