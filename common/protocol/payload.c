/*
 * Which kind a payload is, whether it may pass, and how each kind is shown in
 * each encoding.  The conversions themselves are in transcode_*.c.
 */
#include "common/protocol/payload.h"

#include "common/protocol/json.h"
#include "common/protocol/msgpack.h"
#include "common/protocol/transcode.h"

const char *wh_encoding_name(enum wh_encoding encoding)
{
    static const char *const names[WH_ENCODING_COUNT] = {"json", "msgpack", "protobuf"};
    WH_ASSERT((unsigned)encoding < WH_ENCODING_COUNT);
    return names[encoding];
}

struct wh_payload wh_payload_classify(struct wh_slice bytes)
{
    enum wh_payload_kind kind = wh_json_is_valid(bytes) ? WH_PAYLOAD_JSON : WH_PAYLOAD_BYTES;
    return (struct wh_payload){.kind = kind, .bytes = bytes};
}

enum wh_err wh_payload_check(struct wh_payload payload)
{
    struct wh_msgpack_reader reader;
    struct wh_msgpack_token token;
    if (!wh_payload_is_present(payload))
        return WH_OK;
    switch (payload.kind) {
    case WH_PAYLOAD_BYTES:
        return WH_OK;
    case WH_PAYLOAD_JSON:
        return wh_json_is_valid(payload.bytes) ? WH_OK : WH_EFORMAT;
    case WH_PAYLOAD_MSGPACK:
        wh_msgpack_reader_init(&reader, payload.bytes);
        if (wh_msgpack_next(&reader, &token) || token.type == WH_MSGPACK_BIN)
            return WH_EFORMAT;
        return wh_msgpack_to_json(payload.bytes, NULL);
    }
    return WH_EFORMAT;
}

static enum wh_err encode_json(struct wh_payload payload, struct wh_buf *out)
{
    if (payload.kind == WH_PAYLOAD_MSGPACK)
        return wh_msgpack_to_json(payload.bytes, out);
    if (payload.kind == WH_PAYLOAD_BYTES && !wh_json_is_valid(payload.bytes))
        return WH_EFORMAT;
    wh_json_write_raw(out, payload.bytes);
    return WH_OK;
}

static enum wh_err encode_msgpack(struct wh_payload payload, struct wh_buf *out)
{
    msgpack_packer packer;
    if (payload.kind == WH_PAYLOAD_JSON)
        return wh_json_to_msgpack(payload.bytes, out);
    if (payload.kind == WH_PAYLOAD_MSGPACK) {
        wh_buf_append_slice(out, payload.bytes);
        return WH_OK;
    }
    wh_msgpack_packer_init(&packer, out);
    wh_msgpack_pack_bin(&packer, payload.bytes);
    return WH_OK;
}

static enum wh_err encode_protobuf(struct wh_payload payload, struct wh_buf *out)
{
    if (payload.kind == WH_PAYLOAD_MSGPACK)
        return wh_msgpack_to_json(payload.bytes, out);
    wh_buf_append_slice(out, payload.bytes);
    return WH_OK;
}

static void encode_absent(enum wh_encoding encoding, struct wh_buf *out)
{
    if (encoding == WH_ENCODING_JSON)
        wh_buf_append_str(out, "null");
    else if (encoding == WH_ENCODING_MSGPACK)
        wh_buf_append_char(out, (char)0xC0);
}

enum wh_err wh_payload_encode(struct wh_payload payload,
                              enum wh_encoding encoding,
                              struct wh_buf *out)
{
    enum wh_err err = WH_EINVAL;
    size_t start = out->len;
    if (!wh_payload_is_present(payload)) {
        encode_absent(encoding, out);
        return WH_OK;
    }
    switch (encoding) {
    case WH_ENCODING_JSON:
        err = encode_json(payload, out);
        break;
    case WH_ENCODING_MSGPACK:
        err = encode_msgpack(payload, out);
        break;
    case WH_ENCODING_PROTOBUF:
        err = encode_protobuf(payload, out);
        break;
    }
    if (err) {
        wh_buf_truncate(out, start);
        return WH_EENCODING;
    }
    return WH_OK;
}
