/*
 * Writing JSON: strings go out in runs of plain bytes, so the cost is that of
 * a copy unless there is something to escape.
 */
#include "common/protocol/json.h"
#include "common/protocol/json_scan.h"

static void write_escape(struct wh_buf *buf, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char names[] = "btn\0fr"; /* U+0008 … U+000D; U+000B has no short form */
    char short_form = c >= 0x08 && c <= 0x0D ? names[c - 0x08] : '\0';
    if (c == '"' || c == '\\')
        short_form = (char)c;
    if (short_form) {
        wh_buf_append(buf, (const char[]){'\\', short_form}, 2);
        return;
    }
    wh_buf_append(buf, (const char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
}

void wh_json_write_string(struct wh_buf *buf, struct wh_slice text)
{
    const char *at = text.ptr;
    const char *end = text.ptr ? text.ptr + text.len : NULL;
    wh_buf_append_char(buf, '"');
    while (at < end) {
        const char *run = at;
        size_t sequence = 0;
        do {
            at = wh_json_skip_plain(at + sequence, end);
            sequence = at < end && (unsigned char)*at >= 0x80 ? wh_json_utf8_sequence(at, end) : 0;
        } while (sequence > 0);
        wh_buf_append(buf, run, (size_t)(at - run));
        if (at == end)
            break;
        if ((unsigned char)*at >= 0x80)
            wh_buf_append_str(buf, "\xEF\xBF\xBD");
        else
            write_escape(buf, (unsigned char)*at);
        at++;
    }
    wh_buf_append_char(buf, '"');
}

void wh_json_write_raw(struct wh_buf *buf, struct wh_slice text)
{
    while (text.len > 0) {
        const char *feed = memchr(text.ptr, '\n', text.len);
        size_t run = feed ? (size_t)(feed - text.ptr) : text.len;
        wh_buf_append(buf, text.ptr, run);
        text = wh_slice_from(text, feed ? run + 1 : run);
    }
}
