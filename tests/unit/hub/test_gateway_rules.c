#include "hub/gateway.h"
#include "hub_fixture.h"

#include <stdio.h>

static struct config *config;
static struct gateway_rules *rules;

static void load(const char *methods, const char *compositions)
{
    char flags[2][1024];
    snprintf(flags[0], sizeof(flags[0]), "--rpc.methods=%s", methods);
    snprintf(flags[1], sizeof(flags[1]), "--rpc.compositions=%s", compositions);
    config = hub_config((const char *const[]){flags[0], flags[1], NULL});
    assert_int_equal(gateway_rules_new(config, &rules), WH_OK);
    config_free(config); /* nothing of it is kept */
}

static int teardown(void **state)
{
    (void)state;
    gateway_rules_free(rules);
    rules = NULL;
    return 0;
}

static enum wh_code check(const char *method, const char *user, const char *role)
{
    struct wh_slice item = wh_slice_from_str(role);
    struct wh_strings roles = {&item, role != NULL};
    return gateway_rules_check(rules, wh_slice_from_str(method), wh_slice_from_str(user), &roles);
}

/* Rows: rules.  Columns: nobody, a user, one with the role, one with another. */
static void every_rule_that_matches_must_be_content(void **state)
{
    (void)state;
    static const struct {
        const char *method;
        enum wh_code nobody, user, clerk, other;
    } cases[] = {
        {"free.v1.a", 0, 0, 0, 0},
        {"mine.v1.a", 101, 0, 0, 0},
        {"mine.v1.ab", 0, 0, 0, 0}, /* a name without a star is exact */
        {"staff.v1.a", 101, 103, 0, 103},
        {"staff.v1", 0, 0, 0, 0},
        {"staff.v1.boss", 101, 103, 103, 103}, /* clerk by one rule, boss by the other */
        {"page.v1.open", 0, 0, 0, 0},
        {"page.v1.users", 101, 0, 0, 0},
        {"page.v1.staff", 101, 103, 0, 103},
        {"page.v1.both", 101, 103, 0, 103}, /* open by itself, closed by a rule */
    };
    load("[{name: mine.v1.a, access: user}, {name: staff.v1.*, access: role, roles: [clerk]}, "
         "{name: staff.v1.boss, access: role, roles: [boss]}, "
         "{name: page.v1.b*, access: role, roles: [clerk]}, {name: free.v1.a, access: anonymous}]",
         "[{name: page.v1.open, access: anonymous, calls: [{as: a, method: a.b}]}, "
         "{name: page.v1.users, calls: [{as: a, method: a.b}]}, "
         "{name: page.v1.staff, access: role, roles: [clerk], calls: [{as: a, method: a.b}]}, "
         "{name: page.v1.both, access: anonymous, calls: [{as: a, method: a.b}]}]");
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *method = cases[i].method;
        if (check(method, "", NULL) != cases[i].nobody ||
            check(method, "ann", NULL) != cases[i].user ||
            check(method, "ann", "clerk") != cases[i].clerk ||
            check(method, "ann", "other") != cases[i].other)
            fail_msg("%s: %d %d %d %d", method, (int)check(method, "", NULL),
                     (int)check(method, "ann", NULL), (int)check(method, "ann", "clerk"),
                     (int)check(method, "ann", "other"));
    }
}

/* Or a token without a user could open what is for users with a role. */
static void a_role_without_a_user_is_nothing(void **state)
{
    (void)state;
    load("[{name: '*', access: role, roles: [clerk]}]", "[]");
    assert_int_equal(check("any.v1.a", "", "clerk"), WH_ERROR_UNAUTHORIZED);
    assert_int_equal(check("any.v1.a", "ann", "clerk"), WH_NO_ERROR);
}

static void roles_are_compared_whole_and_as_they_are(void **state)
{
    (void)state;
    load("[{name: '*', access: role, roles: [clerk]}]", "[]");
    static const char *const near[] = {"clerks", "cler", "Clerk", " clerk", "*"};
    for (size_t i = 0; i < COUNT(near); i++)
        assert_int_equal(check("any.v1.a", "ann", near[i]), WH_ERROR_PERMISSION_DENIED);
}

static void the_shortest_time_of_the_rules_counts(void **state)
{
    (void)state;
    load("[{name: a.*, timeout: 3s}, {name: a.v1.x, timeout: 5s}, {name: a.v1.*, timeout: 1s}, "
         "{name: a.v2.*, access: user}]",
         "[]");
    assert_int_equal(gateway_rules_timeout_ms(rules, WH_SLICE_LITERAL("a.v1.x")), 1000);
    assert_int_equal(gateway_rules_timeout_ms(rules, WH_SLICE_LITERAL("a.v2.x")), 3000);
    assert_int_equal(gateway_rules_timeout_ms(rules, WH_SLICE_LITERAL("b.v2.x")), 0);
}

static void a_composition_is_found_by_its_whole_name(void **state)
{
    (void)state;
    load("[]", "[{name: page.v1.a, timeout: 2s, calls: [{as: x, method: s.one}, "
               "{as: y, method: s.two}]}]");
    const struct composition *found = gateway_rules_find(rules, WH_SLICE_LITERAL("page.v1.a"));
    assert_non_null(found);
    assert_int_equal(found->timeout_ms, 2000);
    assert_int_equal(found->call_count, 2);
    assert_true(wh_slice_equal_str(found->calls[1].as, "y"));
    assert_true(wh_slice_equal_str(found->calls[1].method, "s.two"));
    assert_null(gateway_rules_find(rules, WH_SLICE_LITERAL("page.v1")));
    assert_null(gateway_rules_find(rules, WH_SLICE_LITERAL("page.v1.ab")));
}

static void statuses_of_errors(void **state)
{
    (void)state;
    static const struct {
        uint32_t code;
        unsigned status;
    } cases[] = {
        {100, 500}, {101, 401}, {103, 403},  {104, 404},  {107, 400},  {108, 501},  {109, 401},
        {110, 401}, {111, 429}, {400, 400},  {409, 409},  {422, 422},  {499, 499},  {500, 500},
        {399, 500}, {105, 500}, {1000, 500}, {1503, 503}, {1504, 504}, {3000, 500},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(gateway_status(cases[i].code), cases[i].status);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(every_rule_that_matches_must_be_content, teardown),
        cmocka_unit_test_teardown(a_role_without_a_user_is_nothing, teardown),
        cmocka_unit_test_teardown(roles_are_compared_whole_and_as_they_are, teardown),
        cmocka_unit_test_teardown(the_shortest_time_of_the_rules_counts, teardown),
        cmocka_unit_test_teardown(a_composition_is_found_by_its_whole_name, teardown),
        cmocka_unit_test(statuses_of_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
