#include "common/io/redis_script_blocking.h"

#include "common/io/redis_run.h"

#include <stdio.h>

enum { ARGS_MAX = 24 };

struct loader {
    struct wh_redis_blocking *redis;
    uint32_t timeout_ms;
    char *reason;
};

static enum wh_err take(struct loader *loader, const struct wh_redis_reply **out_reply)
{
    enum wh_err err = wh_redis_blocking_reply(loader->redis, loader->timeout_ms, out_reply);
    if (err)
        snprintf(loader->reason, WH_REDIS_BLOCKING_REASON_MAX, "%s", wh_err_text(err));
    return err;
}

static enum wh_err take_good(struct loader *loader, const struct wh_redis_reply **out_reply)
{
    enum wh_err err = take(loader, out_reply);
    if (err || (*out_reply)->type != WH_REDIS_ERROR)
        return err;
    snprintf(loader->reason, WH_REDIS_BLOCKING_REASON_MAX, "redis: %.*s",
             WH_SLICE_ARGS((*out_reply)->text));
    return WH_EDENIED;
}

/* Whether wh:run must be written, into `out_run`. */
static enum wh_err decide(struct loader *loader, struct wh_redis_run *run, bool *out_must_write)
{
    struct wh_slice info = WH_SLICE_LITERAL("INFO");
    struct wh_slice config[] = {WH_SLICE_LITERAL("CONFIG"), WH_SLICE_LITERAL("GET"),
                                WH_SLICE_LITERAL("append*")};
    struct wh_slice get[] = {WH_SLICE_LITERAL("GET"), WH_REDIS_RUN_KEY};
    const struct wh_redis_reply *reply = NULL;
    wh_redis_blocking_append(loader->redis, &info, 1);
    enum wh_err err = take_good(loader, &reply);
    if (!err)
        err = wh_redis_run_read(reply->text, run);
    if (err)
        return err;
    wh_redis_blocking_append(loader->redis, config, 3);
    if ((err = take(loader, &reply)))
        return err;
    if (!wh_redis_run_is_always(run, reply)) {
        *out_must_write = true;
        return WH_OK;
    }
    wh_redis_blocking_append(loader->redis, get, 2);
    if ((err = take_good(loader, &reply)))
        return err;
    *out_must_write = !wh_redis_run_stays(run, reply);
    return WH_OK;
}

enum wh_err wh_redis_blocking_load(struct wh_redis_blocking *redis,
                                   uint32_t timeout_ms,
                                   /* NOLINTNEXTLINE(readability-non-const-parameter): by loader */
                                   char reason[WH_REDIS_BLOCKING_REASON_MAX])
{
    struct loader loader = {redis, timeout_ms, reason};
    struct wh_redis_run run = {.was_promoted = false};
    const struct wh_redis_reply *reply = NULL;
    bool must_write = false;
    enum wh_err err = decide(&loader, &run, &must_write);
    if (err)
        return err;
    if (must_write) {
        struct wh_slice set[] = {WH_SLICE_LITERAL("SET"), WH_REDIS_RUN_KEY,
                                 wh_slice_from_str(run.value)};
        wh_redis_blocking_append(redis, set, 3);
        if ((err = take_good(&loader, &reply)))
            return err;
    }
    for (size_t i = 0; i < WH_REDIS_SCRIPT_COUNT; i++) {
        struct wh_slice load[] = {WH_SLICE_LITERAL("SCRIPT"), WH_SLICE_LITERAL("LOAD"),
                                  wh_redis_script_source((enum wh_redis_script)i)->text};
        wh_redis_blocking_append(redis, load, 3);
        if ((err = take_good(&loader, &reply)))
            return err;
    }
    return WH_OK;
}

void wh_redis_blocking_script(struct wh_redis_blocking *redis,
                              enum wh_redis_script script,
                              const struct wh_redis_script_args *args)
{
    struct wh_slice argv[ARGS_MAX];
    char key_count[8];
    size_t argc = 0;
    WH_ASSERT(3 + args->key_count + args->arg_count <= ARGS_MAX);
    snprintf(key_count, sizeof key_count, "%u", (unsigned)args->key_count);
    argv[argc++] = WH_SLICE_LITERAL("EVALSHA");
    argv[argc++] = wh_slice_from_str(wh_redis_script_source(script)->sha1);
    argv[argc++] = wh_slice_from_str(key_count);
    for (size_t i = 0; i < args->key_count; i++)
        argv[argc++] = args->keys[i];
    for (size_t i = 0; i < args->arg_count; i++)
        argv[argc++] = args->args[i];
    wh_redis_blocking_append(redis, argv, argc);
}
