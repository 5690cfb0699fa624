/*
 * From events to callbacks, in order, without a lock.  A batch of events is taken under one lock;
 * how far their callbacks got is told to the engine by whoever takes the lock next.
 */
#ifndef WH_SDK_DELIVER_H
#define WH_SDK_DELIVER_H

#include "client-sdk/src/client.h"

/*
 * Run the callbacks of at most `events_max` events (0 = what waits now); then, when the client is
 * at its end, finish it.  The caller holds a reference.  Returns how many events were used up; 0
 * when another thread is at it.
 */
size_t deliver(struct wh_client *client, size_t events_max);

/* Tell the engine which publications were delivered since the last time.  Under the lock. */
void deliver_report(struct wh_client *client);

/* This thread runs a callback of the library. */
bool deliver_is_inside(void);

/* Run `fn` as a callback: deliver_is_inside() is true in it. */
void deliver_plain(void (*fn)(void *user), void *user);

/* DISPATCH and LOOP, inside a callback: client_free_deferred when the outermost deliver of this
 * thread is over. */
void deliver_defer_free(struct wh_client *client);

#endif
