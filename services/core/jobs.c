/*
 * Each thread of a job sleeps until that is due, or until it is told to stop.
 * Periods are spread by chance, so that instances do not work in step.
 */
#include "services/core/jobs.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "services/core/database.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

struct job_thread {
    struct svc_jobs *jobs;
    const struct svc_job *job;
    struct svc_ctx ctx;
    pthread_t thread;
    atomic_bool is_done;
};

struct svc_jobs {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool is_stopping; /* under the lock */
    size_t count;     /* of those that run */
    struct job_thread threads[];
};

/* period ± 10 % */
static uint64_t next_due(const struct svc_job *job)
{
    uint64_t jitter_ms = job->every_ms / 5;
    return wh_clock_monotonic_ms() + job->every_ms - jitter_ms / 2 + wh_random_below(jitter_ms + 1);
}

static void run_job(struct job_thread *thread)
{
    struct svc_ctx *ctx = &thread->ctx;
    const struct svc_job *job = thread->job;
    if (ctx->svc->def->migrations && !svc_database_is_ready(ctx->svc))
        return; /* what it works on is not there yet */
    svc_ctx_reset(ctx);
    for (size_t i = 0; job->is_exclusive && svc_parts[i]; i++) {
        if (svc_parts[i]->may_lead && !svc_parts[i]->may_lead(ctx, job->name))
            return; /* another instance does it */
    }
    uint32_t code = job->handler(ctx);
    if (code != SVC_OK)
        wh_log(WH_LOG_WARN, "jobs", "failed", "job=%s code=%u reason=%s", job->name, code,
               ctx->error_text[0] ? ctx->error_text : "none given");
}

/* Returns false when it is time to stop. */
static bool sleep_until(struct svc_jobs *jobs, uint64_t due_ms)
{
    const struct timespec at = {.tv_sec = (time_t)(due_ms / 1000),
                                .tv_nsec = (long)(due_ms % 1000) * 1000000};
    pthread_mutex_lock(&jobs->lock);
    while (!jobs->is_stopping && wh_clock_monotonic_ms() < due_ms)
        pthread_cond_timedwait(&jobs->wake, &jobs->lock, &at);
    bool goes_on = !jobs->is_stopping;
    pthread_mutex_unlock(&jobs->lock);
    return goes_on;
}

static void *job_main(void *argument)
{
    struct job_thread *thread = argument;
    if (svc_parts_open_thread(&thread->ctx) == WH_OK) {
        while (sleep_until(thread->jobs, next_due(thread->job)))
            run_job(thread);
    }
    svc_parts_close_thread(&thread->ctx);
    atomic_store(&thread->is_done, true);
    return NULL;
}

static size_t thread_count(const struct svc_job *job)
{
    return job->threads > 1 && !job->is_exclusive ? job->threads : 1;
}

/* WH_EIO: no thread. */
static enum wh_err start_thread(struct svc_jobs *jobs, struct svc *svc, const struct svc_job *job)
{
    struct job_thread *thread = &jobs->threads[jobs->count];
    sigset_t all, before;
    thread->jobs = jobs;
    thread->job = job;
    svc_ctx_init(&thread->ctx, svc, (unsigned)(svc->settings->workers + jobs->count));
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int status = pthread_create(&thread->thread, NULL, job_main, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status != 0) {
        svc_ctx_deinit(&thread->ctx);
        return WH_EIO;
    }
    jobs->count++;
    return WH_OK;
}

enum wh_err svc_jobs_start(struct svc *svc, struct svc_jobs **out_jobs)
{
    pthread_condattr_t monotonic;
    enum wh_err err = WH_OK;
    size_t count = 0;

    *out_jobs = NULL;
    for (const struct svc_job *job = svc->def->jobs; job && job->name; job++)
        count += thread_count(job);
    if (count == 0)
        return WH_OK;
    struct svc_jobs *jobs = wh_calloc(1, sizeof *jobs + count * sizeof jobs->threads[0]);
    if (!jobs)
        return WH_ENOMEM;
    pthread_mutex_init(&jobs->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&jobs->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    for (const struct svc_job *job = svc->def->jobs; job->name && !err; job++) {
        for (size_t i = 0; i < thread_count(job) && !err; i++)
            err = start_thread(jobs, svc, job);
    }
    if (err) {
        svc_jobs_stop(jobs);
        return err;
    }
    *out_jobs = jobs;
    return WH_OK;
}

bool svc_jobs_is_done(struct svc_jobs *jobs)
{
    if (!jobs)
        return true;
    pthread_mutex_lock(&jobs->lock);
    jobs->is_stopping = true;
    pthread_cond_broadcast(&jobs->wake);
    pthread_mutex_unlock(&jobs->lock);
    for (size_t i = 0; i < jobs->count; i++) {
        if (!atomic_load(&jobs->threads[i].is_done))
            return false;
    }
    return true;
}

void svc_jobs_stop(struct svc_jobs *jobs)
{
    if (!jobs)
        return;
    (void)svc_jobs_is_done(jobs);
    for (size_t i = 0; i < jobs->count; i++) {
        pthread_join(jobs->threads[i].thread, NULL);
        svc_ctx_deinit(&jobs->threads[i].ctx);
    }
    pthread_cond_destroy(&jobs->wake);
    pthread_mutex_destroy(&jobs->lock);
    wh_free(jobs);
}
