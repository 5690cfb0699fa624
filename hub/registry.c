/*
 * Channels and users of one node.
 *
 * Invariants:
 *  - a channel is in the map exactly while it has a subscription (reserved > 0);
 *  - an ACTIVE subscription stands at channel->subscribers[encoding].slots[slot], a PENDING one
 *    in no array;
 *  - a channel is on registry->batches exactly while one of its batch buffers is not empty;
 *  - the set of subscribers of a channel never changes while its batch is not empty: whoever
 *    joins or leaves flushes the batch first, so a publication reaches exactly those who were
 *    subscribed when it arrived.
 */
#include "hub/registry.h"

#include "common/base/alloc.h"
#include "common/base/log.h"
#include "common/protocol/codec.h"
#include "hub/command.h"
#include "hub/node.h"
#include "hub/session.h"

enum {
    BATCH_BYTES_MAX = 256 * 1024, /* per channel and encoding: then it is written at once */
    PREFETCH_SESSIONS = 8,
    PREFETCH_CONNECTIONS = 4
};

void registry_init(struct registry *registry, struct node *node)
{
    *registry = (struct registry){.node = node};
    wh_list_init(&registry->batches);
}

void registry_deinit(struct registry *registry)
{
    WH_ASSERT(registry->channels.count == 0 && registry->users.count == 0);
    wh_map_deinit(&registry->channels);
    wh_map_deinit(&registry->users);
}

/* Channels */

static struct channel *channel_new(struct wh_slice name, const struct channel_options *options)
{
    struct channel *channel = wh_calloc(1, sizeof(*channel) + name.len + 1);
    if (channel == NULL)
        return NULL;
    char *copy = (char *)(channel + 1);
    memcpy(copy, name.ptr, name.len);
    channel->name = wh_slice(copy, name.len);
    channel->options = options;
    wh_list_init(&channel->waiting);
    wh_list_init(&channel->batch_link);
    return channel;
}

static void channel_free(struct channel *channel)
{
    for (int i = 0; i < WH_ENCODING_COUNT; i++) {
        wh_free(channel->subscribers[i].slots);
        wh_buf_deinit(&channel->batch[i]);
    }
    wh_list_remove(&channel->batch_link);
    wh_free(channel);
}

struct channel *registry_channel(struct registry *registry, struct wh_slice name)
{
    return wh_map_get(&registry->channels, name);
}

static void channel_remove(struct registry *registry, struct channel *channel)
{
    WH_ASSERT(wh_list_is_empty(&channel->waiting));
    (void)wh_map_remove(&registry->channels, channel->name);
    if (channel->link != CHANNEL_UNLINKED)
        registry->node->broker->ops->unsubscribe(registry->node->broker, channel->name);
    metrics_add(registry->node->metrics, METRIC_CHANNELS, -1);
    channel_free(channel);
}

static enum wh_err channel_make(struct registry *registry,
                                struct wh_slice name,
                                const struct channel_options *options,
                                struct channel **out_channel)
{
    struct channel *channel = channel_new(name, options);
    if (channel == NULL)
        return WH_ENOMEM;
    enum wh_err err = wh_map_add(&registry->channels, channel->name, channel);
    if (err) {
        channel_free(channel);
        return err;
    }
    metrics_add(registry->node->metrics, METRIC_CHANNELS, 1);
    *out_channel = channel;
    return WH_OK;
}

/* Subscriptions */

/*
 * A session has few subscriptions (client.channel_limit), so its own list is walked rather than
 * kept in a table of its own.
 */
struct subscription *registry_find(struct registry *registry,
                                   const struct session *session,
                                   struct wh_slice name)
{
    const struct channel *channel = registry_channel(registry, name);
    if (channel == NULL)
        return NULL;
    WH_LIST_EACH(link, &session->subscriptions)
    {
        struct subscription *subscription =
            WH_CONTAINER_OF(link, struct subscription, session_link);
        if (subscription->channel == channel)
            return subscription;
    }
    return NULL;
}

enum wh_err registry_reserve(struct registry *registry,
                             struct session *session,
                             struct wh_slice name,
                             const struct channel_options *options,
                             struct subscription **out_subscription)
{
    if (registry_find(registry, session, name))
        return WH_EEXIST;
    struct subscription *subscription = wh_calloc(1, sizeof(*subscription));
    if (subscription == NULL)
        return WH_ENOMEM;
    struct channel *channel = registry_channel(registry, name);
    if (channel == NULL) {
        enum wh_err err = channel_make(registry, name, options, &channel);
        if (err) {
            wh_free(subscription);
            return err;
        }
    }
    channel->reserved++;
    subscription->session = session;
    subscription->channel = channel;
    wh_list_push_back(&session->subscriptions, &subscription->session_link);
    session->subscription_count++;
    metrics_add(registry->node->metrics, METRIC_SUBSCRIPTIONS, 1);
    *out_subscription = subscription;
    return WH_OK;
}

static void flush_channel(struct channel *channel);

enum wh_err registry_activate(struct registry *registry, struct subscription *subscription)
{
    (void)registry;
    struct channel *channel = subscription->channel;
    struct subscriber_array *array = &channel->subscribers[subscription->session->encoding];
    WH_ASSERT(subscription->state == SUBSCRIPTION_PENDING);
    flush_channel(channel);
    if (array->count == array->capacity) {
        uint32_t capacity = array->capacity ? array->capacity * 2 : 1;
        struct subscriber_slot *slots =
            wh_realloc(array->slots, (size_t)capacity * sizeof(slots[0]));
        if (slots == NULL)
            return WH_ENOMEM;
        array->slots = slots;
        array->capacity = capacity;
    }
    array->slots[array->count] =
        (struct subscriber_slot){.session = subscription->session, .subscription = subscription};
    subscription->slot = array->count++;
    subscription->state = SUBSCRIPTION_ACTIVE;
    return WH_OK;
}

/* The last one takes the place of the one that leaves; a sparse array gives memory back. */
static void deactivate(struct channel *channel, struct subscription *subscription)
{
    struct subscriber_array *array = &channel->subscribers[subscription->session->encoding];
    flush_channel(channel);
    struct subscriber_slot last = array->slots[--array->count];
    array->slots[subscription->slot] = last;
    last.subscription->slot = subscription->slot;
    if (array->capacity > 64 && array->count < array->capacity / 4) {
        struct subscriber_slot *slots =
            wh_realloc(array->slots, (size_t)(array->capacity / 2) * sizeof(slots[0]));
        if (slots) {
            array->slots = slots;
            array->capacity /= 2;
        }
    }
}

void registry_remove(struct registry *registry, struct subscription *subscription)
{
    struct channel *channel = subscription->channel;
    if (subscription->state == SUBSCRIPTION_ACTIVE)
        deactivate(channel, subscription);
    wh_list_remove(&subscription->session_link);
    subscription->session->subscription_count--;
    metrics_add(registry->node->metrics, METRIC_SUBSCRIPTIONS, -1);
    wh_free(subscription->chan_info);
    wh_free(subscription);
    if (--channel->reserved == 0)
        channel_remove(registry, channel);
}

/* Broadcast */

/* The push for one encoding, appended to the channel's batch as a ready frame. */
static enum wh_err batch_push(struct registry *registry,
                              struct channel *channel,
                              enum wh_encoding encoding,
                              const struct wh_publication *pub)
{
    struct wh_buf *scratch = &registry->node->scratch;
    struct wh_buf *batch = &channel->batch[encoding];
    struct wh_publication copy = *pub;
    struct wh_push push = {.channel = channel->name, .pub = &copy};
    wh_buf_reset(scratch);
    enum wh_err err =
        wh_encode(encoding, &wh_reply_schema, &(struct wh_reply){.push = &push}, 0, scratch);
    if (err == WH_OK)
        err = wh_buf_error(scratch);
    if (err)
        return err;
    size_t before = batch->len;
    wh_frame_write_header(batch, wh_encoding_opcode(encoding), scratch->len);
    wh_buf_append_slice(batch, wh_buf_slice(scratch));
    err = wh_buf_error(batch);
    if (err) { /* no half frame: drop what did not fit, keep what did */
        struct wh_buf whole = *batch;
        whole.err = WH_OK;
        whole.len = before;
        *batch = whole;
    }
    return err;
}

/* Nobody of this encoding can be shown this publication. */
static void skip_encoding(struct registry *registry,
                          struct channel *channel,
                          enum wh_encoding encoding,
                          bool is_plain)
{
    struct subscriber_array *array = &channel->subscribers[encoding];
    static struct wh_log_limit limit;
    wh_log_limited(&limit, WH_LOG_WARN, "registry", "publication_unrepresentable",
                   "channel=%.*s encoding=%s subscribers=%u plain=%d", WH_SLICE_ARGS(channel->name),
                   wh_encoding_name(encoding), array->count, is_plain);
    metrics_add(registry->node->metrics, METRIC_PUBLICATIONS_UNREPRESENTABLE, array->count);
    if (is_plain)
        return;
    flush_channel(channel); /* the doomed get what came before, and nothing of what follows */
    for (uint32_t i = 0; i < array->count; i++)
        session_doom(array->slots[i].session, WH_DISCONNECT_INAPPROPRIATE_PROTOCOL);
}

void registry_broadcast(struct registry *registry,
                        struct wh_slice name,
                        const struct wh_publication *pub,
                        bool is_plain)
{
    struct metrics *metrics = registry->node->metrics;
    metrics_add(metrics, is_plain ? METRIC_PUBLICATIONS_PLAIN : METRIC_PUBLICATIONS_BROKER, 1);
    struct channel *channel = registry_channel(registry, name);
    if (channel == NULL) /* the last subscriber left a moment ago */
        return;
    bool is_large = false;
    for (int i = 0; i < WH_ENCODING_COUNT; i++) {
        uint32_t count = channel->subscribers[i].count;
        if (count == 0)
            continue;
        enum wh_err err = batch_push(registry, channel, (enum wh_encoding)i, pub);
        if (err == WH_EENCODING) {
            skip_encoding(registry, channel, (enum wh_encoding)i, is_plain);
        } else if (err) {
            wh_log(WH_LOG_ERROR, "registry", "broadcast_failed", "error=%s", wh_err_name(err));
            metrics_add(metrics, METRIC_PUBLICATIONS_INVALID, count);
        } else {
            metrics_add(metrics, METRIC_PUBLICATIONS_SENT, count);
        }
        is_large |= channel->batch[i].len > BATCH_BYTES_MAX;
        if (channel->batch[i].len > 0 && wh_list_is_empty(&channel->batch_link))
            wh_list_push_back(&registry->batches, &channel->batch_link);
    }
    if (is_large)
        flush_channel(channel);
}

/*
 * Memory is what a walk over ten thousand sockets waits for: ask for the session, then for what
 * its transport touches, some places ahead.
 */
static inline void prefetch(const struct subscriber_array *array, uint32_t i)
{
    if (i + PREFETCH_SESSIONS < array->count)
        __builtin_prefetch(array->slots[i + PREFETCH_SESSIONS].session);
    if (i + PREFETCH_CONNECTIONS < array->count) {
        const struct transport *transport =
            array->slots[i + PREFETCH_CONNECTIONS].session->transport;
        __builtin_prefetch(transport);
        __builtin_prefetch(transport->hot);
    }
}

static void flush_batch(struct channel *channel, int encoding)
{
    const struct subscriber_array *array = &channel->subscribers[encoding];
    struct wh_slice wire = wh_buf_slice(&channel->batch[encoding]);
    struct wh_frame *shared = NULL;
    for (uint32_t i = 0; i < array->count; i++) {
        prefetch(array, i);
        session_deliver(array->slots[i].session, wire, &shared);
    }
    wh_frame_unref(shared);
    wh_buf_reset(&channel->batch[encoding]);
    if (channel->batch[encoding].cap > 4096) { /* thousands of channels: keep little each */
        wh_buf_deinit(&channel->batch[encoding]);
        channel->batch[encoding] = (struct wh_buf){0};
    }
}

static void flush_channel(struct channel *channel)
{
    if (wh_list_is_empty(&channel->batch_link))
        return;
    wh_list_remove(&channel->batch_link);
    for (int i = 0; i < WH_ENCODING_COUNT; i++)
        if (channel->batch[i].len > 0)
            flush_batch(channel, i);
}

void registry_flush(struct registry *registry)
{
    struct wh_list *link;
    while ((link = registry->batches.next) != &registry->batches)
        flush_channel(WH_CONTAINER_OF(link, struct channel, batch_link));
}

/* Users */

enum wh_err registry_attach_user(struct registry *registry,
                                 struct session *session,
                                 struct wh_slice id,
                                 uint64_t limit)
{
    struct user *user = wh_map_get(&registry->users, id);
    if (user && limit && id.len > 0 && user->session_count >= limit)
        return WH_ELIMIT;
    if (user == NULL) {
        user = wh_calloc(1, sizeof(*user) + id.len + 1);
        if (user == NULL)
            return WH_ENOMEM;
        if (id.len)
            memcpy(user + 1, id.ptr, id.len);
        user->id = wh_slice(user + 1, id.len);
        wh_list_init(&user->sessions);
        enum wh_err err = wh_map_add(&registry->users, user->id, user);
        if (err) {
            wh_free(user);
            return err;
        }
        metrics_add(registry->node->metrics, METRIC_USERS, 1);
    }
    user->session_count++;
    session->user = user;
    wh_list_push_back(&user->sessions, &session->user_link);
    return WH_OK;
}

void registry_detach_user(struct registry *registry, struct session *session)
{
    struct user *user = session->user;
    if (user == NULL)
        return;
    session->user = NULL;
    wh_list_remove(&session->user_link);
    if (--user->session_count > 0)
        return;
    (void)wh_map_remove(&registry->users, user->id);
    metrics_add(registry->node->metrics, METRIC_USERS, -1);
    wh_free(user);
}
