/*
 * Hash map from byte strings to pointers: open addressing, SipHash-1-3 with a
 * random per-process key, because the keys come from strangers.
 *
 * Keys are borrowed: they must live as long as the entry, which is why the
 * value usually embeds its key.  Values are never owned.
 * Zero-initialised is a valid empty map.
 */
#ifndef WH_BASE_MAP_H
#define WH_BASE_MAP_H

#include "common/base/err.h"
#include "common/base/slice.h"

#include <stdint.h>

struct wh_map_slot;

struct wh_map {
    struct wh_map_slot *slots;
    size_t count;
    size_t capacity; /* slots, a power of two or 0 */
};

void wh_map_deinit(struct wh_map *map);

/* NULL when absent. */
void *wh_map_get(const struct wh_map *map, struct wh_slice key);

/* WH_EEXIST (nothing changed) when the key is there; `value` must not be NULL. */
WH_MUST_CHECK enum wh_err wh_map_add(struct wh_map *map, struct wh_slice key, void *value);

/* The value taken out; NULL when absent.  Shrinks a sparse table, so memory follows use. */
void *wh_map_remove(struct wh_map *map, struct wh_slice key);

/* Walk in no particular order: start with *cursor = 0; NULL at the end.
 * Adding or removing while walking is not allowed. */
void *wh_map_next(const struct wh_map *map, size_t *cursor);

/* The seeded hash itself, for other tables keyed by strangers. */
uint64_t wh_hash(struct wh_slice key);

#endif
