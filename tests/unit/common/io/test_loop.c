#include "common/io/loop.h"
#include "tests/support/run_loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

struct step {
    struct wh_task task;
    struct wh_timer timer;
    uv_timer_t uv_timer;
    char name;
    int repeats;
    bool is_done;
    struct step *then;
};

static struct wh_loop loop;
static char trace[64];

static void mark(char name)
{
    size_t len = strlen(trace);
    assert_true(len + 1 < sizeof trace);
    trace[len] = name;
    trace[len + 1] = '\0';
}

static int setup(void **state)
{
    (void)state;
    trace[0] = '\0';
    return wh_loop_init(&loop) == WH_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    wh_loop_deinit(&loop);
    return 0;
}

/* Marks, repeats itself, then defers the next step. */
static void on_task(struct wh_task *task)
{
    struct step *step = WH_CONTAINER_OF(task, struct step, task);
    mark(step->name);
    if (step->repeats-- > 0)
        wh_loop_defer(&loop, task);
    else if (step->then)
        wh_loop_defer(&loop, &step->then->task);
}

static void on_flusher(struct wh_task *task)
{
    struct step *step = WH_CONTAINER_OF(task, struct step, task);
    mark(step->name);
    if (step->then && step->repeats-- > 0)
        wh_loop_defer(&loop, &step->then->task);
}

static void on_timer(struct wh_timer *timer)
{
    struct step *step = WH_CONTAINER_OF(timer, struct step, timer);
    mark(step->name);
    step->is_done = true;
}

static void on_uv_timer(uv_timer_t *timer)
{
    struct step *step = timer->data;
    wh_loop_defer(&loop, &step->task);
}

static void start_step(struct step *step, char name)
{
    step->name = name;
    wh_task_init(&step->task, on_task);
    wh_timer_init(&step->timer, on_timer);
}

static void start_uv_timer(struct step *step, uint64_t delay_ms)
{
    uv_timer_init(&loop.uv, &step->uv_timer);
    step->uv_timer.data = step;
    uv_timer_start(&step->uv_timer, on_uv_timer, delay_ms, 0);
}

/* The handle's memory is the test's only after one more turn. */
static void stop_uv_timer(struct step *step)
{
    uv_close((uv_handle_t *)&step->uv_timer, NULL);
    uv_run(&loop.uv, UV_RUN_NOWAIT);
}

static void stop_loop(struct wh_task *task)
{
    (void)task;
    mark('s');
    wh_loop_stop(&loop);
}

static void task_deferred_by_a_uv_callback_runs_before_the_loop_sleeps(void **state)
{
    (void)state;
    struct step far = {0};
    struct step near = {0};
    start_step(&near, 'n');
    start_step(&far, 'f');
    near.task.fn = stop_loop;
    wh_loop_timer_start(&loop, &far.timer, 60000);
    start_uv_timer(&near, 1);
    uint64_t before = uv_hrtime();
    wh_loop_run(&loop);
    assert_string_equal(trace, "s");
    assert_true(uv_hrtime() - before < 30 * UINT64_C(1000000000));
    wh_loop_timer_stop(&loop, &far.timer);
    stop_uv_timer(&near);
}

static void tasks_alone_keep_the_loop_running_until_they_are_done(void **state)
{
    (void)state;
    struct step second = {0};
    struct step first = {.repeats = 2, .then = &second};
    start_step(&first, 'a');
    start_step(&second, 'b');
    wh_loop_defer(&loop, &first.task);
    wh_loop_defer(&loop, &first.task);
    wh_loop_run(&loop);
    assert_string_equal(trace, "aaab");
}

static void flushers_run_after_all_tasks_and_again_for_tasks_they_defer(void **state)
{
    (void)state;
    struct step task = {.repeats = 1};
    struct step late = {0};
    struct step flusher = {.repeats = 1, .then = &late};
    start_step(&task, 't');
    start_step(&late, 'l');
    start_step(&flusher, 'F');
    flusher.task.fn = on_flusher;
    wh_loop_at_turn_end(&loop, &flusher.task);
    wh_loop_at_turn_end(&loop, &flusher.task);
    wh_loop_defer(&loop, &task.task);
    uv_run(&loop.uv, UV_RUN_NOWAIT);
    /* The first turn of the loop has nothing to wait for. */
    wh_loop_run(&loop);
    assert_memory_equal(trace, "ttFlF", 5);
    wh_task_cancel(&flusher.task);
}

static struct wh_task *to_cancel;
static struct wh_task *to_register;

static void on_meddling_flusher(struct wh_task *task)
{
    mark('m');
    wh_task_cancel(task);
    wh_task_cancel(to_cancel);
    wh_loop_at_turn_end(&loop, to_register);
}

static void on_once(struct wh_task *task)
{
    mark(WH_CONTAINER_OF(task, struct step, task)->name);
    wh_task_cancel(task);
}

static void flusher_may_cancel_itself_and_others_and_register_more(void **state)
{
    (void)state;
    struct step meddler = {0};
    struct step victim = {0};
    struct step other = {0};
    struct step added = {0};
    start_step(&victim, 'v');
    start_step(&other, 'o');
    start_step(&added, 'a');
    wh_task_init(&meddler.task, on_meddling_flusher);
    victim.task.fn = other.task.fn = added.task.fn = on_once;
    to_cancel = &victim.task;
    to_register = &added.task;
    wh_loop_at_turn_end(&loop, &meddler.task);
    wh_loop_at_turn_end(&loop, &victim.task);
    wh_loop_at_turn_end(&loop, &other.task);
    wh_loop_run(&loop);
    assert_string_equal(trace, "moa");
}

static struct step started_by_task;

static void start_timer_from_task(struct wh_task *task)
{
    (void)task;
    wh_loop_timer_start(&loop, &started_by_task.timer, 20);
}

static void timer_started_inside_a_task_fires_though_a_later_one_was_armed(void **state)
{
    (void)state;
    struct step far = {0};
    struct step near = {0};
    started_by_task = (struct step){0};
    start_step(&far, 'f');
    start_step(&near, 'n');
    start_step(&started_by_task, 'x');
    near.task.fn = start_timer_from_task;
    wh_loop_timer_start(&loop, &far.timer, 60000);
    start_uv_timer(&near, 1);
    assert_true(run_until_true(&loop, &started_by_task.is_done, 10000));
    wh_loop_timer_stop(&loop, &far.timer);
    stop_uv_timer(&near);
}

static void timers_fire_in_order_never_early_and_keep_the_loop_running(void **state)
{
    (void)state;
    static const uint64_t delays_ms[] = {120, 1, 40, 0};
    struct step steps[4] = {0};
    uint64_t before = uv_hrtime();
    for (size_t i = 0; i < 4; i++) {
        start_step(&steps[i], (char)('0' + i));
        wh_loop_timer_start(&loop, &steps[i].timer, delays_ms[i]);
    }
    wh_loop_run(&loop);
    assert_true((uv_hrtime() - before) / 1000000 >= 120);
    assert_int_equal(strlen(trace), 4);
    assert_string_equal(trace + 2, "20");
}

/* UV_RUN_ONCE runs timers last, so the turn that arms the driver anew is the next one. */
static void fired_timer_leaves_the_loop_alive_for_the_others(void **state)
{
    (void)state;
    struct step near = {0};
    struct step far = {0};
    start_step(&near, 'n');
    start_step(&far, 'f');
    wh_loop_timer_start(&loop, &near.timer, 1);
    wh_loop_timer_start(&loop, &far.timer, 60000);
    while (!near.is_done)
        assert_int_not_equal(uv_run(&loop.uv, UV_RUN_ONCE), 0);
    wh_loop_timer_stop(&loop, &far.timer);
}

static void loop_ends_when_the_last_timer_is_stopped(void **state)
{
    (void)state;
    struct step step = {0};
    start_step(&step, 'x');
    wh_loop_timer_start(&loop, &step.timer, 60000);
    uv_run(&loop.uv, UV_RUN_NOWAIT);
    wh_loop_timer_stop(&loop, &step.timer);
    wh_loop_run(&loop);
    assert_string_equal(trace, "");
}

static void spin(struct wh_task *task)
{
    (void)task;
    uint64_t until = uv_hrtime() + 30 * UINT64_C(1000000);
    while (uv_hrtime() < until)
        ;
}

static void busy_time_counts_work_and_not_sleep(void **state)
{
    (void)state;
    struct step worker = {0};
    start_step(&worker, 'w');
    worker.task.fn = spin;
    wh_loop_defer(&loop, &worker.task);
    run_for(&loop, 400);
    assert_in_range(loop.busy_us, 30000, 300000);
    assert_true(loop.lag_max_us >= 30000);
    assert_true(loop.turns >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(task_deferred_by_a_uv_callback_runs_before_the_loop_sleeps),
        TEST(tasks_alone_keep_the_loop_running_until_they_are_done),
        TEST(flushers_run_after_all_tasks_and_again_for_tasks_they_defer),
        TEST(flusher_may_cancel_itself_and_others_and_register_more),
        TEST(timer_started_inside_a_task_fires_though_a_later_one_was_armed),
        TEST(timers_fire_in_order_never_early_and_keep_the_loop_running),
        TEST(fired_timer_leaves_the_loop_alive_for_the_others),
        TEST(loop_ends_when_the_last_timer_is_stopped),
        TEST(busy_time_counts_work_and_not_sleep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
