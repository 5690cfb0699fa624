#include "common/base/span.h"

#include "common/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>

#include "tests/support/failing_alloc.h"

enum { CAPACITY = 8 };

static struct wh_tracer *new_tracer(double ratio, size_t capacity)
{
    struct wh_tracer *tracer = NULL;
    const struct wh_tracer_options options = {.ratio = ratio, .capacity = capacity};
    assert_int_equal(wh_tracer_new(&options, &tracer), WH_OK);
    return tracer;
}

static void end_one(struct wh_tracer *tracer, const char *name)
{
    struct wh_trace trace;
    wh_span_end(wh_span_start(tracer, NULL, WH_SPAN_INTERNAL, wh_slice_from_str(name), &trace));
}

static void a_span_says_what_was_done_when_and_for_whom(void **state)
{
    (void)state;
    struct wh_tracer *tracer = new_tracer(0, CAPACITY);
    struct wh_trace parent, other, trace;
    wh_trace_begin(1, &parent);
    wh_trace_begin(1, &other);
    wh_clock_set_fake(1000, 1700000000123);
    struct wh_span *span =
        wh_span_start(tracer, &parent, WH_SPAN_CLIENT, WH_SLICE_LITERAL("rpc a.b"), &trace);
    assert_non_null(span);
    wh_span_text(span, "user", WH_SLICE_LITERAL("ann"));
    wh_span_number(span, "code", -7);
    wh_span_link(span, &other);
    wh_span_fail(span, WH_SLICE_LITERAL("broken"));
    /* The wall clock is set back meanwhile: the duration is of the monotonic one. */
    wh_clock_set_fake(1250, 1600000000000);
    wh_span_end(span);
    wh_clock_set_real();

    struct wh_span *taken[2];
    assert_int_equal(wh_tracer_take(tracer, taken, 2), 1);
    span = taken[0];
    assert_memory_equal(span->trace.trace_id, parent.trace_id, WH_TRACE_ID_BYTES);
    assert_memory_equal(&span->trace, &trace, sizeof(trace));
    assert_memory_equal(span->parent_id, parent.span_id, WH_SPAN_ID_BYTES);
    assert_memory_equal(&span->link, &other, sizeof(other));
    assert_string_equal(span->name, "rpc a.b");
    assert_int_equal(span->kind, WH_SPAN_CLIENT);
    assert_int_equal(span->status, WH_SPAN_ERROR);
    assert_string_equal(span->message, "broken");
    assert_int_equal(span->start_ns, UINT64_C(1700000000123000000));
    assert_int_equal(span->end_ns, UINT64_C(1700000000373000000));
    assert_int_equal(span->attribute_count, 2);
    assert_true(wh_slice_equal_str(span->attributes[0].text, "ann"));
    assert_int_equal(span->attributes[1].number, -7);
    wh_span_free(span);
    wh_tracer_free(tracer);
}

static void without_a_tracer_a_context_goes_through_and_nothing_is_made(void **state)
{
    (void)state;
    struct wh_trace parent, trace, broken = {.trace_id = {1}};
    wh_trace_begin(1, &parent);
    assert_null(wh_span_start(NULL, &parent, WH_SPAN_CLIENT, WH_SLICE_LITERAL("a"), &trace));
    assert_memory_equal(&trace, &parent, sizeof(trace));
    assert_null(wh_span_start(NULL, &broken, WH_SPAN_CLIENT, WH_SLICE_LITERAL("a"), &trace));
    assert_false(wh_trace_is_valid(&trace));
    wh_span_text(NULL, "a", WH_SLICE_LITERAL("b"));
    wh_span_number(NULL, "a", 1);
    wh_span_link(NULL, &parent);
    wh_span_fail(NULL, WH_SLICE_ABSENT);
    wh_span_end(NULL);
    wh_span_free(NULL);
    wh_tracer_free(NULL);
}

static void who_is_not_sampled_gets_a_context_and_no_span(void **state)
{
    (void)state;
    struct wh_tracer *tracer = new_tracer(0, CAPACITY);
    struct wh_trace trace = {0};
    assert_null(wh_span_start(tracer, NULL, WH_SPAN_SERVER, WH_SLICE_LITERAL("a"), &trace));
    assert_true(wh_trace_is_valid(&trace));
    struct wh_trace parent = trace;
    assert_null(wh_span_start(tracer, &trace, WH_SPAN_SERVER, WH_SLICE_LITERAL("a"), &trace));
    assert_memory_equal(trace.trace_id, parent.trace_id, WH_TRACE_ID_BYTES);
    wh_tracer_free(tracer);
}

static void a_linked_span_begins_a_trace_with_the_others_decision(void **state)
{
    (void)state;
    for (int sampled = 0; sampled < 2; sampled++) {
        uint8_t flags = sampled ? WH_TRACE_SAMPLED : 0;
        struct wh_tracer *tracer = new_tracer(flags ? 0 : 1, CAPACITY);
        static const uint8_t no_parent[WH_SPAN_ID_BYTES];
        struct wh_trace other, trace;
        wh_trace_begin(1, &other);
        other.flags = flags;
        struct wh_span *span =
            wh_span_start_linked(tracer, &other, WH_SPAN_SERVER, WH_SLICE_LITERAL("a"), &trace);
        assert_true(wh_trace_is_valid(&trace));
        assert_memory_not_equal(trace.trace_id, other.trace_id, WH_TRACE_ID_BYTES);
        assert_int_equal(span != NULL, flags);
        if (span) {
            assert_memory_equal(&span->link, &other, sizeof(other));
            assert_memory_equal(span->parent_id, no_parent, sizeof(no_parent));
        }
        wh_span_free(span);
        span = wh_span_start_linked(tracer, NULL, WH_SPAN_SERVER, WH_SLICE_LITERAL("a"), &trace);
        assert_int_equal(span == NULL, flags); /* the ratio */
        wh_span_free(span);
        assert_null(
            wh_span_start_linked(NULL, &other, WH_SPAN_SERVER, WH_SLICE_LITERAL("a"), &trace));
        assert_false(wh_trace_is_valid(&trace));
        wh_tracer_free(tracer);
    }
}

static void what_does_not_fit_the_ring_is_dropped_and_counted(void **state)
{
    (void)state;
    struct wh_tracer *tracer = new_tracer(1, CAPACITY);
    struct wh_span *taken[CAPACITY + 1];
    char name[16];
    for (unsigned i = 0; i < CAPACITY + 3; i++) {
        snprintf(name, sizeof(name), "%u", i);
        end_one(tracer, name);
    }
    assert_int_equal(wh_tracer_count(tracer), CAPACITY);
    assert_int_equal(wh_tracer_dropped(tracer), 3);
    /* The oldest come first, across the seam of the ring as well. */
    assert_int_equal(wh_tracer_take(tracer, taken, 2), 2);
    assert_string_equal(taken[1]->name, "1");
    wh_span_free(taken[0]);
    wh_span_free(taken[1]);
    end_one(tracer, "last");
    assert_int_equal(wh_tracer_take(tracer, taken, CAPACITY + 1), CAPACITY - 1);
    assert_string_equal(taken[0]->name, "2");
    assert_string_equal(taken[CAPACITY - 2]->name, "last");
    for (unsigned i = 0; i < CAPACITY - 1; i++)
        wh_span_free(taken[i]);
    assert_int_equal(wh_tracer_count(tracer), 0);
    end_one(tracer, "left to wh_tracer_free");
    wh_tracer_free(tracer);
}

static void names_values_and_their_number_are_bounded(void **state)
{
    (void)state;
    static char text[1000];
    memset(text, 'x', sizeof(text));
    struct wh_tracer *tracer = new_tracer(1, CAPACITY);
    struct wh_trace trace;
    struct wh_span *span =
        wh_span_start(tracer, NULL, WH_SPAN_SERVER, wh_slice(text, sizeof(text)), &trace);
    assert_int_equal(strlen(span->name), WH_SPAN_NAME_MAX);
    wh_span_text(span, "a", WH_SLICE_LITERAL("short"));
    for (int i = 0; i < WH_SPAN_ATTRIBUTES_MAX; i++)
        wh_span_text(span, "b", wh_slice(text, sizeof(text)));
    wh_span_number(span, "c", 1);
    assert_int_equal(span->attribute_count, WH_SPAN_ATTRIBUTES_MAX);
    assert_true(wh_slice_equal_str(span->attributes[0].text, "short"));
    assert_int_equal(span->attributes[1].text.len, WH_SPAN_TEXT_MAX - 5);
    assert_int_equal(span->attributes[2].text.len, 0);
    wh_span_fail(span, wh_slice(text, sizeof(text)));
    assert_int_equal(strlen(span->message), WH_SPAN_MESSAGE_MAX);
    wh_span_free(span);
    wh_tracer_free(tracer);
}

static void count_call(void *user)
{
    ++*(unsigned *)user;
}

static void half_full_is_told_once_each_time(void **state)
{
    (void)state;
    unsigned calls = 0;
    struct wh_tracer *tracer = new_tracer(1, CAPACITY);
    struct wh_span *taken[CAPACITY];
    wh_tracer_on_half_full(tracer, count_call, &calls);
    for (unsigned round = 1; round <= 2; round++) {
        for (unsigned i = 0; i < CAPACITY; i++) {
            end_one(tracer, "a");
            assert_int_equal(calls, i + 1 < CAPACITY / 2 ? round - 1 : round);
        }
        assert_int_equal(wh_tracer_take(tracer, taken, CAPACITY), CAPACITY);
        for (unsigned i = 0; i < CAPACITY; i++)
            wh_span_free(taken[i]);
    }
    wh_tracer_free(tracer);
}

enum { THREADS = 4, SPANS_EACH = 2000 };

static void *end_many(void *tracer)
{
    for (int i = 0; i < SPANS_EACH; i++)
        end_one(tracer, "a");
    return NULL;
}

static void spans_of_several_threads_are_kept_or_counted(void **state)
{
    (void)state;
    struct wh_tracer *tracer = new_tracer(1, THREADS * SPANS_EACH / 2);
    struct wh_span *taken[64];
    pthread_t threads[THREADS];
    size_t count, total = 0;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, end_many, tracer), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    while ((count = wh_tracer_take(tracer, taken, 64)) > 0) {
        total += count;
        while (count > 0)
            wh_span_free(taken[--count]);
    }
    assert_int_equal(total, THREADS * SPANS_EACH / 2);
    assert_int_equal(wh_tracer_dropped(tracer), THREADS * SPANS_EACH / 2);
    wh_tracer_free(tracer);
}

static void without_memory_a_span_is_lost_and_counted(void **state)
{
    (void)state;
    struct wh_tracer *tracer = NULL;
    const struct wh_tracer_options options = {.ratio = 1, .capacity = 1};
    struct wh_trace trace = {0};
    failing_alloc_start(1);
    assert_int_equal(wh_tracer_new(&options, &tracer), WH_ENOMEM);
    assert_true(failing_alloc_stop());
    tracer = new_tracer(1, 1);
    failing_alloc_start(1);
    struct wh_span *span =
        wh_span_start(tracer, NULL, WH_SPAN_SERVER, WH_SLICE_LITERAL("a"), &trace);
    assert_true(failing_alloc_stop());
    assert_null(span);
    assert_true(wh_trace_is_sampled(&trace));
    assert_int_equal(wh_tracer_dropped(tracer), 1);
    wh_tracer_free(tracer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_span_says_what_was_done_when_and_for_whom),
        cmocka_unit_test(without_a_tracer_a_context_goes_through_and_nothing_is_made),
        cmocka_unit_test(who_is_not_sampled_gets_a_context_and_no_span),
        cmocka_unit_test(a_linked_span_begins_a_trace_with_the_others_decision),
        cmocka_unit_test(what_does_not_fit_the_ring_is_dropped_and_counted),
        cmocka_unit_test(names_values_and_their_number_are_bounded),
        cmocka_unit_test(half_full_is_told_once_each_time),
        cmocka_unit_test(spans_of_several_threads_are_kept_or_counted),
        cmocka_unit_test(without_memory_a_span_is_lost_and_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
