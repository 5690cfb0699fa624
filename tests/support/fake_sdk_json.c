#include "tests/support/fake_sdk.h"

#include "common/protocol/codec.h"
#include "common/protocol/json.h"

#include <stdio.h>

/* The harness has memory when the library has none. */
static void harness(struct fake_sdk *fake, bool is_inside)
{
    if (fake->on_harness)
        fake->on_harness(is_inside);
}

/* ---- frames ---------------------------------------------------------------------------------- */

static void bare_text(struct fake_sdk *fake, struct wh_arena *arena, struct wh_pub *pub)
{
    struct wh_json_reader reader;
    struct wh_slice text;
    wh_json_reader_init(&reader, pub->data.bytes);
    if (fake->engine.encoding == WH_ENCODING_JSON ||
        wh_json_read_string(&reader, arena, &text) != WH_OK)
        return;
    pub->data = (struct wh_payload){WH_PAYLOAD_BYTES, text};
}

static void bare_texts(struct fake_sdk *fake, struct wh_arena *arena, struct wh_reply *reply)
{
    if (reply->push && reply->push->pub)
        bare_text(fake, arena, reply->push->pub);
    for (size_t i = 0; reply->subscribe && i < reply->subscribe->publications.count; i++)
        bare_text(fake, arena, &reply->subscribe->publications.items[i]);
}

static void encode_reply(struct fake_sdk *fake, const json_t *reply, struct wh_buf *out)
{
    struct wh_arena arena = {0};
    char *text = json_dumps(reply, JSON_COMPACT | JSON_ENCODE_ANY);
    struct wh_reply decoded = {0};
    WH_ASSERT(wh_decode_whole(WH_ENCODING_JSON, &wh_reply_schema, wh_slice_from_str(text), &arena,
                              &decoded) == WH_OK);
    if (fake->has_bare_texts)
        bare_texts(fake, &arena, &decoded);
    WH_ASSERT(wh_encode(fake->engine.encoding, &wh_reply_schema, &decoded, 0, out) == WH_OK);
    free(text);
    wh_arena_deinit(&arena);
}

void fake_sdk_receive(struct fake_sdk *fake, uint32_t connection, const json_t *reply)
{
    struct wh_buf frame = {0};
    size_t count = json_is_array(reply) ? json_array_size(reply) : 1;
    harness(fake, true);
    for (size_t i = 0; i < count; i++)
        encode_reply(fake, json_is_array(reply) ? json_array_get(reply, i) : reply, &frame);
    harness(fake, false);
    fake_sdk_receive_on(fake, connection, frame.ptr, frame.len);
    wh_buf_deinit(&frame);
}

json_t *fake_sdk_take_frame(struct fake_sdk *fake)
{
    struct wh_buf frame = {0}, text = {0};
    struct wh_arena arena = {0};
    enum wh_encoding encoding = fake->engine.encoding;
    if (!engine_take_frame(&fake->engine, &frame)) {
        wh_buf_deinit(&frame);
        return NULL;
    }
    harness(fake, true);
    struct wh_slice rest = wh_buf_slice(&frame);
    json_t *commands = json_array();
    for (;;) {
        struct wh_command command = {0};
        enum wh_err err = wh_decode(encoding, &wh_command_schema, &rest, &arena, &command);
        if (err == WH_EEND)
            break;
        WH_ASSERT(err == WH_OK);
        wh_buf_reset(&text);
        err = wh_encode(WH_ENCODING_JSON, &wh_command_schema, &command, 0, &text);
        WH_ASSERT(err == WH_OK);
        json_array_append_new(commands, json_loadb(text.ptr, text.len, 0, NULL));
    }
    wh_buf_deinit(&frame);
    wh_buf_deinit(&text);
    wh_arena_deinit(&arena);
    harness(fake, false);
    return commands;
}

/* ---- events ---------------------------------------------------------------------------------- */

static void set_data(json_t *object, const char *key, const struct wh_data *data)
{
    struct wh_payload payload;
    struct wh_buf text = {0};
    if (!data->ptr)
        return;
    WH_ASSERT(payload_of_data(*data, &payload) == WH_OK);
    json_t *value = NULL;
    if (wh_payload_encode(payload, WH_ENCODING_JSON, &text) == WH_OK)
        value = json_loadb(text.ptr, text.len, JSON_DECODE_ANY, NULL);
    if (!value) /* JSON cannot show it */
        value = json_pack("{s:s%}", "bytes", data->ptr, data->len);
    json_object_set_new(object, key, value ? value : json_string("(binary)"));
    wh_buf_deinit(&text);
}

static void set_error(json_t *object, const struct wh_error *error)
{
    json_object_set_new(object, "err", json_string(wh_err_name(error ? error->err : WH_OK)));
    if (!error)
        return;
    WH_ASSERT(error->text[0] != '\0');
    json_object_set_new(object, "code", json_integer(error->code));
    json_object_set_new(object, "temporary", json_boolean(error->temporary));
    json_object_set_new(object, "http_status", json_integer(error->http_status));
    json_object_set_new(object, "text", json_string(error->text));
}

static json_t *info_json(const struct wh_client_info *info)
{
    json_t *object = json_object();
    json_object_set_new(object, "user", json_string(info->user));
    json_object_set_new(object, "client", json_string(info->client));
    set_data(object, "conn_info", &info->conn_info);
    set_data(object, "chan_info", &info->chan_info);
    return object;
}

static void set_publication(json_t *object, const struct wh_publication *publication)
{
    json_object_set_new(object, "channel", json_string(publication->channel));
    set_data(object, "data", &publication->data);
    json_object_set_new(object, "offset", json_integer((json_int_t)publication->offset));
    if (publication->info)
        json_object_set_new(object, "info", info_json(publication->info));
    if (publication->time_ms)
        json_object_set_new(object, "time_ms", json_integer(publication->time_ms));
    if (publication->tag_count == 0)
        return;
    json_t *tags = json_object();
    for (size_t i = 0; i < publication->tag_count; i++)
        json_object_set_new(tags, publication->tags[i].key,
                            json_string(publication->tags[i].value));
    json_object_set_new(object, "tags", tags);
}

static void set_outcome(json_t *object, const struct call_outcome *outcome, enum pending_kind kind)
{
    set_error(object, outcome->error);
    if (outcome->error)
        return;
    set_data(object, "data", &outcome->data);
    if (kind == PENDING_PRESENCE_STATS) {
        json_object_set_new(object, "clients", json_integer(outcome->stats.clients));
        json_object_set_new(object, "users", json_integer(outcome->stats.users));
    }
    if (kind == PENDING_PRESENCE) {
        json_t *clients = json_array();
        for (size_t i = 0; i < outcome->presence.count; i++)
            json_array_append_new(clients, info_json(&outcome->presence.clients[i]));
        json_object_set_new(object, "clients", clients);
    }
    if (kind != PENDING_HISTORY)
        return;
    json_t *publications = json_array();
    for (size_t i = 0; i < outcome->history.count; i++) {
        json_t *publication = json_object();
        set_publication(publication, &outcome->history.publications[i]);
        json_array_append_new(publications, publication);
    }
    json_object_set_new(object, "publications", publications);
    json_object_set_new(object, "offset",
                        json_integer((json_int_t)outcome->history.position.offset));
    json_object_set_new(object, "epoch", json_string(outcome->history.position.epoch));
}

static void set_subscribed(json_t *object, const struct wh_subscribed *subscribed)
{
    json_object_set_new(object, "recoverable", json_boolean(subscribed->recoverable));
    json_object_set_new(object, "positioned", json_boolean(subscribed->positioned));
    json_object_set_new(object, "was_recovering", json_boolean(subscribed->was_recovering));
    json_object_set_new(object, "recovered", json_boolean(subscribed->recovered));
    json_object_set_new(object, "lost", json_boolean(wh_subscribed_lost(subscribed)));
    json_object_set_new(object, "offset", json_integer((json_int_t)subscribed->position.offset));
    if (subscribed->position.epoch)
        json_object_set_new(object, "epoch", json_string(subscribed->position.epoch));
    set_data(object, "data", &subscribed->data);
}

static void set_call(json_t *object, const struct event *event)
{
    const struct call *call = event->u.call.call;
    const struct fake_call *named = call->user;
    json_object_set_new(object, "call", json_string(named->name));
    json_object_set_new(object, "canceled", json_boolean(call->is_canceled));
    set_outcome(object, &event->u.call.outcome, call->kind);
}

static void set_connected(json_t *object, const struct wh_connected *connected)
{
    json_object_set_new(object, "client", json_string(connected->client));
    json_object_set_new(object, "version", json_string(connected->version));
    json_object_set_new(object, "encoding", json_string(wh_encoding_name(connected->encoding)));
    set_data(object, "data", &connected->data);
}

static void set_contents(json_t *object, const struct event *event)
{
    switch (event->kind) {
    case EVENT_CONNECTING:
    case EVENT_DISCONNECTED:
    case EVENT_SUBSCRIBING:
    case EVENT_UNSUBSCRIBED:
        json_object_set_new(object, "code", json_integer(event->u.transition.code));
        if (event->u.transition.reason)
            json_object_set_new(object, "reason", json_string(event->u.transition.reason));
        json_object_set_new(object, "retry_ms", json_integer(event->u.transition.retry_ms));
        break;
    case EVENT_CONNECTED:
        set_connected(object, &event->u.connected);
        break;
    case EVENT_ERROR:
    case EVENT_SUB_ERROR:
        set_error(object, &event->u.error);
        break;
    case EVENT_MESSAGE:
        set_data(object, "data", &event->u.data);
        break;
    case EVENT_SUBSCRIBED:
        set_subscribed(object, &event->u.subscribed);
        break;
    case EVENT_PUBLICATION:
        set_publication(object, &event->u.publication);
        break;
    case EVENT_JOIN:
    case EVENT_LEAVE:
        json_object_set_new(object, "info", info_json(&event->u.info));
        break;
    case EVENT_CALL:
        set_call(object, event);
        break;
    default: /* there is no more to it */
        break;
    }
}

/* As the callbacks are called; those of server-side subscriptions are the client's. */
static const char *event_name(const struct event *event)
{
    static const char *const names[EVENT_KIND_COUNT] = {
        [EVENT_CONNECTING] = "connecting",
        [EVENT_CONNECTED] = "connected",
        [EVENT_DISCONNECTED] = "disconnected",
        [EVENT_ERROR] = "error",
        [EVENT_MESSAGE] = "message",
        [EVENT_GET_TOKEN] = "get_token",
        [EVENT_SUBSCRIBING] = "subscribing",
        [EVENT_SUBSCRIBED] = "subscribed",
        [EVENT_UNSUBSCRIBED] = "unsubscribed",
        [EVENT_PUBLICATION] = "publication",
        [EVENT_JOIN] = "join",
        [EVENT_LEAVE] = "leave",
        [EVENT_SUB_ERROR] = "sub_error",
        [EVENT_SUB_GET_TOKEN] = "sub_get_token",
        [EVENT_SUB_GET_STATE] = "sub_get_state",
        [EVENT_CALL] = "call",
        [EVENT_FREE_USER] = "free_user",
    };
    static const char *const of_server[EVENT_KIND_COUNT] = {
        [EVENT_SUBSCRIBING] = "server_subscribing",
        [EVENT_SUBSCRIBED] = "server_subscribed",
        [EVENT_UNSUBSCRIBED] = "server_unsubscribed",
        [EVENT_PUBLICATION] = "server_publication",
        [EVENT_JOIN] = "server_join",
        [EVENT_LEAVE] = "server_leave",
    };
    return !event->sub && of_server[event->kind] ? of_server[event->kind] : names[event->kind];
}

static json_t *event_json(const struct event *event)
{
    json_t *object = json_object();
    json_object_set_new(object, "event", json_string(event_name(event)));
    if (event->sub)
        json_object_set_new(object, "channel", json_string(event->sub->channel));
    else if (event->channel)
        json_object_set_new(object, "channel", json_string(event->channel));
    set_contents(object, event);
    return object;
}

json_t *fake_sdk_begin_json(struct fake_sdk *fake)
{
    if (json_array_size(fake->completions) > 0) {
        json_t *completion = json_incref(json_array_get(fake->completions, 0));
        json_array_remove(fake->completions, 0);
        return completion;
    }
    const struct event *event = fake_sdk_begin_event(fake);
    if (!event)
        return NULL;
    harness(fake, true);
    json_t *object = event_json(event);
    harness(fake, false);
    return object;
}

json_t *fake_sdk_take_event(struct fake_sdk *fake)
{
    json_t *object = fake_sdk_begin_json(fake);
    fake_sdk_end_event(fake);
    return object;
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void on_done(struct wh_client *client, const struct wh_error *error, void *user)
{
    (void)client;
    (void)error;
    (void)user;
}

static void on_user_free(void *user)
{
    struct fake_call *call = user;
    call->fake->users_freed++;
}

static void on_completion(void *user, const struct call_outcome *outcome)
{
    struct fake_call *call = user;
    json_t *object = json_object();
    harness(call->fake, true);
    json_object_set_new(object, "event", json_string("completion"));
    json_object_set_new(object, "call", json_string(call->name));
    set_outcome(object, outcome, call->call->kind);
    json_array_append_new(call->fake->completions, object);
    harness(call->fake, false);
}

static enum pending_kind kind_of(const char *name)
{
    static const struct {
        const char *name;
        enum pending_kind kind;
    } kinds[] = {
        {"publish", PENDING_PUBLISH},
        {"rpc", PENDING_RPC},
        {"history", PENDING_HISTORY},
        {"presence", PENDING_PRESENCE},
        {"presence_stats", PENDING_PRESENCE_STATS},
        {"ping", PENDING_PING},
    };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kinds[i].name, name) == 0)
            return kinds[i].kind;
    }
    return PENDING_CONNECT;
}

struct fake_call *fake_sdk_find_call(struct fake_sdk *fake, const char *name)
{
    for (size_t i = fake->call_count; i-- > 0;) {
        if (strcmp(fake->calls[i].name, name) == 0)
            return &fake->calls[i];
    }
    return NULL;
}

static struct call *new_call(struct fake_sdk *fake, const json_t *step)
{
    struct call *call = call_new(&fake->client);
    if (!call)
        return NULL;
    WH_ASSERT(fake->call_count < FAKE_SDK_CALLS_MAX);
    struct fake_call *named = &fake->calls[fake->call_count++];
    const char *name = json_string_value(json_object_get(step, "name"));
    snprintf(named->name, sizeof(named->name), "%s", name ? name : "");
    named->fake = fake;
    named->call = call;
    call->user = named;
    if (json_is_true(json_object_get(step, "sync"))) {
        call->completion = on_completion;
    } else {
        call->cb.done = on_done; /* never run here: only which member is set counts */
        call->user_free = on_user_free;
    }
    return call;
}

static struct wh_data data_of(const json_t *step, char **out_text)
{
    const json_t *data = json_object_get(step, "data");
    const char *raw = json_string_value(json_object_get(step, "raw"));
    const char *bytes = json_string_value(json_object_get(step, "bytes"));
    *out_text = data ? json_dumps(data, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    if (bytes)
        return wh_bytes(bytes, strlen(bytes));
    return wh_json(raw ? raw : *out_text);
}

enum wh_err fake_sdk_call(struct fake_sdk *fake, const json_t *step)
{
    char *text;
    const char *kind = json_string_value(json_object_get(step, "call"));
    const char *channel = json_string_value(json_object_get(step, "channel"));
    const char *method = json_string_value(json_object_get(step, "method"));
    const json_t *since = json_object_get(step, "since");
    struct wh_position position = {
        (uint64_t)json_integer_value(json_object_get(since, "offset")),
        json_string_value(json_object_get(since, "epoch")),
    };
    struct wh_history_options history = {
        .size = sizeof(history),
        .limit = (int32_t)json_integer_value(json_object_get(step, "limit")),
        .reverse = json_is_true(json_object_get(step, "reverse")),
        .since = since ? &position : NULL,
    };
    struct call_request request = {
        .kind = kind_of(kind),
        .channel = channel ? channel : method,
        .data = data_of(step, &text),
        .history = &history,
        .timeout_ms = (uint32_t)json_integer_value(json_object_get(step, "timeout_ms")),
    };
    const char *sub = json_string_value(json_object_get(step, "sub"));
    if (sub)
        request.sub = sub_find(&fake->engine, wh_slice_from_str(sub));
    enum wh_err err;
    if (strcmp(kind, "send") == 0) {
        err = engine_send(&fake->engine, request.data);
    } else {
        struct call *call = new_call(fake, step);
        bool has_sub = !sub || request.sub; /* without memory there may be none */
        err = call && has_sub ? engine_call(&fake->engine, &request, call) : WH_ENOMEM;
    }
    free(text);
    return err;
}
