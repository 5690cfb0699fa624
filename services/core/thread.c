#include "services/core/thread.h"

#include "services/core/db_conn.h"

#include <signal.h>
#include <time.h>

static void *main_of(void *user)
{
    struct svc_thread *thread = user;
    thread->run(thread);
    return NULL;
}

enum wh_err svc_thread_start(struct svc_thread *thread,
                             struct svc *svc,
                             void (*run)(struct svc_thread *thread))
{
    pthread_condattr_t attr;
    sigset_t all;
    sigset_t before;
    svc_ctx_init(&thread->ctx, svc, 0);
    thread->run = run;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&thread->lock, NULL);
    pthread_cond_init(&thread->bell, &attr);
    pthread_condattr_destroy(&attr);
    enum wh_err err = svc_db_open(svc->settings->database.url, &thread->ctx.db);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the main thread's */
    if (!err && pthread_create(&thread->thread, NULL, main_of, thread) != 0)
        err = WH_ENOMEM;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    thread->is_running = true;
    if (err) {
        svc_db_close(thread->ctx.db);
        svc_ctx_deinit(&thread->ctx);
        thread->is_running = false;
    }
    return err;
}

void svc_thread_stop(struct svc_thread *thread)
{
    if (!thread->is_running)
        return;
    pthread_mutex_lock(&thread->lock);
    thread->is_stopping = true;
    pthread_cond_signal(&thread->bell);
    pthread_mutex_unlock(&thread->lock);
    pthread_join(thread->thread, NULL);
    svc_db_close(thread->ctx.db);
    svc_ctx_deinit(&thread->ctx);
    pthread_cond_destroy(&thread->bell);
    pthread_mutex_destroy(&thread->lock);
    thread->is_running = false;
}

void svc_thread_ring(struct svc_thread *thread)
{
    pthread_mutex_lock(&thread->lock);
    thread->is_rung = true;
    pthread_cond_signal(&thread->bell);
    pthread_mutex_unlock(&thread->lock);
}

void svc_thread_sleep(struct svc_thread *thread, uint32_t timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&thread->lock);
    while (!thread->is_rung && !thread->is_stopping) {
        if (pthread_cond_timedwait(&thread->bell, &thread->lock, &until) != 0)
            break;
    }
    thread->is_rung = false;
    pthread_mutex_unlock(&thread->lock);
}

bool svc_thread_is_stopping(struct svc_thread *thread)
{
    pthread_mutex_lock(&thread->lock);
    bool is_stopping = thread->is_stopping;
    pthread_mutex_unlock(&thread->lock);
    return is_stopping;
}

void **svc_part_data(struct svc *svc, const struct svc_part *part)
{
    size_t i = 0;
    while (svc_parts[i] && svc_parts[i] != part)
        i++;
    WH_ASSERT(svc_parts[i] != NULL && i < sizeof svc->part_data / sizeof svc->part_data[0]);
    return &svc->part_data[i];
}
