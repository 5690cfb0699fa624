/*
 * The Redis connection of a thread of the core (relay, consumer) or of a
 * service's job: made when it is needed, with a back-off after failures,
 * scripts loaded by the rule, given up after anything strange.
 */
#ifndef SERVICES_CORE_REDIS_THREAD_H
#define SERVICES_CORE_REDIS_THREAD_H

#include "common/base/backoff.h"
#include "common/io/redis_blocking.h"
#include "services/core/settings.h"

enum { SVC_REDIS_TIMEOUT_MS = 2000 };

struct svc_redis {
    const char *user_name; /* of whom, for the log: "outbox" */
    const struct svc_settings *settings;
    bool with_scripts;
    struct wh_redis_blocking *link; /* NULL = down */
    struct wh_backoff backoff;
    uint64_t next_try_ms; /* monotonic */
};

void svc_redis_init(struct svc_redis *redis,
                    const char *user_name,
                    const struct svc_settings *settings,
                    bool with_scripts);

/* The same for a job: the Redis that the service is configured with. */
struct svc_ctx;
void svc_redis_init_job(struct svc_redis *redis,
                        const char *user_name,
                        const struct svc_ctx *ctx,
                        bool with_scripts);

/* Up, or made so now.  False: try again later. */
bool svc_redis_is_up(struct svc_redis *redis);

/* Close the connection: `why` goes to the log.  The next svc_redis_is_up makes another. */
void svc_redis_drop(struct svc_redis *redis, const char *why);
void svc_redis_deinit(struct svc_redis *redis);

/* Load the scripts again, after NOSCRIPT or NORUN.  False: the connection is gone. */
bool svc_redis_load(struct svc_redis *redis);

/* The next reply; NULL when the connection broke (it is dropped).  An ERROR is a reply. */
const struct wh_redis_reply *svc_redis_reply(struct svc_redis *redis, uint32_t timeout_ms);

/* One command of `count` words and its reply; NULL as above.  Needs svc_redis_is_up before. */
const struct wh_redis_reply *svc_redis_call(struct svc_redis *redis,
                                            const struct wh_slice *words,
                                            size_t count);

#endif
