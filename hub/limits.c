/*
 * One token is 1000 units, so `rate` tokens a second are `rate` units a
 * millisecond and no fraction is ever lost to rounding.
 */
#include "hub/limits.h"

enum { UNITS = 1000 };

static uint64_t capacity(const struct token_bucket *bucket)
{
    return (uint64_t)bucket->burst * UNITS;
}

static void refill(struct token_bucket *bucket, uint64_t now_ms)
{
    if (now_ms <= bucket->updated_ms)
        return;
    uint64_t elapsed_ms = now_ms - bucket->updated_ms;
    uint64_t missing = capacity(bucket) - bucket->level;
    bucket->updated_ms = now_ms;
    /* Divided, because the product could overflow after a long silence. */
    if (bucket->rate > 0 && elapsed_ms > missing / bucket->rate)
        bucket->level = capacity(bucket);
    else
        bucket->level += elapsed_ms * bucket->rate;
}

void token_bucket_init(struct token_bucket *bucket, uint32_t rate, uint32_t burst, uint64_t now_ms)
{
    bucket->rate = rate;
    bucket->burst = burst > 0 ? burst : 1;
    bucket->level = capacity(bucket);
    bucket->updated_ms = now_ms;
}

void token_bucket_change(struct token_bucket *bucket,
                         uint32_t rate,
                         uint32_t burst,
                         uint64_t now_ms)
{
    refill(bucket, now_ms);
    bucket->rate = rate;
    bucket->burst = burst > 0 ? burst : 1;
    if (bucket->level > capacity(bucket))
        bucket->level = capacity(bucket);
}

uint64_t token_bucket_wait_ms(struct token_bucket *bucket, uint64_t now_ms)
{
    if (bucket->rate == 0)
        return 0;
    refill(bucket, now_ms);
    return bucket->level >= UNITS ? 0 : (UNITS - bucket->level + bucket->rate - 1) / bucket->rate;
}

bool token_bucket_is_full(struct token_bucket *bucket, uint64_t now_ms)
{
    if (bucket->rate == 0)
        return true;
    refill(bucket, now_ms);
    return bucket->level == capacity(bucket);
}

bool token_bucket_take(struct token_bucket *bucket, uint64_t now_ms)
{
    if (bucket->rate == 0)
        return true;
    refill(bucket, now_ms);
    if (bucket->level < UNITS)
        return false;
    bucket->level -= UNITS;
    return true;
}
