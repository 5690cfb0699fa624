#include "rpc_envelope.h"

#include <string.h>
#include <time.h>

enum { DEADLINE_MS = 5000 };

/* Writing */

static char *put_text(char *out, const char *text)
{
    size_t length = strlen(text);
    *out++ = (char)0xd9; /* str 8 */
    *out++ = (char)length;
    memcpy(out, text, length);
    return out + length;
}

static char *put_number(char *out, uint64_t number)
{
    *out++ = (char)0xcf; /* uint 64 */
    for (int shift = 56; shift >= 0; shift -= 8) {
        *out++ = (char)(number >> shift);
    }
    return out;
}

static char *put_payload(char *out, unsigned kind, struct bytes payload)
{
    *out++ = (char)0x92; /* array of 2 */
    *out++ = (char)kind;
    *out++ = (char)0xc5; /* bin 16 */
    *out++ = (char)(payload.length >> 8);
    *out++ = (char)payload.length;
    memcpy(out, payload.at, payload.length);
    return out + payload.length;
}

void payload_fill(char *out, size_t size)
{
    memset(out, 'x', size);
    memcpy(out, "{\"pad\":\"", 8);
    memcpy(out + size - 2, "\"}", 2);
}

size_t envelope_call(char *out,
                     uint64_t id,
                     const char *method,
                     const char *reply,
                     struct bytes params)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    char *at = out;
    *at++ = (char)0x89; /* map of 9 */
    at = put_text(at, "v");
    *at++ = 1;
    at = put_number(put_text(at, "id"), id);
    at = put_text(put_text(at, "method"), method);
    at = put_payload(put_text(at, "params"), 1, params);
    at = put_text(put_text(at, "user"), "");
    at = put_text(put_text(at, "client"), "");
    at = put_number(put_text(at, "sent_ms"), now_ms);
    at = put_number(put_text(at, "deadline_ms"), now_ms + DEADLINE_MS);
    at = put_text(put_text(at, "reply"), reply);
    return (size_t)(at - out);
}

size_t envelope_answer(char *out, uint64_t id, unsigned kind, struct bytes data)
{
    char *at = out;
    *at++ = (char)0x82; /* map of 2 */
    at = put_number(put_text(at, "id"), id);
    at = put_payload(put_text(at, "data"), kind, data);
    return (size_t)(at - out);
}

/* Reading */

struct reader {
    const unsigned char *at, *end;
    bool is_bad;
};

static uint64_t take_big_endian(struct reader *reader, unsigned count)
{
    uint64_t number = 0;
    if (reader->end - reader->at < (ptrdiff_t)count) {
        reader->is_bad = true;
        return 0;
    }
    for (unsigned i = 0; i < count; i++) {
        number = number << 8 | *reader->at++;
    }
    return number;
}

/* A value's first byte and what it says: a number, or the length or count of what follows. */
struct head {
    enum { HEAD_NUMBER, HEAD_BYTES, HEAD_ARRAY, HEAD_MAP, HEAD_OTHER } type;
    uint64_t value;
};

static struct head take_head(struct reader *reader)
{
    unsigned byte = (unsigned)take_big_endian(reader, 1);
    struct head head = {HEAD_OTHER, 0};
    if (byte < 0x80) {
        head = (struct head){HEAD_NUMBER, byte};
    } else if (byte < 0xa0) {
        head = (struct head){byte < 0x90 ? HEAD_MAP : HEAD_ARRAY, byte & 15};
    } else if (byte < 0xc0) {
        head = (struct head){HEAD_BYTES, byte & 31};
    } else if (byte >= 0xc4 && byte <= 0xc6) {
        head = (struct head){HEAD_BYTES, take_big_endian(reader, 1U << (byte - 0xc4))};
    } else if (byte >= 0xcc && byte <= 0xcf) {
        head = (struct head){HEAD_NUMBER, take_big_endian(reader, 1U << (byte - 0xcc))};
    } else if (byte >= 0xd9 && byte <= 0xdb) {
        head = (struct head){HEAD_BYTES, take_big_endian(reader, 1U << (byte - 0xd9))};
    } else if (byte == 0xdc || byte == 0xdd) {
        head = (struct head){HEAD_ARRAY, take_big_endian(reader, byte == 0xdc ? 2 : 4)};
    } else if (byte == 0xde || byte == 0xdf) {
        head = (struct head){HEAD_MAP, take_big_endian(reader, byte == 0xde ? 2 : 4)};
    } else if (byte != 0xc0 && byte != 0xc2 && byte != 0xc3) {
        reader->is_bad = true; /* no member of ours is a float, an extension or negative */
    }
    if (head.type == HEAD_BYTES && head.value > (uint64_t)(reader->end - reader->at)) {
        reader->is_bad = true;
    }
    return head;
}

static struct bytes take_bytes(struct reader *reader)
{
    struct head head = take_head(reader);
    struct bytes bytes = {(const char *)reader->at, head.value};
    if (head.type != HEAD_BYTES || reader->is_bad) {
        reader->is_bad = true;
        return (struct bytes){NULL, 0};
    }
    reader->at += head.value;
    return bytes;
}

static uint64_t take_number(struct reader *reader)
{
    struct head head = take_head(reader);
    reader->is_bad = reader->is_bad || head.type != HEAD_NUMBER;
    return head.value;
}

static void skip(struct reader *reader)
{
    for (uint64_t left = 1; left > 0 && !reader->is_bad; left--) {
        struct head head = take_head(reader);
        if (head.type == HEAD_BYTES && !reader->is_bad) {
            reader->at += head.value;
        } else if (head.type == HEAD_ARRAY) {
            left += head.value;
        } else if (head.type == HEAD_MAP) {
            left += 2 * head.value;
        }
    }
}

static bool is(struct bytes name, const char *text)
{
    return name.length == strlen(text) && memcmp(name.at, text, name.length) == 0;
}

static void take_member(struct reader *reader, struct envelope *envelope)
{
    struct bytes name = take_bytes(reader);
    if (reader->is_bad) {
        return;
    }
    if (is(name, "id")) {
        envelope->id = take_number(reader);
    } else if (is(name, "deadline_ms")) {
        envelope->deadline_ms = take_number(reader);
    } else if (is(name, "method")) {
        envelope->method = take_bytes(reader);
    } else if (is(name, "reply")) {
        envelope->reply = take_bytes(reader);
    } else if (is(name, "params") || is(name, "data")) {
        struct head pair = take_head(reader);
        reader->is_bad = reader->is_bad || pair.type != HEAD_ARRAY || pair.value != 2;
        envelope->kind = (unsigned)take_number(reader);
        envelope->payload = take_bytes(reader);
    } else {
        envelope->is_error = envelope->is_error || is(name, "error");
        skip(reader);
    }
}

bool envelope_take(const char **at, const char *end, struct envelope *out_envelope)
{
    struct reader reader = {(const unsigned char *)*at, (const unsigned char *)end, false};
    struct envelope envelope = {0};
    struct head map = take_head(&reader);
    reader.is_bad = reader.is_bad || map.type != HEAD_MAP;
    for (uint64_t i = 0; i < map.value && !reader.is_bad; i++) {
        take_member(&reader, &envelope);
    }
    if (reader.is_bad) {
        return false;
    }
    *at = (const char *)reader.at;
    *out_envelope = envelope;
    return true;
}
