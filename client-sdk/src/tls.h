/*
 * TLS as the options of a client describe it, on a socket that does not block.  Reasons say why a
 * handshake failed.
 *
 * Configurations (an SSL_CTX each, whose authorities take milliseconds to load) are shared by the
 * connections that have the same.  The serving thread only.  OpenSSL initialises itself; nobody
 * cleans it up, for the program may use it too.
 */
#ifndef WH_SDK_TLS_H
#define WH_SDK_TLS_H

#include "common/base/buf.h"
#include "common/base/list.h"

#include <sys/types.h>
#include <wirehub/client.h>

struct tls;         /* one configuration */
struct tls_session; /* one connection */

/*
 * One more reference to the configuration in `known` that is the same, or to a new one there.
 * `options` NULL: the defaults.  `host`: of the URL; what SNI says and the certificate must be for
 * unless options->server_name is set.  All is copied or loaded here.
 * WH_EINVAL with file and reason in `detail`; WH_ENOMEM.
 */
WH_MUST_CHECK enum wh_err tls_acquire(struct wh_list *known,
                                      const struct wh_tls_options *options,
                                      const char *host,
                                      struct tls **out_tls,
                                      struct wh_error *detail);
void tls_release(struct tls *tls); /* NULL is fine; its sessions are gone */

/* On a connected socket, which stays the caller's.  WH_ENOMEM. */
WH_MUST_CHECK enum wh_err tls_session_new(struct tls *tls,
                                          int fd,
                                          struct tls_session **out_session);

/* Says goodbye (close_notify) if the socket takes it at once.  NULL is fine. */
void tls_session_free(struct tls_session *session);

/* 1 = done, 0 = go on at the next event, −1 = failed.  `*wants_write` is set where that event is
 * that the socket can be written; so below. */
int tls_handshake(struct tls_session *session, bool *wants_write);

/* Bytes; 0 = none now; −1 = the end, or broken. */
ssize_t tls_read(struct tls_session *session, void *bytes, size_t size, bool *wants_write);
ssize_t tls_write(struct tls_session *session, const void *bytes, size_t len, bool *wants_write);

/* There are bytes that no event of the socket will tell of. */
bool tls_has_pending(const struct tls_session *session);

/* What went wrong, "" = OpenSSL did not say. */
const char *tls_reason(const struct tls_session *session);

#endif
