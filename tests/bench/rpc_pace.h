/*
 * When a caller of `./dev bench rpc` calls, and what became of its calls: a window of calls in
 * flight or a fixed rate, a warm-up, a measured stretch, and a drain in which nothing new begins.
 * Every call must end once and well; a run in which one did not is a failed run.
 *
 * The CPU times of the processes named with --pid and of the caller itself are those of the
 * measured stretch, divided by the calls that ended in it.  One thread at a time.
 */
#ifndef BENCH_RPC_PACE_H
#define BENCH_RPC_PACE_H

#include "common/base/histogram.h"
#include "procfs.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    PACE_RING = 1 << 15,        /* calls whose begin is remembered */
    PACE_AT_RATE_MAX = 1 << 13, /* in flight, when the rate is more than can be done */
    PACE_ROLES_MAX = 4,
    PACE_TICK_NS = 100000, /* at a rate: calls begin in turns of this length */
};

struct pace_options {
    const char *transport;
    const char *address; /* path of a socket, or port */
    const char *method;  /* of the hub's way */
    const char *json;    /* file to append the row to; NULL = stdout */
    uint32_t in_flight;
    uint32_t rate; /* calls a second; 0 = as many as in_flight allows */
    uint32_t milliseconds;
    uint32_t size;        /* of the payload, bytes */
    uint32_t connections; /* WebSockets */
    struct {
        const char *name;
        struct process_set processes;
    } roles[PACE_ROLES_MAX];
    uint32_t roles_count;
};

enum pace_phase { PACE_WARM_UP, PACE_MEASURE, PACE_DRAIN, PACE_OVER };

struct pace {
    const struct pace_options *options;
    enum pace_phase phase;
    uint64_t next_id; /* from 1 */
    uint64_t in_flight;
    uint64_t ended;  /* in the measured stretch */
    uint64_t failed; /* answered with an error or rubbish, never, or twice */
    uint64_t began_ns, measure_ns, drain_ns;
    double cpu_us[PACE_ROLES_MAX];
    double own_cpu_us;
    uint64_t sent_ns[PACE_RING]; /* 0 = not under way */
    struct wh_histogram latency_ns;
};

/* Exits with status 2 and a usage text when the command line is wrong. */
void pace_parse(int argc, char **argv, struct pace_options *out_options);

uint64_t pace_now_ns(void); /* CLOCK_MONOTONIC */

/* `pace` is all zero; options are borrowed. */
void pace_start(struct pace *pace, const struct pace_options *options);

/* How many calls are to begin now.  Moves from phase to phase: ask at least every 10 ms. */
uint32_t pace_due(struct pace *pace, uint64_t now_ns);

/* A call begins: its id. */
uint64_t pace_begin(struct pace *pace, uint64_t now_ns);
void pace_end(struct pace *pace, uint64_t id, bool is_good, uint64_t now_ns);

/* Writes the row.  The exit status of the program: 0, or 1 when the run failed. */
int pace_report(const struct pace *pace);

#endif
