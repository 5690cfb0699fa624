#include "tests/support/fake_client.h"

#include "client-sdk/src/url.h"
#include "common/base/alloc.h"

#include <stdio.h>
#include <stdlib.h>

static void check(bool claim, const char *what)
{
    if (claim)
        return;
    (void)fprintf(stderr, "fake_client: %s\n", what);
    abort();
}

static struct wh_client *client_of(const struct engine *engine)
{
    return WH_CONTAINER_OF(engine, struct wh_client, engine);
}

/* ---- shell --------------------------------------------------------------------------------- */

struct engine *client_lock(struct wh_client *client)
{
    check(client->transport != NULL, "called after transport_ws_free");
    check(!client->is_locked, "locked twice");
    client->is_locked = true;
    return &client->engine;
}

void client_unlock(struct wh_client *client)
{
    check(client->is_locked, "unlocked without lock");
    client->is_locked = false;
    if (client->on_unlock)
        client->on_unlock(client);
}

bool client_wants_to_read(struct wh_client *client)
{
    return !client->is_paused;
}

const struct settings *client_settings(const struct wh_client *client)
{
    return &client->settings;
}

/* ---- engine -------------------------------------------------------------------------------- */

/* The client when the news is of its present connection. */
static struct wh_client *told(struct engine *engine, uint32_t connection)
{
    struct wh_client *client = client_of(engine);
    check(client->is_locked, "told without lock");
    check(connection == client->connection, "told of another connection");
    return client;
}

void engine_opened(struct engine *engine, uint32_t connection, enum wh_encoding encoding)
{
    struct wh_client *client = told(engine, connection);
    client->opened++;
    client->encoding = encoding;
}

void engine_received(struct engine *engine, uint32_t connection, struct message *message)
{
    struct wh_client *client = told(engine, connection);
    if (client->message_count < FAKE_MESSAGES_MAX)
        client->messages[client->message_count++] = message;
    else
        message_unref(message);
}

void engine_closed(struct engine *engine,
                   uint32_t connection,
                   uint32_t code,
                   struct wh_slice reason,
                   const struct wh_error *error)
{
    struct wh_client *client = told(engine, connection);
    client->closed++;
    client->code = code;
    (void)snprintf(client->reason, sizeof client->reason, "%.*s", WH_SLICE_ARGS(reason));
    client->error = error ? *error : (struct wh_error){0};
}

void engine_too_big(struct engine *engine, uint32_t connection)
{
    told(engine, connection)->too_big++;
}

void engine_pong(struct engine *engine, uint32_t connection, uint32_t rtt_us)
{
    struct wh_client *client = told(engine, connection);
    client->pongs++;
    client->rtt_us = rtt_us;
}

bool engine_take_frame(struct engine *engine, struct wh_buf *frame)
{
    struct wh_client *client = client_of(engine);
    check(client->is_locked, "asked without lock");
    if (client->frames_taken == client->frame_count)
        return false;
    size_t i = client->frames_taken++;
    wh_buf_append(frame, client->frames[i], client->frame_len[i]);
    return true;
}

/* ---- driving it ---------------------------------------------------------------------------- */

void fake_client_init(struct wh_client *client, struct service *service, const char *url)
{
    struct wh_error detail = {.text = "?"};
    struct settings *settings = &client->settings;
    memset(client, 0, sizeof *client);
    client->service = service;
    wh_arena_init(&settings->arena, 0);
    check(url_parse(wh_slice_from_str(url), &settings->arena, &settings->urls[0], &detail) == WH_OK,
          detail.text);
    settings->url_count = 1;
    settings->connect_timeout_ms = 10000;
    settings->close_timeout_ms = 250;
    settings->message_bytes_max = 1 << 20;
    settings->proxy = "";
    check(transport_ws_new(service, client, &client->transport) == WH_OK, "no transport");
}

void fake_free_transport(struct wh_client *client)
{
    transport_ws_free(client->transport);
    client->transport = NULL;
}

void fake_client_deinit(struct wh_client *client)
{
    fake_free_transport(client);
    for (size_t i = 0; i < client->message_count; i++)
        message_unref(client->messages[i]);
    wh_arena_deinit(&client->settings.arena);
}

void fake_open(struct wh_client *client)
{
    const struct engine_action action = {.kind = ENGINE_OPEN, .connection = ++client->connection};
    transport_ws_ops.open(client->transport, &action);
}

void fake_set_reading(struct wh_client *client, bool is_reading)
{
    client->is_paused = !is_reading;
    transport_ws_ops.set_reading(client->transport, is_reading);
}

void fake_close(struct wh_client *client, uint16_t code, const char *reason)
{
    const struct engine_action action = {
        .kind = ENGINE_CLOSE, .connection = client->connection, .code = code, .reason = reason};
    transport_ws_ops.close(client->transport, &action);
}

void fake_send(struct wh_client *client, const char *text, size_t len)
{
    check(client->frame_count < FAKE_FRAMES_MAX, "too many frames");
    client->frames[client->frame_count] = text;
    client->frame_len[client->frame_count++] = len;
    transport_ws_ops.want_write(client->transport);
}
