/*
 * What the JSON files share: finding the end of things fast.  Internal to
 * common/protocol.
 */
#ifndef WH_PROTOCOL_JSON_SCAN_H
#define WH_PROTOCOL_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A byte that may stand in a string as it is and needs no second look. */
static inline bool wh_json_is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* What stands in a vector register of every machine that has one (GCC and clang alike). */
typedef signed char wh_json_block __attribute__((vector_size(16)));

static inline bool wh_json_is_block_plain(const char *at)
{
    wh_json_block block;
    uint64_t halves[2];
    memcpy(&block, at, sizeof(block));
    /* As signed bytes those beyond ASCII are below the blank, too. */
    block = (block < 0x20) | (block == '"') | (block == '\\');
    memcpy(halves, &block, sizeof(halves));
    return (halves[0] | halves[1]) == 0;
}

/*
 * Past the run of plain bytes: sixteen at a time, then eight.  In each of the sums below the lowest
 * byte with its top bit set is a true hit (borrows travel upwards only), which is all that is asked
 * for.
 */
static inline const char *wh_json_skip_plain(const char *at, const char *end)
{
    const uint64_t ones = 0x0101010101010101u;
    const uint64_t tops = ones * 0x80;
    while (end - at >= 16 && wh_json_is_block_plain(at))
        at += 16;
    while (end - at >= 8) {
        uint64_t word;
        memcpy(&word, at, sizeof(word));
        uint64_t quote = word ^ ones * '"';
        uint64_t backslash = word ^ ones * '\\';
        uint64_t hits = (word | ((word - ones * 0x20) & ~word) | ((quote - ones) & ~quote) |
                         ((backslash - ones) & ~backslash)) &
                        tops;
        if (hits != 0) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
            return at + (__builtin_ctzll(hits) >> 3);
#else
            break;
#endif
        }
        at += 8;
    }
    while (at < end && wh_json_is_plain((unsigned char)*at))
        at++;
    return at;
}

static inline bool wh_json_is_tail(const char *at)
{
    return ((unsigned char)*at & 0xC0) == 0x80;
}

/* Bytes of the UTF-8 sequence beyond ASCII at `at` < `end` (RFC 3629); 0 when it is none. */
static inline size_t wh_json_utf8_sequence(const char *at, const char *end)
{
    unsigned char first = (unsigned char)at[0];
    size_t room = (size_t)(end - at);
    if (first < 0xC2 || first > 0xF4 || room < 2)
        return 0;
    unsigned char second = (unsigned char)at[1];
    if (first < 0xE0)
        return wh_json_is_tail(at + 1) ? 2 : 0;
    if (first < 0xF0) {
        unsigned char low = first == 0xE0 ? 0xA0 : 0x80;  /* no overlong forms */
        unsigned char high = first == 0xED ? 0x9F : 0xBF; /* no surrogates */
        return room >= 3 && second >= low && second <= high && wh_json_is_tail(at + 2) ? 3 : 0;
    }
    unsigned char low = first == 0xF0 ? 0x90 : 0x80;
    unsigned char high = first == 0xF4 ? 0x8F : 0xBF; /* up to U+10FFFF */
    return room >= 4 && second >= low && second <= high && wh_json_is_tail(at + 2) &&
                   wh_json_is_tail(at + 3)
               ? 4
               : 0;
}

/* Just past the number that starts at `at` < `end`; NULL when there is none (json_number.c). */
const char *wh_json_scan_number(const char *at, const char *end);

#endif
