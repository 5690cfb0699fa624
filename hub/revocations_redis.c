/*
 * Where revocations survive a restart: one hash, because all of it is read at
 * once and never a part.  Fields do not expire by themselves in every Redis
 * that is supported, so the end is in the value, and who reads the hash
 * deletes what is over.
 */
#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/protocol/wire.h"
#include "hub/broker_redis.h"
#include "hub/revocations.h"

#include <inttypes.h>
#include <stdio.h>

#define REVOKED_KEY WH_SLICE_LITERAL("wh:revoked")

enum { VALUE_SIZE = 48 };

struct storing {
    struct wh_redis_request request;
    broker_done *done; /* NULL = nobody waits */
    void *user;
};

static void on_stored(struct wh_redis_request *request,
                      enum wh_err err,
                      const struct wh_redis_reply *reply)
{
    struct storing *storing = WH_CONTAINER_OF(request, struct storing, request);
    if (err == WH_OK && reply->type == WH_REDIS_ERROR) {
        wh_log(WH_LOG_WARN, "revocations", "store_refused", "reason=%.*s",
               WH_SLICE_ARGS(reply->text));
        err = WH_EUNAVAILABLE;
    }
    if (storing->done)
        storing->done(storing->user, err);
    wh_free(storing);
}

static void command(struct redis_broker *redis,
                    const struct wh_slice *argv,
                    size_t argc,
                    broker_done *done,
                    void *user)
{
    struct storing *storing = wh_calloc(1, sizeof(*storing));
    WH_ASSERT(storing != NULL); /* a program stops when out of memory */
    storing->request.done = on_stored;
    storing->done = done;
    storing->user = user;
    wh_redis_send(redis->commands, &storing->request, argv, argc);
}

void revocations_store(struct broker *broker,
                       char kind,
                       struct wh_slice id,
                       int64_t expire_at,
                       int64_t issued_before,
                       broker_done *done,
                       void *user)
{
    struct wh_buf field = {0};
    char value[VALUE_SIZE];
    snprintf(value, sizeof(value), "%" PRId64 " %" PRId64, expire_at, issued_before);
    wh_buf_append_char(&field, kind);
    wh_buf_append_char(&field, ':');
    wh_buf_append_slice(&field, id);
    if (wh_buf_error(&field)) {
        done(user, WH_ENOMEM);
    } else {
        struct wh_slice argv[] = {WH_SLICE_LITERAL("HSET"), REVOKED_KEY, wh_buf_slice(&field),
                                  wh_slice_from_str(value)};
        command(redis_broker(broker), argv, 4, done, user);
    }
    wh_buf_deinit(&field);
}

/* Reading */

struct loading {
    struct wh_redis_request request;
    struct revocations *revocations;
    struct redis_broker *redis;
};

static bool parse_value(struct wh_slice value, int64_t *out_expire_at, int64_t *out_issued_before)
{
    const char *space = memchr(value.ptr, ' ', value.len);
    uint64_t expire_at, issued_before;
    if (space == NULL)
        return false;
    size_t at = (size_t)(space - value.ptr);
    if (wh_wire_decode_number(wh_slice(value.ptr, at), &expire_at) ||
        wh_wire_decode_number(wh_slice_from(value, at + 1), &issued_before) ||
        expire_at > INT64_MAX || issued_before > INT64_MAX)
        return false;
    *out_expire_at = (int64_t)expire_at;
    *out_issued_before = (int64_t)issued_before;
    return true;
}

static void drop_field(struct redis_broker *redis, struct wh_slice field)
{
    struct wh_slice argv[] = {WH_SLICE_LITERAL("HDEL"), REVOKED_KEY, field};
    command(redis, argv, 3, NULL, NULL);
}

static void take_field(struct loading *loading, struct wh_slice field, struct wh_slice value)
{
    int64_t expire_at, issued_before;
    bool is_ours =
        field.len > 2 && field.ptr[1] == ':' && parse_value(value, &expire_at, &issued_before);
    struct wh_slice id = wh_slice_from(field, 2);
    enum wh_err err = WH_OK;
    if (is_ours && expire_at != 0 && expire_at <= wh_clock_wall_s())
        drop_field(loading->redis, field);
    else if (is_ours && field.ptr[0] == 't')
        err = revocations_add_token(loading->revocations, &(struct api_revoke_token_request){
                                                              .uid = id, .expire_at = expire_at});
    else if (is_ours && field.ptr[0] == 'u')
        err =
            revocations_add_user(loading->revocations, &(struct api_invalidate_user_tokens_request){
                                                           .user = id,
                                                           .issued_before = issued_before,
                                                           .expire_at = expire_at,
                                                       });
    else
        err = WH_EFORMAT;
    if (err) {
        static struct wh_log_limit limit;
        wh_log_limited(&limit, WH_LOG_WARN, "revocations", "entry_skipped", "error=%s",
                       wh_err_name(err));
    }
}

static void on_loaded(struct wh_redis_request *request,
                      enum wh_err err,
                      const struct wh_redis_reply *reply)
{
    struct loading *loading = WH_CONTAINER_OF(request, struct loading, request);
    if (err == WH_OK && reply->type == WH_REDIS_ARRAY) {
        for (size_t i = 0; i + 1 < reply->count; i += 2)
            take_field(loading, reply->items[i].text, reply->items[i + 1].text);
        revocations_set_loaded(loading->revocations);
        wh_log(WH_LOG_DEBUG, "revocations", "loaded", "fields=%zu", reply->count / 2);
    } else if (err != WH_ECLOSED) { /* the link broke again, or will: it is read when it is back */
        wh_log(WH_LOG_WARN, "revocations", "load_failed", "error=%s reason=%.*s", wh_err_name(err),
               WH_SLICE_ARGS(err ? WH_SLICE_ABSENT : reply->text));
    }
    wh_free(loading);
}

void revocations_load(struct revocations *revocations, struct broker *broker)
{
    struct loading *loading = wh_calloc(1, sizeof(*loading));
    WH_ASSERT(loading != NULL);
    struct wh_slice argv[] = {WH_SLICE_LITERAL("HGETALL"), REVOKED_KEY};
    loading->request.done = on_loaded;
    loading->revocations = revocations;
    loading->redis = redis_broker(broker);
    wh_redis_send(loading->redis->commands, &loading->request, argv, 2);
}
