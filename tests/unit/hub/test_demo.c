/* What the demo page may ask its worker for, and that nobody may without demo.enabled. */
#include "hub/demo.h"

#include "common/base/wheel.h"
#include "hub_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <wh_version.h>

static int raised;

static int note_signal(int number)
{
    raised = number;
    return 0;
}

struct demo_hub {
    struct hub hub;
    struct demo_shared *shared;
};

static void start(struct demo_hub *demo)
{
    hub_start(&demo->hub, "--client.recovery_max_publication_limit=6000", NULL);
    raised = 0;
    assert_int_equal(demo_shared_new(&demo->shared), WH_OK);
    assert_int_equal(
        demo_new(&demo->hub.node,
                 &(struct demo_options){
                     .shared = demo->shared, .worker = 1, .workers = 2, .raise = note_signal},
                 &demo->hub.node.demo),
        WH_OK);
}

static void stop(struct demo_hub *demo)
{
    demo_free(demo->hub.node.demo);
    demo->hub.node.demo = NULL;
    hub_stop(&demo->hub);
    demo_shared_free(demo->shared);
}

static void ask(struct fake_transport *client, const char *method, const char *params)
{
    static unsigned id = 1;
    client_send(client, "{\"id\":%u,\"rpc\":{\"method\":\"%s\",\"data\":%s}}", ++id, method,
                params);
}

/* The reply to the last ask: its error, 0 = none; `out_data` gets the payload. */
static uint32_t answer(struct hub *hub, struct fake_transport *client, char *out_data, size_t size)
{
    struct wh_arena arena;
    wh_arena_init(&arena, 0);
    hub_turn(hub);
    struct wh_reply reply = client_next(client, &arena);
    uint32_t code = reply.error ? reply.error->code : 0;
    assert_true(reply.error || reply.rpc);
    if (reply.error)
        assert_int_equal(reply.error->temporary, wh_code_is_temporary(code));
    else
        snprintf(out_data, size, "%.*s", WH_SLICE_ARGS(reply.rpc->data.bytes));
    wh_arena_deinit(&arena);
    return code;
}

static uint32_t call(struct hub *hub,
                     struct fake_transport *client,
                     const char *method,
                     const char *params)
{
    char data[1024];
    ask(client, method, params);
    return answer(hub, client, data, sizeof(data));
}

static void without_the_demo_there_are_no_such_methods(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    struct fake_transport *ann = hub_connect_as(&hub, "ann");
    uint32_t unknown = call(&hub, ann, "hub.v1.nothing", "{}");
    assert_int_equal(call(&hub, ann, "hub.v1.info", "{}"), unknown);
    assert_int_equal(call(&hub, ann, "hub.v1.kill", "{\"signal\":\"kill\"}"), unknown);
    client_expect_open(ann);
    hub_stop(&hub);
}

static void with_the_demo_other_names_are_as_unknown_as_before(void **state)
{
    static const char *const names[] = {"hub.v1.nothing", "hub.v1.kil", "hub.v1.kill2",
                                        "hub.v2.kill"};
    (void)state;
    struct demo_hub demo;
    start(&demo);
    struct fake_transport *ann = hub_connect_as(&demo.hub, "ann");
    uint32_t unknown = call(&demo.hub, ann, "other.v1.nothing", "{}");
    for (size_t i = 0; i < COUNT(names); i++)
        assert_int_equal(call(&demo.hub, ann, names[i], "{\"signal\":\"kill\"}"), unknown);
    stop(&demo);
}

static void info_describes_this_worker_to_anybody(void **state)
{
    char data[1024], wanted[1024];
    (void)state;
    struct demo_hub demo;
    start(&demo);
    struct fake_transport *stranger = hub_connect(&demo.hub, WH_ENCODING_JSON);
    (void)hub_connect_as(&demo.hub, "ann");
    hub_advance(&demo.hub, 1234);
    ask(stranger, "hub.v1.info", "{}");
    assert_int_equal(answer(&demo.hub, stranger, data, sizeof(data)), 0);
    snprintf(wanted, sizeof(wanted),
             "{\"node\":\"%s\",\"pid\":%d,\"worker\":1,\"workers\":2,\"uptime_ms\":1234,"
             "\"connections\":2,\"version\":\"%s\",\"engine\":\"%s\",\"limits\":"
             "{\"recovery_max_publications\":6000,\"queue_max_bytes\":1048576,"
             "\"kill_interval_ms\":5000}}",
             demo.hub.node.id, (int)getpid(), WH_VERSION,
             demo.hub.config->engine.type == ENGINE_REDIS ? "redis" : "memory");
    assert_string_equal(data, wanted);
    stop(&demo);
}

static void kill_wants_a_user(void **state)
{
    (void)state;
    struct demo_hub demo;
    start(&demo);
    struct fake_transport *stranger = hub_connect(&demo.hub, WH_ENCODING_JSON);
    assert_int_equal(call(&demo.hub, stranger, "hub.v1.kill", "{\"signal\":\"kill\"}"),
                     WH_ERROR_UNAUTHORIZED);
    hub_advance(&demo.hub, 1000);
    assert_int_equal(raised, 0);
    stop(&demo);
}

static void kill_takes_two_signals_and_nothing_else(void **state)
{
    static const char *const wrong[] = {
        "{}", "null",     "{\"signal\":\"KILL\"}",        "{\"signal\":9}", "{\"signal\":\"segv\"}",
        "[]", "\"kill\"", "{\"signal\":\"kill\\u0000\"}",
    };
    (void)state;
    struct demo_hub demo;
    start(&demo);
    struct fake_transport *ann = hub_connect_as(&demo.hub, "ann");
    for (size_t i = 0; i < COUNT(wrong); i++)
        assert_int_equal(call(&demo.hub, ann, "hub.v1.kill", wrong[i]), WH_ERROR_BAD_REQUEST);
    hub_advance(&demo.hub, 1000);
    assert_int_equal(raised, 0);
    stop(&demo);
}

static void the_answer_leaves_before_the_signal_comes(void **state)
{
    static const struct {
        const char *name;
        int number;
    } signals[] = {{"kill", SIGKILL}, {"term", SIGTERM}};
    (void)state;
    struct demo_hub demo;
    start(&demo);
    struct fake_transport *ann = hub_connect_as(&demo.hub, "ann");
    for (size_t i = 0; i < COUNT(signals); i++) {
        char params[64], data[1024], wanted[256];
        raised = 0;
        snprintf(params, sizeof(params), "{\"signal\":\"%s\"}", signals[i].name);
        ask(ann, "hub.v1.kill", params);
        assert_int_equal(answer(&demo.hub, ann, data, sizeof(data)), 0);
        snprintf(wanted, sizeof(wanted),
                 "{\"node\":\"%s\",\"pid\":%d,\"signal\":\"%s\",\"in_ms\":%d}", demo.hub.node.id,
                 (int)getpid(), signals[i].name, DEMO_KILL_DELAY_MS);
        assert_string_equal(data, wanted);
        hub_advance(&demo.hub, DEMO_KILL_DELAY_MS - 1);
        assert_int_equal(raised, 0);
        hub_advance(&demo.hub, WH_WHEEL_TICK_MS);
        assert_int_equal(raised, signals[i].number);
        hub_advance(&demo.hub, DEMO_KILL_INTERVAL_MS);
    }
    stop(&demo);
}

static void one_kill_at_a_time_for_all_workers(void **state)
{
    (void)state;
    struct demo_hub demo;
    start(&demo);
    struct demo *other = NULL; /* another worker of the same hub */
    assert_int_equal(
        demo_new(&demo.hub.node,
                 &(struct demo_options){
                     .shared = demo.shared, .worker = 0, .workers = 2, .raise = note_signal},
                 &other),
        WH_OK);
    struct demo *mine = demo.hub.node.demo;
    struct fake_transport *ann = hub_connect_as(&demo.hub, "ann");
    assert_int_equal(call(&demo.hub, ann, "hub.v1.kill", "{\"signal\":\"kill\"}"), 0);
    demo.hub.node.demo = other;
    assert_int_equal(call(&demo.hub, ann, "hub.v1.kill", "{\"signal\":\"kill\"}"),
                     WH_ERROR_TOO_MANY_REQUESTS);
    hub_advance(&demo.hub, DEMO_KILL_INTERVAL_MS - 1);
    assert_int_equal(call(&demo.hub, ann, "hub.v1.kill", "{\"signal\":\"kill\"}"),
                     WH_ERROR_TOO_MANY_REQUESTS);
    hub_advance(&demo.hub, 1);
    assert_int_equal(call(&demo.hub, ann, "hub.v1.kill", "{\"signal\":\"kill\"}"), 0);
    demo.hub.node.demo = mine;
    demo_free(other);
    stop(&demo);
}

static void an_ordered_death_is_told_from_a_crash_once(void **state)
{
    (void)state;
    struct demo_hub demo;
    start(&demo);
    struct fake_transport *ann = hub_connect_as(&demo.hub, "ann");
    assert_false(demo_take_order(demo.shared, getpid()));
    assert_int_equal(call(&demo.hub, ann, "hub.v1.kill", "{\"signal\":\"kill\"}"), 0);
    assert_false(demo_take_order(demo.shared, getpid() + 1));
    assert_true(demo_take_order(demo.shared, getpid()));
    assert_false(demo_take_order(demo.shared, getpid()));
    assert_false(demo_take_order(NULL, getpid()));
    stop(&demo);
}

/* Whoever asks and leaves in one breath: no reply to nobody, and the worker dies all the same. */
static void a_caller_that_leaves_does_not_save_the_worker(void **state)
{
    (void)state;
    struct demo_hub demo;
    start(&demo);
    struct fake_transport *ann = hub_connect_as(&demo.hub, "ann");
    ask(ann, "hub.v1.kill", "{\"signal\":\"term\"}");
    hub_cut(ann);
    hub_turn(&demo.hub);
    hub_advance(&demo.hub, DEMO_KILL_DELAY_MS + WH_WHEEL_TICK_MS);
    assert_int_equal(raised, SIGTERM);
    stop(&demo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_the_demo_there_are_no_such_methods),
        cmocka_unit_test(with_the_demo_other_names_are_as_unknown_as_before),
        cmocka_unit_test(info_describes_this_worker_to_anybody),
        cmocka_unit_test(kill_wants_a_user),
        cmocka_unit_test(kill_takes_two_signals_and_nothing_else),
        cmocka_unit_test(the_answer_leaves_before_the_signal_comes),
        cmocka_unit_test(one_kill_at_a_time_for_all_workers),
        cmocka_unit_test(an_ordered_death_is_told_from_a_crash_once),
        cmocka_unit_test(a_caller_that_leaves_does_not_save_the_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
