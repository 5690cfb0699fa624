#include "common/base/wheel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/random.h"

#include <stdlib.h>

#define DAY_MS (UINT64_C(24) * 3600 * 1000)
static const uint64_t span_ms = (UINT64_C(1) << 36) * WH_WHEEL_TICK_MS;

/* What the callbacks of the simple tests see. */
static struct wh_wheel wheel;
static uint64_t now_ms;
static int fired;

static void on_fire(struct wh_timer *timer)
{
    assert_false(wh_timer_is_running(timer));
    fired++;
}

static void advance_to(uint64_t ms)
{
    now_ms = ms;
    wh_wheel_advance(&wheel, ms);
}

static void a_timer_fires_once_never_early_and_within_a_tick(void **state)
{
    (void)state;
    static const uint64_t starts[] = {0, 1, 15, 16, 1000, 1023, 1024, 65535, UINT64_C(1) << 41};
    static const uint64_t delays[] = {
        0, 1, 15, 16, 17, 1000, 1023, 1024, 1025, 65536, 4194304, DAY_MS, UINT64_C(1) << 39};
    for (size_t s = 0; s < sizeof starts / sizeof *starts; s++) {
        for (size_t d = 0; d < sizeof delays / sizeof *delays; d++) {
            struct wh_timer timer;
            uint64_t due = starts[s] + delays[d];
            wh_wheel_init(&wheel, starts[s]);
            wh_timer_init(&timer, on_fire);
            wh_timer_start(&wheel, &timer, starts[s], delays[d]);
            fired = 0;
            if (delays[d] > 0)
                advance_to(due - 1);
            assert_int_equal(fired, 0);
            assert_true(wh_timer_is_running(&timer));
            advance_to(due + WH_WHEEL_TICK_MS);
            assert_int_equal(fired, 1);
            assert_int_equal(wheel.count, 0);
            advance_to(due + DAY_MS);
            assert_int_equal(fired, 1);
        }
    }
}

static void delays_past_the_span_are_clamped_to_it(void **state)
{
    (void)state;
    static const uint64_t starts[] = {0, 5, 123456789, UINT64_C(1) << 50};
    for (size_t s = 0; s < sizeof starts / sizeof *starts; s++) {
        struct wh_timer timer;
        wh_wheel_init(&wheel, starts[s]);
        wh_timer_init(&timer, on_fire);
        wh_timer_start(&wheel, &timer, starts[s], UINT64_MAX);
        fired = 0;
        advance_to(starts[s] + span_ms - WH_WHEEL_TICK_MS);
        assert_int_equal(fired, 0);
        advance_to(starts[s] + span_ms + WH_WHEEL_TICK_MS);
        assert_int_equal(fired, 1);
    }
}

static void stopping_and_restarting_are_harmless_at_any_time(void **state)
{
    (void)state;
    struct wh_timer timer, zeroed = {0};
    wh_wheel_init(&wheel, 0);
    wh_timer_init(&timer, on_fire);
    wh_timer_stop(&wheel, &timer);
    wh_timer_stop(&wheel, &zeroed);
    wh_timer_start(&wheel, &timer, 0, 100);
    wh_timer_start(&wheel, &timer, 0, 5000);
    assert_int_equal(wheel.count, 1);
    fired = 0;
    advance_to(4000);
    assert_int_equal(fired, 0);
    wh_timer_stop(&wheel, &timer);
    wh_timer_stop(&wheel, &timer);
    advance_to(10000);
    assert_int_equal(fired, 0);
    assert_int_equal(wheel.count, 0);
    assert_true(wh_wheel_next_ms(&wheel, 10000) == UINT64_MAX);
}

static void a_clock_that_goes_back_fires_nothing(void **state)
{
    (void)state;
    struct wh_timer timer;
    wh_wheel_init(&wheel, 100000);
    wh_timer_init(&timer, on_fire);
    wh_timer_start(&wheel, &timer, 100000, 1000);
    fired = 0;
    advance_to(5);
    assert_int_equal(fired, 0);
    advance_to(101016);
    assert_int_equal(fired, 1);
}

static void on_fire_restart(struct wh_timer *timer)
{
    fired++;
    wh_timer_start(&wheel, timer, now_ms, 0);
}

static void a_timer_that_restarts_itself_without_delay_does_not_hold_the_driver(void **state)
{
    (void)state;
    struct wh_timer timer;
    wh_wheel_init(&wheel, 0);
    wh_timer_init(&timer, on_fire_restart);
    wh_timer_start(&wheel, &timer, 0, 0);
    fired = 0;
    for (uint64_t ms = 16; ms <= 160; ms += 16)
        advance_to(ms);
    assert_int_equal(fired, 10);
}

/* A driver that sleeps exactly as told: few wake-ups, none of them useless, and on time. */
static void sleeping_as_told_fires_on_time_with_few_wake_ups(void **state)
{
    (void)state;
    static const uint64_t delays[] = {1, 20, 1000, 60000, 3600000, DAY_MS, UINT64_C(1) << 39};
    for (size_t d = 0; d < sizeof delays / sizeof *delays; d++) {
        for (uint64_t start = 0; start < 40; start += 13) {
            struct wh_timer timer;
            uint64_t now = start;
            int wake_ups = 0;
            wh_wheel_init(&wheel, now);
            wh_timer_init(&timer, on_fire);
            wh_timer_start(&wheel, &timer, now, delays[d]);
            fired = 0;
            while (fired == 0) {
                uint64_t sleep_ms = wh_wheel_next_ms(&wheel, now);
                assert_in_range(sleep_ms, 1, delays[d] + WH_WHEEL_TICK_MS);
                now += sleep_ms;
                advance_to(now);
                wake_ups++;
            }
            assert_in_range(now, start + delays[d], start + delays[d] + WH_WHEEL_TICK_MS - 1);
            assert_in_range(wake_ups, 1, WH_WHEEL_LEVELS);
        }
    }
}

static void years_of_sleep_cost_nothing(void **state)
{
    (void)state;
    struct wh_timer soon, late;
    wh_wheel_init(&wheel, 0);
    wh_timer_init(&soon, on_fire);
    wh_timer_init(&late, on_fire);
    fired = 0;
    /* Tick by tick each round would be a billion steps; the test would not end. */
    for (uint64_t round = 0; round < 10000; round++) {
        uint64_t base = round * 200 * DAY_MS;
        wh_timer_start(&wheel, &soon, base, 1);
        wh_timer_start(&wheel, &late, base, 199 * DAY_MS);
        advance_to(base + 200 * DAY_MS);
    }
    assert_int_equal(fired, 20000);
}

/*
 * The property: against a model that only remembers who is due when, under
 * random starts, stops, restarts and steps of the clock from nothing to
 * months, with callbacks that start, stop and free each other.
 */
enum { ACTORS = 60 };

struct actor {
    struct wh_timer timer;
    size_t index;
    uint64_t earliest_ms; /* must not fire before; the model */
    uint64_t visible_ms;  /* a driver that calls from then on must fire it */
    bool is_due;          /* the model's "running" */
};

static struct actor *actors[ACTORS];
static uint64_t last_due_tick;
static size_t model_count;

static void actor_start(struct actor *actor, uint64_t delay_ms)
{
    model_count += !actor->is_due;
    actor->is_due = true;
    actor->earliest_ms = now_ms + delay_ms;
    uint64_t latest = delay_ms < span_ms ? now_ms + delay_ms : now_ms + span_ms;
    actor->visible_ms = latest + WH_WHEEL_TICK_MS;
    if (delay_ms >= span_ms - WH_WHEEL_TICK_MS)
        actor->earliest_ms = now_ms + span_ms - 2 * WH_WHEEL_TICK_MS;
    wh_timer_start(&wheel, &actor->timer, now_ms, delay_ms);
}

static void actor_stop(struct actor *actor)
{
    model_count -= actor->is_due;
    actor->is_due = false;
    wh_timer_stop(&wheel, &actor->timer);
}

static void on_actor(struct wh_timer *timer);

static void actor_replace(size_t index)
{
    if (actors[index]) {
        actor_stop(actors[index]);
        free(actors[index]);
    }
    struct actor *actor = calloc(1, sizeof *actor);
    assert_non_null(actor);
    actor->index = index;
    wh_timer_init(&actor->timer, on_actor);
    actors[index] = actor;
}

/* From no delay to past the span, each order of magnitude alike. */
static uint64_t random_ms(unsigned bits_max)
{
    return wh_random_u64() >> (64 - 1 - wh_random_below(bits_max));
}

static void act_at_random(void)
{
    size_t index = wh_random_below(ACTORS);
    switch (wh_random_below(6)) {
    case 0:
        actor_stop(actors[index]);
        break;
    case 1:
        actor_replace(index);
        break;
    default:
        actor_start(actors[index], wh_random_below(4) ? random_ms(20) : random_ms(42));
        break;
    }
}

static void on_actor(struct wh_timer *timer)
{
    struct actor *actor = WH_CONTAINER_OF(timer, struct actor, timer);
    assert_true(actor->is_due);
    assert_true(now_ms >= actor->earliest_ms);
    /* In order of due ticks, whatever levels they came from. */
    assert_true(timer->due_tick >= last_due_tick);
    last_due_tick = timer->due_tick;
    actor->is_due = false;
    model_count--;
    fired++;
    for (uint64_t acts = wh_random_below(3); acts > 0; acts--)
        act_at_random(); /* among them: freeing this very actor */
}

static void assert_nobody_is_overdue(void)
{
    assert_int_equal(wheel.count, model_count);
    uint64_t soonest = UINT64_MAX;
    for (size_t i = 0; i < ACTORS; i++) {
        assert_int_equal(wh_timer_is_running(&actors[i]->timer), actors[i]->is_due);
        if (!actors[i]->is_due)
            continue;
        assert_true(actors[i]->visible_ms > now_ms);
        if (actors[i]->visible_ms < soonest)
            soonest = actors[i]->visible_ms;
    }
    uint64_t sleep_ms = wh_wheel_next_ms(&wheel, now_ms);
    assert_true((sleep_ms == UINT64_MAX) == (model_count == 0));
    assert_true(sleep_ms > 0);
    if (model_count > 0)
        assert_true(now_ms + sleep_ms <= soonest);
}

static void run_against_the_model(uint64_t seed, uint64_t start_ms)
{
    wh_random_seed(seed);
    wh_wheel_init(&wheel, start_ms);
    now_ms = start_ms;
    model_count = 0;
    for (size_t i = 0; i < ACTORS; i++)
        actor_replace(i);
    for (int step = 0; step < 4000; step++) {
        for (uint64_t acts = wh_random_below(8); acts > 0; acts--)
            act_at_random();
        last_due_tick = 0;
        /* One step in two is the driver's own: exactly as long as the wheel says. */
        uint64_t sleep_ms = wh_wheel_next_ms(&wheel, now_ms);
        bool as_told = wh_random_below(2) == 0 && sleep_ms != UINT64_MAX;
        advance_to(now_ms + (as_told ? sleep_ms : random_ms(wh_random_below(9) ? 16 : 36)));
        assert_nobody_is_overdue();
    }
    for (size_t i = 0; i < ACTORS; i++) {
        actor_stop(actors[i]);
        free(actors[i]);
        actors[i] = NULL;
    }
    assert_int_equal(wheel.count, 0);
}

static void random_lives_agree_with_a_model(void **state)
{
    (void)state;
    fired = 0;
    for (uint64_t seed = 1; seed <= 8; seed++)
        run_against_the_model(seed, seed * 1000003);
    /* Across the wrap of the top level, and far beyond the first turn of it. */
    run_against_the_model(100, span_ms - 5000);
    run_against_the_model(101, span_ms * 1000 - 5);
    assert_true(fired > 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_timer_fires_once_never_early_and_within_a_tick),
        cmocka_unit_test(delays_past_the_span_are_clamped_to_it),
        cmocka_unit_test(stopping_and_restarting_are_harmless_at_any_time),
        cmocka_unit_test(a_clock_that_goes_back_fires_nothing),
        cmocka_unit_test(a_timer_that_restarts_itself_without_delay_does_not_hold_the_driver),
        cmocka_unit_test(sleeping_as_told_fires_on_time_with_few_wake_ups),
        cmocka_unit_test(years_of_sleep_cost_nothing),
        cmocka_unit_test(random_lives_agree_with_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
