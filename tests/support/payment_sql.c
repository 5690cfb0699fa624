/* Prints the statements of the payment service as JSON, for the test that has them explained. */
#include "services/payment/payment_store.h"

#include <jansson.h>
#include <stdio.h>

int main(void)
{
    json_t *list = json_array();
    for (const struct payment_statement *it = payment_statements; it->name; it++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "name", it->name, "text", it->sql));
    int failed = json_dumpf(list, stdout, JSON_INDENT(1));
    json_decref(list);
    return failed ? 1 : 0;
}
