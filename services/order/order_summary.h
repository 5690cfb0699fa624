/*
 * The read model: one row an order, made of what events say, for lists.  It
 * may be behind the orders by the time that an event is on its way; in the end
 * it is the same, whatever the order in which events came and however often.
 */
#ifndef SERVICES_ORDER_ORDER_SUMMARY_H
#define SERVICES_ORDER_ORDER_SUMMARY_H

#include "services/order/order_store.h"

/* order.created.v1, order.confirmed.v1, order.cancelled.v1 */
uint32_t order_summary_on_order(struct svc_ctx *ctx,
                                const struct svc_event *event,
                                enum order_state state);

/* What payment says. */
uint32_t order_summary_on_payment(struct svc_ctx *ctx,
                                  const struct svc_event *event,
                                  const struct payment_event *data,
                                  enum order_event kind);

/* The orders of `user` before the order `before` (newest first; a large id for all of them), at
 * most `limit`; of one state if it is not empty. */
uint32_t order_summary_page(struct svc_ctx *ctx,
                            struct wh_slice user,
                            const struct order_page *page,
                            struct order_list *out);

/* Make it anew from the orders. */
uint32_t order_summary_rebuild(struct svc_ctx *ctx, uint64_t *out_orders);

#endif
