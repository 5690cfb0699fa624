/*
 * The periodic jobs of a service, each on a thread of its own: one that takes
 * long delays nothing but its own next run.  They begin when what the service
 * needs (the schema of its database) is there.
 *
 * Main thread.
 */
#ifndef SERVICES_CORE_JOBS_H
#define SERVICES_CORE_JOBS_H

#include "services/core/core.h"

struct svc_jobs;

/* *out_jobs = NULL when the definition has none.  WH_ENOMEM; WH_EIO. */
WH_MUST_CHECK enum wh_err svc_jobs_start(struct svc *svc, struct svc_jobs **out_jobs);

/* After svc->is_stopping: no job runs, none will; NULL is done. */
bool svc_jobs_is_done(struct svc_jobs *jobs);

/* Joins the threads; NULL is fine. */
void svc_jobs_stop(struct svc_jobs *jobs);

#endif
