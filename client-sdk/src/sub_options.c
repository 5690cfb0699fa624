/*
 * Options of a subscription: checked, copied into its arenas, defaults filled
 * in.  A tags filter becomes the protocol's tree; its limits keep hostile or mistaken
 * trees of the program from recursing for ever.
 */
#include "client-sdk/src/abi.h"
#include "client-sdk/src/sub_internal.h"
#include "common/base/utf8.h"
#include "common/protocol/copy.h"

enum { RESUBSCRIBE_MIN_MS = 500, RESUBSCRIBE_MAX_MS = 20000, RESUBSCRIBE_LIMIT_MS = 1 << 30 };

static enum wh_err refuse(struct wh_error *detail, enum wh_err err, const char *text)
{
    if (detail)
        *detail = engine_error_make(err, 0, false, 0, "%s", text);
    return err;
}

/* ---- tags filter ------------------------------------------------------------------------------
 */

struct filter_copy {
    struct wh_arena *arena;
    size_t nodes;
    size_t bytes;
};

/* Room for `count` things of `size` bytes more?  Counted here and not by the arena's limit, which
 * looks like memory that ran out. */
static bool has_room(struct filter_copy *copy, size_t count, size_t size)
{
    if (count > (SUB_FILTER_BYTES_MAX - copy->bytes) / size)
        return false;
    copy->bytes += count * size;
    return true;
}

static enum wh_err copy_text(struct filter_copy *copy, const char *text, struct wh_slice *out)
{
    struct wh_slice from = wh_slice_from_str(text);
    if (from.ptr && (!has_room(copy, from.len, 1) || !wh_utf8_is_valid(from)))
        return WH_EINVAL;
    return wh_copy_slice(from, copy->arena, out);
}

static enum wh_err copy_values(struct filter_copy *copy,
                               const struct wh_filter *from,
                               struct wh_strings *to)
{
    if (from->val_count == 0)
        return WH_OK;
    if (!from->vals || !has_room(copy, from->val_count, sizeof(*to->items)))
        return WH_EINVAL;
    to->items = wh_arena_alloc_array(copy->arena, from->val_count, sizeof(*to->items));
    if (!to->items)
        return WH_ENOMEM;
    to->count = from->val_count;
    for (size_t i = 0; i < from->val_count; i++) {
        enum wh_err err = from->vals[i] ? copy_text(copy, from->vals[i], &to->items[i]) : WH_EINVAL;
        if (err)
            return err;
    }
    return WH_OK;
}

static enum wh_err copy_node(struct filter_copy *copy,
                             const struct wh_filter *from,
                             unsigned depth,
                             struct wh_filter_node *to);

static enum wh_err copy_children(struct filter_copy *copy,
                                 const struct wh_filter *from,
                                 unsigned depth,
                                 struct wh_filter_node *to)
{
    if (from->node_count == 0)
        return WH_OK;
    if (!from->nodes || from->node_count > SUB_FILTER_NODES_MAX)
        return WH_EINVAL;
    to->nodes.items = wh_arena_alloc_array(copy->arena, from->node_count, sizeof(*to->nodes.items));
    if (!to->nodes.items)
        return WH_ENOMEM;
    to->nodes.count = from->node_count;
    for (size_t i = 0; i < from->node_count; i++) {
        enum wh_err err = copy_node(copy, &from->nodes[i], depth + 1, &to->nodes.items[i]);
        if (err)
            return err;
    }
    return WH_OK;
}

/* Recursion bounded by SUB_FILTER_DEPTH_MAX. */
static enum wh_err copy_node(struct filter_copy *copy,
                             const struct wh_filter *from,
                             unsigned depth,
                             struct wh_filter_node *to)
{
    if (depth > SUB_FILTER_DEPTH_MAX || ++copy->nodes > SUB_FILTER_NODES_MAX)
        return WH_EINVAL;
    enum wh_err err = copy_text(copy, from->op, &to->op);
    if (!err)
        err = copy_text(copy, from->key, &to->key);
    if (!err)
        err = copy_text(copy, from->cmp, &to->cmp);
    if (!err)
        err = copy_text(copy, from->val, &to->val);
    if (!err)
        err = copy_values(copy, from, &to->vals);
    return err ? err : copy_children(copy, from, depth, to);
}

enum wh_err sub_set_filter(struct wh_sub *sub, const struct wh_filter *filter)
{
    if (filter && sub->wants_delta)
        return WH_EINVAL; /* patches are between publications that a filter may hide */
    struct wh_arena arena;
    wh_arena_init(&arena, 0);
    struct wh_filter_node *root = NULL;
    if (filter) {
        struct filter_copy copy = {.arena = &arena};
        root = wh_arena_alloc(&arena, sizeof(*root));
        enum wh_err err = root ? copy_node(&copy, filter, 1, root) : WH_ENOMEM;
        if (err) {
            wh_arena_deinit(&arena);
            return err;
        }
    }
    wh_arena_deinit(&sub->filter_arena);
    sub->filter_arena = arena;
    sub->filter = root;
    return WH_OK;
}

/* ---- the rest -----------------------------------------------------------------------------------
 */

enum wh_err sub_set_token(struct wh_sub *sub, const char *token)
{
    struct wh_slice text = wh_slice_from_str(token);
    if (text.ptr && !wh_utf8_is_valid(text))
        return WH_EINVAL;
    struct wh_buf copy = {0};
    wh_buf_append_slice(&copy, text);
    enum wh_err err = wh_buf_error(&copy);
    if (err) {
        wh_buf_deinit(&copy);
        return err;
    }
    wh_buf_deinit(&sub->token);
    sub->token = copy;
    return WH_OK;
}

static enum wh_err take_backoff(struct wh_sub *sub,
                                const struct wh_sub_options *options,
                                struct wh_error *detail)
{
    uint32_t min = options->min_resubscribe_ms, max = options->max_resubscribe_ms;
    if (max == 0)
        max = min > RESUBSCRIBE_MAX_MS ? min : RESUBSCRIBE_MAX_MS;
    if (min == 0)
        min = max < RESUBSCRIBE_MIN_MS ? max : RESUBSCRIBE_MIN_MS;
    if (min > max || max > RESUBSCRIBE_LIMIT_MS)
        return refuse(detail, WH_EINVAL,
                      "min_resubscribe_ms must not be above max_resubscribe_ms, and that not above "
                      "2^30");
    sub->backoff = (struct wh_backoff){.min_ms = min, .max_ms = max};
    return WH_OK;
}

static enum wh_err take_data(struct wh_sub *sub, struct wh_data data, struct wh_error *detail)
{
    struct wh_payload payload;
    enum wh_err err = payload_of_data(data, &payload);
    if (!err && data.ptr && !(data.flags & WH_DATA_TRUSTED))
        err = wh_payload_check(payload);
    if (err)
        return refuse(detail, WH_EINVAL, "data is not what its format says");
    sub->data.kind = payload.kind;
    err = wh_copy_slice(payload.bytes, &sub->arena, &sub->data.bytes);
    return err ? refuse(detail, err, wh_err_text(err)) : WH_OK;
}

static enum wh_err take_since(struct wh_sub *sub,
                              const struct wh_position *since,
                              struct wh_error *detail)
{
    struct wh_slice epoch = wh_slice_from_str(since->epoch ? since->epoch : "");
    if (epoch.len > SUB_EPOCH_BYTES_MAX || !wh_utf8_is_valid(epoch))
        return refuse(detail, WH_EINVAL, "since.epoch is longer than 127 bytes, or not UTF-8");
    sub_position_set(&sub->received, epoch, since->offset);
    sub->delivered = sub->received;
    sub->is_recoverable = true;
    return WH_OK;
}

static enum wh_err take_events(struct wh_sub *sub,
                               const struct wh_sub_events *events,
                               struct wh_error *detail)
{
    enum wh_err err = abi_copy_events(&sub->events, sizeof(sub->events), sizeof(*events), events);
    return err ? refuse(detail, err,
                        err == WH_EABI ? "events has callbacks that this library does not know"
                                       : "size of events is none")
               : WH_OK;
}

static enum wh_err take_filter(struct wh_sub *sub,
                               const struct wh_filter *filter,
                               struct wh_error *detail)
{
    if (filter && sub->wants_delta)
        return refuse(detail, WH_EINVAL, "filter and delta do not go together");
    enum wh_err err = sub_set_filter(sub, filter);
    return err ? refuse(detail, err,
                        err == WH_EINVAL ? "filter: too deep, too large, or not UTF-8"
                                         : wh_err_text(err))
               : WH_OK;
}

static enum wh_err take_known(struct wh_sub *sub,
                              const struct wh_sub_options *options,
                              struct wh_error *detail)
{
    sub->wants_positioned = options->positioned;
    sub->wants_recoverable = options->recoverable;
    sub->wants_join_leave = options->join_leave;
    sub->wants_delta = options->delta;
    sub->user = options->user;
    enum wh_err err = take_backoff(sub, options, detail);
    if (!err && options->events)
        err = take_events(sub, options->events, detail);
    if (!err)
        err = take_data(sub, options->data, detail);
    if (!err && options->since)
        err = take_since(sub, options->since, detail);
    if (!err)
        err = take_filter(sub, options->filter, detail);
    if (err)
        return err;
    err = sub_set_token(sub, options->token);
    return err ? refuse(detail, err, err == WH_EINVAL ? "token is not UTF-8" : wh_err_text(err))
               : WH_OK;
}

enum wh_err sub_take_options(struct wh_sub *sub,
                             const struct wh_sub_options *options,
                             struct wh_error *detail)
{
    struct wh_sub_options known = WH_SUB_OPTIONS_INIT;
    enum wh_err err = options ? abi_copy(&known, sizeof(known), options) : WH_OK;
    if (err)
        return refuse(detail, err,
                      err == WH_EABI ? "an option is set that this library does not know"
                                     : "size of the options is not set: use WH_SUB_OPTIONS_INIT");
    err = take_known(sub, &known, detail);
    if (err)
        return err;
    if (known.user_free) {
        sub->user_event = event_new(EVENT_FREE_USER, NULL, 0);
        if (!sub->user_event)
            return refuse(detail, WH_ENOMEM, wh_err_text(WH_ENOMEM));
        sub->user_event->u.free_user.fn = known.user_free;
        sub->user_event->u.free_user.user = known.user;
    }
    sub->must_get_state = sub->events.get_state && !known.since;
    return WH_OK;
}
