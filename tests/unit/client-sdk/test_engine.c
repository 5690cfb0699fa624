/* The engine against transcripts: tests/golden/sdk, in every encoding; and what text cannot say. */
#include "tests/support/sdk_transcript.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char *const files[] = {
    WH_SOURCE_DIR "/tests/golden/sdk/connecting.jsonl",
    WH_SOURCE_DIR "/tests/golden/sdk/closing.jsonl",
    WH_SOURCE_DIR "/tests/golden/sdk/tokens.jsonl",
    WH_SOURCE_DIR "/tests/golden/sdk/calls.jsonl",
    WH_SOURCE_DIR "/tests/golden/sdk/pings.jsonl",
};
enum { FILE_COUNT = sizeof(files) / sizeof(files[0]) };

static void run_all(enum wh_encoding encoding)
{
    for (size_t i = 0; i < FILE_COUNT; i++)
        sdk_transcript_run(files[i], encoding);
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
    for (size_t i = 0; i < FILE_COUNT; i++) {
        sdk_transcript_torture(files[i], WH_ENCODING_JSON);
        sdk_transcript_torture(files[i], WH_ENCODING_MSGPACK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transcripts_hold_in_json),
        cmocka_unit_test(transcripts_hold_in_msgpack),
        cmocka_unit_test(transcripts_hold_in_protobuf),
        cmocka_unit_test(no_failing_allocation_crashes_or_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
