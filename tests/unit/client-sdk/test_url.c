#include "client-sdk/src/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static enum wh_err parse(const char *text, struct settings_url *out, struct wh_error *detail)
{
    static struct wh_arena arena;
    wh_arena_deinit(&arena);
    wh_arena_init(&arena, 0);
    return url_parse(wh_slice_from_str(text), &arena, out, detail);
}

static void a_url_is_taken_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host;
        uint16_t port;
        const char *path;
        bool is_tls;
    } cases[] = {
        {"ws://localhost", "localhost", 80, "/", false},
        {"wss://localhost", "localhost", 443, "/", true},
        {"WSS://Example.org/", "Example.org", 443, "/", true},
        {"ws://localhost:8000/connection/websocket", "localhost", 8000, "/connection/websocket",
         false},
        {"ws://h:65535?format=protobuf", "h", 65535, "/?format=protobuf", false},
        {"ws://h/a?b=/c?d", "h", 80, "/a?b=/c?d", false},
        {"ws://127.0.0.1:1/x%20y", "127.0.0.1", 1, "/x%20y", false},
        {"ws://[::1]", "::1", 80, "/", false},
        {"wss://[2001:db8::7]:9/p", "2001:db8::7", 9, "/p", true},
        {"ws://my_hub.internal.:80", "my_hub.internal.", 80, "/", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct settings_url url;
        struct wh_error detail;
        assert_int_equal(parse(cases[i].text, &url, &detail), WH_OK);
        assert_string_equal(url.text, cases[i].text);
        assert_string_equal(url.host, cases[i].host);
        assert_int_equal(url.port, cases[i].port);
        assert_string_equal(url.path, cases[i].path);
        assert_int_equal(url.is_tls, cases[i].is_tls);
    }
}

static void a_refusal_says_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "empty"},
        {"localhost:8000", "ws://"},
        {"http://localhost", "ws://"},
        {"ws:/localhost", "ws://"},
        {"ws://", "no host"},
        {"ws://:80", "no host"},
        {"ws:///path", "no host"},
        {"ws://h:", "port"},
        {"ws://h:0", "port"},
        {"ws://h:65536", "port"},
        {"ws://h:123456", "port"},
        {"ws://h:+1", "port"},
        {"ws://h:99999999999999999999", "port"},
        {"ws://h: 1", "port"},
        {"ws://h:8x", "port"},
        {"ws://[::1]8", "port"},
        {"ws://[::1", "]"},
        {"ws://[nonsense]", "IPv6"},
        {"ws://[]", "IPv6"},
        {"ws://[fe80::1%25eth0]", "zones"},
        {"ws://::1/", "brackets"},
        {"ws://a b/", "host name"},
        {"ws://-h/", "host name"},
        {"ws://a..b/", "host name"},
        {"ws://.b/", "host name"},
        {"ws://a.-b/", "host name"},
        {"ws://h\n", "host name"},
        {"ws://h\r\nX: y/", "host name"},
        {"ws://h/a b", "%-encoded"},
        {"ws://h/a\r\nX: y", "%-encoded"},
        {"ws://h/\xc3\xa4", "%-encoded"},
        {"ws://h/a#b", "fragment"},
        {"ws://h#b", "fragment"},
        {"ws://user:secret@h/", "user:password"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct settings_url url = {.host = "untouched"};
        struct wh_error detail = {0};
        assert_int_equal(parse(cases[i].text, &url, &detail), WH_EINVAL);
        assert_int_equal(detail.err, WH_EINVAL);
        if (!strstr(detail.text, cases[i].says))
            fail_msg("\"%s\" gave \"%s\"", cases[i].text, detail.text);
        assert_string_equal(url.host, "untouched");
    }
}

static void what_may_be_secret_is_not_shown(void **state)
{
    (void)state;
    struct settings_url url;
    struct wh_error detail;
    assert_int_equal(parse("ws://user:secret@h/", &url, &detail), WH_EINVAL);
    assert_null(strstr(detail.text, "secret"));
    assert_int_equal(parse("ws://h:x/?token=secret", &url, &detail), WH_EINVAL);
    assert_null(strstr(detail.text, "secret"));
    assert_string_equal(detail.text, "url: \"ws://h:x/\": the port is no number from 1 to 65535");
    assert_int_equal(parse("ws://h:x/?user@secret", &url, &detail), WH_EINVAL);
    assert_null(strstr(detail.text, "secret"));
}

/* `len` bytes of a path, or of a name with a dot after every `label` letters. */
static char *long_url(const char *before, size_t len, size_t label)
{
    static char text[URL_PATH_BYTES_MAX + 64];
    size_t start = strlen(before);
    memcpy(text, before, start);
    for (size_t i = 0; i < len; i++)
        text[start + i] = label > 0 && i % (label + 1) == label ? '.' : 'a';
    text[start + len] = 0;
    return text;
}

static void a_byte_too_much_is_refused(void **state)
{
    (void)state;
    struct settings_url url;
    struct wh_error detail;
    assert_int_equal(parse(long_url("ws://h/", URL_PATH_BYTES_MAX - 1, 0), &url, NULL), WH_OK);
    assert_int_equal(strlen(url.path), URL_PATH_BYTES_MAX);
    assert_int_equal(parse(long_url("ws://h/", URL_PATH_BYTES_MAX, 0), &url, &detail), WH_EINVAL);
    assert_non_null(strstr(detail.text, "aaa...\": the path is longer than 8192 bytes"));
    assert_int_equal(parse(long_url("ws://", URL_HOST_BYTES_MAX, 63), &url, NULL), WH_OK);
    assert_int_equal(strlen(url.host), URL_HOST_BYTES_MAX);
    assert_int_equal(parse(long_url("ws://", URL_HOST_BYTES_MAX + 1, 62), &url, &detail),
                     WH_EINVAL);
    assert_non_null(strstr(detail.text, "aaa...\": the host is longer than 253 bytes"));
    assert_int_equal(parse(long_url("ws://", 100, 64), &url, &detail), WH_EINVAL);
    assert_non_null(strstr(detail.text, "longer than 63 bytes"));
}

static void a_nul_byte_is_refused(void **state)
{
    (void)state;
    struct wh_arena arena = {0};
    struct settings_url url;
    static const char text[] = "ws://h/a\0b";
    static const char host[] = "ws://h\0i/";
    assert_int_equal(url_parse(wh_slice(text, sizeof text - 1), &arena, &url, NULL), WH_EINVAL);
    assert_int_equal(url_parse(wh_slice(host, sizeof host - 1), &arena, &url, NULL), WH_EINVAL);
    wh_arena_deinit(&arena);
}

static void without_memory_it_says_so(void **state)
{
    (void)state;
    struct wh_arena arena;
    struct settings_url url;
    struct wh_error detail;
    wh_arena_init(&arena, 16);
    assert_int_equal(
        url_parse(WH_SLICE_LITERAL("ws://localhost/connection/websocket"), &arena, &url, &detail),
        WH_ENOMEM);
    assert_int_equal(detail.err, WH_ENOMEM);
    wh_arena_deinit(&arena);
}

static int release(void **state)
{
    (void)state;
    struct settings_url url;
    (void)!parse("", &url, NULL);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_url_is_taken_apart),
        cmocka_unit_test(a_refusal_says_what_is_wrong),
        cmocka_unit_test(what_may_be_secret_is_not_shown),
        cmocka_unit_test(a_byte_too_much_is_refused),
        cmocka_unit_test(a_nul_byte_is_refused),
        cmocka_unit_test(without_memory_it_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, release);
}
