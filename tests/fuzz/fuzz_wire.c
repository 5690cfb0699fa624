/*
 * Any bytes as an envelope.  What is accepted survives being written again, and
 * its payloads can be shown to every client that could get them.
 */
#include "common/protocol/codec.h"
#include "common/protocol/wire.h"
#include "tests/support/random_model.h"

enum { ARENA_LIMIT = 4 << 20 };

static void check_delivery(struct wh_publication *pub)
{
    struct wh_push push = {.channel = WH_SLICE_LITERAL("c"), .pub = pub};
    struct wh_reply reply = {.push = &push};
    for (int e = 0; e < WH_ENCODING_COUNT; e++) {
        struct wh_buf out = {0};
        enum wh_err err = wh_encode((enum wh_encoding)e, &wh_reply_schema, &reply, 0, &out);
        WH_ASSERT(err == WH_OK || (err == WH_EENCODING && e == WH_ENCODING_JSON));
        wh_buf_deinit(&out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wh_slice bytes = wh_slice(data, size);
    struct wh_publication pub, back;
    struct wh_arena arena;
    struct wh_buf out = {0};
    wh_arena_init(&arena, ARENA_LIMIT);
    if (wh_wire_decode_publication(bytes, &arena, &pub) == WH_OK) {
        WH_ASSERT(wh_wire_is_envelope(bytes));
        wh_wire_encode_publication(&pub, &out);
        arena.limit = 0;
        WH_ASSERT(wh_wire_decode_publication(wh_buf_slice(&out), &arena, &back) == WH_OK);
        WH_ASSERT(model_equal(&wh_publication_schema, &pub, &back));
        check_delivery(&pub);
    }
    wh_buf_deinit(&out);
    wh_arena_deinit(&arena);
    return 0;
}
