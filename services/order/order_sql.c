#include "services/order/order_sql.h"

/* As RFC 3339 in UTC, milliseconds. */
#define AS_TIME(column)                                                                            \
    "to_char(" column " at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"

#define ORDER_COLUMNS                                                                              \
    "o.id, o.user_id, o.payment_id, o.state, o.reason, o.version, o.total_minor, o.currency, "     \
    "o.card_last4, " AS_TIME("o.created_at") ", " AS_TIME("o.updated_at")

#define LOCKED_COLUMNS ORDER_COLUMNS ", s.step, s.attempts, s.card"

#define SUMMARY_COLUMNS                                                                            \
    "order_id, state, reason, payment_state, total_minor, currency, items, " AS_TIME(              \
        "created_at") ", " AS_TIME("updated_at")

const struct order_statement order_statements[ORDER_SQL_COUNT] = {
    [ORDER_SQL_PRODUCT_LIST] = {.name = "product_list",
                                .text = "select id, sku, name, price_minor, currency, stock "
                                        "from product where sku > $1 order by sku limit $2"},

    /* Check and change are one statement: two buyers of the last piece meet at the row's lock, and
     * the second one finds the condition false. */
    [ORDER_SQL_PRODUCT_TAKE] = {.name = "product_take",
                                .text = "update product set stock = stock - $2, "
                                        "version = version + 1 where id = $1 and stock >= $2 "
                                        "returning name, price_minor, currency"},

    [ORDER_SQL_PRODUCT_NAME] = {.name = "product_name",
                                .text = "select name from product where id = $1"},

    /* Products are locked by id, as orders.v1.create does. */
    [ORDER_SQL_RESTOCK] = {.name = "restock",
                           .text = "with line as (select p.id, l.quantity from order_line l "
                                   "join product p on p.id = l.product_id where l.order_id = $1 "
                                   "order by p.id for no key update of p) "
                                   "update product set stock = stock + line.quantity, "
                                   "version = version + 1 from line where product.id = line.id"},

    [ORDER_SQL_INSERT] = {.name = "insert_order",
                          .text = "insert into orders (id, user_id, payment_id, total_minor, "
                                  "currency, card_last4) values ($1, $2, $3, $4, $5, $6) "
                                  "returning " AS_TIME("created_at")},

    [ORDER_SQL_INSERT_LINE] = {.name = "insert_line",
                               .text = "insert into order_line (order_id, line, product_id, name, "
                                       "quantity, unit_minor) values ($1, $2, $3, $4, $5, $6)"},

    [ORDER_SQL_INSERT_SAGA] = {.name = "insert_saga",
                               .text = "insert into saga (order_id, step, deadline, card) values "
                                       "($1, 'awaiting_payment', "
                                       "now() + $2 * interval '1 millisecond', $3)"},

    [ORDER_SQL_GET] = {.name = "get_order",
                       .text = "select " ORDER_COLUMNS
                               " from orders o where o.id = $1 and o.user_id = $2"},

    [ORDER_SQL_LINES] = {.name = "lines_of_order",
                         .text = "select product_id, name, quantity, unit_minor from order_line "
                                 "where order_id = $1 order by line"},

    /* Both rows are locked: of one that is not, a statement that had to wait still sees what was
     * there before it waited. */
    [ORDER_SQL_LOCK] = {.name = "lock_order",
                        .text = "select " LOCKED_COLUMNS
                                " from orders o join saga s on s.order_id = o.id "
                                "where o.id = $1 for no key update"},

    [ORDER_SQL_LOCK_OWN] = {.name = "lock_own_order",
                            .text = "select " LOCKED_COLUMNS
                                    " from orders o join saga s on s.order_id = o.id "
                                    "where o.id = $1 and o.user_id = $2 for no key update"},

    /* Nothing when another instance has it in hand, or it is not due any more. */
    [ORDER_SQL_LOCK_DUE] = {.name = "lock_due_order",
                            .text = "select " LOCKED_COLUMNS
                                    " from orders o join saga s on s.order_id = o.id "
                                    "where o.id = $1 and s.deadline <= now() "
                                    "for no key update skip locked"},

    [ORDER_SQL_DUE] = {.name = "due_orders",
                       .text = "select order_id from saga where deadline <= now() "
                               "order by deadline limit $1"},

    [ORDER_SQL_UPDATE] = {.name = "update_order",
                          .text = "update orders set state = $3, reason = $4, "
                                  "version = version + 1, updated_at = now() "
                                  "where id = $1 and version = $2 "
                                  "returning " AS_TIME("updated_at")},

    /* $3: milliseconds, NULL = no deadline any more; $4: keep the one that there is. */
    [ORDER_SQL_UPDATE_SAGA] =
        {.name = "update_saga",
         .text = "update saga set step = $2::saga_step, "
                 "deadline = case when $4 then deadline "
                 "else now() + $3 * interval '1 millisecond' end, "
                 "attempts = $5, "
                 "payment_state = greatest(payment_state, $6), "
                 "card = case when $2::saga_step = 'awaiting_payment' then card end "
                 "where order_id = $1"},

    [ORDER_SQL_SUMMARY_PAGE] = {.name = "summary_page",
                                .text = "select " SUMMARY_COLUMNS
                                        " from order_summary where user_id = $1 "
                                        "and order_id < $2 order by order_id desc limit $3"},

    [ORDER_SQL_SUMMARY_PAGE_IN_STATE] = {.name = "summary_page_in_state",
                                         .text = "select " SUMMARY_COLUMNS
                                                 " from order_summary where user_id = $1 "
                                                 "and order_id < $2 and state = $4 "
                                                 "order by order_id desc limit $3"},

    /* Events may come twice and, from several instances, in any order: each member keeps the most
     * advanced value or the first one that was known, so what is left is the same. */
    [ORDER_SQL_SUMMARY_NOTE] =
        {.name = "summary_note",
         .text = "insert into order_summary as s (order_id, user_id, state, reason, payment_state, "
                 "total_minor, currency, items, created_at, updated_at) values ($1, $2, $3, $4, "
                 "$5, $6, $7, $8, to_timestamp($9 / 1000.0), to_timestamp($10 / 1000.0)) "
                 "on conflict (order_id) do update set "
                 "state = greatest(s.state, excluded.state), "
                 "reason = coalesce(s.reason, excluded.reason), "
                 "payment_state = greatest(s.payment_state, excluded.payment_state), "
                 "total_minor = coalesce(s.total_minor, excluded.total_minor), "
                 "currency = coalesce(s.currency, excluded.currency), "
                 "items = coalesce(s.items, excluded.items), "
                 "created_at = coalesce(s.created_at, excluded.created_at), "
                 "updated_at = greatest(s.updated_at, excluded.updated_at)"},

    /* Readers go on; events wait until the new rows are there. */
    [ORDER_SQL_SUMMARY_LOCK] = {.name = "summary_lock",
                                .text = "lock table order_summary in exclusive mode",
                                .reads_all = true},

    [ORDER_SQL_SUMMARY_CLEAR] = {.name = "summary_clear",
                                 .text = "delete from order_summary",
                                 .reads_all = true},

    [ORDER_SQL_SUMMARY_FILL] =
        {.name = "summary_fill",
         .text = "insert into order_summary (order_id, user_id, state, reason, payment_state, "
                 "total_minor, currency, items, created_at, updated_at) "
                 "select o.id, o.user_id, o.state, o.reason, s.payment_state, o.total_minor, "
                 "o.currency, l.items, o.created_at, o.updated_at "
                 "from orders o join saga s on s.order_id = o.id join (select order_id, "
                 "sum(quantity)::integer as items from order_line group by order_id) l "
                 "on l.order_id = o.id",
         .reads_all = true},
};
