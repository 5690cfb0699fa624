#include "common/base/breaker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { MIDDLE = 1000 }; /* the random number that moves a probe neither way */

static const struct breaker_options options = {
    .window_ms = 10000,
    .calls_min = 20,
    .failure_percent = 50,
    .consecutive_timeouts = 5,
    .open_ms = 5000,
};

static void record_many(struct breaker *breaker,
                        unsigned count,
                        enum breaker_verdict verdict,
                        uint64_t now_ms)
{
    while (count-- > 0)
        breaker_record(breaker, &options, now_ms, verdict, false, MIDDLE);
}

static bool admits(struct breaker *breaker, uint64_t now_ms)
{
    bool is_probe;
    return breaker_admit(breaker, now_ms, &is_probe);
}

static void opened(struct breaker *breaker, uint64_t now_ms)
{
    *breaker = (struct breaker){0};
    record_many(breaker, 20, BREAKER_FAILURE, now_ms);
    assert_int_equal(breaker->state, BREAKER_OPEN);
}

static void half_of_enough_calls_must_fail_to_open_it(void **state)
{
    static const struct {
        unsigned successes, failures;
        enum breaker_state state;
    } cases[] = {
        {0, 19, BREAKER_CLOSED}, /* too few calls */
        {0, 20, BREAKER_OPEN},      {11, 10, BREAKER_CLOSED}, {10, 10, BREAKER_OPEN},
        {101, 100, BREAKER_CLOSED}, {100, 100, BREAKER_OPEN},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct breaker breaker = {0};
        record_many(&breaker, cases[i].successes, BREAKER_SUCCESS, 1000);
        record_many(&breaker, cases[i].failures, BREAKER_FAILURE, 1000);
        assert_int_equal(breaker.state, cases[i].state);
    }
}

static void successes_older_than_the_window_excuse_nothing(void **state)
{
    (void)state;
    for (uint64_t later_ms = 0; later_ms <= 30000; later_ms += 500) {
        struct breaker breaker = {0};
        record_many(&breaker, 21, BREAKER_SUCCESS, 1000000);
        record_many(&breaker, 20, BREAKER_FAILURE, 1000000 + later_ms);
        assert_int_equal(breaker.state, later_ms < 10000 ? BREAKER_CLOSED : BREAKER_OPEN);
    }
}

static void failures_older_than_the_window_do_not_count(void **state)
{
    (void)state;
    for (uint64_t later_ms = 0; later_ms <= 30000; later_ms += 500) {
        struct breaker breaker = {0};
        record_many(&breaker, 19, BREAKER_FAILURE, 1000000);
        record_many(&breaker, 1, BREAKER_FAILURE, 1000000 + later_ms);
        assert_int_equal(breaker.state, later_ms < 10000 ? BREAKER_OPEN : BREAKER_CLOSED);
    }
}

static void timeouts_in_a_row_open_it_before_there_are_enough_calls(void **state)
{
    (void)state;
    struct breaker breaker = {0};
    record_many(&breaker, 4, BREAKER_TIMEOUT, 1000);
    record_many(&breaker, 1, BREAKER_SUCCESS, 1000);
    record_many(&breaker, 4, BREAKER_TIMEOUT, 1000);
    assert_int_equal(breaker.state, BREAKER_CLOSED);
    record_many(&breaker, 1, BREAKER_TIMEOUT, 1000);
    assert_int_equal(breaker.state, BREAKER_OPEN);
}

static void open_it_refuses_until_one_probe_may_go(void **state)
{
    (void)state;
    struct breaker breaker;
    bool is_probe = false;
    opened(&breaker, 1000);
    assert_false(admits(&breaker, 1000));
    assert_false(admits(&breaker, 5999));
    assert_true(breaker_admit(&breaker, 6000, &is_probe));
    assert_true(is_probe);
    assert_int_equal(breaker.state, BREAKER_HALF_OPEN);
    assert_false(admits(&breaker, 6000)); /* one probe at a time */
    assert_false(admits(&breaker, 999999));
}

static void the_probe_decides(void **state)
{
    static const struct {
        enum breaker_verdict verdict;
        enum breaker_state state;
        bool admits_next;
    } cases[] = {
        {BREAKER_SUCCESS, BREAKER_CLOSED, true},
        {BREAKER_FAILURE, BREAKER_OPEN, false},
        {BREAKER_TIMEOUT, BREAKER_OPEN, false},
        {BREAKER_NO_VERDICT, BREAKER_HALF_OPEN, true}, /* its caller left: the next one probes */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct breaker breaker;
        bool is_probe;
        opened(&breaker, 1000);
        assert_true(breaker_admit(&breaker, 6000, &is_probe));
        breaker_record(&breaker, &options, 6100, cases[i].verdict, is_probe, MIDDLE);
        assert_int_equal(breaker.state, cases[i].state);
        assert_int_equal(admits(&breaker, 6200), cases[i].admits_next);
    }
}

static void calls_from_before_it_opened_decide_nothing(void **state)
{
    (void)state;
    struct breaker breaker;
    opened(&breaker, 1000);
    record_many(&breaker, 100, BREAKER_SUCCESS, 2000);
    assert_int_equal(breaker.state, BREAKER_OPEN);
    assert_true(admits(&breaker, 6000));
    record_many(&breaker, 100, BREAKER_FAILURE, 6000);
    assert_int_equal(breaker.state, BREAKER_HALF_OPEN);
    breaker_record(&breaker, &options, 6100, BREAKER_SUCCESS, true, MIDDLE);
    record_many(&breaker, 19, BREAKER_FAILURE, 6200); /* and nothing of them was kept */
    assert_int_equal(breaker.state, BREAKER_CLOSED);
}

static void the_probe_comes_within_a_fifth_of_its_time(void **state)
{
    (void)state;
    uint64_t earliest = UINT64_MAX, latest = 0;
    for (uint64_t random = 0; random < 5000; random++) {
        struct breaker breaker = {0};
        for (unsigned i = 0; i < 20; i++)
            breaker_record(&breaker, &options, 1000, BREAKER_FAILURE, false, random);
        earliest = breaker.probe_at_ms < earliest ? breaker.probe_at_ms : earliest;
        latest = breaker.probe_at_ms > latest ? breaker.probe_at_ms : latest;
    }
    assert_int_equal(earliest, 1000 + 4000);
    assert_int_equal(latest, 1000 + 6000);
}

static void without_a_window_it_never_opens(void **state)
{
    (void)state;
    struct breaker_options off = options;
    struct breaker breaker = {0};
    off.window_ms = 0;
    for (unsigned i = 0; i < 1000; i++)
        breaker_record(&breaker, &off, i, BREAKER_TIMEOUT, false, i);
    assert_int_equal(breaker.state, BREAKER_CLOSED);
}

static void tiny_options_are_taken_as_they_are(void **state)
{
    (void)state;
    struct breaker_options tiny = {
        .window_ms = 1, .calls_min = 1, .failure_percent = 1, .open_ms = 1};
    struct breaker breaker = {0};
    breaker_record(&breaker, &tiny, UINT64_MAX / 2, BREAKER_FAILURE, false, UINT64_MAX);
    assert_int_equal(breaker.state, BREAKER_OPEN);
    assert_true(admits(&breaker, UINT64_MAX / 2 + 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_of_enough_calls_must_fail_to_open_it),
        cmocka_unit_test(successes_older_than_the_window_excuse_nothing),
        cmocka_unit_test(failures_older_than_the_window_do_not_count),
        cmocka_unit_test(timeouts_in_a_row_open_it_before_there_are_enough_calls),
        cmocka_unit_test(open_it_refuses_until_one_probe_may_go),
        cmocka_unit_test(the_probe_decides),
        cmocka_unit_test(calls_from_before_it_opened_decide_nothing),
        cmocka_unit_test(the_probe_comes_within_a_fifth_of_its_time),
        cmocka_unit_test(without_a_window_it_never_opens),
        cmocka_unit_test(tiny_options_are_taken_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
