/*
 * Threads that wait: for a state here, for an answer in call.c.  They wait on
 * a condition of their own with the client's lock, and are woken by whoever
 * changed the state; on a pumped loop they turn it meanwhile.
 */
#include "client-sdk/src/deliver.h"
#include "client-sdk/src/run.h"
#include "client-sdk/src/sub.h"

#include "common/base/clock.h"
#include "common/protocol/codes.h"

struct waiter {
    struct wh_list link;
    pthread_cond_t cond;
    struct wh_sub *sub; /* NULL = for the client */
    bool is_done;
    enum wh_err err;
    struct wh_error detail;
};

int shell_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;
    int problem = pthread_condattr_init(&attributes);
    if (problem != 0)
        return problem;
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    problem = pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
    return problem;
}

enum wh_err client_may_wait(struct wh_client *client)
{
    struct wh_runtime *runtime = client->runtime;
    if (runtime_mode(runtime) != WH_MODE_LOOP)
        return runtime_is_serving(runtime) ? WH_EWOULDDEADLOCK : WH_OK;
    return runtime_is_foreign(runtime) || deliver_is_inside() ? WH_EWOULDDEADLOCK : WH_OK;
}

static bool pump_until(struct wh_client *client, const bool *is_done, uint64_t deadline_us)
{
    while (!*is_done) {
        uint64_t now_us = wh_clock_monotonic_us();
        if (now_us >= deadline_us)
            return false;
        uint64_t left_ms = (deadline_us - now_us + 999) / 1000;
        pthread_mutex_unlock(&client->lock);
        runtime_pump(client->runtime, left_ms < 1000 ? (uint32_t)left_ms : 1000);
        pthread_mutex_lock(&client->lock);
    }
    return true;
}

bool client_wait_for(struct wh_client *client,
                     pthread_cond_t *cond,
                     const bool *is_done,
                     uint64_t deadline_us)
{
    if (runtime_mode(client->runtime) == WH_MODE_LOOP)
        return pump_until(client, is_done, deadline_us);
    if (deadline_us == UINT64_MAX) {
        while (!*is_done)
            pthread_cond_wait(cond, &client->lock);
        return true;
    }
    struct timespec deadline = {.tv_sec = (time_t)(deadline_us / 1000000),
                                .tv_nsec = (long)(deadline_us % 1000000) * 1000};
    while (!*is_done) {
        if (pthread_cond_timedwait(cond, &client->lock, &deadline) != 0)
            return *is_done;
    }
    return true;
}

static void end_wait(struct waiter *waiter, enum wh_err err)
{
    waiter->err = err;
    waiter->is_done = true;
    pthread_cond_signal(&waiter->cond);
}

/* Why it failed stands in the events that were just made: the newest of a kind, with at most a few
 * others (of subscriptions, calls) behind it. */
static const struct event *newest_event(const struct wh_client *client,
                                        const struct wh_sub *sub,
                                        enum event_kind kind)
{
    enum { LOOK_BACK = 64 };
    const struct wh_list *events = &client->engine.events.events;
    const struct wh_list *node = events->prev;
    for (unsigned i = 0; node != events && i < LOOK_BACK; node = node->prev, i++) {
        const struct event *event = WH_CONTAINER_OF(node, const struct event, link);
        if (event->kind == kind && event->sub == sub)
            return event;
    }
    return NULL;
}

static void keep_error(struct waiter *waiter, const struct wh_client *client)
{
    const struct event *event =
        newest_event(client, waiter->sub, waiter->sub ? EVENT_SUB_ERROR : EVENT_ERROR);
    if (event)
        waiter->detail = event->u.error;
}

/* disconnected 1 and unsubscribed 1 are the client's word for it; but without reconnecting the loss
 * of a connection is disconnected 1 as well. */
static bool is_unauthorized(const struct wh_transition *why)
{
    return (why->code == 1 && strcmp(why->reason, "unauthorized") == 0) ||
           why->code == WH_ERROR_UNAUTHORIZED || why->code == WH_DISCONNECT_INVALID_TOKEN;
}

static void fail_wait(struct waiter *waiter, const struct wh_client *client)
{
    bool is_of_sub = waiter->sub && waiter->sub->state == WH_SUB_UNSUBSCRIBED;
    const struct event *event = is_of_sub ? newest_event(client, waiter->sub, EVENT_UNSUBSCRIBED)
                                          : newest_event(client, NULL, EVENT_DISCONNECTED);
    enum wh_err err = is_of_sub ? WH_EUNSUBSCRIBED : WH_ECONNECT;
    if (event && is_unauthorized(&event->u.transition))
        err = WH_EUNAUTHORIZED;
    if (client->engine.state == ENGINE_CLOSED)
        err = WH_ECLOSED;
    if (event) {
        (void)shell_fail(&waiter->detail, err, "%s", event->u.transition.reason);
        waiter->detail.code = event->u.transition.code;
    }
    end_wait(waiter, err);
}

void waiters_look(struct wh_client *client)
{
    WH_LIST_EACH(node, &client->waiters)
    {
        struct waiter *waiter = WH_CONTAINER_OF(node, struct waiter, link);
        if (waiter->is_done)
            continue;
        keep_error(waiter, client);
        enum wh_client_state state = engine_public_state(&client->engine);
        if (state == WH_CLIENT_DISCONNECTED || state == WH_CLIENT_CLOSED)
            fail_wait(waiter, client);
        else if (!waiter->sub && state == WH_CLIENT_CONNECTED)
            end_wait(waiter, WH_OK);
        else if (waiter->sub && waiter->sub->state == WH_SUB_SUBSCRIBED)
            end_wait(waiter, WH_OK);
        else if (waiter->sub && waiter->sub->state == WH_SUB_UNSUBSCRIBED)
            fail_wait(waiter, client);
    }
}

/* Under the lock.  What the wait is for is begun here, so that no change is missed. */
static enum wh_err begin_wait(struct wh_client *client, struct waiter *waiter)
{
    struct engine *engine = &client->engine;
    enum wh_err err = waiter->sub ? sub_subscribe(waiter->sub) : engine_connect(engine);
    if (err != WH_OK)
        return err;
    wh_list_push_back(&client->waiters, &waiter->link);
    client->waiting_threads++;
    if (waiter->sub)
        sub_ref(waiter->sub); /* a callback may free it meanwhile */
    return WH_OK;
}

static void end_waiting(struct wh_client *client, struct waiter *waiter)
{
    wh_list_remove(&waiter->link);
    client->waiting_threads--;
    if (waiter->sub)
        sub_unref(waiter->sub);
}

enum wh_err client_wait_state(struct wh_client *client,
                              struct wh_sub *sub,
                              uint32_t timeout_ms,
                              struct wh_error *detail)
{
    enum wh_err err = client_may_wait(client);
    struct waiter waiter = {.sub = sub};
    if (err == WH_OK && shell_cond_init(&waiter.cond) != 0)
        err = WH_ENOMEM;
    if (err != WH_OK)
        return shell_fail(detail, err, "%s", wh_err_text(err));
    uint64_t deadline_us = wh_clock_monotonic_us() + UINT64_C(1000) * timeout_ms;
    wh_list_init(&waiter.link);
    client_ref(client);
    (void)client_lock(client);
    err = begin_wait(client, &waiter);
    client_unlock(client); /* looks at the state as well */
    if (err == WH_OK) {
        pthread_mutex_lock(&client->lock);
        bool is_done = client_wait_for(client, &waiter.cond, &waiter.is_done, deadline_us);
        err = is_done ? waiter.err : WH_ETIMEOUT;
        end_waiting(client, &waiter);
        client_unlock(client);
    }
    client_unref(client);
    pthread_cond_destroy(&waiter.cond);
    if (err == WH_OK)
        return WH_OK;
    const char *why = waiter.detail.text[0] ? waiter.detail.text : wh_err_text(err);
    struct wh_error told = waiter.detail;
    (void)shell_fail(&told, err, "%s", why);
    told.code = waiter.detail.code;
    told.http_status = waiter.detail.http_status;
    told.temporary = err == WH_ETIMEOUT || waiter.detail.temporary;
    if (detail)
        *detail = told;
    return err;
}
