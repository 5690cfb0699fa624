/*
 * Runtimes, and all threads of the library.
 *
 * The serving thread (ours in THREADED and DISPATCH, the program's in LOOP)
 * runs the service and, when woken, the clients on the list `io`; each client's
 * next deadline is a timer in one wheel behind one timer of the service.  Callbacks
 * of clients on the list `ready` are run by the callback thread (THREADED) or by the
 * loop's thread; in DISPATCH a client has a descriptor instead.  Nothing looks at a
 * client that has nothing to do.
 *
 * The end: whoever gives the last reference back stops the threads and joins them; on one of the
 * threads themselves, and inside callbacks, they are left to end alone and the last one frees the
 * runtime.
 */
#include "client-sdk/src/run.h"

#include "client-sdk/src/abi.h"
#include "client-sdk/src/deliver.h"
#include "client-sdk/src/trace.h"

#include "common/base/alloc.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { IDLE_MS = 3600 * 1000, PUMP_ROUNDS = 8 };

struct wh_runtime {
    _Atomic uint32_t refs;
    pid_t pid;
    enum wh_mode mode;
    enum wh_loop loop;
    bool is_shared;
    struct service *service;

    pthread_mutex_t lock;
    pthread_cond_t changed; /* `ready`, `is_stopping`, `is_started` */
    struct wh_list io;      /* clients; each holds a reference */
    struct wh_list ready;
    bool is_woken; /* the service was told, and `io` not taken since */
    bool is_started, is_stopping;
    bool frees_itself; /* the last thread frees */
    unsigned threads;  /* that have not ended */
    enum wh_err start_err;
    struct wh_error start_error;
    const struct wh_runtime_options *start_options;
    pthread_t io_thread, callback_thread;

    /* The serving thread's. */
    struct wh_wheel wheel;
    struct service_timer timer;
    uint64_t armed_ms; /* when it fires; UINT64_MAX = it does not run */
    bool is_advancing;

    /* LOOP. */
    _Atomic(pthread_t) owner;
    _Atomic bool is_owner_known; /* it has run the loop */
    void (*done)(void *user);
    void *done_user;
};

static _Thread_local const struct wh_runtime *serving; /* by this thread of ours */
static _Thread_local const struct wh_runtime *calling_back;

enum wh_mode runtime_mode(const struct wh_runtime *runtime)
{
    return runtime->mode;
}

bool runtime_is_foreign(const struct wh_runtime *runtime)
{
    return runtime->mode == WH_MODE_LOOP && runtime->loop != WH_LOOP_NONE;
}

struct service *runtime_service(const struct wh_runtime *runtime)
{
    return runtime->service;
}

static bool is_owner(const struct wh_runtime *runtime)
{
    pthread_t owner = atomic_load_explicit(&runtime->owner, memory_order_acquire);
    return pthread_equal(owner, pthread_self()) != 0;
}

bool runtime_is_serving(const struct wh_runtime *runtime)
{
    return runtime->mode == WH_MODE_LOOP ? is_owner(runtime) : serving == runtime;
}

enum wh_err runtime_check_thread(const struct wh_runtime *runtime)
{
    return runtime->mode != WH_MODE_LOOP || is_owner(runtime) ? WH_OK : WH_EWRONGTHREAD;
}

/* The thread that first runs the loop is the loop's, whoever made the runtime. */
static void take_ownership(struct wh_runtime *runtime)
{
    if (atomic_load_explicit(&runtime->is_owner_known, memory_order_acquire))
        return;
    atomic_store_explicit(&runtime->owner, pthread_self(), memory_order_release);
    atomic_store_explicit(&runtime->is_owner_known, true, memory_order_release);
}

/* ---- lists ----------------------------------------------------------------------------------- */

void runtime_want_io(struct wh_runtime *runtime, struct wh_client *client)
{
    pthread_mutex_lock(&runtime->lock);
    if (wh_list_is_empty(&client->io_link)) {
        client_ref(client);
        wh_list_push_back(&runtime->io, &client->io_link);
    }
    bool must_wake = !runtime->is_woken;
    runtime->is_woken = true;
    pthread_mutex_unlock(&runtime->lock);
    if (must_wake)
        service_wake(runtime->service);
}

static void signal_descriptor(struct wh_client *client)
{
    if (client->is_signaled)
        return;
    client->is_signaled = true;
    uint64_t one = 1;
    ssize_t written = write(client->event_fd, &one, sizeof one);
    (void)written; /* 8 bytes into an empty counter */
}

void runtime_drain(struct wh_client *client)
{
    if (client->event_fd < 0 || !client->is_signaled)
        return;
    client->is_signaled = false;
    uint64_t count;
    ssize_t got = read(client->event_fd, &count, sizeof count);
    (void)got;
}

void runtime_want_delivery(struct wh_runtime *runtime, struct wh_client *client)
{
    if (runtime->mode == WH_MODE_DISPATCH) {
        signal_descriptor(client);
        return;
    }
    pthread_mutex_lock(&runtime->lock);
    bool is_new = wh_list_is_empty(&client->ready_link);
    bool was_empty = wh_list_is_empty(&runtime->ready);
    if (is_new) {
        client_ref(client);
        wh_list_push_back(&runtime->ready, &client->ready_link);
    }
    if (is_new && runtime->mode == WH_MODE_THREADED && was_empty)
        pthread_cond_signal(&runtime->changed);
    pthread_mutex_unlock(&runtime->lock);
    if (is_new && was_empty && runtime->mode == WH_MODE_LOOP)
        service_wake(runtime->service);
}

static bool take_off(struct wh_list *link)
{
    bool was_on = !wh_list_is_empty(link);
    wh_list_remove(link);
    return was_on;
}

void runtime_forget(struct wh_runtime *runtime, struct wh_client *client)
{
    pthread_mutex_lock(&runtime->lock);
    unsigned refs = (unsigned)take_off(&client->io_link) + (unsigned)take_off(&client->ready_link);
    pthread_mutex_unlock(&runtime->lock);
    while (refs-- > 0)
        client_unref(client); /* never the last: the caller has one */
}

/* The first of the list, with the reference that the list had; NULL = empty. */
static struct wh_client *pop_io(struct wh_runtime *runtime)
{
    pthread_mutex_lock(&runtime->lock);
    struct wh_list *node = wh_list_pop_front(&runtime->io);
    pthread_mutex_unlock(&runtime->lock);
    return node ? WH_CONTAINER_OF(node, struct wh_client, io_link) : NULL;
}

static struct wh_client *pop_ready(struct wh_runtime *runtime)
{
    pthread_mutex_lock(&runtime->lock);
    struct wh_list *node = wh_list_pop_front(&runtime->ready);
    pthread_mutex_unlock(&runtime->lock);
    return node ? WH_CONTAINER_OF(node, struct wh_client, ready_link) : NULL;
}

/* What other threads asked for since the last turn. */
static void turn(struct wh_runtime *runtime)
{
    pthread_mutex_lock(&runtime->lock);
    runtime->is_woken = false;
    pthread_mutex_unlock(&runtime->lock);
    struct wh_client *client;
    while ((client = pop_io(runtime)) != NULL) {
        client_turn(client);
        client_unref(client);
    }
}

/* LOOP: the callbacks of the clients that are ready now. */
static bool deliver_ready(struct wh_runtime *runtime)
{
    bool did_something = false;
    pthread_mutex_lock(&runtime->lock);
    size_t count = 0;
    WH_LIST_EACH(node, &runtime->ready)
    count++;
    pthread_mutex_unlock(&runtime->lock);
    for (; count > 0; count--) {
        struct wh_client *client = pop_ready(runtime);
        if (!client)
            break;
        (void)deliver(client, 0);
        client_unref(client);
        did_something = true;
    }
    return did_something;
}

static bool has_work(struct wh_runtime *runtime)
{
    pthread_mutex_lock(&runtime->lock);
    bool waits = !wh_list_is_empty(&runtime->ready) || !wh_list_is_empty(&runtime->io);
    pthread_mutex_unlock(&runtime->lock);
    return waits;
}

/* ---- time ------------------------------------------------------------------------------------ */

static void arm(struct wh_runtime *runtime, uint64_t now_ms)
{
    uint64_t next = wh_wheel_next_ms(&runtime->wheel, now_ms);
    if (next == UINT64_MAX || runtime->is_advancing)
        return;
    uint64_t due = now_ms + next;
    if (due >= runtime->armed_ms)
        return;
    runtime->armed_ms = due;
    service_timer_start(runtime->service, &runtime->timer, next);
}

static void on_timer(struct service_timer *timer)
{
    struct wh_runtime *runtime = WH_CONTAINER_OF(timer, struct wh_runtime, timer);
    if (runtime->mode == WH_MODE_LOOP)
        take_ownership(runtime);
    runtime->armed_ms = UINT64_MAX;
    runtime->is_advancing = true;
    wh_wheel_advance(&runtime->wheel, shell_now_ms());
    runtime->is_advancing = false;
    arm(runtime, shell_now_ms());
}

void runtime_schedule(struct wh_runtime *runtime, struct wh_client *client, uint64_t delay_ms)
{
    uint64_t now_ms = client->engine.now_ms;
    wh_timer_start(&runtime->wheel, &client->timer, now_ms, delay_ms);
    arm(runtime, now_ms);
}

void runtime_unschedule(struct wh_runtime *runtime, struct wh_client *client)
{
    wh_timer_stop(&runtime->wheel, &client->timer);
    client->timer_due_ms = UINT64_MAX;
}

/* ---- threads --------------------------------------------------------------------------------- */

static void free_runtime(struct wh_runtime *runtime)
{
    pthread_cond_destroy(&runtime->changed);
    pthread_mutex_destroy(&runtime->lock);
    wh_free(runtime);
}

/* The last thing that a thread of ours does. */
static void leave(struct wh_runtime *runtime)
{
    pthread_mutex_lock(&runtime->lock);
    bool is_last = --runtime->threads == 0 && runtime->frees_itself;
    pthread_mutex_unlock(&runtime->lock);
    if (is_last)
        free_runtime(runtime);
}

static void on_wake_nothing(void *user)
{
    (void)user; /* the list is looked at after each turn of the service */
}

static enum wh_err make_service(struct wh_runtime *runtime,
                                const struct wh_runtime_options *options,
                                void (*on_wake)(void *user),
                                struct wh_error *error)
{
    struct service_options wanted = {
        .loop = runtime->loop,
        .foreign = options->foreign,
        .keep_lws_log = (options->flags & WH_RUNTIME_KEEP_LWS_LOG) != 0,
        .on_wake = on_wake,
        .user = runtime,
    };
    wh_wheel_init(&runtime->wheel, shell_now_ms());
    runtime->armed_ms = UINT64_MAX;
    runtime->timer.fn = on_timer;
    return service_new(&wanted, &runtime->service, error);
}

static bool start_service(struct wh_runtime *runtime)
{
    enum wh_err err =
        make_service(runtime, runtime->start_options, on_wake_nothing, &runtime->start_error);
    pthread_mutex_lock(&runtime->lock);
    runtime->start_err = err;
    runtime->is_started = true;
    pthread_cond_broadcast(&runtime->changed);
    pthread_mutex_unlock(&runtime->lock);
    return err == WH_OK;
}

static bool is_stopping(struct wh_runtime *runtime)
{
    pthread_mutex_lock(&runtime->lock);
    bool stopping = runtime->is_stopping;
    pthread_mutex_unlock(&runtime->lock);
    return stopping;
}

static void *run_io(void *user)
{
    struct wh_runtime *runtime = (struct wh_runtime *)user;
    pthread_setname_np(pthread_self(), "wirehub-io");
    serving = runtime;
    if (start_service(runtime)) {
        for (turn(runtime); !is_stopping(runtime); turn(runtime))
            service_run(runtime->service, IDLE_MS);
        service_timer_stop(runtime->service, &runtime->timer);
        service_free(runtime->service, NULL, NULL);
    }
    leave(runtime);
    return NULL;
}

static struct wh_client *wait_ready(struct wh_runtime *runtime)
{
    pthread_mutex_lock(&runtime->lock);
    while (wh_list_is_empty(&runtime->ready) && !runtime->is_stopping)
        pthread_cond_wait(&runtime->changed, &runtime->lock);
    pthread_mutex_unlock(&runtime->lock);
    return pop_ready(runtime);
}

static void *run_callbacks(void *user)
{
    struct wh_runtime *runtime = (struct wh_runtime *)user;
    pthread_setname_np(pthread_self(), "wirehub-events");
    calling_back = runtime;
    struct wh_client *client;
    while ((client = wait_ready(runtime)) != NULL) {
        (void)deliver(client, 0);
        client_unref(client);
    }
    leave(runtime);
    return NULL;
}

/* With every signal blocked: they are for the program's threads. */
static bool start_thread(struct wh_runtime *runtime, pthread_t *thread, void *(*run)(void *user))
{
    sigset_t all, before;
    sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0)
        return false;
    pthread_mutex_lock(&runtime->lock);
    bool is_started = pthread_create(thread, NULL, run, runtime) == 0;
    runtime->threads += is_started;
    pthread_mutex_unlock(&runtime->lock);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return is_started;
}

static void stop(struct wh_runtime *runtime)
{
    pthread_mutex_lock(&runtime->lock);
    runtime->is_stopping = true;
    pthread_cond_broadcast(&runtime->changed);
    pthread_mutex_unlock(&runtime->lock);
}

static enum wh_err start_io(struct wh_runtime *runtime,
                            const struct wh_runtime_options *options,
                            struct wh_error *detail)
{
    runtime->start_options = options;
    if (!start_thread(runtime, &runtime->io_thread, run_io))
        return shell_fail(detail, WH_EIO, "the thread for I/O could not be started");
    pthread_mutex_lock(&runtime->lock);
    while (!runtime->is_started)
        pthread_cond_wait(&runtime->changed, &runtime->lock);
    runtime->start_options = NULL;
    pthread_mutex_unlock(&runtime->lock);
    if (runtime->start_err == WH_OK)
        return WH_OK;
    pthread_join(runtime->io_thread, NULL);
    return shell_fail(detail, runtime->start_err, "%s", runtime->start_error.text);
}

static enum wh_err start_threads(struct wh_runtime *runtime,
                                 const struct wh_runtime_options *options,
                                 struct wh_error *detail)
{
    enum wh_err err = start_io(runtime, options, detail);
    if (err != WH_OK || runtime->mode == WH_MODE_DISPATCH)
        return err;
    if (start_thread(runtime, &runtime->callback_thread, run_callbacks))
        return WH_OK;
    stop(runtime);
    service_wake(runtime->service);
    pthread_join(runtime->io_thread, NULL);
    return shell_fail(detail, WH_EIO, "the thread for callbacks could not be started");
}

/* ---- life ------------------------------------------------------------------------------------ */

static void on_wake_loop(void *user)
{
    struct wh_runtime *runtime = (struct wh_runtime *)user;
    take_ownership(runtime);
    atomic_fetch_add_explicit(&runtime->refs, 1, memory_order_relaxed);
    turn(runtime);
    /* Those that got new events meanwhile stand in the list again, behind others: nobody woke for
     * them.  They have their turn after the loop's other work. */
    if (deliver_ready(runtime) && has_work(runtime))
        service_wake(runtime->service);
    runtime_release(runtime);
}

static enum wh_err check_options(const struct wh_runtime_options *given,
                                 struct wh_runtime_options *options,
                                 struct wh_error *detail)
{
    enum wh_err err = given ? abi_copy(options, sizeof *options, given) : WH_OK;
    if (err != WH_OK)
        return shell_fail(detail, err, "runtime options: size: %s", wh_err_text(err));
    if (options->mode > WH_MODE_LOOP)
        return shell_fail(detail, WH_EINVAL, "mode: %d is none", (int)options->mode);
    if (options->loop > WH_LOOP_GLIB)
        return shell_fail(detail, WH_EINVAL, "loop: %d is none", (int)options->loop);
    if (options->mode != WH_MODE_LOOP && (options->loop != WH_LOOP_NONE || options->foreign))
        return shell_fail(detail, WH_EINVAL, "loop, foreign: for WH_MODE_LOOP only");
    if ((options->loop == WH_LOOP_NONE) != (options->foreign == NULL))
        return shell_fail(detail, WH_EINVAL, "foreign: goes with a loop other than WH_LOOP_NONE");
    if ((options->flags & ~(unsigned)WH_RUNTIME_KEEP_LWS_LOG) != 0)
        return shell_fail(detail, WH_EABI, "flags: 0x%x has unknown ones", options->flags);
    return WH_OK;
}

static enum wh_err init_runtime(struct wh_runtime *runtime)
{
    runtime->refs = 1;
    runtime->pid = getpid();
    wh_list_init(&runtime->io);
    wh_list_init(&runtime->ready);
    atomic_init(&runtime->owner, pthread_self());
    if (pthread_mutex_init(&runtime->lock, NULL) != 0)
        return WH_ENOMEM;
    if (pthread_cond_init(&runtime->changed, NULL) == 0)
        return WH_OK;
    pthread_mutex_destroy(&runtime->lock);
    return WH_ENOMEM;
}

enum wh_err wh_runtime_new(const struct wh_runtime_options *given,
                           struct wh_runtime **out_runtime,
                           struct wh_error *detail)
{
    struct wh_runtime_options options = WH_RUNTIME_OPTIONS_INIT;
    if (!out_runtime)
        return shell_fail(detail, WH_EINVAL, "out_runtime is needed");
    enum wh_err err = check_options(given, &options, detail);
    if (err != WH_OK)
        return err;
    struct wh_runtime *runtime = wh_calloc(1, sizeof *runtime);
    err = runtime ? init_runtime(runtime) : WH_ENOMEM;
    if (err != WH_OK) {
        wh_free(runtime);
        return shell_fail(detail, err, "%s", wh_err_text(err));
    }
    runtime->mode = options.mode;
    runtime->loop = options.loop;
    if (options.mode != WH_MODE_LOOP) {
        err = start_threads(runtime, &options, detail);
    } else {
        void (*on_wake)(void *user) = options.foreign ? on_wake_loop : on_wake_nothing;
        struct wh_error error = {.err = WH_OK};
        err = make_service(runtime, &options, on_wake, &error);
        if (err != WH_OK)
            (void)shell_fail(detail, err, "%s", error.text);
    }
    if (err != WH_OK) {
        free_runtime(runtime);
        return err;
    }
    *out_runtime = runtime;
    return WH_OK;
}

/* LOOP: nothing of the library is on the loop any more. */
static void on_service_gone(void *user)
{
    struct wh_runtime *runtime = (struct wh_runtime *)user;
    void (*done)(void *user) = runtime->done;
    void *done_user = runtime->done_user;
    free_runtime(runtime);
    if (done)
        deliver_plain(done, done_user);
}

static void end_loop(struct wh_runtime *runtime)
{
    service_timer_stop(runtime->service, &runtime->timer);
    service_free(runtime->service, on_service_gone, runtime);
}

static void end_threads(struct wh_runtime *runtime)
{
    bool may_join = !deliver_is_inside() && serving != runtime && calling_back != runtime;
    pthread_t io_thread = runtime->io_thread;
    pthread_t callback_thread = runtime->callback_thread;
    bool has_callback_thread = runtime->mode == WH_MODE_THREADED;
    pthread_mutex_lock(&runtime->lock);
    runtime->is_stopping = true;
    runtime->frees_itself = !may_join;
    pthread_cond_broadcast(&runtime->changed);
    service_wake(runtime->service); /* under the lock: the thread cannot be gone yet */
    if (!may_join) {
        pthread_detach(io_thread);
        if (has_callback_thread)
            pthread_detach(callback_thread);
    }
    pthread_mutex_unlock(&runtime->lock);
    if (!may_join)
        return;
    pthread_join(io_thread, NULL);
    if (has_callback_thread)
        pthread_join(callback_thread, NULL);
    free_runtime(runtime);
}

/* ---- the shared one -------------------------------------------------------------------------- */

static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;
static struct wh_runtime *shared; /* under the lock; gone with its last client */

static void lock_shared(void)
{
    pthread_mutex_lock(&shared_lock);
}

static void unlock_shared(void)
{
    pthread_mutex_unlock(&shared_lock);
}

/* So that the child of a fork finds the lock free and can make clients of its own. */
static void register_fork_handlers(void)
{
    (void)pthread_atfork(lock_shared, unlock_shared, unlock_shared);
}

static enum wh_err acquire_shared(struct wh_runtime **out_runtime, struct wh_error *detail)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, register_fork_handlers);
    enum wh_err err = WH_OK;
    lock_shared();
    if (shared && shared->pid == getpid()) {
        atomic_fetch_add_explicit(&shared->refs, 1, memory_order_relaxed);
    } else {
        shared = NULL; /* the parent's is the parent's */
        err = wh_runtime_new(NULL, &shared, detail);
        if (err == WH_OK)
            shared->is_shared = true;
    }
    if (err == WH_OK)
        *out_runtime = shared;
    unlock_shared();
    return err;
}

enum wh_err runtime_acquire(struct wh_runtime *given,
                            struct wh_runtime **out_runtime,
                            struct wh_error *detail)
{
    if (!given)
        return acquire_shared(out_runtime, detail);
    enum wh_err err = given->pid == getpid() ? runtime_check_thread(given) : WH_EFORKED;
    if (err != WH_OK)
        return shell_fail(detail, err, "runtime: %s", wh_err_text(err));
    atomic_fetch_add_explicit(&given->refs, 1, memory_order_relaxed);
    *out_runtime = given;
    return WH_OK;
}

/* true: that was the last one. */
static bool drop_reference(struct wh_runtime *runtime)
{
    if (!runtime->is_shared)
        return atomic_fetch_sub_explicit(&runtime->refs, 1, memory_order_acq_rel) == 1;
    lock_shared();
    bool is_last = atomic_fetch_sub_explicit(&runtime->refs, 1, memory_order_acq_rel) == 1;
    if (is_last && shared == runtime)
        shared = NULL;
    unlock_shared();
    return is_last;
}

void runtime_release(struct wh_runtime *runtime)
{
    if (!drop_reference(runtime))
        return;
    if (runtime->mode == WH_MODE_LOOP)
        end_loop(runtime);
    else
        end_threads(runtime);
}

/* In the child of a fork the threads are not there, and the service's sockets are the parent's:
 * their memory stays. */
void wh_runtime_free(struct wh_runtime *runtime)
{
    if (runtime && runtime->pid == getpid())
        runtime_release(runtime);
}

void wh_runtime_close(struct wh_runtime *runtime, void (*done)(void *user), void *user)
{
    if (!runtime || runtime->pid != getpid())
        return;
    if (runtime->mode == WH_MODE_LOOP) {
        runtime->done = done;
        runtime->done_user = user;
        runtime_release(runtime);
        return;
    }
    runtime_release(runtime);
    if (done)
        deliver_plain(done, user);
}

/* ---- the pumped loop ------------------------------------------------------------------------- */

void runtime_pump(struct wh_runtime *runtime, uint32_t max_wait_ms)
{
    atomic_fetch_add_explicit(&runtime->refs, 1, memory_order_relaxed);
    service_run(runtime->service, has_work(runtime) ? 0 : max_wait_ms);
    /* A client that was freed in a callback needs a turn and a last delivery. */
    for (unsigned i = 0; i < PUMP_ROUNDS; i++) {
        turn(runtime);
        if (!deliver_ready(runtime))
            break;
    }
    runtime_release(runtime);
}

enum wh_err wh_runtime_run_once(struct wh_runtime *runtime, uint32_t max_wait_ms)
{
    if (!runtime || runtime->mode != WH_MODE_LOOP || runtime->loop != WH_LOOP_NONE)
        return WH_EINVAL;
    if (runtime->pid != getpid())
        return WH_EFORKED;
    take_ownership(runtime);
    if (!is_owner(runtime))
        return WH_EWRONGTHREAD;
    if (deliver_is_inside())
        return WH_EWOULDDEADLOCK;
    runtime_pump(runtime, max_wait_ms);
    return WH_OK;
}

void wh_runtime_wake(struct wh_runtime *runtime)
{
    if (runtime && runtime->pid == getpid())
        service_wake(runtime->service);
}

void wh_set_allocator(void *(*malloc_fn)(size_t size),
                      void *(*realloc_fn)(void *ptr, size_t size),
                      void (*free_fn)(void *ptr))
{
    struct wh_allocator allocator = {malloc_fn, realloc_fn, free_fn};
    bool is_complete = malloc_fn && realloc_fn && free_fn;
    wh_alloc_set(is_complete ? &allocator : NULL);
}
