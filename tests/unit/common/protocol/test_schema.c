/*
 * The field tables: that they are sound, and that what is generated from them
 * (sections of docs/PROTOCOL.md, the dictionary of the fuzzer) is up to date.
 * With WH_UPDATE_DOCS=1 in the environment it is written instead of compared.
 */
#include "common/protocol/codec.h"
#include "common/protocol/codes.h"
#include "common/protocol/rpc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const char doc_path[] = WH_SOURCE_DIR "/docs/PROTOCOL.md";
static const char contract_path[] = WH_SOURCE_DIR "/docs/REDIS.md";
static const char dictionary_path[] = WH_SOURCE_DIR "/tests/fuzz/command.dict";

static bool is_nested(enum wh_field_type type)
{
    return type == WH_FIELD_MESSAGE || type == WH_FIELD_MESSAGES || type == WH_FIELD_MESSAGE_MAP;
}

static void rows_are_sound(void **state)
{
    (void)state;
    for (size_t s = 0; wh_schemas[s]; s++) {
        const struct wh_schema *schema = wh_schemas[s];
        for (size_t i = 0; i < schema->field_count; i++) {
            const struct wh_field *field = &schema->fields[i];
            assert_in_range(field->number, 1, 536870911);
            assert_in_range(field->offset, 0, schema->size - 1);
            assert_int_equal(is_nested(field->type), field->schema != NULL);
            assert_int_not_equal(field->type, WH_FIELD_RAW_JSON);
            for (size_t j = 0; j < i; j++) {
                assert_string_not_equal(field->name, schema->fields[j].name);
                assert_int_not_equal(field->number, schema->fields[j].number);
                assert_int_not_equal(field->offset, schema->fields[j].offset);
            }
        }
    }
}

static void every_nested_schema_is_listed_once(void **state)
{
    (void)state;
    for (size_t s = 0; wh_schemas[s]; s++) {
        for (size_t t = 0; t < s; t++)
            assert_string_not_equal(wh_schemas[s]->name, wh_schemas[t]->name);
        for (size_t i = 0; i < wh_schemas[s]->field_count; i++) {
            const struct wh_schema *nested = wh_schemas[s]->fields[i].schema;
            bool is_listed = nested == NULL;
            for (size_t t = 0; wh_schemas[t]; t++)
                is_listed = is_listed || wh_schemas[t] == nested;
            assert_true(is_listed);
        }
    }
}

/* What official SDKs read without asking whether it is there. */
static void what_clients_rely_on_is_always_written(void **state)
{
    (void)state;
    static const char *const expected[] = {
        "ClientInfo.user",
        "ClientInfo.client",
        "PresenceResult.presence",
        "PresenceStatsResult.num_clients",
        "PresenceStatsResult.num_users",
        "HistoryResult.publications",
        "HistoryResult.epoch",
        "HistoryResult.offset",
    };
    size_t found = 0;
    for (size_t s = 0; wh_schemas[s]; s++) {
        for (size_t i = 0; i < wh_schemas[s]->field_count; i++) {
            char name[80];
            if (wh_schemas[s]->fields[i].presence != WH_ALWAYS)
                continue;
            snprintf(name, sizeof(name), "%s.%s", wh_schemas[s]->name,
                     wh_schemas[s]->fields[i].name);
            assert_in_range(found, 0, sizeof(expected) / sizeof(expected[0]) - 1);
            assert_string_equal(name, expected[found++]);
        }
    }
    assert_int_equal(found, sizeof(expected) / sizeof(expected[0]));
}

/* Generation */

static void write_type(struct wh_buf *out, const struct wh_field *field)
{
    static const char *const names[] = {
        [WH_FIELD_BOOL] = "bool",         [WH_FIELD_U32] = "uint32",
        [WH_FIELD_U64] = "uint64",        [WH_FIELD_I32] = "int32",
        [WH_FIELD_I64] = "int64",         [WH_FIELD_SINT64] = "sint64",
        [WH_FIELD_STRING] = "string",     [WH_FIELD_STRINGS] = "[string]",
        [WH_FIELD_PAYLOAD] = "*payload*", [WH_FIELD_STRING_MAP] = "{string}",
    };
    if (field->type == WH_FIELD_MESSAGE)
        wh_buf_append_str(out, field->schema->name);
    else if (field->type == WH_FIELD_MESSAGES)
        wh_buf_printf(out, "[%s]", field->schema->name);
    else if (field->type == WH_FIELD_MESSAGE_MAP)
        wh_buf_printf(out, "{%s}", field->schema->name);
    else
        wh_buf_append_str(out, names[field->type]);
    if (field->presence == WH_ALWAYS)
        wh_buf_append_str(out, ", always");
}

static void write_fields(struct wh_buf *out)
{
    for (size_t s = 0; wh_schemas[s]; s++) {
        const struct wh_schema *schema = wh_schemas[s];
        wh_buf_printf(out, "\n### %s\n", schema->name);
        if (schema->field_count == 0) {
            wh_buf_append_str(out, "\nNo fields: being there is all it says.\n");
            continue;
        }
        wh_buf_append_str(out, "\n| field | number | type |\n|---|---|---|\n");
        for (size_t i = 0; i < schema->field_count; i++) {
            const struct wh_field *field = &schema->fields[i];
            wh_buf_printf(out, "| `%s` | %u | ", field->name, field->number);
            write_type(out, field);
            wh_buf_append_str(out, " |\n");
        }
    }
    wh_buf_append_char(out, '\n');
}

static void write_code(struct wh_buf *out, uint32_t code)
{
    wh_buf_printf(out, "| %u | %s%s |\n", code, wh_code_text(code),
                  wh_code_is_temporary(code) ? " (temporary)" : "");
}

static void write_codes(struct wh_buf *out)
{
    wh_buf_append_str(out, "\n| error | text |\n|---|---|\n");
#define X(name, code, text, temporary) write_code(out, code);
    WH_REPLY_ERROR_LIST(X)
#undef X
    wh_buf_append_str(out, "\n| close | text |\n|---|---|\n");
#define X(name, code, text) write_code(out, code);
    WH_DISCONNECT_LIST(X)
    wh_buf_append_str(out, "\n| unsubscribe | text |\n|---|---|\n");
    WH_UNSUBSCRIBE_LIST(X)
#undef X
    wh_buf_append_char(out, '\n');
}

static void write_dictionary(struct wh_buf *out)
{
    wh_buf_append_str(out, "# Generated from the field tables: ./dev docs\n");
    for (size_t s = 0; wh_schemas[s]; s++) {
        for (size_t i = 0; i < wh_schemas[s]->field_count; i++) {
            const struct wh_field *field = &wh_schemas[s]->fields[i];
            bool is_scalar = field->type <= WH_FIELD_SINT64;
            char line[80];
            snprintf(line, sizeof(line), "\"\\\"%s\\\":\"\n", field->name);
            if (strstr(wh_buf_cstr(out), line))
                continue;
            wh_buf_append_str(out, line);
            wh_buf_printf(out, "\"\\x%02x%s\"\n", 0xA0 + (unsigned)strlen(field->name),
                          field->name);
            if (field->number < 16)
                wh_buf_printf(out, "\"\\x%02x\"\n", field->number << 3 | (is_scalar ? 0 : 2));
        }
    }
}

/* Everything of the file; empty when there is none. */
static void read_file(const char *path, struct wh_buf *out)
{
    char chunk[4096];
    size_t len;
    FILE *file = fopen(path, "r");
    if (!file)
        return;
    while ((len = fread(chunk, 1, sizeof(chunk), file)) > 0)
        wh_buf_append(out, chunk, len);
    fclose(file);
}

static void compare_or_write(const char *path, struct wh_buf *expected, struct wh_buf *found)
{
    if (wh_slice_equal(wh_buf_slice(expected), wh_buf_slice(found)))
        return;
    if (!getenv("WH_UPDATE_DOCS"))
        fail_msg("%s is stale; run: ./dev docs", path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(expected->ptr, 1, expected->len, file), expected->len);
    assert_int_equal(fclose(file), 0);
}

/* `text` up to the BEGIN mark, the section, and from the END mark on; what is left is returned. */
static const char *replace_section(const char *text,
                                   const char *name,
                                   void (*write)(struct wh_buf *out),
                                   struct wh_buf *out)
{
    char begin_mark[40], end_mark[40];
    snprintf(begin_mark, sizeof(begin_mark), "<!-- BEGIN %s -->\n", name);
    snprintf(end_mark, sizeof(end_mark), "<!-- END %s -->", name);
    const char *begin = strstr(text, begin_mark);
    const char *end = strstr(text, end_mark);
    assert_true(begin != NULL && end > begin);
    wh_buf_append(out, text, (size_t)(begin - text) + strlen(begin_mark));
    write(out);
    return end;
}

static void the_document_shows_the_tables_of_today(void **state)
{
    (void)state;
    struct wh_buf found = {0}, expected = {0};
    read_file(doc_path, &found);
    const char *rest = wh_buf_cstr(&found);
    rest = replace_section(rest, "CODES", write_codes, &expected);
    rest = replace_section(rest, "FIELDS", write_fields, &expected);
    wh_buf_append_str(&expected, rest);
    compare_or_write(doc_path, &expected, &found);
    wh_buf_deinit(&found);
    wh_buf_deinit(&expected);
}

/* Its rows stand one behind the other from `text` on; where they end. */
static const char *find_rows(const char *text, const struct wh_schema *schema)
{
    for (size_t i = 0; i < schema->field_count; i++) {
        struct wh_buf row = {0};
        wh_buf_printf(&row, "| `%s` | ", schema->fields[i].name);
        write_type(&row, &schema->fields[i]);
        wh_buf_append_str(&row, " | ");
        const char *found = strstr(text, wh_buf_cstr(&row));
        if (!found || (i > 0 && found != text)) {
            fail_msg("docs/REDIS.md should say of %s: %s", schema->name, wh_buf_cstr(&row));
            return text; /* clang does not know that it never comes here */
        }
        const char *end = strchr(found, '\n');
        assert_non_null(end);
        text = end + 1;
        wh_buf_deinit(&row);
    }
    if (text[0] == '|')
        fail_msg("docs/REDIS.md says more of %s: %.40s", schema->name, text);
    return text;
}

static void the_contract_shows_every_member_of_calls_and_answers(void **state)
{
    (void)state;
    struct wh_buf page = {0};
    read_file(contract_path, &page);
    const char *rest = strstr(wh_buf_cstr(&page), "\n### The announcement\n");
    assert_non_null(rest);
    rest = find_rows(rest, &wh_rpc_service_schema);
    for (size_t i = 0; i < wh_rpc_service_schema.field_count; i++)
        if (wh_rpc_service_schema.fields[i].schema)
            rest = find_rows(rest, wh_rpc_service_schema.fields[i].schema);
    rest = find_rows(rest, &wh_rpc_call_schema);
    rest = find_rows(rest, &wh_rpc_answer_schema);
    for (size_t i = 0; i < wh_rpc_answer_schema.field_count; i++)
        if (wh_rpc_answer_schema.fields[i].schema)
            rest = find_rows(rest, wh_rpc_answer_schema.fields[i].schema);
    find_rows(rest, &wh_rpc_cancel_schema);
    wh_buf_deinit(&page);
}

static void the_dictionary_of_the_fuzzer_knows_every_name(void **state)
{
    (void)state;
    struct wh_buf found = {0}, expected = {0};
    read_file(dictionary_path, &found);
    write_dictionary(&expected);
    compare_or_write(dictionary_path, &expected, &found);
    wh_buf_deinit(&found);
    wh_buf_deinit(&expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_sound),
        cmocka_unit_test(every_nested_schema_is_listed_once),
        cmocka_unit_test(what_clients_rely_on_is_always_written),
        cmocka_unit_test(the_document_shows_the_tables_of_today),
        cmocka_unit_test(the_contract_shows_every_member_of_calls_and_answers),
        cmocka_unit_test(the_dictionary_of_the_fuzzer_knows_every_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
