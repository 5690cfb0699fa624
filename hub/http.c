/*
 * A table of routes.  What has no body is answered before http_handle
 * returns; what has one is the server API's, which answers when it can.
 */
#include "hub/http.h"

#include "common/base/alloc.h"
#include "hub/api.h"
#include "hub/http_rpc.h"
#include "hub/session.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 4 * 1024 * 1024, FILE_COUNT_MAX = 64 };

#define DEMO_PREFIX "/demo/"

static const char page_headers[] =
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cache-Control: no-cache\r\n";

static const char no_store[] = "Cache-Control: no-store\r\n";

/* Files */

struct http_file {
    struct wh_slice path; /* "/demo/app.js", stored behind the struct */
    const char *content_type;
    char *bytes;
    size_t len;
    struct http_file *next;
};

struct http_files {
    struct wh_map by_path;
    struct http_file *first;
};

static const char *content_type_of(const char *name)
{
    static const struct {
        const char *ending;
        const char *type;
    } types[] = {
        {".html", "text/html; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},
        {".svg", "image/svg+xml"},
        {".png", "image/png"},
        {".ico", "image/x-icon"},
    };
    const char *ending = strrchr(name, '.');
    for (size_t i = 0; ending && i < sizeof(types) / sizeof(types[0]); i++)
        if (strcmp(ending, types[i].ending) == 0)
            return types[i].type;
    return NULL;
}

static enum wh_err read_file(int dir_fd, const char *name, struct http_file *file)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat status;
    enum wh_err err = WH_EIO;
    if (fd < 0)
        return WH_EIO;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size <= FILE_BYTES_MAX) {
        size_t size = (size_t)status.st_size;
        file->bytes = wh_malloc(size + 1);
        err = file->bytes ? WH_OK : WH_ENOMEM;
        while (err == WH_OK && file->len < size) {
            ssize_t got = read(fd, file->bytes + file->len, size - file->len);
            if (got <= 0)
                err = WH_EIO;
            else
                file->len += (size_t)got;
        }
    }
    close(fd);
    return err;
}

static enum wh_err add_file(struct http_files *files, int dir_fd, const char *name)
{
    size_t path_len = strlen(DEMO_PREFIX) + strlen(name);
    struct http_file *file = wh_calloc(1, sizeof(*file) + path_len + 1);
    if (file == NULL)
        return WH_ENOMEM;
    snprintf((char *)(file + 1), path_len + 1, DEMO_PREFIX "%s", name);
    file->path = wh_slice(file + 1, path_len);
    file->content_type = content_type_of(name);
    enum wh_err err = read_file(dir_fd, name, file);
    if (err == WH_OK)
        err = wh_map_add(&files->by_path, file->path, file);
    if (err) {
        wh_free(file->bytes);
        wh_free(file);
        return err;
    }
    file->next = files->first;
    files->first = file;
    return WH_OK;
}

/* Folders, links and pipes are passed over: opening a pipe would wait for its other end. */
static bool is_wanted(int dir_fd, const char *name)
{
    struct stat status;
    return name[0] != '.' && content_type_of(name) != NULL &&
           fstatat(dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode);
}

enum wh_err http_files_load(const char *dir, struct http_files **out_files)
{
    DIR *handle = opendir(dir);
    if (handle == NULL)
        return errno == ENOENT ? WH_ENOTFOUND : WH_EIO;
    struct http_files *files = wh_calloc(1, sizeof(*files));
    enum wh_err err = files ? WH_OK : WH_ENOMEM;
    struct dirent *entry;
    while (err == WH_OK && (entry = readdir(handle)) != NULL) {
        if (!is_wanted(dirfd(handle), entry->d_name))
            continue;
        err = files->by_path.count < FILE_COUNT_MAX ? add_file(files, dirfd(handle), entry->d_name)
                                                    : WH_ELIMIT;
    }
    closedir(handle);
    if (err) {
        http_files_free(files);
        return err;
    }
    *out_files = files;
    return WH_OK;
}

void http_files_free(struct http_files *files)
{
    if (files == NULL)
        return;
    while (files->first) {
        struct http_file *file = files->first;
        files->first = file->next;
        wh_free(file->bytes);
        wh_free(file);
    }
    wh_map_deinit(&files->by_path);
    wh_free(files);
}

/* Statuses */

const char *http_reason_phrase(unsigned status)
{
    static const struct {
        unsigned status;
        const char *phrase;
    } phrases[] = {
        {200, "OK"},
        {204, "No Content"},
        {302, "Found"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {402, "Payment Required"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {422, "Unprocessable Content"},
        {423, "Locked"},
        {426, "Upgrade Required"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
    };
    for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return "Error";
}

/* Routes */

static void respond_text(struct http_response *response, unsigned status, const char *text)
{
    response->status = status;
    response->content_type = "text/plain; charset=utf-8";
    wh_buf_append_str(&response->owned, text);
}

void http_respond_status(struct http_response *response, unsigned status)
{
    respond_text(response, status, http_reason_phrase(status));
    wh_buf_append_char(&response->owned, '\n');
    response->headers = no_store;
}

static void handle_livez(struct node *node, struct http_response *response)
{
    (void)node; /* that this runs is the proof */
    respond_text(response, 200, "{\"live\":true}\n");
    response->content_type = "application/json";
}

static void handle_readyz(struct node *node, struct http_response *response)
{
    response->status = node_is_ready(node, &response->owned) ? 200 : 503;
    response->content_type = "application/json";
}

static void handle_metrics(struct node *node, struct http_response *response)
{
    node_update_metrics(node);
    metrics_write(node->metrics_shared, &response->owned);
    response->status = 200;
    response->content_type = "text/plain; version=0.0.4; charset=utf-8";
}

struct route {
    const char *path;
    void (*handle)(struct node *node, struct http_response *response);
};

static const struct route routes[] = {
    {"/livez", handle_livez},
    {"/readyz", handle_readyz},
    {"/metrics", handle_metrics},
};

static bool handle_files(const struct http_files *files,
                         struct wh_slice path,
                         struct http_response *response)
{
    if (wh_slice_equal_str(path, "/") || wh_slice_equal_str(path, "/demo")) {
        respond_text(response, 302, "the demo is at /demo/\n");
        response->headers = "Location: /demo/\r\nCache-Control: no-store\r\n";
        return true;
    }
    if (wh_slice_equal_str(path, DEMO_PREFIX))
        path = WH_SLICE_LITERAL(DEMO_PREFIX "index.html");
    const struct http_file *file = wh_map_get(&files->by_path, path);
    if (file == NULL)
        return false;
    response->status = 200;
    response->content_type = file->content_type;
    response->headers = page_headers;
    response->body = wh_slice(file->bytes, file->len);
    return true;
}

bool http_takes_body(const struct http_request *request)
{
    return wh_slice_equal_str(request->method, "POST") &&
           (wh_slice_starts_with(request->path, WH_SLICE_LITERAL(API_PREFIX)) ||
            http_rpc_is_ours(request));
}

uint64_t http_body_limit(const struct node *node, const struct http_request *request)
{
    return http_rpc_is_ours(request) ? node->config->websocket.message_size_limit
                                     : HTTP_BODY_BYTES_MAX;
}

void http_refuse(struct node *node,
                 const struct http_request *request,
                 unsigned status,
                 struct http_response *response)
{
    if (http_rpc_is_ours(request))
        http_rpc_refuse(node, request, status, response);
    else
        http_respond_status(response, status);
}

void http_response_deinit(struct http_response *response)
{
    wh_buf_deinit(&response->owned);
    wh_buf_deinit(&response->header_lines);
}

bool http_admit(struct node *node,
                const struct http_request *request,
                struct http_response *response)
{
    metrics_add(node->metrics, METRIC_HTTP_REQUESTS, 1);
    if (http_rpc_is_ours(request))
        return http_rpc_admit(node, request, response);
    unsigned status = api_admit(node, request);
    if (status != 0)
        http_respond_status(response, status);
    return status == 0;
}

void http_start(struct node *node, struct http_exchange *exchange)
{
    exchange->response.headers = no_store;
    if (http_rpc_is_ours(&exchange->request))
        http_rpc_start(node, exchange);
    else
        api_handle(node, exchange);
}

void http_respond(struct http_exchange *exchange)
{
    exchange->respond(exchange);
}

void http_handle(struct node *node,
                 const struct http_files *files,
                 const struct http_request *request,
                 struct http_response *response)
{
    metrics_add(node->metrics, METRIC_HTTP_REQUESTS, 1);
    response->headers = no_store;
    if (http_rpc_is_ours(request)) {
        http_rpc_handle(node, request, response);
        return;
    }
    if (wh_slice_starts_with(request->path, WH_SLICE_LITERAL(API_PREFIX))) {
        http_respond_status(response, 405);
        response->headers = "Allow: POST\r\n";
        return;
    }
    if (!wh_slice_equal_str(request->method, "GET") &&
        !wh_slice_equal_str(request->method, "HEAD")) {
        respond_text(response, 405, "method not allowed\n");
        response->headers = "Allow: GET, HEAD\r\n";
        return;
    }
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        if (wh_slice_equal_str(request->path, routes[i].path)) {
            routes[i].handle(node, response);
            return;
        }
    }
    if (wh_slice_equal_str(request->path, node->config->websocket.handler_prefix)) {
        respond_text(response, 426, "this is a WebSocket endpoint (RFC 6455)\n");
        response->headers = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
        return;
    }
    if (files && handle_files(files, request->path, response))
        return;
    respond_text(response, 404, "not found\n");
}
