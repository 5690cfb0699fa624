/*
 * MessagePack: maps one behind the other, no separator.  Two flavours share
 * the walker: the one on the wire, where a payload is any value (a bin stands
 * for opaque bytes), and the tagged one of our envelope, where a payload is
 * the pair [kind, bytes] and so keeps its kind.
 *
 * Depth is counted here; a payload counts from its own root.
 */
#include "common/base/utf8.h"
#include "common/protocol/codec_walk.h"
#include "common/protocol/msgpack.h"

struct decoder {
    struct wh_msgpack_reader reader;
    struct wh_arena *arena;
    unsigned depth;
    bool is_tagged;
};

static enum wh_err decode_message(struct decoder *decoder,
                                  const struct wh_schema *schema,
                                  void *out);

/* The next token, which must be of this type. */
static enum wh_err expect(struct decoder *decoder,
                          enum wh_msgpack_type type,
                          struct wh_msgpack_token *out)
{
    enum wh_err err = wh_msgpack_next(&decoder->reader, out);
    return err || out->type != type ? WH_EFORMAT : WH_OK;
}

/* The head of an array or map; the caller leaves it with decoder->depth--. */
static enum wh_err enter(struct decoder *decoder,
                         enum wh_msgpack_type type,
                         struct wh_msgpack_token *out)
{
    enum wh_err err = expect(decoder, type, out);
    if (err || decoder->depth >= WH_DEPTH_MAX)
        return WH_EFORMAT;
    decoder->depth++;
    return WH_OK;
}

static enum wh_err read_string(struct decoder *decoder, struct wh_slice *out)
{
    struct wh_msgpack_token token;
    enum wh_err err = expect(decoder, WH_MSGPACK_STR, &token);
    if (err || !wh_utf8_is_valid(token.bytes))
        return WH_EFORMAT;
    *out = token.bytes;
    return WH_OK;
}

static enum wh_err read_bool(struct decoder *decoder, bool *out)
{
    struct wh_msgpack_token token;
    enum wh_err err = expect(decoder, WH_MSGPACK_BOOL, &token);
    if (err)
        return err;
    *out = token.boolean;
    return WH_OK;
}

/* A float that is an integer of 64 bits; the bounds are powers of two, hence exact. */
static enum wh_err store_float(enum wh_field_type type, double number, void *slot)
{
    if (number >= 0 && number < 18446744073709551616.0) {
        uint64_t whole = (uint64_t)number;
        return (double)whole == number ? wh_store_unsigned(type, whole, slot) : WH_EFORMAT;
    }
    if (number >= -9223372036854775808.0 && number < 0) {
        int64_t whole = (int64_t)number;
        return (double)whole == number ? wh_store_signed(type, whole, slot) : WH_EFORMAT;
    }
    return WH_EFORMAT;
}

static enum wh_err read_integer(struct decoder *decoder, enum wh_field_type type, void *slot)
{
    struct wh_msgpack_token token;
    if (wh_msgpack_next(&decoder->reader, &token))
        return WH_EFORMAT;
    switch (token.type) {
    case WH_MSGPACK_UINT:
        return wh_store_unsigned(type, token.u64, slot);
    case WH_MSGPACK_INT:
        return wh_store_signed(type, token.i64, slot);
    case WH_MSGPACK_FLOAT:
        return store_float(type, token.number, slot);
    default:
        return WH_EFORMAT;
    }
}

/* [kind, bytes]; the bytes may be a str too, which is all that some packers can write. */
static enum wh_err read_tagged_payload(struct decoder *decoder, struct wh_payload *out)
{
    struct wh_msgpack_token pair, kind, bytes;
    if (expect(decoder, WH_MSGPACK_ARRAY, &pair) || pair.count != 2 ||
        expect(decoder, WH_MSGPACK_UINT, &kind) || kind.u64 > WH_PAYLOAD_MSGPACK ||
        wh_msgpack_next(&decoder->reader, &bytes) ||
        (bytes.type != WH_MSGPACK_BIN && bytes.type != WH_MSGPACK_STR))
        return WH_EFORMAT;
    *out = (struct wh_payload){(enum wh_payload_kind)kind.u64, bytes.bytes};
    return wh_payload_check(*out);
}

static enum wh_err read_payload(struct decoder *decoder, struct wh_payload *out)
{
    struct wh_msgpack_reader ahead = decoder->reader;
    struct wh_msgpack_token token;
    if (decoder->is_tagged)
        return read_tagged_payload(decoder, out);
    if (wh_msgpack_next(&ahead, &token))
        return WH_EFORMAT;
    if (token.type == WH_MSGPACK_BIN) {
        decoder->reader = ahead;
        *out = (struct wh_payload){WH_PAYLOAD_BYTES, token.bytes};
        return WH_OK;
    }
    out->kind = WH_PAYLOAD_MSGPACK;
    return wh_msgpack_skip(&decoder->reader, WH_DEPTH_MAX, &out->bytes);
}

static bool skip_nil(struct decoder *decoder)
{
    bool is_nil = wh_msgpack_is_nil(&decoder->reader);
    decoder->reader.at += is_nil;
    return is_nil;
}

/* Elements of lists and maps: a string or a message in place; nil leaves it zero. */
static enum wh_err read_element(struct decoder *decoder, const struct wh_schema *schema, void *slot)
{
    if (skip_nil(decoder))
        return WH_OK;
    return schema ? decode_message(decoder, schema, slot) : read_string(decoder, slot);
}

static enum wh_err read_list(struct decoder *decoder,
                             const struct wh_schema *schema,
                             struct wh_list_view *list)
{
    struct wh_msgpack_token head;
    size_t size = schema ? schema->size : sizeof(struct wh_slice);
    enum wh_err err = enter(decoder, WH_MSGPACK_ARRAY, &head);
    if (err)
        return err;
    for (uint32_t i = 0; !err && i < head.count; i++) {
        void *element = wh_list_append(list, decoder->arena, size);
        err = element ? read_element(decoder, schema, element) : WH_ENOMEM;
    }
    decoder->depth--;
    return err;
}

static enum wh_err read_string_map(struct decoder *decoder, struct wh_string_map *map)
{
    struct wh_list_view list = {NULL, 0};
    struct wh_msgpack_token head;
    enum wh_err err = enter(decoder, WH_MSGPACK_MAP, &head);
    if (err)
        return err;
    for (uint32_t i = 0; !err && i < head.count; i++) {
        struct wh_string_pair *pair = wh_list_append(&list, decoder->arena, sizeof(*pair));
        if (!pair)
            return WH_ENOMEM;
        err = read_string(decoder, &pair->key);
        if (!err)
            err = read_element(decoder, NULL, &pair->value);
    }
    decoder->depth--;
    if (err)
        return err;
    *map = (struct wh_string_map){list.items, list.count};
    return wh_string_map_keep_last(map, decoder->arena);
}

static enum wh_err read_message_map(struct decoder *decoder,
                                    const struct wh_schema *schema,
                                    struct wh_map_view *map)
{
    struct wh_msgpack_token head;
    enum wh_err err = enter(decoder, WH_MSGPACK_MAP, &head);
    if (err)
        return err;
    for (uint32_t i = 0; !err && i < head.count; i++) {
        struct wh_slice key;
        err = read_string(decoder, &key);
        if (err)
            break;
        void *value = wh_map_append(map, decoder->arena, key, schema->size);
        err = value ? read_element(decoder, schema, value) : WH_ENOMEM;
    }
    decoder->depth--;
    return err ? err : wh_map_keep_last(map, decoder->arena, schema->size);
}

static enum wh_err read_message(struct decoder *decoder, const struct wh_schema *schema, void *slot)
{
    void *message = wh_arena_alloc(decoder->arena, schema->size);
    if (!message)
        return WH_ENOMEM;
    memcpy(slot, &message, sizeof(message));
    return decode_message(decoder, schema, message);
}

static enum wh_err read_collection(struct decoder *decoder,
                                   const struct wh_field *field,
                                   void *slot)
{
    struct wh_list_view list = {NULL, 0};
    struct wh_map_view map = {NULL, NULL, 0};
    enum wh_err err;
    if (field->type == WH_FIELD_MESSAGE_MAP) {
        err = read_message_map(decoder, field->schema, &map);
        memcpy(slot, &map, sizeof(map));
    } else {
        err = read_list(decoder, field->schema, &list);
        memcpy(slot, &list, sizeof(list));
    }
    return err;
}

static enum wh_err read_field(struct decoder *decoder, const struct wh_field *field, void *slot)
{
    if (skip_nil(decoder))
        return WH_OK;
    switch (field->type) {
    case WH_FIELD_BOOL:
        return read_bool(decoder, slot);
    case WH_FIELD_U32:
    case WH_FIELD_U64:
    case WH_FIELD_I32:
    case WH_FIELD_I64:
    case WH_FIELD_SINT64:
        return read_integer(decoder, field->type, slot);
    case WH_FIELD_STRING:
        return read_string(decoder, slot);
    case WH_FIELD_PAYLOAD:
        return read_payload(decoder, slot);
    case WH_FIELD_MESSAGE:
        return read_message(decoder, field->schema, slot);
    case WH_FIELD_STRING_MAP:
        return read_string_map(decoder, slot);
    case WH_FIELD_STRINGS:
    case WH_FIELD_MESSAGES:
    case WH_FIELD_MESSAGE_MAP:
        return read_collection(decoder, field, slot);
    case WH_FIELD_RAW_JSON:
        return WH_EUNSUPPORTED;
    }
    return WH_EINVAL;
}

static enum wh_err decode_message(struct decoder *decoder,
                                  const struct wh_schema *schema,
                                  void *out)
{
    struct wh_msgpack_token head;
    size_t hint = 0;
    enum wh_err err = enter(decoder, WH_MSGPACK_MAP, &head);
    if (err)
        return err;
    for (uint32_t i = 0; !err && i < head.count; i++) {
        struct wh_slice key;
        err = read_string(decoder, &key);
        if (err)
            break;
        const struct wh_field *field = wh_schema_find(schema, key, &hint);
        if (!field) {
            err = wh_msgpack_skip(&decoder->reader, WH_DEPTH_MAX - decoder->depth, NULL);
            continue;
        }
        void *slot = wh_field_slot(field, out);
        memset(slot, 0, wh_field_size(field->type)); /* the last of duplicates wins */
        err = read_field(decoder, field, slot);
    }
    decoder->depth--;
    return err;
}

static enum wh_err decode(const struct wh_schema *schema,
                          struct wh_slice *rest,
                          struct wh_arena *arena,
                          void *out)
{
    struct decoder decoder = {.arena = arena};
    wh_msgpack_reader_init(&decoder.reader, *rest);
    enum wh_err err = decode_message(&decoder, schema, out);
    if (err)
        return err;
    *rest = wh_slice(decoder.reader.at, (size_t)(decoder.reader.end - decoder.reader.at));
    return WH_OK;
}

static enum wh_err decode_whole(const struct wh_schema *schema,
                                struct wh_slice bytes,
                                struct wh_arena *arena,
                                void *out)
{
    enum wh_err err = decode(schema, &bytes, arena, out);
    if (err)
        return err;
    return bytes.len == 0 ? WH_OK : WH_EFORMAT;
}

enum wh_err wh_msgpack_take_tagged(const struct wh_schema *schema,
                                   struct wh_slice *rest,
                                   struct wh_arena *arena,
                                   void *out)
{
    struct decoder decoder = {.arena = arena, .is_tagged = true};
    if (rest->len == 0)
        return WH_EEND;
    wh_msgpack_reader_init(&decoder.reader, *rest);
    enum wh_err err = decode_message(&decoder, schema, out);
    if (err)
        return err;
    *rest = wh_slice(decoder.reader.at, (size_t)(decoder.reader.end - decoder.reader.at));
    return WH_OK;
}

enum wh_err wh_msgpack_decode_tagged(const struct wh_schema *schema,
                                     struct wh_slice bytes,
                                     struct wh_arena *arena,
                                     void *out)
{
    enum wh_err err = wh_msgpack_take_tagged(schema, &bytes, arena, out);
    if (err)
        return err == WH_EEND ? WH_EFORMAT : err;
    return bytes.len == 0 ? WH_OK : WH_EFORMAT;
}

/* Writing */

struct encoder {
    struct wh_buf *out;
    msgpack_packer packer;
    bool is_tagged;
};

static enum wh_err encode_message(struct encoder *encoder,
                                  const struct wh_schema *schema,
                                  const void *message);

static void write_strings(struct encoder *encoder, const struct wh_strings *strings)
{
    msgpack_pack_array(&encoder->packer, strings->count);
    for (size_t i = 0; i < strings->count; i++)
        wh_msgpack_pack_str(&encoder->packer, strings->items[i]);
}

static void write_string_map(struct encoder *encoder, const struct wh_string_map *map)
{
    msgpack_pack_map(&encoder->packer, map->count);
    for (size_t i = 0; i < map->count; i++) {
        wh_msgpack_pack_str(&encoder->packer, map->items[i].key);
        wh_msgpack_pack_str(&encoder->packer, map->items[i].value);
    }
}

static enum wh_err write_messages(struct encoder *encoder,
                                  const struct wh_schema *schema,
                                  struct wh_list_view list)
{
    enum wh_err err = WH_OK;
    msgpack_pack_array(&encoder->packer, list.count);
    for (size_t i = 0; !err && i < list.count; i++)
        err = encode_message(encoder, schema, (const char *)list.items + i * schema->size);
    return err;
}

static enum wh_err write_message_map(struct encoder *encoder,
                                     const struct wh_schema *schema,
                                     struct wh_map_view map)
{
    enum wh_err err = WH_OK;
    msgpack_pack_map(&encoder->packer, map.count);
    for (size_t i = 0; !err && i < map.count; i++) {
        wh_msgpack_pack_str(&encoder->packer, map.keys[i]);
        err = encode_message(encoder, schema, (const char *)map.values + i * schema->size);
    }
    return err;
}

static enum wh_err write_payload(struct encoder *encoder, const struct wh_payload *payload)
{
    if (!encoder->is_tagged)
        return wh_payload_encode(*payload, WH_ENCODING_MSGPACK, encoder->out);
    msgpack_pack_array(&encoder->packer, 2);
    msgpack_pack_uint32(&encoder->packer, payload->kind);
    wh_msgpack_pack_bin(&encoder->packer, payload->bytes);
    return WH_OK;
}

static enum wh_err write_message(struct encoder *encoder,
                                 const struct wh_field *field,
                                 const void *slot)
{
    const void *message = wh_load_pointer(slot);
    if (message)
        return encode_message(encoder, field->schema, message);
    msgpack_pack_nil(&encoder->packer);
    return WH_OK;
}

static enum wh_err write_field(struct encoder *encoder,
                               const struct wh_field *field,
                               const void *slot)
{
    switch (field->type) {
    case WH_FIELD_BOOL:
        if (*(const bool *)slot)
            msgpack_pack_true(&encoder->packer);
        else
            msgpack_pack_false(&encoder->packer);
        return WH_OK;
    case WH_FIELD_U32:
    case WH_FIELD_U64:
        msgpack_pack_uint64(&encoder->packer, wh_load_unsigned(field->type, slot));
        return WH_OK;
    case WH_FIELD_I32:
    case WH_FIELD_I64:
    case WH_FIELD_SINT64:
        msgpack_pack_int64(&encoder->packer, wh_load_signed(field->type, slot));
        return WH_OK;
    case WH_FIELD_STRING:
        wh_msgpack_pack_str(&encoder->packer, *(const struct wh_slice *)slot);
        return WH_OK;
    case WH_FIELD_STRINGS:
        write_strings(encoder, slot);
        return WH_OK;
    case WH_FIELD_PAYLOAD:
        return write_payload(encoder, slot);
    case WH_FIELD_MESSAGE:
        return write_message(encoder, field, slot);
    case WH_FIELD_MESSAGES:
        return write_messages(encoder, field->schema, wh_load_list(slot));
    case WH_FIELD_STRING_MAP:
        write_string_map(encoder, slot);
        return WH_OK;
    case WH_FIELD_MESSAGE_MAP:
        return write_message_map(encoder, field->schema, wh_load_map(slot));
    case WH_FIELD_RAW_JSON:
        return WH_EUNSUPPORTED;
    }
    return WH_EINVAL;
}

static enum wh_err encode_message(struct encoder *encoder,
                                  const struct wh_schema *schema,
                                  const void *message)
{
    enum wh_err err = WH_OK;
    size_t count = 0;
    for (size_t i = 0; i < schema->field_count; i++)
        count += wh_field_is_written(&schema->fields[i], message);
    msgpack_pack_map(&encoder->packer, count);
    for (size_t i = 0; !err && i < schema->field_count; i++) {
        const struct wh_field *field = &schema->fields[i];
        if (!wh_field_is_written(field, message))
            continue;
        wh_msgpack_pack_str(&encoder->packer, wh_slice_from_str(field->name));
        err = write_field(encoder, field, wh_field_slot_const(field, message));
    }
    return err;
}

static enum wh_err encode(const struct wh_schema *schema,
                          const void *message,
                          bool is_first,
                          struct wh_buf *out)
{
    struct encoder encoder = {.out = out};
    (void)is_first; /* maps delimit themselves */
    wh_msgpack_packer_init(&encoder.packer, out);
    return encode_message(&encoder, schema, message);
}

void wh_msgpack_encode_tagged(const struct wh_schema *schema,
                              const void *message,
                              struct wh_buf *out)
{
    struct encoder encoder = {.out = out, .is_tagged = true};
    wh_msgpack_packer_init(&encoder.packer, out);
    enum wh_err err = encode_message(&encoder, schema, message);
    WH_ASSERT(err == WH_OK); /* a tagged payload has no representation to fail at */
}

const struct wh_codec wh_codec_msgpack = {decode, decode_whole, encode};
