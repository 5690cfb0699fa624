#include "services/payment/payment_store.h"

#include "services/core/outbox.h"

/* Of the namespace `payments` in the hub's configuration. */
enum { PAYMENT_HISTORY_SIZE = 1000, PAYMENT_HISTORY_TTL_MS = 24 * 3600 * 1000 };

/* clang-format off */
#define PAYMENT_COLUMNS                                                                            \
    "id, order_id, user_id, amount_minor, currency, card, reason, reference, traceparent, state, " \
    "wish, attempts, version"
#define VIEW_COLUMNS                                                                               \
    "id, order_id, state, reason, amount_minor, currency, card_last4, "                            \
    "to_char(created_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), "                \
    "to_char(updated_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"

enum { LOCK, INSERT, UPDATE, CLAIM, FIND, FIND_BY_ORDER, PAGE_FIRST, PAGE_NEXT };

const struct payment_statement payment_statements[] = {
    [LOCK] = {"lock",
        "select " PAYMENT_COLUMNS " from payment where id = $1 for update"},
    [INSERT] = {"insert",
        "insert into payment (id, order_id, user_id, amount_minor, currency, card, card_last4, "
        "state, wish, traceparent) values ($1, $2, $3, $4, $5, $6, right($6, 4), $7, $8, $9) "
        "on conflict do nothing"},
    [UPDATE] = {"update",
        "update payment set state = $3, wish = $4, reason = $5, reference = $6, attempts = $7, "
        "traceparent = $9, card = case when $4 = 'authorize'::payment_wish then card else '' end, "
        "due_at = clock_timestamp() + $8 * interval '1 ms', lease_until = null, "
        "version = version + 1, updated_at = clock_timestamp() "
        "where id = $1 and version = $2"},
    [CLAIM] = {"claim",
        "update payment set lease_until = clock_timestamp() + $1 * interval '1 ms', "
        "attempts = attempts + 1, version = version + 1 where id = ("
        "select id from payment where wish <> 'nothing' and due_at <= clock_timestamp() "
        "and (lease_until is null or lease_until <= clock_timestamp()) "
        "order by due_at limit 1 for update skip locked) returning " PAYMENT_COLUMNS},
    [FIND] = {"find",
        "select " VIEW_COLUMNS " from payment where id = $1 and user_id = $2"},
    [FIND_BY_ORDER] = {"find_by_order",
        "select " VIEW_COLUMNS " from payment where order_id = $1 and user_id = $2"},
    [PAGE_FIRST] = {"page_first",
        "select " VIEW_COLUMNS " from payment where user_id = $1 order by id desc limit $2"},
    [PAGE_NEXT] = {"page_next",
        "select " VIEW_COLUMNS " from payment where user_id = $1 and id < $3 "
        "order by id desc limit $2"},
    {NULL, NULL},
};
/* clang-format on */

/* The columns are never NULL: what is absent is empty. */
static struct svc_param text_param(struct wh_slice text)
{
    return SVC_TEXT(text.ptr ? text : WH_SLICE_LITERAL(""));
}

static struct svc_money *read_money(struct svc_ctx *ctx,
                                    const struct svc_rows *rows,
                                    size_t row,
                                    size_t column)
{
    if (svc_row_is_null(rows, row, column))
        return NULL;
    struct svc_money *money = wh_arena_alloc(svc_arena(ctx), sizeof(*money));
    if (money)
        *money = (struct svc_money){.amount_minor = svc_row_int(rows, row, column),
                                    .currency = svc_row_text(rows, row, column + 1)};
    return money;
}

static enum svc_db_err read_payment(struct svc_ctx *ctx,
                                    const struct svc_rows *rows,
                                    struct payment *out_payment,
                                    bool *out_is_there)
{
    *out_is_there = rows->count > 0;
    if (rows->count == 0)
        return SVC_DB_OK;
    struct payment payment = {.id = svc_row_text(rows, 0, 0),
                              .order = svc_row_text(rows, 0, 1),
                              .user = svc_row_text(rows, 0, 2),
                              .amount = read_money(ctx, rows, 0, 3),
                              .card = svc_row_text(rows, 0, 5),
                              .reason = svc_row_text(rows, 0, 6),
                              .reference = svc_row_text(rows, 0, 7),
                              .traceparent = svc_row_text(rows, 0, 8),
                              .attempts = (uint32_t)svc_row_int(rows, 0, 11),
                              .version = svc_row_int(rows, 0, 12)};
    /* A state that a newer release knows and this one does not. */
    if (!payment_state_parse(svc_row_text(rows, 0, 9), &payment.state) ||
        !payment_wish_parse(svc_row_text(rows, 0, 10), &payment.wish))
        return SVC_DB_FAILED;
    *out_payment = payment;
    return SVC_DB_OK;
}

enum svc_db_err payment_lock(struct svc_ctx *ctx,
                             struct wh_slice id,
                             struct payment *out_payment,
                             bool *out_is_there)
{
    const struct svc_rows *rows = NULL;
    enum svc_db_err err = SVC_SQL(ctx, &rows, payment_statements[LOCK].sql, SVC_UUID(id));
    return err ? err : read_payment(ctx, rows, out_payment, out_is_there);
}

enum svc_db_err payment_insert(struct svc_ctx *ctx,
                               const struct payment *payment,
                               bool *out_is_inserted)
{
    const struct svc_rows *rows = NULL;
    const struct svc_money *amount = payment->amount;
    enum svc_db_err err = SVC_SQL(
        ctx, &rows, payment_statements[INSERT].sql, SVC_UUID(payment->id), SVC_UUID(payment->order),
        text_param(payment->user), amount ? SVC_INT(amount->amount_minor) : SVC_NULL,
        amount ? SVC_TEXT(amount->currency) : SVC_NULL, text_param(payment->card),
        SVC_STR(payment_state_name(payment->state)), SVC_STR(payment_wish_name(payment->wish)),
        text_param(payment->traceparent));
    if (!err)
        *out_is_inserted = rows->affected == 1;
    return err;
}

enum svc_db_err payment_update(struct svc_ctx *ctx,
                               const struct payment *payment,
                               uint32_t due_in_ms,
                               bool *out_is_written)
{
    const struct svc_rows *rows = NULL;
    enum svc_db_err err =
        SVC_SQL(ctx, &rows, payment_statements[UPDATE].sql, SVC_UUID(payment->id),
                SVC_INT(payment->version), SVC_STR(payment_state_name(payment->state)),
                SVC_STR(payment_wish_name(payment->wish)), text_param(payment->reason),
                text_param(payment->reference), SVC_INT(payment->attempts), SVC_INT(due_in_ms),
                text_param(payment->traceparent));
    if (!err)
        *out_is_written = rows->affected == 1;
    return err;
}

enum svc_db_err payment_claim(struct svc_ctx *ctx,
                              uint32_t lease_ms,
                              struct payment *out_payment,
                              bool *out_is_there)
{
    const struct svc_rows *rows = NULL;
    enum svc_db_err err = SVC_SQL(ctx, &rows, payment_statements[CLAIM].sql, SVC_INT(lease_ms));
    return err ? err : read_payment(ctx, rows, out_payment, out_is_there);
}

static void read_view(struct svc_ctx *ctx,
                      const struct svc_rows *rows,
                      size_t row,
                      struct payment_view *out_view)
{
    *out_view = (struct payment_view){.payment = svc_row_text(rows, row, 0),
                                      .order = svc_row_text(rows, row, 1),
                                      .state = svc_row_text(rows, row, 2),
                                      .reason = svc_row_text(rows, row, 3),
                                      .amount = read_money(ctx, rows, row, 4),
                                      .card_last4 = svc_row_text(rows, row, 6),
                                      .created_at = svc_row_text(rows, row, 7),
                                      .updated_at = svc_row_text(rows, row, 8)};
}

enum svc_db_err payment_find(struct svc_ctx *ctx,
                             struct wh_slice user,
                             const struct payment_ref *ref,
                             struct payment_view *out_view,
                             bool *out_is_there)
{
    const struct svc_rows *rows = NULL;
    bool is_by_order = ref->payment.len == 0;
    enum svc_db_err err =
        SVC_SQL(ctx, &rows, payment_statements[is_by_order ? FIND_BY_ORDER : FIND].sql,
                SVC_UUID(is_by_order ? ref->order : ref->payment), SVC_TEXT(user));
    if (err)
        return err;
    *out_is_there = rows->count > 0;
    if (rows->count > 0)
        read_view(ctx, rows, 0, out_view);
    return SVC_DB_OK;
}

enum svc_db_err payment_page_read(struct svc_ctx *ctx,
                                  struct wh_slice user,
                                  struct wh_slice cursor,
                                  uint32_t limit,
                                  struct payment_list *out_list)
{
    const struct svc_rows *rows = NULL;
    enum svc_db_err err =
        cursor.len == 0 ? SVC_SQL(ctx, &rows, payment_statements[PAGE_FIRST].sql, SVC_TEXT(user),
                                  SVC_INT((int64_t)limit + 1))
                        : SVC_SQL(ctx, &rows, payment_statements[PAGE_NEXT].sql, SVC_TEXT(user),
                                  SVC_INT((int64_t)limit + 1), SVC_UUID(cursor));
    if (err)
        return err;
    struct payment_view *views = wh_arena_alloc(svc_arena(ctx), (rows->count + 1) * sizeof(*views));
    if (!views)
        return SVC_DB_FAILED;
    for (size_t i = 0; i < rows->count; i++)
        read_view(ctx, rows, i, &views[i]);
    *out_list = (struct payment_list){.payments = {views, rows->count}};
    if (rows->count > limit) {
        out_list->payments.count = limit;
        out_list->next = views[limit - 1].payment;
    }
    return SVC_DB_OK;
}

uint32_t payment_tell(struct svc_ctx *ctx, const struct payment *payment)
{
    const char *type = payment_event_type(payment->state);
    const struct payment_told told = {
        .payment = payment->id,
        .order = payment->order,
        .user = payment->user,
        .amount = payment->amount,
        .reason = payment->state == PAYMENT_DECLINED ? payment->reason : WH_SLICE_LITERAL("")};
    if (!type)
        return SVC_OK;
    const struct svc_event_channel channel = {
        .name = svc_text(ctx, "payments:live#%.*s", WH_SLICE_ARGS(payment->user)),
        .history_size = PAYMENT_HISTORY_SIZE,
        .history_ttl_ms = PAYMENT_HISTORY_TTL_MS};
    return svc_emit(ctx,
                    &(struct svc_emission){.type = type,
                                           .subject = payment->order,
                                           .data = svc_encode(ctx, &payment_told_schema, &told),
                                           .channels = &channel,
                                           .channel_count = 1});
}
