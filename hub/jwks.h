/*
 * The keys of JWKS endpoints: fetched in the background, kept, renewed, looked up by `kid`.
 *
 * An endpoint is fetched when it is first opened, then once an hour, and when a token names a key
 * that is not there (at most once in 10 s: an issuer that rotates publishes a new key before it
 * signs with it, and a stranger's `kid` must not become a flood).  A set replaces the one before it
 * as a whole.  A fetch that fails changes nothing: the keys stay good, the next try is backed off.
 *
 * A pool belongs to one loop; verifiers share its endpoints by URL, and one that a reload opens
 * again before it is let go keeps its keys.  Loop thread only; a lookup never blocks.
 */
#ifndef HUB_JWKS_H
#define HUB_JWKS_H

#include "common/io/loop.h"
#include "hub/token_key.h"

enum {
    JWKS_REDIRECTS_MAX = 3,
    JWKS_WAITERS_MAX = 16384 /* for one endpoint; whoever comes then is told to come again */
};

/* Milliseconds. */
struct jwks_times {
    uint32_t fetch_timeout;
    uint32_t refresh;     /* the age at which a set is fetched again, less up to a tenth */
    uint32_t unknown_kid; /* between two fetches for the sake of unknown kids */
    uint32_t retry_min, retry_max;
};
extern const struct jwks_times jwks_default_times;

struct jwks_pool;
struct jwks; /* one endpoint; reference-counted */

/* Borrows both.  WH_ENOMEM. */
WH_MUST_CHECK enum wh_err jwks_pool_new(struct wh_loop *loop,
                                        const struct jwks_times *times,
                                        struct jwks_pool **out_pool);

/* End what is under way, so that the loop can end; waiters are called.  Nothing is fetched any
 * more, the keys stay. */
void jwks_pool_close(struct jwks_pool *pool);

/* After the last jwks_release.  NULL is fine. */
void jwks_pool_free(struct jwks_pool *pool);

/* A reference to the endpoint of `url`, which is fetched if it is new.  WH_EINVAL: no http(s) URL;
 * WH_ENOMEM. */
WH_MUST_CHECK enum wh_err jwks_open(struct jwks_pool *pool,
                                    const char *url,
                                    struct jwks **out_jwks);

/* With the last reference its waiters are called.  Not from inside a waiter's fn.  NULL is fine. */
void jwks_release(struct jwks *jwks);

/*
 * The key named `kid` for `algorithm`, borrowed until the loop turns.
 *
 * WH_OK
 * WH_EUNSUPPORTED  the key does not verify `algorithm`
 * WH_ENOTFOUND     there is no such key
 * WH_EUNAVAILABLE  not known: the keys are being fetched (jwks_wait), or cannot be had now
 */
WH_MUST_CHECK enum wh_err jwks_find(struct jwks *jwks,
                                    struct wh_slice kid,
                                    const struct token_algorithm *algorithm,
                                    const struct token_key **out_key);

/*
 * Someone who waits for a fetch.  Embedded by its owner, initialised by jwks_waiter_init.
 */
struct jwks_waiter {
    struct wh_list link;
    struct jwks *jwks; /* waited for; NULL = none */
    void (*fn)(struct jwks_waiter *waiter);
};

void jwks_waiter_init(struct jwks_waiter *waiter, void (*fn)(struct jwks_waiter *waiter));

/*
 * Call `waiter->fn` when the fetch under way has ended, well or not: once, never before this
 * returned, a few waiters a turn.  A jwks_find inside `fn` has the final answer: it starts no other
 * fetch.  WH_EUNAVAILABLE: no fetch is under way, or `fn` of another asks; WH_ELIMIT: too many
 * wait.
 */
WH_MUST_CHECK enum wh_err jwks_wait(struct jwks *jwks, struct jwks_waiter *waiter);
bool jwks_waiter_is_waiting(const struct jwks_waiter *waiter);
void jwks_waiter_cancel(struct jwks_waiter *waiter); /* harmless when it does not wait */

/* Why the last fetch failed; "" when it did not.  For people; without the URL. */
const char *jwks_problem(const struct jwks *jwks);

#endif
