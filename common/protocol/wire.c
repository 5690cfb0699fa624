/*
 * 0xC1 is the one byte that MessagePack never uses and no JSON text or UTF-8
 * string can start with.  The body is the tagged flavour of the MessagePack
 * codec, so new fields need no new format; the version is for changes that an
 * older reader would misunderstand.
 */
#include "common/protocol/wire.h"

#include "common/protocol/codec_walk.h"

bool wh_wire_is_envelope(struct wh_slice bytes)
{
    return bytes.len > 0 && (unsigned char)bytes.ptr[0] == WH_WIRE_MAGIC;
}

void wh_wire_encode_publication(const struct wh_publication *pub, struct wh_buf *out)
{
    wh_buf_append_char(out, (char)WH_WIRE_MAGIC);
    wh_buf_append_char(out, (char)WH_WIRE_VERSION);
    wh_msgpack_encode_tagged(&wh_publication_schema, pub, out);
}

enum wh_err wh_wire_decode_publication(struct wh_slice bytes,
                                       struct wh_arena *arena,
                                       struct wh_publication *out)
{
    struct wh_publication publication = {.offset = 0};
    if (!wh_wire_is_envelope(bytes) || bytes.len < 2 || bytes.ptr[1] != WH_WIRE_VERSION)
        return WH_EFORMAT;
    enum wh_err err = wh_msgpack_decode_tagged(&wh_publication_schema, wh_slice_from(bytes, 2),
                                               arena, &publication);
    if (err)
        return err;
    *out = publication;
    return WH_OK;
}
