/*
 * Single values: text to number and back.
 *
 * The strict parsers decide; the lenient reading beside them only words the
 * hint of an error ("5 mins": try 5m), so a generous guess never becomes a
 * value.
 */
#include "common/base/option_internal.h"

#include <inttypes.h>
#include <string.h>

#define KIB             UINT64_C(1024)
#define SECOND          UINT64_C(1000)
#define DURATION_MAX_MS (UINT64_C(100) * 366 * 24 * 3600 * 1000)
#define SIZE_MAX_BYTES  (UINT64_C(1) << 63)
#define QUOTE_MAX       60

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit duration_units[] = {{"ms", 1},
                                             {"s", 1000},
                                             {"m", 60 * SECOND},
                                             {"h", 3600 * SECOND}};

static const struct unit size_units[] = {{"KiB", KIB}, {"MiB", KIB *KIB}, {"GiB", KIB *KIB *KIB}};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The digits in front; false when there are none or the number does not fit. */
static bool take_number(struct wh_slice *text, uint64_t *out_number)
{
    uint64_t number = 0;
    size_t len = 0;

    for (; len < text->len && is_digit(text->ptr[len]); len++) {
        uint64_t digit = (uint64_t)(text->ptr[len] - '0');
        if (number > (UINT64_MAX - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    if (len == 0)
        return false;
    *text = wh_slice_from(*text, len);
    *out_number = number;
    return true;
}

static struct wh_slice take_letters(struct wh_slice *text)
{
    size_t len = 0;

    while (len < text->len && is_letter(text->ptr[len]))
        len++;
    struct wh_slice letters = wh_slice(text->ptr, len);
    *text = wh_slice_from(*text, len);
    return letters;
}

static const struct unit *find_unit(struct wh_slice name, const struct unit *units, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (wh_slice_equal_str(name, units[i].name))
            return &units[i];
    }
    return NULL;
}

enum wh_err wh_duration_parse(struct wh_slice text, uint64_t *out_ms)
{
    uint64_t total = 0;

    if (wh_slice_equal_str(text, "0")) {
        *out_ms = 0;
        return WH_OK;
    }
    if (wh_slice_is_empty(text))
        return WH_EFORMAT;
    while (text.len > 0) {
        uint64_t number;
        if (!take_number(&text, &number))
            return WH_EFORMAT;
        const struct unit *unit =
            find_unit(take_letters(&text), duration_units, COUNT_OF(duration_units));
        if (!unit || number > (DURATION_MAX_MS - total) / unit->factor)
            return WH_EFORMAT;
        total += number * unit->factor;
    }
    *out_ms = total;
    return WH_OK;
}

/* The largest unit that leaves no remainder: 300000 is 5m, 90000 is 90s. */
static void write_in_units(uint64_t number,
                           const struct unit *units,
                           size_t count,
                           struct wh_buf *out)
{
    for (size_t i = count; i > 0 && number > 0; i--) {
        if (number % units[i - 1].factor == 0) {
            wh_buf_append_u64(out, number / units[i - 1].factor);
            wh_buf_append_str(out, units[i - 1].name);
            return;
        }
    }
    wh_buf_append_u64(out, number);
}

void wh_duration_write(uint64_t ms, struct wh_buf *out)
{
    write_in_units(ms, duration_units, COUNT_OF(duration_units), out);
}

enum wh_err wh_size_parse(struct wh_slice text, uint64_t *out_bytes)
{
    uint64_t number;
    uint64_t factor = 1;

    if (!take_number(&text, &number))
        return WH_EFORMAT;
    if (text.len > 0) {
        const struct unit *unit = find_unit(text, size_units, COUNT_OF(size_units));
        if (!unit)
            return WH_EFORMAT;
        factor = unit->factor;
    }
    if (number > SIZE_MAX_BYTES / factor)
        return WH_EFORMAT;
    *out_bytes = number * factor;
    return WH_OK;
}

void wh_size_write(uint64_t bytes, struct wh_buf *out)
{
    write_in_units(bytes, size_units, COUNT_OF(size_units), out);
}

void wh_option_write_quoted(struct wh_slice text, size_t max, struct wh_buf *out)
{
    bool is_cut = max > 0 && text.len > max;
    size_t len = is_cut ? max : text.len;

    /* Never cut inside a UTF-8 sequence: the rest of the line must stay readable. */
    while (is_cut && len > 0 && ((unsigned char)text.ptr[len] & 0xC0) == 0x80)
        len--;
    wh_buf_append_char(out, '"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c == '"' || c == '\\')
            wh_buf_printf(out, "\\%c", c);
        else if (c == '\n')
            wh_buf_append_str(out, "\\n");
        else if (c < 0x20 || c == 0x7F)
            wh_buf_printf(out, "\\u%04x", c);
        else
            wh_buf_append_char(out, (char)c);
    }
    wh_buf_append_str(out, is_cut ? "…\"" : "\"");
}

/* What people write for a unit, by how it begins; the first match counts. */
static const struct unit duration_words[] = {{"ms", 1},      {"milli", 1},    {"mi", 60000},
                                             {"mo", 0},      {"m", 60000},    {"s", 1000},
                                             {"h", 3600000}, {"d", 86400000}, {"w", 604800000}};

static const struct unit size_words[] = {{"k", KIB},
                                         {"m", KIB *KIB},
                                         {"g", KIB *KIB *KIB},
                                         {"b", 1}};

/* "5 mins", "1.5h", "7 days", "64 KB": a number and a word that begins like one of `words`. */
static bool guess(struct wh_slice text,
                  const struct unit *words,
                  size_t count,
                  uint64_t factor,
                  uint64_t *out)
{
    uint64_t number, tenths = 0;

    if (!take_number(&text, &number) || number > 1000000)
        return false;
    if (text.len > 1 && text.ptr[0] == '.' && is_digit(text.ptr[1])) {
        tenths = (uint64_t)(text.ptr[1] - '0');
        text = wh_slice_from(text, 2);
    }
    while (text.len > 0 && text.ptr[0] == ' ')
        text = wh_slice_from(text, 1);
    char word[8] = {0};
    for (size_t i = 0; i < text.len && i < sizeof(word) - 1; i++)
        word[i] = (char)(text.ptr[i] | 0x20);
    for (size_t i = 0; i < count && text.len > 0; i++) {
        if (strncmp(word, words[i].name, strlen(words[i].name)) == 0) {
            factor = words[i].factor;
            *out = number * factor + tenths * factor / 10;
            return factor > 0;
        }
    }
    *out = number * factor + tenths * factor / 10;
    return text.len == 0;
}

static enum wh_err refuse(struct wh_slice text,
                          const char *what,
                          const char *hint,
                          struct wh_buf *problem)
{
    wh_option_write_quoted(text, QUOTE_MAX, problem);
    wh_buf_printf(problem, " is not %s", what);
    if (hint)
        wh_buf_printf(problem, " (try %s)", hint);
    return WH_EFORMAT;
}

static enum wh_err refuse_duration(struct wh_slice text, struct wh_buf *problem)
{
    struct wh_buf hint = {0};
    uint64_t ms;

    if (guess(text, duration_words, COUNT_OF(duration_words), 1000, &ms))
        wh_duration_write(ms, &hint);
    enum wh_err err = refuse(text, "a duration", hint.len ? wh_buf_cstr(&hint) : "25s", problem);
    wh_buf_deinit(&hint);
    return err;
}

static enum wh_err refuse_size(struct wh_slice text, struct wh_buf *problem)
{
    struct wh_buf hint = {0};
    uint64_t bytes;

    if (guess(text, size_words, COUNT_OF(size_words), 1, &bytes))
        wh_size_write(bytes, &hint);
    enum wh_err err = refuse(text, "a size", hint.len ? wh_buf_cstr(&hint) : "64KiB", problem);
    wh_buf_deinit(&hint);
    return err;
}

void wh_option_write_number(const struct wh_option *option, uint64_t number, struct wh_buf *out)
{
    if (option->type == WH_OPTION_DURATION)
        wh_duration_write(number, out);
    else if (option->type == WH_OPTION_SIZE)
        wh_size_write(number, out);
    else
        wh_buf_append_u64(out, number);
}

static enum wh_err check_range(const struct wh_option *option,
                               uint64_t number,
                               struct wh_slice text,
                               struct wh_buf *problem)
{
    if (number >= option->min && (option->max == 0 || number <= option->max))
        return WH_OK;
    wh_buf_printf(problem, "%.*s is out of range (", WH_SLICE_ARGS(text));
    wh_option_write_number(option, option->min, problem);
    if (option->max > 0) {
        wh_buf_append_str(problem, " to ");
        wh_option_write_number(option, option->max, problem);
    } else {
        wh_buf_append_str(problem, " or more");
    }
    wh_buf_append_char(problem, ')');
    return WH_EFORMAT;
}

enum wh_err wh_option_parse_number(const struct wh_option *option,
                                   struct wh_slice text,
                                   uint64_t *out_number,
                                   struct wh_buf *problem)
{
    uint64_t number = 0;
    struct wh_slice rest = text;

    switch (option->type) {
    case WH_OPTION_DURATION:
        if (wh_duration_parse(text, &number) != WH_OK)
            return refuse_duration(text, problem);
        break;
    case WH_OPTION_SIZE:
        if (wh_size_parse(text, &number) != WH_OK)
            return refuse_size(text, problem);
        break;
    default:
        if (!take_number(&rest, &number) || rest.len > 0)
            return refuse(text, "a whole number", NULL, problem);
        break;
    }
    enum wh_err err = check_range(option, number, text, problem);
    if (err == WH_OK)
        *out_number = number;
    return err;
}

/* YAML 1.1 knows more spellings than these two; one meaning deserves one. */
enum wh_err wh_option_parse_bool(struct wh_slice text, bool *out, struct wh_buf *problem)
{
    static const char *const words[] = {"yes", "on",  "1", "True",  "TRUE",  "y",
                                        "no",  "off", "0", "False", "FALSE", "n"};

    if (wh_slice_equal_str(text, "true") || wh_slice_equal_str(text, "false")) {
        *out = text.len == 4;
        return WH_OK;
    }
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (wh_slice_equal_str(text, words[i]))
            return refuse(text, "true or false", i < COUNT_OF(words) / 2 ? "true" : "false",
                          problem);
    }
    return refuse(text, "true or false", NULL, problem);
}

enum wh_err wh_option_parse_choice(const struct wh_option *option,
                                   struct wh_slice text,
                                   unsigned *out,
                                   struct wh_buf *problem)
{
    unsigned count = 0;

    for (; option->choices[count]; count++) {
        if (wh_slice_equal_str(text, option->choices[count])) {
            *out = count;
            return WH_OK;
        }
    }
    wh_option_write_quoted(text, QUOTE_MAX, problem);
    wh_buf_append_str(problem, " is none of ");
    for (unsigned i = 0; i < count; i++)
        wh_buf_printf(problem, "%s%s", i ? ", " : "",
                      option->choices[i][0] ? option->choices[i] : "\"\"");
    const char *nearest = wh_nearest_word(text, option->choices, count);
    if (nearest && *nearest)
        wh_buf_printf(problem, " (try %s)", nearest);
    return WH_EFORMAT;
}
