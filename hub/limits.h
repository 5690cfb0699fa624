/*
 * Rate limits by token bucket: `rate` tokens a second flow in, at most `burst`
 * stay, each action takes one.  Unlike a count per calendar second it never
 * lets twice the rate pass around the turn of a second.  Pure: the caller
 * brings the time (monotonic milliseconds).
 */
#ifndef HUB_LIMITS_H
#define HUB_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

struct token_bucket {
    uint32_t rate;       /* tokens per second; 0 = no limit */
    uint32_t burst;      /* tokens that may pass at once, at least 1 */
    uint64_t level;      /* thousandths of a token, so that every millisecond counts */
    uint64_t updated_ms; /* when `level` was true */
};

/* Full at first.  A burst of 0 counts as 1, or nothing would ever pass. */
void token_bucket_init(struct token_bucket *bucket, uint32_t rate, uint32_t burst, uint64_t now_ms);

/* New limits for a bucket in use (a reload): what is in it stays, as far as it still fits. */
void token_bucket_change(struct token_bucket *bucket,
                         uint32_t rate,
                         uint32_t burst,
                         uint64_t now_ms);

/* True, and one token fewer, when there is one.  Time that runs backwards adds nothing. */
bool token_bucket_take(struct token_bucket *bucket, uint64_t now_ms);

/* How long until there is one, without taking any: 0 = there is. */
uint64_t token_bucket_wait_ms(struct token_bucket *bucket, uint64_t now_ms);

/* Whether it is as good as a new one. */
bool token_bucket_is_full(struct token_bucket *bucket, uint64_t now_ms);

#endif
