/*
 * Shared by the files of services/core only: one process (struct svc) and what
 * one thread hands to a handler (struct svc_ctx).
 *
 * Threads: the main thread owns the loop, `svc`, announcement, health and
 * metrics; each worker owns one svc_ctx and a Redis connection; a part
 * (struct svc_part) may add threads of its own, each with a context of its own.
 * Shared between them are the definition and the settings (immutable once
 * loaded), the counters of metrics.h, the set of cancels, and the flags below
 * that say so.
 */
#ifndef SERVICES_CORE_CORE_H
#define SERVICES_CORE_CORE_H

#include "common/base/span.h"
#include "services/core/service.h"
#include "services/core/settings.h"

#include <stdatomic.h>

struct wh_loop;
struct wh_redis;
struct svc;
struct svc_db;
struct svc_tracing;

enum {
    SVC_ERROR_TEXT_MAX = 512,              /* bytes of a message to a caller, NUL included */
    SVC_CALL_BYTES_MAX = 16 * 1024 * 1024, /* arena of one call: everything it allocates */
};

struct svc_ctx {
    struct svc *svc;       /* NULL in a fake */
    const void *settings;  /* the service's own */
    void *state;           /* of svc_def.start */
    struct svc_db *db;     /* this thread's connection; NULL without a database */
    struct wh_arena arena; /* reset before each call */
    unsigned thread;       /* number, for logs */

    /* Of the call in hand. */
    const struct svc_method *method; /* NULL for an event or a job */
    const struct wh_rpc_call *call;  /* NULL for an event or a job */
    uint64_t deadline_ms;            /* monotonic; 0 = none */
    struct wh_slice traceparent;     /* where the work in hand stands; "" = none is */
    char traceparent_text[WH_TRACEPARENT_LEN + 1];
    struct wh_trace trace; /* the same */
    struct wh_span *span;  /* owned between svc_trace_begin and _end; NULL = not recorded */
    struct wh_buf reply;   /* the answer's payload */
    enum wh_payload_kind reply_kind;
    bool has_reply;
    uint32_t code;                       /* of svc_fail */
    char error_text[SVC_ERROR_TEXT_MAX]; /* of svc_fail */
};

/* Bind a zeroed context to the process; released by svc_ctx_deinit. */
void svc_ctx_init(struct svc_ctx *ctx, struct svc *svc, unsigned thread);
void svc_ctx_deinit(struct svc_ctx *ctx);

/* Make ready for the next call, event or job: memory, answer and error of the last one are gone. */
void svc_ctx_reset(struct svc_ctx *ctx);

/* Replace the answer: for who kept an earlier one (idempotency). */
void svc_ctx_set_reply(struct svc_ctx *ctx, struct wh_payload payload);

/*
 * Something of the core with a life of its own: the database, the relay, the consumer.  The core
 * starts parts in the order of svc_parts and stops them in the reverse one.  Every function may be
 * NULL; all run on the main thread but those of a thread.
 */
struct svc_part {
    const char *name;

    /* Whether this definition needs the part at all; NULL = always. */
    bool (*is_wanted)(const struct svc_def *def);

    /* Must not wait for the outside world: it may be away.  WH_EINVAL (logged): do not start. */
    enum wh_err (*start)(struct svc *svc);
    void (*stop)(struct svc *svc); /* after the last call: flush what must go out, end threads */

    /* Each worker and whoever else runs handlers, on that thread. */
    enum wh_err (*open_thread)(struct svc_ctx *ctx); /* WH_ENOMEM */
    void (*close_thread)(struct svc_ctx *ctx);

    /* Around the handler of a method: calls it or answers in its place. */
    uint32_t (*run)(struct svc_ctx *ctx,
                    const struct svc_method *method,
                    const struct wh_rpc_call *call);

    /* /readyz: append why not ("postgresql: connection refused"); nothing = ready. */
    void (*write_unready)(const struct svc *svc, struct wh_buf *out);
    /* /metrics: append in the text format. */
    void (*write_metrics)(const struct svc *svc, struct wh_buf *out);

    /* Whether what jobs work on is there.  Any thread. */
    bool (*may_work)(const struct svc *svc);
    /* Whether this instance is the one that runs the exclusive job of that name now; on the thread
     * of the job. */
    bool (*may_lead)(struct svc_ctx *ctx, const char *job);

    /* A verb of its own ("migrate"), after the options were read; the exit status. */
    const char *verb;
    const char *verb_help;
    int (*verb_main)(const struct svc_def *def, const struct svc_settings *settings);
};

extern const struct svc_part *const svc_parts[]; /* NULL-terminated */

/* open_thread and close_thread of all wanted parts, for a thread that runs handlers.  After a
 * failure close is called as well. */
WH_MUST_CHECK enum wh_err svc_parts_open_thread(struct svc_ctx *ctx);
void svc_parts_close_thread(struct svc_ctx *ctx);

/* One process. */
struct svc {
    const struct svc_def *def;
    const struct svc_settings *settings;
    const void *own_settings; /* of the definition */
    void *state;              /* of svc_def.start */
    char instance[37];        /* UUIDv7 of this run */
    uint64_t started_ms;      /* unix */
    struct wh_loop *loop;
    struct wh_redis *redis;  /* for commands, on the loop */
    void *part_data[8];      /* one for each row of svc_parts, owned by that part */
    atomic_bool is_draining; /* no new calls are wanted; those that come are served */
    atomic_bool is_stopping; /* no new work is begun */
    struct svc_metrics *metrics;
    struct svc_tracing *tracing; /* NULL = off */
    struct svc_rpc_server *rpc;
    struct svc_cancels *cancels;
    struct svc_announce *announce;
};

#endif
