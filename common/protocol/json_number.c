/*
 * Numbers by RFC 8259 §6.  A number is cut into sign, digits and exponent once;
 * integers are then exact over the whole 64-bit ranges, also when they are
 * written as 1.5e1.  For floating point strtod does the rounding, but it is
 * only ever shown digits and an exponent, never a decimal point, because what
 * it takes for one depends on the locale of the program that embeds us.
 */
#include "common/protocol/json.h"
#include "common/protocol/json_scan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    EXPONENT_MAX = 1000000000, /* beyond any text's length: saturates instead of overflowing */
    DIGITS_MAX = 800           /* more than 768 decide no rounding, only a non-zero rest does */
};

/* digits × 10^exponent, as if the point in the digits were not there. */
struct decimal {
    bool is_negative;
    const char *digits; /* may contain one '.', to be stepped over */
    const char *digits_end;
    int64_t exponent;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const char *skip_digits(const char *at, const char *end)
{
    while (at < end && is_digit(*at))
        at++;
    return at;
}

static const char *scan_mantissa(const char *at, const char *end, struct decimal *out)
{
    out->is_negative = *at == '-';
    if (out->is_negative)
        at++;
    out->digits = at;
    const char *whole_end = at < end && *at == '0' ? at + 1 : skip_digits(at, end);
    if (whole_end == at)
        return NULL;
    at = whole_end;
    out->exponent = 0;
    if (at < end && *at == '.') {
        at = skip_digits(at + 1, end);
        if (at == whole_end + 1)
            return NULL;
        out->exponent = -(int64_t)(at - whole_end - 1);
    }
    out->digits_end = at;
    return at;
}

static const char *scan_exponent(const char *at, const char *end, struct decimal *out)
{
    if (at == end || (*at != 'e' && *at != 'E'))
        return at;
    at++;
    bool is_negative = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    const char *digits = at;
    int64_t exponent = 0;
    for (; at < end && is_digit(*at); at++)
        exponent = exponent > EXPONENT_MAX ? exponent : exponent * 10 + (*at - '0');
    if (at == digits)
        return NULL;
    out->exponent += is_negative ? -exponent : exponent;
    return at;
}

static const char *scan_decimal(const char *at, const char *end, struct decimal *out)
{
    at = scan_mantissa(at, end, out);
    return at ? scan_exponent(at, end, out) : NULL;
}

const char *wh_json_scan_number(const char *at, const char *end)
{
    struct decimal ignored;
    return scan_decimal(at, end, &ignored);
}

/* Leading zeros go, trailing ones move into the exponent; no digits are left of a zero. */
static void normalise(struct decimal *decimal)
{
    const char *at = decimal->digits;
    const char *end = decimal->digits_end;
    for (; end > at && (end[-1] == '0' || end[-1] == '.'); end--)
        decimal->exponent += end[-1] == '0';
    while (at < end && (*at == '0' || *at == '.'))
        at++;
    decimal->digits = at;
    decimal->digits_end = end;
}

/* The value without its sign; false when it is no integer or does not fit. */
static bool magnitude_of(const struct decimal *decimal, uint64_t *out)
{
    uint64_t value = 0;
    int64_t zeros = decimal->exponent;
    if (decimal->digits == decimal->digits_end)
        zeros = 0;
    if (zeros < 0 || zeros > 20)
        return false;
    for (const char *at = decimal->digits; at < decimal->digits_end; at++) {
        if (*at == '.')
            continue;
        if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
            return false;
    }
    for (; zeros > 0; zeros--) {
        if (__builtin_mul_overflow(value, (uint64_t)10, &value))
            return false;
    }
    *out = value;
    return true;
}

static enum wh_err read_decimal(struct wh_json_reader *reader,
                                struct decimal *out,
                                const char **out_after)
{
    enum wh_json_type type;
    enum wh_err err = wh_json_peek(reader, &type);
    if (err)
        return err;
    *out_after = scan_decimal(reader->at, reader->end, out);
    if (type != WH_JSON_NUMBER || !*out_after)
        return WH_EFORMAT;
    normalise(out);
    return WH_OK;
}

enum wh_err wh_json_read_u64(struct wh_json_reader *reader, uint64_t *out)
{
    struct decimal decimal;
    const char *after;
    uint64_t magnitude;
    enum wh_err err = read_decimal(reader, &decimal, &after);
    if (err)
        return err;
    if (!magnitude_of(&decimal, &magnitude) || (decimal.is_negative && magnitude != 0))
        return WH_EFORMAT;
    reader->at = after;
    *out = magnitude;
    return WH_OK;
}

enum wh_err wh_json_read_i64(struct wh_json_reader *reader, int64_t *out)
{
    struct decimal decimal;
    const char *after;
    uint64_t magnitude;
    enum wh_err err = read_decimal(reader, &decimal, &after);
    if (err)
        return err;
    uint64_t limit = (uint64_t)INT64_MAX + (decimal.is_negative ? 1 : 0);
    if (!magnitude_of(&decimal, &magnitude) || magnitude > limit)
        return WH_EFORMAT;
    reader->at = after;
    if (!decimal.is_negative)
        *out = (int64_t)magnitude;
    else
        *out = magnitude == limit ? INT64_MIN : -(int64_t)magnitude;
    return WH_OK;
}

static double round_decimal(const struct decimal *decimal)
{
    char text[DIGITS_MAX + 32];
    size_t len = 0;
    int64_t exponent = decimal->exponent;
    bool has_rest = false;
    for (const char *at = decimal->digits; at < decimal->digits_end; at++) {
        if (*at == '.')
            continue;
        if (len < DIGITS_MAX) {
            text[len++] = *at;
        } else {
            has_rest = has_rest || *at != '0';
            exponent++;
        }
    }
    if (len == 0)
        return decimal->is_negative ? -0.0 : 0.0;
    if (has_rest) {
        text[len++] = '1';
        exponent--;
    }
    if (exponent > EXPONENT_MAX)
        exponent = EXPONENT_MAX;
    else if (exponent < -EXPONENT_MAX)
        exponent = -EXPONENT_MAX;
    snprintf(text + len, sizeof(text) - len, "e%lld", (long long)exponent);
    double value = strtod(text, NULL);
    return decimal->is_negative ? -value : value;
}

enum wh_err wh_json_read_double(struct wh_json_reader *reader, double *out)
{
    struct decimal decimal;
    const char *after;
    enum wh_err err = read_decimal(reader, &decimal, &after);
    if (err)
        return err;
    reader->at = after;
    *out = round_decimal(&decimal);
    return WH_OK;
}

void wh_json_write_double(struct wh_buf *buf, double number)
{
    char text[32];
    if (!isfinite(number)) {
        wh_buf_append_str(buf, "null");
        return;
    }
    if (number == 0 && signbit(number)) {
        wh_buf_append_str(buf, "-0.0"); /* who reads -0 makes an integer of it, and 0 of that */
        return;
    }
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(text, sizeof(text), "%.*g", precision, number);
        /* Same locale both ways, so this comparison is sound whatever the point looks like. */
        if (precision == 17 || strtod(text, NULL) == number)
            break;
    }
    bool in_point = false;
    for (const char *at = text; *at; at++) {
        bool is_ours = is_digit(*at) || *at == '-' || *at == '+' || *at == 'e';
        if (is_ours)
            wh_buf_append_char(buf, *at);
        else if (!in_point) /* a locale's point may have several bytes */
            wh_buf_append_char(buf, '.');
        in_point = !is_ours;
    }
}
