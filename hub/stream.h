/*
 * The streams of the memory broker: for each channel with history its epoch,
 * its top offset and the newest publications; for 5 minutes each idempotency
 * key; for each channel that uses them its version.
 *
 * Everything expires by a timer of its own on the loop's wheel, so no call
 * walks over channels, and memory is what is kept and no more.  Loop thread
 * only; no callbacks.
 */
#ifndef HUB_STREAM_H
#define HUB_STREAM_H

#include "common/base/arena.h"
#include "common/base/map.h"
#include "hub/broker.h"

enum { STREAM_EPOCH_LETTERS = 8, STREAM_IDEMPOTENCY_MS = 5 * 60 * 1000 };

struct stream_store {
    struct wh_loop *loop;
    struct wh_map streams;  /* channel -> struct stream */
    struct wh_map results;  /* channel and idempotency key -> struct result */
    struct wh_list by_age;  /* the results, oldest first */
    struct wh_timer expire; /* of the oldest result */
};

void stream_store_init(struct stream_store *store, struct wh_loop *loop);
void stream_store_deinit(struct stream_store *store);

/*
 * Take a publication.  True: it is to be delivered, at `*out_position` (offset 0 and no epoch when
 * nothing is kept).  False: it was known by its idempotency key or its version is old; the
 * position is that of the first one, or the top.  The epoch is borrowed until the next call or
 * turn.  `options` NULL: true.
 */
bool stream_publish(struct stream_store *store,
                    struct wh_slice channel,
                    const struct wh_pub *pub,
                    const struct broker_publish_options *options,
                    struct broker_position *out_position);

/* What `query` asks for.  The publications live in `arena` and, like the epoch, in the stream:
 * borrowed until the next call or turn. */
void stream_read(struct stream_store *store,
                 struct wh_slice channel,
                 const struct broker_history_query *query,
                 struct wh_arena *arena,
                 struct broker_history *out_history);

/* Drop the publications; epoch and offset go on. */
void stream_clear(struct stream_store *store, struct wh_slice channel);

#endif
