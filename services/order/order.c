/*
 * The table is written as prose would put it: for each step what every event
 * means.  A row of STAY changes nothing.  tests/unit/services/order holds what
 * must be true of all rows together: stock comes back exactly when an order
 * leaves pending or confirmed for cancelled, no way leads out of cancelled.
 */
#include "services/order/order.h"

#define TO(step, ...)                                                                              \
    {                                                                                              \
        ORDER_##step, __VA_ARGS__, ORDER_NO_REASON                                                 \
    }
#define CANCEL(step, why, ...)                                                                     \
    {                                                                                              \
        ORDER_##step, ORDER_RESTOCK | ORDER_TELL_CANCELLED | (__VA_ARGS__), why                    \
    }
#define STAY(step)                                                                                 \
    {                                                                                              \
        ORDER_##step, 0, ORDER_NO_REASON                                                           \
    }
#define UNEXPECTED(step)                                                                           \
    {                                                                                              \
        ORDER_##step, ORDER_IS_UNEXPECTED, ORDER_NO_REASON                                         \
    }

static const struct order_transition transitions[ORDER_STEP_COUNT][ORDER_EVENT_COUNT] = {
    /* clang-format off */
    [ORDER_AWAITING_PAYMENT] = {
        [ORDER_PAYMENT_AUTHORIZED] = TO(AWAITING_CAPTURE, ORDER_TELL_CONFIRMED),
        [ORDER_PAYMENT_DECLINED]   = CANCEL(CLOSED, ORDER_DECLINED, 0),
        /* Taken before we said so: the authorization is still on its way, or payment has erred.
         * Either way it is paid. */
        [ORDER_PAYMENT_CAPTURED]   = TO(CAPTURED, ORDER_TELL_CONFIRMED | ORDER_IS_UNEXPECTED),
        [ORDER_PAYMENT_VOIDED]     = CANCEL(CLOSED, ORDER_PAYMENT_VOIDED_THERE, 0),
        [ORDER_PAYMENT_REFUNDED]   = CANCEL(CLOSED, ORDER_REFUNDED, ORDER_IS_UNEXPECTED),
        [ORDER_CANCEL]             = CANCEL(AWAITING_VOID, ORDER_BY_USER, ORDER_ASK_VOID),
        [ORDER_OVERDUE]            = TO(AWAITING_PAYMENT, ORDER_ASK_PAYMENT),
        [ORDER_GIVE_UP]            = CANCEL(AWAITING_VOID, ORDER_PAYMENT_TIMEOUT, ORDER_ASK_VOID),
    },
    [ORDER_AWAITING_CAPTURE] = {
        [ORDER_PAYMENT_AUTHORIZED] = STAY(AWAITING_CAPTURE),
        /* The bank changed its mind between authorization and capture. */
        [ORDER_PAYMENT_DECLINED]   = CANCEL(CLOSED, ORDER_DECLINED, 0),
        [ORDER_PAYMENT_CAPTURED]   = STAY(CAPTURED),
        [ORDER_PAYMENT_VOIDED]     = CANCEL(CLOSED, ORDER_PAYMENT_VOIDED_THERE, 0),
        [ORDER_PAYMENT_REFUNDED]   = CANCEL(CLOSED, ORDER_REFUNDED, 0),
        /* Whether the capture was faster is known to payment alone: it refunds or voids. */
        [ORDER_CANCEL]             = CANCEL(AWAITING_REFUND, ORDER_BY_USER, ORDER_ASK_REFUND),
        [ORDER_OVERDUE]            = TO(AWAITING_CAPTURE, ORDER_ASK_CAPTURE),
        [ORDER_GIVE_UP]            = TO(AWAITING_CAPTURE, ORDER_ASK_CAPTURE),
    },
    [ORDER_CAPTURED] = {
        [ORDER_PAYMENT_AUTHORIZED] = STAY(CAPTURED),
        [ORDER_PAYMENT_DECLINED]   = UNEXPECTED(CAPTURED),
        [ORDER_PAYMENT_CAPTURED]   = STAY(CAPTURED),
        [ORDER_PAYMENT_VOIDED]     = UNEXPECTED(CAPTURED),
        /* By an operator of payment, say: the goods are not paid any more. */
        [ORDER_PAYMENT_REFUNDED]   = CANCEL(CLOSED, ORDER_REFUNDED, 0),
        [ORDER_CANCEL]             = CANCEL(AWAITING_REFUND, ORDER_BY_USER, ORDER_ASK_REFUND),
        [ORDER_OVERDUE]            = STAY(CAPTURED),
        [ORDER_GIVE_UP]            = STAY(CAPTURED),
    },
    [ORDER_AWAITING_VOID] = {
        /* The late answer: it crossed our cancellation, or the request to void was lost. */
        [ORDER_PAYMENT_AUTHORIZED] = TO(AWAITING_VOID, ORDER_ASK_VOID),
        [ORDER_PAYMENT_DECLINED]   = STAY(CLOSED),
        [ORDER_PAYMENT_CAPTURED]   = TO(AWAITING_REFUND, ORDER_ASK_REFUND | ORDER_IS_UNEXPECTED),
        [ORDER_PAYMENT_VOIDED]     = STAY(CLOSED),
        [ORDER_PAYMENT_REFUNDED]   = STAY(CLOSED),
        [ORDER_CANCEL]             = STAY(AWAITING_VOID),
        [ORDER_OVERDUE]            = TO(AWAITING_VOID, ORDER_ASK_VOID),
        [ORDER_GIVE_UP]            = TO(AWAITING_VOID, ORDER_ASK_VOID),
    },
    [ORDER_AWAITING_REFUND] = {
        [ORDER_PAYMENT_AUTHORIZED] = STAY(AWAITING_REFUND),
        [ORDER_PAYMENT_DECLINED]   = STAY(CLOSED),
        [ORDER_PAYMENT_CAPTURED]   = STAY(AWAITING_REFUND),
        [ORDER_PAYMENT_VOIDED]     = STAY(CLOSED), /* it had not been taken yet */
        [ORDER_PAYMENT_REFUNDED]   = STAY(CLOSED),
        [ORDER_CANCEL]             = STAY(AWAITING_REFUND),
        [ORDER_OVERDUE]            = TO(AWAITING_REFUND, ORDER_ASK_REFUND),
        [ORDER_GIVE_UP]            = TO(AWAITING_REFUND, ORDER_ASK_REFUND),
    },
    [ORDER_CLOSED] = {
        /* Payment is told again that nothing is wanted; what is over there already it answers with
         * what became of it, and that closes the order once more. */
        [ORDER_PAYMENT_AUTHORIZED] = TO(AWAITING_VOID, ORDER_ASK_VOID),
        [ORDER_PAYMENT_DECLINED]   = STAY(CLOSED),
        [ORDER_PAYMENT_CAPTURED]   = TO(AWAITING_REFUND, ORDER_ASK_REFUND),
        [ORDER_PAYMENT_VOIDED]     = STAY(CLOSED),
        [ORDER_PAYMENT_REFUNDED]   = STAY(CLOSED),
        [ORDER_CANCEL]             = STAY(CLOSED),
        [ORDER_OVERDUE]            = STAY(CLOSED),
        [ORDER_GIVE_UP]            = STAY(CLOSED),
    },
    /* clang-format on */
};

static const char *const state_names[ORDER_STATE_COUNT] = {"pending", "confirmed", "cancelled"};

static const char *const step_names[ORDER_STEP_COUNT] = {"awaiting_payment", "awaiting_capture",
                                                         "captured",         "awaiting_void",
                                                         "awaiting_refund",  "closed"};

static const char *const reason_names[ORDER_REASON_COUNT] = {
    "", "cancelled_by_user", "payment_declined", "payment_timeout", "payment_voided", "refunded"};

static const char *const payment_names[ORDER_PAYMENT_COUNT] = {
    "requested", "authorized", "captured", "declined", "voided", "refunded"};

const struct order_transition *order_transition(enum order_step step, enum order_event event)
{
    WH_ASSERT((unsigned)step < ORDER_STEP_COUNT && (unsigned)event < ORDER_EVENT_COUNT);
    return &transitions[step][event];
}

enum order_state order_state_of(enum order_step step)
{
    static const enum order_state states[ORDER_STEP_COUNT] = {
        [ORDER_AWAITING_PAYMENT] = ORDER_PENDING,  [ORDER_AWAITING_CAPTURE] = ORDER_CONFIRMED,
        [ORDER_CAPTURED] = ORDER_CONFIRMED,        [ORDER_AWAITING_VOID] = ORDER_CANCELLED,
        [ORDER_AWAITING_REFUND] = ORDER_CANCELLED, [ORDER_CLOSED] = ORDER_CANCELLED,
    };
    WH_ASSERT((unsigned)step < ORDER_STEP_COUNT);
    return states[step];
}

bool order_is_settled(enum order_step step)
{
    return step == ORDER_CAPTURED || step == ORDER_CLOSED;
}

const char *order_state_name(enum order_state state)
{
    WH_ASSERT((unsigned)state < ORDER_STATE_COUNT);
    return state_names[state];
}

const char *order_step_name(enum order_step step)
{
    WH_ASSERT((unsigned)step < ORDER_STEP_COUNT);
    return step_names[step];
}

const char *order_reason_name(enum order_reason reason)
{
    WH_ASSERT((unsigned)reason < ORDER_REASON_COUNT);
    return reason_names[reason];
}

const char *order_payment_name(enum order_payment payment)
{
    WH_ASSERT((unsigned)payment < ORDER_PAYMENT_COUNT);
    return payment_names[payment];
}

bool order_state_from_name(struct wh_slice name, enum order_state *out)
{
    for (unsigned i = 0; i < ORDER_STATE_COUNT; i++) {
        if (wh_slice_equal_str(name, state_names[i])) {
            *out = (enum order_state)i;
            return true;
        }
    }
    return false;
}

bool order_step_from_name(struct wh_slice name, enum order_step *out)
{
    for (unsigned i = 0; i < ORDER_STEP_COUNT; i++) {
        if (wh_slice_equal_str(name, step_names[i])) {
            *out = (enum order_step)i;
            return true;
        }
    }
    return false;
}

uint64_t order_wait_ms(const struct order_patience *patience,
                       enum order_step step,
                       uint32_t attempts)
{
    uint64_t wait = patience->settle_timeout_ms;
    if (order_is_settled(step))
        return 0;
    if (step == ORDER_AWAITING_PAYMENT)
        return patience->payment_timeout_ms;
    for (uint32_t i = 1; i < attempts && wait < ORDER_SETTLE_TIMEOUT_MAX_MS; i++)
        wait *= 2;
    return wait < ORDER_SETTLE_TIMEOUT_MAX_MS ? wait : ORDER_SETTLE_TIMEOUT_MAX_MS;
}

enum order_event order_on_deadline(const struct order_patience *patience,
                                   enum order_step step,
                                   uint32_t attempts)
{
    bool is_enough = attempts >= patience->payment_attempts;
    return step == ORDER_AWAITING_PAYMENT && is_enough ? ORDER_GIVE_UP : ORDER_OVERDUE;
}

enum order_payment order_payment_after(enum order_event event)
{
    static const enum order_payment payments[] = {
        [ORDER_PAYMENT_AUTHORIZED] = ORDER_PAYMENT_IS_AUTHORIZED,
        [ORDER_PAYMENT_DECLINED] = ORDER_PAYMENT_IS_DECLINED,
        [ORDER_PAYMENT_CAPTURED] = ORDER_PAYMENT_IS_CAPTURED,
        [ORDER_PAYMENT_VOIDED] = ORDER_PAYMENT_IS_VOIDED,
        [ORDER_PAYMENT_REFUNDED] = ORDER_PAYMENT_IS_REFUNDED,
    };
    WH_ASSERT((unsigned)event < sizeof(payments) / sizeof(payments[0]));
    return payments[event];
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool order_id_is_valid(struct wh_slice id)
{
    if (id.len != ORDER_ID_LEN)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];
        if (i == 8 || i == 13 || i == 18 || i == 23 ? c != '-'
                                                    : !is_digit(c) && !(c >= 'a' && c <= 'f'))
            return false;
    }
    return true;
}

bool order_card_is_valid(struct wh_slice number)
{
    unsigned sum = 0;
    if (number.len < ORDER_CARD_DIGITS_MIN || number.len > ORDER_CARD_DIGITS_MAX)
        return false;
    for (size_t i = 0; i < number.len; i++) {
        char c = number.ptr[number.len - 1 - i];
        if (!is_digit(c))
            return false;
        unsigned digit = (unsigned)(c - '0') * (i % 2 == 1 ? 2 : 1);
        sum += digit > 9 ? digit - 9 : digit;
    }
    return sum % 10 == 0;
}

struct wh_slice order_card_last4(struct wh_slice number)
{
    WH_ASSERT(number.len >= 4);
    return wh_slice_from(number, number.len - 4);
}
