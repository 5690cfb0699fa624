/*
 * What needs no Redis: who may call what, and that a call that cannot go anywhere ends once and
 * later.  The rest is in tests/integration/test_rpc.py, with real services.
 */
#include "hub/rpc.h"

#include "common/protocol/codes.h"
#include "hub_fixture.h"

struct caller {
    struct rpc_waiter waiter;
    unsigned done;
    uint32_t code;
};

static void on_done(struct rpc_waiter *waiter, const struct rpc_outcome *outcome)
{
    struct caller *caller = WH_CONTAINER_OF(waiter, struct caller, waiter);
    caller->done++;
    caller->code = outcome->code;
    assert_null(waiter->call);
    assert_true(outcome->message.len > 0);
}

static const struct rpc_request request = {.method = WH_SLICE_LITERAL("shop.v1.pay")};

static void the_announced_rule_decides_who_may_call(void **state)
{
    struct wh_slice wanted[] = {WH_SLICE_LITERAL("boss"), WH_SLICE_LITERAL("clerk")};
    struct wh_slice clerk[] = {WH_SLICE_LITERAL("guest"), WH_SLICE_LITERAL("clerk")};
    struct wh_slice guest[] = {WH_SLICE_LITERAL("guest"), WH_SLICE_LITERAL("Boss"),
                               WH_SLICE_LITERAL("")};
    const struct {
        enum rpc_access access;
        size_t wanted;
        const char *user;
        struct wh_strings roles;
        uint32_t code;
    } cases[] = {
        {RPC_ACCESS_ANONYMOUS, 0, "", {NULL, 0}, 0},
        {RPC_ACCESS_ANONYMOUS, 0, "ann", {NULL, 0}, 0},
        {RPC_ACCESS_USER, 0, "", {NULL, 0}, 101},
        {RPC_ACCESS_USER, 0, "", {clerk, 2}, 101},
        {RPC_ACCESS_USER, 0, "ann", {NULL, 0}, 0},
        {RPC_ACCESS_ROLE, 2, "", {clerk, 2}, 101},
        {RPC_ACCESS_ROLE, 2, "ann", {NULL, 0}, 103},
        {RPC_ACCESS_ROLE, 2, "ann", {guest, 3}, 103},
        {RPC_ACCESS_ROLE, 2, "ann", {clerk, 2}, 0},
        {RPC_ACCESS_ROLE, 0, "ann", {clerk, 2}, 103}, /* a rule that names nobody lets nobody in */
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct rpc_method method = {.access = cases[i].access, .roles = {wanted, cases[i].wanted}};
        assert_int_equal(
            rpc_method_check(&method, wh_slice_from_str(cases[i].user), &cases[i].roles),
            cases[i].code);
    }
}

static void without_redis_a_call_ends_with_108_after_start_has_returned(void **state)
{
    (void)state;
    struct hub hub;
    struct caller caller = {.waiter.done = on_done};
    hub_start(&hub, NULL);
    rpc_start(hub.node.rpc, &request, &caller.waiter);
    assert_int_equal(caller.done, 0);
    assert_non_null(caller.waiter.call);
    hub_turn(&hub);
    hub_turn(&hub);
    assert_int_equal(caller.done, 1);
    assert_int_equal(caller.code, WH_ERROR_NOT_AVAILABLE);
    assert_null(rpc_method_find(hub.node.rpc, request.method));
    hub_stop(&hub);
}

static void a_cancelled_call_says_nothing(void **state)
{
    (void)state;
    struct hub hub;
    struct caller caller = {.waiter.done = on_done};
    hub_start(&hub, NULL);
    rpc_cancel(&caller.waiter); /* none under way */
    rpc_start(hub.node.rpc, &request, &caller.waiter);
    rpc_cancel(&caller.waiter);
    rpc_cancel(&caller.waiter);
    hub_turn(&hub);
    assert_int_equal(caller.done, 0);
    hub_stop(&hub);
}

static void calls_of_a_connection_are_limited_and_forgotten_with_it(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, "--rpc.connection_inflight_limit=2", NULL);
    struct fake_transport *client = hub_connect(&hub, WH_ENCODING_JSON);
    client_send(client, "{\"id\":2,\"rpc\":{\"method\":\"a.b\"}}\n"
                        "{\"id\":3,\"rpc\":{\"method\":\"a.b\"}}\n"
                        "{\"id\":4,\"rpc\":{\"method\":\"a.b\"}}");
    client_expect(client, "{\"id\":4,\"error\":{\"code\":111,\"message\":\"too many requests\","
                          "\"temporary\":true}}\n"
                          "{\"id\":2,\"error\":{\"code\":108,\"message\":\"not available\"}}\n"
                          "{\"id\":3,\"error\":{\"code\":108,\"message\":\"not available\"}}");
    client_send(client, "{\"id\":5,\"rpc\":{\"method\":\"a.b\"}}");
    hub_cut(client);
    hub_stop(&hub);
}

#define NOT_AVAILABLE(id) "{\"id\":" #id ",\"error\":{\"code\":108,\"message\":\"not available\"}}"

static void a_call_does_not_wait_for_commands_that_wait(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    struct fake_transport *client = hub_connect(&hub, WH_ENCODING_JSON);
    hub.broker->is_manual = true;
    client_send(client, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n"
                        "{\"id\":3,\"rpc\":{\"method\":\"a.b\"}}");
    client_expect(client, NOT_AVAILABLE(3));
    client_expect(client, NULL);
    fake_broker_answer(hub.broker, CALL_SUBSCRIBE, "a", WH_OK);
    client_expect(client, "{\"id\":2,\"subscribe\":{}}");
    hub.broker->is_manual = false;
    hub_stop(&hub);
}

static void a_call_behind_a_connect_that_waits_comes_after_its_reply(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    struct fake_transport *client = hub_open(&hub, WH_ENCODING_JSON);
    hub.broker->is_manual = true;
    client_send(client,
                "{\"id\":1,\"connect\":{\"token\":\"%s\"}}\n"
                "{\"id\":2,\"rpc\":{\"method\":\"a.b\"}}",
                hub_token("{\"sub\":\"ann\",\"channels\":[\"a\"]}"));
    client_expect(client, NULL);
    client_expect_open(client);
    fake_broker_answer(hub.broker, CALL_SUBSCRIBE, "a", WH_OK);
    hub_turn(&hub);
    struct wh_arena arena = {0};
    struct wh_reply reply = client_next(client, &arena);
    assert_int_equal(reply.id, 1);
    assert_non_null(reply.connect);
    wh_arena_deinit(&arena);
    hub.broker->is_manual = false;
    hub_stop(&hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_announced_rule_decides_who_may_call),
        cmocka_unit_test(without_redis_a_call_ends_with_108_after_start_has_returned),
        cmocka_unit_test(a_cancelled_call_says_nothing),
        cmocka_unit_test(calls_of_a_connection_are_limited_and_forgotten_with_it),
        cmocka_unit_test(a_call_does_not_wait_for_commands_that_wait),
        cmocka_unit_test(a_call_behind_a_connect_that_waits_comes_after_its_reply),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
