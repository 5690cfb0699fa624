/*
 * The rules of an order, without database and clock: which step follows on
 * what happens and what has to be done about it, when to ask again, and what
 * an order may contain.
 *
 * A step says what the order waits for; the state that its owner sees is a
 * function of it.  All that can happen is one table, step × event, without
 * holes: a late, repeated or senseless event has its row like any other, so
 * nothing that payment sends can be an error for ever.  Pure; any thread.
 */
#ifndef SERVICES_ORDER_ORDER_H
#define SERVICES_ORDER_ORDER_H

#include "common/base/err.h"
#include "common/base/slice.h"

#include <stdint.h>

enum order_state { ORDER_PENDING, ORDER_CONFIRMED, ORDER_CANCELLED };
enum { ORDER_STATE_COUNT = 3 };

enum order_step {
    ORDER_AWAITING_PAYMENT, /* pending: stock is taken, the money is asked for */
    ORDER_AWAITING_CAPTURE, /* confirmed: authorized, the money is about to be taken */
    ORDER_CAPTURED,         /* confirmed: settled */
    ORDER_AWAITING_VOID,    /* cancelled: payment was told to forget about it */
    ORDER_AWAITING_REFUND,  /* cancelled: money, if it was taken, is to go back */
    ORDER_CLOSED            /* cancelled: settled, no money with us */
};
enum { ORDER_STEP_COUNT = 6 };

enum order_event {
    ORDER_PAYMENT_AUTHORIZED,
    ORDER_PAYMENT_DECLINED,
    ORDER_PAYMENT_CAPTURED,
    ORDER_PAYMENT_VOIDED,
    ORDER_PAYMENT_REFUNDED,
    ORDER_CANCEL,  /* its owner does not want it any more */
    ORDER_OVERDUE, /* no answer by the deadline: ask again */
    ORDER_GIVE_UP  /* no answer, and asked often enough */
};
enum { ORDER_EVENT_COUNT = 8 };

/* Why it was cancelled, for its owner. */
enum order_reason {
    ORDER_NO_REASON,
    ORDER_BY_USER,              /* "cancelled_by_user" */
    ORDER_DECLINED,             /* "payment_declined" */
    ORDER_PAYMENT_TIMEOUT,      /* "payment_timeout" */
    ORDER_PAYMENT_VOIDED_THERE, /* "payment_voided": payment gave an authorized payment up */
    ORDER_REFUNDED              /* "refunded": payment gave the money back unasked */
};
enum { ORDER_REASON_COUNT = 6 };

/* What a transition brings with it, in the transaction that makes it. */
enum order_effect {
    ORDER_RESTOCK = 1 << 0,        /* its lines go back to the products */
    ORDER_TELL_CONFIRMED = 1 << 1, /* order.confirmed.v1, upon which payment captures; the ticker */
    ORDER_TELL_CANCELLED = 1 << 2, /* order.cancelled.v1 */
    ORDER_ASK_PAYMENT = 1 << 3,    /* payment.requested.v1 */
    ORDER_ASK_CAPTURE = 1 << 4,    /* order.confirmed.v1 once more, for payment alone */
    ORDER_ASK_VOID = 1 << 5,       /* payment.void_requested.v1 */
    ORDER_ASK_REFUND = 1 << 6,     /* payment.refund_requested.v1 */
    ORDER_IS_UNEXPECTED = 1 << 7   /* nothing we asked for leads here: a line in the log */
};

struct order_transition {
    enum order_step next;
    uint32_t effects;         /* of enum order_effect */
    enum order_reason reason; /* of the cancellation, with ORDER_TELL_CANCELLED only */
};

/* Never NULL for values of the enums. */
const struct order_transition *order_transition(enum order_step step, enum order_event event);

enum order_state order_state_of(enum order_step step);

/* Whether nothing is awaited any more: there is no deadline. */
bool order_is_settled(enum order_step step);

/* Names as in the database and on the wire; static storage.  Back: false, nothing written. */
const char *order_state_name(enum order_state state);
const char *order_step_name(enum order_step step);
const char *order_reason_name(enum order_reason reason); /* "" for none */
bool order_state_from_name(struct wh_slice name, enum order_state *out);
bool order_step_from_name(struct wh_slice name, enum order_step *out);

/* How long to wait. */
struct order_patience {
    uint64_t payment_timeout_ms; /* for the answer to one request of a payment */
    uint64_t payment_attempts;   /* requests until the order is given up; ≥ 1 */
    uint64_t settle_timeout_ms;  /* for the end of a capture, void or refund; doubled each time */
};
enum { ORDER_SETTLE_TIMEOUT_MAX_MS = 60 * 60 * 1000 };

/*
 * From now until the deadline of `step` whose request was sent `attempts` times (≥ 1); 0 for a
 * settled one.  Money is never given up: captures, voids and refunds are asked for until they are
 * answered, at most ORDER_SETTLE_TIMEOUT_MAX_MS apart.
 */
uint64_t order_wait_ms(const struct order_patience *patience,
                       enum order_step step,
                       uint32_t attempts);

/* What a deadline that passed means: ORDER_OVERDUE or ORDER_GIVE_UP. */
enum order_event order_on_deadline(const struct order_patience *patience,
                                   enum order_step step,
                                   uint32_t attempts);

/*
 * How far the payment of an order is known to be.  Later ones have larger numbers and a payment
 * never goes back, so the largest of those heard of is the truth, in whatever order they came.
 */
enum order_payment {
    ORDER_PAYMENT_IS_REQUESTED,
    ORDER_PAYMENT_IS_AUTHORIZED,
    ORDER_PAYMENT_IS_CAPTURED,
    ORDER_PAYMENT_IS_DECLINED,
    ORDER_PAYMENT_IS_VOIDED,
    ORDER_PAYMENT_IS_REFUNDED
};
enum { ORDER_PAYMENT_COUNT = 6 };

/* The payment after `event`, which must be one of ORDER_PAYMENT_…. */
enum order_payment order_payment_after(enum order_event event);
const char *order_payment_name(enum order_payment payment); /* "requested" … */

/* What an order may contain. */
enum {
    ORDER_LINES_MAX = 50,
    ORDER_QUANTITY_MAX = 1000, /* of one product */
    ORDER_CARD_DIGITS_MIN = 12,
    ORDER_CARD_DIGITS_MAX = 19,
    ORDER_ID_LEN = 36,
};

/* A UUID in the text form of RFC 9562, of any version, in lower case. */
bool order_id_is_valid(struct wh_slice id);

/* Digits only, as many as cards have, with the check digit of ISO/IEC 7812-1 (Luhn). */
bool order_card_is_valid(struct wh_slice number);

/* The four last digits, all that may be shown or kept; `number` is valid. */
struct wh_slice order_card_last4(struct wh_slice number);

#endif
