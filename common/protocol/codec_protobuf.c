/*
 * Protobuf (proto3), each message of a frame behind its length.  Zero scalars,
 * strings and payloads are never written, as the language says, WH_ALWAYS or
 * not.  Unknown fields are skipped by wire type; a known field with another
 * wire type than its own is refused.
 *
 * Writing a nested message takes one byte for its length, then the content;
 * when the length needs more bytes the content moves up.  Nesting is three or
 * four deep in practice, so that is cheaper than measuring everything first.
 */
#include "common/base/utf8.h"
#include "common/protocol/codec_walk.h"

enum wire_type {
    WIRE_VARINT = 0,
    WIRE_FIXED64 = 1,
    WIRE_BYTES = 2,
    WIRE_GROUP_START = 3,
    WIRE_GROUP_END = 4,
    WIRE_FIXED32 = 5
};

enum { VARINT_MAX = 10, FIELD_NUMBER_MAX = (1 << 29) - 1, MAP_KEY = 1, MAP_VALUE = 2 };

struct decoder {
    struct wh_arena *arena;
    unsigned depth;
};

struct tag {
    uint64_t number;
    enum wire_type wire;
};

static enum wh_err decode_message(struct decoder *decoder,
                                  const struct wh_schema *schema,
                                  struct wh_slice bytes,
                                  void *out);

static enum wh_err read_varint(struct wh_slice *rest, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < rest->len && i < VARINT_MAX; i++) {
        uint64_t byte = (unsigned char)rest->ptr[i];
        if (i == VARINT_MAX - 1 && byte > 1) /* the 65th bit */
            return WH_EFORMAT;
        value |= (byte & 0x7F) << (7 * i);
        if (byte < 0x80) {
            *rest = wh_slice_from(*rest, i + 1);
            *out = value;
            return WH_OK;
        }
    }
    return WH_EFORMAT;
}

static enum wh_err read_bytes(struct wh_slice *rest, struct wh_slice *out)
{
    uint64_t len;
    enum wh_err err = read_varint(rest, &len);
    if (err || len > rest->len)
        return WH_EFORMAT;
    *out = wh_slice(rest->ptr, (size_t)len);
    *rest = wh_slice_from(*rest, (size_t)len);
    return WH_OK;
}

static enum wh_err read_tag(struct wh_slice *rest, struct tag *out)
{
    uint64_t key;
    enum wh_err err = read_varint(rest, &key);
    if (err || key >> 3 == 0 || key >> 3 > FIELD_NUMBER_MAX || (key & 7) > WIRE_FIXED32)
        return WH_EFORMAT;
    *out = (struct tag){key >> 3, (enum wire_type)(key & 7)};
    return WH_OK;
}

/* A field that is not a group. */
static enum wh_err skip_plain(struct wh_slice *rest, enum wire_type wire)
{
    uint64_t ignored;
    struct wh_slice bytes;
    size_t width = wire == WIRE_FIXED64 ? 8 : 4;
    if (wire == WIRE_VARINT)
        return read_varint(rest, &ignored);
    if (wire == WIRE_BYTES)
        return read_bytes(rest, &bytes);
    if (rest->len < width)
        return WH_EFORMAT;
    *rest = wh_slice_from(*rest, width);
    return WH_OK;
}

/* An unknown field.  Groups (long deprecated) nest; their ends must name what they close. */
static enum wh_err skip_field(struct decoder *decoder, struct wh_slice *rest, struct tag tag)
{
    uint64_t open[WH_DEPTH_MAX];
    unsigned depth = 0;
    enum wh_err err = WH_OK;
    for (;;) {
        if (tag.wire == WIRE_GROUP_START) {
            if (decoder->depth + depth >= WH_DEPTH_MAX)
                return WH_EFORMAT;
            open[depth++] = tag.number;
        } else if (tag.wire == WIRE_GROUP_END) {
            if (depth == 0 || open[--depth] != tag.number)
                return WH_EFORMAT;
        } else {
            err = skip_plain(rest, tag.wire);
        }
        if (err || depth == 0)
            return err;
        err = read_tag(rest, &tag);
        if (err)
            return err;
    }
}

static int64_t to_signed(uint64_t bits)
{
    int64_t value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static enum wh_err store_varint(enum wh_field_type type, uint64_t value, void *slot)
{
    switch (type) {
    case WH_FIELD_BOOL:
        *(bool *)slot = value != 0;
        return WH_OK;
    case WH_FIELD_U32:
    case WH_FIELD_U64:
        return wh_store_unsigned(type, value, slot);
    case WH_FIELD_SINT64:
        return wh_store_signed(type, to_signed(value >> 1 ^ (0 - (value & 1))), slot);
    default:
        return wh_store_signed(type, to_signed(value), slot);
    }
}

static enum wh_err store_string(struct wh_slice bytes, struct wh_slice *slot)
{
    if (!wh_utf8_is_valid(bytes))
        return WH_EFORMAT;
    *slot = bytes;
    return WH_OK;
}

static enum wh_err read_list_element(struct decoder *decoder,
                                     const struct wh_field *field,
                                     struct wh_slice bytes,
                                     void *slot)
{
    struct wh_list_view list = wh_load_list(slot);
    size_t size = field->schema ? field->schema->size : sizeof(struct wh_slice);
    void *element = wh_list_append(&list, decoder->arena, size);
    if (!element)
        return WH_ENOMEM;
    memcpy(slot, &list, sizeof(list));
    return field->schema ? decode_message(decoder, field->schema, bytes, element)
                         : store_string(bytes, element);
}

/* A map entry is a message of key and value, either of which may be missing. */
static enum wh_err split_entry(struct decoder *decoder,
                               struct wh_slice rest,
                               struct wh_slice *key,
                               struct wh_slice *value)
{
    *key = WH_SLICE_LITERAL("");
    *value = WH_SLICE_LITERAL("");
    while (rest.len > 0) {
        struct tag tag;
        enum wh_err err = read_tag(&rest, &tag);
        if (err)
            return err;
        if (tag.number != MAP_KEY && tag.number != MAP_VALUE)
            err = skip_field(decoder, &rest, tag);
        else if (tag.wire != WIRE_BYTES)
            err = WH_EFORMAT;
        else
            err = read_bytes(&rest, tag.number == MAP_KEY ? key : value);
        if (err)
            return err;
    }
    return wh_utf8_is_valid(*key) ? WH_OK : WH_EFORMAT;
}

static enum wh_err read_string_entry(struct decoder *decoder, struct wh_slice bytes, void *slot)
{
    struct wh_list_view list = wh_load_list(slot);
    struct wh_slice key, value;
    enum wh_err err = split_entry(decoder, bytes, &key, &value);
    if (err)
        return err;
    struct wh_string_pair *pair = wh_list_append(&list, decoder->arena, sizeof(*pair));
    if (!pair)
        return WH_ENOMEM;
    memcpy(slot, &list, sizeof(list));
    pair->key = key;
    return store_string(value, &pair->value);
}

static enum wh_err read_message_entry(struct decoder *decoder,
                                      const struct wh_schema *schema,
                                      struct wh_slice bytes,
                                      void *slot)
{
    struct wh_map_view map = wh_load_map(slot);
    struct wh_slice key, value;
    enum wh_err err = split_entry(decoder, bytes, &key, &value);
    if (err)
        return err;
    void *message = wh_map_append(&map, decoder->arena, key, schema->size);
    if (!message)
        return WH_ENOMEM;
    memcpy(slot, &map, sizeof(map));
    return decode_message(decoder, schema, value, message);
}

/* A message that comes twice replaces the first.  Merging them, which proto3 would like, would let
 * many empty ones make us go through the maps of the first again and again. */
static enum wh_err read_message(struct decoder *decoder,
                                const struct wh_schema *schema,
                                struct wh_slice bytes,
                                void *slot)
{
    void *message = wh_arena_alloc(decoder->arena, schema->size);
    if (!message)
        return WH_ENOMEM;
    memcpy(slot, &message, sizeof(message));
    return decode_message(decoder, schema, bytes, message);
}

static enum wh_err store_bytes(struct decoder *decoder,
                               const struct wh_field *field,
                               struct wh_slice bytes,
                               void *slot)
{
    switch (field->type) {
    case WH_FIELD_STRING:
        return store_string(bytes, slot);
    case WH_FIELD_PAYLOAD: /* proto3 cannot tell empty from absent */
        *(struct wh_payload *)slot =
            (struct wh_payload){WH_PAYLOAD_BYTES, bytes.len > 0 ? bytes : WH_SLICE_ABSENT};
        return WH_OK;
    case WH_FIELD_MESSAGE:
        return read_message(decoder, field->schema, bytes, slot);
    case WH_FIELD_STRINGS:
    case WH_FIELD_MESSAGES:
        return read_list_element(decoder, field, bytes, slot);
    case WH_FIELD_STRING_MAP:
        return read_string_entry(decoder, bytes, slot);
    case WH_FIELD_MESSAGE_MAP:
        return read_message_entry(decoder, field->schema, bytes, slot);
    case WH_FIELD_RAW_JSON:
        return WH_EUNSUPPORTED;
    default:
        return WH_EFORMAT;
    }
}

static bool is_varint_type(enum wh_field_type type)
{
    return type <= WH_FIELD_SINT64;
}

static enum wh_err read_field(struct decoder *decoder,
                              const struct wh_field *field,
                              struct tag tag,
                              struct wh_slice *rest,
                              void *slot)
{
    uint64_t value;
    struct wh_slice bytes;
    bool is_varint = is_varint_type(field->type);
    if (tag.wire != (is_varint ? WIRE_VARINT : WIRE_BYTES))
        return WH_EFORMAT;
    enum wh_err err = is_varint ? read_varint(rest, &value) : read_bytes(rest, &bytes);
    if (err)
        return err;
    return is_varint ? store_varint(field->type, value, slot)
                     : store_bytes(decoder, field, bytes, slot);
}

/* Entries of a map arrive one by one; only at the end is it known which were the last. */
static enum wh_err finish_maps(struct decoder *decoder, const struct wh_schema *schema, void *out)
{
    enum wh_err err = WH_OK;
    for (size_t i = 0; !err && i < schema->field_count; i++) {
        const struct wh_field *field = &schema->fields[i];
        void *slot = wh_field_slot(field, out);
        if (field->type == WH_FIELD_STRING_MAP) {
            err = wh_string_map_keep_last(slot, decoder->arena);
        } else if (field->type == WH_FIELD_MESSAGE_MAP) {
            struct wh_map_view map = wh_load_map(slot);
            err = wh_map_keep_last(&map, decoder->arena, field->schema->size);
            memcpy(slot, &map, sizeof(map));
        }
    }
    return err;
}

static enum wh_err decode_message(struct decoder *decoder,
                                  const struct wh_schema *schema,
                                  struct wh_slice bytes,
                                  void *out)
{
    size_t hint = 0;
    enum wh_err err = WH_OK;
    if (decoder->depth >= WH_DEPTH_MAX)
        return WH_EFORMAT;
    decoder->depth++;
    while (!err && bytes.len > 0) {
        struct tag tag;
        err = read_tag(&bytes, &tag);
        if (err)
            break;
        const struct wh_field *field = wh_schema_find_number(schema, tag.number, &hint);
        err = field ? read_field(decoder, field, tag, &bytes, wh_field_slot(field, out))
                    : skip_field(decoder, &bytes, tag);
    }
    decoder->depth--;
    return err ? err : finish_maps(decoder, schema, out);
}

static enum wh_err decode_whole(const struct wh_schema *schema,
                                struct wh_slice bytes,
                                struct wh_arena *arena,
                                void *out)
{
    struct decoder decoder = {.arena = arena};
    return decode_message(&decoder, schema, bytes, out);
}

static enum wh_err decode(const struct wh_schema *schema,
                          struct wh_slice *rest,
                          struct wh_arena *arena,
                          void *out)
{
    struct wh_slice bytes;
    enum wh_err err = read_bytes(rest, &bytes);
    return err ? err : decode_whole(schema, bytes, arena, out);
}

/* Writing */

static enum wh_err encode_message(const struct wh_schema *schema,
                                  const void *message,
                                  struct wh_buf *out);

static size_t varint_bytes(uint64_t value, unsigned char bytes[VARINT_MAX])
{
    size_t len = 0;
    for (; value >= 0x80; value >>= 7)
        bytes[len++] = (unsigned char)(value | 0x80);
    bytes[len++] = (unsigned char)value;
    return len;
}

static void write_varint(struct wh_buf *out, uint64_t value)
{
    unsigned char bytes[VARINT_MAX];
    wh_buf_append(out, bytes, varint_bytes(value, bytes));
}

static void write_tag(struct wh_buf *out, uint32_t number, enum wire_type wire)
{
    write_varint(out, (uint64_t)number << 3 | wire);
}

static void write_string(struct wh_buf *out, uint32_t number, struct wh_slice text)
{
    write_tag(out, number, WIRE_BYTES);
    write_varint(out, text.len);
    wh_buf_append_slice(out, text);
}

/* Begin something of unknown length; what it returns goes to close_length. */
static size_t open_length(struct wh_buf *out)
{
    wh_buf_append_char(out, '\0');
    return out->len;
}

static void close_length(struct wh_buf *out, size_t content_at)
{
    unsigned char bytes[VARINT_MAX];
    if (wh_buf_error(out))
        return;
    size_t content_len = out->len - content_at;
    size_t len = varint_bytes(content_len, bytes);
    if (len > 1) {
        if (!wh_buf_reserve(out, len - 1))
            return;
        memmove(out->ptr + content_at + len - 1, out->ptr + content_at, content_len);
        wh_buf_commit(out, len - 1);
    }
    memcpy(out->ptr + content_at - 1, bytes, len);
}

static enum wh_err write_nested(struct wh_buf *out,
                                uint32_t number,
                                const struct wh_schema *schema,
                                const void *message)
{
    write_tag(out, number, WIRE_BYTES);
    size_t content_at = open_length(out);
    enum wh_err err = encode_message(schema, message, out);
    close_length(out, content_at);
    return err;
}

static enum wh_err write_payload(struct wh_buf *out,
                                 uint32_t number,
                                 const struct wh_payload *payload)
{
    if (payload->bytes.len == 0)
        return WH_OK;
    write_tag(out, number, WIRE_BYTES);
    size_t content_at = open_length(out);
    enum wh_err err = wh_payload_encode(*payload, WH_ENCODING_PROTOBUF, out);
    close_length(out, content_at);
    return err;
}

static void write_strings(struct wh_buf *out, uint32_t number, const struct wh_strings *strings)
{
    for (size_t i = 0; i < strings->count; i++)
        write_string(out, number, strings->items[i]);
}

static void write_string_map(struct wh_buf *out, uint32_t number, const struct wh_string_map *map)
{
    for (size_t i = 0; i < map->count; i++) {
        write_tag(out, number, WIRE_BYTES);
        size_t content_at = open_length(out);
        write_string(out, MAP_KEY, map->items[i].key);
        write_string(out, MAP_VALUE, map->items[i].value);
        close_length(out, content_at);
    }
}

static enum wh_err write_messages(struct wh_buf *out,
                                  const struct wh_field *field,
                                  struct wh_list_view list)
{
    enum wh_err err = WH_OK;
    size_t size = field->schema->size;
    for (size_t i = 0; !err && i < list.count; i++)
        err = write_nested(out, field->number, field->schema, (const char *)list.items + i * size);
    return err;
}

static enum wh_err write_message_map(struct wh_buf *out,
                                     const struct wh_field *field,
                                     struct wh_map_view map)
{
    enum wh_err err = WH_OK;
    size_t size = field->schema->size;
    for (size_t i = 0; !err && i < map.count; i++) {
        write_tag(out, field->number, WIRE_BYTES);
        size_t content_at = open_length(out);
        write_string(out, MAP_KEY, map.keys[i]);
        err = write_nested(out, MAP_VALUE, field->schema, (const char *)map.values + i * size);
        close_length(out, content_at);
    }
    return err;
}

static uint64_t load_varint(enum wh_field_type type, const void *slot)
{
    if (type == WH_FIELD_BOOL)
        return *(const bool *)slot;
    if (wh_field_is_unsigned(type))
        return wh_load_unsigned(type, slot);
    int64_t value = wh_load_signed(type, slot);
    uint64_t bits = (uint64_t)value; /* negative numbers are sign-extended to ten bytes */
    return type == WH_FIELD_SINT64 ? bits << 1 ^ (0 - (bits >> 63)) : bits;
}

static enum wh_err write_field(struct wh_buf *out, const struct wh_field *field, const void *slot)
{
    switch (field->type) {
    case WH_FIELD_STRING:
        write_string(out, field->number, *(const struct wh_slice *)slot);
        return WH_OK;
    case WH_FIELD_STRINGS:
        write_strings(out, field->number, slot);
        return WH_OK;
    case WH_FIELD_PAYLOAD:
        return write_payload(out, field->number, slot);
    case WH_FIELD_MESSAGE:
        return write_nested(out, field->number, field->schema, wh_load_pointer(slot));
    case WH_FIELD_MESSAGES:
        return write_messages(out, field, wh_load_list(slot));
    case WH_FIELD_STRING_MAP:
        write_string_map(out, field->number, slot);
        return WH_OK;
    case WH_FIELD_MESSAGE_MAP:
        return write_message_map(out, field, wh_load_map(slot));
    case WH_FIELD_RAW_JSON:
        return WH_EUNSUPPORTED;
    default:
        write_tag(out, field->number, WIRE_VARINT);
        write_varint(out, load_varint(field->type, slot));
        return WH_OK;
    }
}

static enum wh_err encode_message(const struct wh_schema *schema,
                                  const void *message,
                                  struct wh_buf *out)
{
    enum wh_err err = WH_OK;
    for (size_t i = 0; !err && i < schema->field_count; i++) {
        const struct wh_field *field = &schema->fields[i];
        if (wh_field_is_set(field, message))
            err = write_field(out, field, wh_field_slot_const(field, message));
    }
    return err;
}

static enum wh_err encode(const struct wh_schema *schema,
                          const void *message,
                          bool is_first,
                          struct wh_buf *out)
{
    (void)is_first; /* each message carries its length */
    size_t content_at = open_length(out);
    enum wh_err err = encode_message(schema, message, out);
    close_length(out, content_at);
    return err;
}

const struct wh_codec wh_codec_protobuf = {decode, decode_whole, encode};
