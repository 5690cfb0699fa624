/*
 * tests/golden/messages.txt: what each encoding must be, byte for byte, made
 * without our code.
 */
#include "common/protocol/codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct golden_case {
    char name[128];
    const struct wh_schema *schema;
    struct wh_buf bytes[WH_ENCODING_COUNT];
};

enum { CASES_MAX = 100 };
static struct golden_case cases[CASES_MAX];
static size_t case_count;

static const struct wh_schema *schema_named(const char *name)
{
    for (size_t i = 0; wh_schemas[i]; i++) {
        if (strcmp(wh_schemas[i]->name, name) == 0)
            return wh_schemas[i];
    }
    return NULL;
}

/* Pairs of hexadecimal digits; blanks may stand between them. */
static void add_hex(struct wh_buf *out, const char *hex)
{
    for (hex += strspn(hex, " "); *hex; hex += strspn(hex, " ")) {
        assert_true(strspn(hex, "0123456789abcdef") >= 2);
        const char digits[] = {hex[0], hex[1], '\0'};
        wh_buf_append_char(out, (char)strtoul(digits, NULL, 16));
        hex += 2;
    }
}

/* One line of the file; `current` is the encoding that a continuation goes on with. */
static void add_line(const char *line, int *current)
{
    struct golden_case *golden = case_count > 0 ? &cases[case_count - 1] : NULL;
    if (line[0] == '#' || line[0] == '\0') {
        return;
    } else if (strncmp(line, "case ", 5) == 0) {
        assert_in_range(case_count, 0, CASES_MAX - 1);
        golden = &cases[case_count++];
        snprintf(golden->name, sizeof(golden->name), "%s", line + 5);
        return;
    }
    if (golden == NULL)
        fail_msg("not in a case: %s", line);
    else if (strncmp(line, "schema ", 7) == 0) {
        golden->schema = schema_named(line + 7);
        assert_non_null(golden->schema);
    } else if (strncmp(line, "json ", 5) == 0) {
        wh_buf_append_str(&golden->bytes[WH_ENCODING_JSON], line + 5);
    } else if (line[0] == ' ') {
        add_hex(&golden->bytes[*current], line);
    } else {
        *current = strncmp(line, "msgpack ", 8) == 0 ? WH_ENCODING_MSGPACK : WH_ENCODING_PROTOBUF;
        add_hex(&golden->bytes[*current], strchr(line, ' '));
    }
}

static int load_cases(void **state)
{
    (void)state;
    char line[1024];
    int current = 0;
    FILE *file = fopen(WH_SOURCE_DIR "/tests/golden/messages.txt", "r");
    if (!file)
        return -1;
    while (fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        add_line(line, &current);
    }
    fclose(file);
    return case_count > 30 ? 0 : -1;
}

static int free_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < case_count; i++) {
        for (int e = 0; e < WH_ENCODING_COUNT; e++)
            wh_buf_deinit(&cases[i].bytes[e]);
    }
    return 0;
}

/* Decode the golden bytes of `from`, encode as `to`, compare with the golden bytes of `to`. */
static void check(const struct golden_case *golden, enum wh_encoding from, enum wh_encoding to)
{
    struct wh_arena arena;
    struct wh_buf out = {0};
    wh_arena_init(&arena, 0);
    void *message = wh_arena_alloc(&arena, golden->schema->size);
    struct wh_slice rest = wh_buf_slice(&golden->bytes[from]);
    assert_non_null(message);
    if (wh_decode(from, golden->schema, &rest, &arena, message) != WH_OK || rest.len != 0)
        fail_msg("%s: %s not decoded", golden->name, wh_encoding_name(from));
    if (wh_encode(to, golden->schema, message, 0, &out) != WH_OK)
        fail_msg("%s: %s not encoded", golden->name, wh_encoding_name(to));
    if (!wh_slice_equal(wh_buf_slice(&out), wh_buf_slice(&golden->bytes[to])))
        fail_msg("%s: %s to %s differs", golden->name, wh_encoding_name(from),
                 wh_encoding_name(to));
    wh_buf_deinit(&out);
    wh_arena_deinit(&arena);
}

static void every_encoding_becomes_every_other_byte_for_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < case_count; i++) {
        for (int from = 0; from < WH_ENCODING_COUNT; from++) {
            for (int to = 0; to < WH_ENCODING_COUNT; to++) {
                /* A Protobuf payload is opaque bytes and becomes a bin; see below. */
                if (from != WH_ENCODING_PROTOBUF || to != WH_ENCODING_MSGPACK)
                    check(&cases[i], (enum wh_encoding)from, (enum wh_encoding)to);
            }
        }
    }
}

static void a_protobuf_payload_becomes_a_bin(void **state)
{
    (void)state;
    struct wh_arena arena;
    struct wh_buf out = {0};
    struct wh_command command = {0};
    struct wh_slice rest = WH_SLICE_LITERAL("\x06\x62\x04\x0A\x02{}");
    wh_arena_init(&arena, 0);
    assert_int_equal(wh_decode(WH_ENCODING_PROTOBUF, &wh_command_schema, &rest, &arena, &command),
                     WH_OK);
    assert_int_equal(wh_encode(WH_ENCODING_MSGPACK, &wh_command_schema, &command, 0, &out), WH_OK);
    assert_true(wh_slice_equal(wh_buf_slice(&out), WH_SLICE_LITERAL("\x81\xA4send\x81\xA4"
                                                                    "data\xC4\x02{}")));
    wh_buf_deinit(&out);
    wh_arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_encoding_becomes_every_other_byte_for_byte),
        cmocka_unit_test(a_protobuf_payload_becomes_a_bin),
    };
    return cmocka_run_group_tests(tests, load_cases, free_cases);
}
