#include "common/base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct item {
    int number;
    struct wh_list link;
};

static struct wh_list list;
static struct item items[4];

static int fill(void **state)
{
    (void)state;
    wh_list_init(&list);
    for (int i = 0; i < 4; i++) {
        items[i].number = i;
        wh_list_push_back(&list, &items[i].link);
    }
    return 0;
}

static int number_of(struct wh_list *node)
{
    return WH_CONTAINER_OF(node, struct item, link)->number;
}

static void nodes_come_off_in_the_order_they_went_on(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(number_of(wh_list_pop_front(&list)), i);
    assert_true(wh_list_is_empty(&list));
    assert_null(wh_list_pop_front(&list));
}

static void removing_twice_is_harmless(void **state)
{
    (void)state;
    wh_list_remove(&items[1].link);
    wh_list_remove(&items[1].link);
    assert_true(wh_list_is_empty(&items[1].link));
    assert_int_equal(number_of(wh_list_pop_front(&list)), 0);
    assert_int_equal(number_of(wh_list_pop_front(&list)), 2);
}

static void the_current_node_may_go_while_walking(void **state)
{
    (void)state;
    int sum = 0;
    WH_LIST_EACH(node, &list)
    {
        sum += number_of(node);
        wh_list_remove(node);
    }
    assert_int_equal(sum, 6);
    assert_true(wh_list_is_empty(&list));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nodes_come_off_in_the_order_they_went_on, fill),
        cmocka_unit_test_setup(removing_twice_is_harmless, fill),
        cmocka_unit_test_setup(the_current_node_may_go_while_walking, fill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
