/*
 * Properties of all codecs over random models of every schema: what is written
 * reads back, all encodings carry the same, and damaged bytes are refused or
 * read as something else, but never harm.
 */
#include "common/protocol/codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/failing_alloc.h"
#include "tests/support/random_model.h"

enum { MODELS_PER_SCHEMA = 60 };

/* The payloads that an encoding carries without changing their kind. */
static const unsigned native_payloads[WH_ENCODING_COUNT] = {
    [WH_ENCODING_JSON] = RANDOM_JSON,
    [WH_ENCODING_MSGPACK] = RANDOM_MSGPACK | RANDOM_BYTES,
    [WH_ENCODING_PROTOBUF] = RANDOM_BYTES,
};

static struct wh_arena arena;

static void *model_of(const struct wh_schema *schema, unsigned seed, unsigned payload_kinds)
{
    struct random_model random = {
        .state = 0x9E3779B97F4A7C15u * (seed + 1), .arena = &arena, .payload_kinds = payload_kinds};
    return random_struct(&random, schema);
}

static void *decode_one(enum wh_encoding encoding,
                        const struct wh_schema *schema,
                        struct wh_slice bytes)
{
    void *message = wh_arena_alloc(&arena, schema->size);
    assert_non_null(message);
    if (wh_decode(encoding, schema, &bytes, &arena, message) != WH_OK || bytes.len != 0)
        return NULL;
    return message;
}

static void every_struct_survives_every_codec(void **state)
{
    (void)state;
    for (int e = 0; e < WH_ENCODING_COUNT; e++) {
        enum wh_encoding encoding = (enum wh_encoding)e;
        for (size_t s = 0; wh_schemas[s]; s++) {
            for (unsigned seed = 0; seed < MODELS_PER_SCHEMA; seed++) {
                struct wh_buf out = {0};
                void *model = model_of(wh_schemas[s], seed, native_payloads[e]);
                assert_int_equal(wh_encode(encoding, wh_schemas[s], model, 0, &out), WH_OK);
                void *back = decode_one(encoding, wh_schemas[s], wh_buf_slice(&out));
                if (!back || !model_equal(wh_schemas[s], model, back))
                    fail_msg("%s %s seed %u", wh_encoding_name(encoding), wh_schemas[s]->name,
                             seed);
                wh_buf_deinit(&out);
                wh_arena_reset(&arena);
            }
        }
    }
}

static void all_encodings_carry_the_same(void **state)
{
    (void)state;
    for (size_t s = 0; wh_schemas[s]; s++) {
        for (unsigned seed = 0; seed < MODELS_PER_SCHEMA; seed++) {
            const struct wh_schema *schema = wh_schemas[s];
            struct wh_buf json = {0};
            void *model = model_of(schema, seed, RANDOM_JSON);
            assert_int_equal(wh_encode(WH_ENCODING_JSON, schema, model, 0, &json), WH_OK);
            for (int e = 0; e < WH_ENCODING_COUNT; e++) {
                struct wh_buf other = {0}, again = {0};
                enum wh_encoding encoding = (enum wh_encoding)e;
                assert_int_equal(wh_encode(encoding, schema, model, 0, &other), WH_OK);
                void *back = decode_one(encoding, schema, wh_buf_slice(&other));
                assert_non_null(back);
                assert_int_equal(wh_encode(WH_ENCODING_JSON, schema, back, 0, &again), WH_OK);
                if (!wh_slice_equal(wh_buf_slice(&json), wh_buf_slice(&again)))
                    fail_msg("%s %s seed %u", wh_encoding_name(encoding), schema->name, seed);
                wh_buf_deinit(&other);
                wh_buf_deinit(&again);
            }
            wh_buf_deinit(&json);
            wh_arena_reset(&arena);
        }
    }
}

/* Decode from memory of exactly this size, so that a sanitizer sees each byte read beyond. */
static bool decodes(enum wh_encoding encoding,
                    const struct wh_schema *schema,
                    struct wh_slice bytes)
{
    char *copy = malloc(bytes.len > 0 ? bytes.len : 1);
    assert_non_null(copy);
    memcpy(copy, bytes.ptr, bytes.len);
    void *message = decode_one(encoding, schema, wh_slice(copy, bytes.len));
    struct wh_buf out = {0};
    /* What was accepted must be fit to be written again, or refused for a reason. */
    if (message) {
        enum wh_err err = wh_encode(encoding, schema, message, 0, &out);
        assert_true(err == WH_OK || err == WH_EENCODING);
    }
    wh_buf_deinit(&out);
    free(copy);
    wh_arena_reset(&arena);
    return message != NULL;
}

static struct wh_buf sample(enum wh_encoding encoding,
                            const struct wh_schema *schema,
                            unsigned seed)
{
    struct wh_buf out = {0};
    void *model = model_of(schema, seed, native_payloads[encoding]);
    assert_int_equal(wh_encode(encoding, schema, model, 0, &out), WH_OK);
    wh_arena_reset(&arena);
    return out;
}

static void truncation_at_every_byte_is_refused(void **state)
{
    (void)state;
    for (int e = 0; e < WH_ENCODING_COUNT; e++) {
        for (size_t s = 0; wh_schemas[s]; s++) {
            for (unsigned seed = 0; seed < 4; seed++) {
                struct wh_buf whole = sample((enum wh_encoding)e, wh_schemas[s], seed);
                for (size_t len = 0; len < whole.len && len < 1500; len++)
                    assert_false(
                        decodes((enum wh_encoding)e, wh_schemas[s], wh_slice(whole.ptr, len)));
                wh_buf_deinit(&whole);
            }
        }
    }
}

static void mutation_of_every_byte_does_no_harm(void **state)
{
    (void)state;
    static const unsigned char flips[] = {0x01, 0x20, 0x80, 0xFF, 0x5A};
    for (int e = 0; e < WH_ENCODING_COUNT; e++) {
        for (size_t s = 0; wh_schemas[s]; s++) {
            struct wh_buf bytes = sample((enum wh_encoding)e, wh_schemas[s], 3);
            for (size_t at = 0; at < bytes.len && at < 600; at++) {
                for (size_t f = 0; f < sizeof(flips); f++) {
                    bytes.ptr[at] = (char)(bytes.ptr[at] ^ flips[f]);
                    (void)decodes((enum wh_encoding)e, wh_schemas[s], wh_buf_slice(&bytes));
                    bytes.ptr[at] = (char)(bytes.ptr[at] ^ flips[f]);
                }
            }
            wh_buf_deinit(&bytes);
        }
    }
}

static enum wh_err decode_and_encode(enum wh_encoding encoding,
                                     const struct wh_schema *schema,
                                     struct wh_slice bytes)
{
    struct wh_arena fresh;
    struct wh_buf out = {0};
    wh_arena_init(&fresh, 0);
    void *message = wh_arena_alloc(&fresh, schema->size);
    enum wh_err err = WH_ENOMEM;
    if (message)
        err = wh_decode(encoding, schema, &bytes, &fresh, message);
    for (int e = 0; !err && e < WH_ENCODING_COUNT; e++)
        err = wh_encode((enum wh_encoding)e, schema, message, out.len, &out);
    wh_buf_deinit(&out);
    wh_arena_deinit(&fresh);
    return err;
}

static void a_failed_allocation_is_no_memory_and_leaks_nothing(void **state)
{
    (void)state;
    for (int e = 0; e < WH_ENCODING_COUNT; e++) {
        for (size_t s = 0; wh_schemas[s]; s++) {
            struct wh_buf bytes = {0};
            void *model = model_of(wh_schemas[s], 5, RANDOM_JSON);
            assert_int_equal(wh_encode((enum wh_encoding)e, wh_schemas[s], model, 0, &bytes),
                             WH_OK);
            for (size_t nth = 1;; nth++) {
                failing_alloc_start(nth);
                enum wh_err err =
                    decode_and_encode((enum wh_encoding)e, wh_schemas[s], wh_buf_slice(&bytes));
                if (!failing_alloc_stop()) {
                    assert_int_equal(err, WH_OK);
                    break;
                }
                assert_int_equal(err, WH_ENOMEM);
            }
            wh_buf_deinit(&bytes);
            wh_arena_reset(&arena);
        }
    }
}

static int open_arena(void **state)
{
    (void)state;
    wh_arena_init(&arena, 0);
    return 0;
}

static int close_arena(void **state)
{
    (void)state;
    wh_arena_deinit(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_struct_survives_every_codec),
        cmocka_unit_test(all_encodings_carry_the_same),
        cmocka_unit_test(truncation_at_every_byte_is_refused),
        cmocka_unit_test(mutation_of_every_byte_does_no_harm),
        cmocka_unit_test(a_failed_allocation_is_no_memory_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, open_arena, close_arena);
}
