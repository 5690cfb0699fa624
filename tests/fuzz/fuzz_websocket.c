/*
 * Frames of any server.  The first byte picks the limit and, in its upper half, the allocation
 * that fails; the second says how many bytes follow with the lengths of pieces.  The rest is what
 * the server sends: it must mean the same in one piece and in those, and take no more memory than
 * the limit allows.
 */
#include "client-sdk/src/websocket.h"
#include "common/base/alloc.h"
#include "common/base/utf8.h"

#include <stdlib.h>

enum {
    PIECES_MAX = 16,
    HEADER_BYTES = 16,           /* before each block: its size */
    MEMORY_FACTOR_MAX = 4,       /* fragments grow by doubling, and are copied into a message */
    MEMORY_BYTES_EXTRA = 1 << 13 /* what two empty messages take */
};

static const size_t limits[] = {0, 1, 125, 126, 1000, 65535, 65536, 1 << 20};

/* ---- memory that is counted --------------------------------------------------------------------
 */

static size_t bytes_used, bytes_peak, allocations, failing_allocation;

static void *counted_realloc(void *ptr, size_t size)
{
    if (++allocations == failing_allocation)
        return NULL;
    char *block = ptr ? (char *)ptr - HEADER_BYTES : NULL;
    size_t before = 0;
    if (block)
        memcpy(&before, block, sizeof before);
    /* Both are there for a moment, as in a realloc that moves. */
    bytes_used += size;
    bytes_peak = bytes_used > bytes_peak ? bytes_used : bytes_peak;
    bytes_used -= before;
    block = realloc(block, HEADER_BYTES + size);
    WH_ASSERT(block);
    memcpy(block, &size, sizeof size);
    return block + HEADER_BYTES;
}

static void *counted_malloc(size_t size)
{
    return counted_realloc(NULL, size);
}

static void counted_free(void *ptr)
{
    size_t size;
    if (!ptr)
        return;
    char *block = (char *)ptr - HEADER_BYTES;
    memcpy(&size, block, sizeof size);
    bytes_used -= size;
    free(block);
}

/* ---- what was read -----------------------------------------------------------------------------
 */

struct reading {
    struct ws_reader reader;
    size_t limit;
    char *log; /* of libc, so that it does not count */
    size_t log_len;
    enum ws_kind end; /* WS_EVENT_NONE = none yet */
};

static void add(struct reading *reading, const void *bytes, size_t len)
{
    char *log = realloc(reading->log, reading->log_len + len + 1);
    WH_ASSERT(log);
    if (len > 0)
        memcpy(log + reading->log_len, bytes, len);
    reading->log = log;
    reading->log_len += len;
}

static void check_message(struct reading *reading, struct message *message)
{
    WH_ASSERT(message->len <= reading->limit && message->bytes[message->len] == '\0');
    WH_ASSERT(!message->is_text || wh_utf8_is_valid(wh_slice(message->bytes, message->len)));
    add(reading, &message->is_text, sizeof message->is_text);
    add(reading, &message->len, sizeof message->len);
    add(reading, message->bytes, message->len);
    message_unref(message);
}

static void check_event(struct reading *reading, const struct ws_event *event)
{
    add(reading, &event->kind, sizeof event->kind);
    add(reading, &event->code, sizeof event->code);
    WH_ASSERT((event->kind == WS_EVENT_MESSAGE) == (event->message != NULL));
    WH_ASSERT((event->kind == WS_EVENT_BROKEN) == (event->why != NULL));
    WH_ASSERT(event->payload.len <= WS_CONTROL_BYTES_MAX);
    add(reading, &event->payload.len, sizeof event->payload.len);
    add(reading, event->payload.ptr, event->payload.len);
    if (event->message)
        check_message(reading, event->message);
    if (event->kind == WS_EVENT_CLOSE)
        WH_ASSERT(event->code >= 1000 && wh_utf8_is_valid(event->payload));
    if (event->kind == WS_EVENT_BROKEN) {
        WH_ASSERT(event->code == WS_STATUS_PROTOCOL_ERROR || event->code == WS_STATUS_BAD_TEXT);
        add(reading, event->why, strlen(event->why));
    }
    if (event->kind >= WS_EVENT_TOO_BIG)
        reading->end = event->kind;
}

/* From a copy of exactly its size, so that the sanitizer sees what goes beyond. */
static void read_piece(struct reading *reading, const uint8_t *bytes, size_t len)
{
    struct ws_event event;
    char *copy = malloc(len > 0 ? len : 1);
    WH_ASSERT(copy);
    if (len > 0)
        memcpy(copy, bytes, len);
    struct wh_slice rest = wh_slice(len > 0 ? copy : NULL, len);
    do {
        ws_read(&reading->reader, &rest, &event);
        if (event.kind == WS_EVENT_NONE)
            WH_ASSERT(rest.len == 0);
        else
            check_event(reading, &event);
    } while (event.kind != WS_EVENT_NONE && reading->end == WS_EVENT_NONE);
    free(copy);
}

/* In pieces of `lengths`, again and again; none = in one. */
static struct reading read_all(const uint8_t *bytes,
                               size_t len,
                               const uint8_t *lengths,
                               size_t count,
                               size_t limit)
{
    struct reading reading = {.limit = limit};
    bytes_peak = bytes_used = 0;
    ws_reader_init(&reading.reader, NULL, limit);
    for (size_t i = 0, empty = 0; len > 0 && reading.end == WS_EVENT_NONE; i++) {
        size_t piece = count > 0 ? lengths[i % count] : len;
        empty = piece > 0 ? 0 : empty + 1;
        if (empty > PIECES_MAX)
            piece = 1;
        piece = piece < len ? piece : len;
        read_piece(&reading, bytes, piece);
        bytes += piece;
        len -= piece;
    }
    ws_reader_deinit(&reading.reader);
    WH_ASSERT(bytes_used == 0);
    WH_ASSERT(bytes_peak <= limit * MEMORY_FACTOR_MAX + MEMORY_BYTES_EXTRA);
    return reading;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct wh_allocator counted = {counted_malloc, counted_realloc, counted_free};
    size_t pieces = size < 2 ? 0 : data[1] % (PIECES_MAX + 1);
    if (size < 2 + pieces)
        return 0;
    size_t limit = limits[data[0] % (sizeof limits / sizeof *limits)];
    const uint8_t *bytes = data + 2 + pieces;
    size_t len = size - 2 - pieces;
    wh_alloc_set(&counted);
    failing_allocation = 0;
    struct reading whole = read_all(bytes, len, NULL, 0, limit);
    WH_ASSERT(whole.end != WS_EVENT_NO_MEMORY);
    failing_allocation = data[0] >> 4;
    allocations = 0;
    struct reading split = read_all(bytes, len, data + 2, pieces, limit);
    if (split.end == WS_EVENT_NO_MEMORY) /* what came before is the same */
        split.log_len -= sizeof split.end + sizeof(uint16_t) + sizeof(size_t);
    else
        WH_ASSERT(split.log_len == whole.log_len && split.end == whole.end);
    WH_ASSERT(split.log_len <= whole.log_len);
    WH_ASSERT(split.log_len == 0 || memcmp(split.log, whole.log, split.log_len) == 0);
    wh_alloc_set(NULL);
    free(whole.log);
    free(split.log);
    return 0;
}
