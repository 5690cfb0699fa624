/*
 * The whole is JSON if it can be, so that a browser's page of JSON services
 * costs no transcoding; one MessagePack or opaque result makes all of it
 * MessagePack, into which JSON goes without loss.
 */
#include "common/protocol/compose.h"

#include "common/protocol/json.h"
#include "common/protocol/msgpack.h"

/* Taking apart */

static enum wh_err json_member(struct wh_slice text,
                               struct wh_slice name,
                               struct wh_arena *arena,
                               struct wh_payload *out)
{
    struct wh_json_reader reader;
    struct wh_slice key, value, found = WH_SLICE_ABSENT;
    wh_json_reader_init(&reader, text);
    enum wh_err err = wh_json_enter(&reader, WH_JSON_OBJECT);
    while (err == WH_OK) {
        err = wh_json_next_member(&reader, arena, &key);
        if (err == WH_OK)
            err = wh_json_skip(&reader, &value);
        if (err == WH_OK && wh_slice_equal(key, name))
            found = value;
    }
    if (err == WH_EEND)
        err = wh_json_finish(&reader);
    if (err)
        return err;
    *out = (struct wh_payload){WH_PAYLOAD_JSON, found};
    return WH_OK;
}

/* A top-level bin is opaque bytes, and nil is nothing. */
static enum wh_err msgpack_value(struct wh_slice raw, struct wh_payload *out)
{
    struct wh_msgpack_reader reader;
    struct wh_msgpack_token token;
    wh_msgpack_reader_init(&reader, raw);
    enum wh_err err = wh_msgpack_next(&reader, &token);
    if (err)
        return WH_EFORMAT;
    if (token.type == WH_MSGPACK_BIN)
        *out = (struct wh_payload){WH_PAYLOAD_BYTES, token.bytes};
    else if (token.type == WH_MSGPACK_NIL)
        *out = (struct wh_payload){0};
    else
        *out = (struct wh_payload){WH_PAYLOAD_MSGPACK, raw};
    return WH_OK;
}

static enum wh_err msgpack_member(struct wh_slice bytes,
                                  struct wh_slice name,
                                  struct wh_payload *out)
{
    struct wh_msgpack_reader reader;
    struct wh_msgpack_token map;
    struct wh_slice found = WH_SLICE_ABSENT;
    wh_msgpack_reader_init(&reader, bytes);
    if (wh_msgpack_next(&reader, &map) || map.type != WH_MSGPACK_MAP)
        return WH_EFORMAT;
    for (uint32_t i = 0; i < map.count; i++) {
        struct wh_slice raw_key, value;
        struct wh_msgpack_reader inner;
        struct wh_msgpack_token key;
        if (wh_msgpack_skip(&reader, WH_MSGPACK_DEPTH_MAX, &raw_key) ||
            wh_msgpack_skip(&reader, WH_MSGPACK_DEPTH_MAX, &value))
            return WH_EFORMAT;
        wh_msgpack_reader_init(&inner, raw_key);
        if (wh_msgpack_next(&inner, &key) == WH_OK && key.type == WH_MSGPACK_STR &&
            wh_slice_equal(key.bytes, name))
            found = value;
    }
    if (reader.at != reader.end)
        return WH_EFORMAT;
    if (found.ptr == NULL) {
        *out = (struct wh_payload){0};
        return WH_OK;
    }
    return msgpack_value(found, out);
}

enum wh_err wh_payload_member(struct wh_payload payload,
                              struct wh_slice name,
                              struct wh_arena *arena,
                              struct wh_payload *out_member)
{
    if (!wh_payload_is_present(payload)) {
        *out_member = (struct wh_payload){0};
        return WH_OK;
    }
    if (payload.kind == WH_PAYLOAD_MSGPACK)
        return msgpack_member(payload.bytes, name, out_member);
    return json_member(payload.bytes, name, arena, out_member);
}

/* Putting together */

static enum wh_payload_kind kind_of(const struct wh_composed *members, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (members[i].code == 0 && wh_payload_is_present(members[i].data) &&
            members[i].data.kind != WH_PAYLOAD_JSON)
            return WH_PAYLOAD_MSGPACK;
    return WH_PAYLOAD_JSON;
}

static void json_error(const struct wh_composed *member, struct wh_buf *out)
{
    wh_buf_append_str(out, "{\"error\":{\"code\":");
    wh_buf_append_u64(out, member->code);
    wh_buf_append_str(out, ",\"message\":");
    wh_json_write_string(out, member->message);
    wh_buf_append_str(out, member->temporary ? ",\"temporary\":true}}" : "}}");
}

static enum wh_err compose_json(const struct wh_composed *members, size_t count, struct wh_buf *out)
{
    wh_buf_append_char(out, '{');
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            wh_buf_append_char(out, ',');
        wh_json_write_string(out, members[i].name);
        wh_buf_append_char(out, ':');
        if (members[i].code != 0) {
            json_error(&members[i], out);
            continue;
        }
        wh_buf_append_str(out, "{\"result\":");
        if (wh_payload_encode(members[i].data, WH_ENCODING_JSON, out))
            return WH_EFORMAT;
        wh_buf_append_char(out, '}');
    }
    wh_buf_append_char(out, '}');
    return WH_OK;
}

static void msgpack_error(msgpack_packer *packer, const struct wh_composed *member)
{
    wh_msgpack_pack_str(packer, WH_SLICE_LITERAL("error"));
    msgpack_pack_map(packer, member->temporary ? 3 : 2);
    wh_msgpack_pack_str(packer, WH_SLICE_LITERAL("code"));
    msgpack_pack_uint32(packer, member->code);
    wh_msgpack_pack_str(packer, WH_SLICE_LITERAL("message"));
    wh_msgpack_pack_str(packer, member->message);
    if (member->temporary) {
        wh_msgpack_pack_str(packer, WH_SLICE_LITERAL("temporary"));
        msgpack_pack_true(packer);
    }
}

static enum wh_err compose_msgpack(const struct wh_composed *members,
                                   size_t count,
                                   struct wh_buf *out)
{
    msgpack_packer packer;
    wh_msgpack_packer_init(&packer, out);
    msgpack_pack_map(&packer, count);
    for (size_t i = 0; i < count; i++) {
        wh_msgpack_pack_str(&packer, members[i].name);
        msgpack_pack_map(&packer, 1);
        if (members[i].code != 0) {
            msgpack_error(&packer, &members[i]);
            continue;
        }
        wh_msgpack_pack_str(&packer, WH_SLICE_LITERAL("result"));
        if (wh_payload_encode(members[i].data, WH_ENCODING_MSGPACK, out))
            return WH_EFORMAT;
    }
    return WH_OK;
}

enum wh_err wh_compose(const struct wh_composed *members,
                       size_t count,
                       struct wh_buf *out,
                       enum wh_payload_kind *out_kind)
{
    enum wh_payload_kind kind = kind_of(members, count);
    enum wh_err err = kind == WH_PAYLOAD_JSON ? compose_json(members, count, out)
                                              : compose_msgpack(members, count, out);
    if (err == WH_OK)
        *out_kind = kind;
    return err;
}
