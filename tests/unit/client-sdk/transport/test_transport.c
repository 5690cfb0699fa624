/* From an address to an open connection, or to an error that says why not. */
#include "tests/support/transport_fixture.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- connecting ---------------------------------------------------------------------------- */

static void the_request_is_what_the_settings_say(void **state)
{
    (void)state;
    static struct saved_request saved;
    static const struct wh_header headers[] = {{"Authorization", "Bearer t"}, {"X-Two", ""}};
    char host[64];
    struct wh_client client;
    struct raw_peer *peer = fixture_start(save_and_echo, &saved, &client);
    client.settings.headers = headers;
    client.settings.header_count = 2;
    fake_open(&client);
    fixture_pump(&client.opened, 1);
    (void)snprintf(host, sizeof host, "\r\nHost: 127.0.0.1:%u\r\n", raw_peer_port(peer));
    assert_ptr_equal(strstr(saved.text, "GET /connection/websocket?x=1 HTTP/1.1\r\n"), saved.text);
    assert_non_null(strstr(saved.text, host));
    assert_non_null(strstr(saved.text, "\r\nAuthorization: Bearer t\r\n"));
    assert_non_null(strstr(saved.text, "\r\nX-Two: \r\n"));
    assert_null(strstr(saved.text, "Origin"));
    assert_null(strstr(saved.text, "Sec-WebSocket-Protocol"));
    assert_null(strstr(saved.text, "Sec-WebSocket-Extensions"));
    assert_int_equal(client.encoding, WH_ENCODING_JSON);
    fixture_stop(peer, &client);
}

static void a_refused_upgrade_is_told_with_its_status(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        uint32_t status;
        bool temporary;
        const char *says;
    } cases[] = {
        {"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", 401, false, "401 Unauthorized"},
        {"HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nhello", 403, false, "403"},
        {"HTTP/1.1 404 Not Found\r\n\r\n", 404, false, "404 Not Found"},
        {"HTTP/1.1 429 Too Many Requests\r\n\r\n", 429, true, "429"},
        {"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n", 503, true, "503 Service"},
        {"HTTP/1.0 502 Bad Gateway\r\n\r\n", 502, true, "502"},
        {"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", 302, false, "302"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, false, "200 OK"},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 410 Gone\r\n\r\n", 410, false, "410 Gone"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wh_client client;
        struct raw_peer *peer =
            fixture_start(text_script, (void *)(uintptr_t)cases[i].answer, &client);
        fake_open(&client);
        fixture_pump(&client.closed, 1);
        assert_int_equal(client.opened, 0);
        assert_int_equal(client.error.http_status, cases[i].status);
        assert_int_equal(client.error.temporary, cases[i].temporary);
        assert_says(&client, cases[i].says);
        fixture_stop(peer, &client);
    }
}

static void an_answer_that_is_no_upgrade_is_an_error(void **state)
{
    (void)state;
    static const char *const answers[] = {
        "\0\1\2 nonsense that is not HTTP\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2p1\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: bm90IHRoZSByaWdodCBvbmU=\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: bm90IHRoZSByaWdodCBvbmU=\r\n\r\n",
        "HTTP/1.1 10",
        "",
    };
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        struct wh_client client;
        struct raw_peer *peer = fixture_start(text_script, (void *)(uintptr_t)answers[i], &client);
        fake_open(&client);
        fixture_pump(&client.closed, 1);
        assert_int_equal(client.opened, 0);
        assert_int_equal(client.error.err, WH_ECONNECT);
        assert_int_not_equal(client.error.text[0], 0);
        fixture_stop(peer, &client);
    }
}

static void a_server_that_never_answers_times_out(void **state)
{
    (void)state;
    struct wh_client client;
    struct raw_peer *peer = fixture_start(wait_script, NULL, &client);
    client.settings.connect_timeout_ms = 50;
    fake_open(&client);
    fixture_pump(&client.closed, 1);
    assert_int_equal(client.error.err, WH_ETIMEOUT);
    assert_int_equal(client.error.code, WH_CODE_TIMEOUT);
    assert_says(&client, "50 ms");
    assert_says(&client, "no answer to the WebSocket upgrade");
    fixture_stop(peer, &client);
}

static void a_refused_port_is_told_at_once(void **state)
{
    (void)state;
    struct wh_client client;
    struct raw_peer *peer = fixture_start(NULL, NULL, &client);
    raw_peer_stop(peer);
    fake_open(&client);
    fixture_pump(&client.closed, 1);
    assert_int_equal(client.error.err, WH_ECONNECT);
    assert_says(&client, "refused");
    assert_says(&client, "127.0.0.1");
    fake_client_deinit(&client);
}

static void a_name_that_does_not_exist_is_told(void **state)
{
    (void)state;
    struct wh_client client;
    fake_client_init(&client, service, "ws://no-such-host.invalid/");
    fake_open(&client);
    fixture_pump(&client.closed, 1);
    assert_int_equal(client.error.err, WH_ECONNECT);
    assert_says(&client, "no-such-host.invalid: ");
    fake_client_deinit(&client);
}

/* localhost is ::1 and 127.0.0.1 on most machines; the server has only the latter. */
static void a_name_is_looked_up_and_its_addresses_tried_in_order(void **state)
{
    (void)state;
    static struct saved_request saved;
    char url[64], host[64];
    struct wh_client client;
    struct raw_peer *peer = raw_peer_start(save_and_echo, &saved, NULL);
    (void)snprintf(url, sizeof url, "ws://localhost:%u", raw_peer_port(peer));
    (void)snprintf(host, sizeof host, "\r\nHost: localhost:%u\r\n", raw_peer_port(peer));
    fake_client_init(&client, service, url);
    fake_open(&client);
    fixture_pump(&client.opened, 1);
    assert_non_null(strstr(saved.text, host));
    fixture_stop(peer, &client);
}

/* In place of libc's: "two.test" is 127.0.0.2, then 127.0.0.1.  (clang-tidy wants the names of its
 * declaration; `service` is ours.) */
int getaddrinfo(const char *name,
                const char *_service,
                const struct addrinfo *req,
                struct addrinfo **pai)
{
    static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    if (!real)
        real = (int (*)(const char *, const char *, const struct addrinfo *,
                        struct addrinfo **))dlsym(RTLD_NEXT, "getaddrinfo");
    if (!name || strcmp(name, "two.test") != 0)
        return real(name, _service, req, pai);
    int failure = real("127.0.0.2", _service, req, pai);
    return failure ? failure : real("127.0.0.1", _service, req, &(*pai)->ai_next);
}

/* A listener with a full backlog: the kernel answers no SYN more, as a dead host would. */
static void an_address_that_does_not_answer_gets_its_share_of_the_time(void **state)
{
    (void)state;
    enum { FILLERS = 4 };
    int fillers[FILLERS];
    char url[64];
    struct wh_client client;
    struct raw_peer *peer = raw_peer_start(save_and_echo, NULL, NULL);
    struct sockaddr_in dead = {.sin_family = AF_INET, .sin_port = htons(raw_peer_port(peer))};
    assert_int_equal(inet_pton(AF_INET, "127.0.0.2", &dead.sin_addr), 1);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&dead, sizeof dead), 0);
    assert_int_equal(listen(listener, 0), 0);
    for (int i = 0; i < FILLERS; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(fillers[i], (struct sockaddr *)&dead, sizeof dead);
    }
    (void)snprintf(url, sizeof url, "ws://two.test:%u/", raw_peer_port(peer));
    fake_client_init(&client, service, url);
    client.settings.connect_timeout_ms = 1000;
    fake_open(&client);
    while (!client.opened && !client.closed)
        service_run(service, 50);
    assert_string_equal(client.error.text, "");
    assert_int_equal(client.opened, 1);
    for (int i = 0; i < FILLERS; i++)
        (void)close(fillers[i]);
    (void)close(listener);
    fixture_stop(peer, &client);
}

/* ---- encodings ----------------------------------------------------------------------------- */

static void subprotocol_script(struct raw_stream *stream, void *user)
{
    const char *wanted = "\r\nSec-WebSocket-Protocol: centrifuge-msgpack\r\n";
    if (raw_read_request(stream) && strstr(stream->request, wanted) && raw_upgrade(stream, user))
        raw_echo(stream);
}

static void the_echoed_subprotocol_is_spoken(void **state)
{
    (void)state;
    struct wh_client client;
    struct raw_peer *peer =
        fixture_start(subprotocol_script, (void *)(uintptr_t) "centrifuge-msgpack", &client);
    client.settings.encoding = WH_ENCODING_MSGPACK;
    fake_open(&client);
    fixture_pump(&client.opened, 1);
    assert_int_equal(client.encoding, WH_ENCODING_MSGPACK);
    fake_send(&client, "\x80", 1);
    fixture_pump_messages(&client, 1);
    assert_false(client.messages[0]->is_text);
    fixture_stop(peer, &client);
}

static void a_server_without_the_subprotocol_gets_json(void **state)
{
    (void)state;
    struct wh_client client;
    struct raw_peer *peer = fixture_start(subprotocol_script, NULL, &client);
    client.settings.encoding = WH_ENCODING_MSGPACK;
    fake_open(&client);
    fixture_pump(&client.opened, 1);
    assert_int_equal(client.encoding, WH_ENCODING_JSON);
    fake_send(&client, "{}", 2);
    fixture_pump_messages(&client, 1);
    assert_true(client.messages[0]->is_text);
    fixture_stop(peer, &client);
}

static void a_required_subprotocol_that_is_not_echoed_is_an_error(void **state)
{
    (void)state;
    struct wh_client client;
    struct raw_peer *peer = fixture_start(subprotocol_script, NULL, &client);
    client.settings.encoding = WH_ENCODING_MSGPACK;
    client.settings.encoding_required = true;
    fake_open(&client);
    fixture_pump(&client.closed, 1);
    assert_int_equal(client.opened, 0);
    assert_int_equal(client.error.err, WH_EUNSUPPORTED);
    assert_says(&client, "centrifuge-msgpack");
    fixture_stop(peer, &client);
}

static void a_subprotocol_nobody_asked_for_is_an_error(void **state)
{
    (void)state;
    struct wh_client client;
    struct raw_peer *peer =
        fixture_start(subprotocol_script, (void *)(uintptr_t) "centrifuge-protobuf", &client);
    client.settings.encoding = WH_ENCODING_MSGPACK;
    fake_open(&client);
    fixture_pump(&client.closed, 1);
    assert_int_equal(client.opened, 0);
    fixture_stop(peer, &client);
}

/* ---- proxies ------------------------------------------------------------------------------- */

static void proxy_script(struct raw_stream *stream, void *user)
{
    const char *answer = user;
    static const char connect[] = "CONNECT hub.invalid:80 HTTP/1.1\r\n";
    /* base64 of u:p@ss */
    static const char auth[] = "\r\nProxy-Authorization: Basic dTpwQHNz\r\n";
    if (!raw_read_request(stream) || strncmp(stream->request, connect, sizeof connect - 1) != 0 ||
        !strstr(stream->request, auth) || !raw_write_text(stream, answer))
        return;
    if (raw_read_request(stream) && strstr(stream->request, "\r\nHost: hub.invalid\r\n") &&
        raw_upgrade(stream, NULL))
        raw_echo(stream);
}

static struct raw_peer *start_proxy(const char *answer, struct wh_client *client, char proxy[64])
{
    struct raw_peer *peer = raw_peer_start(proxy_script, (void *)(uintptr_t)answer, NULL);
    (void)snprintf(proxy, 64, "http://u:p%%40ss@localhost:%u/", raw_peer_port(peer));
    fake_client_init(client, service, "ws://hub.invalid/x");
    client->settings.proxy = proxy;
    return peer;
}

static void a_proxy_connects_to_names_that_it_alone_knows(void **state)
{
    (void)state;
    char proxy[64];
    struct wh_client client;
    struct raw_peer *peer =
        start_proxy("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", &client, proxy);
    fake_open(&client);
    fixture_pump(&client.opened, 1);
    fake_send(&client, "{}", 2);
    fixture_pump_messages(&client, 1);
    fixture_stop(peer, &client);
}

static void a_proxy_that_refuses_is_named(void **state)
{
    (void)state;
    char proxy[64];
    struct wh_client client;
    struct raw_peer *peer =
        start_proxy("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", &client, proxy);
    fake_open(&client);
    fixture_pump(&client.closed, 1);
    assert_int_equal(client.error.err, WH_ECONNECT);
    assert_says(&client, "proxy localhost");
    assert_says(&client, "hub.invalid");
    assert_null(strstr(client.error.text, "p@ss"));
    fixture_stop(peer, &client);
}

static void the_environments_proxy_is_not_for_those_in_no_proxy(void **state)
{
    (void)state;
    struct wh_client client;
    struct raw_peer *peer = fixture_start(save_and_echo, NULL, &client);
    client.settings.proxy = NULL;
    assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
    assert_int_equal(setenv("no_proxy", "127.0.0.0/8", 1), 0);
    fake_open(&client);
    fixture_pump(&client.opened, 1);
    assert_int_equal(setenv("no_proxy", "", 1), 0);
    fake_close(&client, 1000, "");
    fake_open(&client);
    fixture_pump(&client.closed, 1);
    assert_says(&client, "proxy 127.0.0.1 (127.0.0.1) port 1");
    assert_int_equal(unsetenv("http_proxy"), 0);
    assert_int_equal(unsetenv("no_proxy"), 0);
    fixture_stop(peer, &client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_request_is_what_the_settings_say),
        cmocka_unit_test(a_refused_upgrade_is_told_with_its_status),
        cmocka_unit_test(an_answer_that_is_no_upgrade_is_an_error),
        cmocka_unit_test(a_server_that_never_answers_times_out),
        cmocka_unit_test(a_refused_port_is_told_at_once),
        cmocka_unit_test(a_name_that_does_not_exist_is_told),
        cmocka_unit_test(a_name_is_looked_up_and_its_addresses_tried_in_order),
        cmocka_unit_test(an_address_that_does_not_answer_gets_its_share_of_the_time),
        cmocka_unit_test(the_echoed_subprotocol_is_spoken),
        cmocka_unit_test(a_server_without_the_subprotocol_gets_json),
        cmocka_unit_test(a_required_subprotocol_that_is_not_echoed_is_an_error),
        cmocka_unit_test(a_subprotocol_nobody_asked_for_is_an_error),
        cmocka_unit_test(a_proxy_connects_to_names_that_it_alone_knows),
        cmocka_unit_test(a_proxy_that_refuses_is_named),
        cmocka_unit_test(the_environments_proxy_is_not_for_those_in_no_proxy),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
