#include "tests/support/sdk_step.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { FILTER_NODES_MAX = 16 };

static const char *text_at(const json_t *step, const char *key)
{
    return json_string_value(json_object_get(step, key));
}

static uint64_t number_at(const json_t *step, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(step, key));
}

static bool is_set(const json_t *step, const char *key)
{
    return json_is_true(json_object_get(step, key));
}

struct wh_sub *sdk_step_sub(struct fake_sdk *fake, const json_t *step)
{
    return sub_find(&fake->engine, wh_slice_from_str(text_at(step, "channel")));
}

/* ---- options of subscriptions ---------------------------------------------------------------- */

/* Nodes and values of a tree, in order of their parents. */
struct filter {
    struct wh_filter nodes[FILTER_NODES_MAX];
    const char *vals[FILTER_NODES_MAX];
    size_t node_count, val_count;
};

static void fill_node(struct filter *filter, struct wh_filter *node, const json_t *from)
{
    const json_t *nodes = json_object_get(from, "nodes"), *vals = json_object_get(from, "vals");
    struct wh_filter *children = filter->nodes + filter->node_count;
    *node = (struct wh_filter){.op = text_at(from, "op"),
                               .key = text_at(from, "key"),
                               .cmp = text_at(from, "cmp"),
                               .val = text_at(from, "val"),
                               .vals = filter->vals + filter->val_count,
                               .val_count = json_array_size(vals),
                               .nodes = children,
                               .node_count = json_array_size(nodes)};
    filter->node_count += node->node_count;
    assert_true(filter->node_count <= FILTER_NODES_MAX);
    assert_true(filter->val_count + node->val_count <= FILTER_NODES_MAX);
    for (size_t i = 0; i < node->val_count; i++)
        filter->vals[filter->val_count++] = json_string_value(json_array_get(vals, i));
    for (size_t i = 0; i < node->node_count; i++)
        fill_node(filter, &children[i], json_array_get(nodes, i));
}

static const struct wh_filter *filter_at(struct filter *filter, const json_t *step)
{
    const json_t *from = json_object_get(step, "filter");
    if (!from)
        return NULL;
    filter->node_count = 1;
    filter->val_count = 0;
    fill_node(filter, filter->nodes, from);
    return filter->nodes;
}

static void count_free(void *user)
{
    ((struct fake_sdk *)user)->users_freed++;
}

static enum wh_err new_sub(struct fake_sdk *fake, const json_t *step)
{
    const json_t *since = json_object_get(step, "since"), *data = json_object_get(step, "data");
    struct filter filter;
    char *text = data ? json_dumps(data, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    struct wh_position position = {number_at(since, "offset"), text_at(since, "epoch")};
    struct wh_sub_events events = {
        .size = sizeof(events),
        .get_token = is_set(step, "get_token") ? fake_sdk_sub_get_token : NULL,
        .get_state = is_set(step, "get_state") ? fake_sdk_sub_get_state : NULL,
    };
    struct wh_sub_options options = {
        .size = sizeof(options),
        .token = text_at(step, "token"),
        .data = wh_json(text),
        .positioned = is_set(step, "positioned"),
        .recoverable = is_set(step, "recoverable"),
        .join_leave = is_set(step, "join_leave"),
        .delta = is_set(step, "delta"),
        .since = since ? &position : NULL,
        .filter = filter_at(&filter, step),
        .min_resubscribe_ms = (uint32_t)number_at(step, "min_resubscribe_ms"),
        .max_resubscribe_ms = (uint32_t)number_at(step, "max_resubscribe_ms"),
        .events = &events,
        .user = fake,
        .user_free = is_set(step, "user") ? count_free : NULL,
    };
    struct wh_sub *sub = NULL;
    enum wh_err err = sub_new(&fake->engine, text_at(step, "channel"), &options, &sub, NULL);
    free(text);
    return err;
}

/* ---- verbs ----------------------------------------------------------------------------------- */

static enum wh_err do_connect(struct fake_sdk *fake, const json_t *step)
{
    (void)step;
    return engine_connect(&fake->engine);
}

static enum wh_err do_disconnect(struct fake_sdk *fake, const json_t *step)
{
    (void)step;
    engine_disconnect(&fake->engine);
    return WH_OK;
}

static enum wh_err do_reconnect_now(struct fake_sdk *fake, const json_t *step)
{
    (void)step;
    engine_reconnect_now(&fake->engine);
    return WH_OK;
}

static enum wh_err do_close(struct fake_sdk *fake, const json_t *step)
{
    (void)step;
    engine_close(&fake->engine);
    return WH_OK;
}

static enum wh_err do_set_token(struct fake_sdk *fake, const json_t *step)
{
    return engine_set_token(&fake->engine, text_at(step, "token"));
}

static enum wh_err do_batch_begin(struct fake_sdk *fake, const json_t *step)
{
    (void)step;
    engine_batch(&fake->engine, 1);
    return WH_OK;
}

static enum wh_err do_batch_end(struct fake_sdk *fake, const json_t *step)
{
    (void)step;
    engine_batch(&fake->engine, -1);
    return WH_OK;
}

static enum wh_err do_cancel(struct fake_sdk *fake, const json_t *step)
{
    struct fake_call *call = fake_sdk_find_call(fake, text_at(step, "name"));
    if (call)
        engine_cancel(&fake->engine, call->call);
    return WH_OK;
}

static enum wh_err do_pong(struct fake_sdk *fake, const json_t *step)
{
    (void)step;
    engine_pong(&fake->engine, fake->engine.connection, 1234);
    return WH_OK;
}

static enum wh_err do_too_big(struct fake_sdk *fake, const json_t *step)
{
    (void)step;
    engine_too_big(&fake->engine, fake->engine.connection);
    return WH_OK;
}

static enum wh_err do_subscribe(struct fake_sdk *fake, const json_t *step)
{
    enum wh_err err = sdk_step_sub(fake, step) ? WH_OK : new_sub(fake, step);
    return err ? err : sub_subscribe(sdk_step_sub(fake, step));
}

static enum wh_err do_unsubscribe(struct fake_sdk *fake, const json_t *step)
{
    struct wh_sub *sub = sdk_step_sub(fake, step);
    if (sub)
        sub_unsubscribe(sub, 0, "unsubscribe called");
    return WH_OK;
}

static enum wh_err do_free_sub(struct fake_sdk *fake, const json_t *step)
{
    struct wh_sub *sub = sdk_step_sub(fake, step);
    if (sub)
        sub_forget(sub);
    return WH_OK;
}

static enum wh_err do_set_sub_token(struct fake_sdk *fake, const json_t *step)
{
    struct wh_sub *sub = sdk_step_sub(fake, step);
    return sub ? sub_set_token(sub, text_at(step, "token")) : WH_ENOMEM;
}

static enum wh_err do_set_filter(struct fake_sdk *fake, const json_t *step)
{
    struct filter filter;
    struct wh_sub *sub = sdk_step_sub(fake, step);
    return sub ? sub_set_filter(sub, filter_at(&filter, step)) : WH_ENOMEM;
}

static enum wh_err do_token_ok(struct fake_sdk *fake, const json_t *step)
{
    wh_token_ok(fake_sdk_take_token_request(fake), text_at(step, "token"));
    return WH_OK;
}

static enum wh_err do_token_unauthorized(struct fake_sdk *fake, const json_t *step)
{
    (void)step;
    wh_token_unauthorized(fake_sdk_take_token_request(fake));
    return WH_OK;
}

static enum wh_err do_token_error(struct fake_sdk *fake, const json_t *step)
{
    wh_token_error(fake_sdk_take_token_request(fake), text_at(step, "text"));
    return WH_OK;
}

static enum wh_err do_state_ok(struct fake_sdk *fake, const json_t *step)
{
    struct wh_position position = {number_at(step, "offset"), text_at(step, "epoch")};
    wh_state_ok(fake_sdk_take_state_request(fake), position.epoch ? &position : NULL);
    return WH_OK;
}

static enum wh_err do_state_error(struct fake_sdk *fake, const json_t *step)
{
    wh_state_error(fake_sdk_take_state_request(fake), text_at(step, "text"));
    return WH_OK;
}

static const struct {
    const char *name;
    enum wh_err (*fn)(struct fake_sdk *fake, const json_t *step);
} verbs[] = {
    {"connect", do_connect},
    {"disconnect", do_disconnect},
    {"reconnect_now", do_reconnect_now},
    {"close", do_close},
    {"set_token", do_set_token},
    {"batch_begin", do_batch_begin},
    {"batch_end", do_batch_end},
    {"cancel", do_cancel},
    {"pong", do_pong},
    {"too_big", do_too_big},
    {"new_sub", new_sub},
    {"subscribe", do_subscribe},
    {"unsubscribe", do_unsubscribe},
    {"free_sub", do_free_sub},
    {"set_sub_token", do_set_sub_token},
    {"set_filter", do_set_filter},
    {"token_ok", do_token_ok},
    {"token_unauthorized", do_token_unauthorized},
    {"token_error", do_token_error},
    {"state_ok", do_state_ok},
    {"state_error", do_state_error},
};

bool sdk_step_do(struct fake_sdk *fake, const json_t *step, enum wh_err *out_err)
{
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(verbs[i].name, text_at(step, "do")) == 0) {
            *out_err = verbs[i].fn(fake, step);
            return true;
        }
    }
    return false;
}
