/*
 * The exporter of spans: takes what a tracer has finished and posts it to a collector as OTLP over
 * HTTP in JSON (<endpoint>/v1/traces), every `interval_ms` and when the tracer is half full.
 *
 * One request is under way at a time.  When the collector cannot be reached or answers 429, 502,
 * 503 or 504 its spans are kept and sent again, later and later; meanwhile new ones gather in the
 * tracer up to its capacity.  After any other answer, or a redirect, they are dropped and counted:
 * sending them again would not help.  So memory is bounded by the tracer's capacity and one batch,
 * whatever the collector does, and nobody waits for it.
 *
 * Loop thread only; the tracer may be used by others.
 */
#ifndef WH_IO_OTLP_H
#define WH_IO_OTLP_H

#include "common/io/loop.h"
#include "common/protocol/otlp_json.h"

enum {
    WH_OTLP_BATCH = 512,           /* spans of a request, at most */
    WH_OTLP_INTERVAL_MS = 2000,    /* the usual one */
    WH_OTLP_TIMEOUT_MS = 5000,     /* of a request, the usual one */
    WH_OTLP_RETRY_AFTER_MAX_S = 60 /* a collector that asks for more gets this */
};

struct wh_otlp_options {
    const char *endpoint; /* "http://127.0.0.1:4318", with or without "/" at its end; copied */
    const char *const *headers;       /* "Name: value" each, NULL-terminated or NULL; copied */
    struct wh_otlp_resource resource; /* texts are copied */
    uint32_t interval_ms;             /* 0 = WH_OTLP_INTERVAL_MS */
    uint32_t timeout_ms;              /* 0 = WH_OTLP_TIMEOUT_MS */
    uint32_t retry_min_ms;            /* 0 = the interval */
    uint32_t retry_max_ms;            /* 0 = 30 s */

    /* How many more spans were delivered, or lost (by the tracer, too); NULL = nobody asks. */
    void (*counted)(void *user, uint64_t exported, uint64_t dropped);
    void *user;
};

struct wh_otlp;

/*
 * Starts at once.  Borrows `loop` and `tracer`, which must outlive it; no thread ends a span any
 * more when it is freed.
 * WH_EINVAL: the endpoint is no URL, or a header is none; WH_ENOMEM.
 */
WH_MUST_CHECK enum wh_err wh_otlp_new(struct wh_loop *loop,
                                      struct wh_tracer *tracer,
                                      const struct wh_otlp_options *options,
                                      struct wh_otlp **out_otlp);

/*
 * Send what is left, for `flush_ms` at most (0: nothing is sent any more) and without trying twice;
 * what remains is dropped and counted.  Then `closed` is called, once, not before this returned.
 */
void wh_otlp_close(struct wh_otlp *otlp, uint32_t flush_ms, void (*closed)(void *user), void *user);

/* Closed or not, with no callback any more.  The loop has to turn (or be deinitialised)
 * afterwards.  NULL is fine. */
void wh_otlp_free(struct wh_otlp *otlp);

#endif
