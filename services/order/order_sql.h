/*
 * Every statement that the order service sends to PostgreSQL, in one table:
 * tests print it and ask the planner about each (no statement may read a whole
 * table that grows, but those that say so).
 */
#ifndef SERVICES_ORDER_ORDER_SQL_H
#define SERVICES_ORDER_ORDER_SQL_H

#include "services/core/db.h"

enum order_sql {
    ORDER_SQL_PRODUCT_LIST,
    ORDER_SQL_PRODUCT_TAKE,
    ORDER_SQL_PRODUCT_NAME,
    ORDER_SQL_RESTOCK,
    ORDER_SQL_INSERT,
    ORDER_SQL_INSERT_LINE,
    ORDER_SQL_INSERT_SAGA,
    ORDER_SQL_GET,
    ORDER_SQL_LINES,
    ORDER_SQL_LOCK,
    ORDER_SQL_LOCK_OWN,
    ORDER_SQL_LOCK_DUE,
    ORDER_SQL_DUE,
    ORDER_SQL_UPDATE,
    ORDER_SQL_UPDATE_SAGA,
    ORDER_SQL_SUMMARY_PAGE,
    ORDER_SQL_SUMMARY_PAGE_IN_STATE,
    ORDER_SQL_SUMMARY_NOTE,
    ORDER_SQL_SUMMARY_LOCK,
    ORDER_SQL_SUMMARY_CLEAR,
    ORDER_SQL_SUMMARY_FILL,
    ORDER_SQL_COUNT
};

struct order_statement {
    const char *name;
    const char *text;
    bool reads_all; /* a whole table, and has to */
};

extern const struct order_statement order_statements[ORDER_SQL_COUNT];

#define ORDER_SQL(ctx, out_rows, statement, ...)                                                   \
    SVC_SQL((ctx), (out_rows), order_statements[statement].text, __VA_ARGS__)

#endif
