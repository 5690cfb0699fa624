/*
 * Bucket numbers: values below WH_HISTOGRAM_STEPS have one bucket each.  Above, a value with its
 * highest bit at `top` is shifted right until WH_HISTOGRAM_STEP_BITS + 1 bits are left; those say
 * the step, and the length of the shift says the row.
 */
#include "common/base/histogram.h"

static unsigned bucket_of(uint64_t value)
{
    if (value < WH_HISTOGRAM_STEPS) {
        return (unsigned)value;
    }
    unsigned top = 63U - (unsigned)__builtin_clzll(value);
    unsigned shift = top - WH_HISTOGRAM_STEP_BITS;
    unsigned bucket = (shift << WH_HISTOGRAM_STEP_BITS) + (unsigned)(value >> shift);
    return bucket < WH_HISTOGRAM_BUCKETS ? bucket : WH_HISTOGRAM_BUCKETS - 1;
}

static uint64_t upper_edge(unsigned bucket)
{
    if (bucket < 2 * WH_HISTOGRAM_STEPS) {
        return bucket;
    }
    unsigned shift = (bucket >> WH_HISTOGRAM_STEP_BITS) - 1;
    uint64_t step = bucket - (shift << WH_HISTOGRAM_STEP_BITS);
    return ((step + 1) << shift) - 1;
}

void wh_histogram_record(struct wh_histogram *histogram, uint64_t value)
{
    histogram->buckets[bucket_of(value)]++;
    histogram->count++;
    if (value > histogram->max) {
        histogram->max = value;
    }
}

uint64_t wh_histogram_percentile(const struct wh_histogram *histogram, double percent)
{
    uint64_t rank = (uint64_t)((double)histogram->count * percent / 100.0 + 0.5);
    uint64_t seen = 0;
    if (rank == 0) {
        rank = 1;
    }
    for (unsigned i = 0; i < WH_HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= rank) {
            uint64_t edge = upper_edge(i);
            return edge < histogram->max ? edge : histogram->max;
        }
    }
    return histogram->max;
}
