/*
 * One block that doubles.  Invariants: len <= cap; `limit` bounds len, never
 * the block, which may hold one byte more for the NUL of wh_buf_cstr; once
 * `err` is set, nothing is written until wh_buf_reset.
 */
#include "common/base/buf.h"

#include "common/base/alloc.h"

#include <stdio.h>

enum { CAP_MIN = 64 };

void wh_buf_init(struct wh_buf *buf, size_t limit)
{
    *buf = (struct wh_buf){.limit = limit};
}

void wh_buf_deinit(struct wh_buf *buf)
{
    wh_free(buf->ptr);
    *buf = (struct wh_buf){.limit = buf->limit};
}

void wh_buf_reset(struct wh_buf *buf)
{
    buf->len = 0;
    buf->err = WH_OK;
}

void wh_buf_truncate(struct wh_buf *buf, size_t len)
{
    WH_ASSERT(len <= buf->len);
    buf->len = len;
}

void wh_buf_consume(struct wh_buf *buf, size_t count)
{
    if (count >= buf->len) {
        buf->len = 0;
        return;
    }
    if (count == 0)
        return;
    memmove(buf->ptr, buf->ptr + count, buf->len - count);
    buf->len -= count;
}

/* A block of at least `cap` bytes; doubling keeps appending O(1) on average. */
static bool ensure_cap(struct wh_buf *buf, size_t cap)
{
    if (cap <= buf->cap)
        return true;
    size_t grown = buf->cap > SIZE_MAX / 2 ? cap : buf->cap * 2;
    /* Doubling past the limit would only be memory that can never be used. */
    if (buf->limit != 0 && grown > buf->limit)
        grown = buf->limit;
    if (grown < cap)
        grown = cap;
    if (grown < CAP_MIN)
        grown = CAP_MIN;
    char *ptr = wh_realloc(buf->ptr, grown);
    if (!ptr) {
        buf->err = WH_ENOMEM;
        return false;
    }
    buf->ptr = ptr;
    buf->cap = grown;
    return true;
}

char *wh_buf_reserve(struct wh_buf *buf, size_t count)
{
    if (buf->err != WH_OK)
        return NULL;
    size_t limit = buf->limit != 0 ? buf->limit : SIZE_MAX;
    if (buf->len > limit || count > limit - buf->len) {
        buf->err = buf->limit != 0 ? WH_ELIMIT : WH_ENOMEM;
        return NULL;
    }
    /* At least one byte, so that reserving nothing still gives a valid pointer. */
    size_t cap = buf->len + count;
    if (!ensure_cap(buf, cap != 0 ? cap : 1))
        return NULL;
    return buf->ptr + buf->len;
}

void wh_buf_commit(struct wh_buf *buf, size_t count)
{
    WH_ASSERT(count <= buf->cap - buf->len);
    buf->len += count;
}

void wh_buf_append(struct wh_buf *buf, const void *ptr, size_t len)
{
    if (len == 0)
        return;
    char *room = wh_buf_reserve(buf, len);
    if (!room)
        return;
    memcpy(room, ptr, len);
    buf->len += len;
}

void wh_buf_append_slice(struct wh_buf *buf, struct wh_slice slice)
{
    wh_buf_append(buf, slice.ptr, slice.len);
}

void wh_buf_append_str(struct wh_buf *buf, const char *text)
{
    wh_buf_append(buf, text, strlen(text));
}

void wh_buf_append_char(struct wh_buf *buf, char c)
{
    char *room = wh_buf_reserve(buf, 1);
    if (!room)
        return;
    *room = c;
    buf->len++;
}

enum { U64_DIGITS = 20 };

/* Written backwards from the end of `digits`; the first one is returned. */
static char *write_decimal(char digits[U64_DIGITS], uint64_t number)
{
    char *first = digits + U64_DIGITS;
    do {
        *--first = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    return first;
}

void wh_buf_append_u64(struct wh_buf *buf, uint64_t number)
{
    char digits[U64_DIGITS];
    char *first = write_decimal(digits, number);
    wh_buf_append(buf, first, (size_t)(digits + U64_DIGITS - first));
}

void wh_buf_append_i64(struct wh_buf *buf, int64_t number)
{
    char digits[1 + U64_DIGITS];
    /* Negated as unsigned: INT64_MIN has no positive counterpart. */
    uint64_t magnitude = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    char *first = write_decimal(digits + 1, magnitude);
    if (number < 0)
        *--first = '-';
    wh_buf_append(buf, first, (size_t)(digits + sizeof digits - first));
}

void wh_buf_printf(struct wh_buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    wh_buf_vprintf(buf, format, args);
    va_end(args);
}

void wh_buf_vprintf(struct wh_buf *buf, const char *format, va_list args)
{
    if (buf->err != WH_OK)
        return;
    va_list measure;
    va_copy(measure, args);
    int len = vsnprintf(NULL, 0, format, measure);
    va_end(measure);
    if (len < 0) {
        buf->err = WH_ENOMEM;
        return;
    }
    /* vsnprintf wants room for its NUL, which does not count towards the limit. */
    if (!wh_buf_reserve(buf, (size_t)len) || !ensure_cap(buf, buf->len + (size_t)len + 1))
        return;
    vsnprintf(buf->ptr + buf->len, (size_t)len + 1, format, args);
    buf->len += (size_t)len;
}

enum wh_err wh_buf_error(const struct wh_buf *buf)
{
    return buf->err;
}

struct wh_slice wh_buf_slice(const struct wh_buf *buf)
{
    return wh_slice(buf->ptr ? buf->ptr : "", buf->len);
}

const char *wh_buf_cstr(struct wh_buf *buf)
{
    if (buf->err != WH_OK || !ensure_cap(buf, buf->len + 1))
        return "";
    buf->ptr[buf->len] = '\0';
    return buf->ptr;
}
