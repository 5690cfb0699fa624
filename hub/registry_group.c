/*
 * Subscribers who do not get every publication as it is.
 */
#include "hub/registry_internal.h"

#include "common/base/alloc.h"
#include "hub/node.h"

static struct group *find_group(struct channel *channel, const struct filter *filter)
{
    WH_LIST_EACH(link, &channel->groups)
    {
        struct group *group = WH_CONTAINER_OF(link, struct group, link);
        if (filter_hash(group->filter) == filter_hash(filter) &&
            filter_equal(group->filter, filter))
            return group;
    }
    return NULL;
}

enum wh_err registry_filter(struct subscription *subscription, const struct wh_filter_node *root)
{
    struct filter *filter;
    WH_ASSERT(subscription->state == SUBSCRIPTION_PENDING && subscription->group == NULL);
    enum wh_err err = filter_new(root, &filter);
    if (err)
        return err;
    struct group *group = find_group(subscription->channel, filter);
    if (group) {
        filter_free(filter);
    } else {
        group = wh_calloc(1, sizeof(*group));
        if (group == NULL) {
            filter_free(filter);
            return WH_ENOMEM;
        }
        group->filter = filter;
        wh_list_push_back(&subscription->channel->groups, &group->link);
    }
    group->members++;
    subscription->group = group;
    return WH_OK;
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
    filter_free(group->filter);
    wh_free(group);
}

bool registry_wants(const struct subscription *subscription, const struct wh_publication *pub)
{
    return subscription->group == NULL || filter_matches(subscription->group->filter, &pub->tags);
}

/* Broadcast */

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

bool group_broadcast(struct registry *registry,
                     struct channel *channel,
                     struct wh_push *push,
                     bool is_plain)
{
    bool is_large = false;
    WH_LIST_EACH(link, &channel->groups)
    {
        struct group *group = WH_CONTAINER_OF(link, struct group, link);
        group->passes = filter_matches(group->filter, &push->pub->tags);
    }
    for (int lane = 0; lane < REGISTRY_LANES; lane++)
        if (is_wanted(channel, lane))
            is_large |= broadcast_lane(registry, channel, lane, push, is_plain);
    return is_large;
}
