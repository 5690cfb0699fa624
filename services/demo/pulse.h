/*
 * A steady pulse: how many messages are due when somebody looks now and then.
 * Pure; one thread.
 */
#ifndef SERVICES_DEMO_PULSE_H
#define SERVICES_DEMO_PULSE_H

#include <stdint.h>

struct pulse {
    uint32_t rate;     /* a second; 0 = still */
    uint64_t since_us; /* monotonic; `given` counts from here */
    uint64_t given;
};

/*
 * How many are due now at `rate`.  Another rate than before begins anew, with none.  Of those that
 * come together because nobody looked for long, `max` at most; the others never come.
 */
uint32_t pulse_due(struct pulse *pulse, uint32_t rate, uint64_t now_us, uint32_t max);

#endif
