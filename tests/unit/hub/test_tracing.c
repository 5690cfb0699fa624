/* Which spans a hub makes of what its clients do, and where they stand. */
#include "hub/tracing.h"

#include "hub/http.h"
#include "hub_fixture.h"

#include <stdio.h>
#include <string.h>

#define ID   "0af7651916cd43dd8448eb211c80319c"
#define SPAN "b7ad6b7169203331"

/* A collector that is not there: the tests take the spans before the exporter does. */
#define ON "--opentelemetry.enabled=true", "--opentelemetry.endpoint=http://127.0.0.1:1"

static const uint8_t no_parent[WH_SPAN_ID_BYTES];

/* The oldest finished span, which must have this name; wh_span_free it. */
static struct wh_span *next_span(struct hub *hub, const char *name)
{
    struct wh_span *span = NULL;
    hub_turn(hub);
    if (wh_tracer_take(tracing_tracer(&hub->node), &span, 1) != 1)
        fail_msg("no span, not even %s", name);
    if (strcmp(span->name, name) != 0)
        fail_msg("'%s', not '%s'", span->name, name);
    return span;
}

static void no_span(struct hub *hub)
{
    hub_turn(hub);
    assert_int_equal(wh_tracer_count(tracing_tracer(&hub->node)), 0);
}

/* What is left would be sent. */
static void stop(struct hub *hub)
{
    struct wh_span *span;
    hub_turn(hub);
    while (hub->node.tracing && wh_tracer_take(tracing_tracer(&hub->node), &span, 1) == 1)
        wh_span_free(span);
    hub_stop(hub);
}

static void skip_span(struct hub *hub, const char *name)
{
    wh_span_free(next_span(hub, name));
}

static struct wh_trace parse(const char *text)
{
    struct wh_trace trace;
    assert_int_equal(wh_trace_parse(wh_slice_from_str(text), &trace), WH_OK);
    return trace;
}

static void a_connect_continues_the_trace_of_its_client(void **state)
{
    static const char *const headers[] = {"traceparent", "Traceparent"};
    (void)state;
    struct wh_trace origin = parse("00-" ID "-" SPAN "-01");
    struct hub hub;
    hub_start(&hub, ON, "--opentelemetry.sample_ratio=0", NULL);
    for (size_t i = 0; i < COUNT(headers); i++) {
        struct fake_transport *client = hub_open(&hub, WH_ENCODING_JSON);
        client_send(client,
                    "{\"id\":1,\"connect\":{\"headers\":{\"%s\":\"00-" ID "-" SPAN "-01\"}}}",
                    headers[i]);
        struct wh_span *span = next_span(&hub, "ws.command connect");
        assert_memory_equal(span->trace.trace_id, origin.trace_id, WH_TRACE_ID_BYTES);
        assert_memory_equal(span->parent_id, origin.span_id, WH_SPAN_ID_BYTES);
        assert_int_equal(span->kind, WH_SPAN_SERVER);
        assert_int_equal(span->status, WH_SPAN_UNSET);
        wh_span_free(span);
    }
    stop(&hub);
}

static void the_header_of_the_upgrade_counts_unless_connect_has_another(void **state)
{
    (void)state;
    struct wh_trace origin = parse("00-" ID "-" SPAN "-01");
    struct hub hub;
    hub_start(&hub, ON, NULL);
    struct fake_transport *client = hub_open(&hub, WH_ENCODING_JSON);
    tracing_keep_origin(client->session, WH_SLICE_LITERAL(" 00-" ID "-" SPAN "-01\t"));
    client_send(client, "{\"id\":1,\"connect\":{\"headers\":{\"traceparent\":\"nonsense\"}}}");
    struct wh_span *span = next_span(&hub, "ws.command connect");
    assert_memory_equal(span->trace.trace_id, origin.trace_id, WH_TRACE_ID_BYTES);
    wh_span_free(span);

    client = hub_open(&hub, WH_ENCODING_JSON);
    tracing_keep_origin(client->session, WH_SLICE_LITERAL("00-1" ID "-" SPAN "-01"));
    assert_null(client->session->trace);
    tracing_keep_origin(client->session, WH_SLICE_LITERAL("00-11111111111111111111111111111111-"
                                                          "1111111111111111-01"));
    client_send(client,
                "{\"id\":1,\"connect\":{\"headers\":{\"traceparent\":\"00-" ID "-" SPAN "-01\"}}}");
    span = next_span(&hub, "ws.command connect");
    assert_memory_equal(span->trace.trace_id, origin.trace_id, WH_TRACE_ID_BYTES);
    wh_span_free(span);
    stop(&hub);
}

static void a_malformed_context_begins_a_new_trace(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, ON, NULL);
    struct fake_transport *client = hub_open(&hub, WH_ENCODING_JSON);
    client_send(client, "{\"id\":1,\"connect\":{\"headers\":{\"traceparent\":\"00-" ID
                        "-0000000000000000-01\"}}}");
    struct wh_span *span = next_span(&hub, "ws.command connect");
    assert_memory_equal(span->parent_id, no_parent, sizeof(no_parent));
    wh_span_free(span);
    client_expect_open(client);
    stop(&hub);
}

static void each_later_command_is_a_trace_linked_to_the_connection(void **state)
{
    (void)state;
    struct wh_trace origin = parse("00-" ID "-" SPAN "-01");
    struct hub hub;
    hub_start(&hub, ON, "--opentelemetry.sample_ratio=0", NULL);
    struct fake_transport *client = hub_open(&hub, WH_ENCODING_JSON);
    tracing_keep_origin(client->session, WH_SLICE_LITERAL("00-" ID "-" SPAN "-01"));
    client_send(client, "{\"id\":1,\"connect\":{}}");
    skip_span(&hub, "ws.command connect");
    client_send(client, "{\"id\":2,\"rpc\":{\"method\":\"a.b\",\"data\":{}}}");
    struct wh_span *call = next_span(&hub, "rpc a.b");
    struct wh_span *command = next_span(&hub, "ws.command rpc");
    assert_memory_not_equal(command->trace.trace_id, origin.trace_id, WH_TRACE_ID_BYTES);
    assert_memory_equal(command->parent_id, no_parent, sizeof(no_parent));
    assert_memory_equal(&command->link, &origin, sizeof(origin));
    assert_memory_equal(call->trace.trace_id, command->trace.trace_id, WH_TRACE_ID_BYTES);
    assert_memory_equal(call->parent_id, command->trace.span_id, WH_SPAN_ID_BYTES);
    assert_int_equal(call->kind, WH_SPAN_CLIENT);
    /* No Redis: 108, which both of them tell. */
    assert_int_equal(call->status, WH_SPAN_ERROR);
    assert_int_equal(command->status, WH_SPAN_ERROR);
    assert_int_equal(command->attributes[command->attribute_count - 1].number, 108);
    wh_span_free(call);
    wh_span_free(command);
    stop(&hub);
}

static void who_is_not_sampled_leaves_no_span(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, ON, "--opentelemetry.sample_ratio=0", NULL);
    hub_connect(&hub, WH_ENCODING_JSON);
    struct fake_transport *client = hub_open(&hub, WH_ENCODING_JSON);
    tracing_keep_origin(client->session, WH_SLICE_LITERAL("00-" ID "-" SPAN "-00"));
    client_send(client, "{\"id\":1,\"connect\":{}}");
    client_send(client, "{\"id\":2,\"rpc\":{\"method\":\"a.b\",\"data\":{}}}");
    no_span(&hub);
    stop(&hub);
}

static void a_command_that_waits_ends_with_its_answer(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, ON, NULL);
    struct fake_transport *client = hub_connect(&hub, WH_ENCODING_JSON);
    skip_span(&hub, "ws.command connect");
    hub.broker->is_manual = true;
    client_send(client, "{\"id\":2,\"subscribe\":{\"channel\":\"news\"}}");
    no_span(&hub);
    fake_broker_answer(hub.broker, CALL_SUBSCRIBE, NULL, WH_OK);
    skip_span(&hub, "ws.command subscribe");
    client_send(client, "{\"id\":3,\"publish\":{\"channel\":\"news\",\"data\":1}}");
    no_span(&hub);
    fake_broker_answer(hub.broker, CALL_PUBLISH, NULL, WH_EIO);
    struct wh_span *publish = next_span(&hub, "publish");
    struct wh_span *command = next_span(&hub, "ws.command publish");
    assert_int_equal(publish->kind, WH_SPAN_PRODUCER);
    assert_memory_equal(publish->parent_id, command->trace.span_id, WH_SPAN_ID_BYTES);
    assert_int_equal(publish->status, WH_SPAN_ERROR);
    assert_int_equal(command->status, WH_SPAN_ERROR);
    wh_span_free(publish);
    wh_span_free(command);
    stop(&hub);
}

static void a_client_that_leaves_in_between_leaks_no_span(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, ON, NULL);
    struct fake_transport *client = hub_connect(&hub, WH_ENCODING_JSON);
    skip_span(&hub, "ws.command connect");
    hub.broker->is_manual = true;
    client_send(client, "{\"id\":2,\"publish\":{\"channel\":\"news\",\"data\":1}}");
    client_send(client, "{\"id\":3,\"rpc\":{\"method\":\"a.b\",\"data\":{}}}");
    hub_cut(client);
    fake_broker_answer(hub.broker, CALL_PUBLISH, NULL, WH_OK);
    hub_turn(&hub);
    unsigned count = 0;
    struct wh_span *span;
    while (wh_tracer_take(tracing_tracer(&hub.node), &span, 1) == 1) {
        count++;
        wh_span_free(span);
    }
    assert_int_equal(count, 4); /* both commands, both of their parts */
    stop(&hub);
}

static void commands_that_are_small_are_not_traced(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, ON, NULL);
    struct fake_transport *client = hub_connect(&hub, WH_ENCODING_JSON);
    skip_span(&hub, "ws.command connect");
    client_send(client, "{\"id\":2,\"ping\":{}}");
    client_send(client, "{\"id\":3,\"unsubscribe\":{\"channel\":\"news\"}}");
    no_span(&hub);
    stop(&hub);
}

static void without_tracing_nothing_is_kept_and_contexts_go_through(void **state)
{
    (void)state;
    char text[WH_TRACEPARENT_LEN + 1];
    struct tracing_scope scope;
    struct hub hub;
    hub_start(&hub, NULL);
    assert_null(tracing_tracer(&hub.node));
    struct fake_transport *client = hub_open(&hub, WH_ENCODING_JSON);
    tracing_keep_origin(client->session, WH_SLICE_LITERAL("00-" ID "-" SPAN "-01"));
    assert_null(client->session->trace);

    struct http_request request = {.traceparent = WH_SLICE_LITERAL("cc-" ID "-" SPAN "-03-x")};
    tracing_begin_http(&hub.node, &request, WH_SLICE_LITERAL("a"), &scope);
    assert_null(scope.span);
    assert_true(wh_slice_equal_str(tracing_traceparent(&scope, text), "00-" ID "-" SPAN "-01"));
    request.traceparent = WH_SLICE_LITERAL("nonsense");
    tracing_begin_http(&hub.node, &request, WH_SLICE_LITERAL("a"), &scope);
    assert_null(tracing_traceparent(&scope, text).ptr);
    stop(&hub);
}

static char lines[8192];

static void on_line(void *user, const char *line, size_t len)
{
    (void)user;
    strncat(lines, line, len < sizeof(lines) - strlen(lines) ? len : 0);
}

static void log_lines_of_a_command_name_its_trace(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, ON, NULL);
    lines[0] = '\0';
    wh_log_setup("wirehub", WH_LOG_LOGFMT);
    wh_log_set_sink(on_line, NULL);
    wh_log_set_level(WH_LOG_INFO);
    struct fake_transport *client = hub_open(&hub, WH_ENCODING_JSON);
    tracing_keep_origin(client->session, WH_SLICE_LITERAL("00-" ID "-" SPAN "-01"));
    client_send(client, "{\"id\":1,\"connect\":{\"token\":\"x.y.z\"}}");
    wh_log(WH_LOG_WARN, "test", "after", "a=1");
    wh_log_set_sink(NULL, NULL);
    wh_log_set_level(WH_LOG_NONE);
    const char *failed = strstr(lines, "event=auth_failed");
    const char *after = strstr(lines, "event=after");
    assert_non_null(failed);
    assert_non_null(after);
    const char *id = strstr(failed, "trace_id=" ID);
    assert_true(id && id < after);
    assert_null(strstr(after, "trace_id"));
    stop(&hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connect_continues_the_trace_of_its_client),
        cmocka_unit_test(the_header_of_the_upgrade_counts_unless_connect_has_another),
        cmocka_unit_test(a_malformed_context_begins_a_new_trace),
        cmocka_unit_test(each_later_command_is_a_trace_linked_to_the_connection),
        cmocka_unit_test(who_is_not_sampled_leaves_no_span),
        cmocka_unit_test(a_command_that_waits_ends_with_its_answer),
        cmocka_unit_test(a_client_that_leaves_in_between_leaks_no_span),
        cmocka_unit_test(commands_that_are_small_are_not_traced),
        cmocka_unit_test(without_tracing_nothing_is_kept_and_contexts_go_through),
        cmocka_unit_test(log_lines_of_a_command_name_its_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
