/*
 * The event loop of one process: libuv, plus what every module needs from it
 * and libuv does not have: one timing wheel, work deferred to the end of the
 * turn, and signals.  One thread.
 */
#ifndef WH_IO_LOOP_H
#define WH_IO_LOOP_H

#include "common/base/err.h"
#include "common/base/wheel.h"

#include <uv.h>

/* Run once, later in this turn (before the loop sleeps).  Embedded by its owner. */
struct wh_task {
    struct wh_list link;
    void (*fn)(struct wh_task *task);
};

struct wh_loop {
    uv_loop_t uv;
    struct wh_wheel wheel;
    uv_timer_t wheel_driver;
    uv_prepare_t before_sleep;
    struct wh_list tasks;        /* wh_loop_defer; run first, until empty */
    struct wh_list flushers;     /* wh_loop_at_turn_end; run after the tasks, every turn */
    uint64_t now_ms;             /* monotonic, of this turn */
    uint64_t turn_started_us;    /* for the loop lag metric */
    uint64_t turns;
    uint64_t lag_max_us;         /* longest turn since it was last read and zeroed by its reader */
    uint64_t busy_us;            /* time spent not sleeping, total */
};

WH_MUST_CHECK enum wh_err wh_loop_init(struct wh_loop *loop);

/* All handles of others must be closed; closes its own and the loop. */
void wh_loop_deinit(struct wh_loop *loop);

/* Until wh_loop_stop or nothing is left. */
void wh_loop_run(struct wh_loop *loop);
void wh_loop_stop(struct wh_loop *loop);

/* Timers of the wheel, in milliseconds from now. */
void wh_loop_timer_start(struct wh_loop *loop, struct wh_timer *timer, uint64_t delay_ms);
void wh_loop_timer_stop(struct wh_loop *loop, struct wh_timer *timer);

/* Run `task` before the loop sleeps next; already queued: no change.  A task may defer itself
 * again: that runs in the same turn, so it must come to an end. */
void wh_task_init(struct wh_task *task, void (*fn)(struct wh_task *task));
void wh_loop_defer(struct wh_loop *loop, struct wh_task *task);
void wh_task_cancel(struct wh_task *task);

/* Run `task` at the end of every turn, in order of registration, until cancelled. */
void wh_loop_at_turn_end(struct wh_loop *loop, struct wh_task *task);

#endif
