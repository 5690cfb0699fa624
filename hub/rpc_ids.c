/*
 * An array of slots that doubles up to its limit and never shrinks: what it
 * costs is 16 bytes for each call of the busiest moment.  Free slots are a
 * stack: the one that came free last is used next and still in the cache.
 */
#include "hub/rpc_ids.h"

#include "common/base/alloc.h"

#include <stddef.h>

enum { CAPACITY_MIN = 64 };

struct rpc_id_slot {
    void *value;       /* NULL = free */
    uint32_t sequence; /* of the call that has it, or had it last */
    uint32_t next_free;
};

void rpc_ids_deinit(struct rpc_ids *ids)
{
    wh_free(ids->slots);
    *ids = (struct rpc_ids){0};
}

static enum wh_err grow(struct rpc_ids *ids)
{
    uint32_t capacity = ids->capacity ? ids->capacity * 2 : CAPACITY_MIN;
    if (capacity > ids->max)
        capacity = ids->max;
    if (capacity == ids->capacity)
        return WH_ELIMIT;
    struct rpc_id_slot *slots = wh_realloc(ids->slots, capacity * sizeof(*slots));
    if (slots == NULL)
        return WH_ENOMEM;
    for (uint32_t i = ids->capacity; i < capacity; i++)
        slots[i] = (struct rpc_id_slot){.next_free = i + 1}; /* the last: capacity = none */
    ids->slots = slots;
    ids->first_free = ids->capacity;
    ids->capacity = capacity;
    return WH_OK;
}

enum wh_err rpc_ids_take(struct rpc_ids *ids, void *value, uint64_t *out_id)
{
    if (ids->used == ids->capacity) {
        enum wh_err err = grow(ids);
        if (err)
            return err;
    }
    uint32_t index = ids->first_free;
    struct rpc_id_slot *slot = &ids->slots[index];
    ids->first_free = slot->next_free;
    ids->used++;
    slot->value = value;
    slot->sequence++;
    *out_id = (uint64_t)slot->sequence << RPC_IDS_SLOT_BITS | index;
    return WH_OK;
}

static struct rpc_id_slot *find(const struct rpc_ids *ids, uint64_t id)
{
    uint64_t index = id & ((UINT64_C(1) << RPC_IDS_SLOT_BITS) - 1);
    if (index >= ids->capacity)
        return NULL;
    struct rpc_id_slot *slot = &ids->slots[index];
    return slot->value && slot->sequence == id >> RPC_IDS_SLOT_BITS ? slot : NULL;
}

void *rpc_ids_find(const struct rpc_ids *ids, uint64_t id)
{
    const struct rpc_id_slot *slot = find(ids, id);
    return slot ? slot->value : NULL;
}

void rpc_ids_release(struct rpc_ids *ids, uint64_t id)
{
    struct rpc_id_slot *slot = find(ids, id);
    WH_ASSERT(slot != NULL);
    slot->value = NULL;
    slot->next_free = ids->first_free;
    ids->first_free = (uint32_t)(slot - ids->slots);
    ids->used--;
}
