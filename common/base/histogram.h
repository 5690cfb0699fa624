/*
 * Latency histogram with logarithmic buckets: 64 linear steps in every power of two, so a value is
 * known to better than 1.6 % from a nanosecond to an hour in 16 KiB, and recording is a shift and
 * an increment.
 */
#ifndef WH_BASE_HISTOGRAM_H
#define WH_BASE_HISTOGRAM_H

#include <stdint.h>

enum {
    WH_HISTOGRAM_STEP_BITS = 6,
    WH_HISTOGRAM_STEPS = 1 << WH_HISTOGRAM_STEP_BITS,
    WH_HISTOGRAM_BUCKETS = WH_HISTOGRAM_STEPS * (42 - WH_HISTOGRAM_STEP_BITS + 1),
};

/* All zero is an empty histogram. */
struct wh_histogram {
    uint64_t buckets[WH_HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t max;
};

/* Values past the last bucket (2^42 ns, over an hour) are counted in it. */
void wh_histogram_record(struct wh_histogram *histogram, uint64_t value);

/*
 * The upper edge of the bucket in which the `percent`th value lies (0 < percent <= 100), never more
 * than the largest value recorded; 0 when nothing was.
 */
uint64_t wh_histogram_percentile(const struct wh_histogram *histogram, double percent);

#endif
