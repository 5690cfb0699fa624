#include "services/demo/pulse.h"

#define SECOND_US UINT64_C(1000000)

uint32_t pulse_due(struct pulse *pulse, uint32_t rate, uint64_t now_us, uint32_t max)
{
    if (pulse->rate != rate || now_us < pulse->since_us) {
        *pulse = (struct pulse){.rate = rate, .since_us = now_us};
        return 0;
    }
    /* Whole seconds are put aside first: nothing below can overflow. */
    uint64_t seconds = (now_us - pulse->since_us) / SECOND_US;
    uint64_t late = seconds > 0 ? (seconds > max ? max : seconds) * rate : 0;
    uint64_t rest_us = (now_us - pulse->since_us) % SECOND_US;
    uint64_t due = late + rest_us * rate / SECOND_US - pulse->given;
    pulse->since_us += seconds * SECOND_US;
    pulse->given = rest_us * rate / SECOND_US;
    return due > max ? max : (uint32_t)due;
}
