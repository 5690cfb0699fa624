/*
 * The schema of a service's database: numbered steps, forward only, embedded
 * in the program, the core's own first.  Table schema_migration has what was
 * done, with a checksum of each step.
 *
 *     one at a time    an advisory lock; instances that start together wait
 *     all or nothing   each step is a transaction of its own, noted in it
 *     no traffic jam   a step waits at most SVC_MIGRATE_LOCK_MS for a table
 *     as it was        a step that was changed after it ran is an error
 *     N-1 on N         steps that this program does not know are left alone: an
 *                      older program may run on a newer schema
 *
 * So a release only adds (expand); what the release before needs goes with the
 * release after (contract).
 */
#ifndef SERVICES_CORE_MIGRATE_H
#define SERVICES_CORE_MIGRATE_H

#include "services/core/service.h"

struct svc_db;

enum { SVC_MIGRATE_LOCK_MS = 2000, SVC_MIGRATE_STEP_MS = 600000 };

/* The steps in services/core/migrations, ending with {0}: generated. */
extern const struct svc_migration svc_core_migrations[];

enum svc_migrate_result {
    SVC_MIGRATE_DONE,
    SVC_MIGRATE_LATER, /* PostgreSQL is away, or a table was busy: try again */
    SVC_MIGRATE_WRONG  /* a step fails, or was changed: nothing but a human helps; logged */
};

/* Bring the database up to `migrations` (after the core's own).  Any thread, `db` being its. */
enum svc_migrate_result svc_migrate(struct svc_db *db, const struct svc_migration *migrations);

#endif
