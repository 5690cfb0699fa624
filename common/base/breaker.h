/*
 * A circuit breaker: watches how calls to one service end and, when too many
 * fail, says no for a while, so that callers hear so at once and the service
 * can recover.  Then one call is let through as a probe; it decides.
 *
 * Pure: the time and the randomness are passed in.
 */
#ifndef WH_BASE_BREAKER_H
#define WH_BASE_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

enum { BREAKER_BUCKETS = 10 }; /* the window moves in tenths */

enum breaker_state { BREAKER_CLOSED, BREAKER_HALF_OPEN, BREAKER_OPEN };

struct breaker_options {
    uint64_t window_ms;       /* how far back calls count; 0 = never opens */
    uint64_t calls_min;       /* fewer in the window decide nothing */
    uint64_t failure_percent; /* from this share of failures on it opens */
    uint64_t
        consecutive_timeouts; /* so many in a row open it whatever the window says; 0 = never */
    uint64_t open_ms;         /* until the probe, ± a fifth */
};

enum breaker_verdict {
    BREAKER_SUCCESS,
    BREAKER_FAILURE,
    BREAKER_TIMEOUT,   /* a failure as well */
    BREAKER_NO_VERDICT /* the call ended without saying anything about the service */
};

/* Zero-initialised is closed and has seen nothing. */
struct breaker {
    enum breaker_state state;
    bool is_probing;        /* half-open: the probe is under way */
    uint64_t probe_at_ms;   /* open: when the probe may go */
    uint64_t bucket_number; /* the newest: now / (window / BREAKER_BUCKETS) */
    uint32_t calls[BREAKER_BUCKETS];
    uint32_t failures[BREAKER_BUCKETS];
    uint64_t timeouts_in_a_row;
};

/* Whether a call may go now.  `*out_is_probe` says that it is the probe: hand that to
 * breaker_record, which must follow for each call that was let through. */
bool breaker_admit(struct breaker *breaker, uint64_t now_ms, bool *out_is_probe);

/* `random` is any number; it spreads the probes of many workers. */
void breaker_record(struct breaker *breaker,
                    const struct breaker_options *options,
                    uint64_t now_ms,
                    enum breaker_verdict verdict,
                    bool is_probe,
                    uint64_t random);

#endif
