/*
 * Events that ask for something.  A handler writes down what is wished and
 * tells at once what is so already; it never talks to the provider, for it runs
 * inside a transaction and may run again.
 */
#include "services/payment/handlers.h"

#include "common/base/log.h"
#include "common/protocol/codec.h"
#include "services/payment/payment_store.h"

/* Nothing to be done before the settling job looks. */
static uint32_t write_down(struct svc_ctx *ctx, struct payment *payment)
{
    bool is_written = false;
    if (payment_update(ctx, payment, 0, &is_written))
        return svc_db_code(ctx);
    return is_written ? SVC_OK : SVC_INTERNAL; /* it is locked: cannot be */
}

static uint32_t first_heard_of(struct svc_ctx *ctx,
                               const struct payment_request *request,
                               enum payment_ask ask)
{
    struct payment_next next;
    bool is_inserted = false;
    if (payment_asked(PAYMENT_UNKNOWN, PAYMENT_NOTHING, ask, &next))
        return svc_fail(ctx, SVC_BUSY, "payment %.*s is not known yet",
                        WH_SLICE_ARGS(request->payment));
    struct payment payment = {.id = request->payment,
                              .order = request->order,
                              .user = request->user,
                              .traceparent = svc_traceparent(ctx),
                              .state = next.state,
                              .wish = next.wish};
    if (ask == PAYMENT_ASK_REQUEST) {
        if (!request->amount || !svc_money_is_valid(*request->amount))
            return svc_fail(ctx, SVC_INVALID, "a request needs an amount");
        payment.amount = request->amount;
        payment.card = request->card;
    }
    if (payment_insert(ctx, &payment, &is_inserted))
        return svc_db_code(ctx);
    if (!is_inserted)
        return svc_fail(ctx, SVC_BUSY, "another event was faster");
    return next.is_told ? payment_tell(ctx, &payment) : SVC_OK;
}

static uint32_t on_asked(struct svc_ctx *ctx, const struct svc_event *event, enum payment_ask ask)
{
    struct payment_request request = {.amount = NULL};
    struct payment payment;
    struct payment_next next;
    bool is_there = false;
    if (wh_decode_whole(WH_ENCODING_JSON, &payment_request_schema, event->data.bytes,
                        svc_arena(ctx), &request) ||
        request.payment.len == 0 || request.order.len == 0)
        return svc_fail(ctx, SVC_INVALID, "%.*s is not as its schema says",
                        WH_SLICE_ARGS(event->type));
    if (payment_lock(ctx, request.payment, &payment, &is_there))
        return svc_db_code(ctx);
    if (!is_there)
        return first_heard_of(ctx, &request, ask);
    if (payment_asked(payment.state, payment.wish, ask, &next))
        return svc_fail(ctx, SVC_BUSY, "payment %.*s is not authorized yet",
                        WH_SLICE_ARGS(payment.id));
    if (next.is_odd)
        wh_log(WH_LOG_WARN, "payment", "odd_request", "payment=%.*s state=%s type=%.*s",
               WH_SLICE_ARGS(payment.id), payment_state_name(payment.state),
               WH_SLICE_ARGS(event->type));
    if (next.state != payment.state || next.wish != payment.wish) {
        payment.state = next.state;
        payment.wish = next.wish;
        payment.attempts = 0;
        payment.traceparent = svc_traceparent(ctx);
        uint32_t code = write_down(ctx, &payment);
        if (code)
            return code;
    }
    return next.is_told ? payment_tell(ctx, &payment) : SVC_OK;
}

uint32_t payment_on_requested(struct svc_ctx *ctx, const struct svc_event *event)
{
    return on_asked(ctx, event, PAYMENT_ASK_REQUEST);
}

uint32_t payment_on_order_confirmed(struct svc_ctx *ctx, const struct svc_event *event)
{
    return on_asked(ctx, event, PAYMENT_ASK_CAPTURE);
}

uint32_t payment_on_void_requested(struct svc_ctx *ctx, const struct svc_event *event)
{
    return on_asked(ctx, event, PAYMENT_ASK_VOID);
}

uint32_t payment_on_refund_requested(struct svc_ctx *ctx, const struct svc_event *event)
{
    return on_asked(ctx, event, PAYMENT_ASK_REFUND);
}
