/*
 * The fake is three plain variables: tests set it before they start threads,
 * and programs never do.
 */
#include "common/base/clock.h"

#include <stdbool.h>
#include <time.h>

static bool is_fake;
static uint64_t fake_monotonic_ms;
static int64_t fake_wall_ms;

uint64_t wh_clock_monotonic_us(void)
{
    if (is_fake)
        return fake_monotonic_ms * 1000;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t wh_clock_monotonic_ms(void)
{
    return is_fake ? fake_monotonic_ms : wh_clock_monotonic_us() / 1000;
}

int64_t wh_clock_wall_ms(void)
{
    if (is_fake)
        return fake_wall_ms;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t wh_clock_wall_ns(void)
{
    if (is_fake)
        return fake_wall_ms * 1000000;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t wh_clock_wall_s(void)
{
    int64_t ms = wh_clock_wall_ms();
    /* Down, not towards zero: a second before 1970 is -1 for all its milliseconds. */
    return ms >= 0 ? ms / 1000 : -((-ms + 999) / 1000);
}

void wh_clock_set_fake(uint64_t monotonic_ms, int64_t wall_ms)
{
    fake_monotonic_ms = monotonic_ms;
    fake_wall_ms = wall_ms;
    is_fake = true;
}

void wh_clock_set_real(void)
{
    is_fake = false;
}
