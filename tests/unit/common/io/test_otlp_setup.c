/* From options and variables to a tracer: what is taken, and what is refused with which words. */
#include "common/io/otlp_setup.h"

#include "tests/support/http_stub.h"
#include "tests/support/run_loop.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const variables[] = {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS",
                                        "OTEL_TRACES_SAMPLER_ARG"};
static struct wh_loop loop;
static struct http_stub collector;
static bool is_closed;

static void answer(struct http_stub *stub, const char *path, struct wh_buf *out)
{
    (void)stub;
    assert_string_equal(path, "/v1/traces");
    http_stub_respond(out, "200 OK", WH_SLICE_LITERAL("{}"));
}

static int setup(void **state)
{
    (void)state;
    setenv("no_proxy", "*", 1);
    for (size_t i = 0; i < COUNT(variables); i++)
        unsetenv(variables[i]);
    is_closed = false;
    assert_int_equal(wh_loop_init(&loop), WH_OK);
    http_stub_open(&collector, &loop, answer);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    http_stub_close(&collector);
    wh_loop_deinit(&loop);
    return 0;
}

static char *text(const char *literal)
{
    return (char *)(uintptr_t)literal;
}

static void on_closed(void *user)
{
    (void)user;
    is_closed = true;
}

/* Start, finish one span, end; whether the span was recorded. */
static bool run(const struct wh_otlp_config *config)
{
    const struct wh_otlp_resource resource = {"a", "b", "c"};
    struct wh_telemetry telemetry;
    struct wh_buf problem = {0};
    struct wh_trace trace;
    is_closed = false;
    assert_int_equal(wh_telemetry_start(&loop, config, &resource, NULL, NULL, &telemetry, &problem),
                     WH_OK);
    struct wh_span *span =
        wh_span_start(telemetry.tracer, NULL, WH_SPAN_SERVER, WH_SLICE_LITERAL("work"), &trace);
    bool is_recorded = span != NULL;
    wh_span_end(span);
    wh_otlp_close(telemetry.otlp, 10000, on_closed, NULL);
    assert_true(run_until_true(&loop, &is_closed, 10000));
    wh_telemetry_free(&telemetry);
    return is_recorded;
}

static const char *endpoint(void)
{
    static char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", collector.port);
    return url;
}

static bool collector_saw(const char *part)
{
    return strstr(wh_buf_cstr(&collector.request), part) != NULL;
}

static void options_are_obeyed(void **state)
{
    (void)state;
    setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1", 1); /* weaker than the option */
    setenv("OTEL_TRACES_SAMPLER_ARG", "0", 1);
    struct wh_otlp_config config = {.enabled = true,
                                    .endpoint = text(endpoint()),
                                    .sample_ratio = text("1"),
                                    .headers = text(" x-a = b%20c ,, X-D=e%3D%2cf")};
    assert_true(run(&config));
    assert_int_equal(collector.requests, 1);
    if (!collector_saw("\r\nx-a: b c\r\n") || !collector_saw("\r\nX-D: e=,f\r\n"))
        fail_msg("%s", wh_buf_cstr(&collector.request));
    config.sample_ratio = text("0");
    assert_false(run(&config));
}

static void variables_say_what_options_leave_open(void **state)
{
    (void)state;
    setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint(), 1);
    setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-v=1", 1);
    struct wh_otlp_config config = {.enabled = true, .endpoint = text("")};
    assert_true(run(&config)); /* everything by default */
    assert_true(collector_saw("\r\nx-v: 1\r\n"));
    setenv("OTEL_TRACES_SAMPLER_ARG", "0", 1);
    assert_false(run(&config));
}

static void disabled_is_off_whatever_else_is_said(void **state)
{
    (void)state;
    struct wh_otlp_config config = {.endpoint = text("nonsense")};
    struct wh_telemetry telemetry = {(struct wh_tracer *)1, (struct wh_otlp *)1};
    struct wh_buf problem = {0};
    assert_int_equal(wh_telemetry_start(&loop, &config, &(struct wh_otlp_resource){0}, NULL, NULL,
                                        &telemetry, &problem),
                     WH_OK);
    assert_null(telemetry.tracer);
    assert_null(telemetry.otlp);
    wh_telemetry_free(&telemetry);
}

static void what_is_wrong_is_named_and_no_header_is_shown(void **state)
{
    (void)state;
    static const struct {
        struct wh_otlp_config config;
        const char *name;
    } cases[] = {
        {{.endpoint = (char *)(uintptr_t) "127.0.0.1:4318"}, "opentelemetry.endpoint"},
        {{.endpoint = (char *)(uintptr_t) "grpc://a"}, "opentelemetry.endpoint"},
        {{.sample_ratio = (char *)(uintptr_t) "2"}, "opentelemetry.sample_ratio"},
        {{.headers = (char *)(uintptr_t) "secret"}, "opentelemetry.headers"},
        {{.headers = (char *)(uintptr_t) "=secret"}, "opentelemetry.headers"},
        {{.headers = (char *)(uintptr_t) "a=secret%0d%0ab: c"}, "opentelemetry.headers"},
        {{.headers = (char *)(uintptr_t) "a=secret%00"}, "opentelemetry.headers"},
        {{.headers = (char *)(uintptr_t) "a=secret%2"}, "opentelemetry.headers"},
        {{.headers = (char *)(uintptr_t) "a=secret%"}, "opentelemetry.headers"},
        {{.headers = (char *)(uintptr_t) "a=secret%zz"}, "opentelemetry.headers"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wh_otlp_config config = cases[i].config;
        const char *name = "";
        struct wh_telemetry telemetry;
        struct wh_buf problem = {0};
        const char *why = wh_otlp_config_check(&config, &name);
        if (!why || strcmp(name, cases[i].name) != 0)
            fail_msg("%zu: %s", i, why ? name : "accepted");
        config.enabled = true;
        assert_int_equal(wh_telemetry_start(&loop, &config, &(struct wh_otlp_resource){0}, NULL,
                                            NULL, &telemetry, &problem),
                         WH_EINVAL);
        assert_non_null(strstr(wh_buf_cstr(&problem), cases[i].name));
        assert_null(strstr(wh_buf_cstr(&problem), "secret"));
        wh_buf_deinit(&problem);
    }
    const char *name;
    assert_null(wh_otlp_config_check(&(struct wh_otlp_config){.endpoint = text("")}, &name));
}

static void a_variable_is_judged_as_its_option(void **state)
{
    (void)state;
    static const char *const names[] = {"opentelemetry.endpoint", "opentelemetry.headers",
                                        "opentelemetry.sample_ratio"};
    for (size_t i = 0; i < COUNT(variables); i++) {
        struct wh_telemetry telemetry;
        struct wh_buf problem = {0};
        setenv(variables[i], "nonsense", 1);
        assert_int_equal(wh_telemetry_start(&loop, &(struct wh_otlp_config){.enabled = true},
                                            &(struct wh_otlp_resource){0}, NULL, NULL, &telemetry,
                                            &problem),
                         WH_EINVAL);
        assert_non_null(strstr(wh_buf_cstr(&problem), names[i]));
        wh_buf_deinit(&problem);
        unsetenv(variables[i]);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(options_are_obeyed),
        TEST(variables_say_what_options_leave_open),
        TEST(disabled_is_off_whatever_else_is_said),
        TEST(what_is_wrong_is_named_and_no_header_is_shown),
        TEST(a_variable_is_judged_as_its_option),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
