/*
 * Two tables.  A cell of the first says what an ask does to a state; a wish
 * that is already on its way is looked at where it matters: a void that comes
 * while an authorization is under way waits for its answer.
 */
#include "services/payment/payment.h"

#include <stddef.h>

static const char *const state_names[PAYMENT_STATE_COUNT] = {
    [PAYMENT_UNKNOWN] = "unknown",       [PAYMENT_REQUESTED] = "requested",
    [PAYMENT_AUTHORIZED] = "authorized", [PAYMENT_DECLINED] = "declined",
    [PAYMENT_CAPTURED] = "captured",     [PAYMENT_VOIDED] = "voided",
    [PAYMENT_REFUNDED] = "refunded"};

static const char *const wish_names[PAYMENT_WISH_COUNT] = {[PAYMENT_NOTHING] = "nothing",
                                                           [PAYMENT_AUTHORIZE] = "authorize",
                                                           [PAYMENT_CAPTURE] = "capture",
                                                           [PAYMENT_VOID] = "void",
                                                           [PAYMENT_REFUND] = "refund"};

static const char *const event_types[PAYMENT_STATE_COUNT] = {
    [PAYMENT_AUTHORIZED] = "payment.authorized.v1",
    [PAYMENT_DECLINED] = "payment.declined.v1",
    [PAYMENT_CAPTURED] = "payment.captured.v1",
    [PAYMENT_VOIDED] = "payment.voided.v1",
    [PAYMENT_REFUNDED] = "payment.refunded.v1"};

enum reaction {
    IGNORE, /* on its way already, or settled otherwise */
    WISH,   /* state stays, `wish` is what is to be done */
    TELL,   /* it is so: say it again */
    BECOME, /* state changes without the provider, and is told */
    WAIT,   /* comes too early */
    ODD     /* should not be asked: ignored, but logged */
};

struct cell {
    enum reaction reaction;
    enum payment_wish wish;
    enum payment_state state; /* of BECOME */
};

/* clang-format off */
static const struct cell asks[PAYMENT_STATE_COUNT][PAYMENT_ASK_COUNT] = {
    [PAYMENT_UNKNOWN] = {
        [PAYMENT_ASK_REQUEST] = {WISH, PAYMENT_AUTHORIZE, PAYMENT_REQUESTED},
        [PAYMENT_ASK_CAPTURE] = {WAIT, PAYMENT_NOTHING, PAYMENT_UNKNOWN},
        /* Overtook its request, or that got lost: the request must find that it is too late. */
        [PAYMENT_ASK_VOID] = {BECOME, PAYMENT_NOTHING, PAYMENT_VOIDED},
        [PAYMENT_ASK_REFUND] = {WAIT, PAYMENT_NOTHING, PAYMENT_UNKNOWN}},
    [PAYMENT_REQUESTED] = {
        [PAYMENT_ASK_REQUEST] = {IGNORE, PAYMENT_NOTHING, PAYMENT_UNKNOWN},
        [PAYMENT_ASK_CAPTURE] = {WAIT, PAYMENT_NOTHING, PAYMENT_UNKNOWN},
        [PAYMENT_ASK_VOID] = {WISH, PAYMENT_VOID, PAYMENT_REQUESTED},
        [PAYMENT_ASK_REFUND] = {WISH, PAYMENT_VOID, PAYMENT_REQUESTED}},
    [PAYMENT_AUTHORIZED] = {
        [PAYMENT_ASK_REQUEST] = {TELL, PAYMENT_NOTHING, PAYMENT_AUTHORIZED},
        [PAYMENT_ASK_CAPTURE] = {WISH, PAYMENT_CAPTURE, PAYMENT_AUTHORIZED},
        [PAYMENT_ASK_VOID] = {WISH, PAYMENT_VOID, PAYMENT_AUTHORIZED},
        [PAYMENT_ASK_REFUND] = {WISH, PAYMENT_VOID, PAYMENT_AUTHORIZED}},
    [PAYMENT_DECLINED] = {
        [PAYMENT_ASK_REQUEST] = {TELL, PAYMENT_NOTHING, PAYMENT_DECLINED},
        [PAYMENT_ASK_CAPTURE] = {ODD, PAYMENT_NOTHING, PAYMENT_DECLINED},
        [PAYMENT_ASK_VOID] = {BECOME, PAYMENT_NOTHING, PAYMENT_VOIDED},
        [PAYMENT_ASK_REFUND] = {BECOME, PAYMENT_NOTHING, PAYMENT_VOIDED}},
    [PAYMENT_CAPTURED] = {
        [PAYMENT_ASK_REQUEST] = {TELL, PAYMENT_NOTHING, PAYMENT_CAPTURED},
        [PAYMENT_ASK_CAPTURE] = {TELL, PAYMENT_NOTHING, PAYMENT_CAPTURED},
        [PAYMENT_ASK_VOID] = {WISH, PAYMENT_REFUND, PAYMENT_CAPTURED},
        [PAYMENT_ASK_REFUND] = {WISH, PAYMENT_REFUND, PAYMENT_CAPTURED}},
    [PAYMENT_VOIDED] = {
        [PAYMENT_ASK_REQUEST] = {TELL, PAYMENT_NOTHING, PAYMENT_VOIDED},
        [PAYMENT_ASK_CAPTURE] = {ODD, PAYMENT_NOTHING, PAYMENT_VOIDED},
        [PAYMENT_ASK_VOID] = {TELL, PAYMENT_NOTHING, PAYMENT_VOIDED},
        [PAYMENT_ASK_REFUND] = {TELL, PAYMENT_NOTHING, PAYMENT_VOIDED}},
    [PAYMENT_REFUNDED] = {
        [PAYMENT_ASK_REQUEST] = {TELL, PAYMENT_NOTHING, PAYMENT_REFUNDED},
        [PAYMENT_ASK_CAPTURE] = {TELL, PAYMENT_NOTHING, PAYMENT_REFUNDED},
        [PAYMENT_ASK_VOID] = {TELL, PAYMENT_NOTHING, PAYMENT_REFUNDED},
        [PAYMENT_ASK_REFUND] = {TELL, PAYMENT_NOTHING, PAYMENT_REFUNDED}},
};
/* clang-format on */

/* Once the money is to go back, nothing but that is wished. */
static bool is_going_back(enum payment_wish wish)
{
    return wish == PAYMENT_VOID || wish == PAYMENT_REFUND;
}

enum wh_err payment_asked(enum payment_state state,
                          enum payment_wish wish,
                          enum payment_ask ask,
                          struct payment_next *out_next)
{
    const struct cell *cell = &asks[state][ask];
    struct payment_next next = {.state = state, .wish = wish};
    switch (cell->reaction) {
    case WAIT:
        /* A capture that crosses a void in the same breath is settled by the void. */
        if (!is_going_back(wish))
            return WH_EUNAVAILABLE;
        break;
    case WISH:
        next.state = cell->state;
        if (!is_going_back(wish))
            next.wish = cell->wish;
        break;
    case BECOME:
        next.state = cell->state;
        next.wish = PAYMENT_NOTHING;
        next.is_told = true;
        break;
    case TELL:
        next.is_told = !is_going_back(wish); /* else the end will be told */
        break;
    case ODD:
        next.is_odd = true;
        break;
    case IGNORE:
        break;
    }
    *out_next = next;
    return WH_OK;
}

static struct payment_next becomes(enum payment_state state, enum payment_wish wish)
{
    return (struct payment_next){.state = state, .wish = wish, .is_told = wish == PAYMENT_NOTHING};
}

static struct payment_next authorization_answered(enum payment_wish wish,
                                                  enum payment_answer answer)
{
    bool is_unwanted = is_going_back(wish);
    if (answer == PAYMENT_REFUSED)
        return becomes(is_unwanted ? PAYMENT_VOIDED : PAYMENT_DECLINED, PAYMENT_NOTHING);
    return becomes(PAYMENT_AUTHORIZED, is_unwanted ? PAYMENT_VOID : PAYMENT_NOTHING);
}

struct payment_next payment_answered(enum payment_state state,
                                     enum payment_wish wish,
                                     enum payment_wish done,
                                     enum payment_answer answer)
{
    switch (done) {
    case PAYMENT_AUTHORIZE:
        if (state == PAYMENT_REQUESTED)
            return authorization_answered(wish, answer);
        break;
    case PAYMENT_CAPTURE:
        if (state == PAYMENT_AUTHORIZED && answer == PAYMENT_DONE)
            return becomes(PAYMENT_CAPTURED,
                           is_going_back(wish) ? PAYMENT_REFUND : PAYMENT_NOTHING);
        /* A hold that the provider let go of cannot be captured. */
        if (state == PAYMENT_AUTHORIZED)
            return becomes(PAYMENT_VOIDED, PAYMENT_NOTHING);
        break;
    case PAYMENT_VOID:
        if ((state == PAYMENT_REQUESTED || state == PAYMENT_AUTHORIZED) && answer == PAYMENT_DONE)
            return becomes(PAYMENT_VOIDED, PAYMENT_NOTHING);
        /* Too late for a void: it was captured by a call whose answer was lost. */
        if (state == PAYMENT_AUTHORIZED)
            return becomes(PAYMENT_CAPTURED, PAYMENT_REFUND);
        break;
    case PAYMENT_REFUND:
        if (state == PAYMENT_CAPTURED && answer == PAYMENT_DONE)
            return becomes(PAYMENT_REFUNDED, PAYMENT_NOTHING);
        break;
    case PAYMENT_NOTHING:
    case PAYMENT_WISH_COUNT:
        break;
    }
    return (struct payment_next){.state = state, .wish = wish, .is_odd = true};
}

const char *payment_state_name(enum payment_state state)
{
    return state_names[state];
}

const char *payment_wish_name(enum payment_wish wish)
{
    return wish_names[wish];
}

bool payment_state_parse(struct wh_slice name, enum payment_state *out_state)
{
    for (size_t i = 0; i < PAYMENT_STATE_COUNT; i++) {
        if (wh_slice_equal_str(name, state_names[i])) {
            *out_state = (enum payment_state)i;
            return true;
        }
    }
    return false;
}

bool payment_wish_parse(struct wh_slice name, enum payment_wish *out_wish)
{
    for (size_t i = 0; i < PAYMENT_WISH_COUNT; i++) {
        if (wh_slice_equal_str(name, wish_names[i])) {
            *out_wish = (enum payment_wish)i;
            return true;
        }
    }
    return false;
}

const char *payment_event_type(enum payment_state state)
{
    return event_types[state];
}

uint32_t payment_retry_ms(uint32_t attempts)
{
    uint32_t ms = 200;
    while (attempts-- > 0 && ms < 10000)
        ms *= 2;
    return ms < 10000 ? ms : 10000;
}
