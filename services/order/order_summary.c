#include "services/order/order_summary.h"

#include "common/protocol/codec.h"
#include "services/order/order_sql.h"

struct note {
    struct wh_slice order;
    struct wh_slice user;
    enum order_state state;
    struct wh_slice reason;
    const enum order_payment *payment; /* NULL = nothing known */
    const struct svc_money *total;
    uint64_t items;      /* 0 = not known */
    uint64_t created_ms; /* 0 = not known */
    uint64_t updated_ms;
};

static struct svc_param text_or_null(struct wh_slice text)
{
    return text.len ? SVC_TEXT(text) : SVC_NULL;
}

static struct svc_param number_or_null(uint64_t number)
{
    return number ? SVC_INT((int64_t)number) : SVC_NULL;
}

static uint32_t take_note(struct svc_ctx *ctx, const struct note *note)
{
    if (!order_id_is_valid(note->order) || note->user.len == 0)
        return svc_fail(ctx, SVC_INVALID, "data.order or data.user is missing");
    if (ORDER_SQL(ctx, NULL, ORDER_SQL_SUMMARY_NOTE, SVC_UUID(note->order), SVC_TEXT(note->user),
                  SVC_STR(order_state_name(note->state)), text_or_null(note->reason),
                  note->payment ? SVC_STR(order_payment_name(*note->payment)) : SVC_NULL,
                  note->total ? SVC_INT(note->total->amount_minor) : SVC_NULL,
                  note->total ? SVC_TEXT(note->total->currency) : SVC_NULL,
                  number_or_null(note->items), number_or_null(note->created_ms),
                  SVC_INT((int64_t)note->updated_ms)))
        return svc_db_code(ctx);
    return SVC_OK;
}

uint32_t order_summary_on_order(struct svc_ctx *ctx,
                                const struct svc_event *event,
                                enum order_state state)
{
    struct order_event_data data = {0};
    enum order_payment requested = ORDER_PAYMENT_IS_REQUESTED;
    struct note note = {.state = state, .updated_ms = event->time_ms};
    enum wh_err err = wh_decode_whole(WH_ENCODING_JSON, &order_event_data_schema, event->data.bytes,
                                      svc_arena(ctx), &data);
    if (err)
        return svc_fail(ctx, SVC_INVALID, "data: %s", wh_err_text(err));
    note.order = data.order;
    note.user = data.user;
    note.reason = data.reason;
    note.total = data.total;
    for (size_t i = 0; i < data.lines.count; i++)
        note.items += data.lines.items[i].quantity;
    if (state == ORDER_PENDING) {
        note.created_ms = event->time_ms;
        note.payment = &requested;
    }
    return take_note(ctx, &note);
}

uint32_t order_summary_on_payment(struct svc_ctx *ctx,
                                  const struct svc_event *event,
                                  const struct payment_event *data,
                                  enum order_event kind)
{
    enum order_payment payment = order_payment_after(kind);
    return take_note(ctx, &(struct note){
                              .order = data->order,
                              .user = data->user,
                              .state = ORDER_PENDING, /* the least that is true */
                              .payment = &payment,
                              .total = kind == ORDER_PAYMENT_VOIDED ? NULL : data->amount,
                              .updated_ms = event->time_ms,
                          });
}

static uint32_t read_page(struct svc_ctx *ctx, const struct svc_rows *rows, struct order_list *out)
{
    struct svc_money *totals = order_store_alloc(ctx, rows->count, sizeof(*totals));
    out->orders.items = order_store_alloc(ctx, rows->count, sizeof(*out->orders.items));
    if (!totals || !out->orders.items)
        return SVC_INTERNAL;
    for (size_t i = 0; i < rows->count; i++) {
        struct order_summary *row = &out->orders.items[i];
        row->order = svc_row_text(rows, i, 0);
        row->state = svc_row_text(rows, i, 1);
        row->reason = svc_row_text(rows, i, 2);
        row->payment_state = svc_row_text(rows, i, 3);
        if (!svc_row_is_null(rows, i, 4)) {
            totals[i] = (struct svc_money){svc_row_int(rows, i, 4), svc_row_text(rows, i, 5)};
            row->total = &totals[i];
        }
        row->items = svc_row_is_null(rows, i, 6) ? 0 : (uint32_t)svc_row_int(rows, i, 6);
        row->created_at = svc_row_text(rows, i, 7);
        row->updated_at = svc_row_text(rows, i, 8);
    }
    out->orders.count = rows->count;
    return SVC_OK;
}

uint32_t order_summary_page(struct svc_ctx *ctx,
                            struct wh_slice user,
                            const struct order_page *page,
                            struct order_list *out)
{
    const struct svc_rows *rows = NULL;
    enum svc_db_err err =
        page->state.len
            ? ORDER_SQL(ctx, &rows, ORDER_SQL_SUMMARY_PAGE_IN_STATE, SVC_TEXT(user),
                        SVC_UUID(page->cursor), SVC_INT(page->limit), SVC_TEXT(page->state))
            : ORDER_SQL(ctx, &rows, ORDER_SQL_SUMMARY_PAGE, SVC_TEXT(user), SVC_UUID(page->cursor),
                        SVC_INT(page->limit));
    return err ? svc_db_code(ctx) : read_page(ctx, rows, out);
}

uint32_t order_summary_rebuild(struct svc_ctx *ctx, uint64_t *out_orders)
{
    static const enum order_sql statements[] = {ORDER_SQL_SUMMARY_LOCK, ORDER_SQL_SUMMARY_CLEAR,
                                                ORDER_SQL_SUMMARY_FILL};
    const struct svc_rows *rows = NULL;
    for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++)
        if (svc_sql(ctx, order_statements[statements[i]].text, NULL, 0, &rows))
            return svc_db_code(ctx);
    *out_orders = (uint64_t)rows->affected;
    return SVC_OK;
}
