/*
 * The descriptor of standard output is polled for nothing but POLLERR: that is
 * how a pipe tells that its reader has gone while there is nothing to write.
 */
#include "client-sdk/cli/loop.h"

#include "common/base/clock.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { POLL_MAX_MS = 60000 };

enum wh_err loop_init(struct loop *loop)
{
    sigset_t set;
    *loop = (struct loop){.signal_fd = -1};
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return WH_EIO;
    loop->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return loop->signal_fd < 0 ? WH_EIO : WH_OK;
}

void loop_deinit(struct loop *loop)
{
    if (loop->signal_fd >= 0)
        close(loop->signal_fd);
    loop->signal_fd = -1;
}

void loop_add_fd(struct loop *loop, struct loop_fd *fd)
{
    WH_ASSERT(loop->fd_count < LOOP_FDS_MAX);
    loop->fds[loop->fd_count++] = fd;
}

void loop_remove_fd(struct loop *loop, struct loop_fd *fd)
{
    for (size_t i = 0; i < loop->fd_count; i++) {
        if (loop->fds[i] == fd) {
            loop->fds[i] = loop->fds[--loop->fd_count];
            return;
        }
    }
}

void loop_add_timer(struct loop *loop, struct loop_timer *timer)
{
    WH_ASSERT(loop->timer_count < LOOP_TIMERS_MAX);
    loop->timers[loop->timer_count++] = timer;
}

void loop_timer_set(struct loop_timer *timer, uint64_t in_us)
{
    timer->is_set = true;
    timer->at_us = wh_clock_monotonic_us() + in_us;
}

void loop_timer_stop(struct loop_timer *timer)
{
    timer->is_set = false;
}

void loop_stop(struct loop *loop, int status)
{
    if (loop->is_over)
        return;
    loop->is_over = true;
    loop->status = status;
}

bool loop_is_interrupted(struct loop *loop)
{
    struct signalfd_siginfo info;
    if (read(loop->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        loop->is_interrupted = true;
    return loop->is_interrupted;
}

static int wait_ms(const struct loop *loop)
{
    uint64_t now = wh_clock_monotonic_us(), wait = (uint64_t)POLL_MAX_MS * 1000;
    for (size_t i = 0; i < loop->timer_count; i++) {
        const struct loop_timer *timer = loop->timers[i];
        if (timer->is_set && timer->at_us <= now)
            return 0;
        if (timer->is_set && timer->at_us - now < wait)
            wait = timer->at_us - now;
    }
    return (int)((wait + 999) / 1000);
}

static void fire(struct loop *loop)
{
    for (size_t i = 0; i < loop->timer_count && !loop->is_over; i++) {
        struct loop_timer *timer = loop->timers[i];
        if (timer->is_set && timer->at_us <= wh_clock_monotonic_us()) {
            timer->is_set = false;
            timer->fire(timer->user);
        }
    }
}

/* A callback may remove descriptors, its own too: each is looked up again. */
static void run_ready(struct loop *loop, const struct pollfd *polled, size_t count)
{
    for (size_t i = 0; i < count && !loop->is_over; i++) {
        if (polled[i].revents == 0)
            continue;
        for (size_t j = 0; j < loop->fd_count; j++) {
            struct loop_fd *fd = loop->fds[j];
            if (fd->fd == polled[i].fd && !fd->is_idle) {
                fd->ready(fd->user);
                break;
            }
        }
    }
}

static void turn(struct loop *loop)
{
    struct pollfd polled[2 + LOOP_FDS_MAX] = {
        {.fd = loop->signal_fd, .events = POLLIN},
        {.fd = STDOUT_FILENO, .events = 0},
    };
    nfds_t count = 2;
    for (size_t i = 0; i < loop->fd_count; i++)
        if (!loop->fds[i]->is_idle)
            polled[count++] = (struct pollfd){.fd = loop->fds[i]->fd, .events = POLLIN};
    int ready = poll(polled, count, wait_ms(loop));
    if (ready < 0 && errno != EINTR) {
        loop_stop(loop, 1);
        return;
    }
    if (ready > 0) {
        if (polled[0].revents && loop_is_interrupted(loop))
            loop_stop(loop, 0);
        if (polled[1].revents & POLLERR)
            loop_stop(loop, 0);
        run_ready(loop, polled + 2, count - 2);
    }
    fire(loop);
}

int loop_run(struct loop *loop)
{
    while (!loop->is_over)
        turn(loop);
    return loop->status;
}
