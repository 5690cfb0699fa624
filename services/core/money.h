/*
 * Money: a whole number of the currency's smallest unit, and the currency.
 * Nothing here rounds and nothing wraps: what does not fit is an error.
 *
 * On the wire {"amount_minor":1999,"currency":"EUR"} is 19.99 euros; how many
 * digits stand behind the point is the business of whoever shows it, from
 * svc_currency_exponent.  Pure; any thread.
 */
#ifndef SERVICES_CORE_MONEY_H
#define SERVICES_CORE_MONEY_H

#include "common/base/buf.h"
#include "common/protocol/schema.h"

struct svc_money {
    int64_t amount_minor;
    struct wh_slice currency; /* ISO 4217, three capital letters; borrowed */
};

extern const struct wh_schema svc_money_schema;

/* Digits behind the point (EUR 2, JPY 0, KWD 3); -1 for what is no active code of ISO 4217. */
int svc_currency_exponent(struct wh_slice code);

/* A known currency and an amount of 0 or more. */
bool svc_money_is_valid(struct svc_money money);

/*
 * WH_EINVAL: the currencies differ.  WH_ELIMIT: the result does not fit 64 bits.
 */
WH_MUST_CHECK enum wh_err svc_money_add(struct svc_money a,
                                        struct svc_money b,
                                        struct svc_money *out);

/* WH_ELIMIT: the result does not fit 64 bits. */
WH_MUST_CHECK enum wh_err svc_money_multiply(struct svc_money money,
                                             uint32_t count,
                                             struct svc_money *out);

bool svc_money_equal(struct svc_money a, struct svc_money b);

/* For logs and people: "19.99 EUR", "-0.05 EUR", "500 JPY".  An unknown currency has no point. */
void svc_money_print(struct svc_money money, struct wh_buf *out);

#endif
