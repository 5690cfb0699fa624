/*
 * Validation by the table of well-formed sequences in RFC 3629 §4, with
 * strides of 32 and 8 bytes over plain ASCII, which is most of what we see.
 */
#include "common/base/utf8.h"

static const uint64_t high_bits = UINT64_C(0x8080808080808080);

static bool is_continuation(unsigned char byte)
{
    return (byte & 0xC0) == 0x80;
}

/* Length of the well-formed multi-byte sequence at `p`, 0 when there is none. */
static size_t sequence_len(const unsigned char *p, size_t room)
{
    unsigned char lead = p[0];
    size_t len = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || room < len)
        return 0;
    /* The second byte alone decides about overlong forms, surrogates and the upper end. */
    unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    unsigned char high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++) {
        if (!is_continuation(p[i]))
            return 0;
    }
    return len;
}

/* Past the strides that are all ASCII. */
static size_t skip_ascii(const unsigned char *p, size_t i, size_t len)
{
    uint64_t words[4];
    for (; len - i >= sizeof words; i += sizeof words) {
        memcpy(words, p + i, sizeof words);
        if (((words[0] | words[1] | words[2] | words[3]) & high_bits) != 0)
            break;
    }
    for (; len - i >= sizeof words[0]; i += sizeof words[0]) {
        memcpy(words, p + i, sizeof words[0]);
        if ((words[0] & high_bits) != 0)
            break;
    }
    return i;
}

bool wh_utf8_is_valid(struct wh_slice text)
{
    const unsigned char *p = (const unsigned char *)text.ptr;
    size_t i = 0;
    while ((i = skip_ascii(p, i, text.len)) < text.len) {
        size_t step = p[i] < 0x80 ? 1 : sequence_len(p + i, text.len - i);
        if (step == 0)
            return false;
        i += step;
    }
    return true;
}

size_t wh_utf8_next(struct wh_slice text)
{
    if (text.len == 0)
        return 0;
    const unsigned char *p = (const unsigned char *)text.ptr;
    return p[0] < 0x80 ? 1 : sequence_len(p, text.len);
}

size_t wh_utf8_encode(uint32_t code_point, char out[4])
{
    if (code_point > 0x10FFFF || (code_point >= 0xD800 && code_point <= 0xDFFF))
        return 0;
    if (code_point < 0x80) {
        out[0] = (char)code_point;
        return 1;
    }
    size_t len = code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code_point & 0x3F));
        code_point >>= 6;
    }
    static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    out[0] = (char)(lead[len] | code_point);
    return len;
}
