/*
 * A crowd of customers: made one after the other, then buying at random times
 * at the wished rate.  Runs the loop until all is done.
 */
#ifndef SERVICES_LOADGEN_SHOP_H
#define SERVICES_LOADGEN_SHOP_H

#include "services/loadgen/options.h"

/* The status to exit with. */
int shop_run(const struct loadgen_options *options);

#endif
