/* The tables follow https://www.w3.org/TR/trace-context/ §3.2 and §3.3. */
#include "common/base/trace.h"

#include "common/base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define ID   "0af7651916cd43dd8448eb211c80319c"
#define SPAN "b7ad6b7169203331"

static void a_traceparent_is_read_as_the_specification_says(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_valid;
        bool is_sampled;
    } cases[] = {
        {"00-" ID "-" SPAN "-01", true, true},
        {"00-" ID "-" SPAN "-00", true, false},
        {"00-" ID "-" SPAN "-ff", true, true},
        {"00-" ID "-" SPAN "-02", true, false},
        /* Versions to come: what begins like 00, with or without more. */
        {"01-" ID "-" SPAN "-01", true, true},
        {"cc-" ID "-" SPAN "-01", true, true},
        {"cc-" ID "-" SPAN "-01-what-the-future-will-be-like", true, true},
        {"cc-" ID "-" SPAN "-01-", true, true},
        {"cc-" ID "-" SPAN "-01.what-the-future-will-be-like", false, false},
        {"cc-" ID "-" SPAN "-010", false, false},
        {"fe-" ID "-" SPAN "-00", true, false},
        /* Not in version 00, and ff is none. */
        {"00-" ID "-" SPAN "-01-", false, false},
        {"00-" ID "-" SPAN "-01-what-the-future-will-be-like", false, false},
        {"ff-" ID "-" SPAN "-01", false, false},
        {"FF-" ID "-" SPAN "-01", false, false},
        /* Zeros. */
        {"00-00000000000000000000000000000000-" SPAN "-01", false, false},
        {"00-" ID "-0000000000000000-01", false, false},
        {"00-00000000000000000000000000000001-" SPAN "-01", true, true},
        {"00-" ID "-1000000000000000-01", true, true},
        /* Upper case, and what is no digit. */
        {"00-0AF7651916CD43DD8448EB211C80319C-" SPAN "-01", false, false},
        {"00-" ID "-B7AD6B7169203331-01", false, false},
        {"00-" ID "-" SPAN "-0A", false, false},
        {"0g-" ID "-" SPAN "-01", false, false},
        {"00-.0af7651916cd43dd8448eb211c80319-" SPAN "-01", false, false},
        {"00-" ID "-b7ad6b716920333x-01", false, false},
        {"00-" ID "-" SPAN "-.0", false, false},
        /* Lengths and dashes. */
        {"", false, false},
        {"00", false, false},
        {"00-" ID "-" SPAN, false, false},
        {"00-" ID "-" SPAN "-", false, false},
        {"00-" ID "-" SPAN "-1", false, false},
        {"00-" ID "0-" SPAN "-01", false, false},
        {"00_" ID "_" SPAN "_01", false, false},
        {" 00-" ID "-" SPAN "-01", false, false},
        {"00-" ID "-" SPAN "-01 ", false, false},
        {"00-" ID "-" SPAN "-01,00-" ID "-" SPAN "-01", false, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wh_trace trace = {.flags = 77};
        enum wh_err err = wh_trace_parse(wh_slice_from_str(cases[i].text), &trace);
        if ((err == WH_OK) != cases[i].is_valid || (err != WH_OK && err != WH_EFORMAT))
            fail_msg("'%s': %s", cases[i].text, wh_err_name(err));
        if (err == WH_OK && wh_trace_is_sampled(&trace) != cases[i].is_sampled)
            fail_msg("'%s': sampled", cases[i].text);
        if (err != WH_OK)
            assert_int_equal(trace.flags, 77);
    }
    struct wh_trace trace;
    assert_int_equal(wh_trace_parse(WH_SLICE_ABSENT, &trace), WH_EFORMAT);
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    static const char text[] = "00-" ID "-" SPAN "-01";
    struct wh_trace trace;
    for (size_t len = 0; len < WH_TRACEPARENT_LEN; len++) {
        char exact[WH_TRACEPARENT_LEN]; /* no NUL to stop at */
        memcpy(exact, text, sizeof(exact));
        assert_int_equal(wh_trace_parse(wh_slice(exact, len), &trace), WH_EFORMAT);
    }
}

static void what_is_written_is_version_00_with_the_one_flag_that_is_known(void **state)
{
    (void)state;
    struct wh_trace trace;
    char text[WH_TRACEPARENT_LEN + 1], id[WH_TRACE_ID_HEX + 1];
    assert_int_equal(wh_trace_parse(WH_SLICE_LITERAL("cc-" ID "-" SPAN "-ff-and-so-on"), &trace),
                     WH_OK);
    wh_trace_format(&trace, text);
    assert_string_equal(text, "00-" ID "-" SPAN "-01");
    wh_trace_id_format(&trace, id);
    assert_string_equal(id, ID);
}

static void a_tracestate_goes_on_as_it_is_or_not_at_all(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_valid;
    } cases[] = {
        {"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", true},
        {"congo=ucfJifl5GOE,rojo=00f067aa0ba902b7", true},
        {"fw529a3039@dt=FfAAAg, 0tenant@sys=1", true},
        {"foo=1 \t , \t bar=2, baz=3", true},
        {"foo=1,,,bar=2,", true},
        {"a-*/_9=!\"#$%&'()*+-./:;<>?@[]^`{|}~", true},
        {"foo=a b", true},
        {"", false},
        {",", false},
        {"foo", false},
        {"=1", false},
        {"foo=", false},
        {"foo=1=2", false},
        {"Foo=1", false},
        {"foo =1", false},
        {"0foo=1", false},
        {"foo@=1", false},
        {"@bar=1", false},
        {"foo@bar@baz=1", false},
        {"foo@0bar=1", false},
        {"foo@bar-and-its-long-name=1", false},
        {"foo=\x01", false},
        {"foo=\xc3\xbc", false},
        {"foo.bar=1", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wh_slice text = wh_slice_from_str(cases[i].text);
        struct wh_slice state_text = wh_trace_state(text);
        if (cases[i].is_valid ? !wh_slice_equal(state_text, text) : state_text.ptr != NULL)
            fail_msg("'%s'", cases[i].text);
    }
    assert_null(wh_trace_state(WH_SLICE_ABSENT).ptr);
    assert_null(wh_trace_state(WH_SLICE_LITERAL("a\0b=1")).ptr);
}

static void a_tracestate_past_a_limit_is_dropped_whole(void **state)
{
    (void)state;
    char text[WH_TRACESTATE_MAX + 1];
    size_t len = 0;
    for (unsigned i = 0; i < WH_TRACESTATE_MEMBERS; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "k%u=v,", i);
    assert_non_null(wh_trace_state(wh_slice(text, len)).ptr);
    len += (size_t)snprintf(text + len, sizeof(text) - len, "one=more");
    assert_null(wh_trace_state(wh_slice(text, len)).ptr);

    memset(text, 'v', sizeof(text));
    memcpy(text, "k=", 2);
    assert_non_null(wh_trace_state(wh_slice(text, 2 + 256)).ptr); /* of a value */
    assert_null(wh_trace_state(wh_slice(text, 2 + 257)).ptr);
    memcpy(text + 250, ",k2=", 4);
    memcpy(text + 500, ",k3=", 4);
    assert_non_null(wh_trace_state(wh_slice(text, WH_TRACESTATE_MAX)).ptr);
    assert_null(wh_trace_state(wh_slice(text, WH_TRACESTATE_MAX + 1)).ptr);
}

static void a_child_stays_in_its_trace_and_keeps_the_decision(void **state)
{
    (void)state;
    for (int sampled = 0; sampled < 2; sampled++) {
        uint8_t flags = sampled ? WH_TRACE_SAMPLED : 0;
        struct wh_trace parent, child;
        wh_trace_begin(1, &parent);
        parent.flags = flags;
        wh_trace_continue(&parent, flags ? 0 : 1, &child); /* the ratio has no say */
        assert_memory_equal(child.trace_id, parent.trace_id, WH_TRACE_ID_BYTES);
        assert_memory_not_equal(child.span_id, parent.span_id, WH_SPAN_ID_BYTES);
        assert_int_equal(child.flags, flags);
        wh_trace_child(&child, &child);
        assert_memory_equal(child.trace_id, parent.trace_id, WH_TRACE_ID_BYTES);
    }
}

static void without_a_valid_parent_a_new_trace_begins(void **state)
{
    (void)state;
    struct wh_trace a, b, no_span = {.trace_id = {1}};
    wh_trace_continue(NULL, 1, &a);
    wh_trace_continue(&no_span, 1, &b);
    assert_true(wh_trace_is_sampled(&a));
    assert_true(wh_trace_is_sampled(&b));
    assert_memory_not_equal(a.trace_id, b.trace_id, WH_TRACE_ID_BYTES);
    assert_memory_not_equal(b.trace_id, no_span.trace_id, WH_TRACE_ID_BYTES);
    wh_trace_continue(NULL, 0, &a);
    assert_true(wh_trace_is_valid(&a));
    assert_false(wh_trace_is_sampled(&a));
}

static void about_the_ratio_is_sampled_and_the_id_alone_decides(void **state)
{
    (void)state;
    enum { TRACES = 20000 };
    wh_random_seed(7);
    unsigned sampled = 0;
    for (unsigned i = 0; i < TRACES; i++) {
        struct wh_trace trace;
        wh_trace_begin(0.25, &trace);
        bool is_sampled = wh_trace_is_sampled(&trace);
        sampled += is_sampled;
        assert_int_equal(wh_trace_ratio_takes(0.25, trace.trace_id), is_sampled);
        if (is_sampled) /* a larger ratio takes all that a smaller one does */
            assert_true(wh_trace_ratio_takes(0.5, trace.trace_id));
        assert_true(wh_trace_ratio_takes(1, trace.trace_id));
        assert_false(wh_trace_ratio_takes(0, trace.trace_id));
    }
    assert_in_range(sampled, TRACES * 24 / 100, TRACES * 26 / 100);
    static const uint8_t highest[WH_TRACE_ID_BYTES] = {
        0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    assert_true(wh_trace_ratio_takes(1, highest));
    assert_false(wh_trace_ratio_takes(0.999, highest));
}

static void a_ratio_is_a_plain_number_from_0_to_1(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double ratio; /* -1 = refused */
    } cases[] = {
        {"0", 0},        {"1", 1},     {"0.25", 0.25}, {"1.0", 1},  {"0.0", 0},
        {"0.001", .001}, {"", -1},     {".5", -1},     {"1.", -1},  {"1.1", -1},
        {"2", -1},       {"-0.1", -1}, {"1e-3", -1},   {"nan", -1}, {"0.5x", -1},
        {"0,5", -1},     {" 1", -1},   {"0.1.2", -1},  {".", -1},   {"0.00000000000000000001", -1},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        double ratio = -1;
        enum wh_err err = wh_trace_ratio_parse(wh_slice_from_str(cases[i].text), &ratio);
        if ((err == WH_OK) != (cases[i].ratio >= 0) || ratio < cases[i].ratio - 1e-15 ||
            ratio > cases[i].ratio + 1e-15)
            fail_msg("'%s': %s, %f", cases[i].text, wh_err_name(err), ratio);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_traceparent_is_read_as_the_specification_says),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(what_is_written_is_version_00_with_the_one_flag_that_is_known),
        cmocka_unit_test(a_tracestate_goes_on_as_it_is_or_not_at_all),
        cmocka_unit_test(a_tracestate_past_a_limit_is_dropped_whole),
        cmocka_unit_test(a_child_stays_in_its_trace_and_keeps_the_decision),
        cmocka_unit_test(without_a_valid_parent_a_new_trace_begins),
        cmocka_unit_test(about_the_ratio_is_sampled_and_the_id_alone_decides),
        cmocka_unit_test(a_ratio_is_a_plain_number_from_0_to_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
