#include "tests/support/fake_sdk.h"

#include "client-sdk/src/shell.h"
#include "client-sdk/src/trace.h"
#include "common/protocol/codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* ---- the shell that the engine expects ----------------------------------------------------------
 */

struct engine *client_lock(struct wh_client *client)
{
    return &client->fake->engine;
}

void client_unlock(struct wh_client *client)
{
    (void)client;
}

bool client_is_forked(const struct wh_client *client)
{
    (void)client;
    return false;
}

void client_ref(struct wh_client *client)
{
    client->refs++;
}

void client_unref(struct wh_client *client)
{
    WH_ASSERT(client->refs > 0);
    client->refs--;
}

/* A sink that keeps everything. */
static char log_text[1 << 16];
static size_t log_len;

const char *fake_sdk_log(void)
{
    return log_text;
}

void trace_frame(const char *event, struct wh_slice frame, bool is_text)
{
    (void)event;
    (void)frame;
    (void)is_text;
}

bool trace_enabled(enum wh_severity severity, const char *area)
{
    (void)severity;
    (void)area;
    return true;
}

void trace_line(enum wh_severity severity,
                const char *area,
                const char *event,
                const char *fields_format,
                ...)
{
    char line[1024];
    va_list args;
    (void)severity;
    va_start(args, fields_format);
    vsnprintf(line, sizeof(line), fields_format, args);
    va_end(args);
    if (log_len > sizeof(log_text) / 2)
        log_len = 0;
    int len =
        snprintf(log_text + log_len, sizeof(log_text) - log_len, "%s %s %s\n", area, event, line);
    log_len += len > 0 ? (size_t)len : 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

void fake_sdk_get_token(struct wh_client *client, struct wh_token_request *request, void *user)
{
    (void)client;
    (void)request;
    (void)user;
}

void fake_sdk_sub_get_token(struct wh_sub *sub, struct wh_token_request *request, void *user)
{
    (void)sub;
    (void)request;
    (void)user;
}

void fake_sdk_sub_get_state(struct wh_sub *sub, struct wh_state_request *request, void *user)
{
    (void)sub;
    (void)request;
    (void)user;
}

bool fake_sdk_init(struct fake_sdk *fake, const struct wh_client_options *options)
{
    static const struct wh_client_options defaults = {.size = sizeof(defaults), .url = "ws://hub"};
    *fake = (struct fake_sdk){.now_ms = 1000000};
    fake->client = (struct wh_client){fake, 1};
    if (settings_init(&fake->settings, options ? options : &defaults, NULL) != WH_OK)
        return false;
    if (engine_init(&fake->engine, &fake->settings, &fake->client, fake->now_ms) != WH_OK) {
        settings_deinit(&fake->settings);
        return false;
    }
    fake->completions = json_array();
    return true;
}

static void answer_all(struct fake_sdk *fake)
{
    while (fake->token_request_count > 0)
        wh_token_error(fake_sdk_take_token_request(fake), NULL);
    while (fake->state_request_count > 0)
        wh_state_error(fake_sdk_take_state_request(fake), NULL);
}

void fake_sdk_deinit(struct fake_sdk *fake)
{
    fake_sdk_end_event(fake);
    fake->on_event = NULL;
    engine_close(&fake->engine);
    fake_sdk_run(fake);
    answer_all(fake);
    WH_ASSERT(fake->client.refs == 1);
    engine_deinit(&fake->engine);
    for (size_t i = 0; i < fake->call_count; i++)
        call_unref(fake->calls[i].call);
    settings_deinit(&fake->settings);
    json_decref(fake->completions);
    wh_arena_deinit(&fake->arena);
}

void fake_sdk_advance(struct fake_sdk *fake, uint64_t ms)
{
    fake->now_ms += ms;
    engine_advance(&fake->engine, fake->now_ms);
}

/* ---- the transport and the server ------------------------------------------------------------ */

void fake_sdk_open(struct fake_sdk *fake)
{
    fake->commands = WH_SLICE_ABSENT;
    engine_opened(&fake->engine, fake->engine.connection, fake->settings.encoding);
}

void fake_sdk_lose(struct fake_sdk *fake)
{
    engine_closed(&fake->engine, fake->engine.connection, 0, WH_SLICE_ABSENT, NULL);
}

bool fake_sdk_act(struct fake_sdk *fake)
{
    bool is_opened = false;
    for (;;) {
        struct engine_action action = engine_take_action(&fake->engine);
        if (action.kind == ENGINE_NO_ACTION)
            return is_opened;
        if (action.kind == ENGINE_CLOSE)
            continue;
        is_opened = true;
        fake_sdk_open(fake);
    }
}

struct wh_command *fake_sdk_handshake(struct fake_sdk *fake)
{
    assert_int_equal(engine_connect(&fake->engine), WH_OK); /* nothing when it is on the way */
    if (!fake_sdk_act(fake)) {
        fake_sdk_advance(fake, 60000);
        assert_true(fake_sdk_act(fake));
    }
    struct wh_command *command = fake_sdk_take_command(fake);
    assert_true(command && command->connect);
    return command;
}

void fake_sdk_connect(struct fake_sdk *fake)
{
    fake_sdk_say(fake, "{\"id\":%u,\"connect\":{\"client\":\"x\",\"version\":\"1\"}}",
                 fake_sdk_handshake(fake)->id);
}

void fake_sdk_receive_on(struct fake_sdk *fake, uint32_t connection, const void *bytes, size_t len)
{
    struct message *message = message_new(NULL, len, fake->engine.encoding == WH_ENCODING_JSON);
    if (!message) { /* what a transport does then */
        engine_closed(&fake->engine, connection, 0, WH_SLICE_ABSENT, NULL);
        return;
    }
    if (len > 0)
        memcpy(message->bytes, bytes, len);
    if (fake->message_arena_limit)
        message->arena.limit = fake->message_arena_limit;
    engine_received(&fake->engine, connection, message);
}

void fake_sdk_receive_bytes(struct fake_sdk *fake, const void *bytes, size_t len)
{
    fake_sdk_receive_on(fake, fake->engine.connection, bytes, len);
}

void fake_sdk_say(struct fake_sdk *fake, const char *format, ...)
{
    char text[8192];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    assert_true(len > 0 && (size_t)len < sizeof(text));
    fake_sdk_receive_bytes(fake, text, (size_t)len);
}

struct wh_command *fake_sdk_take_command(struct fake_sdk *fake)
{
    struct wh_buf frame = {0};
    struct wh_command *command = NULL;
    if (fake->on_harness)
        fake->on_harness(true);
    if (fake->commands.len == 0 && engine_take_frame(&fake->engine, &frame))
        fake->commands = wh_arena_copy(&fake->arena, wh_buf_slice(&frame));
    wh_buf_deinit(&frame);
    if (fake->commands.len > 0) {
        command = wh_arena_alloc(&fake->arena, sizeof(*command));
        assert_int_equal(wh_decode(fake->engine.encoding, &wh_command_schema, &fake->commands,
                                   &fake->arena, command),
                         WH_OK);
    }
    if (fake->on_harness)
        fake->on_harness(false);
    return command;
}

/* ---- callbacks ------------------------------------------------------------------------------- */

static void keep_request(struct fake_sdk *fake, struct event *event)
{
    if (event->kind == EVENT_SUB_GET_STATE)
        fake->state_requests[fake->state_request_count++] = state_request_take(event);
    else
        fake->token_requests[fake->token_request_count++] = token_request_take(event);
    WH_ASSERT(fake->state_request_count < FAKE_SDK_REQUESTS_MAX);
    WH_ASSERT(fake->token_request_count < FAKE_SDK_REQUESTS_MAX);
}

struct wh_token_request *fake_sdk_take_token_request(struct fake_sdk *fake)
{
    if (fake->token_request_count == 0)
        return NULL;
    struct wh_token_request *request = fake->token_requests[0];
    memmove(fake->token_requests, fake->token_requests + 1,
            --fake->token_request_count * sizeof(request));
    return request;
}

struct wh_state_request *fake_sdk_take_state_request(struct fake_sdk *fake)
{
    if (fake->state_request_count == 0)
        return NULL;
    struct wh_state_request *request = fake->state_requests[0];
    memmove(fake->state_requests, fake->state_requests + 1,
            --fake->state_request_count * sizeof(request));
    return request;
}

struct event *fake_sdk_begin_event(struct fake_sdk *fake)
{
    struct event *event;
    WH_ASSERT(!fake->event);
    while ((event = engine_take_event(&fake->engine)) && event->sub &&
           !sub_wants(event->sub, event))
        event_free(event);
    fake->event = event;
    if (!event)
        return NULL;
    if (event->kind == EVENT_GET_TOKEN || event->kind == EVENT_SUB_GET_TOKEN ||
        event->kind == EVENT_SUB_GET_STATE)
        keep_request(fake, event);
    if (fake->on_event)
        fake->on_event(fake, event);
    return event;
}

void fake_sdk_end_event(struct fake_sdk *fake)
{
    struct event *event = fake->event;
    if (!event)
        return;
    fake->event = NULL;
    if (event->kind == EVENT_FREE_USER)
        event->u.free_user.fn(event->u.free_user.user);
    else if (event->kind == EVENT_CALL && event->u.call.call->user_free)
        event->u.call.call->user_free(event->u.call.call->user);
    if (event->sub)
        sub_delivered(event->sub, event);
    event_free(event);
}

bool fake_sdk_run_one(struct fake_sdk *fake)
{
    bool has_run = fake_sdk_begin_event(fake) != NULL;
    fake_sdk_end_event(fake);
    return has_run;
}

void fake_sdk_run(struct fake_sdk *fake)
{
    while (fake_sdk_run_one(fake)) {
    }
}

/* ---- subscriptions --------------------------------------------------------------------------- */

struct wh_sub *fake_sdk_sub(struct fake_sdk *fake,
                            const char *channel,
                            const struct wh_sub_options *options)
{
    struct wh_sub *sub = NULL;
    assert_int_equal(sub_new(&fake->engine, channel, options, &sub, NULL), WH_OK);
    return sub;
}

void fake_sdk_subscribe(struct fake_sdk *fake, struct wh_sub *sub, const char *result)
{
    if (fake->engine.state != ENGINE_CONNECTED)
        fake_sdk_connect(fake);
    assert_int_equal(sub_subscribe(sub), WH_OK);
    const struct wh_command *command = fake_sdk_take_command(fake);
    assert_true(command && command->subscribe);
    fake_sdk_say(fake, "{\"id\":%u,\"subscribe\":{%s}}", command->id, result);
    assert_int_equal(sub->state, WH_SUB_SUBSCRIBED);
    fake_sdk_run(fake);
}
