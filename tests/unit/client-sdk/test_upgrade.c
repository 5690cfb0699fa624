/*
 * The heads that we send and those that come back.  An answer is given in a block of exactly its
 * size, so that the sanitizer sees what reads on behind it.
 */
#include "client-sdk/src/upgrade.h"

#include "common/base/base64.h"
#include "common/base/random.h"
#include "tests/support/failing_alloc.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* RFC 6455 §1.3. */
#define KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

#define STATUS_101  "HTTP/1.1 101 Switching Protocols\r\n"
#define UPGRADE     "Upgrade: websocket\r\n"
#define CONNECTION  "Connection: Upgrade\r\n"
#define ACCEPTED    "Sec-WebSocket-Accept: " ACCEPT "\r\n"
#define SUBPROTOCOL "Sec-WebSocket-Protocol: chat\r\n"
#define SWITCHED    STATUS_101 UPGRADE CONNECTION ACCEPTED

#define NO_HTTP      "the answer is no HTTP"
#define NO_HEADER    "a header line of the answer is none"
#define NO_SWITCH    "the answer does not switch to WebSocket"
#define NO_ACCEPT    "the answer has no Sec-WebSocket-Accept"
#define BAD_ACCEPT   "its Sec-WebSocket-Accept is not the answer to our key"
#define BAD_CHOICE   "it chose a subprotocol that was not offered"
#define AN_EXTENSION "it uses an extension that was not offered"

static const struct upgrade_request asks_chat = {.host = "h",
                                                 .path = "/",
                                                 .key = KEY,
                                                 .subprotocol = "chat"};
static const struct upgrade_request asks_none = {.host = "h", .path = "/", .key = KEY};

static struct upgrade_answer read_bytes(const void *bytes,
                                        size_t len,
                                        const struct upgrade_request *request)
{
    struct upgrade_answer answer;
    char *copy = malloc(len);
    memcpy(copy, bytes, len);
    assert_int_equal(upgrade_head_size(wh_slice(copy, len)), len);
    upgrade_read(wh_slice(copy, len), request, &answer);
    free(copy);
    assert_non_null(memchr(answer.text, '\0', sizeof answer.text));
    return answer;
}

/* `head` without the empty line at its end. */
static struct upgrade_answer read_head(const char *head, const struct upgrade_request *request)
{
    char whole[2048];
    int len = snprintf(whole, sizeof whole, "%s\r\n", head);
    assert_true(len > 0 && (size_t)len < sizeof whole);
    return read_bytes(whole, (size_t)len, request);
}

/* `fault` NULL = it is a switch to WebSocket. */
static void check_answer(const char *head, const struct upgrade_request *request, const char *fault)
{
    struct upgrade_answer answer = read_head(head, request);
    const char *found = answer.fault ? answer.fault : "nothing";
    if (strcmp(found, fault ? fault : "nothing") != 0)
        fail_msg("\"%s\" gave \"%s\"", head, found);
    assert_int_equal(answer.status, 101);
}

/* ---- keys ------------------------------------------------------------------------------------ */

static void a_key_is_16_random_bytes(void **state)
{
    (void)state;
    enum { KEYS = 32 };
    char keys[KEYS][UPGRADE_KEY_BYTES + 1];
    wh_random_seed(5);
    for (size_t i = 0; i < KEYS; i++) {
        struct wh_arena arena = {0};
        struct wh_slice bytes;
        memset(keys[i], 'x', sizeof keys[i]);
        upgrade_make_key(keys[i]);
        assert_int_equal(strlen(keys[i]), UPGRADE_KEY_BYTES);
        assert_int_equal(
            wh_base64_decode(WH_BASE64_STANDARD, wh_slice_from_str(keys[i]), &arena, &bytes),
            WH_OK);
        assert_int_equal(bytes.len, 16);
        wh_arena_deinit(&arena);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(keys[i], keys[j]);
    }
}

static void only_the_answer_to_our_key_is_accepted(void **state)
{
    (void)state;
    check_answer(SWITCHED, &asks_none, NULL);
    struct upgrade_request other = asks_none;
    upgrade_make_key(other.key);
    check_answer(SWITCHED, &other, BAD_ACCEPT);
}

/* ---- requests -------------------------------------------------------------------------------- */

static void check_request(const struct upgrade_request *request, const char *expected)
{
    struct wh_buf out = {0};
    upgrade_write(request, &out);
    assert_int_equal(wh_buf_error(&out), WH_OK);
    assert_string_equal(wh_buf_cstr(&out), expected);
    assert_int_equal(upgrade_head_size(wh_buf_slice(&out)), out.len);
    wh_buf_deinit(&out);
}

static void a_request_says_what_is_asked_for_and_no_more(void **state)
{
    (void)state;
    static const struct wh_header headers[] = {
        {"Authorization", "Bearer x"}, {"Cookie", "a=b; c=\xc3\xa9"}, {"X-Empty", ""}};
    check_request(&(struct upgrade_request){.host = "example.org", .path = "/", .key = KEY},
                  "GET / HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\n"
                  "Connection: Upgrade\r\nSec-WebSocket-Key: " KEY "\r\n"
                  "Sec-WebSocket-Version: 13\r\n\r\n");
    check_request(&(struct upgrade_request){.host = "[::1]:8000",
                                            .path = "/connection/websocket?a=%20&b",
                                            .key = KEY,
                                            .subprotocol = "centrifuge-protobuf",
                                            .headers = headers,
                                            .header_count = sizeof headers / sizeof *headers},
                  "GET /connection/websocket?a=%20&b HTTP/1.1\r\nHost: [::1]:8000\r\n"
                  "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " KEY "\r\n"
                  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: centrifuge-protobuf\r\n"
                  "Authorization: Bearer x\r\nCookie: a=b; c=\xc3\xa9\r\nX-Empty: \r\n\r\n");
}

static void a_connect_brings_the_password_only_if_there_is_one(void **state)
{
    (void)state;
    static const struct {
        const char *authority, *auth, *head;
    } cases[] = {
        {"example.org:443", NULL,
         "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n"},
        /* RFC 7617 §2 */
        {"[::1]:80", "Aladdin:open sesame",
         "CONNECT [::1]:80 HTTP/1.1\r\nHost: [::1]:80\r\n"
         "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"},
        {"h:1", "test:123\xc2\xa3",
         "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n"
         "Proxy-Authorization: Basic dGVzdDoxMjPCow==\r\n\r\n"},
        {"h:1",
         "u:", "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\nProxy-Authorization: Basic dTo=\r\n\r\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wh_buf out = {0};
        upgrade_write_connect(cases[i].authority, cases[i].auth, &out);
        assert_int_equal(wh_buf_error(&out), WH_OK);
        assert_string_equal(wh_buf_cstr(&out), cases[i].head);
        wh_buf_deinit(&out);
    }
}

static void headers_that_would_break_the_request_are_refused(void **state)
{
    (void)state;
    static const struct {
        struct wh_header header;
        enum wh_err err;
    } cases[] = {
        {{"X-Any", "value"}, WH_OK},
        {{"!#$%&'*+-.^_`|~09azAZ", ""}, WH_OK},
        {{"a", "tab\tand \xc3\xa9 \xff"}, WH_OK},
        {{"Cookie", " blanks "}, WH_OK},
        {{"Origin", "https://example.org"}, WH_OK},
        {{"Upgrades", "x"}, WH_OK},
        {{"", "x"}, WH_EINVAL},
        {{"two words", "x"}, WH_EINVAL},
        {{"colon:", "x"}, WH_EINVAL},
        {{"line\r\n", "x"}, WH_EINVAL},
        {{"\xc3\xa9", "x"}, WH_EINVAL},
        {{"a\x7f", "x"}, WH_EINVAL},
        {{"(a)", "x"}, WH_EINVAL},
        {{"X", "a\r\nHost: evil"}, WH_EINVAL},
        {{"X", "a\nb"}, WH_EINVAL},
        {{"X", "a\rb"}, WH_EINVAL},
        {{"X", "\x01"}, WH_EINVAL},
        {{"X", "\x7f"}, WH_EINVAL},
        {{"Host", "x"}, WH_EINVAL},
        {{"host", "x"}, WH_EINVAL},
        {{"UPGRADE", "x"}, WH_EINVAL},
        {{"connection", "x"}, WH_EINVAL},
        {{"Content-length", "5"}, WH_EINVAL},
        {{"transfer-Encoding", "chunked"}, WH_EINVAL},
        {{"sec-websocket-key", "x"}, WH_EINVAL},
        {{"SEC-WEBSOCKET-VERSION", "8"}, WH_EINVAL},
        {{"sec-websocket-protocol", "x"}, WH_EINVAL},
        {{"Sec-WebSocket-extensions", "permessage-deflate"}, WH_EINVAL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if ((upgrade_header_fault(&cases[i].header, true) != NULL) != (cases[i].err != WH_OK))
            fail_msg("\"%s: %s\"", cases[i].header.name, cases[i].header.value);
}

static void any_allocation_of_a_request_may_fail(void **state)
{
    (void)state;
    bool has_failed = true;
    for (size_t nth = 1; has_failed; nth++) {
        struct wh_buf get = {0}, connect = {0};
        failing_alloc_start(nth);
        upgrade_write(&asks_chat, &get);
        upgrade_write_connect("example.org:443", "Aladdin:open sesame", &connect);
        has_failed = failing_alloc_stop();
        bool is_complete = wh_buf_error(&get) == WH_OK && wh_buf_error(&connect) == WH_OK;
        assert_int_equal(is_complete, !has_failed);
        wh_buf_deinit(&get);
        wh_buf_deinit(&connect);
        assert_true(nth < 100);
    }
}

/* ---- answers: the status --------------------------------------------------------------------- */

static void a_status_line_is_taken_apart(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        unsigned status;
        const char *text;
    } cases[] = {
        {"HTTP/1.1 403 Forbidden", 403, "403 Forbidden"},
        {"HTTP/1.0 200 Connection established", 200, "200 Connection established"},
        {"HTTP/1.1 407 Proxy Authentication Required", 407, "407 Proxy Authentication Required"},
        {"HTTP/1.9 599 ", 599, "599 "},
        {"HTTP/1.1 200", 200, "200"},
        {"HTTP/1.1 103 Early Hints", 103, "103 Early Hints"},
        {"HTTP/1.1 999 x", 999, "999 x"},
        {"HTTP/1.1 100 ", 100, "100 "},
        {"HTTP/1.1 404  two\tblanks", 404, "404  two?blanks"},
        {"HTTP/1.1 500 \x1b[31m\x7f\xc3\xa9", 500, "500 ?[31m???"},
        {"HTTP/1.1 502 a\rb\nc", 502, "502 a?b?c"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char head[128];
        snprintf(head, sizeof head, "%s\r\nServer: x\r\n", cases[i].line);
        struct upgrade_answer answer = read_head(head, &asks_none);
        assert_int_equal(answer.status, cases[i].status);
        assert_string_equal(answer.text, cases[i].text);
        assert_null(answer.fault);
        assert_false(answer.has_subprotocol);
        answer = read_head(head, NULL);
        assert_int_equal(answer.status, cases[i].status);
        assert_string_equal(answer.text, cases[i].text);
        assert_null(answer.fault);
    }
}

static void what_is_no_status_line_is_no_http(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "",
        "H",
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/1.1 20",
        "HTTP/1.1 2000",
        "HTTP/1.1 200OK",
        "HTTP/1.1 200\tOK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1 -10 OK",
        "HTTP/1.1 +99 OK",
        "HTTP/1.1 1x1 OK",
        "HTTP/1.1 x01 OK",
        "HTTP/1.1 10x OK",
        "HTTP/1.1 000 OK",
        "HTTP/1.1 099 OK",
        "HTTP/1. 200 OK",
        "HTTP/1.10 200 OK",
        "HTTP/1.x 200 OK",
        "HTTP/2.0 200 OK",
        "HTTP/2 200",
        "HTTP/0.9 200 OK",
        "http/1.1 200 OK",
        " HTTP/1.1 200 OK",
        "HTTPS/1.1 200 OK",
        "ICY 200 OK",
        "220 mail.example.org ESMTP",
        "SSH-2.0-OpenSSH_9.2",
        "\r\nHTTP/1.1 101 x",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char head[64];
        int len = snprintf(head, sizeof head, "%s\r\n\r\n", lines[i]);
        if (strncmp(lines[i], "\r\n", 2) == 0 || len == 4)
            len = 4; /* the head is an empty line */
        struct upgrade_answer answer;
        upgrade_read(wh_slice(head, (size_t)len), &asks_none, &answer);
        if (answer.status != 0 || !answer.fault || strcmp(answer.fault, NO_HTTP) != 0)
            fail_msg("\"%s\" is a status line", lines[i]);
    }
    struct upgrade_answer answer = read_bytes("HTTP/1.1 101\0\r\n\r\n", 17, &asks_none);
    assert_string_equal(answer.fault, NO_HTTP);
}

static void a_long_reason_is_cut(void **state)
{
    (void)state;
    for (size_t len = 4; len < 300; len++) { /* of "503 xx..." */
        char head[512] = "HTTP/1.1 503 ";
        memset(head + 13, 'x', len - 4);
        memcpy(head + 9 + len, "\r\n", 3);
        struct upgrade_answer answer = read_head(head, NULL);
        assert_int_equal(answer.status, 503);
        size_t kept = len < UPGRADE_STATUS_BYTES ? len : UPGRADE_STATUS_BYTES - 1;
        assert_int_equal(strlen(answer.text), kept);
        assert_memory_equal(answer.text, head + 9, kept);
    }
}

static void a_proxy_only_says_its_status(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        unsigned status;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\n", 200},
        {"HTTP/1.0 200 Connection established\r\nProxy-agent: x\r\n", 200},
        {"HTTP/1.1 200 OK\r\n folded\r\nno header\r\n", 200},
        {"HTTP/1.1 204 No Content\r\n", 204},
        {"HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic realm=\"x\"\r\n", 407},
        {"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n", 502},
        {"HTTP/1.1 101 Switching Protocols\r\n", 101},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct upgrade_answer answer = read_head(cases[i].head, NULL);
        assert_int_equal(answer.status, cases[i].status);
        assert_null(answer.fault);
    }
    assert_string_equal(read_head("nonsense\r\n", NULL).fault, NO_HTTP);
}

/* ---- answers: the switch --------------------------------------------------------------------- */

static void a_switch_must_be_all_that_the_rfc_wants(void **state)
{
    (void)state;
    static const struct {
        const char *head, *fault;
    } cases[] = {
        {SWITCHED, NULL},
        {STATUS_101 ACCEPTED CONNECTION UPGRADE, NULL},
        {"HTTP/1.1 101\r\n" UPGRADE CONNECTION ACCEPTED, NULL},
        {STATUS_101 "uPGRADE:WEBSOCKET\r\nCONNECTION:uPGRADE\r\n"
                    "SEC-WEBSOCKET-ACCEPT:" ACCEPT "\r\n",
         NULL},
        {STATUS_101 "upgrade: \t websocket \t\r\nconnection:\tupgrade\t\r\n"
                    "sec-websocket-accept:   " ACCEPT "  \r\n",
         NULL},
        {STATUS_101, NO_SWITCH},
        {STATUS_101 CONNECTION ACCEPTED, NO_SWITCH},
        {STATUS_101 UPGRADE ACCEPTED, NO_SWITCH},
        {STATUS_101 UPGRADE CONNECTION, NO_ACCEPT},
        /* Upgrade is exactly that */
        {STATUS_101 "Upgrade: h2c\r\n" CONNECTION ACCEPTED, NO_SWITCH},
        {STATUS_101 "Upgrade:\r\n" CONNECTION ACCEPTED, NO_SWITCH},
        {STATUS_101 "Upgrade: websockets\r\n" CONNECTION ACCEPTED, NO_SWITCH},
        {STATUS_101 "Upgrade: web socket\r\n" CONNECTION ACCEPTED, NO_SWITCH},
        {STATUS_101 "Upgrade: h2c, websocket\r\n" CONNECTION ACCEPTED, NO_SWITCH},
        {STATUS_101 "Upgrade: websocket/13\r\n" CONNECTION ACCEPTED, NO_SWITCH},
        {STATUS_101 "Upgrade: h2c\r\n" UPGRADE CONNECTION ACCEPTED, NO_SWITCH},
        {STATUS_101 UPGRADE "Upgrade: h2c\r\n" CONNECTION ACCEPTED, NO_SWITCH},
        {STATUS_101 UPGRADE UPGRADE CONNECTION ACCEPTED, NO_SWITCH},
        /* Connection is a list */
        {STATUS_101 UPGRADE "Connection: keep-alive, Upgrade\r\n" ACCEPTED, NULL},
        {STATUS_101 UPGRADE "Connection: ,\t, upgrade ,x\r\n" ACCEPTED, NULL},
        {STATUS_101 UPGRADE "Connection: keep-alive\r\n" CONNECTION ACCEPTED, NULL},
        {STATUS_101 UPGRADE CONNECTION "Connection: keep-alive\r\n" ACCEPTED, NULL},
        {STATUS_101 UPGRADE "Connection: keep-alive\r\n" ACCEPTED, NO_SWITCH},
        {STATUS_101 UPGRADE "Connection: Upgrade x, Upgraded, Up grade\r\n" ACCEPTED, NO_SWITCH},
        {STATUS_101 UPGRADE "Connection: ,,\r\n" ACCEPTED, NO_SWITCH},
        {STATUS_101 UPGRADE "Connection:\r\n" ACCEPTED, NO_SWITCH},
        /* the accept is there once, and case matters in it */
        {SWITCHED ACCEPTED, BAD_ACCEPT},
        {STATUS_101 UPGRADE CONNECTION "Sec-WebSocket-Accept:\r\n", BAD_ACCEPT},
        {STATUS_101 UPGRADE CONNECTION "Sec-WebSocket-Accept: " KEY "\r\n", BAD_ACCEPT},
        {STATUS_101 UPGRADE CONNECTION "Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
         BAD_ACCEPT},
        {STATUS_101 UPGRADE CONNECTION "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo\r\n",
         BAD_ACCEPT},
        {STATUS_101 UPGRADE CONNECTION "Sec-WebSocket-Accept: " ACCEPT "=\r\n", BAD_ACCEPT},
        {STATUS_101 UPGRADE CONNECTION "Sec-WebSocket-Accept: " ACCEPT ", x\r\n", BAD_ACCEPT},
        /* nothing was offered */
        {SWITCHED "Sec-WebSocket-Extensions: permessage-deflate\r\n", AN_EXTENSION},
        {SWITCHED "sec-websocket-EXTENSIONS:\r\n", AN_EXTENSION},
        {SWITCHED SUBPROTOCOL, BAD_CHOICE},
        {SWITCHED "Sec-WebSocket-Protocol:\r\n", BAD_CHOICE},
        /* what else there is does not matter */
        {SWITCHED "Server: x\r\nServer: y\r\nContent-Length: 5\r\nX:\r\nX-Y: a:b: c\r\n", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_answer(cases[i].head, &asks_none, cases[i].fault);
}

static void case_is_that_of_ascii_in_any_locale(void **state)
{
    (void)state;
    static const struct wh_header ours = {"CONNECTION", "x"};
    /* strcasecmp tells I from i there.  Bites where the locale is installed, and without the
     * sanitizer, whose strcasecmp knows no locale. */
    (void)setlocale(LC_ALL, "tr_TR.UTF-8");
    check_answer(STATUS_101 UPGRADE "CONNECTION: UPGRADE\r\n" ACCEPTED, &asks_none, NULL);
    check_answer(SWITCHED "SEC-WEBSOCKET-EXTENSIONS: x\r\n", &asks_none, AN_EXTENSION);
    assert_non_null(upgrade_header_fault(&ours, true));
    setlocale(LC_ALL, "C");
}

static void the_subprotocol_is_the_one_that_was_asked_for(void **state)
{
    (void)state;
    static const struct {
        const char *head, *fault;
    } cases[] = {
        {SWITCHED SUBPROTOCOL, NULL},
        {SWITCHED "SEC-WEBSOCKET-PROTOCOL:\t chat \r\n", NULL},
        {SWITCHED "Sec-WebSocket-Protocol: Chat\r\n", BAD_CHOICE},
        {SWITCHED "Sec-WebSocket-Protocol: chatter\r\n", BAD_CHOICE},
        {SWITCHED "Sec-WebSocket-Protocol: cha\r\n", BAD_CHOICE},
        {SWITCHED "Sec-WebSocket-Protocol: chat, chat\r\n", BAD_CHOICE},
        {SWITCHED "Sec-WebSocket-Protocol:\r\n", BAD_CHOICE},
        {SWITCHED SUBPROTOCOL SUBPROTOCOL, BAD_CHOICE},
        {SWITCHED SUBPROTOCOL "Sec-WebSocket-Protocol: x\r\n", BAD_CHOICE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_answer(cases[i].head, &asks_chat, cases[i].fault);
    assert_true(read_head(SWITCHED SUBPROTOCOL, &asks_chat).has_subprotocol);
    struct upgrade_answer without = read_head(SWITCHED, &asks_chat);
    assert_null(without.fault);
    assert_false(without.has_subprotocol);
}

static void lines_that_are_no_headers_are_refused(void **state)
{
    (void)state;
    static const struct wh_slice lines[] = {
        WH_SLICE_LITERAL("no colon"),        WH_SLICE_LITERAL("x"),
        WH_SLICE_LITERAL(": no name"),       WH_SLICE_LITERAL(":"),
        WH_SLICE_LITERAL(" folded"),         WH_SLICE_LITERAL("\tfolded: too"),
        WH_SLICE_LITERAL(" Server: x"),      WH_SLICE_LITERAL("Server : x"),
        WH_SLICE_LITERAL("Server\t: x"),     WH_SLICE_LITERAL("Two words: x"),
        WH_SLICE_LITERAL("(Server): x"),     WH_SLICE_LITERAL("Ser\xc3\xbcver: x"),
        WH_SLICE_LITERAL("Ser\x7fver: x"),   WH_SLICE_LITERAL("Ser\0ver: x"),
        WH_SLICE_LITERAL("Server: a\0b"),    WH_SLICE_LITERAL("Server: a\nb"),
        WH_SLICE_LITERAL("Server: a\rb"),    WH_SLICE_LITERAL("Server: a\r"),
        WH_SLICE_LITERAL("Server: a\nX: b"), WH_SLICE_LITERAL("Server\n: x"),
        WH_SLICE_LITERAL("\nServer: x"),     WH_SLICE_LITERAL("\rServer: x"),
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct wh_buf first = {0}, last = {0};
        wh_buf_append_str(&first, STATUS_101);
        wh_buf_append_slice(&first, lines[i]);
        wh_buf_append_str(&first, "\r\n" UPGRADE CONNECTION ACCEPTED "\r\n");
        wh_buf_append_str(&last, SWITCHED);
        wh_buf_append_slice(&last, lines[i]);
        wh_buf_append_str(&last, "\r\n\r\n");
        struct upgrade_answer answers[] = {read_bytes(first.ptr, first.len, &asks_none),
                                           read_bytes(last.ptr, last.len, &asks_none)};
        wh_buf_deinit(&first);
        wh_buf_deinit(&last);
        for (size_t j = 0; j < 2; j++)
            if (!answers[j].fault || strcmp(answers[j].fault, NO_HEADER) != 0)
                fail_msg("\"%.*s\" gave \"%s\"", WH_SLICE_ARGS(lines[i]),
                         answers[j].fault ? answers[j].fault : "nothing");
    }
}

static void another_status_is_told_whatever_its_headers_are(void **state)
{
    (void)state;
    static const unsigned statuses[] = {100, 102, 103, 200, 302, 400, 401, 426, 503};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        char head[256];
        snprintf(head, sizeof head, "HTTP/1.1 %u x\r\n" UPGRADE CONNECTION ACCEPTED "no header\r\n",
                 statuses[i]);
        struct upgrade_answer answer = read_head(head, &asks_chat);
        assert_int_equal(answer.status, statuses[i]);
        assert_null(answer.fault);
        assert_false(answer.has_subprotocol);
    }
}

/* ---- heads in pieces ------------------------------------------------------------------------- */

static void a_head_ends_with_its_empty_line(void **state)
{
    (void)state;
    static const char head[] = SWITCHED "\r\n", frames[] = "\x81\x02hi\r\n\r\n";
    char bytes[sizeof head + sizeof frames];
    size_t size = sizeof head - 1;
    memcpy(bytes, head, size);
    memcpy(bytes + size, frames, sizeof frames);
    assert_int_equal(upgrade_head_size(WH_SLICE_ABSENT), 0);
    for (size_t len = 0; len < size + sizeof frames; len++) {
        char *copy = malloc(len > 0 ? len : 1);
        memcpy(copy, bytes, len);
        assert_int_equal(upgrade_head_size(wh_slice(copy, len)), len < size ? 0 : size);
        free(copy);
    }
    assert_int_equal(upgrade_head_size(WH_SLICE_LITERAL("HTTP/1.1 101 x\n\n")), 0);
    assert_int_equal(upgrade_head_size(WH_SLICE_LITERAL("HTTP/1.1 101 x\r\n\n")), 0);
    assert_int_equal(upgrade_head_size(WH_SLICE_LITERAL("HTTP/1.1 101 x\r\n\r")), 0);
    assert_int_equal(upgrade_head_size(WH_SLICE_LITERAL("\r\n\r\nmore")), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_16_random_bytes),
        cmocka_unit_test(only_the_answer_to_our_key_is_accepted),
        cmocka_unit_test(a_request_says_what_is_asked_for_and_no_more),
        cmocka_unit_test(a_connect_brings_the_password_only_if_there_is_one),
        cmocka_unit_test(headers_that_would_break_the_request_are_refused),
        cmocka_unit_test(any_allocation_of_a_request_may_fail),
        cmocka_unit_test(a_status_line_is_taken_apart),
        cmocka_unit_test(what_is_no_status_line_is_no_http),
        cmocka_unit_test(a_long_reason_is_cut),
        cmocka_unit_test(a_proxy_only_says_its_status),
        cmocka_unit_test(a_switch_must_be_all_that_the_rfc_wants),
        cmocka_unit_test(case_is_that_of_ascii_in_any_locale),
        cmocka_unit_test(the_subprotocol_is_the_one_that_was_asked_for),
        cmocka_unit_test(lines_that_are_no_headers_are_refused),
        cmocka_unit_test(another_status_is_told_whatever_its_headers_are),
        cmocka_unit_test(a_head_ends_with_its_empty_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
