#include "services/order/order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static const struct order_patience patience = {.payment_timeout_ms = 30000,
                                               .payment_attempts = 3,
                                               .settle_timeout_ms = 60000};

/*
 * The whole machine, once more and in other words: <step reached> then what is done.
 *   R stock back   C order.cancelled   K order.confirmed   ! unexpected
 *   p, c, v, r: asks for payment, capture, void, refund
 */
static const char *const expected[ORDER_STEP_COUNT][ORDER_EVENT_COUNT] = {
    /*  authorized          declined     captured               voided       refunded     cancel
       overdue               give up */
    {"awaiting_capture K", "closed RC", "captured K!", "closed RC", "closed RC!",
     "awaiting_void RCv", "awaiting_payment p", "awaiting_void RCv"},
    {"awaiting_capture ", "closed RC", "captured ", "closed RC", "closed RC", "awaiting_refund RCr",
     "awaiting_capture c", "awaiting_capture c"},
    {"captured ", "captured !", "captured ", "captured !", "closed RC", "awaiting_refund RCr",
     "captured ", "captured "},
    {"awaiting_void v", "closed ", "awaiting_refund r!", "closed ", "closed ", "awaiting_void ",
     "awaiting_void v", "awaiting_void v"},
    {"awaiting_refund ", "closed ", "awaiting_refund ", "closed ", "closed ", "awaiting_refund ",
     "awaiting_refund r", "awaiting_refund r"},
    {"awaiting_void v", "closed ", "awaiting_refund r", "closed ", "closed ", "closed ", "closed ",
     "closed "},
};

static void describe(const struct order_transition *transition, char out[64])
{
    static const struct {
        uint32_t effect;
        const char *letter;
    } letters[] = {{ORDER_RESTOCK, "R"},        {ORDER_TELL_CANCELLED, "C"},
                   {ORDER_TELL_CONFIRMED, "K"}, {ORDER_ASK_PAYMENT, "p"},
                   {ORDER_ASK_CAPTURE, "c"},    {ORDER_ASK_VOID, "v"},
                   {ORDER_ASK_REFUND, "r"},     {ORDER_IS_UNEXPECTED, "!"}};
    size_t len = (size_t)snprintf(out, 64, "%s ", order_step_name(transition->next));
    for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++)
        if (transition->effects & letters[i].effect)
            len += (size_t)snprintf(out + len, 64 - len, "%s", letters[i].letter);
}

static void every_event_in_every_step_does_what_the_second_table_says(void **state)
{
    (void)state;
    for (unsigned step = 0; step < ORDER_STEP_COUNT; step++) {
        for (unsigned event = 0; event < ORDER_EVENT_COUNT; event++) {
            char got[64];
            describe(order_transition((enum order_step)step, (enum order_event)event), got);
            if (strcmp(got, expected[step][event]) != 0)
                fail_msg("%s, event %u: %s, expected %s", order_step_name((enum order_step)step),
                         event, got, expected[step][event]);
        }
    }
}

typedef void claim(enum order_step step,
                   enum order_event event,
                   const struct order_transition *transition);

static void for_all(claim *check)
{
    for (unsigned step = 0; step < ORDER_STEP_COUNT; step++)
        for (unsigned event = 0; event < ORDER_EVENT_COUNT; event++)
            check((enum order_step)step, (enum order_event)event,
                  order_transition((enum order_step)step, (enum order_event)event));
}

static void check_stock(enum order_step step,
                        enum order_event event,
                        const struct order_transition *transition)
{
    bool was_active = order_state_of(step) != ORDER_CANCELLED;
    bool is_active = order_state_of(transition->next) != ORDER_CANCELLED;
    (void)event;
    assert_int_equal(was_active && !is_active, (transition->effects & ORDER_RESTOCK) != 0);
    assert_int_equal(was_active && !is_active, (transition->effects & ORDER_TELL_CANCELLED) != 0);
    assert_int_equal(was_active && !is_active, transition->reason != ORDER_NO_REASON);
}

static void stock_comes_back_exactly_when_an_order_becomes_cancelled(void **state)
{
    (void)state;
    for_all(check_stock);
}

static void check_direction(enum order_step step,
                            enum order_event event,
                            const struct order_transition *transition)
{
    enum order_state before = order_state_of(step);
    enum order_state after = order_state_of(transition->next);
    (void)event;
    assert_true(after >= before);
    assert_int_equal(before == ORDER_PENDING && after == ORDER_CONFIRMED,
                     (transition->effects & ORDER_TELL_CONFIRMED) != 0);
}

static void states_go_forward_only_and_confirmation_is_told_once(void **state)
{
    (void)state;
    for_all(check_direction);
}

static void check_request(enum order_step step,
                          enum order_event event,
                          const struct order_transition *transition)
{
    static const uint32_t requests[ORDER_STEP_COUNT] = {
        [ORDER_AWAITING_PAYMENT] = ORDER_ASK_PAYMENT,
        [ORDER_AWAITING_CAPTURE] = ORDER_ASK_CAPTURE | ORDER_TELL_CONFIRMED,
        [ORDER_AWAITING_VOID] = ORDER_ASK_VOID,
        [ORDER_AWAITING_REFUND] = ORDER_ASK_REFUND,
    };
    const uint32_t all = ORDER_ASK_PAYMENT | ORDER_ASK_CAPTURE | ORDER_ASK_VOID | ORDER_ASK_REFUND;
    bool is_deadline = event == ORDER_OVERDUE || event == ORDER_GIVE_UP;
    if (transition->next != step && !order_is_settled(transition->next))
        assert_int_not_equal(transition->effects & requests[transition->next], 0);
    if (is_deadline && !order_is_settled(step))
        assert_int_not_equal(transition->effects & requests[transition->next], 0);
    assert_int_equal(transition->effects & all & ~requests[transition->next], 0);
}

static void whoever_waits_has_asked_and_asks_for_nothing_else(void **state)
{
    (void)state;
    for_all(check_request);
}

static void check_repeat(enum order_step step,
                         enum order_event event,
                         const struct order_transition *transition)
{
    const uint32_t once = ORDER_RESTOCK | ORDER_TELL_CANCELLED | ORDER_TELL_CONFIRMED;
    (void)step;
    assert_int_equal(order_transition(transition->next, event)->effects & once, 0);
}

static void the_same_event_twice_moves_stock_and_tells_its_owner_once(void **state)
{
    (void)state;
    for_all(check_repeat);
}

/* Whatever payment answers, as long as it answers: the order ends settled. */
static void every_step_settles_by_the_answer_that_it_waits_for(void **state)
{
    static const enum order_event answers[ORDER_STEP_COUNT] = {
        [ORDER_AWAITING_PAYMENT] = ORDER_PAYMENT_DECLINED,
        [ORDER_AWAITING_CAPTURE] = ORDER_PAYMENT_CAPTURED,
        [ORDER_AWAITING_VOID] = ORDER_PAYMENT_VOIDED,
        [ORDER_AWAITING_REFUND] = ORDER_PAYMENT_REFUNDED,
    };
    (void)state;
    for (unsigned step = 0; step < ORDER_STEP_COUNT; step++)
        assert_true(order_is_settled((enum order_step)step) ||
                    order_is_settled(order_transition((enum order_step)step, answers[step])->next));
}

static void names_are_distinct_and_lead_back(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ORDER_STEP_COUNT; i++) {
        enum order_step step = ORDER_AWAITING_PAYMENT;
        assert_true(
            order_step_from_name(wh_slice_from_str(order_step_name((enum order_step)i)), &step));
        assert_int_equal(step, i);
    }
    for (unsigned i = 0; i < ORDER_STATE_COUNT; i++) {
        enum order_state back = ORDER_PENDING;
        assert_true(
            order_state_from_name(wh_slice_from_str(order_state_name((enum order_state)i)), &back));
        assert_int_equal(back, i);
    }
    enum order_state untouched = ORDER_CONFIRMED;
    assert_false(order_state_from_name(WH_SLICE_LITERAL("Pending"), &untouched));
    assert_false(order_state_from_name(WH_SLICE_ABSENT, &untouched));
    assert_int_equal(untouched, ORDER_CONFIRMED);
}

static void a_payment_is_asked_for_as_often_as_configured_and_money_for_ever(void **state)
{
    (void)state;
    assert_int_equal(order_on_deadline(&patience, ORDER_AWAITING_PAYMENT, 1), ORDER_OVERDUE);
    assert_int_equal(order_on_deadline(&patience, ORDER_AWAITING_PAYMENT, 2), ORDER_OVERDUE);
    assert_int_equal(order_on_deadline(&patience, ORDER_AWAITING_PAYMENT, 3), ORDER_GIVE_UP);
    assert_int_equal(order_on_deadline(&patience, ORDER_AWAITING_VOID, 1000), ORDER_OVERDUE);
    assert_int_equal(order_on_deadline(&patience, ORDER_AWAITING_CAPTURE, 1000), ORDER_OVERDUE);
}

static void waiting_doubles_up_to_an_hour_and_settled_orders_have_no_deadline(void **state)
{
    (void)state;
    assert_int_equal(order_wait_ms(&patience, ORDER_AWAITING_PAYMENT, 3), 30000);
    assert_int_equal(order_wait_ms(&patience, ORDER_AWAITING_VOID, 1), 60000);
    assert_int_equal(order_wait_ms(&patience, ORDER_AWAITING_VOID, 2), 120000);
    assert_int_equal(order_wait_ms(&patience, ORDER_AWAITING_REFUND, 7), 3600000);
    assert_int_equal(order_wait_ms(&patience, ORDER_AWAITING_REFUND, UINT32_MAX), 3600000);
    assert_int_equal(order_wait_ms(&patience, ORDER_CAPTURED, 1), 0);
    assert_int_equal(order_wait_ms(&patience, ORDER_CLOSED, 1), 0);
}

static void payments_only_go_forward(void **state)
{
    (void)state;
    assert_true(order_payment_after(ORDER_PAYMENT_AUTHORIZED) > ORDER_PAYMENT_IS_REQUESTED);
    assert_true(order_payment_after(ORDER_PAYMENT_CAPTURED) >
                order_payment_after(ORDER_PAYMENT_AUTHORIZED));
    assert_true(order_payment_after(ORDER_PAYMENT_DECLINED) >
                order_payment_after(ORDER_PAYMENT_AUTHORIZED));
    assert_true(order_payment_after(ORDER_PAYMENT_VOIDED) >
                order_payment_after(ORDER_PAYMENT_AUTHORIZED));
    assert_true(order_payment_after(ORDER_PAYMENT_REFUNDED) >
                order_payment_after(ORDER_PAYMENT_CAPTURED));
    assert_string_equal(order_payment_name(order_payment_after(ORDER_PAYMENT_REFUNDED)),
                        "refunded");
}

static void cards_have_digits_a_length_and_a_check_digit(void **state)
{
    static const char *const good[] = {"4242424242424242", "4000000000000002", "4000000000000127",
                                       "4000000000000259", "4000000000000341", "4000000000000408",
                                       "378282246310005"};
    static const char *const bad[] = {"",
                                      "4242424242424241",
                                      "4242 4242 4242 4242",
                                      "42424242424",
                                      "42424242424242424242",
                                      "424242424242424a",
                                      "-242424242424242"};
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(order_card_is_valid(wh_slice_from_str(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(order_card_is_valid(wh_slice_from_str(bad[i])));
    assert_false(order_card_is_valid(WH_SLICE_ABSENT));
    assert_true(wh_slice_equal_str(order_card_last4(wh_slice_from_str(good[6])), "0005"));
}

static void ids_are_uuids_in_their_one_form(void **state)
{
    (void)state;
    assert_true(order_id_is_valid(WH_SLICE_LITERAL("0193ad7c-1fe0-7c8e-b1ee-2f0e5f1a9d10")));
    assert_false(order_id_is_valid(WH_SLICE_LITERAL("0193AD7C-1fe0-7c8e-b1ee-2f0e5f1a9d10")));
    assert_false(order_id_is_valid(WH_SLICE_LITERAL("0193ad7c-1fe0-7c8e-b1ee-2f0e5f1a9d1")));
    assert_false(order_id_is_valid(WH_SLICE_LITERAL("0193ad7c11fe0-7c8e-b1ee-2f0e5f1a9d10")));
    assert_false(order_id_is_valid(WH_SLICE_LITERAL("0193ad7c-1fe0-7c8e-b1ee-2f0e5f1a9d-0")));
    assert_false(order_id_is_valid(WH_SLICE_ABSENT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_event_in_every_step_does_what_the_second_table_says),
        cmocka_unit_test(stock_comes_back_exactly_when_an_order_becomes_cancelled),
        cmocka_unit_test(states_go_forward_only_and_confirmation_is_told_once),
        cmocka_unit_test(whoever_waits_has_asked_and_asks_for_nothing_else),
        cmocka_unit_test(the_same_event_twice_moves_stock_and_tells_its_owner_once),
        cmocka_unit_test(every_step_settles_by_the_answer_that_it_waits_for),
        cmocka_unit_test(names_are_distinct_and_lead_back),
        cmocka_unit_test(a_payment_is_asked_for_as_often_as_configured_and_money_for_ever),
        cmocka_unit_test(waiting_doubles_up_to_an_hour_and_settled_orders_have_no_deadline),
        cmocka_unit_test(payments_only_go_forward),
        cmocka_unit_test(cards_have_digits_a_length_and_a_check_digit),
        cmocka_unit_test(ids_are_uuids_in_their_one_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
