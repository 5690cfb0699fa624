/*
 * A small HTTP server on the loop for whoever watches a service:
 *
 *     /livez     200 as long as the process works; 503 when every worker hangs
 *     /readyz    200 when calls can be served; else 503 with the reasons, one a line
 *     /metrics   Prometheus' text format
 *
 * and the routes of the service's own (struct svc_route).
 *
 * The only file that sees libmicrohttpd (docs/decisions).  Loop thread.
 */
#ifndef SERVICES_CORE_HTTP_H
#define SERVICES_CORE_HTTP_H

#include "services/core/core.h"

struct svc_http;

/* Listen on http.address and http.port.  WH_EIO (logged): that cannot be had; WH_ENOMEM. */
WH_MUST_CHECK enum wh_err svc_http_start(struct svc *svc, struct svc_http **out_http);

/* The port in use. */
unsigned svc_http_port(const struct svc_http *http);

/* Close all connections; then `closed`, and the memory is gone. */
void svc_http_close(struct svc_http *http, void (*closed)(void *user), void *user);

#endif
