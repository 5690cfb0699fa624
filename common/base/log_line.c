/*
 * Two steps for each field: its conversions are rendered into a scratch
 * buffer, then that text is written with the escapes of the line's format.
 * Only so can `addr=%s:%u` be one value, quoted when any part needs it.
 *
 * The end of the line (closing quote, truncated=true, brace, newline) always
 * has its room: values are written unit by unit, a unit being a character or
 * an escape, and stop where only that room is left.
 */
#include "common/base/log_line.h"

#include "common/base/utf8.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>

/* The longest end: quote, ,"truncated":true, brace, newline. */
enum { TAIL_MAX = sizeof("\",\"truncated\":true}\n") - 1 };

/* A unit of text: one character as it is, or what stands for it. */
enum { UNIT_MAX = 6 };

struct scratch {
    size_t len;
    bool is_number;
    char text[WH_LOG_LINE_MAX];
};

/* Bytes before the line's end begins; a closing quote may already have taken its part of that. */
static size_t room(const struct wh_log_line *line)
{
    size_t end = sizeof line->text - TAIL_MAX;
    return line->len < end ? end - line->len : 0;
}

/* All of it or nothing. */
static bool put(struct wh_log_line *line, const char *text, size_t len)
{
    if (line->is_cut || len > room(line)) {
        line->is_cut = true;
        return false;
    }
    memcpy(line->text + line->len, text, len);
    line->len += len;
    return true;
}

/* Where room is reserved: the parts of the line's end. */
static void put_tail(struct wh_log_line *line, const char *text)
{
    size_t len = strlen(text);
    memcpy(line->text + line->len, text, len);
    line->len += len;
}

void wh_log_line_begin(struct wh_log_line *line, bool is_json)
{
    line->len = 0;
    line->is_json = is_json;
    line->is_cut = false;
}

/* The length of the character at the start of `text` and what to write for it. */
static size_t next_unit(struct wh_slice text, char out[UNIT_MAX + 1])
{
    size_t len = wh_utf8_next(text);
    unsigned char first = (unsigned char)text.ptr[0];
    /* U+0080 to U+009F: terminals take some of them for the start of a command. */
    bool is_c1 = len == 2 && first == 0xC2 && (unsigned char)text.ptr[1] < 0xA0;
    if (len == 0) {
        memcpy(out, "\\ufffd", sizeof "\\ufffd"); /* a byte that is no UTF-8 */
        return 1;
    }
    if (first == '"' || first == '\\')
        snprintf(out, UNIT_MAX + 1, "\\%c", first);
    else if (first == '\n' || first == '\r' || first == '\t')
        snprintf(out, UNIT_MAX + 1, "\\%c", first == '\n' ? 'n' : first == '\r' ? 'r' : 't');
    else if (first < 0x20 || first == 0x7F)
        snprintf(out, UNIT_MAX + 1, "\\u%04x", (unsigned)first);
    else if (is_c1)
        snprintf(out, UNIT_MAX + 1, "\\u%04x", (unsigned)(unsigned char)text.ptr[1]);
    else {
        memcpy(out, text.ptr, len);
        out[len] = '\0';
    }
    return len;
}

static void put_quoted(struct wh_log_line *line, struct wh_slice text)
{
    if (!put(line, "\"", 1))
        return;
    while (text.len > 0) {
        char unit[UNIT_MAX + 1];
        size_t step = next_unit(text, unit);
        if (!put(line, unit, strlen(unit)))
            break;
        text = wh_slice_from(text, step);
    }
    put_tail(line, "\"");
}

/* logfmt leaves plain words bare. */
static bool needs_quotes(struct wh_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c <= ' ' || c >= 0x7F || c == '"' || c == '=' || c == '\\')
            return true;
    }
    return text.len == 0;
}

/* The separator, the name and what joins it to a value of `value_len` bytes or, 0, of any length:
 * together, so that no name is left without its value. */
static bool put_name(struct wh_log_line *line, struct wh_slice name, size_t value_len)
{
    size_t start = line->len;
    bool is_first = start == 0;
    bool fits = line->is_json ? put(line, is_first ? "{\"" : ",\"", 2) &&
                                    put(line, name.ptr, name.len) && put(line, "\":", 2)
                              : put(line, " ", is_first ? 0 : 1) && put(line, name.ptr, name.len) &&
                                    put(line, "=", 1);
    if (fits && (value_len != 0 ? value_len : 1) <= room(line))
        return true;
    line->is_cut = true;
    line->len = start;
    return false;
}

void wh_log_line_field(struct wh_log_line *line,
                       struct wh_slice name,
                       struct wh_slice value,
                       bool is_number)
{
    bool is_bare = is_number || (!line->is_json && !needs_quotes(value));
    /* A number is whole or absent: half of one is another number.  Words that are too long are
     * quoted, where they can be cut. */
    if (is_bare && value.len > UNIT_MAX * 64)
        is_bare = false;
    if (!put_name(line, name, is_bare ? value.len : 0))
        return;
    if (is_bare)
        (void)put(line, value.ptr, value.len);
    else
        put_quoted(line, value);
}

struct wh_slice wh_log_line_end(struct wh_log_line *line)
{
    if (line->len == 0 && line->is_json)
        put_tail(line, "{");
    if (line->is_cut)
        put_tail(line, line->is_json ? ",\"truncated\":true" : " truncated=true");
    put_tail(line, line->is_json ? "}\n" : "\n");
    return wh_slice(line->text, line->len);
}

static void scratch_add(struct scratch *scratch, const char *text, size_t len)
{
    size_t left = sizeof scratch->text - scratch->len;
    /* What is cut here could not have gone into the line either: that is no longer. */
    if (len > left)
        len = left;
    memcpy(scratch->text + scratch->len, text, len);
    scratch->len += len;
}

struct conversion {
    bool zero;
    int width;
    int precision; /* -1: none */
    int longs;     /* -2 hh, -1 h, 0, 1 l, 2 ll, 3 z */
    char type;
};

/* va_list may be an array type; only inside a struct can it be handed on and come back advanced. */
struct arguments {
    va_list list;
};

static const char *parse_number(const char *at, struct arguments *args, int *out_number)
{
    if (*at == '*') {
        *out_number = va_arg(args->list, int);
        return at + 1;
    }
    *out_number = 0;
    for (; *at >= '0' && *at <= '9'; at++)
        *out_number = *out_number < 1000 ? *out_number * 10 + (*at - '0') : 1000;
    return at;
}

/* From behind the percent sign to behind the conversion. */
static const char *parse_conversion(const char *at,
                                    struct arguments *args,
                                    struct conversion *conversion)
{
    *conversion = (struct conversion){.precision = -1};
    for (; *at == '0'; at++)
        conversion->zero = true;
    at = parse_number(at, args, &conversion->width);
    if (*at == '.')
        at = parse_number(at + 1, args, &conversion->precision);
    for (; *at == 'l'; at++)
        conversion->longs++;
    for (; *at == 'h'; at++)
        conversion->longs--;
    if (*at == 'z') {
        conversion->longs = 3;
        at++;
    }
    conversion->type = *at;
    return *at ? at + 1 : at;
}

static long long take_signed(struct arguments *args, int longs)
{
    switch (longs) {
    case -2:
        return (signed char)va_arg(args->list, int);
    case -1:
        return (short)va_arg(args->list, int);
    case 0:
        return va_arg(args->list, int);
    case 1:
        return va_arg(args->list, long);
    case 2:
        return va_arg(args->list, long long);
    default:
        return va_arg(args->list, ssize_t);
    }
}

static unsigned long long take_unsigned(struct arguments *args, int longs)
{
    switch (longs) {
    case -2:
        return (unsigned char)va_arg(args->list, unsigned);
    case -1:
        return (unsigned short)va_arg(args->list, unsigned);
    case 0:
        return va_arg(args->list, unsigned);
    case 1:
        return va_arg(args->list, unsigned long);
    case 2:
        return va_arg(args->list, unsigned long long);
    default:
        return va_arg(args->list, size_t);
    }
}

static void add_integer(struct scratch *scratch,
                        const struct conversion *conversion,
                        struct arguments *args)
{
    char digits[128];
    int width = conversion->width >= 0 && conversion->width < 64 ? conversion->width : 0;
    int len;
    if (conversion->type == 'x') {
        unsigned long long number = take_unsigned(args, conversion->longs);
        len = snprintf(digits, sizeof digits, conversion->zero ? "%0*llx" : "%*llx", width, number);
    } else if (conversion->type == 'u') {
        unsigned long long number = take_unsigned(args, conversion->longs);
        len = snprintf(digits, sizeof digits, conversion->zero ? "%0*llu" : "%*llu", width, number);
    } else {
        long long number = take_signed(args, conversion->longs);
        len = snprintf(digits, sizeof digits, conversion->zero ? "%0*lld" : "%*lld", width, number);
    }
    /* JSON has neither hexadecimal digits nor leading zeros. */
    scratch->is_number = conversion->type != 'x' && width == 0;
    scratch_add(scratch, digits, (size_t)len);
}

static void add_real(struct scratch *scratch,
                     const struct conversion *conversion,
                     struct arguments *args)
{
    char digits[512]; /* the largest double has 309 digits before its point */
    double number = va_arg(args->list, double);
    int precision = conversion->precision >= 0 ? conversion->precision : 6;
    int len = snprintf(digits, sizeof digits, "%.*f", precision < 100 ? precision : 100, number);
    scratch->is_number = isfinite(number) != 0;
    scratch_add(scratch, digits, (size_t)len);
}

static void add_string(struct scratch *scratch,
                       const struct conversion *conversion,
                       struct arguments *args)
{
    const char *text = va_arg(args->list, const char *);
    if (!text)
        text = "(null)";
    /* With a precision the text need not end in a NUL; without one there is no need to read more
     * of it than can be written. */
    size_t max = sizeof scratch->text;
    if (conversion->precision >= 0 && (size_t)conversion->precision < max)
        max = (size_t)conversion->precision;
    scratch_add(scratch, text, strnlen(text, max));
}

/* False for a conversion that log.h does not promise: its argument's type is unknown, and with it
 * the place of all that follow. */
static bool add_conversion(struct scratch *scratch,
                           const struct conversion *conversion,
                           struct arguments *args)
{
    char c;
    switch (conversion->type) {
    case 'd':
    case 'i':
    case 'u':
    case 'x':
        add_integer(scratch, conversion, args);
        return true;
    case 'f':
        add_real(scratch, conversion, args);
        return true;
    case 's':
        add_string(scratch, conversion, args);
        return true;
    case 'c':
        c = (char)va_arg(args->list, int);
        scratch_add(scratch, &c, 1);
        return true;
    case '%':
        scratch_add(scratch, "%", 1);
        return true;
    default:
        scratch_add(scratch, "(unsupported conversion)", 24);
        return false;
    }
}

/* One value, from behind the '=' to the next space of the format.  NULL: cannot go on. */
static const char *render_value(struct scratch *scratch, const char *at, struct arguments *args)
{
    size_t parts = 0;
    scratch->len = 0;
    scratch->is_number = false;
    while (*at && *at != ' ') {
        parts++;
        if (*at != '%') {
            size_t literal = strcspn(at, "% ");
            scratch_add(scratch, at, literal);
            at += literal;
            continue;
        }
        struct conversion conversion;
        at = parse_conversion(at + 1, args, &conversion);
        if (!add_conversion(scratch, &conversion, args)) {
            scratch->is_number = false;
            return NULL;
        }
    }
    /* Only a number alone is one: not 10 in 10ms or 1 in 1/2. */
    if (parts != 1)
        scratch->is_number = false;
    return at;
}

void wh_log_line_format(struct wh_log_line *line, const char *format, va_list args)
{
    struct arguments arguments;
    struct scratch scratch;
    va_copy(arguments.list, args);
    for (const char *at = format; at && *at;) {
        at += strspn(at, " ");
        size_t name_len = strcspn(at, "= ");
        if (name_len == 0 && *at == '\0')
            break;
        struct wh_slice name = wh_slice(at, name_len);
        at += name_len;
        if (*at == '=')
            at++;
        at = render_value(&scratch, at, &arguments);
        wh_log_line_field(line, name, wh_slice(scratch.text, scratch.len), scratch.is_number);
    }
    va_end(arguments.list);
}
