#include "client-sdk/src/upgrade.h"

#include "common/base/base64.h"
#include "common/base/random.h"

#include <openssl/evp.h>
#include <stdio.h>

enum { KEY_RANDOM_BYTES = 16, SHA1_BYTES = 20, HEADER_VALUE_BYTES_MAX = 8192 };

static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455 §1.3 */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char to_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Of ASCII only: strcasecmp asks the program's locale, and in a Turkish one I is not i. */
static bool is_equal_nocase(struct wh_slice slice, const char *text)
{
    size_t i = 0;
    while (i < slice.len && text[i] && to_lower(slice.ptr[i]) == to_lower(text[i]))
        i++;
    return i == slice.len && !text[i];
}

void upgrade_make_key(char out_key[UPGRADE_KEY_BYTES + 1])
{
    unsigned char bytes[KEY_RANDOM_BYTES + 2];
    wh_random_bytes(bytes, KEY_RANDOM_BYTES);
    (void)EVP_EncodeBlock((unsigned char *)out_key, bytes, KEY_RANDOM_BYTES);
}

/* ---- requests ------------------------------------------------------------------------------ */

/* RFC 9110 §5.6.2. */
static bool is_token(struct wh_slice text)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) ||
              memchr(marks, c, sizeof marks - 1)))
            return false;
    }
    return text.len > 0;
}

static bool is_field_value(const char *text)
{
    for (const char *c = text; *c; c++)
        if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f)
            return false;
    return true;
}

/* What the request says itself, and what would give it a body. */
static bool is_ours(struct wh_slice name)
{
    static const char *const ours[] = {"Host",
                                       "Upgrade",
                                       "Connection",
                                       "Content-Length",
                                       "Transfer-Encoding",
                                       "Sec-WebSocket-Key",
                                       "Sec-WebSocket-Version",
                                       "Sec-WebSocket-Protocol",
                                       "Sec-WebSocket-Accept",
                                       "Sec-WebSocket-Extensions"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (is_equal_nocase(name, ours[i]))
            return true;
    return false;
}

const char *upgrade_header_fault(const struct wh_header *header, bool is_real)
{
    struct wh_slice name = wh_slice_from_str(header->name);
    if (!is_token(name))
        return "is no name of a header";
    if (is_real && is_ours(name))
        return "belongs to the WebSocket handshake";
    if (!header->value || strlen(header->value) > HEADER_VALUE_BYTES_MAX)
        return "has no value, or one longer than 8192 bytes";
    return is_field_value(header->value) ? NULL
                                         : "has a value with a line end or control characters";
}

void upgrade_write(const struct upgrade_request *request, struct wh_buf *out)
{
    wh_buf_printf(out,
                  "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n",
                  request->path, request->host, request->key);
    if (request->subprotocol)
        wh_buf_printf(out, "Sec-WebSocket-Protocol: %s\r\n", request->subprotocol);
    for (size_t i = 0; i < request->header_count; i++)
        wh_buf_printf(out, "%s: %s\r\n", request->headers[i].name, request->headers[i].value);
    wh_buf_append_str(out, "\r\n");
}

void upgrade_write_connect(const char *authority, const char *auth, struct wh_buf *out)
{
    wh_buf_printf(out, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", authority, authority);
    if (auth) {
        wh_buf_append_str(out, "Proxy-Authorization: Basic ");
        wh_base64_encode(WH_BASE64_STANDARD, wh_slice_from_str(auth), out);
        wh_buf_append_str(out, "\r\n");
    }
    wh_buf_append_str(out, "\r\n");
}

/* ---- answers ------------------------------------------------------------------------------- */

size_t upgrade_head_size(struct wh_slice bytes)
{
    const char *end = bytes.len > 0 ? memmem(bytes.ptr, bytes.len, "\r\n\r\n", 4) : NULL;
    return end ? (size_t)(end - bytes.ptr) + 4 : 0;
}

/* The next line without its end; false behind the last. */
static bool next_line(struct wh_slice *rest, struct wh_slice *out_line)
{
    const char *end = rest->len > 0 ? memmem(rest->ptr, rest->len, "\r\n", 2) : NULL;
    if (!end || end == rest->ptr)
        return false;
    size_t len = (size_t)(end - rest->ptr);
    *out_line = wh_slice(rest->ptr, len);
    *rest = wh_slice(end + 2, rest->len - len - 2);
    return true;
}

/* RFC 9112 §4; the reason is for people. */
static bool read_status(struct wh_slice line, struct upgrade_answer *answer)
{
    static const char version[] = "HTTP/1.";
    size_t prefix = sizeof version - 1;
    if (line.len < prefix + 5 || memcmp(line.ptr, version, prefix) != 0)
        return false;
    const char *c = line.ptr + prefix;
    if (!is_digit(c[0]) || c[1] != ' ' || !is_digit(c[2]) || !is_digit(c[3]) || !is_digit(c[4]))
        return false;
    if (line.len > prefix + 5 && c[5] != ' ')
        return false;
    answer->status =
        (unsigned)(c[2] - '0') * 100 + (unsigned)(c[3] - '0') * 10 + (unsigned)(c[4] - '0');
    size_t len = line.len - prefix - 2;
    if (len >= sizeof answer->text)
        len = sizeof answer->text - 1;
    for (size_t i = 0; i < len; i++)
        answer->text[i] = c[2 + i] >= ' ' && c[2 + i] <= '~' ? c[2 + i] : '?';
    answer->text[len] = '\0';
    return answer->status >= 100;
}

static bool split_header(struct wh_slice line,
                         struct wh_slice *out_name,
                         struct wh_slice *out_value)
{
    const char *colon = memchr(line.ptr, ':', line.len);
    size_t len = colon ? (size_t)(colon - line.ptr) : 0;
    *out_name = wh_slice(line.ptr, len);
    /* Also what is folded: a line that begins with blanks has no name (RFC 9112 §5.2). */
    if (!is_token(*out_name))
        return false;
    for (size_t i = len; i < line.len; i++) /* RFC 9110 §5.5 */
        if (line.ptr[i] == '\0' || line.ptr[i] == '\r' || line.ptr[i] == '\n')
            return false;
    *out_value = wh_slice_trim(wh_slice(colon + 1, line.len - len - 1));
    return true;
}

/* Whether a list by commas has it. */
static bool has_token(struct wh_slice list, const char *token)
{
    while (list.len > 0) {
        const char *comma = memchr(list.ptr, ',', list.len);
        size_t len = comma ? (size_t)(comma - list.ptr) : list.len;
        if (is_equal_nocase(wh_slice_trim(wh_slice(list.ptr, len)), token))
            return true;
        if (!comma)
            return false;
        list = wh_slice(comma + 1, list.len - len - 1);
    }
    return false;
}

static bool is_accepted(struct wh_slice value, const char *key)
{
    char text[UPGRADE_KEY_BYTES + sizeof guid];
    unsigned char digest[EVP_MAX_MD_SIZE];
    char expected[EVP_MAX_MD_SIZE * 2];
    int len = snprintf(text, sizeof text, "%s%s", key, guid);
    if (EVP_Digest(text, (size_t)len, digest, NULL, EVP_sha1(), NULL) != 1)
        return false;
    (void)EVP_EncodeBlock((unsigned char *)expected, digest, SHA1_BYTES);
    return wh_slice_equal_str(value, expected);
}

struct seen {
    bool upgrade, connection, accept;
};

static const char no_switch[] = "the answer does not switch to WebSocket";

/* NULL = nothing against it. */
static const char *check_header(struct wh_slice name,
                                struct wh_slice value,
                                const struct upgrade_request *request,
                                struct upgrade_answer *answer,
                                struct seen *seen)
{
    if (is_equal_nocase(name, "Upgrade")) {
        /* No list, unlike Connection (RFC 6455 §4.1). */
        if (seen->upgrade || !is_equal_nocase(value, "websocket"))
            return no_switch;
        seen->upgrade = true;
    } else if (is_equal_nocase(name, "Connection")) {
        seen->connection = seen->connection || has_token(value, "upgrade");
    } else if (is_equal_nocase(name, "Sec-WebSocket-Accept")) {
        if (seen->accept || !is_accepted(value, request->key))
            return "its Sec-WebSocket-Accept is not the answer to our key";
        seen->accept = true;
    } else if (is_equal_nocase(name, "Sec-WebSocket-Extensions")) {
        return "it uses an extension that was not offered";
    } else if (is_equal_nocase(name, "Sec-WebSocket-Protocol")) {
        if (answer->has_subprotocol || !request->subprotocol ||
            !wh_slice_equal_str(value, request->subprotocol))
            return "it chose a subprotocol that was not offered";
        answer->has_subprotocol = true;
    }
    return NULL;
}

static const char *check_switch(struct wh_slice lines,
                                const struct upgrade_request *request,
                                struct upgrade_answer *answer)
{
    struct wh_slice line, name, value;
    struct seen seen = {0};
    while (next_line(&lines, &line)) {
        if (!split_header(line, &name, &value))
            return "a header line of the answer is none";
        const char *fault = check_header(name, value, request, answer, &seen);
        if (fault)
            return fault;
    }
    if (!seen.upgrade || !seen.connection)
        return no_switch;
    return seen.accept ? NULL : "the answer has no Sec-WebSocket-Accept";
}

void upgrade_read(struct wh_slice head,
                  const struct upgrade_request *request,
                  struct upgrade_answer *out_answer)
{
    struct wh_slice line;
    *out_answer = (struct upgrade_answer){.status = 0};
    if (!next_line(&head, &line) || !read_status(line, out_answer)) {
        out_answer->status = 0;
        out_answer->fault = "the answer is no HTTP";
        return;
    }
    if (request && out_answer->status == 101)
        out_answer->fault = check_switch(head, request, out_answer);
}
