#include "client-sdk/src/proxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void the_option_wins_over_the_environment(void **state)
{
    (void)state;
    const struct proxy_environment environment = {.http_proxy = "http://a", .no_proxy = "*"};
    const struct settings_url url = {.host = "h", .port = 80};
    assert_string_equal(proxy_choose("http://b:1", &environment, &url), "http://b:1");
    assert_null(proxy_choose("", &(struct proxy_environment){.http_proxy = "http://a"}, &url));
}

static void each_scheme_has_its_variable(void **state)
{
    (void)state;
    const struct settings_url plain = {.host = "h", .port = 80};
    const struct settings_url tls = {.host = "h", .port = 443, .is_tls = true};
    struct proxy_environment environment = {.http_proxy = "p", .https_proxy = "s"};
    assert_string_equal(proxy_choose(NULL, &environment, &plain), "p");
    assert_string_equal(proxy_choose(NULL, &environment, &tls), "s");
    environment = (struct proxy_environment){.http_proxy = "", .all_proxy = "a"};
    assert_string_equal(proxy_choose(NULL, &environment, &plain), "a");
    assert_string_equal(proxy_choose(NULL, &environment, &tls), "a");
    environment = (struct proxy_environment){.all_proxy = ""};
    assert_null(proxy_choose(NULL, &environment, &tls));
    environment = (struct proxy_environment){.all_proxy = "a", .no_proxy = "x,h"};
    assert_null(proxy_choose(NULL, &environment, &tls));
}

static void no_proxy_says_who_is_connected_directly(void **state)
{
    (void)state;
    static const struct {
        const char *no_proxy, *host;
        uint16_t port;
        bool is_bypassed;
    } cases[] = {
        {NULL, "h", 80, false},
        {"", "h", 80, false},
        {" , ,", "h", 80, false},
        {"*", "h", 80, true},
        {"a, *", "h", 80, true},
        {"h", "h", 80, true},
        {"H", "h", 80, true},
        {"h.", "h", 80, true},
        {"h", "h.", 80, true},
        {"example.org", "www.example.org", 80, true},
        {".example.org", "www.example.org", 80, true},
        {".example.org", "example.org", 80, true},
        {"example.org", "notexample.org", 80, false},
        {"www.example.org", "example.org", 80, false},
        {".", "h", 80, false},
        {"a b\th", "h", 80, true},
        {"h:80", "h", 80, true},
        {"h:81", "h", 80, false},
        {"h:x", "h", 80, false},
        {"127.0.0.1", "127.0.0.1", 80, true},
        {"127.0.0.0/8", "127.1.2.3", 80, true},
        {"127.0.0.0/8", "128.1.2.3", 80, false},
        {"10.1.2.0/23", "10.1.3.9", 80, true},
        {"10.1.2.0/23", "10.1.4.9", 80, false},
        {"0.0.0.0/0", "10.1.4.9", 80, true},
        {"0.0.0.0/0", "h", 80, false},
        {"10.0.0.0/33", "10.0.0.0", 80, false},
        {"10.0.0.0/", "10.0.0.0", 80, false},
        {"127.0.0.1:80", "127.0.0.1", 80, true},
        {"::1", "::1", 80, true},
        {"0:0:0:0:0:0:0:1", "::1", 80, true},
        {"[::1]", "::1", 80, true},
        {"[::1]:80", "::1", 80, true},
        {"[::1]:81", "::1", 80, false},
        {"[::1", "::1", 80, false},
        {"2001:db8::/32", "2001:db8::5", 80, true},
        {"2001:db8::/32", "2001:db9::5", 80, false},
        {"10.0.0.0/8", "::1", 80, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (proxy_is_bypassed(cases[i].no_proxy, cases[i].host, cases[i].port) !=
            cases[i].is_bypassed)
            fail_msg("no_proxy=\"%s\" host=%s port=%u", cases[i].no_proxy, cases[i].host,
                     cases[i].port);
}

static void a_proxy_is_taken_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host;
        uint16_t port;
        const char *auth;
    } cases[] = {
        {"http://proxy:3128", "proxy", 3128, NULL},
        {"HTTP://proxy:3128/", "proxy", 3128, NULL},
        {"proxy:3128", "proxy", 3128, NULL},
        {"proxy", "proxy", 1080, NULL},
        {"http://[::1]:8", "::1", 8, NULL},
        {"http://u:p@proxy:1", "proxy", 1, "u:p"},
        {"http://u@proxy:1", "proxy", 1, "u:"},
        {"u:p%40%3a@10.0.0.1:1", "10.0.0.1", 1, "u:p@:"},
        {"http://u:p@q@proxy:1", "proxy", 1, "u:p@q"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wh_arena arena = {0};
        struct proxy proxy;
        struct wh_error detail;
        assert_int_equal(proxy_parse(wh_slice_from_str(cases[i].text), &arena, &proxy, &detail),
                         WH_OK);
        assert_string_equal(proxy.host, cases[i].host);
        assert_int_equal(proxy.port, cases[i].port);
        if (cases[i].auth)
            assert_string_equal(proxy.auth, cases[i].auth);
        else
            assert_null(proxy.auth);
        wh_arena_deinit(&arena);
    }
}

static void a_refused_proxy_is_explained_without_its_password(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum wh_err err;
        const char *says;
    } cases[] = {
        {"", WH_EINVAL, "no host"},
        {"http://", WH_EINVAL, "no host"},
        {"https://u:secret@p:1", WH_EUNSUPPORTED, "http://"},
        {"socks5://p:1", WH_EUNSUPPORTED, "http://"},
        {"://p", WH_EUNSUPPORTED, "http://"},
        {"http://u:secret@p:x", WH_EINVAL, "port"},
        {"http://u:secret%@p:1", WH_EINVAL, "%-encoded"},
        {"http://u:secret%00@p:1", WH_EINVAL, "%-encoded"},
        {"http://u:secret%0g@p:1", WH_EINVAL, "%-encoded"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wh_arena arena = {0};
        struct proxy proxy;
        struct wh_error detail;
        assert_int_equal(proxy_parse(wh_slice_from_str(cases[i].text), &arena, &proxy, &detail),
                         cases[i].err);
        if (!strstr(detail.text, cases[i].says) || strstr(detail.text, "secret"))
            fail_msg("\"%s\" gave \"%s\"", cases[i].text, detail.text);
        wh_arena_deinit(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_option_wins_over_the_environment),
        cmocka_unit_test(each_scheme_has_its_variable),
        cmocka_unit_test(no_proxy_says_who_is_connected_directly),
        cmocka_unit_test(a_proxy_is_taken_apart),
        cmocka_unit_test(a_refused_proxy_is_explained_without_its_password),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
