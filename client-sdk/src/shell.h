/*
 * What stands around one engine: the lock, the runtime that drives it, the
 * transport that it drives.  client.c implements it; the public functions
 * and the transport come in through client_lock and client_unlock.
 */
#ifndef WH_SDK_SHELL_H
#define WH_SDK_SHELL_H

#include "client-sdk/src/engine.h"
#include "client-sdk/src/transport.h"

/* Lock, and tell the engine the time. */
struct engine *client_lock(struct wh_client *client);

/*
 * Look at what the engine wants now, then unlock.  On the thread that does I/O the transport is
 * driven at once; elsewhere the client is put on the runtime's list and that thread is woken.
 * Events wake whoever runs callbacks.
 */
void client_unlock(struct wh_client *client);

/* Under the lock: whether what comes is wanted now; if not, set_reading follows at the unlock. */
bool client_wants_to_read(struct wh_client *client);

/* This is a child of the process that made it: its lock may be held for ever, so client_lock must
 * not be called. */
bool client_is_forked(const struct wh_client *client);

const struct settings *client_settings(const struct wh_client *client);

/* References: the program's, one per pending piece of work on another thread.  The last frees. */
void client_ref(struct wh_client *client);
void client_unref(struct wh_client *client);

#endif
