/* What a user may ask: the own payments and nobody else's; others' are not found. */
#include "services/payment/handlers.h"

#include "services/payment/payment_store.h"

uint32_t payment_get(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    struct payment_ref ref = {.payment = {0}};
    struct payment_view view;
    bool is_there = false;
    if (svc_params(ctx, &payment_ref_schema, &ref) ||
        (ref.payment.len == 0) == (ref.order.len == 0))
        return svc_fail(ctx, SVC_INVALID, "one of payment and order is needed");
    if (payment_find(ctx, call->user, &ref, &view, &is_there))
        return svc_db_code(ctx);
    if (!is_there)
        return svc_fail(ctx, SVC_NOT_FOUND, "no such payment");
    return svc_reply(ctx, &payment_view_schema, &view);
}

uint32_t payment_list_own(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    struct payment_page page = {.limit = 0};
    struct payment_list list;
    if (svc_params(ctx, &payment_page_schema, &page) || page.limit > PAYMENT_PAGE_MAX)
        return svc_fail(ctx, SVC_INVALID, "limit is 1 to %d", PAYMENT_PAGE_MAX);
    uint32_t limit = page.limit ? page.limit : PAYMENT_PAGE_DEFAULT;
    if (payment_page_read(ctx, call->user, page.cursor, limit, &list))
        return svc_db_code(ctx);
    return svc_reply(ctx, &payment_list_schema, &list);
}
