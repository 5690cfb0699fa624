/*
 * The loop is never run: a turn is one call of its own prepare callback, which is what libuv does
 * before it sleeps.  uv_update_time is ours, so that the loop's time moves only by hub_advance.
 */
#include "hub_fixture.h"

#include "common/base/clock.h"
#include "common/protocol/codec.h"

#include <stdio.h>
#include <stdlib.h>

enum { FLAGS_MAX = 32 };

static const char base_config[] =
    "client:\n"
    "  allow_anonymous_connect_without_token: true\n"
    "  token: {hmac_secret_key: \"" HUB_SECRET "\"}\n"
    "channel:\n"
    "  without_namespace: &open\n"
    "    allow_subscribe_for_client: true\n"
    "    allow_subscribe_for_anonymous: true\n"
    "    allow_publish_for_client: true\n"
    "    allow_publish_for_anonymous: true\n"
    "  namespaces:\n"
    "    - name: closed\n"
    "    - {name: json, publication_data_format: json, allow_subscribe_for_client: true,\n"
    "       allow_subscribe_for_anonymous: true, allow_publish_for_client: true,\n"
    "       allow_publish_for_anonymous: true}\n"
    "    - {name: talk, allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true,\n"
    "       allow_publish_for_subscriber: true, allow_publish_for_anonymous: true}\n";

void uv_update_time(uv_loop_t *loop)
{
    (void)loop;
}

/* Start and end */

struct config *hub_config(const char *const *flags)
{
    char *argv[FLAGS_MAX];
    struct wh_config_source source = {
        .path = "fixture.yaml",
        .argv = argv,
        .text = WH_SLICE_LITERAL(base_config),
    };
    while (flags && flags[source.argc]) {
        assert_true(source.argc < FLAGS_MAX);
        argv[source.argc] = (char *)(uintptr_t)flags[source.argc];
        source.argc++;
    }
    struct config *config = NULL;
    struct wh_buf problems = {0};
    if (config_load(&source, &config, &problems))
        fail_msg("%s", wh_buf_cstr(&problems));
    wh_buf_deinit(&problems);
    return config;
}

static enum wh_err make_broker(struct node *node,
                               const struct broker_events *events,
                               struct broker **out_broker)
{
    *out_broker = &fake_broker_new(node->loop, events)->base;
    return WH_OK;
}

static void set_time(struct hub *hub, uint64_t now_ms, int64_t wall_ms)
{
    hub->loop.uv.time = now_ms;
    wh_clock_set_fake(now_ms, wall_ms);
}

static enum wh_err make_memory_broker(struct node *node,
                                      const struct broker_events *events,
                                      struct broker **out_broker)
{
    return broker_memory_new(node->loop, node->id, events, out_broker);
}

static void start(struct hub *hub, va_list args, node_broker_maker *maker)
{
    const char *flags[FLAGS_MAX] = {0};
    for (int i = 0; i < FLAGS_MAX && (flags[i] = va_arg(args, const char *)) != NULL; i++)
        ;
    *hub = (struct hub){.config = hub_config(flags)};
    wh_list_init(&hub->clients);
    wh_log_set_level(WH_LOG_NONE);
    assert_int_equal(wh_loop_init(&hub->loop), WH_OK);
    set_time(hub, wh_loop_now_ms(&hub->loop), HUB_WALL_START_S * 1000);
    assert_int_equal(metrics_shared_new(1, &hub->shared), WH_OK);
    hub->metrics = metrics_open(hub->shared, 0);
    struct wh_buf problem = {0};
    assert_int_equal(node_init_with(&hub->node, &hub->loop, hub->config, hub->metrics, hub->shared,
                                    maker, &problem),
                     WH_OK);
    wh_buf_deinit(&problem);
}

void hub_start(struct hub *hub, ...)
{
    va_list args;
    va_start(args, hub);
    start(hub, args, make_broker);
    va_end(args);
    hub->broker = WH_CONTAINER_OF(hub->node.broker, struct fake_broker, base);
    hub->broker->events.on_state(hub->broker->events.user, true, "");
}

void hub_start_with_streams(struct hub *hub, ...)
{
    va_list args;
    va_start(args, hub);
    start(hub, args, make_memory_broker);
    va_end(args);
    hub_turn(hub);
}

static void on_published(void *user, enum wh_err err, const struct broker_position *position)
{
    (void)user;
    (void)position;
    assert_int_equal(err, WH_OK);
}

void hub_publish(struct hub *hub, const char *channel, const struct wh_pub *pub)
{
    static const struct broker_publish_options options = {
        .history_size = 100,
        .history_ttl_ms = 60000,
        .meta_ttl_ms = 60000,
    };
    struct broker *broker = hub->node.broker;
    broker->ops->publish(broker, wh_slice_from_str(channel), pub, &options, on_published, NULL);
    hub_turn(hub);
}

static void on_closed(void *user)
{
    ((struct hub *)user)->is_closed = true;
}

void hub_stop(struct hub *hub)
{
    static const enum metric gauges[] = {
        METRIC_CONNECTIONS_JSON,
        METRIC_CONNECTIONS_MSGPACK,
        METRIC_CONNECTIONS_PROTOBUF,
        METRIC_USERS,
        METRIC_CHANNELS,
        METRIC_SUBSCRIPTIONS,
        METRIC_QUEUE_BYTES,
    };
    node_close(&hub->node, on_closed, hub);
    hub_turn(hub);
    struct wh_list *link;
    while ((link = hub->clients.next) != &hub->clients)
        fake_transport_free(WH_CONTAINER_OF(link, struct fake_transport, link));
    hub_turn(hub);
    if (hub->node.tracing) /* its exporter ends a moment later when no span is left */
        hub_advance(hub, 200);
    assert_true(hub->is_closed);
    assert_int_equal(hub->node.session_count, 0);
    assert_int_equal(hub->loop.wheel.count, 0);
    for (size_t i = 0; i < COUNT(gauges); i++)
        assert_int_equal(hub_metric(hub, gauges[i]), 0);
    node_deinit(&hub->node);
    wh_loop_deinit(&hub->loop);
    metrics_shared_free(hub->shared);
    config_free(hub->config);
    wh_clock_set_real();
}

/* Time */

void hub_turn(struct hub *hub)
{
    hub->loop.before_sleep.prepare_cb(&hub->loop.before_sleep);
}

void hub_advance(struct hub *hub, uint64_t ms)
{
    uint64_t now = wh_loop_now_ms(&hub->loop), end = now + ms;
    hub_turn(hub);
    while (now < end) {
        uint64_t step = wh_wheel_next_ms(&hub->loop.wheel, now);
        if (step == 0)
            step = 1;
        if (step > end - now)
            step = end - now;
        now += step;
        set_time(hub, now, wh_clock_wall_ms() + (int64_t)step);
        wh_wheel_advance(&hub->loop.wheel, now);
        hub_turn(hub);
    }
}

void hub_set_wall(struct hub *hub, int64_t wall_s)
{
    set_time(hub, wh_loop_now_ms(&hub->loop), wall_s * 1000);
}

int64_t hub_metric(const struct hub *hub, enum metric metric)
{
    return metrics_total(hub->shared, metric);
}

/* Clients */

struct fake_transport *hub_open(struct hub *hub, enum wh_encoding encoding)
{
    struct fake_transport *client = NULL;
    assert_int_equal(fake_transport_open(&hub->node, encoding, &client), WH_OK);
    wh_list_push_back(&hub->clients, &client->link);
    return client;
}

static struct hub *hub_of(struct fake_transport *client)
{
    assert_non_null(client->session);
    return WH_CONTAINER_OF(client->session->node, struct hub, node);
}

struct fake_transport *hub_connect(struct hub *hub, enum wh_encoding encoding)
{
    struct fake_transport *client = hub_open(hub, encoding);
    struct wh_connect_request request = {0};
    struct wh_arena arena = {0};
    client_command(client, &(struct wh_command){.id = 1, .connect = &request});
    hub_turn(hub);
    struct wh_reply reply = client_next(client, &arena);
    assert_int_equal(reply.id, 1);
    assert_non_null(reply.connect);
    wh_arena_deinit(&arena);
    return client;
}

struct fake_transport *hub_connect_as(struct hub *hub, const char *user)
{
    struct fake_transport *client = hub_open(hub, WH_ENCODING_JSON);
    struct wh_arena arena = {0};
    client_send(client, "{\"id\":1,\"connect\":{\"token\":\"%s\"}}",
                hub_token("{\"sub\":\"%s\"}", user));
    hub_turn(hub);
    assert_non_null(client_next(client, &arena).connect);
    wh_arena_deinit(&arena);
    return client;
}

void hub_cut(struct fake_transport *client)
{
    fake_transport_gone(client);
}

const char *hub_token(const char *claims_format, ...)
{
    static char token[4096];
    char claims[1024];
    struct wh_buf out = {0};
    va_list args;
    va_start(args, claims_format);
    vsnprintf(claims, sizeof(claims), claims_format, args);
    va_end(args);
    assert_int_equal(token_sign("HS256", WH_SLICE_LITERAL(HUB_SECRET), claims, &out), WH_OK);
    assert_true(out.len < sizeof(token));
    snprintf(token, sizeof(token), "%s", wh_buf_cstr(&out));
    wh_buf_deinit(&out);
    return token;
}

void client_send(struct fake_transport *client, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = malloc((size_t)len + 1);
    assert_non_null(text);
    va_start(args, format);
    vsnprintf(text, (size_t)len + 1, format, args);
    va_end(args);
    fake_transport_receive(client, wh_slice(text, (size_t)len));
    free(text);
}

void client_command(struct fake_transport *client, const struct wh_command *command)
{
    struct wh_buf message = {0};
    assert_int_equal(wh_encode(client->encoding, &wh_command_schema, command, 0, &message), WH_OK);
    fake_transport_receive(client, wh_buf_slice(&message));
    wh_buf_deinit(&message);
}

void client_subscribe(struct fake_transport *client, const char *channel)
{
    struct wh_subscribe_request request = {.channel = wh_slice_from_str(channel)};
    struct wh_arena arena = {0};
    client_command(client, &(struct wh_command){.id = 99, .subscribe = &request});
    hub_turn(hub_of(client));
    struct wh_reply reply = client_next(client, &arena);
    assert_int_equal(reply.id, 99);
    assert_non_null(reply.subscribe);
    wh_arena_deinit(&arena);
}

void client_expect(struct fake_transport *client, const char *text)
{
    enum wh_opcode opcode;
    struct wh_slice message;
    if (client->session)
        hub_turn(hub_of(client));
    if (text == NULL && fake_transport_next_reply(client, &opcode, &message))
        fail_msg("unexpected: %.*s", WH_SLICE_ARGS(message));
    while (text) { /* a line a message, however they are packed */
        struct wh_slice line = wh_slice(text, strcspn(text, "\n"));
        text = text[line.len] ? text + line.len + 1 : NULL;
        if (!fake_transport_next_reply(client, &opcode, &message))
            fail_msg("nothing came, expected: %.*s", WH_SLICE_ARGS(line));
        if (!wh_slice_equal(message, line))
            fail_msg("got:      %.*s\nexpected: %.*s", WH_SLICE_ARGS(message), WH_SLICE_ARGS(line));
        assert_int_equal(opcode, WH_OPCODE_TEXT);
    }
}

void client_expect_closed(struct fake_transport *client, uint32_t code)
{
    hub_turn(hub_of(client));
    assert_true(client->is_closing);
    assert_int_equal(client->close_code, code);
    assert_string_equal(client->close_reason, wh_code_text(code));
    assert_int_equal(client->session->state, SESSION_CLOSING);
}

void client_expect_open(struct fake_transport *client)
{
    hub_turn(hub_of(client));
    assert_false(client->is_closing);
}

struct wh_reply client_next(struct fake_transport *client, struct wh_arena *arena)
{
    enum wh_opcode opcode;
    struct wh_slice payload;
    struct wh_reply reply = {0};
    if (!fake_transport_next_reply(client, &opcode, &payload))
        fail_msg("nothing came");
    assert_int_equal(opcode, wh_encoding_opcode(client->encoding));
    assert_int_equal(wh_decode(client->encoding, &wh_reply_schema, &payload, arena, &reply), WH_OK);
    return reply;
}
