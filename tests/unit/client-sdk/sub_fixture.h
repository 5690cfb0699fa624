/*
 * An engine without a client around it: frames in as text, commands out as structs,
 * events as lines of a log, a clock that stands still.  Events are "delivered" one by
 * one as whoever runs callbacks does it; a hook may do anything in the place of a callback.
 *
 *     fx_init(&fx, WH_ENCODING_JSON);  sub = fx_sub(&fx, "news", &options);
 *     fx_connect(&fx);                          // up to the connect reply
 *     command = fx_take(&fx);                   // what was sent, oldest first
 *     fx_say(&fx, "{\"id\":%u,…}", command->id);
 *     fx_expect(&fx, "subscribed news\n");      // events since the last expect
 */
#ifndef TESTS_UNIT_CLIENT_SDK_SUB_FIXTURE_H
#define TESTS_UNIT_CLIENT_SDK_SUB_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants those first */
#include <cmocka.h>

#include "client-sdk/src/shell.h"
#include "client-sdk/src/sub.h"
#include "client-sdk/src/tokens.h"
#include "client-sdk/src/trace.h"
#include "common/base/alloc.h"
#include "tests/support/failing_alloc.h"

enum { FX_COMMANDS_MAX = 512, FX_LOG_MAX = 1 << 16 };

struct fx {
    struct engine engine;
    struct settings settings;
    uint64_t now_ms;
    uint32_t connection; /* the newest that was opened */
    struct wh_arena arena;
    struct wh_command *commands[FX_COMMANDS_MAX];
    size_t command_first, command_count;
    char log[FX_LOG_MAX];
    size_t log_len;
    bool is_quiet;              /* no log */
    size_t message_arena_limit; /* of messages that come; 0 = their own */
    struct wh_token_request *token_request;
    struct wh_state_request *state_request;
    void (*on_event)(struct fx *fx, struct event *event);
    void *user;
};

/* ---- what a client would be ---------------------------------------------------------------------
 */

#define FX_WEAK __attribute__((weak))

FX_WEAK struct engine *client_lock(struct wh_client *client)
{
    return &((struct fx *)(void *)client)->engine;
}
FX_WEAK void client_unlock(struct wh_client *client)
{
    (void)client;
}
FX_WEAK void client_ref(struct wh_client *client)
{
    (void)client;
}
FX_WEAK void client_unref(struct wh_client *client)
{
    (void)client;
}
FX_WEAK bool client_is_forked(const struct wh_client *client)
{
    (void)client;
    return false;
}
FX_WEAK bool trace_enabled(enum wh_severity severity, const char *area)
{
    (void)severity;
    (void)area;
    return false;
}
FX_WEAK void trace_line(enum wh_severity severity,
                        const char *area,
                        const char *event,
                        const char *format,
                        ...)
{
    (void)severity;
    (void)area;
    (void)event;
    (void)format;
}

/* ---- life
 * ------------------------------------------------------------------------------------------ */

static inline void fx_init(struct fx *fx, enum wh_encoding encoding)
{
    memset(fx, 0, sizeof(*fx));
    fx->settings.urls[0] =
        (struct settings_url){.text = "ws://h/", .host = "h", .port = 80, .path = "/"};
    fx->settings.url_count = 1;
    fx->settings.encoding = encoding;
    fx->settings.name = "c";
    fx->settings.timeout_ms = 5000;
    fx->settings.connect_timeout_ms = 10000;
    fx->settings.token_timeout_ms = 10000;
    fx->settings.min_reconnect_ms = 500;
    fx->settings.max_reconnect_ms = 20000;
    fx->settings.max_server_ping_delay_ms = 10000;
    fx->settings.message_bytes_max = 1 << 20;
    fx->settings.send_queue_bytes_max = 1 << 20;
    fx->settings.event_queue_bytes_max = 16 << 20;
    fx->now_ms = 1000000;
    assert_int_equal(
        engine_init(&fx->engine, &fx->settings, (struct wh_client *)(void *)fx, fx->now_ms), WH_OK);
}

static inline void fx_deinit(struct fx *fx)
{
    wh_token_error(fx->token_request, "gone");
    wh_state_error(fx->state_request, "gone");
    engine_deinit(&fx->engine);
    wh_arena_deinit(&fx->arena);
}

static inline void fx_advance(struct fx *fx, uint64_t ms)
{
    fx->now_ms += ms;
    engine_advance(&fx->engine, fx->now_ms);
}

/* ---- in and out
 * --------------------------------------------------------------------------------------- */

static inline void fx_give(struct fx *fx, uint32_t connection, const void *bytes, size_t len)
{
    struct message *message = message_new(len, true);
    if (!message) { /* what a transport does then */
        engine_closed(&fx->engine, connection, 0, WH_SLICE_ABSENT, NULL);
        return;
    }
    if (len > 0)
        memcpy(message->bytes, bytes, len);
    if (fx->message_arena_limit)
        message->arena.limit = fx->message_arena_limit;
    engine_received(&fx->engine, connection, message);
}

WH_PRINTF(2, 3) static inline void fx_say(struct fx *fx, const char *format, ...)
{
    char text[8192];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    assert_true(len > 0 && (size_t)len < sizeof(text));
    fx_give(fx, fx->connection, text, (size_t)len);
}

/* Memory of the fixture itself does not fail in tests that make memory fail. */
static size_t fx_paused_nth, fx_paused_count;
static inline void fx_pause(void)
{
    fx_paused_nth = failing_alloc_nth;
    fx_paused_count = failing_alloc_count;
    failing_alloc_nth = 0;
}
static inline void fx_resume(void)
{
    failing_alloc_nth = fx_paused_nth;
    failing_alloc_count = fx_paused_count;
}

/* Frames into commands. */
static inline void fx_pull(struct fx *fx)
{
    struct wh_buf frame = {0};
    fx_pause();
    while (engine_take_frame(&fx->engine, &frame)) {
        struct wh_slice copy = wh_arena_copy(&fx->arena, wh_buf_slice(&frame));
        for (;;) {
            struct wh_command *command = wh_arena_alloc(&fx->arena, sizeof(*command));
            enum wh_err err =
                wh_decode(fx->engine.encoding, &wh_command_schema, &copy, &fx->arena, command);
            if (err == WH_EEND)
                break;
            assert_int_equal(err, WH_OK);
            assert_true(fx->command_count < FX_COMMANDS_MAX);
            fx->commands[(fx->command_first + fx->command_count++) % FX_COMMANDS_MAX] = command;
        }
        wh_buf_reset(&frame);
    }
    wh_buf_deinit(&frame);
    fx_resume();
}

/* The oldest command that nobody took; NULL when there is none. */
static inline struct wh_command *fx_take_any(struct fx *fx)
{
    fx_pull(fx);
    if (fx->command_count == 0)
        return NULL;
    struct wh_command *command = fx->commands[fx->command_first];
    fx->command_first = (fx->command_first + 1) % FX_COMMANDS_MAX;
    fx->command_count--;
    return command;
}

static inline struct wh_command *fx_take(struct fx *fx)
{
    struct wh_command *command = fx_take_any(fx);
    if (!command)
        fail_msg("nothing was sent");
    return command;
}

static inline void fx_take_nothing(struct fx *fx)
{
    const struct wh_command *command = fx_take_any(fx);
    if (command)
        fail_msg("command %u was sent", command->id);
}

/* Do what the engine asks of the transport; true = a connection was opened. */
static inline bool fx_act(struct fx *fx)
{
    bool is_opened = false;
    for (;;) {
        struct engine_action action = engine_take_action(&fx->engine);
        if (action.kind == ENGINE_NO_ACTION)
            return is_opened;
        if (action.kind == ENGINE_CLOSE)
            continue;
        fx->connection = action.connection;
        fx->command_count = 0;
        is_opened = true;
        engine_opened(&fx->engine, action.connection, fx->settings.encoding);
    }
}

/* The transport up, connect command sent and taken. */
static inline struct wh_command *fx_open(struct fx *fx)
{
    assert_int_equal(engine_connect(&fx->engine), WH_OK); /* nothing when it is on the way */
    if (!fx_act(fx)) {
        fx_advance(fx, 60000);
        assert_true(fx_act(fx));
    }
    struct wh_command *command = fx_take(fx);
    assert_non_null(command->connect);
    return command;
}

static inline void fx_connect(struct fx *fx)
{
    fx_say(fx, "{\"id\":%u,\"connect\":{\"client\":\"x\",\"version\":\"1\"}}", fx_open(fx)->id);
}

/* The connection breaks. */
static inline void fx_lose(struct fx *fx)
{
    engine_closed(&fx->engine, fx->connection, 0, WH_SLICE_ABSENT, NULL);
}

/* ---- events
 * ---------------------------------------------------------------------------------------------- */

WH_PRINTF(2, 3) static inline void fx_log(struct fx *fx, const char *format, ...)
{
    if (fx->is_quiet)
        return;
    va_list args;
    va_start(args, format);
    int len = vsnprintf(fx->log + fx->log_len, FX_LOG_MAX - fx->log_len, format, args);
    va_end(args);
    assert_true(len >= 0 && fx->log_len + (size_t)len < FX_LOG_MAX);
    fx->log_len += (size_t)len;
}

static inline void fx_log_subscribed(struct fx *fx, const struct wh_subscribed *subscribed)
{
    fx_log(fx, "subscribed %s", subscribed->channel);
    if (subscribed->positioned)
        fx_log(fx, " %llu:%s", (unsigned long long)subscribed->position.offset,
               subscribed->position.epoch);
    fx_log(fx, "%s%s", subscribed->recoverable ? " recoverable" : "",
           wh_subscribed_lost(subscribed) ? " lost"
           : subscribed->recovered        ? " recovered"
                                          : "");
    if (subscribed->data.ptr)
        fx_log(fx, " %.*s", (int)subscribed->data.len, (const char *)subscribed->data.ptr);
    fx_log(fx, "\n");
}

static inline void fx_log_publication(struct fx *fx, const struct wh_publication *pub)
{
    fx_log(fx, "pub %s %.*s", pub->channel, (int)pub->data.len, (const char *)pub->data.ptr);
    if (pub->offset)
        fx_log(fx, " #%llu", (unsigned long long)pub->offset);
    for (size_t i = 0; i < pub->tag_count; i++)
        fx_log(fx, " %s=%s", pub->tags[i].key, pub->tags[i].value);
    if (pub->info)
        fx_log(fx, " by %s/%s", pub->info->user, pub->info->client);
    fx_log(fx, "\n");
}

static inline void fx_log_event(struct fx *fx, struct event *event)
{
    const struct wh_transition *why = &event->u.transition;
    const char *channel = event->sub ? event->sub->channel : event->channel;
    bool is_server = !event->sub && event->kind >= EVENT_SUBSCRIBING && event->kind <= EVENT_LEAVE;
    if (is_server)
        fx_log(fx, "server ");
    switch (event->kind) {
    case EVENT_CONNECTING:
        fx_log(fx, "connecting %u %s\n", why->code, why->reason);
        break;
    case EVENT_CONNECTED:
        fx_log(fx, "connected\n");
        break;
    case EVENT_DISCONNECTED:
        fx_log(fx, "disconnected %u %s\n", why->code, why->reason);
        break;
    case EVENT_ERROR:
        fx_log(fx, "error %s %u\n", wh_err_name(event->u.error.err), event->u.error.code);
        break;
    case EVENT_SUBSCRIBING:
        fx_log(fx, "subscribing %s %u %s%s\n", channel, why->code, why->reason,
               why->retry_ms ? " later" : "");
        break;
    case EVENT_SUBSCRIBED:
        fx_log_subscribed(fx, &event->u.subscribed);
        break;
    case EVENT_UNSUBSCRIBED:
        fx_log(fx, "unsubscribed %s %u %s\n", channel, why->code, why->reason);
        break;
    case EVENT_PUBLICATION:
        fx_log_publication(fx, &event->u.publication);
        break;
    case EVENT_JOIN:
    case EVENT_LEAVE:
        fx_log(fx, "%s %s %s/%s\n", event->kind == EVENT_JOIN ? "join" : "leave", channel,
               event->u.info.user, event->u.info.client);
        break;
    case EVENT_SUB_ERROR:
        fx_log(fx, "error %s %s %u\n", channel, wh_err_name(event->u.error.err),
               event->u.error.code);
        break;
    case EVENT_SUB_GET_TOKEN:
        fx_log(fx, "get_token %s\n", channel);
        wh_token_error(fx->token_request, "replaced");
        fx->token_request = token_request_take(event);
        break;
    case EVENT_SUB_GET_STATE:
        fx_log(fx, "get_state %s\n", channel);
        wh_state_error(fx->state_request, "replaced");
        fx->state_request = state_request_take(event);
        break;
    case EVENT_FREE_USER:
        fx_log(fx, "free_user\n");
        event->u.free_user.fn(event->u.free_user.user);
        break;
    default:
        fx_log(fx, "event %d\n", (int)event->kind);
    }
}

/* One event to its "callback"; false = none waits. */
static inline bool fx_run_one(struct fx *fx)
{
    struct event *event = engine_take_event(&fx->engine);
    if (!event)
        return false;
    struct wh_sub *sub = event->sub;
    if (!sub || sub_wants(sub, event)) {
        fx_log_event(fx, event);
        if (fx->on_event)
            fx->on_event(fx, event);
        if (sub)
            sub_delivered(sub, event);
    }
    event_free(event);
    return true;
}

static inline void fx_run(struct fx *fx)
{
    while (fx_run_one(fx)) {
    }
}

/* All that happened since the last time. */
#define fx_expect(fx, lines)                                                                       \
    do {                                                                                           \
        fx_run(fx);                                                                                \
        assert_string_equal((fx)->log, lines);                                                     \
        fx_forget(fx);                                                                             \
    } while (0)

static inline void fx_forget(struct fx *fx)
{
    fx_run(fx);
    fx->log_len = 0;
    fx->log[0] = '\0';
}

/* ---- the program
 * ----------------------------------------------------------------------------------------- */

static inline struct wh_sub *fx_sub(struct fx *fx,
                                    const char *channel,
                                    const struct wh_sub_options *options)
{
    struct wh_sub *sub = NULL;
    struct wh_error detail;
    assert_int_equal(sub_new(&fx->engine, channel, options, &sub, &detail), WH_OK);
    return sub;
}

/* Events of this table only make the engine ask; fx_log_event takes the requests. */
static inline void fx_get_token(struct wh_sub *sub, struct wh_token_request *request, void *user)
{
    (void)sub;
    (void)request;
    (void)user;
}
static inline void fx_get_state(struct wh_sub *sub, struct wh_state_request *request, void *user)
{
    (void)sub;
    (void)request;
    (void)user;
}

static inline void fx_answer_token(struct fx *fx, const char *token)
{
    struct wh_token_request *request = fx->token_request;
    assert_non_null(request);
    fx->token_request = NULL;
    wh_token_ok(request, token);
}

static inline void fx_answer_state(struct fx *fx, uint64_t offset, const char *epoch)
{
    struct wh_state_request *request = fx->state_request;
    struct wh_position position = {offset, epoch};
    assert_non_null(request);
    fx->state_request = NULL;
    wh_state_ok(request, &position);
}

/* Connected, `sub` subscribed with `result` ("" = an empty one), the log empty. */
static inline void fx_subscribe(struct fx *fx, struct wh_sub *sub, const char *result)
{
    if (fx->engine.state != ENGINE_CONNECTED)
        fx_connect(fx);
    assert_int_equal(sub_subscribe(sub), WH_OK);
    const struct wh_command *command = fx_take(fx);
    assert_non_null(command->subscribe);
    fx_say(fx, "{\"id\":%u,\"subscribe\":{%s}}", command->id, result);
    assert_int_equal(sub->state, WH_SUB_SUBSCRIBED);
    fx_forget(fx);
}

#define RECOVERABLE "\"recoverable\":true,\"positioned\":true,\"epoch\":\"e\",\"offset\":"

#endif
