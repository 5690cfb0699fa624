#include "torture_alloc.h"

#include <wirehub/runtime.h>

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

static _Atomic size_t first = SIZE_MAX, last; /* numbers that fail */
static _Atomic size_t count;
static _Atomic bool has_failed;
static _Atomic long alive;

static bool fails(void)
{
    size_t number = atomic_fetch_add(&count, 1) + 1;
    if (number < atomic_load(&first) || number > atomic_load(&last))
        return false;
    atomic_store(&has_failed, true);
    return true;
}

static void *torture_malloc(size_t size)
{
    void *ptr = fails() ? NULL : malloc(size);
    if (ptr)
        atomic_fetch_add(&alive, 1);
    return ptr;
}

static void *torture_realloc(void *ptr, size_t size)
{
    if (!ptr)
        return torture_malloc(size);
    return fails() ? NULL : realloc(ptr, size);
}

static void torture_free(void *ptr)
{
    if (ptr)
        atomic_fetch_sub(&alive, 1);
    free(ptr);
}

void torture_alloc_install(void)
{
    wh_set_allocator(torture_malloc, torture_realloc, torture_free);
}

void torture_alloc_arm(size_t nth, bool goes_on)
{
    atomic_store(&first, SIZE_MAX); /* none, while the others change */
    atomic_store(&count, 0);
    atomic_store(&has_failed, false);
    atomic_store(&last, goes_on ? SIZE_MAX : nth);
    atomic_store(&first, nth);
}

void torture_alloc_disarm(void)
{
    atomic_store(&first, SIZE_MAX);
    atomic_store(&last, 0);
}

bool torture_alloc_has_failed(void)
{
    return atomic_load(&has_failed);
}

size_t torture_alloc_count(void)
{
    return atomic_load(&count);
}

long torture_alloc_alive(void)
{
    return atomic_load(&alive);
}
