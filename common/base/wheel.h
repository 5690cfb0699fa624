/*
 * Hierarchical timing wheel: start and stop in O(1), no allocation, one
 * driver.  The embedder owns the memory of each timer.  The driver calls
 * wh_wheel_advance with the monotonic time; it sleeps until
 * wh_wheel_next_ms.  A timer fires once, never early, at most one tick
 * (WH_WHEEL_TICK_MS) late plus the driver's own delay.  A callback may start
 * or stop any timer, its own included, and free its own memory; it must not
 * call wh_wheel_advance.
 */
#ifndef WH_BASE_WHEEL_H
#define WH_BASE_WHEEL_H

#include "common/base/list.h"

#include <stdint.h>

enum { WH_WHEEL_TICK_MS = 16, WH_WHEEL_BITS = 6, WH_WHEEL_LEVELS = 6 };

struct wh_timer;
typedef void wh_timer_fn(struct wh_timer *timer);

struct wh_timer {
    struct wh_list link;
    uint64_t due_tick;
    wh_timer_fn *fn;
};

struct wh_wheel {
    uint64_t now_tick;
    size_t count;                       /* timers running */
    uint64_t occupied[WH_WHEEL_LEVELS]; /* a bit for each slot that holds timers */
    struct wh_list slots[WH_WHEEL_LEVELS][1 << WH_WHEEL_BITS];
};

void wh_wheel_init(struct wh_wheel *wheel, uint64_t now_ms);

void wh_timer_init(struct wh_timer *timer, wh_timer_fn *fn);

/* (Re)start: fires once, `delay_ms` after `now_ms`, in a later call of wh_wheel_advance than the
 * one that may be running now, even for a delay of 0.  Delays past the wheel's span
 * (2^36 ticks, 34 years) are clamped to it. */
void wh_timer_start(struct wh_wheel *wheel,
                    struct wh_timer *timer,
                    uint64_t now_ms,
                    uint64_t delay_ms);
void wh_timer_stop(struct wh_wheel *wheel, struct wh_timer *timer); /* harmless when not running */
bool wh_timer_is_running(const struct wh_timer *timer);

/* Fire everything due at `now_ms`. */
void wh_wheel_advance(struct wh_wheel *wheel, uint64_t now_ms);

/* Milliseconds from `now_ms` until wh_wheel_advance should be called again (it may then find
 * only cascading to do); UINT64_MAX when no timer runs. */
uint64_t wh_wheel_next_ms(const struct wh_wheel *wheel, uint64_t now_ms);

#endif
