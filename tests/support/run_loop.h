/* Run a loop until something holds: what tests use where others sleep. */
#ifndef TESTS_SUPPORT_RUN_LOOP_H
#define TESTS_SUPPORT_RUN_LOOP_H

#include "common/io/loop.h"

/* Whether `is_done(user)` came true within `timeout_ms`. */
bool run_until(struct wh_loop *loop, bool (*is_done)(void *user), void *user, uint64_t timeout_ms);

/* The same for a flag that a callback sets. */
bool run_until_true(struct wh_loop *loop, const bool *flag, uint64_t timeout_ms);

/* Let `duration_ms` pass: only to show that something does not happen, or to let a timer run. */
void run_for(struct wh_loop *loop, uint64_t duration_ms);

#endif
