/*
 * Shared by registry.c and registry_group.c; nobody else includes it.
 *
 * Most subscribers of a channel get each publication as it is: they stand in the channel's own
 * arrays.  The others stand in groups, so that everybody else pays nothing for them:
 *
 *  - who has a tags filter, in one group for each distinct filter: a publication is asked once
 *    per filter however many have it;
 *  - who gets deltas, in two.  In the first are those whose next publication comes whole, in the
 *    second those who have all got the previous one and read patches of it.  A publication moves
 *    everybody who got it from the first to the second.
 */
#ifndef HUB_REGISTRY_INTERNAL_H
#define HUB_REGISTRY_INTERNAL_H

#include "hub/filter.h"
#include "hub/registry.h"

/* Bytes of one WebSocket message: past it, it is written at once. */
enum { REGISTRY_BATCH_MAX = 64 * 1024 };

enum group_kind { GROUP_FILTERED, GROUP_WHOLE, GROUP_PATCHED };

struct group {
    struct wh_list link; /* channel->groups */
    enum group_kind kind;
    uint32_t members;      /* subscriptions, pending ones included, and who walks over it */
    struct filter *filter; /* FILTERED: what passes */
    bool passes;           /* FILTERED: the publication that is being broadcast */
    struct wh_buf *previous[WH_ENCODING_COUNT]; /* PATCHED: the text that all have; NULL = none */
    struct subscriber_array subscribers[REGISTRY_LANES];
    struct wh_buf batch[REGISTRY_LANES];
};

/* The slot of `subscription` is in this array from now on, or no longer. */
WH_MUST_CHECK enum wh_err subscriber_array_add(struct subscriber_array *array,
                                               struct subscription *subscription);
void subscriber_array_remove(struct subscriber_array *array, struct subscription *subscription);

enum wh_encoding lane_encoding(int lane);

/* Append a push as this lane's subscribers read it to the messages in `out`. */
WH_MUST_CHECK enum wh_err registry_encode_push(struct channel *channel,
                                               int lane,
                                               struct wh_push *push,
                                               struct wh_buf *out);

/* These subscribers cannot be given a publication: `err` says why, this what becomes of them. */
void registry_not_delivered(struct registry *registry,
                            struct channel *channel,
                            int lane,
                            const struct subscriber_array *array,
                            enum wh_err err,
                            bool is_plain);

/* Something is batched: it is written at the end of the turn. */
void registry_schedule(struct registry *registry, struct channel *channel);

/* Write what is batched now. */
void registry_flush_channel(struct channel *channel);

/* Broadcast to the groups.  True: so much is batched that it is to be written at once. */
bool group_broadcast(struct registry *registry,
                     struct channel *channel,
                     struct wh_push *push,
                     bool is_plain);

/* With the last member the group goes. */
void group_leave(struct group *group);

#endif
