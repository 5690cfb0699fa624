/*
 * A fake server with history, and everything that can come between: messages
 * on their way are lost with the connection, callbacks lag behind, the program
 * unsubscribes inside them, history is trimmed, streams begin anew.  Whatever happens, the program
 * gets every offset once and in order, or is told that some are lost.
 */
#include "common/base/random.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/fake_sdk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { WIRE_MAX = 4096, TEXT_MAX = 16384 };

struct server {
    char epoch[8];
    uint64_t top, oldest; /* offsets; oldest = the first that is kept */
    bool is_subscribed;   /* on the present connection */
    uint64_t epochs;
    char *wire[WIRE_MAX]; /* to the client, in order */
    size_t wire_first, wire_count;
};

struct world {
    struct fake_sdk fake;
    struct server server;
    struct wh_sub *sub;
    bool may_unsubscribe; /* inside callbacks */
    bool is_tortured;     /* memory fails */
    bool has_started;
    char epoch[8]; /* the program's view */
    uint64_t seen;
    size_t publications, losses, recoveries, unsubscribes;
};

/* ---- the server
 * -------------------------------------------------------------------------------------- */

WH_PRINTF(2, 3) static void put(struct server *server, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    assert_true(len > 0 && len < TEXT_MAX && server->wire_count < WIRE_MAX);
    char *copy = malloc((size_t)len + 1);
    assert_non_null(copy);
    memcpy(copy, text, (size_t)len + 1);
    server->wire[(server->wire_first + server->wire_count++) % WIRE_MAX] = copy;
}

static char *take_wire(struct server *server)
{
    if (server->wire_count == 0)
        return NULL;
    char *text = server->wire[server->wire_first];
    server->wire_first = (server->wire_first + 1) % WIRE_MAX;
    server->wire_count--;
    return text;
}

static void hang_up(struct server *server)
{
    char *text;
    while ((text = take_wire(server)))
        free(text);
    server->is_subscribed = false;
}

static void new_stream(struct server *server)
{
    snprintf(server->epoch, sizeof(server->epoch), "e%u", (unsigned)(server->epochs++ % 1000));
    server->top = 0;
    server->oldest = 1;
    if (server->is_subscribed)
        put(server,
            "{\"push\":{\"channel\":\"c\",\"unsubscribe\":{\"code\":2500,\"reason\":\"i\"}}}");
    server->is_subscribed = false;
}

static void publish(struct server *server)
{
    server->top++;
    if (server->is_subscribed)
        put(server, "{\"push\":{\"channel\":\"c\",\"pub\":{\"data\":\"%s/%llu\",\"offset\":%llu}}}",
            server->epoch, (unsigned long long)server->top, (unsigned long long)server->top);
}

static void reply_recovered(struct server *server, uint32_t id, uint64_t from)
{
    char list[TEXT_MAX] = "";
    size_t len = 0;
    for (uint64_t offset = from + 1; offset <= server->top; offset++)
        len += (size_t)snprintf(
            list + len, sizeof(list) - len, "%s{\"data\":\"%s/%llu\",\"offset\":%llu}",
            len ? "," : "", server->epoch, (unsigned long long)offset, (unsigned long long)offset);
    put(server,
        "{\"id\":%u,\"subscribe\":{\"recoverable\":true,\"positioned\":true,\"epoch\":\"%s\","
        "\"offset\":%llu,\"was_recovering\":true,\"recovered\":true,\"publications\":[%s]}}",
        id, server->epoch, (unsigned long long)from, list);
}

static void on_subscribe(struct server *server,
                         uint32_t id,
                         const struct wh_subscribe_request *request)
{
    if (server->is_subscribed) {
        put(server, "{\"id\":%u,\"error\":{\"code\":105,\"message\":\"already subscribed\"}}", id);
        return;
    }
    if (wh_random_below(20) == 0) {
        put(server, "{\"id\":%u,\"error\":{\"code\":100,\"message\":\"i\",\"temporary\":true}}",
            id);
        return;
    }
    server->is_subscribed = true;
    bool is_known = request->recover && wh_slice_equal_str(request->epoch, server->epoch) &&
                    request->offset <= server->top && request->offset + 1 >= server->oldest &&
                    server->top - request->offset <= 300;
    if (is_known)
        reply_recovered(server, id, request->offset);
    else
        put(server,
            "{\"id\":%u,\"subscribe\":{\"recoverable\":true,\"positioned\":true,\"epoch\":\"%s\","
            "\"offset\":%llu%s}}",
            id, server->epoch, (unsigned long long)server->top,
            request->recover ? ",\"was_recovering\":true" : "");
}

/* What the client sent so far reaches the server. */
static void serve(struct world *world)
{
    struct wh_command *command;
    while ((command = fake_sdk_take_command(&world->fake))) {
        if (command->connect)
            put(&world->server, "{\"id\":%u,\"connect\":{\"client\":\"x\",\"version\":\"1\"}}",
                command->id);
        else if (command->subscribe)
            on_subscribe(&world->server, command->id, command->subscribe);
        else if (command->unsubscribe) {
            world->server.is_subscribed = false;
            put(&world->server, "{\"id\":%u,\"unsubscribe\":{}}", command->id);
        }
    }
}

static bool deliver_one(struct world *world)
{
    char *text = take_wire(&world->server);
    if (!text)
        return false;
    fake_sdk_receive_bytes(&world->fake, text, strlen(text));
    free(text);
    return true;
}

/* The transport does what it is told. */
static void act(struct world *world)
{
    bool is_open = world->fake.engine.is_open;
    if (fake_sdk_act(&world->fake) || !is_open)
        hang_up(&world->server);
}

/* ---- the program
 * -------------------------------------------------------------------------------------- */

static void on_subscribed(struct world *world, const struct wh_subscribed *subscribed)
{
    if (subscribed->recovered) {
        assert_string_equal(world->epoch, subscribed->position.epoch);
        world->recoveries++;
        return;
    }
    /* From nowhere only the first time: everything later continues or says that it does not. */
    if (world->has_started)
        assert_true(wh_subscribed_lost(subscribed));
    world->losses += world->has_started;
    world->has_started = true;
    snprintf(world->epoch, sizeof(world->epoch), "%s", subscribed->position.epoch);
    world->seen = subscribed->position.offset; /* the program reloads */
}

static void on_publication(struct world *world, const struct wh_publication *pub)
{
    char text[40];
    snprintf(text, sizeof(text), "\"%s/%llu\"", world->epoch, (unsigned long long)world->seen + 1);
    assert_int_equal(pub->offset, world->seen + 1);
    assert_int_equal(pub->data.len, strlen(text));
    assert_memory_equal(pub->data.ptr, text, pub->data.len);
    world->seen++;
    world->publications++;
}

static void subscribe(struct world *world)
{
    enum wh_err err = sub_subscribe(world->sub);
    if (err != WH_OK)
        assert_true(world->is_tortured && err == WH_ENOMEM);
}

static void in_callback(struct world *world)
{
    if (!world->may_unsubscribe || wh_random_below(8) != 0)
        return;
    world->unsubscribes++;
    sub_unsubscribe(world->sub, 0, "unsubscribe called");
    if (wh_random_below(2) == 0)
        subscribe(world);
    /* Replies can come while the callback runs. */
    for (uint64_t i = wh_random_below(6); i > 0; i--) {
        serve(world);
        deliver_one(world);
    }
}

static void on_event(struct fake_sdk *fake, struct event *event)
{
    struct world *world = WH_CONTAINER_OF(fake, struct world, fake);
    if (event->kind == EVENT_SUBSCRIBED)
        on_subscribed(world, &event->u.subscribed);
    else if (event->kind == EVENT_PUBLICATION)
        on_publication(world, &event->u.publication);
    else
        return;
    in_callback(world);
}

/* ---- anything may happen
 * -------------------------------------------------------------------------------- */

static void program_step(struct world *world)
{
    if (wh_random_below(3) == 0) {
        world->unsubscribes++;
        sub_unsubscribe(world->sub, 0, "unsubscribe called");
    } else {
        subscribe(world);
    }
}

static void server_step(struct world *world, uint64_t dice)
{
    struct server *server = &world->server;
    if (dice == 0)
        new_stream(server);
    else if (dice == 1)
        server->oldest = server->top + 1 - wh_random_below(server->top > 4 ? 4 : server->top + 1);
    else if (dice == 2 && world->fake.engine.is_open) {
        fake_sdk_lose(&world->fake);
        hang_up(server);
    } else if (dice == 3 && server->is_subscribed) {
        server->is_subscribed = false;
        put(server, "{\"push\":{\"channel\":\"c\",\"unsubscribe\":{\"code\":%u,\"reason\":\"i\"}}}",
            wh_random_below(4) == 0 ? 2502 : 2500);
    }
}

static void step(struct world *world)
{
    uint64_t dice = wh_random_below(100);
    if (dice < 35)
        publish(&world->server);
    else if (dice < 60)
        deliver_one(world);
    else if (dice < 75)
        fake_sdk_run_one(&world->fake);
    else if (dice < 85)
        serve(world);
    else if (dice < 90)
        fake_sdk_advance(&world->fake, wh_random_below(3000));
    else if (dice < 93)
        program_step(world);
    else
        server_step(world, wh_random_below(50));
    act(world);
}

/* Until nothing moves any more. */
static void settle(struct world *world)
{
    world->may_unsubscribe = false;
    for (unsigned i = 0; i < 60; i++) {
        assert_int_equal(sub_subscribe(world->sub), WH_OK);
        act(world);
        serve(world);
        while (deliver_one(world)) {
        }
        fake_sdk_run(&world->fake);
        fake_sdk_advance(&world->fake, 1000);
    }
    assert_int_equal(world->sub->state, WH_SUB_SUBSCRIBED);
    assert_string_equal(world->epoch, world->server.epoch);
    assert_int_equal(world->seen, world->server.top);
}

static void world_init(struct world *world)
{
    static const struct wh_sub_options options = {.size = sizeof(options), .recoverable = true};
    memset(world, 0, sizeof(*world));
    assert_true(fake_sdk_init(&world->fake, NULL));
    world->fake.on_event = on_event;
    new_stream(&world->server);
    world->sub = fake_sdk_sub(&world->fake, "c", &options);
    assert_int_equal(engine_connect(&world->fake.engine), WH_OK);
}

static void world_deinit(struct world *world)
{
    hang_up(&world->server);
    fake_sdk_deinit(&world->fake);
}

static struct world the_world;

static void every_offset_comes_once_in_order_or_is_reported_lost(void **state)
{
    (void)state;
    size_t publications = 0, losses = 0, recoveries = 0, unsubscribes = 0;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct world *world = &the_world;
        wh_random_seed(seed);
        world_init(world);
        world->may_unsubscribe = true;
        for (unsigned i = 0; i < 3000; i++)
            step(world);
        settle(world);
        publications += world->publications;
        losses += world->losses;
        recoveries += world->recoveries;
        unsubscribes += world->unsubscribes;
        world_deinit(world);
    }
    print_message("%zu publications, %zu losses, %zu recoveries, %zu unsubscribes\n", publications,
                  losses, recoveries, unsubscribes);
    /* The dice did throw what they are for. */
    assert_true(publications > 1000 && losses > 100 && recoveries > 1000 && unsubscribes > 1000);
}

/* One allocation fails somewhere: what is owed to the program is the same. */
static void memory_that_fails_loses_nothing(void **state)
{
    (void)state;
    size_t nth = 1;
    for (bool has_failed = true; has_failed; nth++) {
        struct world *world = &the_world;
        wh_random_seed(5);
        world_init(world);
        world->may_unsubscribe = true;
        world->is_tortured = true;
        world->fake.on_harness = failing_alloc_pause;
        failing_alloc_start(nth);
        for (unsigned i = 0; i < 600; i++)
            step(world);
        has_failed = failing_alloc_stop();
        world->fake.on_harness = NULL;
        settle(world);
        world_deinit(world);
    }
    print_message("%zu allocations failed\n", nth - 2);
    assert_true(nth > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_offset_comes_once_in_order_or_is_reported_lost),
        cmocka_unit_test(memory_that_fails_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
