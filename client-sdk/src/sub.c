/*
 * Life of subscriptions with a handle.  engine.subs holds one reference to
 * each until sub_forget or the end of the engine; events, pending commands and the
 * program's calls hold others, so that a handle which was freed inside its own
 * callback stays in memory until the last of them is through.
 */
#include "client-sdk/src/sub_internal.h"
#include "common/base/alloc.h"
#include "common/base/utf8.h"

void sub_ref(struct wh_sub *sub)
{
    atomic_fetch_add_explicit(&sub->refs, 1, memory_order_relaxed);
}

/* Nothing of it is in a table, on a timer or asked for any more. */
static void free_sub(struct wh_sub *sub)
{
    event_free(sub->farewell);
    event_free(sub->user_event);
    wh_buf_deinit(&sub->token);
    wh_buf_deinit(&sub->delta_base);
    wh_arena_deinit(&sub->arena);
    wh_arena_deinit(&sub->filter_arena);
    wh_free(sub->channel);
    wh_free(sub);
}

void sub_unref(struct wh_sub *sub)
{
    if (atomic_fetch_sub_explicit(&sub->refs, 1, memory_order_acq_rel) == 1)
        free_sub(sub);
}

struct wh_sub *sub_find(struct engine *engine, struct wh_slice channel)
{
    return wh_map_get(&engine->subs, channel);
}

static enum wh_err check_new(struct engine *engine,
                             struct wh_slice channel,
                             struct wh_error *detail)
{
    struct wh_error error = {.err = WH_OK};
    if (engine->state == ENGINE_CLOSED)
        error = engine_error_make(WH_ECLOSED, 0, false, 0, "the client is closed");
    else if (channel.len == 0 || channel.len > ENGINE_CHANNEL_BYTES_MAX ||
             !wh_utf8_is_valid(channel))
        error = engine_error_make(WH_EINVAL, 0, false, 0, "a channel has 1 to %d bytes of UTF-8",
                                  ENGINE_CHANNEL_BYTES_MAX);
    else if (sub_find(engine, channel))
        error = engine_error_make(WH_EDUPLICATE, 0, false, 0, "there is a subscription to \"%.*s\"",
                                  WH_SLICE_ARGS(channel));
    else if (engine->subs.count + engine->server_subs.count >= ENGINE_SUBS_MAX)
        error = engine_error_make(WH_ELIMIT, 0, false, 0, "more than %d subscriptions",
                                  ENGINE_SUBS_MAX);
    if (error.err && detail)
        *detail = error;
    return error.err;
}

static void on_retry_timer(struct wh_timer *timer)
{
    sub_proceed(WH_CONTAINER_OF(timer, struct wh_sub, retry_timer));
}

static struct wh_sub *alloc_sub(struct engine *engine, struct wh_slice channel)
{
    struct wh_sub *sub = wh_calloc(1, sizeof(*sub));
    if (!sub)
        return NULL;
    sub->channel = wh_malloc(channel.len + 1);
    if (!sub->channel) {
        wh_free(sub);
        return NULL;
    }
    memcpy(sub->channel, channel.ptr, channel.len);
    sub->channel[channel.len] = '\0';
    wh_list_init(&sub->unsent);
    atomic_init(&sub->refs, 1);
    sub->engine = engine;
    sub->client = engine->client;
    wh_timer_init(&sub->retry_timer, on_retry_timer);
    wh_timer_init(&sub->refresh_timer, sub_on_refresh_timer);
    return sub;
}

enum wh_err sub_new(struct engine *engine,
                    const char *channel,
                    const struct wh_sub_options *options,
                    struct wh_sub **out_sub,
                    struct wh_error *detail)
{
    struct wh_slice name = wh_slice_from_str(channel ? channel : "");
    enum wh_err err = check_new(engine, name, detail);
    if (err)
        return err;
    struct wh_sub *sub = alloc_sub(engine, name);
    err = sub ? sub_take_options(sub, options, detail) : WH_ENOMEM;
    if (!err)
        err = wh_map_add(&engine->subs, wh_slice(sub->channel, name.len), sub);
    if (err) {
        if (detail && err == WH_ENOMEM)
            *detail = engine_error_make(err, 0, false, 0, "out of memory");
        if (sub)
            free_sub(sub);
        return err;
    }
    wh_list_push_back(&engine->subs_in_order, &sub->link);
    *out_sub = sub;
    return WH_OK;
}

/* What is left to do once for the program: its `user` may go after everything queued before. */
static void release_user(struct wh_sub *sub)
{
    if (!sub->user_event)
        return;
    engine_push(sub->engine, sub->user_event);
    sub->user_event = NULL;
}

void sub_forget(struct wh_sub *sub)
{
    struct engine *engine = sub->engine;
    if (sub->is_freed)
        return;
    sub->is_freed = true;
    bool is_known = sub->state == WH_SUB_SUBSCRIBED || sub->subscribe_id != 0;
    sub_drop_attempt(sub);
    sub->state = WH_SUB_UNSUBSCRIBED;
    sub->generation++;
    wh_map_remove(&engine->subs, wh_slice_from_str(sub->channel));
    wh_list_remove(&sub->link);
    calls_on_sub(engine, sub);
    release_user(sub);
    if (is_known)
        sub_send_unsubscribe(sub);
    sub_unref(sub);
}

void subs_close(struct engine *engine)
{
    size_t cursor = 0;
    struct wh_sub *sub;
    while ((sub = wh_map_next(&engine->subs, &cursor)) != NULL) {
        if (sub->state != WH_SUB_UNSUBSCRIBED)
            sub_end(sub, UNSUBSCRIBED_CLIENT_CLOSED, WH_SLICE_LITERAL("client closed"));
    }
    cursor = 0;
    while ((sub = wh_map_next(&engine->subs, &cursor)) != NULL)
        release_user(sub);
}

void subs_deinit(struct engine *engine)
{
    size_t cursor = 0;
    struct wh_sub *sub;
    while ((sub = wh_map_next(&engine->subs, &cursor)) != NULL) {
        sub_drop_attempt(sub);
        sub->state = WH_SUB_UNSUBSCRIBED;
        sub->is_freed = true;
    }
    cursor = 0;
    while ((sub = wh_map_next(&engine->subs, &cursor)) != NULL)
        sub_unref(sub);
    wh_map_deinit(&engine->subs);
    wh_map_deinit(&engine->sub_by_number);
    server_subs_deinit(engine);
}
