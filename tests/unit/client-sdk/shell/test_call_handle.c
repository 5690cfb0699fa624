/* A thread that is slow to return from a call, while the answer is quick. */
#include "loop_client.h"

#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

enum { LINGER_MS = 100 };

static sem_t has_ended;
static _Thread_local bool lingers;

#ifndef __SANITIZE_THREAD__ /* which has one of its own, and sees the same by itself */
/* In place of libc's: who lingers gives the lock back and goes on when the callback has run, or
 * when that cannot be because another lock is still held. */
int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    static int (*_Atomic real)(pthread_mutex_t *);
    if (!real)
        real = (int (*)(pthread_mutex_t *))dlsym(RTLD_NEXT, "pthread_mutex_unlock");
    int result = real(mutex);
    if (lingers) {
        struct timespec until;
        (void)clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += LINGER_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        lingers = sem_timedwait(&has_ended, &until) != 0;
    }
    return result;
}
#endif

struct note {
    struct wh_call *handle, *seen;
};

static void on_rpc(struct wh_client *c,
                   const struct wh_error *error,
                   const struct wh_data *data,
                   void *user)
{
    struct note *note = user;
    (void)c, (void)error, (void)data;
    note->seen = note->handle;
    (void)sem_post(&has_ended);
}

static void a_callback_finds_the_handle_of_its_call(void **state)
{
    (void)state;
    struct note note = {.handle = NULL};
    struct wh_call_options call = WH_CALL_OPTIONS_INIT;
    struct wh_client *client = wh_client_open("ws://localhost/", NULL);
    assert_int_equal(sem_init(&has_ended, 0, 0), 0);
    assert_int_equal(wh_client_connect_wait(client, LOOP_LIMIT_S * 1000, NULL), WH_OK);
    call.out_call = &note.handle;
    lingers = true;
    assert_int_equal(wh_client_rpc(client, "echo", wh_json("1"), &call, on_rpc, &note), WH_OK);
    if (lingers) {
        lingers = false;
        (void)sem_wait(&has_ended);
    }
    wh_client_free(client);
    assert_non_null(note.handle);
    assert_ptr_equal(note.seen, note.handle);
    wh_call_free(note.handle);
    (void)sem_destroy(&has_ended);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_callback_finds_the_handle_of_its_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
