/*
 * Clients as the SDKs are.
 *
 * A client keeps epoch and offset of what it has, asks to recover from there
 * whenever it subscribes again, subscribes again after 2500 and connects
 * again after any close.  It believes nothing: see sim_judge.c.
 */
#include "sim_internal.h"

#include "common/protocol/codec.h"
#include "common/protocol/codes.h"
#include "hub/auth.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SERVER_SIDE = 2,
    FLAG_COMPACTION = 1,
    FLAG_MUST_RECOVER = 2,
    HISTORY_LIMIT = 5,
    DELIVERY_MS = 500
};

#define SECRET "a secret of the simulation, long enough for all"

static void come_back(struct sim_client *client, uint64_t delay_ms);

/* Commands */

static struct sim_command *command(struct sim_client *client,
                                   enum sim_command_kind kind,
                                   int channel)
{
    struct sim_command *command = calloc(1, sizeof(*command));
    WH_ASSERT(command != NULL);
    command->kind = kind;
    command->id = ++client->last_id;
    command->channel = channel;
    command->at_ms = client->sim->now_ms;
    wh_list_push_back(&client->waiting, &command->link);
    return command;
}

static void encode(struct sim_client *client, const struct wh_command *command)
{
    enum wh_err err = wh_encode(client->encoding, &wh_command_schema, command, 0, &client->frame);
    WH_ASSERT(err == WH_OK);
}

/* The commands so far leave as one message. */
static void send_frame(struct sim_client *client)
{
    if (client->frame.len > 0 && client->conn)
        sim_conn_send(client->conn, wh_buf_slice(&client->frame));
    wh_buf_reset(&client->frame);
}

static struct wh_slice name_of(int channel)
{
    return wh_slice_from_str(sim_channels[channel].name);
}

static void set_epoch(char out[SIM_EPOCH_MAX], struct wh_slice epoch)
{
    size_t len = epoch.len < SIM_EPOCH_MAX ? epoch.len : SIM_EPOCH_MAX - 1;
    if (len)
        memcpy(out, epoch.ptr, len);
    out[len] = '\0';
}

/* What a subscribe for this channel says, in a command of its own or in connect. */
static struct wh_subscribe_request wish(struct sim_client *client, int channel)
{
    struct sim *sim = client->sim;
    struct sim_sub *sub = &client->subs[channel];
    struct wh_subscribe_request request = {0};
    bool from_start = !sub->has_position && sim_chance(sim, 15);
    sub->is_recovering =
        sim_channels[channel].kind != SIM_LIVE && channel != 2 && (sub->has_position || from_start);
    sub->must_recover = sub->is_recovering && sim_chance(sim, 15);
    sub->is_compact = client->has_token; /* some do, some do not */
    sub->asked_offset = sub->has_position ? sub->offset : 0;
    set_epoch(sub->asked_epoch,
              sub->has_position ? wh_slice_from_str(sub->epoch) : WH_SLICE_LITERAL(""));
    request.recover = sub->is_recovering;
    request.offset = sub->is_recovering ? sub->asked_offset : 0;
    if (sub->is_recovering && sub->asked_epoch[0])
        request.epoch = wh_slice_from_str(sub->asked_epoch);
    return request;
}

static void subscribe(struct sim_client *client, int channel)
{
    struct sim_sub *sub = &client->subs[channel];
    struct wh_subscribe_request request = wish(client, channel);
    request.channel = name_of(channel);
    request.flag =
        (sub->is_compact ? FLAG_COMPACTION : 0) | (sub->must_recover ? FLAG_MUST_RECOVER : 0);
    struct sim_command *waiting = command(client, SIM_SUBSCRIBE, channel);
    sub->state = SIM_SUBSCRIBING;
    encode(client, &(struct wh_command){.id = waiting->id, .subscribe = &request});
    sim_trace(client->sim, "client %d: subscribe %s%s from %u %s", client->index,
              sim_channels[channel].name, sub->is_recovering ? ", recover" : "",
              (unsigned)sub->asked_offset, sub->asked_epoch);
}

static void unsubscribe(struct sim_client *client, int channel)
{
    struct wh_unsubscribe_request request = {.channel = name_of(channel)};
    struct sim_command *waiting = command(client, SIM_UNSUBSCRIBE, channel);
    client->subs[channel].state = SIM_UNSUBSCRIBING;
    encode(client, &(struct wh_command){.id = waiting->id, .unsubscribe = &request});
    sim_trace(client->sim, "client %d: unsubscribe %s", client->index, sim_channels[channel].name);
}

static void publish(struct sim_client *client, int channel)
{
    char text[SIM_TEXT_MAX];
    struct sim_command *waiting = command(client, SIM_PUBLISH, channel);
    waiting->publication = sim_publication_new(client->sim, channel);
    sim_write_id(waiting->publication, text);
    struct wh_publish_request request = {
        .channel = name_of(channel),
        .data = {.kind = WH_PAYLOAD_JSON, .bytes = wh_slice_from_str(text)},
    };
    encode(client, &(struct wh_command){.id = waiting->id, .publish = &request});
}

static void ask_history(struct sim_client *client, int channel)
{
    struct wh_history_request request = {.channel = name_of(channel), .limit = HISTORY_LIMIT};
    struct sim_command *waiting = command(client, SIM_HISTORY, channel);
    request.reverse = sim_chance(client->sim, 50);
    encode(client, &(struct wh_command){.id = waiting->id, .history = &request});
}

static void ask_presence(struct sim_client *client, int channel)
{
    struct wh_presence_request request = {.channel = name_of(channel)};
    struct sim_command *waiting = command(client, SIM_PRESENCE, channel);
    encode(client, &(struct wh_command){.id = waiting->id, .presence = &request});
}

/* Connection */

static const char *token(void)
{
    static struct wh_buf buf;
    if (buf.len == 0) {
        enum wh_err err =
            token_sign("HS256", WH_SLICE_LITERAL(SECRET),
                       "{\"sub\":\"ann\",\"channels\":[\"server:s\",\"server:t\"]}", &buf);
        WH_ASSERT(err == WH_OK);
    }
    return wh_buf_cstr(&buf);
}

static void subscribe_wanted(struct sim_client *client)
{
    for (int i = 0; i < SIM_CHANNELS; i++)
        if (client->subs[i].is_wanted && client->subs[i].state == SIM_UNSUBSCRIBED)
            subscribe(client, i);
}

static void connect_to(struct sim_client *client, struct sim_node *node)
{
    struct wh_connect_request request = {0};
    struct wh_slice keys[SIM_CHANNELS];
    struct wh_subscribe_request values[SIM_CHANNELS];
    client->conn = sim_conn_open(client, node);
    client->state = SIM_CONNECTING;
    client->last_id = 0;
    struct sim_command *waiting = command(client, SIM_CONNECT, -1);
    for (int i = 0; client->has_token && i < SIM_CHANNELS; i++) {
        struct sim_sub *sub = &client->subs[i];
        if (!sim_channels[i].is_server_side)
            continue;
        request.token = wh_slice_from_str(token());
        values[request.subs.count] = wish(client, i);
        keys[request.subs.count] = name_of(i);
        request.subs.count += sub->is_recovering;
        sub->must_recover = sub->is_compact = false;
        sub->state = SIM_SUBSCRIBING;
    }
    request.subs.keys = keys;
    request.subs.values = values;
    encode(client, &(struct wh_command){.id = waiting->id, .connect = &request});
    sim_trace(client->sim, "client %d: connect to node %d", client->index, node->index);
    if (sim_chance(client->sim, 60)) /* some send it all in one message */
        subscribe_wanted(client);
    send_frame(client);
}

static void on_return(struct sim *sim, void *data)
{
    struct sim_client *client = *(struct sim_client **)data;
    struct sim_node *node = &sim->nodes[sim_below(sim, (uint64_t)sim->node_count)];
    if (client->conn || client->is_retired)
        return;
    if (node->is_up)
        connect_to(client, node);
    else
        come_back(client, 100);
}

static void come_back(struct sim_client *client, uint64_t delay_ms)
{
    struct sim *sim = client->sim;
    if (!client->is_retired)
        sim_after(sim, delay_ms + sim_below(sim, 200), on_return, &client, sizeof(client));
}

static void forget_commands(struct sim_client *client)
{
    struct wh_list *link;
    while ((link = wh_list_pop_front(&client->waiting)) != NULL)
        free(WH_CONTAINER_OF(link, struct sim_command, link));
}

static bool is_expected_close(uint32_t code)
{
    return code == 0 || code == WH_DISCONNECT_SHUTDOWN || code == WH_DISCONNECT_SERVER_ERROR ||
           code == WH_DISCONNECT_SLOW || code == WH_DISCONNECT_INSUFFICIENT_STATE ||
           code == WH_DISCONNECT_NO_PONG || code == WH_DISCONNECT_CONNECTION_CLOSED ||
           code == WH_DISCONNECT_STALE;
}

void sim_client_closed(struct sim_client *client, struct sim_conn *conn, uint32_t code)
{
    if (client->conn != conn)
        return;
    sim_trace(client->sim, "client %d: connection ended, %u", client->index, code);
    if (!is_expected_close(code))
        sim_fail(client->sim, "client %d: closed with %u", client->index, code);
    if (code == WH_DISCONNECT_INSUFFICIENT_STATE)
        client->sim->report->told++;
    client->conn = NULL;
    client->state = SIM_DOWN;
    forget_commands(client);
    wh_buf_reset(&client->frame);
    for (int i = 0; i < SIM_CHANNELS; i++)
        client->subs[i].state = SIM_UNSUBSCRIBED;
    come_back(client, 0);
}

static void leave(struct sim_client *client)
{
    struct sim_conn *conn = client->conn;
    if (conn == NULL)
        return;
    sim_conn_drop(conn);
    sim_client_closed(client, conn, 0);
}

/* Replies */

static void take_recovered(struct sim_client *client,
                           int channel,
                           const struct wh_subscribe_result *result)
{
    struct sim *sim = client->sim;
    struct sim_sub *sub = &client->subs[channel];
    if (sub->asked_epoch[0] && strcmp(sub->asked_epoch, sub->epoch) != 0)
        sim_fail(sim, "client %d: %s: recovered %s from %s", client->index,
                 sim_channels[channel].name, sub->epoch, sub->asked_epoch);
    if (result->offset != sub->asked_offset)
        sim_fail(sim, "client %d: %s: recovered from %" PRIu64 ", not %" PRIu64, client->index,
                 sim_channels[channel].name, result->offset, sub->asked_offset);
    sim->report->recoveries++;
    sub->offset = sub->asked_offset;
    for (size_t i = 0; i < result->publications.count; i++)
        sim_judge_publication(client, channel, &result->publications.items[i]);
}

/* Only the newest counts: it, or nothing if the client has it. */
static void take_cached(struct sim_client *client,
                        int channel,
                        const struct wh_subscribe_result *result)
{
    struct sim *sim = client->sim;
    struct sim_sub *sub = &client->subs[channel];
    uint64_t had = sub->asked_offset;
    bool is_current = had == result->offset && strcmp(sub->asked_epoch, sub->epoch) == 0;
    if (result->publications.count == 0 && !is_current)
        sim_fail(sim, "client %d: %s: recovered without the newest publication", client->index,
                 sim_channels[channel].name);
    if (result->publications.count > 1)
        sim_fail(sim, "client %d: %s: more than the newest publication", client->index,
                 sim_channels[channel].name);
    if (result->publications.count == 0)
        return;
    sim->report->recoveries++;
    if (strcmp(sub->asked_epoch, sub->epoch) != 0) /* a stream that went back */
        sub->last_sequence = 0;
    sub->offset = result->publications.items[0].offset - 1;
    sim_judge_publication(client, channel, &result->publications.items[0]);
    if (sub->offset != result->offset)
        sim_fail(sim, "client %d: %s: the newest is %" PRIu64 ", the position %" PRIu64,
                 client->index, sim_channels[channel].name, sub->offset, result->offset);
}

static void take_subscribed(struct sim_client *client,
                            int channel,
                            const struct wh_subscribe_result *result)
{
    struct sim *sim = client->sim;
    struct sim_sub *sub = &client->subs[channel];
    enum sim_channel_kind kind = sim_channels[channel].kind;
    sim_trace(sim, "client %d: subscribed %s at %u %.*s%s, %zu publications", client->index,
              sim_channels[channel].name, (unsigned)result->offset, WH_SLICE_ARGS(result->epoch),
              result->recovered ? ", recovered" : "", result->publications.count);
    sub->state = SIM_SUBSCRIBED;
    sub->since_ms = sim->now_ms;
    sub->number = result->id;
    sub->is_positioned = result->positioned;
    if (result->positioned != (kind != SIM_LIVE))
        sim_fail(sim, "client %d: %s: positioned is %d", client->index, sim_channels[channel].name,
                 result->positioned);
    if (!result->positioned) {
        sub->last_sequence = 0;
        return;
    }
    if (!result->recovered)
        sub->last_sequence = 0;
    set_epoch(sub->epoch, result->epoch);
    sub->has_position = true;
    sim_judge_position(client, channel, result);
    sub->offset = result->offset;
    if (result->recovered && kind == SIM_STREAM)
        take_recovered(client, channel, result);
    else if (result->recovered)
        take_cached(client, channel, result);
    else if (result->publications.count)
        sim_fail(sim, "client %d: %s: publications without recovery", client->index,
                 sim_channels[channel].name);
}

static void on_retry(struct sim *sim, void *data)
{
    struct sim_client *client = *(struct sim_client **)data;
    (void)sim;
    if (client->state != SIM_READY)
        return;
    subscribe_wanted(client);
    send_frame(client);
}

static void retry_later(struct sim_client *client, uint64_t delay_ms)
{
    sim_after(client->sim, delay_ms, on_retry, &client, sizeof(client));
}

static void take_subscribe_error(struct sim_client *client, int channel, uint32_t code)
{
    struct sim *sim = client->sim;
    struct sim_sub *sub = &client->subs[channel];
    sub->state = SIM_UNSUBSCRIBED;
    if (code == WH_ERROR_UNRECOVERABLE_POSITION && sub->must_recover) {
        sub->has_position = false;
        sub->last_sequence = 0;
        sim->report->told++;
    } else if (code != WH_ERROR_INTERNAL) {
        sim_fail(sim, "client %d: %s: subscribe gives %u", client->index,
                 sim_channels[channel].name, code);
    }
    retry_later(client, 100 + sim_below(sim, 500));
}

static void take_history(struct sim_client *client,
                         int channel,
                         const struct wh_history_result *result)
{
    uint64_t last = 0;
    char epoch[SIM_EPOCH_MAX];
    set_epoch(epoch, result->epoch);
    for (size_t i = 0; i < result->publications.count; i++) {
        const struct wh_pub *pub = &result->publications.items[i];
        sim_judge_content(client, channel, epoch, pub->offset, sim_read_id(pub->data.bytes));
        if (last && pub->offset != last + 1 && pub->offset + 1 != last)
            sim_fail(client->sim, "client %d: %s: history has a hole", client->index,
                     sim_channels[channel].name);
        last = pub->offset;
    }
}

static void take_connected(struct sim_client *client, const struct wh_connect_result *result)
{
    client->state = SIM_READY;
    for (size_t i = 0; i < result->subs.count; i++)
        take_subscribed(client, sim_channel_index(result->subs.keys[i]), &result->subs.values[i]);
    if (result->subs.count != (client->has_token ? SERVER_SIDE : 0))
        sim_fail(client->sim, "client %d: %zu server-side subscriptions", client->index,
                 result->subs.count);
    subscribe_wanted(client);
}

struct refusal {
    struct sim_client *client;
    struct sim_conn *conn;
};

static void on_refusal_end(struct sim *sim, void *data)
{
    struct refusal *refusal = data;
    (void)sim;
    if (refusal->client->conn == refusal->conn)
        leave(refusal->client);
}

/* After a refused connect nothing may come any more. */
static void stay_a_while(struct sim_client *client)
{
    struct refusal refusal = {client, client->conn};
    client->state = SIM_REFUSED;
    forget_commands(client);
    sim_after(client->sim, sim_below(client->sim, 1000), on_refusal_end, &refusal, sizeof(refusal));
}

static void take_error(struct sim_client *client, const struct sim_command *command, uint32_t code)
{
    struct sim *sim = client->sim;
    sim_trace(sim, "client %d: error %u for command %u", client->index, code, command->id);
    if (command->kind == SIM_SUBSCRIBE)
        take_subscribe_error(client, command->channel, code);
    else if (code != WH_ERROR_INTERNAL)
        sim_fail(sim, "client %d: error %u for a command of kind %d", client->index, code,
                 command->kind);
    else if (command->kind == SIM_CONNECT)
        stay_a_while(client);
}

static void take_answer(struct sim_client *client,
                        const struct sim_command *command,
                        const struct wh_reply *reply)
{
    struct sim *sim = client->sim;
    bool is_answer = true;
    switch (command->kind) {
    case SIM_CONNECT:
        is_answer = reply->connect != NULL;
        if (is_answer)
            take_connected(client, reply->connect);
        break;
    case SIM_SUBSCRIBE:
        is_answer = reply->subscribe != NULL;
        if (is_answer)
            take_subscribed(client, command->channel, reply->subscribe);
        break;
    case SIM_UNSUBSCRIBE:
        is_answer = reply->unsubscribe != NULL;
        client->subs[command->channel].state = SIM_UNSUBSCRIBED;
        retry_later(client, sim_below(sim, 100)); /* it may have changed its mind */
        break;
    case SIM_PUBLISH:
        is_answer = reply->publish != NULL;
        if (sim->server.publications[command->publication].sequence == 0)
            sim_fail(sim, "client %d: #%u is acknowledged, but the broker has not got it",
                     client->index, command->publication);
        break;
    case SIM_HISTORY:
        is_answer = reply->history != NULL;
        if (is_answer)
            take_history(client, command->channel, reply->history);
        break;
    case SIM_PRESENCE:
        is_answer = reply->presence != NULL;
        break;
    }
    if (!is_answer)
        sim_fail(sim, "client %d: the answer to command %u is of another kind", client->index,
                 command->id);
}

static void take_reply(struct sim_client *client, const struct wh_reply *reply)
{
    if (wh_list_is_empty(&client->waiting)) {
        sim_fail(client->sim, "client %d: reply %u to nothing", client->index, reply->id);
        return;
    }
    struct sim_command *command = WH_CONTAINER_OF(client->waiting.next, struct sim_command, link);
    if (reply->id != command->id) {
        sim_fail(client->sim, "client %d: reply %u, expected %u", client->index, reply->id,
                 command->id);
        return;
    }
    wh_list_remove(&command->link);
    client->last_reply_ms = client->sim->now_ms;
    if (reply->error)
        take_error(client, command, reply->error->code);
    else
        take_answer(client, command, reply);
    free(command);
}

/* Pushes */

static int channel_of(const struct sim_client *client, const struct wh_push *push)
{
    if (push->channel.ptr && push->channel.len)
        return sim_channel_index(push->channel);
    for (int i = 0; i < SIM_CHANNELS; i++)
        if ((client->subs[i].state == SIM_SUBSCRIBED ||
             client->subs[i].state == SIM_UNSUBSCRIBING) &&
            push->id == client->subs[i].number)
            return i;
    return -1;
}

static void take_push(struct sim_client *client, const struct wh_push *push)
{
    struct sim *sim = client->sim;
    int channel = channel_of(client, push);
    struct sim_sub *sub = channel < 0 ? NULL : &client->subs[channel];
    if (sub == NULL || (sub->state != SIM_SUBSCRIBED && sub->state != SIM_UNSUBSCRIBING)) {
        sim_fail(sim, "client %d: a push for %s, which is not subscribed", client->index,
                 channel < 0 ? "an unknown channel" : sim_channels[channel].name);
        return;
    }
    if (push->pub) {
        sim_judge_publication(client, channel, push->pub);
    } else if (push->unsubscribe) {
        sim_trace(sim, "client %d: unsubscribed from %s with %u", client->index,
                  sim_channels[channel].name, push->unsubscribe->code);
        if (push->unsubscribe->code != WH_UNSUBSCRIBE_INSUFFICIENT_STATE)
            sim_fail(sim, "client %d: %s: unsubscribed with %u", client->index,
                     sim_channels[channel].name, push->unsubscribe->code);
        sim->report->told++;
        if (sub->state == SIM_SUBSCRIBED)
            sub->state = SIM_UNSUBSCRIBED;
        retry_later(client, sim_below(sim, 200));
    } else if (!push->join && !push->leave) {
        sim_fail(sim, "client %d: a strange push", client->index);
    }
}

/* Bytes */

static void take_message(struct sim_client *client, struct wh_slice message)
{
    struct wh_arena arena = {0};
    struct sim_conn *conn = client->conn;
    struct wh_slice rest = message;
    bool is_ping = false;
    while (rest.len > 0 && client->conn == conn) {
        struct wh_reply reply;
        memset(&reply, 0, sizeof(reply));
        enum wh_err err = wh_decode(client->encoding, &wh_reply_schema, &rest, &arena, &reply);
        if (err == WH_EEND)
            break;
        if (err) {
            sim_fail(client->sim, "client %d: unreadable: %.*s", client->index,
                     WH_SLICE_ARGS(message));
            break;
        }
        if (reply.id)
            take_reply(client, &reply);
        else if (reply.push)
            take_push(client, reply.push);
        else
            is_ping = true;
    }
    wh_arena_deinit(&arena);
    if (is_ping && client->conn == conn)
        encode(client, &(struct wh_command){0});
}

/* The length of the first frame with its header, 0 when it is not all there. */
static size_t first_frame(const struct wh_buf *buf, size_t *out_header)
{
    const unsigned char *at = (const unsigned char *)buf->ptr;
    size_t header = 2;
    if (buf->len < header)
        return 0;
    uint64_t len = at[1];
    size_t width = len == 126 ? 2 : len == 127 ? 8 : 0;
    header += width;
    if (buf->len < header)
        return 0;
    if (width)
        len = 0;
    for (size_t i = 0; i < width; i++)
        len = len << 8 | at[2 + i];
    *out_header = header;
    return buf->len - header < len ? 0 : header + (size_t)len;
}

static void digest(struct sim *sim, struct wh_slice bytes)
{
    uint64_t hash = sim->report->digest ^ sim->now_ms;
    for (size_t i = 0; i < bytes.len; i++)
        hash = (hash ^ (unsigned char)bytes.ptr[i]) * UINT64_C(0x100000001b3);
    sim->report->digest = hash;
}

void sim_client_received(struct sim_client *client, struct sim_conn *conn)
{
    size_t len, header;
    while (conn->is_heard && client->conn == conn &&
           (len = first_frame(&conn->received, &header)) > 0) {
        struct wh_slice message = wh_slice(conn->received.ptr + header, len - header);
        digest(client->sim, message);
        take_message(client, message);
        wh_buf_consume(&conn->received, len);
    }
    send_frame(client);
}

/* Life */

void sim_client_act(struct sim_client *client)
{
    struct sim *sim = client->sim;
    sim_below(sim, SIM_CHANNELS); /* a spare throw: without it, old seeds would run differently */
    if (client->conn == NULL) {
        if (client->state == SIM_DOWN)
            come_back(client, 0);
        return;
    }
    if (client->state != SIM_READY)
        return;
    for (uint64_t n = 1 + sim_below(sim, 3); n > 0; n--) {
        uint64_t action = sim_below(sim, 100);
        int channel = (int)sim_below(sim, SIM_CHANNELS);
        struct sim_sub *sub = &client->subs[channel];
        if (action < 25 && !sim_channels[channel].is_server_side) {
            sub->is_wanted = true;
            subscribe_wanted(client);
        } else if (action < 35 && sub->state == SIM_SUBSCRIBED &&
                   !sim_channels[channel].is_server_side) {
            sub->is_wanted = false;
            unsubscribe(client, channel);
        } else if (action < 65) {
            publish(client, channel);
        } else if (action < 70 && sim_channels[channel].kind != SIM_LIVE) {
            ask_history(client, channel);
        } else if (action < 73 && channel == 5) {
            ask_presence(client, channel);
        }
    }
    send_frame(client);
}

void sim_client_want_all(struct sim_client *client)
{
    for (int i = 0; i < SIM_CHANNELS; i++)
        client->subs[i].is_wanted = !sim_channels[i].is_server_side;
    if (client->state == SIM_READY)
        subscribe_wanted(client);
    else if (client->conn == NULL)
        come_back(client, 0);
    send_frame(client);
}

void sim_client_retire(struct sim_client *client)
{
    client->is_retired = true;
    leave(client);
}

void sim_client_init(struct sim *sim, struct sim_client *client, int index)
{
    client->sim = sim;
    client->index = index;
    client->has_token = sim_chance(sim, 50);
    client->encoding = sim_chance(sim, 60) ? WH_ENCODING_JSON : WH_ENCODING_MSGPACK;
    wh_list_init(&client->waiting);
}

void sim_client_deinit(struct sim_client *client)
{
    forget_commands(client);
    wh_buf_deinit(&client->frame);
}
