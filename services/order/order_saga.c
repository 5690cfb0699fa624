#include "services/order/order_saga.h"

#include "common/base/log.h"
#include "services/core/db.h"
#include "services/order/order_emit.h"

struct order_patience order_patience_of(const struct svc_ctx *ctx)
{
    const struct order_settings *settings = svc_settings(ctx);
    return (struct order_patience){
        .payment_timeout_ms = settings->saga.payment_timeout_ms,
        .payment_attempts = settings->saga.payment_attempts,
        .settle_timeout_ms = settings->saga.settle_timeout_ms,
    };
}

/* What the effects of a transition say, in the order in which others should hear of it. */
static uint32_t tell(struct svc_ctx *ctx, const struct order_record *record, uint32_t effects)
{
    uint32_t code = SVC_OK;
    if (effects & (ORDER_TELL_CONFIRMED | ORDER_ASK_CAPTURE))
        code = order_emit_confirmed(ctx, record, !(effects & ORDER_TELL_CONFIRMED));
    if (!code && effects & ORDER_TELL_CONFIRMED)
        code = order_emit_sales(ctx, record);
    if (!code && effects & ORDER_TELL_CANCELLED)
        code = order_emit_cancelled(ctx, record);
    if (!code && effects & ORDER_ASK_PAYMENT)
        code = order_emit_payment_requested(ctx, record);
    if (!code && effects & ORDER_ASK_VOID)
        code = order_emit_void_requested(ctx, record);
    if (!code && effects & ORDER_ASK_REFUND)
        code = order_emit_refund_requested(ctx, record);
    return code;
}

static uint32_t write_saga(struct svc_ctx *ctx,
                           const struct order_record *record,
                           enum order_step before,
                           enum order_event event)
{
    struct order_patience patience = order_patience_of(ctx);
    bool is_deadline = event == ORDER_OVERDUE || event == ORDER_GIVE_UP;
    bool is_answer = event <= ORDER_PAYMENT_REFUNDED;
    struct order_saga_change change = {
        /* Being told something that changes nothing is no reason to be more patient. */
        .keeps_deadline = record->step == before && !is_deadline,
        .wait_ms = order_wait_ms(&patience, record->step, record->attempts),
        .payment = is_answer ? order_payment_after(event) : ORDER_PAYMENT_IS_REQUESTED,
    };
    return order_store_update_saga(ctx, record, &change);
}

uint32_t order_saga_apply(struct svc_ctx *ctx, struct order_record *record, enum order_event event)
{
    const struct order_transition *transition = order_transition(record->step, event);
    enum order_step before = record->step;
    enum order_state state = order_state_of(transition->next);
    uint32_t code = SVC_OK;
    if (transition->effects & ORDER_IS_UNEXPECTED)
        wh_log(WH_LOG_WARN, "order", "unexpected", "order=%.*s step=%s", WH_SLICE_ARGS(record->id),
               order_step_name(before));
    if (event == ORDER_OVERDUE && transition->next == before)
        record->attempts += record->attempts < INT32_MAX;
    else if (transition->next != before)
        record->attempts = 1;
    record->step = transition->next;
    if (state != record->state) {
        record->state = state;
        record->reason = wh_slice_from_str(order_reason_name(transition->reason));
        code = order_store_update(ctx, record);
    }
    if (!code)
        code = write_saga(ctx, record, before, event);
    if (!code && transition->effects & ORDER_RESTOCK)
        code = order_store_restock(ctx, record);
    return code ? code : tell(ctx, record, transition->effects);
}

uint32_t order_saga_on_payment(struct svc_ctx *ctx,
                               const struct payment_event *data,
                               enum order_event event)
{
    struct order_record record = {0};
    if (!order_id_is_valid(data->order))
        return svc_fail(ctx, SVC_INVALID, "data.order is no id");
    uint32_t code = order_store_lock(ctx, data->order, &record);
    if (code)
        return code;
    /* Somebody else's payment, or another sum than what was asked for, is nothing to act upon: it
     * stays with the dead letters for a person to look at.  A payment that was voided before it was
     * asked for has no sum. */
    if (!wh_slice_equal(record.payment, data->payment))
        return svc_fail(ctx, SVC_UNPROCESSABLE, "not the payment of this order");
    if (event != ORDER_PAYMENT_VOIDED && data->amount &&
        !svc_money_equal(*data->amount, record.total))
        return svc_fail(ctx, SVC_UNPROCESSABLE, "not the sum of this order");
    return order_saga_apply(ctx, &record, event);
}

/* Deadlines. */

static uint32_t run_one_due(struct svc_ctx *ctx, void *user)
{
    const struct wh_slice *id = user;
    struct order_patience patience = order_patience_of(ctx);
    struct order_record record = {0};
    uint32_t code = order_store_lock_due(ctx, *id, &record);
    if (code || record.id.len == 0)
        return code;
    return order_saga_apply(ctx, &record,
                            order_on_deadline(&patience, record.step, record.attempts));
}

uint32_t order_saga_run_due(struct svc_ctx *ctx)
{
    struct wh_strings due = {0};
    uint32_t first_failure = order_store_due(ctx, &due);
    for (size_t i = 0; i < due.count; i++) {
        uint32_t code = svc_tx(ctx, SVC_TX_WRITE, run_one_due, &due.items[i]);
        if (code && !first_failure)
            first_failure = code; /* the others have their turn all the same */
    }
    return first_failure;
}
