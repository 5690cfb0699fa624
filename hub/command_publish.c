/*
 * publish, history, presence, presence_stats: what a client asks of a channel
 * without being subscribed to it.
 */
#include "hub/command_internal.h"

#include "hub/presence.h"

enum { TYPE_STREAM = 0 };

/* publish */

static enum wh_code admit_publish(struct session *session,
                                  const struct wh_publish_request *request,
                                  const struct subscription *subscription,
                                  const struct channel_options **out_options)
{
    struct node *node = session->node;
    const struct channel_options *options;
    if (request->type != TYPE_STREAM)
        return WH_ERROR_NOT_AVAILABLE;
    enum wh_code code = channel_resolve(node->rules, request->channel, &options);
    if (code != WH_NO_ERROR)
        return code;
    if (!wh_payload_is_present(request->data) || !channel_takes_data(options, request->data))
        return WH_ERROR_BAD_REQUEST;
    struct channel_actor actor = {
        .user = session->user->id,
        .is_subscribed = subscription && subscription->state == SUBSCRIPTION_ACTIVE,
    };
    if (!channel_may_publish(node->rules, options, &actor))
        return WH_ERROR_PERMISSION_DENIED;
    *out_options = options;
    return WH_NO_ERROR;
}

static void answer_publish(struct session *session, struct pending *pending)
{
    struct wh_empty result = {0};
    if (pending->code != WH_NO_ERROR)
        session_reply_error(session, pending->id, pending->code);
    else
        session_reply(session, &(struct wh_reply){.id = pending->id, .publish = &result});
}

static void on_published(void *user, enum wh_err err, const struct broker_position *position)
{
    struct pending *pending = user;
    (void)position;
    if (err)
        wh_span_fail(pending->part, wh_slice_from_str(wh_err_text(err)));
    wh_span_end(pending->part);
    pending->part = NULL;
    if (pending_returned(pending))
        pending_done(pending, err ? WH_ERROR_INTERNAL : WH_NO_ERROR);
}

void command_publish(struct session *session, const struct wh_command *command)
{
    const struct wh_publish_request *request = command->publish;
    struct node *node = session->node;
    const struct channel_options *options;
    if (request->channel.len == 0) {
        session_close(session, WH_DISCONNECT_BAD_REQUEST);
        return;
    }
    struct subscription *subscription = registry_find(&node->registry, session, request->channel);
    enum wh_code code = admit_publish(session, request, subscription, &options);
    struct pending *pending = NULL;
    if (code == WH_NO_ERROR) {
        pending = pending_new(session, PENDING_PUBLISH, command->id, answer_publish);
        if (pending == NULL)
            code = WH_ERROR_INTERNAL;
    }
    if (code != WH_NO_ERROR) {
        command_fail_in_order(session, PENDING_PUBLISH, command->id, code);
        return;
    }
    struct wh_info info = session_info(session, subscription);
    struct wh_pub pub = {.data = request->data, .info = &info};
    struct broker_publish_options publish_options = {
        .history_size = options->history_size,
        .history_ttl_ms = options->history_ttl_ms,
        .meta_ttl_ms = channel_meta_ttl_ms(node->config, options),
    };
    pending->in_broker = true;
    pending->part = tracing_part(node, WH_SPAN_PRODUCER, WH_SLICE_LITERAL("publish"));
    wh_span_text(pending->part, "messaging.destination.name", request->channel);
    node->broker->ops->publish(node->broker, request->channel, &pub, &publish_options, on_published,
                               pending);
}

/* Questions to the broker: the answer is encoded while it is borrowed */

static enum wh_code admit_question(struct session *session,
                                   struct wh_slice channel,
                                   const struct channel_options **out_options,
                                   struct channel_actor *out_actor)
{
    struct node *node = session->node;
    const struct subscription *subscription = registry_find(&node->registry, session, channel);
    *out_actor = (struct channel_actor){
        .user = session->user->id,
        .is_subscribed = subscription && subscription->state == SUBSCRIPTION_ACTIVE,
    };
    return channel_resolve(node->rules, channel, out_options);
}

/* A question waits alone, so its answer is always next. */
static struct pending *ask(struct session *session, uint32_t id)
{
    struct pending *pending = pending_new(session, PENDING_ALONE, id, answer_publish);
    if (pending)
        pending->in_broker = true;
    return pending;
}

static void answered(struct session *session, struct pending *pending)
{
    pending_drop(pending);
    command_settle(session);
}

static void on_history(void *user, enum wh_err err, const struct broker_history *history)
{
    struct pending *pending = user;
    struct session *session = pending_returned(pending);
    if (session == NULL)
        return;
    struct wh_slice epoch = wh_slice(pending->epoch, pending->epoch_len);
    if (err) {
        session_reply_error(session, pending->id, WH_ERROR_INTERNAL);
    } else if (epoch.len > 0 && !wh_slice_equal(epoch, history->top.epoch)) {
        session_reply_error(session, pending->id, WH_ERROR_UNRECOVERABLE_POSITION);
    } else {
        struct wh_pub *items =
            wh_arena_alloc_array(&session->node->arena, history->count, sizeof(*items));
        struct wh_history_result result = {
            .epoch = history->top.epoch,
            .offset = history->top.offset,
        };
        if (items && history->count)
            memcpy(items, history->publications, history->count * sizeof(*items));
        for (size_t i = 0; items && i < history->count; i++)
            items[i].epoch = WH_SLICE_ABSENT;
        result.publications.items = items;
        result.publications.count = items ? history->count : 0;
        session_reply(session, &(struct wh_reply){.id = pending->id, .history = &result});
    }
    answered(session, pending);
}

static enum wh_code admit_history(struct session *session,
                                  const struct wh_history_request *request,
                                  const struct channel_options **out_options)
{
    struct channel_actor actor;
    enum wh_code code = admit_question(session, request->channel, out_options, &actor);
    if (code != WH_NO_ERROR)
        return code;
    if ((*out_options)->history_size == 0 || (*out_options)->history_ttl_ms == 0)
        return WH_ERROR_NOT_AVAILABLE;
    if (!channel_may_see_history(session->node->rules, *out_options, &actor))
        return WH_ERROR_PERMISSION_DENIED;
    if (request->reverse && request->since && request->since->offset == 0)
        return WH_ERROR_BAD_REQUEST;
    if (request->since && request->since->epoch.len > PENDING_EPOCH_MAX)
        return WH_ERROR_UNRECOVERABLE_POSITION; /* longer than any of ours */
    return WH_NO_ERROR;
}

void command_history(struct session *session, const struct wh_command *command)
{
    const struct wh_history_request *request = command->history;
    struct node *node = session->node;
    const struct channel_options *options;
    if (request->channel.len == 0) {
        session_close(session, WH_DISCONNECT_BAD_REQUEST);
        return;
    }
    enum wh_code code = admit_history(session, request, &options);
    struct pending *pending = code == WH_NO_ERROR ? ask(session, command->id) : NULL;
    if (pending == NULL) {
        session_reply_error(session, command->id, code != WH_NO_ERROR ? code : WH_ERROR_INTERNAL);
        return;
    }
    if (request->since && request->since->epoch.len > 0) {
        pending->epoch_len = request->since->epoch.len;
        memcpy(pending->epoch, request->since->epoch.ptr, pending->epoch_len);
    }
    uint64_t limit_max = node->config->client.history_max_publication_limit;
    bool is_all = request->limit < 0 || (uint64_t)request->limit > limit_max;
    struct broker_history_query query = {
        .has_since = request->since != NULL,
        .since = request->since ? request->since->offset : 0,
        .reverse = request->reverse,
        .limit = is_all ? limit_max : (uint64_t)request->limit,
        .meta_ttl_ms = channel_meta_ttl_ms(node->config, options),
    };
    node->broker->ops->history(node->broker, request->channel, &query, on_history, pending);
}

static void on_members(void *user, enum wh_err err, const struct presence_members *members)
{
    struct pending *pending = user;
    struct session *session = pending_returned(pending);
    if (session == NULL)
        return;
    struct wh_arena *arena = &session->node->arena;
    size_t count = err ? 0 : members->count;
    struct wh_presence_result result = {0};
    struct wh_slice *keys = wh_arena_alloc_array(arena, count, sizeof(*keys));
    struct wh_info *values = wh_arena_alloc_array(arena, count, sizeof(*values));
    for (size_t i = 0; keys && values && i < count; i++) {
        keys[i] = members->items[i].client;
        values[i] = members->items[i];
    }
    result.presence.keys = keys;
    result.presence.values = values;
    result.presence.count = count;
    if (err || keys == NULL || values == NULL)
        session_reply_error(session, pending->id, WH_ERROR_INTERNAL);
    else
        session_reply(session, &(struct wh_reply){.id = pending->id, .presence = &result});
    answered(session, pending);
}

static void on_stats(void *user, enum wh_err err, const struct presence_stats *stats)
{
    struct pending *pending = user;
    struct session *session = pending_returned(pending);
    if (session == NULL)
        return;
    if (err) {
        session_reply_error(session, pending->id, WH_ERROR_INTERNAL);
    } else {
        struct wh_presence_stats_result result = {stats->clients, stats->users};
        session_reply(session, &(struct wh_reply){.id = pending->id, .presence_stats = &result});
    }
    answered(session, pending);
}

/* A pending question about presence; NULL: answered already. */
static struct pending *ask_presence(struct session *session, uint32_t id, struct wh_slice channel)
{
    const struct channel_options *options;
    struct channel_actor actor;
    if (channel.len == 0) {
        session_close(session, WH_DISCONNECT_BAD_REQUEST);
        return NULL;
    }
    enum wh_code code = admit_question(session, channel, &options, &actor);
    if (code == WH_NO_ERROR && !options->presence)
        code = WH_ERROR_NOT_AVAILABLE;
    if (code == WH_NO_ERROR && !channel_may_see_presence(session->node->rules, options, &actor))
        code = WH_ERROR_PERMISSION_DENIED;
    struct pending *pending = code == WH_NO_ERROR ? ask(session, id) : NULL;
    if (pending == NULL)
        session_reply_error(session, id, code != WH_NO_ERROR ? code : WH_ERROR_INTERNAL);
    return pending;
}

void command_presence(struct session *session, const struct wh_command *command)
{
    struct wh_slice channel = command->presence->channel;
    struct presence *presence = session->node->presence;
    struct pending *pending = ask_presence(session, command->id, channel);
    if (pending)
        presence->ops->members(presence, channel, on_members, pending);
}

void command_presence_stats(struct session *session, const struct wh_command *command)
{
    struct wh_slice channel = command->presence_stats->channel;
    struct presence *presence = session->node->presence;
    struct pending *pending = ask_presence(session, command->id, channel);
    if (pending)
        presence->ops->stats(presence, channel, on_stats, pending);
}
