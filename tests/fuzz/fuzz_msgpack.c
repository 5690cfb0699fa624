/*
 * Any bytes as a payload.  What the check lets pass can be shown in every
 * encoding, and a value survives the way through the other notation.
 */
#include "common/protocol/json.h"
#include "common/protocol/msgpack.h"
#include "common/protocol/payload.h"

#include <stdint.h>

static struct wh_buf encode(struct wh_payload payload,
                            enum wh_encoding encoding,
                            enum wh_err expected)
{
    struct wh_buf out = {0};
    enum wh_err err = wh_payload_encode(payload, encoding, &out);
    WH_ASSERT(err == expected && wh_buf_error(&out) == WH_OK);
    WH_ASSERT(err == WH_OK || out.len == 0);
    return out;
}

/* JSON text -> MessagePack -> JSON -> MessagePack: the two MessagePacks are the same. */
static void check_cycle(struct wh_slice text)
{
    struct wh_payload json = {WH_PAYLOAD_JSON, text};
    struct wh_buf msgpack = encode(json, WH_ENCODING_MSGPACK, WH_OK);
    struct wh_payload value = {WH_PAYLOAD_MSGPACK, wh_buf_slice(&msgpack)};
    WH_ASSERT(wh_payload_check(value) == WH_OK);
    struct wh_buf back = encode(value, WH_ENCODING_JSON, WH_OK);
    WH_ASSERT(wh_json_is_valid(wh_buf_slice(&back)));
    struct wh_payload again = {WH_PAYLOAD_JSON, wh_buf_slice(&back)};
    struct wh_buf second = encode(again, WH_ENCODING_MSGPACK, WH_OK);
    struct wh_payload second_value = {WH_PAYLOAD_MSGPACK, wh_buf_slice(&second)};
    struct wh_buf second_back = encode(second_value, WH_ENCODING_JSON, WH_OK);
    WH_ASSERT(wh_slice_equal(wh_buf_slice(&back), wh_buf_slice(&second_back)));
    wh_buf_deinit(&msgpack);
    wh_buf_deinit(&back);
    wh_buf_deinit(&second);
    wh_buf_deinit(&second_back);
}

static void check_msgpack(struct wh_slice bytes)
{
    struct wh_payload payload = {WH_PAYLOAD_MSGPACK, bytes};
    struct wh_msgpack_reader reader;
    struct wh_slice raw;
    wh_msgpack_reader_init(&reader, bytes);
    enum wh_err skipped = wh_msgpack_skip(&reader, WH_MSGPACK_DEPTH_MAX, &raw);
    WH_ASSERT(reader.at <= reader.end);
    if (wh_payload_check(payload) != WH_OK)
        return;
    WH_ASSERT(skipped == WH_OK && raw.len == bytes.len);
    struct wh_buf json = encode(payload, WH_ENCODING_JSON, WH_OK);
    WH_ASSERT(wh_json_is_valid(wh_buf_slice(&json)));
    check_cycle(wh_buf_slice(&json));
    struct wh_buf protobuf = encode(payload, WH_ENCODING_PROTOBUF, WH_OK);
    WH_ASSERT(wh_slice_equal(wh_buf_slice(&json), wh_buf_slice(&protobuf)));
    wh_buf_deinit(&json);
    wh_buf_deinit(&protobuf);
}

static void check_plain(struct wh_slice bytes)
{
    struct wh_payload payload = wh_payload_classify(bytes);
    bool is_json = payload.kind == WH_PAYLOAD_JSON;
    WH_ASSERT(wh_payload_check(payload) == WH_OK);
    payload.kind = WH_PAYLOAD_BYTES;
    struct wh_buf json = encode(payload, WH_ENCODING_JSON, is_json ? WH_OK : WH_EENCODING);
    struct wh_buf bin = encode(payload, WH_ENCODING_MSGPACK, WH_OK);
    WH_ASSERT(bin.len > bytes.len);
    wh_buf_deinit(&json);
    wh_buf_deinit(&bin);
    payload.kind = WH_PAYLOAD_JSON;
    struct wh_buf msgpack = encode(payload, WH_ENCODING_MSGPACK, is_json ? WH_OK : WH_EENCODING);
    wh_buf_deinit(&msgpack);
    if (is_json)
        check_cycle(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wh_slice bytes = wh_slice(data, size);
    if (size == 0)
        return 0;
    check_msgpack(bytes);
    check_plain(bytes);
    return 0;
}
