#include "common/base/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static size_t live;

static void *counting_malloc(size_t size)
{
    void *ptr = malloc(size);
    if (ptr) {
        live++;
        memset(ptr, 0xAA, size);
    }
    return ptr;
}

static void *counting_realloc(void *ptr, size_t size)
{
    live += ptr ? 0 : 1;
    return realloc(ptr, size);
}

static void counting_free(void *ptr)
{
    live -= ptr ? 1 : 0;
    free(ptr);
}

static const struct wh_allocator counting = {counting_malloc, counting_realloc, counting_free};

static void an_installed_allocator_gets_every_call(void **state)
{
    (void)state;
    wh_alloc_set(&counting);
    void *a = wh_malloc(10);
    char *b = wh_calloc(4, 4);
    void *c = wh_realloc(NULL, 10);
    assert_int_equal(live, 3);
    for (size_t i = 0; i < 16; i++)
        assert_int_equal(b[i], 0);
    wh_free(a);
    wh_free(b);
    wh_free(c);
    wh_free(NULL);
    assert_int_equal(live, 0);
    wh_alloc_set(NULL);
    wh_free(wh_malloc(1));
    assert_int_equal(live, 0);
}

static void calloc_refuses_a_product_that_overflows(void **state)
{
    (void)state;
    wh_alloc_set(&counting);
    assert_null(wh_calloc(SIZE_MAX / 2 + 1, 2));
    assert_int_equal(live, 0);
    wh_alloc_set(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_installed_allocator_gets_every_call),
        cmocka_unit_test(calloc_refuses_a_product_that_overflows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
