/*
 * The demo page's files, each kept twice when that helps: as it is, and
 * compressed.
 */
#include "hub/http_files.h"

#include "common/base/alloc.h"
#include "hub/http.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define DEMO_PREFIX "/demo/"

/* 'self' is also the WebSocket of the same address (CSP Level 3). */
static const char page_headers[] =
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cache-Control: no-cache\r\n"
    "Vary: Accept-Encoding\r\n";

enum {
    FILE_BYTES_MAX = 4 * 1024 * 1024,
    FILE_COUNT_MAX = 64,
    DIGEST_BYTES = 16,     /* of SHA-256, in the tag */
    TAG_SIZE = 48,         /* of a quoted tag with its NUL */
    GZIP_WINDOW = 15 + 16, /* zlib's largest, with a header of gzip */
    GZIP_MEMORY = 9,
};

/* One way in which a file goes over the wire. */
struct shape {
    char *bytes;
    size_t len;
    char tag[TAG_SIZE]; /* strong: other bytes, other tag (RFC 9110 §8.8.3) */
};

struct http_file {
    struct wh_slice path; /* "/demo/app.js", stored behind the struct */
    const char *content_type;
    struct shape plain;
    struct shape gzip; /* no bytes: not worth it */
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
        file->plain.bytes = wh_malloc(size + 1);
        err = file->plain.bytes ? WH_OK : WH_ENOMEM;
        while (err == WH_OK && file->plain.len < size) {
            ssize_t got = read(fd, file->plain.bytes + file->plain.len, size - file->plain.len);
            if (got <= 0)
                err = WH_EIO;
            else
                file->plain.len += (size_t)got;
        }
    }
    close(fd);
    return err;
}

static void set_tag(struct shape *shape, const struct shape *of, const char *suffix)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char text[2 * DIGEST_BYTES + 1];
    WH_ASSERT(EVP_Digest(of->bytes, of->len, digest, NULL, EVP_sha256(), NULL) == 1);
    for (size_t i = 0; i < DIGEST_BYTES; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    snprintf(shape->tag, sizeof(shape->tag), "\"%s%s\"", text, suffix);
}

/* Once, at the start, so with all the effort that zlib can make. */
static enum wh_err compress_file(struct http_file *file)
{
    z_stream stream = {0};
    if (deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY,
                     Z_DEFAULT_STRATEGY) != Z_OK)
        return WH_ENOMEM;
    uLong bound = deflateBound(&stream, (uLong)file->plain.len);
    char *bytes = wh_malloc(bound);
    stream.next_in = (Bytef *)file->plain.bytes;
    stream.avail_in = (uInt)file->plain.len;
    stream.next_out = (Bytef *)bytes;
    stream.avail_out = (uInt)bound;
    bool is_done = bytes && deflate(&stream, Z_FINISH) == Z_STREAM_END;
    size_t len = stream.total_out;
    (void)deflateEnd(&stream);
    if (!is_done || len >= file->plain.len) {
        wh_free(bytes);
        return is_done ? WH_OK : WH_ENOMEM;
    }
    file->gzip.bytes = bytes;
    file->gzip.len = len;
    set_tag(&file->gzip, &file->plain, "-gz");
    return WH_OK;
}

static void file_free(struct http_file *file)
{
    wh_free(file->plain.bytes);
    wh_free(file->gzip.bytes);
    wh_free(file);
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
    if (err == WH_OK) {
        set_tag(&file->plain, &file->plain, "");
        err = compress_file(file);
    }
    if (err == WH_OK)
        err = wh_map_add(&files->by_path, file->path, file);
    if (err) {
        file_free(file);
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

enum wh_err http_files_installed_dir(struct wh_buf *out_dir)
{
    char program[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", program, sizeof(program) - 1);
    if (len <= 0)
        return WH_EIO;
    program[len] = '\0';
    for (int up = 0; up < 2; up++) { /* from <prefix>/bin/wirehub to <prefix> */
        char *slash = strrchr(program, '/');
        if (slash == NULL)
            return WH_EIO;
        *slash = '\0';
    }
    wh_buf_printf(out_dir, "%s/share/wirehub/demo", program);
    return wh_buf_error(out_dir);
}

void http_files_free(struct http_files *files)
{
    if (files == NULL)
        return;
    while (files->first) {
        struct http_file *file = files->first;
        files->first = file->next;
        file_free(file);
    }
    wh_map_deinit(&files->by_path);
    wh_free(files);
}

/* Requests */

/* The next item of a list with commas, without blanks around it. */
static bool next_item(struct wh_slice *rest, struct wh_slice *out_item)
{
    if (rest->len == 0)
        return false;
    const char *comma = memchr(rest->ptr, ',', rest->len);
    size_t len = comma ? (size_t)(comma - rest->ptr) : rest->len;
    *out_item = wh_slice_trim(wh_slice(rest->ptr, len));
    *rest = wh_slice_from(*rest, comma ? len + 1 : len);
    return true;
}

/* "gzip", "gzip;q=0.5", but not "gzip;q=0" (RFC 9110 §12.5.3). */
static bool is_gzip_wanted(struct wh_slice item)
{
    const char *semicolon = memchr(item.ptr, ';', item.len);
    size_t len = semicolon ? (size_t)(semicolon - item.ptr) : item.len;
    struct wh_slice name = wh_slice_trim(wh_slice(item.ptr, len));
    struct wh_slice weight = wh_slice_trim(wh_slice_from(item, semicolon ? len + 1 : len));
    if (name.len != 4 || strncasecmp(name.ptr, "gzip", 4) != 0)
        return false;
    if (weight.len == 0)
        return true;
    bool is_weight = weight.len > 2 && (weight.ptr[0] | 0x20) == 'q' && weight.ptr[1] == '=';
    for (size_t i = 2; is_weight && i < weight.len; i++)
        if (weight.ptr[i] >= '1' && weight.ptr[i] <= '9')
            return true;
    return false;
}

static bool accepts_gzip(struct wh_slice accepted)
{
    struct wh_slice item;
    while (next_item(&accepted, &item))
        if (is_gzip_wanted(item))
            return true;
    return false;
}

/* If-None-Match: whether the client has these very bytes. */
static bool has_tag(struct wh_slice tags, const char *tag)
{
    struct wh_slice item;
    while (next_item(&tags, &item)) {
        if (wh_slice_starts_with(item, WH_SLICE_LITERAL("W/")))
            item = wh_slice_from(item, 2);
        if (wh_slice_equal_str(item, tag) || wh_slice_equal_str(item, "*"))
            return true;
    }
    return false;
}

bool http_files_answer(const struct http_files *files,
                       const struct http_request *request,
                       struct http_response *response)
{
    struct wh_slice path = request->path;
    if (wh_slice_equal_str(path, "/") || wh_slice_equal_str(path, "/demo")) {
        response->status = 302;
        response->content_type = "text/plain; charset=utf-8";
        response->body = WH_SLICE_LITERAL("the demo is at /demo/\n");
        response->headers = "Location: /demo/\r\nCache-Control: no-store\r\n";
        return true;
    }
    if (wh_slice_equal_str(path, DEMO_PREFIX))
        path = WH_SLICE_LITERAL(DEMO_PREFIX "index.html");
    const struct http_file *file = wh_map_get(&files->by_path, path);
    if (file == NULL)
        return false;
    bool is_gzip = file->gzip.bytes && accepts_gzip(request->accept_encoding);
    const struct shape *shape = is_gzip ? &file->gzip : &file->plain;
    response->headers = page_headers;
    wh_buf_printf(&response->header_lines, "ETag: %s\r\n", shape->tag);
    if (has_tag(request->if_none_match, shape->tag)) {
        response->status = 304;
        return true;
    }
    if (is_gzip)
        wh_buf_append_str(&response->header_lines, "Content-Encoding: gzip\r\n");
    response->status = 200;
    response->content_type = file->content_type;
    response->body = wh_slice(shape->bytes, shape->len);
    return true;
}
