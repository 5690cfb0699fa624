/*
 * Bump memory for one message: many small allocations, freed all at once.
 * wh_arena_reset keeps one block of at most 16 KiB for the next message.
 * `limit` bounds what hostile input can make us allocate.
 * Zero-initialised is a valid empty arena without limit.  One thread.
 */
#ifndef WH_BASE_ARENA_H
#define WH_BASE_ARENA_H

#include "common/base/err.h"
#include "common/base/slice.h"

struct wh_arena_block;

struct wh_arena {
    struct wh_arena_block *blocks; /* newest first */
    size_t used;                   /* bytes since the last reset, in units of 16 */
    size_t limit;                  /* bytes; 0 = none */
};

void wh_arena_init(struct wh_arena *arena, size_t limit);
/* The same, with `size` bytes at `memory` (aligned to 16, the caller's, valid until deinit) to
 * begin with: who allocates an object with an arena allocates both at once.  Some 32 bytes of it
 * are spent; too few are not used at all.  A reset arena does without it. */
void wh_arena_init_in(struct wh_arena *arena, size_t limit, void *memory, size_t size);
void wh_arena_deinit(struct wh_arena *arena);
void wh_arena_reset(struct wh_arena *arena);

/* Bytes that it has of the allocator. */
size_t wh_arena_held(const struct wh_arena *arena);

/* `size` zeroed bytes aligned for any type; NULL when memory or `limit` is exhausted.
 * A size of 0 gives a valid pointer. */
void *wh_arena_alloc(struct wh_arena *arena, size_t size);

/* `count` × `size` zeroed bytes; NULL on overflow as well. */
void *wh_arena_alloc_array(struct wh_arena *arena, size_t count, size_t size);

/* A copy of `slice` with a NUL behind it; ptr NULL on failure.  The absent slice stays absent:
 * where that can happen, ask before copying. */
struct wh_slice wh_arena_copy(struct wh_arena *arena, struct wh_slice slice);

#endif
