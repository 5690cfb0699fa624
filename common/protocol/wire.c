/*
 * 0xC1 is the one byte that MessagePack never uses and no JSON text or UTF-8
 * string can start with.  Maps are the tagged flavour of the MessagePack
 * codec, so new fields need no new kind; a new kind is for what an older
 * reader would misunderstand, and it drops those.
 */
#include "common/protocol/wire.h"

#include "common/protocol/codec_walk.h"

bool wh_wire_is_envelope(struct wh_slice bytes)
{
    return bytes.len > 0 && (unsigned char)bytes.ptr[0] == WH_WIRE_MAGIC;
}

static void write_head(enum wh_wire_kind kind, struct wh_buf *out)
{
    wh_buf_append_char(out, (char)WH_WIRE_MAGIC);
    wh_buf_append_char(out, (char)kind);
}

void wh_wire_encode_publication(const struct wh_pub *pub, struct wh_buf *out)
{
    write_head(WH_WIRE_PUBLICATION, out);
    wh_msgpack_encode_tagged(&wh_pub_schema, pub, out);
}

void wh_wire_encode_join(const struct wh_info *info, bool is_leave, struct wh_buf *out)
{
    write_head(is_leave ? WH_WIRE_LEAVE : WH_WIRE_JOIN, out);
    wh_msgpack_encode_tagged(&wh_info_schema, info, out);
}

void wh_wire_encode_control(struct wh_slice message, struct wh_buf *out)
{
    write_head(WH_WIRE_CONTROL, out);
    wh_buf_append_slice(out, message);
}

enum wh_err wh_wire_decode_number(struct wh_slice text, uint64_t *out_number)
{
    uint64_t number = 0;
    if (text.len == 0 || (text.len > 1 && text.ptr[0] == '0'))
        return WH_EFORMAT;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned char)text.ptr[i] - (unsigned)'0';
        if (digit > 9 || number > (UINT64_MAX - digit) / 10)
            return WH_EFORMAT;
        number = number * 10 + digit;
    }
    *out_number = number;
    return WH_OK;
}

enum wh_err wh_wire_decode_publication(struct wh_slice bytes,
                                       struct wh_arena *arena,
                                       struct wh_pub *out)
{
    struct wh_pub publication = {.offset = 0};
    if (!wh_wire_is_envelope(bytes) || bytes.len < 2 || bytes.ptr[1] != WH_WIRE_PUBLICATION)
        return WH_EFORMAT;
    enum wh_err err =
        wh_msgpack_decode_tagged(&wh_pub_schema, wh_slice_from(bytes, 2), arena, &publication);
    if (err)
        return err;
    *out = publication;
    return WH_OK;
}

enum wh_err wh_wire_decode_body(struct wh_slice bytes, struct wh_arena *arena, struct wh_pub *out)
{
    if (wh_wire_is_envelope(bytes))
        return wh_wire_decode_publication(bytes, arena, out);
    *out = (struct wh_pub){.data = wh_payload_classify(bytes)};
    return WH_OK;
}

/* What comes before the next ':' of `*rest`, which moves past it.  WH_EFORMAT: there is none. */
static enum wh_err take_field(struct wh_slice *rest, struct wh_slice *out_field)
{
    const char *colon = rest->len ? memchr(rest->ptr, ':', rest->len) : NULL;
    if (!colon)
        return WH_EFORMAT;
    *out_field = wh_slice(rest->ptr, (size_t)(colon - rest->ptr));
    *rest = wh_slice_from(*rest, out_field->len + 1);
    return WH_OK;
}

/* It goes to clients as a string, so it must be text. */
static bool is_epoch(struct wh_slice text)
{
    if (text.len == 0 || text.len > WH_WIRE_EPOCH_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool is_fit = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_fit)
            return false;
    }
    return true;
}

static enum wh_err decode_positioned(struct wh_slice rest,
                                     struct wh_arena *arena,
                                     struct wh_pub *out)
{
    struct wh_slice offset_text, epoch;
    uint64_t offset = 0;
    if (take_field(&rest, &offset_text) || wh_wire_decode_number(offset_text, &offset) ||
        take_field(&rest, &epoch) || offset == 0 || !is_epoch(epoch))
        return WH_EFORMAT;
    enum wh_err err = wh_wire_decode_body(rest, arena, out);
    if (err)
        return err;
    out->offset = offset;
    out->epoch = epoch;
    return WH_OK;
}

enum wh_err wh_wire_decode(struct wh_slice bytes,
                           struct wh_arena *arena,
                           struct wh_wire_message *out)
{
    struct wh_wire_message message = {.kind = WH_WIRE_PLAIN};
    enum wh_err err = WH_OK;
    if (!wh_wire_is_envelope(bytes)) {
        message.pub.data = wh_payload_classify(bytes);
        *out = message;
        return WH_OK;
    }
    struct wh_slice rest = wh_slice_from(bytes, 2);
    switch (bytes.len > 1 ? bytes.ptr[1] : 0) {
    case WH_WIRE_PUBLICATION:
        err = wh_wire_decode_publication(bytes, arena, &message.pub);
        break;
    case WH_WIRE_POSITIONED:
        err = decode_positioned(rest, arena, &message.pub);
        break;
    case WH_WIRE_JOIN:
    case WH_WIRE_LEAVE:
        err = wh_msgpack_decode_tagged(&wh_info_schema, rest, arena, &message.info);
        break;
    case WH_WIRE_CONTROL:
        message.control = rest;
        break;
    default:
        err = WH_EFORMAT;
    }
    if (err)
        return err;
    message.kind = (enum wh_wire_kind)bytes.ptr[1];
    *out = message;
    return WH_OK;
}

void wh_wire_encode_message(const struct wh_schema *schema, const void *message, struct wh_buf *out)
{
    wh_msgpack_encode_tagged(schema, message, out);
}

enum wh_err wh_wire_decode_message(const struct wh_schema *schema,
                                   struct wh_slice bytes,
                                   struct wh_arena *arena,
                                   void *out)
{
    return wh_msgpack_decode_tagged(schema, bytes, arena, out);
}
