/* What main.c puts into the tables of the payment service; each file says what it is for. */
#ifndef SERVICES_PAYMENT_HANDLERS_H
#define SERVICES_PAYMENT_HANDLERS_H

#include "services/core/service.h"
#include "services/payment/provider.h"

/* asked.c: events */
svc_event_handler payment_on_requested, payment_on_order_confirmed, payment_on_void_requested,
    payment_on_refund_requested;

/* settle.c: the job */
uint32_t payment_settle(struct svc_ctx *ctx);

/* methods.c */
svc_handler payment_get, payment_list_own;

/* The service's own options. */
struct payment_settings {
    struct {
        char *url; /* secret; where the simulated provider keeps its books */
        uint64_t latency_ms;
        uint64_t timeout_ms;
        struct {
            uint64_t window_ms;
            uint64_t calls_min;
            uint64_t failure_percent;
            uint64_t open_ms;
        } breaker;
    } provider;
};

/* svc_state: one provider for each thread that settles, made when it is first needed. */
struct payment_state_of_service;

/* False (logged): out of memory. */
bool payment_start(const void *settings, void **out_state);
void payment_stop(void *opaque);

#endif
