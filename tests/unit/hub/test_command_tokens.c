/* Tokens of subscriptions and refreshes: what they allow, and how each fault of theirs ends. */
#include "hub/command.h"
#include "hub/identity.h"
#include "hub/session.h"
#include "hub_fixture.h"

#define OK_REPLY(id, verb) "{\"id\":" #id ",\"" verb "\":{}}"
#define ERROR(id, code, message)                                                                   \
    "{\"id\":" #id ",\"error\":{\"code\":" #code ",\"message\":\"" message "\"}}"

static long long later(int seconds)
{
    return (long long)HUB_WALL_START_S + seconds;
}

static void subscription_token_opens_a_channel_and_sets_its_terms(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    struct fake_transport *client = hub_connect_as(&hub, "42");
    client_send(client, "{\"id\":2,\"subscribe\":{\"channel\":\"$a\",\"token\":\"%s\"}}",
                hub_token("{\"sub\":\"42\",\"channel\":\"$a\",\"exp\":%lld,"
                          "\"info\":{\"n\":1},\"data\":{\"hi\":2}}",
                          later(60)));
    client_expect(client, "{\"id\":2,\"subscribe\":{\"expires\":true,\"ttl\":60,"
                          "\"data\":{\"hi\":2}}}");
    struct subscription *subscription =
        registry_find(&hub.node.registry, client->session, WH_SLICE_LITERAL("$a"));
    assert_non_null(subscription);
    struct wh_info info = session_info(client->session, subscription);
    assert_true(wh_slice_equal_str(info.chan_info.bytes, "{\"n\":1}"));
    assert_true(wh_slice_equal_str(info.user, "42"));
    hub_stop(&hub);
}

static void failures_of_subscription_tokens(void **state)
{
    static const struct {
        const char *claims;
        const char *subscribe;   /* the reply; NULL = close with 3500 */
        const char *sub_refresh; /* the same */
    } cases[] = {
        {"{\"sub\":\"42\",\"channel\":\"$a\",\"exp\":1600000000}", ERROR(2, 109, "token expired"),
         ERROR(2, 109, "token expired")},
        {"{\"sub\":\"42\",\"channel\":\"$a\",\"expire_at\":1600000000}", ERROR(2, 110, "expired"),
         ERROR(2, 110, "expired")},
        {"{\"sub\":\"42\",\"channel\":\"$b\"}", NULL, NULL},
        {"{\"sub\":\"43\",\"channel\":\"$a\"}", NULL, NULL},
        {"{\"sub\":\"42\",\"channel\":\"$a\",\"client\":\"another\"}", NULL, NULL},
        {"{\"sub\":\"42\"}", ERROR(2, 103, "permission denied"), NULL}, /* not for channels */
    };
    static const char *const verbs[] = {"subscribe", "sub_refresh"};
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    for (size_t i = 0; i < COUNT(cases) * 2; i++) {
        struct fake_transport *client = hub_connect_as(&hub, "42");
        const char *reply = i % 2 ? cases[i / 2].sub_refresh : cases[i / 2].subscribe;
        if (i % 2) {
            client_send(client, "{\"id\":1,\"subscribe\":{\"channel\":\"$a\",\"token\":\"%s\"}}",
                        hub_token("{\"sub\":\"42\",\"channel\":\"$a\"}"));
            client_expect(client, OK_REPLY(1, "subscribe"));
        }
        client_send(client, "{\"id\":2,\"%s\":{\"channel\":\"$a\",\"token\":\"%s\"}}", verbs[i % 2],
                    hub_token("%s", cases[i / 2].claims));
        client_expect(client, reply);
        if (reply == NULL)
            client_expect_closed(client, WH_DISCONNECT_INVALID_TOKEN);
        else
            client_expect_open(client);
    }
    hub_stop(&hub);
}

static void sub_refresh_renews_or_says_why_not(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    struct fake_transport *client = hub_connect_as(&hub, "42");
    const char *token = hub_token("{\"sub\":\"42\",\"channel\":\"a\",\"exp\":%lld}", later(90));
    client_send(client, "{\"id\":2,\"sub_refresh\":{\"channel\":\"a\",\"token\":\"%s\"}}", token);
    client_expect(client, ERROR(2, 103, "permission denied")); /* not subscribed */
    client_subscribe(client, "a");
    client_send(client, "{\"id\":3,\"sub_refresh\":{\"channel\":\"a\"}}");
    client_expect(client, ERROR(3, 107, "bad request"));
    client_send(client, "{\"id\":4,\"sub_refresh\":{\"channel\":\"a\",\"type\":1}}");
    client_expect(client, ERROR(4, 108, "not available"));
    client_send(client, "{\"id\":5,\"sub_refresh\":{\"channel\":\"a\",\"token\":\"%s\"}}", token);
    client_expect(client, "{\"id\":5,\"sub_refresh\":{\"expires\":true,\"ttl\":90}}");
    client_send(client, "{\"id\":6,\"sub_refresh\":{\"channel\":\"a\",\"token\":\"%s\"}}",
                hub_token("{\"sub\":\"42\",\"channel\":\"a\"}"));
    client_expect(client, OK_REPLY(6, "sub_refresh"));
    client_send(client, "{\"id\":7,\"sub_refresh\":{\"channel\":\"a\",\"token\":\"x.y.z\"}}");
    client_expect(client, NULL);
    client_expect_closed(client, WH_DISCONNECT_INVALID_TOKEN);
    hub_stop(&hub);
}

static void refresh_renews_or_closes(void **state)
{
    static const struct {
        const char *claims;
        const char *reply;
        uint32_t code;
    } cases[] = {
        {"{\"sub\":\"42\",\"exp\":1700000060}",
         "{\"id\":2,\"refresh\":{\"expires\":true,\"ttl\":60}}", 0},
        {"{\"sub\":\"42\"}", OK_REPLY(2, "refresh"), 0},
        {"{\"sub\":\"42\",\"exp\":1600000000}", NULL, WH_DISCONNECT_EXPIRED},
        {"{\"sub\":\"42\",\"expire_at\":1600000000}", NULL, WH_DISCONNECT_EXPIRED},
        {"{\"sub\":\"43\"}", NULL, WH_DISCONNECT_INVALID_TOKEN},
        {"{\"sub\":\"42\",\"channel\":\"a\"}", NULL, WH_DISCONNECT_INVALID_TOKEN},
    };
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct fake_transport *client = hub_connect_as(&hub, "42");
        client_send(client, "{\"id\":2,\"refresh\":{\"token\":\"%s\"}}",
                    hub_token("%s", cases[i].claims));
        client_expect(client, cases[i].reply);
        if (cases[i].code)
            client_expect_closed(client, cases[i].code);
        else
            client_expect_open(client);
    }
    hub_stop(&hub);
}

static void a_session_keeps_what_its_last_token_says_of_roles_and_meta(void **state)
{
    static const struct {
        const char *claims, *role, *meta; /* NULL = none */
    } steps[] = {
        {"{\"sub\":\"42\",\"roles\":[\"admin\",\"ops\"],\"meta\":{\"plan\":\"pro\"}}", "ops",
         "{\"plan\":\"pro\"}"},
        {"{\"sub\":\"42\",\"roles\":[\"a\",\"b\"]}", "b", NULL},
        {"{\"sub\":\"42\",\"meta\":1}", NULL, "1"},
        {"{\"sub\":\"42\"}", NULL, NULL},
    };
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    struct fake_transport *client = hub_open(&hub, WH_ENCODING_JSON);
    for (size_t i = 0; i < COUNT(steps); i++) {
        client_send(client, "{\"id\":%zu,\"%s\":{\"token\":\"%s\"}}", i + 1,
                    i == 0 ? "connect" : "refresh", hub_token("%s", steps[i].claims));
        hub_turn(&hub);
        const struct identity *identity = client->session->identity;
        assert_int_equal(identity != NULL, steps[i].role || steps[i].meta);
        if (steps[i].role)
            assert_true(wh_slice_equal_str(identity->roles.items[1], steps[i].role));
        if (steps[i].meta)
            assert_true(wh_slice_equal_str(identity->meta.bytes, steps[i].meta));
        else if (identity)
            assert_false(wh_payload_is_present(identity->meta));
    }
    hub_stop(&hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(subscription_token_opens_a_channel_and_sets_its_terms),
        cmocka_unit_test(failures_of_subscription_tokens),
        cmocka_unit_test(sub_refresh_renews_or_says_why_not),
        cmocka_unit_test(refresh_renews_or_closes),
        cmocka_unit_test(a_session_keeps_what_its_last_token_says_of_roles_and_meta),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
