/*
 * The heads before a WebSocket.  The first byte picks: the answer of any server, to a request with
 * or without a subprotocol or to a CONNECT; or what a program has us write, two texts with a NUL
 * between them, and whatever they are, one head comes of them with the lines that it should have.
 */
#include "client-sdk/src/upgrade.h"

#include <stdlib.h>

/* RFC 6455 §1.3; the dictionary has them too. */
#define KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

enum { REQUEST, REQUEST_OF_SUBPROTOCOL, REQUEST_OF_PROXY, WRITING, MODES };

static bool has(struct wh_slice head, const char *text)
{
    return memmem(head.ptr, head.len, text, strlen(text)) != NULL;
}

/* Line ends are whole and nothing is NUL. */
static bool is_text(struct wh_slice lines)
{
    for (size_t i = 0; i < lines.len; i++) {
        bool is_end = lines.ptr[i] == '\r' && i + 1 < lines.len && lines.ptr[i + 1] == '\n';
        if (is_end)
            i++;
        else if (lines.ptr[i] == '\0' || lines.ptr[i] == '\r' || lines.ptr[i] == '\n')
            return false;
    }
    return true;
}

static void check_answer(const struct upgrade_answer *answer,
                         struct wh_slice head,
                         const struct upgrade_request *request)
{
    size_t len = strnlen(answer->text, sizeof answer->text);
    WH_ASSERT(len < sizeof answer->text);
    for (size_t i = 0; i < len; i++)
        WH_ASSERT(answer->text[i] >= ' ' && answer->text[i] <= '~');
    WH_ASSERT(answer->status == 0 ? answer->fault != NULL
                                  : answer->status >= 100 && answer->status <= 999 && len >= 3);
    if (!request || answer->status != 101) {
        WH_ASSERT(!answer->has_subprotocol && (!answer->fault || answer->status == 0));
    } else if (!answer->fault) {
        const char *first = memmem(head.ptr, head.len, "\r\n", 2);
        WH_ASSERT(has(head, ACCEPT));
        WH_ASSERT(is_text(wh_slice_from(head, (size_t)(first - head.ptr))));
        WH_ASSERT(!answer->has_subprotocol || (request->subprotocol && has(head, "chat")));
    }
}

static void read_answer(const struct upgrade_request *request, const uint8_t *data, size_t size)
{
    struct upgrade_answer answer;
    size_t len = upgrade_head_size(wh_slice(data, size));
    if (len == 0)
        return;
    WH_ASSERT(len <= size && memcmp(data + len - 4, "\r\n\r\n", 4) == 0);
    WH_ASSERT(upgrade_head_size(wh_slice(data, len - 1)) == 0);
    /* A copy of exactly its size, so that the sanitizer sees what goes beyond. */
    char *copy = malloc(len);
    WH_ASSERT(copy);
    memcpy(copy, data, len);
    upgrade_read(wh_slice(copy, len), request, &answer);
    check_answer(&answer, wh_slice(copy, len), request);
    free(copy);
}

/* It is one head, of so many lines. */
static void check_head(struct wh_buf *out, size_t lines)
{
    struct wh_slice head = wh_buf_slice(out);
    WH_ASSERT(wh_buf_error(out) == WH_OK && upgrade_head_size(head) == head.len);
    WH_ASSERT(is_text(head));
    for (size_t i = 0; i < head.len; i++)
        lines -= head.ptr[i] == '\n';
    WH_ASSERT(lines == 0);
    wh_buf_deinit(out);
}

static void write_header(const struct wh_header *header, struct upgrade_request request)
{
    struct wh_buf out = {0};
    if (upgrade_header_fault(header, true))
        return;
    request.headers = header;
    request.header_count = 1;
    upgrade_write(&request, &out);
    check_head(&out, 9);
}

static void write_connect(const char *auth)
{
    struct wh_buf out = {0};
    upgrade_write_connect("example.org:443", auth, &out);
    check_head(&out, 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct upgrade_request request = {.host = "example.org", .path = "/", .key = KEY};
    if (size == 0)
        return 0;
    unsigned mode = data[0] % MODES;
    if (mode == REQUEST_OF_SUBPROTOCOL || mode == WRITING)
        request.subprotocol = "chat";
    if (mode != WRITING) {
        read_answer(mode == REQUEST_OF_PROXY ? NULL : &request, data + 1, size - 1);
        return 0;
    }
    /* Two texts: up to a NUL, and what follows. */
    char *texts = calloc(1, size + 1);
    WH_ASSERT(texts);
    memcpy(texts, data + 1, size - 1);
    size_t len = strlen(texts);
    const char *second = len < size - 1 ? texts + len + 1 : texts + len;
    write_header(&(struct wh_header){texts, second}, request);
    write_connect(texts);
    free(texts);
    return 0;
}
