/* Prints the statements of the order service as JSON, for the test that has them explained. */
#include "services/order/order_sql.h"

#include <jansson.h>
#include <stdio.h>

int main(void)
{
    json_t *list = json_array();
    for (size_t i = 0; i < ORDER_SQL_COUNT; i++) {
        const struct order_statement *statement = &order_statements[i];
        json_t *row = json_pack("{s:s, s:s, s:b}", "name", statement->name, "text", statement->text,
                                "reads_all", (int)statement->reads_all);
        json_array_append_new(list, row);
    }
    int failed = json_dumpf(list, stdout, JSON_INDENT(1));
    json_decref(list);
    return failed ? 1 : 0;
}
