/*
 * Latency histogram with logarithmic buckets: 64 linear steps in every power of two, so a value is
 * known to better than 1.6 % from a nanosecond to an hour in 16 KiB, and recording is a shift and
 * an increment.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_STEP_BITS = 6,
    HISTOGRAM_STEPS = 1 << HISTOGRAM_STEP_BITS,
    HISTOGRAM_BUCKETS = HISTOGRAM_STEPS * (42 - HISTOGRAM_STEP_BITS + 1),
};

/* All zero is an empty histogram. */
struct histogram {
    uint64_t buckets[HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t max;
};

/* Values past the last bucket (2^42 ns, over an hour) are counted in it. */
void histogram_record(struct histogram *histogram, uint64_t value);

/*
 * The upper edge of the bucket in which the `percent`th value lies (0 < percent <= 100), never more
 * than the largest value recorded; 0 when nothing was.
 */
uint64_t histogram_percentile(const struct histogram *histogram, double percent);

#endif
