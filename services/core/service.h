/*
 * A service in a table: methods that it serves, events that it consumes, jobs,
 * options, migrations.  svc_main makes a program of it, with everything that is
 * the same for all services: verbs and options, worker threads on the queues
 * of wh:rpc:, liveness and announcement, /livez /readyz /metrics, the free
 * methods <service>.$svc.*, logs with trace ids, drain on SIGTERM.
 *
 *     static uint32_t greet(struct svc_ctx *ctx, const struct wh_rpc_call *call)
 *     {
 *         struct greeting in = {0};
 *         (void)call;
 *         if (svc_params(ctx, &greeting_schema, &in) || in.name.len == 0)
 *             return svc_fail(ctx, SVC_INVALID, "name is needed");
 *         return svc_reply(ctx, &greeting_schema, &in);
 *     }
 *
 *     static const struct svc_method methods[] = {
 *         {.name = "greeter.v1.greet", .handler = greet, .access = SVC_ANONYMOUS}, {0}};
 *
 *     int main(int argc, char **argv)
 *     {
 *         return svc_main(argc, argv, &(struct svc_def){
 *             .name = "greeter", .version = "1.0.0", .methods = methods});
 *     }
 *
 * A handler is straight-line code that may block.  It runs on one of the
 * worker threads, which share nothing, and gets everything it may touch in
 * `ctx`; test.h has a fake one.  What `call` points to, the parameters read and
 * whatever comes from the context's arena live until the handler returns.
 *
 * Tables and strings of a definition are borrowed for the life of the process.
 * docs/SERVICES.md walks through a whole service.
 */
#ifndef SERVICES_CORE_SERVICE_H
#define SERVICES_CORE_SERVICE_H

#include "common/base/arena.h"
#include "common/base/log.h"
#include "common/base/option.h"
#include "common/protocol/rpc.h"

struct svc_ctx;

/*
 * What a handler returns: SVC_OK, or the code that the caller sees.  400-499 are the service's own,
 * with the meaning of HTTP (docs/REDIS.md).  Any other code but these reaches the caller as 100.
 */
enum svc_code {
    SVC_OK = 0,
    SVC_INTERNAL = 100,         /* temporary; our fault: the text goes to the log alone */
    SVC_DENIED = 103,           /* a role is missing */
    SVC_METHOD_NOT_FOUND = 104, /* the core's own */
    SVC_INVALID = 107,          /* params unreadable or out of range */
    SVC_BUSY = 111,             /* temporary: a limit is reached */
    SVC_UNAUTHORIZED = 401,
    SVC_FORBIDDEN = 403,
    SVC_NOT_FOUND = 404,
    SVC_CONFLICT = 409,
    SVC_GONE = 410,
    SVC_UNPROCESSABLE = 422,
    SVC_TOO_MANY = 429,
    SVC_UNAVAILABLE = 1503, /* temporary: something that the service needs is away */
    SVC_TIMEOUT = 1504,     /* temporary: the deadline passed; it may have happened */
};

/* Who may call: announced to the hub, which enforces it. */
enum svc_access { SVC_USER, SVC_ANONYMOUS, SVC_ROLE };

/*
 * What the core wraps a handler in (db.h).  A handler of SVC_TX_READ and _WRITE may run more than
 * once (serialization failures): it does nothing outside the database.  What returns non-zero is
 * rolled back.
 */
enum svc_tx {
    SVC_TX_NONE, /* nothing; the handler may open transactions of its own */
    SVC_TX_READ, /* begin read only … commit */
    SVC_TX_WRITE /* begin … commit, and the idempotency key claimed in the same transaction */
};

typedef uint32_t svc_handler(struct svc_ctx *ctx, const struct wh_rpc_call *call);

struct svc_method {
    const char *name; /* "orders.v1.create"; the first segment is the queue it comes from */
    svc_handler *handler;
    enum svc_access access;
    const char *const *roles; /* SVC_ROLE: one of these is needed; NULL-terminated */
    enum svc_tx tx;
    bool requires_key;     /* 107 without an idempotency key */
    bool idempotent;       /* calling it twice does what calling it once does */
    uint32_t timeout_ms;   /* 0 = the hub's default */
    uint32_t max_inflight; /* calls of it that run at once in one process, past it 111; 0 = any */
};

/* A domain event out of a stream (a CloudEvent); slices live until the handler returns. */
struct svc_event {
    struct wh_slice id;
    struct wh_slice source;
    struct wh_slice type;
    struct wh_slice subject;
    uint64_t time_ms; /* unix; 0 = it said none */
    struct wh_slice traceparent;
    struct wh_payload data; /* JSON */
};

/* Always in a SVC_TX_WRITE transaction together with the note that this event was consumed, so its
 * effect happens once.  Non-zero = again later; after some attempts a dead letter (consumer.h). */
typedef uint32_t svc_event_handler(struct svc_ctx *ctx, const struct svc_event *event);

struct svc_consumer {
    const char *type; /* "order.confirmed.v1" */
    svc_event_handler *handler;
};

/* Work on a clock, on a thread of its own beside the workers. */
struct svc_job {
    const char *name;
    uint32_t every_ms;
    uint32_t (*handler)(struct svc_ctx *ctx);
    /* In one instance of the service at a time, as long as it takes less than 30 s; work that
     * takes longer claims its rows itself (for update skip locked).  Needs the database. */
    bool is_exclusive;
};

/* A page of the service's own on its HTTP port, beside /livez, /readyz and /metrics: for GET. */
struct svc_route {
    const char *path;          /* exactly, "/.well-known/jwks.json" */
    const char *type;          /* Content-Type */
    const char *cache_control; /* of a 200; NULL = "no-store" */
    /* Append the body; the status.  Loop thread: must not wait for anything. */
    unsigned (*write)(void *state, struct wh_buf *body);
};

/* One step of the database's schema, forward only; made from migrations/NNNN_name.sql by CMake. */
struct svc_migration {
    const char *name; /* "0001_orders" */
    struct wh_slice sql;
};

/* The steps in migrations/ of a service's folder, ending with {0}: generated, one list a program.
 */
extern const struct svc_migration svc_migrations[];

struct svc_def {
    const char *name;    /* "greeter": wirehub-greeter, WIREHUB_GREETER_…, wirehub_service_… */
    const char *version; /* semantic, "1.4.0" */
    const char *description;                /* one line for --help */
    const struct svc_method *methods;       /* ends with {0} */
    const struct svc_consumer *consumers;   /* ends with {0}; NULL = none */
    const struct svc_job *jobs;             /* ends with {0}; NULL = none */
    const struct svc_migration *migrations; /* svc_migrations; NULL = no database */

    /* Options beside the core's own; offsets are into the service's settings struct. */
    const struct wh_option *options;
    size_t option_count;
    size_t settings_size;
    /* Rules between options: append what is wrong, one line each; nothing = fine. */
    void (*check)(const void *settings, struct wh_buf *problems);

    /* Before the first call and after the last one, on the main thread.  `*out_state` is what
     * svc_state gives to handlers: immutable, or with locks of its own.  False (logged by the
     * function): the service does not start. */
    bool (*start)(const void *settings, void **out_state);
    void (*stop)(void *state);

    const struct svc_route *routes; /* ends with {0}; NULL = none */
    /* /readyz: append why not, one line each; nothing = ready.  NULL = always.  Loop thread. */
    void (*write_unready)(void *state, struct wh_buf *out);
};

/* Runs the verb in argv; the exit status. */
int svc_main(int argc, char **argv, const struct svc_def *def);

/* What a handler does.  Worker thread of the context only. */

/* The service's settings (its part of the options) and the state that its `start` made. */
const void *svc_settings(const struct svc_ctx *ctx);
void *svc_state(const struct svc_ctx *ctx);

/* Until the handler returns. */
struct wh_arena *svc_arena(struct svc_ctx *ctx);

/* A printed text in the arena; absent when memory ran out. */
struct wh_slice svc_text(struct svc_ctx *ctx, const char *format, ...) WH_PRINTF(2, 3);

/*
 * The parameters of the call through a field table, whatever notation they came in.
 * No parameters read as an empty object.
 * WH_EFORMAT: not readable as `schema` (answer SVC_INVALID); WH_ENOMEM.
 */
WH_MUST_CHECK enum wh_err svc_params(struct svc_ctx *ctx,
                                     const struct wh_schema *schema,
                                     void *out);

/* Milliseconds until the caller gives up; 0 = it has.  UINT64_MAX: there is no deadline. */
uint64_t svc_remaining_ms(const struct svc_ctx *ctx);

/* The process is to end: a job that does one thing after the other begins nothing more. */
bool svc_is_stopping(const struct svc_ctx *ctx);

/*
 * Answer, in the notation that the caller used: at most one of these a call, the last one counts;
 * without any the answer is {}.  The message is encoded before this returns.
 * SVC_OK; SVC_INTERNAL (logged): it cannot be encoded, or is larger than SVC_ANSWER_BYTES_MAX.
 */
enum { SVC_ANSWER_BYTES_MAX = 1024 * 1024 };
uint32_t svc_reply(struct svc_ctx *ctx, const struct wh_schema *schema, const void *message);
uint32_t svc_reply_json(struct svc_ctx *ctx, struct wh_slice text); /* checked to be JSON */

/* Note what is wrong, for people, and give `code` back.  Of SVC_INTERNAL and other codes that are
 * the service's own fault only the log gets the text. */
uint32_t svc_fail(struct svc_ctx *ctx, uint32_t code, const char *format, ...) WH_PRINTF(3, 4);

/*
 * Traces (OPERATIONS.md, "Tracing").  A call and an event stand in a trace, and so does what is
 * emitted on their behalf.  Work that is picked up later by a job, a row for instance, goes on in
 * the trace of whoever left it: store svc_traceparent with it (at most 55 bytes; absent in no
 * trace), and do it between adopt and leave.  Log lines, statements and events in between belong to
 * that trace; to a new one when the text is empty or malformed.  Not within a call or an event.
 * `name` is the span's: the kind of work, without ids.  `code`: how it ended, 0 = well.
 */
struct wh_slice svc_traceparent(const struct svc_ctx *ctx);
void svc_trace_adopt(struct svc_ctx *ctx, const char *name, struct wh_slice traceparent);
void svc_trace_leave(struct svc_ctx *ctx, uint32_t code);

/* Whether the caller's token has the role. */
bool svc_has_role(const struct wh_rpc_call *call, const char *role);

#endif
