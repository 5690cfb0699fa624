/*
 * Two walks over the sender's tree: one checks every rule and counts, one fills an allocation of
 * just that size:
 *
 *     struct filter | nodes, parents before children | values | canonical text
 *
 * Each node knows where its subtree ends, which is where its next sibling begins, so the tree needs
 * no pointers between nodes.  The canonical text spells the tree out with a length before
 * everything that varies; keys and values point into it.  Two filters are equal when these texts
 * are.
 *
 * The values of a leaf are sorted and distinct: a second spelling of one set is the same filter,
 * and `in` is a binary search.
 */
#include "hub/filter.h"

#include "common/base/alloc.h"
#include "common/base/map.h"
#include "hub/decimal.h"

#include <stdlib.h>

enum op { OP_LEAF, OP_AND, OP_OR, OP_NOT, OP_COUNT };

static const char *const op_names[OP_COUNT] = {"", "and", "or", "not"};

enum cmp {
    CMP_EQ,
    CMP_NEQ,
    CMP_STARTS_WITH,
    CMP_ENDS_WITH,
    CMP_CONTAINS,
    CMP_GREATER,
    CMP_GREATER_EQUAL,
    CMP_LESS,
    CMP_LESS_EQUAL,
    CMP_IN,
    CMP_NOT_IN,
    CMP_EXISTS,
    CMP_NOT_EXISTS,
    CMP_COUNT
};

enum operand { OPERAND_VAL, OPERAND_VALS, OPERAND_NONE };

static const struct {
    const char *name;
    enum operand operand;
} comparators[CMP_COUNT] = {
    [CMP_EQ] = {"eq", OPERAND_VAL},
    [CMP_NEQ] = {"neq", OPERAND_VAL},
    [CMP_STARTS_WITH] = {"sw", OPERAND_VAL},
    [CMP_ENDS_WITH] = {"ew", OPERAND_VAL},
    [CMP_CONTAINS] = {"ct", OPERAND_VAL},
    [CMP_GREATER] = {"gt", OPERAND_VAL},
    [CMP_GREATER_EQUAL] = {"gte", OPERAND_VAL},
    [CMP_LESS] = {"lt", OPERAND_VAL},
    [CMP_LESS_EQUAL] = {"lte", OPERAND_VAL},
    [CMP_IN] = {"in", OPERAND_VALS},
    [CMP_NOT_IN] = {"nin", OPERAND_VALS},
    [CMP_EXISTS] = {"ex", OPERAND_NONE},
    [CMP_NOT_EXISTS] = {"nex", OPERAND_NONE},
};

struct node {
    enum op op;
    enum cmp cmp;            /* of a leaf, like all below `end` */
    size_t end;              /* index of the first node behind this subtree */
    struct wh_slice key;     /* in the canonical text */
    struct wh_slice *values; /* likewise; sorted, distinct */
    size_t value_count;
    struct decimal number; /* of the only value */
    bool is_number;        /* whether that value is one */
};

struct filter {
    struct node *nodes;
    size_t node_count;
    struct wh_slice *values;
    size_t value_count;
    char *text; /* the canonical one */
    size_t text_len;
    uint64_t hash;
};

/* Checking and counting. */

struct measure {
    size_t nodes, values, text;
};

/* In the canonical text: op, comparator, and three counts or lengths; a length for each value. */
enum { NODE_TEXT = 2 + 3 * sizeof(uint32_t), VALUE_TEXT = sizeof(uint32_t) };

/* OP_COUNT when `name` is none. */
static enum op find_op(struct wh_slice name)
{
    enum op op = OP_LEAF;
    while (op < OP_COUNT && !wh_slice_equal_str(name, op_names[op]))
        op++;
    return op;
}

static enum cmp find_cmp(struct wh_slice name)
{
    enum cmp cmp = CMP_EQ;
    while (cmp < CMP_COUNT && !wh_slice_equal_str(name, comparators[cmp].name))
        cmp++;
    return cmp;
}

/* What the leaf compares with; no items when it takes no operand. */
static struct wh_strings operands(const struct wh_filter_node *leaf, enum cmp cmp)
{
    switch (comparators[cmp].operand) {
    case OPERAND_VAL:
        return (struct wh_strings){(struct wh_slice *)(uintptr_t)&leaf->val, 1};
    case OPERAND_VALS:
        return leaf->vals;
    case OPERAND_NONE:
        break;
    }
    return (struct wh_strings){NULL, 0};
}

static enum wh_err measure_leaf(const struct wh_filter_node *leaf, struct measure *total)
{
    enum cmp cmp = find_cmp(leaf->cmp);
    if (cmp == CMP_COUNT || leaf->key.len == 0)
        return WH_EFORMAT;
    enum operand operand = comparators[cmp].operand;
    bool wants_val = operand == OPERAND_VAL, wants_vals = operand == OPERAND_VALS;
    if ((leaf->val.len > 0) != wants_val || (leaf->vals.count > 0) != wants_vals)
        return WH_EFORMAT;
    struct wh_strings values = operands(leaf, cmp);
    if (values.count > FILTER_VALUES_MAX - total->values)
        return WH_EFORMAT;
    total->values += values.count;
    total->text += leaf->key.len;
    for (size_t i = 0; i < values.count; i++)
        total->text += values.items[i].len;
    return total->text > FILTER_TEXT_MAX ? WH_EFORMAT : WH_OK;
}

static enum wh_err measure_node(const struct wh_filter_node *node,
                                size_t depth,
                                struct measure *total)
{
    enum op op = find_op(node->op);
    if (op == OP_COUNT || depth > FILTER_DEPTH_MAX || ++total->nodes > FILTER_NODES_MAX)
        return WH_EFORMAT;
    if (op == OP_LEAF)
        return measure_leaf(node, total);
    if (node->nodes.count == 0 || (op == OP_NOT && node->nodes.count != 1))
        return WH_EFORMAT;
    for (size_t i = 0; i < node->nodes.count; i++) {
        enum wh_err err = measure_node(&node->nodes.items[i], depth + 1, total);
        if (err)
            return err;
    }
    return WH_OK;
}

/* Compiling.  Nothing in here can fail: the room was measured. */

static int compare_values(const void *left, const void *right)
{
    const struct wh_slice *a = left, *b = right;
    size_t shorter = a->len < b->len ? a->len : b->len;
    int order = shorter ? memcmp(a->ptr, b->ptr, shorter) : 0;
    return order ? order : (a->len > b->len) - (a->len < b->len);
}

static void put_byte(struct filter *filter, unsigned byte)
{
    filter->text[filter->text_len++] = (char)byte;
}

static void put_count(struct filter *filter, size_t count)
{
    uint32_t number = (uint32_t)count;
    memcpy(filter->text + filter->text_len, &number, sizeof(number));
    filter->text_len += sizeof(number);
}

/* Append with its length; the copy. */
static struct wh_slice put_slice(struct filter *filter, struct wh_slice slice)
{
    put_count(filter, slice.len);
    struct wh_slice copy = wh_slice(filter->text + filter->text_len, slice.len);
    if (slice.len > 0)
        memcpy(filter->text + filter->text_len, slice.ptr, slice.len);
    filter->text_len += slice.len;
    return copy;
}

static void put_values(struct filter *filter, struct node *node, struct wh_strings values)
{
    node->values = filter->values + filter->value_count;
    if (values.count > 0) {
        memcpy(node->values, values.items, values.count * sizeof(*values.items));
        qsort(node->values, values.count, sizeof(*node->values), compare_values);
    }
    for (size_t i = 0; i < values.count; i++)
        if (i == 0 || !wh_slice_equal(node->values[i], node->values[node->value_count - 1]))
            node->values[node->value_count++] = node->values[i];
    filter->value_count += node->value_count;
    put_count(filter, node->value_count);
    for (size_t i = 0; i < node->value_count; i++)
        node->values[i] = put_slice(filter, node->values[i]);
    node->is_number = node->value_count == 1 && decimal_parse(node->values[0], &node->number);
}

static void compile(struct filter *filter, const struct wh_filter_node *from)
{
    struct node *node = &filter->nodes[filter->node_count++];
    node->op = find_op(from->op);
    put_byte(filter, node->op);
    if (node->op == OP_LEAF) {
        node->cmp = find_cmp(from->cmp);
        put_byte(filter, node->cmp);
        node->key = put_slice(filter, from->key);
        put_values(filter, node, operands(from, node->cmp));
    } else {
        put_count(filter, from->nodes.count);
        for (size_t i = 0; i < from->nodes.count; i++)
            compile(filter, &from->nodes.items[i]);
    }
    node->end = filter->node_count;
}

enum wh_err filter_new(const struct wh_filter_node *root, struct filter **out_filter)
{
    struct measure total = {0};
    enum wh_err err = measure_node(root, 1, &total);
    if (err)
        return err;
    size_t text_max = total.nodes * NODE_TEXT + total.values * VALUE_TEXT + total.text;
    struct filter *filter = wh_calloc(1, sizeof(*filter) + total.nodes * sizeof(*filter->nodes) +
                                             total.values * sizeof(*filter->values) + text_max);
    if (!filter)
        return WH_ENOMEM;
    filter->nodes = (struct node *)(filter + 1);
    filter->values = (struct wh_slice *)(filter->nodes + total.nodes);
    filter->text = (char *)(filter->values + total.values);
    compile(filter, root);
    WH_ASSERT(filter->text_len <= text_max);
    filter->hash = wh_hash(wh_slice(filter->text, filter->text_len));
    *out_filter = filter;
    return WH_OK;
}

void filter_free(struct filter *filter)
{
    wh_free(filter);
}

/* Asking.  A single value is never empty. */

static const struct wh_slice *find_tag(const struct wh_string_map *tags, struct wh_slice key)
{
    for (size_t i = tags->count; i-- > 0;)
        if (wh_slice_equal(tags->items[i].key, key))
            return &tags->items[i].value;
    return NULL;
}

static bool ends_with(struct wh_slice text, struct wh_slice end)
{
    return text.len >= end.len && memcmp(text.ptr + (text.len - end.len), end.ptr, end.len) == 0;
}

static bool contains(struct wh_slice text, struct wh_slice part)
{
    return text.len >= part.len && memmem(text.ptr, text.len, part.ptr, part.len);
}

static bool is_listed(const struct node *leaf, const struct wh_slice *tag)
{
    struct wh_slice value = tag ? *tag : WH_SLICE_LITERAL("");
    return bsearch(&value, leaf->values, leaf->value_count, sizeof(value), compare_values);
}

static bool compares(const struct node *leaf, struct wh_slice tag)
{
    struct decimal number;
    if (!leaf->is_number || !decimal_parse(tag, &number))
        return false;
    int order = decimal_compare(&number, &leaf->number);
    switch (leaf->cmp) {
    case CMP_GREATER:
        return order > 0;
    case CMP_GREATER_EQUAL:
        return order >= 0;
    case CMP_LESS:
        return order < 0;
    default:
        return order <= 0;
    }
}

/* The comparators that match nothing without a tag. */
static bool tag_matches(const struct node *leaf, struct wh_slice tag)
{
    switch (leaf->cmp) {
    case CMP_EQ:
        return wh_slice_equal(tag, leaf->values[0]);
    case CMP_STARTS_WITH:
        return wh_slice_starts_with(tag, leaf->values[0]);
    case CMP_ENDS_WITH:
        return ends_with(tag, leaf->values[0]);
    case CMP_CONTAINS:
        return contains(tag, leaf->values[0]);
    default:
        return compares(leaf, tag);
    }
}

static bool leaf_matches(const struct node *leaf, const struct wh_string_map *tags)
{
    const struct wh_slice *tag = find_tag(tags, leaf->key);
    switch (leaf->cmp) {
    case CMP_EXISTS:
        return tag;
    case CMP_NOT_EXISTS:
        return !tag;
    case CMP_IN:
        return is_listed(leaf, tag);
    case CMP_NOT_IN:
        return !is_listed(leaf, tag);
    case CMP_NEQ:
        return !tag || !wh_slice_equal(*tag, leaf->values[0]);
    default:
        return tag && tag_matches(leaf, *tag);
    }
}

static bool node_matches(const struct filter *filter,
                         size_t index,
                         const struct wh_string_map *tags)
{
    const struct node *node = &filter->nodes[index];
    if (node->op == OP_LEAF)
        return leaf_matches(node, tags);
    if (node->op == OP_NOT)
        return !node_matches(filter, index + 1, tags);
    /* The first child that says `decisive` decides. */
    bool decisive = node->op == OP_OR;
    for (size_t child = index + 1; child < node->end; child = filter->nodes[child].end)
        if (node_matches(filter, child, tags) == decisive)
            return decisive;
    return !decisive;
}

bool filter_matches(const struct filter *filter, const struct wh_string_map *tags)
{
    return node_matches(filter, 0, tags);
}

bool filter_equal(const struct filter *a, const struct filter *b)
{
    return a->hash == b->hash &&
           wh_slice_equal(wh_slice(a->text, a->text_len), wh_slice(b->text, b->text_len));
}

uint64_t filter_hash(const struct filter *filter)
{
    return filter->hash;
}
