#include "tests/support/run_loop.h"

struct guard {
    struct wh_loop *loop;
    struct wh_timer timer;
    struct wh_task look;
    bool is_over;
    bool (*is_done)(void *user);
    void *user;
};

static void on_guard(struct wh_timer *timer)
{
    WH_CONTAINER_OF(timer, struct guard, timer)->is_over = true;
}

/* What a task of this turn brought about must not wait for the loop to wake up again. */
static void on_look(struct wh_task *task)
{
    struct guard *guard = WH_CONTAINER_OF(task, struct guard, look);
    if (guard->is_done(guard->user))
        uv_stop(&guard->loop->uv);
}

bool run_until(struct wh_loop *loop, bool (*is_done)(void *user), void *user, uint64_t timeout_ms)
{
    struct guard guard = {.loop = loop, .is_done = is_done, .user = user};
    uv_update_time(&loop->uv);
    wh_timer_init(&guard.timer, on_guard);
    wh_task_init(&guard.look, on_look);
    wh_loop_timer_start(loop, &guard.timer, timeout_ms);
    wh_loop_at_turn_end(loop, &guard.look);
    while (!is_done(user) && !guard.is_over)
        uv_run(&loop->uv, UV_RUN_ONCE);
    wh_task_cancel(&guard.look);
    wh_loop_timer_stop(loop, &guard.timer);
    return is_done(user);
}

static bool is_set(void *user)
{
    return *(const bool *)user;
}

bool run_until_true(struct wh_loop *loop, const bool *flag, uint64_t timeout_ms)
{
    return run_until(loop, is_set, (void *)flag, timeout_ms);
}

static bool never(void *user)
{
    (void)user;
    return false;
}

void run_for(struct wh_loop *loop, uint64_t duration_ms)
{
    (void)run_until(loop, never, NULL, duration_ms);
}
