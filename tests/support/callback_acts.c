/*
 * Every public function, as it is called inside a callback, and what it must answer there.  A row
 * that is not alone leaves the client and the subscription as they are.
 */
#include "tests/support/callback_run.h"

#include <stdio.h>
#include <string.h>

enum { SHORT_MS = 5, LONG_MS = 20000 };

#define ONE_OF(err) (UINT64_C(1) << (err))

static void claim_err(struct run *run, const char *call, enum wh_err err, uint64_t allowed)
{
    if (allowed & ONE_OF(err))
        return;
    fprintf(stderr, "%s gave %s in mode %d inside %s\n", call, wh_err_name(err), (int)run->mode,
            run->scene->callback);
    claim_failed(__FILE__, __LINE__, call);
}

#define GIVES(allowed, call) claim_err(run, #call, call, allowed)

/* ---- what the headers promise ---------------------------------------------------------------- */

static bool is_down(const struct run *run)
{
    return run->scene->client == CLIENT_DOWN;
}

static bool has_sub(const struct run *run)
{
    return run->scene->sub != SUB_DOWN;
}

static uint64_t call_starts(const struct run *run)
{
    return ONE_OF(is_down(run) ? WH_EDISCONNECTED : WH_OK);
}

static uint64_t sub_call_starts(const struct run *run)
{
    if (is_down(run))
        return ONE_OF(WH_EDISCONNECTED);
    return ONE_OF(has_sub(run) ? WH_OK : WH_EUNSUBSCRIBED);
}

static uint64_t sync_ends(const struct run *run)
{
    if (run->mode == WH_MODE_LOOP)
        return ONE_OF(WH_EWOULDDEADLOCK);
    if (is_down(run))
        return ONE_OF(WH_EDISCONNECTED);
    return ONE_OF(run->scene->client == CLIENT_WAITS ? WH_ETIMEOUT : WH_OK);
}

static uint32_t sync_timeout(const struct run *run)
{
    return run->scene->client == CLIENT_WAITS ? SHORT_MS : LONG_MS;
}

/* ---- error.h, version.h, data.h -------------------------------------------------------------- */

static void do_err_name(struct run *run)
{
    (void)run;
    CLAIM(strcmp(wh_err_name(WH_EFULL), "WH_EFULL") == 0);
}
static void do_err_text(struct run *run)
{
    (void)run;
    CLAIM(strcmp(wh_err_text(WH_EFULL), "queue full") == 0);
}
static void do_version(struct run *run)
{
    (void)run;
    CLAIM(strcmp(wh_version(), WH_VERSION) == 0);
}
static void do_version_num(struct run *run)
{
    (void)run;
    CLAIM(wh_version_num() == WH_VERSION_NUM);
}
static void do_has(struct run *run)
{
    (void)run;
    (void)wh_has("uv"); /* looks for the plug-in */
    CLAIM(wh_has("tls") && !wh_has("wings"));
}
static void do_data_copy(struct run *run)
{
    struct wh_data data = wh_json("{\"a\":1}"), copy;
    GIVES(ONE_OF(WH_OK), wh_data_copy(&data, &copy));
    CLAIM(copy.len == data.len && memcmp(copy.ptr, data.ptr, data.len) == 0);
    wh_data_free(&copy);
}
static void do_data_to_json(struct run *run)
{
    struct wh_data data = {"\x81\xa1\x61\x01", 4, WH_DATA_MSGPACK, 0}, json;
    GIVES(ONE_OF(WH_OK), wh_data_to_json(&data, &json));
    CLAIM(strcmp(json.ptr, "{\"a\":1}") == 0);
    wh_data_free(&json);
}

/* ---- runtime.h ------------------------------------------------------------------------------- */

static void on_runtime_done(void *user)
{
    atomic_fetch_add(&((struct run *)user)->runtimes_done, 1);
}

static struct wh_runtime *another_runtime(struct run *run)
{
    struct wh_runtime_options options = WH_RUNTIME_OPTIONS_INIT;
    struct wh_runtime *runtime = NULL;
    options.mode = run->mode;
    GIVES(ONE_OF(WH_OK), wh_runtime_new(&options, &runtime, NULL));
    return runtime;
}

static void do_runtime_new(struct run *run)
{
    wh_runtime_free(another_runtime(run));
}
static void do_client_free(struct run *run);
static void do_runtime_free(struct run *run)
{
    struct wh_runtime *runtime = run->runtime;
    /* A pumped loop whose program gives it up has no turn after this one. */
    if (run->mode == WH_MODE_LOOP)
        do_client_free(run);
    run->runtime = NULL;
    wh_runtime_free(runtime);
}
static void do_runtime_close(struct run *run)
{
    atomic_fetch_add(&run->runtimes_begun, 1);
    wh_runtime_close(another_runtime(run), on_runtime_done, run);
}
static void do_run_once(struct run *run)
{
    uint64_t promised = ONE_OF(run->mode == WH_MODE_LOOP ? WH_EWOULDDEADLOCK : WH_EINVAL);
    GIVES(promised, wh_runtime_run_once(run->runtime, 1000));
}
static void do_wake(struct run *run)
{
    wh_runtime_wake(run->runtime);
}
static void on_line(enum wh_severity severity,
                    const char *area,
                    const char *event,
                    const char *fields,
                    void *user)
{
    (void)severity, (void)area, (void)event, (void)fields, (void)user;
}
static void do_log_sink(struct run *run)
{
    wh_log_sink(on_line, run, WH_SEVERITY_TRACE, NULL);
    wh_log_sink(NULL, NULL, WH_SEVERITY_NONE, NULL);
}

/* ---- client.h -------------------------------------------------------------------------------- */

static void do_publication_ref(struct run *run)
{
    (void)run;
    CLAIM(wh_publication_ref(kept_publication) == kept_publication);
    CLAIM(kept_publication->data.len == 1);
    wh_publication_unref(kept_publication);
}
static void do_token_ok(struct run *run)
{
    wh_token_ok(run->token_requests[ASK_TOKEN_OK], "t");
}
static void do_token_unauthorized(struct run *run)
{
    wh_token_unauthorized(run->token_requests[ASK_TOKEN_UNAUTHORIZED]);
}
static void do_token_error(struct run *run)
{
    wh_token_error(run->token_requests[ASK_TOKEN_ERROR], "because");
}
static void do_options_set(struct run *run)
{
    struct wh_client_options options = WH_CLIENT_OPTIONS_INIT;
    struct wh_error error;
    GIVES(ONE_OF(WH_OK), wh_client_options_set(&options, "timeout_ms", "5s", &error));
    GIVES(ONE_OF(WH_ENOTFOUND), wh_client_options_set(&options, "timeuot_ms", "5s", &error));
    CLAIM(options.timeout_ms == 5000);
    GIVES(ONE_OF(WH_OK), wh_client_options_set(&options, "header.a", "b", &error));
    CLAIM(options.header_count == 1);
    wh_client_options_deinit(&options);
    CLAIM(options.header_count == 0);
}
static struct wh_client_options extra_options(struct run *run)
{
    struct wh_client_options options = WH_CLIENT_OPTIONS_INIT;
    options.url = "ws://localhost/extra";
    options.user = &run->extras;
    options.user_free = tally_free;
    options.runtime = run->runtime;
    atomic_fetch_add(&run->extras.begun, 1);
    return options;
}
static void do_client_new(struct run *run)
{
    struct wh_client_options options = extra_options(run);
    struct wh_client *client = NULL;
    GIVES(ONE_OF(WH_OK), wh_client_new(&options, &client, NULL));
    wh_client_free(client);
}
static void do_open(struct run *run)
{
    struct wh_client_options options = extra_options(run);
    struct wh_client *client = wh_client_open(NULL, &options);
    CLAIM(client && wh_client_state(client) != WH_CLIENT_DISCONNECTED);
    wh_client_free(client);
}
static void do_connect(struct run *run)
{
    GIVES(ONE_OF(WH_OK), wh_client_connect(run->client));
}
static void do_connect_wait(struct run *run)
{
    uint64_t promised = ONE_OF(run->scene->client == CLIENT_WAITS ? WH_ETIMEOUT : WH_OK);
    if (run->mode == WH_MODE_LOOP)
        promised = ONE_OF(WH_EWOULDDEADLOCK);
    GIVES(promised, wh_client_connect_wait(run->client, sync_timeout(run), NULL));
}
static void do_disconnect(struct run *run)
{
    GIVES(ONE_OF(WH_OK), wh_client_disconnect(run->client));
    CLAIM(wh_client_state(run->client) == WH_CLIENT_DISCONNECTED);
}
static void do_reconnect_now(struct run *run)
{
    GIVES(ONE_OF(WH_OK), wh_client_reconnect_now(run->client));
}
static void do_set_token(struct run *run)
{
    GIVES(ONE_OF(WH_OK), wh_client_set_token(run->client, "t"));
}
static void do_client_free(struct run *run)
{
    wh_client_free(run->client);
    run->client = NULL;
    atomic_store(&run->is_freed, true); /* no callback any more, though events wait */
}
static void on_closed(void *user)
{
    struct run *run = user;
    CLAIM(atomic_load(&run->user_frees) == 1);
    atomic_store(&run->is_freed, true);
    run->closing = NULL;
    atomic_store(&run->is_closed, true);
}
static void do_close(struct run *run)
{
    run->closing = run->client;
    run->has_closing = true;
    wh_client_close(run->client, on_closed, run);
    run->client = NULL;
}
static void do_state(struct run *run)
{
    static const unsigned allowed[] = {[CLIENT_COMING] =
                                           1U << WH_CLIENT_CONNECTING | 1U << WH_CLIENT_CONNECTED,
                                       [CLIENT_UP] = 1U << WH_CLIENT_CONNECTED,
                                       [CLIENT_WAITS] = 1U << WH_CLIENT_CONNECTING,
                                       [CLIENT_DOWN] = 1U << WH_CLIENT_DISCONNECTED};
    CLAIM(allowed[run->scene->client] & 1U << wh_client_state(run->client));
}
static void do_state_name(struct run *run)
{
    (void)run;
    CLAIM(strcmp(wh_client_state_name(WH_CLIENT_CONNECTED), "connected") == 0);
}
static void do_user(struct run *run)
{
    CLAIM(wh_client_user(run->client) == run);
}
static void do_fd(struct run *run)
{
    CLAIM((wh_client_fd(run->client) >= 0) == (run->mode == WH_MODE_DISPATCH));
}
static void do_dispatch(struct run *run)
{
    CLAIM(wh_client_dispatch(run->client, 0) == 0);
}
static void do_batch(struct run *run)
{
    wh_client_batch_begin(run->client);
    GIVES(call_starts(run), wh_client_publish(run->client, "a", wh_json("1"), NULL, NULL, NULL));
    wh_client_batch_end(run->client);
}
static void do_stats(struct run *run)
{
    struct wh_client_stats stats = {.size = sizeof stats};
    wh_client_stats(run->client, &stats);
    CLAIM(stats.size == sizeof stats);
    CLAIM(stats.connects > 0 || run->scene->client == CLIENT_COMING ||
          run->scene->client == CLIENT_WAITS);
}

/* ---- subscription.h -------------------------------------------------------------------------- */

static void do_state_ok(struct run *run)
{
    static const struct wh_position start = {1, "e"};
    wh_state_ok(run->state_requests[ASK_STATE_OK], &start);
}
static void do_state_error(struct run *run)
{
    wh_state_error(run->state_requests[ASK_STATE_ERROR], "because");
}
static void do_sub_new(struct run *run)
{
    struct wh_sub *sub = NULL;
    struct wh_sub_options options = WH_SUB_OPTIONS_INIT;
    options.user = &run->extras;
    options.user_free = tally_free;
    GIVES(ONE_OF(WH_EDUPLICATE), wh_sub_new(run->client, "news", NULL, &sub, NULL));
    atomic_fetch_add(&run->extras.begun, 1);
    GIVES(ONE_OF(WH_OK), wh_sub_new(run->client, "extra", &options, &sub, NULL));
    wh_sub_free(sub);
}
static void on_nothing(struct wh_sub *sub, const struct wh_publication *publication, void *user)
{
    const struct run *run = user;
    (void)sub, (void)publication;
    /* It was freed in the callback that made it; in a runtime's `done` callbacks of the client may
     * run beside that. */
    CLAIM(strcmp(run->scene->callback, "runtime.done") == 0);
}
static void do_client_subscribe(struct run *run)
{
    struct wh_sub *sub = wh_client_subscribe(run->client, "extra", on_nothing, run);
    CLAIM(sub);
    wh_sub_free(sub);
}
static void do_subscribe(struct run *run)
{
    GIVES(ONE_OF(WH_OK), wh_sub_subscribe(run->sub));
}
static void do_subscribe_wait(struct run *run)
{
    bool waits = run->scene->client == CLIENT_WAITS || run->scene->sub == SUB_WAITS;
    uint64_t promised = ONE_OF(waits ? WH_ETIMEOUT : WH_OK);
    if (is_down(run))
        promised = ONE_OF(WH_ECONNECT);
    if (run->mode == WH_MODE_LOOP)
        promised = ONE_OF(WH_EWOULDDEADLOCK);
    GIVES(promised, wh_sub_subscribe_wait(run->sub, waits ? SHORT_MS : LONG_MS, NULL));
}
static void do_unsubscribe(struct run *run)
{
    GIVES(ONE_OF(WH_OK), wh_sub_unsubscribe(run->sub));
    CLAIM(wh_sub_state(run->sub) == WH_SUB_UNSUBSCRIBED);
}
static void do_sub_free(struct run *run)
{
    wh_sub_free(run->sub);
    run->sub = NULL;
    CLAIM(wh_client_sub(run->client, "news") == NULL);
}
static void do_sub_state(struct run *run)
{
    static const unsigned allowed[] = {[SUB_COMING] =
                                           1U << WH_SUB_SUBSCRIBING | 1U << WH_SUB_SUBSCRIBED,
                                       [SUB_UP] = 1U << WH_SUB_SUBSCRIBED,
                                       [SUB_WAITS] = 1U << WH_SUB_SUBSCRIBING,
                                       [SUB_DOWN] = 1U << WH_SUB_UNSUBSCRIBED};
    CLAIM(allowed[run->scene->sub] & 1U << wh_sub_state(run->sub));
}
static void do_sub_state_name(struct run *run)
{
    (void)run;
    CLAIM(strcmp(wh_sub_state_name(WH_SUB_SUBSCRIBED), "subscribed") == 0);
}
static void do_sub_channel(struct run *run)
{
    CLAIM(strcmp(wh_sub_channel(run->sub), "news") == 0);
}
static void do_sub_client(struct run *run)
{
    CLAIM(wh_sub_client(run->sub) == run->client);
}
static void do_sub_user(struct run *run)
{
    CLAIM(wh_sub_user(run->sub) == run);
}
static void do_client_sub(struct run *run)
{
    CLAIM(wh_client_sub(run->client, "news") == run->sub);
    CLAIM(wh_client_sub(run->client, "olds") == NULL);
}
static void do_position(struct run *run)
{
    uint64_t offset = 0;
    char epoch[128];
    uint64_t promised = ONE_OF(WH_ENOTFOUND);
    if (run->scene->asks_state && run->scene->sub == SUB_COMING)
        promised |= ONE_OF(WH_OK); /* the answer, which came from elsewhere */
    GIVES(promised, wh_sub_position(run->sub, &offset, epoch, sizeof epoch));
}
static void do_set_filter(struct run *run)
{
    static const struct wh_filter leaf = {.key = "a", .cmp = "eq", .val = "1"};
    GIVES(ONE_OF(WH_OK), wh_sub_set_filter(run->sub, &leaf));
    GIVES(ONE_OF(WH_OK), wh_sub_set_filter(run->sub, NULL));
}
static void do_sub_set_token(struct run *run)
{
    GIVES(ONE_OF(WH_OK), wh_sub_set_token(run->sub, "t"));
}

/* ---- call.h ---------------------------------------------------------------------------------- */

static void on_done(struct wh_client *c, const struct wh_error *error, void *user)
{
    struct run *run = user;
    (void)c, (void)error;
    run_enter_own(run, "a call of an act");
    atomic_fetch_add(&run->calls.ended, 1);
}

#define RESULT(name, type)                                                                         \
    static void name(struct wh_client *c, const struct wh_error *error, const type *result,        \
                     void *user)                                                                   \
    {                                                                                              \
        CLAIM(!error == !!result);                                                                 \
        on_done(c, error, user);                                                                   \
    }
RESULT(on_rpc, struct wh_data)
RESULT(on_history, struct wh_history)
RESULT(on_presence, struct wh_presence)
RESULT(on_presence_stats, struct wh_presence_stats)

static void on_call_user_free(void *user)
{
    tally_free(&((struct run *)user)->calls);
}

/* `o` stands for the options. */
#define ASYNC(name, promised, call)                                                                \
    static void name(struct run *run)                                                              \
    {                                                                                              \
        struct wh_call_options all = WH_CALL_OPTIONS_INIT, *o = &all;                              \
        all.user_free = on_call_user_free;                                                         \
        atomic_fetch_add(&run->calls.begun, promised(run) == ONE_OF(WH_OK));                       \
        GIVES(promised(run), call);                                                                \
    }
ASYNC(do_rpc, call_starts, wh_client_rpc(run->client, "echo", wh_json("1"), o, on_rpc, run))
ASYNC(do_publish, call_starts, wh_client_publish(run->client, "a", wh_json("1"), o, on_done, run))
ASYNC(do_history, call_starts, wh_client_history(run->client, "a", NULL, o, on_history, run))
ASYNC(do_presence, call_starts, wh_client_presence(run->client, "a", o, on_presence, run))
ASYNC(do_stats_call,
      call_starts,
      wh_client_presence_stats(run->client, "a", o, on_presence_stats, run))
ASYNC(do_ping, call_starts, wh_client_ping(run->client, o, on_done, run))
ASYNC(do_sub_publish, sub_call_starts, wh_sub_publish(run->sub, wh_json("1"), o, on_done, run))
ASYNC(do_sub_history, sub_call_starts, wh_sub_history(run->sub, NULL, o, on_history, run))
ASYNC(do_sub_presence, sub_call_starts, wh_sub_presence(run->sub, o, on_presence, run))
ASYNC(do_sub_stats, sub_call_starts, wh_sub_presence_stats(run->sub, o, on_presence_stats, run))

static void do_send(struct run *run)
{
    uint64_t promised = ONE_OF(run->scene->client == CLIENT_UP ? WH_OK : WH_EDISCONNECTED);
    if (run->scene->client == CLIENT_COMING)
        promised |= ONE_OF(WH_OK);
    GIVES(promised, wh_client_send(run->client, wh_json("1")));
}
static void on_canceled(struct wh_client *c,
                        const struct wh_error *e,
                        const struct wh_data *r,
                        void *tally)
{
    (void)c, (void)e, (void)r, (void)tally;
    CLAIM(false && "a call that was canceled does not call back");
}
static void do_cancel(struct run *run)
{
    struct wh_call *call = NULL;
    struct wh_call_options options = WH_CALL_OPTIONS_INIT;
    options.out_call = &call;
    options.user_free = tally_free;
    GIVES(call_starts(run),
          wh_client_rpc(run->client, "silent", wh_json("1"), &options, on_canceled, &run->extras));
    atomic_fetch_add(&run->extras.begun, call != NULL);
    wh_call_cancel(call);
    wh_call_free(call);
}
static void do_call_free(struct run *run)
{
    struct wh_call *call = NULL;
    struct wh_call_options options = WH_CALL_OPTIONS_INIT;
    options.out_call = &call;
    options.user_free = on_call_user_free;
    GIVES(call_starts(run),
          wh_client_rpc(run->client, "echo", wh_json("1"), &options, on_rpc, run));
    atomic_fetch_add(&run->calls.begun, call != NULL);
    wh_call_free(call);
}
static void do_rpc_sync(struct run *run)
{
    struct wh_result *result = NULL;
    struct wh_error detail;
    GIVES(sync_ends(run), wh_client_rpc_sync(run->client, "echo", wh_json("1"), sync_timeout(run),
                                             &result, &detail));
    CLAIM(!result == (sync_ends(run) != ONE_OF(WH_OK)));
    CLAIM(!result || result->data.ptr);
    wh_result_free(result);
}
static void do_publish_sync(struct run *run)
{
    GIVES(sync_ends(run),
          wh_client_publish_sync(run->client, "a", wh_json("1"), sync_timeout(run), NULL));
}
static void do_history_sync(struct run *run)
{
    struct wh_result *result = NULL;
    GIVES(sync_ends(run),
          wh_client_history_sync(run->client, "a", NULL, sync_timeout(run), &result, NULL));
    CLAIM(!result || result->history.count == 1);
    wh_result_free(result);
}
static void do_presence_sync(struct run *run)
{
    struct wh_result *result = NULL;
    GIVES(sync_ends(run),
          wh_client_presence_sync(run->client, "a", sync_timeout(run), &result, NULL));
    CLAIM(!result || result->presence.count == 1);
    wh_result_free(result);
}
static void do_stats_sync(struct run *run)
{
    struct wh_result *result = NULL;
    GIVES(sync_ends(run),
          wh_client_presence_stats_sync(run->client, "a", sync_timeout(run), &result, NULL));
    CLAIM(!result || result->stats.clients == 2);
    wh_result_free(result);
}

const struct act acts[] = {
    {"wh_err_name", .fn = do_err_name},
    {"wh_err_text", .fn = do_err_text},
    {"wh_version", .fn = do_version},
    {"wh_version_num", .fn = do_version_num},
    {"wh_has", .fn = do_has},
    {"wh_data_copy", .fn = do_data_copy},
    {"wh_data_to_json", .fn = do_data_to_json},
    {"wh_data_free", .fn = do_data_copy},
    {"wh_runtime_new", .fn = do_runtime_new},
    {"wh_runtime_free", .fn = do_runtime_free, .is_alone = true},
    {"wh_runtime_close", .fn = do_runtime_close},
    {"wh_runtime_run_once", .fn = do_run_once},
    {"wh_runtime_wake", .fn = do_wake},
    {"wh_set_allocator", .fn = NULL, .reason = "must be the first call of all"},
    {"wh_log_sink", .fn = do_log_sink},
    {"wh_publication_ref", .fn = do_publication_ref},
    {"wh_publication_unref", .fn = do_publication_ref},
    {"wh_token_ok", .fn = do_token_ok},
    {"wh_token_unauthorized", .fn = do_token_unauthorized},
    {"wh_token_error", .fn = do_token_error},
    {"wh_client_options_set", .fn = do_options_set},
    {"wh_client_options_deinit", .fn = do_options_set},
    {"wh_client_new", .fn = do_client_new},
    {"wh_client_open", .fn = do_open},
    {"wh_client_connect", .fn = do_connect, .is_alone = true},
    {"wh_client_connect_wait", .fn = do_connect_wait, .is_alone = true},
    {"wh_client_disconnect", .fn = do_disconnect, .is_alone = true},
    {"wh_client_reconnect_now", .fn = do_reconnect_now, .is_alone = true},
    {"wh_client_set_token", .fn = do_set_token, .is_alone = true},
    {"wh_client_free", .fn = do_client_free, .is_alone = true},
    {"wh_client_close", .fn = do_close, .is_alone = true},
    {"wh_client_state", .fn = do_state},
    {"wh_client_state_name", .fn = do_state_name},
    {"wh_client_user", .fn = do_user},
    {"wh_client_fd", .fn = do_fd},
    {"wh_client_dispatch", .fn = do_dispatch},
    {"wh_client_batch_begin", .fn = do_batch},
    {"wh_client_batch_end", .fn = do_batch},
    {"wh_client_stats", .fn = do_stats},
    {"wh_state_ok", .fn = do_state_ok},
    {"wh_state_error", .fn = do_state_error},
    {"wh_sub_new", .fn = do_sub_new},
    {"wh_client_subscribe", .fn = do_client_subscribe},
    {"wh_sub_subscribe", .fn = do_subscribe, .is_alone = true},
    {"wh_sub_subscribe_wait", .fn = do_subscribe_wait, .is_alone = true},
    {"wh_sub_unsubscribe", .fn = do_unsubscribe, .is_alone = true},
    {"wh_sub_free", .fn = do_sub_free, .is_alone = true},
    {"wh_sub_state", .fn = do_sub_state},
    {"wh_sub_state_name", .fn = do_sub_state_name},
    {"wh_sub_channel", .fn = do_sub_channel},
    {"wh_sub_client", .fn = do_sub_client},
    {"wh_sub_user", .fn = do_sub_user},
    {"wh_client_sub", .fn = do_client_sub},
    {"wh_sub_position", .fn = do_position},
    {"wh_sub_set_filter", .fn = do_set_filter},
    {"wh_sub_set_token", .fn = do_sub_set_token, .is_alone = true},
    {"wh_client_rpc", .fn = do_rpc},
    {"wh_client_publish", .fn = do_publish},
    {"wh_client_history", .fn = do_history},
    {"wh_client_presence", .fn = do_presence},
    {"wh_client_presence_stats", .fn = do_stats_call},
    {"wh_client_send", .fn = do_send},
    {"wh_client_ping", .fn = do_ping},
    {"wh_sub_publish", .fn = do_sub_publish},
    {"wh_sub_history", .fn = do_sub_history},
    {"wh_sub_presence", .fn = do_sub_presence},
    {"wh_sub_presence_stats", .fn = do_sub_stats},
    {"wh_call_cancel", .fn = do_cancel},
    {"wh_call_free", .fn = do_call_free},
    {"wh_result_free", .fn = do_rpc_sync},
    {"wh_client_rpc_sync", .fn = do_rpc_sync},
    {"wh_client_publish_sync", .fn = do_publish_sync},
    {"wh_client_history_sync", .fn = do_history_sync},
    {"wh_client_presence_sync", .fn = do_presence_sync},
    {"wh_client_presence_stats_sync", .fn = do_stats_sync},
};
const size_t act_count = sizeof acts / sizeof *acts;
