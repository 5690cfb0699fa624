/* What the configuration says about rpc.methods and rpc.compositions that are wrong or doubtful. */
#include "tests/unit/hub/config_fixture.h"

#include <stdio.h>

#define START                                                                                      \
    "client: { allow_anonymous_connect_without_token: true }\nengine: { type: redis }\nrpc:\n"

static void expect(const char *yaml, enum wh_err err, const char *problems)
{
    char text[4096];
    snprintf(text, sizeof(text), START "%s\n", yaml);
    struct loaded loaded = load_text(text);
    assert_string_equal(wh_buf_cstr(&loaded.problems), problems);
    assert_int_equal(loaded.err, err);
    unload(&loaded);
}

static void rules_that_would_not_protect_are_errors(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *problem;
    } cases[] = {
        {"{ name: a.b, access: role }",
         "w.yaml:4:35: rpc.methods[0].access: role needs roles, or nobody could call it\n"},
        {"{ name: a.b, roles: [ x ] }",
         "w.yaml:4:34: rpc.methods[0].roles: are only asked for with access: role\n"},
        {"{ name: a.b, access: user, roles: [ x ] }",
         "w.yaml:4:48: rpc.methods[0].roles: are only asked for with access: role\n"},
        {"{ access: user }", "w.yaml:4:24: rpc.methods[0].name: is missing\n"},
        {"{ name: a, access: user }",
         "w.yaml:4:22: rpc.methods[0].name: \"a\" is neither a method (orders.v1.create) nor how "
         "methods begin (orders.*)\n"},
        {"{ name: \"a.*.b\", access: user }",
         "w.yaml:4:22: rpc.methods[0].name: \"a.*.b\" is neither a method (orders.v1.create) nor "
         "how methods begin (orders.*)\n"},
        {"{ name: \"a..*\", access: user }",
         "w.yaml:4:22: rpc.methods[0].name: \"a..*\" is neither a method (orders.v1.create) nor "
         "how methods begin (orders.*)\n"},
        {"{ name: \"a b.*\", access: user }",
         "w.yaml:4:22: rpc.methods[0].name: \"a b.*\" is neither a method (orders.v1.create) nor "
         "how methods begin (orders.*)\n"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char yaml[512];
        snprintf(yaml, sizeof(yaml), "  methods: [ %s ]", cases[i].rule);
        expect(yaml, WH_EFORMAT, cases[i].problem);
    }
}

static void rules_that_do_nothing_are_warnings(void **state)
{
    (void)state;
    expect("  methods: [ { name: a.b, access: anonymous } ]", WH_OK,
           "warning: w.yaml:4:35: rpc.methods[0].access: anonymous adds nothing: what a service "
           "asks for holds in any case\n");
    expect("  methods: [ { name: a.b } ]", WH_OK,
           "warning: w.yaml:4:22: rpc.methods[0].name: has neither access nor timeout: no "
           "effect\n");
    expect("  methods: [ { name: \"*\", access: user }, { name: a.*, timeout: 1s },\n"
           "    { name: a.v1.x, access: role, roles: [ y ] }, { name: a.$svc.*, access: user } ]",
           WH_OK, "");
}

static void compositions_say_what_is_wrong_with_them(void **state)
{
    (void)state;
    expect("  compositions:\n"
           "  - { name: p.v1.a, calls: [ { as: x, method: s.m }, { as: x, method: s.n } ] }\n"
           "  - { name: p.v1.b, calls: [ { as: x, method: p.v1.a } ] }\n"
           "  - { name: p.v1.c, calls: [ { method: s } ] }\n"
           "  - { name: p.v1.c, access: role, calls: [ { as: x } ] }\n"
           "  - { name: p, calls: [] }\n"
           "  - { access: user, calls: [ { as: x, method: s.m } ] }",
           WH_EFORMAT,
           "w.yaml:5:60: rpc.compositions[0].calls[1].as: \"x\" is the name of an earlier call "
           "too\n"
           "w.yaml:6:47: rpc.compositions[1].calls[0].method: is a composition itself; only "
           "methods of services can be composed\n"
           "w.yaml:7:40: rpc.compositions[2].calls[0].method: \"s\" is no name of a method\n"
           "w.yaml:7:40: rpc.compositions[2].calls[0].as: is missing\n"
           "w.yaml:8:13: rpc.compositions[3].name: is the name of an earlier composition too\n"
           "w.yaml:8:29: rpc.compositions[3].access: role needs roles, or nobody could call it\n"
           "w.yaml:8:50: rpc.compositions[3].calls[0].method: is missing\n"
           "w.yaml:9:13: rpc.compositions[4].name: \"p\" is no name of a method (shop.v1.home)\n"
           "w.yaml:9:23: rpc.compositions[4].calls: needs 1 to 16 methods\n"
           "w.yaml:10:15: rpc.compositions[5].name: is missing\n");
}

static void a_composition_has_at_most_sixteen_calls(void **state)
{
    (void)state;
    char yaml[2048] = "  compositions: [ { name: p.v1.a, calls: [ ";
    size_t len = strlen(yaml);
    for (int i = 0; i < 16; i++)
        len += (size_t)snprintf(yaml + len, sizeof(yaml) - len, "{ as: x%d, method: s.m }, ", i);
    snprintf(yaml + len, sizeof(yaml) - len, "] } ]");
    expect(yaml, WH_OK, "");
    snprintf(yaml + len, sizeof(yaml) - len, "{ as: y, method: s.m } ] } ]");
    expect(yaml, WH_EFORMAT, "w.yaml:4:42: rpc.compositions[0].calls: needs 1 to 16 methods\n");
}

static void without_redis_they_have_no_effect(void **state)
{
    (void)state;
    struct loaded loaded = load_text("client: { allow_anonymous_connect_without_token: true }\n"
                                     "rpc: { methods: [ { name: \"*\", access: user } ] }\n");
    assert_string_equal(
        wh_buf_cstr(&loaded.problems),
        "warning: w.yaml:2:17: rpc.methods: no effect: calls need engine.type redis\n");
    unload(&loaded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_that_would_not_protect_are_errors),
        cmocka_unit_test(rules_that_do_nothing_are_warnings),
        cmocka_unit_test(compositions_say_what_is_wrong_with_them),
        cmocka_unit_test(a_composition_has_at_most_sixteen_calls),
        cmocka_unit_test(without_redis_they_have_no_effect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
