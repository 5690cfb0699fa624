#include "common/base/slice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void equality_is_by_bytes(void **state)
{
    (void)state;
    assert_true(wh_slice_equal(wh_slice("a\0b", 3), wh_slice("a\0b", 3)));
    assert_false(wh_slice_equal(wh_slice("a\0b", 3), wh_slice("a\0c", 3)));
    assert_false(wh_slice_equal(WH_SLICE_LITERAL("a"), WH_SLICE_LITERAL("ab")));
    assert_true(wh_slice_equal(WH_SLICE_ABSENT, WH_SLICE_LITERAL("")));
    assert_true(wh_slice_equal_str(WH_SLICE_LITERAL("ab"), "ab"));
    assert_true(wh_slice_equal_str(WH_SLICE_ABSENT, NULL));
}

static void a_prefix_may_be_empty_or_whole_but_not_longer(void **state)
{
    (void)state;
    struct wh_slice text = WH_SLICE_LITERAL("abc");
    assert_true(wh_slice_starts_with(text, WH_SLICE_ABSENT));
    assert_true(wh_slice_starts_with(text, text));
    assert_false(wh_slice_starts_with(text, WH_SLICE_LITERAL("abcd")));
    assert_false(wh_slice_starts_with(text, WH_SLICE_LITERAL("b")));
}

static void the_tail_past_the_end_is_empty(void **state)
{
    (void)state;
    assert_true(wh_slice_equal_str(wh_slice_from(WH_SLICE_LITERAL("abc"), 1), "bc"));
    assert_int_equal(wh_slice_from(WH_SLICE_LITERAL("abc"), 9).len, 0);
    assert_null(wh_slice_from(WH_SLICE_ABSENT, 1).ptr);
}

static void a_printf_precision_never_goes_negative(void **state)
{
    (void)state;
    assert_int_equal(wh_slice_precision(wh_slice("", (size_t)1 << 31)), INT_MAX);
    assert_int_equal(wh_slice_precision(wh_slice("", SIZE_MAX)), INT_MAX);
    assert_int_equal(wh_slice_precision(WH_SLICE_LITERAL("abc")), 3);
}

static void blanks_around_a_value_go_and_those_within_stay(void **state)
{
    (void)state;
    assert_true(wh_slice_equal_str(wh_slice_trim(WH_SLICE_LITERAL(" \t a \tb\t ")), "a \tb"));
    assert_true(wh_slice_equal_str(wh_slice_trim(WH_SLICE_LITERAL("\n")), "\n"));
    assert_int_equal(wh_slice_trim(WH_SLICE_LITERAL(" \t ")).len, 0);
    assert_int_equal(wh_slice_trim(WH_SLICE_ABSENT).len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equality_is_by_bytes),
        cmocka_unit_test(a_prefix_may_be_empty_or_whole_but_not_longer),
        cmocka_unit_test(the_tail_past_the_end_is_empty),
        cmocka_unit_test(a_printf_precision_never_goes_negative),
        cmocka_unit_test(blanks_around_a_value_go_and_those_within_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
