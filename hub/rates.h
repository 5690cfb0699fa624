/*
 * How many commands a connection, a user and an address may send: a token
 * bucket for each class of commands and one for all of them together.  Users
 * and addresses are known by a bounded table of the worker that forgets who
 * was quiet the longest; what is configured is looked at anew each time, so a
 * reload needs nothing here.
 *
 * O(1) a command, and nothing at all while no limit is set.  The caller brings
 * the time (monotonic milliseconds).  Loop thread only.
 */
#ifndef HUB_RATES_H
#define HUB_RATES_H

#include "common/base/slice.h"
#include "hub/config.h"
#include "hub/limits.h"
#include "hub/metrics.h"

enum {
    RATES_ENTRIES_MAX = 65536, /* users, and as many addresses, that a worker remembers */
    RATES_KEY_SIZE = 8         /* names are hashed (seeded): entries are of one size */
};

/* One bucket a class; of those whose class has no limit only the configuration is looked at. */
struct rate_buckets {
    struct token_bucket classes[RATE_CLASSES];
};

/* The buckets of users and addresses. */
struct rates;

WH_MUST_CHECK enum wh_err rates_new(struct metrics *metrics, struct rates **out_rates);
void rates_free(struct rates *rates); /* NULL is fine */

/* Who sends.  Scopes that are absent do not count. */
struct rate_caller {
    struct rate_buckets **connection; /* made when it is needed: freed by wh_free; NULL = none */
    struct wh_slice user;             /* "" = nobody in particular: no limit of a user */
    const char *peer; /* address in text; "" = unknown.  Of IPv6 the first 64 bits count. */
};

/*
 * Take one from every bucket that is concerned, of `class` and of the total, or from none.
 * When one is empty: false, with the time until there is one again in all of them (at least 1).
 */
bool rates_take(struct rates *rates,
                const struct rate_config *config,
                const struct rate_caller *caller,
                enum rate_class class,
                uint64_t now_ms,
                uint64_t *out_wait_ms);

/* How many users or addresses are remembered. */
size_t rates_count(const struct rates *rates, enum rate_scope scope);

#endif
