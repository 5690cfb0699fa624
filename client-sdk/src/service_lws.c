/*
 * The context: its loop, its timers, its sockets, being woken, and its end.  The only file that
 * knows libwebsockets.
 *
 * Facts about libwebsockets 4.1.6 that shape this file, read in its source and seen in tests:
 *  - lws_create_context sets SIGPIPE to be ignored for the whole process: we put back what was.
 *  - lws_service ignores how long it may wait: a timer of ours bounds it.
 *  - A timer started outside of its callbacks is not seen by a foreign loop until something else
 *    happens: schedule makes something happen.
 *  - LWS_CALLBACK_EVENT_WAIT_CANCELLED may come more than once: is_woken makes it one.
 *  - It unloads the plug-in of a foreign loop while that may be running: pin_plugin.
 *  - Context destruction inside a callback is put off by libwebsockets itself; on libuv it needs
 *    turns of the loop and a second call (uv_drain).
 *  - A descriptor that it adopts as a file is only watched: reading and writing stay ours.  After
 *    RAW_WRITEABLE_FILE it forgets what that callback asked for: `again` asks later.  Outside of
 *    its callbacks it can be closed at once, inside by their return value: `closer`.
 */
#include "client-sdk/src/service_socket.h"

#include "client-sdk/src/tls.h"
#include "common/base/alloc.h"

#include <dlfcn.h>
#include <libwebsockets.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    SERVICE_CONNECTIONS_MAX = 65536, /* or the process's limit of descriptors if that is less */
    SERVICE_TIMER_MS_MAX = 864000000 /* ten days: a timer may run early, not never */
};

/* Of messages that wait for their next life.  None where AddressSanitizer looks after lives. */
#ifdef __SANITIZE_ADDRESS__
enum { SPARE_BYTES_MAX = 0 };
#else
enum { SPARE_BYTES_MAX = 1048576 };
#endif

struct service {
    struct lws_context *context;
    struct lws_vhost *vhost;
    enum wh_loop loop;
    void *foreign; /* the loop */
    void (*on_wake)(void *user);
    void *user;
    atomic_bool is_woken;   /* since the last on_wake */
    struct wh_list holders; /* struct service_holder, sockets included */
    int fd_limit;
    lws_sorted_usec_list_t tick;   /* libev only */
    lws_sorted_usec_list_t reaper; /* ends the service when nobody holds it */
    lws_sorted_usec_list_t waiter; /* ends the wait of service_run */
    bool is_closing;
    void (*done)(void *user);
    void *done_user;
    bool *is_gone; /* set when the context goes inside service_free's own call */
    struct uv_drain *drain;
    struct service_shared shared;
};

/* ---- timers -------------------------------------------------------------------------------- */

static void schedule(struct service *service,
                     lws_sorted_usec_list_t *timer,
                     void (*fn)(lws_sorted_usec_list_t *timer),
                     uint64_t delay_us)
{
    lws_sul_schedule(service->context, 0, timer, fn, delay_us > 0 ? (lws_usec_t)delay_us : 1);
    if (service->loop != WH_LOOP_NONE)
        lws_cancel_service(service->context);
}

/* The libev plug-in does not bring its timer forward once it runs, so one that comes sooner than
 * the last would wait for that.  With this there is never a later one. */
enum { EV_TICK_US = 25 * 1000 };

static void on_tick(lws_sorted_usec_list_t *timer)
{
    struct service *service = WH_CONTAINER_OF(timer, struct service, tick);
    lws_sul_schedule(service->context, 0, timer, on_tick, EV_TICK_US);
}

struct timer {
    lws_sorted_usec_list_t sul;
};
_Static_assert(sizeof(struct timer) <= sizeof((struct service_timer *)0)->impl,
               "service_timer has room for lws_sorted_usec_list_t");

static void on_timer(lws_sorted_usec_list_t *sul)
{
    struct service_timer *timer = WH_CONTAINER_OF(sul, struct service_timer, impl);
    timer->fn(timer);
}

void service_timer_start(struct service *service, struct service_timer *timer, uint64_t delay_ms)
{
    if (delay_ms > SERVICE_TIMER_MS_MAX)
        delay_ms = SERVICE_TIMER_MS_MAX;
    schedule(service, &((struct timer *)(void *)timer->impl)->sul, on_timer, delay_ms * 1000);
}

void service_timer_stop(struct service *service, struct service_timer *timer)
{
    (void)service;
    lws_sul_cancel(&((struct timer *)(void *)timer->impl)->sul);
}

/* ---- being woken --------------------------------------------------------------------------- */

void service_wake(struct service *service)
{
    atomic_store(&service->is_woken, true);
    lws_cancel_service(service->context);
}

static void wake_for_names(void *user)
{
    struct service *service = user;
    lws_cancel_service(service->context);
}

static void on_wait_cancelled(struct service *service)
{
    if (service->is_closing)
        return;
    resolver_run(service->shared.resolver);
    if (atomic_exchange(&service->is_woken, false))
        service->on_wake(service->user);
}

/* ---- sockets ------------------------------------------------------------------------------- */

struct service_socket {
    struct service_holder holder;
    struct service *service;
    struct lws *wsi;       /* NULL = none any more */
    service_socket_fn *fn; /* NULL = freed by its owner */
    void *user;
    bool is_told_writable; /* inside that event */
    lws_sorted_usec_list_t again;
    lws_sorted_usec_list_t closer;
};

static void tell(struct service_socket *socket, unsigned events)
{
    if (socket->fn)
        socket->fn(socket->user, events);
}

static void tell_writable(struct service_socket *socket)
{
    socket->is_told_writable = true;
    tell(socket, SOCKET_WRITABLE);
    socket->is_told_writable = false;
}

static void on_again(lws_sorted_usec_list_t *timer)
{
    struct service_socket *socket = WH_CONTAINER_OF(timer, struct service_socket, again);
    if (socket->wsi)
        (void)lws_callback_on_writable(socket->wsi);
}

static void on_close(lws_sorted_usec_list_t *timer)
{
    struct service_socket *socket = WH_CONTAINER_OF(timer, struct service_socket, closer);
    if (socket->wsi)
        lws_set_timeout(socket->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_SYNC);
}

static void socket_deinit(struct service_socket *socket)
{
    struct service *service = socket->service;
    lws_sul_cancel(&socket->again);
    lws_sul_cancel(&socket->closer);
    service_release(service, &socket->holder);
    wh_free(socket);
}

static int on_socket(struct service_socket *socket, enum lws_callback_reasons reason)
{
    switch (reason) {
    /* One that was freed is closed here: as long as it has events GLib comes to no timers. */
    case LWS_CALLBACK_RAW_RX_FILE:
        tell(socket, SOCKET_READABLE);
        return socket->fn ? 0 : -1;
    case LWS_CALLBACK_RAW_WRITEABLE_FILE:
        tell_writable(socket);
        return socket->fn ? 0 : -1;
    case LWS_CALLBACK_RAW_CLOSE_FILE:
        tell(socket, SOCKET_READABLE | SOCKET_GONE);
        break;
    case LWS_CALLBACK_WSI_DESTROY:
        socket->wsi = NULL;
        if (!socket->fn)
            socket_deinit(socket);
        break;
    default:
        return 0; /* nothing of interest */
    }
    return 0;
}

static int on_event(struct lws *wsi,
                    enum lws_callback_reasons reason,
                    void *user,
                    void *in,
                    size_t len)
{
    (void)user;
    (void)in;
    (void)len;
    if (reason == LWS_CALLBACK_EVENT_WAIT_CANCELLED) {
        on_wait_cancelled(lws_context_user(lws_get_context(wsi)));
        return 0;
    }
    struct service_socket *socket = wsi ? lws_get_opaque_user_data(wsi) : NULL;
    return socket ? on_socket(socket, reason) : 0;
}

enum wh_err service_socket_new(struct service *service,
                               int fd,
                               service_socket_fn *fn,
                               void *user,
                               struct service_socket **out_socket)
{
    struct service_socket *socket = NULL;
    enum wh_err err = fd < service->fd_limit ? WH_OK : WH_ELIMIT;
    if (err == WH_OK && !(socket = wh_calloc(1, sizeof *socket)))
        err = WH_ENOMEM;
    if (err != WH_OK) {
        (void)close(fd);
        return err;
    }
    socket->service = service;
    service_hold(service, &socket->holder);
    lws_adopt_desc_t info = {.vh = service->vhost,
                             .type = LWS_ADOPT_RAW_FILE_DESC,
                             .fd.filefd = fd,
                             .vh_prot_name = "wirehub",
                             .opaque = socket};
    socket->wsi = lws_adopt_descriptor_vhost_via_info(&info);
    if (!socket->wsi) {
        /* It has no memory, and may keep the descriptor until its own end. */
        (void)shutdown(fd, SHUT_RDWR);
        service_release(service, &socket->holder);
        return WH_ENOMEM;
    }
    socket->fn = fn;
    socket->user = user;
    *out_socket = socket;
    return WH_OK;
}

void service_socket_want_write(struct service_socket *socket)
{
    if (!socket->wsi)
        return;
    if (socket->is_told_writable)
        schedule(socket->service, &socket->again, on_again, 0);
    else
        (void)lws_callback_on_writable(socket->wsi);
}

void service_socket_set_reading(struct service_socket *socket, bool is_reading)
{
    if (socket->wsi)
        (void)lws_rx_flow_control(socket->wsi, is_reading);
}

void service_socket_free(struct service_socket *socket)
{
    if (!socket)
        return;
    socket->fn = NULL;
    if (socket->wsi)
        schedule(socket->service, &socket->closer, on_close, 0);
    else
        socket_deinit(socket);
}

/* ---- holders ------------------------------------------------------------------------------- */

static void on_last_holder(lws_sorted_usec_list_t *timer);

void service_hold(struct service *service, struct service_holder *holder)
{
    wh_list_push_back(&service->holders, &holder->link);
}

void service_release(struct service *service, struct service_holder *holder)
{
    wh_list_remove(&holder->link);
    if (!service->is_closing || !wh_list_is_empty(&service->holders))
        return;
    if (service->loop == WH_LOOP_NONE)
        lws_cancel_service(service->context); /* the pass that waits in service_free */
    else
        schedule(service, &service->reaper, on_last_holder, 0);
}

static void hurry_holders(struct service *service)
{
    WH_LIST_EACH(node, &service->holders)
    {
        struct service_holder *holder = WH_CONTAINER_OF(node, struct service_holder, link);
        if (holder->hurry)
            holder->hurry(holder);
    }
}

struct service_shared *service_shared(struct service *service)
{
    return &service->shared;
}

/* ---- life ---------------------------------------------------------------------------------- */

static const struct {
    uint64_t option;
    const char *plugin;
    const char *package;
} loops[] = {
    [WH_LOOP_UV] = {LWS_SERVER_OPTION_LIBUV, "evlib_uv", "libwebsockets-evlib-uv"},
    [WH_LOOP_EV] = {LWS_SERVER_OPTION_LIBEV, "evlib_ev", "libwebsockets-evlib-ev"},
    [WH_LOOP_GLIB] = {LWS_SERVER_OPTION_GLIB, "evlib_glib", "libwebsockets-evlib-glib"},
};

static enum wh_err cannot(struct wh_error *detail, enum wh_err err, const char *text)
{
    if (detail) {
        *detail = (struct wh_error){.err = err};
        (void)snprintf(detail->text, sizeof detail->text, "%s", text);
    }
    return err;
}

/*
 * Whether it is there; and it stays loaded for good.  libwebsockets unloads it with the context,
 * even when the plug-in's own code called for that and has to return.
 */
static enum wh_err pin_plugin(enum wh_loop loop, struct wh_error *detail)
{
    char path[PATH_MAX];
    char text[160];
    if (loop == WH_LOOP_NONE)
        return WH_OK;
    (void)snprintf(path, sizeof path, "%s/libwebsockets-%s.so", LWS_INSTALL_LIBDIR,
                   loops[loop].plugin);
    if (dlopen(path, RTLD_LAZY | RTLD_NODELETE))
        return WH_OK;
    (void)snprintf(text, sizeof text, "libwebsockets has no plug-in for this loop: install %s",
                   loops[loop].package);
    return cannot(detail, WH_ELOOP, text);
}

/* 0 = libwebsockets takes the process's limit of descriptors, and an array of that size for quick
 * look-ups; where the limit is a million, a smaller one that it searches. */
static unsigned descriptor_limit(void)
{
    long limit = sysconf(_SC_OPEN_MAX);
    return limit > SERVICE_CONNECTIONS_MAX ? SERVICE_CONNECTIONS_MAX : 0;
}

static struct lws_context *create_context(struct service *service,
                                          const struct service_options *options)
{
    void *foreign[1] = {options->foreign};
    struct sigaction before;
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
        .gid = -1,
        .uid = -1,
        .user = service,
        .fd_limit_per_thread = descriptor_limit(),
    };
    if (options->loop != WH_LOOP_NONE) {
        info.options |= loops[options->loop].option;
        info.foreign_loops = foreign;
    }
    static atomic_bool is_silenced;
    if (!options->keep_lws_log && !atomic_exchange(&is_silenced, true))
        lws_set_log_level(0, NULL);
    bool is_known = sigaction(SIGPIPE, NULL, &before) == 0;
    struct lws_context *context = lws_create_context(&info);
    if (is_known)
        (void)sigaction(SIGPIPE, &before, NULL);
    return context;
}

static void finish(struct service *service);

/* The last moment of the context, which destroys its vhost at its end. */
static void on_vhost_gone(struct lws_vhost *vhost, void *arg)
{
    struct service *service = arg;
    (void)vhost;
    if (!service->is_closing || service->drain)
        return;
    if (service->is_gone)
        *service->is_gone = true;
    else
        finish(service);
}

/* It wakes nobody without one. */
static struct lws_vhost *create_vhost(struct service *service)
{
    static const struct lws_protocols protocols[] = {
        {.name = "wirehub", .callback = on_event},
        {.name = NULL},
    };
    const struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .protocols = protocols,
        .vhost_name = "wirehub",
        .http_proxy_address = "", /* or it looks at the environment's */
        .finalize = on_vhost_gone,
        .finalize_arg = service,
    };
    return lws_create_vhost(service->context, &info);
}

static void service_deinit(struct service *service)
{
    message_pool_close(service->shared.pool);
    resolver_free(service->shared.resolver);
    wh_buf_deinit(&service->shared.frame);
    wh_free(service);
}

static enum wh_err make_ready(struct service *service, const struct service_options *options)
{
    enum wh_err err = resolver_new(wake_for_names, service, &service->shared.resolver);
    if (err != WH_OK)
        return err;
    service->shared.pool = message_pool_new(SPARE_BYTES_MAX);
    if (!service->shared.pool)
        return WH_ENOMEM;
    service->context = create_context(service, options);
    if (!service->context)
        return options->loop == WH_LOOP_NONE ? WH_EIO : WH_ELOOP;
    service->vhost = create_vhost(service);
    if (!service->vhost)
        return WH_ENOMEM;
    if (service->loop == WH_LOOP_EV)
        schedule(service, &service->tick, on_tick, EV_TICK_US);
    return WH_OK;
}

enum wh_err service_new(const struct service_options *options,
                        struct service **out_service,
                        struct wh_error *detail)
{
    enum wh_err err = pin_plugin(options->loop, detail);
    if (err != WH_OK)
        return err;
    struct service *service = wh_calloc(1, sizeof *service);
    if (!service)
        return cannot(detail, WH_ENOMEM, wh_err_text(WH_ENOMEM));
    service->loop = options->loop;
    service->foreign = options->foreign;
    service->on_wake = options->on_wake;
    service->user = options->user;
    unsigned limit = descriptor_limit();
    service->fd_limit = limit > 0 ? (int)limit : INT_MAX;
    wh_list_init(&service->holders);
    wh_list_init(&service->shared.tls);
    err = make_ready(service, options);
    if (err == WH_OK) {
        *out_service = service;
        return WH_OK;
    }
    if (service->context)
        lws_context_destroy(service->context);
    service_deinit(service);
    return cannot(detail, err,
                  err == WH_ENOMEM ? wh_err_text(err) : "libwebsockets could not set up its loop");
}

static void on_waited(lws_sorted_usec_list_t *timer)
{
    (void)timer;
}

void service_run(struct service *service, uint32_t max_wait_ms)
{
    if (max_wait_ms == 0) {
        (void)lws_service(service->context, -1);
        return;
    }
    lws_sul_schedule(service->context, 0, &service->waiter, on_waited,
                     (lws_usec_t)max_wait_ms * 1000);
    (void)lws_service(service->context, 0);
    lws_sul_cancel(&service->waiter);
}

/* ---- the end ------------------------------------------------------------------------------- */

static void finish(struct service *service)
{
    void (*done)(void *user) = service->done;
    void *user = service->done_user;
    service_deinit(service);
    if (done)
        done(user);
}

/*
 * libuv's handles are closed by turns of its loop, and libwebsockets does not say when that is
 * over.  An idle handle of our own counts the turns: in the first the destruction begins, at whose
 * end the connections' handles close; at the end of the second those of the context; in the third
 * the context can be freed.  libuv is the program's and the plug-in's, so it is there; the library
 * itself is not linked to it.
 */
struct uv_drain {
    struct service *service;
    unsigned turns;
    int (*idle_stop)(void *handle);
    void (*close)(void *handle, void (*closed)(void *handle));
    max_align_t handle[]; /* uv_idle_t */
};

enum { UV_IDLE = 6 /* of uv_handle_type, in libuv's ABI since 1.0 */ };

static void on_drain_closed(void *handle)
{
    struct uv_drain *drain = WH_CONTAINER_OF(handle, struct uv_drain, handle);
    struct service *service = drain->service;
    wh_free(drain);
    finish(service);
}

static void on_drain(void *handle)
{
    struct uv_drain *drain = WH_CONTAINER_OF(handle, struct uv_drain, handle);
    drain->turns++;
    if (drain->turns == 1)
        lws_context_destroy(drain->service->context);
    if (drain->turns < 3)
        return;
    lws_context_destroy(drain->service->context);
    (void)drain->idle_stop(handle);
    drain->close(handle, on_drain_closed);
}

static bool drain_uv(struct service *service)
{
    void *uv = dlopen("libuv.so.1", RTLD_LAZY | RTLD_NOLOAD);
    if (!uv)
        return false;
    size_t (*handle_size)(int type) = (size_t(*)(int))dlsym(uv, "uv_handle_size");
    int (*init)(void *loop, void *handle) = (int (*)(void *, void *))dlsym(uv, "uv_idle_init");
    int (*start)(void *handle, void (*fn)(void *handle)) =
        (int (*)(void *, void (*)(void *)))dlsym(uv, "uv_idle_start");
    int (*stop)(void *handle) = (int (*)(void *))dlsym(uv, "uv_idle_stop");
    void (*close_handle)(void *handle, void (*closed)(void *handle)) =
        (void (*)(void *, void (*)(void *)))dlsym(uv, "uv_close");
    (void)dlclose(uv); /* it stays: RTLD_NOLOAD only counted */
    if (!handle_size || !init || !start || !stop || !close_handle)
        return false;
    struct uv_drain *drain = wh_calloc(1, sizeof *drain + handle_size(UV_IDLE));
    if (!drain)
        return false;
    drain->service = service;
    drain->idle_stop = stop;
    drain->close = close_handle;
    service->drain = drain;
    (void)init(service->foreign, drain->handle);
    (void)start(drain->handle, on_drain);
    return true;
}

static void destroy_context(struct service *service);

static int on_glib_end(void *user)
{
    destroy_context(user);
    return 0; /* once */
}

/* GLib's plug-in reads the context behind its own callback: it has to go outside of those. */
static bool drain_glib(struct service *service)
{
    void *glib = dlopen("libglib-2.0.so.0", RTLD_LAZY | RTLD_NOLOAD);
    if (!glib)
        return false;
    void *(*context_of)(void *loop) = (void *(*)(void *))dlsym(glib, "g_main_loop_get_context");
    void *(*timeout_new)(unsigned ms) = (void *(*)(unsigned))dlsym(glib, "g_timeout_source_new");
    void (*set_callback)(void *, int (*)(void *), void *, void *) =
        (void (*)(void *, int (*)(void *), void *, void *))dlsym(glib, "g_source_set_callback");
    unsigned (*attach)(void *, void *) =
        (unsigned (*)(void *, void *))dlsym(glib, "g_source_attach");
    void (*unref)(void *) = (void (*)(void *))dlsym(glib, "g_source_unref");
    (void)dlclose(glib); /* it stays: RTLD_NOLOAD only counted */
    if (!context_of || !timeout_new || !set_callback || !attach || !unref)
        return false;
    void *source = timeout_new(0);
    set_callback(source, on_glib_end, service, NULL);
    (void)attach(source, context_of(service->foreign));
    unref(source);
    return true;
}

static void destroy(struct service *service)
{
    lws_sul_cancel(&service->tick);
    lws_sul_cancel(&service->reaper);
    lws_sul_cancel(&service->waiter);
    if (service->loop == WH_LOOP_UV && drain_uv(service))
        return;
    if (service->loop == WH_LOOP_GLIB && drain_glib(service))
        return;
    destroy_context(service);
}

static void destroy_context(struct service *service)
{
    bool is_gone = false;
    service->is_gone = &is_gone;
    lws_context_destroy(service->context);
    if (is_gone)
        finish(service);
    else
        service->is_gone = NULL; /* put off until libwebsockets' callback has returned */
}

static void on_last_holder(lws_sorted_usec_list_t *timer)
{
    destroy(WH_CONTAINER_OF(timer, struct service, reaper));
}

void service_free(struct service *service, void (*done)(void *user), void *user)
{
    service->is_closing = true;
    service->done = done;
    service->done_user = user;
    hurry_holders(service);
    if (service->loop == WH_LOOP_NONE) {
        /* Each has a timer of at most close_timeout_ms. */
        while (!wh_list_is_empty(&service->holders))
            service_run(service, 1000);
        destroy(service);
        return;
    }
    if (wh_list_is_empty(&service->holders))
        schedule(service, &service->reaper, on_last_holder, 0);
}
