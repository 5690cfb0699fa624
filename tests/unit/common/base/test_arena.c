#include "common/base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/failing_alloc.h"

static void assert_zeroed(const char *ptr, size_t size)
{
    for (size_t i = 0; i < size; i++)
        assert_int_equal(ptr[i], 0);
}

static void every_piece_is_aligned_zeroed_and_its_own(void **state)
{
    (void)state;
    struct wh_arena arena;
    wh_arena_init(&arena, 0);
    enum { PIECES = 600 };
    static char *pieces[PIECES];
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < PIECES; i++) {
            size_t size = i * 37 % 9000;
            pieces[i] = wh_arena_alloc(&arena, size);
            assert_non_null(pieces[i]);
            assert_int_equal((uintptr_t)pieces[i] % 16, 0);
            assert_zeroed(pieces[i], size);
            memset(pieces[i], (int)(i % 255) + 1, size);
        }
        for (size_t i = 0; i < PIECES; i++) {
            size_t size = i * 37 % 9000;
            for (size_t at = 0; at < size; at++)
                assert_int_equal((unsigned char)pieces[i][at], i % 255 + 1);
        }
        wh_arena_reset(&arena);
    }
    wh_arena_deinit(&arena);
}

static void the_limit_counts_what_is_handed_out_and_reset_renews_it(void **state)
{
    (void)state;
    struct wh_arena arena;
    wh_arena_init(&arena, 1000);
    for (int round = 0; round < 3; round++) {
        assert_non_null(wh_arena_alloc(&arena, 500));
        assert_null(wh_arena_alloc(&arena, 500));
        assert_non_null(wh_arena_alloc(&arena, 480));
        assert_int_equal(arena.used, 992);
        assert_null(wh_arena_alloc(&arena, 1));
        wh_arena_reset(&arena);
        assert_int_equal(arena.used, 0);
    }
    wh_arena_deinit(&arena);
}

static void endless_empty_requests_meet_the_limit(void **state)
{
    (void)state;
    struct wh_arena arena;
    wh_arena_init(&arena, 1024);
    size_t count = 0;
    while (wh_arena_alloc(&arena, 0))
        count++;
    assert_int_equal(count, 64);
    wh_arena_deinit(&arena);
}

static void sizes_that_overflow_give_null(void **state)
{
    (void)state;
    struct wh_arena arena;
    wh_arena_init(&arena, 0);
    assert_null(wh_arena_alloc(&arena, SIZE_MAX));
    assert_null(wh_arena_alloc(&arena, SIZE_MAX - 15));
    assert_null(wh_arena_alloc_array(&arena, SIZE_MAX / 8 + 2, 8));
    assert_null(wh_arena_copy(&arena, wh_slice("", SIZE_MAX)).ptr);
    assert_non_null(wh_arena_alloc_array(&arena, 0, 8));
    assert_non_null(wh_arena_alloc_array(&arena, 8, 0));
    wh_arena_deinit(&arena);
}

static void a_copy_is_terminated_and_absent_stays_absent(void **state)
{
    (void)state;
    struct wh_arena arena;
    wh_arena_init(&arena, 0);
    struct wh_slice copy = wh_arena_copy(&arena, wh_slice("hello world", 5));
    assert_int_equal(copy.len, 5);
    assert_string_equal(copy.ptr, "hello");
    struct wh_slice empty = wh_arena_copy(&arena, WH_SLICE_LITERAL(""));
    assert_string_equal(empty.ptr, "");
    assert_null(wh_arena_copy(&arena, WH_SLICE_ABSENT).ptr);
    wh_arena_deinit(&arena);
}

static void a_reset_arena_serves_small_messages_without_allocating(void **state)
{
    (void)state;
    struct wh_arena arena;
    wh_arena_init(&arena, 0);
    for (int i = 0; i < 100; i++)
        assert_non_null(wh_arena_alloc(&arena, 1000));
    assert_non_null(wh_arena_alloc(&arena, 1 << 20));
    wh_arena_reset(&arena);
    failing_alloc_start(1);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 15; i++)
            assert_non_null(wh_arena_alloc(&arena, 1000));
        wh_arena_reset(&arena);
    }
    assert_false(failing_alloc_stop());
    wh_arena_deinit(&arena);
}

static size_t held; /* bytes asked for and not freed */

static void *weighing_malloc(size_t size)
{
    size_t *block = malloc(size + 16);
    assert_non_null(block);
    *block = size;
    held += size;
    return block + 2;
}

static void weighing_free(void *ptr)
{
    if (!ptr)
        return;
    size_t *block = (size_t *)ptr - 2;
    held -= *block;
    free(block);
}

static void reset_never_holds_more_than_one_block_of_16_kib(void **state)
{
    (void)state;
    static const struct wh_allocator weighing = {weighing_malloc, NULL, weighing_free};
    static const size_t sizes[] = {1, 4000, 4096, 16000, 16384, 1 << 20};
    wh_alloc_set(&weighing);
    for (size_t i = 0; i < 2 * sizeof sizes / sizeof *sizes; i++) {
        struct wh_arena arena;
        wh_arena_init(&arena, 0);
        for (int n = 0; n < 20; n++) {
            assert_non_null(wh_arena_alloc(&arena, sizes[i / 2]));
            /* Alone, and mixed with small pieces. */
            if (i % 2 == 1)
                assert_non_null(wh_arena_alloc(&arena, 100));
        }
        wh_arena_reset(&arena);
        assert_in_range(held, 0, 16384);
        wh_arena_deinit(&arena);
        assert_int_equal(held, 0);
    }
    wh_alloc_set(NULL);
}

static void a_failing_allocation_gives_null_and_the_arena_stays_usable(void **state)
{
    (void)state;
    size_t nth = 1;
    for (;; nth++) {
        struct wh_arena arena;
        wh_arena_init(&arena, 0);
        failing_alloc_start(nth);
        size_t missed = 0;
        for (size_t i = 0; i < 60; i++)
            missed += !wh_arena_alloc(&arena, i * 150);
        bool failed = failing_alloc_stop();
        assert_int_equal(missed, failed ? 1 : 0);
        assert_non_null(wh_arena_alloc(&arena, 100));
        wh_arena_deinit(&arena);
        if (!failed)
            break;
    }
    assert_true(nth > 5);
}

static void lent_memory_is_used_first_and_never_freed(void **state)
{
    (void)state;
    static const struct wh_allocator weighing = {weighing_malloc, NULL, weighing_free};
    _Alignas(16) static char memory[1024];
    wh_alloc_set(&weighing);
    for (size_t size = 0; size <= sizeof memory; size += 16) {
        struct wh_arena arena;
        wh_arena_init_in(&arena, 0, memory, size);
        char *first = wh_arena_alloc(&arena, 16);
        bool is_lent = first >= memory && first + 16 <= memory + size;
        assert_int_equal(is_lent, size >= 48);
        assert_int_equal(held == 0, is_lent);
        for (int i = 0; i < 100; i++)
            memset(wh_arena_alloc(&arena, 40), 1, 40);
        wh_arena_reset(&arena);
        assert_in_range(held, 1, 16384);
        memset(wh_arena_alloc(&arena, 500), 1, 500);
        wh_arena_deinit(&arena);
        assert_int_equal(held, 0);
        memset(memory, 0, sizeof memory);
    }
    wh_alloc_set(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_piece_is_aligned_zeroed_and_its_own),
        cmocka_unit_test(the_limit_counts_what_is_handed_out_and_reset_renews_it),
        cmocka_unit_test(endless_empty_requests_meet_the_limit),
        cmocka_unit_test(sizes_that_overflow_give_null),
        cmocka_unit_test(a_copy_is_terminated_and_absent_stays_absent),
        cmocka_unit_test(a_reset_arena_serves_small_messages_without_allocating),
        cmocka_unit_test(reset_never_holds_more_than_one_block_of_16_kib),
        cmocka_unit_test(lent_memory_is_used_first_and_never_freed),
        cmocka_unit_test(a_failing_allocation_gives_null_and_the_arena_stays_usable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
