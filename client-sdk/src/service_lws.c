/*
 * The context: its loop, its timers, being woken, its vhosts, and its end.
 *
 * Facts about libwebsockets 4.1.6 that shape this file, read in its source and seen in tests:
 *  - lws_create_context sets SIGPIPE to be ignored for the whole process: we put back what was.
 *  - Without http_proxy_address it obeys $http_proxy for any address: we always give one, "" =
 * none.
 *  - lws_service ignores how long it may wait: a timer of ours bounds it.
 *  - A timer started outside of its callbacks is not seen by a foreign loop until something else
 *    happens: service_schedule makes something happen.
 *  - LWS_CALLBACK_EVENT_WAIT_CANCELLED comes once per vhost: is_woken makes it one.
 *  - It unloads the plug-in of a foreign loop while that may be running: pin_plugin.
 *  - Context destruction inside a callback is put off by libwebsockets itself; on libuv it needs
 *    turns of the loop and a second call (uv_drain).
 */
#include "client-sdk/src/service_lws.h"

#include "common/base/alloc.h"

#include <dlfcn.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* ---- timers -------------------------------------------------------------------------------- */

void service_schedule(struct service *service,
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
    service_schedule(service, &((struct timer *)(void *)timer->impl)->sul, on_timer,
                     delay_ms * 1000);
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

static int on_event(struct lws *wsi,
                    enum lws_callback_reasons reason,
                    void *user,
                    void *in,
                    size_t len)
{
    if (reason != LWS_CALLBACK_EVENT_WAIT_CANCELLED)
        return connection_callback(wsi, reason, user, in, len);
    struct service *service = lws_context_user(lws_get_context(wsi));
    if (service->is_closing)
        return 0;
    resolver_run(service->resolver);
    if (atomic_exchange(&service->is_woken, false))
        service->on_wake(service->user);
    return 0;
}

/* ---- vhosts -------------------------------------------------------------------------------- */

static void finish(struct service *service);

/* The vhost's last moment.  With the last of a closing service, its context is gone as well. */
static void on_vhost_gone(struct lws_vhost *lws, void *arg)
{
    struct service *service = arg;
    (void)lws;
    if (--service->lws_vhost_count > 0 || !service->is_closing || service->drain)
        return;
    if (service->is_gone)
        *service->is_gone = true;
    else
        finish(service);
}

static enum wh_err vhost_new(struct service *service,
                             struct tls *tls,
                             const char *proxy,
                             struct wh_buf *key,
                             struct vhost **out_vhost)
{
    struct vhost *vhost = wh_calloc(1, sizeof *vhost);
    if (!vhost)
        return WH_ENOMEM;
    static const struct lws_protocols protocols[] = {
        {.name = "wirehub",
         .callback = on_event,
         .rx_buffer_size = SERVICE_PIECE_BYTES,
         .tx_packet_size = SERVICE_BUFFER_BYTES},
        {.name = NULL},
    };
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .protocols = protocols,
        .vhost_name = "wirehub",
        .options = tls ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0,
        .provided_client_ssl_ctx = tls ? tls_context(tls) : NULL,
        .http_proxy_address = proxy,
        .connect_timeout_secs = 3600, /* ours is shorter */
        .finalize = on_vhost_gone,
        .finalize_arg = service,
    };
    vhost->lws = lws_create_vhost(service->context, &info);
    if (!vhost->lws) {
        wh_free(vhost);
        return WH_ENOMEM;
    }
    service->lws_vhost_count++;
    vhost->service = service;
    vhost->tls = tls;
    vhost->key = *key;
    *key = (struct wh_buf){0};
    wh_list_push_back(&service->vhosts, &vhost->link);
    *out_vhost = vhost;
    return WH_OK;
}

static struct vhost *find_vhost(struct service *service, struct wh_slice key)
{
    WH_LIST_EACH(node, &service->vhosts)
    {
        struct vhost *vhost = WH_CONTAINER_OF(node, struct vhost, link);
        if (wh_slice_equal(wh_buf_slice(&vhost->key), key))
            return vhost;
    }
    return NULL;
}

enum wh_err vhost_acquire(struct service *service,
                          bool is_tls,
                          const struct wh_tls_options *options,
                          const char *host,
                          const char *proxy,
                          struct vhost **out_vhost,
                          struct wh_error *detail)
{
    struct wh_buf key = {0};
    struct tls *tls = NULL;
    wh_buf_append(&key, proxy, strlen(proxy) + 1);
    if (is_tls)
        tls_key(options, host, &key);
    enum wh_err err = wh_buf_error(&key);
    struct vhost *vhost = err == WH_OK ? find_vhost(service, wh_buf_slice(&key)) : NULL;
    if (err == WH_OK && !vhost) {
        if (is_tls)
            err = tls_new(options, host, &tls, detail);
        if (err == WH_OK)
            err = vhost_new(service, tls, proxy, &key, &vhost);
    }
    wh_buf_deinit(&key);
    if (err == WH_OK) {
        vhost->refs++;
        *out_vhost = vhost;
        return WH_OK;
    }
    tls_free(tls);
    if (err == WH_ENOMEM)
        *detail = (struct wh_error){.err = err, .text = "out of memory"};
    return err;
}

static void vhost_free(struct vhost *vhost)
{
    wh_list_remove(&vhost->link);
    tls_free(vhost->tls);
    wh_buf_deinit(&vhost->key);
    wh_free(vhost);
}

/* Out of the callbacks of the connection that was the last. */
static void on_reap(lws_sorted_usec_list_t *timer)
{
    struct service *service = WH_CONTAINER_OF(timer, struct service, reaper);
    WH_LIST_EACH(node, &service->vhosts)
    {
        struct vhost *vhost = WH_CONTAINER_OF(node, struct vhost, link);
        if (vhost->refs > 0)
            continue;
        lws_vhost_destroy(vhost->lws);
        vhost_free(vhost);
    }
}

void vhost_release(struct vhost *vhost)
{
    if (!vhost)
        return;
    WH_ASSERT(vhost->refs > 0);
    if (--vhost->refs == 0 && !vhost->service->is_closing)
        service_schedule(vhost->service, &vhost->service->reaper, on_reap, 0);
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
        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_VALIDATE_UTF8 |
                   LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT,
        .gid = -1,
        .uid = -1,
        .user = service,
        .timeout_secs = 3600, /* ours are shorter */
        .pt_serv_buf_size = SERVICE_BUFFER_BYTES,
        .max_http_header_data2 = SERVICE_HEADER_BYTES,
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

static void service_deinit(struct service *service)
{
    while (!wh_list_is_empty(&service->vhosts))
        vhost_free(WH_CONTAINER_OF(service->vhosts.next, struct vhost, link));
    resolver_free(service->resolver);
    wh_buf_deinit(&service->frame);
    wh_buf_deinit(&service->outgoing);
    wh_free(service);
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
    wh_list_init(&service->vhosts);
    wh_list_init(&service->connections);
    err = resolver_new(wake_for_names, service, &service->resolver);
    if (err == WH_OK) {
        service->context = create_context(service, options);
        if (!service->context)
            err = options->loop == WH_LOOP_NONE ? WH_EIO : WH_ELOOP;
    }
    struct vhost *plain;
    struct wh_error ignored;
    /* One that stays: libwebsockets wakes nobody without any, and plain connections need it. */
    if (err == WH_OK)
        err = vhost_acquire(service, false, NULL, "", "", &plain, &ignored);
    if (err == WH_OK) {
        if (service->loop == WH_LOOP_EV)
            service_schedule(service, &service->tick, on_tick, EV_TICK_US);
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

static void destroy(struct service *service)
{
    bool is_gone = false;
    lws_sul_cancel(&service->tick);
    lws_sul_cancel(&service->reaper);
    lws_sul_cancel(&service->waiter);
    if (service->loop == WH_LOOP_UV && drain_uv(service))
        return;
    service->is_gone = &is_gone;
    lws_context_destroy(service->context);
    if (is_gone)
        finish(service);
    else
        service->is_gone = NULL; /* put off until libwebsockets' callback has returned */
}

static void on_last_connection(lws_sorted_usec_list_t *timer)
{
    destroy(WH_CONTAINER_OF(timer, struct service, reaper));
}

void service_connection_gone(struct service *service)
{
    if (service->is_closing && service->loop != WH_LOOP_NONE &&
        wh_list_is_empty(&service->connections))
        service_schedule(service, &service->reaper, on_last_connection, 0);
}

void service_free(struct service *service, void (*done)(void *user), void *user)
{
    service->is_closing = true;
    service->done = done;
    service->done_user = user;
    connections_close(service);
    if (service->loop == WH_LOOP_NONE) {
        /* Each has a timer of at most close_timeout_ms. */
        while (!wh_list_is_empty(&service->connections))
            service_run(service, 1000);
        destroy(service);
        return;
    }
    if (wh_list_is_empty(&service->connections))
        service_schedule(service, &service->reaper, on_last_connection, 0);
}
