/*
 * Whole connections, and every way of failing to get one, with a sink that hears everything: what
 * was given as token, password or header is in no line and in no text of an error.  Every secret
 * here has SECRET in it.
 */
#include "json_peer.h"

#include <wirehub/wirehub.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { LIMIT_S = 30 };

/* base64 of "user:SECRET", as the proxy is told. */
#define IN_BASE64 "dXNlcjpTRUNSRVQ"
#define JWT       "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJTRUNSRVQifQ.SECRET"

/* All lines and all texts, one behind the other. */
static char said[1 << 20];
static size_t said_len;

static void note(const char *text)
{
    int len = snprintf(said + said_len, sizeof said - said_len, "%s\n", text);
    assert_true(len > 0 && said_len + (size_t)len < sizeof said);
    said_len += (size_t)len;
}

static void on_line(enum wh_severity severity,
                    const char *area,
                    const char *event,
                    const char *fields,
                    void *user)
{
    (void)severity, (void)user;
    note(area);
    note(event);
    note(fields);
}

static int begin(void **state)
{
    (void)state;
    said_len = 0;
    wh_log_sink(on_line, NULL, WH_SEVERITY_TRACE, NULL);
    return 0;
}

static int end(void **state)
{
    (void)state;
    wh_log_sink(NULL, NULL, WH_SEVERITY_NONE, NULL);
    return 0;
}

static void assert_nothing_leaked(void)
{
    static const char *const secrets[] = {"SECRET", IN_BASE64, "eyJhbGciOiJIUzI1NiJ9"};
    for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++) {
        char *at = strstr(said, secrets[i]);
        if (at)
            fail_msg("%s is in: %.200s", secrets[i], at - said > 100 ? at - 100 : said);
    }
}

/* ---- the server, behind a proxy when it is asked for that way ---------------------------------
 */

static struct {
    char connect[8192], upgrade[8192];
} requests;

static void proxied_script(struct raw_stream *stream, void *user)
{
    const char *answer = user;
    if (!raw_read_request(stream))
        return;
    memcpy(requests.connect, stream->request, sizeof requests.connect);
    if (raw_write_text(stream, answer) && strstr(answer, " 200 "))
        json_peer_script(stream, requests.upgrade);
}

/* ---- the program ----------------------------------------------------------------------------- */

static void on_error(struct wh_client *client, const struct wh_error *error, void *user)
{
    (void)client;
    ++*(unsigned *)user;
    note(error->text);
}

static void on_transition(struct wh_client *client, const struct wh_transition *why, void *user)
{
    (void)client, (void)user;
    note(why->reason);
}

static void on_get_token(struct wh_client *client, struct wh_token_request *request, void *user)
{
    (void)client, (void)user;
    wh_token_ok(request, JWT);
}

static void on_sub_token(struct wh_sub *sub, struct wh_token_request *request, void *user)
{
    (void)sub, (void)user;
    wh_token_ok(request, "opaque-SECRET");
}

static void on_sub_error(struct wh_sub *sub, const struct wh_error *error, void *user)
{
    (void)sub, (void)user;
    note(error->text);
}

static const struct wh_header headers[] = {{"Authorization", "Bearer SECRET"},
                                           {"Cookie", "session=SECRET"},
                                           {"X-Key", "SECRET"}};
static const struct wh_client_events events = {WH_CLIENT_EVENTS_INIT, .connecting = on_transition,
                                               .disconnected = on_transition, .error = on_error,
                                               .get_token = on_get_token};

static struct wh_runtime *make_runtime(void)
{
    struct wh_runtime_options options = WH_RUNTIME_OPTIONS_INIT;
    struct wh_runtime *runtime = NULL;
    options.mode = WH_MODE_LOOP;
    assert_int_equal(wh_runtime_new(&options, &runtime, NULL), WH_OK);
    return runtime;
}

static void fill_options(struct wh_client_options *options,
                         struct wh_runtime *runtime,
                         unsigned *errors)
{
    options->connect_data = wh_json("{\"password\":\"SECRET\",\"pin\":[1]}");
    options->headers = options->emulated_headers = headers;
    options->header_count = options->emulated_header_count = 3;
    options->min_reconnect_ms = options->max_reconnect_ms = 1;
    options->events = &events;
    options->user = errors;
    options->runtime = runtime;
}

static void call(struct wh_client *client, const char *method, const char *json)
{
    struct wh_error error = {.text = ""};
    (void)wh_client_rpc_sync(client, method, wh_json(json), 0, NULL, &error);
    note(error.text);
}

static void subscribe(struct wh_client *client, const char *channel, const char *token)
{
    static const struct wh_sub_events sub_events = {WH_SUB_EVENTS_INIT, .error = on_sub_error,
                                                    .get_token = on_sub_token};
    struct wh_sub_options options = WH_SUB_OPTIONS_INIT;
    struct wh_error error = {.text = ""};
    struct wh_sub *sub;
    options.token = token;
    options.data = wh_json("{\"api_key\":\"SECRET\"}");
    options.events = &sub_events;
    assert_int_equal(wh_sub_new(client, channel, &options, &sub, &error), WH_OK);
    (void)wh_sub_subscribe_wait(sub, LIMIT_S * 1000, &error);
    note(error.text);
    assert_int_equal(wh_sub_set_token(sub, "other-SECRET"), WH_OK);
}

/* ---- connections ----------------------------------------------------------------------------- */

static void a_connection_with_everything_says_no_secret(void **state)
{
    (void)state;
    static const char ok[] = "HTTP/1.1 200 OK\r\n\r\n";
    unsigned errors = 0;
    char proxy[64];
    struct wh_runtime *runtime = make_runtime();
    struct raw_peer *peer = raw_peer_start(proxied_script, (void *)(uintptr_t)ok, NULL);
    struct wh_client_options options = WH_CLIENT_OPTIONS_INIT;
    struct wh_client *client = NULL;
    (void)snprintf(proxy, sizeof proxy, "http://user:SECRET@127.0.0.1:%u", raw_peer_port(peer));
    fill_options(&options, runtime, &errors);
    options.url = "ws://hub.invalid/?token=SECRET";
    options.proxy = proxy;
    assert_int_equal(wh_client_new(&options, &client, NULL), WH_OK);
    assert_int_equal(wh_client_connect_wait(client, LIMIT_S * 1000, NULL), WH_OK);
    subscribe(client, "news", NULL);
    subscribe(client, "forbidden", "mine-SECRET");
    call(client, "echo", "{\"secret\":\"SECRET\",\"deep\":{\"x_token\":[\"SECRET\"]}}");
    call(client, "error", "{\"nested\":\"{\\\"password\\\":\\\"SECRET\\\"}\"}");
    call(client, "refused", "\"Bearer SECRET\"");
    call(client, "drop", "\"" JWT "\"");
    assert_int_equal(wh_client_set_token(client, "set-SECRET"), WH_OK);
    assert_int_equal(wh_client_connect_wait(client, LIMIT_S * 1000, NULL), WH_OK);
    wh_client_free(client);
    wh_runtime_free(runtime);
    raw_peer_stop(peer);
    /* They were used, and the sink has heard of it. */
    assert_non_null(strstr(requests.connect, IN_BASE64));
    assert_non_null(strstr(requests.upgrade, "Authorization: Bearer SECRET\r\n"));
    assert_non_null(strstr(requests.upgrade, "?token=SECRET"));
    assert_non_null(strstr(said, "\\\"token\\\":\\\"***\\\""));
    assert_non_null(strstr(said, "\\\"headers\\\":\\\"***\\\""));
    assert_nothing_leaked();
}

/* A connection that does not come about, for `url` and `proxy`. */
static void fail_with(const char *url, const char *proxy, const struct wh_tls_options *tls)
{
    unsigned errors = 0;
    struct wh_runtime *runtime = make_runtime();
    struct wh_client_options options = WH_CLIENT_OPTIONS_INIT;
    struct wh_client *client = NULL;
    struct wh_error error = {.text = ""};
    fill_options(&options, runtime, &errors);
    options.url = url;
    options.proxy = proxy;
    options.tls = tls;
    time_t limit = time(NULL) + LIMIT_S;
    if (wh_client_new(&options, &client, &error) == WH_OK) {
        assert_int_equal(wh_client_connect(client), WH_OK);
        while (errors == 0 && time(NULL) < limit)
            assert_int_equal(wh_runtime_run_once(runtime, 50), WH_OK);
        assert_true(errors > 0);
    } else {
        assert_string_not_equal(error.text, "");
        note(error.text);
        assert_null(wh_client_open(url, &options));
    }
    wh_client_free(client);
    wh_runtime_free(runtime);
    assert_nothing_leaked();
}

static void answer_script(struct raw_stream *stream, void *user)
{
    if (raw_read_request(stream))
        (void)raw_write_text(stream, user);
}

static void a_refused_connection_says_no_secret(void **state)
{
    (void)state;
    static const char *const answers[] = {
        "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        "nonsense",
        "",
    };
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        char url[96], proxy[96];
        struct raw_peer *peer = raw_peer_start(answer_script, (void *)(uintptr_t)answers[i], NULL);
        (void)snprintf(url, sizeof url, "ws://127.0.0.1:%u/?token=SECRET", raw_peer_port(peer));
        (void)snprintf(proxy, sizeof proxy, "http://user:SECRET@127.0.0.1:%u", raw_peer_port(peer));
        fail_with(url, "", NULL);
        fail_with("ws://hub.invalid/?token=SECRET", proxy, NULL);
        raw_peer_stop(peer);
        fail_with(url, "", NULL);
        fail_with("ws://hub.invalid/", proxy, NULL);
    }
}

static void options_that_are_refused_are_not_quoted(void **state)
{
    (void)state;
    static const char *const proxies[] = {
        "https://user:SECRET@h:1",
        "http://user:SECRET word@h:1",
        "http://user:SECRET@h",
        "http://user:SECRET@h:99999",
        "user:SECRET@h:1",
        "socks5://SECRET@h:1",
        "http://user:SECRET/more@h:1x",
        "http://user:SECRET?x@:1",
        "@SECRET@",
    };
    static const char *const urls[] = {
        "ws://user:SECRET@h/", "http://h/?token=SECRET", "ws://user:SEC/RET?SECRET@h/",
        "user:SECRET@h",       "ws://h/?token=SECRET#x", "ws:// h?a=SECRET",
        "ws://h:0/?SECRET",    "SECRET@ws://h",
    };
    for (size_t i = 0; i < sizeof proxies / sizeof *proxies; i++)
        fail_with("ws://127.0.0.1:1/", proxies[i], NULL);
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++)
        fail_with(urls[i], "", NULL);
}

static void a_header_that_is_refused_is_not_quoted(void **state)
{
    (void)state;
    static const struct wh_header bad[] = {
        {"Authorization: Bearer SECRET", ""},
        {"Authorization", "Bearer SECRET\r\n"},
        {"\r\nSECRET", "x"},
        {"Sec-WebSocket-Key", "SECRET"},
        {"X", NULL},
        {NULL, "SECRET"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct wh_client_options options = WH_CLIENT_OPTIONS_INIT;
        struct wh_client *client = NULL;
        struct wh_error error = {.text = ""};
        options.url = "ws://h/";
        options.headers = &bad[i];
        options.header_count = 1;
        assert_int_equal(wh_client_new(&options, &client, &error), WH_EINVAL);
        note(error.text);
        assert_null(wh_client_open("ws://h/", &options));
    }
    assert_non_null(strstr(said, "headers: \"Authorization\" "));
    assert_nothing_leaked();
}

static void the_password_of_a_key_is_not_told(void **state)
{
    (void)state;
    const struct wh_tls_options missing = {.size = sizeof missing,
                                           .cert_file = "/nonexistent/cert.pem",
                                           .key_file = "/nonexistent/key.pem",
                                           .key_password = "SECRET"};
    const struct wh_tls_options rubbish = {.size = sizeof rubbish,
                                           .ca = {"-----BEGIN SECRET-----", 22, 0, 0},
                                           .key_password = "SECRET"};
    fail_with("wss://127.0.0.1:1/", "", &missing);
    fail_with("wss://127.0.0.1:1/", "", &rubbish);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_connection_with_everything_says_no_secret, begin, end),
        cmocka_unit_test_setup_teardown(a_refused_connection_says_no_secret, begin, end),
        cmocka_unit_test_setup_teardown(options_that_are_refused_are_not_quoted, begin, end),
        cmocka_unit_test_setup_teardown(a_header_that_is_refused_is_not_quoted, begin, end),
        cmocka_unit_test_setup_teardown(the_password_of_a_key_is_not_told, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
