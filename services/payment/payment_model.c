#include "services/payment/payment_model.h"

#include "common/protocol/schema_rows.h"

/* clang-format off */

#define T payment_request
static const struct wh_field payment_request_fields[] = {
    FIELD_ALWAYS(1, payment, STRING),
    FIELD_ALWAYS(2, order, STRING),
    FIELD_ALWAYS(3, user, STRING),
    NESTED(4, amount, MESSAGE, svc_money),
    FIELD(5, card, STRING),
};
#undef T
SCHEMA(const, payment_request, "PaymentRequest", payment_request);

#define T payment_told
static const struct wh_field payment_told_fields[] = {
    FIELD_ALWAYS(1, payment, STRING),
    FIELD_ALWAYS(2, order, STRING),
    FIELD_ALWAYS(3, user, STRING),
    NESTED(4, amount, MESSAGE, svc_money),
    FIELD(5, reason, STRING),
};
#undef T
SCHEMA(const, payment_told, "PaymentTold", payment_told);

#define T payment_ref
static const struct wh_field payment_ref_fields[] = {
    FIELD(1, payment, STRING),
    FIELD(2, order, STRING),
};
#undef T
SCHEMA(const, payment_ref, "PaymentRef", payment_ref);

#define T payment_page
static const struct wh_field payment_page_fields[] = {
    FIELD(1, limit, U32),
    FIELD(2, cursor, STRING),
};
#undef T
SCHEMA(const, payment_page, "PaymentPage", payment_page);

#define T payment_view
static const struct wh_field payment_view_fields[] = {
    FIELD_ALWAYS(1, payment, STRING),
    FIELD_ALWAYS(2, order, STRING),
    FIELD_ALWAYS(3, state, STRING),
    FIELD(4, reason, STRING),
    NESTED(5, amount, MESSAGE, svc_money),
    FIELD(6, card_last4, STRING),
    FIELD_ALWAYS(7, created_at, STRING),
    FIELD_ALWAYS(8, updated_at, STRING),
};
#undef T
SCHEMA(const, payment_view, "PaymentView", payment_view);

#define T payment_list
static const struct wh_field payment_list_fields[] = {
    NESTED_ALWAYS(1, payments, MESSAGES, payment_view),
    FIELD(2, next, STRING),
};
#undef T
SCHEMA(const, payment_list, "PaymentList", payment_list);
