/*
 * struct wh_client: an engine with its lock, and what ties it to a runtime.
 * For the files of the shell (client.c, drive.c, deliver.c, wait.c, call.c, subscription.c, run.c);
 * the engine and the transport see shell.h only.
 *
 * Life: new → (wh_client_free | wh_client_close) `is_closing` → the serving thread gave the
 * transport back: `is_detached` → every event was delivered, user_free and `done` ran:
 * `is_finished` → the last reference is gone: memory.  A finished client is an empty shell that
 * late answers to token requests may still lock; its runtime may be gone.
 *
 * Order of locks: a client's, then its runtime's.  No callback runs under either.
 */
#ifndef WH_SDK_CLIENT_H
#define WH_SDK_CLIENT_H

#include "client-sdk/src/engine.h"
#include "client-sdk/src/service.h"
#include "client-sdk/src/shell.h"

#include <pthread.h>
#include <sys/types.h>

struct batch; /* deliver.c: events that are being handed to callbacks */

struct wh_client {
    pthread_mutex_t lock;
    _Atomic uint32_t refs;
    pid_t pid;
    struct wh_runtime *runtime; /* one reference, until the end of close or free */
    struct settings settings;
    struct engine engine;
    _Atomic int state; /* enum wh_client_state, as of the latest unlock */

    /* The serving thread's, under the lock. */
    struct transport *transport; /* NULL until the first connection */
    bool is_write_wanted;        /* the transport was told that there are frames */
    bool is_reading;             /* what the transport was told last */
    struct wh_timer timer;       /* in the runtime's wheel */
    uint64_t timer_due_ms;       /* when it fires; UINT64_MAX = it does not run */

    /* Under the runtime's lock. */
    struct wh_list io_link;    /* the serving thread shall look here */
    struct wh_list ready_link; /* events wait (THREADED, LOOP) */

    /* Delivery. */
    int event_fd;        /* DISPATCH; else −1 */
    bool is_signaled;    /* event_fd is readable */
    struct batch *batch; /* NULL = nobody delivers */

    /* Who waits, under the lock. */
    struct wh_list waiters; /* wait.c */
    size_t waiting_threads; /* what they wait for is read past the limit of events */

    /* The end. */
    pthread_cond_t changed; /* is_detached, is_finished, batch, new events while closing */
    bool is_closing;
    _Atomic bool is_muted; /* freed inside a callback: only user_free runs any more */
    bool is_detached;
    bool is_finishing;
    bool is_finished;
    bool is_awaited;   /* a thread in wh_client_free gives the references back */
    bool is_abandoned; /* freed in the child of a fork: empty, its lock is held for good */
    struct wh_list deferred_link;
    void (*done)(void *user);
    void *done_user;
};

/* WH_OK; WH_EINVAL for NULL, WH_EFORKED, WH_EWRONGTHREAD.  Before everything public. */
WH_MUST_CHECK enum wh_err client_check(const struct wh_client *client);

/* ms of CLOCK_BOOTTIME: the time of engines and runtimes. */
uint64_t shell_now_ms(void);

/* Fill `detail` (may be NULL) and give `err` back. */
WH_PRINTF(3, 4)
enum wh_err shell_fail(struct wh_error *detail, enum wh_err err, const char *format, ...);

/* ---- client.c ---- */

/* Nothing of it is delivered any more, its transport is gone: user_free, done, is_finished. On the
 * thread of callbacks, without the lock. */
void client_finish_if_due(struct wh_client *client);

/* DISPATCH, LOOP: what wh_client_free left for when the callback has returned. */
void client_free_deferred(struct wh_client *client);

/* ---- drive.c: under the lock ---- */

/* What the engine wants now: the transport on the serving thread, lists and wake-ups elsewhere. */
void client_look(struct wh_client *client);
bool client_has_delivery(const struct wh_client *client);

/* On the serving thread, without the lock: in its turn. */
void client_turn(struct wh_client *client);

/* ---- wait.c ---- */

/* WH_EWOULDDEADLOCK where waiting would keep what is waited for from happening. */
WH_MUST_CHECK enum wh_err client_may_wait(struct wh_client *client);

/* Wait for `*is_done`, which somebody sets under the lock before he signals `cond` (of
 * CLOCK_MONOTONIC).  With the lock, which is held again afterwards.  `deadline_us` of
 * wh_clock_monotonic_us; UINT64_MAX = none.  false: time is up. */
bool client_wait_for(struct wh_client *client,
                     pthread_cond_t *cond,
                     const bool *is_done,
                     uint64_t deadline_us);
/* 0, or ENOMEM as pthread_cond_init. */
int shell_cond_init(pthread_cond_t *cond);

/* Until CONNECTED, or `sub` (not NULL) is SUBSCRIBED.  Without the lock. */
WH_MUST_CHECK enum wh_err client_wait_state(struct wh_client *client,
                                            struct wh_sub *sub,
                                            uint32_t timeout_ms,
                                            struct wh_error *detail);

/* The state may have changed: end the waits that are over.  Under the lock. */
void waiters_look(struct wh_client *client);

#endif
