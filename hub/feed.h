/*
 * The feed of one channel: where its stream stands at this node, and what keeps it
 * without holes.
 *
 * All positioned subscriptions of a channel at this node share one position:
 * the last publication that was broadcast here.  A subscription joins at that
 * position and leaves with it, so a live publication costs one comparison a
 * channel, not one a subscriber.
 *
 *   next offset        broadcast
 *   old offset         dropped
 *   hole, other epoch  heal: live publications are kept back, the missing ones
 *                      are read from the broker and broadcast in order; if
 *                      they cannot be had, every positioned subscription is
 *                      told (unsubscribe 2500, or close 3010)
 *
 * The same read is made when the link to the broker came back and, against
 * losses that nobody noticed, every client.channel_position_check_delay; live
 * publications need not wait for those.
 *
 * While a subscription recovers, what is broadcast is also kept, so that its
 * reply can hold everything between what it read and where it joins.
 */
#ifndef HUB_FEED_H
#define HUB_FEED_H

#include "common/base/wheel.h"
#include "hub/broker.h"

struct registry;
struct channel;
struct feed;
struct subscribe_op;

/* The stream of `channel`, made if it has none.  WH_ENOMEM. */
WH_MUST_CHECK enum wh_err feed_open(struct registry *registry,
                                    struct channel *channel,
                                    struct feed **out_feed);
void feed_free(struct feed *feed); /* with its channel; NULL is fine */

/* A positioned subscription became active, or ends. */
void feed_join(struct feed *feed);
void feed_leave(struct feed *feed);

/* A publication with an offset came: broadcast, drop or keep it. */
void feed_take(struct feed *feed, const struct wh_pub *pub);

/* Between these, publications that pass are kept for feed_collect.  Nests. */
void feed_keep(struct feed *feed);
void feed_keep_no_more(struct feed *feed);

/* Changes whenever something was lost for those who keep: they start anew. */
uint64_t feed_life(const struct feed *feed);

/* Position at this node; offset 0 and an absent epoch while it is not known. */
struct broker_position feed_position(const struct feed *feed);

/*
 * A subscription read `top` from the broker.  True: this node has broadcast at least so far, in the
 * same epoch.  False: it has not, but will, or will learn that it cannot; `op` is put on a list
 * and subscribe_caught_up(op, WH_OK) is called then, or WH_EUNAVAILABLE if the broker is silent.
 */
bool feed_reaches(struct feed *feed, const struct broker_position *top, struct subscribe_op *op);

/* What was kept with an offset above `since`, in order: at most `max` pointers go to `out`, valid
 * until feed_keep_no_more.  The number there are. */
size_t feed_collect(const struct feed *feed, uint64_t since, const struct wh_pub **out, size_t max);

/* The link to the broker is back: look for what was missed, within FEED_RETURN_MS. */
enum { FEED_RETURN_MS = 2000 };
void feed_link_returned(struct feed *feed);

#endif
