#include "services/core/redis_thread.h"

#include "common/base/clock.h"
#include "common/io/redis_script_blocking.h"
#include "services/core/core.h"

#include <stdio.h>

enum { BACKOFF_MIN_MS = 50, BACKOFF_MAX_MS = 2000 };

void svc_redis_init(struct svc_redis *redis,
                    const char *user_name,
                    const struct svc_settings *settings,
                    bool with_scripts)
{
    *redis = (struct svc_redis){.user_name = user_name,
                                .settings = settings,
                                .with_scripts = with_scripts,
                                .backoff = {.min_ms = BACKOFF_MIN_MS, .max_ms = BACKOFF_MAX_MS}};
}

void svc_redis_init_job(struct svc_redis *redis,
                        const char *user_name,
                        const struct svc_ctx *ctx,
                        bool with_scripts)
{
    svc_redis_init(redis, user_name, ctx->svc->settings, with_scripts);
}

void svc_redis_deinit(struct svc_redis *redis)
{
    wh_redis_blocking_close(redis->link);
    redis->link = NULL;
}

void svc_redis_drop(struct svc_redis *redis, const char *why)
{
    if (redis->link)
        wh_log(WH_LOG_WARN, redis->user_name, "redis_lost", "reason=%s", why);
    svc_redis_deinit(redis);
    redis->next_try_ms = wh_clock_monotonic_ms() + wh_backoff_next_ms(&redis->backoff);
}

bool svc_redis_load(struct svc_redis *redis)
{
    char reason[WH_REDIS_BLOCKING_REASON_MAX] = "";
    if (!wh_redis_blocking_load(redis->link, SVC_REDIS_TIMEOUT_MS, reason))
        return true;
    svc_redis_drop(redis, reason);
    return false;
}

bool svc_redis_is_up(struct svc_redis *redis)
{
    char reason[WH_REDIS_BLOCKING_REASON_MAX] = "";
    const struct svc_settings *settings = redis->settings;
    struct wh_redis_blocking_options options = {.address = settings->redis.address,
                                                .user = settings->redis.user,
                                                .password = settings->redis.password,
                                                .db = settings->redis.db,
                                                .timeout_ms = SVC_REDIS_TIMEOUT_MS};
    if (redis->link)
        return true;
    if (wh_clock_monotonic_ms() < redis->next_try_ms)
        return false;
    if (wh_redis_blocking_open(&options, reason, &redis->link)) {
        redis->link = NULL;
        wh_log(WH_LOG_WARN, redis->user_name, "redis_connect_failed", "reason=%s", reason);
        svc_redis_drop(redis, reason);
        return false;
    }
    if (redis->with_scripts && !svc_redis_load(redis))
        return false;
    wh_backoff_reset(&redis->backoff);
    return true;
}

const struct wh_redis_reply *svc_redis_reply(struct svc_redis *redis, uint32_t timeout_ms)
{
    const struct wh_redis_reply *reply = NULL;
    enum wh_err err = wh_redis_blocking_reply(redis->link, timeout_ms, &reply);
    if (!err)
        return reply;
    svc_redis_drop(redis, wh_err_text(err));
    return NULL;
}

const struct wh_redis_reply *svc_redis_call(struct svc_redis *redis,
                                            const struct wh_slice *words,
                                            size_t count)
{
    wh_redis_blocking_append(redis->link, words, count);
    return svc_redis_reply(redis, SVC_REDIS_TIMEOUT_MS);
}
