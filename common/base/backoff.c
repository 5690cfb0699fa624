/* Full jitter: a fleet that lost its server at one moment comes back spread over the window. */
#include "common/base/backoff.h"

#include "common/base/random.h"

enum { STEP_MAX = 31 };

uint32_t wh_backoff_next_ms(struct wh_backoff *backoff)
{
    uint32_t step = backoff->step < STEP_MAX ? backoff->step : STEP_MAX;
    uint64_t window = (uint64_t)backoff->min_ms << step;
    if (window > backoff->max_ms)
        window = backoff->max_ms;
    backoff->step = step < STEP_MAX ? step + 1 : STEP_MAX;
    uint64_t delay = backoff->min_ms + wh_random_below(window + 1);
    return delay < backoff->max_ms ? (uint32_t)delay : backoff->max_ms;
}

void wh_backoff_reset(struct wh_backoff *backoff)
{
    backoff->step = 0;
}
