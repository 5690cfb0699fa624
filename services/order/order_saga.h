/*
 * What happens to an order, carried out: the table of order.h decides, this
 * writes the new state, the goods and the events in one transaction.
 */
#ifndef SERVICES_ORDER_ORDER_SAGA_H
#define SERVICES_ORDER_ORDER_SAGA_H

#include "services/order/order_store.h"

/* The options of the service. */
struct order_settings {
    struct {
        uint64_t payment_timeout_ms;
        uint64_t payment_attempts;
        uint64_t settle_timeout_ms;
    } saga;
};

struct order_patience order_patience_of(const struct svc_ctx *ctx);

/* `record` is locked and is what it is afterwards.  SVC_OK or what the handler has to return. */
uint32_t order_saga_apply(struct svc_ctx *ctx, struct order_record *record, enum order_event event);

/* An answer of payment. */
uint32_t order_saga_on_payment(struct svc_ctx *ctx,
                               const struct payment_event *data,
                               enum order_event event);

/* Job: orders whose deadline passed, each in a transaction of its own. */
uint32_t order_saga_run_due(struct svc_ctx *ctx);

#endif
