/*
 * The ids of calls under way: a slot and how often it has been used.  So
 * looking one up is an index and a comparison, and an answer that comes after
 * its call has ended finds nothing, even when the slot has a new call.  Ids are
 * below 2^53: a service in a language whose numbers are doubles returns them
 * unharmed.  Pure.
 */
#ifndef HUB_RPC_IDS_H
#define HUB_RPC_IDS_H

#include "common/base/err.h"

#include <stdint.h>

enum { RPC_IDS_SLOT_BITS = 20 };

struct rpc_id_slot;

/* Zero-initialised is empty; set `max` (at most 2^20) before use. */
struct rpc_ids {
    struct rpc_id_slot *slots;
    uint32_t capacity;
    uint32_t used;
    uint32_t first_free; /* capacity = none */
    uint32_t max;
};

void rpc_ids_deinit(struct rpc_ids *ids);

/* An id for `value`, which is not NULL and never owned.  WH_ELIMIT: `max` are in use; WH_ENOMEM. */
WH_MUST_CHECK enum wh_err rpc_ids_take(struct rpc_ids *ids, void *value, uint64_t *out_id);

/* The value; NULL for an id that is not in use, whoever made it up. */
void *rpc_ids_find(const struct rpc_ids *ids, uint64_t id);

/* The id must be in use. */
void rpc_ids_release(struct rpc_ids *ids, uint64_t id);

#endif
