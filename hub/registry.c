/*
 * Channels and users of one node.
 *
 * Invariants:
 *  - a channel is in the map exactly while it has a subscription (reserved > 0);
 *  - an ACTIVE subscription stands at subscribers[lane].slots[slot] of its group, or of the
 *    channel when it has none, a PENDING one in no array;
 *  - a channel is on registry->batches exactly while one of its batch buffers, or of its
 *    groups', is not empty;
 *  - the set of subscribers of a channel never changes while its batch is not empty: whoever
 *    joins or leaves flushes the batch first, so a publication reaches exactly those who were
 *    subscribed when it arrived.
 */
#include "hub/registry_internal.h"

#include "common/base/alloc.h"
#include "common/base/log.h"
#include "common/protocol/codec.h"
#include "hub/command.h"
#include "hub/feed.h"
#include "hub/node.h"
#include "hub/session.h"

enum { PREFETCH_SESSIONS = 8, PREFETCH_CONNECTIONS = 4 };

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
    wh_list_init(&channel->groups);
    wh_list_init(&channel->batch_link);
    return channel;
}

static void channel_free(struct channel *channel)
{
    for (int i = 0; i < REGISTRY_LANES; i++) {
        wh_free(channel->subscribers[i].slots);
        wh_buf_deinit(&channel->batch[i]);
    }
    feed_free(channel->feed);
    wh_list_remove(&channel->batch_link);
    wh_free(channel);
}

struct channel *registry_channel(struct registry *registry, struct wh_slice name)
{
    return wh_map_get(&registry->channels, name);
}

struct channel *registry_channel_numbered(struct registry *registry,
                                          struct wh_slice name,
                                          uint64_t number)
{
    struct channel *channel = registry_channel(registry, name);
    return channel && channel->number == number ? channel : NULL;
}

uint8_t registry_lane(enum wh_encoding encoding, bool is_compact)
{
    return (uint8_t)((unsigned)encoding * 2 + is_compact);
}

enum wh_encoding lane_encoding(int lane)
{
    return (enum wh_encoding)(lane / 2);
}

static void channel_remove(struct registry *registry, struct channel *channel)
{
    WH_ASSERT(wh_list_is_empty(&channel->waiting) && wh_list_is_empty(&channel->groups));
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
    channel->number = ++registry->channel_numbers;
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

enum wh_err subscriber_array_add(struct subscriber_array *array, struct subscription *subscription)
{
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
    return WH_OK;
}

/* The last one takes the place of the one that leaves; a sparse array gives memory back. */
void subscriber_array_remove(struct subscriber_array *array, struct subscription *subscription)
{
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

static struct subscriber_array *array_of(const struct subscription *subscription)
{
    return subscription->group ? &subscription->group->subscribers[subscription->lane]
                               : &subscription->channel->subscribers[subscription->lane];
}

enum wh_err registry_activate(struct registry *registry, struct subscription *subscription)
{
    (void)registry;
    struct channel *channel = subscription->channel;
    WH_ASSERT(subscription->state == SUBSCRIPTION_PENDING);
    registry_flush_channel(channel);
    enum wh_err err = subscriber_array_add(array_of(subscription), subscription);
    if (err)
        return err;
    subscription->state = SUBSCRIPTION_ACTIVE;
    channel->joins_wanted += subscription->gets_joins;
    if (subscription->is_positioned)
        feed_join(channel->feed);
    return WH_OK;
}

static void deactivate(struct channel *channel, struct subscription *subscription)
{
    registry_flush_channel(channel);
    channel->joins_wanted -= subscription->gets_joins;
    if (subscription->is_positioned)
        feed_leave(channel->feed);
    subscriber_array_remove(array_of(subscription), subscription);
}

void registry_remove(struct registry *registry, struct subscription *subscription)
{
    struct channel *channel = subscription->channel;
    if (subscription->state == SUBSCRIPTION_ACTIVE)
        deactivate(channel, subscription);
    wh_list_remove(&subscription->session_link);
    subscription->session->subscription_count--;
    metrics_add(registry->node->metrics, METRIC_SUBSCRIPTIONS, -1);
    if (subscription->group)
        group_leave(subscription->group);
    wh_free(subscription->chan_info);
    wh_free(subscription);
    registry_unpin(registry, channel);
}

static uint32_t count_of(const struct subscriber_array *arrays)
{
    uint32_t count = 0;
    for (int lane = 0; lane < REGISTRY_LANES; lane++)
        count += arrays[lane].count;
    return count;
}

uint32_t registry_count(const struct channel *channel)
{
    uint32_t count = count_of(channel->subscribers);
    WH_LIST_EACH(link, &channel->groups)
    count += count_of(WH_CONTAINER_OF(link, struct group, link)->subscribers);
    return count;
}

/* From the end: a removal moves the last one. */
static void each_of(struct subscriber_array *arrays,
                    void (*visit)(struct subscription *subscription))
{
    for (int lane = 0; lane < REGISTRY_LANES; lane++)
        for (uint32_t i = arrays[lane].count; i-- > 0;)
            visit(arrays[lane].slots[i].subscription);
}

void registry_each(struct registry *registry,
                   struct channel *channel,
                   void (*visit)(struct subscription *subscription))
{
    registry_pin(channel);
    each_of(channel->subscribers, visit);
    WH_LIST_EACH(link, &channel->groups)
    {
        struct group *group = WH_CONTAINER_OF(link, struct group, link);
        group->members++;
        each_of(group->subscribers, visit);
        group_leave(group);
    }
    registry_unpin(registry, channel);
}

void registry_pin(struct channel *channel)
{
    channel->reserved++;
}

void registry_unpin(struct registry *registry, struct channel *channel)
{
    if (--channel->reserved == 0)
        channel_remove(registry, channel);
}

/* Broadcast */

enum wh_err registry_encode_push(struct channel *channel,
                                 int lane,
                                 struct wh_push *push,
                                 struct wh_buf *out)
{
    bool is_compact = lane % 2;
    push->id = is_compact ? (int64_t)channel->number : 0;
    push->channel = is_compact ? WH_SLICE_ABSENT : channel->name;
    size_t before = out->len;
    enum wh_err err =
        wh_encode(lane_encoding(lane), &wh_reply_schema, &(struct wh_reply){.push = push}, 0, out);
    if (err == WH_OK)
        err = wh_buf_error(out);
    if (err && err != WH_EENCODING) { /* no half message: drop what did not fit, keep the rest */
        out->err = WH_OK;
        wh_buf_truncate(out, before);
    }
    return err;
}

static void doom_all(const struct subscriber_array *array, uint32_t code)
{
    for (uint32_t i = 0; i < array->count; i++)
        session_doom(array->slots[i].session, code);
}

/* Nobody of this lane can be shown this publication. */
static void skip_lane(struct registry *registry,
                      struct channel *channel,
                      int lane,
                      const struct subscriber_array *array,
                      bool is_plain)
{
    static struct wh_log_limit limit;
    wh_log_limited(&limit, WH_LOG_WARN, "registry", "publication_unrepresentable",
                   "channel=%.*s encoding=%s subscribers=%u plain=%d", WH_SLICE_ARGS(channel->name),
                   wh_encoding_name(lane_encoding(lane)), array->count, is_plain);
    metrics_add(registry->node->metrics, METRIC_PUBLICATIONS_UNREPRESENTABLE, array->count);
    if (is_plain)
        return;
    registry_flush_channel(channel); /* the doomed get what came before, and nothing after */
    doom_all(array, WH_DISCONNECT_INAPPROPRIATE_PROTOCOL);
}

void registry_not_delivered(struct registry *registry,
                            struct channel *channel,
                            int lane,
                            const struct subscriber_array *array,
                            enum wh_err err,
                            bool is_plain)
{
    if (err == WH_EENCODING) {
        skip_lane(registry, channel, lane, array, is_plain);
        return;
    }
    /* out of memory: told, not silent */
    wh_log(WH_LOG_ERROR, "registry", "broadcast_failed", "error=%s", wh_err_name(err));
    metrics_add(registry->node->metrics, METRIC_PUBLICATIONS_INVALID, array->count);
    doom_all(array, WH_DISCONNECT_SERVER_ERROR);
}

void registry_schedule(struct registry *registry, struct channel *channel)
{
    if (wh_list_is_empty(&channel->batch_link))
        wh_list_push_back(&registry->batches, &channel->batch_link);
}

static void broadcast_lane(struct registry *registry,
                           struct channel *channel,
                           int lane,
                           struct wh_push *push,
                           bool is_plain)
{
    const struct subscriber_array *array = &channel->subscribers[lane];
    enum wh_err err = registry_encode_push(channel, lane, push, &channel->batch[lane]);
    if (err)
        registry_not_delivered(registry, channel, lane, array, err, is_plain);
    else
        metrics_add(registry->node->metrics, METRIC_PUBLICATIONS_SENT, array->count);
    if (channel->batch[lane].len > 0)
        registry_schedule(registry, channel);
}

void registry_broadcast(struct registry *registry,
                        struct channel *channel,
                        const struct wh_pub *pub,
                        bool is_plain)
{
    struct wh_pub copy = *pub;
    struct wh_push push = {.pub = &copy};
    bool is_large = false;
    if (copy.offset != 1) /* clients know the epoch, but for the first of a stream */
        copy.epoch = WH_SLICE_ABSENT;
    for (int lane = 0; lane < REGISTRY_LANES; lane++) {
        if (channel->subscribers[lane].count == 0)
            continue;
        broadcast_lane(registry, channel, lane, &push, is_plain);
        is_large |= channel->batch[lane].len > REGISTRY_BATCH_MAX;
    }
    if (!wh_list_is_empty(&channel->groups))
        is_large |= group_broadcast(registry, channel, &push, is_plain);
    if (is_large)
        registry_flush_channel(channel);
}

void registry_publication(struct registry *registry,
                          struct wh_slice name,
                          const struct wh_pub *pub,
                          bool is_plain)
{
    struct metrics *metrics = registry->node->metrics;
    metrics_add(metrics, is_plain ? METRIC_PUBLICATIONS_PLAIN : METRIC_PUBLICATIONS_BROKER, 1);
    struct channel *channel = registry_channel(registry, name);
    if (channel == NULL) /* the last subscriber left a moment ago */
        return;
    if (channel->feed && pub->offset > 0)
        feed_take(channel->feed, pub);
    else
        registry_broadcast(registry, channel, pub, is_plain);
}

static void send_join(const struct subscriber_array *array, struct wh_frame *frame)
{
    for (uint32_t i = 0; i < array->count; i++)
        if (array->slots[i].subscription->gets_joins)
            session_send(array->slots[i].session, frame);
}

/* Everybody of a lane, wherever they stand, who gets joins. */
static void join_lane(struct channel *channel, int lane, struct wh_frame *frame)
{
    send_join(&channel->subscribers[lane], frame);
    WH_LIST_EACH(link, &channel->groups)
    send_join(&WH_CONTAINER_OF(link, struct group, link)->subscribers[lane], frame);
}

static bool has_lane(const struct channel *channel, int lane)
{
    bool has = channel->subscribers[lane].count > 0;
    WH_LIST_EACH(link, &channel->groups)
    has |= WH_CONTAINER_OF(link, struct group, link)->subscribers[lane].count > 0;
    return has;
}

void registry_join(struct registry *registry,
                   struct wh_slice name,
                   const struct wh_info *info,
                   bool is_leave)
{
    struct channel *channel = registry_channel(registry, name);
    if (channel == NULL || channel->joins_wanted == 0)
        return;
    struct wh_info copy = *info;
    struct wh_join join = {.info = &copy};
    struct wh_push push = {.join = is_leave ? NULL : &join, .leave = is_leave ? &join : NULL};
    registry_flush_channel(channel); /* in order with the publications before it */
    for (int lane = 0; lane < REGISTRY_LANES; lane++) {
        struct wh_frame *frame = NULL;
        struct wh_buf *scratch = &registry->node->scratch;
        wh_buf_reset(scratch);
        if (!has_lane(channel, lane) || registry_encode_push(channel, lane, &push, scratch) ||
            wh_frame_new(wh_encoding_opcode(lane_encoding(lane)), wh_buf_slice(scratch), &frame))
            continue;
        join_lane(channel, lane, frame);
        wh_frame_unref(frame);
    }
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

static void flush_batch(const struct subscriber_array *array, int lane, struct wh_buf *batch)
{
    struct wh_slice messages = wh_buf_slice(batch);
    struct wh_frame *shared = NULL;
    if (wh_frame_new(wh_encoding_opcode(lane_encoding(lane)), messages, &shared)) {
        wh_log(WH_LOG_ERROR, "registry", "broadcast_failed", "bytes=%zu", messages.len);
        doom_all(array, WH_DISCONNECT_SERVER_ERROR);
        wh_buf_reset(batch);
        return;
    }
    for (uint32_t i = 0; i < array->count; i++) {
        prefetch(array, i);
        session_deliver(array->slots[i].session, shared);
    }
    wh_frame_unref(shared);
    wh_buf_reset(batch);
    if (batch->cap > 4096) { /* thousands of channels: keep little each */
        wh_buf_deinit(batch);
        *batch = (struct wh_buf){0};
    }
}

void registry_flush_channel(struct channel *channel)
{
    if (wh_list_is_empty(&channel->batch_link))
        return;
    wh_list_remove(&channel->batch_link);
    for (int i = 0; i < REGISTRY_LANES; i++)
        if (channel->batch[i].len > 0)
            flush_batch(&channel->subscribers[i], i, &channel->batch[i]);
    WH_LIST_EACH(link, &channel->groups)
    {
        struct group *group = WH_CONTAINER_OF(link, struct group, link);
        for (int i = 0; i < REGISTRY_LANES; i++)
            if (group->batch[i].len > 0)
                flush_batch(&group->subscribers[i], i, &group->batch[i]);
    }
}

void registry_flush(struct registry *registry)
{
    struct wh_list *link;
    while ((link = registry->batches.next) != &registry->batches)
        registry_flush_channel(WH_CONTAINER_OF(link, struct channel, batch_link));
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
