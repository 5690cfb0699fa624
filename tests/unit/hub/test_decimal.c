/* Decimals: what is one, and their exact order. */
#include "hub/decimal.h"

#include "common/base/random.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool parses(const char *text)
{
    struct decimal number;
    return decimal_parse(wh_slice_from_str(text), &number);
}

static int compare(const char *a, const char *b)
{
    struct decimal left, right;
    assert_true(decimal_parse(wh_slice_from_str(a), &left));
    assert_true(decimal_parse(wh_slice_from_str(b), &right));
    int order = decimal_compare(&left, &right);
    return (order > 0) - (order < 0);
}

static void sign_digits_fraction_and_exponent_make_a_decimal(void **state)
{
    (void)state;
    static const char *const numbers[] = {
        "0",
        "7",
        "-7",
        "+7",
        "007",
        "1.5",
        "-1.5",
        ".5",
        "5.",
        "-.5",
        "+5.",
        "1e3",
        "1E3",
        "1e+3",
        "1e-3",
        "1.5e03",
        ".5e1",
        "0e0",
        "-0.0",
        "12345678901234567890123456789012345678901234567890",
        "1e2147483647",
        "1e-2147483648",
        "1e000000000000000000001",
    };
    for (size_t i = 0; i < COUNT(numbers); i++)
        if (!parses(numbers[i]))
            fail_msg("%s is a decimal", numbers[i]);
}

static void anything_else_is_none(void **state)
{
    (void)state;
    static const char *const others[] = {
        "",
        ".",
        "-",
        "+",
        "-.",
        "e1",
        ".e1",
        "1e",
        "1e+",
        "1e-",
        "--1",
        "+-1",
        "1-",
        "1.2.3",
        "1..2",
        "1.+5",
        " 1",
        "1 ",
        "1\n",
        "1,5",
        "1_000",
        "0x10",
        "1e1.5",
        "1e1e1",
        "nan",
        "NaN",
        "inf",
        "-inf",
        "Infinity",
        "one",
        "1e2147483648",
        "1e-2147483649",
        "1e99999999999999999999",
        "\xd9\xa1",
    };
    for (size_t i = 0; i < COUNT(others); i++)
        if (parses(others[i]))
            fail_msg("\"%s\" is no decimal", others[i]);
    assert_false(parses(NULL));
    struct decimal number;
    assert_false(decimal_parse(WH_SLICE_LITERAL("1\0"), &number));
}

static void order_is_exact(void **state)
{
    (void)state;
    /* Each list ascends; numbers of one line are equal. */
    static const char *const ascending[][6] = {
        {"-1e2147483647"},
        {"-9007199254740993"},
        {"-9007199254740992", "-9007199254740992.000"},
        {"-10", "-1e1", "-10.0", "-100e-1"},
        {"-9.99"},
        {"-0.1", "-.1", "-1e-1"},
        {"-1e-2147483648"},
        {"0", "-0", "+0", "0.000", "0e99", "-.0e-7"},
        {"1e-2147483648"},
        {"0.0009"},
        {"0.001", "1e-3", "00.0010", ".1e-2"},
        {"0.1", "+.1", "00.100"},
        {"0.10000000000000000000000000000000000000001"},
        {"1", "1.", "+1", "0.1e1", "10e-1"},
        {"1.01"},
        {"1.1"},
        {"9"},
        {"10", "1e1"},
        {"9007199254740992", "9007199254740992e0"},
        {"9007199254740993", "9007199254740.993e3"},
        {"12345678901234567890123456789012345678901234567890"},
        {"12345678901234567890123456789012345678901234567891"},
        {"1e2147483647"},
    };
    for (size_t i = 0; i < COUNT(ascending); i++) {
        for (size_t a = 0; a < 6 && ascending[i][a]; a++) {
            for (size_t b = 0; b < 6 && ascending[i][b]; b++)
                assert_int_equal(compare(ascending[i][a], ascending[i][b]), 0);
            for (size_t k = i + 1; k < COUNT(ascending); k++) {
                assert_int_equal(compare(ascending[i][a], ascending[k][0]), -1);
                assert_int_equal(compare(ascending[k][0], ascending[i][a]), 1);
            }
        }
    }
}

/* `hundredths` in one of its many spellings. */
static void spell(int64_t hundredths, char out[64])
{
    const char *sign = hundredths < 0 ? "-" : wh_random_below(2) ? "+" : "";
    uint64_t size = (uint64_t)(hundredths < 0 ? -hundredths : hundredths);
    switch (wh_random_below(4)) {
    case 0:
        snprintf(out, 64, "%s%" PRIu64 ".%02" PRIu64, sign, size / 100, size % 100);
        break;
    case 1:
        snprintf(out, 64, "%s%" PRIu64 "e-2", sign, size);
        break;
    case 2:
        snprintf(out, 64, "%s00%" PRIu64 "00E-4", sign, size);
        break;
    default:
        snprintf(out, 64, "%s.%019" PRIu64 "e17", sign, size);
        break;
    }
}

static void order_is_that_of_integers_in_every_spelling(void **state)
{
    (void)state;
    wh_random_seed(7);
    for (int round = 0; round < 20000; round++) {
        uint64_t range = wh_random_below(2) ? 300 : 1000000000000;
        int64_t a = (int64_t)wh_random_below(range) - (int64_t)(range / 2);
        int64_t b = (int64_t)wh_random_below(range) - (int64_t)(range / 2);
        char left[64], right[64];
        spell(a, left);
        spell(b, right);
        if (compare(left, right) != (a > b) - (a < b))
            fail_msg("%s against %s", left, right);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sign_digits_fraction_and_exponent_make_a_decimal),
        cmocka_unit_test(anything_else_is_none),
        cmocka_unit_test(order_is_exact),
        cmocka_unit_test(order_is_that_of_integers_in_every_spelling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
