/*
 * How many calls a worker takes at once.  Batches are what makes fast handlers
 * fast; before slow ones a batch only makes calls wait behind each other that
 * another worker or instance could have taken.  So: as many as fit into
 * SVC_PACE_BATCH_US by the moving average of what handlers took.
 */
#ifndef SERVICES_CORE_PACE_H
#define SERVICES_CORE_PACE_H

#include <stdint.h>

enum { SVC_PACE_BATCH_US = 200, SVC_PACE_MAX = 64 };

struct svc_pace {
    uint64_t average_ns; /* 0 = nothing known yet */
};

static inline void svc_pace_add(struct svc_pace *pace, uint64_t duration_us)
{
    /* A call that takes no measurable time still took some; and one long one must not take the
     * batches away for a thousand calls. */
    uint64_t most_us = (uint64_t)SVC_PACE_BATCH_US * 4;
    uint64_t sample_us = duration_us < most_us ? duration_us : most_us;
    uint64_t sample_ns = sample_us == 0 ? 500 : sample_us * 1000;
    if (pace->average_ns == 0)
        pace->average_ns = sample_ns;
    else
        pace->average_ns = (pace->average_ns * 7 + sample_ns) / 8;
}

/* 1 … SVC_PACE_MAX; 1 as long as nothing is known. */
static inline unsigned svc_pace_count(const struct svc_pace *pace)
{
    if (pace->average_ns == 0)
        return 1;
    uint64_t count = (uint64_t)SVC_PACE_BATCH_US * 1000 / pace->average_ns;
    return count < 1 ? 1 : count > SVC_PACE_MAX ? SVC_PACE_MAX : (unsigned)count;
}

#endif
