#include "services/order/order_model.h"

#include "common/protocol/schema_rows.h"

/* clang-format off */

#define T order_create_line
static const struct wh_field order_create_line_fields[] = {
    FIELD_ALWAYS(1, product, STRING),
    FIELD_ALWAYS(2, quantity, U32),
};
#undef T
SCHEMA(static const, order_create_line, "OrderCreateLine", order_create_line);

#define T order_create
static const struct wh_field order_create_fields[] = {
    NESTED_ALWAYS(1, lines, MESSAGES, order_create_line),
    FIELD_ALWAYS(2, card, STRING),
};
#undef T
SCHEMA(const, order_create, "OrderCreate", order_create);

#define T order_ref
static const struct wh_field order_ref_fields[] = {
    FIELD_ALWAYS(1, order, STRING),
};
#undef T
SCHEMA(const, order_ref, "OrderRef", order_ref);

#define T order_page
static const struct wh_field order_page_fields[] = {
    FIELD(1, limit, U32),
    FIELD(2, cursor, STRING),
    FIELD(3, state, STRING),
};
#undef T
SCHEMA(const, order_page, "Page", order_page);

#define T order_line
static const struct wh_field order_line_fields[] = {
    FIELD_ALWAYS(1, product, STRING),
    FIELD_ALWAYS(2, name, STRING),
    FIELD_ALWAYS(3, quantity, U32),
    NESTED(4, unit, MESSAGE, svc_money),
};
#undef T
SCHEMA(static const, order_line, "OrderLine", order_line);

#define T order_view
static const struct wh_field order_view_fields[] = {
    FIELD_ALWAYS(1, order, STRING),
    FIELD_ALWAYS(2, payment, STRING),
    FIELD_ALWAYS(3, state, STRING),
    FIELD(4, reason, STRING),
    FIELD_ALWAYS(5, version, U64),
    NESTED(6, total, MESSAGE, svc_money),
    FIELD_ALWAYS(7, card_last4, STRING),
    NESTED_ALWAYS(8, lines, MESSAGES, order_line),
    FIELD_ALWAYS(9, created_at, STRING),
    FIELD_ALWAYS(10, updated_at, STRING),
};
#undef T
SCHEMA(const, order_view, "Order", order_view);

#define T order_summary
static const struct wh_field order_summary_fields[] = {
    FIELD_ALWAYS(1, order, STRING),
    FIELD_ALWAYS(2, state, STRING),
    FIELD(3, reason, STRING),
    FIELD(4, payment_state, STRING),
    NESTED(5, total, MESSAGE, svc_money),
    FIELD_ALWAYS(6, items, U32),
    FIELD(7, created_at, STRING),
    FIELD_ALWAYS(8, updated_at, STRING),
};
#undef T
SCHEMA(static const, order_summary, "OrderSummary", order_summary);

#define T order_list
static const struct wh_field order_list_fields[] = {
    NESTED_ALWAYS(1, orders, MESSAGES, order_summary),
    FIELD(2, next, STRING),
};
#undef T
SCHEMA(const, order_list, "OrderList", order_list);

#define T product_view
static const struct wh_field product_view_fields[] = {
    FIELD_ALWAYS(1, product, STRING),
    FIELD_ALWAYS(2, sku, STRING),
    FIELD_ALWAYS(3, name, STRING),
    NESTED(4, price, MESSAGE, svc_money),
    FIELD_ALWAYS(5, stock, U32),
};
#undef T
SCHEMA(static const, product_view, "Product", product_view);

#define T product_list
static const struct wh_field product_list_fields[] = {
    NESTED_ALWAYS(1, products, MESSAGES, product_view),
    FIELD(2, next, STRING),
};
#undef T
SCHEMA(const, product_list, "ProductList", product_list);

#define T order_rebuilt
static const struct wh_field order_rebuilt_fields[] = {
    FIELD_ALWAYS(1, orders, U64),
};
#undef T
SCHEMA(const, order_rebuilt, "Rebuilt", order_rebuilt);

#define T order_created
static const struct wh_field order_created_fields[] = {
    FIELD_ALWAYS(1, order, STRING),
    FIELD_ALWAYS(2, user, STRING),
    NESTED(3, total, MESSAGE, svc_money),
    NESTED_ALWAYS(4, lines, MESSAGES, order_line),
};
#undef T
SCHEMA(const, order_created, "OrderCreated", order_created);

#define T order_confirmed
static const struct wh_field order_confirmed_fields[] = {
    FIELD_ALWAYS(1, order, STRING),
    FIELD_ALWAYS(2, user, STRING),
    FIELD_ALWAYS(3, payment, STRING),
    NESTED(4, total, MESSAGE, svc_money),
};
#undef T
SCHEMA(const, order_confirmed, "OrderConfirmed", order_confirmed);

#define T order_cancelled
static const struct wh_field order_cancelled_fields[] = {
    FIELD_ALWAYS(1, order, STRING),
    FIELD_ALWAYS(2, user, STRING),
    FIELD_ALWAYS(3, reason, STRING),
    NESTED(4, total, MESSAGE, svc_money),
};
#undef T
SCHEMA(const, order_cancelled, "OrderCancelled", order_cancelled);

#define T payment_requested
static const struct wh_field payment_requested_fields[] = {
    FIELD_ALWAYS(1, payment, STRING),
    FIELD_ALWAYS(2, order, STRING),
    FIELD_ALWAYS(3, user, STRING),
    NESTED(4, amount, MESSAGE, svc_money),
    FIELD_ALWAYS(5, card, STRING),
    FIELD_ALWAYS(6, attempt, U32),
};
#undef T
SCHEMA(const, payment_requested, "PaymentRequested", payment_requested);

#define T payment_void_requested
static const struct wh_field payment_void_requested_fields[] = {
    FIELD_ALWAYS(1, payment, STRING),
    FIELD_ALWAYS(2, order, STRING),
    FIELD_ALWAYS(3, user, STRING),
    FIELD_ALWAYS(4, reason, STRING),
};
#undef T
SCHEMA(const, payment_void_requested, "PaymentVoidRequested", payment_void_requested);

#define T payment_refund_requested
static const struct wh_field payment_refund_requested_fields[] = {
    FIELD_ALWAYS(1, payment, STRING),
    FIELD_ALWAYS(2, order, STRING),
    FIELD_ALWAYS(3, user, STRING),
    NESTED(4, amount, MESSAGE, svc_money),
};
#undef T
SCHEMA(const, payment_refund_requested, "PaymentRefundRequested", payment_refund_requested);

#define T market_sale
static const struct wh_field market_sale_fields[] = {
    FIELD_ALWAYS(1, product, STRING),
    FIELD_ALWAYS(2, name, STRING),
    FIELD_ALWAYS(3, amount_minor, I64),
    FIELD_ALWAYS(4, currency, STRING),
    FIELD_ALWAYS(5, at, STRING),
};
#undef T
SCHEMA(const, market_sale, "MarketSale", market_sale);

#define T payment_event
static const struct wh_field payment_event_fields[] = {
    FIELD_ALWAYS(1, payment, STRING),
    FIELD_ALWAYS(2, order, STRING),
    FIELD_ALWAYS(3, user, STRING),
    NESTED(4, amount, MESSAGE, svc_money),
    FIELD(5, reason, STRING),
};
#undef T
SCHEMA(const, payment_event, "PaymentEvent", payment_event);

#define T order_event_data
static const struct wh_field order_event_data_fields[] = {
    FIELD_ALWAYS(1, order, STRING),
    FIELD_ALWAYS(2, user, STRING),
    FIELD(3, reason, STRING),
    NESTED(4, total, MESSAGE, svc_money),
    NESTED_ALWAYS(5, lines, MESSAGES, order_line),
};
#undef T
SCHEMA(const, order_event_data, "OrderEventData", order_event_data);

/* clang-format on */
