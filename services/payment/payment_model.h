/*
 * What the payment service takes, answers and says, as structs with field
 * tables: member names are the names on the wire.  Structs own nothing.
 */
#ifndef SERVICES_PAYMENT_PAYMENT_MODEL_H
#define SERVICES_PAYMENT_PAYMENT_MODEL_H

#include "services/core/money.h"

/* Data of payment.requested.v1, payment.void_requested.v1 and payment.refund_requested.v1; of
 * order.confirmed.v1 the part that matters here.  What one has not got is absent. */
struct payment_request {
    struct wh_slice payment;
    struct wh_slice order;
    struct wh_slice user;
    struct svc_money *amount;
    struct wh_slice card;
};

/* Data of the events that tell a state. */
struct payment_told {
    struct wh_slice payment;
    struct wh_slice order;
    struct wh_slice user;
    struct svc_money *amount;
    struct wh_slice reason;
};

/* payments.v1.get: one of them */
struct payment_ref {
    struct wh_slice payment;
    struct wh_slice order;
};

/* payments.v1.list */
struct payment_page {
    uint32_t limit;         /* 0 = PAYMENT_PAGE_DEFAULT */
    struct wh_slice cursor; /* `next` of the page before */
};

enum { PAYMENT_PAGE_DEFAULT = 20, PAYMENT_PAGE_MAX = 100 };

struct payment_view {
    struct wh_slice payment;
    struct wh_slice order;
    struct wh_slice state;
    struct wh_slice reason;
    struct svc_money *amount;
    struct wh_slice card_last4;
    struct wh_slice created_at;
    struct wh_slice updated_at;
};

struct payment_list {
    WH_MESSAGES(struct payment_view) payments;
    struct wh_slice next; /* absent on the last page */
};

extern const struct wh_schema payment_request_schema;
extern const struct wh_schema payment_told_schema;
extern const struct wh_schema payment_ref_schema;
extern const struct wh_schema payment_page_schema;
extern const struct wh_schema payment_view_schema;
extern const struct wh_schema payment_list_schema;

#endif
