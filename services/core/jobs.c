/*
 * A thread for each job that sleeps until it is due, or until it is told to
 * stop.  Periods are spread by chance, so that instances do not work in step.
 */
#include "services/core/jobs.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "services/core/fault.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

struct runner {
    struct svc_ctx ctx;
    struct svc_jobs *jobs;
    const struct svc_job *job;
    pthread_t thread;
    atomic_bool is_done;
};

struct svc_jobs {
    size_t count; /* of runners with a thread */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool is_stopping; /* under the lock */
    struct runner runners[];
};

/* period ± 10 % */
static uint64_t next_due(const struct svc_job *job)
{
    uint64_t jitter_ms = job->every_ms / 5;
    return wh_clock_monotonic_ms() + job->every_ms - jitter_ms / 2 + wh_random_below(jitter_ms + 1);
}

/* Whether it is this instance's turn, and what the job needs is there. */
static bool may_run(struct svc_ctx *ctx, const struct svc_job *job)
{
    for (size_t i = 0; svc_parts[i]; i++) {
        const struct svc_part *part = svc_parts[i];
        if (part->is_wanted && !part->is_wanted(ctx->svc->def))
            continue;
        if (part->may_work && !part->may_work(ctx->svc))
            return false;
        if (job->is_exclusive && part->may_lead && !part->may_lead(ctx, job->name))
            return false; /* another instance does it */
    }
    return true;
}

static void run_job(struct svc_ctx *ctx, const struct svc_job *job)
{
    svc_ctx_reset(ctx);
    if (!may_run(ctx, job))
        return;
    svc_fault_about(wh_slice_from_str(job->name));
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

static void *runner_main(void *argument)
{
    struct runner *runner = argument;
    if (svc_parts_open_thread(&runner->ctx) == WH_OK) {
        while (sleep_until(runner->jobs, next_due(runner->job)))
            run_job(&runner->ctx, runner->job);
    }
    svc_parts_close_thread(&runner->ctx);
    atomic_store(&runner->is_done, true);
    return NULL;
}

static bool start_runner(struct svc_jobs *jobs, struct svc *svc, size_t i)
{
    struct runner *runner = &jobs->runners[i];
    sigset_t all, before;
    runner->jobs = jobs;
    runner->job = &svc->def->jobs[i];
    svc_ctx_init(&runner->ctx, svc, (unsigned)(svc->settings->workers + i));
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int status = pthread_create(&runner->thread, NULL, runner_main, runner);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status != 0)
        svc_ctx_deinit(&runner->ctx);
    return status == 0;
}

enum wh_err svc_jobs_start(struct svc *svc, struct svc_jobs **out_jobs)
{
    pthread_condattr_t monotonic;
    size_t count = 0;

    *out_jobs = NULL;
    while (svc->def->jobs && svc->def->jobs[count].name)
        count++;
    if (count == 0)
        return WH_OK;
    struct svc_jobs *jobs = wh_calloc(1, sizeof(*jobs) + count * sizeof(jobs->runners[0]));
    if (!jobs)
        return WH_ENOMEM;
    pthread_mutex_init(&jobs->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&jobs->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    while (jobs->count < count && start_runner(jobs, svc, jobs->count))
        jobs->count++;
    if (jobs->count < count) {
        svc_jobs_stop(jobs);
        return WH_EIO;
    }
    *out_jobs = jobs;
    return WH_OK;
}

bool svc_jobs_is_done(struct svc_jobs *jobs)
{
    bool is_done = true;
    if (!jobs)
        return true;
    pthread_mutex_lock(&jobs->lock);
    jobs->is_stopping = true;
    pthread_cond_broadcast(&jobs->wake);
    pthread_mutex_unlock(&jobs->lock);
    for (size_t i = 0; i < jobs->count; i++)
        is_done = is_done && atomic_load(&jobs->runners[i].is_done);
    return is_done;
}

void svc_jobs_stop(struct svc_jobs *jobs)
{
    if (!jobs)
        return;
    (void)svc_jobs_is_done(jobs);
    for (size_t i = 0; i < jobs->count; i++) {
        pthread_join(jobs->runners[i].thread, NULL);
        svc_ctx_deinit(&jobs->runners[i].ctx);
    }
    pthread_cond_destroy(&jobs->wake);
    pthread_mutex_destroy(&jobs->lock);
    wh_free(jobs);
}
