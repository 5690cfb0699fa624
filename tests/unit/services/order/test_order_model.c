#include "services/order/order_model.h"

#include "common/protocol/codec.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static const struct {
    const char *type;
    const struct wh_schema *schema;
} events[] = {
    {"order.created.v1", &order_created_schema},
    {"order.confirmed.v1", &order_confirmed_schema},
    {"order.cancelled.v1", &order_cancelled_schema},
    {"payment.requested.v1", &payment_requested_schema},
    {"payment.void_requested.v1", &payment_void_requested_schema},
    {"payment.refund_requested.v1", &payment_refund_requested_schema},
    {"market.sold.v1", &market_sale_schema},
};

static json_t *load_document(const char *type)
{
    char path[512];
    json_error_t error;
    (void)snprintf(path, sizeof(path), "%s/docs/events/%s.json", WH_SOURCE_DIR, type);
    json_t *document = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!document)
        fail_msg("%s:%d: %s", path, error.line, error.text);
    return document;
}

static const char *json_type_of(enum wh_field_type type)
{
    switch (type) {
    case WH_FIELD_STRING:
        return "string";
    case WH_FIELD_MESSAGES:
        return "array";
    case WH_FIELD_MESSAGE:
        return "object";
    default:
        return "integer";
    }
}

/* The schema that `node` is or refers to within `document`. */
static json_t *resolve(json_t *document, json_t *node)
{
    const char *reference = json_string_value(json_object_get(node, "$ref"));
    if (!reference)
        return node;
    assert_int_equal(strncmp(reference, "#/$defs/", 8), 0);
    node = json_object_get(json_object_get(document, "$defs"), reference + 8);
    assert_non_null(node);
    return node;
}

static void compare(json_t *document, json_t *object, const struct wh_schema *schema)
{
    json_t *properties = json_object_get(object, "properties");
    json_t *required = json_object_get(object, "required");
    assert_int_equal(json_object_size(properties), schema->field_count);
    assert_int_equal(json_array_size(required), schema->field_count);
    for (size_t i = 0; i < schema->field_count; i++) {
        const struct wh_field *field = &schema->fields[i];
        json_t *property = json_object_get(properties, field->name);
        if (!property)
            fail_msg("%s.%s is not documented", schema->name, field->name);
        property = resolve(document, property);
        json_t *type = json_object_get(property, "type");
        assert_string_equal(type ? json_string_value(type) : "string", json_type_of(field->type));
        if (field->type == WH_FIELD_MESSAGES)
            property = json_object_get(property, "items");
        if (field->schema)
            compare(document, property, field->schema);
    }
}

static void documented_events_have_the_members_that_are_sent(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        json_t *document = load_document(events[i].type);
        assert_string_equal(json_string_value(json_object_get(document, "title")), events[i].type);
        assert_string_equal(json_string_value(json_object_get(document, "$schema")),
                            "https://json-schema.org/draft/2020-12/schema");
        compare(document, document, events[i].schema);
        json_decref(document);
    }
}

static void an_order_is_written_whole_and_read_back(void **state)
{
    struct svc_money price = {INT64_MAX, WH_SLICE_LITERAL("EUR")};
    struct order_line line = {WH_SLICE_LITERAL("p"), WH_SLICE_LITERAL("Cup \"180\""), 2, &price};
    struct order_created out = {
        .order = WH_SLICE_LITERAL("o"),
        .user = WH_SLICE_LITERAL("u"),
        .total = &price,
        .lines = {&line, 1},
    };
    struct order_event_data in = {0};
    struct wh_arena arena = {0};
    struct wh_buf buf = {0};
    (void)state;
    assert_int_equal(wh_encode(WH_ENCODING_JSON, &order_created_schema, &out, 0, &buf), WH_OK);
    assert_string_equal(wh_buf_cstr(&buf),
                        "{\"order\":\"o\",\"user\":\"u\",\"total\":{\"amount_minor\":"
                        "9223372036854775807,\"currency\":\"EUR\"},\"lines\":[{\"product\":\"p\","
                        "\"name\":\"Cup \\\"180\\\"\",\"quantity\":2,\"unit\":{\"amount_minor\":"
                        "9223372036854775807,\"currency\":\"EUR\"}}]}");
    assert_int_equal(wh_decode_whole(WH_ENCODING_JSON, &order_event_data_schema, wh_buf_slice(&buf),
                                     &arena, &in),
                     WH_OK);
    assert_int_equal(in.lines.count, 1);
    assert_int_equal(in.lines.items[0].quantity, 2);
    assert_true(svc_money_equal(*in.total, price));
    wh_arena_deinit(&arena);
    wh_buf_deinit(&buf);
}

static void amounts_and_quantities_that_are_no_whole_numbers_are_refused(void **state)
{
    static const char *const bad[] = {
        "{\"lines\":[{\"product\":\"p\",\"quantity\":1.5}]}",
        "{\"lines\":[{\"product\":\"p\",\"quantity\":-1}]}",
        "{\"lines\":[{\"product\":\"p\",\"quantity\":4294967296}]}",
        "{\"lines\":[{\"product\":\"p\",\"quantity\":\"1\"}]}",
        "{\"lines\":{}}",
        "{\"card\":4242424242424242}",
        "[]",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct wh_arena arena = {0};
        struct order_create in = {0};
        assert_int_equal(wh_decode_whole(WH_ENCODING_JSON, &order_create_schema,
                                         wh_slice_from_str(bad[i]), &arena, &in),
                         WH_EFORMAT);
        wh_arena_deinit(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documented_events_have_the_members_that_are_sent),
        cmocka_unit_test(an_order_is_written_whole_and_read_back),
        cmocka_unit_test(amounts_and_quantities_that_are_no_whole_numbers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
