/*
 * What the API asks of channels: publish, broadcast, history, presence.  The
 * key may do everything, so only what a channel can do decides.
 */
#include "hub/api_internal.h"

#include "common/base/base64.h"
#include "hub/presence.h"

/* publish */

static enum wh_code prepare(struct node *node,
                            const struct api_publish_request *request,
                            struct broker_publish_options *out_options)
{
    const struct channel_options *options;
    enum wh_code code = WH_ERROR_BAD_REQUEST;
    if (request->channel.len > 0)
        code = channel_resolve(node->rules, request->channel, &options);
    if (code != WH_NO_ERROR)
        return code;
    if (!wh_payload_is_present(request->data) || !channel_takes_data(options, request->data))
        return WH_ERROR_BAD_REQUEST;
    *out_options = (struct broker_publish_options){
        .history_size = request->skip_history ? 0 : options->history_size,
        .history_ttl_ms = request->skip_history ? 0 : options->history_ttl_ms,
        .meta_ttl_ms = channel_meta_ttl_ms(node->config, options),
        .idempotency_key = request->idempotency_key,
        .version = request->version,
        .version_epoch = request->version_epoch,
    };
    return WH_NO_ERROR;
}

static void publish(struct node *node,
                    const struct api_publish_request *request,
                    const struct broker_publish_options *options,
                    broker_published *done,
                    void *user)
{
    struct wh_pub pub = {.data = request->data, .tags = request->tags};
    node->broker->ops->publish(node->broker, request->channel, &pub, options, done, user);
}

static void on_published(void *user, enum wh_err err, const struct broker_position *position)
{
    struct api_call *call = user;
    if (err)
        api_finish(call, WH_ERROR_INTERNAL);
    else
        api_succeed(call, &(struct api_position){position->offset, position->epoch});
}

void api_publish(struct api_call *call)
{
    struct api_publish_request *request = call->request;
    struct broker_publish_options options;
    enum wh_code code = api_choose_payload(&call->arena, request->b64data, &request->data);
    if (code == WH_NO_ERROR)
        code = prepare(call->node, request, &options);
    if (code != WH_NO_ERROR)
        api_finish(call, code);
    else
        publish(call->node, request, &options, on_published, call);
}

/* broadcast */

struct broadcast;

struct broadcast_item {
    struct broadcast *broadcast;
    struct api_position position;
    struct api_error error;
};

struct broadcast {
    struct api_pump pump;
    struct api_call *call;
    struct api_publish_request publish; /* its channel changes */
    struct broadcast_item *items;
    struct api_publish_response *responses;
};

static void on_one_published(void *user, enum wh_err err, const struct broker_position *position)
{
    struct broadcast_item *item = user;
    struct broadcast *broadcast = item->broadcast;
    struct api_publish_response *response = &broadcast->responses[item - broadcast->items];
    struct wh_slice epoch = WH_SLICE_ABSENT;
    if (err == WH_OK && position->epoch.ptr)
        epoch = wh_arena_copy(&broadcast->call->arena, position->epoch);
    if (err) {
        item->error.code = WH_ERROR_INTERNAL;
        response->error = &item->error;
    } else {
        item->position = (struct api_position){position->offset, epoch};
        response->result = &item->position;
    }
    api_pump_one_done(&broadcast->pump);
}

static void start_one(struct api_pump *pump, size_t index)
{
    struct broadcast *broadcast = WH_CONTAINER_OF(pump, struct broadcast, pump);
    const struct api_broadcast_request *request = broadcast->call->request;
    struct broadcast_item *item = &broadcast->items[index];
    struct broker_publish_options options;
    item->broadcast = broadcast;
    broadcast->publish.channel = request->channels.items[index];
    enum wh_code code = prepare(broadcast->call->node, &broadcast->publish, &options);
    if (code == WH_NO_ERROR) {
        publish(broadcast->call->node, &broadcast->publish, &options, on_one_published, item);
        return;
    }
    item->error.code = code;
    broadcast->responses[index].error = &item->error;
    api_pump_one_done(pump);
}

static void end_broadcast(struct api_pump *pump)
{
    struct broadcast *broadcast = WH_CONTAINER_OF(pump, struct broadcast, pump);
    struct api_broadcast_result result;
    for (size_t i = 0; i < pump->count; i++)
        broadcast->items[i].error.message =
            wh_slice_from_str(wh_code_text(broadcast->items[i].error.code));
    result.responses.items = broadcast->responses;
    result.responses.count = pump->count;
    api_succeed(broadcast->call, &result);
}

void api_broadcast(struct api_call *call)
{
    struct api_broadcast_request *request = call->request;
    size_t count = request->channels.count;
    struct broadcast *broadcast = wh_arena_alloc(&call->arena, sizeof(*broadcast));
    enum wh_code code = api_choose_payload(&call->arena, request->b64data, &request->data);
    if (count > API_COMMANDS_MAX || !wh_payload_is_present(request->data))
        code = WH_ERROR_BAD_REQUEST;
    if (broadcast && code == WH_NO_ERROR) {
        broadcast->items = wh_arena_alloc_array(&call->arena, count, sizeof(*broadcast->items));
        broadcast->responses =
            wh_arena_alloc_array(&call->arena, count, sizeof(*broadcast->responses));
    }
    if (code == WH_NO_ERROR && (!broadcast || !broadcast->items || !broadcast->responses))
        code = WH_ERROR_INTERNAL;
    if (code != WH_NO_ERROR) {
        api_finish(call, code);
        return;
    }
    broadcast->call = call;
    broadcast->publish = (struct api_publish_request){
        .data = request->data,
        .skip_history = request->skip_history,
        .tags = request->tags,
        .idempotency_key = request->idempotency_key,
        .version = request->version,
        .version_epoch = request->version_epoch,
    };
    broadcast->pump = (struct api_pump){
        .count = count, .window = API_IN_FLIGHT_MAX, .start = start_one, .end = end_broadcast};
    api_pump_run(&broadcast->pump);
}

/* Payloads in JSON: as JSON where they can be shown, else absent */

static struct wh_payload as_json(struct wh_arena *arena, struct wh_payload payload)
{
    struct wh_buf text = {0};
    struct wh_payload shown = {.kind = WH_PAYLOAD_JSON};
    if (wh_payload_is_present(payload) &&
        wh_payload_encode(payload, WH_ENCODING_JSON, &text) == WH_OK &&
        wh_buf_error(&text) == WH_OK)
        shown.bytes = wh_arena_copy(arena, wh_buf_slice(&text));
    wh_buf_deinit(&text);
    return shown;
}

static struct api_client_info show_info(struct wh_arena *arena, const struct wh_info *info)
{
    return (struct api_client_info){
        .user = info->user,
        .client = info->client,
        .conn_info = as_json(arena, info->conn_info),
        .chan_info = as_json(arena, info->chan_info),
    };
}

static enum wh_err show_publication(struct wh_arena *arena,
                                    const struct wh_pub *pub,
                                    struct api_publication *out)
{
    struct wh_buf text = {0};
    *out = (struct api_publication){
        .data = as_json(arena, pub->data), .offset = pub->offset, .tags = pub->tags};
    if (!wh_payload_is_present(out->data)) {
        wh_base64_encode(WH_BASE64_STANDARD, pub->data.bytes, &text);
        out->b64data = wh_arena_copy(arena, wh_buf_slice(&text));
        wh_buf_deinit(&text);
    }
    if (pub->info) {
        out->info = wh_arena_alloc(arena, sizeof(*out->info));
        if (out->info)
            *out->info = show_info(arena, pub->info);
    }
    return pub->info && out->info == NULL ? WH_ENOMEM : WH_OK;
}

/* history */

static void on_history(void *user, enum wh_err err, const struct broker_history *history)
{
    struct api_call *call = user;
    const struct api_history_request *request = call->request;
    struct api_history_result result = {0};
    if (err) {
        api_finish(call, WH_ERROR_INTERNAL);
        return;
    }
    if (request->since && request->since->epoch.len > 0 &&
        !wh_slice_equal(request->since->epoch, history->top.epoch)) {
        api_finish(call, WH_ERROR_UNRECOVERABLE_POSITION);
        return;
    }
    struct api_publication *items =
        wh_arena_alloc_array(&call->arena, history->count, sizeof(*items));
    err = items ? WH_OK : WH_ENOMEM;
    for (size_t i = 0; err == WH_OK && i < history->count; i++)
        err = show_publication(&call->arena, &history->publications[i], &items[i]);
    if (err) {
        api_finish(call, WH_ERROR_INTERNAL);
        return;
    }
    result.publications.items = items;
    result.publications.count = history->count;
    result.epoch = history->top.epoch.ptr ? history->top.epoch : WH_SLICE_LITERAL("");
    result.offset = history->top.offset;
    api_succeed(call, &result);
}

/* The options of the call's channel, which keeps history. */
static enum wh_code resolve_history(struct api_call *call,
                                    struct wh_slice channel,
                                    const struct channel_options **out_options)
{
    enum wh_code code = channel_resolve(call->node->rules, channel, out_options);
    if (code != WH_NO_ERROR)
        return code;
    bool has_history = (*out_options)->history_size > 0 && (*out_options)->history_ttl_ms > 0;
    return has_history ? WH_NO_ERROR : WH_ERROR_NOT_AVAILABLE;
}

void api_history(struct api_call *call)
{
    const struct api_history_request *request = call->request;
    struct broker *broker = call->node->broker;
    const struct channel_options *options;
    enum wh_code code = resolve_history(call, request->channel, &options);
    if (code == WH_NO_ERROR && request->reverse && request->since && request->since->offset == 0)
        code = WH_ERROR_BAD_REQUEST;
    if (code != WH_NO_ERROR) {
        api_finish(call, code);
        return;
    }
    bool is_all = request->limit < 0 || (uint64_t)request->limit > options->history_size;
    struct broker_history_query query = {
        .has_since = request->since != NULL,
        .since = request->since ? request->since->offset : 0,
        .reverse = request->reverse,
        .limit = is_all ? options->history_size : (uint64_t)request->limit,
        .meta_ttl_ms = channel_meta_ttl_ms(call->node->config, options),
    };
    broker->ops->history(broker, request->channel, &query, on_history, call);
}

static void on_removed(void *user, enum wh_err err)
{
    api_finish(user, err ? WH_ERROR_INTERNAL : WH_NO_ERROR);
}

void api_history_remove(struct api_call *call)
{
    const struct api_channel_request *request = call->request;
    struct broker *broker = call->node->broker;
    const struct channel_options *options;
    enum wh_code code = resolve_history(call, request->channel, &options);
    if (code != WH_NO_ERROR)
        api_finish(call, code);
    else
        broker->ops->history_remove(broker, request->channel, on_removed, call);
}

/* presence */

static enum wh_code resolve_presence(struct api_call *call, struct wh_slice channel)
{
    const struct channel_options *options;
    enum wh_code code = channel_resolve(call->node->rules, channel, &options);
    if (code != WH_NO_ERROR)
        return code;
    return options->presence ? WH_NO_ERROR : WH_ERROR_NOT_AVAILABLE;
}

static void on_members(void *user, enum wh_err err, const struct presence_members *members)
{
    struct api_call *call = user;
    struct api_presence_result result = {0};
    if (err) {
        api_finish(call, WH_ERROR_INTERNAL);
        return;
    }
    struct wh_slice *keys = wh_arena_alloc_array(&call->arena, members->count, sizeof(*keys));
    struct api_client_info *values =
        wh_arena_alloc_array(&call->arena, members->count, sizeof(*values));
    if (keys == NULL || values == NULL) {
        api_finish(call, WH_ERROR_INTERNAL);
        return;
    }
    for (size_t i = 0; i < members->count; i++) {
        keys[i] = members->items[i].client;
        values[i] = show_info(&call->arena, &members->items[i]);
    }
    result.presence.keys = keys;
    result.presence.values = values;
    result.presence.count = members->count;
    api_succeed(call, &result);
}

void api_presence(struct api_call *call)
{
    const struct api_channel_request *request = call->request;
    struct presence *presence = call->node->presence;
    enum wh_code code = resolve_presence(call, request->channel);
    if (code != WH_NO_ERROR)
        api_finish(call, code);
    else
        presence->ops->members(presence, request->channel, on_members, call);
}

static void on_stats(void *user, enum wh_err err, const struct presence_stats *stats)
{
    struct api_call *call = user;
    if (err)
        api_finish(call, WH_ERROR_INTERNAL);
    else
        api_succeed(call, &(struct api_presence_stats_result){stats->clients, stats->users});
}

void api_presence_stats(struct api_call *call)
{
    const struct api_channel_request *request = call->request;
    struct presence *presence = call->node->presence;
    enum wh_code code = resolve_presence(call, request->channel);
    if (code != WH_NO_ERROR)
        api_finish(call, code);
    else
        presence->ops->stats(presence, request->channel, on_stats, call);
}
