/*
 * A borrowed run of bytes.  Never owns, never NUL-terminated by promise.
 * `ptr == NULL` means absent; an empty slice that is present has a non-NULL ptr.
 */
#ifndef WH_BASE_SLICE_H
#define WH_BASE_SLICE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct wh_slice {
    const char *ptr;
    size_t len;
};

#define WH_SLICE_LITERAL(text) ((struct wh_slice){(text), sizeof(text) - 1})
#define WH_SLICE_ABSENT        ((struct wh_slice){NULL, 0})

/* For printf's "%.*s". */
#define WH_SLICE_ARGS(slice) wh_slice_precision(slice), (slice).ptr ? (slice).ptr : ""

/* printf takes a precision that went negative for none at all, and reads on to a NUL. */
static inline int wh_slice_precision(struct wh_slice slice)
{
    return slice.len < INT_MAX ? (int)slice.len : INT_MAX;
}

static inline struct wh_slice wh_slice(const void *ptr, size_t len)
{
    return (struct wh_slice){(const char *)ptr, len};
}

/* NULL gives the absent slice. */
static inline struct wh_slice wh_slice_from_str(const char *text)
{
    return (struct wh_slice){text, text ? strlen(text) : 0};
}

static inline bool wh_slice_is_empty(struct wh_slice slice)
{
    return slice.len == 0;
}

static inline bool wh_slice_equal(struct wh_slice a, struct wh_slice b)
{
    return a.len == b.len && (a.len == 0 || (a.ptr && b.ptr && memcmp(a.ptr, b.ptr, a.len) == 0));
}

static inline bool wh_slice_equal_str(struct wh_slice a, const char *text)
{
    return wh_slice_equal(a, wh_slice_from_str(text));
}

static inline bool wh_slice_starts_with(struct wh_slice slice, struct wh_slice prefix)
{
    return slice.len >= prefix.len &&
           (prefix.len == 0 || memcmp(slice.ptr, prefix.ptr, prefix.len) == 0);
}

/* Bytes from `from` on; the empty tail when `from` is past the end. */
static inline struct wh_slice wh_slice_from(struct wh_slice slice, size_t from)
{
    if (from > slice.len)
        from = slice.len;
    return (struct wh_slice){slice.ptr ? slice.ptr + from : NULL, slice.len - from};
}

/* Without the spaces and tabs around it: optional white space of HTTP headers (RFC 9110 §5.6.3). */
static inline struct wh_slice wh_slice_trim(struct wh_slice slice)
{
    while (slice.len > 0 && (slice.ptr[0] == ' ' || slice.ptr[0] == '\t'))
        slice = wh_slice_from(slice, 1);
    while (slice.len > 0 && (slice.ptr[slice.len - 1] == ' ' || slice.ptr[slice.len - 1] == '\t'))
        slice.len--;
    return slice;
}

#endif
