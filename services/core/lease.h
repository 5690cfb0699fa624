/*
 * Who does what only one instance of a service may do: rows of the table lease,
 * each for a time, taken again before it is over.  Whoever must be sure checks
 * the row in its own transaction, with a lock on it (consumer.c).
 */
#ifndef SERVICES_CORE_LEASE_H
#define SERVICES_CORE_LEASE_H

#include "services/core/db.h"

/* Take the lease `name`, or keep it for another `ms`.  False: another instance has it, or the
 * database is away.  Not within a transaction. */
bool svc_lease_take(struct svc_ctx *ctx, const char *name, uint32_t ms);

/* Give it back, when it is ours. */
void svc_lease_give(struct svc_ctx *ctx, const char *name);

#endif
