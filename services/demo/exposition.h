/*
 * Reading numbers out of a page of metrics (Prometheus text format 0.0.4), as
 * far as the demo needs them.  Pure.
 */
#ifndef SERVICES_DEMO_EXPOSITION_H
#define SERVICES_DEMO_EXPOSITION_H

#include "common/base/slice.h"

enum { EXPOSITION_BUCKETS_MAX = 32 };

/* The sum of a series over all its labels; lines that cannot be read do not count.  `*out_found`
 * (may be NULL): whether there was any. */
double exposition_sum(struct wh_slice page, const char *name, bool *out_found);

/* A histogram over all its labels; `below` counts as Prometheus does, each bucket with those before
 * it. */
struct exposition_histogram {
    size_t count;                      /* of buckets */
    double le[EXPOSITION_BUCKETS_MAX]; /* rising; the last is infinite */
    double below[EXPOSITION_BUCKETS_MAX];
};

/* All buckets of `<name>_bucket`; those past EXPOSITION_BUCKETS_MAX are left out. */
void exposition_histogram(struct wh_slice page, const char *name, struct exposition_histogram *out);

/*
 * What was added since an earlier look.  False: something is less than it was, so this is another
 * run of the program.  An earlier one without buckets counts as all zero.
 */
bool exposition_since(const struct exposition_histogram *now,
                      const struct exposition_histogram *before,
                      struct exposition_histogram *out);

/* How many values are in it. */
double exposition_total(const struct exposition_histogram *histogram);

/* The value that the share `q` (0 to 1) does not exceed, interpolated within its bucket; of the
 * last bucket, its lower bound.  There must be values. */
double exposition_quantile(const struct exposition_histogram *histogram, double q);

#endif
