/*
 * The runtime: who serves the sockets and who runs the callbacks.  run.c is the one file with
 * threads.
 */
#ifndef WH_SDK_RUN_H
#define WH_SDK_RUN_H

#include "client-sdk/src/client.h"

/* `given` NULL: the shared one, made when it is not there.  A reference of the caller's.
 * WH_EFORKED, WH_EWRONGTHREAD, WH_EIO, WH_ENOMEM, WH_ELOOP. */
WH_MUST_CHECK enum wh_err runtime_acquire(struct wh_runtime *given,
                                          struct wh_runtime **out_runtime,
                                          struct wh_error *detail);
void runtime_release(struct wh_runtime *runtime);

enum wh_mode runtime_mode(const struct wh_runtime *runtime);
bool runtime_is_foreign(const struct wh_runtime *runtime); /* LOOP on a loop of the program */
struct service *runtime_service(const struct wh_runtime *runtime);

/* WH_EWRONGTHREAD on another thread than that of a LOOP. */
WH_MUST_CHECK enum wh_err runtime_check_thread(const struct wh_runtime *runtime);

/* This thread does the I/O: it may touch transports and timers. */
bool runtime_is_serving(const struct wh_runtime *runtime);

/* Let the serving thread call client_turn; let somebody call deliver.  Under the client's lock. */
void runtime_want_io(struct wh_runtime *runtime, struct wh_client *client);
void runtime_want_delivery(struct wh_runtime *runtime, struct wh_client *client);

/* DISPATCH: nothing waits; the descriptor is not readable any more.  Under the client's lock. */
void runtime_drain(struct wh_client *client);

/* Off both lists.  Under the client's lock. */
void runtime_forget(struct wh_runtime *runtime, struct wh_client *client);

/* Serving thread, under the client's lock: lock and unlock the client in `delay_ms` at the latest;
 * stop. */
void runtime_schedule(struct wh_runtime *runtime, struct wh_client *client, uint64_t delay_ms);
void runtime_unschedule(struct wh_runtime *runtime, struct wh_client *client);

/* LOOP_NONE, on its thread: one pass, callbacks included. */
void runtime_pump(struct wh_runtime *runtime, uint32_t max_wait_ms);

/* Of a client's timer: on the serving thread. */
void client_on_timer(struct wh_timer *timer);

#endif
