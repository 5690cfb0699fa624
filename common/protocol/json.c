/*
 * The reader walks one text with a pointer and a depth; it keeps no tree and
 * no stack but, while skipping a value, one bit per open container (depth is
 * at most 64, so they fit one word).  Every string that passes is checked to
 * be UTF-8 without control characters; outside strings the grammar admits
 * ASCII only, so a text that was read to its end is UTF-8 throughout.
 *
 * A lone surrogate escape ("\ud800") is grammatical JSON and browsers do send
 * it.  It is accepted; the unescaped string holds U+FFFD in its place, and a
 * raw slice keeps the escape as it was written.
 *
 * Numbers (their grammar and value) are in json_number.c, writing in
 * json_write.c.
 */
#include "common/protocol/json.h"

#include "common/base/utf8.h"
#include "common/protocol/json_scan.h"

void wh_json_reader_init(struct wh_json_reader *reader, struct wh_slice text)
{
    static const char nothing[1] = {0};
    reader->at = text.ptr ? text.ptr : nothing;
    reader->end = reader->at + text.len;
    reader->depth = 0;
    reader->is_fresh = false;
}

static const char *skip_space(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
        at++;
    return at;
}

static bool type_of(char first, enum wh_json_type *out_type)
{
    switch (first) {
    case '{':
        *out_type = WH_JSON_OBJECT;
        return true;
    case '[':
        *out_type = WH_JSON_ARRAY;
        return true;
    case '"':
        *out_type = WH_JSON_STRING;
        return true;
    case 't':
    case 'f':
        *out_type = WH_JSON_BOOL;
        return true;
    case 'n':
        *out_type = WH_JSON_NULL;
        return true;
    default:
        *out_type = WH_JSON_NUMBER;
        return first == '-' || (first >= '0' && first <= '9');
    }
}

enum wh_err wh_json_peek(struct wh_json_reader *reader, enum wh_json_type *out_type)
{
    enum wh_json_type type;
    reader->at = skip_space(reader->at, reader->end);
    if (reader->at == reader->end || !type_of(*reader->at, &type))
        return WH_EFORMAT;
    *out_type = type;
    return WH_OK;
}

/* Position on the value, which must be of this type. */
static enum wh_err expect(struct wh_json_reader *reader, enum wh_json_type type)
{
    enum wh_json_type found;
    enum wh_err err = wh_json_peek(reader, &found);
    if (err)
        return err;
    return found == type ? WH_OK : WH_EFORMAT;
}

enum wh_err wh_json_enter(struct wh_json_reader *reader, enum wh_json_type type)
{
    enum wh_err err = expect(reader, type);
    if (err)
        return err;
    if ((type != WH_JSON_OBJECT && type != WH_JSON_ARRAY) || reader->depth >= WH_JSON_DEPTH_MAX)
        return WH_EFORMAT;
    reader->at++;
    reader->depth++;
    reader->is_fresh = true;
    return WH_OK;
}

/* Step over the comma before the next element, or over the closing bracket: WH_EEND. */
static enum wh_err next_element(struct wh_json_reader *reader, char closer)
{
    const char *at = skip_space(reader->at, reader->end);
    if (at == reader->end)
        return WH_EFORMAT;
    if (*at == closer) {
        reader->at = at + 1;
        reader->depth--;
        reader->is_fresh = false;
        return WH_EEND;
    }
    if (!reader->is_fresh) {
        if (*at != ',')
            return WH_EFORMAT;
        at = skip_space(at + 1, reader->end);
    }
    reader->is_fresh = false;
    reader->at = at;
    return WH_OK;
}

enum wh_err wh_json_next_member(struct wh_json_reader *reader,
                                struct wh_arena *arena,
                                struct wh_slice *out_key)
{
    struct wh_slice key;
    enum wh_err err = next_element(reader, '}');
    if (err)
        return err;
    err = wh_json_read_string(reader, arena, &key);
    if (err)
        return err;
    const char *at = skip_space(reader->at, reader->end);
    if (at == reader->end || *at != ':')
        return WH_EFORMAT;
    reader->at = at + 1;
    *out_key = key;
    return WH_OK;
}

enum wh_err wh_json_next_item(struct wh_json_reader *reader)
{
    /* After a comma there must be a value: "[1,]" fails when the caller reads it. */
    return next_element(reader, ']');
}

/* Just past the literal, NULL when the text does not go on with it. */
static const char *scan_literal(const char *at, const char *end, const char *literal, size_t len)
{
    return (size_t)(end - at) >= len && memcmp(at, literal, len) == 0 ? at + len : NULL;
}

static const char *scan_word(const char *at, const char *end)
{
    switch (*at) {
    case 't':
        return scan_literal(at, end, "true", 4);
    case 'f':
        return scan_literal(at, end, "false", 5);
    default:
        return scan_literal(at, end, "null", 4);
    }
}

enum wh_err wh_json_read_bool(struct wh_json_reader *reader, bool *out)
{
    enum wh_err err = expect(reader, WH_JSON_BOOL);
    if (err)
        return err;
    const char *after = scan_word(reader->at, reader->end);
    if (!after)
        return WH_EFORMAT;
    *out = *reader->at == 't';
    reader->at = after;
    return WH_OK;
}

enum wh_err wh_json_read_null(struct wh_json_reader *reader)
{
    enum wh_err err = expect(reader, WH_JSON_NULL);
    if (err)
        return err;
    const char *after = scan_word(reader->at, reader->end);
    if (!after)
        return WH_EFORMAT;
    reader->at = after;
    return WH_OK;
}

/* Strings */

static bool is_hex_digit(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Just past the escape that starts at the backslash `at`; NULL when it is none. */
static const char *scan_escape(const char *at, const char *end)
{
    if (end - at < 2)
        return NULL;
    switch (at[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return at + 2;
    case 'u':
        if (end - at < 6 || !is_hex_digit(at[2]) || !is_hex_digit(at[3]) || !is_hex_digit(at[4]) ||
            !is_hex_digit(at[5]))
            return NULL;
        return at + 6;
    default:
        return NULL;
    }
}

/* From behind the opening quote to the closing one; NULL when the string is malformed. */
static const char *scan_string(const char *at, const char *end, bool *out_has_escapes)
{
    bool has_escapes = false;
    for (;;) {
        at = wh_json_skip_plain(at, end);
        if (at == end)
            return NULL;
        if (*at == '"')
            break;
        if (*at == '\\') {
            has_escapes = true;
            at = scan_escape(at, end);
            if (!at)
                return NULL;
            continue;
        }
        size_t sequence = wh_json_utf8_sequence(at, end);
        if (sequence == 0) /* a control character, or no UTF-8 */
            return NULL;
        at += sequence;
    }
    *out_has_escapes = has_escapes;
    return at;
}

static uint32_t hex4(const char *at)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        uint32_t digit = c <= '9'   ? (uint32_t)(c - '0')
                         : c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                    : (uint32_t)(c - 'a' + 10);
        value = value << 4 | digit;
    }
    return value;
}

/* One \uXXXX, or two that form a surrogate pair, as UTF-8; `*at` moves behind them. */
static size_t unescape_unicode(const char **at, const char *end, char *out)
{
    uint32_t unit = hex4(*at + 2);
    *at += 6;
    if (unit >= 0xD800 && unit <= 0xDBFF && end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u') {
        uint32_t low = hex4(*at + 2);
        if (low >= 0xDC00 && low <= 0xDFFF) {
            *at += 6;
            return wh_utf8_encode(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00), out);
        }
    }
    if (unit >= 0xD800 && unit <= 0xDFFF)
        unit = 0xFFFD;
    return wh_utf8_encode(unit, out);
}

static char unescape_simple(char c)
{
    switch (c) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return c;
    }
}

/* The scanned text between the quotes, unescaped into `out`; never longer than it was. */
static size_t unescape(const char *at, const char *end, char *out)
{
    char *start = out;
    while (at < end) {
        const char *backslash = memchr(at, '\\', (size_t)(end - at));
        size_t plain = (size_t)((backslash ? backslash : end) - at);
        memcpy(out, at, plain);
        out += plain;
        at += plain;
        if (!backslash)
            break;
        if (at[1] == 'u') {
            out += unescape_unicode(&at, end, out);
        } else {
            *out++ = unescape_simple(at[1]);
            at += 2;
        }
    }
    return (size_t)(out - start);
}

enum wh_err wh_json_read_string(struct wh_json_reader *reader,
                                struct wh_arena *arena,
                                struct wh_slice *out)
{
    bool has_escapes;
    enum wh_err err = expect(reader, WH_JSON_STRING);
    if (err)
        return err;
    const char *start = reader->at + 1;
    const char *close = scan_string(start, reader->end, &has_escapes);
    if (!close)
        return WH_EFORMAT;
    if (has_escapes) {
        char *copy = wh_arena_alloc(arena, (size_t)(close - start));
        if (!copy)
            return WH_ENOMEM;
        *out = wh_slice(copy, unescape(start, close, copy));
    } else {
        *out = wh_slice(start, (size_t)(close - start));
    }
    reader->at = close + 1;
    return WH_OK;
}

/* Skipping */

/* Just past the scalar that starts at `at`; NULL when it is malformed. */
static const char *scan_scalar(const char *at, const char *end)
{
    bool has_escapes;
    switch (*at) {
    case '"':
        at = scan_string(at + 1, end, &has_escapes);
        return at ? at + 1 : NULL;
    case 't':
    case 'f':
    case 'n':
        return scan_word(at, end);
    default:
        return wh_json_scan_number(at, end);
    }
}

/* Just past a member's key and colon; NULL when there is none. */
static const char *scan_key(const char *at, const char *end)
{
    bool has_escapes;
    at = skip_space(at, end);
    if (at == end || *at != '"')
        return NULL;
    at = scan_string(at + 1, end, &has_escapes);
    if (!at)
        return NULL;
    at = skip_space(at + 1, end);
    return at < end && *at == ':' ? at + 1 : NULL;
}

/*
 * After a value inside `depth` open containers (bit i of `objects`: the i-th is an object):
 * close what is closed, step over a comma and a key; NULL when malformed.
 */
static const char *scan_after_value(const char *at,
                                    const char *end,
                                    unsigned *depth,
                                    uint64_t *objects)
{
    while (*depth > 0) {
        bool in_object = *objects & 1;
        at = skip_space(at, end);
        if (at == end)
            return NULL;
        if (*at == ',')
            return in_object ? scan_key(at + 1, end) : at + 1;
        if (*at != (in_object ? '}' : ']'))
            return NULL;
        at++;
        *objects >>= 1;
        --*depth;
    }
    return at;
}

/* Just past one whole value; NULL when malformed or nested more than `room` deep. */
static const char *scan_value(const char *at, const char *end, unsigned room)
{
    uint64_t objects = 0;
    unsigned depth = 0;
    for (;;) {
        at = skip_space(at, end);
        if (at == end)
            return NULL;
        if (*at == '{' || *at == '[') {
            bool is_object = *at == '{';
            if (depth == room)
                return NULL;
            depth++;
            objects = objects << 1 | is_object;
            at = skip_space(at + 1, end);
            if (at == end)
                return NULL;
            if (*at != (is_object ? '}' : ']')) {
                at = is_object ? scan_key(at, end) : at;
                if (!at)
                    return NULL;
                continue;
            }
        } else {
            at = scan_scalar(at, end);
            if (!at)
                return NULL;
        }
        at = scan_after_value(at, end, &depth, &objects);
        if (!at || depth == 0)
            return at;
    }
}

enum wh_err wh_json_skip(struct wh_json_reader *reader, struct wh_slice *out_raw)
{
    const char *start = skip_space(reader->at, reader->end);
    const char *after = scan_value(start, reader->end, WH_JSON_DEPTH_MAX - reader->depth);
    if (!after)
        return WH_EFORMAT;
    reader->at = after;
    if (out_raw)
        *out_raw = wh_slice(start, (size_t)(after - start));
    return WH_OK;
}

enum wh_err wh_json_finish(struct wh_json_reader *reader)
{
    reader->at = skip_space(reader->at, reader->end);
    return reader->at == reader->end ? WH_OK : WH_EFORMAT;
}

bool wh_json_is_valid(struct wh_slice text)
{
    struct wh_json_reader reader;
    wh_json_reader_init(&reader, text);
    return wh_json_skip(&reader, NULL) == WH_OK && wh_json_finish(&reader) == WH_OK;
}
