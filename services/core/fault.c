#include "services/core/fault.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct wh_slice wanted;      /* absent = none */
static struct wh_slice wanted_what; /* absent = whatever the thread is at */
static atomic_long passes_left;
static _Thread_local struct wh_slice what_now;

/* POINT[@WHAT][:PASSES] */
static void read_environment(void)
{
    const char *text = getenv("WIREHUB_CRASH_AT");
    if (!text)
        return;
    const char *colon = strchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : strlen(text);
    const char *at = memchr(text, '@', len);
    atomic_store(&passes_left, colon ? strtol(colon + 1, NULL, 10) : 1);
    if (at)
        wanted_what = wh_slice(at + 1, len - (size_t)(at + 1 - text));
    wanted = wh_slice(text, at ? (size_t)(at - text) : len);
}

void svc_fault_about(struct wh_slice what)
{
    what_now = what;
}

void svc_fault(const char *point)
{
    (void)pthread_once(&once, read_environment);
    if (!wanted.ptr || !wh_slice_equal_str(wanted, point))
        return;
    if (wanted_what.ptr && !wh_slice_equal(wanted_what, what_now))
        return;
    if (atomic_fetch_sub(&passes_left, 1) == 1)
        (void)kill(getpid(), SIGKILL);
}
