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

bool sub_wants(const struct wh_sub *sub, const struct event *event)
{
    if (sub->is_freed)
        return false;
    bool is_stale = event->sub_generation != sub->generation;
    switch (event->kind) {
    case EVENT_PUBLICATION:
        /* The callback of this very publication may have been running when it was recovered. */
        return !is_stale &&
               !(event->position.is_set && event->u.publication.offset != 0 &&
                 sub->delivered.is_known && event->u.publication.offset <= sub->delivered.offset);
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
    if (!to->is_start && delivered->is_known && to->offset <= delivered->offset)
        return;
    if (!delivered->is_known && !to->epoch)
        return; /* forgotten meanwhile: offsets alone mean nothing */
    sub_position_set(delivered, wh_slice_from_str(to->epoch), to->offset);
}

void sub_delivered(struct wh_sub *sub, const struct event *event)
{
    const struct event_position *to = &event->position;
    if (!to->is_set)
        return;
    move_delivered(sub, to);
    if (to->is_start && to->serial == sub->start_serial)
        sub->is_start_pending = false;
    /* A callback was running while the program unsubscribed; what it saw is not recovered again. */
    if (sub->is_rewound && !sub->is_start_pending)
        sub->received = sub->delivered;
}
