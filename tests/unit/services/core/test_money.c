#include "services/core/money.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define EUR WH_SLICE_LITERAL("EUR")
#define JPY WH_SLICE_LITERAL("JPY")

static struct svc_money money(int64_t amount, struct wh_slice currency)
{
    return (struct svc_money){amount, currency};
}

static void currencies_have_the_digits_of_iso_4217(void **state)
{
    static const struct {
        const char *code;
        int exponent;
    } cases[] = {
        {"EUR", 2}, {"USD", 2}, {"ZWG", 2},   {"JPY", 0},  {"XPF", 0},  {"BIF", 0},
        {"KWD", 3}, {"TND", 3}, {"CLF", 4},   {"UYW", 4},  {"eur", -1}, {"XXX", -1},
        {"", -1},   {"EU", -1}, {"EURO", -1}, {"UR ", -1}, {" US", -1}, {"R U", -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(svc_currency_exponent(wh_slice_from_str(cases[i].code)),
                         cases[i].exponent);
    assert_int_equal(svc_currency_exponent(WH_SLICE_ABSENT), -1);
}

static void negative_amounts_and_unknown_currencies_are_not_valid(void **state)
{
    (void)state;
    assert_true(svc_money_is_valid(money(0, EUR)));
    assert_true(svc_money_is_valid(money(INT64_MAX, JPY)));
    assert_false(svc_money_is_valid(money(-1, EUR)));
    assert_false(svc_money_is_valid(money(1, WH_SLICE_LITERAL("EU"))));
}

static void sums_and_products_that_do_not_fit_are_errors_and_touch_nothing(void **state)
{
    struct svc_money out = money(7, EUR);
    (void)state;
    assert_int_equal(svc_money_add(money(INT64_MAX, EUR), money(1, EUR), &out), WH_ELIMIT);
    assert_int_equal(svc_money_add(money(INT64_MIN, EUR), money(-1, EUR), &out), WH_ELIMIT);
    assert_int_equal(svc_money_multiply(money(INT64_MAX / 2, EUR), 3, &out), WH_ELIMIT);
    assert_int_equal(svc_money_multiply(money(INT64_MIN, EUR), UINT32_MAX, &out), WH_ELIMIT);
    assert_int_equal(svc_money_add(money(1, EUR), money(1, JPY), &out), WH_EINVAL);
    assert_int_equal(out.amount_minor, 7);
    assert_int_equal(svc_money_add(money(INT64_MAX - 1, EUR), money(1, EUR), &out), WH_OK);
    assert_true(svc_money_equal(out, money(INT64_MAX, EUR)));
    assert_int_equal(svc_money_multiply(money(1999, EUR), 3, &out), WH_OK);
    assert_true(svc_money_equal(out, money(5997, EUR)));
    assert_false(svc_money_equal(out, money(5997, JPY)));
}

static void money_is_printed_with_the_point_of_its_currency(void **state)
{
    static const struct {
        int64_t amount;
        const char *currency;
        const char *text;
    } cases[] = {
        {1999, "EUR", "19.99 EUR"}, {5, "EUR", "0.05 EUR"},
        {-5, "EUR", "-0.05 EUR"},   {500, "JPY", "500 JPY"},
        {1, "KWD", "0.001 KWD"},    {12345, "CLF", "1.2345 CLF"},
        {42, "???", "42 ???"},      {INT64_MIN, "EUR", "-92233720368547758.08 EUR"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wh_buf buf = {0};
        svc_money_print(money(cases[i].amount, wh_slice_from_str(cases[i].currency)), &buf);
        assert_string_equal(wh_buf_cstr(&buf), cases[i].text);
        wh_buf_deinit(&buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(currencies_have_the_digits_of_iso_4217),
        cmocka_unit_test(negative_amounts_and_unknown_currencies_are_not_valid),
        cmocka_unit_test(sums_and_products_that_do_not_fit_are_errors_and_touch_nothing),
        cmocka_unit_test(money_is_printed_with_the_point_of_its_currency),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
