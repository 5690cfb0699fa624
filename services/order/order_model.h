/*
 * What the order service takes, answers and says, as structs with field
 * tables: member names here are the names on the wire.  docs/SERVICES.md and
 * docs/events/ describe the same from outside; a test holds them together.
 *
 * Structs own nothing.
 */
#ifndef SERVICES_ORDER_ORDER_MODEL_H
#define SERVICES_ORDER_ORDER_MODEL_H

#include "services/core/money.h"

/* orders.v1.create */
struct order_create_line {
    struct wh_slice product;
    uint32_t quantity;
};

struct order_create {
    WH_MESSAGES(struct order_create_line) lines;
    struct wh_slice card;
};

/* orders.v1.get, orders.v1.cancel */
struct order_ref {
    struct wh_slice order;
};

/* orders.v1.list, products.v1.list */
struct order_page {
    uint32_t limit;         /* 0 = ORDER_PAGE_DEFAULT */
    struct wh_slice cursor; /* `next` of the page before */
    struct wh_slice state;  /* orders only; empty = all */
};

enum { ORDER_PAGE_DEFAULT = 20, ORDER_PAGE_MAX = 100 };

struct order_line {
    struct wh_slice product;
    struct wh_slice name;
    uint32_t quantity;
    struct svc_money *unit; /* price of one */
};

typedef WH_MESSAGES(struct order_line) order_lines;

struct order_view {
    struct wh_slice order;
    struct wh_slice payment;
    struct wh_slice state;
    struct wh_slice reason;
    uint64_t version;
    struct svc_money *total;
    struct wh_slice card_last4;
    order_lines lines;
    struct wh_slice created_at;
    struct wh_slice updated_at;
};

/* A row of the read model. */
struct order_summary {
    struct wh_slice order;
    struct wh_slice state;
    struct wh_slice reason;
    struct wh_slice payment_state;
    struct svc_money *total;
    uint32_t items; /* pieces, over all lines */
    struct wh_slice created_at;
    struct wh_slice updated_at;
};

struct order_list {
    WH_MESSAGES(struct order_summary) orders;
    struct wh_slice next; /* absent on the last page */
};

struct product_view {
    struct wh_slice product;
    struct wh_slice sku;
    struct wh_slice name;
    struct svc_money *price;
    uint32_t stock;
};

struct product_list {
    WH_MESSAGES(struct product_view) products;
    struct wh_slice next;
};

/* orders.v1.rebuild */
struct order_rebuilt {
    uint64_t orders;
};

/* `data` of events that this service sends. */
struct order_created {
    struct wh_slice order;
    struct wh_slice user;
    struct svc_money *total;
    order_lines lines;
};

/* order.confirmed.v1 and order.cancelled.v1 have one member that the other has not. */
struct order_confirmed {
    struct wh_slice order;
    struct wh_slice user;
    struct wh_slice payment;
    struct svc_money *total;
};

struct order_cancelled {
    struct wh_slice order;
    struct wh_slice user;
    struct wh_slice reason;
    struct svc_money *total;
};

struct payment_requested {
    struct wh_slice payment;
    struct wh_slice order;
    struct wh_slice user;
    struct svc_money *amount;
    struct wh_slice card;
    uint32_t attempt; /* 1, 2 … */
};

struct payment_void_requested {
    struct wh_slice payment;
    struct wh_slice order;
    struct wh_slice user;
    struct wh_slice reason;
};

struct payment_refund_requested {
    struct wh_slice payment;
    struct wh_slice order;
    struct wh_slice user;
    struct svc_money *amount;
};

/* On market:ticker: nothing that leads to a person or an order. */
struct market_sale {
    struct wh_slice product;
    struct wh_slice name;
    int64_t amount_minor;
    struct wh_slice currency;
    struct wh_slice at;
};

/* `data` of payment.authorized.v1 and the other answers of payment, as far as it is read here. */
struct payment_event {
    struct wh_slice payment;
    struct wh_slice order;
    struct wh_slice user;
    struct svc_money *amount;
    struct wh_slice reason;
};

/* `data` of order.* events, as far as the read model reads it. */
struct order_event_data {
    struct wh_slice order;
    struct wh_slice user;
    struct wh_slice reason;
    struct svc_money *total;
    order_lines lines;
};

extern const struct wh_schema order_create_schema;
extern const struct wh_schema order_ref_schema;
extern const struct wh_schema order_page_schema;
extern const struct wh_schema order_view_schema;
extern const struct wh_schema order_list_schema;
extern const struct wh_schema product_list_schema;
extern const struct wh_schema order_rebuilt_schema;
extern const struct wh_schema order_created_schema;
extern const struct wh_schema order_confirmed_schema;
extern const struct wh_schema order_cancelled_schema;
extern const struct wh_schema payment_requested_schema;
extern const struct wh_schema payment_void_requested_schema;
extern const struct wh_schema payment_refund_requested_schema;
extern const struct wh_schema market_sale_schema;
extern const struct wh_schema payment_event_schema;
extern const struct wh_schema order_event_data_schema;

#endif
