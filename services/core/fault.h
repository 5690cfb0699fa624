/*
 * Points at which tests let a process die: WIREHUB_CRASH_AT=after_commit, or
 * after_publish:3 for the third time it is passed, or
 * before_commit@payment.declined.v1:2 when that is what the thread is at.  The
 * process kills itself with SIGKILL there, so nothing is flushed, rolled back or
 * said.
 *
 * Costs a look at a constant when the variable is not set.  Any thread.
 */
#ifndef SERVICES_CORE_FAULT_H
#define SERVICES_CORE_FAULT_H

#include "common/base/slice.h"

/*
 *      point           where
 *      before_commit   all statements of a transaction done, COMMIT not sent
 *      after_commit    PostgreSQL said COMMIT, nobody was told yet
 *      before_publish  the relay has read a batch, Redis has nothing of it
 *      after_publish   Redis has all of a batch, PostgreSQL does not know
 *      before_mark     the relay's UPDATE is done, its COMMIT is not
 *      after_mark      the batch is through
 *      after_event     the effect of an event is committed, Redis has no XACK
 *
 * Services have points of their own; their sources say where.
 */
void svc_fault(const char *point);

/* What the calling thread is at from now on: the name of a method or a job, the type of an event.
 * Borrowed until the next call. */
void svc_fault_about(struct wh_slice what);

#endif
