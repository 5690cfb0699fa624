/*
 * The rows of a field table, for the .c files that hold such tables (schema.c,
 * rpc.c, the server API, the parameters and results of services).  Never
 * included by a header.
 *
 *     #define T order_line                     // within each table, T is the struct
 *     static const struct wh_field order_line_fields[] = {
 *         FIELD_ALWAYS(1, product, STRING),
 *         FIELD(2, quantity, U32),
 *     };
 *     #undef T
 *     SCHEMA(static const, order_line, "OrderLine", order_line);
 *
 * The name of a member is its key in JSON and MessagePack, the number its Protobuf field.  Rows
 * stand between clang-format off and on, which would put two of them on a line.
 */
#ifndef WH_PROTOCOL_SCHEMA_ROWS_H
#define WH_PROTOCOL_SCHEMA_ROWS_H

#include "common/protocol/schema.h"

/* clang-format off */
#define ROW(number, member, type, presence, schema)                                                \
    {#member, number, WH_FIELD_##type, presence, offsetof(struct T, member), schema}
#define FIELD(number, member, type)        ROW(number, member, type, WH_OMIT_ZERO, NULL)
#define FIELD_ALWAYS(number, member, type) ROW(number, member, type, WH_ALWAYS, NULL)
#define NESTED(number, member, type, nested)                                                       \
    ROW(number, member, type, WH_OMIT_ZERO, &nested##_schema)
#define NESTED_ALWAYS(number, member, type, nested)                                                \
    ROW(number, member, type, WH_ALWAYS, &nested##_schema)
#define SCHEMA(linkage, variable, title, tag)                                                      \
    linkage struct wh_schema variable##_schema = {title, sizeof(struct tag), variable##_fields,    \
                                                  sizeof(variable##_fields) /                      \
                                                      sizeof((variable##_fields)[0])}
/* clang-format on */

#endif
