/*
 * A traceparent is 55 characters at fixed places (§3.2.2):
 *
 *     00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
 *     ^  ^                                ^                ^
 *     0  3                                36               53
 *
 * The tracestate (§3.3) is others' business: it is checked against the grammar, so that nothing
 * which is not one is passed on as one, and not looked into.
 */
#include "common/base/trace.h"

#include "common/base/random.h"

#include <string.h>

enum { TRACE_ID_AT = 3, SPAN_ID_AT = 36, FLAGS_AT = 53 };

enum {
    KEY_MAX = 256,
    TENANT_MAX = 241,
    SYSTEM_MAX = 14,
    VALUE_MAX = 256,
    RATIO_TEXT_MAX = 20, /* characters */
};

static bool is_zero(const uint8_t *bytes, size_t len)
{
    uint8_t all = 0;
    for (size_t i = 0; i < len; i++)
        all |= bytes[i];
    return all == 0;
}

bool wh_trace_is_valid(const struct wh_trace *trace)
{
    return !is_zero(trace->trace_id, WH_TRACE_ID_BYTES) &&
           !is_zero(trace->span_id, WH_SPAN_ID_BYTES);
}

bool wh_trace_is_sampled(const struct wh_trace *trace)
{
    return (trace->flags & WH_TRACE_SAMPLED) && wh_trace_is_valid(trace);
}

/* Hex */

void wh_trace_hex(const uint8_t *bytes, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * len] = '\0';
}

/* Upper case is not allowed on the wire. */
static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_hex(const char *text, uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        int high = digit_of(text[2 * i]);
        int low = digit_of(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* traceparent */

/* What follows the flags: nothing in version 00; in later ones nothing or "-" and more. */
static bool is_end_right(struct wh_slice text, uint8_t version)
{
    if (text.len == WH_TRACEPARENT_LEN)
        return true;
    return version != 0 && text.ptr[WH_TRACEPARENT_LEN] == '-';
}

enum wh_err wh_trace_parse(struct wh_slice traceparent, struct wh_trace *out_trace)
{
    const char *text = traceparent.ptr;
    struct wh_trace trace;
    uint8_t version;
    if (traceparent.len < WH_TRACEPARENT_LEN || text[TRACE_ID_AT - 1] != '-' ||
        text[SPAN_ID_AT - 1] != '-' || text[FLAGS_AT - 1] != '-' || !read_hex(text, &version, 1) ||
        !read_hex(text + TRACE_ID_AT, trace.trace_id, WH_TRACE_ID_BYTES) ||
        !read_hex(text + SPAN_ID_AT, trace.span_id, WH_SPAN_ID_BYTES) ||
        !read_hex(text + FLAGS_AT, &trace.flags, 1))
        return WH_EFORMAT;
    if (version == 0xff || !is_end_right(traceparent, version) || !wh_trace_is_valid(&trace))
        return WH_EFORMAT;
    trace.flags &= WH_TRACE_SAMPLED;
    *out_trace = trace;
    return WH_OK;
}

void wh_trace_format(const struct wh_trace *trace, char out[WH_TRACEPARENT_LEN + 1])
{
    memcpy(out, "00-", TRACE_ID_AT);
    wh_trace_hex(trace->trace_id, WH_TRACE_ID_BYTES, out + TRACE_ID_AT);
    out[SPAN_ID_AT - 1] = '-';
    wh_trace_hex(trace->span_id, WH_SPAN_ID_BYTES, out + SPAN_ID_AT);
    out[FLAGS_AT - 1] = '-';
    wh_trace_hex(&trace->flags, 1, out + FLAGS_AT);
}

void wh_trace_id_format(const struct wh_trace *trace, char out[WH_TRACE_ID_HEX + 1])
{
    wh_trace_hex(trace->trace_id, WH_TRACE_ID_BYTES, out);
}

/* tracestate */

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* At most `max` characters of a key, the first a letter, or a digit where that is allowed. */
static bool is_key_part(struct wh_slice text, size_t max, bool may_begin_with_digit)
{
    if (text.len == 0 || text.len > max ||
        !(is_lower(text.ptr[0]) || (may_begin_with_digit && is_digit(text.ptr[0]))))
        return false;
    for (size_t i = 1; i < text.len; i++)
        if (!is_lower(text.ptr[i]) && !is_digit(text.ptr[i]) &&
            !(text.ptr[i] && strchr("_-*/", text.ptr[i])))
            return false;
    return true;
}

/* "key", or "tenant@system". */
static bool is_key(struct wh_slice key)
{
    const char *at = key.len ? memchr(key.ptr, '@', key.len) : NULL;
    if (!at)
        return is_key_part(key, KEY_MAX, false);
    size_t tenant_len = (size_t)(at - key.ptr);
    return is_key_part(wh_slice(key.ptr, tenant_len), TENANT_MAX, true) &&
           is_key_part(wh_slice_from(key, tenant_len + 1), SYSTEM_MAX, false);
}

/* Printable ASCII but "," and "="; not a blank at its end, which wh_slice_trim() has seen to. */
static bool is_value(struct wh_slice value)
{
    if (value.len == 0 || value.len > VALUE_MAX)
        return false;
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] < 0x20 || value.ptr[i] > 0x7e || value.ptr[i] == ',' ||
            value.ptr[i] == '=')
            return false;
    return true;
}

static bool is_member(struct wh_slice member)
{
    const char *equals = memchr(member.ptr, '=', member.len);
    if (!equals)
        return false;
    size_t key_len = (size_t)(equals - member.ptr);
    return is_key(wh_slice(member.ptr, key_len)) && is_value(wh_slice_from(member, key_len + 1));
}

struct wh_slice wh_trace_state(struct wh_slice tracestate)
{
    struct wh_slice rest = tracestate;
    unsigned members = 0;
    if (tracestate.len == 0 || tracestate.len > WH_TRACESTATE_MAX)
        return WH_SLICE_ABSENT;
    while (rest.len > 0) {
        const char *comma = memchr(rest.ptr, ',', rest.len);
        size_t len = comma ? (size_t)(comma - rest.ptr) : rest.len;
        struct wh_slice member = wh_slice_trim(wh_slice(rest.ptr, len));
        /* Empty members are allowed (§3.3.1.1). */
        if (member.len > 0 && (++members > WH_TRACESTATE_MEMBERS || !is_member(member)))
            return WH_SLICE_ABSENT;
        rest = wh_slice_from(rest, len + 1);
    }
    return members > 0 ? tracestate : WH_SLICE_ABSENT;
}

/* Sampling */

enum wh_err wh_trace_ratio_parse(struct wh_slice text, double *out_ratio)
{
    double ratio = 0, unit = 1;
    bool is_fraction = false;
    size_t digits = 0;
    if (text.len > RATIO_TEXT_MAX)
        return WH_EFORMAT;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '.' && !is_fraction && digits > 0) {
            is_fraction = true;
            continue;
        }
        if (!is_digit(c))
            return WH_EFORMAT;
        digits++;
        ratio = ratio * 10 + (c - '0');
        unit *= is_fraction ? 10 : 1;
    }
    if (digits == 0 || text.ptr[text.len - 1] == '.' || ratio / unit > 1)
        return WH_EFORMAT;
    *out_ratio = ratio / unit;
    return WH_OK;
}

/* OpenTelemetry's TraceIdRatioBased: the last 8 bytes, less one bit, against the ratio of 2^63. */
bool wh_trace_ratio_takes(double ratio, const uint8_t trace_id[WH_TRACE_ID_BYTES])
{
    uint64_t number = 0;
    for (size_t i = 8; i < WH_TRACE_ID_BYTES; i++)
        number = number << 8 | trace_id[i];
    if (ratio >= 1)
        return true;
    return ratio > 0 && number >> 1 < (uint64_t)(ratio * 0x1p63);
}

static void new_id(uint8_t *id, size_t len)
{
    do
        wh_random_bytes(id, len);
    while (is_zero(id, len));
}

void wh_trace_begin(double ratio, struct wh_trace *out_trace)
{
    new_id(out_trace->trace_id, WH_TRACE_ID_BYTES);
    new_id(out_trace->span_id, WH_SPAN_ID_BYTES);
    out_trace->flags = wh_trace_ratio_takes(ratio, out_trace->trace_id) ? WH_TRACE_SAMPLED : 0;
}

void wh_trace_child(const struct wh_trace *parent, struct wh_trace *out_trace)
{
    *out_trace = *parent;
    new_id(out_trace->span_id, WH_SPAN_ID_BYTES);
}

void wh_trace_continue(const struct wh_trace *parent, double ratio, struct wh_trace *out_trace)
{
    if (parent && wh_trace_is_valid(parent))
        wh_trace_child(parent, out_trace);
    else
        wh_trace_begin(ratio, out_trace);
}
