/* Subscriptions with a tags filter: who of a channel gets which publication. */
#include "common/protocol/codec.h"
#include "hub/registry_internal.h"
#include "hub_fixture.h"

#include <stdio.h>

#define FILTERS "--channel.without_namespace.allow_tags_filter=true"
#define STREAM                                                                                     \
    "--channel.without_namespace.history_size=100", "--channel.without_namespace.history_ttl=60s", \
        "--channel.without_namespace.force_recovery=true"
#define LANG(value)           "{\"key\":\"lang\",\"cmp\":\"eq\",\"val\":\"" value "\"}"
#define SUBSCRIBE(id, filter) "{\"id\":" id ",\"subscribe\":{\"channel\":\"a\",\"tf\":" filter "}}"
#define REFUSED(id)           "{\"id\":" id ",\"error\":{\"code\":107,\"message\":\"bad request\"}}"

/* A publication of which the only tag is `lang`; none when that is NULL. */
struct tagged {
    struct wh_string_pair tag;
    struct wh_pub pub;
};

static struct wh_pub *tagged(struct tagged *out, const char *data, const char *lang)
{
    *out = (struct tagged){
        .pub.data = wh_payload_classify(wh_slice_from_str(data)),
        .tag = {WH_SLICE_LITERAL("lang"), wh_slice_from_str(lang ? lang : "")},
    };
    if (lang)
        out->pub.tags = (struct wh_string_map){&out->tag, 1};
    return &out->pub;
}

static void publish(struct hub *hub, const char *data, const char *lang)
{
    struct tagged room;
    hub->broker->events.on_publication(hub->broker->events.user, WH_SLICE_LITERAL("a"),
                                       tagged(&room, data, lang), false);
}

static void store(struct hub *hub, const char *data, const char *lang)
{
    struct tagged room;
    hub_publish(hub, "a", tagged(&room, data, lang));
}

static void subscribe(struct fake_transport *client, const char *filter)
{
    client_send(client, SUBSCRIBE("2", "%s"), filter);
    client_expect(client, "{\"id\":2,\"subscribe\":{}}");
}

#define PUB(data, lang)                                                                            \
    "{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":" data ",\"tags\":{\"lang\":\"" lang "\"}}}}"

static void test_each_subscriber_gets_what_its_filter_passes(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, FILTERS, NULL);
    struct fake_transport *all = hub_connect(&hub, WH_ENCODING_JSON);
    struct fake_transport *english = hub_connect(&hub, WH_ENCODING_JSON);
    struct fake_transport *german = hub_connect(&hub, WH_ENCODING_JSON);
    client_subscribe(all, "a");
    subscribe(english, LANG("en"));
    subscribe(german, LANG("de"));
    publish(&hub, "1", "en");
    publish(&hub, "2", "de");
    publish(&hub, "3", NULL);
    publish(&hub, "4", "en");
    client_expect(english, PUB("1", "en"));
    client_expect(english, PUB("4", "en"));
    client_expect(english, NULL);
    client_expect(german, PUB("2", "de"));
    client_expect(german, NULL);
    client_expect(all, PUB("1", "en"));
    client_expect(all, PUB("2", "de"));
    client_expect(all, "{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":3}}}");
    client_expect(all, PUB("4", "en"));
    client_expect(all, NULL);
    hub_stop(&hub);
}

static size_t count_groups(struct hub *hub)
{
    struct channel *channel = registry_channel(&hub->node.registry, WH_SLICE_LITERAL("a"));
    size_t count = 0;
    WH_LIST_EACH(link, &channel->groups)
    count++;
    return count;
}

static void test_equal_filters_are_one_group_that_ends_with_its_last_member(void **state)
{
    (void)state;
    struct hub hub;
    struct fake_transport *clients[4];
    static const char *const filters[] = {
        "{\"key\":\"lang\",\"cmp\":\"in\",\"vals\":[\"en\",\"de\"]}",
        "{\"key\":\"lang\",\"cmp\":\"in\",\"vals\":[\"de\",\"en\",\"de\"]}",
        "{\"key\":\"lang\",\"cmp\":\"in\",\"vals\":[\"en\",\"de\"]}",
        LANG("en"),
    };
    hub_start(&hub, FILTERS, NULL);
    for (size_t i = 0; i < COUNT(clients); i++) {
        clients[i] = hub_connect(&hub, WH_ENCODING_JSON);
        subscribe(clients[i], filters[i]);
    }
    assert_int_equal(count_groups(&hub), 2);
    assert_int_equal(registry_count(registry_channel(&hub.node.registry, WH_SLICE_LITERAL("a"))),
                     4);
    client_send(clients[3], "{\"id\":3,\"unsubscribe\":{\"channel\":\"a\"}}");
    hub_turn(&hub);
    assert_int_equal(count_groups(&hub), 1);
    hub_cut(clients[0]);
    publish(&hub, "1", "de");
    client_expect(clients[1], PUB("1", "de"));
    client_expect(clients[2], PUB("1", "de"));
    client_expect(clients[3], "{\"id\":3,\"unsubscribe\":{}}");
    client_expect(clients[3], NULL);
    hub_stop(&hub);
}

static void test_all_encodings_are_filtered(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, FILTERS, NULL);
    for (int i = 0; i < WH_ENCODING_COUNT; i++) {
        struct fake_transport *client = hub_connect(&hub, (enum wh_encoding)i);
        struct wh_filter_node filter = {
            .key = WH_SLICE_LITERAL("lang"),
            .cmp = WH_SLICE_LITERAL("ex"),
        };
        struct wh_subscribe_request request = {.channel = WH_SLICE_LITERAL("a"), .tf = &filter};
        struct wh_arena arena = {0};
        client_command(client, &(struct wh_command){.id = 2, .subscribe = &request});
        hub_turn(&hub);
        assert_non_null(client_next(client, &arena).subscribe);
        publish(&hub, "1", NULL);
        publish(&hub, "2", "en");
        hub_turn(&hub);
        struct wh_reply reply = client_next(client, &arena);
        assert_non_null(reply.push);
        assert_int_equal(reply.push->pub->tags.count, 1);
        client_expect(client, NULL);
        wh_arena_deinit(&arena);
    }
    hub_stop(&hub);
}

static void test_a_filter_that_cannot_be_had_is_a_bad_request(void **state)
{
    (void)state;
    static const char *const refused[] = {
        SUBSCRIBE("2", "{}"),
        SUBSCRIBE("2", "{\"op\":\"xor\",\"nodes\":[" LANG("en") "]}"),
        SUBSCRIBE("2", "{\"key\":\"lang\",\"cmp\":\"eq\"}"),
        "{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"delta\":\"fossil\",\"tf\":" LANG("en") "}}",
        "{\"id\":2,\"subscribe\":{\"channel\":\"json:a\",\"tf\":" LANG("en") "}}",
    };
    struct hub hub;
    hub_start(&hub, FILTERS, NULL);
    struct fake_transport *client = hub_connect(&hub, WH_ENCODING_JSON);
    for (size_t i = 0; i < COUNT(refused); i++) {
        client_send(client, "%s", refused[i]);
        client_expect(client, REFUSED("2"));
    }
    subscribe(client, LANG("en"));
    hub_stop(&hub);
}

static void test_who_joins_or_leaves_is_in_order_with_publications(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, FILTERS, NULL);
    struct fake_transport *first = hub_connect(&hub, WH_ENCODING_JSON);
    struct fake_transport *second = hub_connect(&hub, WH_ENCODING_JSON);
    subscribe(first, LANG("en"));
    publish(&hub, "1", "en");
    client_send(second, SUBSCRIBE("2", LANG("en"))); /* in the same turn */
    publish(&hub, "2", "en");
    client_send(first, "{\"id\":3,\"unsubscribe\":{\"channel\":\"a\"}}");
    publish(&hub, "3", "en");
    client_expect(first, PUB("1", "en"));
    client_expect(first, PUB("2", "en"));
    client_expect(first, "{\"id\":3,\"unsubscribe\":{}}");
    client_expect(first, NULL);
    client_expect(second, "{\"id\":2,\"subscribe\":{}}");
    client_expect(second, PUB("2", "en"));
    client_expect(second, PUB("3", "en"));
    client_expect(second, NULL);
    hub_stop(&hub);
}

static void test_joins_reach_those_with_a_filter(void **state)
{
    (void)state;
    struct hub hub;
    hub_start_with_streams(&hub, FILTERS, "--channel.without_namespace.join_leave=true",
                           "--channel.without_namespace.force_push_join_leave=true", NULL);
    struct fake_transport *first = hub_connect(&hub, WH_ENCODING_JSON);
    struct fake_transport *second = hub_connect(&hub, WH_ENCODING_JSON);
    struct wh_arena arena = {0};
    subscribe(first, LANG("en"));
    hub_turn(&hub);
    assert_non_null(client_next(first, &arena).push->join);
    subscribe(second, LANG("de"));
    hub_turn(&hub);
    assert_non_null(client_next(first, &arena).push->join);
    hub_cut(second);
    hub_turn(&hub);
    assert_non_null(client_next(first, &arena).push->leave);
    wh_arena_deinit(&arena);
    hub_stop(&hub);
}

static void test_what_a_json_client_cannot_be_shown_closes_only_whose_filter_passes_it(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, FILTERS, NULL);
    struct fake_transport *english = hub_connect(&hub, WH_ENCODING_JSON);
    struct fake_transport *german = hub_connect(&hub, WH_ENCODING_JSON);
    subscribe(english, LANG("en"));
    subscribe(german, LANG("de"));
    publish(&hub, "1", "en");
    publish(&hub, "not JSON", "en");
    publish(&hub, "2", "de");
    client_expect(english, PUB("1", "en"));
    client_expect_closed(english, WH_DISCONNECT_INAPPROPRIATE_PROTOCOL);
    client_expect(german, PUB("2", "de"));
    client_expect_open(german);
    hub_stop(&hub);
}

/* Streams */

static struct wh_subscribe_result recover(struct hub *hub,
                                          struct wh_arena *arena,
                                          uint64_t offset,
                                          struct fake_transport **out_client)
{
    struct fake_transport *client = hub_connect(hub, WH_ENCODING_JSON);
    client_send(client,
                "{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"recover\":true,\"offset\":%u,"
                "\"tf\":" LANG("en") "}}",
                (unsigned)offset);
    hub_turn(hub);
    struct wh_reply reply = client_next(client, arena);
    assert_non_null(reply.subscribe);
    if (out_client)
        *out_client = client;
    return *reply.subscribe;
}

static void test_recovery_counts_all_and_returns_what_passes(void **state)
{
    (void)state;
    struct hub hub;
    struct wh_arena arena = {0};
    struct fake_transport *client;
    hub_start_with_streams(&hub, FILTERS, STREAM, NULL);
    store(&hub, "1", "en");
    store(&hub, "2", "de");
    store(&hub, "3", "en");
    store(&hub, "4", "de");
    struct wh_subscribe_result result = recover(&hub, &arena, 1, &client);
    assert_true(result.was_recovering && result.recovered);
    assert_int_equal(result.offset, 1); /* the client advances through the publications */
    assert_int_equal(result.publications.count, 1);
    assert_int_equal(result.publications.items[0].offset, 3);
    store(&hub, "5", "de");
    store(&hub, "6", "en");
    struct wh_reply reply = client_next(client, &arena);
    assert_int_equal(reply.push->pub->offset, 6);
    client_expect_open(client);
    /* From the last that the client saw: what it did not see before is no gap. */
    result = recover(&hub, &arena, 3, NULL);
    assert_true(result.recovered);
    assert_int_equal(result.publications.count, 1);
    assert_int_equal(result.publications.items[0].offset, 6);
    wh_arena_deinit(&arena);
    hub_stop(&hub);
}

static void test_recovery_without_anything_that_passes_ends_at_the_top(void **state)
{
    (void)state;
    struct hub hub;
    struct wh_arena arena = {0};
    hub_start_with_streams(&hub, FILTERS, STREAM, NULL);
    for (int i = 0; i < 5; i++)
        store(&hub, "1", "de");
    struct wh_subscribe_result result = recover(&hub, &arena, 2, NULL);
    assert_true(result.recovered);
    assert_int_equal(result.publications.count, 0);
    assert_int_equal(result.offset, 5);
    result = recover(&hub, &arena, 7, NULL);
    assert_false(result.recovered);
    wh_arena_deinit(&arena);
    hub_stop(&hub);
}

static void on_removed(void *user, enum wh_err err)
{
    (void)user;
    assert_int_equal(err, WH_OK);
}

static void test_a_hole_in_the_stream_ends_those_with_a_filter_too(void **state)
{
    (void)state;
    struct hub hub;
    hub_start_with_streams(&hub, FILTERS, STREAM, NULL);
    struct fake_transport *english[2];
    struct wh_arena arena = {0};
    for (size_t i = 0; i < COUNT(english); i++) {
        english[i] = hub_connect(&hub, WH_ENCODING_JSON);
        client_send(english[i], SUBSCRIBE("2", LANG("en")));
        hub_turn(&hub);
        assert_non_null(client_next(english[i], &arena).subscribe);
    }
    /* One that the node does not hear of and that is gone when it looks. */
    struct broker *broker = hub.node.broker;
    broker->ops->unsubscribe(broker, WH_SLICE_LITERAL("a"));
    store(&hub, "1", "de");
    broker->ops->history_remove(broker, WH_SLICE_LITERAL("a"), on_removed, NULL);
    struct wh_pub late = {
        .data = {WH_PAYLOAD_JSON, WH_SLICE_LITERAL("2")},
        .offset = 2,
        .epoch = WH_SLICE_LITERAL("late"),
    };
    registry_publication(&hub.node.registry, WH_SLICE_LITERAL("a"), &late, false);
    hub_turn(&hub);
    for (size_t i = 0; i < COUNT(english); i++) {
        struct wh_reply reply = client_next(english[i], &arena);
        assert_non_null(reply.push);
        assert_non_null(reply.push->unsubscribe);
        assert_int_equal(reply.push->unsubscribe->code, WH_UNSUBSCRIBE_INSUFFICIENT_STATE);
    }
    wh_arena_deinit(&arena);
    hub_stop(&hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_subscriber_gets_what_its_filter_passes),
        cmocka_unit_test(test_equal_filters_are_one_group_that_ends_with_its_last_member),
        cmocka_unit_test(test_all_encodings_are_filtered),
        cmocka_unit_test(test_a_filter_that_cannot_be_had_is_a_bad_request),
        cmocka_unit_test(test_who_joins_or_leaves_is_in_order_with_publications),
        cmocka_unit_test(test_joins_reach_those_with_a_filter),
        cmocka_unit_test(
            test_what_a_json_client_cannot_be_shown_closes_only_whose_filter_passes_it),
        cmocka_unit_test(test_recovery_counts_all_and_returns_what_passes),
        cmocka_unit_test(test_recovery_without_anything_that_passes_ends_at_the_top),
        cmocka_unit_test(test_a_hole_in_the_stream_ends_those_with_a_filter_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
