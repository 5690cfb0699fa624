/*
 * Time.  Deadlines and timers use the monotonic clock; tokens use the wall.
 * Tests replace both by wh_clock_set_fake.
 */
#ifndef WH_BASE_CLOCK_H
#define WH_BASE_CLOCK_H

#include <stdint.h>

uint64_t wh_clock_monotonic_ms(void);
uint64_t wh_clock_monotonic_us(void);
int64_t wh_clock_wall_ms(void); /* since 1970-01-01 UTC */
int64_t wh_clock_wall_s(void);
int64_t wh_clock_wall_ns(void); /* the same; until the year 2262 */

/* From now on both clocks stand still at these values until set again. */
void wh_clock_set_fake(uint64_t monotonic_ms, int64_t wall_ms);
void wh_clock_set_real(void);

#endif
