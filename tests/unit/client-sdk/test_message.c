/* The memory of messages: given back, taken again, bounded, and gone when its owner is. */
#include "client-sdk/src/message.h"
#include "common/base/alloc.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MANY = 100000, SMALL = 64, LARGE = 16000 };

static size_t blocks; /* of the allocator, that are out */

static void *counted_malloc(size_t size)
{
    blocks++;
    return malloc(size);
}

static void *counted_realloc(void *ptr, size_t size)
{
    blocks += ptr == NULL;
    return realloc(ptr, size);
}

static void counted_free(void *ptr)
{
    blocks -= ptr != NULL;
    free(ptr);
}

static int count_blocks(void **state)
{
    (void)state;
    static const struct wh_allocator counted = {counted_malloc, counted_realloc, counted_free};
    blocks = 0;
    wh_alloc_set(&counted);
    return 0;
}

static int all_are_back(void **state)
{
    (void)state;
    wh_alloc_set(NULL);
    assert_int_equal(blocks, 0);
    return 0;
}

static void fill(struct message *message)
{
    memset(message->bytes, 'x', message->len);
    assert_int_equal(message->bytes[message->len], '\0');
}

static void what_came_back_is_taken_again(void **state)
{
    (void)state;
    struct message_pool *pool = message_pool_new(1 << 20);
    struct message *first = message_new(pool, LARGE, true);
    fill(first);
    first->is_json = true;
    assert_non_null(wh_arena_alloc(&first->arena, 5000));
    message_unref(first);
    size_t before = blocks;
    struct message *second = message_new(pool, LARGE - 100, false);
    assert_ptr_equal(second, first);
    fill(second);
    assert_false(second->is_json);
    assert_false(second->is_text);
    assert_int_equal(second->arena.used, 0);
    /* Its arena has kept a block, too. */
    char *zeroed = wh_arena_alloc(&second->arena, 3000);
    assert_int_equal(blocks, before);
    for (size_t i = 0; i < 3000; i++)
        assert_int_equal(zeroed[i], 0);
    message_unref(second);
    message_pool_close(pool);
}

static void a_message_that_was_kept_is_not_given_to_others(void **state)
{
    (void)state;
    struct message_pool *pool = message_pool_new(1 << 20);
    struct message *kept = message_new(pool, SMALL, true);
    message_unref(message_ref(kept));
    struct message *other = message_new(pool, SMALL, true);
    assert_ptr_not_equal(other, kept);
    message_unref(other);
    message_unref(kept);
    message_pool_close(pool);
}

static void no_more_lies_there_than_was_allowed(void **state)
{
    (void)state;
    enum { OUT = 64, BYTES = 10 * LARGE };
    struct message *out[OUT];
    struct message_pool *pool = message_pool_new(BYTES);
    size_t own = blocks;
    for (size_t i = 0; i < OUT; i++)
        out[i] = message_new(pool, LARGE, true);
    for (size_t i = 0; i < OUT; i++)
        message_unref(out[i]);
    assert_in_range(blocks - own, 1, BYTES / LARGE);
    message_pool_close(pool);

    pool = message_pool_new(0);
    own = blocks;
    message_unref(message_new(pool, SMALL, true));
    assert_int_equal(blocks, own);
    message_pool_close(pool);
}

static void sizes_that_nobody_asks_for_do_not_stay(void **state)
{
    (void)state;
    enum { OUT = 8 };
    struct message *out[OUT];
    struct message_pool *pool = message_pool_new(1 << 20);
    for (size_t i = 0; i < OUT; i++)
        out[i] = message_new(pool, SMALL, true);
    for (size_t i = 0; i < OUT; i++)
        message_unref(out[i]);
    /* The large ones find nothing that fits, and clear it away. */
    for (size_t i = 0; i < OUT; i++)
        out[i] = message_new(pool, LARGE, true);
    size_t before = blocks;
    for (size_t i = 0; i < OUT; i++)
        message_unref(out[i]);
    assert_int_equal(blocks, before); /* all of it is kept: OUT messages and the pool */
    assert_int_equal(blocks, OUT + 1);
    /* A small one does not get what is many times too large for it. */
    struct message *small = message_new(pool, SMALL, true);
    assert_in_range(small->cap, SMALL, SMALL + 32);
    message_unref(small);
    message_pool_close(pool);
}

static void messages_outlive_their_pool(void **state)
{
    (void)state;
    struct message_pool *pool = message_pool_new(1 << 20);
    struct message *message = message_new(pool, SMALL, true);
    message_pool_close(pool);
    fill(message);
    message_unref(message);
    message_pool_close(NULL);
}

static void *give_back(void *arg)
{
    struct message **ring = arg;
    for (int i = 0; i < MANY; i++) {
        struct message *message;
        while (!(message = __atomic_exchange_n(&ring[i % 256], NULL, __ATOMIC_ACQUIRE)))
            sched_yield();
        message_unref(message);
    }
    return NULL;
}

static void one_thread_makes_them_and_another_gives_them_back(void **state)
{
    (void)state;
    static struct message *ring[256];
    struct message_pool *pool = message_pool_new(1 << 16);
    pthread_t thread;
    wh_alloc_set(NULL); /* the counters know one thread */
    assert_int_equal(pthread_create(&thread, NULL, give_back, ring), 0);
    for (int i = 0; i < MANY; i++) {
        struct message *message = message_new(pool, SMALL + (size_t)i % 512, true);
        fill(message);
        while (__atomic_load_n(&ring[i % 256], __ATOMIC_RELAXED))
            sched_yield();
        __atomic_store_n(&ring[i % 256], message, __ATOMIC_RELEASE);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    message_pool_close(pool);
}

int main(void)
{
#define COUNTED(test) cmocka_unit_test_setup_teardown(test, count_blocks, all_are_back)
    const struct CMUnitTest tests[] = {
        COUNTED(what_came_back_is_taken_again),
        COUNTED(a_message_that_was_kept_is_not_given_to_others),
        COUNTED(no_more_lies_there_than_was_allowed),
        COUNTED(sizes_that_nobody_asks_for_do_not_stay),
        COUNTED(messages_outlive_their_pool),
        cmocka_unit_test(one_thread_makes_them_and_another_gives_them_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
