#include "services/order/order_methods.h"

#include "common/base/random.h"
#include "services/order/order_emit.h"
#include "services/order/order_saga.h"
#include "services/order/order_summary.h"

enum { SKU_LEN_MAX = 100 };

static uint32_t reply_order(struct svc_ctx *ctx,
                            const struct order_record *record,
                            const order_lines *lines)
{
    struct svc_money total = record->total;
    return svc_reply(ctx, &order_view_schema,
                     &(struct order_view){
                         .order = record->id,
                         .payment = record->payment,
                         .state = wh_slice_from_str(order_state_name(record->state)),
                         .reason = record->reason,
                         .version = record->version,
                         .total = &total,
                         .card_last4 = record->card_last4,
                         .lines = *lines,
                         .created_at = record->created_at,
                         .updated_at = record->updated_at,
                     });
}

static uint32_t check_lines(struct svc_ctx *ctx, const struct order_create *in)
{
    if (in->lines.count == 0 || in->lines.count > ORDER_LINES_MAX)
        return svc_fail(ctx, SVC_INVALID, "lines: 1 to %d of them", ORDER_LINES_MAX);
    for (size_t i = 0; i < in->lines.count; i++) {
        const struct order_create_line *line = &in->lines.items[i];
        if (!order_id_is_valid(line->product))
            return svc_fail(ctx, SVC_INVALID, "lines[%zu].product: not an id", i);
        if (line->quantity == 0 || line->quantity > ORDER_QUANTITY_MAX)
            return svc_fail(ctx, SVC_INVALID, "lines[%zu].quantity: 1 to %d", i,
                            ORDER_QUANTITY_MAX);
        for (size_t j = 0; j < i; j++)
            if (wh_slice_equal(line->product, in->lines.items[j].product))
                return svc_fail(ctx, SVC_INVALID, "lines[%zu].product: twice in one order", i);
    }
    return SVC_OK;
}

static struct wh_slice new_id(struct svc_ctx *ctx)
{
    char id[37];
    wh_random_uuid_v7(id);
    return wh_arena_copy(svc_arena(ctx), wh_slice_from_str(id));
}

uint32_t orders_create(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    struct order_patience patience = order_patience_of(ctx);
    struct order_create in = {0};
    order_lines lines = {0};
    if (svc_params(ctx, &order_create_schema, &in))
        return svc_fail(ctx, SVC_INVALID, "params: {lines:[{product, quantity}], card}");
    uint32_t code = check_lines(ctx, &in);
    if (code)
        return code;
    if (!order_card_is_valid(in.card))
        return svc_fail(ctx, SVC_INVALID, "card: not the number of a card");
    struct order_record record = {
        .id = new_id(ctx), .user = call->user, .payment = new_id(ctx), .card = in.card};
    if (!record.id.ptr || !record.payment.ptr)
        return svc_fail(ctx, SVC_INTERNAL, "out of memory");
    code = order_store_create(ctx, &in, order_wait_ms(&patience, ORDER_AWAITING_PAYMENT, 1),
                              &record, &lines);
    if (!code)
        code = order_emit_created(ctx, &record, &lines);
    if (!code)
        code = order_emit_payment_requested(ctx, &record);
    return code ? code : reply_order(ctx, &record, &lines);
}

static uint32_t read_ref(struct svc_ctx *ctx, struct order_ref *out)
{
    if (svc_params(ctx, &order_ref_schema, out))
        return svc_fail(ctx, SVC_INVALID, "params: {order}");
    if (!order_id_is_valid(out->order))
        return svc_fail(ctx, SVC_NOT_FOUND, "no such order");
    return SVC_OK;
}

static uint32_t reply_record(struct svc_ctx *ctx, const struct order_record *record)
{
    order_lines lines = {0};
    uint32_t code = order_store_lines(ctx, record, &lines);
    return code ? code : reply_order(ctx, record, &lines);
}

uint32_t orders_get(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    struct order_ref in = {0};
    struct order_record record = {0};
    uint32_t code = read_ref(ctx, &in);
    if (!code)
        code = order_store_get(ctx, in.order, call->user, &record);
    return code ? code : reply_record(ctx, &record);
}

uint32_t orders_cancel(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    struct order_ref in = {0};
    struct order_record record = {0};
    uint32_t code = read_ref(ctx, &in);
    if (!code)
        code = order_store_lock_own(ctx, in.order, call->user, &record);
    if (!code)
        code = order_saga_apply(ctx, &record, ORDER_CANCEL);
    return code ? code : reply_record(ctx, &record);
}

static uint32_t read_page_params(struct svc_ctx *ctx, struct order_page *out)
{
    if (svc_params(ctx, &order_page_schema, out))
        return svc_fail(ctx, SVC_INVALID, "params: {limit?, cursor?}");
    if (out->limit == 0)
        out->limit = ORDER_PAGE_DEFAULT;
    if (out->limit > ORDER_PAGE_MAX)
        return svc_fail(ctx, SVC_INVALID, "limit: at most %d", ORDER_PAGE_MAX);
    return SVC_OK;
}

/* Pages are told by the last id that was seen, not by a count: what is inserted meanwhile is newer
 * and shifts nothing.  One row more than asked for tells whether there is another page. */
uint32_t orders_list(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    enum order_state state = ORDER_PENDING;
    struct order_page in = {0};
    struct order_list out = {0};
    uint32_t code = read_page_params(ctx, &in);
    if (code)
        return code;
    if (in.state.len && !order_state_from_name(in.state, &state))
        return svc_fail(ctx, SVC_INVALID, "state: pending, confirmed or cancelled");
    if (in.cursor.len == 0)
        in.cursor = WH_SLICE_LITERAL("ffffffff-ffff-ffff-ffff-ffffffffffff");
    if (!order_id_is_valid(in.cursor))
        return svc_fail(ctx, SVC_INVALID, "cursor: not one that was given out");
    uint32_t limit = in.limit++;
    code = order_summary_page(ctx, call->user, &in, &out);
    if (code)
        return code;
    if (out.orders.count > limit) {
        out.orders.count = limit;
        out.next = out.orders.items[limit - 1].order;
    }
    return svc_reply(ctx, &order_list_schema, &out);
}

uint32_t products_list(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    struct order_page in = {0};
    struct product_list out = {0};
    (void)call;
    uint32_t code = read_page_params(ctx, &in);
    if (code)
        return code;
    if (in.cursor.len > SKU_LEN_MAX || (in.cursor.len && memchr(in.cursor.ptr, 0, in.cursor.len)))
        return svc_fail(ctx, SVC_INVALID, "cursor: not one that was given out");
    if (!in.cursor.ptr)
        in.cursor = WH_SLICE_LITERAL("");
    code = product_store_list(ctx, in.cursor, in.limit + 1, &out);
    if (code)
        return code;
    if (out.products.count > in.limit) {
        out.products.count = in.limit;
        out.next = out.products.items[in.limit - 1].sku;
    }
    return svc_reply(ctx, &product_list_schema, &out);
}

uint32_t orders_rebuild(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    struct order_rebuilt out = {0};
    (void)call;
    uint32_t code = order_summary_rebuild(ctx, &out.orders);
    return code ? code : svc_reply(ctx, &order_rebuilt_schema, &out);
}
