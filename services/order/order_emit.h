/*
 * What the order service says: domain events for services, the same on the
 * client channel of the owner where that is his business, sales on the ticker.
 * Each is a row of the outbox in the transaction of the context.  SVC_OK or
 * what the handler has to return.
 */
#ifndef SERVICES_ORDER_ORDER_EMIT_H
#define SERVICES_ORDER_ORDER_EMIT_H

#include "services/order/order_store.h"

uint32_t order_emit_created(struct svc_ctx *ctx,
                            const struct order_record *record,
                            const order_lines *lines);

/* order.confirmed.v1; `is_repeated`: payment has not answered the first one, and nobody else needs
 * to hear it again. */
uint32_t order_emit_confirmed(struct svc_ctx *ctx,
                              const struct order_record *record,
                              bool is_repeated);
uint32_t order_emit_cancelled(struct svc_ctx *ctx, const struct order_record *record);

/* To payment.  The first one holds the card number: never on a client channel. */
uint32_t order_emit_payment_requested(struct svc_ctx *ctx, const struct order_record *record);
uint32_t order_emit_void_requested(struct svc_ctx *ctx, const struct order_record *record);
uint32_t order_emit_refund_requested(struct svc_ctx *ctx, const struct order_record *record);

/* One sale for each line on market:ticker, without user and order. */
uint32_t order_emit_sales(struct svc_ctx *ctx, const struct order_record *record);

#endif
