/* What happens to all sessions at once: drain, reload, close, and what /readyz says. */
#include "hub/node.h"

#include "failing_alloc.h"
#include "hub_fixture.h"

#define ERROR(id, code, message)                                                                   \
    "{\"id\":" #id ",\"error\":{\"code\":" #code ",\"message\":\"" message "\"}}"

static void assert_ready(struct hub *hub, bool is_ready, const char *json)
{
    struct wh_buf out = {0};
    assert_int_equal(node_is_ready(&hub->node, &out), is_ready);
    assert_string_equal(wh_buf_cstr(&out), json);
    wh_buf_deinit(&out);
}

static void readiness_speaks_of_broker_and_drain(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    struct broker_events *events = &hub.broker->events;
    assert_ready(&hub, true, "{\"ready\":true,\"checks\":{\"fake\":\"up\",\"draining\":false}}\n");
    events->on_state(events->user, false, "refused by \"redis\"\n");
    hub_advance(&hub, 2500);
    assert_ready(&hub, false,
                 "{\"ready\":false,\"checks\":{\"fake\":\"down 2.5s: refused by \\\"redis\\\"\\n\","
                 "\"draining\":false}}\n");
    events->on_state(events->user, false, "another reason"); /* still the same outage */
    hub_advance(&hub, 1000);
    assert_ready(&hub, false,
                 "{\"ready\":false,\"checks\":{\"fake\":\"down 3.5s: another reason\","
                 "\"draining\":false}}\n");
    events->on_state(events->user, true, "");
    hub.node.phase = NODE_DRAINING;
    assert_ready(&hub, false, "{\"ready\":false,\"checks\":{\"fake\":\"up\",\"draining\":true}}\n");
    hub_stop(&hub);
}

/* Drain */

static void on_drained(void *user)
{
    (*(int *)user)++;
}

static size_t count_closed(struct fake_transport *const *clients, size_t count)
{
    size_t closed = 0;
    for (size_t i = 0; i < count; i++)
        closed += clients[i]->is_closing;
    return closed;
}

static void drain_spreads_its_closes_over_the_time_it_is_given(void **state)
{
    enum { CLIENTS = 400, STEPS = 10 };
    (void)state;
    struct hub hub;
    struct fake_transport *clients[CLIENTS];
    int drained = 0;
    hub_start(&hub, "--drain.spread=10s", NULL);
    for (size_t i = 0; i < CLIENTS; i++)
        clients[i] = hub_connect(&hub, WH_ENCODING_JSON);
    node_drain(&hub.node, on_drained, &drained);
    size_t before = 0;
    for (int second = 1; second <= STEPS; second++) {
        assert_int_equal(drained, 0);
        hub_advance(&hub, 1000);
        size_t closed = count_closed(clients, CLIENTS);
        size_t share = closed - before;
        assert_true(second == STEPS || (share >= 20 && share <= 80)); /* 40 in the mean */
        before = closed;
    }
    hub_advance(&hub, 200);
    assert_int_equal(drained, 1);
    for (size_t i = 0; i < CLIENTS; i++)
        client_expect_closed(clients[i], WH_DISCONNECT_SHUTDOWN);
    hub_stop(&hub);
}

static void drain_without_sessions_is_done_at_once(void **state)
{
    (void)state;
    struct hub hub;
    int drained = 0;
    hub_start(&hub, "--drain.spread=10s", NULL);
    node_drain(&hub.node, on_drained, &drained);
    assert_int_equal(drained, 0); /* never from inside the call */
    hub_advance(&hub, 100);
    assert_int_equal(drained, 1);
    hub_stop(&hub);
}

static void drain_spares_commands_in_flight_until_the_grace_is_over(void **state)
{
    (void)state;
    struct hub hub;
    int drained = 0;
    hub_start(&hub, "--drain.spread=1s", NULL);
    hub.broker->is_manual = true;
    struct fake_transport *idle = hub_connect(&hub, WH_ENCODING_JSON);
    struct fake_transport *answered = hub_connect(&hub, WH_ENCODING_JSON);
    struct fake_transport *stuck = hub_connect(&hub, WH_ENCODING_JSON);
    client_send(answered, "{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":1}}");
    client_send(stuck, "{\"id\":2,\"subscribe\":{\"channel\":\"b\"}}");
    node_drain(&hub.node, on_drained, &drained);
    hub_advance(&hub, 1500);
    client_expect_closed(idle, WH_DISCONNECT_SHUTDOWN);
    client_expect_open(answered);
    client_expect_open(stuck);
    fake_broker_answer(hub.broker, CALL_PUBLISH, "a", WH_OK);
    client_expect(answered, "{\"id\":2,\"publish\":{}}");
    hub_advance(&hub, 100);
    client_expect_closed(answered, WH_DISCONNECT_SHUTDOWN);
    client_expect_open(stuck);
    assert_int_equal(drained, 0);
    hub_advance(&hub, DRAIN_GRACE_MS - 500);
    client_expect_closed(stuck, WH_DISCONNECT_SHUTDOWN);
    assert_int_equal(drained, 1);
    hub_stop(&hub);
}

static void close_ends_sessions_in_every_state(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    hub.broker->is_manual = true;
    struct fake_transport *fresh = hub_open(&hub, WH_ENCODING_JSON);
    struct fake_transport *waiting = hub_connect(&hub, WH_ENCODING_JSON);
    struct fake_transport *lagging = hub_connect(&hub, WH_ENCODING_JSON);
    struct fake_transport *doomed = hub_connect(&hub, WH_ENCODING_JSON);
    struct fake_transport *refused = hub_open(&hub, WH_ENCODING_JSON);
    client_send(waiting, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n{\"id\":3,\"ping\":{}}");
    fake_transport_set_room(lagging, 0);
    for (int i = 2; i < 5; i++) {
        client_send(lagging, "{\"id\":%d,\"ping\":{}}", i);
        hub_turn(&hub);
    }
    client_send(refused, "{\"id\":1,\"connect\":{\"token\":\"%s\"}}",
                hub_token("{\"sub\":\"42\",\"exp\":1}"));
    session_doom(doomed->session, WH_DISCONNECT_SLOW);
    hub_stop(&hub); /* which checks that nothing is left */
    (void)fresh;
}

/* Reload */

static void reload_config(struct hub *hub, struct config *config)
{
    struct wh_buf problem = {0};
    assert_int_equal(node_reload(&hub->node, config, &problem), WH_OK);
    config_free(hub->config); /* nothing refers to the old one any more */
    hub->config = config;
    wh_buf_deinit(&problem);
}

static void reload(struct hub *hub, const char *flag)
{
    const char *flags[] = {flag, NULL};
    reload_config(hub, hub_config(flags));
}

static void reload_resolves_channels_anew_and_keeps_subscribers(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    struct fake_transport *client = hub_connect(&hub, WH_ENCODING_JSON);
    client_subscribe(client, "news");
    client_subscribe(client, "talk:a");
    reload(&hub, "--channel.without_namespace.allow_subscribe_for_client=false");
    const struct channel *news = registry_channel(&hub.node.registry, WH_SLICE_LITERAL("news"));
    assert_ptr_equal(news->options, &hub.config->channel.without_namespace);
    assert_false(news->options->allow_subscribe_for_client);
    fake_broker_publish(hub.broker, "news", "1");
    client_expect(client, "{\"push\":{\"channel\":\"news\",\"pub\":{\"data\":1}}}");
    client_send(client, "{\"id\":2,\"subscribe\":{\"channel\":\"more\"}}");
    client_expect(client, ERROR(2, 103, "permission denied"));
    reload(&hub, "--channel.namespaces=[]");
    fake_broker_publish(hub.broker, "talk:a", "2");
    client_expect(client, "{\"push\":{\"channel\":\"talk:a\",\"pub\":{\"data\":2}}}");
    client_send(client, "{\"id\":3,\"publish\":{\"channel\":\"talk:a\",\"data\":1}}");
    client_expect(client, ERROR(3, 102, "unknown channel"));
    client_send(client, "{\"id\":4,\"sub_refresh\":{\"channel\":\"talk:a\",\"token\":\"%s\"}}",
                hub_token("{\"sub\":\"\",\"channel\":\"talk:a\"}"));
    client_expect(client, ERROR(4, 102, "unknown channel"));
    client_send(client, "{\"id\":5,\"unsubscribe\":{\"channel\":\"talk:a\"}}");
    client_expect(client, "{\"id\":5,\"unsubscribe\":{}}");
    hub_stop(&hub);
}

static void reload_changes_keys_and_keeps_connections(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    struct fake_transport *client = hub_connect_as(&hub, "42");
    struct config *config = hub_config(NULL);
    char another[] = "another secret, as long as the one before it";
    config->client.token.hmac_secret_key = another;
    reload_config(&hub, config);
    client_expect_open(client);
    client_subscribe(client, "news");
    struct fake_transport *late = hub_open(&hub, WH_ENCODING_JSON);
    client_send(late, "{\"id\":1,\"connect\":{\"token\":\"%s\"}}", hub_token("{\"sub\":\"42\"}"));
    client_expect_closed(late, WH_DISCONNECT_INVALID_TOKEN);
    hub_stop(&hub);
}

static void unusable_config_changes_nothing(void **state)
{
    (void)state;
    struct hub hub;
    struct wh_buf problem = {0};
    hub_start(&hub, NULL);
    struct config *config = hub_config(NULL);
    char nonsense[] = "-----BEGIN nothing";
    config->client.token.rsa_public_key = nonsense;
    assert_int_equal(node_reload(&hub.node, config, &problem), WH_EINVAL);
    assert_true(problem.len > 0);
    assert_ptr_equal(hub.node.config, hub.config);
    config_free(config);
    wh_buf_deinit(&problem);
    hub_connect_as(&hub, "42");
    hub_stop(&hub);
}

/* Start */

static enum wh_err make_broker(struct node *node,
                               const struct broker_events *events,
                               struct broker **out_broker)
{
    struct fake_broker *fake = fake_broker_new(node->loop, events);
    *out_broker = &fake->base;
    return WH_OK;
}

static void on_closed(void *user)
{
    (*(int *)user)++;
}

static void node_that_cannot_start_leaves_nothing(void **state)
{
    (void)state;
    struct wh_loop loop;
    struct metrics_shared *shared = NULL;
    struct config *config = hub_config(NULL);
    static struct node node;
    assert_int_equal(wh_loop_init(&loop), WH_OK);
    assert_int_equal(metrics_shared_new(1, &shared), WH_OK);
    struct metrics *metrics = metrics_open(shared, 0);
    for (size_t nth = 1;; nth++) {
        struct wh_buf problem = {0};
        failing_alloc_start(nth);
        enum wh_err err =
            node_init_with(&node, &loop, config, metrics, shared, make_broker, &problem);
        bool failed = failing_alloc_stop();
        wh_buf_deinit(&problem);
        if (err == WH_OK) {
            int closed = 0;
            node_close(&node, on_closed, &closed);
            loop.before_sleep.prepare_cb(&loop.before_sleep);
            assert_int_equal(closed, 1);
            node_deinit(&node);
        } else {
            assert_true(failed);
            assert_true(wh_list_is_empty(&loop.flushers));
        }
        if (!failed)
            break;
    }
    metrics_shared_free(shared);
    config_free(config);
    wh_loop_deinit(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readiness_speaks_of_broker_and_drain),
        cmocka_unit_test(drain_spreads_its_closes_over_the_time_it_is_given),
        cmocka_unit_test(drain_without_sessions_is_done_at_once),
        cmocka_unit_test(drain_spares_commands_in_flight_until_the_grace_is_over),
        cmocka_unit_test(close_ends_sessions_in_every_state),
        cmocka_unit_test(reload_resolves_channels_anew_and_keeps_subscribers),
        cmocka_unit_test(reload_changes_keys_and_keeps_connections),
        cmocka_unit_test(unusable_config_changes_nothing),
        cmocka_unit_test(node_that_cannot_start_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
