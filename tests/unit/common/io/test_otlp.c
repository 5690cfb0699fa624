/* The exporter against a collector on the same loop. */
#include "common/io/otlp.h"

#include "common/protocol/json.h"
#include "tests/support/http_stub.h"
#include "tests/support/run_loop.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <string.h>

enum { CAPACITY = 20, WAIT_MS = 10000, SOON_MS = 5, NEVER_MS = 3600 * 1000 };

static struct wh_loop loop;
static struct http_stub collector;
static struct wh_tracer *tracer;
static struct wh_otlp *otlp;
static const char *status; /* what the collector answers; NULL = silence */
static uint64_t exported, dropped;
static bool is_closed;

static void answer(struct http_stub *stub, const char *path, struct wh_buf *out)
{
    (void)stub;
    assert_string_equal(path, "/v1/traces");
    if (status)
        http_stub_respond(out, status, WH_SLICE_LITERAL("{}"));
}

static void on_counted(void *user, uint64_t more_exported, uint64_t more_dropped)
{
    assert_ptr_equal(user, &loop);
    exported += more_exported;
    dropped += more_dropped;
}

static void on_closed(void *user)
{
    assert_ptr_equal(user, &loop);
    assert_false(is_closed);
    is_closed = true;
}

static int setup(void **state)
{
    (void)state;
    const struct wh_tracer_options options = {.ratio = 1, .capacity = CAPACITY};
    setenv("no_proxy", "*", 1);
    exported = dropped = 0;
    is_closed = false;
    status = "200 OK";
    otlp = NULL;
    assert_int_equal(wh_loop_init(&loop), WH_OK);
    assert_int_equal(wh_tracer_new(&options, &tracer), WH_OK);
    http_stub_open(&collector, &loop, answer);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    wh_otlp_free(otlp);
    http_stub_close(&collector);
    wh_loop_deinit(&loop);
    wh_tracer_free(tracer);
    return 0;
}

static void start_at(int port, uint32_t interval_ms)
{
    char endpoint[64];
    static const char *const headers[] = {"X-Tenant: shop", NULL};
    snprintf(endpoint, sizeof(endpoint), "http://127.0.0.1:%d/", port);
    const struct wh_otlp_options options = {
        .endpoint = endpoint,
        .headers = headers,
        .resource = {"wirehub", "1.2.3", "node-1"},
        .interval_ms = interval_ms,
        .timeout_ms = NEVER_MS,
        .retry_min_ms = 1,
        .retry_max_ms = SOON_MS,
        .counted = on_counted,
        .user = &loop,
    };
    assert_int_equal(wh_otlp_new(&loop, tracer, &options, &otlp), WH_OK);
}

static void end_spans(unsigned count)
{
    struct wh_trace trace;
    for (unsigned i = 0; i < count; i++)
        wh_span_end(wh_span_start(tracer, NULL, WH_SPAN_SERVER, WH_SLICE_LITERAL("work"), &trace));
}

static bool is_accounted(void *user)
{
    return exported + dropped >= *(const uint64_t *)user;
}

static void wait_for(uint64_t accounted)
{
    assert_true(run_until(&loop, is_accounted, &accounted, WAIT_MS));
}

static bool has_asked(void *user)
{
    return collector.requests >= *(const unsigned *)user;
}

static void wait_requests(unsigned count)
{
    assert_true(run_until(&loop, has_asked, &count, WAIT_MS));
}

static void finished_spans_reach_the_collector(void **state)
{
    (void)state;
    start_at(collector.port, SOON_MS);
    end_spans(3);
    wait_for(3);
    assert_int_equal(exported, 3);
    const char *request = wh_buf_cstr(&collector.request);
    const char *body = strstr(request, "\r\n\r\n");
    assert_non_null(strstr(request, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(request, "X-Tenant: shop\r\n"));
    assert_true(wh_json_is_valid(wh_slice_from_str(body + 4)));
    assert_non_null(strstr(body, "\"stringValue\":\"node-1\""));
    assert_non_null(strstr(body, "\"name\":\"work\""));
    end_spans(1);
    wait_for(4);
    assert_int_equal(exported, 4);
    assert_int_equal(dropped, 0);
}

static void half_full_does_not_wait_for_the_interval(void **state)
{
    (void)state;
    start_at(collector.port, NEVER_MS);
    end_spans(CAPACITY / 2);
    wait_for(CAPACITY / 2);
    assert_int_equal(exported, CAPACITY / 2);
}

static void what_may_work_later_is_tried_again(void **state)
{
    (void)state;
    static const char *const temporary[] = {"429 Many", "502 Bad", "503 Away", "504 Late"};
    start_at(collector.port, SOON_MS);
    for (size_t i = 0; i < sizeof(temporary) / sizeof(temporary[0]); i++) {
        status = temporary[i];
        collector.requests = 0;
        end_spans(1);
        wait_requests(3);
        assert_int_equal(exported + dropped, i);
        status = "200 OK";
        wait_for(i + 1);
        assert_int_equal(exported, i + 1);
    }
    assert_int_equal(dropped, 0);
}

static void what_will_not_work_is_dropped_and_counted(void **state)
{
    (void)state;
    static const char *const final[] = {"400 Bad", "401 No", "404 None", "500 Broken", "302 Found"};
    start_at(collector.port, SOON_MS);
    for (size_t i = 0; i < sizeof(final) / sizeof(final[0]); i++) {
        status = final[i];
        collector.requests = 0;
        end_spans(2);
        wait_for(2 * (i + 1));
        assert_int_equal(dropped, 2 * (i + 1));
        assert_int_equal(collector.requests, 1);
    }
    status = "202 Accepted";
    end_spans(1);
    wait_for(11);
    assert_int_equal(exported, 1);
}

static void a_collector_that_is_away_costs_one_batch_and_the_ring(void **state)
{
    (void)state;
    start_at(1, SOON_MS);
    end_spans(CAPACITY);
    run_for(&loop, 10 * (uint64_t)SOON_MS); /* several tries; the batch is out of the ring */
    assert_int_equal(wh_tracer_count(tracer), 0);
    end_spans(CAPACITY + 7);
    wait_for(7);
    assert_int_equal(dropped, 7);
    assert_int_equal(wh_tracer_count(tracer), CAPACITY);
    wh_otlp_close(otlp, NEVER_MS, on_closed, &loop);
    assert_true(run_until_true(&loop, &is_closed, WAIT_MS));
    assert_int_equal(dropped, 2 * CAPACITY + 7);
    assert_int_equal(exported, 0);
}

static void closing_sends_what_is_left(void **state)
{
    (void)state;
    start_at(collector.port, NEVER_MS);
    end_spans(5);
    wh_otlp_close(otlp, NEVER_MS, on_closed, &loop);
    assert_false(is_closed);
    assert_true(run_until_true(&loop, &is_closed, WAIT_MS));
    assert_int_equal(exported, 5);
    assert_int_equal(dropped, 0);
}

static void closing_does_not_wait_for_a_silent_collector(void **state)
{
    (void)state;
    status = NULL;
    start_at(collector.port, SOON_MS);
    end_spans(5);
    wait_requests(1);
    end_spans(2);
    wh_otlp_close(otlp, SOON_MS, on_closed, &loop);
    assert_true(run_until_true(&loop, &is_closed, WAIT_MS));
    assert_int_equal(dropped, 7);
}

static void closing_without_time_sends_nothing(void **state)
{
    (void)state;
    start_at(collector.port, NEVER_MS);
    end_spans(5);
    wh_otlp_close(otlp, 0, on_closed, &loop);
    assert_true(run_until_true(&loop, &is_closed, WAIT_MS));
    assert_int_equal(dropped, 5);
    assert_int_equal(collector.requests, 0);
}

static void it_may_be_freed_with_a_request_under_way(void **state)
{
    (void)state;
    status = NULL;
    start_at(collector.port, SOON_MS);
    end_spans(5);
    wait_requests(1);
    wh_otlp_free(otlp);
    otlp = NULL;
    run_for(&loop, 1);   /* what libuv still needed of it is gone, too */
    end_spans(CAPACITY); /* nobody is told */
    assert_int_equal(exported + dropped, 0);
}

static void an_endpoint_or_header_that_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const broken[] = {"a", NULL};
    struct wh_otlp_options options = {.endpoint = "127.0.0.1:4318"};
    assert_int_equal(wh_otlp_new(&loop, tracer, &options, &otlp), WH_EINVAL);
    options.endpoint = "http://127.0.0.1:4318";
    options.headers = broken;
    assert_int_equal(wh_otlp_new(&loop, tracer, &options, &otlp), WH_EINVAL);
    assert_null(otlp);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(finished_spans_reach_the_collector),
        TEST(half_full_does_not_wait_for_the_interval),
        TEST(what_may_work_later_is_tried_again),
        TEST(what_will_not_work_is_dropped_and_counted),
        TEST(a_collector_that_is_away_costs_one_batch_and_the_ring),
        TEST(closing_sends_what_is_left),
        TEST(closing_does_not_wait_for_a_silent_collector),
        TEST(closing_without_time_sends_nothing),
        TEST(it_may_be_freed_with_a_request_under_way),
        TEST(an_endpoint_or_header_that_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
