#include "services/order/order_events.h"

#include "common/protocol/codec.h"
#include "services/order/order_saga.h"
#include "services/order/order_summary.h"

uint32_t on_order_created(struct svc_ctx *ctx, const struct svc_event *event)
{
    return order_summary_on_order(ctx, event, ORDER_PENDING);
}

uint32_t on_order_confirmed(struct svc_ctx *ctx, const struct svc_event *event)
{
    return order_summary_on_order(ctx, event, ORDER_CONFIRMED);
}

uint32_t on_order_cancelled(struct svc_ctx *ctx, const struct svc_event *event)
{
    return order_summary_on_order(ctx, event, ORDER_CANCELLED);
}

/* Saga first: an answer that it refuses leaves no trace in the read model either. */
static uint32_t on_payment(struct svc_ctx *ctx,
                           const struct svc_event *event,
                           enum order_event kind)
{
    struct payment_event data = {0};
    enum wh_err err = wh_decode_whole(WH_ENCODING_JSON, &payment_event_schema, event->data.bytes,
                                      svc_arena(ctx), &data);
    if (err)
        return svc_fail(ctx, SVC_INVALID, "data: %s", wh_err_text(err));
    uint32_t code = order_saga_on_payment(ctx, &data, kind);
    return code ? code : order_summary_on_payment(ctx, event, &data, kind);
}

uint32_t on_payment_authorized(struct svc_ctx *ctx, const struct svc_event *event)
{
    return on_payment(ctx, event, ORDER_PAYMENT_AUTHORIZED);
}

uint32_t on_payment_declined(struct svc_ctx *ctx, const struct svc_event *event)
{
    return on_payment(ctx, event, ORDER_PAYMENT_DECLINED);
}

uint32_t on_payment_captured(struct svc_ctx *ctx, const struct svc_event *event)
{
    return on_payment(ctx, event, ORDER_PAYMENT_CAPTURED);
}

uint32_t on_payment_voided(struct svc_ctx *ctx, const struct svc_event *event)
{
    return on_payment(ctx, event, ORDER_PAYMENT_VOIDED);
}

uint32_t on_payment_refunded(struct svc_ctx *ctx, const struct svc_event *event)
{
    return on_payment(ctx, event, ORDER_PAYMENT_REFUNDED);
}
