/*
 * What the order service does about events: a row of the table in main.c each.
 * The saga hears what payment says; the read model hears that and what the
 * service itself said.
 */
#ifndef SERVICES_ORDER_ORDER_EVENTS_H
#define SERVICES_ORDER_ORDER_EVENTS_H

#include "services/core/service.h"

svc_event_handler on_order_created;
svc_event_handler on_order_confirmed;
svc_event_handler on_order_cancelled;
svc_event_handler on_payment_authorized;
svc_event_handler on_payment_declined;
svc_event_handler on_payment_captured;
svc_event_handler on_payment_voided;
svc_event_handler on_payment_refunded;

#endif
