/*
 * A thread that sleeps until the next job is due, or until it is told to stop.
 * Periods are spread by chance, so that instances do not work in step.
 */
#include "services/core/jobs.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/random.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

struct svc_jobs {
    struct svc_ctx ctx;
    size_t count;
    uint64_t *due_ms; /* monotonic, of each */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool is_stopping; /* under the lock */
    atomic_bool is_done;
};

/* period ± 10 % */
static uint64_t next_due(const struct svc_job *job)
{
    uint64_t jitter_ms = job->every_ms / 5;
    return wh_clock_monotonic_ms() + job->every_ms - jitter_ms / 2 + wh_random_below(jitter_ms + 1);
}

static void run_job(struct svc_jobs *jobs, const struct svc_job *job)
{
    struct svc_ctx *ctx = &jobs->ctx;
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

static void run_all(struct svc_jobs *jobs)
{
    const struct svc_job *table = jobs->ctx.svc->def->jobs;
    size_t next = 0;

    do {
        if (jobs->due_ms[next] <= wh_clock_monotonic_ms()) {
            run_job(jobs, &table[next]);
            jobs->due_ms[next] = next_due(&table[next]);
        }
        next = 0;
        for (size_t i = 1; i < jobs->count; i++) {
            if (jobs->due_ms[i] < jobs->due_ms[next])
                next = i;
        }
    } while (sleep_until(jobs, jobs->due_ms[next]));
}

static void *jobs_main(void *argument)
{
    struct svc_jobs *jobs = argument;
    if (svc_parts_open_thread(&jobs->ctx) == WH_OK)
        run_all(jobs);
    svc_parts_close_thread(&jobs->ctx);
    atomic_store(&jobs->is_done, true);
    return NULL;
}

enum wh_err svc_jobs_start(struct svc *svc, struct svc_jobs **out_jobs)
{
    pthread_condattr_t monotonic;
    sigset_t all, before;
    size_t count = 0;

    *out_jobs = NULL;
    while (svc->def->jobs && svc->def->jobs[count].name)
        count++;
    if (count == 0)
        return WH_OK;
    struct svc_jobs *jobs = wh_calloc(1, sizeof *jobs);
    uint64_t *due_ms = wh_calloc(count, sizeof *due_ms);
    if (!jobs || !due_ms) {
        wh_free(jobs);
        wh_free(due_ms);
        return WH_ENOMEM;
    }
    jobs->count = count;
    jobs->due_ms = due_ms;
    for (size_t i = 0; i < count; i++)
        due_ms[i] = next_due(&svc->def->jobs[i]);
    svc_ctx_init(&jobs->ctx, svc, (unsigned)svc->settings->workers);
    pthread_mutex_init(&jobs->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&jobs->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int status = pthread_create(&jobs->thread, NULL, jobs_main, jobs);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status != 0) {
        svc_ctx_deinit(&jobs->ctx);
        wh_free(due_ms);
        wh_free(jobs);
        return WH_EIO;
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
    pthread_cond_signal(&jobs->wake);
    pthread_mutex_unlock(&jobs->lock);
    return atomic_load(&jobs->is_done);
}

void svc_jobs_stop(struct svc_jobs *jobs)
{
    if (!jobs)
        return;
    (void)svc_jobs_is_done(jobs);
    pthread_join(jobs->thread, NULL);
    pthread_cond_destroy(&jobs->wake);
    pthread_mutex_destroy(&jobs->lock);
    svc_ctx_deinit(&jobs->ctx);
    wh_free(jobs->due_ms);
    wh_free(jobs);
}
