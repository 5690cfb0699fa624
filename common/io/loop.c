/*
 * One uv_prepare handle is the heart of this file: libuv calls it after every
 * callback and before it computes how long to sleep, so whatever was deferred
 * in between is done and whatever timer was started is in time.
 *
 * The wheel sleeps by one uv_timer, armed once per turn and only when a timer
 * was started, stopped or fired since.  Time not spent sleeping comes from
 * libuv's own idle clock; it costs an epoll_wait(0) before each real sleep
 * and nothing while the loop is busy.
 */
#include "common/io/loop.h"

#include <signal.h>

static uint64_t now_us(void)
{
    return uv_hrtime() / 1000;
}

/*
 * libuv ends when no referenced handle is active, and neither a task nor a timer of the wheel is
 * one until the turn's end: the prepare handle counts for as long as there is something to do
 * there.
 */
static void want_turn_end(struct wh_loop *loop)
{
    uv_ref((uv_handle_t *)&loop->before_sleep);
}

static void run_tasks(struct wh_loop *loop)
{
    for (;;) {
        struct wh_list *node = wh_list_pop_front(&loop->tasks);
        if (!node)
            return;
        struct wh_task *task = WH_CONTAINER_OF(node, struct wh_task, link);
        task->fn(task);
    }
}

static void insert_after(struct wh_list *node, struct wh_list *place)
{
    wh_list_remove(node);
    wh_list_push_back(place->next, node);
}

/* A marker travels through the list, because a flusher may cancel or register any of them. */
static void run_flushers(struct wh_loop *loop)
{
    struct wh_list marker;
    wh_list_init(&marker);
    insert_after(&marker, &loop->flushers);
    while (marker.next != &loop->flushers) {
        struct wh_list *node = marker.next;
        insert_after(&marker, node);
        struct wh_task *task = WH_CONTAINER_OF(node, struct wh_task, link);
        task->fn(task);
    }
    wh_list_remove(&marker);
}

static void on_wheel_due(uv_timer_t *driver)
{
    struct wh_loop *loop = driver->data;
    loop->now_ms = uv_now(&loop->uv);
    loop->is_wheel_changed = true;
    want_turn_end(loop); /* or a wheel with timers left could look like nothing to wait for */
    wh_wheel_advance(&loop->wheel, loop->now_ms);
}

static void arm_wheel(struct wh_loop *loop)
{
    if (!loop->is_wheel_changed)
        return;
    loop->is_wheel_changed = false;
    uint64_t delay_ms = wh_wheel_next_ms(&loop->wheel, loop->now_ms);
    int rc = delay_ms == UINT64_MAX
                 ? uv_timer_stop(&loop->wheel_driver)
                 : uv_timer_start(&loop->wheel_driver, on_wheel_due, delay_ms, 0);
    WH_ASSERT(rc == 0);
}

static void measure(struct wh_loop *loop)
{
    uint64_t end_us = now_us();
    uint64_t idle_us = uv_metrics_idle_time(&loop->uv) / 1000;
    uint64_t elapsed_us = end_us - loop->started_us;
    uint64_t busy_us = elapsed_us > idle_us ? elapsed_us - idle_us : 0;
    uint64_t turn_us = busy_us > loop->busy_us ? busy_us - loop->busy_us : 0;
    loop->turn_started_us = end_us - turn_us;
    if (turn_us > loop->lag_max_us)
        loop->lag_max_us = turn_us;
    if (busy_us > loop->busy_us)
        loop->busy_us = busy_us;
    loop->turns++;
}

static void on_before_sleep(uv_prepare_t *prepare)
{
    struct wh_loop *loop = prepare->data;
    uv_update_time(&loop->uv);
    loop->now_ms = uv_now(&loop->uv);
    do {
        run_tasks(loop);
        run_flushers(loop);
    } while (!wh_list_is_empty(&loop->tasks));
    arm_wheel(loop);
    measure(loop);
    uv_unref((uv_handle_t *)prepare);
}

enum wh_err wh_loop_init(struct wh_loop *loop)
{
    *loop = (struct wh_loop){0};
    if (uv_loop_init(&loop->uv) != 0)
        return WH_ENOMEM;
    signal(SIGPIPE, SIG_IGN);
    int rc = uv_loop_configure(&loop->uv, UV_METRICS_IDLE_TIME);
    WH_ASSERT(rc == 0);
    wh_list_init(&loop->tasks);
    wh_list_init(&loop->flushers);
    loop->now_ms = uv_now(&loop->uv);
    loop->started_us = now_us();
    loop->turn_started_us = loop->started_us;
    wh_wheel_init(&loop->wheel, loop->now_ms);

    uv_timer_init(&loop->uv, &loop->wheel_driver);
    loop->wheel_driver.data = loop;
    uv_prepare_init(&loop->uv, &loop->before_sleep);
    loop->before_sleep.data = loop;
    uv_prepare_start(&loop->before_sleep, on_before_sleep);
    uv_unref((uv_handle_t *)&loop->before_sleep);
    return WH_OK;
}

void wh_loop_deinit(struct wh_loop *loop)
{
    uv_close((uv_handle_t *)&loop->wheel_driver, NULL);
    uv_close((uv_handle_t *)&loop->before_sleep, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    int rc = uv_loop_close(&loop->uv);
    WH_ASSERT(rc == 0);
}

void wh_loop_run(struct wh_loop *loop)
{
    while (!loop->is_stopping && uv_run(&loop->uv, UV_RUN_DEFAULT) != 0)
        ;
    loop->is_stopping = false;
}

void wh_loop_stop(struct wh_loop *loop)
{
    loop->is_stopping = true;
    uv_stop(&loop->uv);
}

void wh_loop_timer_start(struct wh_loop *loop, struct wh_timer *timer, uint64_t delay_ms)
{
    wh_timer_start(&loop->wheel, timer, wh_loop_now_ms(loop), delay_ms);
    loop->is_wheel_changed = true;
    want_turn_end(loop);
}

void wh_loop_timer_stop(struct wh_loop *loop, struct wh_timer *timer)
{
    if (!wh_timer_is_running(timer))
        return;
    wh_timer_stop(&loop->wheel, timer);
    loop->is_wheel_changed = true;
}

void wh_task_init(struct wh_task *task, void (*fn)(struct wh_task *task))
{
    wh_list_init(&task->link);
    task->fn = fn;
}

void wh_loop_defer(struct wh_loop *loop, struct wh_task *task)
{
    if (wh_list_is_empty(&task->link))
        wh_list_push_back(&loop->tasks, &task->link);
    want_turn_end(loop);
}

void wh_task_cancel(struct wh_task *task)
{
    wh_list_remove(&task->link);
}

void wh_loop_at_turn_end(struct wh_loop *loop, struct wh_task *task)
{
    if (wh_list_is_empty(&task->link))
        wh_list_push_back(&loop->flushers, &task->link);
    want_turn_end(loop);
}
