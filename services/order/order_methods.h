/* The methods of the order service: each is a row of the table in main.c. */
#ifndef SERVICES_ORDER_ORDER_METHODS_H
#define SERVICES_ORDER_ORDER_METHODS_H

#include "services/core/service.h"

svc_handler products_list;
svc_handler orders_create;
svc_handler orders_get;
svc_handler orders_list;
svc_handler orders_cancel;
svc_handler orders_rebuild;

#endif
