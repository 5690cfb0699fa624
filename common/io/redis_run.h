/*
 * The decisions of loading scripts (redis_script.h, docs/REDIS.md "Loading"):
 * which run of the server this is, and whether the run written down before may
 * stay.  Whoever talks to Redis, a loop or a thread, asks here.  Pure.
 */
#ifndef WH_IO_REDIS_RUN_H
#define WH_IO_REDIS_RUN_H

#include "common/io/redis_reply.h"

enum { WH_REDIS_RUN_MAX = 64 };

struct wh_redis_run {
    char value[WH_REDIS_RUN_MAX]; /* for the key wh:run */
    bool was_promoted;            /* from replica to primary: its predecessor may have known more */
};

#define WH_REDIS_RUN_KEY WH_SLICE_LITERAL("wh:run")

/* From the answer to INFO.  WH_EFORMAT: it names no run. */
WH_MUST_CHECK enum wh_err wh_redis_run_read(struct wh_slice info, struct wh_redis_run *out_run);

/*
 * From the answer to CONFIG GET append*: whether nothing acknowledged is ever lost.  Then the
 * value says so.  An error as the answer (not being allowed to ask) is a no: the cost is a new
 * epoch after a restart.
 */
bool wh_redis_run_is_always(struct wh_redis_run *run, const struct wh_redis_reply *settings);

/* From the answer to GET wh:run, when the above is true: whether the old value stays. */
bool wh_redis_run_stays(const struct wh_redis_run *run, const struct wh_redis_reply *old);

#endif
