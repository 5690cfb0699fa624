/*
 * JSON -> MessagePack in one pull over the text.
 *
 * A MessagePack container says its count first, JSON never does.  One byte is
 * kept for the head; when a container closes with more than 15 entries its
 * content moves up to make room for the longer head.  Each byte moves at most
 * once per level, most never.
 *
 * Of members with equal keys the last counts.  The positions of the members of
 * all open objects are kept on one stack, so that an object can be searched
 * for duplicates, and rid of them, when it closes.
 */
#include "common/protocol/json.h"
#include "common/protocol/msgpack.h"
#include "common/protocol/transcode.h"

#include <stdlib.h>

enum { QUADRATIC_MAX = 16 }; /* up to so many members comparing all pairs beats sorting */

/* Offsets into the output: the encoded key is [at, value_at). */
struct member {
    size_t at;
    size_t value_at; /* 0 once a later member has the same key: a value never starts there */
};

struct open_container {
    bool is_object;
    size_t head_at; /* of the byte kept for the head, in the output */
    size_t count;
    size_t member_base; /* bytes of the member stack that belong to outer containers */
};

struct build {
    struct wh_json_reader reader;
    struct wh_arena arena; /* one unescaped string at a time */
    struct wh_buf *out;
    msgpack_packer packer;
    struct wh_buf members; /* a stack of struct member */
    struct open_container stack[WH_JSON_DEPTH_MAX];
    unsigned depth;
};

static void fail(struct wh_buf *out, enum wh_err err)
{
    if (!out->err)
        out->err = err;
}

static enum wh_err add_number(struct build *build)
{
    struct wh_slice raw;
    uint64_t positive;
    int64_t negative;
    double number = 0;
    enum wh_err err = wh_json_skip(&build->reader, &raw);
    if (err)
        return err;
    struct wh_json_reader digits;
    bool is_plain = true;
    for (size_t i = 0; i < raw.len; i++)
        is_plain = is_plain && raw.ptr[i] != '.' && raw.ptr[i] != 'e' && raw.ptr[i] != 'E';
    wh_json_reader_init(&digits, raw);
    if (is_plain && wh_json_read_u64(&digits, &positive) == WH_OK) {
        msgpack_pack_uint64(&build->packer, positive);
        return WH_OK;
    }
    if (is_plain && wh_json_read_i64(&digits, &negative) == WH_OK) {
        msgpack_pack_int64(&build->packer, negative);
        return WH_OK;
    }
    err = wh_json_read_double(&digits, &number);
    msgpack_pack_double(&build->packer, number);
    return err;
}

static enum wh_err add_bool(struct build *build)
{
    bool value;
    enum wh_err err = wh_json_read_bool(&build->reader, &value);
    if (err)
        return err;
    if (value)
        msgpack_pack_true(&build->packer);
    else
        msgpack_pack_false(&build->packer);
    return WH_OK;
}

static enum wh_err add_string(struct build *build)
{
    struct wh_slice text;
    enum wh_err err = wh_json_read_string(&build->reader, &build->arena, &text);
    if (err)
        return err;
    wh_msgpack_pack_str(&build->packer, text);
    wh_arena_reset(&build->arena);
    return WH_OK;
}

static enum wh_err open_container(struct build *build, enum wh_json_type type)
{
    enum wh_err err = wh_json_enter(&build->reader, type);
    if (err)
        return err;
    build->stack[build->depth++] = (struct open_container){
        .is_object = type == WH_JSON_OBJECT,
        .head_at = build->out->len,
        .member_base = build->members.len,
    };
    wh_buf_append_char(build->out, '\0');
    return WH_OK;
}

static enum wh_err add_value(struct build *build)
{
    enum wh_json_type type;
    enum wh_err err = wh_json_peek(&build->reader, &type);
    if (err)
        return err;
    switch (type) {
    case WH_JSON_NULL:
        msgpack_pack_nil(&build->packer);
        return wh_json_read_null(&build->reader);
    case WH_JSON_BOOL:
        return add_bool(build);
    case WH_JSON_NUMBER:
        return add_number(build);
    case WH_JSON_STRING:
        return add_string(build);
    case WH_JSON_ARRAY:
    case WH_JSON_OBJECT:
        break;
    }
    return open_container(build, type);
}

/* Duplicates */

static int compare_positions(const void *a, const void *b)
{
    const struct member *left = a;
    const struct member *right = b;
    return (left->at > right->at) - (left->at < right->at);
}

/* By encoded key, then by position. */
static int compare_keys(const void *a, const void *b, void *bytes)
{
    const struct member *left = a;
    const struct member *right = b;
    size_t left_len = left->value_at - left->at;
    size_t right_len = right->value_at - right->at;
    if (left_len != right_len)
        return left_len < right_len ? -1 : 1;
    int order = memcmp((char *)bytes + left->at, (char *)bytes + right->at, left_len);
    return order != 0 ? order : compare_positions(a, b);
}

static bool has_same_key(const char *bytes, const struct member *a, const struct member *b)
{
    size_t len = a->value_at - a->at;
    return len == b->value_at - b->at && memcmp(bytes + a->at, bytes + b->at, len) == 0;
}

/* Mark each member that a later one overrides; whether there was any. */
static bool mark_few(const char *bytes, struct member *members, size_t count)
{
    bool has_marked = false;
    for (size_t i = 0; i + 1 < count; i++) {
        for (size_t j = i + 1; j < count; j++) {
            if (has_same_key(bytes, &members[i], &members[j])) {
                members[i].value_at = 0;
                has_marked = true;
                break;
            }
        }
    }
    return has_marked;
}

static bool mark_many(char *bytes, struct member *members, size_t count)
{
    bool has_marked = false;
    qsort_r(members, count, sizeof(*members), compare_keys, bytes);
    for (size_t i = 0; i + 1 < count; i++) {
        if (has_same_key(bytes, &members[i], &members[i + 1])) {
            members[i].value_at = 0;
            has_marked = true;
        }
    }
    if (has_marked)
        qsort(members, count, sizeof(*members), compare_positions);
    return has_marked;
}

/* Close the gaps that marked members leave; how many members remain. */
static size_t drop_marked(struct wh_buf *out, const struct member *members, size_t count)
{
    size_t kept = 0;
    size_t to = members[0].at;
    for (size_t i = 0; i < count; i++) {
        size_t end = i + 1 < count ? members[i + 1].at : out->len;
        size_t len = end - members[i].at;
        if (members[i].value_at == 0)
            continue;
        memmove(out->ptr + to, out->ptr + members[i].at, len);
        to += len;
        kept++;
    }
    wh_buf_truncate(out, to);
    return kept;
}

/* The stack's bytes are aligned: it is one allocation and every entry has the same size. */
static void drop_duplicates(struct build *build, struct open_container *closing)
{
    struct wh_buf *out = build->out;
    size_t count = closing->count;
    if (count < 2)
        return;
    struct member *members = (struct member *)(void *)(build->members.ptr + closing->member_base);
    bool has_marked = count <= QUADRATIC_MAX ? mark_few(out->ptr, members, count)
                                             : mark_many(out->ptr, members, count);
    if (has_marked)
        closing->count = drop_marked(out, members, count);
}

/* Heads */

static size_t encode_head(const struct open_container *closing, unsigned char head[5])
{
    size_t count = closing->count;
    if (count <= 15) {
        head[0] = (unsigned char)((closing->is_object ? 0x80 : 0x90) | count);
        return 1;
    }
    size_t width = count <= UINT16_MAX ? 2 : 4;
    head[0] = (unsigned char)((closing->is_object ? 0xDE : 0xDC) + (width == 4));
    for (size_t i = 0; i < width; i++)
        head[1 + i] = (unsigned char)(count >> 8 * (width - 1 - i));
    return 1 + width;
}

static void close_container(struct build *build)
{
    struct open_container *closing = &build->stack[--build->depth];
    struct wh_buf *out = build->out;
    unsigned char head[5];
    if (closing->is_object)
        drop_duplicates(build, closing);
    wh_buf_truncate(&build->members, closing->member_base);
    size_t head_len = encode_head(closing, head);
    if (head_len > 1) {
        if (!wh_buf_reserve(out, head_len - 1))
            return;
        char *content = out->ptr + closing->head_at + 1;
        memmove(content + head_len - 1, content, out->len - closing->head_at - 1);
        wh_buf_commit(out, head_len - 1);
    }
    memcpy(out->ptr + closing->head_at, head, head_len);
}

/* Up to where the next value starts; WH_EEND when the containers are all closed. */
static enum wh_err next_value(struct build *build)
{
    while (build->depth > 0 && !build->out->err) {
        struct open_container *top = &build->stack[build->depth - 1];
        struct wh_slice key = WH_SLICE_ABSENT;
        enum wh_err err = top->is_object ? wh_json_next_member(&build->reader, &build->arena, &key)
                                         : wh_json_next_item(&build->reader);
        if (err == WH_EEND) {
            close_container(build);
            continue;
        }
        if (err)
            return err;
        top->count++;
        if (top->is_object) {
            struct member member = {.at = build->out->len};
            wh_msgpack_pack_str(&build->packer, key);
            wh_arena_reset(&build->arena);
            member.value_at = build->out->len;
            wh_buf_append(&build->members, &member, sizeof(member));
            if (build->members.err)
                fail(build->out, WH_ENOMEM);
        }
        return WH_OK;
    }
    return WH_EEND;
}

static enum wh_err build_value(struct build *build)
{
    enum wh_err err;
    do {
        err = add_value(build);
        if (!err)
            err = next_value(build);
    } while (!err);
    if (err == WH_ENOMEM)
        fail(build->out, err);
    if (build->out->err)
        return WH_OK;
    return err == WH_EEND ? wh_json_finish(&build->reader) : WH_EFORMAT;
}

enum wh_err wh_json_to_msgpack(struct wh_slice text, struct wh_buf *out)
{
    struct build build;
    wh_json_reader_init(&build.reader, text);
    wh_arena_init(&build.arena, 0);
    wh_buf_init(&build.members, 0);
    build.out = out;
    build.depth = 0;
    wh_msgpack_packer_init(&build.packer, out);
    enum wh_err err = build_value(&build);
    wh_buf_deinit(&build.members);
    wh_arena_deinit(&build.arena);
    return err;
}
