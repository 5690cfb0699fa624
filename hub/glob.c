/*
 * Only the last `*` is ever gone back to: what an earlier one took could only
 * be given to the later one, so nothing else need be tried.
 */
#include "hub/glob.h"

/* One set at pattern[at] == '['.  The place behind it, or 0 when it is not closed. */
static size_t match_set(struct wh_slice pattern, size_t at, char c, bool *out_is_in)
{
    size_t i = at + 1;
    bool is_negated = i < pattern.len && (pattern.ptr[i] == '!' || pattern.ptr[i] == '^');
    bool is_in = false;
    i += is_negated;
    for (size_t first = i; i < pattern.len; i++) {
        if (pattern.ptr[i] == ']' && i > first) {
            *out_is_in = is_in != is_negated;
            return i + 1;
        }
        unsigned char low = (unsigned char)pattern.ptr[i], high = low;
        if (i + 2 < pattern.len && pattern.ptr[i + 1] == '-' && pattern.ptr[i + 2] != ']') {
            high = (unsigned char)pattern.ptr[i + 2];
            i += 2;
        }
        is_in |= (unsigned char)c >= low && (unsigned char)c <= high;
    }
    return 0;
}

/* The pattern's next piece, which is no star, against one byte: the place behind it, or 0. */
static size_t match_one(struct wh_slice pattern, size_t at, char c)
{
    bool is_in = false;
    switch (pattern.ptr[at]) {
    case '?':
        return at + 1;
    case '[': {
        size_t behind = match_set(pattern, at, c, &is_in);
        if (behind)
            return is_in ? behind : 0;
        break;
    }
    case '\\':
        if (at + 1 < pattern.len)
            return pattern.ptr[at + 1] == c ? at + 2 : 0;
        break;
    default:
        break;
    }
    return pattern.ptr[at] == c ? at + 1 : 0;
}

bool glob_matches(struct wh_slice pattern, struct wh_slice text)
{
    size_t p = 0, t = 0;
    size_t star = 0, taken = 0; /* behind the last star, and where its run ends now */
    bool has_star = false;
    while (t < text.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            has_star = true;
            star = ++p;
            taken = t;
            continue;
        }
        size_t behind = p < pattern.len ? match_one(pattern, p, text.ptr[t]) : 0;
        if (behind) {
            p = behind;
            t++;
        } else if (has_star) {
            p = star;
            t = ++taken;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.ptr[p] == '*')
        p++;
    return p == pattern.len;
}
