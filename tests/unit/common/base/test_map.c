#include "common/base/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/random.h"
#include "tests/support/failing_alloc.h"

#include <stdio.h>

enum { ITEMS = 500 };

/* The naive model: an item is in the map exactly when `present`. */
static struct item {
    char key[16];
    bool present;
    bool seen;
} items[ITEMS];

static struct wh_slice key_of(const struct item *item)
{
    return wh_slice_from_str(item->key);
}

static int make_items(void **state)
{
    (void)state;
    for (size_t i = 0; i < ITEMS; i++) {
        items[i] = (struct item){.present = false};
        snprintf(items[i].key, sizeof items[i].key, "channel:%zu", i);
    }
    return 0;
}

static void assert_equals_model(const struct wh_map *map)
{
    size_t count = 0;
    for (size_t i = 0; i < ITEMS; i++) {
        assert_ptr_equal(wh_map_get(map, key_of(&items[i])), items[i].present ? &items[i] : NULL);
        items[i].seen = false;
        count += items[i].present;
    }
    assert_int_equal(map->count, count);
    size_t cursor = 0;
    struct item *item;
    while ((item = wh_map_next(map, &cursor))) {
        assert_true(item->present && !item->seen);
        item->seen = true;
        count--;
    }
    assert_int_equal(count, 0);
}

static void random_operations_agree_with_a_naive_model(void **state)
{
    (void)state;
    wh_random_seed(42);
    struct wh_map map = {0};
    for (int step = 0; step < 40000; step++) {
        /* Phases that mostly add and mostly remove make the table grow and shrink. */
        bool growing = step / 5000 % 2 == 0;
        struct item *item = &items[wh_random_below(ITEMS)];
        if (wh_random_below(10) < (growing ? 7 : 3)) {
            enum wh_err err = wh_map_add(&map, key_of(item), item);
            assert_int_equal(err, item->present ? WH_EEXIST : WH_OK);
            item->present = true;
        } else {
            assert_ptr_equal(wh_map_remove(&map, key_of(item)), item->present ? item : NULL);
            item->present = false;
        }
        assert_true(map.count <= map.capacity / 4 * 3);
        if (step % 97 == 0)
            assert_equals_model(&map);
    }
    assert_equals_model(&map);
    wh_map_deinit(&map);
}

/* A table of eight slots with up to six keys: removal nearly always shifts, often around the end.
 */
static void a_crowded_small_table_survives_every_removal_order(void **state)
{
    (void)state;
    wh_random_seed(7);
    for (int round = 0; round < 5000; round++) {
        struct wh_map map = {0};
        make_items(NULL);
        struct item *chosen[6];
        for (size_t i = 0; i < 6; i++) {
            do
                chosen[i] = &items[wh_random_below(ITEMS)];
            while (chosen[i]->present);
            assert_int_equal(wh_map_add(&map, key_of(chosen[i]), chosen[i]), WH_OK);
            chosen[i]->present = true;
        }
        assert_int_equal(map.capacity, 8);
        for (size_t gone = 0; gone < 6; gone++) {
            assert_ptr_equal(wh_map_remove(&map, key_of(chosen[gone])), chosen[gone]);
            for (size_t i = 0; i < 6; i++) {
                void *expected = i > gone ? chosen[i] : NULL;
                assert_ptr_equal(wh_map_get(&map, key_of(chosen[i])), expected);
            }
        }
        wh_map_deinit(&map);
    }
}

static void an_empty_map_answers_everything(void **state)
{
    (void)state;
    struct wh_map map = {0};
    size_t cursor = 0;
    assert_null(wh_map_get(&map, WH_SLICE_LITERAL("x")));
    assert_null(wh_map_remove(&map, WH_SLICE_LITERAL("x")));
    assert_null(wh_map_next(&map, &cursor));
    wh_map_deinit(&map);
}

static void keys_are_bytes_and_may_be_empty(void **state)
{
    (void)state;
    struct wh_map map = {0};
    int empty, with_nul, prefix;
    assert_int_equal(wh_map_add(&map, WH_SLICE_LITERAL(""), &empty), WH_OK);
    assert_int_equal(wh_map_add(&map, wh_slice("a\0b", 3), &with_nul), WH_OK);
    assert_int_equal(wh_map_add(&map, WH_SLICE_LITERAL("a"), &prefix), WH_OK);
    assert_ptr_equal(wh_map_get(&map, WH_SLICE_LITERAL("")), &empty);
    assert_ptr_equal(wh_map_get(&map, wh_slice("a\0b", 3)), &with_nul);
    assert_ptr_equal(wh_map_get(&map, WH_SLICE_LITERAL("a")), &prefix);
    wh_map_deinit(&map);
}

static void a_sparse_table_gives_its_memory_back(void **state)
{
    (void)state;
    struct wh_map map = {0};
    for (size_t i = 0; i < ITEMS; i++)
        assert_int_equal(wh_map_add(&map, key_of(&items[i]), &items[i]), WH_OK);
    assert_int_equal(map.capacity, 1024);
    for (size_t i = 0; i < ITEMS; i++)
        assert_ptr_equal(wh_map_remove(&map, key_of(&items[i])), &items[i]);
    assert_int_equal(map.capacity, 8);
    wh_map_deinit(&map);
}

static void without_memory_adding_fails_and_removing_does_not(void **state)
{
    (void)state;
    size_t nth = 1;
    for (;; nth++) {
        struct wh_map map = {0};
        make_items(NULL);
        failing_alloc_start(nth);
        size_t missed = 0;
        for (size_t i = 0; i < ITEMS; i++) {
            enum wh_err err = wh_map_add(&map, key_of(&items[i]), &items[i]);
            items[i].present = err == WH_OK;
            if (err == WH_ENOMEM)
                missed++;
        }
        for (size_t i = 0; i < ITEMS - 4; i++) {
            assert_ptr_equal(wh_map_remove(&map, key_of(&items[i])),
                             items[i].present ? &items[i] : NULL);
            items[i].present = false;
        }
        bool failed = failing_alloc_stop();
        assert_in_range(missed, 0, failed ? 1 : 0);
        assert_equals_model(&map);
        wh_map_deinit(&map);
        if (!failed)
            break;
    }
    assert_true(nth > 8);
}

static void the_hash_is_one_function_within_the_process(void **state)
{
    (void)state;
    assert_true(wh_hash(WH_SLICE_LITERAL("same")) == wh_hash(WH_SLICE_LITERAL("same")));
    assert_true(wh_hash(WH_SLICE_LITERAL("same")) != wh_hash(WH_SLICE_LITERAL("other")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(random_operations_agree_with_a_naive_model, make_items),
        cmocka_unit_test_setup(a_crowded_small_table_survives_every_removal_order, make_items),
        cmocka_unit_test(an_empty_map_answers_everything),
        cmocka_unit_test(keys_are_bytes_and_may_be_empty),
        cmocka_unit_test_setup(a_sparse_table_gives_its_memory_back, make_items),
        cmocka_unit_test_setup(without_memory_adding_fails_and_removing_does_not, make_items),
        cmocka_unit_test(the_hash_is_one_function_within_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
