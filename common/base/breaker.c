/*
 * Ten buckets make the window: the oldest is emptied when a new one begins.
 * Calls that were let through before the breaker opened end while it is open
 * or half-open; they no longer count, for the probe alone decides then.
 */
#include "common/base/breaker.h"

#include <string.h>

bool breaker_admit(struct breaker *breaker, uint64_t now_ms, bool *out_is_probe)
{
    *out_is_probe = false;
    if (breaker->state == BREAKER_CLOSED)
        return true;
    if (breaker->state == BREAKER_OPEN && now_ms >= breaker->probe_at_ms)
        breaker->state = BREAKER_HALF_OPEN;
    if (breaker->state == BREAKER_OPEN || breaker->is_probing)
        return false;
    breaker->is_probing = true;
    *out_is_probe = true;
    return true;
}

static void forget(struct breaker *breaker)
{
    memset(breaker->calls, 0, sizeof(breaker->calls));
    memset(breaker->failures, 0, sizeof(breaker->failures));
    breaker->timeouts_in_a_row = 0;
}

static void open_it(struct breaker *breaker,
                    const struct breaker_options *options,
                    uint64_t now_ms,
                    uint64_t random)
{
    uint64_t fifth = options->open_ms / 5;
    breaker->state = BREAKER_OPEN;
    breaker->is_probing = false;
    breaker->probe_at_ms = now_ms + options->open_ms - fifth + random % (2 * fifth + 1);
    forget(breaker);
}

/* Empty the buckets whose time has passed; the one that `now_ms` falls into. */
static unsigned turn_buckets(struct breaker *breaker, uint64_t window_ms, uint64_t now_ms)
{
    uint64_t width = window_ms / BREAKER_BUCKETS ? window_ms / BREAKER_BUCKETS : 1;
    uint64_t number = now_ms / width;
    uint64_t passed = number > breaker->bucket_number ? number - breaker->bucket_number : 0;
    for (uint64_t i = 1; i <= passed && i <= BREAKER_BUCKETS; i++) {
        unsigned bucket = (unsigned)((breaker->bucket_number + i) % BREAKER_BUCKETS);
        breaker->calls[bucket] = 0;
        breaker->failures[bucket] = 0;
    }
    breaker->bucket_number += passed;
    return (unsigned)(breaker->bucket_number % BREAKER_BUCKETS);
}

static bool is_failing(const struct breaker *breaker, const struct breaker_options *options)
{
    uint64_t calls = 0, failures = 0;
    if (options->consecutive_timeouts > 0 &&
        breaker->timeouts_in_a_row >= options->consecutive_timeouts)
        return true;
    for (unsigned i = 0; i < BREAKER_BUCKETS; i++) {
        calls += breaker->calls[i];
        failures += breaker->failures[i];
    }
    return calls > 0 && calls >= options->calls_min &&
           failures * 100 >= calls * options->failure_percent;
}

static void record_probe(struct breaker *breaker,
                         const struct breaker_options *options,
                         uint64_t now_ms,
                         enum breaker_verdict verdict,
                         uint64_t random)
{
    breaker->is_probing = false;
    if (verdict == BREAKER_SUCCESS)
        breaker->state = BREAKER_CLOSED;
    else if (verdict != BREAKER_NO_VERDICT) /* else the next call is the probe */
        open_it(breaker, options, now_ms, random);
}

void breaker_record(struct breaker *breaker,
                    const struct breaker_options *options,
                    uint64_t now_ms,
                    enum breaker_verdict verdict,
                    bool is_probe,
                    uint64_t random)
{
    if (is_probe) {
        record_probe(breaker, options, now_ms, verdict, random);
        return;
    }
    if (breaker->state != BREAKER_CLOSED || verdict == BREAKER_NO_VERDICT ||
        options->window_ms == 0)
        return;
    bool is_failure = verdict != BREAKER_SUCCESS;
    unsigned bucket = turn_buckets(breaker, options->window_ms, now_ms);
    breaker->calls[bucket]++;
    breaker->failures[bucket] += is_failure;
    breaker->timeouts_in_a_row = verdict == BREAKER_TIMEOUT ? breaker->timeouts_in_a_row + 1 : 0;
    if (is_failure && is_failing(breaker, options))
        open_it(breaker, options, now_ms, random);
}
