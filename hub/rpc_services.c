/*
 * Which services there are, what they announced, and whether anybody serves.
 *
 * The directory is a hash in Redis that is read as a whole: when the link
 * comes up, when a message says that it changed, every few seconds anyway
 * (a message can be lost), and when a call names what is not in it; that call
 * waits, but not every such call causes a read: past a rate what was read last is believed.  An
 * announcement that did not change is not parsed again.
 *
 * Who was called lately is "active": a 50 ms tick asks Redis how many listen on
 * its liveness channel, all services in one command.  The tick ends when
 * nobody is active.
 */
#include "hub/rpc_internal.h"

#include "common/base/alloc.h"
#include "common/protocol/codes.h"
#include "common/protocol/json.h"

#include <stdio.h>
#include <stdlib.h>

enum { NUMBER_MAX = 24, PROBE_NAME_MAX = WH_RPC_SERVICE_NAME_MAX + 3 };

struct question {
    struct wh_redis_request request;
    struct rpc *rpc;
    struct rpc_service *service; /* NULL = of all that are active */
};

typedef void question_done(struct wh_redis_request *request,
                           enum wh_err err,
                           const struct wh_redis_reply *reply);

static void ask(struct rpc *rpc,
                struct rpc_service *service,
                question_done *done,
                const struct wh_slice *argv,
                size_t argc)
{
    struct question *question = rpc_alloc(sizeof(*question));
    question->request.done = done;
    question->rpc = rpc;
    question->service = service;
    if (service)
        service->requests++;
    wh_redis_send(rpc->commands, &question->request, argv, argc);
}

/* The question is answered: frees it. */
static struct rpc *answered(struct wh_redis_request *request, struct rpc_service **out_service)
{
    struct question *question = WH_CONTAINER_OF(request, struct question, request);
    struct rpc *rpc = question->rpc;
    *out_service = question->service;
    if (question->service)
        question->service->requests--;
    wh_free(question);
    return rpc;
}

static void end_all(struct wh_list *calls, uint32_t code)
{
    while (!wh_list_is_empty(calls))
        rpc_call_end(WH_CONTAINER_OF(calls->next, struct rpc_call, link), code);
}

/* Those that wait now; one that comes back to wait waits for the next answer. */
static void resume_all(struct wh_list *calls)
{
    struct wh_list now;
    struct wh_list *link;
    wh_list_init(&now);
    while ((link = wh_list_pop_front(calls)) != NULL)
        wh_list_push_back(&now, link);
    while (!wh_list_is_empty(&now))
        rpc_call_resume(WH_CONTAINER_OF(now.next, struct rpc_call, link));
}

/* ---- services ---- */

struct rpc_service *rpc_service_find(const struct rpc *rpc, struct wh_slice name)
{
    return wh_map_get(&rpc->services, name);
}

static struct wh_slice write_key(char **at, const char *prefix, struct wh_slice name)
{
    size_t prefix_len = strlen(prefix);
    char *key = *at;
    memcpy(key, prefix, prefix_len);
    memcpy(key + prefix_len, name.ptr, name.len);
    *at += prefix_len + name.len;
    return wh_slice(key, prefix_len + name.len);
}

static struct rpc_service *service_new(struct rpc *rpc, struct wh_slice name)
{
    size_t keys = sizeof(WH_RPC_QUEUE_PREFIX) + sizeof(WH_RPC_ALIVE_PREFIX) + 3 * name.len;
    struct rpc_service *service = rpc_alloc(sizeof(*service) + keys);
    char *at = (char *)(service + 1);
    service->rpc = rpc;
    service->name = write_key(&at, "", name);
    service->queue_key = write_key(&at, WH_RPC_QUEUE_PREFIX, name);
    service->alive_key = write_key(&at, WH_RPC_ALIVE_PREFIX, name);
    wh_list_init(&service->active_link);
    wh_list_init(&service->unsent_link);
    wh_list_init(&service->waiting);
    wh_list_init(&service->sent);
    service->metrics_slot = metrics_rpc_slot(rpc->metrics, name);
    enum wh_err err = wh_map_add(&rpc->services, service->name, service);
    WH_ASSERT(err == WH_OK);
    return service;
}

static void update_metrics(const struct rpc_service *service)
{
    struct metrics *metrics = service->rpc->metrics;
    unsigned slot = service->metrics_slot;
    metrics_rpc_set(metrics, slot, METRICS_RPC_INFLIGHT, service->inflight);
    metrics_rpc_set(metrics, slot, METRICS_RPC_QUEUE_LENGTH, service->queue_length);
    metrics_rpc_set(metrics, slot, METRICS_RPC_BREAKER, (int64_t)service->breaker.state);
}

static void service_free(struct rpc_service *service)
{
    service->queue_length = 0;
    service->breaker.state = BREAKER_CLOSED;
    update_metrics(service); /* of a service that is gone */
    wh_list_remove(&service->active_link);
    wh_list_remove(&service->unsent_link);
    rpc_methods_free(service->methods);
    wh_buf_deinit(&service->batch);
    wh_buf_deinit(&service->cancels);
    wh_free(service);
}

/* ---- liveness ---- */

bool rpc_service_is_fresh(const struct rpc_service *service)
{
    return service->has_liveness &&
           wh_loop_now_ms(service->rpc->loop) - service->liveness_ms <= RPC_FRESH_MS;
}

static void take_liveness(struct rpc_service *service, int64_t instances)
{
    service->has_liveness = true;
    service->liveness_ms = wh_loop_now_ms(service->rpc->loop);
    service->instances = instances;
    resume_all(&service->waiting);
}

static void take_numsub(struct rpc *rpc, const struct wh_redis_reply *reply)
{
    struct wh_slice prefix = WH_SLICE_LITERAL(WH_RPC_ALIVE_PREFIX);
    for (size_t i = 0; i + 1 < reply->count; i += 2) {
        const struct wh_redis_reply *channel = &reply->items[i];
        const struct wh_redis_reply *count = &reply->items[i + 1];
        if (count->type != WH_REDIS_INTEGER || !wh_slice_starts_with(channel->text, prefix))
            continue;
        struct rpc_service *service =
            rpc_service_find(rpc, wh_slice_from(channel->text, prefix.len));
        if (service)
            take_liveness(service, count->integer);
    }
}

static void on_service_liveness(struct wh_redis_request *request,
                                enum wh_err err,
                                const struct wh_redis_reply *reply)
{
    struct rpc_service *service;
    struct rpc *rpc = answered(request, &service);
    service->is_asked = false;
    if (err == WH_OK && reply->type == WH_REDIS_ARRAY)
        take_numsub(rpc, reply);
    else
        wh_log_limited(&rpc->push_limit, WH_LOG_WARN, "rpc", "liveness_unknown",
                       "service=%.*s reason=%s redis=%.*s", WH_SLICE_ARGS(service->name),
                       wh_err_text(err), WH_SLICE_ARGS(reply ? reply->text : WH_SLICE_ABSENT));
    end_all(&service->waiting, WH_ERROR_SERVICE_UNAVAILABLE); /* nobody, unless Redis failed */
}

void rpc_service_ask(struct rpc_service *service)
{
    struct wh_slice argv[] = {WH_SLICE_LITERAL("PUBSUB"), WH_SLICE_LITERAL("NUMSUB"),
                              service->alive_key};
    if (service->is_asked)
        return;
    service->is_asked = true;
    ask(service->rpc, service, on_service_liveness, argv, sizeof(argv) / sizeof(argv[0]));
}

static void on_all_liveness(struct wh_redis_request *request,
                            enum wh_err err,
                            const struct wh_redis_reply *reply)
{
    struct rpc_service *service;
    struct rpc *rpc = answered(request, &service);
    rpc->is_liveness_asked = false;
    if (err == WH_OK && reply->type == WH_REDIS_ARRAY)
        take_numsub(rpc, reply);
}

static void ask_all_liveness(struct rpc *rpc)
{
    struct wh_slice argv[2 + RPC_SERVICES_MAX] = {WH_SLICE_LITERAL("PUBSUB"),
                                                  WH_SLICE_LITERAL("NUMSUB")};
    size_t argc = 2;
    if (rpc->is_liveness_asked)
        return;
    WH_LIST_EACH(link, &rpc->active)
    argv[argc++] = WH_CONTAINER_OF(link, struct rpc_service, active_link)->alive_key;
    rpc->is_liveness_asked = true;
    ask(rpc, NULL, on_all_liveness, argv, argc);
}

/* ---- length of the queues ---- */

void rpc_service_length(struct rpc_service *service, int64_t length)
{
    service->queue_length = length;
    service->is_full = (uint64_t)length > service->rpc->config->rpc.queue_limit;
}

static void on_length(struct wh_redis_request *request,
                      enum wh_err err,
                      const struct wh_redis_reply *reply)
{
    struct rpc_service *service;
    answered(request, &service);
    service->is_length_asked = false;
    if (err == WH_OK && reply->type == WH_REDIS_INTEGER)
        rpc_service_length(service, reply->integer);
}

static void ask_length(struct rpc_service *service)
{
    struct wh_slice argv[] = {WH_SLICE_LITERAL("LLEN"), service->queue_key};
    if (service->is_length_asked)
        return;
    service->is_length_asked = true;
    ask(service->rpc, service, on_length, argv, sizeof(argv) / sizeof(argv[0]));
}

/* ---- ticks ---- */

static bool is_resting(const struct rpc_service *service)
{
    return wh_loop_now_ms(service->rpc->loop) - service->called_ms > RPC_ACTIVE_MS &&
           service->inflight == 0 && !service->is_full && !service->is_renewal_due;
}

static void rest(struct rpc_service *service)
{
    wh_list_remove(&service->active_link);
    wh_buf_deinit(&service->batch);
    wh_buf_deinit(&service->cancels);
    service->batch = service->cancels = (struct wh_buf){0};
    service->has_liveness = false;
}

static void on_tick(struct wh_timer *timer)
{
    struct rpc *rpc = WH_CONTAINER_OF(timer, struct rpc, tick);
    WH_LIST_EACH(link, &rpc->active)
    {
        struct rpc_service *service = WH_CONTAINER_OF(link, struct rpc_service, active_link);
        if (is_resting(service))
            rest(service);
        else if (service->is_full)
            ask_length(service);
    }
    if (wh_list_is_empty(&rpc->active) || !rpc->is_up)
        return;
    ask_all_liveness(rpc);
    wh_loop_timer_start(rpc->loop, timer, RPC_TICK_MS);
}

void rpc_service_called(struct rpc_service *service)
{
    struct rpc *rpc = service->rpc;
    service->called_ms = wh_loop_now_ms(rpc->loop);
    if (wh_list_is_empty(&service->active_link))
        wh_list_push_back(&rpc->active, &service->active_link);
    if (!wh_timer_is_running(&rpc->tick))
        wh_loop_timer_start(rpc->loop, &rpc->tick, RPC_TICK_MS);
}

static void on_renewed(struct wh_redis_request *request,
                       enum wh_err err,
                       const struct wh_redis_reply *reply)
{
    struct rpc_service *service;
    answered(request, &service);
    if (err || reply->type != WH_REDIS_INTEGER)
        service->is_renewal_due = true;
}

/* A list that nobody pops any more must not stay for ever. */
static void renew(struct rpc_service *service)
{
    char ttl[NUMBER_MAX];
    int len = snprintf(ttl, sizeof(ttl), "%d", RPC_QUEUE_TTL_MS);
    struct wh_slice argv[] = {WH_SLICE_LITERAL("PEXPIRE"), service->queue_key,
                              wh_slice(ttl, (size_t)len)};
    service->is_renewal_due = false;
    ask(service->rpc, service, on_renewed, argv, sizeof(argv) / sizeof(argv[0]));
}

static void read_directory(struct rpc *rpc);

static void on_upkeep(struct wh_timer *timer)
{
    struct rpc *rpc = WH_CONTAINER_OF(timer, struct rpc, upkeep);
    size_t cursor = 0;
    struct rpc_service *of_any;
    while ((of_any = wh_map_next(&rpc->services, &cursor)) != NULL)
        update_metrics(of_any);
    if (rpc->is_up) {
        WH_LIST_EACH(link, &rpc->active)
        {
            struct rpc_service *service = WH_CONTAINER_OF(link, struct rpc_service, active_link);
            if (service->is_renewal_due)
                renew(service);
            ask_length(service); /* for the metric */
        }
        if (wh_loop_now_ms(rpc->loop) - rpc->read_ms >= RPC_DIRECTORY_MS)
            read_directory(rpc);
    }
    wh_loop_timer_start(rpc->loop, timer, RPC_UPKEEP_MS);
}

/* ---- directory ---- */

static int by_name(const void *a, const void *b)
{
    struct wh_slice first = (*(const struct rpc_service *const *)a)->name;
    struct wh_slice second = (*(const struct rpc_service *const *)b)->name;
    size_t shorter = first.len < second.len ? first.len : second.len;
    int order = memcmp(first.ptr, second.ptr, shorter);
    return order != 0 ? order : (first.len > second.len) - (first.len < second.len);
}

bool rpc_write_services(const struct rpc *rpc, struct wh_buf *out)
{
    const struct rpc_service *services[RPC_SERVICES_MAX];
    const struct rpc_service *service;
    size_t count = 0, cursor = 0;
    if (rpc->commands == NULL)
        return false;
    while ((service = wh_map_next(&rpc->services, &cursor)) != NULL)
        if (service->methods && count < RPC_SERVICES_MAX)
            services[count++] = service;
    qsort(services, count, sizeof(services[0]), by_name);
    wh_buf_append_str(out, "{\"services\":[");
    for (size_t i = 0; i < count; i++) {
        wh_buf_append_str(out, i > 0 ? ",{\"name\":" : "{\"name\":");
        wh_json_write_string(out, services[i]->name);
        wh_buf_append_str(out, ",\"version\":");
        wh_json_write_string(out, rpc_methods_version(services[i]->methods));
        wh_buf_printf(out, ",\"methods\":%zu}", rpc_methods_count(services[i]->methods));
    }
    wh_buf_append_str(out, "]}");
    return true;
}

static bool is_service_name(struct wh_slice name)
{
    char probe[PROBE_NAME_MAX];
    struct wh_slice service;
    if (name.len > WH_RPC_SERVICE_NAME_MAX)
        return false;
    int len = snprintf(probe, sizeof(probe), "%.*s.x", WH_SLICE_ARGS(name));
    return wh_rpc_method_service(wh_slice(probe, (size_t)len), &service) == WH_OK &&
           wh_slice_equal(service, name);
}

static void log_announcement(struct rpc *rpc, struct wh_slice name, const char *reason)
{
    wh_log_limited(&rpc->announcement_limit, WH_LOG_WARN, "rpc", "announcement_ignored",
                   "service=%.*s reason=%s", WH_SLICE_ARGS(name), reason);
}

static void take_announcement(struct rpc *rpc, struct wh_slice name, struct wh_slice json)
{
    struct rpc_methods *methods;
    size_t skipped;
    if (!is_service_name(name)) {
        log_announcement(rpc, WH_SLICE_LITERAL("?"), "not the name of a service");
        return;
    }
    struct rpc_service *service = rpc_service_find(rpc, name);
    if (service && service->methods && wh_slice_equal(rpc_methods_source(service->methods), json)) {
        service->is_seen = true;
        return;
    }
    if (service == NULL && rpc->services.count >= RPC_SERVICES_MAX) {
        log_announcement(rpc, name, "too many services");
        return;
    }
    enum wh_err err = rpc_methods_parse(name, json, &methods, &skipped);
    if (err) {
        log_announcement(rpc, name, wh_err_text(err));
        return;
    }
    if (skipped)
        log_announcement(rpc, name, "some methods are unusable");
    if (service == NULL)
        service = service_new(rpc, name);
    rpc_methods_free(service->methods);
    service->methods = methods;
    service->is_seen = true;
}

/* Services that nobody announces any more are forgotten once nothing refers to them. */
static void forget_unseen(struct rpc *rpc)
{
    struct rpc_service *unused[RPC_SERVICES_MAX];
    size_t count = 0, cursor = 0;
    struct rpc_service *service;
    while ((service = wh_map_next(&rpc->services, &cursor)) != NULL) {
        if (!service->is_seen) {
            rpc_methods_free(service->methods);
            service->methods = NULL;
            if (service->inflight == 0 && service->requests == 0)
                unused[count++] = service;
        }
        service->is_seen = false;
    }
    for (size_t i = 0; i < count; i++) {
        wh_map_remove(&rpc->services, unused[i]->name);
        service_free(unused[i]);
    }
}

static void take_directory(struct rpc *rpc, const struct wh_redis_reply *reply)
{
    for (size_t i = 0; i + 1 < reply->count; i += 2)
        take_announcement(rpc, reply->items[i].text, reply->items[i + 1].text);
    forget_unseen(rpc);
}

static void on_directory(struct wh_redis_request *request,
                         enum wh_err err,
                         const struct wh_redis_reply *reply)
{
    struct rpc_service *service;
    struct rpc *rpc = answered(request, &service);
    rpc->is_reading = false;
    if (err == WH_OK && reply->type == WH_REDIS_ARRAY) {
        take_directory(rpc, reply);
        resume_all(&rpc->unknown);
    } else {
        if (err == WH_OK)
            log_announcement(rpc, WH_SLICE_LITERAL("*"), "the hash cannot be read");
        end_all(&rpc->unknown, WH_ERROR_SERVICE_UNAVAILABLE);
    }
    if (rpc->is_changed)
        rpc_directory_changed(rpc);
}

static void read_directory(struct rpc *rpc)
{
    struct wh_slice argv[] = {WH_SLICE_LITERAL("HGETALL"), WH_SLICE_LITERAL(WH_RPC_SERVICES_KEY)};
    if (rpc->is_reading)
        return;
    rpc->is_reading = true;
    rpc->is_changed = false;
    rpc->read_ms = wh_loop_now_ms(rpc->loop);
    ask(rpc, NULL, on_directory, argv, sizeof(argv) / sizeof(argv[0]));
}

static void on_reread(struct wh_timer *timer)
{
    struct rpc *rpc = WH_CONTAINER_OF(timer, struct rpc, reread);
    if (rpc->is_up)
        read_directory(rpc);
}

/* A burst of messages is one more read, and many are ten in a second. */
void rpc_directory_changed(struct rpc *rpc)
{
    uint64_t now = wh_loop_now_ms(rpc->loop);
    uint64_t due = rpc->read_ms + RPC_REREAD_MS;
    if (!rpc->is_up) /* it is read when the link comes up */
        return;
    rpc->is_changed = true;
    if (!rpc->is_reading && !wh_timer_is_running(&rpc->reread))
        wh_loop_timer_start(rpc->loop, &rpc->reread, due > now ? due - now : 0);
}

bool rpc_directory_look(struct rpc *rpc)
{
    if (rpc->is_reading || wh_timer_is_running(&rpc->reread))
        return true;
    if (!token_bucket_take(&rpc->looks, wh_loop_now_ms(rpc->loop)))
        return false;
    read_directory(rpc);
    return true;
}

/* ---- life ---- */

void rpc_services_init(struct rpc *rpc)
{
    wh_list_init(&rpc->active);
    wh_list_init(&rpc->unknown);
    wh_timer_init(&rpc->tick, on_tick);
    wh_timer_init(&rpc->upkeep, on_upkeep);
    wh_timer_init(&rpc->reread, on_reread);
    token_bucket_init(&rpc->looks, RPC_LOOKS_PER_SECOND, RPC_LOOKS_PER_SECOND,
                      wh_loop_now_ms(rpc->loop));
}

/* What was known about who lives is old news either way. */
void rpc_services_link(struct rpc *rpc, bool is_up)
{
    size_t cursor = 0;
    struct rpc_service *service;
    while ((service = wh_map_next(&rpc->services, &cursor)) != NULL) {
        service->has_liveness = false;
        if (!is_up)
            end_all(&service->waiting, WH_ERROR_SERVICE_UNAVAILABLE);
    }
    if (!is_up) {
        end_all(&rpc->unknown, WH_ERROR_SERVICE_UNAVAILABLE);
        return;
    }
    read_directory(rpc);
    if (!wh_timer_is_running(&rpc->upkeep))
        wh_loop_timer_start(rpc->loop, &rpc->upkeep, RPC_UPKEEP_MS);
    if (!wh_list_is_empty(&rpc->active) && !wh_timer_is_running(&rpc->tick))
        wh_loop_timer_start(rpc->loop, &rpc->tick, RPC_TICK_MS);
}

void rpc_services_stop(struct rpc *rpc)
{
    size_t cursor = 0;
    struct rpc_service *service;
    wh_loop_timer_stop(rpc->loop, &rpc->tick);
    wh_loop_timer_stop(rpc->loop, &rpc->upkeep);
    wh_loop_timer_stop(rpc->loop, &rpc->reread);
    while ((service = wh_map_next(&rpc->services, &cursor)) != NULL) {
        end_all(&service->waiting, WH_ERROR_SERVICE_UNAVAILABLE);
        end_all(&service->sent, WH_ERROR_SERVICE_UNAVAILABLE);
    }
    end_all(&rpc->unknown, WH_ERROR_SERVICE_UNAVAILABLE);
}

void rpc_services_deinit(struct rpc *rpc)
{
    size_t cursor = 0;
    struct rpc_service *service;
    while ((service = wh_map_next(&rpc->services, &cursor)) != NULL)
        service_free(service);
    wh_map_deinit(&rpc->services);
}
