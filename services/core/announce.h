/*
 * What hubs know of this instance.  Its methods stand in the hash
 * wh:rpc:services, one field for each first segment; that it lives is its
 * subscription of wh:rpc:alive:<segment>, which also brings the cancels.
 *
 * Loop thread.
 */
#ifndef SERVICES_CORE_ANNOUNCE_H
#define SERVICES_CORE_ANNOUNCE_H

#include "services/core/core.h"
#include "services/core/rpc_server.h"

struct svc_announce;

/* Starts with svc->redis, which must outlive it.  Not alive before svc_announce_set_alive.
 * WH_ENOMEM; WH_EINVAL. */
WH_MUST_CHECK enum wh_err svc_announce_new(struct svc *svc,
                                           const struct svc_segments *segments,
                                           struct svc_announce **out_announce);

/* Whether calls should come here.  No change: nothing happens. */
void svc_announce_set_alive(struct svc_announce *announce, bool is_alive);

/* Every segment's subscription is confirmed. */
bool svc_announce_is_alive(const struct svc_announce *announce);

/* No subscription is left, or Redis is away, where nobody sees one. */
bool svc_announce_is_gone(const struct svc_announce *announce);

/* Let go of everything; then `closed`.  The memory stays until svc_announce_free, which comes after
 * svc->redis was closed: its last commands may be under way until then. */
void svc_announce_close(struct svc_announce *announce, void (*closed)(void *user), void *user);
void svc_announce_free(struct svc_announce *announce); /* NULL is fine */

/* The JSON that is announced for one segment; for tests. */
void svc_announce_write(const struct svc_def *def, struct wh_slice segment, struct wh_buf *out);

#endif
