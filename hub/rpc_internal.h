/* What the rpc*.c files share; nobody else includes it. */
#ifndef HUB_RPC_INTERNAL_H
#define HUB_RPC_INTERNAL_H

#include "common/base/breaker.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/span.h"
#include "common/io/redis_pubsub.h"
#include "hub/limits.h"
#include "hub/metrics_rpc.h"
#include "hub/rpc.h"
#include "hub/rpc_ids.h"
#include "hub/rpc_methods.h"

enum {
    RPC_TICK_MS = 50,      /* liveness and the length of full queues are asked this often */
    RPC_FRESH_MS = 200,    /* an answer about liveness counts so long: Redis may miss some ticks */
    RPC_ACTIVE_MS = 10000, /* a service is watched so long after its last call */
    RPC_UPKEEP_MS = 1000,  /* expiry of the lists, metrics */
    RPC_QUEUE_TTL_MS = 2 * RPC_TIMEOUT_MAX_MS,
    RPC_DIRECTORY_MS = 5000,  /* read at least this often */
    RPC_LOOKS_PER_SECOND = 4, /* reads because of unknown names */
    RPC_REREAD_MS = 100,      /* between reads that messages ask for */
    RPC_BATCH_CALLS = 256,    /* of one RPUSH */
    RPC_BATCH_BYTES = 1024 * 1024,
    RPC_CANCEL_BYTES = 64 * 1024,           /* of one PUBLISH */
    RPC_ANSWER_BYTES_MAX = 4 * 1024 * 1024, /* what decoding one answer may allocate */
    RPC_MESSAGE_BYTES_MAX = 1024,           /* of a service's error; longer ones are replaced */
};

enum rpc_call_state {
    CALL_WAITS_DIRECTORY, /* its method is not known: on rpc->unknown */
    CALL_WAITS_LIVENESS,  /* on service->waiting */
    CALL_SENT,            /* in the batch of this turn, or with the service */
    CALL_ENDED            /* on rpc->ended with its code */
};

/* A request that outlives rpc_start. */
struct rpc_kept {
    struct wh_arena arena;
    struct rpc_request request;
};

struct rpc_call {
    struct rpc *rpc;
    struct rpc_waiter *waiter;
    struct rpc_service *service; /* NULL while it is not known, and once ended */
    enum rpc_call_state state;
    struct wh_list link;
    uint64_t id; /* once sent */
    uint32_t code;
    bool is_probe;     /* of the breaker */
    bool is_admitted;  /* the breaker waits for a verdict */
    bool is_shortened; /* the caller wants to wait less than the method may take */
    bool has_looked;   /* the directory was read for it: what is unknown now is unknown */
    uint64_t started_ms;
    uint64_t started_us;
    uint64_t deadline_ms; /* monotonic */
    struct wh_timer deadline;
    struct wh_span *span;  /* NULL = not recorded */
    struct rpc_kept *kept; /* what it carries, once it had to wait; NULL before */
};

struct rpc_service {
    struct rpc *rpc;
    struct wh_slice name; /* these three are behind the struct */
    struct wh_slice queue_key;
    struct wh_slice alive_key;
    struct rpc_methods *methods; /* NULL = no longer announced */
    bool is_seen;                /* in the announcements that are being read */
    struct breaker breaker;
    uint32_t inflight; /* calls that name it */
    uint32_t requests; /* to Redis, under way, that name it */
    unsigned metrics_slot;

    struct wh_list active_link; /* rpc->active */
    uint64_t called_ms;         /* the last time */
    bool has_liveness;
    uint64_t liveness_ms; /* when Redis said so */
    int64_t instances;
    bool is_asked;          /* on behalf of those that wait */
    struct wh_list waiting; /* calls that wait to hear whether somebody lives */
    struct wh_list sent;    /* calls that wait for their answer */

    struct wh_list unsent_link; /* rpc->unsent: there is something for the end of the turn */
    struct wh_buf batch;        /* envelopes, one after the other */
    uint32_t batch_count;
    uint64_t batch_ids[RPC_BATCH_CALLS];
    size_t batch_ends[RPC_BATCH_CALLS]; /* where each envelope ends */
    struct wh_buf cancels;

    int64_t queue_length; /* as of the last answer that told */
    bool is_full;
    bool is_length_asked;
    bool is_renewal_due; /* pushed to since the list's expiry was set */
};

struct rpc {
    struct wh_loop *loop;
    const struct config *config;
    struct metrics *metrics;
    struct wh_tracer *tracer;  /* NULL = off */
    struct wh_redis *commands; /* NULL: there is no Redis */
    struct wh_redis_pubsub *pubsub;
    bool is_up;
    char reply_name[sizeof(WH_RPC_REPLY_PREFIX) + 40];
    struct wh_redis_channel reply_channel;
    struct wh_redis_channel directory_channel;

    struct rpc_ids ids;
    uint32_t call_count;   /* all there are, whatever their state */
    struct wh_list ended;  /* calls whose `done` is due */
    struct wh_task finish; /* ... and what calls them */
    struct wh_list unsent; /* services with a batch or cancels */
    struct wh_task at_turn_end;
    struct wh_arena arena; /* of the reply being taken apart */

    struct wh_map services;
    struct wh_list active;
    struct wh_timer tick;
    bool is_liveness_asked; /* by the tick */
    struct wh_timer upkeep;

    struct wh_list unknown; /* calls that wait for the directory */
    bool is_reading;
    bool is_changed; /* told so since it was asked for */
    struct wh_timer reread;
    struct token_bucket looks; /* because of unknown names */
    uint64_t read_ms;          /* when the last read was asked for */

    struct wh_log_limit announcement_limit;
    struct wh_log_limit reply_limit;
    struct wh_log_limit push_limit;

    unsigned links_open;
    void (*closed)(void *user);
    void *closed_user;
};

/* rpc.c: an end without answer; `done` comes later.  Any state but ended. */
void rpc_call_end(struct rpc_call *call, uint32_t code);

/* rpc.c: an end with what is borrowed; `done` is called at once. */
void rpc_call_finish(struct rpc_call *call,
                     const struct rpc_outcome *outcome,
                     enum breaker_verdict verdict);

/* rpc.c: what it waited for is known: go on. */
void rpc_call_resume(struct rpc_call *call);

/* rpc_send.c: the service lives and the breaker lets it pass. */
void rpc_send_call(struct rpc_call *call, const struct rpc_request *request);
void rpc_send_cancel(struct rpc_call *call);
void rpc_send_all(struct rpc *rpc); /* at the end of a turn */

/* rpc_send.c: a message on the reply channel. */
void rpc_receive(struct rpc *rpc, struct wh_slice payload);

/* rpc_services.c: the directory, and who is alive. */
void rpc_services_init(struct rpc *rpc);
void rpc_services_link(struct rpc *rpc, bool is_up);
void rpc_services_stop(struct rpc *rpc); /* ends all calls */
void rpc_services_deinit(struct rpc *rpc);
void rpc_directory_changed(struct rpc *rpc);
/* Read it again, or wait for a read that is coming: the calls on rpc->unknown are then resumed or
 * ended.  False: that was done too often just now. */
bool rpc_directory_look(struct rpc *rpc);
struct rpc_service *rpc_service_find(const struct rpc *rpc, struct wh_slice name);
bool rpc_service_is_fresh(const struct rpc_service *service); /* what is known of its liveness */
void rpc_service_called(struct rpc_service *service);         /* from now on it is watched */
/* Find out for service->waiting, whose calls are resumed or ended when that is done. */
void rpc_service_ask(struct rpc_service *service);
/* Redis told how long its queue is. */
void rpc_service_length(struct rpc_service *service, int64_t length);

/* Zeroed; a program stops when out of memory. */
void *rpc_alloc(size_t size);

#endif
