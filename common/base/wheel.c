/*
 * Six levels of 64 slots.  A timer lies on the level of the highest group of
 * six bits in which its due tick and `now_tick` differ, in the slot of that
 * group's value.  So everything on one level is due before everything on the
 * next, and within a level slots are due in order from the present one on:
 * the next thing to happen is one bit scan away, however far it is.
 *
 * Invariants: the groups above a timer's level are equal in both ticks (on
 * the top level, which wraps, its slot is 1 to 64 ahead of now); no slot that
 * began at or before `now_tick` holds a timer between two calls; a bit in
 * `occupied` is set exactly when its slot is not empty.
 *
 * When time enters a slot above level 0, its timers are sorted into the
 * levels below (cascading): at most five times in a timer's life.
 */
#include "common/base/wheel.h"

#include "common/base/err.h"

enum { SLOTS = 1 << WH_WHEEL_BITS, TOP = WH_WHEEL_LEVELS - 1 };

static const uint64_t span_ticks = UINT64_C(1) << (WH_WHEEL_BITS * WH_WHEEL_LEVELS);

struct event {
    uint64_t tick;
    unsigned level;
    unsigned slot;
};

static unsigned level_shift(unsigned level)
{
    return level * WH_WHEEL_BITS;
}

void wh_wheel_init(struct wh_wheel *wheel, uint64_t now_ms)
{
    *wheel = (struct wh_wheel){.now_tick = now_ms / WH_WHEEL_TICK_MS};
    for (size_t level = 0; level < WH_WHEEL_LEVELS; level++) {
        for (size_t slot = 0; slot < SLOTS; slot++)
            wh_list_init(&wheel->slots[level][slot]);
    }
}

void wh_timer_init(struct wh_timer *timer, wh_timer_fn *fn)
{
    *timer = (struct wh_timer){.fn = fn};
    wh_list_init(&timer->link);
}

static void place(struct wh_wheel *wheel, struct wh_timer *timer)
{
    /* The lowest group is or-ed in so that equal ticks, too, have a highest bit: on level 0. */
    uint64_t differing = (timer->due_tick ^ wheel->now_tick) | (SLOTS - 1);
    unsigned level = (63 - (unsigned)__builtin_clzll(differing)) / WH_WHEEL_BITS;
    if (level > TOP)
        level = TOP;
    unsigned slot = (unsigned)(timer->due_tick >> level_shift(level)) % SLOTS;
    wh_list_push_back(&wheel->slots[level][slot], &timer->link);
    wheel->occupied[level] |= UINT64_C(1) << slot;
}

/* Take it out of its slot, and the slot's bit with it when it was the last one there. */
static void unplace(struct wh_wheel *wheel, struct wh_timer *timer)
{
    struct wh_list *neighbour = timer->link.next;
    bool alone = neighbour == timer->link.prev;
    wh_list_remove(&timer->link);
    if (!alone)
        return;
    size_t index = (size_t)(neighbour - &wheel->slots[0][0]);
    wheel->occupied[index / SLOTS] &= ~(UINT64_C(1) << index % SLOTS);
}

/* The first tick that begins at or after now + delay; it saturates instead of wrapping. */
static uint64_t due_tick(uint64_t now_ms, uint64_t delay_ms)
{
    uint64_t due_ms = delay_ms > UINT64_MAX - now_ms ? UINT64_MAX : now_ms + delay_ms;
    return due_ms / WH_WHEEL_TICK_MS + (due_ms % WH_WHEEL_TICK_MS != 0);
}

void wh_timer_start(struct wh_wheel *wheel,
                    struct wh_timer *timer,
                    uint64_t now_ms,
                    uint64_t delay_ms)
{
    wh_timer_stop(wheel, timer);
    uint64_t due = due_tick(now_ms, delay_ms);
    /* Never into the present tick: a callback that starts its own timer with no delay would
     * otherwise hold wh_wheel_advance forever. */
    if (due <= wheel->now_tick)
        due = wheel->now_tick + 1;
    if (due - wheel->now_tick > span_ticks)
        due = wheel->now_tick + span_ticks;
    timer->due_tick = due;
    place(wheel, timer);
    wheel->count++;
}

void wh_timer_stop(struct wh_wheel *wheel, struct wh_timer *timer)
{
    if (!wh_timer_is_running(timer))
        return;
    unplace(wheel, timer);
    wheel->count--;
}

bool wh_timer_is_running(const struct wh_timer *timer)
{
    /* NULL: zeroed memory that was never initialised is not running either. */
    return timer->link.next && !wh_list_is_empty(&timer->link);
}

/* The slot that time enters next; false when no timer runs. */
static bool next_event(const struct wh_wheel *wheel, struct event *out_event)
{
    unsigned level = 0;
    while (level < WH_WHEEL_LEVELS && wheel->occupied[level] == 0)
        level++;
    if (level == WH_WHEEL_LEVELS)
        return false;
    uint64_t present = wheel->now_tick >> level_shift(level);
    /* Rotated so that the slot after the present one is bit 0 and the present one, which only the
     * top level's next turn can fill, bit 63. */
    unsigned turn = (unsigned)(present + 1) % SLOTS;
    uint64_t bits = wheel->occupied[level];
    bits = turn == 0 ? bits : bits >> turn | bits << (SLOTS - turn);
    uint64_t slot = present + 1 + (uint64_t)__builtin_ctzll(bits);
    *out_event = (struct event){slot << level_shift(level), level, (unsigned)(slot % SLOTS)};
    return true;
}

static struct wh_timer *timer_of(struct wh_list *node)
{
    return WH_CONTAINER_OF(node, struct wh_timer, link);
}

/* Into the levels below; what is due at once lands in the present slot of level 0. */
static void cascade(struct wh_wheel *wheel, const struct event *event)
{
    struct wh_list *slot = &wheel->slots[event->level][event->slot];
    wheel->occupied[event->level] &= ~(UINT64_C(1) << event->slot);
    struct wh_list *node;
    while ((node = wh_list_pop_front(slot)))
        place(wheel, timer_of(node));
}

/* One at a time from the head: a callback may stop or free any of the others.  None can be added
 * here meanwhile, because new ones are due later. */
static void fire_present_slot(struct wh_wheel *wheel)
{
    struct wh_list *slot = &wheel->slots[0][wheel->now_tick % SLOTS];
    while (!wh_list_is_empty(slot)) {
        struct wh_timer *timer = timer_of(slot->next);
        WH_ASSERT(timer->due_tick == wheel->now_tick);
        wh_timer_stop(wheel, timer);
        timer->fn(timer);
    }
}

void wh_wheel_advance(struct wh_wheel *wheel, uint64_t now_ms)
{
    uint64_t target = now_ms / WH_WHEEL_TICK_MS;
    struct event event;
    while (next_event(wheel, &event) && event.tick <= target) {
        wheel->now_tick = event.tick;
        if (event.level > 0)
            cascade(wheel, &event);
        fire_present_slot(wheel);
    }
    /* Nothing begins up to the target, so nothing moves; a clock that went back is waited for. */
    if (target > wheel->now_tick)
        wheel->now_tick = target;
}

uint64_t wh_wheel_next_ms(const struct wh_wheel *wheel, uint64_t now_ms)
{
    struct event event;
    if (!next_event(wheel, &event))
        return UINT64_MAX;
    uint64_t at_ms = event.tick * WH_WHEEL_TICK_MS;
    return at_ms > now_ms ? at_ms - now_ms : 0;
}
