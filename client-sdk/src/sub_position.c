/*
 * Places in the history of a channel.  An epoch is kept as a C string of
 * bounded length: positions never need memory, so moving one cannot fail.
 */
#include "client-sdk/src/sub_internal.h"

/* Equal to the epoch of no stream; other SDKs send it for the same purpose. */
static const char lost_epoch[] = "_";

void sub_position_set_lost(struct sub_position *position)
{
    position->is_known = true;
    position->offset = 0;
    memcpy(position->epoch, lost_epoch, sizeof(lost_epoch));
}

void sub_position_set(struct sub_position *position, struct wh_slice epoch, uint64_t offset)
{
    if (epoch.len > SUB_EPOCH_BYTES_MAX) {
        sub_position_set_lost(position);
        return;
    }
    position->is_known = true;
    position->offset = offset;
    if (epoch.ptr) {
        memcpy(position->epoch, epoch.ptr, epoch.len);
        position->epoch[epoch.len] = '\0';
    }
}

const struct sub_position *sub_stored_position(const struct wh_sub *sub)
{
    return sub->delivered.is_known ? &sub->delivered : NULL;
}

static bool was_delivered(const struct wh_sub *sub, const struct event *event)
{
    return event->position.is_set && event->position.serial == sub->delivered_serial &&
           sub->delivered.is_known && event->u.publication.offset <= sub->delivered.offset;
}

bool sub_wants(const struct wh_sub *sub, const struct event *event)
{
    if (sub->is_freed)
        return false;
    bool is_stale = event->sub_generation != sub->generation;
    switch (event->kind) {
    case EVENT_PUBLICATION:
        /* The callback of this very publication may have been running when it was recovered. */
        return !is_stale && !was_delivered(sub, event);
    case EVENT_JOIN:
    case EVENT_LEAVE:
    case EVENT_SUB_GET_TOKEN:
    case EVENT_SUB_GET_STATE:
        return !is_stale;
    default:
        return true;
    }
}

static void move_delivered(struct wh_sub *sub, const struct event_position *to)
{
    struct sub_position *delivered = &sub->delivered;
    if (to->serial != sub->delivered_serial) {
        if (sub->is_start_pending && to->serial == sub->start_serial) {
            *delivered = sub->start;
            sub->is_start_pending = false;
        } else if (to->is_start) {
            sub_position_set(delivered, wh_slice_from_str(to->epoch), to->offset);
        } else {
            return;
        }
        sub->delivered_serial = to->serial;
    }
    /* A program that began with an epoch of "" hears in the first reply which it was. */
    bool is_adopting = delivered->epoch[0] == '\0' && to->epoch && to->epoch[0] != '\0';
    if (delivered->is_known && (to->offset > delivered->offset || is_adopting))
        sub_position_set(delivered, to->is_start ? WH_SLICE_ABSENT : wh_slice_from_str(to->epoch),
                         to->offset > delivered->offset ? to->offset : delivered->offset);
}

void sub_delivered(struct wh_sub *sub, const struct event *event)
{
    if (!event->position.is_set)
        return;
    /* Unsubscribing has dropped what stood between the last publication and such a SUBSCRIBED. */
    if (event->kind == EVENT_SUBSCRIBED && !event->position.is_start &&
        event->sub_generation != sub->generation)
        return;
    move_delivered(sub, &event->position);
    /* A callback was running while the program unsubscribed; what it saw is not recovered again. */
    if (sub->is_rewound && !sub->is_start_pending)
        sub->received = sub->delivered;
}
