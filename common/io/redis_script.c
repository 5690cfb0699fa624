/*
 * One loader goes through its steps when the connection comes up and when a
 * call meets NOSCRIPT (or NORUN: the key was lost).  That call, and every one
 * made meanwhile, waits in `waiting`:
 *
 *     INFO --> CONFIG GET --> GET wh:run --> SET wh:run, SCRIPT LOAD of all
 *
 * Invariant: each step is sent from within the answer to the one before, so
 * all of them reach the same server process.  If the connection breaks in
 * between, the run id read is worth nothing and the loader gives up.
 */
#include "common/io/redis_script.h"

#include "common/base/alloc.h"
#include "common/base/log.h"
#include "common/io/redis_run.h"

#include <stdio.h>

enum { KEY_COUNT_TEXT = 8, LOADS_MAX = 8 };

#define X(upper, lower) extern const struct wh_redis_script_source wh_redis_script_##lower;
WH_REDIS_SCRIPTS(X)
#undef X

struct wh_redis_scripts {
    struct wh_loop *loop;
    struct wh_redis *redis;
    struct wh_redis_watch watch;
    struct wh_list waiting;
    bool is_loading;
    struct wh_redis_request step;
    struct wh_redis_run run;
    struct wh_log_limit error_limit;
};

/* One call.  Lives until Redis is done with it, perhaps longer than its caller waits. */
struct shot {
    struct wh_redis_request request;
    struct wh_list link; /* in `waiting` */
    struct wh_redis_scripts *scripts;
    struct wh_timer timer;
    uint64_t deadline_ms;
    unsigned loads; /* waited for */
    enum wh_redis_script script;
    wh_redis_script_done *done; /* NULL once answered */
    void *user;
    char key_count[KEY_COUNT_TEXT];
    size_t argc;
    struct wh_slice argv[];
};

const struct wh_redis_script_source *wh_redis_script_source(enum wh_redis_script script)
{
    static const struct wh_redis_script_source *const sources[] = {
#define X(upper, lower) &wh_redis_script_##lower,
        WH_REDIS_SCRIPTS(X)
#undef X
    };
    return sources[script];
}

/* ---- calls ---- */

static void answer(struct shot *shot, enum wh_err err, const struct wh_redis_reply *reply)
{
    wh_redis_script_done *done = shot->done;
    wh_loop_timer_stop(shot->scripts->loop, &shot->timer);
    shot->done = NULL;
    if (done)
        done(shot->user, err, err ? NULL : reply);
}

static void load(struct wh_redis_scripts *scripts);

static void wait_for_load(struct shot *shot)
{
    struct wh_redis_scripts *scripts = shot->scripts;
    uint64_t now_ms = wh_loop_now_ms(scripts->loop);
    uint64_t left_ms = shot->deadline_ms > now_ms ? shot->deadline_ms - now_ms : 0;
    shot->loads++;
    wh_list_push_back(&scripts->waiting, &shot->link);
    wh_loop_timer_start(scripts->loop, &shot->timer, left_ms);
    if (!scripts->is_loading)
        load(scripts);
}

static void on_shot_timeout(struct wh_timer *timer)
{
    struct shot *shot = WH_CONTAINER_OF(timer, struct shot, timer);
    bool is_waiting = !wh_list_is_empty(&shot->link);
    wh_list_remove(&shot->link);
    answer(shot, WH_ETIMEOUT, NULL);
    if (is_waiting)
        wh_free(shot);
}

static bool wants_load(const struct wh_redis_reply *reply)
{
    return wh_redis_reply_is_error(reply, "NOSCRIPT") || wh_redis_reply_is_error(reply, "NORUN");
}

static void on_shot_done(struct wh_redis_request *request,
                         enum wh_err err,
                         const struct wh_redis_reply *reply)
{
    struct shot *shot = WH_CONTAINER_OF(request, struct shot, request);
    /* The script did not run, so nothing is done twice; it may be flushed again meanwhile. */
    if (!err && shot->loads < LOADS_MAX && shot->done && wants_load(reply)) {
        wait_for_load(shot);
        return;
    }
    if (!err && reply->type == WH_REDIS_ERROR) {
        wh_log_limited(&shot->scripts->error_limit, WH_LOG_WARN, "redis", "script_failed",
                       "script=%s reason=%.*s", wh_redis_script_source(shot->script)->name,
                       WH_SLICE_ARGS(reply->text));
        err = WH_EIO;
    }
    answer(shot, err, reply);
    wh_free(shot);
}

static void fire(struct shot *shot)
{
    wh_redis_send(shot->scripts->redis, &shot->request, shot->argv, shot->argc);
}

/* ---- loading ---- */

static void end_load(struct wh_redis_scripts *scripts, enum wh_err err)
{
    struct wh_list waiting;
    struct wh_list *node;
    scripts->is_loading = false;
    wh_list_init(&waiting);
    while ((node = wh_list_pop_front(&scripts->waiting)))
        wh_list_push_back(&waiting, node);
    while ((node = wh_list_pop_front(&waiting))) {
        struct shot *shot = WH_CONTAINER_OF(node, struct shot, link);
        if (!err) {
            fire(shot);
        } else {
            answer(shot, err, NULL);
            wh_free(shot);
        }
    }
}

/* Whether the step got an answer that the next can build on; if not, loading is over. */
static bool has_answer(struct wh_redis_scripts *scripts,
                       enum wh_err err,
                       const struct wh_redis_reply *reply)
{
    if (!err && reply->type != WH_REDIS_ERROR)
        return true;
    if (!err)
        wh_log_limited(&scripts->error_limit, WH_LOG_WARN, "redis", "load_failed", "reason=%.*s",
                       WH_SLICE_ARGS(reply->text));
    end_load(scripts, err ? err : WH_EIO);
    return false;
}

static void send_step(struct wh_redis_scripts *scripts,
                      void (*done)(struct wh_redis_request *request,
                                   enum wh_err err,
                                   const struct wh_redis_reply *reply),
                      const struct wh_slice *argv,
                      size_t argc)
{
    scripts->step.done = done;
    wh_redis_send(scripts->redis, &scripts->step, argv, argc);
}

static void on_loaded(struct wh_redis_request *request,
                      enum wh_err err,
                      const struct wh_redis_reply *reply)
{
    struct wh_redis_scripts *scripts = WH_CONTAINER_OF(request, struct wh_redis_scripts, step);
    if (has_answer(scripts, err, reply))
        end_load(scripts, WH_OK);
}

/* A command whose answer nobody needs: the last one of the row tells whether all went well. */
static void on_ignored(struct wh_redis_request *request,
                       enum wh_err err,
                       const struct wh_redis_reply *reply)
{
    (void)err, (void)reply;
    wh_free(request);
}

static void load_all(struct wh_redis_scripts *scripts)
{
    for (size_t i = 0; i < WH_REDIS_SCRIPT_COUNT; i++) {
        struct wh_slice argv[] = {WH_SLICE_LITERAL("SCRIPT"), WH_SLICE_LITERAL("LOAD"),
                                  wh_redis_script_source((enum wh_redis_script)i)->text};
        if (i + 1 == WH_REDIS_SCRIPT_COUNT) {
            send_step(scripts, on_loaded, argv, 3);
            return;
        }
        struct wh_redis_request *request = wh_calloc(1, sizeof *request);
        WH_ASSERT(request != NULL);
        request->done = on_ignored;
        wh_redis_send(scripts->redis, request, argv, 3);
    }
}

static void on_run_written(struct wh_redis_request *request,
                           enum wh_err err,
                           const struct wh_redis_reply *reply)
{
    struct wh_redis_scripts *scripts = WH_CONTAINER_OF(request, struct wh_redis_scripts, step);
    if (has_answer(scripts, err, reply))
        load_all(scripts);
}

static void write_run(struct wh_redis_scripts *scripts)
{
    struct wh_slice argv[] = {WH_SLICE_LITERAL("SET"), WH_REDIS_RUN_KEY,
                              wh_slice_from_str(scripts->run.value)};
    send_step(scripts, on_run_written, argv, 3);
}

/* The value stays when every write since it was made has reached the disk before its answer. */
static void on_old_run(struct wh_redis_request *request,
                       enum wh_err err,
                       const struct wh_redis_reply *reply)
{
    struct wh_redis_scripts *scripts = WH_CONTAINER_OF(request, struct wh_redis_scripts, step);
    if (!has_answer(scripts, err, reply))
        return;
    if (wh_redis_run_stays(&scripts->run, reply))
        load_all(scripts);
    else
        write_run(scripts);
}

/* Not being allowed to ask is as good as "no": the cost is a new epoch after a restart. */
static void on_settings(struct wh_redis_request *request,
                        enum wh_err err,
                        const struct wh_redis_reply *reply)
{
    struct wh_redis_scripts *scripts = WH_CONTAINER_OF(request, struct wh_redis_scripts, step);
    if (err) {
        end_load(scripts, err);
        return;
    }
    if (!wh_redis_run_is_always(&scripts->run, reply)) {
        write_run(scripts);
        return;
    }
    struct wh_slice argv[] = {WH_SLICE_LITERAL("GET"), WH_REDIS_RUN_KEY};
    send_step(scripts, on_old_run, argv, 2);
}

static void on_info(struct wh_redis_request *request,
                    enum wh_err err,
                    const struct wh_redis_reply *reply)
{
    struct wh_redis_scripts *scripts = WH_CONTAINER_OF(request, struct wh_redis_scripts, step);
    if (!has_answer(scripts, err, reply))
        return;
    if (wh_redis_run_read(reply->text, &scripts->run)) {
        end_load(scripts, WH_EFORMAT);
        return;
    }
    struct wh_slice argv[] = {WH_SLICE_LITERAL("CONFIG"), WH_SLICE_LITERAL("GET"),
                              WH_SLICE_LITERAL("append*")};
    send_step(scripts, on_settings, argv, 3);
}

static void load(struct wh_redis_scripts *scripts)
{
    struct wh_slice argv[] = {WH_SLICE_LITERAL("INFO")};
    scripts->is_loading = true;
    send_step(scripts, on_info, argv, 1);
}

static void on_state(struct wh_redis_watch *watch, bool is_up, const char *reason)
{
    struct wh_redis_scripts *scripts = WH_CONTAINER_OF(watch, struct wh_redis_scripts, watch);
    (void)reason;
    if (is_up && !scripts->is_loading)
        load(scripts);
}

/* ---- the interface ---- */

enum wh_err wh_redis_scripts_new(struct wh_loop *loop,
                                 struct wh_redis *redis,
                                 struct wh_redis_scripts **out_scripts)
{
    struct wh_redis_scripts *scripts = wh_calloc(1, sizeof *scripts);
    if (!scripts)
        return WH_ENOMEM;
    scripts->loop = loop;
    scripts->redis = redis;
    wh_list_init(&scripts->waiting);
    scripts->watch.on_state = on_state;
    wh_redis_watch(redis, &scripts->watch);
    *out_scripts = scripts;
    return WH_OK;
}

void wh_redis_scripts_stop(struct wh_redis_scripts *scripts)
{
    if (scripts)
        wh_redis_unwatch(&scripts->watch);
}

void wh_redis_scripts_free(struct wh_redis_scripts *scripts)
{
    WH_ASSERT(!scripts || (!scripts->is_loading && wh_list_is_empty(&scripts->waiting)));
    wh_free(scripts);
}

static size_t bytes_of(const struct wh_slice *slices, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += slices[i].len;
    return bytes;
}

/* Append copies of `slices` to the arguments; returns where the next bytes go. */
static char *copy_args(struct shot *shot, const struct wh_slice *slices, size_t count, char *bytes)
{
    for (size_t i = 0; i < count; i++) {
        if (slices[i].len > 0)
            memcpy(bytes, slices[i].ptr, slices[i].len);
        shot->argv[shot->argc++] = wh_slice(bytes, slices[i].len);
        bytes += slices[i].len;
    }
    return bytes;
}

static struct shot *new_shot(enum wh_redis_script script, const struct wh_redis_script_args *args)
{
    size_t argc = 3 + args->key_count + args->arg_count;
    size_t bytes = bytes_of(args->keys, args->key_count) + bytes_of(args->args, args->arg_count);
    struct shot *shot = wh_malloc(sizeof *shot + argc * sizeof shot->argv[0] + bytes + 1);
    WH_ASSERT(shot != NULL); /* a program stops when out of memory */
    *shot = (struct shot){.script = script};
    snprintf(shot->key_count, sizeof shot->key_count, "%u", (unsigned)args->key_count);
    shot->argv[shot->argc++] = WH_SLICE_LITERAL("EVALSHA");
    shot->argv[shot->argc++] = wh_slice_from_str(wh_redis_script_source(script)->sha1);
    shot->argv[shot->argc++] = wh_slice_from_str(shot->key_count);
    char *at = copy_args(shot, args->keys, args->key_count, (char *)&shot->argv[argc]);
    (void)copy_args(shot, args->args, args->arg_count, at);
    return shot;
}

void wh_redis_scripts_run(struct wh_redis_scripts *scripts,
                          enum wh_redis_script script,
                          const struct wh_redis_script_args *args,
                          wh_redis_script_done *done,
                          void *user)
{
    struct shot *shot = new_shot(script, args);
    shot->scripts = scripts;
    shot->request.done = on_shot_done;
    shot->done = done;
    shot->user = user;
    shot->deadline_ms = wh_loop_now_ms(scripts->loop) + WH_REDIS_TIMEOUT_MS;
    wh_list_init(&shot->link);
    wh_timer_init(&shot->timer, on_shot_timeout);
    if (scripts->is_loading)
        wait_for_load(shot);
    else
        fire(shot);
}
