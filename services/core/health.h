/*
 * What the process thinks of itself.  Each function appends reasons, one a
 * line; nothing means yes.  Loop thread.
 */
#ifndef SERVICES_CORE_HEALTH_H
#define SERVICES_CORE_HEALTH_H

#include "services/core/core.h"

/* Why the process should be restarted: every worker hangs in a handler. */
void svc_write_dead(const struct svc *svc, struct wh_buf *out);

/* Why calls should not come here: for the subscription of wh:rpc:alive:.  A database that is away
 * is no reason: calls are answered 1503 by who knows why. */
void svc_write_unserving(const struct svc *svc, struct wh_buf *out);

/* Why it is not ready: all of the above, what the parts say, and hubs that do not see it yet. */
void svc_write_unready(const struct svc *svc, struct wh_buf *out);

#endif
