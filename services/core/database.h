/*
 * The database as a part of the process: the verb migrate, migration at the
 * start, a connection for each thread, the wrapping of methods, and the
 * sweeping of what is kept for a time only.
 */
#ifndef SERVICES_CORE_DATABASE_H
#define SERVICES_CORE_DATABASE_H

#include "services/core/core.h"

enum {
    SVC_INBOX_DAYS = 7,
    SVC_JOB_LEASE_MS = 30000, /* an exclusive job is one instance's for so long after its start */
    SVC_SWEEP_MS = 60000,     /* between sweeps */
    SVC_SWEEP_ROWS = 1000,    /* in one statement */
};

extern const struct svc_part svc_part_database;
extern const struct svc_part svc_part_outbox;
extern const struct svc_part svc_part_consumer;

/* The schema is there.  Any thread. */
bool svc_database_is_ready(const struct svc *svc);

#endif
