/*
 * The parent process of `wirehub serve`: opens the listening sockets, forks
 * the workers, watches and replaces them, and turns signals into what the
 * workers understand.  It touches no connection and has no event loop, so
 * there is little in it that could fail.
 *
 *     signal to the supervisor   what a worker gets
 *     SIGTERM, SIGINT            SIGTERM: drain and exit 0
 *     the same again             SIGTERM again: end at once; SIGKILL 1 s later
 *     SIGHUP                     SIGHUP, if the new configuration is good: load it
 *     SIGUSR1                    SIGUSR1: switch the debug log on or off
 *
 * A worker handles SIGTERM, SIGHUP and SIGUSR1 and ignores SIGINT: Ctrl-C
 * reaches the whole process group, and must not count twice.
 */
#ifndef HUB_SUPERVISOR_H
#define HUB_SUPERVISOR_H

#include "hub/config.h"
#include "hub/demo.h"
#include "hub/metrics.h"

#include <signal.h>

/* The exit status (EX_CONFIG) of a worker that cannot start and never will. */
enum { WORKER_CANNOT_START = 78 };

/* What a worker gets; all of it borrowed from the supervisor's memory until the process ends. */
struct worker_context {
    unsigned index;
    unsigned count;           /* of workers */
    const int *listen_fds;    /* listening, non-blocking; of this worker alone */
    unsigned listen_fd_count; /* 1 or 2 */
    struct metrics *metrics;  /* its column, already open */
    struct metrics_shared *metrics_shared;
    struct demo_shared *demo;              /* NULL without demo.enabled */
    const struct config *config;           /* as of now: a replacement gets a reloaded one */
    const struct wh_config_source *source; /* where to load it from again at SIGHUP */
    int ready_fd;                          /* for worker_ready */
    sigset_t signal_mask;                  /* for worker_ready */
};

/* Runs in the child; what it returns is the exit status. */
typedef int worker_main_fn(const struct worker_context *context);

/*
 * To be called once by each worker when its signal handlers stand and it accepts connections.
 * Until then all signals that the supervisor sends stay pending, so that none is lost and none
 * kills by default.
 */
void worker_ready(const struct worker_context *context);

/*
 * Run until told to stop.  `source` and `config` are borrowed; configs that are loaded later are
 * the supervisor's own.  Configuration reloads and restarts are counted here, not by the workers.
 * Changes the process for good: SIGPIPE is ignored, the soft limit of descriptors raised, and the
 * signals above stay blocked after the return, so that a late one cannot spoil the exit status.
 *
 * Returns the exit status of the program: 0 all workers ended by themselves after SIGTERM;
 * 1 it could not start, or a worker had to be killed; WORKER_CANNOT_START a worker said so before
 * the hub was ready for the first time.
 */
int supervisor_run(const struct wh_config_source *source,
                   const struct config *config,
                   worker_main_fn *worker_main);

#endif
