#include "common/base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/clock.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Tests that seed come last: the thread stays seeded. */

static void a_forked_child_does_not_repeat_its_parent(void **state)
{
    (void)state;
    (void)wh_random_u64(); /* the pool has bytes left that both could hand out */
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        uint64_t word = wh_random_u64();
        _exit(write(ends[1], &word, sizeof word) == sizeof word ? 0 : 1);
    }
    uint64_t theirs = 0;
    assert_int_equal(read(ends[0], &theirs, sizeof theirs), sizeof theirs);
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(wh_random_u64() != theirs);
    close(ends[0]);
    close(ends[1]);
}

static void long_runs_cross_the_buffer_and_fill_every_byte(void **state)
{
    (void)state;
    unsigned char seen[1000] = {0};
    for (int round = 0; round < 20; round++) {
        unsigned char bytes[1000] = {0};
        wh_random_bytes(bytes, sizeof bytes);
        for (size_t i = 0; i < sizeof bytes; i++)
            seen[i] |= bytes[i];
    }
    for (size_t i = 0; i < sizeof seen; i++)
        assert_int_not_equal(seen[i], 0);
    wh_random_bytes(seen, 0);
}

static void below_reaches_every_value_and_never_the_bound(void **state)
{
    (void)state;
    unsigned counts[7] = {0};
    for (int i = 0; i < 70000; i++)
        counts[wh_random_below(7)]++;
    /* Six standard deviations around 10000: a false alarm once in a hundred million runs. */
    for (size_t i = 0; i < 7; i++)
        assert_in_range(counts[i], 9440, 10560);
    assert_int_equal(wh_random_below(0), 0);
    assert_int_equal(wh_random_below(1), 0);
    assert_true(wh_random_below(UINT64_MAX) < UINT64_MAX);
}

static void assert_uuid_form(const char *uuid, char version)
{
    assert_int_equal(strlen(uuid), 36);
    for (size_t i = 0; i < 36; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23)
            assert_int_equal(uuid[i], '-');
        else
            assert_non_null(strchr("0123456789abcdef", uuid[i]));
    }
    assert_int_equal(uuid[14], version);
    assert_non_null(strchr("89ab", uuid[19]));
}

static void uuids_have_the_forms_of_rfc_9562(void **state)
{
    (void)state;
    char a[37], b[37];
    for (int i = 0; i < 200; i++) {
        wh_random_uuid_v4(a);
        wh_random_uuid_v4(b);
        assert_uuid_form(a, '4');
        assert_string_not_equal(a, b);
    }
    /* The instant of the example in RFC 9562, appendix A.6. */
    wh_clock_set_fake(0, INT64_C(0x017F22E279B0));
    wh_random_uuid_v7(a);
    wh_clock_set_fake(0, INT64_C(0x017F22E279B1));
    wh_random_uuid_v7(b);
    wh_clock_set_real();
    assert_uuid_form(a, '7');
    assert_memory_equal(a, "017f22e2-79b0-7", 15);
    assert_true(strcmp(a, b) < 0);
}

static void letters_are_letters_and_terminated(void **state)
{
    (void)state;
    char text[65];
    memset(text, '#', sizeof text);
    wh_random_letters(text, 64);
    assert_int_equal(strlen(text), 64);
    assert_int_equal(strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"), 64);
    wh_random_letters(text, 0);
    assert_string_equal(text, "");
}

static void a_seed_repeats_the_stream(void **state)
{
    (void)state;
    /* The published first output of SplitMix64 for the seed 0. */
    wh_random_seed(0);
    assert_true(wh_random_u64() == UINT64_C(0xE220A8397B1DCDAF));
    char first[20], second[20];
    wh_random_seed(99);
    wh_random_bytes(first, sizeof first);
    wh_random_seed(99);
    wh_random_bytes(second, sizeof second);
    assert_memory_equal(first, second, sizeof first);
    wh_random_seed(100);
    wh_random_bytes(second, sizeof second);
    assert_memory_not_equal(first, second, sizeof first);
}

static void the_kernel_is_asked_even_when_seeded(void **state)
{
    (void)state;
    uint64_t a, b;
    wh_random_seed(1);
    wh_random_kernel(&a, sizeof a);
    wh_random_seed(1);
    wh_random_kernel(&b, sizeof b);
    assert_true(a != b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_forked_child_does_not_repeat_its_parent),
        cmocka_unit_test(long_runs_cross_the_buffer_and_fill_every_byte),
        cmocka_unit_test(below_reaches_every_value_and_never_the_bound),
        cmocka_unit_test(uuids_have_the_forms_of_rfc_9562),
        cmocka_unit_test(letters_are_letters_and_terminated),
        cmocka_unit_test(a_seed_repeats_the_stream),
        cmocka_unit_test(the_kernel_is_asked_even_when_seeded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
