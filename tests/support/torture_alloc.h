/*
 * An allocator for torture of programs with threads: installed once with wh_set_allocator, then one
 * allocation, or every one from a number on, fails.  failing_alloc.h is the same for one thread.
 *
 * It counts what lives, so that a leak is seen at once and not at the end of the process.
 */
#ifndef WH_TEST_TORTURE_ALLOC_H
#define WH_TEST_TORTURE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

/* Once, before the library is used. */
void torture_alloc_install(void);

/* The `nth` allocation from now on fails (1 = the next); `goes_on`: and all behind it. */
void torture_alloc_arm(size_t nth, bool goes_on);

/* Memory again. */
void torture_alloc_disarm(void);

/* Since the latest arming: whether one has failed, how many were asked for. */
bool torture_alloc_has_failed(void);
size_t torture_alloc_count(void);

/* Blocks that were not given back. */
long torture_alloc_alive(void);

#endif
