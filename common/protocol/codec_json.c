/*
 * JSON: one object a line.  The walker recurses over the schema, never over
 * unknown input, and the reader bounds its depth (a filter node holds nodes,
 * so input can make it go down to that bound).
 */
#include "common/protocol/codec_walk.h"
#include "common/protocol/json.h"

struct decoder {
    struct wh_json_reader reader;
    struct wh_arena *arena;
};

static enum wh_err decode_message(struct decoder *decoder,
                                  const struct wh_schema *schema,
                                  void *out);

static enum wh_err read_integer(struct decoder *decoder, enum wh_field_type type, void *slot)
{
    uint64_t positive;
    int64_t value;
    if (wh_field_is_unsigned(type)) {
        enum wh_err err = wh_json_read_u64(&decoder->reader, &positive);
        return err ? err : wh_store_unsigned(type, positive, slot);
    }
    enum wh_err err = wh_json_read_i64(&decoder->reader, &value);
    return err ? err : wh_store_signed(type, value, slot);
}

/* A raw value counts its depth from its own root. */
static enum wh_err read_raw(struct decoder *decoder, struct wh_slice *out)
{
    unsigned depth = decoder->reader.depth;
    decoder->reader.depth = 0;
    enum wh_err err = wh_json_skip(&decoder->reader, out);
    decoder->reader.depth = depth;
    return err;
}

static enum wh_err read_payload(struct decoder *decoder, struct wh_payload *out)
{
    out->kind = WH_PAYLOAD_JSON;
    return read_raw(decoder, &out->bytes);
}

static bool is_null(struct decoder *decoder)
{
    enum wh_json_type type;
    return wh_json_peek(&decoder->reader, &type) == WH_OK && type == WH_JSON_NULL;
}

/* Elements of lists and maps: a string or a message in place; null leaves it zero. */
static enum wh_err read_element(struct decoder *decoder, const struct wh_schema *schema, void *slot)
{
    if (is_null(decoder))
        return wh_json_read_null(&decoder->reader);
    if (!schema)
        return wh_json_read_string(&decoder->reader, decoder->arena, slot);
    return decode_message(decoder, schema, slot);
}

static enum wh_err read_list(struct decoder *decoder,
                             const struct wh_schema *schema,
                             struct wh_list_view *list)
{
    size_t size = schema ? schema->size : sizeof(struct wh_slice);
    enum wh_err err = wh_json_enter(&decoder->reader, WH_JSON_ARRAY);
    while (!err) {
        err = wh_json_next_item(&decoder->reader);
        if (err)
            break;
        void *element = wh_list_append(list, decoder->arena, size);
        err = element ? read_element(decoder, schema, element) : WH_ENOMEM;
    }
    return err == WH_EEND ? WH_OK : err;
}

static enum wh_err read_string_map(struct decoder *decoder, struct wh_string_map *map)
{
    struct wh_list_view list = {NULL, 0};
    enum wh_err err = wh_json_enter(&decoder->reader, WH_JSON_OBJECT);
    while (!err) {
        struct wh_slice key;
        err = wh_json_next_member(&decoder->reader, decoder->arena, &key);
        if (err)
            break;
        struct wh_string_pair *pair = wh_list_append(&list, decoder->arena, sizeof(*pair));
        if (!pair)
            return WH_ENOMEM;
        pair->key = key;
        err = read_element(decoder, NULL, &pair->value);
    }
    if (err != WH_EEND)
        return err;
    *map = (struct wh_string_map){list.items, list.count};
    return wh_string_map_keep_last(map, decoder->arena);
}

static enum wh_err read_message_map(struct decoder *decoder,
                                    const struct wh_schema *schema,
                                    struct wh_map_view *map)
{
    enum wh_err err = wh_json_enter(&decoder->reader, WH_JSON_OBJECT);
    while (!err) {
        struct wh_slice key;
        err = wh_json_next_member(&decoder->reader, decoder->arena, &key);
        if (err)
            break;
        void *value = wh_map_append(map, decoder->arena, key, schema->size);
        err = value ? read_element(decoder, schema, value) : WH_ENOMEM;
    }
    return err == WH_EEND ? wh_map_keep_last(map, decoder->arena, schema->size) : err;
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
    if (is_null(decoder))
        return wh_json_read_null(&decoder->reader);
    switch (field->type) {
    case WH_FIELD_BOOL:
        return wh_json_read_bool(&decoder->reader, slot);
    case WH_FIELD_U32:
    case WH_FIELD_U64:
    case WH_FIELD_I32:
    case WH_FIELD_I64:
    case WH_FIELD_SINT64:
        return read_integer(decoder, field->type, slot);
    case WH_FIELD_STRING:
        return wh_json_read_string(&decoder->reader, decoder->arena, slot);
    case WH_FIELD_PAYLOAD:
        return read_payload(decoder, slot);
    case WH_FIELD_RAW_JSON:
        return read_raw(decoder, slot);
    case WH_FIELD_MESSAGE:
        return read_message(decoder, field->schema, slot);
    case WH_FIELD_STRING_MAP:
        return read_string_map(decoder, slot);
    case WH_FIELD_STRINGS:
    case WH_FIELD_MESSAGES:
    case WH_FIELD_MESSAGE_MAP:
        return read_collection(decoder, field, slot);
    }
    return WH_EINVAL;
}

static enum wh_err decode_message(struct decoder *decoder,
                                  const struct wh_schema *schema,
                                  void *out)
{
    size_t hint = 0;
    enum wh_err err = wh_json_enter(&decoder->reader, WH_JSON_OBJECT);
    while (!err) {
        struct wh_slice key;
        err = wh_json_next_member(&decoder->reader, decoder->arena, &key);
        if (err)
            break;
        const struct wh_field *field = wh_schema_find(schema, key, &hint);
        if (!field) {
            err = wh_json_skip(&decoder->reader, NULL);
            continue;
        }
        void *slot = wh_field_slot(field, out);
        memset(slot, 0, wh_field_size(field->type)); /* the last of duplicates wins */
        err = read_field(decoder, field, slot);
    }
    return err == WH_EEND ? WH_OK : err;
}

static enum wh_err decode_whole(const struct wh_schema *schema,
                                struct wh_slice bytes,
                                struct wh_arena *arena,
                                void *out)
{
    struct decoder decoder = {.arena = arena};
    wh_json_reader_init(&decoder.reader, bytes);
    enum wh_err err = decode_message(&decoder, schema, out);
    return err ? err : wh_json_finish(&decoder.reader);
}

/* Lines are cut first, so a line feed inside a message is as wrong as a blank line. */
static enum wh_err decode(const struct wh_schema *schema,
                          struct wh_slice *rest,
                          struct wh_arena *arena,
                          void *out)
{
    const char *feed = memchr(rest->ptr, '\n', rest->len);
    size_t len = feed ? (size_t)(feed - rest->ptr) : rest->len;
    enum wh_err err = decode_whole(schema, wh_slice(rest->ptr, len), arena, out);
    if (err)
        return err;
    *rest = wh_slice_from(*rest, feed ? len + 1 : len);
    return WH_OK;
}

/* Writing */

static enum wh_err encode_message(const struct wh_schema *schema,
                                  const void *message,
                                  struct wh_buf *out);

/* Our own names need no escaping. */
static void write_key(struct wh_buf *out, struct wh_slice name, bool is_first)
{
    char *at = wh_buf_reserve(out, name.len + 4);
    if (!at)
        return;
    char *start = at;
    if (!is_first)
        *at++ = ',';
    *at++ = '"';
    memcpy(at, name.ptr, name.len);
    at += name.len;
    *at++ = '"';
    *at++ = ':';
    wh_buf_commit(out, (size_t)(at - start));
}

static void write_map_key(struct wh_buf *out, struct wh_slice key, bool is_first)
{
    if (!is_first)
        wh_buf_append_char(out, ',');
    wh_json_write_string(out, key);
    wh_buf_append_char(out, ':');
}

static void write_strings(const struct wh_strings *strings, struct wh_buf *out)
{
    wh_buf_append_char(out, '[');
    for (size_t i = 0; i < strings->count; i++) {
        if (i > 0)
            wh_buf_append_char(out, ',');
        wh_json_write_string(out, strings->items[i]);
    }
    wh_buf_append_char(out, ']');
}

static void write_string_map(const struct wh_string_map *map, struct wh_buf *out)
{
    wh_buf_append_char(out, '{');
    for (size_t i = 0; i < map->count; i++) {
        write_map_key(out, map->items[i].key, i == 0);
        wh_json_write_string(out, map->items[i].value);
    }
    wh_buf_append_char(out, '}');
}

static enum wh_err write_messages(const struct wh_schema *schema,
                                  struct wh_list_view list,
                                  struct wh_buf *out)
{
    enum wh_err err = WH_OK;
    wh_buf_append_char(out, '[');
    for (size_t i = 0; !err && i < list.count; i++) {
        if (i > 0)
            wh_buf_append_char(out, ',');
        err = encode_message(schema, (const char *)list.items + i * schema->size, out);
    }
    wh_buf_append_char(out, ']');
    return err;
}

static enum wh_err write_message_map(const struct wh_schema *schema,
                                     struct wh_map_view map,
                                     struct wh_buf *out)
{
    enum wh_err err = WH_OK;
    wh_buf_append_char(out, '{');
    for (size_t i = 0; !err && i < map.count; i++) {
        write_map_key(out, map.keys[i], i == 0);
        err = encode_message(schema, (const char *)map.values + i * schema->size, out);
    }
    wh_buf_append_char(out, '}');
    return err;
}

/* An absent message or raw value that must be there is null. */
static enum wh_err write_message(const struct wh_field *field, const void *slot, struct wh_buf *out)
{
    const void *message = wh_load_pointer(slot);
    if (message)
        return encode_message(field->schema, message, out);
    wh_buf_append_str(out, "null");
    return WH_OK;
}

static void write_raw(const struct wh_slice *raw, struct wh_buf *out)
{
    if (raw->len > 0)
        wh_json_write_raw(out, *raw);
    else
        wh_buf_append_str(out, "null");
}

static enum wh_err write_field(const struct wh_field *field, const void *slot, struct wh_buf *out)
{
    switch (field->type) {
    case WH_FIELD_BOOL:
        wh_buf_append_str(out, *(const bool *)slot ? "true" : "false");
        return WH_OK;
    case WH_FIELD_U32:
    case WH_FIELD_U64:
        wh_buf_append_u64(out, wh_load_unsigned(field->type, slot));
        return WH_OK;
    case WH_FIELD_I32:
    case WH_FIELD_I64:
    case WH_FIELD_SINT64:
        wh_buf_append_i64(out, wh_load_signed(field->type, slot));
        return WH_OK;
    case WH_FIELD_STRING:
        wh_json_write_string(out, *(const struct wh_slice *)slot);
        return WH_OK;
    case WH_FIELD_STRINGS:
        write_strings(slot, out);
        return WH_OK;
    case WH_FIELD_PAYLOAD:
        return wh_payload_encode(*(const struct wh_payload *)slot, WH_ENCODING_JSON, out);
    case WH_FIELD_MESSAGE:
        return write_message(field, slot, out);
    case WH_FIELD_MESSAGES:
        return write_messages(field->schema, wh_load_list(slot), out);
    case WH_FIELD_STRING_MAP:
        write_string_map(slot, out);
        return WH_OK;
    case WH_FIELD_MESSAGE_MAP:
        return write_message_map(field->schema, wh_load_map(slot), out);
    case WH_FIELD_RAW_JSON:
        write_raw(slot, out);
        return WH_OK;
    }
    return WH_EINVAL;
}

static enum wh_err encode_message(const struct wh_schema *schema,
                                  const void *message,
                                  struct wh_buf *out)
{
    enum wh_err err = WH_OK;
    bool is_first = true;
    wh_buf_append_char(out, '{');
    for (size_t i = 0; !err && i < schema->field_count; i++) {
        const struct wh_field *field = &schema->fields[i];
        if (!wh_field_is_written(field, message))
            continue;
        write_key(out, wh_slice_from_str(field->name), is_first);
        is_first = false;
        err = write_field(field, wh_field_slot_const(field, message), out);
    }
    wh_buf_append_char(out, '}');
    return err;
}

static enum wh_err encode(const struct wh_schema *schema,
                          const void *message,
                          bool is_first,
                          struct wh_buf *out)
{
    if (!is_first)
        wh_buf_append_char(out, '\n');
    return encode_message(schema, message, out);
}

const struct wh_codec wh_codec_json = {decode, decode_whole, encode};
