/*
 * Three function pointers with libc behind them.  calloc is derived, because
 * the three are all that a library user is asked for; with libc installed we
 * still use its calloc, which knows which pages are zero already.
 */
#include "common/base/alloc.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const struct wh_allocator libc_allocator = {malloc, realloc, free};
static struct wh_allocator installed = {malloc, realloc, free};
static bool is_libc = true;

void *wh_malloc(size_t size)
{
    return installed.malloc_fn(size);
}

void *wh_calloc(size_t count, size_t size)
{
    if (is_libc)
        return calloc(count, size);
    if (size != 0 && count > SIZE_MAX / size)
        return NULL;
    void *ptr = installed.malloc_fn(count * size);
    if (ptr)
        memset(ptr, 0, count * size);
    return ptr;
}

void *wh_realloc(void *ptr, size_t size)
{
    return installed.realloc_fn(ptr, size);
}

void wh_free(void *ptr)
{
    installed.free_fn(ptr);
}

void wh_alloc_set(const struct wh_allocator *allocator)
{
    is_libc = !allocator;
    installed = allocator ? *allocator : libc_allocator;
}
