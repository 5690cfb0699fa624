/*
 * One table says what each first byte means and how many bytes of length or
 * value follow it, so that truncation is checked in one place.
 */
#include "common/protocol/msgpack.h"

void wh_msgpack_reader_init(struct wh_msgpack_reader *reader, struct wh_slice bytes)
{
    static const unsigned char nothing[1] = {0};
    reader->at = bytes.ptr ? (const unsigned char *)bytes.ptr : nothing;
    reader->end = reader->at + bytes.len;
}

enum head_kind {
    HEAD_INVALID,
    HEAD_NIL,
    HEAD_FALSE,
    HEAD_TRUE,
    HEAD_UINT,
    HEAD_INT,
    HEAD_FLOAT32,
    HEAD_FLOAT64,
    HEAD_STR,
    HEAD_BIN,
    HEAD_EXT,
    HEAD_FIXEXT, /* the length is 1 << (first - 0xD4) */
    HEAD_ARRAY,
    HEAD_MAP
};

/* For 0xC0 … 0xDF; the rest of the first bytes hold their value in themselves. */
static const struct head {
    unsigned char kind;
    unsigned char width; /* bytes of length or value behind the first byte */
} heads[32] = {
    {HEAD_NIL, 0},     {HEAD_INVALID, 0}, {HEAD_FALSE, 0},  {HEAD_TRUE, 0},   {HEAD_BIN, 1},
    {HEAD_BIN, 2},     {HEAD_BIN, 4},     {HEAD_EXT, 1},    {HEAD_EXT, 2},    {HEAD_EXT, 4},
    {HEAD_FLOAT32, 4}, {HEAD_FLOAT64, 8}, {HEAD_UINT, 1},   {HEAD_UINT, 2},   {HEAD_UINT, 4},
    {HEAD_UINT, 8},    {HEAD_INT, 1},     {HEAD_INT, 2},    {HEAD_INT, 4},    {HEAD_INT, 8},
    {HEAD_FIXEXT, 0},  {HEAD_FIXEXT, 0},  {HEAD_FIXEXT, 0}, {HEAD_FIXEXT, 0}, {HEAD_FIXEXT, 0},
    {HEAD_STR, 1},     {HEAD_STR, 2},     {HEAD_STR, 4},    {HEAD_ARRAY, 2},  {HEAD_ARRAY, 4},
    {HEAD_MAP, 2},     {HEAD_MAP, 4},
};

static uint64_t big_endian(const unsigned char *at, unsigned width)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < width; i++)
        value = value << 8 | at[i];
    return value;
}

/* Two's complement: a set top bit goes on to the left for ever. */
static int64_t big_endian_signed(const unsigned char *at, unsigned width)
{
    uint64_t bits = at[0] & 0x80 ? UINT64_MAX : 0;
    int64_t value;
    for (unsigned i = 0; i < width; i++)
        bits = bits << 8 | at[i];
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* Take `len` bytes (behind `extra` that are skipped) as the token's content. */
static enum wh_err take_bytes(struct wh_msgpack_reader *reader,
                              enum wh_msgpack_type type,
                              uint64_t extra,
                              uint64_t len,
                              struct wh_msgpack_token *out)
{
    uint64_t left = (uint64_t)(reader->end - reader->at);
    if (left < extra || left - extra < len)
        return WH_EFORMAT;
    *out =
        (struct wh_msgpack_token){.type = type, .bytes = wh_slice(reader->at + extra, (size_t)len)};
    reader->at += extra + len;
    return WH_OK;
}

/* Each item takes a byte at least, each pair two: a count beyond that is a lie. */
static enum wh_err take_count(struct wh_msgpack_reader *reader,
                              enum wh_msgpack_type type,
                              uint64_t count,
                              struct wh_msgpack_token *out)
{
    uint64_t left = (uint64_t)(reader->end - reader->at);
    if (count > left / (type == WH_MSGPACK_MAP ? 2 : 1))
        return WH_EFORMAT;
    *out = (struct wh_msgpack_token){.type = type, .count = (uint32_t)count};
    return WH_OK;
}

static enum wh_err set_int(int64_t value, struct wh_msgpack_token *out)
{
    if (value < 0)
        *out = (struct wh_msgpack_token){.type = WH_MSGPACK_INT, .i64 = value};
    else
        *out = (struct wh_msgpack_token){.type = WH_MSGPACK_UINT, .u64 = (uint64_t)value};
    return WH_OK;
}

static enum wh_err set_float(uint64_t bits, bool is_float32, struct wh_msgpack_token *out)
{
    *out = (struct wh_msgpack_token){.type = WH_MSGPACK_FLOAT};
    if (is_float32) {
        uint32_t narrow = (uint32_t)bits;
        float value;
        memcpy(&value, &narrow, sizeof(value));
        out->number = (double)value;
    } else {
        memcpy(&out->number, &bits, sizeof(out->number));
    }
    return WH_OK;
}

/* First bytes 0xC0 … 0xDF, the reader standing behind it. */
static enum wh_err next_headed(struct wh_msgpack_reader *reader,
                               unsigned char first,
                               struct wh_msgpack_token *out)
{
    struct head head = heads[first - 0xC0];
    if (reader->end - reader->at < head.width)
        return WH_EFORMAT;
    uint64_t value = big_endian(reader->at, head.width);
    reader->at += head.width;
    switch ((enum head_kind)head.kind) {
    case HEAD_NIL:
        *out = (struct wh_msgpack_token){.type = WH_MSGPACK_NIL};
        return WH_OK;
    case HEAD_FALSE:
    case HEAD_TRUE:
        *out =
            (struct wh_msgpack_token){.type = WH_MSGPACK_BOOL, .boolean = head.kind == HEAD_TRUE};
        return WH_OK;
    case HEAD_UINT:
        *out = (struct wh_msgpack_token){.type = WH_MSGPACK_UINT, .u64 = value};
        return WH_OK;
    case HEAD_INT:
        return set_int(big_endian_signed(reader->at - head.width, head.width), out);
    case HEAD_FLOAT32:
    case HEAD_FLOAT64:
        return set_float(value, head.kind == HEAD_FLOAT32, out);
    case HEAD_STR:
        return take_bytes(reader, WH_MSGPACK_STR, 0, value, out);
    case HEAD_BIN:
        return take_bytes(reader, WH_MSGPACK_BIN, 0, value, out);
    case HEAD_EXT:
        return take_bytes(reader, WH_MSGPACK_EXT, 1, value, out);
    case HEAD_FIXEXT:
        return take_bytes(reader, WH_MSGPACK_EXT, 1, (uint64_t)1 << (first - 0xD4), out);
    case HEAD_ARRAY:
        return take_count(reader, WH_MSGPACK_ARRAY, value, out);
    case HEAD_MAP:
        return take_count(reader, WH_MSGPACK_MAP, value, out);
    case HEAD_INVALID:
        break;
    }
    return WH_EFORMAT;
}

enum wh_err wh_msgpack_next(struct wh_msgpack_reader *reader, struct wh_msgpack_token *out)
{
    if (reader->at == reader->end)
        return WH_EEND;
    unsigned char first = *reader->at++;
    if (first < 0x80 || first >= 0xE0)
        return set_int(first < 0x80 ? first : first - 0x100, out);
    if (first < 0x90)
        return take_count(reader, WH_MSGPACK_MAP, first & 0x0F, out);
    if (first < 0xA0)
        return take_count(reader, WH_MSGPACK_ARRAY, first & 0x0F, out);
    if (first < 0xC0)
        return take_bytes(reader, WH_MSGPACK_STR, 0, first & 0x1F, out);
    return next_headed(reader, first, out);
}

enum wh_err wh_msgpack_skip(struct wh_msgpack_reader *reader,
                            unsigned depth_max,
                            struct wh_slice *out_raw)
{
    const unsigned char *start = reader->at;
    uint64_t left[WH_MSGPACK_DEPTH_MAX + 1]; /* values still to come at each depth */
    unsigned depth = 0;
    left[0] = 1;
    while (left[depth] > 0 || depth > 0) {
        struct wh_msgpack_token token;
        if (left[depth] == 0) {
            depth--;
            continue;
        }
        left[depth]--;
        if (wh_msgpack_next(reader, &token) != WH_OK)
            return WH_EFORMAT;
        if (token.type == WH_MSGPACK_ARRAY || token.type == WH_MSGPACK_MAP) {
            if (depth == depth_max || depth == WH_MSGPACK_DEPTH_MAX)
                return WH_EFORMAT;
            left[++depth] = (uint64_t)token.count * (token.type == WH_MSGPACK_MAP ? 2 : 1);
        }
    }
    if (out_raw)
        *out_raw = wh_slice(start, (size_t)(reader->at - start));
    return WH_OK;
}

static int append_packed(void *buf, const char *bytes, size_t len)
{
    wh_buf_append(buf, bytes, len);
    return 0;
}

void wh_msgpack_packer_init(msgpack_packer *packer, struct wh_buf *buf)
{
    msgpack_packer_init(packer, buf, append_packed);
}
