/*
 * One run of a service, from start to the end of the drain.
 */
#ifndef SERVICES_CORE_PROCESS_H
#define SERVICES_CORE_PROCESS_H

#include "services/core/core.h"
#include "services/core/rpc_server.h"

/* `own_settings` is the definition's part.  The exit status. */
int svc_process_run(const struct svc_def *def,
                    const struct svc_settings *settings,
                    const void *own_settings,
                    const struct svc_segments *segments);

#endif
