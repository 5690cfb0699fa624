/*
 * simulate [SEED]: runs schedules of the simulation with fresh seeds until
 * one fails, or for `-t SECONDS`; or replays one, with everything that
 * happens in it.
 */
#include "simulation.h"

#include "common/base/clock.h"
#include "common/base/random.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int show(uint64_t seed, const struct sim_report *report)
{
    if (!report->has_failed)
        return 0;
    printf("seed %" PRIu64 ": after %" PRIu64 " ms: %s\nreplay with: simulate %" PRIu64 "\n", seed,
           report->at_ms, report->problem, seed);
    return 1;
}

int main(int argc, char **argv)
{
    struct sim_report report;
    uint64_t seconds = argc > 2 && strcmp(argv[1], "-t") == 0 ? strtoull(argv[2], NULL, 10) : 60;
    uint64_t seed, runs = 0, publications = 0, deliveries = 0, recoveries = 0, told = 0;
    if (argc == 2) {
        seed = strtoull(argv[1], NULL, 10);
        simulate(&(struct sim_options){.seed = seed, .is_verbose = true}, &report);
        return show(seed, &report);
    }
    seed = wh_random_below(UINT64_C(1000000000000)); /* short enough to type */
    setvbuf(stdout, NULL, _IOLBF, 0);
    uint64_t end_ms = wh_clock_monotonic_ms() + seconds * 1000;
    for (; wh_clock_monotonic_ms() < end_ms; runs++, seed++) {
        simulate(&(struct sim_options){.seed = seed}, &report);
        if (show(seed, &report))
            return 1;
        publications += report.publications;
        deliveries += report.deliveries;
        recoveries += report.recoveries;
        told += report.told;
    }
    printf("%" PRIu64 " schedules in %" PRIu64 " s, seeds up to %" PRIu64 ": %" PRIu64
           " publications, %" PRIu64 " deliveries, %" PRIu64 " recoveries, %" PRIu64
           " losses told; no violation\n",
           runs, seconds, seed - 1, publications, deliveries, recoveries, told);
    return 0;
}
