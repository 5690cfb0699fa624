/*
 * Any bytes as an envelope.  What is accepted survives being written again, and
 * its payloads can be shown to every client that could get them.
 */
#include "common/protocol/codec.h"
#include "common/protocol/wire.h"
#include "tests/support/random_model.h"

enum { ARENA_LIMIT = 4 << 20 };

static void check_delivery(struct wh_pub *pub)
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

static void check_publication(struct wh_slice bytes, struct wh_arena *arena)
{
    struct wh_pub pub, back;
    struct wh_buf out = {0};
    if (wh_wire_decode_publication(bytes, arena, &pub) == WH_OK) {
        WH_ASSERT(wh_wire_is_envelope(bytes));
        wh_wire_encode_publication(&pub, &out);
        arena->limit = 0;
        WH_ASSERT(wh_wire_decode_publication(wh_buf_slice(&out), arena, &back) == WH_OK);
        WH_ASSERT(model_equal(&wh_pub_schema, &pub, &back));
    }
    wh_buf_deinit(&out);
}

/* Written again it is the same message, but for a position, which only scripts write. */
static void check_message(const struct wh_wire_message *message, struct wh_arena *arena)
{
    struct wh_wire_message back;
    struct wh_buf out = {0};
    bool is_join = message->kind == WH_WIRE_JOIN || message->kind == WH_WIRE_LEAVE;
    if (is_join)
        wh_wire_encode_join(&message->info, message->kind == WH_WIRE_LEAVE, &out);
    else if (message->kind == WH_WIRE_CONTROL)
        wh_wire_encode_control(message->control, &out);
    if (out.len > 0) {
        arena->limit = 0;
        WH_ASSERT(wh_wire_decode(wh_buf_slice(&out), arena, &back) == WH_OK);
        WH_ASSERT(back.kind == message->kind);
        WH_ASSERT(wh_slice_equal(back.control, message->control));
        WH_ASSERT(!is_join || model_equal(&wh_info_schema, &message->info, &back.info));
    }
    wh_buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wh_slice bytes = wh_slice(data, size);
    struct wh_wire_message message;
    struct wh_arena arena;
    wh_arena_init(&arena, ARENA_LIMIT);
    if (wh_wire_decode(bytes, &arena, &message) == WH_OK) {
        WH_ASSERT((message.kind == WH_WIRE_PLAIN) == !wh_wire_is_envelope(bytes));
        WH_ASSERT(message.kind != WH_WIRE_POSITIONED ||
                  (message.pub.offset > 0 && message.pub.epoch.len > 0));
        if (message.kind <= WH_WIRE_POSITIONED)
            check_delivery(&message.pub);
        check_message(&message, &arena);
    }
    check_publication(bytes, &arena);
    wh_arena_deinit(&arena);
    return 0;
}
