/*
 * CloudEvents: what is written is read back, strangers' are checked.
 */
#include "services/core/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define T(text) WH_SLICE_LITERAL(text)

static void written_events_are_read_back(void **state)
{
    struct svc_event event = {.id = T("1\"2"),
                              .source = T("/wirehub/x"),
                              .type = T("a.b.v1"),
                              .subject = T("gr\xc3\xbc\xc3\x9f"),
                              .time_ms = 1769860800123,
                              .traceparent = T("00-x"),
                              .data = {WH_PAYLOAD_JSON, T("{\"a\":1}")}};
    struct svc_event back = {.time_ms = 0};
    struct wh_buf text = {0};
    struct wh_arena arena = {0};
    const char *problem = NULL;
    (void)state;
    svc_event_write(&event, &text);
    assert_int_equal(svc_event_read(wh_buf_slice(&text), &arena, &back, &problem), WH_OK);
    assert_true(wh_slice_equal(back.id, event.id));
    assert_true(wh_slice_equal(back.source, event.source));
    assert_true(wh_slice_equal(back.type, event.type));
    assert_true(wh_slice_equal(back.subject, event.subject));
    assert_true(wh_slice_equal(back.traceparent, event.traceparent));
    assert_true(wh_slice_equal(back.data.bytes, event.data.bytes));
    assert_true(back.time_ms == event.time_ms);
    /* Cut anywhere it is none. */
    for (size_t len = 0; len < text.len; len++)
        assert_int_equal(svc_event_read(wh_slice(text.ptr, len), &arena, &back, &problem),
                         WH_EFORMAT);
    wh_buf_deinit(&text);
    wh_arena_deinit(&arena);
}

static void what_is_no_event_is_refused_with_a_reason(void **state)
{
    static const char *const texts[] = {
        "",
        "1",
        "{}",
        "{\"specversion\":\"2.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"a.b\"}",
        "{\"specversion\":\"1.0\",\"id\":\"\",\"source\":\"s\",\"type\":\"a.b\"}",
        "{\"specversion\":\"1.0\",\"id\":\"a\\u0000b\",\"source\":\"s\",\"type\":\"a.b\"}",
        "{\"specversion\":\"1.0\",\"id\":1,\"source\":\"s\",\"type\":\"a.b\"}",
        "{\"specversion\":\"1.0\",\"id\":\"1\",\"type\":\"a.b\"}",
        "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"a\"}",
        "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"a.b\",\"time\":\"x\"}",
        "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"a.b\"} x",
    };
    struct wh_arena arena = {0};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct svc_event event;
        const char *problem = NULL;
        assert_int_equal(svc_event_read(wh_slice_from_str(texts[i]), &arena, &event, &problem),
                         WH_EFORMAT);
        assert_non_null(problem);
    }
    wh_arena_deinit(&arena);
}

static void times_have_offsets_and_fractions(void **state)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1 = none */
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01T00:00:01.5Z", 1500},
        {"1970-01-01T01:00:00.0019+01:00", 1},
        {"1969-12-31T23:00:00-01:00", 0},
        {"2026-01-31T12:00:00.123456Z", 1769860800123},
        {"2026-01-31 12:00:00z", 1769860800000},
        {"2026-13-31T12:00:00Z", -1},
        {"2026-01-31T24:00:00Z", -1},
        {"2026-01-31T12:00:00", -1},
        {"2026-01-31T12:00:00.Z", -1},
        {"2026-01-31T12:00:00+1:00", -1},
        {"2026-01-31T12:00:00Z ", -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t ms = -1;
        enum wh_err err = svc_time_read(wh_slice_from_str(cases[i].text), &ms);
        assert_int_equal(err, cases[i].ms < 0 ? WH_EFORMAT : WH_OK);
        assert_true(ms == cases[i].ms);
    }
}

static void the_first_segment_of_a_type_names_its_stream(void **state)
{
    struct wh_buf name = {0};
    (void)state;
    svc_event_stream(T("order.confirmed.v1"), &name);
    assert_string_equal(wh_buf_cstr(&name), "wh:events:order");
    wh_buf_deinit(&name);
    assert_true(svc_event_type_is_valid(T("a-b.c_D.v1")));
    assert_false(svc_event_type_is_valid(T("a")));
    assert_false(svc_event_type_is_valid(T(".a")));
    assert_false(svc_event_type_is_valid(T("a.")));
    assert_false(svc_event_type_is_valid(T("a..b")));
    assert_false(svc_event_type_is_valid(T("a.b c")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_events_are_read_back),
        cmocka_unit_test(what_is_no_event_is_refused_with_a_reason),
        cmocka_unit_test(times_have_offsets_and_fractions),
        cmocka_unit_test(the_first_segment_of_a_type_names_its_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
