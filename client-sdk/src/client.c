/*
 * The client as programs see it: life, lock, and the public functions of
 * wirehub/client.h that are one call of the engine each.  client.h says what its
 * states are.
 */
#include "client-sdk/src/client.h"

#include "client-sdk/src/abi.h"
#include "client-sdk/src/deliver.h"
#include "client-sdk/src/run.h"
#include "client-sdk/src/trace.h"

#include "common/base/alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

uint64_t shell_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

enum wh_err shell_fail(struct wh_error *detail, enum wh_err err, const char *format, ...)
{
    if (!detail)
        return err;
    char text[sizeof detail->text]; /* `format`'s arguments may lie in `detail` */
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    *detail = (struct wh_error){.err = err};
    memcpy(detail->text, text, sizeof text);
    return err;
}

/* ---- lock and references --------------------------------------------------------------------- */

struct engine *client_lock(struct wh_client *client)
{
    pthread_mutex_lock(&client->lock);
    if (client->batch)
        deliver_report(client);
    if (!client->is_finished)
        engine_advance(&client->engine, shell_now_ms());
    return &client->engine;
}

void client_unlock(struct wh_client *client)
{
    client_look(client);
    pthread_mutex_unlock(&client->lock);
}

const struct settings *client_settings(const struct wh_client *client)
{
    return &client->settings;
}

void client_ref(struct wh_client *client)
{
    atomic_fetch_add_explicit(&client->refs, 1, memory_order_relaxed);
}

static void empty(struct wh_client *client)
{
    engine_deinit(&client->engine);
    settings_deinit(&client->settings);
    if (client->event_fd >= 0)
        close(client->event_fd);
}

/* Its memory; nothing else of it is left. */
static void destroy(struct wh_client *client)
{
    if (!client->is_abandoned) {
        empty(client);
        pthread_cond_destroy(&client->changed);
        pthread_mutex_destroy(&client->lock);
    }
    wh_free(client);
}

void client_unref(struct wh_client *client)
{
    if (atomic_fetch_sub_explicit(&client->refs, 1, memory_order_acq_rel) == 1)
        destroy(client);
}

bool client_is_forked(const struct wh_client *client)
{
    return client->pid != getpid();
}

enum wh_err client_check(const struct wh_client *client)
{
    if (!client)
        return WH_EINVAL;
    if (client_is_forked(client))
        return WH_EFORKED;
    return runtime_check_thread(client->runtime);
}

/* ---- new ------------------------------------------------------------------------------------- */

static enum wh_err init_primitives(struct wh_client *client)
{
    if (pthread_mutex_init(&client->lock, NULL) != 0)
        return WH_ENOMEM;
    if (shell_cond_init(&client->changed) != 0) {
        pthread_mutex_destroy(&client->lock);
        return WH_ENOMEM;
    }
    if (runtime_mode(client->runtime) != WH_MODE_DISPATCH)
        return WH_OK;
    client->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (client->event_fd >= 0)
        return WH_OK;
    pthread_cond_destroy(&client->changed);
    pthread_mutex_destroy(&client->lock);
    return WH_EIO;
}

/* The shell around settings and a runtime; on failure both are still the caller's. */
static enum wh_err init_shell(struct wh_client *client)
{
    client->refs = 1;
    client->pid = getpid();
    client->event_fd = -1;
    client->timer_due_ms = UINT64_MAX;
    client->state = WH_CLIENT_DISCONNECTED;
    wh_timer_init(&client->timer, client_on_timer);
    wh_list_init(&client->io_link);
    wh_list_init(&client->ready_link);
    wh_list_init(&client->deferred_link);
    wh_list_init(&client->waiters);
    enum wh_err err = init_primitives(client);
    if (err != WH_OK)
        return err;
    err = engine_init(&client->engine, &client->settings, client, shell_now_ms());
    if (err == WH_OK)
        return WH_OK;
    if (client->event_fd >= 0)
        close(client->event_fd);
    pthread_cond_destroy(&client->changed);
    pthread_mutex_destroy(&client->lock);
    return err;
}

/* An older program's options end before this field. */
static struct wh_runtime *runtime_of(const struct wh_client_options *options)
{
    size_t end = offsetof(struct wh_client_options, runtime) + sizeof options->runtime;
    return options->size >= end ? options->runtime : NULL;
}

enum wh_err wh_client_new(const struct wh_client_options *options,
                          struct wh_client **out_client,
                          struct wh_error *detail)
{
    if (!options || !out_client) {
        (void)shell_fail(detail, WH_EINVAL, "options and out_client are needed");
        return WH_EINVAL;
    }
    struct wh_client *client = wh_calloc(1, sizeof *client);
    if (!client) {
        (void)shell_fail(detail, WH_ENOMEM, "%s", wh_err_text(WH_ENOMEM));
        return WH_ENOMEM;
    }
    enum wh_err err = settings_init(&client->settings, options, detail);
    if (err != WH_OK)
        goto fail_memory;
    err = runtime_acquire(runtime_of(options), &client->runtime, detail);
    if (err != WH_OK)
        goto fail_settings;
    err = init_shell(client);
    if (err != WH_OK) {
        (void)shell_fail(detail, err, "%s", wh_err_text(err));
        goto fail_runtime;
    }
    *out_client = client;
    return WH_OK;

fail_runtime:
    runtime_release(client->runtime);
fail_settings:
    settings_deinit(&client->settings);
fail_memory:
    wh_free(client);
    return err;
}

struct wh_client *wh_client_open(const char *url, const struct wh_client_options *options)
{
    struct wh_client_options all = WH_CLIENT_OPTIONS_INIT;
    struct wh_error error = {.err = WH_OK};
    enum wh_err err = options ? abi_copy(&all, sizeof all, options) : WH_OK;
    if (err != WH_OK)
        (void)shell_fail(&error, err, "options: %s", wh_err_text(err));
    if (url)
        all.url = url;
    struct wh_client *client = NULL;
    if (err == WH_OK)
        err = wh_client_new(&all, &client, &error);
    if (err == WH_OK) {
        err = wh_client_connect(client);
        if (err == WH_OK)
            return client;
        (void)shell_fail(&error, err, "%s", wh_err_text(err));
        /* user_free belongs to clients that the program got. */
        client->settings.user_free = NULL;
        wh_client_free(client);
    }
    trace_line(WH_SEVERITY_ERROR, "client", "open_failed", "err=%s reason=\"%s\"", wh_err_name(err),
               error.text);
    return NULL;
}

/* ---- the end --------------------------------------------------------------------------------- */

/* false: it was closing already. */
static bool begin_close(struct wh_client *client,
                        bool mute,
                        bool is_awaited,
                        void (*done)(void *user),
                        void *done_user)
{
    struct engine *engine = client_lock(client);
    bool is_first = !client->is_closing;
    if (is_first) {
        client->is_closing = true;
        client->done = done;
        client->done_user = done_user;
        client->is_awaited = is_awaited;
        engine_close(engine);
    }
    if (mute)
        atomic_store_explicit(&client->is_muted, true, memory_order_release);
    client_unlock(client);
    return is_first;
}

/* Give up what the program held. */
static void release(struct wh_client *client)
{
    struct wh_runtime *runtime = client->runtime;
    client_unref(client);
    runtime_release(runtime);
}

static bool begin_finish(struct wh_client *client)
{
    (void)client_lock(client);
    bool is_due = client->is_closing && client->is_detached && !client->is_finishing &&
                  !client->batch && client->engine.events.count == 0;
    if (is_due)
        client->is_finishing = true;
    client_unlock(client);
    return is_due;
}

void client_finish_if_due(struct wh_client *client)
{
    if (!begin_finish(client))
        return;
    if (client->settings.user_free)
        deliver_plain(client->settings.user_free, client->settings.user);
    if (client->done)
        deliver_plain(client->done, client->done_user);
    pthread_mutex_lock(&client->lock);
    client->is_finished = true;
    runtime_forget(client->runtime, client);
    bool is_awaited = client->is_awaited;
    pthread_cond_broadcast(&client->changed);
    pthread_mutex_unlock(&client->lock);
    if (!is_awaited)
        release(client);
}

/* DISPATCH and LOOP: callbacks run here.  A close that finishes meanwhile may take the runtime with
 * it. */
static void finish_here(struct wh_client *client, enum wh_mode mode)
{
    for (;;) {
        if (mode == WH_MODE_LOOP)
            client_turn(client);
        (void)deliver(client, 0);
        pthread_mutex_lock(&client->lock);
        bool has_something = !client->batch && client_has_delivery(client);
        bool is_finished = client->is_finished;
        if (!has_something && !is_finished)
            pthread_cond_wait(&client->changed, &client->lock);
        pthread_mutex_unlock(&client->lock);
        if (is_finished)
            return;
    }
}

static void await_finish(struct wh_client *client)
{
    pthread_mutex_lock(&client->lock);
    while (!client->is_finished)
        pthread_cond_wait(&client->changed, &client->lock);
    pthread_mutex_unlock(&client->lock);
}

void client_free_deferred(struct wh_client *client)
{
    finish_here(client, runtime_mode(client->runtime));
    release(client);
}

/* In a child of fork: threads and sockets are not ours, and what a thread of the parent was about
 * to change is left alone.  Calls and requests that the program still has look at the shell. */
static void free_forked(struct wh_client *client)
{
    if (client->is_abandoned || pthread_mutex_trylock(&client->lock) != 0)
        return;
    empty(client);
    client->is_abandoned = true;
    client_unref(client);
}

void wh_client_free(struct wh_client *client)
{
    if (!client)
        return;
    if (client_is_forked(client)) {
        free_forked(client);
        return;
    }
    enum wh_mode mode = runtime_mode(client->runtime);
    if (runtime_check_thread(client->runtime) != WH_OK) {
        (void)begin_close(client, true, false, NULL, NULL);
        return;
    }
    if (!deliver_is_inside()) {
        client_ref(client); /* wh_client_close was there first: its end gives up the program's */
        bool is_first = begin_close(client, false, true, NULL, NULL);
        if (mode == WH_MODE_THREADED)
            await_finish(client);
        else
            finish_here(client, mode);
        if (is_first)
            release(client);
        client_unref(client);
        return;
    }
    bool is_ours = mode != WH_MODE_THREADED; /* this thread runs its callbacks */
    bool is_first = begin_close(client, true, is_ours, NULL, NULL);
    if (is_first && is_ours)
        deliver_defer_free(client);
}

void wh_client_close(struct wh_client *client, void (*done)(void *user), void *user)
{
    if (!client || client_is_forked(client))
        return;
    (void)begin_close(client, false, false, done, user);
}

/* ---- one call of the engine each ------------------------------------------------------------- */

enum wh_err wh_client_connect(struct wh_client *client)
{
    enum wh_err err = client_check(client);
    if (err != WH_OK)
        return err;
    err = engine_connect(client_lock(client));
    client_unlock(client);
    return err;
}

enum wh_err wh_client_connect_wait(struct wh_client *client,
                                   uint32_t timeout_ms,
                                   struct wh_error *detail)
{
    enum wh_err err = client_check(client);
    if (err != WH_OK)
        return shell_fail(detail, err, "%s", wh_err_text(err));
    return client_wait_state(client, NULL, timeout_ms, detail);
}

enum wh_err wh_client_disconnect(struct wh_client *client)
{
    enum wh_err err = client_check(client);
    if (err != WH_OK)
        return err;
    struct engine *engine = client_lock(client);
    if (engine->state == ENGINE_CLOSED)
        err = WH_ECLOSED;
    else
        engine_disconnect(engine);
    client_unlock(client);
    return err;
}

enum wh_err wh_client_reconnect_now(struct wh_client *client)
{
    enum wh_err err = client_check(client);
    if (err != WH_OK)
        return err;
    struct engine *engine = client_lock(client);
    if (engine->state == ENGINE_CLOSED)
        err = WH_ECLOSED;
    else
        engine_reconnect_now(engine);
    client_unlock(client);
    return err;
}

enum wh_err wh_client_set_token(struct wh_client *client, const char *token)
{
    enum wh_err err = client_check(client);
    if (err != WH_OK)
        return err;
    struct engine *engine = client_lock(client);
    err = engine->state == ENGINE_CLOSED ? WH_ECLOSED : engine_set_token(engine, token);
    client_unlock(client);
    return err;
}

static void batch(struct wh_client *client, int change)
{
    if (client_check(client) != WH_OK)
        return;
    engine_batch(client_lock(client), change);
    client_unlock(client);
}

void wh_client_batch_begin(struct wh_client *client)
{
    batch(client, 1);
}

void wh_client_batch_end(struct wh_client *client)
{
    batch(client, -1);
}

enum wh_client_state wh_client_state(const struct wh_client *client)
{
    if (!client)
        return WH_CLIENT_CLOSED;
    return (enum wh_client_state)atomic_load_explicit(&client->state, memory_order_acquire);
}

const char *wh_client_state_name(enum wh_client_state state)
{
    switch (state) {
    case WH_CLIENT_DISCONNECTED:
        return "disconnected";
    case WH_CLIENT_CONNECTING:
        return "connecting";
    case WH_CLIENT_CONNECTED:
        return "connected";
    case WH_CLIENT_CLOSED:
        return "closed";
    }
    return "unknown";
}

void *wh_client_user(const struct wh_client *client)
{
    return client ? client->settings.user : NULL;
}

int wh_client_fd(const struct wh_client *client)
{
    return client ? client->event_fd : -1;
}

size_t wh_client_dispatch(struct wh_client *client, size_t events_max)
{
    if (client_check(client) != WH_OK || client->event_fd < 0 || deliver_is_inside())
        return 0;
    client_ref(client);
    size_t count = deliver(client, events_max);
    client_unref(client);
    return count;
}

void wh_client_stats(struct wh_client *client, struct wh_client_stats *stats)
{
    if (!stats)
        return;
    struct wh_client_stats full = {.size = sizeof full};
    if (client_check(client) == WH_OK) {
        engine_stats(client_lock(client), &full);
        client_unlock(client);
    }
    size_t size = stats->size;
    memset(stats, 0, size);
    memcpy(stats, &full, size < sizeof full ? size : sizeof full);
    if (size >= sizeof stats->size)
        stats->size = size;
}
