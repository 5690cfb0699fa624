#include "services/payment/payment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct row {
    enum payment_state state;
    enum payment_wish wish;
};

/* What the provider has in its books: each operation at most once. */
struct books {
    bool is_authorized, is_captured, is_voided, is_refunded;
};

static uint64_t seed;

static unsigned random_below(unsigned n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % n;
}

/* Idempotent, as provider.h demands; `declines` is what this card does. */
static enum payment_answer provider_does(struct books *books, enum payment_wish wish, bool declines)
{
    switch (wish) {
    case PAYMENT_AUTHORIZE:
        if (books->is_voided || declines)
            return books->is_authorized ? PAYMENT_DONE : PAYMENT_REFUSED;
        books->is_authorized = true;
        return PAYMENT_DONE;
    case PAYMENT_CAPTURE:
        if (!books->is_authorized || books->is_voided)
            return PAYMENT_REFUSED;
        books->is_captured = true;
        return PAYMENT_DONE;
    case PAYMENT_VOID:
        if (books->is_captured)
            return PAYMENT_REFUSED;
        books->is_voided = true;
        return PAYMENT_DONE;
    case PAYMENT_REFUND:
        assert_true(books->is_captured);
        books->is_refunded = true;
        return PAYMENT_DONE;
    default:
        fail();
        return PAYMENT_REFUSED;
    }
}

static bool ask(struct row *row, enum payment_ask what)
{
    struct payment_next next;
    if (payment_asked(row->state, row->wish, what, &next))
        return false;
    row->state = next.state;
    row->wish = next.wish;
    return true;
}

/* One turn of the job; an event may come while the provider thinks, and answers may be lost. */
static void work(struct row *row, struct books *books, bool declines, int event_meanwhile)
{
    if (row->wish == PAYMENT_NOTHING)
        return;
    enum payment_wish done = row->wish;
    enum payment_answer answer = provider_does(books, done, declines);
    if (event_meanwhile >= 0)
        (void)ask(row, (enum payment_ask)event_meanwhile);
    if (random_below(4) == 0)
        return; /* lost: the wish stays */
    struct payment_next next = payment_answered(row->state, row->wish, done, answer);
    row->state = next.state;
    row->wish = next.wish;
}

static void finish(struct row *row, struct books *books, bool declines)
{
    for (unsigned i = 0; i < 200 && row->wish != PAYMENT_NOTHING; i++)
        work(row, books, declines, -1);
    assert_int_equal(row->wish, PAYMENT_NOTHING);
}

/* Whatever comes in whatever order, however often, with answers lost: when nothing is left to do
 * our books and the provider's say the same. */
static void money_is_where_the_state_says(void **state)
{
    (void)state;
    for (unsigned run = 1; run <= 20000; run++) {
        seed = run;
        struct row row = {PAYMENT_UNKNOWN, PAYMENT_NOTHING};
        struct books books = {false};
        bool declines = random_below(4) == 0;
        bool is_void_asked = false;
        for (unsigned step = 0; step < 12; step++) {
            enum payment_ask what = (enum payment_ask)random_below(PAYMENT_ASK_COUNT);
            bool is_during = random_below(2) == 0;
            bool is_back = what == PAYMENT_ASK_VOID || what == PAYMENT_ASK_REFUND;
            if (is_during) {
                if (row.wish == PAYMENT_NOTHING)
                    continue;
                work(&row, &books, declines, (int)what);
                is_void_asked |= is_back;
            } else {
                bool is_taken = ask(&row, what);
                is_void_asked |= is_back && is_taken;
            }
        }
        finish(&row, &books, declines);
        bool is_held = books.is_authorized && !books.is_captured && !books.is_voided;
        bool is_ours = books.is_captured && !books.is_refunded;
        if (is_held != (row.state == PAYMENT_AUTHORIZED) ||
            is_ours != (row.state == PAYMENT_CAPTURED))
            fail_msg("run %u: %s, but held %d ours %d", run, payment_state_name(row.state), is_held,
                     is_ours);
        if (is_void_asked && (is_held || is_ours))
            fail_msg("run %u: the money was to go back", run);
    }
}

static void every_ask_after_the_end_is_answered_again(void **state)
{
    (void)state;
    for (int ask_ = 0; ask_ < PAYMENT_ASK_COUNT; ask_++) {
        struct payment_next next;
        assert_int_equal(
            payment_asked(PAYMENT_REFUNDED, PAYMENT_NOTHING, (enum payment_ask)ask_, &next), WH_OK);
        assert_true(next.is_told);
        assert_int_equal(next.state, PAYMENT_REFUNDED);
    }
}

static void a_void_before_its_request_keeps_it_from_being_charged(void **state)
{
    (void)state;
    struct row row = {PAYMENT_UNKNOWN, PAYMENT_NOTHING};
    assert_true(ask(&row, PAYMENT_ASK_VOID));
    assert_int_equal(row.state, PAYMENT_VOIDED);
    assert_true(ask(&row, PAYMENT_ASK_REQUEST));
    assert_int_equal(row.state, PAYMENT_VOIDED);
    assert_int_equal(row.wish, PAYMENT_NOTHING);
}

static void a_capture_before_its_authorization_waits(void **state)
{
    (void)state;
    struct payment_next next;
    assert_int_equal(
        payment_asked(PAYMENT_REQUESTED, PAYMENT_AUTHORIZE, PAYMENT_ASK_CAPTURE, &next),
        WH_EUNAVAILABLE);
    assert_int_equal(payment_asked(PAYMENT_UNKNOWN, PAYMENT_NOTHING, PAYMENT_ASK_CAPTURE, &next),
                     WH_EUNAVAILABLE);
}

static void states_are_told_when_they_are_reached(void **state)
{
    (void)state;
    struct payment_next next =
        payment_answered(PAYMENT_REQUESTED, PAYMENT_AUTHORIZE, PAYMENT_AUTHORIZE, PAYMENT_DONE);
    assert_true(next.is_told);
    assert_string_equal(payment_event_type(next.state), "payment.authorized.v1");
    next =
        payment_answered(PAYMENT_REQUESTED, PAYMENT_AUTHORIZE, PAYMENT_AUTHORIZE, PAYMENT_REFUSED);
    assert_true(next.is_told);
    assert_string_equal(payment_event_type(next.state), "payment.declined.v1");
    /* Authorized on its way to void is nobody's business. */
    next = payment_answered(PAYMENT_REQUESTED, PAYMENT_VOID, PAYMENT_AUTHORIZE, PAYMENT_DONE);
    assert_int_equal(next.wish, PAYMENT_VOID);
    assert_false(next.is_told);
}

static void names_come_back(void **state)
{
    (void)state;
    for (int i = 0; i < PAYMENT_STATE_COUNT; i++) {
        enum payment_state back;
        const char *name = payment_state_name((enum payment_state)i);
        assert_true(payment_state_parse(wh_slice_from_str(name), &back));
        assert_int_equal(back, i);
    }
    for (int i = 0; i < PAYMENT_WISH_COUNT; i++) {
        enum payment_wish back;
        const char *name = payment_wish_name((enum payment_wish)i);
        assert_true(payment_wish_parse(wh_slice_from_str(name), &back));
        assert_int_equal(back, i);
    }
    enum payment_state untouched;
    assert_false(payment_state_parse(WH_SLICE_LITERAL("lost"), &untouched));
}

static void retries_slow_down_to_a_bound(void **state)
{
    (void)state;
    assert_int_equal(payment_retry_ms(0), 200);
    assert_int_equal(payment_retry_ms(1), 400);
    assert_int_equal(payment_retry_ms(6), 10000);
    assert_int_equal(payment_retry_ms(UINT32_MAX), 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(money_is_where_the_state_says),
        cmocka_unit_test(every_ask_after_the_end_is_answered_again),
        cmocka_unit_test(a_void_before_its_request_keeps_it_from_being_charged),
        cmocka_unit_test(a_capture_before_its_authorization_waits),
        cmocka_unit_test(states_are_told_when_they_are_reached),
        cmocka_unit_test(names_come_back),
        cmocka_unit_test(retries_slow_down_to_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
