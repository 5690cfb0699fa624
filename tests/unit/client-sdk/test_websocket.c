/*
 * Frames of a server, good and bad, whole and in pieces, and the frames that we write.
 * What a reader makes of bytes is noted as one text, so that a test is a line of bytes and a line
 * of what they mean: "text(hello) ping() close 1000(bye)".
 */
#include "client-sdk/src/websocket.h"

#include "common/base/random.h"
#include "common/base/utf8.h"
#include "tests/support/failing_alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { LIMIT = 1 << 22, FIN = 0x80, MASKED = 0x80 };

/* The bytes of a literal, NULs included. */
#define BYTES(literal) WH_SLICE_LITERAL(literal)

/* ---- reading ------------------------------------------------------------------------------- */

static void note_payload(struct wh_buf *log, const char *kind, const char *bytes, size_t len)
{
    wh_buf_printf(log, "%s%s(", log->len > 0 ? " " : "", kind);
    wh_buf_append(log, bytes, len);
    wh_buf_append_char(log, ')');
}

static void note_message(struct wh_buf *log, struct message *message)
{
    if (!message) {
        fail();
        return; /* the analyzer does not know */
    }
    assert_int_equal(message->bytes[message->len], '\0');
    note_payload(log, message->is_text ? "text" : "binary", message->bytes, message->len);
    message_unref(message);
}

/* false = the end, or nothing more in these bytes. */
static bool note(struct wh_buf *log, const struct ws_event *event)
{
    char close[32];
    const char *blank = log->len > 0 ? " " : "";
    assert_true((event->kind == WS_EVENT_MESSAGE) == (event->message != NULL));
    switch (event->kind) {
    case WS_EVENT_NONE:
        return false;
    case WS_EVENT_MESSAGE:
        note_message(log, event->message);
        return true;
    case WS_EVENT_PING:
    case WS_EVENT_PONG:
        note_payload(log, event->kind == WS_EVENT_PING ? "ping" : "pong", event->payload.ptr,
                     event->payload.len);
        return true;
    case WS_EVENT_CLOSE:
        snprintf(close, sizeof close, "close %u", event->code);
        note_payload(log, close, event->payload.ptr, event->payload.len);
        return true;
    case WS_EVENT_BROKEN:
        wh_buf_printf(log, "%sbroken %u %s", blank, event->code, event->why);
        return false;
    case WS_EVENT_TOO_BIG:
        wh_buf_printf(log, "%stoo big", blank);
        return false;
    case WS_EVENT_NO_MEMORY:
        wh_buf_printf(log, "%sno memory", blank);
        return false;
    }
    fail();
    return false;
}

/* Reads a copy of exactly its size, so that the sanitizer sees what goes beyond.  false = the end
 * has come.  Only the reader's allocations may fail, not those of the log. */
static bool read_piece(struct ws_reader *reader, struct wh_slice piece, struct wh_buf *log)
{
    char *copy = malloc(piece.len > 0 ? piece.len : 1);
    struct ws_event event;
    bool goes_on;
    if (piece.len > 0)
        memcpy(copy, piece.ptr, piece.len);
    struct wh_slice rest = wh_slice(copy, piece.len);
    do {
        bool is_torture = failing_alloc_nth > 0;
        if (is_torture)
            failing_alloc_pause(false);
        ws_read(reader, &rest, &event);
        if (is_torture)
            failing_alloc_pause(true);
        goes_on = note(log, &event);
    } while (goes_on);
    free(copy);
    if (event.kind == WS_EVENT_NONE)
        assert_int_equal(rest.len, 0);
    return event.kind == WS_EVENT_NONE;
}

/* Cuts into pieces of `step` bytes; 0 = of random lengths. */
static void read_into(struct wh_slice bytes, size_t limit, size_t step, struct wh_buf *log)
{
    struct ws_reader reader;
    bool goes_on = true;
    ws_reader_init(&reader, NULL, limit);
    while (goes_on && bytes.len > 0) {
        size_t len = step > 0 ? step : (size_t)wh_random_below(1 + wh_random_below(300));
        len = len < bytes.len ? len : bytes.len;
        goes_on = read_piece(&reader, wh_slice(bytes.ptr, len), log);
        bytes = wh_slice_from(bytes, len);
    }
    ws_reader_deinit(&reader);
}

static void check_log(struct wh_buf *log, struct wh_slice expected, const char *what)
{
    assert_int_equal(wh_buf_error(log), WH_OK);
    if (!wh_slice_equal(wh_buf_slice(log), expected))
        fail_msg("%s: \"%.*s\" instead of \"%.*s\"", what, WH_SLICE_ARGS(wh_buf_slice(log)),
                 WH_SLICE_ARGS(expected));
    wh_buf_deinit(log);
}

/* In one piece and byte by byte. */
static void check_reading(struct wh_slice bytes, size_t limit, const char *expected)
{
    struct wh_buf log = {0};
    read_into(bytes, limit, SIZE_MAX, &log);
    check_log(&log, wh_slice_from_str(expected), "in one piece");
    read_into(bytes, limit, 1, &log);
    check_log(&log, wh_slice_from_str(expected), "byte by byte");
}

/* ---- frames of a server --------------------------------------------------------------------- */

/* A header whose length has `size` bytes in all: 2, 4 or 10. */
static void put_header(struct wh_buf *out, unsigned first, size_t size, uint64_t len)
{
    wh_buf_append_char(out, (char)first);
    wh_buf_append_char(out, (char)(size == 2 ? len : size == 4 ? 126 : 127));
    for (size_t i = size - 2; i > 0; i--)
        wh_buf_append_char(out, (char)(len >> 8 * (i - 1)));
}

static void put_frame(struct wh_buf *out, unsigned first, struct wh_slice payload)
{
    size_t size = payload.len < 126 ? 2 : payload.len < 65536 ? 4 : 10;
    put_header(out, first, size, payload.len);
    wh_buf_append_slice(out, payload);
}

static void what_a_server_may_send_is_taken(void **state)
{
    (void)state;
    static const struct {
        struct wh_slice bytes;
        const char *means;
    } cases[] = {
        {BYTES(""), ""},
        {BYTES("\x81\x05hello"), "text(hello)"},
        {BYTES("\x82\x02\xff\xfe"), "binary(\xff\xfe)"},
        {BYTES("\x81\x00\x82\x00"), "text() binary()"},
        {BYTES("\x01\x03Hel\x80\x02lo"), "text(Hello)"}, /* RFC 6455 §5.7 */
        {BYTES("\x89\x05Hello"), "ping(Hello)"},
        {BYTES("\x8a\x00\x89\x00"), "pong() ping()"},
        {BYTES("\x01\x00\x80\x00"), "text()"},
        {BYTES("\x02\x00\x00\x00\x00\x01x\x80\x00"), "binary(x)"},
        {BYTES("\x01\x01"
               "a\x89\x01p\x00\x01"
               "b\x8a\x00\x88\x02\x03\xe8\x80\x01"
               "c"),
         "ping(p) pong() close 1000() text(abc)"},
        {BYTES("\x01\x01"
               "a\x80\x01"
               "b\x02\x01"
               "c\x80\x01"
               "d\x81\x01"
               "e"),
         "text(ab) binary(cd) text(e)"},
        {BYTES("\x88\x00"), "close 1005()"},
        {BYTES("\x88\x05\x0b\xb8"
               "bye"),
         "close 3000(bye)"},
        {BYTES("\x81\x05hell"), ""},
        {BYTES("\x01\x05hello"), ""},
        {BYTES("\x81"), ""},
        {BYTES("\x81\x7e\x01"), ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_reading(cases[i].bytes, LIMIT, cases[i].means);
}

static void a_fault_of_a_frame_ends_it_with_1002(void **state)
{
    (void)state;
    static const struct {
        struct wh_slice bytes;
        const char *means;
    } cases[] = {
        {BYTES("\xc1\x00"), "reserved bits are set and no extension was agreed on"},
        {BYTES("\xa1\x00"), "reserved bits are set and no extension was agreed on"},
        {BYTES("\x91\x00"), "reserved bits are set and no extension was agreed on"},
        {BYTES("\xf9\x00"), "reserved bits are set and no extension was agreed on"},
        {BYTES("\x81\x81\0\0\0\0x"), "a frame of a server is masked"},
        {BYTES("\x81\x80\0\0\0\0"), "a frame of a server is masked"},
        {BYTES("\x89\x80\0\0\0\0"), "a frame of a server is masked"},
        {BYTES("\x82\x7e\x00\x00"), "a length is not in its shortest form"},
        {BYTES("\x82\x7e\x00\x7d"), "a length is not in its shortest form"},
        {BYTES("\x82\x7f\0\0\0\0\0\0\0\x01"), "a length is not in its shortest form"},
        {BYTES("\x82\x7f\0\0\0\0\0\0\0\x7e"), "a length is not in its shortest form"},
        {BYTES("\x82\x7f\0\0\0\0\0\0\xff\xff"), "a length is not in its shortest form"},
        {BYTES("\x8a\x7e\x00\x05"), "a length is not in its shortest form"},
        {BYTES("\x89\x7e\x00\x7e"), "a control frame longer than 125 bytes"},
        {BYTES("\x88\x7f\0\0\0\0\0\1\0\0"), "a control frame longer than 125 bytes"},
        {BYTES("\x8a\x7f\x80\0\0\0\0\0\0\0"), "a control frame longer than 125 bytes"},
        {BYTES("\x08\x00"), "a control frame in fragments"},
        {BYTES("\x09\x00"), "a control frame in fragments"},
        {BYTES("\x0a\x01x"), "a control frame in fragments"},
        {BYTES("\x80\x00"), "a continuation of nothing"},
        {BYTES("\x00\x01x"), "a continuation of nothing"},
        {BYTES("\x82\x7f\x80\0\0\0\0\0\0\0"), "a length beyond 2^63"},
        {BYTES("\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff"), "a length beyond 2^63"},
        {BYTES("\x88\x01\x03"), "a close frame with half a code"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char expected[160];
        snprintf(expected, sizeof expected, "broken 1002 %s", cases[i].means);
        check_reading(cases[i].bytes, LIMIT, expected);
    }
}

static void a_fault_behind_good_frames_is_found_behind_them(void **state)
{
    (void)state;
    check_reading(BYTES("\x01\x01x\x81\x01y"), LIMIT,
                  "broken 1002 a new message before the last one ended");
    check_reading(BYTES("\x02\x00\x89\x00\x02\x00"), LIMIT,
                  "ping() broken 1002 a new message before the last one ended");
    check_reading(BYTES("\x01\x01x\x80\x01y\x80\x01z"), LIMIT,
                  "text(xy) broken 1002 a continuation of nothing");
    check_reading(BYTES("\x81\x01x\x00\x00"), LIMIT,
                  "text(x) broken 1002 a continuation of nothing");
    check_reading(BYTES("\x81\x01x\xc1\x00more"), LIMIT,
                  "text(x) broken 1002 reserved bits are set and no extension was agreed on");
}

static void kinds_that_do_not_exist_are_refused(void **state)
{
    (void)state;
    for (unsigned first = 0; first < 256; first++) {
        unsigned opcode = first & 0x0f;
        if ((first & 0x70) || opcode <= WS_BINARY || (opcode >= WS_CLOSE && opcode <= WS_PONG))
            continue;
        char bytes[2] = {(char)first, 0};
        check_reading(wh_slice(bytes, 2), LIMIT,
                      opcode < WS_CLOSE ? "broken 1002 a frame of an unknown kind"
                                        : "broken 1002 a control frame of an unknown kind");
    }
}

/* ---- lengths and limits -----------------------------------------------------------------------
 */

static void each_form_of_length_is_read_up_to_its_limits(void **state)
{
    (void)state;
    static const size_t lengths[] = {0,   1,     7,     8,     9,     124,   125,    126,
                                     127, 65534, 65535, 65536, 65537, 70000, 1 << 20};
    static const size_t steps[] = {SIZE_MAX, 1, 2, 3, 4096};
    char *payload = malloc(1 << 20);
    for (size_t i = 0; i < 1 << 20; i++)
        payload[i] = (char)('a' + i % 23);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct wh_buf stream = {0}, expected = {0}, log = {0};
        put_frame(&stream, FIN | WS_TEXT, wh_slice(payload, lengths[i]));
        put_frame(&stream, FIN | WS_PING, BYTES("p"));
        note_payload(&expected, "text", payload, lengths[i]);
        wh_buf_append_str(&expected, " ping(p)");
        for (size_t step = 0; step < sizeof steps / sizeof *steps; step++) {
            read_into(wh_buf_slice(&stream), lengths[i], steps[step], &log);
            check_log(&log, wh_buf_slice(&expected), "a length");
        }
        wh_buf_deinit(&stream);
        wh_buf_deinit(&expected);
    }
    free(payload);
}

static void control_frames_hold_125_bytes(void **state)
{
    (void)state;
    static const uint8_t opcodes[] = {WS_PING, WS_PONG};
    char payload[WS_CONTROL_BYTES_MAX];
    memset(payload, 'x', sizeof payload);
    for (size_t i = 0; i < sizeof opcodes; i++) {
        struct wh_buf stream = {0}, expected = {0};
        put_frame(&stream, FIN | opcodes[i], wh_slice(payload, sizeof payload));
        note_payload(&expected, opcodes[i] == WS_PING ? "ping" : "pong", payload, sizeof payload);
        /* They do not count against the limit of messages. */
        check_reading(wh_buf_slice(&stream), 0, wh_buf_cstr(&expected));
        wh_buf_deinit(&stream);
        wh_buf_deinit(&expected);
    }
}

static void a_message_may_be_as_long_as_the_limit(void **state)
{
    (void)state;
    static const struct {
        size_t limit;
        struct wh_slice bytes;
        const char *means;
    } cases[] = {
        {4,
         BYTES("\x81\x04"
               "abcd\x81\x04"
               "efgh"),
         "text(abcd) text(efgh)"},
        {4, BYTES("\x81\x05"), "too big"}, /* announced, never sent */
        {4, BYTES("\x81\x01x\x82\x05"), "text(x) too big"},
        {4, BYTES("\x82\x7e\x00\x7e"), "too big"},
        {4, BYTES("\x82\x7f\0\0\0\0\0\1\0\0"), "too big"},
        {4, BYTES("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"), "too big"},
        {4, BYTES("\x01\x05"), "too big"},
        {4,
         BYTES("\x01\x03"
               "abc\x80\x01"
               "d\x02\x04"
               "efgh\x80\x00"),
         "text(abcd) binary(efgh)"},
        {4,
         BYTES("\x01\x03"
               "abc\x80\x02"),
         "too big"},
        {4,
         BYTES("\x01\x03"
               "abc\x00\x01"
               "d\x00\x00\x89\x05hello\x80\x01"),
         "ping(hello) too big"},
        {4,
         BYTES("\x01\x01"
               "a\x80\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"),
         "too big"},
        {0, BYTES("\x81\x00\x02\x00\x80\x00\x82\x01"), "text() binary() too big"},
        {65536, BYTES("\x82\x7f\0\0\0\0\0\1\0\1"), "too big"},
        {SIZE_MAX, BYTES("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"), "no memory"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_reading(cases[i].bytes, cases[i].limit, cases[i].means);
}

/* ---- text ------------------------------------------------------------------------------------ */

static const char *const bad_texts[] = {
    "\x80",         "\xbf",         "\xc0\x80",         "\xc1\xbf",         "\xc3",
    "\xe0\x9f\xbf", "\xe2\x82",     "\xed\xa0\x80",     "\xed\xbf\xbf",     "\xf0\x8f\xbf\xbf",
    "\xf0\x9f\x98", "\xf4\x90\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff",
    "\xfe",         "\xc3\x28",     "\xe2\x28\xa1",     "a\xe2\x82z",       "12345678\x80",
};

static void text_must_be_utf8_and_bytes_need_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_texts / sizeof *bad_texts; i++) {
        struct wh_slice text = wh_slice_from_str(bad_texts[i]);
        for (size_t cut = 0; cut <= text.len; cut++) {
            struct wh_buf stream = {0}, expected = {0};
            put_frame(&stream, WS_BINARY, wh_slice(text.ptr, cut));
            put_frame(&stream, FIN | WS_CONTINUATION, wh_slice_from(text, cut));
            put_frame(&stream, WS_TEXT, wh_slice(text.ptr, cut));
            put_frame(&stream, FIN | WS_PONG, BYTES(""));
            put_frame(&stream, FIN | WS_CONTINUATION, wh_slice_from(text, cut));
            wh_buf_printf(&expected,
                          "binary(%s) pong() broken 1007 a text message that is no UTF-8",
                          bad_texts[i]);
            check_reading(wh_buf_slice(&stream), LIMIT, wh_buf_cstr(&expected));
            wh_buf_reset(&stream);
            put_frame(&stream, FIN | WS_TEXT, text);
            check_reading(wh_buf_slice(&stream), LIMIT,
                          "broken 1007 a text message that is no UTF-8");
            wh_buf_deinit(&stream);
            wh_buf_deinit(&expected);
        }
    }
}

static void a_character_may_lie_in_several_fragments(void **state)
{
    (void)state;
    const char *text = "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";
    struct wh_buf stream = {0};
    for (size_t i = 0; text[i]; i++) {
        unsigned opcode = i == 0 ? WS_TEXT : WS_CONTINUATION;
        put_frame(&stream, opcode | (text[i + 1] ? 0 : FIN), wh_slice(text + i, 1));
        put_frame(&stream, FIN | WS_PING, BYTES(""));
    }
    check_reading(wh_buf_slice(&stream), LIMIT,
                  "ping() ping() ping() ping() ping() ping() ping() ping() "
                  "text(\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80) ping()");
    wh_buf_deinit(&stream);
}

/* ---- close ----------------------------------------------------------------------------------- */

static void codes_that_are_never_sent_are_faults(void **state)
{
    (void)state;
    for (unsigned code = 0; code <= UINT16_MAX; code++) {
        char bytes[] = {'\x88', 4, (char)(code >> 8), (char)code, 'o', 'k'};
        char expected[80];
        bool is_reserved = code < 1000 || (code >= 1004 && code <= 1006) || code == 1015;
        if (is_reserved)
            snprintf(expected, sizeof expected,
                     "broken 1002 a close frame with a code that is never sent");
        else
            snprintf(expected, sizeof expected, "close %u(ok)", code);
        check_reading(wh_slice(bytes, sizeof bytes), LIMIT, expected);
    }
}

static void the_reason_of_a_close_is_utf8(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_texts / sizeof *bad_texts; i++) {
        struct wh_buf payload = {0}, stream = {0};
        wh_buf_append_str(&payload, "\x03\xe8");
        wh_buf_append_str(&payload, bad_texts[i]);
        put_frame(&stream, FIN | WS_CLOSE, wh_buf_slice(&payload));
        check_reading(wh_buf_slice(&stream), LIMIT,
                      "broken 1007 a close frame whose reason is no UTF-8");
        wh_buf_deinit(&payload);
        wh_buf_deinit(&stream);
    }
}

/* ---- any stream in any pieces ------------------------------------------------------------------
 */

/* Bytes, or characters of all lengths. */
static void put_random(struct wh_buf *out, bool is_text, size_t len)
{
    static const uint32_t ends[] = {0x80, 0x800, 0xd800, 0x110000};
    while (out->len < len) {
        char character[4];
        uint64_t number = wh_random_below(ends[wh_random_below(4)]);
        size_t size = is_text ? wh_utf8_encode((uint32_t)number, character) : 1;
        if (!is_text)
            character[0] = (char)number;
        wh_buf_append(out, character, size);
    }
}

static size_t random_length(void)
{
    static const size_t lengths[] = {0, 1, 125, 126, 127, 300, 65535, 65536};
    return wh_random_below(8) == 0 ? lengths[wh_random_below(8)] : (size_t)wh_random_below(40);
}

static void put_control(struct wh_buf *stream, struct wh_buf *expected)
{
    static const struct {
        unsigned opcode;
        const char *name;
    } kinds[] = {{WS_PING, "ping"}, {WS_PONG, "pong"}, {WS_CLOSE, "close 4001"}};
    size_t kind = (size_t)wh_random_below(3);
    struct wh_buf payload = {0};
    put_random(&payload, true, (size_t)wh_random_below(110));
    note_payload(expected, kinds[kind].name, payload.ptr, payload.len);
    put_header(stream, FIN | kinds[kind].opcode, 2, payload.len + (kind == 2 ? 2 : 0));
    if (kind == 2)
        wh_buf_append(stream, "\x0f\xa1", 2);
    wh_buf_append_slice(stream, wh_buf_slice(&payload));
    wh_buf_deinit(&payload);
}

static void put_message(struct wh_buf *stream, struct wh_buf *expected)
{
    bool is_text = wh_random_below(2) == 0, is_last;
    struct wh_buf payload = {0};
    put_random(&payload, is_text, random_length());
    struct wh_slice left = wh_buf_slice(&payload);
    unsigned opcode = is_text ? WS_TEXT : WS_BINARY;
    do {
        is_last = wh_random_below(2) == 0;
        size_t len = is_last ? left.len : (size_t)wh_random_below(left.len + 1);
        put_frame(stream, opcode | (is_last ? FIN : 0), wh_slice(left.ptr, len));
        left = wh_slice_from(left, len);
        opcode = WS_CONTINUATION;
        while (!is_last && wh_random_below(3) == 0)
            put_control(stream, expected);
    } while (!is_last);
    note_payload(expected, is_text ? "text" : "binary", payload.ptr, payload.len);
    wh_buf_deinit(&payload);
}

/* And what may follow does not matter any more. */
static void put_fault(struct wh_buf *stream, struct wh_buf *expected)
{
    static const struct {
        struct wh_slice bytes;
        const char *means;
    } faults[] = {
        {BYTES("\x81\x84"), " broken 1002 a frame of a server is masked"},
        {BYTES("\x83\x00"), " broken 1002 a frame of an unknown kind"},
        {BYTES("\x01\x03\x00\x01\x02\x81\x00"),
         " broken 1002 a new message before the last one ended"},
        {BYTES("\x01\x01\xff\x80\x00"), " broken 1007 a text message that is no UTF-8"},
        {BYTES("\x88\x02\x03\xed"), " broken 1002 a close frame with a code that is never sent"},
        {BYTES("\x82\x7f\0\0\0\0\0\x40\0\1"), " too big"},
    };
    size_t i = (size_t)wh_random_below(sizeof faults / sizeof *faults);
    wh_buf_append_slice(stream, faults[i].bytes);
    wh_buf_append_str(expected, expected->len > 0 ? faults[i].means : faults[i].means + 1);
    put_random(stream, false, stream->len + 20);
}

static void any_stream_means_the_same_in_any_pieces(void **state)
{
    (void)state;
    static const size_t steps[] = {SIZE_MAX, 1, 2, 3, 5, 7, 11, 64, 0, 0, 0, 0};
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct wh_buf stream = {0}, expected = {0}, log = {0};
        wh_random_seed(seed);
        for (uint64_t left = wh_random_below(12); left > 0; left--) {
            if (wh_random_below(3) == 0)
                put_control(&stream, &expected);
            else
                put_message(&stream, &expected);
        }
        if (wh_random_below(3) == 0)
            put_fault(&stream, &expected);
        for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
            char what[64];
            snprintf(what, sizeof what, "seed %u, step %zu", (unsigned)seed, steps[i]);
            read_into(wh_buf_slice(&stream), LIMIT, steps[i], &log);
            check_log(&log, wh_buf_slice(&expected), what);
        }
        wh_buf_deinit(&stream);
        wh_buf_deinit(&expected);
    }
}

static void a_stream_means_the_same_cut_in_three_anywhere(void **state)
{
    (void)state;
    const struct wh_slice stream =
        BYTES("\x01\x02\xe2\x82\x89\x02pp\x00\x00\x80\x01\xac\x88\x04\x03"
              "\xe8ok\x82\x7e\x00\x7e"
              "0123456789012345678901234567890123456789012345678901234567"
              "8901234567890123456789012345678901234567890123456789012345"
              "6789012345\x81\x00\x89\x00\xa1\x00");
    struct wh_buf expected = {0};
    read_into(stream, LIMIT, SIZE_MAX, &expected);
    assert_non_null(strstr(wh_buf_cstr(&expected), "ping(pp) text(\xe2\x82\xac) close 1000(ok) "));
    assert_non_null(strstr(wh_buf_cstr(&expected), " text() ping() broken 1002 reserved bits"));
    for (size_t first = 0; first <= stream.len; first++) {
        for (size_t second = first; second <= stream.len; second++) {
            struct ws_reader reader;
            struct wh_buf log = {0};
            ws_reader_init(&reader, NULL, LIMIT);
            (void)(read_piece(&reader, wh_slice(stream.ptr, first), &log) &&
                   read_piece(&reader, wh_slice(stream.ptr + first, second - first), &log) &&
                   read_piece(&reader, wh_slice_from(stream, second), &log));
            ws_reader_deinit(&reader);
            check_log(&log, wh_buf_slice(&expected), "in three");
        }
    }
    wh_buf_deinit(&expected);
}

static void nothing_is_made_of_no_bytes(void **state)
{
    (void)state;
    struct ws_reader reader;
    struct ws_event event;
    struct wh_slice none = WH_SLICE_ABSENT, half = BYTES("\x81\x02x");
    ws_reader_init(&reader, NULL, LIMIT);
    ws_read(&reader, &none, &event);
    assert_int_equal(event.kind, WS_EVENT_NONE);
    ws_read(&reader, &half, &event);
    ws_read(&reader, &none, &event);
    assert_int_equal(event.kind, WS_EVENT_NONE);
    assert_int_equal(none.len, 0);
    ws_reader_deinit(&reader);
    ws_reader_deinit(&reader);
}

/* ---- no memory --------------------------------------------------------------------------------
 */

static void any_allocation_of_the_reader_may_fail(void **state)
{
    (void)state;
    const struct wh_slice stream = BYTES("\x81\x01x\x01\x01y\x89\x01p\x00\x00\x00\x02zz\x80\x00\x82"
                                         "\x00");
    const char *const means = "text(x) ping(p) text(yzz) binary()";
    size_t nth = 1;
    bool has_failed = true;
    for (; has_failed; nth++) {
        struct wh_buf log = {0};
        failing_alloc_start(nth);
        failing_alloc_pause(true);
        read_into(stream, LIMIT, nth % 2 ? SIZE_MAX : 1, &log);
        has_failed = failing_alloc_stop();
        failing_alloc_nth = 0;
        const char *text = wh_buf_cstr(&log);
        size_t len = strlen(text);
        if (has_failed) {
            assert_true(len >= 9 && strcmp(text + len - 9, "no memory") == 0);
            len -= len > 9 ? 10 : 9;
        }
        assert_memory_equal(text, means, len);
        assert_true(has_failed || len == strlen(means));
        wh_buf_deinit(&log);
    }
    assert_int_equal(nth - 2, 8); /* six frames of data, the fragments' buffer, their message */
}

static void out_of_memory_a_writer_leaves_an_error(void **state)
{
    (void)state;
    static char payload[1000];
    for (size_t nth = 1;; nth++) {
        struct wh_buf out = {0};
        failing_alloc_start(nth);
        ws_write(&out, WS_BINARY, wh_slice(payload, sizeof payload));
        bool has_failed = failing_alloc_stop();
        assert_int_equal(wh_buf_error(&out), has_failed ? WH_ENOMEM : WH_OK);
        wh_buf_deinit(&out);
        if (!has_failed)
            break;
    }
    failing_alloc_nth = 0;
    struct wh_buf limited = {.limit = 1000};
    ws_write(&limited, WS_BINARY, wh_slice(payload, sizeof payload));
    assert_int_equal(wh_buf_error(&limited), WH_ELIMIT);
    wh_buf_deinit(&limited);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Takes one frame from the front of `bytes` and unmasks it in place. */
static struct wh_slice take_frame(struct wh_buf *bytes, uint8_t opcode, size_t len)
{
    size_t size = len < 126 ? 2 : len < 65536 ? 4 : 10;
    struct wh_buf header = {0};
    put_header(&header, FIN | opcode, size, len);
    header.ptr[1] = (char)(header.ptr[1] | MASKED);
    assert_int_equal(wh_buf_error(bytes), WH_OK);
    assert_int_equal(bytes->len, size + 4 + len);
    assert_memory_equal(bytes->ptr, header.ptr, size);
    wh_buf_deinit(&header);
    char *key = bytes->ptr + size, *payload = key + 4;
    for (size_t i = 0; i < len; i++)
        payload[i] = (char)(payload[i] ^ key[i % 4]);
    return wh_slice(payload, len);
}

static void check_writing(const char *payload, size_t len)
{
    static const uint8_t opcodes[] = {WS_TEXT, WS_BINARY, WS_PING, WS_PONG, WS_CONTINUATION};
    struct wh_buf out = {0};
    char *copy = malloc(len > 0 ? len : 1); /* of exactly its size, on an odd address below */
    memcpy(copy, payload, len);
    uint8_t opcode = opcodes[len % sizeof opcodes];
    ws_write(&out, opcode, wh_slice(copy, len));
    assert_true(wh_slice_equal(take_frame(&out, opcode, len), wh_slice(payload, len)));
    wh_buf_reset(&out);
    if (len > 0) {
        ws_write(&out, opcode, wh_slice(copy + 1, len - 1));
        assert_true(
            wh_slice_equal(take_frame(&out, opcode, len - 1), wh_slice(payload + 1, len - 1)));
    }
    assert_memory_equal(copy, payload, len); /* what is sent is not touched */
    free(copy);
    wh_buf_deinit(&out);
}

static void what_is_written_unmasks_to_the_payload(void **state)
{
    (void)state;
    enum { LEN_MAX = 70000 };
    char *payload = malloc(LEN_MAX);
    wh_random_seed(3);
    wh_random_bytes(payload, LEN_MAX);
    for (size_t len = 0; len <= 300; len++)
        check_writing(payload, len);
    for (size_t len = 65530; len <= 65545; len++)
        check_writing(payload, len);
    check_writing(payload, LEN_MAX);
    free(payload);
}

static void frames_follow_one_another_and_each_has_its_key(void **state)
{
    (void)state;
    enum { FRAMES = 64 };
    struct wh_buf out = {0};
    uint32_t keys[FRAMES];
    wh_random_seed(4);
    for (size_t i = 0; i < FRAMES; i++) {
        ws_write(&out, WS_TEXT, WH_SLICE_ABSENT);
        assert_int_equal(out.len, (i + 1) * 6);
        memcpy(&keys[i], out.ptr + i * 6 + 2, 4);
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(keys[i], keys[j]);
    }
    wh_buf_deinit(&out);
}

static void check_close(uint16_t code, struct wh_slice reason, size_t kept)
{
    struct wh_buf out = {0};
    char *copy = malloc(reason.len > 0 ? reason.len : 1);
    if (reason.len > 0)
        memcpy(copy, reason.ptr, reason.len);
    ws_write_close(&out, code, wh_slice(copy, reason.len));
    free(copy);
    struct wh_slice payload = take_frame(&out, WS_CLOSE, kept + 2);
    assert_int_equal((unsigned char)payload.ptr[0] << 8 | (unsigned char)payload.ptr[1], code);
    assert_memory_equal(payload.ptr + 2, reason.len > 0 ? reason.ptr : "", kept);
    wh_buf_deinit(&out);
}

static void a_close_is_cut_between_characters(void **state)
{
    (void)state;
    static const char *const characters[] = {"a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    check_close(1000, WH_SLICE_ABSENT, 0);
    check_close(3000, BYTES("bye"), 3);
    check_close(65535, BYTES(""), 0);
    check_close(1000, BYTES("ok\xff more"), 2);
    check_close(1000, BYTES("ok\xe2\x82"), 2);
    for (size_t before = 110; before <= 130; before++) {
        for (size_t size = 1; size <= 4; size++) {
            struct wh_buf reason = {0};
            for (size_t i = 0; i < before; i++)
                wh_buf_append_char(&reason, 'x');
            wh_buf_append_str(&reason, characters[size - 1]);
            size_t kept = before > 123 ? 123 : before + size > 123 ? before : before + size;
            check_close(1001, wh_buf_slice(&reason), kept);
            wh_buf_deinit(&reason);
        }
    }
}

static void a_close_without_a_code_has_no_payload(void **state)
{
    (void)state;
    struct wh_buf out = {0};
    ws_write_close(&out, WS_STATUS_NONE, BYTES("not said"));
    (void)take_frame(&out, WS_CLOSE, 0);
    wh_buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_server_may_send_is_taken),
        cmocka_unit_test(a_fault_of_a_frame_ends_it_with_1002),
        cmocka_unit_test(a_fault_behind_good_frames_is_found_behind_them),
        cmocka_unit_test(kinds_that_do_not_exist_are_refused),
        cmocka_unit_test(each_form_of_length_is_read_up_to_its_limits),
        cmocka_unit_test(control_frames_hold_125_bytes),
        cmocka_unit_test(a_message_may_be_as_long_as_the_limit),
        cmocka_unit_test(text_must_be_utf8_and_bytes_need_not),
        cmocka_unit_test(a_character_may_lie_in_several_fragments),
        cmocka_unit_test(codes_that_are_never_sent_are_faults),
        cmocka_unit_test(the_reason_of_a_close_is_utf8),
        cmocka_unit_test(any_stream_means_the_same_in_any_pieces),
        cmocka_unit_test(a_stream_means_the_same_cut_in_three_anywhere),
        cmocka_unit_test(nothing_is_made_of_no_bytes),
        cmocka_unit_test(any_allocation_of_the_reader_may_fail),
        cmocka_unit_test(out_of_memory_a_writer_leaves_an_error),
        cmocka_unit_test(what_is_written_unmasks_to_the_payload),
        cmocka_unit_test(frames_follow_one_another_and_each_has_its_key),
        cmocka_unit_test(a_close_is_cut_between_characters),
        cmocka_unit_test(a_close_without_a_code_has_no_payload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
