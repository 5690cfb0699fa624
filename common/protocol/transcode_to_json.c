/*
 * MessagePack -> JSON in one walk over the bytes.  An explicit stack remembers
 * how many values each open container still expects; in a map an even number
 * means that a key comes next.
 */
#include "common/base/utf8.h"
#include "common/protocol/json.h"
#include "common/protocol/msgpack.h"
#include "common/protocol/transcode.h"

struct open_container {
    bool is_map;
    uint64_t total; /* values, keys included */
    uint64_t left;
};

struct walk {
    struct wh_msgpack_reader reader;
    struct wh_buf *out; /* NULL: only checking */
    struct open_container stack[WH_MSGPACK_DEPTH_MAX];
    unsigned depth;
};

static void put(struct wh_buf *out, const char *text, size_t len)
{
    if (out)
        wh_buf_append(out, text, len);
}

/* RFC 4648 §4, padded, as a JSON string. */
static void put_base64(struct wh_buf *out, struct wh_slice bytes)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    put(out, "\"", 1);
    for (size_t i = 0; out && i < bytes.len; i += 3) {
        size_t count = bytes.len - i < 3 ? bytes.len - i : 3;
        uint32_t group = 0;
        for (size_t j = 0; j < 3; j++)
            group = group << 8 | (j < count ? (unsigned char)bytes.ptr[i + j] : 0);
        char text[4] = {alphabet[group >> 18], alphabet[group >> 12 & 63],
                        count > 1 ? alphabet[group >> 6 & 63] : '=',
                        count > 2 ? alphabet[group & 63] : '='};
        put(out, text, 4);
    }
    put(out, "\"", 1);
}

static enum wh_err put_string(struct wh_buf *out, struct wh_slice text)
{
    if (!wh_utf8_is_valid(text))
        return WH_EFORMAT;
    if (out)
        wh_json_write_string(out, text);
    return WH_OK;
}

static void put_integer(struct wh_buf *out, const struct wh_msgpack_token *token)
{
    if (!out)
        return;
    if (token->type == WH_MSGPACK_UINT)
        wh_buf_append_u64(out, token->u64);
    else
        wh_buf_append_i64(out, token->i64);
}

static enum wh_err put_key(struct wh_buf *out, const struct wh_msgpack_token *token)
{
    switch (token->type) {
    case WH_MSGPACK_STR:
        return put_string(out, token->bytes);
    case WH_MSGPACK_BIN:
        put_base64(out, token->bytes);
        return WH_OK;
    case WH_MSGPACK_UINT:
    case WH_MSGPACK_INT:
        put(out, "\"", 1);
        put_integer(out, token);
        put(out, "\"", 1);
        return WH_OK;
    default:
        return WH_EFORMAT;
    }
}

static enum wh_err put_scalar(struct wh_buf *out, const struct wh_msgpack_token *token)
{
    switch (token->type) {
    case WH_MSGPACK_NIL:
        put(out, "null", 4);
        return WH_OK;
    case WH_MSGPACK_BOOL:
        put(out, token->boolean ? "true" : "false", token->boolean ? 4 : 5);
        return WH_OK;
    case WH_MSGPACK_UINT:
    case WH_MSGPACK_INT:
        put_integer(out, token);
        return WH_OK;
    case WH_MSGPACK_FLOAT:
        if (out)
            wh_json_write_double(out, token->number);
        return WH_OK;
    case WH_MSGPACK_STR:
        return put_string(out, token->bytes);
    case WH_MSGPACK_BIN:
        put_base64(out, token->bytes);
        return WH_OK;
    default: /* an ext: nothing in JSON stands for it */
        return WH_EFORMAT;
    }
}

static enum wh_err open_container(struct walk *walk, const struct wh_msgpack_token *token)
{
    bool is_map = token->type == WH_MSGPACK_MAP;
    if (walk->depth == WH_MSGPACK_DEPTH_MAX)
        return WH_EFORMAT;
    struct open_container *top = &walk->stack[walk->depth++];
    top->is_map = is_map;
    top->total = (uint64_t)token->count * (is_map ? 2 : 1);
    top->left = top->total;
    put(walk->out, is_map ? "{" : "[", 1);
    return WH_OK;
}

/* The comma or colon before the value that comes next; whether that value is a key. */
static bool separate(struct walk *walk)
{
    struct open_container *top = &walk->stack[walk->depth - 1];
    bool is_key = top->is_map && top->left % 2 == 0;
    bool is_member_value = top->is_map && !is_key;
    if (is_member_value)
        put(walk->out, ":", 1);
    else if (top->left != top->total)
        put(walk->out, ",", 1);
    top->left--;
    return is_key;
}

static enum wh_err walk_value(struct walk *walk)
{
    do {
        struct wh_msgpack_token token;
        bool is_key = walk->depth > 0 && separate(walk);
        if (wh_msgpack_next(&walk->reader, &token) != WH_OK)
            return WH_EFORMAT;
        enum wh_err err;
        if (is_key)
            err = put_key(walk->out, &token);
        else if (token.type == WH_MSGPACK_ARRAY || token.type == WH_MSGPACK_MAP)
            err = open_container(walk, &token);
        else
            err = put_scalar(walk->out, &token);
        if (err)
            return err;
        while (walk->depth > 0 && walk->stack[walk->depth - 1].left == 0)
            put(walk->out, walk->stack[--walk->depth].is_map ? "}" : "]", 1);
    } while (walk->depth > 0);
    return WH_OK;
}

enum wh_err wh_msgpack_to_json(struct wh_slice value, struct wh_buf *out)
{
    struct walk walk;
    wh_msgpack_reader_init(&walk.reader, value);
    walk.out = out;
    walk.depth = 0;
    enum wh_err err = walk_value(&walk);
    if (err)
        return err;
    return walk.reader.at == walk.reader.end ? WH_OK : WH_EFORMAT;
}
