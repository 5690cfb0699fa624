/*
 * What the measured processes cost, read from /proc.  The CPU time of a process in `stat` covers
 * all its threads; the kernel scales it from an exact run time, so it is good to a clock tick over
 * the whole window, not per reading.
 */
#ifndef BENCH_PROCFS_H
#define BENCH_PROCFS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { PROCESSES_MAX = 64 };

struct process_set {
    pid_t pids[PROCESSES_MAX];
    int count;
};

struct process_cost {
    double cpu_us;      /* user + system, of all processes together */
    uint64_t rss_bytes; /* shared pages count once per process */
};

/* Adds the living descendants of every process in the set: workers under their supervisor. */
void process_set_add_children(struct process_set *set);

/* False when any of the processes is gone: its cost would be missing from the sum. */
bool process_set_measure(const struct process_set *set, struct process_cost *out_cost);

#endif
