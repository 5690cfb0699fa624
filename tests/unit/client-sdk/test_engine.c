/*
 * The engine against transcripts: tests/golden/sdk, in every encoding.  What they have to show is
 * listed in rows.jsonl there, row by row, with the transcripts that show it.
 */
#include "tests/support/sdk_transcript.h"

#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define FOLDER WH_SOURCE_DIR "/tests/golden/sdk/"
static const char table[] = FOLDER "rows.jsonl";
static glob_t files; /* and the table */

static int find_files(void **state)
{
    (void)state;
    return glob(FOLDER "*.jsonl", 0, NULL, &files);
}

static int free_files(void **state)
{
    (void)state;
    globfree(&files);
    return 0;
}

static bool is_table(size_t i)
{
    return strcmp(files.gl_pathv[i], table) == 0;
}

static void run_all(enum wh_encoding encoding)
{
    for (size_t i = 0; i < files.gl_pathc; i++) {
        if (!is_table(i))
            sdk_transcript_run(files.gl_pathv[i], encoding);
    }
}

static void transcripts_hold_in_json(void **state)
{
    (void)state;
    run_all(WH_ENCODING_JSON);
}

static void transcripts_hold_in_msgpack(void **state)
{
    (void)state;
    run_all(WH_ENCODING_MSGPACK);
}

static void transcripts_hold_in_protobuf(void **state)
{
    (void)state;
    run_all(WH_ENCODING_PROTOBUF);
}

static void no_failing_allocation_crashes_or_leaks(void **state)
{
    (void)state;
    size_t failed = 0;
    for (size_t i = 0; i < files.gl_pathc; i++) {
        for (int e = 0; e < WH_ENCODING_COUNT && !is_table(i); e++)
            failed += sdk_transcript_torture(files.gl_pathv[i], (enum wh_encoding)e);
    }
    print_message("%zu allocations failed\n", failed);
    assert_true(failed > 1000);
}

/* ---- the table ------------------------------------------------------------------------------- */

/* "file: case" of each transcript, with its first line. */
static json_t *all_cases(void)
{
    json_t *cases = json_object();
    for (size_t i = 0; i < files.gl_pathc; i++) {
        size_t at;
        json_t *step, *steps = sdk_transcript_load(files.gl_pathv[i]);
        const char *file = files.gl_pathv[i] + strlen(FOLDER);
        json_array_foreach(steps, at, step)
        {
            const char *name = json_string_value(json_object_get(step, "case"));
            if (!name)
                continue;
            char key[512];
            snprintf(key, sizeof(key), "%.*s: %s", (int)strcspn(file, "."), file, name);
            if (json_object_get(cases, key))
                fail_msg("two transcripts are called \"%s\"", key);
            json_object_set(cases, key, step);
        }
        json_decref(steps);
    }
    return cases;
}

/* Whether `row` is shown in `encoding`; a transcript that is not there fails the test. */
static bool is_shown(const json_t *row, const json_t *cases, enum wh_encoding encoding)
{
    bool is_there = false;
    size_t i;
    json_t *name;
    json_array_foreach(json_object_get(row, "cases"), i, name)
    {
        const json_t *shown = json_object_get(cases, json_string_value(name));
        if (!shown)
            fail_msg("there is no transcript \"%s\"", json_string_value(name));
        is_there |= sdk_transcript_is_for(shown, encoding);
    }
    return is_there;
}

static void every_row_is_shown_by_a_transcript_in_every_encoding(void **state)
{
    (void)state;
    json_t *cases = all_cases(), *rows = sdk_transcript_load(table);
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        for (int e = 0; e < WH_ENCODING_COUNT && !json_is_null(row); e++) {
            enum wh_encoding encoding = (enum wh_encoding)e;
            if (sdk_transcript_is_for(row, encoding) && !is_shown(row, cases, encoding))
                fail_msg("rows.jsonl:%zu: no transcript in %s shows \"%s\"", i + 1,
                         wh_encoding_name(encoding),
                         json_string_value(json_object_get(row, "row")));
        }
    }
    json_decref(rows);
    json_decref(cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transcripts_hold_in_json),
        cmocka_unit_test(transcripts_hold_in_msgpack),
        cmocka_unit_test(transcripts_hold_in_protobuf),
        cmocka_unit_test(every_row_is_shown_by_a_transcript_in_every_encoding),
        cmocka_unit_test(no_failing_allocation_crashes_or_leaks),
    };
    return cmocka_run_group_tests(tests, find_files, free_files);
}
