/*
 * The rules of a payment: what becomes of it when the order service asks for
 * something and when the provider answers.  Pure; the tables are in payment.c.
 *
 * A payment is a state, which is what has happened, and a wish, which is what
 * is to be done next.  Events only change the wish (consume.c); a job does what
 * is wished, outside any transaction, and brings the answer back (settle.c).
 * Whatever is asked twice is answered twice: the order service repeats its
 * question when an answer got lost.
 */
#ifndef SERVICES_PAYMENT_PAYMENT_H
#define SERVICES_PAYMENT_PAYMENT_H

#include "common/base/err.h"
#include "common/base/slice.h"

#include <stdint.h>

enum payment_state {
    PAYMENT_UNKNOWN, /* no row */
    PAYMENT_REQUESTED,
    PAYMENT_AUTHORIZED, /* the provider holds the money for us */
    PAYMENT_DECLINED,
    PAYMENT_CAPTURED, /* we have it */
    PAYMENT_VOIDED,   /* never taken; of a payment that was never requested: must not be any more */
    PAYMENT_REFUNDED,
    PAYMENT_STATE_COUNT
};

/* What is to be done at the provider.  Also the operations of its interface. */
enum payment_wish {
    PAYMENT_NOTHING,
    PAYMENT_AUTHORIZE,
    PAYMENT_CAPTURE,
    PAYMENT_VOID,
    PAYMENT_REFUND,
    PAYMENT_WISH_COUNT
};

/* What an event asks for. */
enum payment_ask {
    PAYMENT_ASK_REQUEST, /* payment.requested.v1 */
    PAYMENT_ASK_CAPTURE, /* order.confirmed.v1 */
    PAYMENT_ASK_VOID,    /* payment.void_requested.v1 */
    PAYMENT_ASK_REFUND,  /* payment.refund_requested.v1 */
    PAYMENT_ASK_COUNT
};

/* What the provider says to an operation.  Not knowing is no answer: then the wish stays. */
enum payment_answer { PAYMENT_DONE, PAYMENT_REFUSED, PAYMENT_ANSWER_COUNT };

struct payment_next {
    enum payment_state state;
    enum payment_wish wish;
    bool is_told; /* the event of `state` goes out (payment_event_type) */
    bool is_odd;  /* the other side asked for what cannot be: for the log */
};

/* WH_EUNAVAILABLE: it cannot be answered yet, for what must come before has not come. */
WH_MUST_CHECK enum wh_err payment_asked(enum payment_state state,
                                        enum payment_wish wish,
                                        enum payment_ask ask,
                                        struct payment_next *out_next);

/* The provider answered `done`, which need not be what is wished by now. */
struct payment_next payment_answered(enum payment_state state,
                                     enum payment_wish wish,
                                     enum payment_wish done,
                                     enum payment_answer answer);

/* "authorized" …, as in the database and in events; "capture" … for wishes. */
const char *payment_state_name(enum payment_state state);
const char *payment_wish_name(enum payment_wish wish);
bool payment_state_parse(struct wh_slice name, enum payment_state *out_state);
bool payment_wish_parse(struct wh_slice name, enum payment_wish *out_wish);

/* "payment.authorized.v1"; NULL of a state that nobody is told of. */
const char *payment_event_type(enum payment_state state);

/* Wait before the next try of an operation of which nothing is known, full jitter to be added by
 * the caller: doubles from 200 ms to 10 s. */
uint32_t payment_retry_ms(uint32_t attempts);

#endif
