/*
 * Allocation failure on demand, for torture tests: install it, choose which
 * allocation from now on fails, run, and ask whether it came that far.
 *
 *     for (size_t nth = 1;; nth++) {
 *         failing_alloc_start(nth);
 *         enum wh_err err = work();
 *         if (!failing_alloc_stop())
 *             break;                      // nth is past the last allocation
 *         assert_int_equal(err, WH_ENOMEM);
 *     }
 */
#ifndef WH_TEST_FAILING_ALLOC_H
#define WH_TEST_FAILING_ALLOC_H

#include "common/base/alloc.h"

#include <stdbool.h>
#include <stdlib.h>

static size_t failing_alloc_nth;   /* 1 = the first one */
static size_t failing_alloc_count; /* allocations asked for since the start */

static inline void *failing_alloc_malloc(size_t size)
{
    return ++failing_alloc_count == failing_alloc_nth ? NULL : malloc(size);
}

static inline void *failing_alloc_realloc(void *ptr, size_t size)
{
    return ++failing_alloc_count == failing_alloc_nth ? NULL : realloc(ptr, size);
}

/* For a while, what a test itself needs does not count and does not fail. */
static inline void failing_alloc_pause(bool is_paused)
{
    static const struct wh_allocator failing = {failing_alloc_malloc, failing_alloc_realloc, free};
    wh_alloc_set(is_paused ? NULL : &failing);
}

static inline void failing_alloc_start(size_t nth)
{
    failing_alloc_nth = nth;
    failing_alloc_count = 0;
    failing_alloc_pause(false);
}

/* True when the chosen allocation was asked for, and thus failed. */
static inline bool failing_alloc_stop(void)
{
    wh_alloc_set(NULL);
    return failing_alloc_count >= failing_alloc_nth;
}

#endif
