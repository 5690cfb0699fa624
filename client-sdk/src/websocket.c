#include "client-sdk/src/websocket.h"

#include "common/base/random.h"
#include "common/base/utf8.h"

enum { FIN = 0x80, RSV = 0x70, OPCODE = 0x0f, MASKED = 0x80, LENGTH = 0x7f };
enum { LENGTH_16 = 126, LENGTH_64 = 127, REASON_BYTES_MAX = WS_CONTROL_BYTES_MAX - 2 };

void ws_reader_init(struct ws_reader *reader, struct message_pool *pool, size_t message_bytes_max)
{
    *reader = (struct ws_reader){.pool = pool, .limit = message_bytes_max};
    wh_buf_init(&reader->fragments, message_bytes_max);
}

void ws_reader_deinit(struct ws_reader *reader)
{
    message_unref(reader->message);
    wh_buf_deinit(&reader->fragments);
    *reader = (struct ws_reader){0};
}

static void broken(struct ws_event *event, uint16_t code, const char *why)
{
    event->kind = WS_EVENT_BROKEN;
    event->code = code;
    event->why = why;
}

/* ---- headers ------------------------------------------------------------------------------- */

static size_t header_size(uint8_t second)
{
    uint8_t length = second & LENGTH;
    return length == LENGTH_16 ? 4 : length == LENGTH_64 ? 10 : 2;
}

static uint64_t read_length(const uint8_t *header, size_t size)
{
    uint64_t length = 0;
    if (size == 2)
        return header[1] & LENGTH;
    for (size_t i = 2; i < size; i++)
        length = length << 8 | header[i];
    return length;
}

static bool is_shortest(uint64_t length, size_t size)
{
    return size == 2 || (size == 4 ? length >= LENGTH_16 : length > UINT16_MAX);
}

/* What §5.2 to §5.5 forbid; NULL = nothing of it. */
static const char *find_fault(const struct ws_reader *reader, uint64_t length, size_t size)
{
    uint8_t first = reader->header[0], opcode = first & OPCODE;
    if (first & RSV)
        return "reserved bits are set and no extension was agreed on";
    if (reader->header[1] & MASKED)
        return "a frame of a server is masked";
    if (!is_shortest(length, size))
        return "a length is not in its shortest form";
    if (opcode >= WS_CLOSE) {
        if (opcode > WS_PONG)
            return "a control frame of an unknown kind";
        if (!(first & FIN))
            return "a control frame in fragments";
        return length > WS_CONTROL_BYTES_MAX ? "a control frame longer than 125 bytes" : NULL;
    }
    if (opcode > WS_BINARY)
        return "a frame of an unknown kind";
    if (opcode == WS_CONTINUATION && !reader->has_fragments)
        return "a continuation of nothing";
    if (opcode != WS_CONTINUATION && reader->has_fragments)
        return "a new message before the last one ended";
    if (length >> 63)
        return "a length beyond 2^63";
    return NULL;
}

static void begin_frame(struct ws_reader *reader, size_t size, struct ws_event *event)
{
    uint64_t length = read_length(reader->header, size);
    uint8_t opcode = reader->header[0] & OPCODE;
    const char *fault = find_fault(reader, length, size);
    if (fault) {
        broken(event, WS_STATUS_PROTOCOL_ERROR, fault);
        return;
    }
    reader->header_len = 0;
    reader->is_final = (reader->header[0] & FIN) != 0;
    reader->opcode = opcode;
    reader->is_in_frame = true;
    reader->control_len = 0;
    if (opcode < WS_CLOSE) {
        if (length > reader->limit - reader->fragments.len) {
            event->kind = WS_EVENT_TOO_BIG;
            return;
        }
        if (opcode != WS_CONTINUATION)
            reader->is_text = opcode == WS_TEXT;
        reader->message = message_new(reader->pool, (size_t)length, reader->is_text);
        reader->filled = 0;
        if (!reader->message)
            event->kind = WS_EVENT_NO_MEMORY;
    }
    reader->left = (size_t)length;
}

/* false = bytes are used up, or `event` says what is wrong. */
static bool read_header(struct ws_reader *reader, struct wh_slice *bytes, struct ws_event *event)
{
    for (;;) {
        size_t size = reader->header_len < 2 ? 2 : header_size(reader->header[1]);
        size_t missing = size - reader->header_len;
        size_t count = bytes->len < missing ? bytes->len : missing;
        if (count > 0)
            memcpy(reader->header + reader->header_len, bytes->ptr, count);
        reader->header_len += (uint8_t)count;
        *bytes = wh_slice_from(*bytes, count);
        if (count < missing)
            return false;
        if (size == 2 && header_size(reader->header[1]) > 2)
            continue;
        begin_frame(reader, size, event);
        return event->kind == WS_EVENT_NONE;
    }
}

/* ---- payloads ------------------------------------------------------------------------------ */

static void end_control(struct ws_reader *reader, struct ws_event *event)
{
    struct wh_slice payload = wh_slice(reader->control, reader->control_len);
    event->payload = payload;
    if (reader->opcode == WS_PING) {
        event->kind = WS_EVENT_PING;
        return;
    }
    if (reader->opcode == WS_PONG) {
        event->kind = WS_EVENT_PONG;
        return;
    }
    event->kind = WS_EVENT_CLOSE;
    event->code = WS_STATUS_NONE;
    if (payload.len == 0)
        return;
    if (payload.len == 1) {
        broken(event, WS_STATUS_PROTOCOL_ERROR, "a close frame with half a code");
        return;
    }
    const uint8_t *code = (const uint8_t *)payload.ptr;
    event->code = (uint16_t)(code[0] << 8 | code[1]);
    event->payload = wh_slice(payload.ptr + 2, payload.len - 2);
    /* Codes that §7.4 does not give out yet are passed on: the client protocol has its own. */
    if (event->code < 1000 || (event->code >= 1004 && event->code <= 1006) || event->code == 1015)
        broken(event, WS_STATUS_PROTOCOL_ERROR, "a close frame with a code that is never sent");
    else if (!wh_utf8_is_valid(event->payload))
        broken(event, WS_STATUS_BAD_TEXT, "a close frame whose reason is no UTF-8");
}

/* Fragments gather in a buffer: their sum is known with the last one. */
static bool join_fragments(struct ws_reader *reader, struct ws_event *event)
{
    struct message *part = reader->message;
    WH_ASSERT(part);
    wh_buf_append(&reader->fragments, part->bytes, part->len);
    message_unref(part);
    reader->message = NULL;
    reader->has_fragments = !reader->is_final;
    if (wh_buf_error(&reader->fragments) != WH_OK) {
        event->kind = WS_EVENT_NO_MEMORY;
        return false;
    }
    if (!reader->is_final)
        return false;
    struct wh_slice whole = wh_buf_slice(&reader->fragments);
    reader->message = message_new(reader->pool, whole.len, reader->is_text);
    if (!reader->message) {
        event->kind = WS_EVENT_NO_MEMORY;
        return false;
    }
    if (whole.len > 0)
        memcpy(reader->message->bytes, whole.ptr, whole.len);
    wh_buf_deinit(&reader->fragments);
    wh_buf_init(&reader->fragments, reader->limit);
    return true;
}

static void end_data(struct ws_reader *reader, struct ws_event *event)
{
    if ((!reader->is_final || reader->has_fragments) && !join_fragments(reader, event))
        return;
    struct message *message = reader->message;
    if (message->is_text && !wh_utf8_is_valid(wh_slice(message->bytes, message->len))) {
        broken(event, WS_STATUS_BAD_TEXT, "a text message that is no UTF-8");
        return;
    }
    reader->message = NULL;
    event->message = message;
    event->kind = WS_EVENT_MESSAGE;
}

static void read_payload(struct ws_reader *reader, struct wh_slice *bytes, struct ws_event *event)
{
    size_t count = bytes->len < reader->left ? bytes->len : reader->left;
    bool is_control = reader->opcode >= WS_CLOSE;
    WH_ASSERT(is_control || reader->message);
    if (count > 0 && is_control)
        memcpy(reader->control + reader->control_len, bytes->ptr, count);
    else if (count > 0)
        memcpy(reader->message->bytes + reader->filled, bytes->ptr, count);
    if (is_control)
        reader->control_len += (uint8_t)count;
    else
        reader->filled += count;
    reader->left -= count;
    *bytes = wh_slice_from(*bytes, count);
    if (reader->left > 0)
        return;
    reader->is_in_frame = false;
    if (is_control)
        end_control(reader, event);
    else
        end_data(reader, event);
}

void ws_read(struct ws_reader *reader, struct wh_slice *bytes, struct ws_event *out_event)
{
    *out_event = (struct ws_event){.kind = WS_EVENT_NONE};
    if (reader->has_ended)
        *bytes = WH_SLICE_ABSENT;
    while (out_event->kind == WS_EVENT_NONE && bytes->len > 0)
        if (reader->is_in_frame || read_header(reader, bytes, out_event))
            read_payload(reader, bytes, out_event);
    reader->has_ended = reader->has_ended || out_event->kind >= WS_EVENT_TOO_BIG;
}

/* ---- writing ------------------------------------------------------------------------------- */

static void mask(char *out, const char *in, size_t len, uint32_t key)
{
    uint64_t wide = (uint64_t)key << 32 | key, word;
    size_t i = 0;
    for (; len - i >= sizeof word; i += sizeof word) {
        memcpy(&word, in + i, sizeof word);
        word ^= wide;
        memcpy(out + i, &word, sizeof word);
    }
    const unsigned char *bytes = (const unsigned char *)&key;
    for (; i < len; i++)
        out[i] = (char)((unsigned char)in[i] ^ bytes[i & 3]);
}

void ws_write(struct wh_buf *out, uint8_t opcode, struct wh_slice payload)
{
    uint8_t header[WS_HEADER_BYTES_MAX + 4] = {(uint8_t)(FIN | opcode)};
    size_t size = payload.len < LENGTH_16 ? 2 : payload.len <= UINT16_MAX ? 4 : 10;
    uint32_t key;
    header[1] = (uint8_t)(MASKED | (size == 2   ? payload.len
                                    : size == 4 ? (size_t)LENGTH_16
                                                : (size_t)LENGTH_64));
    for (size_t i = size, left = payload.len; size > 2 && i > 2; left >>= 8)
        header[--i] = (uint8_t)left;
    wh_random_bytes(&key, sizeof key);
    memcpy(header + size, &key, sizeof key);
    wh_buf_append(out, header, size + sizeof key);
    char *room = wh_buf_reserve(out, payload.len);
    if (!room)
        return;
    mask(room, payload.ptr, payload.len, key);
    wh_buf_commit(out, payload.len);
}

void ws_write_close(struct wh_buf *out, uint16_t code, struct wh_slice reason)
{
    char payload[WS_CONTROL_BYTES_MAX] = {(char)(code >> 8), (char)code};
    size_t len = 0;
    if (code == WS_STATUS_NONE) {
        ws_write(out, WS_CLOSE, WH_SLICE_LITERAL(""));
        return;
    }
    while (len < reason.len) { /* whole characters */
        size_t step = wh_utf8_next(wh_slice(reason.ptr + len, reason.len - len));
        if (step == 0 || len + step > REASON_BYTES_MAX)
            break;
        len += step;
    }
    if (len > 0)
        memcpy(payload + 2, reason.ptr, len);
    ws_write(out, WS_CLOSE, wh_slice(payload, len + 2));
}
