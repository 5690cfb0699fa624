#include "hub/rpc_ids.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { MANY = 1000 };

static uint64_t take(struct rpc_ids *ids, void *value)
{
    uint64_t id = 0;
    assert_int_equal(rpc_ids_take(ids, value, &id), WH_OK);
    assert_true(id != 0 && id < UINT64_C(1) << 53);
    return id;
}

static void an_id_finds_its_value_until_it_is_released(void **state)
{
    (void)state;
    struct rpc_ids ids = {.max = MANY};
    static char values[MANY];
    uint64_t taken[MANY];
    for (size_t i = 0; i < MANY; i++)
        taken[i] = take(&ids, &values[i]);
    for (size_t i = 0; i < MANY; i += 2)
        rpc_ids_release(&ids, taken[i]);
    for (size_t i = 0; i < MANY; i++)
        assert_ptr_equal(rpc_ids_find(&ids, taken[i]), i % 2 ? &values[i] : NULL);
    assert_int_equal(ids.used, MANY / 2);
    rpc_ids_deinit(&ids);
}

static void an_old_id_never_finds_who_came_after_it(void **state)
{
    (void)state;
    struct rpc_ids ids = {.max = 1};
    char value;
    uint64_t last = 0;
    for (unsigned i = 0; i < MANY; i++) {
        uint64_t id = take(&ids, &value);
        assert_int_not_equal(id, last);
        assert_null(rpc_ids_find(&ids, last));
        assert_ptr_equal(rpc_ids_find(&ids, id), &value);
        rpc_ids_release(&ids, id);
        last = id;
    }
    rpc_ids_deinit(&ids);
}

static void past_the_limit_there_is_none(void **state)
{
    (void)state;
    struct rpc_ids ids = {.max = 100}; /* no power of two */
    char value;
    uint64_t id = 0, refused = 7;
    for (unsigned i = 0; i < 100; i++)
        id = take(&ids, &value);
    assert_int_equal(rpc_ids_take(&ids, &value, &refused), WH_ELIMIT);
    assert_int_equal(refused, 7);
    rpc_ids_release(&ids, id);
    take(&ids, &value);
    assert_int_equal(ids.capacity, 100);
    rpc_ids_deinit(&ids);
}

static void ids_that_somebody_made_up_find_nothing(void **state)
{
    (void)state;
    struct rpc_ids ids = {.max = MANY};
    char value;
    static const uint64_t made_up[] = {0, 1, 63, 64, UINT64_MAX, UINT64_C(1) << 52, 999999};
    assert_null(rpc_ids_find(&ids, 0));
    uint64_t id = take(&ids, &value);
    for (size_t i = 0; i < sizeof made_up / sizeof made_up[0]; i++)
        assert_null(rpc_ids_find(&ids, made_up[i]));
    for (unsigned bit = 0; bit < 64; bit++)
        assert_null(rpc_ids_find(&ids, id ^ UINT64_C(1) << bit));
    rpc_ids_deinit(&ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_finds_its_value_until_it_is_released),
        cmocka_unit_test(an_old_id_never_finds_who_came_after_it),
        cmocka_unit_test(past_the_limit_there_is_none),
        cmocka_unit_test(ids_that_somebody_made_up_find_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
