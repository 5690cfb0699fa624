/*
 * Orders and products in PostgreSQL.  Every function runs in the transaction
 * of the context and returns SVC_OK or what the handler has to return; strings
 * that it gives live until the handler returns.
 */
#ifndef SERVICES_ORDER_ORDER_STORE_H
#define SERVICES_ORDER_ORDER_STORE_H

#include "services/core/service.h"
#include "services/order/order.h"
#include "services/order/order_model.h"

/* An order and what it waits for. */
struct order_record {
    struct wh_slice id;
    struct wh_slice user;
    struct wh_slice payment;
    enum order_state state;
    struct wh_slice reason; /* empty unless cancelled */
    uint64_t version;
    struct svc_money total;
    struct wh_slice card_last4;
    struct wh_slice created_at;
    struct wh_slice updated_at;
    enum order_step step;
    uint32_t attempts;    /* how often what it waits for was asked for */
    struct wh_slice card; /* while a payment is awaited */
};

/*
 * Take the goods of `wanted` off the stock and write the order down, waiting for its payment for
 * `wait_ms`.  `record` comes with id, user, payment and card; what else there is to know is filled
 * in.  `out_lines` has the lines as they were wanted, with names and prices.
 *
 * 409: out of stock; 422: no such product, several currencies, a sum that does not fit.
 */
uint32_t order_store_create(struct svc_ctx *ctx,
                            const struct order_create *wanted,
                            uint64_t wait_ms,
                            struct order_record *record,
                            order_lines *out_lines);

/* Of this user; 404 otherwise.  Without step, attempts and card. */
uint32_t order_store_get(struct svc_ctx *ctx,
                         struct wh_slice id,
                         struct wh_slice user,
                         struct order_record *out);

uint32_t order_store_lines(struct svc_ctx *ctx,
                           const struct order_record *record,
                           order_lines *out);

/* Lock an order until the end of the transaction, so that all that happens to it happens one after
 * the other.  404 when there is none. */
uint32_t order_store_lock(struct svc_ctx *ctx, struct wh_slice id, struct order_record *out);
uint32_t order_store_lock_own(struct svc_ctx *ctx,
                              struct wh_slice id,
                              struct wh_slice user,
                              struct order_record *out);

/* Lock an order whose deadline passed; `out->id` is empty when somebody else did. */
uint32_t order_store_lock_due(struct svc_ctx *ctx, struct wh_slice id, struct order_record *out);

/* Up to ORDER_DUE_MAX orders whose deadline passed, the longest first.  Needs no transaction. */
enum { ORDER_DUE_MAX = 200 };
uint32_t order_store_due(struct svc_ctx *ctx, struct wh_strings *out);

/* Write `record`, locked before, with a new state and reason; its version and time become new. */
uint32_t order_store_update(struct svc_ctx *ctx, struct order_record *record);

/* Write step and attempts of `record`. */
struct order_saga_change {
    bool keeps_deadline;
    uint64_t wait_ms; /* else: from now; 0 = no deadline */
    enum order_payment payment;
};
uint32_t order_store_update_saga(struct svc_ctx *ctx,
                                 const struct order_record *record,
                                 const struct order_saga_change *change);

/* The goods go back to the products. */
uint32_t order_store_restock(struct svc_ctx *ctx, const struct order_record *record);

/* The products after `sku`, at most `limit`. */
uint32_t product_store_list(struct svc_ctx *ctx,
                            struct wh_slice sku,
                            uint32_t limit,
                            struct product_list *out);

/* In the arena of the context; NULL with `svc_fail` called when it is exhausted. */
void *order_store_alloc(struct svc_ctx *ctx, size_t count, size_t size);

#endif
