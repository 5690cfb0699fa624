#include "common/protocol/otlp_json.h"

#include "common/base/clock.h"
#include "common/protocol/json.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct wh_otlp_resource resource = {"wirehub", "1.2.3", "node-1"};

/* By hand from opentelemetry-proto's trace.proto and the rules for its JSON form. */
static const char golden[] =
    "{\"resourceSpans\":[{\"resource\":{\"attributes\":["
    "{\"key\":\"service.name\",\"value\":{\"stringValue\":\"wirehub\"}},"
    "{\"key\":\"service.version\",\"value\":{\"stringValue\":\"1.2.3\"}},"
    "{\"key\":\"service.instance.id\",\"value\":{\"stringValue\":\"node-1\"}}]},"
    "\"scopeSpans\":[{\"scope\":{\"name\":\"wirehub\"},\"spans\":["
    "{\"traceId\":\"0af7651916cd43dd8448eb211c80319c\",\"spanId\":\"00f067aa0ba902b7\","
    "\"parentSpanId\":\"b7ad6b7169203331\",\"name\":\"rpc \\\"a\\\".b\",\"kind\":3,"
    "\"startTimeUnixNano\":\"1700000000123000000\",\"endTimeUnixNano\":\"1700000000124000000\","
    "\"flags\":1,"
    "\"attributes\":[{\"key\":\"user\",\"value\":{\"stringValue\":\"\u00e4\\n\"}},"
    "{\"key\":\"n\",\"value\":{\"intValue\":\"-9223372036854775808\"}}],"
    "\"links\":[{\"traceId\":\"01000000000000000000000000000000\","
    "\"spanId\":\"0000000000000002\"}],"
    "\"status\":{\"code\":2,\"message\":\"away\"}},"
    "{\"traceId\":\"0af7651916cd43dd8448eb211c80319c\",\"spanId\":\"0000000000000001\","
    "\"name\":\"plain\",\"kind\":1,"
    "\"startTimeUnixNano\":\"1700000000123000000\",\"endTimeUnixNano\":\"1700000000123000000\","
    "\"flags\":1}"
    "]}]}]}";

static void set_id(struct wh_span *span, const char *traceparent)
{
    assert_int_equal(wh_trace_parse(wh_slice_from_str(traceparent), &span->trace), WH_OK);
}

static void spans_are_written_as_the_collector_wants_them(void **state)
{
    (void)state;
    const struct wh_tracer_options options = {.ratio = 1, .capacity = 4};
    struct wh_tracer *tracer;
    struct wh_trace parent, trace, other = {.trace_id = {1}, .span_id = {[7] = 2}};
    struct wh_span *spans[2];
    assert_int_equal(wh_tracer_new(&options, &tracer), WH_OK);
    assert_int_equal(wh_trace_parse(WH_SLICE_LITERAL("00-0af7651916cd43dd8448eb211c80319c-"
                                                     "b7ad6b7169203331-01"),
                                    &parent),
                     WH_OK);
    wh_clock_set_fake(1, 1700000000123);
    spans[0] =
        wh_span_start(tracer, &parent, WH_SPAN_CLIENT, WH_SLICE_LITERAL("rpc \"a\".b"), &trace);
    set_id(spans[0], "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01");
    wh_span_text(spans[0], "user", WH_SLICE_LITERAL("\u00e4\n"));
    wh_span_number(spans[0], "n", INT64_MIN);
    wh_span_link(spans[0], &other);
    wh_span_fail(spans[0], WH_SLICE_LITERAL("away"));
    spans[1] = wh_span_start(tracer, NULL, WH_SPAN_INTERNAL, WH_SLICE_LITERAL("plain"), &trace);
    set_id(spans[1], "00-0af7651916cd43dd8448eb211c80319c-0000000000000001-01");
    wh_span_end(spans[1]);
    wh_clock_set_fake(2, 1700000000124);
    wh_span_end(spans[0]);
    wh_clock_set_real();
    assert_int_equal(wh_tracer_take(tracer, spans, 2), 2);

    struct wh_span *reversed[2] = {spans[1], spans[0]};
    struct wh_buf out = {0};
    wh_otlp_encode(&resource, reversed, 2, &out);
    assert_int_equal(wh_buf_error(&out), WH_OK);
    assert_string_equal(wh_buf_cstr(&out), golden);
    wh_buf_deinit(&out);
    wh_span_free(spans[0]);
    wh_span_free(spans[1]);
    wh_tracer_free(tracer);
}

/* Method names and users come from strangers, and are cut anywhere. */
static void what_is_no_utf_8_or_has_control_characters_stays_one_document(void **state)
{
    (void)state;
    const struct wh_tracer_options options = {.ratio = 1, .capacity = 4};
    struct wh_tracer *tracer;
    struct wh_trace trace;
    struct wh_buf out = {0};
    assert_int_equal(wh_tracer_new(&options, &tracer), WH_OK);
    struct wh_span *span = wh_span_start(tracer, NULL, WH_SPAN_SERVER,
                                         WH_SLICE_LITERAL("\xc3\x28\"\\\x01\xff"), &trace);
    wh_span_text(span, "a", WH_SLICE_LITERAL("\xe2\x82"));
    wh_span_text(span, "b", WH_SLICE_ABSENT);
    wh_span_fail(span, WH_SLICE_LITERAL("\xf0\x9f\n"));
    wh_otlp_encode(&(struct wh_otlp_resource){0}, &span, 1, &out);
    assert_int_equal(wh_buf_error(&out), WH_OK);
    assert_true(wh_json_is_valid(wh_buf_slice(&out)));
    wh_buf_deinit(&out);
    wh_span_free(span);
    wh_tracer_free(tracer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_are_written_as_the_collector_wants_them),
        cmocka_unit_test(what_is_no_utf_8_or_has_control_characters_stays_one_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
