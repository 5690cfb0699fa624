/*
 * wirehub-order: orders and the products that they are made of.  The tables
 * here say what it serves, hears, does on the clock and can be told; the rest
 * is in the files of its nouns: order (rules), order_store and order_sql
 * (PostgreSQL), order_saga (what happens to an order), order_summary (the read
 * model), order_emit (what it says).
 */
#include "services/order/order_events.h"
#include "services/order/order_methods.h"
#include "services/order/order_saga.h"

static const char *const admins[] = {"admin", NULL};

static const struct svc_method methods[] = {
    {.name = "products.v1.list",
     .handler = products_list,
     .access = SVC_ANONYMOUS,
     .tx = SVC_TX_READ,
     .idempotent = true},
    {.name = "orders.v1.create",
     .handler = orders_create,
     .tx = SVC_TX_WRITE,
     .requires_key = true,
     .idempotent = true},
    {.name = "orders.v1.get", .handler = orders_get, .tx = SVC_TX_READ, .idempotent = true},
    {.name = "orders.v1.list", .handler = orders_list, .tx = SVC_TX_READ, .idempotent = true},
    {.name = "orders.v1.cancel",
     .handler = orders_cancel,
     .tx = SVC_TX_WRITE,
     .requires_key = true,
     .idempotent = true},
    {.name = "orders.v1.rebuild",
     .handler = orders_rebuild,
     .access = SVC_ROLE,
     .roles = admins,
     .tx = SVC_TX_WRITE,
     .idempotent = true,
     .timeout_ms = 30000,
     .max_inflight = 1},
    {0},
};

static const struct svc_consumer consumers[] = {
    {"order.created.v1", on_order_created},
    {"order.confirmed.v1", on_order_confirmed},
    {"order.cancelled.v1", on_order_cancelled},
    {"payment.authorized.v1", on_payment_authorized},
    {"payment.declined.v1", on_payment_declined},
    {"payment.captured.v1", on_payment_captured},
    {"payment.voided.v1", on_payment_voided},
    {"payment.refunded.v1", on_payment_refunded},
    {0},
};

/* Each instance looks; the rows that one of them has in hand are skipped by the others. */
static const struct svc_job jobs[] = {
    {.name = "deadlines", .every_ms = 250, .handler = order_saga_run_due},
    {0},
};

static const struct wh_option options[] = {
    {.name = "saga.payment_timeout",
     .type = WH_OPTION_DURATION,
     .offset = offsetof(struct order_settings, saga.payment_timeout_ms),
     .default_text = "30s",
     .min = 1,
     .max = 24 * 60 * 60 * 1000,
     .help = "How long payment may take to answer before it is asked again."},
    {.name = "saga.payment_attempts",
     .type = WH_OPTION_INTEGER,
     .offset = offsetof(struct order_settings, saga.payment_attempts),
     .default_text = "3",
     .min = 1,
     .max = 1000,
     .help = "How often payment is asked before an order is cancelled."},
    {.name = "saga.settle_timeout",
     .type = WH_OPTION_DURATION,
     .offset = offsetof(struct order_settings, saga.settle_timeout_ms),
     .default_text = "1m",
     .min = 1,
     .max = ORDER_SETTLE_TIMEOUT_MAX_MS,
     .help = "How long a capture, void or refund may take before it is asked for again; doubled "
             "each time, up to an hour."},
};

int main(int argc, char **argv)
{
    return svc_main(argc, argv,
                    &(struct svc_def){
                        .name = "order",
                        .version = "1.0.0",
                        .description = "Orders and the products that they are made of.",
                        .methods = methods,
                        .consumers = consumers,
                        .jobs = jobs,
                        .migrations = svc_migrations,
                        .options = options,
                        .option_count = sizeof(options) / sizeof(options[0]),
                        .settings_size = sizeof(struct order_settings),
                    });
}
