/*
 * Four characters carry three bytes; a last group of two or three characters carries one or two
 * bytes and leaves four or two bits over, which must be zero.
 */
#include "common/base/base64.h"

#include <stdint.h>

static const char *alphabet_of(enum wh_base64 variant)
{
    return variant == WH_BASE64_URL
               ? "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
               : "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
}

/* The six bits of one character; 64 when the alphabet does not have it. */
static uint32_t value_of(const char *alphabet, char c)
{
    if (c >= 'A' && c <= 'Z')
        return (uint32_t)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (uint32_t)(c - 'a') + 26;
    if (c >= '0' && c <= '9')
        return (uint32_t)(c - '0') + 52;
    if (c == alphabet[62])
        return 62;
    return c == alphabet[63] ? 63 : 64;
}

/* Cut the padding off a standard text; false when it is not where it belongs. */
static bool strip_padding(enum wh_base64 variant, struct wh_slice *text)
{
    if (variant == WH_BASE64_URL)
        return true;
    if (text->len % 4 != 0)
        return false;
    for (int i = 0; i < 2 && text->len > 0 && text->ptr[text->len - 1] == '='; i++)
        text->len--;
    return true;
}

/* Decode `count` (2 to 4) characters into count - 1 bytes. */
static bool decode_group(const char *alphabet, const char *text, size_t count, char *out)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < 4; i++) {
        uint32_t value = i < count ? value_of(alphabet, text[i]) : 0;
        if (value > 63)
            return false;
        bits = bits << 6 | value;
    }
    for (size_t i = 0; i + 1 < count; i++)
        out[i] = (char)(bits >> (16 - 8 * i) & 0xff);
    uint32_t unused = count == 4 ? 0 : bits & (count == 3 ? 0xffu : 0xffffu);
    return unused == 0;
}

enum wh_err wh_base64_decode(enum wh_base64 variant,
                             struct wh_slice text,
                             struct wh_arena *arena,
                             struct wh_slice *out_bytes)
{
    if (!strip_padding(variant, &text) || text.len % 4 == 1)
        return WH_EFORMAT;
    size_t len = text.len / 4 * 3 + (text.len % 4 ? text.len % 4 - 1 : 0);
    char *bytes = wh_arena_alloc(arena, len + 1);
    if (!bytes)
        return WH_ENOMEM;
    const char *alphabet = alphabet_of(variant);
    char *out = bytes;
    for (size_t at = 0; at < text.len; at += 4, out += 3) {
        size_t count = text.len - at < 4 ? text.len - at : 4;
        if (!decode_group(alphabet, text.ptr + at, count, out))
            return WH_EFORMAT;
    }
    *out_bytes = wh_slice(bytes, len);
    return WH_OK;
}

void wh_base64_encode(enum wh_base64 variant, struct wh_slice bytes, struct wh_buf *out)
{
    const char *alphabet = alphabet_of(variant);
    for (size_t at = 0; at < bytes.len; at += 3) {
        size_t count = bytes.len - at < 3 ? bytes.len - at : 3;
        uint32_t bits = 0;
        for (size_t i = 0; i < 3; i++)
            bits = bits << 8 | (i < count ? (unsigned char)bytes.ptr[at + i] : 0u);
        for (size_t i = 0; i <= count; i++)
            wh_buf_append_char(out, alphabet[bits >> (18 - 6 * i) & 63]);
        for (size_t i = count; variant == WH_BASE64_STANDARD && i < 3; i++)
            wh_buf_append_char(out, '=');
    }
}
