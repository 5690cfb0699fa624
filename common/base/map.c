/*
 * Linear probing over a power of two of slots, at most three quarters full.
 * The full hash is kept beside the key: most mismatches are told apart
 * without touching the key, and growing never hashes again.
 *
 * Invariant: from a key's home slot to its slot there is no empty one.
 * Removal restores it by shifting the followers back, so there are no
 * tombstones and a table does not slow down with age.
 */
#include "common/base/map.h"

#include "common/base/alloc.h"
#include "common/base/random.h"
#include "common/base/siphash.h"

#include <pthread.h>

enum { CAPACITY_MIN = 8 };

struct wh_map_slot {
    const char *key;
    size_t key_len;
    uint64_t hash;
    void *value; /* NULL: the slot is empty */
};

static unsigned char process_key[16];
static pthread_once_t process_key_once = PTHREAD_ONCE_INIT;

static void make_process_key(void)
{
    wh_random_kernel(process_key, sizeof process_key);
}

uint64_t wh_hash(struct wh_slice key)
{
    pthread_once(&process_key_once, make_process_key);
    return wh_siphash13(process_key, key);
}

void wh_map_deinit(struct wh_map *map)
{
    wh_free(map->slots);
    *map = (struct wh_map){0};
}

static bool slot_holds(const struct wh_map_slot *slot, struct wh_slice key, uint64_t hash)
{
    return slot->hash == hash && wh_slice_equal(wh_slice(slot->key, slot->key_len), key);
}

/* The index of `key`, or of the empty slot where it belongs.  Not for a table without slots. */
static size_t find(const struct wh_map *map, struct wh_slice key, uint64_t hash)
{
    size_t mask = map->capacity - 1;
    size_t index = hash & mask;
    while (map->slots[index].value && !slot_holds(&map->slots[index], key, hash))
        index = (index + 1) & mask;
    return index;
}

/* Move everything into `capacity` slots; nothing changes when memory is short. */
static enum wh_err resize(struct wh_map *map, size_t capacity)
{
    struct wh_map_slot *slots = wh_calloc(capacity, sizeof *slots);
    if (!slots)
        return WH_ENOMEM;
    size_t mask = capacity - 1;
    for (size_t i = 0; i < map->capacity; i++) {
        const struct wh_map_slot *slot = &map->slots[i];
        if (!slot->value)
            continue;
        size_t index = slot->hash & mask;
        while (slots[index].value)
            index = (index + 1) & mask;
        slots[index] = *slot;
    }
    wh_free(map->slots);
    map->slots = slots;
    map->capacity = capacity;
    return WH_OK;
}

void *wh_map_get(const struct wh_map *map, struct wh_slice key)
{
    if (map->count == 0)
        return NULL;
    return map->slots[find(map, key, wh_hash(key))].value;
}

enum wh_err wh_map_add(struct wh_map *map, struct wh_slice key, void *value)
{
    WH_ASSERT(value != NULL);
    uint64_t hash = wh_hash(key);
    if (map->count != 0 && map->slots[find(map, key, hash)].value)
        return WH_EEXIST;
    if (map->count >= map->capacity / 4 * 3) {
        enum wh_err err = resize(map, map->capacity != 0 ? map->capacity * 2 : CAPACITY_MIN);
        if (err != WH_OK)
            return err;
    }
    map->slots[find(map, key, hash)] = (struct wh_map_slot){key.ptr, key.len, hash, value};
    map->count++;
    return WH_OK;
}

/* Close the hole at `hole`: each follower that may move back into it does, leaving a new hole. */
static void shift_back(struct wh_map *map, size_t hole)
{
    size_t mask = map->capacity - 1;
    for (size_t i = (hole + 1) & mask; map->slots[i].value; i = (i + 1) & mask) {
        size_t home = map->slots[i].hash & mask;
        /* It stays when its home lies cyclically in (hole, i]: then the hole is not on its path. */
        if (((i - home) & mask) < ((i - hole) & mask))
            continue;
        map->slots[hole] = map->slots[i];
        hole = i;
    }
    map->slots[hole] = (struct wh_map_slot){0};
}

void *wh_map_remove(struct wh_map *map, struct wh_slice key)
{
    if (map->count == 0)
        return NULL;
    size_t index = find(map, key, wh_hash(key));
    void *value = map->slots[index].value;
    if (!value)
        return NULL;
    shift_back(map, index);
    map->count--;
    /* Shrinking at an eighth and growing at three quarters keeps both from alternating.  Without
     * memory for the smaller table the larger one does. */
    if (map->capacity > CAPACITY_MIN && map->count <= map->capacity / 8)
        (void)resize(map, map->capacity / 2);
    return value;
}

void *wh_map_next(const struct wh_map *map, size_t *cursor)
{
    while (*cursor < map->capacity) {
        void *value = map->slots[(*cursor)++].value;
        if (value)
            return value;
    }
    return NULL;
}
