/* What happens to commands that come too fast. */
#include "hub/session.h"
#include "hub_fixture.h"

#define OK_REPLY(id, verb) "{\"id\":" #id ",\"" verb "\":{}}"
#define TOO_MANY(id)                                                                               \
    "{\"id\":" #id ",\"error\":{\"code\":111,\"message\":\"too many "                              \
    "requests\",\"temporary\":true}}"

static void commands_over_their_rate_are_told_so_in_their_place(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, "--client.rate_limit.connection.subscribe.rate=1",
              "--client.rate_limit.connection.subscribe.burst=2", NULL);
    struct fake_transport *client = hub_connect(&hub, WH_ENCODING_JSON);
    client_send(client, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n"
                        "{\"id\":3,\"subscribe\":{\"channel\":\"b\"}}\n"
                        "{\"id\":4,\"subscribe\":{\"channel\":\"c\"}}\n"
                        "{\"id\":5,\"unsubscribe\":{\"channel\":\"c\"}}");
    client_expect(client, OK_REPLY(2, "subscribe") "\n" OK_REPLY(3, "subscribe") "\n" TOO_MANY(
                              4) "\n" OK_REPLY(5, "unsubscribe"));
    hub_advance(&hub, 1000);
    client_send(client, "{\"id\":6,\"subscribe\":{\"channel\":\"c\"}}");
    client_expect(client, OK_REPLY(6, "subscribe"));
    assert_int_equal(hub_metric(&hub, METRIC_RATE_LIMITED_CONNECTION), 1);
    hub_stop(&hub);
}

static void a_connect_over_the_rate_of_its_address_is_refused_for_now(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, "--client.rate_limit.address.connect.rate=1", NULL);
    hub_connect(&hub, WH_ENCODING_JSON);
    struct fake_transport *second = hub_open(&hub, WH_ENCODING_JSON);
    client_send(second, "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"ping\":{}}");
    client_expect(second, TOO_MANY(1));
    client_expect(second, NULL);
    assert_int_equal(second->session->state, SESSION_REFUSED);
    hub_advance(&hub, 1000);
    hub_connect(&hub, WH_ENCODING_JSON);
    hub_stop(&hub);
}

static void a_connect_over_the_rate_of_its_user_is_refused_for_now(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, "--client.rate_limit.user.connect.rate=1", NULL);
    hub_connect_as(&hub, "42");
    struct fake_transport *second = hub_open(&hub, WH_ENCODING_JSON);
    client_send(second, "{\"id\":1,\"connect\":{\"token\":\"%s\"}}", hub_token("{\"sub\":\"42\"}"));
    client_expect(second, TOO_MANY(1));
    hub_connect_as(&hub, "43");
    hub_stop(&hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_over_their_rate_are_told_so_in_their_place),
        cmocka_unit_test(a_connect_over_the_rate_of_its_address_is_refused_for_now),
        cmocka_unit_test(a_connect_over_the_rate_of_its_user_is_refused_for_now),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
