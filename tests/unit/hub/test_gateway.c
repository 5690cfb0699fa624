/* The promise of gateway_start: an error at once, or `done` later, and never both. */
#include "hub/gateway.h"
#include "hub_fixture.h"

struct asked {
    struct gateway_call base;
    unsigned done;
    uint32_t code;
    char data[512];
};

static void on_done(struct gateway_call *base, const struct rpc_outcome *outcome)
{
    struct asked *asked = WH_CONTAINER_OF(base, struct asked, base);
    asked->done++;
    asked->code = outcome->code;
    assert_true(outcome->data.bytes.len < sizeof(asked->data));
    if (outcome->data.bytes.len > 0)
        memcpy(asked->data, outcome->data.bytes.ptr, outcome->data.bytes.len);
}

static enum wh_code start(struct hub *hub,
                          struct asked *asked,
                          const char *method,
                          const char *params,
                          const char *user,
                          bool is_server)
{
    uint64_t wait_ms = 0;
    *asked = (struct asked){.base.done = on_done};
    struct gateway_caller caller = {
        .user = wh_slice_from_str(user), .peer = "192.0.2.1", .is_server = is_server};
    struct gateway_request request = {
        .method = wh_slice_from_str(method),
        .params = {WH_PAYLOAD_JSON, wh_slice_from_str(params)},
    };
    enum wh_code code = gateway_start(&hub->node, &caller, &request, &asked->base, &wait_ms);
    assert_int_equal(asked->done, 0);
    assert_int_equal(wait_ms > 0, code == WH_ERROR_TOO_MANY_REQUESTS);
    return code;
}

#define METHODS                                                                                    \
    "--rpc.methods=[{name: closed.*, access: user}, {name: staff.*, access: role, roles: [x]}]"
#define PAGES                                                                                      \
    "--rpc.compositions=[{name: page.all, access: anonymous, calls: "                              \
    "[{as: a, method: closed.a}, {as: b, method: staff.b}]}, {name: page.users, calls: "           \
    "[{as: a, method: free.a}]}]"

static void an_error_at_once_is_the_only_answer(void **state)
{
    static const struct {
        const char *method, *params, *user;
        enum wh_code code;
    } cases[] = {
        {"nodot", NULL, "ann", WH_ERROR_METHOD_NOT_FOUND},
        {"", NULL, "ann", WH_ERROR_METHOD_NOT_FOUND},
        {"free.a", "{", "ann", WH_ERROR_BAD_REQUEST},
        {"closed.a", "{}", "", WH_ERROR_UNAUTHORIZED},
        {"staff.a", "{}", "ann", WH_ERROR_PERMISSION_DENIED},
        {"page.users", "{}", "", WH_ERROR_UNAUTHORIZED},
        {"page.users", "[]", "ann", WH_ERROR_BAD_REQUEST},
    };
    (void)state;
    struct hub hub;
    struct asked asked;
    hub_start(&hub, METHODS, PAGES, NULL);
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(
            start(&hub, &asked, cases[i].method, cases[i].params, cases[i].user, false),
            cases[i].code);
        hub_turn(&hub);
        assert_int_equal(asked.done, 0);
    }
    hub_stop(&hub);
}

static void a_call_ends_once_and_later(void **state)
{
    (void)state;
    struct hub hub;
    struct asked asked;
    hub_start(&hub, METHODS, PAGES, NULL);
    assert_int_equal(start(&hub, &asked, "free.a", NULL, "", false), WH_NO_ERROR);
    hub_turn(&hub);
    assert_int_equal(asked.done, 1);
    assert_int_equal(asked.code, WH_ERROR_NOT_AVAILABLE); /* there is no Redis */
    hub_stop(&hub);
}

static void a_composition_of_refusals_ends_once_and_later(void **state)
{
    (void)state;
    struct hub hub;
    struct asked asked;
    hub_start(&hub, METHODS, PAGES, NULL);
    assert_int_equal(start(&hub, &asked, "page.all", NULL, "", false), WH_NO_ERROR);
    hub_turn(&hub);
    assert_int_equal(asked.done, 1);
    assert_int_equal(asked.code, 0);
    assert_string_equal(asked.data,
                        "{\"a\":{\"error\":{\"code\":101,\"message\":\"unauthorized\"}},"
                        "\"b\":{\"error\":{\"code\":101,\"message\":\"unauthorized\"}}}");
    assert_int_equal(start(&hub, &asked, "page.all", NULL, "ann", false), WH_NO_ERROR);
    hub_turn(&hub);
    assert_string_equal(asked.data,
                        "{\"a\":{\"error\":{\"code\":108,\"message\":\"not available\"}},"
                        "\"b\":{\"error\":{\"code\":103,\"message\":\"permission denied\"}}}");
    hub_stop(&hub);
}

static void what_is_cancelled_never_ends(void **state)
{
    static const char *const methods[] = {"free.a", "page.all"};
    (void)state;
    struct hub hub;
    struct asked asked;
    hub_start(&hub, METHODS, PAGES, NULL);
    for (size_t i = 0; i < COUNT(methods); i++) {
        for (int with_user = 0; with_user < 2; with_user++) {
            assert_int_equal(start(&hub, &asked, methods[i], NULL, with_user ? "ann" : "", false),
                             WH_NO_ERROR);
            gateway_cancel(&asked.base);
            gateway_cancel(&asked.base); /* harmless */
            hub_turn(&hub);
            assert_int_equal(asked.done, 0);
        }
    }
    hub_stop(&hub);
}

static void the_server_has_neither_rules_nor_rates(void **state)
{
    (void)state;
    struct hub hub;
    struct asked asked;
    hub_start(&hub, METHODS, "--client.rate_limit.address.rpc.rate=1", NULL);
    assert_int_equal(start(&hub, &asked, "free.a", NULL, "", false), WH_NO_ERROR);
    hub_turn(&hub);
    assert_int_equal(start(&hub, &asked, "free.a", NULL, "", false), WH_ERROR_TOO_MANY_REQUESTS);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(start(&hub, &asked, "staff.a", NULL, "", true), WH_NO_ERROR);
        hub_turn(&hub);
        assert_int_equal(asked.code, WH_ERROR_NOT_AVAILABLE);
    }
    hub_stop(&hub);
}

static void the_list_of_services_ends_once_and_later_or_never(void **state)
{
    (void)state;
    struct hub hub;
    struct asked asked;
    hub_start(&hub, METHODS, PAGES, NULL);
    assert_int_equal(start(&hub, &asked, GATEWAY_LIST_METHOD, NULL, "", false),
                     WH_ERROR_UNAUTHORIZED);
    assert_int_equal(start(&hub, &asked, GATEWAY_LIST_METHOD, NULL, "ann", false),
                     WH_ERROR_PERMISSION_DENIED);
    assert_int_equal(start(&hub, &asked, GATEWAY_LIST_METHOD, NULL, "", true), WH_NO_ERROR);
    hub_turn(&hub);
    assert_int_equal(asked.done, 1);
    assert_int_equal(asked.code, WH_ERROR_NOT_AVAILABLE); /* there is no Redis */
    assert_int_equal(start(&hub, &asked, GATEWAY_LIST_METHOD, NULL, "", true), WH_NO_ERROR);
    gateway_cancel(&asked.base);
    gateway_cancel(&asked.base);
    hub_turn(&hub);
    assert_int_equal(asked.done, 0);
    hub_stop(&hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_at_once_is_the_only_answer),
        cmocka_unit_test(a_call_ends_once_and_later),
        cmocka_unit_test(a_composition_of_refusals_ends_once_and_later),
        cmocka_unit_test(what_is_cancelled_never_ends),
        cmocka_unit_test(the_server_has_neither_rules_nor_rates),
        cmocka_unit_test(the_list_of_services_ends_once_and_later_or_never),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
