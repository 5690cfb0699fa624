/*
 * Whole lives by the dice: clients that send, lag, leave and come back, a broker that answers late,
 * in any order and not always well.  Whatever happens, each client must see
 *
 *  - one answer to each command, in the order of the commands, or the end of its connection;
 *  - publications only between the reply to its subscribe and that to its unsubscribe;
 *  - the publications of a channel in order, none twice;
 *  - no close but for lagging or missing pongs, which happen here.
 *
 * A failing seed is printed and fails again.
 */
#include "common/protocol/codec.h"
#include "hub_fixture.h"

#include <stdio.h>
#include <stdlib.h>

enum { CLIENTS = 8, CHANNELS = 4, STEPS = 1500, SEEDS = 40, COMMANDS_MAX = 4096 };

static const char *const channel_names[CHANNELS] = {"a", "b", "c", "closed:d"};

enum verb { SUBSCRIBE, UNSUBSCRIBE, PUBLISH, PING };

struct life {
    struct fake_transport *client;
    struct {
        enum verb verb;
        size_t channel;
    } commands[COMMANDS_MAX]; /* by id; 1 is the connect */
    uint32_t sent;            /* the last id */
    uint32_t answered;
    bool is_subscribed[CHANNELS]; /* as the client knows from the replies it has read */
    unsigned last_seen[CHANNELS];
};

struct world {
    struct hub hub;
    struct life lives[CLIENTS];
    uint32_t seed;
    unsigned published;
};

static uint32_t roll(struct world *world, uint32_t below)
{
    world->seed = world->seed * 1664525 + 1013904223;
    return (world->seed >> 16) % below;
}

static void begin(struct world *world, struct life *life)
{
    memset(life, 0, sizeof(*life));
    life->client = hub_open(&world->hub, (enum wh_encoding)roll(world, WH_ENCODING_COUNT));
    struct wh_connect_request request = {0};
    client_command(life->client, &(struct wh_command){.id = ++life->sent, .connect = &request});
}

static void end(struct life *life)
{
    fake_transport_free(life->client);
    life->client = NULL;
}

/* One to four commands in one frame. */
static void send_commands(struct world *world, struct life *life)
{
    struct wh_buf frame = {0};
    for (uint32_t left = 1 + roll(world, 4); left > 0 && life->sent + 1 < COMMANDS_MAX; left--) {
        uint32_t id = ++life->sent;
        enum verb verb = (enum verb)roll(world, 4);
        size_t channel = roll(world, CHANNELS);
        struct wh_slice name = wh_slice_from_str(channel_names[channel]);
        struct wh_subscribe_request subscribe = {.channel = name};
        struct wh_unsubscribe_request unsubscribe = {.channel = name};
        struct wh_publish_request publish = {
            .channel = name,
            .data = {WH_PAYLOAD_BYTES, WH_SLICE_LITERAL("0")},
        };
        struct wh_empty ping = {0};
        life->commands[id].verb = verb;
        life->commands[id].channel = channel;
        if (life->client->encoding == WH_ENCODING_JSON)
            publish.data.kind = WH_PAYLOAD_JSON;
        struct wh_command command = {
            .id = id,
            .subscribe = verb == SUBSCRIBE ? &subscribe : NULL,
            .unsubscribe = verb == UNSUBSCRIBE ? &unsubscribe : NULL,
            .publish = verb == PUBLISH ? &publish : NULL,
            .ping = verb == PING ? &ping : NULL,
        };
        assert_int_equal(wh_encode(life->client->encoding, &wh_command_schema, &command, 0, &frame),
                         WH_OK);
    }
    if (frame.len > 0)
        fake_transport_receive(life->client, wh_buf_slice(&frame));
    wh_buf_deinit(&frame);
}

static void publish(struct world *world, const char *channel)
{
    char data[16];
    snprintf(data, sizeof(data), "%u", ++world->published);
    fake_broker_publish(world->hub.broker, channel, data);
}

/* The broker answers any of those who wait, well or not. */
static void answer(struct world *world, bool always_well)
{
    struct fake_broker *broker = world->hub.broker;
    size_t waiting = fake_broker_waiting(broker);
    if (waiting == 0)
        return;
    const struct wh_list *link = broker->calls.next;
    for (uint32_t skip = roll(world, (uint32_t)waiting); skip > 0; skip--)
        link = link->next;
    struct fake_call call = *WH_CONTAINER_OF(link, struct fake_call, link);
    enum wh_err err = always_well || roll(world, 5) ? WH_OK : WH_EUNAVAILABLE;
    if (call.kind == CALL_PUBLISH && err == WH_OK)
        publish(world, call.channel);
    fake_broker_answer(broker, call.kind, call.channel, err);
}

static size_t channel_index(struct wh_slice name)
{
    for (size_t i = 0; i < CHANNELS; i++)
        if (wh_slice_equal_str(name, channel_names[i]))
            return i;
    fail_msg("channel %.*s", WH_SLICE_ARGS(name));
    return 0;
}

static unsigned number_of(struct wh_payload data)
{
    struct wh_buf text = {0};
    assert_int_equal(wh_payload_encode(data, WH_ENCODING_JSON, &text), WH_OK);
    unsigned number = (unsigned)strtoul(wh_buf_cstr(&text), NULL, 10);
    wh_buf_deinit(&text);
    return number;
}

static void read_one(struct life *life, const struct wh_reply *reply, bool *out_ping)
{
    if (reply->push) {
        size_t channel = channel_index(reply->push->channel);
        unsigned number = number_of(reply->push->pub->data);
        assert_true(life->is_subscribed[channel]);
        assert_true(number > life->last_seen[channel]);
        life->last_seen[channel] = number;
        return;
    }
    if (reply->id == 0) {
        *out_ping = true;
        return;
    }
    assert_int_equal(reply->id, ++life->answered);
    size_t channel = life->commands[reply->id].channel;
    switch (life->commands[reply->id].verb) {
    case SUBSCRIBE:
        assert_true(reply->connect || reply->subscribe || reply->error);
        if (reply->subscribe) {
            assert_false(life->is_subscribed[channel]);
            life->is_subscribed[channel] = true;
        }
        break;
    case UNSUBSCRIBE:
        assert_non_null(reply->unsubscribe);
        life->is_subscribed[channel] = false;
        break;
    case PUBLISH:
        assert_true(reply->publish || reply->error);
        break;
    case PING:
        assert_non_null(reply->ping);
        break;
    }
}

static void read_all(struct life *life)
{
    enum wh_opcode opcode;
    struct wh_slice payload;
    bool got_ping = false;
    while (fake_transport_next(life->client, &opcode, &payload)) {
        assert_int_equal(opcode, wh_encoding_opcode(life->client->encoding));
        while (payload.len > 0) {
            struct wh_arena arena = {0};
            struct wh_reply reply = {0};
            assert_int_equal(
                wh_decode(life->client->encoding, &wh_reply_schema, &payload, &arena, &reply),
                WH_OK);
            read_one(life, &reply, &got_ping);
            wh_arena_deinit(&arena);
        }
    }
    if (got_ping)
        client_command(life->client, &(struct wh_command){0});
}

static void step(struct world *world)
{
    struct life *life = &world->lives[roll(world, CLIENTS)];
    uint32_t dice = roll(world, 100);
    if (dice < 30)
        send_commands(world, life);
    else if (dice < 50)
        answer(world, false);
    else if (dice < 65)
        publish(world, channel_names[roll(world, CHANNELS)]);
    else if (dice < 75)
        hub_turn(&world->hub);
    else if (dice < 80)
        fake_transport_set_room(life->client, roll(world, 300));
    else if (dice < 88)
        fake_transport_set_room(life->client, ROOM_UNLIMITED);
    else if (dice < 96)
        hub_advance(&world->hub, roll(world, 700));
    else if (dice < 98)
        read_all(life);
    else {
        end(life);
        begin(world, life);
    }
}

/* Those who were closed: was it for a reason?  They come back. */
static void bury(struct world *world)
{
    for (size_t i = 0; i < CLIENTS; i++) {
        struct life *life = &world->lives[i];
        read_all(life);
        if (!life->client->is_closing)
            continue;
        uint32_t code = life->client->close_code;
        if (code != WH_DISCONNECT_SLOW && code != WH_DISCONNECT_NO_PONG)
            fail_msg("closed with %u", code);
        end(life);
        begin(world, life);
    }
}

static void settle_all(struct world *world)
{
    for (size_t i = 0; i < CLIENTS; i++)
        fake_transport_set_room(world->lives[i].client, ROOM_UNLIMITED);
    do {
        answer(world, true);
        hub_turn(&world->hub);
    } while (fake_broker_waiting(world->hub.broker) > 0);
    for (size_t i = 0; i < CLIENTS; i++) {
        struct life *life = &world->lives[i];
        read_all(life);
        if (!life->client->is_closing)
            assert_int_equal(life->answered, life->sent);
    }
}

static void clients_see_one_command_after_the_other_whatever_happens(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= SEEDS; seed++) {
        static struct world world;
        memset(&world, 0, sizeof(world));
        world.seed = seed;
        hub_start(&world.hub, "--client.queue_max_size=4096", "--client.ping_interval=5s",
                  "--client.pong_timeout=2s", NULL);
        world.hub.broker->is_manual = true;
        print_message("seed %u\n", seed);
        for (size_t i = 0; i < CLIENTS; i++)
            begin(&world, &world.lives[i]);
        for (int i = 0; i < STEPS; i++) {
            step(&world);
            bury(&world);
        }
        settle_all(&world);
        hub_stop(&world.hub);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients_see_one_command_after_the_other_whatever_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
