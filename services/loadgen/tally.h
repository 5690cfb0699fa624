/* What came of the calls, and how long they took.  Loop thread only. */
#ifndef SERVICES_LOADGEN_TALLY_H
#define SERVICES_LOADGEN_TALLY_H

#include <stddef.h>
#include <stdint.h>

enum { TALLY_LATENCIES_MAX = 1 << 20 }; /* those of later answers are not kept, which is said */

enum tally_outcome {
    TALLY_ORDERED,
    TALLY_CANCELLED,
    TALLY_OUT_OF_STOCK,
    TALLY_REFUSED,    /* any other answer that will not change */
    TALLY_UNANSWERED, /* however often it was asked */
    TALLY_LEFT_OUT,   /* too many under way: the rate was not reached */
    TALLY_OUTCOME_COUNT
};

struct tally {
    uint64_t counts[TALLY_OUTCOME_COUNT];
    uint64_t repeated; /* calls that were made more than once */
    uint32_t *latencies_us;
    size_t latency_count;
    size_t shown; /* latencies that the lines so far were about */
};

/* 0 without memory. */
int tally_init(struct tally *tally);
void tally_deinit(struct tally *tally);

void tally_count(struct tally *tally, enum tally_outcome outcome);
void tally_latency(struct tally *tally, uint64_t took_us);

/* A line about the time since the last one; sorts what it is about. */
void tally_show_second(struct tally *tally, uint64_t second, size_t under_way);
void tally_show_summary(struct tally *tally, double seconds);

#endif
