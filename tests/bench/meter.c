/* See meter.h.  At the largest run (10,000 subscribers, 10,000 messages) the bits are 12.5 MB. */
#include "meter.h"

#include <stdlib.h>
#include <time.h>

static size_t row_bytes(const struct meter *meter)
{
    return (meter->messages + 7U) / 8;
}

bool meter_init(struct meter *meter, uint32_t subscribers, uint32_t messages, uint32_t warm_up)
{
    *meter = (struct meter){
        .subscribers = subscribers,
        .messages = messages,
        .warm_up = warm_up,
    };
    meter->receipts = calloc(messages, sizeof(*meter->receipts));
    meter->next = calloc(subscribers, sizeof(*meter->next));
    meter->seen = calloc(subscribers, row_bytes(meter));
    return meter->receipts != NULL && meter->next != NULL && meter->seen != NULL;
}

void meter_deinit(struct meter *meter)
{
    free(meter->receipts);
    free(meter->next);
    free(meter->seen);
}

uint64_t meter_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

void meter_record(struct meter *meter,
                  uint32_t who,
                  uint64_t number,
                  uint64_t sent_ns,
                  uint64_t now_ns)
{
    if (number >= meter->messages || sent_ns > now_ns) {
        meter->foreign++;
        return;
    }
    uint32_t message = (uint32_t)number;
    uint8_t *bits = meter->seen + who * row_bytes(meter) + message / 8;
    uint8_t bit = (uint8_t)(1U << (message % 8));
    if ((*bits & bit) != 0) {
        meter->duplicate++;
        return;
    }
    *bits |= bit;
    if (message < meter->next[who]) {
        meter->reordered++;
    } else {
        meter->next[who] = message + 1;
    }
    meter->receipts[message]++;
    if (meter->receipts[message] == meter->subscribers) {
        meter->complete++;
    }
    if (message >= meter->warm_up) {
        meter->delivered++;
        wh_histogram_record(&meter->latency_ns, now_ns - sent_ns);
    }
}

uint64_t meter_lost(const struct meter *meter, uint32_t published)
{
    uint64_t lost = 0;
    for (uint32_t i = 0; i < published; i++) {
        lost += meter->subscribers - meter->receipts[i];
    }
    return lost;
}
