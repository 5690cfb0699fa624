#include "hub/demo.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/protocol/codec.h"
#include "common/protocol/schema_rows.h"
#include "hub/node.h"

#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>
#include <wh_version.h>

enum { PARAMS_BYTES_MAX = 4096, REPLY_BYTES_MAX = 4096 };

struct demo_shared {
    atomic_uint_least64_t last_kill_ms; /* monotonic, one clock for all processes; 0 = never */
    atomic_int ordered;                 /* the pid that was told to die; 0 = none */
};

struct demo {
    struct node *node;
    struct demo_options options;
    uint64_t started_ms;
    struct wh_timer kill;
    int signal; /* that `kill` sends */
};

struct demo_call {
    struct wh_task task;
    demo_done_fn *done;
    void *user;
    struct wh_buf reply;
};

/* What the processes share */

enum wh_err demo_shared_new(struct demo_shared **out_shared)
{
    struct demo_shared *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return WH_ENOMEM;
    *out_shared = shared;
    return WH_OK;
}

void demo_shared_free(struct demo_shared *shared)
{
    if (shared)
        munmap(shared, sizeof(*shared));
}

bool demo_take_order(struct demo_shared *shared, pid_t pid)
{
    int ordered = (int)pid;
    return shared && pid > 0 && atomic_compare_exchange_strong(&shared->ordered, &ordered, 0);
}

/* One kill of the whole hub, or how long to wait for it. */
static bool claim_kill(struct demo_shared *shared, uint64_t *out_wait_ms)
{
    uint64_t now_ms = wh_clock_monotonic_ms();
    uint64_t last_ms = atomic_load(&shared->last_kill_ms);
    if (last_ms == 0 || now_ms - last_ms >= DEMO_KILL_INTERVAL_MS) {
        if (atomic_compare_exchange_strong(&shared->last_kill_ms, &last_ms, now_ms)) {
            atomic_store(&shared->ordered, (int)getpid());
            return true;
        }
        last_ms = now_ms; /* somebody was faster */
    }
    *out_wait_ms = DEMO_KILL_INTERVAL_MS - (now_ms - last_ms);
    return false;
}

/* Methods */

struct kill_params {
    struct wh_slice signal;
};

/* clang-format off */
#define T kill_params
static const struct wh_field kill_params_fields[] = {
    FIELD_ALWAYS(1, signal, STRING),
};
#undef T
/* clang-format on */
SCHEMA(static const, kill_params, "KillParams", kill_params);

static enum wh_encoding encoding_of(struct wh_payload params)
{
    return params.kind == WH_PAYLOAD_MSGPACK ? WH_ENCODING_MSGPACK : WH_ENCODING_JSON;
}

/* 0 = no signal that is ours to send. */
static int signal_of(struct wh_payload params)
{
    struct kill_params in = {0};
    struct wh_arena arena;
    int number = 0;
    if (params.kind == WH_PAYLOAD_BYTES)
        return 0;
    wh_arena_init(&arena, PARAMS_BYTES_MAX);
    if (wh_decode_whole(encoding_of(params), &kill_params_schema, params.bytes, &arena, &in) ==
        WH_OK) {
        if (wh_slice_equal_str(in.signal, "kill"))
            number = SIGKILL;
        else if (wh_slice_equal_str(in.signal, "term"))
            number = SIGTERM;
    }
    wh_arena_deinit(&arena);
    return number;
}

static void on_kill(struct wh_timer *timer)
{
    struct demo *demo = WH_CONTAINER_OF(timer, struct demo, kill);
    wh_log(WH_LOG_WARN, "demo", "killed_on_request", "signal=%d sessions=%zu", demo->signal,
           demo->node->session_count);
    (void)demo->options.raise(demo->signal);
}

static enum wh_code start_kill(struct demo *demo,
                               const struct rpc_request *request,
                               struct wh_buf *reply,
                               uint64_t *out_wait_ms)
{
    if (request->user.len == 0 && !request->is_trusted)
        return WH_ERROR_UNAUTHORIZED;
    int number = signal_of(request->params);
    if (number == 0)
        return WH_ERROR_BAD_REQUEST;
    if (!claim_kill(demo->options.shared, out_wait_ms))
        return WH_ERROR_TOO_MANY_REQUESTS;
    demo->signal = number;
    wh_loop_timer_start(demo->node->loop, &demo->kill, DEMO_KILL_DELAY_MS);
    wh_buf_printf(reply, "{\"node\":\"%s\",\"pid\":%d,\"signal\":\"%s\",\"in_ms\":%d}",
                  demo->node->id, (int)getpid(), number == SIGKILL ? "kill" : "term",
                  DEMO_KILL_DELAY_MS);
    return WH_NO_ERROR;
}

static enum wh_code start_info(struct demo *demo,
                               const struct rpc_request *request,
                               struct wh_buf *reply,
                               uint64_t *out_wait_ms)
{
    const struct node *node = demo->node;
    const struct config *config = node->config;
    (void)request;
    *out_wait_ms = 0; /* it never has to wait */
    wh_buf_printf(reply, "{\"node\":\"%s\",\"pid\":%d,\"worker\":%u,\"workers\":%u", node->id,
                  (int)getpid(), demo->options.worker, demo->options.workers);
    wh_buf_printf(reply,
                  ",\"uptime_ms\":%" PRIu64 ",\"connections\":%zu,\"version\":\"%s\","
                  "\"engine\":\"%s\"",
                  wh_loop_now_ms(node->loop) - demo->started_ms, node->session_count, WH_VERSION,
                  config->engine.type == ENGINE_REDIS ? "redis" : "memory");
    wh_buf_printf(reply,
                  ",\"limits\":{\"recovery_max_publications\":%" PRIu64
                  ",\"queue_max_bytes\":%" PRIu64 ",\"kill_interval_ms\":%d}}",
                  config->client.recovery_max_publication_limit, config->client.queue_max_size,
                  DEMO_KILL_INTERVAL_MS);
    return WH_NO_ERROR;
}

typedef enum wh_code start_fn(struct demo *demo,
                              const struct rpc_request *request,
                              struct wh_buf *reply,
                              uint64_t *out_wait_ms);

static start_fn *find_method(struct wh_slice method)
{
    static const struct {
        const char *name;
        start_fn *start;
    } methods[] = {{"hub.v1.info", start_info}, {"hub.v1.kill", start_kill}};
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (wh_slice_equal_str(method, methods[i].name))
            return methods[i].start;
    return NULL;
}

bool demo_has_method(const struct demo *demo, struct wh_slice method)
{
    return demo && find_method(method);
}

/* Calls */

void demo_cancel(struct demo_call *call)
{
    wh_task_cancel(&call->task);
    wh_buf_deinit(&call->reply);
    wh_free(call);
}

static void on_task(struct wh_task *task)
{
    struct demo_call *call = WH_CONTAINER_OF(task, struct demo_call, task);
    struct rpc_outcome outcome = {.data = {WH_PAYLOAD_JSON, wh_buf_slice(&call->reply)}};
    if (wh_buf_error(&call->reply))
        outcome = (struct rpc_outcome){
            .code = WH_ERROR_INTERNAL,
            .message = wh_slice_from_str(wh_code_text(WH_ERROR_INTERNAL)),
            .temporary = true,
        };
    struct wh_buf reply = call->reply; /* the call is over before its owner hears of it */
    demo_done_fn *done = call->done;
    void *user = call->user;
    wh_free(call);
    done(user, &outcome);
    wh_buf_deinit(&reply);
}

enum wh_code demo_start(struct demo *demo,
                        const struct rpc_request *request,
                        demo_done_fn *done,
                        void *user,
                        struct demo_call **out_call,
                        uint64_t *out_wait_ms)
{
    start_fn *start = find_method(request->method);
    struct demo_call *call = wh_calloc(1, sizeof(*call));
    if (call == NULL)
        return WH_ERROR_INTERNAL;
    WH_ASSERT(start != NULL);
    wh_task_init(&call->task, on_task);
    wh_buf_init(&call->reply, REPLY_BYTES_MAX);
    call->done = done;
    call->user = user;
    enum wh_code code = start(demo, request, &call->reply, out_wait_ms);
    if (code != WH_NO_ERROR) {
        demo_cancel(call);
        return code;
    }
    wh_loop_defer(demo->node->loop, &call->task);
    *out_call = call;
    return WH_NO_ERROR;
}

/* Life */

enum wh_err demo_new(struct node *node, const struct demo_options *options, struct demo **out_demo)
{
    struct demo *demo = wh_calloc(1, sizeof(*demo));
    if (demo == NULL)
        return WH_ENOMEM;
    demo->node = node;
    demo->options = *options;
    if (demo->options.raise == NULL)
        demo->options.raise = raise;
    demo->started_ms = wh_loop_now_ms(node->loop);
    wh_timer_init(&demo->kill, on_kill);
    *out_demo = demo;
    return WH_OK;
}

void demo_free(struct demo *demo)
{
    if (demo == NULL)
        return;
    wh_loop_timer_stop(demo->node->loop, &demo->kill);
    wh_free(demo);
}
