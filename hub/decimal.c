/*
 * A number is kept as the run of its significant digits, where they stand in the text, and the
 * power of ten in front of them.  Two numbers of one sign then compare by that power and, when it
 * is equal, digit by digit.  Nothing is ever scaled, so a hostile exponent costs nothing.
 */
#include "hub/decimal.h"

struct scan {
    const char *at;
    const char *end;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Step over a sign; -1 or 1. */
static int take_sign(struct scan *scan)
{
    if (scan->at == scan->end || (*scan->at != '-' && *scan->at != '+'))
        return 1;
    return *scan->at++ == '-' ? -1 : 1;
}

/* Digits and at most one point up to the exponent or the end; the significant part and its
 * magnitude go to `out`.  False without any digit. */
static bool take_mantissa(struct scan *scan, struct decimal *out)
{
    const char *first = NULL, *last = NULL;
    int64_t before_point = 0, leading_zeros = 0;
    bool has_point = false, has_digit = false;
    for (; scan->at < scan->end; scan->at++) {
        if (*scan->at == '.' && !has_point) {
            has_point = true;
            continue;
        }
        if (!is_digit(*scan->at))
            break;
        has_digit = true;
        before_point += has_point ? 0 : 1;
        if (*scan->at != '0') {
            last = scan->at;
            if (!first)
                first = scan->at;
        }
        leading_zeros += first ? 0 : 1;
    }
    if (first) {
        out->digits = wh_slice(first, (size_t)(last - first) + 1);
        out->magnitude = before_point - leading_zeros;
    }
    return has_digit;
}

static bool take_exponent(struct scan *scan, int64_t *out_exponent)
{
    int64_t exponent = 0;
    *out_exponent = 0;
    if (scan->at == scan->end)
        return true;
    if (*scan->at != 'e' && *scan->at != 'E')
        return false;
    scan->at++;
    int sign = take_sign(scan);
    if (scan->at == scan->end)
        return false;
    for (; scan->at < scan->end && is_digit(*scan->at); scan->at++) {
        exponent = exponent * 10 + (*scan->at - '0');
        if (exponent > (int64_t)INT32_MAX + 1)
            return false;
    }
    *out_exponent = sign * exponent;
    return scan->at == scan->end && *out_exponent <= INT32_MAX;
}

bool decimal_parse(struct wh_slice text, struct decimal *out)
{
    if (text.len == 0)
        return false;
    struct scan scan = {text.ptr, text.ptr + text.len};
    struct decimal number = {.digits = WH_SLICE_LITERAL("")};
    int64_t exponent;
    int sign = take_sign(&scan);
    if (!take_mantissa(&scan, &number) || !take_exponent(&scan, &exponent))
        return false;
    if (number.digits.len > 0) {
        number.sign = sign;
        number.magnitude += exponent;
    }
    *out = number;
    return true;
}

/* Both begin with a digit other than 0 and end with one, so what goes on longer is greater. */
static int compare_digits(struct wh_slice a, struct wh_slice b)
{
    size_t i = 0, k = 0;
    for (;; i++, k++) {
        if (i < a.len && a.ptr[i] == '.')
            i++;
        if (k < b.len && b.ptr[k] == '.')
            k++;
        if (i >= a.len || k >= b.len)
            return (i < a.len) - (k < b.len);
        if (a.ptr[i] != b.ptr[k])
            return a.ptr[i] < b.ptr[k] ? -1 : 1;
    }
}

int decimal_compare(const struct decimal *a, const struct decimal *b)
{
    if (a->sign != b->sign)
        return a->sign < b->sign ? -1 : 1;
    if (a->magnitude != b->magnitude)
        return a->magnitude < b->magnitude ? -a->sign : a->sign;
    return a->sign * compare_digits(a->digits, b->digits);
}
