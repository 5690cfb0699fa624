/*
 * What every service answers without being written for it, under each of its
 * first segments: <service>.$svc.ping, .info and .stats.  They go to one of
 * the instances, as every call does.
 */
#ifndef SERVICES_CORE_FREE_METHODS_H
#define SERVICES_CORE_FREE_METHODS_H

#include "services/core/core.h"

/* The role that callers need; hubs enforce it by the announcement. */
#define SVC_FREE_ROLE "admin"

/* Their names behind the first segment, NULL-terminated: "$svc.ping". */
extern const char *const svc_free_names[];

/* Run `method` when it is one of them: true, and its code. */
bool svc_free_run(struct svc_ctx *ctx, struct wh_slice method, uint32_t *out_code);

/* "anonymous", "user", "role". */
const char *svc_access_name(enum svc_access access);

#endif
