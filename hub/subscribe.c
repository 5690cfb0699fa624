/*
 * See the header for the way.  Every wait has one owner: the channel's list
 * while the broker links, a struct subscribe_answer while it reads or keeps
 * presence, the feed's list while this node catches up.  Ending an op takes
 * it out of whichever holds it.
 */
#include "hub/subscribe.h"

#include "common/base/alloc.h"
#include "common/protocol/copy.h"
#include "hub/delta_view.h"
#include "hub/feed.h"
#include "hub/presence.h"
#include "hub/session.h"

enum { TRIES_MAX = 5 };

/* An answer that the broker owes; `op` is NULL when nobody waits for it any more. */
struct subscribe_answer {
    struct subscribe_op *op;
};

static void set_ready(struct subscribe_op *op, enum wh_code code)
{
    op->is_ready = true;
    op->code = code;
    if (op->ready)
        op->ready(op);
}

static struct subscribe_answer *expect_answer(struct subscribe_op *op)
{
    op->answer = wh_calloc(1, sizeof(*op->answer));
    if (op->answer)
        op->answer->op = op;
    return op->answer;
}

/* The op that waited, or NULL; the answer is used up. */
static struct subscribe_op *take_answer(struct subscribe_answer *answer)
{
    struct subscribe_op *op = answer->op;
    if (op)
        op->answer = NULL;
    wh_free(answer);
    return op;
}

/* Read */

static void read_stream(struct subscribe_op *op);

static bool is_cache(const struct subscribe_op *op)
{
    return op->request.options->force_recovery_mode == RECOVERY_CACHE;
}

static bool is_recovering(const struct subscribe_op *op)
{
    return op->request.recoverable && op->request.recover;
}

static bool has_recovered(const struct subscribe_op *op, const struct broker_history *history)
{
    const struct subscribe_request *request = &op->request;
    uint64_t top = history->top.offset;
    bool is_same = wh_slice_equal(request->epoch, history->top.epoch);
    if (is_cache(op)) /* only the newest counts */
        return (history->count > 0 && history->publications[0].offset == top) ||
               (is_same && request->offset == top);
    if (request->epoch.len > 0 && !is_same)
        return false;
    if (history->count == 0)
        return top == request->offset;
    return history->publications[0].offset == request->offset + 1 &&
           history->publications[history->count - 1].offset == top &&
           history->count == top - request->offset;
}

static enum wh_err keep_publications(struct subscribe_op *op, const struct broker_history *history)
{
    size_t count = history->count;
    const struct subscribe_request *request = &op->request;
    if (is_cache(op) && count > 0 && request->offset == history->top.offset &&
        wh_slice_equal(request->epoch, history->top.epoch))
        count = 0; /* the client has it */
    struct wh_pub *copies = wh_arena_alloc_array(&op->arena, count, sizeof(*copies));
    enum wh_err err = copies ? WH_OK : WH_ENOMEM;
    for (size_t i = 0; err == WH_OK && i < count; i++)
        err = wh_copy(&wh_pub_schema, &history->publications[i], &op->arena, &copies[i]);
    op->publications = copies;
    op->publication_count = count;
    return err;
}

static void try_to_join(struct subscribe_op *op)
{
    if (op->life != feed_life(op->feed)) { /* what was kept has a hole */
        read_stream(op);
        return;
    }
    if (feed_reaches(op->feed, &op->top, op))
        set_ready(op, WH_NO_ERROR);
}

void subscribe_caught_up(struct subscribe_op *op, enum wh_err err)
{
    if (err)
        set_ready(op, WH_ERROR_INTERNAL);
    else
        try_to_join(op);
}

static void on_history(void *user, enum wh_err err, const struct broker_history *history)
{
    struct subscribe_op *op = take_answer(user);
    if (op == NULL)
        return;
    if (err == WH_OK) {
        op->top.offset = history->top.offset;
        err = wh_copy_slice(history->top.epoch, &op->arena, &op->top.epoch);
    }
    op->is_recovered = err == WH_OK && is_recovering(op) && has_recovered(op, history);
    if (op->is_recovered)
        err = keep_publications(op, history);
    if (err)
        set_ready(op, WH_ERROR_INTERNAL);
    else if (is_recovering(op) && !op->is_recovered && op->request.must_recover)
        set_ready(op, WH_ERROR_UNRECOVERABLE_POSITION);
    else
        try_to_join(op);
}

static void read_stream(struct subscribe_op *op)
{
    struct node *node = op->session->node;
    const struct subscribe_request *request = &op->request;
    struct subscribe_answer *answer = op->tries++ < TRIES_MAX ? expect_answer(op) : NULL;
    if (answer == NULL) {
        set_ready(op, WH_ERROR_INTERNAL);
        return;
    }
    struct broker_history_query query = {
        .meta_ttl_ms = channel_meta_ttl_ms(node->config, request->options),
    };
    if (is_recovering(op) && is_cache(op)) {
        query.reverse = true;
        query.limit = 1;
    } else if (is_recovering(op)) {
        query.has_since = true;
        query.since = request->offset;
        query.limit = node->config->client.recovery_max_publication_limit;
    }
    op->life = feed_life(op->feed);
    node->broker->ops->history(node->broker, request->channel, &query, on_history, answer);
}

static void start_reading(struct subscribe_op *op)
{
    if (!op->request.positioned) {
        set_ready(op, WH_NO_ERROR);
        return;
    }
    if (feed_open(&op->session->node->registry, op->subscription->channel, &op->feed)) {
        set_ready(op, WH_ERROR_INTERNAL);
        return;
    }
    feed_keep(op->feed);
    read_stream(op);
}

/* Presence */

static void on_present(void *user, enum wh_err err)
{
    struct subscribe_op *op = take_answer(user);
    if (op == NULL)
        return;
    if (err)
        set_ready(op, WH_DISCONNECT_SERVER_ERROR);
    else
        start_reading(op);
}

static uint64_t presence_ttl_ms(const struct node *node)
{
    return node->config->client.presence_update_interval_ms * 20 / 9; /* 27 s: 60 s */
}

static void add_presence(struct subscribe_op *op)
{
    struct node *node = op->session->node;
    struct subscribe_answer *answer = expect_answer(op);
    if (answer == NULL) {
        set_ready(op, WH_ERROR_INTERNAL);
        return;
    }
    struct wh_info info = session_info(op->session, op->subscription);
    op->subscription->has_presence = true;
    node->presence->ops->add(node->presence, op->request.channel, &info, presence_ttl_ms(node),
                             on_present, answer);
}

void subscription_renew_presence(struct session *session)
{
    struct node *node = session->node;
    WH_LIST_EACH(link, &session->subscriptions)
    {
        struct subscription *subscription =
            WH_CONTAINER_OF(link, struct subscription, session_link);
        if (!subscription->has_presence)
            continue;
        struct wh_info info = session_info(session, subscription);
        node->presence->ops->add(node->presence, subscription->channel->name, &info,
                                 presence_ttl_ms(node), NULL, NULL);
    }
}

/* Link */

/* A question to the broker about one channel, which may be gone when the answer comes. */
struct link_request {
    struct node *node;
    uint64_t link_id;
    struct wh_slice name;
};

static void on_linked(void *user, enum wh_err err)
{
    struct link_request *request = user;
    struct channel *channel = registry_channel(&request->node->registry, request->name);
    if (channel && channel->link_id == request->link_id) {
        struct wh_list waiting;
        struct wh_list *link;
        channel->link = err ? CHANNEL_UNLINKED : CHANNEL_LINKED;
        wh_list_init(&waiting);
        while ((link = wh_list_pop_front(&channel->waiting)) != NULL)
            wh_list_push_back(&waiting, link);
        while ((link = wh_list_pop_front(&waiting)) != NULL)
            subscribe_linked(WH_CONTAINER_OF(link, struct subscribe_op, channel_link), err);
    }
    wh_free(request);
}

static enum wh_err link_channel(struct node *node, struct channel *channel)
{
    struct link_request *request = wh_calloc(1, sizeof(*request) + channel->name.len + 1);
    if (request == NULL)
        return WH_ENOMEM;
    memcpy(request + 1, channel->name.ptr, channel->name.len);
    request->node = node;
    request->link_id = channel->link_id = ++node->registry.link_ids;
    request->name = wh_slice(request + 1, channel->name.len);
    channel->link = CHANNEL_LINKING;
    node->broker->ops->subscribe(node->broker, channel->name, on_linked, request);
    return WH_OK;
}

void subscribe_linked(struct subscribe_op *op, enum wh_err err)
{
    if (err)
        set_ready(op, WH_ERROR_INTERNAL);
    else if (op->request.presence)
        add_presence(op);
    else
        start_reading(op);
}

/* The whole way */

static enum wh_err copy_request(struct subscribe_op *op, const struct subscribe_request *request)
{
    op->request = *request;
    enum wh_err err = wh_copy_slice(request->channel, &op->arena, &op->request.channel);
    if (err == WH_OK)
        err = wh_copy_slice(request->epoch, &op->arena, &op->request.epoch);
    if (err == WH_OK)
        err = wh_copy_slice(request->data.bytes, &op->arena, &op->request.data.bytes);
    return err;
}

static enum wh_err reserve(struct subscribe_op *op, struct session *session)
{
    const struct subscribe_request *request = &op->request;
    struct subscription *subscription;
    enum wh_err err = registry_reserve(&session->node->registry, session, request->channel,
                                       request->options, &subscription);
    if (err)
        return err;
    op->subscription = subscription;
    subscription->lane = registry_lane(session->encoding, request->is_compact);
    subscription->is_positioned = request->positioned;
    subscription->is_recoverable = request->recoverable;
    subscription->is_server_side = request->is_server_side;
    subscription->gets_joins = request->gets_joins;
    subscription->announces = request->announces;
    subscription->expire_at = request->expire_at;
    err = request->tags_filter ? registry_filter(subscription, request->tags_filter) : WH_OK;
    if (err == WH_OK && request->has_deltas)
        err = registry_use_deltas(subscription);
    return err ? err : subscription_set_info(subscription, request->chan_info);
}

static enum wh_code refusal_code(enum wh_err err)
{
    switch (err) {
    case WH_EEXIST:
        return WH_ERROR_ALREADY_SUBSCRIBED;
    case WH_EFORMAT: /* the tags filter */
        return WH_ERROR_BAD_REQUEST;
    default:
        return WH_ERROR_INTERNAL;
    }
}

void subscribe_start(struct subscribe_op *op,
                     struct session *session,
                     const struct subscribe_request *request,
                     subscribe_ready *ready)
{
    struct node *node = session->node;
    op->session = session;
    op->ready = NULL; /* not before this returns */
    wh_list_init(&op->channel_link);
    wh_arena_init(&op->arena, 0);
    enum wh_err err = copy_request(op, request);
    if (err == WH_OK)
        err = reserve(op, session);
    op->request.tags_filter = NULL; /* compiled */
    if (err) {
        set_ready(op, refusal_code(err));
        return;
    }
    struct channel *channel = op->subscription->channel;
    if (channel->link == CHANNEL_LINKED) {
        subscribe_linked(op, WH_OK);
    } else {
        wh_list_push_back(&channel->waiting, &op->channel_link);
        if (channel->link == CHANNEL_UNLINKED && link_channel(node, channel)) {
            wh_list_remove(&op->channel_link);
            set_ready(op, WH_ERROR_INTERNAL);
        }
    }
    op->ready = ready;
}

/* Leave what passes the filter; how many those are. */
static size_t drop_unwanted(const struct subscription *subscription,
                            struct wh_pub *items,
                            size_t count)
{
    size_t left = 0;
    for (size_t i = 0; i < count; i++)
        if (registry_wants(subscription, &items[i]))
            items[left++] = items[i];
    return left;
}

/*
 * The first whole, each of the others as it follows.  What cannot be shown is left for the reply,
 * which cannot be shown then.
 */
static enum wh_err show_deltas(struct subscribe_op *op, struct wh_pub *items, size_t count)
{
    enum wh_encoding encoding = op->session->encoding;
    struct wh_buf texts[2] = {{0}, {0}};
    struct wh_buf shown = {0};
    enum wh_err err = WH_OK;
    for (size_t i = 0; err == WH_OK && i < count; i++) {
        struct wh_buf *text = &texts[i % 2];
        wh_buf_reset(text);
        err = delta_view_text(encoding, items[i].data, text);
        if (err == WH_OK)
            err = delta_view_show(encoding,
                                  i > 0 ? wh_buf_slice(&texts[(i - 1) % 2]) : WH_SLICE_ABSENT,
                                  wh_buf_slice(text), &shown, &items[i]);
        if (err == WH_OK) {
            items[i].data.bytes = wh_arena_copy(&op->arena, items[i].data.bytes);
            err = items[i].data.bytes.ptr ? WH_OK : WH_ENOMEM;
        }
    }
    wh_buf_deinit(&shown);
    wh_buf_deinit(&texts[0]);
    wh_buf_deinit(&texts[1]);
    return err == WH_EENCODING ? WH_OK : err;
}

/* The list of the reply: what was read, then what passed here since. */
static enum wh_err join_publications(struct subscribe_op *op, struct wh_subscribe_result *result)
{
    size_t limit = op->session->node->config->client.recovery_max_publication_limit * 2;
    size_t kept = feed_collect(op->feed, op->top.offset, NULL, 0);
    if (kept > limit)
        return WH_ELIMIT;
    size_t read = is_cache(op) && kept > 0 ? 0 : op->publication_count;
    struct wh_pub *items = wh_arena_alloc_array(&op->arena, read + kept, sizeof(*items));
    const struct wh_pub **late = wh_arena_alloc_array(&op->arena, kept, sizeof(*late));
    if (items == NULL || late == NULL)
        return WH_ENOMEM;
    feed_collect(op->feed, op->top.offset, late, kept);
    if (read > 0)
        memcpy(items, op->publications, read * sizeof(*items));
    size_t skipped = is_cache(op) && kept > 0 ? kept - 1 : 0;
    for (size_t i = skipped; i < kept; i++) {
        if (wh_copy(&wh_pub_schema, late[i], &op->arena, &items[read + i - skipped]))
            return WH_ENOMEM;
    }
    size_t count = drop_unwanted(op->subscription, items, read + kept - skipped);
    for (size_t i = 0; i < count; i++)
        items[i].epoch = WH_SLICE_ABSENT; /* the reply has it once */
    result->publications.items = items;
    result->publications.count = count;
    return op->request.has_deltas ? show_deltas(op, items, count) : WH_OK;
}

static enum wh_code fill_position(struct subscribe_op *op, struct wh_subscribe_result *result)
{
    struct broker_position here = feed_position(op->feed);
    result->positioned = true;
    result->recoverable = op->request.recoverable;
    result->offset = here.offset;
    if (wh_copy_slice(here.epoch, &op->arena, &result->epoch))
        return WH_ERROR_INTERNAL;
    result->was_recovering = is_recovering(op);
    if (!op->is_recovered)
        return WH_NO_ERROR;
    enum wh_err err = op->life == feed_life(op->feed) ? join_publications(op, result) : WH_ELIMIT;
    if (err == WH_ELIMIT) /* it missed more than a reply may hold, or than this node has kept */
        return op->request.must_recover ? WH_ERROR_UNRECOVERABLE_POSITION : WH_NO_ERROR;
    if (err)
        return WH_ERROR_INTERNAL;
    result->recovered = true;
    /* Clients advance through the publications; with none that passes a filter they are here. */
    if (!is_cache(op) && result->publications.count > 0)
        result->offset = op->request.offset;
    return WH_NO_ERROR;
}

enum wh_code subscribe_finish(struct subscribe_op *op, struct wh_subscribe_result *out_result)
{
    struct wh_subscribe_result result = {.data = op->request.data};
    enum wh_code code = op->code;
    if (code == WH_NO_ERROR && op->feed)
        code = fill_position(op, &result);
    if (code == WH_NO_ERROR && registry_activate(&op->session->node->registry, op->subscription))
        code = WH_ERROR_INTERNAL;
    if (code != WH_NO_ERROR)
        return code;
    result.delta = op->request.has_deltas;
    if (op->request.is_compact)
        result.id = (int64_t)op->subscription->channel->number;
    *out_result = result;
    return WH_NO_ERROR;
}

void subscribe_announce(struct subscribe_op *op)
{
    struct subscription *subscription = op->subscription;
    struct node *node = op->session->node;
    if (!subscription->announces)
        return;
    struct wh_info info = session_info(op->session, subscription);
    node->broker->ops->publish_join(node->broker, op->request.channel, &info, false, NULL, NULL);
}

void subscribe_end(struct subscribe_op *op)
{
    wh_list_remove(&op->channel_link);
    if (op->answer)
        op->answer->op = NULL;
    op->answer = NULL;
    if (op->feed)
        feed_keep_no_more(op->feed);
    op->feed = NULL;
    if (op->subscription && op->subscription->state == SUBSCRIPTION_PENDING)
        subscription_end(op->subscription, 0);
    op->subscription = NULL;
    op->session = NULL;
    wh_arena_deinit(&op->arena);
}

/* The other end */

enum wh_err subscription_set_info(struct subscription *subscription, struct wh_payload info)
{
    if (!wh_payload_is_present(info))
        return WH_OK;
    char *copy = wh_malloc(info.bytes.len + 1);
    if (copy == NULL)
        return WH_ENOMEM;
    memcpy(copy, info.bytes.ptr, info.bytes.len);
    wh_free(subscription->chan_info);
    subscription->chan_info = copy;
    subscription->chan_info_len = info.bytes.len;
    subscription->chan_info_kind = info.kind;
    return WH_OK;
}

void subscription_end(struct subscription *subscription, uint32_t code)
{
    struct session *session = subscription->session;
    struct node *node = session->node;
    struct channel *channel = subscription->channel;
    bool was_active = subscription->state == SUBSCRIPTION_ACTIVE;
    struct wh_info info = session_info(session, subscription);
    registry_pin(channel); /* its name is needed to the end */
    if (subscription->has_presence)
        node->presence->ops->remove(node->presence, channel->name, info.client, info.user, NULL,
                                    NULL);
    if (subscription->announces && was_active)
        node->broker->ops->publish_join(node->broker, channel->name, &info, true, NULL, NULL);
    registry_remove(&node->registry, subscription);
    if (code) {
        struct wh_unsubscribe_push push = {
            .code = code,
            .reason = wh_slice_from_str(wh_code_text(code)),
        };
        metrics_count_code(node->metrics, METRIC_UNSUBSCRIBES, code);
        session_push(session, &(struct wh_push){.channel = channel->name, .unsubscribe = &push});
    }
    registry_unpin(&node->registry, channel);
}

/* Wishes */

struct subscribe_grant subscribe_grant(const struct session *session,
                                       const struct channel_options *options,
                                       const struct wh_subscribe_request *wish)
{
    const struct channel_rules *rules = session->node->rules;
    struct channel_actor actor = {.user = session->user->id, .is_subscribed = true};
    bool has_history = options->history_size > 0 && options->history_ttl_ms > 0;
    bool sees_history = channel_may_see_history(rules, options, &actor);
    struct subscribe_grant grant = {0};
    grant.recoverable =
        has_history && (options->force_recovery ||
                        (wish->recoverable && (options->allow_recovery || sees_history)));
    grant.positioned =
        grant.recoverable ||
        (has_history && (options->force_positioning ||
                         (wish->positioned && (options->allow_positioning || sees_history))));
    grant.gets_joins = options->join_leave &&
                       (options->force_push_join_leave ||
                        (wish->join_leave && channel_may_see_presence(rules, options, &actor)));
    return grant;
}

static bool overridden(struct token_override override, bool value)
{
    return override.is_set ? override.value : value;
}

void subscribe_decide(struct subscribe_request *request,
                      const struct channel_options *options,
                      const struct subscribe_grant *grant,
                      const struct token_overrides *override)
{
    bool has_history = options->history_size > 0 && options->history_ttl_ms > 0;
    request->options = options;
    request->presence = overridden(override->presence, options->presence);
    request->announces = overridden(override->join_leave, options->join_leave);
    request->gets_joins =
        request->announces && overridden(override->force_push_join_leave, grant->gets_joins);
    request->recoverable = has_history && overridden(override->force_recovery, grant->recoverable);
    request->positioned =
        has_history &&
        (request->recoverable || overridden(override->force_positioning, grant->positioned));
}
