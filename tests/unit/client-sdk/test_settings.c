/* Options: what is refused, with which words, and what they become. */
#include "client-sdk/src/settings.h"
#include "client-sdk/src/url.h"
#include "tests/support/failing_alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* What a URL may be is test_url.c's. */
static void urls_are_a_list(void **state)
{
    (void)state;
    struct wh_client_options options = {.size = sizeof(options),
                                        .url = "ws://h:1/a?b=c ,\twss://[::1]/,ws://i"};
    struct settings settings;
    assert_int_equal(settings_init(&settings, &options, NULL), WH_OK);
    assert_int_equal(settings.url_count, 3);
    assert_string_equal(settings.urls[0].text, "ws://h:1/a?b=c");
    assert_string_equal(settings.urls[0].path, "/a?b=c");
    assert_string_equal(settings.urls[1].host, "::1");
    assert_int_equal(settings.urls[1].port, 443);
    assert_true(settings.urls[1].is_tls);
    assert_string_equal(settings.urls[2].text, "ws://i");
    settings_deinit(&settings);
}

static void zero_is_the_default(void **state)
{
    (void)state;
    struct wh_client_options options = {.size = sizeof(options), .url = "ws://a, wss://b"};
    struct settings settings;
    assert_int_equal(settings_init(&settings, &options, NULL), WH_OK);
    assert_int_equal(settings.url_count, 2);
    assert_int_equal(settings.timeout_ms, 5000);
    assert_int_equal(settings.connect_timeout_ms, 10000);
    assert_int_equal(settings.min_reconnect_ms, 500);
    assert_int_equal(settings.max_reconnect_ms, 20000);
    assert_int_equal(settings.max_server_ping_delay_ms, 10000);
    assert_int_equal(settings.close_timeout_ms, 250);
    assert_int_equal(settings.message_bytes_max, 1 << 20);
    assert_int_equal(settings.send_queue_bytes_max, 1 << 20);
    assert_int_equal(settings.event_queue_bytes_max, 16 << 20);
    assert_string_equal(settings.name, "c");
    assert_null(settings.token);
    assert_null(settings.proxy);
    settings_deinit(&settings);
}

/* Zero being taken, and the others not to be had without an end. */
static void never_is_for_the_pings_of_the_server_only(void **state)
{
    (void)state;
    struct wh_client_options options = {
        .size = sizeof(options), .url = "ws://h", .max_server_ping_delay_ms = WH_NEVER};
    struct settings settings;
    assert_int_equal(settings_init(&settings, &options, NULL), WH_OK);
    assert_true(settings.max_server_ping_delay_ms == WH_NEVER);
    settings_deinit(&settings);
    options.max_server_ping_delay_ms = WH_NEVER - 1;
    assert_int_equal(settings_init(&settings, &options, NULL), WH_EINVAL);
    options.max_server_ping_delay_ms = 0;
    assert_int_equal(wh_client_options_set(&options, "max_server_ping_delay_ms", "never", NULL),
                     WH_OK);
    assert_true(options.max_server_ping_delay_ms == WH_NEVER);
    static const char *const others[] = {"timeout_ms", "connect_timeout_ms", "token_timeout_ms",
                                         "max_reconnect_ms", "close_timeout_ms"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_int_equal(wh_client_options_set(&options, others[i], "never", NULL), WH_EFORMAT);
    options.timeout_ms = WH_NEVER;
    assert_int_equal(settings_init(&settings, &options, NULL), WH_EINVAL);
}

static enum wh_err try_url(const char *url, struct wh_error *detail)
{
    struct wh_client_options options = {.size = sizeof(options), .url = url};
    struct settings settings;
    enum wh_err err = settings_init(&settings, &options, detail);
    if (!err)
        settings_deinit(&settings);
    return err;
}

static void one_bad_url_spoils_the_list(void **state)
{
    (void)state;
    char many[SETTINGS_URLS_MAX * 7 + 8] = "ws://h";
    for (size_t i = 0; i < SETTINGS_URLS_MAX; i++)
        memcpy(many + 6 + i * 7, ",ws://h", 8);
    const char *const urls[] = {
        NULL, "", "http://h", "ws://a,", ",", "ws://a,,ws://b", "ws://a,b", "ws://a b", many,
    };
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct wh_error detail = {0};
        enum wh_err err = try_url(urls[i], &detail);
        if (err != WH_EINVAL)
            fail_msg("%s: %s", urls[i] ? urls[i] : "NULL", wh_err_name(err));
        assert_int_equal(detail.err, WH_EINVAL);
        assert_int_equal(strncmp(detail.text, "url: ", 5), 0);
    }
}

static const struct wh_header bad_name = {"a b", "v"};
static const struct wh_header bad_value = {"a", "v\r\nx: y"};
static const struct wh_header reserved = {"Sec-WebSocket-Key", "v"};
static const struct wh_tls_options with_cert = {.size = sizeof(with_cert), .cert_file = "c.pem"};

#define OPTIONS(...)                                                                               \
    (struct wh_client_options)                                                                     \
    {                                                                                              \
        .size = sizeof(struct wh_client_options), .url = "ws://h", __VA_ARGS__                     \
    }

static void every_bad_option_is_refused_with_its_name(void **state)
{
    (void)state;
    const struct {
        struct wh_client_options options;
        enum wh_err err;
        const char *text; /* how the detail begins */
    } cases[] = {
        {OPTIONS(.timeout_ms = UINT32_MAX), WH_EINVAL, "timeout_ms: 4294967295 is not between 1"},
        {OPTIONS(.min_reconnect_ms = 30000), WH_EINVAL, "min_reconnect_ms: 30000 is more than"},
        {OPTIONS(.message_bytes_max = 10), WH_EINVAL, "message_bytes_max: 10 is not between 1024"},
        {OPTIONS(.encoding = (enum wh_encoding)7), WH_EINVAL, "encoding: 7"},
        {OPTIONS(.token = "\xff"), WH_EINVAL, "token: not UTF-8"},
        {OPTIONS(.headers = &bad_name, .header_count = 1), WH_EINVAL, "headers: \"a b\""},
        {OPTIONS(.headers = &bad_value, .header_count = 1), WH_EINVAL, "headers: \"a\" has a value with"},
        {OPTIONS(.headers = &reserved, .header_count = 1), WH_EINVAL, "headers: \"Sec-WebSocket-Key\" belongs"},
        {OPTIONS(.header_count = 1), WH_EINVAL, "headers: 1 of them"},
        {OPTIONS(.emulated_headers = &bad_name, .emulated_header_count = 1), WH_EINVAL, "emulated"},
        {OPTIONS(.tls = &with_cert), WH_EINVAL, "tls.cert_file"},
        {OPTIONS(.proxy = "socks5://h:1"), WH_EUNSUPPORTED,
         "proxy: \"socks5://h:1\": only http://"},
        {OPTIONS(.proxy = "http://h:x"), WH_EINVAL, "proxy: \"http://h:x\": the port"},
        {OPTIONS(.proxy = "http://u:p@h:x"), WH_EINVAL, "proxy: the port"},
        {OPTIONS(.connect_data = wh_json("{")), WH_EINVAL, "connect_data"},
        {OPTIONS(.connect_data = wh_bytes("\x01", 1)), WH_EINVAL, "connect_data"},
        {OPTIONS(.connect_data = {"1", 1, 9, 0}), WH_EINVAL, "connect_data"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct settings settings;
        struct wh_error detail = {0};
        assert_int_equal(settings_init(&settings, &cases[i].options, &detail), cases[i].err);
        if (strncmp(detail.text, cases[i].text, strlen(cases[i].text)) != 0)
            fail_msg("\"%s\" does not begin with \"%s\"", detail.text, cases[i].text);
        assert_int_equal(settings_init(&settings, &cases[i].options, NULL), cases[i].err);
    }
}

static void a_newer_struct_is_fine_unless_it_asks_for_something_new(void **state)
{
    (void)state;
    struct {
        struct wh_client_options options;
        uint64_t more;
    } newer = {.options = {.size = sizeof(newer), .url = "ws://h"}};
    struct settings settings;
    assert_int_equal(settings_init(&settings, &newer.options, NULL), WH_OK);
    settings_deinit(&settings);
    newer.more = 1;
    assert_int_equal(settings_init(&settings, &newer.options, NULL), WH_EABI);
    struct wh_client_options older = {.size = offsetof(struct wh_client_options, encoding),
                                      .url = "ws://h",
                                      .encoding = WH_ENCODING_PROTOBUF};
    assert_int_equal(settings_init(&settings, &older, NULL), WH_OK);
    assert_int_equal(settings.encoding, WH_ENCODING_JSON);
    settings_deinit(&settings);
    older.size = 0;
    assert_int_equal(settings_init(&settings, &older, NULL), WH_EINVAL);
    assert_int_equal(settings_init(&settings, NULL, NULL), WH_EINVAL);
}

static void no_unsubscribed(struct wh_client *client,
                            const char *channel,
                            const struct wh_transition *why,
                            void *user)
{
    (void)client, (void)channel, (void)why, (void)user;
}

/* Programs that set no size were built for version 1: what stands behind it is not theirs. */
static void events_without_a_size_are_those_of_version_1(void **state)
{
    (void)state;
    struct wh_client_events events = {.server_unsubscribed_why = no_unsubscribed};
    struct wh_client_options options = OPTIONS(.events = &events);
    struct settings settings;
    assert_int_equal(settings_init(&settings, &options, NULL), WH_OK);
    assert_null(settings.events.server_unsubscribed_why);
    settings_deinit(&settings);
    events.size = sizeof(events);
    assert_int_equal(settings_init(&settings, &options, NULL), WH_OK);
    assert_ptr_equal(settings.events.server_unsubscribed_why, no_unsubscribed);
    settings_deinit(&settings);
    events.size = offsetof(struct wh_client_events, server_unsubscribed_why);
    assert_int_equal(settings_init(&settings, &options, NULL), WH_OK);
    assert_null(settings.events.server_unsubscribed_why);
    settings_deinit(&settings);
}

static void everything_is_copied(void **state)
{
    (void)state;
    char url[] = "ws://host/p", token[] = "tok", name[] = "X", value[] = "1", data[] = "[1]";
    struct wh_header header = {name, value};
    struct wh_client_options options = {.size = sizeof(options),
                                        .url = url,
                                        .token = token,
                                        .headers = &header,
                                        .header_count = 1,
                                        .emulated_headers = &header,
                                        .emulated_header_count = 1,
                                        .connect_data = wh_json(data)};
    struct settings settings;
    assert_int_equal(settings_init(&settings, &options, NULL), WH_OK);
    memset(url, 'x', sizeof(url) - 1);
    memset(token, 'x', sizeof(token) - 1);
    memset(name, 'x', sizeof(name) - 1);
    memset(value, 'x', sizeof(value) - 1);
    memset(data, 'x', sizeof(data) - 1);
    assert_string_equal(settings.urls[0].host, "host");
    assert_string_equal(settings.token, "tok");
    assert_string_equal(settings.headers[0].name, "X");
    assert_true(wh_slice_equal_str(settings.emulated_headers.items[0].value, "1"));
    assert_true(wh_slice_equal_str(settings.connect_data.bytes, "[1]"));
    settings_deinit(&settings);
}

static void without_memory_it_is_enomem_and_nothing_leaks(void **state)
{
    (void)state;
    static const struct wh_header header = {"X", "1"};
    static const struct wh_tls_options tls = {
        .size = sizeof(tls), .ca_file = "ca.pem", .ca_dir = "/etc/ssl/certs"};
    char long_path[URL_PATH_BYTES_MAX] = "ws://h/";
    memset(long_path + 7, 'p', sizeof(long_path) - 8);
    struct wh_client_options options =
        OPTIONS(.token = "t", .headers = &header, .header_count = 1, .emulated_headers = &header,
                .emulated_header_count = 1, .tls = &tls, .proxy = "http://p:1",
                .connect_data = wh_json("1"));
    options.url = long_path;
    size_t nth = 1;
    for (;; nth++) {
        struct settings settings;
        failing_alloc_start(nth);
        enum wh_err err = settings_init(&settings, &options, NULL);
        if (!err)
            settings_deinit(&settings);
        if (!failing_alloc_stop())
            break;
        assert_int_equal(err, WH_ENOMEM);
    }
    assert_true(nth > 2);
}

static void options_are_set_by_name(void **state)
{
    (void)state;
    struct wh_client_options options = {.size = sizeof(options)};
    static const struct {
        const char *name, *value;
    } sets[] = {
        {"url", "ws://h"},
        {"timeout_ms", "7s"},
        {"connect_timeout_ms", "1500"},
        {"encoding", "msgpack"},
        {"encoding_required", "true"},
        {"no_reconnect", "false"},
        {"message_bytes_max", "64KiB"},
        {"connect_data", "{\"a\":1}"},
        {"token", "t"},
    };
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
        assert_int_equal(wh_client_options_set(&options, sets[i].name, sets[i].value, NULL), WH_OK);
    assert_string_equal(options.url, "ws://h");
    assert_int_equal(options.timeout_ms, 7000);
    assert_int_equal(options.connect_timeout_ms, 1500);
    assert_int_equal(options.encoding, WH_ENCODING_MSGPACK);
    assert_true(options.encoding_required);
    assert_false(options.no_reconnect);
    assert_int_equal(options.message_bytes_max, 65536);
    assert_int_equal(options.connect_data.len, 7);
    assert_string_equal(options.token, "t");
}

static void bad_names_and_values_are_explained(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value;
        enum wh_err err;
        const char *text;
    } cases[] = {
        {"timeout", "5s", WH_ENOTFOUND, "no option \"timeout\""},
        {"tokn", "t", WH_ENOTFOUND, "no option \"tokn\"; is token meant?"},
        {"timeout_ms", "5 mins", WH_EFORMAT, "timeout_ms: \"5 mins\" is not a duration"},
        {"timeout_ms", "", WH_EFORMAT, "timeout_ms: \"\" is not"},
        {"timeout_ms", "4294967296", WH_EFORMAT, "timeout_ms"},
        {"message_bytes_max", "1TiB", WH_EFORMAT, "message_bytes_max: \"1TiB\" is not a size"},
        {"encoding", "xml", WH_EFORMAT, "encoding: \"xml\" is not json, msgpack or protobuf"},
        {"no_reconnect", "yes", WH_EFORMAT, "no_reconnect: \"yes\" is not true or false"},
        {"events", "x", WH_EFORMAT, "events"},
    };
    struct wh_client_options options = {.size = sizeof(options)};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wh_error detail = {0};
        enum wh_err err = wh_client_options_set(&options, cases[i].name, cases[i].value, &detail);
        assert_int_equal(err, cases[i].err);
        if (strncmp(detail.text, cases[i].text, strlen(cases[i].text)) != 0)
            fail_msg("\"%s\" does not begin with \"%s\"", detail.text, cases[i].text);
    }
    options.size = offsetof(struct wh_client_options, token);
    assert_int_equal(wh_client_options_set(&options, "token", "t", NULL), WH_EABI);
    assert_int_equal(wh_client_options_set(NULL, "token", "t", NULL), WH_EINVAL);
}

/* ---- TLS and headers by name ---- */

static void set(struct wh_client_options *options, const char *name, const char *value)
{
    struct wh_error detail;
    if (wh_client_options_set(options, name, value, &detail) != WH_OK)
        fail_msg("%s: %s", name, detail.text);
}

static void tls_and_headers_are_set_by_name(void **state)
{
    (void)state;
    char name[] = "header.X-One";
    struct wh_client_options options = {.size = sizeof(options)};
    set(&options, "url", "wss://h");
    set(&options, "tls.ca_file", "ca.pem");
    set(&options, "tls.ca_dir", "/etc/ssl/certs");
    set(&options, "tls.ca", "-----BEGIN");
    set(&options, "tls.cert_file", "c.pem");
    set(&options, "tls.key_file", "k.pem");
    set(&options, "tls.key_password", "p");
    set(&options, "tls.server_name", "n");
    set(&options, "tls.ciphers", "c");
    set(&options, "tls.insecure_skip_verify", "true");
    set(&options, "tls.insecure_skip_verify_host", "true");
    set(&options, name, "1");
    memset(name, 'x', sizeof(name) - 1); /* names are copied */
    set(&options, "header.X-Two", "2");
    set(&options, "header.x-one", "3"); /* names have no case */
    set(&options, "emulated_header.X-Three", "4");
    struct settings settings;
    assert_int_equal(settings_init(&settings, &options, NULL), WH_OK);
    wh_client_options_deinit(&options);
    const struct wh_tls_options *tls = &settings.tls;
    const char *const texts[][2] = {
        {tls->ca_file, "ca.pem"},
        {tls->ca_dir, "/etc/ssl/certs"},
        {tls->cert_file, "c.pem"},
        {tls->key_file, "k.pem"},
        {tls->key_password, "p"},
        {tls->server_name, "n"},
        {tls->ciphers, "c"},
        {tls->ca.ptr, "-----BEGIN"},
        {settings.headers[0].value, "3"},
        {settings.headers[0].name, "X-One"},
        {settings.headers[1].name, "X-Two"},
        {settings.headers[1].value, "2"},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_string_equal(texts[i][0], texts[i][1]);
    assert_true(tls->insecure_skip_verify && tls->insecure_skip_verify_host);
    assert_int_equal(settings.header_count, 2);
    assert_int_equal(settings.emulated_headers.count, 1);
    assert_true(wh_slice_equal_str(settings.emulated_headers.items[0].value, "4"));
    settings_deinit(&settings);
    /* What pointed into it was forgotten: the options may be used again. */
    assert_null(options.tls);
    assert_null(options.headers);
    assert_null(options.emulated_headers);
    assert_int_equal(settings_init(&settings, &options, NULL), WH_OK);
    assert_false(settings.has_tls);
    settings_deinit(&settings);
    wh_client_options_deinit(&options);
    wh_client_options_deinit(NULL);
}

static void what_the_program_gave_is_copied_and_not_changed(void **state)
{
    (void)state;
    static const struct wh_tls_options given = {
        .size = offsetof(struct wh_tls_options, ca_dir), .ca_file = "mine.pem", .ca_dir = "beyond"};
    static const struct wh_header headers[] = {{"A", "1"}, {"B", "2"}};
    struct wh_client_options options =
        OPTIONS(.tls = &given, .headers = headers, .header_count = 2);
    set(&options, "tls.server_name", "n");
    set(&options, "header.a", "3");
    assert_ptr_not_equal(options.tls, &given);
    assert_string_equal(options.tls->ca_file, "mine.pem");
    assert_null(options.tls->ca_dir);
    assert_string_equal(options.tls->server_name, "n");
    assert_int_equal(options.header_count, 2);
    assert_string_equal(options.headers[0].value, "3");
    assert_string_equal(options.headers[1].value, "2");
    assert_string_equal(headers[0].value, "1");
    /* The program may change its mind; then it is none of our memory that is forgotten. */
    options.headers = headers;
    wh_client_options_deinit(&options);
    assert_ptr_equal(options.headers, headers);
    assert_int_equal(options.header_count, 2);
    assert_null(options.tls);
}

static void a_refused_name_changes_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value;
        enum wh_err err;
        const char *text;
    } cases[] = {
        {"tls.ca_fil", "x", WH_ENOTFOUND, "no option \"tls.ca_fil\"; is tls.ca_file meant?"},
        {"tls.", "x", WH_ENOTFOUND, "no option \"tls.\""},
        {"tls.size", "x", WH_ENOTFOUND, "no option \"tls.size\""},
        {"tls", "x", WH_EFORMAT, "tls: \"x\" is not something that text can say (tls.ca_file"},
        {"headers", "x", WH_EFORMAT, "headers: "},
        {"owned", "x", WH_EFORMAT, "owned: "},
        {"header.", "x", WH_ENOTFOUND, "no option \"header.\""},
        {"tls.insecure_skip_verify", "1", WH_EFORMAT,
         "tls.insecure_skip_verify: \"1\" is not true"},
    };
    struct wh_client_options options = {.size = sizeof(options), .url = "ws://h"};
    struct wh_error detail;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(wh_client_options_set(&options, cases[i].name, cases[i].value, &detail),
                         cases[i].err);
        if (strncmp(detail.text, cases[i].text, strlen(cases[i].text)) != 0)
            fail_msg("\"%s\" does not begin with \"%s\"", detail.text, cases[i].text);
    }
    assert_null(options.tls);
    char name[32];
    for (int i = 0; i < SETTINGS_HEADERS_MAX; i++) {
        (void)snprintf(name, sizeof(name), "header.h%d", i);
        set(&options, name, "v");
    }
    assert_int_equal(wh_client_options_set(&options, "header.more", "v", &detail), WH_ELIMIT);
    assert_int_equal(options.header_count, SETTINGS_HEADERS_MAX);
    set(&options, "header.H0", "w"); /* not one more */
    wh_client_options_deinit(&options);
    options.header_count = 1;
    assert_int_equal(wh_client_options_set(&options, "header.a", "v", &detail), WH_EINVAL);
    static const struct wh_header nameless = {0};
    options.headers = &nameless;
    set(&options, "header.a", "v");
    assert_int_equal(options.header_count, 2);
    wh_client_options_deinit(&options);
    options.size = offsetof(struct wh_client_options, owned);
    assert_int_equal(wh_client_options_set(&options, "tls.ca_file", "f", NULL), WH_EABI);
    assert_int_equal(wh_client_options_set(&options, "header.a", "f", NULL), WH_EABI);
    wh_client_options_deinit(&options);
}

static void without_memory_a_name_is_not_set(void **state)
{
    (void)state;
    size_t nth = 1;
    for (bool has_failed = true; has_failed; nth++) {
        struct wh_client_options options = {.size = sizeof(options), .url = "ws://h"};
        failing_alloc_start(nth);
        enum wh_err tls = wh_client_options_set(&options, "tls.ca_file", "f", NULL);
        enum wh_err header = wh_client_options_set(&options, "header.a", "f", NULL);
        has_failed = failing_alloc_stop();
        assert_int_equal(tls == WH_ENOMEM || header == WH_ENOMEM, has_failed);
        assert_int_equal(options.header_count, header == WH_OK ? 1 : 0);
        wh_client_options_deinit(&options);
    }
    assert_true(nth > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_a_list),
        cmocka_unit_test(zero_is_the_default),
        cmocka_unit_test(never_is_for_the_pings_of_the_server_only),
        cmocka_unit_test(one_bad_url_spoils_the_list),
        cmocka_unit_test(every_bad_option_is_refused_with_its_name),
        cmocka_unit_test(a_newer_struct_is_fine_unless_it_asks_for_something_new),
        cmocka_unit_test(events_without_a_size_are_those_of_version_1),
        cmocka_unit_test(everything_is_copied),
        cmocka_unit_test(without_memory_it_is_enomem_and_nothing_leaks),
        cmocka_unit_test(options_are_set_by_name),
        cmocka_unit_test(bad_names_and_values_are_explained),
        cmocka_unit_test(tls_and_headers_are_set_by_name),
        cmocka_unit_test(what_the_program_gave_is_copied_and_not_changed),
        cmocka_unit_test(a_refused_name_changes_nothing),
        cmocka_unit_test(without_memory_a_name_is_not_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
