/*
 * Lock order (migrations/0001_orders.sql): the order, then products by id.  So
 * a new order takes its products sorted by id, whatever order its lines are in.
 */
#include "services/order/order_store.h"

#include "services/order/order_sql.h"

#include <stdlib.h>

void *order_store_alloc(struct svc_ctx *ctx, size_t count, size_t size)
{
    void *memory = wh_arena_alloc_array(svc_arena(ctx), count, size);
    if (!memory)
        (void)svc_fail(ctx, SVC_INTERNAL, "out of memory for %zu × %zu bytes", count, size);
    return memory;
}

static struct svc_money *new_money(struct svc_ctx *ctx, int64_t amount, struct wh_slice currency)
{
    struct svc_money *money = order_store_alloc(ctx, 1, sizeof(*money));
    if (money)
        *money = (struct svc_money){amount, currency};
    return money;
}

/* Creating. */

struct wanted_line {
    const struct order_create_line *line;
    size_t index; /* within the order */
};

static int compare_products(const void *a, const void *b)
{
    const struct wanted_line *left = a;
    const struct wanted_line *right = b;
    /* All are valid ids: of the same length, and their text sorts as the uuid does. */
    return memcmp(left->line->product.ptr, right->line->product.ptr, ORDER_ID_LEN);
}

static uint32_t fail_to_take(struct svc_ctx *ctx, const struct order_create_line *wanted)
{
    const struct svc_rows *rows = NULL;
    if (ORDER_SQL(ctx, &rows, ORDER_SQL_PRODUCT_NAME, SVC_UUID(wanted->product)))
        return svc_db_code(ctx);
    if (rows->count == 0)
        return svc_fail(ctx, SVC_UNPROCESSABLE, "no such product: %.*s",
                        WH_SLICE_ARGS(wanted->product));
    return svc_fail(ctx, SVC_CONFLICT, "out of stock: %.*s",
                    WH_SLICE_ARGS(svc_row_text(rows, 0, 0)));
}

static uint32_t take_product(struct svc_ctx *ctx,
                             const struct order_create_line *wanted,
                             struct order_line *out)
{
    const struct svc_rows *rows = NULL;
    if (ORDER_SQL(ctx, &rows, ORDER_SQL_PRODUCT_TAKE, SVC_UUID(wanted->product),
                  SVC_INT(wanted->quantity)))
        return svc_db_code(ctx);
    if (rows->count == 0)
        return fail_to_take(ctx, wanted);
    *out = (struct order_line){
        .product = wanted->product,
        .name = svc_row_text(rows, 0, 0),
        .quantity = wanted->quantity,
        .unit = new_money(ctx, svc_row_int(rows, 0, 1), svc_row_text(rows, 0, 2)),
    };
    return out->unit ? SVC_OK : SVC_INTERNAL;
}

static uint32_t take_products(struct svc_ctx *ctx,
                              const struct order_create *wanted,
                              order_lines *out)
{
    size_t count = wanted->lines.count;
    struct wanted_line *sorted = order_store_alloc(ctx, count, sizeof(*sorted));
    out->items = order_store_alloc(ctx, count, sizeof(*out->items));
    if (!sorted || !out->items)
        return SVC_INTERNAL;
    for (size_t i = 0; i < count; i++)
        sorted[i] = (struct wanted_line){&wanted->lines.items[i], i};
    qsort(sorted, count, sizeof(*sorted), compare_products);
    for (size_t i = 0; i < count; i++) {
        uint32_t code = take_product(ctx, sorted[i].line, &out->items[sorted[i].index]);
        if (code)
            return code;
    }
    out->count = count;
    return SVC_OK;
}

static uint32_t sum_up(struct svc_ctx *ctx, const order_lines *lines, struct svc_money *out)
{
    struct svc_money total = {0, lines->items[0].unit->currency};
    for (size_t i = 0; i < lines->count; i++) {
        struct svc_money price = {0};
        enum wh_err err =
            svc_money_multiply(*lines->items[i].unit, lines->items[i].quantity, &price);
        if (!err)
            err = svc_money_add(total, price, &total);
        if (err == WH_EINVAL)
            return svc_fail(ctx, SVC_UNPROCESSABLE, "lines: products of one currency only");
        if (err)
            return svc_fail(ctx, SVC_UNPROCESSABLE, "lines: the sum is too large");
    }
    *out = total;
    return SVC_OK;
}

static uint32_t insert_lines(struct svc_ctx *ctx, struct wh_slice id, const order_lines *lines)
{
    for (size_t i = 0; i < lines->count; i++) {
        const struct order_line *line = &lines->items[i];
        if (ORDER_SQL(ctx, NULL, ORDER_SQL_INSERT_LINE, SVC_UUID(id), SVC_INT((int64_t)i + 1),
                      SVC_UUID(line->product), SVC_TEXT(line->name), SVC_INT(line->quantity),
                      SVC_INT(line->unit->amount_minor)))
            return svc_db_code(ctx);
    }
    return SVC_OK;
}

uint32_t order_store_create(struct svc_ctx *ctx,
                            const struct order_create *wanted,
                            uint64_t wait_ms,
                            struct order_record *record,
                            order_lines *out_lines)
{
    const struct svc_rows *rows = NULL;
    uint32_t code = take_products(ctx, wanted, out_lines);
    if (!code)
        code = sum_up(ctx, out_lines, &record->total);
    if (code)
        return code;
    record->state = ORDER_PENDING;
    record->step = ORDER_AWAITING_PAYMENT;
    record->attempts = 1;
    record->version = 1;
    record->card_last4 = order_card_last4(record->card);
    if (ORDER_SQL(ctx, &rows, ORDER_SQL_INSERT, SVC_UUID(record->id), SVC_TEXT(record->user),
                  SVC_UUID(record->payment), SVC_INT(record->total.amount_minor),
                  SVC_TEXT(record->total.currency), SVC_TEXT(record->card_last4)))
        return svc_db_code(ctx);
    record->created_at = svc_row_text(rows, 0, 0);
    record->updated_at = record->created_at;
    code = insert_lines(ctx, record->id, out_lines);
    if (code)
        return code;
    if (ORDER_SQL(ctx, NULL, ORDER_SQL_INSERT_SAGA, SVC_UUID(record->id), SVC_INT((int64_t)wait_ms),
                  SVC_TEXT(record->card)))
        return svc_db_code(ctx);
    return SVC_OK;
}

/* Reading and locking.  Columns in the order of ORDER_COLUMNS and LOCKED_COLUMNS. */

enum { COLUMN_STEP = 11, COLUMN_ATTEMPTS, COLUMN_CARD };

static uint32_t read_record(struct svc_ctx *ctx,
                            const struct svc_rows *rows,
                            struct order_record *out)
{
    if (rows->count == 0)
        return svc_fail(ctx, SVC_NOT_FOUND, "no such order");
    *out = (struct order_record){
        .id = svc_row_text(rows, 0, 0),
        .user = svc_row_text(rows, 0, 1),
        .payment = svc_row_text(rows, 0, 2),
        .reason = svc_row_text(rows, 0, 4),
        .version = (uint64_t)svc_row_int(rows, 0, 5),
        .total = {svc_row_int(rows, 0, 6), svc_row_text(rows, 0, 7)},
        .card_last4 = svc_row_text(rows, 0, 8),
        .created_at = svc_row_text(rows, 0, 9),
        .updated_at = svc_row_text(rows, 0, 10),
    };
    if (!order_state_from_name(svc_row_text(rows, 0, 3), &out->state))
        return svc_fail(ctx, SVC_INTERNAL, "order %.*s has a state from the future",
                        WH_SLICE_ARGS(out->id));
    if (rows->columns <= COLUMN_STEP)
        return SVC_OK;
    out->attempts = (uint32_t)svc_row_int(rows, 0, COLUMN_ATTEMPTS);
    out->card = svc_row_text(rows, 0, COLUMN_CARD);
    if (!order_step_from_name(svc_row_text(rows, 0, COLUMN_STEP), &out->step))
        return svc_fail(ctx, SVC_INTERNAL, "order %.*s has a step from the future",
                        WH_SLICE_ARGS(out->id));
    return SVC_OK;
}

uint32_t order_store_get(struct svc_ctx *ctx,
                         struct wh_slice id,
                         struct wh_slice user,
                         struct order_record *out)
{
    const struct svc_rows *rows = NULL;
    if (ORDER_SQL(ctx, &rows, ORDER_SQL_GET, SVC_UUID(id), SVC_TEXT(user)))
        return svc_db_code(ctx);
    return read_record(ctx, rows, out);
}

uint32_t order_store_lines(struct svc_ctx *ctx, const struct order_record *record, order_lines *out)
{
    const struct svc_rows *rows = NULL;
    if (ORDER_SQL(ctx, &rows, ORDER_SQL_LINES, SVC_UUID(record->id)))
        return svc_db_code(ctx);
    out->items = order_store_alloc(ctx, rows->count, sizeof(*out->items));
    if (!out->items)
        return SVC_INTERNAL;
    for (size_t i = 0; i < rows->count; i++) {
        struct order_line *line = &out->items[i];
        line->product = svc_row_text(rows, i, 0);
        line->name = svc_row_text(rows, i, 1);
        line->quantity = (uint32_t)svc_row_int(rows, i, 2);
        line->unit = new_money(ctx, svc_row_int(rows, i, 3), record->total.currency);
        if (!line->unit)
            return SVC_INTERNAL;
    }
    out->count = rows->count;
    return SVC_OK;
}

uint32_t order_store_lock(struct svc_ctx *ctx, struct wh_slice id, struct order_record *out)
{
    const struct svc_rows *rows = NULL;
    if (ORDER_SQL(ctx, &rows, ORDER_SQL_LOCK, SVC_UUID(id)))
        return svc_db_code(ctx);
    return read_record(ctx, rows, out);
}

uint32_t order_store_lock_own(struct svc_ctx *ctx,
                              struct wh_slice id,
                              struct wh_slice user,
                              struct order_record *out)
{
    const struct svc_rows *rows = NULL;
    if (ORDER_SQL(ctx, &rows, ORDER_SQL_LOCK_OWN, SVC_UUID(id), SVC_TEXT(user)))
        return svc_db_code(ctx);
    return read_record(ctx, rows, out);
}

uint32_t order_store_lock_due(struct svc_ctx *ctx, struct wh_slice id, struct order_record *out)
{
    const struct svc_rows *rows = NULL;
    *out = (struct order_record){0};
    if (ORDER_SQL(ctx, &rows, ORDER_SQL_LOCK_DUE, SVC_UUID(id)))
        return svc_db_code(ctx);
    return rows->count == 0 ? SVC_OK : read_record(ctx, rows, out);
}

uint32_t order_store_due(struct svc_ctx *ctx, struct wh_strings *out)
{
    const struct svc_rows *rows = NULL;
    if (ORDER_SQL(ctx, &rows, ORDER_SQL_DUE, SVC_INT(ORDER_DUE_MAX)))
        return svc_db_code(ctx);
    struct wh_slice *ids = order_store_alloc(ctx, rows->count, sizeof(*ids));
    if (!ids)
        return SVC_INTERNAL;
    /* Rows end where the next transaction begins, and each order has one of its own. */
    for (size_t i = 0; i < rows->count; i++) {
        ids[i] = wh_arena_copy(svc_arena(ctx), svc_row_text(rows, i, 0));
        if (!ids[i].ptr)
            return svc_fail(ctx, SVC_INTERNAL, "out of memory");
    }
    *out = (struct wh_strings){ids, rows->count};
    return SVC_OK;
}

/* Changing. */

uint32_t order_store_update(struct svc_ctx *ctx, struct order_record *record)
{
    const struct svc_rows *rows = NULL;
    if (ORDER_SQL(ctx, &rows, ORDER_SQL_UPDATE, SVC_UUID(record->id),
                  SVC_INT((int64_t)record->version), SVC_STR(order_state_name(record->state)),
                  record->reason.len ? SVC_TEXT(record->reason) : SVC_NULL))
        return svc_db_code(ctx);
    if (rows->count == 0)
        return svc_fail(ctx, SVC_INTERNAL, "order %.*s changed under its lock",
                        WH_SLICE_ARGS(record->id));
    record->version++;
    record->updated_at = svc_row_text(rows, 0, 0);
    return SVC_OK;
}

uint32_t order_store_update_saga(struct svc_ctx *ctx,
                                 const struct order_record *record,
                                 const struct order_saga_change *change)
{
    if (ORDER_SQL(ctx, NULL, ORDER_SQL_UPDATE_SAGA, SVC_UUID(record->id),
                  SVC_STR(order_step_name(record->step)),
                  change->wait_ms ? SVC_INT((int64_t)change->wait_ms) : SVC_NULL,
                  SVC_BOOL(change->keeps_deadline), SVC_INT(record->attempts),
                  SVC_STR(order_payment_name(change->payment))))
        return svc_db_code(ctx);
    return SVC_OK;
}

uint32_t order_store_restock(struct svc_ctx *ctx, const struct order_record *record)
{
    if (ORDER_SQL(ctx, NULL, ORDER_SQL_RESTOCK, SVC_UUID(record->id)))
        return svc_db_code(ctx);
    return SVC_OK;
}

uint32_t product_store_list(struct svc_ctx *ctx,
                            struct wh_slice sku,
                            uint32_t limit,
                            struct product_list *out)
{
    const struct svc_rows *rows = NULL;
    if (ORDER_SQL(ctx, &rows, ORDER_SQL_PRODUCT_LIST, SVC_TEXT(sku), SVC_INT(limit)))
        return svc_db_code(ctx);
    out->products.items = order_store_alloc(ctx, rows->count, sizeof(*out->products.items));
    if (!out->products.items)
        return SVC_INTERNAL;
    for (size_t i = 0; i < rows->count; i++) {
        struct product_view *product = &out->products.items[i];
        product->product = svc_row_text(rows, i, 0);
        product->sku = svc_row_text(rows, i, 1);
        product->name = svc_row_text(rows, i, 2);
        product->price = new_money(ctx, svc_row_int(rows, i, 3), svc_row_text(rows, i, 4));
        product->stock = (uint32_t)svc_row_int(rows, i, 5);
        if (!product->price)
            return SVC_INTERNAL;
    }
    out->products.count = rows->count;
    return SVC_OK;
}
