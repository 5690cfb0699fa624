/*
 * Our Lua scripts (common/redis/<name>.lua) on one Redis: run by EVALSHA, loaded when
 * Redis does not have them.
 *
 * Loading is where a restart is noticed.  Redis (7.0 on) keeps no scripts over
 * a restart, but it may come back with older data than it had, and offsets
 * given out twice must not look like the same stream.  So whoever loads first
 * writes down, in the key `wh:run`, which run of the server this is; streams
 * made under another run get a new epoch from the scripts.  With
 * `appendfsync always` nothing acknowledged is ever lost, and the old value
 * stays.  docs/REDIS.md, "Loading", has the rule for other programs.
 *
 * Loop thread only.
 */
#ifndef WH_IO_REDIS_SCRIPT_H
#define WH_IO_REDIS_SCRIPT_H

#include "common/io/redis.h"

#define WH_REDIS_SCRIPTS(X)                                                                        \
    X(PUBLISH, publish)                                                                            \
    X(HISTORY, history)                                                                            \
    X(PRESENCE_ADD, presence_add)                                                                  \
    X(PRESENCE_REMOVE, presence_remove)                                                            \
    X(PRESENCE_READ, presence_read)                                                                \
    X(EMIT, emit)

enum wh_redis_script {
#define X(upper, lower) WH_REDIS_SCRIPT_##upper,
    WH_REDIS_SCRIPTS(X)
#undef X
        WH_REDIS_SCRIPT_COUNT
};

struct wh_redis_script_source {
    const char *name;
    const char *sha1; /* 40 hexadecimal digits */
    struct wh_slice text;
};

/* Static storage. */
const struct wh_redis_script_source *wh_redis_script_source(enum wh_redis_script script);

struct wh_redis_scripts;

/*
 * `redis` is borrowed and carries everything.  The rule is also followed each time it comes up,
 * before any call: a server that was a primary, a replica and a primary again still has the
 * scripts, but not all its data.  WH_ENOMEM.
 */
WH_MUST_CHECK enum wh_err wh_redis_scripts_new(struct wh_loop *loop,
                                               struct wh_redis *redis,
                                               struct wh_redis_scripts **out_scripts);

/* Before wh_redis_close: no more loading.  NULL is fine. */
void wh_redis_scripts_stop(struct wh_redis_scripts *scripts);

/* After `redis` is closed: then nothing is under way any more.  NULL is fine. */
void wh_redis_scripts_free(struct wh_redis_scripts *scripts);

/*
 * WH_OK: `reply`, borrowed until return, is what the script answered, never an ERROR.  Otherwise
 * it is NULL and `err` one of wh_redis_request's, with WH_EIO also for an ERROR, which is logged.
 */
typedef void wh_redis_script_done(void *user, enum wh_err err, const struct wh_redis_reply *reply);

struct wh_redis_script_args {
    const struct wh_slice *keys;
    size_t key_count;
    const struct wh_slice *args;
    size_t arg_count;
};

/* Copies what it is given.  `done` comes exactly once, within WH_REDIS_TIMEOUT_MS even when the
 * script must be loaded first. */
void wh_redis_scripts_run(struct wh_redis_scripts *scripts,
                          enum wh_redis_script script,
                          const struct wh_redis_script_args *args,
                          wh_redis_script_done *done,
                          void *user);

#endif
