#include "services/core/announce.h"

#include "common/base/alloc.h"
#include "common/io/loop.h"
#include "common/io/redis_pubsub.h"
#include "common/protocol/codec.h"
#include "services/core/cancels.h"
#include "services/core/free_methods.h"

#include <stdio.h>

enum {
    RENEW_MS = 30000,                   /* another version may have written the field since */
    CANCEL_BYTES_MAX = 4 * 1024 * 1024, /* of memory for the cancels in one message */
};

struct segment {
    struct svc_announce *announce;
    struct wh_slice name;
    struct wh_redis_channel channel;
    char channel_name[sizeof(WH_RPC_ALIVE_PREFIX) + WH_RPC_SERVICE_NAME_MAX];
    bool is_held; /* the channel is not yet released */
    struct wh_buf text;
    struct wh_redis_request set;
    struct wh_redis_request tell;
    bool is_setting;
    bool is_telling;
};

struct svc_announce {
    struct svc *svc;
    struct wh_redis_pubsub *pubsub;
    struct wh_redis_watch watch;
    struct wh_timer renew;
    struct wh_arena arena; /* of one message of cancels */
    bool is_wanted;
    void (*closed)(void *user);
    void *closed_user;
    size_t count;
    struct segment segments[SVC_SEGMENTS_MAX];
};

static void add_method(struct wh_rpc_service *service,
                       struct wh_arena *arena,
                       const struct svc_method *method)
{
    size_t roles = 0;
    while (method->roles && method->roles[roles])
        roles++;
    struct wh_slice *items = wh_arena_alloc_array(arena, roles, sizeof *items);
    for (size_t i = 0; items && i < roles; i++)
        items[i] = wh_slice_from_str(method->roles[i]);
    service->methods.items[service->methods.count++] =
        (struct wh_rpc_method){.name = wh_slice_from_str(method->name),
                               .access = wh_slice_from_str(svc_access_name(method->access)),
                               .roles = {items, items ? roles : 0},
                               .timeout_ms = method->timeout_ms,
                               .idempotent = method->idempotent};
}

static void add_free_method(struct wh_rpc_service *service,
                            struct wh_arena *arena,
                            struct wh_slice segment,
                            const char *name)
{
    static struct wh_slice role = {SVC_FREE_ROLE, sizeof(SVC_FREE_ROLE) - 1};
    char full[WH_RPC_METHOD_NAME_MAX];
    int len = snprintf(full, sizeof full, "%.*s.%s", WH_SLICE_ARGS(segment), name);
    service->methods.items[service->methods.count++] =
        (struct wh_rpc_method){.name = wh_arena_copy(arena, wh_slice(full, (size_t)len)),
                               .access = wh_slice_from_str(svc_access_name(SVC_ROLE)),
                               .roles = {&role, 1},
                               .idempotent = true};
}

void svc_announce_write(const struct svc_def *def, struct wh_slice segment, struct wh_buf *out)
{
    struct wh_arena arena = {0};
    struct wh_rpc_service service = {.version = wh_slice_from_str(def->version)};
    size_t count = 0;

    while (def->methods[count].name)
        count++;
    service.methods.items = wh_arena_alloc_array(&arena, count + 3, sizeof *service.methods.items);
    for (size_t i = 0; i < count && service.methods.items; i++) {
        struct wh_slice own;
        if (wh_rpc_method_service(wh_slice_from_str(def->methods[i].name), &own) == WH_OK &&
            wh_slice_equal(own, segment))
            add_method(&service, &arena, &def->methods[i]);
    }
    for (size_t i = 0; svc_free_names[i] && service.methods.items; i++)
        add_free_method(&service, &arena, segment, svc_free_names[i]);
    enum wh_err err = service.methods.items
                          ? wh_encode(WH_ENCODING_JSON, &wh_rpc_service_schema, &service, 0, out)
                          : WH_ENOMEM;
    if (err && !out->err)
        out->err = WH_ENOMEM;
    wh_arena_deinit(&arena);
}

static void log_failure(struct segment *segment,
                        enum wh_err err,
                        const struct wh_redis_reply *reply)
{
    bool is_refused = err == WH_OK && reply->type == WH_REDIS_ERROR;
    if (err || is_refused)
        wh_log(WH_LOG_WARN, "announce", "failed", "service=%.*s reason=%.*s",
               WH_SLICE_ARGS(segment->name),
               WH_SLICE_ARGS(is_refused ? reply->text : wh_slice_from_str(wh_err_text(err))));
}

static void on_told(struct wh_redis_request *request,
                    enum wh_err err,
                    const struct wh_redis_reply *reply)
{
    struct segment *segment = WH_CONTAINER_OF(request, struct segment, tell);
    segment->is_telling = false;
    log_failure(segment, err, reply);
}

static void on_set(struct wh_redis_request *request,
                   enum wh_err err,
                   const struct wh_redis_reply *reply)
{
    struct segment *segment = WH_CONTAINER_OF(request, struct segment, set);
    segment->is_setting = false;
    log_failure(segment, err, reply);
}

/* Both commands of one turn go out in one write, in this order. */
static void announce_all(struct svc_announce *announce)
{
    struct wh_redis *redis = announce->svc->redis;
    for (size_t i = 0; i < announce->count && wh_redis_is_up(redis); i++) {
        struct segment *segment = &announce->segments[i];
        const struct wh_slice set[] = {WH_SLICE_LITERAL("HSET"),
                                       WH_SLICE_LITERAL(WH_RPC_SERVICES_KEY), segment->name,
                                       wh_buf_slice(&segment->text)};
        const struct wh_slice tell[] = {WH_SLICE_LITERAL("PUBLISH"),
                                        WH_SLICE_LITERAL(WH_RPC_SERVICES_KEY), segment->name};
        if (segment->is_setting || segment->is_telling)
            continue;
        segment->is_setting = segment->is_telling = true;
        segment->set.done = on_set;
        segment->tell.done = on_told;
        wh_redis_send(redis, &segment->set, set, 4);
        wh_redis_send(redis, &segment->tell, tell, 3);
    }
}

static void on_redis_state(struct wh_redis_watch *watch, bool is_up, const char *reason)
{
    struct svc_announce *announce = WH_CONTAINER_OF(watch, struct svc_announce, watch);
    if (is_up)
        announce_all(announce);
    wh_log(is_up ? WH_LOG_INFO : WH_LOG_WARN, "redis", is_up ? "up" : "down", "reason=%s", reason);
}

static void on_renew(struct wh_timer *timer)
{
    struct svc_announce *announce = WH_CONTAINER_OF(timer, struct svc_announce, renew);
    announce_all(announce);
    wh_loop_timer_start(announce->svc->loop, timer, RENEW_MS);
}

static void on_message(void *user, struct wh_slice channel, struct wh_slice payload)
{
    static struct wh_log_limit limit;
    struct svc_announce *announce = user;
    enum wh_err err;

    do {
        struct wh_rpc_cancel cancel = {0};
        wh_arena_reset(&announce->arena);
        err = wh_rpc_decode(&wh_rpc_cancel_schema, &payload, &announce->arena, &cancel);
        if (!err)
            svc_cancels_add(announce->svc->cancels, cancel.reply, cancel.id);
    } while (!err);
    if (err != WH_EEND)
        wh_log_limited(&limit, WH_LOG_WARN, "announce", "malformed_cancel", "channel=%.*s",
                       WH_SLICE_ARGS(channel));
}

static void on_released(void *user, struct wh_redis_channel *channel)
{
    struct svc_announce *announce = user;
    WH_CONTAINER_OF(channel, struct segment, channel)->is_held = false;
    if (announce->is_wanted && !announce->closed)
        svc_announce_set_alive(announce, true);
}

static void on_pubsub_state(void *user, bool is_up, const char *reason)
{
    (void)user;
    if (!is_up)
        wh_log(WH_LOG_WARN, "announce", "down", "reason=%s", reason);
}

static void on_confirmed(void *user, struct wh_redis_channel *channel)
{
    (void)user;
    wh_log(WH_LOG_INFO, "announce", "alive", "channel=%.*s", WH_SLICE_ARGS(channel->name));
}

static enum wh_err init_segment(struct svc_announce *announce, struct wh_slice name)
{
    struct segment *segment = &announce->segments[announce->count++];
    int len = snprintf(segment->channel_name, sizeof segment->channel_name, "%s%.*s",
                       WH_RPC_ALIVE_PREFIX, WH_SLICE_ARGS(name));
    segment->announce = announce;
    segment->name = name;
    segment->channel.name = wh_slice(segment->channel_name, (size_t)len);
    svc_announce_write(announce->svc->def, name, &segment->text);
    return wh_buf_error(&segment->text);
}

void svc_announce_free(struct svc_announce *announce)
{
    if (!announce)
        return;
    for (size_t i = 0; i < announce->count; i++)
        wh_buf_deinit(&announce->segments[i].text);
    wh_arena_deinit(&announce->arena);
    wh_free(announce);
}

enum wh_err svc_announce_new(struct svc *svc,
                             const struct svc_segments *segments,
                             struct svc_announce **out_announce)
{
    struct svc_announce *announce = wh_calloc(1, sizeof *announce);
    enum wh_err err = WH_OK;
    if (!announce)
        return WH_ENOMEM;
    announce->svc = svc;
    wh_arena_init(&announce->arena, CANCEL_BYTES_MAX);
    for (size_t i = 0; i < segments->count && !err; i++)
        err = init_segment(announce, segments->names[i]);
    const struct svc_settings *settings = svc->settings;
    const struct wh_redis_pubsub_options options = {.redis = {.address = settings->redis.address,
                                                              .user = settings->redis.user,
                                                              .password = settings->redis.password,
                                                              .db = settings->redis.db},
                                                    .on_message = on_message,
                                                    .on_confirmed = on_confirmed,
                                                    .on_released = on_released,
                                                    .on_state = on_pubsub_state,
                                                    .user = announce};
    if (!err)
        err = wh_redis_pubsub_new(svc->loop, svc->redis, &options, &announce->pubsub);
    if (err) {
        svc_announce_free(announce);
        return err;
    }
    announce->watch.on_state = on_redis_state;
    wh_redis_watch(svc->redis, &announce->watch);
    wh_timer_init(&announce->renew, on_renew);
    wh_loop_timer_start(svc->loop, &announce->renew, RENEW_MS);
    *out_announce = announce;
    return WH_OK;
}

void svc_announce_set_alive(struct svc_announce *announce, bool is_alive)
{
    announce->is_wanted = is_alive;
    for (size_t i = 0; i < announce->count; i++) {
        struct segment *segment = &announce->segments[i];
        if (!is_alive && segment->is_held && segment->channel.is_wanted)
            wh_redis_pubsub_unwant(announce->pubsub, &segment->channel);
        else if (is_alive && (!segment->is_held || !segment->channel.is_wanted) &&
                 wh_redis_pubsub_want(announce->pubsub, &segment->channel) == WH_OK)
            segment->is_held = true;
    }
}

bool svc_announce_is_alive(const struct svc_announce *announce)
{
    for (size_t i = 0; i < announce->count; i++) {
        const struct segment *segment = &announce->segments[i];
        if (!segment->is_held || !segment->channel.is_wanted ||
            segment->channel.state != WH_REDIS_CHANNEL_CONFIRMED)
            return false;
    }
    return wh_redis_pubsub_is_up(announce->pubsub);
}

bool svc_announce_is_gone(const struct svc_announce *announce)
{
    for (size_t i = 0; i < announce->count; i++) {
        if (announce->segments[i].is_held)
            return !wh_redis_is_up(announce->svc->redis);
    }
    return true;
}

static void on_pubsub_closed(void *user)
{
    struct svc_announce *announce = user;
    void (*closed)(void *) = announce->closed;
    closed(announce->closed_user);
}

void svc_announce_close(struct svc_announce *announce, void (*closed)(void *user), void *user)
{
    announce->closed = closed;
    announce->closed_user = user;
    wh_loop_timer_stop(announce->svc->loop, &announce->renew);
    wh_redis_unwatch(&announce->watch);
    wh_redis_pubsub_close(announce->pubsub, on_pubsub_closed, announce);
}
