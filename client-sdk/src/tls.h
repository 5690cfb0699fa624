/*
 * TLS as the options of a client describe it: an SSL_CTX for libwebsockets to use, with
 * what libwebsockets 4.1 does not do itself: a server name apart from the Host header, IPv6
 * literals, more than one authority from memory, and reasons that say why a handshake failed.
 *
 * One per distinct configuration (tls_key) and service; the serving thread only.  OpenSSL
 * initialises itself; nobody cleans it up, for the program may use it too.
 */
#ifndef WH_SDK_TLS_H
#define WH_SDK_TLS_H

#include "common/base/buf.h"

#include <wirehub/client.h>

struct tls;

/*
 * `options` NULL: the defaults.  `host`: of the URL; what SNI says and the certificate must be for
 * unless options->server_name is set.  All is copied or loaded here.
 * WH_EINVAL with file and reason in `detail`; WH_ENOMEM.
 */
WH_MUST_CHECK enum wh_err tls_new(const struct wh_tls_options *options,
                                  const char *host,
                                  struct tls **out_tls,
                                  struct wh_error *detail);
void tls_free(struct tls *tls); /* NULL is fine */

/* SSL_CTX *, as long as `tls` lives (connections that were made with it hold their own
 * reference). */
void *tls_context(struct tls *tls);

/* Why the last handshake failed, "" when OpenSSL did not say; forgotten by asking. */
void tls_take_reason(struct tls *tls, char *out, size_t size);

/* Append what makes this configuration different from others. */
void tls_key(const struct wh_tls_options *options, const char *host, struct wh_buf *out);

#endif
