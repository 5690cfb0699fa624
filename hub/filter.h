/*
 * Tags filters: the tree that a subscriber sends to see only some of the
 * publications of a channel, compiled once and asked once per publication.
 *
 * A node is a leaf (`op` empty) or `and`, `or` (one child or more), `not`
 * (exactly one).  A leaf compares the tag `key`, which must not be empty:
 *
 *     cmp                operand        without the tag
 *     eq sw ew ct        val            no match
 *     neq                val            match
 *     gt gte lt lte      val            no match
 *     in nin             vals           compared as the empty text
 *     ex nex             none           the question itself
 *
 * Texts compare byte for byte.  The numeric four want decimals (decimal.h) on
 * both sides and match nothing when either is none.  An operand that the
 * comparator does not take is an error; members that the kind of node does not
 * have (`key` of an `and`, `nodes` of a leaf) are ignored.
 *
 * A filter owns all that it needs in one allocation and never changes.  Pure: any thread.
 */
#ifndef HUB_FILTER_H
#define HUB_FILTER_H

#include "common/base/err.h"
#include "common/protocol/model.h"

/* What one filter may cost, in memory for a subscription's life and in time per publication. */
enum {
    FILTER_NODES_MAX = 100,
    FILTER_DEPTH_MAX = 16,    /* a lone leaf is 1 deep */
    FILTER_VALUES_MAX = 1000, /* of all leaves together */
    FILTER_TEXT_MAX = 32768   /* bytes of all keys and values together */
};

struct filter;

/*
 * Compile `root`, which is only read and not kept.
 * WH_EFORMAT (reply 107) when it breaks a rule or one of the limits above; WH_ENOMEM.
 */
WH_MUST_CHECK enum wh_err filter_new(const struct wh_filter_node *root, struct filter **out_filter);
void filter_free(struct filter *filter); /* NULL is fine */

/* Whether a publication with `tags` passes.  Allocates nothing; O(nodes × tags).  Of tags with
 * one key the last counts. */
bool filter_matches(const struct filter *filter, const struct wh_string_map *tags);

/*
 * Whether two filters are the same tree (the order and number of equal `vals` aside), so that one
 * evaluation answers for both; equal filters have equal hashes.  The hash is seeded per process.
 */
bool filter_equal(const struct filter *a, const struct filter *b);
uint64_t filter_hash(const struct filter *filter);

#endif
