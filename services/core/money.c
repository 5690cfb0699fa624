#include "services/core/money.h"

#include "common/protocol/schema_rows.h"

#include <inttypes.h>

/* clang-format off */
#define T svc_money
static const struct wh_field svc_money_fields[] = {
    FIELD_ALWAYS(1, amount_minor, I64),
    FIELD_ALWAYS(2, currency, STRING),
};
#undef T
SCHEMA(const, svc_money, "Money", svc_money);
/* clang-format on */

enum { CODE_LEN = 3 };

/*
 * ISO 4217, list one (active codes that have a minor unit), by exponent.  A text a group: found by
 * a walk, which is faster than anything else for the first few and never on a hot path.
 */
static const struct {
    int exponent;
    const char *codes;
} currencies[] = {
    {2, "EUR USD GBP CHF AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD "
        "BTN BWP BYN BZD CAD CDF CHE CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB FJD "
        "FKP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT "
        "LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN "
        "NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE "
        "SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USN UYU UZS VED VES WST "
        "XCD XCG YER ZAR ZMW ZWG"},
    {0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"},
    {3, "BHD IQD JOD KWD LYD OMR TND"},
    {4, "CLF UYW"},
};

int svc_currency_exponent(struct wh_slice code)
{
    if (code.len != CODE_LEN)
        return -1;
    for (size_t i = 0; i < sizeof(currencies) / sizeof(currencies[0]); i++) {
        size_t len = strlen(currencies[i].codes);
        for (size_t at = 0; at + CODE_LEN <= len; at += CODE_LEN + 1)
            if (memcmp(currencies[i].codes + at, code.ptr, CODE_LEN) == 0)
                return currencies[i].exponent;
    }
    return -1;
}

bool svc_money_is_valid(struct svc_money money)
{
    return money.amount_minor >= 0 && svc_currency_exponent(money.currency) >= 0;
}

enum wh_err svc_money_add(struct svc_money a, struct svc_money b, struct svc_money *out)
{
    int64_t sum = 0;
    if (!wh_slice_equal(a.currency, b.currency))
        return WH_EINVAL;
    if (__builtin_add_overflow(a.amount_minor, b.amount_minor, &sum))
        return WH_ELIMIT;
    *out = (struct svc_money){sum, a.currency};
    return WH_OK;
}

enum wh_err svc_money_multiply(struct svc_money money, uint32_t count, struct svc_money *out)
{
    int64_t product = 0;
    if (__builtin_mul_overflow(money.amount_minor, (int64_t)count, &product))
        return WH_ELIMIT;
    *out = (struct svc_money){product, money.currency};
    return WH_OK;
}

bool svc_money_equal(struct svc_money a, struct svc_money b)
{
    return a.amount_minor == b.amount_minor && wh_slice_equal(a.currency, b.currency);
}

void svc_money_print(struct svc_money money, struct wh_buf *out)
{
    int exponent = svc_currency_exponent(money.currency);
    uint64_t magnitude = (uint64_t)money.amount_minor;
    uint64_t unit = 1;
    if (money.amount_minor < 0) {
        wh_buf_append_char(out, '-');
        magnitude = 0 - magnitude; /* INT64_MIN has no positive twin among int64_t */
    }
    for (int i = 0; i < exponent; i++)
        unit *= 10;
    if (unit == 1)
        wh_buf_append_u64(out, magnitude);
    else
        wh_buf_printf(out, "%" PRIu64 ".%0*" PRIu64, magnitude / unit, exponent, magnitude % unit);
    wh_buf_printf(out, " %.*s", WH_SLICE_ARGS(money.currency));
}
