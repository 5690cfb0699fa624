/* The functions of wirehub/call.h: how a call starts, waits and ends, once. */
#include "fake_service.h"
#include "loop_client.h"

#include <stdlib.h>

/* One call: how it ended. */
struct note {
    unsigned ends, frees;
    enum wh_err err;
    struct wh_error error;
    char data[64];
};

static void note_end(struct note *note, const struct wh_error *error)
{
    note->ends++;
    note->err = error ? error->err : WH_OK;
    if (error)
        note->error = *error;
}

static void on_done(struct wh_client *c, const struct wh_error *error, void *user)
{
    (void)c;
    note_end(user, error);
}

static void on_rpc(struct wh_client *c,
                   const struct wh_error *error,
                   const struct wh_data *data,
                   void *user)
{
    struct note *note = user;
    (void)c;
    assert_true(!error == !!data);
    note_end(note, error);
    if (data)
        (void)snprintf(note->data, sizeof note->data, "%.*s", (int)data->len,
                       (const char *)data->ptr);
}

static void on_free(void *user)
{
    struct note *note = user;
    note->frees++;
}

static struct wh_call_options call_options(uint32_t timeout_ms)
{
    struct wh_call_options options = WH_CALL_OPTIONS_INIT;
    options.user_free = on_free;
    options.timeout_ms = timeout_ms;
    return options;
}

static void init(struct loop_client *loop)
{
    struct wh_client_options options = loop_options();
    loop_init(loop, &options);
}

static int unstall(void **state)
{
    (void)state;
    fake_service_stall(false);
    return 0;
}

static void rpc(struct loop_client *loop,
                const char *method,
                uint32_t timeout_ms,
                struct note *note)
{
    struct wh_call_options options = call_options(timeout_ms);
    memset(note, 0, sizeof *note);
    assert_int_equal(wh_client_rpc(loop->client, method, wh_json("1"), &options, on_rpc, note),
                     WH_OK);
    assert_int_equal(note->ends, 0); /* not before it returned */
}

static void assert_ended(const struct note *note, enum wh_err err)
{
    assert_int_equal(note->ends, 1);
    assert_int_equal(note->frees, 1);
    assert_int_equal(note->err, err);
    if (err != WH_OK)
        assert_string_not_equal(note->error.text, "");
}

static uint64_t in_flight(const struct loop_client *loop)
{
    struct wh_client_stats stats = {.size = sizeof stats};
    wh_client_stats(loop->client, &stats);
    return stats.calls_in_flight;
}

/* ---- starting -------------------------------------------------------------------------------- */

/* Every kind of call through `client`, or through `sub`. */
static enum wh_err start(struct wh_client *client,
                         struct wh_sub *sub,
                         unsigned kind,
                         const struct wh_call_options *options,
                         struct note *note)
{
    switch (kind) {
    case 0:
        return wh_client_rpc(client, "echo", wh_json("1"), options, on_rpc, note);
    case 1:
        return wh_client_publish(client, "news", wh_json("1"), options, on_done, note);
    case 2:
        return wh_client_history(client, "news", NULL, options, NULL, note);
    case 3:
        return wh_client_presence(client, "news", options, NULL, note);
    case 4:
        return wh_client_presence_stats(client, "news", options, NULL, note);
    case 5:
        return wh_client_ping(client, options, on_done, note);
    case 6:
        return wh_sub_publish(sub, wh_json("1"), options, on_done, note);
    case 7:
        return wh_sub_history(sub, NULL, options, NULL, note);
    case 8:
        return wh_sub_presence(sub, options, NULL, note);
    default:
        return wh_sub_presence_stats(sub, options, NULL, note);
    }
}
enum { KINDS = 10, SUB_KINDS = 6 /* from here on */ };

/* What was not started touches nothing of the caller's. */
static void refuse(struct wh_client *client,
                   struct wh_sub *sub,
                   unsigned kind,
                   size_t options_size,
                   enum wh_err err)
{
    struct note note = {.ends = 0};
    struct wh_call *const untouched = (struct wh_call *)(void *)&note;
    struct wh_call *handle = untouched;
    struct {
        struct wh_call_options options;
        int newer;
    } longer = {.options = call_options(0), .newer = 1};
    longer.options.size = options_size;
    longer.options.out_call = &handle;
    assert_int_equal(start(client, sub, kind, &longer.options, &note), err);
    assert_ptr_equal(handle, untouched);
    assert_int_equal(note.ends + note.frees, 0);
}

static void a_call_that_does_not_start_leaves_everything_to_the_caller(void **state)
{
    (void)state;
    const size_t size = sizeof(struct wh_call_options);
    struct loop_client loop;
    init(&loop);
    struct wh_sub *sub = NULL;
    assert_int_equal(wh_sub_new(loop.client, "news", NULL, &sub, NULL), WH_OK);
    for (unsigned kind = 0; kind < KINDS; kind++) {
        refuse(NULL, NULL, kind, size, WH_EINVAL);
        refuse(loop.client, sub, kind, size, WH_EDISCONNECTED);
        refuse(loop.client, sub, kind, size + 4, WH_EABI);
        refuse(loop.client, sub, kind, 1, WH_EINVAL);
    }
    loop_connect(&loop);
    for (unsigned kind = SUB_KINDS; kind < KINDS; kind++)
        refuse(loop.client, sub, kind, size, WH_EUNSUBSCRIBED);
    assert_int_equal(in_flight(&loop), 0);
    loop_deinit(&loop);
}

static void names_and_payloads_are_checked(void **state)
{
    (void)state;
    static char long_name[257];
    memset(long_name, 'a', sizeof long_name - 1);
    const struct wh_data unknown = {"1", 1, 9, 0};
    const struct wh_data bad_msgpack = {"\xc1", 1, WH_DATA_MSGPACK, 0};
    struct wh_result *result = NULL;
    struct wh_error error;
    struct loop_client loop;
    init(&loop);
    loop_connect(&loop);
    struct wh_client *client = loop.client;
    assert_int_equal(wh_client_rpc(client, NULL, wh_json("1"), NULL, NULL, NULL), WH_EINVAL);
    assert_int_equal(wh_client_publish(client, NULL, wh_json("1"), NULL, NULL, NULL), WH_EINVAL);
    assert_int_equal(wh_client_publish(client, "", wh_json("1"), NULL, NULL, NULL), WH_EINVAL);
    assert_int_equal(wh_client_history(client, NULL, NULL, NULL, NULL, NULL), WH_EINVAL);
    assert_int_equal(wh_client_presence(client, NULL, NULL, NULL, NULL), WH_EINVAL);
    assert_int_equal(wh_client_presence(client, long_name, NULL, NULL, NULL), WH_EINVAL);
    assert_int_equal(wh_client_presence(client, long_name + 1, NULL, NULL, NULL), WH_OK);
    assert_int_equal(wh_client_presence_stats(client, NULL, NULL, NULL, NULL), WH_EINVAL);
    assert_int_equal(wh_client_rpc(client, "a", wh_json("{"), NULL, NULL, NULL), WH_EFORMAT);
    assert_int_equal(wh_client_rpc(client, "a", wh_json("1 2"), NULL, NULL, NULL), WH_EFORMAT);
    assert_int_equal(wh_client_rpc(client, "a", wh_bytes("\x01", 1), NULL, NULL, NULL),
                     WH_EENCODING);
    assert_int_equal(wh_client_rpc(client, "a", unknown, NULL, NULL, NULL), WH_EINVAL);
    assert_int_equal(wh_client_rpc(client, "a", bad_msgpack, NULL, NULL, NULL), WH_EFORMAT);
    assert_int_equal(wh_client_send(client, wh_json("{")), WH_EFORMAT);
    assert_int_equal(wh_client_rpc_sync(client, NULL, wh_json("1"), 0, &result, &error), WH_EINVAL);
    assert_string_not_equal(error.text, "");
    assert_int_equal(wh_client_rpc_sync(client, "a", wh_json("{"), 0, &result, &error), WH_EFORMAT);
    assert_int_equal(error.err, WH_EFORMAT);
    assert_int_equal(wh_client_publish_sync(client, NULL, wh_json("1"), 0, NULL), WH_EINVAL);
    assert_int_equal(wh_client_history_sync(client, NULL, NULL, 0, &result, NULL), WH_EINVAL);
    assert_int_equal(wh_client_presence_sync(client, NULL, 0, &result, NULL), WH_EINVAL);
    assert_int_equal(wh_client_presence_stats_sync(client, "", 0, &result, NULL), WH_EINVAL);
    assert_null(result);
    wh_result_free(NULL);
    wh_call_cancel(NULL);
    wh_call_free(NULL);
    loop_settle(&loop);
    assert_int_equal(in_flight(&loop), 0); /* only one had started */
    assert_int_equal(wh_client_state(client), WH_CLIENT_CONNECTED);
    loop_deinit(&loop);
}

static void newer_history_options_are_refused(void **state)
{
    (void)state;
    struct {
        struct wh_history_options options;
        int newer;
    } longer = {.options = WH_HISTORY_OPTIONS_INIT, .newer = 1};
    struct wh_error error;
    struct loop_client loop;
    init(&loop);
    loop_connect(&loop);
    longer.options.size = sizeof longer;
    assert_int_equal(wh_client_history(loop.client, "a", &longer.options, NULL, NULL, NULL),
                     WH_EABI);
    assert_int_equal(wh_client_history_sync(loop.client, "a", &longer.options, 0, NULL, &error),
                     WH_EABI);
    assert_non_null(strstr(error.text, "history"));
    loop_deinit(&loop);
}

/* ---- waiting for a connection ---------------------------------------------------------------- */

static void while_disconnected_a_call_fails_at_once(void **state)
{
    (void)state;
    struct wh_error error = {.text = ""};
    struct loop_client loop;
    init(&loop);
    assert_int_equal(wh_client_send(loop.client, wh_json("1")), WH_EDISCONNECTED);
    assert_int_equal(wh_client_rpc_sync(loop.client, "a", wh_json("1"), 0, NULL, &error),
                     WH_EDISCONNECTED);
    assert_int_equal(error.err, WH_EDISCONNECTED);
    assert_string_not_equal(error.text, "");
    loop_deinit(&loop);
}

static void while_connecting_a_call_waits(void **state)
{
    (void)state;
    struct note first, second;
    struct wh_result *result = NULL;
    struct loop_client loop;
    init(&loop);
    fake_service_stall(true);
    assert_int_equal(wh_client_connect(loop.client), WH_OK);
    rpc(&loop, "echo", 0, &first);
    loop_settle(&loop);
    rpc(&loop, "echo", 0, &second);
    assert_int_equal(wh_client_send(loop.client, wh_json("1")), WH_EDISCONNECTED); /* no answer */
    loop_settle(&loop);
    assert_int_equal(first.ends + second.ends, 0);
    assert_true(in_flight(&loop) >= 2);
    fake_service_stall(false);
    assert_int_equal(wh_client_rpc_sync(loop.client, "echo", wh_json("1"), 0, &result, NULL),
                     WH_OK);
    wh_result_free(result);
    loop_settle(&loop);
    assert_ended(&first, WH_OK);
    assert_ended(&second, WH_OK);
    loop_deinit(&loop);
}

static void a_call_that_waits_too_long_ends_and_the_client_goes_on(void **state)
{
    (void)state;
    struct note own;
    struct wh_error error = {.text = ""};
    struct wh_client_options options = loop_options();
    struct loop_client loop;
    options.events = &loop_token_events; /* CONNECTING until the token comes */
    options.timeout_ms = 2;
    loop_init(&loop, &options);
    assert_int_equal(wh_client_connect(loop.client), WH_OK);
    rpc(&loop, "echo", 1, &own);
    loop_pump(&loop, &own.ends, 1);
    assert_ended(&own, WH_ETIMEOUT);
    assert_int_equal(own.error.code, WH_CODE_TIMEOUT);
    assert_true(own.error.temporary);
    rpc(&loop, "echo", 0, &own); /* the client's */
    loop_pump(&loop, &own.ends, 1);
    assert_ended(&own, WH_ETIMEOUT);
    assert_int_equal(wh_client_rpc_sync(loop.client, "echo", wh_json("1"), 1, NULL, &error),
                     WH_ETIMEOUT);
    assert_int_equal(error.code, WH_CODE_TIMEOUT);
    assert_int_equal(wh_client_state(loop.client), WH_CLIENT_CONNECTING);
    loop_pump(&loop, &loop.token_asks, 1);
    wh_token_ok(loop.request, "t");
    loop_until(&loop, WH_CLIENT_CONNECTED);
    loop_deinit(&loop);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void errors_of_the_server_come_with_code_and_text(void **state)
{
    (void)state;
    struct note note;
    struct wh_result *result = NULL;
    struct wh_error error = {.text = ""};
    struct loop_client loop;
    init(&loop);
    loop_connect(&loop);
    rpc(&loop, "error", 0, &note);
    loop_pump(&loop, &note.ends, 1);
    assert_ended(&note, WH_ESERVER);
    assert_int_equal(note.error.code, 100);
    assert_true(note.error.temporary);
    assert_string_equal(note.error.text, "internal server error");
    assert_int_equal(wh_client_rpc_sync(loop.client, "refused", wh_json("1"), 0, &result, &error),
                     WH_ESERVER);
    assert_null(result);
    assert_int_equal(error.err, WH_ESERVER);
    assert_int_equal(error.code, 403);
    assert_false(error.temporary);
    assert_string_equal(error.text, "not yours");
    assert_int_equal(wh_client_rpc_sync(loop.client, "refused", wh_json("1"), 0, NULL, NULL),
                     WH_ESERVER);
    loop_deinit(&loop);
}

static void a_late_reply_is_dropped(void **state)
{
    (void)state;
    struct note late, canceled, next;
    struct wh_call *handle = NULL;
    struct wh_call_options options = call_options(0);
    struct loop_client loop;
    init(&loop);
    loop_connect(&loop);
    rpc(&loop, "late", 1, &late);
    loop_pump(&loop, &late.ends, 1);
    assert_ended(&late, WH_ETIMEOUT);
    memset(&canceled, 0, sizeof canceled);
    options.out_call = &handle;
    assert_int_equal(wh_client_rpc(loop.client, "late", wh_json("1"), &options, on_rpc, &canceled),
                     WH_OK);
    loop_settle(&loop);
    wh_call_cancel(handle);
    wh_call_free(handle);
    rpc(&loop, "echo", 0, &next); /* and with it the answers to both */
    loop_pump(&loop, &next.ends, 1);
    loop_settle(&loop);
    assert_ended(&next, WH_OK);
    assert_string_equal(next.data, "{\"ok\":true}");
    assert_ended(&late, WH_ETIMEOUT);
    assert_int_equal(canceled.ends, 0);
    assert_int_equal(canceled.frees, 1);
    assert_int_equal(in_flight(&loop), 0);
    assert_int_equal(wh_client_state(loop.client), WH_CLIENT_CONNECTED);
    loop_deinit(&loop);
}

/* In every moment of a call: before it is sent, in flight, ended but not told, told. */
static void a_canceled_call_does_not_call_back(void **state)
{
    (void)state;
    for (unsigned moment = 0; moment < 4; moment++) {
        struct note note = {.ends = 0};
        struct wh_call *handle = NULL;
        struct wh_call_options options = call_options(0);
        struct loop_client loop;
        init(&loop);
        if (moment == 0)
            assert_int_equal(wh_client_connect(loop.client), WH_OK);
        else
            loop_connect(&loop);
        options.out_call = &handle;
        assert_int_equal(wh_client_rpc(loop.client, moment == 1 ? "silent" : "echo", wh_json("1"),
                                       &options, on_rpc, &note),
                         WH_OK);
        assert_non_null(handle);
        if (moment == 2)
            assert_int_equal(wh_client_disconnect(loop.client), WH_OK);
        else if (moment != 0)
            loop_settle(&loop);
        wh_call_cancel(handle);
        wh_call_cancel(handle);
        loop_until(&loop, moment == 2 ? WH_CLIENT_DISCONNECTED : WH_CLIENT_CONNECTED);
        assert_int_equal(note.ends, moment == 3);
        assert_int_equal(note.frees, 1);
        assert_int_equal(in_flight(&loop), 0);
        loop_deinit(&loop);
        wh_call_cancel(handle); /* the handle is the program's for as long as it likes */
        wh_call_free(handle);
        assert_int_equal(note.frees, 1);
    }
}

static void giving_the_handle_back_does_not_cancel(void **state)
{
    (void)state;
    struct note note = {.ends = 0};
    struct wh_call *handle = NULL;
    struct wh_call_options options = call_options(0);
    struct loop_client loop;
    init(&loop);
    loop_connect(&loop);
    options.out_call = &handle;
    assert_int_equal(wh_client_rpc(loop.client, "echo", wh_json("1"), &options, on_rpc, &note),
                     WH_OK);
    wh_call_free(handle);
    loop_pump(&loop, &note.ends, 1);
    assert_ended(&note, WH_OK);
    loop_deinit(&loop);
}

static void a_lost_connection_ends_what_was_sent_and_nothing_is_sent_twice(void **state)
{
    (void)state;
    struct note silent, drop, waiting;
    struct wh_client_stats stats = {.size = sizeof stats};
    struct loop_client loop;
    init(&loop);
    loop_connect(&loop);
    rpc(&loop, "silent", 0, &silent);
    loop_settle(&loop);
    rpc(&loop, "drop", 0, &drop);
    loop_pump(&loop, &drop.ends, 1);
    assert_ended(&silent, WH_ECONNLOST);
    assert_ended(&drop, WH_ECONNLOST);
    assert_true(silent.error.temporary);
    rpc(&loop, "echo", 0, &waiting); /* for the next connection */
    loop_pump(&loop, &waiting.ends, 1);
    assert_ended(&waiting, WH_OK);
    wh_client_stats(loop.client, &stats);
    assert_int_equal(stats.connects, 2);
    assert_int_equal(stats.calls_in_flight, 0);
    loop_deinit(&loop);
}

static void an_attempt_that_fails_leaves_what_waits(void **state)
{
    (void)state;
    struct note note;
    struct wh_client_options options = loop_options();
    struct loop_client loop;
    options.events = &loop_token_events;
    loop_init(&loop, &options);
    assert_int_equal(wh_client_connect(loop.client), WH_OK);
    rpc(&loop, "echo", 0, &note);
    loop_pump(&loop, &loop.token_asks, 1);
    wh_token_error(loop.request, "not now");
    loop_pump(&loop, &loop.token_asks, 2);
    assert_int_equal(note.ends, 0);
    wh_token_ok(loop.request, "t");
    loop_pump(&loop, &note.ends, 1);
    assert_ended(&note, WH_OK);
    loop_deinit(&loop);
}

static void disconnecting_ends_what_was_sent_and_what_waits(void **state)
{
    (void)state;
    struct note sent, waits;
    struct loop_client loop;
    init(&loop);
    loop_connect(&loop);
    rpc(&loop, "silent", 0, &sent);
    loop_settle(&loop);
    assert_int_equal(wh_client_disconnect(loop.client), WH_OK);
    loop_settle(&loop);
    assert_ended(&sent, WH_ECONNLOST);
    assert_int_equal(wh_client_connect(loop.client), WH_OK);
    rpc(&loop, "echo", 0, &waits);
    assert_int_equal(wh_client_disconnect(loop.client), WH_OK);
    loop_settle(&loop);
    assert_ended(&waits, WH_EDISCONNECTED);
    loop_deinit(&loop);
}

static void freeing_the_client_ends_every_call(void **state)
{
    (void)state;
    struct note sent, waits;
    struct loop_client loop;
    init(&loop);
    loop_connect(&loop);
    rpc(&loop, "silent", 0, &sent);
    loop_settle(&loop);
    rpc(&loop, "echo", 0, &waits);
    loop_deinit(&loop);
    assert_ended(&sent, WH_ECLOSED);
    assert_ended(&waits, WH_ECLOSED);
}

static void a_call_without_callback_frees_its_user(void **state)
{
    (void)state;
    struct loop_client loop;
    init(&loop);
    struct wh_sub *sub = wh_client_subscribe(loop.client, "news", NULL, NULL);
    loop_connect(&loop);
    for (unsigned kind = 0; kind < KINDS; kind++) {
        struct note note = {.ends = 0};
        struct wh_call_options options = call_options(0);
        assert_int_equal(start(loop.client, sub, kind, &options, &note), WH_OK);
        loop_pump(&loop, &note.frees, 1);
        loop_settle(&loop);
        assert_int_equal(note.frees, 1);
    }
    loop_deinit(&loop);
}

static void a_full_queue_refuses_and_keeps_what_it_has(void **state)
{
    (void)state;
    static char json[600];
    struct note first, second = {.ends = 0};
    struct wh_call_options options = call_options(0);
    struct wh_client_options client_options = loop_options();
    struct loop_client loop;
    memset(json, '1', sizeof json - 1);
    client_options.send_queue_bytes_max = 1024;
    loop_init(&loop, &client_options);
    loop_connect(&loop);
    memset(&first, 0, sizeof first);
    for (unsigned i = 0; i < 2; i++) { /* first what leaves at once, then what waits */
        memset(&first, 0, sizeof first);
        memset(&second, 0, sizeof second);
        assert_int_equal(
            wh_client_rpc(loop.client, "echo", wh_json(json), &options, on_rpc, &first), WH_OK);
        assert_int_equal(
            wh_client_rpc(loop.client, "echo", wh_json(json), &options, on_rpc, &second), WH_EFULL);
        if (i == 0)
            assert_int_equal(wh_client_send(loop.client, wh_json(json)), WH_EFULL);
        loop_pump(&loop, &first.ends, 1);
        assert_ended(&first, WH_OK);
        assert_int_equal(second.ends + second.frees, 0);
        assert_int_equal(wh_client_disconnect(loop.client), WH_OK);
        assert_int_equal(wh_client_connect(loop.client), WH_OK);
    }
    loop_deinit(&loop);
}

/* ---- through a subscription ------------------------------------------------------------------ */

static void a_call_through_a_subscription_waits_for_it(void **state)
{
    (void)state;
    struct note note = {.ends = 0};
    struct wh_call_options options = call_options(0);
    struct wh_sub *sub = NULL;
    struct loop_client loop;
    init(&loop);
    loop_connect(&loop);
    assert_int_equal(wh_sub_new(loop.client, "news", NULL, &sub, NULL), WH_OK);
    assert_int_equal(wh_sub_subscribe(sub), WH_OK);
    assert_int_equal(wh_sub_publish(sub, wh_json("1"), &options, on_done, &note), WH_OK);
    assert_int_equal(wh_sub_state(sub), WH_SUB_SUBSCRIBING);
    loop_pump(&loop, &note.ends, 1);
    assert_ended(&note, WH_OK);
    assert_int_equal(wh_sub_state(sub), WH_SUB_SUBSCRIBED);
    /* What still waits when the subscription ends, ends with it. */
    fake_service_stall(true);
    assert_int_equal(wh_sub_unsubscribe(sub), WH_OK);
    assert_int_equal(wh_sub_subscribe(sub), WH_OK);
    memset(&note, 0, sizeof note);
    assert_int_equal(wh_sub_publish(sub, wh_json("1"), &options, on_done, &note), WH_OK);
    assert_int_equal(wh_sub_unsubscribe(sub), WH_OK);
    loop_pump(&loop, &note.ends, 1);
    assert_ended(&note, WH_EUNSUBSCRIBED);
    fake_service_stall(false);
    loop_deinit(&loop);
}

static void a_call_through_a_refused_subscription_fails(void **state)
{
    (void)state;
    struct note note = {.ends = 0};
    struct wh_call_options options = call_options(0);
    struct wh_error error = {.text = ""};
    struct wh_sub *sub = NULL;
    struct loop_client loop;
    init(&loop);
    loop_connect(&loop);
    assert_int_equal(wh_sub_new(loop.client, "forbidden", NULL, &sub, NULL), WH_OK);
    assert_int_equal(wh_sub_subscribe(sub), WH_OK);
    assert_int_equal(wh_sub_publish(sub, wh_json("1"), &options, on_done, &note), WH_OK);
    loop_pump(&loop, &note.ends, 1);
    assert_ended(&note, WH_EUNSUBSCRIBED);
    assert_int_equal(wh_sub_subscribe_wait(sub, LOOP_LIMIT_S * 1000, &error), WH_EUNSUBSCRIBED);
    assert_int_equal(error.code, 103);
    assert_string_equal(error.text, "permission denied");
    loop_deinit(&loop);
}

/* ---- results --------------------------------------------------------------------------------- */

static void check_history(const struct wh_history *history)
{
    assert_int_equal(history->count, 1);
    assert_int_equal(history->position.offset, 1);
    assert_string_equal(history->position.epoch, "e");
    const struct wh_publication *publication = &history->publications[0];
    assert_string_equal(publication->channel, "news");
    assert_int_equal(publication->offset, 1);
    assert_int_equal(publication->data.len, 1);
    assert_memory_equal(publication->data.ptr, "1", 1);
    assert_int_equal(publication->data.format, WH_DATA_JSON);
    assert_int_equal(publication->tag_count, 1);
    assert_string_equal(publication->tags[0].key, "k");
    assert_string_equal(publication->tags[0].value, "v");
    assert_string_equal(publication->info->user, "u");
    assert_string_equal(publication->info->client, "y");
}

static void check_presence(const struct wh_presence *presence)
{
    assert_int_equal(presence->count, 1);
    assert_string_equal(presence->clients[0].client, "c1");
    assert_string_equal(presence->clients[0].user, "u");
    assert_int_equal(presence->clients[0].conn_info.len, 7);
    assert_memory_equal(presence->clients[0].conn_info.ptr, "{\"a\":1}", 7);
    assert_null(presence->clients[0].chan_info.ptr);
}

static const struct wh_publication *kept;

static void on_history(struct wh_client *c,
                       const struct wh_error *error,
                       const struct wh_history *history,
                       void *user)
{
    (void)c;
    note_end(user, error);
    check_history(history);
    kept = wh_publication_ref(&history->publications[0]);
}

static void on_presence(struct wh_client *c,
                        const struct wh_error *error,
                        const struct wh_presence *presence,
                        void *user)
{
    (void)c;
    note_end(user, error);
    check_presence(presence);
}

static void on_stats(struct wh_client *c,
                     const struct wh_error *error,
                     const struct wh_presence_stats *stats,
                     void *user)
{
    (void)c;
    note_end(user, error);
    assert_int_equal(stats->clients, 2);
    assert_int_equal(stats->users, 1);
}

static void each_call_gives_its_result(void **state)
{
    (void)state;
    struct note history = {.ends = 0}, presence = {.ends = 0}, stats = {.ends = 0};
    struct note through = {.ends = 0}, pong = {.ends = 0}, echo;
    struct wh_client_stats counters = {.size = sizeof counters};
    struct loop_client loop;
    init(&loop);
    struct wh_sub *sub = wh_client_subscribe(loop.client, "news", NULL, NULL);
    loop_connect(&loop);
    struct wh_client *client = loop.client;
    rpc(&loop, "echo", 0, &echo);
    assert_int_equal(wh_client_history(client, "news", NULL, NULL, on_history, &history), WH_OK);
    assert_int_equal(wh_client_presence(client, "news", NULL, on_presence, &presence), WH_OK);
    assert_int_equal(wh_client_presence_stats(client, "news", NULL, on_stats, &stats), WH_OK);
    assert_int_equal(wh_client_ping(client, NULL, on_done, &pong), WH_OK);
    loop_settle(&loop);
    assert_ended(&echo, WH_OK);
    assert_string_equal(echo.data, "{\"ok\":true}");
    assert_int_equal(history.ends + presence.ends + stats.ends + pong.ends, 4);
    wh_client_stats(client, &counters);
    assert_int_equal(counters.rtt_us, 100); /* as the fake measures it */
    wh_publication_unref(kept);
    assert_int_equal(wh_sub_history(sub, NULL, NULL, on_history, &through), WH_OK);
    assert_int_equal(wh_sub_presence(sub, NULL, on_presence, &through), WH_OK);
    assert_int_equal(wh_sub_presence_stats(sub, NULL, on_stats, &through), WH_OK);
    loop_settle(&loop);
    assert_int_equal(through.ends, 3);
    loop_deinit(&loop);
    assert_string_equal(kept->channel, "news"); /* beyond its client */
    assert_string_equal(kept->info->user, "u");
    wh_publication_unref(kept);
}

static void each_waiting_call_gives_its_result(void **state)
{
    (void)state;
    struct wh_result *result[4] = {NULL};
    struct wh_error error = {.text = "untouched"};
    struct loop_client loop;
    init(&loop);
    loop_connect(&loop);
    struct wh_client *client = loop.client;
    assert_int_equal(wh_client_rpc_sync(client, "echo", wh_json("1"), 0, &result[0], &error),
                     WH_OK);
    assert_int_equal(wh_client_history_sync(client, "news", NULL, 0, &result[1], NULL), WH_OK);
    assert_int_equal(wh_client_presence_sync(client, "news", 0, &result[2], &error), WH_OK);
    assert_int_equal(wh_client_presence_stats_sync(client, "news", 0, &result[3], NULL), WH_OK);
    assert_int_equal(wh_client_publish_sync(client, "news", wh_json("1"), 0, NULL), WH_OK);
    assert_int_equal(wh_client_rpc_sync(client, "echo", wh_json("1"), 0, NULL, NULL), WH_OK);
    assert_string_equal(error.text, "untouched");
    loop_deinit(&loop); /* results are the program's */
    assert_int_equal(result[0]->data.len, 11);
    assert_memory_equal(result[0]->data.ptr, "{\"ok\":true}", 11);
    check_history(&result[1]->history);
    check_presence(&result[2]->presence);
    assert_int_equal(result[3]->stats.clients, 2);
    assert_int_equal(result[3]->stats.users, 1);
    for (unsigned i = 0; i < 4; i++)
        wh_result_free(result[i]);
}

/* In the thread that should dispatch: the answer does not need that. */
static void a_dispatching_thread_may_wait_for_an_answer(void **state)
{
    (void)state;
    struct wh_runtime_options runtime_options = WH_RUNTIME_OPTIONS_INIT;
    struct wh_client_options options = loop_options();
    struct wh_runtime *runtime = NULL;
    struct wh_client *client = NULL;
    struct wh_result *result = NULL;
    struct loop_client loop = {.user_frees = 0};
    runtime_options.mode = WH_MODE_DISPATCH;
    assert_int_equal(wh_runtime_new(&runtime_options, &runtime, NULL), WH_OK);
    options.runtime = runtime;
    options.user = &loop;
    assert_int_equal(wh_client_new(&options, &client, NULL), WH_OK);
    assert_int_equal(wh_client_connect(client), WH_OK);
    assert_int_equal(wh_client_rpc_sync(client, "echo", wh_json("1"), 0, &result, NULL), WH_OK);
    assert_string_equal(loop.said, "");
    wh_result_free(result);
    wh_client_free(client);
    assert_string_equal(loop.said, "connecting 0; connected; disconnected 0; ");
    wh_runtime_free(runtime);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_that_does_not_start_leaves_everything_to_the_caller),
        cmocka_unit_test(names_and_payloads_are_checked),
        cmocka_unit_test(newer_history_options_are_refused),
        cmocka_unit_test(while_disconnected_a_call_fails_at_once),
        cmocka_unit_test_teardown(while_connecting_a_call_waits, unstall),
        cmocka_unit_test(a_call_that_waits_too_long_ends_and_the_client_goes_on),
        cmocka_unit_test(errors_of_the_server_come_with_code_and_text),
        cmocka_unit_test(a_late_reply_is_dropped),
        cmocka_unit_test(a_canceled_call_does_not_call_back),
        cmocka_unit_test(giving_the_handle_back_does_not_cancel),
        cmocka_unit_test(a_lost_connection_ends_what_was_sent_and_nothing_is_sent_twice),
        cmocka_unit_test(an_attempt_that_fails_leaves_what_waits),
        cmocka_unit_test(disconnecting_ends_what_was_sent_and_what_waits),
        cmocka_unit_test(freeing_the_client_ends_every_call),
        cmocka_unit_test(a_call_without_callback_frees_its_user),
        cmocka_unit_test(a_full_queue_refuses_and_keeps_what_it_has),
        cmocka_unit_test_teardown(a_call_through_a_subscription_waits_for_it, unstall),
        cmocka_unit_test(a_call_through_a_refused_subscription_fails),
        cmocka_unit_test(each_call_gives_its_result),
        cmocka_unit_test(each_waiting_call_gives_its_result),
        cmocka_unit_test(a_dispatching_thread_may_wait_for_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
