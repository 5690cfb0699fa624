#include "services/order/order_emit.h"

#include "services/core/outbox.h"

/* As the namespaces orders and market in the configuration of the hub. */
enum {
    LIVE_HISTORY_SIZE = 1000,
    LIVE_HISTORY_TTL_MS = 24 * 60 * 60 * 1000,
    TICKER_HISTORY_SIZE = 100,
    TICKER_HISTORY_TTL_MS = 60 * 60 * 1000,
};

enum audience { FOR_SERVICES, FOR_THE_OWNER_TOO };

static uint32_t emit(struct svc_ctx *ctx,
                     const char *type,
                     const struct order_record *record,
                     enum audience audience,
                     struct wh_slice data)
{
    struct svc_event_channel live = {
        .name = svc_text(ctx, "orders:live#%.*s", WH_SLICE_ARGS(record->user)),
        .history_size = LIVE_HISTORY_SIZE,
        .history_ttl_ms = LIVE_HISTORY_TTL_MS,
    };
    if (!data.ptr || !live.name.ptr)
        return svc_fail(ctx, SVC_INTERNAL, "%s: out of memory", type);
    return svc_emit(ctx, &(struct svc_emission){
                             .type = type,
                             .subject = record->id,
                             .data = data,
                             .channels = &live,
                             .channel_count = audience == FOR_THE_OWNER_TOO ? 1 : 0,
                         });
}

uint32_t order_emit_created(struct svc_ctx *ctx,
                            const struct order_record *record,
                            const order_lines *lines)
{
    struct svc_money total = record->total;
    struct order_created data = {record->id, record->user, &total, *lines};
    return emit(ctx, "order.created.v1", record, FOR_THE_OWNER_TOO,
                svc_encode(ctx, &order_created_schema, &data));
}

uint32_t order_emit_confirmed(struct svc_ctx *ctx,
                              const struct order_record *record,
                              bool is_repeated)
{
    struct svc_money total = record->total;
    struct order_confirmed data = {record->id, record->user, record->payment, &total};
    return emit(ctx, "order.confirmed.v1", record, is_repeated ? FOR_SERVICES : FOR_THE_OWNER_TOO,
                svc_encode(ctx, &order_confirmed_schema, &data));
}

uint32_t order_emit_cancelled(struct svc_ctx *ctx, const struct order_record *record)
{
    struct svc_money total = record->total;
    struct order_cancelled data = {record->id, record->user, record->reason, &total};
    return emit(ctx, "order.cancelled.v1", record, FOR_THE_OWNER_TOO,
                svc_encode(ctx, &order_cancelled_schema, &data));
}

uint32_t order_emit_payment_requested(struct svc_ctx *ctx, const struct order_record *record)
{
    struct svc_money amount = record->total;
    struct payment_requested data = {record->payment, record->id,   record->user,
                                     &amount,         record->card, record->attempts};
    return emit(ctx, "payment.requested.v1", record, FOR_SERVICES,
                svc_encode(ctx, &payment_requested_schema, &data));
}

uint32_t order_emit_void_requested(struct svc_ctx *ctx, const struct order_record *record)
{
    struct payment_void_requested data = {record->payment, record->id, record->user,
                                          record->reason};
    return emit(ctx, "payment.void_requested.v1", record, FOR_SERVICES,
                svc_encode(ctx, &payment_void_requested_schema, &data));
}

uint32_t order_emit_refund_requested(struct svc_ctx *ctx, const struct order_record *record)
{
    struct svc_money amount = record->total;
    struct payment_refund_requested data = {record->payment, record->id, record->user, &amount};
    return emit(ctx, "payment.refund_requested.v1", record, FOR_SERVICES,
                svc_encode(ctx, &payment_refund_requested_schema, &data));
}

/* The ticker gets the data alone: an envelope has a trace, which leads to a call of somebody. */
static uint32_t emit_sale(struct svc_ctx *ctx, const struct order_line *line, struct wh_slice at)
{
    struct svc_money price = {0};
    if (svc_money_multiply(*line->unit, line->quantity, &price))
        return svc_fail(ctx, SVC_INTERNAL, "a line that does not fit its sum");
    struct wh_slice data = svc_encode(ctx, &market_sale_schema,
                                      &(struct market_sale){.product = line->product,
                                                            .name = line->name,
                                                            .amount_minor = price.amount_minor,
                                                            .currency = price.currency,
                                                            .at = at});
    struct svc_event_channel ticker = {
        .name = WH_SLICE_LITERAL("market:ticker"),
        .history_size = TICKER_HISTORY_SIZE,
        .history_ttl_ms = TICKER_HISTORY_TTL_MS,
        .payload = data,
    };
    if (!data.ptr)
        return svc_fail(ctx, SVC_INTERNAL, "market.sold.v1: out of memory");
    return svc_emit(ctx, &(struct svc_emission){
                             .type = "market.sold.v1",
                             .subject = line->product,
                             .data = data,
                             .channels = &ticker,
                             .channel_count = 1,
                         });
}

uint32_t order_emit_sales(struct svc_ctx *ctx, const struct order_record *record)
{
    order_lines lines = {0};
    uint32_t code = order_store_lines(ctx, record, &lines);
    for (size_t i = 0; i < lines.count && !code; i++)
        code = emit_sale(ctx, &lines.items[i], record->updated_at);
    return code;
}
