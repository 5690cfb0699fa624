/*
 * Calls as programs see them: the functions of wirehub/call.h.  Each fills in a call_request and
 * hands it to call_async or call_sync, which check what they have in common.  Asynchronous
 * ones hand their callback to the engine; synchronous ones wait for `completion`,
 * which runs under the lock on the thread that brought the answer, so that
 * no slow callback keeps them waiting.  A result keeps the message that it lies in.
 */
#include "client-sdk/src/abi.h"
#include "client-sdk/src/client.h"
#include "client-sdk/src/deliver.h"
#include "client-sdk/src/sub.h"

#include "common/base/alloc.h"

/* What `request` borrows is there; its history options are made ours, in `history`. */
static enum wh_err check_request(const struct wh_client *client,
                                 struct call_request *request,
                                 struct wh_history_options *history,
                                 struct wh_error *detail)
{
    enum wh_err err = client_check(client);
    if (err != WH_OK)
        return shell_fail(detail, err, "%s", wh_err_text(err));
    if (!request->channel && request->kind != PENDING_PING)
        return shell_fail(detail, WH_EINVAL, "%s: is NULL",
                          request->kind == PENDING_RPC ? "method" : "channel");
    if (!request->history)
        return WH_OK;
    *history = (struct wh_history_options)WH_HISTORY_OPTIONS_INIT;
    err = abi_copy(history, sizeof *history, request->history);
    request->history = history;
    return err == WH_OK ? WH_OK : shell_fail(detail, err, "history options: %s", wh_err_text(err));
}

/* ---- asynchronous ---------------------------------------------------------------------------- */

/* The handle is the program's before the lock is given back: the callback may run, and end the
 * client, at any time from then on. */
static enum wh_err start(struct wh_client *client,
                         const struct call_request *request,
                         struct call *call,
                         struct wh_call **out_call)
{
    enum wh_err err = engine_call(client_lock(client), request, call);
    if (err != WH_OK) {
        call->user_free = NULL;
    } else if (out_call) {
        call_ref(call);
        client_ref(client); /* the handle may outlive the client's end */
        *out_call = (struct wh_call *)call;
    }
    client_unlock(client);
    return err;
}

static enum wh_err call_async(struct wh_client *client,
                              struct call_request request,
                              const struct wh_call_options *options,
                              union call_callback cb,
                              void *user)
{
    struct wh_call_options all = WH_CALL_OPTIONS_INIT;
    struct wh_history_options history;
    enum wh_err err = check_request(client, &request, &history, NULL);
    if (err == WH_OK && options)
        err = abi_copy(&all, sizeof all, options);
    if (err != WH_OK)
        return err;
    struct call *call = call_new(client);
    if (!call)
        return WH_ENOMEM;
    request.timeout_ms = all.timeout_ms;
    call->kind = request.kind;
    call->cb = cb;
    call->user = user;
    call->user_free = all.user_free;
    err = start(client, &request, call, all.out_call);
    call_unref(call);
    return err;
}

/* Through a subscription; without one the client is missing, which is what gets told. */
static enum wh_err call_sub(struct wh_sub *sub,
                            struct call_request request,
                            const struct wh_call_options *options,
                            union call_callback cb,
                            void *user)
{
    request.sub = sub;
    request.channel = wh_sub_channel(sub);
    return call_async(wh_sub_client(sub), request, options, cb, user);
}

enum wh_err wh_client_rpc(struct wh_client *client,
                          const char *method,
                          struct wh_data data,
                          const struct wh_call_options *options,
                          wh_rpc_cb *cb,
                          void *user)
{
    const struct call_request request = {.kind = PENDING_RPC, .channel = method, .data = data};
    return call_async(client, request, options, (union call_callback){.rpc = cb}, user);
}

enum wh_err wh_client_publish(struct wh_client *client,
                              const char *channel,
                              struct wh_data data,
                              const struct wh_call_options *options,
                              wh_done_cb *cb,
                              void *user)
{
    const struct call_request request = {.kind = PENDING_PUBLISH, .channel = channel, .data = data};
    return call_async(client, request, options, (union call_callback){.done = cb}, user);
}

enum wh_err wh_client_history(struct wh_client *client,
                              const char *channel,
                              const struct wh_history_options *history,
                              const struct wh_call_options *options,
                              wh_history_cb *cb,
                              void *user)
{
    const struct call_request request = {
        .kind = PENDING_HISTORY, .channel = channel, .history = history};
    return call_async(client, request, options, (union call_callback){.history = cb}, user);
}

enum wh_err wh_client_presence(struct wh_client *client,
                               const char *channel,
                               const struct wh_call_options *options,
                               wh_presence_cb *cb,
                               void *user)
{
    const struct call_request request = {.kind = PENDING_PRESENCE, .channel = channel};
    return call_async(client, request, options, (union call_callback){.presence = cb}, user);
}

enum wh_err wh_client_presence_stats(struct wh_client *client,
                                     const char *channel,
                                     const struct wh_call_options *options,
                                     wh_presence_stats_cb *cb,
                                     void *user)
{
    const struct call_request request = {.kind = PENDING_PRESENCE_STATS, .channel = channel};
    union call_callback all = {.presence_stats = cb};
    return call_async(client, request, options, all, user);
}

enum wh_err wh_client_ping(struct wh_client *client,
                           const struct wh_call_options *options,
                           wh_done_cb *cb,
                           void *user)
{
    const struct call_request request = {.kind = PENDING_PING};
    return call_async(client, request, options, (union call_callback){.done = cb}, user);
}

enum wh_err wh_sub_publish(struct wh_sub *sub,
                           struct wh_data data,
                           const struct wh_call_options *options,
                           wh_done_cb *cb,
                           void *user)
{
    const struct call_request request = {.kind = PENDING_PUBLISH, .data = data};
    return call_sub(sub, request, options, (union call_callback){.done = cb}, user);
}

enum wh_err wh_sub_history(struct wh_sub *sub,
                           const struct wh_history_options *history,
                           const struct wh_call_options *options,
                           wh_history_cb *cb,
                           void *user)
{
    const struct call_request request = {.kind = PENDING_HISTORY, .history = history};
    return call_sub(sub, request, options, (union call_callback){.history = cb}, user);
}

enum wh_err wh_sub_presence(struct wh_sub *sub,
                            const struct wh_call_options *options,
                            wh_presence_cb *cb,
                            void *user)
{
    const struct call_request request = {.kind = PENDING_PRESENCE};
    return call_sub(sub, request, options, (union call_callback){.presence = cb}, user);
}

enum wh_err wh_sub_presence_stats(struct wh_sub *sub,
                                  const struct wh_call_options *options,
                                  wh_presence_stats_cb *cb,
                                  void *user)
{
    const struct call_request request = {.kind = PENDING_PRESENCE_STATS};
    return call_sub(sub, request, options, (union call_callback){.presence_stats = cb}, user);
}

enum wh_err wh_client_send(struct wh_client *client, struct wh_data data)
{
    enum wh_err err = client_check(client);
    if (err != WH_OK)
        return err;
    err = engine_send(client_lock(client), data);
    client_unlock(client);
    return err;
}

void wh_call_cancel(struct wh_call *handle)
{
    struct call *call = (struct call *)handle;
    if (!call || client_is_forked(call->client))
        return;
    struct wh_client *client = call->client;
    engine_cancel(client_lock(client), call);
    client_unlock(client);
}

void wh_call_free(struct wh_call *handle)
{
    struct call *call = (struct call *)handle;
    if (!call)
        return;
    struct wh_client *client = call->client;
    call_unref(call);
    client_unref(client);
}

/* ---- synchronous ----------------------------------------------------------------------------- */

struct result {
    struct wh_result public;
    struct message *message;
};

struct sync_wait {
    pthread_cond_t cond;
    bool is_done;
    struct result *result; /* made before, so that the answer cannot fail */
    struct wh_error error; /* err WH_OK = success */
};

static void on_completion(void *waiter, const struct call_outcome *outcome)
{
    struct sync_wait *wait = (struct sync_wait *)waiter;
    if (outcome->error) {
        wait->error = *outcome->error;
    } else {
        struct result *result = wait->result;
        result->public.data = outcome->data;
        result->public.history = outcome->history;
        result->public.presence = outcome->presence;
        result->public.stats = outcome->stats;
        result->message = outcome->message ? message_ref(outcome->message) : NULL;
    }
    wait->is_done = true;
    pthread_cond_signal(&wait->cond);
}

void wh_result_free(struct wh_result *result)
{
    if (!result)
        return;
    struct result *whole = WH_CONTAINER_OF(result, struct result, public);
    message_unref(whole->message);
    wh_free(whole);
}

static enum wh_err wait_for_answer(struct wh_client *client,
                                   const struct call_request *request,
                                   struct call *call,
                                   struct sync_wait *wait)
{
    struct engine *engine = client_lock(client);
    enum wh_err err = engine_call(engine, request, call);
    if (err == WH_OK)
        client->waiting_threads++;
    client_unlock(client);
    if (err != WH_OK)
        return err;
    pthread_mutex_lock(&client->lock);
    (void)client_wait_for(client, &wait->cond, &wait->is_done, UINT64_MAX);
    client->waiting_threads--;
    client_unlock(client);
    return wait->error.err;
}

static enum wh_err call_waiting(struct wh_client *client,
                                const struct call_request *request,
                                struct sync_wait *wait)
{
    enum wh_err err = client_may_wait(client);
    if (err != WH_OK)
        return err;
    struct call *call = call_new(client);
    wait->result = wh_calloc(1, sizeof *wait->result);
    if (call && wait->result && shell_cond_init(&wait->cond) == 0) {
        call->kind = request->kind;
        call->completion = on_completion;
        call->user = wait;
        client_ref(client);
        err = wait_for_answer(client, request, call, wait);
        client_unref(client);
        pthread_cond_destroy(&wait->cond);
    } else {
        err = WH_ENOMEM;
    }
    call_unref(call);
    return err;
}

static enum wh_err call_sync(struct wh_client *client,
                             struct call_request request,
                             struct wh_result **out_result,
                             struct wh_error *detail)
{
    struct sync_wait wait = {.is_done = false};
    struct wh_history_options history;
    enum wh_err err = check_request(client, &request, &history, detail);
    if (err != WH_OK)
        return err;
    err = call_waiting(client, &request, &wait);
    struct wh_result *result = wait.result ? &wait.result->public : NULL;
    if (err == WH_OK && out_result) {
        *out_result = result;
        return WH_OK;
    }
    wh_result_free(result);
    if (wait.error.err != WH_OK && detail)
        *detail = wait.error;
    else if (err != WH_OK)
        (void)shell_fail(detail, err, "%s", wh_err_text(err));
    return err;
}

enum wh_err wh_client_rpc_sync(struct wh_client *client,
                               const char *method,
                               struct wh_data data,
                               uint32_t timeout_ms,
                               struct wh_result **out_result,
                               struct wh_error *detail)
{
    const struct call_request request = {
        .kind = PENDING_RPC, .channel = method, .data = data, .timeout_ms = timeout_ms};
    return call_sync(client, request, out_result, detail);
}

enum wh_err wh_client_publish_sync(struct wh_client *client,
                                   const char *channel,
                                   struct wh_data data,
                                   uint32_t timeout_ms,
                                   struct wh_error *detail)
{
    const struct call_request request = {
        .kind = PENDING_PUBLISH, .channel = channel, .data = data, .timeout_ms = timeout_ms};
    return call_sync(client, request, NULL, detail);
}

enum wh_err wh_client_history_sync(struct wh_client *client,
                                   const char *channel,
                                   const struct wh_history_options *history,
                                   uint32_t timeout_ms,
                                   struct wh_result **out_result,
                                   struct wh_error *detail)
{
    const struct call_request request = {
        .kind = PENDING_HISTORY, .channel = channel, .history = history, .timeout_ms = timeout_ms};
    return call_sync(client, request, out_result, detail);
}

enum wh_err wh_client_presence_sync(struct wh_client *client,
                                    const char *channel,
                                    uint32_t timeout_ms,
                                    struct wh_result **out_result,
                                    struct wh_error *detail)
{
    const struct call_request request = {
        .kind = PENDING_PRESENCE, .channel = channel, .timeout_ms = timeout_ms};
    return call_sync(client, request, out_result, detail);
}

enum wh_err wh_client_presence_stats_sync(struct wh_client *client,
                                          const char *channel,
                                          uint32_t timeout_ms,
                                          struct wh_result **out_result,
                                          struct wh_error *detail)
{
    const struct call_request request = {
        .kind = PENDING_PRESENCE_STATS, .channel = channel, .timeout_ms = timeout_ms};
    return call_sync(client, request, out_result, detail);
}
