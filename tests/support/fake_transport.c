/*
 * `held` models what the library under server.c keeps of a write that the
 * kernel took only in part: while there is any, the transport is busy.
 */
#include "fake_transport.h"

#include "common/protocol/codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct fake_transport *fake_of(struct transport *transport)
{
    return WH_CONTAINER_OF(transport, struct fake_transport, base);
}

/* Move what the socket takes of `held`.. */
static void drain(struct fake_transport *fake)
{
    size_t count = fake->held.len < fake->room ? fake->held.len : fake->room;
    wh_buf_append(&fake->received, fake->held.ptr, count);
    wh_buf_consume(&fake->held, count);
    if (fake->room != ROOM_UNLIMITED)
        fake->room -= count;
    fake->base.is_busy = fake->held.len > 0;
}

static bool on_write(struct transport *transport, struct wh_slice wire)
{
    struct fake_transport *fake = fake_of(transport);
    assert_false(fake->base.is_busy);
    assert_false(fake->is_closing);
    assert_true(wire.len > 0);
    fake->writes++;
    if (fake->is_broken)
        return false;
    wh_buf_append_slice(&fake->held, wire);
    drain(fake);
    return wh_buf_error(&fake->held) == WH_OK && wh_buf_error(&fake->received) == WH_OK;
}

static size_t on_held_bytes(struct transport *transport)
{
    return fake_of(transport)->held.len;
}

static void on_want_write(struct transport *transport)
{
    fake_of(transport)->wants_write = true;
}

static void on_want_read(struct transport *transport, bool on)
{
    fake_of(transport)->is_reading = on;
}

/* Again is harmless, as with the real one: the first code counts. */
static void on_close(struct transport *transport,
                     uint32_t code,
                     const char *reason,
                     uint64_t timeout_ms)
{
    struct fake_transport *fake = fake_of(transport);
    if (fake->is_closing)
        return;
    fake->is_closing = true;
    fake->close_code = code;
    fake->close_reason = reason;
    fake->close_timeout_ms = timeout_ms;
}

static const struct transport_ops fake_ops = {
    .write = on_write,
    .held_bytes = on_held_bytes,
    .want_write = on_want_write,
    .want_read = on_want_read,
    .close = on_close,
};

enum wh_err fake_transport_open(struct node *node,
                                enum wh_encoding encoding,
                                struct fake_transport **out_transport)
{
    struct fake_transport *fake = calloc(1, sizeof(*fake));
    assert_non_null(fake);
    fake->base.ops = &fake_ops;
    fake->encoding = encoding;
    fake->room = ROOM_UNLIMITED;
    fake->is_reading = true;
    wh_list_init(&fake->link);
    enum wh_err err = session_open(node, &fake->base, encoding, "192.0.2.1", &fake->session);
    if (err) {
        free(fake);
        return err;
    }
    *out_transport = fake;
    return WH_OK;
}

void fake_transport_gone(struct fake_transport *fake)
{
    struct session *session = fake->session;
    fake->session = NULL;
    if (session)
        session_transport_closed(session);
}

void fake_transport_free(struct fake_transport *fake)
{
    fake_transport_gone(fake);
    wh_list_remove(&fake->link);
    wh_buf_deinit(&fake->received);
    wh_buf_deinit(&fake->held);
    free(fake);
}

void fake_transport_receive(struct fake_transport *fake, struct wh_slice message)
{
    char *copy = malloc(message.len + !message.len);
    assert_non_null(copy);
    if (message.len)
        memcpy(copy, message.ptr, message.len);
    session_receive(fake->session, wh_slice(copy, message.len));
    free(copy);
}

void fake_transport_set_room(struct fake_transport *fake, size_t bytes)
{
    fake->room = bytes;
    drain(fake);
    if (fake->base.is_busy || !fake->wants_write || fake->is_closing || !fake->session)
        return;
    fake->wants_write = false;
    session_writable(fake->session);
}

bool fake_transport_next(struct fake_transport *fake,
                         enum wh_opcode *out_opcode,
                         struct wh_slice *out_payload)
{
    const unsigned char *at = (const unsigned char *)fake->received.ptr + fake->read;
    size_t left = fake->received.len - fake->read;
    size_t header = 2;
    if (left < header)
        return false;
    assert_int_equal(at[0] & 0xf0, 0x80); /* FIN, nothing reserved */
    uint64_t len = at[1];
    if (len >= 126) {
        size_t width = len == 126 ? 2 : 8;
        header += width;
        if (left < header)
            return false;
        len = 0;
        for (size_t i = 0; i < width; i++)
            len = len << 8 | at[2 + i];
    }
    if (left - header < len)
        return false;
    *out_opcode = (enum wh_opcode)(at[0] & 0x0f);
    *out_payload = wh_slice(at + header, (size_t)len);
    fake->read += header + (size_t)len;
    return true;
}

/* How long the first of the messages in `rest` is; its separator, if any, not counted. */
static size_t first_length(enum wh_encoding encoding, struct wh_slice rest)
{
    struct wh_arena arena = {0};
    struct wh_reply reply = {0};
    struct wh_slice after = rest;
    if (encoding == WH_ENCODING_JSON) {
        const char *feed = memchr(rest.ptr, '\n', rest.len);
        return feed ? (size_t)(feed - rest.ptr) : rest.len;
    }
    assert_int_equal(wh_decode(encoding, &wh_reply_schema, &after, &arena, &reply), WH_OK);
    wh_arena_deinit(&arena);
    return rest.len - after.len;
}

bool fake_transport_next_reply(struct fake_transport *fake,
                               enum wh_opcode *out_opcode,
                               struct wh_slice *out_message)
{
    struct wh_slice payload;
    if (fake->message_len == 0) {
        if (!fake_transport_next(fake, &fake->message_opcode, &payload))
            return false;
        fake->message_at = (size_t)(payload.ptr - fake->received.ptr);
        fake->message_len = payload.len;
    }
    struct wh_slice rest = wh_slice(fake->received.ptr + fake->message_at, fake->message_len);
    size_t len = first_length(fake->encoding, rest);
    size_t step = fake->encoding == WH_ENCODING_JSON && len < rest.len ? len + 1 : len;
    *out_opcode = fake->message_opcode;
    *out_message = wh_slice(rest.ptr, len);
    fake->message_at += step;
    fake->message_len -= step;
    return true;
}
