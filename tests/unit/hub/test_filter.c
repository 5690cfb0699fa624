/* Tags filters: every comparator, every invalid shape, and a naive evaluator as the judge. */
#include "hub/filter.h"

#include "common/base/arena.h"
#include "common/base/random.h"
#include "common/protocol/codec.h"
#include "tests/support/failing_alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct wh_arena arena;

static int setup(void **state)
{
    (void)state;
    wh_arena_init(&arena, 0);
    wh_random_seed(3);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    wh_arena_deinit(&arena);
    return 0;
}

/* The filter of a subscribe command, as it comes from a client. */
static struct wh_filter_node *parse(const char *json)
{
    struct wh_command *command = wh_arena_alloc(&arena, sizeof(*command));
    struct wh_buf text = {0};
    wh_buf_printf(&text, "{\"id\":1,\"subscribe\":{\"channel\":\"c\",\"tf\":%s}}", json);
    struct wh_slice rest = wh_arena_copy(&arena, wh_buf_slice(&text));
    wh_buf_deinit(&text);
    if (wh_decode(WH_ENCODING_JSON, &wh_command_schema, &rest, &arena, command))
        fail_msg("no JSON: %s", json);
    return command->subscribe->tf;
}

static struct filter *compile(const char *json)
{
    struct filter *filter = NULL;
    if (filter_new(parse(json), &filter))
        fail_msg("refused: %s", json);
    return filter;
}

/* "lang=en;prio=3", in pairs; NULL is no tags at all. */
static struct wh_string_map make_tags(const char *text)
{
    struct wh_string_map tags = {wh_arena_alloc_array(&arena, 8, sizeof(struct wh_string_pair)), 0};
    while (text && *text) {
        size_t len = strcspn(text, ";"), key = strcspn(text, "=");
        tags.items[tags.count++] =
            (struct wh_string_pair){wh_slice(text, key), wh_slice(text + key + 1, len - key - 1)};
        text += len + (text[len] == ';');
    }
    return tags;
}

static bool ask(const char *json, const char *tags_text)
{
    struct wh_string_map tags = make_tags(tags_text);
    struct filter *filter = compile(json);
    bool does_match = filter_matches(filter, &tags);
    filter_free(filter);
    return does_match;
}

#define LEAF(cmp, val)  "{\"key\":\"k\",\"cmp\":\"" cmp "\",\"val\":\"" val "\"}"
#define VALS(cmp, vals) "{\"key\":\"k\",\"cmp\":\"" cmp "\",\"vals\":[" vals "]}"
#define BARE(cmp)       "{\"key\":\"k\",\"cmp\":\"" cmp "\"}"

static const struct {
    const char *filter, *yes[4], *no[6];
} comparators[] = {
    {LEAF("eq", "en"), {"k=en", "a=b;k=en"}, {"k=e", "k=eng", "k=EN", "k=", "x=en", ""}},
    {LEAF("neq", "en"), {"k=fr", "k=", "", "x=en"}, {"k=en"}},
    {LEAF("sw", "en"), {"k=en", "k=english"}, {"k=e", "k=fren", "k=", ""}},
    {LEAF("ew", "en"), {"k=en", "k=open"}, {"k=n", "k=end", "k=", ""}},
    {LEAF("ct", "en"), {"k=en", "k=agenda", "k=open"}, {"k=ne", "k=e", "k=", ""}},
    {LEAF("gt", "3"), {"k=4", "k=3.01", "k=31", "k=1e9"}, {"k=3", "k=3.0", "k=-4", "k=x", "k="}},
    {LEAF("gte", "3"), {"k=3", "k=3.0", "k=+3", "k=30e-1"}, {"k=2.99", "k=-3", "k=3x", "k=", ""}},
    {LEAF("lt", "3"), {"k=2", "k=2.99", "k=-4", "k=-1e9"}, {"k=3", "k=3.0", "k=4", "k=x", "k="}},
    {LEAF("lte", "3"), {"k=3", "k=3.00", "k=-3", "k=0"}, {"k=3.01", "k=30", "k= 3", "k=", ""}},
    {VALS("in", "\"a\",\"c\",\"b\",\"c\""), {"k=a", "k=b", "k=c"}, {"k=d", "k=", "k=ab", ""}},
    {VALS("in", "\"a\",\"\""), {"k=a", "k=", "", "x=b"}, {"k=b"}},
    {VALS("nin", "\"a\",\"b\""), {"k=c", "k=", "", "x=a"}, {"k=a", "k=b"}},
    {VALS("nin", "\"\""), {"k=a"}, {"k=", "", "x=a"}},
    {BARE("ex"), {"k=a", "k="}, {"", "x=k"}},
    {BARE("nex"), {"", "x=k", "kk=1"}, {"k=a", "k="}},
    /* The operand is no number: nothing compares with it, neither way. */
    {LEAF("gt", "x"), {NULL}, {"k=1", "k=x", "k=y", ""}},
    {LEAF("lte", "1 "), {NULL}, {"k=0", "k=1", "k=x", ""}},
    /* Past what a double tells apart. */
    {LEAF("gt", "9007199254740992"), {"k=9007199254740993"}, {"k=9007199254740992"}},
    {LEAF("lt", "0.3"), {"k=0.29999999999999999999"}, {"k=0.3", "k=0.30"}},
    /* Bytes, not characters or locale. */
    {LEAF("eq", "\\u00fc"), {"k=\xc3\xbc"}, {"k=u\xcc\x88"}},
    /* Of tags with one key the last counts. */
    {LEAF("eq", "en"), {"k=fr;k=en"}, {"k=en;k=fr"}},
};

static void each_comparator_matches_what_it_should(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(comparators); i++) {
        const char *filter = comparators[i].filter;
        for (size_t k = 0; k < 4 && comparators[i].yes[k]; k++)
            if (!ask(filter, comparators[i].yes[k]))
                fail_msg("%s must match \"%s\"", filter, comparators[i].yes[k]);
        for (size_t k = 0; k < 6 && comparators[i].no[k]; k++)
            if (ask(filter, comparators[i].no[k]))
                fail_msg("%s must not match \"%s\"", filter, comparators[i].no[k]);
    }
}

#define A          LEAF("eq", "a")
#define B          "{\"key\":\"j\",\"cmp\":\"eq\",\"val\":\"b\"}"
#define AND(nodes) "{\"op\":\"and\",\"nodes\":[" nodes "]}"
#define OR(nodes)  "{\"op\":\"or\",\"nodes\":[" nodes "]}"
#define NOT(nodes) "{\"op\":\"not\",\"nodes\":[" nodes "]}"

static void operators_join_their_children(void **state)
{
    (void)state;
    static const struct {
        const char *filter;
        bool none, only_a, only_b, both;
    } cases[] = {
        {AND(A "," B), false, false, false, true},
        {OR(A "," B), false, true, true, true},
        {NOT(A), true, false, true, false},
        {AND(A), false, true, false, true},
        {OR(B), false, false, true, true},
        {NOT(AND(A "," B)), true, true, true, false},
        {NOT(OR(A "," B)), true, false, false, false},
        {AND(NOT(A) "," B), false, false, true, false},
        {OR(AND(A "," B) "," NOT(OR(A "," B))), true, false, false, true},
        {AND(OR(A "," B) "," NOT(AND(A "," B))), false, true, true, false},
        /* Members that an operator does not have mean nothing. */
        {"{\"op\":\"not\",\"key\":\"x\",\"cmp\":\"eq\",\"val\":\"y\",\"nodes\":[" A "]}", true,
         false, true, false},
        {"{\"key\":\"k\",\"cmp\":\"eq\",\"val\":\"a\",\"nodes\":[" B "]}", false, true, false,
         true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(ask(cases[i].filter, ""), cases[i].none);
        assert_int_equal(ask(cases[i].filter, "k=a"), cases[i].only_a);
        assert_int_equal(ask(cases[i].filter, "j=b"), cases[i].only_b);
        assert_int_equal(ask(cases[i].filter, "k=a;j=b"), cases[i].both);
    }
}

static void each_invalid_shape_is_refused(void **state)
{
    (void)state;
    static const char *const shapes[] = {
        "{}",
        "{\"key\":\"k\"}",
        "{\"key\":\"k\",\"val\":\"a\"}",
        "{\"op\":\"xor\",\"nodes\":[" A "]}",
        "{\"op\":\"AND\",\"nodes\":[" A "]}",
        "{\"op\":\"leaf\",\"key\":\"k\",\"cmp\":\"eq\",\"val\":\"a\"}",
        "{\"key\":\"k\",\"cmp\":\"like\",\"val\":\"a\"}",
        "{\"key\":\"k\",\"cmp\":\"EQ\",\"val\":\"a\"}",
        "{\"key\":\"k\",\"cmp\":\"eq \",\"val\":\"a\"}",
        "{\"cmp\":\"eq\",\"val\":\"a\"}",
        "{\"key\":\"\",\"cmp\":\"eq\",\"val\":\"a\"}",
        "{\"cmp\":\"in\",\"vals\":[\"a\"]}",
        "{\"cmp\":\"ex\"}",
        "{\"cmp\":\"nex\"}",
        "{\"op\":\"and\"}",
        "{\"op\":\"or\",\"nodes\":[]}",
        "{\"op\":\"not\"}",
        "{\"op\":\"not\",\"nodes\":[]}",
        NOT(A "," B),
        AND(A ",{}"),
        OR(A "," NOT("{\"op\":\"or\"}")),
    };
    for (size_t i = 0; i < COUNT(shapes); i++) {
        struct filter *filter = NULL;
        if (filter_new(parse(shapes[i]), &filter) != WH_EFORMAT)
            fail_msg("accepted: %s", shapes[i]);
        assert_null(filter);
    }
}

static void each_comparator_refuses_operands_that_it_does_not_take(void **state)
{
    (void)state;
    static const char *const wants_val[] = {"eq", "neq", "sw", "ew", "ct",
                                            "gt", "gte", "lt", "lte"};
    static const char *const wants_vals[] = {"in", "nin"};
    static const char *const wants_none[] = {"ex", "nex"};
    static const struct {
        const char *members;
        bool val, vals, none;
    } operands[] = {
        {"", false, false, true},
        {",\"val\":\"\"", false, false, true},
        {",\"vals\":[]", false, false, true},
        {",\"val\":\"1\"", true, false, false},
        {",\"val\":\"1\",\"vals\":[]", true, false, false},
        {",\"vals\":[\"1\"]", false, true, false},
        {",\"vals\":[\"\"]", false, true, false},
        {",\"val\":\"1\",\"vals\":[\"1\"]", false, false, false},
    };
    for (size_t i = 0; i < COUNT(operands); i++) {
        for (size_t k = 0; k < COUNT(wants_val) + COUNT(wants_vals) + COUNT(wants_none); k++) {
            bool is_val = k < 9, is_vals = k >= 9 && k < 11;
            const char *cmp = is_val    ? wants_val[k]
                              : is_vals ? wants_vals[k - 9]
                                        : wants_none[k - 11];
            bool is_valid = is_val    ? operands[i].val
                            : is_vals ? operands[i].vals
                                      : operands[i].none;
            char json[128];
            snprintf(json, sizeof(json), "{\"key\":\"k\",\"cmp\":\"%s\"%s}", cmp,
                     operands[i].members);
            struct filter *filter = NULL;
            enum wh_err err = filter_new(parse(json), &filter);
            filter_free(filter);
            if (err != (is_valid ? WH_OK : WH_EFORMAT))
                fail_msg("%s: %s", json, wh_err_name(err));
        }
    }
}

/* Limits. */

static struct wh_filter_node leaf_node(void)
{
    return (struct wh_filter_node){
        .key = WH_SLICE_LITERAL("k"), .cmp = WH_SLICE_LITERAL("eq"), .val = WH_SLICE_LITERAL("v")};
}

/* `count` leaves under `levels` operators, each with one child but the innermost. */
static struct wh_filter_node *make_tree(size_t levels, size_t count)
{
    struct wh_filter_node *leaves = wh_arena_alloc_array(&arena, count, sizeof(*leaves));
    for (size_t i = 0; i < count; i++)
        leaves[i] = leaf_node();
    while (levels-- > 0) {
        struct wh_filter_node *parent = wh_arena_alloc(&arena, sizeof(*parent));
        parent->op = WH_SLICE_LITERAL("or");
        parent->nodes.items = leaves;
        parent->nodes.count = count;
        leaves = parent;
        count = 1;
    }
    return leaves;
}

static enum wh_err try(const struct wh_filter_node *root)
{
    struct filter *filter = NULL;
    enum wh_err err = filter_new(root, &filter);
    filter_free(filter);
    return err;
}

static enum wh_err try_values(size_t count, size_t len)
{
    struct wh_filter_node leaf = leaf_node();
    char *text = wh_arena_alloc(&arena, len);
    leaf.cmp = WH_SLICE_LITERAL("in");
    leaf.val = WH_SLICE_ABSENT;
    leaf.vals.items = wh_arena_alloc_array(&arena, count, sizeof(struct wh_slice));
    leaf.vals.count = count;
    for (size_t i = 0; i < count; i++)
        leaf.vals.items[i] = wh_slice(text, len);
    return try(&leaf);
}

static void limits_hold_exactly(void **state)
{
    (void)state;
    assert_int_equal(try(make_tree(1, FILTER_NODES_MAX - 1)), WH_OK);
    assert_int_equal(try(make_tree(1, FILTER_NODES_MAX)), WH_EFORMAT);
    assert_int_equal(try(make_tree(FILTER_DEPTH_MAX - 1, 1)), WH_OK);
    assert_int_equal(try(make_tree(FILTER_DEPTH_MAX, 1)), WH_EFORMAT);
    assert_int_equal(try(make_tree(10000, 1)), WH_EFORMAT);
    assert_int_equal(try_values(FILTER_VALUES_MAX, 0), WH_OK);
    assert_int_equal(try_values(FILTER_VALUES_MAX + 1, 0), WH_EFORMAT);
    assert_int_equal(try_values(1, FILTER_TEXT_MAX - 1), WH_OK);
    assert_int_equal(try_values(1, FILTER_TEXT_MAX), WH_EFORMAT);
    assert_int_equal(try_values(FILTER_VALUES_MAX, 33), WH_EFORMAT);
}

static void filter_outlives_what_it_was_made_from(void **state)
{
    (void)state;
    char key[] = "lang", first[] = "fr", second[] = "en";
    struct wh_slice values[] = {wh_slice(first, 2), wh_slice(second, 2)};
    struct wh_filter_node leaf = {
        .key = wh_slice(key, 4), .cmp = WH_SLICE_LITERAL("in"), .vals = {values, 2}};
    struct wh_string_map tags = make_tags("lang=en");
    struct filter *filter = NULL;
    assert_int_equal(filter_new(&leaf, &filter), WH_OK);
    /* The sender's tree is only read. */
    assert_ptr_equal(values[0].ptr, first);
    memset(key, 'x', 4);
    memset(first, 'x', 2);
    memset(second, 'x', 2);
    memset(values, 0, sizeof(values));
    assert_true(filter_matches(filter, &tags));
    filter_free(filter);
    filter_free(NULL);
}

/* Sharing. */

static void equal_trees_are_equal_filters(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool are_equal;
    } pairs[] = {
        {A, A, true},
        {A, "{\"op\":\"\",\"val\":\"a\",\"vals\":[],\"key\":\"k\",\"cmp\":\"eq\"}", true},
        {VALS("in", "\"a\",\"b\""), VALS("in", "\"b\",\"a\",\"b\""), true},
        {"{\"op\":\"and\",\"key\":\"x\",\"nodes\":[" A "]}", AND(A), true},
        {A, B, false},
        {A, LEAF("neq", "a"), false},
        {A, LEAF("eq", "A"), false},
        {A, AND(A), false},
        {AND(A), OR(A), false},
        {AND(A "," B), AND(B "," A), false},
        {AND(AND(A) "," B), AND(AND(A "," B)), false},
        {VALS("in", "\"a\",\"b\""), VALS("in", "\"ab\""), false},
        {VALS("in", "\"a\",\"\""), VALS("in", "\"a\""), false},
        {VALS("in", "\"a\""), VALS("nin", "\"a\""), false},
        {LEAF("gt", "1"), LEAF("gt", "1.0"), false},
    };
    for (size_t i = 0; i < COUNT(pairs); i++) {
        struct filter *a = compile(pairs[i].a), *b = compile(pairs[i].b);
        if (filter_equal(a, b) != pairs[i].are_equal || filter_equal(b, a) != pairs[i].are_equal)
            fail_msg("%s and %s", pairs[i].a, pairs[i].b);
        assert_int_equal(filter_hash(a) == filter_hash(b), pairs[i].are_equal);
        filter_free(a);
        filter_free(b);
    }
}

/* Properties, against an evaluator that reads the sender's tree and knows nothing of ours. */

static const char *const cmp_names[] = {"eq", "neq", "sw", "ew",  "ct", "gt", "gte",
                                        "lt", "lte", "in", "nin", "ex", "nex"};
static const char *const words[] = {"1", "2", "12", "-1", "0.5", "1.0", "a", "ab", "ba", "b"};
static const char *const keys[] = {"k", "l", "m", "kl"};

static struct wh_slice pick(const char *const *from, size_t count)
{
    return wh_slice_from_str(from[wh_random_below(count)]);
}

static struct wh_filter_node random_node(size_t depth)
{
    struct wh_filter_node node = {0};
    size_t op = depth == 0 ? 0 : wh_random_below(4);
    if (op > 0) {
        static const char *const ops[] = {"", "and", "or", "not"};
        node.op = wh_slice_from_str(ops[op]);
        node.nodes.count = op == 3 ? 1 : 1 + wh_random_below(3);
        node.nodes.items = wh_arena_alloc_array(&arena, node.nodes.count, sizeof(node));
        for (size_t i = 0; i < node.nodes.count; i++)
            node.nodes.items[i] = random_node(depth - 1);
        return node;
    }
    size_t cmp = wh_random_below(COUNT(cmp_names));
    node.cmp = wh_slice_from_str(cmp_names[cmp]);
    node.key = pick(keys, COUNT(keys));
    if (cmp < 9)
        node.val = pick(words, COUNT(words));
    if (cmp == 9 || cmp == 10) {
        node.vals.count = 1 + wh_random_below(4);
        node.vals.items = wh_arena_alloc_array(&arena, node.vals.count, sizeof(struct wh_slice));
        for (size_t i = 0; i < node.vals.count; i++)
            node.vals.items[i] =
                wh_random_below(5) ? pick(words, COUNT(words)) : WH_SLICE_LITERAL("");
    }
    return node;
}

static bool naive_numbers(const char *cmp, const char *tag, const char *val)
{
    char *tag_end, *val_end;
    double a = strtod(tag, &tag_end), b = strtod(val, &val_end); /* exact for our words */
    if (tag_end == tag || *tag_end || val_end == val || *val_end)
        return false;
    return strcmp(cmp, "gt") == 0    ? a > b
           : strcmp(cmp, "gte") == 0 ? a >= b
           : strcmp(cmp, "lt") == 0  ? a < b
                                     : a <= b;
}

static bool naive_leaf(const struct wh_filter_node *leaf, const char *tag)
{
    const char *cmp = leaf->cmp.ptr ? leaf->cmp.ptr : "";
    const char *val = leaf->val.ptr ? leaf->val.ptr : "";
    if (strcmp(cmp, "ex") == 0)
        return tag;
    if (strcmp(cmp, "nex") == 0)
        return !tag;
    if (strcmp(cmp, "in") == 0 || strcmp(cmp, "nin") == 0) {
        bool is_in = false;
        for (size_t i = 0; i < leaf->vals.count; i++)
            is_in = is_in || strcmp(leaf->vals.items[i].ptr, tag ? tag : "") == 0;
        return is_in == (strcmp(cmp, "in") == 0);
    }
    if (!tag || strcmp(cmp, "neq") == 0)
        return strcmp(cmp, "neq") == 0 && (!tag || strcmp(tag, val) != 0);
    if (strcmp(cmp, "eq") == 0)
        return strcmp(tag, val) == 0;
    if (strcmp(cmp, "sw") == 0)
        return strncmp(tag, val, strlen(val)) == 0;
    if (strcmp(cmp, "ew") == 0)
        return strlen(tag) >= strlen(val) && strcmp(tag + strlen(tag) - strlen(val), val) == 0;
    if (strcmp(cmp, "ct") == 0)
        return strstr(tag, val);
    return naive_numbers(cmp, tag, val);
}

static bool naive(const struct wh_filter_node *node, const struct wh_string_map *tags)
{
    if (node->nodes.count > 0) {
        size_t matching = 0;
        for (size_t i = 0; i < node->nodes.count; i++)
            matching += naive(&node->nodes.items[i], tags);
        return node->op.ptr[0] == 'a'   ? matching == node->nodes.count
               : node->op.ptr[0] == 'o' ? matching > 0
                                        : matching == 0;
    }
    const char *tag = NULL;
    for (size_t i = 0; i < tags->count; i++)
        if (wh_slice_equal(tags->items[i].key, node->key))
            tag = tags->items[i].value.ptr;
    return naive_leaf(node, tag);
}

static void random_filters_answer_as_a_naive_evaluator_does(void **state)
{
    (void)state;
    size_t matching = 0, asked = 0;
    for (int round = 0; round < 5000; round++) {
        struct wh_filter_node root = random_node(wh_random_below(4));
        struct filter *filter = NULL;
        assert_int_equal(filter_new(&root, &filter), WH_OK);
        for (int publication = 0; publication < 10; publication++) {
            struct wh_string_pair pairs[4];
            struct wh_string_map tags = {pairs, wh_random_below(4)};
            for (size_t i = 0; i < tags.count; i++)
                pairs[i] = (struct wh_string_pair){pick(keys, COUNT(keys)),
                                                   wh_random_below(8) ? pick(words, COUNT(words))
                                                                      : WH_SLICE_LITERAL("")};
            bool expected = naive(&root, &tags);
            assert_int_equal(filter_matches(filter, &tags), expected);
            matching += expected;
            asked++;
        }
        filter_free(filter);
        wh_arena_reset(&arena);
    }
    /* Both answers are well represented. */
    assert_in_range(matching, asked / 5, asked / 5 * 4);
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    struct wh_filter_node *root = parse(AND(A "," NOT(VALS("in", "\"x\",\"y\""))));
    size_t nth = 1;
    for (;; nth++) {
        struct filter *filter = NULL;
        failing_alloc_start(nth);
        enum wh_err err = filter_new(root, &filter);
        bool has_failed = failing_alloc_stop();
        assert_int_equal(err, has_failed ? WH_ENOMEM : WH_OK);
        assert_int_equal(filter == NULL, has_failed);
        filter_free(filter);
        if (!has_failed)
            break;
    }
    assert_int_equal(nth, 2); /* one allocation is all that there is */
}

static void asking_allocates_nothing(void **state)
{
    (void)state;
    struct filter *filter = compile(AND(LEAF("gte", "1.5") "," NOT(VALS("in", "\"x\",\"y\""))));
    struct wh_string_map tags = make_tags("k=2;l=3");
    failing_alloc_start(1);
    bool does_match = filter_matches(filter, &tags);
    assert_false(failing_alloc_stop());
    assert_true(does_match);
    filter_free(filter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_comparator_matches_what_it_should),
        cmocka_unit_test(operators_join_their_children),
        cmocka_unit_test(each_invalid_shape_is_refused),
        cmocka_unit_test(each_comparator_refuses_operands_that_it_does_not_take),
        cmocka_unit_test(limits_hold_exactly),
        cmocka_unit_test(filter_outlives_what_it_was_made_from),
        cmocka_unit_test(equal_trees_are_equal_filters),
        cmocka_unit_test(random_filters_answer_as_a_naive_evaluator_does),
        cmocka_unit_test(each_allocation_may_fail),
        cmocka_unit_test(asking_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
