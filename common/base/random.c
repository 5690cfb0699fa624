/*
 * One getrandom call fills 256 bytes for the thread; what was handed out is
 * wiped at once, so that a leak of memory shows no past identifier.
 *
 * The buffer must not survive fork: parent and child would make the same
 * identifiers.  Only the thread that forked lives in the child, so emptying
 * that one's buffer is enough.
 */
#include "common/base/random.h"

#include "common/base/clock.h"
#include "common/base/err.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/random.h>

static _Thread_local struct {
    unsigned char bytes[256];
    size_t left; /* the last `left` of them are unused */
} pool;

static _Thread_local struct {
    bool on;
    uint64_t state;
} seeded;

static void forget_pool(void)
{
    memset(&pool, 0, sizeof pool);
}

static void watch_fork(void)
{
    WH_ASSERT(pthread_atfork(NULL, NULL, forget_pool) == 0);
}

void wh_random_kernel(void *out, size_t len)
{
    unsigned char *bytes = out;
    while (len > 0) {
        ssize_t got = getrandom(bytes, len, 0);
        if (got < 0 && errno == EINTR)
            continue;
        WH_ASSERT(got > 0);
        bytes += got;
        len -= (size_t)got;
    }
}

static void refill(void)
{
    static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
    pthread_once(&fork_once, watch_fork);
    wh_random_kernel(pool.bytes, sizeof pool.bytes);
    pool.left = sizeof pool.bytes;
}

/* SplitMix64 (Steele, Lea, Flood 2014): any seed is good, 0 too. */
static uint64_t seeded_next(void)
{
    seeded.state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = seeded.state;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void seeded_bytes(unsigned char *out, size_t len)
{
    while (len > 0) {
        uint64_t word = seeded_next();
        size_t part = len < sizeof word ? len : sizeof word;
        memcpy(out, &word, part);
        out += part;
        len -= part;
    }
}

void wh_random_bytes(void *out, size_t len)
{
    unsigned char *bytes = out;
    if (seeded.on) {
        seeded_bytes(bytes, len);
        return;
    }
    while (len > 0) {
        if (pool.left == 0)
            refill();
        size_t part = len < pool.left ? len : pool.left;
        unsigned char *from = pool.bytes + sizeof pool.bytes - pool.left;
        memcpy(bytes, from, part);
        memset(from, 0, part);
        pool.left -= part;
        bytes += part;
        len -= part;
    }
}

uint64_t wh_random_u64(void)
{
    uint64_t word;
    wh_random_bytes(&word, sizeof word);
    return word;
}

uint64_t wh_random_below(uint64_t bound)
{
    if (bound == 0)
        return 0;
    /* 2^64 mod bound: below it the low remainders would come up once too often. */
    uint64_t reject_below = (0 - bound) % bound;
    uint64_t word;
    do
        word = wh_random_u64();
    while (word < reject_below);
    return word % bound;
}

static void write_uuid(unsigned char bytes[16], unsigned version, char out[37])
{
    static const char digits[] = "0123456789abcdef";
    bytes[6] = (unsigned char)((bytes[6] & 0x0F) | version << 4);
    bytes[8] = (unsigned char)((bytes[8] & 0x3F) | 0x80);
    for (size_t i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *out++ = '-';
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 0x0F];
    }
    *out = '\0';
}

void wh_random_uuid_v4(char out[37])
{
    unsigned char bytes[16];
    wh_random_bytes(bytes, sizeof bytes);
    write_uuid(bytes, 4, out);
}

void wh_random_uuid_v7(char out[37])
{
    unsigned char bytes[16];
    uint64_t unix_ms = (uint64_t)wh_clock_wall_ms();
    for (size_t i = 0; i < 6; i++)
        bytes[i] = (unsigned char)(unix_ms >> (40 - 8 * i));
    wh_random_bytes(bytes + 6, sizeof bytes - 6);
    write_uuid(bytes, 7, out);
}

void wh_random_letters(char *out, size_t len)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    size_t i = 0;
    while (i < len) {
        unsigned char byte;
        wh_random_bytes(&byte, 1);
        /* Six bits are 64 values for 52 letters; the rest is thrown again. */
        byte &= 0x3F;
        if (byte < sizeof letters - 1)
            out[i++] = letters[byte];
    }
    out[len] = '\0';
}

void wh_random_seed(uint64_t seed)
{
    seeded.on = true;
    seeded.state = seed;
}
