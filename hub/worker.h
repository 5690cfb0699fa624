/*
 * The life of one worker process: loop, node, server, signals, drain.  What
 * supervisor_run starts in each child.
 */
#ifndef HUB_WORKER_H
#define HUB_WORKER_H

#include "hub/supervisor.h"

/* Returns the exit status: 0 after a drain, WORKER_CANNOT_START with the reason in the log. */
int worker_main(const struct worker_context *context);

#endif
