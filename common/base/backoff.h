/*
 * Exponential back-off with full jitter:
 *     delay = min(max, min + random(0 … min(max, min · 2^step)))
 */
#ifndef WH_BASE_BACKOFF_H
#define WH_BASE_BACKOFF_H

#include <stdint.h>

struct wh_backoff {
    uint32_t min_ms;
    uint32_t max_ms;
    uint32_t step; /* attempts since the last reset, capped at 31 */
};

/* The delay before the next attempt; counts the attempt. */
uint32_t wh_backoff_next_ms(struct wh_backoff *backoff);
void wh_backoff_reset(struct wh_backoff *backoff);

#endif
