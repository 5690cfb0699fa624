/*
 * The event loop of one process: libuv, plus what every module needs from it
 * and libuv does not have: one timing wheel, work deferred to the end of the
 * turn, and a measure of how busy it is.  One thread.
 *
 * A turn is: callbacks of libuv (timers, sockets), then the deferred tasks until none is left,
 * then the flushers, then sleep.  Running wheel timers and deferred tasks keep wh_loop_run going,
 * as active handles do; the loop's own handles do not.
 *
 * The process ignores SIGPIPE from wh_loop_init on: libuv writes with write(2), and a peer that
 * went away must be an error code.
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
    struct wh_list tasks;     /* wh_loop_defer; run first, until empty */
    struct wh_list flushers;  /* wh_loop_at_turn_end; run after the tasks, every turn */
    uint64_t now_ms;          /* monotonic; of this turn's end, see wh_loop_now_ms */
    uint64_t turn_started_us; /* for the loop lag metric */
    uint64_t turns;
    uint64_t lag_max_us;   /* longest turn since it was last read and zeroed by its reader */
    uint64_t busy_us;      /* time spent not sleeping, total */
    uint64_t started_us;   /* when wh_loop_init ran */
    bool is_wheel_changed; /* the driver must be armed anew before the loop sleeps */
    bool is_stopping;
};

WH_MUST_CHECK enum wh_err wh_loop_init(struct wh_loop *loop);

/* All handles of others must be closed; closes its own and the loop. */
void wh_loop_deinit(struct wh_loop *loop);

/* Until wh_loop_stop or nothing is left. */
void wh_loop_run(struct wh_loop *loop);
void wh_loop_stop(struct wh_loop *loop);

/* Milliseconds on the monotonic clock, taken when the loop last woke up: the time to compare
 * deadlines with in any callback.  Costs nothing.  Fake clocks do not move it. */
static inline uint64_t wh_loop_now_ms(const struct wh_loop *loop)
{
    return uv_now(&loop->uv);
}

/* Timers of the wheel, in milliseconds from now. */
void wh_loop_timer_start(struct wh_loop *loop, struct wh_timer *timer, uint64_t delay_ms);
void wh_loop_timer_stop(struct wh_loop *loop, struct wh_timer *timer);

/* Run `task` before the loop sleeps next; already queued: no change.  A task may defer itself
 * again: that runs in the same turn, so it must come to an end. */
void wh_task_init(struct wh_task *task, void (*fn)(struct wh_task *task));
void wh_loop_defer(struct wh_loop *loop, struct wh_task *task);
void wh_task_cancel(struct wh_task *task);

/* Run `task` at the end of every turn, in order of registration, until cancelled (which it may do
 * itself); already registered: no change.  One registered while the flushers run still runs before
 * the loop sleeps; tasks deferred by flushers as well, and then all flushers run once more. */
void wh_loop_at_turn_end(struct wh_loop *loop, struct wh_task *task);

#endif
