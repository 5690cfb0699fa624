/*
 * A simulation of the hub from one seed: several nodes with the real session,
 * registry, feed and command code in one thread, a broker whose links delay,
 * lose and break, clients that behave as the SDKs do, and a clock that jumps
 * from event to event.
 *
 * After every step the history is checked by code that shares nothing with
 * the hub: it knows what was published and looks at what each client was
 * told.  The same seed gives the same run, byte for byte.
 */
#ifndef TESTS_SIM_SIMULATION_H
#define TESTS_SIM_SIMULATION_H

#include <stdbool.h>
#include <stdint.h>

struct sim_options {
    uint64_t seed;
    bool is_verbose;      /* every step goes to standard output */
    bool is_broker_lying; /* a broker that comes back from an old snapshot keeps its epoch, against
                             the contract: the checker must notice */
};

struct sim_report {
    bool has_failed;
    char problem[256]; /* what was violated first */
    uint64_t at_ms;    /* simulated time of it */
    uint64_t steps;
    uint64_t publications; /* stored or passed on by the broker */
    uint64_t deliveries;   /* to clients, live and recovered */
    uint64_t recoveries;   /* subscribes that got all they had missed */
    uint64_t told;         /* times that a client was told of a loss */
    uint64_t digest;       /* of all that every client received, and when */
};

/* One schedule, from an empty hub to an empty hub. */
void simulate(const struct sim_options *options, struct sim_report *out_report);

#endif
