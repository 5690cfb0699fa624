#include "common/base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/failing_alloc.h"

#include <limits.h>

static void assert_holds(const struct wh_buf *buf, const char *text)
{
    struct wh_slice slice = wh_buf_slice(buf);
    assert_int_equal(slice.len, strlen(text));
    assert_memory_equal(slice.ptr, text, slice.len);
}

static void a_zeroed_buffer_is_empty_and_usable(void **state)
{
    (void)state;
    struct wh_buf buf = {0};
    assert_non_null(wh_buf_slice(&buf).ptr);
    assert_string_equal(wh_buf_cstr(&buf), "");
    wh_buf_append_str(&buf, "works");
    assert_string_equal(wh_buf_cstr(&buf), "works");
    wh_buf_deinit(&buf);
    wh_buf_deinit(&buf);
}

static void everything_appended_comes_out_in_order(void **state)
{
    (void)state;
    struct wh_buf buf;
    wh_buf_init(&buf, 0);
    wh_buf_append(&buf, "a\0b", 3);
    wh_buf_append(&buf, NULL, 0);
    wh_buf_append_slice(&buf, WH_SLICE_ABSENT);
    wh_buf_append_slice(&buf, WH_SLICE_LITERAL("cd"));
    wh_buf_append_char(&buf, 'e');
    wh_buf_printf(&buf, "%d-%s", 7, "f");
    assert_int_equal(wh_buf_error(&buf), WH_OK);
    assert_int_equal(buf.len, 9);
    assert_memory_equal(buf.ptr, "a\0bcde7-f", 9);
    wh_buf_deinit(&buf);
}

static void integers_are_written_in_decimal_to_their_extremes(void **state)
{
    (void)state;
    struct wh_buf buf = {0};
    wh_buf_append_u64(&buf, 0);
    wh_buf_append_char(&buf, ' ');
    wh_buf_append_u64(&buf, UINT64_MAX);
    wh_buf_append_char(&buf, ' ');
    wh_buf_append_i64(&buf, INT64_MIN);
    wh_buf_append_char(&buf, ' ');
    wh_buf_append_i64(&buf, INT64_MAX);
    wh_buf_append_char(&buf, ' ');
    wh_buf_append_i64(&buf, -1);
    assert_holds(&buf, "0 18446744073709551615 -9223372036854775808 9223372036854775807 -1");
    wh_buf_deinit(&buf);
}

static void the_limit_is_exact_and_remembered(void **state)
{
    (void)state;
    struct wh_buf buf;
    wh_buf_init(&buf, 100);
    for (int i = 0; i < 100; i++)
        wh_buf_append_char(&buf, 'x');
    assert_int_equal(wh_buf_error(&buf), WH_OK);
    assert_int_equal(strlen(wh_buf_cstr(&buf)), 100);
    wh_buf_append_char(&buf, 'y');
    assert_int_equal(wh_buf_error(&buf), WH_ELIMIT);
    wh_buf_truncate(&buf, 0);
    wh_buf_append_char(&buf, 'z');
    assert_int_equal(buf.len, 0);
    assert_int_equal(wh_buf_error(&buf), WH_ELIMIT);
    assert_string_equal(wh_buf_cstr(&buf), "");
    wh_buf_reset(&buf);
    wh_buf_append_str(&buf, "again");
    assert_int_equal(wh_buf_error(&buf), WH_OK);
    assert_holds(&buf, "again");
    wh_buf_deinit(&buf);
}

static void printf_may_fill_the_limit_and_no_more(void **state)
{
    (void)state;
    struct wh_buf buf;
    wh_buf_init(&buf, 64);
    wh_buf_printf(&buf, "%064d", 1);
    assert_int_equal(wh_buf_error(&buf), WH_OK);
    assert_int_equal(buf.len, 64);
    wh_buf_reset(&buf);
    wh_buf_printf(&buf, "%065d", 1);
    assert_int_equal(wh_buf_error(&buf), WH_ELIMIT);
    wh_buf_deinit(&buf);
}

static void a_size_that_overflows_is_an_error_not_a_wrap(void **state)
{
    (void)state;
    struct wh_buf buf = {0};
    wh_buf_append_str(&buf, "abc");
    assert_null(wh_buf_reserve(&buf, SIZE_MAX - 1));
    assert_int_equal(wh_buf_error(&buf), WH_ENOMEM);
    assert_holds(&buf, "abc");
    wh_buf_deinit(&buf);
}

static void reserved_room_counts_only_once_committed(void **state)
{
    (void)state;
    struct wh_buf buf = {0};
    assert_non_null(wh_buf_reserve(&buf, 0));
    char *room = wh_buf_reserve(&buf, 1000);
    assert_non_null(room);
    memset(room, 'r', 1000);
    assert_int_equal(buf.len, 0);
    wh_buf_commit(&buf, 3);
    assert_holds(&buf, "rrr");
    wh_buf_deinit(&buf);
}

static void consuming_drops_from_the_front(void **state)
{
    (void)state;
    struct wh_buf buf = {0};
    wh_buf_consume(&buf, 1);
    wh_buf_append_str(&buf, "0123456789");
    wh_buf_consume(&buf, 0);
    wh_buf_consume(&buf, 4);
    assert_holds(&buf, "456789");
    wh_buf_truncate(&buf, 2);
    assert_holds(&buf, "45");
    wh_buf_consume(&buf, 99);
    assert_holds(&buf, "");
    wh_buf_deinit(&buf);
}

static void growing_costs_few_allocations_and_stops_at_the_limit(void **state)
{
    (void)state;
    struct wh_buf buf;
    wh_buf_init(&buf, 100000);
    failing_alloc_start(0);
    for (int i = 0; i < 100000; i++)
        wh_buf_append_char(&buf, 'x');
    size_t allocations = failing_alloc_count;
    failing_alloc_stop();
    assert_int_equal(wh_buf_error(&buf), WH_OK);
    assert_in_range(allocations, 1, 15);
    assert_int_equal(buf.cap, 100000);
    wh_buf_deinit(&buf);
}

static enum wh_err fill(struct wh_buf *buf)
{
    for (int i = 0; i < 50; i++) {
        wh_buf_append_str(buf, "0123456789");
        wh_buf_printf(buf, "%020d", i);
        wh_buf_append_i64(buf, -i);
    }
    return wh_buf_error(buf);
}

static void any_failing_allocation_is_out_of_memory_and_leaks_nothing(void **state)
{
    (void)state;
    size_t nth = 1;
    for (;; nth++) {
        struct wh_buf buf = {0};
        failing_alloc_start(nth);
        enum wh_err err = fill(&buf);
        if (err == WH_OK && wh_buf_cstr(&buf)[0] == '\0')
            err = wh_buf_error(&buf);
        bool failed = failing_alloc_stop();
        size_t len = buf.len;
        wh_buf_deinit(&buf);
        if (!failed)
            break;
        assert_int_equal(err, WH_ENOMEM);
        assert_true(len < (size_t)INT_MAX);
    }
    assert_true(nth > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_zeroed_buffer_is_empty_and_usable),
        cmocka_unit_test(everything_appended_comes_out_in_order),
        cmocka_unit_test(integers_are_written_in_decimal_to_their_extremes),
        cmocka_unit_test(the_limit_is_exact_and_remembered),
        cmocka_unit_test(printf_may_fill_the_limit_and_no_more),
        cmocka_unit_test(a_size_that_overflows_is_an_error_not_a_wrap),
        cmocka_unit_test(reserved_room_counts_only_once_committed),
        cmocka_unit_test(consuming_drops_from_the_front),
        cmocka_unit_test(growing_costs_few_allocations_and_stops_at_the_limit),
        cmocka_unit_test(any_failing_allocation_is_out_of_memory_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
