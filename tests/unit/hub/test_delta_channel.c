/* Channels with deltas: each subscriber can put together what was published, from its first
 * publication on. */
#include "common/protocol/codec.h"
#include "common/protocol/delta.h"
#include "common/protocol/json.h"
#include "hub/registry_internal.h"
#include "hub_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#define STREAM                                                                                     \
    "--channel.without_namespace.history_size=100", "--channel.without_namespace.history_ttl=60s"
#define RECOVERY "--channel.without_namespace.force_recovery=true"
#define FOSSIL   "--channel.without_namespace.allowed_delta_types=[fossil]"
#define LONG     "\"a text that is long enough to be worth a patch, whatever changes in it: "
#define CHANNEL  WH_SLICE_LITERAL("a")

/* A subscriber and what it has put together. */
struct reader {
    struct fake_transport *client;
    struct wh_arena arena; /* of what it read last */
    struct wh_buf text;
    bool was_patch;
    bool has_deltas;
};

static struct wh_subscribe_result subscribe(struct hub *hub,
                                            struct reader *reader,
                                            enum wh_encoding encoding,
                                            struct wh_subscribe_request request)
{
    *reader = (struct reader){.client = hub_connect(hub, encoding)};
    request.channel = CHANNEL;
    request.delta = WH_SLICE_LITERAL("fossil");
    client_command(reader->client, &(struct wh_command){.id = 2, .subscribe = &request});
    hub_turn(hub);
    struct wh_reply reply = client_next(reader->client, &reader->arena);
    assert_non_null(reply.subscribe);
    reader->has_deltas = reply.subscribe->delta;
    return *reply.subscribe;
}

static void start_reading(struct hub *hub, struct reader *reader, enum wh_encoding encoding)
{
    subscribe(hub, reader, encoding, (struct wh_subscribe_request){0});
}

static void stop_reading(struct reader *reader)
{
    wh_arena_deinit(&reader->arena);
    wh_buf_deinit(&reader->text);
}

/* The string that JSON brings, the bytes that Protobuf does. */
static struct wh_slice unwrap(struct reader *reader, struct wh_payload data)
{
    struct wh_json_reader json;
    struct wh_slice text;
    if (reader->client->encoding != WH_ENCODING_JSON)
        return data.bytes;
    wh_json_reader_init(&json, data.bytes);
    assert_int_equal(wh_json_read_string(&json, &reader->arena, &text), WH_OK);
    return text;
}

static void take(struct reader *reader, const struct wh_pub *pub)
{
    struct wh_buf next = {0};
    struct wh_slice shown = unwrap(reader, pub->data);
    if (pub->delta)
        assert_int_equal(wh_delta_apply(wh_buf_slice(&reader->text), shown, 1 << 20, &next), WH_OK);
    else
        wh_buf_append_slice(&next, shown);
    reader->was_patch = pub->delta;
    wh_buf_deinit(&reader->text);
    reader->text = next;
}

/* The next publication that came to `reader` says `text`. */
static void reads(struct reader *reader, const char *text, bool as_patch)
{
    wh_arena_reset(&reader->arena);
    struct wh_reply reply = client_next(reader->client, &reader->arena);
    assert_non_null(reply.push);
    assert_non_null(reply.push->pub);
    take(reader, reply.push->pub);
    assert_string_equal(wh_buf_cstr(&reader->text), text);
    assert_int_equal(reader->was_patch, as_patch);
}

static void publish(struct hub *hub, const char *text)
{
    struct wh_pub pub = {.data = wh_payload_classify(wh_slice_from_str(text))};
    hub_publish(hub, "a", &pub);
}

static void publish_plain(struct hub *hub, const char *text)
{
    struct wh_pub pub = {.data = wh_payload_classify(wh_slice_from_str(text))};
    registry_publication(&hub->node.registry, CHANNEL, &pub, true);
    hub_turn(hub);
}

static void test_the_first_comes_whole_and_the_next_as_patches(void **state)
{
    (void)state;
    static const enum wh_encoding encodings[] = {WH_ENCODING_JSON, WH_ENCODING_PROTOBUF};
    for (size_t i = 0; i < COUNT(encodings); i++) {
        struct hub hub;
        struct reader reader;
        hub_start_with_streams(&hub, STREAM, RECOVERY, FOSSIL, NULL);
        start_reading(&hub, &reader, encodings[i]);
        assert_true(reader.has_deltas);
        publish(&hub, LONG "1\"");
        publish(&hub, LONG "ä\\n\"");
        publish(&hub, LONG "3\"");
        reads(&reader, LONG "1\"", false);
        reads(&reader, LONG "ä\\n\"", true);
        reads(&reader, LONG "3\"", true);
        client_expect(reader.client, NULL);
        stop_reading(&reader);
        hub_stop(&hub);
    }
}

static void test_a_patch_that_is_no_shorter_is_not_sent(void **state)
{
    (void)state;
    struct hub hub;
    struct reader reader;
    hub_start_with_streams(&hub, STREAM, RECOVERY, FOSSIL, NULL);
    start_reading(&hub, &reader, WH_ENCODING_JSON);
    publish(&hub, "1");
    publish(&hub, "2");
    publish(&hub, LONG "1\"");
    publish(&hub, "3");
    publish(&hub, LONG "1\"");
    reads(&reader, "1", false);
    reads(&reader, "2", false);
    reads(&reader, LONG "1\"", false);
    reads(&reader, "3", false);
    reads(&reader, LONG "1\"", false);
    stop_reading(&reader);
    hub_stop(&hub);
}

static void test_others_get_the_data_as_it_is(void **state)
{
    (void)state;
    struct hub hub;
    struct reader reader;
    hub_start_with_streams(&hub, STREAM, "--channel.without_namespace.allow_positioning=true",
                           FOSSIL, NULL);
    /* Not positioned; MessagePack, though it is. */
    start_reading(&hub, &reader, WH_ENCODING_JSON);
    assert_false(reader.has_deltas);
    struct reader packed;
    subscribe(&hub, &packed, WH_ENCODING_MSGPACK,
              (struct wh_subscribe_request){.positioned = true});
    assert_false(packed.has_deltas);
    struct reader patched;
    subscribe(&hub, &patched, WH_ENCODING_JSON, (struct wh_subscribe_request){.positioned = true});
    assert_true(patched.has_deltas);
    publish(&hub, "[1]");
    wh_arena_reset(&reader.arena);
    struct wh_payload data = client_next(reader.client, &reader.arena).push->pub->data;
    assert_true(wh_slice_equal_str(data.bytes, "[1]"));
    reads(&patched, "[1]", false);
    stop_reading(&reader);
    stop_reading(&packed);
    stop_reading(&patched);
    hub_stop(&hub);
}

static void test_a_namespace_that_does_not_allow_deltas_has_none(void **state)
{
    (void)state;
    struct hub hub;
    struct reader reader;
    hub_start_with_streams(&hub, STREAM, RECOVERY, NULL);
    start_reading(&hub, &reader, WH_ENCODING_JSON);
    assert_false(reader.has_deltas);
    stop_reading(&reader);
    hub_stop(&hub);
}

static void test_who_comes_later_begins_with_a_whole_one(void **state)
{
    (void)state;
    struct hub hub;
    struct reader first, second;
    hub_start_with_streams(&hub, STREAM, RECOVERY, FOSSIL, NULL);
    start_reading(&hub, &first, WH_ENCODING_JSON);
    publish(&hub, LONG "1\"");
    subscribe(&hub, &second, WH_ENCODING_JSON, (struct wh_subscribe_request){.flag = 1});
    publish(&hub, LONG "2\"");
    publish(&hub, LONG "3\"");
    reads(&first, LONG "1\"", false);
    reads(&first, LONG "2\"", true);
    reads(&first, LONG "3\"", true);
    reads(&second, LONG "2\"", false);
    reads(&second, LONG "3\"", true);
    stop_reading(&first);
    stop_reading(&second);
    hub_stop(&hub);
}

static void test_what_was_missed_comes_as_a_chain(void **state)
{
    (void)state;
    struct hub hub;
    struct reader reader;
    static const char *const texts[] = {LONG "1\"", LONG "2\"", LONG "3\"", LONG "4\""};
    hub_start_with_streams(&hub, STREAM, RECOVERY, FOSSIL, NULL);
    for (size_t i = 0; i < COUNT(texts); i++)
        publish(&hub, texts[i]);
    struct wh_subscribe_result result =
        subscribe(&hub, &reader, WH_ENCODING_JSON,
                  (struct wh_subscribe_request){.recover = true, .offset = 1});
    assert_true(result.recovered && result.delta);
    assert_int_equal(result.publications.count, 3);
    for (size_t i = 0; i < 3; i++) {
        take(&reader, &result.publications.items[i]);
        assert_string_equal(wh_buf_cstr(&reader.text), texts[i + 1]);
        assert_int_equal(reader.was_patch, i > 0);
    }
    publish(&hub, LONG "5\"");
    publish(&hub, LONG "6\"");
    reads(&reader, LONG "5\"", false);
    reads(&reader, LONG "6\"", true);
    stop_reading(&reader);
    hub_stop(&hub);
}

static void test_who_is_skipped_goes_on_from_what_it_has(void **state)
{
    (void)state;
    struct hub hub;
    struct reader json, bytes;
    hub_start_with_streams(&hub, STREAM, RECOVERY, FOSSIL, NULL);
    start_reading(&hub, &json, WH_ENCODING_JSON);
    start_reading(&hub, &bytes, WH_ENCODING_PROTOBUF);
    publish(&hub, LONG "1\"");
    publish_plain(&hub, LONG "no JSON");
    publish_plain(&hub, LONG "2\"");
    reads(&json, LONG "1\"", false);
    reads(&json, LONG "2\"", true);
    reads(&bytes, LONG "1\"", false);
    reads(&bytes, LONG "no JSON", true);
    reads(&bytes, LONG "2\"", true);
    stop_reading(&json);
    stop_reading(&bytes);
    hub_stop(&hub);
}

static void test_what_cannot_be_shown_closes_json_readers_only(void **state)
{
    (void)state;
    struct hub hub;
    struct reader json, bytes;
    hub_start_with_streams(&hub, STREAM, RECOVERY, FOSSIL, NULL);
    start_reading(&hub, &json, WH_ENCODING_JSON);
    start_reading(&hub, &bytes, WH_ENCODING_PROTOBUF);
    publish(&hub, "no JSON");
    client_expect_closed(json.client, WH_DISCONNECT_INAPPROPRIATE_PROTOCOL);
    reads(&bytes, "no JSON", false);
    stop_reading(&json);
    stop_reading(&bytes);
    hub_stop(&hub);
}

static void test_nothing_is_kept_when_the_last_reader_left(void **state)
{
    (void)state;
    struct hub hub;
    struct reader reader;
    hub_start_with_streams(&hub, STREAM, RECOVERY, FOSSIL, NULL);
    struct fake_transport *other = hub_connect(&hub, WH_ENCODING_JSON);
    client_subscribe(other, "a");
    start_reading(&hub, &reader, WH_ENCODING_JSON);
    publish(&hub, LONG "1\"");
    struct channel *channel = registry_channel(&hub.node.registry, CHANNEL);
    assert_non_null(channel);
    assert_false(wh_list_is_empty(&channel->groups));
    hub_cut(reader.client);
    hub_turn(&hub);
    assert_true(wh_list_is_empty(&channel->groups));
    stop_reading(&reader);
    hub_stop(&hub);
}

/* Property */

enum { READERS = 8, STEPS = 400, SEEDS = 20, TEXT_MAX = 200 };

struct world {
    struct hub hub;
    struct reader readers[READERS];
    bool is_reading[READERS];
    uint32_t seed;
    char text[TEXT_MAX];
};

static uint32_t roll(struct world *world, uint32_t below)
{
    world->seed = world->seed * 1664525 + 1013904223;
    return (world->seed >> 16) % below;
}

static void change_text(struct world *world)
{
    uint32_t len = 1 + roll(world, TEXT_MAX - 4);
    world->text[0] = '"';
    for (uint32_t i = 1; i < len; i++)
        if (world->text[i] < 'a' || roll(world, 8) == 0)
            world->text[i] = (char)('a' + roll(world, 26));
    snprintf(&world->text[len], 2, "\"");
}

/* Several in one turn or each in its own; everybody has read all of it in the end. */
static void publish_some(struct world *world)
{
    unsigned count = 1 + roll(world, 3);
    for (unsigned i = 0; i < count; i++) {
        struct wh_pub pub;
        change_text(world);
        pub = (struct wh_pub){.data = wh_payload_classify(wh_slice_from_str(world->text))};
        registry_publication(&world->hub.node.registry, CHANNEL, &pub, false);
        if (roll(world, 2))
            hub_turn(&world->hub);
    }
    hub_turn(&world->hub);
    for (size_t i = 0; i < READERS; i++) {
        struct reader *reader = &world->readers[i];
        for (unsigned k = 0; world->is_reading[i] && k < count; k++) {
            wh_arena_reset(&reader->arena);
            take(reader, client_next(reader->client, &reader->arena).push->pub);
        }
        if (world->is_reading[i])
            assert_string_equal(wh_buf_cstr(&reader->text), world->text);
    }
}

static void come_or_go(struct world *world, size_t i)
{
    struct wh_subscribe_request request = {.flag = roll(world, 2)};
    enum wh_encoding encoding = roll(world, 2) ? WH_ENCODING_JSON : WH_ENCODING_PROTOBUF;
    if (world->is_reading[i]) {
        hub_cut(world->readers[i].client);
        stop_reading(&world->readers[i]);
    } else {
        subscribe(&world->hub, &world->readers[i], encoding, request);
    }
    world->is_reading[i] = !world->is_reading[i];
}

static void test_everybody_reads_what_was_published_whatever_comes_and_goes(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= SEEDS; seed++) {
        struct world world = {.seed = seed};
        print_message("seed %u\n", seed);
        hub_start_with_streams(&world.hub, STREAM, RECOVERY, FOSSIL, NULL);
        for (unsigned step = 0; step < STEPS; step++) {
            if (roll(&world, 3))
                publish_some(&world);
            else
                come_or_go(&world, roll(&world, READERS));
        }
        for (size_t i = 0; i < READERS; i++)
            if (world.is_reading[i])
                stop_reading(&world.readers[i]);
        hub_stop(&world.hub);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_comes_whole_and_the_next_as_patches),
        cmocka_unit_test(test_a_patch_that_is_no_shorter_is_not_sent),
        cmocka_unit_test(test_others_get_the_data_as_it_is),
        cmocka_unit_test(test_a_namespace_that_does_not_allow_deltas_has_none),
        cmocka_unit_test(test_who_comes_later_begins_with_a_whole_one),
        cmocka_unit_test(test_what_was_missed_comes_as_a_chain),
        cmocka_unit_test(test_who_is_skipped_goes_on_from_what_it_has),
        cmocka_unit_test(test_what_cannot_be_shown_closes_json_readers_only),
        cmocka_unit_test(test_nothing_is_kept_when_the_last_reader_left),
        cmocka_unit_test(test_everybody_reads_what_was_published_whatever_comes_and_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
