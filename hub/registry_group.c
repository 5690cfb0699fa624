/*
 * Subscribers who do not get every publication as it is.
 */
#include "hub/registry_internal.h"

#include "common/base/alloc.h"
#include "hub/delta_view.h"
#include "hub/node.h"

static bool is_group_of(const struct group *group,
                        enum group_kind kind,
                        const struct filter *filter)
{
    if (group->kind != kind || filter == NULL)
        return group->kind == kind;
    return filter_hash(group->filter) == filter_hash(filter) && filter_equal(group->filter, filter);
}

static struct group *find_group(const struct channel *channel,
                                enum group_kind kind,
                                const struct filter *filter)
{
    WH_LIST_EACH(link, &channel->groups)
    {
        struct group *group = WH_CONTAINER_OF(link, struct group, link);
        if (is_group_of(group, kind, filter))
            return group;
    }
    return NULL;
}

/* NULL without memory.  It has no member yet. */
static struct group *group_make(struct channel *channel, enum group_kind kind)
{
    struct group *group = wh_calloc(1, sizeof(*group));
    if (group == NULL)
        return NULL;
    group->kind = kind;
    wh_list_push_back(&channel->groups, &group->link);
    return group;
}

static struct group *find_or_make(struct channel *channel, enum group_kind kind)
{
    struct group *group = find_group(channel, kind, NULL);
    return group ? group : group_make(channel, kind);
}

static void group_enter(struct group *group, struct subscription *subscription)
{
    group->members++;
    subscription->group = group;
}

enum wh_err registry_filter(struct subscription *subscription, const struct wh_filter_node *root)
{
    struct filter *filter;
    WH_ASSERT(subscription->state == SUBSCRIPTION_PENDING && subscription->group == NULL);
    enum wh_err err = filter_new(root, &filter);
    if (err)
        return err;
    struct group *group = find_group(subscription->channel, GROUP_FILTERED, filter);
    if (group) {
        filter_free(filter);
    } else {
        group = group_make(subscription->channel, GROUP_FILTERED);
        if (group == NULL) {
            filter_free(filter);
            return WH_ENOMEM;
        }
        group->filter = filter;
    }
    group_enter(group, subscription);
    return WH_OK;
}

enum wh_err registry_use_deltas(struct subscription *subscription)
{
    WH_ASSERT(subscription->state == SUBSCRIPTION_PENDING && subscription->group == NULL);
    struct group *group = find_or_make(subscription->channel, GROUP_WHOLE);
    if (group == NULL)
        return WH_ENOMEM;
    group_enter(group, subscription);
    return WH_OK;
}

static void forget_previous(struct group *group, enum wh_encoding encoding)
{
    if (group->previous[encoding] == NULL)
        return;
    wh_buf_deinit(group->previous[encoding]);
    wh_free(group->previous[encoding]);
    group->previous[encoding] = NULL;
}

void group_leave(struct group *group)
{
    if (--group->members > 0)
        return;
    wh_list_remove(&group->link);
    for (int lane = 0; lane < REGISTRY_LANES; lane++) {
        WH_ASSERT(group->batch[lane].len == 0);
        wh_free(group->subscribers[lane].slots);
        wh_buf_deinit(&group->batch[lane]);
    }
    for (int i = 0; i < WH_ENCODING_COUNT; i++)
        forget_previous(group, (enum wh_encoding)i);
    filter_free(group->filter);
    wh_free(group);
}

bool registry_wants(const struct subscription *subscription, const struct wh_pub *pub)
{
    const struct group *group = subscription->group;
    return group == NULL || group->kind != GROUP_FILTERED ||
           filter_matches(group->filter, &pub->tags);
}

/* Filtered broadcast */

/* Batch a message that was encoded on its own: JSON wants a line feed between two. */
static enum wh_err add_message(struct wh_buf *batch, int lane, struct wh_slice message)
{
    size_t before = batch->len;
    if (before > 0 && lane_encoding(lane) == WH_ENCODING_JSON)
        wh_buf_append_char(batch, '\n');
    wh_buf_append_slice(batch, message);
    enum wh_err err = wh_buf_error(batch);
    if (err) { /* no half message: drop what did not fit, keep the rest */
        batch->err = WH_OK;
        wh_buf_truncate(batch, before);
    }
    return err;
}

/* Whether somebody of this lane gets the publication that is being broadcast. */
static bool is_wanted(const struct channel *channel, int lane)
{
    WH_LIST_EACH(link, &channel->groups)
    {
        const struct group *group = WH_CONTAINER_OF(link, struct group, link);
        if (group->passes && group->subscribers[lane].count > 0)
            return true;
    }
    return false;
}

/* Encode once, then hand it to each group; as group_broadcast. */
static bool broadcast_lane(struct registry *registry,
                           struct channel *channel,
                           int lane,
                           struct wh_push *push,
                           bool is_plain)
{
    struct wh_buf *scratch = &registry->node->scratch;
    bool is_large = false;
    wh_buf_reset(scratch);
    enum wh_err encode_err = registry_encode_push(channel, lane, push, scratch);
    WH_LIST_EACH(link, &channel->groups)
    {
        struct group *group = WH_CONTAINER_OF(link, struct group, link);
        const struct subscriber_array *array = &group->subscribers[lane];
        struct wh_buf *batch = &group->batch[lane];
        if (!group->passes || array->count == 0)
            continue;
        enum wh_err err = encode_err ? encode_err : add_message(batch, lane, wh_buf_slice(scratch));
        if (err)
            registry_not_delivered(registry, channel, lane, array, err, is_plain);
        else
            metrics_add(registry->node->metrics, METRIC_PUBLICATIONS_SENT, array->count);
        if (batch->len > 0)
            registry_schedule(registry, channel);
        is_large |= batch->len > REGISTRY_BATCH_MAX;
    }
    return is_large;
}

/* Broadcast of deltas */

static bool has_subscribers(const struct group *group, enum wh_encoding encoding)
{
    return group && (group->subscribers[registry_lane(encoding, false)].count > 0 ||
                     group->subscribers[registry_lane(encoding, true)].count > 0);
}

/* Send `text` to this group's lanes of one encoding.  Whether they have it now. */
static bool send_text(struct registry *registry,
                      struct channel *channel,
                      struct group *group,
                      enum wh_encoding encoding,
                      const struct wh_pub *pub,
                      struct wh_slice text,
                      bool is_plain)
{
    struct wh_pub shown = *pub;
    struct wh_push push = {.pub = &shown};
    struct wh_buf *previous = group->previous[encoding];
    struct wh_buf *scratch = &registry->node->scratch;
    enum wh_err show_err = delta_view_show(
        encoding, previous ? wh_buf_slice(previous) : WH_SLICE_ABSENT, text, scratch, &shown);
    bool is_sent = false;
    for (int i = 0; i < 2; i++) {
        int lane = registry_lane(encoding, i);
        const struct subscriber_array *array = &group->subscribers[lane];
        if (array->count == 0)
            continue;
        enum wh_err err = show_err;
        if (err == WH_OK)
            err = registry_encode_push(channel, lane, &push, &group->batch[lane]);
        if (err)
            registry_not_delivered(registry, channel, lane, array, err, is_plain);
        else
            metrics_add(registry->node->metrics, METRIC_PUBLICATIONS_SENT, array->count);
        is_sent |= err == WH_OK;
        if (group->batch[lane].len > 0)
            registry_schedule(registry, channel);
    }
    return is_sent;
}

/* Those of `whole` have got what those of `patched` have.  Without memory for that they stay, and
 * get whole publications as before. */
static void move_subscribers(struct group *whole, struct group *patched, enum wh_encoding encoding)
{
    whole->members++;
    for (int i = 0; i < 2; i++) {
        int lane = registry_lane(encoding, i);
        struct subscriber_array *array = &whole->subscribers[lane];
        while (array->count > 0) {
            struct subscription *subscription = array->slots[array->count - 1].subscription;
            if (subscriber_array_add(&patched->subscribers[lane], subscription))
                break;
            array->count--;
            group_leave(whole);
            group_enter(patched, subscription);
        }
    }
    group_leave(whole);
}

/* What the next patch is made from; `text` is taken over. */
static void remember(struct group *patched, enum wh_encoding encoding, struct wh_buf *text)
{
    if (patched->previous[encoding] == NULL)
        patched->previous[encoding] = wh_calloc(1, sizeof(*text));
    if (patched->previous[encoding] == NULL)
        return; /* the next comes whole */
    wh_buf_deinit(patched->previous[encoding]);
    *patched->previous[encoding] = *text;
    *text = (struct wh_buf){0};
}

/* The group of those who got the publication, NULL when nobody could be moved there. */
static struct group *advance(struct channel *channel,
                             struct group *whole,
                             enum wh_encoding encoding)
{
    registry_flush_channel(channel); /* what was batched goes to who was there */
    struct group *patched = find_or_make(channel, GROUP_PATCHED);
    if (patched == NULL)
        return NULL;
    patched->members++;
    move_subscribers(whole, patched, encoding);
    bool is_empty = patched->members == 1;
    group_leave(patched);
    return is_empty ? NULL : patched;
}

/*
 * Who cannot be shown a publication keeps what it had, and the next patch is made from that: each
 * encoding has a chain of its own.  `text` may be taken over.
 */
static void broadcast_text(struct registry *registry,
                           struct channel *channel,
                           enum wh_encoding encoding,
                           const struct wh_pub *pub,
                           struct wh_buf *text,
                           bool is_plain)
{
    struct group *whole = find_group(channel, GROUP_WHOLE, NULL);
    struct group *patched = find_group(channel, GROUP_PATCHED, NULL);
    struct wh_slice bytes = wh_buf_slice(text);
    bool is_sent = has_subscribers(patched, encoding) &&
                   send_text(registry, channel, patched, encoding, pub, bytes, is_plain);
    if (has_subscribers(whole, encoding) &&
        send_text(registry, channel, whole, encoding, pub, bytes, is_plain)) {
        is_sent = true;
        patched = advance(channel, whole, encoding);
    }
    if (is_sent && patched)
        remember(patched, encoding, text);
}

/* Nobody who gets deltas in this encoding can be given the publication. */
static void lose_text(struct registry *registry,
                      struct channel *channel,
                      enum wh_encoding encoding,
                      enum wh_err err,
                      bool is_plain)
{
    WH_LIST_EACH(link, &channel->groups)
    {
        struct group *group = WH_CONTAINER_OF(link, struct group, link);
        for (int i = 0; group->kind != GROUP_FILTERED && i < 2; i++) {
            int lane = registry_lane(encoding, i);
            const struct subscriber_array *array = &group->subscribers[lane];
            if (array->count > 0)
                registry_not_delivered(registry, channel, lane, array, err, is_plain);
        }
    }
}

/* As group_broadcast. */
static bool broadcast_deltas(struct registry *registry,
                             struct channel *channel,
                             enum wh_encoding encoding,
                             const struct wh_pub *pub,
                             bool is_plain)
{
    struct wh_buf text = {0};
    enum wh_err err = delta_view_text(encoding, pub->data, &text);
    if (err)
        lose_text(registry, channel, encoding, err, is_plain);
    else
        broadcast_text(registry, channel, encoding, pub, &text, is_plain);
    wh_buf_deinit(&text);
    const struct group *patched = find_group(channel, GROUP_PATCHED, NULL);
    return patched && (patched->batch[registry_lane(encoding, false)].len > REGISTRY_BATCH_MAX ||
                       patched->batch[registry_lane(encoding, true)].len > REGISTRY_BATCH_MAX);
}

static bool wants_deltas(const struct channel *channel, enum wh_encoding encoding)
{
    return has_subscribers(find_group(channel, GROUP_WHOLE, NULL), encoding) ||
           has_subscribers(find_group(channel, GROUP_PATCHED, NULL), encoding);
}

bool group_broadcast(struct registry *registry,
                     struct channel *channel,
                     struct wh_push *push,
                     bool is_plain)
{
    bool is_large = false;
    WH_LIST_EACH(link, &channel->groups)
    {
        struct group *group = WH_CONTAINER_OF(link, struct group, link);
        group->passes =
            group->kind == GROUP_FILTERED && filter_matches(group->filter, &push->pub->tags);
    }
    for (int lane = 0; lane < REGISTRY_LANES; lane++)
        if (is_wanted(channel, lane))
            is_large |= broadcast_lane(registry, channel, lane, push, is_plain);
    for (int i = 0; i < WH_ENCODING_COUNT; i++)
        if (wants_deltas(channel, (enum wh_encoding)i))
            is_large |=
                broadcast_deltas(registry, channel, (enum wh_encoding)i, push->pub, is_plain);
    return is_large;
}
