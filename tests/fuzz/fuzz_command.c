/*
 * Any bytes as a frame.  The first byte picks encoding and direction.  What
 * decodes can be encoded again and then decodes to the same; and in every other
 * encoding to something that reads back.
 */
#include "common/protocol/codec.h"
#include "tests/support/random_model.h"

enum { ARENA_LIMIT = 4 << 20 };

static void *decode(enum wh_encoding encoding,
                    const struct wh_schema *schema,
                    struct wh_slice *rest,
                    struct wh_arena *arena)
{
    void *message = wh_arena_alloc(arena, schema->size);
    if (!message || wh_decode(encoding, schema, rest, arena, message) != WH_OK)
        return NULL;
    return message;
}

static void check_same_encoding(enum wh_encoding encoding,
                                const struct wh_schema *schema,
                                const void *message)
{
    struct wh_arena arena;
    struct wh_buf out = {0};
    wh_arena_init(&arena, 0);
    enum wh_err err = wh_encode(encoding, schema, message, 0, &out);
    WH_ASSERT(err == WH_OK); /* each payload has the kind of this encoding */
    struct wh_slice rest = wh_buf_slice(&out);
    const void *back = decode(encoding, schema, &rest, &arena);
    WH_ASSERT(back && rest.len == 0);
    struct wh_buf again = {0};
    WH_ASSERT(wh_encode(encoding, schema, back, 0, &again) == WH_OK);
    WH_ASSERT(wh_slice_equal(wh_buf_slice(&out), wh_buf_slice(&again)));
    WH_ASSERT(encoding == WH_ENCODING_JSON || model_equal(schema, message, back));
    wh_buf_deinit(&out);
    wh_buf_deinit(&again);
    wh_arena_deinit(&arena);
}

static void check_other_encodings(const struct wh_schema *schema, const void *message)
{
    for (int e = 0; e < WH_ENCODING_COUNT; e++) {
        struct wh_arena arena;
        struct wh_buf out = {0};
        wh_arena_init(&arena, 0);
        enum wh_err err = wh_encode((enum wh_encoding)e, schema, message, 0, &out);
        WH_ASSERT(err == WH_OK || err == WH_EENCODING);
        struct wh_slice rest = wh_buf_slice(&out);
        if (err == WH_OK)
            WH_ASSERT(decode((enum wh_encoding)e, schema, &rest, &arena) && rest.len == 0);
        wh_buf_deinit(&out);
        wh_arena_deinit(&arena);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    enum wh_encoding encoding = (enum wh_encoding)(data[0] % WH_ENCODING_COUNT);
    const struct wh_schema *schema =
        data[0] / WH_ENCODING_COUNT % 2 ? &wh_reply_schema : &wh_command_schema;
    struct wh_slice rest = wh_slice(data + 1, size - 1);
    struct wh_arena arena;
    wh_arena_init(&arena, ARENA_LIMIT);
    for (;;) {
        size_t before = rest.len;
        const void *message = decode(encoding, schema, &rest, &arena);
        if (!message)
            break;
        WH_ASSERT(rest.len < before);
        check_same_encoding(encoding, schema, message);
        check_other_encodings(schema, message);
        wh_arena_reset(&arena);
    }
    wh_arena_deinit(&arena);
    return 0;
}
