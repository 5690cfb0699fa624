/*
 * A stack of blocks, newest first; the head is the one being carved.  Blocks
 * double from 1 KiB to 16 KiB.  A request that would waste much of such a
 * block gets one of its own, put *behind* the head, so that the head's rest
 * stays usable.  Memory is zeroed as it is handed out, never in advance.
 *
 * Under AddressSanitizer the bytes not handed out are poisoned: a slice that
 * outlives wh_arena_reset is reported like any use after free.
 */
#include "common/base/arena.h"

#include "common/base/alloc.h"

#include <stdalign.h>
#include <stdint.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_POISONS 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define ARENA_POISONS 1
#endif
#if defined(ARENA_POISONS)
#include <sanitizer/asan_interface.h>
#define POISON(ptr, len)   ASAN_POISON_MEMORY_REGION(ptr, len)
#define UNPOISON(ptr, len) ASAN_UNPOISON_MEMORY_REGION(ptr, len)
#else
#define POISON(ptr, len)   ((void)(ptr), (void)(len))
#define UNPOISON(ptr, len) ((void)(ptr), (void)(len))
#endif

enum { ALIGNMENT = 16, BLOCK_MIN = 1024, BLOCK_MAX = 16 * 1024, OWN_BLOCK_MIN = BLOCK_MAX / 4 };

struct wh_arena_block {
    struct wh_arena_block *next;
    size_t cap;   /* bytes in `data` */
    size_t used;  /* of them, handed out */
    bool is_lent; /* by wh_arena_init_in: not ours to free */
    alignas(ALIGNMENT) char data[];
};

/* Set at compile time from the struct, because the flexible array sits behind padding. */
static const size_t overhead = sizeof(struct wh_arena_block);

void wh_arena_init(struct wh_arena *arena, size_t limit)
{
    *arena = (struct wh_arena){.limit = limit};
}

void wh_arena_init_in(struct wh_arena *arena, size_t limit, void *memory, size_t size)
{
    struct wh_arena_block *block = memory;
    wh_arena_init(arena, limit);
    if (size <= overhead)
        return;
    block->next = NULL;
    block->cap = (size - overhead) & ~(size_t)(ALIGNMENT - 1);
    block->used = 0;
    block->is_lent = true;
    POISON(block->data, block->cap);
    arena->blocks = block;
}

static void block_free(struct wh_arena_block *block)
{
    UNPOISON(block->data, block->cap);
    if (!block->is_lent)
        wh_free(block);
}

static void blocks_free(struct wh_arena_block *block)
{
    while (block) {
        struct wh_arena_block *next = block->next;
        block_free(block);
        block = next;
    }
}

void wh_arena_deinit(struct wh_arena *arena)
{
    blocks_free(arena->blocks);
    arena->blocks = NULL;
    arena->used = 0;
}

/* One block stays for the next message, unless only oversized or lent ones are there. */
void wh_arena_reset(struct wh_arena *arena)
{
    struct wh_arena_block **link = &arena->blocks;
    while (*link && ((*link)->is_lent || (*link)->cap + overhead > BLOCK_MAX))
        link = &(*link)->next;
    struct wh_arena_block *kept = *link;
    if (kept) {
        *link = kept->next;
        kept->next = NULL;
        kept->used = 0;
        POISON(kept->data, kept->cap);
    }
    blocks_free(arena->blocks);
    arena->blocks = kept;
    arena->used = 0;
}

size_t wh_arena_held(const struct wh_arena *arena)
{
    size_t held = 0;
    for (const struct wh_arena_block *block = arena->blocks; block; block = block->next)
        held += block->is_lent ? 0 : overhead + block->cap;
    return held;
}

static struct wh_arena_block *block_new(size_t cap)
{
    struct wh_arena_block *block = wh_malloc(overhead + cap);
    if (!block)
        return NULL;
    block->next = NULL;
    block->cap = cap;
    block->used = 0;
    block->is_lent = false;
    POISON(block->data, cap);
    return block;
}

/* The block that `size` bytes are carved from, added to the arena when new. */
static struct wh_arena_block *block_for(struct wh_arena *arena, size_t size)
{
    struct wh_arena_block *head = arena->blocks;
    if (head && size <= head->cap - head->used)
        return head;
    bool own = size >= OWN_BLOCK_MIN;
    size_t total = head && !own ? (head->cap + overhead) * 2 : BLOCK_MIN;
    if (total > BLOCK_MAX)
        total = BLOCK_MAX;
    while (total - overhead < size && total < BLOCK_MAX)
        total *= 2;
    struct wh_arena_block *block = block_new(own ? size : total - overhead);
    if (!block)
        return NULL;
    if (own && head) {
        block->next = head->next;
        head->next = block;
    } else {
        block->next = head;
        arena->blocks = block;
    }
    return block;
}

void *wh_arena_alloc(struct wh_arena *arena, size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    /* Rounded up before it is counted: the limit is on what we really spend.  Nothing costs one
     * unit, or endless empty requests would be free. */
    size = size != 0 ? (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1) : ALIGNMENT;
    if (arena->limit != 0 && (arena->used > arena->limit || size > arena->limit - arena->used))
        return NULL;
    struct wh_arena_block *block = block_for(arena, size);
    if (!block)
        return NULL;
    char *ptr = block->data + block->used;
    block->used += size;
    arena->used += size;
    UNPOISON(ptr, size);
    memset(ptr, 0, size);
    return ptr;
}

void *wh_arena_alloc_array(struct wh_arena *arena, size_t count, size_t size)
{
    if (size != 0 && count > SIZE_MAX / size)
        return NULL;
    return wh_arena_alloc(arena, count * size);
}

struct wh_slice wh_arena_copy(struct wh_arena *arena, struct wh_slice slice)
{
    if (!slice.ptr || slice.len == SIZE_MAX)
        return WH_SLICE_ABSENT;
    char *copy = wh_arena_alloc(arena, slice.len + 1);
    if (!copy)
        return WH_SLICE_ABSENT;
    memcpy(copy, slice.ptr, slice.len);
    return wh_slice(copy, slice.len);
}
