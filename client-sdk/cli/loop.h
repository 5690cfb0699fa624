/*
 * The loop of the command line: poll over a few descriptors, signals, and
 * timers.  Few of each, so lists are walked.
 *
 * SIGINT and SIGTERM end the loop; SIGPIPE is ignored, and a reader of
 * standard output that went away ends it quietly.  One thread.
 */
#ifndef WH_CLI_LOOP_H
#define WH_CLI_LOOP_H

#include "common/base/err.h"

#include <stddef.h>
#include <stdint.h>

enum { LOOP_FDS_MAX = 8, LOOP_TIMERS_MAX = 8 };

struct loop_fd {
    int fd;       /* −1 = none */
    bool is_idle; /* not looked at now */
    void (*ready)(void *user);
    void *user;
};

struct loop_timer {
    bool is_set;
    uint64_t at_us; /* monotonic */
    void (*fire)(void *user);
    void *user;
};

struct loop {
    int signal_fd;
    bool is_over;
    bool is_interrupted; /* by a signal */
    int status;          /* of loop_stop */
    struct loop_fd *fds[LOOP_FDS_MAX];
    size_t fd_count;
    struct loop_timer *timers[LOOP_TIMERS_MAX];
    size_t timer_count;
};

/* Before any thread is started: they inherit which signals are blocked.  WH_EIO. */
WH_MUST_CHECK enum wh_err loop_init(struct loop *loop);
void loop_deinit(struct loop *loop);

/* `fd` and `timer` stay the caller's and must outlive the loop's run. */
void loop_add_fd(struct loop *loop, struct loop_fd *fd);
void loop_remove_fd(struct loop *loop, struct loop_fd *fd);
void loop_add_timer(struct loop *loop, struct loop_timer *timer);
void loop_timer_set(struct loop_timer *timer, uint64_t in_us);
void loop_timer_stop(struct loop_timer *timer);

/* Until loop_stop, a signal (is_interrupted) or the end of who reads our output.  Returns the
 * status; 0 for the latter two. */
int loop_run(struct loop *loop);

/* The first status counts. */
void loop_stop(struct loop *loop, int status);

/* Whether SIGINT or SIGTERM came, for loops of other kinds. */
bool loop_is_interrupted(struct loop *loop);

#endif
