/*
 * The front of the codecs: names, and the choice by encoding.
 */
#include "common/protocol/codec.h"

#include "common/protocol/codec_walk.h"

static const struct {
    const char *subprotocol;
    const struct wh_codec *codec;
    enum wh_opcode opcode;
} encodings[WH_ENCODING_COUNT] = {
    [WH_ENCODING_JSON] = {"centrifuge-json", &wh_codec_json, WH_OPCODE_TEXT},
    [WH_ENCODING_MSGPACK] = {"centrifuge-msgpack", &wh_codec_msgpack, WH_OPCODE_BINARY},
    [WH_ENCODING_PROTOBUF] = {"centrifuge-protobuf", &wh_codec_protobuf, WH_OPCODE_BINARY},
};

const char *wh_encoding_subprotocol(enum wh_encoding encoding)
{
    WH_ASSERT((unsigned)encoding < WH_ENCODING_COUNT);
    return encodings[encoding].subprotocol;
}

bool wh_encoding_from_subprotocol(struct wh_slice name, enum wh_encoding *out_encoding)
{
    for (unsigned i = 0; i < WH_ENCODING_COUNT; i++) {
        if (wh_slice_equal_str(name, encodings[i].subprotocol)) {
            *out_encoding = (enum wh_encoding)i;
            return true;
        }
    }
    return false;
}

enum wh_opcode wh_encoding_opcode(enum wh_encoding encoding)
{
    WH_ASSERT((unsigned)encoding < WH_ENCODING_COUNT);
    return encodings[encoding].opcode;
}

enum wh_err wh_decode(enum wh_encoding encoding,
                      const struct wh_schema *schema,
                      struct wh_slice *rest,
                      struct wh_arena *arena,
                      void *out)
{
    WH_ASSERT((unsigned)encoding < WH_ENCODING_COUNT);
    if (rest->len == 0)
        return WH_EEND;
    return encodings[encoding].codec->decode(schema, rest, arena, out);
}

enum wh_err wh_decode_whole(enum wh_encoding encoding,
                            const struct wh_schema *schema,
                            struct wh_slice bytes,
                            struct wh_arena *arena,
                            void *out)
{
    WH_ASSERT((unsigned)encoding < WH_ENCODING_COUNT);
    return encodings[encoding].codec->decode_whole(schema, bytes, arena, out);
}

enum wh_err wh_encode(enum wh_encoding encoding,
                      const struct wh_schema *schema,
                      const void *message,
                      size_t frame_start,
                      struct wh_buf *out)
{
    WH_ASSERT((unsigned)encoding < WH_ENCODING_COUNT && frame_start <= out->len);
    size_t start = out->len;
    bool is_first = start == frame_start;
    enum wh_err err = encodings[encoding].codec->encode(schema, message, is_first, out);
    if (err)
        wh_buf_truncate(out, start);
    return err ? err : wh_buf_error(out);
}
