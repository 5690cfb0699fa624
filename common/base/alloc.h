/*
 * The one door to the heap for everything in common/ (and later the SDK,
 * whose users may bring their own allocator).  Freed by wh_free only.
 *
 * Any thread, as far as the installed functions allow it.
 */
#ifndef WH_BASE_ALLOC_H
#define WH_BASE_ALLOC_H

#include <stddef.h>

/* NULL on failure, as in libc; a size of 0 may give NULL. */
void *wh_malloc(size_t size);
void *wh_calloc(size_t count, size_t size); /* zeroed; NULL on overflow as well */
void *wh_realloc(void *ptr, size_t size);   /* on failure `ptr` stays valid */
void wh_free(void *ptr);                    /* NULL is fine */

struct wh_allocator {
    void *(*malloc_fn)(size_t size);
    void *(*realloc_fn)(void *ptr, size_t size);
    void (*free_fn)(void *ptr);
};

/* Copied; NULL restores libc.  Call it before anything is allocated and before threads start:
 * memory goes back through the functions installed at that time. */
void wh_alloc_set(const struct wh_allocator *allocator);

#endif
