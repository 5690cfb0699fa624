/*
 * What arrived, where and when: every subscriber must get every message exactly once and in order.
 * Deliveries are kept as one bit per subscriber and message, so that lost, duplicated and reordered
 * are told apart exactly and not guessed from a counter.
 *
 * Messages are numbered from 0.  The first `warm_up` of them are checked like all others but leave
 * no trace in the latencies.
 */
#ifndef BENCH_METER_H
#define BENCH_METER_H

#include "common/base/histogram.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct meter {
    uint32_t subscribers;
    uint32_t messages; /* warm-up included */
    uint32_t warm_up;
    uint32_t complete; /* messages that every subscriber has */
    uint64_t delivered;
    uint64_t duplicate;
    uint64_t reordered;
    uint64_t foreign;   /* publications that are none of ours */
    uint64_t reads;     /* read calls that brought something, and frames in them: how well the */
    uint64_t frames;    /* server packs */
    uint32_t *receipts; /* per message: how many subscribers have it */
    uint8_t *seen;      /* a row of bits per subscriber */
    uint32_t *next;     /* per subscriber: one past the highest number seen */
    struct wh_histogram latency_ns;
};

/* False when there is no memory; meter_deinit is due in any case. */
bool meter_init(struct meter *meter, uint32_t subscribers, uint32_t messages, uint32_t warm_up);
void meter_deinit(struct meter *meter);

/* The clock of all time stamps: CLOCK_MONOTONIC, which publisher and subscribers share. */
uint64_t meter_now_ns(void);

/* Subscriber `who` got message `number`, published at `sent_ns`, at `now_ns`. */
void meter_record(struct meter *meter,
                  uint32_t who,
                  uint64_t number,
                  uint64_t sent_ns,
                  uint64_t now_ns);

/* Deliveries that never came, of the first `published` messages. */
uint64_t meter_lost(const struct meter *meter, uint32_t published);

#endif
