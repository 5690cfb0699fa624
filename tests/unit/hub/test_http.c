/* Routes, methods, and the files of the demo: nothing but what was read at the start. */
#include "hub/http.h"

#include "failing_alloc.h"
#include "hub_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { LARGE_BYTES = 3000 };

static struct http_response ask(struct hub *hub,
                                const struct http_files *files,
                                const char *method,
                                const char *path)
{
    struct http_response response = {0};
    struct http_request request = {.method = wh_slice_from_str(method),
                                   .path = wh_slice_from_str(path)};
    http_handle(&hub->node, files, &request, &response);
    return response;
}

/* What a client would see of it. */
static void assert_answer(struct hub *hub,
                          const struct http_files *files,
                          const char *method,
                          const char *path,
                          unsigned status,
                          const char *type,
                          const char *body_start)
{
    struct http_response response = ask(hub, files, method, path);
    struct wh_slice body = response.body.ptr ? response.body : wh_buf_slice(&response.owned);
    if (response.status != status)
        fail_msg("%s %s: %u instead of %u", method, path, response.status, status);
    assert_string_equal(response.content_type, type);
    assert_non_null(response.headers);
    assert_true(wh_slice_starts_with(body, wh_slice_from_str(body_start)));
    http_response_deinit(&response);
}

#define TEXT "text/plain; charset=utf-8"
#define JSON "application/json"

static void routes_answer_what_they_are_for(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    assert_answer(&hub, NULL, "GET", "/livez", 200, JSON, "{\"live\":true}");
    assert_answer(&hub, NULL, "HEAD", "/livez", 200, JSON, "");
    assert_answer(&hub, NULL, "GET", "/readyz", 200, JSON, "{\"ready\":true,");
    assert_answer(&hub, NULL, "GET", "/metrics", 200, METRICS_CONTENT_TYPE, "# HELP ");
    hub.node.phase = NODE_DRAINING;
    assert_answer(&hub, NULL, "GET", "/readyz", 503, JSON, "{\"ready\":false,");
    assert_int_equal(hub_metric(&hub, METRIC_HTTP_REQUESTS), 5);
    hub_stop(&hub);
}

static void other_methods_are_405_and_say_what_is_allowed(void **state)
{
    static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "get", ""};
    static const char *const paths[] = {"/livez", "/metrics", "/connection/websocket", "/nothing"};
    (void)state;
    struct hub hub;
    hub_start(&hub, NULL);
    for (size_t m = 0; m < COUNT(methods); m++) {
        for (size_t p = 0; p < COUNT(paths); p++) {
            struct http_response response = ask(&hub, NULL, methods[m], paths[p]);
            assert_int_equal(response.status, 405);
            assert_string_equal(response.headers, "Allow: GET, HEAD\r\n");
            http_response_deinit(&response);
        }
    }
    hub_stop(&hub);
}

static void websocket_endpoint_without_upgrade_is_426(void **state)
{
    (void)state;
    struct hub hub;
    hub_start(&hub, "--websocket.handler_prefix=/ws", NULL);
    struct http_response response = ask(&hub, NULL, "GET", "/ws");
    assert_int_equal(response.status, 426);
    assert_non_null(strstr(response.headers, "Upgrade: websocket\r\n"));
    http_response_deinit(&response);
    assert_answer(&hub, NULL, "GET", "/connection/websocket", 404, TEXT, "not found");
    hub_stop(&hub);
}

/* A folder with what belongs to a demo and what does not. */

static char folder[] = "/tmp/wirehub-http-XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(in_folder(name), "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int make_folder(void **state)
{
    (void)state;
    memcpy(folder, "/tmp/wirehub-http-XXXXXX", sizeof(folder));
    if (mkdtemp(folder) == NULL)
        return -1;
    write_file("index.html", "<!doctype html>");
    write_file("app.js", "go();");
    write_file("style.css", "");
    char large[LARGE_BYTES + 1] = "";
    for (size_t i = 0; i < LARGE_BYTES; i++)
        large[i] = (char)('a' + i % 26);
    write_file("large.js", large);
    write_file("notes.txt", "not for the web");
    write_file("README", "nor this");
    write_file(".secret.js", "hidden");
    mkdir(in_folder("sub.js"), 0700);
    write_file("sub.js/inner.js", "deep");
    char link[256];
    snprintf(link, sizeof(link), "%s", in_folder("link.js"));
    return symlink("/etc/passwd", link) + mkfifo(in_folder("pipe.js"), 0600);
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"index.html", "app.js",         "style.css",  "large.js",
                                        "notes.txt",  "README",         ".secret.js", "link.js",
                                        "pipe.js",    "sub.js/inner.js"};
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++)
        unlink(in_folder(names[i]));
    rmdir(in_folder("sub.js"));
    return rmdir(folder);
}

static void files_of_the_demo_are_served_with_their_types(void **state)
{
    (void)state;
    struct hub hub;
    struct http_files *files = NULL;
    hub_start(&hub, NULL);
    assert_int_equal(http_files_load(folder, &files), WH_OK);
    assert_answer(&hub, files, "GET", "/demo/", 200, "text/html; charset=utf-8", "<!doctype");
    assert_answer(&hub, files, "GET", "/demo/index.html", 200, "text/html; charset=utf-8",
                  "<!doctype");
    assert_answer(&hub, files, "GET", "/demo/app.js", 200, "text/javascript; charset=utf-8",
                  "go();");
    assert_answer(&hub, files, "GET", "/demo/style.css", 200, "text/css; charset=utf-8", "");
    static const char *const doors[] = {"/", "/demo"};
    for (size_t i = 0; i < COUNT(doors); i++) {
        struct http_response response = ask(&hub, files, "GET", doors[i]);
        assert_int_equal(response.status, 302);
        assert_non_null(strstr(response.headers, "Location: /demo/\r\n"));
        http_response_deinit(&response);
    }
    struct http_response page = ask(&hub, files, "GET", "/demo/");
    assert_non_null(strstr(page.headers, "Content-Security-Policy: default-src 'none'"));
    assert_non_null(strstr(page.headers, "nosniff"));
    http_response_deinit(&page);
    http_files_free(files);
    assert_answer(&hub, NULL, "GET", "/demo/", 404, TEXT, "not found");
    assert_answer(&hub, NULL, "GET", "/", 404, TEXT, "not found");
    hub_stop(&hub);
}

static struct http_response ask_with(struct hub *hub,
                                     const struct http_files *files,
                                     const char *accept_encoding,
                                     const char *if_none_match)
{
    struct http_response response = {0};
    struct http_request request = {.method = WH_SLICE_LITERAL("GET"),
                                   .path = WH_SLICE_LITERAL("/demo/large.js")};
    if (accept_encoding)
        request.accept_encoding = wh_slice_from_str(accept_encoding);
    if (if_none_match)
        request.if_none_match = wh_slice_from_str(if_none_match);
    http_handle(&hub->node, files, &request, &response);
    return response;
}

static bool is_gzip(struct http_response *response)
{
    bool is_it = strstr(wh_buf_cstr(&response->header_lines), "Content-Encoding: gzip\r\n");
    assert_int_equal(response->status, 200);
    assert_non_null(strstr(response->headers, "Vary: Accept-Encoding\r\n"));
    http_response_deinit(response);
    return is_it;
}

static void files_are_compressed_for_who_takes_that(void **state)
{
    static const char *const willing[] = {
        "gzip",          "GZIP",           "deflate, gzip, br",
        "gzip;q=0.5",    "gzip ; q=1",     "br;q=1.0, gzip;q=0.001",
        "identity,gzip", ",gzip,,deflate", "gzip;q=0.10"};
    static const char *const unwilling[] = {
        NULL,           "",   "deflate", "gzip;q=0", "x-gzip",  "gzip2",        "gzi",
        "gzip;q=0.000", ",,", "*",       "gzip;q=",  "gzip;q;", "br, gzip ;q=0"};
    (void)state;
    struct hub hub;
    struct http_files *files = NULL;
    hub_start(&hub, NULL);
    assert_int_equal(http_files_load(folder, &files), WH_OK);
    for (size_t i = 0; i < COUNT(willing); i++) {
        struct http_response response = ask_with(&hub, files, willing[i], NULL);
        if (!is_gzip(&response))
            fail_msg("%s: not compressed", willing[i]);
    }
    for (size_t i = 0; i < COUNT(unwilling); i++) {
        struct http_response response = ask_with(&hub, files, unwilling[i], NULL);
        if (is_gzip(&response))
            fail_msg("%s: compressed", unwilling[i] ? unwilling[i] : "no header");
    }
    http_files_free(files);
    hub_stop(&hub);
}

static void what_is_compressed_unpacks_to_the_file(void **state)
{
    static char unpacked[LARGE_BYTES + 1];
    (void)state;
    struct hub hub;
    struct http_files *files = NULL;
    hub_start(&hub, NULL);
    assert_int_equal(http_files_load(folder, &files), WH_OK);
    struct http_response plain = ask_with(&hub, files, NULL, NULL);
    struct http_response packed = ask_with(&hub, files, "gzip", NULL);
    assert_int_equal(plain.body.len, LARGE_BYTES);
    assert_true(packed.body.len < plain.body.len);
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)packed.body.ptr,
                       .avail_in = (uInt)packed.body.len,
                       .next_out = (Bytef *)unpacked,
                       .avail_out = sizeof(unpacked)};
    assert_int_equal(inflateInit2(&stream, 15 + 16), Z_OK);
    assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
    assert_int_equal(stream.total_out, plain.body.len);
    assert_memory_equal(unpacked, plain.body.ptr, plain.body.len);
    inflateEnd(&stream);
    http_response_deinit(&plain);
    http_response_deinit(&packed);
    http_files_free(files);
    hub_stop(&hub);
}

/* The tag in a response, with its quotes. */
static void tag_of(struct http_response *response, char out_tag[64])
{
    const char *line = strstr(wh_buf_cstr(&response->header_lines), "ETag: ");
    assert_non_null(line);
    assert_int_equal(sscanf(line, "ETag: %63[^\r]", out_tag), 1);
    http_response_deinit(response);
}

static void who_has_a_file_is_told_so(void **state)
{
    char plain[64], packed[64], list[256];
    (void)state;
    struct hub hub;
    struct http_files *files = NULL;
    hub_start(&hub, NULL);
    assert_int_equal(http_files_load(folder, &files), WH_OK);
    struct http_response response = ask_with(&hub, files, NULL, NULL);
    tag_of(&response, plain);
    response = ask_with(&hub, files, "gzip", NULL);
    tag_of(&response, packed);
    assert_string_not_equal(plain, packed); /* other bytes */
    snprintf(list, sizeof(list), "\"other\", W/%s", plain);
    const struct {
        const char *accepted, *tags;
        unsigned status;
    } cases[] = {
        {NULL, plain, 304},   {NULL, packed, 200}, {"gzip", packed, 304},
        {"gzip", plain, 200}, {NULL, list, 304},   {NULL, "*", 304},
        {NULL, "\"\"", 200},  {NULL, "", 200},     {NULL, "\"x\"", 200},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        response = ask_with(&hub, files, cases[i].accepted, cases[i].tags);
        assert_int_equal(response.status, cases[i].status);
        assert_int_equal(response.body.ptr == NULL, cases[i].status == 304);
        assert_int_equal(response.content_type == NULL, cases[i].status == 304);
        assert_non_null(strstr(wh_buf_cstr(&response.header_lines), "ETag: "));
        http_response_deinit(&response);
    }
    http_files_free(files);
    hub_stop(&hub);
}

static void no_path_leads_to_anything_else(void **state)
{
    static const char *const paths[] = {
        "/demo/notes.txt",
        "/demo/README",
        "/demo/.secret.js",
        "/demo/link.js",
        "/demo/pipe.js",
        "/demo/sub.js",
        "/demo/sub.js/inner.js",
        "/demo/../demo/app.js",
        "/demo/./app.js",
        "/demo//app.js",
        "/demo/app.js/",
        "/demo/%61pp.js",
        "/demo/..%2f..%2fetc/passwd",
        "/demo/../../../../etc/passwd",
        "//demo/app.js",
        "/DEMO/app.js",
        "demo/app.js",
        "/demo/app.js?x",
        "/livez/",
        "/livez?x",
        "",
    };
    (void)state;
    struct hub hub;
    struct http_files *files = NULL;
    hub_start(&hub, NULL);
    assert_int_equal(http_files_load(folder, &files), WH_OK);
    for (size_t i = 0; i < COUNT(paths); i++)
        assert_answer(&hub, files, "GET", paths[i], 404, TEXT, "not found");
    struct http_response response = {0};
    struct http_request request = {.method = WH_SLICE_LITERAL("GET"),
                                   .path = WH_SLICE_LITERAL("/demo/app.js\0x")};
    http_handle(&hub.node, files, &request, &response);
    assert_int_equal(response.status, 404);
    http_response_deinit(&response);
    http_files_free(files);
    hub_stop(&hub);
}

static void folder_that_cannot_be_read_is_an_error(void **state)
{
    (void)state;
    struct http_files *files = NULL;
    assert_int_equal(http_files_load(in_folder("nowhere"), &files), WH_ENOTFOUND);
    assert_int_equal(http_files_load(in_folder("README"), &files), WH_EIO);
    assert_null(files);
}

static void folder_is_read_whole_or_not_at_all_when_memory_is_short(void **state)
{
    (void)state;
    size_t nth = 1;
    for (bool failed = true; failed; nth++) {
        struct http_files *files = NULL;
        failing_alloc_start(nth);
        enum wh_err err = http_files_load(folder, &files);
        failed = failing_alloc_stop();
        assert_int_equal(err, failed ? WH_ENOMEM : WH_OK);
        assert_int_equal(files == NULL, failed);
        http_files_free(files);
    }
    assert_true(nth > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes_answer_what_they_are_for),
        cmocka_unit_test(other_methods_are_405_and_say_what_is_allowed),
        cmocka_unit_test(websocket_endpoint_without_upgrade_is_426),
        cmocka_unit_test(files_of_the_demo_are_served_with_their_types),
        cmocka_unit_test(files_are_compressed_for_who_takes_that),
        cmocka_unit_test(what_is_compressed_unpacks_to_the_file),
        cmocka_unit_test(who_has_a_file_is_told_so),
        cmocka_unit_test(no_path_leads_to_anything_else),
        cmocka_unit_test(folder_that_cannot_be_read_is_an_error),
        cmocka_unit_test(folder_is_read_whole_or_not_at_all_when_memory_is_short),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
