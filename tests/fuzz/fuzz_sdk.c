/*
 * Any server, any time, any program: the bytes are a script of what happens to
 * an engine with subscriptions, calls and tokens.  It must neither crash nor leak, and the
 * events that come out must be whole.
 */
#include "client-sdk/src/shell.h"
#include "client-sdk/src/sub.h"
#include "client-sdk/src/tokens.h"
#include "client-sdk/src/trace.h"

enum { REQUESTS_MAX = 64, STEPS_MAX = 512 };

struct script {
    const uint8_t *at;
    const uint8_t *end;
};

static struct engine engine;
static struct settings settings;
static struct wh_token_request *token_requests[REQUESTS_MAX];
static struct wh_state_request *state_requests[REQUESTS_MAX];
static size_t token_request_count, state_request_count;
static size_t client_refs;

/* ---- the shell that the engine expects ---------------------------------------------------------
 */

struct engine *client_lock(struct wh_client *client)
{
    (void)client;
    return &engine;
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
    (void)client;
    client_refs++;
}

void client_unref(struct wh_client *client)
{
    (void)client;
    client_refs--;
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
    return false;
}

void trace_line(enum wh_severity severity,
                const char *area,
                const char *event,
                const char *fields_format,
                ...)
{
    (void)severity;
    (void)area;
    (void)event;
    (void)fields_format;
}

/* ---- the script --------------------------------------------------------------------------------
 */

static uint8_t take_u8(struct script *script)
{
    return script->at < script->end ? *script->at++ : 0;
}

static uint32_t take_u16(struct script *script)
{
    uint32_t high = take_u8(script);
    return high << 8 | take_u8(script);
}

static struct wh_slice take_bytes(struct script *script)
{
    size_t len = take_u16(script), left = (size_t)(script->end - script->at);
    struct wh_slice bytes = wh_slice(script->at, len < left ? len : left);
    script->at += bytes.len;
    return bytes;
}

static void read_text(const char *text)
{
    WH_ASSERT(!text || strlen(text) < SIZE_MAX);
}

/* Every byte that a callback would get. */
static size_t look_at_publication(const struct wh_publication *publication)
{
    size_t sum = publication->data.len;
    read_text(publication->channel);
    for (size_t i = 0; i < publication->data.len; i++)
        sum += ((const unsigned char *)publication->data.ptr)[i];
    for (size_t i = 0; i < publication->tag_count; i++) {
        read_text(publication->tags[i].key);
        read_text(publication->tags[i].value);
    }
    if (publication->info)
        read_text(publication->info->user);
    return sum;
}

static void look_at(struct event *event)
{
    read_text(event->channel);
    switch (event->kind) {
    case EVENT_CONNECTING:
    case EVENT_DISCONNECTED:
    case EVENT_SUBSCRIBING:
    case EVENT_UNSUBSCRIBED:
        read_text(event->u.transition.reason);
        break;
    case EVENT_ERROR:
    case EVENT_SUB_ERROR:
        WH_ASSERT(event->u.error.text[0] != '\0');
        break;
    case EVENT_PUBLICATION:
        look_at_publication(&event->u.publication);
        break;
    case EVENT_GET_TOKEN:
    case EVENT_SUB_GET_TOKEN:
        if (token_request_count < REQUESTS_MAX)
            token_requests[token_request_count++] = token_request_take(event);
        break;
    case EVENT_SUB_GET_STATE:
        if (state_request_count < REQUESTS_MAX)
            state_requests[state_request_count++] = state_request_take(event);
        break;
    case EVENT_CALL:
        for (size_t i = 0; i < event->u.call.outcome.history.count; i++)
            look_at_publication(&event->u.call.outcome.history.publications[i]);
        break;
    default:
        break;
    }
}

static void drain(void)
{
    struct wh_buf frame = {0};
    struct event *event;
    while (engine_take_action(&engine).kind != ENGINE_NO_ACTION)
        ;
    while (engine_take_frame(&engine, &frame))
        wh_buf_reset(&frame);
    wh_buf_deinit(&frame);
    engine_take_ping(&engine);
    while ((event = engine_take_event(&engine))) {
        look_at(event);
        if (event->sub && sub_wants(event->sub, event))
            sub_delivered(event->sub, event);
        event_free(event);
    }
    WH_ASSERT(engine.events.bytes == 0 && engine.events.count == 0);
}

static void answer_tokens(uint8_t how)
{
    while (token_request_count > 0) {
        struct wh_token_request *request = token_requests[--token_request_count];
        if (how % 3 == 0)
            wh_token_ok(request, "token");
        else if (how % 3 == 1)
            wh_token_error(request, "later");
        else
            wh_token_unauthorized(request);
    }
    while (state_request_count > 0) {
        struct wh_state_request *request = state_requests[--state_request_count];
        const struct wh_position position = {how, "e"};
        if (how % 2 == 0)
            wh_state_ok(request, &position);
        else
            wh_state_error(request, "later");
    }
}

static void receive(struct wh_slice bytes)
{
    struct message *message = message_new(NULL, bytes.len, true);
    if (bytes.len > 0)
        memcpy(message->bytes, bytes.ptr, bytes.len);
    engine_received(&engine, engine.connection, message);
}

/* The reply that lets the engine go on, so that mutations get behind the handshake. */
static void accept_connect(struct script *script)
{
    struct wh_connect_result result = {
        .client = WH_SLICE_LITERAL("c"),
        .version = WH_SLICE_LITERAL("v"),
        .ping = take_u8(script) % 8,
        .pong = true,
        .expires = true,
        .ttl = take_u8(script),
    };
    struct wh_reply reply = {.id = engine.next_command_id, .connect = &result};
    struct wh_buf frame = {0};
    engine_opened(&engine, engine.connection, settings.encoding);
    if (!wh_list_is_empty(&engine.sent))
        reply.id = WH_CONTAINER_OF(engine.sent.next, struct pending, link)->id;
    WH_ASSERT(wh_encode(engine.encoding, &wh_reply_schema, &reply, 0, &frame) == WH_OK);
    receive(wh_buf_slice(&frame));
    wh_buf_deinit(&frame);
}

static struct wh_sub *some_sub(uint8_t which)
{
    static const char *const channels[] = {"a", "b", "$private", "news:1"};
    static const struct wh_sub_events events = {
        .size = sizeof(events),
        .get_token =
            (void (*)(struct wh_sub *, struct wh_token_request *, void *))(void (*)(void))read_text,
    };
    struct wh_sub_options options = {.size = sizeof(options),
                                     .recoverable = which & 4,
                                     .delta = which & 8,
                                     .events = which & 16 ? &events : NULL};
    const char *channel = channels[which % 4];
    struct wh_sub *sub = sub_find(&engine, wh_slice_from_str(channel));
    if (!sub && sub_new(&engine, channel, &options, &sub, NULL) != WH_OK)
        return NULL;
    return sub;
}

static void act_on_sub(uint8_t what, struct wh_sub *sub)
{
    if (!sub)
        return;
    if (what % 4 == 3)
        sub_forget(sub);
    else if (what % 4 == 2)
        sub_unsubscribe(sub, 0, "unsubscribe called");
    else
        (void)!sub_subscribe(sub);
}

static void no_callback(struct wh_client *client, const struct wh_error *error, void *user)
{
    (void)client;
    (void)error;
    (void)user;
}

static void start_call(struct script *script)
{
    uint8_t kind = take_u8(script), via = take_u8(script);
    struct wh_slice data = take_bytes(script);
    struct call *call = call_new(NULL);
    struct call_request request = {
        .kind = (enum pending_kind)(PENDING_PUBLISH + kind % 6),
        .channel = "channel",
        .sub = via & 1 ? some_sub(via >> 1) : NULL,
        .data = {data.ptr, data.len, kind >> 6, 0},
        .timeout_ms = via,
    };
    call->cb.done = no_callback;
    enum wh_err err = engine_call(&engine, &request, call);
    if (!err && (kind & 32))
        engine_cancel(&engine, call);
    call_unref(call);
}

static void step(struct script *script)
{
    uint32_t code;
    switch (take_u8(script) % 14) {
    case 0:
        engine_advance(&engine, engine.now_ms + take_u16(script));
        break;
    case 1:
        receive(take_bytes(script));
        break;
    case 2:
        accept_connect(script);
        break;
    case 3:
        code = take_u16(script);
        engine_closed(&engine, engine.connection, code, take_bytes(script), NULL);
        break;
    case 4:
        (void)!engine_connect(&engine);
        break;
    case 5:
        engine_disconnect(&engine);
        break;
    case 6:
        act_on_sub(take_u8(script), some_sub(take_u8(script)));
        break;
    case 7:
        start_call(script);
        break;
    case 8:
        answer_tokens(take_u8(script));
        break;
    case 9:
        drain();
        break;
    case 10:
        engine_reconnect_now(&engine);
        break;
    case 11:
        engine_pong(&engine, engine.connection, take_u16(script));
        break;
    case 12:
        (void)!engine_set_token(&engine, take_u8(script) % 2 ? "pushed" : NULL);
        break;
    default:
        engine_opened(&engine, engine.connection, (enum wh_encoding)(take_u8(script) % 3));
        break;
    }
}

static void get_token(struct wh_client *client, struct wh_token_request *request, void *user)
{
    (void)client;
    (void)request;
    (void)user;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct wh_client_events events = {.size = sizeof(events), .get_token = get_token};
    struct script script = {data, data + size};
    uint8_t how = take_u8(&script);
    struct wh_client_options options = {.size = sizeof(options),
                                        .url = "ws://a,ws://b",
                                        .encoding = (enum wh_encoding)(how % 3),
                                        .events = how & 4 ? &events : NULL,
                                        .no_reconnect = (how & 24) == 24,
                                        .event_queue_bytes_max = 4096};
    WH_ASSERT(settings_init(&settings, &options, NULL) == WH_OK);
    WH_ASSERT(engine_init(&engine, &settings, NULL, 1000) == WH_OK);
    if (how & 32) {
        act_on_sub(0, some_sub(how >> 3));
        WH_ASSERT(engine_connect(&engine) == WH_OK);
        answer_tokens(0);
        accept_connect(&script);
    }
    for (int i = 0; i < STEPS_MAX && script.at < script.end; i++)
        step(&script);
    engine_close(&engine);
    drain();
    answer_tokens(1);
    WH_ASSERT(client_refs == 0 && engine.pending_count == 0 && engine.unsent_bytes == 0);
    engine_deinit(&engine);
    settings_deinit(&settings);
    return 0;
}
