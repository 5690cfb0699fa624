/*
 * The rate that the pages of the demo share: the last one counts, and it goes
 * off by itself when nobody renews it.  Any thread.
 */
#ifndef SERVICES_DEMO_LOAD_H
#define SERVICES_DEMO_LOAD_H

#include <pthread.h>
#include <stdint.h>

struct load {
    pthread_mutex_t lock;
    uint32_t rate;   /* a second */
    uint64_t off_ms; /* monotonic: when it goes off */
};

void load_init(struct load *load);
void load_deinit(struct load *load);

void load_set(struct load *load, uint32_t rate, uint64_t now_ms, uint64_t lifetime_ms);

/* The present rate; `*out_off_in_ms` (may be NULL) until it goes off, 0 when it is. */
uint32_t load_rate(struct load *load, uint64_t now_ms, uint64_t *out_off_in_ms);

#endif
