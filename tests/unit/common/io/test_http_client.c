/* Fetches from a server on the same loop: while one of them hangs, the loop must turn. */
#include "common/io/http_client.h"

#include "tests/support/http_stub.h"

#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { LIMIT = 1000, TIMEOUT_MS = 5000, SHORT_MS = 200, STALL_MS = 100 };

static struct wh_loop loop;
static struct http_stub stub;
static struct wh_http_client *client;
static unsigned stop_at; /* the request to /silent at which the loop stops; 0 = none */

/* ---- a name server that does not answer ---- */

static pthread_mutex_t silence = PTHREAD_MUTEX_INITIALIZER;
static char silent_name[] = "silent.invalid";

/* Instead of libc's, for libcurl too, which must see it though our flags hide symbols.  libc names
 * its parameters with underscores, which are its own.
 * NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
__attribute__((visibility("default"))) int getaddrinfo(const char *restrict name,
                                                       const char *restrict service,
                                                       const struct addrinfo *restrict hints,
                                                       struct addrinfo **restrict out)
{
    typedef int function(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    if (name && strcmp(name, silent_name) == 0) {
        pthread_mutex_lock(&silence);
        pthread_mutex_unlock(&silence);
        return EAI_AGAIN;
    }
    function *real;
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    return real(name, service, hints, out);
}

/* ---- the server ---- */

static void answer(struct http_stub *server, const char *path, struct wh_buf *out)
{
    static char long_body[LIMIT + 1];
    memset(long_body, 'x', sizeof(long_body));
    unsigned long hops = strncmp(path, "/hops/", 6) == 0 ? strtoul(path + 6, NULL, 10) : 0;
    if (hops > 0)
        wh_buf_printf(out, "HTTP/1.1 302 Found\r\nLocation: /hops/%lu\r\nContent-Length: 0\r\n\r\n",
                      hops - 1);
    else if (strcmp(path, "/ok") == 0 || strcmp(path, "/hops/0") == 0)
        http_stub_respond(out, "200 OK", WH_SLICE_LITERAL("hello"));
    else if (strcmp(path, "/full") == 0)
        http_stub_respond(out, "200 OK", wh_slice(long_body, LIMIT));
    else if (strcmp(path, "/declared") == 0)
        wh_buf_append_str(out, "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n");
    else if (strcmp(path, "/endless") == 0) {
        wh_buf_append_str(out, "HTTP/1.1 200 OK\r\n\r\n");
        wh_buf_append(out, long_body, sizeof(long_body));
    } else if (strcmp(path, "/half") == 0)
        wh_buf_append_str(out, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    else if (strcmp(path, "/garbage") == 0)
        wh_buf_append_str(out, "\x01\x02garbage\r\n\r\n");
    else if (strcmp(path, "/https") == 0)
        wh_buf_printf(out, "HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1:%d/ok\r\n\r\n",
                      server->port);
    else if (strcmp(path, "/file") == 0)
        wh_buf_append_str(out, "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n");
    else if (strcmp(path, "/missing") == 0)
        http_stub_respond(out, "404 Not Found", WH_SLICE_LITERAL("no"));
    else if (strcmp(path, "/later") == 0)
        wh_buf_append_str(out, "HTTP/1.1 503 Later\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n");
    else if (server->requests == stop_at) /* silence, of which the test is told */
        wh_loop_stop(&loop);
}

static int setup(void **state)
{
    (void)state;
    setenv("no_proxy", "*", 1);
    assert_int_equal(wh_loop_init(&loop), WH_OK);
    assert_int_equal(wh_http_client_new(&loop, &client), WH_OK);
    stop_at = 0;
    http_stub_open(&stub, &loop, answer);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    http_stub_close(&stub);
    wh_http_client_free(client);
    client = NULL;
    wh_loop_deinit(&loop);
    return 0;
}

/* ---- fetching ---- */

static struct {
    unsigned calls;
    enum wh_err err;
    long status;
    char body[LIMIT + 1];
    char problem[256];
    uint32_t retry_after_s;
} seen;

static void on_done(void *user, const struct wh_http_response *response)
{
    assert_ptr_equal(user, &seen);
    seen.calls++;
    seen.err = response->err;
    seen.status = response->status;
    seen.retry_after_s = response->retry_after_s;
    snprintf(seen.body, sizeof(seen.body), "%.*s", WH_SLICE_ARGS(response->body));
    snprintf(seen.problem, sizeof(seen.problem), "%s", response->problem ? response->problem : "");
    assert_int_equal(response->err == WH_OK, response->problem == NULL);
    wh_loop_stop(&loop);
}

static struct wh_http_request *start(const char *url, uint32_t timeout_ms)
{
    const struct wh_http_options options = {
        .timeout_ms = timeout_ms, .body_bytes_max = LIMIT, .redirects_max = 3};
    struct wh_http_request *request = NULL;
    memset(&seen, 0, sizeof(seen));
    assert_int_equal(wh_http_get(client, url, &options, on_done, &seen, &request), WH_OK);
    assert_int_equal(seen.calls, 0);
    return request;
}

static struct wh_http_request *start_path(const char *path, uint32_t timeout_ms)
{
    char url[128];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", stub.port, path);
    return start(url, timeout_ms);
}

static void run(void)
{
    wh_loop_run(&loop);
    assert_int_equal(seen.calls, 1);
}

static void a_response_comes_as_it_is_or_with_the_reason_why_not(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum wh_err err;
        long status;
        const char *body;
    } cases[] = {
        {"/ok", WH_OK, 200, "hello"},      {"/missing", WH_OK, 404, "no"},
        {"/hops/3", WH_OK, 200, "hello"},  {"/hops/4", WH_EIO, 302, ""},
        {"/declared", WH_ELIMIT, 200, ""}, {"/endless", WH_ELIMIT, 200, ""},
        {"/half", WH_EIO, 200, ""},        {"/garbage", WH_EIO, 0, ""},
        {"/https", WH_EIO, 302, ""},       {"/file", WH_EIO, 302, ""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        start_path(cases[i].path, TIMEOUT_MS);
        run();
        if (seen.err != cases[i].err || seen.status != cases[i].status ||
            strcmp(seen.body, cases[i].body) != 0)
            fail_msg("%s: %s, %ld, '%s', %s", cases[i].path, wh_err_name(seen.err), seen.status,
                     seen.body, seen.problem);
    }
    start_path("/full", TIMEOUT_MS);
    run();
    assert_int_equal(strlen(seen.body), LIMIT);
}

static void a_redirect_to_another_scheme_is_not_followed(void **state)
{
    (void)state;
    static const char *const paths[] = {"/https", "/file"};
    for (size_t i = 0; i < COUNT(paths); i++) {
        start_path(paths[i], TIMEOUT_MS);
        run();
        if (!strstr(seen.problem, "disabled"))
            fail_msg("%s: %s", paths[i], seen.problem);
    }
}

/* Turns that never sleep: no tick of the wheel comes to help. */
static void a_request_begins_without_waiting_for_a_tick(void **state)
{
    (void)state;
    start_path("/ok", TIMEOUT_MS);
    for (int turn = 0; turn < 20 && stub.requests == 0; turn++)
        uv_run(&loop.uv, UV_RUN_NOWAIT);
    assert_int_equal(stub.requests, 1);
    run();
}

static void a_port_where_nobody_listens_is_an_error(void **state)
{
    (void)state;
    start("http://127.0.0.1:1/", TIMEOUT_MS);
    run();
    assert_int_equal(seen.err, WH_EIO);
}

static void only_http_urls_with_a_host_are_taken(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        bool is_valid;
    } cases[] = {
        {"http://a", true},
        {"https://a.b:8443/c?d=e", true},
        {"HTTPS://a/", true},
        {"http://[::1]/", true},
        {"", false},
        {"a.b/c", false},
        {"/c", false},
        {"ftp://a/", false},
        {"file:///etc/passwd", false},
        {"http://", false},
        {"https://a:99999/", false},
        {"gopher://a", false},
        {"http://a b/", false},
    };
    const struct wh_http_options options = {.timeout_ms = 1, .body_bytes_max = 1};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wh_http_request *request = NULL;
        if (wh_http_url_is_valid(cases[i].url) != cases[i].is_valid)
            fail_msg("'%s'", cases[i].url);
        if (!cases[i].is_valid)
            assert_int_equal(wh_http_get(client, cases[i].url, &options, on_done, &seen, &request),
                             WH_EINVAL);
    }
}

/* The longest turn of the loop since the last look, sleep not counted. */
static uint64_t lag_ms(void)
{
    uint64_t lag = loop.lag_max_us / 1000;
    loop.lag_max_us = 0;
    return lag;
}

static void a_silent_server_is_given_up_in_time(void **state)
{
    (void)state;
    start_path("/silent", SHORT_MS);
    lag_ms();
    run();
    assert_int_equal(seen.err, WH_ETIMEOUT);
    assert_true(lag_ms() < STALL_MS);
}

static void on_timer(struct wh_timer *timer)
{
    (void)timer;
    wh_loop_stop(&loop);
}

static void a_name_server_that_hangs_stalls_nobody(void **state)
{
    (void)state;
    char url[64];
    snprintf(url, sizeof(url), "http://%s/", silent_name);
    pthread_mutex_lock(&silence);
    start(url, SHORT_MS);
    lag_ms();
    uint64_t before = uv_hrtime();
    run();
    uint64_t took_ms = (uv_hrtime() - before) / 1000000;
    assert_int_equal(seen.err, WH_ETIMEOUT);
    assert_true(took_ms < TIMEOUT_MS);
    /* The same when the client goes away during a look-up. */
    start(url, TIMEOUT_MS);
    struct wh_timer timer;
    wh_timer_init(&timer, on_timer);
    wh_loop_timer_start(&loop, &timer, SHORT_MS);
    wh_loop_run(&loop);
    wh_http_client_free(client);
    assert_true((uv_hrtime() - before) / 1000000 < TIMEOUT_MS);
    assert_int_equal(seen.calls, 0);
    pthread_mutex_unlock(&silence);
    assert_int_equal(wh_http_client_new(&loop, &client), WH_OK);
}

static void a_cancelled_request_never_calls_back(void **state)
{
    (void)state;
    struct wh_http_request *cancelled = start_path("/ok", TIMEOUT_MS);
    wh_http_cancel(cancelled);
    cancelled = start_path("/silent", TIMEOUT_MS);
    stop_at = 1;
    wh_loop_run(&loop);
    assert_int_equal(stub.requests, 1);
    wh_http_cancel(cancelled);
    start_path("/ok", TIMEOUT_MS);
    run();
    assert_string_equal(seen.body, "hello");
}

static void a_client_may_be_freed_with_requests_under_way(void **state)
{
    (void)state;
    start_path("/silent", TIMEOUT_MS);
    start_path("/silent", TIMEOUT_MS);
    stop_at = 2;
    wh_loop_run(&loop);
    assert_int_equal(stub.requests, 2);
    wh_http_client_free(client);
    client = NULL;
    uv_run(&loop.uv, UV_RUN_NOWAIT);
    assert_int_equal(seen.calls, 0);
}

/* ---- posting ---- */

static struct wh_http_request *post_path(const char *path, const struct wh_http_content *content)
{
    const struct wh_http_options options = {
        .timeout_ms = TIMEOUT_MS, .body_bytes_max = LIMIT, .redirects_max = 3};
    struct wh_http_request *request = NULL;
    char url[128];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", stub.port, path);
    memset(&seen, 0, sizeof(seen));
    assert_int_equal(wh_http_post(client, url, content, &options, on_done, &seen, &request), WH_OK);
    assert_int_equal(seen.calls, 0);
    return request;
}

static bool stub_saw(const char *text)
{
    return strstr(wh_buf_cstr(&stub.request), text) != NULL;
}

static void a_post_sends_its_headers_and_its_body(void **state)
{
    (void)state;
    char body[] = "{\"a\":1}", header[] = "X-Key: k";
    const char *headers[] = {header, "X-Other: o"};
    post_path("/ok", &(struct wh_http_content){wh_slice_from_str(body), "application/json", headers,
                                               COUNT(headers)});
    memset(body, 'x', sizeof(body) - 1); /* all of it was copied */
    memset(header, 'x', sizeof(header) - 1);
    run();
    assert_int_equal(seen.err, WH_OK);
    assert_string_equal(seen.body, "hello");
    if (strncmp(wh_buf_cstr(&stub.request), "POST /ok HTTP/1.1\r\n", 19) != 0 ||
        !stub_saw("\r\nContent-Type: application/json\r\n") || !stub_saw("\r\nX-Key: k\r\n") ||
        !stub_saw("\r\nX-Other: o\r\n") || !stub_saw("\r\n\r\n{\"a\":1}"))
        fail_msg("%s", wh_buf_cstr(&stub.request));
}

static void a_large_post_goes_at_once(void **state)
{
    (void)state;
    struct wh_buf body = {0};
    memset(wh_buf_reserve(&body, 3 << 20), 'y', 3 << 20);
    wh_buf_commit(&body, 3 << 20);
    post_path("/ok", &(struct wh_http_content){wh_buf_slice(&body), "text/plain", NULL, 0});
    run();
    assert_int_equal(seen.err, WH_OK);
    assert_true(stub.request.len > body.len);
    assert_false(stub_saw("Expect:"));
    wh_buf_deinit(&body);
    post_path("/ok", &(struct wh_http_content){WH_SLICE_ABSENT, "text/plain", NULL, 0});
    run();
    assert_true(stub_saw("Content-Length: 0\r\n"));
}

static void a_post_follows_no_redirect(void **state)
{
    (void)state;
    post_path("/hops/1", &(struct wh_http_content){WH_SLICE_LITERAL("a"), "text/plain", NULL, 0});
    run();
    assert_int_equal(seen.err, WH_OK);
    assert_int_equal(seen.status, 302);
    assert_int_equal(stub.requests, 1);
}

static void how_long_to_wait_is_told(void **state)
{
    (void)state;
    post_path("/later", &(struct wh_http_content){WH_SLICE_LITERAL("a"), "text/plain", NULL, 0});
    run();
    assert_int_equal(seen.status, 503);
    assert_int_equal(seen.retry_after_s, 7);
    start_path("/ok", TIMEOUT_MS);
    run();
    assert_int_equal(seen.retry_after_s, 0);
}

static void a_header_that_is_none_is_not_sent(void **state)
{
    (void)state;
    static const char *const broken[] = {"", "a", ":a", "a: b\r\nc: d", "a: b\n"};
    const struct wh_http_options options = {.timeout_ms = 1, .body_bytes_max = 1};
    struct wh_http_request *request = NULL;
    for (size_t i = 0; i < COUNT(broken); i++) {
        const struct wh_http_content content = {WH_SLICE_ABSENT, "a/b", &broken[i], 1};
        if (wh_http_post(client, "http://127.0.0.1:1/", &content, &options, on_done, &seen,
                         &request) != WH_EINVAL)
            fail_msg("'%s'", broken[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_response_comes_as_it_is_or_with_the_reason_why_not, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_redirect_to_another_scheme_is_not_followed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_port_where_nobody_listens_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(only_http_urls_with_a_host_are_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(a_silent_server_is_given_up_in_time, setup, teardown),
        cmocka_unit_test_setup_teardown(a_name_server_that_hangs_stalls_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cancelled_request_never_calls_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_client_may_be_freed_with_requests_under_way, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_post_sends_its_headers_and_its_body, setup, teardown),
        cmocka_unit_test_setup_teardown(a_large_post_goes_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_request_begins_without_waiting_for_a_tick, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_post_follows_no_redirect, setup, teardown),
        cmocka_unit_test_setup_teardown(how_long_to_wait_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(a_header_that_is_none_is_not_sent, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
