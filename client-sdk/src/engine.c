/*
 * The connection: its states, attempts and ends.
 *
 * One attempt is: token, OPEN, connect command, reply.  Whatever breaks it ends in
 * lose() (tried again after a back-off) or in engine_fail() (a final code); both give back
 * everything that belongs to one connection in shut(), so that nothing of an earlier one can
 * reach a later one.  `connection` numbers the attempts; what the transport says of another
 * number is not for us.
 */
#include "client-sdk/src/engine.h"

#include "client-sdk/src/sub.h"
#include "client-sdk/src/tokens.h"
#include "client-sdk/src/trace.h"
#include "common/base/alloc.h"
#include "common/protocol/codes.h"
#include "common/protocol/json.h"

#include <stdio.h>

enum { REASON_BYTES_MAX = 123, SPARE_REASON_BYTES = 124 };

static void attempt(struct engine *engine);

/* At most `max` bytes of `text`, not ending inside a character of UTF-8. */
static struct wh_slice cut(struct wh_slice text, size_t max)
{
    if (text.len <= max)
        return text;
    while (max > 0 && ((unsigned char)text.ptr[max] & 0xC0) == 0x80)
        max--;
    return wh_slice(text.ptr, max);
}

/* ---- events of the state ------------------------------------------------------------------------
 */

static void refill_spares(struct engine *engine)
{
    for (size_t i = 0; i < sizeof(engine->spare_events) / sizeof(engine->spare_events[0]); i++) {
        if (!engine->spare_events[i])
            engine->spare_events[i] = event_new(EVENT_ERROR, NULL, SPARE_REASON_BYTES);
    }
}

static struct event *take_spare(struct engine *engine)
{
    for (size_t i = 0; i < sizeof(engine->spare_events) / sizeof(engine->spare_events[0]); i++) {
        struct event *event = engine->spare_events[i];
        engine->spare_events[i] = NULL;
        if (event)
            return event;
    }
    return NULL;
}

static void push_transition(struct engine *engine,
                            enum event_kind kind,
                            uint32_t code,
                            struct wh_slice reason,
                            uint32_t retry_ms)
{
    trace_line(WH_SEVERITY_INFO, "client", kind == EVENT_CONNECTING ? "connecting" : "disconnected",
               "code=%u reason=\"%.*s\" retry_ms=%u", code, WH_SLICE_ARGS(reason), retry_ms);
    struct event *event = event_new(kind, NULL, reason.len + 1);
    if (!event) {
        event = take_spare(engine);
        reason = cut(reason, SPARE_REASON_BYTES - 1);
    }
    if (!event)
        return;
    event->kind = kind;
    char *text = event_extra(event);
    if (reason.len > 0)
        memcpy(text, reason.ptr, reason.len);
    text[reason.len] = '\0';
    event->u.transition = (struct wh_transition){code, text, retry_ms};
    engine_push(engine, event);
}

void engine_push(struct engine *engine, struct event *event)
{
    event_queue_push(&engine->events, event);
    if (engine->events.bytes > engine->stats.event_queue_bytes_high)
        engine->stats.event_queue_bytes_high = engine->events.bytes;
}

struct wh_error engine_error_make(enum wh_err err,
                                  uint32_t code,
                                  bool temporary,
                                  uint32_t http_status,
                                  const char *format,
                                  ...)
{
    struct wh_error error = {
        .err = err, .code = code, .temporary = temporary, .http_status = http_status};
    char whole[2 * sizeof(error.text)];
    va_list args;
    va_start(args, format);
    vsnprintf(whole, sizeof(whole), format, args);
    va_end(args);
    struct wh_slice text = cut(wh_slice_from_str(whole), sizeof(error.text) - 1);
    memcpy(error.text, text.ptr, text.len);
    if (error.text[0] == '\0') /* a server that gives no message */
        snprintf(error.text, sizeof(error.text), "%s", wh_err_text(err));
    return error;
}

void engine_error(struct engine *engine, struct wh_sub *sub, const struct wh_error *error)
{
    trace_line(WH_SEVERITY_WARN, sub ? "sub" : "client", "error",
               "err=%s code=%u http_status=%u text=\"%s\"", wh_err_name(error->err), error->code,
               error->http_status, error->text);
    /* A program that does not dispatch does not pile up what went wrong meanwhile. */
    if (engine->events.bytes > engine->settings->event_queue_bytes_max)
        return;
    struct event *event = event_new(sub ? EVENT_SUB_ERROR : EVENT_ERROR, NULL, 0);
    if (!event)
        return;
    if (sub) {
        atomic_fetch_add(&sub->refs, 1);
        event->sub = sub;
        event->sub_generation = sub->generation;
    }
    event->u.error = *error;
    engine_push(engine, event);
}

/* ---- the end of a connection
 * ---------------------------------------------------------------------
 */

static void put_close(struct engine *engine, uint16_t code, struct wh_slice reason)
{
    if (engine->open.kind == ENGINE_OPEN) {
        engine->open.kind = ENGINE_NO_ACTION; /* the transport never heard of it */
        return;
    }
    reason = cut(reason, REASON_BYTES_MAX);
    if (reason.len > 0)
        memcpy(engine->close_reason, reason.ptr, reason.len);
    engine->close_reason[reason.len] = '\0';
    engine->close = (struct engine_action){.kind = ENGINE_CLOSE,
                                           .connection = engine->connection,
                                           .code = code,
                                           .reason = engine->close_reason};
}

/* Give back all that belongs to the attempt or the connection, but calls and subscriptions. */
static void shut(struct engine *engine, uint16_t close_code, struct wh_slice close_reason)
{
    if (engine->has_transport)
        put_close(engine, close_code, close_reason);
    engine->has_transport = false;
    engine->is_open = false;
    engine->wants_ping = false;
    engine->is_refresh_due = false;
    wh_timer_stop(&engine->wheel, &engine->connect_timer);
    wh_timer_stop(&engine->wheel, &engine->ping_timer);
    wh_timer_stop(&engine->wheel, &engine->refresh_timer);
    token_ask_drop(engine->token_ask);
    engine->token_ask = NULL;
    wh_buf_reset(&engine->out);
    wh_buf_reset(&engine->out_ends);
    engine->out_ends_taken = engine->out_taken = engine->out_start = 0;
}

static void become_disconnected(struct engine *engine, uint32_t code, struct wh_slice reason)
{
    engine->state = ENGINE_DISCONNECTED;
    calls_fail(engine, true, WH_ECONNLOST, WH_CODE_CONNECTION_CLOSED);
    calls_fail(engine, false, WH_EDISCONNECTED, WH_CODE_CLIENT_DISCONNECTED);
    subs_on_disconnected(engine);
    push_transition(engine, EVENT_DISCONNECTED, code, reason, 0);
}

/* The attempt or the connection failed; try again after the back-off.  A program that was told
 * CONNECTING already hears no second one: what went wrong was an error event. */
static void lose(struct engine *engine, uint32_t code, struct wh_slice reason)
{
    bool was_connected = engine->state == ENGINE_CONNECTED;
    shut(engine, 1000, reason);
    if (engine->settings->no_reconnect) {
        become_disconnected(engine, code, reason);
        return;
    }
    uint32_t delay_ms = wh_backoff_next_ms(&engine->backoff);
    engine->state = ENGINE_BACKING_OFF;
    wh_timer_start(&engine->wheel, &engine->connect_timer, engine->now_ms, delay_ms);
    subs_on_disconnected(engine); /* first the subscriptions, as in the other SDKs */
    if (was_connected)
        push_transition(engine, EVENT_CONNECTING, code, reason, delay_ms);
    else
        trace_line(WH_SEVERITY_INFO, "client", "retry", "delay_ms=%u", delay_ms);
    calls_fail(engine, true, WH_ECONNLOST, WH_CODE_CONNECTION_CLOSED);
}

static void lose_attempt(struct engine *engine, const struct wh_error *error)
{
    engine_error(engine, NULL, error);
    lose(engine, 1, WH_SLICE_LITERAL("transport closed"));
}

static bool has_connection(const struct engine *engine)
{
    return engine->state == ENGINE_HANDSHAKING || engine->state == ENGINE_CONNECTED;
}

void engine_fail(struct engine *engine, uint32_t code, struct wh_slice reason)
{
    if (engine->state == ENGINE_DISCONNECTED || engine->state == ENGINE_CLOSED)
        return;
    shut(engine, 1000, reason);
    become_disconnected(engine, code, reason);
}

void engine_reconnect(struct engine *engine, uint32_t code, const char *reason)
{
    if (!has_connection(engine))
        return;
    if (engine->state == ENGINE_HANDSHAKING) {
        struct wh_error error = engine_error_make(WH_ECONNECT, code, true, 0, "%s", reason);
        engine_error(engine, NULL, &error);
    }
    lose(engine, code, wh_slice_from_str(reason));
}

void engine_reconnect_no_memory(struct engine *engine)
{
    if (!has_connection(engine))
        return;
    struct wh_error error = engine_error_make(WH_ENOMEM, WH_CODE_TRANSPORT_CLOSED, true, 0,
                                              "out of memory: connecting anew");
    engine_error(engine, NULL, &error);
    lose(engine, 1, WH_SLICE_LITERAL("transport closed"));
}

/* ---- attempts -------------------------------------------------------------------------------- */

static void open_connection(struct engine *engine)
{
    const struct settings *settings = engine->settings;
    if (engine->has_attempted)
        engine->url_index = (engine->url_index + 1) % settings->url_count;
    engine->has_attempted = true;
    engine->connection++;
    engine->state = ENGINE_OPENING;
    engine->has_transport = true;
    engine->open = (struct engine_action){
        .kind = ENGINE_OPEN, .url_index = engine->url_index, .connection = engine->connection};
    wh_timer_start(&engine->wheel, &engine->connect_timer, engine->now_ms,
                   settings->connect_timeout_ms);
    trace_line(WH_SEVERITY_DEBUG, "client", "open", "connection=%u host=%s port=%u",
               engine->connection, settings->urls[engine->url_index].host,
               (unsigned)settings->urls[engine->url_index].port);
}

static void on_connect_token(void *asker, enum token_answer answer, struct wh_slice text)
{
    struct engine *engine = asker;
    engine->token_ask = NULL;
    if (answer == TOKEN_UNAUTHORIZED) {
        engine_fail(engine, 1, WH_SLICE_LITERAL("unauthorized"));
        return;
    }
    if (answer == TOKEN_OK && engine_store_token(engine, text) == WH_OK) {
        open_connection(engine);
        return;
    }
    enum wh_err err = answer == TOKEN_TIMEOUT ? WH_ETIMEOUT : WH_EUNAVAILABLE;
    if (answer == TOKEN_OK) {
        err = WH_ENOMEM;
        text = WH_SLICE_LITERAL("out of memory"); /* it was the token */
    }
    struct wh_error error = engine_error_make(err, WH_CODE_CONNECT_TOKEN, true, 0, "no token: %.*s",
                                              WH_SLICE_ARGS(text));
    lose_attempt(engine, &error);
}

/* The first step: is a token needed?  lose_attempt may come back here only through the timer. */
static void attempt(struct engine *engine)
{
    bool can_ask = engine->settings->events.get_token != NULL;
    if (!can_ask || (engine->token.len > 0 && !engine->must_refresh_token)) {
        open_connection(engine);
        return;
    }
    engine->state = ENGINE_WAITING_TOKEN;
    if (token_ask_new(engine, NULL, on_connect_token, engine, &engine->token_ask) != WH_OK) {
        struct wh_error error =
            engine_error_make(WH_ENOMEM, WH_CODE_CONNECT_TOKEN, true, 0, "out of memory");
        lose_attempt(engine, &error);
    }
}

static void on_connect_timer(struct wh_timer *timer)
{
    struct engine *engine = WH_CONTAINER_OF(timer, struct engine, connect_timer);
    if (engine->state == ENGINE_BACKING_OFF) {
        attempt(engine);
        return;
    }
    struct wh_error error =
        engine_error_make(WH_ETIMEOUT, WH_CODE_TIMEOUT, true, 0, "no connection within %u ms",
                          engine->settings->connect_timeout_ms);
    lose_attempt(engine, &error);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void on_ping_timer(struct wh_timer *timer);

static void deinit_spares(struct engine *engine)
{
    for (size_t i = 0; i < sizeof(engine->spare_events) / sizeof(engine->spare_events[0]); i++) {
        event_free(engine->spare_events[i]);
        engine->spare_events[i] = NULL;
    }
}

enum wh_err engine_init(struct engine *engine,
                        const struct settings *settings,
                        struct wh_client *client,
                        uint64_t now_ms)
{
    *engine = (struct engine){.settings = settings, .client = client, .now_ms = now_ms};
    engine->encoding = settings->encoding;
    engine->backoff.min_ms = settings->min_reconnect_ms;
    engine->backoff.max_ms = settings->max_reconnect_ms;
    wh_wheel_init(&engine->wheel, now_ms);
    wh_timer_init(&engine->connect_timer, on_connect_timer);
    wh_timer_init(&engine->ping_timer, on_ping_timer);
    refresh_init(engine);
    wh_list_init(&engine->unsent);
    wh_list_init(&engine->sent);
    wh_list_init(&engine->subs_in_order);
    event_queue_init(&engine->events);
    refill_spares(engine);
    wh_buf_append_str(&engine->token, settings->token ? settings->token : "");
    if (wh_buf_error(&engine->token) || !engine->spare_events[0] || !engine->spare_events[1]) {
        wh_buf_deinit(&engine->token);
        deinit_spares(engine);
        return WH_ENOMEM;
    }
    return WH_OK;
}

void engine_deinit(struct engine *engine)
{
    /* One that was not closed ends without a word: in the child of a fork nothing has happened. */
    if (engine->state != ENGINE_CLOSED) {
        shut(engine, 1000, WH_SLICE_ABSENT);
        engine->state = ENGINE_DISCONNECTED;
        engine_close(engine);
    }
    subs_deinit(engine);
    struct event *event;
    while ((event = event_queue_pop(&engine->events)))
        event_free(event);
    deinit_spares(engine);
    wh_map_deinit(&engine->pending_by_id);
    wh_map_deinit(&engine->subs);
    wh_map_deinit(&engine->sub_by_number);
    wh_map_deinit(&engine->server_subs);
    wh_buf_deinit(&engine->token);
    wh_buf_deinit(&engine->out);
    wh_buf_deinit(&engine->out_ends);
}

/* ---- what the program wants -------------------------------------------------------------------
 */

enum wh_err engine_connect(struct engine *engine)
{
    if (engine->state == ENGINE_CLOSED)
        return WH_ECLOSED;
    if (engine->state != ENGINE_DISCONNECTED)
        return WH_OK;
    refill_spares(engine);
    if (!engine->spare_events[0] || !engine->spare_events[1])
        return WH_ENOMEM;
    wh_backoff_reset(&engine->backoff);
    push_transition(engine, EVENT_CONNECTING, 0, WH_SLICE_LITERAL("connect called"), 0);
    attempt(engine);
    return WH_OK;
}

void engine_disconnect(struct engine *engine)
{
    engine_fail(engine, 0, WH_SLICE_LITERAL("disconnect called"));
}

void engine_reconnect_now(struct engine *engine)
{
    if (engine->state == ENGINE_DISCONNECTED || engine->state == ENGINE_CLOSED ||
        engine->state == ENGINE_CONNECTED)
        return;
    wh_backoff_reset(&engine->backoff);
    if (engine->state == ENGINE_BACKING_OFF) {
        wh_timer_stop(&engine->wheel, &engine->connect_timer);
        attempt(engine);
    }
}

enum wh_err engine_store_token(struct engine *engine, struct wh_slice token)
{
    struct wh_buf copy = {0};
    wh_buf_append_slice(&copy, token);
    if (wh_buf_error(&copy)) {
        wh_buf_deinit(&copy);
        return WH_ENOMEM;
    }
    wh_buf_deinit(&engine->token);
    engine->token = copy;
    engine->must_refresh_token = false;
    engine->is_token_new = token.len > 0;
    return WH_OK;
}

enum wh_err engine_set_token(struct engine *engine, const char *token)
{
    if (engine->state == ENGINE_CLOSED)
        return WH_ECLOSED;
    enum wh_err err = engine_store_token(engine, wh_slice_from_str(token ? token : ""));
    if (err)
        return err;
    if (engine->state == ENGINE_WAITING_TOKEN && engine->token.len > 0) {
        token_ask_drop(engine->token_ask);
        engine->token_ask = NULL;
        open_connection(engine);
    }
    refresh_on_token(engine);
    return WH_OK;
}

void engine_close(struct engine *engine)
{
    if (engine->state == ENGINE_CLOSED)
        return;
    calls_fail(engine, false, WH_ECLOSED, WH_CODE_CLIENT_CLOSED);
    subs_close(engine);
    if (engine->state != ENGINE_DISCONNECTED) {
        shut(engine, 1000, WH_SLICE_LITERAL("client closed"));
        push_transition(engine, EVENT_DISCONNECTED, 0, WH_SLICE_LITERAL("disconnect called"), 0);
    }
    /* Commands that subs_close sent. */
    calls_fail(engine, false, WH_ECLOSED, WH_CODE_CLIENT_CLOSED);
    engine->state = ENGINE_CLOSED;
}

/* ---- what the transport saw ------------------------------------------------------------------ */

static void send_connect(struct engine *engine)
{
    const struct settings *settings = engine->settings;
    struct wh_arena arena;
    wh_arena_init(&arena, 0);
    struct wh_connect_request request = {
        .token = wh_buf_slice(&engine->token),
        .data = settings->connect_data,
        .name = wh_slice_from_str(settings->name),
        .version = wh_slice_from_str(settings->version),
        .headers = settings->emulated_headers,
    };
    struct wh_command command = {.connect = &request};
    enum wh_err err = subs_fill_connect(engine, &arena, &request);
    if (!err)
        err = engine_command(engine, PENDING_CONNECT, NULL, &command);
    wh_arena_deinit(&arena);
    engine->is_token_new = false;
    if (err == WH_EENCODING) {
        /* Bytes that JSON cannot show will not do better next time. */
        engine_fail(engine, WH_CODE_BAD_CONFIGURATION, WH_SLICE_LITERAL("connect data"));
    } else if (err) {
        engine_reconnect_no_memory(engine);
    } else {
        subs_send_waiting(engine);
    }
}

void engine_opened(struct engine *engine, uint32_t connection, enum wh_encoding encoding)
{
    const struct settings *settings = engine->settings;
    if (connection != engine->connection || engine->state != ENGINE_OPENING)
        return;
    wh_timer_stop(&engine->wheel, &engine->connect_timer);
    engine->is_open = true;
    engine->encoding = encoding;
    engine->state = ENGINE_HANDSHAKING;
    engine->last_frame_ms = engine->now_ms;
    engine->last_ping_ms = 0;
    if (encoding != settings->encoding && settings->encoding_required) {
        struct wh_error error =
            engine_error_make(WH_EENCODING, WH_CODE_BAD_CONFIGURATION, false, 0,
                              "the server does not speak %s", wh_encoding_name(settings->encoding));
        lose_attempt(engine, &error);
        return;
    }
    if (encoding != settings->encoding)
        trace_line(WH_SEVERITY_WARN, "client", "encoding_fallback", "asked=%s got=%s",
                   wh_encoding_name(settings->encoding), wh_encoding_name(encoding));
    send_connect(engine);
}

/* {"reason":…,"reconnect":…}: how servers of the first protocol closed. */
static bool parse_advice(struct wh_slice text,
                         struct wh_arena *arena,
                         struct wh_slice *out_reason,
                         bool *out_reconnect)
{
    struct wh_json_reader reader;
    struct wh_slice key;
    bool has_reason = false, has_reconnect = false;
    wh_json_reader_init(&reader, text);
    enum wh_err err = wh_json_enter(&reader, WH_JSON_OBJECT);
    while (!err && !(err = wh_json_next_member(&reader, arena, &key))) {
        if (wh_slice_equal_str(key, "reason")) {
            err = wh_json_read_string(&reader, arena, out_reason);
            has_reason = true;
        } else if (wh_slice_equal_str(key, "reconnect")) {
            err = wh_json_read_bool(&reader, out_reconnect);
            has_reconnect = true;
        } else {
            err = wh_json_skip(&reader, NULL);
        }
    }
    return err == WH_EEND && has_reason && has_reconnect;
}

static bool is_final(uint32_t code)
{
    return (code >= 3500 && code < 4000) || (code >= 4500 && code < 5000);
}

static void invalidate(struct engine *engine)
{
    /* Without get_token nobody could make a new one: the server judges the old one again. */
    if (engine->settings->events.get_token) {
        wh_buf_reset(&engine->token);
        engine->must_refresh_token = true;
    }
    subs_invalidate(engine);
}

void engine_obey_close(struct engine *engine, uint32_t code, struct wh_slice reason)
{
    struct wh_arena arena;
    struct wh_slice advised = reason;
    bool must_reconnect = !is_final(code);
    wh_arena_init(&arena, 4096);
    if (reason.len > 0 && reason.ptr[0] == '{') {
        bool advice;
        if (parse_advice(reason, &arena, &advised, &advice))
            must_reconnect = advice;
        else
            advised = reason;
    }
    if (code == WH_DISCONNECT_MESSAGE_TOO_BIG) {
        code = 3;
        advised = WH_SLICE_LITERAL("message size limit");
        must_reconnect = false;
    } else if (code < 3000) {
        code = 1;
        advised = WH_SLICE_LITERAL("transport closed");
    }
    if (code == WH_DISCONNECT_STATE_INVALIDATED)
        invalidate(engine);
    if (must_reconnect && engine->state == ENGINE_HANDSHAKING) {
        struct wh_error error =
            engine_error_make(WH_ECONNECT, code < 3000 ? WH_CODE_TRANSPORT_CLOSED : code, true, 0,
                              "closed before the connect reply: %.*s", WH_SLICE_ARGS(advised));
        engine_error(engine, NULL, &error);
    }
    if (must_reconnect)
        lose(engine, code, advised);
    else
        engine_fail(engine, code, advised);
    wh_arena_deinit(&arena);
}

void engine_closed(struct engine *engine,
                   uint32_t connection,
                   uint32_t code,
                   struct wh_slice reason,
                   const struct wh_error *error)
{
    if (connection != engine->connection || !engine->has_transport)
        return;
    engine->has_transport = false;
    trace_line(WH_SEVERITY_DEBUG, "client", "closed",
               "connection=%u code=%u reason=\"%.*s\" error=\"%s\"", connection, code,
               WH_SLICE_ARGS(reason), error ? error->text : "");
    if (engine->state != ENGINE_OPENING) {
        engine_obey_close(engine, code, reason);
        return;
    }
    struct wh_error unknown = engine_error_make(WH_ECONNECT, WH_CODE_TRANSPORT_CLOSED, true, 0,
                                                "closed before the connection was open");
    lose_attempt(engine, error ? error : &unknown);
}

void engine_too_big(struct engine *engine, uint32_t connection)
{
    if (connection == engine->connection && has_connection(engine))
        engine_fail(engine, 3, WH_SLICE_LITERAL("message size limit"));
}

void engine_pong(struct engine *engine, uint32_t connection, uint32_t rtt_us)
{
    if (connection != engine->connection || !has_connection(engine))
        return;
    engine->last_frame_ms = engine->now_ms;
    engine->stats.rtt_us = rtt_us;
    calls_on_pong(engine);
}

/* ---- the connect reply ------------------------------------------------------------------------
 */

static uint64_t ping_limit_ms(const struct engine *engine)
{
    return (uint64_t)engine->ping_interval_ms + engine->settings->max_server_ping_delay_ms;
}

/* Fires at the earliest moment at which silence could have been too long when it was started. */
static void on_ping_timer(struct wh_timer *timer)
{
    struct engine *engine = WH_CONTAINER_OF(timer, struct engine, ping_timer);
    uint64_t silence_ms = engine->now_ms - engine->last_frame_ms;
    uint64_t limit_ms = ping_limit_ms(engine);
    if (silence_ms >= limit_ms)
        engine_reconnect(engine, 2, "no ping");
    else
        wh_timer_start(&engine->wheel, timer, engine->now_ms, limit_ms - silence_ms);
}

static void start_pings(struct engine *engine, const struct wh_connect_result *result)
{
    uint64_t interval_ms = (uint64_t)result->ping * 1000;
    engine->ping_interval_ms = interval_ms < UINT32_MAX ? (uint32_t)interval_ms : UINT32_MAX;
    engine->must_pong = result->ping > 0 && result->pong;
    if (result->ping > 0 && engine->settings->max_server_ping_delay_ms != WH_NEVER)
        wh_timer_start(&engine->wheel, &engine->ping_timer, engine->now_ms, ping_limit_ms(engine));
}

static bool push_connected(struct engine *engine,
                           struct message *message,
                           const struct wh_connect_result *result)
{
    struct wh_connected connected = {
        .client = message_cstr(message, result->client),
        .version = message_cstr(message, result->version),
        .data = data_of_payload(result->data),
        .transport = "websocket",
        .encoding = engine->encoding,
    };
    struct event *event = event_new(EVENT_CONNECTED, message, 0);
    if (!event || !connected.client || !connected.version) {
        event_free(event);
        return false;
    }
    event->u.connected = connected;
    engine_push(engine, event);
    return true;
}

static void become_connected(struct engine *engine,
                             struct message *message,
                             const struct wh_connect_result *result)
{
    if (!push_connected(engine, message, result)) {
        engine_reconnect_no_memory(engine);
        return;
    }
    engine->state = ENGINE_CONNECTED;
    engine->stats.reconnects += engine->stats.connects > 0;
    engine->stats.connects++;
    wh_backoff_reset(&engine->backoff);
    trace_line(WH_SEVERITY_INFO, "client", "connected", "client=%.*s version=%.*s encoding=%s",
               WH_SLICE_ARGS(result->client), WH_SLICE_ARGS(result->version),
               wh_encoding_name(engine->encoding));
    if (result->expires)
        refresh_schedule(engine, result->ttl);
    start_pings(engine, result);
    uint32_t connection = engine->connection;
    subs_on_connected(engine, message, result);
    if (engine->connection == connection && engine->state == ENGINE_CONNECTED)
        subs_send_waiting(engine);
    if (engine->connection == connection && engine->state == ENGINE_CONNECTED)
        calls_send_waiting(engine);
}

static void on_connect_error(struct engine *engine, const struct wh_error_reply *reply)
{
    bool is_expired = reply->code == WH_ERROR_TOKEN_EXPIRED;
    if (is_expired && !engine->settings->events.get_token) {
        struct wh_error expired = engine_error_make(WH_ESERVER, reply->code, reply->temporary, 0,
                                                    "connect: %.*s", WH_SLICE_ARGS(reply->message));
        engine_error(engine, NULL, &expired);
        struct wh_error error =
            engine_error_make(WH_EUNAUTHORIZED, WH_CODE_BAD_CONFIGURATION, false, 0,
                              "the token has expired and there is no get_token to ask");
        engine_error(engine, NULL, &error);
        engine_fail(engine, 1, WH_SLICE_LITERAL("unauthorized"));
        return;
    }
    if (!is_expired && !reply->temporary && reply->code >= 100) {
        engine_fail(engine, reply->code, reply->message);
        return;
    }
    engine->must_refresh_token |= is_expired;
    struct wh_error error = engine_error_make(WH_ESERVER, reply->code, reply->temporary, 0,
                                              "connect: %.*s", WH_SLICE_ARGS(reply->message));
    lose_attempt(engine, &error);
}

void engine_on_connect_reply(struct engine *engine,
                             struct message *message,
                             const struct wh_reply *reply)
{
    if (!reply) {
        struct wh_error error =
            engine_error_make(WH_ETIMEOUT, WH_CODE_TIMEOUT, true, 0, "no reply to connect");
        lose_attempt(engine, &error);
    } else if (reply->error) {
        on_connect_error(engine, reply->error);
    } else if (!reply->connect) {
        engine_fail(engine, 2, WH_SLICE_LITERAL("bad protocol"));
    } else {
        become_connected(engine, message, reply->connect);
    }
}

/* ---- time ------------------------------------------------------------------------------------ */

void engine_advance(struct engine *engine, uint64_t now_ms)
{
    if (now_ms > engine->now_ms)
        engine->now_ms = now_ms;
    refill_spares(engine);
    wh_wheel_advance(&engine->wheel, engine->now_ms);
}

uint64_t engine_next_ms(const struct engine *engine)
{
    return wh_wheel_next_ms(&engine->wheel, engine->now_ms);
}
