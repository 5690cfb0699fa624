#include "client-sdk/cli/format.h"

#include "client-sdk/cli/output.h"
#include "common/base/random.h"

enum { RANDOM_BOUND = 1000000 };

/* ---- formats ---- */

enum wh_err format_check(const char *format, struct wh_buf *problem)
{
    for (const char *at = format; *at; at++) {
        if (*at != '%' && *at != '\\')
            continue;
        const char *known = *at == '%' ? "tcodlui%" : "nt\\";
        if (at[1] == '\0' || !strchr(known, at[1])) {
            wh_buf_printf(problem, "a format has no %c%c", *at, at[1] ? at[1] : ' ');
            return WH_EFORMAT;
        }
        at++;
    }
    return WH_OK;
}

static void write_field(char letter, const struct format_fields *fields, struct wh_buf *out)
{
    switch (letter) {
    case 't':
        if (fields->time_ms > 0)
            output_clock(out, fields->time_ms);
        else
            wh_buf_append_char(out, '-');
        break;
    case 'c':
        wh_buf_append_str(out, fields->channel ? fields->channel : "");
        break;
    case 'o':
        wh_buf_append_u64(out, fields->offset);
        break;
    case 'd':
        wh_buf_append_slice(out, fields->data);
        break;
    case 'l':
        wh_buf_append_u64(out, fields->data.len);
        break;
    case 'u':
        wh_buf_append_str(out, fields->user ? fields->user : "");
        break;
    case 'i':
        wh_buf_append_str(out, fields->client ? fields->client : "");
        break;
    default:
        wh_buf_append_char(out, letter);
    }
}

void format_write(const char *format, const struct format_fields *fields, struct wh_buf *out)
{
    for (const char *at = format; *at; at++) {
        if (*at == '%')
            write_field(*++at, fields, out);
        else if (*at == '\\')
            wh_buf_append_char(out, *++at == 'n' ? '\n' : *at == 't' ? '\t' : '\\');
        else
            wh_buf_append_char(out, *at);
    }
}

/* ---- templates ---- */

static const char *const names[] = {"i", "ts", "time", "uuid", "rand"};

static bool is_name(struct wh_slice word)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (wh_slice_equal_str(word, names[i]))
            return true;
    return false;
}

/* The name in "{{name}}" that `at` begins with, blanks around it taken off; absent, and all the
 * rest, when it is not closed. */
static struct wh_slice name_at(const char *at, size_t *out_len)
{
    const char *end = strstr(at + 2, "}}");
    *out_len = strlen(at);
    if (!end)
        return WH_SLICE_ABSENT;
    *out_len = (size_t)(end - at) + 2;
    return wh_slice_trim(wh_slice(at + 2, (size_t)(end - at) - 2));
}

enum wh_err template_check(const char *text, struct wh_buf *problem)
{
    size_t len;
    for (const char *at = text; (at = strstr(at, "{{")) != NULL; at += len) {
        struct wh_slice name = name_at(at, &len);
        if (!name.ptr || !is_name(name)) {
            wh_buf_printf(problem,
                          "a template has {{i}}, {{ts}}, {{time}}, {{uuid}} and {{rand}}, "
                          "not \"%.*s\"",
                          name.ptr ? (int)len : 10, at);
            return WH_EFORMAT;
        }
    }
    return WH_OK;
}

static void write_variable(struct wh_slice name,
                           uint64_t number,
                           int64_t time_ms,
                           struct wh_buf *out)
{
    char uuid[37];
    if (wh_slice_equal_str(name, "i")) {
        wh_buf_append_u64(out, number);
    } else if (wh_slice_equal_str(name, "ts")) {
        wh_buf_append_i64(out, time_ms);
    } else if (wh_slice_equal_str(name, "time")) {
        output_utc(out, time_ms);
    } else if (wh_slice_equal_str(name, "uuid")) {
        wh_random_uuid_v4(uuid);
        wh_buf_append_str(out, uuid);
    } else {
        wh_buf_append_u64(out, wh_random_below(RANDOM_BOUND));
    }
}

void template_write(const char *text, uint64_t number, int64_t time_ms, struct wh_buf *out)
{
    const char *next;
    size_t len;
    for (; (next = strstr(text, "{{")) != NULL; text = next + len) {
        struct wh_slice name = name_at(next, &len);
        wh_buf_append(out, text, (size_t)(next - text));
        write_variable(name, number, time_ms, out);
    }
    wh_buf_append_str(out, text);
}
