/*
 * A background thread of the core with its context, database connection and
 * a bell: it works, then sleeps until somebody rings, time is over or the
 * process ends.
 */
#ifndef SERVICES_CORE_THREAD_H
#define SERVICES_CORE_THREAD_H

#include "common/base/list.h"
#include "services/core/core.h"

#include <pthread.h>

struct svc_thread {
    struct svc_ctx ctx; /* db is set */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t bell;
    bool is_rung;     /* under lock */
    bool is_stopping; /* under lock */
    bool is_running;  /* main thread */
    void (*run)(struct svc_thread *thread);
};

/* Start `run` on a thread of its own.  WH_ENOMEM. */
WH_MUST_CHECK enum wh_err svc_thread_start(struct svc_thread *thread,
                                           struct svc *svc,
                                           void (*run)(struct svc_thread *thread));

/* Tell it to end, wait, free what it has.  Harmless when it was never started. */
void svc_thread_stop(struct svc_thread *thread);

/* Any thread. */
void svc_thread_ring(struct svc_thread *thread);

/* On the thread: sleep.  Rung before: at once. */
void svc_thread_sleep(struct svc_thread *thread, uint32_t timeout_ms);
bool svc_thread_is_stopping(struct svc_thread *thread);

/* What `part` keeps in the process. */
void **svc_part_data(struct svc *svc, const struct svc_part *part);

#endif
