/*
 * A message is decoded by the tables of the protocol and encoded again as
 * JSON.  Decoding skips members that it does not know, so both sides can often
 * read a message; the right one is that which keeps more of it.
 *
 * Payloads that JSON cannot carry are replaced first, by a walk over the same
 * tables.
 */
#include "client-sdk/cli/frame_text.h"

#include "common/base/base64.h"
#include "common/protocol/json.h"

/* ---- bytes ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool is_between(char c)
{
    return c == ' ' || c == ':' || c == '\n' || c == '\r' || c == '\t';
}

static enum wh_err from_hex(struct wh_slice text, struct wh_arena *arena, struct wh_slice *out)
{
    char *bytes = wh_arena_alloc(arena, text.len / 2 + 1);
    size_t len = 0;
    int high = -1;
    if (!bytes)
        return WH_ENOMEM;
    for (size_t i = 0; i < text.len; i++) {
        int digit = hex_digit(text.ptr[i]);
        if (digit < 0 && (high >= 0 || !is_between(text.ptr[i])))
            return WH_EFORMAT;
        if (digit < 0)
            continue;
        if (high >= 0) {
            bytes[len++] = (char)(high * 16 + digit);
            high = -1;
        } else {
            high = digit;
        }
    }
    if (high >= 0 || len == 0)
        return WH_EFORMAT;
    *out = wh_slice(bytes, len);
    return WH_OK;
}

/* Lines and missing padding are forgiven: this is for people. */
static enum wh_err from_base64(struct wh_slice text, struct wh_arena *arena, struct wh_slice *out)
{
    char *plain = wh_arena_alloc(arena, text.len + 4);
    size_t len = 0;
    if (!plain)
        return WH_ENOMEM;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c != '\n' && c != '\r' && c != '=' && c != ' ')
            plain[len++] = (char)(c == '+' ? '-' : c == '/' ? '_' : c);
    }
    return len == 0 ? WH_EFORMAT
                    : wh_base64_decode(WH_BASE64_URL, wh_slice(plain, len), arena, out);
}

static struct wh_slice without_end(struct wh_slice text)
{
    while (text.len > 0 && (text.ptr[text.len - 1] == '\n' || text.ptr[text.len - 1] == '\r'))
        text.len--;
    return text;
}

static enum wh_err guess_bytes(struct wh_slice text, struct wh_arena *arena, struct wh_slice *out)
{
    struct wh_slice line = without_end(text);
    if (line.len == 0)
        return WH_EFORMAT;
    enum wh_err err = from_hex(line, arena, out);
    if (err != WH_EFORMAT)
        return err;
    if (line.ptr[0] == '{') {
        *out = line;
        return WH_OK;
    }
    err = from_base64(line, arena, out);
    if (err == WH_EFORMAT) {
        *out = text;
        err = WH_OK;
    }
    return err;
}

enum wh_err frame_bytes(enum frame_input input,
                        struct wh_slice text,
                        struct wh_arena *arena,
                        struct wh_slice *out_bytes)
{
    switch (input) {
    case FRAME_INPUT_HEX:
        return from_hex(text, arena, out_bytes);
    case FRAME_INPUT_BASE64:
        return from_base64(text, arena, out_bytes);
    case FRAME_INPUT_RAW:
        *out_bytes = text;
        return WH_OK;
    case FRAME_INPUT_AUTO:
        break;
    }
    return guess_bytes(text, arena, out_bytes);
}

/* ---- payloads ---- */

static enum wh_err show_payload(struct wh_payload *payload, struct wh_arena *arena)
{
    struct wh_buf json = {0};
    if (!wh_payload_is_present(*payload))
        return WH_OK;
    enum wh_err err = wh_payload_encode(*payload, WH_ENCODING_JSON, &json);
    if (err == WH_EENCODING || err == WH_EFORMAT) {
        wh_buf_reset(&json);
        wh_buf_append_str(&json, "{\"data_b64\":\"");
        wh_base64_encode(WH_BASE64_STANDARD, payload->bytes, &json);
        wh_buf_append_str(&json, "\"}");
        err = WH_OK;
    }
    if (!err)
        err = wh_buf_error(&json);
    if (!err) {
        payload->kind = WH_PAYLOAD_JSON;
        payload->bytes = wh_arena_copy(arena, wh_buf_slice(&json));
        err = payload->bytes.ptr ? WH_OK : WH_ENOMEM;
    }
    wh_buf_deinit(&json);
    return err;
}

static enum wh_err show_payloads(const struct wh_schema *schema, void *at, struct wh_arena *arena);

static enum wh_err show_items(const struct wh_schema *schema,
                              void *items,
                              size_t count,
                              struct wh_arena *arena)
{
    enum wh_err err = WH_OK;
    for (size_t i = 0; i < count && !err; i++)
        err = show_payloads(schema, (char *)items + i * schema->size, arena);
    return err;
}

typedef WH_MESSAGES(void) any_messages;
typedef WH_MESSAGE_MAP(void) any_message_map;

/* The depth is that of the tables, which the decoder has bounded. */
static enum wh_err show_payloads(const struct wh_schema *schema, void *at, struct wh_arena *arena)
{
    enum wh_err err = WH_OK;
    for (size_t i = 0; i < schema->field_count && !err; i++) {
        const struct wh_field *field = &schema->fields[i];
        void *value = (char *)at + field->offset;
        if (field->type == WH_FIELD_PAYLOAD) {
            err = show_payload(value, arena);
        } else if (field->type == WH_FIELD_MESSAGE) {
            void *message = *(void **)value;
            err = message ? show_payloads(field->schema, message, arena) : WH_OK;
        } else if (field->type == WH_FIELD_MESSAGES) {
            any_messages *list = value;
            err = show_items(field->schema, list->items, list->count, arena);
        } else if (field->type == WH_FIELD_MESSAGE_MAP) {
            any_message_map *map = value;
            err = show_items(field->schema, map->values, map->count, arena);
        }
    }
    return err;
}

/* ---- messages ---- */

static enum wh_err read_as(enum wh_encoding encoding,
                           enum frame_side side,
                           struct wh_slice *rest,
                           struct wh_arena *arena,
                           struct frame_message *out)
{
    const struct wh_schema *schema =
        side == FRAME_SIDE_COMMAND ? &wh_command_schema : &wh_reply_schema;
    void *message = wh_arena_alloc(arena, schema->size);
    struct wh_slice left = *rest;
    struct wh_buf json = {0};
    enum wh_err err = message ? wh_decode(encoding, schema, &left, arena, message) : WH_ENOMEM;
    if (!err)
        err = show_payloads(schema, message, arena);
    if (!err)
        err = wh_encode(WH_ENCODING_JSON, schema, message, 0, &json);
    if (!err) {
        *out = (struct frame_message){side, wh_arena_copy(arena, wh_buf_slice(&json))};
        err = out->json.ptr ? WH_OK : WH_ENOMEM;
    }
    if (!err)
        *rest = left;
    wh_buf_deinit(&json);
    return err;
}

enum wh_err frame_next(enum wh_encoding encoding,
                       enum frame_side side,
                       struct wh_slice *rest,
                       struct wh_arena *arena,
                       struct frame_message *out_message)
{
    struct frame_message command, reply;
    struct wh_slice after_command = *rest, after_reply = *rest;
    if (side != FRAME_SIDE_AUTO)
        return read_as(encoding, side, rest, arena, out_message);
    enum wh_err command_err =
        read_as(encoding, FRAME_SIDE_COMMAND, &after_command, arena, &command);
    enum wh_err reply_err = read_as(encoding, FRAME_SIDE_REPLY, &after_reply, arena, &reply);
    if (command_err && reply_err)
        return reply_err;
    bool is_command = reply_err || (!command_err && command.json.len > reply.json.len);
    *rest = is_command ? after_command : after_reply;
    *out_message = is_command ? command : reply;
    return WH_OK;
}

static bool reads_as(struct wh_slice frame,
                     enum wh_encoding encoding,
                     enum frame_side side,
                     struct wh_arena *arena)
{
    struct frame_message message;
    enum wh_err err;
    size_t kept = 0;
    while ((err = frame_next(encoding, side, &frame, arena, &message)) == WH_OK)
        kept += message.json.len > sizeof("{}") - 1;
    return err == WH_EEND && kept > 0;
}

enum wh_err frame_guess(struct wh_slice frame,
                        enum frame_side side,
                        struct wh_arena *arena,
                        enum wh_encoding *out_encoding)
{
    static const enum wh_encoding order[] = {WH_ENCODING_JSON, WH_ENCODING_MSGPACK,
                                             WH_ENCODING_PROTOBUF};
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        if (reads_as(frame, order[i], side, arena)) {
            *out_encoding = order[i];
            return WH_OK;
        }
    }
    /* Pings, which say nothing: {} in JSON, 0x80 in MessagePack, 0x00 in Protobuf. */
    if (frame.len > 0 && (frame.ptr[0] == '{' || frame.ptr[0] == '\0' || frame.ptr[0] == '\x80')) {
        *out_encoding = frame.ptr[0] == '{'    ? WH_ENCODING_JSON
                        : frame.ptr[0] == '\0' ? WH_ENCODING_PROTOBUF
                                               : WH_ENCODING_MSGPACK;
        return WH_OK;
    }
    return WH_EFORMAT;
}
