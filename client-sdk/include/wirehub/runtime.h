/*
 * A runtime carries clients: it owns the sockets, the clock and, if it has
 * any, the threads.  Programs that do not care pass none and share one
 * THREADED runtime.
 *
 *     THREADED  two library threads for any number of clients: one does I/O, one runs callbacks
 *     DISPATCH  one library thread does I/O; callbacks run in your thread when you call
 *               wh_client_dispatch, told by one descriptor that is constant for a client's life
 *     LOOP      no thread (names are looked up in a short-lived one): runs on your libuv, libev or
 *               glib loop, or is pumped by wh_runtime_run_once
 *
 * Threads: THREADED and DISPATCH runtimes and their clients may be used from any thread.  A LOOP
 * runtime and its clients belong to the thread that runs the loop; only wh_runtime_wake and the
 * answers to token requests may come from others; everything else gives WH_EWRONGTHREAD there.
 *
 * Fork: after fork() the child must not use what it inherited: every call gives WH_EFORKED, and the
 * _free functions release memory without touching threads or sockets.  Fork before, or exec after.
 */
#ifndef WIREHUB_RUNTIME_H
#define WIREHUB_RUNTIME_H

#include <wirehub/error.h>

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct wh_runtime;

enum wh_mode { WH_MODE_THREADED, WH_MODE_DISPATCH, WH_MODE_LOOP };

enum wh_loop {
    WH_LOOP_NONE, /* pumped by wh_runtime_run_once */
    WH_LOOP_UV,   /* foreign: uv_loop_t *; needs the package libwebsockets-evlib-uv */
    WH_LOOP_EV,   /* foreign: struct ev_loop *; libwebsockets-evlib-ev */
    WH_LOOP_GLIB  /* foreign: GMainLoop *; libwebsockets-evlib-glib */
};

enum wh_runtime_flag {
    WH_RUNTIME_KEEP_LWS_LOG = 1 /* the program uses libwebsockets itself: its log level stays */
};

struct wh_runtime_options {
    size_t size; /* set by the initialiser: the version of this struct */
    enum wh_mode mode;
    enum wh_loop loop; /* LOOP only */
    void *foreign;     /* LOOP_UV, _EV, _GLIB: the loop; borrowed until the runtime has closed */
    unsigned flags;    /* enum wh_runtime_flag */
};
#define WH_RUNTIME_OPTIONS_INIT                                                                    \
    {                                                                                              \
        sizeof(struct wh_runtime_options), WH_MODE_THREADED, WH_LOOP_NONE, NULL, 0                 \
    }

/*
 * `options` NULL: THREADED.  The caller owns one reference.
 * WH_EINVAL, WH_EABI; WH_ELOOP when the loop's plug-in is not installed (the text names the
 * package); WH_EIO when no thread or descriptor could be had; WH_ENOMEM.  `detail` may be NULL.
 */
WH_API enum wh_err wh_runtime_new(const struct wh_runtime_options *options,
                                  struct wh_runtime **out_runtime,
                                  struct wh_error *detail);

/*
 * Give the reference back; NULL is fine.  Clients hold references of their own: threads end and
 * sockets close when the last of them is gone.  In THREADED and DISPATCH returns after that, unless
 * called inside a callback.  A LOOP runtime on a foreign loop needs turns of that loop to finish:
 * use wh_runtime_close.
 */
WH_API void wh_runtime_free(struct wh_runtime *runtime);

/*
 * LOOP on a foreign loop: the same, and `done` runs on the loop when nothing of the library is left
 * on it.  Keep the loop turning until then.  (THREADED and DISPATCH: `done` runs before this
 * returns.)
 */
WH_API void wh_runtime_close(struct wh_runtime *runtime, void (*done)(void *user), void *user);

/*
 * LOOP_NONE: do what is due, waiting at most `max_wait_ms` for something to do (0 = not at all),
 * and run callbacks.  WH_EINVAL on another kind of runtime; WH_EWRONGTHREAD; WH_EFORKED;
 * WH_EWOULDDEADLOCK inside a callback.
 */
WH_API enum wh_err wh_runtime_run_once(struct wh_runtime *runtime, uint32_t max_wait_ms);

/* Let a waiting wh_runtime_run_once return now.  Any thread, any kind of runtime. */
WH_API void wh_runtime_wake(struct wh_runtime *runtime);

/*
 * Memory for the whole library, once, before anything else of it is called.  All three or none
 * (NULLs: libc).  The functions are called from all threads of the library.
 */
WH_API void wh_set_allocator(void *(*malloc_fn)(size_t size),
                             void *(*realloc_fn)(void *ptr, size_t size),
                             void (*free_fn)(void *ptr));

/* Log.  The library is silent until a sink is set, or the environment says
 * WIREHUB_LOG=level[:area,…] ("debug:client,wire"), which writes to stderr. */
enum wh_severity {
    WH_SEVERITY_TRACE, /* every frame, in area "wire"; tokens, passwords, keys and headers are
                          replaced by *** */
    WH_SEVERITY_DEBUG,
    WH_SEVERITY_INFO,
    WH_SEVERITY_WARN,
    WH_SEVERITY_ERROR,
    WH_SEVERITY_NONE
};

/* `fields` is "name=value name=\"a value\"…"; everything is borrowed until the sink returns.
 * Called on the library's threads as well as on yours, one line at a time; it must not call the
 * library. */
typedef void wh_log_cb(enum wh_severity severity,
                       const char *area,
                       const char *event,
                       const char *fields,
                       void *user);

/* Lines of at least `severity` go to `sink` from now on; NULL silences.  `areas`: comma separated
 * ("client", "sub", "wire", "tls", "runtime"), NULL = all.  Any thread. */
WH_API void wh_log_sink(wh_log_cb *sink, void *user, enum wh_severity severity, const char *areas);

#ifdef __cplusplus
}
#endif
#endif
