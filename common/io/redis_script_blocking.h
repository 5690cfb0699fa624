/*
 * Loading our scripts over a connection of a thread, by the rule of
 * redis_script.h.  Do it on each new connection before the first EVALSHA, and
 * again when one answers NOSCRIPT or NORUN; after any other error of Redis
 * that is about the server (READONLY, LOADING) make a new connection.
 */
#ifndef WH_IO_REDIS_SCRIPT_BLOCKING_H
#define WH_IO_REDIS_SCRIPT_BLOCKING_H

#include "common/io/redis_blocking.h"
#include "common/io/redis_script.h"

/* WH_EDENIED: Redis refused a step, with its words in `reason`; else the errors of
 * wh_redis_blocking_reply, after which the connection is of no use. */
WH_MUST_CHECK enum wh_err wh_redis_blocking_load(struct wh_redis_blocking *redis,
                                                 uint32_t timeout_ms,
                                                 char reason[WH_REDIS_BLOCKING_REASON_MAX]);

/* Queue EVALSHA of a script. */
void wh_redis_blocking_script(struct wh_redis_blocking *redis,
                              enum wh_redis_script script,
                              const struct wh_redis_script_args *args);

#endif
